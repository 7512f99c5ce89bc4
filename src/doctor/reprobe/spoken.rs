//! The port speaks, and what it says is no HTTP: whose words these are, and where the right port is.

use super::codes;
use crate::doctor::code::Code;
use crate::doctor::elsewhere::{Served, find_websocket, url_at};
use crate::doctor::examination::Examination;
use crate::doctor::fingerprint::{NatsPort, Protocol, Speaker};
use crate::doctor::front::nginx_location;
use crate::doctor::neighbours::Neighbours;
use crate::doctor::words::short;
use crate::net::target::{Scheme, Target};
use crate::protocol::ServerInfo;
use crate::results::doctor::{Certainty, Finding};

/// Most addresses shown of a list that a server sent.
const MAX_ADDRESSES: usize = 4;
/// How much of a field of INFO is shown.
const MAX_FIELD_CHARS: usize = 80;

/// Where NATS over WebSocket is, as far as it was found.
#[derive(Default)]
struct Right {
    served: Option<Served>,
    neighbours: Neighbours,
}

/// The port spoke before it was asked.
pub(crate) async fn spoken(examination: &mut Examination<'_>, speaker: &Speaker) -> Finding {
    let right = look_for_right_port(examination, speaker).await;
    by_itself(examination.target, speaker, &right)
}

/// It spoke inside TLS, before it was asked.
pub(super) async fn in_tls(examination: &mut Examination<'_>, speaker: &Speaker) -> Finding {
    let right = look_for_right_port(examination, speaker).await;
    inside_tls(examination.target, speaker, &right)
}

/// It spoke only once it was asked.
pub(super) async fn after_request(examination: &mut Examination<'_>, speaker: &Speaker) -> Finding {
    let right = look_for_right_port(examination, speaker).await;
    when_asked(examination.target, speaker, &right)
}

async fn look_for_right_port(examination: &mut Examination<'_>, speaker: &Speaker) -> Right {
    let Speaker::Nats(_, info) = speaker else {
        return Right::default();
    };
    // What is found around is compared with the server that spoke.
    let neighbours = examination.look_around().await;
    let hints: Vec<u16> = info
        .ws_connect_urls
        .iter()
        .filter_map(|url| url.rsplit_once(':')?.1.parse().ok())
        .take(MAX_ADDRESSES)
        .collect();
    let served = find_websocket(examination, &neighbours, &hints).await;
    Right { served, neighbours }
}

fn by_itself(target: &Target, speaker: &Speaker, right: &Right) -> Finding {
    match speaker {
        Speaker::Nats(port, info) => nats_port(target, *port, info, right),
        Speaker::NatsError(text) => codes::CLIENT
            .finding(format!(
                "{} is a NATS client port, and the URL says {}://.",
                target.host_and_port(),
                target.scheme.name()
            ))
            .because("It begins with an error of the NATS protocol; a WebSocket port waits for HTTP.")
            .evidence("first bytes", format!("-ERR '{text}'"))
            .certainty(Certainty::Likely)
            .remedy("Use the port of the `websocket` block; the log of nats-server names it in `Listening for websocket clients on`."),
        Speaker::Other(Protocol::Ssh, banner) => codes::SSH
            .finding(format!("{} is an SSH server, not NATS.", target.host_and_port()))
            .because("It introduces itself before anything was asked.")
            .evidence("first bytes", banner)
            .remedy(correct_the_port()),
        Speaker::Other(protocol, excerpt) => codes::OTHER_PROTOCOL
            .finding(format!(
                "{} is {}, not NATS over WebSocket.",
                target.host_and_port(),
                protocol.server()
            ))
            .because("It speaks before anything was asked; a WebSocket port waits for HTTP.")
            .evidence("first bytes", excerpt)
            .certainty(certainty_of(*protocol))
            .remedy(correct_the_port()),
    }
}

fn correct_the_port() -> &'static str {
    "Correct the port of the URL: it is the one that the log of nats-server names in `Listening for websocket clients on`."
}

fn certainty_of(protocol: Protocol) -> Certainty {
    match protocol {
        Protocol::Text | Protocol::Binary => Certainty::Likely,
        _ => Certainty::Certain,
    }
}

