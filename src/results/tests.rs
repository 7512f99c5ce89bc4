//! The JSON of results against the schema file that is published for it.

use serde_json::{Value, json};

use super::fixtures;
use super::outages::CauseKind;
use super::published_schema::PublishedSchema;
use super::{Ended, LatencyStats, RunResult, SCHEMA};

const SCHEMA_FILE: &str = include_str!("../../schemas/natsbench.result-1.schema.json");
const SCHEMA_ID: &str = "urn:natsbench:result:1";

fn schema() -> PublishedSchema {
    PublishedSchema::new(SCHEMA_ID, SCHEMA_FILE)
}

/// Why the schema refuses a value; `None` if it does not.
fn refusal(value: &Value) -> Option<String> {
    schema().refusal(value)
}

fn json_of(result: &RunResult) -> Value {
    serde_json::to_value(result).unwrap()
}

/// A result after one change.
fn changed(result: &RunResult, pointer: &str, value: Value) -> Value {
    let mut json = json_of(result);
    let place = json.pointer_mut(pointer);
    *place.unwrap_or_else(|| panic!("there is no {pointer}")) = value;
    json
}

/// A result without one field.
fn without(result: &RunResult, pointer: &str) -> Value {
    let mut json = json_of(result);
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    let parent = json.pointer_mut(parent).and_then(Value::as_object_mut);
    let removed = parent.and_then(|parent| parent.remove(field));
    assert!(removed.is_some(), "there is no {pointer}");
    json
}

#[test]
fn every_fixed_result_is_valid() {
    for (name, result) in fixtures::all() {
        assert_eq!(refusal(&json_of(&result)), None, "{name}");
        assert_eq!(result.schema, SCHEMA);
    }
}

#[test]
fn a_result_that_misses_a_required_field_is_refused() {
    let result = fixtures::fail();
    for pointer in [
        "/schema",
        "/command",
        "/verdict",
        "/slo",
        "/load",
        "/load/planned",
        "/load/sent",
        "/load/expected",
        "/load/received",
        "/load/lost",
        "/load/duplicated",
        "/load/streams",
        "/load/streams/0/subject",
        "/load/subscribers/0/lost",
        "/rate",
        "/latency",
        "/latency/response/count",
        "/latency/response/p99_99_ns",
        "/latency/service/negative",
        "/histogram/0/to_ns",
        "/connection/url",
        "/connection/client",
        "/trust",
        "/trust/doubts",
        "/environment/natsbench_version",
        "/started_at",
        "/duration_ns",
        "/ended",
        "/reasons",
        "/settings",
        "/slo/0/expr",
        "/slo/0/verdict",
        "/slo/0/observed_ns",
    ] {
        assert!(refusal(&without(&result, pointer)).is_some(), "{pointer}");
    }
    assert!(refusal(&without(&fixtures::inconclusive(), "/slo/0/why")).is_some());
}

#[test]
fn a_result_with_a_wrong_value_is_refused() {
    let result = fixtures::fail();
    for (pointer, value) in [
        ("/schema", json!("natsbench.result/2")),
        ("/command", json!("doctor")),
        ("/verdict", json!("passed")),
        ("/verdict", json!(true)),
        // A pass has no reasons, and anything else has one.
        ("/verdict", json!("pass")),
        ("/reasons", json!([])),
        ("/ended", json!("crashed")),
        ("/duration_ns", json!(1.5)),
        ("/duration_ns", json!("12s")),
        ("/duration_ns", json!(-1)),
        ("/started_at", json!("yesterday")),
        ("/load/received", json!(-1)),
        ("/load/received", json!(null)),
        ("/load/lost", json!("none")),
        ("/load/streams/0/publisher", json!(65_536)),
        ("/rate/sent_per_s", json!("200")),
        ("/latency/response/p50_ns", json!(0.5)),
        ("/latency/response/count", json!(0)),
        ("/latency", json!([])),
        ("/connection/client", json!("nats.js")),
        ("/trust/rate_ratio", json!(99)),
        ("/trust/stamp_source", json!("guess")),
        ("/trust/doubts", json!("none")),
        ("/environment/n_cpus", json!(0)),
        ("/settings/rate", json!(200)),
        ("/slo/0/verdict", json!("inconclusive")),
    ] {
        let json = changed(&result, pointer, value);
        assert!(
            refusal(&json).is_some(),
            "{pointer} {:?}",
            json.pointer(pointer)
        );
    }
}

