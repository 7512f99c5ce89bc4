//! Tests of what the answers of a port say of it.

use std::time::Duration;

use super::*;
use crate::doctor::reprobe::client_url::client_port;
use crate::host::Process;
use crate::net::probe::{Heard, ProbeEnd};
use crate::protocol::ServerInfo;

fn target(url: &str) -> Target {
    url.parse().unwrap()
}

fn silence() -> Unanswered {
    Unanswered::Silence {
        waited: Duration::from_secs(5),
    }
}

fn closed(after_ms: u64) -> Unanswered {
    Unanswered::Closed {
        received: Vec::new(),
        after: Duration::from_millis(after_ms),
    }
}

fn reset() -> Unanswered {
    Unanswered::Broken {
        received: Vec::new(),
        error: "Connection reset by peer (os error 104)".to_owned(),
        after: Duration::from_millis(1),
    }
}

/// The port answers nothing at all.
fn scene(what: Unanswered) -> Scene {
    Scene {
        what,
        answers: Answers {
            again: Http::Nothing,
            banner: None,
            get: Http::Nothing,
            is_mqtt: false,
            proxy: None,
            tls: Tls::No,
        },
        neighbours: Neighbours::default(),
    }
}

fn heard(end: ProbeEnd, after_ms: u64) -> Heard {
    Heard {
        bytes: Vec::new(),
        end,
        first_after: None,
        ended_after: Duration::from_millis(after_ms),
    }
}

fn owned_by(name: &str, is_frozen: bool) -> Neighbours {
    Neighbours {
        local: Some(Local {
            owner: Some(Process {
                pid: 17,
                name: name.to_owned(),
                is_frozen,
            }),
            nats_servers: Vec::new(),
            owner_listens_at: Vec::new(),
            same_port: Vec::new(),
            is_container: false,
        }),
        ..Neighbours::default()
    }
}

fn judged(scene: &Scene) -> Finding {
    judge(&target("ws://127.0.0.1:8443"), scene)
}

fn info() -> Box<ServerInfo> {
    Box::new(ServerInfo {
        version: "2.15.1".to_owned(),
        ..ServerInfo::default()
    })
}

#[test]
fn an_answer_behind_a_proxy_header_proves_that_it_is_expected() {
    let mut scene = scene(closed(0));
    scene.answers.proxy = Some(1);
    let finding = judged(&scene);
    assert_eq!(finding.code, "proxy.protocol-expected");
    assert_eq!(finding.certainty, Certainty::Certain);
    // It was no proof if the plain request is answered, too.
    scene.answers.again = Http::Status(101);
    assert_eq!(judged(&scene).code, "port.flapping");
}

#[test]
fn websocket_inside_tls_needs_another_scheme() {
    let mut scene = scene(closed(0));
    scene.answers.tls = Tls::Yes(Http::Nats(info()));
    let finding = judged(&scene);
    assert_eq!(finding.code, "port.tls");
    assert_eq!(finding.certainty, Certainty::Certain);
    assert_eq!(finding.remedy[0], "Use `wss://127.0.0.1:8443`.");
    scene.answers.tls = Tls::Alert("HandshakeFailure".to_owned());
    assert_eq!(judged(&scene).code, "port.tls");
}

#[test]
fn a_connack_is_an_mqtt_port() {
    let mut scene = scene(closed(0));
    scene.answers.is_mqtt = true;
    assert_eq!(judged(&scene).code, "port.mqtt");
}

#[test]
fn nothing_at_all_is_put_down_to_a_missing_backend_with_care() {
    for what in [closed(0), reset(), closed(3_000)] {
        let mut scene = scene(what);
        scene.answers.banner = Some(heard(ProbeEnd::Closed, 0));
        let finding = judged(&scene);
        assert_eq!(finding.code, "port.no-backend");
        assert_eq!(finding.certainty, Certainty::Possible);
        assert_eq!(finding.alternatives.len(), 2);
    }
    let mut known = scene(closed(3_000));
    known.neighbours = owned_by("haproxy", false);
    let finding = judged(&known);
    assert_eq!(finding.certainty, Certainty::Likely);
    assert!(
        finding.title.contains("haproxy, pid 17") && finding.title.contains("after 3"),
        "{}",
        finding.title
    );
}

#[test]
fn whoever_closes_only_on_a_request_speaks_something_else() {
    let mut scene = scene(closed(1));
    scene.answers.banner = Some(heard(ProbeEnd::Open, 2_500));
    assert_eq!(judged(&scene).code, "port.hangs-up");
    // A late end says nothing: the silent connection may end as late.
    scene.what = closed(3_000);
    assert_eq!(judged(&scene).code, "port.no-backend");
}

#[test]
fn a_stopped_process_is_certain_and_silent_neighbours_are_not() {
    let mut stopped = scene(silence());
    stopped.neighbours = owned_by("nats-server", true);
    let finding = judged(&stopped);
    assert_eq!(finding.code, "port.frozen");
    assert_eq!(finding.certainty, Certainty::Certain);
    assert!(finding.remedy[0].contains("kill -CONT 17"));

    let mut remote = scene(silence());
    remote.neighbours.mute = vec!["192.0.2.1:4222".parse().unwrap()];
    let finding = judged(&remote);
    assert_eq!(finding.code, "port.frozen");
    assert_eq!(finding.certainty, Certainty::Likely);

    // Whoever else listens there is not nats-server, whatever other ports do.
    for (name, code) in [("python3", "port.silent"), ("nats-server", "port.frozen")] {
        let mut local = scene(silence());
        local.neighbours = owned_by(name, false);
        local.neighbours.mute = vec!["127.0.0.1:4222".parse().unwrap()];
        assert_eq!(judged(&local).code, code, "{name}");
    }

    let finding = judged(&scene(silence()));
    assert_eq!(finding.code, "port.silent");
    assert_eq!(finding.certainty, Certainty::Possible);
}

#[test]
fn an_answer_to_plain_http_only_is_a_blocked_upgrade() {
    let mut scene = scene(silence());
    scene.answers.get = Http::Status(200);
    assert_eq!(judged(&scene).code, "proxy.blocks-upgrade");
}

#[test]
fn half_a_head_is_a_cut_answer() {
    let scene = scene(Unanswered::Closed {
        received: b"HTTP/1.1 101 Swi".to_vec(),
        after: Duration::ZERO,
    });
    assert_eq!(judged(&scene).code, "proxy.cut-answer");
}

#[test]
fn a_client_url_to_a_websocket_port_needs_another_scheme() {
    let target = target("nats://127.0.0.1:8443");
    let finding = client_port(&target, &Http::Nats(info()), &Tls::No, Some(31222)).unwrap();
    assert_eq!(finding.code, "url.nats-scheme-on-websocket-port");
    assert_eq!(finding.remedy[0], "Use `ws://127.0.0.1:8443`.");
    assert!(finding.remedy[1].contains("nats://127.0.0.1:31222"));
    let finding =
        client_port(&target, &Http::Nothing, &Tls::Yes(Http::Nats(info())), None).unwrap();
    assert_eq!(finding.remedy[0], "Use `wss://127.0.0.1:8443`.");
    let finding = client_port(&target, &Http::Status(200), &Tls::No, Some(31222)).unwrap();
    assert_eq!(finding.code, "port.other-protocol");
    assert_eq!(
        client_port(&target, &Http::Nothing, &Tls::No, Some(31222)),
        None
    );
}
