//! The result of a `sub` run.

use std::collections::BTreeMap;

use crate::load::accounting::SinkCounts;
use crate::load::plan::SubscribePlan;
use crate::load::subscribe::Observed;
use crate::measure::deliveries::Deliveries;
use crate::measure::stamp::RunId;
use crate::results::{LatencyResult, Load, RateResult, RunResult, StreamLoad, Verdict};

use super::doubts::Doubts;
use super::parts::{
    TrustFacts, bars_of, connection_of, environment, per_s, rfc3339, stats_of, trust_of,
};
use super::verdict::{ended, loss_of};

/// The result of a `sub` run.
#[expect(
    clippy::too_many_lines,
    reason = "one field of the result after the other"
)]
pub fn of_subscribe(plan: &SubscribePlan, observed: &Observed) -> RunResult {
    let mut counts = SinkCounts::default();
    let mut load = Load::default();
    let mut lost = 0;
    let mut n_unattributed = 0;
    let mut doubts = Doubts::default();
    for report in &observed.connections {
        counts.add(report.sink.counts());
        load.received += report.sink.n_received();
        n_unattributed += report.sink.n_untracked();
        for (run, deliveries) in report.sink.accounts() {
            let totals = deliveries.totals();
            lost += totals.lost;
            n_unattributed += totals.late_unknown;
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
    // A stream of which nothing came is known by its end-of-run message.
    load.lost = ((n_stamped > 0 || lost > 0) && !is_shared).then_some(lost);
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
    doubts.of_unattributed(n_unattributed);
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
    let (verdict, reasons) = verdict_of(&load, &doubts);
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
            lateness: None,
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

/// A `sub` has no objective: what it saw is its result, and lost messages make it fail.
fn verdict_of(load: &Load, doubts: &Doubts) -> (Verdict, Vec<String>) {
    let lost = load.lost.unwrap_or(0);
    if lost > doubts.n_unattributed {
        return (Verdict::Fail, vec![loss_of(lost)]);
    }
    if load.received == 0 {
        return (Verdict::Inconclusive, vec!["no message arrived".to_owned()]);
    }
    if lost > 0 {
        return (Verdict::Inconclusive, doubts.sentences.clone());
    }
    (Verdict::Pass, Vec::new())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(received: u64, lost: Option<u64>, n_unattributed: u64) -> Verdict {
        let load = Load {
            received,
            lost,
            ..Load::default()
        };
        let mut doubts = Doubts::default();
        doubts.of_unattributed(n_unattributed);
        let (verdict, reasons) = verdict_of(&load, &doubts);
        assert_eq!(verdict == Verdict::Pass, reasons.is_empty());
        verdict
    }

    #[test]
    fn a_subscription_fails_by_what_is_known_to_be_lost() {
        assert_eq!(verdict(10, Some(0), 0), Verdict::Pass);
        assert_eq!(verdict(10, None, 0), Verdict::Pass);
        assert_eq!(verdict(10, Some(1), 0), Verdict::Fail);
        assert_eq!(verdict(10, Some(1), 1), Verdict::Inconclusive);
        assert_eq!(verdict(10, Some(2), 1), Verdict::Fail);
    }

    #[test]
    fn silence_is_no_pass_and_an_announced_loss_is_a_fail() {
        assert_eq!(verdict(0, None, 0), Verdict::Inconclusive);
        assert_eq!(verdict(0, Some(0), 0), Verdict::Inconclusive);
        // A publisher announced what it sent, so the broker was reached and the loss is real.
        assert_eq!(verdict(0, Some(5), 0), Verdict::Fail);
    }
}
