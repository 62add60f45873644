//! Brings old event shapes up to the current one when they are read. What is recorded never changes.
//!
//! An upcaster is one pure step, from a schema number to the next. Every shape that ever shipped has
//! a file in `tests/fixtures/events/`, named `<Type>.<schema>.json`; a test decodes them all, and
//! another fails when a type's current shape has no file.

use std::ops::Range;

use serde_json::Value;

use super::job::JobEvent;

/// The current schema number of every event type that is past its first shape.
const CURRENT: &[(&str, u32)] = &[];

type Step = fn(Value) -> Value;

/// `(type, from schema, step to from + 1)`.
const STEPS: &[(&str, u32, Step)] = &[];

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("event type {event_type} has schema {found}, but this version knows schemas 1 to {current}")]
    UnknownSchema { event_type: String, found: u32, current: u32 },
    #[error("event type {event_type} has no step from schema {from}")]
    MissingStep { event_type: String, from: u32 },
    #[error("cannot read the data of {event_type} schema {schema}")]
    Data { event_type: String, schema: u32, source: serde_json::Error },
}

pub fn current_schema(event_type: &str) -> u32 {
    CURRENT.iter().find(|(name, _)| *name == event_type).map_or(1, |(_, schema)| *schema)
}

/// Reads an event of any schema that ever shipped.
pub fn decode(event_type: &str, schema: u32, data: &str) -> Result<JobEvent, Error> {
    let data_error = |source| Error::Data { event_type: event_type.to_owned(), schema, source };
    let current = current_schema(event_type);
    if schema == 0 || schema > current {
        return Err(Error::UnknownSchema { event_type: event_type.to_owned(), found: schema, current });
    }
    let upcast =
        if schema < current { Some(upcast(STEPS, event_type, schema..current, data)?) } else { None };
    let data = upcast.as_deref().unwrap_or(data);
    let name = serde_json::Value::from(event_type);
    // The tag comes first, so that the data is read in one pass, without a copy in between.
    serde_json::from_str(&format!(r#"{{"type":{name},"data":{data}}}"#)).map_err(data_error)
}

/// One step for each schema in `from`, in their order.
fn upcast(
    steps: &[(&str, u32, Step)],
    event_type: &str,
    from: Range<u32>,
    data: &str,
) -> Result<String, Error> {
    let schema = from.start;
    let mut value: Value = serde_json::from_str(data).map_err(|source| Error::Data {
        event_type: event_type.to_owned(),
        schema,
        source,
    })?;
    for from in from {
        let (_, _, step) = steps
            .iter()
            .find(|(name, at, _)| *name == event_type && *at == from)
            .ok_or_else(|| Error::MissingStep { event_type: event_type.to_owned(), from })?;
        value = step(value);
    }
    Ok(value.to_string())
}

/// The payload as it is recorded, always in the current schema.
pub fn encode(event: &JobEvent) -> Result<String, serde_json::Error> {
    let tagged = serde_json::to_string(event)?;
    let prefix = format!(r#"{{"type":"{}","data":"#, event.type_name());
    let data = tagged.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix('}'));
    Ok(data.expect("an event is its type, then its data").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{Priority, Stage};

    #[test]
    fn an_event_reads_back_as_it_was_written() {
        let event = JobEvent::StageStarted {
            stage: Stage::Planning,
            attempt: 1,
            percentage: 15.0,
            description: "d".into(),
        };
        let data = encode(&event).unwrap();
        assert_eq!(decode("StageStarted", 1, &data).unwrap(), event);
    }

    #[test]
    fn steps_are_taken_one_by_one_and_a_missing_one_is_named() {
        let rename: Step = |mut value| {
            value["stage"] = value["phase"].take();
            value
        };
        let attempt: Step = |mut value| {
            value["attempt"] = 1.into();
            value
        };
        let steps = [("StageFailed", 2, attempt), ("StageFailed", 1, rename), ("Other", 1, attempt)];
        let read = |from| upcast(&steps, "StageFailed", from, r#"{"phase":"planning"}"#);
        let value: Value = serde_json::from_str(&read(1..3).unwrap()).unwrap();
        assert_eq!((&value["stage"], &value["attempt"]), (&"planning".into(), &1.into()));
        assert_eq!(read(1..4).unwrap_err().to_string(), "event type StageFailed has no step from schema 3");
    }

    #[test]
    fn an_unknown_schema_or_type_is_refused_by_name() {
        let data = encode(&JobEvent::JobQueued { priority: Priority::High }).unwrap();
        let error = decode("JobQueued", 9, &data).unwrap_err();
        assert_eq!(
            error.to_string(),
            "event type JobQueued has schema 9, but this version knows schemas 1 to 1"
        );
        assert!(matches!(decode("JobVanished", 1, "{}"), Err(Error::Data { .. })));
        assert!(matches!(decode("JobQueued", 1, "{}"), Err(Error::Data { .. })));
    }
}
