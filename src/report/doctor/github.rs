//! Workflow commands of GitHub Actions: each finding is an annotation.
//!
//! Whatever stands at the beginning of a line may be a command to the runner, so that hostile text must never stand
//! there: it is only ever the message of a command, in which line breaks are escaped.

use std::io::{self, Write};

use super::words::{all_clear, claim, is_fault, plain_details};
use crate::report::harmless::harmless;
use crate::results::doctor::{DoctorResult, Severity};

pub(super) fn write(out: &mut dyn Write, result: &DoctorResult) -> io::Result<()> {
    let servers = result.servers();
    for finding in &result.findings {
        let command = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "notice",
        };
        let server = finding.server.as_ref();
        let lead = server.map(|server| format!("{server}: "));
        let mut lines = vec![harmless(&format!(
            "{}{}",
            lead.unwrap_or_default(),
            claim(finding)
        ))];
        lines.extend(plain_details(finding));
        writeln!(
            out,
            "::{command} title={}::{}",
            property(&format!("natsbench doctor: {}", finding.code)),
            message(&lines.join("\n"))
        )?;
    }
    let parts: Vec<DoctorResult> = match servers.as_slice() {
        [] => vec![result.clone()],
        several => several
            .iter()
            .map(|server| result.part(Some(server)))
            .collect(),
    };
    for part in parts {
        if !result.findings.iter().any(is_fault) || !part.findings.iter().any(is_fault) {
            writeln!(out, "{}", plain(&all_clear(&part)))?;
        }
    }
    Ok(())
}

/// The message of a command.
fn message(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// The value of a property of a command.
fn property(text: &str) -> String {
    message(&harmless(text))
        .replace(':', "%3A")
        .replace(',', "%2C")
}

/// A line that is no command: the runner looks for `::` at its beginning, and for `##[` anywhere.
fn plain(text: &str) -> String {
    format!(
        "natsbench doctor: {}",
        harmless(text).replace("##[", "## [")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_a_command_early() {
        assert_eq!(message("100%\r\n::x::"), "100%25%0D%0A::x::");
        assert_eq!(property("a: b, c%\n"), "a%3A b%2C c%25\u{fffd}");
        assert_eq!(
            plain("##[error]x\n"),
            "natsbench doctor: ## [error]x\u{fffd}"
        );
    }
}
