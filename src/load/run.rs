//! What the three runs have in common: who watches and stops them, the status board, the series, and what is known of the
//! machine at the end.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, MonoNanos, StepWatch, WallNanos, mono_now};
use crate::host::{HiccupMeter, HiccupReport, HostDelta, HostSample};
use crate::load::connecting::StartError;
use crate::load::interrupt::Interrupt;
use crate::load::links::LinkError;
use crate::load::status::StatusBoard;
use crate::measure::recorder::Recorder;
use crate::measure::stamp::RunId;
use crate::report::progress::Snapshot;
use crate::results::RunResult;
use crate::results::outages::{Outage, SeriesRow, StatusEvent};
use crate::units::NANOS_PER_SEC;

/// How often the orchestrator looks at counters; progress is drawn no more often than this.
pub(crate) const LOOK_PERIOD: Duration = Duration::from_millis(100);

/// Why a run could not begin.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The publishing side.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The subscribing side.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The pacing thread.
    #[error("cannot start the pacing thread")]
    Pacer(#[source] std::io::Error),
    /// It was stopped while it was still connecting.
    #[error("stopped before anything was measured")]
    Stopped,
    /// A thread died in mid-run; a fault of natsbench.
    #[error("the {0} thread stopped unexpectedly")]
    Died(&'static str),
}

/// Told what happens in a run, while it happens.
pub trait Watcher: Send {
    /// The run begins.
    fn on_begin(&mut self, began: WallNanos);
    /// Called at most ten times a second.
    fn on_progress(&mut self, snapshot: &Snapshot);
    /// What each receiving thread recorded in about a second: response and service.
    fn on_interval(&mut self, recorder: &Recorder);
    /// What has become of connections since the last call, several times a second; the moment is nanoseconds since the
    /// run began, as in the events.
    fn on_events(&mut self, events: Vec<StatusEvent>, now_ns: u64);
    /// A second of the run is over.
    fn on_second(&mut self, row: &SeriesRow);
    /// What is known so far, once in each [`Watch::checkpoint_period`].
    fn on_checkpoint(&mut self, result: RunResult);
}

/// What may watch and stop a run, and the clock that it goes by.
pub struct Watch<'a> {
    /// Ends it.
    pub interrupt: Interrupt,
    /// The clock of the process.
    pub clock: Clock,
    /// How often a `latency` run puts down what it knows.
    pub checkpoint_period: Duration,
    /// Is told what happens.
    pub watcher: &'a mut dyn Watcher,
}

/// Counters of one moment, since the phase began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) due: Option<u64>,
    pub(crate) sent: Option<u64>,
    pub(crate) skipped: Option<u64>,
    pub(crate) received: u64,
    pub(crate) missing: i64,
}

/// A run that is going on.
pub(crate) struct Run<'a> {
    pub(crate) id: RunId,
    pub(crate) clock: Clock,
    pub(crate) started: MonoNanos,
    pub(crate) board: StatusBoard,
    pub(crate) interrupt: Interrupt,
    watcher: &'a mut dyn Watcher,
    steps: StepWatch,
    host_before: HostSample,
    meter: Option<HiccupMeter>,
    next_second: MonoNanos,
    checkpoint_period_ns: u64,
    next_checkpoint: MonoNanos,
    last_counts: Counts,
    last_interval: Recorder,
    /// What the outside has asked for; the run's own `stop` is a child of it.
    asked_to_stop: CancellationToken,
}

/// What is known of a run when it is over, whatever it did.
#[derive(Debug)]
pub struct RunFacts {
    /// The process's clock.
    pub clock: Clock,
    /// When the run began.
    pub started: MonoNanos,
    /// Everything, from the first connection.
    pub total_ns: u64,
    /// The machine's time taken away.
    pub host: HostDelta,
    /// What an idle thread suffered meanwhile; absent where nothing was measured by it.
    pub hiccup: Option<HiccupReport>,
    /// By how much the wall clock was set; 0 when it was left alone.
    pub clock_step_ns: i64,
    /// Wall clock against monotonic clock at the end.
    pub clock_drift_ns: i64,
    /// Whether it was stopped before its time.
    pub is_interrupted: bool,
    /// Outages of its connections, the first few thousand.
    pub outages: Vec<Outage>,
    /// How many there were.
    pub n_outages: u64,
    /// Status events that were too many to be told.
    pub n_dropped_events: u64,
}

impl<'a> Run<'a> {
    /// Begins now.
    pub(crate) fn begin(watch: Watch<'a>) -> Self {
        let clock = watch.clock;
        let started = clock.now();
        let asked_to_stop = watch.interrupt.stop.clone();
        let checkpoint_period_ns =
            u64::try_from(watch.checkpoint_period.as_nanos()).unwrap_or(u64::MAX);
        watch.watcher.on_begin(clock.wall_at(started));
        Self {
            id: RunId(rand::random()),
            clock,
            started,
            board: StatusBoard::new(started),
            interrupt: Interrupt {
                stop: asked_to_stop.child_token(),
                ..watch.interrupt
            },
            watcher: watch.watcher,
            steps: StepWatch::new(clock),
            host_before: HostSample::read(),
            meter: None,
            next_second: started.plus(NANOS_PER_SEC),
            checkpoint_period_ns,
            next_checkpoint: started.plus(checkpoint_period_ns),
            last_counts: Counts::default(),
            last_interval: Recorder::new(),
            asked_to_stop,
        }
    }

