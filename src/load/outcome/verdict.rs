//! What a run is worth: each objective judged, and one verdict over all of it.

use crate::measure::slo;
use crate::results::{Ended, Load, SloResult, Verdict};
use crate::units::format_count;

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
    let mut reasons = Vec::new();
    let has_data = load.received > 0;
    if !has_data {
        reasons.push("no message arrived".to_owned());
    }
    // Without data every objective that needs some is inconclusive, and saying so once is enough.
    let is_telling = |result: &&SloResult| match result.verdict {
        Verdict::Pass => false,
        Verdict::Fail => true,
        Verdict::Inconclusive => has_data,
    };
    reasons.extend(slo.iter().filter(is_telling).map(reason_of));
    let of_objectives = Verdict::overall(slo.iter().map(|result| result.verdict));
    if of_objectives == Some(Verdict::Fail) {
        return (Verdict::Fail, reasons);
    }
    // Without objectives a run is judged by what it promises: its rate, its clock, and every message.
    let lost = load.lost.unwrap_or(0);
    if of_objectives.is_none() && has_data && lost > doubts.n_unattributed {
        reasons.push(loss_of(lost));
        return (Verdict::Fail, reasons);
    }
    let has_doubt = !doubts.for_objectives.is_empty()
        || doubts.is_refused
        || doubts.is_connection_lost
        || doubts.n_in_doubt > 0
        || doubts.is_short;
    let is_cut_short = ended != Ended::Completed;
    if !has_data
        || of_objectives == Some(Verdict::Inconclusive)
        || (of_objectives.is_none() && has_doubt)
        || is_cut_short
    {
        if ended == Ended::Interrupted {
            reasons.push("the run was interrupted".to_owned());
        }
        // What is in doubt is also what may explain that nothing arrived.
        if reasons.is_empty() || !has_data {
            reasons.extend(doubts.sentences.iter().cloned());
        }
        return (Verdict::Inconclusive, reasons);
    }
    (Verdict::Pass, Vec::new())
}

/// Why an objective is not met, for the sentence of the verdict.
fn reason_of(result: &SloResult) -> String {
    let expr = &result.expr;
    match (&result.why, result.observed_text()) {
        (Some(why), _) => format!("{expr}: {why}"),
        (None, Some(observed)) => format!("{expr} was missed, it was {observed}"),
        (None, None) => format!("{expr} was missed"),
    }
}

/// How many messages were lost, as a sentence.
pub(super) fn loss_of(lost: u64) -> String {
    let what = if lost == 1 {
        "message was"
    } else {
        "messages were"
    };
    format!("{} {what} lost", format_count(lost))
}

