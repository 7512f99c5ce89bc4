//! Tests of what a refusal is put down to.

use super::*;
use crate::doctor::neighbours::{ClientPort, Monitoring};
use crate::host::Process;

const REFUSED: &str = "127.0.0.1:8443";

fn info() -> ServerInfo {
    ServerInfo {
        server_id: "NA5".to_owned(),
        server_name: "game".to_owned(),
        version: "2.15.1".to_owned(),
        client_id: 5,
        ..ServerInfo::default()
    }
}

fn client() -> ClientPort {
    ClientPort {
        address: "127.0.0.1:4222".parse().unwrap(),
        info: info(),
    }
}

fn monitoring(varz: &str) -> Monitoring {
    Monitoring {
        address: "127.0.0.1:8222".parse().unwrap(),
        varz: serde_json::from_str(varz).unwrap(),
    }
}

fn local(n_servers: usize) -> Local {
    let server = Process {
        pid: 17,
        name: "nats-server".to_owned(),
        is_frozen: false,
    };
    Local {
        owner: None,
        nats_servers: vec![(server, vec!["[::]:4222".parse().unwrap()]); n_servers],
        owner_listens_at: Vec::new(),
        same_port: Vec::new(),
        is_container: false,
    }
}

fn judged(url: &str, scene: &Scene) -> Finding {
    let target = url.parse().unwrap();
    judge(&target, REFUSED.parse().unwrap(), scene)
}

fn text(finding: &Finding) -> String {
    serde_json::to_string(finding).unwrap()
}

#[test]
fn where_nobody_else_is_nothing_listens_and_the_reasons_are_listed() {
    let finding = judged("ws://127.0.0.1:8443", &Scene::default());
    assert_eq!(finding.code, "tcp.refused");
    assert!(text(&finding).contains("websocket requires TLS configuration"));
    assert!(text(&finding).contains("no_tls: true"));
    assert_ne!(finding.certainty, Certainty::Certain);
}

#[test]
fn inside_a_container_localhost_is_explained() {
    let mut here = local(0);
    here.is_container = true;
    let scene = Scene {
        neighbours: Neighbours {
            local: Some(here),
            ..Neighbours::default()
        },
        ..Scene::default()
    };
    let finding = judged("ws://127.0.0.1:8443", &scene);
    assert!(text(&finding).contains("host.docker.internal"));
}

#[test]
fn the_other_loopback_that_speaks_nats_is_certain() {
    let scene = Scene {
        other_address: Some(("[::1]:8443".parse().unwrap(), Some(info()))),
        ..Scene::default()
    };
    let finding = judged("ws://127.0.0.1:8443", &scene);
    assert_eq!(finding.code, "tcp.other-family");
    assert_eq!(finding.certainty, Certainty::Certain);
    assert!(finding.title.contains("IPv6 only"), "{}", finding.title);
    assert!(text(&finding).contains("ws://[::1]:8443"));
    let scene = Scene {
        other_address: Some(("[::1]:8443".parse().unwrap(), None)),
        ..Scene::default()
    };
    let finding = judged("ws://127.0.0.1:8443", &scene);
    assert_eq!(finding.certainty, Certainty::Likely);
}

#[test]
fn another_address_of_this_machine_is_no_other_family() {
    let scene = Scene {
        other_address: Some(("192.0.2.2:8443".parse().unwrap(), Some(info()))),
        ..Scene::default()
    };
    let finding = judged("ws://127.0.0.1:8443", &scene);
    assert_eq!(finding.code, "tcp.other-address");
    let scene = Scene {
        other_address: Some(("127.0.0.2:8443".parse().unwrap(), Some(info()))),
        ..Scene::default()
    };
    let finding = judged("ws://127.0.0.1:8443", &scene);
    assert_eq!(finding.code, "tcp.other-address");
}

#[test]
fn a_client_port_without_websocket_needs_the_block_and_a_restart() {
    let scene = Scene {
        neighbours: Neighbours {
            client: Some(client()),
            monitoring: Some(monitoring(r#"{"server_id":"NA5","websocket":{}}"#)),
            local: Some(local(1)),
            ..Neighbours::default()
        },
        ..Scene::default()
    };
    let finding = judged("ws://127.0.0.1:8443", &scene);
    assert_eq!(finding.code, "websocket.not-configured");
    assert_eq!(finding.certainty, Certainty::Likely);
    assert!(text(&finding).contains("no_tls: true"));
    assert!(text(&finding).contains("restart"));
    let finding = judged("wss://127.0.0.1:8443", &scene);
    assert!(text(&finding).contains("cert_file"));
}

#[test]
fn among_several_servers_the_one_that_was_found_is_only_possible() {
    let scene = Scene {
        neighbours: Neighbours {
            client: Some(client()),
            local: Some(local(2)),
            ..Neighbours::default()
        },
        ..Scene::default()
    };
    let finding = judged("ws://127.0.0.1:8443", &scene);
    assert_eq!(finding.certainty, Certainty::Possible);
    assert!(!finding.alternatives.is_empty());
}

#[test]
fn the_port_that_serves_websocket_is_named() {
    let scene = Scene {
        served: Some(Served {
            address: "127.0.0.1:9222".parse().unwrap(),
            is_tls: false,
            info: info(),
        }),
        neighbours: Neighbours {
            monitoring: Some(monitoring(
                r#"{"server_id":"NA5","websocket":{"port":9222}}"#,
            )),
            ..Neighbours::default()
        },
        ..Scene::default()
    };
    let finding = judged("ws://127.0.0.1:8443/path?token=x", &scene);
    assert_eq!(finding.code, "tcp.wrong-port");
    assert!(text(&finding).contains("ws://127.0.0.1:9222/path"));
    assert!(text(&finding).contains("websocket.port: 9222"));
    assert!(!text(&finding).contains("token"));
}

#[test]
fn a_server_with_ports_far_from_the_url_is_only_worth_a_look() {
    let far = |port: u16| Served {
        address: SocketAddr::from(([127, 0, 0, 1], port)),
        is_tls: false,
        info: info(),
    };
    let mut scene = Scene {
        served: Some(far(31224)),
        ..Scene::default()
    };
    let finding = judged("ws://127.0.0.1:8443", &scene);
    assert_eq!(finding.code, "tcp.refused");
    assert!(finding.title.contains("31224"), "{}", finding.title);
    // Its client port is where that of the server that is meant usually is.
    scene.neighbours.client = Some(client());
    assert_eq!(judged("ws://127.0.0.1:8443", &scene).code, "tcp.wrong-port");
    scene.served = Some(far(8445));
    scene.neighbours.client = None;
    assert_eq!(judged("ws://127.0.0.1:8443", &scene).code, "tcp.wrong-port");
}
