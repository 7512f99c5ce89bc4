//! What only a scripted broker can do: close frames of every code, refusals by count, silence, messages lost for certain.
//!
//! The fake broker's ledger says what was accepted from whom, and what was handed to each subscription.

use natsbench::cli::exit;

use super::run::{Outcome, Run, await_growth};
use crate::harness::{Cut, FakeBroker, Fault, HeldPort, Published, Script, Whom, eventually};

/// Waits until so many further rounds were published.
#[track_caller]
fn await_flow(broker: &FakeBroker) {
    await_growth("published rounds", 50, || broker.n_published());
}

/// What was handed to its subscriptions, one after the other, is what was received.
#[track_caller]
fn check_deliveries(outcome: &Outcome, broker: &FakeBroker) {
    let ledger = broker.ledger();
    let mut delivered = crate::harness::Tally::default();
    for delivery in &ledger.deliveries {
        delivered.merge(&delivery.messages);
    }
    let load = &outcome.result["load"];
    assert_eq!(outcome.load("received"), delivered.n_measured(), "{load:#}");
    assert_eq!(
        outcome.load("duplicated"),
        delivered.n_duplicates(),
        "{load:#}"
    );
    let known = outcome.load("received") + outcome.load("lost");
    assert!(known <= ledger.accepted.n_measured(), "{load:#}");
    assert!(ledger.accepted.n_measured() <= outcome.load("sent"));
}

#[test]
fn a_close_frame_is_named_with_its_code_whatever_it_is() {
    let broker = FakeBroker::start(Script::new());
    let run = Run::latency(&broker.ws_url(), &[]);
    await_flow(&broker);
    // All that RFC 6455 names, those that must not be sent among them, and one of each free range.
    let codes: Vec<u16> = (1000..=1015).chain([3000, 4999]).collect();
    let strikes = codes.iter().map(|code| Fault::close(*code, "so it is"));
    // And a close frame without a code.
    let strikes = strikes.chain([Fault::Close(Vec::new())]);
    for (n_before, fault) in strikes.enumerate() {
        broker.strike(Whom::All, &fault);
        run.await_events("subscriber", "reconnected", n_before + 1);
        run.await_events("publisher", "reconnected", n_before + 1);
        await_flow(&broker);
    }
    let outcome = run.interrupt();
    check_deliveries(&outcome, &broker);
    for role in ["subscriber", "publisher"] {
        let outages = outcome.outages(role);
        assert_eq!(outages.len(), codes.len() + 1, "{role}");
        for (outage, code) in outages.iter().zip(codes.iter().chain([&1005])) {
            let cause = &outage["cause"];
            // A code that must not be sent may as well be called a breach of the protocol; in words, it is named.
            let may_be_sent = !matches!(code, 1004..=1006 | 1015);
            let kind = cause["kind"].as_str().expect("a kind");
            assert!(
                kind == "close-frame" || (kind == "protocol" && !may_be_sent),
                "{role}, {code}: {cause:#}"
            );
            if kind == "close-frame" {
                assert_eq!(cause["close_code"], *code, "{role}: {cause:#}");
            }
            let text = cause["text"].as_str().expect("a text");
            let has_reason = text.contains("so it is") && text.contains(&code.to_string());
            assert!(has_reason || *code == 1005, "{role}: {text}");
        }
    }
}

#[test]
fn what_a_subscriber_misses_until_it_is_back_is_lost_and_nothing_is_in_doubt() {
    let broker = FakeBroker::start(Script::new().at(100, Whom::Subscribers, Fault::Cut(Cut::Fin)));
    let run = Run::latency(&broker.ws_url(), &[]);
    run.await_events("subscriber", "reconnected", 1);
    await_flow(&broker);
    let outcome = run.interrupt();
    check_deliveries(&outcome, &broker);
    assert_eq!(outcome.kinds("subscriber"), ["eof"]);
    assert_eq!(outcome.load("in_doubt"), 0);
    let n_lost = outcome.load("lost");
    assert!(n_lost > 0, "{:#}", outcome.result["load"]);
    assert_eq!(outcome.outage("subscriber")["lost"], n_lost);
}

