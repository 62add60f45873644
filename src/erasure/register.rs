//! The register of erasures: an object for each erased user, in the store of the archive. It is outside of both databases and of
//! every backup, so that a restore of an older backup can read who was erased since. It holds ids and no name.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::UserId;
use crate::storage::{self, Content, Key, Mode, Prefix, Storage};

const FOLDER: &str = "erasures";
/// Name of the object that identifies the register.
const IDENTITY: &str = "register.json";
/// Largest object; a user has a key for each time that they came back after an erasure.
const MAX_BYTES: u64 = 16 << 20;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the register of erasures cannot be used")]
    Storage(#[from] storage::Error),
    #[error("{object} of the register of erasures is damaged")]
    Damaged { object: Key, source: serde_json::Error },
    #[error("an entry of the register of erasures cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

/// Reads and writes the register. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Register {
    storage: Storage,
}

/// A user whose content was erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasedUser {
    pub user: UserId,
    /// Ids of the keys that were destroyed. A user who came back has others.
    pub keys: BTreeSet<Uuid>,
    /// Time of the last erasure.
    pub erased_at: DateTime<Utc>,
}

#[derive(Serialize, Deserialize)]
struct Identity {
    register: Uuid,
}

impl Register {
    /// `archive` is the store of the archive.
    pub fn new(archive: Storage) -> Self {
        Self { storage: archive }
    }

    /// Returns the id of the register, and begins it if there is none. A backup notes the id, so that a restore can tell that it
    /// reads the same register.
    pub async fn begin(&self) -> Result<Uuid, Error> {
        if let Some(id) = self.id().await? {
            return Ok(id);
        }
        let register = Uuid::new_v4();
        let content = Content::Bytes(serde_json::to_vec(&Identity { register })?);
        match self.storage.put(&key(IDENTITY)?, content, Mode::Create).await {
            // Another process was faster.
            Err(storage::Error::Exists(_)) => Ok(self.id().await?.unwrap_or(register)),
            stored => Ok(stored.map(|_| register)?),
        }
    }

    /// Returns the id of the register; `None` when there is none.
    pub async fn id(&self) -> Result<Option<Uuid>, Error> {
        Ok(self.read::<Identity>(&key(IDENTITY)?).await?.map(|identity| identity.register))
    }

    /// Notes that a user's keys were destroyed. Safe to do again.
    pub async fn note(&self, user: &str, keys: &[Uuid], erased_at: DateTime<Utc>) -> Result<(), Error> {
        let user = UserId::of_name(user);
        let place = key(&format!("{user}.json"))?;
        let mut erased = ErasedUser { user, keys: keys.iter().copied().collect(), erased_at };
        if let Some(before) = self.read::<ErasedUser>(&place).await? {
            erased.keys.extend(before.keys);
        }
        let content = Content::Bytes(serde_json::to_vec(&erased)?);
        self.storage.put(&place, content, Mode::Replace).await?;
        Ok(())
    }

    /// Returns all erased users.
    pub async fn all(&self) -> Result<Vec<ErasedUser>, Error> {
        let identity = key(IDENTITY)?;
        let mut all = vec![];
        for entry in self.storage.list(&Prefix::parse(FOLDER)?).await? {
            if entry.key != identity {
                all.extend(self.read::<ErasedUser>(&entry.key).await?);
            }
        }
        Ok(all)
    }

    async fn read<T: serde::de::DeserializeOwned>(&self, object: &Key) -> Result<Option<T>, Error> {
        let Some(bytes) = self.storage.get(object, MAX_BYTES).await? else { return Ok(None) };
        let damaged = |source| Error::Damaged { object: object.clone(), source };
        serde_json::from_slice(&bytes).map(Some).map_err(damaged)
    }
}

fn key(name: &str) -> Result<Key, storage::Error> {
    Prefix::parse(FOLDER)?.key(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_register_keeps_its_id_and_all_keys_of_an_erased_user() {
        let folder = tempfile::tempdir().unwrap();
        let register = || Register::new(Storage::local(folder.path()));
        assert_eq!(register().id().await.unwrap(), None);
        assert_eq!(register().all().await.unwrap(), []);
        let id = register().begin().await.unwrap();
        assert_eq!((register().begin().await.unwrap(), register().id().await.unwrap()), (id, Some(id)));
        let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
        register().note("anna", &[first], DateTime::UNIX_EPOCH).await.unwrap();
        register().note("anna", &[second], DateTime::UNIX_EPOCH).await.unwrap();
        let erased = register().all().await.unwrap();
        let keys = [first, second].into();
        assert_eq!(
            erased,
            [ErasedUser { user: UserId::of_name("anna"), keys, erased_at: DateTime::UNIX_EPOCH }]
        );
    }
}
