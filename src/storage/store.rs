//! The interface of object stores.

use std::fmt;
use std::io;
use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use tokio_util::bytes::Bytes;

use super::backoff;
use super::measure::{Measurement, Operation, StoreName};
use super::{Key, Local, Measured, Prefix, Refusal};
use crate::telemetry::chain;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("`{0}` is not a storage key")]
    InvalidKey(String),
    #[error("{0} exists already, and is never replaced")]
    Exists(Key),
    #[error("{key} has more than the {max_bytes} bytes that are expected")]
    TooLarge { key: Key, max_bytes: u64 },
    #[error("the disk is full: cannot {attempted} {object}")]
    DiskFull { attempted: &'static str, object: String, source: io::Error },
    #[error("cannot {attempted} {object}")]
    Io { attempted: &'static str, object: String, source: io::Error },
    /// S3 failed, or was not reached.
    #[error("cannot {attempted} {object} in S3")]
    Remote { attempted: &'static str, object: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("cannot {attempted} {object} in S3: {refusal}")]
    Refused { attempted: &'static str, object: String, refusal: Refusal },
}

impl Error {
    pub fn new(attempted: &'static str, object: impl fmt::Display, source: io::Error) -> Self {
        let object = object.to_string();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Error::DiskFull { attempted, object, source }
            }
            _ => Error::Io { attempted, object, source },
        }
    }

    /// Returns `true` when a retry may work: the disk was full or away, or S3 was, and the request is valid.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Error::DiskFull { .. } | Error::Io { .. } | Error::Remote { .. })
    }

    /// Returns `true` when S3 is the cause, not this machine.
    pub fn is_remote(&self) -> bool {
        matches!(self, Error::Remote { .. } | Error::Refused { .. })
    }
}

/// An object's bytes in pieces.
pub type ByteStream = BoxStream<'static, Result<Bytes, Error>>;

/// The bytes of a new object.
#[derive(Debug, Clone)]
pub enum Content {
    Bytes(Vec<u8>),
    File(std::path::PathBuf),
}

impl Content {
    /// Returns size and hash. Reads a file once.
    pub(super) async fn measure(&self) -> io::Result<Stored> {
        let file = match self {
            Content::Bytes(bytes) => {
                let blake3 = blake3::hash(bytes).to_hex().to_string();
                return Ok(Stored { bytes: bytes.len() as u64, blake3 });
            }
            Content::File(file) => file.clone(),
        };
        let measured = tokio::task::spawn_blocking(move || {
            let mut hasher = blake3::Hasher::new();
            hasher.update_reader(std::fs::File::open(file)?)?;
            Ok(Stored { bytes: hasher.count(), blake3: hasher.finalize().to_hex().to_string() })
        });
        measured.await.map_err(io::Error::other)?
    }
}

/// Durability and overwriting of a new object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Durable. [`Error::Exists`] when there is an object under the key.
    Create,
    /// Durable. Replaces the object under the key.
    Replace,
    /// Replaces the object under the key, and may be lost with the power. A file may be shared instead of copied, so it
    /// must only be replaced afterwards, never changed.
    Disposable,
}

/// Facts of a written object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub bytes: u64,
    /// Content hash, in hex.
    pub blake3: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub bytes: u64,
    /// Time of writing, or of the last use if it is disposable.
    pub modified: SystemTime,
}

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub key: Key,
    pub head: Head,
}

/// Called while an object is written, with the bytes that were sent since the last call.
pub type OnBytes<'a> = &'a (dyn Fn(u64) + Send + Sync);

/// Told of failed attempts at an upload.
#[async_trait]
pub trait OnFailure: Send + Sync {
    /// `attempt` counts from 1; the next one begins after `delay`.
    async fn failed(&self, attempt: u32, error: Error, delay: Duration);
}

/// Logs failures.
struct Logged<'a>(&'a Key);

#[async_trait]
impl OnFailure for Logged<'_> {
    async fn failed(&self, _attempt: u32, error: Error, delay: Duration) {
        tracing::warn!(key = %self.0, error = chain(&error), ?delay, "an object was not stored; trying again");
    }
}

