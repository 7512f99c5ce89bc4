//! One publisher: a connection's writing side, its generator, and a sequence number for each subject.
//!
//! A publisher belongs to the pacing thread. It never blocks: when the kernel (or the queue of a client library) takes
//! no more, the rounds that fall due meanwhile stay due, unrendered and with their intended time.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::clock::{Clock, MonoNanos, mono_now};
use crate::load::lateness::{Backpressure, Lateness};
use crate::load::plan::RoundsPlan;
use crate::measure::stamp::{self, Phase, RunId, Stamp};
use crate::net::direct::{Batch, DirectWriter, Flushed};
use crate::protocol::encode;
use crate::rounds::{Game, Generator, GeneratorConfig, Route, SizeTooSmall, subject_for};

/// Most bytes that go out in one write. Rendering this many takes some twenty microseconds, which bounds how far
/// the `sent` stamp of a message can lie before its write. A batch is this large only at full speed or behind a stall.
const MAX_BATCH_BYTES: usize = 64 << 10;
/// Most messages that are handed to a client library at once.
const MAX_BATCH_HANDOVERS: usize = 64;

/// One subject that a publisher sends to. The index in the list of streams is the stream number of the stamp.
#[derive(Debug)]
struct Stream {
    subject: String,
    /// `PUB subject `, rendered once.
    prefix: Vec<u8>,
    n_sent: u64,
}

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
    Direct(DirectWriter),
    /// To the task that owns a client library.
    Client(mpsc::Sender<Vec<Handover>>),
}

/// Sent messages of one publisher to one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSent {
    /// Publisher number.
    pub publisher: u16,
    /// Stream number, as in the stamp.
    pub stream: u8,
    /// Subject.
    pub subject: String,
    /// Messages handed to the kernel (or the client library).
    pub n_sent: u64,
}

/// Whether a connection has ended, and why: written once by its reading side, looked at by its publisher.
///
/// A connection that the peer has closed may take writes for a while; without this they would count as sent.
#[derive(Debug, Clone, Default)]
pub struct Ending(Arc<OnceLock<String>>);

impl Ending {
    /// The connection has ended.
    pub fn declare(&self, reason: String) {
        // The first reason is the one that explains the others.
        let _ = self.0.set(reason);
    }

