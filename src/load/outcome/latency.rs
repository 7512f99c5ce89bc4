//! The result of a `latency` run, and of one that has not ended yet.

use std::collections::BTreeMap;

use crate::load::accounting::{RunSink, SinkCounts};
use crate::load::latency::{Measured, SoFar};
use crate::load::pacer::tick_ns;
use crate::load::plan::LatencyPlan;
use crate::load::receiver::{ConnectionReport, LiveReceived};
use crate::measure::recorder::Recorder;
use crate::measure::schedule::Schedule;
use crate::measure::slo;
use crate::results::outages::{Outage, Role};
use crate::results::{
    Ended, LatencyResult, Load, RateResult, RunResult, SloResult, SubscriberLoad, Verdict,
};
use crate::units::format_duration;

use super::doubts::Doubts;
use super::parts::{
    TrustFacts, bars_of, connection_of, environment, n_messages, not_sent, note_cost, outages_of,
    paced_ns, per_s, ratio, rfc3339, rounds_settings, sent_streams, stats_of, trust_of,
};
use super::verdict::{ended, judged, overall};

/// The result of a `latency` run.
pub fn of_latency(plan: &LatencyPlan, measured: &Measured) -> RunResult {
    let load = latency_load(plan, measured);
    let lateness = measured.phase.lateness.all();
    let counts = measured
        .subscribers
        .iter()
        .fold(SinkCounts::default(), |mut sum, report| {
            sum.add(report.sink.counts());
            sum
        });
    let doubts = doubts_of(measured, &counts, load.in_doubt.unwrap_or(0));
    let observations = slo::Observations {
        response: Some(&measured.recorder.response),
        service: Some(&measured.recorder.service),
        lateness: Some(&lateness),
        planned: load.planned,
        sent: load.sent,
        expected: load.expected,
        received: Some(load.received),
        lost: load.lost,
        in_doubt: load.in_doubt.unwrap_or(0),
        duplicated: Some(load.duplicated),
        reordered: Some(load.reordered),
        undecodable: Some(load.undecodable),
        rate_ratio: ratio(measured.phase.n_sent, measured.phase.n_planned),
        doubts: doubts.for_objectives.clone(),
    };
    let slo: Vec<SloResult> = plan
        .objectives
        .iter()
        .map(|objective| judged(objective, &observations))
        .collect();
    let ended = ended(measured.run.is_interrupted, doubts.is_connection_lost);
    let paced_ns = paced_ns(&measured.phase, Some(Schedule::new(plan.rate)), ended);
    let rate = RateResult {
        target_per_s: Some(plan.rate.per_s()),
        sent_per_s: per_s(measured.phase.n_sent, paced_ns),
        received_per_s: per_s(load.received, paced_ns),
    };
    let (verdict, reasons) = overall(&slo, &load, &doubts, ended);
    let outages = outages(plan, measured);
    RunResult {
        schema: crate::results::SCHEMA.to_owned(),
        command: "latency".to_owned(),
        verdict,
        reasons,
        ended,
        slo,
        histogram: bars_of(&measured.recorder.response),
        load,
        rate,
        latency: Some(LatencyResult {
            lateness: stats_of(&lateness),
            ..latency_of(&measured.recorder)
        }),
        connection: connection_of(
            &plan.subscribe_at,
            measured.subscriber_facts.as_ref(),
            "raw",
            (Role::Subscriber, &outages),
        ),
        publisher_connection: connection_of(
            &plan.publish_at,
            measured.publisher_facts.as_ref(),
            plan.client.name(),
            (Role::Publisher, &outages),
        ),
        trust: trust_of(&TrustFacts {
            phase: Some(&measured.phase),
            lateness: Some(&lateness),
            tick_ns: tick_ns(plan.rate),
            run: &measured.run,
            counts: Some(&counts),
            doubts: doubts.sentences,
        }),
        environment: environment(),
        settings: settings_of(plan),
        started_at: rfc3339(&measured.run.clock, measured.run.started),
        duration_ns: measured.run.total_ns,
        outages,
        n_outages: measured.run.n_outages,
    }
}

