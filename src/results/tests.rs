//! The JSON of results against the schema file that is published for it.

use std::collections::BTreeSet;

use boon::{Compiler, Schemas};
use serde_json::{Value, json};

use super::fixtures;
use super::{LatencyStats, RunResult, SCHEMA};

const SCHEMA_FILE: &str = include_str!("../../schemas/natsbench.result-1.schema.json");
const SCHEMA_ID: &str = "urn:natsbench:result:1";

fn schema() -> Value {
    serde_json::from_str(SCHEMA_FILE).unwrap()
}

/// Why the schema refuses a value; `None` if it does not.
fn refusal(value: &Value) -> Option<String> {
    let mut schemas = Schemas::new();
    let mut reader = Compiler::new();
    reader.add_resource(SCHEMA_ID, schema()).unwrap();
    let compiled = reader.compile(SCHEMA_ID, &mut schemas).unwrap();
    schemas
        .validate(value, compiled)
        .err()
        .map(|error| format!("{error:#}"))
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

/// Every place where a schema describes a field, as `load.streams[].sent`.
fn described(schema: &Value, node: &Value, path: &str, places: &mut BTreeSet<String>) {
    let target = node
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|target| target.strip_prefix('#'));
    let node = target.map_or(node, |target| schema.pointer(target).unwrap());
    for (name, field) in node
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let place = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        described(schema, field, &place, places);
        places.insert(place);
    }
    if let Some(items) = node.get("items") {
        described(schema, items, &format!("{path}[]"), places);
    }
}

/// Every field of a value, in the same form.
fn present(value: &Value, path: &str, places: &mut BTreeSet<String>) {
    match value {
        // Settings are free text under free names.
        Value::Object(_) if path == "settings" => {}
        Value::Object(fields) => {
            for (name, field) in fields {
                let place = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                present(field, &place, places);
                places.insert(place);
            }
        }
        Value::Array(items) => {
            for item in items {
                present(item, &format!("{path}[]"), places);
            }
        }
        _ => {}
    }
}

#[test]
fn the_schema_describes_exactly_the_fields_that_there_are() {
    let schema = schema();
    let (mut described_places, mut present_places) = (BTreeSet::new(), BTreeSet::new());
    described(&schema, &schema, "", &mut described_places);
    for (_, result) in fixtures::all() {
        present(&json_of(&result), "", &mut present_places);
    }
    let difference = |left: &BTreeSet<String>, right: &BTreeSet<String>| {
        left.difference(right).cloned().collect::<Vec<_>>()
    };
    assert_eq!(
        difference(&present_places, &described_places),
        [""; 0],
        "not in the schema"
    );
    assert_eq!(
        difference(&described_places, &present_places),
        [""; 0],
        "in no result"
    );
}

#[test]
fn every_field_of_the_schema_says_what_it_is() {
    fn check(node: &Value, path: &str) {
        let fields = node.get("properties").and_then(Value::as_object);
        for (name, field) in fields.into_iter().flatten() {
            let is_explained = field.get("description").is_some() || field.get("$ref").is_some();
            assert!(is_explained, "{path}.{name}");
            let is_duration = name.ends_with("_ns");
            let text = field["description"]
                .as_str()
                .unwrap_or("nanoseconds")
                .to_lowercase();
            let is_in_unit = text.contains("nanosecond") || field.get("$ref").is_some();
            assert!(!is_duration || is_in_unit, "{path}.{name} has no unit");
            check(field, &format!("{path}.{name}"));
        }
    }
    let schema = schema();
    check(&schema, "");
    for (name, node) in schema["$defs"].as_object().unwrap() {
        check(node, name);
    }
}
