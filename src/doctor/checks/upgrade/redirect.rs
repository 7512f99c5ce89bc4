//! A redirect in place of an upgrade (3xx). Clients of WebSocket do not follow one.

use std::sync::Arc;

use rustls::ClientConfig;

use crate::doctor::checks::upgrade::page;
use crate::doctor::code::Code;
use crate::doctor::http::again::{self, Asker, Outcome};
use crate::doctor::http::answer::{Case, path_of, shown_location};
use crate::net::target::{Scheme, Target};
use crate::results::doctor::{Certainty, Finding, Severity};

pub(super) const TO_HTTPS: Code = Code {
    name: "upgrade.redirect-to-https",
    severity: Severity::Error,
    meaning: "The proxy redirects to https: the URL has to say `wss://`.",
    cause: "The proxy serves only TLS, and sends everybody there. Browsers and NATS clients do not follow a redirect of a WebSocket.",
    fix: "Use `wss://` with the host and port of the redirect.",
};

pub(super) const TO_LOGIN: Code = Code {
    name: "upgrade.redirect-to-login",
    severity: Severity::Error,
    meaning: "A gateway redirects to a login page.",
    cause: "Single sign-on, or a captive portal, is in front of nats-server. NATS clients cannot log in to it.",
    fix: "Exempt the path of NATS from that login: nats-server has its own.",
};

pub(super) const ELSEWHERE: Code = Code {
    name: "upgrade.redirected",
    severity: Severity::Error,
    meaning: "The upgrade is answered with a redirect.",
    cause: "A proxy sends the request to another path or host: a missing slash at the end, say, or another name. WebSocket clients do not follow it.",
    fix: "Use the URL that the redirect names.",
};

/// Words of places where one logs in.
const LOGIN_WORDS: [&str; 12] = [
    "login",
    "signin",
    "sign-in",
    "sign_in",
    "oauth",
    "openid",
    "saml",
    "sso",
    "auth/realms",
    "accounts.google",
    "cloudflareaccess",
    "microsoftonline",
];

/// Where the redirect leads, as a target; with the path of a relative one.
pub(super) fn destination(target: &Target, location: &str) -> Option<Target> {
    let location = location.trim();
    let scheme_of = |text: &str| match text.to_ascii_lowercase().as_str() {
        "http" | "ws" => Some("ws"),
        "https" | "wss" => Some("wss"),
        _ => None,
    };
    let url = if let Some((scheme, rest)) = location.split_once("://") {
        format!("{}://{rest}", scheme_of(scheme)?)
    } else if let Some(rest) = location.strip_prefix("//") {
        format!("{}://{rest}", target.scheme.name())
    } else if location.starts_with('/') {
        format!(
            "{}://{}{location}",
            target.scheme.name(),
            target.host_and_port()
        )
    } else {
        return None;
    };
    let without_fragment = url.split('#').next().unwrap_or(&url);
    let mut parsed: Target = without_fragment.parse().ok()?;
    // Whatever is in there, it came from the other side.
    parsed.user_info = None;
    Some(parsed)
}

/// A URL for advice: without the query, which may hold a secret.
fn url_of(target: &Target) -> String {
    let path = path_of(&target.path_and_query);
    again::url_of(target.scheme, &target.host, target.port, path)
}

/// Tries where it leads, if that is the same host; nothing secret goes even there.
pub(super) async fn look(
    case: &Case<'_>,
    asker: &Asker,
    unverified: Option<Arc<ClientConfig>>,
) -> Option<Outcome> {
    let to = destination(case.target, case.reply.header("Location")?)?;
    if !to.host.eq_ignore_ascii_case(&case.target.host) {
        return None;
    }
    let mut other = asker.without_secrets();
    other.address.set_port(to.port);
    // A redirect may repeat the query of the URL.
    let path_and_query = path_of(&to.path_and_query).to_owned();
    other.target = Target {
        path_and_query,
        ..to
    };
    // Whether the certificate is right is told once the URL is.
    if let Some(tls) = unverified {
        other = other.unverified(tls);
    }
    Some(other.ask(|_| ()).await)
}