/// What is known of a `latency` run that goes on: totals, without what only its end can tell.
pub fn of_latency_so_far(plan: &LatencyPlan, so_far: &SoFar<'_>) -> RunResult {
    let per_round = u64::from(plan.rounds.route.subjects_per_round());
    let sent = so_far.sent.n_rounds() * per_round;
    let skipped = so_far.sent.n_skipped() * per_round;
    let received = so_far.received;
    let duplicated = LiveReceived::get(&received.n_duplicated);
    let load = Load {
        planned: Some(so_far.sent.n_due() * per_round),
        sent: Some(sent),
        skipped: Some(skipped),
        expected: Some(sent * u64::from(plan.n_subscribers.get())),
        received: LiveReceived::get(&received.n_received).saturating_sub(duplicated),
        duplicated,
        reordered: LiveReceived::get(&received.n_reordered),
        ..Load::default()
    };
    let outages = outages_of(&so_far.run, per_round);
    let rate = RateResult {
        target_per_s: Some(plan.rate.per_s()),
        sent_per_s: per_s(so_far.sent.n_rounds(), so_far.measured_ns),
        received_per_s: per_s(load.received, so_far.measured_ns),
    };
    RunResult {
        schema: crate::results::SCHEMA.to_owned(),
        command: "latency".to_owned(),
        verdict: Verdict::Inconclusive,
        reasons: vec!["the run had not ended when this was written".to_owned()],
        ended: Ended::Unfinished,
        slo: Vec::new(),
        histogram: bars_of(&so_far.recorder.response),
        load,
        rate,
        latency: Some(latency_of(so_far.recorder)),
        connection: connection_of(
            &plan.subscribe_at,
            so_far.subscriber_facts,
            "raw",
            (Role::Subscriber, &outages),
        ),
        publisher_connection: connection_of(
            &plan.publish_at,
            so_far.publisher_facts,
            plan.client.name(),
            (Role::Publisher, &outages),
        ),
        trust: trust_of(&TrustFacts {
            phase: None,
            lateness: None,
            tick_ns: tick_ns(plan.rate),
            run: &so_far.run,
            counts: None,
            doubts: Vec::new(),
        }),
        environment: environment(),
        settings: settings_of(plan),
        started_at: rfc3339(&so_far.run.clock, so_far.run.started),
        duration_ns: so_far.run.total_ns,
        outages,
        n_outages: so_far.run.n_outages,
    }
}

fn latency_of(recorder: &Recorder) -> LatencyResult {
    LatencyResult {
        response: stats_of(&recorder.response),
        service: stats_of(&recorder.service),
        lateness: None,
    }
}

fn settings_of(plan: &LatencyPlan) -> BTreeMap<String, String> {
    let mut settings = rounds_settings(&plan.rounds);
    let mut set = |key: &str, value: String| _ = settings.insert(key.to_owned(), value);
    set("rate", plan.rate.to_string());
    set("duration", format_duration(plan.duration));
    set("warmup", format_duration(plan.warmup));
    set("publishers", plan.n_publishers.to_string());
    set("subscribers", plan.n_subscribers.to_string());
    settings
}

/// What speaks against the numbers of a `latency` run.
fn doubts_of(measured: &Measured, counts: &SinkCounts, n_in_doubt: u64) -> Doubts {
    let n_unattributed = measured
        .subscribers
        .iter()
        .map(|report| report.sink.deliveries().totals().n_unattributed())
        .sum();
    let mut doubts = Doubts::default();
    doubts.of_generator(&measured.phase, Some(&measured.recorder.response));
    doubts.of_clock(&measured.run);
    doubts.of_stamps(counts);
    doubts.of_unattributed(n_unattributed);
    doubts.of_negatives(&measured.recorder);
    doubts.of_refusals(measured.n_server_errors, &measured.publisher_texts);
    doubts.of_in_doubt(n_in_doubt);
    doubts.of_events(&measured.run);
    doubts.of_subscribers(&measured.subscribers);
    for (idx, reason) in &measured.failures {
        doubts.of_connection("publisher", *idx, reason);
    }
    doubts
}

