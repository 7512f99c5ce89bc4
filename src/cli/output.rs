//! Where results, progress and files go, and what ends a run from outside.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Seek as _, Write};
use std::ops::{ControlFlow, Range};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

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
        (Ended::Completed, Verdict::Inconclusive) => exit::INCONCLUSIVE,
    }
}

/// A file that is known to be writable before the run begins, and keeps its old content until there is new; one
/// that did not exist before, and gets nothing, is gone again.
#[derive(Debug)]
pub(crate) struct OutputFile {
    path: PathBuf,
    /// `None` once it was handed over.
    file: Option<File>,
    is_new: bool,
}

impl OutputFile {
    /// Opens it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn open(flag: &str, path: &Path) -> Result<Self, CliError> {
        let mut options = OpenOptions::new();
        options.write(true).truncate(false);
        let opened = match options.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                options.create(true).open(path).map(|file| (file, true))
            }
            opened => opened.map(|file| (file, false)),
        };
        let (file, is_new) = opened.map_err(|error| {
            let failed = CliError::usage(format!("`{flag}`: cannot write to `{}`", path.display()))
                .because(&error);
            match error.kind() {
                io::ErrorKind::NotFound => failed.hint("create the directory first"),
                io::ErrorKind::IsADirectory => failed.hint("name a file in it"),
                _ => failed,
            }
        })?;
        Ok(Self {
            path: path.to_owned(),
            file: Some(file),
            is_new,
        })
    }

    /// Whether both are one regular file, which they would overwrite for each other.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let identity = |this: &Self| {
            let metadata = this.file.as_ref()?.metadata().ok()?;
            metadata.is_file().then(|| (metadata.dev(), metadata.ino()))
        };
        identity(self).is_some_and(|own| identity(other) == Some(own))
    }

    /// Replaces the content.
    ///
    /// # Errors
    /// When the disk is full, say.
    pub(crate) fn replace(mut self, bytes: &[u8]) -> Result<(), CliError> {
        let Some(mut file) = self.take_empty() else {
            return Ok(());
        };
        file.write_all(bytes)
            .and_then(|()| file.flush())
            .map_err(|error| {
                CliError::internal(format!("cannot write `{}`", self.path.display()))
                    .because(&error)
            })
    }

    /// The file, emptied, to be written piece by piece; `None` when it was taken before.
    pub(crate) fn take_empty(&mut self) -> Option<File> {
        let mut file = self.file.take()?;
        // Both fail for pipes and devices, which have nothing to empty.
        let _ = file.set_len(0);
        let _ = file.rewind();
        Some(file)
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if self.is_new && self.file.is_some() {
            // Nobody needs an empty file of a run that never began; one that stays does no harm.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The result as it is saved: the JSON of standard output.
pub(crate) fn saved_json(result: &RunResult) -> Result<Vec<u8>, CliError> {
    let mut text = Vec::new();
    write_result(&mut text, result, Format::Json, style(ColorWhen::Never))
        .context("cannot render the result")?;
    Ok(text)
}

/// From so long on, a run that was interrupted and has not ended explains itself.
const PATIENCE: Duration = Duration::from_millis(500);

fn say_that_it_takes_a_moment() {
    // On a terminal the cursor stands behind the bar.
    let start = if io::stderr().is_terminal() { "\n" } else { "" };
    // There is nowhere left to say that standard error is closed.
    let _ = writeln!(
        io::stderr().lock(),
        "{start}interrupted: waiting for what is in flight; once again ends it without a result"
    );
}

/// Runs work until it ends, and lets signals end it: the first cancels `stop` and waits for the partial result; the
/// second gives up waiting.
pub(crate) fn run_interruptible<T>(
    work: impl AsyncFnOnce(CancellationToken) -> Result<T, CliError>,
) -> Result<T, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .build()
        .context("cannot start the runtime")?;
    let stop = CancellationToken::new();
    let outcome = runtime.block_on(async {
        let mut work = std::pin::pin!(work(stop.clone()));
        let mut signals = Signals::new()?;
        // All are cancel-safe: `work` is only borrowed.
        tokio::select! {
            done = &mut work => return done,
            () = signals.next() => stop.cancel(),
        }
        let twice = || {
            CliError::new(
                exit::INTERRUPTED,
                "interrupted twice: stopped without a result",
            )
        };
        tokio::select! {
            done = &mut work => return done,
            () = signals.next() => return Err(twice()),
            () = tokio::time::sleep(PATIENCE) => say_that_it_takes_a_moment(),
        }
        tokio::select! {
            done = &mut work => done,
            () = signals.next() => Err(twice()),
        }
    });
    runtime.shutdown_background();
    outcome
}

/// Ctrl-C, SIGTERM, and the terminal going away.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self, CliError> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| CliError::internal("cannot listen for signals").because(&error))
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        // All are cancel-safe.
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}
