//! The sink of a `sub` run: shows messages, and accounts for whatever carries a stamp.
//!
//! Messages of several runs may be mixed. Each subscription, each run, each publisher and each subject is accounted for
//! on its own. How much was sent is learned from the end-of-run messages.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, MonoNanos};
use crate::load::accounting::{OutageMarks, SinkCounts, lag_ns, record_delivery};
use crate::load::receiver::{LiveReceived, Sink};
use crate::load::streams::StreamSent;
use crate::measure::deliveries::{Arrival, Deliveries, SeqRange, Start};
use crate::measure::end_of_run::EndOfRun;
use crate::measure::in_doubt::InDoubt;
use crate::measure::recorder::Recorder;
use crate::measure::stamp::{self, Origin, Phase, RunId, Stamp};
use crate::protocol::Msg;
use crate::report::message::{LineFormat, MessageLine, write_line};
use crate::subject::Pattern;

/// Most runs that one connection accounts for at the same time; messages of further ones are only counted.
const MAX_RUNS: usize = 64;

/// Where message lines go: shared by the receiving threads, locked once for each read that brought messages.
#[derive(Clone)]
pub struct Lines {
    /// How a message is shown.
    pub format: LineFormat,
    /// Where to.
    pub out: Arc<Mutex<Box<dyn Write + Send>>>,
}

/// What the connections of a run share.
pub(crate) struct ObserverShared {
    /// What was subscribed to, in the order of subscription numbers.
    pub(crate) patterns: Vec<Pattern>,
    /// How many messages are still wanted, where that has a limit.
    pub(crate) n_left: Option<AtomicU64>,
    /// Whether the connections are members of a queue group.
    pub(crate) is_queue: bool,
    /// Counters for the live view.
    pub(crate) live: Arc<LiveReceived>,
    /// Cancelled when there is nothing more to wait for.
    pub(crate) done: CancellationToken,
    /// Where every message is shown, if it is.
    pub(crate) lines: Option<Lines>,
    /// The process's clock.
    pub(crate) clock: Clock,
}

/// The deliveries of one run on one subscription.
struct Account {
    run: RunId,
    sid: u64,
    deliveries: Deliveries,
    /// Which outages of the connection it has seen, from this one on.
    first_outage: usize,
    losses: OutageMarks,
    /// What the publishers do not know to be with the broker.
    in_doubt: Vec<SeqRange>,
}

impl Account {
    /// What a publisher says that it does not know; it may say so more than once.
    fn learn_doubts(&mut self, ranges: impl Iterator<Item = SeqRange>) {
        const MAX_RANGES: usize = 4096;
        for range in ranges {
            if self.in_doubt.len() < MAX_RANGES && !self.in_doubt.contains(&range) {
                self.in_doubt.push(range);
            }
        }
    }
}

/// The sink of one connection.
pub struct Observer {
    shared: Arc<ObserverShared>,
    subscribed_ns: u64,
    received_ns: u64,
    accounts: Vec<Account>,
    last_account_idx: usize,
    subjects: Vec<StreamSubject>,
    counts: SinkCounts,
    n_received: u64,
    n_warmup: u64,
    n_untracked: u64,
    n_new: u64,
    line_bytes: Vec<u8>,
    is_done: bool,
    sent_ns: u64,
    n_outages: usize,
}

/// The subject of a stream, learned from its first message or from the end-of-run message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSubject {
    /// Which run.
    pub run: RunId,
    /// Publisher number.
    pub publisher: u16,
    /// Stream number.
    pub stream: u8,
    /// Subject.
    pub subject: String,
}

/// What is known of one message, for its line.
#[derive(Default)]
struct Seen {
    response_ns: Option<i64>,
    service_ns: Option<i64>,
    seq: Option<u64>,
    n_missing: u64,
    note: Option<&'static str>,
}

