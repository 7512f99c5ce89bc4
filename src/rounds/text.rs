//! Numbers and times as text, without the machinery of `format!`.

const SECS_PER_DAY: u64 = 86_400;

/// Appends a decimal number.
#[inline]
pub(super) fn push_number(out: &mut Vec<u8>, mut number: u64) {
    const MAX_DIGITS: usize = 20;
    let n_digits = number.checked_ilog10().unwrap_or(0) as usize + 1;
    let mut digits = [0_u8; MAX_DIGITS];
    for at in digits[..n_digits].iter_mut().rev() {
        *at = digit(number);
        number /= 10;
    }
    // All of it and then less: a copy of fixed length needs no call.
    let end = out.len() + n_digits;
    out.extend_from_slice(&digits);
    out.truncate(end);
}

/// Appends a number of hundredths as `2.47`.
#[inline]
pub(super) fn push_hundredths(out: &mut Vec<u8>, hundredths: u64) {
    push_number(out, hundredths / 100);
    out.extend_from_slice(&[b'.', digit(hundredths / 10), digit(hundredths)]);
}

/// The last decimal digit of a number.
#[inline]
fn digit(number: u64) -> u8 {
    b'0' + (number % 10) as u8
}

/// Writes times; remembers the date, because most rounds are on the day of the one before.
#[derive(Debug, Default)]
pub(super) struct Calendar {
    day: Option<(u64, [u8; 11])>,
}

impl Calendar {
    /// Appends `2024-01-15T10:30:00Z`.
    #[inline]
    pub(super) fn push_time(&mut self, out: &mut Vec<u8>, epoch_s: u64) {
        let (day, second) = (epoch_s / SECS_PER_DAY, epoch_s % SECS_PER_DAY);
        let date = match &self.day {
            Some((known, date)) if *known == day => *date,
            _ => {
                let date = date_text(day);
                self.day = Some((day, date));
                date
            }
        };
        out.extend_from_slice(&date);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        out.extend_from_slice(&[
            digit(hour / 10),
            digit(hour),
            b':',
            digit(minute / 10),
            digit(minute),
            b':',
            digit(second / 10),
            digit(second),
            b'Z',
        ]);
    }
}

/// `2024-01-15T` of a day since the epoch (the civil calendar, by the algorithm of Howard Hinnant's
/// `chrono-Compatible Low-Level Date Algorithms`, section `civil_from_days`).
fn date_text(day: u64) -> [u8; 11] {
    let shifted = day + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    [
        digit(year / 1000),
        digit(year / 100),
        digit(year / 10),
        digit(year),
        b'-',
        digit(month / 10),
        digit(month),
        b'-',
        digit(day_of_month / 10),
        digit(day_of_month),
        b'T',
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn numbers_are_decimal() {
        let mut out = Vec::new();
        push_number(&mut out, 0);
        out.push(b' ');
        push_number(&mut out, u64::MAX);
        out.push(b' ');
        push_hundredths(&mut out, 247);
        out.push(b' ');
        push_hundredths(&mut out, 5);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "0 18446744073709551615 2.47 0.05"
        );
    }

    proptest! {
        #[test]
        fn times_agree_with_a_known_library(epoch_s in 0_u64..253_402_300_799) {
            let mut out = Vec::new();
            Calendar::default().push_time(&mut out, epoch_s);
            let expected = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(epoch_s)).to_string();
            prop_assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
