//! What lies between natsbench and the broker breaks: cut, half-closed, swallowed, slow, reset, refused, garbled.
//!
//! The role that a test is about goes through a proxy, and the other one straight to the broker, where a witness
//! subscribes, too: what the broker has had is known, and what passed the proxy as well.

use std::time::Duration;

use natsbench::cli::exit;

use super::run::{Outcome, Run, await_growth};
use crate::harness::{Broker, Cut, Direction, FaultProxy, Place, Witness, eventually, pass_time};

/// A broker, a witness, and a run of which one role goes through a proxy.
struct Stage {
    broker: Broker,
    proxy: FaultProxy,
    witness: Witness,
}

impl Stage {
    fn new() -> Self {
        let broker = Broker::monitored();
        let proxy = FaultProxy::to(broker.ws_port());
        let witness = Witness::start(&broker, "rounds.>");
        Self {
            broker,
            proxy,
            witness,
        }
    }

    /// The subscriber goes through the proxy.
    fn subscriber(&self, args: &[&str]) -> Run {
        let direct = self.broker.ws_url();
        let args = [&["--pub-server", &direct], args].concat();
        let run = Run::latency(&self.proxy.ws_url(), &args);
        self.await_flow(Direction::Down);
        run
    }

    /// The publisher goes through the proxy.
    fn publisher(&self, args: &[&str]) -> Run {
        let proxied = self.proxy.ws_url();
        let args = [&["--pub-server", &proxied], args].concat();
        let run = Run::latency(&self.broker.ws_url(), &args);
        self.await_flow(Direction::Up);
        run
    }

    /// Both do.
    fn both(&self, args: &[&str]) -> Run {
        let run = Run::latency(&self.proxy.ws_url(), args);
        self.await_flow(Direction::Down);
        run
    }

    /// Waits until further messages have passed the proxy.
    #[track_caller]
    fn await_flow(&self, direction: Direction) {
        await_growth("messages through the proxy", 50, || {
            self.proxy.n_messages(direction)
        });
    }

    /// Of a run whose subscriber alone was hit: the broker has had everything, and what passed the proxy was received.
    #[track_caller]
    fn check_subscriber(&self, outcome: &Outcome) {
        self.witness.await_measured(outcome.load("sent"));
        assert_eq!(outcome.load("in_doubt"), 0, "{:#}", outcome.result["load"]);
        assert_eq!(
            outcome.load("received") + outcome.load("duplicated"),
            self.proxy.n_messages(Direction::Down),
            "{:#}",
            outcome.result["load"]
        );
        assert!(outcome.outages("publisher").is_empty());
    }

    /// Of a run whose publisher alone was hit: whatever the broker has had was received, and the rest is in doubt.
    #[track_caller]
    fn check_publisher(&self, outcome: &Outcome) {
        let tally = self.witness.await_measured(outcome.load("received"));
        assert_eq!(outcome.load("lost"), 0, "{:#}", outcome.result["load"]);
        assert_eq!(outcome.load("duplicated"), tally.n_duplicates());
        assert!(outcome.outages("subscriber").is_empty());
    }

    /// Of a run both of whose roles were hit: nothing is said to have been lost that the broker has not had.
    #[track_caller]
    fn check_both(&self, outcome: &Outcome) {
        let known = outcome.load("received") + outcome.load("lost");
        eventually("the witness", || {
            (self.witness.tally().n_measured() >= known).then_some(())
        });
        assert!(self.witness.tally().n_measured() <= outcome.load("sent"));
    }
}

#[test]
fn a_subscriber_that_is_cut_off_in_the_middle_of_anything_loses_what_passes_meanwhile() {
    for place in [
        Place::Bytes(1_234),
        Place::FrameHead(100),
        Place::Payload(100),
    ] {
        let stage = Stage::new();
        stage.proxy.cut_at(0, Direction::Down, place, Cut::Fin);
        let direct = stage.broker.ws_url();
        let run = Run::latency(&stage.proxy.ws_url(), &["--pub-server", &direct]);
        run.await_events("subscriber", "reconnected", 1);
        stage.await_flow(Direction::Down);
        let outcome = run.interrupt();
        stage.check_subscriber(&outcome);
        let outage = outcome.outage("subscriber");
        assert_eq!(outage["cause"]["kind"], "eof", "{place:?}: {outage:#}");
        assert_eq!(outage["lost"], outcome.load("lost"), "{outage:#}");
        assert_eq!(outage["is_other_server"], false, "{outage:#}");
        assert!(outage["first_message_ns"].is_u64(), "{outage:#}");
    }
}

#[test]
fn a_subscriber_whose_connection_is_reset_comes_back_and_says_so() {
    let stage = Stage::new();
    let run = stage.subscriber(&["--subscribers", "3"]);
    stage.proxy.break_all(Cut::Reset);
    run.await_events("subscriber", "reconnected", 3);
    stage.await_flow(Direction::Down);
    let outcome = run.interrupt();
    assert_eq!(outcome.kinds("subscriber"), ["reset"; 3]);
    assert_eq!(outcome.load("in_doubt"), 0);
    stage.witness.await_measured(outcome.load("sent"));
}

