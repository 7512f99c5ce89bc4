//! What the fake broker knows to have happened: what it accepted, what it delivered to whom, and what it broke.

use std::collections::{BTreeMap, BTreeSet};

use super::Tally;

/// What was delivered to one subscription, handed to its connection at least.
#[derive(Debug, Clone, Default)]
pub(crate) struct Delivery {
    /// The connection, in the order in which they came.
    pub(crate) connection: u64,
    /// What was subscribed to.
    pub(crate) pattern: String,
    /// The messages.
    pub(crate) messages: Tally,
    /// Those of them that are known to have been read; only of a script that has deliveries confirmed.
    pub(crate) confirmed: Tally,
}

/// What came over one publishing connection, in messages of measured phases.
#[derive(Debug, Clone, Default)]
pub(crate) struct Source {
    /// Publisher numbers: more than one would be a fault of the client.
    pub(crate) publishers: BTreeSet<u64>,
    /// Messages that were accepted.
    pub(crate) n_accepted: u64,
    /// Those of them that were followed by a PING which was answered.
    pub(crate) n_acknowledged: u64,
}

/// What the fake broker knows to have happened.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    /// Messages that were read from publishers, those that were lost afterwards included.
    pub(crate) accepted: Tally,
    /// Messages that were accepted and lost with their connection.
    pub(crate) n_unprocessed: u64,
    /// Which these were.
    pub(crate) unprocessed: Tally,
    /// Publishing connections.
    pub(crate) sources: BTreeMap<u64, Source>,
    /// Connections that were broken by the script, and the newest connection that there was then.
    pub(crate) broken: BTreeMap<u64, u64>,
    /// Messages that were processed when a subscriber had left of its own accord.
    pub(crate) n_late: u64,
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
