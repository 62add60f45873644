//! Text: UTF-8 without control characters.

use std::fs::File;

use super::Refusal;
use super::detect::read_at;
use crate::events::ContentType;
use reel_scene::check::control_character;

const PIECE_BYTES: usize = 64 * 1024;

/// Plain text, or Markdown where the name says so: the two look alike.
pub fn check(file: &File, name: &str) -> Result<ContentType, Refusal> {
    let (mut buffer, mut offset) = (vec![0; PIECE_BYTES], 0);
    loop {
        let length = read_at(file, &mut buffer, offset)?;
        let piece = &buffer[..length];
        let is_last = length < buffer.len();
        let text = match std::str::from_utf8(piece) {
            Ok(text) => text,
            // A character may go on in the next piece.
            Err(error) if error.error_len().is_none() && !is_last => {
                std::str::from_utf8(&piece[..error.valid_up_to()]).unwrap_or_default()
            }
            Err(_) => return Err(Refusal::WrongType { found: "neither text in UTF-8 nor a known format" }),
        };
        if control_character(text.trim_start_matches('\u{feff}')).is_some() {
            return Err(Refusal::WrongType { found: "not text, because it holds control characters" });
        }
        if is_last {
            break;
        }
        offset += text.len() as u64;
    }
    let name = name.to_ascii_lowercase();
    let is_markdown = [".md", ".markdown", ".mdown"].into_iter().any(|ending| name.ends_with(ending));
    Ok(if is_markdown { ContentType::Markdown } else { ContentType::Text })
}
