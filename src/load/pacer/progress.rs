//! Where a phase stands: what is due, what was done, when to wake up, and when it is over.

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{MAX_SLEEP_NS, Pace, PhasePlan};
use crate::clock::{self, MonoNanos, mono_now};
use crate::load::plan::Extent;
use crate::load::publisher::{Intended, Publisher};
use crate::units::NANOS_PER_SEC;

/// Without a schedule, each publisher sends at most this many rounds before the next one has its turn.
const TURN_ROUNDS: u64 = 256;
/// How long the queue of a client library that was full is left alone: a library has no socket to wait for.
const CLIENT_RETRY_NS: u64 = 500_000;
/// A run without schedule, whose length is a number of rounds, gives up when nothing at all could be written for so
/// long. A broker itself gives up on a client that does not read after 10 s (nats-server's `write_deadline`).
const STALL_LIMIT_NS: u64 = 10 * NANOS_PER_SEC;

/// Where a phase stands.
pub(super) struct PhaseProgress {
    started: MonoNanos,
    /// Rounds that each publisher is done with: sent or skipped.
    pub(super) cursors: Vec<u64>,
    /// Those of them that were skipped.
    pub(super) n_skipped: u64,
    /// Those that were rendered, and that no connection was given until the end.
    pub(super) n_unhanded: u64,
    /// Rounds due so far.
    pub(super) n_due: u64,
    /// Rounds in the phase; shrinks to what is due when the phase is stopped.
    pub(super) n_total: u64,
    /// A phase without schedule ends here.
    ends_at: Option<MonoNanos>,
    /// After this nothing more is tried.
    gives_up_at: Option<MonoNanos>,
    /// When a round was last sent, and how many had been then.
    moved_at: (MonoNanos, u64),
    is_over: bool,
}

