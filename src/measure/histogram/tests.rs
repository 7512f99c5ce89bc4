//! Tests of the histogram against the sorted samples themselves.

use proptest::prelude::*;

use super::*;

fn histogram_of(samples: &[i64]) -> LatencyHistogram {
    let mut histogram = LatencyHistogram::new();
    for sample in samples {
        histogram.record(*sample);
    }
    histogram
}

/// Latencies of every magnitude, some negative, some beyond the range, and the borders between all of these.
fn sample() -> impl Strategy<Value = i64> {
    let hour = i64::try_from(MAX_TRACKABLE_NS).unwrap();
    prop_oneof![
        8 => (0_u32..42, 0_i64..1 << 42).prop_map(|(bits, value)| value >> bits),
        2 => (0_u32..42, 0_i64..1 << 42).prop_map(|(bits, value)| -(value >> bits)),
        1 => prop::sample::select(vec![
            0, 1, -1, 2_047, 2_048, hour - 1, hour, hour + 1, -hour, -hour - 1, i64::MAX, i64::MIN,
        ]),
    ]
}

fn samples(n: std::ops::Range<usize>) -> impl Strategy<Value = Vec<i64>> {
    prop::collection::vec(sample(), n)
}

/// What the layout makes of a sample: itself, or the edge of the range.
fn clipped(sample: i64) -> i64 {
    let hour = i64::try_from(MAX_TRACKABLE_NS).unwrap();
    sample.clamp(-hour, hour)
}

/// Whether `value` is `exact` to three significant digits.
fn is_close(value: i64, exact: i64) -> bool {
    (i128::from(value) - i128::from(exact)).unsigned_abs() * 1_000
        <= u128::from(exact.unsigned_abs())
}

proptest! {
    // A histogram is 270 KiB, so fewer cases than usual.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn merging_the_parts_gives_the_whole(parts in prop::collection::vec(samples(0..40), 0..6)) {
        let mut merged = LatencyHistogram::new();
        for part in &parts {
            merged.merge(&histogram_of(part));
        }
        prop_assert_eq!(merged, histogram_of(&parts.concat()));
    }

    #[test]
    fn every_sample_is_counted_and_the_extremes_and_the_mean_are_exact(all in samples(1..200)) {
        let histogram = histogram_of(&all);
        let n = all.len() as u64;
        let count_if = |is_it: fn(&i64) -> bool| all.iter().copied().filter(is_it).count() as u64;
        prop_assert_eq!(histogram.count(), n);
        prop_assert_eq!(histogram.n_negative(), count_if(|sample| *sample < 0));
        prop_assert_eq!(histogram.n_clipped(), count_if(|sample| *sample != clipped(*sample)));
        prop_assert_eq!(histogram.min_ns(), all.iter().min().copied());
        prop_assert_eq!(histogram.max_ns(), all.iter().max().copied());
        let sum: i128 = all.iter().copied().map(i128::from).sum();
        prop_assert_eq!(histogram.mean_ns().map(i128::from), Some(sum / i128::from(n)));
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_samples(all in samples(1..400), p_ratio in 0.0..=1.0_f64) {
        let histogram = histogram_of(&all);
        let mut sorted = all;
        sorted.sort_unstable();
        let n = sorted.len();
        for p_ratio in [p_ratio, 0.0, 0.5, 0.9, 0.99, 1.0] {
            let rank = statistics::rank(n as u64, p_ratio);
            let sample = sorted[usize::try_from(rank).unwrap() - 1];
            let value = histogram.value_at_ns(p_ratio).unwrap();
            prop_assert!(is_close(value, clipped(sample)), "p{p_ratio}: {value}, not {sample}");
            prop_assert!((sorted[0]..=sorted[n - 1]).contains(&value), "p{p_ratio}: {value} is outside");
            let supported = statistics::supports(n as u64, p_ratio).then_some(value);
            prop_assert_eq!(histogram.percentile_ns(p_ratio), supported);
        }
    }

    #[test]
    fn percentiles_rise(all in samples(1..200)) {
        let histogram = histogram_of(&all);
        let values: Vec<_> = (0..=100).map(|percent| histogram.value_at_ns(f64::from(percent) / 100.0)).collect();
        prop_assert!(values.is_sorted());
    }

    #[test]
    fn bars_touch_each_other_and_hold_every_sample(all in samples(0..200), n_bars in 0_usize..12) {
        let histogram = histogram_of(&all);
        let bars = histogram.bars(n_bars);
        if n_bars == 0 || all.is_empty() {
            prop_assert!(bars.is_empty());
            return Ok(());
        }
        prop_assert_eq!(bars.iter().map(|bar| bar.count).sum::<u64>(), histogram.count());
        prop_assert!(bars.iter().all(|bar| bar.from_ns < bar.to_ns || bar.to_ns == i64::MAX), "{bars:?}");
        prop_assert!(bars.windows(2).all(|pair| pair[0].to_ns == pair[1].from_ns), "{bars:?}");
        prop_assert_eq!(bars.first().map(|bar| bar.from_ns), histogram.min_ns());
        prop_assert_eq!(bars.last().map(|bar| bar.to_ns), histogram.max_ns().map(|max_ns| max_ns.saturating_add(1)));
        // Negative samples have a bar of their own even where only one was asked for.
        prop_assert!(bars.len() <= n_bars.max(2), "{bars:?}");
    }

    #[test]
    fn taking_the_samples_leaves_none_and_clearing_forgets_them(all in samples(0..60), more in samples(0..60)) {
        let mut histogram = histogram_of(&all);
        let taken = histogram.take();
        prop_assert_eq!(taken, histogram_of(&all));
        prop_assert_eq!(&histogram, &LatencyHistogram::new());
        for sample in &all {
            histogram.record(*sample);
        }
        histogram.clear();
        prop_assert_eq!(&histogram, &LatencyHistogram::new());
        // Nothing of the past is left in what comes after.
        for sample in &more {
            histogram.record(*sample);
        }
        prop_assert_eq!(histogram, histogram_of(&more));
    }
}

