//! Latencies in constant memory, however many there are.
//!
//! Every histogram has the one fixed layout, 1 ns to 1 h with three significant digits, so that any two can be
//! merged. It takes about 270 KiB and is allocated once; recording allocates nothing.
//!
//! Invariants
//! - Nothing is dropped: zero is a sample, a negative value (two clocks that disagree) is kept by its magnitude in a
//!   second histogram that exists only when needed, and a value beyond the range is recorded at its edge and
//!   counted as clipped.
//! - Minimum, maximum and mean are exact; percentiles are within 0.1 % and never outside minimum and maximum.
//! - A percentile that the samples cannot support is `None`.
//!
//! Units: signed nanoseconds; percentiles are ratios, `0.0..=1.0`.

use hdrhistogram::Histogram;

use super::statistics;

/// The longest latency that the layout holds: one hour.
pub const MAX_TRACKABLE_NS: u64 = 3_600_000_000_000;
const SIGNIFICANT_DIGITS: u8 = 3;

/// A part of a histogram, for drawing: `from_ns <= value < to_ns`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bar {
    /// The lowest value of this bar.
    pub from_ns: i64,
    /// The first value that is no longer in this bar.
    pub to_ns: i64,
    /// How many samples fell into it.
    pub count: u64,
}

/// Latencies of one kind.
#[derive(Debug, Clone)]
pub struct LatencyHistogram {
    /// Values from zero up.
    positive: Histogram<u64>,
    /// Magnitudes of negative values.
    negative: Option<Box<Histogram<u64>>>,
    n_clipped: u64,
    /// Exact, unlike the buckets. Meaningless while there are no samples.
    min_ns: i64,
    max_ns: i64,
    sum_ns: i128,
}

fn empty_layout() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MAX_TRACKABLE_NS, SIGNIFICANT_DIGITS)
        .expect("1 ns to 1 h with 3 digits is a valid layout")
}

impl Default for LatencyHistogram {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for LatencyHistogram {
    fn eq(&self, other: &Self) -> bool {
        let negatives = |histogram: &Self| {
            histogram
                .negative
                .as_ref()
                .filter(|h| !h.is_empty())
                .cloned()
        };
        self.positive == other.positive
            && negatives(self) == negatives(other)
            && self.n_clipped == other.n_clipped
            && self.min_ns() == other.min_ns()
            && self.max_ns() == other.max_ns()
            && self.sum_ns == other.sum_ns
    }
}

impl LatencyHistogram {
    /// An empty histogram in the one fixed layout.
    pub fn new() -> Self {
        Self {
            positive: empty_layout(),
            negative: None,
            n_clipped: 0,
            min_ns: i64::MAX,
            max_ns: i64::MIN,
            sum_ns: 0,
        }
    }

    /// Records one value. A negative one is kept as it is, one beyond an hour at the edge of the range.
    #[inline]
    pub fn record(&mut self, value_ns: i64) {
        self.min_ns = self.min_ns.min(value_ns);
        self.max_ns = self.max_ns.max(value_ns);
        self.sum_ns += i128::from(value_ns);
        let magnitude_ns = value_ns.unsigned_abs();
        if magnitude_ns > MAX_TRACKABLE_NS {
            self.n_clipped += 1;
        }
        let histogram = if value_ns < 0 {
            self.negatives_mut()
        } else {
            &mut self.positive
        };
        histogram.saturating_record(magnitude_ns.min(MAX_TRACKABLE_NS));
    }

    #[cold]
    fn negatives_mut(&mut self) -> &mut Histogram<u64> {
        self.negative
            .get_or_insert_with(|| Box::new(empty_layout()))
    }

