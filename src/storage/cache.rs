//! What was made before, by the content that it was made from: lines of speech, and clips.
//!
//! Each user has a folder of their own, which goes when their content is erased. A cache may lose anything at any
//! time: whoever asks makes it again.

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What a user's folder may hold; the oldest goes first.
const MOST_BYTES: u64 = 2 << 30;
/// How long something stays that nobody asks for.
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

/// The results of one user. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

/// The content that a result is made from.
#[derive(Debug, Clone)]
pub struct Key(blake3::Hasher);

impl Key {
    /// Of a kind of result, such as `line`: results of another are not mixed up with it.
    pub fn of(kind: &str) -> Self {
        let mut key = Self(blake3::Hasher::new());
        key.add(kind.as_bytes());
        key
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
    pub fn new(media_root: &Path, user: &str) -> Self {
        // A user's id may hold any character.
        let folder = blake3::hash(user.as_bytes()).to_hex()[..32].to_owned();
        Self { folder: media_root.join("cache").join(folder) }
    }

    /// Puts the result at `to`, replacing what is there. `false` when there is none.
    pub fn fetch(&self, key: &Key, to: &Path) -> io::Result<bool> {
        let from = self.folder.join(key.name());
        if !from.exists() {
            return Ok(false);
        }
        let part = part_of(to);
        match link_or_copy(&from, &part).and_then(|()| std::fs::rename(&part, to)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        }
        // It was of use just now.
        let _stays_older = std::fs::File::open(&from).and_then(|file| file.set_modified(SystemTime::now()));
        Ok(true)
    }

    /// Keeps a finished file for later. The file must not be changed afterwards, only replaced.
    pub fn keep(&self, key: &Key, file: &Path) -> io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        let kept = self.folder.join(key.name());
        let part = part_of(&kept);
        link_or_copy(file, &part)?;
        std::fs::rename(&part, &kept)?;
        self.prune(MOST_BYTES, SystemTime::now() - KEPT_FOR)
    }

    /// Removes all that is kept for the user.
    pub fn remove(&self) -> io::Result<()> {
        match std::fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            outcome => outcome,
        }
    }

    fn prune(&self, most_bytes: u64, oldest: SystemTime) -> io::Result<()> {
        let mut files: Vec<(SystemTime, u64, PathBuf)> = vec![];
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            // Another process may have removed it.
            let Ok(metadata) = entry.metadata() else { continue };
            files.push((modified(&metadata), metadata.len(), entry.path()));
        }
        files.sort();
        let mut bytes: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        for (modified, length, path) in files {
            if bytes <= most_bytes && modified >= oldest {
                break;
            }
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => bytes -= length,
            }
        }
        Ok(())
    }
}

fn modified(metadata: &Metadata) -> SystemTime {
    metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH)
}

fn part_of(path: &Path) -> PathBuf {
    let unique = uuid::Uuid::new_v4().simple().to_string();
    path.with_extension(format!("{unique}.part"))
}

/// A second name for the file, or a copy where the file system has none.
fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::hard_link(from, to).or_else(|_| std::fs::copy(from, to).map(|_bytes| ()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        let mut key = Key::of("test 1");
        key.add(text);
        key
    }

    #[test]
    fn what_was_kept_is_there_for_its_user_alone() {
        let root = tempfile::tempdir().unwrap();
        let (file, out) = (root.path().join("a"), root.path().join("b"));
        std::fs::write(&file, "made").unwrap();
        let cache = Cache::new(root.path(), "user/../1");
        assert!(!cache.fetch(&key("x"), &out).unwrap());
        cache.keep(&key("x"), &file).unwrap();
        cache.keep(&key("x"), &file).unwrap();
        std::fs::write(&out, "old").unwrap();
        assert!(cache.fetch(&key("x"), &out).unwrap());
        assert_eq!(std::fs::read_to_string(&out).unwrap(), "made");
        assert!(!cache.fetch(&key("y"), &out).unwrap());
        assert!(!Cache::new(root.path(), "user_2").fetch(&key("x"), &out).unwrap());
        cache.remove().unwrap();
        assert!(!cache.fetch(&key("x"), &out).unwrap());
    }

    #[test]
    fn parts_of_a_key_are_kept_apart() {
        let of = |parts: [&str; 2]| {
            let mut key = Key::of("k");
            for part in parts {
                key.add(part);
            }
            key.name()
        };
        assert_ne!(of(["ab", "c"]), of(["a", "bc"]));
    }

    #[test]
    fn the_oldest_goes_first() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::new(root.path(), "u");
        let file = root.path().join("f");
        for (age, name) in [(30, "old"), (20, "middle"), (10, "new")] {
            std::fs::write(&file, [0; 100]).unwrap();
            cache.keep(&key(name), &file).unwrap();
            let kept = std::fs::File::open(cache.folder.join(key(name).name())).unwrap();
            kept.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
            std::fs::remove_file(&file).unwrap();
        }
        cache.prune(250, SystemTime::UNIX_EPOCH).unwrap();
        assert!(!cache.fetch(&key("old"), &file).unwrap());
        cache.prune(u64::MAX, SystemTime::now() - Duration::from_secs(15)).unwrap();
        assert!(!cache.fetch(&key("middle"), &file).unwrap());
        assert!(cache.fetch(&key("new"), &file).unwrap());
    }
}
