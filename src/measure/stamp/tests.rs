//! Tests of the stamp: written, read back, re-encoded, damaged.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const HEAD: &str = r#"{"id":1,"game_slug":"crash","extras":{"point":"2.47"}"#;

fn any_stamp() -> impl Strategy<Value = Stamp> {
    let moment = prop_oneof![
        any::<u64>(),
        1_700_000_000_000_000_000..1_800_000_000_000_000_000_u64
    ];
    (
        any::<bool>(),
        any::<u32>(),
        any::<u16>(),
        any::<u8>(),
        0..=MAX_SEQ,
        0_u32..48,
        moment.clone(),
        moment,
    )
        .prop_map(
            |(is_warm_up, run, publisher, stream, seq, bits, intended_ns, sent_ns)| Stamp {
                phase: if is_warm_up {
                    Phase::WarmUp
                } else {
                    Phase::Measured
                },
                run: RunId(run),
                publisher,
                stream,
                seq: seq >> bits,
                intended_ns,
                sent_ns,
            },
        )
}

fn example() -> Stamp {
    Stamp {
        phase: Phase::Measured,
        run: RunId(0x89ab_cdef),
        publisher: 10,
        stream: 3,
        seq: 42,
        intended_ns: 1_705_314_600_000_123_456,
        sent_ns: 1_705_314_600_000_200_000,
    }
}

/// A message with room for a stamp, and the stamp in it.
fn stamped(stamp: &Stamp) -> Vec<u8> {
    let mut payload = HEAD.as_bytes().to_vec();
    payload.extend_from_slice(PLACEHOLDER_TAIL);
    assert!(stamp.write_tail(&mut payload));
    payload
}

fn parsed(payload: &[u8]) -> Value {
    serde_json::from_slice(payload).unwrap()
}

#[test]
fn the_tail_is_as_documented() {
    let payload = stamped(&example());
    let tail = std::str::from_utf8(&payload[HEAD.len()..]).unwrap();
    let expected = concat!(
        r#","timestamp":1705314600000,"nb":"1m89abcdef000a0300000000002a"#,
        r#"17aa7e97f34b724017aa7e97f34c9d40"}"#
    );
    assert_eq!(tail.len(), TAIL_BYTES);
    assert_eq!(tail, expected);
    assert_eq!(parsed(&payload)["nb"].as_str().unwrap().len(), STAMP_CHARS);
}

#[test]
fn the_placeholder_is_a_readable_stamp_of_nothing() {
    let payload = [HEAD.as_bytes(), PLACEHOLDER_TAIL].concat();
    let stamp = Stamp::read_fixed(&payload).unwrap();
    assert_eq!(
        (stamp.phase, stamp.run, stamp.seq),
        (Phase::WarmUp, RunId(0), 0)
    );
    assert_eq!(parsed(&payload)["id"], 1);
    assert_eq!(stamped(&stamp), payload);
}

#[test]
fn a_payload_without_room_is_left_alone() {
    let mut payload = vec![b'x'; TAIL_BYTES - 1];
    assert!(!example().write_tail(&mut payload));
    assert_eq!(payload, vec![b'x'; TAIL_BYTES - 1]);
    assert_eq!(Stamp::read_fixed(&payload), None);
}

#[test]
fn a_sequence_number_beyond_the_field_stays_at_its_end() {
    let written = Stamp {
        seq: u64::MAX,
        ..example()
    };
    let expected = Stamp {
        seq: MAX_SEQ,
        ..example()
    };
    assert_eq!(read(&stamped(&written)), Origin::Fixed(expected));
}

#[test]
fn a_moment_without_thirteen_digits_still_gives_json() {
    for (intended_ns, timestamp) in [(0, 1_000_000_000_000_u64), (u64::MAX, 9_999_999_999_999)] {
        let stamp = Stamp {
            intended_ns,
            ..example()
        };
        let payload = stamped(&stamp);
        assert_eq!(parsed(&payload)["timestamp"], timestamp);
        assert_eq!(read(&payload), Origin::Fixed(stamp));
    }
}

