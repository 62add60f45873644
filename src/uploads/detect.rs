//! Detects the type of a file by its first bytes.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::Refusal;
use crate::events::ContentType;

/// Bytes that are looked at.
const HEAD_BYTES: usize = 4096;

/// The type that a file seems to have; its content is checked afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guess {
    Picture(ContentType),
    Other(ContentType),
    Svg,
    Text,
}

/// Formats that are told apart only to say what was found. None of them is text, though some begin like a word.
const FOREIGN: &[(&[u8], &str)] = &[
    (b"\x7fELF", "a program (ELF)"),
    (b"MZ", "a program (PE)"),
    (b"\xfe\xed\xfa\xce", "a program (Mach-O)"),
    (b"\xfe\xed\xfa\xcf", "a program (Mach-O)"),
    (b"\xce\xfa\xed\xfe", "a program (Mach-O)"),
    (b"\xcf\xfa\xed\xfe", "a program (Mach-O)"),
    (b"\xca\xfe\xba\xbe", "a program (Mach-O or Java)"),
    (b"PK\x03\x04", "a ZIP archive or a document in one"),
    (b"PK\x05\x06", "a ZIP archive"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"BZh", "compressed with bzip2"),
    (b"\xfd7zXZ\x00", "compressed with xz"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document"),
    (b"BM", "a BMP picture"),
    (b"II*\x00", "a TIFF picture"),
    (b"MM\x00*", "a TIFF picture"),
    (b"OggS", "Ogg"),
    (b"fLaC", "FLAC"),
    (b"\x1a\x45\xdf\xa3", "Matroska or WebM"),
    (b"\xff\xfe", "text in UTF-16, which must be UTF-8"),
    (b"\xfe\xff", "text in UTF-16, which must be UTF-8"),
];

/// Major brands of MP4 files (ISO/IEC 14496-12, 14496-14); others are of HEIC and AVIF pictures, QuickTime and audio books.
const MP4_BRANDS: &[&[u8]] = &[
    b"isom", b"iso2", b"iso3", b"iso4", b"iso5", b"iso6", b"iso7", b"iso8", b"iso9", b"mp41", b"mp42",
    b"avc1", b"M4V ", b"M4VH", b"M4VP", b"dash", b"mmp4", b"MSNV", b"f4v ",
];

pub fn guess(file: &File) -> Result<Guess, Refusal> {
    let mut head = vec![0; HEAD_BYTES];
    let length = read_at(file, &mut head, 0)?;
    of_head(&head[..length])
}

/// Fills the buffer from an offset on, as far as the file goes.
pub fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read_at(&mut buffer[length..], offset + length as u64)? {
            0 => break,
            more => length += more,
        }
    }
    Ok(length)
}

fn of_head(head: &[u8]) -> Result<Guess, Refusal> {
    use ContentType::{Gif, Jpeg, Mp3, Mp4, Pdf, Png, Wav, WebP};
    let riff = |form: &[u8]| head.starts_with(b"RIFF") && head.get(8..12) == Some(form);
    if head.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Ok(Guess::Picture(Png));
    }
    if head.starts_with(b"\xff\xd8\xff") {
        return Ok(Guess::Picture(Jpeg));
    }
    if head.starts_with(b"GIF87a") || head.starts_with(b"GIF89a") {
        return Ok(Guess::Picture(Gif));
    }
    if riff(b"WEBP") {
        return Ok(Guess::Picture(WebP));
    }
    if head.starts_with(b"%PDF-") {
        return Ok(Guess::Other(Pdf));
    }
    if riff(b"WAVE") {
        return Ok(Guess::Other(Wav));
    }
    if let Some(found) = iso_media(head) {
        return found.map(|()| Guess::Other(Mp4));
    }
    let foreign = FOREIGN.iter().filter(|_| !is_text(head)).find(|(magic, _)| head.starts_with(magic));
    if let Some((_, found)) = foreign {
        return Err(Refusal::WrongType { found });
    }
    if head.starts_with(b"ID3") || is_mp3(head) {
        return Ok(Guess::Other(Mp3));
    }
    of_text(head)
}

/// A file of ISO base media, and whether it is an MP4.
fn iso_media(head: &[u8]) -> Option<Result<(), Refusal>> {
    if head.get(4..8) != Some(b"ftyp".as_slice()) {
        return None;
    }
    let brand = head.get(8..12).unwrap_or_default();
    let found = match brand {
        b"heic" | b"heix" | b"mif1" | b"msf1" => "a HEIC picture",
        b"avif" | b"avis" => "an AVIF picture",
        b"qt  " => "a QuickTime movie",
        b"M4A " | b"M4B " => "MPEG-4 audio",
        _ => "a kind of MP4 that is not known",
    };
    Some(if MP4_BRANDS.contains(&brand) { Ok(()) } else { Err(Refusal::WrongType { found }) })
}

