//! Routing of the fake broker: who gets a message, where the script interferes, and what was accepted and delivered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::Sender;
use std::time::Duration;

use natsbench::clock::{MonoNanos, mono_now};
use natsbench::subject::Pattern;

use super::script::{Fault, Published, Script, Whom};
use super::{Cut, Tally};

/// What all control subjects of natsbench begin with.
const CONTROL: &str = "_NATSBENCH.";

/// What is to be written to a connection.
#[derive(Debug, Clone)]
pub(super) enum Outgoing {
    /// NATS operations, as a frame of their own.
    Operations(Vec<u8>),
    /// These bytes, with no frame around them.
    Raw(Vec<u8>),
    /// Nothing: it ends.
    End(Cut),
}

/// One subscription of one connection.
pub(super) struct Subscription {
    pub(super) connection: u64,
    pub(super) sid: String,
    pub(super) pattern: Pattern,
    /// Where its deliveries are noted in the ledger.
    delivery_idx: usize,
}

/// What was delivered to one subscription, handed to its connection at least.
#[derive(Debug, Clone, Default)]
pub(crate) struct Delivery {
    /// The connection, in the order in which they came.
    pub(crate) connection: u64,
    /// What was subscribed to.
    pub(crate) pattern: String,
    /// The messages.
    pub(crate) messages: Tally,
}

/// What the fake broker knows to have happened.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    /// Messages that were read from publishers, those that were lost afterwards included.
    pub(crate) accepted: Tally,
    /// Messages that were accepted and lost with their connection.
    pub(crate) n_unprocessed: u64,
    /// Refused logins.
    pub(crate) n_refused_logins: u64,
    /// Logins.
    pub(crate) n_logins: u64,
    /// One for each subscription, in the order in which they were made.
    pub(crate) deliveries: Vec<Delivery>,
}

impl Ledger {
    /// What all subscriptions to this pattern got, taken together: of one subscriber that came back, all it got.
    pub(crate) fn delivered_to(&self, pattern: &str) -> Tally {
        let mut all = Tally::default();
        for delivery in &self.deliveries {
            if delivery.pattern == pattern {
                all.merge(&delivery.messages);
            }
        }
        all
    }
}

/// What all connections share.
pub(super) struct Shared {
    pub(super) script: Script,
    pub(super) n_published: u64,
    pub(super) subscriptions: Vec<Subscription>,
    /// Nothing is delivered before this moment.
    pub(super) delivers_from: MonoNanos,
    pub(super) ledger: Ledger,
    outboxes: BTreeMap<u64, Sender<Outgoing>>,
    muted: BTreeSet<u64>,
    /// Their fates are still to be decided; by connection.
    unprocessed: BTreeMap<u64, Vec<(u64, Published)>>,
}

impl Shared {
    pub(super) fn new(script: Script) -> Self {
        Self {
            script,
            n_published: 0,
            subscriptions: Vec::new(),
            delivers_from: MonoNanos(0),
            ledger: Ledger::default(),
            outboxes: BTreeMap::new(),
            muted: BTreeSet::new(),
            unprocessed: BTreeMap::new(),
        }
    }

    /// A connection begins.
    pub(super) fn open(&mut self, connection: u64, outbox: Sender<Outgoing>) {
        self.outboxes.insert(connection, outbox);
    }

    /// Whether the broker has not ended this connection; what it says afterwards is not heard.
    pub(super) fn is_open(&self, connection: u64) -> bool {
        self.outboxes.contains_key(&connection)
    }

    /// A connection has ended by itself: what it has said still counts.
    pub(super) fn close(&mut self, connection: u64) {
        self.process(connection, 0);
        self.forget(connection);
    }

    /// The broker ends a connection: what it has not processed is lost.
    pub(super) fn end(&mut self, connection: u64, last: impl IntoIterator<Item = Outgoing>) {
        for outgoing in last {
            self.send(connection, outgoing);
        }
        let unprocessed = self.unprocessed.remove(&connection);
        self.ledger.n_unprocessed += unprocessed.map_or(0, |messages| messages.len() as u64);
        self.forget(connection);
    }

    fn forget(&mut self, connection: u64) {
        self.outboxes.remove(&connection);
        self.subscriptions
            .retain(|subscription| subscription.connection != connection);
    }

    pub(super) fn send(&self, connection: u64, outgoing: Outgoing) {
        if let Some(outbox) = self.outboxes.get(&connection) {
            // A client that is gone gets nothing.
            let _ = outbox.send(outgoing);
        }
    }

    pub(super) fn subscribe(&mut self, connection: u64, sid: String, pattern: &str) {
        self.subscriptions.push(Subscription {
            connection,
            sid,
            pattern: pattern.parse().expect("a pattern"),
            delivery_idx: self.ledger.deliveries.len(),
        });
        self.ledger.deliveries.push(Delivery {
            connection,
            pattern: pattern.to_owned(),
            messages: Tally::default(),
        });
    }

