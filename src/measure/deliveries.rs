//! Deliveries: what one subscriber of one run is owed, and what arrived.
//!
//! A publisher numbers the messages of each of its streams from 0 without a gap. So whatever numbers are missing
//! between the first and the last are lost, a number seen twice is a duplicate, and a number below one already
//! seen was reordered: exactly, not by estimate. What came after the last one seen is unknown until the publisher
//! announces how many it sent.
//!
//! Invariants
//! - Each arrival counts once: as received, duplicated, late without a record, or untracked.
//! - The order of arrival does not change what is received, lost and duplicated.
//! - Memory is bounded: [`MAX_STREAMS`] streams and [`MAX_GAPS`] ranges of missing numbers. What goes beyond is counted
//!   ([`DeliveryCounts::untracked`], [`DeliveryCounts::closed`], [`DeliveryCounts::late_unknown`]), never forgotten silently.
//!
//! Units: messages.

use std::collections::BTreeMap;

use super::stamp::MAX_SEQ;

mod missing;

pub use missing::SeqRange;

/// How many streams one subscriber tracks; messages of further ones are counted as untracked.
pub const MAX_STREAMS: usize = 4096;

/// How many ranges of missing numbers one subscriber remembers, about 200 KiB; beyond, the oldest is closed as lost.
pub const MAX_GAPS: usize = 4096;

/// Publishers below this number are found by one index into a table; the others by a search.
const TABLE_PUBLISHERS: u16 = 512;
const TABLE_STREAMS: u8 = 16;

/// When the subscriber joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Subscribed before the publishers began: number 0 of every stream is owed.
    FromZero,
    /// Joined streams that were running: what came before the lowest number seen is not owed.
    FirstSeen,
}

/// What one message turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// New, and after all others of its stream.
    InOrder,
    /// The same, but so many numbers before it have not arrived, or not yet.
    AfterGap {
        /// How many.
        n_missing: u64,
    },
    /// New, but one sent after it arrived before it.
    Reordered,
    /// Seen before.
    Duplicate,
    /// From a gap that was closed as lost to bound memory, or a copy of what arrived around it: not to be told apart.
    LateUnknown,
    /// Of a stream beyond [`MAX_STREAMS`], or with a number that no stamp can carry.
    Untracked,
}

/// The counts of one subscriber.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeliveryCounts {
    /// Distinct messages that arrived.
    pub received: u64,
    /// Messages that were sent and did not arrive. A lower bound while streams are open.
    pub lost: u64,
    /// Further copies of messages that had arrived.
    pub duplicated: u64,
    /// Messages that arrived after one that was sent after them; part of `received`.
    pub reordered: u64,
    /// Arrivals that could not be attributed to a tracked stream.
    pub untracked: u64,
    /// Missing messages whose gap was closed to bound memory; part of `lost`.
    pub closed: u64,
    /// Arrivals that are either copies or belong to `closed`.
    pub late_unknown: u64,
    /// Messages owed, all streams together; `None` while a stream is open, or when one beyond [`MAX_STREAMS`] was
    /// announced.
    pub expected: Option<u64>,
    /// Streams known.
    pub n_streams: usize,
    /// Streams whose end (or, joined late and never seen, whose beginning) is unknown.
    pub n_streams_open: usize,
}

impl DeliveryCounts {
    /// Arrivals of which it is not known what they were, so that the other counts may be off by as many.
    pub fn n_unattributed(&self) -> u64 {
        self.untracked + self.late_unknown
    }
}

/// The counts of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamCounts {
    /// The publisher within the run.
    pub publisher: u16,
    /// The stream of this publisher.
    pub stream: u8,
    /// Messages owed; `None` as long as that is unknown.
    pub expected: Option<u64>,
    /// Distinct messages that arrived.
    pub received: u64,
    /// Messages that did not arrive; a lower bound while `expected` is unknown.
    pub lost: u64,
    /// Further copies.
    pub duplicated: u64,
    /// Messages that arrived after a later one.
    pub reordered: u64,
}

/// One stream. Received and lost follow from these, so that a message in order costs a compare and an add.
#[derive(Debug, Clone)]
struct Tracker {
    /// The lowest number owed.
    first: u64,
    /// One more than the highest number seen; `first` if none was seen.
    next: u64,
    /// Numbers in `first..next` that did not arrive.
    missing: u64,
    duplicated: u64,
    reordered: u64,
    /// How many the publisher says it sent.
    announced: Option<u64>,
    /// Gaps below this number may have been closed.
    closed_below: u64,
    /// The subscriber was there from the beginning, though the accounting as a whole was not.
    is_from_zero: bool,
    publisher: u16,
    stream: u8,
}

impl Tracker {
    fn is_seen(&self) -> bool {
        self.next > self.first
    }