impl Observer {
    pub(crate) fn new(shared: Arc<ObserverShared>) -> Self {
        let subscribed_ns = shared.clock.wall_now().0;
        Self {
            shared,
            subscribed_ns,
            received_ns: 0,
            accounts: Vec::new(),
            last_account_idx: 0,
            subjects: Vec::new(),
            counts: SinkCounts::default(),
            n_received: 0,
            n_warmup: 0,
            n_untracked: 0,
            n_new: 0,
            line_bytes: Vec::new(),
            is_done: false,
            sent_ns: 0,
            n_outages: 0,
        }
    }

    /// Messages received, rounds or not; end-of-run messages do not count.
    pub fn n_received(&self) -> u64 {
        self.n_received
    }

    /// How stamps were found.
    pub fn counts(&self) -> &SinkCounts {
        &self.counts
    }

    /// Messages of runs or streams beyond the limits of accounting.
    pub fn n_untracked(&self) -> u64 {
        self.n_untracked
    }

    /// The deliveries of every run and subscription, and what the publishers do not know to be with the broker.
    pub fn accounts(&self) -> impl Iterator<Item = (RunId, &Deliveries, &[SeqRange])> {
        self.accounts
            .iter()
            .map(|account| (account.run, &account.deliveries, &*account.in_doubt))
    }

    /// How many messages each outage of the connection has cost, lost and in doubt, in the order in which they were. `None`
    /// where nobody knows: of messages without a stamp, or when nothing came afterwards that would tell.
    pub fn missing_by_outage(&self) -> Vec<Option<(u64, u64)>> {
        let has_unnumbered = self.counts.n_unstamped + self.counts.n_timestamp_only > 0;
        let mut costs: Vec<Option<(u64, u64)>> = vec![None; self.n_outages];
        let mut is_known = vec![!has_unnumbered; self.n_outages];
        for account in &self.accounts {
            let mut in_doubt = InDoubt::new(account.in_doubt.clone());
            in_doubt.confirm_by(&account.deliveries);
            let missing = account.losses.missing(&account.deliveries);
            let known = account.losses.are_known(&account.deliveries);
            let own = account.first_outage..;
            for (idx, (ranges, is_known_here)) in own.zip(missing.iter().zip(known)) {
                is_known[idx] &= is_known_here;
                let cost = costs[idx].get_or_insert((0, 0));
                for range in ranges {
                    let n_in_doubt = in_doubt.n_within(range);
                    cost.0 += range.to - range.from - n_in_doubt;
                    cost.1 += n_in_doubt;
                }
            }
        }
        let of = |(cost, is_known): (Option<(u64, u64)>, bool)| cost.filter(|_| is_known);
        costs.into_iter().zip(is_known).map(of).collect()
    }

    /// The subject of a stream.
    pub fn subject_of(&self, run: RunId, publisher: u16, stream: u8) -> Option<&str> {
        let is_it = |known: &&StreamSubject| {
            known.run == run && known.publisher == publisher && known.stream == stream
        };
        self.subjects
            .iter()
            .find(is_it)
            .map(|known| known.subject.as_str())
    }

    /// Whether the connections are members of a queue group, of which each sees only a part.
    pub fn is_queue(&self) -> bool {
        self.shared.is_queue
    }

    fn account_idx(&mut self, run: RunId, sid: u64) -> Option<usize> {
        let is_it = |account: &Account| account.run == run && account.sid == sid;
        if self.accounts.get(self.last_account_idx).is_some_and(is_it) {
            return Some(self.last_account_idx);
        }
        let idx = match self.accounts.iter().position(is_it) {
            Some(idx) => idx,
            None if self.accounts.len() < MAX_RUNS => {
                self.accounts.push(Account {
                    run,
                    sid,
                    deliveries: Deliveries::new(Start::FirstSeen),
                    first_outage: self.n_outages,
                    losses: OutageMarks::default(),
                    in_doubt: Vec::new(),
                });
                self.accounts.len() - 1
            }
            None => return None,
        };
        self.last_account_idx = idx;
        Some(idx)
    }

