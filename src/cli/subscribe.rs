//! `sub`: subscribe over a raw WebSocket and show what arrives.

use std::io::{self, BufWriter};
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use crate::cli::ColorWhen;
use crate::cli::connection::ConnectionArgs;
use crate::cli::error::CliError;
use crate::cli::interrupt::{Unread, run_interruptible};
use crate::cli::output::{OutputArg, OutputArgs, exit_code, stderr_style, warn};
use crate::cli::reconnect::ReconnectArgs;
use crate::cli::redact::{secrets_of, without_secrets};
use crate::cli::run_files::RunFilesArgs;
use crate::cli::watching::{ResultFiles, RunWatcher};
use crate::load::observer::Lines;
use crate::load::outcome;
use crate::load::plan::SubscribePlan;
use crate::load::subscribe;
use crate::report::message::LineFormat;
use crate::report::write_short;
use crate::results::Ended;
use crate::subject::{Pattern, TrapKind};
use crate::units::{parse_bytes, parse_duration};

/// The smallest read of a consumer that is slow on purpose.
const MIN_STALLED_READ_BYTES: usize = 512;

/// How a message line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FormatArg {
    /// Time, subject, game and outcome, latency
    Pretty,
    /// One JSON object a line
    Json,
    /// The payload as it is
    Raw,
}

/// Flags of `sub`.
#[derive(Debug, Args)]
#[command(mut_arg("local_broker", |arg| arg.hide(true)))]
pub(crate) struct SubArgs {
    /// Subjects or patterns, such as 'rounds.type.*' or 'rounds.>'
    #[arg(value_name = "SUBJECT", required = true)]
    subjects: Vec<String>,
    /// End after so many messages [default: until Ctrl-C]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    count: Option<u64>,
    /// End after this time [default: until Ctrl-C]
    #[arg(long, value_name = "TIME", allow_negative_numbers = true, value_parser = parse_duration)]
    duration: Option<Duration>,
    /// Queue group: its members share the messages, so that loss cannot be told
    #[arg(long, value_name = "GROUP")]
    queue: Option<String>,
    /// How a message line looks [default: pretty]
    #[arg(long, value_enum)]
    format: Option<FormatArg>,
    /// No message lines: a live line, and the result at the end
    #[arg(long, conflicts_with = "format")]
    stats: bool,
    /// Connections; each gets every message, unless they share a queue group
    #[arg(
        long,
        value_name = "N",
        default_value = "1",
        allow_negative_numbers = true
    )]
    connections: NonZeroU16,
    /// Act as a slow consumer: read so many bytes a second, such as 10KiB, or nothing at all
    #[arg(long, value_name = "BYTES", num_args = 0..=1, require_equals = true, default_missing_value = "0", value_parser = parse_bytes)]
    stall: Option<u64>,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    reconnect: ReconnectArgs,
    #[command(flatten)]
    run_files: RunFilesArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl SubArgs {
    fn plan(&self) -> Result<SubscribePlan, CliError> {
        for subject in &self.subjects {
            parse_pattern(subject)?;
        }
        if self.has_lines() && self.output.output != OutputArg::Human {
            return Err(CliError::usage(
                "`--format` and `--output` both want standard output: message lines and the result cannot share it",
            )
            .hint("`--format json` for the messages, or `--output json` for the result"));
        }
        if let Some(queue) = &self.queue {
            check_queue(queue)?;
        }
        if self.count == Some(0) {
            return Err(CliError::usage("`--count` must be more than zero"));
        }
        if self.duration.is_some_and(|duration| duration.is_zero()) {
            return Err(CliError::usage("`--duration` must be more than zero"));
        }
        let mut endpoint = self
            .connection
            .endpoint(self.connections.get(), self.reconnect.policy())?;
        if let Some(stall) = self.stall {
            // A large read would take at once what is to last for seconds.
            let slice_bytes = usize::try_from(stall / 10).unwrap_or(usize::MAX);
            endpoint.dial.read_buffer_bytes =
                slice_bytes.clamp(MIN_STALLED_READ_BYTES, endpoint.dial.read_buffer_bytes);
        }
        Ok(SubscribePlan {
            endpoint,
            stall: self.stall,
            patterns: self.subjects.clone(),
            queue: self.queue.clone(),
            n_connections: self.connections,
            count: self.count,
            duration: self.duration,
        })
    }

    /// Whether messages are shown: they are the output, unless the result was asked for.
    fn has_lines(&self) -> bool {
        self.format.is_some() || (!self.stats && self.output.output == OutputArg::Human)
    }

    /// Warns about subjects that are valid and hardly mean what was meant. To read the subjects of the server or of
    /// client libraries, or long ones, is no mistake.
    fn warn(&self, color: ColorWhen) {
        for subject in &self.subjects {
            let traps = parse_pattern(subject).map(|pattern| pattern.traps());
            for trap in traps.unwrap_or_default() {
                if matches!(trap.kind, TrapKind::LiteralWildcard | TrapKind::NonAscii) {
                    warn(&trap.kind.advice(), subject, trap.span, color);
                }
            }
        }
    }

    fn lines(&self) -> Option<Lines> {
        let format = match self.format.unwrap_or(FormatArg::Pretty) {
            FormatArg::Pretty => LineFormat::Pretty,
            FormatArg::Json => LineFormat::Json,
            FormatArg::Raw => LineFormat::Raw,
        };
        let out: Box<dyn io::Write + Send> = Box::new(BufWriter::new(io::stdout()));
        self.has_lines().then(|| Lines {
            format,
            out: Arc::new(Mutex::new(out)),
        })
    }
}

