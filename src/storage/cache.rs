//! Results by what they were made from: spoken lines, and clips.
//!
//! Each user has a prefix of their own, which goes when their content is erased. A cache may lose anything at any time:
//! whoever asks makes it again.

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::{Content, Entry, Error, Mode, Prefix, Storage};

/// The size of a user's cache; the oldest results are evicted first.
const MAX_BYTES: u64 = 2 << 30;
/// How long a result stays that nobody asks for.
const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// The results of one user. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cache {
    storage: Storage,
    prefix: Prefix,
}

/// A digest of everything that a result is made from.
#[derive(Debug, Clone)]
pub struct Recipe(blake3::Hasher);

impl Recipe {
    /// `kind` names the kind of result, such as `line`: others have other digests.
    pub fn new(kind: &str) -> Self {
        let mut recipe = Self(blake3::Hasher::new());
        recipe.add(kind.as_bytes());
        recipe
    }

    pub fn add(&mut self, part: impl AsRef<[u8]>) -> &mut Self {
        let part = part.as_ref();
        // Lengths keep parts apart.
        self.0.update(&(part.len() as u64).to_le_bytes()).update(part);
        self
    }

    fn name(&self) -> String {
        self.0.finalize().to_hex().to_string()
    }
}

impl Cache {
    pub fn new(storage: Storage, user: &str) -> Self {
        Self { storage, prefix: Prefix::of_cache(user) }
    }

    /// Puts a result at `file`, replacing what is there. `false` when the cache does not have it.
    pub async fn copy_to(&self, recipe: &Recipe, file: &Path) -> Result<bool, Error> {
        self.storage.copy_to(&self.prefix.key(&recipe.name())?, file).await
    }

    /// Adds a finished file. It must not be changed afterwards, only replaced.
    pub async fn add(&self, recipe: &Recipe, file: &Path) -> Result<(), Error> {
        let key = self.prefix.key(&recipe.name())?;
        self.storage.put(&key, Content::File(file.to_owned()), Mode::Disposable).await?;
        self.evict(MAX_BYTES, SystemTime::now() - MAX_AGE).await
    }

    /// Removes all results of the user.
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

    fn recipe(text: &str) -> Recipe {
        let mut recipe = Recipe::new("test 1");
        recipe.add(text);
        recipe
    }

    #[tokio::test]
    async fn a_result_is_there_for_its_user_alone() {
        let root = tempfile::tempdir().unwrap();
        let storage = Storage::local(root.path());
        let (file, out) = (root.path().join("a"), root.path().join("b"));
        std::fs::write(&file, "made").unwrap();
        let cache = Cache::new(storage.clone(), "user/../1");
        assert!(!cache.copy_to(&recipe("x"), &out).await.unwrap());
        cache.add(&recipe("x"), &file).await.unwrap();
        cache.add(&recipe("x"), &file).await.unwrap();
        std::fs::write(&out, "old").unwrap();
        assert!(cache.copy_to(&recipe("x"), &out).await.unwrap());
        assert_eq!(std::fs::read_to_string(&out).unwrap(), "made");
        assert!(!cache.copy_to(&recipe("y"), &out).await.unwrap());
        assert!(!Cache::new(storage, "user_2").copy_to(&recipe("x"), &out).await.unwrap());
        cache.clear().await.unwrap();
        assert!(!cache.copy_to(&recipe("x"), &out).await.unwrap());
    }

    #[test]
    fn parts_of_a_recipe_are_kept_apart() {
        let of = |parts: [&str; 2]| {
            let mut recipe = Recipe::new("k");
            for part in parts {
                recipe.add(part);
            }
            recipe.name()
        };
        assert_ne!(of(["ab", "c"]), of(["a", "bc"]));
    }

    #[tokio::test]
    async fn the_oldest_is_evicted_first() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::new(Storage::local(root.path()), "u");
        let file = root.path().join("f");
        for (age, name) in [(30, "old"), (20, "middle"), (10, "new")] {
            std::fs::write(&file, [0; 100]).unwrap();
            cache.add(&recipe(name), &file).await.unwrap();
            let path = root.path().join(cache.prefix.key(&recipe(name).name()).unwrap().as_str());
            let stored = std::fs::File::open(path).unwrap();
            stored.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
            std::fs::remove_file(&file).unwrap();
        }
        cache.evict(250, SystemTime::UNIX_EPOCH).await.unwrap();
        assert!(!cache.copy_to(&recipe("old"), &file).await.unwrap());
        cache.evict(u64::MAX, SystemTime::now() - Duration::from_secs(15)).await.unwrap();
        assert!(!cache.copy_to(&recipe("middle"), &file).await.unwrap());
        assert!(cache.copy_to(&recipe("new"), &file).await.unwrap());
    }
}
