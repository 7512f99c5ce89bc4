//! A set-up for what happens between natsbench and its broker.
//!
//! The role that a test is about goes through a proxy, and the other one straight to the broker, where a witness
//! subscribes, too: what the broker has had is known, and what passed the proxy as well.

use super::run::{Outcome, Run, await_growth};
use crate::harness::{Broker, Direction, FaultProxy, Witness, eventually};

/// A broker, a witness, and a run of which one role goes through a proxy.
pub(super) struct Stage {
    pub(super) broker: Broker,
    pub(super) proxy: FaultProxy,
    pub(super) witness: Witness,
}

impl Stage {
    pub(super) fn new() -> Self {
        Self::with(Broker::monitored())
    }

    pub(super) fn with(broker: Broker) -> Self {
        let proxy = FaultProxy::to(broker.ws_port());
        let witness = Witness::start(&broker, "rounds.>");
        Self {
            broker,
            proxy,
            witness,
        }
    }

    /// The subscriber goes through the proxy.
    pub(super) fn subscriber(&self, args: &[&str]) -> Run {
        let direct = self.broker.ws_url();
        let args = [&["--pub-server", &direct], args].concat();
        let run = Run::latency(&self.proxy.ws_url(), &args);
        self.await_flow(Direction::Down);
        run
    }

    /// The publisher goes through the proxy.
    pub(super) fn publisher(&self, args: &[&str]) -> Run {
        let proxied = self.proxy.ws_url();
        let args = [&["--pub-server", &proxied], args].concat();
        let run = Run::latency(&self.broker.ws_url(), &args);
        self.await_flow(Direction::Up);
        run
    }

    /// Both do.
    pub(super) fn both(&self, args: &[&str]) -> Run {
        let run = Run::latency(&self.proxy.ws_url(), args);
        self.await_flow(Direction::Down);
        run
    }

    /// Waits until further messages have passed the proxy.
    #[track_caller]
    pub(super) fn await_flow(&self, direction: Direction) {
        await_growth("messages through the proxy", 50, || {
            self.proxy.n_messages(direction)
        });
    }

    /// Of a run whose subscriber alone was hit: the broker has had everything, and what passed the proxy was received.
    #[track_caller]
    pub(super) fn check_subscriber(&self, outcome: &Outcome) {
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
    pub(super) fn check_publisher(&self, outcome: &Outcome) {
        let tally = self.witness.await_measured(outcome.load("received"));
        assert_eq!(outcome.load("lost"), 0, "{:#}", outcome.result["load"]);
        assert_eq!(outcome.load("duplicated"), tally.n_duplicates());
        assert!(outcome.outages("subscriber").is_empty());
    }

    /// Of a run both of whose roles were hit: nothing is said to have been lost that the broker has not had.
    #[track_caller]
    pub(super) fn check_both(&self, outcome: &Outcome) {
        let known = outcome.load("received") + outcome.load("lost");
        eventually("the witness", || {
            (self.witness.tally().n_measured() >= known).then_some(())
        });
        assert!(self.witness.tally().n_measured() <= outcome.load("sent"));
    }
}