fn parse_pattern(subject: &str) -> Result<Pattern, CliError> {
    subject
        .parse()
        .map_err(|fault: crate::subject::SubjectFault| {
            CliError::usage(format!("the subject is invalid: {}", fault.reason))
                .pointing_at(subject, fault.span)
        })
}

fn check_queue(queue: &str) -> Result<(), CliError> {
    match queue.find(|c: char| c.is_whitespace() || c.is_control()) {
        Some(at) => Err(CliError::usage(
            "a queue group cannot contain blanks or control characters",
        )
        .pointing_at(queue, at..at + 1)),
        None if queue.is_empty() => Err(CliError::usage("a queue group needs a name")),
        None => Ok(()),
    }
}

pub(crate) fn run(args: &SubArgs, color: ColorWhen) -> Result<u8, CliError> {
    let plan = args.plan()?;
    if args.connection.local_broker {
        return Err(CliError::usage(
            "`sub --local-broker` would hear nothing: nobody else knows that broker",
        )
        .hint("`natsbench broker` in another terminal, or `natsbench latency --local-broker`"));
    }
    args.warn(color);
    let lines = args.lines();
    let has_lines = lines.is_some();
    let no_files = ResultFiles::default();
    let secrets = Arc::new(secrets_of(&[&plan.endpoint]));
    let mut watcher = RunWatcher::new(
        &args.output,
        !has_lines,
        &args.run_files,
        no_files,
        &secrets,
    )?;
    let outcome = run_interruptible(Unread::Stops, async |interrupt| {
        let watch = watcher.watch(interrupt.clone());
        let observed = subscribe::run(&plan, lines, watch).await?;
        let mut result = outcome::of_subscribe(&plan, &observed);
        if has_lines && interrupt.unread.is_cancelled() && result.ended == Ended::Interrupted {
            // Whoever read the lines has seen enough, as when the next line meets the closed pipe.
            result.ended = Ended::Completed;
        }
        Ok(result)
    });
    let mut result = without_secrets(&secrets, outcome)?;
    let (incomplete, _) = watcher.finish();
    result.trust.doubts.extend(incomplete);
    if has_lines {
        // Lines are the output; the summary is a hint beside them.
        summary_to_stderr(args, &result, color)?;
    } else {
        args.output.print(&result, color)?;
    }
    Ok(exit_code(&result))
}

fn summary_to_stderr(
    args: &SubArgs,
    result: &crate::results::RunResult,
    color: ColorWhen,
) -> Result<(), CliError> {
    use io::Write as _;
    if args.output.quiet {
        return Ok(());
    }
    let style = stderr_style(color);
    let mut text = Vec::new();
    write_short(&mut text, result, style).context("cannot render the result")?;
    // There is nowhere left to say that standard error is closed.
    let _ = io::stderr().lock().write_all(&text);
    Ok(())
}
