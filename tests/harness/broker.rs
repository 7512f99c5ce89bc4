//! A real nats-server for one test: on free ports of loopback, ready when `start` returns, killed on drop.
//!
//! Its client and its WebSocket port belong to it until it is dropped, so that it can end and come back on them
//! (`outage.rs`); all others are chosen anew at each start.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::{HeldPort, eventually};

/// A line of nats-server releases that natsbench is tested against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// Whatever `NATS_SERVER_BIN` names: the newest, when `scripts/test` runs the tests.
    Default,
    /// 2.12.8.
    V2_12,
    /// 2.10.26, the oldest that is supported.
    V2_10,
}

impl Version {
    fn variable(self) -> &'static str {
        match self {
            Self::Default => "NATS_SERVER_BIN",
            Self::V2_12 => "NATSBENCH_TEST_SERVER_2_12",
            Self::V2_10 => "NATSBENCH_TEST_SERVER_2_10",
        }
    }

    /// The path of its binary.
    ///
    /// # Panics
    /// When the environment does not name one: a test that skips in silence passes falsely.
    pub(crate) fn binary(self) -> PathBuf {
        let variable = self.variable();
        std::env::var_os(variable).map_or_else(
            || panic!("{variable} is not set: run the tests with `scripts/test`, which gets the servers"),
            PathBuf::from,
        )
    }
}

/// What to start.
#[derive(Debug, Clone)]
pub(crate) struct Builder {
    version: Version,
    websocket: Option<String>,
    config: String,
    files: Vec<(String, String)>,
}

impl Builder {
    /// Another release than the default.
    pub(crate) fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// Replaces the content of the `websocket` block, except for its address; the default is `no_tls: true`.
    pub(crate) fn websocket(mut self, block: &str) -> Self {
        self.websocket = Some(block.to_owned());
        self
    }

    /// Without a WebSocket listener.
    pub(crate) fn without_websocket(mut self) -> Self {
        self.websocket = None;
        self
    }

    /// With a monitoring endpoint.
    pub(crate) fn monitored(self) -> Self {
        self.config("http: \"127.0.0.1:-1\"")
    }

    /// Further configuration. `@DIR@` stands for the directory of the files.
    pub(crate) fn config(mut self, text: &str) -> Self {
        self.config.push_str(text);
        self.config.push('\n');
        self
    }

    /// A file beside the configuration.
    pub(crate) fn file(mut self, name: &str, content: &str) -> Self {
        self.files.push((name.to_owned(), content.to_owned()));
        self
    }

    /// Starts it and waits until it listens.
    pub(crate) fn start(self) -> Broker {
        self.start_on(HeldPort::new(), HeldPort::new())
    }

    /// The same on these ports, which others may have been told before.
    pub(super) fn start_on(self, client_port: HeldPort, ws_port: HeldPort) -> Broker {
        let dir = TempDir::new().expect("a temporary directory");
        for (name, content) in &self.files {
            fs::write(dir.path().join(name), content).expect("a file beside the configuration");
        }
        let log_path = dir.path().join("server.log");
        let mut launch = Launch {
            builder: self,
            client_port,
            ws_port,
            log_path,
            dir,
        };
        let config = std::mem::take(&mut launch.builder.config);
        launch.configure(&config);
        let mut child = launch.spawn();
        let ports = launch.await_ports(&mut child);
        Broker {
            child,
            ports,
            launch,
            is_down: false,
        }
    }
}

/// What it takes to start a broker, once or again.
#[derive(Debug)]
pub(super) struct Launch {
    builder: Builder,
    client_port: HeldPort,
    ws_port: HeldPort,
    log_path: PathBuf,
    dir: TempDir,
}

