//! The doctor's result to text.
//!
//! Most of what is shown came from a server, and may be made to harm whoever shows it: every renderer makes it harmless
//! for its own reader.

mod github;
mod human;
mod junit;
mod layout;
mod markdown;
mod nagios;
mod words;

use std::io::{self, Write};

use crate::report::Style;
use crate::results::doctor::DoctorResult;

/// How the doctor's result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DoctorFormat {
    /// For people: the answer first.
    Human,
    /// One object, schema `natsbench.doctor/1`.
    Json,
    /// XML of `JUnit`: a suite for each server, a test case for each check.
    Junit,
    /// Workflow commands of GitHub Actions, which show as annotations.
    Github,
    /// One line for Nagios, and details below it.
    Nagios,
    /// For a document, a pull request or a step summary.
    Markdown,
}

/// Writes the result.
///
/// # Errors
/// When the writer fails.
pub fn write_doctor(
    out: &mut dyn Write,
    result: &DoctorResult,
    format: DoctorFormat,
    style: Style,
) -> io::Result<()> {
    match format {
        DoctorFormat::Human => human::write(out, result, style),
        DoctorFormat::Json => {
            let json = serde_json::to_string_pretty(result)?;
            writeln!(out, "{}", without_raw_controls(&json))
        }
        DoctorFormat::Junit => junit::write(out, result),
        DoctorFormat::Github => github::write(out, result),
        DoctorFormat::Nagios => nagios::write(out, result),
        DoctorFormat::Markdown => markdown::write(out, result),
    }
}

/// JSON escapes the control characters of ASCII, but leaves those behind it, which some terminals obey, too.
fn without_raw_controls(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\u{7f}'..='\u{9f}' => {
                use std::fmt::Write as _;
                // Writing to a `String` cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    out
}

/// What `--format nagios` says when there is no result.
///
/// # Errors
/// When the writer fails.
pub fn write_nagios_unknown(out: &mut dyn Write, reason: &str) -> io::Result<()> {
    nagios::write_unknown(out, reason)
}

#[cfg(test)]
mod tests;
