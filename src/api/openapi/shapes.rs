//! Shapes that the generator cannot say, and the names of all.

use serde_json::{Map, Value, json};

use crate::events::job::ThumbnailSize;
use crate::events::{Priority, Quality, Stage};
use crate::projections::analytics::Bucket;
use crate::projections::catalog::{LEVELS, Order};
use crate::projections::status::JobStatus;

/// Gives every schema its short name: `reelstream.api.status.JobSummary` becomes `JobSummary`. No two types of answers have
/// the same name, which a test checks.
pub fn shorten_names(document: &mut Value) {
    if let Some(schemas) = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut) {
        *schemas = std::mem::take(schemas)
            .into_iter()
            .map(|(name, schema)| (short(&name).to_owned(), schema))
            .collect();
    }
    shorten_references(document);
}

fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn shorten_references(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get_mut("$ref")
                && let Some(name) = reference.strip_prefix("#/components/schemas/")
            {
                *reference = format!("#/components/schemas/{}", short(name));
            }
            fields.values_mut().for_each(shorten_references);
        }
        Value::Array(items) => items.iter_mut().for_each(shorten_references),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A property of a schema whose type the generator does not know, and what it is.
fn particular() -> [(&'static str, &'static str, Value); 5] {
    let list =
        |name: &str| json!({ "type": "array", "items": { "$ref": format!("#/components/schemas/{name}") } });
    [
        ("EventsAnswer", "events", list("Envelope")),
        ("TrailAnswer", "events", list("TrailEvent")),
        ("VerifyAnswer", "findings", list("Finding")),
        ("StateAnswer", "state", json!({ "$ref": "#/components/schemas/JobState" })),
        (
            "ErrorContent",
            "details",
            json!({ "anyOf": [
                { "type": "array", "items": { "$ref": "#/components/schemas/FieldError" } },
                { "type": "object", "additionalProperties": true },
                { "type": "null" },
            ] }),
        ),
    ]
}

/// What a parameter may be, by its name, where the type in the code has no schema. All parameters of one name are alike.
pub fn choices(parameter: &str) -> Option<Vec<&'static str>> {
    Some(match parameter {
        "status" => JobStatus::ALL.map(JobStatus::name).to_vec(),
        "priority" => Priority::ALL.map(Priority::name).to_vec(),
        "sort" => Order::ALL.map(Order::name).to_vec(),
        "level" => LEVELS.to_vec(),
        "bucket" => Bucket::ALL.map(Bucket::name).to_vec(),
        "size" => ThumbnailSize::ALL.map(ThumbnailSize::name).to_vec(),
        "quality" => {
            let levels = Quality::ALL.into_iter().flat_map(|quality| [quality.level(), quality.name()]);
            ["auto"].into_iter().chain(levels).collect()
        }
        _ => return None,
    })
}

/// Adds the shapes to the document's schemas.
pub fn add(document: &mut Value) {
    let Some(schemas) = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut) else {
        return;
    };
    for (name, schema) in [
        ("Actor", actor()),
        ("Envelope", envelope()),
        ("TrailEvent", trail_event()),
        ("Finding", finding()),
        ("JobState", job_state()),
        ("FieldError", field_error()),
    ] {
        schemas.insert(name.to_owned(), schema);
    }
    // Its fields are read one by one.
    schemas["ReprocessRequest"]["additionalProperties"] = false.into();
    let stages: Vec<Value> =
        Stage::ALL.map(Stage::name).into_iter().map(Value::from).chain([Value::Null]).collect();
    schemas["ReprocessRequest"]["properties"]["from_stage"]["enum"] = stages.into();
    for (schema, property, shape) in particular() {
        let described = schemas.get_mut(schema).and_then(|schema| schema.pointer_mut("/properties"));
        let Some(properties) = described.and_then(Value::as_object_mut) else { continue };
        let about = properties.get(property).and_then(|old| old.get("description")).cloned();
        let mut shape = shape;
        if let Some(about) = about
            && shape.get("$ref").is_none()
        {
            shape["description"] = about;
        }
        properties.insert(property.to_owned(), shape);
    }
}

/// An object all of whose properties are required.
fn object(about: &str, properties: Value) -> Value {
    let required: Vec<String> =
        properties.as_object().map(Map::keys).into_iter().flatten().cloned().collect();
    json!({ "type": "object", "description": about, "properties": properties, "required": required })
}

fn whole(least: u64) -> Value {
    json!({ "type": "integer", "minimum": least })
}

