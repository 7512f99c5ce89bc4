//! Which numbers did not arrive, and which of them an outage has cost.

use super::{Deliveries, Tracker};

/// Consecutive numbers of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeqRange {
    /// The publisher within the run.
    pub publisher: u16,
    /// The stream of this publisher.
    pub stream: u8,
    /// The first.
    pub from: u64,
    /// One past the last.
    pub to: u64,
}

impl Deliveries {
    /// One more than the highest number seen, of each stream: where an outage begins.
    pub fn heads(&self) -> Vec<u64> {
        self.streams.iter().map(|tracker| tracker.next).collect()
    }

    /// The missing numbers that begin right at these [`Deliveries::heads`], by stream: what an outage cost that began there.
    /// Streams that were not known then began with the first number owed.
    pub fn missing_from<'a>(&'a self, heads: &'a [u64]) -> impl Iterator<Item = SeqRange> + 'a {
        (0..).zip(&self.streams).filter_map(|(idx, tracker)| {
            let head = heads.get(usize::from(idx)).copied();
            let from = head.unwrap_or(tracker.first).max(tracker.first);
            let to = if from >= tracker.next {
                tracker.announced.unwrap_or(0)
            } else {
                // The gap that holds the head: what the server had sent before may have come in another order.
                let gap = self.gaps.range(..=(idx, from)).next_back();
                gap.filter(|((owner, _), _)| *owner == idx)
                    .map_or(0, |(_, to)| *to)
            };
            (from < to).then_some(SeqRange {
                publisher: tracker.publisher,
                stream: tracker.stream,
                from,
                to,
            })
        })
    }

    /// Whether it is known of every stream that was there at these [`Deliveries::heads`] what came, or should have come, behind
    /// them; `false` without any stream.
    pub fn is_known_from(&self, heads: &[u64]) -> bool {
        let is_known = |(tracker, head): (&Tracker, &u64)| {
            tracker.next > *head || tracker.counts(self.start).expected.is_some()
        };
        !heads.is_empty() && self.streams.iter().zip(heads).all(is_known)
    }

    /// Every range of numbers that is known not to have arrived. Gaps that were closed to bound memory are not among them.
    pub fn missing(&self) -> impl Iterator<Item = SeqRange> + '_ {
        let gaps = self.gaps.iter().map(|(&(idx, from), &to)| {
            let tracker = &self.streams[usize::from(idx)];
            (tracker, from, to)
        });
        let tails = self.streams.iter().filter_map(|tracker| {
            let end = tracker.announced?;
            let is_owed = tracker.counts(self.start).expected.is_some();
            (is_owed && end > tracker.next).then_some((tracker, tracker.next, end))
        });
        gaps.chain(tails).map(|(tracker, from, to)| SeqRange {
            publisher: tracker.publisher,
            stream: tracker.stream,
            from,
            to,
        })
    }

    /// The highest number below `end` that arrived, if one did.
    pub fn highest_received_below(&self, publisher: u16, stream: u8, end: u64) -> Option<u64> {
        let idx = self.find(publisher, stream)?;
        let tracker = self.streams.get(usize::from(idx))?;
        let mut end = end.min(tracker.next);
        let below = self.gaps.range(..(idx, end)).next_back();
        if let Some((&(owner, from), &to)) = below
            && owner == idx
            && to >= end
        {
            end = from;
        }
        end.checked_sub(1).filter(|last| *last >= tracker.first)
    }
}
