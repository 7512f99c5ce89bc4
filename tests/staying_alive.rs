//! A server that pings and is not answered closes the connection; every kind of connection answers.

use std::thread;

use crate::harness::{Authority, Broker, completed, publish, subscribe, subscribed};

#[test]
fn an_idle_subscriber_and_an_idle_publisher_answer_pings_on_every_transport() {
    // Given a server that gives up a connection after 1.5 s without an answer.
    let authority = Authority::new();
    let server = authority.issue(&["127.0.0.1"]);
    let tls = "tls { cert_file: \"@DIR@/s.crt\", key_file: \"@DIR@/s.key\", timeout: 10 }";
    let impatient = "ping_interval: \"500ms\"\nping_max: 2\ntrace: true";
    let plain = Broker::builder()
        .websocket("no_tls: true, compression: true")
        .config(impatient)
        .start();
    let secure = Broker::builder()
        .websocket(&format!("{tls}\ncompression: true"))
        .config(tls)
        .config(impatient)
        .file("s.crt", &server.certificate)
        .file("s.key", &server.key)
        .file("ca.crt", &authority.pem())
        .start();
    let ca = secure.dir().join("ca.crt").to_str().unwrap().to_owned();
    let (ws, nats) = (plain.ws_url(), plain.client_url());
    let (wss, tls) = (
        secure.ws_url(),
        secure.client_url().replace("nats://", "tls://"),
    );
    let cases: [(&str, &Broker, Vec<&str>); 7] = [
        ("ws", &plain, vec!["-s", &ws]),
        ("deflate", &plain, vec!["-s", &ws, "--compression"]),
        ("unmasked", &plain, vec!["-s", &ws, "--no-masking"]),
        ("nats", &plain, vec!["-s", &nats]),
        ("wss", &secure, vec!["-s", &wss, "--tlsca", &ca]),
        (
            "wss-deflate",
            &secure,
            vec!["-s", &wss, "--tlsca", &ca, "--compression"],
        ),
        ("tls", &secure, vec!["-s", &tls, "--tlsca", &ca]),
    ];
    // When a subscriber hears, and a publisher says, nothing for four seconds.
    thread::scope(|scope| {
        for (name, broker, args) in &cases {
            scope.spawn(move || {
                let pattern = format!("{name}.game.*");
                let subscriber =
                    subscribe(&[&[pattern.as_str(), "--count", "2"][..], args].concat()).spawn();
                subscribed(broker, &pattern, 1);
                let published = publish(
                    &[
                        &["--count", "2", "--rate", "0.25", "--prefix", name][..],
                        args,
                    ]
                    .concat(),
                )
                .run();
                // Then both are still there.
                assert_eq!(completed(&published)["load"]["sent"], 2, "{name}");
                let received = completed(&subscriber.wait());
                assert_eq!(received["load"]["received"], 2, "{name}: {received}");
            });
        }
    });
    for broker in [&plain, &secure] {
        let log = broker.log();
        assert!(
            log.contains("->> [PING]"),
            "the server has not pinged:\n{log}"
        );
        assert!(!log.contains("Stale"), "{log}");
    }
}