/// The cause; `there` is what the other place answers.
pub(super) fn judge(case: &Case<'_>, there: Option<&Outcome>) -> Finding {
    let who = case.subject();
    let status = case.reply.status;
    let Some(location) = case.reply.header("Location") else {
        return case
            .finding(
                &ELSEWHERE,
                format!("{who} redirects ({status}) without saying where to."),
            )
            .certainty(Certainty::Likely)
            .remedy("Correct the route of the proxy, or the path of the URL.");
    };
    let shown = shown_location(location);
    let to = destination(case.target, location);
    let is_same_port = to
        .as_ref()
        .is_some_and(|to| to.scheme == Scheme::Wss && to.port == case.target.port);
    let lower = shown.to_ascii_lowercase();
    let finding = if LOGIN_WORDS.iter().any(|word| lower.contains(word)) {
        to_login(case, &shown)
    } else if let Some(to) = to.filter(|to| *to != *case.target) {
        let is_same_host = to.host.eq_ignore_ascii_case(&case.target.host);
        let url = url_of(&to);
        let finding = if to.scheme == Scheme::Wss && case.target.scheme == Scheme::Ws {
            case.finding(&TO_HTTPS, format!("{who} redirects to https: the URL has to begin with wss://."))
                .because("It serves only TLS. Neither browsers nor NATS clients follow a redirect of a WebSocket.")
        } else if is_same_host {
            case.finding(&ELSEWHERE, format!("{who} redirects `{}` to {shown}.", case.path()))
                .because("Neither browsers nor NATS clients follow a redirect of a WebSocket: the URL has to be the final one.")
        } else {
            case.finding(&ELSEWHERE, format!("{who} redirects to another host, {}.", to.host))
                .because("Neither browsers nor NATS clients follow a redirect of a WebSocket. If you do not know that host, a captive portal or a filter of the network may have answered.")
                .certainty(Certainty::Likely)
        };
        finding.paste(
            "Use this URL:",
            &[&format!("natsbench doctor --server {url}")],
        )
    } else {
        case.finding(&ELSEWHERE, format!("{who} redirects ({status}) to {shown}, which leads nowhere new."))
            .certainty(Certainty::Likely)
            .because("A redirect to the same place is a loop: two rules of the proxy work against each other.")
            .remedy(format!("Let {} lead this path to nats-server without a redirect.", case.proxy_name()))
    };
    match there {
        Some(outcome) => {
            let finding = finding.evidence("there", outcome.text());
            if outcome.is_switched() || matches!(outcome, Outcome::Refused(_)) {
                finding
            } else if is_same_port {
                finding.remedy(format!("Port {} itself speaks no TLS: the redirect names the wrong port. Use the port of {} that does, mostly 443.", case.target.port, case.proxy_name()))
            } else {
                finding.remedy("That address does not work either now: the proxy has to listen there, and let WebSocket through.")
            }
        }
        None => finding,
    }
}

fn to_login(case: &Case<'_>, shown: &str) -> Finding {
    if page::is_portal(&case.reply.body) {
        return page::portal(case);
    }
    case.finding(
        &TO_LOGIN,
        format!("{} sends the request to a login page, {shown}.", case.subject()),
    )
    .certainty(Certainty::Likely)
    .because("A single sign-on is in front of nats-server. NATS clients cannot log in to it; they log in to nats-server itself, inside the WebSocket.")
    .or("a captive portal of the network answers", "open the address in a browser: whose login page is it?")
    .remedy(format!("Exempt the path `{}` from that login in {}.", case.path(), case.proxy_name()))
    .remedy("Or send what it accepts: `--header 'Authorization: Bearer TOKEN'` or `--header 'Cookie: NAME=VALUE'`.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::http::testing::{case, reply};

    fn finding_of(url: &str, location: &str) -> Finding {
        let text = format!(
            "HTTP/1.1 301 Moved Permanently\r\nServer: nginx/1.22.1\r\nLocation: {location}\r\n\r\n<html></html>"
        );
        let reply = reply(&text);
        judge(&case(url, &reply), None)
    }

    #[test]
    fn https_means_wss_at_the_port_of_the_redirect() {
        for (location, url) in [
            ("https://h:22503/", "wss://h:22503"),
            ("https://h/nats?secret=1", "wss://h:443/nats"),
        ] {
            let finding = finding_of("ws://h:1", location);
            assert_eq!(finding.code, TO_HTTPS.name);
            assert!(finding.remedy[0].ends_with(url), "{finding:?}");
            assert!(!format!("{finding:?}").contains("secret"));
        }
    }

    #[test]
    fn other_redirects_are_followed_in_the_advice() {
        for (location, code, url) in [
            ("/nats/", ELSEWHERE.name, "ws://h:1/nats/"),
            ("http://h:1/nats/", ELSEWHERE.name, "ws://h:1/nats/"),
            (
                "http://other.example/",
                ELSEWHERE.name,
                "ws://other.example:80",
            ),
        ] {
            let finding = finding_of("ws://h:1/nats", location);
            assert_eq!(finding.code, code, "{location}");
            assert!(finding.remedy[0].ends_with(url), "{finding:?}");
        }
        let finding = finding_of("ws://h:1/nats", "https://sso.example.com/login?next=x");
        assert_eq!(finding.code, TO_LOGIN.name);
    }

    #[test]
    fn a_strange_location_breaks_nothing() {
        for location in [
            "",
            "::",
            "https://",
            "mailto:x",
            "ws://h:1",
            "http://[::1",
            "/é",
        ] {
            let finding = finding_of("ws://h:1", location);
            assert_eq!(finding.code, ELSEWHERE.name, "{location}");
        }
    }
}
