//! WebSocket frames on a stream: what carries a session's bytes when it is not plain TCP.
//!
//! Data frames are passed on to the parser, pings are answered, a close ends the session. Polled rather than awaited, so
//! that a read that is dropped loses nothing.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use crate::clock::MonoNanos;
use crate::net::direct::Framing;
use crate::net::session_error::SessionError;
use crate::net::stream::{MAX_CONTROL_BYTES, Stream, too_many_answers};
use crate::net::ws::deflate::{DeflateError, Deflater, Inflater, MIN_COMPRESSED_BYTES};
use crate::net::ws::deframe::{Deframer, Piece};
use crate::net::ws::frame::{FrameDecoder, FrameError, FrameOptions, HEADROOM_BYTES, opcode, seal};
use crate::net::ws::upgrade::masking_key;
use crate::protocol::Parser;

/// The largest compressed WebSocket message that is accepted. nats-server coalesces what is pending for a client
/// into one, and `max_pending` is 64 MiB by default.
const MAX_MESSAGE_BYTES: usize = 64 << 20;
/// The largest frame that is accepted without compression. It is never held as a whole; no server has more than this
/// pending for one client, so that whoever announces it is none.
const MAX_FRAME_BYTES: u64 = 2 << 30;

/// How a WebSocket was agreed; see [`WebSocketWire::new`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct WebSocketMode {
    pub(crate) is_compressed: bool,
    pub(crate) is_masked: bool,
    pub(crate) read_buffer_bytes: usize,
}

/// WebSocket on our own frames.
pub(crate) struct WebSocketWire {
    stream: Stream,
    inbound: Inbound,
    /// `None` where compression was not agreed, or went with the detached writing side.
    deflater: Option<Deflater>,
    is_masked: bool,
    scratch: Vec<u8>,
    /// How much of `scratch` came behind the upgrade and was not looked at yet.
    n_tail_bytes: usize,
    /// Sealed frames; from `outbox_start` on the socket has not taken them. They wait here and not in a future, so
    /// that a read that is dropped takes no half-sent pong with it.
    outbox: Vec<u8>,
    outbox_start: usize,
    needs_flush: bool,
    /// What ended the connection right behind messages that had to be handed on first.
    ended: Option<SessionError>,
}

/// What is done with the bytes that arrive.
enum Inbound {
    /// They are passed on as they come: a message must not wait for the end of its frame.
    Streamed(Deframer),
    /// They can be inflated when a message is whole.
    Compressed(Box<Compressed>),
}

/// The receiving side of permessage-deflate.
struct Compressed {
    decoder: FrameDecoder,
    inflater: Inflater,
    /// Payload of a fragmented message so far, and whether it is compressed.
    partial: Option<(Vec<u8>, bool)>,
}

/// What one frame, or what there is of it, came to.
enum Drained {
    /// The parser got something.
    Fed,
    /// A pong is to be sent with this payload.
    Pinged(Vec<u8>),
    /// Nothing.
    Skipped,
    /// There is nothing left to look at.
    NeedsBytes,
}

impl WebSocketWire {
    /// What came behind the upgrade is `tail`.
    pub(crate) fn new(stream: Stream, tail: Vec<u8>, mode: WebSocketMode) -> Self {
        let inbound = if mode.is_compressed {
            Inbound::Compressed(Box::new(Compressed {
                decoder: FrameDecoder::new(MAX_MESSAGE_BYTES as u64, &[]),
                inflater: Inflater::new(MAX_MESSAGE_BYTES),
                partial: None,
            }))
        } else {
            Inbound::Streamed(Deframer::new(MAX_FRAME_BYTES))
        };
        let n_tail_bytes = tail.len();
        let mut scratch = tail;
        scratch.resize(n_tail_bytes.max(mode.read_buffer_bytes), 0);
        Self {
            stream,
            inbound,
            deflater: mode.is_compressed.then(Deflater::default),
            is_masked: mode.is_masked,
            scratch,
            n_tail_bytes,
            outbox: Vec::new(),
            outbox_start: 0,
            needs_flush: false,
            ended: None,
        }
    }

    /// Reads once and hands on what came, until the parser has got something; sends what waits to be sent as far as the
    /// socket takes it.
    pub(crate) fn poll_read_into(
        &mut self,
        cx: &mut Context<'_>,
        parser: &mut Parser,
    ) -> Poll<Result<(), SessionError>> {
        if let Some(error) = self.ended.take() {
            return Poll::Ready(Err(error));
        }
        let mut n_bytes = std::mem::take(&mut self.n_tail_bytes);
        loop {
            let has_progress = self.drain(n_bytes, parser)?;
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
            n_bytes = buf.filled().len();
            if n_bytes == 0 {
                return Poll::Ready(Err(SessionError::Eof));
            }
        }
    }

