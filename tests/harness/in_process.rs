//! Runs of the library itself, without a process of their own, for what no flag can ask for.

use std::num::NonZeroU16;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use natsbench::clock::{Clock, WallNanos};
use natsbench::load::interrupt::Interrupt;
use natsbench::load::plan::{
    Endpoint, LatencyPlan, PublishClient, ReconnectPolicy, RoundsPlan, WhileDown,
};
use natsbench::load::run::{Watch, Watcher};
use natsbench::load::{latency, outcome};
use natsbench::measure::recorder::Recorder;
use natsbench::report::progress::Snapshot;
use natsbench::results::RunResult;
use natsbench::results::outages::{SeriesRow, StatusEvent};
use natsbench::rounds::{ExtrasForm, GameMix, Route};
use natsbench::units::Rate;

use super::turns::Turn;
use super::{DEADLINE, dial_options};

/// Longer than a machine under load keeps anybody waiting.
const PATIENCE: Duration = Duration::from_secs(20);

/// Looks on.
pub(crate) struct Bystander;

impl Watcher for Bystander {
    fn on_begin(&mut self, _: WallNanos) {}
    fn on_progress(&mut self, _: &Snapshot) {}
    fn on_interval(&mut self, _: &Recorder) {}
    fn on_events(&mut self, _: Vec<StatusEvent>, _: u64) {}
    fn on_second(&mut self, _: &SeriesRow) {}
    fn on_checkpoint(&mut self, _: RunResult) {}
}

/// A run of one publisher and one subscriber that loses no connection by itself: so many rounds at a rate that divides a
/// second into whole nanoseconds.
pub(crate) fn latency_plan(url: &str, n_rounds: u64, rate_per_s: u64) -> LatencyPlan {
    let endpoint = Endpoint {
        servers: vec![url.parse().expect("a URL")],
        dial: dial_options(),
        reconnect: ReconnectPolicy {
            ping_interval: PATIENCE,
            ..ReconnectPolicy::default()
        },
        read_credentials: None,
    };
    LatencyPlan {
        subscribe_at: endpoint.clone(),
        publish_at: endpoint,
        client: PublishClient::Raw,
        n_publishers: NonZeroU16::MIN,
        n_subscribers: NonZeroU16::MIN,
        rounds: RoundsPlan {
            games: GameMix::default(),
            route: Route::Game,
            prefix: "rounds".to_owned(),
            size_bytes: None,
            seed: 1,
            extras: ExtrasForm::Object,
            is_stamped: true,
        },
        rate: Rate::new(rate_per_s, 1).expect("a rate"),
        duration: length_of(n_rounds, rate_per_s),
        warmup: Duration::ZERO,
        drain: Duration::from_secs(2),
        while_down: WhileDown::Send,
        objectives: Vec::new(),
    }
}

/// In so much time so many rounds fall due.
pub(crate) fn length_of(n_rounds: u64, rate_per_s: u64) -> Duration {
    Duration::from_nanos(n_rounds * (1_000_000_000 / rate_per_s))
}

/// Runs it in a thread of its own, which is not waited for longer than the deadline.
pub(crate) fn run_latency(
    plan: LatencyPlan,
    clock: Clock,
    mut watcher: impl Watcher + 'static,
) -> Result<RunResult, String> {
    let _turn = Turn::take();
    let (sender, results) = channel();
    let running = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let watch = Watch {
            interrupt: Interrupt::default(),
            clock,
            checkpoint_period: Duration::from_mins(1),
            watcher: &mut watcher,
        };
        let measured = runtime.block_on(Box::pin(latency::run(&plan, watch)));
        let result = measured.map(|measured| outcome::of_latency(&plan, &measured));
        // Nobody waits any more when it came too late.
        let _ = sender.send(result.map_err(|error| format!("the run could not begin: {error}")));
    });
    let result = match results.recv_timeout(DEADLINE) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => return Err(format!("no end after {DEADLINE:?}")),
        Err(RecvTimeoutError::Disconnected) => Err("it panicked".to_owned()),
    };
    let _ = running.join();
    result
}
