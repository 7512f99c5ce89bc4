//! What a run is worth: each objective judged, and one verdict over all of it.

use crate::measure::slo;
use crate::results::{Ended, Load, SloResult, Verdict};
use crate::units::{format_count, format_decimal, format_nanos};

use super::doubts::Doubts;

pub(super) fn ended(is_interrupted: bool, is_connection_lost: bool) -> Ended {
    if is_interrupted {
        Ended::Interrupted
    } else if is_connection_lost {
        Ended::ConnectionLost
    } else {
        Ended::Completed
    }
}

/// The verdict over a run, with reasons where it is no pass.
pub(super) fn overall(
    slo: &[SloResult],
    load: &Load,
    doubts: &Doubts,
    ended: Ended,
) -> (Verdict, Vec<String>) {
    let mut reasons: Vec<String> = Vec::new();
    if load.received == 0 {
        reasons.push("no message arrived".to_owned());
    }
    for result in slo.iter().filter(|result| result.verdict != Verdict::Pass) {
        reasons.push(match (&result.why, result.observed_ns, result.observed) {
            (Some(why), ..) => format!("{}: {why}", result.expr),
            (None, Some(nanos), _) => {
                format!("{} was missed: {}", result.expr, format_nanos(nanos))
            }
            (None, None, Some(value)) => {
                format!("{} was missed: {}", result.expr, format_decimal(value))
            }
            (None, None, None) => format!("{} was missed", result.expr),
        });
    }
    let is_failed = slo.iter().any(|result| result.verdict == Verdict::Fail);
    let is_unclear = slo
        .iter()
        .any(|result| result.verdict == Verdict::Inconclusive);
    let lost = load.lost.unwrap_or(0);
    if is_failed {
        return (Verdict::Fail, reasons);
    }
    // Without objectives a run is judged by what it promises: its rate, its clock, and every message.
    if slo.is_empty() && lost > 0 && load.received > 0 {
        reasons.push(format!("{} messages were lost", format_count(lost)));
        return (Verdict::Fail, reasons);
    }
    let has_doubt =
        !doubts.for_objectives.is_empty() || doubts.is_refused || doubts.is_connection_lost;
    let is_cut_short = ended != Ended::Completed;
    if load.received == 0 || is_unclear || (slo.is_empty() && has_doubt) || is_cut_short {
        if reasons.is_empty() {
            reasons.extend(doubts.sentences.iter().cloned());
        }
        if is_cut_short && reasons.is_empty() {
            reasons.push("the run was interrupted".to_owned());
        }
        return (Verdict::Inconclusive, reasons);
    }
    (Verdict::Pass, Vec::new())
}

pub(super) fn judged(
    objective: &slo::Objective,
    observations: &slo::Observations<'_>,
) -> SloResult {
    let judgement = objective.evaluate(observations);
    let (observed_ns, observed) = match judgement.observed {
        slo::Observed::Nanos(nanos) => (Some(nanos), None),
        slo::Observed::Count(count) => (None, Some(count as f64)),
        slo::Observed::Ratio(ratio) => (None, Some(ratio)),
        slo::Observed::None => (None, None),
    };
    SloResult {
        expr: objective.to_string(),
        verdict: match judgement.verdict {
            slo::Verdict::Pass => Verdict::Pass,
            slo::Verdict::Fail => Verdict::Fail,
            slo::Verdict::Inconclusive => Verdict::Inconclusive,
        },
        observed_ns,
        observed,
        why: judgement.why,
    }
}
