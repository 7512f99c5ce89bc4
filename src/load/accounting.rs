//! The sink of a `latency` run: one subscriber's deliveries, and the histograms of its thread.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::clock::{Clock, MonoNanos};
use crate::load::receiver::{LiveReceived, Sink};
use crate::load::streams::StreamSent;
use crate::measure::deliveries::{Arrival, Deliveries, SeqRange, Start};
use crate::measure::recorder::Recorder;
use crate::measure::stamp::{self, Origin, Phase, RunId, Stamp};
use crate::protocol::Msg;

/// How the stamps of a subscriber's messages were found, and what was not ours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SinkCounts {
    /// Stamps at their fixed place.
    pub n_fixed: u64,
    /// Stamps found by parsing: the message was re-encoded on the way.
    pub n_parsed: u64,
    /// Messages with a `timestamp` only.
    pub n_timestamp_only: u64,
    /// Rounds without either.
    pub n_unstamped: u64,
    /// Messages of other runs.
    pub n_foreign: u64,
    /// Messages that are not JSON.
    pub n_undecodable: u64,
}

impl SinkCounts {
    /// Adds the counts of another subscriber.
    pub fn add(&mut self, other: &Self) {
        self.n_fixed += other.n_fixed;
        self.n_parsed += other.n_parsed;
        self.n_timestamp_only += other.n_timestamp_only;
        self.n_unstamped += other.n_unstamped;
        self.n_foreign += other.n_foreign;
        self.n_undecodable += other.n_undecodable;
    }
}

/// One subscriber of one run.
pub struct RunSink {
    run: RunId,
    clock: Clock,
    received_ns: u64,
    deliveries: Deliveries,
    counts: SinkCounts,
    live: Arc<LiveReceived>,
    n_new: u64,
    n_new_warmup: u64,
    is_announced: bool,
    /// Nothing was sent, so that nothing is waited for.
    is_nothing_owed: bool,
    is_complete: bool,
    sent_ns: u64,
    losses: OutageMarks,
}

impl RunSink {
    /// A subscriber that was there before the first message of `run`.
    pub fn new(run: RunId, clock: Clock, live: Arc<LiveReceived>) -> Self {
        Self {
            run,
            clock,
            received_ns: 0,
            deliveries: Deliveries::new(Start::FromZero),
            counts: SinkCounts::default(),
            live,
            n_new: 0,
            n_new_warmup: 0,
            is_announced: false,
            is_nothing_owed: false,
            is_complete: false,
            sent_ns: 0,
            losses: OutageMarks::default(),
        }
    }

    /// What was delivered.
    pub fn deliveries(&self) -> &Deliveries {
        &self.deliveries
    }

    /// How stamps were found.
    pub fn counts(&self) -> &SinkCounts {
        &self.counts
    }

    /// What each outage of the connection has cost, in the order in which they were.
    pub fn missing_by_outage(&self) -> Vec<Vec<SeqRange>> {
        self.losses.missing(&self.deliveries)
    }

    #[inline]
    fn account(&mut self, stamp: &Stamp, recorder: &mut Recorder) {
        if stamp.run != self.run {
            self.counts.n_foreign += 1;
            return;
        }
        if stamp.phase == Phase::WarmUp {
            self.n_new_warmup += 1;
            return;
        }
        self.n_new += 1;
        self.sent_ns = stamp.sent_ns;
        let arrival = self
            .deliveries
            .observe(stamp.publisher, stamp.stream, stamp.seq);
        if arrival != Arrival::InOrder {
            self.live.note(arrival);
        }
        // A further copy is counted, but never recorded: it would weigh one message twice.
        if arrival != Arrival::Duplicate {
            record_delivery(recorder, stamp, self.received_ns);
        }
    }

