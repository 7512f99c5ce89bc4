//! A model of what a run may say about its deliveries: random schedules of faults, and the books of a fake broker beside
//! those of the run.
//!
//! The broker knows what it accepted, what it delivered over which connection, what its clients have surely read (they answer
//! a PING behind every message), and what it broke. Whatever it does to a run, the run's counts must agree with that:
//! `books.rs` has the rules. Faults hit message numbers, and every rule follows from what was sent and answered, so that a
//! slow machine makes no rule fail.
//!
//! By default the same schedules are tried every time. To look further:
//!
//! - `NATSBENCH_MODEL_SEED` (a number): other schedules;
//! - `NATSBENCH_MODEL_CASES` (a number): so many in all.
//!
//! A schedule that fails is made smaller, as far as it still fails, and printed. Keep it in `cases.rs`.

mod books;
mod cases;
mod schedule;

use std::fmt::Write as _;
use std::num::NonZeroU16;
use std::time::Duration;

use natsbench::clock::Clock;
use natsbench::load::plan::LatencyPlan;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::harness::{Bystander, FakeBroker, latency_plan, length_of, run_latency};
use books::Books;
use schedule::{Schedule, any_schedule};

/// Schedules that are tried.
const N_CASES: u32 = 1_000;
/// So many at a time: nearly all of a run is waiting.
const N_LANES: u32 = 16;
/// Runs that may be spent on making a schedule smaller.
const MAX_SHRINK_RUNS: u32 = 150;
/// Between two looks at a connection that may fall silent.
const SHORT_PING_INTERVAL: Duration = Duration::from_millis(60);

impl Schedule {
    fn plan(&self, url: &str) -> LatencyPlan {
        let mut plan = latency_plan(url, self.n_rounds, self.rate_per_s);
        for endpoint in [&mut plan.subscribe_at, &mut plan.publish_at] {
            endpoint.reconnect.wait = self.reconnect_wait;
            endpoint.reconnect.max_attempts = self.max_attempts;
            if self.has_silence() {
                endpoint.reconnect.ping_interval = SHORT_PING_INTERVAL;
            }
        }
        plan.n_publishers = NonZeroU16::new(self.n_publishers).expect("a publisher");
        plan.n_subscribers = NonZeroU16::new(self.n_subscribers).expect("a subscriber");
        plan.rounds.route = self.route;
        plan.rounds.size_bytes = self.size_bytes;
        plan.warmup = length_of(self.n_warmup_rounds, self.rate_per_s);
        plan.drain = self.drain;
        plan.while_down = self.while_down;
        plan
    }

    /// Runs it, and compares the books.
    fn check(&self) -> Result<(), String> {
        let broker = FakeBroker::start(self.script());
        let result = run_latency(self.plan(&broker.ws_url()), Clock::start(), Bystander)?;
        broker.await_clients_gone();
        let ledger = broker.ledger();
        Books::new(self, &result, &ledger).check()
    }
}

fn number_from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is no number: `{text}`")),
    )
}

/// Tries so many schedules, one after the other; returns the smallest that was found to fail.
fn try_lane(seed: u64, n_cases: u32) -> Result<(), String> {
    let config = Config {
        cases: n_cases,
        max_shrink_iters: MAX_SHRINK_RUNS,
        // What fails is kept by hand, with a name.
        failure_persistence: None,
        ..Config::default()
    };
    let mut seed_bytes = [0; 32];
    seed_bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed_bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let tried = runner.run(&any_schedule(), |schedule| {
        schedule.check().map_err(TestCaseError::fail)
    });
    match tried {
        Ok(()) => Ok(()),
        Err(TestError::Fail(reason, schedule)) => Err(format!("{reason}\nin {schedule:#?}")),
        Err(TestError::Abort(reason)) => Err(format!("given up: {reason}")),
    }
}

#[test]
fn whatever_the_broker_does_the_books_of_a_run_agree_with_its_own() {
    let seed = number_from_environment("NATSBENCH_MODEL_SEED").unwrap_or(0);
    let n_cases = number_from_environment("NATSBENCH_MODEL_CASES")
        .map_or(N_CASES, |n| u32::try_from(n).expect("a number of cases"));
    let n_cases_of_lane = n_cases.div_ceil(N_LANES);
    let lanes: Vec<_> = (0..u64::from(N_LANES))
        .map(|lane| {
            let seed = seed.wrapping_mul(u64::from(N_LANES)).wrapping_add(lane);
            (
                seed,
                std::thread::spawn(move || try_lane(seed, n_cases_of_lane)),
            )
        })
        .collect();
    let mut failures = String::new();
    for (seed, lane) in lanes {
        let tried = lane
            .join()
            .unwrap_or_else(|_| Err("a lane panicked".to_owned()));
        if let Err(failure) = tried {
            writeln!(failures, "lane of seed {seed}: {failure}\n")
                .expect("a string takes anything");
        }
    }
    assert!(failures.is_empty(), "{failures}");
}
