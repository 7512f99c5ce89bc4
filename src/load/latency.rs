//! A `latency` run: subscribe, publish on a schedule, drain, and account for every delivery.
//!
//! Phases: connect and subscribe everything; warm-up, which counts for nothing, and its drain; the measured
//! phase on a schedule of its own; drain until every subscriber has everything or the limit has passed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::clock::mono_now;
use crate::load::accounting::RunSink;
use crate::load::links::{LinkError, Links, LinksPlan};
use crate::load::outcome;
use crate::load::pacer::{LiveSent, Pace, Pacer, PhaseOutcome, PhasePlan, Settled, tick_ns};
use crate::load::plan::{Extent, LatencyPlan, PublishClient};
use crate::load::publisher::Stamping;
use crate::load::receiver::{ConnectionReport, LiveReceived};
use crate::load::receiving::{DRAIN_LOOK_PERIOD, Receiving};
use crate::load::run::{Counts, LOOK_PERIOD, Run, RunError, RunFacts, Watch};
use crate::measure::in_doubt::InDoubt;
use crate::measure::recorder::Recorder;
use crate::measure::schedule::Schedule;
use crate::measure::stamp::Phase;
use crate::net::async_client;
use crate::net::dial::ConnectionFacts;
use crate::report::progress::Snapshot;
use crate::units::NANOS_PER_SEC;

const WARMING_UP: &str = "warming up";
const MEASURING: &str = "measuring";
const DRAINING: &str = "draining";

/// What a run has measured; [`outcome`] makes a result of it.
pub struct Measured {
    /// What is known of every run.
    pub run: RunFacts,
    /// The publishing side.
    pub phase: PhaseOutcome,
    /// Response and service of every delivery.
    pub recorder: Recorder,
    /// Each subscriber.
    pub subscribers: Vec<ConnectionReport<RunSink>>,
    /// Messages of which nobody knows whether the broker has had them.
    pub in_doubt: InDoubt,
    /// Publishing connections that are gone for good, with the reason.
    pub failures: Vec<(usize, String)>,
    /// The first subscriber's connection.
    pub subscriber_facts: Option<ConnectionFacts>,
    /// The first publisher's connection.
    pub publisher_facts: Option<ConnectionFacts>,
    /// How often the broker refused a message, and what it said.
    pub n_server_errors: u64,
    /// What the broker complained about on the publishing connections.
    pub publisher_texts: Vec<String>,
}

/// What a run has measured so far, in the middle of it: only what can be had without stopping anybody.
pub struct SoFar<'a> {
    /// What is known of the run.
    pub run: RunFacts,
    /// Rounds due, sent, and left out.
    pub sent: &'a LiveSent,
    /// Counters of the subscribers.
    pub received: &'a LiveReceived,
    /// Response and service of every delivery.
    pub recorder: &'a Recorder,
    /// The first subscriber's connection.
    pub subscriber_facts: Option<&'a ConnectionFacts>,
    /// The first publisher's connection.
    pub publisher_facts: Option<&'a ConnectionFacts>,
    /// Since the measured phase began.
    pub measured_ns: u64,
}

/// The parts of a run that is going on.
struct Parts<'a> {
    plan: &'a LatencyPlan,
    links: Links,
    pacer: Pacer,
    receiving: Receiving,
}

/// Runs it.
///
/// # Errors
/// When it cannot begin. Whatever goes wrong later is part of what was measured.
pub async fn run(plan: &LatencyPlan, watch: Watch<'_>) -> Result<Measured, RunError> {
    let mut run = Run::begin(watch);
    let mut parts = run
        .unless_stopped(Box::pin(Parts::open(plan, &run)))
        .await?;
    parts.warm_up(&mut run).await?;
    run.reset_counts();
    run.begin_measuring();
    let phase = parts.phase(MEASURING, plan.duration, &mut run).await?;
    parts.drain(&phase, &mut run).await;
    let settled = parts.pacer.settle().await;
    // Taken before the connections are closed: that is no outage.
    let facts = run.facts();
    parts.finish(phase, settled, facts, run).await
}