    /// Messages whose stamp is not at its fixed place.
    #[cold]
    fn account_slowly(&mut self, payload: &[u8], recorder: &mut Recorder) {
        match stamp::read(payload) {
            Origin::Fixed(stamp) | Origin::Parsed(stamp) => {
                self.counts.n_parsed += 1;
                self.account(&stamp, recorder);
            }
            Origin::TimestampOnly { .. } => self.counts.n_timestamp_only += 1,
            Origin::None => self.counts.n_unstamped += 1,
            Origin::Undecodable => self.counts.n_undecodable += 1,
        }
    }
}

/// Records response and service of one delivery. Lateness is recorded where it arises, by the publisher.
#[inline]
pub(crate) fn record_delivery(recorder: &mut Recorder, stamp: &Stamp, received_ns: u64) {
    recorder
        .response
        .record(received_ns.wrapping_sub(stamp.intended_ns).cast_signed());
    recorder
        .service
        .record(received_ns.wrapping_sub(stamp.sent_ns).cast_signed());
}

impl Sink for RunSink {
    #[inline]
    fn begin_read(&mut self, received: MonoNanos) {
        self.received_ns = self.clock.wall_at(received).0;
    }

    #[inline]
    fn on_message(&mut self, message: &Msg<'_>, recorder: &mut Recorder) {
        match Stamp::read_fixed(message.payload) {
            Some(stamp) => {
                self.counts.n_fixed += 1;
                self.account(&stamp, recorder);
            }
            None => self.account_slowly(message.payload, recorder),
        }
    }

    fn end_read(&mut self) -> bool {
        if self.n_new > 0 {
            self.live
                .n_received
                .fetch_add(std::mem::take(&mut self.n_new), Ordering::Relaxed);
        }
        if self.n_new_warmup > 0 {
            self.live
                .n_warmup
                .fetch_add(std::mem::take(&mut self.n_new_warmup), Ordering::Relaxed);
        }
        if self.is_announced
            && !self.is_complete
            && (self.is_nothing_owed || self.deliveries.is_complete())
        {
            self.is_complete = true;
            self.live.n_complete.fetch_add(1, Ordering::Relaxed);
        }
        true
    }

    fn announce(&mut self, sent: &[StreamSent]) {
        for stream in sent {
            self.deliveries
                .announce(stream.publisher, stream.stream, stream.n_sent);
        }
        self.is_announced = true;
        self.is_nothing_owed = sent.is_empty();
    }

    fn is_complete(&self) -> bool {
        self.is_complete
    }

    fn connection_lost(&mut self) {
        self.losses.connection_lost(&self.deliveries);
    }

    fn lag_ns(&self) -> Option<i64> {
        lag_ns(self.received_ns, self.sent_ns)
    }
}

/// How old the last stamped message was when it was read.
pub(crate) fn lag_ns(received_ns: u64, sent_ns: u64) -> Option<i64> {
    (sent_ns > 0).then(|| received_ns.wrapping_sub(sent_ns).cast_signed())
}

/// Where every stream of one accounting was whenever the connection was lost.
#[derive(Debug, Clone, Default)]
pub(crate) struct OutageMarks {
    heads: Vec<Vec<u64>>,
}

impl OutageMarks {
    /// The connection was lost once more.
    pub(crate) fn connection_lost(&mut self, deliveries: &Deliveries) {
        self.heads.push(deliveries.heads());
    }

    /// Of each outage, whether it is known what it has cost.
    pub(crate) fn are_known(&self, deliveries: &Deliveries) -> impl Iterator<Item = bool> {
        let is_known = |heads: &Vec<u64>| deliveries.is_known_from(heads);
        self.heads.iter().map(is_known)
    }

