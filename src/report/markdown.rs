//! The result as tables, for a document or a pull request.

use std::io::{self, Write};

use super::human::{latency_rows, nanos_text, verdict_sentence};
use crate::results::{LatencyStats, RunResult, SloResult, Verdict};
use crate::units::{format_count, format_decimal, format_nanos};

pub(super) fn write(out: &mut dyn Write, result: &RunResult) -> io::Result<()> {
    writeln!(
        out,
        "## natsbench {}\n\n**{}**\n",
        result.command,
        escape(&verdict_sentence(result))
    )?;
    if !result.slo.is_empty() {
        let rows = result.slo.iter().map(|objective| {
            let verdict = match objective.verdict {
                Verdict::Pass => "pass",
                Verdict::Fail => "**fail**",
                Verdict::Inconclusive => "inconclusive",
            };
            vec![
                format!("`{}`", objective.expr),
                escape(&observed_text(objective)),
                verdict.to_owned(),
            ]
        });
        table(out, &["objective", "observed", "verdict"], rows)?;
    }
    load(out, result)?;
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
    environment(out, result)?;
    for doubt in &result.trust.doubts {
        writeln!(out, "- {}", escape(doubt))?;
    }
    Ok(())
}

fn load(out: &mut dyn Write, result: &RunResult) -> io::Result<()> {
    let load = &result.load;
    let counts = [
        ("planned", load.planned),
        ("sent", load.sent),
        ("expected", load.expected),
        ("received", Some(load.received)),
        ("lost", load.lost),
        ("duplicated", Some(load.duplicated)),
        ("reordered", Some(load.reordered)),
        ("undecodable", Some(load.undecodable)),
    ];
    let present: Vec<(&str, u64)> = counts
        .into_iter()
        .filter_map(|(name, count)| Some((name, count?)))
        .collect();
    let head: Vec<&str> = present.iter().map(|(name, _)| *name).collect();
    table(
        out,
        &head,
        [present
            .iter()
            .map(|(_, count)| format_count(*count))
            .collect()],
    )
}

fn environment(out: &mut dyn Write, result: &RunResult) -> io::Result<()> {
    let mut facts = Vec::new();
    if let Some(connection) = &result.connection {
        let version = connection.server_version.as_deref().unwrap_or("unknown");
        facts.push(format!("nats-server {version} at {}", connection.url));
    }
    facts.push(format!(
        "natsbench {}",
        result.environment.natsbench_version
    ));
    facts.extend(result.environment.cpu_model.clone());
    if let Some(n_cpus) = result.environment.n_cpus {
        facts.push(format!("{n_cpus} processors"));
    }
    facts.push(format!(
        "{}, {}",
        result.started_at,
        nanos_text(result.duration_ns)
    ));
    writeln!(out, "{}\n", escape(&facts.join("; ")))
}

/// What was observed for an objective, and why it may not tell.
pub(super) fn observed_text(objective: &SloResult) -> String {
    let value = match (objective.observed_ns, objective.observed) {
        (Some(nanos), _) => format!("was {}", format_nanos(nanos)),
        (None, Some(value)) => format!("was {}", format_decimal(value)),
        (None, None) => String::new(),
    };
    match &objective.why {
        Some(why) if value.is_empty() => why.clone(),
        Some(why) => format!("{value}: {why}"),
        None => value,
    }
}

fn table(
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

/// Text that came from elsewhere must not end a table cell or start markup.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('|', "\\|")
        .replace('<', "&lt;")
        .replace('\n', " ")
}