impl<'a> Parts<'a> {
    async fn open(plan: &'a LatencyPlan, run: &Run<'_>) -> Result<Self, RunError> {
        if plan.client == PublishClient::AsyncNats {
            async_client::check(&plan.publish_at.dial).map_err(LinkError::from)?;
        }
        let receiving = Receiving::start(plan, run).await?;
        let links_plan = LinksPlan {
            endpoint: &plan.publish_at,
            client: plan.client,
            n_connections: plan.n_publishers.get(),
            rounds: &plan.rounds,
            while_down: plan.while_down,
        };
        let (links, publishers) = Links::open(&links_plan, &run.board).await?;
        let stamping = Stamping {
            run: run.id,
            clock: run.clock,
        };
        let pacer =
            Pacer::start(publishers, stamping, run.interrupt.clone()).map_err(RunError::Pacer)?;
        Ok(Self {
            plan,
            links,
            pacer,
            receiving,
        })
    }

    /// Publishes without counting, then waits until the subscribers have it or the drain limit has passed, so that the
    /// measured phase starts without debt.
    async fn warm_up(&mut self, run: &mut Run<'_>) -> Result<(), RunError> {
        if self.plan.warmup.is_zero() {
            return Ok(());
        }
        let outcome = self.phase(WARMING_UP, self.plan.warmup, run).await?;
        let n_messages: u64 = outcome.streams.iter().map(|stream| stream.n_sent).sum();
        let n_expected = n_messages * u64::from(self.plan.n_subscribers.get());
        let live = Arc::clone(&self.receiving.live);
        // What is still missing after the limit is recognised by its phase, whenever it comes.
        self.wait(WARMING_UP, run, |_| {
            LiveReceived::get(&live.n_warmup) >= n_expected
        })
        .await;
        Ok(())
    }

    /// Runs a phase of the pacing thread and keeps everybody informed meanwhile.
    async fn phase(
        &mut self,
        name: &'static str,
        length: Duration,
        run: &mut Run<'_>,
    ) -> Result<PhaseOutcome, RunError> {
        let is_measured = name == MEASURING;
        let phase_plan = PhasePlan {
            phase: if is_measured {
                Phase::Measured
            } else {
                Phase::WarmUp
            },
            pace: Pace::Schedule(Schedule::new(self.plan.rate)),
            tick_ns: tick_ns(self.plan.rate),
            extent: Extent::Duration(length),
            give_up_after: self.plan.drain,
        };
        let began = mono_now();
        let live = Arc::clone(self.pacer.live());
        let mut work = std::pin::pin!(self.pacer.run(phase_plan));
        let mut look = tokio::time::interval(LOOK_PERIOD);
        let outcome = loop {
            // Both are cancel-safe: `work` is only borrowed.
            tokio::select! {
                done = &mut work => break done.ok_or(RunError::Died("pacing"))?,
                _ = look.tick() => {}
            }
            self.receiving.take_snapshots(run);
            let elapsed_ns = mono_now().since(began);
            run.look(name, counts(&live, &self.receiving.live, is_measured));
            run.show(&snapshot(
                &live,
                &self.receiving,
                self.plan,
                name,
                elapsed_ns,
            ));
            if is_measured && run.is_checkpoint_due() {
                let so_far = SoFar {
                    run: run.facts_so_far(),
                    sent: &live,
                    received: &self.receiving.live,
                    recorder: &self.receiving.recorder,
                    subscriber_facts: self.receiving.facts.as_ref(),
                    publisher_facts: self.links.facts.first(),
                    measured_ns: elapsed_ns,
                };
                let result = outcome::of_latency_so_far(self.plan, &so_far);
                run.checkpoint(result);
            }
            if LiveReceived::get(&self.receiving.live.n_ended)
                >= u64::from(self.plan.n_subscribers.get())
            {
                // Nobody is there any more to measure anything.
                run.end_by_loss();
            }
        };
        self.receiving.take_snapshots(run);
        run.end_phase(name, counts(&live, &self.receiving.live, is_measured));
        Ok(outcome)
    }

