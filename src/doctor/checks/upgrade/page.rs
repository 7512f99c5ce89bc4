//! A page in place of an upgrade (2xx): the monitoring port of nats-server, a captive portal, an ordinary web site.

use serde_json::Value;
use tokio::join;

use crate::doctor::checks::upgrade::advice::point_at;
use crate::doctor::code::Code;
use crate::doctor::front::{NGINX_PASSES_UPGRADE, Proxy, ProxyKind};
use crate::doctor::http::again::{Asker, Outcome, url_of};
use crate::doctor::http::answer::{Case, words};
use crate::doctor::http::paths::{self, wrong_path};
use crate::net::target::Scheme;
use crate::results::doctor::{Certainty, Finding, Severity};

pub(super) const MONITORING: Code = Code {
    name: "upgrade.monitoring-port",
    severity: Severity::Error,
    meaning: "The URL goes to the monitoring port of nats-server.",
    cause: "nats-server has an HTTP port for monitoring (8222, usually) beside the one for WebSocket.",
    fix: "Use the port of the `websocket` block; the monitoring port tells it at `/varz`.",
};

pub(super) const PROXY_TO_MONITORING: Code = Code {
    name: "upgrade.proxy-to-monitoring",
    severity: Severity::Error,
    meaning: "A proxy leads to the monitoring port of nats-server in place of its WebSocket port.",
    cause: "The upstream of the proxy has the wrong port.",
    fix: "In nginx: `proxy_pass http://HOST:PORT;` with the port of the `websocket` block.",
};

pub(super) const CAPTIVE_PORTAL: Code = Code {
    name: "upgrade.captive-portal",
    severity: Severity::Error,
    meaning: "A captive portal answers in place of the broker.",
    cause: "The network wants a login first, as in hotels and trains, and answers for every host until then.",
    fix: "Log in to the network with a browser, and try again.",
};

pub(super) const WEB_SERVER: Code = Code {
    name: "upgrade.web-server",
    severity: Severity::Error,
    meaning: "An ordinary web server answers with a page.",
    cause: "The URL leads to a web site, an API or the default page of a proxy, and not to the WebSocket port of nats-server.",
    fix: "Use the port of the `websocket` block of nats-server, or the path that the proxy leads there.",
};

/// Words of captive portals.
const PORTAL_WORDS: [&str; 14] = [
    "wifi",
    "wi-fi",
    "wlan",
    "hotspot",
    "captive",
    "guest access",
    "guest network",
    "guest portal",
    "network login",
    "use the network",
    "use this network",
    "access the internet",
    "internet access",
    "terms of use to connect",
];

/// What the second looks brought.
#[derive(Default)]
pub(super) struct Seen {
    /// `/varz`, if that is nats-server.
    pub(super) varz: Option<Value>,
    /// The WebSocket port that it names, when asked.
    pub(super) websocket: Option<Outcome>,
    pub(super) paths: paths::Seen,
}

/// Looks again.
pub(super) async fn look(case: &Case<'_>, asker: &Asker) -> Seen {
    let is_monitoring = says_monitoring(case);
    let paths = async {
        if is_monitoring {
            paths::Seen::default()
        } else {
            paths::look(asker).await
        }
    };
    let (seen, paths) = join!(look_for_varz(case.path(), asker), paths);
    Seen { paths, ..seen }
}

/// Asks for the page of nats-server that names its ports, and then that port.
pub(super) async fn look_for_varz(path: &str, asker: &Asker) -> Seen {
    let prefix = path.trim_end_matches('/');
    let mut pages = vec!["/varz".to_owned()];
    if !prefix.is_empty() {
        pages.push(format!("{prefix}/varz"));
    }
    let mut varz = None;
    for page in pages {
        let reply = asker.get(&page).await;
        let json = reply.and_then(|reply| serde_json::from_slice::<Value>(&reply.body).ok());
        varz = varz.or(json.filter(|json| json.get("server_id").is_some()));
    }
    let websocket = match varz.as_ref().and_then(websocket_of) {
        Some((scheme, port)) => Some(asker.at_port(scheme, port).ask(|_| ()).await),
        None => None,
    };
    Seen {
        varz,
        websocket,
        ..Seen::default()
    }
}

/// The page of the monitoring port names NATS and its own parts.
fn says_monitoring(case: &Case<'_>) -> bool {
    let body = String::from_utf8_lossy(&case.reply.body);
    body.contains("nats.io") && body.contains("varz")
        || serde_json::from_slice::<Value>(&case.reply.body)
            .is_ok_and(|json| json.get("server_id").is_some() && json.get("now").is_some())
}

