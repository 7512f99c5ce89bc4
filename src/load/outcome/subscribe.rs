//! The result of a `sub` run.

use std::collections::BTreeMap;

use crate::load::accounting::SinkCounts;
use crate::load::plan::SubscribePlan;
use crate::load::subscribe::Observed;
use crate::measure::deliveries::Deliveries;
use crate::measure::in_doubt::InDoubt;
use crate::measure::stamp::RunId;
use crate::results::outages::{Outage, Role};
use crate::results::{LatencyResult, Load, RateResult, RunResult, StreamLoad, Verdict};

use super::doubts::Doubts;
use super::parts::{
    TrustFacts, bars_of, connection_of, environment, note_cost, outages_of, per_s, rfc3339,
    stats_of, trust_of,
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
    let mut missing = 0;
    let mut n_in_doubt = 0;
    let mut n_unattributed = 0;
    let mut doubts = Doubts::default();
    for report in &observed.connections {
        counts.add(report.sink.counts());
        load.received += report.sink.n_received();
        n_unattributed += report.sink.n_untracked();
        for (run, deliveries, ranges) in report.sink.accounts() {
            let totals = deliveries.totals();
            let mut in_doubt = InDoubt::new(ranges.to_vec());
            in_doubt.confirm_by(deliveries);
            let in_doubt = in_doubt.missing_by_stream(deliveries);
            missing += totals.lost;
            n_in_doubt += in_doubt.values().sum::<u64>();
            n_unattributed += totals.late_unknown;
            load.duplicated += totals.duplicated;
            load.reordered += totals.reordered;
            load.tail_unknown_streams += totals.n_streams_open as u64;
            add_streams(
                &mut load.streams,
                run,
                deliveries,
                &in_doubt,
                |publisher, stream| {
                    report
                        .sink
                        .subject_of(run, publisher, stream)
                        .unwrap_or("?")
                        .to_owned()
                },
            );
        }
    }
    doubts.of_subscribers(&observed.connections);
    let n_stamped = counts.n_fixed + counts.n_parsed;
    let is_shared = plan.queue.is_some();
    let lost = missing - n_in_doubt;
    // A member of a queue group sees a part of every stream: gaps are no loss.
    // A stream of which nothing came is known by its end-of-run message.
    load.lost = ((n_stamped > 0 || missing > 0) && !is_shared).then_some(lost);
    load.expected = load
        .lost
        .filter(|_| load.tail_unknown_streams == 0)
        .map(|_| {
            let received: u64 = load.streams.iter().map(|stream| stream.received).sum();
            received + missing
        });
    load.in_doubt = load.lost.map(|_| n_in_doubt);
    load.undecodable = counts.n_undecodable;
    load.unstamped = counts.n_unstamped + counts.n_timestamp_only;
    doubts.of_clock(&observed.run);
    doubts.of_drift(&observed.run);
    doubts.of_events(&observed.run);
    doubts.of_in_doubt(load.in_doubt.unwrap_or(0));
    doubts.of_stamps(&counts);
    doubts.of_unattributed(n_unattributed);
    doubts.of_negatives(&observed.recorder);
    for (pattern, text) in observed.first.iter().flat_map(|ready| &ready.refused) {
        doubts.add(format!(
            "not allowed to read `{pattern}` ({text}): how much was sent stays unknown"
        ));
    }
    let ended = ended(observed.run.is_interrupted, doubts.is_connection_lost);
    let mut settings = BTreeMap::new();
    settings.insert("subjects".to_owned(), plan.patterns.join(" "));
    settings.insert("connections".to_owned(), plan.n_connections.to_string());
    if let Some(queue) = &plan.queue {
        settings.insert("queue".to_owned(), queue.clone());
    }
    let has_latency = !observed.recorder.response.is_empty();
    let received_per_s = per_s(load.received, observed.run.total_ns);
    let outages = outages(observed, is_shared);
    let n_unknown = outages.iter().filter(|outage| outage.lost.is_none());
    doubts.of_unknown_outages(n_unknown.count());
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
            (Role::Subscriber, &outages),
        ),
        publisher_connection: None,
        trust: trust_of(&TrustFacts {
            phase: None,
            lateness: None,
            tick_ns: None,
            run: &observed.run,
            counts: Some(&counts),
            doubts: doubts.sentences,
        }),
        environment: environment(),
        settings,
        started_at: rfc3339(&observed.run.clock, observed.run.started),
        duration_ns: observed.run.total_ns,
        outages,
        n_outages: observed.run.n_outages,
    }
}

/// The outages, with what each has cost. A member of a queue group cannot tell.
fn outages(observed: &Observed, is_shared: bool) -> Vec<Outage> {
    let mut outages = outages_of(&observed.run, 1);
    if is_shared {
        return outages;
    }
    for report in &observed.connections {
        let costs = report.sink.missing_by_outage();
        for (id, cost) in report.outages.iter().zip(costs) {
            if let Some((lost, in_doubt)) = cost {
                note_cost(&mut outages, *id, lost, in_doubt);
            }
        }
    }
    outages
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
    if lost > 0 || doubts.n_in_doubt > 0 || doubts.has_unknown_outage {
        return (Verdict::Inconclusive, doubts.sentences.clone());
    }
    (Verdict::Pass, Vec::new())
}

fn add_streams(
    rows: &mut Vec<StreamLoad>,
    run: RunId,
    deliveries: &Deliveries,
    in_doubt: &BTreeMap<(u16, u8), u64>,
    subject_of: impl Fn(u16, u8) -> String,
) {
    for stream in deliveries.streams() {
        let key = (stream.publisher, stream.stream);
        let n_in_doubt = in_doubt.get(&key).copied().unwrap_or(0);
        rows.push(StreamLoad {
            run: format!("{:08x}", run.0),
            publisher: stream.publisher,
            subject: subject_of(stream.publisher, stream.stream),
            sent: None,
            expected: stream.expected,
            received: stream.received,
            lost: Some(stream.lost - n_in_doubt),
            in_doubt: Some(n_in_doubt),
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
