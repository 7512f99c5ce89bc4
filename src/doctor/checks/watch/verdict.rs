//! What ended the connections, judged from what was seen. Pure: no socket, no clock.
//!
//! The connections were opened one after the other. What ends them at the same age is a lifetime; what ends them at the
//! same moment is the end of something that they share; what ends those that were idle, after the same idle time, while
//! one with traffic lives on, is an idle time-out.

use std::time::Duration;

use crate::clock::MonoNanos;
use crate::doctor::checks::watch::again::Again;
use crate::doctor::checks::watch::line::{Kind, Line, LineEnd};
use crate::protocol::ServerErrorKind;

/// Ends within so long of each other are the same moment.
const SAME_MOMENT: Duration = Duration::from_millis(250);
/// A connection that became so much older than another was not ended by its age.
const OUTLIVES: Duration = Duration::from_millis(300);
/// Traffic in a second from which on a reader may be too slow.
const HEAVY_BYTES: u64 = 256 << 10;
/// The same where it ended as soon as it had subscribed.
const HEAVY_AT_ONCE_BYTES: u64 = 64 << 10;
const AT_ONCE: Duration = Duration::from_secs(1);

/// What was seen until it was clear that something has ended.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) lines: Vec<Line>,
    /// What a new connection met.
    pub(super) again: Again,
    pub(super) now: MonoNanos,
}

/// Why a server ended a connection, in its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    LameDuck,
    Shutdown,
    UserExpired,
    AccountExpired,
    Revoked,
    Kicked,
    /// As if we had closed it: its configuration was reloaded.
    ClientClosed,
    Stale,
    TooManyConnections(String),
    /// The login that was accepted is not any more.
    Unauthorized(String),
    /// Any other reason.
    Other(String),
}

/// What ended the connections.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Verdict {
    /// The server told why.
    Said(Said),
    /// Idle connections are cut. `agreeing` of them after the same time; not `spoken` if packets vanish instead.
    IdleTimeout {
        after: Duration,
        n_agreeing: usize,
        is_dropped: bool,
    },
    /// Connections are cut at this age.
    Lifetime { after: Duration },
    /// All were cut at the same moment, and the server is gone.
    ServerDied,
    /// All were cut at the same moment, and another server process answers.
    ServerRestarted,
    /// All were cut at the same moment, while the server went on.
    ProxyRestarted,
    /// The server takes connections, and does not answer.
    Frozen,
    /// There is no way to the host any more.
    Unreachable,
    /// Packets of open connections vanish, those of new ones do not.
    BlackHole,
    /// New logins are refused, too.
    LoginRefused(String),
    /// The subscribed one was cut in the middle of much traffic.
    SlowConsumer { bytes_per_s: u64 },
    /// Nothing has ended, but the subscription was taken away, in the words of the server.
    SubscriptionLost(String),
    /// None of these.
    Cut,
    /// Nothing has ended.
    Nothing,
}

/// Judges; see the module documentation.
pub(super) fn judge(seen: &Seen) -> Verdict {
    if let Some(said) = said(&seen.lines) {
        return Verdict::Said(said);
    }
    let ended: Vec<&Line> = seen.lines.iter().filter(|l| l.end.is_some()).collect();
    let open = || seen.lines.iter().filter(|line| line.end.is_none());
    let n_silent = open().filter(|line| line.is_silent).count();
    let is_all = ended.len() + n_silent == seen.lines.len();
    match (ended.is_empty(), n_silent > 0, is_all) {
        (true, false, _) => {
            let lost = seen.lines.iter().find_map(|line| line.lost.clone());
            lost.map_or(Verdict::Nothing, Verdict::SubscriptionLost)
        }
        (true, true, _) => silence(seen, is_all),
        (false, _, true) => all_over(seen, &ended),
        (false, _, false) => some_over(seen, &ended),
    }
}

/// Whether a server told why it ended a connection.
pub(super) fn has_told(line: &Line) -> bool {
    said(std::slice::from_ref(line)).is_some()
}

