//! The parts that the results of several commands share.

use std::collections::BTreeMap;

use crate::clock::{Clock, MonoNanos};
use crate::host::HostFacts;
use crate::load::accounting::SinkCounts;
use crate::load::pacer::PhaseOutcome;
use crate::load::plan::{Endpoint, RoundsPlan};
use crate::load::run::RunFacts;
use crate::load::status::OutageId;
use crate::measure::histogram::LatencyHistogram;
use crate::measure::schedule::Schedule;
use crate::net::dial::ConnectionFacts;
use crate::net::target::Scheme;
use crate::results::outages::{Outage, Role};
use crate::results::{Bar, ConnectionResult, Ended, Environment, LatencyStats, StreamLoad, Trust};
use crate::units::NANOS_PER_SEC;

/// Bars of the response histogram.
const MAX_BARS: usize = 8;

/// A wall clock that has moved by more than this against the monotonic clock makes latencies between processes wrong.
pub(super) const DRIFT_NS: u64 = 5_000_000;

pub(super) fn n_messages(phase: &PhaseOutcome) -> u64 {
    phase.streams.iter().map(|stream| stream.n_sent).sum()
}

pub(super) fn sent_streams(phase: &PhaseOutcome) -> Vec<StreamLoad> {
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
            in_doubt: None,
            duplicated: 0,
            reordered: 0,
        })
        .collect()
}

pub(super) fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

pub(super) fn per_s(count: u64, duration_ns: u64) -> Option<f64> {
    (duration_ns > 0).then(|| count as f64 * NANOS_PER_SEC as f64 / duration_ns as f64)
}

/// How long the rounds of a phase took.
///
/// Between the first and the last of n rounds lie only n - 1 periods, so a completed schedule is at least as long as
/// all of its periods; one that was cut short is as long as it ran.
pub(super) fn paced_ns(phase: &PhaseOutcome, schedule: Option<Schedule>, ended: Ended) -> u64 {
    let real_ns = phase.ended.since(phase.started);
    match schedule {
        Some(schedule) if ended == Ended::Completed => {
            real_ns.max(schedule.due_ns(phase.n_planned))
        }
        _ => real_ns,
    }
}

pub(super) fn stats_of(histogram: &LatencyHistogram) -> Option<LatencyStats> {
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

pub(super) fn bars_of(histogram: &LatencyHistogram) -> Option<Vec<Bar>> {
    let bars = histogram.bars(MAX_BARS);
    let bar = |bar: &crate::measure::histogram::Bar| Bar {
        from_ns: bar.from_ns,
        to_ns: bar.to_ns,
        count: bar.count,
    };
    (!bars.is_empty()).then(|| bars.iter().map(bar).collect())
}

pub(super) fn connection_of(
    endpoint: &Endpoint,
    facts: Option<&ConnectionFacts>,
    client: &str,
    (role, outages): (Role, &[Outage]),
) -> Option<ConnectionResult> {
    let target = endpoint.servers.first()?;
    // Of a client library's connection only that is known for which there is no choice.
    let is_tls = matches!(target.scheme, Scheme::Wss | Scheme::Tls);
    let base = ConnectionResult {
        url: target.to_string(),
        client: client.to_owned(),
        masked: true,
        tls: is_tls,
        verified: is_tls.then_some(endpoint.dial.verifies_tls),
        reconnects: n_reconnects(role, outages),
        ..ConnectionResult::default()
    };
    let Some(facts) = facts else {
        return Some(base);
    };
    // What a server does not say about itself is absent, not empty.
    let told = |text: &String| (!text.is_empty()).then(|| text.clone());
    Some(ConnectionResult {
        // The one of several servers that answered.
        url: facts.url.clone(),
        server_version: told(&facts.info.version),
        server_name: told(&facts.info.server_name),
        dns_ns: Some(facts.timings.dns_ns),
        tcp_ns: Some(facts.timings.tcp_ns),
        tls_ns: facts.timings.tls_ns,
        upgrade_ns: facts.timings.upgrade_ns,
        info_ns: Some(facts.timings.info_ns),
        connect_ns: Some(facts.timings.connect_ns),
        compressed: facts.is_compressed,
        masked: facts.is_masked,
        tls: facts.is_tls,
        verified: facts.is_tls.then_some(endpoint.dial.verifies_tls),
        ..base
    })
}

/// How often connections of this role were opened again.
fn n_reconnects(role: Role, outages: &[Outage]) -> u64 {
    let is_one = |outage: &&Outage| outage.role == role && outage.duration_ns.is_some();
    outages.iter().filter(is_one).count() as u64
}

/// The outages of a run, as they were put down when they happened. A publisher counts rounds; a result counts messages.
pub(super) fn outages_of(run: &RunFacts, messages_per_round: u64) -> Vec<Outage> {
    let mut outages = run.outages.clone();
    for outage in &mut outages {
        outage.skipped = outage.skipped.map(|rounds| rounds * messages_per_round);
    }
    outages
}

/// Puts down what an outage has cost a subscriber.
pub(super) fn note_cost(outages: &mut [Outage], id: OutageId, lost: u64, in_doubt: u64) {
    if let Some(outage) = id.slot().and_then(|slot| outages.get_mut(slot)) {
        outage.lost = Some(lost);
        outage.in_doubt = Some(in_doubt);
    }
}

/// What was planned and not sent: the run ended before. In messages.
pub(super) fn not_sent(phase: &PhaseOutcome, messages_per_round: u64) -> u64 {
    let planned = phase.n_planned * messages_per_round;
    planned.saturating_sub(n_messages(phase) + phase.n_skipped * messages_per_round)
}

/// What the trust block is made of.
pub(super) struct TrustFacts<'a> {
    pub(super) phase: Option<&'a PhaseOutcome>,
    /// Of every round of the phase.
    pub(super) lateness: Option<&'a LatencyHistogram>,
    pub(super) tick_ns: Option<u64>,
    pub(super) run: &'a RunFacts,
    pub(super) counts: Option<&'a SinkCounts>,
    pub(super) doubts: Vec<String>,
}

