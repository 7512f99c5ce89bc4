//! A logged-in session, used as a doctor uses it: say one thing, send PING behind it, and see what comes before the PONG.
//!
//! A server answers in order, so that whatever comes before the PONG belongs to what was said. A `-ERR` names neither
//! the subscription nor always the subject: one thing at a time.

use std::ops::ControlFlow;
use std::time::Duration;

use rand::RngExt as _;
use rand::distr::Alphanumeric;
use tokio::time::timeout;

use crate::clock::{MonoNanos, mono_now};
use crate::doctor::words::short;
use crate::net::session::{Session, SessionError};
use crate::protocol::{Headers, Msg, ServerInfo, ServerOp, encode};

/// Most messages kept of one answer.
const MAX_MESSAGES: usize = 1_000;
/// How much of a payload is kept.
const MAX_PAYLOAD_BYTES: usize = 16 << 10;
/// How much of a large answer to a request is kept.
const MAX_REPLY_BYTES: usize = 1 << 20;
/// How much is kept of all messages of one answer.
const MAX_KEPT_BYTES: usize = 8 << 20;
/// How much is shown of what a server says.
const MAX_WORDS_CHARS: usize = 300;
/// Most `-ERR` and INFO kept of one answer.
const MAX_WORDS: usize = 64;

/// A token of a subject that nobody else uses.
pub(crate) fn random_token(n_chars: usize) -> String {
    let mut rng = rand::rng();
    (0..n_chars)
        .map(|_| char::from(rng.sample(Alphanumeric)))
        .collect()
}

/// An `-ERR` as evidence.
pub(crate) fn err_line(text: &str) -> String {
    format!("-ERR '{}'", excerpt(text))
}

/// The beginning of what a server says: it may say much.
pub(crate) fn excerpt(text: &str) -> String {
    short(text, MAX_WORDS_CHARS)
}

/// A message, as far as it is kept.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) sid: u64,
    /// Lossily decoded.
    pub(crate) subject: String,
    pub(crate) reply: Option<String>,
    pub(crate) headers: Option<Headers>,
    /// The beginning of it.
    pub(crate) payload: Vec<u8>,
    /// The size of all of it.
    pub(crate) payload_bytes: usize,
}

impl Heard {
    fn of(msg: &Msg<'_>, max_payload_bytes: usize) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            sid: msg.sid,
            subject: text(msg.subject),
            reply: msg.reply.map(text),
            headers: msg.headers.and_then(|block| Headers::parse(block).ok()),
            payload: msg.payload[..msg.payload.len().min(max_payload_bytes)].to_vec(),
            payload_bytes: msg.payload.len(),
        }
    }

    /// Whether it says that nobody listens (status 503).
    pub(crate) fn is_no_responders(&self) -> bool {
        let headers = self.headers.as_ref();
        self.payload_bytes == 0
            && headers.is_some_and(|headers| matches!(headers.status, Some((503, _))))
    }
}

/// Why no more came.
#[derive(Debug)]
pub(crate) enum End {
    /// The PONG came.
    Pong,
    /// What was waited for came.
    Enough,
    /// Nothing more within the time.
    Silence,
    /// The connection is over.
    Ended(SessionError),
}

/// What came.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Texts of `-ERR`, verbatim.
    pub(crate) errors: Vec<String>,
    pub(crate) messages: Vec<Heard>,
    pub(crate) infos: Vec<ServerInfo>,
    /// PINGs of the server, answered.
    pub(crate) n_pings: u64,
    pub(crate) end: End,
    pub(crate) took: Duration,
}

/// Keeps one more of what a server says, as long as it does not say too much.
fn keep<T>(words: &mut Vec<T>, word: T) {
    if words.len() < MAX_WORDS {
        words.push(word);
    }
}

impl Answer {
    fn nothing() -> Self {
        Self {
            errors: Vec::new(),
            messages: Vec::new(),
            infos: Vec::new(),
            n_pings: 0,
            end: End::Silence,
            took: Duration::ZERO,
        }
    }