    /// Why it has ended, if it has.
    pub fn reason(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

/// How a publisher stamps: the same for all publishers of a run.
#[derive(Debug, Clone, Copy)]
pub struct Stamping {
    /// Which run.
    pub run: RunId,
    /// The clock that intended and sent times come from.
    pub clock: Clock,
}

/// One publisher; see the module documentation.
#[derive(Debug)]
pub struct Publisher {
    idx: u16,
    outlet: Outlet,
    batch: Batch,
    generator: Generator,
    route: Route,
    is_stamped: bool,
    streams: Vec<Stream>,
    failure: Option<io::Error>,
    pressure: Backpressure,
    ending: Ending,
    /// Messages that wait for the client library.
    handovers: Vec<Handover>,
}

/// The streams of a plan, in stream order.
fn streams_of(prefix: &str) -> Vec<Stream> {
    Game::ALL
        .iter()
        .flat_map(|game| [false, true].map(|is_type| subject_for(prefix, *game, is_type)))
        .map(|subject| Stream {
            prefix: encode::publish_prefix(&subject),
            subject,
            n_sent: 0,
        })
        .collect()
}

/// The generator configuration of publisher `idx`: each has its own rounds, publisher 0 those of the plain seed.
fn generator_config(plan: &RoundsPlan, idx: u16) -> GeneratorConfig {
    GeneratorConfig {
        seed: plan
            .seed
            .wrapping_add(u64::from(idx).wrapping_mul(0x9E37_79B9_7F4A_7C15)),
        mix: plan.games.clone(),
        extras: plan.extras,
        size_bytes: plan.size_bytes,
        tail: if plan.is_stamped {
            stamp::PLACEHOLDER_TAIL.to_vec()
        } else {
            b"}".to_vec()
        },
    }
}

/// Makes the generator of publisher `idx`.
///
/// # Errors
/// When the plan's size is smaller than the smallest round.
pub fn generator_of(plan: &RoundsPlan, idx: u16) -> Result<Generator, SizeTooSmall> {
    Generator::new(generator_config(plan, idx))
}

/// The stream numbers that a round goes to.
fn stream_idxs(game: Game, route: Route) -> std::ops::RangeInclusive<usize> {
    let first = Game::ALL
        .iter()
        .position(|candidate| *candidate == game)
        .unwrap_or(0)
        * 2;
    match route {
        Route::Game => first..=first,
        Route::Type => first + 1..=first + 1,
        Route::Both => first..=first + 1,
    }
}

/// The subjects that a round goes to.
pub fn subjects_of(prefix: &str, game: Game, route: Route) -> Vec<String> {
    stream_idxs(game, route)
        .map(|idx| subject_for(prefix, game, idx % 2 == 1))
        .collect()
}

impl Publisher {
    /// A publisher that writes to `outlet`.
    ///
    /// # Errors
    /// When the plan's size is smaller than the smallest round.
    pub fn new(idx: u16, outlet: Outlet, plan: &RoundsPlan) -> Result<Self, SizeTooSmall> {
        Ok(Self {
            idx,
            outlet,
            batch: Batch::default(),
            generator: generator_of(plan, idx)?,
            route: plan.route,
            is_stamped: plan.is_stamped,
            streams: streams_of(&plan.prefix),
            failure: None,
            pressure: Backpressure::default(),
            ending: Ending::default(),
            handovers: Vec::new(),
        })
    }

    /// Where the reading side of this connection says that it has ended.
    #[must_use]
    pub fn ending_at(mut self, ending: Ending) -> Self {
        self.ending = ending;
        self
    }

    /// Whether the connection is still good.
    pub fn is_alive(&self) -> bool {
        self.failure.is_none()
    }

    /// Why it is not. What the reading side saw explains more than how a write failed.
    pub fn failure(&self) -> Option<String> {
        let failure = self.failure.as_ref()?;
        Some(
            self.ending
                .reason()
                .map_or_else(|| failure.to_string(), str::to_owned),
        )
    }

    /// Whether the kernel, or the client library, takes no more for now.
    pub fn is_blocked(&self) -> bool {
        self.is_alive()
            && match &self.outlet {
                Outlet::Direct(writer) => writer.is_blocked(),
                Outlet::Client(_) => !self.handovers.is_empty(),
            }
    }

    /// The socket, to wait until it takes more; a client library has none to wait for.
    pub fn blocked_fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.outlet {
            Outlet::Direct(writer) if self.is_blocked() => Some(writer.as_fd()),
            _ => None,
        }
    }

    /// Writes what is pending and what the reading side wants written.
    pub fn flush(&mut self) {
        if self.failure.is_some() {
            return;
        }
        if let Some(reason) = self.ending.reason() {
            self.failure = Some(io::Error::new(io::ErrorKind::ConnectionAborted, reason));
            return;
        }
        match &mut self.outlet {
            Outlet::Direct(writer) if writer.is_blocked() || writer.has_control() => {
                if let Err(error) = writer.flush() {
                    self.failure = Some(error);
                }
            }
            Outlet::Client(_) if !self.handovers.is_empty() => self.write(),
            _ => {}
        }
    }

    /// Sends rounds for the given intended times until the iterator ends, the batch limit makes it write, or
    /// the kernel takes no more. Returns how many rounds were sent.
    ///
    /// `intended` gives the next due moment; `None` from it ends the call. Without a schedule the intended
    /// time of a round is its sent time.
    pub fn send_due(
        &mut self,
        phase: Phase,
        stamping: &Stamping,
        mut intended: impl FnMut(u64) -> Option<Intended>,
        lateness: &mut Lateness,
    ) -> u64 {
        let mut n_rounds = 0;
        loop {
            self.flush();
            self.note_pressure();
            if self.is_blocked() || !self.is_alive() {
                return n_rounds;
            }
            let sent = mono_now();
            let before = n_rounds;
            while self.batch.len() < MAX_BATCH_BYTES && self.handovers.len() < MAX_BATCH_HANDOVERS {
                let Some(when) = intended(n_rounds) else {
                    break;
                };
                let due = match when {
                    Intended::At(due) => {
                        let late = i64::try_from(sent.since(due)).unwrap_or(i64::MAX);
                        lateness.record(late, self.pressure.held_back(due));
                        due
                    }
                    Intended::Now => sent,
                };
                self.render(phase, stamping, due, sent);
                n_rounds += 1;
            }
            if n_rounds == before {
                return n_rounds;
            }
            self.write();
        }
    }

    /// Reads the clock only when the connection has begun or ceased to take data.
    fn note_pressure(&mut self) {
        match (self.is_blocked(), self.pressure.is_blocked()) {
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
                stamp.write_tail(rendered.bytes);
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
                Err(TrySendError::Closed(_)) => Err(io::Error::new(
                    io::ErrorKind::BrokenPipe,
                    "the client library has stopped",
                )),
            },
        };
        if let Err(error) = result {
            self.failure = Some(error);
        }
    }

    /// Sends one message outside the streams (the end-of-run message) and a PING whose PONG confirms that the broker
    /// has processed everything before it.
    pub fn send_final(&mut self, message: Option<(&str, &[u8])>) -> Flushed {
        match &mut self.outlet {
            Outlet::Direct(writer) => {
                if let Some((subject, payload)) = message {
                    encode::append_publish(
                        self.batch.out(),
                        &encode::publish_prefix(subject),
                        payload,
                    );
                }
                encode::ping(self.batch.out());
                match writer.send(&mut self.batch) {
                    Ok(flushed) => flushed,
                    Err(error) => {
                        self.failure.get_or_insert(error);
                        Flushed::All
                    }
                }
            }
            Outlet::Client(_) => {
                if let Some((subject, payload)) = message {
                    self.handovers.push(Handover {
                        subject: subject.to_owned(),
                        payload: payload.to_vec(),
                    });
                    self.write();
                }
                Flushed::All
            }
        }
    }

