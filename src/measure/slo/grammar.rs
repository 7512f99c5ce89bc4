//! The grammar of objectives: `METRIC OP VALUE`, blanks allowed between the parts.
//!
//! Every fault names the bytes it is about, so that a caret can point at them. Numbers are read exactly: `2.5ms` is
//! 2,500,000 ns and `0.01%` is the nearest `f64` to 1/10,000.

use std::ops::Range;
use std::str::FromStr;

use super::{Comparison, LatencyKind, LatencyPoint, Limit, Metric, Objective};

/// The metrics that an objective may name, for help and error texts.
pub const METRICS: &[&str] = &[
    "p50",
    "p90",
    "p99",
    "p99.9",
    "p99.99",
    "min",
    "max",
    "mean",
    "response.p99",
    "service.p99",
    "lateness.p99",
    "lost",
    "lost_ratio",
    "duplicated",
    "reordered",
    "undecodable",
    "rate",
];

/// How far a misspelling may be off to be taken for a metric, as a similarity from 0 to 1.
const MIN_SIMILARITY: f64 = 0.75;

/// What is wrong with an objective.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SloFault {
    /// No comparison in it.
    #[error(
        "there is no comparison; write METRIC OP VALUE with one of < <= > >= ==, such as p99<2ms"
    )]
    NoComparison,
    /// Something like `=` or `!=`.
    #[error("`{found}` is not a comparison; use one of < <= > >= ==")]
    UnknownComparison {
        /// What stands there.
        found: String,
    },
    /// Nothing before the comparison.
    #[error("the metric is missing; write METRIC OP VALUE, such as p99<2ms")]
    NoMetric,
    /// No such metric.
    #[error("`{found}` is not a metric{}; metrics are {}", suggestion(.nearest.as_deref()), METRICS.join(", "))]
    UnknownMetric {
        /// What stands there.
        found: String,
        /// The metric that was probably meant.
        nearest: Option<String>,
    },
    /// A percentile such as `p0` or `p100`.
    #[error(
        "`{found}` is not a percentile: it must be above p0 and below p100, with at most five decimals (for the extremes write `min` or `max`)"
    )]
    PercentileOutOfRange {
        /// What stands there.
        found: String,
    },
    /// Nothing after the comparison.
    #[error("the value is missing; write {expected}")]
    NoValue {
        /// What would be right.
        expected: &'static str,
    },
    /// A value that does not fit the metric.
    #[error("`{found}` is not {expected}")]
    BadValue {
        /// What stands there.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
    /// A number beyond what is possible.
    #[error("`{found}` is out of range: {reason}")]
    OutOfRange {
        /// What stands there.
        found: String,
        /// The limit that it breaks.
        reason: &'static str,
    },
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| {
        format!(", did you mean `{nearest}`?")
    })
}

/// An objective that does not parse, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("objective `{input}`: {fault}")]
pub struct SloError {
    input: String,
    span: Range<usize>,
    fault: SloFault,
}

impl SloError {
    /// What was typed.
    pub fn input(&self) -> &str {
        &self.input
    }

    /// The bytes of the input that the fault is about; empty, at the place, where something is missing.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// What is wrong.
    pub fn fault(&self) -> &SloFault {
        &self.fault
    }
}

/// A part of the input and where it starts.
#[derive(Clone, Copy)]
struct Part<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Part<'a> {
    /// The part of `input` from `from` to `to`, without blanks around it.
    fn new(input: &'a str, from: usize, to: usize) -> Self {
        let text = input.get(from..to).unwrap_or("");
        let at = from + text.len() - text.trim_start().len();
        Self {
            text: text.trim(),
            at,
        }
    }

    fn span(self) -> Range<usize> {
        self.at..self.at + self.text.len()
    }
}

type Fault = (Range<usize>, SloFault);

impl FromStr for Objective {
    type Err = SloError;

    fn from_str(input: &str) -> Result<Self, SloError> {
        parse(input).map_err(|(span, fault)| SloError {
            input: input.to_owned(),
            span,
            fault,
        })
    }
}

