//! Snapshots of fixed results in every form, and what holds for any text in them.

use quick_junit::Report;

use super::*;
use crate::results::doctor::fixtures;

const PLAIN: Style = Style {
    color: false,
    width: 80,
    unicode: true,
};
const FORMATS: [(&str, DoctorFormat); 6] = [
    ("human", DoctorFormat::Human),
    ("json", DoctorFormat::Json),
    ("junit", DoctorFormat::Junit),
    ("github", DoctorFormat::Github),
    ("nagios", DoctorFormat::Nagios),
    ("markdown", DoctorFormat::Markdown),
];

fn rendered(result: &DoctorResult, format: DoctorFormat, style: Style) -> String {
    let mut out = Vec::new();
    write_doctor(&mut out, result, format, style).unwrap();
    String::from_utf8(out).unwrap()
}

fn plain(result: &DoctorResult, format: DoctorFormat) -> String {
    rendered(result, format, PLAIN)
}

#[test]
fn every_format_reads_as_it_should() {
    for (format_name, format) in FORMATS {
        for (name, result) in fixtures::all() {
            insta::assert_snapshot!(format!("{format_name}_{name}"), plain(&result, format));
        }
    }
}

#[test]
fn the_first_line_is_the_answer() {
    for (name, result) in fixtures::all() {
        let text = plain(&result, DoctorFormat::Human);
        let first = text.lines().next().unwrap();
        let answer = match result.findings.first() {
            Some(finding) if result.status != crate::results::doctor::DoctorStatus::Ok => {
                finding.title.split(' ').next().unwrap()
            }
            _ => "No",
        };
        if !result.servers().is_empty() {
            assert_eq!(
                first,
                "1 of 2 servers does not work: ws://localhost:8080/nats."
            );
            continue;
        }
        assert!(
            first.contains(answer) || first.contains(" works"),
            "{name}: {first}"
        );
    }
}

#[test]
fn a_subject_is_said_to_be_valid_where_nothing_was_connected() {
    let mut result = fixtures::offline();
    let first = |result: &DoctorResult| {
        let text = plain(result, DoctorFormat::Human);
        text.lines().next().unwrap().to_owned()
    };
    for (subject, answer) in [
        ("`a.*`", "`a.*` is valid."),
        ("`b`", "`a.*` and `b` are valid."),
        ("`c`", "All 3 subjects are valid."),
    ] {
        result.facts.push(fixtures::fact(subject, "valid"));
        assert_eq!(first(&result), answer);
    }
    let text = plain(&result, DoctorFormat::Human);
    assert!(text.ends_with("connected to nothing.\n"), "{text}");
}

#[test]
fn a_server_that_ended_while_it_was_watched_does_not_work_otherwise() {
    let mut result = fixtures::warned();
    result.findings[0].severity = crate::results::doctor::Severity::Error;
    let text = plain(&result, DoctorFormat::Human);
    assert!(
        text.contains("Otherwise ws://localhost:8443 works"),
        "{text}"
    );
    "watch".clone_into(&mut result.findings[0].check);
    let text = plain(&result, DoctorFormat::Human);
    assert!(!text.contains("Otherwise"), "{text}");
    assert!(
        text.contains("Until then ws://localhost:8443 worked"),
        "{text}"
    );
    let finding = result.findings[0].clone();
    result.findings[0] = finding.evidence("new connection", "logs in");
    let text = plain(&result, DoctorFormat::Human);
    assert!(
        text.contains("Otherwise ws://localhost:8443 works"),
        "{text}"
    );
}

#[test]
fn what_the_evidence_says_is_not_said_again() {
    let mut result = fixtures::broken();
    for name in ["answer", "certificate"] {
        result.facts.push(fixtures::fact(name, "seen"));
    }
    let text = plain(&result, DoctorFormat::Human);
    assert!(text.contains("; certificate: seen"), "{text}");
    assert!(!text.contains("; answer: seen"), "{text}");
}

#[test]
fn a_server_that_was_done_with_was_not_interrupted() {
    let mut result = fixtures::several();
    result.interrupted = true;
    let servers: Vec<String> = result.servers().into_iter().map(str::to_owned).collect();
    let waiting = result.checks.iter_mut();
    let mut waiting = waiting.filter(|check| check.server.as_ref() == Some(&servers[1]));
    waiting.next_back().unwrap().reason = Some("interrupted".to_owned());
    assert!(!result.part(Some(&servers[0])).interrupted);
    assert!(result.part(Some(&servers[1])).interrupted);
}

#[test]
fn the_first_line_for_nagios_is_not_said_twice() {
    let text = plain(&fixtures::warned(), DoctorFormat::Nagios);
    let title = &fixtures::warned().findings[0].title;
    assert_eq!(text.matches(title.as_str()).count(), 1, "{text}");
    assert!(
        text.starts_with(&format!("DOCTOR WARNING - Most likely: {title}|")),
        "{text}"
    );
}

#[test]
fn a_report_fits_into_80_columns_and_a_healthy_one_onto_a_screen() {
    for (name, result) in fixtures::all() {
        let text = plain(&result, DoctorFormat::Human);
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{name}: {line}");
            assert_eq!(line, line.trim_end(), "{name}");
        }
    }
    let text = plain(&fixtures::healthy(), DoctorFormat::Human);
    assert!(text.lines().count() <= 24, "{text}");
}

#[test]
fn a_narrow_terminal_breaks_nothing() {
    for width in [0, 1, 20, 40, 60, 200] {
        let style = Style { width, ..PLAIN };
        for (_, result) in fixtures::all() {
            rendered(&result, DoctorFormat::Human, style);
        }
    }
}

