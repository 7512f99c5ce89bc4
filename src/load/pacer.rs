//! The pacing thread: sleeps until the next round is due, then sends whatever is due, itself.
//!
//! The schedule is data: the intended time of round `k` is a pure function of `k`, and round `k` belongs to publisher
//! `k mod n`. A stall (of this thread, or of a write) delays rounds but never removes or forgives them. Sleeps
//! are absolute `clock_nanosleep` calls with 1 ns timer slack; the thread never spins.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::clock::{self, MonoNanos, mono_now};
use crate::load::interrupt::Interrupt;
use crate::load::lateness::Lateness;
use crate::load::plan::Extent;
use crate::load::publisher::{Publisher, Stamping};
use crate::load::streams::StreamSent;
use crate::measure::deliveries::SeqRange;
use crate::measure::schedule::Schedule;
use crate::measure::stamp::Phase;
use crate::units::Rate;

mod progress;

use progress::PhaseProgress;

/// From this rate on, the thread wakes once a tick and sends what has become due: a sleep ends some 50 us late, so
/// that finer pacing would only cost the broker CPU time.
const TICK_ABOVE_PER_S: f64 = 50_000.0;
/// The tick at such rates. It is part of the result.
const TICK_NS: u64 = 500_000;
/// Longest sleep: after it the thread looks for a stop and for answers to pings that wait to be written.
const MAX_SLEEP_NS: u64 = 20_000_000;
/// Lead of the first due time over the start of a phase, so that the first round is not late by construction.
const LEAD_NS: u64 = 1_000_000;
/// When rounds are due.
#[derive(Debug, Clone)]
pub enum Pace {
    /// On an open schedule.
    Schedule(Schedule),
    /// As soon as the one before is written.
    BackToBack,
}

/// The tick that a rate is paced with; `None` where every round has a wake-up of its own.
pub fn tick_ns(rate: Rate) -> Option<u64> {
    (rate.per_s() > TICK_ABOVE_PER_S).then_some(TICK_NS)
}

/// One phase to run.
#[derive(Debug, Clone)]
pub struct PhasePlan {
    /// The phase that stamps carry.
    pub phase: Phase,
    /// When rounds are due.
    pub pace: Pace,
    /// See [`tick_ns`].
    pub tick_ns: Option<u64>,
    /// When it ends.
    pub extent: Extent,
    /// How long blocked writes may go on after the last due time.
    pub give_up_after: Duration,
}

/// What a phase did.
#[derive(Debug)]
pub struct PhaseOutcome {
    /// The moment that the schedule counts from.
    pub started: MonoNanos,
    /// When the last round had been sent, or given up.
    pub ended: MonoNanos,
    /// Rounds that the schedule asked for until the end; without a schedule, what was sent.
    pub n_planned: u64,
    /// Rounds sent.
    pub n_sent: u64,
    /// Rounds left out, because they fell due while their connection was down.
    pub n_skipped: u64,
    /// Messages sent, by stream.
    pub streams: Vec<StreamSent>,
    /// Messages that were handed to a connection which broke before the broker acknowledged them.
    pub in_doubt: Vec<SeqRange>,
    /// sent - intended, of every round; empty without a schedule.
    pub lateness: Lateness,
    /// Connections that broke and could not be had again, with the reason.
    pub failures: Vec<(usize, String)>,
}

/// Counters that anyone may read while the thread runs.
#[derive(Debug, Default)]
pub struct LiveSent {
    rounds: AtomicU64,
    skipped: AtomicU64,
    due: AtomicU64,
}

impl LiveSent {
    /// Rounds sent in the current phase.
    pub fn n_rounds(&self) -> u64 {
        self.rounds.load(Ordering::Relaxed)
    }

    /// Rounds left out in the current phase.
    pub fn n_skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// Rounds due so far in the current phase; what was sent where there is no schedule.
    pub fn n_due(&self) -> u64 {
        self.due.load(Ordering::Relaxed)
    }
}

/// A last message for each publisher: subject and payload.
pub type FinalMessages = Vec<Option<(String, Vec<u8>)>>;

/// What is known when nothing more is waited for.
#[derive(Debug, Default)]
pub struct Settled {
    /// Messages of the last phase that the broker has not acknowledged.
    pub in_doubt: Vec<SeqRange>,
    /// Connections that could not be had again, with the reason.
    pub failures: Vec<(usize, String)>,
}

enum Command {
    Phase(PhasePlan, oneshot::Sender<PhaseOutcome>),
    Finish(FinalMessages, oneshot::Sender<()>),
    Settle(oneshot::Sender<Settled>),
}

/// The pacing thread, from outside.
#[derive(Debug)]
pub struct Pacer {
    commands: Sender<Command>,
    live: Arc<LiveSent>,
    thread: std::thread::JoinHandle<()>,
}