    fn counts(&self, start: Start) -> StreamCounts {
        let end = self.announced.unwrap_or(0).max(self.next);
        // Joined late and nothing seen: there is no telling how much of the stream was owed to us.
        let is_unseen = start == Start::FirstSeen && !self.is_from_zero && !self.is_seen();
        let is_known = self.announced.is_some() && (!is_unseen || end == 0);
        StreamCounts {
            publisher: self.publisher,
            stream: self.stream,
            expected: is_known.then_some(end - self.first),
            received: self.next - self.first - self.missing,
            lost: self.missing + if is_known { end - self.next } else { 0 },
            duplicated: self.duplicated,
            reordered: self.reordered,
        }
    }
}

/// The exact accounting of one subscriber of one run.
#[derive(Debug, Clone)]
pub struct Deliveries {
    start: Start,
    streams: Vec<Tracker>,
    /// `publisher * TABLE_STREAMS + stream` to an index into `streams` plus one; 0 is none.
    table: Vec<u16>,
    /// The same for streams outside the table, sorted by key.
    others: Vec<(u32, u16)>,
    /// Missing numbers of all streams: (stream index, first) to one past the last.
    gaps: BTreeMap<(u16, u64), u64>,
    max_gaps: usize,
    untracked: u64,
    closed: u64,
    late_unknown: u64,
    /// A stream beyond the limit was announced: what it owes is not known here.
    has_untracked_stream: bool,
}

impl Deliveries {
    /// Nothing arrived yet.
    pub fn new(start: Start) -> Self {
        Self {
            start,
            streams: Vec::new(),
            table: Vec::new(),
            others: Vec::new(),
            gaps: BTreeMap::new(),
            max_gaps: MAX_GAPS,
            untracked: 0,
            closed: 0,
            late_unknown: 0,
            has_untracked_stream: false,
        }
    }

    /// Message `seq` of a stream arrived.
    #[inline]
    pub fn observe(&mut self, publisher: u16, stream: u8, seq: u64) -> Arrival {
        if let Some(idx) = self.find(publisher, stream)
            && let Some(tracker) = self.streams.get_mut(usize::from(idx))
            && tracker.next == seq
            && seq <= MAX_SEQ
            && (tracker.is_seen() || self.start == Start::FromZero)
        {
            tracker.next += 1;
            return Arrival::InOrder;
        }
        self.observe_other(publisher, stream, seq)
    }

    /// The publisher says that it sent `n_sent` messages in this stream, numbered from 0.
    ///
    /// May come before, between or after the messages, and more than once: the largest number counts. Only for
    /// streams whose subject this subscriber listens to; anything else would count as lost.
    pub fn announce(&mut self, publisher: u16, stream: u8, n_sent: u64) {
        let n_sent = n_sent.min(MAX_SEQ + 1);
        match self.find_or_add(publisher, stream) {
            Some(idx) => {
                let announced = &mut self.streams[usize::from(idx)].announced;
                *announced = (*announced).max(Some(n_sent));
            }
            None => self.has_untracked_stream = true,
        }
    }

    /// This subscriber was there before the stream began: whatever is missing before the first message that it
    /// saw did not arrive. Has no effect with [`Start::FromZero`], which says so from the beginning.
    pub fn cover_from_zero(&mut self, publisher: u16, stream: u8) {
        if self.start == Start::FromZero {
            return;
        }
        let Some(idx) = self.find_or_add(publisher, stream) else {
            return;
        };
        let tracker = &mut self.streams[usize::from(idx)];
        tracker.is_from_zero = true;
        let gap_end = if tracker.is_seen() { tracker.first } else { 0 };
        tracker.missing += gap_end;
        tracker.first = 0;
        self.open_gap(idx, 0, gap_end);
    }

    /// The counts of all streams together.
    pub fn totals(&self) -> DeliveryCounts {
        let mut totals = DeliveryCounts {
            untracked: self.untracked,
            closed: self.closed,
            late_unknown: self.late_unknown,
            n_streams: self.streams.len(),
            ..DeliveryCounts::default()
        };
        let mut expected = 0;
        for counts in self.streams() {
            totals.received += counts.received;
            totals.lost += counts.lost;
            totals.duplicated += counts.duplicated;
            totals.reordered += counts.reordered;
            match counts.expected {
                Some(n_expected) => expected += n_expected,
                None => totals.n_streams_open += 1,
            }
        }
        // Without any stream nothing is known, not even that nothing is owed.
        let is_known =
            totals.n_streams_open == 0 && totals.n_streams > 0 && !self.has_untracked_stream;
        totals.expected = is_known.then_some(expected);
        totals
    }

    /// Whether every stream was announced and all its messages arrived; never before the first announcement.
    pub fn is_complete(&self) -> bool {
        !self.streams.is_empty()
            && !self.has_untracked_stream
            && self
                .streams()
                .all(|counts| counts.expected == Some(counts.received))
    }

    /// Streams known.
    #[inline]
    pub fn n_streams(&self) -> usize {
        self.streams.len()
    }

