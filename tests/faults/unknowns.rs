//! A subscriber that was away and cannot know what it missed does not say that it missed nothing.

use natsbench::cli::exit;

use super::run::Run;
use crate::harness::{Broker, Cut, FakeBroker, Fault, Script, Whom, eventually};

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
