//! One line a message, as `sub` prints it.
//!
//! What a publisher put into a message is shown to a terminal, so control characters are made harmless; only the
//! raw format passes bytes on as they are.

use std::io::Write;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::report::harmless::{harmless, harmless_json};
use crate::rounds::Round;
use crate::units::{NANOS_PER_SEC, format_count, format_nanos};

/// How a message is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineFormat {
    /// Time, subject, game and outcome, latency.
    Pretty,
    /// One JSON object.
    Json,
    /// The payload as it is.
    Raw,
}

/// What there is to show.
#[derive(Debug, Clone, Copy)]
pub struct MessageLine<'a> {
    /// Subject.
    pub subject: &'a [u8],
    /// Payload.
    pub payload: &'a [u8],
    /// Reply subject.
    pub reply: Option<&'a [u8]>,
    /// Wall time of arrival, in nanoseconds since the epoch.
    pub received_ns: u64,
    /// received - intended.
    pub response_ns: Option<i64>,
    /// received - sent.
    pub service_ns: Option<i64>,
    /// Sequence number in its stream.
    pub seq: Option<u64>,
    /// Messages of its stream that should have come before it and have not, or not yet.
    pub n_missing: u64,
    /// Something unusual about it.
    pub note: Option<&'a str>,
}

#[derive(Serialize)]
struct JsonLine<'a> {
    subject: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<&'a str>,
    received_ns: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_ns: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_ns: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "is_zero")]
    n_missing: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
    /// The payload as JSON, where it is JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    /// The payload as text, where it is not; bytes that are no UTF-8 are replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Appends the line of one message to `out`.
pub fn write_line(out: &mut Vec<u8>, format: LineFormat, line: &MessageLine<'_>) {
    match format {
        LineFormat::Raw => out.extend_from_slice(line.payload),
        LineFormat::Json => write_json(out, line),
        LineFormat::Pretty => write_pretty(out, line),
    }
    out.push(b'\n');
}

fn write_json(out: &mut Vec<u8>, line: &MessageLine<'_>) {
    let subject = String::from_utf8_lossy(line.subject);
    let reply = line.reply.map(String::from_utf8_lossy);
    // A payload with line breaks would break the rule of one line a message; it is shown as text.
    let payload: Option<&RawValue> = serde_json::from_slice(line.payload)
        .ok()
        .filter(|raw: &&RawValue| !raw.get().contains(['\n', '\r']));
    let text = String::from_utf8_lossy(line.payload);
    let json = JsonLine {
        subject: &subject,
        reply: reply.as_deref(),
        received_ns: line.received_ns,
        response_ns: line.response_ns,
        service_ns: line.service_ns,
        seq: line.seq,
        n_missing: line.n_missing,
        note: line.note,
        text: payload.is_none().then_some(&text),
        payload,
    };
    let start = out.len();
    // Writing to a vector cannot fail, and the struct is always JSON.
    let _ = serde_json::to_writer(&mut *out, &json);
    harmless_json(out, start);
}

fn write_pretty(out: &mut Vec<u8>, line: &MessageLine<'_>) {
    let subject = harmless(&String::from_utf8_lossy(line.subject));
    let what = Round::from_json(line.payload).map_or_else(
        |_| excerpt(line.payload),
        |round| {
            format!(
                "{:<11} {}",
                harmless(&round.game_slug),
                harmless(&round.outcome())
            )
        },
    );
    // Wide enough for the usual rounds, and with the latency just short of 80 columns. Writing to a vector cannot fail.
    let _ = write!(
        out,
        "{}  {subject:<23} {what:<31}",
        time_of_day(line.received_ns)
    );
    if let Some(response_ns) = line.response_ns {
        let _ = write!(out, " {:>9}", format_nanos(response_ns));
    }
    if line.n_missing > 0 {
        let _ = write!(out, "  [gap: {} missing]", format_count(line.n_missing));
    }
    if let Some(note) = line.note {
        let _ = write!(out, "  [{note}]");
    }
    while out.last() == Some(&b' ') {
        out.pop();
    }
}

/// The beginning of a payload that is no round.
fn excerpt(payload: &[u8]) -> String {
    const MAX_CHARS: usize = 60;
    let text = harmless(&String::from_utf8_lossy(
        &payload[..payload.len().min(4 * MAX_CHARS)],
    ));
    let shown: String = text.chars().take(MAX_CHARS).collect();
    let dots = if payload.len() > shown.len() {
        "..."
    } else {
        ""
    };
    format!("{shown}{dots} ({} bytes)", payload.len())
}

/// `HH:MM:SS.mmm`, UTC.
fn time_of_day(wall_ns: u64) -> String {
    let secs = wall_ns / NANOS_PER_SEC % 86_400;
    let millis = wall_ns % NANOS_PER_SEC / 1_000_000;
    format!(
        "{:02}:{:02}:{:02}.{millis:03}",
        secs / 3600,
        secs / 60 % 60,
        secs % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(format: LineFormat, payload: &[u8]) -> String {
        let line = MessageLine {
            subject: b"rounds.game.crash",
            payload,
            reply: None,
            received_ns: 3_723_004_000_000,
            response_ns: Some(1_234_567),
            service_ns: None,
            seq: Some(7),
            n_missing: 2,
            note: Some("reordered"),
        };
        let mut out = Vec::new();
        write_line(&mut out, format, &line);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_round_is_shown_with_its_outcome() {
        let payload = br#"{"game_slug":"crash","game_type":"multiplier","round_id":1,"extras":{"point":"2.47"}}"#;
        let line = shown(LineFormat::Pretty, payload);
        assert!(
            line.starts_with("01:02:03.004  rounds.game.crash"),
            "{line}"
        );
        assert!(
            line.contains("2.47x")
                && line.contains("1.23 ms")
                && line.ends_with("[gap: 2 missing]  [reordered]\n"),
            "{line}"
        );
    }

    #[test]
    fn terminal_escapes_in_a_payload_are_harmless() {
        for format in [LineFormat::Pretty, LineFormat::Json] {
            assert!(!shown(format, b"\x1b[2Jboo").contains('\x1b'));
        }
    }

    #[test]
    fn every_json_line_is_json() {
        for payload in [&b"{\"a\":1}"[..], b"plain", b"\xff\xfe", b"", b"{\n}"] {
            let line = shown(LineFormat::Json, payload);
            assert_eq!(line.lines().count(), 1);
            let json: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert!(
                json["payload"].is_object() || json["text"].is_string(),
                "{line}"
            );
        }
    }

    #[test]
    fn raw_passes_bytes_on() {
        assert_eq!(shown(LineFormat::Raw, b"abc"), "abc\n");
    }
}
