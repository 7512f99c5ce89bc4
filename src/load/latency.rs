//! A `latency` run: subscribe, publish on a schedule, drain, and account for every delivery.
//!
//! Phases: connect and subscribe everything; warm-up, which counts for nothing, and its drain; the measured
//! phase on a schedule of its own; drain until every subscriber has everything or the limit has passed.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, MonoNanos};
use crate::host::{HiccupMeter, HiccupReport, HostDelta, HostSample};
use crate::load::accounting::RunSink;
use crate::load::connecting::{ReceiverPlan, StartError, Subscription};
use crate::load::links::{LinkError, Links};
use crate::load::pacer::{LiveSent, Pace, Pacer, PhaseOutcome, PhasePlan, tick_ns};
use crate::load::plan::{Extent, LatencyPlan, PublishClient};
use crate::load::publisher::{Stamping, StreamSent};
use crate::load::receiver::{
    Channels, ConnectionReport, Control, LiveReceived, Receiver, Sink as _,
};
use crate::measure::recorder::Recorder;
use crate::measure::schedule::Schedule;
use crate::measure::stamp::{Phase, RunId};
use crate::net::async_client;
use crate::net::dial::ConnectionFacts;
use crate::report::progress::Snapshot;
use crate::rounds::Route;
use crate::units::NANOS_PER_SEC;

/// One receiving thread for so many subscribers, up to one a core: a thread for a handful would only take the
/// processor from the broker.
const SUBSCRIBERS_PER_THREAD: usize = 128;
/// How often the orchestrator looks at counters; progress is drawn no more often than this.
const LOOK_PERIOD: Duration = Duration::from_millis(100);
/// While draining it looks more often, so that a run ends when its last message has come.
const DRAIN_LOOK_PERIOD: Duration = Duration::from_millis(5);

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

/// What may watch and stop a run.
pub struct Watch<'a> {
    /// Ends the schedule; what is in flight is still drained.
    pub stop: CancellationToken,
    /// Called at most ten times a second.
    pub on_progress: &'a mut (dyn FnMut(&Snapshot) + Send),
    /// Called with what each receiving thread recorded in about a second: response and service.
    pub on_interval: &'a mut (dyn FnMut(&Recorder) + Send),
}

/// What a run has measured; [`outcome`](crate::load::outcome) makes a result of it.
pub struct Measured {
    /// Which run.
    pub run: RunId,
    /// The process's clock.
    pub clock: Clock,
    /// The publishing side.
    pub phase: PhaseOutcome,
    /// Response and service of every delivery.
    pub recorder: Recorder,
    /// Each subscriber.
    pub subscribers: Vec<ConnectionReport<RunSink>>,
    /// The first subscriber's connection.
    pub subscriber_facts: Option<ConnectionFacts>,
    /// The first publisher's connection.
    pub publisher_facts: Option<ConnectionFacts>,
    /// How often the broker refused a message, and what it said.
    pub n_server_errors: u64,
    /// What the broker complained about on the publishing connections.
    pub publisher_texts: Vec<String>,
    /// Measured phase and drain, from the first due time.
    pub measured_ns: u64,
    /// Everything, from the first connection.
    pub total_ns: u64,
    /// When the run began.
    pub started: MonoNanos,
    /// The machine's time taken away.
    pub host: HostDelta,
    /// What an idle thread suffered meanwhile.
    pub hiccup: HiccupReport,
    /// Wall clock against monotonic clock at the end.
    pub clock_drift_ns: i64,
    /// Whether it was stopped before its time.
    pub is_interrupted: bool,
}

