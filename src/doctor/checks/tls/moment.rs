//! Moments of certificates, in words. Seconds since the epoch; certificates count nothing finer.

use std::time::{Duration, UNIX_EPOCH};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// The last second of the year 9999: beyond it no date can be written.
const LAST: i64 = 253_402_300_799;

/// As RFC 3339 has it.
pub(super) fn moment(seconds: i64) -> String {
    let seconds = u64::try_from(seconds.clamp(0, LAST)).unwrap_or(0);
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
}

/// The day alone.
pub(super) fn day(seconds: i64) -> String {
    moment(seconds).chars().take(10).collect()
}

/// The time between two moments, roughly: `3 days`.
pub(super) fn span(from: i64, to: i64) -> String {
    let seconds = to.abs_diff(from);
    let (n, unit) = match seconds {
        0..MINUTE => (seconds, "second"),
        MINUTE..HOUR => (seconds / MINUTE, "minute"),
        HOUR..172_800 => (seconds / HOUR, "hour"),
        _ => (seconds / DAY, "day"),
    };
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {unit}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_any_year_are_written() {
        assert_eq!(moment(1_706_745_600), "2024-02-01T00:00:00Z");
        assert_eq!(day(1_706_745_600), "2024-02-01");
        assert_eq!(day(-5), "1970-01-01");
        assert_eq!(day(i64::MAX), "9999-12-31");
    }

    #[test]
    fn spans_are_rough_and_read_well() {
        assert_eq!(span(0, 59), "59 seconds");
        assert_eq!(span(60, 0), "1 minute");
        assert_eq!(span(0, 86_400), "24 hours");
        assert_eq!(span(0, 172_800), "2 days");
        assert_eq!(
            span(i64::MIN, i64::MAX),
            format!("{} days", u64::MAX / 86_400)
        );
    }
}
