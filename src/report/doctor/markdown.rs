//! The report for a document, a pull request or a step summary.

use std::io::{self, Write};

use super::words::{Line, all_clear, alternative, answer, is_fault, lines_of, nanos_text};
use crate::report::harmless::harmless;
use crate::report::markdown::{escape, table};
use crate::report::pointer::pointer;
use crate::results::doctor::{CheckStatus, DoctorResult, Finding};

pub(super) fn write(out: &mut dyn Write, result: &DoctorResult) -> io::Result<()> {
    writeln!(out, "## natsbench doctor\n")?;
    let servers = result.servers();
    if servers.is_empty() {
        return server(out, result);
    }
    let common = result.part(None);
    findings(out, &common)?;
    for name in servers {
        writeln!(out, "### {}\n", escape(name))?;
        server(out, &result.part(Some(name)))?;
    }
    Ok(())
}

fn server(out: &mut dyn Write, result: &DoctorResult) -> io::Result<()> {
    if !result.findings.iter().any(is_fault) {
        writeln!(out, "**{}**\n", inline(&all_clear(result)))?;
    }
    findings(out, result)?;
    if !result.facts.is_empty() {
        let facts = result.facts.iter();
        let rows = facts.map(|fact| vec![cell(&fact.name), cell(&fact.value)]);
        table(out, &["known", ""], rows)?;
    }
    let rows = result.checks.iter().map(|check| {
        let status = match check.status {
            CheckStatus::Passed => "passed",
            CheckStatus::Failed => "**failed**",
            CheckStatus::Warned => "**warned**",
            CheckStatus::Skipped if check.could_not_look => "could not look",
            CheckStatus::Skipped => "skipped",
        };
        let took = match check.status {
            CheckStatus::Skipped => "-".to_owned(),
            _ => nanos_text(check.duration_ns),
        };
        let told = check.reason.as_ref().or(check.detail.as_ref());
        let told = told.map(|text| cell(text)).unwrap_or_default();
        vec![cell(&check.id), status.to_owned(), took, told]
    });
    table(out, &["check", "status", "time", ""], rows)?;
    let version = &result.natsbench_version;
    let end = if result.interrupted {
        "interrupted after"
    } else {
        "in"
    };
    let took = nanos_text(result.duration_ns);
    writeln!(
        out,
        "natsbench {} looked at {}, {}, {end} {took}.\n",
        escape(version),
        escape(&result.target),
        escape(&result.started_at)
    )
}

fn findings(out: &mut dyn Write, result: &DoctorResult) -> io::Result<()> {
    result
        .findings
        .iter()
        .try_for_each(|found| finding(out, found))
}

fn finding(out: &mut dyn Write, finding: &Finding) -> io::Result<()> {
    let code = escape(&finding.code);
    writeln!(out, "**{}** ({code})\n", inline(&answer(finding)))?;
    if let Some(typed) = &finding.pointer {
        let drawn = pointer(&typed.text, typed.start..typed.end);
        let lines: Vec<&str> = drawn.lines().collect();
        fenced(out, &lines)?;
    }
    if !finding.explanation.is_empty() {
        writeln!(out, "{}\n", paragraph(&finding.explanation))?;
    }
    if !finding.evidence.is_empty() {
        let evidence = finding.evidence.iter();
        let rows = evidence.map(|seen| vec![cell(&seen.name), cell(&seen.value)]);
        table(out, &["seen", ""], rows)?;
    }
    for remedy in &finding.remedy {
        let mut pasted: Vec<&str> = Vec::new();
        for (idx, line) in lines_of(remedy).enumerate() {
            match line {
                Line::Paste(text) => pasted.push(text),
                Line::Say(text) => {
                    fenced(out, &std::mem::take(&mut pasted))?;
                    let lead = if idx == 0 { "**Fix:** " } else { "" };
                    writeln!(out, "{lead}{}\n", paragraph(text))?;
                }
            }
        }
        fenced(out, &pasted)?;
    }
    for other in &finding.alternatives {
        writeln!(
            out,
            "**It may also be:** {}\n",
            paragraph(&alternative(other))
        )?;
    }
    Ok(())
}

/// Lines to be pasted, in a fence that is longer than any in them.
fn fenced(out: &mut dyn Write, lines: &[&str]) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let ticks = |line: &&str| {
        let runs = line.split(|c| c != '`');
        runs.map(str::len).max().unwrap_or(0)
    };
    let longest = lines.iter().map(ticks).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    writeln!(out, "{fence}text")?;
    for line in lines {
        writeln!(out, "{}", harmless(line))?;
    }
    writeln!(out, "{fence}\n")
}

/// Text of one line, with what stands between backticks as code. As tags, because between real backticks nothing could
/// be escaped, and a server may have put them there.
fn inline(text: &str) -> String {
    if text.contains("``") {
        return escape(text);
    }
    let mut out = String::new();
    let mut parts = text.split('`').peekable();
    let mut is_code = false;
    while let Some(part) = parts.next() {
        let is_closed = parts.peek().is_some();
        if is_code && is_closed {
            out.extend(["<code>", &escape(part), "</code>"]);
        } else if is_code {
            // One that nothing closes is a character like others.
            out.push_str(&escape(&format!("`{part}")));
        } else {
            out.push_str(&escape(part));
        }
        is_code = !is_code;
    }
    out
}

/// Text of any number of lines in one cell of a table.
fn cell(text: &str) -> String {
    let lines = text.lines().map(inline);
    lines.collect::<Vec<_>>().join("<br>")
}

/// Text of any number of lines in one paragraph, which begins no heading, list or quotation.
fn paragraph(text: &str) -> String {
    let lines = text.lines().map(|line| inline(line.trim_start()));
    let text = lines.collect::<Vec<_>>().join(" ");
    match text.chars().next() {
        Some('#' | '>' | '-' | '+' | '=' | '_') => format!("\\{text}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_becomes_code_and_nothing_gets_out_of_it() {
        for (text, markdown) in [
            ("use `tls { }` there", "use <code>tls { }</code> there"),
            (
                "`a.*` and `b|c`",
                "<code>a.\\*</code> and <code>b\\|c</code>",
            ),
            ("a ``b`` c", "a \\`\\`b\\`\\` c"),
            ("one ` alone", "one \\` alone"),
            ("`</code><b>`", "<code>&lt;/code>&lt;b></code>"),
        ] {
            assert_eq!(inline(text), markdown);
        }
    }
}