/// Scheme and port of the WebSocket listener, by `/varz`.
fn websocket_of(varz: &Value) -> Option<(Scheme, u16)> {
    let websocket = varz.get("websocket")?;
    let port = u16::try_from(websocket.get("port")?.as_u64()?).ok()?;
    let has_no_tls = websocket.get("no_tls").and_then(Value::as_bool);
    let scheme = if has_no_tls == Some(true) {
        Scheme::Ws
    } else {
        Scheme::Wss
    };
    (port != 0).then_some((scheme, port))
}

/// The cause; `None` if it is no page of the monitoring port.
pub(super) fn judge_monitoring(case: &Case<'_>, seen: &Seen) -> Option<Finding> {
    let is_page = says_monitoring(case);
    if seen.varz.is_none() && !is_page {
        return None;
    }
    let place = case.target.host_and_port();
    let websocket = seen.varz.as_ref().and_then(websocket_of);
    let finding = match &case.proxy {
        None => case
            .finding(&MONITORING, format!("{place} is the monitoring port of nats-server, not its WebSocket port."))
            .because("It answers with the monitoring pages. NATS clients use the port of the `websocket` block."),
        Some(_) => case
            .finding(
                &PROXY_TO_MONITORING,
                format!("{} leads to the monitoring port of nats-server, not to its WebSocket port.", case.subject()),
            )
            .because("The answer is a monitoring page. The URL is right, and the upstream of the proxy is not."),
    };
    let finding = match (&seen.varz, websocket) {
        (Some(varz), Some((scheme, port))) => {
            let finding = finding
                .evidence("/varz", format!("nats-server {}, websocket port {port}{}", text(varz, "version"), tls_text(scheme)));
            remedy_with_port(case, finding, seen, scheme, port)
        }
        (Some(varz), None) => finding
            .evidence("/varz", format!("nats-server {}, no websocket port", text(varz, "version")))
            .paste(
                "This server has no WebSocket listener at all; in nats.conf (a restart is needed):",
                &["websocket { port: 8443, no_tls: true }"],
            ),
        (None, _) if case.proxy.is_some() => point_at(finding, case.proxy.as_ref(), case.path(), None)
            .remedy("The log of nats-server names that port in `Listening for websocket clients on`."),
        (None, _) => finding.remedy("Use the port that the log of nats-server names in `Listening for websocket clients on`."),
    };
    Some(finding)
}

fn remedy_with_port(
    case: &Case<'_>,
    finding: Finding,
    seen: &Seen,
    scheme: Scheme,
    port: u16,
) -> Finding {
    let url = url_of(scheme, &case.target.host, port, "/");
    let finding = match &seen.websocket {
        Some(outcome) => finding.evidence(&url, outcome.text()),
        None => finding,
    };
    let Some(proxy) = &case.proxy else {
        return finding.paste(
            "Use this URL:",
            &[&format!("natsbench doctor --server {url}")],
        );
    };
    let http = if scheme == Scheme::Wss {
        "https"
    } else {
        "http"
    };
    match proxy.kind {
        ProxyKind::Nginx => finding
            .paste(
                format!("In the nginx `location {}`:", case.path()),
                &[
                    &[&*format!(
                        "proxy_pass {http}://127.0.0.1:{port};   # with the host that is there now"
                    )],
                    &NGINX_PASSES_UPGRADE[..],
                ]
                .concat(),
            )
            .remedy("Then: nginx -t && nginx -s reload"),
        _ => finding.remedy(format!(
            "Set the port of the upstream of {} to {port}.",
            Proxy::name(proxy)
        )),
    }
}

fn tls_text(scheme: Scheme) -> &'static str {
    if scheme == Scheme::Wss {
        ", with TLS"
    } else {
        ", without TLS"
    }
}

fn text(json: &Value, name: &str) -> String {
    let value = json.get(name).and_then(Value::as_str).unwrap_or("?");
    crate::doctor::words::short(value, 40)
}

/// Whether the words are those of a captive portal.
pub(super) fn is_portal(body: &[u8]) -> bool {
    let text = words(body).to_lowercase();
    let raw = String::from_utf8_lossy(body).to_lowercase();
    let n_words = PORTAL_WORDS
        .iter()
        .filter(|word| text.contains(**word))
        .count();
    let wants_login = ["<form", "sign in", "log in", "login", "accept", "connect"]
        .iter()
        .any(|word| raw.contains(word));
    n_words > 0 && wants_login
}

