//! Listening: to the subjects as the user would, and beside that, on a connection of its own, to everything that may
//! be heard.
//!
//! The subscriptions of the user are there before the wide one and until after it. So whatever the wide one hears on
//! one of the subjects was delivered while we were subscribed: if it did not come to us, somebody else got it.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::mono_now;
use crate::doctor::checks::flow::tally::{MAX_WIDE_MESSAGES, Sound, Tally, Wide};
use crate::doctor::conversation::{Answer, Conversation, End, Heard};
use crate::doctor::examination::Examination;
use crate::protocol::encode;
use crate::subject::Pattern;

/// Most messages taken of one of the subjects.
const MAX_OWN_MESSAGES: u64 = 5_000;
/// Most patterns subscribed to instead of `>`.
const MAX_PATTERNS: usize = 20;

fn locked(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Listens until each subject has had a message, or the time is over.
pub(super) async fn listen(
    examination: &Examination<'_>,
    own: &mut Conversation,
    patterns: Vec<Pattern>,
    limit: Duration,
) -> Sound {
    let queue = examination.plan.queue.as_deref();
    let tally = Mutex::new(Tally::new(queue.is_some()));
    let (lost, second) = tokio::join!(
        subscribe(examination, own, patterns, &tally),
        examination.connect_again(|_| {})
    );
    let mut sound = Ears {
        examination,
        tally: &tally,
        limit,
        lost,
    };
    let (wide, wide_cid) = if locked(&tally).is_enough() || sound.lost.is_some() {
        (Wide::NotNeeded, None)
    } else {
        match second {
            Ok((mut conversation, facts)) => {
                let wide = open_wide(examination, &mut conversation, &tally).await;
                sound.both(own, conversation).await;
                (wide, Some(facts.info.client_id))
            }
            Err(error) => {
                sound.one(own).await;
                let reason = format!("a second connection failed: {error}");
                (Wide::Nowhere(reason), None)
            }
        }
    };
    sound.end(own).await;
    let lost = sound.lost;
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    tally.into_sound(wide, wide_cid, lost)
}

/// Subscribes as the user would, to one subject after the other: `-ERR` does not always name it.
async fn subscribe(
    examination: &Examination<'_>,
    own: &mut Conversation,
    patterns: Vec<Pattern>,
    tally: &Mutex<Tally>,
) -> Option<String> {
    let limit = examination.second_look_limit();
    for pattern in patterns {
        let sid = own.subscribe(pattern.as_str(), examination.plan.queue.as_deref());
        encode::unsub(own.out(), sid, Some(MAX_OWN_MESSAGES));
        locked(tally).add(pattern, sid);
        let answer = own.settle(limit).await;
        let mut tally = locked(tally);
        answer.messages.iter().for_each(|heard| tally.own(heard));
        if let Some(error) = answer.errors.first() {
            tally.refuse_last(error);
        }
        if !matches!(answer.end, End::Pong) {
            return Some(end_of(&answer));
        }
    }
    None
}

/// Subscribes to everything, or to as much as is allowed.
async fn open_wide(
    examination: &Examination<'_>,
    conversation: &mut Conversation,
    tally: &Mutex<Tally>,
) -> Wide {
    match open(examination, conversation, ">", tally).await {
        Ok(()) => return Wide::Everything,
        Err(error) if !error.contains("Permissions Violation") => return Wide::Nowhere(error),
        Err(_) => {}
    }
    let patterns = locked(tally).patterns();
    let mut allowed = Vec::new();
    for pattern in narrower(&patterns, examination.learned.identity.permissions.as_ref()) {
        match open(examination, conversation, &pattern, tally).await {
            Ok(()) => allowed.push(pattern),
            Err(error) if !error.contains("Permissions Violation") => break,
            Err(_) => {}
        }
    }
    if allowed.is_empty() {
        Wide::Nowhere("the permissions refuse `>`".to_owned())
    } else {
        Wide::Some(allowed)
    }
}

async fn open(
    examination: &Examination<'_>,
    conversation: &mut Conversation,
    pattern: &str,
    tally: &Mutex<Tally>,
) -> Result<(), String> {
    let sid = conversation.subscribe(pattern, None);
    encode::unsub(conversation.out(), sid, Some(MAX_WIDE_MESSAGES));
    let answer = conversation.settle(examination.second_look_limit()).await;
    let mut tally = locked(tally);
    answer.messages.iter().for_each(|heard| tally.wide(heard));
    match answer.errors.first() {
        Some(error) => Err(error.clone()),
        None if matches!(answer.end, End::Pong) => Ok(()),
        None => Err(answer.end_text()),
    }
}

/// What to listen to instead of `>`: what the permissions name, and the surroundings of the subjects.
fn narrower(patterns: &[Pattern], permissions: Option<&serde_json::Value>) -> Vec<String> {
    let allowed = permissions.and_then(|all| all["subscribe"]["allow"].as_array());
    let named = allowed.into_iter().flatten().filter_map(|it| it.as_str());
    let mut all: Vec<String> = named
        .filter(|name| !name.starts_with("_INBOX") && name.parse::<Pattern>().is_ok())
        .map(str::to_owned)
        .collect();
    for pattern in patterns {
        let text = pattern.as_str();
        let first = text.split('.').next().unwrap_or(text);
        if !matches!(first, "*" | ">") {
            all.push(format!("{first}.>"));
            all.push(format!("*.{first}.>"));
        }
        all.push(text.to_owned());
    }
    let mut seen = HashSet::new();
    all.retain(|name| seen.insert(name.clone()));
    all.truncate(MAX_PATTERNS);
    all
}

fn end_of(answer: &Answer) -> String {
    match answer.errors.last() {
        Some(error) => format!("-ERR '{error}', then {}", answer.end_text()),
        None => answer.end_text(),
    }
}

struct Ears<'a> {
    examination: &'a Examination<'a>,
    tally: &'a Mutex<Tally>,
    limit: Duration,
    lost: Option<String>,
}

