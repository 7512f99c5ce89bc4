//! A `sub` run: receive whatever matches, show it, and account for it wherever it carries a stamp.
//!
//! Messages of several runs may be mixed. Each subscription, each run, each publisher and each subject is
//! accounted for on its own. How much was sent is learned from the end-of-run messages; without one the tail
//! of a stream stays unknown.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, MonoNanos};
use crate::host::{HostDelta, HostSample};
use crate::load::accounting::{SinkCounts, record_delivery};
use crate::load::latency::{RunError, Watch, unless_stopped};
use crate::load::plan::SubscribePlan;
use crate::load::publisher::StreamSent;
use crate::load::receiver::{
    Channels, ConnectionReport, Control, LiveReceived, Ready, Receiver, ReceiverPlan, Sink,
    Subscription,
};
use crate::measure::deliveries::{Arrival, Deliveries, Start};
use crate::measure::end_of_run::{self, EndOfRun};
use crate::measure::recorder::Recorder;
use crate::measure::stamp::{self, Origin, Phase, RunId, Stamp};
use crate::protocol::Msg;
use crate::report::message::{LineFormat, MessageLine, write_line};
use crate::report::progress::Snapshot;
use crate::subject::Pattern;
use crate::units::NANOS_PER_SEC;

/// Most runs that one connection accounts for at the same time; messages of further ones are only counted.
const MAX_RUNS: usize = 64;
/// How often the orchestrator looks at counters.
const LOOK_PERIOD: Duration = Duration::from_millis(100);

/// Where message lines go: shared by the receiving threads, locked once for each read that brought messages.
#[derive(Clone)]
pub struct Lines {
    /// How a message is shown.
    pub format: LineFormat,
    /// Where to.
    pub out: Arc<Mutex<Box<dyn Write + Send>>>,
}

/// What a `sub` run has seen.
pub struct Observed {
    /// The process's clock.
    pub clock: Clock,
    /// Response, service and lateness of all stamped messages.
    pub recorder: Recorder,
    /// Each connection.
    pub connections: Vec<ConnectionReport<Observer>>,
    /// The first connection, as it was opened.
    pub first: Option<Ready>,
    /// When the run began.
    pub started: MonoNanos,
    /// Its length.
    pub total_ns: u64,
    /// The machine's time taken away.
    pub host: HostDelta,
    /// Wall clock against monotonic clock at the end.
    pub clock_drift_ns: i64,
    /// Whether it was stopped before its time.
    pub is_interrupted: bool,
}

/// Runs it. With `lines`, every message is shown.
///
/// # Errors
/// When it cannot begin.
pub async fn run(
    plan: &SubscribePlan,
    lines: Option<Lines>,
    mut watch: Watch<'_>,
) -> Result<Observed, RunError> {
    let clock = Clock::start();
    let started = clock.now();
    let host_before = HostSample::read();
    let (control, control_receiver) = watch::channel(Control::Run);
    let (snapshot_sender, mut snapshots) = mpsc::channel(16);
    let live = Arc::new(LiveReceived::default());
    let done = CancellationToken::new();
    let shared = Arc::new(ObserverShared {
        patterns: plan
            .patterns
            .iter()
            .filter_map(|pattern| pattern.parse().ok())
            .collect(),
        n_left: plan.count.map(AtomicU64::new),
        is_queue: plan.queue.is_some(),
        live: Arc::clone(&live),
        done: done.clone(),
        lines,
        clock,
    });
    let channels = Channels {
        control: control_receiver,
        snapshots: snapshot_sender,
        live: Arc::clone(&live),
    };
    // One thread: lines come out in the order in which messages arrived, and a queue group is accounted for as one.
    let mut thread = Receiver::start(receiver_plan(plan), channels, move |_| {
        Observer::new(Arc::clone(&shared))
    })?;
    let first = unless_stopped(&watch.stop, thread.ready())
        .await?
        .into_iter()
        .next();

    let mut recorder = Recorder::new();
    let stop = watch.stop.clone();
    let is_interrupted = tokio::select! {
        // All are cancel-safe; what the loop took from the channel is in `recorder`.
        () = stop.cancelled() => true,
        () = done.cancelled() => false,
        () = look(&live, started, plan, &mut snapshots, &mut recorder, &mut watch) => false,
    };
    let end = if done.is_cancelled() {
        Control::Stop
    } else {
        Control::Drain
    };
    // A receiver that is gone has ended and is counted.
    let _ = control.send(end);
    while let Some(interval) = snapshots.recv().await {
        (watch.on_interval)(&interval);
        recorder.merge(&interval);
    }
    let connections = thread.join().ok_or(RunError::Died("receiving"))?;
    Ok(Observed {
        clock,
        recorder,
        connections,
        first,
        started,
        total_ns: clock.now().since(started),
        host: HostSample::read().since(&host_before),
        clock_drift_ns: clock.drift_ns(),
        is_interrupted,
    })
}

