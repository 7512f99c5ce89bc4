//! The result as tables, for a document or a pull request.

use std::io::{self, Write};

use super::facts::{
    checkpoint, connection_parts, delivery_counts, explained_counts, latency_rows, nanos_text,
    other_publisher, rate_line, trust_parts, verdict_sentence, warnings,
};
use super::harmless::harmless;
use super::outages;
use crate::results::{LatencyStats, RunResult, SloResult, StreamLoad, Verdict};
use crate::units::format_count;

pub(super) fn write(out: &mut dyn Write, result: &RunResult) -> io::Result<()> {
    writeln!(
        out,
        "## natsbench {}\n\n**{}**\n",
        result.command,
        escape(&verdict_sentence(result))
    )?;
    if let Some(checkpoint) = checkpoint(result) {
        writeln!(out, "{checkpoint}\n")?;
    }
    if !result.slo.is_empty() {
        let rows = result.slo.iter().map(|objective| {
            let verdict = match objective.verdict {
                Verdict::Pass => "pass",
                Verdict::Fail => "**fail**",
                Verdict::Inconclusive => "inconclusive",
            };
            vec![
                format!("`{}`", objective.expr),
                escape(&observed(objective)),
                verdict.to_owned(),
            ]
        });
        table(out, &["objective", "observed", "verdict"], rows)?;
    }
    load(out, result)?;
    outages(out, result)?;
    if let Some(latency) = &result.latency {
        let columns: Vec<(&str, &LatencyStats)> = [
            ("response", &latency.response),
            ("service", &latency.service),
            ("lateness", &latency.lateness),
        ]
        .into_iter()
        .filter_map(|(name, stats)| Some((name, stats.as_ref()?)))
        .collect();
        let mut rows = latency_rows(&columns).into_iter();
        let head = rows.next().unwrap_or_default();
        table(
            out,
            &head.iter().map(String::as_str).collect::<Vec<_>>(),
            rows,
        )?;
    }
    streams(out, result)?;
    facts(out, result)
}

fn load(out: &mut dyn Write, result: &RunResult) -> io::Result<()> {
    let counts = delivery_counts(result);
    let head: Vec<&str> = counts.iter().map(|(name, _)| *name).collect();
    let row = counts.iter().map(|(_, count)| format_count(*count));
    table(out, &head, [row.collect()])?;
    match explained_counts(&result.load) {
        Some(explained) => writeln!(out, "{explained}\n"),
        None => Ok(()),
    }
}

/// A row for each incident.
fn outages(out: &mut dyn Write, result: &RunResult) -> io::Result<()> {
    let outages = outages::told(result);
    if outages.shown.is_empty() {
        return Ok(());
    }
    let rows = outages.shown.iter().map(|told| {
        let back = told.back.join("; ");
        let length = told.length.strip_prefix("for ").unwrap_or(&told.length);
        [&told.at, length, &told.cause, &told.who, &back, &told.cost]
            .map(escape)
            .to_vec()
    });
    let head = ["outage at", "for", "cause", "connections", "back", "cost"];
    table(out, &head, rows)?;
    match outages.rest {
        Some(rest) => writeln!(out, "{}\n", escape(&rest)),
        None => Ok(()),
    }
}

/// A row for each publisher and subject, as many as a document bears.
fn streams(out: &mut dyn Write, result: &RunResult) -> io::Result<()> {
    const MAX_ROWS: usize = 40;
    let streams = &result.load.streams;
    if streams.is_empty() {
        return Ok(());
    }
    let is_in_doubt = |stream: &StreamLoad| stream.in_doubt.is_some_and(|count| count > 0);
    let has_doubt = streams.iter().any(is_in_doubt);
    let count = |count: Option<u64>| count.map_or_else(|| "-".to_owned(), format_count);
    let rows = streams.iter().take(MAX_ROWS).map(|stream| {
        let publisher = match stream.run.as_str() {
            "" => stream.publisher.to_string(),
            run => format!("{} of run {run}", stream.publisher),
        };
        let mut row = vec![
            publisher,
            format!("`{}`", escape(&stream.subject.replace('`', "'"))),
        ];
        let received = (result.command != "pub").then_some(stream.received);
        row.extend([stream.sent, stream.expected, received, stream.lost].map(count));
        row.extend(has_doubt.then(|| count(stream.in_doubt)));
        row
    });
    let mut head = vec![
        "publisher",
        "subject",
        "sent",
        "expected",
        "received",
        "lost",
    ];
    head.extend(has_doubt.then_some("in doubt"));
    table(out, &head, rows)?;
    if streams.len() > MAX_ROWS {
        writeln!(
            out,
            "{} more streams are not shown.\n",
            streams.len() - MAX_ROWS
        )?;
    }
    Ok(())
}

/// What the numbers rest on, a line each.
fn facts(out: &mut dyn Write, result: &RunResult) -> io::Result<()> {
    let environment = &result.environment;
    let mut facts: Vec<(&str, String)> = Vec::new();
    facts.extend(rate_line(result).map(|rate| ("rate", rate)));
    let connections = [
        ("broker", result.connection.as_ref()),
        ("publisher", other_publisher(result)),
    ];
    for (name, connection) in connections {
        facts.extend(connection.map(|connection| (name, connection_parts(connection).join(", "))));
    }
    facts.push(("trust", trust_parts(result).join(", ")));
    let machine = [
        environment.cpu_model.clone(),
        environment
            .n_cpus
            .map(|n_cpus| format!("{n_cpus} processors")),
        environment
            .kernel
            .as_ref()
            .map(|kernel| format!("{} {kernel}", environment.os)),
    ];
    let machine: Vec<String> = machine.into_iter().flatten().collect();
    facts.push(("machine", machine.join(", ")));
    let version = &environment.natsbench_version;
    let duration = nanos_text(result.duration_ns);
    facts.push((
        "run",
        format!("natsbench {version}, {}, {duration}", result.started_at),
    ));
    facts.extend(warnings(result).map(|warning| ("warning", warning.to_owned())));
    for (name, fact) in facts.iter().filter(|(_, fact)| !fact.is_empty()) {
        let name = if *name == "warning" {
            "**warning**"
        } else {
            name
        };
        writeln!(out, "- {name}: {}", escape(fact))?;
    }
    Ok(())
}

/// What was observed for an objective, and why it may not tell.
fn observed(objective: &SloResult) -> String {
    let observed = objective.observed_text().into_iter();
    let told: Vec<String> = observed.chain(objective.why.clone()).collect();
    told.join(": ")
}

pub(super) fn table(
    out: &mut dyn Write,
    head: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> io::Result<()> {
    writeln!(out, "| {} |", head.join(" | "))?;
    writeln!(out, "|{}", "---|".repeat(head.len()))?;
    for row in rows {
        writeln!(out, "| {} |", row.join(" | "))?;
    }
    writeln!(out)
}

/// Text that came from elsewhere must neither end a table cell nor start markup: a link, an image, code, HTML.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in harmless(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '\\' | '|' | '*' | '`' | '[' | ']' | '~' | '$' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}
