//! `latency`: publish and subscribe in one run.

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::cli::ColorWhen;
use crate::cli::broker::start_local;
use crate::cli::connection::{ConnectionArgs, parse_target};
use crate::cli::error::CliError;
use crate::cli::output::{OutputArgs, OutputFile, exit_code, run_interruptible, saved_json};
use crate::cli::rounds::{RoundsArgs, RouteArg};
use crate::load::latency::{self, Watch};
use crate::load::outcome;
use crate::load::plan::{Endpoint, LatencyPlan};
use crate::measure::slo::Objective;
use crate::net::target::Target;
use crate::report::hdr_log::HdrLog;
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
        allow_hyphen_values = true
    )]
    rate: RateLimit,
    /// Length of the measured phase
    #[arg(long, value_name = "D", default_value = "10s", value_parser = parse_duration)]
    duration: Duration,
    /// Length of the warm-up before it, which counts for nothing
    #[arg(long, value_name = "D", default_value = "2s", value_parser = parse_duration)]
    warmup: Duration,
    /// How long to wait for what is in flight
    #[arg(long, value_name = "D", default_value = "2s", value_parser = parse_duration)]
    drain: Duration,
    /// Connections that publish; they share the rate
    #[arg(long, value_name = "N", default_value = "1")]
    publishers: NonZeroU16,
    /// Connections that subscribe; each should get every message
    #[arg(long, value_name = "N", default_value = "1")]
    subscribers: NonZeroU16,
    /// Under which of its two subjects a round goes
    #[arg(long, value_enum, default_value_t = RouteArg::Game)]
    route: RouteArg,
    #[command(flatten)]
    rounds: RoundsArgs,
    /// Publish to another server than the subscribers' [default: as --server]
    #[arg(
        long,
        value_name = "URL",
        env = "NATSBENCH_PUB_SERVER",
        hide_env_values = true
    )]
    pub_server: Option<String>,
    /// Objective, such as p99<2ms or lost==0 (repeatable)
    #[arg(long, value_name = "EXPR")]
    slo: Vec<String>,
    /// Save the JSON result to a file
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Write an HdrHistogram interval log to a file
    #[arg(long, value_name = "FILE")]
    hdr: Option<PathBuf>,
    #[command(flatten)]
    connection: ConnectionArgs,
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
        let subscribe_at = self.connection.endpoint(self.subscribers.get())?;
        let publish_at = Endpoint {
            servers: match &self.pub_server {
                Some(url) => vec![parse_target(url)?],
                None => subscribe_at.servers.clone(),
            },
            ..self.connection.endpoint(self.publishers.get())?
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
        CliError::usage(format!("the objective is invalid: {error}"))
            .pointing_at(text, error.span())
            .hint("such as `p99<2ms`, `service.p50<=500us`, `lost==0`, `lost_ratio<0.01%` or `rate>=99%`")
    })
}

pub(crate) fn run(args: &LatencyArgs, color: ColorWhen) -> Result<u8, CliError> {
    let mut plan = args.plan()?;
    let save = args.save.as_deref().map(OutputFile::open).transpose()?;
    let hdr = args.hdr.as_deref().map(OutputFile::open).transpose()?;
    let result = run_interruptible(async |stop| {
        let local = if args.connection.local_broker {
            Some(start_local().await?)
        } else {
            None
        };
        if let Some(server) = &local {
            let target: Target = parse_target(server.websocket_url())?;
            plan.subscribe_at.servers = vec![target.clone()];
            if args.pub_server.is_none() {
                plan.publish_at.servers = vec![target];
            }
        }
        let measured = measure(args, &plan, hdr, stop).await;
        if let Some(server) = local {
            server
                .stop()
                .await
                .map_err(|error| CliError::internal("cannot stop nats-server").because(&error))?;
        }
        measured
    })?;
    if let Some(file) = save {
        file.replace(&saved_json(&result)?)?;
    }
    args.output.print(&result, color)?;
    Ok(exit_code(&result))
}

async fn measure(
    args: &LatencyArgs,
    plan: &LatencyPlan,
    hdr: Option<OutputFile>,
    stop: CancellationToken,
) -> Result<crate::results::RunResult, CliError> {
    let mut progress = args.output.progress();
    let clock = crate::clock::Clock::start();
    let started = clock.now();
    let started_s = clock.wall_now().0 as f64 / 1e9;
    let begin = |file: OutputFile| HdrLog::begin(file.into_empty(), started_s);
    let mut log = hdr
        .map(begin)
        .transpose()
        .map_err(|error| CliError::usage("cannot write the interval log").because(&error))?;
    let mut log_error = None;
    let watch = Watch {
        stop,
        on_progress: &mut |snapshot| progress.update(snapshot),
        on_interval: &mut |recorder| {
            let end = Duration::from_nanos(clock.now().since(started));
            if let Some(log) = &mut log
                && let Err(error) = log.interval(recorder, end)
            {
                log_error.get_or_insert(error);
            }
        },
    };
    let measured = latency::run(plan, watch).await;
    progress.finish();
    let mut result = outcome::of_latency(plan, &measured?);
    if let Some(error) = log_error {
        result
            .trust
            .doubts
            .push(format!("the interval log is incomplete: {error}"));
    }
    Ok(result)
}
