//! The names of the checks, by which users choose and leave out.

use std::fmt;
use std::str::FromStr;

/// The checks, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CheckId {
    /// URL, subjects, credentials, context.
    Input,
    /// The addresses of the host.
    Dns,
    /// A TCP connection to each of them.
    Tcp,
    /// Who speaks first.
    Greeting,
    /// The TLS handshake and the certificates.
    Tls,
    /// The HTTP upgrade.
    Upgrade,
    /// What the server says of itself.
    Info,
    /// The login.
    Connect,
    /// Which subjects may be used.
    Permissions,
    /// A message there and back.
    RoundTrip,
    /// Whether anything arrives.
    Flow,
    /// Streams.
    Jetstream,
    /// Times, clocks, limits.
    Health,
    /// Staying connected.
    Watch,
}

impl CheckId {
    /// All of them, in order.
    pub const ALL: [Self; 14] = [
        Self::Input,
        Self::Dns,
        Self::Tcp,
        Self::Greeting,
        Self::Tls,
        Self::Upgrade,
        Self::Info,
        Self::Connect,
        Self::Permissions,
        Self::RoundTrip,
        Self::Flow,
        Self::Jetstream,
        Self::Health,
        Self::Watch,
    ];

    /// The stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Greeting => "greeting",
            Self::Tls => "tls",
            Self::Upgrade => "upgrade",
            Self::Info => "info",
            Self::Connect => "connect",
            Self::Permissions => "permissions",
            Self::RoundTrip => "round-trip",
            Self::Flow => "flow",
            Self::Jetstream => "jetstream",
            Self::Health => "health",
            Self::Watch => "watch",
        }
    }
}

impl fmt::Display for CheckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no check has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no check `{name}`: the checks are {}", CheckId::ALL.map(CheckId::name).join(", "))]
pub struct UnknownCheck {
    /// What was typed.
    pub name: String,
}

impl FromStr for CheckId {
    type Err = UnknownCheck;

    fn from_str(name: &str) -> Result<Self, UnknownCheck> {
        let mut all = Self::ALL.into_iter();
        all.find(|id| id.name() == name).ok_or(UnknownCheck {
            name: name.to_owned(),
        })
    }
}
