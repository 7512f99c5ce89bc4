//! Staying connected: what ends a connection.
//!
//! Several connections are held side by side. Some say nothing, as an application between two rounds does; one sends PING
//! again and again; one has the user's subscriptions. Which of them ends, at which age, after which silence and with which
//! last words, and what a new connection meets then, tells causes apart that look the same on a single connection.

mod again;
mod codes;
mod findings;
mod line;
mod opening;
mod report;
mod verdict;

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::clock::{MonoNanos, mono_now};
use crate::doctor::check::{Check, CheckId, Looked};
use crate::doctor::checks::flow::{self, Sound};
use crate::doctor::checks::watch::again::{Again, Backend, look_again};
use crate::doctor::checks::watch::findings::Scene;
use crate::doctor::checks::watch::line::{Kind, Line, Note, PATIENCE, What, after, left_until};
use crate::doctor::checks::watch::opening::{Opening, STAGGER};
use crate::doctor::checks::watch::verdict::{Seen, Verdict, judge};
use crate::doctor::conversation::Conversation;
use crate::doctor::examination::Examination;
use crate::doctor::front::{Proxy, ProxyKind};
use crate::net::dial::DialOptions;
use crate::units::format_duration;

/// Time limit of each step of opening a connection.
const MAX_STEP: Duration = Duration::from_millis(2_500);
/// What may come in while we look elsewhere.
const MAX_NOTES: usize = 64;
/// How long ends that belong together may be apart on their way here.
const GATHER: Duration = Duration::from_millis(300);
/// The first PING of a server comes after about two seconds, or up to a fifth later.
const FIRST_PING: Duration = Duration::from_millis(2_600);
const FIRST_PING_JITTER: Duration = Duration::from_millis(500);
/// Who watches for less than this is not looking for an idle time-out.
const MIN_FOR_SILENCE: Duration = Duration::from_secs(5);
/// Beyond [`PATIENCE`], for an answer to arrive.
const MARGIN: Duration = Duration::from_millis(300);

pub(super) const CHECK: Check = Check {
    id: CheckId::Watch,
    requires: &[CheckId::Connect],
    codes: &codes::ALL,
    run: |examination| Box::pin(run(examination)),
};

async fn run(examination: &mut Examination<'_>) -> Looked {
    let Some(duration) = examination.plan.watch else {
        return Looked::NotNeeded("not asked for: `--watch 90s`".to_owned());
    };
    let mut options = examination.plan.dial.clone();
    // Not what is left of the time of the other checks: it runs on while we watch.
    options.timeout = options.timeout.min(MAX_STEP);
    let mut watching = match opening::open(examination, &options, duration).await {
        Ok(watching) => watching,
        Err(looked) => return looked,
    };
    let ends = after(duration + silence_before(duration));
    let mut ear = ear(examination).await;
    let (outcome, sound) = Box::pin(watch_and_listen(
        &mut watching,
        examination,
        &options,
        ends,
        ear.as_mut(),
    ))
    .await;
    let backend = match &outcome {
        Some(Again::Refused) => again::backend(examination).await,
        _ => Backend::Unknown,
    };
    let stalls = std::mem::take(&mut watching.stalls);
    let (lines, failures, now) = watching.finish().await;
    let scene = Scene {
        place: examination.target.host_and_port(),
        front: named_front(examination),
        is_websocket: examination.target.scheme.is_websocket(),
        is_direct: is_direct(examination),
        version: version_of(examination),
        credentials: examination.plan.credentials_source.clone(),
        has_jwt: opening::has_jwt(examination),
        expires: opening::jwt_expiry(examination),
        backend,
        seen: Seen {
            lines,
            again: outcome.unwrap_or(Again::NotTried),
            now,
        },
        failures,
    };
    if let Some(longest) = stalls.iter().max() {
        examination.find(scene.stalled(*longest, stalls.len()));
    }
    let verdict = judge(&scene.seen);
    if let Some(finding) = scene.finding(&verdict) {
        examination.find(finding);
    }
    scene.facts(examination);
    if let (Verdict::Nothing, Some(mut ear), Some(sound)) = (verdict, ear, sound) {
        flow::judge_late(examination, &mut ear, &sound).await;
    }
    Looked::At(scene.summary(examination.stop.is_cancelled()))
}