fn parse(input: &str) -> Result<Objective, Fault> {
    let is_operator = |c: char| matches!(c, '<' | '>' | '=' | '!' | '~');
    let whole = Part::new(input, 0, input.len());
    let Some(from) = input.find(is_operator) else {
        return Err((whole.span(), SloFault::NoComparison));
    };
    let n_operator = input[from..]
        .find(|c| !is_operator(c))
        .unwrap_or(input.len() - from);
    let to = from + n_operator;
    let metric_part = Part::new(input, 0, from);
    let value_part = Part::new(input, to, input.len());

    let metric = metric(metric_part)?;
    let comparison = comparison(&input[from..to]).map_err(|fault| (from..to, fault))?;
    let limit = limit(metric, value_part).map_err(|fault| (value_part.span(), fault))?;
    Ok(Objective {
        text: input.to_owned(),
        metric,
        comparison,
        limit,
    })
}

fn comparison(text: &str) -> Result<Comparison, SloFault> {
    Ok(match text {
        "<" => Comparison::Less,
        "<=" => Comparison::LessOrEqual,
        ">" => Comparison::Greater,
        ">=" => Comparison::GreaterOrEqual,
        "==" => Comparison::Equal,
        _ => {
            return Err(SloFault::UnknownComparison {
                found: text.to_owned(),
            });
        }
    })
}

fn metric(part: Part<'_>) -> Result<Metric, Fault> {
    let (kind, point) = match part.text {
        "" => return Err((part.span(), SloFault::NoMetric)),
        "lost" => return Ok(Metric::Lost),
        "lost_ratio" => return Ok(Metric::LostRatio),
        "duplicated" => return Ok(Metric::Duplicated),
        "reordered" => return Ok(Metric::Reordered),
        "undecodable" => return Ok(Metric::Undecodable),
        "rate" => return Ok(Metric::RateRatio),
        text => match text.split_once('.') {
            Some(("response", point)) => (LatencyKind::Response, point),
            Some(("service", point)) => (LatencyKind::Service, point),
            Some(("lateness", point)) => (LatencyKind::Lateness, point),
            _ => (LatencyKind::Response, text),
        },
    };
    match latency_point(point) {
        Some(Ok(point)) => Ok(Metric::Latency(kind, point)),
        Some(Err(fault)) => Err((part.span().end - point.len()..part.span().end, fault)),
        None => Err((
            part.span(),
            SloFault::UnknownMetric {
                found: part.text.to_owned(),
                nearest: nearest_metric(part.text),
            },
        )),
    }
}

/// `None` if it is neither a percentile nor a name; an error if it is a percentile that cannot be.
fn latency_point(text: &str) -> Option<Result<LatencyPoint, SloFault>> {
    match text {
        "min" => return Some(Ok(LatencyPoint::Min)),
        "max" => return Some(Ok(LatencyPoint::Max)),
        "mean" => return Some(Ok(LatencyPoint::Mean)),
        _ => {}
    }
    let digits = text.strip_prefix('p')?;
    let is_number = !digits.is_empty()
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
    if !is_number {
        return None;
    }
    let percentile = Decimal::parse(digits)
        .filter(|percent| percent.decimals <= 5)
        .map(|percent| percent.ratio_of(100))
        .filter(|ratio| *ratio > 0.0 && *ratio < 1.0)
        .map(LatencyPoint::Percentile);
    Some(percentile.ok_or_else(|| SloFault::PercentileOutOfRange {
        found: text.to_owned(),
    }))
}

