//! The report for people: one screen, the answer first.

use std::io::{self, Write};

use anstyle::{AnsiColor, Color, Style as Paint};

use super::Style;
use super::chart::histogram_lines;
use super::table::{fill, wrap, write_columns};
use crate::results::{ConnectionResult, LatencyStats, Load, RunResult, SloResult, Trust, Verdict};
use crate::units::{format_count, format_decimal, format_nanos, format_percent};

pub(super) fn write(out: &mut dyn Write, result: &RunResult, style: Style) -> io::Result<()> {
    let mut page = Page { out, style };
    page.verdict(result)?;
    page.objectives(&result.slo)?;
    page.load(result)?;
    page.latency(result)?;
    page.trust(result)?;
    page.next(result)
}

/// What stands beside message lines: the verdict, the counts, and what speaks against them.
pub(super) fn write_short(out: &mut dyn Write, result: &RunResult, style: Style) -> io::Result<()> {
    let mut page = Page { out, style };
    page.verdict(result)?;
    page.counts(result)?;
    for warning in warnings(result) {
        page.warning(warning)?;
    }
    Ok(())
}

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

/// Columns in front of what stands behind a label.
const INDENT: usize = 11;
/// Below this nothing lines up any more, so a narrower terminal gets lines that are too long.
const MIN_WIDTH: u16 = 40;

struct Page<'a> {
    out: &'a mut dyn Write,
    style: Style,
}

impl Page<'_> {
    fn width(&self) -> usize {
        usize::from(self.style.width.max(MIN_WIDTH))
    }

    fn painted(&self, text: &str, verdict: Verdict) -> String {
        if !self.style.color {
            return text.to_owned();
        }
        let color = match verdict {
            Verdict::Pass => AnsiColor::Green,
            Verdict::Fail => AnsiColor::Red,
            Verdict::Inconclusive => AnsiColor::Yellow,
        };
        let paint = Paint::new().fg_color(Some(Color::Ansi(color))).bold();
        format!("{paint}{text}{paint:#}")
    }

    fn verdict(&mut self, result: &RunResult) -> io::Result<()> {
        const MAX_LINES: usize = 4;
        let mut lines = wrap(&verdict_sentence(result), self.width());
        if lines.len() > MAX_LINES {
            // The rest is in the objectives and the doubts below.
            lines.truncate(MAX_LINES);
            lines[MAX_LINES - 1].push_str(" ...");
        }
        for line in lines {
            let line = self.painted(&line, result.verdict);
            writeln!(self.out, "{line}")?;
        }
        Ok(())
    }

    fn objectives(&mut self, slo: &[SloResult]) -> io::Result<()> {
        let width_of_mark = if self.style.unicode { 1 } else { 2 };
        for objective in slo {
            let mark = match (objective.verdict, self.style.unicode) {
                (Verdict::Pass, true) => "\u{2713}",
                (Verdict::Fail, true) => "\u{2717}",
                (Verdict::Pass, false) => "ok",
                (Verdict::Fail, false) => "no",
                (Verdict::Inconclusive, _) => "?",
            };
            let blanks = " ".repeat(width_of_mark - mark.chars().count());
            let mark = format!("{}{blanks}", self.painted(mark, objective.verdict));
            let lines = wrap(&objective_text(objective), self.width() - 3 - width_of_mark);
            for (idx, line) in lines.iter().enumerate() {
                let mark = if idx == 0 {
                    &mark
                } else {
                    &" ".repeat(width_of_mark)
                };
                writeln!(self.out, "  {mark} {line}")?;
            }
        }
        Ok(())
    }

    fn load(&mut self, result: &RunResult) -> io::Result<()> {
        writeln!(self.out)?;
        self.counts(result)?;
        if let Some(connection) = &result.connection {
            self.labelled("broker", &connection_parts(connection), ", ")?;
            self.labelled("connect", &timing_parts(connection), "  ")?;
        }
        if let Some(publisher) = other_publisher(result) {
            self.labelled("publisher", &connection_parts(publisher), ", ")?;
        }
        Ok(())
    }

    fn counts(&mut self, result: &RunResult) -> io::Result<()> {
        if let Some(line) = rate_line(result) {
            self.labelled("rate", &[line], " ")?;
        }
        let counts = delivery_counts(result).into_iter();
        let counts: Vec<String> = counts
            .map(|(name, count)| format!("{name} {}", format_count(count)))
            .collect();
        self.labelled("delivery", &counts, "  ")?;
        for loss in losses(&result.load) {
            self.warning(&loss)?;
        }
        Ok(())
    }

    /// Parts behind a label. None of them is broken as long as it fits on a line.
    fn labelled(&mut self, label: &str, parts: &[String], separator: &str) -> io::Result<()> {
        if parts.is_empty() {
            return Ok(());
        }
        let lines = fill(parts, separator, self.width() - INDENT);
        for (idx, line) in lines.iter().enumerate() {
            let label = if idx == 0 { label } else { "" };
            writeln!(self.out, "{label:<9}  {line}")?;
        }
        Ok(())
    }

    /// A warning below the line before.
    fn warning(&mut self, text: &str) -> io::Result<()> {
        for (idx, line) in wrap(text, self.width() - INDENT - 2).iter().enumerate() {
            let mark = if idx == 0 { '!' } else { ' ' };
            writeln!(self.out, "{:INDENT$}{mark} {line}", "")?;
        }
        Ok(())
    }

    fn latency(&mut self, result: &RunResult) -> io::Result<()> {
        let Some(latency) = &result.latency else {
            return Ok(());
        };
        let columns = [
            ("response", &latency.response),
            ("service", &latency.service),
            ("lateness", &latency.lateness),
        ];
        let present: Vec<(&str, &LatencyStats)> = columns
            .iter()
            .filter_map(|(name, stats)| Some((*name, stats.as_ref()?)))
            .collect();
        if present.is_empty() {
            return Ok(());
        }
        writeln!(self.out)?;
        write_columns(self.out, "", &latency_rows(&present))?;
        if let Some(bars) = result.histogram.as_ref().filter(|bars| bars.len() > 1) {
            writeln!(self.out)?;
            for line in histogram_lines(bars, self.width() - 2, self.style.unicode) {
                writeln!(self.out, "  {line}")?;
            }
        }
        Ok(())
    }

    fn trust(&mut self, result: &RunResult) -> io::Result<()> {
        writeln!(self.out)?;
        self.labelled("trust", &trust_parts(&result.trust), ", ")?;
        for warning in warnings(result) {
            self.warning(warning)?;
        }
        Ok(())
    }

    fn next(&mut self, result: &RunResult) -> io::Result<()> {
        match next_command(result) {
            Some(command) => self.labelled("next", &command, "   "),
            None => Ok(()),
        }
    }
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

