//! A refusal that may be about the origin: the same request with other origins, and without one.

use tokio::join;

use crate::doctor::checks::upgrade::cloudflare;
use crate::doctor::checks::upgrade::codes::CLIENT_CERTIFICATE;
use crate::doctor::code::Code;
use crate::doctor::front::is_nats;
use crate::doctor::http::again::{Asker, Outcome};
use crate::doctor::http::answer::Case;
use crate::doctor::words::short;
use crate::net::target::Scheme;
use crate::results::doctor::{Certainty, Finding, Severity};

/// What browsers call themselves; some filters refuse whoever does not.
const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36";

pub(super) const REFUSED: Code = Code {
    name: "upgrade.origin-refused",
    severity: Severity::Error,
    meaning: "nats-server refuses the origin: pages from there cannot connect.",
    cause: "`same_origin: true` or `allowed_origins` is set in the `websocket` block, and the `Origin` of the request does not fit. Scheme, host and port are compared. Clients that are no browsers send no `Origin` and pass.",
    fix: "Add it: `websocket { allowed_origins: [\"https://game.example.com\"] }`, or take `same_origin` out.",
};

pub(super) const REFUSED_BY_PROXY: Code = Code {
    name: "upgrade.origin-refused-by-proxy",
    severity: Severity::Error,
    meaning: "A proxy in front of nats-server refuses the origin.",
    cause: "The same request without `Origin` is accepted, and the refusal was not written by nats-server.",
    fix: "Allow the origin in the rules of the proxy.",
};

pub(super) const WANTED: Code = Code {
    name: "upgrade.origin-required",
    severity: Severity::Error,
    meaning: "Whoever is in front of nats-server wants an `Origin` header.",
    cause: "The same request with an `Origin` is accepted. nats-server itself does not need one.",
    fix: "Give one with `--origin`.",
};

pub(super) const AGENT: Code = Code {
    name: "upgrade.user-agent-refused",
    severity: Severity::Error,
    meaning: "A filter in front of nats-server refuses clients that are no browsers.",
    cause: "The same request with the `User-Agent` of a browser is accepted.",
    fix: "Allow the client in the filter, or give another name with `--user-agent`.",
};

pub(super) const FORBIDDEN: Code = Code {
    name: "upgrade.forbidden",
    severity: Severity::Error,
    meaning: "Something in front of nats-server forbids the request (403).",
    cause: "A firewall for web applications, a list of addresses or a rule of the proxy; with and without `Origin`.",
    fix: "Allow this path for this address in the proxy or firewall.",
};

/// What the second looks brought.
#[derive(Default)]
pub(super) struct Trials {
    /// Without an origin, where one was given.
    pub(super) without: Option<Outcome>,
    /// With the origin of the host itself, as a page on it would have.
    pub(super) own: Option<Outcome>,
    /// With the same, but the other scheme.
    pub(super) own_other_scheme: Option<Outcome>,
    /// The origin that was given, with the other scheme.
    pub(super) other_scheme: Option<Outcome>,
    /// With the name of a browser.
    pub(super) browser: Option<Outcome>,
    /// An origin that is accepted because a proxy names that host to nats-server in place of ours.
    pub(super) upstream: Option<String>,
}

/// The origin that is sent, by flag or as a header.
pub(super) fn given(case: &Case<'_>) -> Option<String> {
    let mut headers = case.options.headers.iter();
    let header = headers.find(|(name, _)| name.eq_ignore_ascii_case("Origin"));
    header
        .map(|(_, value)| value.clone())
        .or_else(|| case.options.origin.clone())
}

