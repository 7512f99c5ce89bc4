//! The exit codes of a `latency` run, and its standard output: a contract with scripts.

use natsbench::cli::exit;

use crate::harness::{Broker, Natsbench};

/// A run that is over soon.
const SHORT: [&str; 4] = ["--warmup", "0s", "--duration", "500ms"];

fn latency(broker: &Broker, args: &[&str]) -> Natsbench {
    let url = broker.ws_url();
    let head = ["latency", "--server", &url, "-o", "json"];
    Natsbench::new([&head, &SHORT[..], args].concat())
}

#[test]
fn a_healthy_broker_passes_with_json_alone_on_stdout() {
    let broker = Broker::start();
    let finished = latency(
        &broker,
        &["--rate", "1000", "--slo", "lost==0", "--slo", "p50<1s"],
    )
    .run()
    .exits(exit::PASSED);
    let result = finished.json();
    assert_eq!(result["schema"], "natsbench.result/1");
    assert_eq!(result["verdict"], "pass");
    assert_eq!(result["load"]["sent"], 500);
    assert_eq!(result["load"]["received"], 500);
    assert_eq!(result["load"]["lost"], 0);
}

#[test]
fn a_missed_objective_fails() {
    let broker = Broker::start();
    let finished = latency(&broker, &["--rate", "1000", "--slo", "p50<1ns"])
        .run()
        .exits(exit::FAILED);
    assert_eq!(finished.json()["slo"][0]["verdict"], "fail");
}
