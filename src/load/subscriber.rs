//! One subscribed connection: reads, answers pings, hands messages to its sink, and comes back when it is lost.
//!
//! The sink stays when the connection changes, so that what was missed meanwhile shows as missing numbers. All connections
//! of a thread share its recorder, which each borrows for the length of one read's messages.

use std::cell::RefCell;
use std::io;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::mono_now;
use crate::load::cause::{Circumstances, cause_of};
use crate::load::connecting::{ReceiverPlan, Subscription, subscribe_again};
use crate::load::liveness::{Liveness, Look};
use crate::load::receiver::{ConnectionReport, Control, LiveReceived, Sink};
use crate::load::reconnecting::{Redialed, Redialer};
use crate::load::status::{OutageId, StatusBoard, Who};
use crate::measure::recorder::Recorder;
use crate::net::dial::ConnectionFacts;
use crate::net::session::{Session, SessionError};
use crate::protocol::{ServerOp, encode};
use crate::results::outages::{Role, Status};

/// How long what we say may wait for a server that does not read. A server itself gives up on a client that
/// does not read after 10 s (nats-server's `write_deadline`).
const WRITE_LIMIT: Duration = Duration::from_secs(10);
/// How long draining may take: a broker that is there answers within a round trip.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);
/// Complaints of the server that are kept.
const MAX_KEPT_ERRORS: usize = 10;
/// Outages that are kept of one connection.
const MAX_KEPT_OUTAGES: usize = 256;
/// Who reads nothing looks this often whether the connection still stands.
const HANG_UP_PERIOD: Duration = Duration::from_millis(100);

/// One subscribed connection; see the module documentation.
pub(crate) struct Subscriber<S> {
    session: Session,
    sink: S,
    recorder: Rc<RefCell<Recorder>>,
    subscriptions: Arc<[Subscription]>,
    redialer: Redialer,
    liveness: Liveness,
    stall: Option<u64>,
    server_errors: Vec<String>,
    /// Said in the last read that brought anything.
    last_complaint: Option<String>,
    outages: Vec<OutageId>,
    /// The outage after which no message has come yet.
    awaits_first: Option<OutageId>,
}

/// What there was between the messages of a read.
struct HandedOver {
    /// Pings that want an answer.
    n_pings: usize,
    /// Whether a ping of ours was answered.
    is_ping_answered: bool,
}

/// Why reading was left.
enum Told {
    Control,
    SinkIsDone,
}

impl<S: Sink> Subscriber<S> {
    /// Takes over a connection that has subscribed.
    pub(crate) fn new(
        idx: usize,
        (session, facts): (Session, &ConnectionFacts),
        plan: &ReceiverPlan,
        sink: S,
        recorder: Rc<RefCell<Recorder>>,
        board: &StatusBoard,
    ) -> Self {
        let who = Who {
            role: Role::Subscriber,
            idx,
        };
        Self {
            session,
            sink,
            recorder,
            subscriptions: Arc::clone(&plan.subscriptions),
            redialer: Redialer::new(who, board.clone(), Arc::clone(&plan.endpoint), facts),
            liveness: Liveness::new(plan.endpoint.reconnect.ping_interval),
            stall: plan.stall,
            server_errors: Vec::new(),
            last_complaint: None,
            outages: Vec::new(),
            awaits_first: None,
        }
    }

    /// Receives until it is told to end, or the connection is lost for good.
    pub(crate) async fn receive(
        mut self,
        mut control: watch::Receiver<Control>,
        live: Arc<LiveReceived>,
    ) -> ConnectionReport<S> {
        let mut is_up = true;
        let failure = loop {
            match self.receive_until_told(&mut control).await {
                Ok(Told::Control) => {}
                Ok(Told::SinkIsDone) => break None,
                Err(error) => match self.come_back(&error, &mut control).await {
                    Ok(ControlFlow::Continue(())) => continue,
                    Ok(ControlFlow::Break(())) => {
                        is_up = false;
                        break None;
                    }
                    Err(reason) => {
                        if !self.sink.is_complete() {
                            live.n_ended.fetch_add(1, Ordering::Relaxed);
                        }
                        break Some(reason);
                    }
                },
            }
            let told = control.borrow_and_update().clone();
            match told {
                Control::Run => {}
                Control::Announce(sent) => {
                    // Nothing more is sent: what is under way is what is still waited for.
                    self.note(Status::Draining);
                    self.sink.announce(&sent);
                    if !self.sink.end_read() {
                        break None;
                    }
                }
                Control::Drain => {
                    self.note(Status::Draining);
                    // The run is over: what cannot be had any more is not missed.
                    let drain = self.drain();
                    let _ = tokio::time::timeout(DRAIN_LIMIT, drain).await;
                    break None;
                }
                Control::Stop => break None,
            }
        };
        if failure.is_none() && is_up {
            self.note(Status::Closed { reason: None });
            // A goodbye that the peer does not answer must not hold up the report.
            let _ = tokio::time::timeout(Duration::from_millis(200), self.session.close()).await;
        }
        ConnectionReport {
            idx: self.redialer.who().idx,
            sink: self.sink,
            outages: self.outages,
            failure,
            server_errors: self.server_errors,
        }
    }

