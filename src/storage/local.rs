//! Stores objects as files in a folder.
//!
//! A durable object is written to a temporary file, flushed, renamed, and its folder flushed, so that a power cut leaves either
//! the old object or the new one. The names of temporary files end in `.part`; they are no objects.

use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use super::measure::StoreName;
use super::{ByteStream, Content, Entry, Error, Head, Key, Mode, OnBytes, Prefix, Store, Stored};

/// Buffer of a stream.
const CHUNK_BYTES: usize = 64 * 1024;
/// Files may be added to a folder while it is being removed.
const MAX_REMOVE_ATTEMPTS: usize = 5;

#[derive(Debug, Clone)]
pub struct Local {
    root: PathBuf,
}

impl Local {
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.root.join(key.as_str())
    }
}

#[async_trait]
impl Store for Local {
    fn name(&self) -> StoreName {
        StoreName::Local
    }

    async fn put(
        &self,
        key: &Key,
        content: Content,
        mode: Mode,
        on_bytes: OnBytes<'_>,
    ) -> Result<Stored, Error> {
        let (root, path, key) = (self.root.clone(), self.path(key), key.clone());
        let stored = blocking(move || match write(&root, &path, &content, mode) {
            Err(error) if mode == Mode::Create && error.kind() == io::ErrorKind::AlreadyExists => {
                Err(Error::Exists(key))
            }
            written => written.map_err(|error| Error::new("store", key, error)),
        })
        .await?;
        on_bytes(stored.bytes);
        Ok(stored)
    }

    async fn head(&self, key: &Key) -> Result<Option<Head>, Error> {
        let (path, key) = (self.path(key), key.clone());
        blocking(move || found(fs::metadata(path).map(|metadata| head(&metadata)), "look at", &key)).await
    }

    async fn content_hash(&self, key: &Key) -> Result<Option<String>, Error> {
        let (path, key) = (self.path(key), key.clone());
        blocking(move || found(hash(&path), "read", &key)).await
    }

    async fn read(&self, key: &Key, range: Range<u64>) -> Result<Option<ByteStream>, Error> {
        let opened = tokio::fs::File::open(self.path(key)).await;
        let Some(mut file) = found(opened, "open", key)? else { return Ok(None) };
        let seeked = file.seek(io::SeekFrom::Start(range.start)).await;
        seeked.map_err(|error| Error::new("read", key, error))?;
        let (length, key) = (range.end.saturating_sub(range.start), key.clone());
        let stream = ReaderStream::with_capacity(file.take(length), CHUNK_BYTES);
        Ok(Some(stream.map_err(move |error| Error::new("read", &key, error)).boxed()))
    }

    async fn copy_to(&self, key: &Key, file: &Path) -> Result<bool, Error> {
        let (path, key, file) = (self.path(key), key.clone(), file.to_owned());
        blocking(move || Ok(found(share(&path, &file), "copy", &key)?.is_some())).await
    }

    async fn list(&self, prefix: &Prefix) -> Result<Vec<Entry>, Error> {
        let (root, prefix) = (self.root.clone(), prefix.clone());
        blocking(move || {
            let mut entries = vec![];
            list(&root, prefix.as_str(), &mut entries).map_err(|error| Error::new("list", &prefix, error))?;
            entries.sort_by(|a, b| a.key.cmp(&b.key));
            Ok(entries)
        })
        .await
    }

    async fn delete(&self, key: &Key) -> Result<(), Error> {
        let (path, key) = (self.path(key), key.clone());
        blocking(move || found(fs::remove_file(path), "remove", &key).map(|_| ())).await
    }

    async fn delete_prefix(&self, prefix: &Prefix) -> Result<(), Error> {
        let (path, prefix) = (self.root.join(prefix.as_str()), prefix.clone());
        blocking(move || found(remove_folder(&path), "remove", &prefix).map(|_| ())).await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(stopped) => Err(Error::new("finish work on", "a file", io::Error::other(stopped))),
    }
}

/// `None` for what is not there.
fn found<T>(
    outcome: io::Result<T>,
    attempted: &'static str,
    object: &impl std::fmt::Display,
) -> Result<Option<T>, Error> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::new(attempted, object, error)),
    }
}

