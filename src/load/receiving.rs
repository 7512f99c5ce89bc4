//! The subscribing side of a `latency` run: its threads, what they have recorded so far, and how they are told to end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::load::accounting::RunSink;
use crate::load::connecting::{ReceiverPlan, Subscription};
use crate::load::plan::LatencyPlan;
use crate::load::receiver::{
    Channels, ConnectionReport, Control, LiveReceived, Receiver, Sink as _,
};
use crate::load::run::{Run, RunError};
use crate::load::streams::StreamSent;
use crate::measure::recorder::Recorder;
use crate::net::dial::ConnectionFacts;
use crate::rounds::Route;

/// One receiving thread for so many subscribers, up to one a core: a thread for a handful would only take the
/// processor from the broker.
const SUBSCRIBERS_PER_THREAD: usize = 128;
/// While draining, the orchestrator looks so often, so that a run ends when its last message has come.
pub(crate) const DRAIN_LOOK_PERIOD: Duration = Duration::from_millis(5);

/// The receiving threads of a run.
pub(crate) struct Receiving {
    threads: Vec<Receiver<Vec<ConnectionReport<RunSink>>>>,
    control: watch::Sender<Control>,
    snapshots: mpsc::Receiver<Recorder>,
    pub(crate) live: Arc<LiveReceived>,
    pub(crate) facts: Option<ConnectionFacts>,
    /// Everything that was recorded so far.
    pub(crate) recorder: Recorder,
    /// Response percentiles of the last interval, for the live view.
    pub(crate) last_p50_ns: Option<i64>,
    pub(crate) last_p99_ns: Option<i64>,
}

/// What a subscriber of a run subscribes to.
fn subscriptions(plan: &LatencyPlan) -> Arc<[Subscription]> {
    let kinds: &[&str] = match plan.rounds.route {
        Route::Game => &["game"],
        Route::Type => &["type"],
        Route::Both => &["game", "type"],
    };
    let pattern = |kind| format!("{}.{kind}.*", plan.rounds.prefix);
    kinds
        .iter()
        .map(|kind| Subscription {
            pattern: pattern(kind),
            queue: None,
            is_optional: false,
        })
        .collect()
}

impl Receiving {
    /// Connects and subscribes everything.
    pub(crate) async fn start(plan: &LatencyPlan, run: &Run<'_>) -> Result<Self, RunError> {
        let (control, control_receiver) = watch::channel(Control::Run);
        let (snapshot_sender, snapshots) = mpsc::channel(16);
        let live = Arc::new(LiveReceived::default());
        let n_subscribers = usize::from(plan.n_subscribers.get());
        let n_cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let n_threads = n_subscribers.div_ceil(SUBSCRIBERS_PER_THREAD).min(n_cores);
        let endpoint = Arc::new(plan.subscribe_at.clone());
        let subscriptions = subscriptions(plan);
        let mut threads = Vec::with_capacity(n_threads);
        let mut first_idx = 0;
        for thread_idx in 0..n_threads {
            let n_connections = (n_subscribers - first_idx).div_ceil(n_threads - thread_idx);
            let receiver_plan = ReceiverPlan {
                endpoint: Arc::clone(&endpoint),
                first_idx,
                n_connections,
                subscriptions: Arc::clone(&subscriptions),
                stall: None,
            };
            let channels = Channels {
                control: control_receiver.clone(),
                snapshots: snapshot_sender.clone(),
                live: Arc::clone(&live),
                board: run.board.clone(),
            };
            let (id, clock, sink_live) = (run.id, run.clock, Arc::clone(&live));
            threads.push(Receiver::start(receiver_plan, channels, move |_| {
                RunSink::new(id, clock, Arc::clone(&sink_live))
            })?);
            first_idx += n_connections;
        }
        let mut facts = None;
        for thread in &mut threads {
            let ready = thread.ready().await?;
            facts = facts.or_else(|| ready.into_iter().next().map(|first| first.facts));
        }
        Ok(Self {
            threads,
            control,
            snapshots,
            live,
            facts,
            recorder: Recorder::new(),
            last_p50_ns: None,
            last_p99_ns: None,
        })
    }

    /// Takes what the threads have swapped out.
    pub(crate) fn take_snapshots(&mut self, run: &mut Run<'_>) {
        while let Ok(interval) = self.snapshots.try_recv() {
            self.merge(&interval, run);
        }
    }

    fn merge(&mut self, interval: &Recorder, run: &mut Run<'_>) {
        if !interval.response.is_empty() {
            self.last_p50_ns = interval.response.percentile_ns(0.5);
            self.last_p99_ns = interval.response.percentile_ns(0.99);
        }
        run.note_interval(interval);
        self.recorder.merge(interval);
    }

    /// Tells every subscriber how much was sent.
    pub(crate) fn announce(&self, streams: &[StreamSent]) {
        // A receiver that is gone cannot be told; it has ended and is counted.
        let _ = self
            .control
            .send(Control::Announce(Arc::new(streams.to_vec())));
    }

    /// Subscribers for which nothing more is waited: they have everything, or are gone for good.
    pub(crate) fn n_settled(&self) -> u64 {
        LiveReceived::get(&self.live.n_complete) + LiveReceived::get(&self.live.n_ended)
    }

    /// Messages found missing so far.
    pub(crate) fn n_missing(&self) -> i64 {
        self.live.n_missing.load(Ordering::Relaxed)
    }

    /// Stops the threads and takes what they have.
    pub(crate) async fn finish(
        mut self,
        streams: &[StreamSent],
        run: &mut Run<'_>,
    ) -> Result<(Vec<ConnectionReport<RunSink>>, Recorder), RunError> {
        let _ = self.control.send(Control::Stop);
        // The channel closes when the last thread has sent its last interval.
        while let Some(interval) = self.snapshots.recv().await {
            self.merge(&interval, run);
        }
        let mut subscribers = Vec::new();
        for thread in self.threads {
            subscribers.extend(thread.join().ok_or(RunError::Died("receiving"))?);
        }
        for report in &mut subscribers {
            // A connection that ended early was not there to be told, and its tail is lost all the same.
            report.sink.announce(streams);
        }
        subscribers.sort_by_key(|report| report.idx);
        Ok((subscribers, self.recorder))
    }
}
