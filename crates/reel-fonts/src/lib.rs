//! The fonts that come with Typst: Libertinus Serif, New Computer Modern, its mathematics, and DejaVu Sans Mono.
//!
//! They are kept compressed, because they would be a sixth of the program otherwise.

use std::io::Read;

/// All fonts in one frame, so that each is compressed with what the ones before have in common with it.
const COMPRESSED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/fonts.zst"));
/// Bytes of each font.
const SIZES: &[usize] = include!(concat!(env!("OUT_DIR"), "/sizes.rs"));

/// Decompresses all fonts, in Typst's order. Takes some 15 ms, and 10 MB for as long as the fonts are kept.
pub fn decompress() -> Vec<Vec<u8>> {
    let mut fonts = zstd::Decoder::with_buffer(COMPRESSED).expect("a decoder needs nothing but memory");
    SIZES
        .iter()
        .map(|size| {
            let mut font = vec![0; *size];
            fonts.read_exact(&mut font).expect("the fonts, which the build brought, are whole");
            font
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_font_is_whole() {
        let fonts = decompress();
        assert_eq!(fonts.len(), SIZES.len());
        assert!(fonts.len() >= 14, "{} fonts", fonts.len());
        for font in &fonts {
            let is_opentype = font.starts_with(b"OTTO") || font.starts_with(&[0, 1, 0, 0]);
            assert!(is_opentype, "{:?} begins no font", &font[..4]);
        }
        let size: usize = SIZES.iter().sum();
        assert!(COMPRESSED.len() * 2 < size, "{} bytes of {size}", COMPRESSED.len());
    }
}
