//! Opening the connections that are watched, one after the other.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::clock::{MonoNanos, WallNanos, mono_now};
use crate::doctor::check::Looked;
use crate::doctor::checks::watch::again::Again;
use crate::doctor::checks::watch::findings::no_second;
use crate::doctor::checks::watch::line::{Kind, Line, Note, Orders, Watched, What};
use crate::doctor::checks::watch::{MAX_NOTES, Standing, Watching};
use crate::doctor::examination::Examination;
use crate::net::dial::{ConnectionFacts, DialError, DialOptions, credentials_for, dial};
use crate::net::session::Session;
use crate::net::target::Target;
use crate::protocol::{Credentials, encode};
use crate::subject::Pattern;
use crate::units::NANOS_PER_SEC;

/// Time between two openings: longer than proxies that look once in half a second are late, so that a common age is told
/// from a common moment.
pub(super) const STAGGER: Duration = Duration::from_millis(700);
/// How long a server may take to notice that our first connection is gone.
const RELEASE: Duration = Duration::from_millis(300);
/// Subscriptions of the user that are watched.
const MAX_SUBJECTS: usize = 100;

/// What became of opening and watching a connection.
pub(super) struct Opening {
    pub(super) idx: usize,
    /// What is known of it, or why it could not be opened; nothing if there was no time to try.
    pub(super) line: Option<Result<Line, String>>,
}

/// What a task needs to open a connection.
struct Plan {
    idx: usize,
    kind: Kind,
    delay: Duration,
    subjects: Vec<String>,
    target: Target,
    options: DialOptions,
    orders: Orders,
}

/// Opens the first connection, and begins to open the others.
pub(super) async fn open(
    examination: &mut Examination<'_>,
    options: &DialOptions,
    duration: Duration,
) -> Result<Watching, Looked> {
    let first = match first(examination, options).await {
        Ok(first) => first,
        Err(error) => {
            let text = Again::of(&error).text();
            let place = examination.target.host_and_port();
            examination.find(no_second(&place, &text));
            return Err(Looked::At(format!("no new connection: {text}")));
        }
    };
    let (notes_in, notes) = mpsc::channel::<Note>(MAX_NOTES);
    let (check, check_out) = watch::channel(0);
    let stop = CancellationToken::new();
    let subjects = subjects(examination);
    let mut kinds = vec![Kind::Idle, Kind::KeptAlive, Kind::Idle];
    if !subjects.is_empty() {
        kinds.push(Kind::Subscribed);
    }
    let stagger = STAGGER.min(duration / 8);
    let mut tasks = JoinSet::new();
    let orders = Orders {
        stop: stop.clone(),
        check: check_out,
        notes: notes_in,
    };
    let n_lines = kinds.len();
    let mut delay = Duration::ZERO;
    let mut first = Some(first);
    for (idx, kind) in kinds.into_iter().enumerate() {
        let plan = Plan {
            idx,
            kind,
            delay,
            subjects: if kind == Kind::Subscribed {
                subjects.clone()
            } else {
                Vec::new()
            },
            target: examination.target.clone(),
            options: options.clone(),
            orders: orders.clone(),
        };
        delay += stagger;
        let opened = first.take();
        tasks.spawn(async move {
            let idx = plan.idx;
            let line = match opened {
                Some(opened) => Some(Ok(plan.watch(opened).await)),
                None => plan.open_and_watch().await,
            };
            Opening { idx, line }
        });
    }
    Ok(Watching {
        tasks,
        standings: vec![Standing::Opening; n_lines],
        asked: vec![false; n_lines],
        notes,
        check,
        stop,
        stalls: Vec::new(),
        is_lame_duck: false,
        is_told: false,
    })
}

type Opened = (Session, ConnectionFacts, MonoNanos);

/// The first connection beside the one that was examined; instead of it, where there may be only one.
async fn first(
    examination: &mut Examination<'_>,
    options: &DialOptions,
) -> Result<Opened, DialError> {
    let beside = opened(examination.target, options).await;
    if beside.is_ok() {
        return beside;
    }
    drop(examination.learned.conversation.take());
    sleep(RELEASE).await;
    opened(examination.target, options).await
}

async fn opened(target: &Target, options: &DialOptions) -> Result<Opened, DialError> {
    let (session, facts) = dial(target, options).await?;
    let since_tcp = facts.timings.tls_ns.unwrap_or(0)
        + facts.timings.upgrade_ns.unwrap_or(0)
        + facts.timings.info_ns
        + facts.timings.connect_ns;
    let at = MonoNanos(mono_now().0.saturating_sub(since_tcp));
    Ok((session, facts, at))
}

impl Plan {
    async fn open_and_watch(self) -> Option<Result<Line, String>> {
        // Both are cancel-safe.
        tokio::select! {
            () = sleep(self.delay) => {}
            () = self.orders.stop.cancelled() => return None,
        }
        let opened = tokio::select! {
            opened = opened(&self.target, &self.options) => opened,
            () = self.orders.stop.cancelled() => return None,
        };
        match opened {
            Ok(opened) => Some(Ok(self.watch(opened).await)),
            Err(error) => {
                _ = self.orders.notes.send((self.idx, What::NotOpened)).await;
                Some(Err(Again::of(&error).text()))
            }
        }
    }

    async fn watch(self, (mut session, facts, at): Opened) -> Line {
        for (sid, subject) in (1..).zip(&self.subjects) {
            // They have been checked.
            _ = encode::sub(session.out(), subject, None, sid);
        }
        let line = Line::new(self.kind, at, facts.info.server_id);
        let watched = Watched {
            idx: self.idx,
            session,
            line,
            orders: self.orders,
        };
        watched.run().await
    }
}

/// The valid ones of what the user wants to receive.
fn subjects(examination: &Examination<'_>) -> Vec<String> {
    let typed = examination.plan.subjects.iter();
    typed
        .filter(|text| text.parse::<Pattern>().is_ok())
        .take(MAX_SUBJECTS)
        .cloned()
        .collect()
}

/// When our JWT expires, by its own words. It is not verified: that is the server's part.
pub(super) fn jwt_expiry(examination: &Examination<'_>) -> Option<String> {
    let credentials = credentials_for(examination.target, &examination.plan.dial);
    let expires_s = u64::try_from(credentials.claims()?.expires?).ok()?;
    Some(WallNanos(expires_s.checked_mul(NANOS_PER_SEC)?).rfc3339())
}

/// Whether we log in with a JWT.
pub(super) fn has_jwt(examination: &Examination<'_>) -> bool {
    let credentials = credentials_for(examination.target, &examination.plan.dial);
    matches!(credentials, Credentials::Jwt { .. })
}
