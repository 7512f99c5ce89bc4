//! The three histograms of one receiver: response, service and lateness.
//!
//! All three are recorded for every message; no option chooses between them.
//!
//! Units: moments are wall-clock nanoseconds since the Unix epoch; latencies are signed nanoseconds.

use super::histogram::LatencyHistogram;

/// Response, service and lateness of the messages that one receiver got.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recorder {
    /// Received - intended: what a user of an open system sees.
    pub response: LatencyHistogram,
    /// Received - sent: what the broker and the network cost.
    pub service: LatencyHistogram,
    /// Sent - intended: what our own generator cost.
    pub lateness: LatencyHistogram,
}

impl Recorder {
    /// An empty recorder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Records one message by its three moments.
    #[inline]
    pub fn record(&mut self, intended_ns: u64, sent_ns: u64, received_ns: u64) {
        self.response.record(signed_diff(received_ns, intended_ns));
        self.service.record(signed_diff(received_ns, sent_ns));
        self.lateness.record(signed_diff(sent_ns, intended_ns));
    }

    /// Adds all that `other` recorded.
    pub fn merge(&mut self, other: &Self) {
        self.response.merge(&other.response);
        self.service.merge(&other.service);
        self.lateness.merge(&other.lateness);
    }

    /// Takes what was recorded and leaves an empty recorder, for an interval snapshot.
    #[must_use]
    pub fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.response.is_empty() && self.service.is_empty() && self.lateness.is_empty()
    }
}

/// `later - earlier`, saturating: a damaged stamp may hold any number.
#[inline]
fn signed_diff(later_ns: u64, earlier_ns: u64) -> i64 {
    match later_ns.checked_signed_diff(earlier_ns) {
        Some(diff_ns) => diff_ns,
        None if later_ns > earlier_ns => i64::MAX,
        None => i64::MIN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_latencies_come_from_the_three_moments() {
        let mut recorder = Recorder::new();
        recorder.record(1_000, 1_100, 1_500);
        assert_eq!(recorder.response.max_ns(), Some(500));
        assert_eq!(recorder.service.max_ns(), Some(400));
        assert_eq!(recorder.lateness.max_ns(), Some(100));
    }

    #[test]
    fn a_clock_that_runs_behind_shows_as_negative() {
        let mut recorder = Recorder::new();
        recorder.record(1_000, 1_100, 900);
        assert_eq!(recorder.response.min_ns(), Some(-100));
        assert_eq!(recorder.service.min_ns(), Some(-200));
        assert_eq!(recorder.response.n_negative(), 1);
        assert_eq!(recorder.lateness.n_negative(), 0);
    }

    #[test]
    fn damaged_moments_saturate_and_are_counted_as_clipped() {
        let mut recorder = Recorder::new();
        recorder.record(0, u64::MAX, u64::MAX);
        recorder.record(u64::MAX, 0, 0);
        assert_eq!(recorder.response.n_clipped(), 2);
        assert_eq!(recorder.response.min_ns(), Some(i64::MIN));
        assert_eq!(recorder.response.max_ns(), Some(i64::MAX));
    }

    #[test]
    fn taking_leaves_an_empty_recorder_and_merging_brings_it_back() {
        let mut recorder = Recorder::new();
        recorder.record(1, 2, 3);
        let whole = recorder.clone();
        let taken = recorder.take();
        assert!(recorder.is_empty());
        recorder.merge(&taken);
        assert_eq!(recorder, whole);
    }
}
