//! Judging: objectives against what a run observed.
//!
//! What is not known is never taken for good. A count that can still grow (the tail of a stream is unknown) settles
//! an objective only if growing could not change the answer.

use std::fmt;

use super::{Comparison, LatencyKind, LatencyPoint, Limit, Metric, Objective, Verdict};
use crate::measure::histogram::LatencyHistogram;
use crate::measure::statistics;
use crate::units::{format_count, format_nanos};

/// A reason not to trust some of what was measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// The generator sent later than the schedule said, so that response and service are partly its own doing.
    GeneratorLate {
        /// How late it was, at the percentile that was looked at.
        lateness_ns: i64,
        /// From when on that counts as late.
        limit_ns: i64,
    },
    /// A wall clock was set during the run, so that moments of two processes cannot be compared.
    ClockStepped {
        /// By how much; positive when it was set forward.
        step_ns: i64,
    },
    /// Some arrivals could not be attributed, so that lost, duplicated and reordered are not exact.
    CountsInexact {
        /// How many arrivals.
        n_arrivals: u64,
    },
}

impl Doubt {
    /// Whether `metric` cannot be trusted for this reason.
    pub fn touches(&self, metric: Metric) -> bool {
        match (self, metric) {
            // Lateness is what that doubt is about: it is measured, not doubted.
            (Self::GeneratorLate { .. }, Metric::Latency(kind, _)) => kind != LatencyKind::Lateness,
            (Self::ClockStepped { .. }, Metric::Latency(..))
            | (
                Self::CountsInexact { .. },
                Metric::Lost | Metric::LostRatio | Metric::Duplicated | Metric::Reordered,
            ) => true,
            _ => false,
        }
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GeneratorLate {
                lateness_ns,
                limit_ns,
            } => write!(
                f,
                "the generator was late by {}, the limit is {}",
                format_nanos(*lateness_ns),
                format_nanos(*limit_ns)
            ),
            Self::ClockStepped { step_ns } => {
                write!(f, "the wall clock stepped by {}", format_nanos(*step_ns))
            }
            Self::CountsInexact { n_arrivals } => write!(
                f,
                "{} arrivals could not be attributed",
                format_count(*n_arrivals)
            ),
        }
    }
}

/// What a run observed. `None` is "not measured" or "not known"; the default is a run that saw nothing.
#[derive(Debug, Clone, Default)]
pub struct Observations<'a> {
    /// Received - intended.
    pub response: Option<&'a LatencyHistogram>,
    /// Received - sent.
    pub service: Option<&'a LatencyHistogram>,
    /// Sent - intended.
    pub lateness: Option<&'a LatencyHistogram>,
    /// Messages that the schedule held.
    pub planned: Option<u64>,
    /// Messages that were sent.
    pub sent: Option<u64>,
    /// Messages owed to all subscribers together; `None` while the tail of a stream is unknown.
    pub expected: Option<u64>,
    /// Distinct messages that arrived.
    pub received: Option<u64>,
    /// Messages that did not arrive; a lower bound while `expected` is `None`.
    pub lost: Option<u64>,
    /// Further copies.
    pub duplicated: Option<u64>,
    /// Messages that arrived after a later one.
    pub reordered: Option<u64>,
    /// Messages that are no rounds.
    pub undecodable: Option<u64>,
    /// Rounds sent against rounds planned.
    pub rate_ratio: Option<f64>,
    /// Reasons not to trust all of this.
    pub doubts: Vec<Doubt>,
}

/// The value that was compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Observed {
    /// Nanoseconds.
    Nanos(i64),
    /// Messages.
    Count(u64),
    /// A ratio.
    Ratio(f64),
    /// There was none.
    None,
}

/// What became of one objective.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// Met, missed, or not to be told.
    pub verdict: Verdict,
    /// What was compared with the limit.
    pub observed: Observed,
    /// Why it is inconclusive.
    pub why: Option<String>,
}

impl Judgement {
    fn settled(holds: bool, observed: Observed) -> Self {
        Self {
            verdict: if holds { Verdict::Pass } else { Verdict::Fail },
            observed,
            why: None,
        }
    }

    fn inconclusive(observed: Observed, why: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Inconclusive,
            observed,
            why: Some(why.into()),
        }
    }
}

impl Objective {
    /// Judges what was observed.
    pub fn evaluate(&self, seen: &Observations<'_>) -> Judgement {
        let mut judgement = match (self.metric, self.limit) {
            (Metric::Latency(kind, point), Limit::Nanos(limit_ns)) => {
                self.judge_latency(seen, kind, point, limit_ns)
            }
            (Metric::Lost, Limit::Count(limit)) => self.judge_lost(seen, limit),
            (Metric::Duplicated, Limit::Count(limit)) => {
                self.judge_count(seen, seen.duplicated, limit)
            }
            (Metric::Reordered, Limit::Count(limit)) => {
                self.judge_count(seen, seen.reordered, limit)
            }
            (Metric::Undecodable, Limit::Count(limit)) => {
                self.judge_count(seen, seen.undecodable, limit)
            }
            (Metric::LostRatio, Limit::Ratio(limit)) => self.judge_lost_ratio(seen, limit),
            (Metric::RateRatio, Limit::Ratio(limit)) => self.judge_rate(seen, limit),
            // The parser makes no such pair.
            _ => Judgement::inconclusive(Observed::None, "the limit does not fit the metric"),
        };
        let doubt = seen.doubts.iter().find(|doubt| doubt.touches(self.metric));
        if let Some(doubt) = doubt
            && judgement.verdict != Verdict::Inconclusive
        {
            judgement = Judgement::inconclusive(judgement.observed, doubt.to_string());
        }
        judgement
    }

