//! From what was measured to a result: counts put side by side, objectives judged, doubts named.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::clock::{Clock, MonoNanos};
use crate::host::{HiccupReport, HostDelta, HostFacts};
use crate::load::accounting::SinkCounts;
use crate::load::latency::Measured;
use crate::load::pacer::{PhaseOutcome, tick_ns};
use crate::load::plan::{Endpoint, Extent, LatencyPlan, PublishPlan, RoundsPlan, SubscribePlan};
use crate::load::publish::Published;
use crate::load::subscribe::Observed;
use crate::measure::deliveries::Deliveries;
use crate::measure::histogram::LatencyHistogram;
use crate::measure::slo::{self, Doubt};
use crate::measure::stamp::RunId;
use crate::net::dial::ConnectionFacts;
use crate::results::{
    Bar, ConnectionResult, Ended, Environment, LatencyResult, LatencyStats, Load, RateResult,
    RunResult, SloResult, StreamLoad, SubscriberLoad, Trust, Verdict,
};
use crate::units::{NANOS_PER_SEC, RateLimit, format_count, format_duration, format_nanos};

/// A wall clock that moved by less than this against the monotonic clock did not step: reading both takes time, and
/// slewing a clock moves it by at most 500 us a second only while it is wrong.
const CLOCK_STEP_NS: u64 = 5_000_000;
/// Below this share of the planned rounds, the generator did not keep its rate.
const MIN_RATE_RATIO: f64 = 0.99;
/// Lateness up to this is the resolution of any sleeping generator and never a reason for doubt.
const TOLERATED_LATENESS_NS: i64 = 1_000_000;
/// Bars of the response histogram.
const MAX_BARS: usize = 8;

