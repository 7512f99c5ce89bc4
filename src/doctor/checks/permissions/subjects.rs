//! One subject: may it be subscribed to, what may be in its place, and is anything of it left out in silence?

use crate::doctor::check::CheckId;
use crate::doctor::conversation::{Answer, Conversation, End, err_line, excerpt};
use crate::doctor::examination::Examination;
use crate::doctor::silence::Trouble;
use crate::protocol::ServerErrorKind;
use crate::results::doctor::{Certainty, Finding};
use crate::subject::Pattern;

use super::{User, codes, filters, queues, rules_text};

/// Most patterns that are tried in place of a denied one.
const MAX_CANDIDATES: usize = 24;

/// What the server said to a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    Allowed,
    Denied(String),
    TooManyTokens(String),
    Other(ServerErrorKind, String),
}

/// Looks at one subject; returns what came of it, in a few words.
pub(super) async fn look(
    examination: &mut Examination<'_>,
    conversation: &mut Conversation,
    user: &User,
    subject: &str,
) -> Result<String, Trouble> {
    let queue = examination.plan.queue.clone();
    let asked = [(subject, queue.as_deref())];
    let answer = subscribe_shortly(examination, conversation, &asked).await?;
    let (finding, text) = match said_of(&answer) {
        Said::Allowed => {
            let filters = filters::find(examination, conversation, user, subject).await?;
            let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
            if filters.is_empty() {
                return Ok(format!("may subscribe to {subject}"));
            }
            let finding = filters::finding(user, subject, &filters);
            (
                finding,
                format!("may subscribe to {subject}, without {}", filters.join(", ")),
            )
        }
        Said::Denied(words) => {
            let finding = denied(examination, conversation, user, subject).await?;
            let finding = finding.evidence("server", err_line(&words));
            (finding, format!("may not subscribe to {subject}"))
        }
        Said::TooManyTokens(words) => {
            let finding = too_many_tokens(subject).evidence("server", err_line(&words));
            (finding, format!("{subject} has too many tokens"))
        }
        Said::Other(kind, words) => {
            let finding =
                other(kind, &words, &format!("`{subject}`")).evidence("server", err_line(&words));
            (finding, format!("{subject}: {}", err_line(&words)))
        }
    };
    examination.find(finding);
    Ok(text)
}

/// All of them at the same time: each may be allowed, and all together be too many.
pub(super) async fn look_at_all(
    examination: &mut Examination<'_>,
    conversation: &mut Conversation,
    subjects: &[String],
) -> Result<(), Trouble> {
    let queue = examination.plan.queue.clone();
    let sids: Vec<u64> = subjects
        .iter()
        .map(|subject| conversation.subscribe(subject, queue.as_deref()))
        .collect();
    let answer = conversation.settle(examination.second_look_limit()).await;
    for sid in sids {
        conversation.unsubscribe(sid);
    }
    let mut errors = answer.errors.iter();
    let too_many = errors
        .find(|text| ServerErrorKind::classify(text) == ServerErrorKind::MaximumSubscriptions);
    let is_known = examination
        .findings_of(CheckId::Permissions)
        .any(|finding| finding.code == codes::TOO_MANY_SUBSCRIPTIONS.name);
    if let Some(words) = too_many
        && !is_known
    {
        let kind = ServerErrorKind::MaximumSubscriptions;
        let finding = other(kind, words, "all of the subjects").evidence("server", err_line(words));
        examination.find(finding);
    }
    trouble_of(&answer)
}

fn trouble_of(answer: &Answer) -> Result<(), Trouble> {
    match &answer.end {
        End::Pong | End::Enough => Ok(()),
        End::Silence => Err(Trouble::Silent),
        End::Ended(error) => Err(Trouble::of(error)),
    }
}

/// Subscribes and unsubscribes in one packet, so that as good as nothing is delivered, and nothing is taken from the
/// other members of a queue group.
pub(super) async fn subscribe_shortly(
    examination: &Examination<'_>,
    conversation: &mut Conversation,
    subscriptions: &[(&str, Option<&str>)],
) -> Result<Answer, Trouble> {
    for (pattern, queue) in subscriptions {
        let sid = conversation.subscribe(pattern, *queue);
        conversation.unsubscribe(sid);
    }
    let answer = conversation.settle(examination.second_look_limit()).await;
    trouble_of(&answer)?;
    Ok(answer)
}