#[test]
fn colour_marks_the_answer_and_changes_nothing_else() {
    let style = Style {
        color: true,
        ..PLAIN
    };
    for (name, result) in fixtures::all() {
        let colored = rendered(&result, DoctorFormat::Human, style);
        assert!(colored.contains('\u{1b}'), "{name}");
        let mut plain_again = colored;
        for code in ["[1m", "[31m", "[32m", "[33m", "[0m"] {
            plain_again = plain_again.replace(&format!("\u{1b}{code}"), "");
        }
        assert_eq!(plain_again, plain(&result, DoctorFormat::Human), "{name}");
    }
}

#[test]
fn lines_to_paste_stay_as_they_are() {
    let mut result = fixtures::broken();
    let long = format!("command {}", "word ".repeat(40))
        .trim_end()
        .to_owned();
    result.findings[0] = result.findings[0].clone().paste("Run:", &[&long, "  two"]);
    for format in [DoctorFormat::Human, DoctorFormat::Markdown] {
        let text = plain(&result, format);
        let mut lines = text
            .lines()
            .map(|line| line.strip_prefix("    ").unwrap_or(line));
        assert!(lines.any(|line| line == long), "{text}");
        assert_eq!(lines.next(), Some("  two"), "{text}");
    }
}

/// What hostile text must not do, in each format.
#[track_caller]
fn assert_harmless(text: &str) {
    let result = fixtures::saying(text);
    for (name, format) in FORMATS {
        let shown = plain(&result, format);
        let is_harmful = |c: char| c.is_control() && c != '\n';
        assert!(!shown.contains(is_harmful), "{name}: {shown:?}");
    }
    let json = plain(&result, DoctorFormat::Json);
    assert_eq!(serde_json::from_str::<DoctorResult>(&json).unwrap(), result);

    let junit = plain(&result, DoctorFormat::Junit);
    let report = Report::deserialize_from_str(&junit).unwrap_or_else(|error| {
        panic!("{error:?}: {junit}");
    });
    assert_eq!((report.tests, report.failures, report.skipped), (6, 1, 2));

    let github = plain(&result, DoctorFormat::Github);
    let ours = [
        "::error title=",
        "::warning title=",
        "::notice title=",
        "natsbench doctor: ",
    ];
    assert_eq!(github.lines().count(), 4, "{github}");
    for line in github.lines() {
        assert!(ours.iter().any(|begin| line.starts_with(begin)), "{line}");
        if let Some(command) = line.strip_prefix("::") {
            let (properties, _) = command.split_once("::").unwrap();
            assert_eq!(
                properties.matches(['=', ',', ':']).count(),
                properties.matches('=').count()
            );
        } else {
            assert!(!line.contains("##["), "{line}");
        }
    }

    let nagios = plain(&result, DoctorFormat::Nagios);
    assert_eq!(nagios.matches('|').count(), 1, "{nagios}");
    assert!(nagios.starts_with("DOCTOR CRITICAL - "), "{nagios}");

    assert_markdown_is_harmless(&plain(&result, DoctorFormat::Markdown));
}

/// A table keeps its columns, and nothing is markup that is not ours.
fn assert_markdown_is_harmless(markdown: &str) {
    let mut fence: Option<String> = None;
    for line in markdown.lines() {
        match &fence {
            Some(end) if line == end => fence = None,
            Some(_) => {}
            None if line.starts_with("```") => fence = Some(line.replace("text", "")),
            None => {
                assert_eq!(
                    line.matches("<code>").count(),
                    line.matches("</code>").count(),
                    "{line}"
                );
                let ours = ["<br>", "<code>", "</code>", "\\\\"];
                let bare = ours
                    .iter()
                    .fold(line.to_owned(), |line, tag| line.replace(tag, ""));
                assert!(!bare.contains('<'), "{line}");
                let unescaped = |c: char| {
                    let at = bare.match_indices(c);
                    at.filter(|(at, _)| !bare[..*at].ends_with('\\')).count()
                };
                assert_eq!(unescaped('`') + unescaped('['), 0, "{line}");
                if line.starts_with('|') {
                    let n_columns = unescaped('|') - 1;
                    assert!([2, 4].contains(&n_columns), "{n_columns} columns: {line}");
                }
            }
        }
    }
    assert_eq!(fence, None, "{markdown}");
}

#[test]
fn hostile_text_reaches_nobody_as_a_command() {
    for text in [
        "\u{1b}[2J\u{1b}]0;title\u{7}",
        "a\r\n::error::owned\n##[error]owned",
        "]]></failure><failure>&amp;\u{0}\u{ffff}\u{fffe}",
        "a | b \\| c \\",
        "```\n# owned\n````",
        "<script>x</script>[x](http://x)![x](http://x)`x`*x*",
        "%0A::x::%25",
        "'=x|y",
        "\u{202e}\u{2028}::x\u{85}::y",
        "",
        "\n",
        "|",
    ] {
        assert_harmless(text);
    }
}

proptest::proptest! {
    #[test]
    fn no_text_is_too_strange_for_any_format(
        text in "(.|[\\n\\r|`\\\\<>:#%,='\\[\\]]|::|##\\[|```|\\]\\]>){0,40}"
    ) {
        assert_harmless(&text);
    }
}

#[test]
fn nagios_says_when_there_is_no_result() {
    let mut out = Vec::new();
    write_nagios_unknown(&mut out, "error: a|b\n  try: c").unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "DOCTOR UNKNOWN - error: a/b\n  try: c\n"
    );
}
