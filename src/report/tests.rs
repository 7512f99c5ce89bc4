//! Snapshots of fixed results in every form, and what holds for all of them.

use super::*;
use crate::results::fixtures;
use crate::results::{StreamLoad, SubscriberLoad};

const PLAIN: Style = Style {
    color: false,
    width: 80,
    unicode: true,
};

fn rendered(result: &RunResult, format: Format, style: Style) -> String {
    let mut out = Vec::new();
    write_result(&mut out, result, format, style).unwrap();
    String::from_utf8(out).unwrap()
}

fn short(result: &RunResult, style: Style) -> String {
    let mut out = Vec::new();
    write_short(&mut out, result, style).unwrap();
    String::from_utf8(out).unwrap()
}

fn human(result: &RunResult) -> String {
    rendered(result, Format::Human, PLAIN)
}

#[test]
fn the_report_for_people_reads_as_it_should() {
    for (name, result) in fixtures::all() {
        insta::assert_snapshot!(format!("human_{name}"), human(&result));
    }
}

#[test]
fn the_report_as_markdown_reads_as_it_should() {
    for (name, result) in fixtures::all() {
        let text = rendered(&result, Format::Markdown, PLAIN);
        insta::assert_snapshot!(format!("markdown_{name}"), text);
    }
}

#[test]
fn the_result_as_json_has_its_documented_form() {
    for (name, result) in fixtures::all() {
        let text = rendered(&result, Format::Json, PLAIN);
        insta::assert_snapshot!(format!("json_{name}"), text);
    }
}

#[test]
fn the_summary_beside_message_lines_has_a_sentence_for_each_incident() {
    let of_outages = fixtures::all().into_iter();
    for (name, result) in of_outages.filter(|(_, result)| !result.outages.is_empty()) {
        insta::assert_snapshot!(format!("short_{name}"), short(&result, PLAIN));
        for width in [50, 60, 80] {
            for line in short(&result, Style { width, ..PLAIN }).lines() {
                assert!(line.chars().count() <= usize::from(width), "{line}");
            }
        }
    }
}

#[test]
fn colour_and_plain_characters_change_nothing_else() {
    let result = fixtures::fail();
    let color = rendered(
        &result,
        Format::Human,
        Style {
            color: true,
            ..PLAIN
        },
    );
    insta::assert_snapshot!("human_fail_color", color.replace('\u{1b}', "ESC"));
    let mut plain = color;
    for code in [
        "\u{1b}[1m",
        "\u{1b}[31m",
        "\u{1b}[32m",
        "\u{1b}[33m",
        "\u{1b}[0m",
    ] {
        plain = plain.replace(code, "");
    }
    assert_eq!(plain, human(&result));

    let ascii = rendered(
        &result,
        Format::Human,
        Style {
            unicode: false,
            ..PLAIN
        },
    );
    insta::assert_snapshot!("human_fail_ascii", ascii);
    assert!(ascii.is_ascii());
    // Neither is for machines.
    for format in [Format::Json, Format::Markdown] {
        let loud = Style {
            color: true,
            ..PLAIN
        };
        assert_eq!(
            rendered(&result, format, loud),
            rendered(&result, format, PLAIN)
        );
    }
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    for (name, result) in fixtures::all() {
        for width in [60, 72, 80, 100, 200] {
            let text = rendered(&result, Format::Human, Style { width, ..PLAIN });
            for line in text.lines() {
                assert!(
                    line.chars().count() <= usize::from(width),
                    "{name} at {width}: {line}"
                );
                assert_eq!(line, line.trim_end(), "{name}: blanks at the end");
            }
        }
    }
}

#[test]
fn a_terminal_that_is_too_narrow_still_gets_everything() {
    for (_, result) in fixtures::all() {
        for width in [0, 1, 10, 11, 39, 40] {
            let text = rendered(&result, Format::Human, Style { width, ..PLAIN });
            assert!(text.contains("connect"), "{text}");
        }
    }
}

#[test]
fn a_number_never_leaves_its_unit() {
    for (name, result) in fixtures::all() {
        for width in 40..120 {
            let text = rendered(&result, Format::Human, Style { width, ..PLAIN });
            for line in text.lines() {
                let first = line.split_whitespace().next().unwrap_or_default();
                let first = first.trim_end_matches([',', ';', ':']);
                assert!(
                    !matches!(first, "ns" | "us" | "ms" | "s"),
                    "{name} at {width}: {line}"
                );
            }
        }
    }
}

#[test]
fn the_latency_report_fits_one_screen() {
    let n_lines = human(&fixtures::pass()).lines().count();
    // 24 lines of a terminal, less the prompt.
    assert!((16..=23).contains(&n_lines), "{n_lines} lines");
    for (name, result) in fixtures::all() {
        let n_lines = human(&result).lines().count();
        assert!(n_lines <= 50, "{name}: {n_lines} lines");
    }
    // An outage of the usual kind takes a few lines more.
    let mut result = fixtures::restarted();
    result.outages.truncate(3);
    result.load.lost = Some(5);
    let n_lines = human(&result).lines().count();
    assert!(n_lines <= 28, "{n_lines} lines");
}

#[test]
fn the_verdict_comes_first_and_is_one_of_three_words() {
    for (name, result) in fixtures::all() {
        let first = human(&result).lines().next().unwrap_or_default().to_owned();
        let is_verdict = ["PASS: ", "FAIL: ", "INCONCLUSIVE: "]
            .iter()
            .any(|word| first.starts_with(word));
        assert!(is_verdict, "{name}: {first}");
    }
}

