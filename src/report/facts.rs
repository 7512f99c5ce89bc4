//! What a report says, in words: the same for every form that people read.

use super::connections::moment_text;
use crate::results::{ConnectionResult, Ended, LatencyStats, Load, RunResult, Verdict};
use crate::units::{format_count, format_decimal, format_nanos, format_percent};

/// The verdict in one sentence.
pub(super) fn verdict_sentence(result: &RunResult) -> String {
    let word = match result.verdict {
        Verdict::Pass => "PASS",
        Verdict::Fail => "FAIL",
        Verdict::Inconclusive => "INCONCLUSIVE",
    };
    format!(
        "{word}: {}",
        if result.reasons.is_empty() {
            summary(result)
        } else {
            result.reasons.join("; ")
        }
    )
}

/// What a good run was, in one sentence.
fn summary(result: &RunResult) -> String {
    let load = &result.load;
    let response = result
        .latency
        .as_ref()
        .and_then(|latency| latency.response.as_ref());
    let mut parts = Vec::new();
    match (result.command.as_str(), load.sent) {
        ("pub", Some(sent)) => parts.push(format!("{} messages sent", format_count(sent))),
        _ => parts.push(format!("{} messages received", format_count(load.received))),
    }
    match load.lost {
        Some(0) => parts.push("none lost".to_owned()),
        Some(lost) => parts.push(format!("{} lost", format_count(lost))),
        None => {}
    }
    if let Some(stats) = response {
        let shown = [("p50", stats.p50_ns), ("p99", stats.p99_ns)];
        let shown: Vec<String> = shown
            .iter()
            .filter_map(|(name, nanos)| Some(format!("{name} {}", format_nanos((*nanos)?))))
            .collect();
        if shown.is_empty() {
            parts.push(format!("response up to {}", format_nanos(stats.max_ns)));
        } else {
            parts.push(format!("response {}", shown.join(", ")));
        }
    }
    parts.join(", ")
}

/// What speaks against the numbers and was not said in the verdict.
pub(super) fn warnings(result: &RunResult) -> impl Iterator<Item = &str> {
    let connections = [&result.connection, &result.publisher_connection];
    let is_unverified = connections
        .into_iter()
        .flatten()
        .any(|connection| connection.verified == Some(false));
    let insecure = is_unverified.then_some("TLS certificates were NOT verified (--insecure)");
    let doubts = result.trust.doubts.iter();
    let doubts = doubts.filter(|doubt| !result.reasons.contains(doubt));
    insecure.into_iter().chain(doubts.map(String::as_str))
}

/// The publishing connection, where it is not the same as the subscribing one.
pub(super) fn other_publisher(result: &RunResult) -> Option<&ConnectionResult> {
    let publisher = result.publisher_connection.as_ref()?;
    let is_same = result
        .connection
        .as_ref()
        .is_some_and(|connection| connection_parts(connection) == connection_parts(publisher));
    (!is_same).then_some(publisher)
}

pub(super) fn rate_line(result: &RunResult) -> Option<String> {
    let rounded = |value: f64| format_decimal((value * 100.0).round() / 100.0);
    let rate = &result.rate;
    if let Some(sent) = rate.sent_per_s {
        let planned = rate.target_per_s.map_or_else(String::new, |target| {
            format!(" of {} planned", rounded(target))
        });
        return Some(format!("{} rounds/s sent{planned}", rounded(sent)));
    }
    rate.received_per_s
        .map(|received| format!("{} messages/s received", rounded(received)))
}

