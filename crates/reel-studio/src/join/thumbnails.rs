//! Extracts thumbnails of a finished video, as JPEG.

use std::path::{Path, PathBuf};

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::software::scaling;
use ffmpeg_next::{frame, media};
use image::codecs::jpeg::JpegEncoder;

use crate::ffmpeg::{part_file, read_packet, start};

const JPEG_QUALITY: u8 = 85;
/// Positions of the candidate frames, as shares of the duration.
const CANDIDATE_POSITIONS: [f64; 6] = [0.2, 0.35, 0.45, 0.55, 0.65, 0.8];
/// Size at which candidates are compared.
const PREVIEW_SIZE: (u32, u32) = (320, 180);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot decode a frame of the video")]
    Decode(#[source] ffmpeg::Error),
    #[error("the video has no picture to show")]
    NoPicture,
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: image::ImageError },
    #[error("cannot write {}", path.display())]
    File { path: PathBuf, source: std::io::Error },
}

/// A written thumbnail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Pixels.
    pub width: u32,
    pub height: u32,
    pub bytes: u64,
}

/// Writes a JPEG of the video's shape, whose longer side has the given pixels, to the path at the same index. All show the
/// same frame: the candidate with the most detail.
pub fn extract(video: &Path, longer_sides: &[u32], out: &[PathBuf]) -> Result<Vec<Written>, Error> {
    start();
    let mut best: Option<(usize, frame::Video)> = None;
    for position in CANDIDATE_POSITIONS {
        let Some(decoded) = decode_key_frame(video, position).map_err(Error::Decode)? else { continue };
        let preview = encode_jpeg(&decoded, PREVIEW_SIZE, Path::new("a preview"))?;
        // More detail takes more bytes.
        if best.as_ref().is_none_or(|(bytes, _)| preview.len() > *bytes) {
            best = Some((preview.len(), decoded));
        }
    }
    let (_, best) = best.ok_or(Error::NoPicture)?;
    let of_video = (best.width(), best.height());
    let made = longer_sides.iter().zip(out).map(|(longer_side, path)| {
        let (width, height) = fitted(of_video, *longer_side);
        let bytes = write(&encode_jpeg(&best, (width, height), path)?, path)?;
        Ok(Written { width, height, bytes })
    });
    made.collect()
}

/// The size of a picture of the same shape, whose longer side has the given pixels.
fn fitted((width, height): (u32, u32), longer_side: u32) -> (u32, u32) {
    let longest = width.max(height).max(1);
    let scaled = |side: u32| {
        let exact = (u64::from(side) * u64::from(longer_side) + u64::from(longest) / 2) / u64::from(longest);
        (exact as u32).max(1)
    };
    (scaled(width), scaled(height))
}

/// Decodes the key frame at or before a position; `None` when there is none.
fn decode_key_frame(video: &Path, position: f64) -> Result<Option<frame::Video>, ffmpeg::Error> {
    let mut input = ffmpeg::format::input(video)?;
    let target = (input.duration() as f64 * position) as i64;
    input.seek(target, ..target)?;
    let stream = input.streams().best(media::Type::Video).ok_or(ffmpeg::Error::StreamNotFound)?;
    let index = stream.index();
    let mut decoder = ffmpeg::codec::Context::from_parameters(stream.parameters())?.decoder().video()?;
    let mut decoded = frame::Video::empty();
    while let Some(packet) = read_packet(&mut input)? {
        if packet.stream() != index {
            continue;
        }
        decoder.send_packet(&packet)?;
        if decoder.receive_frame(&mut decoded).is_ok() {
            return Ok(Some(decoded));
        }
    }
    decoder.send_eof()?;
    Ok(decoder.receive_frame(&mut decoded).is_ok().then_some(decoded))
}

fn encode_jpeg(source: &frame::Video, (width, height): (u32, u32), path: &Path) -> Result<Vec<u8>, Error> {
    let mut scaled = frame::Video::empty();
    scaling::Context::get(
        source.format(),
        source.width(),
        source.height(),
        Pixel::RGB24,
        width,
        height,
        scaling::Flags::LANCZOS | scaling::Flags::ACCURATE_RND,
    )
    .and_then(|mut context| context.run(source, &mut scaled))
    .map_err(Error::Decode)?;
    let row = width as usize * 3;
    let rows = scaled.data(0).chunks(scaled.stride(0)).take(height as usize);
    let pixels: Vec<u8> = rows.flat_map(|line| &line[..row]).copied().collect();
    let mut bytes = vec![];
    JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY)
        .encode(&pixels, width, height, image::ExtendedColorType::Rgb8)
        .map_err(|source| Error::Write { path: path.to_owned(), source })?;
    Ok(bytes)
}

fn write(jpeg: &[u8], path: &Path) -> Result<u64, Error> {
    let file = |source| Error::File { path: path.to_owned(), source };
    let part = part_file(path).map_err(file)?;
    std::fs::write(&part, jpeg).map_err(file)?;
    part.persist(path).map_err(|error| file(error.error))?;
    Ok(jpeg.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumbnails_have_the_shape_of_the_video() {
        for (of_video, expected) in [
            ((1920, 1080), (320, 180)),
            ((1080, 1920), (180, 320)),
            ((1080, 1080), (320, 320)),
            ((854, 480), (320, 180)),
            ((10_000, 1), (320, 1)),
        ] {
            assert_eq!(fitted(of_video, 320), expected);
        }
    }
}
