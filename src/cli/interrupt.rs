//! What ends work from outside: signals, and an output that nobody reads any more.
//!
//! A thread of its own listens, so that a signal is heard whatever the work and its runtime are doing, and also while
//! the result is printed and saved. It asks in three steps: to stop, to leave, and then it ends the process itself.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileTypeExt as _;
use std::pin::Pin;
use std::time::Duration;

use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::error::CliError;
use crate::cli::exit;
use crate::load::interrupt::Interrupt;

/// From so long on, a run that was interrupted and has not ended explains itself.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long work that was told to leave may take to say what it knows.
const LEAVE_LIMIT: Duration = Duration::from_secs(1);
/// How often standard output is looked at: nobody tells when its reader goes.
const LOOK_PERIOD: Duration = Duration::from_millis(250);

/// What it means when the reader of standard output goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unread {
    /// The same as the first signal: nobody would see the result.
    Stops,
    /// Nothing: there is something else to do.
    IsIgnored,
}

/// Runs work until it ends, and lets the outside end it: the first signal asks it to stop and waits for the partial
/// result; the second asks it to leave, and soon gives up waiting; the third ends the process.
pub(crate) fn run_interruptible<T>(
    unread: Unread,
    work: impl AsyncFnOnce(Interrupt) -> Result<T, CliError>,
) -> Result<T, CliError> {
    let interrupt = Interrupt::default();
    let output = match unread {
        Unread::Stops => WatchedOutput::find(),
        Unread::IsIgnored => None,
    };
    listen(output, interrupt.clone())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .build()
        .context("cannot start the runtime")?;
    let outcome = runtime.block_on(async {
        let work = std::pin::pin!(work(interrupt.clone()));
        until_it_has_to_end(work, &interrupt).await
    });
    runtime.shutdown_background();
    outcome
}

async fn until_it_has_to_end<T>(
    mut work: Pin<&mut impl Future<Output = Result<T, CliError>>>,
    interrupt: &Interrupt,
) -> Result<T, CliError> {
    // All are cancel-safe: `work` is only borrowed.
    tokio::select! {
        done = &mut work => return done,
        () = interrupt.stop.cancelled() => {}
    }
    tokio::select! {
        done = &mut work => return done,
        () = interrupt.leave.cancelled() => {}
        () = tokio::time::sleep(PATIENCE) => say_that_it_takes_a_moment(interrupt),
    }
    tokio::select! {
        done = &mut work => return done,
        () = interrupt.leave.cancelled() => {}
    }
    let left = tokio::time::timeout(LEAVE_LIMIT, work).await;
    left.unwrap_or_else(|_| {
        Err(CliError::new(
            exit::INTERRUPTED,
            "interrupted twice: stopped without a result",
        ))
    })
}

fn say_that_it_takes_a_moment(interrupt: &Interrupt) {
    // On a terminal the cursor stands behind the bar.
    let start = if io::stderr().is_terminal() { "\n" } else { "" };
    let (why, again) = if interrupt.unread.is_cancelled() {
        ("nobody reads the output any more", "an interrupt")
    } else {
        ("interrupted", "once again")
    };
    // There is nowhere left to say that standard error is closed.
    let _ = writeln!(
        io::stderr().lock(),
        "{start}{why}: waiting for what is in flight; {again} leaves at once with what is known"
    );
}

/// Begins to listen, until the process ends.
fn listen(output: Option<WatchedOutput>, interrupt: Interrupt) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime of the signals")?;
    let signals = {
        let _context = runtime.enter();
        Signals::new()?
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || runtime.block_on(pass_on(signals, output, interrupt)))
        .context("cannot start the thread of the signals")?;
    Ok(())
}

async fn pass_on(mut signals: Signals, output: Option<WatchedOutput>, interrupt: Interrupt) {
    // Both are cancel-safe.
    tokio::select! {
        () = signals.next() => {}
        () = until_unread(output) => interrupt.unread.cancel(),
    }
    interrupt.stop.cancel();
    signals.next().await;
    interrupt.leave.cancel();
    signals.next().await;
    end_at_once();
}

/// Ends the process. Part of the result may be printed or saved by now, so nothing more is claimed.
#[expect(
    clippy::exit,
    reason = "the main thread may be busy with what the user no longer wants, such as a write that blocks"
)]
fn end_at_once() {
    let error = CliError::new(
        exit::INTERRUPTED,
        "interrupted once more: ended without a whole result",
    );
    let stderr = io::stderr();
    // Not by its lock, which the main thread may hold, and only where it does not block.
    if events_of(&stderr, PollFlags::OUT) == PollFlags::OUT {
        // There is nowhere left to say that standard error is closed.
        let _ = rustix::io::write(&stderr, error.render(false).as_bytes());
    }
    std::process::exit(i32::from(error.code))
}

/// What is the case for a descriptor now, of what was asked about and of errors, which always count.
fn events_of(descriptor: &impl std::os::fd::AsFd, asked: PollFlags) -> PollFlags {
    let mut descriptors = [PollFd::new(descriptor, asked)];
    match poll(&mut descriptors, Some(&Timespec::default())) {
        Ok(_) => descriptors[0].revents(),
        Err(_) => PollFlags::empty(),
    }
}

/// A standard output that has a reader, who may go.
struct WatchedOutput(OwnedFd);

impl WatchedOutput {
    /// `None` for files and terminals, which have no reader, and for a pipe that nobody has read from the beginning:
    /// whoever starts a run like that does not want the text.
    fn find() -> Option<Self> {
        let file = File::from(io::stdout().as_fd().try_clone_to_owned().ok()?);
        let file_type = file.metadata().ok()?.file_type();
        let output = Self(file.into());
        let has_reader = file_type.is_fifo() || file_type.is_socket();
        (has_reader && !output.is_unread()).then_some(output)
    }

    fn is_unread(&self) -> bool {
        events_of(&self.0, PollFlags::empty()).intersects(PollFlags::ERR | PollFlags::HUP)
    }
}

/// Ends when the reader has gone.
async fn until_unread(output: Option<WatchedOutput>) {
    let Some(output) = output else {
        return std::future::pending().await;
    };
    let mut look = tokio::time::interval(LOOK_PERIOD);
    while !output.is_unread() {
        look.tick().await;
    }
}

/// Ctrl-C, SIGTERM, and the terminal going away.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    /// `None` for a run under `nohup`, which is to outlive its terminal.
    hangup: Option<tokio::signal::unix::Signal>,
}

impl Signals {
    fn new() -> Result<Self, CliError> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| CliError::internal("cannot listen for signals").because(&error))
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: if is_hangup_ignored() {
                None
            } else {
                Some(listen(SignalKind::hangup())?)
            },
        })
    }

    async fn next(&mut self) {
        // All are cancel-safe.
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            () = received(self.hangup.as_mut()) => {}
        }
    }
}

async fn received(signal: Option<&mut tokio::signal::unix::Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Whether whoever started us wants the terminal to go away without a word, as `nohup` does.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut lines = status.lines();
    let mask = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 << (SignalKind::hangup().as_raw_value() - 1) != 0)
}
