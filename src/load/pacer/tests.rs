//! The pacing thread on real sockets of loopback: what is planned, what is sent, and what the bytes say.

use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::num::NonZeroUsize;

use tokio::sync::mpsc;

use super::*;
use crate::clock::{Clock, sleep_until};
use crate::load::link::{Link, Mail};
use crate::load::plan::RoundsPlan;
use crate::load::plan::WhileDown;
use crate::load::publisher::{Handover, Outlet};
use crate::load::status::{StatusBoard, Who};
use crate::measure::stamp::{RunId, Stamp};
use crate::net::direct::DirectWriter;
use crate::results::outages::{Cause, CauseKind, Role};
use crate::rounds::{ExtrasForm, GameMix, Route};
use crate::units::NANOS_PER_SEC;

/// Long enough for anything on a loaded machine; a run that needs it all has failed.
const PATIENCE: Duration = Duration::from_secs(30);

fn rounds(size_bytes: Option<usize>) -> RoundsPlan {
    RoundsPlan {
        games: "crash".parse::<GameMix>().unwrap(),
        route: Route::Game,
        prefix: "rounds".to_owned(),
        size_bytes,
        seed: 1,
        extras: ExtrasForm::Object,
        is_stamped: true,
    }
}

fn pair() -> (DirectWriter, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (peer, _) = listener.accept().unwrap();
    (DirectWriter::plain(socket).unwrap(), peer)
}

fn direct(idx: u16, size_bytes: Option<usize>) -> (Publisher, TcpStream) {
    let (writer, peer) = pair();
    let publisher =
        Publisher::new(idx, Outlet::Direct(Box::new(writer)), &rounds(size_bytes)).unwrap();
    (publisher, peer)
}

struct Bench {
    pacer: Pacer,
    clock: Clock,
    interrupt: Interrupt,
}

fn start(publishers: Vec<Publisher>) -> Bench {
    let clock = Clock::start();
    let interrupt = Interrupt::default();
    let stamping = Stamping {
        run: RunId(1),
        clock,
    };
    let pacer = Pacer::start(publishers, stamping, interrupt.clone()).unwrap();
    Bench {
        pacer,
        clock,
        interrupt,
    }
}

/// At 1,000 rounds a second.
fn phase(extent: Extent) -> PhasePlan {
    PhasePlan {
        phase: Phase::Measured,
        pace: Pace::Schedule(schedule()),
        tick_ns: None,
        extent,
        give_up_after: PATIENCE,
    }
}

fn schedule() -> Schedule {
    Schedule::new(Rate::new(1_000, 1).unwrap())
}

/// Everything that arrives until the connection ends, read in a thread.
fn reading(mut peer: TcpStream) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut received = Vec::new();
        peer.read_to_end(&mut received).unwrap();
        received
    })
}

/// The stamps of all PUB operations, and whatever else there is as text.
fn stamps_of(received: &[u8]) -> (Vec<Stamp>, String) {
    let (mut stamps, mut others) = (Vec::new(), String::new());
    let mut rest = received;
    while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
        let line = std::str::from_utf8(&rest[..end]).unwrap();
        rest = &rest[end + 2..];
        if line.starts_with("PUB rounds.") {
            let n_bytes: usize = line.rsplit(' ').next().unwrap().parse().unwrap();
            stamps.push(Stamp::read_fixed(&rest[..n_bytes]).unwrap());
            rest = &rest[n_bytes + 2..];
        } else {
            others.push_str(line);
            others.push('\n');
        }
    }
    assert!(rest.is_empty(), "half an operation");
    (stamps, others)
}

#[track_caller]
fn assert_on_schedule(
    stamps: &[Stamp],
    outcome: &PhaseOutcome,
    clock: &Clock,
    first: u64,
    step: NonZeroUsize,
) {
    let ks = (first..).step_by(step.get());
    for (seq, (k, stamp)) in (0..).zip(ks.zip(stamps)) {
        let due = outcome.started.plus(schedule().due_ns(k));
        assert_eq!(stamp.seq, seq);
        assert_eq!(stamp.intended_ns, clock.wall_at(due).0, "round {k}");
        assert!(stamp.sent_ns >= stamp.intended_ns, "round {k}");
    }
}

