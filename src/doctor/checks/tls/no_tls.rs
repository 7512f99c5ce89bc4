//! Ports that do not begin with TLS: what they speak instead.

use super::codes::{NOT_TLS, PLAIN_HTTP, PLAIN_WEBSOCKET, PROXY_PROTOCOL};
use super::handshake::{Looks, Plain};
use crate::doctor::fingerprint::{NatsPort, Protocol, Speaker, excerpt};
use crate::net::target::{Scheme, Target};
use crate::net::ws::upgrade::HttpReply;
use crate::results::doctor::Finding;

/// The same URL without TLS.
fn plain_url(target: &Target) -> String {
    let scheme = if target.scheme.is_websocket() {
        Scheme::Ws
    } else {
        Scheme::Nats
    };
    Target {
        scheme,
        user_info: None,
        ..target.clone()
    }
    .to_string()
}

/// The answer to the upgrade in clear, if only a WebSocket server gives such a one: nats-server puts the version that
/// it wants into its refusals, too, of an origin for example.
pub(super) fn answer_of_a_websocket_server(plain: &Plain) -> Option<String> {
    match plain {
        Plain::Switched => Some("101".to_owned()),
        Plain::Http(reply) if reply.header("sec-websocket-version").is_some() => {
            Some(format!("{} {}", reply.status, reply.reason))
        }
        _ => None,
    }
}

pub(super) fn plain_websocket(target: &Target, looks: &Looks, answer: &str) -> Finding {
    let mut finding = PLAIN_WEBSOCKET
        .finding(format!(
            "{} speaks WebSocket without TLS, and the URL says wss://.",
            target.host_and_port()
        ))
        .because(
            "The port does not answer a TLS handshake, and the same upgrade in clear is answered as a WebSocket server answers. nats-server does so with `no_tls: true`, which belongs behind a proxy that ends TLS.",
        );
    if !looks.heard.is_empty() {
        finding = finding.evidence("answer to a ClientHello", excerpt(&looks.heard));
    }
    finding
        .evidence("answer to the upgrade without TLS", answer)
        .paste(
            "Use ws:// in the URL:",
            &[&format!("natsbench doctor --server {}", plain_url(target))],
        )
        .paste(
            "Or, to have TLS where nats-server itself listens there, replace `no_tls: true` in nats.conf and restart it:",
            &[
                "websocket {",
                &format!("  port: {}", target.port),
                "  tls { cert_file: \"server.pem\", key_file: \"server.key\" }",
                "}",
            ],
        )
}

pub(super) fn plain_http(target: &Target, reply: &HttpReply, looks: &Looks) -> Finding {
    let server = reply.header("server").unwrap_or("none");
    let body = String::from_utf8_lossy(&reply.body);
    if body.contains("nats.io") && body.contains("varz") {
        return PLAIN_HTTP
            .finding(format!(
                "{} is the monitoring port of nats-server, which speaks HTTP without TLS: no client can connect to it.",
                target.host_and_port()
            ))
            .because("It answers in clear, with the monitoring pages. NATS clients use the port of the `websocket` block.")
            .remedy("Use the port that the log of nats-server names in `Listening for websocket clients on`.")
            .paste(
                "Or have that port looked up:",
                &[&format!("natsbench doctor --server {}", plain_url(target))],
            );
    }
    let mut finding = PLAIN_HTTP
        .finding(format!(
            "{} speaks HTTP without TLS, and the URL says wss://.",
            target.host_and_port()
        ))
        .because(format!(
            "The port does not answer a TLS handshake, and answers the same upgrade in clear with {}: it is not a WebSocket port of nats-server that is open to this request, either.",
            reply.status
        ));
    if !looks.heard.is_empty() {
        finding = finding.evidence("answer to a ClientHello", excerpt(&looks.heard));
    }
    finding = finding
        .evidence(
            "answer to the upgrade without TLS",
            format!("{} {}", reply.status, reply.reason),
        )
        .evidence("Server header", server);
    if let Some(secure) = secure_place(reply) {
        return finding.evidence("Location", &secure).paste(
            "Use the port that it redirects to:",
            &[&format!(
                "natsbench doctor --server {}",
                secure.replacen("https://", "wss://", 1)
            )],
        );
    }
    finding
        .remedy("Use the port that has TLS: 443 at most proxies, the port of the `websocket` block at nats-server.")
        .paste(
            "Or see what is wrong with the port without TLS:",
            &[&format!("natsbench doctor --server {}", plain_url(target))],
        )
}

/// Where a redirect to HTTPS leads, without its query and without credentials.
fn secure_place(reply: &HttpReply) -> Option<String> {
    let location = reply.header("location")?;
    let place = location.split(['?', '#']).next()?;
    (place.starts_with("https://") && !place.contains('@')).then(|| place.to_owned())
}

pub(super) fn not_tls(target: &Target, speaker: &Speaker, looks: &Looks) -> Finding {
    let port = target.host_and_port();
    if let (Speaker::Other(Protocol::Http, _), Plain::Http(reply)) = (speaker, &looks.plain) {
        return plain_http(target, reply, looks);
    }
    let finding = match speaker {
        Speaker::Nats(kind, _) => {
            let kind = match kind {
                NatsPort::Client => "client",
                NatsPort::Route => "cluster",
                NatsPort::Leafnode => "leafnode",
                NatsPort::Gateway => "gateway",
            };
            NOT_TLS.finding(format!(
                "{port} is the {kind} port of nats-server, which begins with INFO and not with TLS."
            ))
        }
        Speaker::NatsError(_) => NOT_TLS.finding(format!(
            "{port} is a port of nats-server, but none for WebSocket."
        )),
        Speaker::Other(protocol, _) => NOT_TLS.finding(format!(
            "{port} does not speak TLS: {} answers.",
            protocol.server()
        )),
    };
    finding
        .because("What came back to the TLS handshake belongs to another protocol.")
        .evidence("answer to a ClientHello", speaker.excerpt())
        .remedy("Use the port that the log of nats-server names: `Listening for websocket clients on wss://...`.")
}

pub(super) fn proxy_protocol(target: &Target) -> Finding {
    PROXY_PROTOCOL
        .finding(format!(
            "{} wants a PROXY protocol header before TLS.",
            target.host_and_port()
        ))
        .because(
            "A bare TLS handshake gets no answer, and the same behind a PROXY header does: it is the inner port of a load balancer, and clients are to connect through that.",
        )
        .evidence("ClientHello behind `PROXY TCP4 ...`", "TLS answers")
        .remedy("Connect through the load balancer.")
        .paste(
            "Or have the port take clients directly. nginx:",
            &[&format!("listen {} ssl;   # without proxy_protocol", target.port)],
        )
        .paste(
            "haproxy:",
            &[&format!(
                "bind :{} ssl crt server.pem   # without accept-proxy",
                target.port
            )],
        )
}
