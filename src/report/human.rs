//! The report for people: one screen, the answer first.

use std::io::{self, Write};

use anstyle::{AnsiColor, Color, Style as Paint};

use super::Style;
use super::chart::histogram_lines;
use super::facts::{
    checkpoint, connection_parts, delivery_counts, explained_counts, latency_rows, losses,
    other_publisher, rate_line, timing_parts, trust_parts, verdict_sentence, warnings,
};
use super::outages::{self, Outages, Told};
use super::table::{column_lines, fill, side_by_side, wrap};
use crate::results::outages::{CauseKind, Outage};
use crate::results::{Bar, LatencyStats, RunResult, SloResult, Verdict};
use crate::units::{format_count, format_decimal};

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
    page.incidents(&outages::told(result), Told::sentence)?;
    for warning in warnings(result) {
        page.warning(warning)?;
    }
    Ok(())
}

/// Columns in front of what stands behind a label.
const INDENT: usize = 11;

struct Page<'a> {
    out: &'a mut dyn Write,
    style: Style,
}

impl Page<'_> {
    fn width(&self) -> usize {
        self.style.columns()
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
        if let Some(checkpoint) = checkpoint(result) {
            writeln!(self.out, "{checkpoint}")?;
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
        self.outages(result)?;
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
        if let Some(explained) = explained_counts(&result.load) {
            for line in wrap(explained, self.width() - INDENT) {
                writeln!(self.out, "{:INDENT$}{line}", "")?;
            }
        }
        if !outages::explain_all_losses(result) {
            for loss in losses(&result.load) {
                self.warning(&loss)?;
            }
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

    /// Each incident, in full where they are few.
    fn outages(&mut self, result: &RunResult) -> io::Result<()> {
        const MAX_IN_FULL: usize = 2;
        let outages = outages::told(result);
        let paragraphs = if outages.shown.len() <= MAX_IN_FULL {
            Told::paragraphs
        } else {
            Told::brief_paragraphs
        };
        self.incidents(&outages, paragraphs)
    }

    /// Incidents, numbered where there are several.
    fn incidents(
        &mut self,
        outages: &Outages,
        paragraphs: impl Fn(&Told) -> Vec<String>,
    ) -> io::Result<()> {
        let indent = if outages.shown.len() > 1 { 3 } else { 0 };
        let room = self.width() - INDENT - indent;
        for (idx, told) in outages.shown.iter().enumerate() {
            let paragraphs = paragraphs(told);
            let lines = paragraphs.iter().flat_map(|text| wrap(text, room));
            for (line_idx, line) in lines.enumerate() {
                let label = if (idx, line_idx) == (0, 0) {
                    "outages"
                } else {
                    ""
                };
                let number = match line_idx {
                    0 if indent > 0 => (idx + 1).to_string(),
                    _ => String::new(),
                };
                writeln!(self.out, "{label:<9}  {number:<indent$}{line}")?;
            }
        }
        let rest = outages.rest.as_ref();
        let lines = rest.map_or_else(Vec::new, |rest| wrap(rest, self.width() - INDENT));
        for line in lines {
            writeln!(self.out, "{:INDENT$}{line}", "")?;
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
        let table = column_lines(&latency_rows(&present));
        let bars = result.histogram.as_ref().filter(|bars| bars.len() > 1);
        for line in self.beside_histogram(table, bars.map_or(&[], Vec::as_slice)) {
            writeln!(self.out, "{line}")?;
        }
        Ok(())
    }

    /// The histogram to the right of the table, so that the report fits one screen, or below it where there is no room.
    fn beside_histogram(&self, table: Vec<String>, bars: &[Bar]) -> Vec<String> {
        const GAP: usize = 3;
        if bars.is_empty() {
            return table;
        }
        let columns = |line: &String| line.chars().count();
        let table_width = table.iter().map(columns).max().unwrap_or(0);
        let room = self.width().saturating_sub(table_width + GAP);
        let mut lines = histogram_lines(bars, room, self.style.unicode);
        if lines.iter().all(|line| columns(line) <= room) {
            // The first line of the table is its head.
            lines.insert(0, "response".to_owned());
            return side_by_side(&table, &lines, GAP);
        }
        let below = histogram_lines(bars, self.width() - 2, self.style.unicode);
        let below = below.iter().map(|line| format!("  {line}"));
        table
            .into_iter()
            .chain([String::new()])
            .chain(below)
            .collect()
    }

    fn trust(&mut self, result: &RunResult) -> io::Result<()> {
        writeln!(self.out)?;
        self.labelled("trust", &trust_parts(result), ", ")?;
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

fn objective_text(objective: &SloResult) -> String {
    let expr = &objective.expr;
    match (objective.observed_text(), &objective.why) {
        (Some(observed), Some(why)) => format!("{expr} was {observed}: {why}"),
        (Some(observed), None) => format!("{expr} was {observed}"),
        (None, Some(why)) => format!("{expr}: {why}"),
        (None, None) => expr.clone(),
    }
}

/// One command that would tell more, by what this run leaves open, and the question that it answers.
fn next_command(result: &RunResult) -> Option<[String; 2]> {
    let told = |command: &str, question: &str| Some([command.to_owned(), format!("# {question}")]);
    // The cause is named in the report, unless the connection ended without a word.
    let is_silent = |outage: &Outage| {
        use CauseKind::{Eof, Library, Reset, Timeout};
        matches!(outage.cause.kind, Eof | Library | Reset | Timeout)
    };
    if result.outages.iter().any(is_silent) {
        return told(
            "natsbench doctor --watch 10m",
            "what ends a connection, and when",
        );
    }
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
    if result.outages.is_empty() && result.load.lost.is_some_and(|lost| lost > 0) {
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
            "a gate for CI",
        );
    }
    told(
        "natsbench latency --save result.json --hdr result.hlog",
        "to keep",
    )
}