fn nearest_metric(text: &str) -> Option<String> {
    let kinds = ["response", "service", "lateness"];
    let points = ["p50", "p90", "p99", "p99.9", "p99.99", "min", "max", "mean"];
    let qualified = kinds
        .iter()
        .flat_map(|kind| points.map(|point| format!("{kind}.{point}")));
    METRICS
        .iter()
        .map(|name| (*name).to_owned())
        .chain(qualified)
        .map(|name| (strsim::jaro_winkler(text, &name), name))
        .filter(|(similarity, _)| *similarity >= MIN_SIMILARITY)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

const LATENCY_EXPECTED: &str = "a duration in ns, us, ms or s, such as `500us`, `2ms` or `1.5s`";
const COUNT_EXPECTED: &str = "a whole number of messages, such as `0`";
const RATIO_EXPECTED: &str = "a ratio, such as `0.01%` or `0.0001`";

type Reader = fn(&str) -> Result<Limit, Misread>;

fn limit(metric: Metric, part: Part<'_>) -> Result<Limit, SloFault> {
    let (expected, read): (_, Reader) = match metric {
        Metric::Latency(..) => (LATENCY_EXPECTED, nanos),
        Metric::Lost | Metric::Duplicated | Metric::Reordered | Metric::Undecodable => {
            (COUNT_EXPECTED, count)
        }
        Metric::LostRatio | Metric::RateRatio => (RATIO_EXPECTED, ratio),
    };
    if part.text.is_empty() {
        return Err(SloFault::NoValue { expected });
    }
    read(part.text).map_err(|misread| match misread {
        Misread::Malformed => SloFault::BadValue {
            found: part.text.to_owned(),
            expected,
        },
        Misread::OutOfRange(reason) => SloFault::OutOfRange {
            found: part.text.to_owned(),
            reason,
        },
    })
}

enum Misread {
    Malformed,
    OutOfRange(&'static str),
}

fn nanos(text: &str) -> Result<Limit, Misread> {
    let is_negative = text.starts_with('-');
    let magnitude = text.strip_prefix('-').unwrap_or(text);
    let split = magnitude
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .ok_or(Misread::Malformed)?;
    let (digits, unit) = magnitude.split_at(split);
    let unit_ns: u64 = match unit.trim_start() {
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        _ => return Err(Misread::Malformed),
    };
    let number = Decimal::parse(digits).ok_or(Misread::Malformed)?;
    let scaled = u128::from(number.digits) * u128::from(unit_ns);
    let scale = u128::from(number.scale());
    if !scaled.is_multiple_of(scale) {
        return Err(Misread::OutOfRange(
            "nothing finer than a nanosecond is measured",
        ));
    }
    let nanos = i64::try_from(scaled / scale)
        .map_err(|_| Misread::OutOfRange("more than 2^63 nanoseconds, 292 years"))?;
    Ok(Limit::Nanos(if is_negative { -nanos } else { nanos }))
}

fn count(text: &str) -> Result<Limit, Misread> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Misread::Malformed);
    }
    text.parse()
        .map(Limit::Count)
        .map_err(|_| Misread::OutOfRange("more messages than a 64-bit count holds"))
}

fn ratio(text: &str) -> Result<Limit, Misread> {
    let (digits, whole) = match text.strip_suffix('%') {
        Some(percent) => (percent.trim_end(), 100),
        None => (text, 1),
    };
    let ratio = Decimal::parse(digits)
        .ok_or(Misread::Malformed)?
        .ratio_of(whole);
    if ratio > 1.0 {
        return Err(Misread::OutOfRange("a ratio is at most 1, or 100%"));
    }
    Ok(Limit::Ratio(ratio))
}

/// A plain decimal, exactly: `digits / 10^decimals`.
struct Decimal {
    digits: u64,
    decimals: u32,
}

impl Decimal {
    /// Reads `2`, `2.5` or `.5`; at most 15 digits, so that every step in `f64` is exact.
    fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let joined = format!("{whole}{fraction}");
        let is_number = !fraction.is_empty() && joined.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number || joined.len() > 15 {
            return None;
        }
        Some(Self {
            digits: joined.parse().ok()?,
            decimals: u32::try_from(fraction.len()).ok()?,
        })
    }

    fn scale(&self) -> u64 {
        10_u64.pow(self.decimals)
    }

    /// This number divided by `whole`, rounded once: equal to the same ratio of two counts.
    fn ratio_of(&self, whole: u64) -> f64 {
        self.digits as f64 / (self.scale() * whole) as f64
    }
}
