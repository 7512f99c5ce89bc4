//! The publishing connections of a run: dialled here, written by the pacing thread, read by tasks of their own.
//!
//! A publishing connection receives little, but what it receives matters: pings that must be answered, the
//! PONG that confirms the end, and `-ERR` for messages that the broker refuses.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use crate::load::connecting::{Unreachable, dial_any, error_chain, open_many};
use crate::load::plan::{Endpoint, PublishClient, RoundsPlan};
use crate::load::publisher::{Ending, Handover, Outlet, Publisher};
use crate::net::async_client::{AsyncClient, AsyncClientError, OnComplaint};
use crate::net::dial::ConnectionFacts;
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
    /// Connections that have answered the final PING, or have ended.
    n_settled: AtomicU64,
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

    /// What the server, or a client library, complained about, the first few different texts.
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
    /// One for each direct connection.
    endings: Vec<Ending>,
}

/// A connection that is open, and not yet part of the run.
enum Opened {
    Direct(Box<(Session, ConnectionFacts)>),
    Client(AsyncClient),
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
        let mut links = Self {
            facts: Vec::new(),
            report: Arc::new(LinkReport::default()),
            readers: JoinSet::new(),
            endings: Vec::new(),
        };
        let mut publishers = Vec::new();
        let opened = open_all(endpoint, client, n_connections, &links.report).await?;
        for (idx, opened) in (0..).zip(opened) {
            let publisher = match opened {
                Opened::Direct(opened) => {
                    let (outlet, ending) = links.start_reading(*opened)?;
                    Publisher::new(idx, outlet, rounds)?.ending_at(ending)
                }
                Opened::Client(client) => {
                    Publisher::new(idx, links.start_handing_over(client), rounds)?
                }
            };
            publishers.push(publisher);
        }
        Ok((links, publishers))
    }

    fn start_reading(
        &mut self,
        (mut session, facts): (Session, ConnectionFacts),
    ) -> Result<(Outlet, Ending), LinkError> {
        let writer = session.detach_writer().map_err(LinkError::Detach)?;
        self.facts.push(facts);
        let ending = Ending::default();
        self.endings.push(ending.clone());
        let reader = LinkReader {
            session,
            report: Arc::clone(&self.report),
            is_settled: false,
            last_complaint: None,
        };
        let declared = ending.clone();
        self.readers
            .spawn(async move { reader.read_until_end(&declared).await });
        Ok((Outlet::Direct(writer), ending))
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

    /// Connections that have ended by themselves, with the reason.
    pub fn lost(&self) -> Vec<(usize, String)> {
        let reason_of = |(idx, ending): (usize, &Ending)| {
            ending.reason().map(|reason| (idx, reason.to_owned()))
        };
        self.endings
            .iter()
            .enumerate()
            .filter_map(reason_of)
            .collect()
    }

    /// What the reading tasks have seen so far.
    pub fn report(&self) -> &LinkReport {
        &self.report
    }

    /// Waits until every live connection has answered the final PING, up to `limit`. Returns whether all did.
    pub async fn confirmed(&self, limit: Duration) -> bool {
        let all = async {
            loop {
                // Made before the counter is read: it learns of every change from here on.
                let changed = self.report.changed.notified();
                let n_settled = self.report.n_settled.load(Ordering::Acquire);
                if n_settled >= self.endings.len() as u64 {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(limit, all).await.is_ok() && self.lost().is_empty()
    }

    /// Waits, up to `limit`, until a client library has sent what it was given; ends the reading tasks.
    pub async fn close(mut self, limit: Duration) {
        if self.endings.is_empty() {
            let drained = async { while self.readers.join_next().await.is_some() {} };
            // What a library has not sent by then shows as lost.
            let _ = tokio::time::timeout(limit, drained).await;
        }
        self.readers.shutdown().await;
    }
}

/// Opens all connections, in the order of their numbers.
async fn open_all(
    endpoint: &Endpoint,
    client: PublishClient,
    n_connections: u16,
    report: &Arc<LinkReport>,
) -> Result<Vec<Opened>, LinkError> {
    let on_complaint: OnComplaint = {
        let report = Arc::clone(report);
        Arc::new(move |text| {
            report.n_server_errors.fetch_add(1, Ordering::Relaxed);
            report.note(text);
        })
    };
    open_many(usize::from(n_connections), || {
        open_one(endpoint.clone(), client, Arc::clone(&on_complaint))
    })
    .await
}

async fn open_one(
    endpoint: Endpoint,
    client: PublishClient,
    on_complaint: OnComplaint,
) -> Result<Opened, LinkError> {
    Ok(match client {
        PublishClient::Raw => Opened::Direct(Box::new(dial_any(&endpoint).await?)),
        PublishClient::AsyncNats => Opened::Client(
            AsyncClient::connect(&endpoint.servers, &endpoint.dial, &on_complaint).await?,
        ),
    })
}

/// The reading side of one publishing connection.
struct LinkReader {
    session: Session,
    report: Arc<LinkReport>,
    is_settled: bool,
    last_complaint: Option<String>,
}

impl LinkReader {
    async fn read_until_end(mut self, ending: &Ending) {
        let error = loop {
            if let Err(error) = self.read_once().await {
                break error;
            }
        };
        let error = error_chain(&error);
        // What the server said last explains more than how the socket ended.
        ending.declare(match self.last_complaint.take() {
            Some(complaint) => format!("{complaint}; {error}"),
            None => error,
        });
        self.settle();
    }

    /// Counts this connection once, however many answers it gets.
    fn settle(&mut self) {
        if !std::mem::replace(&mut self.is_settled, true) {
            self.report.n_settled.fetch_add(1, Ordering::Release);
            self.report.changed.notify_waiters();
        }
    }

    async fn read_once(&mut self) -> Result<(), SessionError> {
        let mut n_pings = 0;
        let mut has_pong = false;
        while let Some(op) = self.session.next_op()? {
            match op {
                ServerOp::Ping => n_pings += 1,
                ServerOp::Pong => has_pong = true,
                ServerOp::Err(text) => {
                    let complaint = format!("-ERR '{text}'");
                    self.report.n_server_errors.fetch_add(1, Ordering::Relaxed);
                    self.report.note(complaint.clone());
                    self.last_complaint = Some(complaint);
                }
                _ => {}
            }
        }
        if has_pong {
            self.settle();
        }
        for _ in 0..n_pings {
            encode::pong(self.session.out());
        }
        // The writing side is detached, so that this only queues the answers for the pacing thread.
        self.session.flush().await?;
        self.session.read().await
    }
}
