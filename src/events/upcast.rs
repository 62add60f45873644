//! Upcasts old event shapes when they are read. Recorded events never change.
//!
//! An upcaster is one pure step, from a schema number to the next. Every shape that ever shipped has
//! a file in `tests/fixtures/events/`, named `<Type>.<schema>.json`; a test decodes them all, and
//! another fails when a type's current shape has no file.

use std::ops::Range;

use serde_json::Value;

use super::event::{Event, Step};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("event type {event_type} has schema {found}, but this version knows schemas 1 to {current}")]
    UnknownSchema { event_type: String, found: u32, current: u32 },
    #[error("event type {event_type} has no step from schema {from}")]
    MissingStep { event_type: String, from: u32 },
    #[error("cannot read the data of {event_type} schema {schema}")]
    Data { event_type: String, schema: u32, source: serde_json::Error },
}

/// Decodes an event of any schema that ever shipped.
pub fn decode<E: Event>(event_type: &str, schema: u32, data: &str) -> Result<E, Error> {
    let current = E::current_schema(event_type);
    if schema == 0 || schema > current {
        return Err(Error::UnknownSchema { event_type: event_type.to_owned(), found: schema, current });
    }
    let upcast =
        if schema < current { Some(upcast(E::STEPS, event_type, schema..current, data)?) } else { None };
    let data = upcast.as_deref().unwrap_or(data);
    let name = Value::from(event_type);
    // The tag comes first, so that the data is read in one pass, without a copy in between.
    read(&format!(r#"{{"type":{name},"data":{data}}}"#), event_type, schema)
}

fn read<E: Event>(tagged: &str, event_type: &str, schema: u32) -> Result<E, Error> {
    serde_json::from_str(tagged).map_err(|source| Error::Data {
        event_type: event_type.to_owned(),
        schema,
        source,
    })
}

/// The steps of each schema in `from`, in their order.
fn upcast(steps: &[Step], event_type: &str, from: Range<u32>, data: &str) -> Result<String, Error> {
    let schema = from.start;
    let mut value: Value = serde_json::from_str(data).map_err(|source| Error::Data {
        event_type: event_type.to_owned(),
        schema,
        source,
    })?;
    for from in from {
        let step = steps
            .iter()
            .find(|step| step.event_type == event_type && step.from == from)
            .ok_or_else(|| Error::MissingStep { event_type: event_type.to_owned(), from })?;
        value = (step.apply)(value);
    }
    Ok(value.to_string())
}

/// An event in its recorded form, with the event that it decodes to.
#[derive(Debug)]
pub struct Encoded<E> {
    /// The payload, always in the current schema.
    pub data: String,
    /// The decoded event. It must be folded instead of the original, so that states in memory equal those of the log.
    pub event: E,
    /// Approximate size of the event in memory, at most.
    pub weight_bytes: usize,
}

/// The reason why an event cannot be recorded: it would not decode to itself.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("it cannot be written as JSON")]
    Unwritable(#[source] serde_json::Error),
    #[error("it is nested {depth} deep, but may be {MAX_DEPTH} deep")]
    TooDeep { depth: usize },
    #[error("it has {bytes} bytes, but may have {MAX_BYTES}")]
    TooLarge { bytes: usize },
    #[error("it cannot be read back")]
    Undecodable(#[from] Error),
    #[error("it reads back as another event")]
    Altered,
}

/// Deepest nesting of an event's data. JSON parsers commonly stop at 128, and some read the data inside a larger document.
pub const MAX_DEPTH: usize = 64;
/// Most bytes of an event's data. A request may have 2 MiB.
pub const MAX_BYTES: usize = 8 << 20;
/// Size of a JSON value in memory beside its text.
const VALUE_BYTES: usize = 64;

/// Encodes an event and decodes it again: a recorded event can never be changed, so it must decode. Every build does this,
/// because it costs little: 0.3 µs for a small event and 2 µs for a script of 2 KB, where an append takes the server about
/// 15 µs.
pub fn encode<E: Event>(event: &E) -> Result<Encoded<E>, Unreadable> {
    let event_type = event.type_name();
    let tagged = serde_json::to_string(event).map_err(Unreadable::Unwritable)?;
    let data = data_in(&tagged, event_type).expect("an event is its type, then its data");
    let outline = outline(data);
    if outline.depth > MAX_DEPTH {
        return Err(Unreadable::TooDeep { depth: outline.depth });
    }
    if data.len() > MAX_BYTES {
        return Err(Unreadable::TooLarge { bytes: data.len() });
    }
    let (start, weight_bytes) = (tagged.len() - 1 - data.len(), outline.weight_bytes(data));
    let read: E = read(&tagged, event_type, E::current_schema(event_type))?;
    if read != *event && !is_same_but_for_rounding(&read, event) {
        return Err(Unreadable::Altered);
    }
    let mut data = tagged;
    data.pop();
    data.drain(..start);
    Ok(Encoded { data, event: read, weight_bytes })
}

/// Returns the text between `{"type":"…","data":` and `}`.
fn data_in<'a>(tagged: &'a str, event_type: &str) -> Option<&'a str> {
    let rest = tagged.strip_prefix(r#"{"type":""#)?.strip_prefix(event_type)?;
    rest.strip_prefix(r#"","data":"#)?.strip_suffix('}')
}

/// Estimates the size in memory of the event that data encodes.
pub fn weight_bytes(data: &str) -> usize {
    outline(data).weight_bytes(data)
}

struct Outline {
    depth: usize,
    /// Approximate number of values in lists and objects.
    values: usize,
}

impl Outline {
    fn weight_bytes(&self, data: &str) -> usize {
        data.len() + self.values * VALUE_BYTES
    }
}

/// Scans the structure of JSON without parsing it.
fn outline(json: &str) -> Outline {
    let (mut depth, mut deepest, mut values) = (0_usize, 0, 1);
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => {
                // To the end of the text; what a backslash escapes is part of it.
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'"' => break,
                        b'\\' => drop(bytes.next()),
                        _ => {}
                    }
                }
            }
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
                values += 1;
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' => values += 1,
            _ => {}
        }
    }
    Outline { depth: deepest, values }
}

