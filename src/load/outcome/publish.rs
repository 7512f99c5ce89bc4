//! The result of a `pub` run.

use std::collections::BTreeMap;

use crate::load::pacer::tick_ns;
use crate::load::plan::{Extent, PublishPlan};
use crate::load::publish::Published;
use crate::measure::schedule::Schedule;
use crate::results::outages::Role;
use crate::results::{Ended, LatencyResult, Load, RateResult, RunResult, Verdict};
use crate::units::{Rate, RateLimit, format_count, format_duration};

use super::doubts::Doubts;
use super::parts::{
    TrustFacts, connection_of, environment, n_messages, not_sent, outages_of, paced_ns, per_s,
    rfc3339, rounds_settings, sent_streams, stats_of, trust_of,
};

/// The result of a `pub` run.
pub fn of_publish(plan: &PublishPlan, published: &Published) -> RunResult {
    let rate = match plan.rate {
        RateLimit::PerSecond(rate) => Some(rate),
        RateLimit::Max => None,
    };
    let messages_per_round = u64::from(plan.rounds.route.subjects_per_round());
    let mut streams = sent_streams(&published.phase);
    for (row, sent) in streams.iter_mut().zip(&published.phase.streams) {
        row.in_doubt = Some(published.in_doubt.n_of(sent.publisher, sent.stream));
    }
    let load = Load {
        planned: Some(published.phase.n_planned * messages_per_round),
        sent: Some(n_messages(&published.phase)),
        skipped: Some(published.phase.n_skipped * messages_per_round),
        not_sent: Some(not_sent(&published.phase, messages_per_round)),
        in_doubt: Some(published.in_doubt.n_messages()),
        streams,
        refused: published.n_server_errors,
        ..Load::default()
    };
    let mut doubts = Doubts::default();
    doubts.of_generator(&published.phase, None);
    doubts.of_clock(&published.run);
    doubts.of_events(&published.run);
    doubts.of_refusals(published.n_server_errors, &published.texts);
    doubts.of_in_doubt(published.in_doubt.n_messages());
    for (idx, reason) in &published.failures {
        doubts.of_connection("publisher", *idx, reason);
    }
    if plan.client == crate::load::plan::PublishClient::Raw
        && !published.is_confirmed
        && !doubts.is_connection_lost
        && doubts.n_in_doubt == 0
    {
        doubts.add("the broker has not confirmed that it has every message".to_owned());
    }
    let ended = match (published.run.is_interrupted, plan.extent) {
        // Without an end of its own a run is meant to be stopped, but the contract has one code for that.
        (true, _) => Ended::Interrupted,
        (false, _) if doubts.is_connection_lost => Ended::ConnectionLost,
        (false, _) => Ended::Completed,
    };
    let verdict = if doubts.sentences.is_empty() {
        Verdict::Pass
    } else {
        Verdict::Inconclusive
    };
    let lateness = published.phase.lateness.all();
    let outages = outages_of(&published.run, messages_per_round);
    RunResult {
        schema: crate::results::SCHEMA.to_owned(),
        command: "pub".to_owned(),
        verdict,
        reasons: doubts.sentences.clone(),
        ended,
        slo: Vec::new(),
        histogram: None,
        load,
        rate: RateResult {
            target_per_s: rate.map(Rate::per_s),
            sent_per_s: per_s(
                published.phase.n_sent,
                paced_ns(&published.phase, rate.map(Schedule::new), ended),
            ),
            received_per_s: None,
        },
        latency: stats_of(&lateness).map(|lateness| LatencyResult {
            response: None,
            service: None,
            lateness: Some(lateness),
        }),
        connection: connection_of(
            &plan.endpoint,
            published.facts.as_ref(),
            plan.client.name(),
            (Role::Publisher, &outages),
        ),
        publisher_connection: None,
        trust: trust_of(&TrustFacts {
            phase: Some(&published.phase),
            lateness: Some(&lateness),
            tick_ns: rate.and_then(tick_ns),
            run: &published.run,
            counts: None,
            doubts: doubts.sentences,
        }),
        environment: environment(),
        settings: settings_of(plan, rate),
        started_at: rfc3339(&published.run.clock, published.run.started),
        duration_ns: published.run.total_ns,
        outages,
        n_outages: published.run.n_outages,
    }
}

fn settings_of(plan: &PublishPlan, rate: Option<Rate>) -> BTreeMap<String, String> {
    let mut settings = rounds_settings(&plan.rounds);
    let mut set = |key: &str, value: String| _ = settings.insert(key.to_owned(), value);
    set(
        "rate",
        rate.map_or_else(|| "max".to_owned(), |rate| rate.to_string()),
    );
    set("connections", plan.n_connections.to_string());
    match plan.extent {
        Extent::Duration(duration) => set("duration", format_duration(duration)),
        Extent::Rounds(n) => set("count", format_count(n)),
        Extent::Endless => {}
    }
    settings
}
