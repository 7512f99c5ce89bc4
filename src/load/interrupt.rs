//! How a run is asked to end before its time: first to stop, then to leave.
//!
//! Whoever asks does so from outside, by a signal or by no longer reading, and may ask twice. A run looks at both tokens
//! and owns neither.

use tokio_util::sync::CancellationToken;

/// Two requests, the second stronger than the first. `leave` is never cancelled before `stop`.
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    /// Ends the schedule; what is in flight is still drained, and the partial result reported.
    pub stop: CancellationToken,
    /// Ends the waiting, too: what is known by now is reported and saved at once.
    pub leave: CancellationToken,
    /// Cancelled just before `stop` where the reason for it is that nobody reads standard output any more.
    pub unread: CancellationToken,
}

impl Interrupt {
    /// Whether the run is to end early.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Whether nothing more is to be waited for.
    pub fn is_left(&self) -> bool {
        self.leave.is_cancelled()
    }

    /// Waits for `work`, unless nothing more is to be waited for.
    pub async fn unless_left<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        // What is dropped here is not wanted any more.
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.leave.cancelled() => None,
        }
    }
}
