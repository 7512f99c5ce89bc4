//! The command line: flags in, exit code out.
//!
//! Everything that reads the environment, the terminal or signals is here. Standard output carries the result
//! and nothing else; progress, hints and errors go to standard error.

mod broker;
mod completions;
mod connection;
mod context;
pub mod error;
pub mod exit;
mod latency;
mod output;
mod publish;
mod rounds;
mod secrets;
mod subscribe;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};

use crate::cli::error::CliError;
use crate::net::managed_server::{EXEC_SERVER_ARG, exec_supervised};

const AFTER_HELP: &str = "\
Exit codes: 0 passed, 1 internal error, 2 wrong usage, 3 cannot reach the broker or log in,
4 an objective failed, 5 inconclusive, 130 interrupted (the partial result is still printed).

Examples:
  natsbench broker                      a local broker with its WebSocket on :8443
  natsbench pub --rate 200              publish 200 rounds a second to it
  natsbench sub 'rounds.type.*'         see them arrive, with their latency
  natsbench latency --slo 'p99<2ms' --slo 'lost==0'";

/// Measure NATS brokers that clients reach over WebSocket: latency, loss, and what they rest on.
#[derive(Debug, Parser)]
#[command(name = "natsbench", version, after_help = AFTER_HELP, disable_help_subcommand = true)]
#[command(max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Colour in reports and errors
    #[arg(long, global = true, value_enum, default_value_t = ColorWhen::Auto, value_name = "WHEN")]
    color: ColorWhen,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorWhen {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Publish synthetic rounds at a rate
    Pub(publish::PubArgs),
    /// Subscribe over a raw WebSocket and show what arrives
    Sub(subscribe::SubArgs),
    /// Publish and subscribe in one run: end-to-end latency, loss, a verdict
    Latency(latency::LatencyArgs),
    /// Run a local nats-server with its WebSocket on :8443, until Ctrl-C
    Broker(broker::BrokerArgs),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
    /// Write manual pages into a directory
    Man(completions::ManArgs),
}

/// Runs the command line of this process and returns its exit code.
pub fn main() -> ExitCode {
    let mut args = std::env::args_os();
    if args.nth(1).is_some_and(|first| first == EXEC_SERVER_ARG) {
        // Only returns when the server could not be started.
        let error = exec_supervised(args);
        return fail(&CliError::internal("cannot start nats-server").because(&error));
    }
    if let Some(error) = secrets::move_out_of_the_process_title() {
        return fail(&error);
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match run(cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => fail(&error),
    }
}

fn run(cli: Cli) -> Result<u8, CliError> {
    match cli.command {
        Command::Pub(args) => publish::run(&args, cli.color),
        Command::Sub(args) => subscribe::run(&args, cli.color),
        Command::Latency(args) => latency::run(&args, cli.color),
        Command::Broker(args) => broker::run(&args),
        Command::Completions(args) => completions::run_completions(&args, &mut Cli::command()),
        Command::Man(args) => completions::run_man(&args, Cli::command()),
    }
}

/// Help and version go to standard output and are no error; everything else is wrong usage.
fn usage(error: &clap::Error) -> ExitCode {
    // A closed pipe is a normal end.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() {
        exit::USAGE
    } else {
        exit::PASSED
    })
}

fn fail(error: &CliError) -> ExitCode {
    // There is nowhere left to say that standard error is closed.
    let _ = std::io::stderr()
        .lock()
        .write_all(error.render().as_bytes());
    ExitCode::from(error.code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
