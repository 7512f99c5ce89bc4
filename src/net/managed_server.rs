//! A nats-server of our own: found on this machine, run as a child on loopback, stopped cleanly.
//!
//! Invariants
//! - Every listener binds to 127.0.0.1; a [`Port::Free`] is chosen by the server itself and read back from its
//!   ports file, so that no port is ever guessed.
//! - The child never outlives us. [`ManagedServer::stop`] ends it gently, dropping kills it, and with a
//!   `supervisor` it also ends when this process is killed outright; see [`exec_supervised`].
//! - Configuration, log and `JetStream` store live in one temporary directory, which goes when the server goes.
//!   (A process that is killed outright leaves that directory behind, as it leaves every temporary file.)

mod find;
mod supervise;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::clock::{mono_now, sleep_until};

pub use find::{
    FindServer, HOW_TO_GET_IT, OLDEST_USABLE, ServerNotFound, ServerVersion, Unusable, find_server,
};
pub use supervise::{EXEC_SERVER_ARG, exec_supervised};

/// How long a server may take until it listens: a healthy one takes some 30 ms.
const START_LIMIT_NS: u64 = 10_000_000_000;
const START_POLL: Duration = Duration::from_millis(5);
/// How long a server may take to end after SIGTERM: `JetStream` syncs its store first.
const STOP_LIMIT: Duration = Duration::from_secs(3);
/// How long dropping waits for a killed child, so that its files can be removed.
const KILL_LIMIT_NS: u64 = 500_000_000;
const KILL_POLL_NS: u64 = 1_000_000;
/// How many lines of its log an error quotes.
const MAX_LOG_LINES: usize = 5;
/// How many bytes of the end of a log are looked at.
const LOG_TAIL_BYTES: usize = 8 * 1024;

/// A port to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// Any that is free.
    Free,
    /// This one.
    Fixed(u16),
}

impl Port {
    /// As the server's configuration has it; zero would mean "the default port" there.
    fn for_config(self) -> i32 {
        match self {
            Self::Free | Self::Fixed(0) => -1,
            Self::Fixed(port) => i32::from(port),
        }
    }
}

/// The listeners of a server.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// The NATS protocol over TCP.
    pub client: Port,
    /// The NATS protocol over WebSocket.
    pub websocket: Port,
    /// The HTTP monitoring endpoint, off when `None`.
    pub monitoring: Option<Port>,
}

/// What to start.
#[derive(Debug, Clone)]
pub struct ManagedServerConfig {
    /// The nats-server; see [`find_server`].
    pub binary: PathBuf,
    /// The listeners.
    pub ports: Ports,
    /// Whether `JetStream` is on, with a store in the temporary directory.
    pub jetstream: bool,
    /// Whether the WebSocket listener offers `permessage-deflate`.
    pub compression: bool,
    /// Further lines for the configuration file, after ours. A key given again here wins.
    pub extra_config: String,
    /// An executable that calls [`exec_supervised`] when its first argument is [`EXEC_SERVER_ARG`]: natsbench
    /// itself. `None` starts the server directly; it then outlives a process that is killed outright.
    pub supervisor: Option<PathBuf>,
}

impl ManagedServerConfig {
    /// A server on free ports with compression offered, without monitoring, `JetStream` and supervisor.
    pub fn new(binary: PathBuf) -> Self {
        Self {
            binary,
            ports: Ports {
                client: Port::Free,
                websocket: Port::Free,
                monitoring: None,
            },
            jetstream: false,
            compression: true,
            extra_config: String::new(),
            supervisor: None,
        }
    }

    fn render(&self, dir: &Path) -> String {
        let mut text = format!(
            "listen: \"127.0.0.1:{}\"\n\
             ports_file_dir: {}\n\
             logtime: false\n\
             websocket {{ listen: \"127.0.0.1:{}\", no_tls: true, compression: {} }}\n",
            self.ports.client.for_config(),
            quoted(dir),
            self.ports.websocket.for_config(),
            self.compression,
        );
        if let Some(port) = self.ports.monitoring {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "http: \"127.0.0.1:{}\"", port.for_config());
        }
        if self.jetstream {
            let store = dir.join("jetstream");
            let _ = writeln!(text, "jetstream {{ store_dir: {} }}", quoted(&store));
        }
        text.push_str(&self.extra_config);
        text.push('\n');
        text
    }
}

/// A path as a string of the server's configuration language.
fn quoted(path: &Path) -> String {
    let escaped = path
        .to_string_lossy()
        .replace('\\', "\\\\")
        .replace('"', "\\\"");
    format!("\"{escaped}\"")
}

