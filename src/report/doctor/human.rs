//! The report for people: the answer first, then what it rests on, what to do, and what else was looked at.

use std::io::{self, Write};

use anstyle::{AnsiColor, Color, Style as Paint};

use super::layout::two_columns;
use super::words::{
    Line, all_clear, alternative, answer, broken_servers, connected, is_fault, known, lines_of,
    looked_at, nanos_text, otherwise, works,
};
use crate::report::Style;
use crate::report::harmless::harmless;
use crate::report::pointer::pointer;
use crate::report::table::wrap;
use crate::results::doctor::{CheckStatus, DoctorResult, DoctorStatus, Finding, Severity};

pub(super) fn write(out: &mut dyn Write, result: &DoctorResult, style: Style) -> io::Result<()> {
    let mut page = Page {
        out,
        width: style.columns(),
        style,
    };
    let servers = result.servers();
    if servers.is_empty() {
        return page.server(result, "");
    }
    if let Some(broken) = broken_servers(result) {
        page.line(&broken, Mark::Bad)?;
        writeln!(page.out)?;
    }
    let common = result.part(None);
    if !common.findings.is_empty() {
        page.faults(&common, "")?;
    }
    for (idx, server) in servers.iter().enumerate() {
        if idx > 0 || !common.findings.is_empty() {
            writeln!(page.out)?;
        }
        page.server(&result.part(Some(server)), &format!("{server}: "))?;
    }
    Ok(())
}

/// What marks a line.
#[derive(Clone, Copy)]
enum Mark {
    Good,
    Odd,
    Bad,
    Plain,
}

struct Page<'a> {
    out: &'a mut dyn Write,
    width: usize,
    style: Style,
}