#[test]
fn blanks_and_line_ends_around_the_object_are_a_re_encoding() {
    let payload = stamped(&example());
    for (before, after) in [("", "\n"), ("", " "), (" ", "\r\n")] {
        let moved = [before.as_bytes(), &payload, after.as_bytes()].concat();
        assert_eq!(read(&moved), Origin::Parsed(example()));
    }
}

#[test]
fn a_field_behind_the_stamp_is_a_re_encoding() {
    let mut value = parsed(&stamped(&example()));
    value["zz_added_by_a_pipeline"] = json!({"nb": "not this one", "timestamp": 1});
    let text = serde_json::to_vec(&value).unwrap();
    assert_eq!(read(&text), Origin::Parsed(example()));
}

#[test]
fn without_a_stamp_the_timestamp_counts() {
    for (timestamp, intended_ms) in [
        ("1705314600000", 1_705_314_600_000),
        ("1705314600000.75", 1_705_314_600_000),
        ("1.7053146e12", 1_705_314_600_000),
        ("\"1705314600000\"", 1_705_314_600_000),
        ("\" 17 \"", 17),
        ("0", 0),
        ("-3", -3),
        ("-3.5", -4),
    ] {
        let payload = format!("{HEAD},\"timestamp\":{timestamp}}}");
        assert_eq!(
            read(payload.as_bytes()),
            Origin::TimestampOnly { intended_ms },
            "{timestamp}"
        );
    }
}

