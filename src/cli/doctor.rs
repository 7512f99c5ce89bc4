//! `doctor`: find out why it does not work.

mod output;
mod plan;

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::plan::Asked;
use crate::cli::ColorWhen;
use crate::cli::broker::beside_local_broker;
use crate::cli::connection::ConnectionArgs;
use crate::cli::error::CliError;
use crate::cli::output::run_interruptible;
use crate::doctor::check::CheckId;
use crate::doctor::plan::Plan;
use crate::doctor::runner::examine;
use crate::net::target::Target;
use crate::report::progress::Activity;
use crate::results::doctor::DoctorResult;
use crate::units::{parse_bytes, parse_duration};

use self::output::{DoctorOutputArgs, activity_text};
pub(crate) use self::output::{is_for_nagios, say_unknown};

/// The most that a nats-server can be told to accept in one message.
const MAX_PAYLOAD_BYTES: u64 = 64 << 20;

/// Flags of `doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Subjects or patterns to look at, such as 'rounds.type.*'
    #[arg(value_name = "SUBJECT")]
    subjects: Vec<String>,
    /// May this client publish there? Sends one marked message
    #[arg(long, value_name = "SUBJECT")]
    publish: Option<String>,
    /// Size of that message, such as 512 or 64KiB
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
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
    /// Only these checks, and those that they need (repeatable)
    #[arg(long, value_name = "CHECK", value_delimiter = ',', value_parser = check_parser())]
    only: Vec<CheckId>,
    /// Leave out these checks (repeatable)
    #[arg(
        long,
        value_name = "CHECK",
        value_delimiter = ',',
        hide_possible_values = true,
        value_parser = check_parser()
    )]
    skip: Vec<CheckId>,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    output: DoctorOutputArgs,
}

impl DoctorArgs {
    /// Flags that contradict each other.
    fn check(&self) -> Result<(), CliError> {
        if self.payload_size.is_some() && self.publish.is_none() {
            return Err(CliError::usage(
                "`--payload-size` has no effect without `--publish`: nothing is sent",
            )
            .hint("add `--publish SUBJECT`"));
        }
        if self
            .payload_size
            .is_some_and(|bytes| bytes > MAX_PAYLOAD_BYTES)
        {
            return Err(CliError::usage(format!(
                "`--payload-size` is at most {MAX_PAYLOAD_BYTES} bytes (64 MiB)"
            ))
            .hint("no nats-server takes more than that in one message"));
        }
        if let Some(subject) = self.publish.as_ref().filter(|_| self.offline) {
            return Err(CliError::usage(
                "`--offline` cannot be used with `--publish`, which needs a connection",
            )
            .hint(format!(
                "`natsbench doctor --offline '{subject}'` judges the subject alone"
            )));
        }
        let needs_connection = [
            ("--watch", self.watch.is_some()),
            ("--jetstream", self.jetstream),
            ("--request", self.request),
            ("--local-broker", self.connection.local_broker),
        ];
        let given = needs_connection.iter().find(|(_, is_given)| *is_given);
        if let Some((flag, _)) = given.filter(|_| self.offline) {
            return Err(CliError::usage(format!(
                "`--offline` cannot be used with `{flag}`, which needs a connection"
            ))
            .hint("one of the two alone"));
        }
        if let Some(id) = self.only.iter().find(|id| self.skip.contains(id)) {
            return Err(CliError::usage(format!(
                "`--only` and `--skip` both name the check `{id}`"
            ))
            .hint("it can be looked at or left out, not both"));
        }
        if self.watch.is_some_and(|length| length.is_zero()) {
            return Err(CliError::usage("`--watch` must be more than zero")
                .hint("a time such as `--watch 2m`, or no `--watch`"));
        }
        Ok(())
    }
}

/// Reads the name of a check; help and completions list them.
fn check_parser() -> impl TypedValueParser<Value = CheckId> {
    PossibleValuesParser::new(CheckId::ALL.map(CheckId::name))
        .map(|name| name.parse().expect("it is one of the names"))
}

pub(crate) fn run(args: &DoctorArgs, color: ColorWhen) -> Result<u8, CliError> {
    args.check()?;
    let Asked { plan, servers } = plan::of(args)?;
    let save = args.output.open_save()?;
    let result = run_interruptible(async |stop| {
        beside_local_broker(args.connection.local_broker, async |local| {
            let servers = local.map_or(servers, |local| vec![local]);
            let activity = args.output.activity();
            Ok(examine_all(plan, servers, &stop, activity).await)
        })
        .await
    })?;
    args.output.finish(result, save, color)
}

/// Examines every server, side by side, and puts the results together.
async fn examine_all(
    plan: Plan,
    servers: Vec<Target>,
    stop: &CancellationToken,
    activity: Activity,
) -> DoctorResult {
    let (plan, activity) = (Arc::new(plan), Arc::new(activity));
    let mut examinations = JoinSet::new();
    for (idx, target) in servers.into_iter().enumerate() {
        let (plan, activity, stop) = (Arc::clone(&plan), Arc::clone(&activity), stop.clone());
        examinations.spawn(async move {
            let mut show = |check| activity.show(&activity_text(&target, check));
            (idx, examine(&plan, &target, &stop, &mut show).await)
        });
    }
    let mut results = examinations.join_all().await;
    activity.finish();
    results.sort_by_key(|(idx, _)| *idx);
    let results = results.into_iter().map(|(_, result)| result).collect();
    DoctorResult::of_several(results).expect("there is always a server, if only the default")
}
