//! Where to connect: a `ws://`, `wss://`, `nats://` or `tls://` URL, taken apart by hand.
//!
//! By hand, because a fault in a URL is pointed at with a caret and general URL parsers do not say where the
//! fault is. Path and query are kept as typed. `Display` never shows the user info and never shows the query,
//! either of which may hold a secret.

use std::fmt;
use std::net::Ipv6Addr;
use std::ops::Range;
use std::str::FromStr;

use crate::protocol::Secret;

/// How to speak to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// NATS inside WebSocket, no TLS.
    Ws,
    /// NATS inside WebSocket inside TLS.
    Wss,
    /// The NATS client port; TLS if the server asks for it.
    Nats,
    /// The NATS client port; TLS whether or not the server asks for it.
    Tls,
}

impl Scheme {
    /// The scheme as it is written in a URL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::Nats => "nats",
            Self::Tls => "tls",
        }
    }

    /// Whether NATS is carried inside WebSocket frames.
    pub fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }

    /// The port when the URL has none: RFC 6455 section 3 for WebSocket, the NATS client port otherwise.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Ws => 80,
            Self::Wss => 443,
            Self::Nats | Self::Tls => 4222,
        }
    }
}

/// User and password, or a token, out of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserInfo {
    /// The user, or the token when there is no password.
    pub user: Secret,
    /// The password.
    pub password: Option<Secret>,
}

/// A broker to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// How to speak to it.
    pub scheme: Scheme,
    /// Host name or address, without the brackets of an IPv6 address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path and query of the WebSocket upgrade, at least `/`.
    pub path_and_query: String,
    /// Credentials in the URL.
    pub user_info: Option<UserInfo>,
}

/// What is wrong with a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetFault {
    /// No `scheme://` in front.
    #[error("the URL has no scheme: write `ws://{rest}`")]
    NoScheme {
        /// What follows.
        rest: String,
    },
    /// A scheme that is none of ours.
    #[error("unknown scheme `{scheme}`: use `ws`, `wss`, `nats` or `tls`")]
    UnknownScheme {
        /// What was typed.
        scheme: String,
    },
    /// Nothing between `://` and the port or path.
    #[error("the URL names no host")]
    NoHost,
    /// A blank or another character that no host name has.
    #[error("a host name cannot contain `{character}`")]
    BadHost {
        /// The offending character.
        character: char,
    },
    /// An IPv6 address without brackets; where its port would begin cannot be told.
    #[error("an IPv6 address is written in brackets, such as `[::1]:8443`")]
    BareIpv6,
    /// Something else between brackets.
    #[error("only an IPv6 address is written in brackets")]
    NotIpv6,
    /// User info that ends too early because of a character with a meaning of its own.
    #[error("`/`, `?` and `#` in a user name or password are written `%2F`, `%3F` and `%23`")]
    UnescapedUserInfo,
    /// `[` without `]`.
    #[error("the IPv6 address has no closing `]`")]
    UnclosedBracket,
    /// Not a number from 1 to 65535.
    #[error("`{port}` is not a port: a number from 1 to 65535")]
    BadPort {
        /// What was typed.
        port: String,
    },
    /// A blank or control character in path or query.
    #[error("a path cannot contain blanks or control characters; write `%20` for a blank")]
    BadPath,
    /// A `#fragment` is never sent to a server.
    #[error("a fragment (`#...`) is never sent to a server")]
    Fragment,
}

/// A fault in a URL, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct TargetError {
    /// What is wrong.
    pub fault: TargetFault,
    /// Where, in bytes of the input.
    pub span: Range<usize>,
}

fn fault(fault: TargetFault, span: Range<usize>) -> TargetError {
    TargetError { fault, span }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(input: &str) -> Result<Self, TargetError> {
        // A `://` behind something that cannot be a scheme is in a password, say.
        let scheme_end = input.find("://");
        let Some(scheme_end) = scheme_end.filter(|end| may_be_scheme(&input[..*end])) else {
            return Err(fault(
                TargetFault::NoScheme {
                    rest: redact(input),
                },
                0..input.len(),
            ));
        };
        let scheme = parse_scheme(&input[..scheme_end]).ok_or_else(|| {
            fault(
                TargetFault::UnknownScheme {
                    scheme: input[..scheme_end].to_owned(),
                },
                0..scheme_end,
            )
        })?;
        let authority_start = scheme_end + 3;
        let authority_end = input[authority_start..]
            .find(['/', '?', '#'])
            .map_or(input.len(), |offset| authority_start + offset);
        let authority = &input[authority_start..authority_end];
        let (user_info, host_start) = match authority.rfind('@') {
            Some(at) => (parse_user_info(&authority[..at]), authority_start + at + 1),
            None => (None, authority_start),
        };
        let parsed = parse_host_port(input, host_start..authority_end, scheme);
        // An error would quote a part of the password.
        let (host, port) = match input[authority_end..].rfind('@') {
            Some(at) if parsed.is_err() => {
                let span = authority_start..authority_end + at;
                return Err(fault(TargetFault::UnescapedUserInfo, span));
            }
            _ => parsed?,
        };
        let path_and_query = parse_path(input, authority_end)?;
        Ok(Self {
            scheme,
            host,
            port,
            path_and_query,
            user_info,
        })
    }
}

