//! What changes during a run: read before and after, the difference says what the machine did to us.

use std::fs;

use super::facts::read_text;
use super::parse::{self, CpuTicks};

/// The machine's counters at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSample {
    /// How long control groups held us back so far, summed over processors and over the groups above ours.
    pub throttled_ns: Option<u64>,
    /// The resident memory of this process.
    pub rss_bytes: Option<u64>,
    /// The open file descriptors of this process.
    pub n_open_fds: Option<usize>,
    ticks: Option<CpuTicks>,
}

/// What happened between two samples.
#[derive(Debug, Clone, PartialEq)]
pub struct HostDelta {
    /// How long control groups held us back.
    pub throttled_ns: Option<u64>,
    /// The share of all processor time that the hypervisor gave to others although we had work, `0.0..=1.0`.
    pub steal_ratio: Option<f64>,
}

impl HostSample {
    /// Reads the counters now.
    pub fn read() -> Self {
        Self {
            throttled_ns: read_throttled_ns(),
            rss_bytes: read_text("/proc/self/status").and_then(|text| parse::rss_bytes(&text)),
            n_open_fds: read_n_open_fds(),
            ticks: read_text("/proc/stat").and_then(|text| parse::cpu_ticks(&text)),
        }
    }

    /// What happened from `earlier` to here.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> HostDelta {
        HostDelta {
            throttled_ns: difference(self.throttled_ns, earlier.throttled_ns),
            steal_ratio: self
                .ticks
                .zip(earlier.ticks)
                .and_then(|(now, then)| steal_ratio(now, then)),
        }
    }
}

/// A counter that ran backwards (the process was moved to another group) says nothing.
fn difference(now: Option<u64>, earlier: Option<u64>) -> Option<u64> {
    now?.checked_sub(earlier?)
}

fn steal_ratio(now: CpuTicks, earlier: CpuTicks) -> Option<f64> {
    let total = now.total.checked_sub(earlier.total)?;
    let steal = now.steal.checked_sub(earlier.steal)?;
    (total > 0).then(|| (steal as f64 / total as f64).min(1.0))
}

fn read_throttled_ns() -> Option<u64> {
    let cgroup = read_text("/proc/self/cgroup")?;
    parse::cpu_stat_paths(&cgroup)
        .iter()
        .filter_map(|path| parse::throttled_ns(&read_text(path)?))
        .reduce(u64::saturating_add)
}

fn read_n_open_fds() -> Option<usize> {
    // Listing the directory opens one more.
    let n_listed = fs::read_dir("/proc/self/fd").ok()?.count();
    Some(n_listed.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(throttled_ns: Option<u64>, ticks: Option<(u64, u64)>) -> HostSample {
        HostSample {
            throttled_ns,
            rss_bytes: None,
            n_open_fds: None,
            ticks: ticks.map(|(steal, total)| CpuTicks { steal, total }),
        }
    }

    #[test]
    fn a_difference_needs_both_ends() {
        let delta =
            sample(Some(5_000), Some((30, 200))).since(&sample(Some(2_000), Some((20, 100))));
        assert_eq!(delta.throttled_ns, Some(3_000));
        assert_eq!(delta.steal_ratio, Some(0.1));
        let delta = sample(Some(5_000), None).since(&sample(None, Some((20, 100))));
        assert_eq!((delta.throttled_ns, delta.steal_ratio), (None, None));
    }

    #[test]
    fn counters_that_stand_still_or_run_backwards_say_nothing() {
        let delta = sample(Some(1), Some((5, 100))).since(&sample(Some(2), Some((5, 100))));
        assert_eq!((delta.throttled_ns, delta.steal_ratio), (None, None));
    }

    #[test]
    fn this_process_has_memory_and_open_files() {
        let now = HostSample::read();
        assert!(now.rss_bytes.is_some_and(|bytes| bytes > 0));
        assert!(now.n_open_fds.is_some_and(|n_fds| n_fds >= 3));
    }
}
