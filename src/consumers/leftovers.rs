//! Removes stored files that a job no longer needs when it ends. A job without a video keeps its stream as far as it went,
//! for those who are watching it. A job with a video loses the parts of the stream that the video has inside.

use std::collections::BTreeSet;

use crate::domain::job::Job;
use crate::ids::JobId;
use crate::storage::{Error, Prefix, Stores};

/// Removes the stored files of a job that failed or was cancelled, but for those of its stream. `src/retention.rs` removes
/// these later.
pub async fn remove_all_but_stream(stores: &Stores, job_id: JobId, job: &Job) -> Result<(), Error> {
    let Some(stream) = job.stream() else { return stores.delete_job(&job.user_id, job_id).await };
    let kept: BTreeSet<&str> = stream.files().map(|file| file.key.as_str()).collect();
    for entry in stores.files.list(&Prefix::of_job(&job.user_id, job_id)).await? {
        if !kept.contains(entry.key.as_str()) {
            stores.files.delete(&entry.key).await?;
        }
    }
    Ok(())
}

/// Removes the files of the stream that the video of a completed job has inside.
pub async fn remove_parts_in_video(stores: &Stores, job_id: JobId, job: &Job) -> Result<(), Error> {
    let folder = Prefix::of_job(&job.user_id, job_id);
    for part in job.stored.iter().flat_map(|file| &file.stream) {
        stores.files.delete(&folder.key(&part.name)?).await?;
    }
    Ok(())
}
