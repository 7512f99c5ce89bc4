//! How a session ends: said by the peer, broken by it, or by the socket.

use std::io;

use crate::net::ws::deflate::DeflateError;
use crate::net::ws::frame::FrameError;
use crate::protocol::ProtocolError;

/// How a session ended or broke.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The peer ended the TCP stream without saying why.
    #[error("the server closed the connection")]
    Eof,
    /// The peer sent a WebSocket close frame.
    #[error("the server closed the WebSocket with code {code}{}", reason_suffix(.reason))]
    Closed {
        /// RFC 6455 section 7.4 status code; 1005 when there was none.
        code: u16,
        /// The reason in the frame.
        reason: String,
    },
    /// Nothing came from the peer, not even the answer to a PING.
    #[error("the server gave no sign of life for {}", crate::units::format_duration(*.limit))]
    Silent {
        /// For how long.
        limit: std::time::Duration,
    },
    /// The socket broke.
    #[error("the connection broke")]
    Io(#[source] io::Error),
    /// The peer broke the WebSocket protocol.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A bad message in compressed mode.
    #[error(transparent)]
    Deflate(#[from] DeflateError),
    /// The peer broke the NATS protocol.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
}

fn reason_suffix(reason: &str) -> String {
    if reason.is_empty() {
        String::new()
    } else {
        format!(": {reason}")
    }
}

/// A TLS peer that ends the TCP stream without `close_notify` has closed the connection like any other.
impl From<io::Error> for SessionError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            Self::Eof
        } else {
            Self::Io(error)
        }
    }
}
