//! A run of natsbench that reconnects quickly, and the books that it has to keep.
//!
//! It goes on until it is interrupted, so that no test depends on how long anything takes: a test waits for what it wants
//! to have happened, as the event file or a counter tells it.

use std::fs;
use std::path::{Path, PathBuf};

use natsbench::cli::exit;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Finished, Natsbench, Running, eventually};

/// Every kind of cause.
const KINDS: [&str; 9] = [
    "server-error",
    "close-frame",
    "eof",
    "reset",
    "timeout",
    "slow-consumer",
    "protocol",
    "library",
    "io",
];

/// A run that has begun.
pub(super) struct Run {
    running: Running,
    events: PathBuf,
    dir: TempDir,
}

impl Run {
    /// `latency` in one stream for one publisher and one subscriber. What is said after these defaults takes their place.
    pub(super) fn latency(url: &str, args: &[&str]) -> Self {
        let defaults = [
            ("--rate", "500"),
            ("--duration", "1h"),
            ("--warmup", "0s"),
            ("--drain", "3s"),
            ("--games", "crash"),
            // Longer than a machine under load keeps anybody waiting.
            ("--ping-interval", "20s"),
        ];
        Self::start("latency", &defaults, url, args)
    }

    /// `pub` of rounds in one stream.
    pub(super) fn publish(url: &str, args: &[&str]) -> Self {
        let defaults = [
            ("--rate", "500"),
            ("--route", "game"),
            ("--games", "crash"),
            ("--ping-interval", "20s"),
        ];
        Self::start("pub", &defaults, url, args)
    }

    /// `sub` of rounds, without message lines.
    pub(super) fn subscribe(url: &str, args: &[&str]) -> Self {
        let args = [&["rounds.game.*", "--stats"], args].concat();
        Self::start("sub", &[("--ping-interval", "20s")], url, &args)
    }

    fn start(command: &str, defaults: &[(&str, &str)], url: &str, args: &[&str]) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let events = dir.path().join("events.jsonl");
        let series = dir.path().join("series.jsonl");
        let mut all = vec![command, "-o", "json", "--server", url];
        for (flag, path) in [("--events", &events), ("--series", &series)] {
            all.extend([flag, path.to_str().expect("a UTF-8 path")]);
        }
        let always = [("--reconnect-wait", "20ms"), ("--timeout", "2s")];
        for (flag, value) in defaults.iter().chain(&always) {
            if !args.contains(flag) {
                all.extend([flag, value]);
            }
        }
        all.extend(args);
        Self {
            running: Natsbench::new(all).spawn(),
            events,
            dir,
        }
    }

    /// What happened to its connections so far.
    pub(super) fn events(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.events).unwrap_or_default();
        // A line that is still being written is not whole.
        let lines = text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        lines
            .map(|line| serde_json::from_str(line).expect("a line of JSON"))
            .collect()
    }

    /// Waits until this has happened so many times in all to connections of this role.
    #[track_caller]
    pub(super) fn await_events(&self, role: &str, event: &str, n_events: usize) {
        eventually(&format!("{n_events} {event} of a {role}"), || {
            let events = self.events();
            let is_it = |one: &&Value| one["role"] == role && one["event"] == event;
            (events.iter().filter(is_it).count() >= n_events).then_some(())
        });
    }

    /// Waits until one connection has been tried so often in one outage.
    #[track_caller]
    pub(super) fn await_attempt(&self, n_attempts: u64) {
        eventually("attempts to connect again", || {
            let events = self.events();
            let attempts = events.iter().filter_map(|event| event["attempt"].as_u64());
            (attempts.max() >= Some(n_attempts)).then_some(())
        });
    }

    /// Sends it a signal.
    pub(super) fn signal(&self, signal: Signal) {
        self.running.signal(signal);
    }

    /// Ends it by Ctrl-C.
    #[track_caller]
    pub(super) fn interrupt(self) -> Outcome {
        self.running.signal(Signal::INT);
        let outcome = self.finish();
        let code = Some(i32::from(exit::INTERRUPTED));
        assert_eq!(outcome.code, code, "{}", outcome.stderr);
        assert_eq!(outcome.result["ended"], "interrupted");
        outcome
    }

    /// Waits for its end.
    #[track_caller]
    pub(super) fn finish(self) -> Outcome {
        let Self {
            running,
            events,
            dir,
        } = self;
        let finished = running.wait();
        let series = lines_of(&dir.path().join("series.jsonl"));
        Outcome::new(&finished, lines_of(&events), series)
    }
}

/// The lines of a file that may still be written, or not be there yet.
fn lines_of(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines = text.split_inclusive('\n');
    // A line that is still being written is not whole.
    let whole = lines.filter(|line| line.ends_with('\n'));
    whole
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect()
}

/// What a run has left. Its books add up.
pub(super) struct Outcome {
    pub(super) code: Option<i32>,
    pub(super) stderr: String,
    pub(super) result: Value,
    pub(super) events: Vec<Value>,
    /// Its seconds.
    pub(super) series: Vec<Value>,
}

impl Outcome {
    #[track_caller]
    fn new(finished: &Finished, events: Vec<Value>, series: Vec<Value>) -> Self {
        assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
        let outcome = Self {
            code: finished.code,
            stderr: finished.stderr.clone(),
            result: finished.json(),
            events,
            series,
        };
        outcome.adds_up();
        outcome
    }

    /// A count of `load`; one that is absent is none.
    pub(super) fn load(&self, name: &str) -> u64 {
        self.result["load"][name].as_u64().unwrap_or(0)
    }