const ONE: NonZeroUsize = NonZeroUsize::MIN;

#[tokio::test]
async fn every_planned_round_is_sent_with_the_intended_time_of_the_schedule() {
    let (publisher, peer) = direct(0, None);
    let received = reading(peer);
    let bench = start(vec![publisher]);
    let outcome = bench.pacer.run(phase(Extent::Rounds(200))).await.unwrap();
    assert!(bench.pacer.join());
    assert_eq!((outcome.n_planned, outcome.n_sent), (200, 200));
    assert_eq!(outcome.lateness.all().count(), 200);
    assert_eq!(outcome.lateness.all().n_negative(), 0);
    assert!(outcome.failures.is_empty());
    let (stamps, _) = stamps_of(&received.join().unwrap());
    assert_eq!(stamps.len(), 200);
    assert_on_schedule(&stamps, &outcome, &bench.clock, 0, ONE);
}

#[tokio::test]
async fn publishers_share_the_schedule_round_by_round() {
    let (publishers, peers): (Vec<_>, Vec<_>) = (0..3).map(|idx| direct(idx, None)).unzip();
    let received: Vec<_> = peers.into_iter().map(reading).collect();
    let bench = start(publishers);
    let plan = phase(Extent::Duration(Duration::from_millis(100)));
    let outcome = bench.pacer.run(plan).await.unwrap();
    assert!(bench.pacer.join());
    assert_eq!((outcome.n_planned, outcome.n_sent), (100, 100));
    for ((first, n_rounds), received) in [(0, 34), (1, 33), (2, 33)].into_iter().zip(received) {
        let (stamps, _) = stamps_of(&received.join().unwrap());
        assert_eq!(stamps.len(), n_rounds);
        let step = NonZeroUsize::new(3).unwrap();
        assert_on_schedule(&stamps, &outcome, &bench.clock, first, step);
    }
}

#[tokio::test]
async fn a_stopped_phase_has_sent_all_that_was_due() {
    let (publisher, peer) = direct(0, None);
    let received = reading(peer);
    let bench = start(vec![publisher]);
    let stopping = async {
        while bench.pacer.live().n_rounds() < 50 {
            tokio::task::yield_now().await;
        }
        bench.interrupt.stop.cancel();
    };
    let (outcome, ()) = tokio::join!(bench.pacer.run(phase(Extent::Endless)), stopping);
    let outcome = outcome.unwrap();
    assert!(bench.pacer.join());
    assert!(outcome.n_planned >= 50);
    assert_eq!(outcome.n_sent, outcome.n_planned);
    let (stamps, _) = stamps_of(&received.join().unwrap());
    assert_eq!(stamps.len() as u64, outcome.n_sent);
}

#[tokio::test]
async fn a_phase_behind_a_stop_sends_nothing() {
    for pace in [Pace::Schedule(schedule()), Pace::BackToBack] {
        let (publisher, peer) = direct(0, None);
        let received = reading(peer);
        let bench = start(vec![publisher]);
        bench.interrupt.stop.cancel();
        let plan = PhasePlan {
            pace,
            ..phase(Extent::Rounds(1_000))
        };
        let outcome = bench.pacer.run(plan).await.unwrap();
        assert!(bench.pacer.join());
        assert_eq!((outcome.n_planned, outcome.n_sent), (0, 0));
        assert!(received.join().unwrap().is_empty());
    }
}

#[tokio::test]
async fn what_falls_due_while_the_writer_is_blocked_stays_due() {
    // Given a peer that reads nothing for half a second, and rounds of which few fit into the buffers
    let (publisher, mut peer) = direct(0, Some(64 << 10));
    let received = std::thread::spawn(move || {
        let mut received = vec![0];
        peer.read_exact(&mut received).unwrap();
        sleep_until(mono_now().plus(NANOS_PER_SEC / 2));
        peer.read_to_end(&mut received).unwrap();
        received
    });
    // When 400 rounds fall due meanwhile
    let bench = start(vec![publisher]);
    let outcome = bench.pacer.run(phase(Extent::Rounds(400))).await.unwrap();
    bench.pacer.finish(vec![None]).await;
    assert!(bench.pacer.join());
    // Then all are sent, late, and say so
    assert_eq!((outcome.n_planned, outcome.n_sent), (400, 400));
    assert_eq!(outcome.lateness.all().count(), 400);
    let (stamps, _) = stamps_of(&received.join().unwrap());
    assert_eq!(stamps.len(), 400);
    assert_on_schedule(&stamps, &outcome, &bench.clock, 0, ONE);
    let is_late = |stamp: &&Stamp| stamp.sent_ns - stamp.intended_ns > 50_000_000;
    assert!(stamps.iter().filter(is_late).count() > 100);
}