    fn account(&mut self, stamp: &Stamp, message: &Msg<'_>, recorder: &mut Recorder) -> Seen {
        let received_ns = self.received_ns;
        let mut seen = Seen {
            response_ns: Some(received_ns.wrapping_sub(stamp.intended_ns).cast_signed()),
            service_ns: Some(received_ns.wrapping_sub(stamp.sent_ns).cast_signed()),
            seq: Some(stamp.seq),
            n_missing: 0,
            note: None,
        };
        if stamp.phase == Phase::WarmUp {
            self.n_warmup += 1;
            seen.note = Some("warm-up");
            return seen;
        }
        self.sent_ns = stamp.sent_ns;
        let mut is_new_stream = false;
        let arrival = match self.account_idx(stamp.run, message.sid) {
            Some(idx) => {
                let deliveries = &mut self.accounts[idx].deliveries;
                let n_streams = deliveries.n_streams();
                let arrival = deliveries.observe(stamp.publisher, stamp.stream, stamp.seq);
                is_new_stream = deliveries.n_streams() > n_streams;
                arrival
            }
            None => Arrival::Untracked,
        };
        if arrival != Arrival::InOrder && !self.shared.is_queue {
            self.shared.live.note(arrival);
        }
        match arrival {
            Arrival::InOrder => {}
            // The other members of a queue group have what is missing here.
            Arrival::AfterGap { .. } if self.shared.is_queue => {}
            Arrival::AfterGap { n_missing } => seen.n_missing = n_missing,
            Arrival::Reordered => seen.note = Some("reordered"),
            Arrival::Duplicate => {
                seen.note = Some("duplicate");
                return seen;
            }
            Arrival::LateUnknown => seen.note = Some("late"),
            Arrival::Untracked => self.n_untracked += 1,
        }
        // Streams that the end-of-run message opened were named by it.
        if is_new_stream {
            self.learn_subject(
                stamp.run,
                stamp.publisher,
                stamp.stream,
                &String::from_utf8_lossy(message.subject),
            );
        }
        record_delivery(recorder, stamp, received_ns);
        recorder
            .lateness
            .record(stamp.sent_ns.wrapping_sub(stamp.intended_ns).cast_signed());
        seen
    }

    fn learn_subject(&mut self, run: RunId, publisher: u16, stream: u8, subject: &str) {
        const MAX_SUBJECTS: usize = 4096;
        if self.subjects.len() < MAX_SUBJECTS && self.subject_of(run, publisher, stream).is_none() {
            self.subjects.push(StreamSubject {
                run,
                publisher,
                stream,
                subject: subject.to_owned(),
            });
        }
    }

    /// A message whose stamp is not at its fixed place, if it has one at all.
    fn account_slowly(&mut self, message: &Msg<'_>, recorder: &mut Recorder) -> Seen {
        match stamp::read(message.payload) {
            Origin::Fixed(stamp) | Origin::Parsed(stamp) => {
                self.counts.n_parsed += 1;
                return self.account(&stamp, message, recorder);
            }
            Origin::TimestampOnly { intended_ms } => {
                self.counts.n_timestamp_only += 1;
                let intended_ns = intended_ms.saturating_mul(1_000_000);
                let response_ns = self.received_ns.cast_signed().saturating_sub(intended_ns);
                recorder.response.record(response_ns);
                return Seen {
                    response_ns: Some(response_ns),
                    ..Seen::default()
                };
            }
            Origin::None => self.counts.n_unstamped += 1,
            Origin::Undecodable => self.counts.n_undecodable += 1,
        }
        Seen::default()
    }

