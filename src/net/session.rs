//! A NATS session: the parser on a WebSocket or TCP stream.
//!
//! One [`Session::read`] moves what one socket read brought into the parser; [`Session::next_op`] then hands
//! out operations without touching the socket. WebSocket frame borders mean nothing to the parser, and only
//! data frames reach it.

use std::future::poll_fn;
use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::clock::MonoNanos;
use crate::net::direct::{DirectWriter, Framing};
use crate::net::stream::Stream;
use crate::net::wire::{WebSocketMode, WebSocketWire};
use crate::net::ws::frame::opcode;
use crate::protocol::{Limits, Msg, Parser, ServerOp};

pub use crate::net::session_error::SessionError;

/// The framing below NATS.
enum Wire {
    Plain { stream: Stream, scratch: Vec<u8> },
    WebSocket(Box<WebSocketWire>),
}

/// An open connection that speaks NATS.
pub struct Session {
    wire: Wire,
    parser: Parser,
    out: Vec<u8>,
    is_detached: bool,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("buffered_bytes", &self.parser.buffered_bytes())
            .finish_non_exhaustive()
    }
}

impl Session {
    pub(crate) fn plain(stream: Stream, read_buffer_bytes: usize) -> Self {
        Self::over(Wire::Plain {
            stream,
            scratch: vec![0; read_buffer_bytes],
        })
    }

    pub(crate) fn websocket(stream: Stream, tail: Vec<u8>, mode: WebSocketMode) -> Self {
        Self::over(Wire::WebSocket(Box::new(WebSocketWire::new(
            stream, tail, mode,
        ))))
    }

    fn over(wire: Wire) -> Self {
        Self {
            wire,
            parser: Parser::new(Limits::default()),
            out: Vec::new(),
            is_detached: false,
        }
    }

    /// Waits for bytes and gives them to the parser. Cancel-safe: nothing is lost when it is dropped.
    ///
    /// # Errors
    /// When the connection has ended or broken.
    pub async fn read(&mut self) -> Result<(), SessionError> {
        match &mut self.wire {
            Wire::Plain { stream, scratch } => {
                let n = stream.read(scratch).await?;
                if n == 0 {
                    return Err(SessionError::Eof);
                }
                self.parser.feed(&scratch[..n]);
            }
            Wire::WebSocket(wire) => {
                let parser = &mut self.parser;
                poll_fn(|cx| wire.poll_read_into(cx, parser)).await?;
            }
        }
        Ok(())
    }

    /// The next operation that has been read whole.
    ///
    /// # Errors
    /// When the peer breaks the protocol; the session is then of no further use.
    #[inline]
    pub fn next_op(&mut self) -> Result<Option<ServerOp<'_>>, SessionError> {
        Ok(self.parser.next_op()?)
    }

    /// The next operation, if it is a message without reply and headers; see [`Parser::next_plain_message`].
    #[inline]
    pub fn next_plain_message(&mut self) -> Option<Msg<'_>> {
        self.parser.next_plain_message()
    }

    /// When the bytes that [`Session::read`] brought last came out of the socket.
    pub fn received_at(&self) -> MonoNanos {
        match &self.wire {
            Wire::Plain { stream, .. } => stream.last_read(),
            Wire::WebSocket(wire) => wire.last_read(),
        }
    }

    fn stream(&self) -> &Stream {
        match &self.wire {
            Wire::Plain { stream, .. } => stream,
            Wire::WebSocket(wire) => wire.stream(),
        }
    }

    /// Bytes that have come out of the socket so far (with TLS: decrypted), those of the handshake aside.
    pub fn n_read_bytes(&self) -> u64 {
        self.stream().n_read_bytes()
    }

    /// How the peer has ended the connection, if it has: for a session that does not read.
    pub fn hang_up(&self) -> Option<SessionError> {
        self.stream().hang_up().map(|seen| match seen {
            Ok(()) => SessionError::Eof,
            Err(error) => SessionError::Io(error),
        })
    }

    /// Bytes received but not yet handed out; not zero only in mid-operation.
    pub fn buffered_bytes(&self) -> usize {
        self.parser.buffered_bytes()
    }

    /// Where to append operations for the next [`Session::flush`].
    pub fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Sends what was appended to [`Session::out`], as one frame. Not cancel-safe.
    ///
    /// # Errors
    /// When the connection has ended or broken.
    pub async fn flush(&mut self) -> Result<(), SessionError> {
        if self.out.is_empty() {
            return Ok(());
        }
        match &mut self.wire {
            Wire::Plain { stream, .. } => {
                stream.write_all(&self.out).await?;
                stream.flush().await?;
                self.out.clear();
            }
            Wire::WebSocket(wire) => {
                wire.queue(opcode::BINARY, &self.out);
                self.out.clear();
                poll_fn(|cx| wire.poll_outbox(cx)).await?;
            }
        }
        Ok(())
    }

    /// Gives the writing side to a thread of its own. From here on [`Session::flush`] only queues for it.
    ///
    /// # Errors
    /// When the socket cannot be duplicated, or was already detached.
    pub fn detach_writer(&mut self) -> io::Result<DirectWriter> {
        let (stream, framing, unsent) = match &mut self.wire {
            Wire::Plain { stream, .. } => (stream, Framing::Plain, Vec::new()),
            Wire::WebSocket(wire) => {
                let (framing, unsent) = wire.give_up_writing();
                (wire.stream_mut(), framing, unsent)
            }
        };
        let side = stream.detach_writer()?;
        self.is_detached = true;
        // A pong may have been cut in mid-frame: its rest has to come before anything else.
        side.control.push(&unsent)?;
        Ok(DirectWriter::new(side, framing))
    }

    /// The plain TCP stream of a session that has read whole operations only, to start TLS on it.
    pub(crate) fn into_tcp(self) -> Option<tokio::net::TcpStream> {
        match self.wire {
            Wire::Plain { stream, .. } if self.parser.buffered_bytes() == 0 => stream.into_tcp(),
            _ => None,
        }
    }

    /// Says goodbye as the transport does it. Errors do not matter any more. A session whose writing side was detached
    /// says nothing: whatever it wrote could cut a frame of the other writer in two.
    pub async fn close(mut self) {
        if self.is_detached {
            return;
        }
        match &mut self.wire {
            Wire::Plain { stream, .. } => _ = stream.shutdown().await,
            Wire::WebSocket(wire) => {
                wire.queue(opcode::CLOSE, &1000_u16.to_be_bytes());
                _ = poll_fn(|cx| wire.poll_outbox(cx)).await;
            }
        }
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
