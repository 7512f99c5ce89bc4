//! Tests of objectives: what may be written, where a fault is pointed at, and what each observation is worth.

use proptest::prelude::*;

use super::*;
use crate::measure::histogram::LatencyHistogram;

fn objective(text: &str) -> Objective {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn parts(text: &str) -> (Metric, Comparison, Limit) {
    let objective = objective(text);
    (
        objective.metric(),
        objective.comparison(),
        objective.limit(),
    )
}

fn fault(text: &str) -> SloError {
    text.parse::<Objective>()
        .expect_err(&format!("`{text}` should not parse"))
}

/// The text that the caret points at, and where it starts.
fn pointed_at(text: &str) -> (usize, &str) {
    let span = fault(text).span();
    (span.start, &text[span])
}

/// `n` samples from `from_ns` up, a microsecond apart.
fn samples(n: u64, from_ns: i64) -> LatencyHistogram {
    let mut histogram = LatencyHistogram::new();
    for idx in 0..n {
        histogram.record(from_ns + i64::try_from(idx).unwrap() * 1_000);
    }
    histogram
}

/// A run of 1,000 messages without a fault, whose latencies are those given.
fn clean_run(latencies: &LatencyHistogram) -> Observations<'_> {
    Observations {
        response: Some(latencies),
        service: Some(latencies),
        lateness: Some(latencies),
        planned: Some(1_000),
        sent: Some(1_000),
        expected: Some(1_000),
        received: Some(1_000),
        lost: Some(0),
        in_doubt: 0,
        duplicated: Some(0),
        reordered: Some(0),
        undecodable: Some(0),
        rate_ratio: Some(1.0),
        doubts: Vec::new(),
    }
}

fn verdict(text: &str, seen: &Observations<'_>) -> Verdict {
    objective(text).evaluate(seen).verdict
}

/// The verdicts on several objectives, in their order.
fn verdicts<const N: usize>(texts: [&str; N], seen: &Observations<'_>) -> [Verdict; N] {
    texts.map(|text| verdict(text, seen))
}

const LATE: Doubt = Doubt::GeneratorLate {
    lateness_ns: 9_000_000,
    limit_ns: 1_000_000,
};
const STEPPED: Doubt = Doubt::ClockStepped {
    step_ns: -7_000_000,
};

/// One objective of every metric, each of which a run without a fault meets.
const ALL_MET: [&str; 16] = [
    "p99<9s",
    "p50<1s",
    "p90<=1s",
    "min>=0ns",
    "max<1s",
    "mean<1s",
    "response.p99<1s",
    "service.p50<=1s",
    "lateness.p99<1s",
    "response.max<1s",
    "lost==0",
    "lost_ratio<0.01%",
    "duplicated==0",
    "reordered==0",
    "undecodable==0",
    "rate>=99%",
];

#[test]
fn every_metric_of_the_contract_is_read() {
    use LatencyKind::{Lateness, Response, Service};
    use LatencyPoint::{Max, Mean, Min, Percentile};
    for (text, metric, limit) in [
        (
            "p99<2ms",
            Metric::Latency(Response, Percentile(0.99)),
            Limit::Nanos(2_000_000),
        ),
        (
            "response.p99<2ms",
            Metric::Latency(Response, Percentile(0.99)),
            Limit::Nanos(2_000_000),
        ),
        (
            "p99.99<2ms",
            Metric::Latency(Response, Percentile(0.9999)),
            Limit::Nanos(2_000_000),
        ),
        (
            "service.p99.9<2s",
            Metric::Latency(Service, Percentile(0.999)),
            Limit::Nanos(2_000_000_000),
        ),
        (
            "service.p50<500us",
            Metric::Latency(Service, Percentile(0.5)),
            Limit::Nanos(500_000),
        ),
        (
            "lateness.p99<1ms",
            Metric::Latency(Lateness, Percentile(0.99)),
            Limit::Nanos(1_000_000),
        ),
        (
            "response.max<50ms",
            Metric::Latency(Response, Max),
            Limit::Nanos(50_000_000),
        ),
        ("min<-3ns", Metric::Latency(Response, Min), Limit::Nanos(-3)),
        (
            "lateness.mean<1ns",
            Metric::Latency(Lateness, Mean),
            Limit::Nanos(1),
        ),
        ("lost<7", Metric::Lost, Limit::Count(7)),
        ("lost_ratio<0.01%", Metric::LostRatio, Limit::Ratio(0.0001)),
        ("lost_ratio<0.0001", Metric::LostRatio, Limit::Ratio(0.0001)),
        ("duplicated<0", Metric::Duplicated, Limit::Count(0)),
        ("reordered<0", Metric::Reordered, Limit::Count(0)),
        ("undecodable<0", Metric::Undecodable, Limit::Count(0)),
        ("rate<99%", Metric::RateRatio, Limit::Ratio(0.99)),
        ("rate<1", Metric::RateRatio, Limit::Ratio(1.0)),
    ] {
        assert_eq!(parts(text), (metric, Comparison::Less, limit), "{text}");
    }
}

