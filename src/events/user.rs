//! The events of a user: what operators decided about them.

use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantNames};

use super::event::{Event, Text};
use crate::ids::UserId;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, VariantNames)]
#[serde(tag = "type", content = "data")]
pub enum UserEvent {
    /// The keys of the user's content were destroyed.
    UserErased { keys: u64, jobs: u64 },
}

impl Event for UserEvent {
    type Id = UserId;

    const TYPES: &'static [&'static str] = Self::VARIANTS;

    fn type_name(&self) -> &'static str {
        self.into()
    }

    fn texts(&self) -> &'static [Text] {
        match self {
            UserEvent::UserErased { .. } => &[],
        }
    }
}
