//! Completion scripts and manual pages.

use std::process::{Command, Stdio};

use natsbench::cli::exit;

use crate::harness::{COMMANDS, Natsbench};

fn script(shell: &str) -> String {
    let finished = Natsbench::new(["completions", shell])
        .run()
        .exits(exit::PASSED);
    assert_eq!(finished.stderr, "");
    finished.stdout
}

#[test]
fn every_script_knows_every_command_and_its_flags() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = script(shell);
        for word in COMMANDS
            .iter()
            .chain(&["slo", "publishers", "websocket-port"])
        {
            assert!(script.contains(word), "{shell}: {word}");
        }
        assert!(!script.contains("__exec-nats-server"), "{shell}");
    }
}

#[test]
fn bash_accepts_its_script_and_completes_with_it() {
    let run = |program: &str| {
        let output = Command::new("bash")
            .args([
                "--noprofile",
                "--norc",
                "-c",
                program,
                "bash",
                &script("bash"),
            ])
            .stdin(Stdio::null())
            .output()
            .expect("bash is there");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    run("bash -n <(printf '%s' \"$1\")");
    // As readline does it: the words typed so far, the one to complete last.
    let complete = "eval \"$1\"; COMP_WORDS=(natsbench lat); COMP_CWORD=1; \
                    _natsbench natsbench lat natsbench; printf '%s\\n' \"${COMPREPLY[@]}\"";
    assert_eq!(run(complete), "latency\n");
}

#[test]
fn manual_pages_are_written_for_every_command() {
    let finished = Natsbench::new(["man", "new/man1"])
        .run()
        .exits(exit::PASSED);
    assert_eq!(
        (finished.stdout.as_str(), finished.stderr.as_str()),
        ("", "")
    );
    let directory = finished.home().join("new/man1");
    let mut names: Vec<String> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let mut expected: Vec<String> = COMMANDS
        .iter()
        .map(|command| format!("natsbench-{command}.1"))
        .chain(["natsbench.1".to_owned()])
        .collect();
    expected.sort();
    assert_eq!(names, expected);
    for name in names {
        let page = std::fs::read_to_string(directory.join(&name)).unwrap();
        for section in [".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION", ".SH OPTIONS"] {
            assert!(page.contains(section), "{name}: {section}");
        }
    }
    let first = std::fs::read_to_string(directory.join("natsbench.1")).unwrap();
    for command in COMMANDS {
        assert!(first.contains(command), "{command}");
    }
    assert!(first.contains("130"), "exit codes");
}
