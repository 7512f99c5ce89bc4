//! The writing side of a session for a thread that paces itself.
//!
//! The thread that wakes up at a message's due time frames, encrypts and writes it at once; handing it to
//! another task would cost 15 to 25 us of response time. Writes never block: what the kernel does not take
//! stays pending, and the thread goes on with its other connections.
//!
//! Nothing that is pending is ever dropped or re-stamped: its messages were stamped when the write began. When the
//! connection breaks, what the kernel has not taken can be had back ([`DirectWriter::unhanded`]), to be sent over another one.

use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ClientConnection;

use crate::net::stream::{ControlQueue, WriteSide};
use crate::net::ws::deflate::{Deflater, MIN_COMPRESSED_BYTES};
use crate::net::ws::frame::{FrameOptions, HEADROOM_BYTES, apply_mask, opcode, seal};
use crate::net::ws::upgrade::masking_key;

/// How operations are wrapped.
#[derive(Debug)]
pub(crate) enum Framing {
    /// The NATS client port: not at all.
    Plain,
    /// Binary WebSocket frames.
    WebSocket {
        is_masked: bool,
        deflater: Option<Deflater>,
    },
}

/// Whether everything has gone to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    /// Nothing is pending.
    All,
    /// The kernel takes no more for now.
    Blocked,
}

/// Operations collected for one write, with room in front for a frame header.
#[derive(Debug)]
pub struct Batch {
    bytes: Vec<u8>,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            bytes: vec![0; HEADROOM_BYTES],
        }
    }
}

impl Batch {
    /// Where to append operations.
    pub fn out(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Bytes of operations.
    pub fn len(&self) -> usize {
        self.bytes.len() - HEADROOM_BYTES
    }

    /// Whether there are no operations.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.resize(HEADROOM_BYTES, 0);
    }
}

/// The frame of the batch that was written last, as long as a part of it is pending.
#[derive(Debug)]
struct LastFrame {
    /// Where it begins in `pending`.
    start: usize,
    /// How to read it.
    payload: LastPayload,
}

#[derive(Debug)]
enum LastPayload {
    /// Behind a header of so many bytes, masked or not.
    Framed {
        header_bytes: usize,
        mask: Option<[u8; 4]>,
    },
    /// It was compressed; these are the operations, behind the room for a header. A peer can inflate it only as a whole.
    Compressed(Vec<u8>),
}

/// What the kernel has not taken of a batch.
#[derive(Debug, PartialEq, Eq)]
pub struct Unhanded {
    /// All operations of the batch.
    pub operations: Vec<u8>,
    /// From here on, in bytes of `operations`, nothing was taken.
    pub offset: usize,
}

/// Writes operations straight to the socket; see the module documentation.
#[derive(Debug)]
pub struct DirectWriter {
    socket: std::net::TcpStream,
    tls: Option<Arc<Mutex<ClientConnection>>>,
    control: Arc<ControlQueue>,
    framing: Framing,
    pending: Vec<u8>,
    pending_start: usize,
    last_frame: Option<LastFrame>,
    /// rustls holds encrypted bytes that the kernel has not taken.
    is_tls_backlogged: bool,
}

impl DirectWriter {
    pub(crate) fn new(side: WriteSide, framing: Framing) -> Self {
        Self {
            socket: side.socket,
            tls: side.tls,
            control: side.control,
            framing,
            pending: Vec::new(),
            pending_start: 0,
            last_frame: None,
            is_tls_backlogged: false,
        }
    }

    /// Whether earlier bytes are still waiting for the kernel.
    pub fn is_blocked(&self) -> bool {
        self.is_tls_backlogged || self.pending_start < self.pending.len()
    }

    /// Whether the reading side has queued something to be written.
    pub fn has_control(&self) -> bool {
        self.control.is_filled()
    }

