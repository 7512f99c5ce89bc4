//! Judgements about what is stored.

use super::*;

fn stream(name: &str, subjects: &[&str]) -> StreamConfig {
    StreamConfig {
        name: name.to_owned(),
        subjects: Some(subjects.iter().map(|it| (*it).to_owned()).collect()),
        ..StreamConfig::default()
    }
}

fn judged(scene: &Scene<'_>) -> Finding {
    let wanted: Pattern = "rounds.>".parse().unwrap();
    not_covered(&[&wanted], scene)
}

fn scene(streams: &[StreamConfig]) -> Scene<'_> {
    Scene {
        domain: None,
        streams,
        n_streams: u64::try_from(streams.len()).unwrap(),
        storage_left: None,
        n_api_errors: 0,
        has_other_accounts: true,
    }
}

#[test]
fn a_stream_stores_all_or_a_part_of_a_pattern() {
    let wanted: Pattern = "rounds.>".parse().unwrap();
    assert_eq!(
        coverage(&wanted, &stream("A", &["x", "rounds.>"])),
        Coverage::All
    );
    assert_eq!(
        coverage(&wanted, &stream("A", &["rounds.game.*"])),
        Coverage::Part
    );
    assert_eq!(coverage(&wanted, &StreamConfig::default()), Coverage::All);
}

#[test]
fn the_nearest_stream_is_the_one_to_edit() {
    let streams = [stream("LOGS", &["logs.>"]), stream("ROUND", &["round.>"])];
    let finding = judged(&scene(&streams));
    assert_eq!(finding.code, "jetstream.subject-not-covered");
    let remedy = finding.remedy.join("\n");
    assert!(
        remedy.contains("nats stream edit ROUND --subjects 'round.>,rounds.>'"),
        "{remedy}"
    );
}

#[test]
fn what_is_missing_is_named() {
    let none = scene(&[]);
    assert_eq!(judged(&none).code, "jetstream.no-stream");
    let small = Scene {
        storage_left: Some((1 << 20, StorageLimit::Server)),
        ..scene(&[])
    };
    let finding = judged(&small);
    assert_eq!(finding.code, "jetstream.storage-insufficient");
    assert!(finding.title.contains("1.00 MiB"), "{}", finding.title);
    let large = Scene {
        storage_left: Some((1 << 40, StorageLimit::Server)),
        ..scene(&[])
    };
    assert_eq!(judged(&large).code, "jetstream.no-stream");
    let edge = Scene {
        domain: Some("edge"),
        ..scene(&[])
    };
    let finding = judged(&edge);
    assert_eq!(finding.code, "jetstream.not-in-domain");
    assert!(finding.title.contains("domain `edge`"), "{}", finding.title);
    let one = [stream("ROUNDS", &["games.>"])];
    let finding = judged(&scene(&one));
    assert!(
        finding.title.contains("stream `ROUNDS` stores `games.>`"),
        "{}",
        finding.title
    );
}

#[test]
fn failed_requests_make_a_refused_stream_more_likely() {
    let tried = Scene {
        n_api_errors: 2,
        ..scene(&[])
    };
    assert!(judged(&tried).alternatives[0].cause.contains("refused"));
}