fn objective_text(objective: &SloResult) -> String {
    let expr = &objective.expr;
    match (objective.observed_text(), &objective.why) {
        (Some(observed), Some(why)) => format!("{expr} was {observed}: {why}"),
        (Some(observed), None) => format!("{expr} was {observed}"),
        (None, Some(why)) => format!("{expr}: {why}"),
        (None, None) => expr.clone(),
    }
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

/// Where messages were lost, the worst first: in which streams, and for which of several subscribers.
fn losses(load: &Load) -> Vec<String> {
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

fn timing_parts(connection: &ConnectionResult) -> Vec<String> {
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

pub(super) fn trust_parts(trust: &Trust) -> Vec<String> {
    let mut parts = Vec::new();
    if let Some(ratio) = trust.rate_ratio {
        parts.push(format!("{} of the plan was sent", format_percent(ratio)));
    }
    if let Some(lateness_ns) = trust.lateness_p99_ns {
        parts.push(format!("lateness p99 {}", format_nanos(lateness_ns)));
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

/// One command that would tell more, by what this run leaves open, and the question that it answers.
fn next_command(result: &RunResult) -> Option<[String; 2]> {
    let told = |command: &str, question: &str| Some([command.to_owned(), format!("# {question}")]);
    if result.command == "pub" {
        return told("natsbench sub 'rounds.type.*'", "see them arrive");
    }
    if result.command != "latency" {
        return None;
    }
    if result.load.received == 0 {
        return told(
            "natsbench sub 'rounds.>' --stats",
            "does anything arrive at all?",
        );
    }
    let at_half_rate = |question: &str| {
        let half_rate = format_decimal(result.rate.target_per_s? / 2.0).replace(',', "");
        told(&format!("natsbench latency --rate {half_rate}"), question)
    };
    if result.load.lost.is_some_and(|lost| lost > 0) {
        return at_half_rate("is anything lost at half the rate?");
    }
    let is_late = |doubt: &String| doubt.starts_with("the generator");
    if result.trust.doubts.iter().any(is_late) {
        return at_half_rate("is the generator late at half the rate?");
    }
    let response = result.latency.as_ref()?.response.as_ref();
    if response.is_some_and(|stats| stats.p99_ns.is_none()) {
        return told(
            "natsbench latency --duration 1m",
            "more samples for the higher percentiles",
        );
    }
    if result.slo.is_empty() {
        return told(
            "natsbench latency --slo 'p99<2ms' --slo 'lost==0'",
            "exit code 4 if missed",
        );
    }
    told(
        "natsbench latency --save result.json --hdr result.hlog",
        "keep the evidence",
    )
}
