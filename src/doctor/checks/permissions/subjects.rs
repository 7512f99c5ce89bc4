//! One subject: may it be subscribed to, what may be in its place, and is anything of it left out in silence?

use crate::doctor::checks::connect::Trouble;
use crate::doctor::conversation::{Answer, Conversation, End, err_line, random_token};
use crate::doctor::examination::Examination;
use crate::protocol::ServerErrorKind;
use crate::results::doctor::{Certainty, Finding};
use crate::subject::Pattern;

use super::{User, codes, filters, rules_text};

/// Names that queue groups have where nobody thought much about it; `q` and `NATS-RPLY-22` are those of NATS itself.
const USUAL_QUEUES: [&str; 20] = [
    "workers",
    "worker",
    "queue",
    "q",
    "group",
    "default",
    "NATS-RPLY-22",
    "consumers",
    "consumer",
    "services",
    "service",
    "jobs",
    "processors",
    "processor",
    "handlers",
    "backend",
    "backends",
    "readers",
    "subscribers",
    "pool",
];
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
            let finding = other(kind, &words, subject).evidence("server", err_line(&words));
            (finding, format!("{subject}: {}", err_line(&words)))
        }
    };
    examination.find(finding);
    Ok(text)
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
    match &answer.end {
        End::Pong | End::Enough => Ok(answer),
        End::Silence => Err(Trouble::Silent),
        End::Ended(error) => Err(Trouble::of(error)),
    }
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
async fn allowed_of(
    examination: &Examination<'_>,
    conversation: &mut Conversation,
    subscriptions: &[(&str, Option<&str>)],
) -> Result<Vec<bool>, Trouble> {
    let answer = subscribe_shortly(examination, conversation, subscriptions).await?;
    Ok(subscriptions
        .iter()
        .map(|(pattern, queue)| {
            !answer
                .errors
                .iter()
                .any(|text| is_about(text, pattern, *queue))
        })
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
            return Ok(user.allowing(finding, "sub", &format!("{subject} {queue}")));
        }
    }
    let queues = find_queues(examination, conversation, user, subject).await?;
    if let Some(queue) = queues.first() {
        return Ok(queue_only(examination, user, subject, queue, &queues));
    }
    let instead = find_instead(examination, conversation, user, subject).await?;
    let mut finding = codes::SUBSCRIBE_DENIED
        .finding(format!("{} may not subscribe to `{subject}`.", user.title))
        .because("The server refuses the subscription and keeps the connection open, so that a client that overlooks the error waits for messages for ever.");
    if let Some(permissions) = &user.permissions {
        finding = finding.evidence("subscribe permissions", rules_text(&permissions.subscribe));
    }
    if !instead.is_empty() {
        finding = finding
            .evidence("allowed", instead.join(", "))
            .remedy(format!(
                "Or subscribe to what is allowed: `{}`.",
                instead.join("`, `")
            ));
    }
    if !user.is_known {
        finding = finding.or(
            "it is allowed in a certain queue group only (usual names were tried)",
            "an entry `SUBJECT QUEUE` under `subscribe` in the permissions of the user: then give `--queue QUEUE`",
        );
    }
    Ok(user.allowing(finding, "sub", subject))
}

