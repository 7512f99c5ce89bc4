//! `pub`: publish synthetic rounds at a rate.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use crate::cli::ColorWhen;
use crate::cli::broker::beside_local_broker;
use crate::cli::connection::ConnectionArgs;
use crate::cli::error::CliError;
use crate::cli::exit;
use crate::cli::interrupt::{Unread, run_interruptible};
use crate::cli::output::{OutputArgs, exit_code, write_more_to_stdout, write_stdout};
use crate::cli::reconnect::{ReconnectArgs, WhileDownArgs};
use crate::cli::redact::{secrets_of, without_secrets};
use crate::cli::rounds::{ExtrasArg, RoundsArgs, RouteArg};
use crate::cli::run_files::RunFilesArgs;
use crate::cli::watching::{ResultFiles, RunWatcher};
use crate::load::outcome;
use crate::load::plan::{Extent, PublishPlan};
use crate::load::publish;
use crate::load::streams::{generator_of, subjects_of};
use crate::units::{RateLimit, parse_duration};

/// How long a run waits at its end for blocked writes and the broker's confirmation.
const DRAIN: Duration = Duration::from_secs(2);
/// Messages that a dry run shows when nothing says how many.
const DRY_RUN_ROUNDS: u64 = 10;

/// Flags of `pub`.
#[derive(Debug, Args)]
pub(crate) struct PubArgs {
    /// Rounds a second in total, over all connections: 200, 0.5, 10k, or max
    #[arg(
        long,
        value_name = "N|max",
        default_value = "200",
        allow_negative_numbers = true
    )]
    rate: RateLimit,
    /// How long [default: until Ctrl-C]
    #[arg(long, value_name = "TIME", allow_negative_numbers = true, value_parser = parse_duration)]
    duration: Option<Duration>,
    /// How many rounds [default: until Ctrl-C]
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        conflicts_with = "duration"
    )]
    count: Option<u64>,
    /// Subjects of a round: PREFIX.game.SLUG, PREFIX.type.TYPE, or both (two messages)
    #[arg(long, value_enum, default_value_t = RouteArg::Both)]
    route: RouteArg,
    /// How extras is written
    #[arg(long, value_enum, default_value_t = ExtrasArg::Object)]
    extras: ExtrasArg,
    /// The plain message without timestamp and stamp; nobody can measure latency or loss then
    #[arg(long)]
    no_stamp: bool,
    /// Connections; they share the rate
    #[arg(
        long,
        value_name = "N",
        default_value = "1",
        allow_negative_numbers = true
    )]
    connections: NonZeroU16,
    /// Print what would be sent, and connect to nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    rounds: RoundsArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    reconnect: ReconnectArgs,
    #[command(flatten)]
    while_down: WhileDownArgs,
    #[command(flatten)]
    run_files: RunFilesArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl PubArgs {
    fn plan(&self) -> Result<PublishPlan, CliError> {
        let extent = match (self.duration, self.count) {
            (Some(duration), _) if duration.is_zero() => {
                return Err(CliError::usage("`--duration` must be more than zero"));
            }
            (Some(duration), _) => Extent::Duration(duration),
            (None, Some(0)) => return Err(CliError::usage("`--count` must be more than zero")),
            (None, Some(count)) => Extent::Rounds(count),
            (None, None) => Extent::Endless,
        };
        Ok(PublishPlan {
            endpoint: self
                .connection
                .endpoint(self.connections.get(), self.reconnect.policy())?,
            client: self.rounds.client.client(),
            n_connections: self.connections,
            rounds: self
                .rounds
                .plan(self.route.route(), self.extras.form(), !self.no_stamp)?,
            rate: self.rate,
            extent,
            drain: DRAIN,
            while_down: self.while_down.while_down(),
        })
    }
}

pub(crate) fn run(args: &PubArgs, color: ColorWhen) -> Result<u8, CliError> {
    let mut plan = args.plan()?;
    args.rounds.warn(color);
    if args.dry_run {
        return dry_run(&plan);
    }
    let no_files = ResultFiles::default();
    let secrets = Arc::new(secrets_of(&[&plan.endpoint]));
    let mut watcher = RunWatcher::new(&args.output, true, &args.run_files, no_files, &secrets)?;
    let outcome = run_interruptible(Unread::Stops, async |interrupt| {
        beside_local_broker(args.connection.local_broker, async |local| {
            if let Some(target) = local {
                plan.endpoint.servers = vec![target];
            }
            let watch = watcher.watch(interrupt);
            let published = publish::run(&plan, watch).await?;
            Ok(outcome::of_publish(&plan, &published))
        })
        .await
    });
    let mut result = without_secrets(&secrets, outcome)?;
    let (incomplete, _) = watcher.finish();
    result.trust.doubts.extend(incomplete);
    args.output.print(&result, color)?;
    // Without an end of its own, Ctrl-C is how a `pub` is meant to end; the code still says that it was.
    Ok(exit_code(&result))
}

/// Prints subjects and payloads as they would be sent; the stamp is what only a real run knows, so it is left out.
fn dry_run(plan: &PublishPlan) -> Result<u8, CliError> {
    let n_rounds = match plan.extent {
        Extent::Rounds(count) => count,
        Extent::Duration(duration) => match plan.rate {
            RateLimit::PerSecond(rate) => {
                let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
                crate::measure::schedule::Schedule::new(rate).count_within(nanos)
            }
            RateLimit::Max => DRY_RUN_ROUNDS,
        },
        Extent::Endless => DRY_RUN_ROUNDS,
    };
    let mut generator =
        generator_of(&plan.rounds, 0).map_err(|error| CliError::usage(error.to_string()))?;
    let mut text = Vec::new();
    for _ in 0..n_rounds {
        let rendered = generator.next_round();
        for subject in subjects_of(&plan.rounds.prefix, rendered.game, plan.rounds.route) {
            text.extend_from_slice(subject.as_bytes());
            text.push(b' ');
            text.extend_from_slice(rendered.bytes);
            text.push(b'\n');
        }
        if text.len() > 1 << 16 {
            if write_more_to_stdout(&text)?.is_break() {
                return Ok(exit::PASSED);
            }
            text.clear();
        }
    }
    write_stdout(&text)?;
    Ok(exit::PASSED)
}
