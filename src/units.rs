//! Rates, durations, sizes and counts as people type and read them.
//!
//! Parsers return a [`UnitError`] that says what was wrong and what would be right; formatters pick the unit
//! so that three significant digits are visible. Nothing here rounds a number that is computed with.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

/// Nanoseconds in a second.
pub const NANOS_PER_SEC: u64 = 1_000_000_000;

/// The highest rate that is accepted: at ten million rounds a second a schedule has 100 ns between two rounds,
/// well past what one pacing thread can write.
pub const MAX_RATE_PER_S: u64 = 10_000_000;

/// Why a quantity could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not a number, or not in the expected form.
    #[error("`{input}` is not {expected}")]
    Malformed {
        /// What was typed.
        input: String,
        /// Where the fault is, in bytes of the input; empty where something is missing.
        span: Range<usize>,
        /// What would have been right.
        expected: &'static str,
    },
    /// A number outside the accepted range.
    #[error("`{input}` is out of range: {reason}")]
    OutOfRange {
        /// What was typed.
        input: String,
        /// The limit that it breaks.
        reason: String,
    },
}

impl UnitError {
    /// Where the fault is, in bytes of the input: all of it when a number is out of range.
    pub fn span(&self) -> Range<usize> {
        match self {
            Self::Malformed { span, .. } => span.clone(),
            Self::OutOfRange { input, .. } => 0..input.len(),
        }
    }

    /// What was typed.
    pub fn input(&self) -> &str {
        match self {
            Self::Malformed { input, .. } | Self::OutOfRange { input, .. } => input,
        }
    }
}

fn malformed(input: &str, span: Range<usize>, expected: &'static str) -> UnitError {
    UnitError::Malformed {
        input: input.to_owned(),
        span,
        expected,
    }
}

/// From the first character that no decimal number has up to the end; everything when no digit comes before it.
fn after_the_number(input: &str) -> Range<usize> {
    let mut has_point = false;
    let is_bad =
        |c: char| !(c.is_ascii_digit() || (c == '.' && !std::mem::replace(&mut has_point, true)));
    let start = input.len() - input.trim_start().len();
    match input[start..].find(is_bad) {
        Some(0) | None => 0..input.len(),
        Some(at) => start + at..input.trim_end().len().max(start + at),
    }
}

fn out_of_range(input: &str, reason: impl Into<String>) -> UnitError {
    UnitError::OutOfRange {
        input: input.to_owned(),
        reason: reason.into(),
    }
}

/// A positive rate, kept as an exact fraction so that a schedule made of it never drifts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    count: u64,
    per_secs: u64,
}

impl Rate {
    /// `count` events every `per_secs` seconds; `None` if either is zero or the rate is above [`MAX_RATE_PER_S`].
    pub fn new(count: u64, per_secs: u64) -> Option<Self> {
        let allowed = count > 0
            && per_secs > 0
            && u128::from(count) <= u128::from(MAX_RATE_PER_S) * u128::from(per_secs);
        allowed.then_some(Self { count, per_secs })
    }

    /// The numerator: this many events every [`Rate::per_secs`] seconds.
    pub fn count(self) -> u64 {
        self.count
    }

    /// The denominator, in seconds.
    pub fn per_secs(self) -> u64 {
        self.per_secs
    }

    /// Events a second, for display.
    pub fn per_s(self) -> f64 {
        self.count as f64 / self.per_secs as f64
    }
}

const RATE_EXPECTED: &str = "a rate: a number of rounds a second such as `200`, `0.5` or `10k`";

impl FromStr for Rate {
    type Err = UnitError;

    /// Reads `200`, `0.5`, `10k`, `1.5m`, each with an optional `/s`.
    fn from_str(input: &str) -> Result<Self, UnitError> {
        let trimmed = input.trim();
        let number = trimmed.strip_suffix("/s").unwrap_or(trimmed);
        let (digits, factor) = match number.as_bytes().last() {
            Some(b'k' | b'K') => (&number[..number.len() - 1], 1_000),
            Some(b'm' | b'M') => (&number[..number.len() - 1], 1_000_000),
            _ => (number, 1),
        };
        if let Some(rest) = digits.strip_prefix('-')
            && decimal(rest).is_some()
        {
            return Err(out_of_range(input, "a rate must be more than zero"));
        }
        let (scaled, scale) = decimal(digits).ok_or_else(|| {
            let is_number = |c: char| c.is_ascii_digit() || c == '.';
            let has_one_point = digits.matches('.').count() <= 1;
            if digits.contains(|c: char| c.is_ascii_digit())
                && digits.chars().all(is_number)
                && has_one_point
            {
                return out_of_range(
                    input,
                    format!(
                        "the highest rate is {} a second, and nine decimals are the most",
                        format_count(MAX_RATE_PER_S)
                    ),
                );
            }
            malformed(input, after_the_number(input), RATE_EXPECTED)
        })?;
        if scaled == 0 {
            return Err(out_of_range(input, "a rate must be more than zero"));
        }
        scaled
            .checked_mul(factor)
            .and_then(|count| Self::new(count, scale))
            .ok_or_else(|| {
                out_of_range(
                    input,
                    format!(
                        "the highest rate is {} a second",
                        format_count(MAX_RATE_PER_S)
                    ),
                )
            })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", format_decimal(self.per_s()))
    }
}

