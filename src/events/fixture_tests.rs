//! Every shape that ever shipped has a file in `tests/fixtures/events/`, and is still read.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::job::JobEvent;
use super::upcast::{current_schema, decode, encode};

/// Every event type, as the decoder itself lists them when it meets one that it does not know.
fn known_types() -> Vec<String> {
    let unknown = serde_json::json!({ "type": "Unknown", "data": {} });
    let message = serde_json::from_value::<JobEvent>(unknown).unwrap_err().to_string();
    let listed = message.split("expected one of").nth(1).unwrap();
    listed.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

struct Fixture {
    event_type: String,
    schema: u32,
    data: String,
}

fn fixtures() -> Vec<Fixture> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/events");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let (event_type, schema) = name.split_once('.').unwrap();
        let data = std::fs::read_to_string(&path).unwrap();
        Fixture { event_type: event_type.to_owned(), schema: schema.parse().unwrap(), data }
    };
    files.map(read).collect()
}

#[test]
fn every_shape_that_shipped_is_still_read() {
    for Fixture { event_type, schema, data } in fixtures() {
        let event = decode(&event_type, schema, &data).unwrap();
        assert_eq!(event.type_name(), event_type);
    }
}

#[test]
fn every_current_shape_has_a_fixture() {
    let have: BTreeSet<_> =
        fixtures().into_iter().map(|fixture| (fixture.event_type, fixture.schema)).collect();
    let types = known_types();
    assert!(types.contains(&"JobRequested".to_owned()), "{types:?}");
    for event_type in &types {
        let current = (event_type.clone(), current_schema(event_type));
        assert!(have.contains(&current), "{}.{}.json is missing", current.0, current.1);
    }
    let unlisted: Vec<_> = have.iter().filter(|(event_type, _)| !types.contains(event_type)).collect();
    assert!(unlisted.is_empty(), "{unlisted:?}");
}

/// A field that was renamed, added or dropped shows here: then the type needs a new schema number, an
/// upcaster from this shape, and a fixture of the new one.
#[test]
fn a_current_shape_is_written_as_its_fixture_says() {
    for Fixture { event_type, schema, data } in fixtures() {
        if schema == current_schema(&event_type) {
            let written = encode(&decode(&event_type, schema, &data).unwrap()).unwrap();
            let (written, expected): (serde_json::Value, serde_json::Value) =
                (serde_json::from_str(&written).unwrap(), serde_json::from_str(&data).unwrap());
            assert_eq!(written, expected, "{event_type}");
        }
    }
}
