//! The publishing connections of a run: dialled here, written by the pacing thread, read by tasks of their own.
//!
//! A publishing connection receives little, but what it receives matters: pings that must be answered, the
//! PONG that confirms the end, and `-ERR` for messages that the broker refuses.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use crate::load::plan::{Endpoint, PublishClient, RoundsPlan};
use crate::load::publisher::{Handover, Outlet, Publisher};
use crate::load::receiver::{dial_any, error_chain};
use crate::net::async_client::{AsyncClient, AsyncClientError};
use crate::net::dial::{ConnectionFacts, DialError};
use crate::net::session::{Session, SessionError};
use crate::protocol::{ServerOp, encode};
use crate::rounds::SizeTooSmall;

/// Batches that may wait for a client library before the pacing thread has to wait for it.
const CLIENT_QUEUE_BATCHES: usize = 64;

/// Why publishing could not begin.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No connection.
    #[error(transparent)]
    Dial(#[from] DialError),
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
    n_pongs: AtomicU64,
    n_lost: AtomicU64,
    n_server_errors: AtomicU64,
    texts: Mutex<Vec<String>>,
    changed: Notify,
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

    /// What went wrong, the first few different texts.
    pub fn texts(&self) -> Vec<String> {
        self.texts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// The publishing connections of a run.
#[derive(Debug)]
pub struct Links {
    /// What is known about each connection; empty for a client library.
    pub facts: Vec<ConnectionFacts>,
    report: Arc<LinkReport>,
    readers: JoinSet<()>,
    n_direct: u64,
}

impl Links {
    /// Opens the connections and makes a publisher of each.
    ///
    /// # Errors
    /// The first connection that could not be opened.
    pub async fn open(
        endpoint: &Endpoint,
        client: PublishClient,
        n_connections: u16,
        rounds: &RoundsPlan,
    ) -> Result<(Self, Vec<Publisher>), LinkError> {
        let report = Arc::new(LinkReport::default());
        let mut links = Self {
            facts: Vec::new(),
            report,
            readers: JoinSet::new(),
            n_direct: 0,
        };
        let mut publishers = Vec::new();
        for idx in 0..n_connections {
            let outlet = match client {
                PublishClient::Raw => links.open_direct(endpoint).await?,
                PublishClient::AsyncNats => links.open_client(endpoint).await?,
            };
            publishers.push(Publisher::new(idx, outlet, rounds)?);
        }
        Ok((links, publishers))
    }

    async fn open_direct(&mut self, endpoint: &Endpoint) -> Result<Outlet, LinkError> {
        let (mut session, facts) = dial_any(endpoint).await?;
        let writer = session.detach_writer().map_err(LinkError::Detach)?;
        self.facts.push(facts);
        self.n_direct += 1;
        let report = Arc::clone(&self.report);
        self.readers.spawn(async move {
            let error = read_until_end(&mut session, &report).await;
            report.note(error_chain(&error));
            report.n_lost.fetch_add(1, Ordering::Relaxed);
            report.changed.notify_waiters();
        });
        Ok(Outlet::Direct(writer))
    }

    async fn open_client(&mut self, endpoint: &Endpoint) -> Result<Outlet, LinkError> {
        let client = AsyncClient::connect(&endpoint.servers[0], &endpoint.dial).await?;
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
        Ok(Outlet::Client(sender))
    }

    /// What the reading tasks have seen so far.
    pub fn report(&self) -> &LinkReport {
        &self.report
    }

    /// Waits until every live connection has answered the final PING, up to `limit`. Returns whether all did.
    pub async fn confirmed(&self, limit: Duration) -> bool {
        let all = async {
            loop {
                let changed = self.report.changed.notified();
                let answered = self.report.n_pongs.load(Ordering::Relaxed)
                    + self.report.n_lost.load(Ordering::Relaxed);
                if answered >= self.n_direct {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(limit, all).await.is_ok()
            && self.report.n_lost.load(Ordering::Relaxed) == 0
    }

    /// Waits, up to `limit`, until a client library has sent what it was given; ends the reading tasks.
    pub async fn close(mut self, limit: Duration) {
        if self.n_direct == 0 {
            let drained = async { while self.readers.join_next().await.is_some() {} };
            // What a library has not sent by then shows as lost.
            let _ = tokio::time::timeout(limit, drained).await;
        }
        self.readers.shutdown().await;
    }
}

async fn read_until_end(session: &mut Session, report: &LinkReport) -> SessionError {
    loop {
        if let Err(error) = read_once(session, report).await {
            return error;
        }
    }
}

async fn read_once(session: &mut Session, report: &LinkReport) -> Result<(), SessionError> {
    let mut n_pings = 0;
    while let Some(op) = session.next_op()? {
        match op {
            ServerOp::Ping => n_pings += 1,
            ServerOp::Pong => {
                report.n_pongs.fetch_add(1, Ordering::Relaxed);
                report.changed.notify_waiters();
            }
            ServerOp::Err(text) => {
                report.n_server_errors.fetch_add(1, Ordering::Relaxed);
                report.note(format!("-ERR '{text}'"));
            }
            _ => {}
        }
    }
    for _ in 0..n_pings {
        encode::pong(session.out());
    }
    // The writing side is detached, so that this only queues the answers for the pacing thread.
    session.flush().await?;
    session.read().await
}
