//! `doctor`: the GitHub Action, its file and its steps.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::harness::{Broker, ScriptedPort};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn action_file() -> String {
    fs::read_to_string(root().join("action.yml")).unwrap()
}

/// Every value of the file with its path, such as `inputs.server.default`; a list has numbers. The file keeps to maps and
/// lists of plain values, and whatever else it had would fail here.
fn entries(yaml: &str) -> Vec<(String, String)> {
    let mut parents: Vec<(usize, String)> = Vec::new();
    let mut n_items = 0;
    let mut entries = Vec::new();
    for line in yaml.lines() {
        assert_eq!(line, line.trim_end(), "no blanks at the end");
        let mut rest = line.trim_start_matches(' ');
        let mut indent = line.len() - rest.len();
        while parents.last().is_some_and(|(above, _)| *above >= indent) {
            parents.pop();
        }
        if let Some(item) = rest.strip_prefix("- ") {
            parents.push((indent, n_items.to_string()));
            n_items += 1;
            (indent, rest) = (indent + 2, item);
        }
        let (key, value) = rest
            .split_once(':')
            .unwrap_or_else(|| panic!("no key: {line}"));
        let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
        assert!(key.bytes().all(is_name), "{line}");
        let value = value.trim();
        let is_quoted = value.len() > 1 && value.starts_with('"') && value.ends_with('"');
        let is_special = value.starts_with(|c: char| "[{|>&*!%@#\"'`".contains(c));
        assert!(is_quoted || !is_special && !value.contains(": "), "{line}");
        let above = parents.iter().map(|(_, key)| key.as_str());
        let path = above.chain([key]).collect::<Vec<_>>().join(".");
        if value.is_empty() {
            parents.push((indent, key.to_owned()));
        } else {
            entries.push((path, value.to_owned()));
        }
    }
    entries
}

#[test]
fn no_input_becomes_a_part_of_a_command() {
    let entries = entries(&action_file());
    let runs: Vec<_> = entries
        .iter()
        .filter(|(path, _)| path.rsplit('.').next() == Some("run"))
        .collect();
    assert_eq!(runs.len(), 3, "{entries:?}");
    for ((_, run), step) in runs.into_iter().zip(["name", "build", "doctor"]) {
        assert_eq!(
            run,
            &format!("bash \"$GITHUB_ACTION_PATH/scripts/action\" {step}")
        );
    }
}

#[test]
fn every_input_is_described_and_reaches_the_doctor() {
    let entries = entries(&action_file());
    let value = |path: &str| {
        let mut entries = entries.iter();
        let found = entries.find(|(known, _)| known == path);
        found
            .unwrap_or_else(|| panic!("there is no {path}"))
            .1
            .as_str()
    };
    let script = fs::read_to_string(root().join("scripts/action")).unwrap();
    for input in [
        "server", "subjects", "args", "format", "strict", "fail-on", "user", "password", "token",
        "creds",
    ] {
        assert!(!value(&format!("inputs.{input}.description")).is_empty());
        assert_eq!(value(&format!("inputs.{input}.required")), "false");
        value(&format!("inputs.{input}.default"));
        let variable = format!("INPUT_{}", input.to_uppercase().replace('-', "_"));
        let given = value(&format!("runs.steps.3.env.{variable}"));
        assert_eq!(given, format!("${{{{ inputs.{input} }}}}"));
        assert!(script.contains(&variable), "{variable}");
    }
    for output in ["status", "result", "report"] {
        assert_eq!(
            value(&format!("outputs.{output}.value")),
            format!("${{{{ steps.doctor.outputs.{output} }}}}")
        );
        assert!(script.contains(&format!("output {output} ")));
    }
    assert_eq!(value("runs.using"), "composite");
}

#[test]
fn other_actions_are_pinned() {
    let entries = entries(&action_file());
    let mut uses = entries
        .iter()
        .filter(|(path, _)| path.rsplit('.').next() == Some("uses"));
    assert!(uses.all(|(_, action)| {
        let (_, version) = action.split_once('@').unwrap();
        let hash = version.split(' ').next().unwrap();
        hash.len() == 40 && hash.bytes().all(|b| b.is_ascii_hexdigit())
    }));
}

/// A machine of GitHub, as far as the script sees one.
struct Runner {
    home: TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Runner {
    fn new(server: &str) -> Self {
        let home = TempDir::new().unwrap();
        let bin = home.path().join("bin");
        fs::create_dir(&bin).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_natsbench"), bin.join("natsbench")).unwrap();
        let at = |name: &str| home.path().join(name).display().to_string();
        let mut variables = vec![
            ("PATH", std::env::var("PATH").unwrap()),
            ("HOME", at("")),
            ("RUNNER_OS", "Linux".to_owned()),
            ("RUNNER_ARCH", "X64".to_owned()),
            ("RUNNER_TEMP", at("")),
            ("GITHUB_ACTION_PATH", root().display().to_string()),
            ("GITHUB_OUTPUT", at("output")),
            ("GITHUB_STEP_SUMMARY", at("summary.md")),
            ("NATSBENCH_DIRECTORY", at("bin")),
            ("INPUT_SERVER", server.to_owned()),
            ("INPUT_FORMAT", "github".to_owned()),
            ("INPUT_STRICT", "false".to_owned()),
            ("INPUT_FAIL_ON", "failed".to_owned()),
        ];
        for name in ["SUBJECTS", "ARGS", "USER", "PASSWORD", "TOKEN", "CREDS"] {
            let name: &'static str = format!("INPUT_{name}").leak();
            variables.push((name, String::new()));
        }
        Self { home, variables }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.retain(|(known, _)| *known != name);
        self.variables.push((name, value.to_owned()));
        self
    }

    fn run(&self, step: &str) -> Output {
        Command::new("bash")
            .arg(root().join("scripts/action"))
            .arg(step)
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.home.path())
            .output()
            .expect("bash is there")
    }

