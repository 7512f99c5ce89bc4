//! What holds for one direction of all connections.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use natsbench::clock::{MonoNanos, mono_now};

const NANOS_PER_S: u64 = 1_000_000_000;
/// A throttled direction passes its bytes in pieces of this length of time.
const PIECES_PER_S: u64 = 50;

#[derive(Default)]
pub(super) struct Gate {
    is_closed: Mutex<bool>,
    changed: Condvar,
    delay_ns: AtomicU64,
    /// Zero: as fast as it goes.
    bytes_per_s: AtomicU64,
    is_black_hole: AtomicBool,
    n_bytes: AtomicU64,
}

impl Gate {
    pub(super) fn set_closed(&self, is_closed: bool) {
        *self.is_closed.lock().expect("no panic") = is_closed;
        self.changed.notify_all();
    }

    /// Waits until it is open.
    pub(super) fn pass(&self) {
        let is_closed = self.is_closed.lock().expect("no panic");
        drop(self.changed.wait_while(is_closed, |is_closed| *is_closed));
    }

    pub(super) fn set_delay(&self, delay: Duration) {
        let delay_ns = u64::try_from(delay.as_nanos()).expect("a delay of less than centuries");
        self.delay_ns.store(delay_ns, Ordering::Relaxed);
    }

    /// When what has come now may go on.
    pub(super) fn due(&self) -> MonoNanos {
        mono_now().plus(self.delay_ns.load(Ordering::Relaxed))
    }

    pub(super) fn set_bytes_per_s(&self, bytes_per_s: u64) {
        self.bytes_per_s.store(bytes_per_s, Ordering::Relaxed);
    }

    /// How many of these bytes go in one piece, and how long that takes.
    pub(super) fn piece(&self, n_bytes: usize) -> (usize, u64) {
        let bytes_per_s = self.bytes_per_s.load(Ordering::Relaxed);
        if bytes_per_s == 0 {
            return (n_bytes, 0);
        }
        let limit = usize::try_from(bytes_per_s / PIECES_PER_S).map_or(n_bytes, |n| n.max(1));
        let n_bytes = n_bytes.min(limit);
        (n_bytes, n_bytes as u64 * NANOS_PER_S / bytes_per_s)
    }

    pub(super) fn set_black_hole(&self, is_black_hole: bool) {
        self.is_black_hole.store(is_black_hole, Ordering::SeqCst);
    }

    pub(super) fn is_black_hole(&self) -> bool {
        self.is_black_hole.load(Ordering::SeqCst)
    }

    pub(super) fn count(&self, n_bytes: usize) {
        self.n_bytes.fetch_add(n_bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn n_bytes(&self) -> u64 {
        self.n_bytes.load(Ordering::Relaxed)
    }
}