/// Runs it.
///
/// # Errors
/// When it cannot begin. Whatever goes wrong later is part of what was measured.
pub async fn run(plan: &LatencyPlan, mut watch: Watch<'_>) -> Result<Measured, RunError> {
    let clock = Clock::start();
    let started = clock.now();
    let run = RunId(rand::random());
    if plan.client == PublishClient::AsyncNats {
        async_client::check(&plan.publish_at.dial).map_err(LinkError::from)?;
    }
    let open = async {
        let receiving = Receiving::start(plan, run, clock).await?;
        let links = Links::open(
            &plan.publish_at,
            plan.client,
            plan.n_publishers.get(),
            &plan.rounds,
        );
        Ok::<_, RunError>((receiving, links.await?))
    };
    let (mut receiving, (links, publishers)) = unless_stopped(&watch.stop, Box::pin(open)).await?;
    let subscriber_facts = receiving.facts.take();
    let pacer = Pacer::start(publishers, Stamping { run, clock }, watch.stop.clone())
        .map_err(RunError::Pacer)?;

    warm_up(plan, &pacer, &mut receiving, &mut watch).await?;

    let host_before = HostSample::read();
    let meter = HiccupMeter::start();
    let phase_plan = phase_plan(plan, Phase::Measured, plan.duration);
    let mut phase = {
        let live = Arc::clone(pacer.live());
        let phase = pacer.run(phase_plan);
        receiving
            .watch_while(phase, &live, plan, "measuring", &mut watch)
            .await
            .ok_or(RunError::Died("pacing"))?
    };
    pacer
        .finish(vec![None; usize::from(plan.n_publishers.get())])
        .await;
    // What has arrived needs no confirmation, so only the subscribers are waited for.
    receiving.drain(&phase.streams, plan, &mut watch).await;
    let ended = clock.now();

    let (subscribers, recorder) = receiving.finish(&phase.streams, &mut watch).await?;
    let hiccup = meter.stop();
    let host = HostSample::read().since(&host_before);
    phase.note_lost(links.lost());
    let n_server_errors = links.report().n_server_errors();
    let publisher_texts = links.report().texts();
    let publisher_facts = links.facts.first().cloned();
    if !pacer.join() {
        return Err(RunError::Died("pacing"));
    }
    links.close(plan.drain).await;
    Ok(Measured {
        run,
        clock,
        measured_ns: ended.since(phase.started),
        total_ns: ended.since(started),
        started,
        phase,
        recorder,
        subscribers,
        subscriber_facts,
        publisher_facts,
        n_server_errors,
        publisher_texts,
        host,
        hiccup,
        clock_drift_ns: clock.drift_ns(),
        is_interrupted: watch.stop.is_cancelled(),
    })
}

/// Connects, unless the run is stopped first: there is nothing to wait for yet and nothing to report.
pub(crate) async fn unless_stopped<T, E>(
    stop: &CancellationToken,
    connecting: impl Future<Output = Result<T, E>>,
) -> Result<T, RunError>
where
    RunError: From<E>,
{
    // Dropping half-open connections is what is wanted here.
    tokio::select! {
        () = stop.cancelled() => Err(RunError::Stopped),
        opened = connecting => Ok(opened?),
    }
}

fn phase_plan(plan: &LatencyPlan, phase: Phase, duration: Duration) -> PhasePlan {
    PhasePlan {
        phase,
        pace: Pace::Schedule(Schedule::new(plan.rate)),
        tick_ns: tick_ns(plan.rate),
        extent: Extent::Duration(duration),
        give_up_after: plan.drain,
    }
}

/// Publishes without counting, then waits until the subscribers have it or the drain limit has passed, so that the
/// measured phase starts without debt.
async fn warm_up(
    plan: &LatencyPlan,
    pacer: &Pacer,
    receiving: &mut Receiving,
    watch: &mut Watch<'_>,
) -> Result<(), RunError> {
    if plan.warmup.is_zero() {
        return Ok(());
    }
    let live = Arc::clone(pacer.live());
    let phase = pacer.run(phase_plan(plan, Phase::WarmUp, plan.warmup));
    let outcome = receiving
        .watch_while(phase, &live, plan, "warming up", watch)
        .await
        .ok_or(RunError::Died("pacing"))?;
    let n_messages: u64 = outcome.streams.iter().map(|stream| stream.n_sent).sum();
    let n_expected = n_messages * u64::from(plan.n_subscribers.get());
    let all = async {
        while LiveReceived::get(&receiving.live.n_warmup) < n_expected {
            tokio::time::sleep(DRAIN_LOOK_PERIOD).await;
        }
    };
    // What is still missing after the limit is recognised by its phase, whenever it comes.
    let _ = tokio::time::timeout(plan.drain, all).await;
    Ok(())
}

/// The receiving threads of a run.
struct Receiving {
    threads: Vec<Receiver<Vec<ConnectionReport<RunSink>>>>,
    control: watch::Sender<Control>,
    snapshots: mpsc::Receiver<Recorder>,
    live: Arc<LiveReceived>,
    facts: Option<ConnectionFacts>,
    recorder: Recorder,
    /// Response percentiles of the last interval, for the live view.
    last_p50_ns: Option<i64>,
    last_p99_ns: Option<i64>,
}

