//! A wall clock that is set in the middle of a run bends nothing, and is reported.

use std::sync::atomic::{AtomicI64, Ordering};

use natsbench::clock::{Clock, WallNanos};
use natsbench::load::run::Watcher;
use natsbench::measure::recorder::Recorder;
use natsbench::report::progress::Snapshot;
use natsbench::results::outages::{SeriesRow, StatusEvent};
use natsbench::results::{Ended, RunResult, Verdict};

use crate::harness::{Broker, latency_plan, run_latency};

const HOUR_NS: i64 = 3_600_000_000_000;
const N_ROUNDS: u64 = 900;
const RATE_PER_S: u64 = 250;

/// Sets the clock when a second of the run is over, which is when the run has just looked at it.
struct ClockSetter {
    step: &'static AtomicI64,
    /// What to set it to after the first second, the second one, and so on.
    settings: std::vec::IntoIter<i64>,
}

impl Watcher for ClockSetter {
    fn on_begin(&mut self, _: WallNanos) {}
    fn on_progress(&mut self, _: &Snapshot) {}
    fn on_interval(&mut self, _: &Recorder) {}
    fn on_events(&mut self, _: Vec<StatusEvent>, _: u64) {}
    fn on_second(&mut self, _: &SeriesRow) {
        if let Some(setting) = self.settings.next() {
            self.step.store(setting, Ordering::Relaxed);
        }
    }
    fn on_checkpoint(&mut self, _: RunResult) {}
}

/// A run of nearly four seconds in which the wall clock is set to these offsets, one after each second.
fn run(settings: &[i64]) -> RunResult {
    let broker = Broker::builder().start();
    // As long as the process: a clock may outlive whoever sets it.
    let step: &'static AtomicI64 = Box::leak(Box::new(AtomicI64::new(0)));
    let mut plan = latency_plan(&broker.ws_url(), N_ROUNDS, RATE_PER_S);
    let objectives = ["p99<1000s", "service.max<1000s", "lost==0"];
    plan.objectives = objectives
        .map(|one| one.parse().expect("an objective"))
        .into();
    let setter = ClockSetter {
        step,
        settings: Vec::from(settings).into_iter(),
    };
    run_latency(plan, Clock::start_settable(step), setter).expect("a result")
}

fn verdicts(result: &RunResult) -> [Verdict; 3] {
    std::array::from_fn(|idx| result.slo[idx].verdict)
}

#[test]
fn a_clock_that_is_set_bends_no_count_and_no_latency_and_is_reported() {
    let undisturbed = run(&[]);
    assert_eq!(undisturbed.trust.clock_step_ns, None);
    assert_eq!(undisturbed.slo[2].verdict, Verdict::Pass);
    assert_eq!(undisturbed.load.received, N_ROUNDS);
    let (forward, back) = (&[HOUR_NS][..], &[-HOUR_NS][..]);
    // Set at once to what it was before, when the run has noticed.
    let there_and_back = &[HOUR_NS, 0][..];
    for settings in [forward, back, there_and_back] {
        let result = run(settings);
        assert_eq!(result.ended, Ended::Completed, "{settings:?}");
        assert_eq!(result.load, undisturbed.load, "{settings:?}");
        let latency = result.latency.as_ref().expect("latencies");
        for stats in [&latency.response, &latency.service, &latency.lateness] {
            let stats = stats.as_ref().expect("latencies");
            let limit_ns = i64::try_from(result.duration_ns).expect("a short run");
            assert!(stats.max_ns < limit_ns, "{settings:?}: {stats:?}");
            assert!(stats.min_ns >= 0, "{settings:?}: {stats:?}");
            assert_eq!((stats.negative, stats.clipped), (0, 0), "{settings:?}");
        }
        let step_ns = result.trust.clock_step_ns.expect("a step");
        // What slewing and reading add is far below a second.
        let off_ns = (step_ns.abs() - HOUR_NS).abs();
        assert!(off_ns < 1_000_000_000, "{settings:?}: {step_ns}");
        if settings.len() == 1 {
            assert_eq!(step_ns.signum(), settings[0].signum(), "{step_ns}");
        }
        let inconclusive = Verdict::Inconclusive;
        assert_eq!(
            verdicts(&result),
            [inconclusive, inconclusive, Verdict::Pass],
            "{settings:?}: {:?}",
            result.slo
        );
    }
}