pub(super) fn trust_of(facts: &TrustFacts<'_>) -> Trust {
    let lateness_ns = |p_ratio| facts.lateness?.percentile_ns(p_ratio);
    let (host, hiccup) = (&facts.run.host, facts.run.hiccup.as_ref());
    Trust {
        rate_ratio: facts
            .phase
            .and_then(|phase| ratio(phase.n_sent, phase.n_planned)),
        lateness_p50_ns: lateness_ns(0.5),
        lateness_p99_ns: lateness_ns(0.99),
        held_back_rounds: facts.phase.map(|phase| phase.lateness.n_held_back()),
        tick_ns: facts.tick_ns,
        cpu_throttled_ns: host.throttled_ns,
        cpu_steal_ratio: host.steal_ratio,
        hiccup_p99_ns: hiccup.and_then(|hiccup| hiccup.p99_ns),
        hiccup_max_ns: hiccup
            .filter(|hiccup| hiccup.n_samples > 0)
            .map(|hiccup| hiccup.max_ns),
        clock_step_ns: (facts.run.clock_step_ns != 0).then_some(facts.run.clock_step_ns),
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

pub(super) fn environment() -> Environment {
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

pub(super) fn rounds_settings(plan: &RoundsPlan) -> BTreeMap<String, String> {
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
pub(super) fn rfc3339(clock: &Clock, moment: MonoNanos) -> String {
    clock.wall_at(moment).rfc3339()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::lateness::Lateness;
    use crate::units::Rate;

    /// `n_planned` rounds at 200 a second that were all sent; the last one is due 5 ms before the end of its period.
    fn phase(n_planned: u64, took_ns: u64) -> PhaseOutcome {
        PhaseOutcome {
            started: MonoNanos(7),
            ended: MonoNanos(7 + took_ns),
            n_planned,
            n_sent: n_planned,
            n_skipped: 0,
            streams: Vec::new(),
            in_doubt: Vec::new(),
            lateness: Lateness::new(),
            failures: Vec::new(),
        }
    }

    fn schedule() -> Schedule {
        Schedule::new(Rate::new(200, 1).unwrap())
    }

    #[test]
    fn a_completed_schedule_is_as_long_as_all_of_its_periods() {
        let phase = phase(800, 3_995_100_000);
        let length_ns = paced_ns(&phase, Some(schedule()), Ended::Completed);
        assert_eq!(length_ns, 4_000_000_000);
        assert_eq!(per_s(phase.n_sent, length_ns), Some(200.0));
    }

    #[test]
    fn a_schedule_that_overran_is_as_long_as_it_took() {
        let phase = phase(800, 5_000_000_000);
        let length_ns = paced_ns(&phase, Some(schedule()), Ended::Completed);
        assert_eq!(per_s(phase.n_sent, length_ns), Some(160.0));
    }

    #[test]
    fn what_was_cut_short_or_had_no_schedule_is_as_long_as_it_ran() {
        let phase = phase(400, 1_998_000_000);
        for (schedule, ended) in [
            (Some(schedule()), Ended::Interrupted),
            (Some(schedule()), Ended::ConnectionLost),
            (None, Ended::Completed),
        ] {
            assert_eq!(paced_ns(&phase, schedule, ended), 1_998_000_000);
        }
    }

    #[test]
    fn a_rate_over_no_time_is_unknown() {
        assert_eq!(per_s(5, 0), None);
        assert_eq!(ratio(5, 0), None);
    }
}
