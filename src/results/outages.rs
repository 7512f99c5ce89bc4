//! What happened to the connections of a run: status events as they happen, and outages as they are accounted for.
//!
//! An outage is one connection's: from the moment that it was found lost to the moment that it was usable again,
//! subscriptions included. Moments are nanoseconds since the run began, on the monotonic clock.

use serde::{Deserialize, Serialize};

/// What a connection is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It publishes.
    Publisher,
    /// It subscribes.
    Subscriber,
}

impl Role {
    /// As results and messages name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Publisher => "publisher",
            Self::Subscriber => "subscriber",
        }
    }
}

/// By what a connection was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CauseKind {
    /// The server said why, by `-ERR`.
    ServerError,
    /// The server sent a WebSocket close frame.
    CloseFrame,
    /// The TCP stream ended (FIN) without a word.
    Eof,
    /// The TCP connection was reset (RST).
    Reset,
    /// Nothing came any more, not even the answer to a PING.
    Timeout,
    /// It ended without a word while we were far behind: so a server treats a slow consumer.
    SlowConsumer,
    /// What came breaks the WebSocket or the NATS protocol.
    Protocol,
    /// The socket failed in another way.
    Io,
    /// A client library has lost it, and does not say why.
    Library,
}

/// Why a connection was lost.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cause {
    /// The class.
    pub kind: CauseKind,
    /// The code of the close frame (RFC 6455 section 7.4; 1005 when it had none).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub close_code: Option<u16>,
    /// In words, with what the server said.
    pub text: String,
}

/// One attempt to connect again that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedAttempt {
    /// Which server, without secrets.
    pub server: String,
    /// When it began, after the outage began.
    pub after_ns: u64,
    /// How long it took to fail.
    pub duration_ns: u64,
    /// Why it failed.
    pub error: String,
}

/// One outage of one connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    /// What the connection is there for.
    pub role: Role,
    /// Its number within the role.
    pub idx: usize,
    /// Why it was lost.
    pub cause: Cause,
    /// When it was found lost, since the run began.
    pub started_ns: u64,
    /// How long it lasted; absent when the run ended before the connection was back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ns: Option<u64>,
    /// Attempts to connect again, the successful one included.
    pub attempts: u64,
    /// The first failed attempts.
    pub failed: Vec<FailedAttempt>,
    /// Where it is connected to since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Whether that is another server process than before: restarted, or another member of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_other_server: Option<bool>,
    /// The first message afterwards, since the outage began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_message_ns: Option<u64>,
    /// Messages that this subscriber did not get because of it; absent where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
    /// Messages that were handed to the connection and may or may not have reached the broker (publisher), or that did
    /// not arrive and may never have reached the broker (subscriber).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_doubt: Option<u64>,
    /// Messages that were due meanwhile and were left out (publisher, `--while-down skip`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<u64>,
    /// Why it was not tried any longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gave_up: Option<String>,
}

impl Outage {
    /// One that has just begun: nothing was tried yet, and nothing is known of what it costs.
    pub fn begun(role: Role, idx: usize, cause: Cause, started_ns: u64) -> Self {
        Self {
            role,
            idx,
            cause,
            started_ns,
            duration_ns: None,
            attempts: 0,
            failed: Vec::new(),
            server: None,
            is_other_server: None,
            first_message_ns: None,
            lost: None,
            in_doubt: None,
            skipped: None,
            gave_up: None,
        }
    }
}

/// What has become of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Status {
    /// It is open, and has subscribed.
    Connected {
        /// Where to, without secrets.
        server: String,
    },
    /// It was lost.
    Disconnected {
        /// Why.
        cause: Cause,
    },
    /// It is about to be tried again.
    Reconnecting {
        /// Which server, without secrets.
        server: String,
        /// Counted from 1.
        attempt: u64,
        /// Why the attempt before failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_error: Option<String>,
    },
    /// It is open again, and has subscribed again.
    Reconnected {
        /// Where to, without secrets.
        server: String,
        /// How many attempts it took.
        attempts: u64,
        /// How long the outage lasted.
        outage_ns: u64,
    },
    /// The server says that it is about to shut down.
    LameDuck {
        /// Which, without secrets.
        server: String,
    },
    /// The run ends: what is in flight is still taken.
    Draining,
    /// It was closed, by us.
    Closed {
        /// Why, where it was not simply the end of the run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

/// Something that happened to one connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusEvent {
    /// When, since the run began.
    pub at_ns: u64,
    /// What the connection is there for.
    pub role: Role,
    /// Its number within the role.
    pub idx: usize,
    /// What happened.
    #[serde(flatten)]
    pub status: Status,
}

/// One second of a run, for a picture of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SeriesRow {
    /// The end of the second, since the run began.
    pub at_ns: u64,
    /// What the run was doing: `warming up`, `measuring`, `draining`, `receiving`, `publishing`.
    pub phase: String,
    /// Rounds that fell due in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<u64>,
    /// Rounds sent in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<u64>,
    /// Rounds left out in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<u64>,
    /// Messages received in it, by all subscribers.
    pub received: u64,
    /// Messages found missing in it, less those that came late: below zero when more came late than were found missing.
    pub lost: i64,
    /// Connections that were up at its end.
    pub connections_up: u64,
    /// Connections of the run.
    pub connections: u64,
    /// Response of what was received in it: half is not above this.
    pub p50_ns: Option<i64>,
    /// 90 in 100.
    pub p90_ns: Option<i64>,
    /// 99 in 100.
    pub p99_ns: Option<i64>,
    /// The largest.
    pub max_ns: Option<i64>,
}