    /// Waits until every subscriber has everything, or the limit has passed.
    async fn drain(&mut self, phase: &PhaseOutcome, run: &mut Run<'_>) {
        self.pacer
            .finish(vec![None; usize::from(self.plan.n_publishers.get())])
            .await;
        self.receiving.announce(&phase.streams);
        // What has arrived needs no confirmation, so only the subscribers are waited for. What is missing after the limit is
        // lost, or in doubt.
        let n_subscribers = u64::from(self.plan.n_subscribers.get());
        self.wait(DRAINING, run, |receiving| {
            receiving.n_settled() >= n_subscribers
        })
        .await;
    }

    /// Waits for a condition, up to the drain limit.
    async fn wait(
        &mut self,
        phase: &'static str,
        run: &mut Run<'_>,
        is_met: impl Fn(&Receiving) -> bool,
    ) {
        let interrupt = run.interrupt.clone();
        let live = Arc::clone(self.pacer.live());
        let is_measured = phase != WARMING_UP;
        let receiving = &mut self.receiving;
        let all = async {
            while !is_met(receiving) {
                receiving.take_snapshots(run);
                run.look(phase, counts(&live, &receiving.live, is_measured));
                tokio::time::sleep(DRAIN_LOOK_PERIOD).await;
            }
        };
        let limited = tokio::time::timeout(self.plan.drain, all);
        let _ = interrupt.unless_left(limited).await;
        receiving.take_snapshots(run);
        run.end_phase(phase, counts(&live, &receiving.live, is_measured));
    }

    async fn finish(
        self,
        phase: PhaseOutcome,
        settled: Settled,
        facts: RunFacts,
        mut run: Run<'_>,
    ) -> Result<Measured, RunError> {
        let subscriber_facts = self.receiving.facts.clone();
        let (sent, received) = (
            Arc::clone(self.pacer.live()),
            Arc::clone(&self.receiving.live),
        );
        let (subscribers, recorder) = self.receiving.finish(&phase.streams, &mut run).await?;
        // What came behind the drain limit, and before the subscribers were told to end.
        run.end_phase(DRAINING, counts(&sent, &received, true));
        let mut in_doubt = InDoubt::new(settled.in_doubt);
        // A library sends over as many connections as it takes, and does not say where one ends.
        if self.plan.client == PublishClient::Raw {
            for report in &subscribers {
                in_doubt.confirm_by(report.sink.deliveries());
            }
        }
        let report = self.links.report();
        let (n_server_errors, publisher_texts) = (report.n_server_errors(), report.texts());
        let publisher_facts = self.links.facts.first().cloned();
        if !self.pacer.join() {
            return Err(RunError::Died("pacing"));
        }
        let closing = self.links.close(self.plan.drain);
        let interrupt = run.interrupt.clone();
        let _ = interrupt.unless_left(closing).await;
        run.close();
        Ok(Measured {
            run: facts,
            phase,
            recorder,
            subscribers,
            in_doubt,
            failures: settled.failures,
            subscriber_facts,
            publisher_facts,
            n_server_errors,
            publisher_texts,
        })
    }
}

fn counts(live: &LiveSent, received: &LiveReceived, is_measured: bool) -> Counts {
    Counts {
        due: Some(live.n_due()),
        sent: Some(live.n_rounds()),
        skipped: Some(live.n_skipped()),
        received: LiveReceived::get(if is_measured {
            &received.n_received
        } else {
            &received.n_warmup
        }),
        missing: received.n_missing.load(Ordering::Relaxed),
    }
}

fn snapshot(
    live: &LiveSent,
    receiving: &Receiving,
    plan: &LatencyPlan,
    phase: &'static str,
    elapsed_ns: u64,
) -> Snapshot {
    let n_rounds = live.n_rounds();
    let is_warmup = phase == WARMING_UP;
    let length = if is_warmup {
        plan.warmup
    } else {
        plan.duration
    };
    let received = if is_warmup {
        &receiving.live.n_warmup
    } else {
        &receiving.live.n_received
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
        lost: u64::try_from(receiving.n_missing()).ok(),
        rate_per_s: if secs > 0.0 {
            n_rounds as f64 / secs
        } else {
            0.0
        },
        p50_ns: receiving.last_p50_ns,
        p99_ns: receiving.last_p99_ns,
        fraction: Some((secs / length.as_secs_f64()).min(1.0)),
    }
}
