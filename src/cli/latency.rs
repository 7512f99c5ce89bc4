//! `latency`: publish and subscribe in one run.

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use crate::cli::ColorWhen;
use crate::cli::broker::beside_local_broker;
use crate::cli::connection::{ConnectionArgs, parse_target};
use crate::cli::error::CliError;
use crate::cli::interrupt::{Unread, run_interruptible};
use crate::cli::output::{OutputArgs, exit_code, saved_json};
use crate::cli::reconnect::{ReconnectArgs, WhileDownArgs};
use crate::cli::redact::{secrets_of, without_secrets};
use crate::cli::rounds::{RoundsArgs, RouteArg};
use crate::cli::run_files::RunFilesArgs;
use crate::cli::watching::{ResultFiles, RunWatcher};
use crate::load::latency;
use crate::load::outcome;
use crate::load::plan::{Endpoint, LatencyPlan};
use crate::measure::slo::Objective;
use crate::rounds::ExtrasForm;
use crate::units::{Rate, RateLimit, parse_duration};

/// Flags of `latency`.
#[derive(Debug, Args)]
pub(crate) struct LatencyArgs {
    /// Rounds a second in total, over all publishers: 200, 0.5, 10k
    #[arg(
        long,
        value_name = "N",
        default_value = "200",
        allow_negative_numbers = true
    )]
    rate: RateLimit,
    /// Length of the measured phase
    #[arg(long, value_name = "TIME", default_value = "10s", allow_negative_numbers = true, value_parser = parse_duration)]
    duration: Duration,
    /// Length of the warm-up before it, which does not count
    #[arg(long, value_name = "TIME", default_value = "2s", allow_negative_numbers = true, value_parser = parse_duration)]
    warmup: Duration,
    /// How long to wait at the end for messages in flight
    #[arg(long, value_name = "TIME", default_value = "2s", allow_negative_numbers = true, value_parser = parse_duration)]
    drain: Duration,
    /// Connections that publish; they share the rate
    #[arg(
        long,
        value_name = "N",
        default_value = "1",
        allow_negative_numbers = true
    )]
    publishers: NonZeroU16,
    /// Connections that subscribe; each should get every message
    #[arg(
        long,
        value_name = "N",
        default_value = "1",
        allow_negative_numbers = true
    )]
    subscribers: NonZeroU16,
    /// Subjects of a round: PREFIX.game.SLUG, PREFIX.type.TYPE, or both (two messages)
    #[arg(long, value_enum, default_value_t = RouteArg::Game)]
    route: RouteArg,
    /// Publish to another server than the subscribers' [default: as --server]
    #[arg(
        long,
        value_name = "URL",
        env = "NATSBENCH_PUB_SERVER",
        hide_env_values = true
    )]
    pub_server: Option<String>,
    /// Objective such as p99<2ms, lost==0 or rate>=99% (repeatable)
    #[arg(long, value_name = "EXPR")]
    slo: Vec<String>,
    /// Save the JSON result to a file
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Write an HdrHistogram interval log to a file
    #[arg(long, value_name = "FILE")]
    hdr: Option<PathBuf>,
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

impl LatencyArgs {
    fn plan(&self) -> Result<LatencyPlan, CliError> {
        let rate = self.open_rate()?;
        let objectives = self
            .slo
            .iter()
            .map(|text| parse_objective(text))
            .collect::<Result<_, _>>()?;
        let policy = self.reconnect.policy();
        let subscribe_at = self.connection.endpoint(self.subscribers.get(), policy)?;
        let publish_at = Endpoint {
            servers: match &self.pub_server {
                Some(url) => vec![parse_target(url)?],
                None => subscribe_at.servers.clone(),
            },
            ..self.connection.endpoint(self.publishers.get(), policy)?
        };
        if self.duration.is_zero() {
            return Err(CliError::usage("`--duration` must be more than zero"));
        }
        Ok(LatencyPlan {
            subscribe_at,
            publish_at,
            client: self.rounds.client.client(),
            n_publishers: self.publishers,
            n_subscribers: self.subscribers,
            rounds: self
                .rounds
                .plan(self.route.route(), ExtrasForm::Object, true)?,
            rate,
            duration: self.duration,
            warmup: self.warmup,
            drain: self.drain,
            while_down: self.while_down.while_down(),
            objectives,
        })
    }

    fn open_rate(&self) -> Result<Rate, CliError> {
        match self.rate {
            RateLimit::PerSecond(rate) => Ok(rate),
            RateLimit::Max => Err(CliError::usage(
                "`latency --rate max` has no answer: back to back, a message is never late, whatever the broker does",
            )
            .hint("find the ceiling with `natsbench pub --rate max`, then measure below it")),
        }
    }
}

/// Reads an objective, and points at its fault.
fn parse_objective(text: &str) -> Result<Objective, CliError> {
    text.parse().map_err(|error: crate::measure::slo::SloError| {
        CliError::usage(format!("the objective is invalid: {}", error.fault()))
            .pointing_at(text, error.span())
            .hint("an objective such as `p99<2ms`, `service.p50<=500us`, `lost==0`, `lost_ratio<0.01%` or `rate>=99%`")
    })
}

pub(crate) fn run(args: &LatencyArgs, color: ColorWhen) -> Result<u8, CliError> {
    let mut plan = args.plan()?;
    let result_files = ResultFiles::open(args.save.as_deref(), args.hdr.as_deref())?;
    let secrets = Arc::new(secrets_of(&[&plan.subscribe_at, &plan.publish_at]));
    let mut watcher = RunWatcher::new(&args.output, true, &args.run_files, result_files, &secrets)?;
    args.rounds.warn(color);
    let outcome = run_interruptible(Unread::Stops, async |interrupt| {
        beside_local_broker(args.connection.local_broker, async |local| {
            if let Some(target) = local {
                plan.subscribe_at.servers = vec![target.clone()];
                if args.pub_server.is_none() {
                    plan.publish_at.servers = vec![target];
                }
            }
            let watch = watcher.watch(interrupt);
            let measured = latency::run(&plan, watch).await?;
            Ok(outcome::of_latency(&plan, &measured))
        })
        .await
    });
    let mut result = without_secrets(&secrets, outcome)?;
    let (incomplete, save) = watcher.finish();
    result.trust.doubts.extend(incomplete);
    // Each is tried, whatever becomes of the other: a full disk must not take the report with it.
    let printed = args.output.print(&result, color);
    if let Some(mut file) = save {
        file.replace(&saved_json(&result)?, true)?;
    }
    printed?;
    Ok(exit_code(&result))
}
