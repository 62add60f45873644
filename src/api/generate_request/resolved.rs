//! The things that a body refers to, which are looked up before it is parsed.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::fields::MAX_UPLOAD_IDS;
use super::reader::{Fields, Kind};
use crate::domain::configurations::Configuration;
use crate::events::upload::Upload;
use crate::ids::{ConfigurationId, UploadId};

/// The ids that a body has in the places for them. What is no id is left to the parser to refuse.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct References {
    pub configuration_id: Option<ConfigurationId>,
    /// At most [`MAX_UPLOAD_IDS`].
    pub upload_ids: Vec<UploadId>,
}

/// The things that were found. All others do not exist, or are another user's.
#[derive(Debug, Clone, Default)]
pub struct Resolved {
    pub configuration: Option<Configuration>,
    pub uploads: BTreeMap<UploadId, Upload>,
    /// Set where a language model plans videos, so that a topic alone is enough.
    pub plans_topics: bool,
}

impl References {
    pub fn is_empty(&self) -> bool {
        self.configuration_id.is_none() && self.upload_ids.is_empty()
    }

    /// Reads no more of a body than it has to.
    pub fn of(body: &[u8]) -> Self {
        let Ok(outer) = serde_json::from_slice::<Fields>(body) else { return Self::default() };
        let inner = outer.get("configuration").filter(|value| Kind::of(value) == Kind::Object);
        let inner = inner.and_then(|inner| serde_json::from_str::<Fields>(inner.get()).ok());
        Self::of_fields(inner.as_ref().unwrap_or(&outer))
    }

    fn of_fields(fields: &Fields) -> Self {
        let text = |value: &RawValue| serde_json::from_str::<String>(value.get()).ok();
        let configuration_id = fields.get("configuration_id").and_then(|id| text(id)?.parse().ok());
        let listed = fields.get("upload_ids").filter(|ids| Kind::of(ids) == Kind::Array);
        let listed: Vec<&RawValue> =
            listed.and_then(|ids| serde_json::from_str(ids.get()).ok()).unwrap_or_default();
        let upload_ids = listed.into_iter().take(MAX_UPLOAD_IDS).filter_map(|id| text(id)?.parse().ok());
        Self { configuration_id, upload_ids: upload_ids.collect() }
    }
}

impl Resolved {
    /// The settings of the configuration, each as its JSON.
    pub fn defaults(&self) -> BTreeMap<String, Box<RawValue>> {
        let settings = self.configuration.iter().flat_map(|stored| &stored.settings);
        settings
            .filter_map(|(name, value)| Some((name.clone(), serde_json::value::to_raw_value(value).ok()?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;

    fn of(body: &Value) -> References {
        References::of(body.to_string().as_bytes())
    }

    #[test]
    fn ids_are_found_in_both_shapes_and_what_is_none_is_left_to_the_parser() {
        let (configuration, upload) = (Uuid::now_v7(), Uuid::now_v7());
        let flat = json!({ "configuration_id": configuration, "upload_ids": ["x", upload, 7, null] });
        let expected = References {
            configuration_id: Some(ConfigurationId(configuration)),
            upload_ids: vec![UploadId(upload)],
        };
        assert_eq!(of(&flat), expected);
        assert_eq!(of(&json!({ "configuration": flat, "upload_ids": [Uuid::nil()] })), expected);
        for other in [json!([]), json!({}), json!({ "configuration_id": 7, "upload_ids": "x" })] {
            assert!(of(&other).is_empty(), "{other}");
        }
        assert!(References::of(b"{").is_empty());
        assert_eq!(of(&json!({ "upload_ids": vec![upload; 100_000] })).upload_ids.len(), MAX_UPLOAD_IDS);
    }
}