/// The code of each port of nats-server, its name, and who uses it.
fn about(port: NatsPort) -> (&'static Code, &'static str, &'static str) {
    match port {
        NatsPort::Client => (
            &codes::CLIENT,
            "the plain NATS client port",
            "On that port nats-server begins with INFO; on the WebSocket port it waits for HTTP.",
        ),
        NatsPort::Route => (
            &codes::ROUTE,
            "the cluster port of nats-server, where other servers connect",
            "Its INFO has `route_pool_size` and no `client_id`: this is the port of routes, and no client can use it.",
        ),
        NatsPort::Leafnode => (
            &codes::LEAFNODE,
            "the leafnode port of nats-server, where other servers connect",
            "Its INFO has `info_on_connect`: this is the port of leaf nodes, and no client can use it.",
        ),
        NatsPort::Gateway => (
            &codes::GATEWAY,
            "the gateway port of nats-server, where other clusters connect",
            "Its INFO has `gateway_urls`: this is the port of gateways, and no client can use it.",
        ),
    }
}

fn nats_port(target: &Target, port: NatsPort, info: &ServerInfo, right: &Right) -> Finding {
    let (code, name, why) = about(port);
    let finding = code
        .finding(format!(
            "{} is {name}, and the URL says {}://.",
            target.host_and_port(),
            target.scheme.name()
        ))
        .because(why)
        .evidence("first bytes", first_bytes(info));
    let finding = mapped(finding, target, info);
    let finding = with_right_port(finding, target, info, right);
    if port == NatsPort::Client {
        finding.remedy(format!(
            "If WebSocket is not needed, say so in the URL: `{}`.",
            url_at(target, Scheme::Nats, target.port)
        ))
    } else {
        finding
    }
}

fn inside_tls(target: &Target, speaker: &Speaker, right: &Right) -> Finding {
    let Speaker::Nats(NatsPort::Client, info) = speaker else {
        let finding = by_itself(target, speaker, right);
        return finding;
    };
    let finding = codes::CLIENT_TLS_FIRST
        .finding(format!(
            "{} is the NATS client port of a server with `handshake_first`, and the URL says {}://.",
            target.host_and_port(),
            target.scheme.name()
        ))
        .because("It says nothing without TLS, and inside TLS it begins with INFO; a WebSocket port waits for HTTP there.")
        .evidence("first bytes inside TLS", first_bytes(info));
    let finding = mapped(finding, target, info);
    if !target.scheme.is_websocket() {
        return finding.remedy("Add `--tlsfirst`, so that TLS begins before INFO.");
    }
    with_right_port(finding, target, info, right).remedy(format!(
        "If WebSocket is not needed: `{}` with `--tlsfirst`.",
        url_at(target, Scheme::Tls, target.port)
    ))
}

fn when_asked(target: &Target, speaker: &Speaker, right: &Right) -> Finding {
    match speaker {
        Speaker::Nats(port, info) => passed_on(target, *port, info, right),
        Speaker::Other(Protocol::Http2, excerpt) => codes::HTTP2_ONLY
            .finding(format!(
                "{} speaks only HTTP/2, and the upgrade to WebSocket needs HTTP/1.1.",
                target.host_and_port()
            ))
            .because("A request in HTTP/1.1 was answered with HTTP/2 frames. Browsers and NATS clients upgrade over HTTP/1.1.")
            .evidence("answer to the upgrade", excerpt)
            .paste(
                "In nginx, take `http2` out of the line of this port (without TLS it means HTTP/2 only):",
                &[&format!("listen {};", target.port)],
            )
            .remedy("Is it a gRPC server, correct the port of the URL."),
        Speaker::NatsError(text) => codes::PROXY_TO_OTHER
            .finding(format!(
                "{} answers the upgrade with an error of the NATS protocol instead of HTTP.",
                target.host_and_port()
            ))
            .because("The request reached a plain NATS port and not the WebSocket port.")
            .evidence("answer to the upgrade", format!("-ERR '{text}'"))
            .certainty(Certainty::Likely)
            .remedy(correct_the_port()),
        Speaker::Other(protocol, excerpt) => codes::PROXY_TO_OTHER
            .finding(format!(
                "{} answers the upgrade like {}, not in HTTP.",
                target.host_and_port(),
                protocol.server()
            ))
            .because("Either that server listens on the port of the URL, or a proxy passes the request on to it.")
            .evidence("answer to the upgrade", excerpt)
            .certainty(certainty_of(*protocol))
            .remedy(correct_the_port()),
    }
}