/// Asks with other origins, all side by side.
pub(super) async fn try_others(case: &Case<'_>, asker: &Asker) -> Trials {
    let host = asker.target.host_header();
    let (scheme, other) = match asker.target.scheme {
        Scheme::Wss => ("https", "http"),
        _ => ("http", "https"),
    };
    let given = given(case);
    let swapped = given.as_deref().and_then(with_other_scheme);
    let with = async |origin: Option<String>| {
        asker
            .ask(|request| {
                request
                    .headers
                    .retain(|(name, _)| !name.eq_ignore_ascii_case("Origin"));
                request.origin = origin;
            })
            .await
    };
    let without = async {
        match given {
            Some(_) => Some(with(None).await),
            None => None,
        }
    };
    let other_scheme = async {
        match swapped {
            Some(origin) => Some(with(Some(origin)).await),
            None => None,
        }
    };
    let browser = async {
        asker
            .ask(|request| BROWSER.clone_into(&mut request.user_agent))
            .await
    };
    let (without, own, own_other_scheme, other_scheme, browser) = join!(
        without,
        with(Some(format!("{scheme}://{host}"))),
        with(Some(format!("{other}://{host}"))),
        other_scheme,
        browser
    );
    let mut upstream = None;
    if !own.is_switched()
        && !own_other_scheme.is_switched()
        && let Some(Outcome::Switched {
            info: Some(info), ..
        }) = &without
    {
        for host in ["127.0.0.1", "localhost"] {
            let origin = format!("http://{host}:{}", info.port);
            if with(Some(origin.clone())).await.is_switched() {
                upstream = Some(origin);
                break;
            }
        }
    }
    Trials {
        upstream,
        without,
        own: Some(own),
        own_other_scheme: Some(own_other_scheme),
        other_scheme,
        browser: Some(browser),
    }
}

fn with_other_scheme(origin: &str) -> Option<String> {
    if let Some(rest) = origin.strip_prefix("https://") {
        return Some(format!("http://{rest}"));
    }
    origin
        .strip_prefix("http://")
        .map(|rest| format!("https://{rest}"))
}

fn passes(outcome: Option<&Outcome>) -> bool {
    outcome.is_some_and(Outcome::is_switched)
}

/// The cause, if it has to do with the origin.
pub(super) fn judge_origin(case: &Case<'_>, trials: &Trials) -> Option<Finding> {
    let origin = given(case)?;
    if !passes(trials.without.as_ref()) {
        return None;
    }
    let shown = short(&origin, 100);
    let finding = if is_nats(case.reply) {
        by_nats(case, trials, &shown)
    } else {
        case.finding(
            &REFUSED_BY_PROXY,
            format!("{} refuses the origin `{shown}`.", case.subject()),
        )
        .because("The same request without `Origin` is accepted, and the refusal was not written by nats-server: a rule in front of it looks at the origin.")
        .remedy(format!("Allow the origin `{shown}` in {}.", case.proxy_name()))
    };
    Some(with_trials(finding, trials))
}

/// Which of the two settings it is.
fn by_nats(case: &Case<'_>, trials: &Trials, origin: &str) -> Finding {
    let place = case.target.host_and_port();
    let finding = case.finding(
        &REFUSED,
        format!(
            "nats-server at {place} refuses the origin `{origin}`: pages from there cannot connect."
        ),
    );
    let entry = format!("allowed_origins: [\"{}\"]", origin.trim_end_matches('/'));
    if !origin.contains("://") {
        let why = if origin == "null" {
            "A page from a file, or in a sandboxed frame, has the origin `null`, which is always refused once origins are checked."
        } else {
            "An origin is a scheme and a host, such as `https://game.example.com`: one without a scheme is always refused."
        };
        return finding
            .because(why)
            .remedy("Give the origin as a browser sends it: `--origin https://HOST`.")
            .remedy("Or take `same_origin` and `allowed_origins` out of the `websocket` block of nats.conf.");
    }
    if let Some(upstream) = &trials.upstream {
        return by_host(case, finding, upstream, &entry);
    }
    let is_behind_tls = !passes(trials.own.as_ref()) && passes(trials.own_other_scheme.as_ref());
    if passes(trials.other_scheme.as_ref()) && !is_behind_tls {
        let other = with_other_scheme(origin).unwrap_or_default();
        return finding
            .because(format!("The same origin with the other scheme (`{other}`) is accepted: the scheme is compared, too."))
            .paste("In the `websocket` block of nats.conf:", &[&entry])
            .remedy(format!("Or serve the page from {other}."));
    }
    match (
        passes(trials.own.as_ref()),
        passes(trials.own_other_scheme.as_ref()),
    ) {
        (true, _) => finding
            .because("The origin of this very host is accepted, so that this is most likely `same_origin: true`: it lets in only pages from the same scheme, host and port as the WebSocket.")
            .paste("In the `websocket` block of nats.conf, in place of `same_origin: true`:", &[&entry])
            .remedy(format!("Or serve the page from {place}.")),
        (false, true) => finding
            .because("The origin of this very host is accepted with the other scheme only. That is `same_origin: true` where a proxy does the TLS: nats-server sees no TLS, and compares the scheme.")
            .paste("In the `websocket` block of nats.conf, in place of `same_origin: true`:", &[&entry]),
        (false, false) => finding
            .because("It is not in `allowed_origins` of nats-server: scheme, host and port have to be the same. Without an `Origin`, as clients other than browsers connect, the request is accepted.")
            .paste("Add it in the `websocket` block of nats.conf, beside those that are there:", &[&entry])
            .remedy("Then: nats-server --signal reload"),
    }
}

