//! A NATS session: the parser on a WebSocket or TCP stream.
//!
//! One [`Session::read`] moves what one socket read brought into the parser; [`Session::next_op`] then hands
//! out operations without touching the socket. WebSocket frame borders mean nothing to the parser, and only
//! data frames reach it.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError as WsProtocolError;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use crate::clock::MonoNanos;
use crate::net::direct::{DirectWriter, Framing};
use crate::net::stream::{MAX_CONTROL_BYTES, Stream, too_many_answers};
use crate::net::ws::deflate::{DeflateError, Deflater, Inflater, MIN_COMPRESSED_BYTES};
use crate::net::ws::frame::{FrameDecoder, FrameError, FrameOptions, HEADROOM_BYTES, opcode, seal};
use crate::net::ws::upgrade::masking_key;
use crate::protocol::{Limits, Parser, ProtocolError, ServerOp};

/// The largest WebSocket frame that is accepted. nats-server coalesces what is pending for a client into one
/// frame, and `max_pending` is 64 MiB by default.
const MAX_FRAME_BYTES: usize = 64 << 20;
/// What tungstenite may hold that the socket has not taken: our largest message, and answers to pings. Without a
/// limit a peer that pings without end and never reads would fill the memory.
const MAX_WRITE_BUFFER_BYTES: usize = MAX_FRAME_BYTES + MAX_CONTROL_BYTES;

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
    /// The socket broke.
    #[error("the connection broke")]
    Io(#[source] io::Error),
    /// The peer broke the WebSocket protocol.
    #[error("the server broke the WebSocket protocol: {0}")]
    WebSocket(String),
    /// A bad frame in compressed mode.
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

impl From<WsError> for SessionError {
    fn from(error: WsError) -> Self {
        match error {
            WsError::ConnectionClosed
            | WsError::AlreadyClosed
            | WsError::Protocol(WsProtocolError::ResetWithoutClosingHandshake) => Self::Eof,
            WsError::Io(source) => source.into(),
            other => Self::WebSocket(other.to_string()),
        }
    }
}

/// The framing below NATS.
enum Wire {
    Plain {
        stream: Stream,
        scratch: Vec<u8>,
    },
    WebSocket {
        socket: Box<WebSocketStream<Stream>>,
        is_masked: bool,
    },
    Deflate(Box<DeflateWire>),
}

/// How a WebSocket was agreed; see [`Session::websocket`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct WebSocketMode {
    pub(crate) is_compressed: bool,
    pub(crate) is_masked: bool,
    pub(crate) read_buffer_bytes: usize,
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

    pub(crate) async fn websocket(stream: Stream, tail: Vec<u8>, mode: WebSocketMode) -> Self {
        if mode.is_compressed {
            return Self::over(Wire::Deflate(Box::new(DeflateWire::new(
                stream, &tail, mode,
            ))));
        }
        let config = WebSocketConfig::default()
            .read_buffer_size(mode.read_buffer_bytes)
            .write_buffer_size(0)
            .max_write_buffer_size(MAX_WRITE_BUFFER_BYTES)
            .max_message_size(Some(MAX_FRAME_BYTES))
            .max_frame_size(Some(MAX_FRAME_BYTES))
            .accept_unmasked_frames(true);
        // tungstenite masks in the client role only; after `Nats-No-Masking` was agreed neither side masks.
        let role = if mode.is_masked {
            Role::Client
        } else {
            Role::Server
        };
        let socket = WebSocketStream::from_partially_read(stream, tail, role, Some(config)).await;
        Self::over(Wire::WebSocket {
            socket: Box::new(socket),
            is_masked: mode.is_masked,
        })
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
            Wire::WebSocket { socket, .. } => match socket.next().await {
                Some(Ok(Message::Binary(bytes))) => self.parser.feed(&bytes),
                // The server answers in binary; a proxy may have made text of it.
                Some(Ok(Message::Text(text))) => self.parser.feed(text.as_bytes()),
                Some(Ok(Message::Close(frame))) => {
                    let (code, reason) = frame.map_or((1005, String::new()), |frame| {
                        (frame.code.into(), frame.reason.to_string())
                    });
                    return Err(SessionError::Closed { code, reason });
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Err(SessionError::Eof),
            },
            Wire::Deflate(wire) => {
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
    pub fn next_op(&mut self) -> Result<Option<ServerOp<'_>>, SessionError> {
        Ok(self.parser.next_op()?)
    }

    /// When the bytes that [`Session::read`] brought last came out of the socket.
    pub fn received_at(&self) -> MonoNanos {
        match &self.wire {
            Wire::Plain { stream, .. } => stream.last_read(),
            Wire::WebSocket { socket, .. } => socket.get_ref().last_read(),
            Wire::Deflate(wire) => wire.stream.last_read(),
        }
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
            Wire::WebSocket { socket, .. } => {
                let bytes = std::mem::take(&mut self.out);
                socket.send(Message::Binary(bytes.into())).await?;
            }
            Wire::Deflate(wire) => {
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
            Wire::WebSocket { socket, is_masked } => {
                let framing = Framing::WebSocket {
                    is_masked: *is_masked,
                    deflater: None,
                };
                (socket.get_mut(), framing, Vec::new())
            }
            Wire::Deflate(wire) => {
                let framing = Framing::WebSocket {
                    is_masked: wire.is_masked,
                    deflater: Some(Deflater::default()),
                };
                let unsent = wire.outbox.split_off(wire.outbox_start);
                (&mut wire.stream, framing, unsent)
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
            Wire::WebSocket { socket, .. } => _ = socket.as_mut().close(None).await,
            Wire::Deflate(wire) => {
                wire.queue(opcode::CLOSE, &1000_u16.to_be_bytes());
                _ = poll_fn(|cx| wire.poll_outbox(cx)).await;
            }
        }
    }
}

/// WebSocket with permessage-deflate, on our own frames.
struct DeflateWire {
    stream: Stream,
    decoder: FrameDecoder,
    inflater: Inflater,
    deflater: Deflater,
    is_masked: bool,
    scratch: Vec<u8>,
    /// Payload of a fragmented message so far, and whether it is compressed.
    partial: Option<(Vec<u8>, bool)>,
    /// Sealed frames; from `outbox_start` on the socket has not taken them. They wait here and not in a future, so
    /// that a read that is dropped takes no half-sent pong with it.
    outbox: Vec<u8>,
    outbox_start: usize,
    needs_flush: bool,
    /// What ended the connection right behind messages that had to be handed on first.
    ended: Option<SessionError>,
}

impl DeflateWire {
    fn new(stream: Stream, tail: &[u8], mode: WebSocketMode) -> Self {
        Self {
            stream,
            decoder: FrameDecoder::new(MAX_FRAME_BYTES as u64, tail),
            inflater: Inflater::new(MAX_FRAME_BYTES),
            deflater: Deflater::default(),
            is_masked: mode.is_masked,
            scratch: vec![0; mode.read_buffer_bytes],
            partial: None,
            outbox: Vec::new(),
            outbox_start: 0,
            needs_flush: false,
            ended: None,
        }
    }

    /// Hands on what is already there, or reads once; sends what waits to be sent as far as the socket takes it.
    fn poll_read_into(
        &mut self,
        cx: &mut Context<'_>,
        parser: &mut Parser,
    ) -> Poll<Result<(), SessionError>> {
        loop {
            let has_progress = self.drain(parser)?;
            let sent = self.poll_outbox(cx);
            if has_progress {
                return Poll::Ready(Ok(()));
            }
            let mut buf = ReadBuf::new(&mut self.scratch);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buf) {
                Poll::Ready(read) => read?,
                // What the peer has said comes before our failure to answer it.
                Poll::Pending => match sent {
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    _ => return Poll::Pending,
                },
            }
            if buf.filled().is_empty() {
                return Poll::Ready(Err(SessionError::Eof));
            }
            self.decoder.feed(buf.filled());
        }
    }

    /// Feeds whole messages to the parser; returns whether there were any. What ends the connection behind them is
    /// kept for the next call: a server says why it closes in the same segment as the close frame.
    fn drain(&mut self, parser: &mut Parser) -> Result<bool, SessionError> {
        if let Some(error) = self.ended.take() {
            return Err(error);
        }
        let mut has_progress = false;
        loop {
            match self.next_message(parser) {
                Ok(Drained::Fed) => has_progress = true,
                Ok(Drained::Control) => {}
                Ok(Drained::NeedsBytes) => return Ok(has_progress),
                Err(error) if has_progress => {
                    self.ended = Some(error);
                    return Ok(true);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes one frame.
    fn next_message(&mut self, parser: &mut Parser) -> Result<Drained, SessionError> {
        let Some(frame) = self.decoder.next_frame()? else {
            return Ok(Drained::NeedsBytes);
        };
        match frame.opcode {
            opcode::BINARY | opcode::TEXT => {
                if self.partial.is_some() {
                    return Err(FrameError::Unfinished.into());
                }
                if !frame.is_final {
                    self.partial = Some((frame.payload.to_vec(), frame.is_compressed));
                    return Ok(Drained::Control);
                }
                let payload = if frame.is_compressed {
                    self.inflater.inflate(frame.payload)?
                } else {
                    frame.payload
                };
                parser.feed(payload);
                Ok(Drained::Fed)
            }
            opcode::CONTINUATION => {
                let Some((message, is_compressed)) = &mut self.partial else {
                    return Err(FrameError::NothingToContinue.into());
                };
                if message.len() + frame.payload.len() > MAX_FRAME_BYTES {
                    return Err(DeflateError::TooLong {
                        limit_bytes: MAX_FRAME_BYTES,
                    }
                    .into());
                }
                message.extend_from_slice(frame.payload);
                if !frame.is_final {
                    return Ok(Drained::Control);
                }
                let payload = if *is_compressed {
                    self.inflater.inflate(message)?
                } else {
                    message
                };
                parser.feed(payload);
                self.partial = None;
                Ok(Drained::Fed)
            }
            opcode::PING => {
                let payload = frame.payload.to_vec();
                if self.outbox.len() - self.outbox_start > MAX_CONTROL_BYTES {
                    return Err(too_many_answers().into());
                }
                self.queue(opcode::PONG, &payload);
                Ok(Drained::Control)
            }
            opcode::PONG => Ok(Drained::Control),
            opcode::CLOSE => {
                let (code, reason) = frame
                    .payload
                    .split_first_chunk::<2>()
                    .map_or((1005, &[][..]), |(code, rest)| {
                        (u16::from_be_bytes(*code), rest)
                    });
                Err(SessionError::Closed {
                    code,
                    reason: String::from_utf8_lossy(reason).into_owned(),
                })
            }
            opcode => Err(FrameError::UnknownOpcode { opcode }.into()),
        }
    }

    /// Seals a frame and puts it behind those that wait.
    fn queue(&mut self, opcode: u8, payload: &[u8]) {
        let mut frame = vec![0; HEADROOM_BYTES];
        let is_compressed = opcode == opcode::BINARY && payload.len() >= MIN_COMPRESSED_BYTES;
        if is_compressed {
            self.deflater.deflate(payload, &mut frame);
        } else {
            frame.extend_from_slice(payload);
        }
        let mask = self.is_masked.then(masking_key);
        let start = seal(
            &mut frame,
            HEADROOM_BYTES,
            FrameOptions {
                opcode,
                is_compressed,
                mask,
            },
        );
        self.outbox.extend_from_slice(&frame[start..]);
    }

    /// Writes what waits.
    fn poll_outbox(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SessionError>> {
        while self.outbox_start < self.outbox.len() {
            let unsent = &self.outbox[self.outbox_start..];
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, unsent))?;
            if written == 0 {
                return Poll::Ready(Err(SessionError::Io(io::ErrorKind::WriteZero.into())));
            }
            self.outbox_start += written;
            self.needs_flush = true;
        }
        self.outbox.clear();
        self.outbox_start = 0;
        if self.needs_flush {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.needs_flush = false;
        }
        Poll::Ready(Ok(()))
    }
}

/// What became of one frame.
enum Drained {
    /// A message went to the parser.
    Fed,
    /// A control frame, or a part of a message.
    Control,
    /// There is no whole frame.
    NeedsBytes,
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
