//! Server URLs: what is wrong with one that cannot be used, and what is odd about one that can.

use crate::doctor::checks::input::quoting::quoted;
use crate::doctor::code::Code;
use crate::net::target::{Scheme, Target, TargetError, TargetFault};
use crate::results::doctor::{Finding, Severity};

pub(super) const URL: Code = Code {
    name: "input.url",
    severity: Severity::Error,
    meaning: "A server URL cannot be used.",
    cause: "It is not written as `SCHEME://HOST:PORT/PATH`, with `ws`, `wss`, `nats` or `tls` for the scheme.",
    fix: "Correct it where the caret points, in `--server`, `NATS_URL` or the context.",
};
pub(super) const DEFAULT_PORT: Code = Code {
    name: "input.default-port",
    severity: Severity::Info,
    meaning: "The URL names no port, so that of HTTP is used.",
    cause: "`ws://` without a port means 80, and `wss://` 443. That is right for a proxy in front, but nats-server itself \
            mostly listens on another port, such as 8443.",
    fix: "Name the port, unless a proxy listens there.",
};
pub(super) const USER_WITHOUT_PASSWORD: Code = Code {
    name: "input.user-without-password",
    severity: Severity::Info,
    meaning: "What stands before the `@` of the URL is taken for a token.",
    cause: "A URL with one name before the `@` and no password means a token, for every client.",
    fix: "For a user name alone, use `--user`.",
};

/// What is wrong with a URL. `shown` is the URL with its secrets replaced by as many stars.
pub fn url_fault(shown: &str, error: &TargetError) -> Finding {
    let finding = match &error.fault {
        TargetFault::NoScheme { .. } => no_scheme(shown),
        TargetFault::UnknownScheme { scheme } => unknown_scheme(shown, scheme),
        fault => URL
            .finding(format!("The server URL cannot be used: {fault}."))
            .because("A URL is written `SCHEME://HOST:PORT/PATH`, and nothing is connected before this one is right.")
            .paste("Such as:", &["--server ws://localhost:8443"]),
    };
    finding.pointing_at(shown, error.span.clone())
}

/// A list of URLs with nothing between two commas.
pub fn empty_url() -> Finding {
    URL.finding("A server URL is empty.")
        .because("One comma stands between two URLs; a variable that is not set leaves nothing.")
        .paste("Such as:", &["--server ws://localhost:8443"])
}

/// The flag with a URL, unless a part of it is stars.
fn flag(url: &str) -> Option<String> {
    let is_whole = url.parse::<Target>().is_ok() && !url.contains('*');
    is_whole.then(|| format!("--server {url}"))
}

fn no_scheme(shown: &str) -> Finding {
    // `ws:/host` and `ws//host` lack but a character.
    let (scheme, rest) = [Scheme::Wss, Scheme::Ws, Scheme::Nats, Scheme::Tls]
        .into_iter()
        .find_map(|scheme| {
            let rest = shown.strip_prefix(scheme.name())?;
            let rest = rest
                .strip_prefix(":/")
                .or_else(|| rest.strip_prefix("//"))?;
            Some((scheme.name(), rest.trim_start_matches('/')))
        })
        .unwrap_or_else(|| {
            let authority = shown.split(['/', '?']).next().unwrap_or(shown);
            let scheme = match authority.rsplit_once(':') {
                Some((_, "443")) => Scheme::Wss,
                Some((_, "4222")) => Scheme::Nats,
                _ => Scheme::Ws,
            };
            (scheme.name(), shown)
        });
    let finding = URL
        .finding("The server URL names no scheme, such as `ws://`.")
        .because(
            "The scheme says how to speak to the server: `ws` is WebSocket, `wss` WebSocket over TLS, `nats` the client port, \
             `tls` the client port with TLS.",
        );
    match flag(&format!("{scheme}://{rest}")) {
        Some(line) => finding.paste("Write it with the scheme:", &[&line]),
        None => finding.remedy(format!("Begin it with `{scheme}://`.")),
    }
}

