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
