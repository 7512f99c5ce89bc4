//! What the two sides of one publishing connection tell each other: the pacing thread, which writes, and the task that
//! reads and connects again.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::clock::MonoNanos;
use crate::load::status::{OutageId, StatusBoard};
use crate::net::direct::DirectWriter;

/// News for the pacing thread.
#[derive(Debug)]
pub(crate) enum Mail {
    /// The connection has ended, and everything that came over it has been read.
    Lost {
        /// The outage on the board.
        id: OutageId,
        /// PINGs that were answered.
        n_pongs: u64,
        /// When.
        moment: MonoNanos,
    },
    /// There is another one.
    Back {
        /// The outage that it ends.
        id: OutageId,
        /// Its writing side.
        writer: Box<DirectWriter>,
    },
    /// There will be none.
    Dead {
        /// Why.
        reason: String,
    },
}

/// One publishing connection, as both sides see it.
#[derive(Debug)]
pub struct Link {
    /// PINGs of the current connection that were answered.
    n_pongs: AtomicU64,
    /// The number of the PING behind the last message; 0 before it was sent.
    final_ping: AtomicU64,
    wants_ping: AtomicBool,
    is_blocked: AtomicBool,
    is_dead: AtomicBool,
    /// A client library has lost its connection at least once.
    was_lost: AtomicBool,
    has_mail: AtomicBool,
    mail: Mutex<VecDeque<Mail>>,
    write_error: Mutex<Option<io::Error>>,
    changed: Notify,
    board: StatusBoard,
}

impl Link {
    /// A connection that was just opened.
    pub(crate) fn new(board: StatusBoard) -> Self {
        Self {
            n_pongs: AtomicU64::new(0),
            final_ping: AtomicU64::new(0),
            wants_ping: AtomicBool::new(false),
            is_blocked: AtomicBool::new(false),
            is_dead: AtomicBool::new(false),
            was_lost: AtomicBool::new(false),
            has_mail: AtomicBool::new(false),
            mail: Mutex::default(),
            write_error: Mutex::default(),
            changed: Notify::new(),
            board,
        }
    }

    /// The board of the run.
    pub(crate) fn board(&self) -> &StatusBoard {
        &self.board
    }

    /// Puts news into the mailbox.
    pub(crate) fn post(&self, mail: Mail) {
        if matches!(mail, Mail::Dead { .. }) {
            self.is_dead.store(true, Ordering::Release);
        }
        self.mail
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back(mail);
        self.has_mail.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// The oldest news. Costs one atomic load when there is none.
    #[inline]
    pub(crate) fn take_mail(&self) -> Option<Mail> {
        if !self.has_mail.load(Ordering::Acquire) {
            return None;
        }
        let mut mail = self.mail.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = mail.pop_front();
        self.has_mail.store(!mail.is_empty(), Ordering::Release);
        oldest
    }

    /// A PING was answered.
    pub(crate) fn pong(&self) {
        self.n_pongs.fetch_add(1, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// PINGs of the current connection that were answered.
    #[inline]
    pub(crate) fn n_pongs(&self) -> u64 {
        self.n_pongs.load(Ordering::Acquire)
    }

    /// The connection is gone, and its PINGs and PONGs with it. Returns how many were answered.
    pub(crate) fn forget_pongs(&self) -> u64 {
        self.final_ping.store(0, Ordering::Release);
        self.n_pongs.swap(0, Ordering::AcqRel)
    }

    /// Writing failed. The reading side, which has the last word, then sees no more than the end of the stream.
    pub(crate) fn write_failed(&self, error: io::Error) {
        let mut kept = self
            .write_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        kept.get_or_insert(error);
    }

    /// How writing failed since the last call.
    pub(crate) fn take_write_error(&self) -> Option<io::Error> {
        self.write_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Asks for a PING, to see whether the server is alive.
    pub(crate) fn ask_for_ping(&self) {
        self.wants_ping.store(true, Ordering::Release);
    }

    /// Whether a PING was asked for since the last call.
    pub(crate) fn is_ping_asked(&self) -> bool {
        self.wants_ping.load(Ordering::Relaxed) && self.wants_ping.swap(false, Ordering::AcqRel)
    }

    /// Whether the writing side has a PING to send that it could send, and has not come to it yet. A server cannot have
    /// answered what it was not asked; one that takes no more data is another matter.
    pub(crate) fn is_ping_held_up(&self) -> bool {
        self.wants_ping.load(Ordering::Acquire) && !self.is_blocked.load(Ordering::Acquire)
    }

    /// The kernel takes, or does not take, more data for now.
    #[inline]
    pub(crate) fn note_blocked(&self, is_blocked: bool) {
        self.is_blocked.store(is_blocked, Ordering::Release);
    }

    /// This is the number of the PING behind the last message.
    pub(crate) fn expect_final_pong(&self, ping: u64) {
        self.final_ping.store(ping, Ordering::Release);
    }

    /// Whether the broker has answered the PING behind the last message.
    pub(crate) fn is_confirmed(&self) -> bool {
        let final_ping = self.final_ping.load(Ordering::Acquire);
        final_ping > 0 && self.n_pongs() >= final_ping
    }

    /// Whether there will be no connection any more.
    pub(crate) fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::Acquire)
    }

    /// A client library has lost its connection: what it has sent, nobody knows.
    pub(crate) fn library_lost_it(&self) {
        self.was_lost.store(true, Ordering::Release);
    }

    /// Whether that ever happened.
    pub(crate) fn was_lost_by_library(&self) -> bool {
        self.was_lost.load(Ordering::Acquire)
    }

    /// Waits until the broker has answered the PING behind the last message, or never will.
    pub(crate) async fn settled(&self) {
        loop {
            // Enabled before the state is looked at: it learns of every change from here on.
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.is_confirmed() || self.is_dead() {
                return;
            }
            changed.await;
        }
    }
}
