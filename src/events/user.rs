//! The events of a user: what they, or operators, decided about them.

use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantNames};

use super::event::Event;
use super::event::Text::{self, Public};
use crate::ids::UserId;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, VariantNames)]
#[serde(tag = "type", content = "data")]
pub enum UserEvent {
    /// Somebody who may (the envelope says who) wants the user's content erased. It is from then on.
    ErasureRequested { user_id: String },
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
            UserEvent::ErasureRequested { .. } => &[Public("/user_id")],
            UserEvent::UserErased { .. } => &[],
        }
    }
}
