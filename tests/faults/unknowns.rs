//! Who cannot know does not say that he knows: a subscriber that was away, and a client library that lost its connection.

use natsbench::cli::exit;

use super::run::Run;
use super::stage::Stage;
use crate::harness::{Broker, Cut, Direction, FakeBroker, Fault, Script, Whom, eventually};

#[test]
fn a_subscriber_that_is_away_at_its_end_does_not_pass() {
    let mut broker = Broker::monitored();
    let url = broker.ws_url();
    let subscriber = Run::subscribe(&url, &["--duration", "2s"]);
    subscriber.await_events("subscriber", "connected", 1);
    let _publisher = Run::publish(&url, &[]);
    broker.await_published(100);
    broker.kill();
    let outcome = subscriber.finish();
    let outage = outcome.outages("subscriber")[0];
    assert!(outage["duration_ns"].is_null(), "{outage:#}");
    assert_eq!(
        outcome.code,
        Some(i32::from(exit::INCONCLUSIVE)),
        "{:#}",
        outcome.result
    );
}

#[test]
fn of_messages_without_a_stamp_nobody_knows_how_many_an_outage_cost() {
    let script = Script::new().at(100, Whom::Subscribers, Fault::Cut(Cut::Fin));
    let broker = FakeBroker::start(script);
    let url = broker.ws_url();
    let subscriber = Run::subscribe(&url, &["--count", "150"]);
    eventually("subscriptions", || {
        (broker.n_subscriptions() == 2).then_some(())
    });
    let _publisher = Run::publish(&url, &["--no-stamp"]);
    let outcome = subscriber.finish();
    assert_eq!(outcome.load("received"), 150);
    let outage = outcome.outage("subscriber");
    assert!(outage["lost"].is_null(), "{outage:#}");
    assert_eq!(
        outcome.code,
        Some(i32::from(exit::INCONCLUSIVE)),
        "{:#}",
        outcome.result
    );
}

#[test]
fn what_a_library_had_not_delivered_is_in_doubt() {
    for cut in [Cut::Fin, Cut::Reset] {
        let stage = Stage::new();
        let run = stage.publisher(&["--client", "async-nats"]);
        stage.proxy.cut(0, cut);
        run.await_events("publisher", "reconnected", 1);
        stage.await_flow(Direction::Up);
        let outcome = run.interrupt();
        stage.check_publisher(&outcome);
    }
}
