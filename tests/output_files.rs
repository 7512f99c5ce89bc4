//! Files that a run writes: for their owner alone, replaced as a whole, and where links and pipes lead.

use std::fs::{self, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use natsbench::cli::exit;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::Value;

use crate::harness::{Broker, Finished, Natsbench};

/// Every flag that names a file to write to, with a command that has it.
const FILE_FLAGS: [(&str, &[&str]); 5] = [
    ("--save", &SHORT_LATENCY),
    ("--hdr", &SHORT_LATENCY),
    ("--events", &SHORT_LATENCY),
    ("--series", &SHORT_LATENCY),
    ("--save", &["doctor"]),
];
const SHORT_LATENCY: [&str; 7] = [
    "latency",
    "--slo",
    "lost==0",
    "--warmup",
    "0s",
    "--duration",
    "100ms",
];

fn short_latency(broker: &Broker, args: &[&str]) -> Natsbench {
    let url = broker.ws_url();
    Natsbench::new([&SHORT_LATENCY[..], &["-s", &url], args].concat())
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[track_caller]
fn saved(finished: &Finished, name: &str) -> Value {
    serde_json::from_slice(&fs::read(finished.home().join(name)).unwrap()).unwrap()
}

#[test]
fn a_new_file_is_for_its_owner_alone_and_an_old_one_keeps_its_mode() {
    let broker = Broker::start();
    let url = broker.ws_url();
    for (flag, command) in FILE_FLAGS {
        let args = [command, &["-s", &url, flag, "file"]].concat();
        let finished = Natsbench::new(&args).run().exits(exit::PASSED);
        assert_eq!(mode_of(&finished.home().join("file")), 0o600, "{args:?}");
        assert_eq!(names_in(finished.home()), ["file"], "{args:?}");

        let run = Natsbench::new(&args);
        let path = run.home().join("file");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let finished = run.run().exits(exit::PASSED);
        let path = finished.home().join("file");
        assert_eq!(mode_of(&path), 0o640, "{args:?}");
        assert!(fs::read(&path).unwrap().len() > 10, "{args:?}");
        assert_eq!(names_in(finished.home()), ["file"], "{args:?}");
    }
}

#[test]
fn a_saved_result_takes_the_place_of_the_old_one() {
    let broker = Broker::start();
    let run = short_latency(&broker, &["--save", "result.json"]);
    let path = run.home().join("result.json");
    fs::write(&path, "old").unwrap();
    // Whoever had opened the old one still reads it whole.
    let mut old = fs::File::open(&path).unwrap();
    let finished = run.run().exits(exit::PASSED);
    let mut text = String::new();
    old.read_to_string(&mut text).unwrap();
    assert_eq!(text, "old");
    assert_ne!(
        old.metadata().unwrap().ino(),
        fs::metadata(&path).unwrap().ino()
    );
    assert_eq!(saved(&finished, "result.json")["command"], "latency");
}

#[test]
fn a_link_stays_and_what_it_leads_to_is_replaced() {
    let broker = Broker::start();
    for has_target in [true, false] {
        for flag in ["--save", "--hdr"] {
            let run = short_latency(&broker, &[flag, "link"]);
            fs::create_dir(run.home().join("elsewhere")).unwrap();
            symlink("elsewhere/target", run.home().join("between")).unwrap();
            symlink("between", run.home().join("link")).unwrap();
            if has_target {
                fs::write(run.home().join("elsewhere/target"), "old").unwrap();
            }
            let finished = run.run().exits(exit::PASSED);
            let at = |name: &str| finished.home().join(name);
            assert_eq!(
                fs::read_link(at("link")).unwrap().to_str(),
                Some("between"),
                "{flag}"
            );
            assert!(
                at("elsewhere/target").metadata().unwrap().len() > 100,
                "{flag}"
            );
            assert_eq!(names_in(&at("elsewhere")), ["target"], "{flag}");
            assert_eq!(
                names_in(finished.home()),
                ["between", "elsewhere", "link"],
                "{flag}"
            );
        }
    }
}

#[test]
fn a_pipe_gets_the_result_once_and_its_end() {
    let broker = Broker::start();
    let run = short_latency(&broker, &["--save", "pipe", "-o", "json"]);
    let path = run.home().join("pipe");
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let reader = std::thread::spawn(move || fs::read_to_string(path).unwrap());
    let finished = run.run().exits(exit::PASSED);
    assert_eq!(reader.join().unwrap(), finished.stdout);
    assert_eq!(names_in(finished.home()), ["pipe"]);
}

#[test]
fn a_full_disk_is_an_error_and_takes_no_report() {
    let broker = Broker::start();
    let run = short_latency(&broker, &["--save", "full"]);
    symlink("/dev/full", run.home().join("full")).unwrap();
    let finished = run.run().exits(exit::INTERNAL);
    assert!(finished.stdout.starts_with("PASS: "), "{}", finished.stdout);
    assert_eq!(
        finished.stderr,
        "error: cannot write `full`\n  because: No space left on device (os error 28)\n"
    );
}

#[test]
fn a_disk_that_fills_up_in_the_middle_leaves_the_old_result() {
    let broker = Broker::start();
    // In place as well, which a second name makes necessary.
    for has_second_name in [false, true] {
        let run = short_latency(&broker, &["--save", "result.json"]);
        let path = run.home().join("result.json");
        fs::write(&path, "old").unwrap();
        let names: &[&str] = if has_second_name {
            fs::hard_link(&path, run.home().join("other")).unwrap();
            &["other", "result.json"]
        } else {
            &["result.json"]
        };
        let (limited, home) = with_file_limit(run);
        let output = { limited }.output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(i32::from(exit::INTERNAL)));
        assert!(output.stdout.starts_with(b"PASS: "));
        assert_eq!(
            stderr,
            "error: cannot write `result.json`\n  because: File too large (os error 27)\n"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(names_in(home.path()), names);
    }
}

/// The same run, where no file may grow beyond a kilobyte: less than any result.
fn with_file_limit(run: Natsbench) -> (Command, tempfile::TempDir) {
    let (command, home) = run.into_command();
    let mut limited = Command::new("sh");
    limited
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 1 && exec \"$0\" \"$@\"",
            command.get_program().to_str().unwrap(),
        ])
        .args(command.get_args())
        .env_clear()
        .current_dir(home.path());
    for (name, value) in command.get_envs() {
        limited.env(name, value.unwrap());
    }
    (limited, home)
}

