//! Whose words the first ones on a WebSocket are, if they are not those of nats-server.

use crate::doctor::checks::info::listen::Said;
use crate::doctor::fingerprint::{self, Speaker};
use crate::net::ws::frame::opcode;

/// A service that is not NATS, by its first words.
pub(super) fn service_of(said: &Said) -> Option<&'static str> {
    let text = String::from_utf8_lossy(&said.payload);
    let text = text.trim_start();
    let has = |part: &str| text.contains(part);
    let starts = |start: &str| text.starts_with(start);
    if let Some(service) = binary(&said.payload) {
        return Some(service);
    }
    let known = [
        (starts("0{\"sid\""), "a socket.io (Engine.IO) service"),
        (starts("40"), "a socket.io service"),
        (text == "o" || starts("a[\""), "a SockJS service"),
        (
            has("\"connection_ack\"") || has("\"connection_init\"") || has("\"type\":\"ka\""),
            "a GraphQL service",
        ),
        (
            has("\"phx_") || starts("[null,null,\""),
            "a Phoenix channel",
        ),
        (
            has("\"type\":\"welcome\"") || has("ActionCable"),
            "a Rails Action Cable service",
        ),
        (
            starts("CONNECTED\n") || starts("RECEIPT\n") || starts("ERROR\nmessage"),
            "a STOMP broker",
        ),
        (has("\u{1e}") && has("{"), "a SignalR service"),
        (has("\"jsonrpc\""), "a JSON-RPC service"),
        (starts("[1,") || starts("[2,"), "a WAMP router"),
        (has("pusher:connection_established"), "a Pusher service"),
        (starts("<open ") || starts("<stream:"), "an XMPP server"),
    ];
    known
        .iter()
        .find(|(is_it, _)| *is_it)
        .map(|(_, service)| *service)
}

fn binary(payload: &[u8]) -> Option<&'static str> {
    match payload {
        [0x20, 2, 0..=1, _] | [0x20, _, 0..=1, _, ..] => Some("an MQTT broker"),
        [b'A', b'M', b'Q', b'P', ..] => Some("a message broker that speaks AMQP"),
        _ => match fingerprint::identify(payload)? {
            Speaker::Other(protocol, _) => match protocol {
                fingerprint::Protocol::Text
                | fingerprint::Protocol::Binary
                | fingerprint::Protocol::WebSocket
                | fingerprint::Protocol::Redis => None,
                protocol => Some(protocol.server()),
            },
            Speaker::Nats(..) | Speaker::NatsError(_) => None,
        },
    }
}

/// How to call words that nobody is known by.
pub(super) fn kind_of(said: &Said) -> &'static str {
    let text = String::from_utf8_lossy(&said.payload);
    let is_json = serde_json::from_slice::<serde_json::Value>(&said.payload).is_ok()
        && text.trim_start().starts_with(['{', '[']);
    match (is_json, said.opcode) {
        (true, _) => "a service that speaks JSON",
        (false, opcode::TEXT) => "a service that speaks text of its own",
        _ => "a service with a binary protocol of its own",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(payload: &str) -> Said {
        Said {
            opcode: opcode::TEXT,
            payload: payload.as_bytes().to_vec(),
        }
    }

    #[test]
    fn services_are_known_by_their_greeting() {
        for (payload, service) in [
            ("0{\"sid\":\"x\",\"upgrades\":[]}", "socket.io"),
            ("o", "SockJS"),
            ("{\"type\":\"connection_ack\"}", "GraphQL"),
            ("{\"type\":\"welcome\"}", "Action Cable"),
            ("CONNECTED\nversion:1.2\n\n\0", "STOMP"),
            ("{}\u{1e}", "SignalR"),
            ("SSH-2.0-OpenSSH_9.2p1\r\n", "SSH"),
        ] {
            let found = service_of(&text(payload));
            assert!(
                found.is_some_and(|found| found.contains(service)),
                "{payload}: {found:?}"
            );
        }
        let connack = Said {
            opcode: opcode::BINARY,
            payload: vec![0x20, 2, 0, 0],
        };
        assert_eq!(service_of(&connack), Some("an MQTT broker"));
    }

    #[test]
    fn unknown_words_are_called_what_they_are() {
        let hello = text("{\"type\":\"hello\",\"service\":\"chat\"}");
        assert_eq!(service_of(&hello), None);
        assert_eq!(kind_of(&hello), "a service that speaks JSON");
        assert_eq!(
            kind_of(&text("hi")),
            "a service that speaks text of its own"
        );
        assert_eq!(service_of(&text("")), None);
    }
}
