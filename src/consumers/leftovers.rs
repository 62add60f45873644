//! What stays of a job that ended without a video: its stream as far as it went, for those who are watching it.

use std::collections::BTreeSet;

use crate::domain::job::Job;
use crate::ids::JobId;
use crate::storage::{Error, Prefix, Storage};

/// Removes the stored files of a job that failed or was cancelled, but for those of its stream. `src/retention.rs` removes
/// these later.
pub async fn remove_all_but_stream(storage: &Storage, job_id: JobId, job: &Job) -> Result<(), Error> {
    let folder = Prefix::of_video(job_id);
    let Some(stream) = job.stream() else { return storage.delete_prefix(&folder).await };
    let kept: BTreeSet<&str> = stream.files().map(|file| file.key.as_str()).collect();
    for entry in storage.list(&folder).await? {
        if !kept.contains(entry.key.as_str()) {
            storage.delete(&entry.key).await?;
        }
    }
    Ok(())
}
