//! A user, as an aggregate: what they, or operators, decided about them.

use std::convert::Infallible;

use super::{Aggregate, Id};
use crate::events::{Recorded, UserEvent};
use crate::ids::UserId;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// How often their content was erased.
    pub erasures: u32,
    /// Their name at the issuer, while an erasure that was asked for is not done.
    pub erasure_requested_of: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Erase their content.
    RequestErasure { user_id: String },
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
            Command::RequestErasure { .. } if self.erasure_requested_of.is_some() => Ok(vec![]),
            Command::RequestErasure { user_id } => Ok(vec![UserEvent::ErasureRequested { user_id }]),
            // Every erasure is on record, one that found nothing to erase, too.
            Command::NoteErasure { keys, jobs } => Ok(vec![UserEvent::UserErased { keys, jobs }]),
        }
    }

    fn evolve(mut self, recorded: &Recorded<UserEvent>) -> Self {
        match &recorded.event {
            UserEvent::ErasureRequested { user_id } => self.erasure_requested_of = Some(user_id.clone()),
            UserEvent::UserErased { .. } => {
                self.erasures += 1;
                self.erasure_requested_of = None;
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(user: User, command: Command) -> (usize, User) {
        let events = user.decide(command).unwrap();
        let count = events.len();
        let recorded = events.into_iter().map(|event| Recorded {
            version: 1,
            recorded_at: chrono::DateTime::UNIX_EPOCH,
            event,
        });
        (count, recorded.fold(user, |user, recorded| user.evolve(&recorded)))
    }

    #[test]
    fn an_erasure_is_asked_for_once_until_it_is_done() {
        let request = || Command::RequestErasure { user_id: "user_1".into() };
        let (count, user) = decide(User::default(), request());
        assert_eq!((count, user.erasure_requested_of.as_deref()), (1, Some("user_1")));
        let (count, user) = decide(user, request());
        assert_eq!(count, 0);
        let (count, user) = decide(user, Command::NoteErasure { keys: 1, jobs: 2 });
        assert_eq!((count, user.erasures, &user.erasure_requested_of), (1, 1, &None));
        assert_eq!(decide(user, request()).0, 1, "there may be something new to erase");
    }
}