/// The cause of a page that is not one of nats-server.
pub(super) fn judge(case: &Case<'_>, seen: &Seen) -> Finding {
    if let Some(finding) = judge_monitoring(case, seen) {
        return finding;
    }
    if let Some(right) = seen.paths.right_path() {
        return wrong_path(case, right);
    }
    let place = case.target.host_and_port();
    if is_portal(&case.reply.body) {
        return portal(case);
    }
    let is_proxy = case
        .proxy
        .as_ref()
        .is_some_and(|proxy| proxy.kind != ProxyKind::Other);
    let who = match &case.proxy {
        Some(_) => case.subject(),
        None => format!("The service at {place}"),
    };
    let finding = case
        .finding(
            &WEB_SERVER,
            format!("{who} answers with an ordinary web page: at `{}` there is no NATS.", case.path()),
        )
        .because("It took the WebSocket request for a plain one and answered with content, which nats-server never does.");
    let finding = if is_proxy {
        finding.certainty(Certainty::Likely).or(
            "the proxy has a route to nats-server under another path or host name",
            "look for the `location` or virtual host that leads to nats-server",
        )
    } else {
        finding
    };
    finding
        .or(
            "a captive portal or a filter of the network answers in place of the broker",
            "open http://example.com in a browser: does another page come?",
        )
        .remedy("Use the port of the `websocket` block of nats-server: its log names it in `Listening for websocket clients on`.")
        .remedy("If there is a proxy, use the path and the host name that it leads to nats-server.")
}

/// A captive portal, by its words.
pub(super) fn portal(case: &Case<'_>) -> Finding {
    case.finding(
        &CAPTIVE_PORTAL,
        format!(
            "A login page answers in place of {}: most likely this network has a captive portal.",
            case.target.host_and_port()
        ),
    )
    .certainty(Certainty::Likely)
    .because("The request was answered with a page that asks to log in to a network. The broker never saw it.")
    .remedy("Log in to the network with a browser (http://neverssl.com brings the page up), and try again.")
    .or(
        "the URL leads to an ordinary web site with a login",
        "open the address in a browser",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::http::testing::{case, nats, reply};

    const MONITOR: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<html lang=\"en\">\n\t<head>\n\t<link rel=\"shortcut icon\" href=\"https://nats.io/favicon.ico\">\n</head><body><a href=./varz>General</a></body></html>";

    fn varz() -> Value {
        serde_json::json!({
            "server_id": "N", "version": "2.15.1",
            "websocket": { "host": "127.0.0.1", "port": 20281, "no_tls": true }
        })
    }

    #[test]
    fn the_monitoring_port_tells_the_right_url() {
        let page = reply(MONITOR);
        let seen = Seen {
            varz: Some(varz()),
            websocket: Some(nats()),
            ..Seen::default()
        };
        let finding = judge(&case("ws://h:8222", &page), &seen);
        assert_eq!(finding.code, MONITORING.name);
        assert!(finding.remedy[0].ends_with("ws://h:20281"), "{finding:?}");
    }

    #[test]
    fn behind_a_proxy_the_upstream_is_wrong_and_not_the_url() {
        let page = reply(&MONITOR.replacen("\r\n", "\r\nServer: nginx/1.22.1\r\n", 1));
        let seen = Seen {
            varz: Some(varz()),
            ..Seen::default()
        };
        let finding = judge(&case("ws://h:80", &page), &seen);
        assert_eq!(finding.code, PROXY_TO_MONITORING.name);
        assert!(finding.remedy[0].contains("proxy_pass http://127.0.0.1:20281;"));
    }

    #[test]
    fn a_server_without_websocket_is_told_so() {
        let page = reply(MONITOR);
        let seen = Seen {
            varz: Some(serde_json::json!({"server_id": "N", "websocket": {}})),
            ..Seen::default()
        };
        let finding = judge(&case("ws://h:8222", &page), &seen);
        assert!(finding.remedy[0].contains("websocket { port: 8443"));
    }

    #[test]
    fn a_portal_is_told_from_a_web_site() {
        let portal = "HTTP/1.1 200 OK\r\nServer: gateway\r\nContent-Type: text/html\r\n\r\n<html><head><title>Welcome to GuestWiFi</title></head><body><form action=\"/login\">Sign in to use the network</form></body></html>";
        let site = "HTTP/1.0 200 OK\r\nServer: SimpleHTTP/0.6 Python/3.11.7\r\nContent-type: text/html; charset=utf-8\r\n\r\n<!DOCTYPE HTML>\n<html lang=\"en\">\n<head>\n<title>Directory listing for /</title></head></html>";
        for (text, code) in [(portal, CAPTIVE_PORTAL.name), (site, WEB_SERVER.name)] {
            let page = reply(text);
            let finding = judge(&case("ws://h:1", &page), &Seen::default());
            assert_eq!(finding.code, code);
        }
    }
}
