//! Parses the body of `POST /videos/generate`, and each job of `POST /videos/batch`, into a typed request, and the body of
//! `/configurations` into settings. All faults are reported, not the first.
//!
//! Everything is bounded before it is read: a list by its length, a text by its characters, a free value by its bytes.
//! Parsing takes time and memory in proportion to the body, and belongs on a thread that may block. What a body refers to
//! is looked up before ([`References`], [`Resolved`]), so that parsing asks nobody.

mod faults;
mod fields;
mod reader;
mod request;
mod resolved;
mod settings;
#[cfg(test)]
mod tests;

pub(super) use faults::Faults;
pub use fields::*;
pub(super) use reader::{Fields, Kind, Reader};
pub use resolved::{References, Resolved};

use std::io;

use serde_json::value::RawValue;

use super::problem::Problem;
use crate::events::configuration::Settings;
use crate::events::{Priority, Quality, VideoRequest};

/// The values of fields that neither a body nor its configuration gives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Defaults {
    pub quality: Quality,
    pub priority: Priority,
}

/// Parses a body that refers to nothing: flat, or wrapped as `{"configuration": {…}, "priority": …}`.
pub fn parse(body: &[u8], default_quality: Quality) -> Result<VideoRequest, Problem> {
    parse_with(body, default_quality, &Resolved::default())
}

/// Parses a body whose [`References`] were looked up. The settings of its configuration stand in for fields that it does
/// not give.
pub fn parse_with(
    body: &[u8],
    default_quality: Quality,
    resolved: &Resolved,
) -> Result<VideoRequest, Problem> {
    let defaults = Defaults { quality: default_quality, priority: Priority::default() };
    let request = read_request(read_json(body)?, &["body"], defaults, resolved).map_err(not_json)?;
    request.map_err(Faults::into_problem)
}

/// Reads a request that stands at a place of a body; or its faults, which name the place.
pub(super) fn read_request(
    value: &RawValue,
    place: &[&str],
    defaults: Defaults,
    resolved: &Resolved,
) -> Result<Result<VideoRequest, Faults>, serde_json::Error> {
    if Kind::of(value) != Kind::Object {
        return Ok(Err(no_object(place)));
    }
    let outer: Fields = serde_json::from_str(value.get())?;
    let settings = resolved.defaults();
    Ok(match outer.get("configuration").copied().filter(|value| Kind::of(value) != Kind::Null) {
        None => {
            let fields = with_defaults(outer, &settings);
            let mut reader = Reader::new(&fields, place.to_vec());
            let request = reader.request(defaults, resolved);
            reader.refuse_unknown_but(&["configuration"]);
            reader.faults.into_result(request)
        }
        Some(inner) if Kind::of(inner) == Kind::Object => {
            let inner: Fields = serde_json::from_str(inner.get())?;
            let inner = with_defaults(inner, &settings);
            read_wrapped(&outer, &inner, place, defaults, resolved)
        }
        Some(other) => {
            let mut faults = Faults::default();
            let msg = format!("must be an object, not {}", Kind::of(other).name());
            let loc: Vec<&str> = place.iter().copied().chain(["configuration"]).collect();
            faults.add(&loc, msg, "wrong_type");
            Err(faults)
        }
    })
}

pub(super) fn not_json(error: serde_json::Error) -> Problem {
    Problem::bad_request(format!("the body is not valid JSON: {error}"))
}

/// Reads a body as one JSON value.
fn read_json(body: &[u8]) -> Result<&RawValue, Problem> {
    if body.is_empty() {
        return Err(Problem::bad_request("the body is empty, but must be a JSON object"));
    }
    serde_json::from_slice(body).map_err(not_json)
}

/// Reads the fields of a body that is an object.
pub(super) fn read_object(body: &[u8]) -> Result<Fields<'_>, Problem> {
    let body = read_json(body)?;
    if Kind::of(body) != Kind::Object {
        return Err(no_object(&["body"]).into_problem());
    }
    serde_json::from_str(body.get()).map_err(not_json)
}

fn no_object(place: &[&str]) -> Faults {
    let mut faults = Faults::default();
    faults.add(place, "must be a JSON object", "wrong_type");
    faults
}

/// Adds the defaults of fields that are not given; `null` counts as not given.
fn with_defaults<'a>(
    mut fields: Fields<'a>,
    defaults: &'a std::collections::BTreeMap<String, Box<RawValue>>,
) -> Fields<'a> {
    for (name, value) in defaults {
        if fields.get(name).is_none_or(|given| Kind::of(given) == Kind::Null) {
            fields.insert(name.clone(), value);
        }
    }
    fields
}

/// Beside `configuration`, only `priority` is a field; it wins over the one inside.
fn read_wrapped(
    outer: &Fields<'_>,
    inner: &Fields<'_>,
    place: &[&str],
    defaults: Defaults,
    resolved: &Resolved,
) -> Result<VideoRequest, Faults> {
    let mut reader = Reader::new(inner, place.iter().copied().chain(["configuration"]).collect());
    let mut request = reader.request(defaults, resolved);
    reader.refuse_unknown_but(&[]);
    let mut around = Reader { fields: outer, place: place.to_vec(), faults: reader.faults };
    if let Some(priority) = around.priority() {
        request.priority = priority;
    }
    for name in outer.keys().filter(|name| !["configuration", "priority"].contains(&name.as_str())) {
        let msg = "is not a field beside configuration, where only priority is; move it into configuration";
        around.fail(&[name.as_str()], msg, "unknown_field");
    }
    around.faults.into_result(request)
}

/// The fields in which settings may be.
const WRAPPERS: [&str; 2] = ["settings", "configuration"];

/// Parses the body of a stored configuration: its name, and its settings beside it or in `settings`.
pub fn parse_configuration(body: &[u8]) -> Result<(String, Settings), Problem> {
    let outer = read_object(body)?;
    let wrapper =
        WRAPPERS.into_iter().find(|name| outer.get(*name).is_some_and(|value| Kind::of(value) != Kind::Null));
    let mut reader = Reader::new(&outer, vec!["body"]);
    let name = reader.text("name", NAME_CHARACTERS);
    if name.is_none() && !reader.is_given("name") {
        reader.fail(&["name"], "is required", "missing");
    }
    let (settings, faults) = match wrapper {
        None => {
            let settings = reader.settings();
            reader.refuse_unknown(&[&["name"][..], &SETTINGS[..], &WRAPPERS[..]].concat());
            (settings, reader.faults)
        }
        Some(wrapper) => {
            reader.refuse_unknown(&[&["name"][..], &WRAPPERS[..]].concat());
            let inner = reader.of_kind(wrapper, Kind::Object);
            let inner: Fields = match inner {
                Some(inner) => serde_json::from_str(inner.get()).map_err(not_json)?,
                None => Fields::new(),
            };
            let mut inside = Reader { fields: &inner, place: vec!["body", wrapper], faults: reader.faults };
            let settings = inside.settings();
            inside.refuse_unknown(&SETTINGS);
            (settings, inside.faults)
        }
    };
    faults.into_result((name.unwrap_or_default(), settings)).map_err(Faults::into_problem)
}

/// How many bytes of JSON a request is recorded as.
pub fn recorded_bytes(request: &VideoRequest) -> usize {
    struct Counter(usize);
    impl io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    match serde_json::to_writer(&mut counter, request) {
        Ok(()) => counter.0,
        // What cannot be written is too large for any bound.
        Err(_) => usize::MAX,
    }
}
