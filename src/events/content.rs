//! Personal content inside events: what a user wrote, and what was made of their words.
//!
//! It is kept apart so that it can be sealed with the user's own key before the event is hashed. An event whose
//! content is sealed still reads like an event: every personal field then holds [`SEALED`], or nothing. So whoever
//! lacks the key, because it was destroyed or never given, folds the same history without the words.

use serde_json::{Map, Value};

use super::event::{StandIn, Text};

/// Stands where personal text is sealed.
pub const SEALED: &str = "[sealed]";
/// Stands where personal text was, once its key is destroyed and the job knows.
pub const ERASED: &str = "[erased]";

/// The first field of an event whose content is sealed.
const FIELD: &str = r#"{"sealed":""#;

/// Takes the personal texts out of an event's data. `None` when none is declared, or none is there; else the data
/// without them, and them, both as JSON.
pub fn take(texts: &[Text], data: &str) -> Result<Option<(String, String)>, serde_json::Error> {
    let mut personal = texts.iter().filter_map(|text| match text {
        Text::Personal(pointer, stand_in) => Some((*pointer, *stand_in)),
        Text::Public(_) => None,
    });
    let Some(first) = personal.next() else { return Ok(None) };
    let mut data: Value = serde_json::from_str(data)?;
    let mut taken = Map::new();
    for (pointer, stand_in) in std::iter::once(first).chain(personal) {
        let Some((parent, key)) = parent_of(&mut data, pointer) else { continue };
        let old = match stand_in {
            StandIn::Text => parent.insert(key.to_owned(), Value::from(SEALED)),
            StandIn::EmptyList => parent.insert(key.to_owned(), Value::Array(vec![])),
            StandIn::Nothing => parent.remove(key),
        };
        if let Some(old) = old.filter(|old| !old.is_null()) {
            taken.insert(pointer.to_owned(), old);
        }
    }
    if taken.is_empty() {
        return Ok(None);
    }
    Ok(Some((data.to_string(), Value::Object(taken).to_string())))
}

/// The opposite of [`take`].
pub fn put_back(data: &str, taken: &str) -> Result<String, serde_json::Error> {
    let mut data: Value = serde_json::from_str(data)?;
    let taken: Map<String, Value> = serde_json::from_str(taken)?;
    for (pointer, value) in taken {
        if let Some((parent, key)) = parent_of(&mut data, &pointer) {
            parent.insert(key.to_owned(), value);
        }
    }
    if let Some(fields) = data.as_object_mut() {
        fields.remove("sealed");
    }
    Ok(data.to_string())
}

/// The object that holds a field, and the field's name.
fn parent_of<'a>(data: &'a mut Value, pointer: &'a str) -> Option<(&'a mut Map<String, Value>, &'a str)> {
    let (parent, key) = pointer.rsplit_once('/')?;
    Some((data.pointer_mut(parent)?.as_object_mut()?, key))
}

/// Data with its sealed content in front.
pub fn with_sealed(data: &str, sealed: &str) -> String {
    let rest = data.strip_prefix('{').expect("data is an object");
    let comma = if rest == "}" { "" } else { "," };
    format!(r#"{FIELD}{sealed}"{comma}{rest}"#)
}

/// The sealed content of an event's data, where there is some.
pub fn sealed(data: &str) -> Option<&str> {
    data.strip_prefix(FIELD)?.split_once('"').map(|(sealed, _)| sealed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::event::Event;
    use crate::events::upcast::{decode, encode};
    use crate::events::{JobEvent, VideoRequest, job::JobRequested};

    fn request() -> JobEvent {
        let request = VideoRequest {
            tags: vec!["secret tag".into()],
            title: Some("secret title".into()),
            model: Some("secret model".into()),
            ..VideoRequest::of_script("secret topic", "secret script")
        };
        JobEvent::JobRequested(JobRequested {
            user_id: "user_1".into(),
            request: request.into(),
            batch_id: None,
        })
    }

    fn data_of(event: &JobEvent) -> String {
        encode(event).unwrap().data
    }

    #[test]
    fn what_is_taken_out_comes_back_and_nothing_personal_stays() {
        let whole = data_of(&request());
        let (data, taken) = take(request().texts(), &whole).unwrap().unwrap();
        assert!(!data.contains("secret"), "{data}");
        assert!(taken.contains("secret script") && taken.contains("secret tag"), "{taken}");
        let back: JobEvent = decode("JobRequested", 1, &put_back(&data, &taken).unwrap()).unwrap();
        assert_eq!(back, request());
    }

    #[test]
    fn an_event_with_sealed_content_reads_as_one_without_words() {
        let (data, _) = take(request().texts(), &data_of(&request())).unwrap().unwrap();
        let stored = with_sealed(&data, "1:key:text");
        assert_eq!(sealed(&stored), Some("1:key:text"));
        let JobEvent::JobRequested(read) = decode("JobRequested", 1, &stored).unwrap() else { panic!() };
        assert_eq!((read.request.topic.as_str(), read.request.script), (SEALED, None));
        assert_eq!(read.user_id, "user_1");
    }

    #[test]
    fn events_without_words_are_left_alone() {
        assert_eq!(take(&[Text::Public("/priority")], r#"{"priority":"high"}"#).unwrap(), None);
        let nothing_said = JobEvent::CancelRequested { reason: None };
        assert_eq!(take(nothing_said.texts(), r#"{"reason":null}"#).unwrap(), None);
        assert_eq!(sealed(r#"{"priority":"high"}"#), None);
        assert_eq!(with_sealed("{}", "x"), r#"{"sealed":"x"}"#);
    }
}