    /// Ends the run because there is nobody left whom it could be about.
    pub(crate) fn end_by_loss(&self) {
        self.interrupt.stop.cancel();
    }

    /// What is measured begins now: from here on the machine is watched.
    pub(crate) fn begin_measuring(&mut self) {
        self.host_before = HostSample::read();
        self.meter = Some(HiccupMeter::start());
    }

    /// Nanoseconds since the run began.
    pub(crate) fn elapsed_ns(&self) -> u64 {
        mono_now().since(self.started)
    }

    /// Connects, unless the run is stopped first: there is nothing to wait for yet and nothing to report.
    pub(crate) async fn unless_stopped<T, E>(
        &self,
        connecting: impl Future<Output = Result<T, E>>,
    ) -> Result<T, RunError>
    where
        RunError: From<E>,
    {
        // Dropping half-open connections is what is wanted here.
        tokio::select! {
            () = self.interrupt.stop.cancelled() => Err(RunError::Stopped),
            opened = connecting => Ok(opened?),
        }
    }

    /// A receiving thread has recorded this in about a second.
    pub(crate) fn note_interval(&mut self, interval: &Recorder) {
        if !interval.response.is_empty() {
            self.watcher.on_interval(interval);
        }
        self.last_interval.merge(interval);
    }

    /// Tells the watcher what has happened since the last look.
    pub(crate) fn look(&mut self, phase: &str, counts: Counts) {
        self.tell_events();
        let now = mono_now();
        if now >= self.next_second {
            self.steps.look();
            let n_missed = now.since(self.next_second) / NANOS_PER_SEC;
            self.next_second = self.next_second.plus((n_missed + 1) * NANOS_PER_SEC);
            self.tell_second(now, phase, counts);
        }
    }

    /// A phase is over: what its last second has seen so far is told, if that is anything.
    pub(crate) fn end_phase(&mut self, phase: &str, counts: Counts) {
        self.tell_events();
        if counts != self.last_counts {
            self.tell_second(mono_now(), phase, counts);
        }
    }

    /// The counters begin anew.
    pub(crate) fn reset_counts(&mut self) {
        self.last_counts = Counts::default();
    }

    fn tell_events(&mut self) {
        let events = self.board.take_events();
        self.watcher.on_events(events, self.elapsed_ns());
    }

    fn tell_second(&mut self, now: MonoNanos, phase: &str, counts: Counts) {
        let last = self.last_counts;
        let more = |now: Option<u64>, before: Option<u64>| {
            now.map(|now| now.saturating_sub(before.unwrap_or(0)))
        };
        let (connections_up, connections) = self.board.connections();
        let response = &self.last_interval.response;
        let row = SeriesRow {
            at_ns: now.since(self.started),
            phase: phase.to_owned(),
            due: more(counts.due, last.due),
            sent: more(counts.sent, last.sent),
            skipped: more(counts.skipped, last.skipped),
            received: counts.received.saturating_sub(last.received),
            lost: counts.missing - last.missing,
            connections_up,
            connections,
            p50_ns: response.percentile_ns(0.5),
            p90_ns: response.percentile_ns(0.9),
            p99_ns: response.percentile_ns(0.99),
            max_ns: response.max_ns(),
        };
        self.watcher.on_second(&row);
        self.last_counts = counts;
        self.last_interval = Recorder::new();
    }

    /// Shows where the run stands.
    pub(crate) fn show(&mut self, snapshot: &Snapshot) {
        self.watcher.on_progress(snapshot);
    }

    /// Whether it is time for a checkpoint.
    pub(crate) fn is_checkpoint_due(&mut self) -> bool {
        let now = mono_now();
        let is_due = now >= self.next_checkpoint;
        if is_due {
            self.next_checkpoint = now.plus(self.checkpoint_period_ns);
        }
        is_due
    }

    /// Hands on what is known so far.
    pub(crate) fn checkpoint(&mut self, result: RunResult) {
        self.watcher.on_checkpoint(result);
    }

    /// The run is over; the connections may still be open.
    pub(crate) fn facts(&mut self) -> RunFacts {
        self.steps.look();
        let hiccup = self.meter.take().map(HiccupMeter::stop);
        RunFacts {
            hiccup,
            ..self.facts_so_far()
        }
    }

    /// The same in the middle of it.
    pub(crate) fn facts_so_far(&self) -> RunFacts {
        let (outages, n_outages) = self.board.outages();
        RunFacts {
            clock: self.clock,
            started: self.started,
            total_ns: self.elapsed_ns(),
            host: HostSample::read().since(&self.host_before),
            hiccup: None,
            clock_step_ns: self.steps.largest_ns(),
            clock_drift_ns: self.clock.drift_ns(),
            is_interrupted: self.asked_to_stop.is_cancelled(),
            outages,
            n_outages,
            n_dropped_events: self.board.n_dropped_events(),
        }
    }

    /// Tells what has happened when the connections were closed.
    pub(crate) fn close(mut self) {
        self.tell_events();
    }
}