#[test]
fn every_comparison_of_the_contract_is_read() {
    for (text, comparison) in [
        ("lost<1", Comparison::Less),
        ("lost<=1", Comparison::LessOrEqual),
        ("lost>1", Comparison::Greater),
        ("lost>=1", Comparison::GreaterOrEqual),
        ("lost==1", Comparison::Equal),
    ] {
        assert_eq!(parts(text), (Metric::Lost, comparison, Limit::Count(1)));
    }
}

#[test]
fn durations_are_exact_in_every_unit() {
    for (value, nanos) in [
        ("0ns", 0),
        ("17ns", 17),
        ("2.5ms", 2_500_000),
        (".5us", 500),
        ("1.000001s", 1_000_001_000),
        ("0.1us", 100),
        ("3\u{b5}s", 3_000),
        ("3\u{3bc}s", 3_000),
        ("-2ms", -2_000_000),
        ("4 ms", 4_000_000),
        ("900000000s", 900_000_000_000_000_000),
    ] {
        assert_eq!(
            parts(&format!("p50<{value}")).2,
            Limit::Nanos(nanos),
            "{value}"
        );
    }
}

#[test]
fn blanks_around_the_parts_mean_nothing() {
    let plain = parts("service.p99<=2ms");
    for text in [
        "service.p99 <= 2ms",
        "  service.p99<=2ms  ",
        "service.p99\t<=\u{a0}2ms",
    ] {
        assert_eq!(parts(text), plain, "{text}");
    }
}

#[test]
fn every_name_that_the_help_lists_is_a_metric() {
    for name in METRICS {
        let fits = ["1ms", "1", "100%"]
            .into_iter()
            .any(|value| format!("{name}<{value}").parse::<Objective>().is_ok());
        assert!(fits, "{name}");
    }
}

#[test]
fn a_fault_points_at_the_bytes_that_are_wrong() {
    for (text, at, wrong) in [
        ("", 0, ""),
        ("p99", 0, "p99"),
        ("  p99 2ms ", 2, "p99 2ms"),
        ("p99=2ms", 3, "="),
        ("p99 != 2ms", 4, "!="),
        ("p99<>2ms", 3, "<>"),
        ("<2ms", 0, ""),
        ("p98.9999<", 9, ""),
        ("p99 < ", 6, ""),
        ("p99<2", 4, "2"),
        ("p99<2m", 4, "2m"),
        ("p99 < two", 6, "two"),
        ("p99<2.5ns", 4, "2.5ns"),
        ("p99<-", 4, "-"),
        ("p0<1ms", 0, "p0"),
        ("p100<1ms", 0, "p100"),
        ("service.p101<1ms", 8, "p101"),
        ("p99.999999<1ms", 0, "p99.999999"),
        ("p9.9.9<1ms", 0, "p9.9.9"),
        ("servce.p99<1ms", 0, "servce.p99"),
        ("p<1ms", 0, "p"),
        ("lost==-1", 6, "-1"),
        ("lost==1.5", 6, "1.5"),
        ("lost==99999999999999999999", 6, "99999999999999999999"),
        ("rate>=101%", 6, "101%"),
        ("rate>=fast", 6, "fast"),
        ("lost_ratio<0.01 % %", 11, "0.01 % %"),
        ("p99<9999999999s", 4, "9999999999s"),
        ("\u{fc}ber<1ms", 0, "\u{fc}ber"),
        ("p99<1\u{fc}s", 4, "1\u{fc}s"),
    ] {
        assert_eq!(pointed_at(text), (at, wrong), "`{text}`");
    }
}

