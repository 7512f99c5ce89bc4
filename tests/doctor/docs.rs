//! `doctor`: the reference of everything that can be found is complete, and is what the code says.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use natsbench::doctor::catalogue;
use natsbench::doctor::check::CheckId;
use natsbench::doctor::checks;
use natsbench::results::doctor::Severity;

const UPDATE: &str = "UPDATE_DOCS";

#[test]
fn the_reference_is_what_the_code_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/doctor.md");
    let generated = catalogue::markdown();
    if std::env::var_os(UPDATE).is_some_and(|value| value == "1") {
        fs::write(&path, &generated).expect("the reference can be written");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == generated,
        "docs/doctor.md is not what the code says: run `{UPDATE}=1 cargo test --test it doctor::docs`, and read the diff"
    );
}

#[test]
fn every_code_is_unique_and_well_formed() {
    let mut names = BTreeSet::new();
    for code in catalogue::codes() {
        let name = code.name;
        assert!(names.insert(name), "`{name}` is there twice");
        let (subject, what) = name.split_once('.').expect("`subject.kebab-case`");
        for part in [subject, what] {
            let is_kebab = part.split('-').all(|word| {
                let mut bytes = word.bytes();
                !word.is_empty() && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            });
            assert!(is_kebab, "`{name}`");
        }
    }
    assert!(names.contains("tcp.refused"), "{names:?}");
}

#[test]
fn every_code_says_what_it_means_how_it_comes_about_and_what_mends_it() {
    for code in catalogue::codes() {
        for (field, text) in [
            ("meaning", code.meaning),
            ("cause", code.cause),
            ("fix", code.fix),
        ] {
            let name = code.name;
            assert!(text.len() > 10, "the {field} of `{name}`: {text:?}");
            assert!(
                text.ends_with(['.', ')', '`']),
                "the {field} of `{name}` is no sentence: {text}"
            );
            assert!(
                !text.contains('\n'),
                "the {field} of `{name}` is more than a paragraph"
            );
            assert!(
                !text.contains("See the evidence"),
                "the {field} of `{name}` is still to be written"
            );
        }
        if code.severity != Severity::Info {
            assert_ne!(code.meaning, code.fix, "`{}`", code.name);
        }
    }
}

#[test]
fn the_checks_are_those_that_only_and_skip_know() {
    let ids: Vec<_> = checks::ALL.iter().map(|check| check.id).collect();
    assert_eq!(ids, CheckId::ALL);
    let text = catalogue::markdown();
    for id in CheckId::ALL {
        assert!(text.contains(&format!("\n## {id}\n")), "{id}");
    }
}
