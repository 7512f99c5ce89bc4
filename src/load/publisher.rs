//! One publisher: a connection's writing side, its generator, and a sequence number for each subject.
//!
//! A publisher belongs to the pacing thread. It never blocks: when the kernel (or the queue of a client library) takes
//! no more, or the connection is down, the rounds that fall due meanwhile stay due, unrendered and with their intended
//! time. What was rendered, but not handed to the kernel when a connection broke, goes out first over the next one.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::clock::{Clock, MonoNanos, mono_now};
use crate::load::lateness::{Backpressure, Lateness};
use crate::load::ledger::Ledger;
use crate::load::link::Link;
use crate::load::plan::{RoundsPlan, WhileDown};
use crate::load::skipping::Skipping;
use crate::load::status::OutageId;
use crate::load::streams::{
    Stream, StreamSent, generator_of, is_first_of_round, stream_idxs, streams_of,
};
use crate::measure::deliveries::SeqRange;
use crate::measure::stamp::{Phase, RunId, Stamp, TailWriter};
use crate::net::direct::{Batch, DirectWriter};
use crate::protocol::encode;
use crate::rounds::{Generator, Route, SizeTooSmall};

mod connection;
mod leftover;

use connection::Final;
use leftover::Leftover;

/// Most bytes that go out in one write. Rendering this many takes some twenty microseconds, which bounds how far
/// the `sent` stamp of a message can lie before its write. A batch is this large only at full speed or behind a stall.
const MAX_BATCH_BYTES: usize = 64 << 10;
/// Most messages that are handed to a client library at once.
const MAX_BATCH_HANDOVERS: usize = 64;

/// A message handed to a client library.
#[derive(Debug)]
pub struct Handover {
    /// Subject.
    pub subject: String,
    /// Payload.
    pub payload: Vec<u8>,
}

/// Where a publisher's messages go.
#[derive(Debug)]
pub enum Outlet {
    /// Straight to the socket.
    Direct(Box<DirectWriter>),
    /// To the task that owns a client library.
    Client(mpsc::Sender<Vec<Handover>>),
}

/// How a publisher stamps: the same for all publishers of a run.
#[derive(Debug, Clone, Copy)]
pub struct Stamping {
    /// Which run.
    pub run: RunId,
    /// The clock that intended and sent times come from.
    pub clock: Clock,
}

/// When a round should have been sent.
#[derive(Debug, Clone, Copy)]
pub enum Intended {
    /// By the schedule.
    At(MonoNanos),
    /// There is no schedule: whenever it is sent.
    Now,
}

/// Rounds that a publisher is done with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Advance {
    /// Rendered and written.
    pub n_sent: u64,
    /// Left out, because they fell due while the connection was down.
    pub n_skipped: u64,
}

impl Advance {
    fn total(self) -> u64 {
        self.n_sent + self.n_skipped
    }
}

/// Whether there is a connection.
#[derive(Debug)]
enum State {
    Up,
    /// A write failed; what its reading side has to say is waited for.
    Broken,
    /// It is being connected again.
    Down,
    /// There will be none any more, for this reason.
    Dead(String),
}

/// One publisher; see the module documentation.
#[derive(Debug)]
pub struct Publisher {
    idx: u16,
    outlet: Outlet,
    state: State,
    link: Option<Arc<Link>>,
    while_down: WhileDown,
    batch: Batch,
    leftover: Leftover,
    generator: Generator,
    route: Route,
    is_stamped: bool,
    tail: TailWriter,
    streams: Vec<Stream>,
    ledger: Ledger,
    is_in_phase: bool,
    pressure: Backpressure,
    skipping: Skipping,
    /// The last outage, and whether the first message behind it is still to come.
    outage: Option<OutageId>,
    is_first_awaited: bool,
    last: Option<Final>,
    /// Messages that wait for the client library.
    handovers: Vec<Handover>,
}

impl Publisher {
    /// A publisher that writes to `outlet`.
    ///
    /// # Errors
    /// When the plan's size is smaller than the smallest round.
    pub fn new(idx: u16, outlet: Outlet, plan: &RoundsPlan) -> Result<Self, SizeTooSmall> {
        let streams = streams_of(&plan.prefix);
        Ok(Self {
            idx,
            outlet,
            state: State::Up,
            link: None,
            while_down: WhileDown::Send,
            batch: Batch::default(),
            leftover: Leftover::default(),
            generator: generator_of(plan, idx)?,
            route: plan.route,
            is_stamped: plan.is_stamped,
            tail: TailWriter::default(),
            ledger: Ledger::new(idx, streams.len()),
            streams,
            is_in_phase: false,
            pressure: Backpressure::default(),
            skipping: Skipping::default(),
            outage: None,
            is_first_awaited: false,
            last: None,
            handovers: Vec::new(),
        })
    }

    /// Where the reading side of this connection reports, and what to do while it is down. Without it, a connection that
    /// breaks is gone for good.
    #[must_use]
    pub fn linked(mut self, link: Arc<Link>, while_down: WhileDown) -> Self {
        self.link = Some(link);
        self.while_down = while_down;
        self
    }