    /// What is missing because of each outage: the numbers that begin right where the streams were. When nothing came between
    /// two outages, the first has cost it.
    pub(crate) fn missing(&self, deliveries: &Deliveries) -> Vec<Vec<SeqRange>> {
        let mut taken: Vec<SeqRange> = Vec::new();
        let mut missing_from = |heads: &Vec<u64>| {
            let missing = deliveries.missing_from(heads);
            let new: Vec<_> = missing.filter(|range| !taken.contains(range)).collect();
            taken.extend(&new);
            new
        };
        self.heads.iter().map(&mut missing_from).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::stamp::PLACEHOLDER_TAIL;

    const RUN: RunId = RunId(7);

    struct Subscriber {
        sink: RunSink,
        recorder: Recorder,
        live: Arc<LiveReceived>,
    }

    fn subscriber() -> Subscriber {
        let live = Arc::new(LiveReceived::default());
        Subscriber {
            sink: RunSink::new(RUN, Clock::start(), Arc::clone(&live)),
            recorder: Recorder::new(),
            live,
        }
    }

    fn stamped(run: RunId, phase: Phase, seq: u64) -> Vec<u8> {
        let mut payload = [b"{\"id\":1", &PLACEHOLDER_TAIL[..]].concat();
        let stamp = Stamp {
            phase,
            run,
            publisher: 0,
            stream: 0,
            seq,
            intended_ns: 1,
            sent_ns: 2,
        };
        assert!(stamp.write_tail(&mut payload));
        payload
    }

    impl Subscriber {
        fn receive(&mut self, payloads: &[Vec<u8>]) {
            self.sink.begin_read(crate::clock::mono_now());
            for payload in payloads {
                let message = Msg {
                    subject: b"rounds.game.crash",
                    sid: 1,
                    reply: None,
                    headers: None,
                    payload,
                };
                self.sink.on_message(&message, &mut self.recorder);
            }
            assert!(self.sink.end_read());
        }

        fn n_complete(&self) -> u64 {
            LiveReceived::get(&self.live.n_complete)
        }
    }

    fn sent(n_sent: u64) -> Vec<StreamSent> {
        vec![StreamSent {
            publisher: 0,
            stream: 0,
            subject: "rounds.game.crash".to_owned(),
            n_sent,
        }]
    }

    #[test]
    fn only_new_messages_of_the_measured_phase_of_this_run_are_recorded() {
        let mut subscriber = subscriber();
        subscriber.receive(&[
            stamped(RUN, Phase::WarmUp, 0),
            stamped(RunId(8), Phase::Measured, 0),
            stamped(RUN, Phase::Measured, 0),
            stamped(RUN, Phase::Measured, 0),
            b"{}".to_vec(),
            b"?".to_vec(),
        ]);
        assert_eq!(subscriber.recorder.response.count(), 1);
        assert_eq!(subscriber.recorder.service.count(), 1);
        let totals = subscriber.sink.deliveries().totals();
        assert_eq!((totals.received, totals.duplicated), (1, 1));
        let counts = subscriber.sink.counts();
        assert_eq!(
            (counts.n_foreign, counts.n_unstamped, counts.n_undecodable),
            (1, 1, 1)
        );
    }

    #[test]
    fn a_subscriber_is_complete_once_when_it_has_what_was_announced() {
        let mut subscriber = subscriber();
        subscriber.receive(&[stamped(RUN, Phase::Measured, 0)]);
        subscriber.sink.announce(&sent(2));
        assert!(subscriber.sink.end_read() && !subscriber.sink.is_complete());
        subscriber.receive(&[stamped(RUN, Phase::Measured, 1)]);
        assert!(subscriber.sink.is_complete());
        subscriber.receive(&[stamped(RUN, Phase::Measured, 1)]);
        assert_eq!(subscriber.n_complete(), 1);
    }

    #[test]
    fn when_nothing_was_sent_nothing_is_waited_for() {
        let mut subscriber = subscriber();
        subscriber.sink.announce(&[]);
        assert!(subscriber.sink.end_read());
        assert_eq!(subscriber.n_complete(), 1);
    }

    #[test]
    fn being_told_again_how_much_was_sent_changes_nothing() {
        let mut subscriber = subscriber();
        subscriber.receive(&[stamped(RUN, Phase::Measured, 0)]);
        subscriber.sink.announce(&sent(5));
        subscriber.sink.announce(&sent(5));
        assert_eq!(subscriber.sink.deliveries().totals().lost, 4);
    }
}
