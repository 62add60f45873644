//! A place for backups: a folder, or a part of a bucket.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Error, MANIFEST, Manifest, PartFile};
use crate::events::archive::Archive;
use crate::storage::{Content, Key, Mode, Prefix, S3, S3Settings, Storage};

/// Name of the folder of the copied log.
const LOG: &str = "log";
/// Name of the folder of the copied files.
const STORED_FILES: &str = "files";
/// Largest manifest.
const MAX_MANIFEST_BYTES: u64 = 64 << 20;

pub struct Place {
    /// The place as a message names it.
    pub name: String,
    pub(super) storage: Storage,
    log: Storage,
}

impl Place {
    pub fn folder(root: &Path) -> Self {
        Self {
            name: root.display().to_string(),
            storage: Storage::local(root),
            log: Storage::local(&root.join(LOG)),
        }
    }

    /// Opens a part of a bucket.
    pub async fn bucket(settings: &S3Settings, prefix: Option<&str>) -> Self {
        let bucket = S3::connect(settings).await;
        let (name, bucket) = match prefix {
            Some(prefix) => (format!("s3://{}/{prefix}", settings.bucket), bucket.within(prefix)),
            None => (format!("s3://{}", settings.bucket), bucket),
        };
        Self { name, log: Storage::new(bucket.within(LOG)), storage: Storage::new(bucket) }
    }

    /// Returns the copied log, as an archive.
    pub(super) fn log(&self, public_keys: Vec<String>) -> Archive {
        Archive::stored_in(self.log.clone(), public_keys)
    }

    /// Returns an error unless the place is empty.
    pub(super) async fn check_empty(&self) -> Result<(), Error> {
        let place = self.name.clone();
        if self.storage.head(&Key::parse(MANIFEST)?).await?.is_some() {
            return Err(Error::Exists { place });
        }
        for folder in [LOG, STORED_FILES] {
            if !self.storage.list(&Prefix::parse(folder)?).await?.is_empty() {
                return Err(Error::Unfinished { place });
            }
        }
        Ok(())
    }

    pub(super) async fn write_manifest(&self, manifest: &Manifest) -> Result<(), Error> {
        let content = Content::Bytes(serde_json::to_vec_pretty(manifest)?);
        self.storage.put(&Key::parse(MANIFEST)?, content, Mode::Create).await?;
        Ok(())
    }

    pub(super) async fn manifest(&self, public_keys: &[String]) -> Result<Manifest, Error> {
        let bytes = self.storage.get(&Key::parse(MANIFEST)?, MAX_MANIFEST_BYTES).await?;
        let bytes = bytes.ok_or_else(|| Error::NoManifest { place: self.name.clone() })?;
        Manifest::parse(&bytes, public_keys)
    }

    /// Writes rows, one JSON value a line. Replaces what an interrupted backup has left under the name.
    pub(super) async fn write_rows<T: Serialize>(&self, name: &str, rows: &[T]) -> Result<PartFile, Error> {
        let mut lines = vec![];
        for row in rows {
            serde_json::to_writer(&mut lines, row)?;
            lines.push(b'\n');
        }
        let stored = self.storage.put(&Key::parse(name)?, Content::Bytes(lines), Mode::Replace).await?;
        Ok(PartFile {
            name: name.to_owned(),
            rows: rows.len() as u64,
            bytes: stored.bytes,
            blake3: stored.blake3,
        })
    }

    /// Reads rows, and verifies them against the manifest.
    pub(super) async fn rows<T: DeserializeOwned>(&self, part: &PartFile) -> Result<Vec<T>, Error> {
        let damaged = |reason: String| Error::Damaged { object: part.name.clone(), reason };
        // One byte more than there may be, so that a part that has grown differs.
        let range = 0..part.bytes.saturating_add(1);
        let bytes = self.storage.get_range(&Key::parse(part.name.as_str())?, range).await?;
        let bytes = bytes.ok_or_else(|| damaged("it is gone".to_owned()))?;
        if blake3::hash(&bytes).to_hex().as_str() != part.blake3 {
            return Err(damaged("its checksum is not the one in the manifest".to_owned()));
        }
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).map_err(|error| damaged(error.to_string()))).collect()
    }

    /// Returns the key of a copied file.
    pub(super) fn file(key: &str) -> Result<Key, Error> {
        Ok(Key::parse(format!("{STORED_FILES}/{key}"))?)
    }
}