/// The counters of a run by name: those that apply to it, and those that should be zero where they are not.
pub(super) fn delivery_counts(result: &RunResult) -> Vec<(&'static str, u64)> {
    let load = &result.load;
    // A publisher receives nothing, so there is nothing to count.
    let of_received = |count: u64| (result.command != "pub").then_some(count);
    let unusual = |count: u64| (count > 0).then_some(count);
    let counts = [
        ("planned", load.planned),
        ("sent", load.sent),
        ("expected", load.expected),
        ("received", of_received(load.received)),
        ("lost", load.lost),
        ("in doubt", load.in_doubt.and_then(unusual)),
        ("skipped", load.skipped.and_then(unusual)),
        ("not sent", load.not_sent.and_then(unusual)),
        ("duplicated", of_received(load.duplicated)),
        ("reordered", of_received(load.reordered)),
        ("undecodable", of_received(load.undecodable)),
        ("unstamped", unusual(load.unstamped)),
        ("of other runs", unusual(load.foreign)),
        ("refused", unusual(load.refused)),
        (
            "streams with unknown tail",
            unusual(load.tail_unknown_streams),
        ),
    ];
    counts
        .into_iter()
        .filter_map(|(name, count)| Some((name, count?)))
        .collect()
}

/// What a count means, where that is not plain from its name.
pub(super) fn explained_counts(load: &Load) -> Option<&'static str> {
    let has_doubt = load.in_doubt.is_some_and(|count| count > 0);
    has_doubt.then_some("in doubt: nobody knows whether the broker ever got them")
}

/// What says that this is no end.
pub(super) fn checkpoint(result: &RunResult) -> Option<String> {
    let is_checkpoint = result.ended == Ended::Unfinished;
    is_checkpoint.then(|| format!("not finished: state at {}", moment_text(result.duration_ns)))
}

/// Where messages were lost, the worst first: in which streams, and for which of several subscribers.
pub(super) fn losses(load: &Load) -> Vec<String> {
    const MAX_LINES: usize = 3;
    let of = |expected: Option<u64>| {
        expected.map_or_else(String::new, |expected| {
            format!(" of {}", format_count(expected))
        })
    };
    let streams = load.streams.iter().map(|stream| {
        let run = if stream.run.is_empty() {
            String::new()
        } else {
            format!(" of run {}", stream.run)
        };
        let place = format!("publisher {}{run}, {}", stream.publisher, stream.subject);
        (stream.lost.unwrap_or(0), of(stream.expected), place)
    });
    let is_alone = load.subscribers.len() < 2;
    let subscribers = load
        .subscribers
        .iter()
        .filter(|_| !is_alone)
        .map(|subscriber| {
            let place = format!("subscriber {}", subscriber.idx);
            (subscriber.lost, of(subscriber.expected), place)
        });
    let mut lost: Vec<_> = streams
        .chain(subscribers)
        .filter(|(lost, ..)| *lost > 0)
        .collect();
    lost.sort_by_key(|(lost, ..)| std::cmp::Reverse(*lost));
    let n_more = lost.len().saturating_sub(MAX_LINES);
    let shown = lost.iter().take(MAX_LINES);
    let mut lines: Vec<String> = shown
        .map(|(lost, of, place)| format!("lost {}{of}: {place}", format_count(*lost)))
        .collect();
    if n_more > 0 {
        lines.push(format!("and losses in {n_more} more places, see -o json"));
    }
    lines
}

pub(super) fn connection_parts(connection: &ConnectionResult) -> Vec<String> {
    let mut parts = vec![match &connection.server_version {
        Some(version) => format!("nats-server {version} at {}", connection.url),
        None => connection.url.clone(),
    }];
    if connection.compressed {
        parts.push("compressed".to_owned());
    }
    // The frames of a WebSocket are masked unless both sides agreed not to.
    if !connection.masked && connection.upgrade_ns.is_some() {
        parts.push("unmasked".to_owned());
    }
    if connection.client != "raw" {
        parts.push(format!("client {}", connection.client));
    }
    parts
}

pub(super) fn timing_parts(connection: &ConnectionResult) -> Vec<String> {
    let steps = [
        ("dns", connection.dns_ns),
        ("tcp", connection.tcp_ns),
        ("tls", connection.tls_ns),
        ("upgrade", connection.upgrade_ns),
        ("info", connection.info_ns),
        ("connect", connection.connect_ns),
    ];
    let shown = |(name, nanos): (&str, Option<u64>)| Some(format!("{name} {}", nanos_text(nanos?)));
    steps.into_iter().filter_map(shown).collect()
}

