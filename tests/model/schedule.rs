//! A schedule of faults: what one run is like, and what the broker does to it at which message.

use std::collections::BTreeSet;
use std::time::Duration;

use natsbench::load::plan::WhileDown;
use natsbench::rounds::Route;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::harness::{Cut, Fault, Published, Script, Whom};

/// How often a broker says no to those who come back, and how.
#[derive(Debug, Clone, Copy)]
pub(super) enum Refusal {
    /// Connections are closed at once.
    ClosedDoor,
    /// Logins are refused for a reason that may pass.
    Timeout,
    /// Logins are refused for good; a client tries twice.
    Violation,
}

/// What happens at one message.
#[derive(Debug, Clone)]
pub(super) enum Incident {
    /// Connections end.
    Break(Whom, Fault),
    /// Their PINGs are not answered any more.
    Mute(Whom),
    /// They are told something that ends nothing.
    Complain(Whom, &'static str),
    /// The message is not delivered.
    Drop,
    /// It is delivered twice.
    Double,
    /// The one behind it is delivered first.
    Swap,
    /// The broker reads no further in this connection for so many milliseconds.
    StopReading(u64),
    /// The same, and the next message that it reads ends this connection, which is still full of what waited.
    Choke(u64, Fault),
    /// The next so many who come are turned away.
    Refuse(u64, Refusal),
}

/// One run and its faults.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    pub(super) n_rounds: u64,
    pub(super) n_warmup_rounds: u64,
    /// Divides a second into whole nanoseconds.
    pub(super) rate_per_s: u64,
    pub(super) n_publishers: u16,
    pub(super) n_subscribers: u16,
    pub(super) route: Route,
    pub(super) size_bytes: Option<usize>,
    pub(super) while_down: WhileDown,
    pub(super) max_attempts: Option<u64>,
    pub(super) reconnect_wait: Duration,
    pub(super) drain: Duration,
    /// Messages of a connection that the broker has and loses when it breaks the connection.
    pub(super) n_unprocessed: usize,
    /// By message number.
    pub(super) incidents: Vec<(u64, Incident)>,
}

impl Schedule {
    /// A quiet run of one publisher and one subscriber.
    pub(super) fn quiet() -> Self {
        Self {
            n_rounds: 100,
            n_warmup_rounds: 0,
            rate_per_s: 2_000,
            n_publishers: 1,
            n_subscribers: 1,
            route: Route::Game,
            size_bytes: None,
            while_down: WhileDown::Send,
            max_attempts: None,
            reconnect_wait: Duration::from_millis(2),
            drain: Duration::from_millis(200),
            n_unprocessed: 0,
            incidents: Vec::new(),
        }
    }

    /// Some connections may fall silent, so that their clients may give them up at any time.
    pub(super) fn has_silence(&self) -> bool {
        let mut incidents = self.incidents.iter();
        incidents.any(|(_, incident)| matches!(incident, Incident::Mute(_)))
    }

    /// Messages may be missing that no outage of a subscriber can explain: the broker loses them itself, or a publisher has
    /// given up a connection whose messages the broker goes on reading beside those of the next one.
    pub(super) fn has_other_losses(&self) -> bool {
        let is_loss = |incident: &Incident| match incident {
            Incident::Drop | Incident::Swap | Incident::Mute(_) => true,
            Incident::Break(Whom::Publisher | Whom::All, fault) | Incident::Choke(_, fault) => {
                matches!(fault, Fault::Nonsense)
            }
            _ => false,
        };
        let mut incidents = self.incidents.iter();
        self.n_unprocessed > 0 || incidents.any(|(_, incident)| is_loss(incident))
    }

    /// What the broker is told.
    pub(super) fn script(&self) -> Script {
        let mut script = Script::new()
            .lose_unprocessed(self.n_unprocessed)
            .confirm_deliveries();
        for (k, incident) in self.incidents.iter().cloned() {
            // Who comes for the first time is let in: a run that cannot begin has nothing to account for.
            let behind = k + 1;
            script =
                match incident {
                    Incident::Break(whom, fault) => script.at(k, whom, fault),
                    Incident::Mute(whom) => script.at(k, whom, Fault::Mute),
                    Incident::Complain(whom, line) => script.at(k, whom, Fault::Lines(line)),
                    Incident::StopReading(ms) => script.stop_reading(k, Duration::from_millis(ms)),
                    Incident::Choke(ms, fault) => script
                        .stop_reading(k, Duration::from_millis(ms))
                        .at(k + 1, Whom::Publisher, fault),
                    Incident::Refuse(n, Refusal::ClosedDoor) => script.close_doors(behind, n),
                    Incident::Refuse(n, Refusal::Timeout) => {
                        script.refuse_logins(behind, n, "Authentication Timeout")
                    }
                    Incident::Refuse(n, Refusal::Violation) => {
                        script.refuse_logins(behind, n, "Authorization Violation")
                    }
                    Incident::Drop | Incident::Double | Incident::Swap => script,
                };
        }
        let mut fates = Fates::new(&self.incidents);
        script.fate(move |k, published| fates.of(k, published))
    }
}

