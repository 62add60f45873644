//! Backups: a copy of everything that cannot be made again, as it was at one moment, taken while the system runs.
//!
//! Each partition is cut at a seal. A backup holds its events up to there, as segments of the archive's format; what Postgres alone
//! knows (keys of users, seals); the keys of Redis that no event tells (`events::expiring`); and the list of stored files, or the files
//! themselves. Everything else follows from these, and a restore makes it again: queues, histories, command ids, read models.
//!
//! Invariants:
//! - The parts fit each other: keys and files are older than the events that need them, so that they are read after the cut. A file that
//!   is removed meanwhile is removed by an event behind the cut, and is left out.
//! - The manifest is written last. It is signed, and each byte of a backup is covered by it or by the manifest of a segment.
//! - A restore verifies all of it before its first write, and writes to an empty log alone.
//! - Who was erased after a backup stays erased after its restore (`erasure::register`).
//!
//! Deliberately absent: the folders of running jobs. A job that was under way begins again where its events allow.

mod files;
mod place;
mod restore;
mod take;

pub use files::{Fault, ListedFile};
pub use place::Place;
pub use restore::{Lost, Part, Plan, Restored, RestoredFiles, Target, Timed};
pub use take::{Source, Taken, take};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::events::{self, Layout, archive};
use crate::signing::{SigningKey, is_signed};
use crate::{audit, consumers, erasure, projections, storage, vault};

/// The newest form of the manifest that this version reads. It has the layout of a log that has grown.
const FORMAT: u32 = 2;
/// The form without it.
const FIRST_FORMAT: u32 = 1;
/// Name of the manifest.
const MANIFEST: &str = "backup.json";
/// Name of the keys of users' content, as a part of a backup.
const KEYS: &str = "keys.jsonl";
const SEALS: &str = "seals.jsonl";
const EXPIRING: &str = "expiring.jsonl";
const FILES: &str = "files.jsonl";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("a file of the backup or of the storage failed")]
    Storage(#[from] storage::Error),
    #[error("the event log failed")]
    Log(#[from] events::Error),
    #[error("the archive or the copy of the log failed")]
    Archive(#[from] archive::Error),
    #[error("the seals failed")]
    Audit(#[from] audit::Error),
    #[error("the keys of users' content failed")]
    Vault(#[from] vault::Error),
    #[error("the register of erasures failed")]
    Register(#[from] erasure::register::Error),
    #[error("users who were erased after the backup cannot be erased again")]
    Erasure(#[from] erasure::Error),
    #[error("the queues cannot be built")]
    Queues(#[from] consumers::RebuildError),
    #[error("a read model failed")]
    ReadModel(#[from] projections::Error),
    #[error("a read model cannot be cleared")]
    Clear(#[from] projections::rebuild::Error),
    #[error("a row of the backup cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    #[error("a temporary file cannot be made in {}", path.display())]
    Temporary { path: std::path::PathBuf, source: std::io::Error },
    #[error("there is no vault: a backup needs DATABASE_URL and REEL_MASTER_KEY")]
    NoVault,
    #[error("{place} holds a backup already; name an empty folder")]
    Exists { place: String },
    #[error("{place} holds what an interrupted backup has left; remove it, or name an empty folder")]
    Unfinished { place: String },
    #[error("{place} has no {MANIFEST}: it is no backup, or its backup was interrupted")]
    NoManifest { place: String },
    #[error("{object} of the backup is damaged: {reason}")]
    Damaged { object: String, reason: String },
    #[error(
        "the backup has format {found}, and this version of reel reads formats up to {FORMAT}; use the version that made it ({version}), or a newer one"
    )]
    Newer { found: u32, version: String },
    #[error("the backup is of a log with {backup} partitions, and streams.toml says {configured}")]
    Partitions { backup: u16, configured: u16 },
    #[error(
        "partition {partition} of the log has {head} events: a log that is not empty is never overwritten. Restore into an empty Redis or under another REEL_PREFIX; --resume goes on with a restore that was interrupted; --only keys or --only files restores what another store has lost"
    )]
    NotEmpty { partition: u16, head: u64 },
    #[error(
        "redis holds status views of partition {partition} up to event {checkpoint}, but no log: remove all keys that begin with `{prefix}:`, or restore under another REEL_PREFIX"
    )]
    OldViews { partition: u16, checkpoint: u64, prefix: String },
    #[error(
        "event {seq} of partition {partition} is another one in {there} than in the backup: it is not the same log"
    )]
    OtherLog { there: &'static str, partition: u16, seq: u64 },
    #[error(
        "the register of erasures that belongs to this backup is not in the archive's store, so that users who were erased after {taken_at} cannot be known. Set ARCHIVE_ROOT (or the bucket) to the archive of the system; if it is lost, --erasures-unknown restores anyway, and brings back the words of those users"
    )]
    NoRegister { taken_at: DateTime<Utc> },
    #[error(
        "{events} events that were sealed are neither in the backup nor in the archive, beginning with event {first} of partition {partition}; the last of them was sealed at {sealed_at}. If nothing else has them, --accept-loss restores without them, and sets their seals aside"
    )]
    SealedLoss { events: u64, partition: u16, first: u64, sealed_at: DateTime<Utc> },
    #[error(
        "{projection} has another owner of partition {partition}: a projector runs. Stop all roles before a restore"
    )]
    Owned { projection: &'static str, partition: u16 },
}

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    /// Version of the program.
    pub version: String,
    /// Time before the first cut.
    pub taken_at: DateTime<Utc>,
    pub partitions: Vec<Cut>,
    /// The layout of the log, if that is not as the number of partitions says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// Id of the register of erasures.
    pub register: Uuid,
    pub parts: Vec<PartFile>,
    pub files: FileCounts,
    pub key_id: String,
    /// Ed25519 over [`Manifest::statement`], in hex.
    pub signature: String,
}

