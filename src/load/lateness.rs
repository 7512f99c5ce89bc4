//! Lateness, and whose fault it is: that of the generator, or that of a connection that took no more data.
//!
//! Both count as lateness, because both are: the message was due and had not been sent. But a generator that is late
//! makes a run doubtful, while a broker or network that holds messages back is what the run is there to show.
//!
//! Units: nanoseconds; moments are those of the monotonic clock.

use crate::clock::MonoNanos;
use crate::measure::histogram::LatencyHistogram;

/// sent - intended of every round of a phase.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lateness {
    /// Rounds that nothing but the generator could delay.
    own: LatencyHistogram,
    /// Rounds that fell due while their connection took no more data.
    held_back: LatencyHistogram,
}

impl Lateness {
    /// No rounds yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Records one round.
    #[inline]
    pub fn record(&mut self, late_ns: i64, is_held_back: bool) {
        if is_held_back {
            self.held_back.record(late_ns);
        } else {
            self.own.record(late_ns);
        }
    }

    /// Of every round.
    pub fn all(&self) -> LatencyHistogram {
        let mut all = self.own.clone();
        all.merge(&self.held_back);
        all
    }

    /// Of the rounds that nothing but the generator could delay.
    pub fn own(&self) -> &LatencyHistogram {
        &self.own
    }

    /// Rounds that fell due while their connection took no more data.
    pub fn n_held_back(&self) -> u64 {
        self.held_back.count()
    }
}

/// When a connection took no more data, and for which rounds that matters.
///
/// A connection may block again before all that waited has been sent; the rounds that waited are then still held back,
/// so the window keeps its beginning until a round is sent that fell due after its end.
#[derive(Debug, Clone, Copy, Default)]
pub struct Backpressure {
    window: Option<(MonoNanos, MonoNanos)>,
    is_blocked: bool,
}

impl Backpressure {
    /// Whether the connection was last seen to take no more data.
    pub fn is_blocked(&self) -> bool {
        self.is_blocked
    }

    /// It takes no more data.
    pub fn blocked(&mut self, now: MonoNanos) {
        if !self.is_blocked {
            self.is_blocked = true;
            self.window.get_or_insert((now, now));
        }
    }

    /// It takes data again.
    pub fn freed(&mut self, now: MonoNanos) {
        self.is_blocked = false;
        if let Some((_, end)) = &mut self.window {
            *end = now;
        }
    }

    /// Whether a round that fell due then was held back. Rounds are asked about in the order in which they fell due.
    #[inline]
    pub fn held_back(&mut self, due: MonoNanos) -> bool {
        match self.window {
            None => false,
            Some((start, end)) if due <= end => due >= start,
            Some(_) => {
                self.window = None;
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_held_back_when_it_fell_due_while_its_connection_was_blocked() {
        let mut pressure = Backpressure::default();
        assert!(!pressure.held_back(MonoNanos(5)));
        pressure.blocked(MonoNanos(10));
        pressure.blocked(MonoNanos(15));
        assert!(pressure.is_blocked());
        pressure.freed(MonoNanos(20));
        // Due before the connection blocked: the generator was late.
        assert!(!pressure.held_back(MonoNanos(9)));
        assert!(pressure.held_back(MonoNanos(10)));
        assert!(pressure.held_back(MonoNanos(20)));
        assert!(!pressure.held_back(MonoNanos(21)));
    }

    #[test]
    fn what_waits_through_a_second_block_is_still_held_back() {
        let mut pressure = Backpressure::default();
        pressure.blocked(MonoNanos(10));
        pressure.freed(MonoNanos(20));
        assert!(pressure.held_back(MonoNanos(11)));
        // The burst of what had waited blocks the connection again.
        pressure.blocked(MonoNanos(21));
        pressure.freed(MonoNanos(30));
        assert!(pressure.held_back(MonoNanos(12)));
        assert!(pressure.held_back(MonoNanos(25)));
        assert!(!pressure.held_back(MonoNanos(31)));
        // A block after all of it has been sent is a new one.
        pressure.blocked(MonoNanos(40));
        pressure.freed(MonoNanos(50));
        assert!(!pressure.held_back(MonoNanos(35)));
        assert!(pressure.held_back(MonoNanos(45)));
    }

    #[test]
    fn every_round_is_in_the_lateness_of_all() {
        let mut lateness = Lateness::new();
        lateness.record(10, false);
        lateness.record(1_000, true);
        assert_eq!((lateness.all().count(), lateness.n_held_back()), (2, 1));
        assert_eq!(lateness.all().max_ns(), Some(1_000));
        assert_eq!(lateness.own().max_ns(), Some(10));
    }
}
