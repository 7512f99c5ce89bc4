//! Which runs go on at the same time. Most tests wait most of the time, so that many of them share a machine well. Those that
//! tell what was late, and what was not, have it for themselves, as far as this process goes.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;

struct Turns {
    n_running: usize,
    /// The test that is alone.
    alone: Option<ThreadId>,
}

static TURNS: Mutex<Turns> = Mutex::new(Turns {
    n_running: 0,
    alone: None,
});
static CHANGED: Condvar = Condvar::new();

fn turns() -> MutexGuard<'static, Turns> {
    TURNS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A run goes on.
#[derive(Debug)]
pub(super) struct Turn(());

impl Turn {
    /// Waits while another test is alone.
    pub(super) fn take() -> Self {
        let me = std::thread::current().id();
        let is_taken = |turns: &mut Turns| turns.alone.is_some_and(|alone| alone != me);
        let mut turns = CHANGED
            .wait_while(turns(), is_taken)
            .unwrap_or_else(PoisonError::into_inner);
        turns.n_running += 1;
        Self(())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        turns().n_running -= 1;
        CHANGED.notify_all();
    }
}

/// A test is alone with its runs.
#[derive(Debug)]
pub(crate) struct Alone(());

/// Waits until nothing runs, and has all further runs of other tests wait.
pub(crate) fn alone() -> Alone {
    let is_busy = |turns: &mut Turns| turns.n_running > 0 || turns.alone.is_some();
    let mut turns = CHANGED
        .wait_while(turns(), is_busy)
        .unwrap_or_else(PoisonError::into_inner);
    turns.alone = Some(std::thread::current().id());
    Alone(())
}

impl Drop for Alone {
    fn drop(&mut self) {
        turns().alone = None;
        CHANGED.notify_all();
    }
}