impl PhaseProgress {
    pub(super) fn new(plan: &PhasePlan, started: MonoNanos, n_publishers: usize) -> Self {
        let duration_ns = match plan.extent {
            Extent::Duration(duration) => {
                Some(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
            }
            Extent::Rounds(_) | Extent::Endless => None,
        };
        let (n_total, last_due_ns) = match (&plan.pace, plan.extent) {
            (Pace::Schedule(schedule), Extent::Duration(_)) => (
                schedule.count_within(duration_ns.unwrap_or(u64::MAX)),
                duration_ns,
            ),
            (Pace::Schedule(schedule), Extent::Rounds(n)) => (n, Some(schedule.due_ns(n))),
            (Pace::BackToBack, Extent::Rounds(n)) => (n, None),
            (_, Extent::Endless) | (Pace::BackToBack, Extent::Duration(_)) => (u64::MAX, None),
        };
        let grace_ns = u64::try_from(plan.give_up_after.as_nanos()).unwrap_or(u64::MAX);
        Self {
            started,
            cursors: vec![0; n_publishers],
            n_skipped: 0,
            n_unhanded: 0,
            n_due: 0,
            n_total,
            ends_at: matches!(plan.pace, Pace::BackToBack)
                .then(|| duration_ns.map(|ns| started.plus(ns)))
                .flatten(),
            gives_up_at: last_due_ns.map(|ns| started.plus(ns).plus(grace_ns)),
            moved_at: (started, 0),
            is_over: false,
        }
    }

    pub(super) fn n_sent(&self) -> u64 {
        self.cursors.iter().sum::<u64>() - self.n_skipped - self.n_unhanded
    }

    pub(super) fn n_planned(&self) -> u64 {
        if self.n_total == u64::MAX {
            self.n_sent()
        } else {
            self.n_total
        }
    }

    /// The global number of the `n`th next round of publisher `idx`.
    fn round_idx(&self, idx: usize, n: u64) -> u64 {
        let n_publishers = self.cursors.len() as u64;
        (self.cursors[idx] + n)
            .saturating_mul(n_publishers)
            .saturating_add(idx as u64)
    }

    pub(super) fn intended(&self, plan: &PhasePlan, idx: usize, n: u64) -> Option<Intended> {
        let round_idx = self.round_idx(idx, n);
        if round_idx >= self.n_due {
            return None;
        }
        match &plan.pace {
            Pace::Schedule(schedule) => {
                Some(Intended::At(self.started.plus(schedule.due_ns(round_idx))))
            }
            Pace::BackToBack => (n < TURN_ROUNDS).then_some(Intended::Now),
        }
    }

    /// Moves what is due up to `now`.
    pub(super) fn advance(
        &mut self,
        plan: &PhasePlan,
        now: MonoNanos,
        is_stopped: bool,
        is_any_down: bool,
    ) {
        let may_begin = now >= self.started;
        self.n_due = match &plan.pace {
            Pace::Schedule(schedule) if may_begin => {
                schedule.due_by(now.since(self.started)).min(self.n_total)
            }
            Pace::BackToBack if may_begin => self.n_total,
            _ => 0,
        };
        let is_past = |moment: Option<MonoNanos>| moment.is_some_and(|moment| now >= moment);
        if is_stopped || is_past(self.ends_at) {
            // What is due stays due and is counted as planned; nothing new falls due.
            if matches!(plan.pace, Pace::Schedule(_)) {
                self.n_total = self.n_due;
                let grace = u64::try_from(plan.give_up_after.as_nanos()).unwrap_or(u64::MAX);
                let limit = now.plus(grace);
                self.gives_up_at =
                    Some(self.gives_up_at.map_or(limit, |earlier| earlier.min(limit)));
            } else {
                self.is_over = true;
            }
        }
        if is_any_down {
            // A connection that is down is waited for as long as it is tried again.
            self.moved_at.0 = now;
        }
        self.is_over |= is_past(self.gives_up_at) || self.is_stalled(plan, now);
    }

    /// Without a schedule there is no last due time to give up after, only rounds that nobody takes.
    fn is_stalled(&mut self, plan: &PhasePlan, now: MonoNanos) -> bool {
        let (Pace::BackToBack, Extent::Rounds(_)) = (&plan.pace, plan.extent) else {
            return false;
        };
        let n_sent = self.n_sent();
        if n_sent > self.moved_at.1 {
            self.moved_at = (now, n_sent);
        }
        now.since(self.moved_at.0) > STALL_LIMIT_NS
    }

    pub(super) fn is_done(&self, publishers: &[Publisher]) -> bool {
        let is_finished = |(idx, publisher): (usize, &Publisher)| {
            !publisher.is_alive()
                || (self.round_idx(idx, 0) >= self.n_total
                    && !publisher.is_blocked()
                    && !publisher.has_leftover())
        };
        self.is_over || publishers.iter().enumerate().all(is_finished)
    }

    /// Sleeps until there is something to do.
    pub(super) fn wait(&self, plan: &PhasePlan, publishers: &[Publisher]) {
        if self.is_done(publishers) {
            return;
        }
        let now = mono_now();
        let next_due = match &plan.pace {
            Pace::Schedule(schedule) => self.started.plus(schedule.due_ns(self.n_due)),
            Pace::BackToBack => now.max(self.started),
        };
        let next_due = plan
            .tick_ns
            .map_or(next_due, |tick| next_due.max(now.plus(tick)));
        let wake_at = next_due.min(now.plus(MAX_SLEEP_NS));
        let n_up = publishers.iter().filter(|one| one.is_up()).count();
        let n_blocked = publishers.iter().filter(|one| one.is_blocked()).count();
        let mut blocked: Vec<_> = publishers
            .iter()
            .filter_map(Publisher::blocked_fd)
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::OUT))
            .collect();
        // Publishers that are not blocked still have to be served at their due times; without a schedule there is
        // nothing to do before one takes more, unless another is free.
        let wake_at = match plan.pace {
            Pace::BackToBack if n_blocked == n_up => now.plus(MAX_SLEEP_NS),
            _ => wake_at,
        };
        let wake_at = if n_blocked > blocked.len() {
            wake_at.min(now.plus(CLIENT_RETRY_NS))
        } else {
            wake_at
        };
        if blocked.is_empty() {
            clock::sleep_until(wake_at);
            return;
        }
        let wait_ns = wake_at.since(now);
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: i64::try_from(wait_ns.min(999_999_999)).unwrap_or(0),
        };
        // An interrupted or failed poll only means that the loop looks again.
        let _ = poll(&mut blocked, Some(&timeout));
    }
}
