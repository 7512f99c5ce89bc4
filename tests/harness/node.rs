//! Runs one of the scripts in `tests/clients`: today's JavaScript clients, as pages in browsers use them.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use super::eventually;

/// A script that runs; killed on drop.
pub(crate) struct Node {
    child: Child,
    stderr: BufReader<ChildStderr>,
}

impl Node {
    /// Starts `tests/clients/SCRIPT URL COUNT`.
    ///
    /// # Panics
    /// When Node or the clients are not there: a test that skips in silence passes falsely.
    pub(crate) fn start(script: &str, url: &str, count: u64) -> Self {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
        assert!(
            directory.join("node_modules/.package-lock.json").exists(),
            "the JavaScript clients are not installed: run the tests with `scripts/test`, which installs them"
        );
        let mut child = Command::new("node")
            .arg(directory.join(script))
            .args([url, &count.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("cannot run `node` ({error}): install Node 20 or later, as `scripts/test` asks for")
            });
        let stderr = BufReader::new(child.stderr.take().expect("stderr is a pipe"));
        Self { child, stderr }
    }

    /// Waits until it says that it has subscribed.
    #[track_caller]
    pub(crate) fn ready(mut self) -> Self {
        let mut line = String::new();
        // The script gives up by itself; the read ends then at the latest.
        self.stderr.read_line(&mut line).expect("text");
        assert_eq!(line, "READY\n", "{}", self.complaint());
        self
    }

    /// Waits for its end, and returns what it has printed.
    #[track_caller]
    pub(crate) fn finish(mut self) -> String {
        let status = eventually("the script to end", || {
            self.child.try_wait().expect("the child can be waited for")
        });
        let mut text = String::new();
        let mut stdout = self.child.stdout.take().expect("stdout is a pipe");
        stdout.read_to_string(&mut text).expect("text");
        assert!(status.success(), "{text}{}", self.complaint());
        text
    }

    fn complaint(&mut self) -> String {
        let mut text = String::new();
        let _ = self.stderr.read_to_string(&mut text);
        text
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A failure means that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