/// How many messages are in doubt, as a sentence.
pub(super) fn in_doubt_of(n_messages: u64) -> String {
    let what = if n_messages == 1 {
        "message is"
    } else {
        "messages are"
    };
    format!(
        "{} {what} in doubt: sent, but the broker never acknowledged having got so far",
        format_count(n_messages)
    )
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
        verdict: judgement.verdict,
        observed_ns,
        observed,
        why: judgement.why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::slo::Doubt;

    fn load(received: u64, lost: u64) -> Load {
        Load {
            sent: Some(received + lost),
            expected: Some(received + lost),
            received,
            lost: Some(lost),
            ..Load::default()
        }
    }

    fn objective(expr: &str, verdict: Verdict) -> SloResult {
        SloResult {
            expr: expr.to_owned(),
            verdict,
            observed_ns: (verdict != Verdict::Inconclusive).then_some(3_000_000),
            observed: None,
            why: (verdict == Verdict::Inconclusive).then(|| "there were no samples".to_owned()),
        }
    }

    fn late() -> Doubts {
        Doubts {
            sentences: vec!["the generator was late".to_owned()],
            for_objectives: vec![Doubt::GeneratorLate {
                lateness_ns: 2,
                limit_ns: 1,
            }],
            ..Doubts::default()
        }
    }

    fn completed(slo: &[SloResult], load: &Load, doubts: &Doubts) -> (Verdict, Vec<String>) {
        overall(slo, load, doubts, Ended::Completed)
    }

    #[test]
    fn a_run_that_lost_nothing_passes_without_objectives() {
        let verdict = completed(&[], &load(100, 0), &Doubts::default());
        assert_eq!(verdict, (Verdict::Pass, vec![]));
    }

    #[test]
    fn a_loss_fails_a_run_without_objectives_even_when_it_is_in_doubt() {
        let (verdict, reasons) = completed(&[], &load(99, 1), &late());
        assert_eq!(verdict, Verdict::Fail);
        assert_eq!(reasons, ["1 message was lost"]);
        let (_, reasons) = completed(&[], &load(98, 2_000), &Doubts::default());
        assert_eq!(reasons, ["2,000 messages were lost"]);
    }

    #[test]
    fn a_loss_that_may_have_arrived_unattributed_fails_nothing() {
        let unsure = Doubts {
            n_unattributed: 5,
            for_objectives: vec![Doubt::CountsInexact { n_arrivals: 5 }],
            ..Doubts::default()
        };
        assert_eq!(
            completed(&[], &load(95, 5), &unsure).0,
            Verdict::Inconclusive
        );
        assert_eq!(completed(&[], &load(94, 6), &unsure).0, Verdict::Fail);
    }

    #[test]
    fn objectives_decide_when_there_are_any() {
        let met = objective("p99<5ms", Verdict::Pass);
        let missed = objective("p99<2ms", Verdict::Fail);
        let open = objective("p99.9<9ms", Verdict::Inconclusive);
        let run = load(100, 0);
        let doubts = Doubts::default();
        let (verdict, _) = completed(std::slice::from_ref(&met), &run, &doubts);
        assert_eq!(verdict, Verdict::Pass);
        let (verdict, reasons) = completed(&[met.clone(), open.clone()], &run, &doubts);
        assert_eq!(verdict, Verdict::Inconclusive);
        assert_eq!(reasons, ["p99.9<9ms: there were no samples"]);
        // A clear fail stays one, whatever else is open.
        let (verdict, reasons) = completed(&[open, missed, met], &run, &late());
        assert_eq!(verdict, Verdict::Fail);
        assert!(reasons.contains(&"p99<2ms was missed, it was 3.00 ms".to_owned()));
    }

    #[test]
    fn a_doubt_that_no_objective_rests_on_does_not_spoil_a_pass() {
        let met = objective("lost==0", Verdict::Pass);
        let verdict = completed(&[met], &load(100, 0), &late());
        assert_eq!(verdict, (Verdict::Pass, vec![]));
    }

    #[test]
    fn a_doubt_leaves_a_run_without_objectives_open() {
        let refused = Doubts {
            sentences: vec!["the broker answered 3 times with an error".to_owned()],
            is_refused: true,
            ..Doubts::default()
        };
        let short = Doubts {
            sentences: vec!["9 of 10 planned rounds were sent".to_owned()],
            is_short: true,
            ..Doubts::default()
        };
        for doubts in [late(), refused, short] {
            let (verdict, reasons) = completed(&[], &load(100, 0), &doubts);
            assert_eq!(verdict, Verdict::Inconclusive);
            assert_eq!(reasons, doubts.sentences);
        }
    }

    #[test]
    fn without_data_nothing_passes_and_it_is_said_once() {
        let doubts = Doubts::default();
        let open = objective("p99<5ms", Verdict::Inconclusive);
        for slo in [vec![], vec![open.clone(), open]] {
            let (verdict, reasons) = completed(&slo, &load(0, 100), &doubts);
            assert_eq!(verdict, Verdict::Inconclusive);
            assert_eq!(reasons, ["no message arrived"]);
        }
        // Not even an objective that was somehow met makes a pass of it.
        let met = objective("rate>=99%", Verdict::Pass);
        assert_eq!(
            completed(&[met], &load(0, 0), &doubts).0,
            Verdict::Inconclusive
        );
    }

    #[test]
    fn without_data_what_is_in_doubt_may_be_the_reason() {
        let refused = Doubts {
            sentences: vec!["the broker answered 3 times with an error".to_owned()],
            is_refused: true,
            ..Doubts::default()
        };
        let (_, reasons) = completed(&[], &load(0, 100), &refused);
        assert_eq!(
            reasons,
            [
                "no message arrived",
                "the broker answered 3 times with an error"
            ]
        );
    }

    #[test]
    fn an_interruption_is_always_a_reason() {
        let of = |doubts: &Doubts| overall(&[], &load(9, 0), doubts, Ended::Interrupted).1;
        assert_eq!(of(&Doubts::default()), ["the run was interrupted"]);
        assert_eq!(of(&late()), ["the run was interrupted"]);
    }

    #[test]
    fn a_run_that_was_cut_short_passes_nothing_but_may_have_failed() {
        let met = objective("p99<5ms", Verdict::Pass);
        let missed = objective("p99<1ms", Verdict::Fail);
        let doubts = Doubts::default();
        for cut in [Ended::Interrupted, Ended::ConnectionLost] {
            let of = |slo: &[SloResult]| overall(slo, &load(100, 0), &doubts, cut);
            assert_eq!(of(&[]).0, Verdict::Inconclusive);
            assert_eq!(of(std::slice::from_ref(&met)).0, Verdict::Inconclusive);
            assert_eq!(of(std::slice::from_ref(&missed)).0, Verdict::Fail);
        }
    }

    #[test]
    fn every_verdict_but_a_pass_has_a_reason() {
        let slo = [Verdict::Pass, Verdict::Fail, Verdict::Inconclusive]
            .map(|verdict| objective("p99<5ms", verdict));
        for (received, lost) in [(0, 0), (0, 9), (9, 0), (9, 9)] {
            for n_objectives in 0..=slo.len() {
                for doubts in [Doubts::default(), late()] {
                    for ended in [Ended::Completed, Ended::Interrupted] {
                        let (verdict, reasons) =
                            overall(&slo[..n_objectives], &load(received, lost), &doubts, ended);
                        assert_eq!(verdict == Verdict::Pass, reasons.is_empty());
                    }
                }
            }
        }
    }

    #[test]
    fn an_interruption_weighs_more_than_the_connection_it_may_have_cost() {
        assert_eq!(ended(true, true), Ended::Interrupted);
        assert_eq!(ended(false, true), Ended::ConnectionLost);
        assert_eq!(ended(false, false), Ended::Completed);
    }
}
