//! The events of a user's stored configurations, which are one aggregate: that a name is used once is decided over all of
//! them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use strum::{IntoStaticStr, VariantNames};

use super::event::{
    Event,
    StandIn::{Nothing, Text as SealedText},
    Text::{self, Personal, Public},
};
use crate::ids::{ConfigurationId, ConfigurationsId};

/// Fields of a request, by their names, as they were accepted.
pub type Settings = Map<String, Value>;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, IntoStaticStr, VariantNames)]
#[serde(tag = "type", content = "data")]
pub enum ConfigurationEvent {
    ConfigurationCreated {
        user_id: String,
        configuration_id: ConfigurationId,
        name: String,
        #[serde(default)]
        settings: Settings,
    },
    /// Name and settings are others now, as a whole.
    ConfigurationReplaced {
        configuration_id: ConfigurationId,
        name: String,
        #[serde(default)]
        settings: Settings,
    },
    ConfigurationDeleted {
        configuration_id: ConfigurationId,
    },
    /// The key of the user's content was destroyed: all of their configurations are gone.
    ConfigurationsErased {},
}

impl Event for ConfigurationEvent {
    type Id = ConfigurationsId;

    const TYPES: &'static [&'static str] = Self::VARIANTS;

    fn type_name(&self) -> &'static str {
        self.into()
    }

    fn texts(&self) -> &'static [Text] {
        match self {
            ConfigurationEvent::ConfigurationCreated { .. } => &[
                Public("/user_id"),
                Public("/configuration_id"),
                Personal("/name", SealedText),
                Personal("/settings", Nothing),
            ],
            ConfigurationEvent::ConfigurationReplaced { .. } => {
                &[Public("/configuration_id"), Personal("/name", SealedText), Personal("/settings", Nothing)]
            }
            ConfigurationEvent::ConfigurationDeleted { .. } => &[Public("/configuration_id")],
            ConfigurationEvent::ConfigurationsErased {} => &[],
        }
    }
}