    /// The answer to CONNECT, if it is a refusal.
    pub(super) fn refusal(&mut self) -> Option<&'static str> {
        self.ledger.n_logins += 1;
        let n_published = self.n_published;
        let refusal = self.script.refusal.as_mut()?;
        if n_published < refusal.from || refusal.n_left == 0 {
            return None;
        }
        refusal.n_left -= 1;
        self.ledger.n_refused_logins += 1;
        Some(refusal.reason)
    }

    /// Answers a PING, when all before it is processed.
    pub(super) fn ping(&mut self, connection: u64) {
        self.process(connection, 0);
        let ends_at = self.script.pongs_end_at;
        let is_silent = ends_at.is_some_and(|at| self.n_published >= at);
        if !is_silent && !self.muted.contains(&connection) {
            self.send(connection, Outgoing::Operations(b"PONG\r\n".to_vec()));
        }
    }

    /// Sends a message to all who have subscribed to it.
    pub(super) fn deliver(&mut self, published: &Published) {
        for subscription in &self.subscriptions {
            if subscription.pattern.matches(&published.subject) {
                let head = format!(
                    "MSG {} {} {}\r\n",
                    published.subject,
                    subscription.sid,
                    published.payload.len()
                );
                let bytes = [head.as_bytes(), &published.payload, b"\r\n"].concat();
                self.send(subscription.connection, Outgoing::Operations(bytes));
                self.ledger.deliveries[subscription.delivery_idx]
                    .messages
                    .add(&published.payload);
            }
        }
    }

    /// Takes one PUB; returns how long its publisher is not read from.
    pub(super) fn publish(&mut self, connection: u64, published: Published) -> Option<Duration> {
        if published.subject.starts_with(CONTROL) {
            self.process(connection, 0);
            if !self.script.is_end_dropped {
                self.deliver(&published);
            }
            return None;
        }
        let k = self.n_published;
        self.n_published += 1;
        self.ledger.accepted.add(&published.payload);
        if let Some((_, length)) = self.script.delivery_stops.filter(|(at, _)| *at == k) {
            self.delivers_from = mono_now().plus(nanos(length));
        }
        let unprocessed = self.unprocessed.entry(connection).or_default();
        unprocessed.push((k, published));
        // This one stays until the faults have happened: it may be among what is lost.
        let n_unprocessed = self.script.n_unprocessed;
        self.process(connection, n_unprocessed.max(1));
        self.do_faults(k, connection);
        self.process(connection, n_unprocessed);
        let stop = self.script.reading_stops.filter(|(at, _)| *at == k);
        stop.map(|(_, length)| length)
    }

    fn do_faults(&mut self, k: u64, publisher: u64) {
        let faults = self.script.faults.iter().filter(|(at, ..)| *at == k);
        let due: Vec<(Whom, Fault)> = faults
            .map(|(_, whom, fault)| (*whom, fault.clone()))
            .collect();
        for (whom, fault) in due {
            if whom != Whom::Publisher {
                for subscriber in self.subscribers() {
                    self.do_fault(subscriber, &fault);
                }
            }
            if whom != Whom::Subscribers {
                if self.script.n_unprocessed == 0 {
                    self.process(publisher, 0);
                }
                self.do_fault(publisher, &fault);
            }
        }
    }

    /// Connections with a subscription.
    fn subscribers(&self) -> BTreeSet<u64> {
        let subscribers = self.subscriptions.iter().map(|one| one.connection);
        subscribers.collect()
    }

    /// Does something to connections that there are now.
    pub(super) fn strike(&mut self, whom: Whom, fault: &Fault) {
        let subscribers = self.subscribers();
        let connections: Vec<u64> = self.outboxes.keys().copied().collect();
        for connection in connections {
            let is_hit = match whom {
                Whom::All => true,
                Whom::Subscribers => subscribers.contains(&connection),
                Whom::Publisher => !subscribers.contains(&connection),
            };
            if is_hit {
                self.do_fault(connection, fault);
            }
        }
    }

    fn do_fault(&mut self, connection: u64, fault: &Fault) {
        let end = Outgoing::End(Cut::Fin);
        match fault {
            Fault::Cut(cut) => self.end(connection, [Outgoing::End(*cut)]),
            Fault::CutInMidFrame => {
                // The head of a binary frame of 1,000 bytes, and the first three of them.
                let bytes = vec![0x82, 126, 3, 0xE8, b'M', b'S', b'G'];
                self.end(connection, [Outgoing::Raw(bytes), end]);
            }
            Fault::Close(payload) => {
                self.end(connection, [close_frame(payload), end]);
            }
            Fault::Lines(lines) => {
                self.send(connection, Outgoing::Operations(lines.as_bytes().to_vec()));
            }
            Fault::Mute => {
                self.muted.insert(connection);
            }
        }
    }

    /// Decides what becomes of the messages of a connection, all but the last so many.
    fn process(&mut self, publisher: u64, n_left: usize) {
        let Some(messages) = self.unprocessed.get_mut(&publisher) else {
            return;
        };
        let n_due = messages.len().saturating_sub(n_left);
        let due: Vec<_> = messages.drain(..n_due).collect();
        for (k, published) in due {
            for message in (self.script.fate)(k, published) {
                self.deliver(&message);
            }
        }
    }
}

/// A close frame as it is on the wire; by hand, because no library writes one with a code that must not be sent.
pub(super) fn close_frame(payload: &[u8]) -> Outgoing {
    let n_bytes = u8::try_from(payload.len()).expect("a control frame is short");
    assert!(n_bytes < 126, "a control frame is short");
    Outgoing::Raw([&[0x88, n_bytes], payload].concat())
}

pub(super) fn nanos(length: Duration) -> u64 {
    u64::try_from(length.as_nanos()).expect("a stall of less than centuries")
}