/// Queue groups in which it is allowed.
async fn find_queues(
    examination: &Examination<'_>,
    conversation: &mut Conversation,
    user: &User,
    subject: &str,
) -> Result<Vec<String>, Trouble> {
    let told: Vec<String> = match &user.permissions {
        Some(permissions) => {
            let queues = permissions.subscribe.queues_for(subject);
            queues.into_iter().map(example_of).collect()
        }
        None if user.is_known => Vec::new(),
        None => {
            let first = subject.split('.').next().unwrap_or("");
            let mut names: Vec<String> = USUAL_QUEUES.map(str::to_owned).to_vec();
            names.extend([
                user.name.clone(),
                first.to_owned(),
                format!("{first}-workers"),
            ]);
            names.retain(|name| {
                name.bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            });
            names.retain(|name| !name.is_empty());
            names
        }
    };
    if told.is_empty() {
        return Ok(told);
    }
    // Nobody publishes there, so that nothing is taken from the others in the group.
    let stand_in = stand_in_for(subject);
    let asked: Vec<_> = told
        .iter()
        .map(|queue| (stand_in.as_str(), Some(queue.as_str())))
        .collect();
    let allowed = allowed_of(examination, conversation, &asked).await?;
    // A server that says nothing at all to any name has no such restriction, and refused for another reason.
    if allowed.iter().all(|is_allowed| *is_allowed) && user.permissions.is_none() {
        return Ok(Vec::new());
    }
    let queues = told.into_iter().zip(allowed);
    Ok(queues
        .filter_map(|(queue, is_allowed)| is_allowed.then_some(queue))
        .collect())
}

/// A name that a pattern of queue groups matches.
fn example_of(queue: &str) -> String {
    let tokens = queue.split('.').map(|token| match token {
        "*" | ">" => "natsbench",
        token => token,
    });
    tokens.collect::<Vec<_>>().join(".")
}

/// A subject that the pattern matches, and nobody uses; the pattern itself if it has no wildcard.
fn stand_in_for(pattern: &str) -> String {
    let tokens = pattern.split('.').map(|token| match token {
        "*" | ">" => {
            format!("natsbench-{}", random_token(10))
        }
        token => token.to_owned(),
    });
    tokens.collect::<Vec<_>>().join(".")
}

fn queue_only(
    examination: &Examination<'_>,
    user: &User,
    subject: &str,
    queue: &str,
    queues: &[String],
) -> Finding {
    let given = match examination.plan.queue.as_deref() {
        Some(given) => format!(", not in `{given}`"),
        None => String::new(),
    };
    let finding = codes::QUEUE_ONLY
        .finding(format!(
            "{} may subscribe to `{subject}` in the queue group `{queue}` only{given}.",
            user.title
        ))
        .because("The permission names a queue group: the same subscription is denied without it. Members of a group share the messages; each gets a part of them.")
        .evidence("allowed queue groups", queues.join(", "))
        .paste(
            "Subscribe in that group:",
            &[&format!("natsbench doctor --server {} --queue {queue} '{subject}'", examination.target)],
        );
    user.allowing(finding, "sub", subject)
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
            .finding(format!("The server takes no more subscriptions, so that `{subject}` cannot be subscribed to."))
            .because("The limit of the connection or of the account is reached.")
            .certainty(Certainty::Certain)
            .paste(
                "Raise the limit, in nats.conf or in the JWT of the account:",
                &["max_subscriptions: 0   # no limit", "nsc edit account --name ACCOUNT --subscriptions -1"],
            ),
        ServerErrorKind::InvalidSubject => codes::INVALID_SUBJECT
            .finding(format!("The server calls the subject `{subject}` invalid."))
            .because("Dots separate tokens: none may be empty, and `>` can only be the last one.")
            .remedy("Correct the subject."),
        _ => codes::SUBSCRIBE_REFUSED
            .finding(format!("The server refuses a subscription to `{subject}`: {words}."))
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
    fn a_stand_in_is_matched_by_its_pattern() {
        let stand_in = stand_in_for("rounds.*.>");
        let pattern: Pattern = "rounds.*.>".parse().unwrap();
        assert!(pattern.matches(&stand_in), "{stand_in}");
        assert_eq!(stand_in_for("a.b"), "a.b");
        assert_eq!(example_of("v2.*"), "v2.natsbench");
    }

    #[test]
    fn wider_patterns_go_up_token_by_token() {
        assert_eq!(wider_than("a.b.c"), ["a.b.>", "a.>"]);
        assert!(wider_than("a").is_empty());
    }
}