/// Something in between waited for the request, and has passed it on to a port that speaks NATS without WebSocket.
fn passed_on(target: &Target, port: NatsPort, info: &ServerInfo, right: &Right) -> Finding {
    let (_, name, _) = about(port);
    let finding = codes::PROXY_TO_CLIENT
        .finding(format!(
            "The proxy at {} passes the upgrade on to {name} instead of the WebSocket port.",
            target.host_and_port()
        ))
        .because("INFO comes without an HTTP head, and only once a request was sent: nats-server would have sent it at once, so that something in between waited for the request.")
        .evidence("answer to the upgrade", first_bytes(info));
    let finding = mapped(finding, target, info);
    let port = right.served.as_ref().map_or_else(
        || "8443".to_owned(),
        |served| served.address.port().to_string(),
    );
    let upstream = format!("proxy_pass http://127.0.0.1:{port};");
    let lines = nginx_location("/", &upstream);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    finding.paste(
        "Let the proxy pass it on to the port of the `websocket` block; in nginx:",
        &lines,
    )
}

/// INFO as it came, without what says nothing here.
fn first_bytes(info: &ServerInfo) -> String {
    let mut fields = vec![
        format!("\"version\":\"{}\"", short(&info.version, MAX_FIELD_CHARS)),
        format!("\"port\":{}", info.port),
    ];
    if info.client_id != 0 {
        fields.push(format!("\"client_id\":{}", info.client_id));
    }
    if !info.ws_connect_urls.is_empty() {
        let urls = info.ws_connect_urls.iter().take(MAX_ADDRESSES);
        let urls: Vec<_> = urls.map(|url| short(url, MAX_FIELD_CHARS)).collect();
        fields.push(format!("\"ws_connect_urls\":{urls:?}"));
    }
    for name in ["info_on_connect", "gateway_urls", "route_pool_size"] {
        if let Some(value) = info.extra.get(name) {
            let value = short(&value.to_string(), MAX_FIELD_CHARS);
            fields.push(format!("\"{name}\":{value}"));
        }
    }
    if info.tls_required {
        fields.push("\"tls_required\":true".to_owned());
    }
    format!("INFO {{{}, ...}}", fields.join(","))
}

/// INFO names the port that the server listens on: another one than that of the URL means that something is in between.
fn mapped(finding: Finding, target: &Target, info: &ServerInfo) -> Finding {
    if info.port == 0 || info.port == target.port {
        return finding;
    }
    finding.evidence(
        "in between",
        format!(
            "INFO says port {}, the URL {}: a proxy or a port mapping leads there",
            info.port, target.port
        ),
    )
}

fn with_right_port(finding: Finding, target: &Target, info: &ServerInfo, right: &Right) -> Finding {
    if let Some(served) = &right.served {
        let url = served.url(target);
        let is_same = served.info.server_id == info.server_id;
        let finding = finding.evidence(
            &url,
            if is_same {
                "NATS over WebSocket, of the same server"
            } else {
                "NATS over WebSocket, of another server"
            },
        );
        return finding.remedy(format!("Use `{url}`."));
    }
    if !info.ws_connect_urls.is_empty() {
        let urls: Vec<_> = info
            .ws_connect_urls
            .iter()
            .take(MAX_ADDRESSES)
            .map(|url| format!("`{}`", short(url, MAX_FIELD_CHARS)))
            .collect();
        return finding.remedy(format!(
            "Use a WebSocket address that the server names: {}.",
            urls.join(", ")
        ));
    }
    let told = right.neighbours.monitoring.as_ref();
    let told = told.filter(|monitoring| monitoring.server_id() == Some(&info.server_id));
    match told.map(|monitoring| (monitoring, monitoring.websocket_port())) {
        Some((_, Some(port))) => finding.remedy(format!(
            "Use `{}`: the monitoring port names it.",
            url_at(target, websocket_scheme(target), port)
        )),
        Some((monitoring, None)) => finding
            .evidence(
                &format!("http://{}/varz", monitoring.address),
                "no websocket.port",
            )
            .paste(
                "This server has no WebSocket port. Add the block to its configuration and restart it (a reload does not enable it):",
                &["websocket {", "  port: 8443", "  no_tls: true", "}"],
            ),
        None => finding
            .remedy("Use the port of the `websocket` block (8443, say); the log of nats-server names it in `Listening for websocket clients on`.")
            .paste(
                "If there is no such block, add it to the configuration of nats-server and restart it (a reload does not enable it):",
                &["websocket {", "  port: 8443", "  no_tls: true", "}"],
            ),
    }
}

fn websocket_scheme(target: &Target) -> Scheme {
    if target.scheme.is_websocket() {
        target.scheme
    } else {
        Scheme::Ws
    }
}

#[cfg(test)]
#[path = "spoken_tests.rs"]
mod tests;
