//! A long run puts down what it knows from time to time: each checkpoint is a whole result, and none claims to be the end.

use std::time::Duration;

use natsbench::clock::{Clock, WallNanos};
use natsbench::load::interrupt::Interrupt;
use natsbench::load::run::{Watch, Watcher};
use natsbench::load::{latency, outcome};
use natsbench::measure::recorder::Recorder;
use natsbench::report::progress::Snapshot;
use natsbench::results::outages::{SeriesRow, StatusEvent};
use natsbench::results::{Ended, RunResult, Verdict};

use crate::harness::{Broker, latency_plan};

/// Keeps what it is told.
#[derive(Default)]
struct Keeper {
    checkpoints: Vec<RunResult>,
    rows: Vec<SeriesRow>,
}

impl Watcher for Keeper {
    fn on_begin(&mut self, _began: WallNanos) {}
    fn on_progress(&mut self, _snapshot: &Snapshot) {}
    fn on_interval(&mut self, _recorder: &Recorder) {}
    fn on_events(&mut self, _events: Vec<StatusEvent>, _now_ns: u64) {}
    fn on_second(&mut self, row: &SeriesRow) {
        self.rows.push(row.clone());
    }
    fn on_checkpoint(&mut self, result: RunResult) {
        self.checkpoints.push(result);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_is_a_whole_result_and_never_the_end() {
    let broker = Broker::start();
    let mut plan = latency_plan(&broker.ws_url(), 1_000, 500);
    plan.warmup = Duration::from_millis(200);
    let mut keeper = Keeper::default();
    let watch = Watch {
        interrupt: Interrupt::default(),
        clock: Clock::start(),
        checkpoint_period: Duration::from_millis(200),
        watcher: &mut keeper,
    };
    let measured = latency::run(&plan, watch).await.expect("it can begin");
    let end = outcome::of_latency(&plan, &measured);
    assert_eq!((end.ended, end.load.received), (Ended::Completed, 1_000));
    assert!(keeper.checkpoints.len() > 2, "{}", keeper.checkpoints.len());
    let mut last = 0;
    for checkpoint in &keeper.checkpoints {
        assert_eq!(checkpoint.ended, Ended::Unfinished);
        assert_eq!(checkpoint.verdict, Verdict::Inconclusive);
        let received = checkpoint.load.received;
        assert!(
            (last..=1_000).contains(&received),
            "{received} after {last}"
        );
        last = received;
        let json = serde_json::to_string(checkpoint).expect("it is plain data");
        let read: RunResult = serde_json::from_str(&json).expect("it can be read again");
        assert_eq!(read.load, checkpoint.load);
    }
    assert!(last > 0);
    // The rows of the series add up to the whole.
    let measured_rows = keeper.rows.iter().filter(|row| row.phase != "warming up");
    let (mut sent, mut received) = (0, 0);
    for row in measured_rows {
        sent += row.sent.expect("rounds are sent");
        received += row.received;
    }
    assert_eq!((sent, received), (1_000, 1_000));
}