    /// Writes a batch and empties it. The caller has seen [`DirectWriter::flush`] say [`Flushed::All`] before.
    ///
    /// # Errors
    /// Whatever the socket says; the connection is then of no further use.
    pub fn send(&mut self, batch: &mut Batch) -> io::Result<Flushed> {
        self.queue_control();
        let (start, payload) = self.frame(batch);
        // The frame stays here whole until the kernel has all of it: a connection that breaks may have taken half an
        // operation. Nothing is copied for that, unless an answer of the reading side is ahead of it.
        let start = if self.pending.is_empty() {
            std::mem::swap(&mut self.pending, &mut batch.bytes);
            self.pending_start = start;
            start
        } else {
            let end = self.pending.len();
            self.pending.extend_from_slice(&batch.bytes[start..]);
            end
        };
        self.last_frame = Some(LastFrame { start, payload });
        batch.clear();
        self.flush_pending()
    }

    /// What the kernel (with TLS: the encryption) has not taken of the last batch, once the connection is of no use any
    /// more; `None` when it has taken everything.
    pub fn unhanded(&mut self) -> Option<Unhanded> {
        let frame = self.last_frame.take()?;
        if self.pending_start >= self.pending.len() {
            return None;
        }
        let n_taken = self.pending_start.saturating_sub(frame.start);
        Some(match frame.payload {
            LastPayload::Compressed(batch) => Unhanded {
                operations: batch[HEADROOM_BYTES..].to_vec(),
                offset: 0,
            },
            LastPayload::Framed { header_bytes, mask } => {
                let mut operations = self.pending.split_off(frame.start + header_bytes);
                if let Some(mask) = mask {
                    apply_mask(&mut operations, mask);
                }
                Unhanded {
                    operations,
                    offset: n_taken.saturating_sub(header_bytes),
                }
            }
        })
    }

