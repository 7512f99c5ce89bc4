//! Connecting again after a connection was lost: which server, when, with which credentials, and when to stop trying.
//!
//! One pass tries every server once: the given ones and those that the cluster has advertised, beginning behind the one
//! that was lost. Between passes lies the wait of the policy. Every wait is drawn at random, the first one too, so that a
//! thousand clients that lose their broker at once do not come back at once.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;

use crate::clock::mono_now;
use crate::load::connecting::error_chain;
use crate::load::plan::Endpoint;
use crate::load::status::{OutageId, StatusBoard, Who};
use crate::net::dial::{ConnectionFacts, DialError, DialOptions, dial};
use crate::net::session::Session;
use crate::net::target::Target;
use crate::protocol::{ServerErrorKind, ServerInfo};
use crate::results::outages::Status;

/// Refusals of the login in one outage that end it: the second was tried with credentials read again.
const MAX_REFUSALS: u32 = 2;
/// Advertised servers that are remembered; a peer may advertise any number.
const MAX_LEARNED: usize = 64;

/// It was not tried any longer; the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GaveUp(pub(crate) String);

/// A connection that is open again.
pub(crate) struct Redialed {
    pub(crate) session: Session,
    pub(crate) facts: ConnectionFacts,
    pub(crate) n_attempts: u64,
}

/// Connects one connection again, as often as it is lost.
pub(crate) struct Redialer {
    who: Who,
    board: StatusBoard,
    endpoint: Arc<Endpoint>,
    /// Only when the credentials were read again since.
    options: Option<Box<DialOptions>>,
    learned: Vec<Target>,
    current: Target,
    server_id: String,
    is_lame_duck: bool,
}

impl Redialer {
    /// For a connection that was just opened.
    pub(crate) fn new(
        who: Who,
        board: StatusBoard,
        endpoint: Arc<Endpoint>,
        facts: &ConnectionFacts,
    ) -> Self {
        board.connected(who, &facts.url);
        let mut redialer = Self {
            who,
            board,
            endpoint,
            options: None,
            learned: Vec::new(),
            current: facts.target.clone(),
            server_id: facts.info.server_id.clone(),
            is_lame_duck: false,
        };
        redialer.learn(&facts.info);
        redialer
    }

    /// Which connection this is.
    pub(crate) fn who(&self) -> Who {
        self.who
    }

    /// The board of the run.
    pub(crate) fn board(&self) -> &StatusBoard {
        &self.board
    }

    /// Whether it is to be connected again at all.
    pub(crate) fn is_reconnecting_wanted(&self) -> bool {
        self.endpoint.reconnect.max_attempts != Some(0)
    }

    /// An INFO in mid-session: other servers, or a server that will shut down.
    pub(crate) fn on_info(&mut self, json: &[u8]) {
        let Ok(info) = ServerInfo::parse(json) else {
            return;
        };
        self.learn(&info);
        if info.ldm && !std::mem::replace(&mut self.is_lame_duck, true) {
            let server = self.current.to_string();
            self.board.note(self.who, Status::LameDuck { server });
        }
    }

    /// Remembers the servers that the current one advertises. They are listeners of the same kind as the one that we are
    /// connected to, and named without scheme and path. Behind a path there is a proxy, and the servers behind a proxy are
    /// not for us to dial.
    fn learn(&mut self, info: &ServerInfo) {
        if self.current.path_and_query != "/" {
            return;
        }
        for address in &info.connect_urls {
            let Ok(mut target) =
                format!("{}://{address}/", self.current.scheme.name()).parse::<Target>()
            else {
                continue;
            };
            target.user_info.clone_from(&self.current.user_info);
            let is_known = |known: &Target| known.host == target.host && known.port == target.port;
            let mut known = self.endpoint.servers.iter().chain(&self.learned);
            if !known.any(is_known) && self.learned.len() < MAX_LEARNED {
                self.learned.push(target);
            }
        }
    }

    /// The servers of one pass, the one that was lost last.
    fn candidates(&self) -> Vec<Target> {
        let all: Vec<&Target> = self.endpoint.servers.iter().chain(&self.learned).collect();
        let is_current = |target: &&Target| **target == self.current;
        let start = all.iter().position(is_current).map_or(0, |at| at + 1);
        let rotated = all[start..].iter().chain(&all[..start]);
        rotated.map(|target| (*target).clone()).collect()
    }