fn said_of(answer: &Answer) -> Said {
    let Some(text) = answer.errors.first().cloned() else {
        return Said::Allowed;
    };
    match ServerErrorKind::classify(&text) {
        ServerErrorKind::SubscribePermission if is_too_many_tokens(&text) => {
            Said::TooManyTokens(text)
        }
        ServerErrorKind::SubscribePermission => Said::Denied(text),
        kind => Said::Other(kind, text),
    }
}

pub(super) fn is_too_many_tokens(text: &str) -> bool {
    text.to_ascii_lowercase().contains("too many tokens")
}

/// Which of these subscriptions are allowed, all asked at once: each refusal names its subject and queue group.
pub(super) async fn allowed_of(
    examination: &Examination<'_>,
    conversation: &mut Conversation,
    subscriptions: &[(&str, Option<&str>)],
) -> Result<Vec<bool>, Trouble> {
    let answer = subscribe_shortly(examination, conversation, subscriptions).await?;
    let is_allowed = |pattern: &str, queue: Option<&str>| {
        let mut errors = answer.errors.iter();
        !errors.any(|text| is_about(text, pattern, queue))
    };
    let allowed: Vec<bool> = subscriptions
        .iter()
        .map(|(pattern, queue)| is_allowed(pattern, *queue))
        .collect();
    // Refusals of which it cannot be told what they refuse.
    let is_unclear = !answer.errors.is_empty() && allowed.iter().all(|is_allowed| *is_allowed);
    Ok(allowed
        .into_iter()
        .map(|is_allowed| is_allowed && !is_unclear)
        .collect())
}

/// Whether a refusal is that of this subscription.
pub(super) fn is_about(text: &str, pattern: &str, queue: Option<&str>) -> bool {
    let names = |word: &str| text.contains(&format!("\"{word}\""));
    names(pattern) && queue.is_none_or(names)
}

/// Why not, and what is possible in its place.
async fn denied(
    examination: &Examination<'_>,
    conversation: &mut Conversation,
    user: &User,
    subject: &str,
) -> Result<Finding, Trouble> {
    if let Some(queue) = examination.plan.queue.as_deref() {
        let [is_allowed_plainly] =
            allowed_of(examination, conversation, &[(subject, None)]).await?[..]
        else {
            return Err(Trouble::Silent);
        };
        if is_allowed_plainly {
            let finding = codes::SUBSCRIBE_DENIED
                .finding(format!(
                    "{} may subscribe to `{subject}`, but not in the queue group `{queue}`.",
                    user.title
                ))
                .because(
                    "A subscription without a queue group is allowed, one in this group is denied.",
                );
            let finding = finding.remedy(format!(
                "Take the entry that names the group, such as `{subject} {queue}` or one with wildcards, from the `deny` list of the user, if there is one."
            ));
            return Ok(user.allowing(finding, "sub", &format!("{subject} {queue}")));
        }
    }
    let groups = queues::find(examination, conversation, user, subject).await?;
    if let Some(queue) = groups.first() {
        return Ok(queues::finding(examination, user, subject, queue, &groups));
    }
    if queues::is_told_to_be_allowed(user, subject) && examination.plan.queue.is_none() {
        return Ok(queues::nameless(user, subject));
    }
    let mut instead = find_instead(examination, conversation, user, subject).await?;
    // What is denied is left out of wider subscriptions, too.
    if !user.denied_by(subject).is_empty() {
        instead.clear();
    }
    let mut finding = codes::SUBSCRIBE_DENIED
        .finding(format!("{} may not subscribe to `{subject}`.", user.title))
        .because("The server refuses the subscription and keeps the connection open, so that a client that overlooks the error waits for messages for ever.");
    if let Some(permissions) = &user.permissions {
        finding = finding.evidence("subscribe permissions", rules_text(&permissions.subscribe));
    }
    let denied = user.denied_by(subject);
    finding = if denied.is_empty() {
        user.allowing(finding, "sub", subject)
    } else {
        {
            let denied: Vec<&str> = denied.iter().map(String::as_str).collect();
            filters::undenying(finding, user, subject, &denied)
        }
    };
    if !instead.is_empty() {
        finding = finding
            .evidence("allowed", instead.join(", "))
            .remedy(format!(
                "Subscribe to what is allowed: `{}`.",
                instead.join("`, `")
            ));
    }
    if !user.is_known {
        finding = finding.or(
            "it is allowed in a certain queue group only (usual names were tried)",
            "an entry `SUBJECT QUEUE` under `subscribe` in the permissions of the user: then give `--queue QUEUE`",
        );
    }
    Ok(finding)
}