#[test]
fn without_samples_there_is_no_number() {
    let histogram = LatencyHistogram::default();
    assert!(histogram.is_empty());
    assert_eq!(histogram.count(), 0);
    assert_eq!(histogram.min_ns(), None);
    assert_eq!(histogram.max_ns(), None);
    assert_eq!(histogram.mean_ns(), None);
    assert_eq!(histogram.value_at_ns(0.5), None);
    assert_eq!(histogram.percentile_ns(0.5), None);
    assert_eq!(histogram.bars(8), []);
}

#[test]
fn zero_is_a_sample() {
    let histogram = histogram_of(&[0; 40]);
    assert_eq!(histogram.count(), 40);
    assert_eq!(histogram.n_negative(), 0);
    assert_eq!(histogram.percentile_ns(0.5), Some(0));
    assert_eq!(histogram.mean_ns(), Some(0));
}

#[test]
fn negative_samples_count_in_every_number() {
    let mut all = vec![-5_000_000; 30];
    all.extend([1_000; 70]);
    let histogram = histogram_of(&all);
    assert_eq!(histogram.n_negative(), 30);
    assert_eq!(histogram.min_ns(), Some(-5_000_000));
    assert_eq!(
        histogram.mean_ns(),
        Some((70 * 1_000 - 30 * 5_000_000) / 100)
    );
    assert!(is_close(histogram.value_at_ns(0.3).unwrap(), -5_000_000));
    assert_eq!(histogram.value_at_ns(0.31), Some(1_000));
    assert_eq!(histogram.percentile_ns(0.9), Some(1_000));
}

#[test]
fn a_percentile_appears_with_its_tenth_sample_above() {
    for (p_ratio, needed) in [(0.5, 20), (0.9, 100), (0.99, 1_000), (0.999, 10_000)] {
        let mut histogram = histogram_of(&vec![7; needed - 1]);
        assert_eq!(histogram.percentile_ns(p_ratio), None, "{p_ratio}");
        histogram.record(7);
        assert_eq!(histogram.percentile_ns(p_ratio), Some(7), "{p_ratio}");
    }
}

#[test]
fn more_than_an_hour_counts_as_an_hour_in_percentiles_and_exactly_in_the_maximum() {
    let hour = i64::try_from(MAX_TRACKABLE_NS).unwrap();
    let mut all = vec![1_000; 50];
    all.extend(vec![hour * 5; 50]);
    let histogram = histogram_of(&all);
    assert_eq!(histogram.n_clipped(), 50);
    assert_eq!(histogram.max_ns(), Some(hour * 5));
    assert_eq!(
        histogram.mean_ns(),
        Some((50 * 1_000 + 50 * hour * 5) / 100)
    );
    assert!(is_close(histogram.percentile_ns(0.9).unwrap(), hour));
    // An hour itself is within the range.
    assert_eq!(histogram_of(&[hour, -hour]).n_clipped(), 0);
}

#[test]
fn a_histogram_that_has_seen_negatives_equals_one_that_never_did() {
    let mut histogram = histogram_of(&[-3, 5]);
    histogram.clear();
    histogram.record(5);
    assert_eq!(histogram, histogram_of(&[5]));
    let mut merged = histogram_of(&[]);
    merged.merge(&histogram_of(&[]));
    assert_eq!(merged, LatencyHistogram::new());
}

#[test]
fn the_positive_part_is_what_an_interval_log_stores() {
    let histogram = histogram_of(&[-1, 0, 1_000]);
    assert_eq!(histogram.positive().len(), 2);
}
