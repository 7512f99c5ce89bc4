//! What happens to connections, as it happens: JSON lines for a file, grouped lines for people.
//!
//! The JSON form is one object a line: `at` (RFC 3339 in UTC, to the millisecond), `at_ns` (since the run began), `role`
//! (`publisher` or `subscriber`), `idx`, `event`, and what belongs to the event: `server`, `cause` (`kind`,
//! `close_code`, `text`), `attempt`, `last_error`, `attempts`, `outage_ns`, `reason`. Fields are added, never renamed.
//!
//! For people, what happens to many connections within a moment is one line, and attempts to connect again are thinned
//! out: a thousand subscribers that lose their broker are not a thousand lines. Connections that open, and that drain and
//! close when the run ends, are no news.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use serde::Serialize;

use super::connections::{Connection, moment_text, names, range_text, said};
use crate::clock::WallNanos;
use crate::results::outages::{Status, StatusEvent};
use crate::units::{NANOS_PER_SEC, format_count, format_nanos};

/// What happens within so long is told together.
const TOGETHER_NS: u64 = NANOS_PER_SEC / 4;
/// So many causes, servers or reasons are told apart within a moment: a server may put an address into each.
const MAX_TOLD_APART: usize = 4;
/// What all further ones are called.
const OTHERS: &str = "(others)";
/// Between two lines about attempts to connect again.
const RETRY_PERIOD_NS: u64 = 5 * NANOS_PER_SEC;

#[derive(Serialize)]
struct JsonEvent<'a> {
    at: String,
    #[serde(flatten)]
    event: &'a StatusEvent,
}

/// Writes one event as a line of JSON. `began` is when the run began.
///
/// # Errors
/// When the writer fails.
pub fn write_json_event(
    out: &mut dyn Write,
    event: &StatusEvent,
    began: WallNanos,
) -> io::Result<()> {
    let at = WallNanos(began.0.saturating_add(event.at_ns)).rfc3339();
    serde_json::to_writer(&mut *out, &JsonEvent { at, event })?;
    writeln!(out)
}

/// What is told together.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Disconnected { cause: String },
    Reconnecting { server: String },
    Reconnected { server: String },
    LameDuck { server: String },
    GaveUp { reason: String },
}

impl Kind {
    /// The text that tells several of the same sort apart.
    fn text_mut(&mut self) -> &mut String {
        match self {
            Self::Disconnected { cause: text }
            | Self::Reconnecting { server: text }
            | Self::Reconnected { server: text }
            | Self::LameDuck { server: text }
            | Self::GaveUp { reason: text } => text,
        }
    }