/// Bits per second of MPEG layer III, in thousands, by the index in a frame's header: MPEG 1, then MPEG 2 and 2.5.
const KILOBITS: [[u32; 15]; 2] = [
    [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];

/// Tells whether a frame of MPEG layer III begins here, and another one where it ends.
fn is_mp3(head: &[u8]) -> bool {
    let Some(length) = mp3_frame_bytes(head) else { return false };
    head.get(length..).is_some_and(|rest| rest.is_empty() || mp3_frame_bytes(rest).is_some())
}

/// The length of the frame whose header (ISO/IEC 11172-3, 2.4.1.3) is here.
fn mp3_frame_bytes(bytes: &[u8]) -> Option<usize> {
    let [a, b, c, _] = *bytes.first_chunk::<4>()?;
    let (version, layer, rate) = ((b >> 3) & 3, (b >> 1) & 3, (c >> 2) & 3);
    if a != 0xff || b & 0xe0 != 0xe0 || version == 1 || layer != 1 || rate == 3 {
        return None;
    }
    let is_first_version = version == 3;
    let kilobits = *KILOBITS[usize::from(!is_first_version)].get(usize::from(c >> 4))?;
    let hertz = [44_100, 48_000, 32_000][usize::from(rate)] >> [2, 0, 1, 0][usize::from(version)];
    let samples = if is_first_version { 144 } else { 72 };
    let padding = u32::from((c >> 1) & 1);
    (kilobits > 0).then(|| (samples * kilobits * 1000 / hertz + padding) as usize)
}

/// Tells whether there are no bytes that text never has.
fn is_text(head: &[u8]) -> bool {
    head.iter().all(|byte| !matches!(byte, 0..=8 | 11 | 12 | 14..=31 | 0xfe | 0xff))
}

/// Text is told from SVG, and from what a browser would run.
fn of_text(head: &[u8]) -> Result<Guess, Refusal> {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let begins =
        |with: &str| head.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()));
    if ["<!doctype html", "<html", "<head", "<body", "<script", "<iframe"].into_iter().any(begins) {
        return Err(Refusal::WrongType { found: "HTML" });
    }
    if begins("#!/") || begins("#! /") || begins("<?php") {
        return Err(Refusal::WrongType { found: "a program (a script)" });
    }
    if begins("<?xml") || begins("<svg") || begins("<!doctype") || begins("<!entity") {
        return Ok(Guess::Svg);
    }
    // A comment may come before the root, and before anything else, too.
    let holds_svg = head.windows(5).any(|window| window.eq_ignore_ascii_case(b"<svg "));
    if begins("<!--") && holds_svg { Ok(Guess::Svg) } else { Ok(Guess::Text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(head: &[u8]) -> String {
        match of_head(head) {
            Ok(guess) => format!("{guess:?}"),
            Err(refusal) => refusal.to_string(),
        }
    }

    #[test]
    fn files_are_told_apart_by_how_they_begin() {
        let mp4 = |brand: &[u8; 4]| [b"\0\0\0\x20ftyp".as_slice(), brand, b"\0\0\0\0"].concat();
        assert_eq!(found(&mp4(b"isom")), "Other(Mp4)");
        assert!(found(&mp4(b"heic")).starts_with("is a HEIC picture"));
        assert!(found(&mp4(b"qt  ")).starts_with("is a QuickTime movie"));
        assert_eq!(found(b"RIFF\0\0\0\0WAVEfmt "), "Other(Wav)");
        assert_eq!(found(b"RIFF\0\0\0\0WEBPVP8 "), "Picture(WebP)");
        assert_eq!(found(b"ID3\x04"), "Other(Mp3)");
        assert_eq!(found(b"%PDF-1.7"), "Other(Pdf)");
        for words in ["Just words.", "BMW builds cars.", "MZ stands for a name.", "Rar! is a call.", "# One"]
        {
            assert_eq!(found(words.as_bytes()), "Text");
        }
        assert_eq!(found(b"\xef\xbb\xbf  <?xml version='1.0'?><svg/>"), "Svg");
        assert_eq!(found(b"<!-- drawn by hand --><svg xmlns='x'/>"), "Svg");
        assert_eq!(found(b"<!-- a comment of Markdown --> words"), "Text");
        assert!(found(b" <!DOCTYPE html><p>").starts_with("is HTML"));
        assert!(found(b"MZ\x90\0").starts_with("is a program (PE)"));
        assert!(found(b"#!/bin/sh\nrm -rf /").starts_with("is a program (a script)"));
    }

    #[test]
    fn two_frames_make_an_mp3() {
        // 128 kbit/s at 44.1 kHz: 417 bytes a frame.
        let frame = [b"\xff\xfb\x90\x00".as_slice(), &[0; 413]].concat();
        assert_eq!(mp3_frame_bytes(&frame), Some(417));
        assert_eq!(found(&[frame.clone(), frame.clone()].concat()), "Other(Mp3)");
        assert_ne!(found(&[frame, vec![0; 100]].concat()), "Other(Mp3)");
    }
}