#[tokio::test]
async fn a_writer_that_stays_blocked_is_given_up_and_the_rest_counts_as_not_sent() {
    let (publisher, peer) = direct(0, Some(64 << 10));
    let bench = start(vec![publisher]);
    let plan = PhasePlan {
        give_up_after: Duration::from_millis(50),
        ..phase(Extent::Rounds(400))
    };
    let outcome = bench.pacer.run(plan).await.unwrap();
    assert_eq!(outcome.n_planned, 400);
    assert!((1..400).contains(&outcome.n_sent), "{}", outcome.n_sent);
    assert_eq!(outcome.lateness.all().count(), outcome.n_sent);
    assert!(bench.pacer.join());
    drop(peer);
}

#[tokio::test]
async fn a_lost_connection_ends_its_publisher_and_leaves_the_others_their_share() {
    let (mut publishers, mut peers): (Vec<_>, Vec<_>) = (0..2).map(|idx| direct(idx, None)).unzip();
    // Publisher 1 is lost to writing, publisher 2 by what its reading side says.
    drop(peers.pop());
    let (publisher, _peer) = direct(2, None);
    let linked = Linked::new();
    linked.link.post(Mail::Dead {
        reason: "the server closed the connection".to_owned(),
    });
    publishers.push(publisher.linked(Arc::clone(&linked.link), WhileDown::Send));
    let received = reading(peers.remove(0));
    let bench = start(publishers);
    let outcome = bench.pacer.run(phase(Extent::Rounds(300))).await.unwrap();
    assert!(bench.pacer.join());
    assert_eq!(outcome.n_planned, 300);
    assert!((100..300).contains(&outcome.n_sent), "{}", outcome.n_sent);
    assert_eq!(stamps_of(&received.join().unwrap()).0.len(), 100);
    let lost: Vec<_> = outcome.failures.iter().map(|(idx, _)| *idx).collect();
    assert_eq!(lost, [1, 2]);
    assert_eq!(outcome.failures[1].1, "the server closed the connection");
}

/// The reading side of a publisher, played by the test.
struct Linked {
    link: Arc<Link>,
    board: StatusBoard,
}

impl Linked {
    fn new() -> Self {
        let board = StatusBoard::new(mono_now());
        let link = Arc::new(Link::new(board.clone()));
        Self { link, board }
    }

    /// Says that the connection has ended.
    fn lose(&self) -> crate::load::status::OutageId {
        let who = Who {
            role: Role::Publisher,
            idx: 0,
        };
        let cause = Cause {
            kind: CauseKind::Eof,
            close_code: None,
            text: "it ended".to_owned(),
        };
        let id = self.board.disconnected(who, cause, mono_now());
        self.link.post(Mail::Lost {
            id,
            n_pongs: self.link.forget_pongs(),
            moment: mono_now(),
        });
        id
    }

    /// Says that there is another one; returns its other end.
    fn bring_back(&self, id: crate::load::status::OutageId) -> TcpStream {
        let (writer, peer) = pair();
        let writer = Box::new(writer);
        self.link.post(Mail::Back { id, writer });
        peer
    }
}

/// A run of 300 rounds whose one connection takes nothing more in the middle of a message, and its other end.
fn run_into_a_full_connection(linked: &Linked) -> (Bench, TcpStream) {
    let (publisher, peer) = direct(0, Some(100_000));
    let bench = start(vec![
        publisher.linked(Arc::clone(&linked.link), WhileDown::Send),
    ]);
    (bench, peer)
}

