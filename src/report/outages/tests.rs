//! Outages in words.

use proptest::prelude::*;

use super::super::incidents::tests::{any_outage, outage};
use super::*;
use crate::results::fixtures;
use crate::results::outages::{Cause, CauseKind, FailedAttempt};

const MS: u64 = 1_000_000;

fn cause(text: &str) -> Cause {
    Cause {
        kind: CauseKind::Reset,
        close_code: None,
        text: text.to_owned(),
    }
}

fn told_of(outages: Vec<Outage>) -> Outages {
    let mut result = fixtures::pass();
    result.n_outages = outages.len() as u64;
    result.outages = outages;
    told(&result)
}

fn only(outages: Vec<Outage>) -> Told {
    let mut told = told_of(outages);
    assert_eq!(told.shown.len(), 1, "{told:?}");
    assert_eq!(told.rest, None);
    told.shown.remove(0)
}

#[test]
fn lengths_that_differ_are_a_range() {
    let told = only(vec![
        outage(0, 1_000, Some(900)),
        outage(1, 1_010, Some(1_390)),
    ]);
    assert_eq!(
        (told.at.as_str(), told.length.as_str()),
        ("1.00 s", "for 1.40 s")
    );
    assert_eq!(told.who, "2 subscribers, each for 900 ms to 1.39 s");
    let told = only(vec![
        outage(0, 1_000, Some(1_390)),
        outage(1, 1_010, Some(1_400)),
    ]);
    assert_eq!(told.who, "2 subscribers");
    // A connection that is lost again and again.
    let told = only(vec![
        outage(3, 1_000, Some(100)),
        outage(3, 1_200, Some(100)),
    ]);
    assert_eq!(told.who, "subscriber 3, lost 2 times");
}

#[test]
fn causes_that_differ_are_counted() {
    let with = |idx: usize, text: &str| Outage {
        cause: cause(text),
        ..outage(idx, 1_000, Some(100))
    };
    let texts = ["a", "b", "b", "c", "d", "e"];
    let outages = texts.iter().enumerate().map(|(idx, text)| with(idx, text));
    let told = only(outages.collect());
    assert_eq!(
        told.cause,
        "2 of 6: b; 1 of 6: a; 1 of 6: c; 2 other causes"
    );
}

#[test]
fn connections_that_are_not_back_are_told_from_those_that_are() {
    let refused = FailedAttempt {
        server: "ws://a".to_owned(),
        after_ns: 0,
        duration_ns: 1,
        error: "connection refused".to_owned(),
    };
    let back = Outage {
        is_other_server: Some(false),
        first_message_ns: Some(120 * MS),
        ..outage(0, 1_000, Some(100))
    };
    let down = Outage {
        attempts: 7,
        failed: vec![refused.clone(), refused.clone()],
        ..outage(1, 1_000, None)
    };
    let given_up = Outage {
        attempts: 3,
        failed: vec![refused],
        gave_up: Some("no more than 3 attempts are allowed".to_owned()),
        ..outage(2, 1_000, None)
    };
    let told = only(vec![back.clone(), down.clone(), given_up.clone()]);
    assert_eq!(told.length, "2 of 3 not back when the run ended");
    assert_eq!(
        told.back,
        [
            "1 back after 1 attempt, on the same server process",
            "first message after 120 ms",
            "1 given up after 3 attempts (connection refused): no more than 3 attempts are allowed",
            "1 not back after 7 attempts (connection refused)",
        ]
    );
    assert_eq!(only(vec![down]).length, "not back when the run ended");
    assert_eq!(only(vec![given_up.clone()]).length, "given up");
    assert_eq!(only(vec![back, given_up]).length, "1 of 2 given up");
}

