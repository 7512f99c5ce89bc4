//! Waiting for a condition, with a deadline; the only place in the tests that sleeps.

use std::time::Duration;

use natsbench::clock::{mono_now, sleep_until};

/// Longer than anything that works ever takes, on a loaded machine, too.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
const LOOK_PERIOD_NS: u64 = 2_000_000;

/// Looks again and again until there is an answer.
///
/// # Panics
/// When [`DEADLINE`] passes without one.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = mono_now();
    loop {
        if let Some(answer) = look() {
            return answer;
        }
        let waited = Duration::from_nanos(mono_now().since(started));
        assert!(waited < DEADLINE, "waited {waited:?} in vain for {what}");
        sleep_until(mono_now().plus(LOOK_PERIOD_NS));
    }
}

/// Lets time pass, where the length of a stall is what a test is about; never to wait for something.
pub(crate) fn pass_time(length: Duration) {
    let length_ns = u64::try_from(length.as_nanos()).expect("a stall of less than centuries");
    sleep_until(mono_now().plus(length_ns));
}
