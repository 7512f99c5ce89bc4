//! Tests of the accounting against a model that remembers everything.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// A stream's name.
type Key = (u16, u8);

/// One stream as the model sees it: every number that ever arrived.
#[derive(Debug, Clone, Default)]
struct ModelStream {
    seen: BTreeSet<u64>,
    duplicated: u64,
    reordered: u64,
    announced: Option<u64>,
    is_from_zero: bool,
}

/// The plainest accounting that can be: sets of numbers, without any bound on memory.
#[derive(Debug, Default)]
struct Model {
    is_from_zero: bool,
    streams: BTreeMap<Key, ModelStream>,
}

impl Model {
    fn new(start: Start) -> Self {
        Self {
            is_from_zero: start == Start::FromZero,
            streams: BTreeMap::new(),
        }
    }

    fn observe(&mut self, key: Key, seq: u64) -> Arrival {
        let is_from_zero = self.is_from_zero;
        let stream = self.streams.entry(key).or_default();
        let last = stream.seen.last().copied();
        if !stream.seen.insert(seq) {
            stream.duplicated += 1;
            return Arrival::Duplicate;
        }
        // What should have come next; nothing in particular for who joins a running stream.
        let next = match last {
            Some(last) => last + 1,
            None if is_from_zero || stream.is_from_zero => 0,
            None => seq,
        };
        match seq.checked_sub(next) {
            Some(0) => Arrival::InOrder,
            Some(n_missing) => Arrival::AfterGap { n_missing },
            None => {
                stream.reordered += 1;
                Arrival::Reordered
            }
        }
    }

    fn announce(&mut self, key: Key, n_sent: u64) {
        let stream = self.streams.entry(key).or_default();
        stream.announced = stream.announced.max(Some(n_sent));
    }

    fn cover_from_zero(&mut self, key: Key) {
        if self.is_from_zero {
            return;
        }
        self.streams.entry(key).or_default().is_from_zero = true;
    }

    fn stream_counts(&self, key: Key) -> StreamCounts {
        let stream = &self.streams[&key];
        let received = stream.seen.len() as u64;
        let is_from_zero = self.is_from_zero || stream.is_from_zero;
        let first = if is_from_zero {
            Some(0)
        } else {
            stream.seen.first().copied()
        };
        let seen_end = stream.seen.last().map_or(0, |last| last + 1);
        let end = stream.announced.map(|n_sent| n_sent.max(seen_end));
        let expected = match (first, end) {
            (_, Some(0)) => Some(0),
            (Some(first), Some(end)) => Some(end - first),
            _ => None,
        };
        // What is missing up to the end, or as long as that is unknown, up to the last one seen.
        let owed = expected.unwrap_or_else(|| seen_end.saturating_sub(first.unwrap_or(0)));
        StreamCounts {
            publisher: key.0,
            stream: key.1,
            expected,
            received,
            lost: owed - received,
            duplicated: stream.duplicated,
            reordered: stream.reordered,
        }
    }

    fn totals(&self) -> DeliveryCounts {
        let mut totals = DeliveryCounts {
            n_streams: self.streams.len(),
            ..DeliveryCounts::default()
        };
        let mut expected = 0;
        for key in self.streams.keys() {
            let counts = self.stream_counts(*key);
            totals.received += counts.received;
            totals.lost += counts.lost;
            totals.duplicated += counts.duplicated;
            totals.reordered += counts.reordered;
            totals.n_streams_open += usize::from(counts.expected.is_none());
            expected += counts.expected.unwrap_or(0);
        }
        let is_known = totals.n_streams > 0 && totals.n_streams_open == 0;
        totals.expected = is_known.then_some(expected);
        totals
    }
}

/// What happens to the subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Arrives(Key, u64),
    Announced(Key, u64),
    Covered(Key),
}

fn apply(deliveries: &mut Deliveries, event: Event) -> Option<Arrival> {
    match event {
        Event::Arrives((publisher, stream), seq) => {
            return Some(deliveries.observe(publisher, stream, seq));
        }
        Event::Announced((publisher, stream), n_sent) => {
            deliveries.announce(publisher, stream, n_sent);
        }
        Event::Covered((publisher, stream)) => deliveries.cover_from_zero(publisher, stream),
    }
    None
}

fn apply_to_model(model: &mut Model, event: Event) -> Option<Arrival> {
    match event {
        Event::Arrives(key, seq) => return Some(model.observe(key, seq)),
        Event::Announced(key, n_sent) => model.announce(key, n_sent),
        Event::Covered(key) => model.cover_from_zero(key),
    }
    None
}