impl Ears<'_> {
    fn left(&self) -> Duration {
        let begun = locked(self.tally).begun();
        let passed = Duration::from_nanos(mono_now().since(begun));
        self.limit.saturating_sub(passed)
    }

    async fn one(&mut self, own: &mut Conversation) {
        let (left, tally) = (self.left(), self.tally);
        let mut look = |heard: &Heard| {
            let mut tally = locked(tally);
            tally.own(heard);
            tally.control()
        };
        tokio::select! {
            answer = own.listen(left, &mut look) => self.note(&answer),
            () = self.examination.stop.cancelled() => {}
        }
    }

    async fn both(&mut self, own: &mut Conversation, wide: Conversation) {
        let (left, tally) = (self.left(), self.tally);
        let mut wide = Some(wide);
        let beside = async {
            let mut look = |heard: &Heard| {
                let mut tally = locked(tally);
                tally.wide(heard);
                if tally.is_full() || tally.is_enough() {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            };
            if let Some(wide) = &mut wide {
                wide.listen(left, &mut look).await;
            }
            let is_enough = locked(tally).is_enough();
            if !is_enough {
                // It has heard all it will; ours goes on.
                wide = None;
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = self.one(own) => {}
            () = beside => {}
        }
        // What the server has sent until now counts; and then the wide ear closes first.
        if let (Some(mut wide), None, true) = (wide, &self.lost, self.has_queue()) {
            let answer = wide.settle(self.examination.second_look_limit()).await;
            let mut tally = locked(self.tally);
            answer.messages.iter().for_each(|heard| tally.wide(heard));
        }
    }

    fn has_queue(&self) -> bool {
        self.examination.plan.queue.is_some()
    }

    /// Ends the subscriptions, and hears what was still on its way.
    async fn end(&mut self, own: &mut Conversation) {
        if self.lost.is_some() {
            return;
        }
        let sids = locked(self.tally).sids();
        for sid in sids {
            own.unsubscribe(sid);
        }
        let answer = own.settle(self.examination.second_look_limit()).await;
        let mut tally = locked(self.tally);
        answer.messages.iter().for_each(|heard| tally.own(heard));
        drop(tally);
        self.note(&answer);
    }

    fn note(&mut self, answer: &Answer) {
        if let End::Ended(_) = answer.end {
            self.lost = Some(end_of(answer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn where_everything_is_forbidden_the_permissions_and_the_surroundings_are_tried() {
        let permissions =
            json!({"subscribe": {"allow": ["feed.>", "rounds.> workers", "_INBOX.>", "rounds.>"]}});
        let patterns = ["rounds.game.*".parse().unwrap(), "*.x".parse().unwrap()];
        assert_eq!(
            narrower(&patterns, Some(&permissions)),
            ["feed.>", "rounds.>", "*.rounds.>", "rounds.game.*", "*.x"]
        );
    }
}