    /// Whether the server went on as if nothing were wrong.
    pub(crate) fn is_clean(&self) -> bool {
        self.errors.is_empty() && matches!(self.end, End::Pong)
    }

    /// How it ended, in words.
    pub(crate) fn end_text(&self) -> String {
        match &self.end {
            End::Pong => "PONG".to_owned(),
            End::Enough => "the message".to_owned(),
            End::Silence => format!(
                "nothing more within {}",
                crate::units::format_duration(self.took)
            ),
            End::Ended(error) => error.to_string(),
        }
    }
}

/// What became of a request.
#[derive(Debug)]
pub(crate) enum RequestError {
    /// Nobody listens (status 503).
    NoResponders,
    /// The server refused it, with this `-ERR`.
    Refused(String),
    /// No answer.
    Silence,
    /// The connection is over.
    Ended(SessionError),
}

/// A logged-in session.
#[derive(Debug)]
pub(crate) struct Conversation {
    session: Session,
    last_sid: u64,
    inbox: String,
    n_requests: u64,
}

impl Conversation {
    pub(crate) fn new(session: Session) -> Self {
        Self {
            session,
            last_sid: 0,
            inbox: format!("_INBOX.{}", random_token(22)),
            n_requests: 0,
        }
    }

    /// A reply subject of its own.
    pub(crate) fn new_inbox(&mut self) -> String {
        self.n_requests += 1;
        format!("{}.{}", self.inbox, self.n_requests)
    }

