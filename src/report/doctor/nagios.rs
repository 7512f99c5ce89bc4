//! One line for Nagios and what has learned from it: `DOCTOR OK - text|times`, details below.
//!
//! A `|` begins the performance data, wherever it stands, so that no text may hold one.

use std::io::{self, Write};

use super::words::{all_clear, claim, is_fault, looked_at, plain_details, plain_lines};
use crate::report::harmless::harmless;
use crate::results::doctor::{CheckStatus, DoctorResult, DoctorStatus};
use crate::units::parse_duration;

/// The fact that says how long a round trip takes.
const ROUND_TRIP: &str = "round trip";

pub(super) fn write(out: &mut dyn Write, result: &DoctorResult) -> io::Result<()> {
    let status = match result.status {
        DoctorStatus::Failed => "CRITICAL",
        _ if result.interrupted => "UNKNOWN",
        DoctorStatus::Warning => "WARNING",
        DoctorStatus::Ok => "OK",
    };
    let first = result.findings.iter().find(|finding| is_fault(finding));
    let text = match first {
        None => clear_text(result),
        Some(first) => {
            let server = first.server.as_ref();
            let lead = server.map(|server| format!("{server}: "));
            format!("{}{}", lead.unwrap_or_default(), claim(first))
        }
    };
    writeln!(
        out,
        "DOCTOR {status} - {}|{}",
        plain(&text),
        times(result).join(" ")
    )?;
    for finding in &result.findings {
        // The first line has said that.
        let is_said = first == Some(finding);
        let mut lines = if is_said {
            plain_details(finding)
        } else {
            plain_lines(finding)
        };
        if let Some(server) = finding.server.as_ref().filter(|_| !is_said) {
            lines[0] = format!("{server}: {}", lines[0]);
        }
        for line in lines {
            writeln!(out, "{}", plain(&line))?;
        }
    }
    if result.servers().is_empty() {
        for (label, checks) in looked_at(result) {
            writeln!(out, "{}", plain(&format!("{label}: {}", checks.join(", "))))?;
        }
    }
    Ok(())
}

/// What is said when there is no result.
pub(super) fn write_unknown(out: &mut dyn Write, reason: &str) -> io::Result<()> {
    let mut lines = reason.lines();
    let first = lines.next().unwrap_or_default();
    writeln!(out, "DOCTOR UNKNOWN - {}", plain(first))?;
    lines.try_for_each(|line| writeln!(out, "{}", plain(line)))
}

fn clear_text(result: &DoctorResult) -> String {
    let servers = result.servers();
    if servers.is_empty() {
        return all_clear(result);
    }
    let parts = servers.iter().map(|server| result.part(Some(server)));
    let texts = parts.map(|part| all_clear(&part));
    texts.collect::<Vec<_>>().join(" ")
}

fn plain(text: &str) -> String {
    harmless(text).replace('|', "/").trim_end().to_owned()
}

/// Performance data: the whole, each check that looked, and the round trip of a message.
fn times(result: &DoctorResult) -> Vec<String> {
    let mut times = vec![time("total", None, result.duration_ns)];
    for check in &result.checks {
        if check.status != CheckStatus::Skipped && check.id != "input" {
            times.push(time(&check.id, check.server.as_deref(), check.duration_ns));
        }
    }
    for fact in result.facts.iter().filter(|fact| fact.name == ROUND_TRIP) {
        // A number and its unit; what it is of comes behind them.
        let compact: String = fact.value.split(' ').take(2).collect();
        if let Ok(duration) = parse_duration(&compact) {
            let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
            times.push(time("rtt", fact.server.as_deref(), nanos));
        }
    }
    times
}

/// A time in seconds: exact, because a label once given to Nagios keeps its unit.
fn time(name: &str, server: Option<&str>, nanos: u64) -> String {
    let server = server
        .map(|server| format!("{server} "))
        .unwrap_or_default();
    let label: String = harmless(&format!("{server}{name}"))
        .chars()
        .map(|c| {
            if matches!(c, '\'' | '=' | '|') {
                '_'
            } else {
                c
            }
        })
        .collect();
    let (secs, nanos) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    format!("'{label}'={secs}.{nanos:09}s;;;0")
}