    /// Ends the connection, so that its reading side learns of it.
    pub fn shut_down(&self) {
        // It may have ended already.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }

    /// Writes what is pending and what the reading side has queued.
    ///
    /// # Errors
    /// Whatever the socket says; the connection is then of no further use.
    pub fn flush(&mut self) -> io::Result<Flushed> {
        self.queue_control();
        self.flush_pending()
    }

    /// Takes what the reading side wants written, unless earlier bytes still wait: the queue has a limit, what is
    /// pending here has none, and a peer that pings without end and never reads must not fill the memory.
    fn queue_control(&mut self) {
        if !self.is_blocked() {
            self.control.take_into(&mut self.pending);
        }
    }

    /// Wraps the batch in place; returns where its bytes start, and how to read them.
    fn frame(&mut self, batch: &mut Batch) -> (usize, LastPayload) {
        let Framing::WebSocket {
            is_masked,
            deflater,
        } = &mut self.framing
        else {
            let payload = LastPayload::Framed {
                header_bytes: 0,
                mask: None,
            };
            return (HEADROOM_BYTES, payload);
        };
        let mask = is_masked.then(masking_key);
        let mut options = FrameOptions {
            opcode: opcode::BINARY,
            is_compressed: false,
            mask,
        };
        if let Some(deflater) = deflater
            && batch.len() >= MIN_COMPRESSED_BYTES
        {
            let mut small = vec![0; HEADROOM_BYTES];
            deflater.deflate(&batch.bytes[HEADROOM_BYTES..], &mut small);
            let operations = std::mem::replace(&mut batch.bytes, small);
            options.is_compressed = true;
            let start = seal(&mut batch.bytes, HEADROOM_BYTES, options);
            return (start, LastPayload::Compressed(operations));
        }
        let start = seal(&mut batch.bytes, HEADROOM_BYTES, options);
        let header_bytes = HEADROOM_BYTES - start;
        (start, LastPayload::Framed { header_bytes, mask })
    }

    fn flush_pending(&mut self) -> io::Result<Flushed> {
        let unsent = &self.pending[self.pending_start..];
        let mut written = 0;
        let result = match &self.tls {
            None => write_some(&mut self.socket, unsent, &mut written),
            Some(tls) => {
                let mut connection = tls.lock().unwrap_or_else(PoisonError::into_inner);
                write_tls_some(&mut connection, &mut self.socket, unsent, &mut written)
                    .map(|is_drained| self.is_tls_backlogged = !is_drained)
            }
        };
        self.pending_start += written;
        if self.pending_start == self.pending.len() {
            self.pending.clear();
            self.pending_start = 0;
            self.last_frame = None;
        }
        result?;
        Ok(if self.is_blocked() {
            Flushed::Blocked
        } else {
            Flushed::All
        })
    }
}

impl AsFd for DirectWriter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Writes as much as the kernel takes, and adds it to `written`, also when it fails in the end.
fn write_some(
    socket: &mut std::net::TcpStream,
    bytes: &[u8],
    written: &mut usize,
) -> io::Result<()> {
    while *written < bytes.len() {
        match socket.write(&bytes[*written..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => *written += n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Encrypts and writes as much as rustls and the kernel take; says whether rustls holds nothing back. What rustls has
/// accepted is added to `accepted`, also when it fails in the end.
fn write_tls_some(
    connection: &mut ClientConnection,
    socket: &mut std::net::TcpStream,
    bytes: &[u8],
    accepted: &mut usize,
) -> io::Result<bool> {
    loop {
        while connection.wants_write() {
            match connection.write_tls(socket) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if *accepted == bytes.len() {
            return Ok(true);
        }
        *accepted += connection.writer().write(&bytes[*accepted..])?;
    }
}

#[cfg(test)]
impl DirectWriter {
    /// A writer of plain operations, and the queue of its reading side.
    pub(crate) fn plain(socket: std::net::TcpStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let side = WriteSide {
            socket,
            tls: None,
            control: Arc::default(),
        };
        Ok(Self::new(side, Framing::Plain))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    use super::*;

    fn pair() -> (DirectWriter, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (peer, _) = listener.accept().unwrap();
        (DirectWriter::plain(socket).unwrap(), peer)
    }

    /// Writes until the kernel takes no more.
    fn block(writer: &mut DirectWriter) {
        let mut batch = Batch::default();
        while !writer.is_blocked() {
            batch.out().resize(1 << 16, b'x');
            writer.send(&mut batch).unwrap();
        }
    }

    #[test]
    fn nothing_that_was_pending_is_lost_or_reordered() {
        let (mut writer, mut peer) = pair();
        let mut batch = Batch::default();
        let mut expected = Vec::new();
        for n in 0_u32.. {
            let chunk = n.to_be_bytes().repeat(1 << 14);
            batch.out().extend_from_slice(&chunk);
            expected.extend_from_slice(&chunk);
            if writer.send(&mut batch).unwrap() == Flushed::Blocked {
                break;
            }
        }
        let reading = std::thread::spawn(move || {
            let mut received = Vec::new();
            peer.read_to_end(&mut received).unwrap();
            received
        });
        while writer.flush().unwrap() == Flushed::Blocked {
            std::thread::yield_now();
        }
        drop(writer);
        assert!(reading.join().unwrap() == expected, "the bytes differ");
    }

    #[test]
    fn answers_to_a_peer_that_never_reads_reach_a_limit() {
        // Given a socket that takes nothing more
        let (mut writer, _peer) = pair();
        block(&mut writer);
        let n_pending = writer.pending.len();
        // When the reading side queues answers without end, and the writer tries again and again
        let answer = [b'p'; 1 << 10];
        let refused = (0..10_000).find_map(|_| {
            let pushed = writer.control.push(&answer);
            writer.flush().unwrap();
            pushed.err()
        });
        // Then they are refused at some point, and what is pending has not grown
        assert!(refused.is_some());
        assert!(writer.pending.len() <= n_pending);
    }
}
