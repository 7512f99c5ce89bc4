//! Tests of the judgement over a missing INFO.

use super::*;
use crate::doctor::checks::info::listen::Said;

fn finding_of(missing: &Missing, seen: &Seen) -> Finding {
    let target: Target = "ws://h:1".parse().unwrap();
    judge(&target, None, None, missing, Duration::from_millis(1), seen)
}

fn opened(raw: &[u8], frames: Vec<Said>) -> Seen {
    Seen {
        opening: Opening {
            frames,
            raw: raw.to_vec(),
        },
        ..Seen::default()
    }
}

#[test]
fn what_another_service_says_is_shown() {
    let payload = b"{\"type\":\"hello\",\"service\":\"chat\"}".to_vec();
    let said = Said {
        opcode: opcode::TEXT,
        payload,
    };
    let seen = opened(b"\x81", vec![said]);
    let finding = finding_of(&Missing::Strange("unknown operation".into()), &seen);
    assert_eq!(finding.code, OTHER_SERVICE.name);
    assert!(finding.title.contains("speaks JSON"));
    assert!(finding.evidence[0].value.contains("\"chat\""));
}

#[test]
fn bytes_without_frames_are_told_from_frames() {
    let bare = opened(b"INFO {\"server_id\":\"N\"}\r\n", Vec::new());
    let missing = Missing::Strange("reserved bits".into());
    assert_eq!(finding_of(&missing, &bare).code, NOT_WEBSOCKET.name);
    let second = opened(b"HTTP/1.1 400 Bad Request\r\n\r\n", Vec::new());
    let finding = finding_of(&missing, &second);
    assert_eq!(finding.code, HTTP_AFTER_101.name);
    assert!(finding.title.contains("answers 400"));
    let strange = finding_of(&missing, &opened(b"\xff\xff", Vec::new()));
    assert_eq!(strange.code, BAD_INFO.name);
}

#[test]
fn each_end_has_its_own_code() {
    for (missing, code) in [
        (Missing::Closed, CLOSED.name),
        (Missing::Broken("reset".into()), RESET.name),
        (Missing::Silence, SILENT.name),
        (
            Missing::CloseFrame {
                code: 1011,
                reason: "no backend".into(),
            },
            CLOSE_FRAME.name,
        ),
        (
            Missing::CloseFrame {
                code: 1001,
                reason: "Server Shutdown".into(),
            },
            SHUTDOWN.name,
        ),
    ] {
        assert_eq!(finding_of(&missing, &Seen::default()).code, code);
    }
}

#[test]
fn a_connection_that_works_the_next_time_is_told_so() {
    let seen = Seen {
        n_infos: 3,
        n_tries: 4,
        ..Seen::default()
    };
    let finding = finding_of(&Missing::Closed, &seen);
    assert_eq!(finding.code, INTERMITTENT.name);
    assert!(finding.title.contains("3 of 4"));
}

#[test]
fn a_full_server_is_not_called_broken() {
    let finding = refused(
        "h:1",
        "maximum connections exceeded",
        ServerErrorKind::MaximumConnections,
    );
    assert!(finding.title.contains("full"));
}
