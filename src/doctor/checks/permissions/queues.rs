//! Queue groups: the only way to a subject that some permissions allow, and under which name.

use crate::doctor::conversation::{Conversation, random_token};
use crate::doctor::examination::Examination;
use crate::doctor::silence::Trouble;
use crate::results::doctor::{Certainty, Finding};

use super::subjects::allowed_of;
use super::{User, codes, rules_text};

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
/// Queue groups in which it is allowed.
pub(super) async fn find(
    examination: &Examination<'_>,
    conversation: &mut Conversation,
    user: &User,
    subject: &str,
) -> Result<Vec<String>, Trouble> {
    let told: Vec<String> = match &user.permissions {
        Some(permissions) if !is_told_to_be_allowed(user, subject) => {
            let queues = permissions.subscribe.queues_for(subject);
            queues.into_iter().map(example_of).collect()
        }
        None if user.is_known => Vec::new(),
        Some(_) | None => usual_queues(user, subject),
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
    let queues = told.into_iter().zip(allowed);
    Ok(queues
        .filter_map(|(queue, is_allowed)| is_allowed.then_some(queue))
        .collect())
}

/// Older servers leave the queue groups out of the permissions that they tell: there a denied subject seems to be allowed.
pub(super) fn is_told_to_be_allowed(user: &User, subject: &str) -> bool {
    let permissions = user.permissions.as_ref();
    permissions.is_some_and(|permissions| permissions.subscribe.allow(subject))
}

fn usual_queues(user: &User, subject: &str) -> Vec<String> {
    let first = subject.split('.').next().unwrap_or("");
    let mut names: Vec<String> = USUAL_QUEUES.map(str::to_owned).to_vec();
    names.extend([
        user.name.clone(),
        first.to_owned(),
        format!("{first}-workers"),
    ]);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    names.retain(|name| !name.is_empty() && name.bytes().all(is_plain));
    names
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

pub(super) fn finding(
    examination: &Examination<'_>,
    user: &User,
    subject: &str,
    queue: &str,
    queues: &[String],
) -> Finding {
    let pattern = pattern_of(user, subject, queue);
    let given = match examination.plan.queue.as_deref() {
        Some(given) => format!(", not in `{given}`"),
        None => String::new(),
    };
    let finding = codes::QUEUE_ONLY
        .finding(format!(
            "{} may subscribe to `{subject}` in {} only{given}.",
            user.title,
            match &pattern {
                Some(pattern) => format!("queue groups `{pattern}`"),
                None => format!("the queue group `{queue}`"),
            }
        ))
        .because("The permission names a queue group: the same subscription is denied without it. Members of a group share the messages; each gets a part of them.")
        .evidence("allowed queue groups", queues.join(", "))
        .paste(
            "Subscribe in that group:",
            &[&format!("natsbench doctor --server {} --queue {queue} '{subject}'", examination.target)],
        );
    user.allowing(finding, "sub", subject)
}

/// The permission that an example of a queue group was made of, where it has wildcards.
fn pattern_of(user: &User, subject: &str, queue: &str) -> Option<String> {
    let permissions = user.permissions.as_ref()?;
    let queues = permissions.subscribe.queues_for(subject);
    let mut queues = queues.into_iter().map(str::to_owned);
    queues.find(|told| told != queue && example_of(told) == queue)
}

/// The same where the server does not tell the name of the group.
pub(super) fn nameless(user: &User, subject: &str) -> Finding {
    let finding = codes::QUEUE_ONLY
        .finding(format!(
            "{} may subscribe to `{subject}` in a certain queue group only, whose name this server does not tell.",
            user.title
        ))
        .because("The server lists the subject as allowed, and denies a subscription without a queue group: older servers leave the group out of the permissions that they tell. Usual names were tried.")
        .certainty(Certainty::Likely)
        .remedy("Look for an entry `SUBJECT QUEUE` under `subscribe` in the permissions of the user, and give `--queue QUEUE`.")
        .or("the permissions of the user were changed since it logged in", "the doctor says something else when it is run again");
    let finding = match &user.permissions {
        Some(permissions) => {
            finding.evidence("subscribe permissions", rules_text(&permissions.subscribe))
        }
        None => finding,
    };
    user.allowing(finding, "sub", subject)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::Pattern;

    #[test]
    fn a_stand_in_is_matched_by_its_pattern() {
        let stand_in = stand_in_for("rounds.*.>");
        let pattern: Pattern = "rounds.*.>".parse().unwrap();
        assert!(pattern.matches(&stand_in), "{stand_in}");
        assert_eq!(stand_in_for("a.b"), "a.b");
        assert_eq!(example_of("v2.*"), "v2.natsbench");
    }
}
