//! What a run leaves behind: plain data, versioned, the same for every renderer.
//!
//! The JSON form is a contract (schema `natsbench.result/1`): fields are added, never renamed. Durations are integer
//! nanoseconds; an absent field was not measured; a percentile that the samples cannot support is `null`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::measure::slo::{Metric, Objective};
use crate::results::outages::Outage;
use crate::units::{format_decimal, format_nanos, format_percent};

pub use crate::measure::slo::Verdict;

pub mod doctor;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod outages;
#[cfg(test)]
mod published_schema;
#[cfg(test)]
mod tests;

/// Name and version of the schema; the file `schemas/natsbench.result-1.schema.json` describes it.
pub const SCHEMA: &str = "natsbench.result/1";

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// As planned.
    Completed,
    /// By a signal.
    Interrupted,
    /// A connection was lost in mid-run, for good.
    ConnectionLost,
    /// Not yet: this is what was known at a checkpoint.
    Unfinished,
}

/// The result of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// [`SCHEMA`].
    pub schema: String,
    /// The subcommand.
    pub command: String,
    /// What the run is worth.
    pub verdict: Verdict,
    /// Each objective.
    pub slo: Vec<SloResult>,
    /// Messages.
    pub load: Load,
    /// Rounds a second.
    pub rate: RateResult,
    /// The three latencies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencyResult>,
    /// The (first) subscribing connection; for `pub` the publishing one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<ConnectionResult>,
    /// The (first) publishing connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publisher_connection: Option<ConnectionResult>,
    /// What the numbers rest on.
    pub trust: Trust,
    /// Where they were taken.
    pub environment: Environment,
    /// Start, RFC 3339.
    pub started_at: String,
    /// Length of the whole run, from the first connection.
    pub duration_ns: u64,
    /// How it ended.
    pub ended: Ended,
    /// Outages of its connections, in the order in which they began; the first few thousand.
    #[serde(default)]
    pub outages: Vec<Outage>,
    /// How many there were.
    #[serde(default)]
    pub n_outages: u64,
    /// Why the verdict is no pass.
    pub reasons: Vec<String>,
    /// Response latencies, in buckets of growing width.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub histogram: Option<Vec<Bar>>,
    /// What was asked for; no secrets.
    pub settings: BTreeMap<String, String>,
}

/// One objective.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SloResult {
    /// As typed.
    pub expr: String,
    /// Whether it holds.
    pub verdict: Verdict,
    /// The observed latency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_ns: Option<i64>,
    /// The observed count or ratio.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed: Option<f64>,
    /// Why it is inconclusive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl SloResult {
    /// What was observed, as people read it: `842 us`, `18`, `99.5%`; `None` if there was nothing.
    pub fn observed_text(&self) -> Option<String> {
        if let Some(nanos) = self.observed_ns {
            return Some(format_nanos(nanos));
        }
        let value = self.observed?;
        // A count and a ratio are both numbers here; what the objective is about tells them apart.
        let metric = self
            .expr
            .parse()
            .map(|objective: Objective| objective.metric());
        Some(match metric {
            Ok(Metric::LostRatio | Metric::RateRatio) => format_percent(value),
            _ => format_decimal(value),
        })
    }
}

/// Messages; a round sent under two subjects is two.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// What the schedule held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planned: Option<u64>,
    /// Handed to the kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<u64>,
    /// Sent, times the subscribers that should get it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<u64>,
    /// Arrived, each counted once a subscriber.
    pub received: u64,
    /// Expected, known to have reached the broker, and not arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
    /// Where messages are received: expected and not arrived, but nobody knows whether they reached the broker. Where they
    /// are only sent: handed to the kernel, and never acknowledged by the broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_doubt: Option<u64>,
    /// Planned, fallen due while the broker was away, and left out because `--while-down skip` says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<u64>,
    /// Planned, and neither sent nor skipped: the run ended before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_sent: Option<u64>,
    /// Further copies.
    pub duplicated: u64,
    /// Arrived after a later one.
    pub reordered: u64,
    /// Not JSON.
    pub undecodable: u64,
    /// Rounds without a stamp.
    pub unstamped: u64,
    /// Messages of other runs.
    pub foreign: u64,
    /// `-ERR` answers while publishing.
    pub refused: u64,
    /// Streams whose end is unknown, because no end-of-run message came.
    pub tail_unknown_streams: u64,
    /// By publisher and subject.
    pub streams: Vec<StreamLoad>,
    /// By subscriber.
    pub subscribers: Vec<SubscriberLoad>,
}

