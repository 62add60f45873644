//! HTTP Live Streaming (RFC 8216) of a finished video: a playlist, and one file of fMP4 segments that it refers to by
//! byte ranges. Nothing is encoded again; segments begin at key frames.

use std::path::Path;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::{Dictionary, Packet, media};

use super::ffmpeg::{is_disk_full, start, write_packet};

/// Seconds of a segment at least: two key frames.
const SEGMENT_SECONDS: u32 = 4;

#[derive(Debug, thiserror::Error)]
#[error("cannot {attempted}")]
pub struct Error {
    attempted: &'static str,
    source: ffmpeg::Error,
}

impl Error {
    pub fn is_disk_full(&self) -> bool {
        is_disk_full(&self.source)
    }
}

fn at(attempted: &'static str) -> impl FnOnce(ffmpeg::Error) -> Error {
    move |source| Error { attempted, source }
}

/// Writes `playlist`, such as `index.m3u8`, and the segments beside it, with the extension `m4s`. What was there is
/// replaced.
pub fn package(video: &Path, playlist: &Path) -> Result<(), Error> {
    start();
    let mut input = ffmpeg::format::input(video).map_err(at("open the video"))?;
    let mut output = ffmpeg::format::output_as(playlist, "hls").map_err(at("open the playlist"))?;
    let kinds = [media::Type::Video, media::Type::Audio];
    let streams: Vec<usize> =
        kinds.iter().filter_map(|kind| Some(input.streams().best(*kind)?.index())).collect();
    for index in &streams {
        let Some(stream) = input.stream(*index) else { continue };
        let encoder = ffmpeg::encoder::find(stream.parameters().id());
        let mut copy = output.add_stream(encoder).map_err(at("add a stream"))?;
        copy.set_parameters(stream.parameters());
        copy.set_time_base(stream.time_base());
        copy.set_avg_frame_rate(stream.avg_frame_rate());
    }
    let mut options = Dictionary::new();
    options.set("hls_segment_type", "fmp4");
    options.set("hls_flags", "single_file");
    options.set("hls_playlist_type", "vod");
    options.set("hls_time", &SEGMENT_SECONDS.to_string());
    output.write_header_with(options).map_err(at("write the playlist's header"))?;
    let mut packet = Packet::empty();
    loop {
        match packet.read(&mut input) {
            Ok(()) => {}
            Err(ffmpeg::Error::Eof) => break,
            Err(source) => return Err(Error { attempted: "read the video", source }),
        }
        let Some(to) = streams.iter().position(|index| *index == packet.stream()) else { continue };
        let Some(from) = input.stream(packet.stream()).map(|stream| stream.time_base()) else { continue };
        write_packet(&mut output, &mut packet, to, from).map_err(at("write a segment"))?;
    }
    output.write_trailer().map_err(at("write the playlist"))
}
