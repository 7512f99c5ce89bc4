//! What is made of the ends of connections.

use super::*;
use crate::net::dial::Step;

const MS: u64 = 1_000_000;

/// How a connection ends, and when.
#[derive(Debug, Clone, Copy)]
enum End {
    Up,
    Fin(u64),
    Reset(u64),
    Closed(u64, u16, &'static str),
}

/// A connection; times in milliseconds since the first was opened.
fn line(kind: Kind, opened: u64, last_byte: u64, end: End) -> Line {
    let mut line = Line::new(kind, MonoNanos(opened * MS), "NA".to_owned());
    line.last_byte = MonoNanos(last_byte * MS);
    line.end = match end {
        End::Up => None,
        End::Fin(at) => Some((MonoNanos(at * MS), LineEnd::Fin)),
        End::Closed(at, code, reason) => {
            let reason = reason.to_owned();
            Some((MonoNanos(at * MS), LineEnd::Closed { code, reason }))
        }
        End::Reset(at) => Some((MonoNanos(at * MS), LineEnd::Reset)),
    };
    line
}

fn works() -> Again {
    Again::Works {
        server_id: "NA".to_owned(),
    }
}

fn verdict(lines: Vec<Line>, again: Again, now: u64) -> Verdict {
    judge(&Seen {
        lines,
        again,
        now: MonoNanos(now * MS),
    })
}

/// All three connections end at this moment.
fn all_end(at: u64, end: End) -> Vec<Line> {
    [(Kind::Idle, 0), (Kind::KeptAlive, 700), (Kind::Idle, 1_400)]
        .map(|(kind, opened)| line(kind, opened, at - 100, end))
        .to_vec()
}

#[test]
fn idle_ones_that_end_after_the_same_silence_while_one_with_traffic_lives_show_an_idle_time_out() {
    let lines = vec![
        line(Kind::Idle, 0, 2_010, End::Fin(62_050)),
        line(Kind::KeptAlive, 700, 64_400, End::Up),
        line(Kind::Idle, 1_400, 3_700, End::Fin(63_710)),
    ];
    let Verdict::IdleTimeout {
        after,
        n_agreeing,
        is_dropped,
    } = verdict(lines, works(), 64_500)
    else {
        panic!("no idle time-out");
    };
    assert_eq!(after.as_secs(), 60);
    assert_eq!((n_agreeing, is_dropped), (2, false));
}

#[test]
fn a_close_frame_without_a_reason_of_the_server_is_judged_by_the_times() {
    let lines = vec![
        line(
            Kind::Idle,
            0,
            2_010,
            End::Closed(12_050, 1001, "Going away"),
        ),
        line(Kind::KeptAlive, 700, 14_400, End::Up),
        line(
            Kind::Idle,
            1_400,
            3_700,
            End::Closed(13_710, 1001, "Going away"),
        ),
    ];
    let verdict = verdict(lines, works(), 14_500);
    assert!(
        matches!(verdict, Verdict::IdleTimeout { n_agreeing: 2, .. }),
        "{verdict:?}"
    );
}

#[test]
fn an_idle_one_that_lives_on_speaks_against_an_idle_time_out() {
    let lines = vec![
        line(Kind::Idle, 0, 2_010, End::Fin(5_050)),
        line(Kind::KeptAlive, 700, 8_400, End::Up),
        line(Kind::Idle, 1_400, 3_700, End::Up),
    ];
    assert_eq!(verdict(lines, works(), 8_500), Verdict::Cut);
}

#[test]
fn one_that_died_younger_than_all_others_are_may_have_died_of_age() {
    let lines = vec![
        line(Kind::Idle, 0, 2_010, End::Fin(5_050)),
        line(Kind::KeptAlive, 700, 5_100, End::Up),
    ];
    assert_eq!(verdict(lines, works(), 5_200), Verdict::Cut);
}

#[test]
fn silent_idle_ones_beside_one_that_answers_were_forgotten_on_the_way() {
    let mut idle = line(Kind::Idle, 0, 2_000, End::Up);
    idle.asked = Some(MonoNanos(12_000 * MS));
    idle.is_silent = true;
    let kept = line(Kind::KeptAlive, 700, 14_000, End::Up);
    let lines = vec![idle, kept];
    assert_eq!(
        verdict(lines, works(), 14_200),
        Verdict::IdleTimeout {
            after: Duration::from_secs(10),
            n_agreeing: 1,
            is_dropped: true
        }
    );
}

#[test]
fn ends_at_the_same_age_are_a_lifetime_whatever_the_traffic() {
    let lines = vec![
        line(Kind::Idle, 0, 2_010, End::Fin(3_003)),
        line(Kind::KeptAlive, 700, 3_600, End::Fin(3_702)),
        line(Kind::Idle, 1_400, 3_700, End::Fin(4_410)),
    ];
    let Verdict::Lifetime { after } = verdict(lines, works(), 4_500) else {
        panic!("no lifetime");
    };
    assert_eq!(after.as_millis() / 100, 30);
}

#[test]
fn ends_at_the_same_moment_are_told_apart_by_what_a_new_connection_meets() {
    let ends = |again| verdict(all_end(5_000, End::Fin(5_000)), again, 5_500);
    let bad_gateway = Again::Http {
        status: 502,
        reason: "Bad Gateway".to_owned(),
        server: None,
    };
    let other = Again::Works {
        server_id: "NB".to_owned(),
    };
    assert_eq!(ends(Again::Refused), Verdict::ServerDied);
    assert_eq!(ends(bad_gateway), Verdict::ServerDied);
    assert_eq!(ends(Again::Cut(String::new())), Verdict::ServerDied);
    // A load balancer that looks for a server.
    assert_eq!(ends(Again::Silent(Step::Upgrade)), Verdict::ServerDied);
    assert_eq!(ends(other), Verdict::ServerRestarted);
    assert_eq!(ends(works()), Verdict::ProxyRestarted);
    assert_eq!(
        ends(Again::NoLogin("'Authorization Violation'".to_owned())),
        Verdict::LoginRefused("'Authorization Violation'".to_owned())
    );
    assert_eq!(
        verdict(all_end(5_000, End::Reset(5_000)), Again::Refused, 5_500),
        Verdict::ServerDied
    );
}

#[test]
fn silence_on_all_connections_is_judged_by_what_a_new_one_meets() {
    let silent = |again| {
        let lines = [(Kind::Idle, 0), (Kind::KeptAlive, 700)].map(|(kind, opened)| {
            let mut line = line(kind, opened, 5_000, End::Up);
            line.asked = Some(MonoNanos(5_000 * MS));
            line.is_silent = true;
            line
        });
        verdict(lines.to_vec(), again, 9_500)
    };
    assert_eq!(silent(Again::Silent(Step::Upgrade)), Verdict::Frozen);
    assert_eq!(silent(works()), Verdict::BlackHole);
    assert_eq!(
        silent(Again::Unreachable(String::new())),
        Verdict::Unreachable
    );
}

#[test]
fn what_the_server_says_comes_before_all_else() {
    for (code, reason, said) in [
        (1001, "Server Shutdown", Said::Shutdown),
        (1011, "Kicked", Said::Kicked),
        (1000, "Client Closed", Said::ClientClosed),
        (1001, "Stale Connection", Said::Stale),
        (1008, "Authentication Expired", Said::UserExpired),
        (1008, "Credentials Revoked", Said::Revoked),
    ] {
        let lines = vec![
            line(Kind::Idle, 0, 4_900, End::Closed(5_000, code, reason)),
            line(Kind::KeptAlive, 700, 4_900, End::Fin(5_001)),
        ];
        assert_eq!(
            verdict(lines, Again::Refused, 5_300),
            Verdict::Said(said),
            "{reason}"
        );
    }
}

#[test]
fn an_error_names_the_account_or_the_user_and_lame_duck_comes_before_the_shutdown() {
    let ended = |error: &str| {
        let mut line = line(
            Kind::Idle,
            0,
            4_900,
            End::Closed(5_000, 1008, "Authentication Expired"),
        );
        line.errors.push(error.to_owned());
        verdict(vec![line], Again::Refused, 5_300)
    };
    assert_eq!(
        ended("'User Authentication Expired'"),
        Verdict::Said(Said::UserExpired)
    );
    assert_eq!(
        ended("'Account Authentication Expired'"),
        Verdict::Said(Said::AccountExpired)
    );
    assert_eq!(
        ended("'User Authentication Revoked'"),
        Verdict::Said(Said::Revoked)
    );
    let mut duck = line(
        Kind::Idle,
        0,
        4_900,
        End::Closed(5_000, 1001, "Server Shutdown"),
    );
    duck.is_lame_duck = true;
    assert_eq!(
        verdict(vec![duck], Again::Refused, 5_300),
        Verdict::Said(Said::LameDuck)
    );
}

#[test]
fn a_refused_subscription_ends_nothing() {
    let mut line = line(Kind::Subscribed, 0, 4_900, End::Fin(5_000));
    line.errors
        .push("'Permissions Violation for Subscription to \"a\"'".to_owned());
    assert_eq!(verdict(vec![line], works(), 5_300), Verdict::Cut);
}

#[test]
fn only_much_traffic_makes_a_slow_consumer() {
    let lines = |n_bytes: usize| {
        let mut busy = line(Kind::Subscribed, 2_100, 4_990, End::Fin(5_000));
        busy.count(n_bytes, MonoNanos(4_990 * MS));
        vec![
            line(Kind::Idle, 0, 2_000, End::Up),
            line(Kind::KeptAlive, 700, 7_000, End::Up),
            busy,
        ]
    };
    let slow = verdict(lines(10 << 20), works(), 7_400);
    assert!(matches!(slow, Verdict::SlowConsumer { .. }), "{slow:?}");
    let other = verdict(lines(100), works(), 7_400);
    assert!(!matches!(other, Verdict::SlowConsumer { .. }), "{other:?}");
}

#[test]
fn connections_that_stay_are_no_finding() {
    let lines = vec![
        line(Kind::Idle, 0, 2_000, End::Up),
        line(Kind::KeptAlive, 700, 7_000, End::Up),
    ];
    assert_eq!(verdict(lines, works(), 7_400), Verdict::Nothing);
}

#[test]
fn nobody_can_tell_why_a_single_connection_was_cut() {
    let lines = vec![line(Kind::Idle, 0, 2_000, End::Fin(5_000))];
    assert_eq!(verdict(lines, works(), 5_300), Verdict::Cut);
}