/// Reads a plain decimal as an exact fraction `(numerator, power of ten)`; at most nine decimals.
fn decimal(digits: &str) -> Option<(u64, u64)> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty())
        || !is_number(whole)
        || !is_number(fraction)
        || fraction.len() > 9
    {
        return None;
    }
    let scale = 10_u64.pow(u32::try_from(fraction.len()).ok()?);
    let whole: u64 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let fraction: u64 = if fraction.is_empty() {
        0
    } else {
        fraction.parse().ok()?
    };
    Some((whole.checked_mul(scale)?.checked_add(fraction)?, scale))
}

/// What `--rate` may say: so many a second, or as fast as the broker takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateLimit {
    /// An open schedule.
    PerSecond(Rate),
    /// No schedule: back to back.
    Max,
}

impl FromStr for RateLimit {
    type Err = UnitError;

    fn from_str(input: &str) -> Result<Self, UnitError> {
        if input.trim().eq_ignore_ascii_case("max") {
            return Ok(Self::Max);
        }
        input.parse().map(Self::PerSecond)
    }
}

/// Reads a duration with a unit: `500ms`, `10s`, `1m30s`, `24h`.
///
/// # Errors
/// When the unit is missing or unknown, or the duration is above [`MAX_DURATION`].
pub fn parse_duration(input: &str) -> Result<Duration, UnitError> {
    use humantime::DurationError as E;
    const EXPECTED: &str = "a duration with a unit, such as `500ms`, `10s` or `1m30s`";
    let too_long = || out_of_range(input, "the longest duration is one year, `365d`");
    let start = input.len() - input.trim_start().len();
    let one = |at: usize| {
        let len = input[start..]
            .get(at..)
            .and_then(|rest| rest.chars().next());
        start + at..start + at + len.map_or(0, char::len_utf8)
    };
    let duration = humantime::parse_duration(input.trim()).map_err(|error| match error {
        E::InvalidCharacter(at) | E::NumberExpected(at) => malformed(input, one(at), EXPECTED),
        E::UnknownUnit {
            start: from, end, ..
        } => malformed(input, start + from..start + end, EXPECTED),
        E::NumberOverflow => too_long(),
        E::Empty => malformed(input, 0..input.len(), EXPECTED),
    })?;
    if duration > MAX_DURATION {
        return Err(too_long());
    }
    Ok(duration)
}

/// The longest duration that is accepted: moments that far ahead still fit into 64 bits of nanoseconds.
pub const MAX_DURATION: Duration = Duration::from_hours(365 * 24);

/// Reads a number of bytes: `236`, `1k`, `4KiB`, `1MB`. `k` and `KiB` are 1024, `kB` is 1000.
///
/// # Errors
/// When it is no such number, or above 2^63.
pub fn parse_bytes(input: &str) -> Result<u64, UnitError> {
    const EXPECTED: &str = "a number of bytes, such as `512`, `4KiB` or `1MB`";
    let trimmed = input.trim();
    let split = trimmed
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(trimmed.len());
    let (digits, unit) = trimmed.split_at(split);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "kb" => 1_000,
        "m" | "mib" => 1 << 20,
        "mb" => 1_000_000,
        "g" | "gib" => 1 << 30,
        "gb" => 1_000_000_000,
        _ => {
            let start = input.len() - input.trim_start().len() + split;
            let span = if split == 0 {
                0..input.len()
            } else {
                start..start + unit.len()
            };
            return Err(malformed(input, span, EXPECTED));
        }
    };
    if digits.is_empty() {
        return Err(malformed(input, 0..input.len(), EXPECTED));
    }
    digits
        .parse()
        .unwrap_or(u64::MAX)
        .checked_mul(factor)
        .filter(|bytes| i64::try_from(*bytes).is_ok())
        .ok_or_else(|| out_of_range(input, "more bytes than a 64-bit count holds"))
}