    fn note(&self, status: Status) {
        self.redialer.board().note(self.redialer.who(), status);
    }

    /// Connects and subscribes again. Breaks when the run ends meanwhile.
    ///
    /// # Errors
    /// Why it is not tried any longer.
    async fn come_back(
        &mut self,
        error: &SessionError,
        control: &mut watch::Receiver<Control>,
    ) -> Result<ControlFlow<()>, String> {
        let (id, cause) = self.declare_lost(error);
        loop {
            match self.redial(id, control).await {
                Ok(ControlFlow::Continue(redialed)) => {
                    let Redialed {
                        session,
                        facts,
                        n_attempts,
                    } = redialed;
                    self.session = session;
                    self.last_complaint = None;
                    self.liveness.reset();
                    subscribe_again(&mut self.session, &self.subscriptions);
                    let flushed = tokio::time::timeout(WRITE_LIMIT, self.session.flush()).await;
                    if let Ok(Ok(())) = flushed {
                        self.redialer.note_back(id, &facts, n_attempts);
                        self.awaits_first = Some(id);
                        return Ok(ControlFlow::Continue(()));
                    }
                    // Lost again before it was of any use: the outage goes on.
                }
                Ok(ControlFlow::Break(())) => return Ok(ControlFlow::Break(())),
                Err(reason) if self.redialer.is_reconnecting_wanted() => {
                    return Err(format!("{cause}; {reason}"));
                }
                Err(_) => return Err(cause),
            }
        }
    }

    /// Says so on the board; returns the cause in words, too.
    fn declare_lost(&mut self, error: &SessionError) -> (OutageId, String) {
        let circumstances = Circumstances {
            last_complaint: self.last_complaint.as_deref(),
            lag_ns: self.sink.lag_ns(),
            is_stalled: self.stall.is_some(),
        };
        let cause = cause_of(error, circumstances);
        // What ended the connection is said as the cause of that.
        if self.server_errors.last() == self.last_complaint.as_ref() {
            self.server_errors.pop();
        }
        let text = cause.text.clone();
        let board = self.redialer.board();
        let id = board.disconnected(self.redialer.who(), cause, mono_now());
        if self.outages.len() < MAX_KEPT_OUTAGES {
            self.outages.push(id);
            self.sink.connection_lost();
        }
        self.awaits_first = None;
        (id, text)
    }