/// The connection that goes on listening to what nothing has come on yet. Nobody would answer PINGs on it otherwise.
async fn ear(examination: &mut Examination<'_>) -> Option<Conversation> {
    let examined = examination.learned.conversation.take();
    if examination.learned.unheard.is_empty() {
        return None;
    }
    if examined.is_some() {
        return examined;
    }
    let again = examination.connect_again(|_| {}).await.ok();
    again.map(|(conversation, _)| conversation)
}

/// Watches, and listens beside that: who looks for rare messages and for what ends connections waits only once.
async fn watch_and_listen(
    watching: &mut Watching,
    examination: &Examination<'_>,
    options: &DialOptions,
    ends: MonoNanos,
    ear: Option<&mut Conversation>,
) -> (Option<Again>, Option<Sound>) {
    let watch = watching.watch(examination, options, ends);
    let Some(ear) = ear else {
        return (watch.await, None);
    };
    let mut watch = std::pin::pin!(watch);
    let listen = flow::listen_on(examination, ear, left_until(ends));
    let mut listen = std::pin::pin!(listen);
    tokio::select! {
        outcome = &mut watch => match outcome {
            // Both end at the same time.
            None => (None, Some(listen.await)),
            troubled => (troubled, None),
        },
        sound = &mut listen => (watch.await, Some(sound)),
    }
}

/// The server sends its first PING about two seconds after the login, and silence begins only then: whoever watches for a
/// minute is to see a time-out of a minute.
fn silence_before(duration: Duration) -> Duration {
    if duration < MIN_FOR_SILENCE {
        Duration::ZERO
    } else {
        FIRST_PING
    }
}

/// Whether nothing seems to be between here and the server: it names the port of the URL as its own.
fn is_direct(examination: &Examination<'_>) -> bool {
    let info = examination.learned.info.as_ref();
    let port = info.map_or(0, |info| info.port);
    port == examination.target.port && examination.learned.front.is_none()
}

fn version_of(examination: &Examination<'_>) -> String {
    let info = examination.learned.info.as_ref();
    info.map_or_else(String::new, |info| info.version.clone())
}

/// What is known of a connection here, while it is watched elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Opening,
    Up,
    Silent,
    Ended,
    NotOpened,
}

/// The connections, watched.
struct Watching {
    tasks: JoinSet<Opening>,
    standings: Vec<Standing>,
    /// Those that were told to send PING and have not answered yet.
    asked: Vec<bool>,
    notes: mpsc::Receiver<Note>,
    check: watch::Sender<u32>,
    stop: tokio_util::sync::CancellationToken,
    /// PINGs that were answered, but late.
    stalls: Vec<Duration>,
    is_lame_duck: bool,
    /// The server told why it ended a connection.
    is_told: bool,
}

impl Watching {
    /// Watches until something is clear, or until the time is over. What a new connection met, if something ended.
    async fn watch(
        &mut self,
        examination: &Examination<'_>,
        options: &DialOptions,
        ends: MonoNanos,
    ) -> Option<Again> {
        loop {
            // All are cancel-safe.
            tokio::select! {
                biased;
                () = examination.stop.cancelled() => return None,
                Some(note) = self.notes.recv() => self.note(note),
                () = sleep(left_until(ends)) => break,
            }
            if self.is_troubled() {
                let again = self.investigate(examination, options).await;
                if self.is_troubled() {
                    return Some(again);
                }
            }
        }
        // A connection that was forgotten on the way looks alive until something is sent on it.
        self.check(PATIENCE + MARGIN).await;
        if self.is_troubled() {
            return Some(self.investigate(examination, options).await);
        }
        None
    }

    /// Whether something has ended or does not answer.
    fn is_troubled(&self) -> bool {
        let is_bad = |standing: &Standing| matches!(standing, Standing::Ended | Standing::Silent);
        self.is_lame_duck || self.standings.iter().any(is_bad)
    }

