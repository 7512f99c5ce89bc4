//! Messages of which nobody knows whether the broker has had them.
//!
//! What was handed to a connection is known to be with the broker when a PING behind it was answered, or when any
//! subscriber got it or a later message of the same stream over the same connection: a connection is read in order. What
//! is left when the connection breaks is in doubt. Such a message that does not arrive was lost on the way to the broker, or
//! behind it; it is neither "lost for certain" nor forgiven.
//!
//! Invariant: each range lies within one connection's life, and ranges of one stream do not overlap.

use std::collections::BTreeMap;

use super::deliveries::{Deliveries, SeqRange};

/// The messages of a run that are in doubt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InDoubt {
    /// In the order of publisher, stream, and number.
    ranges: Vec<SeqRange>,
}

impl InDoubt {
    /// From what the publishers could not vouch for; what overlaps, as only a damaged message of theirs has it, counts once.
    pub fn new(mut ranges: Vec<SeqRange>) -> Self {
        ranges.sort_by_key(|range| (range.publisher, range.stream, range.from));
        let mut end = (0, 0, 0);
        for range in &mut ranges {
            if (range.publisher, range.stream) == (end.0, end.1) {
                range.from = range.from.max(end.2);
            }
            if range.from < range.to {
                end = (range.publisher, range.stream, range.to);
            }
        }
        ranges.retain(|range| range.from < range.to);
        Self { ranges }
    }

    /// What a subscriber got, the broker has had, and everything before it on the same connection.
    pub fn confirm_by(&mut self, deliveries: &Deliveries) {
        for range in &mut self.ranges {
            let highest =
                deliveries.highest_received_below(range.publisher, range.stream, range.to);
            if let Some(highest) = highest {
                range.from = range.from.max(highest + 1).min(range.to);
            }
        }
        self.ranges.retain(|range| range.from < range.to);
    }

    /// How many messages.
    pub fn n_messages(&self) -> u64 {
        self.ranges.iter().map(|range| range.to - range.from).sum()
    }

    /// How many of one stream.
    pub fn n_of(&self, publisher: u16, stream: u8) -> u64 {
        self.n_within(&SeqRange {
            publisher,
            stream,
            from: 0,
            to: u64::MAX,
        })
    }

    /// How many of what a subscriber misses, by publisher and stream; streams of which there is nothing are left out.
    pub fn missing_by_stream(&self, deliveries: &Deliveries) -> BTreeMap<(u16, u8), u64> {
        let mut by_stream = BTreeMap::new();
        for missing in deliveries.missing() {
            let n_messages = self.n_within(&missing);
            if n_messages > 0 {
                *by_stream
                    .entry((missing.publisher, missing.stream))
                    .or_default() += n_messages;
            }
        }
        by_stream
    }

    /// How many of these numbers.
    pub fn n_within(&self, numbers: &SeqRange) -> u64 {
        let key = (numbers.publisher, numbers.stream);
        let start = self
            .ranges
            .partition_point(|range| (range.publisher, range.stream) < key);
        self.ranges[start..]
            .iter()
            .take_while(|range| (range.publisher, range.stream) == key)
            .map(|range| {
                let from = range.from.max(numbers.from);
                range.to.min(numbers.to).saturating_sub(from)
            })
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::measure::deliveries::Start;

    fn range(stream: u8, from: u64, to: u64) -> SeqRange {
        SeqRange {
            publisher: 0,
            stream,
            from,
            to,
        }
    }

    #[test]
    fn what_arrived_confirms_what_was_before_it_on_the_same_connection() {
        let mut deliveries = Deliveries::new(Start::FromZero);
        for seq in [0, 1, 2, 5, 12] {
            deliveries.observe(0, 1, seq);
        }
        // Two connections: 3 to 7, and 9 to 11.
        let mut doubt = InDoubt::new(vec![range(1, 9, 12), range(1, 3, 8)]);
        assert_eq!(doubt.n_messages(), 8);
        doubt.confirm_by(&deliveries);
        // 5 arrived, so that the broker has had 3 and 4 of the first. Of the second nothing arrived.
        assert_eq!(doubt, InDoubt::new(vec![range(1, 6, 8), range(1, 9, 12)]));
        assert_eq!(doubt.n_within(&range(1, 7, 10)), 2);
        assert_eq!(doubt.n_within(&range(2, 0, 100)), 0);
        assert_eq!(doubt.n_of(0, 1), 5);
    }

    #[test]
    fn a_range_of_which_everything_arrived_is_no_longer_in_doubt() {
        let mut deliveries = Deliveries::new(Start::FromZero);
        for seq in 0..10 {
            deliveries.observe(0, 0, seq);
        }
        let mut doubt = InDoubt::new(vec![range(0, 4, 10)]);
        doubt.confirm_by(&deliveries);
        assert_eq!(doubt.n_messages(), 0);
    }

    #[test]
    fn what_overlaps_counts_once() {
        let doubt = InDoubt::new(vec![
            range(0, 5, 9),
            range(0, 0, 20),
            range(1, 3, 2),
            range(0, 19, 25),
        ]);
        assert_eq!(doubt.n_messages(), 25);
    }

    proptest! {
        #[test]
        fn missing_numbers_are_either_lost_or_in_doubt_and_none_that_arrived_is(
            arrived in prop::collection::vec(0_u64..60, 0..60), from in 0_u64..60, len in 0_u64..30, n_sent in 0_u64..80,
        ) {
            let mut deliveries = Deliveries::new(Start::FromZero);
            for seq in &arrived {
                deliveries.observe(0, 0, *seq);
            }
            deliveries.announce(0, 0, n_sent);
            let mut doubt = InDoubt::new(vec![range(0, from, from + len)]);
            doubt.confirm_by(&deliveries);
            let in_doubt: u64 = doubt.missing_by_stream(&deliveries).values().sum();
            let end = n_sent.max(arrived.iter().max().map_or(0, |max| max + 1));
            let last = arrived.iter().filter(|seq| (from..from + len).contains(seq)).max();
            let naive = (from..(from + len).min(end))
                .filter(|seq| !arrived.contains(seq) && last.is_none_or(|last| seq > last))
                .count() as u64;
            prop_assert_eq!(in_doubt, naive);
            let totals = deliveries.totals();
            prop_assert!(totals.lost >= in_doubt);
        }
    }
}
