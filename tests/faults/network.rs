//! What lies between natsbench and the broker breaks: cut, half-closed, swallowed, reset, refused, garbled.

use natsbench::cli::exit;

use super::run::Run;
use super::stage::Stage;
use crate::harness::{Cut, Direction, Place};

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