#[test]
fn one_of_several_subscribers_loses_messages_and_the_others_none() {
    let stage = Stage::new();
    let run = stage.subscriber(&["--subscribers", "4"]);
    stage.proxy.cut(2, Cut::Fin);
    run.await_events("subscriber", "reconnected", 1);
    stage.await_flow(Direction::Down);
    let outcome = run.interrupt();
    stage.check_subscriber(&outcome);
    let hit = outcome.outage("subscriber")["idx"].as_u64();
    for (idx, subscriber) in (0..).zip(outcome.result["load"]["subscribers"].as_array().unwrap()) {
        if Some(idx) != hit {
            assert_eq!(subscriber["lost"], 0, "{subscriber:#}");
        }
    }
}

#[test]
fn a_publisher_that_is_cut_off_in_the_middle_of_a_message_leaves_what_it_had_not_delivered_in_doubt()
 {
    for cut in [Cut::Fin, Cut::Reset] {
        let stage = Stage::new();
        let place = Place::Payload(100);
        stage.proxy.cut_at(0, Direction::Up, place, cut);
        let proxied = stage.proxy.ws_url();
        let run = Run::latency(&stage.broker.ws_url(), &["--pub-server", &proxied]);
        run.await_events("publisher", "reconnected", 1);
        stage.await_flow(Direction::Up);
        let outcome = run.interrupt();
        stage.check_publisher(&outcome);
        // The one in whose middle it was cut, at least.
        assert!(outcome.load("in_doubt") > 0, "{:#}", outcome.result);
        let outage = outcome.outage("publisher");
        let kind = outage["cause"]["kind"].as_str().expect("a kind");
        // A publisher writes all the time: what it says into a connection that has ended is answered by a reset.
        let kinds: &[&str] = match cut {
            Cut::Fin => &["eof", "reset"],
            Cut::Reset => &["reset"],
        };
        assert!(kinds.contains(&kind), "{outage:#}");
        // It could not know that some of it arrived.
        let of_outage = outage["in_doubt"].as_u64();
        assert!(of_outage >= Some(outcome.load("in_doubt")), "{outage:#}");
    }
}

#[test]
fn a_half_closed_connection_is_given_up_by_the_side_that_hears_of_it() {
    let stage = Stage::new();
    let run = stage.subscriber(&[]);
    stage.proxy.half_close(0, Direction::Down);
    run.await_events("subscriber", "reconnected", 1);
    stage.await_flow(Direction::Down);
    let outcome = run.interrupt();
    stage.check_subscriber(&outcome);
    assert_eq!(outcome.kinds("subscriber"), ["eof"]);

    // The other way, it is the broker that hears of it, and ends the connection.
    let stage = Stage::new();
    let run = stage.publisher(&[]);
    stage.proxy.half_close(0, Direction::Up);
    run.await_events("publisher", "reconnected", 1);
    stage.await_flow(Direction::Up);
    let outcome = run.interrupt();
    stage.check_publisher(&outcome);
    let kind = outcome.kinds("publisher")[0];
    assert!(["eof", "close-frame", "reset"].contains(&kind), "{kind}");
}

#[test]
fn connections_whose_packets_vanish_are_given_up_and_replaced() {
    let stage = Stage::new();
    let run = stage.both(&["--ping-interval", "300ms"]);
    stage.proxy.black_hole(Direction::Up);
    stage.proxy.black_hole(Direction::Down);
    run.await_events("subscriber", "disconnected", 1);
    run.await_events("publisher", "disconnected", 1);
    stage.proxy.end_black_hole(Direction::Up);
    stage.proxy.end_black_hole(Direction::Down);
    run.await_events("subscriber", "reconnected", 1);
    run.await_events("publisher", "reconnected", 1);
    stage.await_flow(Direction::Down);
    let outcome = run.interrupt();
    for role in ["subscriber", "publisher"] {
        assert_eq!(outcome.kinds(role)[0], "timeout");
    }
    stage.check_both(&outcome);
}

#[test]
fn a_connection_whose_packets_vanish_one_way_is_given_up_too() {
    let stage = Stage::new();
    let run = stage.subscriber(&["--ping-interval", "300ms"]);
    stage.proxy.black_hole(Direction::Down);
    run.await_events("subscriber", "disconnected", 1);
    stage.proxy.end_black_hole(Direction::Down);
    run.await_events("subscriber", "reconnected", 1);
    stage.await_flow(Direction::Down);
    let outcome = run.interrupt();
    assert_eq!(outcome.kinds("subscriber")[0], "timeout");
    stage.check_subscriber(&outcome);

    let stage = Stage::new();
    let run = stage.publisher(&["--ping-interval", "300ms"]);
    stage.proxy.black_hole(Direction::Up);
    run.await_events("publisher", "disconnected", 1);
    stage.proxy.end_black_hole(Direction::Up);
    run.await_events("publisher", "reconnected", 1);
    stage.await_flow(Direction::Up);
    let outcome = run.interrupt();
    assert_eq!(outcome.kinds("publisher")[0], "timeout");
    stage.check_publisher(&outcome);
    assert!(outcome.load("in_doubt") > 0, "{:#}", outcome.result);
}

