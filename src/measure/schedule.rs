//! The open schedule: when message k is due.
//!
//! The moment is a pure function of k, in exact integer arithmetic: no period is ever truncated and added up, so
//! the schedule cannot drift, and a stall delays messages without removing or forgiving any.
//!
//! Invariants
//! - `due_ns(k)` is the floor of `k * 1e9 * per_secs / count`, for every k; above `u64::MAX` it saturates.
//! - `due_by` is its exact inverse: `due_by(due_ns(k)) == k + 1`, and one nanosecond earlier it is `k`.
//!
//! Units: nanoseconds since the start of the schedule. The caller owns the start; a new phase or a new rate is
//! a new schedule with a new start.

use crate::units::{NANOS_PER_SEC, Rate};

/// When message k is due, for a constant rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// The exact period is `period_ns / count`, in lowest terms.
    count: u64,
    period_ns: u128,
    /// `period_ns / count` and `period_ns % count`: most rates divide a second, and then need no division at all.
    whole_ns: u128,
    rest: u64,
}

impl Schedule {
    /// The schedule of `rate`.
    pub fn new(rate: Rate) -> Self {
        let period_ns = u128::from(NANOS_PER_SEC) * u128::from(rate.per_secs());
        let common = gcd(u128::from(rate.count()), period_ns).max(1);
        // The divisor of a `u64` is at most itself, and a remainder is smaller than its divisor.
        let count = u64::try_from(u128::from(rate.count()) / common).unwrap_or(u64::MAX);
        let period_ns = period_ns / common;
        Self {
            count,
            period_ns,
            whole_ns: period_ns / u128::from(count),
            rest: u64::try_from(period_ns % u128::from(count)).unwrap_or(0),
        }
    }

    /// When message `k` is due, counted from 0; `u64::MAX` when that is more than 584 years away.
    #[inline]
    pub fn due_ns(&self, k: u64) -> u64 {
        let whole = u128::from(k).saturating_mul(self.whole_ns);
        let part = match k.checked_mul(self.rest) {
            Some(0) => 0,
            Some(product) => u128::from(product / self.count),
            None => u128::from(k) * u128::from(self.rest) / u128::from(self.count),
        };
        u64::try_from(whole.saturating_add(part)).unwrap_or(u64::MAX)
    }

    /// How many messages are due when `elapsed_ns` have passed: how many k have `due_ns(k) <= elapsed_ns`.
    #[inline]
    pub fn due_by(&self, elapsed_ns: u64) -> u64 {
        // floor(k * period / count) <= elapsed  <=>  k * period < (elapsed + 1) * count.
        // The product is at most 2^64 * (2^64 - 1), which fits.
        let bound = (u128::from(elapsed_ns) + 1) * u128::from(self.count);
        let n_due = match (u64::try_from(bound), u64::try_from(self.period_ns)) {
            // One machine division instead of a call, for everything short of absurd rates and durations.
            (Ok(bound), Ok(period_ns)) => return bound.div_ceil(period_ns),
            _ => bound.div_ceil(self.period_ns),
        };
        u64::try_from(n_due).unwrap_or(u64::MAX)
    }

    /// How many messages a run of `duration_ns` holds: how many k have `due_ns(k) < duration_ns`.
    pub fn count_within(&self, duration_ns: u64) -> u64 {
        duration_ns
            .checked_sub(1)
            .map_or(0, |last_ns| self.due_by(last_ns))
    }
}

fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn schedule(count: u64, per_secs: u64) -> Schedule {
        Schedule::new(Rate::new(count, per_secs).unwrap())
    }

    #[test]
    fn a_billion_messages_at_three_a_second_are_exact() {
        let thirds = schedule(3, 1);
        assert_eq!(thirds.due_ns(0), 0);
        assert_eq!(thirds.due_ns(1), 333_333_333);
        assert_eq!(thirds.due_ns(2), 666_666_666);
        assert_eq!(thirds.due_ns(3), 1_000_000_000);
        assert_eq!(thirds.due_ns(1_000_000_000), 333_333_333_333_333_333);
        assert_eq!(thirds.due_ns(999_999_999), 333_333_333_000_000_000);
    }

    #[test]
    fn a_run_holds_what_is_due_before_its_end() {
        assert_eq!(schedule(200, 1).count_within(10 * NANOS_PER_SEC), 2_000);
        assert_eq!(schedule(200, 1).count_within(0), 0);
        assert_eq!(schedule(200, 1).count_within(1), 1);
        assert_eq!(schedule(3, 1).count_within(NANOS_PER_SEC), 3);
        assert_eq!(schedule(3, 10).count_within(NANOS_PER_SEC), 1);
        assert_eq!(
            schedule(10_000_000, 1).count_within(NANOS_PER_SEC),
            10_000_000
        );
    }

    #[test]
    fn the_far_future_saturates() {
        assert_eq!(schedule(1, 1).due_ns(u64::MAX), u64::MAX);
        assert_eq!(schedule(1, u64::MAX).due_ns(u64::MAX), u64::MAX);
        assert_eq!(schedule(1, u64::MAX).due_ns(0), 0);
        assert_eq!(schedule(1, u64::MAX).due_by(u64::MAX), 1);
        assert_eq!(
            schedule(u64::MAX, u64::MAX).due_by(u64::MAX),
            18_446_744_074
        );
    }

    prop_compose! {
        fn any_rate()(per_secs in prop_oneof![Just(1), 1..1_000_u64, 1..=u64::MAX])(
            count in 1..=per_secs.saturating_mul(crate::units::MAX_RATE_PER_S),
            per_secs in Just(per_secs),
        ) -> Rate {
            Rate::new(count, per_secs).unwrap()
        }
    }

    prop_compose! {
        fn any_k()(bits in 0..64_u32, k in any::<u64>()) -> u64 { k >> bits }
    }

    proptest! {
        #[test]
        fn due_by_is_the_exact_inverse_of_due_ns(rate in any_rate(), k in any_k()) {
            let schedule = Schedule::new(rate);
            let due_ns = schedule.due_ns(k);
            prop_assume!(due_ns < u64::MAX);
            prop_assert_eq!(schedule.due_by(due_ns), k + 1);
            if due_ns > 0 {
                prop_assert_eq!(schedule.due_by(due_ns - 1), k);
            }
            prop_assert_eq!(schedule.count_within(due_ns), k);
        }

        #[test]
        fn what_is_due_by_a_moment_is_due_and_the_next_is_not(rate in any_rate(), elapsed_ns in any_k()) {
            let schedule = Schedule::new(rate);
            prop_assume!(elapsed_ns < u64::MAX);
            let n_due = schedule.due_by(elapsed_ns);
            prop_assert!(n_due > 0);
            prop_assert!(schedule.due_ns(n_due - 1) <= elapsed_ns);
            prop_assert!(schedule.due_ns(n_due) > elapsed_ns);
        }

        #[test]
        fn the_period_is_never_truncated(count in 1..=10_000_000_u64, per_secs in 1..=1_000_u64, k in 0..1_u64 << 40) {
            let exact = u128::from(k) * 1_000_000_000 * u128::from(per_secs) / u128::from(count);
            let due_ns = schedule(count, per_secs).due_ns(k);
            prop_assert_eq!(u128::from(due_ns), exact.min(u128::from(u64::MAX)));
        }
    }
}
