//! What the user sees when something does not work: what was tried, why it failed, what to do next.
//!
//! The only printer of errors. Some dependencies print their cause in their text *and* return it as source, so a
//! cause that its parent already ends with is dropped.

use std::fmt::Write as _;
use std::ops::Range;

use anstyle::{AnsiColor, Style};

use crate::cli::exit;
use crate::load::connecting::{StartError, Unreachable, error_chain};
use crate::load::links::LinkError;
use crate::load::run::RunError;
use crate::net::async_client::AsyncClientError;
use crate::net::dial::{DialError, Step};
use crate::net::ws::upgrade::UpgradeError;
use crate::report::harmless::harmless;
use crate::report::pointer::pointer;

/// An error on its way to the user.
#[derive(Debug)]
pub(crate) struct CliError {
    /// The exit code, one of [`exit`].
    pub(crate) code: u8,
    message: String,
    causes: Vec<String>,
    pointer: Option<(String, Range<usize>)>,
    hint: Option<String>,
}

impl CliError {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(exit::USAGE, message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(exit::INTERNAL, message)
    }

    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            causes: Vec::new(),
            pointer: None,
            hint: None,
        }
    }

    /// What went wrong and why, on one line.
    pub(crate) fn summary(&self) -> String {
        let mut parts = vec![self.message.as_str()];
        parts.extend(self.causes.iter().map(String::as_str));
        parts.join(": ")
    }

    /// Points at the faulty part of what was typed.
    pub(crate) fn pointing_at(mut self, input: &str, span: Range<usize>) -> Self {
        self.pointer = Some((input.to_owned(), span));
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds an error and its causes, each once.
    pub(crate) fn because(mut self, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(cause) = next {
            let text = cause.to_string();
            let is_said = |said: &String| said.ends_with(&text);
            if !self
                .causes
                .last()
                .map_or_else(|| is_said(&self.message), is_said)
            {
                self.causes.push(text);
            }
            next = cause.source();
        }
        self
    }

    /// The same error, changed wherever it may quote somebody. What was typed wrongly is quoted with its secrets hidden
    /// already.
    pub(crate) fn with_texts(mut self, change: impl Fn(&mut String)) -> Self {
        change(&mut self.message);
        self.causes.iter_mut().for_each(&change);
        self.hint.iter_mut().for_each(&change);
        self
    }

    /// What happened, why, and what to do.
    pub(crate) fn parts(&self) -> (&str, &[String], Option<&str>) {
        (&self.message, &self.causes, self.hint.as_deref())
    }

    /// The whole text, at most one screen.
    pub(crate) fn render(&self, has_color: bool) -> String {
        let mut out = headline("error", AnsiColor::Red, &self.message, has_color);
        if let Some((input, span)) = &self.pointer {
            out.push_str(&pointer(input, span.clone()));
        }
        for cause in &self.causes {
            // Writing to a `String` cannot fail.
            let _ = writeln!(out, "  because: {}", printable_lines(cause));
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(out, "  try: {}", printable_lines(hint));
        }
        out
    }
}

/// A warning about something that works, but hardly as it was meant, and where it is.
pub(crate) fn render_warning(
    message: &str,
    input: &str,
    span: Range<usize>,
    has_color: bool,
) -> String {
    headline("warning", AnsiColor::Yellow, message, has_color) + &pointer(input, span)
}

fn headline(word: &str, color: AnsiColor, message: &str, has_color: bool) -> String {
    let message = printable_lines(message);
    if !has_color {
        return format!("{word}: {message}\n");
    }
    let paint = Style::new().fg_color(Some(color.into())).bold();
    format!("{paint}{word}:{paint:#} {message}\n")
}

/// Text of several lines from a server or a file, harmless for a terminal: the lines stay lines, indented.
fn printable_lines(text: &str) -> String {
    text.trim_end()
        .split('\n')
        .map(harmless)
        .collect::<Vec<_>>()
        .join("\n    ")
}

/// What should not happen, with what was tried as its context: the user can only report it.
impl From<anyhow::Error> for CliError {
    fn from(error: anyhow::Error) -> Self {
        let mut causes = error.chain();
        let message = causes.next().map(ToString::to_string).unwrap_or_default();
        let internal = Self::internal(message);
        match causes.next() {
            Some(cause) => internal.because(cause),
            None => internal,
        }
    }
}

impl From<RunError> for CliError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Link(LinkError::Dial(dial)) | RunError::Start(StartError::Dial(dial)) => {
                Self::unreachable(&dial)
            }
            RunError::Link(LinkError::Client(client)) => {
                let code = match client {
                    AsyncClientError::Unsupported(_) => exit::USAGE,
                    _ => exit::UNREACHABLE,
                };
                Self::new(code, client.to_string())
            }
            RunError::Link(LinkError::Size(size)) => Self::usage(size.to_string()),
            RunError::Start(StartError::NoAnswer { .. }) => {
                Self::new(exit::UNREACHABLE, error.to_string())
                    .hint("allow more time with `--timeout`, or look whether the server is frozen")
            }
            RunError::Start(StartError::Refused { .. }) => {
                Self::new(exit::UNREACHABLE, error.to_string())
                    .hint("ask for the permission to subscribe, or use credentials that have it")
            }
            RunError::Start(StartError::Session(session)) => {
                Self::new(exit::UNREACHABLE, "the connection broke while subscribing")
                    .because(&session)
            }
            RunError::Stopped => Self::new(
                exit::INTERRUPTED,
                "interrupted before anything was measured",
            ),
            other => Self::internal(other.to_string()).because(&other),
        }
    }
}

