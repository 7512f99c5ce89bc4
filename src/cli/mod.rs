//! The command line: flags in, exit code out.
//!
//! Everything that reads the environment, the terminal or signals is here. Standard output carries the result
//! and nothing else; progress, hints and errors go to standard error.

mod broker;
mod completions;
mod connection;
mod context;
mod credentials;
mod doctor;
pub mod error;
pub mod exit;
#[doc(hidden)]
pub mod fuzzing;
mod interrupt;
mod latency;
mod output;
mod output_file;
mod publish;
mod reconnect;
mod redact;
mod rounds;
mod run_files;
mod secrets;
mod sources;
mod subscribe;
mod usage;
mod watching;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{ArgAction, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

use crate::cli::error::CliError;
use crate::cli::output::stderr_has_color;
use crate::net::managed_server::{EXEC_SERVER_ARG, exec_supervised};

/// In lines of less than 80 columns: it is not wrapped again.
const AFTER_HELP: &str = "\
Examples:
  natsbench broker                a local broker, its WebSocket on port 8443
  natsbench pub --rate 200        publish 200 rounds a second to it
  natsbench sub 'rounds.type.*'   see them arrive, with their latency
  natsbench latency --slo 'p99<2ms' --slo 'lost==0'
  natsbench latency --local-broker
  natsbench doctor -s wss://broker.example/nats 'rounds.game.*'

Exit codes:
  0    passed
  1    internal error
  2    wrong usage; nothing was connected
  3    cannot reach the broker, or cannot log in
  4    an objective or a check of the doctor failed
  5    inconclusive: no data, too few samples, or numbers that cannot be trusted
  130  interrupted; the partial result is printed all the same";

/// Measure NATS brokers that clients reach over WebSocket: latency, loss, and what they rest on.
#[derive(Debug, Parser)]
#[command(name = "natsbench", version, after_help = AFTER_HELP, disable_help_subcommand = true)]
#[command(max_term_width = 100, disable_help_flag = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Colour in reports and errors
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t = ColorWhen::Auto,
        value_name = "WHEN",
        help_heading = "Output",
        display_order = 900
    )]
    color: ColorWhen,
    /// Print help
    // One layout for `-h` and `--help`: the long one takes three screens for a command with a connection.
    #[arg(short, long, global = true, action = ArgAction::HelpShort, display_order = 901)]
    help: Option<bool>,
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
    /// Find out why it does not work
    Doctor(doctor::DoctorArgs),
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
        return fail(
            &CliError::internal("cannot start nats-server").because(&error),
            ColorWhen::Never,
        );
    }
    if let Some(error) = secrets::move_out_of_the_process_title() {
        return fail(&error, ColorWhen::Auto);
    }
    allow_many_files();
    let command = usage::without_empty_variables(Cli::command());
    let matches = match command.try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return usage(&error),
    };
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let color = cli.color;
    let done = match usage::contradiction(&matches) {
        Some(error) => Err(error),
        None => run(cli),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => fail(&error, color),
    }
}

/// Raises the limit of open files to what this user may have: a thousand subscribers need as many, and the usual
/// limit of 1,024 is there for programs that call `select`.
fn allow_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // Where the system refuses, the limit stays as it was; the connection that is one too many says so.
    let _ = setrlimit(Resource::Nofile, raised);
}

fn run(cli: Cli) -> Result<u8, CliError> {
    match cli.command {
        Command::Pub(args) => publish::run(&args, cli.color),
        Command::Sub(args) => subscribe::run(&args, cli.color),
        Command::Latency(args) => latency::run(&args, cli.color),
        Command::Doctor(args) => doctor::run(&args, cli.color),
        Command::Broker(args) => broker::run(&args),
        Command::Completions(args) => completions::run_completions(&args, &mut Cli::command()),
        Command::Man(args) => completions::run_man(&args, Cli::command()),
    }
}

/// Help and version go to standard output and are no error; everything else is wrong usage.
fn usage(error: &clap::Error) -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    if error.use_stderr() && is_for_nagios() {
        let explained = usage::explained(error, &args);
        let text = explained.map_or_else(|| error.to_string(), |error| error.render(false));
        return ExitCode::from(doctor::say_unknown(&text));
    }
    if let Some(error) = usage::explained(error, &args) {
        return fail(&error, ColorWhen::Auto);
    }
    // A closed pipe is a normal end.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() {
        exit::USAGE
    } else {
        exit::PASSED
    })
}

/// Whether Nagios waits for the result: it reads standard output alone, and knows only its own exit codes.
fn is_for_nagios() -> bool {
    let args = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned());
    doctor::is_for_nagios(&args.collect::<Vec<_>>())
}

fn fail(error: &CliError, color: ColorWhen) -> ExitCode {
    if is_for_nagios() {
        return ExitCode::from(doctor::say_unknown(&error.render(false)));
    }
    // There is nowhere left to say that standard error is closed.
    let _ = std::io::stderr()
        .lock()
        .write_all(error.render(stderr_has_color(color)).as_bytes());
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
