//! One byte stream for every transport, which remembers when it was last read.
//!
//! Two things are added to a TCP or TLS stream. The moment of each successful read is kept, because a message
//! is *received* when its bytes came out of the socket and not when somebody looked at them. And the writing
//! side can be detached: a [`DirectWriter`](super::direct::DirectWriter) then owns all writes, and what this
//! side wants to write (answers to pings) is queued for it.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::ClientConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::clock::{MonoNanos, mono_now};

/// Bytes that the reading side wants written, taken by the owner of the writing side.
#[derive(Debug, Default)]
pub(crate) struct ControlQueue {
    is_filled: AtomicBool,
    bytes: Mutex<Vec<u8>>,
}

/// More than this is never queued: a peer that pings without end and never reads is broken.
pub(crate) const MAX_CONTROL_BYTES: usize = 1 << 20;

/// The end of a connection whose peer does that.
pub(crate) fn too_many_answers() -> io::Error {
    io::Error::new(
        io::ErrorKind::OutOfMemory,
        "too many unsent answers to the peer's pings",
    )
}

impl ControlQueue {
    /// Queues bytes; whole frames only, except for the rest of one that was begun before.
    pub(crate) fn push(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut queue = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.len() + bytes.len() > MAX_CONTROL_BYTES {
            return Err(too_many_answers());
        }
        queue.extend_from_slice(bytes);
        self.is_filled.store(true, Ordering::Release);
        Ok(bytes.len())
    }

