//! What a subscriber costs in memory, on a debug build: the shape, not the figure of the README.

use natsbench::cli::exit;

use crate::harness::{Broker, Natsbench, alone};

/// The most memory that a run with so many subscribers has had resident.
fn peak_kib(broker: &Broker, n_subscribers: &str, args: &[&str]) -> u64 {
    let url = broker.ws_url();
    let head = [
        "latency",
        "--rate",
        "10",
        "--warmup",
        "0s",
        "--duration",
        "1s",
        "-o",
        "json",
        "--slo",
        "lost==0",
        "--subscribers",
        n_subscribers,
        "--server",
        &url,
    ];
    let run = Natsbench::new([&head[..], args].concat()).spawn();
    let peak_kib = run.peak_kib();
    let result = run.wait().exits(exit::PASSED).json();
    assert_eq!(result["load"]["lost"], 0);
    peak_kib
}

#[test]
fn a_further_subscriber_costs_little_memory_with_and_without_compression() {
    // A run that is late passes nothing.
    let _alone = alone();
    let broker = Broker::builder()
        .websocket("no_tls: true\ncompression: true")
        .start();
    for args in [&[][..], &["--compression"]] {
        let few = peak_kib(&broker, "100", args);
        let many = peak_kib(&broker, "600", args);
        let each = many.saturating_sub(few) / 500;
        assert!(
            each <= 32,
            "{each} KiB for each subscriber: {few} KiB for 100, {many} KiB for 600"
        );
    }
}
