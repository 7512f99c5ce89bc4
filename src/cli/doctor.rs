//! `doctor`: find out why it does not work.

mod plan;

use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use self::plan::Asked;
use crate::cli::ColorWhen;
use crate::cli::connection::ConnectionArgs;
use crate::cli::error::CliError;
use crate::cli::exit;
use crate::cli::output::{run_interruptible, style, write_stdout};
use crate::doctor::check::CheckId;
use crate::doctor::runner::examine;
use crate::report::doctor::{DoctorFormat, write_doctor};
use crate::results::doctor::DoctorStatus;
use crate::units::{UnitError, format_bytes, parse_bytes, parse_duration};

/// How the result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FormatArg {
    /// For people
    Human,
    /// One object, schema natsbench.doctor/1
    Json,
}

/// Flags of `doctor`.
#[derive(Debug, Args)]
#[command(mut_arg("local_broker", |arg| arg.hide(true)))]
pub(crate) struct DoctorArgs {
    /// Subjects or patterns to look at, such as 'rounds.type.*'
    #[arg(value_name = "SUBJECT")]
    subjects: Vec<String>,
    /// May this client publish there? Sends one marked message
    #[arg(long, value_name = "SUBJECT")]
    publish: Option<String>,
    /// Size of that message
    #[arg(long, value_name = "BYTES", requires = "publish", value_parser = parse_payload_bytes)]
    payload_size: Option<u64>,
    /// Subscribe in this queue group
    #[arg(long, value_name = "GROUP")]
    queue: Option<String>,
    /// Look at streams, too
    #[arg(long)]
    jetstream: bool,
    /// Do request and reply work?
    #[arg(long)]
    request: bool,
    /// Stay connected for so long, and name what ends the connection
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    watch: Option<Duration>,
    /// Only what can be judged without connecting
    #[arg(long)]
    offline: bool,
    /// Only this check, and those that it needs (repeatable)
    #[arg(long, value_name = "CHECK", value_delimiter = ',')]
    only: Vec<CheckId>,
    /// Leave out this check (repeatable)
    #[arg(long, value_name = "CHECK", value_delimiter = ',')]
    skip: Vec<CheckId>,
    /// Warnings fail, too
    #[arg(long)]
    strict: bool,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = FormatArg::Human, value_name = "FORMAT")]
    format: FormatArg,
    #[command(flatten)]
    connection: ConnectionArgs,
}

impl DoctorArgs {
    fn format(&self) -> DoctorFormat {
        match self.format {
            FormatArg::Human => DoctorFormat::Human,
            FormatArg::Json => DoctorFormat::Json,
        }
    }
}

pub(crate) fn run(args: &DoctorArgs, color: ColorWhen) -> Result<u8, CliError> {
    let Asked { plan, servers } = plan::of(args)?;
    let target = servers[0].clone();
    let result =
        run_interruptible(async |stop| Ok(examine(&plan, &target, &stop, &mut |_| {}).await))?;
    let mut text = Vec::new();
    write_doctor(&mut text, &result, args.format(), style(color))
        .context("cannot render the result")?;
    write_stdout(&text)?;
    Ok(match result.status {
        _ if result.interrupted => exit::INTERRUPTED,
        DoctorStatus::Failed => exit::FAILED,
        DoctorStatus::Warning if args.strict => exit::FAILED,
        DoctorStatus::Warning | DoctorStatus::Ok => exit::PASSED,
    })
}

/// Largest message that a server can be told to take, in bytes: what it keeps for one client (`max_pending`).
const MAX_PAYLOAD_BYTES: u64 = 64 << 20;

/// A size of a message, such as `1MiB`.
fn parse_payload_bytes(input: &str) -> Result<u64, PayloadSizeError> {
    let bytes = parse_bytes(input)?;
    if (1..=MAX_PAYLOAD_BYTES).contains(&bytes) {
        Ok(bytes)
    } else {
        Err(PayloadSizeError::Range)
    }
}

/// Why a text is no size of a message.
#[derive(Debug, thiserror::Error)]
enum PayloadSizeError {
    #[error(transparent)]
    Unit(#[from] UnitError),
    #[error("a message has from 1 byte to {}", format_bytes(MAX_PAYLOAD_BYTES))]
    Range,
}
