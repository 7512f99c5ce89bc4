//! Carries the bytes of one direction of one connection, as long as it lasts.
//!
//! One thread reads and one writes, with a bounded queue between them, so that a delay costs no throughput while a pause
//! is felt by the sender as soon as queue and buffers are full. What has passed is what the writing thread has handed
//! to the kernel; places are found there.

use std::io::Read as _;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, sync_channel};

use natsbench::clock::{MonoNanos, mono_now, sleep_until};

use super::gate::Gate;
use super::link::Link;
use super::tap::Tap;
use super::{Direction, Shared};

/// Few and small, so that a pause is felt soon.
const CHUNK_BYTES: usize = 8 << 10;
const QUEUED_CHUNKS: usize = 4;

#[derive(Clone)]
pub(super) struct Carrier {
    pub(super) shared: Arc<Shared>,
    pub(super) link: Arc<Link>,
    pub(super) direction: Direction,
}

impl Carrier {
    fn gate(&self) -> &Gate {
        self.shared.gate(self.direction)
    }

    /// Carries bytes until the connection ends.
    pub(super) fn carry(self, mut from: TcpStream, to: TcpStream) {
        let (queue, chunks) = sync_channel(QUEUED_CHUNKS);
        let writer = {
            let carrier = self.clone();
            std::thread::spawn(move || carrier.write_all(&chunks, to))
        };
        let mut chunk = vec![0; CHUNK_BYTES];
        while let Ok(n @ 1..) = from.read(&mut chunk) {
            self.gate().count(n);
            if self.link.is_cut() && !self.link.is_reset() {
                // Nobody gets it; see `Link::cut`.
                continue;
            }
            if queue
                .send((self.gate().due(), chunk[..n].to_vec()))
                .is_err()
            {
                break;
            }
        }
        drop(queue);
        let _ = writer.join();
        if !self.link.is_reset() {
            // The sender learns that nobody takes any more.
            let _ = from.shutdown(Shutdown::Read);
        }
    }

    fn write_all(&self, chunks: &Receiver<(MonoNanos, Vec<u8>)>, mut to: TcpStream) {
        let way = self.link.way(self.direction);
        let mut tap = Tap::new();
        while let Ok((due, chunk)) = chunks.recv() {
            if self.link.is_cut() {
                continue;
            }
            sleep_until(due);
            let mut rest = &chunk[..];
            while !rest.is_empty() {
                let (n_bytes, piece_ns) = self.gate().piece(rest.len());
                let (piece, after) = rest.split_at(n_bytes);
                sleep_until(mono_now().plus(piece_ns));
                self.gate().pass();
                if self.link.is_reset() || self.write(piece, &mut tap, &mut to).is_err() {
                    return;
                }
                rest = after;
            }
        }
        let is_silent = self.link.is_reset()
            || self.gate().is_black_hole()
            || way.is_swallowed.load(Ordering::SeqCst);
        if !is_silent {
            // The other side learns that there is no more.
            let _ = to.shutdown(Shutdown::Write);
        }
    }

    /// Writes bytes, unless they are to vanish; up to the place where the connection is to be cut.
    fn write(&self, bytes: &[u8], tap: &mut Tap, to: &mut TcpStream) -> std::io::Result<()> {
        let way = self.link.way(self.direction);
        if self.gate().is_black_hole() {
            way.is_swallowed.store(true, Ordering::SeqCst);
        }
        let vanishes = way.is_swallowed.load(Ordering::SeqCst)
            || way.is_ended.load(Ordering::SeqCst)
            || self.link.is_cut();
        if vanishes {
            return Ok(());
        }
        let mut planned = way.cut.lock().expect("no panic");
        let n_bytes = tap.follow(bytes, planned.as_mut().map(|(place, _)| place));
        let cut = n_bytes.and_then(|_| planned.take()).map(|(_, cut)| cut);
        drop(planned);
        self.link
            .write(to, &bytes[..n_bytes.unwrap_or(bytes.len())])?;
        way.n_messages.store(tap.n_messages(), Ordering::SeqCst);
        if let Some(cut) = cut {
            self.link.cut(cut);
        }
        Ok(())
    }
}
