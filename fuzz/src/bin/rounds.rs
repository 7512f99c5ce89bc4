//! The readers of payloads: the stamp by its place and by parsing, the round, and the end of a run. They agree on what is
//! an object, and a stamp survives being written and encoded anew.
#![no_main]

use libfuzzer_sys::fuzz_target;
use natsbench::measure::end_of_run::EndOfRun;
use natsbench::measure::stamp::{Origin, PLACEHOLDER_TAIL, Stamp, TAIL_BYTES, read};
use natsbench::rounds::{Round, RoundError};
use serde_json::Value;

fuzz_target!(|payload: &[u8]| {
    let origin = read(payload);
    let value = serde_json::from_slice::<Value>(payload).ok();
    check_origin(payload, origin, value.as_ref());
    check_round(payload, origin, value.as_ref());
    if let Some(end) = EndOfRun::from_json(payload) {
        assert_eq!(EndOfRun::from_json(&end.to_json()), Some(end));
    }
});

fn check_origin(payload: &[u8], origin: Origin, value: Option<&Value>) {
    let stamp = match origin {
        Origin::Fixed(stamp) => {
            assert_eq!(Stamp::read_fixed(payload), Some(stamp));
            check_written_anew(payload, &stamp);
            stamp
        }
        Origin::Parsed(stamp) => stamp,
        Origin::TimestampOnly { intended_ms } => {
            if let Some(number) = value.and_then(|value| value["timestamp"].as_i64()) {
                assert_eq!(intended_ms, number);
            }
            return;
        }
        Origin::None => return,
        // What is skipped over need not be readable, so that there may be an object that is no `Value`; not the other way.
        Origin::Undecodable => return assert!(!value.is_some_and(Value::is_object)),
    };
    // Encoded anew, by somebody who writes the fields in another order or with blanks.
    if let Some(value) = value {
        let compact = value.to_string();
        let pretty = format!("{value:#}");
        for text in [compact, pretty] {
            let again = read(text.as_bytes());
            assert!(
                matches!(again, Origin::Fixed(again) | Origin::Parsed(again) if again == stamp),
                "{again:?}"
            );
        }
    }
}

/// A stamp that is written over the one it was read from leaves it as it was.
fn check_written_anew(payload: &[u8], stamp: &Stamp) {
    let mut copy = payload.to_vec();
    assert!(stamp.write_tail(&mut copy));
    assert_eq!(read(&copy), Origin::Fixed(*stamp));
    let digits = TAIL_BYTES - b",\"timestamp\":".len();
    let behind_timestamp = payload.len() - digits + b"1000000000000".len();
    assert_eq!(copy[behind_timestamp..], payload[behind_timestamp..]);
    let mut message = [b"{\"id\":1", &PLACEHOLDER_TAIL[..]].concat();
    assert!(stamp.write_tail(&mut message));
    assert!(serde_json::from_slice::<Value>(&message).is_ok());
}

fn check_round(payload: &[u8], origin: Origin, value: Option<&Value>) {
    match Round::from_json(payload) {
        Ok(round) => {
            // Bytes that are no UTF-8 are skipped over by both, but not where they are looked at.
            assert!(origin != Origin::Undecodable || std::str::from_utf8(payload).is_err());
            // What is not looked at may be a number that is too large, say.
            let Some(value) = value else { return };
            let text = |field: &str| value[field].as_str();
            assert!(text("game_slug").or(text("game_type")).is_some());
            assert_eq!(round.game_slug, text("game_slug").unwrap_or_default());
            assert_eq!(round.game_type, text("game_type").unwrap_or_default());
            assert_eq!(round.started_at.as_deref(), text("started_at"));
            if let Some(number) = value["round_id"].as_i64() {
                assert_eq!(round.round_id, Some(number));
            }
            // The outcome of any extras is a text.
            let _ = round.outcome();
        }
        Err(RoundError::NotARound) => {
            let is_named = |value: &Value| value["game_slug"].is_string();
            assert!(!value.is_some_and(is_named));
        }
        Err(RoundError::NotJson { reason }) => assert!(!reason.is_empty()),
    }
}