/// Whether a text has the characters of a scheme (RFC 3986 section 3.1), so that it can be quoted as one.
pub(crate) fn may_be_scheme(text: &str) -> bool {
    !text.starts_with(|c: char| !c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

fn parse_scheme(scheme: &str) -> Option<Scheme> {
    [Scheme::Ws, Scheme::Wss, Scheme::Nats, Scheme::Tls]
        .into_iter()
        .find(|candidate| candidate.name().eq_ignore_ascii_case(scheme))
}

/// `None` when there is nothing in front of the `@`.
fn parse_user_info(text: &str) -> Option<UserInfo> {
    let (user, password) = match text.split_once(':') {
        Some((user, password)) => (user, Some(Secret::new(percent_decode(password)))),
        None => (text, None),
    };
    (!text.is_empty()).then(|| UserInfo {
        user: Secret::new(percent_decode(user)),
        password,
    })
}

fn parse_host_port(
    input: &str,
    span: Range<usize>,
    scheme: Scheme,
) -> Result<(String, u16), TargetError> {
    let text = &input[span.clone()];
    let (host_span, port_text) = if text.starts_with('[') {
        let close = text
            .find(']')
            .ok_or_else(|| fault(TargetFault::UnclosedBracket, span.start..span.end))?;
        let after = &text[close + 1..];
        if let Some(character) = after.chars().next().filter(|c| *c != ':') {
            let at = span.start + close + 1;
            return Err(fault(
                TargetFault::BadHost { character },
                at..at + character.len_utf8(),
            ));
        }
        (span.start + 1..span.start + close, after.strip_prefix(':'))
    } else {
        match text.rfind(':') {
            Some(colon) => (span.start..span.start + colon, Some(&text[colon + 1..])),
            None => (span.clone(), None),
        }
    };
    let host = &input[host_span.clone()];
    if host.is_empty() {
        return Err(fault(TargetFault::NoHost, span.start..span.start));
    }
    let is_bracketed = text.starts_with('[');
    if is_bracketed && without_zone(host).parse::<Ipv6Addr>().is_err() {
        return Err(fault(TargetFault::NotIpv6, host_span));
    }
    if !is_bracketed && text.parse::<Ipv6Addr>().is_ok() {
        return Err(fault(TargetFault::BareIpv6, span));
    }
    let bad = |c: char| {
        !(c.is_alphanumeric()
            || matches!(c, '-' | '.' | '_')
            || (is_bracketed && matches!(c, ':' | '%')))
    };
    if let Some((offset, character)) = host.char_indices().find(|(_, c)| bad(*c)) {
        let at = host_span.start + offset;
        return Err(fault(
            TargetFault::BadHost { character },
            at..at + character.len_utf8(),
        ));
    }
    let port = match port_text {
        None => scheme.default_port(),
        Some(digits) => digits
            .parse()
            .ok()
            .filter(|port| *port != 0 && !digits.starts_with('+'))
            .ok_or_else(|| {
                let start = span.end - digits.len();
                fault(
                    TargetFault::BadPort {
                        port: digits.to_owned(),
                    },
                    start..span.end,
                )
            })?,
    };
    Ok((host.to_owned(), port))
}

fn parse_path(input: &str, start: usize) -> Result<String, TargetError> {
    let text = &input[start..];
    if let Some(hash) = text.find('#') {
        return Err(fault(TargetFault::Fragment, start + hash..input.len()));
    }
    if let Some((offset, character)) = text
        .char_indices()
        .find(|(_, c)| c.is_whitespace() || c.is_control())
    {
        let at = start + offset;
        return Err(fault(TargetFault::BadPath, at..at + character.len_utf8()));
    }
    Ok(if text.starts_with('/') {
        text.to_owned()
    } else {
        format!("/{text}")
    })
}

/// An IPv6 address without the interface that a link-local one may name (`fe80::1%eth0`).
fn without_zone(host: &str) -> &str {
    host.split('%').next().unwrap_or(host)
}

/// Decodes `%XX`; anything else stays as it is.
fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut idx = 0;
    while idx < bytes.len() {
        let escaped = (bytes[idx] == b'%')
            .then(|| text.get(idx + 1..idx + 3))
            .flatten()
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        if let Some(byte) = escaped {
            out.push(byte);
            idx += 3;
        } else {
            out.push(bytes[idx]);
            idx += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The part of a URL that may be shown: without user info and query.
fn redact(text: &str) -> String {
    let rest = text.rsplit_once('@').map_or(text, |(_, rest)| rest);
    rest.split('?').next().unwrap_or(rest).to_owned()
}

impl Target {
    /// The default: a local broker's WebSocket.
    pub fn local() -> Self {
        Self {
            scheme: Scheme::Ws,
            host: "localhost".to_owned(),
            port: 8443,
            path_and_query: "/".to_owned(),
            user_info: None,
        }
    }

    /// The `Host` header, as browsers send it: the port only where it is not the usual one, and no interface.
    pub fn host_header(&self) -> String {
        let host = without_zone(&self.host);
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        if self.port == self.scheme.default_port() {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }

    /// The name that a TLS certificate has to be for.
    pub fn tls_name(&self) -> &str {
        without_zone(&self.host)
    }

    /// Host and port as error messages write them.
    pub fn host_and_port(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.name(), self.host_and_port())?;
        let (path, query) = match self.path_and_query.split_once('?') {
            Some((path, _)) => (path, "?..."),
            None => (self.path_and_query.as_str(), ""),
        };
        // An `@` in the path is most likely the rest of a password with an unescaped `/`.
        let path = if path.contains('@') { "/..." } else { path };
        if path != "/" || !query.is_empty() {
            write!(f, "{path}{query}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_url_is_kept() {
        let target: Target = "wss://me:p%40ss@[::1]:9443/nats?x=1".parse().unwrap();
        assert_eq!(
            (target.scheme, target.host.as_str(), target.port),
            (Scheme::Wss, "::1", 9443)
        );
        assert_eq!(target.path_and_query, "/nats?x=1");
        let user_info = target.user_info.clone().unwrap();
        assert_eq!(user_info.user.expose(), "me");
        assert_eq!(user_info.password.unwrap().expose(), "p@ss");
        assert_eq!(target.to_string(), "wss://[::1]:9443/nats?...");
    }

    #[test]
    fn ports_default_by_scheme() {
        for (url, port) in [
            ("ws://h", 80),
            ("wss://h/x", 443),
            ("nats://h", 4222),
            ("tls://h?y", 4222),
        ] {
            assert_eq!(url.parse::<Target>().unwrap().port, port, "{url}");
        }
    }

    #[test]
    fn a_fault_is_pointed_at() {
        for (url, span) in [
            ("localhost:8443", 0..14),
            ("http://h", 0..4),
            ("ws://h:99999", 7..12),
            ("ws://h:0", 7..8),
            ("ws://h:", 7..7),
            ("ws://", 5..5),
            ("ws://a b", 6..7),
            ("ws://[::1", 5..9),
            ("ws://[::1]8443", 10..11),
            ("ws://h/a b", 8..9),
            ("ws://h/#x", 7..9),
            ("ws://h:+80", 7..10),
            ("ws://::1", 5..8),
            ("ws://[localhost]:80", 6..15),
        ] {
            assert_eq!(url.parse::<Target>().unwrap_err().span, span, "{url}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let target: Target = "ws://u:hunter2@h:1/?token=hunter2".parse().unwrap();
        assert!(
            !format!("{target} {target:?}")
                .replace("path_and_query", "")
                .contains("u:hunter2")
        );
        assert!(!target.to_string().contains("hunter2"));
        let torn: Target = "ws://u:1234/hunter2@h:1".parse().unwrap();
        assert_eq!(torn.to_string(), "ws://u:1234/...");
        for url in [
            "u:hunter2@h:1",
            "ws://u:hunter2/@h:1",
            "ws://hunter2#:x@h",
            "hunter2:x://y@h",
            "u:hunter2://y@h",
            "ws://u@example.org:hunter2/x@h",
            "h:1?token=hunter2",
        ] {
            let error = url.parse::<Target>().unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn the_host_header_is_that_of_a_browser() {
        for (url, host) in [
            ("ws://h:8443", "h:8443"),
            ("ws://h:80", "h"),
            ("wss://h", "h"),
            ("wss://h:80", "h:80"),
            ("ws://[::1]:8443", "[::1]:8443"),
            ("wss://[fe80::1%eth0]", "[fe80::1]"),
        ] {
            assert_eq!(url.parse::<Target>().unwrap().host_header(), host, "{url}");
        }
    }

    #[test]
    fn nothing_in_front_of_the_at_sign_is_nobody() {
        assert_eq!("ws://@h".parse::<Target>().unwrap().user_info, None);
    }
}