    /// Feeds the parser with the first bytes of `scratch`; returns whether it got any. What ends the connection behind
    /// them is kept for the next call: a server says why it closes in the same segment as the close frame.
    fn drain(&mut self, n_bytes: usize, parser: &mut Parser) -> Result<bool, SessionError> {
        let mut bytes = &self.scratch[..n_bytes];
        if let Inbound::Compressed(compressed) = &mut self.inbound {
            compressed.decoder.feed(std::mem::take(&mut bytes));
        }
        let mut has_progress = false;
        loop {
            let drained = match &mut self.inbound {
                Inbound::Streamed(deframer) => next_piece(deframer, &mut bytes, parser),
                Inbound::Compressed(compressed) => compressed.next_message(parser),
            };
            let result = match drained {
                Ok(Drained::Fed) => {
                    has_progress = true;
                    Ok(())
                }
                Ok(Drained::Pinged(payload)) => answer_ping(
                    &mut self.outbox,
                    self.outbox_start,
                    self.is_masked,
                    &payload,
                ),
                Ok(Drained::Skipped) => Ok(()),
                Ok(Drained::NeedsBytes) => return Ok(has_progress),
                Err(error) => Err(error),
            };
            match result {
                Ok(()) => {}
                Err(error) if has_progress => {
                    self.ended = Some(error);
                    return Ok(true);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Seals a frame and puts it behind those that wait.
    pub(crate) fn queue(&mut self, opcode: u8, payload: &[u8]) {
        let is_long = opcode == opcode::BINARY && payload.len() >= MIN_COMPRESSED_BYTES;
        match &mut self.deflater {
            Some(deflater) if is_long => {
                let mut small = Vec::new();
                deflater.deflate(payload, &mut small);
                append_frame(&mut self.outbox, opcode, true, self.is_masked, &small);
            }
            _ => append_frame(&mut self.outbox, opcode, false, self.is_masked, payload),
        }
    }

    /// Writes what waits.
    pub(crate) fn poll_outbox(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SessionError>> {
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

    /// When bytes last came out of the socket.
    pub(crate) fn last_read(&self) -> MonoNanos {
        self.stream.last_read()
    }

    /// The stream below.
    pub(crate) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The stream below.
    pub(crate) fn stream_mut(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// What another writer needs to go on: the framing, and the rest of what was begun.
    pub(crate) fn give_up_writing(&mut self) -> (Framing, Vec<u8>) {
        let framing = Framing::WebSocket {
            is_masked: self.is_masked,
            deflater: self.deflater.take(),
        };
        (framing, self.outbox.split_off(self.outbox_start))
    }
}

impl Compressed {
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
                    return Ok(Drained::Skipped);
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
                if message.len() + frame.payload.len() > MAX_MESSAGE_BYTES {
                    return Err(DeflateError::TooLong {
                        limit_bytes: MAX_MESSAGE_BYTES,
                    }
                    .into());
                }
                message.extend_from_slice(frame.payload);
                if !frame.is_final {
                    return Ok(Drained::Skipped);
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
            opcode::PING => Ok(Drained::Pinged(frame.payload.to_vec())),
            opcode::PONG => Ok(Drained::Skipped),
            opcode::CLOSE => Err(closed(frame.payload)),
            opcode => Err(FrameError::UnknownOpcode { opcode }.into()),
        }
    }
}

/// Takes what there is of one frame.
fn next_piece(
    deframer: &mut Deframer,
    bytes: &mut &[u8],
    parser: &mut Parser,
) -> Result<Drained, SessionError> {
    Ok(match deframer.next_piece(bytes)? {
        Some(Piece::Data(data)) => {
            parser.feed(data);
            Drained::Fed
        }
        Some(Piece::Ping(payload)) => Drained::Pinged(payload.to_vec()),
        Some(Piece::Pong) => Drained::Skipped,
        Some(Piece::Close(payload)) => return Err(closed(payload)),
        None => Drained::NeedsBytes,
    })
}

/// The end of a connection by a close frame.
fn closed(payload: &[u8]) -> SessionError {
    let (code, reason) = payload
        .split_first_chunk::<2>()
        .map_or((1005, &[][..]), |(code, rest)| {
            (u16::from_be_bytes(*code), rest)
        });
    SessionError::Closed {
        code,
        reason: String::from_utf8_lossy(reason).into_owned(),
    }
}

/// Queues a pong. Bounded, because a peer may ping and never read.
fn answer_ping(
    outbox: &mut Vec<u8>,
    outbox_start: usize,
    is_masked: bool,
    payload: &[u8],
) -> Result<(), SessionError> {
    if outbox.len() - outbox_start > MAX_CONTROL_BYTES {
        return Err(too_many_answers().into());
    }
    append_frame(outbox, opcode::PONG, false, is_masked, payload);
    Ok(())
}

fn append_frame(
    out: &mut Vec<u8>,
    opcode: u8,
    is_compressed: bool,
    is_masked: bool,
    payload: &[u8],
) {
    let mut frame = vec![0; HEADROOM_BYTES];
    frame.extend_from_slice(payload);
    let options = FrameOptions {
        opcode,
        is_compressed,
        mask: is_masked.then(masking_key),
    };
    let start = seal(&mut frame, HEADROOM_BYTES, options);
    out.extend_from_slice(&frame[start..]);
}
