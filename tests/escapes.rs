//! Text of a server or a publisher on a terminal: it is shown, and does nothing else.

use natsbench::cli::exit;

use crate::harness::{FakeBroker, Finished, Natsbench, Script, brokers_saying, eventually};

/// What is left to read, so that a text that is not shown at all is no proof.
const VISIBLE: &str = "seen-by-all";
/// Clears the screen, sets the clipboard, rings, colours by C1, overwrites the line, reverses what follows, in the middle
/// of what can be read.
const HOSTILE: &str = "seen-by-all\u{1b}[2J\u{1b}]52;c;ZXZpbA==\u{7}\u{9b}31m\u{9d}0;title\u{9c}\u{7f}\r>\u{8}\u{202e}\u{2066}\u{61c}\u{200f}";

/// What a terminal acts on instead of showing it.
fn is_obeyed(c: char) -> bool {
    let reorders = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    (c.is_control() && c != '\n') || reorders || matches!(c, '\u{2028}' | '\u{2029}')
}

#[track_caller]
fn assert_harmless(place: &str, args: &[&str], finished: &Finished) {
    for (stream, text) in [("stdout", &finished.stdout), ("stderr", &finished.stderr)] {
        assert!(
            !text.contains(is_obeyed),
            "{place}, {args:?}, {stream}: {text:?}"
        );
    }
    assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
}

const LATENCY: [&str; 11] = [
    "latency",
    "--warmup",
    "0s",
    "--duration",
    "50ms",
    "--drain",
    "50ms",
    "--timeout",
    "500ms",
    "-o",
    "human",
];

/// A run of each command, in each format that it has. The doctor takes long where nothing works, and its formats are tested
/// with such texts by themselves: here each place gets two of them in turn.
fn runs(place_idx: usize) -> Vec<Vec<&'static str>> {
    const OF_THE_DOCTOR: [&str; 6] = ["human", "json", "junit", "github", "nagios", "markdown"];
    let mut runs: Vec<Vec<&str>> = Vec::new();
    for format in ["human", "json", "markdown"] {
        runs.push([&LATENCY[..10], &[format]].concat());
        let publish = ["pub", "--count", "5", "--timeout", "500ms", "-o"];
        runs.push([&publish[..], &[format]].concat());
        let subscribe = [
            "sub",
            "rounds.>",
            "--stats",
            "--duration",
            "50ms",
            "--timeout",
            "500ms",
            "-o",
        ];
        runs.push([&subscribe[..], &[format]].concat());
    }
    for format in OF_THE_DOCTOR.iter().cycle().skip(place_idx * 2).take(2) {
        runs.push(vec!["doctor", "--timeout", "500ms", "-o", format]);
    }
    runs
}

#[test]
fn what_a_server_says_does_nothing_to_the_terminal() {
    for (idx, (place, _)) in brokers_saying(HOSTILE).into_iter().enumerate() {
        let mut n_shown = 0;
        for args in runs(idx) {
            let (_, script) = brokers_saying(HOSTILE).swap_remove(idx);
            let broker = FakeBroker::start(script);
            let url = broker.ws_url();
            let finished = Natsbench::new([&args[..], &["-s", &url]].concat()).run();
            assert_harmless(place, &args, &finished);
            let is_shown = [&finished.stdout, &finished.stderr]
                .iter()
                .any(|text| text.contains(VISIBLE));
            n_shown += u32::from(is_shown);
        }
        // Not every command shows every text, but each place is shown by some.
        assert!(n_shown > 0, "{place} is shown by no command");
    }
}

#[test]
fn what_a_publisher_sends_does_nothing_to_the_terminal() {
    let round = serde_json::json!({
        "game_slug": HOSTILE,
        "game_type": HOSTILE,
        "round_id": 1,
        "extras": {"point": HOSTILE, "winner": HOSTILE},
    });
    // A string of JSON may hold everything but what ASCII calls control characters as it is.
    let printable: String = HOSTILE
        .chars()
        .filter(|c| !c.is_ascii_control() || *c == '\u{7f}')
        .collect();
    let payloads: [&[u8]; 5] = [
        HOSTILE.as_bytes(),
        &serde_json::to_vec(&round).unwrap(),
        format!("{{\"text\":\"{printable}\"}}").as_bytes(),
        b"seen-by-all \x9b31m \xff\xfe\x1b[2J",
        b"\x1b\x1b\x1b\r\r\x07",
    ]
    .map(|payload| Box::leak(payload.to_vec().into_boxed_slice()) as &[u8]);
    // Neither blank nor line break can be part of a subject.
    let subject = format!("rounds.game.{}", HOSTILE.replace('\r', ""));
    for format in ["pretty", "json"] {
        let broker = FakeBroker::start(Script::new());
        let url = broker.ws_url();
        let args = ["sub", "rounds.>", "--count", "10", "--format", format];
        let run = Natsbench::new([&args[..], &["-s", &url]].concat()).spawn();
        eventually("the subscriptions", || {
            (broker.n_subscriptions() == 2).then_some(())
        });
        for payload in payloads {
            broker.publish("rounds.game.crash", payload);
            broker.publish(&subject, payload);
        }
        let finished = run.wait().exits(exit::PASSED);
        assert_harmless("message", &args, &finished);
        assert_eq!(finished.stdout.lines().count(), 10, "{}", finished.stdout);
        assert!(finished.stdout.matches(VISIBLE).count() >= 9);
    }
}

#[test]
fn subjects_in_a_report_do_nothing_to_the_terminal() {
    let subject = format!("rounds.game.{}", HOSTILE.replace('\r', ""));
    for format in ["human", "json", "markdown"] {
        // What is delivered has another subject than what was published.
        let subject = subject.clone();
        let script = Script::new().fate(move |_, mut published| {
            published.subject.clone_from(&subject);
            vec![published]
        });
        let broker = FakeBroker::start(script);
        let url = broker.ws_url();
        let args = ["sub", "rounds.>", "--stats", "--count", "5", "-o", format];
        let sub = Natsbench::new([&args[..], &["-s", &url]].concat()).spawn();
        eventually("the subscriptions", || {
            (broker.n_subscriptions() == 2).then_some(())
        });
        Natsbench::new(["pub", "--count", "5", "-q", "-s", &url])
            .run()
            .exits(exit::PASSED);
        assert_harmless("subject", &args, &sub.wait());
    }
}
