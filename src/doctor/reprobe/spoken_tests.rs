//! Tests of whom a port that speaks is taken for.

use super::*;
use crate::doctor::fingerprint::identify;

const CLIENT: &[u8] = br#"INFO {"server_id":"NA5","version":"2.15.1","proto":1,"host":"0.0.0.0","port":4222,"client_id":5}
"#;
const ROUTE: &[u8] = br#"INFO {"server_id":"NA5","version":"2.15.1","proto":3,"port":6222,"ws_connect_urls":["192.0.2.7:8443"],"lnoc":true,"route_pool_size":3}
"#;

fn target(url: &str) -> Target {
    url.parse().unwrap()
}

fn text(finding: &Finding) -> String {
    serde_json::to_string(finding).unwrap()
}

fn served() -> Right {
    Right {
        served: Some(Served {
            address: "127.0.0.1:8443".parse().unwrap(),
            is_tls: true,
            info: ServerInfo {
                server_id: "NA5".to_owned(),
                ..ServerInfo::default()
            },
        }),
        neighbours: Neighbours::default(),
    }
}

#[test]
fn a_client_port_leads_to_the_websocket_port_of_the_same_server() {
    let speaker = identify(CLIENT).unwrap();
    let finding = by_itself(&target("ws://game.example:4222"), &speaker, &served());
    assert_eq!(finding.code, "port.client");
    assert_eq!(finding.remedy[0], "Use `wss://game.example:8443`.");
    assert!(text(&finding).contains("of the same server"));
    assert!(!text(&finding).contains("in between"));
}

#[test]
fn another_port_in_info_means_that_something_is_in_between() {
    let speaker = identify(CLIENT).unwrap();
    let finding = by_itself(&target("ws://game.example:80"), &speaker, &Right::default());
    assert!(text(&finding).contains("INFO says port 4222, the URL 80"));
    assert!(text(&finding).contains("no_tls: true"));
}

#[test]
fn a_route_names_the_websocket_addresses() {
    let speaker = identify(ROUTE).unwrap();
    let finding = by_itself(&target("ws://127.0.0.1:6222"), &speaker, &Right::default());
    assert_eq!(finding.code, "port.route");
    assert!(finding.remedy[0].contains("192.0.2.7:8443"));
}

#[test]
fn info_that_comes_only_behind_a_request_is_a_proxys_doing() {
    let speaker = identify(CLIENT).unwrap();
    let finding = when_asked(&target("ws://127.0.0.1:80"), &speaker, &served());
    assert_eq!(finding.code, "proxy.upstream-is-client-port");
    assert!(text(&finding).contains("proxy_pass http://127.0.0.1:8443;"));
}

#[test]
fn info_inside_tls_is_a_client_port_that_wants_tls_first() {
    let speaker = identify(CLIENT).unwrap();
    let finding = inside_tls(&target("wss://127.0.0.1:4222"), &speaker, &Right::default());
    assert_eq!(finding.code, "port.client-tls-first");
    let finding = inside_tls(&target("tls://127.0.0.1:4222"), &speaker, &Right::default());
    assert!(finding.remedy[0].contains("--tlsfirst"));
}

#[test]
fn other_protocols_are_named() {
    let finding = |bytes: &[u8]| {
        let speaker = identify(bytes).unwrap();
        by_itself(&target("ws://127.0.0.1:22"), &speaker, &Right::default())
    };
    assert_eq!(finding(b"SSH-2.0-OpenSSH_9.2p1\r\n").code, "port.ssh");
    let mail = finding(b"220 mx ESMTP\r\n");
    assert_eq!(mail.code, "port.other-protocol");
    assert!(mail.title.contains("mail server"), "{}", mail.title);
    assert_eq!(finding(b"hello\r\n").certainty, Certainty::Likely);
}