/// Stores objects by key. Methods may be called concurrently.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Writes an object, all or nothing. One attempt.
    async fn put(
        &self,
        key: &Key,
        content: Content,
        mode: Mode,
        on_bytes: OnBytes<'_>,
    ) -> Result<Stored, Error>;

    /// Returns size and time of an object; `None` when there is none.
    async fn head(&self, key: &Key) -> Result<Option<Head>, Error>;

    /// Reads an object, and returns the BLAKE3 of its bytes in hex; `None` when there is none.
    async fn content_hash(&self, key: &Key) -> Result<Option<String>, Error>;

    /// Reads the bytes in `range`, or fewer at the end of the object, in bounded memory. `None` when there is no such object.
    async fn read(&self, key: &Key, range: Range<u64>) -> Result<Option<ByteStream>, Error>;

    /// Makes an object available as a file, which must only be replaced, never changed. Replaces what is there; counts
    /// as a use. `false` when there is no such object.
    async fn copy_to(&self, key: &Key, file: &Path) -> Result<bool, Error>;

    /// The name under which its operations are counted.
    fn name(&self) -> StoreName;

    /// Lists all objects under a prefix, in the order of their keys.
    async fn list(&self, prefix: &Prefix) -> Result<Vec<Entry>, Error>;

    /// Removes an object, if there is one.
    async fn delete(&self, key: &Key) -> Result<(), Error>;

    /// Removes all objects under a prefix.
    async fn delete_prefix(&self, prefix: &Prefix) -> Result<(), Error>;

    /// Returns a URL with which anyone can read an object for `life`, under the headers of `answer`. `None` where the
    /// store has no such URLs, or the object is on this machine's disk alone.
    async fn signed_url(
        &self,
        _key: &Key,
        _answer: &SignedAnswer,
        _life: Duration,
    ) -> Result<Option<String>, Error> {
        Ok(None)
    }
}

/// Headers of the answer that a signed URL leads to.
#[derive(Debug, Clone, Default)]
pub struct SignedAnswer {
    pub content_type: Option<String>,
    pub content_disposition: Option<String>,
    pub cache_control: Option<String>,
}

/// A shared [`Store`] with derived operations. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Storage(Arc<dyn Store>);

impl Storage {
    /// Opens a store in a folder.
    pub fn local(root: &Path) -> Self {
        Self::new(Local::new(root))
    }

    pub fn new(store: impl Store) -> Self {
        Self(Arc::new(Measured(store)))
    }

    /// Writes an object, all or nothing. Tries again a few times where S3 fails.
    pub async fn put(&self, key: &Key, content: Content, mode: Mode) -> Result<Stored, Error> {
        self.put_reporting(key, content, mode, &|_| {}, &Logged(key)).await
    }

    /// Does the same, and tells of each failure before it tries again.
    pub async fn put_reporting(
        &self,
        key: &Key,
        content: Content,
        mode: Mode,
        on_bytes: OnBytes<'_>,
        failures: &dyn OnFailure,
    ) -> Result<Stored, Error> {
        let measurement = Measurement::begin(self.name(), Operation::Upload);
        let mut stored = self.put_again(key, &content, mode, on_bytes, 1).await;
        for (attempt, delay) in (1..).zip(backoff::delays()) {
            match stored {
                Err(error @ Error::Remote { .. }) => failures.failed(attempt, error, delay).await,
                outcome => {
                    stored = outcome;
                    break;
                }
            }
            tokio::time::sleep(delay).await;
            measurement.add_retry();
            stored = self.put_again(key, &content, mode, on_bytes, attempt + 1).await;
        }
        measurement.add_bytes(stored.as_ref().map_or(0, |stored| stored.bytes));
        measurement.end(stored.is_ok());
        stored
    }

    /// An object that is there since an attempt whose answer got lost is what was to be created.
    async fn put_again(
        &self,
        key: &Key,
        content: &Content,
        mode: Mode,
        on_bytes: OnBytes<'_>,
        attempt: u32,
    ) -> Result<Stored, Error> {
        match self.0.put(key, content.clone(), mode, on_bytes).await {
            Err(Error::Exists(_)) if attempt > 1 => {
                let wanted = content.measure().await.map_err(|error| Error::new("read", key, error))?;
                match self.content_hash(key).await? {
                    Some(found) if found == wanted.blake3 => Ok(wanted),
                    _ => Err(Error::Exists(key.clone())),
                }
            }
            outcome => outcome,
        }
    }

    /// Writes an object, all or nothing, in one attempt.
    pub async fn put_once(
        &self,
        key: &Key,
        content: Content,
        mode: Mode,
        on_bytes: OnBytes<'_>,
    ) -> Result<Stored, Error> {
        self.0.put(key, content, mode, on_bytes).await
    }

    /// Reads a whole object into memory; `None` when there is none.
    pub async fn get(&self, key: &Key, max_bytes: u64) -> Result<Option<Vec<u8>>, Error> {
        let Some(bytes) = self.get_range(key, 0..max_bytes.saturating_add(1)).await? else { return Ok(None) };
        if bytes.len() as u64 > max_bytes {
            return Err(Error::TooLarge { key: key.clone(), max_bytes });
        }
        Ok(Some(bytes))
    }

    /// Reads bytes of an object into memory, or fewer at its end; `None` when there is none.
    pub async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Option<Vec<u8>>, Error> {
        let Some(mut stream) = self.read(key, range).await? else { return Ok(None) };
        let mut bytes = vec![];
        while let Some(piece) = stream.try_next().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(Some(bytes))
    }
}

impl Deref for Storage {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        self.0.as_ref()
    }
}