/// The result of a `latency` run.
#[expect(
    clippy::too_many_lines,
    reason = "one field of the result after the other"
)]
pub fn of_latency(plan: &LatencyPlan, measured: &Measured) -> RunResult {
    let load = latency_load(plan, measured);
    let rate = RateResult {
        received_per_s: per_s(
            load.received,
            measured.phase.ended.since(measured.phase.started),
        ),
        ..phase_rate(&measured.phase, Some(plan.rate.per_s()))
    };
    let latency = LatencyResult {
        response: stats_of(&measured.recorder.response),
        service: stats_of(&measured.recorder.service),
        lateness: stats_of(&measured.phase.lateness),
    };
    let counts = measured
        .subscribers
        .iter()
        .fold(SinkCounts::default(), |mut sum, report| {
            sum.add(report.sink.counts());
            sum
        });
    let mut doubts = Doubts::default();
    doubts.of_generator(&measured.phase, Some(&measured.recorder.response));
    doubts.of_clock(measured.clock_drift_ns);
    doubts.of_stamps(&counts);
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
        doubts.of_connection("publisher", *idx, Some(reason), &measured.publisher_texts);
    }
    let observations = slo::Observations {
        response: Some(&measured.recorder.response),
        service: Some(&measured.recorder.service),
        lateness: Some(&measured.phase.lateness),
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

/// The result of a `pub` run.
pub fn of_publish(plan: &PublishPlan, published: &Published) -> RunResult {
    let target_per_s = match plan.rate {
        RateLimit::PerSecond(rate) => Some(rate.per_s()),
        RateLimit::Max => None,
    };
    let messages_per_round = u64::from(plan.rounds.route.subjects_per_round());
    let load = Load {
        planned: Some(published.phase.n_planned * messages_per_round),
        sent: Some(n_messages(&published.phase)),
        streams: sent_streams(&published.phase),
        ..Load::default()
    };
    let mut doubts = Doubts::default();
    doubts.of_generator(&published.phase, None);
    doubts.of_clock(published.clock_drift_ns);
    doubts.of_refusals(published.n_server_errors, &published.texts);
    for (idx, reason) in &published.phase.failures {
        doubts.of_connection("publisher", *idx, Some(reason), &published.texts);
    }
    if plan.client == crate::load::plan::PublishClient::Raw
        && !published.is_confirmed
        && !doubts.is_connection_lost
    {
        doubts.add("the broker has not confirmed that it has every message".to_owned());
    }
    let ended = match (published.is_interrupted, plan.extent) {
        // Without an end of its own a run is meant to be stopped, but the contract has one code for that.
        (true, _) => Ended::Interrupted,
        (false, _) if doubts.is_connection_lost => Ended::ConnectionLost,
        (false, _) => Ended::Completed,
    };
    let verdict = if doubts.sentences.is_empty() {
        Verdict::Pass
    } else {
        Verdict::Inconclusive
    };
    let mut settings = rounds_settings(&plan.rounds);
    let mut set = |key: &str, value: String| _ = settings.insert(key.to_owned(), value);
    set(
        "rate",
        target_per_s.map_or("max".to_owned(), |rate| {
            format!("{}/s", crate::units::format_decimal(rate))
        }),
    );
    set("connections", plan.n_connections.to_string());
    match plan.extent {
        Extent::Duration(duration) => set("duration", format_duration(duration)),
        Extent::Rounds(n) => set("count", format_count(n)),
        Extent::Endless => {}
    }
    let lateness = stats_of(&published.phase.lateness);
    RunResult {
        schema: crate::results::SCHEMA.to_owned(),
        command: "pub".to_owned(),
        verdict,
        reasons: doubts.sentences.clone(),
        ended,
        slo: Vec::new(),
        histogram: None,
        load,
        rate: phase_rate(&published.phase, target_per_s),
        latency: lateness.map(|lateness| LatencyResult {
            response: None,
            service: None,
            lateness: Some(lateness),
        }),
        connection: connection_of(&plan.endpoint, published.facts.as_ref(), plan.client.name()),
        publisher_connection: None,
        trust: trust_of(&TrustFacts {
            phase: Some(&published.phase),
            tick_ns: match plan.rate {
                RateLimit::PerSecond(rate) => tick_ns(rate),
                RateLimit::Max => None,
            },
            host: &published.host,
            hiccup: Some(&published.hiccup),
            clock_drift_ns: published.clock_drift_ns,
            counts: None,
            doubts: doubts.sentences,
        }),
        environment: environment(),
        settings,
        started_at: rfc3339(&published.clock, published.started),
        duration_ns: published.total_ns,
    }
}

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

/// Everything that speaks against taking the numbers at face value.
#[derive(Default)]
struct Doubts {
    /// Sentences for the report.
    sentences: Vec<String>,
    /// What bears on objectives.
    for_objectives: Vec<Doubt>,
    /// A connection ended before the run did.
    is_connection_lost: bool,
    /// The broker refused messages.
    is_refused: bool,
}

impl Doubts {
    fn add(&mut self, sentence: String) {
        self.sentences.push(sentence);
    }

    fn of_generator(&mut self, phase: &PhaseOutcome, response: Option<&LatencyHistogram>) {
        let rate_ratio = ratio(phase.n_sent, phase.n_planned).unwrap_or(1.0);
        if rate_ratio < MIN_RATE_RATIO {
            self.add(format!(
                "the generator sent {} of {} planned rounds",
                format_count(phase.n_sent),
                format_count(phase.n_planned)
            ));
        }
        let Some(lateness_ns) = phase.lateness.percentile_ns(0.99) else {
            return;
        };
        // Response includes our own lateness. It is in doubt when lateness makes up much of what was seen.
        let response_ns = response
            .and_then(|response| response.percentile_ns(0.99))
            .unwrap_or(0);
        let limit_ns = TOLERATED_LATENESS_NS.max(response_ns / 2);
        if lateness_ns > limit_ns {
            self.add(format!(
                "the generator was late: p99 of lateness is {}",
                format_nanos(lateness_ns)
            ));
            self.for_objectives.push(Doubt::GeneratorLate {
                lateness_ns,
                limit_ns,
            });
        }
    }

    fn of_clock(&mut self, drift_ns: i64) {
        if drift_ns.unsigned_abs() > CLOCK_STEP_NS {
            self.add(format!(
                "the wall clock was set by {} during the run",
                format_nanos(drift_ns)
            ));
            self.for_objectives
                .push(Doubt::ClockStepped { step_ns: drift_ns });
        }
    }

    fn of_stamps(&mut self, counts: &SinkCounts) {
        if counts.n_parsed > 0 {
            self.add(format!(
                "{} messages were re-encoded on the way",
                format_count(counts.n_parsed)
            ));
        }
        if counts.n_timestamp_only > 0 {
            self.add(format!(
                "{} messages have only a `timestamp`: their latency is exact to 1 ms",
                format_count(counts.n_timestamp_only)
            ));
        }
    }

    fn of_negatives(&mut self, recorder: &crate::measure::recorder::Recorder) {
        let n_negative = recorder.response.n_negative() + recorder.service.n_negative();
        if n_negative > 0 {
            self.add(format!(
                "{} latencies are negative: the clocks of publisher and subscriber disagree",
                format_count(n_negative)
            ));
        }
    }

    fn of_refusals(&mut self, n_server_errors: u64, texts: &[String]) {
        if n_server_errors > 0 {
            self.is_refused = true;
            self.add(format!(
                "the broker answered {} times with an error: {}",
                format_count(n_server_errors),
                texts.join("; ")
            ));
        }
    }

    fn of_connection(&mut self, role: &str, idx: usize, failure: Option<&str>, texts: &[String]) {
        let Some(failure) = failure else { return };
        self.is_connection_lost = true;
        // What the server said last explains more than how the socket ended.
        let reason = texts.last().map_or(failure, String::as_str);
        self.add(format!("the connection of {role} {idx} was lost: {reason}"));
    }
}

fn ended(is_interrupted: bool, is_connection_lost: bool) -> Ended {
    if is_interrupted {
        Ended::Interrupted
    } else if is_connection_lost {
        Ended::ConnectionLost
    } else {
        Ended::Completed
    }
}

/// The verdict over a run, with reasons where it is no pass.
fn overall(
    slo: &[SloResult],
    load: &Load,
    doubts: &Doubts,
    ended: Ended,
) -> (Verdict, Vec<String>) {
    let mut reasons: Vec<String> = Vec::new();
    if load.received == 0 {
        reasons.push("no message arrived".to_owned());
    }
    for result in slo.iter().filter(|result| result.verdict != Verdict::Pass) {
        reasons.push(match (&result.why, result.observed_ns, result.observed) {
            (Some(why), ..) => format!("{}: {why}", result.expr),
            (None, Some(nanos), _) => {
                format!("{} was missed: {}", result.expr, format_nanos(nanos))
            }
            (None, None, Some(value)) => {
                format!(
                    "{} was missed: {}",
                    result.expr,
                    crate::units::format_decimal(value)
                )
            }
            (None, None, None) => format!("{} was missed", result.expr),
        });
    }
    let is_failed = slo.iter().any(|result| result.verdict == Verdict::Fail);
    let is_unclear = slo
        .iter()
        .any(|result| result.verdict == Verdict::Inconclusive);
    let lost = load.lost.unwrap_or(0);
    if is_failed {
        return (Verdict::Fail, reasons);
    }
    // Without objectives a run is judged by what it promises: its rate, its clock, and every message.
    if slo.is_empty() && lost > 0 && load.received > 0 {
        reasons.push(format!("{} messages were lost", format_count(lost)));
        return (Verdict::Fail, reasons);
    }
    let has_doubt =
        !doubts.for_objectives.is_empty() || doubts.is_refused || doubts.is_connection_lost;
    let is_cut_short = ended != Ended::Completed;
    if load.received == 0 || is_unclear || (slo.is_empty() && has_doubt) || is_cut_short {
        if reasons.is_empty() {
            reasons.extend(doubts.sentences.iter().cloned());
        }
        if is_cut_short && reasons.is_empty() {
            reasons.push("the run was interrupted".to_owned());
        }
        return (Verdict::Inconclusive, reasons);
    }
    (Verdict::Pass, Vec::new())
}

fn judged(objective: &slo::Objective, observations: &slo::Observations<'_>) -> SloResult {
    let judgement = objective.evaluate(observations);
    let (observed_ns, observed) = match judgement.observed {
        slo::Observed::Nanos(nanos) => (Some(nanos), None),
        slo::Observed::Count(count) => (None, Some(count as f64)),
        slo::Observed::Ratio(ratio) => (None, Some(ratio)),
        slo::Observed::None => (None, None),
    };
    SloResult {
        expr: objective.to_string(),
        verdict: match judgement.verdict {
            slo::Verdict::Pass => Verdict::Pass,
            slo::Verdict::Fail => Verdict::Fail,
            slo::Verdict::Inconclusive => Verdict::Inconclusive,
        },
        observed_ns,
        observed,
        why: judgement.why,
    }
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

fn n_messages(phase: &PhaseOutcome) -> u64 {
    phase.streams.iter().map(|stream| stream.n_sent).sum()
}

fn sent_streams(phase: &PhaseOutcome) -> Vec<StreamLoad> {
    phase
        .streams
        .iter()
        .map(|stream| StreamLoad {
            run: String::new(),
            publisher: stream.publisher,
            subject: stream.subject.clone(),
            sent: Some(stream.n_sent),
            expected: None,
            received: 0,
            lost: None,
            duplicated: 0,
            reordered: 0,
        })
        .collect()
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

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn per_s(count: u64, duration_ns: u64) -> Option<f64> {
    (duration_ns > 0).then(|| count as f64 * NANOS_PER_SEC as f64 / duration_ns as f64)
}

fn phase_rate(phase: &PhaseOutcome, target_per_s: Option<f64>) -> RateResult {
    RateResult {
        target_per_s,
        sent_per_s: per_s(phase.n_sent, phase.ended.since(phase.started)),
        received_per_s: None,
    }
}

fn stats_of(histogram: &LatencyHistogram) -> Option<LatencyStats> {
    Some(LatencyStats {
        count: histogram.count(),
        min_ns: histogram.min_ns()?,
        p50_ns: histogram.percentile_ns(0.5),
        p90_ns: histogram.percentile_ns(0.9),
        p99_ns: histogram.percentile_ns(0.99),
        p99_9_ns: histogram.percentile_ns(0.999),
        p99_99_ns: histogram.percentile_ns(0.9999),
        max_ns: histogram.max_ns()?,
        mean_ns: histogram.mean_ns()?,
        negative: histogram.n_negative(),
        clipped: histogram.n_clipped(),
    })
}

fn bars_of(histogram: &LatencyHistogram) -> Option<Vec<Bar>> {
    let bars = histogram.bars(MAX_BARS);
    let bar = |bar: &crate::measure::histogram::Bar| Bar {
        from_ns: bar.from_ns,
        to_ns: bar.to_ns,
        count: bar.count,
    };
    (!bars.is_empty()).then(|| bars.iter().map(bar).collect())
}

fn connection_of(
    endpoint: &Endpoint,
    facts: Option<&ConnectionFacts>,
    client: &str,
) -> Option<ConnectionResult> {
    let target = endpoint.servers.first()?;
    let base = ConnectionResult {
        url: target.to_string(),
        client: client.to_owned(),
        ..ConnectionResult::default()
    };
    let Some(facts) = facts else {
        return Some(base);
    };
    Some(ConnectionResult {
        server_version: Some(facts.info.version.clone()),
        server_name: Some(facts.info.server_name.clone()),
        dns_ns: Some(facts.timings.dns_ns),
        tcp_ns: Some(facts.timings.tcp_ns),
        tls_ns: facts.timings.tls_ns,
        upgrade_ns: facts.timings.upgrade_ns,
        info_ns: Some(facts.timings.info_ns),
        connect_ns: Some(facts.timings.connect_ns),
        reconnects: 0,
        compressed: facts.is_compressed,
        masked: facts.is_masked,
        tls: facts.is_tls,
        verified: facts.is_tls.then_some(endpoint.dial.verifies_tls),
        ..base
    })
}

/// What the trust block is made of.
struct TrustFacts<'a> {
    phase: Option<&'a PhaseOutcome>,
    tick_ns: Option<u64>,
    host: &'a HostDelta,
    hiccup: Option<&'a HiccupReport>,
    clock_drift_ns: i64,
    counts: Option<&'a SinkCounts>,
    doubts: Vec<String>,
}

fn trust_of(facts: &TrustFacts<'_>) -> Trust {
    let has_stepped = facts.clock_drift_ns.unsigned_abs() > CLOCK_STEP_NS;
    Trust {
        rate_ratio: facts
            .phase
            .and_then(|phase| ratio(phase.n_sent, phase.n_planned)),
        lateness_p50_ns: facts
            .phase
            .and_then(|phase| phase.lateness.percentile_ns(0.5)),
        lateness_p99_ns: facts
            .phase
            .and_then(|phase| phase.lateness.percentile_ns(0.99)),
        tick_ns: facts.tick_ns,
        cpu_throttled_ns: facts.host.throttled_ns,
        cpu_steal_ratio: facts.host.steal_ratio,
        hiccup_p99_ns: facts.hiccup.and_then(|hiccup| hiccup.p99_ns),
        hiccup_max_ns: facts
            .hiccup
            .filter(|hiccup| hiccup.n_samples > 0)
            .map(|hiccup| hiccup.max_ns),
        clock_step_ns: has_stepped.then_some(facts.clock_drift_ns),
        stamp_source: facts.counts.map(stamp_source),
        doubts: facts.doubts.clone(),
    }
}

fn stamp_source(counts: &SinkCounts) -> String {
    let source = if counts.n_fixed > 0 {
        "stamp"
    } else if counts.n_parsed > 0 {
        "reencoded"
    } else if counts.n_timestamp_only > 0 {
        "timestamp"
    } else {
        "none"
    };
    source.to_owned()
}

fn environment() -> Environment {
    let facts = HostFacts::read();
    Environment {
        natsbench_version: env!("CARGO_PKG_VERSION").to_owned(),
        os: std::env::consts::OS.to_owned(),
        kernel: facts.kernel,
        cpu_model: facts.cpu_model,
        n_cpus: facts.n_cpus,
        clocksource: facts.clocksource,
    }
}

fn rounds_settings(plan: &RoundsPlan) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    let mut set = |key: &str, value: String| _ = settings.insert(key.to_owned(), value);
    set("games", plan.games.to_string());
    set("route", plan.route.name().to_owned());
    set("prefix", plan.prefix.clone());
    set("seed", plan.seed.to_string());
    if let Some(size_bytes) = plan.size_bytes {
        set("size", size_bytes.to_string());
    }
    settings
}

/// Wall time as RFC 3339 has it, to the millisecond.
fn rfc3339(clock: &Clock, moment: MonoNanos) -> String {
    let wall = SystemTime::UNIX_EPOCH + Duration::from_nanos(clock.wall_at(moment).0);
    humantime::format_rfc3339_millis(wall).to_string()
}