#[test]
fn a_timestamp_that_is_no_time_is_none() {
    for timestamp in [
        "null",
        "true",
        "\"soon\"",
        "\"\"",
        "[1]",
        "{}",
        "1e300",
        "18446744073709551615",
    ] {
        let payload = format!("{HEAD},\"timestamp\":{timestamp}}}");
        assert_eq!(read(payload.as_bytes()), Origin::None, "{timestamp}");
    }
    assert_eq!(read(b"{}"), Origin::None);
    assert_eq!(
        read(br#"{"extras":{"timestamp":1,"nb":"x"}}"#),
        Origin::None
    );
}

#[test]
fn a_stamp_that_is_none_leaves_the_timestamp() {
    let stamp = parsed(&stamped(&example()))["nb"].clone();
    let text = stamp.as_str().unwrap();
    for wrong in [
        json!(null),
        json!(7),
        json!([text]),
        json!(""),
        json!(text[1..]),
        json!(format!("{text}0")),
        json!(text.replacen('1', "2", 1)),
        json!(text.replacen('m', "x", 1)),
        json!(text.to_uppercase()),
        json!("\u{e9}".repeat(STAMP_CHARS / 2)),
    ] {
        let payload = json!({"nb": wrong, "timestamp": 5}).to_string();
        assert_eq!(
            read(payload.as_bytes()),
            Origin::TimestampOnly { intended_ms: 5 },
            "{payload}"
        );
    }
}

#[test]
fn the_last_of_several_fields_wins_as_it_does_in_browsers() {
    let first = parsed(&stamped(&example()));
    let last = Stamp {
        seq: 43,
        ..example()
    };
    let second = parsed(&stamped(&last));
    let payload = format!(
        "{{\"nb\":{},\"nb\":{},\"timestamp\":1,\"timestamp\":2}}",
        first["nb"], second["nb"]
    );
    assert_eq!(read(payload.as_bytes()), Origin::Parsed(last));
    assert_eq!(
        read(br#"{"timestamp":1,"timestamp":2}"#),
        Origin::TimestampOnly { intended_ms: 2 }
    );
}

#[test]
fn what_is_no_json_object_is_undecodable() {
    for payload in [
        &b""[..],
        b" ",
        b"hello",
        b"{",
        b"{\"timestamp\":1",
        b"{\"timestamp\":1}}",
        b"[]",
        b"[1,2]",
        b"1",
        b"null",
        b"\"{}\"",
        b"\xff\xfe",
    ] {
        assert_eq!(
            read(payload),
            Origin::Undecodable,
            "{}",
            payload.escape_ascii()
        );
    }
}

#[test]
fn a_field_that_cannot_be_held_is_none_and_the_object_still_one() {
    for value in ["1e999", r#""\ud800""#] {
        let payload = format!(r#"{{"nb":{value},"timestamp":7}}"#);
        let intended_ms = 7;
        assert_eq!(
            read(payload.as_bytes()),
            Origin::TimestampOnly { intended_ms }
        );
        let payload = format!(r#"{{"timestamp":{value}}}"#);
        assert_eq!(read(payload.as_bytes()), Origin::None);
    }
}

#[test]
fn deep_nesting_is_refused_and_not_followed() {
    for open in ["[", "{\"a\":"] {
        let payload = format!("{{\"a\":{}", open.repeat(100_000));
        assert_eq!(read(payload.as_bytes()), Origin::Undecodable);
    }
}

#[test]
fn a_message_that_was_cut_short_has_no_stamp() {
    let payload = stamped(&example());
    for end in 0..payload.len() {
        assert_eq!(read(&payload[..end]), Origin::Undecodable, "cut at {end}");
    }
}

/// Which field of the stamp the character at `at` belongs to, taken from `other`.
fn with_field_of(stamp: Stamp, other: Stamp, at: usize) -> Stamp {
    match at {
        PHASE_AT => Stamp {
            phase: other.phase,
            ..stamp
        },
        RUN_AT..PUBLISHER_AT => Stamp {
            run: other.run,
            ..stamp
        },
        10..14 => Stamp {
            publisher: other.publisher,
            ..stamp
        },
        14..SEQ_AT => Stamp {
            stream: other.stream,
            ..stamp
        },
        SEQ_AT..INTENDED_AT => Stamp {
            seq: other.seq,
            ..stamp
        },
        INTENDED_AT..SENT_AT => Stamp {
            intended_ns: other.intended_ns,
            ..stamp
        },
        _ => Stamp {
            sent_ns: other.sent_ns,
            ..stamp
        },
    }
}

#[test]
fn damage_to_a_stamp_is_found_or_stays_within_its_field() {
    let whole = stamped(&example());
    let stamp_at = whole.len() - TAIL_BYTES + STAMP_AT;
    for at in whole.len() - TAIL_BYTES + MARK_AT..whole.len() {
        for byte in 0..=u8::MAX {
            let mut payload = whole.clone();
            payload[at] = byte;
            let in_stamp = at.checked_sub(stamp_at).filter(|at| *at < STAMP_CHARS);
            let could_be = match in_stamp {
                Some(0) => byte == b'1',
                Some(PHASE_AT) => matches!(byte, b'w' | b'm'),
                Some(_) => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
                None => byte == whole[at],
            };
            match (Stamp::read_fixed(&payload), in_stamp) {
                (None, _) => assert!(!could_be, "byte {byte:#x} at {at} is a stamp"),
                (Some(found), in_stamp) => {
                    assert!(could_be, "byte {byte:#x} at {at} is no stamp");
                    // One digit for another cannot be noticed, but it must not reach the other fields.
                    let expected = with_field_of(example(), found, in_stamp.unwrap_or(PHASE_AT));
                    assert_eq!(found, expected, "byte {byte:#x} at {at}");
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn what_was_written_is_read_back_at_its_fixed_place(stamp in any_stamp(), head in "[ -~]{0,40}") {
        let mut payload = head.clone().into_bytes();
        payload.extend_from_slice(PLACEHOLDER_TAIL);
        prop_assert!(stamp.write_tail(&mut payload));
        prop_assert_eq!(payload.len(), head.len() + TAIL_BYTES);
        prop_assert!(payload.starts_with(head.as_bytes()));
        prop_assert_eq!(Stamp::read_fixed(&payload), Some(stamp));
        prop_assert_eq!(read(&payload), Origin::Fixed(stamp));
    }

    #[test]
    fn what_the_stamps_before_had_in_common_changes_nothing(
        stamps in prop::collection::vec(any_stamp(), 1..8),
        picks in prop::collection::vec([any::<prop::sample::Index>(), any::<prop::sample::Index>()], 1..20),
    ) {
        // Stamps that share some of their fields with the ones before
        let mut writer = TailWriter::default();
        for [one, other] in picks {
            let other = other.get(&stamps);
            let stamp = Stamp { intended_ns: other.intended_ns, run: other.run, ..*one.get(&stamps) };
            let mut payload = PLACEHOLDER_TAIL.to_vec();
            prop_assert!(writer.write(&stamp, &mut payload));
            prop_assert_eq!(&payload, &stamped(&stamp)[HEAD.len()..]);
            prop_assert_eq!(Stamp::read_fixed(&payload), Some(stamp));
        }
    }

    #[test]
    fn a_stamped_message_is_still_json_with_its_own_fields(stamp in any_stamp()) {
        let value = parsed(&stamped(&stamp));
        prop_assert_eq!(value["game_slug"].as_str(), Some("crash"));
        prop_assert_eq!(value["extras"]["point"].as_str(), Some("2.47"));
        let intended_ms = (stamp.intended_ns / 1_000_000).clamp(MIN_TIMESTAMP_MS, MAX_TIMESTAMP_MS);
        prop_assert_eq!(value["timestamp"].as_u64(), Some(intended_ms));
        prop_assert_eq!(value.as_object().unwrap().len(), 5);
    }

    #[test]
    fn a_re_encoded_message_keeps_its_stamp(stamp in any_stamp(), order in Just(vec![0, 1, 2, 3, 4]).prop_shuffle()) {
        let value = parsed(&stamped(&stamp));
        let sorted = serde_json::to_vec(&value).unwrap();
        prop_assert_eq!(read(&sorted), Origin::Parsed(stamp));
        let pretty = serde_json::to_vec_pretty(&value).unwrap();
        prop_assert_eq!(read(&pretty), Origin::Parsed(stamp));
        let fields: Vec<String> = value.as_object().unwrap().iter().map(|(key, value)| format!("\"{key}\": {value}")).collect();
        let shuffled: Vec<&str> = order.iter().map(|idx: &usize| fields[*idx].as_str()).collect();
        let spaced = format!("{{ {} }}", shuffled.join(" , "));
        prop_assert_eq!(read(spaced.as_bytes()), Origin::Parsed(stamp), "{}", spaced);
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        text in r#"[{}\[\]":,a-z0-9\\ ]{0,120}"#,
    ) {
        for payload in [bytes.as_slice(), text.as_bytes()] {
            let origin = read(payload);
            prop_assert!(!matches!(origin, Origin::Fixed(_) | Origin::Parsed(_)), "{origin:?}");
        }
    }

    #[test]
    fn anything_where_a_stamp_should_be_never_panics(tail in prop::collection::vec(any::<u8>(), TAIL_BYTES)) {
        // Most of these get past the mark and fail at a digit.
        let mut payload = stamped(&example());
        let at = payload.len() - TAIL_BYTES;
        payload[at + STAMP_AT + 1..][..STAMP_CHARS - 1].copy_from_slice(&tail[..STAMP_CHARS - 1]);
        let is_stamp = payload[at + STAMP_AT + RUN_AT..][..STAMP_CHARS - RUN_AT].iter().all(u8::is_ascii_hexdigit);
        prop_assert!(is_stamp || Stamp::read_fixed(&payload).is_none());
        let _ = read(&payload);
    }

    #[test]
    fn a_run_reads_as_it_is_shown(run in any::<u32>()) {
        let run = RunId(run);
        prop_assert_eq!(run.to_string().parse::<RunId>(), Ok(run));
    }

    #[test]
    fn any_other_text_is_no_run(text in "\\PC{0,10}|[0-9A-F]{8}|[0-9a-f]{7}|[0-9a-f]{9}") {
        let is_run = text.len() == 8 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        prop_assert_eq!(text.parse::<RunId>().is_ok(), is_run);
    }
}
