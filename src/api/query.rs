//! Query parameters as typed structs.
//!
//! An endpoint takes a [`Query<T>`], where `T` lists its parameters once: for parsing and, through `ToParameters`, for
//! the OpenAPI document. Bad values and unknown parameters are answered with 422 and a detail for each of them, as the
//! fields of a body are; of a repeated parameter, the first counts. All fields of `T` are optional.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Datelike, Utc};
use salvo::extract::{Extractible, Metadata};
use salvo::oapi::{
    self, BasicType, Components, EndpointArgRegister, Object, Operation, RefOr, Schema, ToSchema,
};
use salvo::prelude::*;
use serde::de::value::MapDeserializer;
use serde::de::{self, DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};
use uuid::Uuid;

use super::problem::{FieldError, Problem};

/// Longer than anything that a list is searched for.
const MAX_WORDS_CHARACTERS: usize = 500;

/// The parameters of a request, read into `T`.
pub struct Query<T>(pub T);

impl<'ex, T: DeserializeOwned> Extractible<'ex> for Query<T> {
    fn metadata() -> &'static Metadata {
        static METADATA: std::sync::LazyLock<Metadata> = std::sync::LazyLock::new(|| Metadata::new("Query"));
        &METADATA
    }

    #[allow(refining_impl_trait)]
    async fn extract(req: &'ex mut Request, _depot: &'ex mut Depot) -> Result<Self, Problem> {
        let mut given = BTreeMap::new();
        for (name, value) in req.queries().flat_iter() {
            given.entry(name.clone()).or_insert_with(|| value.clone());
        }
        read(given).map(Query)
    }
}

impl<T: EndpointArgRegister> EndpointArgRegister for Query<T> {
    fn register(components: &mut Components, operation: &mut Operation, arg: &str) {
        T::register(components, operation, arg);
    }
}

/// Leaves out the parameter that does not fit and reads again, until all that do not are found.
fn read<T: DeserializeOwned>(mut given: BTreeMap<String, String>) -> Result<T, Problem> {
    let mut errors = vec![];
    let unknown = RefCell::default();
    loop {
        let pairs =
            given.iter().map(|(name, value)| (name.as_str(), Value { name, text: value, unknown: &unknown }));
        let deserializer = MapDeserializer::<_, de::value::Error>::new(pairs);
        match serde_path_to_error::deserialize(deserializer) {
            Ok(parameters) => {
                errors.extend(unknown.take().into_iter().take(MAX_UNKNOWN).map(unknown_error));
                return if errors.is_empty() { Ok(parameters) } else { Err(Problem::validation(errors)) };
            }
            Err(error) => {
                let name = error.path().to_string();
                let value = given.remove(&name).ok_or_else(Problem::internal)?;
                errors.push(field_error(&name, &value, &error.into_inner().to_string()));
            }
        }
    }
}

/// Unknown parameters that an answer lists.
const MAX_UNKNOWN: usize = 100;

fn unknown_error(name: String) -> FieldError {
    FieldError {
        loc: vec!["query".to_owned(), name.chars().take(100).collect()],
        msg: "is not a parameter of this endpoint; `openapi.json` lists those that are".to_owned(),
        r#type: "unknown_parameter".to_owned(),
    }
}

/// A parameter that is not what it must be.
pub fn field_error(name: &str, given: &str, expected: &str) -> FieldError {
    let shown: String = given.chars().take(100).collect();
    FieldError {
        loc: vec!["query".to_owned(), name.to_owned()],
        msg: format!("is {shown:?}, but must be {expected}"),
        r#type: "not_allowed".to_owned(),
    }
}

/// A 422 for one parameter, where what it may be depends on more than itself.
pub fn refuse(name: &str, given: &str, expected: &str) -> Problem {
    Problem::validation(vec![field_error(name, given, expected)])
}

/// The text of a parameter. A parameter that is there is `Some`; one that nothing reads is noted.
struct Value<'a> {
    name: &'a str,
    text: &'a str,
    unknown: &'a RefCell<BTreeSet<String>>,
}

impl<'de> IntoDeserializer<'de> for Value<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Value<'_> {
    type Error = de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_str(self.text)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct enum identifier
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.unknown.borrow_mut().insert(self.name.to_owned());
        visitor.visit_unit()
    }
}

/// Reads a text with `read`; the error says what is expected instead.
pub fn parse_text<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    expected: impl std::fmt::Display,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    read(&text).ok_or_else(|| de::Error::custom(expected))
}

/// A whole number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole<const MIN: u64, const MAX: u64>(pub u64);

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Whole<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse_text(deserializer, format_args!("a whole number from {MIN} to {MAX}"), |text| {
            text.parse().ok().filter(|number| (MIN..=MAX).contains(number)).map(Self)
        })
    }
}

impl<const MIN: u64, const MAX: u64> ToSchema for Whole<MIN, MAX> {
    fn to_schema(_components: &mut Components) -> RefOr<Schema> {
        Object::with_type(BasicType::Integer).minimum(MIN as f64).maximum(MAX as f64).into()
    }
}

/// A time, RFC 3339, of the years that Postgres and RFC 3339 share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time(pub DateTime<Utc>);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse_text(deserializer, "a time such as 2026-11-21T10:00:00Z", |text| {
            let time = DateTime::parse_from_rfc3339(text).ok()?.with_timezone(&Utc);
            is_storable(time).then_some(Self(time))
        })
    }
}

