//! Judgements about what was heard.

use std::time::Duration;

use super::clients::{BusyAccount, Client, Others};
use super::judge::{self, Scene};
use super::payloads::unreadable_round;
use super::silence::silence;
use super::tally::{Listened, Sound, Tally, Wide};
use crate::doctor::conversation::Heard;
use crate::results::doctor::{Certainty, Finding};

fn heard(sid: u64, subject: &str, payload: &[u8]) -> Heard {
    Heard {
        sid,
        subject: subject.to_owned(),
        reply: None,
        headers: None,
        payload: payload.to_vec(),
        payload_bytes: payload.len(),
    }
}

/// What was heard when the subject was subscribed to, to ourselves and on `>`.
fn sound(pattern: &str, own: &[&str], wide: &[&str]) -> Sound {
    let mut tally = Tally::new(true);
    tally.add(pattern.parse().unwrap(), 1);
    for subject in own {
        tally.own(&heard(1, subject, b"{}"));
    }
    for subject in wide {
        tally.wide(&heard(7, subject, b"{}"));
    }
    let mut sound = tally.into_sound(Wide::Everything, Some(9), None);
    sound.took = Duration::from_millis(2_003);
    sound
}

fn scene(sound: &Sound) -> Scene<'_> {
    Scene {
        url: "ws://broker:8443",
        server_name: "n1",
        queue: Some("workers"),
        watch: None,
        sound,
        account: Some("$G"),
        is_system: false,
        others: None,
        busy: &[],
        members: &[],
    }
}

fn client(label: &str, n_published: u64) -> Client {
    Client {
        label: label.to_owned(),
        n_published,
        idle: "3s".to_owned(),
        queues: Vec::new(),
    }
}

fn quiet() -> Sound {
    sound("rounds.game.*", &[], &[])
}

fn judged(scene: &Scene<'_>) -> Finding {
    let silent: Vec<&Listened> = scene.sound.subjects.iter().collect();
    silence(&silent, scene)
}

#[test]
fn messages_that_somebody_else_got_prove_that_the_group_is_shared() {
    let here = "rounds.game.crash";
    for (n_own, n_all, certainty) in [
        (0, 1, Some(Certainty::Likely)),
        (0, 5, Some(Certainty::Certain)),
        (3, 5, Some(Certainty::Certain)),
        (5, 5, None),
        (6, 5, None),
    ] {
        let sound = sound("rounds.>", &vec![here; n_own], &vec![here; n_all]);
        let finding = judge::queue_shared(&sound.subjects[0], &scene(&sound));
        assert_eq!(
            finding.map(|it| it.certainty),
            certainty,
            "{n_own} of {n_all}"
        );
    }
}

#[test]
fn overlapping_subscriptions_do_not_count_a_message_twice() {
    let mut tally = Tally::new(true);
    tally.add("rounds.>".parse().unwrap(), 1);
    tally.own(&heard(1, "rounds.x", b""));
    tally.wide(&heard(7, "rounds.x", b""));
    tally.wide(&heard(8, "rounds.x", b""));
    tally.wide(&heard(7, "other", b""));
    tally.wide(&heard(8, "other", b""));
    let sound = tally.into_sound(Wide::Everything, Some(9), None);
    assert_eq!(sound.subjects[0].n_plain, Some(1));
    assert_eq!(sound.elsewhere, [("other".to_owned(), 1)]);
}

#[test]
fn the_nearest_subject_is_named_and_those_of_the_server_are_not() {
    let sound = sound(
        "rounds.game.*",
        &[],
        &[
            "_INBOX.rounds.game.x",
            "$SYS.rounds.game.x",
            "telemetry.cpu",
            "feed.rounds.game.x",
            "Rounds.game.x",
        ],
    );
    let silent = &sound.subjects[0];
    let nearest = judge::nearest(silent, &sound).unwrap();
    assert_eq!(nearest.subject, "Rounds.game.x");
    let finding = judge::near_subject(silent, &nearest, &scene(&sound));
    assert!(
        finding.title.ends_with("subscribe to `Rounds.game.*`."),
        "{}",
        finding.title
    );
    assert_eq!(finding.certainty, Certainty::Likely);
}

