//! Caches spoken lines and clips, named by a digest of everything that they are made from.
//!
//! Each user has their own prefix, which is deleted when their content is erased. Entries may be evicted at any time.

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::{Content, Entry, Error, Mode, Prefix, Storage};

/// Size of a user's cache; the oldest entries are evicted first.
const MAX_BYTES: u64 = 2 << 30;
/// Age at which an unused entry is evicted.
pub const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// The cache of one user. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cache {
    storage: Storage,
    prefix: Prefix,
}

impl Cache {
    pub fn new(storage: Storage, user: &str) -> Self {
        Self { storage, prefix: Prefix::of_cache(user) }
    }

    /// Copies an entry to `file`, replacing what is there. `false` when there is no such entry.
    pub async fn copy_to(&self, digest: &str, file: &Path) -> Result<bool, Error> {
        self.storage.copy_to(&self.prefix.key(digest)?, file).await
    }

    /// Adds a finished file, which must only be replaced afterwards, never changed.
    pub async fn add(&self, digest: &str, file: &Path) -> Result<(), Error> {
        let key = self.prefix.key(digest)?;
        self.storage.put(&key, Content::File(file.to_owned()), Mode::Disposable).await?;
        self.evict(MAX_BYTES, SystemTime::now() - MAX_AGE).await
    }

    /// Removes all entries of the user.
    pub async fn clear(&self) -> Result<(), Error> {
        self.storage.delete_prefix(&self.prefix).await
    }

    async fn evict(&self, max_bytes: u64, oldest: SystemTime) -> Result<(), Error> {
        let mut entries = self.storage.list(&self.prefix).await?;
        entries.sort_by_key(|entry| entry.head.modified);
        let mut bytes: u64 = entries.iter().map(|entry| entry.head.bytes).sum();
        for Entry { key, head } in entries {
            if bytes <= max_bytes && head.modified >= oldest {
                break;
            }
            self.storage.delete(&key).await?;
            bytes -= head.bytes;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_entry_exists_for_its_user_only() {
        let root = tempfile::tempdir().unwrap();
        let storage = Storage::local(root.path());
        let (file, out) = (root.path().join("a"), root.path().join("b"));
        std::fs::write(&file, "made").unwrap();
        let cache = Cache::new(storage.clone(), "user/../1");
        assert!(!cache.copy_to("x", &out).await.unwrap());
        cache.add("x", &file).await.unwrap();
        cache.add("x", &file).await.unwrap();
        std::fs::write(&out, "old").unwrap();
        assert!(cache.copy_to("x", &out).await.unwrap());
        assert_eq!(std::fs::read_to_string(&out).unwrap(), "made");
        assert!(!cache.copy_to("y", &out).await.unwrap());
        assert!(!Cache::new(storage, "user_2").copy_to("x", &out).await.unwrap());
        cache.clear().await.unwrap();
        assert!(!cache.copy_to("x", &out).await.unwrap());
    }

    #[tokio::test]
    async fn the_oldest_is_evicted_first() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::new(Storage::local(root.path()), "u");
        let file = root.path().join("f");
        for (age, name) in [(30, "old"), (20, "middle"), (10, "new")] {
            std::fs::write(&file, [0; 100]).unwrap();
            cache.add(name, &file).await.unwrap();
            let path = root.path().join(cache.prefix.key(name).unwrap().as_str());
            let stored = std::fs::File::open(path).unwrap();
            stored.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
            std::fs::remove_file(&file).unwrap();
        }
        cache.evict(250, SystemTime::UNIX_EPOCH).await.unwrap();
        assert!(!cache.copy_to("old", &file).await.unwrap());
        cache.evict(u64::MAX, SystemTime::now() - Duration::from_secs(15)).await.unwrap();
        assert!(!cache.copy_to("middle", &file).await.unwrap());
        assert!(cache.copy_to("new", &file).await.unwrap());
    }
}
