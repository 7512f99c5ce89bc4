//! How many samples a percentile needs, and which sample it is.
//!
//! A percentile p of n samples rests on the n(1-p) samples above it. With fewer than ten of those, one more or
//! one less slow message moves the number by a large part of itself, so it is not reported at all. Ten is the
//! usual floor: the count above the percentile then has a relative error of about a third (1/sqrt(10)).
//!
//! Units: percentiles are ratios, `0.0..=1.0`.

/// A percentile is reported only if at least this many samples lie above it.
pub const MIN_SAMPLES_ABOVE: u64 = 10;

/// Whether `n` samples can support percentile `p_ratio`: n(1-p) >= 10. Never for a `p_ratio` outside `0.0..1.0`.
pub fn supports(n: u64, p_ratio: f64) -> bool {
    (0.0..1.0).contains(&p_ratio) && n as f64 * share_above(p_ratio) >= MIN_SAMPLES_ABOVE as f64
}

/// The smallest number of samples that supports `p_ratio`; `None` for one that no number supports.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a positive number, and `as` saturates"
)]
pub fn samples_needed(p_ratio: f64) -> Option<u64> {
    (0.0..1.0)
        .contains(&p_ratio)
        .then(|| (MIN_SAMPLES_ABOVE as f64 / share_above(p_ratio)).ceil() as u64)
}

/// Which of `n` sorted samples, counted from 1, is percentile `p_ratio` (nearest rank); 0 if there are none.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "negative and NaN become 0 and are lifted to 1; too large is cut to n"
)]
pub fn rank(n: u64, p_ratio: f64) -> u64 {
    let exact = ((p_ratio - f64::EPSILON) * n as f64).ceil() as u64;
    exact.max(1).min(n)
}

/// 1 - p, never below the exact share: `1 - 0.9` comes out just short of a tenth, and 100 samples would not do.
fn share_above(p_ratio: f64) -> f64 {
    1.0 - p_ratio + f64::EPSILON
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_percentile_needs_ten_samples_above_it() {
        for (p, needed) in [
            (0.5, 20),
            (0.9, 100),
            (0.95, 200),
            (0.99, 1_000),
            (0.999, 10_000),
            (0.9999, 100_000),
            (0.99999, 1_000_000),
            (0.999_999_9, 100_000_000),
        ] {
            assert_eq!(samples_needed(p), Some(needed), "{p}");
            assert!(supports(needed, p), "{p}");
            assert!(!supports(needed - 1, p), "{p}");
        }
    }

    #[test]
    fn what_is_no_percentile_is_never_supported() {
        for p in [1.0, 1.5, -0.1, f64::NAN, f64::INFINITY] {
            assert!(!supports(u64::MAX, p), "{p}");
            assert_eq!(samples_needed(p), None, "{p}");
        }
    }

    #[test]
    fn ranks_are_nearest_ranks() {
        assert_eq!(rank(100, 0.9), 90);
        assert_eq!(rank(100, 0.901), 91);
        assert_eq!(rank(1_000, 0.999), 999);
        assert_eq!(rank(10, 0.0), 1);
        assert_eq!(rank(10, 1.0), 10);
        assert_eq!(rank(0, 0.5), 0);
    }

    proptest! {
        #[test]
        fn a_percentile_is_supported_from_the_number_that_it_needs(percent_thousandths in 1_u32..100_000, n in 0_u64..100_000_000) {
            let p_ratio = f64::from(percent_thousandths) / 100_000.0;
            let needed = samples_needed(p_ratio).unwrap();
            prop_assert_eq!(supports(n, p_ratio), n >= needed, "p{}, {} of {}", p_ratio, n, needed);
            // n(1-p) >= 10 in whole numbers.
            let above = n * u64::from(100_000 - percent_thousandths);
            prop_assert_eq!(supports(n, p_ratio), above >= 10 * 100_000, "p{}, {}", p_ratio, n);
        }

        #[test]
        fn a_rank_leaves_no_more_than_its_share_below_and_above(percent_thousandths in 0_u32..=100_000, n in 1_u64..10_000_000) {
            let p_ratio = f64::from(percent_thousandths) / 100_000.0;
            let rank = rank(n, p_ratio);
            prop_assert!((1..=n).contains(&rank));
            // The nearest rank: the smallest one that has at least p of the samples at or below it.
            let share = u128::from(n) * u128::from(percent_thousandths);
            prop_assert!(u128::from(rank) * 100_000 >= share);
            prop_assert!(rank == 1 || u128::from(rank - 1) * 100_000 < share);
        }
    }
}