/// What becomes of the messages themselves.
#[derive(Debug, Default)]
struct Fates {
    dropped: BTreeSet<u64>,
    doubled: BTreeSet<u64>,
    swapped: BTreeSet<u64>,
    held: Vec<Published>,
}

impl Fates {
    /// Sorts out what is about messages.
    fn new(incidents: &[(u64, Incident)]) -> Self {
        let mut fates = Self::default();
        for (k, incident) in incidents {
            match incident {
                Incident::Drop => _ = fates.dropped.insert(*k),
                Incident::Double => _ = fates.doubled.insert(*k),
                Incident::Swap => _ = fates.swapped.insert(*k),
                _ => {}
            }
        }
        fates
    }

    fn of(&mut self, k: u64, published: Published) -> Vec<Published> {
        if self.dropped.contains(&k) {
            return Vec::new();
        }
        if self.swapped.contains(&k) {
            self.held.push(published);
            return Vec::new();
        }
        let n_copies = if self.doubled.contains(&k) { 2 } else { 1 };
        let mut all = vec![published; n_copies];
        all.append(&mut self.held);
        all
    }
}

/// Any schedule. All shrink towards a quiet run.
pub(super) fn any_schedule() -> impl Strategy<Value = Schedule> {
    let load = (
        60..300_u64,
        prop_oneof![3 => Just(0), 1 => 1..30_u64],
        prop_oneof![Just(2_000), Just(1_000), Just(2_500)],
        prop_oneof![2 => Just(None), 1 => Just(Some(8_000))],
        prop_oneof![Just(Route::Game), Just(Route::Both)],
    );
    let connections = (
        1..=2_u16,
        1..=3_u16,
        prop_oneof![Just(WhileDown::Send), Just(WhileDown::Skip)],
        prop_oneof![8 => Just(None), 1 => Just(Some(0)), 1 => (1..4_u64).prop_map(Some)],
        1..=5_u64,
    );
    let broker = (
        150..=300_u64,
        prop_oneof![1 => Just(0), 2 => 1..40_usize],
        vec((0..320_u64, any_incident()), 0..7),
    );
    (load, connections, broker).prop_map(|(load, connections, broker)| {
        let (n_rounds, n_warmup_rounds, rate_per_s, size_bytes, route) = load;
        let (n_publishers, n_subscribers, while_down, max_attempts, wait_ms) = connections;
        let (drain_ms, n_unprocessed, incidents) = broker;
        Schedule {
            n_rounds,
            n_warmup_rounds,
            rate_per_s,
            n_publishers,
            n_subscribers,
            route,
            size_bytes,
            while_down,
            max_attempts,
            reconnect_wait: Duration::from_millis(wait_ms),
            drain: Duration::from_millis(drain_ms),
            n_unprocessed,
            incidents,
        }
    })
}

fn any_incident() -> impl Strategy<Value = Incident> {
    let refusal = prop_oneof![
        Just(Refusal::ClosedDoor),
        Just(Refusal::Timeout),
        Just(Refusal::Violation)
    ];
    prop_oneof![
        8 => (anybody(), any_break()).prop_map(|(whom, fault)| Incident::Break(whom, fault)),
        1 => anybody().prop_map(Incident::Mute),
        1 => (anybody(), any_complaint()).prop_map(|(whom, line)| Incident::Complain(whom, line)),
        2 => Just(Incident::Drop),
        2 => Just(Incident::Double),
        2 => Just(Incident::Swap),
        1 => (5..40_u64).prop_map(Incident::StopReading),
        1 => (20..60_u64, any_break()).prop_map(|(ms, fault)| Incident::Choke(ms, fault)),
        3 => (1..5_u64, refusal).prop_map(|(n, how)| Incident::Refuse(n, how)),
    ]
}

fn anybody() -> impl Strategy<Value = Whom> {
    prop_oneof![
        3 => Just(Whom::Publisher),
        2 => (0..3_usize).prop_map(Whom::Subscriber),
        1 => Just(Whom::Subscribers),
        1 => Just(Whom::All),
    ]
}

fn any_break() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::Cut(Cut::Fin)),
        Just(Fault::Cut(Cut::Reset)),
        Just(Fault::CutInMidFrame),
        Just(Fault::Nonsense),
        prop_oneof![Just(1000), Just(1001), Just(1008), Just(1012)]
            .prop_map(|code| Fault::close(code, "as it was told")),
    ]
}

fn any_complaint() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("-ERR 'Permissions Violation for Publish to \"rounds.game.crash\"'\r\n"),
        Just("-ERR 'Slow Consumer'\r\n"),
        // No PING: its answer would be taken for that to the PING behind a message.
        Just("+OK\r\n"),
    ]
}