fn unknown_scheme(shown: &str, scheme: &str) -> Finding {
    let meant = match scheme.to_ascii_lowercase().as_str() {
        "http" => Some((
            Scheme::Ws,
            "a WebSocket begins as HTTP, but its URL begins with `ws://`",
        )),
        "https" => Some((
            Scheme::Wss,
            "a WebSocket over TLS begins as HTTPS, but its URL begins with `wss://`",
        )),
        "tcp" | "nat" | "natss" => Some((
            Scheme::Nats,
            "the client port of NATS has URLs that begin with `nats://`",
        )),
        "ssl" => Some((
            Scheme::Tls,
            "the client port of NATS with TLS has URLs that begin with `tls://`",
        )),
        lower if lower.starts_with("wss") => Some((Scheme::Wss, "WebSocket over TLS is `wss://`")),
        lower if lower.starts_with('w') => Some((Scheme::Ws, "WebSocket is `ws://`")),
        _ => None,
    };
    let title = match meant {
        Some((meant, _)) => format!(
            "`{scheme}://` is no scheme of NATS: use `{}://`.",
            meant.name()
        ),
        None => format!("`{scheme}://` is no scheme of NATS."),
    };
    let why = match meant {
        Some((_, why)) => format!("Here {why}."),
        None => "The schemes are `ws` (WebSocket), `wss` (WebSocket over TLS), `nats` (the client port) and `tls` (the client \
                 port with TLS)."
            .to_owned(),
    };
    let finding = URL.finding(title).because(why);
    let rest = &shown[scheme.len().min(shown.len())..];
    let Some((meant, _)) = meant else {
        return finding.paste("For WebSocket:", &["--server ws://HOST:PORT"]);
    };
    match flag(&format!("{}{rest}", meant.name())) {
        Some(line) => finding.paste("Write it so:", &[&line]),
        None => finding.remedy(format!("Begin it with `{}://`.", meant.name())),
    }
}

/// What is odd about a URL that can be used.
pub fn url_notes(shown: &str, target: &Target) -> Vec<Finding> {
    let mut notes = Vec::new();
    let authority = shown.split_once("://").map_or(shown, |(_, rest)| rest);
    let authority = authority.split(['/', '?']).next().unwrap_or(authority);
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let names_port = host
        .rsplit_once(']')
        .map_or(host, |(_, port)| port)
        .contains(':');
    if target.scheme == Scheme::Ws && !names_port {
        notes.push(
            DEFAULT_PORT
                .finding(format!("{} names no port and means port {}.", quoted(shown), target.port))
                .because("That is the port of HTTP, as for a proxy in front. nats-server itself mostly listens on another one.")
                .paste(
                    "If nats-server itself is meant:",
                    &[&format!("--server ws://{host}:8443")],
                ),
        );
    }
    if target
        .user_info
        .as_ref()
        .is_some_and(|info| info.password.is_none())
    {
        notes.push(
            USER_WITHOUT_PASSWORD
                .finding("What stands before the `@` of the URL is taken for a token, not for a user name.")
                .because("There is no password behind it. That is how every client of NATS takes it.")
                .remedy("If it is a user name, take it out of the URL and use `--user` and `--password`."),
        );
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(url: &str) -> Finding {
        url_fault(url, &url.parse::<Target>().unwrap_err())
    }

    #[test]
    fn a_url_that_can_be_guessed_is_written_right() {
        for (url, line) in [
            ("localhost:8443", "--server ws://localhost:8443"),
            ("broker:4222", "--server nats://broker:4222"),
            (
                "broker.example:443/nats",
                "--server wss://broker.example:443/nats",
            ),
            ("http://h:8080/x", "--server ws://h:8080/x"),
            ("https://h", "--server wss://h"),
            ("wss:/h", "--server wss://h"),
            ("wws://h:1", "--server ws://h:1"),
            ("tcp://h:4222", "--server nats://h:4222"),
        ] {
            let remedy = fault(url).remedy.join("\n");
            assert!(
                remedy.ends_with(&format!("\n    {line}")),
                "{url}: {remedy}"
            );
        }
    }

    #[test]
    fn stars_are_never_to_be_pasted() {
        let error = "http://u:p@h".parse::<Target>().unwrap_err();
        let finding = url_fault("http://***@h", &error);
        assert_eq!(finding.remedy, ["Begin it with `ws://`."]);
    }

    #[test]
    fn odd_urls_are_noted() {
        let codes = |url: &str| {
            let notes = url_notes(url, &url.parse().unwrap());
            notes.into_iter().map(|note| note.code).collect::<Vec<_>>()
        };
        assert_eq!(codes("ws://h"), ["input.default-port"]);
        assert_eq!(codes("ws://h/x:1"), ["input.default-port"]);
        assert_eq!(
            codes("ws://t@[::1]/"),
            ["input.default-port", "input.user-without-password"]
        );
        for url in [
            "ws://h:80",
            "wss://h",
            "ws://[::1]:8443",
            "ws://u:p@h:1",
            "nats://h",
        ] {
            assert_eq!(codes(url), [""; 0], "{url}");
        }
    }
}
