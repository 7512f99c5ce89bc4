//! A `nats://` or `tls://` URL that does not go to a client port.

use super::codes;
use super::probes::{Http, Tls};
use crate::doctor::elsewhere::url_at;
use crate::doctor::neighbours::Monitoring;
use crate::net::target::{Scheme, Target};
use crate::results::doctor::Finding;

/// A `nats://` URL to a port that waits for the client; `None` if it is no WebSocket port either.
pub(super) fn client_port(
    target: &Target,
    plain: &Http,
    tls: &Tls,
    client: Option<u16>,
) -> Option<Finding> {
    let (scheme, evidence) = match (plain, tls) {
        (Http::Nats(info), _) => (Scheme::Ws, format!("101, then INFO of {}", info.version)),
        (_, Tls::Yes(Http::Nats(info))) => (
            Scheme::Wss,
            format!("TLS, 101, then INFO of {}", info.version),
        ),
        (Http::Status(status), _) => return Some(web_server(target, *status, false, client)),
        (_, Tls::Yes(Http::Status(status))) => {
            return Some(web_server(target, *status, true, client));
        }
        _ => return None,
    };
    let url = url_at(target, scheme, target.port);
    Some(
        codes::NATS_SCHEME
            .finding(format!(
                "{} is a WebSocket port, and the URL says {}://.",
                target.host_and_port(),
                target.scheme.name()
            ))
            .because(
                "A client port begins with INFO; this port waits, and answers a WebSocket upgrade.",
            )
            .evidence("an upgrade there", evidence)
            .remedy(format!("Use `{url}`."))
            .remedy(use_client_port(target, client)),
    )
}

/// A `nats://` URL to the monitoring port, which names the others.
pub(super) fn monitoring_port(target: &Target, monitoring: &Monitoring) -> Finding {
    let client = monitoring
        .varz
        .get("port")
        .and_then(serde_json::Value::as_u64);
    let client = client.and_then(|port| u16::try_from(port).ok());
    let finding = codes::MONITORING
        .finding(format!(
            "{} is the monitoring port of nats-server, which speaks HTTP, and the URL says {}://.",
            target.host_and_port(),
            target.scheme.name()
        ))
        .because(
            "It answers `GET /varz` with the state of the server; no client can connect to it.",
        )
        .evidence("GET /varz", "the state of a nats-server")
        .remedy(format!(
            "Use the client port: `{}`.",
            url_at(target, target.scheme, client.unwrap_or(4222))
        ));
    match monitoring.websocket_port() {
        Some(port) => finding.remedy(format!(
            "Or the WebSocket port: `{}`.",
            url_at(target, Scheme::Ws, port)
        )),
        None => finding,
    }
}

fn web_server(target: &Target, status: u16, is_tls: bool, client: Option<u16>) -> Finding {
    let scheme = if is_tls { Scheme::Wss } else { Scheme::Ws };
    codes::OTHER_PROTOCOL
        .finding(format!(
            "{} speaks HTTP, and the URL says {}://.",
            target.host_and_port(),
            target.scheme.name()
        ))
        .because("A client port begins with INFO; this port waits for a request in HTTP.")
        .evidence("answer to a GET", format!("HTTP status {status}"))
        .remedy(format!(
            "If NATS over WebSocket is served there: `{}`, with the path that the proxy expects.",
            url_at(target, scheme, target.port)
        ))
        .remedy(use_client_port(target, client))
}

fn use_client_port(target: &Target, client: Option<u16>) -> String {
    match client {
        Some(port) => format!("Or use the client port: `{}`.", url_at(target, target.scheme, port)),
        None => "Or use the client port, usually 4222; the log of nats-server names it in `Listening for client connections on`.".to_owned(),
    }
}
