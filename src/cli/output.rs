//! Where results, progress and files go, and what ends a run from outside.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Seek as _, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::cli::ColorWhen;
use crate::cli::error::CliError;
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
    #[arg(short, long, value_enum, default_value_t = OutputArg::Human, value_name = "FORMAT")]
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
            .map_err(|error| CliError::internal("cannot render the result").because(&error))?;
        write_stdout(&text)
    }
}

/// Writes to standard output; a closed pipe is a normal end.
pub(crate) fn write_stdout(bytes: &[u8]) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::internal("cannot write to standard output").because(&error))
        }
        _ => Ok(()),
    }
}

/// How standard output is to look.
pub(crate) fn style(color: ColorWhen) -> Style {
    let is_terminal = io::stdout().is_terminal();
    let has_no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let color = match color {
        ColorWhen::Always => true,
        ColorWhen::Never => false,
        ColorWhen::Auto => is_terminal && !has_no_color && !is_dumb,
    };
    Style {
        color,
        width: 80,
        unicode: true,
    }
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

/// A file that is known to be writable before the run begins, and keeps its old content until there is new.
pub(crate) struct OutputFile {
    path: PathBuf,
    file: File,
}

impl OutputFile {
    /// Opens it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn open(path: &Path) -> Result<Self, CliError> {
        let opened = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path);
        opened
            .map(|file| Self {
                path: path.to_owned(),
                file,
            })
            .map_err(|error| {
                CliError::usage(format!("cannot write to `{}`", path.display())).because(&error)
            })
    }

    /// Replaces the content.
    ///
    /// # Errors
    /// When the disk is full, say.
    pub(crate) fn replace(mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.empty();
        self.file
            .write_all(bytes)
            .and_then(|()| self.file.flush())
            .map_err(|error| {
                CliError::internal(format!("cannot write `{}`", self.path.display()))
                    .because(&error)
            })
    }

    /// The file, emptied, to be written piece by piece.
    pub(crate) fn into_empty(mut self) -> File {
        self.empty();
        self.file
    }

    fn empty(&mut self) {
        // Fails for pipes and devices, which have nothing to empty.
        let _ = self.file.set_len(0);
        let _ = self.file.rewind();
    }
}

/// The result as it is saved: the JSON of standard output.
pub(crate) fn saved_json(result: &RunResult) -> Result<Vec<u8>, CliError> {
    let mut text = Vec::new();
    write_result(&mut text, result, Format::Json, style(ColorWhen::Never))
        .map_err(|error| CliError::internal("cannot render the result").because(&error))?;
    Ok(text)
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
        .map_err(|error| CliError::internal("cannot start the runtime").because(&error))?;
    let stop = CancellationToken::new();
    let outcome = runtime.block_on(async {
        let mut work = std::pin::pin!(work(stop.clone()));
        let mut signals = Signals::new()?;
        tokio::select! {
            done = &mut work => return done,
            () = signals.next() => stop.cancel(),
        }
        tokio::select! {
            done = &mut work => done,
            () = signals.next() => Err(CliError::new(exit::INTERRUPTED, "interrupted twice: stopped without a result")),
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