#[test]
fn another_server_is_named_where_there_are_several() {
    let at = |server: &str, is_other: bool| Outage {
        server: Some(server.to_owned()),
        is_other_server: Some(is_other),
        ..outage(0, 1_000, Some(100))
    };
    let told = only(vec![at("ws://localhost:8443/", true)]);
    assert_eq!(
        told.back,
        ["back after 1 attempt, on another server process"]
    );
    let told = only(vec![
        at("ws://other:8443", true),
        at("ws://localhost:8443", false),
    ]);
    assert_eq!(
        told.back,
        [
            "back after 1 attempt, 1 of 2 on another server process, at ws://other:8443 and ws://localhost:8443"
        ]
    );
}

#[test]
fn the_cost_is_what_is_known_of_it() {
    let cost = |lost: Option<u64>, in_doubt: Option<u64>, skipped: Option<u64>| {
        only(vec![Outage {
            lost,
            in_doubt,
            skipped,
            ..outage(0, 1_000, Some(100))
        }])
        .cost
    };
    assert_eq!(
        cost(Some(1_200), Some(1), Some(7)),
        "1,200 lost, 1 in doubt, 7 skipped"
    );
    assert_eq!(cost(Some(0), Some(2), Some(0)), "none lost, 2 in doubt");
    assert_eq!(cost(None, Some(2), Some(3)), "2 in doubt, 3 skipped");
    assert_eq!(cost(Some(0), Some(0), None), "nothing lost");
    assert_eq!(cost(None, Some(0), None), "nothing in doubt");
    assert_eq!(cost(None, None, None), "");
}

#[test]
fn those_who_received_know_better_what_is_in_doubt_than_who_sent() {
    let publisher = Outage {
        role: Role::Publisher,
        in_doubt: Some(9),
        ..outage(0, 1_000, Some(100))
    };
    let subscriber = Outage {
        in_doubt: Some(2),
        ..outage(0, 1_000, Some(100))
    };
    let both = vec![publisher.clone(), subscriber];
    assert_eq!(only(both).cost, "2 in doubt");
    // The publisher alone knows no more than what it had handed over.
    let mut result = fixtures::pass();
    result.outages = vec![publisher];
    let mut cost = |command: &str, in_doubt: Option<u64>| {
        result.command = command.to_owned();
        result.load.in_doubt = in_doubt;
        told(&result).shown.remove(0).cost
    };
    assert_eq!(cost("pub", Some(9)), "9 in doubt");
    assert_eq!(cost("latency", None), "up to 9 in doubt");
    assert_eq!(cost("latency", Some(4)), "up to 4 in doubt");
    assert_eq!(cost("latency", Some(0)), "nothing in doubt");
}

#[test]
fn what_goes_beyond_the_limits_is_counted() {
    let outages: Vec<Outage> = (0..9)
        .map(|hit| outage(0, hit * 10_000, Some(100 * (hit + 1))))
        .collect();
    let told = told_of(outages.clone());
    assert_eq!(told.shown.len(), MAX_SHOWN);
    assert_eq!(
        told.rest.as_deref(),
        Some("and 3 more, see -o json: 9 in all for 4.50 s, the longest 900 ms at 1m20.00s")
    );
    let mut result = fixtures::pass();
    result.outages = outages[..1].to_vec();
    result.n_outages = 1_001;
    let rest = super::told(&result).rest;
    assert_eq!(
        rest.as_deref(),
        Some("1,000 outages of connections were too many to keep")
    );
}

#[test]
fn losses_are_explained_by_outages_when_all_of_them_fall_into_one() {
    let mut result = fixtures::restarted();
    assert!(explain_all_losses(&result));
    result.load.lost = Some(9);
    assert!(!explain_all_losses(&result));
    result.load.lost = None;
    assert!(!explain_all_losses(&result));
    assert!(!explain_all_losses(&fixtures::fail()));
}

proptest! {
    #[test]
    fn whatever_happened_can_be_told(outages in proptest::collection::vec(any_outage(), 0..40)) {
        let n_outages = outages.len();
        let told = told_of(outages);
        prop_assert_eq!(told.shown.is_empty(), n_outages == 0);
    }
}
