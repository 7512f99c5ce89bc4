//! Which rounds are left out because they fell due while their connection was down.

use crate::clock::MonoNanos;

/// From when to when rounds are skipped, and how many were because of the last outage.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Skipping {
    window: Option<(MonoNanos, Option<MonoNanos>)>,
    n_skipped: u64,
    n_told: u64,
}

impl Skipping {
    /// The connection was lost.
    pub(crate) fn begin(&mut self, moment: MonoNanos) {
        self.window = Some((moment, None));
        self.n_skipped = 0;
        self.n_told = 0;
    }

    /// It is back. What fell due before is still skipped.
    pub(crate) fn end(&mut self, moment: MonoNanos) {
        if let Some((_, end)) = &mut self.window {
            *end = Some(moment);
        }
    }

    /// A phase begins, with a schedule of its own; the connection may be down.
    pub(crate) fn begin_phase(&mut self, moment: MonoNanos) {
        self.window = match self.window {
            Some((_, None)) => Some((moment, None)),
            _ => None,
        };
    }

    /// Whether a round that fell due then is left out; it is counted. Rounds are asked about in the order in which they fell
    /// due.
    #[inline]
    pub(crate) fn skips(&mut self, due: MonoNanos) -> bool {
        let Some((start, end)) = self.window else {
            return false;
        };
        if due < start {
            return false;
        }
        let is_skipped = end.is_none_or(|end| due <= end);
        if is_skipped {
            self.n_skipped += 1;
        } else {
            self.window = None;
        }
        is_skipped
    }

    /// Rounds that the last outage has cost.
    pub(crate) fn n_skipped(&self) -> u64 {
        self.n_skipped
    }

    /// The same, if it has changed since the last call.
    pub(crate) fn news(&mut self) -> Option<u64> {
        let has_news = self.n_skipped > self.n_told;
        self.n_told = self.n_skipped;
        has_news.then_some(self.n_skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skipped(skipping: &mut Skipping, dues: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let mut dues: Vec<u64> = dues.into_iter().collect();
        dues.retain(|due| skipping.skips(MonoNanos(*due)));
        dues
    }

    #[test]
    fn what_fell_due_before_the_outage_and_after_it_is_sent() {
        let mut skipping = Skipping::default();
        assert!(skipped(&mut skipping, 0..5).is_empty());
        skipping.begin(MonoNanos(10));
        assert_eq!(skipped(&mut skipping, 8..13), [10, 11, 12]);
        assert_eq!((skipping.news(), skipping.news()), (Some(3), None));
        skipping.end(MonoNanos(15));
        assert_eq!(skipped(&mut skipping, 13..18), [13, 14, 15]);
        assert_eq!(skipping.n_skipped(), 6);
        // The window is closed behind the first round that was not skipped.
        assert!(skipped(&mut skipping, 10..15).is_empty());
        skipping.begin(MonoNanos(20));
        assert_eq!(skipping.n_skipped(), 0);
    }

    #[test]
    fn an_outage_goes_on_in_the_next_phase_and_the_end_of_one_does_not() {
        let mut skipping = Skipping::default();
        skipping.begin(MonoNanos(10));
        skipping.begin_phase(MonoNanos(30));
        assert_eq!(skipped(&mut skipping, 28..32), [30, 31]);
        skipping.end(MonoNanos(40));
        skipping.begin_phase(MonoNanos(41));
        assert!(skipped(&mut skipping, 35..45).is_empty());
    }
}