    /// Tries to connect, and meanwhile does what the sink is told. Breaks when the run ends.
    async fn redial(
        &mut self,
        id: OutageId,
        control: &mut watch::Receiver<Control>,
    ) -> Result<ControlFlow<(), Redialed>, String> {
        let mut redialing = std::pin::pin!(self.redialer.redial(id));
        loop {
            // Both are cancel-safe: `redialing` is only borrowed.
            tokio::select! {
                redialed = &mut redialing => {
                    return redialed.map(ControlFlow::Continue).map_err(|gave_up| gave_up.0);
                }
                told = control.changed() => {
                    if told.is_err() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
            }
            let told = control.borrow_and_update().clone();
            match told {
                Control::Run => {}
                Control::Announce(sent) => {
                    self.sink.announce(&sent);
                    if !self.sink.end_read() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Control::Drain | Control::Stop => return Ok(ControlFlow::Break(())),
            }
        }
    }

    async fn receive_until_told(
        &mut self,
        control: &mut watch::Receiver<Control>,
    ) -> Result<Told, SessionError> {
        if let Some(bytes_per_s) = self.stall {
            return self.stall_until_told(bytes_per_s, control).await;
        }
        let mut stopping = control.clone();
        // The future is made once for many reads: making it takes a lock.
        let mut changed = std::pin::pin!(control.changed());
        loop {
            // All are cancel-safe: see `Session::read`, and `watch::Receiver::changed` loses no value.
            tokio::select! {
                read = self.session.read() => read?,
                told = &mut changed => {
                    // A dropped sender means that the orchestrator is gone.
                    return Ok(if told.is_ok() { Told::Control } else { Told::SinkIsDone });
                }
                () = self.liveness.tick() => match self.liveness.look(self.session.received_at()) {
                    Look::Alive => continue,
                    Look::Ask => {
                        encode::ping(self.session.out());
                        if !self.write_out(&mut stopping).await? {
                            return Ok(Told::Control);
                        }
                        continue;
                    }
                    Look::Silent => self.liveness.judge(&mut self.session).await?,
                }
            }
            let HandedOver { n_pings, .. } = self.hand_over()?;
            if n_pings > 0 && !self.answer(n_pings, &mut stopping).await? {
                return Ok(Told::Control);
            }
            if !self.sink.end_read() {
                return Ok(Told::SinkIsDone);
            }
        }
    }

    /// Reads too slowly, or not at all, on purpose.
    async fn stall_until_told(
        &mut self,
        bytes_per_s: u64,
        control: &mut watch::Receiver<Control>,
    ) -> Result<Told, SessionError> {
        let mut stopping = control.clone();
        let mut look = tokio::time::interval(HANG_UP_PERIOD);
        // Bytes that may be read by now; below zero after a read that took more.
        let mut allowed = 0_i64;
        let per_look = i64::try_from(bytes_per_s.div_ceil(10)).unwrap_or(i64::MAX);
        loop {
            let is_read = allowed > 0;
            let n_before = self.session.n_read_bytes();
            // All are cancel-safe, as above.
            tokio::select! {
                read = self.session.read(), if is_read => {
                    read?;
                    let n_bytes = self.session.n_read_bytes() - n_before;
                    allowed = allowed.saturating_sub(i64::try_from(n_bytes).unwrap_or(i64::MAX));
                    let HandedOver { n_pings, .. } = self.hand_over()?;
                    if n_pings > 0 && !self.answer(n_pings, &mut stopping).await? {
                        return Ok(Told::Control);
                    }
                    if !self.sink.end_read() {
                        return Ok(Told::SinkIsDone);
                    }
                }
                told = control.changed() => {
                    return Ok(if told.is_ok() { Told::Control } else { Told::SinkIsDone });
                }
                _ = look.tick() => {
                    allowed = allowed.saturating_add(per_look).min(per_look);
                    // Who reads, if slowly, comes to the end by reading.
                    if bytes_per_s == 0 && let Some(error) = self.session.hang_up() {
                        return Err(error);
                    }
                }
                // The broker sends its end behind all that we do not read. Only a word of our own shows that it is gone.
                () = self.liveness.tick() => {
                    encode::ping(self.session.out());
                    if !self.write_out(&mut stopping).await? {
                        return Ok(Told::Control);
                    }
                }
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
        self.write_out(stopping).await
    }

    async fn write_out(
        &mut self,
        stopping: &mut watch::Receiver<Control>,
    ) -> Result<bool, SessionError> {
        let stopped =
            stopping.wait_for(|control| matches!(control, Control::Drain | Control::Stop));
        // Writing is not cancel-safe, but what stops it also ends the connection.
        tokio::select! {
            biased;
            answered = tokio::time::timeout(WRITE_LIMIT, self.session.flush()) => match answered {
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
    async fn drain(&mut self) -> Result<(), SessionError> {
        for (sid, _) in (1..).zip(self.subscriptions.iter()) {
            encode::unsub(self.session.out(), sid, None);
        }
        encode::ping(self.session.out());
        self.session.flush().await?;
        loop {
            self.session.read().await?;
            let handed_over = self.hand_over()?;
            if !self.sink.end_read() || handed_over.is_ping_answered {
                return Ok(());
            }
        }
    }

    /// Hands every whole operation to the sink.
    fn hand_over(&mut self) -> Result<HandedOver, SessionError> {
        let mut n_pings = 0;
        let mut is_ping_answered = false;
        let mut has_message = false;
        let mut recorder = self.recorder.borrow_mut();
        let received = self.session.received_at();
        self.sink.begin_read(received);
        self.last_complaint = None;
        loop {
            // Nearly every operation is one of these; to find it among all others would cost a tenth of its time.
            while let Some(message) = self.session.next_plain_message() {
                has_message = true;
                self.sink.on_message(&message, &mut recorder);
            }
            let Some(op) = self.session.next_op()? else {
                break;
            };
            match op {
                ServerOp::Msg(message) => {
                    has_message = true;
                    self.sink.on_message(&message, &mut recorder);
                }
                ServerOp::Ping => n_pings += 1,
                ServerOp::Pong => is_ping_answered = true,
                ServerOp::Info(json) => self.redialer.on_info(json),
                ServerOp::Err(text) => {
                    if self.server_errors.len() < MAX_KEPT_ERRORS {
                        self.server_errors.push(text.to_owned());
                    }
                    self.last_complaint = Some(text.to_owned());
                }
                ServerOp::Ok => {}
            }
        }
        if has_message && let Some(id) = self.awaits_first.take() {
            self.redialer.board().first_message(id, received);
        }
        Ok(HandedOver {
            n_pings,
            is_ping_answered,
        })
    }
}
