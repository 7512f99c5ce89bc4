//! The publishing connections of a run: dialled here, written by the pacing thread, read and connected again by tasks of
//! their own.
//!
//! A publishing connection receives little, but what it receives matters: pings that must be answered, the PONGs that say
//! how much the broker has, and `-ERR` for messages that the broker refuses.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::clock::mono_now;
use crate::load::cause::{Circumstances, cause_of};
use crate::load::connecting::{Unreachable, dial_any, error_chain, open_many};
use crate::load::link::{Link, Mail};
use crate::load::liveness::{Liveness, Look};
use crate::load::plan::{Endpoint, PublishClient, RoundsPlan, WhileDown};
use crate::load::publisher::{Handover, Outlet, Publisher};
use crate::load::reconnecting::{Redialed, Redialer};
use crate::load::status::{OutageId, StatusBoard, Who};
use crate::net::async_client::{AsyncClient, AsyncClientError, LibraryEvent, OnLibraryEvent};
use crate::net::dial::ConnectionFacts;
use crate::net::session::{Session, SessionError};
use crate::protocol::{ServerOp, encode};
use crate::results::outages::{Cause, CauseKind, Role, Status};
use crate::rounds::SizeTooSmall;

/// Batches that may wait for a client library before the pacing thread has to wait for it.
const CLIENT_QUEUE_BATCHES: usize = 64;