    fn note(&mut self, (idx, what): Note) {
        let standing = match what {
            What::Opened | What::Answered => Standing::Up,
            What::NotOpened => Standing::NotOpened,
            What::Silent => Standing::Silent,
            What::Resumed(took) => {
                self.stalls.push(took);
                Standing::Up
            }
            What::Ended { is_told } => {
                self.is_told |= is_told;
                Standing::Ended
            }
            What::LameDuck => {
                self.is_lame_duck = true;
                return;
            }
        };
        self.standings[idx] = standing;
        if what != What::Opened {
            self.asked[idx] = false;
        }
    }

    /// Takes notes until then, or until `is_enough`.
    async fn listen(&mut self, until: MonoNanos, is_enough: impl Fn(&Self) -> bool) {
        while !is_enough(self) {
            tokio::select! {
                Some(note) = self.notes.recv() => self.note(note),
                () = sleep(left_until(until)) => return,
            }
        }
    }

    /// Has every connection send PING, and waits for the answers.
    async fn check(&mut self, limit: Duration) {
        self.order_check();
        self.listen(after(limit), |watching| !watching.asked.contains(&true))
            .await;
    }

    fn order_check(&mut self) {
        for (asked, standing) in self.asked.iter_mut().zip(&self.standings) {
            *asked = *standing == Standing::Up;
        }
        self.check.send_modify(|count| *count += 1);
    }

    /// Something has ended, or does not answer: looks what a new connection meets, and waits for what the others do.
    async fn investigate(&mut self, examination: &Examination<'_>, options: &DialOptions) -> Again {
        let patience = after(PATIENCE + MARGIN);
        let begun = mono_now();
        if self.standings.contains(&Standing::Silent) {
            self.order_check();
        }
        let mut looking = std::pin::pin!(look_again(examination.target, options));
        let again = loop {
            tokio::select! {
                again = &mut looking => break again,
                Some(note) = self.notes.recv() => self.note(note),
            }
        };
        self.listen(patience, |watching| !watching.asked.contains(&true))
            .await;
        let wait = if again.works() && !self.is_told && !self.is_lame_duck {
            // Until those that were opened later have come to the same age, and to the same silence.
            let n_later = self.standings.len().saturating_sub(1);
            STAGGER * u32::try_from(n_later).unwrap_or(0) + FIRST_PING_JITTER + GATHER
        } else {
            GATHER
        };
        let spent = Duration::from_nanos(mono_now().since(begun));
        if self.standings.contains(&Standing::Ended) {
            self.listen(after(wait.saturating_sub(spent)), |watching| {
                let mut standings = watching.standings.iter();
                standings.all(|standing| matches!(standing, Standing::Ended | Standing::NotOpened))
            })
            .await;
        }
        again
    }

    /// Stops watching; what is known of each connection in the order of opening, and why others could not be opened.
    async fn finish(self) -> (Vec<Line>, Vec<String>, MonoNanos) {
        let now = mono_now();
        self.stop.cancel();
        // Whoever wants to report does not wait.
        drop(self.notes);
        let mut opened = self.tasks.join_all().await;
        opened.sort_by_key(|opening| opening.idx);
        let (mut lines, mut failures) = (Vec::new(), Vec::new());
        for opening in opened {
            match opening.line {
                Some(Ok(line)) => lines.push(line),
                Some(Err(text)) => failures.push(text),
                None => {}
            }
        }
        (lines, failures, now)
    }
}

/// What people call a connection.
fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Idle => "idle connection",
        Kind::KeptAlive => "connection with a PING every 250 ms",
        Kind::Subscribed => "subscribed connection",
    }
}

/// A time as a proxy's configuration would have it: whole seconds where it is close to them.
fn seconds(duration: Duration) -> String {
    let secs = duration.as_secs_f64();
    let whole = secs.round();
    if whole >= 1.0 && (secs - whole).abs() <= (0.02 * whole).clamp(0.15, 0.6) {
        format!("{whole} s")
    } else if secs >= 1.0 {
        format!("{secs:.1} s")
    } else {
        format_duration(duration)
    }
}

/// The proxy in front, if it names itself: that the port is another one says nothing of what it does.
fn named_front(examination: &Examination<'_>) -> Option<Proxy> {
    let front = examination.learned.front.clone();
    front.filter(|front| front.kind != ProxyKind::Mapping)
}
