//! Everything that speaks against taking the numbers of a run at face value.

use std::collections::BTreeSet;

use crate::load::accounting::SinkCounts;
use crate::load::pacer::PhaseOutcome;
use crate::load::receiver::ConnectionReport;
use crate::load::run::RunFacts;
use crate::measure::histogram::LatencyHistogram;
use crate::measure::recorder::Recorder;
use crate::measure::slo::Doubt;
use crate::units::{format_count, format_nanos};

use super::parts::{DRIFT_NS, ratio};
use super::verdict::in_doubt_of;

/// Below this share of the planned rounds, the generator did not keep its rate.
const MIN_RATE_RATIO: f64 = 0.99;
/// Lateness up to this is the resolution of any sleeping generator and never a reason for doubt.
const TOLERATED_LATENESS_NS: i64 = 1_000_000;
/// So many different complaints of the broker are told.
const MAX_COMPLAINTS: usize = 3;

/// What speaks against a run.
#[derive(Default)]
pub(super) struct Doubts {
    /// Sentences for the report.
    pub(super) sentences: Vec<String>,
    /// What bears on objectives.
    pub(super) for_objectives: Vec<Doubt>,
    /// A connection ended before the run did.
    pub(super) is_connection_lost: bool,
    /// The broker refused messages.
    pub(super) is_refused: bool,
    /// Planned rounds were not sent.
    pub(super) is_short: bool,
    /// Messages in doubt.
    pub(super) n_in_doubt: u64,
    /// There was an outage of which nobody knows what it has cost.
    pub(super) has_unknown_outage: bool,
    /// Arrivals that could not be attributed: so much of what counts as lost may have arrived.
    pub(super) n_unattributed: u64,
}

impl Doubts {
    pub(super) fn add(&mut self, sentence: String) {
        self.sentences.push(sentence);
    }

    pub(super) fn of_generator(
        &mut self,
        phase: &PhaseOutcome,
        response: Option<&LatencyHistogram>,
    ) {
        let rate_ratio = ratio(phase.n_sent, phase.n_planned).unwrap_or(1.0);
        if rate_ratio < MIN_RATE_RATIO {
            self.is_short = true;
            self.add(format!(
                "{} of {} planned rounds were sent",
                format_count(phase.n_sent),
                format_count(phase.n_planned)
            ));
        }
        // What a connection held back is no fault of the generator: it is what the run is there to show.
        let Some(lateness_ns) = phase.lateness.own().percentile_ns(0.99) else {
            return;
        };
        // Response includes our own lateness. It is in doubt when lateness makes up much of what was seen.
        let response_ns = response
            .and_then(|response| response.percentile_ns(0.99))
            .unwrap_or(0);
        let limit_ns = TOLERATED_LATENESS_NS.max(response_ns / 2);
        if lateness_ns > limit_ns {
            self.add(format!(
                "the generator was late: p99 of lateness is {}",
                format_nanos(lateness_ns)
            ));
            self.for_objectives.push(Doubt::GeneratorLate {
                lateness_ns,
                limit_ns,
            });
        }
    }

    /// A wall clock that was set: moments of two processes cannot be compared over it.
    pub(super) fn of_clock(&mut self, run: &RunFacts) {
        if run.clock_step_ns != 0 {
            self.add(format!(
                "the wall clock was set by {} during the run",
                format_nanos(run.clock_step_ns)
            ));
            self.for_objectives.push(Doubt::ClockStepped {
                step_ns: run.clock_step_ns,
            });
        }
    }

    /// A wall clock that has moved away little by little. Within one process that matters to nobody; between two it bends
    /// every latency.
    pub(super) fn of_drift(&mut self, run: &RunFacts) {
        if run.clock_step_ns == 0 && run.clock_drift_ns.unsigned_abs() > DRIFT_NS {
            self.add(format!(
                "the wall clock has moved by {} against this process's own time: latencies of messages from other processes are off by as much",
                format_nanos(run.clock_drift_ns)
            ));
        }
    }

