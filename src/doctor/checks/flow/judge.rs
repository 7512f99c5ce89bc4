//! From what was heard to what is wrong.

use std::time::Duration;

use crate::doctor::checks::flow::clients::{BusyAccount, Client, Others};
use crate::doctor::checks::flow::codes::{NEAR_SUBJECT, QUEUE_SHARED};
use crate::doctor::checks::flow::tally::{Listened, Sound};
use crate::doctor::checks::paste::{is_quotable, word};
use crate::doctor::identity::GLOBAL_ACCOUNT;
use crate::doctor::nearness::{Difference, Near, nearness};
use crate::results::doctor::{Certainty, Finding};
use crate::units::format_count;

/// Most things of a kind that a finding lists.
pub(super) const MAX_LISTED: usize = 4;
/// From so many messages on, those that came last may be missing in the count.
const COUNTED: u64 = 1_000;

/// Everything that a judgement rests on.
pub(super) struct Scene<'a> {
    /// The server, as to be typed again.
    pub(super) url: &'a str,
    pub(super) server_name: &'a str,
    pub(super) queue: Option<&'a str>,
    /// How long the user wanted to listen.
    pub(super) watch: Option<Duration>,
    pub(super) sound: &'a Sound,
    /// Our account, where it is known.
    pub(super) account: Option<&'a str>,
    pub(super) is_system: bool,
    pub(super) others: Option<&'a Others>,
    /// Other accounts in which messages are published, where the monitoring port tells.
    pub(super) busy: &'a [BusyAccount],
    /// Other members of the queue group.
    pub(super) members: &'a [Client],
}

/// A subject that comes near one that is silent.
pub(super) struct Neighbour<'a> {
    pub(super) subject: &'a str,
    pub(super) n_messages: u64,
    pub(super) near: Near,
}

/// The subject that comes nearest to a silent one.
pub(super) fn nearest<'a>(silent: &Listened, sound: &'a Sound) -> Option<Neighbour<'a>> {
    let sees_internals = silent.pattern.as_str().starts_with(['$', '_']);
    let candidates = sound
        .elsewhere
        .iter()
        .filter(|(subject, _)| sees_internals || !is_internal(subject))
        // The suggestion is to be pasted.
        .filter(|(subject, _)| is_quotable(subject));
    // Of those that are as near, the busiest comes first.
    candidates
        .filter_map(|(subject, n_messages)| {
            Some(Neighbour {
                subject,
                n_messages: *n_messages,
                near: nearness(&silent.pattern, subject)?,
            })
        })
        .min_by_key(|neighbour| neighbour.near.cost)
}

/// Subjects of servers and client libraries.
pub(super) fn is_internal(subject: &str) -> bool {
    subject.starts_with(['$', '_'])
}

/// Messages came on a subject that is alike.
pub(super) fn near_subject(silent: &Listened, found: &Neighbour<'_>, scene: &Scene<'_>) -> Finding {
    let ours = silent.pattern.as_str();
    let Neighbour {
        subject,
        n_messages,
        near,
    } = found;
    let certainty = if near.is_close() {
        Certainty::Likely
    } else {
        Certainty::Possible
    };
    let listening = scene.sound.took_text();
    let subscribe = format!("natsbench sub --server {} '{}'", scene.url, near.suggestion);
    let mut finding = NEAR_SUBJECT
        .finding(format!(
            "Nothing comes on `{ours}`, but messages come on `{subject}`: subscribe to `{}`.",
            near.suggestion
        ))
        .because(format!("{}.{}", sentence(&near.in_words()), moved(near)))
        .evidence(&format!("messages on {ours} in {listening}"), 0)
        .evidence(&format!("messages on {subject}"), n_messages)
        .certainty(certainty)
        .paste(
            "Subscribe to the subject that the messages have:",
            &[&subscribe],
        );
    finding = if let ([Difference::Prefix(prefix)], Some(GLOBAL_ACCOUNT)) =
        (near.differences.as_slice(), scene.account)
    {
        finding.paste(
            format!("Or take `{prefix}.` away, where nats.conf maps the subject, if the publisher does not write it itself:"),
            &[&format!(
                "mappings {{ \"{ours}\": \"{}\" }}   # remove this",
                near.suggestion
            )],
        )
    } else if let [Difference::Prefix(prefix)] = near.differences.as_slice() {
        finding.paste(
            format!("Or take `{prefix}.` away, where the account imports the messages in nats.conf:"),
            &[&format!(
                "imports: [ {{ stream: {{ account: ACCOUNT, subject: \"{ours}\" }} }} ]  # without `prefix` and `to`"
            )],
        )
    } else {
        finding.remedy(format!("Or publish to a subject that `{ours}` matches."))
    };
    if certainty == Certainty::Possible {
        finding = finding.or(
            &format!("`{subject}` is something else, and nobody publishes on `{ours}`"),
            "ask whoever runs the publisher for the subject that it uses",
        );
    }
    finding
}

fn moved(near: &Near) -> &'static str {
    match near.differences.first() {
        Some(Difference::Prefix(_)) => {
            " An import with `prefix` or `to`, or a subject mapping, does that on the way; or the publisher does it itself."
        }
        _ => " The server compares subjects byte by byte and says nothing when none matches.",
    }
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(chars).collect()
    })
}

/// Messages went to other members of the queue group.
pub(super) fn queue_shared(listened: &Listened, scene: &Scene<'_>) -> Option<Finding> {
    let queue = scene.queue?;
    let (ours, all) = (listened.n_own, listened.n_plain?);
    let n_missing = all.saturating_sub(ours);
    // Of a great many, those that came at the very end were not counted any more.
    if n_missing == 0 || (all > COUNTED && ours > all / 4 * 3) {
        return None;
    }
    let subject = listened.pattern.as_str();
    let came = match ours {
        0 => "none of them to this client".to_owned(),
        ours => format!("only {} of them to this client", format_count(ours)),
    };
    let certainty = if n_missing > 1 {
        Certainty::Certain
    } else {
        Certainty::Likely
    };
    let mut finding = QUEUE_SHARED
        .finding(format!(
            "Other members of the queue group `{queue}` take messages on `{subject}`: {} came, {came}.",
            format_count(all)
        ))
        .because(
            "A message goes to one member of a queue group only. If the work is meant to be shared, this is how it \
             should be.",
        )
        .evidence("messages without a queue group", all)
        .evidence(&format!("messages in the group {queue}"), ours)
        .certainty(certainty);
    for member in scene.members.iter().take(MAX_LISTED) {
        finding = finding.evidence("other member", &member.label);
    }
    if scene.members.len() > MAX_LISTED {
        finding = finding.evidence("other members", scene.members.len());
    }
    Some(
        finding
            .paste(
                "To get every message, subscribe without a group, or in one that nobody else uses:",
                &[&format!(
                    "natsbench sub --server {} --queue {} '{subject}'",
                    scene.url,
                    word(&format!("{queue}-2"))
                )],
            )
            .remedy("Or stop the other members."),
    )
}
