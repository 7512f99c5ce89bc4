//! One connection that is watched: what happens on it until it ends or is no longer watched.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::clock::{MonoNanos, mono_now};
use crate::doctor::checks::watch::verdict::has_told;
use crate::net::session::{Session, SessionError};
use crate::protocol::{ServerErrorKind, ServerInfo, ServerOp, encode};

/// Time between two PINGs of a connection that is kept alive: shorter than every idle time-out that somebody would
/// configure, and nothing to the server.
pub(super) const KEEP_ALIVE: Duration = Duration::from_millis(250);
/// A PING that is not answered for so long is reported.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// Round trips kept of one connection.
const MAX_ROUND_TRIPS: usize = 100_000;
/// `-ERR` kept of one connection.
const MAX_ERRORS: usize = 16;
/// A subscription that was not refused within this time was accepted.
const ANSWERED_NS: u64 = 1_500_000_000;
/// What counts as traffic of the present.
const RECENT_NS: u64 = 1_000_000_000;

/// The moment so much later than now.
pub(super) fn after(duration: Duration) -> MonoNanos {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    mono_now().plus(nanos)
}

/// What is left until then.
pub(super) fn left_until(moment: MonoNanos) -> Duration {
    Duration::from_nanos(moment.since(mono_now()))
}

/// What a connection is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Says nothing, and only answers the PINGs of the server.
    Idle,
    /// Sends PING again and again.
    KeptAlive,
    /// Has subscribed to what the user named.
    Subscribed,
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LineEnd {
    /// The peer ended the TCP stream and said nothing.
    Fin,
    /// A TCP reset.
    Reset,
    /// A WebSocket close frame.
    Closed { code: u16, reason: String },
    /// What came is no NATS over WebSocket, or the socket broke in another way.
    Broken(String),
}

impl LineEnd {
    fn of(error: &SessionError) -> Self {
        match error {
            SessionError::Eof => Self::Fin,
            SessionError::Closed { code, reason } => Self::Closed {
                code: *code,
                reason: reason.clone(),
            },
            SessionError::Io(source)
                if matches!(
                    source.kind(),
                    std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe
                ) =>
            {
                Self::Reset
            }
            SessionError::Io(source) => Self::Broken(source.to_string()),
            error => Self::Broken(error.to_string()),
        }
    }

    /// In words.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Fin => "FIN without a close frame".to_owned(),
            Self::Reset => "TCP reset".to_owned(),
            Self::Closed { code, reason } if reason.is_empty() => format!("close frame {code}"),
            Self::Closed { code, reason } => format!("close frame {code} \"{reason}\""),
            Self::Broken(text) => text.clone(),
        }
    }
}

/// What is known of a connection.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) kind: Kind,
    /// When its TCP connection was there.
    pub(super) opened: MonoNanos,
    /// Who answered.
    pub(super) server_id: String,
    /// When the last byte went or came, but for the PING that was ordered.
    pub(super) last_byte: MonoNanos,
    /// PINGs of the server, answered.
    pub(super) n_pings: u64,
    pub(super) round_trips: Vec<Duration>,
    /// Texts of `-ERR`, verbatim.
    pub(super) errors: Vec<String>,
    /// A subscription that had been accepted was taken away, in the words of the server.
    pub(super) lost: Option<String>,
    /// The server said that it is about to shut down.
    pub(super) is_lame_duck: bool,
    /// Since when a PING of ours waits for its answer.
    pub(super) asked: Option<MonoNanos>,
    /// It waited for longer than [`PATIENCE`].
    pub(super) is_silent: bool,
    pub(super) end: Option<(MonoNanos, LineEnd)>,
    pub(super) n_messages: u64,
    pub(super) n_bytes: u64,
    /// Bytes of messages in the last second with any, and when it began.
    recent: (MonoNanos, u64),
}

impl Line {
    pub(super) fn new(kind: Kind, opened: MonoNanos, server_id: String) -> Self {
        Self {
            kind,
            opened,
            server_id,
            last_byte: mono_now(),
            n_pings: 0,
            round_trips: Vec::new(),
            errors: Vec::new(),
            lost: None,
            is_lame_duck: false,
            asked: None,
            is_silent: false,
            end: None,
            n_messages: 0,
            n_bytes: 0,
            recent: (MonoNanos(0), 0),
        }
    }

    fn until(&self, now: MonoNanos) -> MonoNanos {
        self.end.as_ref().map_or(now, |(ended, _)| *ended)
    }

    /// How old it is or became.
    pub(super) fn age(&self, now: MonoNanos) -> Duration {
        Duration::from_nanos(self.until(now).since(self.opened))
    }

    /// For how long nothing has gone or come, or had when it ended, or when it was asked whether it is still there.
    pub(super) fn idle_for(&self, now: MonoNanos) -> Duration {
        let until = match self.asked {
            Some(asked) if self.kind != Kind::KeptAlive => asked,
            _ => self.until(now),
        };
        Duration::from_nanos(until.since(self.last_byte))
    }

    /// Whether it was already gone when it was asked whether it is still there.
    pub(super) fn was_dropped(&self) -> bool {
        self.kind != Kind::KeptAlive && self.asked.is_some()
    }

    /// Bytes of messages in its last busy second.
    pub(super) fn recent_bytes(&self) -> u64 {
        self.recent.1
    }

    pub(super) fn count(&mut self, payload_bytes: usize, at: MonoNanos) {
        let n_bytes = payload_bytes as u64;
        self.n_messages += 1;
        self.n_bytes += n_bytes;
        if at.since(self.recent.0) > RECENT_NS {
            self.recent = (at, 0);
        }
        self.recent.1 += n_bytes;
    }
}

