//! A `pub` run: publish rounds, say how many, and have the broker confirm that it has them.

use std::sync::Arc;

use crate::clock::mono_now;
use crate::load::links::{LinkError, Links, LinksPlan};
use crate::load::pacer::{FinalMessages, LiveSent, Pace, Pacer, PhaseOutcome, PhasePlan, tick_ns};
use crate::load::plan::{Extent, PublishClient, PublishPlan};
use crate::load::publisher::Stamping;
use crate::load::run::{Counts, LOOK_PERIOD, Run, RunError, RunFacts, Watch};
use crate::measure::end_of_run::{EndOfRun, MAX_DOUBTS, StreamEnd};
use crate::measure::in_doubt::InDoubt;
use crate::measure::schedule::Schedule;
use crate::measure::stamp::Phase;
use crate::net::async_client;
use crate::net::dial::ConnectionFacts;
use crate::report::progress::Snapshot;
use crate::units::{NANOS_PER_SEC, RateLimit};

const PUBLISHING: &str = "publishing";

/// What a `pub` run did.
pub struct Published {
    /// What is known of every run.
    pub run: RunFacts,
    /// What was sent.
    pub phase: PhaseOutcome,
    /// Messages of which nobody knows whether the broker has had them.
    pub in_doubt: InDoubt,
    /// Connections that are gone for good, with the reason.
    pub failures: Vec<(usize, String)>,
    /// Whether the broker has answered a PING behind the last message of every connection.
    pub is_confirmed: bool,
    /// The first connection.
    pub facts: Option<ConnectionFacts>,
    /// How often the broker refused a message.
    pub n_server_errors: u64,
    /// What went wrong, the first few different texts.
    pub texts: Vec<String>,
}

/// Runs it.
///
/// # Errors
/// When it cannot begin. Whatever goes wrong later is part of the result.
pub async fn run(plan: &PublishPlan, watch: Watch<'_>) -> Result<Published, RunError> {
    let mut run = Run::begin(watch);
    if plan.client == PublishClient::AsyncNats {
        async_client::check(&plan.endpoint.dial).map_err(LinkError::from)?;
    }
    let links_plan = LinksPlan {
        endpoint: &plan.endpoint,
        client: plan.client,
        n_connections: plan.n_connections.get(),
        rounds: &plan.rounds,
        while_down: plan.while_down,
    };
    let open = Links::open(&links_plan, &run.board);
    let (links, publishers) = run.unless_stopped(Box::pin(open)).await?;
    let stamping = Stamping {
        run: run.id,
        clock: run.clock,
    };
    let pacer =
        Pacer::start(publishers, stamping, run.interrupt.clone()).map_err(RunError::Pacer)?;
    run.begin_measuring();

    let phase = publish(plan, &pacer, &mut run).await?;
    pacer.finish(final_messages(plan, &run, &phase)).await;
    let interrupt = run.interrupt.clone();
    let confirmed = interrupt.unless_left(links.confirmed(plan.drain));
    let is_confirmed = confirmed.await.unwrap_or(false);
    let settled = pacer.settle().await;
    // Taken before the connections are closed: that is no outage.
    let facts = run.facts();

    let n_server_errors = links.report().n_server_errors();
    let texts = links.report().texts();
    let first = links.facts.first().cloned();
    if !pacer.join() {
        return Err(RunError::Died("pacing"));
    }
    let _ = interrupt.unless_left(links.close(plan.drain)).await;
    run.close();
    Ok(Published {
        run: facts,
        phase,
        in_doubt: InDoubt::new(settled.in_doubt),
        failures: settled.failures,
        is_confirmed,
        facts: first,
        n_server_errors,
        texts,
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
fn final_messages(plan: &PublishPlan, run: &Run<'_>, phase: &PhaseOutcome) -> FinalMessages {
    let started_ns = run.clock.wall_at(phase.started).0;
    let message_of = |publisher: u16| {
        let streams = phase
            .streams
            .iter()
            .filter(|stream| stream.publisher == publisher);
        let streams = streams.map(|stream| {
            let is_own = |range: &&crate::measure::deliveries::SeqRange| {
                (range.publisher, range.stream) == (publisher, stream.stream)
            };
            let doubts = phase.in_doubt.iter().filter(is_own);
            StreamEnd {
                stream: stream.stream,
                subject: stream.subject.clone(),
                n_sent: stream.n_sent,
                in_doubt: doubts
                    .map(|range| (range.from, range.to))
                    .take(MAX_DOUBTS)
                    .collect(),
            }
        });
        let message = EndOfRun::new(run.id, publisher, started_ns, streams.collect());
        (message.subject(), message.to_json())
    };
    (0..plan.n_connections.get())
        .map(|publisher| plan.rounds.is_stamped.then(|| message_of(publisher)))
        .collect()
}

/// Runs the phase and keeps everybody informed meanwhile.
async fn publish(
    plan: &PublishPlan,
    pacer: &Pacer,
    run: &mut Run<'_>,
) -> Result<PhaseOutcome, RunError> {
    let live = Arc::clone(pacer.live());
    let mut work = std::pin::pin!(pacer.run(phase_plan(plan)));
    let mut look = tokio::time::interval(LOOK_PERIOD);
    let began = mono_now();
    let phase = loop {
        // Both are cancel-safe: `work` is only borrowed.
        tokio::select! {
            done = &mut work => break done.ok_or(RunError::Died("pacing"))?,
            _ = look.tick() => {}
        }
        run.look(PUBLISHING, counts(&live, plan));
        run.show(&snapshot(live.n_rounds(), plan, mono_now().since(began)));
    };
    run.end_phase(PUBLISHING, counts(&live, plan));
    Ok(phase)
}

fn counts(live: &LiveSent, plan: &PublishPlan) -> Counts {
    let has_schedule = matches!(plan.rate, RateLimit::PerSecond(_));
    Counts {
        due: has_schedule.then(|| live.n_due()),
        sent: Some(live.n_rounds()),
        skipped: has_schedule.then(|| live.n_skipped()),
        ..Counts::default()
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
        phase: PUBLISHING.to_owned(),
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