fn head(metadata: &fs::Metadata) -> Head {
    Head { bytes: metadata.len(), modified: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH) }
}

fn write(root: &Path, path: &Path, content: &Content, mode: Mode) -> io::Result<Stored> {
    let folder = path.parent().unwrap_or(root);
    if mode == Mode::Disposable {
        fs::create_dir_all(folder)?;
        if let Content::File(file) = content {
            share(file, path)?;
            return Ok(Stored { bytes: fs::metadata(path)?.len(), blake3: hash(path)? });
        }
    } else {
        create_folders(folder)?;
    }
    let name = path.file_name().unwrap_or_default();
    let temporary =
        tempfile::Builder::new().prefix(name).suffix(".part").permissions(readable()).tempfile_in(folder)?;
    let mut output = HashingWriter { file: temporary.as_file(), hasher: blake3::Hasher::new() };
    let bytes = match content {
        Content::Bytes(bytes) => {
            output.write_all(bytes)?;
            bytes.len() as u64
        }
        Content::File(file) => io::copy(&mut File::open(file)?, &mut output)?,
    };
    let blake3 = output.hasher.finalize().to_hex().to_string();
    if mode != Mode::Disposable {
        temporary.as_file().sync_all()?;
    }
    match mode {
        Mode::Create => temporary.persist_noclobber(path),
        Mode::Replace | Mode::Disposable => temporary.persist(path),
    }
    .map_err(|error| error.error)?;
    if mode != Mode::Disposable {
        // The rename itself must survive a power cut, too.
        sync_folder(folder)?;
    }
    Ok(Stored { bytes, blake3 })
}

/// Creates a folder and its missing parents, and flushes each parent.
fn create_folders(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().unwrap_or(Path::new(""));
    create_folders(parent)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_folder(parent),
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}

/// Links a file to `to`, or copies it if the file system has no links. Replaces what is there.
fn share(from: &Path, to: &Path) -> io::Result<()> {
    let unique = uuid::Uuid::new_v4().simple().to_string();
    let part = to.with_extension(format!("{unique}.part"));
    if let Err(error) = fs::hard_link(from, &part) {
        if error.kind() == io::ErrorKind::NotFound {
            return Err(error);
        }
        fs::copy(from, &part)?;
    }
    let renamed = fs::rename(&part, to);
    // A rename between two names of the same file keeps both.
    let _gone_already = fs::remove_file(&part);
    renamed?;
    // Counts as a use.
    let _stays_older = File::open(from).and_then(|file| file.set_modified(SystemTime::now()));
    Ok(())
}

/// Returns the BLAKE3 of a file, in hex.
pub(super) fn hash(path: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// Adds the objects of a folder and its subfolders.
fn list(root: &Path, prefix: &str, entries: &mut Vec<Entry>) -> io::Result<()> {
    let folder = match fs::read_dir(root.join(prefix)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        folder => folder?,
    };
    for file in folder {
        let file = file?;
        let name = format!("{prefix}/{}", file.file_name().to_string_lossy());
        // Another process may have removed it.
        let Ok(metadata) = file.metadata() else { continue };
        if metadata.is_dir() {
            list(root, &name, entries)?;
        } else if let Ok(key) = Key::parse(name) {
            entries.push(Entry { key, head: head(&metadata) });
        }
    }
    Ok(())
}

fn remove_folder(folder: &Path) -> io::Result<()> {
    let mut tries = 1;
    loop {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty && tries < MAX_REMOVE_ATTEMPTS => {
                tries += 1
            }
            outcome => return outcome,
        }
    }
}

#[cfg(unix)]
fn readable() -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    fs::Permissions::from_mode(0o644)
}

struct HashingWriter<'a> {
    file: &'a File,
    hasher: blake3::Hasher,
}

