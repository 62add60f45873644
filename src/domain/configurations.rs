//! A user's stored configurations, as one aggregate: a name stands for one of them, and there are not too many.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::{Aggregate, Id};
use crate::events::configuration::Settings;
use crate::events::{ConfigurationEvent, Recorded};
use crate::ids::{ConfigurationId, ConfigurationsId};

/// Configurations that one user may have.
pub const MAX_CONFIGURATIONS: usize = 100;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Configurations {
    user_id: String,
    kept: BTreeMap<ConfigurationId, Configuration>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Configuration {
    pub configuration_id: ConfigurationId,
    pub name: String,
    pub settings: Settings,
    /// 1 when it is created; each replacement adds 1.
    pub version: u64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// The versions that a change is meant for; `None` is meant for any.
pub type Expected = Option<Vec<u64>>;

#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    Create {
        user_id: String,
        configuration_id: ConfigurationId,
        name: String,
        settings: Settings,
    },
    Replace {
        configuration_id: ConfigurationId,
        expected: Expected,
        name: String,
        settings: Settings,
    },
    Delete {
        configuration_id: ConfigurationId,
        expected: Expected,
    },
    /// Forget all: the user's key is destroyed.
    Erase,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("you have another configuration of this name; choose another name, or change that one")]
    NameTaken { by: ConfigurationId },
    #[error("you have {max} configurations, which is the most that one user may have; delete one first")]
    TooMany { max: usize },
    #[error("there is no such configuration")]
    Unknown,
    #[error("the configuration is at version {version} now; read it again, then change that version")]
    Stale { version: u64 },
}

impl Configurations {
    pub fn get(&self, configuration_id: ConfigurationId) -> Option<&Configuration> {
        self.kept.get(&configuration_id)
    }

    /// From the oldest to the newest.
    pub fn all(&self) -> impl DoubleEndedIterator<Item = &Configuration> {
        self.kept.values()
    }

    /// The configuration, if it is as `expected`.
    fn expect(&self, id: ConfigurationId, expected: &Expected) -> Result<&Configuration, Rejection> {
        let found = self.get(id).ok_or(Rejection::Unknown)?;
        match expected {
            Some(versions) if !versions.contains(&found.version) => {
                Err(Rejection::Stale { version: found.version })
            }
            _ => Ok(found),
        }
    }

    fn check_name(&self, name: &str, of: ConfigurationId) -> Result<(), Rejection> {
        let others = self.kept.values().filter(|other| other.configuration_id != of);
        match others.into_iter().find(|other| other.name == name) {
            Some(other) => Err(Rejection::NameTaken { by: other.configuration_id }),
            None => Ok(()),
        }
    }
}

impl Id for ConfigurationsId {
    type Aggregate = Configurations;
}

impl Aggregate for Configurations {
    type Event = ConfigurationEvent;
    type Command = Command;
    type Rejection = Rejection;

    fn decide(&self, command: Command) -> Result<Vec<ConfigurationEvent>, Rejection> {
        let event = match command {
            Command::Create { user_id, configuration_id, name, settings } => {
                if self.kept.len() >= MAX_CONFIGURATIONS {
                    return Err(Rejection::TooMany { max: MAX_CONFIGURATIONS });
                }
                self.check_name(&name, configuration_id)?;
                ConfigurationEvent::ConfigurationCreated { user_id, configuration_id, name, settings }
            }
            Command::Replace { configuration_id, expected, name, settings } => {
                self.expect(configuration_id, &expected)?;
                self.check_name(&name, configuration_id)?;
                ConfigurationEvent::ConfigurationReplaced { configuration_id, name, settings }
            }
            Command::Delete { configuration_id, expected } => {
                self.expect(configuration_id, &expected)?;
                ConfigurationEvent::ConfigurationDeleted { configuration_id }
            }
            Command::Erase if self.user_id.is_empty() => return Ok(vec![]),
            Command::Erase => ConfigurationEvent::ConfigurationsErased {},
        };
        Ok(vec![event])
    }