pub(super) fn nanos_text(nanos: u64) -> String {
    format_nanos(i64::try_from(nanos).unwrap_or(i64::MAX))
}

/// Head and rows of the latency table.
pub(super) fn latency_rows(columns: &[(&str, &LatencyStats)]) -> Vec<Vec<String>> {
    let mut rows = vec![
        ["latency"]
            .into_iter()
            .chain(columns.iter().map(|(name, _)| *name))
            .map(str::to_owned)
            .collect(),
    ];
    let mut row = |name: &str, value: &dyn Fn(&LatencyStats) -> Option<i64>| {
        let cell = |stats: &LatencyStats| value(stats).map_or_else(|| "-".to_owned(), format_nanos);
        let cells = columns.iter().map(|(_, stats)| cell(stats));
        rows.push(
            [name.to_owned()]
                .into_iter()
                .chain(cells)
                .collect::<Vec<String>>(),
        );
    };
    row("min", &|stats| Some(stats.min_ns));
    row("p50", &|stats| stats.p50_ns);
    row("p90", &|stats| stats.p90_ns);
    row("p99", &|stats| stats.p99_ns);
    row("p99.9", &|stats| stats.p99_9_ns);
    row("p99.99", &|stats| stats.p99_99_ns);
    row("max", &|stats| Some(stats.max_ns));
    row("mean", &|stats| Some(stats.mean_ns));
    for (name, count) in [
        (
            "negative",
            (|stats| stats.negative) as fn(&LatencyStats) -> u64,
        ),
        ("over 1 h", |stats| stats.clipped),
    ] {
        if columns.iter().any(|(_, stats)| count(stats) > 0) {
            let cells = columns.iter().map(|(_, stats)| format_count(count(stats)));
            rows.push([name.to_owned()].into_iter().chain(cells).collect());
        }
    }
    rows
}

pub(super) fn trust_parts(result: &RunResult) -> Vec<String> {
    let trust = &result.trust;
    let mut parts = Vec::new();
    if let Some(ratio) = trust.rate_ratio {
        parts.push(format!("{} of the plan sent", format_percent(ratio)));
    }
    if let Some(n_rounds @ 1..) = trust.held_back_rounds {
        let by = if result.outages.is_empty() {
            "a full connection"
        } else {
            "a connection that was full or down"
        };
        parts.push(format!(
            "{} rounds held back by {by}",
            format_count(n_rounds)
        ));
    }
    if let Some(tick_ns) = trust.tick_ns {
        parts.push(format!("sent in ticks of {}", nanos_text(tick_ns)));
    }
    match (trust.hiccup_p99_ns, trust.hiccup_max_ns) {
        (Some(p99_ns), Some(max_ns)) => {
            parts.push(format!(
                "idle thread late by p99 {}, max {}",
                nanos_text(p99_ns),
                nanos_text(max_ns)
            ));
        }
        (None, Some(max_ns)) => parts.push(format!(
            "idle thread late by at most {}",
            nanos_text(max_ns)
        )),
        _ => {}
    }
    match trust.cpu_steal_ratio {
        Some(0.0) => parts.push("no steal".to_owned()),
        Some(ratio) => parts.push(format!("steal {}", format_percent(ratio))),
        None => {}
    }
    match trust.cpu_throttled_ns {
        Some(0) => parts.push("not throttled".to_owned()),
        Some(throttled_ns) => parts.push(format!("throttled for {}", nanos_text(throttled_ns))),
        None => {}
    }
    match trust.clock_step_ns {
        Some(step_ns) => parts.push(format!("clock stepped by {}", format_nanos(step_ns))),
        None => parts.push("no clock step".to_owned()),
    }
    parts
}
