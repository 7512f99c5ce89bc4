//! Receiving threads: each runs many connections on a single-threaded runtime and owns what they record into.
//!
//! No lock, no allocation, no JSON parse and no clock read per message: a connection's [`Sink`] is told the
//! moment of each socket read once, and then every message of that read. Interval snapshots are swapped out
//! once a second by a task of the same thread, so that nobody waits for anybody.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinSet, LocalSet};

use crate::clock::MonoNanos;
use crate::load::connecting::{Ready, ReceiverPlan, StartError, open_all};
use crate::load::status::{OutageId, StatusBoard};
use crate::load::streams::StreamSent;
use crate::load::subscriber::Subscriber;
use crate::measure::deliveries::Arrival;
use crate::measure::recorder::Recorder;
use crate::protocol::Msg;

/// Threads of one receiving thread that wait for the resolver of the system.
const MAX_RESOLVING_THREADS: usize = 8;
/// How often interval snapshots are swapped out.
const SNAPSHOT_PERIOD: Duration = Duration::from_secs(1);
/// Where a connection's messages go.
pub trait Sink: 'static {
    /// A socket read has brought bytes at this moment.
    fn begin_read(&mut self, received: MonoNanos);
    /// One message of that read; `recorder` is the one of the thread.
    fn on_message(&mut self, message: &Msg<'_>, recorder: &mut Recorder);
    /// Everything of that read has been handed over. `false` ends the connection.
    fn end_read(&mut self) -> bool;
    /// So much was sent: the end of every stream is now known.
    fn announce(&mut self, sent: &[StreamSent]);
    /// Whether everything that was announced has arrived: such a connection has already been counted as complete.
    fn is_complete(&self) -> bool {
        false
    }
    /// The connection was lost: what comes next comes over another one.
    fn connection_lost(&mut self);
    /// How old the last stamped message was when it was read, in nanoseconds.
    fn lag_ns(&self) -> Option<i64>;
}

/// What a receiving thread is told.
#[derive(Debug, Clone)]
pub enum Control {
    /// Go on.
    Run,
    /// So much was sent.
    Announce(Arc<Vec<StreamSent>>),
    /// Take what the broker had already sent, then close the connections and report.
    Drain,
    /// Close the connections and report.
    Stop,
}

/// Counters that anyone may read while the threads run; shared by all threads.
#[derive(Debug, Default)]
pub struct LiveReceived {
    /// Measured messages, duplicates included.
    pub n_received: AtomicU64,
    /// Messages of the warm-up.
    pub n_warmup: AtomicU64,
    /// Connections that have everything that was announced.
    pub n_complete: AtomicU64,
    /// Connections that have ended by themselves, for good and without having everything.
    pub n_ended: AtomicU64,
    /// Messages found missing, less those that came after all.
    pub n_missing: AtomicI64,
    /// Further copies.
    pub n_duplicated: AtomicU64,
    /// Messages that came after a later one.
    pub n_reordered: AtomicU64,
}

impl LiveReceived {
    /// A message that was not simply the next one.
    #[cold]
    pub(crate) fn note(&self, arrival: Arrival) {
        match arrival {
            Arrival::AfterGap { n_missing } => {
                let n_missing = i64::try_from(n_missing).unwrap_or(i64::MAX);
                self.n_missing.fetch_add(n_missing, Ordering::Relaxed);
            }
            Arrival::Reordered => {
                self.n_missing.fetch_sub(1, Ordering::Relaxed);
                self.n_reordered.fetch_add(1, Ordering::Relaxed);
            }
            Arrival::Duplicate => _ = self.n_duplicated.fetch_add(1, Ordering::Relaxed),
            Arrival::InOrder | Arrival::LateUnknown | Arrival::Untracked => {}
        }
    }

    /// Reads one of the counters.
    pub fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}

/// How a connection ended.
#[derive(Debug)]
pub struct ConnectionReport<S> {
    /// Its number.
    pub idx: usize,
    /// Its sink, with all it has recorded.
    pub sink: S,
    /// Its outages on the board, the first few, in the order of those that the sink was told of.
    pub outages: Vec<OutageId>,
    /// Why it ended before it was told to, for good.
    pub failure: Option<String>,
    /// What the server complained about without ending the connection, the first few.
    pub server_errors: Vec<String>,
}

/// The ends of a receiving thread that the orchestrator holds.
#[derive(Debug)]
pub struct Receiver<R> {
    ready: Option<oneshot::Receiver<Result<Vec<Ready>, StartError>>>,
    thread: std::thread::JoinHandle<R>,
}

