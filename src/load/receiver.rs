//! Receiving threads: each runs many connections on a single-threaded runtime and owns what they record into.
//!
//! No lock, no allocation, no JSON parse and no clock read per message: a connection's [`Sink`] is told the
//! moment of each socket read once, and then every message of that read. Interval snapshots are swapped out
//! once a second by a task of the same thread, so that nobody waits for anybody.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinSet, LocalSet};

use crate::clock::MonoNanos;
use crate::load::connecting::{Ready, ReceiverPlan, StartError, error_chain, open_all};
use crate::load::publisher::StreamSent;
use crate::measure::recorder::Recorder;
use crate::net::session::{Session, SessionError};
use crate::protocol::{Msg, ServerOp, encode};

/// How often interval snapshots are swapped out.
const SNAPSHOT_PERIOD: Duration = Duration::from_secs(1);
/// How long the answers to pings may wait for a server that does not read. A server itself gives up on a client that
/// does not read after 10 s (nats-server's `write_deadline`).
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// How long draining may take: a broker that is there answers within a round trip.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);

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
    /// Connections that have ended by themselves, without having everything.
    pub n_ended: AtomicU64,
}

impl LiveReceived {
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
    /// Why it ended before it was told to.
    pub failure: Option<String>,
    /// What the server complained about, the first few.
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
    let _ = ready.send(Ok(facts));

    let recorder = Rc::new(RefCell::new(Recorder::new()));
    let mut tasks = JoinSet::new();
    for (offset, session) in sessions.into_iter().enumerate() {
        let idx = plan.first_idx + offset;
        let connection = Connection {
            session,
            sink: make_sink(idx),
            recorder: Rc::clone(&recorder),
            n_subscriptions: plan.subscriptions.len() as u64,
        };
        tasks.spawn_local(connection.receive(
            idx,
            channels.control.clone(),
            Arc::clone(&channels.live),
        ));
    }
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

/// One subscribed connection. All connections of a thread share its recorder, which each borrows for the length
/// of one read's messages.
struct Connection<S> {
    session: Session,
    sink: S,
    recorder: Rc<RefCell<Recorder>>,
    n_subscriptions: u64,
}

impl<S: Sink> Connection<S> {
    async fn receive(
        mut self,
        idx: usize,
        mut control: watch::Receiver<Control>,
        live: Arc<LiveReceived>,
    ) -> ConnectionReport<S> {
        let mut server_errors = Vec::new();
        let failure = loop {
            match self
                .receive_until_told(&mut control, &mut server_errors)
                .await
            {
                Ok(Told::Control) => {}
                Ok(Told::SinkIsDone) => break None,
                Err(error) => {
                    if !self.sink.is_complete() {
                        live.n_ended.fetch_add(1, Ordering::Relaxed);
                    }
                    break Some(error_chain(&error));
                }
            }
            let told = control.borrow_and_update().clone();
            match told {
                Control::Run => {}
                Control::Announce(sent) => {
                    self.sink.announce(&sent);
                    if !self.sink.end_read() {
                        break None;
                    }
                }
                Control::Drain => {
                    // The run is over: what cannot be had any more is not missed.
                    let drain = self.drain(&mut server_errors);
                    let _ = tokio::time::timeout(DRAIN_LIMIT, drain).await;
                    break None;
                }
                Control::Stop => break None,
            }
        };
        if failure.is_none() {
            // A goodbye that the peer does not answer must not hold up the report.
            let _ = tokio::time::timeout(Duration::from_millis(200), self.session.close()).await;
        }
        ConnectionReport {
            idx,
            sink: self.sink,
            failure,
            server_errors,
        }
    }

    async fn receive_until_told(
        &mut self,
        control: &mut watch::Receiver<Control>,
        server_errors: &mut Vec<String>,
    ) -> Result<Told, SessionError> {
        let mut stopping = control.clone();
        // The future is made once for many reads: making it takes a lock.
        let mut changed = std::pin::pin!(control.changed());
        loop {
            // Both are cancel-safe: see `Session::read`, and `watch::Receiver::changed` loses no value.
            tokio::select! {
                read = self.session.read() => read?,
                told = &mut changed => {
                    // A dropped sender means that the orchestrator is gone.
                    return Ok(if told.is_ok() { Told::Control } else { Told::SinkIsDone });
                }
            }
            let HandedOver { n_pings, .. } = self.hand_over(server_errors)?;
            if n_pings > 0 && !self.answer(n_pings, &mut stopping).await? {
                return Ok(Told::Control);
            }
            if !self.sink.end_read() {
                return Ok(Told::SinkIsDone);
            }
        }
    }

    /// Answers pings; `false` if the run was stopped meanwhile. A server that pings and does not read the answers must
    /// not hold up the end of the run.
    async fn answer(
        &mut self,
        n_pings: usize,
        stopping: &mut watch::Receiver<Control>,
    ) -> Result<bool, SessionError> {
        for _ in 0..n_pings {
            encode::pong(self.session.out());
        }
        let stopped =
            stopping.wait_for(|control| matches!(control, Control::Drain | Control::Stop));
        // Writing is not cancel-safe, but what stops it also ends the connection.
        tokio::select! {
            biased;
            answered = tokio::time::timeout(ANSWER_LIMIT, self.session.flush()) => match answered {
                Ok(flushed) => flushed.map(|()| true),
                Err(_) => Err(SessionError::Io(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the server pings and does not read the answers",
                ))),
            },
            _ = stopped => Ok(false),
        }
    }

    /// Ends the subscriptions and takes everything up to the answer to a ping: all that the broker had sent before.
    async fn drain(&mut self, server_errors: &mut Vec<String>) -> Result<(), SessionError> {
        for sid in 1..=self.n_subscriptions {
            encode::unsub(self.session.out(), sid, None);
        }
        encode::ping(self.session.out());
        self.session.flush().await?;
        loop {
            self.session.read().await?;
            let handed_over = self.hand_over(server_errors)?;
            if !self.sink.end_read() || handed_over.is_ping_answered {
                return Ok(());
            }
        }
    }

    /// Hands every whole operation to the sink.
    fn hand_over(&mut self, server_errors: &mut Vec<String>) -> Result<HandedOver, SessionError> {
        const MAX_KEPT_ERRORS: usize = 10;
        let mut n_pings = 0;
        let mut is_ping_answered = false;
        let mut recorder = self.recorder.borrow_mut();
        self.sink.begin_read(self.session.received_at());
        loop {
            // Nearly every operation is one of these; to find it among all others would cost a tenth of its time.
            while let Some(message) = self.session.next_plain_message() {
                self.sink.on_message(&message, &mut recorder);
            }
            let Some(op) = self.session.next_op()? else {
                break;
            };
            match op {
                ServerOp::Msg(message) => self.sink.on_message(&message, &mut recorder),
                ServerOp::Ping => n_pings += 1,
                ServerOp::Pong => is_ping_answered = true,
                ServerOp::Err(text) if server_errors.len() < MAX_KEPT_ERRORS => {
                    server_errors.push(text.to_owned());
                }
                _ => {}
            }
        }
        Ok(HandedOver {
            n_pings,
            is_ping_answered,
        })
    }
}

/// What there was between the messages of a read.
struct HandedOver {
    /// Pings that want an answer.
    n_pings: usize,
    /// Whether a ping of ours was answered.
    is_ping_answered: bool,
}

enum Told {
    Control,
    SinkIsDone,
}