/// What a subscriber of a run subscribes to.
fn subscriptions(plan: &LatencyPlan) -> Vec<Subscription> {
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
    async fn start(plan: &LatencyPlan, run: RunId, clock: Clock) -> Result<Self, RunError> {
        let (control, control_receiver) = watch::channel(Control::Run);
        let (snapshot_sender, snapshots) = mpsc::channel(16);
        let live = Arc::new(LiveReceived::default());
        let n_subscribers = usize::from(plan.n_subscribers.get());
        let n_cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let n_threads = n_subscribers.div_ceil(SUBSCRIBERS_PER_THREAD).min(n_cores);
        let mut threads = Vec::with_capacity(n_threads);
        let mut first_idx = 0;
        for thread_idx in 0..n_threads {
            let n_connections = (n_subscribers - first_idx).div_ceil(n_threads - thread_idx);
            let receiver_plan = ReceiverPlan {
                endpoint: plan.subscribe_at.clone(),
                first_idx,
                n_connections,
                subscriptions: subscriptions(plan),
            };
            let channels = Channels {
                control: control_receiver.clone(),
                snapshots: snapshot_sender.clone(),
                live: Arc::clone(&live),
            };
            let sink_live = Arc::clone(&live);
            threads.push(Receiver::start(receiver_plan, channels, move |_| {
                RunSink::new(run, clock, Arc::clone(&sink_live))
            })?);
            first_idx += n_connections;
        }
        let mut facts = None;
        for thread in &mut threads {
            let ready = thread.ready().await?;
            facts = facts.or_else(|| ready.into_iter().next().map(|first| first.facts));
        }
        let recorder = Recorder::new();
        Ok(Self {
            threads,
            control,
            snapshots,
            live,
            facts,
            recorder,
            last_p50_ns: None,
            last_p99_ns: None,
        })
    }

    /// Takes what the threads have swapped out.
    fn take_snapshots(&mut self, watch: &mut Watch<'_>) {
        while let Ok(interval) = self.snapshots.try_recv() {
            self.merge(&interval, watch);
        }
    }

    fn merge(&mut self, interval: &Recorder, watch: &mut Watch<'_>) {
        if !interval.response.is_empty() {
            self.last_p50_ns = interval.response.percentile_ns(0.5);
            self.last_p99_ns = interval.response.percentile_ns(0.99);
            (watch.on_interval)(interval);
        }
        self.recorder.merge(interval);
    }

    /// Waits for a phase and keeps the live view going.
    async fn watch_while<T>(
        &mut self,
        work: impl Future<Output = T>,
        live: &LiveSent,
        plan: &LatencyPlan,
        phase: &'static str,
        watch: &mut Watch<'_>,
    ) -> T {
        let mut work = std::pin::pin!(work);
        let mut look = tokio::time::interval(LOOK_PERIOD);
        let began = crate::clock::mono_now();
        loop {
            // Both are cancel-safe: `work` is only borrowed.
            tokio::select! {
                done = &mut work => {
                    self.take_snapshots(watch);
                    return done;
                }
                _ = look.tick() => {
                    self.take_snapshots(watch);
                    let elapsed_ns = crate::clock::mono_now().since(began);
                    (watch.on_progress)(&self.snapshot(live, plan, phase, elapsed_ns));
                }
            }
        }
    }

    fn snapshot(
        &self,
        live: &LiveSent,
        plan: &LatencyPlan,
        phase: &'static str,
        elapsed_ns: u64,
    ) -> Snapshot {
        let n_rounds = live.n_rounds();
        let is_warmup = phase == "warming up";
        let length = if is_warmup {
            plan.warmup
        } else {
            plan.duration
        };
        let received = if is_warmup {
            &self.live.n_warmup
        } else {
            &self.live.n_received
        };
        let per_round =
            u64::from(plan.rounds.route.subjects_per_round()) * u64::from(plan.n_subscribers.get());
        let secs = elapsed_ns as f64 / NANOS_PER_SEC as f64;
        Snapshot {
            elapsed_ns,
            phase: phase.to_owned(),
            sent: n_rounds,
            expected: Some(n_rounds * per_round),
            received: LiveReceived::get(received),
            lost: None,
            rate_per_s: if secs > 0.0 {
                n_rounds as f64 / secs
            } else {
                0.0
            },
            p50_ns: self.last_p50_ns,
            p99_ns: self.last_p99_ns,
            fraction: Some((secs / length.as_secs_f64()).min(1.0)),
        }
    }

    /// Waits until every subscriber has everything, or the limit has passed.
    async fn drain(&mut self, streams: &[StreamSent], plan: &LatencyPlan, watch: &mut Watch<'_>) {
        // A receiver that is gone cannot be told; it has ended and is counted.
        let _ = self
            .control
            .send(Control::Announce(Arc::new(streams.to_vec())));
        let all = async {
            loop {
                self.take_snapshots(watch);
                let is_settled = |counter: &AtomicU64| LiveReceived::get(counter);
                let n_settled = is_settled(&self.live.n_complete) + is_settled(&self.live.n_ended);
                if n_settled >= u64::from(plan.n_subscribers.get()) {
                    return;
                }
                tokio::time::sleep(DRAIN_LOOK_PERIOD).await;
            }
        };
        // What is missing after the limit is lost.
        let _ = tokio::time::timeout(plan.drain, all).await;
    }

    /// Stops the threads and takes what they have.
    async fn finish(
        mut self,
        streams: &[StreamSent],
        watch: &mut Watch<'_>,
    ) -> Result<(Vec<ConnectionReport<RunSink>>, Recorder), RunError> {
        let _ = self.control.send(Control::Stop);
        // The channel closes when the last thread has sent its last interval.
        while let Some(interval) = self.snapshots.recv().await {
            self.merge(&interval, watch);
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
