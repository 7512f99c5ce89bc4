//! A `pub` run: publish rounds, say how many, and have the broker confirm that it has them.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, MonoNanos};
use crate::host::{HiccupMeter, HiccupReport, HostDelta, HostSample};
use crate::load::latency::{RunError, Watch, unless_stopped};
use crate::load::links::{LinkError, Links};
use crate::load::pacer::{FinalMessages, LiveSent, Pace, Pacer, PhaseOutcome, PhasePlan, tick_ns};
use crate::load::plan::{Extent, PublishClient, PublishPlan};
use crate::load::publisher::Stamping;
use crate::measure::end_of_run::{EndOfRun, StreamEnd};
use crate::measure::schedule::Schedule;
use crate::measure::stamp::{Phase, RunId};
use crate::net::async_client;
use crate::net::dial::ConnectionFacts;
use crate::report::progress::Snapshot;
use crate::units::{NANOS_PER_SEC, RateLimit};

/// How often progress is looked at.
const LOOK_PERIOD: Duration = Duration::from_millis(100);

/// What a `pub` run did.
pub struct Published {
    /// Which run.
    pub run: RunId,
    /// The process's clock.
    pub clock: Clock,
    /// What was sent.
    pub phase: PhaseOutcome,
    /// Whether the broker has answered a PING behind the last message of every connection.
    pub is_confirmed: bool,
    /// The first connection.
    pub facts: Option<ConnectionFacts>,
    /// How often the broker refused a message.
    pub n_server_errors: u64,
    /// What went wrong, the first few different texts.
    pub texts: Vec<String>,
    /// When the run began.
    pub started: MonoNanos,
    /// Everything, from the first connection.
    pub total_ns: u64,
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
/// When it cannot begin. Whatever goes wrong later is part of the result.
pub async fn run(plan: &PublishPlan, watch: Watch<'_>) -> Result<Published, RunError> {
    let clock = Clock::start();
    let started = clock.now();
    let run = RunId(rand::random());
    if plan.client == PublishClient::AsyncNats {
        async_client::check(&plan.endpoint.dial).map_err(LinkError::from)?;
    }
    let open = Links::open(
        &plan.endpoint,
        plan.client,
        plan.n_connections.get(),
        &plan.rounds,
    );
    let (links, publishers) = unless_stopped(&watch.stop, Box::pin(open)).await?;
    let pacer = Pacer::start(publishers, Stamping { run, clock }, watch.stop.clone())
        .map_err(RunError::Pacer)?;
    let host_before = HostSample::read();
    let meter = HiccupMeter::start();

    let live = Arc::clone(pacer.live());
    let mut phase = watch_while(pacer.run(phase_plan(plan)), &live, plan, watch.on_progress)
        .await
        .ok_or(RunError::Died("pacing"))?;
    pacer
        .finish(final_messages(plan, run, &clock, &phase))
        .await;
    let is_confirmed = links.confirmed(plan.drain).await;

    let hiccup = meter.stop();
    let host = HostSample::read().since(&host_before);
    phase.note_lost(links.lost());
    let n_server_errors = links.report().n_server_errors();
    let texts = links.report().texts();
    let facts = links.facts.first().cloned();
    if !pacer.join() {
        return Err(RunError::Died("pacing"));
    }
    links.close(plan.drain).await;
    Ok(Published {
        run,
        clock,
        total_ns: clock.now().since(started),
        phase,
        is_confirmed,
        facts,
        n_server_errors,
        texts,
        started,
        host,
        hiccup,
        clock_drift_ns: clock.drift_ns(),
        is_interrupted: watch.stop.is_cancelled(),
    })
}

fn phase_plan(plan: &PublishPlan) -> PhasePlan {
    let (pace, tick_ns) = match plan.rate {
        RateLimit::PerSecond(rate) => (Pace::Schedule(Schedule::new(rate)), tick_ns(rate)),
        RateLimit::Max => (Pace::BackToBack, None),
    };
    PhasePlan {
        phase: Phase::Measured,
        pace,
        tick_ns,
        extent: plan.extent,
        give_up_after: plan.drain,
    }
}

/// One end-of-run message for each connection.
fn final_messages(
    plan: &PublishPlan,
    run: RunId,
    clock: &Clock,
    phase: &PhaseOutcome,
) -> FinalMessages {
    let started_ns = clock.wall_at(phase.started).0;
    let message_of = |publisher: u16| {
        let streams = phase
            .streams
            .iter()
            .filter(|stream| stream.publisher == publisher);
        let streams = streams.map(|stream| StreamEnd {
            stream: stream.stream,
            subject: stream.subject.clone(),
            n_sent: stream.n_sent,
        });
        let message = EndOfRun::new(run, publisher, started_ns, streams.collect());
        (message.subject(), message.to_json())
    };
    (0..plan.n_connections.get())
        .map(|publisher| plan.rounds.is_stamped.then(|| message_of(publisher)))
        .collect()
}

async fn watch_while<T>(
    work: impl Future<Output = T>,
    live: &LiveSent,
    plan: &PublishPlan,
    on_progress: &mut (dyn FnMut(&Snapshot) + Send),
) -> T {
    let mut work = std::pin::pin!(work);
    let mut look = tokio::time::interval(LOOK_PERIOD);
    let began = crate::clock::mono_now();
    loop {
        // Both are cancel-safe: `work` is only borrowed.
        tokio::select! {
            done = &mut work => return done,
            _ = look.tick() => on_progress(&snapshot(live.n_rounds(), plan, crate::clock::mono_now().since(began))),
        }
    }
}

fn snapshot(n_rounds: u64, plan: &PublishPlan, elapsed_ns: u64) -> Snapshot {
    let secs = elapsed_ns as f64 / NANOS_PER_SEC as f64;
    let fraction = match plan.extent {
        Extent::Duration(duration) => Some((secs / duration.as_secs_f64()).min(1.0)),
        Extent::Rounds(n) => Some((n_rounds as f64 / n.max(1) as f64).min(1.0)),
        Extent::Endless => None,
    };
    Snapshot {
        elapsed_ns,
        phase: "publishing".to_owned(),
        sent: n_rounds,
        expected: None,
        received: 0,
        lost: None,
        rate_per_s: if secs > 0.0 {
            n_rounds as f64 / secs
        } else {
            0.0
        },
        p50_ns: None,
        p99_ns: None,
        fraction,
    }
}