    /// Between half and one and a half of the wait.
    fn wait(&self) -> Duration {
        let wait = self.endpoint.reconnect.wait;
        wait.mul_f64(rand::rng().random_range(0.5..1.5))
    }

    /// Between nothing and the whole wait.
    fn first_wait(&self) -> Duration {
        let wait = self.endpoint.reconnect.wait;
        wait.mul_f64(rand::rng().random_range(0.0..1.0))
    }

    /// Reads the credentials again, where they come from a file. What cannot be read now is used as it was.
    fn read_credentials(&mut self) {
        let Some(read) = &self.endpoint.read_credentials else {
            return;
        };
        let Ok(credentials) = read() else { return };
        self.options = Some(Box::new(DialOptions {
            credentials,
            ..self.endpoint.dial.clone()
        }));
    }

    /// Tries until the connection is open again. Dropping the future gives up what it was doing.
    ///
    /// # Errors
    /// When the policy, or the server, says that there is no point in trying on; the board knows.
    pub(crate) async fn redial(&mut self, id: OutageId) -> Result<Redialed, GaveUp> {
        let opened = self.try_servers(id).await;
        if let Err(GaveUp(reason)) = &opened {
            self.board.gave_up(self.who, id, reason);
        }
        opened
    }

    async fn try_servers(&mut self, id: OutageId) -> Result<Redialed, GaveUp> {
        let max_attempts = self.endpoint.reconnect.max_attempts;
        let mut n_refusals = 0;
        let mut n_attempts = 0;
        let mut wait = self.first_wait();
        loop {
            if max_attempts == Some(0) {
                return Err(GaveUp("it is not to be connected again".to_owned()));
            }
            tokio::time::sleep(wait).await;
            for target in self.candidates() {
                n_attempts += 1;
                let error = match self.attempt(id, &target, n_attempts).await {
                    Ok((session, facts)) => {
                        return Ok(Redialed {
                            session,
                            facts,
                            n_attempts,
                        });
                    }
                    Err(error) => error,
                };
                // A server that does not answer says nothing about what another has refused.
                n_refusals += u32::from(is_permanent(&error));
                if n_refusals >= MAX_REFUSALS {
                    return Err(GaveUp(error_chain(&error)));
                }
                if max_attempts.is_some_and(|max| n_attempts >= max) {
                    let error = error_chain(&error);
                    let times = if n_attempts == 1 {
                        "attempt"
                    } else {
                        "attempts"
                    };
                    return Err(GaveUp(format!(
                        "not back after {n_attempts} {times}: {error}"
                    )));
                }
            }
            wait = self.wait();
        }
    }

    async fn attempt(
        &mut self,
        id: OutageId,
        target: &Target,
        attempt: u64,
    ) -> Result<(Session, ConnectionFacts), DialError> {
        let server = target.to_string();
        self.board.reconnecting(self.who, id, &server, attempt);
        self.read_credentials();
        let began = mono_now();
        let options = self.options.as_deref().unwrap_or(&self.endpoint.dial);
        match dial(target, options).await {
            Ok((session, facts)) => {
                self.current = target.clone();
                Ok((session, facts))
            }
            Err(error) => {
                let text = error_chain(&error);
                self.board.attempt_failed(id, &server, began, &text);
                Err(error)
            }
        }
    }

    /// The connection is usable again, its subscriptions included.
    pub(crate) fn note_back(&mut self, id: OutageId, facts: &ConnectionFacts, n_attempts: u64) {
        let is_other_server = facts.info.server_id != self.server_id;
        self.server_id.clone_from(&facts.info.server_id);
        self.is_lame_duck = false;
        self.learn(&facts.info);
        self.board
            .reconnected(self.who, id, &facts.url, n_attempts, Some(is_other_server));
    }
}

