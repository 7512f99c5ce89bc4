//! What is behind a port that takes a connection and does not answer the upgrade in HTTP.
//!
//! The same silence, or the same hang-up, has many causes: the port is asked again in other ways, side by side, until
//! one of them answers.

use std::time::Duration;

use crate::doctor::code::Code;
use crate::doctor::examination::Examination;
use crate::net::ws::upgrade::UpgradeError;
use crate::results::doctor::{Certainty, Finding, Severity};
use crate::units::format_duration;

/// What the upgrade request got instead of an answer in HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// The peer closed the connection (FIN), perhaps in the middle of a head.
    Closed { received: Vec<u8>, after: Duration },
    /// The connection broke: a reset, say.
    Broken {
        received: Vec<u8>,
        error: String,
        after: Duration,
    },
    /// Nothing came until the limit.
    Silence { waited: Duration },
    /// Bytes that are no HTTP.
    NotHttp { received: Vec<u8>, after: Duration },
}

impl Unanswered {
    /// Of the error of an upgrade that took so long; `None` if there was an answer in HTTP.
    ///
    /// A TLS alert that comes here instead of in the handshake is the business of whoever looks at TLS.
    pub(crate) fn of(error: &UpgradeError, after: Duration) -> Option<Self> {
        match error {
            UpgradeError::Closed { received } => Some(Self::Closed {
                received: received.clone(),
                after,
            }),
            UpgradeError::Io { received, source } => Some(Self::Broken {
                received: received.clone(),
                error: source.to_string(),
                after,
            }),
            UpgradeError::NotHttp { received } => Some(Self::NotHttp {
                received: received.clone(),
                after,
            }),
            _ => None,
        }
    }
}

/// Closed without an answer.
pub(crate) const CLOSED: Code = Code {
    name: "port.closed-without-answer",
    severity: Severity::Error,
    meaning: "Something takes the connection and ends it without an answer.",
    cause: "A load balancer or a published container port without anything behind it, usually; a list of refused addresses sometimes.",
    fix: "Start what is behind that port, or correct the port that it passes connections on to.",
};

/// Asks the port again until it is known what is behind it, or until what is left cannot be told apart from here.
pub(crate) async fn unanswered(examination: &mut Examination<'_>, what: Unanswered) -> Finding {
    let target = format!("{}:{}", examination.target.host, examination.target.port);
    let (said, after) = match &what {
        Unanswered::Closed { after, .. } => ("closed".to_owned(), *after),
        Unanswered::Broken { error, after, .. } => (error.clone(), *after),
        Unanswered::Silence { waited } => ("nothing".to_owned(), *waited),
        Unanswered::NotHttp { after, .. } => ("no HTTP".to_owned(), *after),
    };
    CLOSED
        .finding(format!(
            "Something takes connections at {target} and does not answer."
        ))
        .evidence("answer", format!("{said} after {}", format_duration(after)))
        .certainty(Certainty::Possible)
}
