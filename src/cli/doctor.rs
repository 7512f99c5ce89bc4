//! `doctor`: find out why it does not work.

mod output;
mod plan;

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::output::{Activities, DoctorOutputArgs, activity_text};
pub(crate) use self::output::{is_for_nagios, say_unknown};
use self::plan::Asked;
use crate::cli::ColorWhen;
use crate::cli::broker::beside_local_broker;
use crate::cli::connection::ConnectionArgs;
use crate::cli::error::CliError;
use crate::cli::interrupt::{Unread, run_interruptible};
use crate::doctor::check::CheckId;
use crate::doctor::plan::Plan;
use crate::doctor::runner::examine;
use crate::net::target::Target;
use crate::report::progress::Activity;
use crate::results::doctor::DoctorResult;
use crate::units::{UnitError, format_bytes, parse_bytes, parse_duration};

/// In lines of less than 80 columns: it is not wrapped again.
const AFTER_HELP: &str = "\
Examples:
  natsbench doctor                             look at ws://localhost:8443
  natsbench doctor -s wss://broker.example/nats --creds app.creds
  natsbench doctor 'rounds.game.*'             does anything arrive there?
  natsbench doctor --publish rounds.game.crash --request --jetstream
  natsbench doctor --watch 5m                  what ends the connection?
  natsbench doctor --offline 'rounds.game.*'   is this subject valid?
  natsbench doctor --strict -o junit > doctor.xml

Exit codes:
  0    nothing is wrong, or only warnings were found
  1    internal error
  2    wrong usage; nothing was connected
  4    something does not work; with --strict also for a warning
  130  interrupted; what was found until then is printed

With -o nagios: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.";

/// Flags of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct DoctorArgs {
    /// Subjects or patterns to look at, such as 'rounds.type.*'
    #[arg(value_name = "SUBJECT")]
    subjects: Vec<String>,
    /// May this client publish there? Sends one marked message
    #[arg(long, value_name = "SUBJECT")]
    publish: Option<String>,
    /// Size of that message, such as 512 or 64KiB
    #[arg(long, value_name = "BYTES", value_parser = parse_payload_bytes)]
    payload_size: Option<u64>,
    /// Subscribe in this queue group
    #[arg(long, value_name = "GROUP")]
    queue: Option<String>,
    /// Is JetStream there, and does a stream store the subjects?
    #[arg(long)]
    jetstream: bool,
    /// Do request and reply work?
    #[arg(long)]
    request: bool,
    /// Stay connected for so long, and name what ends the connection
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    watch: Option<Duration>,
    /// Judge subjects, credentials and contexts without connecting
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
        // `--publish` has a subject, which can be judged without a connection.
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
    let result = run_interruptible(Unread::IsIgnored, async |interrupt| {
        beside_local_broker(args.connection.local_broker, async |local| {
            let servers = local.map_or(servers, |local| vec![local]);
            let activity = args.output.activity();
            Ok(examine_all(plan, servers, &interrupt.stop, activity).await)
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
    let (plan, activity) = (Arc::new(plan), Arc::new(Activities::new(activity)));
    let mut examinations = JoinSet::new();
    for (idx, target) in servers.into_iter().enumerate() {
        let (plan, activity, stop) = (Arc::clone(&plan), Arc::clone(&activity), stop.clone());
        examinations.spawn(async move {
            let mut show = |check| activity.begin(idx, activity_text(&target, check));
            let result = examine(&plan, &target, &stop, &mut show).await;
            activity.end(idx);
            (idx, result)
        });
    }
    let mut examinations = std::pin::pin!(examinations.join_all());
    let mut results = tokio::select! {
        results = &mut examinations => results,
        () = stop.cancelled() => {
            // What is said about the interruption must not be drawn over.
            activity.finish();
            examinations.await
        }
    };
    activity.finish();
    results.sort_by_key(|(idx, _)| *idx);
    let results = results.into_iter().map(|(_, result)| result).collect();
    DoctorResult::of_several(results).expect("there is always a server, if only the default")
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
