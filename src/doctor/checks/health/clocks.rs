//! The clock of this machine against that of the server.
//!
//! `$SYS.REQ.USER.INFO` tells the server's time. The true offset lies within half a round trip of what is computed from it.

use std::time::Duration;

use crate::clock::{Clock, mono_now};
use crate::doctor::code::Code;
use crate::doctor::examination::Examination;
use crate::doctor::identity::USER_INFO_SUBJECT;
use crate::results::doctor::{Finding, Severity};
use crate::units::format_duration;

/// Offsets above this are reported.
const WORTH_TELLING: Duration = Duration::from_secs(1);
/// The server answers at once, or does not know the question.
const PATIENCE: Duration = Duration::from_millis(300);

pub(super) const CLOCK_OFFSET: Code = Code {
    name: "health.clock-offset",
    severity: Severity::Warning,
    meaning: "The clocks of this machine and of the server differ by more than a second.",
    cause: "The server told its time, and the answer took much less than the difference. One of the two is not synchronised.",
    fix: "Run chrony or systemd-timesyncd on both. Until then JWTs expire at another time than they say, and latencies that \
          are measured between machines are wrong by the offset.",
};

/// A reading of the server's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reading {
    /// How far the server's clock is ahead of ours.
    ahead_ns: i128,
    /// By how much that may be wrong.
    error: Duration,
}

/// Asks the server for its time.
pub(super) async fn look(examination: &mut Examination<'_>) {
    let limit = examination.step_limit().min(PATIENCE);
    let Some(conversation) = examination.learned.conversation.as_mut() else {
        return;
    };
    let clock = Clock::start();
    let sent = mono_now();
    let Ok(heard) = conversation.request(USER_INFO_SUBJECT, b"", limit).await else {
        return;
    };
    let took = Duration::from_nanos(mono_now().since(sent));
    let Some(theirs_ns) = server_time(&heard.payload) else {
        return;
    };
    let ours_ns = u128::from(clock.wall_at(sent).0);
    let reading = read(ours_ns, took, theirs_ns);
    examination.fact("server clock", describe(reading));
    if let Some(finding) = judge(reading) {
        examination.find(finding);
    }
}

/// Nanoseconds since the epoch, from the answer of the server.
fn server_time(payload: &[u8]) -> Option<u128> {
    let answer: serde_json::Value = serde_json::from_slice(payload).ok()?;
    let text = answer.get("server")?.get("time")?.as_str()?;
    let moment = humantime::parse_rfc3339_weak(text).ok()?;
    let since = moment.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(since.as_nanos())
}

/// The server read its clock somewhere between question and answer.
fn read(asked_ns: u128, took: Duration, theirs_ns: u128) -> Reading {
    let middle_ns = asked_ns + took.as_nanos() / 2;
    let signed = |nanos: u128| i128::try_from(nanos).unwrap_or(i128::MAX);
    Reading {
        ahead_ns: signed(theirs_ns).saturating_sub(signed(middle_ns)),
        error: took / 2,
    }
}

fn offset(reading: Reading) -> Duration {
    let nanos = u64::try_from(reading.ahead_ns.unsigned_abs()).unwrap_or(u64::MAX);
    Duration::from_nanos(nanos)
}

fn describe(reading: Reading) -> String {
    let offset = offset(reading);
    if offset <= reading.error {
        return format!("as ours, to within {}", format_duration(reading.error));
    }
    format!(
        "{} {} ours, give or take {}",
        format_duration(offset),
        if reading.ahead_ns > 0 {
            "ahead of"
        } else {
            "behind"
        },
        format_duration(reading.error)
    )
}

fn judge(reading: Reading) -> Option<Finding> {
    let offset = offset(reading);
    if offset.saturating_sub(reading.error) <= WORTH_TELLING {
        return None;
    }
    let finding = CLOCK_OFFSET
        .finding(format!(
            "The server's clock is {} {} that of this machine.",
            format_duration(offset),
            if reading.ahead_ns > 0 { "ahead of" } else { "behind" },
        ))
        .because(
            "Latencies that are measured between the two are wrong by that much, and credentials become valid and expire that \
             much earlier or later than this machine thinks.",
        )
        .evidence("server clock", describe(reading))
        .paste("See which of the two is wrong, on both:", &["timedatectl"])
        .paste("And switch synchronisation on there:", &["timedatectl set-ntp true"]);
    Some(finding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_the_server_is_read_to_the_nanosecond() {
        let payload =
            br#"{"server":{"name":"a","time":"2026-01-02T03:04:05.123456789Z"},"data":{}}"#;
        assert_eq!(server_time(payload), Some(1_767_323_045_123_456_789));
        assert_eq!(server_time(br#"{"server":{"time":"yesterday"}}"#), None);
        assert_eq!(server_time(b"nonsense"), None);
    }

    #[test]
    fn an_offset_is_told_only_when_the_round_trip_cannot_explain_it() {
        let took = Duration::from_secs(3);
        let asked_ns = 100_000_000_000;
        let near = read(asked_ns, took, asked_ns + 2_900_000_000);
        assert_eq!(judge(near), None);
        assert!(describe(near).starts_with("as ours"), "{near:?}");
        let far = read(asked_ns, took, asked_ns + 63_500_000_000);
        let finding = judge(far).expect("a minute is a lot");
        assert!(finding.title.contains("ahead of"), "{}", finding.title);
        let behind = read(asked_ns, Duration::from_millis(1), asked_ns - 5_000_000_000);
        assert!(describe(behind).contains("behind"), "{}", describe(behind));
    }
}