fn uuid() -> Value {
    json!({ "type": "string", "format": "uuid" })
}

fn time() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn actor() -> Value {
    json!({
        "type": "object",
        "description": "Who caused an event.",
        "properties": { "kind": { "enum": ["user", "worker", "system"] }, "id": text() },
        "required": ["kind"],
    })
}

fn envelope() -> Value {
    object(
        "An event with its identity, order, origin and hashes.",
        json!({
            "event_id": uuid(),
            "aggregate": text(),
            "aggregate_id": uuid(),
            "version": whole(1),
            "type": { "type": "string", "description": "Past tense, such as `StageCompleted`." },
            "schema": whole(1),
            "recorded_at": time(),
            "command_id": uuid(),
            "causation_id": { "type": ["string", "null"], "format": "uuid" },
            "correlation_id": text(),
            "actor": { "$ref": "#/components/schemas/Actor" },
            "traceparent": text(),
            "prev_hash": text(),
            "hash": text(),
            "data": { "type": "object", "description": "What the event says; by `type` and `schema`.", "additionalProperties": true },
        }),
    )
}

fn trail_event() -> Value {
    object(
        "An event without its data.",
        json!({
            "partition": whole(0),
            "seq": whole(1),
            "event_id": uuid(),
            "aggregate": text(),
            "aggregate_id": uuid(),
            "version": whole(1),
            "type": text(),
            "recorded_at": time(),
            "actor": text(),
            "correlation_id": text(),
            "hash": text(),
        }),
    )
}

fn finding() -> Value {
    object(
        "Something that is not as it was recorded.",
        json!({
            "partition": whole(0),
            "seq": { "type": ["integer", "null"] },
            "aggregate_id": { "type": ["string", "null"], "format": "uuid" },
            "version": { "type": ["integer", "null"] },
            "what": text(),
        }),
    )
}

fn job_state() -> Value {
    object(
        "A job and its rows, folded from its events.",
        json!({
            "job": { "type": "object", "additionalProperties": true },
            "title": { "type": ["string", "null"] },
            "output_format": text(),
            "stages": { "type": "array", "items": { "type": "object", "additionalProperties": true } },
            "scenes": { "type": "array", "items": { "type": "object", "additionalProperties": true } },
            "files": { "type": "array", "items": { "type": "object", "additionalProperties": true } },
        }),
    )
}

fn field_error() -> Value {
    object(
        "What is wrong with one field or parameter.",
        json!({
            "loc": { "type": "array", "items": text(), "description": "Where: `[\"body\", \"topic\"]`." },
            "msg": { "type": "string", "description": "What was expected." },
            "type": { "type": "string", "description": "Stable, for programs: `missing`, `too_short`, `not_allowed`…" },
        }),
    )
}

/// Headers of answers.
pub fn headers() -> Value {
    let header = |about: &str, schema: Value, example: &str| json!({ "description": about, "schema": schema, "example": example });
    json!({
        "X-Request-Id": header("The request's id: as it was sent, or a new one. Also in the body of errors.", text(), "0199c0de-7a3e-7cc1-9f5e-0b8f6d2f4a22"),
        "Location": header("Where to follow what was begun.", text(), "/api/v1/videos/jobs/0199c0de-7a3e-7cc1-9f5e-0b8f6d2f4a11/status"),
        "ETag": header("Names this state of the answer, for If-None-Match.", text(), "W/\"v12\""),
        "Cache-Control": header("How long the answer may be kept, and by whom.", text(), "private, no-cache"),
        "Retry-After": header("Seconds after which it is worth asking again.", text(), "2"),
        "RateLimit-Limit": header("How many requests may be sent at once.", text(), "500"),
        "RateLimit-Remaining": header("How many of them are left.", text(), "0"),
        "RateLimit-Reset": header("Seconds until all of them are there again.", text(), "10"),
        "WWW-Authenticate": header("What is to be sent.", text(), "Bearer realm=\"reelstream\""),
        "Content-Range": header("Which part of the file the answer holds, or how long the file is.", text(), "bytes 0-1023/48213"),
        "Accept-Ranges": header("Parts of the file may be asked for, in bytes.", text(), "bytes"),
        "Content-Disposition": header("Whether the file is shown or saved, and under which name.", text(), "attachment; filename=\"Ions.mp4\""),
        "Idempotent-Replayed": header("`true` when the answer is that of an earlier request with the same Idempotency-Key.", text(), "true"),
    })
}