/// Why a server could not be started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ManagedServerError {
    /// The temporary directory could not be filled.
    #[error("cannot write the configuration of nats-server")]
    Files(#[source] io::Error),
    /// The binary does not work.
    #[error("`{}` cannot be used", binary.display())]
    Unusable {
        /// The binary.
        binary: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Unusable,
    },
    /// The process could not be started.
    #[error("cannot run `{}`", program.display())]
    Spawn {
        /// What was to be run.
        program: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It ended before it was ready: a port in use, a mistake in the configuration.
    #[error("nats-server ended before it was ready ({status}): {log}")]
    EndedEarly {
        /// How it ended.
        status: ExitStatus,
        /// The last lines of its log.
        log: String,
    },
    /// It runs and does not become ready.
    #[error("nats-server was not ready within {} s: {log}", START_LIMIT_NS / 1_000_000_000)]
    NotReady {
        /// The last lines of its log.
        log: String,
    },
    /// It is ready, without a listener that was asked for.
    #[error("nats-server reports no {listener} listener")]
    NoListener {
        /// The kind of listener.
        listener: &'static str,
    },
    /// The process could not be watched or signalled.
    #[error("cannot watch nats-server")]
    Watch(#[source] io::Error),
}

/// What the server writes into its ports file.
#[derive(Debug, Deserialize)]
struct PortsFile {
    #[serde(default)]
    nats: Vec<String>,
    #[serde(default)]
    websocket: Vec<String>,
    #[serde(default)]
    monitoring: Vec<String>,
}

/// A child and its files; killed and removed on drop.
#[derive(Debug)]
struct Running {
    child: Child,
    pid: Pid,
    dir: TempDir,
}

/// A running nats-server that belongs to us.
#[derive(Debug)]
pub struct ManagedServer {
    running: Running,
    version: ServerVersion,
    client_url: String,
    websocket_url: String,
    monitoring_url: Option<String>,
}

impl ManagedServer {
    /// Starts a server and waits until it listens.
    ///
    /// With a `supervisor`, call this on a **thread that lives as long as the run** (the one that drives the
    /// runtime, or a worker of it; never one that ends earlier, such as that of `spawn_blocking`): the kernel
    /// sends the death signal when the *thread* that started the child ends, not only when the process does.
    pub async fn start(config: ManagedServerConfig) -> Result<Self, ManagedServerError> {
        let version = version_of(&config.binary).await?;
        let mut running = Running::spawn(&config)?;
        let ports = running.wait_until_ready().await?;
        let first = |urls: Vec<String>, listener| {
            let url = urls.into_iter().next();
            url.ok_or(ManagedServerError::NoListener { listener })
        };
        Ok(Self {
            version,
            client_url: first(ports.nats, "client")?,
            websocket_url: first(ports.websocket, "WebSocket")?,
            monitoring_url: ports.monitoring.into_iter().next(),
            running,
        })
    }

    /// `nats://127.0.0.1:<port>`.
    pub fn client_url(&self) -> &str {
        &self.client_url
    }

    /// `ws://127.0.0.1:<port>`.
    pub fn websocket_url(&self) -> &str {
        &self.websocket_url
    }

    /// `http://127.0.0.1:<port>`, if monitoring was asked for.
    pub fn monitoring_url(&self) -> Option<&str> {
        self.monitoring_url.as_deref()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.running.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// What the binary reports as its version.
    pub fn version(&self) -> ServerVersion {
        self.version
    }

    /// The last lines of the server's log.
    pub fn log_tail(&self) -> String {
        self.running.log_tail()
    }

    /// Waits until the server ends by itself, which it should not. Cancel-safe.
    pub async fn wait(&mut self) -> Result<ExitStatus, ManagedServerError> {
        self.running
            .child
            .wait()
            .await
            .map_err(ManagedServerError::Watch)
    }

    /// Ends the server: gently first, by force when that takes longer than three seconds.
    pub async fn stop(mut self) -> Result<(), ManagedServerError> {
        let child = &mut self.running.child;
        // Without an id the child has ended already and its number may belong to another process.
        if child.id().is_some() {
            // A failure means that it has just ended by itself; the wait below tells.
            let _ = kill_process(self.running.pid, Signal::TERM);
        }
        let ended = match timeout(STOP_LIMIT, child.wait()).await {
            Ok(ended) => ended.map(drop),
            Err(_) => child.kill().await,
        };
        ended.map_err(ManagedServerError::Watch)
    }
}

impl Running {
    fn spawn(config: &ManagedServerConfig) -> Result<Self, ManagedServerError> {
        let files = |error| ManagedServerError::Files(error);
        let dir = tempfile::Builder::new()
            .prefix("natsbench-server-")
            .tempdir()
            .map_err(files)?;
        let config_path = dir.path().join("server.conf");
        fs::write(&config_path, config.render(dir.path())).map_err(files)?;
        let log = File::create(log_path(dir.path())).map_err(files)?;
        let server_args: Vec<OsString> = vec!["--config".into(), config_path.into()];
        let (program, args) = match &config.supervisor {
            Some(supervisor) => {
                let binary = config.binary.clone().into_os_string();
                (supervisor, supervise::arguments(binary, server_args))
            }
            None => (&config.binary, server_args),
        };
        let mut command = Command::new(program);
        command
            .args(args)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(files)?)
            .stderr(log)
            .kill_on_drop(true);
        if config.supervisor.is_some() {
            // Out of the terminal's foreground group: Ctrl-C is for us, who drain first and stop the server then.
            command.process_group(0);
        }
        let spawned = |source| ManagedServerError::Spawn {
            program: program.clone(),
            source,
        };
        let child = command.spawn().map_err(spawned)?;
        let pid = child
            .id()
            .and_then(|id| Pid::from_raw(id.cast_signed()))
            .expect("a child that nobody has waited for has a process id");
        Ok(Self { child, pid, dir })
    }

    async fn wait_until_ready(&mut self) -> Result<PortsFile, ManagedServerError> {
        let deadline = mono_now().plus(START_LIMIT_NS);
        loop {
            if let Some(ports) = read_ports(self.dir.path()) {
                return Ok(ports);
            }
            let ended = self.child.try_wait().map_err(ManagedServerError::Watch)?;
            if let Some(status) = ended {
                let log = self.log_tail();
                return Err(ManagedServerError::EndedEarly { status, log });
            }
            if mono_now() >= deadline {
                let log = self.log_tail();
                return Err(ManagedServerError::NotReady { log });
            }
            sleep(START_POLL).await;
        }
    }

    fn log_tail(&self) -> String {
        let text = fs::read(log_path(self.dir.path())).unwrap_or_default();
        let start = text.len().saturating_sub(LOG_TAIL_BYTES);
        last_lines(&String::from_utf8_lossy(&text[start..]))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Killed and waited for here, so that the ports are free and the directory can go when this returns.
        if !matches!(self.child.try_wait(), Ok(None)) || self.child.start_kill().is_err() {
            return;
        }
        let deadline = mono_now().plus(KILL_LIMIT_NS);
        while matches!(self.child.try_wait(), Ok(None)) && mono_now() < deadline {
            sleep_until(mono_now().plus(KILL_POLL_NS));
        }
    }
}

/// The version check waits for a process by polling, so it is kept off the runtime.
async fn version_of(binary: &Path) -> Result<ServerVersion, ManagedServerError> {
    let asked = binary.to_owned();
    tokio::task::spawn_blocking(move || find::version_of(&asked))
        .await
        .unwrap_or_else(|gone| Err(Unusable::CannotRun(io::Error::other(gone))))
        .map_err(|source| ManagedServerError::Unusable {
            binary: binary.to_owned(),
            source,
        })
}

fn log_path(dir: &Path) -> PathBuf {
    dir.join("server.log")
}

/// The ports file, once it is there and whole.
fn read_ports(dir: &Path) -> Option<PortsFile> {
    let entries = dir.read_dir().ok()?;
    let path = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|ext| ext == "ports"))?;
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// The lines of a log that say what went wrong, else the last few, each without the process id it starts with.
fn last_lines(log: &str) -> String {
    let lines = || log.lines().map(without_pid).filter(|line| !line.is_empty());
    let is_fault = |line: &&str| line.starts_with("[FTL]") || line.starts_with("[ERR]");
    let any_fault = lines().any(|line| is_fault(&line));
    let mut kept = VecDeque::with_capacity(MAX_LOG_LINES);
    for line in lines().filter(|line| !any_fault || is_fault(line)) {
        if kept.len() == MAX_LOG_LINES {
            kept.pop_front();
        }
        kept.push_back(line);
    }
    if kept.is_empty() {
        return "its log is empty".to_owned();
    }
    Vec::from(kept).join("\n")
}

fn without_pid(line: &str) -> &str {
    let line = line.trim();
    match line
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "))
    {
        Some((pid, rest)) if pid.bytes().all(|byte| byte.is_ascii_digit()) => rest,
        _ => line,
    }
}
