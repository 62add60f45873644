//! Describes a file and its streams as `ffprobe -show_format -show_streams` does, under the same names. Deliberately
//! absent: tags, which hold what somebody wrote.

use std::ffi::CStr;
use std::path::Path;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::{Rational, Stream, ffi, media};

use super::probe::Error;
use crate::ffmpeg::start;

#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    pub format_name: String,
    pub format_long_name: String,
    /// Seconds.
    pub duration: f64,
    /// Bytes.
    pub size: u64,
    /// Bits per second.
    pub bit_rate: u64,
    pub streams: Vec<StreamDescription>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct StreamDescription {
    pub index: u32,
    /// `video`, `audio`, `subtitle` or `data`.
    pub codec_type: &'static str,
    pub codec_name: String,
    pub profile: Option<String>,
    pub width: Option<u32>,
    pub height: Option<u32>,
    pub pix_fmt: Option<String>,
    pub sample_rate: Option<u32>,
    pub channels: Option<u32>,
    pub r_frame_rate: String,
    pub avg_frame_rate: String,
    pub time_base: String,
    /// Seconds.
    pub duration: Option<f64>,
    /// Bits per second.
    pub bit_rate: Option<u64>,
    pub nb_frames: Option<u64>,
}

/// Opens the file and describes what is in it.
pub fn describe(path: &Path) -> Result<Description, Error> {
    start();
    let file = |source| Error::File { path: path.to_owned(), source };
    let size = std::fs::metadata(path).map_err(file)?.len();
    let input =
        ffmpeg::format::input(path).map_err(|source| Error::Unreadable { path: path.to_owned(), source })?;
    Ok(Description {
        format_name: input.format().name().to_owned(),
        format_long_name: input.format().description().to_owned(),
        duration: input.duration().max(0) as f64 / f64::from(ffi::AV_TIME_BASE),
        size,
        bit_rate: u64::try_from(input.bit_rate()).unwrap_or(0),
        streams: input.streams().map(|stream| describe_stream(&stream)).collect(),
    })
}

fn describe_stream(stream: &Stream<'_>) -> StreamDescription {
    let parameters = stream.parameters();
    let kind = parameters.medium();
    // SAFETY: the parameters live as long as `parameters`, and are only read. A profile's name is a constant.
    let (raw, profile) = unsafe {
        let raw = &*parameters.as_ptr();
        let name = ffi::avcodec_profile_name(raw.codec_id, raw.profile);
        let profile = (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy().into_owned());
        (raw, profile)
    };
    let (is_video, is_audio) = (kind == media::Type::Video, kind == media::Type::Audio);
    let positive =
        |number: i32, is_wanted: bool| u32::try_from(number).ok().filter(|number| is_wanted && *number > 0);
    let pix_fmt = || {
        let decoder =
            ffmpeg::codec::Context::from_parameters(stream.parameters()).ok()?.decoder().video().ok()?;
        Some(decoder.format().descriptor()?.name().to_owned())
    };
    StreamDescription {
        index: stream.index() as u32,
        codec_type: match kind {
            media::Type::Video => "video",
            media::Type::Audio => "audio",
            media::Type::Subtitle => "subtitle",
            _ => "data",
        },
        codec_name: parameters.id().name().to_owned(),
        profile,
        width: positive(raw.width, is_video),
        height: positive(raw.height, is_video),
        pix_fmt: if is_video { pix_fmt() } else { None },
        sample_rate: positive(raw.sample_rate, is_audio),
        channels: positive(raw.ch_layout.nb_channels, is_audio),
        r_frame_rate: fraction(stream.rate()),
        avg_frame_rate: fraction(stream.avg_frame_rate()),
        time_base: fraction(stream.time_base()),
        duration: (stream.duration() > 0).then(|| stream.duration() as f64 * f64::from(stream.time_base())),
        bit_rate: u64::try_from(raw.bit_rate).ok().filter(|rate| *rate > 0),
        nb_frames: u64::try_from(stream.frames()).ok().filter(|frames| *frames > 0),
    }
}

fn fraction(rational: Rational) -> String {
    format!("{}/{}", rational.numerator(), rational.denominator())
}
