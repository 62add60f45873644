//! Reads the files that a job's user has uploaded.

use super::error::StageError;
use crate::error_codes::ErrorCode;
use crate::events::upload::Upload;
use crate::storage::{self, Prefix, Storage};

/// Characters of all texts that are planned from, as many as a script may have.
pub const MAX_TEXT_CHARACTERS: usize = 200_000;

/// The texts among a job's uploads.
pub struct Texts {
    /// One after the other, a blank line between them; `None` when there is none.
    pub text: Option<String>,
    /// Set when there is more than [`MAX_TEXT_CHARACTERS`]: the rest is left out.
    pub is_cut: bool,
}

/// Reads the texts of a job's uploads, in their order.
pub async fn read_texts(storage: &Storage, user: &str, uploads: &[Upload]) -> Result<Texts, StageError> {
    let (mut texts, mut left, mut is_cut) = (vec![], MAX_TEXT_CHARACTERS, false);
    for upload in uploads.iter().filter(|upload| upload.content_type.is_text()) {
        // A character has at most 4 bytes.
        let max_bytes = left as u64 * 4;
        let bytes = read(storage, user, upload, max_bytes).await?;
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_start_matches('\u{feff}').trim();
        let taken: String = text.chars().take(left).collect();
        is_cut |= upload.bytes > max_bytes || taken.len() < text.len();
        left -= taken.chars().count();
        if !taken.is_empty() {
            texts.push(taken);
        }
    }
    Ok(Texts { text: (!texts.is_empty()).then(|| texts.join("\n\n")), is_cut })
}

/// The first bytes of an upload.
pub async fn read(
    storage: &Storage,
    user: &str,
    upload: &Upload,
    max_bytes: u64,
) -> Result<Vec<u8>, StageError> {
    let key = Prefix::of_uploads(user).key(&upload.object.to_string()).map_err(not_read)?;
    let bytes = storage.get_range(&key, 0..max_bytes).await.map_err(not_read)?;
    bytes.ok_or_else(|| {
        let message = format!("the upload {} was deleted before it was needed", upload.upload_id);
        StageError::terminal(ErrorCode::UploadGone, message)
            .suggest("upload the file again, and generate the video with its new id")
    })
}

fn not_read(error: storage::Error) -> StageError {
    StageError::retryable(ErrorCode::StorageFailed, "an uploaded file cannot be read").because(error)
}
