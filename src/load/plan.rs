//! What a run is asked to do: plain data, made by the command line and read by the engine.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use crate::measure::slo::Objective;
use crate::net::dial::DialOptions;
use crate::net::target::Target;
use crate::protocol::Credentials;
use crate::rounds::{ExtrasForm, GameMix, Route};
use crate::units::{Rate, RateLimit};

/// Which library publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishClient {
    /// Our own session; the pacing thread writes to the socket.
    Raw,
    /// async-nats, so that anyone can see what a client library costs.
    AsyncNats,
}

impl PublishClient {
    /// The name on the command line and in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::AsyncNats => "async-nats",
        }
    }
}

/// Reads the credentials once more; an error says why they cannot be read now.
pub type ReadCredentials = Arc<dyn Fn() -> Result<Credentials, String> + Send + Sync>;

/// What is done about a connection that is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReconnectPolicy {
    /// Between two attempts, on average; each wait is drawn between half and one and a half of it.
    pub wait: Duration,
    /// Attempts of one outage; `None` is for ever, 0 is not to reconnect at all.
    pub max_attempts: Option<u64>,
    /// After so much silence the server is asked for a sign of life; after as much again the connection is given up.
    pub ping_interval: Duration,
}

impl Default for ReconnectPolicy {
    /// For ever, a second between attempts, as the clients of the system do it.
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(1),
            max_attempts: None,
            ping_interval: Duration::from_secs(5),
        }
    }
}

/// What happens to rounds that fall due while their connection is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhileDown {
    /// They are sent when it is back, with their intended time.
    #[default]
    Send,
    /// They are left out, and counted.
    Skip,
}

/// Where to connect: the servers in order of preference, and how.
#[derive(Clone)]
pub struct Endpoint {
    /// At least one.
    pub servers: Vec<Target>,
    /// How to connect to each.
    pub dial: DialOptions,
    /// What to do when a connection is lost.
    pub reconnect: ReconnectPolicy,
    /// Where the credentials come from, when they can change: a file is read again before each attempt to reconnect.
    pub read_credentials: Option<ReadCredentials>,
}

/// The rounds to publish.
#[derive(Debug, Clone)]
pub struct RoundsPlan {
    /// Which games, with weights.
    pub games: GameMix,
    /// Under which of its two subjects a round goes.
    pub route: Route,
    /// First token of every subject.
    pub prefix: String,
    /// Exact payload size.
    pub size_bytes: Option<usize>,
    /// Same seed, same rounds.
    pub seed: u64,
    /// How `extras` is written.
    pub extras: ExtrasForm,
    /// Whether messages carry `timestamp` and stamp.
    pub is_stamped: bool,
}

/// When a publishing phase ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// What is due within this time.
    Duration(Duration),
    /// So many rounds.
    Rounds(u64),
    /// Until it is stopped.
    Endless,
}

/// A `pub` run.
#[derive(Clone)]
pub struct PublishPlan {
    /// Where to publish.
    pub endpoint: Endpoint,
    /// With what.
    pub client: PublishClient,
    /// Connections that share the rate.
    pub n_connections: NonZeroU16,
    /// What to publish.
    pub rounds: RoundsPlan,
    /// How fast, in total.
    pub rate: RateLimit,
    /// How long.
    pub extent: Extent,
    /// How long to wait for blocked writes and for the broker's confirmation at the end.
    pub drain: Duration,
    /// What happens to rounds that fall due while their connection is down.
    pub while_down: WhileDown,
}

/// A `latency` run.
#[derive(Clone)]
pub struct LatencyPlan {
    /// Where to subscribe.
    pub subscribe_at: Endpoint,
    /// Where to publish.
    pub publish_at: Endpoint,
    /// With what to publish.
    pub client: PublishClient,
    /// Connections that publish; they share the rate.
    pub n_publishers: NonZeroU16,
    /// Connections that subscribe; each should get everything.
    pub n_subscribers: NonZeroU16,
    /// What to publish.
    pub rounds: RoundsPlan,
    /// How fast, in total.
    pub rate: Rate,
    /// The measured phase.
    pub duration: Duration,
    /// The phase before it, which counts for nothing.
    pub warmup: Duration,
    /// How long to wait for what is in flight.
    pub drain: Duration,
    /// What happens to rounds that fall due while their connection is down.
    pub while_down: WhileDown,
    /// What the run is judged by.
    pub objectives: Vec<Objective>,
}

/// A `sub` run.
#[derive(Clone)]
pub struct SubscribePlan {
    /// Where to subscribe.
    pub endpoint: Endpoint,
    /// Patterns, all on each connection.
    pub patterns: Vec<String>,
    /// Queue group.
    pub queue: Option<String>,
    /// Connections.
    pub n_connections: NonZeroU16,
    /// End after so many messages in total.
    pub count: Option<u64>,
    /// End after this time.
    pub duration: Option<Duration>,
    /// Read no faster than so many bytes a second, to act as a slow consumer; 0 reads nothing at all.
    pub stall: Option<u64>,
}