#[test]
fn what_cannot_be_written_is_said_before_anything_is_connected() {
    let cases = [
        ("missing/file", "create the directory first"),
        ("folder", "name a file in it"),
        ("file/below", "Not a directory"),
        ("new/", "name a file in it"),
    ];
    for (path, hint) in cases {
        for (flag, command) in FILE_FLAGS {
            let args = [command, &["-s", "ws://127.0.0.1:1", flag, path]].concat();
            let run = Natsbench::new(&args);
            fs::create_dir(run.home().join("folder")).unwrap();
            fs::write(run.home().join("file"), "old").unwrap();
            let finished = run.run().exits(exit::USAGE);
            let expected = format!("error: `{flag}`: cannot write to `{path}`\n");
            assert!(
                finished.stderr.starts_with(&expected),
                "{}",
                finished.stderr
            );
            assert!(finished.stderr.contains(hint), "{}", finished.stderr);
            assert_eq!(names_in(finished.home()), ["file", "folder"]);
        }
    }
}

#[test]
fn two_flags_for_one_file_are_refused() {
    for (save, hdr) in [("new", "new"), ("new", "link"), ("new", "./new")] {
        let run = Natsbench::new(["latency", "--save", save, "--hdr", hdr]);
        symlink("new", run.home().join("link")).unwrap();
        let finished = run.run().exits(exit::USAGE);
        assert!(
            finished.stderr.contains("name the same file"),
            "{}",
            finished.stderr
        );
        assert_eq!(names_in(finished.home()), ["link"]);
    }
}

#[test]
fn what_is_in_the_way_of_the_log_is_replaced_by_it() {
    let broker = Broker::start();
    let run = short_latency(&broker, &["--hdr", "run.hlog"]);
    let path = run.home().join("run.hlog");
    fs::write(&path, "x".repeat(1 << 20)).unwrap();
    // It is written line by line, so it is the same file for whoever follows it.
    let before = OpenOptions::new().read(true).open(&path).unwrap();
    run.run().exits(exit::PASSED);
    let after = before.metadata().unwrap();
    assert!(after.len() < 1 << 20 && after.len() > 100, "{after:?}");
}