    /// Outages of a role, in the order in which they began.
    pub(super) fn outages(&self, role: &str) -> Vec<&Value> {
        let outages = self.result["outages"].as_array().expect("outages");
        outages.iter().filter(|one| one["role"] == role).collect()
    }

    /// The kinds of their causes.
    pub(super) fn kinds(&self, role: &str) -> Vec<&str> {
        let outages = self.outages(role);
        let kinds = outages.iter().map(|one| one["cause"]["kind"].as_str());
        kinds.map(|kind| kind.expect("a kind")).collect()
    }

    /// The only outage of a role, which is over.
    #[track_caller]
    pub(super) fn outage(&self, role: &str) -> &Value {
        let outages = self.outages(role);
        assert_eq!(outages.len(), 1, "{role}: {:#}", self.result["outages"]);
        assert!(outages[0]["duration_ns"].is_u64(), "{:#}", outages[0]);
        outages[0]
    }

    /// The books: nothing is counted twice, and nothing is left out.
    #[track_caller]
    fn adds_up(&self) {
        let load = &self.result["load"];
        if load["planned"].is_u64() {
            let parts = self.load("sent") + self.load("skipped") + self.load("not_sent");
            assert_eq!(self.load("planned"), parts, "planned: {load:#}");
        }
        if load["expected"].is_u64() {
            let parts = self.load("received") + self.load("lost") + self.load("in_doubt");
            assert_eq!(self.load("expected"), parts, "expected: {load:#}");
        }
        let subscribers = load["subscribers"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        for name in ["expected", "received", "lost", "in_doubt", "duplicated"] {
            let counts = subscribers.iter().map(|one| one[name].as_u64());
            let of_all: u64 = counts.map(Option::unwrap_or_default).sum();
            // Commands that have no more than one subscriber do not list it.
            if !subscribers.is_empty() && load[name].is_u64() {
                assert_eq!(of_all, self.load(name), "{name}: {load:#}");
            }
        }
        for subscriber in subscribers {
            let count = |name: &str| subscriber[name].as_u64().unwrap_or(0);
            if subscriber["expected"].is_u64() {
                let parts = count("received") + count("lost") + count("in_doubt");
                assert_eq!(count("expected"), parts, "{subscriber:#}");
            }
        }
        if self.result["latency"]["response"]["count"].is_u64() {
            // No copy is measured, and everything else is.
            assert_eq!(
                self.result["latency"]["response"]["count"],
                self.load("received"),
                "{load:#}"
            );
        }
        self.outages_are_whole();
        self.events_are_in_order();
        self.seconds_add_up();
    }

    /// The seconds together are the run.
    #[track_caller]
    fn seconds_add_up(&self) {
        let measured = || {
            let rows = self.series.iter();
            rows.filter(|row| row["phase"] != "warming up")
        };
        let n_received: u64 = measured().filter_map(|row| row["received"].as_u64()).sum();
        let expected = self.load("received") + self.load("duplicated");
        assert_eq!(n_received, expected, "{:#?}", self.series);
        let moments: Vec<_> = self
            .series
            .iter()
            .map(|row| row["at_ns"].as_u64())
            .collect();
        assert!(moments.is_sorted(), "{moments:?}");
    }

    #[track_caller]
    fn outages_are_whole(&self) {
        let outages = self.result["outages"].as_array().expect("outages");
        assert_eq!(self.result["n_outages"], outages.len());
        let mut n_lost = 0;
        for outage in outages {
            let kind = outage["cause"]["kind"].as_str().expect("a kind");
            assert!(KINDS.contains(&kind), "{outage:#}");
            assert!(outage["cause"]["text"].is_string(), "{outage:#}");
            let is_over = outage["duration_ns"].is_u64();
            assert!(
                !is_over || outage["attempts"].as_u64() > Some(0),
                "{outage:#}"
            );
            assert!(!is_over || outage["gave_up"].is_null(), "{outage:#}");
            n_lost += outage["lost"].as_u64().unwrap_or(0);
        }
        assert!(n_lost <= self.load("lost"), "{:#}", self.result);
    }

    /// Each connection lives as a connection can live.
    #[track_caller]
    fn events_are_in_order(&self) {
        let mut n_disconnected = 0;
        let mut connections: Vec<(&Value, &Value)> = Vec::new();
        for event in &self.events {
            let who = (&event["role"], &event["idx"]);
            if !connections.contains(&who) {
                connections.push(who);
            }
        }
        for (role, idx) in connections {
            let of_it = self.events.iter();
            let of_it = of_it.filter(|event| event["role"] == *role && event["idx"] == *idx);
            let mut state = "none";
            for event in of_it {
                let name = event["event"].as_str().expect("a name");
                let is_possible = match name {
                    "connected" => state == "none",
                    "disconnected" | "lame-duck" => state == "up",
                    "reconnecting" | "reconnected" => state == "down",
                    "draining" => state == "up" || state == "down",
                    "closed" => state != "none",
                    _ => false,
                };
                assert!(is_possible, "{name} when {state}: {:#?}", self.events);
                n_disconnected += u64::from(name == "disconnected");
                state = match name {
                    "connected" | "reconnected" => "up",
                    "disconnected" => "down",
                    "closed" => "none",
                    _ => state,
                };
            }
        }
        assert_eq!(
            self.result["n_outages"], n_disconnected,
            "{:#?}",
            self.events
        );
    }
}

/// Waits until a count has grown by so many since this was called.
#[track_caller]
pub(super) fn await_growth(what: &str, n_more: u64, count: impl Fn() -> u64) {
    let before = count();
    eventually(what, || (count() >= before + n_more).then_some(()));
}
