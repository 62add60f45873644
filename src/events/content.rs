//! Personal content of events: a user's words, and everything derived from them.
//!
//! It is extracted so that it can be encrypted with the user's key before the event is hashed. An event with encrypted content
//! still decodes: every personal field then holds [`ENCRYPTED`], or is absent. So a reader without the key, because it was
//! destroyed or never given, folds the same history without the words.

use serde_json::{Map, Value};

use super::event::{StandIn, Text};

/// Replaces personal text that is encrypted. The word is part of recorded data, so it cannot change.
pub const ENCRYPTED: &str = "[sealed]";
/// Replaces personal text after its key was destroyed and the erasure recorded.
pub const ERASED: &str = "[erased]";

/// The first field of an event with encrypted content.
const FIELD: &str = r#"{"sealed":""#;

/// Extracts the personal texts of an event's data. Returns the data without them, and the texts, both as JSON; `None` when the
/// data has none.
pub fn extract(texts: &[Text], data: &str) -> Result<Option<(String, String)>, serde_json::Error> {
    let mut personal = texts.iter().filter_map(|text| match text {
        Text::Personal(pointer, stand_in) => Some((*pointer, *stand_in)),
        Text::Public(_) => None,
    });
    let Some(first) = personal.next() else { return Ok(None) };
    let mut data: Value = serde_json::from_str(data)?;
    let mut extracted = Map::new();
    for (pointer, stand_in) in std::iter::once(first).chain(personal) {
        let Some((parent, key)) = parent_of(&mut data, pointer) else { continue };
        let old = match stand_in {
            StandIn::Text => parent.insert(key.to_owned(), Value::from(ENCRYPTED)),
            StandIn::EmptyList => parent.insert(key.to_owned(), Value::Array(vec![])),
            StandIn::Nothing => parent.remove(key),
        };
        if let Some(old) = old.filter(|old| !old.is_null()) {
            extracted.insert(pointer.to_owned(), old);
        }
    }
    if extracted.is_empty() {
        return Ok(None);
    }
    Ok(Some((data.to_string(), Value::Object(extracted).to_string())))
}

/// Puts extracted texts back into the data; the inverse of [`extract`].
pub fn restore(data: &str, extracted: &str) -> Result<String, serde_json::Error> {
    let mut data: Value = serde_json::from_str(data)?;
    let extracted: Map<String, Value> = serde_json::from_str(extracted)?;
    for (pointer, value) in extracted {
        if let Some((parent, key)) = parent_of(&mut data, &pointer) {
            parent.insert(key.to_owned(), value);
        }
    }
    if let Some(fields) = data.as_object_mut() {
        fields.remove("sealed");
    }
    Ok(data.to_string())
}

/// Returns the object that holds a field, and the field's name.
fn parent_of<'a>(data: &'a mut Value, pointer: &'a str) -> Option<(&'a mut Map<String, Value>, &'a str)> {
    let (parent, key) = pointer.rsplit_once('/')?;
    Some((data.pointer_mut(parent)?.as_object_mut()?, key))
}

/// Adds ciphertext to an event's data, as its first field.
pub fn with_ciphertext(data: &str, ciphertext: &str) -> String {
    let rest = data.strip_prefix('{').expect("data is an object");
    let comma = if rest == "}" { "" } else { "," };
    format!(r#"{FIELD}{ciphertext}"{comma}{rest}"#)
}

/// Returns the ciphertext of an event's data, if there is any.
pub fn ciphertext(data: &str) -> Option<&str> {
    data.strip_prefix(FIELD)?.split_once('"').map(|(ciphertext, _)| ciphertext)
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
    fn extracted_texts_come_back_and_nothing_personal_stays() {
        let whole = data_of(&request());
        let (data, extracted) = extract(request().texts(), &whole).unwrap().unwrap();
        assert!(!data.contains("secret"), "{data}");
        assert!(extracted.contains("secret script") && extracted.contains("secret tag"), "{extracted}");
        let back: JobEvent = decode("JobRequested", 1, &restore(&data, &extracted).unwrap()).unwrap();
        assert_eq!(back, request());
    }

    #[test]
    fn an_event_with_encrypted_content_reads_as_one_without_words() {
        let (data, _) = extract(request().texts(), &data_of(&request())).unwrap().unwrap();
        let stored = with_ciphertext(&data, "1:key:text");
        assert_eq!(ciphertext(&stored), Some("1:key:text"));
        let JobEvent::JobRequested(read) = decode("JobRequested", 1, &stored).unwrap() else { panic!() };
        assert_eq!((read.request.topic.as_str(), read.request.script), (ENCRYPTED, None));
        assert_eq!(read.user_id, "user_1");
    }

    #[test]
    fn events_without_words_are_left_alone() {
        assert_eq!(extract(&[Text::Public("/priority")], r#"{"priority":"high"}"#).unwrap(), None);
        let nothing_said = JobEvent::CancelRequested { reason: None };
        assert_eq!(extract(nothing_said.texts(), r#"{"reason":null}"#).unwrap(), None);
        assert_eq!(ciphertext(r#"{"priority":"high"}"#), None);
        assert_eq!(with_ciphertext("{}", "x"), r#"{"sealed":"x"}"#);
    }
}