    fn output(&self, name: &str) -> String {
        let outputs = fs::read_to_string(self.home.path().join("output")).unwrap();
        let mut lines = outputs.lines().rev();
        let value = lines.find_map(|line| line.strip_prefix(&format!("{name}=")));
        value
            .unwrap_or_else(|| panic!("no {name}: {outputs}"))
            .to_owned()
    }

    fn summary(&self) -> String {
        fs::read_to_string(self.home.path().join("summary.md")).unwrap_or_default()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_healthy_broker_passes_with_outputs_and_a_summary() {
    let broker = Broker::start();
    let runner = Runner::new(&broker.ws_url());
    let output = runner.run("doctor");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(runner.output("status"), "ok");
    let result = fs::read_to_string(runner.output("result")).unwrap();
    let result: serde_json::Value = serde_json::from_str(&result).unwrap();
    assert_eq!(result["schema"], "natsbench.doctor/1");
    assert_eq!(
        fs::read_to_string(runner.output("report")).unwrap(),
        text(&output.stdout)
    );
    assert!(runner.summary().starts_with("## natsbench doctor\n"));
}

#[test]
fn a_broken_one_fails_the_step_unless_nothing_is_to() {
    let port = ScriptedPort::start(|_| ()).port();
    let url = format!("ws://127.0.0.1:{port}");
    let runner = Runner::new(&url);
    let output = runner.run("doctor");
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert_eq!(runner.output("status"), "failed");
    assert!(
        text(&output.stdout).starts_with("::error title="),
        "{output:?}"
    );

    for format in ["human", "nagios", "junit"] {
        let runner = Runner::new(&url)
            .with("INPUT_FAIL_ON", "never")
            .with("INPUT_FORMAT", format);
        let output = runner.run("doctor");
        assert!(output.status.success(), "{output:?}");
        assert_eq!(runner.output("status"), "failed");
    }
}

#[test]
fn what_a_broker_says_is_no_command_in_any_format() {
    let port = ScriptedPort::answering(
        "HTTP/1.1 400 Bad\r\nServer: ::error::x\r\nContent-Length: 11\r\n\r\n\n::error::x",
    );
    let output = Runner::new(&port.ws_url())
        .with("INPUT_FORMAT", "human")
        .run("doctor");
    let stdout = text(&output.stdout);
    let (first, rest) = stdout.split_once('\n').unwrap();
    let guard = first.strip_prefix("::stop-commands::").unwrap();
    assert!(
        guard.len() == 32 && rest.ends_with(&format!("\n::{guard}::\n")),
        "{stdout}"
    );
}

#[test]
fn inputs_are_arguments_and_never_commands() {
    let broker = Broker::start();
    let runner = Runner::new(&broker.ws_url())
        .with(
            "INPUT_SUBJECTS",
            "rounds.$(touch owned)\n\n  rounds.`touch owned`  \n--help\n",
        )
        .with("INPUT_ARGS", "--offline\n--only\ninput")
        .with("INPUT_USER", "$(touch owned)");
    let output = runner.run("doctor");
    // Behind the arguments, nothing is a flag.
    assert!(!text(&output.stdout).contains("Usage:"), "{output:?}");
    assert!(!runner.home.path().join("owned").exists());
    assert_ne!(runner.output("status"), "error", "{output:?}");

    let odd = Runner::new(&broker.ws_url()).with("INPUT_FORMAT", "x; touch owned");
    assert_eq!(odd.run("doctor").status.code(), Some(2));
    assert_eq!(odd.output("status"), "error");
    assert!(!odd.home.path().join("owned").exists());
    for (name, value) in [("INPUT_STRICT", "yes"), ("INPUT_FAIL_ON", "always")] {
        let odd = Runner::new(&broker.ws_url()).with(name, value);
        assert_eq!(odd.run("doctor").status.code(), Some(1));
    }
}

#[test]
fn secrets_are_handed_over_and_left_nowhere() {
    const SECRET: &str = "hunter2-5f3759df";
    let broker = Broker::builder()
        .config(&format!(
            "authorization {{ user: me, password: \"{SECRET}\" }}"
        ))
        .start();
    let runner = Runner::new(&broker.ws_url())
        .with("INPUT_USER", "me")
        .with("INPUT_PASSWORD", SECRET);
    let output = runner.run("doctor");
    assert!(output.status.success(), "{output:?}");

    let creds = Runner::new(&broker.ws_url()).with("INPUT_CREDS", SECRET);
    creds.run("doctor");
    for runner in [runner, creds] {
        for path in files_below(runner.home.path()) {
            if !path.ends_with("bin/natsbench") {
                let content = text(&fs::read(&path).unwrap());
                assert!(!content.contains(SECRET), "{}", path.display());
            }
        }
    }
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(directory).unwrap();
    let paths = paths.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files_below(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

#[test]
fn a_build_is_named_after_its_source_and_used_again() {
    let runner = Runner::new("");
    let output = runner.run("name");
    assert!(output.status.success(), "{output:?}");
    let key = runner.output("key");
    assert!(
        key.starts_with("natsbench-Linux-X64-") && key.len() == 20 + 32,
        "{key}"
    );
    runner.run("name");
    assert_eq!(runner.output("key"), key);
    let cached = runner.run("build");
    assert!(text(&cached.stdout).starts_with("natsbench "), "{cached:?}");
    let other = Runner::new("").with("RUNNER_OS", "macOS").run("name");
    assert_eq!(other.status.code(), Some(1));
}
