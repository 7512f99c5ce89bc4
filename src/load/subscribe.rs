//! A `sub` run: receive whatever matches, show it, and account for it wherever it carries a stamp.
//!
//! Messages of several runs may be mixed. Each subscription, each run, each publisher and each subject is
//! accounted for on its own. How much was sent is learned from the end-of-run messages; without one the tail
//! of a stream stays unknown.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::load::connecting::{Ready, ReceiverPlan, Subscription};
use crate::load::observer::{Lines, Observer, ObserverShared};
use crate::load::plan::SubscribePlan;
use crate::load::receiver::{Channels, ConnectionReport, Control, LiveReceived, Receiver};
use crate::load::run::{Counts, LOOK_PERIOD, Run, RunError, RunFacts, Watch};
use crate::measure::end_of_run;
use crate::measure::recorder::Recorder;
use crate::report::progress::Snapshot;
use crate::units::NANOS_PER_SEC;

const RECEIVING: &str = "receiving";

/// What a `sub` run has seen.
pub struct Observed {
    /// What is known of every run.
    pub run: RunFacts,
    /// Response, service and lateness of all stamped messages.
    pub recorder: Recorder,
    /// Each connection.
    pub connections: Vec<ConnectionReport<Observer>>,
    /// The first connection, as it was opened.
    pub first: Option<Ready>,
}

/// Runs it. With `lines`, every message is shown.
///
/// # Errors
/// When it cannot begin.
pub async fn run(
    plan: &SubscribePlan,
    lines: Option<Lines>,
    watch: Watch<'_>,
) -> Result<Observed, RunError> {
    let mut run = Run::begin(watch);
    let (control, control_receiver) = watch::channel(Control::Run);
    let (snapshot_sender, snapshots) = mpsc::channel(16);
    let live = Arc::new(LiveReceived::default());
    let done = CancellationToken::new();
    let shared = Arc::new(ObserverShared {
        patterns: plan
            .patterns
            .iter()
            .filter_map(|pattern| pattern.parse().ok())
            .collect(),
        n_left: plan.count.map(AtomicU64::new),
        is_queue: plan.queue.is_some(),
        live: Arc::clone(&live),
        done: done.clone(),
        lines,
        clock: run.clock,
    });
    let channels = Channels {
        control: control_receiver,
        snapshots: snapshot_sender,
        live: Arc::clone(&live),
        board: run.board.clone(),
    };
    // One thread: lines come out in the order in which messages arrived, and a queue group is accounted for as one.
    let mut thread = Receiver::start(receiver_plan(plan), channels, move |_| {
        Observer::new(Arc::clone(&shared))
    })?;
    let first = run.unless_stopped(thread.ready()).await?.into_iter().next();

    let mut view = View {
        plan,
        live,
        snapshots,
        recorder: Recorder::new(),
        last_ns: (None, None),
    };
    let stop = run.interrupt.stop.clone();
    tokio::select! {
        // All are cancel-safe; what the loop took from the channel is in the view.
        () = stop.cancelled() => {}
        () = done.cancelled() => {}
        () = view.look_until_over(&mut run) => {}
    }
    // Taken before the connections are closed: that is no outage.
    let facts = run.facts();
    let end = if done.is_cancelled() || run.interrupt.is_left() {
        Control::Stop
    } else {
        Control::Drain
    };
    // A receiver that is gone has ended and is counted.
    let _ = control.send(end);
    let interrupt = run.interrupt.clone();
    let drained = interrupt.unless_left(view.take_rest(&mut run)).await;
    if drained.is_none() {
        let _ = control.send(Control::Stop);
        view.take_rest(&mut run).await;
    }
    let connections = thread.join().ok_or(RunError::Died("receiving"))?;
    run.end_phase(RECEIVING, view.counts());
    run.close();
    Ok(Observed {
        run: facts,
        recorder: view.recorder,
        connections,
        first,
    })
}

fn receiver_plan(plan: &SubscribePlan) -> ReceiverPlan {
    let own = plan.patterns.iter().map(|pattern| Subscription {
        pattern: pattern.clone(),
        queue: plan.queue.clone(),
        is_optional: false,
    });
    // The control subject comes last, so that subscription `n` is pattern `n`. A client that may not read it still
    // works: the tails of its streams stay unknown.
    let end = Subscription {
        pattern: end_of_run::PATTERN.to_owned(),
        queue: None,
        is_optional: true,
    };
    ReceiverPlan {
        endpoint: Arc::new(plan.endpoint.clone()),
        first_idx: 0,
        n_connections: usize::from(plan.n_connections.get()),
        subscriptions: own.chain([end]).collect(),
        stall: plan.stall,
    }
}

/// What the orchestrator sees of a run.
struct View<'a> {
    plan: &'a SubscribePlan,
    live: Arc<LiveReceived>,
    snapshots: mpsc::Receiver<Recorder>,
    recorder: Recorder,
    /// Median and 99th percentile of response, of the last interval that had any.
    last_ns: (Option<i64>, Option<i64>),
}

impl View<'_> {
    fn merge(&mut self, interval: &Recorder, run: &mut Run<'_>) {
        if !interval.response.is_empty() {
            self.last_ns = (
                interval.response.percentile_ns(0.5),
                interval.response.percentile_ns(0.99),
            );
        }
        run.note_interval(interval);
        self.recorder.merge(interval);
    }

    /// Takes everything up to the end of the thread.
    async fn take_rest(&mut self, run: &mut Run<'_>) {
        while let Some(interval) = self.snapshots.recv().await {
            self.merge(&interval, run);
        }
    }

    fn counts(&self) -> Counts {
        Counts {
            received: LiveReceived::get(&self.live.n_received),
            missing: self.live.n_missing.load(Ordering::Relaxed),
            ..Counts::default()
        }
    }

    /// Keeps the live view going; ends with the duration, or when every connection has ended.
    async fn look_until_over(&mut self, run: &mut Run<'_>) {
        let mut look = tokio::time::interval(LOOK_PERIOD);
        loop {
            look.tick().await;
            while let Ok(interval) = self.snapshots.try_recv() {
                self.merge(&interval, run);
            }
            run.look(RECEIVING, self.counts());
            let elapsed_ns = run.elapsed_ns();
            run.show(&self.snapshot(elapsed_ns));
            let is_over = self
                .plan
                .duration
                .is_some_and(|duration| u128::from(elapsed_ns) >= duration.as_nanos());
            let n_connections = u64::from(self.plan.n_connections.get());
            if is_over || LiveReceived::get(&self.live.n_ended) >= n_connections {
                return;
            }
        }
    }

    fn snapshot(&self, elapsed_ns: u64) -> Snapshot {
        let secs = elapsed_ns as f64 / NANOS_PER_SEC as f64;
        let n_received = LiveReceived::get(&self.live.n_received);
        Snapshot {
            elapsed_ns,
            phase: RECEIVING.to_owned(),
            sent: 0,
            expected: None,
            received: n_received,
            lost: None,
            rate_per_s: if secs > 0.0 {
                n_received as f64 / secs
            } else {
                0.0
            },
            p50_ns: self.last_ns.0,
            p99_ns: self.last_ns.1,
            fraction: self
                .plan
                .duration
                .map(|duration| (secs / duration.as_secs_f64()).min(1.0)),
        }
    }
}
