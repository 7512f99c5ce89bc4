//! Runs the built binary, in an environment of its own, and compares what comes out.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::turns::Turn;
use super::{DEADLINE, eventually};

/// Every subcommand, in the order of the help.
pub(crate) const COMMANDS: [&str; 7] = [
    "pub",
    "sub",
    "latency",
    "doctor",
    "broker",
    "completions",
    "man",
];

/// Every variable of the environment that a flag can be given by.
pub(crate) const VARIABLES: [&str; 12] = [
    "NATS_URL",
    "NATS_CONTEXT",
    "NATS_USER",
    "NATS_PASSWORD",
    "NATS_TOKEN",
    "NATS_CREDS",
    "NATS_NKEY",
    "NATS_CA",
    "NATS_CERT",
    "NATS_KEY",
    "NATS_TIMEOUT",
    "NATSBENCH_PUB_SERVER",
];

/// One run of `natsbench`, to be.
#[derive(Debug)]
pub(crate) struct Natsbench {
    command: Command,
    home: TempDir,
}

impl Natsbench {
    /// With these arguments, and nothing of the environment but `PATH` and the broker binary.
    pub(crate) fn new<I, A>(args: I) -> Self
    where
        I: IntoIterator<Item = A>,
        A: AsRef<OsStr>,
    {
        let home = TempDir::new().expect("a temporary directory");
        let mut command = Command::new(env!("CARGO_BIN_EXE_natsbench"));
        command
            .args(args)
            .env_clear()
            .env("HOME", home.path())
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for variable in ["PATH", "NATS_SERVER_BIN", "LLVM_PROFILE_FILE"] {
            if let Some(value) = std::env::var_os(variable) {
                command.env(variable, value);
            }
        }
        Self { command, home }
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Home and working directory of the run.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// The command itself, for a test that connects its streams in its own way, and the home it needs.
    pub(crate) fn into_command(self) -> (Command, TempDir) {
        (self.command, self.home)
    }

    /// Runs it to its end.
    #[track_caller]
    pub(crate) fn run(self) -> Finished {
        self.spawn().wait()
    }

    /// Starts it.
    #[track_caller]
    pub(crate) fn spawn(mut self) -> Running {
        let turn = Turn::take();
        let mut child = self.command.spawn().expect("the built natsbench runs");
        let mut stdout = child.stdout.take().expect("stdout is a pipe");
        let stderr = child.stderr.take().expect("stderr is a pipe");
        let (out_sender, stdout_lines) = channel();
        let (err_sender, stderr_lines) = channel();
        // Threads, so that a full pipe never blocks the run that is tested.
        let stdout = std::thread::spawn(move || {
            let mut text = Vec::new();
            let mut reader = BufReader::new(&mut stdout);
            while let Ok(1..) = reader.read_until(b'\n', &mut text) {
                let start = text[..text.len() - 1]
                    .iter()
                    .rposition(|b| *b == b'\n')
                    .map_or(0, |at| at + 1);
                // Nobody has to listen.
                let _ = out_sender.send(String::from_utf8_lossy(&text[start..]).into_owned());
            }
            text
        });
        let stderr = std::thread::spawn(move || {
            let mut text = Vec::new();
            let mut reader = BufReader::new(stderr);
            while let Ok(1..) = reader.read_until(b'\n', &mut text) {
                let start = text[..text.len() - 1]
                    .iter()
                    .rposition(|b| *b == b'\n')
                    .map_or(0, |at| at + 1);
                let _ = err_sender.send(String::from_utf8_lossy(&text[start..]).into_owned());
            }
            text
        });
        Running {
            child,
            stdout: Some(stdout),
            stderr: Some(stderr),
            stdout_lines,
            stderr_lines,
            home: Some(self.home),
            _turn: turn,
        }
    }
}

/// A run that has begun; killed on drop.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
    stdout_lines: Receiver<String>,
    stderr_lines: Receiver<String>,
    home: Option<TempDir>,
    /// Given up behind the child.
    _turn: Turn,
}

impl Running {
    /// Waits for a line on standard output that contains `part`.
    #[track_caller]
    pub(crate) fn stdout_line(&self, part: &str) -> String {
        line_with(&self.stdout_lines, part)
    }

    /// Waits for a line on standard error that contains `part`.
    #[track_caller]
    pub(crate) fn stderr_line(&self, part: &str) -> String {
        line_with(&self.stderr_lines, part)
    }

    /// The process id.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits until it has ended, and returns the most memory that it has had resident, in KiB.
    #[track_caller]
    pub(crate) fn peak_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid().as_raw_nonzero());
        let mut peak_kib = 0;
        eventually("the run to end", || {
            // A process that has ended has no memory, and no such line.
            let status = std::fs::read_to_string(&path).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let Some(line) = line else { return Some(()) };
            let kib = line.trim().trim_end_matches("kB").trim();
            peak_kib = kib.parse().expect("a number of KiB");
            None
        });
        peak_kib
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the run has not ended");
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// When it does not come.
    #[track_caller]
    pub(crate) fn wait(mut self) -> Finished {
        let status = eventually("natsbench to end", || {
            self.child.try_wait().expect("the child can be waited for")
        });
        let text = |thread: Option<JoinHandle<Vec<u8>>>| {
            thread
                .and_then(|thread| thread.join().ok())
                .unwrap_or_default()
        };
        let stdout = text(self.stdout.take());
        let stderr = text(self.stderr.take());
        Finished {
            code: status.code(),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
            home: self.home.take().expect("it is taken only here"),
        }
    }
}

#[track_caller]
fn line_with(lines: &Receiver<String>, part: &str) -> String {
    let mut seen = String::new();
    loop {
        match lines.recv_timeout(DEADLINE) {
            Ok(line) if line.contains(part) => return line,
            Ok(line) => seen.push_str(&line),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                panic!("no line contains `{part}`:\n{seen}")
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Works on a stopped process, too; a failure means that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a run has left.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    home: TempDir,
}

impl Finished {
    /// Checks the exit code, and shows everything when it is another.
    #[track_caller]
    pub(crate) fn exits(self, code: u8) -> Self {
        assert_eq!(
            self.code,
            Some(i32::from(code)),
            "stdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    /// Standard output, which must be one JSON document and nothing else.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("stdout is not JSON alone ({error}):\n{}", self.stdout))
    }

    /// The home directory of the run, with what it has written.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }
}
