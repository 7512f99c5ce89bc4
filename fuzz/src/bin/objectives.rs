//! Objectives: faults point into the text, numbers are read exactly, what is printed anew means the same, and without
//! data none is met.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use natsbench::measure::slo::{
    Comparison, LatencyKind, LatencyPoint, Limit, Metric, Objective, Observations, Verdict,
};

fuzz_target!(|input: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(input) else {
        return Corpus::Reject;
    };
    match text.parse::<Objective>() {
        Ok(objective) => check(text, &objective),
        Err(error) => {
            assert_eq!(error.input(), text);
            assert!(text.get(error.span()).is_some(), "{:?}", error.span());
            assert!(!error.to_string().is_empty());
        }
    }
    Corpus::Keep
});

fn check(text: &str, objective: &Objective) {
    assert_eq!(objective.to_string(), text);
    let parts = |objective: &Objective| {
        (
            objective.metric(),
            objective.comparison(),
            objective.limit(),
        )
    };
    for blank in ["", " ", "\t  "] {
        let printed = printed(objective, blank);
        let again = printed.parse::<Objective>();
        let again = again.unwrap_or_else(|error| panic!("`{text}` as `{printed}`: {error}"));
        assert_eq!(parts(&again), parts(objective), "`{text}` as `{printed}`");
    }
    let judgement = objective.evaluate(&Observations::default());
    assert_eq!(judgement.verdict, Verdict::Inconclusive);
    if let Limit::Ratio(ratio) = objective.limit() {
        check_ratio(text, ratio);
    }
}

/// A ratio that is written without `%` is what the standard library reads.
fn check_ratio(text: &str, ratio: f64) {
    assert!((0.0..=1.0).contains(&ratio));
    let value = text.rsplit(['<', '>', '=']).next().unwrap_or_default();
    if !value.contains('%') {
        assert_eq!(value.trim().parse(), Ok(ratio));
    }
}

fn printed(objective: &Objective, blank: &str) -> String {
    let comparison = match objective.comparison() {
        Comparison::Less => "<",
        Comparison::LessOrEqual => "<=",
        Comparison::Greater => ">",
        Comparison::GreaterOrEqual => ">=",
        Comparison::Equal => "==",
    };
    let (metric, limit) = (metric(objective.metric()), limit(objective.limit()));
    format!("{blank}{metric}{blank}{comparison}{blank}{limit}{blank}")
}

fn metric(metric: Metric) -> String {
    let (kind, point) = match metric {
        Metric::Lost => return "lost".to_owned(),
        Metric::LostRatio => return "lost_ratio".to_owned(),
        Metric::Duplicated => return "duplicated".to_owned(),
        Metric::Reordered => return "reordered".to_owned(),
        Metric::Undecodable => return "undecodable".to_owned(),
        Metric::RateRatio => return "rate".to_owned(),
        Metric::Latency(kind, point) => (kind, point),
    };
    let kind = match kind {
        LatencyKind::Response => "response",
        LatencyKind::Service => "service",
        LatencyKind::Lateness => "lateness",
    };
    let point = match point {
        LatencyPoint::Min => "min".to_owned(),
        LatencyPoint::Max => "max".to_owned(),
        LatencyPoint::Mean => "mean".to_owned(),
        LatencyPoint::Percentile(ratio) => {
            assert!(ratio > 0.0 && ratio < 1.0);
            format!("p{}", percent(ratio))
        }
    };
    format!("{kind}.{point}")
}

fn limit(limit: Limit) -> String {
    match limit {
        Limit::Nanos(nanos) => nanos_text(nanos),
        Limit::Count(count) => count.to_string(),
        Limit::Ratio(ratio) => format!("{}%", percent(ratio)),
    }
}

/// The largest unit that it is a whole number of: at most fifteen digits are read.
fn nanos_text(nanos: i64) -> String {
    let units = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")];
    let unit = units.into_iter().find(|(unit_ns, _)| nanos % unit_ns == 0);
    let (unit_ns, unit) = unit.unwrap_or((1, "ns"));
    format!("{}{unit}", nanos / unit_ns)
}

/// The shortest decimal that is this ratio, with its point moved by two places: exact, other than a multiplication.
fn percent(ratio: f64) -> String {
    let text = ratio.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let digits = format!("{whole}{fraction:0<2}");
    let (whole, fraction) = digits.split_at(whole.len() + 2);
    let whole = whole.trim_start_matches('0');
    if fraction.is_empty() {
        format!("{whole:0>1}")
    } else {
        format!("{whole}.{fraction}")
    }
}
