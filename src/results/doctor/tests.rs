//! The doctor's JSON against the schema file that is published for it, and results of several servers.

use serde_json::{Value, json};

use super::fixtures;
use super::{CheckStatus, DOCTOR_SCHEMA, DoctorResult, DoctorStatus};
use crate::results::published_schema::PublishedSchema;

const SCHEMA_FILE: &str = include_str!("../../../schemas/natsbench.doctor-1.schema.json");
const SCHEMA_ID: &str = "urn:natsbench:doctor:1";

fn schema() -> PublishedSchema {
    PublishedSchema::new(SCHEMA_ID, SCHEMA_FILE)
}

fn json_of(result: &DoctorResult) -> Value {
    serde_json::to_value(result).unwrap()
}

#[test]
fn every_fixed_result_is_valid_and_can_be_read_again() {
    for (name, result) in fixtures::all() {
        let json = json_of(&result);
        assert_eq!(schema().refusal(&json), None, "{name}");
        assert_eq!(result.schema, DOCTOR_SCHEMA);
        assert_eq!(
            serde_json::from_value::<DoctorResult>(json).unwrap(),
            result
        );
    }
}

#[test]
fn the_schema_describes_exactly_the_fields_that_there_are() {
    let results: Vec<Value> = fixtures::all().map(|(_, result)| json_of(&result)).into();
    schema().assert_describes_exactly(&results, &[]);
}

#[test]
fn every_field_of_the_schema_says_what_it_is() {
    schema().assert_explains_every_field();
}

#[test]
fn a_result_that_misses_a_required_field_is_refused() {
    let result = json_of(&fixtures::unsure());
    for pointer in [
        "/schema",
        "/natsbench_version",
        "/target",
        "/status",
        "/findings",
        "/findings/0/code",
        "/findings/0/check",
        "/findings/0/severity",
        "/findings/0/certainty",
        "/findings/0/title",
        "/findings/0/explanation",
        "/findings/0/evidence",
        "/findings/0/evidence/0/value",
        "/findings/0/remedy",
        "/findings/0/alternatives/0/how_to_tell",
        "/checks",
        "/checks/0/id",
        "/checks/0/status",
        "/checks/0/duration_ns",
        // What was skipped says why.
        "/checks/2/reason",
        "/facts",
        "/started_at",
        "/duration_ns",
    ] {
        let mut json = result.clone();
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        let parent = json.pointer_mut(parent).and_then(Value::as_object_mut);
        assert!(parent.unwrap().remove(field).is_some(), "{pointer}");
        assert!(schema().refusal(&json).is_some(), "{pointer}");
    }
}

#[test]
fn a_result_with_a_wrong_value_is_refused() {
    let result = json_of(&fixtures::broken());
    for (pointer, value) in [
        ("/schema", json!("natsbench.doctor/2")),
        ("/status", json!("fail")),
        ("/status", json!("ok")),
        ("/findings", json!([])),
        ("/findings/0/code", json!("Refused")),
        ("/findings/0/code", json!("upgrade")),
        ("/findings/0/check", json!("websocket")),
        ("/findings/0/severity", json!("fatal")),
        ("/findings/0/certainty", json!(0.9)),
        ("/findings/0/title", json!("")),
        ("/findings/0/remedy", json!("restart")),
        ("/checks/0/status", json!("ok")),
        ("/checks/0/id", json!("websocket")),
        ("/checks/0/duration_ns", json!(0.5)),
        ("/started_at", json!("yesterday")),
        ("/duration_ns", json!(-1)),
        ("/interrupted", json!("yes")),
    ] {
        let mut json = result.clone();
        match pointer {
            "/interrupted" => json["interrupted"] = value,
            _ => *json.pointer_mut(pointer).unwrap() = value,
        }
        assert!(schema().refusal(&json).is_some(), "{pointer}: {json:#}");
    }
}

#[test]
fn a_field_that_a_later_version_adds_is_no_fault() {
    for pointer in ["", "/findings/0", "/checks/0", "/facts/0"] {
        let mut json = json_of(&fixtures::broken());
        json.pointer_mut(pointer).unwrap()["added_later"] = json!(1);
        assert_eq!(schema().refusal(&json), None, "{pointer}");
    }
}

#[test]
fn several_servers_are_told_apart_and_can_be_taken_apart_again() {
    let several = fixtures::several();
    assert_eq!(several.status, DoctorStatus::Failed);
    assert_eq!(
        several.servers(),
        ["ws://localhost:8080/nats", "ws://localhost:8444"]
    );
    assert_eq!(
        several.target,
        "ws://localhost:8080/nats, ws://localhost:8444"
    );
    let first = several.part(Some("ws://localhost:8080/nats"));
    let second = several.part(Some("ws://localhost:8444"));
    assert_eq!(first.status, DoctorStatus::Failed);
    assert_eq!(second.status, DoctorStatus::Ok);
    assert_eq!(first.findings.len() + second.findings.len(), 2);
    assert_eq!(
        first.checks.len() + second.checks.len(),
        several.checks.len()
    );
    assert!(several.part(None).checks.is_empty());
}

#[test]
fn what_is_wrong_with_the_input_is_said_once_for_all_servers() {
    let mut other = fixtures::input();
    other.target = "ws://localhost:8444".to_owned();
    let several = DoctorResult::of_several(vec![fixtures::input(), other]).unwrap();
    assert_eq!(several.findings, fixtures::input().findings);
    assert_eq!(several.part(None).status, DoctorStatus::Failed);
}

#[test]
fn the_worst_finding_of_all_servers_comes_first() {
    let several = DoctorResult::of_several(vec![fixtures::warned(), fixtures::broken()]).unwrap();
    assert_eq!(several.findings[0].code, "upgrade.proxy-dropped-headers");
    assert_eq!(several.status, DoctorStatus::Failed);
}

#[test]
fn one_server_alone_is_not_named_twice() {
    let one = DoctorResult::of_several(vec![fixtures::healthy()]).unwrap();
    assert_eq!(one, fixtures::healthy());
    assert_eq!(DoctorResult::of_several(Vec::new()), None);
}

#[test]
fn a_warning_fails_when_it_is_asked_to() {
    let strict = fixtures::warned().strictly();
    assert_eq!(strict.status, DoctorStatus::Failed);
    assert_eq!(strict.checks[0].status, CheckStatus::Failed);
    assert_eq!(fixtures::healthy().strictly(), fixtures::healthy());
}