fn receiver_plan(plan: &SubscribePlan) -> ReceiverPlan {
    let own = plan.patterns.iter().map(|pattern| Subscription {
        pattern: pattern.clone(),
        queue: plan.queue.clone(),
        is_optional: false,
    });
    // The control subject comes last, so that subscription `n` is pattern `n`. A client that may not read it still
    // works: the tails of its streams stay unknown.
    let end = Subscription {
        pattern: end_of_run::PATTERN.to_owned(),
        queue: None,
        is_optional: true,
    };
    ReceiverPlan {
        endpoint: plan.endpoint.clone(),
        first_idx: 0,
        n_connections: usize::from(plan.n_connections.get()),
        subscriptions: own.chain([end]).collect(),
    }
}

/// Keeps the live view going; ends with the duration, or when every connection has ended.
async fn look(
    live: &LiveReceived,
    started: MonoNanos,
    plan: &SubscribePlan,
    snapshots: &mut mpsc::Receiver<Recorder>,
    recorder: &mut Recorder,
    watch: &mut Watch<'_>,
) {
    let mut look = tokio::time::interval(LOOK_PERIOD);
    let (mut p50_ns, mut p99_ns) = (None, None);
    loop {
        look.tick().await;
        while let Ok(interval) = snapshots.try_recv() {
            if !interval.response.is_empty() {
                (p50_ns, p99_ns) = (
                    interval.response.percentile_ns(0.5),
                    interval.response.percentile_ns(0.99),
                );
                (watch.on_interval)(&interval);
            }
            recorder.merge(&interval);
        }
        let elapsed_ns = crate::clock::mono_now().since(started);
        let secs = elapsed_ns as f64 / NANOS_PER_SEC as f64;
        let n_received = LiveReceived::get(&live.n_received);
        (watch.on_progress)(&Snapshot {
            elapsed_ns,
            phase: "receiving".to_owned(),
            sent: 0,
            expected: None,
            received: n_received,
            lost: None,
            rate_per_s: if secs > 0.0 {
                n_received as f64 / secs
            } else {
                0.0
            },
            p50_ns,
            p99_ns,
            fraction: plan
                .duration
                .map(|duration| (secs / duration.as_secs_f64()).min(1.0)),
        });
        let is_over = plan
            .duration
            .is_some_and(|duration| u128::from(elapsed_ns) >= duration.as_nanos());
        if is_over || LiveReceived::get(&live.n_ended) >= u64::from(plan.n_connections.get()) {
            return;
        }
    }
}

/// What the connections of a run share.
struct ObserverShared {
    patterns: Vec<Pattern>,
    n_left: Option<AtomicU64>,
    is_queue: bool,
    live: Arc<LiveReceived>,
    done: CancellationToken,
    lines: Option<Lines>,
    clock: Clock,
}

/// The deliveries of one run on one subscription.
struct Account {
    run: RunId,
    sid: u64,
    deliveries: Deliveries,
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
    fn new(shared: Arc<ObserverShared>) -> Self {
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

    /// The deliveries of every run and subscription.
    pub fn accounts(&self) -> impl Iterator<Item = (RunId, &Deliveries)> {
        self.accounts
            .iter()
            .map(|account| (account.run, &account.deliveries))
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
}
