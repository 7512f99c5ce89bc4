//! The result of a `latency` run.

use crate::load::accounting::SinkCounts;
use crate::load::latency::Measured;
use crate::load::pacer::tick_ns;
use crate::load::plan::LatencyPlan;
use crate::measure::schedule::Schedule;
use crate::measure::slo;
use crate::results::{LatencyResult, Load, RateResult, RunResult, SloResult, SubscriberLoad};
use crate::units::format_duration;

use super::doubts::Doubts;
use super::parts::{
    TrustFacts, bars_of, connection_of, environment, n_messages, paced_ns, per_s, ratio, rfc3339,
    rounds_settings, sent_streams, stats_of, trust_of,
};
use super::verdict::{ended, judged, overall};

/// The result of a `latency` run.
pub fn of_latency(plan: &LatencyPlan, measured: &Measured) -> RunResult {
    let load = latency_load(plan, measured);
    let lateness = measured.phase.lateness.all();
    let latency = LatencyResult {
        response: stats_of(&measured.recorder.response),
        service: stats_of(&measured.recorder.service),
        lateness: stats_of(&lateness),
    };
    let counts = measured
        .subscribers
        .iter()
        .fold(SinkCounts::default(), |mut sum, report| {
            sum.add(report.sink.counts());
            sum
        });
    let doubts = doubts_of(measured, &counts);
    let observations = slo::Observations {
        response: Some(&measured.recorder.response),
        service: Some(&measured.recorder.service),
        lateness: Some(&lateness),
        planned: load.planned,
        sent: load.sent,
        expected: load.expected,
        received: Some(load.received),
        lost: load.lost,
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
    let ended = ended(measured.is_interrupted, doubts.is_connection_lost);
    let paced_ns = paced_ns(&measured.phase, Some(Schedule::new(plan.rate)), ended);
    let rate = RateResult {
        target_per_s: Some(plan.rate.per_s()),
        sent_per_s: per_s(measured.phase.n_sent, paced_ns),
        received_per_s: per_s(load.received, paced_ns),
    };
    let (verdict, reasons) = overall(&slo, &load, &doubts, ended);
    let mut settings = rounds_settings(&plan.rounds);
    let mut set = |key: &str, value: String| _ = settings.insert(key.to_owned(), value);
    set("rate", plan.rate.to_string());
    set("duration", format_duration(plan.duration));
    set("warmup", format_duration(plan.warmup));
    set("publishers", plan.n_publishers.to_string());
    set("subscribers", plan.n_subscribers.to_string());
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
        latency: Some(latency),
        connection: connection_of(
            &plan.subscribe_at,
            measured.subscriber_facts.as_ref(),
            "raw",
        ),
        publisher_connection: connection_of(
            &plan.publish_at,
            measured.publisher_facts.as_ref(),
            plan.client.name(),
        ),
        trust: trust_of(&TrustFacts {
            phase: Some(&measured.phase),
            lateness: Some(&lateness),
            tick_ns: tick_ns(plan.rate),
            host: &measured.host,
            hiccup: Some(&measured.hiccup),
            clock_drift_ns: measured.clock_drift_ns,
            counts: Some(&counts),
            doubts: doubts.sentences,
        }),
        environment: environment(),
        settings,
        started_at: rfc3339(&measured.clock, measured.started),
        duration_ns: measured.total_ns,
    }
}

/// What speaks against the numbers of a `latency` run.
fn doubts_of(measured: &Measured, counts: &SinkCounts) -> Doubts {
    let n_unattributed = measured
        .subscribers
        .iter()
        .map(|report| report.sink.deliveries().totals().n_unattributed())
        .sum();
    let mut doubts = Doubts::default();
    doubts.of_generator(&measured.phase, Some(&measured.recorder.response));
    doubts.of_clock(measured.clock_drift_ns);
    doubts.of_stamps(counts);
    doubts.of_unattributed(n_unattributed);
    doubts.of_negatives(&measured.recorder);
    doubts.of_refusals(measured.n_server_errors, &measured.publisher_texts);
    for report in &measured.subscribers {
        doubts.of_connection(
            "subscriber",
            report.idx,
            report.failure.as_deref(),
            &report.server_errors,
        );
    }
    for (idx, reason) in &measured.phase.failures {
        doubts.of_connection("publisher", *idx, Some(reason), &[]);
    }
    doubts
}

/// Planned, sent and delivered messages of a `latency` run.
fn latency_load(plan: &LatencyPlan, measured: &Measured) -> Load {
    let n_subscribers = u64::from(plan.n_subscribers.get());
    let per_round = u64::from(plan.rounds.route.subjects_per_round());
    let sent = n_messages(&measured.phase);
    let mut load = Load {
        planned: Some(measured.phase.n_planned * per_round),
        sent: Some(sent),
        expected: Some(sent * n_subscribers),
        streams: sent_streams(&measured.phase),
        refused: measured.n_server_errors,
        ..Load::default()
    };
    let mut lost = 0;
    for report in &measured.subscribers {
        let totals = report.sink.deliveries().totals();
        let counts = report.sink.counts();
        lost += totals.lost;
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
            lost: totals.lost,
            duplicated: totals.duplicated,
            reordered: totals.reordered,
        });
        for stream in report.sink.deliveries().streams() {
            let found = load
                .streams
                .iter_mut()
                .zip(&measured.phase.streams)
                .find(|(_, sent)| {
                    sent.publisher == stream.publisher && sent.stream == stream.stream
                });
            if let Some((row, _)) = found {
                row.received += stream.received;
                *row.lost.get_or_insert(0) += stream.lost;
                row.duplicated += stream.duplicated;
                row.reordered += stream.reordered;
                row.expected = Some(row.sent.unwrap_or(0) * n_subscribers);
            }
        }
    }
    // A subscriber that ended before it was told how much was sent does not know of its lost tail.
    load.lost = Some(lost.max((sent * n_subscribers).saturating_sub(load.received)));
    load
}