    /// What has been sent since the last call, by stream; starts the sequence numbers anew.
    pub fn take_streams(&mut self) -> Vec<StreamSent> {
        self.pressure = Backpressure::default();
        let mut sent = Vec::new();
        for (idx, stream) in self.streams.iter_mut().enumerate() {
            if stream.n_sent > 0 {
                sent.push(StreamSent {
                    publisher: self.idx,
                    stream: u8::try_from(idx).unwrap_or(u8::MAX),
                    subject: stream.subject.clone(),
                    n_sent: std::mem::take(&mut stream.n_sent),
                });
            }
        }
        sent
    }
}

/// When a round should have been sent.
#[derive(Debug, Clone, Copy)]
pub enum Intended {
    /// By the schedule.
    At(MonoNanos),
    /// There is no schedule: whenever it is sent.
    Now,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::measure::stamp::{Origin, RunId};
    use crate::rounds::{ExtrasForm, GameMix, Round};

    fn plan(seed: u64, size_bytes: Option<usize>, is_stamped: bool) -> RoundsPlan {
        RoundsPlan {
            games: GameMix::default(),
            route: Route::Both,
            prefix: "rounds".to_owned(),
            size_bytes,
            seed,
            extras: ExtrasForm::Object,
            is_stamped,
        }
    }

    #[test]
    fn every_round_goes_to_its_game_and_its_type() {
        assert_eq!(
            subjects_of("rounds", Game::WallStreet, Route::Both),
            ["rounds.game.wall-street", "rounds.type.trending"]
        );
        let all: std::collections::BTreeSet<String> = Game::ALL
            .iter()
            .flat_map(|game| subjects_of("rounds", *game, Route::Both))
            .collect();
        assert_eq!(all.len(), 2 * Game::ALL.len());
    }

    proptest! {
        #[test]
        fn a_stamped_round_is_a_round_for_every_reader(seed in any::<u64>(), extra in prop::option::of(0_usize..300), seq in any::<u32>()) {
            let smallest = Generator::smallest_bytes(&generator_config(&plan(seed, None, true), 0));
            let plan = plan(seed, extra.map(|extra| smallest + extra), true);
            let mut generator = generator_of(&plan, 0).unwrap();
            let stamp = Stamp {
                phase: Phase::Measured,
                run: RunId(7),
                publisher: 0,
                stream: 1,
                seq: u64::from(seq),
                intended_ns: 1_705_314_600_000_999_999,
                sent_ns: 1_705_314_600_001_000_001,
            };
            for _ in 0..20 {
                let rendered = generator.next_round();
                prop_assert!(stamp.write_tail(rendered.bytes));
                prop_assert_eq!(stamp::read(rendered.bytes), Origin::Fixed(stamp));
                let round = Round::from_json(rendered.bytes).unwrap();
                prop_assert_eq!(&round.game_slug, rendered.game.slug());
                prop_assert!(round.extras.is_object());
                prop_assert_eq!(round.timestamp_ms, Some(1_705_314_600_000));
                // A client that parses the JSON and writes it again loses nothing.
                let value: serde_json::Value = serde_json::from_slice(rendered.bytes).unwrap();
                let rewritten = serde_json::to_vec_pretty(&value).unwrap();
                prop_assert_eq!(stamp::read(&rewritten), Origin::Parsed(stamp));
                prop_assert_eq!(Round::from_json(&rewritten).unwrap(), round);
            }
        }

        #[test]
        fn without_stamp_a_round_says_nothing_about_its_time(seed in any::<u64>()) {
            let mut generator = generator_of(&plan(seed, None, false), 0).unwrap();
            for _ in 0..20 {
                let rendered = generator.next_round();
                prop_assert_eq!(stamp::read(rendered.bytes), Origin::None);
                prop_assert!(Round::from_json(rendered.bytes).is_ok());
            }
        }

        #[test]
        fn publishers_of_one_run_publish_different_rounds(seed in any::<u64>(), idx in 1_u16..1_000) {
            let plan = plan(seed, None, false);
            let rounds_of = |idx: u16| {
                let mut generator = generator_of(&plan, idx).unwrap();
                (0..20).map(|_| generator.next_round().bytes.to_vec()).collect::<Vec<_>>()
            };
            prop_assert_ne!(rounds_of(0), rounds_of(idx));
            prop_assert_eq!(rounds_of(idx), rounds_of(idx));
        }
    }
}
