//! Checks values against the schemas of the OpenAPI document: as much of JSON Schema 2020-12 as it uses.

use serde_json::Value;

/// Everything in which `value` is not what `schema` says, each with its place.
pub fn faults(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut found = vec![];
    check(document, schema, value, "", &mut found);
    found
}

/// The schema that a reference names.
pub fn resolve<'a>(document: &'a Value, reference: &str) -> Option<&'a Value> {
    document.pointer(reference.strip_prefix('#')?)
}

fn check(document: &Value, schema: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        match resolve(document, reference) {
            Some(schema) => check(document, schema, value, place, found),
            None => found.push(format!("{place}: {reference} leads nowhere")),
        }
    }
    check_type(schema, value, place, found);
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        found.push(format!("{place}: {value} is none of {allowed:?}"));
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        check(document, part, value, place, found);
    }
    for kind in ["anyOf", "oneOf"] {
        if let Some(parts) = schema[kind].as_array()
            && !parts.iter().any(|part| faults(document, part, value).is_empty())
        {
            found.push(format!("{place}: {value} is nothing of {kind}"));
        }
    }
    check_fields(document, schema, value, place, found);
    if let (Some(items), Some(values)) = (schema.get("items"), value.as_array()) {
        for (index, value) in values.iter().enumerate() {
            check(document, items, value, &format!("{place}/{index}"), found);
        }
    }
    if let (Some(least), Some(number)) = (schema["minimum"].as_f64(), value.as_f64())
        && number < least
    {
        found.push(format!("{place}: {number} is less than {least}"));
    }
}

fn check_type(schema: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
    let types: Vec<&str> = match &schema["type"] {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => return,
    };
    let is = |name: &&str| match *name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string() && has_format(schema, value),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{place}: there is no type {other}"),
    };
    if !types.iter().any(is) {
        found.push(format!("{place}: {value} is no {types:?}, {}", schema["format"]));
    }
}

fn has_format(schema: &Value, value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    match schema["format"].as_str() {
        Some("uuid") => uuid::Uuid::parse_str(text).is_ok(),
        Some("date-time") => chrono::DateTime::parse_from_rfc3339(text).is_ok(),
        _ => true,
    }
}

fn check_fields(document: &Value, schema: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
    let Some(fields) = value.as_object() else { return };
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            found.push(format!("{place}: {name} is missing"));
        }
    }
    let others = &schema["additionalProperties"];
    for (name, value) in fields {
        let place = format!("{place}/{name}");
        match schema["properties"].get(name) {
            Some(schema) => check(document, schema, value, &place, found),
            None if others.is_object() => check(document, others, value, &place, found),
            None if *others == false => found.push(format!("{place} is not allowed")),
            None => {}
        }
    }
}

#[test]
fn faults_are_found_with_their_places() {
    let document = serde_json::json!({ "schemas": {
        "Name": { "type": ["string", "null"] },
        "Person": { "type": "object", "required": ["name", "born"], "properties": {
            "name": { "$ref": "#/schemas/Name" },
            "born": { "type": "string", "format": "date-time" },
            "tags": { "type": "array", "items": { "enum": ["a", "b"] } },
        } },
        "Both": { "allOf": [{ "$ref": "#/schemas/Person" }, { "type": "object", "required": ["age"] }] },
    } });
    let both = serde_json::json!({ "$ref": "#/schemas/Both" });
    let good = serde_json::json!({ "name": null, "born": "2026-11-27T10:00:00Z", "tags": ["a"], "age": 1 });
    assert_eq!(faults(&document, &both, &good), Vec::<String>::new());
    let bad = serde_json::json!({ "name": 1, "born": "yesterday", "tags": ["c"] });
    let found = faults(&document, &both, &bad).join("\n");
    for place in ["/name:", "/born:", "/tags/0:", ": age is missing"] {
        assert!(found.contains(place), "{place}: {found}");
    }
    assert!(!faults(&document, &serde_json::json!({ "$ref": "#/nowhere" }), &good).is_empty());
}
