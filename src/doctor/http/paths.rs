//! Nothing at this path: where else, and under which name.

use tokio::join;
use tokio::task::JoinSet;

use crate::doctor::code::Code;
use crate::doctor::front::{ProxyKind, nginx_location};
use crate::doctor::http::again::{Asker, Outcome, url_of};
use crate::doctor::http::answer::{Case, path_of};
use crate::results::doctor::{Certainty, Finding, Severity};

pub(crate) const WRONG_PATH: Code = Code {
    name: "upgrade.wrong-path",
    severity: Severity::Error,
    meaning: "NATS is at another path of the same address.",
    cause: "A proxy routes only some paths to nats-server, and the path of the URL is not one of them. Another path that was tried answers 101 and INFO.",
    fix: "Use that path in the URL, or route the path of the URL to nats-server.",
};

pub(crate) const NOT_FOUND: Code = Code {
    name: "upgrade.not-found",
    severity: Severity::Error,
    meaning: "A proxy or web server knows nothing under this host name and path (404).",
    cause: "The path is not routed to nats-server, or the host name of the URL is not configured, so that the default server answers. nats-server itself takes any path.",
    fix: "Use the host name and path that the proxy has for NATS, or add them to its configuration.",
};

pub(crate) const MQTT_PATH: Code = Code {
    name: "upgrade.mqtt-path",
    severity: Severity::Error,
    meaning: "The path ends in `/mqtt`, so that nats-server takes the connection for MQTT.",
    cause: "nats-server speaks NATS at every path but two: `.../mqtt` is for MQTT, `.../leafnode` for leaf nodes.",
    fix: "Leave `/mqtt` out of the URL.",
};

/// Where NATS often is.
const USUAL_PATHS: [&str; 8] = [
    "/",
    "/nats",
    "/ws",
    "/nats/",
    "/ws/",
    "/websocket",
    "/nats-ws",
    "/nats/ws",
];

/// What the second looks brought.
#[derive(Default)]
pub(crate) struct Seen {
    /// Other paths, and what they answer.
    pub(crate) paths: Vec<(String, Outcome)>,
    /// The same path under a host name that nobody has.
    pub(crate) stranger: Option<Outcome>,
}

impl Seen {
    /// The path at which NATS is.
    pub(crate) fn right_path(&self) -> Option<&str> {
        let mut paths = self.paths.iter();
        paths
            .find(|(_, outcome)| outcome.is_nats())
            .map(|(path, _)| path.as_str())
    }
}

/// Other paths worth trying: the usual ones, and the one of the URL with and without its last slash and last part.
fn candidates(path: &str) -> Vec<String> {
    let mut paths: Vec<String> = USUAL_PATHS.iter().map(ToString::to_string).collect();
    let bare = path.trim_end_matches('/');
    if !bare.is_empty() {
        paths.insert(1, bare.to_owned());
        paths.insert(2, format!("{bare}/"));
        if let Some((parent, _)) = bare.rsplit_once('/')
            && !parent.is_empty()
        {
            paths.insert(3, parent.to_owned());
        }
    }
    let mut seen = vec![path.to_owned()];
    paths.retain(|candidate| {
        let is_new = !seen.contains(candidate);
        seen.push(candidate.clone());
        is_new
    });
    paths
}

/// Tries other paths, and another host name, all side by side. They may be somebody else's.
pub(crate) async fn look(asker: &Asker) -> Seen {
    let own = path_of(&asker.target.path_and_query).to_owned();
    let asker = asker.without_secrets();
    let mut tasks = JoinSet::new();
    for (idx, path) in candidates(&own).into_iter().enumerate() {
        let asker = asker.clone();
        tasks.spawn(async move {
            let outcome = asker
                .ask(|request| path.clone_into(&mut request.path_and_query))
                .await;
            (idx, path, outcome)
        });
    }
    let stranger = asker.ask(|request| {
        request
            .headers
            .retain(|(name, _)| !name.eq_ignore_ascii_case("Host"));
        "natsbench.invalid".clone_into(&mut request.host);
    });
    let (mut found, stranger) = join!(tasks.join_all(), stranger);
    found.sort_by_key(|(idx, ..)| *idx);
    Seen {
        paths: found
            .into_iter()
            .map(|(_, path, outcome)| (path, outcome))
            .collect(),
        stranger: Some(stranger),
    }
}

/// NATS is at another path.
pub(crate) fn wrong_path(case: &Case<'_>, right: &str) -> Finding {
    let target = case.target;
    let url = url_of(target.scheme, &target.host, target.port, right);
    case.finding(
        &WRONG_PATH,
        format!(
            "{} has NATS at `{right}`, and not at `{}`.",
            case.subject(),
            case.path()
        ),
    )
    .because("The same request with that path is answered with 101 and INFO.")
    .evidence(&format!("at {right}"), "101, then INFO")
    .paste(
        "Use that path:",
        &[&format!("natsbench doctor --server {url}")],
    )
}

/// nats-server says 404: the path is for MQTT.
pub(crate) fn mqtt(case: &Case<'_>) -> Finding {
    let target = case.target;
    let path = case.path();
    let why = "nats-server speaks NATS at every path but two: `.../mqtt` is for MQTT over WebSocket, `.../leafnode` for leaf nodes.";
    let Some(right) = path.strip_suffix("/mqtt") else {
        return case
            .finding(&MQTT_PATH, format!("nats-server takes the connection for MQTT: something on the way turns the path `{path}` into one that ends in /mqtt."))
            .because(why)
            .remedy(format!(
                "Take /mqtt out of the upstream address in {} (nginx: `proxy_pass http://HOST:PORT;`, without a path).",
                case.proxy_name()
            ));
    };
    let right = if right.is_empty() { "/" } else { right };
    let url = url_of(target.scheme, &target.host, target.port, right);
    case.finding(
        &MQTT_PATH,
        format!(
            "The path `{path}` ends in /mqtt, so that nats-server takes the connection for MQTT."
        ),
    )
    .because(why)
    .paste(
        "Leave /mqtt out of the URL:",
        &[&format!("natsbench doctor --server {url}")],
    )
}