/// What may be subscribed to in place of it.
async fn find_instead(
    examination: &Examination<'_>,
    conversation: &mut Conversation,
    user: &User,
    subject: &str,
) -> Result<Vec<String>, Trouble> {
    let mut candidates = wider_than(subject);
    candidates.extend(filters::known_within(subject));
    if let Some(permissions) = &user.permissions {
        let rules = permissions.subscribe.allow.iter();
        let plain =
            rules.filter(|rule| rule.queue.is_none() && !rule.pattern.starts_with("_INBOX"));
        candidates.extend(plain.map(|rule| rule.pattern.clone()));
    }
    candidates.retain(|candidate| candidate.parse::<Pattern>().is_ok() && candidate != subject);
    candidates.truncate(MAX_CANDIDATES);
    let asked: Vec<_> = candidates
        .iter()
        .map(|candidate| (candidate.as_str(), None))
        .collect();
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let allowed = allowed_of(examination, conversation, &asked).await?;
    let mut instead: Vec<String> = Vec::new();
    for (candidate, is_allowed) in candidates.into_iter().zip(allowed) {
        if is_allowed && !instead.contains(&candidate) {
            instead.push(candidate);
        }
    }
    let patterns: Vec<Pattern> = instead.iter().filter_map(|it| it.parse().ok()).collect();
    // One that is a part of another says nothing more.
    instead.retain(|narrow| {
        let mut wider = patterns.iter().filter(|wide| wide.as_str() != narrow);
        !wider.any(|wide| narrow.parse().is_ok_and(|narrow| wide.covers(&narrow)))
    });
    instead.truncate(5);
    Ok(instead)
}

/// `rounds.game.>` and `rounds.>` for `rounds.game.crash`.
fn wider_than(subject: &str) -> Vec<String> {
    let tokens: Vec<&str> = subject.split('.').collect();
    let mut wider: Vec<String> = (1..tokens.len())
        .rev()
        .map(|n_tokens| format!("{}.>", tokens[..n_tokens].join(".")))
        .collect();
    wider.truncate(8);
    wider
}

pub(super) fn too_many_tokens(subject: &str) -> Finding {
    let n_tokens = subject.split('.').count();
    let finding = codes::TOO_MANY_TOKENS
        .finding(format!(
            "The {n_tokens} tokens of `{subject}` are more than the server allows in a subscription (`max_subscription_tokens`)."
        ))
        .because("The limit counts the parts between the dots, and holds for subscriptions only.")
        .paste("Raise it in nats.conf, and restart the server:", &[&format!("max_subscription_tokens: {n_tokens}")]);
    match subject.split('.').next() {
        Some(first) if n_tokens > 2 && first != "*" => finding.remedy(format!(
            "Or subscribe to fewer tokens, such as `{first}.>`."
        )),
        _ => finding,
    }
}

fn other(kind: ServerErrorKind, words: &str, subject: &str) -> Finding {
    match kind {
        ServerErrorKind::MaximumSubscriptions => codes::TOO_MANY_SUBSCRIPTIONS
            .finding(format!(
                "The server takes no more subscriptions: it refuses {subject}."
            ))
            .because("The limit of the connection or of the account is reached.")
            .certainty(Certainty::Certain)
            .paste(
                "Raise the limit, in nats.conf or in the JWT of the account:",
                &[
                    "max_subscriptions: 0   # no limit",
                    "nsc edit account --name ACCOUNT --subscriptions -1",
                ],
            ),
        ServerErrorKind::InvalidSubject => codes::INVALID_SUBJECT
            .finding(format!("The server calls the subject {subject} invalid."))
            .because("Dots separate tokens: none may be empty, and `>` can only be the last one.")
            .remedy("Correct the subject."),
        _ => codes::SUBSCRIBE_REFUSED
            .finding(format!(
                "The server refuses a subscription to {subject}: {}.",
                excerpt(words)
            ))
            .because("The server has a reason of its own, which it gives in these words.")
            .remedy("Look into the log of the server for more."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_belongs_to_the_subscription_that_it_names() {
        let text =
            r#"Permissions Violation for Subscription to "rounds.x" using queue "q" (sid "3")"#;
        assert!(is_about(text, "rounds.x", Some("q")));
        assert!(is_about(text, "rounds.x", None));
        assert!(!is_about(text, "rounds.x", Some("p")));
        assert!(!is_about(text, "rounds", Some("q")));
    }

    #[test]
    fn wider_patterns_go_up_token_by_token() {
        assert_eq!(wider_than("a.b.c"), ["a.b.>", "a.>"]);
        assert!(wider_than("a").is_empty());
    }
}