#[test]
fn what_is_slow_is_no_outage() {
    let stage = Stage::new();
    stage
        .proxy
        .delay(Direction::Down, Duration::from_millis(200));
    stage.proxy.delay(Direction::Up, Duration::from_millis(200));
    let run = stage.both(&["--ping-interval", "2s", "--drain", "20s"]);
    stage.await_flow(Direction::Down);
    let outcome = run.interrupt();
    assert_eq!(outcome.result["n_outages"], 0);
    assert_eq!(outcome.load("received"), outcome.load("sent"));
    stage.witness.await_measured(outcome.load("sent"));

    // A subscriber that gets less than is published falls behind, and has everything once it gets more.
    let stage = Stage::new();
    let run = stage.subscriber(&["--drain", "20s"]);
    stage.proxy.throttle(Direction::Down, 50_000);
    await_growth("messages to the broker", 700, || {
        stage.witness.tally().n_measured()
    });
    stage.proxy.throttle(Direction::Down, 0);
    let outcome = run.interrupt();
    assert_eq!(outcome.result["n_outages"], 0);
    assert_eq!(outcome.load("received"), outcome.load("sent"));
    stage.check_subscriber(&outcome);
}

#[test]
fn a_pause_that_is_shorter_than_the_patience_is_no_outage() {
    let stage = Stage::new();
    let run = stage.both(&["--drain", "20s"]);
    for direction in [Direction::Up, Direction::Down] {
        stage.proxy.pause(direction);
        pass_time(Duration::from_millis(300));
        stage.proxy.resume(direction);
    }
    stage.await_flow(Direction::Down);
    let outcome = run.interrupt();
    assert_eq!(outcome.result["n_outages"], 0);
    assert_eq!(outcome.load("received"), outcome.load("sent"));
}

#[test]
fn attempts_that_are_reset_are_repeated() {
    let stage = Stage::new();
    let run = stage.subscriber(&["--subscribers", "4"]);
    stage.proxy.reset_every(2);
    stage.proxy.break_all(Cut::Fin);
    run.await_events("subscriber", "reconnected", 4);
    stage.await_flow(Direction::Down);
    // Four connections took at least three that were reset between them.
    assert!(stage.proxy.n_connections() >= 4 + 4 + 3);
    let outcome = run.interrupt();
    stage.check_subscriber(&outcome);
    let attempts = outcome.outages("subscriber");
    let attempts = attempts.iter().filter_map(|one| one["attempts"].as_u64());
    assert_eq!(
        attempts.sum::<u64>(),
        stage.proxy.n_connections() as u64 - 4
    );
}

#[test]
fn an_attempt_whose_upgrade_is_answered_with_garbage_is_repeated() {
    let stage = Stage::new();
    let run = stage.subscriber(&[]);
    stage.proxy.answer_next("SSH-2.0-OpenSSH_9.9\r\n");
    stage.proxy.cut(0, Cut::Fin);
    run.await_events("subscriber", "reconnected", 1);
    stage.await_flow(Direction::Down);
    let outcome = run.interrupt();
    stage.check_subscriber(&outcome);
    let outage = outcome.outage("subscriber");
    assert_eq!(outage["attempts"], 2, "{outage:#}");
    let error = outage["failed"][0]["error"].as_str().expect("an error");
    assert!(error.contains("not HTTP"), "{outage:#}");
}

#[test]
fn a_port_that_refuses_is_tried_until_it_does_not() {
    let stage = Stage::new();
    let run = stage.both(&[]);
    stage.proxy.refuse();
    stage.proxy.break_all(Cut::Fin);
    run.await_attempt(5);
    stage.proxy.accept();
    run.await_events("subscriber", "reconnected", 1);
    run.await_events("publisher", "reconnected", 1);
    stage.await_flow(Direction::Down);
    let outcome = run.interrupt();
    stage.check_both(&outcome);
    for role in ["subscriber", "publisher"] {
        let outage = outcome.outage(role);
        let error = outage["failed"][0]["error"].as_str().unwrap_or_default();
        let is_refused = error.to_lowercase().contains("refused");
        assert!(is_refused || outage["attempts"] == 1, "{outage:#}");
    }
}

#[test]
fn a_port_that_keeps_refusing_ends_a_run_that_is_to_try_so_often_and_no_more() {
    let stage = Stage::new();
    let run = stage.both(&["--max-reconnects", "3"]);
    stage.proxy.refuse();
    stage.proxy.break_all(Cut::Fin);
    let outcome = run.finish();
    assert_eq!(outcome.code, Some(i32::from(exit::UNREACHABLE)));
    assert_eq!(outcome.result["ended"], "connection-lost");
    stage.check_both(&outcome);
    let outages = outcome.result["outages"].as_array().expect("outages");
    let is_given_up = |one: &&serde_json::Value| one["gave_up"].is_string();
    for outage in outages.iter().filter(is_given_up) {
        assert_eq!(outage["attempts"], 3, "{outage:#}");
    }
    assert!(outages.iter().any(|one| one["gave_up"].is_string()));
}