/// Waits until rounds fall due and none goes out.
async fn until_blocked(live: &LiveSent) {
    until(|| live.n_rounds() > 0 && live.n_due() > live.n_rounds() + 50).await;
}

/// Waits until the thread has got somewhere.
async fn until(is_there: impl Fn() -> bool) {
    let there = async {
        while !is_there() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, there)
        .await
        .expect("it gets there");
}

/// The whole PUB operations among bytes that may end anywhere; PINGs are left out.
fn whole_stamps_of(received: &[u8]) -> Vec<Stamp> {
    let mut parser_end = received.len();
    loop {
        let tail = &received[..parser_end];
        let result = std::panic::catch_unwind(|| stamps_of(tail));
        match result {
            Ok((stamps, _)) => return stamps,
            Err(_) => parser_end -= 1,
        }
    }
}

#[tokio::test]
async fn what_a_broken_connection_was_not_given_goes_out_first_over_the_next() {
    // Given a connection that takes nothing more in the middle of a message
    let linked = Linked::new();
    let (bench, mut peer) = run_into_a_full_connection(&linked);
    let live = Arc::clone(bench.pacer.live());
    let run = bench.pacer.run(phase(Extent::Rounds(300)));
    let losing = async {
        until_blocked(&live).await;
        let id = linked.lose();
        (id, linked.bring_back(id))
    };
    let (outcome, (_, second)) = tokio::join!(run, async {
        let (id, second) = losing.await;
        (id, reading(second))
    });
    let outcome = outcome.unwrap();
    assert!(bench.pacer.join());
    // When both ends are read
    drop(linked);
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut first = Vec::new();
    peer.read_to_end(&mut first).unwrap();
    let (second, _) = stamps_of(&second.join().unwrap());
    // Then every message was sent whole over one of the two, and none over both
    let first = whole_stamps_of(&first);
    let seqs: Vec<u64> = first.iter().chain(&second).map(|stamp| stamp.seq).collect();
    assert_eq!(seqs, (0..300).collect::<Vec<_>>());
    assert_eq!((outcome.n_planned, outcome.n_sent), (300, 300));
    // What the first was given, nobody has acknowledged.
    let n_first = first.len() as u64;
    let in_doubt = outcome.in_doubt[0];
    assert_eq!((in_doubt.from, in_doubt.to), (0, n_first));
}

#[tokio::test]
async fn a_ping_that_was_asked_for_meanwhile_does_not_overtake_what_is_left_over() {
    // Given a connection that takes nothing more in the middle of a message
    let linked = Linked::new();
    let (bench, _peer) = run_into_a_full_connection(&linked);
    let live = Arc::clone(bench.pacer.live());
    let run = bench.pacer.run(phase(Extent::Rounds(300)));
    // When it is lost, and its reading side has asked for a PING shortly before
    let losing = async {
        until_blocked(&live).await;
        linked.link.ask_for_ping();
        let id = linked.lose();
        reading(linked.bring_back(id))
    };
    let (outcome, second) = tokio::join!(run, losing);
    assert_eq!(outcome.unwrap().n_sent, 300);
    assert!(bench.pacer.join());
    drop(linked);
    // Then the next one begins with a message: its PING would vouch for what was left over.
    let second = second.join().unwrap();
    assert!(second.starts_with(b"PUB rounds."));
    let (_, others) = stamps_of(&second);
    assert!(others.contains("PING"), "{others}");
}

