//! What is to be examined: plain data, made of flags, environment and context by `cli`.

use std::time::Duration;

use crate::doctor::check_id::CheckId;
use crate::net::dial::DialOptions;
use crate::net::tls::TlsOptions;
use crate::results::doctor::Finding;

/// What to examine, apart from the server.
#[derive(Clone)]
pub struct Plan {
    /// How to connect; its TLS configuration verifies as the user asked.
    pub dial: DialOptions,
    /// The files behind that TLS configuration.
    pub tls: TlsOptions,
    /// Where the credentials come from, such as `--creds game.creds`; for advice.
    pub credentials_source: Option<String>,
    /// Subjects as typed, valid or not.
    pub subjects: Vec<String>,
    /// Subject to publish one marked message to, as typed.
    pub publish: Option<String>,
    /// Size of that message.
    pub payload_bytes: Option<u64>,
    /// Queue group to subscribe in.
    pub queue: Option<String>,
    /// Look at streams.
    pub jetstream: bool,
    /// Look whether request and reply work.
    pub request: bool,
    /// Stay connected for so long.
    pub watch: Option<Duration>,
    /// Connect to nothing.
    pub offline: bool,
    /// Only these checks, and what they need; all if empty.
    pub only: Vec<CheckId>,
    /// None of these.
    pub skip: Vec<CheckId>,
    /// What is wrong with the flags' files and URLs, found while they were read.
    pub faults: Vec<Finding>,
    /// What is odd about them, but no reason to go no further.
    pub notes: Vec<Finding>,
    /// What was typed for the server where that cannot be used; without secrets.
    pub typed_target: Option<String>,
}