impl ToSchema for Time {
    fn to_schema(_components: &mut Components) -> RefOr<Schema> {
        Object::with_type(BasicType::String).format(oapi::SchemaFormat::Custom("date-time".to_owned())).into()
    }
}

pub fn is_storable(time: DateTime<Utc>) -> bool {
    (1..=9999).contains(&time.year())
}

/// The id of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id(pub Uuid);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse_text(deserializer, "a UUID", |text| Uuid::parse_str(text).ok().map(Self))
    }
}

impl ToSchema for Id {
    fn to_schema(_components: &mut Components) -> RefOr<Schema> {
        Object::with_type(BasicType::String).format(oapi::SchemaFormat::Custom("uuid".to_owned())).into()
    }
}

/// Text without control characters, of a bounded length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words(pub String);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = format_args!(
            "text of at most {MAX_WORDS_CHARACTERS} characters, none of them a control character"
        );
        parse_text(deserializer, expected, |text| {
            let is_fit = text.chars().count() <= MAX_WORDS_CHARACTERS && !text.contains(char::is_control);
            is_fit.then(|| Self(text.to_owned()))
        })
    }
}

impl ToSchema for Words {
    fn to_schema(_components: &mut Components) -> RefOr<Schema> {
        let text = Object::with_type(BasicType::String).max_length(MAX_WORDS_CHARACTERS);
        text.pattern(r"^[^\u0000-\u001f\u007f-\u009f]*$").into()
    }
}

/// A position in a list that is ordered by time and id; opaque to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    pub time: DateTime<Utc>,
    pub id: Uuid,
}

impl Cursor {
    pub fn encode(self) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}:{}", self.time.timestamp_micros(), self.id))
    }

    fn decode(text: &str) -> Option<Self> {
        let plain = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let (micros, id) = plain.split_once(':')?;
        let time = DateTime::from_timestamp_micros(micros.parse().ok()?)?;
        Some(Self { time, id: Uuid::parse_str(id).ok()? }).filter(|cursor| is_storable(cursor.time))
    }

    pub fn as_pair(self) -> (DateTime<Utc>, Uuid) {
        (self.time, self.id)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse_text(deserializer, "the next_cursor of the page before", Self::decode)
    }
}

/// The schema of a position in a list, as far as it is told to clients.
pub fn cursor_schema() -> RefOr<Schema> {
    Object::with_type(BasicType::String).pattern("^[A-Za-z0-9_-]+$").into()
}

impl ToSchema for Cursor {
    fn to_schema(_components: &mut Components) -> RefOr<Schema> {
        cursor_schema()
    }
}

/// One of `all`, by its name.
pub fn parse_one_of<'de, D: Deserializer<'de>, T: Copy>(
    deserializer: D,
    all: &[T],
    name: fn(T) -> &'static str,
) -> Result<Option<T>, D::Error> {
    let names: Vec<&str> = all.iter().copied().map(name).collect();
    parse_text(deserializer, format_args!("one of {}", names.join(", ")), |text| {
        all.iter().copied().find(|known| name(*known) == text).map(Some)
    })
}

/// `true`, `1` or nothing; `false` or `0`.
pub fn parse_flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    parse_text(deserializer, "true or false", |text| match text {
        "true" | "1" | "" => Some(Some(true)),
        "false" | "0" => Some(Some(false)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Example {
        limit: Option<Whole<1, 10>>,
        q: Option<Words>,
        from: Option<Time>,
        cursor: Option<Cursor>,
        #[serde(deserialize_with = "parse_flag")]
        inline: Option<bool>,
    }

    fn read_pairs(pairs: &[(&str, &str)]) -> Result<Example, Vec<String>> {
        let given = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        read(given).map_err(|problem| {
            let details = problem.details.as_array().unwrap().clone();
            details.iter().map(|detail| format!("{} {}", detail["loc"][1], detail["msg"])).collect()
        })
    }

    #[test]
    fn what_fits_is_read() {
        let cursor = Cursor { time: "2026-11-21T10:00:00Z".parse().unwrap(), id: Uuid::nil() };
        let encoded = cursor.encode();
        let given = [("limit", "10"), ("q", "ions"), ("cursor", encoded.as_str()), ("inline", "")];
        let read = read_pairs(&given).unwrap();
        assert_eq!((read.limit, read.cursor, read.inline), (Some(Whole(10)), Some(cursor), Some(true)));
        assert_eq!((read.q, read.from), (Some(Words("ions".into())), None));
        assert_eq!(read_pairs(&[]), Ok(Example::default()));
    }

    // L4
    #[test]
    fn all_bad_values_are_found_at_once() {
        let early = URL_SAFE_NO_PAD.encode(format!("-8000000000000000000:{}", Uuid::nil()));
        let given = [
            ("limit", "11"),
            ("q", "\0"),
            ("from", "0000-01-01T00:00:00Z"),
            ("cursor", &early),
            ("qq", "\0"),
        ];
        let refused = read_pairs(&given).unwrap_err();
        assert_eq!(refused.len(), 5, "{refused:?}");
        assert!(
            refused.iter().any(|one| one.contains("qq") && one.contains("is not a parameter")),
            "{refused:?}"
        );
        let text = refused.join("; ");
        assert!(text.contains(r#""limit" "is \"11\", but must be a whole number from 1 to 10""#), "{text}");
    }
}
