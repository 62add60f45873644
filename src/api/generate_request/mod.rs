//! Parses the body of `POST /videos/generate` into a typed request, and that of `/configurations` into settings. All faults
//! are reported, not the first.
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

pub use fields::*;
pub use resolved::{References, Resolved};

use std::io;

use serde_json::value::RawValue;

use super::problem::Problem;
use crate::events::configuration::Settings;
use crate::events::{Quality, VideoRequest};
use faults::Faults;
use reader::{Fields, Kind, Reader};

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
    let outer = read_object(body)?;
    let defaults = resolved.defaults();
    let request = match outer.get("configuration").copied().filter(|value| Kind::of(value) != Kind::Null) {
        None => {
            let fields = with_defaults(outer, &defaults);
            let mut reader = Reader::new(&fields, vec!["body"]);
            let request = reader.request(default_quality, resolved);
            reader.refuse_unknown_but(&["configuration"]);
            reader.faults.into_result(request)
        }
        Some(inner) if Kind::of(inner) == Kind::Object => {
            let inner: Fields = serde_json::from_str(inner.get()).map_err(not_json)?;
            let inner = with_defaults(inner, &defaults);
            parse_wrapped(&outer, &inner, default_quality, resolved)
        }
        Some(other) => {
            let mut faults = Faults::default();
            let msg = format!("must be an object, not {}", Kind::of(other).name());
            faults.add(&["body", "configuration"], msg, "wrong_type");
            Err(faults)
        }
    };
    request.map_err(Faults::into_problem)
}

fn not_json(error: serde_json::Error) -> Problem {
    Problem::bad_request(format!("the body is not valid JSON: {error}"))
}

/// The fields of a body that is an object.
fn read_object(body: &[u8]) -> Result<Fields<'_>, Problem> {
    if body.is_empty() {
        return Err(Problem::bad_request("the body is empty, but must be a JSON object"));
    }
    let body: &RawValue = serde_json::from_slice(body).map_err(not_json)?;
    if Kind::of(body) != Kind::Object {
        let mut faults = Faults::default();
        faults.add(&["body"], "must be a JSON object", "wrong_type");
        return Err(faults.into_problem());
    }
    serde_json::from_str(body.get()).map_err(not_json)
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
fn parse_wrapped(
    outer: &Fields<'_>,
    inner: &Fields<'_>,
    default_quality: Quality,
    resolved: &Resolved,
) -> Result<VideoRequest, Faults> {
    let mut reader = Reader::new(inner, vec!["body", "configuration"]);
    let mut request = reader.request(default_quality, resolved);
    reader.refuse_unknown_but(&[]);
    let mut around = Reader { fields: outer, place: vec!["body"], faults: reader.faults };
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
