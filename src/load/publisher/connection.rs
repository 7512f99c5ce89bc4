//! What a publisher does when its connection breaks, comes back, or is to be closed.

use std::io;

use super::leftover::Leftover;
use super::{Outlet, Publisher, State};
use crate::clock::{MonoNanos, mono_now};
use crate::load::link::Mail;
use crate::load::plan::WhileDown;
use crate::load::publisher::Handover;
use crate::load::status::OutageId;
use crate::net::direct::DirectWriter;
use crate::protocol::encode;

/// A last message, and a PING behind it.
#[derive(Debug)]
pub(super) struct Final {
    message: Option<(String, Vec<u8>)>,
    is_sent: bool,
}

impl Publisher {
    pub(super) fn take_mail(&mut self) {
        while let Some(mail) = self.link.as_ref().and_then(|link| link.take_mail()) {
            match mail {
                Mail::Lost {
                    id,
                    n_pongs,
                    moment,
                } => self.connection_lost(id, n_pongs, moment),
                Mail::Back { id, writer } => self.connection_back(id, writer),
                Mail::Dead { reason } => self.state = State::Dead(reason),
            }
        }
    }

    fn connection_lost(&mut self, id: OutageId, n_pongs: u64, moment: MonoNanos) {
        self.ledger.absorb(n_pongs);
        self.state = State::Down;
        self.pressure.blocked(moment);
        // After a phase its counts have been taken: what was rendered counts as sent, and is in doubt.
        if self.is_in_phase {
            self.reclaim();
        }
        let mut handed = self.n_sent();
        for stream_idx in self.leftover.stream_idxs() {
            handed[stream_idx] -= 1;
        }
        let n_in_doubt = self.ledger.connection_lost(handed);
        if let Some(link) = &self.link {
            link.board().note_in_doubt(id, n_in_doubt);
        }
        self.outage = Some(id);
        if self.while_down == WhileDown::Skip {
            self.skipping.begin(moment);
        }
        if let Some(last) = &mut self.last {
            last.is_sent = false;
        }
    }

    fn connection_back(&mut self, id: OutageId, writer: Box<DirectWriter>) {
        let now = mono_now();
        self.outlet = Outlet::Direct(writer);
        self.state = State::Up;
        self.pressure.freed(now);
        self.is_first_awaited = true;
        if self.while_down == WhileDown::Skip {
            self.skipping.end(now);
            if let Some(link) = &self.link {
                link.board().note_skipped(id, self.skipping.n_skipped());
            }
        }
    }

    /// Takes back what the broken connection was not given: whole messages, and the one that it was given only a part of.
    fn reclaim(&mut self) {
        let Outlet::Direct(writer) = &mut self.outlet else {
            return;
        };
        let Some(unhanded) = writer.unhanded() else {
            return;
        };
        self.leftover = Leftover::of(&unhanded, &self.streams);
    }

    /// Sends what the connection before this one was not given.
    pub(super) fn resend(&mut self, sent: MonoNanos) {
        let leftover = std::mem::take(&mut self.leftover);
        self.batch.out().extend_from_slice(leftover.operations());
        self.write_behind_ping(sent);
    }

    /// What the reading side saw explains more than how a write failed, so that its word is waited for.
    pub(super) fn write_failed(&mut self, error: io::Error) {
        match (&self.link, &self.outlet) {
            (Some(link), Outlet::Direct(writer)) => {
                link.write_failed(error);
                writer.shut_down();
                self.state = State::Broken;
            }
            _ => self.state = State::Dead(error.to_string()),
        }
    }

    /// Sends one message outside the streams (the end-of-run message), if there is one, and a PING whose PONG confirms that
    /// the broker has processed everything before it; again over the next connection when this one breaks before.
    pub fn finish(&mut self, message: Option<(String, Vec<u8>)>) {
        self.last = Some(Final {
            message,
            is_sent: false,
        });
        self.flush();
    }

    pub(super) fn flush_final(&mut self) {
        let Some(last) = &mut self.last else { return };
        if last.is_sent {
            return;
        }
        last.is_sent = true;
        match (&self.outlet, &last.message) {
            (Outlet::Direct(_), Some((subject, payload))) => {
                let prefix = encode::publish_prefix(subject);
                encode::append_publish(self.batch.out(), &prefix, payload);
            }
            (Outlet::Client(_), Some((subject, payload))) => self.handovers.push(Handover {
                subject: subject.clone(),
                payload: payload.clone(),
            }),
            (_, None) => {}
        }
        if let Outlet::Direct(_) = self.outlet {
            let ping = self.append_ping(mono_now());
            if let Some(link) = &self.link {
                link.expect_final_pong(ping);
            }
        }
        self.write();
    }
}
