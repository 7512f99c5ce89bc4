//! Why a connection ended, told from how it ended and what was said before.
//!
//! nats-server gives no reason to a client that it throws out for being slow: the connection ends without close frame and
//! without `-ERR` (seen with 2.10 to 2.15 over WebSocket). So that cause is inferred, and only said to be likely.

use std::io;

use crate::net::session::SessionError;
use crate::results::outages::{Cause, CauseKind};
use crate::units::format_nanos;

/// A reader that is so far behind when it is cut off was probably cut off for it. A broker gives up on a client whose
/// socket takes nothing for 10 s (nats-server's `write_deadline`), or for which 64 MiB wait (`max_pending`); a reader that
/// keeps up is behind by milliseconds.
const SLOW_LAG_NS: i64 = 1_000_000_000;

/// What is known of a connection beside the error that ended it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Circumstances<'a> {
    /// The last `-ERR` of the server.
    pub(crate) last_complaint: Option<&'a str>,
    /// How old the last message was when it was read.
    pub(crate) lag_ns: Option<i64>,
    /// Nothing, or little, was read on purpose.
    pub(crate) is_stalled: bool,
}

/// Says why a connection ended.
pub(crate) fn cause_of(error: &SessionError, circumstances: Circumstances<'_>) -> Cause {
    let (kind, close_code) = match error {
        SessionError::Closed { code, .. } => (CauseKind::CloseFrame, Some(*code)),
        SessionError::Eof => (CauseKind::Eof, None),
        SessionError::Silent { .. } => (CauseKind::Timeout, None),
        SessionError::Io(error) => (kind_of(error), None),
        SessionError::Frame(_) | SessionError::Deflate(_) | SessionError::Protocol(_) => {
            (CauseKind::Protocol, None)
        }
    };
    let text = super::connecting::error_chain(error);
    if let Some(complaint) = circumstances.last_complaint {
        // What the server said explains more than how the socket ended.
        return Cause {
            kind: CauseKind::ServerError,
            close_code,
            text: format!("-ERR '{complaint}'; {text}"),
        };
    }
    let ended_without_a_word = matches!(kind, CauseKind::Eof | CauseKind::Reset);
    let lag_ns = circumstances.lag_ns.filter(|lag_ns| *lag_ns >= SLOW_LAG_NS);
    if ended_without_a_word && (circumstances.is_stalled || lag_ns.is_some()) {
        let behind = match lag_ns {
            Some(lag_ns) => format!("the last message read was {} old", format_nanos(lag_ns)),
            None => "it was not being read".to_owned(),
        };
        return Cause {
            kind: CauseKind::SlowConsumer,
            close_code,
            text: format!("cut off, likely as a slow consumer: {text}, and {behind}"),
        };
    }
    Cause {
        kind,
        close_code,
        text,
    }
}

fn kind_of(error: &io::Error) -> CauseKind {
    match error.kind() {
        // A write that meets a connection which the peer has ended; its RST is what made it fail.
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => CauseKind::Reset,
        io::ErrorKind::TimedOut => CauseKind::Timeout,
        _ => CauseKind::Io,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::ws::frame::FrameError;

    fn kind(error: &SessionError, circumstances: Circumstances<'_>) -> CauseKind {
        cause_of(error, circumstances).kind
    }

    #[test]
    fn how_a_connection_ended_tells_why() {
        let plain = Circumstances::default();
        let closed = SessionError::Closed {
            code: 1001,
            reason: "Server Shutdown".to_owned(),
        };
        let cause = cause_of(&closed, plain);
        assert_eq!(
            (cause.kind, cause.close_code),
            (CauseKind::CloseFrame, Some(1001))
        );
        assert!(cause.text.contains("Server Shutdown"), "{}", cause.text);
        assert_eq!(kind(&SessionError::Eof, plain), CauseKind::Eof);
        let reset = SessionError::Io(io::ErrorKind::ConnectionReset.into());
        assert_eq!(kind(&reset, plain), CauseKind::Reset);
        let frame = SessionError::Frame(FrameError::NothingToContinue);
        assert_eq!(kind(&frame, plain), CauseKind::Protocol);
        let silent = SessionError::Silent {
            limit: std::time::Duration::from_secs(10),
        };
        assert_eq!(kind(&silent, plain), CauseKind::Timeout);
    }

    #[test]
    fn what_the_server_said_comes_first() {
        let circumstances = Circumstances {
            last_complaint: Some("Stale Connection"),
            ..Circumstances::default()
        };
        let cause = cause_of(&SessionError::Eof, circumstances);
        assert_eq!(cause.kind, CauseKind::ServerError);
        assert!(
            cause.text.starts_with("-ERR 'Stale Connection'"),
            "{}",
            cause.text
        );
    }

    #[test]
    fn only_who_was_behind_was_slow() {
        let lagging = |lag_ns| Circumstances {
            lag_ns: Some(lag_ns),
            ..Circumstances::default()
        };
        let stalled = Circumstances {
            is_stalled: true,
            ..Circumstances::default()
        };
        let eof = SessionError::Eof;
        assert_eq!(kind(&eof, lagging(3_000_000)), CauseKind::Eof);
        assert_eq!(kind(&eof, lagging(SLOW_LAG_NS)), CauseKind::SlowConsumer);
        assert_eq!(kind(&eof, stalled), CauseKind::SlowConsumer);
        let closed = SessionError::Closed {
            code: 1001,
            reason: String::new(),
        };
        // A server that says goodbye has another reason.
        assert_eq!(kind(&closed, stalled), CauseKind::CloseFrame);
    }
}