/// What a receiving thread shares with the rest.
#[derive(Clone)]
pub struct Channels {
    /// Orders.
    pub control: watch::Receiver<Control>,
    /// Interval snapshots.
    pub snapshots: mpsc::Sender<Recorder>,
    /// Counters.
    pub live: Arc<LiveReceived>,
    /// Where connections say what becomes of them.
    pub board: StatusBoard,
}

impl<S: Sink + Send> Receiver<Vec<ConnectionReport<S>>> {
    /// Starts a thread that connects, subscribes, and receives until it is told to stop.
    ///
    /// `make_sink` makes the sink of each connection; all sinks of a thread share one recorder.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start<F>(
        plan: ReceiverPlan,
        channels: Channels,
        make_sink: F,
    ) -> Result<Self, StartError>
    where
        F: Fn(usize) -> S + Send + 'static,
    {
        let (ready_sender, ready) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            // They resolve host names. A thousand connections that come back at once must not take a thread each.
            .max_blocking_threads(MAX_RESOLVING_THREADS)
            .build()
            .map_err(StartError::Thread)?;
        let thread = std::thread::Builder::new()
            .name(format!("receiver-{}", plan.first_idx))
            .spawn(move || {
                let local = LocalSet::new();
                local.block_on(
                    &runtime,
                    receive_all(plan, channels, make_sink, ready_sender),
                )
            })
            .map_err(StartError::Thread)?;
        Ok(Self {
            ready: Some(ready),
            thread,
        })
    }

    /// Waits until every connection of the thread has subscribed.
    ///
    /// # Errors
    /// The first connection that could not.
    pub async fn ready(&mut self) -> Result<Vec<Ready>, StartError> {
        match self.ready.take() {
            Some(ready) => ready.await.unwrap_or(Err(StartError::Died)),
            None => Ok(Vec::new()),
        }
    }

    /// Waits for the thread, which must have been told to stop. `None` if it panicked.
    pub fn join(self) -> Option<Vec<ConnectionReport<S>>> {
        self.thread.join().ok()
    }
}

async fn receive_all<S, F>(
    plan: ReceiverPlan,
    channels: Channels,
    make_sink: F,
    ready: oneshot::Sender<Result<Vec<Ready>, StartError>>,
) -> Vec<ConnectionReport<S>>
where
    S: Sink,
    F: Fn(usize) -> S,
{
    let opened = match open_all(&plan).await {
        Ok(opened) => opened,
        Err(error) => {
            // Nobody waits any more when another thread has failed first.
            let _ = ready.send(Err(error));
            return Vec::new();
        }
    };
    let (sessions, facts): (Vec<_>, Vec<_>) = opened.into_iter().unzip();

    let recorder = Rc::new(RefCell::new(Recorder::new()));
    let mut tasks = JoinSet::new();
    for ((offset, session), ready) in sessions.into_iter().enumerate().zip(&facts) {
        let idx = plan.first_idx + offset;
        let subscriber = Subscriber::new(
            idx,
            (session, &ready.facts),
            &plan,
            make_sink(idx),
            Rc::clone(&recorder),
            &channels.board,
        );
        let live = Arc::clone(&channels.live);
        tasks.spawn_local(subscriber.receive(channels.control.clone(), live));
    }
    let _ = ready.send(Ok(facts));
    let reports = collect(tasks, &recorder, &channels.snapshots).await;
    // The last interval; the channel may be full only while the orchestrator is busy taking from it.
    let last = recorder.borrow_mut().take();
    let _ = channels.snapshots.send(last).await;
    reports
}

/// Waits for the connections, and swaps out a snapshot every second.
async fn collect<S: Sink>(
    mut tasks: JoinSet<ConnectionReport<S>>,
    recorder: &RefCell<Recorder>,
    snapshots: &mpsc::Sender<Recorder>,
) -> Vec<ConnectionReport<S>> {
    let mut reports = Vec::new();
    let mut period = tokio::time::interval(SNAPSHOT_PERIOD);
    period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    period.tick().await;
    loop {
        // Both are cancel-safe.
        tokio::select! {
            ended = tasks.join_next() => match ended {
                Some(Ok(report)) => reports.push(report),
                // A panic in a connection must not pass as a quiet subscriber.
                Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
                None => return reports,
            },
            _ = period.tick() => {
                // A full channel only means that this interval becomes part of the next.
                if let Ok(permit) = snapshots.try_reserve() {
                    permit.send(recorder.borrow_mut().take());
                }
            }
        }
    }
}