impl CliError {
    /// A connection that could not be opened, to any of the servers.
    fn unreachable(failed: &Unreachable) -> Self {
        let mut base = Self::new(exit::UNREACHABLE, failed.to_string()).because(&failed.error);
        for (target, error) in &failed.others {
            base.causes
                .push(format!("nor {target}: {}", error_chain(error)));
        }
        let error = &failed.error;
        let base = match error {
            DialError::Upgrade(UpgradeError::Refused(reply)) => {
                with_reply(base, reply.status, &reply.body)
            }
            DialError::Upgrade(
                UpgradeError::NotHttp { received } | UpgradeError::Closed { received },
            ) => with_bytes(base, received),
            _ => base,
        };
        match dial_hint(error) {
            Some(hint) => base.hint(hint),
            None => base,
        }
    }
}

fn with_reply(mut error: CliError, status: u16, body: &[u8]) -> CliError {
    let body = excerpt(body);
    if !body.is_empty() {
        error
            .causes
            .push(format!("the answer {status} says: {body}"));
    }
    error
}

fn with_bytes(mut error: CliError, received: &[u8]) -> CliError {
    if !received.is_empty() {
        error
            .causes
            .push(format!("what came back begins with: {}", excerpt(received)));
    }
    error
}

/// The first line or so of what a peer sent.
fn excerpt(bytes: &[u8]) -> String {
    const MAX_CHARS: usize = 100;
    let text = String::from_utf8_lossy(bytes);
    let line = text.trim().lines().next().unwrap_or("");
    line.chars().take(MAX_CHARS).collect()
}

/// What to do about what TLS found wrong.
fn tls_hint(error: &rustls::Error) -> Option<&'static str> {
    use rustls::{AlertDescription as Alert, CertificateError as Fault, Error};
    let hint = match error {
        // A bad signature is that of another CA of the same name.
        Error::InvalidCertificate(Fault::UnknownIssuer | Fault::BadSignature) => {
            "give the CA that signed the broker's certificate with `--tlsca FILE`"
        }
        Error::InvalidCertificate(
            Fault::NotValidForName | Fault::NotValidForNameContext { .. },
        ) => "use a name in the URL that the broker's certificate is for",
        Error::InvalidCertificate(
            Fault::Expired
            | Fault::ExpiredContext { .. }
            | Fault::NotValidYet
            | Fault::NotValidYetContext { .. },
        ) => "renew the broker's certificate, or set this machine's clock",
        Error::InvalidCertificate(_) => {
            "check the broker's certificate; `--insecure` accepts any, and every report says so"
        }
        Error::AlertReceived(Alert::CertificateRequired) => {
            "the broker asks for a client certificate: `--tlscert FILE` and `--tlskey FILE`"
        }
        Error::AlertReceived(
            Alert::BadCertificate
            | Alert::UnknownCA
            | Alert::CertificateUnknown
            | Alert::CertificateExpired
            | Alert::CertificateRevoked
            | Alert::UnsupportedCertificate,
        ) => "the broker wants another client certificate: `--tlscert FILE` and `--tlskey FILE`",
        Error::InvalidMessage(_) => {
            "this port does not begin with TLS: use `ws://`, or `nats://` for the client port"
        }
        _ => return None,
    };
    Some(hint)
}

fn is_out_of_files(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::MFILE, Errno::NFILE]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn dial_hint(error: &DialError) -> Option<String> {
    if let Some(hint) = error.tls_error().and_then(tls_hint) {
        return Some(hint.to_owned());
    }
    let hint = match error {
        DialError::Tcp { attempts } if attempts.iter().any(|(_, error)| is_out_of_files(error)) => {
            "fewer connections, or a higher limit of open files (`ulimit -n`)"
        }
        DialError::Dns { source, .. } if is_out_of_files(source) => {
            "fewer connections, or a higher limit of open files (`ulimit -n`)"
        }
        DialError::Dns { .. } => "check the host name in the URL, or use an address",
        DialError::Tcp { .. } => {
            "start a broker with `natsbench broker`, or give the right address with `--server ws://HOST:PORT`"
        }
        DialError::Tls(_) => {
            "give the CA with `--tlsca FILE`, or use `ws://` if the broker's WebSocket has no TLS"
        }
        DialError::Upgrade(UpgradeError::NotHttp { received }) if received.starts_with(b"INFO") => {
            "this is the NATS client port: use `nats://` for it, or the WebSocket port (often 8443)"
        }
        DialError::Upgrade(UpgradeError::Refused(reply)) if reply.status == 403 => {
            "the server refuses this origin: try another `--origin`"
        }
        DialError::Upgrade(UpgradeError::Refused(_)) => {
            "check that the URL is that of nats-server's WebSocket listener, and that a proxy passes `Upgrade` on"
        }
        DialError::NotNats(_) | DialError::ClosedBeforeInfo(_) => {
            "check that the port is the right one for the scheme: `ws://` for WebSocket, `nats://` for clients"
        }
        DialError::Timeout {
            step: Step::Info, ..
        } => {
            "for a WebSocket port use `ws://`; a server with `handshake_first` needs `--tlsfirst`; one that is frozen is silent, too"
        }
        DialError::Timeout { .. } => "allow more time with `--timeout`, or check the address",
        DialError::Refused { kind, .. } if kind.is_authorization() => {
            "check the credentials: `--user` and `--password`, `--token`, `--creds` or `--nkey`"
        }
        DialError::TlsNotOffered => "use `nats://`",
        _ => return None,
    };
    Some(hint.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_of_several_lines_stay_readable_and_harmless() {
        let error = CliError::usage("it\u{1b}[2J").hint("a\nb");
        assert_eq!(
            error.render(false),
            "error: it\u{fffd}[2J\n  try: a\n    b\n"
        );
        assert!(error.render(true).starts_with("\u{1b}["));
    }
}
