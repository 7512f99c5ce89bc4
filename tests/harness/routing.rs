//! Routing of the fake broker: who gets a message, and where the script interferes.

use std::sync::mpsc::Sender;
use std::time::Duration;

use natsbench::clock::{MonoNanos, mono_now};
use natsbench::subject::Pattern;

use super::script::{Published, Script};

/// One subscription of one connection.
pub(super) struct Subscription {
    pub(super) connection: u64,
    pub(super) sid: String,
    pub(super) pattern: Pattern,
    pub(super) outbox: Sender<Vec<u8>>,
}

/// What all connections share.
pub(super) struct Shared {
    pub(super) script: Script,
    pub(super) n_published: u64,
    pub(super) subscriptions: Vec<Subscription>,
    /// Nothing is delivered before this moment.
    pub(super) delivers_from: MonoNanos,
}

impl Shared {
    pub(super) fn new(script: Script) -> Self {
        Self {
            script,
            n_published: 0,
            subscriptions: Vec::new(),
            delivers_from: MonoNanos(0),
        }
    }

    /// Sends a message to all who have subscribed to it.
    pub(super) fn deliver(&self, published: &Published) {
        for subscription in &self.subscriptions {
            if subscription.pattern.matches(&published.subject) {
                let head = format!(
                    "MSG {} {} {}\r\n",
                    published.subject,
                    subscription.sid,
                    published.payload.len()
                );
                let bytes = [head.as_bytes(), &published.payload, b"\r\n"].concat();
                // A subscriber that is gone gets nothing.
                let _ = subscription.outbox.send(bytes);
            }
        }
    }

    /// Routes one PUB of a round; returns how long its publisher is not read from.
    pub(super) fn route(
        &mut self,
        published: Published,
        outbox: &Sender<Vec<u8>>,
    ) -> Option<Duration> {
        let k = self.n_published;
        self.n_published += 1;
        if let Some((_, length)) = self.script.delivery_stops.filter(|(at, _)| *at == k) {
            self.delivers_from = mono_now().plus(nanos(length));
        }
        let subscribers = self
            .subscriptions
            .iter()
            .map(|subscription| &subscription.outbox);
        if let Some((_, lines)) = self.script.injection.filter(|(at, _)| *at == k) {
            for outbox in subscribers.clone().chain([outbox]) {
                let _ = outbox.send(lines.as_bytes().to_vec());
            }
        }
        if self.script.cut_at == Some(k) {
            for outbox in subscribers {
                // An empty message is the order to cut.
                let _ = outbox.send(Vec::new());
            }
        }
        for message in (self.script.fate)(k, published) {
            self.deliver(&message);
        }
        let stop = self.script.reading_stops.filter(|(at, _)| *at == k);
        stop.map(|(_, length)| length)
    }
}

pub(super) fn nanos(length: Duration) -> u64 {
    u64::try_from(length.as_nanos()).expect("a stall of less than centuries")
}