/// What happened, and on which connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// It is open.
    Opened,
    /// It could not be opened.
    NotOpened,
    /// A PING has waited for [`PATIENCE`].
    Silent,
    /// It was answered after all.
    Resumed(Duration),
    /// It answered the PING that it was told to send.
    Answered,
    /// The server is about to shut down.
    LameDuck,
    /// It is over; whether the server told why.
    Ended { is_told: bool },
}

/// A report of a connection.
pub(super) type Note = (usize, What);

/// How connections are told what to do.
#[derive(Clone)]
pub(super) struct Orders {
    /// Stop watching.
    pub(super) stop: CancellationToken,
    /// Each change asks for one PING.
    pub(super) check: watch::Receiver<u32>,
    /// Where to report to.
    pub(super) notes: mpsc::Sender<Note>,
}

/// A connection and what is known of it.
pub(super) struct Watched {
    pub(super) idx: usize,
    pub(super) session: Session,
    pub(super) line: Line,
    pub(super) orders: Orders,
}

impl Watched {
    /// Watches it until it ends, or until it is told to stop.
    pub(super) async fn run(mut self) -> Line {
        let is_kept = self.line.kind == Kind::KeptAlive;
        let mut next_ping = after(KEEP_ALIVE);
        let mut is_checked = false;
        self.report(What::Opened).await;
        loop {
            if let Err(error) = self.absorb(&mut is_checked).await {
                self.end(&error).await;
                return self.line;
            }
            self.flush().await;
            let has_asked = self.line.asked.is_some();
            let patience = self.patience_left();
            // All are cancel-safe: reading keeps what has come in the session, the others only wait.
            tokio::select! {
                biased;
                () = self.orders.stop.cancelled() => return self.line,
                read = self.session.read() => match read {
                    Ok(()) => self.line.last_byte = self.session.received_at(),
                    Err(error) => {
                        self.end(&error).await;
                        return self.line;
                    }
                },
                Ok(()) = self.orders.check.changed() => {
                    is_checked = true;
                    self.ask();
                }
                () = sleep(left_until(next_ping)), if is_kept && !has_asked => {
                    self.ask();
                    next_ping = after(KEEP_ALIVE);
                }
                () = sleep(patience), if has_asked && !self.line.is_silent => {
                    self.line.is_silent = true;
                    self.report(What::Silent).await;
                }
            }
        }
    }

    /// Takes what has come.
    async fn absorb(&mut self, is_checked: &mut bool) -> Result<(), SessionError> {
        let line = &mut self.line;
        let at = self.session.received_at();
        let mut what = Vec::new();
        loop {
            match self.session.next_op()? {
                None => break,
                Some(ServerOp::Ping) => {
                    line.n_pings += 1;
                    encode::pong(self.session.out());
                }
                Some(ServerOp::Pong) => {
                    let Some(asked) = line.asked.take() else {
                        continue;
                    };
                    let took = Duration::from_nanos(at.since(asked));
                    if line.round_trips.len() < MAX_ROUND_TRIPS {
                        line.round_trips.push(took);
                    }
                    if std::mem::take(&mut line.is_silent) {
                        what.push(What::Resumed(took));
                    }
                    if std::mem::take(is_checked) {
                        what.push(What::Answered);
                    }
                }
                Some(ServerOp::Err(text)) => {
                    if is_lost_subscription(text) && at.since(line.opened) > ANSWERED_NS {
                        line.lost = Some(text.to_owned());
                    }
                    if line.errors.len() < MAX_ERRORS {
                        line.errors.push(text.to_owned());
                    }
                }
                Some(ServerOp::Info(json)) => {
                    let is_ldm = ServerInfo::parse(json).is_ok_and(|info| info.ldm);
                    if is_ldm && !line.is_lame_duck {
                        line.is_lame_duck = true;
                        what.push(What::LameDuck);
                    }
                }
                Some(ServerOp::Msg(msg)) => line.count(msg.payload.len(), at),
                Some(ServerOp::Ok) => {}
            }
        }
        for what in what {
            self.report(what).await;
        }
        Ok(())
    }

    fn ask(&mut self) {
        if self.line.asked.is_none() {
            encode::ping(self.session.out());
            self.line.asked = Some(mono_now());
        }
    }

    /// Sends what waits. A failure shows in reading, with the reason behind it.
    async fn flush(&mut self) {
        if self.session.out().is_empty() {
            return;
        }
        let written = timeout(PATIENCE, self.session.flush()).await;
        if matches!(written, Ok(Ok(()))) && !self.line.was_dropped() {
            self.line.last_byte = mono_now();
        }
    }

    fn patience_left(&self) -> Duration {
        let waited = self.line.asked.map_or(0, |asked| mono_now().since(asked));
        PATIENCE.saturating_sub(Duration::from_nanos(waited))
    }

    async fn end(&mut self, error: &SessionError) {
        self.line.end = Some((mono_now(), LineEnd::of(error)));
        let is_told = has_told(&self.line);
        self.report(What::Ended { is_told }).await;
    }

    async fn report(&self, what: What) {
        // Nobody listens any more when all is known.
        let _ = self.orders.notes.send((self.idx, what)).await;
    }
}

fn is_lost_subscription(text: &str) -> bool {
    ServerErrorKind::classify(text) == ServerErrorKind::SubscribePermission
}
