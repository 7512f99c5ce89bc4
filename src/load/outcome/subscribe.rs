//! The result of a `sub` run.

use std::collections::BTreeMap;

use crate::load::accounting::SinkCounts;
use crate::load::plan::SubscribePlan;
use crate::load::subscribe::Observed;
use crate::measure::deliveries::Deliveries;
use crate::measure::stamp::RunId;
use crate::results::{Ended, LatencyResult, Load, RateResult, RunResult, StreamLoad, Verdict};
use crate::units::format_count;

use super::doubts::Doubts;
use super::parts::{
    TrustFacts, bars_of, connection_of, environment, per_s, rfc3339, stats_of, trust_of,
};
use super::verdict::ended;

/// The result of a `sub` run.
#[expect(
    clippy::too_many_lines,
    reason = "one field of the result after the other"
)]
pub fn of_subscribe(plan: &SubscribePlan, observed: &Observed) -> RunResult {
    let mut counts = SinkCounts::default();
    let mut load = Load::default();
    let mut lost = 0;
    let mut doubts = Doubts::default();
    for report in &observed.connections {
        counts.add(report.sink.counts());
        load.received += report.sink.n_received();
        for (run, deliveries) in report.sink.accounts() {
            let totals = deliveries.totals();
            lost += totals.lost;
            load.duplicated += totals.duplicated;
            load.reordered += totals.reordered;
            load.tail_unknown_streams += totals.n_streams_open as u64;
            add_streams(&mut load.streams, run, deliveries, |publisher, stream| {
                report
                    .sink
                    .subject_of(run, publisher, stream)
                    .unwrap_or("?")
                    .to_owned()
            });
        }
        doubts.of_connection(
            "connection",
            report.idx,
            report.failure.as_deref(),
            &report.server_errors,
        );
    }
    let n_stamped = counts.n_fixed + counts.n_parsed;
    let is_shared = plan.queue.is_some();
    // A member of a queue group sees a part of every stream: gaps are no loss.
    load.lost = (n_stamped > 0 && !is_shared).then_some(lost);
    load.expected = load
        .lost
        .filter(|_| load.tail_unknown_streams == 0)
        .map(|lost| {
            let received: u64 = load.streams.iter().map(|stream| stream.received).sum();
            received + lost
        });
    load.undecodable = counts.n_undecodable;
    load.unstamped = counts.n_unstamped + counts.n_timestamp_only;
    doubts.of_clock(observed.clock_drift_ns);
    doubts.of_stamps(&counts);
    doubts.of_negatives(&observed.recorder);
    for (pattern, text) in observed.first.iter().flat_map(|ready| &ready.refused) {
        doubts.add(format!(
            "not allowed to read `{pattern}` ({text}): how much was sent stays unknown"
        ));
    }
    let ended = ended(observed.is_interrupted, doubts.is_connection_lost);
    let mut settings = BTreeMap::new();
    settings.insert("subjects".to_owned(), plan.patterns.join(" "));
    settings.insert("connections".to_owned(), plan.n_connections.to_string());
    if let Some(queue) = &plan.queue {
        settings.insert("queue".to_owned(), queue.clone());
    }
    let has_latency = !observed.recorder.response.is_empty();
    let received_per_s = per_s(load.received, observed.total_ns);
    let has_loss = load.lost.is_some_and(|lost| lost > 0);
    let (verdict, reasons) = if has_loss {
        (
            Verdict::Fail,
            vec![format!("{} messages were lost", format_count(lost))],
        )
    } else if load.received == 0 {
        (Verdict::Inconclusive, vec!["no message arrived".to_owned()])
    } else {
        (Verdict::Pass, Vec::new())
    };
    // A `sub` has no objective: what it saw is its result, and only an unread connection makes it fail.
    let verdict = if has_loss || load.received > 0 || ended != Ended::Completed {
        verdict
    } else {
        Verdict::Inconclusive
    };
    RunResult {
        schema: crate::results::SCHEMA.to_owned(),
        command: "sub".to_owned(),
        verdict,
        reasons,
        ended,
        slo: Vec::new(),
        histogram: has_latency
            .then(|| bars_of(&observed.recorder.response))
            .flatten(),
        load,
        rate: RateResult {
            received_per_s,
            ..RateResult::default()
        },
        latency: has_latency.then(|| LatencyResult {
            response: stats_of(&observed.recorder.response),
            service: stats_of(&observed.recorder.service),
            lateness: stats_of(&observed.recorder.lateness),
        }),
        connection: connection_of(
            &plan.endpoint,
            observed.first.as_ref().map(|ready| &ready.facts),
            "raw",
        ),
        publisher_connection: None,
        trust: trust_of(&TrustFacts {
            phase: None,
            tick_ns: None,
            host: &observed.host,
            hiccup: None,
            clock_drift_ns: observed.clock_drift_ns,
            counts: Some(&counts),
            doubts: doubts.sentences,
        }),
        environment: environment(),
        settings,
        started_at: rfc3339(&observed.clock, observed.started),
        duration_ns: observed.total_ns,
    }
}

fn add_streams(
    rows: &mut Vec<StreamLoad>,
    run: RunId,
    deliveries: &Deliveries,
    subject_of: impl Fn(u16, u8) -> String,
) {
    for stream in deliveries.streams() {
        rows.push(StreamLoad {
            run: format!("{:08x}", run.0),
            publisher: stream.publisher,
            subject: subject_of(stream.publisher, stream.stream),
            sent: None,
            expected: stream.expected,
            received: stream.received,
            lost: Some(stream.lost),
            duplicated: stream.duplicated,
            reordered: stream.reordered,
        });
    }
}
