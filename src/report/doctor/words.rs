//! What the reports have in common: the same words for the same thing, without markup.

use crate::report::harmless::harmless;
use crate::results::doctor::{
    Alternative, Certainty, CheckResult, CheckStatus, DoctorResult, Fact, Finding, Severity,
};
use crate::units::format_nanos;

/// A finding in one sentence, with how bad and how sure it is wherever that is not plain.
pub(super) fn answer(finding: &Finding) -> String {
    let bad = match finding.severity {
        Severity::Error => return claim(finding),
        Severity::Warning => "Warning",
        Severity::Info => "Note",
    };
    let title = &finding.title;
    match finding.certainty {
        Certainty::Certain => format!("{bad}: {title}"),
        Certainty::Likely => format!("{bad}, most likely: {title}"),
        Certainty::Possible => format!("{bad}, possibly: {title}"),
    }
}

/// The same for readers that are told elsewhere how bad it is.
pub(super) fn claim(finding: &Finding) -> String {
    match finding.certainty {
        Certainty::Certain => finding.title.clone(),
        Certainty::Likely => format!("Most likely: {}", finding.title),
        Certainty::Possible => format!("Possibly: {}", finding.title),
    }
}

/// Whether a finding says that something is wrong.
pub(super) fn is_fault(finding: &Finding) -> bool {
    finding.severity > Severity::Info
}

/// What can be said where nothing is wrong.
pub(super) fn all_clear(result: &DoctorResult) -> String {
    let target = &result.target;
    let version = fact(result, "version").map(|fact| fact.value.as_str());
    let looked =
        |check: &&CheckResult| matches!(check.status, CheckStatus::Passed | CheckStatus::Warned);
    let checked: Vec<&CheckResult> = result.checks.iter().filter(looked).collect();
    let last = checked.last().map_or("", |check| check.id.as_str());
    if works(result) {
        version.map_or_else(
            || format!("{target} works."),
            |version| format!("{target} works: {version}."),
        )
    } else if !result.interrupted && !connected(result) && !subjects(result).is_empty() {
        validity(&subjects(result))
    } else if result.interrupted {
        format!("Interrupted: nothing wrong was found with {target} until then.")
    } else if last == "input" {
        "Nothing is wrong with what can be judged without a connection.".to_owned()
    } else if checked.is_empty() {
        format!("Nothing was looked at of {target}.")
    } else {
        format!("Nothing wrong was found with {target}; the login was not looked at.")
    }
}

/// Which of several servers have an error; nothing where none has.
pub(super) fn broken_servers(result: &DoctorResult) -> Option<String> {
    let servers = result.servers();
    let has_error = |server: &str| {
        let mut findings = result.findings.iter();
        findings.any(|finding| {
            finding.server.as_deref() == Some(server) && finding.severity == Severity::Error
        })
    };
    let broken: Vec<&str> = servers
        .iter()
        .copied()
        .filter(|server| has_error(server))
        .collect();
    let do_not = if broken.len() == 1 {
        "does not"
    } else {
        "do not"
    };
    let text = format!(
        "{} of {} servers {do_not} work: {}.",
        broken.len(),
        servers.len(),
        broken.join(", ")
    );
    (!broken.is_empty()).then_some(text)
}

/// What can be said beside a fault, where there was a login.
pub(super) fn otherwise(result: &DoctorResult) -> String {
    let version = fact(result, "version").map(|fact| format!(": {}", fact.value));
    let version = version.unwrap_or_default();
    let mut faults = result.findings.iter();
    let ended = faults.any(|finding| {
        let mut evidence = finding.evidence.iter();
        let works = evidence.any(|seen| seen.name == "new connection" && seen.value == "logs in");
        finding.check == "watch" && finding.severity == Severity::Error && !works
    });
    if ended {
        format!("Until then {} worked{version}.", result.target)
    } else {
        format!("Otherwise {} works{version}.", result.target)
    }
}

/// The subjects that are known to be valid: facts whose names are quoted.
fn subjects(result: &DoctorResult) -> Vec<&str> {
    let names = result.facts.iter().map(|fact| fact.name.as_str());
    names.filter(|name| name.starts_with('`')).collect()
}

fn validity(subjects: &[&str]) -> String {
    match subjects {
        [subject] => format!("{subject} is valid."),
        [first, second] => format!("{first} and {second} are valid."),
        several => format!("All {} subjects are valid.", several.len()),
    }
}

/// What is known of a server that has a fault, where the findings do not say it already.
pub(super) fn known(result: &DoctorResult) -> Vec<String> {
    let evidence = || result.findings.iter().flat_map(|found| &found.evidence);
    let facts = result.facts.iter().filter(|fact| {
        let is_told = fact.name == "version" && works(result)
            || evidence().any(|seen| seen.name == fact.name);
        !is_told && (!fact.name.starts_with('`') || !connected(result))
    });
    facts
        .map(|fact| format!("{}: {}", fact.name, fact.value))
        .collect()
}

/// Whether anything was looked at but the input.
pub(super) fn connected(result: &DoctorResult) -> bool {
    let mut checks = result.checks.iter();
    checks.any(|check| check.status != CheckStatus::Skipped && check.id != "input")
}

/// Whether there was a login.
pub(super) fn works(result: &DoctorResult) -> bool {
    let mut checks = result.checks.iter();
    checks.any(|check| {
        check.id == "connect" && matches!(check.status, CheckStatus::Passed | CheckStatus::Warned)
    })
}