fn assert_like(deliveries: &Deliveries, model: &Model) {
    assert_eq!(deliveries.totals(), model.totals());
    let mut streams: Vec<StreamCounts> = deliveries.streams().collect();
    streams.sort_by_key(|counts| (counts.publisher, counts.stream));
    let expected: Vec<StreamCounts> = model
        .streams
        .keys()
        .map(|key| model.stream_counts(*key))
        .collect();
    assert_eq!(streams, expected);
    let is_complete = !expected.is_empty()
        && expected
            .iter()
            .all(|counts| counts.expected == Some(counts.received));
    assert_eq!(deliveries.is_complete(), is_complete);
}

fn start() -> impl Strategy<Value = Start> {
    prop_oneof![Just(Start::FromZero), Just(Start::FirstSeen)]
}

/// Streams inside and outside the table, several to a publisher.
const KEYS: [Key; 6] = [(0, 0), (0, 1), (1, 0), (511, 15), (512, 0), (65_535, 255)];

prop_compose! {
    /// One stream: how many copies of each message arrive (none is a loss), how far each may be displaced, and when,
    /// if ever, its end is announced and its beginning vouched for.
    fn stream_events()(
        first in prop_oneof![Just(0), 0..50_u64, Just(MAX_SEQ - 100)],
        copies in prop::collection::vec(prop_oneof![6 => Just(1_usize), 2 => Just(0), 1 => Just(2), 1 => Just(3)], 0..60),
        displacement in prop::sample::select(vec![0_u64, 2, 1_000]),
    )(
        order in prop::collection::vec(0..=displacement, copies.iter().sum::<usize>()),
        announced in prop::option::of((0_u64..=1_000, 0_u64..3)),
        covered in prop::option::weighted(0.2, 0_u64..=1_000),
        first in Just(first),
        copies in Just(copies),
    ) -> Vec<(u64, u64, EventKind)> {
        let n = copies.len() as u64;
        let arrivals = copies.iter().zip(first..).flat_map(|(n_copies, seq)| std::iter::repeat_n(seq, *n_copies));
        let mut events: Vec<(u64, u64, EventKind)> = arrivals
            .zip(order)
            .map(|(seq, displaced)| ((seq - first) * 2 + displaced, displaced, EventKind::Arrives(seq)))
            .collect();
        if let Some((at, n_more)) = announced {
            events.push((at * n / 500, 0, EventKind::Announced(first + n + n_more)));
        }
        if let Some(at) = covered {
            events.push((at * n / 500, 0, EventKind::Covered));
        }
        events
    }
}

#[derive(Debug, Clone, Copy)]
enum EventKind {
    Arrives(u64),
    Announced(u64),
    Covered,
}

/// What happens on several streams, interleaved.
fn events() -> impl Strategy<Value = Vec<Event>> {
    prop::collection::vec(stream_events(), 0..=KEYS.len()).prop_map(|streams| {
        let mut events: Vec<(u64, u64, Event)> = streams
            .into_iter()
            .zip(KEYS)
            .flat_map(|(events, key)| {
                events.into_iter().map(move |(at, tie, kind)| {
                    let event = match kind {
                        EventKind::Arrives(seq) => Event::Arrives(key, seq),
                        EventKind::Announced(n_sent) => Event::Announced(key, n_sent),
                        EventKind::Covered => Event::Covered(key),
                    };
                    (at, tie, event)
                })
            })
            .collect();
        events.sort_by_key(|(at, tie, _)| (*at, *tie));
        events.into_iter().map(|(_, _, event)| event).collect()
    })
}

