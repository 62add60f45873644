//! The archive: whole segments of the log that need not stay in Redis.
//!
//! Invariants:
//! - A segment is written once and never changed: both of its objects are created, never replaced, and the manifest names its
//!   data by its content. Segments of a partition follow each other without a gap.
//! - Everything read is signed: each manifest's signature is checked once, and each block against its manifest.
//! - An event is trimmed from Redis only after its segment was read back whole (see `write`).
//! - Readers of the log continue here transparently.

pub(crate) mod segment;
mod write;

use std::collections::{HashMap, HashSet};
use std::io;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;

pub use segment::Manifest;
pub use write::{Restored, Trimmed, Written, copy, restore, trim, trimmed_up_to, verify, write_segments};

use super::{Envelope, Layout};
use crate::signing::is_signed;
use crate::storage::{self, Content, Key, Mode, Prefix, Storage};

/// Largest manifest, which has an entry for every 256 events.
const MAX_MANIFEST_BYTES: u64 = 64 << 20;
/// Decompressed blocks that a process caches.
const CACHED_BLOCKS: NonZeroUsize = NonZeroUsize::new(32).expect("not zero");

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the archive failed")]
    Storage(#[from] storage::Error),
    #[error("a segment cannot be compressed")]
    Compress(#[source] io::Error),
    #[error("a segment cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    #[error("archived {object} is damaged: {reason}")]
    Damaged { object: String, reason: String },
    #[error("event {seq} of partition {partition} cannot be archived: {reason}")]
    Unarchivable { partition: u16, seq: u64, reason: &'static str },
    #[error("another process is archiving partition {partition}: try again in a minute")]
    Busy { partition: u16 },
    #[error("redis holds something that the archive does not: {0}")]
    Occupied(String),
    #[error("redis did not {attempted}")]
    Redis { attempted: &'static str, source: redis::RedisError },
    #[error("the event log failed")]
    Log(#[source] Box<super::Error>),
}

const MAX_LAYOUT_BYTES: u64 = 64 << 10;

fn layouts() -> Result<Prefix, storage::Error> {
    Prefix::parse("layout")
}

/// The shared events of a block.
type Block = Arc<Vec<(u64, Envelope)>>;

/// Reads and writes segments. Cheap to clone; clones share their caches.
#[derive(Clone)]
pub struct Archive {
    storage: Storage,
    /// Trusted public keys, in hex.
    public_keys: Option<Arc<[String]>>,
    known: Arc<Mutex<Known>>,
}

struct Known {
    manifests: HashMap<u16, Arc<Vec<Manifest>>>,
    blocks: LruCache<(u16, u64), Block>,
    /// Verified segments of the first format, by partition and first event.
    checked: HashSet<(u16, u64)>,
}

impl Archive {
    /// Opens an archive in a folder. `public_keys` are trusted to have signed it, in hex.
    pub fn new(root: &Path, public_keys: Vec<String>) -> Self {
        Self::stored_in(Storage::local(root), public_keys)
    }

    /// Opens an archive that has a store of its own.
    pub fn stored_in(storage: Storage, public_keys: Vec<String>) -> Self {
        Self { public_keys: Some(public_keys.into()), ..Self::unverified(storage) }
    }

    /// Skips the check of signatures, for commands without keys.
    pub fn unverified(storage: Storage) -> Self {
        let known = Known {
            manifests: HashMap::new(),
            blocks: LruCache::new(CACHED_BLOCKS),
            checked: HashSet::new(),
        };
        Self { storage, public_keys: None, known: Arc::new(Mutex::new(known)) }
    }

    /// Reads at least one and at most `count` events of a partition after sequence number `after`; none when the archive lacks
    /// the next one.
    pub async fn read(
        &self,
        partition: u16,
        after: u64,
        count: usize,
    ) -> Result<Vec<(u64, Envelope)>, Error> {
        let Some((manifest, block)) = self.find(partition, after + 1).await? else { return Ok(vec![]) };
        let events = self.block(&manifest, block).await?;
        Ok(events.iter().filter(|(seq, _)| *seq > after).take(count).cloned().collect())
    }

    /// Returns the last archived sequence number, or 0.
    pub async fn last_archived(&self, partition: u16) -> Result<u64, Error> {
        Ok(self.manifests(partition).await?.last().map_or(0, |manifest| manifest.last))
    }

    /// Writes the layout of the archived log, unless it is there.
    pub async fn write_layout(&self, layout: &Layout) -> Result<(), Error> {
        let key = layouts()?.key(&format!("{:06}.json", layout.generation))?;
        let content = Content::Bytes(layout.text().into_bytes());
        match self.storage.put(&key, content, Mode::Create).await {
            Ok(_) | Err(storage::Error::Exists(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the newest layout; `None` for an archive from before logs could grow. Its events must agree with it, which a
    /// restore checks.
    pub async fn layout(&self) -> Result<Option<Layout>, Error> {
        let entries = self.storage.list(&layouts()?).await?;
        let Some(key) = entries.into_iter().map(|entry| entry.key).max() else { return Ok(None) };
        let damaged = |reason: String| Error::Damaged { object: key.to_string(), reason };
        let bytes = self.storage.get(&key, MAX_LAYOUT_BYTES).await?;
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
        Layout::parse(&text).map(Some).map_err(damaged)
    }

    /// Reads the current manifests of a partition.
    pub async fn manifests(&self, partition: u16) -> Result<Arc<Vec<Manifest>>, Error> {
        let known = self.known().manifests.get(&partition).cloned().unwrap_or_default();
        let entries = self.storage.list(&segment::folder(partition)?).await?;
        let keys = entries.into_iter().map(|entry| entry.key).filter(|key| key.as_str().ends_with(".json"));
        let mut manifests: Vec<Manifest> = vec![];
        for key in keys {
            // A manifest never changes, so those that were read before need not be read again.
            match known.iter().find(|manifest| manifest.key().as_ref().ok() == Some(&key)) {
                Some(manifest) => manifests.push(manifest.clone()),
                None => manifests.push(self.manifest(partition, &key).await?),
            }
        }
        let manifests = Arc::new(manifests);
        self.known().manifests.insert(partition, manifests.clone());
        Ok(manifests)
    }

    /// Reads a manifest, and checks its signature and position.
    async fn manifest(&self, partition: u16, key: &Key) -> Result<Manifest, Error> {
        let damaged = |reason: String| Error::Damaged { object: key.to_string(), reason };
        let bytes = self.storage.get(key, MAX_MANIFEST_BYTES).await?;
        let bytes = bytes.ok_or_else(|| damaged("it is gone".to_owned()))?;
        let manifest: Manifest =
            serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if let Some(public_keys) = &self.public_keys {
            let statement = manifest.statement()?;
            if !public_keys.iter().any(|key| is_signed(key, &statement, &manifest.signature)) {
                return Err(damaged("it is not signed with a known key".to_owned()));
            }
        }
        if manifest.partition != partition || manifest.key()? != *key {
            return Err(damaged("it is the manifest of another segment".to_owned()));
        }
        Ok(manifest)
    }

    async fn find(&self, partition: u16, seq: u64) -> Result<Option<(Manifest, segment::Block)>, Error> {
        let known = self.known().manifests.get(&partition).cloned();
        let of = |manifests: &[Manifest]| {
            let manifest =
                manifests.iter().find(|manifest| (manifest.first..=manifest.last).contains(&seq))?;
            Some((manifest.clone(), manifest.block_of(seq)?))
        };
        if let Some(found) = known.as_deref().and_then(|manifests| of(manifests)) {
            return Ok(Some(found));
        }
        Ok(of(&self.manifests(partition).await?))
    }

    async fn block(&self, manifest: &Manifest, block: segment::Block) -> Result<Block, Error> {
        let key = (manifest.partition, block.first);
        if let Some(events) = self.known().blocks.get(&key) {
            return Ok(events.clone());
        }
        let name = manifest.data_key()?;
        let frame = match block.content {
            Some(_) => self.storage.get_range(&name, block.offset..block.offset + block.bytes).await?,
            None => Some(self.frame_of_first_format(manifest, &block).await?),
        };
        let gone = || Error::Damaged { object: name.to_string(), reason: "it is gone".to_owned() };
        let events = Arc::new(segment::read_block(&frame.ok_or_else(gone)?, &block, &name)?);
        self.known().blocks.put(key, events.clone());
        Ok(events)
    }

    /// Reads a frame of a segment in the first format, whose manifest only has a digest of all data. The data is verified once.
    async fn frame_of_first_format(
        &self,
        manifest: &Manifest,
        block: &segment::Block,
    ) -> Result<Vec<u8>, Error> {
        let segment = (manifest.partition, manifest.first);
        let is_checked = self.known().checked.contains(&segment);
        if !is_checked {
            self.data(manifest).await?;
            self.known().checked.insert(segment);
        }
        let range = block.offset..block.offset + block.bytes;
        Ok(self.storage.get_range(&manifest.data_key()?, range).await?.unwrap_or_default())
    }

    /// Reads a segment's data, and verifies it against its manifest.
    async fn data(&self, manifest: &Manifest) -> Result<Vec<u8>, Error> {
        let name = manifest.data_key()?;
        let damaged = |reason: &str| Error::Damaged { object: name.to_string(), reason: reason.to_owned() };
        // One byte more than there may be, so that data that has grown differs.
        let data = self.storage.get_range(&name, 0..manifest.bytes.saturating_add(1)).await?;
        let data = data.ok_or_else(|| damaged("it is gone"))?;
        if blake3::hash(&data).to_hex().as_str() != manifest.blake3 {
            return Err(damaged("its checksum is not the one that was sealed"));
        }
        Ok(data)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
