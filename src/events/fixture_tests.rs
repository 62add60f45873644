//! Every shape that ever shipped has a file in `tests/fixtures/events/`, and is still read. Every text in an event is
//! declared public or personal.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;
use strum::VariantArray;

use super::content::{self, ENCRYPTED};
use super::event::{Event, Text};
use super::samples;
use super::upcast::{decode, encode};
use super::{
    AggregateKind, BatchEvent, ConfigurationEvent, JobEvent, OperationsEvent, ProjectionEvent, UploadEvent,
    UserEvent, WebhookEvent,
};

/// The checks of one kind of events, for any type.
struct Kind {
    types: &'static [&'static str],
    current_schema: fn(&str) -> u32,
    /// Decodes an event of a type, a schema and data.
    read: fn(&str, u32, &str) -> Read,
}

/// A decoded event: its type, what is recorded of it today, and its declarations.
type Read = (&'static str, Value, &'static [Text]);

/// Exhaustive: a new kind of aggregate has its events looked at here.
fn kind(kind: AggregateKind) -> Kind {
    fn of<E: Event>() -> Kind {
        let read = |event_type: &str, schema: u32, data: &str| {
            let event: E = decode(event_type, schema, data).unwrap();
            (event.type_name(), json(&encode(&event).unwrap().data), event.texts())
        };
        Kind { types: E::TYPES, current_schema: E::current_schema, read }
    }
    match kind {
        AggregateKind::Job => of::<JobEvent>(),
        AggregateKind::Batch => of::<BatchEvent>(),
        AggregateKind::Projection => of::<ProjectionEvent>(),
        AggregateKind::User => of::<UserEvent>(),
        AggregateKind::Uploads => of::<UploadEvent>(),
        AggregateKind::Configurations => of::<ConfigurationEvent>(),
        AggregateKind::Webhook => of::<WebhookEvent>(),
        AggregateKind::Operations => of::<OperationsEvent>(),
    }
}

fn kinds() -> impl Iterator<Item = Kind> {
    AggregateKind::VARIANTS.iter().map(|variant| kind(*variant))
}

fn kind_of(event_type: &str) -> Kind {
    kinds()
        .find(|kind| kind.types.contains(&event_type))
        .unwrap_or_else(|| panic!("no event type {event_type}"))
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
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
        let (name, ..) = (kind_of(&event_type).read)(&event_type, schema, &data);
        assert_eq!(name, event_type);
    }
}

#[test]
fn every_current_shape_has_a_fixture() {
    let have: BTreeSet<_> =
        fixtures().into_iter().map(|fixture| (fixture.event_type, fixture.schema)).collect();
    for kind in kinds() {
        for event_type in kind.types {
            let current = ((*event_type).to_owned(), (kind.current_schema)(event_type));
            assert!(have.contains(&current), "{}.{}.json is missing", current.0, current.1);
        }
    }
}

#[test]
fn a_type_belongs_to_one_kind_and_its_steps_have_no_gap() {
    let types: Vec<_> = kinds().flat_map(|kind| kind.types).collect();
    assert_eq!(types.iter().collect::<BTreeSet<_>>().len(), types.len(), "{types:?}");
    fn check<E: Event>() {
        for event_type in E::TYPES {
            let mut from: Vec<_> =
                E::STEPS.iter().filter(|step| step.event_type == *event_type).map(|step| step.from).collect();
            from.sort_unstable();
            assert_eq!(from, (1..E::current_schema(event_type)).collect::<Vec<_>>(), "{event_type}");
        }
    }
    check::<JobEvent>();
    check::<BatchEvent>();
    check::<ProjectionEvent>();
    check::<UserEvent>();
    check::<UploadEvent>();
    check::<ConfigurationEvent>();
    check::<WebhookEvent>();
    check::<OperationsEvent>();
}

/// A field that was renamed, added or dropped shows here: then the type needs a new schema number, an
/// upcaster from this shape, and a fixture of the new one.
#[test]
fn a_current_shape_is_written_as_its_fixture_says() {
    for Fixture { event_type, schema, data } in fixtures() {
        let kind = kind_of(&event_type);
        if schema == (kind.current_schema)(&event_type) {
            let (_, written, _) = (kind.read)(&event_type, schema, &data);
            assert_eq!(written, json(&data), "{event_type}");
        }
    }
}