    /// Moves what is queued to the end of `out`. Costs one atomic load when there is nothing.
    pub(crate) fn take_into(&self, out: &mut Vec<u8>) {
        if self.is_filled.swap(false, Ordering::AcqRel) {
            out.append(&mut self.bytes.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Has the owner of the writing side look, though nothing was queued here.
    fn nudge(&self) {
        self.is_filled.store(true, Ordering::Release);
    }

    /// Whether something is queued.
    pub(crate) fn is_filled(&self) -> bool {
        self.is_filled.load(Ordering::Acquire)
    }
}

/// What carries the bytes.
enum Transport {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// TLS whose writing side is owned by another thread.
    SharedTls {
        tcp: TcpStream,
        tls: Arc<Mutex<ClientConnection>>,
    },
    /// Only while the transport is being replaced.
    Replaced,
}

/// A TCP or TLS stream; see the module documentation.
pub(crate) struct Stream {
    transport: Transport,
    last_read: MonoNanos,
    n_read_bytes: u64,
    detached: Option<Arc<ControlQueue>>,
}

/// What a direct writer needs of a stream.
pub(crate) struct WriteSide {
    pub(crate) socket: std::net::TcpStream,
    pub(crate) tls: Option<Arc<Mutex<ClientConnection>>>,
    pub(crate) control: Arc<ControlQueue>,
}

impl Stream {
    pub(crate) fn tcp(stream: TcpStream) -> Self {
        Self {
            transport: Transport::Tcp(stream),
            last_read: mono_now(),
            n_read_bytes: 0,
            detached: None,
        }
    }

    pub(crate) fn tls(stream: TlsStream<TcpStream>) -> Self {
        Self {
            transport: Transport::Tls(Box::new(stream)),
            last_read: mono_now(),
            n_read_bytes: 0,
            detached: None,
        }
    }

    /// The plain TCP stream, to start TLS on it.
    pub(crate) fn into_tcp(self) -> Option<TcpStream> {
        match self.transport {
            Transport::Tcp(stream) => Some(stream),
            _ => None,
        }
    }

    /// When bytes last came out of the socket.
    pub(crate) fn last_read(&self) -> MonoNanos {
        self.last_read
    }

    /// Bytes that have come out of it so far.
    pub(crate) fn n_read_bytes(&self) -> u64 {
        self.n_read_bytes
    }

    /// Whether the peer has ended the connection, seen without reading what it had sent before; an error if it was reset.
    pub(crate) fn hang_up(&self) -> Option<io::Result<()>> {
        use std::os::fd::AsFd as _;
        let tcp = match &self.transport {
            Transport::Tcp(tcp) | Transport::SharedTls { tcp, .. } => tcp,
            Transport::Tls(stream) => stream.get_ref().0,
            Transport::Replaced => return None,
        };
        let flags = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
        let mut looked = [PollFd::from_borrowed_fd(tcp.as_fd(), flags)];
        poll(&mut looked, Some(&Timespec::default())).ok()?;
        let seen = looked[0].revents();
        if !seen.intersects(flags) {
            return None;
        }
        let error = rustix::net::sockopt::socket_error(tcp).ok()?;
        Some(error.map_err(io::Error::from))
    }

    /// Gives the writing side away. From here on this stream only reads.
    pub(crate) fn detach_writer(&mut self) -> io::Result<WriteSide> {
        use std::os::fd::AsFd as _;
        if self.detached.is_some() {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "the writing side is already detached",
            ));
        }
        let control = Arc::new(ControlQueue::default());
        let duplicate = |tcp: &TcpStream| {
            tcp.as_fd()
                .try_clone_to_owned()
                .map(std::net::TcpStream::from)
        };
        let (socket, tls) = match std::mem::replace(&mut self.transport, Transport::Replaced) {
            Transport::Tcp(tcp) => {
                let socket = duplicate(&tcp)?;
                self.transport = Transport::Tcp(tcp);
                (socket, None)
            }
            Transport::Tls(stream) => {
                let (tcp, connection) = stream.into_inner();
                let socket = duplicate(&tcp)?;
                let tls = Arc::new(Mutex::new(connection));
                self.transport = Transport::SharedTls {
                    tcp,
                    tls: Arc::clone(&tls),
                };
                (socket, Some(tls))
            }
            other @ (Transport::SharedTls { .. } | Transport::Replaced) => {
                self.transport = other;
                return Err(io::ErrorKind::NotConnected.into());
            }
        };
        self.detached = Some(Arc::clone(&control));
        Ok(WriteSide {
            socket,
            tls,
            control,
        })
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let n_filled = buf.filled().len();
        let result = match &mut this.transport {
            Transport::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Transport::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Transport::SharedTls { tcp, tls } => {
                poll_read_shared(tcp, tls, this.detached.as_deref(), cx, buf)
            }
            Transport::Replaced => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        };
        if result.is_ready() {
            this.last_read = mono_now();
            this.n_read_bytes += (buf.filled().len() - n_filled) as u64;
        }
        result
    }
}

/// Reads plaintext from a TLS connection whose writer lives elsewhere. The lock is held only while bytes that
/// have already arrived are decrypted.
fn poll_read_shared(
    tcp: &TcpStream,
    tls: &Mutex<ClientConnection>,
    control: Option<&ControlQueue>,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    use std::io::Read as _;
    loop {
        let mut connection = tls.lock().unwrap_or_else(PoisonError::into_inner);
        match connection.reader().read(buf.initialize_unfilled()) {
            Ok(n) => {
                buf.advance(n);
                return Poll::Ready(Ok(()));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
        match connection.read_tls(&mut TryRead(tcp)) {
            Ok(_) => {
                connection
                    .process_new_packets()
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                // The answer to a key update, say.
                if connection.wants_write()
                    && let Some(control) = control
                {
                    control.nudge();
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                drop(connection);
                ready!(tcp.poll_read_ready(cx))?;
            }
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
}

/// Blocking-style reads on a non-blocking tokio socket.
struct TryRead<'a>(&'a TcpStream);

impl io::Read for TryRead<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Some(control) = &this.detached {
            return Poll::Ready(control.push(bytes));
        }
        match &mut this.transport {
            Transport::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Transport::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Transport::SharedTls { .. } | Transport::Replaced => {
                Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Transport::SharedTls { .. } | Transport::Replaced => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::SharedTls { tcp, .. } => Pin::new(tcp).poll_shutdown(cx),
            Transport::Replaced => Poll::Ready(Ok(())),
        }
    }
}