/// `same_origin` compares with the `Host` that arrives, and a proxy has put its own there.
fn by_host(case: &Case<'_>, finding: Finding, upstream: &str, entry: &str) -> Finding {
    let is_own = given(case).is_some_and(|origin| origin.ends_with(&case.target.host_header()));
    let finding = finding
        .because(format!(
            "The origin `{upstream}` is accepted, that of this host is not: `same_origin: true` compares with the `Host` header, and {} puts the address of nats-server there.",
            case.proxy_name()
        ))
        .evidence("with the origin of the upstream", "101");
    let step = "In the `websocket` block of nats.conf, in place of `same_origin: true`:";
    if !is_own {
        return finding.paste(step, &[entry]);
    }
    finding
        .paste(
            "Have the proxy pass `Host` on; in nginx:",
            &["proxy_set_header Host $http_host;"],
        )
        .paste(format!("Or: {step}"), &[entry])
}

/// The cause of a 403 that is about something else. `is_certificate_missing` says that TLS asked for a client
/// certificate and got none.
pub(super) fn judge_forbidden(
    case: &Case<'_>,
    trials: &Trials,
    is_certificate_missing: bool,
) -> Finding {
    let who = case.subject();
    let by_nats = is_nats(case.reply);
    let finding = if given(case).is_none() && passes(trials.own.as_ref()) {
        case.finding(&WANTED, format!("{who} lets nobody in who sends no `Origin` header."))
            .because("The same request with an `Origin` is accepted. nats-server itself does not need one: a rule in front of it does.")
            .remedy("Give the origin of the page that will connect: `--origin https://HOST`.")
    } else if passes(trials.browser.as_ref()) {
        case.finding(&AGENT, format!("{who} refuses clients that do not call themselves a browser."))
            .because("The same request with the `User-Agent` of a browser is accepted.")
            .remedy("Allow this client in the filter, or give another name: `--user-agent 'Mozilla/5.0 ...'`.")
    } else if by_nats {
        case.finding(&FORBIDDEN, format!("{who} forbids the request (403), whatever its origin is."))
            .certainty(Certainty::Possible)
            .because("The answer looks like one of nats-server, which answers 403 only to an `Origin` that it does not allow. Something on the way adds one, or another WebSocket server answers.")
            .or("a proxy sets an `Origin` header of its own", "look for `Origin` in its configuration")
            .or("another WebSocket server answers", "look what listens there")
            .remedy("Have the proxy leave `Origin` as it is, or take it out (nginx: `proxy_set_header Origin \"\";`).")
    } else if let Some((what, fix)) = cloudflare::forbidden(case) {
        case.finding(&FORBIDDEN, format!("{who} {what} (403)."))
            .because("nats-server never saw the request: the page names the reason.")
            .remedy(fix)
    } else if is_certificate_missing {
        case.finding(&CLIENT_CERTIFICATE, format!("{who} lets nobody in without a client certificate (403), and none was given."))
            .certainty(Certainty::Likely)
            .because("The TLS handshake asked for one and went on without, and the request was then refused.")
            .paste("Give one that its authority has issued:", &["natsbench doctor --server URL --tlscert client.pem --tlskey client.key"])
            .or("another rule of the proxy refuses the request", "its error log names the rule")
    } else {
        case.finding(&FORBIDDEN, format!("{who} forbids the request (403), and nats-server never saw it."))
            .certainty(Certainty::Likely)
            .because("nats-server marks its own refusals, and this one has no such mark. The origin plays no part: it is the same with and without.")
            .or("this address is not on the list of those that may connect", "try from another network")
            .or("a firewall for web applications refuses WebSocket or this client", "its log names the rule")
            .remedy(format!("Allow this path for this client in {}; its error log names the rule that refused it.", case.proxy_name()))
    };
    with_trials(finding, trials)
}