/// The pointers of all texts in data, with `*` for an index.
fn texts_in(data: &Value, at: &str, found: &mut BTreeSet<String>) {
    match data {
        Value::String(_) => drop(found.insert(at.to_owned())),
        Value::Array(items) => items.iter().for_each(|item| texts_in(item, &format!("{at}/*"), found)),
        Value::Object(fields) => {
            for (name, value) in fields {
                texts_in(value, &format!("{at}/{name}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A personal part covers all texts in it; a public text is declared as it is.
fn covers(text: &Text, pointer: &str) -> bool {
    match text {
        Text::Public(declared) => *declared == pointer,
        Text::Personal(declared, _) => {
            let rest = pointer.strip_prefix(declared);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
    }
}

fn check_declarations(name: &str, data: &Value, texts: &[Text]) {
    let mut found = BTreeSet::new();
    texts_in(data, "", &mut found);
    for pointer in found {
        let declared = texts.iter().filter(|text| covers(text, &pointer)).count();
        assert_eq!(
            declared, 1,
            "{name}: the text {pointer} is declared {declared} times; see `Event::texts`"
        );
    }
}

// M5
#[test]
fn every_text_of_every_event_is_declared_public_or_personal() {
    for Fixture { event_type, schema, data } in fixtures() {
        let (_, written, texts) = (kind_of(&event_type).read)(&event_type, schema, &data);
        check_declarations(&event_type, &written, texts);
    }
    fn check<E: Event>(samples: Vec<E>) {
        let sampled: BTreeSet<_> = samples.iter().map(Event::type_name).collect();
        let all: BTreeSet<_> = E::TYPES.iter().copied().collect();
        assert_eq!(sampled, all, "there is a sample of every type");
        for sample in samples {
            let data = json(&encode(&sample).unwrap().data);
            check_declarations(sample.type_name(), &data, sample.texts());
            // Nothing is declared that is not there, or a name has changed.
            let mut found = BTreeSet::new();
            texts_in(&data, "", &mut found);
            for text in sample.texts() {
                let is_there = found.iter().any(|pointer| covers(text, pointer));
                assert!(is_there, "{} has no text {text:?}", sample.type_name());
            }
        }
    }
    check(samples::job_events());
    check(samples::batch_events());
    check(samples::projection_events());
    check(samples::user_events());
    check(samples::upload_events());
    check(samples::configuration_events());
    check(samples::webhook_events());
    check(samples::operations_events());
}

/// Events must decode without their encrypted texts, and be whole with them.
#[test]
fn every_event_reads_without_its_personal_texts_and_is_whole_with_them() {
    fn check<E: Event>(event: &E) {
        let (name, schema) = (event.type_name(), E::current_schema(event.type_name()));
        let data = encode(event).unwrap().data;
        let Some((rest, taken)) = content::extract(event.texts(), &data).unwrap() else { return };
        assert!(!rest.contains(samples::WORDS), "{name}: {rest}");
        let stored = content::with_ciphertext(&rest, "1:key:text");
        let without: E = decode(name, schema, &stored).unwrap();
        assert!(!format!("{without:?}").contains(samples::WORDS), "{name}: {without:?}");
        let with: E = decode(name, schema, &content::restore(&stored, &taken).unwrap()).unwrap();
        assert_eq!(&with, event);
    }
    samples::job_events().iter().for_each(check);
    samples::batch_events().iter().for_each(check);
    samples::projection_events().iter().for_each(check);
    samples::user_events().iter().for_each(check);
    samples::upload_events().iter().for_each(check);
    samples::configuration_events().iter().for_each(check);
    samples::webhook_events().iter().for_each(check);
    samples::operations_events().iter().for_each(check);
    for Fixture { event_type, schema, data } in fixtures() {
        let kind = kind_of(&event_type);
        let (_, _, texts) = (kind.read)(&event_type, schema, &data);
        if let Some((rest, _)) = content::extract(texts, &data).unwrap() {
            let (_, written, _) = (kind.read)(&event_type, schema, &content::with_ciphertext(&rest, "x"));
            assert!(!written.to_string().contains("\"sealed\""), "{event_type}");
        }
    }
}

/// Logs hold events that were sealed with fewer declarations: `model` stood in clear.
#[test]
fn an_event_that_was_sealed_before_a_text_was_declared_still_reads() {
    let stored = r#"{"sealed":"1:key:text","request":{"enable_subtitles":true,"enable_thumbnails":true,"fps":30,
        "model":"rules","output_format":"mp4","priority":"normal","quality":"low","topic":"[sealed]"},"user_id":"u"}"#;
    let JobEvent::JobRequested(read) = decode("JobRequested", 1, stored).unwrap() else { panic!() };
    assert_eq!((read.request.topic.as_str(), read.request.model.as_deref()), (ENCRYPTED, Some("rules")));
    let taken = r#"{"/request/topic":"Ions","/request/script":"Ions move."}"#;
    let whole = content::restore(stored, taken).unwrap();
    let JobEvent::JobRequested(read) = decode("JobRequested", 1, &whole).unwrap() else { panic!() };
    assert_eq!((read.request.topic.as_str(), read.request.script.as_deref()), ("Ions", Some("Ions move.")));
}
