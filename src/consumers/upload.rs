//! Stores the files of a job, and records each attempt that fails.

use std::time::Duration;

use async_trait::async_trait;

use super::error::StageError;
use super::task::Task;
use crate::crash;
use crate::domain::job::UploadNote;
use crate::error_codes::ErrorCode;
use crate::storage::{self, Content, Key, Mode, OnBytes, OnFailure, Storage, Stored};

/// Stores a file. Where S3 fails, tries again three times, at growing intervals (000-5.4, 001-4.7).
pub(super) async fn store(
    task: &Task,
    storage: &Storage,
    key: &Key,
    content: Content,
    on_bytes: OnBytes<'_>,
) -> Result<Stored, storage::Error> {
    crash::point("upload.before");
    // A reprocessed job replaces its files.
    let stored = storage.put_reporting(key, content, Mode::Replace, on_bytes, &Noted { task, key }).await;
    crash::point("upload.after");
    stored
}

/// Records failures.
struct Noted<'a> {
    task: &'a Task,
    key: &'a Key,
}

#[async_trait]
impl OnFailure for Noted<'_> {
    async fn failed(&self, attempt: u32, error: storage::Error, delay: Duration) {
        let error = cannot_upload(error).to_failure();
        let (key, delay_ms) = (self.key.to_string(), delay.as_millis() as u64);
        self.task.journal.note(UploadNote::Retried { key, attempt, error, delay_ms }).await;
    }
}

/// The error of a job whose files are not stored. S3 was tried often enough.
pub(super) fn cannot_store(error: storage::Error) -> StageError {
    if error.is_remote() {
        return cannot_upload(error);
    }
    StageError::failed(ErrorCode::StorageFailed, format!("the video cannot be stored: {error}"), error)
        .suggest("check that the workers may write to MEDIA_ROOT")
}

fn cannot_upload(error: storage::Error) -> StageError {
    let code = ErrorCode::UploadFailed;
    StageError::terminal(code, format!("the video cannot be uploaded: {error}"))
        .suggest("check S3 and its settings, then reprocess the job: what was made is kept for a day")
        .because(error)
}
