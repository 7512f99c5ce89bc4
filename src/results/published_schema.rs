//! A schema file that is published for results, and what the tests ask of it.

use std::collections::BTreeSet;

use boon::{Compiler, Schemas};
use serde_json::Value;

/// A schema.
pub(super) struct PublishedSchema {
    id: &'static str,
    json: Value,
}

impl PublishedSchema {
    pub(super) fn new(id: &'static str, file: &str) -> Self {
        let json = serde_json::from_str(file).expect("the schema is JSON");
        Self { id, json }
    }

    /// Why the schema refuses a value; `None` if it does not.
    pub(super) fn refusal(&self, value: &Value) -> Option<String> {
        let mut schemas = Schemas::new();
        let mut reader = Compiler::new();
        let added = reader.add_resource(self.id, self.json.clone());
        added.expect("the schema has an id");
        let compiled = reader.compile(self.id, &mut schemas);
        let compiled = compiled.expect("the schema is one");
        schemas
            .validate(value, compiled)
            .err()
            .map(|error| format!("{error:#}"))
    }

    /// Every field of these values is in the schema, and every field of the schema is in one of them. Those named
    /// `free` hold free text under free names.
    pub(super) fn assert_describes_exactly(&self, values: &[Value], free: &[&str]) {
        let (mut described_places, mut present_places) = (BTreeSet::new(), BTreeSet::new());
        described(&self.json, &self.json, "", &mut described_places);
        for value in values {
            present(value, "", free, &mut present_places);
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

    /// Every field has a description, and a duration names its unit.
    pub(super) fn assert_explains_every_field(&self) {
        explained(&self.json, "");
        let definitions = self.json["$defs"].as_object();
        for (name, node) in definitions.expect("there are definitions") {
            explained(node, name);
        }
    }
}

/// Every place where a schema describes a field, as `load.streams[].sent`.
fn described(schema: &Value, node: &Value, path: &str, places: &mut BTreeSet<String>) {
    let target = node
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|target| target.strip_prefix('#'));
    let node = target.map_or(node, |target| {
        schema.pointer(target).expect("a reference leads somewhere")
    });
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
fn present(value: &Value, path: &str, free: &[&str], places: &mut BTreeSet<String>) {
    match value {
        Value::Object(_) if free.contains(&path) => {}
        Value::Object(fields) => {
            for (name, field) in fields {
                let place = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                present(field, &place, free, places);
                places.insert(place);
            }
        }
        Value::Array(items) => {
            for item in items {
                present(item, &format!("{path}[]"), free, places);
            }
        }
        _ => {}
    }
}

fn explained(node: &Value, path: &str) {
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
        explained(field, &format!("{path}.{name}"));
    }
}