#[test]
fn json_reads_back_as_the_same_result() {
    for (name, result) in fixtures::all() {
        let text = rendered(&result, Format::Json, PLAIN);
        assert_eq!(
            serde_json::from_str::<RunResult>(&text).unwrap(),
            result,
            "{name}"
        );
        assert!(text.ends_with("}\n"));
    }
}

#[test]
fn certificates_that_were_not_verified_are_named_in_every_form() {
    let mut result = fixtures::fail();
    let people = [Format::Human, Format::Markdown];
    for format in people {
        assert!(rendered(&result, format, PLAIN).contains("certificates were NOT verified"));
    }
    assert!(rendered(&result, Format::Json, PLAIN).contains("\"verified\": false"));
    // Also when it is only the publishing side.
    result.connection = fixtures::pass().connection;
    for format in people {
        assert!(rendered(&result, format, PLAIN).contains("certificates were NOT verified"));
    }
    for format in people {
        assert!(!rendered(&fixtures::pass(), format, PLAIN).contains("NOT verified"));
    }
}

#[test]
fn a_publisher_elsewhere_has_a_line_of_its_own() {
    let mut result = fixtures::pass();
    assert!(!human(&result).contains("publisher "));
    result.publisher_connection.as_mut().unwrap().url = "nats://other:4222".to_owned();
    assert!(human(&result).contains("publisher  nats-server 2.15.1 at nats://other:4222"));
}

#[test]
fn a_checkpoint_says_that_it_is_none_of_the_end() {
    let mut result = fixtures::checkpoint();
    let told = "not finished: state at 1h02m05.50s\n";
    assert!(human(&result).contains(told));
    assert!(short(&result, PLAIN).contains(told));
    assert!(rendered(&result, Format::Markdown, PLAIN).contains(told));
    result.ended = crate::results::Ended::Completed;
    assert!(!human(&result).contains("not finished"));
}

#[test]
fn counts_that_are_usually_zero_are_shown_where_they_are_not() {
    let mut result = fixtures::pass();
    let zero = Some(0);
    result.load.in_doubt = zero;
    (result.load.skipped, result.load.not_sent) = (zero, zero);
    assert_eq!(human(&result), human(&fixtures::pass()));
    result.load.in_doubt = Some(1);
    (result.load.skipped, result.load.not_sent) = (Some(2), Some(3));
    let text = human(&result);
    assert!(
        text.contains("lost 0\n           in doubt 1  skipped 2  not sent 3"),
        "{text}"
    );
    assert!(text.contains("in doubt: nobody knows"), "{text}");
}

#[test]
fn rounds_that_were_held_back_say_by_what() {
    let mut result = fixtures::pass();
    result.trust.held_back_rounds = Some(262);
    assert!(human(&result).contains("262 rounds held back by a full connection"));
    result.outages = fixtures::restarted().outages;
    assert!(human(&result).contains("262 rounds held back by a connection that was full or down"));
}

#[test]
fn the_worst_losses_are_named_and_the_rest_is_counted() {
    let mut result = fixtures::fail();
    let row = result.load.streams[3].clone();
    let streams = (1_u16..=5).map(|publisher| StreamLoad {
        publisher,
        lost: Some(u64::from(publisher)),
        ..row.clone()
    });
    result.load.streams = streams.collect();
    let subscriber = result.load.subscribers[0].clone();
    let with = |idx: usize, lost: u64| SubscriberLoad {
        idx,
        lost,
        ..subscriber.clone()
    };
    result.load.subscribers = vec![with(0, 0), with(1, 15)];
    let text = human(&result);
    let warnings: Vec<&str> = text
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("! "))
        .collect();
    assert_eq!(
        warnings[..4],
        [
            "lost 15 of 2,000: subscriber 1",
            "lost 5 of 497: publisher 5, rounds.game.slot",
            "lost 4 of 497: publisher 4, rounds.game.slot",
            "and losses in 3 more places, see -o json",
        ]
    );
}

#[test]
fn what_a_publisher_or_a_broker_wrote_cannot_drive_a_terminal_or_a_document() {
    let hostile = "\u{1b}[2J`|<b>*\n# Title";
    let mut result = fixtures::fail();
    result.load.streams[3].subject = hostile.to_owned();
    result.reasons.push(hostile.to_owned());
    result.trust.doubts.push(format!("again {hostile}"));
    let connection = result.connection.as_mut().unwrap();
    connection.server_version = Some(hostile.to_owned());
    let mut outage = fixtures::gave_up().outages.remove(0);
    outage.cause.text = hostile.to_owned();
    outage.failed[0].error = hostile.to_owned();
    outage.gave_up = Some(hostile.to_owned());
    let back = crate::results::outages::Outage {
        duration_ns: Some(1),
        server: Some(format!("ws://{hostile}")),
        ..outage.clone()
    };
    result.outages = vec![outage, back];
    let texts = [Format::Human, Format::Markdown, Format::Json]
        .map(|format| rendered(&result, format, PLAIN));
    for text in texts.iter().chain(&[short(&result, PLAIN)]) {
        assert!(!text.contains('\u{1b}'), "{text}");
        assert!(!text.contains("\n# Title"), "{text}");
    }
    let markdown = rendered(&result, Format::Markdown, PLAIN);
    assert!(!markdown.contains("<b>"), "{markdown}");
    let columns = |line: &str| line.replace("\\|", "").matches('|').count();
    let table: Vec<&str> = markdown
        .lines()
        .skip_while(|line| !line.starts_with("| publisher"))
        .take(6)
        .collect();
    assert!(
        table.iter().all(|line| columns(line) == columns(table[0])),
        "{table:?}"
    );
}
