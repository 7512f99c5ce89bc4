//! One connection through the proxy: its two sockets, and what becomes of it in each direction.

use std::io::{ErrorKind, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::{Cut, Direction, Place};

/// A writer that its peer does not read from looks this often whether its connection was cut.
const LOOK_PERIOD: Duration = Duration::from_millis(10);

/// A connection.
#[derive(Default)]
pub(super) struct Link {
    /// Client and broker side; held until the proxy ends, so that no thread that ends says anything by it.
    sides: Mutex<Option<[TcpStream; 2]>>,
    is_cut: AtomicBool,
    is_reset: AtomicBool,
    up: Way,
    down: Way,
}

/// One direction of it.
#[derive(Default)]
pub(super) struct Way {
    /// Something was swallowed; what follows it makes no sense to the receiver, as TCP would never show it.
    pub(super) is_swallowed: AtomicBool,
    /// The receiver was told that there is no more.
    pub(super) is_ended: AtomicBool,
    /// Messages that have passed whole.
    pub(super) n_messages: AtomicU64,
    /// Where the connection is to be cut.
    pub(super) cut: Mutex<Option<(Place, Cut)>>,
}

impl Link {
    pub(super) fn way(&self, direction: Direction) -> &Way {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    /// Takes its sockets over.
    pub(super) fn open(&self, client: &TcpStream, broker: &TcpStream) {
        for socket in [client, broker] {
            socket.set_nodelay(true).expect("a live socket");
            socket
                .set_write_timeout(Some(LOOK_PERIOD))
                .expect("a live socket");
        }
        let sides = [client, broker].map(|socket| socket.try_clone().expect("a second handle"));
        *self.sides.lock().expect("no panic") = Some(sides);
    }

    pub(super) fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::SeqCst)
    }

    pub(super) fn is_reset(&self) -> bool {
        self.is_reset.load(Ordering::SeqCst)
    }

    /// Ends it for both sides.
    pub(super) fn cut(&self, cut: Cut) {
        let mut sides = self.sides.lock().expect("no panic");
        self.is_cut.store(true, Ordering::SeqCst);
        match cut {
            Cut::Fin => {
                for socket in sides.iter().flatten() {
                    // What still comes is read and thrown away: to close with something unread would be a reset.
                    // It may have ended by itself; then there is nothing to do.
                    let _ = socket.shutdown(Shutdown::Write);
                }
            }
            Cut::Reset => {
                self.is_reset.store(true, Ordering::SeqCst);
                for socket in sides.take().into_iter().flatten() {
                    // Ends our own threads and says nothing; without time to linger, the close behind it resets.
                    let _ = socket2::SockRef::from(&socket)
                        .set_linger(Some(Duration::ZERO))
                        .and_then(|()| socket.shutdown(Shutdown::Read));
                }
            }
        }
    }

    /// Tells the receiver of this direction that there is no more; the sender does not learn of it.
    pub(super) fn half_close(&self, direction: Direction) {
        let sides = self.sides.lock().expect("no panic");
        self.way(direction).is_ended.store(true, Ordering::SeqCst);
        if let Some([client, broker]) = &*sides {
            let receiver = match direction {
                Direction::Up => broker,
                Direction::Down => client,
            };
            let _ = receiver.shutdown(Shutdown::Write);
        }
    }

    /// Ends everything, our threads included.
    pub(super) fn end(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        for socket in self
            .sides
            .lock()
            .expect("no panic")
            .take()
            .into_iter()
            .flatten()
        {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// Writes all of it, unless the connection is cut before the receiver takes it.
    pub(super) fn write(&self, to: &mut TcpStream, mut bytes: &[u8]) -> std::io::Result<()> {
        while !bytes.is_empty() {
            match to.write(bytes) {
                Ok(n_bytes) => bytes = &bytes[n_bytes..],
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
                        && !self.is_cut() => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