fn with_trials(finding: Finding, trials: &Trials) -> Finding {
    [
        ("without Origin", &trials.without),
        ("with the origin of this host", &trials.own),
        ("with the other scheme", &trials.other_scheme),
        ("with the name of a browser", &trials.browser),
    ]
    .into_iter()
    .filter_map(|(name, outcome)| outcome.as_ref().map(|outcome| (name, outcome)))
    .fold(finding, |finding, (name, outcome)| {
        finding.evidence(name, outcome.text())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::http::testing::{case, reply, switched};
    use crate::net::ws::upgrade::HttpReply;

    const BY_NATS: &str = "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\nSec-Websocket-Version: 13\r\nContent-Length: 10\r\n\r\nForbidden\n";

    fn finding_of(reply: &HttpReply, origin: &str, trials: &Trials) -> Option<Finding> {
        let mut case = case("ws://h:1", reply);
        let mut options = case.options.clone();
        options.origin = Some(origin.to_owned());
        case.options = &options;
        judge_origin(&case, trials)
    }

    fn refused(reply: &HttpReply) -> Outcome {
        Outcome::Refused(reply.clone())
    }

    #[test]
    fn which_setting_refuses_is_told_by_the_origin_of_the_host() {
        let reply = reply(BY_NATS);
        let mut trials = Trials {
            without: Some(switched()),
            own: Some(switched()),
            ..Trials::default()
        };
        let same = finding_of(&reply, "https://game.example.com", &trials).unwrap();
        assert_eq!(same.code, REFUSED.name);
        assert!(same.explanation.contains("same_origin"), "{same:?}");
        trials.own = Some(refused(&reply));
        let listed = finding_of(&reply, "https://game.example.com", &trials).unwrap();
        assert!(listed.explanation.contains("allowed_origins"), "{listed:?}");
        assert!(listed.remedy[0].contains("allowed_origins: [\"https://game.example.com\"]"));
        trials.upstream = Some("http://127.0.0.1:8443".to_owned());
        let by_host = finding_of(&reply, "http://h:1", &trials).unwrap();
        assert!(
            by_host.remedy[0].contains("proxy_set_header Host $http_host;"),
            "{by_host:?}"
        );
        trials.upstream = None;
        trials.own_other_scheme = Some(switched());
        let behind = finding_of(&reply, "https://game.example.com", &trials).unwrap();
        assert!(
            behind.explanation.contains("proxy does the TLS"),
            "{behind:?}"
        );
    }

    #[test]
    fn an_origin_without_scheme_can_never_be_allowed() {
        let reply = reply(BY_NATS);
        let trials = Trials {
            without: Some(switched()),
            ..Trials::default()
        };
        for origin in ["null", "game.example.com"] {
            let finding = finding_of(&reply, origin, &trials).unwrap();
            assert!(finding.explanation.contains("always refused"), "{origin}");
        }
    }

    #[test]
    fn a_403_with_and_without_origin_is_not_about_the_origin() {
        let by_proxy = reply("HTTP/1.1 403 Forbidden\r\nServer: nginx/1.22.1\r\n\r\n<html></html>");
        let trials = Trials {
            without: Some(refused(&by_proxy)),
            ..Trials::default()
        };
        assert_eq!(finding_of(&by_proxy, "https://a", &trials), None);
        let finding = judge_forbidden(&case("ws://h:1", &by_proxy), &trials, false);
        assert_eq!(finding.code, FORBIDDEN.name);
    }

    #[test]
    fn a_filter_on_browsers_is_not_called_an_origin_check() {
        let by_proxy = reply("HTTP/1.1 403 Forbidden\r\nServer: cloudflare\r\n\r\n");
        let trials = Trials {
            browser: Some(switched()),
            ..Trials::default()
        };
        let finding = judge_forbidden(&case("ws://h:1", &by_proxy), &trials, false);
        assert_eq!(finding.code, AGENT.name);
    }
}
