//! What is in the messages.

use std::time::Duration;

use crate::doctor::checks::flow::codes::UNREADABLE_ROUND;
use crate::doctor::checks::flow::tally::{Listened, Sample};
use crate::results::doctor::Finding;
use crate::rounds::Round;
use crate::units::{format_count, format_duration};

/// The payload of a round is broken.
pub(super) fn unreadable_round(listened: &Listened) -> Option<Finding> {
    let samples = listened.samples.iter();
    let broken: Vec<(&Sample, String)> = samples
        .filter(|sample| is_round_subject(&sample.subject))
        .filter_map(|sample| Some((sample, broken_json(sample)?)))
        .collect();
    let (sample, reason) = broken.first()?;
    let excerpt: String = String::from_utf8_lossy(&sample.payload)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(100)
        .collect();
    Some(
        UNREADABLE_ROUND
            .finding(format!(
                "Messages on `{}` hold broken JSON: {reason}.",
                sample.subject
            ))
            .because(format!(
                "{} of {} messages looked at cannot be read, so that clients drop them or fail.",
                broken.len(),
                listened.samples.len()
            ))
            .evidence("payload", excerpt)
            .evidence("size", format!("{} bytes", sample.payload_bytes))
            .remedy("Mend the publisher: every message is to hold one whole JSON object."),
    )
}

fn is_round_subject(subject: &str) -> bool {
    let mut tokens = subject.split('.');
    tokens.any(|token| token.eq_ignore_ascii_case("rounds"))
}

/// What is wrong with a payload that begins like JSON. Anything else is none, and that is no fault.
fn broken_json(sample: &Sample) -> Option<String> {
    let payload = sample.payload.trim_ascii_start();
    let is_whole = sample.payload.len() == sample.payload_bytes;
    if !is_whole || !matches!(payload, [b'{' | b'[', ..]) {
        return None;
    }
    // Several objects in one message are unusual, but readable.
    let mut values = serde_json::Deserializer::from_slice(payload).into_iter::<serde_json::Value>();
    match values.next() {
        Some(Err(error)) => Some(error.to_string()),
        _ => None,
    }
}

/// What came on a subject, in one line.
pub(super) fn in_words(listened: &Listened, took: Duration) -> String {
    let mut parts = Vec::new();
    if let Some(sample) = listened.samples.first() {
        let after = listened.first_after.unwrap_or(took);
        let headers = if sample.has_headers {
            " with headers"
        } else {
            ""
        };
        parts.push(format!(
            "`{}` after {}, {} bytes{headers}",
            sample.subject,
            format_duration(after),
            format_count(u64::try_from(sample.payload_bytes).unwrap_or(u64::MAX)),
        ));
        let is_round = |sample: &Sample| Round::from_json(&sample.payload).is_ok();
        if listened.samples.iter().all(is_round) {
            parts.push("readable as a round".to_owned());
        }
    }
    if listened.n_own > 1 {
        parts.push(format!(
            "{} messages in {}",
            format_count(listened.n_own),
            format_duration(took)
        ));
    }
    parts.join(", ")
}