#[test]
fn what_a_broker_accepted_and_lost_is_in_doubt() {
    for cut in [Cut::Fin, Cut::Reset] {
        let script = Script::new()
            .lose_unprocessed(7)
            .at(100, Whom::Publisher, Fault::Cut(cut));
        let broker = FakeBroker::start(script);
        let run = Run::latency(&broker.ws_url(), &[]);
        run.await_events("publisher", "reconnected", 1);
        await_flow(&broker);
        let outcome = run.interrupt();
        check_deliveries(&outcome, &broker);
        let ledger = broker.ledger();
        assert!(ledger.n_unprocessed > 0);
        // What was not accepted any more is in doubt, too.
        let load = &outcome.result["load"];
        assert!(outcome.load("in_doubt") >= ledger.n_unprocessed, "{load:#}");
        assert_eq!(outcome.load("lost"), 0, "{load:#}");
        // The publisher could not know that some of it arrived.
        let of_outage = outcome.outage("publisher")["in_doubt"].as_u64();
        assert!(of_outage >= Some(outcome.load("in_doubt")), "{load:#}");
    }
}

#[test]
fn what_is_missing_before_something_that_arrived_over_the_same_connection_is_lost_for_certain() {
    let fate = |k: u64, published: Published| {
        let is_dropped = (95..98).contains(&k);
        if is_dropped {
            Vec::new()
        } else {
            vec![published]
        }
    };
    let script = Script::new()
        .fate(fate)
        .at(100, Whom::Publisher, Fault::Cut(Cut::Fin));
    let broker = FakeBroker::start(script);
    let run = Run::latency(&broker.ws_url(), &[]);
    run.await_events("publisher", "reconnected", 1);
    await_flow(&broker);
    let outcome = run.interrupt();
    check_deliveries(&outcome, &broker);
    let load = &outcome.result["load"];
    assert_eq!(outcome.load("lost"), 3, "{load:#}");
    let n_accepted = broker.ledger().accepted.n_measured();
    assert_eq!(outcome.load("in_doubt"), outcome.load("sent") - n_accepted);
}

#[test]
fn a_broker_that_answers_no_ping_is_left_by_the_publisher_and_nothing_is_lost() {
    let broker = FakeBroker::start(Script::new().at(50, Whom::Publisher, Fault::Mute));
    let run = Run::latency(&broker.ws_url(), &["--ping-interval", "300ms"]);
    run.await_events("publisher", "reconnected", 1);
    await_flow(&broker);
    let outcome = run.interrupt();
    check_deliveries(&outcome, &broker);
    assert_eq!(outcome.kinds("publisher"), ["timeout"]);
    // Whatever it has had, it has delivered, and what arrived is not in doubt.
    assert_eq!(outcome.load("lost"), 0);
    assert!(outcome.outages("subscriber").is_empty());
}

#[test]
fn garbage_in_mid_run_is_a_breach_of_the_protocol_and_the_connection_is_replaced() {
    let broker = FakeBroker::start(Script::new());
    let run = Run::latency(&broker.ws_url(), &[]);
    await_flow(&broker);
    let faults = [Fault::Lines("GARBAGE\r\n"), Fault::Lines("\r\n\r\n")];
    for (n_before, fault) in faults.iter().enumerate() {
        broker.strike(Whom::All, fault);
        run.await_events("subscriber", "reconnected", n_before + 1);
        run.await_events("publisher", "reconnected", n_before + 1);
        await_flow(&broker);
    }
    let outcome = run.interrupt();
    for role in ["subscriber", "publisher"] {
        assert_eq!(outcome.kinds(role), ["protocol"; 2], "{role}");
    }
    let known = outcome.load("received") + outcome.load("lost");
    assert!(known <= broker.ledger().accepted.n_measured());
}

