//! Checks an uploaded file before it is kept: its type, that it can be read within bounds, that it does no harm.
//!
//! Invariants:
//! - The type is found by the content. A name only tells Markdown from other text.
//! - A file is read in pieces of bounded size. Whole in memory are only SVGs, which are small, and one picture for each
//!   check that runs, whose pixels are counted in its header first.
//! - A configured scanner that does not answer lets nothing through.
//! - A PDF is parsed in a confined process only. Where none can be had, no PDF is kept.
//!
//! Deliberately absent: names and paths of users (a file is checked as an open file).

mod clamav;
mod detect;
mod malware;
mod pdf;
mod picture;
mod svg;
mod text;

pub use clamav::{Address as ClamavAddress, Clamav};
pub use pdf::check as check_pdf;

use std::fs::File;
use std::io;

use crate::events::ContentType;

/// Pixels that a picture may have.
pub const MAX_PIXELS: u64 = 40_000_000;
/// Bytes that an SVG may have.
pub const MAX_SVG_BYTES: u64 = 4 * 1024 * 1024;

/// The reason for not keeping a file.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("is empty")]
    Empty,
    /// `found` says what it looks like.
    #[error("is {found}; allowed are PNG, JPEG, WebP, SVG, GIF, PDF, plain text, Markdown, WAV, MP3 and MP4")]
    WrongType { found: &'static str },
    #[error("is {what}, and was not kept")]
    Malicious { what: String },
    #[error("is {found}, and may be {max} at most")]
    TooLarge { found: String, max: String },
    #[error("cannot be read as {kind}: {reason}")]
    Damaged { kind: &'static str, reason: String },
    #[error("cannot be scanned for malicious content")]
    Unscanned(#[source] clamav::Error),
    #[error("cannot be read safely")]
    Unconfined(#[source] reel_pdf::Error),
    #[error("cannot be read back from the disk")]
    File(#[from] io::Error),
}

/// The findings about a file that may be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    pub content_type: ContentType,
    /// Pixels, of a picture.
    pub dimensions: Option<(u32, u32)>,
    /// To be kept in place of what was sent, without what could do harm.
    pub sanitized: Option<Vec<u8>>,
}

/// Looks at a whole file, except for what a scanner would find and what [`check_pdf`] reads. Blocks. `name` is the user's.
pub fn check(file: &File, name: &str) -> Result<Checked, Refusal> {
    let bytes = file.metadata()?.len();
    if bytes == 0 {
        return Err(Refusal::Empty);
    }
    let guess = detect::guess(file)?;
    malware::scan(file)?;
    let plain = |content_type| Checked { content_type, dimensions: None, sanitized: None };
    match guess {
        detect::Guess::Text => Ok(plain(text::check(file, name)?)),
        detect::Guess::Svg => svg::check(file, bytes),
        detect::Guess::Picture(content_type) => {
            let dimensions = Some(picture::check(file, content_type)?);
            Ok(Checked { dimensions, ..plain(content_type) })
        }
        detect::Guess::Other(content_type) => Ok(plain(content_type)),
    }
}
