//! Judging: objectives against what a run observed.
//!
//! What is not known is never taken for good, and what is known to be bad stays bad. A count that can still grow (the
//! tail of a stream is unknown) or that is not exact (arrivals could not be attributed) settles an objective only if
//! every value that it may really have gives the same answer. Where nothing arrived at all, a lost message is not to
//! be told from a subscriber that could not get any (another broker, another account), so loss is not judged.
//!
//! A latency that a late generator or a stepped clock has touched settles nothing, in either direction: response
//! includes what the generator was late by, and service the queueing of what it then sent at once.

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
    /// Messages arrived before they were sent, so that the clocks of publisher and subscriber cannot be compared.
    ClocksDisagree {
        /// How many latencies are negative.
        n_negative: u64,
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
            // Lateness is the difference of two moments of one clock.
            (Self::ClocksDisagree { .. }, Metric::Latency(kind, _)) => {
                kind != LatencyKind::Lateness
            }
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
            Self::ClocksDisagree { n_negative } => write!(
                f,
                "the clocks of publisher and subscriber disagree, as {} latencies are negative",
                format_count(*n_negative)
            ),
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
    /// Messages that did not arrive and had reached the broker; a lower bound while `expected` is `None`.
    pub lost: Option<u64>,
    /// Messages that did not arrive and may never have reached the broker: so many more may have been lost.
    pub in_doubt: u64,
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
        let is_in_doubt = |doubt: &&Doubt| {
            // Counts are judged by the range that they may lie in.
            !matches!(doubt, Doubt::CountsInexact { .. }) && doubt.touches(self.metric)
        };
        let doubt = seen.doubts.iter().find(is_in_doubt);
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
        if let Some(why) = seen.why_no_loss_is_known() {
            return Judgement::inconclusive(observed, why);
        }
        let at_least = lost.saturating_sub(seen.n_unattributed());
        let at_most = if seen.expected.is_some() {
            lost.saturating_add(seen.in_doubt)
        } else {
            u64::MAX
        };
        match self.comparison.settled(at_least, at_most, limit) {
            Some(holds) => Judgement::settled(holds, observed),
            None if seen.expected.is_none() => Judgement::inconclusive(observed, UNKNOWN_TAIL),
            None => Judgement::inconclusive(observed, seen.why_loss_is_inexact()),
        }
    }

    fn judge_lost_ratio(&self, seen: &Observations<'_>, limit: f64) -> Judgement {
        let Some(lost) = seen.lost else {
            return Judgement::inconclusive(Observed::None, "loss was not measured");
        };
        if let Some(why) = seen.why_no_loss_is_known() {
            return Judgement::inconclusive(Observed::None, why);
        }
        let Some(expected) = seen.expected else {
            return Judgement::inconclusive(Observed::None, UNKNOWN_TAIL);
        };
        let of_expected = |lost: u64| lost as f64 / expected as f64;
        let observed = Observed::Ratio(of_expected(lost));
        let at_least = of_expected(lost.saturating_sub(seen.n_unattributed()));
        let at_most = of_expected(lost.saturating_add(seen.in_doubt));
        match self.comparison.settled(at_least, at_most, limit) {
            Some(holds) => Judgement::settled(holds, observed),
            None => Judgement::inconclusive(observed, seen.why_loss_is_inexact()),
        }
    }

    /// A count of things seen in what arrived.
    fn judge_count(&self, seen: &Observations<'_>, count: Option<u64>, limit: u64) -> Judgement {
        let Some(count) = count else {
            return Judgement::inconclusive(Observed::None, "it was not measured");
        };
        let observed = Observed::Count(count);
        if count == 0 && seen.received.unwrap_or(0) == 0 {
            return Judgement::inconclusive(observed, NOTHING_ARRIVED);
        }
        // What could not be attributed may have been one of these.
        let n_more = if self.metric == Metric::Undecodable {
            0
        } else {
            seen.n_unattributed()
        };
        match self
            .comparison
            .settled(count, count.saturating_add(n_more), limit)
        {
            Some(holds) => Judgement::settled(holds, observed),
            None => Judgement::inconclusive(observed, seen.inexact()),
        }
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

impl Observations<'_> {
    /// Why nothing can be said about lost messages.
    fn why_no_loss_is_known(&self) -> Option<&'static str> {
        if self.expected == Some(0) {
            return Some("no message was expected");
        }
        (self.received.unwrap_or(0) == 0).then_some(NOTHING_ARRIVED)
    }

    fn n_unattributed(&self) -> u64 {
        let count_of = |doubt: &Doubt| match doubt {
            Doubt::CountsInexact { n_arrivals } => *n_arrivals,
            _ => 0,
        };
        self.doubts.iter().map(count_of).sum()
    }

    /// Why the loss is not exact.
    fn why_loss_is_inexact(&self) -> String {
        match self.in_doubt {
            0 => self.inexact(),
            n => format!(
                "{} messages are in doubt, as nobody knows whether they reached the broker",
                format_count(n)
            ),
        }
    }

    /// Why a count is not exact.
    fn inexact(&self) -> String {
        let is_it = |doubt: &&Doubt| matches!(doubt, Doubt::CountsInexact { .. });
        let doubt = self.doubts.iter().find(is_it);
        doubt.map_or_else(|| UNKNOWN_TAIL.to_owned(), Doubt::to_string)
    }
}

const NOTHING_ARRIVED: &str = "no message arrived";
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
    /// Whether it holds for every value between the two, or for none of them; `None` if that depends on the value.
    fn settled<T: PartialOrd + Copy>(self, at_least: T, at_most: T, limit: T) -> Option<bool> {
        let at_ends = (self.holds(at_least, limit), self.holds(at_most, limit));
        match self {
            Self::Equal if at_least < limit && limit < at_most => None,
            _ => (at_ends.0 == at_ends.1).then_some(at_ends.0),
        }
    }
}
