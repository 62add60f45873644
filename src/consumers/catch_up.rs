//! Uploads what S3 did not take when a job was completed, as soon as it does.
//!
//! Only the machine that fell back has the files. It notes the job in `MEDIA_ROOT/catch-up/` before it says so in an event,
//! and looks there again and again.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::runner::Worker;
use crate::domain::job::{Command, Job, Rejection};
use crate::events::Actor;
use crate::events::job::StorageTarget;
use crate::execute::{Error, Origin};
use crate::ids::JobId;
use crate::storage::{self, Content, Key, Mode, Storage, StorageMode};

const LOOK_EVERY: Duration = Duration::from_secs(15);
const FOLDER: &str = "catch-up";

/// Notes that a job's files are on this machine's disk alone. Survives a power cut.
pub(super) fn remember(media_root: &Path, job_id: JobId) -> io::Result<()> {
    let folder = media_root.join(FOLDER);
    std::fs::create_dir_all(&folder)?;
    std::fs::File::create(folder.join(job_id.to_string()))?.sync_all()?;
    std::fs::File::open(&folder)?.sync_all()
}

/// Looks for files to upload until `stop`.
pub(super) async fn watch(worker: Worker, stop: CancellationToken) {
    if worker.stores.mode != StorageMode::LocalAndS3 {
        return;
    }
    loop {
        for job_id in remembered(worker.workspaces.media_root()) {
            if stop.is_cancelled() {
                return;
            }
            if let Err(error) = catch_up(&worker, job_id).await {
                tracing::warn!(%job_id, "the files of a job are not in S3 yet: {error:#}");
                if error.downcast_ref().is_some_and(storage::Error::is_remote) {
                    break;
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

fn remembered(media_root: &Path) -> Vec<JobId> {
    let Ok(folder) = std::fs::read_dir(media_root.join(FOLDER)) else { return vec![] };
    folder.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// Uploads the files of a job, and notes it. What is not needed any more is forgotten.
async fn catch_up(worker: &Worker, job_id: JobId) -> anyhow::Result<()> {
    let loaded = worker.executor.load(job_id).await?;
    let job = &loaded.state;
    if !job.has_ended() {
        return Ok(());
    }
    if job.has_fallen_back && !job.is_deleted {
        let bytes = upload(worker, job).await?;
        let command = Command::NoteStorageCaughtUp { target: StorageTarget::LocalAndS3, bytes };
        match worker.executor.execute(job_id, command, &Origin::new(Actor::System), None).await {
            Ok(_) => tracing::info!(%job_id, bytes, "the files of a job are in S3 now"),
            // Another process of this machine did the same.
            Err(Error::Rejected(Rejection::NothingToCatchUp | Rejection::Deleted)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let marker = worker.workspaces.media_root().join(FOLDER).join(job_id.to_string());
    match std::fs::remove_file(marker) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Uploads the files that S3 lacks, and returns their bytes.
async fn upload(worker: &Worker, job: &Job) -> Result<u64, storage::Error> {
    let Some(s3) = worker.stores.s3.clone().map(Storage::new) else { return Ok(0) };
    let mut bytes = 0;
    for file in &job.stored {
        let key = Key::parse(file.key.as_str())?;
        if s3.head(&key).await?.is_some_and(|head| head.bytes == file.bytes) {
            continue;
        }
        let copy =
            Copied(worker.workspaces.media_root().join(FOLDER).join(format!("{}.part", Uuid::new_v4())));
        if worker.stores.local.copy_to(&key, &copy.0).await? {
            s3.put(&key, Content::File(copy.0.clone()), Mode::Replace).await?;
            bytes += file.bytes;
        }
    }
    Ok(bytes)
}

/// A file that goes when it is dropped.
struct Copied(PathBuf);

impl Drop for Copied {
    fn drop(&mut self) {
        let _never_written = std::fs::remove_file(&self.0);
    }
}
