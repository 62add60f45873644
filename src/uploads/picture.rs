//! Pictures made of pixels: counted in the header, then decoded once, which finds damage.

use std::fs::File;
use std::io::{BufReader, Seek};
use std::sync::{Mutex, PoisonError};

use image::{ImageFormat, ImageReader, Limits};

use super::{MAX_PIXELS, Refusal};
use crate::events::ContentType;

/// Pixels of a side.
const MAX_SIDE: u32 = 30_000;
/// Memory that decoding may take: 4 bytes for each of [`MAX_PIXELS`], and some for the decoder.
const MAX_DECODING_BYTES: u64 = 256 * 1024 * 1024;

/// One is decoded at a time, which bounds what all of them take.
static DECODING: Mutex<()> = Mutex::new(());

/// Width and height. Fails when there are too many pixels, before any is read, and when the picture is damaged.
pub fn check(file: &File, content_type: ContentType) -> Result<(u32, u32), Refusal> {
    let (format, kind) = match content_type {
        ContentType::Png => (ImageFormat::Png, "PNG"),
        ContentType::Jpeg => (ImageFormat::Jpeg, "JPEG"),
        ContentType::WebP => (ImageFormat::WebP, "WebP"),
        _ => (ImageFormat::Gif, "GIF"),
    };
    let damaged = |error: image::ImageError| Refusal::Damaged { kind, reason: error.to_string() };
    let (width, height) = reader(file, format)?.into_dimensions().map_err(damaged)?;
    let pixels = u64::from(width) * u64::from(height);
    if pixels > MAX_PIXELS || width.max(height) > MAX_SIDE {
        return Err(Refusal::TooLarge {
            found: format!("{width}x{height} pixels"),
            max: format!("{} million pixels, {MAX_SIDE} in each direction,", MAX_PIXELS / 1_000_000),
        });
    }
    let _one_at_a_time = DECODING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut reader = reader(file, format)?;
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(MAX_SIDE), Some(MAX_SIDE));
    limits.max_alloc = Some(MAX_DECODING_BYTES);
    reader.limits(limits);
    match reader.decode() {
        Ok(_) => Ok((width, height)),
        Err(image::ImageError::Limits(_)) => Err(Refusal::TooLarge {
            found: format!("a picture of {width}x{height} pixels with more than 8 bits for each color"),
            max: format!("{} MiB when it is decoded", MAX_DECODING_BYTES >> 20),
        }),
        Err(error) => Err(damaged(error)),
    }
}

fn reader(mut file: &File, format: ImageFormat) -> Result<ImageReader<BufReader<&File>>, Refusal> {
    file.rewind()?;
    let mut reader = ImageReader::new(BufReader::new(file));
    reader.set_format(format);
    Ok(reader)
}