    /// The counts of each stream, in the order in which they appeared.
    pub fn streams(&self) -> impl Iterator<Item = StreamCounts> + '_ {
        self.streams
            .iter()
            .map(|tracker| tracker.counts(self.start))
    }

    #[inline]
    fn find(&self, publisher: u16, stream: u8) -> Option<u16> {
        if let Some(table_idx) = table_idx(publisher, stream) {
            return self.table.get(table_idx)?.checked_sub(1);
        }
        let key = other_key(publisher, stream);
        let at = self.others.binary_search_by_key(&key, |other| other.0);
        self.others.get(at.ok()?).map(|other| other.1)
    }

    fn find_or_add(&mut self, publisher: u16, stream: u8) -> Option<u16> {
        if let Some(idx) = self.find(publisher, stream) {
            return Some(idx);
        }
        let idx = u16::try_from(self.streams.len()).ok()?;
        if self.streams.len() >= MAX_STREAMS {
            return None;
        }
        self.streams.push(Tracker {
            first: 0,
            next: 0,
            missing: 0,
            duplicated: 0,
            reordered: 0,
            announced: None,
            closed_below: 0,
            is_from_zero: false,
            publisher,
            stream,
        });
        if let Some(table_idx) = table_idx(publisher, stream) {
            if self.table.len() <= table_idx {
                self.table.resize(table_idx + 1, 0);
            }
            self.table[table_idx] = idx + 1;
        } else {
            let key = other_key(publisher, stream);
            let at = self.others.partition_point(|other| other.0 < key);
            self.others.insert(at, (key, idx));
        }
        Some(idx)
    }

    /// Everything but the next message of a known stream.
    #[cold]
    fn observe_other(&mut self, publisher: u16, stream: u8, seq: u64) -> Arrival {
        let found = if seq <= MAX_SEQ {
            self.find_or_add(publisher, stream)
        } else {
            None
        };
        let Some(idx) = found else {
            self.untracked += 1;
            return Arrival::Untracked;
        };
        let start = self.start;
        let tracker = &mut self.streams[usize::from(idx)];
        if start == Start::FirstSeen && !tracker.is_from_zero && !tracker.is_seen() {
            tracker.first = seq;
            tracker.next = seq;
        }
        if seq >= tracker.next {
            let gap = tracker.next..seq;
            let n_missing = seq - tracker.next;
            tracker.missing += n_missing;
            tracker.next = seq + 1;
            self.open_gap(idx, gap.start, gap.end);
            if n_missing == 0 {
                Arrival::InOrder
            } else {
                Arrival::AfterGap { n_missing }
            }
        } else if seq < tracker.first {
            // Overtaken by the message that we took for the first one.
            let gap = seq + 1..tracker.first;
            tracker.missing += gap.end - gap.start;
            tracker.first = seq;
            tracker.reordered += 1;
            self.open_gap(idx, gap.start, gap.end);
            Arrival::Reordered
        } else {
            self.observe_earlier(idx, seq)
        }
    }

    /// A number between the first and the last: it fills a gap, or it was here before.
    fn observe_earlier(&mut self, idx: u16, seq: u64) -> Arrival {
        let below = self.gaps.range(..=(idx, seq)).next_back();
        let gap = below
            .map(|(&(owner, from), &to)| (owner, from, to))
            .filter(|&(owner, _, to)| owner == idx && seq < to);
        let tracker = &mut self.streams[usize::from(idx)];
        let Some((_, from, to)) = gap else {
            if seq < tracker.closed_below {
                self.late_unknown += 1;
                return Arrival::LateUnknown;
            }
            tracker.duplicated += 1;
            return Arrival::Duplicate;
        };
        tracker.missing -= 1;
        tracker.reordered += 1;
        self.gaps.remove(&(idx, from));
        self.open_gap(idx, from, seq);
        self.open_gap(idx, seq + 1, to);
        Arrival::Reordered
    }

    /// Remembers that `from..to` of a stream is missing, if that is anything.
    fn open_gap(&mut self, idx: u16, from: u64, to: u64) {
        if from >= to {
            return;
        }
        if self.gaps.len() >= self.max_gaps {
            self.close_oldest_gap(idx);
        }
        self.gaps.insert((idx, from), to);
    }

    /// Gives up on the oldest gap of this stream, or of another if it has none.
    fn close_oldest_gap(&mut self, idx: u16) {
        let own = self.gaps.range((idx, 0)..=(idx, u64::MAX)).next();
        let Some((&(owner, from), &to)) = own.or_else(|| self.gaps.iter().next()) else {
            return;
        };
        self.gaps.remove(&(owner, from));
        self.closed += to - from;
        let tracker = &mut self.streams[usize::from(owner)];
        tracker.closed_below = tracker.closed_below.max(to);
    }
}

#[inline]
fn table_idx(publisher: u16, stream: u8) -> Option<usize> {
    (publisher < TABLE_PUBLISHERS && stream < TABLE_STREAMS)
        .then(|| usize::from(publisher) * usize::from(TABLE_STREAMS) + usize::from(stream))
}

fn other_key(publisher: u16, stream: u8) -> u32 {
    u32::from(publisher) << 8 | u32::from(stream)
}

#[cfg(test)]
mod tests;
