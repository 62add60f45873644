//! The archive: whole segments of the log that need not stay in Redis.
//!
//! Invariants:
//! - A segment is sealed once, and never changed. Segments of a partition follow each other without a gap.
//! - An event is taken out of Redis only when its segment was read back and found whole (see `seal`).
//! - Reading the log reads on here: whoever asks for events does not see where they are.

mod objects;
mod seal;
pub(crate) mod segment;

use std::collections::HashMap;
use std::io;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;

pub use objects::Objects;
pub use seal::{Restored, Sealed, Trimmed, restore, seal, trim, trimmed_up_to, verify};
pub use segment::Manifest;

use super::Envelope;

/// Blocks that a process keeps unpacked.
const BLOCKS_KEPT: NonZeroUsize = NonZeroUsize::new(32).expect("not zero");

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the archive under {root} did not {attempted}")]
    Objects { root: String, attempted: &'static str, source: io::Error },
    #[error("a segment cannot be compressed")]
    Compress(#[source] io::Error),
    #[error("a segment cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    #[error("archived {object} is damaged: {reason}")]
    Damaged { object: String, reason: String },
    #[error("event {seq} of partition {partition} is not sealed: {reason}")]
    Unsealable { partition: u16, seq: u64, reason: &'static str },
    #[error("redis holds something that the archive does not: {0}")]
    Occupied(String),
    #[error("redis did not {attempted}")]
    Redis { attempted: &'static str, source: redis::RedisError },
    #[error("the event log failed")]
    Log(#[source] Box<super::Error>),
}

/// Events of a block, shared.
type Block = Arc<Vec<(u64, Envelope)>>;

/// Cheap to clone; clones share what they have read.
#[derive(Clone)]
pub struct Archive {
    objects: Objects,
    known: Arc<Mutex<Known>>,
}

struct Known {
    manifests: HashMap<u16, Arc<Vec<Manifest>>>,
    blocks: LruCache<(u16, u64), Block>,
}

impl Archive {
    pub fn new(root: &Path) -> Self {
        let known = Known { manifests: HashMap::new(), blocks: LruCache::new(BLOCKS_KEPT) };
        Self { objects: Objects::new(root), known: Arc::new(Mutex::new(known)) }
    }

    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Events of a partition after sequence number `after`, at least one and at most `count`; none when the archive
    /// does not have the next one.
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

    /// The last sequence number that is sealed; 0 when nothing is.
    pub async fn sealed(&self, partition: u16) -> Result<u64, Error> {
        Ok(self.manifests(partition).await?.last().map_or(0, |manifest| manifest.last))
    }

    /// The manifests of a partition, read anew.
    pub async fn manifests(&self, partition: u16) -> Result<Arc<Vec<Manifest>>, Error> {
        let known = self.known().manifests.get(&partition).cloned().unwrap_or_default();
        let keys = self.objects.list(&segment::folder(partition), ".json").await;
        let keys = keys.map_err(|source| self.failed("list its segments", source))?;
        let mut manifests: Vec<Manifest> = vec![];
        for key in keys {
            // A manifest never changes, so those that were read before need not be read again.
            match known.iter().find(|manifest| manifest.key() == key) {
                Some(manifest) => manifests.push(manifest.clone()),
                None => manifests.push(self.manifest(&key).await?),
            }
        }
        let manifests = Arc::new(manifests);
        self.known().manifests.insert(partition, manifests.clone());
        Ok(manifests)
    }

    async fn manifest(&self, key: &str) -> Result<Manifest, Error> {
        let read = self.objects.get(key).await.map_err(|source| self.failed("read a manifest", source))?;
        let damaged = |reason: String| Error::Damaged { object: key.to_owned(), reason };
        let bytes = read.ok_or_else(|| damaged("it is gone".to_owned()))?;
        serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))
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
        let name = manifest.data_key();
        let frame = self.objects.get_range(&name, block.offset, block.bytes).await;
        let frame = frame.map_err(|source| self.failed("read a segment", source))?;
        let events = Arc::new(segment::read_block(&frame, block.first, &name)?);
        self.known().blocks.put(key, events.clone());
        Ok(events)
    }

    fn failed(&self, attempted: &'static str, source: io::Error) -> Error {
        Error::Objects { root: self.objects.root().display().to_string(), attempted, source }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
