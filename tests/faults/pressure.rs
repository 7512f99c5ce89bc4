//! What is slow: a network that delays, throttles or stalls is no outage, until somebody loses patience.

use std::time::Duration;

use rustix::process::Signal;

use super::run::await_growth;
use super::stage::Stage;
use crate::harness::{Broker, Cut, Direction, eventually, pass_time};

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
fn a_subscriber_that_is_thrown_out_for_being_slow_is_told_so() {
    let impatient = "max_pending: 100KB\nmax_payload: 64KB";
    let stage = Stage::with(Broker::builder().monitored().config(impatient).start());
    let run = stage.subscriber(&["--size", "8000"]);
    stage.proxy.pause(Direction::Down);
    eventually("the server to lose patience", || {
        stage.broker.log().contains("Slow Consumer").then_some(())
    });
    // Only who is behind by more than a second is taken for slow.
    pass_time(Duration::from_millis(1_500));
    stage.proxy.resume(Direction::Down);
    run.await_events("subscriber", "reconnected", 1);
    stage.await_flow(Direction::Down);
    let outcome = run.interrupt();
    // On a busy machine the server is as impatient with the witness, so that the proxy alone is asked.
    let n_passed = stage.proxy.n_messages(Direction::Down);
    assert_eq!(outcome.load("received"), n_passed);
    assert_eq!(outcome.load("in_doubt"), 0);
    assert_eq!(outcome.kinds("subscriber"), ["slow-consumer"]);
    assert!(outcome.load("lost") > 0);
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
fn a_publisher_that_is_cut_off_while_it_cannot_write_sends_no_message_in_halves_or_twice() {
    for cut in [Cut::Fin, Cut::Reset] {
        let stage = Stage::new();
        let run = stage.publisher(&["--rate", "2000", "--size", "4000", "--drain", "20s"]);
        // Long enough for every buffer on the way to be full: eight megabytes a second fall due.
        stage.proxy.pause(Direction::Up);
        pass_time(Duration::from_millis(1_500));
        stage.proxy.cut(0, cut);
        stage.proxy.resume(Direction::Up);
        run.await_events("publisher", "reconnected", 1);
        stage.await_flow(Direction::Up);
        let outcome = run.interrupt();
        stage.check_publisher(&outcome);
        assert!(outcome.load("in_doubt") > 0, "{:#}", outcome.result["load"]);
        assert_eq!(outcome.load("undecodable"), 0);
        assert_eq!(outcome.load("refused"), 0);
    }
}

#[test]
fn a_run_that_was_frozen_itself_does_not_take_the_broker_for_gone() {
    let stage = Stage::new();
    let run = stage.both(&["--ping-interval", "1s", "--drain", "20s"]);
    run.signal(Signal::STOP);
    pass_time(Duration::from_millis(3_500));
    run.signal(Signal::CONT);
    stage.await_flow(Direction::Down);
    let outcome = run.interrupt();
    assert_eq!(
        outcome.result["n_outages"], 0,
        "{:#}",
        outcome.result["outages"]
    );
    assert_eq!(outcome.load("received"), outcome.load("sent"));
    stage.witness.await_measured(outcome.load("sent"));
}