/// Messages of one publisher to one subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamLoad {
    /// Which run, where there may be several.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub run: String,
    /// Publisher number.
    pub publisher: u16,
    /// Subject.
    pub subject: String,
    /// Handed to the kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<u64>,
    /// Sent, times the subscribers that should get it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<u64>,
    /// Arrived.
    pub received: u64,
    /// Expected, known to have reached the broker, and not arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
    /// As in [`Load::in_doubt`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_doubt: Option<u64>,
    /// Further copies.
    pub duplicated: u64,
    /// Arrived after a later one.
    pub reordered: u64,
}

/// Messages of one subscriber.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubscriberLoad {
    /// Its number.
    pub idx: usize,
    /// What it should have got.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<u64>,
    /// Arrived.
    pub received: u64,
    /// Expected, known to have reached the broker, and not arrived.
    pub lost: u64,
    /// Expected and not arrived, and perhaps never with the broker.
    #[serde(default)]
    pub in_doubt: u64,
    /// Further copies.
    pub duplicated: u64,
    /// Arrived after a later one.
    pub reordered: u64,
}

/// Rounds a second (messages a second where they are received).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RateResult {
    /// Asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_per_s: Option<f64>,
    /// Rounds sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent_per_s: Option<f64>,
    /// Messages received, over all subscribers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received_per_s: Option<f64>,
}

/// The three latencies.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LatencyResult {
    /// received - intended: what a user of an open system sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<LatencyStats>,
    /// received - sent: what broker and network cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<LatencyStats>,
    /// sent - intended: what the generator cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lateness: Option<LatencyStats>,
}

/// One distribution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LatencyStats {
    /// Samples.
    pub count: u64,
    /// Smallest.
    pub min_ns: i64,
    /// Half of the samples are not above it.
    pub p50_ns: Option<i64>,
    /// 90 in 100.
    pub p90_ns: Option<i64>,
    /// 99 in 100.
    pub p99_ns: Option<i64>,
    /// 999 in 1,000.
    pub p99_9_ns: Option<i64>,
    /// 9,999 in 10,000.
    pub p99_99_ns: Option<i64>,
    /// Largest.
    pub max_ns: i64,
    /// Average.
    pub mean_ns: i64,
    /// Samples below zero: clocks disagree.
    pub negative: u64,
    /// Samples above what the histogram holds (one hour).
    pub clipped: u64,
}

/// A bucket of a histogram.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bar {
    /// From here.
    pub from_ns: i64,
    /// Up to here.
    pub to_ns: i64,
    /// Samples.
    pub count: u64,
}

/// A connection, as it was opened.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ConnectionResult {
    /// Where to, without secrets.
    pub url: String,
    /// `raw` or `async-nats`.
    pub client: String,
    /// Version of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_version: Option<String>,
    /// Name of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// Resolving the host name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns_ns: Option<u64>,
    /// Opening the TCP connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_ns: Option<u64>,
    /// The TLS handshake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_ns: Option<u64>,
    /// The HTTP upgrade.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upgrade_ns: Option<u64>,
    /// Waiting for INFO.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info_ns: Option<u64>,
    /// CONNECT, PING and PONG.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_ns: Option<u64>,
    /// How often it had to be opened again.
    pub reconnects: u64,
    /// permessage-deflate is in use.
    pub compressed: bool,
    /// Frames that we send are masked.
    pub masked: bool,
    /// TLS is in use.
    pub tls: bool,
    /// The certificate was verified; absent without TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<bool>,
}

/// What the numbers rest on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Trust {
    /// Rounds sent against rounds planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_ratio: Option<f64>,
    /// Half of the rounds were sent no later than this after they were due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lateness_p50_ns: Option<i64>,
    /// 99 in 100 were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lateness_p99_ns: Option<i64>,
    /// Rounds that fell due while their connection took no more data; late through no fault of the generator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_back_rounds: Option<u64>,
    /// Rounds were sent in ticks of this length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tick_ns: Option<u64>,
    /// Time for which the processor quota stopped us.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_throttled_ns: Option<u64>,
    /// Share of processor time that the hypervisor gave to others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_steal_ratio: Option<f64>,
    /// How late an idle thread woke, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hiccup_max_ns: Option<u64>,
    /// How late an idle thread woke, 99 times in 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hiccup_p99_ns: Option<u64>,
    /// By how much the wall clock was set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_step_ns: Option<i64>,
    /// Where times come from: `stamp`, `reencoded`, `timestamp` or `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stamp_source: Option<String>,
    /// Sentences that speak against taking the numbers at face value.
    pub doubts: Vec<String>,
}

/// Where a run took place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Version of natsbench.
    pub natsbench_version: String,
    /// Operating system.
    pub os: String,
    /// Kernel release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// The processor's own name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_model: Option<String>,
    /// Processors that this process may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_cpus: Option<usize>,
    /// Where the kernel takes time from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clocksource: Option<String>,
}