/// What the server said of it.
fn said(lines: &[Line]) -> Option<Said> {
    if lines.iter().any(|line| line.is_lame_duck) {
        return Some(Said::LameDuck);
    }
    let over: Vec<&Line> = lines.iter().filter(|line| line.end.is_some()).collect();
    let mut errors = over.iter().flat_map(|line| &line.errors);
    if let Some(said) = errors.find_map(|text| of_error(text)) {
        return Some(said);
    }
    over.iter().find_map(|line| match &line.end {
        Some((_, LineEnd::Closed { code, reason })) => of_reason(*code, reason),
        _ => None,
    })
}

/// A `-ERR` that ends a connection.
fn of_error(text: &str) -> Option<Said> {
    let is_account = || {
        let text = text.trim_start_matches('\'').to_ascii_lowercase();
        text.starts_with("account")
    };
    Some(match ServerErrorKind::classify(text) {
        ServerErrorKind::AuthenticationExpired if is_account() => Said::AccountExpired,
        ServerErrorKind::AuthenticationExpired => Said::UserExpired,
        ServerErrorKind::AuthenticationRevoked => Said::Revoked,
        ServerErrorKind::AuthorizationViolation => Said::Unauthorized(text.to_owned()),
        ServerErrorKind::StaleConnection => Said::Stale,
        ServerErrorKind::MaximumConnections | ServerErrorKind::MaximumAccountConnections => {
            Said::TooManyConnections(text.to_owned())
        }
        ServerErrorKind::PublishPermission
        | ServerErrorKind::SubscribePermission
        | ServerErrorKind::MaximumSubscriptions
        | ServerErrorKind::InvalidSubject => return None,
        _ => Said::Other(format!("-ERR '{}'", text.trim_matches('\''))),
    })
}

/// The reason in a close frame of nats-server. One without a reason, or with a reason that only proxies give, says
/// nothing of the server.
fn of_reason(code: u16, reason: &str) -> Option<Said> {
    Some(match reason.to_ascii_lowercase().as_str() {
        "server shutdown" => Said::Shutdown,
        "authentication expired" => Said::UserExpired,
        "credentials revoked" => Said::Revoked,
        "kicked" => Said::Kicked,
        "client closed" => Said::ClientClosed,
        "stale connection" => Said::Stale,
        "maximum connections exceeded" | "maximum account connections exceeded" => {
            Said::TooManyConnections(reason.to_owned())
        }
        "authentication failure"
        | "authentication timeout"
        | "missing account"
        | "internal client"
        | "no responders requires headers"
        | "protocol violation"
        | "duplicate client id"
        | "minimum version required"
        | "proxy not trusted"
        | "proxy required" => Said::Other(format!("close frame {code} \"{reason}\"")),
        _ => return None,
    })
}

/// Nothing has ended, but PINGs are not answered.
fn silence(seen: &Seen, is_all: bool) -> Verdict {
    let silent = || seen.lines.iter().filter(|line| line.is_silent);
    match &seen.again {
        // Packets on the others pass, so that it takes silence to be forgotten.
        Again::Works { .. } if !is_all && silent().all(|line| line.kind != Kind::KeptAlive) => {
            Verdict::IdleTimeout {
                after: shortest(silent().map(|line| line.idle_for(seen.now))),
                n_agreeing: silent().count(),
                is_dropped: true,
            }
        }
        Again::Works { .. } => Verdict::BlackHole,
        _ if !is_all => Verdict::BlackHole,
        Again::Refused | Again::Unreachable(_) => Verdict::Unreachable,
        Again::NoLogin(text) => Verdict::LoginRefused(text.clone()),
        _ => Verdict::Frozen,
    }
}

