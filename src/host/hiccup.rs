//! The hiccup of an idle thread: how late this machine wakes a thread that has nothing to do but wake.
//!
//! A thread sleeps for one millisecond again and again and records by how much it overslept. What it sees, our
//! pacing and receiving threads see as well, so no latency below it can be blamed on the broker.
//!
//! Memory is constant: counts in logarithmic buckets of which the widest is an eighth of its value.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use crate::clock::{mono_now, sharpen_sleeps, sleep_until};

/// How long each sleep is to be: short enough to catch every stall that matters, long enough to cost next to nothing.
const SLEEP_NS: u64 = 1_000_000;
/// A 99th percentile needs ten samples above it.
const MIN_SAMPLES_FOR_P99: u64 = 1_000;

/// Buckets in each power of two, as a power of two.
const SUB_BITS: u32 = 3;
const N_SUB: usize = 1 << SUB_BITS;
/// The buckets up to `u64::MAX`.
const N_BUCKETS: usize = (64 - SUB_BITS as usize + 1) * N_SUB;

/// What an idle thread saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HiccupReport {
    /// The longest oversleep; zero when there are no samples.
    pub max_ns: u64,
    /// The 99th percentile, rounded up by at most an eighth; `None` below a thousand samples.
    pub p99_ns: Option<u64>,
    /// The sleeps that were watched; zero when the thread could not be started.
    pub n_samples: u64,
}

/// An idle thread that watches itself; ends when stopped or dropped.
#[derive(Debug)]
pub struct HiccupMeter {
    is_stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<HiccupReport>>,
}

impl HiccupMeter {
    /// Starts the thread. If that fails, the report has no samples, which nobody can mistake for a quiet machine.
    pub fn start() -> Self {
        let is_stopping = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&is_stopping);
        let thread = thread::Builder::new()
            .name("hiccup".to_owned())
            .spawn(move || watch(&flag))
            .ok();
        Self {
            is_stopping,
            thread,
        }
    }

    /// Ends the thread, within about a millisecond, and returns what it saw.
    pub fn stop(mut self) -> HiccupReport {
        self.finish()
    }

    fn finish(&mut self) -> HiccupReport {
        self.is_stopping.store(true, Ordering::Relaxed);
        self.thread
            .take()
            .and_then(|thread| thread.join().ok())
            .unwrap_or_default()
    }
}

impl Drop for HiccupMeter {
    fn drop(&mut self) {
        self.finish();
    }
}

fn watch(is_stopping: &AtomicBool) -> HiccupReport {
    // Without this the kernel's default timer slack of 50 us would be measured as a hiccup of its own.
    sharpen_sleeps();
    let mut oversleeps = Oversleeps::new();
    while !is_stopping.load(Ordering::Relaxed) {
        // Anchored anew each time, so that one stall is one sample.
        let due = mono_now().plus(SLEEP_NS);
        sleep_until(due);
        oversleeps.record(mono_now().since(due));
    }
    oversleeps.report()
}

struct Oversleeps {
    counts: Box<[u64; N_BUCKETS]>,
    n_samples: u64,
    max_ns: u64,
}

impl Oversleeps {
    fn new() -> Self {
        Self {
            counts: Box::new([0; N_BUCKETS]),
            n_samples: 0,
            max_ns: 0,
        }
    }

    fn record(&mut self, oversleep_ns: u64) {
        self.counts[bucket_of(oversleep_ns)] += 1;
        self.n_samples += 1;
        self.max_ns = self.max_ns.max(oversleep_ns);
    }

    fn report(&self) -> HiccupReport {
        HiccupReport {
            max_ns: self.max_ns,
            p99_ns: (self.n_samples >= MIN_SAMPLES_FOR_P99).then(|| self.p99_ns()),
            n_samples: self.n_samples,
        }
    }

    fn p99_ns(&self) -> u64 {
        let wanted = self.n_samples - self.n_samples / 100;
        let mut n_seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            n_seen += count;
            if n_seen >= wanted {
                return upper_end_of(bucket).min(self.max_ns);
            }
        }
        self.max_ns
    }
}

/// Values below [`N_SUB`] have a bucket each; above, each power of two is cut into [`N_SUB`] equal parts.
fn bucket_of(value: u64) -> usize {
    let octave = value.checked_ilog2().unwrap_or(0).saturating_sub(SUB_BITS);
    // What is left after the shift is below 2 * N_SUB, and the octave is below 64.
    let within = usize::try_from(value >> octave).unwrap_or(0);
    octave as usize * N_SUB + within
}

/// The largest value of a bucket.
fn upper_end_of(bucket: usize) -> u64 {
    let octave = (bucket / N_SUB).saturating_sub(1);
    let within = (bucket - octave * N_SUB) as u64;
    (within << octave) + ((1 << octave) - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_meter_watches_until_it_is_stopped() {
        let meter = HiccupMeter::start();
        sleep_until(mono_now().plus(30_000_000));
        let report = meter.stop();
        assert!(report.n_samples > 0);
        assert_eq!(report.p99_ns, None);
    }

    #[test]
    fn stopping_takes_about_one_sleep() {
        let meter = HiccupMeter::start();
        let asked = mono_now();
        drop(meter);
        // Far more than a millisecond, for a machine under load.
        assert!(mono_now().since(asked) < 1_000_000_000);
    }

    #[test]
    fn one_stall_shows_in_the_maximum_and_not_in_the_percentile() {
        let mut oversleeps = Oversleeps::new();
        for _ in 0..1_999 {
            oversleeps.record(60_000);
        }
        oversleeps.record(80_000_000);
        let report = oversleeps.report();
        assert_eq!((report.max_ns, report.n_samples), (80_000_000, 2_000));
        assert!((60_000..=67_500).contains(&report.p99_ns.unwrap()));
    }

    #[test]
    fn too_few_samples_support_no_percentile() {
        let mut oversleeps = Oversleeps::new();
        for _ in 0..999 {
            oversleeps.record(1);
        }
        assert_eq!(oversleeps.report().p99_ns, None);
        oversleeps.record(1);
        assert_eq!(oversleeps.report().p99_ns, Some(1));
    }

    proptest! {
        #[test]
        fn a_bucket_ends_at_most_an_eighth_above_its_values(value: u64) {
            let bucket = bucket_of(value);
            prop_assert!(bucket < N_BUCKETS);
            let end = upper_end_of(bucket);
            prop_assert!(end >= value && end - value <= value / 8);
            prop_assert_eq!(bucket_of(end), bucket);
        }
    }
}