/// A proxy says 404, and no other path that was tried is the right one.
pub(crate) fn not_found(case: &Case<'_>, seen: &Seen) -> Finding {
    if let Some(right) = seen.right_path() {
        return wrong_path(case, right);
    }
    let host = case.sent_host();
    let path = case.path();
    let tried: Vec<_> = seen
        .paths
        .iter()
        .map(|(path, outcome)| format!("{path} {}", outcome.text()))
        .collect();
    // A name that nobody has is treated in the same way: the name of the URL may be as unknown.
    let is_like_stranger = matches!(
        &seen.stranger,
        Some(Outcome::Refused(reply)) if reply.status == case.reply.status
    );
    let finding = case
        .finding(
            &NOT_FOUND,
            format!(
                "{} has no way to NATS for the host name `{host}` and the path `{path}`.",
                case.subject()
            ),
        )
        .certainty(Certainty::Possible)
        .because("nats-server takes any path, and never saw this request: the proxy in front of it has no route for this name and path.")
        .evidence("other paths", tried.join(", "));
    let by_name = format!(
        "the host name `{host}` is not configured there, so that the default server answers"
    );
    let by_path = format!("the proxy leads another path than `{path}` to nats-server");
    let tell_name = "look for the `server_name` (virtual host, `Host(...)` rule, ingress host) of the NATS route: the URL has to use that name";
    let tell_path = "look for the `location` (path, `PathPrefix`) of the NATS route: the URL has to use that path";
    let finding = if is_like_stranger {
        finding
            .evidence(
                "host name `natsbench.invalid`",
                "the same answer: the name of the URL is treated like an unknown one",
            )
            .or(&by_name, tell_name)
            .or(&by_path, tell_path)
    } else {
        finding.or(&by_path, tell_path).or(&by_name, tell_name)
    };
    let finding = if case.has_header("Host") {
        finding.remedy("Correct `--header 'Host: ...'`: it replaces the host name of the URL.")
    } else {
        finding.paste(
            "Use the name and the path that the proxy has for NATS, or try a name without changing the URL:",
            &["natsbench doctor --server URL --header 'Host: nats.example.com'"],
        )
    };
    match case.proxy.as_ref().map(|proxy| proxy.kind) {
        Some(ProxyKind::Nginx) => {
            let mut lines = vec![format!("server_name {};", case.target.host)];
            lines.extend(nginx_location(path, "proxy_pass http://127.0.0.1:8443;"));
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            finding.paste("Or add them to nginx:", &lines)
        }
        _ => finding
            .remedy("Or add a route for this name and path to the WebSocket port of nats-server."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::http::testing::{case, nats, reply};

    const PAGE: &str = "HTTP/1.1 404 Not Found\r\nServer: nginx/1.22.1\r\nContent-Type: text/html\r\n\r\n<html>\r\n<head><title>404 Not Found</title></head>\r\n<body>\r\n<center><h1>404 Not Found</h1></center>\r\n<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n";

    #[test]
    fn the_path_of_the_url_is_not_tried_twice() {
        let paths = candidates("/nats/");
        assert!(!paths.contains(&"/nats/".to_owned()));
        assert_eq!(paths.iter().filter(|path| *path == "/nats").count(), 1);
        assert!(candidates("/a/b").contains(&"/a".to_owned()));
        assert_eq!(candidates("/").len(), USUAL_PATHS.len() - 1);
    }

    #[test]
    fn a_path_that_works_is_the_answer() {
        let page = reply(PAGE);
        let seen = Seen {
            paths: vec![
                ("/".into(), Outcome::Refused(page.clone())),
                ("/nats".into(), nats()),
            ],
            stranger: None,
        };
        let finding = not_found(&case("ws://h:1/x", &page), &seen);
        assert_eq!(finding.code, WRONG_PATH.name);
        assert_eq!(
            finding.title,
            "nginx at h:1 has NATS at `/nats`, and not at `/x`."
        );
        assert!(finding.remedy[0].contains("ws://h:1/nats"));
    }

    #[test]
    fn an_unknown_name_comes_first_where_a_stranger_gets_the_same() {
        let page = reply(PAGE);
        let mut seen = Seen {
            paths: vec![("/nats".into(), Outcome::Refused(page.clone()))],
            stranger: Some(Outcome::Refused(page.clone())),
        };
        let finding = not_found(&case("ws://h:1", &page), &seen);
        assert!(finding.alternatives[0].cause.contains("host name `h:1`"));
        seen.stranger = Some(Outcome::Failed("closed".into()));
        let finding = not_found(&case("ws://h:1", &page), &seen);
        assert!(finding.alternatives[0].cause.contains("another path"));
    }

    #[test]
    fn mqtt_is_left_out_of_the_url() {
        let own = reply(
            "HTTP/1.1 404 Not Found\r\nSec-Websocket-Version: 13\r\nContent-Length: 10\r\n\r\nNot Found\n",
        );
        for (url, right) in [
            ("ws://h:1/mqtt", "ws://h:1"),
            ("wss://h:1/a/mqtt", "wss://h:1/a"),
        ] {
            let finding = mqtt(&case(url, &own));
            assert!(finding.remedy[0].ends_with(right), "{finding:?}");
        }
    }
}
