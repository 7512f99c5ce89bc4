//! Help and version: what people read first, compared word for word, in 80 columns.

use natsbench::cli::exit;

use crate::harness::{COMMANDS, Natsbench, VARIABLES};

fn help(args: &[&str]) -> String {
    let finished = Natsbench::new(args)
        .env("COLUMNS", "80")
        .run()
        .exits(exit::PASSED);
    assert_eq!(finished.stderr, "");
    finished.stdout
}

#[test]
fn the_help_of_every_command_is_as_reviewed() {
    insta::assert_snapshot!("natsbench", help(&["--help"]));
    for command in COMMANDS {
        insta::assert_snapshot!(command, help(&[command, "--help"]));
    }
}

#[test]
fn help_fits_into_80_columns() {
    let all = COMMANDS
        .iter()
        .map(|command| help(&[command, "--help"]))
        .chain([help(&["--help"])]);
    for line in all.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()) {
        assert!(line.chars().count() <= 80, "{line}");
        assert_eq!(line, line.trim_end(), "no blanks at the end");
    }
}

#[test]
fn the_short_flag_shows_the_same() {
    for command in COMMANDS {
        assert_eq!(
            help(&[command, "-h"]),
            help(&[command, "--help"]),
            "{command}"
        );
    }
    assert_eq!(help(&["-h"]), help(&["--help"]));
}

#[test]
fn help_does_not_show_the_environment() {
    let run = Natsbench::new(["latency", "--help"]).env("COLUMNS", "80");
    let finished = VARIABLES
        .iter()
        .fold(run, |run, name| run.env(name, "hunter2"))
        .run()
        .exits(exit::PASSED);
    assert_eq!(finished.stdout, help(&["latency", "--help"]));
    for name in VARIABLES {
        assert!(finished.stdout.contains(name), "{name} is not documented");
    }
}

#[test]
fn the_version_is_one_line() {
    for flag in ["--version", "-V"] {
        let finished = Natsbench::new([flag]).run().exits(exit::PASSED);
        assert_eq!(
            finished.stdout,
            concat!("natsbench ", env!("CARGO_PKG_VERSION"), "\n")
        );
        assert_eq!(finished.stderr, "");
    }
}

#[test]
fn without_a_command_the_help_is_an_error() {
    let finished = Natsbench::new([""; 0])
        .env("COLUMNS", "80")
        .run()
        .exits(exit::USAGE);
    assert_eq!(finished.stdout, "");
    assert_eq!(finished.stderr, help(&["--help"]));
}
