//! Reads the files that a job's user has uploaded. PDFs are read in a confined process.

use super::error::StageError;
use crate::error_codes::ErrorCode;
use crate::events::ContentType;
use crate::events::upload::Upload;
use crate::ids::UploadId;
use crate::storage::{self, Prefix, Storage};
use reel_pdf::{MAX_PDF_BYTES, Pdf};

/// Characters of all texts that are planned from, as many as a script may have.
pub const MAX_TEXT_CHARACTERS: usize = 200_000;

/// The texts among a job's uploads.
pub struct Texts {
    /// One after the other, a blank line between them; `None` when there is none.
    pub text: Option<String>,
    /// Set when there is more than [`MAX_TEXT_CHARACTERS`]: the rest is left out.
    pub is_cut: bool,
    /// The uploads whose text cannot be read, each with the reason.
    pub unread: Vec<(UploadId, String)>,
}

/// Reads the texts of a job's uploads, in their order.
pub async fn read_texts(storage: &Storage, user: &str, uploads: &[Upload]) -> Result<Texts, StageError> {
    let (mut texts, mut left, mut is_cut, mut unread) = (vec![], MAX_TEXT_CHARACTERS, false, vec![]);
    for upload in uploads.iter().filter(|upload| upload.content_type.is_text()) {
        // A character has at most 4 bytes.
        let max_bytes = left as u64 * 4;
        let read = if upload.content_type == ContentType::Pdf {
            read_pdf(storage, user, upload, max_bytes as usize).await?
        } else {
            let bytes = read(storage, user, upload, max_bytes).await?;
            Ok((String::from_utf8_lossy(&bytes).into_owned(), upload.bytes > max_bytes))
        };
        let (text, has_more) = match read {
            Ok(read) => read,
            Err(reason) => {
                unread.push((upload.upload_id, reason));
                continue;
            }
        };
        let text = text.trim_start_matches('\u{feff}').trim();
        let taken: String = text.chars().take(left).collect();
        is_cut |= has_more || taken.len() < text.len();
        left -= taken.chars().count();
        if !taken.is_empty() {
            texts.push(taken);
        }
    }
    Ok(Texts { text: (!texts.is_empty()).then(|| texts.join("\n\n")), is_cut, unread })
}

/// Returns a PDF's text, and whether there is more of it; or the reason why it has none.
async fn read_pdf(
    storage: &Storage,
    user: &str,
    upload: &Upload,
    max_bytes: usize,
) -> Result<Result<(String, bool), String>, StageError> {
    // One byte more shows that it is too large.
    let bytes = read(storage, user, upload, upload.bytes.min(MAX_PDF_BYTES + 1)).await?;
    match reel_pdf::read_text(Pdf::Bytes(&bytes), max_bytes).await {
        Ok(read) if read.text.is_empty() => Ok(Err("its pages hold no text".to_owned())),
        Ok(read) => Ok(Ok((read.text, read.is_cut))),
        Err(error) if error.is_fault_of_file() => Ok(Err(error.to_string())),
        Err(error) => {
            let message = "an uploaded PDF cannot be read in a confined process";
            Err(StageError::retryable(ErrorCode::UploadUnreadable, message).because(error))
        }
    }
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
