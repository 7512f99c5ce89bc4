//! Whether an account and a stream take more messages.

use crate::doctor::checks::jetstream::api::{AccountInfo, Limits, StreamInfo, Usage};
use crate::doctor::checks::jetstream::codes::{
    FULL, LIMIT, NO_LEADER, REPLICA, RETENTION, SEALED, TOO_LARGE,
};
use crate::doctor::checks::paste::word;
use crate::results::doctor::{Certainty, Finding, Severity};
use crate::units::{format_bytes, format_count};

/// From here on it is worth a warning.
const NEARLY_FULL_RATIO: f64 = 0.9;
/// A stored message takes at least so much besides its subject and payload.
const MESSAGE_OVERHEAD_BYTES: u64 = 22;

/// What is used up, or nearly.
pub(super) fn account_limits(info: &AccountInfo) -> Vec<Finding> {
    let mut findings = usage_limits(&info.all, "");
    for (tier, usage) in info.tiers.iter().take(8) {
        let of = format!(" for streams with {tier}");
        findings.extend(usage_limits(usage, &of));
    }
    findings
}

fn usage_limits(usage: &Usage, of: &str) -> Vec<Finding> {
    let Limits {
        memory: max_memory,
        storage: max_storage,
        streams: max_streams,
        consumers: max_consumers,
    } = usage.limits;
    let storage = usage.storage.max(usage.reserved_storage);
    let memory = usage.memory.max(usage.reserved_memory);
    [
        ("storage", storage, usage.storage, max_storage, true),
        ("memory", memory, usage.memory, max_memory, true),
        ("streams", usage.streams, usage.streams, max_streams, false),
        (
            "consumers",
            usage.consumers,
            usage.consumers,
            max_consumers,
            false,
        ),
    ]
    .into_iter()
    .filter_map(|(what, used, in_use, max, is_bytes)| {
        let max = u64::try_from(max).ok().filter(|max| *max > 0)?;
        if ratio(used, max) < NEARLY_FULL_RATIO {
            return None;
        }
        let text = |n: u64| {
            if is_bytes {
                format_bytes(n)
            } else {
                format_count(n)
            }
        };
        let finding = LIMIT
            .finding(format!(
                "The account has used {} of the {} {what} that it may use{of}.",
                text(used),
                text(max)
            ))
            .evidence(&format!("{what} in use or reserved"), text(used))
            .evidence("limit", text(max))
            .remedy("Raise the limit of the account, or delete what is not needed.");
        // What is only reserved is still free for the streams that have reserved it.
        Some(if is_bytes && in_use >= max {
            finding
                .because("Nothing more is stored: publishing fails with error 10002.")
                .severity(Severity::Error)
        } else {
            finding.because("What is beyond the limit is refused.")
        })
    })
    .collect()
}

fn ratio(used: u64, max: u64) -> f64 {
    used as f64 / max as f64
}

/// What is wrong with a stream.
pub(super) fn stream(info: &StreamInfo, payload_bytes: Option<u64>) -> Vec<Finding> {
    let name = &info.config.name;
    let mut findings = Vec::new();
    if info.config.sealed {
        findings.push(
            SEALED
                .finding(format!(
                    "Stream `{name}` is sealed: it can never take another message."
                ))
                .because("Sealing cannot be taken back.")
                .remedy("Make another stream for the subject."),
        );
    }
    findings.extend(leader(info));
    findings.extend(full(info));
    if let (Some(payload), Ok(max)) = (payload_bytes, u64::try_from(info.config.max_msg_size))
        && max > 0
        && payload > max
    {
        findings.push(
            TOO_LARGE
                .finding(format!(
                    "Stream `{name}` takes messages of up to {max} bytes, and the one asked for has {payload}."
                ))
                .because("Larger ones are refused with error 10054, message size exceeds maximum allowed.")
                .paste("Raise it:", &[&format!("nats stream edit {} --max-msg-size {payload}", word(name))]),
        );
    }
    if matches!(info.config.retention.as_str(), "interest" | "workqueue") {
        findings.push(retention(info));
    }
    findings
}

fn retention(info: &StreamInfo) -> Finding {
    let name = &info.config.name;
    let title = match (info.config.retention.as_str(), info.state.consumer_count) {
        ("interest", 0) => format!(
            "Stream `{name}` has no consumer, and with retention `interest` it then keeps nothing."
        ),
        (retention, _) => format!(
            "Stream `{name}` has retention `{retention}`: messages go when consumers have acknowledged them."
        ),
    };
    RETENTION
        .finding(title)
        .because("Whoever comes later does not find them any more.")
}

