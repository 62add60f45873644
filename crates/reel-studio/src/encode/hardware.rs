//! Finds a graphics processor that encodes H.264.
//!
//! An installed driver may still fail, and this crate writes repeats between an encoder's pictures. So each candidate encodes
//! a short sequence with repeats, and every picture of it must decode.

use std::fmt;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::{Packet, codec, frame};

use crate::draw::picture::{Picture, Rect};
use crate::encode::encoder::{EncodeSettings, Error};
use crate::encode::picture_encoder::{EncodedPicture, PictureEncoder};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hardware {
    /// NVIDIA.
    Nvenc,
    /// Intel Quick Sync Video.
    Qsv,
    /// Intel and AMD, through Linux's VA-API.
    Vaapi,
}

impl Hardware {
    pub const ALL: [Hardware; 3] = [Hardware::Nvenc, Hardware::Qsv, Hardware::Vaapi];

    /// Returns FFmpeg's name of the encoder.
    pub fn encoder(self) -> &'static str {
        match self {
            Hardware::Nvenc => "h264_nvenc",
            Hardware::Qsv => "h264_qsv",
            Hardware::Vaapi => "h264_vaapi",
        }
    }
}

impl fmt::Display for Hardware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.encoder())
    }
}

/// The reason why an encoder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error(transparent)]
    Encode(#[from] Error),
    #[error("its pictures cannot be decoded")]
    Decode(#[from] ffmpeg::Error),
    #[error("{decoded} of {encoded} pictures came back")]
    Lost { encoded: usize, decoded: usize },
}

/// Returns the first encoder that works, or the reason why each one does not.
pub fn find() -> Result<Hardware, Vec<(Hardware, Unusable)>> {
    let mut reasons = vec![];
    for hardware in Hardware::ALL {
        match verify(Some(hardware)) {
            Ok(()) => return Ok(hardware),
            Err(reason) => reasons.push((hardware, reason)),
        }
    }
    Err(reasons)
}

/// Encodes and decodes a sequence in which a square moves and rests; without hardware, with libx264.
fn verify(hardware: Option<Hardware>) -> Result<(), Unusable> {
    crate::ffmpeg::start();
    let settings = EncodeSettings { hardware, ..EncodeSettings::new(640, 360, 30) };
    let mut encoder = PictureEncoder::open(&settings)?;
    let page = Picture::filled([250, 248, 240], 640, 360);
    let ink = Picture::filled([20, 40, 120], 640, 360);
    let mut pictures: Vec<EncodedPicture> = vec![];
    for left in [40, 60, 80] {
        let mut picture = page.clone();
        picture.copy(&ink, Rect { left, top: 100, right: left + 200, bottom: 220 });
        pictures.push(encoder.encode(&picture)?);
        for _ in 0..40 {
            pictures.push(encoder.repeat()?);
        }
    }
    let decoded = decode(&encoder.headers, &pictures)?;
    if decoded != pictures.len() {
        return Err(Unusable::Lost { encoded: pictures.len(), decoded });
    }
    Ok(())
}

/// Decodes pictures, and returns how many come out whole.
fn decode(headers: &[u8], pictures: &[EncodedPicture]) -> Result<usize, ffmpeg::Error> {
    let codec = ffmpeg::decoder::find(codec::Id::H264).ok_or(ffmpeg::Error::DecoderNotFound)?;
    let mut decoder = codec::Context::new_with_codec(codec).decoder().video()?;
    let mut count = 0;
    let mut picture = frame::Video::empty();
    let mut take = |decoder: &mut ffmpeg::decoder::Video| {
        while decoder.receive_frame(&mut picture).is_ok() {
            count += usize::from(!picture.is_corrupt());
        }
    };
    for (number, unit) in pictures.iter().enumerate() {
        let bytes = if number == 0 { [headers, &unit.bytes].concat() } else { unit.bytes.clone() };
        decoder.send_packet(&Packet::copy(&bytes))?;
        take(&mut decoder);
    }
    decoder.send_eof()?;
    take(&mut decoder);
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_working_encoder_passes_the_check() {
        verify(None).unwrap();
    }

    #[test]
    fn every_candidate_that_fails_has_its_reason() {
        // On a machine with a graphics processor, `find` has just shown that it works.
        if let Err(reasons) = find() {
            let tried: Vec<Hardware> = reasons.iter().map(|(hardware, _)| *hardware).collect();
            assert_eq!(tried, Hardware::ALL);
            assert!(reasons.iter().all(|(_, reason)| !reason.to_string().is_empty()));
        }
    }
}
