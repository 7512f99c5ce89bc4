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

/// Refusals of the login, one after the other, that end it: the second was tried with credentials read again.
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
                n_refusals = if is_permanent(&error) {
                    n_refusals + 1
                } else {
                    0
                };
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