    /// Messages of which nobody knows whether the broker has had them.
    pub(super) fn of_in_doubt(&mut self, n_messages: u64) {
        if n_messages > 0 {
            self.n_in_doubt = n_messages;
            self.add(in_doubt_of(n_messages));
        }
    }

    /// Outages of which nobody knows what they have cost: of messages without a stamp, say.
    pub(super) fn of_unknown_outages(&mut self, n_outages: usize) {
        if n_outages > 0 {
            self.has_unknown_outage = true;
            let what = if n_outages == 1 { "outage" } else { "outages" };
            self.add(format!(
                "nobody knows what was missed in {n_outages} {what}"
            ));
        }
    }

    /// Status events that nobody was told.
    pub(super) fn of_events(&mut self, run: &RunFacts) {
        if run.n_dropped_events > 0 {
            self.add(format!(
                "{} status events were too many at once and are missing from the list",
                format_count(run.n_dropped_events)
            ));
        }
    }

    pub(super) fn of_stamps(&mut self, counts: &SinkCounts) {
        if counts.n_parsed > 0 {
            self.add(format!(
                "{} messages were re-encoded on the way",
                format_count(counts.n_parsed)
            ));
        }
        if counts.n_timestamp_only > 0 {
            self.add(format!(
                "{} messages have only a `timestamp`: their latency is exact to 1 ms",
                format_count(counts.n_timestamp_only)
            ));
        }
    }

    /// Arrivals beyond the limits of the accounting. What they were is not known, only how many.
    pub(super) fn of_unattributed(&mut self, n_arrivals: u64) {
        if n_arrivals > 0 {
            self.n_unattributed = n_arrivals;
            self.add(format!(
                "{} arrivals could not be attributed, so counts of lost and duplicated messages are not exact",
                format_count(n_arrivals)
            ));
            self.for_objectives
                .push(Doubt::CountsInexact { n_arrivals });
        }
    }

    pub(super) fn of_negatives(&mut self, recorder: &Recorder) {
        let n_negative = recorder.response.n_negative() + recorder.service.n_negative();
        if n_negative > 0 {
            self.add(format!(
                "{} latencies are negative: the clocks of publisher and subscriber disagree",
                format_count(n_negative)
            ));
            self.for_objectives
                .push(Doubt::ClocksDisagree { n_negative });
        }
    }

    pub(super) fn of_refusals(&mut self, n_server_errors: u64, texts: &[String]) {
        if n_server_errors > 0 {
            self.is_refused = true;
            self.add(format!(
                "the broker answered {} times with an error: {}",
                format_count(n_server_errors),
                texts.join("; ")
            ));
        }
    }

    /// Subscribers whose connection was lost for good, and what the broker refused without sending them away,
    /// such as a subscription that a reload took from them.
    pub(super) fn of_subscribers<S>(&mut self, reports: &[ConnectionReport<S>]) {
        let mut n_refused = 0;
        let mut texts = BTreeSet::new();
        for report in reports {
            if let Some(reason) = &report.failure {
                self.of_connection("subscriber", report.idx, reason);
            }
            n_refused += u64::from(!report.server_errors.is_empty());
            texts.extend(report.server_errors.iter().map(String::as_str));
        }
        if n_refused > 0 {
            let plural = if n_refused == 1 { "" } else { "s" };
            let told: Vec<&str> = texts.into_iter().take(MAX_COMPLAINTS).collect();
            self.add(format!(
                "the broker answered {} subscriber{plural} with an error: {}",
                format_count(n_refused),
                told.join("; ")
            ));
        }
    }

    /// A connection that was lost for good.
    pub(super) fn of_connection(&mut self, role: &str, idx: usize, reason: &str) {
        self.is_connection_lost = true;
        self.add(format!(
            "the connection of {role} {idx} was lost for good: {reason}"
        ));
    }
}