/// The outages, with what each has cost.
fn outages(plan: &LatencyPlan, measured: &Measured) -> Vec<Outage> {
    let per_round = u64::from(plan.rounds.route.subjects_per_round());
    let mut outages = outages_of(&measured.run, per_round);
    for report in &measured.subscribers {
        let missing = report.sink.missing_by_outage();
        for (id, ranges) in report.outages.iter().zip(missing) {
            let n_missing: u64 = ranges.iter().map(|range| range.to - range.from).sum();
            let in_doubt = ranges.iter().map(|range| measured.in_doubt.n_within(range));
            let n_in_doubt: u64 = in_doubt.sum();
            note_cost(&mut outages, *id, n_missing - n_in_doubt, n_in_doubt);
        }
    }
    outages
}

/// Planned, sent and delivered messages of a `latency` run.
fn latency_load(plan: &LatencyPlan, measured: &Measured) -> Load {
    let n_subscribers = u64::from(plan.n_subscribers.get());
    let per_round = u64::from(plan.rounds.route.subjects_per_round());
    let sent = n_messages(&measured.phase);
    let expected = sent * n_subscribers;
    let mut load = Load {
        planned: Some(measured.phase.n_planned * per_round),
        sent: Some(sent),
        skipped: Some(measured.phase.n_skipped * per_round),
        not_sent: Some(not_sent(&measured.phase, per_round)),
        expected: Some(expected),
        streams: sent_streams(&measured.phase),
        refused: measured.n_server_errors,
        ..Load::default()
    };
    let mut n_in_doubt = 0;
    for report in &measured.subscribers {
        let in_doubt = measured
            .in_doubt
            .missing_by_stream(report.sink.deliveries());
        let n_of_subscriber = in_doubt.values().sum();
        n_in_doubt += n_of_subscriber;
        add_subscriber(&mut load, report, sent, n_of_subscriber);
        for stream in report.sink.deliveries().streams() {
            let found = load
                .streams
                .iter_mut()
                .zip(&measured.phase.streams)
                .find(|(_, sent)| {
                    sent.publisher == stream.publisher && sent.stream == stream.stream
                });
            if let Some((row, _)) = found {
                let key = (stream.publisher, stream.stream);
                let in_doubt = in_doubt.get(&key).copied().unwrap_or(0);
                row.received += stream.received;
                *row.lost.get_or_insert(0) += stream.lost - in_doubt;
                *row.in_doubt.get_or_insert(0) += in_doubt;
                row.duplicated += stream.duplicated;
                row.reordered += stream.reordered;
                row.expected = Some(row.sent.unwrap_or(0) * n_subscribers);
            }
        }
    }
    load.in_doubt = Some(n_in_doubt);
    // What is missing is missing, also where it could not be attributed to a stream.
    load.lost = Some(expected.saturating_sub(load.received + n_in_doubt));
    load
}

/// Adds what one subscriber got; so much of what it missed is in doubt.
fn add_subscriber(load: &mut Load, report: &ConnectionReport<RunSink>, sent: u64, in_doubt: u64) {
    let totals = report.sink.deliveries().totals();
    let counts = report.sink.counts();
    load.received += totals.received;
    load.duplicated += totals.duplicated;
    load.reordered += totals.reordered;
    load.undecodable += counts.n_undecodable;
    load.unstamped += counts.n_unstamped + counts.n_timestamp_only;
    load.foreign += counts.n_foreign;
    load.subscribers.push(SubscriberLoad {
        idx: report.idx,
        expected: Some(sent),
        received: totals.received,
        lost: totals.lost - in_doubt,
        in_doubt,
        duplicated: totals.duplicated,
        reordered: totals.reordered,
    });
}
