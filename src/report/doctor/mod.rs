//! The doctor's result to text.

mod human;

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
            serde_json::to_writer_pretty(&mut *out, result)?;
            writeln!(out)
        }
    }
}