proptest! {
    #[test]
    fn losses_copies_and_reorderings_are_exactly_what_was_done(start in start(), events in events()) {
        let mut deliveries = Deliveries::new(start);
        let mut model = Model::new(start);
        for event in events {
            let arrival = apply(&mut deliveries, event);
            prop_assert_eq!(arrival, apply_to_model(&mut model, event), "{:?}", event);
            assert_like(&deliveries, &model);
        }
    }

    #[test]
    fn the_order_of_arrival_changes_only_what_is_reordered(
        start in start(),
        (events, shuffled) in events().prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle())),
    ) {
        let totals_of = |events: &[Event]| {
            let mut deliveries = Deliveries::new(start);
            for event in events {
                apply(&mut deliveries, *event);
            }
            DeliveryCounts { reordered: 0, ..deliveries.totals() }
        };
        prop_assert_eq!(totals_of(&events), totals_of(&shuffled));
    }

    #[test]
    fn with_little_memory_the_truth_lies_within_what_could_not_be_attributed(
        start in start(), events in events(), max_gaps in 1_usize..4,
    ) {
        let mut deliveries = Deliveries { max_gaps, ..Deliveries::new(start) };
        let mut model = Model::new(start);
        let mut n_arrivals = 0;
        for event in events {
            n_arrivals += u64::from(apply(&mut deliveries, event).is_some());
            apply_to_model(&mut model, event);
            prop_assert!(deliveries.gaps.len() <= max_gaps);
        }
        let (counts, truth) = (deliveries.totals(), model.totals());
        prop_assert_eq!(counts.received + counts.duplicated + counts.late_unknown, n_arrivals);
        prop_assert_eq!(counts.expected, truth.expected);
        let unknown = counts.n_unattributed();
        let is_within = |truth: u64, at_least: u64| (at_least..=at_least + unknown).contains(&truth);
        prop_assert!(is_within(truth.lost, counts.lost.saturating_sub(unknown)), "{:?} {:?}", counts, truth);
        prop_assert!(is_within(truth.received, counts.received), "{:?} {:?}", counts, truth);
        prop_assert!(is_within(truth.duplicated, counts.duplicated), "{:?} {:?}", counts, truth);
        prop_assert!(is_within(truth.reordered, counts.reordered), "{:?} {:?}", counts, truth);
        prop_assert!(counts.closed <= counts.lost);
        prop_assert!(counts.lost <= truth.lost + unknown);
    }

    #[test]
    fn any_numbers_at_all_are_accounted_for_without_panic(
        start in start(),
        steps in prop::collection::vec((0_u16..3, 0_u8..2, any::<u64>(), 0_u32..64, any::<Index>()), 0..60),
    ) {
        let mut deliveries = Deliveries::new(start);
        let mut n_arrivals = 0;
        for (publisher, stream, number, bits, kind) in steps {
            let number = number >> bits;
            match kind.index(5) {
                0 => deliveries.announce(publisher, stream, number),
                1 => deliveries.cover_from_zero(publisher, stream),
                _ => {
                    n_arrivals += 1;
                    deliveries.observe(publisher, stream, number);
                }
            }
        }
        let counts = deliveries.totals();
        prop_assert_eq!(counts.received + counts.duplicated + counts.untracked, n_arrivals);
    }
}

#[test]
fn before_anything_arrives_nothing_is_known() {
    let deliveries = Deliveries::new(Start::FromZero);
    assert_eq!(deliveries.totals(), DeliveryCounts::default());
    assert_eq!(deliveries.totals().expected, None);
    assert!(!deliveries.is_complete());
}

#[test]
fn the_tail_is_unknown_until_it_is_announced_and_then_lost() {
    let mut deliveries = Deliveries::new(Start::FromZero);
    for seq in 0..7 {
        deliveries.observe(0, 0, seq);
    }
    assert_eq!(deliveries.totals().lost, 0);
    assert_eq!(deliveries.totals().expected, None);
    assert_eq!(deliveries.totals().n_streams_open, 1);
    deliveries.announce(0, 0, 10);
    assert_eq!(deliveries.totals().lost, 3);
    assert_eq!(deliveries.totals().expected, Some(10));
    assert_eq!(deliveries.totals().n_streams_open, 0);
    assert!(!deliveries.is_complete());
    for seq in 7..10 {
        deliveries.observe(0, 0, seq);
    }
    assert!(deliveries.is_complete());
}

#[test]
fn a_stream_of_which_nothing_arrived_is_lost_only_for_those_who_were_there() {
    let mut from_zero = Deliveries::new(Start::FromZero);
    from_zero.announce(3, 1, 10);
    assert_eq!(from_zero.totals().lost, 10);
    assert_eq!(from_zero.totals().expected, Some(10));

    let mut joined = Deliveries::new(Start::FirstSeen);
    joined.announce(3, 1, 10);
    assert_eq!(joined.totals().lost, 0);
    assert_eq!(joined.totals().expected, None);
    joined.cover_from_zero(3, 1);
    assert_eq!(joined.totals().lost, 10);
    assert_eq!(joined.totals().expected, Some(10));
}