    fn is_same_sort(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// The same thing happening to several connections within a moment.
#[derive(Debug)]
struct Group {
    at_ns: u64,
    kind: Kind,
    connections: BTreeSet<Connection>,
    /// Attempts, smallest and largest.
    attempts: (u64, u64),
    /// Outages, shortest and longest.
    outage_ns: (u64, u64),
}

/// Attempts to connect again that were not told.
#[derive(Debug, Default)]
struct Retries {
    by_connection: BTreeMap<Connection, u64>,
    last_error: Option<String>,
}

/// Collects events and makes lines of them. Time is nanoseconds since the run began, as in the events.
#[derive(Debug, Default)]
pub struct EventLines {
    groups: Vec<Group>,
    down: BTreeSet<Connection>,
    retries: Retries,
    /// When attempts may be told again; `None` while nothing is down.
    next_retry_line_ns: Option<u64>,
}

impl EventLines {
    /// Takes an event in.
    pub fn push(&mut self, event: &StatusEvent) {
        let connection = (event.role, event.idx);
        match &event.status {
            Status::Connected { .. } | Status::Draining => {}
            Status::Disconnected { cause } => {
                self.down.insert(connection);
                let cause = said(&cause.text);
                self.group(event, Kind::Disconnected { cause });
            }
            Status::Reconnecting {
                server,
                attempt,
                last_error,
            } => self.attempt(event, server, *attempt, last_error.as_deref()),
            Status::Reconnected {
                server,
                attempts,
                outage_ns,
            } => {
                self.forget(connection);
                let server = said(server);
                let group = self.group(event, Kind::Reconnected { server });
                widen(&mut group.attempts, *attempts);
                widen(&mut group.outage_ns, *outage_ns);
            }
            Status::LameDuck { server } => {
                let server = said(server);
                self.group(event, Kind::LameDuck { server });
            }
            Status::Closed { reason: None } => self.forget(connection),
            Status::Closed {
                reason: Some(reason),
            } => {
                self.forget(connection);
                let reason = said(reason);
                self.group(event, Kind::GaveUp { reason });
            }
        }
    }

    /// The lines that are due by now, in the order in which things began.
    pub fn due(&mut self, now_ns: u64) -> Vec<String> {
        // One group that is still open holds back what began after it.
        let is_due = |group: &Group| group.at_ns.saturating_add(TOGETHER_NS) <= now_ns;
        let n_due = self.groups.iter().take_while(|group| is_due(group)).count();
        let due = self.groups.drain(..n_due);
        let mut lines: Vec<String> = due.map(|group| line(&group)).collect();
        let is_over = self.next_retry_line_ns.is_some_and(|next| next <= now_ns);
        if is_over && !self.retries.by_connection.is_empty() {
            lines.push(retry_line(now_ns, &self.retries));
            self.retries = Retries::default();
            self.next_retry_line_ns = Some(now_ns.saturating_add(RETRY_PERIOD_NS));
        }
        lines
    }

    /// What is still held back, at the end of the run. Attempts that came to nothing are in the result.
    pub fn finish(&mut self) -> Vec<String> {
        let groups = std::mem::take(&mut self.groups);
        groups.iter().map(line).collect()
    }

    /// An attempt is told when it is the first after a while, and otherwise counted.
    fn attempt(
        &mut self,
        event: &StatusEvent,
        server: &str,
        attempt: u64,
        last_error: Option<&str>,
    ) {
        self.down.insert((event.role, event.idx));
        let server = said(server);
        let kind = Kind::Reconnecting { server };
        let is_first = self.next_retry_line_ns.is_none();
        if is_first || self.open_group(event.at_ns, &kind).is_some() {
            let group = self.group(event, kind);
            widen(&mut group.attempts, attempt);
            let next = event.at_ns.saturating_add(RETRY_PERIOD_NS);
            self.next_retry_line_ns.get_or_insert(next);
            return;
        }
        let retries = &mut self.retries;
        let connection = (event.role, event.idx);
        *retries.by_connection.entry(connection).or_default() += 1;
        if let Some(error) = last_error {
            retries.last_error = Some(said(error));
        }
    }

    /// A connection is down no longer, or for good: its attempts are no news.
    fn forget(&mut self, connection: Connection) {
        self.down.remove(&connection);
        self.retries.by_connection.remove(&connection);
        if self.retries.by_connection.is_empty() {
            self.retries = Retries::default();
        }
        if self.down.is_empty() {
            self.next_retry_line_ns = None;
        }
    }

    fn open_group(&self, at_ns: u64, kind: &Kind) -> Option<usize> {
        let is_open = |group: &Group| at_ns.saturating_sub(group.at_ns) < TOGETHER_NS;
        let of_kind = |group: &Group| group.kind == *kind && is_open(group);
        self.groups.iter().position(of_kind)
    }

    /// The open group of this kind with this connection in it.
    fn group(&mut self, event: &StatusEvent, mut kind: Kind) -> &mut Group {
        let mut open = self.open_group(event.at_ns, &kind);
        let of_sort = |group: &&Group| group.kind.is_same_sort(&kind);
        if open.is_none() && self.groups.iter().filter(of_sort).count() >= MAX_TOLD_APART {
            OTHERS.clone_into(kind.text_mut());
            open = self.open_group(event.at_ns, &kind);
        }
        let idx = open.unwrap_or_else(|| {
            self.groups.push(Group {
                at_ns: event.at_ns,
                kind,
                connections: BTreeSet::new(),
                attempts: (u64::MAX, 0),
                outage_ns: (u64::MAX, 0),
            });
            self.groups.len() - 1
        });
        let group = &mut self.groups[idx];
        group.connections.insert((event.role, event.idx));
        group
    }
}

fn widen(range: &mut (u64, u64), value: u64) {
    *range = (range.0.min(value), range.1.max(value));
}

fn line(group: &Group) -> String {
    let who = names(&group.connections);
    let what = match &group.kind {
        Kind::Disconnected { cause } => format!("{who} disconnected: {cause}"),
        Kind::Reconnecting { server } => {
            format!("reconnecting: {who} to {server}, {}", attempt_text(group))
        }
        Kind::Reconnected { server } => {
            let (shortest, longest) = group.outage_ns;
            let attempts = match group.attempts {
                (1, 1) => "1 attempt".to_owned(),
                (smallest, largest) => format!("{} attempts", range_text(smallest, largest)),
            };
            format!(
                "reconnected: {who} to {server} after {attempts}, {}",
                length_range(shortest, longest)
            )
        }
        Kind::LameDuck { server } => {
            format!("lame duck: {server} says that it is about to shut down ({who})")
        }
        Kind::GaveUp { reason } => format!("gave up: {who}: {reason}"),
    };
    format!("{}  {what}", moment_text(group.at_ns))
}

fn attempt_text(group: &Group) -> String {
    let (smallest, largest) = group.attempts;
    let plural = if smallest == largest { "" } else { "s" };
    format!("attempt{plural} {}", range_text(smallest, largest))
}

fn retry_line(now_ns: u64, retries: &Retries) -> String {
    let n_attempts = retries.by_connection.values().sum();
    let plural = if n_attempts == 1 { "" } else { "s" };
    let connections = retries.by_connection.keys().copied().collect();
    let error = retries.last_error.as_ref();
    let error = error.map_or_else(String::new, |error| format!(", the last error: {error}"));
    format!(
        "{}  still reconnecting: {}, {} more attempt{plural}{error}",
        moment_text(now_ns),
        names(&connections),
        format_count(n_attempts),
    )
}

/// `1.31 s`, or `930 ms to 1.31 s` where they differ.
pub(super) fn length_range(shortest_ns: u64, longest_ns: u64) -> String {
    let text = |nanos: u64| format_nanos(i64::try_from(nanos).unwrap_or(i64::MAX));
    let (shortest, longest) = (text(shortest_ns), text(longest_ns));
    if shortest == longest {
        longest
    } else {
        format!("{shortest} to {longest}")
    }
}

#[cfg(test)]
mod tests;