#[test]
fn a_misspelled_metric_is_answered_with_the_one_that_was_meant() {
    for (text, meant) in [
        ("servce.p99<1ms", "service.p99"),
        ("losst==0", "lost"),
        ("duplicates==0", "duplicated"),
        ("latness.p99<1ms", "lateness.p99"),
    ] {
        let error = fault(text);
        let SloFault::UnknownMetric { nearest, .. } = error.fault() else {
            panic!("{error}")
        };
        assert_eq!(nearest.as_deref(), Some(meant), "{text}");
        assert!(
            error
                .to_string()
                .contains(&format!("did you mean `{meant}`?"))
        );
    }
    let SloFault::UnknownMetric { nearest, .. } = fault("zzz<1").fault().clone() else {
        panic!("zzz is no metric")
    };
    assert_eq!(nearest, None);
}

#[test]
fn a_value_of_the_wrong_kind_is_answered_with_the_right_one() {
    for (text, expected) in [
        ("p99<2", "a duration in ns, us, ms or s"),
        ("lost==0%", "a whole number of messages"),
        ("rate>=2ms", "a ratio, such as"),
    ] {
        let error = fault(text).to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_run_without_a_fault_meets_every_objective() {
    let latencies = samples(1_000, 100_000);
    for text in ALL_MET {
        assert_eq!(
            verdict(text, &clean_run(&latencies)),
            Verdict::Pass,
            "{text}"
        );
    }
}

#[test]
fn no_data_never_passes_and_never_fails() {
    let nothing = Observations::default();
    let empty = LatencyHistogram::new();
    let silent = Observations {
        expected: Some(1_000),
        received: Some(0),
        lost: Some(1_000),
        rate_ratio: None,
        ..clean_run(&empty)
    };
    for text in ALL_MET {
        assert_eq!(verdict(text, &nothing), Verdict::Inconclusive, "{text}");
        assert_eq!(verdict(text, &silent), Verdict::Inconclusive, "{text}");
        assert!(objective(text).evaluate(&nothing).why.is_some(), "{text}");
    }
    let idle = Observations {
        planned: Some(0),
        sent: Some(0),
        expected: Some(0),
        received: Some(0),
        ..clean_run(&empty)
    };
    let of_nothing = ["lost==0", "lost_ratio<1%", "rate>=99%"];
    assert_eq!(verdicts(of_nothing, &idle), [Verdict::Inconclusive; 3]);
}

#[test]
fn a_latency_is_compared_as_it_was_measured() {
    let latencies = samples(1_000, 1_000_000);
    let seen = clean_run(&latencies);
    let max_ns = latencies.max_ns().unwrap();
    assert_eq!(verdict(&format!("max<={max_ns}ns"), &seen), Verdict::Pass);
    assert_eq!(verdict(&format!("max<{max_ns}ns"), &seen), Verdict::Fail);
    assert_eq!(verdict(&format!("max=={max_ns}ns"), &seen), Verdict::Pass);
    assert_eq!(verdict(&format!("max>{max_ns}ns"), &seen), Verdict::Fail);
    assert_eq!(
        objective("p50<1s").evaluate(&seen).observed,
        Observed::Nanos(latencies.percentile_ns(0.5).unwrap())
    );
}

#[test]
fn each_kind_of_latency_is_judged_by_its_own_histogram() {
    let (fast, slow) = (samples(1_000, 1_000), samples(1_000, 1_000_000_000));
    for (kind, seen) in [
        (
            "response",
            Observations {
                response: Some(&slow),
                ..clean_run(&fast)
            },
        ),
        (
            "service",
            Observations {
                service: Some(&slow),
                ..clean_run(&fast)
            },
        ),
        (
            "lateness",
            Observations {
                lateness: Some(&slow),
                ..clean_run(&fast)
            },
        ),
    ] {
        for other in ["response", "service", "lateness"] {
            let expected = if other == kind {
                Verdict::Fail
            } else {
                Verdict::Pass
            };
            assert_eq!(
                verdict(&format!("{other}.p99<1s"), &seen),
                expected,
                "{kind} {other}"
            );
        }
    }
}

#[test]
fn a_percentile_without_enough_samples_settles_nothing_and_says_how_many_it_needs() {
    let few = samples(999, 1_000);
    let seen = clean_run(&few);
    for text in ["p99<9s", "p99<1ns"] {
        let judgement = objective(text).evaluate(&seen);
        assert_eq!(judgement.verdict, Verdict::Inconclusive);
        assert_eq!(judgement.observed, Observed::None);
        assert_eq!(
            judgement.why.as_deref(),
            Some("there were 999 samples, this percentile needs 1,000")
        );
    }
    // What needs no tail is settled all the same.
    assert_eq!(
        verdicts(["p90<9s", "max<1ns", "mean<9s", "min<1ns"], &seen),
        [Verdict::Pass, Verdict::Fail, Verdict::Pass, Verdict::Fail]
    );
}

#[test]
fn a_late_generator_leaves_response_and_service_open_but_not_what_it_was_late_by() {
    let latencies = samples(1_000, 1_000_000);
    let seen = Observations {
        doubts: vec![LATE],
        ..clean_run(&latencies)
    };
    for text in ["p99<9s", "p99<1ns", "service.p99<9s", "service.max<1ns"] {
        let judgement = objective(text).evaluate(&seen);
        assert_eq!(judgement.verdict, Verdict::Inconclusive, "{text}");
        assert!(judgement.why.unwrap().contains("the generator was late"));
        // The number itself is still reported.
        assert!(matches!(judgement.observed, Observed::Nanos(_)), "{text}");
    }
    assert_eq!(
        verdicts(["lateness.p99<1ns", "lateness.p99<9s"], &seen),
        [Verdict::Fail, Verdict::Pass]
    );
}

#[test]
fn a_clock_step_leaves_every_latency_open() {
    let latencies = samples(1_000, 1_000_000);
    let seen = Observations {
        doubts: vec![STEPPED],
        ..clean_run(&latencies)
    };
    for text in ["p99<9s", "service.p99<1ns", "lateness.max<9s"] {
        let judgement = objective(text).evaluate(&seen);
        assert_eq!(judgement.verdict, Verdict::Inconclusive, "{text}");
        assert!(
            judgement
                .why
                .unwrap()
                .contains("the wall clock stepped by -7.00 ms")
        );
    }
}

#[test]
fn too_few_samples_are_named_before_any_doubt() {
    let few = samples(3, 1_000);
    let seen = Observations {
        doubts: vec![LATE, STEPPED],
        ..clean_run(&few)
    };
    let why = objective("p99<1s").evaluate(&seen).why.unwrap();
    assert!(why.contains("3 samples"), "{why}");
}

#[test]
fn losses_fail_whatever_is_in_doubt_about_time() {
    let few = samples(3, 1_000);
    let seen = Observations {
        expected: Some(4),
        received: Some(3),
        lost: Some(1),
        doubts: vec![LATE, STEPPED],
        ..clean_run(&few)
    };
    assert_eq!(
        verdicts(
            [
                "lost==0",
                "lost_ratio<1%",
                "lost<=1",
                "lost_ratio<=25%",
                "rate>=99%"
            ],
            &seen
        ),
        [
            Verdict::Fail,
            Verdict::Fail,
            Verdict::Pass,
            Verdict::Pass,
            Verdict::Pass
        ]
    );
}

#[test]
fn messages_in_doubt_settle_only_what_losing_them_would_not_change() {
    let latencies = samples(1_000, 1_000_000);
    let seen = Observations {
        received: Some(990),
        lost: Some(4),
        in_doubt: 6,
        ..clean_run(&latencies)
    };
    let texts = ["lost<=10", "lost<=9", "lost<4", "lost==4", "lost_ratio<=1%"];
    let expected = [
        Verdict::Pass,
        Verdict::Inconclusive,
        Verdict::Fail,
        Verdict::Inconclusive,
        Verdict::Pass,
    ];
    assert_eq!(verdicts(texts, &seen), expected);
    let why = objective("lost<=9").evaluate(&seen).why.unwrap();
    assert!(why.starts_with("6 messages are in doubt"), "{why}");
}

#[test]
fn an_unknown_tail_settles_only_what_more_losses_could_not_change() {
    let latencies = samples(1_000, 1_000);
    let open = |lost| Observations {
        expected: None,
        lost: Some(lost),
        ..clean_run(&latencies)
    };
    // Nothing known to be lost: the tail may hold losses.
    for text in ["lost==0", "lost<5", "lost<=0", "lost_ratio<1%"] {
        let judgement = objective(text).evaluate(&open(0));
        assert_eq!(judgement.verdict, Verdict::Inconclusive, "{text}");
        assert!(judgement.why.unwrap().contains("did not announce its end"));
    }
    // Five are known to be lost: it can only get worse.
    assert_eq!(
        verdicts(
            ["lost==0", "lost<5", "lost<=4", "lost>=5", "lost>4"],
            &open(5)
        ),
        [
            Verdict::Fail,
            Verdict::Fail,
            Verdict::Fail,
            Verdict::Pass,
            Verdict::Pass
        ]
    );
    assert_eq!(
        verdicts(["lost==5", "lost<6", "lost>5"], &open(5)),
        [Verdict::Inconclusive; 3]
    );
    // An unknown tail says nothing about what arrived.
    assert_eq!(verdict("duplicated==0", &open(5)), Verdict::Pass);
}

#[test]
fn counts_that_are_not_exact_settle_only_what_they_could_not_change() {
    let latencies = samples(1_000, 1_000);
    let seen = Observations {
        lost: Some(10),
        duplicated: Some(2),
        reordered: Some(1),
        doubts: vec![Doubt::CountsInexact { n_arrivals: 3 }],
        ..clean_run(&latencies)
    };
    // Between 7 and 10 were lost, between 2 and 5 duplicated, between 1 and 4 reordered.
    assert_eq!(
        verdicts(
            [
                "lost==0",
                "lost<=10",
                "lost_ratio<0.1%",
                "duplicated==0",
                "duplicated<=5",
                "reordered<5"
            ],
            &seen
        ),
        [
            Verdict::Fail,
            Verdict::Pass,
            Verdict::Fail,
            Verdict::Fail,
            Verdict::Pass,
            Verdict::Pass
        ]
    );
    for text in [
        "lost<=8",
        "lost==8",
        "lost==10",
        "lost_ratio<=0.8%",
        "duplicated==2",
        "reordered<=1",
    ] {
        let judgement = objective(text).evaluate(&seen);
        assert_eq!(judgement.verdict, Verdict::Inconclusive, "{text}");
        assert!(
            judgement
                .why
                .unwrap()
                .contains("3 arrivals could not be attributed")
        );
    }
    assert_eq!(
        verdicts(["p99<1s", "undecodable==0", "rate>=99%"], &seen),
        [Verdict::Pass; 3]
    );
}

#[test]
fn the_rate_is_what_was_sent_against_what_was_planned() {
    let latencies = samples(1_000, 1_000);
    let at = |ratio| Observations {
        rate_ratio: Some(ratio),
        ..clean_run(&latencies)
    };
    assert_eq!(verdict("rate>=99%", &at(0.99)), Verdict::Pass);
    assert_eq!(verdict("rate>=99%", &at(0.989)), Verdict::Fail);
    assert_eq!(verdict("rate>=99%", &at(f64::NAN)), Verdict::Inconclusive);
    assert_eq!(
        objective("rate>=99%").evaluate(&at(0.5)).observed,
        Observed::Ratio(0.5)
    );
}

#[test]
fn the_worst_verdict_is_the_verdict_of_all() {
    use Verdict::{Fail, Inconclusive, Pass};
    for (all, overall) in [
        (vec![], None),
        (vec![Pass, Pass], Some(Pass)),
        (vec![Pass, Inconclusive], Some(Inconclusive)),
        (vec![Inconclusive, Fail, Pass], Some(Fail)),
    ] {
        assert_eq!(Verdict::overall(all), overall);
    }
}

fn any_objective() -> impl Strategy<Value = String> {
    let operator = prop::sample::select(vec!["<", "<=", ">", ">=", "=="]);
    let blank = prop::sample::select(vec!["", " ", "  ", "\t"]);
    let latency = (
        prop::sample::select(vec!["", "response.", "service.", "lateness."]),
        prop_oneof![
            Just("min".to_owned()),
            Just("max".to_owned()),
            Just("mean".to_owned()),
            "p[1-9][0-9](\\.[0-9]{1,5})?"
        ],
    )
        .prop_map(|(kind, point)| format!("{kind}{point}"));
    let metric_and_value = prop_oneof![
        (latency, "[0-9]{1,6}(\\.[0-9]{1,3})?(us|ms|s)|[0-9]{1,9}ns")
            .prop_map(|(metric, value)| (metric, value)),
        (
            prop::sample::select(vec!["lost", "duplicated", "reordered", "undecodable"]),
            "[0-9]{1,18}"
        )
            .prop_map(|(metric, value)| (metric.to_owned(), value)),
        (
            prop::sample::select(vec!["lost_ratio", "rate"]),
            "(0?\\.[0-9]{1,9}|[0-9]{1,2}(\\.[0-9]{1,4})?%)"
        )
            .prop_map(|(metric, value)| (metric.to_owned(), value)),
    ];
    (metric_and_value, operator, blank.clone(), blank).prop_map(
        |((metric, value), operator, left, right)| {
            format!("{metric}{left}{operator}{right}{value}")
        },
    )
}

proptest! {
    #[test]
    fn an_objective_is_shown_as_it_was_typed_and_reads_back_the_same(text in any_objective()) {
        let parsed: Objective = text.parse().unwrap();
        prop_assert_eq!(parsed.to_string(), text.clone());
        prop_assert_eq!(text.parse::<Objective>().unwrap(), parsed);
    }

    #[test]
    fn any_text_is_read_without_panic_and_a_fault_lies_within_it(
        text in "\\PC{0,24}|[a-z0-9.µ<>=!~% ]{0,24}|(p[0-9.]{0,6}|lost|rate|s[\u{e9}a])[<>=~! ]{0,3}[0-9.µu%sm-]{0,24}",
    ) {
        if let Err(error) = text.parse::<Objective>() {
            prop_assert_eq!(error.input(), text.as_str());
            prop_assert!(text.get(error.span()).is_some(), "{:?} of `{}`", error.span(), text);
            prop_assert!(error.to_string().lines().count() <= 1 + text.lines().count());
        }
    }

    #[test]
    fn a_passing_objective_would_have_passed_with_every_doubt_less(
        text in any_objective(), lost in 0_u64..5, doubt_idx in 0_usize..3,
    ) {
        // A doubt may take a verdict back. It never turns a fail into a pass, or the other way round.
        let latencies = samples(1_000, 1_000_000);
        let sure = Observations { lost: Some(lost), ..clean_run(&latencies) };
        let doubt = [LATE, STEPPED, Doubt::CountsInexact { n_arrivals: 2 }][doubt_idx].clone();
        let unsure = Observations { doubts: vec![doubt], ..sure.clone() };
        let (before, after) = (verdict(&text, &sure), verdict(&text, &unsure));
        prop_assert!(after == before || after == Verdict::Inconclusive, "{} {} {}", text, before, after);
    }
}
