//! A child that dies with its parent, even when the parent is killed outright.
//!
//! natsbench does not start nats-server directly. It starts itself with [`EXEC_SERVER_ARG`]; that process asks
//! the kernel for SIGTERM at the death of its parent, checks that the parent is still there, and then *becomes*
//! nats-server through `exec`, which keeps both the process id and the request. (The kernel drops the request
//! when the new program is set-user-ID or has file capabilities; nats-server has neither.)

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};

/// The first argument with which natsbench starts itself to become nats-server. Hidden: not for people.
pub const EXEC_SERVER_ARG: &str = "__exec-nats-server";

/// The arguments with which the supervising executable is started, after its own name.
pub(super) fn arguments(binary: OsString, server_args: Vec<OsString>) -> Vec<OsString> {
    let parent = getpid().as_raw_nonzero().to_string();
    let mut args = vec![EXEC_SERVER_ARG.into(), parent.into(), binary];
    args.extend(server_args);
    args
}

/// Becomes nats-server; returns only if that failed.
///
/// `args` is what follows [`EXEC_SERVER_ARG`]: the process id of the parent, the binary, its arguments.
/// The caller prints the error to stderr and exits with a failure: stderr is the log that the parent reads.
pub fn exec_supervised(args: impl Iterator<Item = OsString>) -> io::Error {
    let mut args = args;
    let parent = args
        .next()
        .and_then(|arg| arg.to_str()?.parse().ok())
        .and_then(Pid::from_raw);
    let (Some(parent), Some(binary)) = (parent, args.next()) else {
        return io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("`{EXEC_SERVER_ARG}` needs a process id and a program"),
        );
    };
    if let Err(errno) = set_parent_process_death_signal(Some(Signal::TERM)) {
        return errno.into();
    }
    // Had the parent died before the request above, no signal would ever come.
    if getppid() != Some(parent) {
        return io::Error::new(
            io::ErrorKind::NotFound,
            "the process that asked for a nats-server is gone",
        );
    }
    Command::new(binary).args(args).exec()
}
