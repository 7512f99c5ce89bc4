//! What a publisher knows of what the broker has: acknowledged, still on its way, or in doubt.
//!
//! NATS acknowledges no publish. But a server works on a connection in order, so that the PONG to a PING says that
//! everything before that PING has been processed. A publisher therefore sends a PING behind its messages from time to
//! time, one at a time, and remembers how far each stream was. What was handed to the kernel behind the last PING that was
//! answered is in doubt when the connection breaks.

use std::collections::VecDeque;

use crate::clock::MonoNanos;
use crate::measure::deliveries::SeqRange;

/// Between two PINGs at least: this bounds what can be in doubt, and costs a broker ten answers a second.
const PING_PERIOD_NS: u64 = 100_000_000;
/// Ranges that are kept of one publisher; beyond, the last range of a stream grows over what lies between, so that more is in
/// doubt and nothing is forgotten.
const MAX_RANGES: usize = 4096;

/// How far every stream was when a PING was sent.
#[derive(Debug)]
struct Mark {
    /// The number of the PING on its connection, counted from 1.
    ping: u64,
    n_sent: Vec<u64>,
}

/// The ledger of one publisher; see the module documentation. Streams are numbered as in stamps.
#[derive(Debug)]
pub(crate) struct Ledger {
    publisher: u16,
    acknowledged: Vec<u64>,
    marks: VecDeque<Mark>,
    n_pings: u64,
    last_ping: MonoNanos,
    in_doubt: Vec<SeqRange>,
}

impl Ledger {
    /// Nothing was sent yet.
    pub(crate) fn new(publisher: u16, n_streams: usize) -> Self {
        Self {
            publisher,
            acknowledged: vec![0; n_streams],
            marks: VecDeque::new(),
            n_pings: 0,
            last_ping: MonoNanos(0),
            in_doubt: Vec::new(),
        }
    }

    /// A phase begins, and every stream with number 0.
    pub(crate) fn begin_phase(&mut self) {
        self.acknowledged.fill(0);
        self.marks.clear();
        self.in_doubt.clear();
    }

    /// Whether it is time for a PING behind what is sent now.
    #[inline]
    pub(crate) fn wants_ping(&self, now: MonoNanos) -> bool {
        self.marks.is_empty() && now.since(self.last_ping) >= PING_PERIOD_NS
    }

    /// A PING goes out behind so many messages of each stream; returns its number.
    pub(crate) fn ping_sent(&mut self, now: MonoNanos, n_sent: Vec<u64>) -> u64 {
        self.n_pings += 1;
        self.last_ping = now;
        self.marks.push_back(Mark {
            ping: self.n_pings,
            n_sent,
        });
        self.n_pings
    }

    /// So many PINGs of this connection were answered.
    #[inline]
    pub(crate) fn absorb(&mut self, n_pongs: u64) {
        while self.marks.front().is_some_and(|mark| mark.ping <= n_pongs) {
            if let Some(mark) = self.marks.pop_front() {
                self.acknowledged = mark.n_sent;
            }
        }
    }

    /// The connection has broken after so many messages of each stream had been handed to it. Returns how many are in doubt.
    pub(crate) fn connection_lost(&mut self, handed: Vec<u64>) -> u64 {
        let mut n_in_doubt = 0;
        for (stream, (from, to)) in (0..).zip(self.acknowledged.iter().zip(&handed)) {
            if from < to {
                n_in_doubt += to - from;
                push_range(
                    &mut self.in_doubt,
                    SeqRange {
                        publisher: self.publisher,
                        stream,
                        from: *from,
                        to: *to,
                    },
                );
            }
        }
        self.acknowledged = handed;
        self.marks.clear();
        self.n_pings = 0;
        n_in_doubt
    }

    /// What is in doubt because connections broke.
    pub(crate) fn in_doubt(&self) -> &[SeqRange] {
        &self.in_doubt
    }

    /// What has not been acknowledged of so many messages of each stream that are out.
    pub(crate) fn unacknowledged<'a>(
        &'a self,
        n_sent: &'a [u64],
    ) -> impl Iterator<Item = SeqRange> + 'a {
        let both = (0..).zip(self.acknowledged.iter().zip(n_sent));
        both.filter(|(_, (from, to))| from < to)
            .map(|(stream, (from, to))| SeqRange {
                publisher: self.publisher,
                stream,
                from: *from,
                to: *to,
            })
    }
}

fn push_range(ranges: &mut Vec<SeqRange>, range: SeqRange) {
    if ranges.len() >= MAX_RANGES
        && let Some(last) = ranges
            .iter_mut()
            .rev()
            .find(|last| last.stream == range.stream)
    {
        last.to = range.to;
        return;
    }
    ranges.push(range);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(stream: u8, from: u64, to: u64) -> SeqRange {
        SeqRange {
            publisher: 3,
            stream,
            from,
            to,
        }
    }

    #[test]
    fn what_was_sent_behind_the_last_answered_ping_is_in_doubt() {
        let mut ledger = Ledger::new(3, 2);
        let now = MonoNanos(PING_PERIOD_NS);
        assert!(ledger.wants_ping(now));
        assert_eq!(ledger.ping_sent(now, vec![4, 2]), 1);
        assert!(!ledger.wants_ping(now.plus(PING_PERIOD_NS)), "one is out");
        ledger.absorb(1);
        assert!(!ledger.wants_ping(now), "it was just now");
        assert_eq!(ledger.ping_sent(now.plus(PING_PERIOD_NS), vec![9, 2]), 2);
        assert_eq!(ledger.connection_lost(vec![10, 3]), 7);
        assert_eq!(ledger.in_doubt(), [range(0, 4, 10), range(1, 2, 3)]);
        // The next connection counts its own PINGs.
        assert_eq!(ledger.ping_sent(now, vec![12, 3]), 1);
        ledger.absorb(1);
        assert_eq!(
            ledger.unacknowledged(&[15, 3]).collect::<Vec<_>>(),
            [range(0, 12, 15)]
        );
    }

    #[test]
    fn a_phase_begins_without_the_doubts_of_the_one_before() {
        let mut ledger = Ledger::new(3, 1);
        ledger.ping_sent(MonoNanos(0), vec![4]);
        ledger.connection_lost(vec![6]);
        ledger.ping_sent(MonoNanos(0), vec![7]);
        ledger.begin_phase();
        assert!(ledger.in_doubt().is_empty());
        // The answer to the PING of the phase before acknowledges nothing of this one.
        ledger.absorb(1);
        assert_eq!(
            ledger.unacknowledged(&[2]).collect::<Vec<_>>(),
            [range(0, 0, 2)]
        );
    }

    proptest! {
        #[test]
        fn nothing_is_forgotten_however_often_the_connection_breaks(n_outages in 1_u64..6_000) {
            let mut ledger = Ledger::new(3, 1);
            for outage in 1..=n_outages {
                ledger.connection_lost(vec![outage]);
            }
            prop_assert!(ledger.in_doubt().len() <= MAX_RANGES);
            let n_in_doubt: u64 = ledger.in_doubt().iter().map(|range| range.to - range.from).sum();
            prop_assert_eq!(n_in_doubt, n_outages);
        }
    }
}
