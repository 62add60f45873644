//! Packages a finished video for HTTP Live Streaming (RFC 8216): a playlist, and one file of fMP4 segments that it addresses
//! by byte ranges. Streams are copied; segments begin at key frames.

use std::path::{Path, PathBuf};

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::stream::Stream;
use ffmpeg_next::{Dictionary, media};

use crate::ffmpeg::{extradata, read_packet, start, write_packet};

/// Shortest segment: two key frame intervals.
const SEGMENT_SECONDS: u32 = 4;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {attempted}")]
    Ffmpeg { attempted: &'static str, source: ffmpeg::Error },
    #[error("cannot use {}", path.display())]
    File { path: PathBuf, source: std::io::Error },
}

impl Error {
    fn file(path: &Path, source: std::io::Error) -> Self {
        Error::File { path: path.to_owned(), source }
    }
}

/// Wraps an FFmpeg error with what was attempted, such as "write a segment".
fn failed_to(attempted: &'static str) -> impl FnOnce(ffmpeg::Error) -> Error {
    move |source| Error::Ffmpeg { attempted, source }
}

/// A rendition in a master playlist.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// Name of the playlist's file, in the folder of the master playlist.
    pub playlist: String,
    pub width: u32,
    pub height: u32,
    pub fps: f64,
    /// Codecs in the notation of RFC 6381.
    pub codecs: String,
    /// Bits per second of the largest segment.
    pub peak: u64,
    /// Bits per second of all segments.
    pub average: u64,
}

/// Writes `playlist`, such as `720p.m3u8`, and beside it the segments with the extension `m4s`. Replaces existing files.
pub fn package(video: &Path, playlist: &Path) -> Result<Variant, Error> {
    start();
    let mut input = ffmpeg::format::input(video).map_err(failed_to("open the video"))?;
    let mut output = ffmpeg::format::output_as(playlist, "hls").map_err(failed_to("open the playlist"))?;
    let index =
        |kind| input.streams().best(kind).map(|stream| stream.index()).ok_or(ffmpeg::Error::StreamNotFound);
    let streams = [index(media::Type::Video), index(media::Type::Audio)];
    let [video_stream, audio_stream] =
        streams.map(|found| found.map_err(failed_to("find picture and sound")));
    let streams = [video_stream?, audio_stream?];
    for index in &streams {
        let Some(stream) = input.stream(*index) else { continue };
        let encoder = ffmpeg::encoder::find(stream.parameters().id());
        let mut copy = output.add_stream(encoder).map_err(failed_to("add a stream"))?;
        copy.set_parameters(stream.parameters());
        copy.set_time_base(stream.time_base());
        copy.set_avg_frame_rate(stream.avg_frame_rate());
    }
    let mut options = Dictionary::new();
    options.set("hls_segment_type", "fmp4");
    options.set("hls_flags", "single_file");
    options.set("hls_playlist_type", "vod");
    options.set("hls_time", &SEGMENT_SECONDS.to_string());
    output.write_header_with(options).map_err(failed_to("write the playlist's header"))?;
    while let Some(mut packet) = read_packet(&mut input).map_err(failed_to("read the video"))? {
        let Some(to) = streams.iter().position(|index| *index == packet.stream()) else { continue };
        let Some(from) = input.stream(packet.stream()).map(|stream| stream.time_base()) else { continue };
        write_packet(&mut output, &mut packet, to, from).map_err(failed_to("write a segment"))?;
    }
    output.write_trailer().map_err(failed_to("write the playlist"))?;
    drop(output);
    let picture =
        input.stream(streams[0]).ok_or(ffmpeg::Error::StreamNotFound).map_err(failed_to("open the video"))?;
    describe_variant(&picture, playlist)
}

fn describe_variant(picture: &Stream<'_>, playlist: &Path) -> Result<Variant, Error> {
    let mut parameters = picture.parameters();
    // SAFETY: `parameters` owns the struct, and what it points to, while it is read.
    let (width, height, header) = unsafe {
        let raw = &*parameters.as_mut_ptr();
        (raw.width as u32, raw.height as u32, extradata(raw.extradata, raw.extradata_size))
    };
    // Profile, compatibility and level follow the version (ISO/IEC 14496-15, section 5.3.3.1).
    let profile: String = header.iter().skip(1).take(3).map(|byte| format!("{byte:02x}")).collect();
    let text = std::fs::read_to_string(playlist).map_err(|source| Error::file(playlist, source))?;
    let (peak, average) = bits_per_second(&text);
    let name = playlist.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let fps = f64::from(picture.avg_frame_rate());
    Ok(Variant {
        playlist: name,
        width,
        height,
        fps,
        codecs: format!("avc1.{profile},mp4a.40.2"),
        peak,
        average,
    })
}

/// Returns the peak and the average bit rate of a playlist's segments, from the tags with their durations and sizes.
fn bits_per_second(playlist: &str) -> (u64, u64) {
    let (mut peak, mut bits, mut seconds) = (0.0_f64, 0.0_f64, 0.0_f64);
    let mut duration = 0.0;
    for line in playlist.lines() {
        if let Some(text) = line.strip_prefix("#EXTINF:") {
            duration = text.trim_end_matches(',').parse().unwrap_or(0.0);
        } else if let Some(text) = line.strip_prefix("#EXT-X-BYTERANGE:") {
            let bytes: f64 = text.split('@').next().and_then(|bytes| bytes.parse().ok()).unwrap_or(0.0);
            peak = peak.max(bytes * 8.0 / f64::max(duration, 0.001));
            bits += bytes * 8.0;
            seconds += duration;
        }
    }
    (peak.ceil() as u64, (bits / seconds.max(0.001)).ceil() as u64)
}

/// Writes the master playlist, the best variant first.
pub fn write_master(variants: &[Variant], master: &Path) -> Result<(), Error> {
    let mut variants: Vec<&Variant> = variants.iter().collect();
    variants.sort_by_key(|variant| std::cmp::Reverse(variant.height));
    let mut text = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n".to_owned();
    for Variant { playlist, width, height, fps, codecs, peak, average } in variants {
        text.push_str(&format!(
            "#EXT-X-STREAM-INF:BANDWIDTH={peak},AVERAGE-BANDWIDTH={average},RESOLUTION={width}x{height},\
             FRAME-RATE={fps:.3},CODECS=\"{codecs}\"\n{playlist}\n"
        ));
    }
    std::fs::write(master, text).map_err(|source| Error::file(master, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_that_of_the_densest_segment() {
        let playlist = "#EXTM3U\n#EXT-X-MAP:URI=\"a.m4s\",BYTERANGE=\"900@0\"\n#EXTINF:4.000000,\n\
                        #EXT-X-BYTERANGE:4000@900\na.m4s\n#EXTINF:1.0,\n#EXT-X-BYTERANGE:2000@4900\na.m4s\n";
        assert_eq!(bits_per_second(playlist), (16_000, 9600));
    }
}