    /// What to append operations to.
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        self.session.out()
    }

    /// Queues a subscription, and returns its id. The pattern has been checked.
    pub(crate) fn subscribe(&mut self, pattern: &str, queue: Option<&str>) -> u64 {
        self.last_sid += 1;
        // A subject with a blank would be another one; `input` reports it, and nobody comes here with it.
        let _ = encode::sub(self.session.out(), pattern, queue, self.last_sid);
        self.last_sid
    }

    /// Queues the end of a subscription.
    pub(crate) fn unsubscribe(&mut self, sid: u64) {
        encode::unsub(self.session.out(), sid, None);
    }

    /// Queues a message. The subject has been checked.
    pub(crate) fn publish(&mut self, subject: &str, reply: Option<&str>, payload: &[u8]) {
        // As above.
        let _ = encode::publish(self.session.out(), subject, reply, payload);
    }

    /// Sends what is queued and PING, and collects what comes before the PONG.
    pub(crate) async fn settle(&mut self, limit: Duration) -> Answer {
        encode::ping(self.session.out());
        self.collect(limit, MAX_PAYLOAD_BYTES, true, &mut |_| {
            ControlFlow::Continue(())
        })
        .await
    }

    /// The same where a large message may be among what comes.
    pub(crate) async fn settle_for_reply(&mut self, limit: Duration) -> Answer {
        encode::ping(self.session.out());
        self.collect(limit, MAX_REPLY_BYTES, true, &mut |_| {
            ControlFlow::Continue(())
        })
        .await
    }

    /// Sends so many PINGs at once, and counts the PONGs: how much goes through in both directions.
    pub(crate) async fn ping_many(&mut self, n_pings: usize, limit: Duration) -> usize {
        for _ in 0..n_pings {
            encode::ping(self.session.out());
        }
        let begun = mono_now();
        for n_pongs in 0..n_pings {
            let left = limit.saturating_sub(Duration::from_nanos(mono_now().since(begun)));
            let answer = self
                .collect(left, 0, true, &mut |_| ControlFlow::Continue(()))
                .await;
            if !matches!(answer.end, End::Pong) {
                return n_pongs;
            }
        }
        n_pings
    }

    /// When what came last came out of the socket.
    pub(crate) fn received_at(&self) -> MonoNanos {
        self.session.received_at()
    }

    /// Sends what is queued, and collects what comes until `look` has seen enough.
    pub(crate) async fn listen(
        &mut self,
        limit: Duration,
        look: &mut (dyn FnMut(&Heard) -> ControlFlow<()> + Send),
    ) -> Answer {
        self.collect(limit, MAX_PAYLOAD_BYTES, false, look).await
    }

    /// The same where what is looked for may be large.
    pub(crate) async fn listen_for_reply(
        &mut self,
        limit: Duration,
        look: &mut (dyn FnMut(&Heard) -> ControlFlow<()> + Send),
    ) -> Answer {
        self.collect(limit, MAX_REPLY_BYTES, false, look).await
    }

    /// A request, and the first answer to it.
    pub(crate) async fn request(
        &mut self,
        subject: &str,
        payload: &[u8],
        limit: Duration,
    ) -> Result<Heard, RequestError> {
        let inbox = self.new_inbox();
        let sid = self.subscribe(&inbox, None);
        self.publish(subject, Some(&inbox), payload);
        encode::ping(self.session.out());
        // The PONG may overtake the answer of a service, but not a refusal.
        let mut answer = self
            .collect(limit, MAX_REPLY_BYTES, true, &mut |heard| {
                if heard.sid == sid {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })
            .await;
        let is_pong_due = !matches!(answer.end, End::Pong);
        if matches!(answer.end, End::Pong) && answer.errors.is_empty() {
            let left = limit.saturating_sub(answer.took);
            answer = self
                .collect(left, MAX_REPLY_BYTES, false, &mut |heard| {
                    if heard.sid == sid {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                })
                .await;
        }
        if is_pong_due && matches!(answer.end, End::Enough) {
            // Or it would count as the answer to the next PING.
            let left = limit.saturating_sub(answer.took);
            self.collect(left, 0, true, &mut |_| ControlFlow::Continue(()))
                .await;
        }
        self.unsubscribe(sid);
        let mut messages = answer.messages.into_iter();
        if let Some(heard) = messages.find(|heard| heard.sid == sid) {
            if heard.is_no_responders() {
                return Err(RequestError::NoResponders);
            }
            return Ok(heard);
        }
        if let Some(text) = answer.errors.into_iter().next() {
            return Err(RequestError::Refused(text));
        }
        match answer.end {
            End::Ended(error) => Err(RequestError::Ended(error)),
            _ => Err(RequestError::Silence),
        }
    }

    async fn collect(
        &mut self,
        limit: Duration,
        max_payload_bytes: usize,
        until_pong: bool,
        look: &mut (dyn FnMut(&Heard) -> ControlFlow<()> + Send),
    ) -> Answer {
        let begun = mono_now();
        let mut answer = Answer::nothing();
        let mut n_kept_bytes = 0;
        let talking = async {
            // What the server says on its way out matters more than that it takes nothing any more.
            let mut written = self.session.flush().await;
            loop {
                match self.session.next_op() {
                    Ok(Some(ServerOp::Pong)) if until_pong => return End::Pong,
                    Ok(Some(ServerOp::Ping)) => {
                        answer.n_pings += 1;
                        encode::pong(self.session.out());
                    }
                    Ok(Some(ServerOp::Err(text))) => {
                        keep(&mut answer.errors, text.to_owned());
                    }
                    Ok(Some(ServerOp::Info(json))) => {
                        if let Ok(info) = ServerInfo::parse(json) {
                            keep(&mut answer.infos, info);
                        }
                    }
                    Ok(Some(ServerOp::Msg(msg))) => {
                        let heard = Heard::of(&msg, max_payload_bytes);
                        let is_enough = look(&heard).is_break();
                        let has_room =
                            answer.messages.len() < MAX_MESSAGES && n_kept_bytes < MAX_KEPT_BYTES;
                        if has_room || is_enough {
                            n_kept_bytes += heard.payload.len();
                            answer.messages.push(heard);
                        }
                        if is_enough {
                            return End::Enough;
                        }
                    }
                    Ok(Some(ServerOp::Pong | ServerOp::Ok)) => {}
                    Ok(None) => {
                        written = written.and(self.session.flush().await);
                        if let Err(error) = self.session.read().await {
                            return End::Ended(written.err().unwrap_or(error));
                        }
                    }
                    Err(error) => return End::Ended(error),
                }
            }
        };
        if let Ok(end) = timeout(limit, talking).await {
            answer.end = end;
        }
        answer.took = Duration::from_nanos(mono_now().since(begun));
        answer
    }
}
