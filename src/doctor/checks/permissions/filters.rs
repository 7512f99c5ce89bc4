//! What a subscription is accepted for and does not bring: denied subjects within it, which the server leaves out in silence.

use crate::doctor::conversation::Conversation;
use crate::doctor::examination::Examination;
use crate::doctor::silence::Trouble;
use crate::protocol::ServerErrorKind;
use crate::results::doctor::{Finding, Severity};
use crate::rounds::{Game, subject_for};
use crate::subject::{Pattern, covers};

use super::subjects::{allowed_of, is_about, is_too_many_tokens, subscribe_shortly};
use super::{User, codes, rules_text};

/// Most denied subjects that are looked at.
const MAX_FILTERS: usize = 30;

/// What the pattern would bring and the server leaves out.
pub(super) async fn find(
    examination: &Examination<'_>,
    conversation: &mut Conversation,
    user: &User,
    pattern: &str,
) -> Result<Vec<String>, Trouble> {
    if let Some(permissions) = &user.permissions {
        let mut filters = permissions.subscribe.filters_of(pattern);
        filters.truncate(MAX_FILTERS);
        if filters.is_empty() {
            return Ok(Vec::new());
        }
        // Older servers leave queue groups out of what they tell: what may be subscribed to is not filtered.
        let asked: Vec<_> = filters.iter().map(|filter| (*filter, None)).collect();
        let allowed = allowed_of(examination, conversation, &asked).await?;
        let filters = filters.into_iter().zip(allowed);
        return Ok(filters
            .filter(|(_, is_allowed)| !is_allowed)
            .map(|(filter, _)| filter.to_owned())
            .collect());
    }
    if user.is_known {
        return Ok(Vec::new());
    }
    let queue = examination.plan.queue.as_deref();
    let within = families_and_known_within(pattern);
    let asked: Vec<_> = within
        .iter()
        .map(|subject| (subject.as_str(), queue))
        .collect();
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let answer = subscribe_shortly(examination, conversation, &asked).await?;
    // Whoever may have all of it may have a part of it, unless that is denied.
    let denials: Vec<&String> = answer
        .errors
        .iter()
        .filter(|text| {
            matches!(
                ServerErrorKind::classify(text),
                ServerErrorKind::SubscribePermission
            )
        })
        .filter(|text| !is_too_many_tokens(text))
        .collect();
    let is_denied = |subject: &String| denials.iter().any(|text| is_about(text, subject, None));
    let mut denied: Vec<String> = Vec::new();
    for subject in within.into_iter().filter(is_denied) {
        if !denied.iter().any(|wide| covers(wide, &subject)) {
            denied.push(subject);
        }
    }
    Ok(denied)
}

/// `rounds.game.*` and `rounds.type.*` first, then each known subject.
fn families_and_known_within(pattern: &str) -> Vec<String> {
    let known = known_within(pattern);
    let families = ["game", "type"].iter().filter_map(|family| {
        let subject = known
            .iter()
            .find(|subject| subject.split('.').nth(1) == Some(*family))?;
        let (parent, _) = subject.rsplit_once('.')?;
        Some(format!("{parent}.*"))
    });
    let mut all: Vec<String> = families
        .filter(|family| family != pattern && covers(pattern, family))
        .collect();
    all.extend(known);
    all
}

/// Subjects of rounds, below the first token of the pattern.
fn known_subjects(pattern: &str) -> Vec<String> {
    let first = pattern.split('.').next().unwrap_or("");
    let prefix = match first {
        "" | "*" | ">" => "rounds",
        prefix => prefix,
    };
    let games = Game::ALL
        .into_iter()
        .map(|game| subject_for(prefix, game, false));
    let types = Game::ALL
        .into_iter()
        .map(|game| subject_for(prefix, game, true));
    games.chain(types).collect()
}

pub(super) fn known_within(pattern: &str) -> Vec<String> {
    let Ok(parsed) = pattern.parse::<Pattern>() else {
        return Vec::new();
    };
    let mut known = known_subjects(pattern);
    known.retain(|subject| parsed.matches(subject) && subject != pattern);
    known
}

/// Whether what is left out is all that the pattern would bring of the games, or of the types.
fn hits_a_whole_family(pattern: &str, filters: &[&str]) -> bool {
    let known = known_within(pattern);
    let is_filtered = |subject: &String| {
        let mut filters = filters
            .iter()
            .filter_map(|filter| filter.parse::<Pattern>().ok());
        filters.any(|filter| filter.matches(subject))
    };
    ["game", "type"].iter().any(|family| {
        let mut subjects = known
            .iter()
            .filter(|subject| subject.split('.').nth(1) == Some(*family))
            .peekable();
        subjects.peek().is_some() && subjects.all(is_filtered)
    })
}

pub(super) fn finding(user: &User, pattern: &str, filters: &[&str]) -> Finding {
    let list = filters.join("`, `");
    let severity = if hits_a_whole_family(pattern, filters) {
        Severity::Error
    } else {
        Severity::Warning
    };
    let who = if user.title.starts_with("This") {
        "this user".to_owned()
    } else {
        format!("user `{}`", user.name)
    };
    let mut finding = codes::DENY_FILTERS
        .finding(format!(
            "Messages on `{list}` never arrive at `{pattern}`: {who} is denied them, and the server leaves them out in silence.",
        ))
        .severity(severity)
        .because("The subscription itself is allowed, so that the server accepts it without an error. What is denied within it is filtered out one message at a time.");
    finding = match &user.permissions {
        Some(permissions) => {
            finding.evidence("subscribe permissions", rules_text(&permissions.subscribe))
        }
        None => finding.evidence(
            "asked for one by one",
            format!("denied: {}", filters.join(", ")),
        ),
    };
    undenying(finding, user, pattern, filters)
}

/// How to take something off what is denied.
pub(super) fn undenying(finding: Finding, user: &User, pattern: &str, filters: &[&str]) -> Finding {
    if user.has_jwt {
        let lines: Vec<String> = filters
            .iter()
            .map(|filter| format!("nsc edit user --name {} --rm '{filter}'", user.name))
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        return finding.paste(
            "Take it from the denied subjects, then issue the credentials again:",
            &lines,
        );
    }
    finding.paste(
        "Take it from the `deny` list in nats.conf, and reload:",
        &[
            &format!("{{ user: {}, permissions: {{ subscribe: {{ allow: [\"{pattern}\"] }} }} }}   # no deny: [\"{}\"]", user.name, filters.join("\", \"")),
            "nats-server --signal reload",
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_subjects_follow_the_first_token() {
        assert!(known_within("tables.game.*").contains(&"tables.game.crash".to_owned()));
        assert!(known_within(">").contains(&"rounds.type.slots".to_owned()));
        assert!(known_within("rounds.game.crash").is_empty());
    }

    #[test]
    fn a_filter_that_leaves_nothing_of_the_games_is_an_error() {
        assert!(hits_a_whole_family("rounds.>", &["rounds.game.>"]));
        assert!(hits_a_whole_family("rounds.>", &["rounds.*.*"]));
        assert!(!hits_a_whole_family("rounds.>", &["rounds.game.slot"]));
        assert!(!hits_a_whole_family("rounds.>", &["rounds.internal.>"]));
        assert!(!hits_a_whole_family("other.>", &["other.a"]));
    }
}
