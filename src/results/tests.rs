//! The JSON of results against the schema file that is published for it.

use serde_json::{Value, json};

use super::fixtures;
use super::published_schema::PublishedSchema;
use super::{LatencyStats, RunResult, SCHEMA};

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
