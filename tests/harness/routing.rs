//! Routing of the fake broker: who gets a message, and where the script interferes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::mpsc::Sender;
use std::time::Duration;

use natsbench::clock::{MonoNanos, mono_now};
use natsbench::subject::Pattern;

use super::Cut;
use super::ledger::{Delivery, Ledger};
use super::script::{Fault, Published, Script, Whom};
use super::tally::MessageKey;

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
    newest: u64,
    has_anybody_left: bool,
    /// Deliveries whose PING was not answered yet; by connection.
    unconfirmed: BTreeMap<u64, VecDeque<(usize, Option<MessageKey>)>>,
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
            newest: 0,
            has_anybody_left: false,
            unconfirmed: BTreeMap::new(),
            unprocessed: BTreeMap::new(),
        }
    }

    /// A connection begins.
    pub(super) fn open(&mut self, connection: u64, outbox: Sender<Outgoing>) {
        self.outboxes.insert(connection, outbox);
        self.newest = self.newest.max(connection);
    }

    /// Whether the next connection is closed at once.
    pub(super) fn is_door_closed(&mut self) -> bool {
        let n_published = self.n_published;
        let mut doors = self.script.closed_doors.iter_mut();
        let door = doors.find(|door| n_published >= door.from && door.n_left > 0);
        door.is_some_and(|door| {
            door.n_left -= 1;
            true
        })
    }

    /// Whether the broker has not ended this connection; what it says afterwards is not heard.
    pub(super) fn is_open(&self, connection: u64) -> bool {
        self.outboxes.contains_key(&connection)
    }

    /// A connection has ended by itself: what it has said still counts.
    pub(super) fn close(&mut self, connection: u64) {
        self.process(connection, 0);
        let is_broken = self.ledger.broken.contains_key(&connection);
        self.has_anybody_left |= !is_broken && self.subscribers().contains(&connection);
        self.forget(connection);
    }

    /// The broker ends a connection: what it has not processed is lost.
    pub(super) fn end(&mut self, connection: u64, last: impl IntoIterator<Item = Outgoing>) {
        for outgoing in last {
            self.send(connection, outgoing);
        }
        let unprocessed = self.unprocessed.remove(&connection).unwrap_or_default();
        self.ledger.n_unprocessed += unprocessed.len() as u64;
        for (_, message) in &unprocessed {
            self.ledger.unprocessed.add(&message.payload);
        }
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
        if !self.is_open(connection) {
            // It was ended while this was read.
            return;
        }
        self.subscriptions.push(Subscription {
            connection,
            sid,
            pattern: pattern.parse().expect("a pattern"),
            delivery_idx: self.ledger.deliveries.len(),
        });
        self.ledger.deliveries.push(Delivery {
            connection,
            pattern: pattern.to_owned(),
            ..Delivery::default()
        });
    }

    /// The answer to CONNECT, if it is a refusal.
    pub(super) fn refusal(&mut self) -> Option<&'static str> {
        self.ledger.n_logins += 1;
        let n_published = self.n_published;
        let mut refusals = self.script.refusals.iter_mut();
        let refusal = refusals.find(|one| n_published >= one.from && one.n_left > 0)?;
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
            let is_heard = !self.ledger.broken.contains_key(&connection);
            if let Some(source) = self.ledger.sources.get_mut(&connection)
                && is_heard
            {
                source.n_acknowledged = source.n_accepted;
            }
        }
    }

    /// Takes the answer to a PING, also when the connection was ended behind that PING.
    pub(super) fn pong(&mut self, connection: u64) {
        let unconfirmed = self.unconfirmed.get_mut(&connection);
        if let Some((delivery_idx, Some(key))) = unconfirmed.and_then(VecDeque::pop_front) {
            let delivery = &mut self.ledger.deliveries[delivery_idx];
            delivery.confirmed.add_key(key);
        }
    }

    /// Sends a message to all who have subscribed to it.
    pub(super) fn deliver(&mut self, published: &Published) {
        let key = MessageKey::of(&published.payload);
        let is_confirmed = self.script.is_confirmed;
        let ping = if is_confirmed { "PING\r\n" } else { "" };
        for subscription in &self.subscriptions {
            if subscription.pattern.matches(&published.subject) {
                let head = format!(
                    "MSG {} {} {}\r\n",
                    published.subject,
                    subscription.sid,
                    published.payload.len()
                );
                let tail = ["\r\n", ping].concat();
                let bytes = [head.as_bytes(), &published.payload, tail.as_bytes()].concat();
                self.send(subscription.connection, Outgoing::Operations(bytes));
                let delivery_idx = subscription.delivery_idx;
                if let Some(key) = &key {
                    let delivery = &mut self.ledger.deliveries[delivery_idx];
                    delivery.messages.add_key(key.clone());
                }
                if is_confirmed {
                    let unconfirmed = self.unconfirmed.entry(subscription.connection);
                    unconfirmed
                        .or_default()
                        .push_back((delivery_idx, key.clone()));
                }
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
        self.accept(connection, &published.payload);
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

    fn accept(&mut self, connection: u64, payload: &[u8]) {
        let source = self.ledger.sources.entry(connection).or_default();
        if let Some(key) = MessageKey::of(payload) {
            source.publishers.insert(key.publisher);
            source.n_accepted += u64::from(key.is_measured);
            self.ledger.accepted.add_key(key);
        }
    }

    fn do_faults(&mut self, k: u64, publisher: u64) {
        let faults = self.script.faults.iter().filter(|(at, ..)| *at == k);
        let due: Vec<(Whom, Fault)> = faults
            .map(|(_, whom, fault)| (*whom, fault.clone()))
            .collect();
        for (whom, fault) in due {
            for subscriber in self.subscribers_among(whom) {
                self.do_fault(subscriber, &fault);
            }
            if matches!(whom, Whom::Publisher | Whom::All) {
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

    fn subscribers_among(&self, whom: Whom) -> BTreeSet<u64> {
        let subscribers = self.subscribers();
        match whom {
            Whom::Publisher => BTreeSet::new(),
            Whom::Subscribers | Whom::All => subscribers,
            Whom::Subscriber(nth) => {
                let at = nth % subscribers.len().max(1);
                subscribers.iter().nth(at).copied().into_iter().collect()
            }
        }
    }

    /// Does something to connections that there are now.
    pub(super) fn strike(&mut self, whom: Whom, fault: &Fault) {
        let subscribers = self.subscribers();
        let hit = self.subscribers_among(whom);
        let connections: Vec<u64> = self.outboxes.keys().copied().collect();
        for connection in connections {
            let is_publisher = !subscribers.contains(&connection);
            let is_hit = match whom {
                Whom::All => true,
                Whom::Publisher => is_publisher,
                Whom::Subscribers | Whom::Subscriber(_) => hit.contains(&connection),
            };
            if is_hit {
                self.do_fault(connection, fault);
            }
        }
    }

    fn do_fault(&mut self, connection: u64, fault: &Fault) {
        let end = Outgoing::End(Cut::Fin);
        let is_kept = matches!(fault, Fault::Lines(_) | Fault::Mute);
        if !is_kept && self.is_open(connection) {
            let newest = self.newest;
            self.ledger.broken.entry(connection).or_insert(newest);
        }
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
            Fault::Nonsense => {
                self.send(connection, Outgoing::Operations(b"NONSENSE\r\n".to_vec()));
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
        self.ledger.n_late += u64::from(self.has_anybody_left) * due.len() as u64;
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
