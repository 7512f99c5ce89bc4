//! What ends a run from outside: signals.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::cli::error::CliError;
use crate::cli::exit;

/// From so long on, a run that was interrupted and has not ended explains itself.
const PATIENCE: Duration = Duration::from_millis(500);

fn say_that_it_takes_a_moment() {
    // On a terminal the cursor stands behind the bar.
    let start = if io::stderr().is_terminal() { "\n" } else { "" };
    // There is nowhere left to say that standard error is closed.
    let _ = writeln!(
        io::stderr().lock(),
        "{start}interrupted: waiting for what is in flight; once again ends it without a result"
    );
}

/// Runs work until it ends, and lets signals end it: the first cancels `stop` and waits for the partial result; the
/// second gives up waiting.
pub(crate) fn run_interruptible<T>(
    work: impl AsyncFnOnce(CancellationToken) -> Result<T, CliError>,
) -> Result<T, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .build()
        .context("cannot start the runtime")?;
    let stop = CancellationToken::new();
    let outcome = runtime.block_on(async {
        let mut work = std::pin::pin!(work(stop.clone()));
        let mut signals = Signals::new()?;
        // All are cancel-safe: `work` is only borrowed.
        tokio::select! {
            done = &mut work => return done,
            () = signals.next() => stop.cancel(),
        }
        let twice = || {
            CliError::new(
                exit::INTERRUPTED,
                "interrupted twice: stopped without a result",
            )
        };
        tokio::select! {
            done = &mut work => return done,
            () = signals.next() => return Err(twice()),
            () = tokio::time::sleep(PATIENCE) => say_that_it_takes_a_moment(),
        }
        tokio::select! {
            done = &mut work => done,
            () = signals.next() => Err(twice()),
        }
    });
    runtime.shutdown_background();
    outcome
}

/// Ctrl-C, SIGTERM, and the terminal going away.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
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
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        // All are cancel-safe.
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}
