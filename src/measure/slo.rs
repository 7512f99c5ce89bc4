//! Objectives: what a run must reach, as `--slo` says it, and whether it did.
//!
//! `METRIC OP VALUE`, such as `p99<2ms`, `service.p50<=500us`, `lost==0`, `lost_ratio<0.01%` or `rate>=99%`.
//!
//! Invariants
//! - A verdict has three values. No data never passes, and neither does a number that cannot be trusted.
//! - Latency objectives depend on the samples and on the doubts about generator and clock. Delivery
//!   objectives depend on counts alone, so that lost messages fail a run whose generator was late.
//!
//! Units: nanoseconds, counts, ratios.

use std::fmt;

use serde::{Deserialize, Serialize};

mod grammar;
mod judge;

pub use grammar::{METRICS, SloError, SloFault};
pub use judge::{Doubt, Judgement, Observations, Observed};

/// Whether an objective, or a run, is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Met, and known to be.
    Pass,
    /// Missed, and known to be.
    Fail,
    /// Not to be told from what was measured.
    Inconclusive,
}

impl Verdict {
    /// The verdict over many: fail if any fails, else inconclusive if any is, else pass.
    ///
    /// `None` if there are none: what a run without objectives is worth, the caller must decide by its data.
    pub fn overall(verdicts: impl IntoIterator<Item = Self>) -> Option<Self> {
        verdicts
            .into_iter()
            .reduce(|worst, next| match (worst, next) {
                (Self::Fail, _) | (_, Self::Fail) => Self::Fail,
                (Self::Inconclusive, _) | (_, Self::Inconclusive) => Self::Inconclusive,
                _ => Self::Pass,
            })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
        })
    }
}

/// Which of the three latencies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LatencyKind {
    /// Received - intended.
    Response,
    /// Received - sent.
    Service,
    /// Sent - intended.
    Lateness,
}

/// Which value of a histogram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LatencyPoint {
    /// A percentile, as a ratio between 0 and 1.
    Percentile(f64),
    /// The smallest sample.
    Min,
    /// The largest sample.
    Max,
    /// The mean.
    Mean,
}

/// What an objective is about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Metric {
    /// A value of a histogram, in nanoseconds.
    Latency(LatencyKind, LatencyPoint),
    /// Messages that did not arrive.
    Lost,
    /// Lost against expected.
    LostRatio,
    /// Further copies.
    Duplicated,
    /// Messages that arrived after a later one.
    Reordered,
    /// Messages that are no rounds.
    Undecodable,
    /// Rounds sent against rounds planned.
    RateRatio,
}

/// How a value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `==`
    Equal,
}

impl Comparison {
    fn holds<T: PartialOrd + Copy>(self, observed: T, limit: T) -> bool {
        match self {
            Self::Less => observed < limit,
            Self::LessOrEqual => observed <= limit,
            Self::Greater => observed > limit,
            Self::GreaterOrEqual => observed >= limit,
            Self::Equal => observed == limit,
        }
    }
}

/// What a metric is compared with; its kind always fits the metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// Nanoseconds.
    Nanos(i64),
    /// Messages.
    Count(u64),
    /// A ratio between 0 and 1.
    Ratio(f64),
}

/// One objective. Made by parsing; shown as it was typed.
#[derive(Debug, Clone, PartialEq)]
pub struct Objective {
    text: String,
    metric: Metric,
    comparison: Comparison,
    limit: Limit,
}

impl Objective {
    /// What it is about.
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// How it compares.
    pub fn comparison(&self) -> Comparison {
        self.comparison
    }

    /// What it compares with.
    pub fn limit(&self) -> Limit {
        self.limit
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
