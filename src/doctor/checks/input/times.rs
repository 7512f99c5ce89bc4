//! Moments and times of the day, as JWTs have them: in words, and whether one is now.

use crate::clock::WallNanos;
use crate::protocol::jwt::TimeRange;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const NANOS_PER_SEC: i64 = 1_000_000_000;
/// Where a year would have five digits.
const MAX_SECONDS: i64 = 253_402_300_799;

/// Seconds since the epoch.
pub(super) fn seconds_of(wall: WallNanos) -> i64 {
    i64::try_from(wall.0).unwrap_or(i64::MAX) / NANOS_PER_SEC
}

/// A moment in seconds since the epoch as RFC 3339 has it.
pub(super) fn moment(seconds: i64) -> String {
    match u64::try_from(seconds) {
        Ok(unsigned) if seconds <= MAX_SECONDS => {
            let moment = std::time::UNIX_EPOCH + std::time::Duration::from_secs(unsigned);
            humantime::format_rfc3339_seconds(moment).to_string()
        }
        _ => format!("second {seconds} since 1970"),
    }
}

/// A length of time in its greatest unit, such as `3 days`.
pub(super) fn length(seconds: i64) -> String {
    let seconds = seconds.saturating_abs();
    let units = [(DAY, "day"), (HOUR, "hour"), (MINUTE, "minute")];
    let unit = units.into_iter().find(|(unit, _)| seconds >= *unit);
    let (unit, name) = unit.unwrap_or((1, "second"));
    let count = seconds / unit;
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}

/// Whether now is within the times of a JWT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Within {
    /// In whichever time zone the server may be.
    Yes,
    /// In some of the time zones that are possible.
    Perhaps {
        /// Whether in UTC, which most servers have.
        in_utc: bool,
    },
    /// In none of them.
    No,
    /// A time that no server reads; it lets nobody in.
    Malformed,
}

/// Whether a moment is within the times, of which none means always, for each of the possible offsets of the local time in seconds.
pub(super) fn within(times: &[TimeRange], now: i64, offsets: &[i32]) -> Within {
    if times.is_empty() {
        return Within::Yes;
    }
    let ranges: Option<Vec<(i64, i64)>> = times
        .iter()
        .map(|range| Some((second_of_day(&range.start)?, second_of_day(&range.end)?)))
        .collect();
    let Some(ranges) = ranges else {
        return Within::Malformed;
    };
    let is_within = |offset: i32| {
        let second = (now + i64::from(offset)).rem_euclid(DAY);
        ranges.iter().any(|(start, end)| {
            if start <= end {
                (*start..*end).contains(&second)
            } else {
                // Over midnight.
                second >= *start || second < *end
            }
        })
    };
    let n_within = offsets.iter().filter(|offset| is_within(**offset)).count();
    match n_within {
        0 => Within::No,
        n_within if n_within == offsets.len() => Within::Yes,
        _ => Within::Perhaps {
            in_utc: is_within(0),
        },
    }
}

/// Every offset that a time zone of today has, to the quarter of an hour.
pub(super) fn all_offsets() -> Vec<i32> {
    (-12 * 4..=14 * 4)
        .map(|quarters| quarters * 15 * 60)
        .collect()
}

/// `15:04:05` in seconds. Hours may have one digit, as in Go.
fn second_of_day(text: &str) -> Option<i64> {
    let parts: Vec<&str> = text.split(':').collect();
    let [hour, minute, second] = parts[..] else {
        return None;
    };
    let number = |text: &str, lengths: std::ops::RangeInclusive<usize>, below: i64| {
        let is_number =
            lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        let number: i64 = text.parse().ok().filter(|_| is_number)?;
        (number < below).then_some(number)
    };
    Some(
        number(hour, 1..=2, 24)? * HOUR
            + number(minute, 2..=2, 60)? * MINUTE
            + number(second, 2..=2, 60)?,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: &str, end: &str) -> TimeRange {
        TimeRange {
            start: start.to_owned(),
            end: end.to_owned(),
        }
    }

    #[test]
    fn lengths_and_moments_are_said_in_words() {
        for (seconds, words) in [
            (1, "1 second"),
            (-59, "59 seconds"),
            (3_600, "1 hour"),
            (3 * DAY + 5, "3 days"),
            (i64::MIN, "106751991167300 days"),
        ] {
            assert_eq!(length(seconds), words);
        }
        assert_eq!(moment(0), "1970-01-01T00:00:00Z");
        assert_eq!(moment(i64::MAX), "second 9223372036854775807 since 1970");
    }

    #[test]
    fn a_window_is_told_in_every_time_zone_that_is_possible() {
        let noon = 20_000 * DAY + 12 * HOUR;
        let utc = [0];
        let day = [range("08:00:00", "17:00:00")];
        let night = [range("22:00:00", "06:00:00")];
        assert_eq!(within(&[], noon, &utc), Within::Yes);
        assert_eq!(within(&day, noon, &utc), Within::Yes);
        assert_eq!(within(&night, noon, &utc), Within::No);
        assert_eq!(within(&night, noon + 13 * HOUR, &utc), Within::Yes);
        assert_eq!(
            within(&[day[0].clone(), night[0].clone()], noon + 6 * HOUR, &utc),
            Within::No
        );
        assert_eq!(
            within(&day, noon, &all_offsets()),
            Within::Perhaps { in_utc: true }
        );
        let second = [range("00:00:00", "00:00:01")];
        assert_eq!(within(&second, noon + 7, &all_offsets()), Within::No);
        assert_eq!(
            within(&[range("8", "17:00:00")], noon, &utc),
            Within::Malformed
        );
    }
}
