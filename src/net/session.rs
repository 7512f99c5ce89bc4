//! A NATS session: the parser on a WebSocket or TCP stream.
//!
//! One [`Session::read`] moves what one socket read brought into the parser; [`Session::next_op`] then hands
//! out operations without touching the socket. WebSocket frame borders mean nothing to the parser, and only
//! data frames reach it.

use std::io;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError as WsProtocolError;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use crate::clock::MonoNanos;
use crate::net::direct::{DirectWriter, Framing};
use crate::net::stream::Stream;
use crate::net::ws::deflate::{DeflateError, Deflater, Inflater, MIN_COMPRESSED_BYTES};
use crate::net::ws::frame::{FrameDecoder, FrameError, FrameOptions, HEADROOM_BYTES, opcode, seal};
use crate::net::ws::upgrade::masking_key;
use crate::protocol::{Limits, Parser, ProtocolError, ServerOp};

/// The largest WebSocket frame that is accepted. nats-server coalesces what is pending for a client into one
/// frame, and `max_pending` is 64 MiB by default.
const MAX_FRAME_BYTES: usize = 64 << 20;

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

impl From<WsError> for SessionError {
    fn from(error: WsError) -> Self {
        match error {
            WsError::ConnectionClosed
            | WsError::AlreadyClosed
            | WsError::Protocol(WsProtocolError::ResetWithoutClosingHandshake) => Self::Eof,
            WsError::Io(source) if source.kind() == io::ErrorKind::UnexpectedEof => Self::Eof,
            WsError::Io(source) => Self::Io(source),
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
        }
    }

    /// Waits for bytes and gives them to the parser. Cancel-safe: nothing is lost when it is dropped.
    ///
    /// # Errors
    /// When the connection has ended or broken.
    pub async fn read(&mut self) -> Result<(), SessionError> {
        match &mut self.wire {
            Wire::Plain { stream, scratch } => {
                let n = stream.read(scratch).await.map_err(SessionError::Io)?;
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
            Wire::Deflate(wire) => wire.read_into(&mut self.parser).await?,
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
                stream
                    .write_all(&self.out)
                    .await
                    .map_err(SessionError::Io)?;
                stream.flush().await.map_err(SessionError::Io)?;
                self.out.clear();
            }
            Wire::WebSocket { socket, .. } => {
                let bytes = std::mem::take(&mut self.out);
                socket.send(Message::Binary(bytes.into())).await?;
            }
            Wire::Deflate(wire) => {
                let bytes = std::mem::take(&mut self.out);
                wire.send(opcode::BINARY, &bytes).await?;
            }
        }
        Ok(())
    }

    /// Gives the writing side to a thread of its own. From here on [`Session::flush`] only queues for it.
    ///
    /// # Errors
    /// When the socket cannot be duplicated, or was already detached.
    pub fn detach_writer(&mut self) -> io::Result<DirectWriter> {
        let (stream, framing) = match &mut self.wire {
            Wire::Plain { stream, .. } => (stream, Framing::Plain),
            Wire::WebSocket { socket, is_masked } => (
                socket.get_mut(),
                Framing::WebSocket {
                    is_masked: *is_masked,
                    deflater: None,
                },
            ),
            Wire::Deflate(wire) => {
                let deflater = Some(Deflater::default());
                (
                    &mut wire.stream,
                    Framing::WebSocket {
                        is_masked: wire.is_masked,
                        deflater,
                    },
                )
            }
        };
        Ok(DirectWriter::new(stream.detach_writer()?, framing))
    }

    /// The plain TCP stream of a session that has read whole operations only, to start TLS on it.
    pub(crate) fn into_tcp(self) -> Option<tokio::net::TcpStream> {
        match self.wire {
            Wire::Plain { stream, .. } if self.parser.buffered_bytes() == 0 => stream.into_tcp(),
            _ => None,
        }
    }