    fn end_of_run(&mut self, payload: &[u8]) {
        let Some(end) = EndOfRun::from_json(payload) else {
            return;
        };
        let is_from_zero = end.started_ns > self.subscribed_ns;
        for stream in &end.streams {
            self.learn_subject(end.run(), end.publisher, stream.stream, &stream.subject);
            for (idx, pattern) in Arc::clone(&self.shared).patterns.iter().enumerate() {
                if !pattern.matches(&stream.subject) {
                    continue;
                }
                if let Some(account_idx) = self.account_idx(end.run(), idx as u64 + 1) {
                    let deliveries = &mut self.accounts[account_idx].deliveries;
                    if is_from_zero {
                        deliveries.cover_from_zero(end.publisher, stream.stream);
                    }
                    deliveries.announce(end.publisher, stream.stream, stream.n_sent);
                    let ranges = stream.in_doubt.iter().map(|(from, to)| SeqRange {
                        publisher: end.publisher,
                        stream: stream.stream,
                        from: *from,
                        to: *to,
                    });
                    self.accounts[account_idx].learn_doubts(ranges);
                }
            }
        }
    }

    /// Takes one of the messages that `--count` allows; `false` when they are used up.
    fn take_one(&mut self) -> bool {
        let Some(n_left) = &self.shared.n_left else {
            return true;
        };
        // All connections of a run are on one thread, so that nothing comes between load and store.
        let left = n_left.load(Ordering::Relaxed);
        n_left.store(left.saturating_sub(1), Ordering::Relaxed);
        self.is_done = left <= 1;
        left > 0
    }

    fn show(&mut self, message: &Msg<'_>, seen: &Seen) {
        let Some(lines) = &self.shared.lines else {
            return;
        };
        let line = MessageLine {
            subject: message.subject,
            payload: message.payload,
            reply: message.reply,
            received_ns: self.received_ns,
            response_ns: seen.response_ns,
            service_ns: seen.service_ns,
            seq: seen.seq,
            n_missing: seen.n_missing,
            note: seen.note,
        };
        write_line(&mut self.line_bytes, lines.format, &line);
    }
}

impl Sink for Observer {
    fn begin_read(&mut self, received: MonoNanos) {
        self.received_ns = self.shared.clock.wall_at(received).0;
    }

    fn on_message(&mut self, message: &Msg<'_>, recorder: &mut Recorder) {
        // What comes after the last message that `--count` allows is left aside, and so is what the publisher says
        // of it: otherwise the rest would look lost.
        if self.is_done {
            return;
        }
        if message.sid > self.shared.patterns.len() as u64 {
            self.end_of_run(message.payload);
            return;
        }
        if !self.take_one() {
            return;
        }
        self.n_received += 1;
        self.n_new += 1;
        let seen = match Stamp::read_fixed(message.payload) {
            Some(stamp) => {
                self.counts.n_fixed += 1;
                self.account(&stamp, message, recorder)
            }
            None => self.account_slowly(message, recorder),
        };
        self.show(message, &seen);
    }

    fn end_read(&mut self) -> bool {
        if self.n_new > 0 {
            self.shared
                .live
                .n_received
                .fetch_add(std::mem::take(&mut self.n_new), Ordering::Relaxed);
        }
        if !self.line_bytes.is_empty()
            && let Some(lines) = &self.shared.lines
        {
            let mut out = lines.out.lock().unwrap_or_else(PoisonError::into_inner);
            let written = out.write_all(&self.line_bytes).and_then(|()| out.flush());
            // A closed pipe is a normal end: whoever read has seen enough.
            self.is_done |= written.is_err();
            self.line_bytes.clear();
        }
        if self.is_done {
            self.shared.done.cancel();
        }
        !self.is_done
    }

    fn announce(&mut self, _sent: &[StreamSent]) {}

    fn connection_lost(&mut self) {
        self.n_outages += 1;
        for account in &mut self.accounts {
            account.losses.connection_lost(&account.deliveries);
        }
    }

    fn lag_ns(&self) -> Option<i64> {
        lag_ns(self.received_ns, self.sent_ns)
    }
}
