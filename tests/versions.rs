//! The core once more against older releases of nats-server.

use crate::harness::{Broker, Version, completed, latency, publish, subscribe, subscribed};

const OLDER: [Version; 2] = [Version::V2_12, Version::V2_10];

fn broker(version: Version) -> Broker {
    Broker::builder()
        .version(version)
        .websocket("no_tls: true, compression: true")
        .config("trace: true")
        .start()
}

#[test]
fn older_servers_carry_every_kind_of_run_without_loss() {
    for version in OLDER {
        let broker = broker(version);
        for url in [broker.ws_url(), broker.client_url()] {
            for args in [
                &[][..],
                &["--compression"],
                &["--no-masking"],
                &["--user-agent", "Mozilla/5.0", "--compression"],
            ] {
                if !args.is_empty() && url.starts_with("nats") {
                    continue;
                }
                let base = [
                    "-s",
                    &url,
                    "--publishers",
                    "2",
                    "--subscribers",
                    "3",
                    "--route",
                    "both",
                    "--size",
                    "6000",
                ];
                let result = completed(&latency(&[&base[..], args].concat()).run());
                assert_eq!(
                    result["load"]["received"], 600,
                    "{version:?} {args:?}: {result}"
                );
                assert_eq!(result["load"]["lost"], 0, "{version:?} {args:?}: {result}");
                let connection = &result["connection"];
                assert_eq!(connection["compressed"], args.contains(&"--compression"));
                // Every supported release accepts unmasked frames from those who ask.
                assert_eq!(connection["masked"], !args.contains(&"--no-masking"));
            }
        }
    }
}

#[test]
fn older_servers_tell_a_subscriber_in_another_process_how_much_was_sent() {
    for version in OLDER {
        let broker = broker(version);
        let url = broker.ws_url();
        let subscriber = subscribe(&["rounds.>", "-s", &url, "--duration", "3s"]).spawn();
        subscribed(&broker, "_NATSBENCH.end.*", 1);
        let published =
            completed(&publish(&["-s", &url, "--route", "both", "--connections", "2"]).run());
        assert_eq!(published["load"]["sent"], 20);
        let result = completed(&subscriber.wait());
        for (field, expected) in [
            ("received", 20),
            ("expected", 20),
            ("lost", 0),
            ("tail_unknown_streams", 0),
        ] {
            assert_eq!(result["load"][field], expected, "{version:?}: {result}");
        }
    }
}

#[test]
fn the_version_is_in_the_result() {
    for (version, name) in [(Version::V2_12, "2.12.8"), (Version::V2_10, "2.10.26")] {
        let result = completed(&publish(&["-s", &broker(version).ws_url()]).run());
        assert_eq!(result["connection"]["server_version"], name);
    }
}
