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
use crate::report::harmless::harmless_json;
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
            let mut json = serde_json::to_vec_pretty(result)?;
            harmless_json(&mut json, 0);
            json.push(b'\n');
            out.write_all(&json)
        }
        DoctorFormat::Junit => junit::write(out, result),
        DoctorFormat::Github => github::write(out, result),
        DoctorFormat::Nagios => nagios::write(out, result),
        DoctorFormat::Markdown => markdown::write(out, result),
    }
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