#[test]
fn what_the_server_said_before_the_end_is_the_cause() {
    let broker = FakeBroker::start(Script::new());
    let run = Run::latency(&broker.ws_url(), &[]);
    await_flow(&broker);
    broker.strike(
        Whom::Subscribers,
        &Fault::Lines("-ERR 'Stale Connection'\r\n"),
    );
    broker.strike(Whom::Subscribers, &Fault::Cut(Cut::Fin));
    run.await_events("subscriber", "reconnected", 1);
    await_flow(&broker);
    let outcome = run.interrupt();
    check_deliveries(&outcome, &broker);
    let cause = &outcome.outage("subscriber")["cause"];
    assert_eq!(cause["kind"], "server-error", "{cause:#}");
    let text = cause["text"].as_str().expect("a text");
    assert!(text.contains("Stale Connection"), "{text}");
}

#[test]
fn a_login_that_is_refused_for_good_is_tried_twice() {
    let script = Script::new()
        .refuse_logins(100, u64::MAX, "Authorization Violation")
        .at(100, Whom::Subscribers, Fault::Cut(Cut::Fin));
    let broker = FakeBroker::start(script);
    let outcome = Run::latency(&broker.ws_url(), &[]).finish();
    assert_eq!(outcome.code, Some(i32::from(exit::UNREACHABLE)));
    assert_eq!(outcome.result["ended"], "connection-lost");
    assert_eq!(broker.ledger().n_refused_logins, 2);
    check_deliveries(&outcome, &broker);
    let outage = outcome.outages("subscriber")[0];
    assert_eq!(outage["attempts"], 2, "{outage:#}");
    let reason = outage["gave_up"].as_str().expect("a reason");
    assert!(reason.contains("Authorization Violation"), "{outage:#}");
}

#[test]
fn a_refusal_for_good_ends_a_run_although_another_server_is_out_of_reach() {
    let script = Script::new()
        .refuse_logins(100, u64::MAX, "Authorization Violation")
        .at(100, Whom::All, Fault::Cut(Cut::Fin));
    let broker = FakeBroker::start(script);
    let nobody = HeldPort::new();
    let urls = format!("{},ws://127.0.0.1:{}", broker.ws_url(), nobody.number());
    let outcome = Run::latency(&urls, &[]).finish();
    assert_eq!(outcome.code, Some(i32::from(exit::UNREACHABLE)));
}

#[test]
fn a_login_that_is_refused_once_or_for_a_passing_reason_is_tried_on() {
    for (n_logins, reason) in [
        (1, "Authorization Violation"),
        (9, "maximum connections exceeded"),
        (9, "Authentication Timeout"),
    ] {
        let script = Script::new().refuse_logins(100, n_logins, reason).at(
            100,
            Whom::Subscribers,
            Fault::Cut(Cut::Fin),
        );
        let broker = FakeBroker::start(script);
        let run = Run::latency(&broker.ws_url(), &[]);
        run.await_events("subscriber", "reconnected", 1);
        await_flow(&broker);
        let outcome = run.interrupt();
        check_deliveries(&outcome, &broker);
        let outage = outcome.outage("subscriber");
        assert_eq!(outage["attempts"], n_logins + 1, "{reason}: {outage:#}");
        assert!(outage["failed"].to_string().contains(reason), "{outage:#}");
    }
}

#[test]
fn copies_that_come_after_a_reconnect_are_not_counted_as_new() {
    // Given a broker that delivers everything twice once the subscriber was cut off, as a replay would
    let fate = |k: u64, published: Published| {
        let n_copies = if k < 100 { 1 } else { 2 };
        vec![published; n_copies]
    };
    let script = Script::new().fate(fate);
    let broker = FakeBroker::start(script.at(100, Whom::All, Fault::Cut(Cut::Fin)));
    let run = Run::latency(&broker.ws_url(), &[]);
    run.await_events("subscriber", "reconnected", 1);
    run.await_events("publisher", "reconnected", 1);
    await_flow(&broker);
    let outcome = run.interrupt();
    check_deliveries(&outcome, &broker);
    assert!(outcome.load("duplicated") > 0);
}

