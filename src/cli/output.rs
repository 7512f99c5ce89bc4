//! How a result is printed: its flags, standard output and standard error, the exit code.

use std::io::{self, IsTerminal as _, Write};
use std::ops::{ControlFlow, Range};

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use crate::cli::ColorWhen;
use crate::cli::error::{CliError, render_warning};
use crate::cli::exit;
use crate::report::progress::{Progress, ProgressMode};
use crate::report::{Format, Style, write_result};
use crate::results::{Ended, RunResult, Verdict};

/// How a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputArg {
    /// For people
    Human,
    /// One object, schema natsbench.result/1
    Json,
    /// Tables for a document or a pull request
    Markdown,
}

/// Flags of every command that has a result.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// How the result is printed
    #[arg(
        short,
        long,
        value_enum,
        default_value_t = OutputArg::Human,
        value_name = "FORMAT"
    )]
    pub(crate) output: OutputArg,
    /// No progress on standard error
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

impl OutputArgs {
    fn format(&self) -> Format {
        match self.output {
            OutputArg::Human => Format::Human,
            OutputArg::Json => Format::Json,
            OutputArg::Markdown => Format::Markdown,
        }
    }

    /// The live view: a bar on a terminal, plain lines elsewhere.
    pub(crate) fn progress(&self) -> Progress {
        Progress::new(if self.quiet {
            ProgressMode::Off
        } else if io::stderr().is_terminal() {
            ProgressMode::Bar
        } else {
            ProgressMode::Plain
        })
    }

    /// Prints a result to standard output.
    pub(crate) fn print(&self, result: &RunResult, color: ColorWhen) -> Result<(), CliError> {
        let mut text = Vec::new();
        write_result(&mut text, result, self.format(), style(color))
            .context("cannot render the result")?;
        write_stdout(&text)
    }
}

/// Writes to standard output; a closed pipe is a normal end.
pub(crate) fn write_stdout(bytes: &[u8]) -> Result<(), CliError> {
    write_more_to_stdout(bytes).map(|_| ())
}

/// Writes a part of what goes to standard output, and says whether anyone still reads it.
pub(crate) fn write_more_to_stdout(bytes: &[u8]) -> Result<ControlFlow<()>, CliError> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(ControlFlow::Continue(())),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
        Err(error) => Err(CliError::internal("cannot write to standard output").because(&error)),
    }
}

/// How standard output is to look.
pub(crate) fn style(color: ColorWhen) -> Style {
    style_of(has_color(color, io::stdout().is_terminal()))
}

/// How a report on standard error is to look.
pub(crate) fn stderr_style(color: ColorWhen) -> Style {
    style_of(stderr_has_color(color))
}

/// Whether standard error is to have colour.
pub(crate) fn stderr_has_color(color: ColorWhen) -> bool {
    has_color(color, io::stderr().is_terminal())
}

fn style_of(color: bool) -> Style {
    Style {
        color,
        width: 80,
        unicode: true,
    }
}

fn has_color(color: ColorWhen, is_terminal: bool) -> bool {
    let has_no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    match color {
        ColorWhen::Always => true,
        ColorWhen::Never => false,
        ColorWhen::Auto => is_terminal && !has_no_color && !is_dumb,
    }
}

/// Says on standard error that something works, but hardly as it was meant.
pub(crate) fn warn(message: &str, input: &str, span: Range<usize>, color: ColorWhen) {
    let text = render_warning(message, input, span, stderr_has_color(color));
    // There is nowhere left to say that standard error is closed.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// The exit code of a result.
pub(crate) fn exit_code(result: &RunResult) -> u8 {
    match (result.ended, result.verdict) {
        (Ended::Interrupted, _) => exit::INTERRUPTED,
        (Ended::ConnectionLost, _) => exit::UNREACHABLE,
        (Ended::Completed, Verdict::Pass) => exit::PASSED,
        (Ended::Completed, Verdict::Fail) => exit::FAILED,
        (Ended::Completed, Verdict::Inconclusive) | (Ended::Unfinished, _) => exit::INCONCLUSIVE,
    }
}

/// The result as it is saved: the JSON of standard output.
pub(crate) fn saved_json(result: &RunResult) -> Result<Vec<u8>, CliError> {
    let mut text = Vec::new();
    write_result(&mut text, result, Format::Json, style(ColorWhen::Never))
        .context("cannot render the result")?;
    Ok(text)
}
