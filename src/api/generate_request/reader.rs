//! Reads the fields of an object by their kinds, and collects what is wrong with them.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::faults::{Faults, echo};
use super::fields::MAX_OBJECT_BYTES;
use reel_scene::check::control_character;

/// The fields of an object, each as its JSON.
pub(in crate::api) type Fields<'a> = BTreeMap<String, &'a RawValue>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) enum Kind {
    Null,
    Boolean,
    Number,
    String,
    Array,
    Object,
}

impl Kind {
    /// The first byte of a value tells its kind.
    pub fn of(value: &RawValue) -> Self {
        match value.get().as_bytes().first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b't' | b'f') => Kind::Boolean,
            Some(b'n') => Kind::Null,
            _ => Kind::Number,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Kind::Null => "null",
            Kind::Boolean => "a boolean",
            Kind::Number => "a number",
            Kind::String => "a string",
            Kind::Array => "an array",
            Kind::Object => "an object",
        }
    }
}

/// Reads fields and collects what is wrong with them.
pub(in crate::api) struct Reader<'a> {
    pub fields: &'a Fields<'a>,
    pub place: Vec<&'a str>,
    pub faults: Faults,
}

impl<'a> Reader<'a> {
    pub fn new(fields: &'a Fields<'a>, place: Vec<&'a str>) -> Self {
        Self { fields, place, faults: Faults::default() }
    }

    pub fn fail(&mut self, path: &[&str], msg: impl Into<String>, kind: &str) {
        let loc: Vec<&str> = self.place.iter().chain(path).copied().collect();
        self.faults.add(&loc, msg, kind);
    }

    /// `null` counts as absent.
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.fields.get(name).copied().filter(|value| Kind::of(value) != Kind::Null)
    }

    pub fn is_given(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The field, if it is given and of the kind.
    pub fn of_kind(&mut self, name: &str, kind: Kind) -> Option<&'a RawValue> {
        let value = self.get(name)?;
        let found = Kind::of(value);
        if found == kind {
            return Some(value);
        }
        self.fail(&[name], format!("must be {}, not {}", kind.name(), found.name()), "wrong_type");
        None
    }

    /// A string at a path. An escape that stands for no character (half of a surrogate pair) makes it no text.
    pub fn string(&mut self, path: &[&str], value: &RawValue) -> Option<String> {
        if Kind::of(value) != Kind::String {
            self.fail(path, format!("must be a string, not {}", Kind::of(value).name()), "wrong_type");
            return None;
        }
        let text = serde_json::from_str(value.get());
        if text.is_err() {
            let msg = "holds an escape that stands for no character, such as half of a surrogate pair; only text is allowed";
            self.fail(path, msg, "not_text");
        }
        text.ok()
    }

    /// A trimmed text within `(least, most)` characters.
    pub fn text(&mut self, name: &str, bounds: (usize, usize)) -> Option<String> {
        let value = self.get(name)?;
        let text = self.string(&[name], value)?;
        self.bounded(&[name], text.trim(), bounds).then(|| text.trim().to_owned())
    }

    /// Checks that a text is within `(least, most)` characters, and all of them are text.
    pub fn bounded(&mut self, path: &[&str], text: &str, (least, most): (usize, usize)) -> bool {
        let count = text.chars().count();
        if count < least {
            let msg = format!("has {count} characters after trimming, but must have {least} to {most}");
            self.fail(path, msg, "too_short");
        } else if count > most {
            self.fail(path, format!("has {count} characters, but must have {least} to {most}"), "too_long");
        } else if let Some((at, found)) = control_character(text) {
            let code = found as u32;
            let msg =
                format!("holds the control character U+{code:04X} at character {at}; only text is allowed");
            self.fail(path, msg, "not_text");
        } else {
            return true;
        }
        false
    }

    pub fn flag(&mut self, name: &str) -> Option<bool> {
        let value = self.get(name)?;
        let flag = serde_json::from_str(value.get()).ok();
        if flag.is_none() {
            let msg = format!("must be true or false, not {}", Kind::of(value).name());
            self.fail(&[name], msg, "wrong_type");
        }
        flag
    }

    /// An object of at most [`MAX_OBJECT_BYTES`].
    pub fn object(&mut self, name: &str) -> Option<Map<String, Value>> {
        let value = self.of_kind(name, Kind::Object)?;
        if !self.is_small(name, value, MAX_OBJECT_BYTES) {
            return None;
        }
        match serde_json::from_str(value.get()) {
            Ok(object) => Some(object),
            Err(error) => {
                // Its line and column would be those of the object alone.
                let reason = error.to_string();
                let reason = reason.split(" at line ").next().unwrap_or_default();
                self.fail(&[name], format!("cannot be read: {reason}"), "not_readable");
                None
            }
        }
    }

    pub fn is_small(&mut self, name: &str, value: &RawValue, max_bytes: usize) -> bool {
        let bytes = value.get().len();
        if bytes > max_bytes {
            let msg = format!("has {bytes} bytes of JSON, but must have at most {max_bytes}");
            self.fail(&[name], msg, "too_long");
        }
        bytes <= max_bytes
    }

    /// The items of an array, if there are not too many of them.
    pub fn items(&mut self, name: &str, max_items: usize) -> Vec<&'a RawValue> {
        let Some(value) = self.of_kind(name, Kind::Array) else { return vec![] };
        let items: Vec<&RawValue> = serde_json::from_str(value.get()).unwrap_or_default();
        if items.len() <= max_items {
            return items;
        }
        self.fail(
            &[name],
            format!("has {} items, but must have at most {max_items}", items.len()),
            "too_long",
        );
        vec![]
    }

    /// An array of texts, each with its index. Faults name the index.
    pub fn texts(&mut self, name: &str, max_items: usize) -> Vec<(String, String)> {
        let mut texts = vec![];
        for (index, item) in self.items(name, max_items).into_iter().enumerate() {
            let index = index.to_string();
            if let Some(text) = self.string(&[name, &index], item) {
                texts.push((index, text));
            }
        }
        texts
    }

    pub fn one_of<T: Copy>(
        &mut self,
        name: &str,
        all: &[T],
        name_of: impl Fn(T) -> &'static str,
    ) -> Option<T> {
        let value = self.get(name)?;
        let given: Option<String> = serde_json::from_str(value.get()).ok();
        let found = given.and_then(|text| all.iter().copied().find(|item| name_of(*item) == text));
        if found.is_none() {
            let names: Vec<_> = all.iter().map(|item| name_of(*item)).collect();
            let msg = format!("is {}, but must be one of {}", echo(value.get()), names.join(", "));
            self.fail(&[name], msg, "not_allowed");
        }
        found
    }

    /// Refuses fields that are not `known`.
    pub fn refuse_unknown(&mut self, known: &[&str]) {
        let fields = self.fields;
        for name in fields.keys().filter(|name| !known.contains(&name.as_str())) {
            let msg = format!("is not a field; known are {}", known.join(", "));
            self.fail(&[name.as_str()], msg, "unknown_field");
        }
    }
}
