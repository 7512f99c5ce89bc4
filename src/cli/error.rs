//! What the user sees when something does not work: what was tried, why it failed, what to do next.
//!
//! The only printer of errors. Some dependencies print their cause in their text *and* return it as source, so a
//! cause that its parent already ends with is dropped.

use std::fmt::Write as _;
use std::ops::Range;

use crate::cli::exit;
use crate::load::latency::RunError;
use crate::load::links::LinkError;
use crate::load::receiver::StartError;
use crate::net::async_client::AsyncClientError;
use crate::net::dial::{DialError, Step};
use crate::net::ws::upgrade::UpgradeError;

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

    /// The whole text, at most one screen.
    pub(crate) fn render(&self) -> String {
        let mut out = format!("error: {}\n", self.message);
        if let Some((input, span)) = &self.pointer {
            // Writing to a `String` cannot fail.
            let _ = writeln!(out, "  {}", printable(input));
            let before = input
                .get(..span.start)
                .map_or(span.start, |text| text.chars().count());
            let width = input
                .get(span.clone())
                .map_or(1, |text| text.chars().count())
                .max(1);
            let _ = writeln!(out, "  {}{}", " ".repeat(before), "^".repeat(width));
        }
        for cause in &self.causes {
            let mut lines = cause.trim_end().lines().map(printable);
            let _ = writeln!(out, "  because: {}", lines.next().unwrap_or_default());
            // A list of what was looked at, say; indented, so that it cannot pass for an error of its own.
            for line in lines {
                let _ = writeln!(out, "    {line}");
            }
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(out, "  try: {hint}");
        }
        out
    }
}

/// Text from a server or a file, with control characters made harmless for a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect()
}

impl From<RunError> for CliError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Link(LinkError::Dial(dial)) | RunError::Start(StartError::Dial(dial)) => {
                Self::dial(&dial)
            }
            RunError::Link(LinkError::Client(client)) => {
                let code = match client {
                    AsyncClientError::Unsupported(_) => exit::USAGE,
                    _ => exit::UNREACHABLE,
                };
                Self::new(code, client.to_string())
            }
            RunError::Link(LinkError::Size(size)) => Self::usage(size.to_string()),
            RunError::Start(StartError::Refused { .. }) => {
                Self::new(exit::UNREACHABLE, error.to_string())
                    .hint("ask for the permission to subscribe, or use credentials that have it")
            }
            RunError::Start(StartError::Session(session)) => {
                Self::new(exit::UNREACHABLE, "the connection broke while subscribing")
                    .because(&session)
            }
            other => Self::internal(other.to_string()).because(&other),
        }
    }
}

impl CliError {
    /// A connection that could not be opened.
    pub(crate) fn dial(error: &DialError) -> Self {
        let base = Self::new(exit::UNREACHABLE, "cannot connect to the broker").because(error);
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

fn dial_hint(error: &DialError) -> Option<String> {
    let hint = match error {
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
        } => "for a WebSocket port use `ws://`; a server that is frozen is silent, too",
        DialError::Timeout { .. } => "allow more time with `--timeout`, or check the address",
        DialError::Refused { kind, .. } if kind.is_authorization() => {
            "check the credentials: `--user` and `--password`, `--token`, `--creds` or `--nkey`"
        }
        DialError::TlsNotOffered => "use `nats://`",
        _ => return None,
    };
    Some(hint.to_owned())
}
