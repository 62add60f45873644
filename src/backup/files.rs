//! The stored files that the log needs: those of finished videos, and uploads.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use tempfile::TempPath;

use super::{Error, Place};
use crate::domain::Aggregate;
use crate::domain::job::{Job, Status};
use crate::domain::uploads::Uploads;
use crate::events::{AggregateKind, Envelope, EventLog, upcast};
use crate::execute::decode;
use crate::ids::{AggregateId, UserId};
use crate::storage::{Content, Key, Mode, Prefix, Storage};

/// Events read at a time.
const BATCH: usize = 1000;

/// A stored file that an aggregate needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedFile {
    pub key: String,
    pub bytes: u64,
    /// In hex. `None` for an upload that is not copied: whoever has the same file could tell from it who else has it.
    pub blake3: Option<String>,
    pub owner: UserId,
    /// The job, or the uploads of a user.
    pub aggregate_id: AggregateId,
}

/// A stored file that is not as the log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub key: String,
    pub what: &'static str,
}

/// The files that a log needs.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub files: Vec<ListedFile>,
    /// Aggregates whose events this version cannot read, so that their files are unknown.
    pub unreadable: Vec<AggregateId>,
}

impl Listing {
    /// Lists the files that the events of a partition up to `until` need.
    pub async fn add_partition(&mut self, log: &EventLog, partition: u16, until: u64) -> Result<(), Error> {
        let mut versions: BTreeMap<AggregateId, (AggregateKind, u64)> = BTreeMap::new();
        let mut after = 0;
        while after < until {
            let count = BATCH.min((until - after) as usize);
            let events = log.read(partition, after, count).await?;
            let Some((last, _)) = events.last() else { break };
            after = *last;
            for (_, event) in events {
                if matches!(event.aggregate, AggregateKind::Job | AggregateKind::Uploads) {
                    versions.insert(event.aggregate_id, (event.aggregate, event.version));
                }
            }
        }
        for (id, (kind, version)) in versions {
            match files_of(&log.history_page(id, 0, version).await?, kind) {
                Ok(files) => self.files.extend(files),
                Err(_unreadable) => self.unreadable.push(id),
            }
        }
        Ok(())
    }
}

/// Tells whether an aggregate still needs a file.
pub(super) async fn is_needed(log: &EventLog, file: &ListedFile) -> Result<bool, Error> {
    let events = log.history(file.aggregate_id, 0).await?;
    let Some(kind) = events.first().map(|event| event.aggregate) else { return Ok(false) };
    Ok(match files_of(&events, kind) {
        Ok(files) => files.iter().any(|needed| needed.key == file.key),
        Err(_unreadable) => true,
    })
}

/// Folds an aggregate, and lists the files that it needs.
fn files_of(events: &[Envelope], kind: AggregateKind) -> Result<Vec<ListedFile>, upcast::Error> {
    let Some(id) = events.first().map(|event| event.aggregate_id) else { return Ok(vec![]) };
    match kind {
        AggregateKind::Job => fold::<Job>(events).map(|job| files_of_job(id, &job)),
        AggregateKind::Uploads => fold::<Uploads>(events).map(|uploads| files_of_uploads(id, &uploads)),
        _ => Ok(vec![]),
    }
}

/// No file is named in encrypted content.
fn fold<A: Aggregate>(events: &[Envelope]) -> Result<A, upcast::Error> {
    events.iter().try_fold(A::default(), |state, event| Ok(state.evolve(&decode(event)?)))
}

fn files_of_job(id: AggregateId, job: &Job) -> Vec<ListedFile> {
    let are_gone = job.is_deleted || job.is_erased || job.is_expired || job.are_files_removed;
    if job.status != Status::Completed || are_gone {
        return vec![];
    }
    let listed = job.stored.iter().map(|file| ListedFile {
        key: file.key.clone(),
        bytes: file.bytes,
        blake3: Some(file.blake3.clone()),
        owner: UserId::of_name(&job.user_id),
        aggregate_id: id,
    });
    listed.collect()
}

fn files_of_uploads(id: AggregateId, uploads: &Uploads) -> Vec<ListedFile> {
    let (prefix, owner) = (Prefix::of_uploads(uploads.user_id()), UserId::of_name(uploads.user_id()));
    let mut seen = BTreeSet::new();
    let stored = uploads.all().map(|kept| &kept.upload).filter(|upload| seen.insert(upload.object));
    let listed = stored.map(|upload| ListedFile {
        key: format!("{}/{}", prefix.as_str(), upload.object),
        bytes: upload.bytes,
        blake3: None,
        owner,
        aggregate_id: id,
    });
    listed.collect()
}

/// Compares a stored file with the log; `None` when it is as it should be.
pub(super) async fn fault(storage: &Storage, file: &ListedFile) -> Result<Option<&'static str>, Error> {
    let key = Key::parse(file.key.as_str())?;
    let Some(head) = storage.head(&key).await? else { return Ok(Some("missing")) };
    if head.bytes != file.bytes {
        return Ok(Some("damaged"));
    }
    let Some(expected) = &file.blake3 else { return Ok(None) };
    Ok((storage.content_hash(&key).await?.as_ref() != Some(expected)).then_some("damaged"))
}

/// Copies a stored file into a backup, and notes its checksum. Returns the fault of one that is not as the log says; such a file is not
/// copied.
pub(super) async fn copy_in(
    storage: &Storage,
    place: &Place,
    file: &mut ListedFile,
    temporary: &Path,
) -> Result<Option<&'static str>, Error> {
    if let Some(fault) = fault(storage, file).await? {
        return Ok(Some(fault));
    }
    let copy = temporary_file(temporary)?;
    if !storage.copy_to(&Key::parse(file.key.as_str())?, &copy).await? {
        return Ok(Some("missing"));
    }
    let content = Content::File(copy.to_path_buf());
    let stored = place.storage.put(&Place::file(&file.key)?, content, Mode::Create).await?;
    let is_same =
        stored.bytes == file.bytes && file.blake3.as_ref().is_none_or(|hash| *hash == stored.blake3);
    file.blake3 = Some(stored.blake3);
    Ok((!is_same).then_some("damaged"))
}

/// Copies a file of a backup to where it was stored. `false` when the backup has another file than its list says, or none.
pub(super) async fn copy_back(
    place: &Place,
    storage: &Storage,
    file: &ListedFile,
    temporary: &Path,
) -> Result<bool, Error> {
    let copy = temporary_file(temporary)?;
    let source = Place::file(&file.key)?;
    let is_same = place.storage.content_hash(&source).await? == file.blake3;
    if !is_same || !place.storage.copy_to(&source, &copy).await? {
        return Ok(false);
    }
    storage.put(&Key::parse(file.key.as_str())?, Content::File(copy.to_path_buf()), Mode::Replace).await?;
    Ok(true)
}

fn temporary_file(folder: &Path) -> Result<TempPath, Error> {
    let failed = |source| Error::Temporary { path: folder.to_owned(), source };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let file = tempfile::Builder::new().prefix("backup-").tempfile_in(folder).map_err(failed)?;
    Ok(file.into_temp_path())
}