#[test]
fn silence_in_a_named_account_speaks_of_other_accounts_and_in_the_only_one_does_not() {
    let (sound, nobody) = (
        quiet(),
        Others {
            is_complete: true,
            ..Others::default()
        },
    );
    let named = judged(&Scene {
        account: Some("A"),
        others: Some(&nobody),
        ..scene(&sound)
    });
    assert_eq!(named.code, "flow.no-publisher");
    assert!(named.title.contains("another account"), "{}", named.title);
    assert!(named.alternatives[0].cause.contains("another account"));
    let only = judged(&Scene {
        others: Some(&nobody),
        ..scene(&sound)
    });
    assert!(!format!("{only:?}").contains("another account"), "{only:?}");
    assert_eq!(only.certainty, Certainty::Likely);
}

#[test]
fn a_client_that_has_published_before_may_just_be_slow() {
    let sound = quiet();
    let others = Others {
        clients: vec![client("feed (10.0.0.7)", 12), client("idler (10.0.0.8)", 0)],
        n_leafnodes: 0,
        is_complete: true,
    };
    let finding = judged(&Scene {
        others: Some(&others),
        ..scene(&sound)
    });
    assert!(
        finding.title.contains("feed (10.0.0.7)"),
        "{}",
        finding.title
    );
    assert_eq!(finding.certainty, Certainty::Possible);
    assert!(finding.alternatives[0].cause.contains("rarer"));
    // Whoever has listened for as long as he wanted is not told to listen for longer.
    let watched = judged(&Scene {
        watch: Some(Duration::from_mins(1)),
        ..scene(&sound)
    });
    assert!(!format!("{watched:?}").contains("rarer"), "{watched:?}");
}

#[test]
fn traffic_of_another_account_is_the_cause_unless_there_is_some_in_ours() {
    let sound = quiet();
    let busy = [BusyAccount {
        name: "B".to_owned(),
        n_published: 40,
        busiest: client("feed (10.0.0.7)", 40),
    }];
    let finding = judged(&Scene {
        account: Some("A"),
        busy: &busy,
        ..scene(&sound)
    });
    assert_eq!(finding.code, "flow.other-account");
    assert!(finding.title.contains("account `B`"), "{}", finding.title);
    let others = Others {
        clients: vec![client("here (10.0.0.9)", 2)],
        ..Others::default()
    };
    let finding = judged(&Scene {
        busy: &busy,
        others: Some(&others),
        ..scene(&sound)
    });
    assert_eq!(finding.code, "flow.no-publisher");
}

#[test]
fn the_system_account_is_named() {
    let sound = quiet();
    let finding = judged(&Scene {
        account: Some("$SYS"),
        is_system: true,
        ..scene(&sound)
    });
    assert_eq!(finding.code, "flow.system-account");
}

#[test]
fn only_broken_json_on_a_subject_of_rounds_is_unreadable() {
    let is_unreadable = |subject: &str, payload: &[u8]| {
        let mut tally = Tally::new(false);
        tally.add(">".parse().unwrap(), 1);
        tally.own(&heard(1, subject, payload));
        let sound = tally.into_sound(Wide::NotNeeded, None, None);
        unreadable_round(&sound.subjects[0]).is_some()
    };
    assert!(is_unreadable(
        "rounds.game.crash",
        br#"{"game_slug":"crash","extras":{"po"#
    ));
    assert!(is_unreadable("feed.Rounds.x", b" [1,2"));
    for (subject, payload) in [
        ("rounds.game.crash", &br#"{"round":3}"#[..]),
        ("rounds.game.crash", b"\xff\x00\x01{"),
        ("rounds.game.crash", b""),
        ("rounds.game.crash", b"{\"a\":1}\n{\"a\":2}"),
        ("rounds.game.crash", b"hello"),
        ("telemetry.cpu", br#"{"cut"#),
    ] {
        assert!(!is_unreadable(subject, payload), "{subject} {payload:?}");
    }
}
