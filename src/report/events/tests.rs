//! Event lines for machines and for people.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::results::outages::{Cause, CauseKind, Role};

const MS: u64 = NANOS_PER_SEC / 1_000;
const GOING_AWAY: &str = "the server closed the WebSocket with code 1001: Server Shutdown";

fn event(at_ms: u64, role: Role, idx: usize, status: Status) -> StatusEvent {
    StatusEvent {
        at_ns: at_ms * MS,
        role,
        idx,
        status,
    }
}

fn of_subscriber(at_ms: u64, idx: usize, status: Status) -> StatusEvent {
    event(at_ms, Role::Subscriber, idx, status)
}

fn disconnected(text: &str) -> Status {
    Status::Disconnected {
        cause: Cause {
            kind: CauseKind::CloseFrame,
            close_code: Some(1001),
            text: text.to_owned(),
        },
    }
}

fn reconnecting(attempt: u64) -> Status {
    Status::Reconnecting {
        server: "ws://a:8443".to_owned(),
        attempt,
        last_error: (attempt > 1).then(|| "connection refused".to_owned()),
    }
}

fn reconnected(attempts: u64, outage_ms: u64) -> Status {
    Status::Reconnected {
        server: "ws://a:8443".to_owned(),
        attempts,
        outage_ns: outage_ms * MS,
    }
}

/// The lines of these events, asked for ten times a second.
fn told(events: &[StatusEvent], until_ms: u64) -> Vec<String> {
    let mut lines = EventLines::default();
    let mut told = Vec::new();
    let mut events = events.iter().peekable();
    for now_ms in (0..=until_ms).step_by(100) {
        while let Some(event) = events.next_if(|event| event.at_ns <= now_ms * MS) {
            lines.push(event);
        }
        told.extend(lines.due(now_ms * MS));
    }
    told.extend(lines.finish());
    told
}

#[test]
fn an_event_is_one_line_of_json_with_its_wall_time() {
    let began = WallNanos(1_705_314_600_000_000_000);
    let mut out = Vec::new();
    let lost = of_subscriber(20_410, 7, disconnected("bye\n\u{1b}[2J"));
    let closed = of_subscriber(20_500, 7, Status::Closed { reason: None });
    for event in [&lost, &closed] {
        write_json_event(&mut out, event, began).unwrap();
    }
    let text = String::from_utf8(out).unwrap();
    assert!(!text.contains('\u{1b}'));
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let expected = [
        json!({
            "at": "2024-01-15T10:30:20.410Z", "at_ns": 20_410_000_000_u64, "role": "subscriber", "idx": 7,
            "event": "disconnected",
            "cause": {"kind": "close-frame", "close_code": 1001, "text": "bye\n\u{1b}[2J"},
        }),
        json!({
            "at": "2024-01-15T10:30:20.500Z", "at_ns": 20_500_000_000_u64, "role": "subscriber", "idx": 7,
            "event": "closed",
        }),
    ];
    assert_eq!(lines, expected);
    // What was written reads back, whatever was added to it.
    assert_eq!(
        serde_json::from_value::<StatusEvent>(lines[0].clone()).unwrap(),
        lost
    );
}

#[test]
fn a_thousand_subscribers_that_lose_their_broker_are_three_lines() {
    let mut events: Vec<StatusEvent> = (0..1_000)
        .map(|idx| of_subscriber(20_410 + idx as u64 / 10, idx, disconnected(GOING_AWAY)))
        .collect();
    events.push(event(20_511, Role::Publisher, 0, disconnected(GOING_AWAY)));
    for attempt in 1..=2 {
        let at_ms = 20_450 + 1_000 * (attempt - 1);
        events.extend(
            (0..1_000)
                .map(|idx| of_subscriber(at_ms + idx as u64 / 10, idx, reconnecting(attempt))),
        );
    }
    events.extend((0..1_000).map(|idx| {
        of_subscriber(
            21_720 + idx as u64 / 10,
            idx,
            reconnected(2, 1_310 + idx as u64 / 10),
        )
    }));
    events.push(event(21_830, Role::Publisher, 0, reconnected(1, 1_319)));
    events.sort_by_key(|event| event.at_ns);
    assert_eq!(
        told(&events, 30_000),
        [
            "20.41 s  publisher 0 and subscribers 0-999 disconnected: the server closed the WebSocket with code 1001: \
             Server Shutdown",
            "20.45 s  reconnecting: subscribers 0-999 to ws://a:8443, attempt 1",
            "21.72 s  reconnected: publisher 0 and subscribers 0-999 to ws://a:8443 after 1 to 2 attempts, 1.31 s to \
             1.41 s",
        ]
    );
}