#[test]
fn rounds_that_fall_due_while_the_publisher_is_away_are_sent_late_or_left_out() {
    for while_down in ["send", "skip"] {
        let script = Script::new().at(100, Whom::Publisher, Fault::Cut(Cut::Fin));
        let broker = FakeBroker::start(script);
        let args = ["--while-down", while_down, "--reconnect-wait", "400ms"];
        let run = Run::latency(&broker.ws_url(), &args);
        run.await_events("publisher", "reconnected", 1);
        await_flow(&broker);
        let outcome = run.interrupt();
        check_deliveries(&outcome, &broker);
        let load = &outcome.result["load"];
        assert_eq!(outcome.load("lost"), 0, "{load:#}");
        if while_down == "send" {
            assert_eq!(outcome.load("skipped"), 0, "{load:#}");
        } else {
            let outage = outcome.outage("publisher");
            assert_eq!(outage["skipped"].as_u64(), load["skipped"].as_u64());
        }
        // Everything that was sent on the connection that is left has arrived.
        assert_eq!(
            outcome.load("sent"),
            outcome.load("received") + outcome.load("in_doubt"),
            "{load:#}"
        );
    }
}

#[test]
fn a_run_that_is_interrupted_while_everybody_is_away_ends_and_says_what_it_knows() {
    let script = Script::new()
        .refuse_logins(100, u64::MAX, "maximum connections exceeded")
        .at(100, Whom::All, Fault::Cut(Cut::Fin));
    let broker = FakeBroker::start(script);
    let run = Run::latency(&broker.ws_url(), &[]);
    run.await_attempt(3);
    let outcome = run.interrupt();
    check_deliveries(&outcome, &broker);
    assert_eq!(outcome.load("received"), 100);
    for role in ["subscriber", "publisher"] {
        let outage = outcome.outages(role)[0];
        assert!(outage["duration_ns"].is_null(), "{outage:#}");
    }
}

#[test]
fn a_publisher_alone_comes_back_and_sends_on() {
    let script = Script::new().at(100, Whom::Publisher, Fault::Cut(Cut::Fin));
    let broker = FakeBroker::start(script);
    let outcome = Run::publish(&broker.ws_url(), &["--count", "400"]).finish();
    assert_eq!(outcome.load("planned"), 400);
    assert_eq!(outcome.load("sent"), 400);
    assert_eq!(outcome.outages("publisher").len(), 1);
    let n_accepted = broker.ledger().accepted.n_measured();
    assert!(outcome.load("sent") - outcome.load("in_doubt") <= n_accepted);
    // It cannot know what became of what it had handed over.
    assert_eq!(outcome.code, Some(i32::from(exit::INCONCLUSIVE)));
}

#[test]
fn a_subscriber_alone_counts_what_it_missed_by_the_numbers_and_the_end_of_run_message() {
    let script = Script::new().at(100, Whom::Subscribers, Fault::Cut(Cut::Fin));
    let broker = FakeBroker::start(script);
    let subscriber = Run::subscribe(&broker.ws_url(), &[]);
    eventually("subscriptions", || {
        (broker.n_subscriptions() == 2).then_some(())
    });
    let publisher = Run::publish(&broker.ws_url(), &[]);
    subscriber.await_events("subscriber", "reconnected", 1);
    await_flow(&broker);
    let of_publisher = publisher.interrupt();
    let outcome = subscriber.interrupt();
    let ledger = broker.ledger();
    assert_eq!(ledger.accepted.n_measured(), of_publisher.load("sent"));
    let delivered = ledger.delivered_to("rounds.game.*");
    assert_eq!(outcome.load("received"), delivered.n_measured());
    assert_eq!(
        outcome.load("lost"),
        of_publisher.load("sent") - delivered.n_measured(),
        "{:#}",
        outcome.result["load"]
    );
    assert_eq!(outcome.outage("subscriber")["lost"], outcome.load("lost"));
}
