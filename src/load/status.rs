//! The board on which connections write what becomes of them: status events, and the outages of a run.
//!
//! It is written to when a connection is opened, lost or opened again, never per message. Both lists have a limit;
//! what goes beyond is counted.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::{MonoNanos, mono_now};
use crate::results::outages::{Cause, CauseKind, FailedAttempt, Outage, Role, Status, StatusEvent};

/// Events that may wait to be taken; ten thousand connections can be lost at once without losing one of them.
const MAX_EVENTS: usize = 1 << 15;
/// Outages that are kept, about 2 MiB.
const MAX_OUTAGES: usize = 4096;
/// Failed attempts that are kept of an outage: how it began.
const MAX_FAILED_ATTEMPTS: usize = 5;

/// Which connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Who {
    /// What it is there for.
    pub role: Role,
    /// Its number within the role.
    pub idx: usize,
}

/// An outage on the board; `None` inside when the board was full.
#[derive(Debug, Clone, Copy)]
pub struct OutageId {
    slot: Option<usize>,
    started: MonoNanos,
}

impl OutageId {
    /// Its place in the list of outages, if it was kept.
    pub(crate) fn slot(self) -> Option<usize> {
        self.slot
    }
}

#[derive(Debug, Default)]
struct Lists {
    events: VecDeque<StatusEvent>,
    n_dropped_events: u64,
    outages: Vec<Outage>,
    n_outages: u64,
}

#[derive(Debug)]
struct Inner {
    started: MonoNanos,
    lists: Mutex<Lists>,
    n_connections: AtomicU64,
    n_up: AtomicU64,
}

/// The board; see the module documentation. Clones are the same board.
#[derive(Debug, Clone)]
pub struct StatusBoard(Arc<Inner>);

impl StatusBoard {
    /// An empty board of a run that began then.
    pub fn new(started: MonoNanos) -> Self {
        Self(Arc::new(Inner {
            started,
            lists: Mutex::default(),
            n_connections: AtomicU64::new(0),
            n_up: AtomicU64::new(0),
        }))
    }

    fn lists(&self) -> MutexGuard<'_, Lists> {
        self.0.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn since_start(&self, moment: MonoNanos) -> u64 {
        moment.since(self.0.started)
    }

    /// Something happened now that begins or ends no outage.
    pub fn note(&self, who: Who, status: Status) {
        self.note_at(who, status, mono_now());
    }

    fn note_at(&self, who: Who, status: Status, moment: MonoNanos) {
        let event = StatusEvent {
            at_ns: self.since_start(moment),
            role: who.role,
            idx: who.idx,
            status,
        };
        let mut lists = self.lists();
        if lists.events.len() < MAX_EVENTS {
            lists.events.push_back(event);
        } else {
            lists.n_dropped_events += 1;
        }
    }

    /// A connection is open for the first time.
    pub fn connected(&self, who: Who, server: &str) {
        self.0.n_connections.fetch_add(1, Ordering::Relaxed);
        self.0.n_up.fetch_add(1, Ordering::Relaxed);
        let server = server.to_owned();
        self.note(who, Status::Connected { server });
    }

    /// A connection was lost.
    pub fn disconnected(&self, who: Who, cause: Cause, moment: MonoNanos) -> OutageId {
        self.0.n_up.fetch_sub(1, Ordering::Relaxed);
        let started_ns = self.since_start(moment);
        let outage = Outage::begun(who.role, who.idx, cause.clone(), started_ns);
        let slot = {
            let mut lists = self.lists();
            lists.n_outages += 1;
            let slot = lists.outages.len();
            if slot < MAX_OUTAGES {
                lists.outages.push(outage);
                Some(slot)
            } else {
                None
            }
        };
        self.note_at(who, Status::Disconnected { cause }, moment);
        OutageId {
            slot,
            started: moment,
        }
    }

    /// It is about to be tried again, for the `attempt`th time.
    pub fn reconnecting(&self, who: Who, id: OutageId, server: &str, attempt: u64) {
        let last_error = self.update(id, |outage| {
            outage.attempts = attempt;
            outage.failed.last().map(|failed| failed.error.clone())
        });
        let status = Status::Reconnecting {
            server: server.to_owned(),
            attempt,
            last_error: last_error.flatten(),
        };
        self.note(who, status);
    }

    /// An attempt failed.
    pub fn attempt_failed(&self, id: OutageId, server: &str, began: MonoNanos, error: &str) {
        let failed = FailedAttempt {
            server: server.to_owned(),
            after_ns: began.since(id.started),
            duration_ns: mono_now().since(began),
            error: error.to_owned(),
        };
        self.update(id, |outage| {
            // The last place is for the last one.
            outage.failed.truncate(MAX_FAILED_ATTEMPTS - 1);
            outage.failed.push(failed);
        });
    }

    /// The connection is usable again; whether another server process answered than before is not always known.
    pub fn reconnected(
        &self,
        who: Who,
        id: OutageId,
        server: &str,
        attempts: u64,
        is_other_server: Option<bool>,
    ) {
        self.0.n_up.fetch_add(1, Ordering::Relaxed);
        let now = mono_now();
        let outage_ns = now.since(id.started);
        self.update(id, |outage| {
            outage.duration_ns = Some(outage_ns);
            outage.attempts = attempts;
            outage.server = Some(server.to_owned());
            outage.is_other_server = is_other_server;
            if is_other_server == Some(true) && outage.cause.kind == CauseKind::SlowConsumer {
                // A server that is gone has not thrown us out.
                outage.cause.kind = CauseKind::Eof;
                "the server closed the connection".clone_into(&mut outage.cause.text);
            }
        });
        let status = Status::Reconnected {
            server: server.to_owned(),
            attempts,
            outage_ns,
        };
        self.note_at(who, status, now);
    }