#[test]
fn attempts_are_thinned_out_until_the_connections_are_back() {
    let mut events = vec![
        of_subscriber(1_000, 0, disconnected("it was reset")),
        of_subscriber(1_000, 1, disconnected("it was reset")),
    ];
    for second in 0..12 {
        let attempt = second + 1;
        events.push(of_subscriber(
            2_000 + second * 1_000,
            0,
            reconnecting(attempt),
        ));
        if second < 7 {
            events.push(of_subscriber(
                2_001 + second * 1_000,
                1,
                reconnecting(attempt),
            ));
        }
    }
    events.insert(
        16,
        of_subscriber(
            8_900,
            1,
            Status::Closed {
                reason: Some("no more than 7 attempts".to_owned()),
            },
        ),
    );
    events.sort_by_key(|event| event.at_ns);
    events.push(of_subscriber(13_500, 0, reconnected(12, 12_500)));
    // The next outage begins with a line again.
    events.push(of_subscriber(14_000, 0, disconnected("it was reset")));
    events.push(of_subscriber(14_010, 0, reconnecting(1)));
    assert_eq!(
        told(&events, 15_000),
        [
            "1.00 s  subscribers 0-1 disconnected: it was reset",
            "2.00 s  reconnecting: subscribers 0-1 to ws://a:8443, attempt 1",
            "7.00 s  still reconnecting: subscribers 0-1, 9 more attempts, the last error: connection refused",
            "8.90 s  gave up: subscriber 1: no more than 7 attempts",
            "12.00 s  still reconnecting: subscriber 0, 5 more attempts, the last error: connection refused",
            "13.50 s  reconnected: subscriber 0 to ws://a:8443 after 12 attempts, 12.5 s",
            "14.00 s  subscriber 0 disconnected: it was reset",
            "14.01 s  reconnecting: subscriber 0 to ws://a:8443, attempt 1",
        ]
    );
}

#[test]
fn connections_that_open_drain_and_close_are_no_news() {
    let server = || "ws://a:8443".to_owned();
    let mut events = Vec::new();
    for idx in 0..2 {
        events.push(of_subscriber(
            5,
            idx,
            Status::Connected { server: server() },
        ));
    }
    events.push(of_subscriber(
        9_000,
        0,
        Status::LameDuck { server: server() },
    ));
    events.push(of_subscriber(
        9_001,
        1,
        Status::LameDuck { server: server() },
    ));
    for idx in 0..2 {
        events.push(of_subscriber(10_000, idx, Status::Draining));
    }
    for idx in 0..2 {
        events.push(of_subscriber(10_010, idx, Status::Closed { reason: None }));
    }
    assert_eq!(
        told(&events, 10_100),
        ["9.00 s  lame duck: ws://a:8443 says that it is about to shut down (subscribers 0-1)",]
    );
}

#[test]
fn different_causes_are_different_lines_up_to_a_limit() {
    let events: Vec<StatusEvent> = (0..1_000)
        .map(|idx| of_subscriber(1_000, idx, disconnected(&format!("bye, 10.0.0.1:{idx}"))))
        .collect();
    let lines = told(&events, 2_000);
    assert_eq!(lines.len(), MAX_TOLD_APART + 1);
    assert_eq!(
        lines[0],
        "1.00 s  subscriber 0 disconnected: bye, 10.0.0.1:0"
    );
    assert_eq!(lines[4], "1.00 s  subscribers 4-999 disconnected: (others)");
}

#[test]
fn what_a_server_says_cannot_drive_the_terminal() {
    let events = [
        of_subscriber(1_000, 0, disconnected("\u{1b}[2J\n\u{202e}")),
        of_subscriber(
            1_000,
            0,
            Status::LameDuck {
                server: "ws://\u{1b}".to_owned(),
            },
        ),
    ];
    for line in told(&events, 2_000) {
        assert!(!line.contains(['\u{1b}', '\n', '\u{202e}']), "{line:?}");
    }
}

#[test]
fn a_line_waits_until_the_moment_is_over_and_no_longer() {
    let mut lines = EventLines::default();
    lines.push(&of_subscriber(1_000, 0, disconnected("bye")));
    assert!(lines.due(1_249 * MS).is_empty());
    lines.push(&of_subscriber(1_249, 1, disconnected("bye")));
    assert_eq!(
        lines.due(1_250 * MS),
        ["1.00 s  subscribers 0-1 disconnected: bye"]
    );
    lines.push(&of_subscriber(1_251, 2, disconnected("bye")));
    assert_eq!(lines.finish(), ["1.25 s  subscriber 2 disconnected: bye"]);
    assert!(lines.finish().is_empty());
}

proptest! {
    #[test]
    fn every_disconnection_is_told_once(moments in proptest::collection::vec(0_u64..3_000, 1..60)) {
        let mut moments = moments;
        moments.sort_unstable();
        let events: Vec<StatusEvent> = moments
            .iter()
            .enumerate()
            .map(|(idx, at_ms)| of_subscriber(*at_ms, idx, disconnected("bye")))
            .collect();
        let mut n_told = 0;
        for line in told(&events, 4_000) {
            let who = line.split("subscriber").nth(1).unwrap().split(" disconnected").next().unwrap();
            for range in who.trim_start_matches('s').trim().split(", ") {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                n_told += last.parse::<usize>().unwrap() - first.parse::<usize>().unwrap() + 1;
            }
        }
        prop_assert_eq!(n_told, events.len());
    }
}
