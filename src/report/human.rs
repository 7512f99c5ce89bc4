//! The report for people: one screen, the answer first.

use std::io::{self, Write};

use anstyle::{AnsiColor, Color, Style as Paint};

use super::chart::histogram_lines;
use super::table::{wrap, write_columns};
use super::{Style, markdown};
use crate::results::{ConnectionResult, LatencyStats, Load, RunResult, SloResult, Trust, Verdict};
use crate::units::{format_count, format_decimal, format_nanos};

pub(super) fn write(out: &mut dyn Write, result: &RunResult, style: Style) -> io::Result<()> {
    let mut page = Page { out, style };
    page.verdict(result)?;
    page.objectives(&result.slo)?;
    page.load(result)?;
    page.latency(result)?;
    page.trust(result)?;
    page.next(result)
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

struct Page<'a> {
    out: &'a mut dyn Write,
    style: Style,
}

impl Page<'_> {
    fn width(&self) -> usize {
        usize::from(self.style.width)
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
        for line in wrap(&verdict_sentence(result), self.width())
            .into_iter()
            .take(MAX_LINES)
        {
            let line = self.painted(&line, result.verdict);
            writeln!(self.out, "{line}")?;
        }
        Ok(())
    }

    fn objectives(&mut self, slo: &[SloResult]) -> io::Result<()> {
        for objective in slo {
            let mark = match (objective.verdict, self.style.unicode) {
                (Verdict::Pass, true) => "\u{2713}",
                (Verdict::Fail, true) => "\u{2717}",
                (Verdict::Pass, false) => "ok",
                (Verdict::Fail, false) => "no",
                (Verdict::Inconclusive, _) => "?",
            };
            let mark = self.painted(mark, objective.verdict);
            let line = format!("{} {}", objective.expr, markdown::observed_text(objective));
            for (idx, line) in wrap(&line, self.width() - 4).iter().enumerate() {
                writeln!(
                    self.out,
                    "  {} {line}",
                    if idx == 0 { mark.as_str() } else { " " }
                )?;
            }
        }
        Ok(())
    }

    fn load(&mut self, result: &RunResult) -> io::Result<()> {
        writeln!(self.out)?;
        if let Some(line) = rate_line(result) {
            self.labelled("rate", &line)?;
        }
        self.labelled("delivery", &delivery_line(&result.load))?;
        if let Some(connection) = &result.connection {
            self.labelled("broker", &connection_line(connection))?;
            self.labelled("connect", &timings_line(connection))?;
        }
        Ok(())
    }

    fn labelled(&mut self, label: &str, text: &str) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        for (idx, line) in wrap(text, self.width() - 11).iter().enumerate() {
            writeln!(self.out, "{:<9}  {line}", if idx == 0 { label } else { "" })?;
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
        self.labelled("trust", &trust_line(&result.trust))?;
        for connection in [&result.connection, &result.publisher_connection]
            .into_iter()
            .flatten()
        {
            if connection.verified == Some(false) {
                self.labelled("", "! TLS certificates were NOT verified (--insecure)")?;
                break;
            }
        }
        for doubt in &result.trust.doubts {
            self.labelled("", &format!("! {doubt}"))?;
        }
        Ok(())
    }

    fn next(&mut self, result: &RunResult) -> io::Result<()> {
        match next_command(result) {
            Some(command) => self.labelled("next", &command),
            None => Ok(()),
        }
    }
}

fn rate_line(result: &RunResult) -> Option<String> {
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

/// Every counter that is not zero; lost and received always where they are known.
fn delivery_line(load: &Load) -> String {
    let mut parts = Vec::new();
    let mut known = |name: &str, count: Option<u64>| {
        if let Some(count) = count {
            parts.push(format!("{name} {}", format_count(count)));
        }
    };
    known("planned", load.planned);
    known("sent", load.sent);
    known("expected", load.expected);
    known(
        "received",
        (load.received > 0 || load.sent.is_none() || load.expected.is_some())
            .then_some(load.received),
    );
    known("lost", load.lost);
    for (name, count) in [
        ("duplicated", load.duplicated),
        ("reordered", load.reordered),
        ("undecodable", load.undecodable),
        ("unstamped", load.unstamped),
        ("of other runs", load.foreign),
        ("refused", load.refused),
        ("streams with unknown tail", load.tail_unknown_streams),
    ] {
        known(name, (count > 0).then_some(count));
    }
    parts.join(", ")
}

fn connection_line(connection: &ConnectionResult) -> String {
    let mut line = match &connection.server_version {
        Some(version) => format!("nats-server {version} at {}", connection.url),
        None => connection.url.clone(),
    };
    if connection.compressed {
        line.push_str(", compressed");
    }
    if !connection.masked && connection.server_version.is_some() {
        line.push_str(", unmasked");
    }
    if connection.client != "raw" {
        line.push_str(", client ");
        line.push_str(&connection.client);
    }
    line
}

fn timings_line(connection: &ConnectionResult) -> String {
    let steps = [
        ("dns", connection.dns_ns),
        ("tcp", connection.tcp_ns),
        ("tls", connection.tls_ns),
        ("upgrade", connection.upgrade_ns),
        ("info", connection.info_ns),
        ("connect", connection.connect_ns),
    ];
    let shown = |(name, nanos): (&str, Option<u64>)| Some(format!("{name} {}", nanos_text(nanos?)));
    steps
        .into_iter()
        .filter_map(shown)
        .collect::<Vec<_>>()
        .join(", ")
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

fn trust_line(trust: &Trust) -> String {
    let percent = |ratio: f64| format!("{}%", format_decimal((ratio * 10_000.0).round() / 100.0));
    let mut parts = Vec::new();
    if let Some(ratio) = trust.rate_ratio {
        parts.push(format!("{} of the plan was sent", percent(ratio)));
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
    if let Some(ratio) = trust.cpu_steal_ratio {
        parts.push(format!("steal {}", percent(ratio)));
    }
    if let Some(throttled_ns) = trust.cpu_throttled_ns {
        parts.push(format!("throttled {}", nanos_text(throttled_ns)));
    }
    match trust.clock_step_ns {
        Some(step_ns) => parts.push(format!("clock stepped by {}", format_nanos(step_ns))),
        None => parts.push("no clock step".to_owned()),
    }
    parts.join(", ")
}

/// One command that would tell more, by what this run leaves open.
fn next_command(result: &RunResult) -> Option<String> {
    let response = result
        .latency
        .as_ref()
        .and_then(|latency| latency.response.as_ref());
    match result.command.as_str() {
        "latency" if result.load.received == 0 => {
            Some("natsbench sub 'rounds.>' --stats   # does anything arrive at all?".to_owned())
        }
        "latency" if !result.trust.doubts.is_empty() => {
            Some("the same again on a quieter machine, or at a lower --rate".to_owned())
        }
        "latency" if response.is_some_and(|stats| stats.p99_ns.is_none()) => Some(
            "natsbench latency --duration 1m   # more samples for the higher percentiles"
                .to_owned(),
        ),
        "latency" if result.slo.is_empty() => Some(
            "natsbench latency --slo 'p99<2ms' --slo 'lost==0'   # exit code 4 if missed"
                .to_owned(),
        ),
        "latency" => Some(
            "natsbench latency --save result.json --hdr result.hlog   # keep the evidence"
                .to_owned(),
        ),
        "pub" => Some("natsbench sub 'rounds.type.*'   # see them arrive".to_owned()),
        _ => None,
    }
}
