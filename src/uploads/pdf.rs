//! PDFs: read once in a confined process before they are kept, so that none is kept that a job could not read within bounds.

use std::fs::File;

use reel_pdf::{Error, MAX_PDF_BYTES, Pdf};

use super::Refusal;

/// Bytes of text that are read; planning reads no more, either.
const MAX_TEXT_BYTES: usize = 800_000;

/// Refuses a PDF that takes too much time or memory, and any where no process can be confined. One without pages or with a
/// password is kept: it has no text, and does no harm.
pub async fn check(file: File) -> Result<(), Refusal> {
    match reel_pdf::read_text(Pdf::File(file), MAX_TEXT_BYTES).await {
        Ok(_) | Err(Error::NoPages | Error::Encrypted) => Ok(()),
        Err(Error::TooLarge) => Err(Refusal::TooLarge {
            found: "a PDF of more bytes than are read".to_owned(),
            max: format!("{MAX_PDF_BYTES} bytes"),
        }),
        Err(error) if error.is_fault_of_file() => {
            Err(Refusal::Damaged { kind: "PDF", reason: error.to_string() })
        }
        Err(error) => Err(Refusal::Unconfined(error)),
    }
}