#[tokio::test]
async fn rounds_that_fall_due_while_the_connection_is_down_wait_or_are_left_out() {
    for while_down in [WhileDown::Send, WhileDown::Skip] {
        let (publisher, first) = direct(0, None);
        let first = reading(first);
        let linked = Linked::new();
        let bench = start(vec![publisher.linked(Arc::clone(&linked.link), while_down)]);
        let live = Arc::clone(bench.pacer.live());
        let run = bench.pacer.run(phase(Extent::Rounds(400)));
        let outage = async {
            until(|| live.n_rounds() > 50).await;
            let id = linked.lose();
            let n_due = live.n_due();
            until(|| live.n_due() > n_due + 100).await;
            (id, reading(linked.bring_back(id)))
        };
        let (outcome, (_, second)) = tokio::join!(run, outage);
        let outcome = outcome.unwrap();
        assert!(bench.pacer.join());
        drop(linked.link);
        let (first, _) = stamps_of(&first.join().unwrap());
        let (second, _) = stamps_of(&second.join().unwrap());
        let n_sent = (first.len() + second.len()) as u64;
        assert_eq!(outcome.n_sent, n_sent, "{while_down:?}");
        assert_eq!(outcome.n_planned, 400);
        assert_eq!(outcome.n_sent + outcome.n_skipped, 400, "{while_down:?}");
        assert_eq!(outcome.lateness.all().count(), n_sent);
        let (outages, _) = linked.board.outages();
        match while_down {
            WhileDown::Send => {
                assert_eq!((outcome.n_skipped, outages[0].skipped), (0, None));
                assert!(outcome.lateness.n_held_back() >= 100);
            }
            WhileDown::Skip => {
                assert!(outcome.n_skipped >= 100, "{}", outcome.n_skipped);
                assert_eq!(outages[0].skipped, Some(outcome.n_skipped));
            }
        }
        // Numbers have no gap either way: what is left out was never numbered.
        let seqs: Vec<u64> = first.iter().chain(&second).map(|stamp| stamp.seq).collect();
        assert_eq!(seqs, (0..n_sent).collect::<Vec<_>>());
        assert!(outages[0].first_message_ns.is_some());
    }
}

#[tokio::test]
async fn a_phase_that_ends_while_the_connection_is_down_says_what_was_not_sent() {
    let (publisher, first) = direct(0, None);
    let first = reading(first);
    let linked = Linked::new();
    let bench = start(vec![
        publisher.linked(Arc::clone(&linked.link), WhileDown::Send),
    ]);
    let live = Arc::clone(bench.pacer.live());
    let plan = PhasePlan {
        give_up_after: Duration::from_millis(20),
        ..phase(Extent::Rounds(200))
    };
    let losing = async {
        until(|| live.n_rounds() > 50).await;
        linked.lose();
    };
    let (outcome, ()) = tokio::join!(bench.pacer.run(plan), losing);
    let outcome = outcome.unwrap();
    let settled = bench.pacer.settle().await;
    assert!(bench.pacer.join());
    assert_eq!(outcome.n_planned, 200);
    assert!((50..200).contains(&outcome.n_sent), "{}", outcome.n_sent);
    assert!(settled.failures.is_empty(), "it may still come back");
    assert_eq!(settled.in_doubt, outcome.in_doubt);
    assert_eq!(outcome.in_doubt[0].to, outcome.n_sent);
    let (first, _) = stamps_of(&first.join().unwrap());
    assert_eq!(first.len() as u64, outcome.n_sent);
}

#[tokio::test]
async fn what_the_broker_has_acknowledged_is_not_in_doubt() {
    let (publisher, _peer) = direct(0, None);
    let linked = Linked::new();
    let bench = start(vec![
        publisher.linked(Arc::clone(&linked.link), WhileDown::Send),
    ]);
    let outcome = bench.pacer.run(phase(Extent::Rounds(250))).await.unwrap();
    bench.pacer.finish(vec![None]).await;
    let open = bench.pacer.settle().await.in_doubt;
    assert_eq!(open.last().unwrap().to, outcome.n_sent);
    // Every PING is answered, the last one among them.
    while !linked.link.is_confirmed() {
        linked.link.pong();
    }
    assert!(bench.pacer.settle().await.in_doubt.is_empty());
    assert!(bench.pacer.join());
}

#[tokio::test]
async fn the_measured_phase_begins_anew_behind_the_warm_up() {
    let (publisher, peer) = direct(0, None);
    let received = reading(peer);
    let bench = start(vec![publisher]);
    let warm_up = PhasePlan {
        phase: Phase::WarmUp,
        ..phase(Extent::Rounds(30))
    };
    let before = bench.pacer.run(warm_up).await.unwrap();
    let outcome = bench.pacer.run(phase(Extent::Rounds(50))).await.unwrap();
    assert!(bench.pacer.join());
    assert_eq!((before.n_sent, outcome.n_sent), (30, 50));
    assert_eq!(
        (outcome.n_planned, outcome.lateness.all().count()),
        (50, 50)
    );
    assert_eq!(outcome.streams.len(), 1);
    assert_eq!(outcome.streams[0].n_sent, 50);
    let (stamps, _) = stamps_of(&received.join().unwrap());
    let (warm, measured) = stamps.split_at(30);
    assert!(warm.iter().all(|stamp| stamp.phase == Phase::WarmUp));
    assert!(measured.iter().all(|stamp| stamp.phase == Phase::Measured));
    assert_eq!(measured.len(), 50);
    assert_on_schedule(measured, &outcome, &bench.clock, 0, ONE);
}