/// A duration in nanoseconds, with three significant digits: `182 us`, `1.84 ms`, `-3.10 ms`, `12.0 s`.
pub fn format_nanos(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let magnitude = nanos.unsigned_abs();
    if magnitude < 1_000 {
        return format!("{sign}{magnitude} ns");
    }
    let value = magnitude as f64;
    // From 999.5 on, three digits would be rounded to four.
    let (scaled, unit) = match magnitude {
        0..999_500 => (value / 1e3, "us"),
        999_500..999_500_000 => (value / 1e6, "ms"),
        999_500_000..60_000_000_000 => (value / 1e9, "s"),
        _ => return format!("{sign}{}", format_long(magnitude / NANOS_PER_SEC)),
    };
    format!("{sign}{} {unit}", three_digits(scaled))
}

fn format_long(secs: u64) -> String {
    let (hours, minutes, secs) = (secs / 3_600, secs / 60 % 60, secs % 60);
    if hours > 0 {
        format!("{hours}h{minutes:02}m{secs:02}s")
    } else {
        format!("{minutes}m{secs:02}s")
    }
}

/// Three significant digits of a number from 1 up to 1000.
fn three_digits(value: f64) -> String {
    if value < 9.995 {
        format!("{value:.2}")
    } else if value < 99.95 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

/// A duration as people read it: `10 s`, `1.50 s`, `2m00s`.
pub fn format_duration(duration: Duration) -> String {
    let nanos = i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
    if duration.subsec_nanos() == 0 && (1..60).contains(&duration.as_secs()) {
        return format!("{} s", duration.as_secs());
    }
    format_nanos(nanos)
}

/// A count with thousands separated: `1,234,567`.
pub fn format_count(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (idx, digit) in digits.chars().enumerate() {
        if idx > 0 && (digits.len() - idx).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number with at most three decimals and thousands separated: `200`, `0.5`, `1,499.98`.
pub fn format_decimal(value: f64) -> String {
    if !value.is_finite() || value.abs() >= 1e15 {
        return format!("{value}");
    }
    let text = format!("{:.3}", value.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let whole = format_count(whole.parse().unwrap_or(0));
    let fraction = fraction.trim_end_matches('0');
    let sign = if value < 0.0 { "-" } else { "" };
    if fraction.is_empty() {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{fraction}")
    }
}

/// A ratio as a percentage with at most two significant decimals: `100%`, `99.5%`, `0.42%`, `0.0035%`.
pub fn format_percent(ratio: f64) -> String {
    let percent = ratio * 100.0;
    // Two decimals where the number has a whole part; below one, two digits behind the zeros.
    let n_decimals = match percent.abs() {
        0.095.. | 0.0 => 2,
        0.0095.. => 3,
        _ => 4,
    };
    let text = format!("{percent:.n_decimals$}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}%")
}

/// A number of bytes as people read it: `236 B`, `4.00 KiB`, `1.50 MiB`.
pub fn format_bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit_idx = 0;
    while value >= 1024.0 && unit_idx + 1 < UNITS.len() {
        value /= 1024.0;
        unit_idx += 1;
    }
    format!("{} {}", three_digits(value), UNITS[unit_idx])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rates_are_exact_fractions() {
        let third: Rate = "0.3".parse().unwrap();
        assert_eq!((third.count(), third.per_secs()), (3, 10));
        assert_eq!(
            "10k".parse::<Rate>().unwrap(),
            Rate::new(10_000, 1).unwrap()
        );
        assert_eq!("1.5m/s".parse::<Rate>().unwrap().count(), 15_000_000);
    }

    #[test]
    fn rates_that_make_no_schedule_are_refused() {
        for input in [
            "0",
            "-1",
            "-0.5",
            "0.0",
            "NaN",
            "inf",
            "",
            "1e9",
            "20000001",
            "99999999999999999999",
            "k",
            "10q",
        ] {
            assert!(input.parse::<Rate>().is_err(), "{input}");
        }
        assert!(
            "-3".parse::<Rate>()
                .unwrap_err()
                .to_string()
                .contains("more than zero")
        );
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_duration("1m30s").unwrap(), Duration::from_secs(90));
        assert!(
            parse_duration("10")
                .unwrap_err()
                .to_string()
                .contains("with a unit")
        );
    }

    #[test]
    fn absurd_durations_are_refused() {
        for input in ["366d", "10000000y", "99999999999999999999s"] {
            let error = parse_duration(input).unwrap_err().to_string();
            assert!(error.contains("one year"), "{error}");
        }
        assert_eq!(parse_duration("365d").unwrap(), MAX_DURATION);
    }

    #[test]
    fn a_fault_is_pointed_at() {
        let rate = |input: &str| input.parse::<Rate>().unwrap_err().span();
        assert_eq!(rate("10q"), 2..3);
        assert_eq!(rate("1e30"), 1..4);
        assert_eq!(rate("NaN"), 0..3);
        assert_eq!(rate("0.1.2"), 3..5);
        let duration = |input: &str| parse_duration(input).unwrap_err().span();
        assert_eq!(duration("10"), 2..2);
        assert_eq!(duration("10 parsecs"), 3..10);
        assert_eq!(duration("-1s"), 0..1);
        assert_eq!(duration(" 1\u{20ac}"), 2..5);
        assert_eq!(parse_bytes("4x").unwrap_err().span(), 1..2);
        assert_eq!(parse_bytes("1.5KiB").unwrap_err().span(), 1..6);
        assert_eq!(parse_bytes("kB").unwrap_err().span(), 0..2);
    }

    #[test]
    fn sizes_have_binary_and_decimal_units() {
        assert_eq!(parse_bytes("236").unwrap(), 236);
        assert_eq!(parse_bytes("4KiB").unwrap(), 4096);
        assert_eq!(parse_bytes("4kB").unwrap(), 4000);
        assert!(parse_bytes("4x").is_err());
        assert!(parse_bytes("99999999999G").is_err());
    }

    #[test]
    fn nanoseconds_read_with_three_digits() {
        let shown: Vec<String> = [
            0,
            999,
            182_400,
            999_960,
            1_840_000,
            -3_100_000,
            12_000_000_000,
            90_000_000_000,
        ]
        .map(format_nanos)
        .into();
        assert_eq!(
            shown,
            [
                "0 ns", "999 ns", "182 us", "1.00 ms", "1.84 ms", "-3.10 ms", "12.0 s", "1m30s"
            ]
        );
    }

    #[test]
    fn ratios_read_as_percentages() {
        let shown = [
            1.0, 0.0, 0.995, 0.004_2, 0.000_35, 0.000_02, 0.123_456, -0.5,
        ]
        .map(format_percent);
        assert_eq!(
            shown,
            [
                "100%", "0%", "99.5%", "0.42%", "0.035%", "0.002%", "12.35%", "-50%"
            ]
        );
    }

    #[test]
    fn counts_and_decimals_are_grouped() {
        assert_eq!(format_count(1_234_567), "1,234,567");
        assert_eq!(format_decimal(1499.98), "1,499.98");
        assert_eq!(format_decimal(200.0), "200");
        assert_eq!(format_bytes(1536), "1.50 KiB");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_panic(text in "\\PC{0,16}|[0-9.kKmMsinfNabe/ -]{0,12}") {
            let results = [
                text.parse::<Rate>().err(),
                text.parse::<RateLimit>().err(),
                parse_duration(&text).err(),
                parse_bytes(&text).err(),
            ];
            for error in results.into_iter().flatten() {
                prop_assert!(error.to_string().contains(&text), "{error}");
            }
        }

        #[test]
        fn a_rate_is_exactly_what_was_typed(whole in 0_u64..20_000, fraction in 0_u64..1_000, has_suffix in any::<bool>()) {
            prop_assume!(whole + fraction > 0);
            let suffix = if has_suffix { "/s" } else { "" };
            let rate: Rate = format!("{whole}.{fraction:03}{suffix}").parse().unwrap();
            let exact = u128::from(whole * 1_000 + fraction);
            prop_assert_eq!(u128::from(rate.count()) * 1_000, exact * u128::from(rate.per_secs()));
            // Three decimals are all that is shown, so it reads back as the same rate.
            let shown = rate.to_string().replace(',', "");
            let again: Rate = shown.parse().unwrap();
            prop_assert_eq!(u128::from(again.count()) * u128::from(rate.per_secs()), u128::from(rate.count()) * u128::from(again.per_secs()));
        }

        #[test]
        fn a_duration_is_shown_to_three_digits_in_a_unit_that_fits(nanos in any::<i64>(), bits in 0_u32..63) {
            let nanos = nanos >> bits;
            let shown = format_nanos(nanos);
            prop_assert!(shown.len() <= 15, "{shown}");
            prop_assert_eq!(shown.starts_with('-'), nanos < 0);
            let Some((number, unit)) = shown.split_once(' ') else {
                // Hours and minutes.
                prop_assert!(nanos.unsigned_abs() >= 60_000_000_000);
                return Ok(());
            };
            let unit_ns = match unit { "ns" => 1.0, "us" => 1e3, "ms" => 1e6, "s" => 1e9, _ => panic!("{shown}") };
            let value: f64 = number.parse().unwrap();
            prop_assert!(nanos == 0 || (1.0..1000.0).contains(&value.abs()), "{}", shown);
            prop_assert!((value * unit_ns - nanos as f64).abs() <= nanos.unsigned_abs() as f64 * 0.005, "{}", shown);
        }

        #[test]
        fn counts_read_back_without_their_commas(count in any::<u64>(), bits in 0_u32..64) {
            let count = count >> bits;
            let shown = format_count(count);
            prop_assert_eq!(shown.replace(',', "").parse::<u64>().unwrap(), count);
            prop_assert!(shown.split(',').skip(1).all(|group| group.len() == 3));
        }
    }
}
