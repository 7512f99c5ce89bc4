//! From an endpoint to connections that have subscribed: servers in order of preference, many connections at a time.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::load::plan::Endpoint;
use crate::net::dial::{ConnectionFacts, DialError, dial};
use crate::net::session::{Session, SessionError};
use crate::net::target::Target;
use crate::protocol::{ServerOp, encode};
use crate::units::format_duration;

/// Connections that are opened at the same time.
const MAX_PARALLEL_DIALS: usize = 32;

/// One subscription to make on each connection.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// Pattern.
    pub pattern: String,
    /// Queue group.
    pub queue: Option<String>,
    /// Whether the run goes on when the server refuses it.
    pub is_optional: bool,
}

/// Why receiving could not begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No connection.
    #[error(transparent)]
    Dial(#[from] Unreachable),
    /// The server refused a subscription.
    #[error("the server refused to subscribe to `{pattern}`: {text}")]
    Refused {
        /// The pattern.
        pattern: String,
        /// The text of `-ERR`.
        text: String,
    },
    /// The server said nothing at all to a subscription.
    #[error("the server did not answer within {} when asked to subscribe to `{pattern}`", format_duration(*.limit))]
    NoAnswer {
        /// The pattern.
        pattern: String,
        /// How long it had.
        limit: Duration,
    },
    /// The connection broke while subscribing.
    #[error("the connection broke while subscribing")]
    Session(#[from] SessionError),
    /// The system gave no thread or runtime.
    #[error("cannot start a receiving thread")]
    Thread(#[source] io::Error),
    /// A receiving thread panicked.
    #[error("a receiving thread stopped unexpectedly")]
    Died,
}

/// What one receiving thread is to do.
#[derive(Clone)]
pub struct ReceiverPlan {
    /// Where to connect.
    pub endpoint: Arc<Endpoint>,
    /// Number of the first connection, for reports.
    pub first_idx: usize,
    /// How many connections.
    pub n_connections: usize,
    /// What to subscribe to on each.
    pub subscriptions: Arc<[Subscription]>,
    /// Read no faster than so many bytes a second; 0 reads nothing at all.
    pub stall: Option<u64>,
}

/// A connection that has subscribed.
#[derive(Debug)]
pub struct Ready {
    /// What is known about it.
    pub facts: ConnectionFacts,
    /// Patterns of optional subscriptions that the server refused, with its words.
    pub refused: Vec<(String, String)>,
}

/// Opens many connections, several at a time, in the order of their numbers, which `open` is given.
///
/// # Errors
/// The first that could not be opened; the others are given up.
pub(crate) async fn open_many<T, E, F>(
    n_connections: usize,
    open: impl Fn(usize) -> F,
) -> Result<Vec<T>, E>
where
    T: Send + 'static,
    E: Send + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
{
    let gate = Arc::new(Semaphore::new(MAX_PARALLEL_DIALS));
    let mut tasks = JoinSet::new();
    for idx in 0..n_connections {
        let (gate, opening) = (Arc::clone(&gate), open(idx));
        tasks.spawn(async move {
            let _permit = gate.acquire().await;
            opening.await.map(|opened| (idx, opened))
        });
    }
    let mut opened = Vec::with_capacity(n_connections);
    while let Some(joined) = tasks.join_next().await {
        // Nobody cancels these tasks, so that only a panic can end one early.
        let joined = joined.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        opened.push(joined?);
    }
    opened.sort_by_key(|(idx, _)| *idx);
    Ok(opened.into_iter().map(|(_, one)| one).collect())
}

/// Opens all connections of a receiving thread, in the order of their numbers.
///
/// # Errors
/// The first that could not be opened, or whose subscription was refused.
pub(crate) async fn open_all(plan: &ReceiverPlan) -> Result<Vec<(Session, Ready)>, StartError> {
    open_many(plan.n_connections, |_| open_one(plan.clone())).await
}

async fn open_one(plan: ReceiverPlan) -> Result<(Session, Ready), StartError> {
    let (mut session, facts) = dial_any(&plan.endpoint).await?;
    let mut refused = Vec::new();
    for (idx, subscription) in plan.subscriptions.iter().enumerate() {
        // One at a time: `-ERR 'Invalid Subject'` names neither subject nor subscription.
        let answer = subscribe(&mut session, subscription, idx as u64 + 1);
        let answer = tokio::time::timeout(plan.endpoint.dial.timeout, answer)
            .await
            .map_err(|_| StartError::NoAnswer {
                pattern: subscription.pattern.clone(),
                limit: plan.endpoint.dial.timeout,
            })??;
        match answer {
            None => {}
            Some(text) if subscription.is_optional => {
                refused.push((subscription.pattern.clone(), text));
            }
            Some(text) => {
                return Err(StartError::Refused {
                    pattern: subscription.pattern.clone(),
                    text,
                });
            }
        }
    }
    Ok((session, Ready { facts, refused }))
}

/// No server of a list could be connected to.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect to {target}")]
pub struct Unreachable {
    /// The first of the list, without secrets: it is the one that was meant.
    pub target: String,
    /// What became of it.
    #[source]
    pub error: DialError,
    /// The others, and what became of them.
    pub others: Vec<(String, DialError)>,
}

impl Unreachable {
    fn new(target: &Target, error: DialError) -> Self {
        Self {
            target: target.to_string(),
            error,
            others: Vec::new(),
        }
    }
}

/// Dials the servers in order until one answers.
///
/// # Errors
/// What became of each, when none did.
pub async fn dial_any(endpoint: &Endpoint) -> Result<(Session, ConnectionFacts), Unreachable> {
    let mut failed: Option<Unreachable> = None;
    for target in &endpoint.servers {
        match dial(target, &endpoint.dial).await {
            Ok(opened) => return Ok(opened),
            Err(error) => match &mut failed {
                None => failed = Some(Unreachable::new(target, error)),
                Some(failed) => failed.others.push((target.to_string(), error)),
            },
        }
    }
    Err(failed.expect("a plan names at least one server"))
}

/// Asks for all subscriptions at once, with a PING behind them. What the server says to them comes among the messages.
pub(crate) fn subscribe_again(session: &mut Session, subscriptions: &[Subscription]) {
    for (sid, subscription) in (1..).zip(subscriptions) {
        let queue = subscription.queue.as_deref();
        // What could be encoded once can be encoded again.
        let _ = encode::sub(session.out(), &subscription.pattern, queue, sid);
    }
    encode::ping(session.out());
}

/// Subscribes and waits until the server has answered; returns its complaint if it refused.
async fn subscribe(
    session: &mut Session,
    subscription: &Subscription,
    sid: u64,
) -> Result<Option<String>, SessionError> {
    if let Err(error) = encode::sub(
        session.out(),
        &subscription.pattern,
        subscription.queue.as_deref(),
        sid,
    ) {
        return Ok(Some(error.to_string()));
    }
    encode::ping(session.out());
    session.flush().await?;
    let mut complaint = None;
    loop {
        let mut n_pings = 0;
        while let Some(op) = session.next_op()? {
            match op {
                ServerOp::Pong => return Ok(complaint),
                ServerOp::Err(text) => complaint = Some(text.to_owned()),
                ServerOp::Ping => n_pings += 1,
                // Messages may already flow on an earlier subscription; the run has not begun.
                _ => {}
            }
        }
        for _ in 0..n_pings {
            encode::pong(session.out());
        }
        session.flush().await?;
        session.read().await?;
    }
}

/// An error with its causes on one line.
pub(crate) fn error_chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