    fn judge_latency(
        &self,
        seen: &Observations<'_>,
        kind: LatencyKind,
        point: LatencyPoint,
        limit_ns: i64,
    ) -> Judgement {
        let histogram = match kind {
            LatencyKind::Response => seen.response,
            LatencyKind::Service => seen.service,
            LatencyKind::Lateness => seen.lateness,
        };
        let Some(histogram) = histogram.filter(|histogram| !histogram.is_empty()) else {
            return Judgement::inconclusive(Observed::None, "there were no samples");
        };
        let value_ns = match point {
            LatencyPoint::Percentile(p_ratio) => histogram.percentile_ns(p_ratio),
            LatencyPoint::Min => histogram.min_ns(),
            LatencyPoint::Max => histogram.max_ns(),
            LatencyPoint::Mean => histogram.mean_ns(),
        };
        match value_ns {
            Some(value_ns) => Judgement::settled(
                self.comparison.holds(value_ns, limit_ns),
                Observed::Nanos(value_ns),
            ),
            None => Judgement::inconclusive(Observed::None, too_few(point, histogram.count())),
        }
    }

    fn judge_lost(&self, seen: &Observations<'_>, limit: u64) -> Judgement {
        let Some(lost) = seen.lost else {
            return Judgement::inconclusive(Observed::None, "loss was not measured");
        };
        let observed = Observed::Count(lost);
        match seen.expected {
            Some(0) if lost == 0 => Judgement::inconclusive(observed, "no message was expected"),
            Some(_) => Judgement::settled(self.comparison.holds(lost, limit), observed),
            None => match self.comparison.settled_by_at_least(lost, limit) {
                Some(holds) => Judgement::settled(holds, observed),
                None => Judgement::inconclusive(observed, UNKNOWN_TAIL),
            },
        }
    }

    fn judge_lost_ratio(&self, seen: &Observations<'_>, limit: f64) -> Judgement {
        let Some(lost) = seen.lost else {
            return Judgement::inconclusive(Observed::None, "loss was not measured");
        };
        match seen.expected {
            None => Judgement::inconclusive(Observed::None, UNKNOWN_TAIL),
            Some(0) => Judgement::inconclusive(Observed::None, "no message was expected"),
            Some(expected) => {
                let ratio = lost as f64 / expected as f64;
                Judgement::settled(self.comparison.holds(ratio, limit), Observed::Ratio(ratio))
            }
        }
    }

    /// A count of things seen in what arrived.
    fn judge_count(&self, seen: &Observations<'_>, count: Option<u64>, limit: u64) -> Judgement {
        let Some(count) = count else {
            return Judgement::inconclusive(Observed::None, "it was not measured");
        };
        let observed = Observed::Count(count);
        if count == 0 && seen.received.unwrap_or(0) == 0 {
            return Judgement::inconclusive(observed, "no message arrived");
        }
        Judgement::settled(self.comparison.holds(count, limit), observed)
    }

    fn judge_rate(&self, seen: &Observations<'_>, limit: f64) -> Judgement {
        match seen.rate_ratio {
            Some(ratio) if seen.planned != Some(0) && ratio.is_finite() => {
                Judgement::settled(self.comparison.holds(ratio, limit), Observed::Ratio(ratio))
            }
            _ => Judgement::inconclusive(Observed::None, "no message was planned"),
        }
    }
}

const UNKNOWN_TAIL: &str = "how much was sent is unknown, as a publisher did not announce its end";

fn too_few(point: LatencyPoint, n: u64) -> String {
    let needed = match point {
        LatencyPoint::Percentile(p_ratio) => {
            statistics::samples_needed(p_ratio).unwrap_or(u64::MAX)
        }
        _ => 1,
    };
    format!(
        "there were {} samples, this percentile needs {}",
        format_count(n),
        format_count(needed)
    )
}

impl Comparison {
    /// Whether it holds for every value from `at_least` up, or for none of them; `None` if that depends.
    fn settled_by_at_least(self, at_least: u64, limit: u64) -> Option<bool> {
        match self {
            Self::Greater | Self::GreaterOrEqual => self.holds(at_least, limit).then_some(true),
            Self::Less | Self::LessOrEqual => (!self.holds(at_least, limit)).then_some(false),
            Self::Equal => (at_least > limit).then_some(false),
        }
    }
}