#[test]
fn who_joined_late_is_not_owed_what_came_before() {
    let mut joined = Deliveries::new(Start::FirstSeen);
    for seq in [1_000, 1_001, 1_004] {
        joined.observe(0, 0, seq);
    }
    joined.announce(0, 0, 1_005);
    assert_eq!(joined.totals().expected, Some(5));
    assert_eq!(joined.totals().lost, 2);
    // One that was overtaken by the first one moves the beginning.
    assert_eq!(joined.observe(0, 0, 998), Arrival::Reordered);
    assert_eq!(joined.totals().expected, Some(7));
    assert_eq!(joined.totals().lost, 3);
    // Somebody vouches for the beginning.
    joined.cover_from_zero(0, 0);
    assert_eq!(joined.totals().expected, Some(1_005));
    assert_eq!(joined.totals().lost, 1_001);
    assert_eq!(joined.observe(0, 0, 5), Arrival::Reordered);
    assert_eq!(joined.totals().lost, 1_000);
}

#[test]
fn a_closed_gap_stays_lost_and_what_comes_late_is_counted_apart() {
    let mut deliveries = Deliveries {
        max_gaps: 2,
        ..Deliveries::new(Start::FromZero)
    };
    // Missing: 0 and 1, 3, 5. The third gap closes the first.
    for (seq, n_missing) in [(2, 2), (4, 1), (6, 1)] {
        let arrival = deliveries.observe(0, 0, seq);
        assert_eq!(arrival, Arrival::AfterGap { n_missing });
    }
    assert_eq!(deliveries.totals().closed, 2);
    assert_eq!(deliveries.totals().lost, 4);
    // 1 came late, or 2 again: which of them is no longer to be told.
    assert_eq!(deliveries.observe(0, 0, 1), Arrival::LateUnknown);
    assert_eq!(deliveries.totals().n_unattributed(), 1);
    assert_eq!(deliveries.totals().lost, 4);
    // The gaps that are still open are as exact as ever.
    assert_eq!(deliveries.observe(0, 0, 3), Arrival::Reordered);
    assert_eq!(deliveries.observe(0, 0, 3), Arrival::Duplicate);
    assert_eq!(deliveries.totals().lost, 3);
}

#[test]
fn memory_is_bounded_when_every_other_message_is_lost() {
    let mut deliveries = Deliveries::new(Start::FromZero);
    for seq in 0..3 * MAX_GAPS as u64 {
        deliveries.observe(0, 0, 2 * seq);
    }
    assert_eq!(deliveries.gaps.len(), MAX_GAPS);
    let counts = deliveries.totals();
    assert_eq!(counts.lost, 3 * MAX_GAPS as u64 - 1);
    assert_eq!(counts.closed, 2 * MAX_GAPS as u64 - 1);
}

#[test]
fn streams_beyond_the_limit_are_untracked_and_the_others_stay_exact() {
    let mut deliveries = Deliveries::new(Start::FromZero);
    let keys = |n: usize| {
        (0..n).map(|idx| {
            (
                u16::try_from(idx / 16).unwrap(),
                u8::try_from(idx % 16).unwrap(),
            )
        })
    };
    for (publisher, stream) in keys(MAX_STREAMS) {
        assert_eq!(deliveries.observe(publisher, stream, 0), Arrival::InOrder);
        deliveries.announce(publisher, stream, 1);
    }
    assert!(deliveries.is_complete());
    assert_eq!(deliveries.totals().expected, Some(MAX_STREAMS as u64));
    assert_eq!(deliveries.observe(60_000, 0, 0), Arrival::Untracked);
    assert_eq!(deliveries.observe(7, 3, 1), Arrival::InOrder);
    let counts = deliveries.totals();
    assert_eq!(counts.n_streams, MAX_STREAMS);
    assert_eq!(counts.untracked, 1);
    assert_eq!(counts.received, MAX_STREAMS as u64 + 1);
    // How much is owed is no longer known once a stream that is not tracked owes something.
    deliveries.announce(60_000, 0, 5);
    assert_eq!(deliveries.totals().expected, None);
    assert!(!deliveries.is_complete());
}

#[test]
fn a_number_that_no_stamp_can_carry_is_untracked() {
    let mut deliveries = Deliveries::new(Start::FirstSeen);
    assert_eq!(deliveries.observe(0, 0, MAX_SEQ), Arrival::InOrder);
    assert_eq!(deliveries.observe(0, 0, MAX_SEQ + 1), Arrival::Untracked);
    assert_eq!(deliveries.observe(0, 0, u64::MAX), Arrival::Untracked);
    deliveries.announce(0, 0, u64::MAX);
    assert_eq!(deliveries.totals().expected, Some(1));
}

#[test]
fn an_announcement_below_what_was_seen_takes_nothing_back() {
    let mut deliveries = Deliveries::new(Start::FromZero);
    deliveries.observe(0, 0, 9);
    deliveries.announce(0, 0, 5);
    assert_eq!(deliveries.totals().expected, Some(10));
    assert_eq!(deliveries.totals().lost, 9);
}