/// Whether trying again with the same credentials cannot help.
fn is_permanent(error: &DialError) -> bool {
    match error {
        // A server under load refuses with a time-out, too; that passes.
        DialError::Refused { kind, .. } => matches!(
            kind,
            ServerErrorKind::AuthorizationViolation
                | ServerErrorKind::AuthenticationExpired
                | ServerErrorKind::AuthenticationRevoked
        ),
        DialError::Credentials(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use rustls::ClientConfig;

    use super::*;
    use crate::load::plan::ReconnectPolicy;
    use crate::net::dial::Timings;
    use crate::results::outages::Role;

    fn dial_options() -> DialOptions {
        let tls =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("the provider knows the default versions")
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth();
        DialOptions::new(Arc::new(tls), Duration::from_secs(1))
    }

    /// A redialer that is connected to the first of these servers, which advertises those.
    fn redialer(servers: &[&str], advertised: &[&str]) -> Redialer {
        let servers: Vec<Target> = servers.iter().map(|url| url.parse().unwrap()).collect();
        let facts = ConnectionFacts {
            url: servers[0].to_string(),
            target: servers[0].clone(),
            info: info(advertised),
            timings: Timings::default(),
            peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            is_compressed: false,
            is_masked: true,
            is_tls: false,
        };
        let endpoint = Endpoint {
            servers,
            dial: dial_options(),
            reconnect: ReconnectPolicy::default(),
            read_credentials: None,
        };
        let who = Who {
            role: Role::Subscriber,
            idx: 0,
        };
        let board = StatusBoard::new(mono_now());
        Redialer::new(who, board, Arc::new(endpoint), &facts)
    }

    fn info(advertised: &[&str]) -> ServerInfo {
        ServerInfo {
            connect_urls: advertised.iter().map(ToString::to_string).collect(),
            ..ServerInfo::default()
        }
    }

    fn candidates(redialer: &Redialer) -> Vec<String> {
        let all = redialer.candidates();
        all.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_server_that_was_lost_comes_last() {
        let mut redialer = redialer(&["ws://a:1", "ws://b:1", "ws://c:1"], &[]);
        assert_eq!(candidates(&redialer), ["ws://b:1", "ws://c:1", "ws://a:1"]);
        redialer.current = "ws://b:1".parse().unwrap();
        assert_eq!(candidates(&redialer), ["ws://c:1", "ws://a:1", "ws://b:1"]);
    }

    #[test]
    fn advertised_servers_are_tried_by_the_scheme_and_the_login_of_the_one_that_named_them() {
        let redialer = redialer(
            &["wss://u:p@a:1"],
            &["a:1", "b:2", "[::1]:3", "not an address"],
        );
        assert_eq!(
            candidates(&redialer),
            ["wss://b:2", "wss://[::1]:3", "wss://a:1"]
        );
        let user_info = redialer.learned[0].user_info.as_ref().unwrap();
        assert_eq!(user_info.user.expose(), "u");
    }

    #[test]
    fn behind_a_path_there_is_a_proxy_and_nothing_to_dial_directly() {
        let redialer = redialer(&["wss://proxy/nats"], &["10.0.0.7:8443"]);
        assert_eq!(candidates(&redialer), ["wss://proxy:443/nats"]);
    }

    #[test]
    fn a_server_may_advertise_any_number_and_more_in_mid_session() {
        let mut redialer = redialer(&["ws://a:1"], &["b:1"]);
        redialer.on_info(br#"{"connect_urls":["c:1"],"ldm":true}"#);
        redialer.on_info(br#"{"ldm":true}"#);
        redialer.on_info(b"no JSON");
        assert_eq!(candidates(&redialer), ["ws://b:1", "ws://c:1", "ws://a:1"]);
        let events = redialer.board.take_events();
        let is_lame = |event: &&crate::results::outages::StatusEvent| {
            matches!(event.status, Status::LameDuck { .. })
        };
        assert_eq!(events.iter().filter(is_lame).count(), 1, "it is said once");
        let many: Vec<String> = (1..1_000).map(|port| format!("d:{port}")).collect();
        redialer.learn(&info(&many.iter().map(String::as_str).collect::<Vec<_>>()));
        assert_eq!(redialer.learned.len(), MAX_LEARNED);
    }

    #[test]
    fn waits_are_spread() {
        let redialer = redialer(&["ws://a:1"], &[]);
        let within = |wait: Duration, from: f64, to: f64| {
            assert!((from..=to).contains(&wait.as_secs_f64()), "{wait:?}");
        };
        let waits: Vec<Duration> = (0..100).map(|_| redialer.wait()).collect();
        for wait in &waits {
            within(*wait, 0.5, 1.5);
            within(redialer.first_wait(), 0.0, 1.0);
        }
        assert!(waits.iter().any(|wait| *wait != waits[0]));
    }
}