    /// Says goodbye as the transport does it. Errors do not matter any more.
    pub async fn close(mut self) {
        match &mut self.wire {
            Wire::Plain { stream, .. } => _ = stream.shutdown().await,
            Wire::WebSocket { socket, .. } => _ = socket.as_mut().close(None).await,
            Wire::Deflate(wire) => _ = wire.send(opcode::CLOSE, &1000_u16.to_be_bytes()).await,
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
    frame: Vec<u8>,
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
            frame: Vec::new(),
        }
    }

    /// Hands on what is already there, or reads once. Cancel-safe: the only await that can be dropped is the read.
    async fn read_into(&mut self, parser: &mut Parser) -> Result<(), SessionError> {
        loop {
            let (progress, pongs) = self.drain(parser)?;
            for pong in pongs {
                self.send(opcode::PONG, &pong).await?;
            }
            if progress {
                return Ok(());
            }
            let n = self
                .stream
                .read(&mut self.scratch)
                .await
                .map_err(SessionError::Io)?;
            if n == 0 {
                return Err(SessionError::Eof);
            }
            self.decoder.feed(&self.scratch[..n]);
        }
    }

    /// Feeds whole messages to the parser; returns whether there were any, and pings to answer.
    fn drain(&mut self, parser: &mut Parser) -> Result<(bool, Vec<Vec<u8>>), SessionError> {
        let mut progress = false;
        let mut pings = Vec::new();
        while let Some(frame) = self.decoder.next_frame()? {
            match frame.opcode {
                opcode::BINARY | opcode::TEXT if frame.is_final => {
                    let payload = if frame.is_compressed {
                        self.inflater.inflate(frame.payload)?
                    } else {
                        frame.payload
                    };
                    parser.feed(payload);
                    progress = true;
                }
                opcode::BINARY | opcode::TEXT => {
                    self.partial = Some((frame.payload.to_vec(), frame.is_compressed));
                }
                opcode::CONTINUATION => {
                    let Some((message, is_compressed)) = &mut self.partial else {
                        return Err(SessionError::WebSocket(
                            "a continuation frame continues nothing".to_owned(),
                        ));
                    };
                    message.extend_from_slice(frame.payload);
                    if message.len() > MAX_FRAME_BYTES {
                        return Err(DeflateError::TooLong {
                            limit_bytes: MAX_FRAME_BYTES,
                        }
                        .into());
                    }
                    if frame.is_final {
                        let payload = if *is_compressed {
                            self.inflater.inflate(message)?
                        } else {
                            message
                        };
                        parser.feed(payload);
                        self.partial = None;
                        progress = true;
                    }
                }
                opcode::PING => pings.push(frame.payload.to_vec()),
                opcode::PONG => {}
                opcode::CLOSE => {
                    let (code, reason) = frame
                        .payload
                        .split_first_chunk::<2>()
                        .map_or((1005, &[][..]), |(code, rest)| {
                            (u16::from_be_bytes(*code), rest)
                        });
                    return Err(SessionError::Closed {
                        code,
                        reason: String::from_utf8_lossy(reason).into_owned(),
                    });
                }
                other => return Err(SessionError::WebSocket(format!("unknown opcode {other}"))),
            }
        }
        Ok((progress, pings))
    }

    async fn send(&mut self, opcode: u8, payload: &[u8]) -> Result<(), SessionError> {
        self.frame.clear();
        self.frame.resize(HEADROOM_BYTES, 0);
        let is_compressed = opcode == opcode::BINARY && payload.len() >= MIN_COMPRESSED_BYTES;
        if is_compressed {
            self.deflater.deflate(payload, &mut self.frame);
        } else {
            self.frame.extend_from_slice(payload);
        }
        let mask = self.is_masked.then(masking_key);
        let start = seal(
            &mut self.frame,
            HEADROOM_BYTES,
            FrameOptions {
                opcode,
                is_compressed,
                mask,
            },
        );
        self.stream
            .write_all(&self.frame[start..])
            .await
            .map_err(SessionError::Io)?;
        self.stream.flush().await.map_err(SessionError::Io)
    }
}