    fn evolve(mut self, recorded: &Recorded<ConfigurationEvent>) -> Self {
        let now = recorded.recorded_at;
        match recorded.event.clone() {
            ConfigurationEvent::ConfigurationCreated { user_id, configuration_id, name, settings } => {
                self.user_id = user_id;
                let created = Configuration {
                    configuration_id,
                    name,
                    settings,
                    version: 1,
                    created_at: now,
                    updated_at: now,
                };
                self.kept.insert(configuration_id, created);
            }
            ConfigurationEvent::ConfigurationReplaced { configuration_id, name, settings } => {
                if let Some(old) = self.kept.get_mut(&configuration_id) {
                    let (version, created_at) = (old.version + 1, old.created_at);
                    *old = Configuration {
                        configuration_id,
                        name,
                        settings,
                        version,
                        created_at,
                        updated_at: now,
                    };
                }
            }
            ConfigurationEvent::ConfigurationDeleted { configuration_id } => {
                self.kept.remove(&configuration_id);
            }
            ConfigurationEvent::ConfigurationsErased {} => self.kept.clear(),
        }
        self
    }

    fn user<'a>(&'a self, event: &'a ConfigurationEvent) -> Option<&'a str> {
        match event {
            ConfigurationEvent::ConfigurationCreated { user_id, .. } => Some(user_id),
            ConfigurationEvent::ConfigurationReplaced { .. }
            | ConfigurationEvent::ConfigurationDeleted { .. }
            | ConfigurationEvent::ConfigurationsErased {} => Some(&self.user_id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn when(given: &Configurations, command: Command) -> Result<Configurations, Rejection> {
        let recorded = |event| Recorded { version: 1, recorded_at: DateTime::UNIX_EPOCH, event };
        let events = given.decide(command)?;
        Ok(events.into_iter().map(recorded).fold(given.clone(), |state, event| state.evolve(&event)))
    }

    fn create(id: ConfigurationId, name: &str) -> Command {
        let (user_id, settings) = ("u".to_owned(), Settings::new());
        Command::Create { user_id, configuration_id: id, name: name.into(), settings }
    }

    fn replace(id: ConfigurationId, expected: Expected, name: &str) -> Command {
        Command::Replace { configuration_id: id, expected, name: name.into(), settings: Settings::new() }
    }

    #[test]
    fn a_name_stands_for_one_configuration() {
        let (one, two) = (ConfigurationId::generate(), ConfigurationId::generate());
        let state = when(&Configurations::default(), create(one, "dark")).unwrap();
        assert_eq!(when(&state, create(two, "dark")), Err(Rejection::NameTaken { by: one }));
        let state = when(&state, create(two, "light")).unwrap();
        assert_eq!(when(&state, replace(two, None, "dark")), Err(Rejection::NameTaken { by: one }));
        assert!(when(&state, replace(one, None, "dark")).is_ok(), "its own name may stay");
        let deleted = Command::Delete { configuration_id: one, expected: None };
        let state = when(&state, deleted.clone()).unwrap();
        assert_eq!(when(&state, deleted), Err(Rejection::Unknown));
        assert!(when(&state, replace(two, None, "dark")).is_ok(), "the name is free again");
    }

    #[test]
    fn a_change_meant_for_another_version_is_refused() {
        let id = ConfigurationId::generate();
        let state = when(&Configurations::default(), create(id, "dark")).unwrap();
        let state = when(&state, replace(id, Some(vec![1]), "darker")).unwrap();
        let now = state.get(id).unwrap();
        assert_eq!((now.version, now.name.as_str()), (2, "darker"));
        assert_eq!(when(&state, replace(id, Some(vec![1]), "x")), Err(Rejection::Stale { version: 2 }));
        let stale = Command::Delete { configuration_id: id, expected: Some(vec![1, 7]) };
        assert_eq!(when(&state, stale), Err(Rejection::Stale { version: 2 }));
        assert_eq!(when(&state, replace(id, Some(vec![7, 2]), "x")).unwrap().get(id).unwrap().version, 3);
    }

    #[test]
    fn there_are_not_too_many() {
        let mut state = Configurations::default();
        for number in 0..MAX_CONFIGURATIONS {
            state = when(&state, create(ConfigurationId::generate(), &number.to_string())).unwrap();
        }
        let refused = when(&state, create(ConfigurationId::generate(), "one more"));
        assert_eq!(refused, Err(Rejection::TooMany { max: MAX_CONFIGURATIONS }));
        assert_eq!(when(&state, Command::Erase).unwrap().all().count(), 0);
    }
}
