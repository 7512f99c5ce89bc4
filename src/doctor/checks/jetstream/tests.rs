//! Judgements about streams.

use super::api::{
    AccountInfo, Cluster, Limits, Replica, StreamConfig, StreamInfo, StreamState, Usage,
};
use super::health;
use crate::results::doctor::{Certainty, Finding, Severity};

fn stream(config: StreamConfig, messages: u64, bytes: u64) -> StreamInfo {
    StreamInfo {
        config: StreamConfig {
            name: "ROUNDS".to_owned(),
            retention: "limits".to_owned(),
            ..config
        },
        state: StreamState {
            messages,
            bytes,
            ..StreamState::default()
        },
        cluster: None,
    }
}

fn limited(max_bytes: i64, max_msgs: i64, discard: &str) -> StreamConfig {
    StreamConfig {
        max_bytes,
        max_msgs,
        discard: discard.to_owned(),
        ..StreamConfig::default()
    }
}

fn only(findings: Vec<Finding>) -> Option<(String, Severity, Certainty)> {
    assert!(findings.len() < 2, "{findings:?}");
    let finding = findings.into_iter().next()?;
    Some((finding.code, finding.severity, finding.certainty))
}

#[test]
fn a_stream_is_full_when_no_more_messages_like_those_in_it_fit() {
    let full =
        |severity, certainty| Some(("jetstream.stream-full".to_owned(), severity, certainty));
    for (config, messages, bytes, expected) in [
        (
            limited(200, -1, "new"),
            1,
            121,
            full(Severity::Error, Certainty::Likely),
        ),
        (
            limited(200, -1, "new"),
            1,
            190,
            full(Severity::Error, Certainty::Certain),
        ),
        (limited(200, -1, "old"), 1, 190, None),
        (
            limited(10_000, -1, "new"),
            92,
            9_200,
            full(Severity::Warning, Certainty::Likely),
        ),
        (limited(10_000, -1, "new"), 10, 1_000, None),
        (limited(200, -1, "new"), 0, 0, None),
        (
            limited(-1, 10, "new"),
            10,
            1,
            full(Severity::Error, Certainty::Certain),
        ),
        (
            limited(-1, 10, "new"),
            9,
            1,
            full(Severity::Warning, Certainty::Certain),
        ),
        (limited(-1, -1, "new"), 1_000_000, 1 << 40, None),
        (limited(0, 0, "new"), 5, 5, None),
    ] {
        let found = only(health::stream(
            &stream(config.clone(), messages, bytes),
            None,
        ));
        assert_eq!(found, expected, "{config:?} {messages} {bytes}");
    }
}

#[test]
fn a_subject_of_a_stream_is_full() {
    let config = StreamConfig {
        max_msgs_per_subject: 2,
        discard_new_per_subject: true,
        ..limited(-1, -1, "new")
    };
    let mut info = stream(config, 3, 300);
    let subjects = [("rounds.game.crash", 2), ("rounds.game.slot", 1)];
    info.state.subjects = Some(subjects.map(|(it, n)| (it.to_owned(), n)).into());
    let findings = health::stream(&info, None);
    assert!(
        findings[0].title.contains("`rounds.game.crash`"),
        "{findings:?}"
    );
}

#[test]
fn sealed_streams_and_small_message_limits_are_errors() {
    let config = StreamConfig {
        sealed: true,
        ..StreamConfig::default()
    };
    let code = |info: &StreamInfo, payload| only(health::stream(info, payload)).map(|it| it.0);
    let sealed = stream(config, 1, 1);
    assert_eq!(
        code(&sealed, None).as_deref(),
        Some("jetstream.stream-sealed")
    );
    let config = StreamConfig {
        max_msg_size: 100,
        ..StreamConfig::default()
    };
    let small = stream(config, 1, 1);
    assert_eq!(
        code(&small, Some(101)).as_deref(),
        Some("jetstream.message-too-large")
    );
    assert_eq!(code(&small, Some(100)), None);
    assert_eq!(code(&small, None), None);
}

#[test]
fn a_cluster_needs_its_leader_and_all_replicas() {
    let with = |leader: &str, current, offline| {
        let mut info = stream(StreamConfig::default(), 1, 1);
        let replica = Replica {
            name: "n2".to_owned(),
            current,
            offline,
            lag: 7,
        };
        info.cluster = Some(Cluster {
            leader: leader.to_owned(),
            replicas: Some(vec![replica]),
        });
        only(health::stream(&info, None)).map(|it| it.0)
    };
    assert_eq!(
        with("", true, false).as_deref(),
        Some("jetstream.no-leader")
    );
    assert_eq!(with("n1", true, false), None);
    assert_eq!(
        with("n1", false, false).as_deref(),
        Some("jetstream.replica-behind")
    );
    assert_eq!(
        with("n1", true, true).as_deref(),
        Some("jetstream.replica-behind")
    );
}

#[test]
fn an_account_at_its_limits_is_warned_and_a_full_one_is_an_error() {
    let with = |storage, reserved_storage, max_storage| {
        let all = Usage {
            storage,
            reserved_storage,
            limits: Limits {
                storage: max_storage,
                ..Limits::default()
            },
            ..Usage::default()
        };
        let info = AccountInfo {
            all,
            ..AccountInfo::default()
        };
        only(health::account_limits(&info)).map(|it| it.1)
    };
    assert_eq!(with(89, 0, 100), None);
    assert_eq!(with(90, 0, 100), Some(Severity::Warning));
    assert_eq!(with(10, 100, 100), Some(Severity::Warning));
    assert_eq!(with(100, 0, 100), Some(Severity::Error));
    assert_eq!(with(100, 0, -1), None);
    assert_eq!(with(100, 0, 0), None);
}