impl io::Write for HashingWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = io::Write::write(&mut self.file, bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::Write::flush(&mut self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Storage;
    use super::*;

    fn key(text: &str) -> Key {
        Key::parse(text).unwrap()
    }

    fn names(root: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(root)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn a_stored_object_is_whole_and_nothing_is_left_beside_it() {
        let root = tempfile::tempdir().unwrap();
        let storage = Storage::local(root.path());
        let file = root.path().join("in.mp4");
        fs::write(&file, b"content").unwrap();
        let name = key("videos/1/video.mp4");
        for content in [Content::File(file), Content::Bytes(b"content".to_vec())] {
            for mode in [Mode::Replace, Mode::Disposable, Mode::Disposable] {
                let stored = storage.put(&name, content.clone(), mode).await.unwrap();
                let blake3 = blake3::hash(b"content").to_hex().to_string();
                assert_eq!(stored, Stored { bytes: 7, blake3: blake3.clone() });
                assert_eq!(storage.content_hash(&name).await.unwrap(), Some(blake3));
                assert_eq!(names(&root.path().join("videos/1")), ["video.mp4"]);
            }
        }
        assert_eq!(storage.head(&name).await.unwrap().unwrap().bytes, 7);
        assert_eq!(storage.get(&name, 7).await.unwrap().unwrap(), b"content");
        assert!(matches!(storage.get(&name, 6).await, Err(Error::TooLarge { max_bytes: 6, .. })));
        assert_eq!(storage.get_range(&name, 3..5).await.unwrap().unwrap(), b"te");
        assert_eq!(storage.get_range(&name, 5..99).await.unwrap().unwrap(), b"nt");
        assert_eq!(storage.get_range(&key("videos/1/other"), 0..1).await.unwrap(), None);
    }

    #[tokio::test]
    async fn l1_what_is_created_once_is_never_replaced() {
        let root = tempfile::tempdir().unwrap();
        let storage = Storage::local(root.path());
        let put =
            async |bytes: &[u8]| storage.put(&key("p/1"), Content::Bytes(bytes.into()), Mode::Create).await;
        let (first, second) = tokio::join!(put(b"one"), put(b"two"));
        assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
        assert!(matches!(put(b"three").await, Err(Error::Exists(_))));
        let kept = storage.get(&key("p/1"), 10).await.unwrap().unwrap();
        assert_eq!(kept, if first.is_ok() { b"one" } else { b"two" });
        assert_eq!(names(&root.path().join("p")), ["1"]);
    }

    #[tokio::test]
    async fn a_prefix_lists_and_removes_its_own_objects_alone() {
        let root = tempfile::tempdir().unwrap();
        let storage = Storage::local(root.path());
        for name in ["a/2", "a/1", "a/b/3", "ab/4"] {
            storage.put(&key(name), Content::Bytes(vec![1]), Mode::Replace).await.unwrap();
        }
        fs::write(root.path().join("a/unfinished.part"), "x").unwrap();
        let prefix = Prefix::parse("a").unwrap();
        let keys: Vec<Key> =
            storage.list(&prefix).await.unwrap().into_iter().map(|entry| entry.key).collect();
        assert_eq!(keys, [key("a/1"), key("a/2"), key("a/b/3")]);
        storage.delete(&key("a/1")).await.unwrap();
        storage.delete(&key("a/1")).await.unwrap();
        assert_eq!(storage.list(&prefix).await.unwrap().len(), 2);
        storage.delete_prefix(&prefix).await.unwrap();
        storage.delete_prefix(&prefix).await.unwrap();
        assert_eq!(storage.list(&prefix).await.unwrap(), []);
        assert_eq!(names(root.path()), ["ab"]);
    }

    #[tokio::test]
    async fn a_large_object_is_read_in_pieces() {
        let root = tempfile::tempdir().unwrap();
        let storage = Storage::local(root.path());
        storage.put(&key("large"), Content::Bytes(vec![7; 1 << 20]), Mode::Replace).await.unwrap();
        let mut stream = storage.read(&key("large"), 10..(1 << 20)).await.unwrap().unwrap();
        let (mut bytes, mut pieces) = (0, 0);
        while let Some(piece) = stream.try_next().await.unwrap() {
            assert!(piece.len() <= CHUNK_BYTES);
            bytes += piece.len();
            pieces += 1;
        }
        assert_eq!((bytes, pieces >= 16), ((1 << 20) - 10, true));
    }

    #[test]
    fn a_full_disk_is_an_error_of_its_own() {
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
            let error = Error::new("store", "x", kind.into());
            assert!(matches!(error, Error::DiskFull { .. }) && error.is_retryable());
        }
        assert!(!Error::InvalidKey("..".into()).is_retryable());
    }
}