impl Launch {
    /// Writes the configuration, with this in place of what the test has configured further.
    pub(super) fn configure(&self, config: &str) {
        let dir = self.dir.path().to_str().expect("a UTF-8 path");
        let port = self.client_port.number();
        let mut text =
            format!("listen: \"127.0.0.1:{port}\"\nports_file_dir: \"{dir}\"\nlogtime: false\n");
        if let Some(block) = &self.builder.websocket {
            let port = self.ws_port.number();
            writeln!(
                text,
                "websocket {{ listen: \"127.0.0.1:{port}\"\n{block}\n}}"
            )
            .expect("writing to a string cannot fail");
        }
        text.push_str(config);
        fs::write(self.config_path(), text.replace("@DIR@", dir)).expect("the configuration");
    }

    fn config_path(&self) -> PathBuf {
        self.dir.path().join("server.conf")
    }

    /// Starts a process; its log goes on where the one before it ended.
    pub(super) fn spawn(&self) -> Child {
        // A server that was killed has left it behind.
        for path in ports_files(self.dir.path()) {
            fs::remove_file(path).expect("the file is ours");
        }
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        let log = options.open(&self.log_path).expect("the log");
        Command::new(self.builder.version.binary())
            .arg("--config")
            .arg(self.config_path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle of the log"))
            .stderr(log)
            .spawn()
            .expect("nats-server runs")
    }

    /// Waits until it listens.
    pub(super) fn await_ports(&self, child: &mut Child) -> Value {
        eventually("nats-server to listen", || {
            let ended = child.try_wait().expect("the child can be waited for");
            assert!(ended.is_none(), "nats-server ended: {}", self.log());
            read_ports(self.dir.path(), self.builder.websocket.is_some())
        })
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log_path).unwrap_or_default()
    }
}

fn ports_files(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let paths = entries.map(|entry| entry.path());
    paths.filter(|path| path.extension().is_some_and(|ext| ext == "ports"))
}

/// The ports file, once it is whole.
fn read_ports(dir: &Path, has_websocket: bool) -> Option<Value> {
    let path = ports_files(dir).next()?;
    let ports: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let is_whole =
        ports["nats"][0].is_string() && (!has_websocket || ports["websocket"][0].is_string());
    is_whole.then_some(ports)
}

/// A running nats-server.
#[derive(Debug)]
pub(crate) struct Broker {
    pub(super) child: Child,
    pub(super) ports: Value,
    pub(super) launch: Launch,
    pub(super) is_down: bool,
}

impl Broker {
    /// A broker with a plain WebSocket listener.
    pub(crate) fn start() -> Self {
        Self::builder().start()
    }

    /// To configure more.
    pub(crate) fn builder() -> Builder {
        Builder {
            version: Version::Default,
            websocket: Some("no_tls: true".to_owned()),
            config: String::new(),
            files: Vec::new(),
        }
    }

    pub(super) fn url(&self, kind: &str) -> String {
        self.ports[kind][0]
            .as_str()
            .unwrap_or_else(|| panic!("this broker has no {kind} listener: {}", self.ports))
            .to_owned()
    }

    /// `ws://127.0.0.1:<port>` (`wss://` with TLS).
    pub(crate) fn ws_url(&self) -> String {
        self.url("websocket")
    }

    /// `nats://127.0.0.1:<port>`.
    pub(crate) fn client_url(&self) -> String {
        self.url("nats")
    }

    /// The port of the WebSocket listener.
    pub(crate) fn ws_port(&self) -> u16 {
        port_of(&self.ws_url())
    }

    /// The port of the client listener.
    pub(crate) fn client_port(&self) -> u16 {
        port_of(&self.client_url())
    }

    /// The port of the monitoring endpoint.
    pub(crate) fn monitoring_port(&self) -> u16 {
        port_of(&self.url("monitoring"))
    }

    /// Where its files are.
    pub(crate) fn dir(&self) -> &Path {
        self.launch.dir.path()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.launch.log()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        assert!(!self.is_down, "the broker was ended before");
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the broker is there");
    }
}

fn port_of(url: &str) -> u16 {
    url.rsplit(':')
        .next()
        .and_then(|port| port.parse().ok())
        .expect("the URL ends with a port")
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Works on a stopped process, too; a failure means that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