/// All connections have come to an end.
fn all_over(seen: &Seen, ended: &[&Line]) -> Verdict {
    match &seen.again {
        Again::Works { server_id } => all_cut(seen, ended, server_id),
        Again::NoLogin(text) => Verdict::LoginRefused(text.clone()),
        Again::Unreachable(_) => Verdict::Unreachable,
        // A server that stands still closes nothing: what ended them is gone, and what is in front waits for another.
        Again::Silent(_) if ended.len() == seen.lines.len() => Verdict::ServerDied,
        Again::Silent(_) => Verdict::Frozen,
        Again::Http { status, .. } if !matches!(status, 500 | 502..=504) => Verdict::Cut,
        Again::Other(_) | Again::NotTried => Verdict::Cut,
        Again::Refused | Again::Cut(_) | Again::Http { .. } => Verdict::ServerDied,
    }
}

/// All connections were cut without a word, and a new one works.
fn all_cut(seen: &Seen, ended: &[&Line], server_id: &str) -> Verdict {
    if ended.len() < 2 || ended.len() < seen.lines.len() {
        return Verdict::Cut;
    }
    let ages = spread(ended.iter().map(|line| line.age(seen.now)));
    let first = seen.lines[0].opened;
    let moments = spread(ended.iter().map(|line| {
        let ended = line.end.as_ref().map_or(seen.now, |(at, _)| *at);
        Duration::from_nanos(ended.since(first))
    }));
    let is_same_age = ages.width() <= tolerance(ages.largest) && ages.width() < moments.width();
    if is_same_age {
        return Verdict::Lifetime {
            after: ages.largest,
        };
    }
    if moments.width() > SAME_MOMENT {
        return Verdict::Cut;
    }
    if ended.iter().all(|line| line.server_id != server_id) {
        return Verdict::ServerRestarted;
    }
    Verdict::ProxyRestarted
}

/// Some connections have ended, others have not.
fn some_over(seen: &Seen, ended: &[&Line]) -> Verdict {
    let is_flooded = |line: &&Line| {
        let is_new = line.age(seen.now) < AT_ONCE;
        line.recent_bytes() >= HEAVY_BYTES || (is_new && line.n_bytes >= HEAVY_AT_ONCE_BYTES)
    };
    if ended.iter().all(|line| line.kind == Kind::Subscribed) && ended.iter().any(is_flooded) {
        return Verdict::SlowConsumer {
            bytes_per_s: ended
                .iter()
                .map(|line| line.recent_bytes())
                .max()
                .unwrap_or(0),
        };
    }
    let is_kept_alive = |line: &&Line| line.kind == Kind::KeptAlive && line.end.is_none();
    let Some(kept) = seen.lines.iter().find(is_kept_alive) else {
        return Verdict::Cut;
    };
    // A line that got messages is as good as idle when none came for as long.
    if kept.is_silent || ended.iter().any(|line| line.kind == Kind::KeptAlive) {
        return Verdict::Cut;
    }
    let idle = spread(ended.iter().map(|line| line.idle_for(seen.now)));
    let margin = tolerance(idle.largest);
    let oldest = spread(ended.iter().map(|line| line.age(seen.now))).largest;
    let outlives = kept.age(seen.now) > oldest + OUTLIVES;
    // One that has been idle for longer, and lives, speaks against it.
    let is_contradicted = seen.lines.iter().any(|line| {
        line.end.is_none() && !line.is_silent && line.idle_for(seen.now) > idle.largest + margin
    });
    if idle.width() > margin || !outlives || is_contradicted {
        return Verdict::Cut;
    }
    Verdict::IdleTimeout {
        after: idle.largest,
        n_agreeing: ended.len(),
        is_dropped: ended.iter().any(|line| line.was_dropped()),
    }
}

/// How far timers of proxies go astray.
pub(super) fn tolerance(of: Duration) -> Duration {
    Duration::from_millis(300).max(of.mul_f64(0.03))
}

struct Spread {
    smallest: Duration,
    largest: Duration,
}

impl Spread {
    fn width(&self) -> Duration {
        self.largest.saturating_sub(self.smallest)
    }
}

fn spread(durations: impl Iterator<Item = Duration> + Clone) -> Spread {
    Spread {
        smallest: shortest(durations.clone()),
        largest: durations.max().unwrap_or_default(),
    }
}

fn shortest(durations: impl Iterator<Item = Duration>) -> Duration {
    durations.min().unwrap_or_default()
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
