//! Results to text. A renderer takes a result and a writer; it measures nothing and decides nothing.

pub mod chart;
mod connections;
pub mod doctor;
pub mod events;
mod facts;
pub(crate) mod harmless;
pub mod hdr_log;
mod human;
mod incidents;
mod markdown;
pub mod message;
mod outages;
pub(crate) mod pointer;
pub mod progress;
pub mod series;
mod table;

use std::io::{self, Write};

use crate::results::RunResult;

/// How a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people: one screen.
    Human,
    /// One object, schema `natsbench.result/1`.
    Json,
    /// Tables for a document or a pull request.
    Markdown,
}

/// How text is to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Colour marks judgement; nothing depends on it.
    pub color: bool,
    /// Columns.
    pub width: u16,
    /// Characters outside ASCII may be used.
    pub unicode: bool,
}

impl Style {
    /// Columns that a report is made for: below 40 nothing lines up any more, so a narrower terminal gets lines that
    /// are too long.
    fn columns(self) -> usize {
        usize::from(self.width.max(40))
    }
}

/// Writes the few lines of a result that fit beside other output.
///
/// # Errors
/// When the writer fails.
pub fn write_short(out: &mut dyn Write, result: &RunResult, style: Style) -> io::Result<()> {
    human::write_short(out, result, style)
}

/// Writes a result.
///
/// # Errors
/// When the writer fails.
pub fn write_result(
    out: &mut dyn Write,
    result: &RunResult,
    format: Format,
    style: Style,
) -> io::Result<()> {
    match format {
        Format::Human => human::write(out, result, style),
        Format::Json => {
            let mut json = serde_json::to_vec_pretty(result)?;
            harmless::harmless_json(&mut json, 0);
            json.push(b'\n');
            out.write_all(&json)
        }
        Format::Markdown => markdown::write(out, result),
    }
}

#[cfg(test)]
mod tests;