impl Pacer {
    /// Starts the thread. An interrupt ends the current phase early; the thread itself ends with [`Pacer::join`].
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        publishers: Vec<Publisher>,
        stamping: Stamping,
        interrupt: Interrupt,
    ) -> io::Result<Self> {
        let (commands, inbox) = channel();
        let live = Arc::new(LiveSent::default());
        let worker = Worker {
            publishers,
            stamping,
            interrupt,
            live: Arc::clone(&live),
        };
        let thread = std::thread::Builder::new()
            .name("pacer".to_owned())
            .spawn(move || worker.serve(&inbox))?;
        Ok(Self {
            commands,
            live,
            thread,
        })
    }

    /// Counters of the current phase.
    pub fn live(&self) -> &Arc<LiveSent> {
        &self.live
    }

    /// Runs one phase; `None` if the thread has died.
    pub async fn run(&self, plan: PhasePlan) -> Option<PhaseOutcome> {
        let (reply, outcome) = oneshot::channel();
        self.commands.send(Command::Phase(plan, reply)).ok()?;
        outcome.await.ok()
    }

    /// What the broker has not acknowledged by now, and which connections are gone for good.
    pub async fn settle(&self) -> Settled {
        let (reply, settled) = oneshot::channel();
        if self.commands.send(Command::Settle(reply)).is_err() {
            return Settled::default();
        }
        settled.await.unwrap_or_default()
    }

    /// Sends the last messages, and a PING on every connection; on those that are down as soon as they are back.
    pub async fn finish(&self, messages: FinalMessages) {
        let (reply, done) = oneshot::channel();
        if self.commands.send(Command::Finish(messages, reply)).is_ok() {
            // A dead thread has nothing more to send; its failure shows in the phase.
            let _ = done.await;
        }
    }

    /// Ends the thread and waits for it; `false` if it panicked.
    pub fn join(self) -> bool {
        drop(self.commands);
        self.thread.join().is_ok()
    }
}

struct Worker {
    publishers: Vec<Publisher>,
    stamping: Stamping,
    interrupt: Interrupt,
    live: Arc<LiveSent>,
}

impl Worker {
    fn serve(mut self, inbox: &Receiver<Command>) {
        // Without fine slack every sleep ends some 50 us later; the lateness histogram would show it.
        let _ = clock::sharpen_sleeps();
        loop {
            match inbox.recv_timeout(Duration::from_nanos(MAX_SLEEP_NS)) {
                Ok(Command::Phase(plan, reply)) => {
                    let outcome = self.run_phase(&plan);
                    // Nobody waits any more when the run was given up.
                    let _ = reply.send(outcome);
                }
                Ok(Command::Finish(messages, reply)) => {
                    self.finish(messages);
                    let _ = reply.send(());
                }
                Ok(Command::Settle(reply)) => {
                    let _ = reply.send(self.settle());
                }
                Err(RecvTimeoutError::Timeout) => self.flush_all(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn flush_all(&mut self) {
        for publisher in &mut self.publishers {
            publisher.flush();
        }
    }

    fn finish(&mut self, messages: FinalMessages) {
        let mut messages = messages.into_iter();
        for publisher in &mut self.publishers {
            publisher.finish(messages.next().flatten());
        }
    }

    fn settle(&mut self) -> Settled {
        let in_doubt = self.publishers.iter_mut().flat_map(Publisher::unsettled);
        Settled {
            in_doubt: in_doubt.collect(),
            failures: self.failures(),
        }
    }

    fn failures(&self) -> Vec<(usize, String)> {
        let failure_of = |(idx, publisher): (usize, &Publisher)| {
            publisher.failure().map(|reason| (idx, reason.to_owned()))
        };
        self.publishers
            .iter()
            .enumerate()
            .filter_map(failure_of)
            .collect()
    }

    fn run_phase(&mut self, plan: &PhasePlan) -> PhaseOutcome {
        let mut lateness = Lateness::new();
        for publisher in &mut self.publishers {
            publisher.begin_phase();
        }
        let started = mono_now().plus(LEAD_NS);
        let mut progress = PhaseProgress::new(plan, started, self.publishers.len());
        self.show(&progress);
        if self.interrupt.is_stopped() {
            // Stopped before it began, in the phase before: nothing falls due.
            progress.n_total = 0;
        }
        while !progress.is_done(&self.publishers) && !self.interrupt.is_left() {
            let is_any_down = self.publishers.iter().any(|publisher| !publisher.is_up());
            progress.advance(plan, mono_now(), self.interrupt.is_stopped(), is_any_down);
            for (idx, publisher) in self.publishers.iter_mut().enumerate() {
                let done = publisher.send_due(
                    plan.phase,
                    &self.stamping,
                    |n| progress.intended(plan, idx, n),
                    &mut lateness,
                );
                progress.cursors[idx] += done.n_sent + done.n_skipped;
                progress.n_skipped += done.n_skipped;
            }
            self.show(&progress);
            progress.wait(plan, &self.publishers);
        }
        for publisher in &mut self.publishers {
            progress.n_unhanded += publisher.end_phase();
        }
        self.show(&progress);
        PhaseOutcome {
            started,
            ended: mono_now(),
            n_planned: progress.n_planned(),
            n_sent: progress.n_sent(),
            n_skipped: progress.n_skipped,
            failures: self.failures(),
            streams: self
                .publishers
                .iter()
                .flat_map(Publisher::streams_sent)
                .collect(),
            in_doubt: self
                .publishers
                .iter()
                .flat_map(|publisher| publisher.in_doubt().iter().copied())
                .collect(),
            lateness,
        }
    }

    /// Tells whoever looks where the phase stands.
    fn show(&self, progress: &PhaseProgress) {
        let show = |counter: &AtomicU64, value| counter.store(value, Ordering::Relaxed);
        show(&self.live.rounds, progress.n_sent());
        show(&self.live.skipped, progress.n_skipped);
        show(&self.live.due, progress.n_due.min(progress.n_planned()));
    }
}

#[cfg(test)]
mod tests;