/// Only where servers share a stream is there a question of leader and replicas.
fn leader(info: &StreamInfo) -> Option<Finding> {
    let name = &info.config.name;
    let cluster = info.cluster.as_ref()?;
    if cluster.leader.is_empty() {
        return Some(
            NO_LEADER
                .finding(format!(
                    "Stream `{name}` has no leader, so that it takes no messages."
                ))
                .because("Less than half of the servers that hold it are there.")
                .paste(
                    "See which are missing:",
                    &[&format!("nats stream info {}", word(name))],
                ),
        );
    }
    let replicas = cluster.replicas.iter().flatten();
    let mut behind = replicas.filter(|replica| replica.offline || !replica.current);
    let replica = behind.next()?;
    let state = if replica.offline {
        "offline".to_owned()
    } else if replica.lag == 0 {
        // The leader does not hear from it any more, and has not given it up yet.
        "not answering".to_owned()
    } else {
        format!("{} messages behind", format_count(replica.lag))
    };
    Some(
        REPLICA
            .finding(format!(
                "Stream `{name}` is short of a replica: server `{}` is {state}.",
                replica.name
            ))
            .because("The stream works, and does not survive the loss of another server.")
            .paste(
                "See how it is doing:",
                &[&format!("nats stream info {}", word(name))],
            ),
    )
}

/// A limit that a stream has reached, or nearly.
struct Reached {
    /// `max_bytes`
    limit: &'static str,
    used: String,
    max: String,
    is_full: bool,
    certainty: Certainty,
}

fn full(info: &StreamInfo) -> Option<Finding> {
    // With `old`, a full stream is as it should be.
    if info.config.discard != "new" {
        return None;
    }
    let reached = [bytes(info), messages(info), per_subject(info)];
    let mut reached: Vec<Reached> = reached.into_iter().flatten().collect();
    reached.sort_by_key(|reached| !reached.is_full);
    let worst = reached.into_iter().next()?;
    let name = &info.config.name;
    let flag = worst.limit.replace('_', "-");
    let state = if worst.is_full {
        "is full, and refuses new messages"
    } else {
        "is nearly full, and will refuse new messages"
    };
    let finding = FULL
        .finding(format!(
            "Stream `{name}` {state}: {} of {} are used (`{}`), and `discard` is `new`.",
            worst.used, worst.max, worst.limit
        ))
        .because(
            "A refusal is only seen in the acknowledgement. Whoever publishes without waiting for it loses messages in silence.",
        )
        .evidence("messages", format_count(info.state.messages))
        .evidence("bytes", format_count(info.state.bytes))
        .evidence(worst.limit, &worst.max)
        .certainty(worst.certainty)
        .paste(
            "Discard old messages instead, raise the limit, or empty the stream:",
            &[
                &format!("nats stream edit {} --discard old", word(name)),
                &format!("nats stream edit {} --{flag} …", word(name)),
                &format!("nats stream purge {}", word(name)),
            ],
        );
    Some(if worst.is_full {
        finding
    } else {
        finding.severity(Severity::Warning)
    })
}

fn bytes(info: &StreamInfo) -> Option<Reached> {
    let max = u64::try_from(info.config.max_bytes)
        .ok()
        .filter(|max| *max > 0)?;
    let (used, messages) = (info.state.bytes, info.state.messages);
    let typical = used.checked_div(messages).unwrap_or(0);
    let is_full = used.saturating_add(typical.max(MESSAGE_OVERHEAD_BYTES)) > max;
    if !is_full && ratio(used, max) < NEARLY_FULL_RATIO {
        return None;
    }
    Some(Reached {
        limit: "max_bytes",
        used: format!("{} bytes", format_count(used)),
        max: format!("{} bytes", format_count(max)),
        is_full,
        // A smaller message than those in it may still find room.
        certainty: if used.saturating_add(MESSAGE_OVERHEAD_BYTES) > max {
            Certainty::Certain
        } else {
            Certainty::Likely
        },
    })
}

fn messages(info: &StreamInfo) -> Option<Reached> {
    let max = u64::try_from(info.config.max_msgs)
        .ok()
        .filter(|max| *max > 0)?;
    let used = info.state.messages;
    (ratio(used, max) >= NEARLY_FULL_RATIO).then(|| Reached {
        limit: "max_msgs",
        used: format!("{} messages", format_count(used)),
        max: format_count(max),
        is_full: used >= max,
        certainty: Certainty::Certain,
    })
}

fn per_subject(info: &StreamInfo) -> Option<Reached> {
    let max = u64::try_from(info.config.max_msgs_per_subject)
        .ok()
        .filter(|max| *max > 0)?;
    if !info.config.discard_new_per_subject {
        return None;
    }
    let subjects = info.state.subjects.iter().flatten();
    let (subject, used) = subjects.max_by_key(|(_, n)| **n)?;
    (*used >= max).then(|| Reached {
        limit: "max_msgs_per_subject",
        used: format!("{} messages on `{subject}`", format_count(*used)),
        max: format_count(max),
        is_full: true,
        certainty: Certainty::Certain,
    })
}