#[tokio::test]
async fn the_last_message_and_a_ping_follow_behind_everything() {
    let (publisher, peer) = direct(0, None);
    let received = reading(peer);
    let bench = start(vec![publisher]);
    bench.pacer.run(phase(Extent::Rounds(10))).await.unwrap();
    let last = ("end".to_owned(), b"bye".to_vec());
    bench.pacer.finish(vec![Some(last)]).await;
    assert!(bench.pacer.join());
    let received = received.join().unwrap();
    let (stamps, others) = stamps_of(&received);
    assert_eq!(stamps.len(), 10);
    assert_eq!(others, "PUB end 3\nbye\nPING\n");
    assert!(received.ends_with(b"PUB end 3\r\nbye\r\nPING\r\n"));
}

#[tokio::test]
async fn without_a_schedule_a_round_is_intended_when_it_is_sent() {
    let (publisher, peer) = direct(0, None);
    let received = reading(peer);
    let bench = start(vec![publisher]);
    let plan = PhasePlan {
        pace: Pace::BackToBack,
        ..phase(Extent::Rounds(2_000))
    };
    let outcome = bench.pacer.run(plan).await.unwrap();
    assert!(bench.pacer.join());
    assert_eq!((outcome.n_planned, outcome.n_sent), (2_000, 2_000));
    assert!(outcome.lateness.all().is_empty());
    let (stamps, _) = stamps_of(&received.join().unwrap());
    assert_eq!(stamps.len(), 2_000);
    assert!(
        stamps
            .iter()
            .all(|stamp| stamp.intended_ns == stamp.sent_ns)
    );
}

fn through_library(n_batches: usize) -> (Publisher, mpsc::Receiver<Vec<Handover>>) {
    let (sender, inbox) = mpsc::channel(n_batches);
    let publisher = Publisher::new(0, Outlet::Client(sender), &rounds(None)).unwrap();
    (publisher, inbox)
}

#[tokio::test]
async fn a_client_library_that_takes_nothing_more_does_not_stop_the_thread() {
    for pace in [Pace::Schedule(schedule()), Pace::BackToBack] {
        let (publisher, _inbox) = through_library(1);
        let bench = start(vec![publisher]);
        let stopping = async {
            while bench.pacer.live().n_rounds() == 0 {
                tokio::task::yield_now().await;
            }
            bench.interrupt.stop.cancel();
        };
        let plan = PhasePlan {
            pace,
            give_up_after: Duration::from_millis(50),
            ..phase(Extent::Endless)
        };
        let (outcome, ()) = tokio::join!(bench.pacer.run(plan), stopping);
        assert!(outcome.unwrap().n_sent > 0);
        bench.pacer.finish(vec![None]).await;
        assert!(bench.pacer.join());
    }
}

#[tokio::test]
async fn a_client_library_gets_everything_in_order_however_slowly_it_takes_it() {
    let (publisher, mut inbox) = through_library(1);
    let bench = start(vec![publisher]);
    let taking = async {
        let mut stamps = Vec::new();
        while stamps.len() < 500 {
            let batch = inbox.recv().await.unwrap();
            stamps.extend(
                batch
                    .iter()
                    .map(|one| Stamp::read_fixed(&one.payload).unwrap()),
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        stamps
    };
    let (outcome, stamps) = tokio::join!(bench.pacer.run(phase(Extent::Rounds(500))), taking);
    let outcome = outcome.unwrap();
    assert!(bench.pacer.join());
    assert_eq!((outcome.n_planned, outcome.n_sent), (500, 500));
    assert_on_schedule(&stamps, &outcome, &bench.clock, 0, ONE);
}