    /// The connection is not tried any longer.
    pub fn gave_up(&self, who: Who, id: OutageId, reason: &str) {
        self.update(id, |outage| outage.gave_up = Some(reason.to_owned()));
        let reason = Some(reason.to_owned());
        self.note(who, Status::Closed { reason });
    }

    /// The first message since the connection is back.
    pub fn first_message(&self, id: OutageId, moment: MonoNanos) {
        self.update(id, |outage| {
            outage
                .first_message_ns
                .get_or_insert(moment.since(id.started));
        });
    }

    /// Messages that were handed to the connection and may not have reached the broker.
    pub fn note_in_doubt(&self, id: OutageId, in_doubt: u64) {
        self.update(id, |outage| outage.in_doubt = Some(in_doubt));
    }

    /// Rounds that were left out because of it.
    pub fn note_skipped(&self, id: OutageId, skipped: u64) {
        self.update(id, |outage| outage.skipped = Some(skipped));
    }

    fn update<T>(&self, id: OutageId, change: impl FnOnce(&mut Outage) -> T) -> Option<T> {
        let mut lists = self.lists();
        let outage = lists.outages.get_mut(id.slot?)?;
        Some(change(outage))
    }

    /// Takes the events that have happened since the last call, in order.
    pub fn take_events(&self) -> Vec<StatusEvent> {
        self.lists().events.drain(..).collect()
    }

    /// Events that were not kept.
    pub fn n_dropped_events(&self) -> u64 {
        self.lists().n_dropped_events
    }

    /// The outages so far, the first few thousand, in the order in which they began; and how many there were.
    pub fn outages(&self) -> (Vec<Outage>, u64) {
        let lists = self.lists();
        (lists.outages.clone(), lists.n_outages)
    }

    /// Connections that are up now, and all.
    pub fn connections(&self) -> (u64, u64) {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (get(&self.0.n_up), get(&self.0.n_connections))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHO: Who = Who {
        role: Role::Subscriber,
        idx: 3,
    };

    fn cause(kind: CauseKind) -> Cause {
        Cause {
            kind,
            close_code: None,
            text: "it ended".to_owned(),
        }
    }

    #[test]
    fn an_outage_has_a_beginning_attempts_and_an_end() {
        let began = mono_now();
        let board = StatusBoard::new(began);
        board.connected(WHO, "ws://a/");
        let id = board.disconnected(WHO, cause(CauseKind::Eof), began.plus(5));
        assert_eq!(board.connections(), (0, 1));
        for attempt in 1..=9 {
            board.reconnecting(WHO, id, "ws://a/", attempt);
            board.attempt_failed(id, "ws://a/", began, &format!("refused {attempt}"));
        }
        board.reconnected(WHO, id, "ws://b/", 10, Some(true));
        board.first_message(id, began.plus(7));
        board.first_message(id, began.plus(9));
        assert_eq!(board.connections(), (1, 1));
        let (outages, n_outages) = board.outages();
        assert_eq!((outages.len(), n_outages), (1, 1));
        let outage = &outages[0];
        assert_eq!((outage.started_ns, outage.attempts), (5, 10));
        assert_eq!(outage.first_message_ns, Some(2));
        assert!(outage.duration_ns.is_some());
        let errors: Vec<_> = outage
            .failed
            .iter()
            .map(|failed| failed.error.as_str())
            .collect();
        // The first few, and the last.
        assert_eq!(
            errors,
            [
                "refused 1",
                "refused 2",
                "refused 3",
                "refused 4",
                "refused 9"
            ]
        );
        let events = board.take_events();
        assert_eq!(events.len(), 12);
        let Status::Reconnecting { last_error, .. } = &events[3].status else {
            panic!("{events:?}");
        };
        assert_eq!(last_error.as_deref(), Some("refused 1"));
        assert!(board.take_events().is_empty());
    }

    #[test]
    fn a_server_that_was_restarted_has_thrown_nobody_out_for_being_slow() {
        for (is_other_server, kind) in [(true, CauseKind::Eof), (false, CauseKind::SlowConsumer)] {
            let board = StatusBoard::new(mono_now());
            board.connected(WHO, "ws://a/");
            let id = board.disconnected(WHO, cause(CauseKind::SlowConsumer), mono_now());
            board.reconnected(WHO, id, "ws://a/", 1, Some(is_other_server));
            assert_eq!(board.outages().0[0].cause.kind, kind);
        }
    }

    #[test]
    fn what_goes_beyond_the_limits_is_counted() {
        let board = StatusBoard::new(mono_now());
        for _ in 0..MAX_OUTAGES + 2 {
            board.connected(WHO, "ws://a/");
            let id = board.disconnected(WHO, cause(CauseKind::Eof), mono_now());
            board.gave_up(WHO, id, "no more");
        }
        let (outages, n_outages) = board.outages();
        assert_eq!(outages.len(), MAX_OUTAGES);
        assert_eq!(n_outages, MAX_OUTAGES as u64 + 2);
        for _ in 0..MAX_EVENTS {
            board.note(WHO, Status::Draining);
        }
        assert!(board.n_dropped_events() > 0);
        assert_eq!(board.take_events().len(), MAX_EVENTS);
    }
}
