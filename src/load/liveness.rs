//! Whether the other end is still there: after so much silence it is asked, and after as much again given up.
//!
//! A connection whose packets vanish looks like one on which nothing happens. Only a PING that is not answered tells them
//! apart; the server's own PINGs come every two minutes by default, which is too late for a measurement.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};

use crate::clock::MonoNanos;
use crate::net::session::{Session, SessionError};

/// What is to be done about a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// Nothing: something came since the last look.
    Alive,
    /// A PING is to be sent: nothing came.
    Ask,
    /// Nothing came, not even the answer to that PING.
    Silent,
}

/// Watches one connection.
#[derive(Debug)]
pub(crate) struct Liveness {
    interval: Duration,
    ticker: Interval,
    last_seen: MonoNanos,
    is_asked: bool,
}

/// A ticker whose first tick comes after a whole interval.
fn ticker(interval: Duration) -> Interval {
    let mut ticker = tokio::time::interval(interval);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticker.reset();
    ticker
}

impl Liveness {
    /// Asks after `interval` of silence.
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            interval,
            ticker: ticker(interval),
            last_seen: MonoNanos(0),
            is_asked: false,
        }
    }

    /// There is another connection.
    pub(crate) fn reset(&mut self) {
        self.ticker.reset();
        self.last_seen = MonoNanos(0);
        self.is_asked = false;
    }

    /// Time to look. Cancel-safe.
    pub(crate) async fn tick(&mut self) {
        self.ticker.tick().await;
    }

    /// Looks at when something was last received.
    pub(crate) fn look(&mut self, last_received: MonoNanos) -> Look {
        if last_received > self.last_seen {
            self.last_seen = last_received;
            self.is_asked = false;
            Look::Alive
        } else if std::mem::replace(&mut self.is_asked, true) {
            Look::Silent
        } else {
            Look::Ask
        }
    }

    /// The peer seems silent. Unless something can be read right now: we may have been stopped ourselves.
    ///
    /// # Errors
    /// [`SessionError::Silent`].
    pub(crate) async fn judge(&mut self, session: &mut Session) -> Result<(), SessionError> {
        let mut read = pin!(session.read());
        let now = poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx))).await;
        match now {
            Poll::Ready(read) => read,
            Poll::Pending => Err(SessionError::Silent {
                limit: self.interval * 2,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn silence_is_asked_about_once_and_then_believed() {
        let mut liveness = Liveness::new(Duration::from_secs(1));
        assert_eq!(liveness.look(MonoNanos(5)), Look::Alive);
        assert_eq!(liveness.look(MonoNanos(5)), Look::Ask);
        assert_eq!(liveness.look(MonoNanos(6)), Look::Alive, "it answered");
        assert_eq!(liveness.look(MonoNanos(6)), Look::Ask);
        assert_eq!(liveness.look(MonoNanos(6)), Look::Silent);
        liveness.reset();
        assert_eq!(liveness.look(MonoNanos(7)), Look::Alive);
    }
}
