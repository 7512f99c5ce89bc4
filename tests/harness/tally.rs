//! Which messages of a run passed somewhere, by their stamps.
//!
//! The stamp is read by a JSON parser and taken apart here, and not by the code that is tested, so that the two check
//! each other.

use std::collections::BTreeMap;

use serde_json::Value;

/// What tells one message from all others, as written in its stamp.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MessageKey {
    /// Run, in hexadecimal.
    pub(crate) run: String,
    /// It is not of the warm-up.
    pub(crate) is_measured: bool,
    /// Publisher number.
    pub(crate) publisher: u64,
    /// Stream number of this publisher.
    pub(crate) stream: u64,
    /// Number in this stream.
    pub(crate) seq: u64,
}

impl MessageKey {
    /// Of a round with a stamp; `None` of anything else.
    pub(crate) fn of(payload: &[u8]) -> Option<Self> {
        let round: Value = serde_json::from_slice(payload).ok()?;
        let stamp = round["nb"].as_str()?;
        let number = |from: usize, to: usize| u64::from_str_radix(stamp.get(from..to)?, 16).ok();
        Some(Self {
            run: stamp.get(2..10)?.to_owned(),
            is_measured: stamp.get(1..2)? == "m",
            publisher: number(10, 14)?,
            stream: number(14, 16)?,
            seq: number(16, 28)?,
        })
    }
}

/// Messages, and how many copies of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    copies: BTreeMap<MessageKey, u64>,
}

impl Tally {
    /// Adds a message, if it carries a stamp.
    pub(crate) fn add(&mut self, payload: &[u8]) {
        if let Some(key) = MessageKey::of(payload) {
            self.add_key(key);
        }
    }

    /// Adds a message whose stamp was read before.
    pub(crate) fn add_key(&mut self, key: MessageKey) {
        *self.copies.entry(key).or_default() += 1;
    }

    /// Different messages of measured phases.
    pub(crate) fn n_measured(&self) -> u64 {
        self.keys().filter(|key| key.is_measured).count() as u64
    }

    /// Further copies of them.
    pub(crate) fn n_duplicates(&self) -> u64 {
        let copies = self.copies.iter().filter(|(key, _)| key.is_measured);
        copies.map(|(_, n_copies)| n_copies - 1).sum()
    }

    /// All that is in one of both.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (key, n_copies) in &other.copies {
            *self.copies.entry(key.clone()).or_default() += n_copies;
        }
    }

    /// Different messages of measured phases, and how many copies of each.
    pub(crate) fn measured(&self) -> impl Iterator<Item = (&MessageKey, u64)> {
        let copies = self.copies.iter().filter(|(key, _)| key.is_measured);
        copies.map(|(key, n_copies)| (key, *n_copies))
    }

    /// Different messages.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &MessageKey> {
        self.copies.keys()
    }

    /// Whether this message is among them.
    pub(crate) fn has(&self, key: &MessageKey) -> bool {
        self.copies.contains_key(key)
    }
}