    /// Whether there is, or may be again, a connection.
    pub fn is_alive(&self) -> bool {
        !matches!(self.state, State::Dead(_))
    }

    /// Whether there is a connection.
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Up)
    }

    /// Why there is none any more.
    pub fn failure(&self) -> Option<&str> {
        match &self.state {
            State::Dead(reason) => Some(reason),
            _ => None,
        }
    }

    /// Whether the kernel, or the client library, takes no more for now.
    pub fn is_blocked(&self) -> bool {
        self.is_up()
            && match &self.outlet {
                Outlet::Direct(writer) => writer.is_blocked(),
                Outlet::Client(_) => !self.handovers.is_empty(),
            }
    }

    /// Whether rendered messages still wait to be handed to a connection.
    pub fn has_leftover(&self) -> bool {
        !self.leftover.is_empty()
    }

    /// The socket, to wait until it takes more; a client library has none to wait for.
    pub fn blocked_fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.outlet {
            Outlet::Direct(writer) if self.is_blocked() => Some(writer.as_fd()),
            _ => None,
        }
    }

    /// A phase begins: sequence numbers start anew.
    pub fn begin_phase(&mut self) {
        self.is_in_phase = true;
        self.pressure = Backpressure::default();
        self.ledger.begin_phase();
        for stream in &mut self.streams {
            stream.n_sent = 0;
        }
        self.skipping.begin_phase(mono_now());
    }

    /// A phase ends. Returns how many of the rounds that were rendered have not been handed to a connection, and never
    /// will be.
    pub fn end_phase(&mut self) -> u64 {
        self.flush();
        self.is_in_phase = false;
        let leftover = std::mem::take(&mut self.leftover);
        for stream_idx in leftover.stream_idxs() {
            self.streams[stream_idx].n_sent -= 1;
        }
        let firsts = leftover
            .stream_idxs()
            .filter(|idx| is_first_of_round(*idx, self.route));
        firsts.count() as u64
    }

    /// Reads the news, writes what is pending and what the reading side wants written.
    pub fn flush(&mut self) {
        self.take_mail();
        if !self.is_up() {
            return;
        }
        match &mut self.outlet {
            Outlet::Direct(writer) if writer.is_blocked() || writer.has_control() => {
                if let Err(error) = writer.flush() {
                    self.write_failed(error);
                }
            }
            Outlet::Client(_) if !self.handovers.is_empty() => self.write(),
            _ => {}
        }
        if !self.is_up() {
            return;
        }
        let is_blocked = self.is_blocked();
        if let Some(link) = &self.link {
            link.note_blocked(is_blocked);
        }
        if is_blocked {
            return;
        }
        // What is left over counts as sent, so that a PING before it would vouch for what the broker has not seen.
        if !self.has_leftover() && self.link.as_ref().is_some_and(|link| link.is_ping_asked()) {
            self.append_ping(mono_now());
            self.write();
        }
        self.flush_final();
    }

    /// Sends rounds for the given intended times until there are no more, the batch limit makes it write, or the kernel
    /// takes no more.
    ///
    /// `intended` gives the due moment of the nth next round; `None` from it ends the call. Without a schedule the intended
    /// time of a round is its sent time.
    pub fn send_due(
        &mut self,
        phase: Phase,
        stamping: &Stamping,
        mut intended: impl FnMut(u64) -> Option<Intended>,
        lateness: &mut Lateness,
    ) -> Advance {
        let mut done = Advance::default();
        loop {
            self.flush();
            self.note_pressure();
            if !self.is_up() {
                self.skip_due(&mut intended, &mut done);
                return done;
            }
            if self.is_blocked() {
                return done;
            }
            let sent = mono_now();
            if self.has_leftover() {
                self.resend(sent);
                continue;
            }
            let before = done.total();
            while self.batch.len() < MAX_BATCH_BYTES && self.handovers.len() < MAX_BATCH_HANDOVERS {
                let Some(when) = intended(done.total()) else {
                    break;
                };
                let due = match when {
                    Intended::At(due) if self.skipping.skips(due) => {
                        done.n_skipped += 1;
                        continue;
                    }
                    Intended::At(due) => {
                        let late = i64::try_from(sent.since(due)).unwrap_or(i64::MAX);
                        lateness.record(late, self.pressure.held_back(due));
                        due
                    }
                    Intended::Now => sent,
                };
                self.render(phase, stamping, due, sent);
                done.n_sent += 1;
            }
            if done.total() == before {
                return done;
            }
            self.tell_skipped();
            if !self.batch.is_empty() || !self.handovers.is_empty() {
                self.write_behind_ping(sent);
            }
        }
    }

    /// While the connection is down, takes what falls due off the schedule, if it is to be skipped.
    fn skip_due(&mut self, intended: &mut impl FnMut(u64) -> Option<Intended>, done: &mut Advance) {
        while let Some(Intended::At(due)) = intended(done.total())
            && self.skipping.skips(due)
        {
            done.n_skipped += 1;
        }
        self.tell_skipped();
    }

    /// Puts down what the last outage has cost so far, when that is more than before.
    fn tell_skipped(&mut self) {
        if let Some(n_skipped) = self.skipping.news()
            && let (Some(link), Some(id)) = (&self.link, self.outage)
        {
            link.board().note_skipped(id, n_skipped);
        }
    }

    /// Reads the clock only when the connection has begun or ceased to take data.
    fn note_pressure(&mut self) {
        let is_held = self.is_blocked() || !self.is_up();
        match (is_held, self.pressure.is_blocked()) {
            (true, false) => self.pressure.blocked(mono_now()),
            (false, true) => self.pressure.freed(mono_now()),
            _ => {}
        }
    }

    fn render(&mut self, phase: Phase, stamping: &Stamping, due: MonoNanos, sent: MonoNanos) {
        let rendered = self.generator.next_round();
        let mut stamp = Stamp {
            phase,
            run: stamping.run,
            publisher: self.idx,
            stream: 0,
            seq: 0,
            intended_ns: stamping.clock.wall_at(due).0,
            sent_ns: stamping.clock.wall_at(sent).0,
        };
        for stream_idx in stream_idxs(rendered.game, self.route) {
            let stream = &mut self.streams[stream_idx];
            if self.is_stamped {
                stamp.stream = u8::try_from(stream_idx).unwrap_or(u8::MAX);
                stamp.seq = stream.n_sent;
                self.tail.write(&stamp, rendered.bytes);
            }
            stream.n_sent += 1;
            match &self.outlet {
                Outlet::Direct(_) => {
                    encode::append_publish(self.batch.out(), &stream.prefix, rendered.bytes);
                }
                Outlet::Client(_) => self.handovers.push(Handover {
                    subject: stream.subject.clone(),
                    payload: rendered.bytes.to_vec(),
                }),
            }
        }
    }

    /// Writes the batch, with a PING behind it when it is time for one.
    fn write_behind_ping(&mut self, sent: MonoNanos) {
        if let Some(link) = &self.link {
            if std::mem::take(&mut self.is_first_awaited)
                && let Some(id) = self.outage
            {
                link.board().first_message(id, sent);
            }
            self.ledger.absorb(link.n_pongs());
            if self.ledger.wants_ping(sent) && matches!(self.outlet, Outlet::Direct(_)) {
                self.append_ping(sent);
            }
        }
        self.write();
    }

    fn append_ping(&mut self, now: MonoNanos) -> u64 {
        encode::ping(self.batch.out());
        let n_sent = self.n_sent();
        self.ledger.ping_sent(now, n_sent)
    }

    fn write(&mut self) {
        let result = match &mut self.outlet {
            Outlet::Direct(writer) => writer.send(&mut self.batch).map(|_| ()),
            // Never waits: a library that has stopped taking would stop the schedule of all publishers.
            Outlet::Client(sender) => match sender.try_send(std::mem::take(&mut self.handovers)) {
                Ok(()) => Ok(()),
                Err(TrySendError::Full(handovers)) => {
                    self.handovers = handovers;
                    Ok(())
                }
                Err(TrySendError::Closed(_)) => {
                    self.state = State::Dead("the client library has stopped".to_owned());
                    return;
                }
            },
        };
        if let Err(error) = result {
            self.write_failed(error);
        }
    }

    fn n_sent(&self) -> Vec<u64> {
        self.streams.iter().map(|stream| stream.n_sent).collect()
    }

    /// What has been sent in this phase, by stream.
    pub fn streams_sent(&self) -> impl Iterator<Item = StreamSent> + '_ {
        let sent = (0..).zip(&self.streams);
        let sent = sent.filter(|(_, stream)| stream.n_sent > 0);
        sent.map(|(stream_no, stream)| StreamSent {
            publisher: self.idx,
            stream: stream_no,
            subject: stream.subject.clone(),
            n_sent: stream.n_sent,
        })
    }

    /// What is in doubt because connections broke in this phase.
    pub fn in_doubt(&self) -> &[SeqRange] {
        self.ledger.in_doubt()
    }

    /// What the broker has not acknowledged by now: what is in doubt for good, when nothing more is waited for.
    pub fn unsettled(&mut self) -> Vec<SeqRange> {
        self.flush();
        let n_sent = self.n_sent();
        let Some(link) = &self.link else {
            return Vec::new();
        };
        if let Outlet::Client(_) = self.outlet {
            // A library does not say what it had sent when it lost its connection.
            let is_lost = link.was_lost_by_library();
            let all = Ledger::new(self.idx, n_sent.len());
            return all.unacknowledged(&n_sent).filter(|_| is_lost).collect();
        }
        self.ledger.absorb(link.n_pongs());
        let open = self.ledger.unacknowledged(&n_sent);
        self.ledger.in_doubt().iter().copied().chain(open).collect()
    }
}
