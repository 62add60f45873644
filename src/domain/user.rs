//! A user, as an aggregate: what operators decided about them.

use std::convert::Infallible;

use super::{Aggregate, Id};
use crate::events::{Recorded, UserEvent};
use crate::ids::UserId;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// How often their content was erased.
    pub erasures: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Note that the keys of their content were destroyed, and how many jobs lost their content with it.
    NoteErasure { keys: u64, jobs: u64 },
}

impl Id for UserId {
    type Aggregate = User;
}

impl Aggregate for User {
    type Event = UserEvent;
    type Command = Command;
    type Rejection = Infallible;

    fn decide(&self, command: Command) -> Result<Vec<UserEvent>, Infallible> {
        match command {
            // Every erasure is on record, one that found nothing to erase, too.
            Command::NoteErasure { keys, jobs } => Ok(vec![UserEvent::UserErased { keys, jobs }]),
        }
    }

    fn evolve(mut self, recorded: &Recorded<UserEvent>) -> Self {
        match &recorded.event {
            UserEvent::UserErased { .. } => self.erasures += 1,
        }
        self
    }
}
