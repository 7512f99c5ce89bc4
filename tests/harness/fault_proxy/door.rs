//! Whether the proxy listens; both sides wait until the other has done what was asked.

use std::sync::{Condvar, Mutex};

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    Closing,
    Closed,
    Opening,
    /// The proxy ends.
    Over,
}

/// The state of the listener.
#[derive(Default)]
pub(super) struct Door {
    state: Mutex<State>,
    changed: Condvar,
}

impl Door {
    fn set(&self, state: State) {
        let mut current = self.state.lock().expect("no panic");
        if *current != State::Over {
            *current = state;
        }
        self.changed.notify_all();
    }

    fn wait_while(&self, state: State) -> State {
        let current = self.state.lock().expect("no panic");
        *self
            .changed
            .wait_while(current, |current| *current == state)
            .expect("no panic")
    }

    /// Asks the accepting thread to close it, makes it look, and waits until it has.
    pub(super) fn close(&self, knock: impl FnOnce()) {
        if *self.state.lock().expect("no panic") == State::Open {
            self.set(State::Closing);
            knock();
            self.wait_while(State::Closing);
        }
    }

    /// Asks the accepting thread to open it, and waits until it has.
    pub(super) fn open(&self) {
        if *self.state.lock().expect("no panic") == State::Closed {
            self.set(State::Opening);
            self.wait_while(State::Opening);
        }
    }

    /// Ends all waiting.
    pub(super) fn let_go(&self) {
        self.set(State::Over);
    }

    pub(super) fn is_closing(&self) -> bool {
        *self.state.lock().expect("no panic") == State::Closing
    }

    /// Of the accepting thread, which has closed it: waits until it is to open; `false` when the proxy ends before.
    pub(super) fn stay_closed(&self) -> bool {
        self.set(State::Closed);
        self.wait_while(State::Closed) == State::Opening
    }

    pub(super) fn has_opened(&self) {
        self.set(State::Open);
    }
}