fn fact<'a>(result: &'a DoctorResult, name: &str) -> Option<&'a Fact> {
    result.facts.iter().find(|fact| fact.name == name)
}

/// One thing to do, in lines.
pub(super) enum Line<'a> {
    /// For people.
    Say(&'a str),
    /// To be pasted as it is.
    Paste(&'a str),
}

/// Takes a remedy apart.
pub(super) fn lines_of(remedy: &str) -> impl Iterator<Item = Line<'_>> {
    remedy.lines().map(|line| match line.strip_prefix("    ") {
        Some(pasted) => Line::Paste(pasted),
        None => Line::Say(line),
    })
}

/// How the reason of a check begins that looks only when asked to; what asks for it follows.
const NOT_ASKED_FOR: &str = "not asked for: ";

/// What was looked at and what was not, by label.
pub(super) fn looked_at(result: &DoctorResult) -> Vec<(&'static str, Vec<String>)> {
    let is_unasked = |check: &CheckResult| reason(check).starts_with(NOT_ASKED_FOR);
    let labelled = vec![
        ("Checked and fine", fine(result)),
        (
            "Could not look",
            skipped(result, |check| check.could_not_look),
        ),
        (
            "Not checked",
            skipped(result, |check| !check.could_not_look && !is_unasked(check)),
        ),
        (
            "Not asked for",
            skipped(result, |check| !check.could_not_look && is_unasked(check)),
        ),
    ];
    let is_told = |(_, checks): &(_, Vec<String>)| !checks.is_empty();
    labelled.into_iter().filter(is_told).collect()
}

fn reason(check: &CheckResult) -> &str {
    check.reason.as_deref().unwrap_or_default()
}

/// Those that looked and found nothing wrong, with how long that took; not those that connected to nothing.
fn fine(result: &DoctorResult) -> Vec<String> {
    let checks = result.checks.iter();
    let fine = checks.filter(|check| check.status == CheckStatus::Passed);
    fine.map(|check| match check.id.as_str() {
        "input" => check.id.clone(),
        id => format!("{id} ({})", nanos_text(check.duration_ns)),
    })
    .collect()
}

/// Those that did not look and are meant, by reason.
fn skipped(result: &DoctorResult, is_meant: impl Fn(&CheckResult) -> bool) -> Vec<String> {
    /// Names before the rest is only counted.
    const MAX_NAMES: usize = 3;
    let mut by_reason: Vec<(&str, Vec<&str>)> = Vec::new();
    for check in &result.checks {
        if check.status != CheckStatus::Skipped || !is_meant(check) {
            continue;
        }
        let reason = reason(check);
        let reason = reason.strip_prefix(NOT_ASKED_FOR).unwrap_or(reason);
        match by_reason.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, ids)) => ids.push(&check.id),
            None => by_reason.push((reason, vec![&check.id])),
        }
    }
    let told = by_reason.into_iter().map(|(reason, mut ids)| {
        let n_more = ids.len().saturating_sub(MAX_NAMES);
        let more = format!("{} more", n_more + 1);
        if n_more > 0 {
            ids.truncate(MAX_NAMES - 1);
            ids.push(&more);
        }
        let last = ids.pop().unwrap_or_default();
        let names = match ids.as_slice() {
            [] => last.to_owned(),
            before => format!("{} and {last}", before.join(", ")),
        };
        format!("{names} ({reason})")
    });
    told.collect()
}

/// Another cause, and how to tell, in two sentences.
pub(super) fn alternative(other: &Alternative) -> String {
    format!(
        "{} To tell: {}",
        sentence(&other.cause),
        sentence(&other.how_to_tell)
    )
}

/// A text with an end, whether or not it has one already.
fn sentence(text: &str) -> String {
    let text = text.trim_end();
    let end = if text.ends_with(['.', '?', '!']) {
        ""
    } else {
        "."
    };
    format!("{text}{end}")
}

/// A finding as plain lines: for readers that have no layout of their own.
pub(super) fn plain_lines(finding: &Finding) -> Vec<String> {
    let mut lines = vec![harmless(&answer(finding))];
    lines.extend(plain_details(finding));
    lines
}

/// The same without the answer.
pub(super) fn plain_details(finding: &Finding) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(some(&finding.explanation));
    if let Some(pointer) = &finding.pointer {
        let span = pointer.start..pointer.end;
        let drawn = crate::report::pointer::pointer(&pointer.text, span);
        lines.extend(drawn.lines().map(str::to_owned));
    }
    for evidence in &finding.evidence {
        lines.push(format!("{}: {}", evidence.name, evidence.value));
    }
    for remedy in &finding.remedy {
        lines.push(format!("Fix: {remedy}"));
    }
    for other in &finding.alternatives {
        lines.push(format!("It may also be: {}", alternative(other)));
    }
    lines.push(format!("Code: {}", finding.code));
    let lines = lines.iter().flat_map(|text| text.lines());
    lines.map(harmless).collect()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

pub(super) fn nanos_text(nanos: u64) -> String {
    format_nanos(i64::try_from(nanos).unwrap_or(i64::MAX))
}

/// The findings that a check has made, also those that are about no server in particular.
pub(super) fn findings_of<'a>(
    result: &'a DoctorResult,
    check: &'a CheckResult,
) -> impl Iterator<Item = &'a Finding> {
    result.findings.iter().filter(|finding| {
        finding.check == check.id && (finding.server.is_none() || finding.server == check.server)
    })
}
