//! `sub`: subscribe over a raw WebSocket and show what arrives.

use std::io::{self, BufWriter, IsTerminal as _};
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::cli::ColorWhen;
use crate::cli::connection::ConnectionArgs;
use crate::cli::error::CliError;
use crate::cli::output::{OutputArg, OutputArgs, exit_code, run_interruptible};
use crate::load::latency::Watch;
use crate::load::outcome;
use crate::load::plan::SubscribePlan;
use crate::load::subscribe::{self, Lines};
use crate::report::message::LineFormat;
use crate::report::{Format, write_result};
use crate::subject::Pattern;
use crate::units::parse_duration;

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
pub(crate) struct SubArgs {
    /// Subjects or patterns, such as 'rounds.type.*' or 'rounds.>'
    #[arg(value_name = "SUBJECT", required = true)]
    subjects: Vec<String>,
    /// End after so many messages
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// End after this time [default: until Ctrl-C]
    #[arg(long, value_name = "D", value_parser = parse_duration)]
    duration: Option<Duration>,
    /// Queue group: its members share the messages, so that loss cannot be told
    #[arg(long, value_name = "GROUP")]
    queue: Option<String>,
    /// How a message line looks
    #[arg(long, value_enum, default_value_t = FormatArg::Pretty)]
    format: FormatArg,
    /// No message lines: a live line and a summary
    #[arg(long)]
    stats: bool,
    /// Connections; each gets every message, unless they share a queue group
    #[arg(long, value_name = "N", default_value = "1")]
    connections: NonZeroU16,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl SubArgs {
    fn plan(&self) -> Result<SubscribePlan, CliError> {
        for subject in &self.subjects {
            let pattern = parse_pattern(subject)?;
            for trap in pattern.traps() {
                warn(&format!("`{subject}`: {}", trap.kind.advice()));
            }
        }
        if let Some(queue) = &self.queue {
            check_queue(queue)?;
        }
        if self.count == Some(0) {
            return Err(CliError::usage("`--count` must be more than zero"));
        }
        Ok(SubscribePlan {
            endpoint: self.connection.endpoint(self.connections.get())?,
            patterns: self.subjects.clone(),
            queue: self.queue.clone(),
            n_connections: self.connections,
            count: self.count,
            duration: self.duration,
        })
    }

    fn lines(&self) -> Option<Lines> {
        let format = match self.format {
            FormatArg::Pretty => LineFormat::Pretty,
            FormatArg::Json => LineFormat::Json,
            FormatArg::Raw => LineFormat::Raw,
        };
        let out: Box<dyn io::Write + Send> = Box::new(BufWriter::new(io::stdout()));
        (!self.stats).then(|| Lines {
            format,
            out: Arc::new(Mutex::new(out)),
        })
    }
}

fn parse_pattern(subject: &str) -> Result<Pattern, CliError> {
    subject
        .parse()
        .map_err(|fault: crate::subject::SubjectFault| {
            CliError::usage(format!("the subject is invalid: {fault}"))
                .pointing_at(subject, fault.span)
        })
}

fn check_queue(queue: &str) -> Result<(), CliError> {
    match queue.find(|c: char| c.is_whitespace() || c.is_control()) {
        Some(at) => {
            Err(CliError::usage("a queue group cannot contain blanks")
                .pointing_at(queue, at..at + 1))
        }
        None if queue.is_empty() => Err(CliError::usage("a queue group needs a name")),
        None => Ok(()),
    }
}

fn warn(text: &str) {
    use io::Write as _;
    // There is nowhere left to say that standard error is closed.
    let _ = writeln!(io::stderr().lock(), "warning: {text}");
}

pub(crate) fn run(args: &SubArgs, color: ColorWhen) -> Result<u8, CliError> {
    let plan = args.plan()?;
    if args.connection.local_broker {
        return Err(CliError::usage(
            "`sub --local-broker` would hear nothing: nobody else knows that broker",
        )
        .hint("`natsbench broker` in another terminal, or `natsbench latency --local-broker`"));
    }
    let lines = args.lines();
    let has_lines = lines.is_some();
    let result = run_interruptible(async |stop| {
        let mut progress = args.output.progress();
        let watch = Watch {
            stop,
            // Lines on the same terminal already show that something happens.
            on_progress: &mut |snapshot| {
                if !has_lines {
                    progress.update(snapshot);
                }
            },
            on_interval: &mut |_| {},
        };
        let observed = subscribe::run(&plan, lines, watch).await;
        progress.finish();
        Ok(outcome::of_subscribe(&plan, &observed?))
    })?;
    if has_lines && args.output.output == OutputArg::Human {
        // Lines are the result; the summary is a hint beside them.
        summary_to_stderr(args, &result, color)?;
    } else if !has_lines {
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
    let mut style = crate::cli::output::style(color);
    style.color &= io::stderr().is_terminal();
    let mut text = Vec::new();
    write_result(&mut text, result, Format::Human, style)
        .map_err(|error| CliError::internal("cannot render the result").because(&error))?;
    // There is nowhere left to say that standard error is closed.
    let _ = io::stderr().lock().write_all(&text);
    Ok(())
}
