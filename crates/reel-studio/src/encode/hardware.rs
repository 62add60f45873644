//! Graphics processors as H.264 encoders: which of them works here.
//!
//! A driver that is there may still not do, and repeats are written by hand between an encoder's pictures. So a candidate
//! is tried: it encodes a short film with repeats, which must decode to every one of its pictures.

use std::fmt;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::{Packet, codec, frame};

use crate::draw::picture::{Picture, Rect};
use crate::encode::encoder::{EncodeSettings, Error};
use crate::encode::picture_encoder::{PictureEncoder, Unit};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hardware {
    /// NVIDIA.
    Nvenc,
    /// Intel Quick Sync Video.
    Qsv,
    /// Intel and AMD, through Linux's own interface.
    Vaapi,
}

impl Hardware {
    pub const ALL: [Hardware; 3] = [Hardware::Nvenc, Hardware::Qsv, Hardware::Vaapi];

    /// What FFmpeg calls it.
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

/// Why an encoder is not used.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    #[error(transparent)]
    Encode(#[from] Error),
    #[error("its pictures cannot be decoded")]
    Decode(#[from] ffmpeg::Error),
    #[error("{decoded} of {encoded} pictures came back")]
    Lost { encoded: usize, decoded: usize },
}

/// The first that works, or why each does not.
pub fn find() -> Result<Hardware, Vec<(Hardware, Unfit)>> {
    let mut reasons = vec![];
    for hardware in Hardware::ALL {
        match try_out(Some(hardware)) {
            Ok(()) => return Ok(hardware),
            Err(reason) => reasons.push((hardware, reason)),
        }
    }
    Err(reasons)
}

/// Encodes and decodes a film in which a square moves and rests; without hardware, by the processor's own encoder.
fn try_out(hardware: Option<Hardware>) -> Result<(), Unfit> {
    crate::ffmpeg::start();
    let settings = EncodeSettings { hardware, ..EncodeSettings::new(640, 360, 30) };
    let mut encoder = PictureEncoder::open(&settings)?;
    let page = Picture::of([250, 248, 240], 640, 360);
    let ink = Picture::of([20, 40, 120], 640, 360);
    let mut units: Vec<Unit> = vec![];
    for left in [40, 60, 80] {
        let mut picture = page.clone();
        picture.copy(&ink, Rect { left, top: 100, right: left + 200, bottom: 220 });
        units.push(encoder.encode(&picture)?);
        for _ in 0..40 {
            units.push(encoder.repeat()?);
        }
    }
    let decoded = decode(&encoder.headers, &units)?;
    if decoded != units.len() {
        return Err(Unfit::Lost { encoded: units.len(), decoded });
    }
    Ok(())
}

/// How many whole pictures a decoder makes of them.
fn decode(headers: &[u8], units: &[Unit]) -> Result<usize, ffmpeg::Error> {
    let codec = ffmpeg::decoder::find(codec::Id::H264).ok_or(ffmpeg::Error::DecoderNotFound)?;
    let mut decoder = codec::Context::new_with_codec(codec).decoder().video()?;
    let mut count = 0;
    let mut picture = frame::Video::empty();
    let mut take = |decoder: &mut ffmpeg::decoder::Video| {
        while decoder.receive_frame(&mut picture).is_ok() {
            count += usize::from(!picture.is_corrupt());
        }
    };
    for (number, unit) in units.iter().enumerate() {
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
    fn an_encoder_that_works_passes_the_trial() {
        try_out(None).unwrap();
    }

    #[test]
    fn what_is_not_there_is_told_apart() {
        // On a machine with a graphics processor this finds it, and the trial has shown that it works.
        if let Err(reasons) = find() {
            let tried: Vec<Hardware> = reasons.iter().map(|(hardware, _)| *hardware).collect();
            assert_eq!(tried, Hardware::ALL);
            assert!(reasons.iter().all(|(_, reason)| !reason.to_string().is_empty()));
        }
    }
}