    /// Adds all samples of `other`.
    pub fn merge(&mut self, other: &Self) {
        const SAME: &str = "all histograms have the one fixed layout";
        self.positive.add(&other.positive).expect(SAME);
        if let Some(negative) = &other.negative {
            self.negatives_mut().add(&**negative).expect(SAME);
        }
        self.n_clipped += other.n_clipped;
        self.min_ns = self.min_ns.min(other.min_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
        self.sum_ns += other.sum_ns;
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// How many samples there are, negative and clipped ones included.
    pub fn count(&self) -> u64 {
        self.positive.len() + self.n_negative()
    }

    /// How many samples were below zero.
    pub fn n_negative(&self) -> u64 {
        self.negative.as_ref().map_or(0, |negative| negative.len())
    }

    /// How many samples were further from zero than an hour, and count in percentiles as an hour.
    pub fn n_clipped(&self) -> u64 {
        self.n_clipped
    }

    /// The smallest sample, exactly.
    pub fn min_ns(&self) -> Option<i64> {
        (!self.is_empty()).then_some(self.min_ns)
    }

    /// The largest sample, exactly, even if it was clipped.
    pub fn max_ns(&self) -> Option<i64> {
        (!self.is_empty()).then_some(self.max_ns)
    }

    /// The mean of all samples, exactly, rounded towards zero.
    pub fn mean_ns(&self) -> Option<i64> {
        let mean_ns = self.sum_ns.checked_div(i128::from(self.count()))?;
        // A mean lies between the smallest and the largest sample.
        i64::try_from(mean_ns).ok()
    }

    /// Percentile `p_ratio`; `None` if fewer than ten samples lie above it (see [`statistics`]).
    pub fn percentile_ns(&self, p_ratio: f64) -> Option<i64> {
        statistics::supports(self.count(), p_ratio)
            .then(|| self.value_at_ns(p_ratio))
            .flatten()
    }

    /// The value at percentile `p_ratio` whether or not the samples support it; `None` only without samples.
    pub fn value_at_ns(&self, p_ratio: f64) -> Option<i64> {
        let rank = statistics::rank(self.count(), p_ratio);
        let n_negative = self.n_negative();
        let value_ns = match &self.negative {
            _ if rank == 0 => return None,
            // The lowest value is the largest magnitude, so ranks among the negatives count from the other end.
            Some(negative) if rank <= n_negative => -magnitude_at(negative, n_negative - rank + 1),
            _ => magnitude_at(&self.positive, rank - n_negative),
        };
        Some(value_ns.clamp(self.min_ns, self.max_ns))
    }

    /// Forgets all samples and keeps the memory.
    pub fn clear(&mut self) {
        self.positive.reset();
        self.negative = None;
        self.n_clipped = 0;
        self.min_ns = i64::MAX;
        self.max_ns = i64::MIN;
        self.sum_ns = 0;
    }

    /// Takes all samples and leaves an empty histogram.
    #[must_use]
    pub fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// The samples from zero up, as an interval log stores them.
    pub fn positive(&self) -> &Histogram<u64> {
        &self.positive
    }

    /// At most `n_bars` bars of equal width on a logarithmic axis, from the smallest to the largest sample.
    ///
    /// The bars touch each other and hold every sample. All negative samples share the first bar.
    pub fn bars(&self, n_bars: usize) -> Vec<Bar> {
        let mut bars = Vec::new();
        let n_negative = self.n_negative();
        if n_bars == 0 || self.is_empty() {
            return bars;
        }
        if n_negative > 0 {
            bars.push(Bar {
                from_ns: self.min_ns,
                to_ns: if self.max_ns < 0 {
                    self.max_ns.saturating_add(1)
                } else {
                    0
                },
                count: n_negative,
            });
        }
        if !self.positive.is_empty() {
            let n_left = (n_bars - bars.len()).max(1);
            self.push_positive_bars(n_left, &mut bars);
        }
        bars
    }

    fn push_positive_bars(&self, n_bars: usize, bars: &mut Vec<Bar>) {
        let first_ns = if self.n_negative() > 0 {
            0
        } else {
            self.min_ns
        };
        let first = bars.len();
        let edges = log_edges(first_ns, self.max_ns.saturating_add(1), n_bars);
        bars.extend(edges.windows(2).map(|edge| Bar {
            from_ns: edge[0],
            to_ns: edge[1],
            count: 0,
        }));
        let mut bar_idx = first;
        for bucket in self.positive.iter_recorded() {
            let middle = self.positive.median_equivalent(bucket.value_iterated_to());
            let value_ns = to_i64(middle).clamp(first_ns, self.max_ns);
            while bar_idx + 1 < bars.len() && value_ns >= bars[bar_idx].to_ns {
                bar_idx += 1;
            }
            bars[bar_idx].count += bucket.count_at_value();
        }
    }
}

/// The `rank`-th smallest value, counted from 1, as the highest value of its bucket.
fn magnitude_at(histogram: &Histogram<u64>, rank: u64) -> i64 {
    // Half a rank below the rank itself: rounding of the quotient can then never reach a neighbour.
    let quantile = (rank as f64 - 0.5) / histogram.len() as f64;
    to_i64(histogram.value_at_quantile(quantile))
}

fn to_i64(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Edges from `from_ns` to `to_ns`, strictly rising, at equal distances on a logarithmic axis.
#[expect(
    clippy::cast_possible_truncation,
    reason = "lies between two `i64`, and `as` saturates"
)]
fn log_edges(from_ns: i64, to_ns: i64, n_bars: usize) -> Vec<i64> {
    let (low, high) = (from_ns.max(1) as f64, to_ns.max(1) as f64);
    let mut edges = vec![from_ns];
    for edge_idx in 1..n_bars {
        let edge = low * (high / low).powf(edge_idx as f64 / n_bars as f64);
        let edge_ns = edge.round() as i64;
        if edges.last().is_some_and(|last| *last < edge_ns) && edge_ns < to_ns {
            edges.push(edge_ns);
        }
    }
    edges.push(to_ns);
    edges
}

#[cfg(test)]
mod tests;