/// The end of a backup in a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    pub partition: u16,
    /// Sequence number of the last event; 0 for an empty partition.
    pub seq: u64,
    /// The partition's chain up to there, in hex.
    pub chain: String,
}

/// A file of rows, one JSON value a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartFile {
    pub name: String,
    pub rows: u64,
    pub bytes: u64,
    /// BLAKE3 of the content, in hex.
    pub blake3: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileCounts {
    pub files: u64,
    pub bytes: u64,
    /// Whether the files are in the backup; else it has only their list.
    pub are_copied: bool,
}

impl Manifest {
    fn statement(&self) -> Result<String, serde_json::Error> {
        let unsigned = Self { signature: String::new(), ..self.clone() };
        Ok(format!("reelstream backup {}", serde_json::to_string(&unsigned)?))
    }

    fn sign(&mut self, key: &SigningKey) -> Result<(), serde_json::Error> {
        self.key_id = key.key_id();
        self.signature = key.sign(&self.statement()?);
        Ok(())
    }

    /// Reads a manifest, and checks its format and its signature.
    fn parse(bytes: &[u8], public_keys: &[String]) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
            #[serde(default)]
            version: String,
        }
        let damaged = |reason: String| Error::Damaged { object: MANIFEST.to_owned(), reason };
        let Format { format, version } =
            serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        if format > FORMAT {
            return Err(Error::Newer { found: format, version });
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        let statement = manifest.statement()?;
        match public_keys.iter().any(|key| is_signed(key, &statement, &manifest.signature)) {
            true => Ok(manifest),
            false => Err(damaged(
                "it is not signed with a known key (REEL_SIGNING_KEY, REEL_TRUSTED_KEYS)".to_owned(),
            )),
        }
    }

    fn part(&self, name: &str) -> Result<&PartFile, Error> {
        let missing =
            || Error::Damaged { object: MANIFEST.to_owned(), reason: format!("it does not list {name}") };
        self.parts.iter().find(|part| part.name == name).ok_or_else(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SigningKey {
        use base64::Engine;
        SigningKey::parse(&base64::engine::general_purpose::STANDARD.encode([byte; 32])).unwrap()
    }

    fn manifest() -> Manifest {
        let mut manifest = Manifest {
            format: FIRST_FORMAT,
            version: "1.0.0".into(),
            taken_at: DateTime::UNIX_EPOCH,
            partitions: vec![Cut { partition: 0, seq: 3, chain: "ab".into() }],
            layout: None,
            register: Uuid::nil(),
            parts: vec![],
            files: FileCounts::default(),
            key_id: String::new(),
            signature: String::new(),
        };
        manifest.sign(&key(1)).unwrap();
        manifest
    }

    #[test]
    fn a_manifest_that_was_changed_or_signed_by_another_is_refused() {
        let bytes = serde_json::to_vec(&manifest()).unwrap();
        assert_eq!(Manifest::parse(&bytes, &[key(1).public_key()]).unwrap(), manifest());
        assert!(matches!(Manifest::parse(&bytes, &[key(2).public_key()]), Err(Error::Damaged { .. })));
        let changed = String::from_utf8(bytes).unwrap().replace("\"seq\":3", "\"seq\":2");
        assert!(matches!(
            Manifest::parse(changed.as_bytes(), &[key(1).public_key()]),
            Err(Error::Damaged { .. })
        ));
        assert!(matches!(Manifest::parse(b"{}", &[]), Err(Error::Damaged { .. })));
    }

    #[test]
    fn a_backup_of_a_newer_version_is_refused_by_its_format_whatever_else_it_has() {
        let error =
            Manifest::parse(br#"{"format":3,"version":"9.1.0","new":true}"#, &[]).unwrap_err().to_string();
        assert!(error.contains("format 3") && error.contains("9.1.0"), "{error}");
    }
}
