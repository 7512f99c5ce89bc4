//! A `sub` run: receive whatever matches, show it, and account for it wherever it carries a stamp.
//!
//! Messages of several runs may be mixed. Each subscription, each run, each publisher and each subject is
//! accounted for on its own. How much was sent is learned from the end-of-run messages; without one the tail
//! of a stream stays unknown.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, MonoNanos};
use crate::host::{HostDelta, HostSample};
use crate::load::connecting::{Ready, ReceiverPlan, Subscription};
use crate::load::latency::{RunError, Watch, unless_stopped};
use crate::load::observer::{Lines, Observer, ObserverShared};
use crate::load::plan::SubscribePlan;
use crate::load::receiver::{Channels, ConnectionReport, Control, LiveReceived, Receiver};
use crate::measure::end_of_run;
use crate::measure::recorder::Recorder;
use crate::report::progress::Snapshot;
use crate::units::NANOS_PER_SEC;

/// How often the orchestrator looks at counters.
const LOOK_PERIOD: Duration = Duration::from_millis(100);

/// What a `sub` run has seen.
pub struct Observed {
    /// The process's clock.
    pub clock: Clock,
    /// Response, service and lateness of all stamped messages.
    pub recorder: Recorder,
    /// Each connection.
    pub connections: Vec<ConnectionReport<Observer>>,
    /// The first connection, as it was opened.
    pub first: Option<Ready>,
    /// When the run began.
    pub started: MonoNanos,
    /// Its length.
    pub total_ns: u64,
    /// The machine's time taken away.
    pub host: HostDelta,
    /// Wall clock against monotonic clock at the end.
    pub clock_drift_ns: i64,
    /// Whether it was stopped before its time.
    pub is_interrupted: bool,
}

/// Runs it. With `lines`, every message is shown.
///
/// # Errors
/// When it cannot begin.
pub async fn run(
    plan: &SubscribePlan,
    lines: Option<Lines>,
    mut watch: Watch<'_>,
) -> Result<Observed, RunError> {
    let clock = Clock::start();
    let started = clock.now();
    let host_before = HostSample::read();
    let (control, control_receiver) = watch::channel(Control::Run);
    let (snapshot_sender, mut snapshots) = mpsc::channel(16);
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
        clock,
    });
    let channels = Channels {
        control: control_receiver,
        snapshots: snapshot_sender,
        live: Arc::clone(&live),
    };
    // One thread: lines come out in the order in which messages arrived, and a queue group is accounted for as one.
    let mut thread = Receiver::start(receiver_plan(plan), channels, move |_| {
        Observer::new(Arc::clone(&shared))
    })?;
    let first = unless_stopped(&watch.stop, thread.ready())
        .await?
        .into_iter()
        .next();

    let mut recorder = Recorder::new();
    let stop = watch.stop.clone();
    let is_interrupted = tokio::select! {
        // All are cancel-safe; what the loop took from the channel is in `recorder`.
        () = stop.cancelled() => true,
        () = done.cancelled() => false,
        () = look(&live, started, plan, &mut snapshots, &mut recorder, &mut watch) => false,
    };
    let end = if done.is_cancelled() {
        Control::Stop
    } else {
        Control::Drain
    };
    // A receiver that is gone has ended and is counted.
    let _ = control.send(end);
    while let Some(interval) = snapshots.recv().await {
        (watch.on_interval)(&interval);
        recorder.merge(&interval);
    }
    let connections = thread.join().ok_or(RunError::Died("receiving"))?;
    Ok(Observed {
        clock,
        recorder,
        connections,
        first,
        started,
        total_ns: clock.now().since(started),
        host: HostSample::read().since(&host_before),
        clock_drift_ns: clock.drift_ns(),
        is_interrupted,
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
        endpoint: plan.endpoint.clone(),
        first_idx: 0,
        n_connections: usize::from(plan.n_connections.get()),
        subscriptions: own.chain([end]).collect(),
    }
}

/// Keeps the live view going; ends with the duration, or when every connection has ended.
async fn look(
    live: &LiveReceived,
    started: MonoNanos,
    plan: &SubscribePlan,
    snapshots: &mut mpsc::Receiver<Recorder>,
    recorder: &mut Recorder,
    watch: &mut Watch<'_>,
) {
    let mut look = tokio::time::interval(LOOK_PERIOD);
    let (mut p50_ns, mut p99_ns) = (None, None);
    loop {
        look.tick().await;
        while let Ok(interval) = snapshots.try_recv() {
            if !interval.response.is_empty() {
                (p50_ns, p99_ns) = (
                    interval.response.percentile_ns(0.5),
                    interval.response.percentile_ns(0.99),
                );
                (watch.on_interval)(&interval);
            }
            recorder.merge(&interval);
        }
        let elapsed_ns = crate::clock::mono_now().since(started);
        let secs = elapsed_ns as f64 / NANOS_PER_SEC as f64;
        let n_received = LiveReceived::get(&live.n_received);
        (watch.on_progress)(&Snapshot {
            elapsed_ns,
            phase: "receiving".to_owned(),
            sent: 0,
            expected: None,
            received: n_received,
            lost: None,
            rate_per_s: if secs > 0.0 {
                n_received as f64 / secs
            } else {
                0.0
            },
            p50_ns,
            p99_ns,
            fraction: plan
                .duration
                .map(|duration| (secs / duration.as_secs_f64()).min(1.0)),
        });
        let is_over = plan
            .duration
            .is_some_and(|duration| u128::from(elapsed_ns) >= duration.as_nanos());
        if is_over || LiveReceived::get(&live.n_ended) >= u64::from(plan.n_connections.get()) {
            return;
        }
    }
}
