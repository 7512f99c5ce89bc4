//! Tests of whose words are whose.

use proptest::prelude::*;

use super::*;

/// What nats-server 2.15.1 and 2.10.26 say first, ids shortened.
const CLIENT: &str = r#"INFO {"server_id":"NA5","server_name":"s1","version":"2.15.1","proto":1,"git_commit":"b2fd3ef","go":"go1.27.2","host":"127.0.0.1","port":31222,"headers":true,"max_payload":1048576,"client_id":12,"client_ip":"127.0.0.1","cluster":"zc","api_lvl":5,"xkey":"XAG"} "#;
const ROUTE: &str = r#"INFO {"server_id":"NCC","server_name":"s1","version":"2.10.26","proto":2,"go":"go1.24.0","host":"127.0.0.1","port":31225,"headers":true,"max_payload":1048576,"nonce":"C4v","cluster":"zc","connect_urls":["127.0.0.1:31222"],"ws_connect_urls":["127.0.0.1:31224"],"compression":"accept","lnoc":true,"lnocu":true,"route_pool_size":3,"gateway_url":"127.0.0.1:31227","leafnode_urls":["127.0.0.1:31326"]} "#;
const LEAFNODE: &str = r#"INFO {"server_id":"NCB","server_name":"s2","version":"2.15.1","proto":3,"host":"127.0.0.1","port":31326,"headers":true,"auth_required":true,"max_payload":1048576,"ip":"127.0.0.1:31326","client_id":5,"nonce":"Ahw","compression":"s2_auto","info_on_connect":true,"leafnode_urls":["127.0.0.1:31326"]} "#;
const GATEWAY: &str = r#"INFO {"server_id":"NA5","server_name":"s1","version":"2.15.1","proto":3,"go":"","host":"127.0.0.1","port":31227,"headers":true,"max_payload":1048576,"gateway":"zc","gateway_urls":["127.0.0.1:31227"],"gateway_url":"127.0.0.1:31227","gateway_nrp":true,"gateway_iom":true}"#;

fn nats_port(line: &str) -> NatsPort {
    match identify(format!("{line}\r\n").as_bytes()) {
        Some(Speaker::Nats(port, info)) => {
            assert!(info.port > 31_000);
            port
        }
        other => panic!("{other:?}"),
    }
}

fn protocol(bytes: &[u8]) -> Protocol {
    match identify(bytes) {
        Some(Speaker::Other(protocol, _)) => protocol,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_ports_of_a_nats_server_are_told_apart_by_their_info() {
    assert_eq!(nats_port(CLIENT), NatsPort::Client);
    assert_eq!(nats_port(ROUTE), NatsPort::Route);
    assert_eq!(nats_port(LEAFNODE), NatsPort::Leafnode);
    assert_eq!(nats_port(GATEWAY), NatsPort::Gateway);
}

#[test]
fn what_follows_info_does_not_matter() {
    let bytes = format!("{CLIENT}\r\n-ERR 'Unknown Protocol Operation'\r\n");
    assert!(matches!(
        identify(bytes.as_bytes()),
        Some(Speaker::Nats(NatsPort::Client, _))
    ));
}

#[test]
fn an_error_of_nats_is_no_error_of_redis() {
    assert_eq!(
        identify(b"-ERR 'Authorization Violation'\r\n"),
        Some(Speaker::NatsError("Authorization Violation".to_owned()))
    );
    assert_eq!(protocol(b"-ERR unknown command 'GET'\r\n"), Protocol::Redis);
    assert_eq!(
        protocol(b"-DENIED Redis is running in protected mode\r\n"),
        Protocol::Redis
    );
}

#[test]
fn banners_name_their_protocol() {
    for (bytes, expected) in [
        (&b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"[..], Protocol::Ssh),
        (b"220 mx.example.com ESMTP Postfix\r\n", Protocol::Smtp),
        (b"220 (vsFTPd 3.0.3)\r\n", Protocol::Ftp),
        (b"+OK Dovecot ready.\r\n", Protocol::Pop3),
        (b"* OK [CAPABILITY IMAP4rev1] ready\r\n", Protocol::Imap),
        (b"J\0\0\0\x0a8.0.36\0\x08\0\0\0", Protocol::Mysql),
        (
            b"E\0\0\0\x8cSFATAL\0VFATAL\0C08P01\0Munsupported\0\0",
            Protocol::Postgres,
        ),
        (b"AMQP\0\0\x09\x01", Protocol::Amqp),
        (b"\x20\x02\x00\x00", Protocol::Mqtt),
        (b"RFB 003.008\n", Protocol::Vnc),
        (b"\xff\xfd\x18\xff\xfd\x20", Protocol::Telnet),
        (b"\x15\x03\x01\x00\x02\x02\x46", Protocol::Tls),
        (b"HTTP/1.0 400 Bad Request\r\n\r\n", Protocol::Http),
        (b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80", Protocol::Http2),
        (b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n", Protocol::Proxy),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11", Protocol::Proxy),
        (b"\x82\x05INFO ", Protocol::WebSocket),
        (b"\x88\x02\x03\xea", Protocol::WebSocket),
        (b"Welcome to the chat\r\n", Protocol::Text),
        (b"\0\x01\x02\x03", Protocol::Binary),
    ] {
        assert_eq!(protocol(bytes), expected, "{}", excerpt(bytes));
    }
    assert_eq!(identify(b""), None);
}

#[test]
fn excerpts_are_short_and_harmless() {
    assert_eq!(excerpt(b"SSH-2.0-x\r\nmore\r\n"), "SSH-2.0-x");
    assert_eq!(excerpt(b"\0\xff"), "00 ff (2 bytes)");
    let long = excerpt("x".repeat(5_000).as_bytes());
    assert!(long.ends_with("x...") && long.len() < 120, "{long}");
    assert!(!excerpt(b"a\x1b[2Jb").contains('\x1b'));
}

proptest! {
    #[test]
    fn any_bytes_are_somebodys(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let speaker = identify(&bytes);
        prop_assert_eq!(speaker.is_none(), bytes.is_empty());
        if let Some(speaker) = speaker {
            prop_assert!(speaker.excerpt().chars().count() < 200);
        }
    }

    #[test]
    fn a_broken_info_is_no_panic(cut in 0..CLIENT.len(), byte in any::<u8>()) {
        let mut bytes = CLIENT.as_bytes().to_vec();
        bytes[cut] = byte;
        identify(&bytes);
        bytes.truncate(cut);
        identify(&bytes);
    }
}