/// Compares JSON values. Numbers of 17 digits may differ by one unit in the last place, and nothing else may differ.
fn is_same_but_for_rounding<E: Event>(read: &E, event: &E) -> bool {
    match (serde_json::to_value(read), serde_json::to_value(event)) {
        (Ok(read), Ok(event)) => is_close(&read, &event),
        _ => false,
    }
}

fn is_close(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_close(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| is_close(a, b)))
        }
        (Value::Number(a), Value::Number(b)) if a.is_f64() && b.is_f64() => {
            let (Some(a), Some(b)) = (a.as_f64(), b.as_f64()) else { return false };
            (a - b).abs() <= 4.0 * f64::EPSILON * a.abs().max(b.abs())
        }
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::job::JobRequested;
    use crate::events::{JobEvent, Priority, Stage, VideoRequest};

    fn data<E: Event>(event: &E) -> String {
        encode(event).unwrap().data
    }

    fn request_with(preferences: Value) -> JobEvent {
        let preferences = match preferences {
            Value::Object(preferences) => Some(preferences.into()),
            other => panic!("not an object: {other}"),
        };
        let request = VideoRequest { style_preferences: preferences, ..VideoRequest::of_script("t", "s") };
        JobEvent::JobRequested(JobRequested { user_id: "u".into(), request: request.into(), batch_id: None })
    }

    fn nested(arrays: usize) -> Value {
        (0..arrays).fold(Value::Null, |inner, _| Value::Array(vec![inner]))
    }

    #[test]
    fn an_event_reads_back_as_it_was_written() {
        let event = JobEvent::StageStarted {
            stage: Stage::Planning,
            attempt: 1,
            percentage: 15.0,
            description: "d".into(),
        };
        let encoded = encode(&event).unwrap();
        assert_eq!(encoded.event, event);
        assert_eq!(decode::<JobEvent>("StageStarted", 1, &encoded.data).unwrap(), event);
    }

    // H1
    #[test]
    fn what_could_not_be_read_back_is_not_encoded() {
        let deep = |arrays| encode(&request_with(serde_json::json!({ "a": nested(arrays) })));
        // The event, the request, the preferences.
        assert!(deep(MAX_DEPTH - 3).is_ok());
        for arrays in [MAX_DEPTH - 2, 124, 126, 127] {
            assert!(matches!(deep(arrays), Err(Unreadable::TooDeep { .. })), "{arrays}");
        }
        let large = "x".repeat(MAX_BYTES);
        let error = encode(&request_with(serde_json::json!({ "a": large }))).unwrap_err();
        assert!(matches!(error, Unreadable::TooLarge { .. }), "{error}");
        let not_a_number = JobEvent::StageCompleted { stage: Stage::Planning, percentage: f64::NAN };
        let error = encode(&not_a_number).unwrap_err();
        assert!(matches!(error, Unreadable::Undecodable(_)), "{error}");
    }

    #[test]
    fn brackets_in_texts_are_not_nesting() {
        let text = r#"[[[{{{\"[[[\\"#.repeat(30);
        assert!(encode(&request_with(serde_json::json!({ "a": text, "\"[": [[]] }))).is_ok());
    }

    #[test]
    fn numbers_may_differ_in_their_last_digit_and_are_folded_as_they_read_back() {
        for number in [0.1 + 0.2, 30.000000000000004, 1e300, 5e-324, 123_456_789.123_456_79, -0.0] {
            let encoded = encode(&request_with(serde_json::json!({ "a": number }))).unwrap();
            assert_eq!(decode::<JobEvent>("JobRequested", 1, &encoded.data).unwrap(), encoded.event);
        }
        let (a, b) = (serde_json::json!({ "a": [1.0, "x"] }), serde_json::json!({ "a": [1.0001, "x"] }));
        assert!(is_close(&a, &a) && !is_close(&a, &b));
    }

    #[test]
    fn many_small_values_weigh_more_than_their_text() {
        let text = format!("[{}0]", "0,".repeat(999));
        assert!(weight_bytes(&text) > 1000 * VALUE_BYTES);
        assert!(weight_bytes(&format!("\"{}\"", ",".repeat(1000))) < 1100);
    }

    #[test]
    fn steps_are_taken_one_by_one_and_a_missing_one_is_named() {
        let rename = |mut value: Value| {
            value["stage"] = value["phase"].take();
            value
        };
        let attempt = |mut value: Value| {
            value["attempt"] = 1.into();
            value
        };
        let steps = [
            Step { event_type: "StageFailed", from: 2, apply: attempt },
            Step { event_type: "StageFailed", from: 1, apply: rename },
            Step { event_type: "Other", from: 1, apply: attempt },
        ];
        let read = |from| upcast(&steps, "StageFailed", from, r#"{"phase":"planning"}"#);
        let value: Value = serde_json::from_str(&read(1..3).unwrap()).unwrap();
        assert_eq!((&value["stage"], &value["attempt"]), (&"planning".into(), &1.into()));
        assert_eq!(read(1..4).unwrap_err().to_string(), "event type StageFailed has no step from schema 3");
    }

    #[test]
    fn an_unknown_schema_or_type_is_refused_by_name() {
        let data = data(&JobEvent::JobQueued { priority: Priority::High });
        let error = decode::<JobEvent>("JobQueued", 9, &data).unwrap_err();
        assert_eq!(
            error.to_string(),
            "event type JobQueued has schema 9, but this version knows schemas 1 to 1"
        );
        assert!(matches!(decode::<JobEvent>("JobVanished", 1, "{}"), Err(Error::Data { .. })));
        assert!(matches!(decode::<JobEvent>("JobQueued", 1, "{}"), Err(Error::Data { .. })));
    }
}
