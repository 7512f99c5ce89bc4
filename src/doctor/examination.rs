//! What the checks of one examination share: the plan, the time that is left, what was found, and what was learned.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::clock::{MonoNanos, mono_now};
use crate::doctor::check_id::CheckId;
use crate::doctor::conversation::Conversation;
use crate::doctor::front::Proxy;
use crate::doctor::identity::Identity;
use crate::doctor::neighbours::{self, Neighbours};
use crate::doctor::plan::Plan;
use crate::net::dial::{ConnectionFacts, DialError, DialOptions, dial};
use crate::net::session::Session;
use crate::net::stream::Stream;
use crate::net::target::Target;
use crate::net::ws::upgrade::HttpReply;
use crate::protocol::ServerInfo;
use crate::results::doctor::{Evidence, Finding, Severity};
use crate::subject::Pattern;

/// What is kept free of the time for looking again when a step fails.
const RESERVE: Duration = Duration::from_millis(3_500);
/// Every step gets at least so long.
const MIN_STEP: Duration = Duration::from_millis(200);
/// Longest second look.
const MAX_SECOND_LOOK: Duration = Duration::from_millis(2_500);
/// Steps of a connection that fit into the time, each at its own limit; a little is left for what is not counted.
const N_STEPS: f64 = 2.9;

/// An address that took a TCP connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reached {
    pub(crate) address: SocketAddr,
    /// Until the connection was there: one round trip of the network.
    pub(crate) took: Duration,
}

/// What a check hands on to those behind it.
#[derive(Default)]
pub(crate) struct Learned {
    /// Every address of the host.
    pub(crate) addresses: Vec<SocketAddr>,
    /// Those that took a connection.
    pub(crate) reached: Vec<Reached>,
    /// The connection, until TLS or the upgrade takes it over.
    pub(crate) tcp: Option<TcpStream>,
    /// The connection, TLS included where there is TLS.
    pub(crate) stream: Option<Stream>,
    /// The proxy in front of the broker, as far as it names itself.
    pub(crate) front: Option<Proxy>,
    /// TLS is in use, from the beginning or behind INFO.
    pub(crate) is_tls: bool,
    /// The TLS handshake asked for a client certificate, and went on without one.
    pub(crate) is_certificate_missing: bool,
    /// The answer `101`.
    pub(crate) switched: Option<HttpReply>,
    /// The connection, NATS on it.
    pub(crate) session: Option<Session>,
    /// The first INFO.
    pub(crate) info: Option<ServerInfo>,
    /// The connection, logged in.
    pub(crate) conversation: Option<Conversation>,
    /// Who we are there.
    pub(crate) identity: Identity,
    /// Subjects on which nothing has come yet, and which are listened to as long as connections are watched.
    pub(crate) unheard: Vec<Pattern>,
    /// What else of the broker can be reached; see [`Examination::look_around`].
    pub(crate) neighbours: Option<Neighbours>,
}

/// One examination of one server.
pub struct Examination<'a> {
    /// What is asked for.
    pub(crate) plan: &'a Plan,
    /// Where.
    pub(crate) target: &'a Target,
    /// Ends watching and listening early.
    pub(crate) stop: CancellationToken,
    pub(crate) learned: Learned,
    pub(super) findings: Vec<(CheckId, Finding)>,
    pub(super) facts: Vec<Evidence>,
    /// The check that runs.
    pub(super) current: CheckId,
    ends: MonoNanos,
}

impl<'a> Examination<'a> {
    pub(super) fn new(plan: &'a Plan, target: &'a Target, stop: CancellationToken) -> Self {
        let budget = plan.dial.timeout.mul_f64(N_STEPS);
        Self {
            plan,
            target,
            stop,
            learned: Learned::default(),
            findings: Vec::new(),
            facts: Vec::new(),
            current: CheckId::Input,
            ends: mono_now().plus(nanos_of(budget)),
        }
    }

    /// Reports a cause of trouble.
    pub(crate) fn find(&mut self, mut finding: Finding) {
        self.current.name().clone_into(&mut finding.check);
        self.findings.push((self.current, finding));
    }

    /// Notes something about the broker that a healthy report shows.
    pub(crate) fn fact(&mut self, name: &str, value: impl std::fmt::Display) {
        self.facts.push(Evidence {
            name: name.to_owned(),
            value: value.to_string(),
        });
    }

    /// Whether an error was found, by whichever check.
    pub(crate) fn has_error(&self) -> bool {
        let mut findings = self.findings.iter();
        findings.any(|(_, finding)| finding.severity == Severity::Error)
    }

    /// What was found until now by a check.
    pub(crate) fn findings_of(&mut self, check: CheckId) -> impl Iterator<Item = &mut Finding> {
        let findings = self.findings.iter_mut();
        findings.filter_map(move |(by, finding)| (*by == check).then_some(finding))
    }

    /// What is left of the time for everything but watching.
    pub(super) fn left(&self) -> Duration {
        Duration::from_nanos(self.ends.since(mono_now()))
    }

    /// Checks that take as long as the user asked for do not take it from the others.
    pub(super) fn give_back(&mut self, spent: Duration) {
        self.ends = self.ends.plus(nanos_of(spent));
    }

    /// Time limit of a step of the connection, with time left for a second look.
    pub(crate) fn step_limit(&self) -> Duration {
        let left = self
            .left()
            .saturating_sub(RESERVE.min(self.plan.dial.timeout));
        self.plan.dial.timeout.min(left).max(MIN_STEP)
    }

    /// Time limit of a second look, such as a probe that tells causes apart. Probes run side by side.
    pub(crate) fn second_look_limit(&self) -> Duration {
        self.step_limit().min(MAX_SECOND_LOOK)
    }

    /// Opens another connection to the target, logged in like the first one but for what `change` changes.
    pub(crate) async fn connect_again(
        &self,
        change: impl FnOnce(&mut DialOptions),
    ) -> Result<(Conversation, ConnectionFacts), DialError> {
        let mut options = self.plan.dial.clone();
        options.timeout = self.second_look_limit();
        change(&mut options);
        let (session, facts) = dial(self.target, &options).await?;
        Ok((Conversation::new(session), facts))
    }

    /// Looks what else of the broker can be reached; only once.
    pub(crate) async fn look_around(&mut self) -> Neighbours {
        if let Some(known) = &self.learned.neighbours {
            return known.clone();
        }
        let neighbours = match self.address() {
            Some(address) => {
                let info = self.learned.info.as_ref();
                let server_id = info.map(|info| info.server_id.as_str());
                neighbours::look(address, self.second_look_limit(), server_id).await
            }
            None => Neighbours::default(),
        };
        self.learned.neighbours = Some(neighbours.clone());
        neighbours
    }

    /// The address to look at again.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        let reached = self.learned.reached.first().map(|reached| reached.address);
        reached.or_else(|| self.learned.addresses.first().copied())
    }
}

fn nanos_of(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