impl Page<'_> {
    /// Everything about one server; `lead` names it where there are several.
    fn server(&mut self, result: &DoctorResult, lead: &str) -> io::Result<()> {
        if result.findings.iter().any(is_fault) {
            self.faults(result, lead)?;
            if works(result) {
                writeln!(self.out)?;
                self.line(&otherwise(result), Mark::Plain)?;
            }
        } else {
            let looked = result.checks.iter();
            let mut looked = looked.filter(|check| check.status == CheckStatus::Passed);
            let is_plain = result.interrupted || looked.next().is_none();
            let mark = if is_plain { Mark::Plain } else { Mark::Good };
            self.line(&all_clear(result), mark)?;
            self.facts(result)?;
        }
        let notes = result.findings.iter().filter(|finding| !is_fault(finding));
        for note in notes {
            writeln!(self.out)?;
            if result.status == DoctorStatus::Failed {
                // Beside a fault it is enough to know of it.
                self.headline(note)?;
            } else {
                self.further(note)?;
            }
        }
        writeln!(self.out)?;
        self.checks(result)
    }

    /// What is wrong: the cause at length, the rest shorter.
    fn faults(&mut self, result: &DoctorResult, lead: &str) -> io::Result<()> {
        let mut faults = result.findings.iter().filter(|finding| is_fault(finding));
        if let Some(first) = faults.next() {
            self.first(first, lead)?;
        }
        for finding in faults {
            writeln!(self.out)?;
            self.further(finding)?;
        }
        Ok(())
    }

    fn first(&mut self, finding: &Finding, lead: &str) -> io::Result<()> {
        self.line(&format!("{lead}{}", answer(finding)), mark_of(finding))?;
        self.fault(finding)?;
        if !finding.explanation.is_empty() {
            writeln!(self.out)?;
            self.indented(&finding.explanation, 2)?;
        }
        if !finding.evidence.is_empty() {
            writeln!(self.out)?;
            let evidence = finding.evidence.iter();
            let rows = evidence.map(|seen| (seen.name.as_str(), seen.value.as_str()));
            self.rows(&rows.collect::<Vec<_>>(), 2)?;
        }
        if !finding.remedy.is_empty() {
            writeln!(self.out)?;
            self.remedy(finding, 0)?;
        }
        if !finding.alternatives.is_empty() {
            writeln!(self.out)?;
            self.line("It may also be:", Mark::Plain)?;
        }
        for other in &finding.alternatives {
            self.hanging(&format!("- {}", alternative(other)), 0, 2)?;
        }
        writeln!(self.out)?;
        self.line(&format!("Code: {}", finding.code), Mark::Plain)
    }

    fn further(&mut self, finding: &Finding) -> io::Result<()> {
        self.headline(finding)?;
        self.fault(finding)?;
        if !finding.explanation.is_empty() {
            self.indented(&finding.explanation, 2)?;
        }
        self.remedy(finding, 2)
    }

    fn headline(&mut self, finding: &Finding) -> io::Result<()> {
        let text = format!("{} ({})", answer(finding), finding.code);
        self.line(&text, mark_of(finding))
    }

    /// What was typed, with carets under the fault.
    fn fault(&mut self, finding: &Finding) -> io::Result<()> {
        let Some(typed) = &finding.pointer else {
            return Ok(());
        };
        let drawn = pointer(&typed.text, typed.start..typed.end);
        self.out.write_all(drawn.as_bytes())
    }

    fn remedy(&mut self, finding: &Finding, indent: usize) -> io::Result<()> {
        let several = finding.remedy.len() > 1;
        if several {
            self.indented("Fix:", indent)?;
        }
        for remedy in &finding.remedy {
            for (idx, line) in lines_of(remedy).enumerate() {
                match line {
                    Line::Paste(pasted) => {
                        let pasted = harmless(pasted);
                        writeln!(self.out, "{:indent$}    {}", "", pasted.trim_end())?;
                    }
                    Line::Say(said) => {
                        let mark = match (idx, several) {
                            (0, true) => "- ",
                            (0, false) => "Fix: ",
                            (_, true) => "  ",
                            (_, false) => "",
                        };
                        let hang = if several { 2 } else { 0 };
                        self.hanging(&format!("{mark}{said}"), indent, hang)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// What is known of the server, apart from the version: the first line has it.
    fn facts(&mut self, result: &DoctorResult) -> io::Result<()> {
        let facts = result.facts.iter().filter(|fact| fact.name != "version");
        let rows: Vec<_> = facts
            .map(|fact| (fact.name.as_str(), fact.value.as_str()))
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        writeln!(self.out)?;
        self.rows(&rows, 0)
    }

    fn checks(&mut self, result: &DoctorResult) -> io::Result<()> {
        if result.findings.iter().any(is_fault) {
            self.folded("Known", &known(result), "; ")?;
        }
        for (label, checks) in looked_at(result) {
            self.folded(label, &checks, ", ")?;
        }
        let version = &result.natsbench_version;
        if !connected(result) {
            return self.hanging(&format!("natsbench {version} connected to nothing."), 0, 2);
        }
        let end = if result.interrupted {
            ", then was interrupted"
        } else {
            ""
        };
        let text = format!(
            "natsbench {version} looked at {} for {}{end}.",
            result.target,
            nanos_text(result.duration_ns)
        );
        self.hanging(&text, 0, 2)
    }

    /// Parts behind a label, on as few lines as it takes.
    fn folded(&mut self, label: &str, parts: &[String], separator: &str) -> io::Result<()> {
        if parts.is_empty() {
            return Ok(());
        }
        self.hanging(&format!("{label}: {}", parts.join(separator)), 0, 2)
    }

    /// Names and values in two columns.
    fn rows(&mut self, rows: &[(&str, &str)], indent: usize) -> io::Result<()> {
        let lines = two_columns(rows, self.width.saturating_sub(indent));
        lines
            .iter()
            .try_for_each(|line| writeln!(self.out, "{:indent$}{line}", ""))
    }

    /// A sentence from the left edge on.
    fn line(&mut self, text: &str, mark: Mark) -> io::Result<()> {
        for line in text.lines().flat_map(|line| wrap(line, self.width)) {
            let painted = self.painted(&line, mark);
            writeln!(self.out, "{painted}")?;
        }
        Ok(())
    }

    fn indented(&mut self, text: &str, indent: usize) -> io::Result<()> {
        self.hanging(text, indent, 0)
    }

    /// Text whose lines but the first stand further to the right.
    fn hanging(&mut self, text: &str, indent: usize, hang: usize) -> io::Result<()> {
        let room = self.width - indent - hang;
        for (idx, line) in text.lines().flat_map(|line| wrap(line, room)).enumerate() {
            let indent = if idx == 0 { indent } else { indent + hang };
            writeln!(self.out, "{:indent$}{line}", "")?;
        }
        Ok(())
    }

    fn painted(&self, text: &str, mark: Mark) -> String {
        let color = match mark {
            Mark::Good => AnsiColor::Green,
            Mark::Odd => AnsiColor::Yellow,
            Mark::Bad => AnsiColor::Red,
            Mark::Plain => return text.to_owned(),
        };
        if !self.style.color {
            return text.to_owned();
        }
        let paint = Paint::new().fg_color(Some(Color::Ansi(color))).bold();
        format!("{paint}{text}{paint:#}")
    }
}

fn mark_of(finding: &Finding) -> Mark {
    match finding.severity {
        Severity::Error => Mark::Bad,
        Severity::Warning => Mark::Odd,
        Severity::Info => Mark::Plain,
    }
}