/// Why publishing could not begin.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No connection.
    #[error(transparent)]
    Dial(#[from] Unreachable),
    /// async-nats could not connect.
    #[error(transparent)]
    Client(#[from] AsyncClientError),
    /// The connection cannot be handed to the pacing thread.
    #[error("cannot hand the connection to the pacing thread")]
    Detach(#[source] std::io::Error),
    /// The size of the plan is impossible.
    #[error(transparent)]
    Size(#[from] SizeTooSmall),
}

/// What the reading tasks have seen.
#[derive(Debug, Default)]
pub struct LinkReport {
    n_server_errors: AtomicU64,
    texts: Mutex<Vec<String>>,
}

impl LinkReport {
    fn note(&self, text: String) {
        const MAX_KEPT_TEXTS: usize = 10;
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        if texts.len() < MAX_KEPT_TEXTS && !texts.contains(&text) {
            texts.push(text);
        }
    }

    /// How often the server answered `-ERR`.
    pub fn n_server_errors(&self) -> u64 {
        self.n_server_errors.load(Ordering::Relaxed)
    }

    /// What the server, or a client library, complained about, the first few different texts.
    pub fn texts(&self) -> Vec<String> {
        self.texts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// What the publishing connections of a run are to be.
pub struct LinksPlan<'a> {
    /// Where to.
    pub endpoint: &'a Endpoint,
    /// By which library.
    pub client: PublishClient,
    /// How many.
    pub n_connections: u16,
    /// What goes over them.
    pub rounds: &'a RoundsPlan,
    /// What happens to rounds while a connection is down.
    pub while_down: WhileDown,
}

/// The publishing connections of a run.
#[derive(Debug)]
pub struct Links {
    /// What is known about each connection; empty for a client library.
    pub facts: Vec<ConnectionFacts>,
    report: Arc<LinkReport>,
    readers: JoinSet<()>,
    connections: Vec<Arc<Link>>,
    client: PublishClient,
    board: StatusBoard,
}

/// A connection that is open, and not yet part of the run.
enum Opened {
    Direct(Box<(Session, ConnectionFacts)>),
    Client(AsyncClient, Arc<Link>),
}

fn who(idx: usize) -> Who {
    Who {
        role: Role::Publisher,
        idx,
    }
}

impl Links {
    /// Opens the connections and makes a publisher of each.
    ///
    /// # Errors
    /// The first connection that could not be opened.
    pub async fn open(
        plan: &LinksPlan<'_>,
        board: &StatusBoard,
    ) -> Result<(Self, Vec<Publisher>), LinkError> {
        let mut links = Self {
            facts: Vec::new(),
            report: Arc::new(LinkReport::default()),
            readers: JoinSet::new(),
            connections: Vec::new(),
            client: plan.client,
            board: board.clone(),
        };
        let mut publishers = Vec::new();
        let endpoint = Arc::new(plan.endpoint.clone());
        let opened = open_all(plan, &endpoint, &links.report, board).await?;
        for (idx, opened) in (0..).zip(opened) {
            let (outlet, link) = match opened {
                Opened::Direct(opened) => links.start_reading(idx, *opened, &endpoint)?,
                Opened::Client(client, link) => (links.start_handing_over(client), link),
            };
            links.connections.push(Arc::clone(&link));
            let publisher = Publisher::new(idx, outlet, plan.rounds)?;
            publishers.push(publisher.linked(link, plan.while_down));
        }
        Ok((links, publishers))
    }

    fn start_reading(
        &mut self,
        idx: u16,
        (mut session, facts): (Session, ConnectionFacts),
        endpoint: &Arc<Endpoint>,
    ) -> Result<(Outlet, Arc<Link>), LinkError> {
        let writer = session.detach_writer().map_err(LinkError::Detach)?;
        let link = Arc::new(Link::new(self.board.clone()));
        let reader = LinkReader {
            session,
            report: Arc::clone(&self.report),
            link: Arc::clone(&link),
            liveness: Liveness::new(endpoint.reconnect.ping_interval),
            redialer: Redialer::new(
                who(usize::from(idx)),
                self.board.clone(),
                Arc::clone(endpoint),
                &facts,
            ),
            last_complaint: None,
        };
        self.facts.push(facts);
        self.readers.spawn(reader.serve());
        Ok((Outlet::Direct(Box::new(writer)), link))
    }

    fn start_handing_over(&mut self, client: AsyncClient) -> Outlet {
        let (sender, mut inbox) = mpsc::channel::<Vec<Handover>>(CLIENT_QUEUE_BATCHES);
        let report = Arc::clone(&self.report);
        self.readers.spawn(async move {
            while let Some(batch) = inbox.recv().await {
                for handover in batch {
                    if let Err(error) = client.publish(handover.subject, handover.payload).await {
                        report.note(error_chain(&error));
                        report.n_server_errors.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
            if let Err(error) = client.flush().await {
                report.note(error_chain(&error));
            }
        });
        Outlet::Client(sender)
    }

    /// What the reading tasks have seen so far.
    pub fn report(&self) -> &LinkReport {
        &self.report
    }

    /// Waits until the broker has answered the final PING of every connection, up to `limit`. Returns whether it has.
    pub async fn confirmed(&self, limit: Duration) -> bool {
        if self.client == PublishClient::AsyncNats {
            // A library has no such PING.
            return true;
        }
        let all = async {
            for link in &self.connections {
                link.settled().await;
            }
        };
        tokio::time::timeout(limit, all).await.is_ok()
            && self.connections.iter().all(|link| link.is_confirmed())
    }

    /// Waits, up to `limit`, until a client library has sent what it was given; ends the reading tasks.
    pub async fn close(mut self, limit: Duration) {
        if self.client == PublishClient::AsyncNats {
            let drained = async { while self.readers.join_next().await.is_some() {} };
            // What a library has not sent by then shows as lost.
            let _ = tokio::time::timeout(limit, drained).await;
        }
        self.readers.shutdown().await;
        for (idx, link) in self.connections.iter().enumerate() {
            if !link.is_dead() {
                self.board.note(who(idx), Status::Closed { reason: None });
            }
        }
    }
}

/// Opens all connections, in the order of their numbers.
async fn open_all(
    plan: &LinksPlan<'_>,
    endpoint: &Arc<Endpoint>,
    report: &Arc<LinkReport>,
    board: &StatusBoard,
) -> Result<Vec<Opened>, LinkError> {
    open_many(usize::from(plan.n_connections), |idx| {
        let endpoint = Arc::clone(endpoint);
        let watch = (plan.client == PublishClient::AsyncNats).then(|| LibraryWatch {
            who: who(idx),
            link: Arc::new(Link::new(board.clone())),
            report: Arc::clone(report),
            state: Mutex::default(),
        });
        async move {
            match watch {
                None => Ok(Opened::Direct(Box::new(dial_any(&endpoint).await?))),
                Some(watch) => open_library(&endpoint, watch).await,
            }
        }
    })
    .await
}

async fn open_library(endpoint: &Endpoint, watch: LibraryWatch) -> Result<Opened, LinkError> {
    let link = Arc::clone(&watch.link);
    let on_event: OnLibraryEvent = Arc::new(move |event| watch.on_event(event));
    let wait = endpoint.reconnect.wait;
    let client = AsyncClient::connect(&endpoint.servers, &endpoint.dial, wait, &on_event).await?;
    Ok(Opened::Client(client, link))
}

/// Follows what a client library says of its connection.
struct LibraryWatch {
    who: Who,
    link: Arc<Link>,
    report: Arc<LinkReport>,
    state: Mutex<LibraryState>,
}

/// Where a library's connection stands.
#[derive(Clone, Copy, Default)]
enum LibraryState {
    #[default]
    NotYetConnected,
    Up,
    Down(OutageId),
}

impl LibraryWatch {
    fn on_event(&self, event: LibraryEvent) {
        let board = self.link.board();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match (event, *state) {
            (LibraryEvent::Complaint(text), _) => {
                self.report.n_server_errors.fetch_add(1, Ordering::Relaxed);
                self.report.note(text);
            }
            (LibraryEvent::Connected { server }, before) => {
                *state = LibraryState::Up;
                match before {
                    LibraryState::NotYetConnected => board.connected(self.who, &server),
                    LibraryState::Down(id) => board.reconnected(self.who, id, &server, 1, None),
                    LibraryState::Up => {}
                }
            }
            (LibraryEvent::Disconnected, LibraryState::Up) => {
                self.link.library_lost_it();
                let cause = Cause {
                    kind: CauseKind::Library,
                    close_code: None,
                    text: "async-nats has lost the connection".to_owned(),
                };
                *state = LibraryState::Down(board.disconnected(self.who, cause, mono_now()));
            }
            (LibraryEvent::Disconnected, _) => {}
        }
    }
}

/// The reading side of one publishing connection, for as many connections as it takes.
struct LinkReader {
    session: Session,
    report: Arc<LinkReport>,
    link: Arc<Link>,
    liveness: Liveness,
    redialer: Redialer,
    /// Said in the last read that brought anything.
    last_complaint: Option<String>,
}

impl LinkReader {
    async fn serve(mut self) {
        loop {
            let error = loop {
                if let Err(error) = self.read_once().await {
                    break error;
                }
            };
            let id = self.declare_lost(error);
            let back = match self.redialer.redial(id).await {
                Ok(redialed) => self.take_over(id, redialed),
                Err(gave_up) => Err(gave_up.0),
            };
            if let Err(reason) = back {
                self.link.post(Mail::Dead { reason });
                return;
            }
        }
    }

    /// Everything that came over the connection has been read.
    fn declare_lost(&mut self, error: SessionError) -> OutageId {
        let moment = mono_now();
        // The end of the stream is our own doing when a write has failed.
        let error = match (error, self.link.take_write_error()) {
            (SessionError::Eof, Some(write_error)) => SessionError::Io(write_error),
            (error, _) => error,
        };
        let circumstances = Circumstances {
            last_complaint: self.last_complaint.as_deref(),
            ..Circumstances::default()
        };
        let cause = cause_of(&error, circumstances);
        let board = self.redialer.board();
        let id = board.disconnected(self.redialer.who(), cause, moment);
        let n_pongs = self.link.forget_pongs();
        self.link.post(Mail::Lost {
            id,
            n_pongs,
            moment,
        });
        id
    }

    fn take_over(&mut self, id: OutageId, redialed: Redialed) -> Result<(), String> {
        let Redialed {
            mut session,
            facts,
            n_attempts,
        } = redialed;
        let writer = session.detach_writer().map_err(|error| {
            let reason = format!("cannot hand the connection to the pacing thread: {error}");
            let board = self.redialer.board();
            board.gave_up(self.redialer.who(), id, &reason);
            reason
        })?;
        self.session = session;
        self.last_complaint = None;
        self.liveness.reset();
        self.redialer.note_back(id, &facts, n_attempts);
        self.link.post(Mail::Back {
            id,
            writer: Box::new(writer),
        });
        Ok(())
    }

    async fn read_once(&mut self) -> Result<(), SessionError> {
        let mut n_pings = 0;
        let mut has_any = false;
        while let Some(op) = self.session.next_op()? {
            if !std::mem::replace(&mut has_any, true) {
                self.last_complaint = None;
            }
            match op {
                ServerOp::Ping => n_pings += 1,
                ServerOp::Pong => self.link.pong(),
                ServerOp::Info(json) => self.redialer.on_info(json),
                ServerOp::Err(text) => {
                    self.report.n_server_errors.fetch_add(1, Ordering::Relaxed);
                    self.report.note(format!("-ERR '{text}'"));
                    self.last_complaint = Some(text.to_owned());
                }
                _ => {}
            }
        }
        for _ in 0..n_pings {
            encode::pong(self.session.out());
        }
        // The writing side is detached, so that this only queues the answers for the pacing thread.
        self.session.flush().await?;
        // Both are cancel-safe.
        tokio::select! {
            read = self.session.read() => read,
            () = self.liveness.tick() => match self.liveness.look(self.session.received_at()) {
                Look::Alive => Ok(()),
                Look::Ask => {
                    self.link.ask_for_ping();
                    Ok(())
                }
                Look::Silent if self.link.is_ping_held_up() => Ok(()),
                Look::Silent => self.liveness.judge(&mut self.session).await,
            }
        }
    }
}