#[test]
fn an_outage_that_says_too_little_or_something_wrong_is_refused() {
    let result = fixtures::restarted();
    assert_eq!(refusal(&json_of(&result)), None);
    for pointer in [
        "/outages/0/role",
        "/outages/0/idx",
        "/outages/0/cause",
        "/outages/0/cause/kind",
        "/outages/0/cause/text",
        "/outages/0/started_ns",
        "/outages/0/attempts",
        "/outages/0/failed",
        "/outages/0/failed/0/error",
        "/outages/0/failed/0/after_ns",
    ] {
        assert!(refusal(&without(&result, pointer)).is_some(), "{pointer}");
    }
    for (pointer, value) in [
        ("/outages/0/role", json!("proxy")),
        ("/outages/0/cause/kind", json!("boredom")),
        ("/outages/0/cause/close_code", json!(70_000)),
        ("/outages/0/started_ns", json!(-1)),
        ("/outages/0/duration_ns", json!(null)),
        ("/outages/0/is_other_server", json!("yes")),
        ("/outages/0/lost", json!(-3)),
        ("/outages", json!({})),
        ("/n_outages", json!(-1)),
        ("/load/in_doubt", json!(1.5)),
        ("/load/skipped", json!("some")),
        ("/load/streams/0/in_doubt", json!(-1)),
        ("/load/subscribers/0/in_doubt", json!(null)),
    ] {
        assert!(
            refusal(&changed(&result, pointer, value)).is_some(),
            "{pointer}"
        );
    }
}

#[test]
fn every_role_cause_and_end_is_in_the_schema() {
    let mut result = fixtures::restarted();
    for kind in [
        CauseKind::ServerError,
        CauseKind::CloseFrame,
        CauseKind::Eof,
        CauseKind::Reset,
        CauseKind::Timeout,
        CauseKind::SlowConsumer,
        CauseKind::Protocol,
        CauseKind::Io,
        CauseKind::Library,
    ] {
        result.outages[0].cause.kind = kind;
        assert_eq!(refusal(&json_of(&result)), None, "{kind:?}");
    }
    for ended in [
        Ended::Completed,
        Ended::Interrupted,
        Ended::ConnectionLost,
        Ended::Unfinished,
    ] {
        result.ended = ended;
        assert_eq!(refusal(&json_of(&result)), None, "{ended:?}");
    }
}

#[test]
fn a_result_that_was_saved_before_there_were_outages_still_reads() {
    let mut json = json_of(&fixtures::pass());
    let fields = json.as_object_mut().unwrap();
    fields.remove("outages");
    fields.remove("n_outages");
    json["load"]["subscribers"][0]
        .as_object_mut()
        .unwrap()
        .remove("in_doubt");
    assert_eq!(refusal(&json), None);
    let read: RunResult = serde_json::from_value(json).unwrap();
    assert_eq!(read, fixtures::pass());
}

#[test]
fn a_field_that_a_later_version_adds_is_no_fault() {
    for pointer in [
        "",
        "/load",
        "/load/streams/0",
        "/latency/response",
        "/trust",
    ] {
        let mut json = json_of(&fixtures::pass());
        json.pointer_mut(pointer).unwrap()["added_later"] = json!(1);
        assert_eq!(refusal(&json), None, "{pointer}");
    }
}

#[test]
fn a_percentile_that_the_samples_cannot_support_is_null_and_not_absent() {
    let result = fixtures::inconclusive();
    let stats: &LatencyStats = result.latency.as_ref().unwrap().response.as_ref().unwrap();
    assert_eq!(stats.p99_ns, None);
    assert_eq!(
        json_of(&result).pointer("/latency/response/p99_ns"),
        Some(&Value::Null)
    );
}

#[test]
fn the_schema_describes_exactly_the_fields_that_there_are() {
    let results: Vec<Value> = fixtures::all().map(|(_, result)| json_of(&result)).into();
    // Settings are free text under free names.
    schema().assert_describes_exactly(&results, &["settings"]);
}

#[test]
fn every_field_of_the_schema_says_what_it_is() {
    schema().assert_explains_every_field();
}
