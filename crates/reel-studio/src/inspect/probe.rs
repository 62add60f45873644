//! Reads the facts of a finished file, and compares them with the plan.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use ffmpeg_next as ffmpeg;
use ffmpeg_next::media;

use crate::ffmpeg::start;
use crate::mp4_boxes::{self, Mp4Box, boxes_of};
use reel_scene::format::OutputFormat;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} is not a video that can be read", path.display())]
    Unreadable { path: PathBuf, source: ffmpeg::Error },
    #[error("{} has no {kind} stream", path.display())]
    NoStream { path: PathBuf, kind: &'static str },
}

#[derive(Debug, Clone, PartialEq)]
pub struct VideoFacts {
    pub duration_ms: u64,
    pub width: u32,
    pub height: u32,
    pub fps: f64,
    pub frames: u64,
    pub video_codec: String,
    pub audio_codec: String,
    /// Bits per second of all streams.
    pub bitrate: u64,
    /// Bytes.
    pub file_size: u64,
    /// Set when the index (`moov`) comes before the media data (`mdat`).
    pub fast_start: bool,
}

/// Facts that the plan requires of a file.
#[derive(Debug, Clone, Copy)]
pub struct ExpectedFacts {
    pub format: OutputFormat,
    pub duration_ms: u64,
    pub width: u32,
    pub height: u32,
    pub fps: u32,
}

const DURATION_TOLERANCE_MS: u64 = 300;

/// Reads a file's facts with the `mp4` crate, and falls back to FFmpeg.
pub fn probe(path: &Path) -> Result<VideoFacts, Error> {
    let file = |source| Error::File { path: path.to_owned(), source };
    let file_size = std::fs::metadata(path).map_err(file)?.len();
    let fast_start = is_fast_start(path).map_err(file)?;
    let facts = match read_boxes(path, file_size) {
        Some(facts) => facts,
        None => read_streams(path, file_size)?,
    };
    Ok(VideoFacts { fast_start, ..facts })
}

/// Returns a message for each fact that differs from the plan.
pub fn find_mismatches(facts: &VideoFacts, expected: &ExpectedFacts) -> Vec<String> {
    let mut mismatches = vec![];
    let mut expect = |holds: bool, message: String| {
        if !holds {
            mismatches.push(message);
        }
    };
    let difference_ms = facts.duration_ms.abs_diff(expected.duration_ms);
    expect(
        difference_ms <= DURATION_TOLERANCE_MS,
        format!("it lasts {} ms, the narration {} ms", facts.duration_ms, expected.duration_ms),
    );
    let (width, height) = (expected.width, expected.height);
    expect(
        (facts.width, facts.height) == (width, height),
        format!("it is {}x{}, not {width}x{height}", facts.width, facts.height),
    );
    let fps_difference = (facts.fps - f64::from(expected.fps)).abs();
    expect(fps_difference < 0.01, format!("it has {} frames a second, not {}", facts.fps, expected.fps));
    let (video, audio) = match expected.format {
        OutputFormat::Mp4 | OutputFormat::Mov => ("h264", "aac"),
        OutputFormat::Webm => ("vp9", "opus"),
        OutputFormat::Avi => ("h264", "mp3"),
    };
    expect(facts.video_codec == video, format!("its video is {}, not {video}", facts.video_codec));
    expect(facts.audio_codec == audio, format!("its audio is {}, not {audio}", facts.audio_codec));
    let has_index_box = matches!(expected.format, OutputFormat::Mp4 | OutputFormat::Mov);
    expect(facts.fast_start || !has_index_box, "its index comes after its data".to_owned());
    mismatches
}

/// Reads a file with the `mp4` crate. `None` when it cannot read the file.
fn read_boxes(path: &Path, file_size: u64) -> Option<VideoFacts> {
    let reader = BufReader::new(File::open(path).ok()?);
    let read = |reader: &mut _| Ok(facts_of(&mp4::Mp4Reader::read_header(reader, file_size)?, file_size));
    mp4_boxes::parse(reader, file_size, read).ok().flatten()
}

fn facts_of<R: Read + Seek>(mp4: &mp4::Mp4Reader<R>, file_size: u64) -> Option<VideoFacts> {
    let find = |kind| mp4.tracks().values().find(|track| track.media_type().is_ok_and(|found| found == kind));
    let (video, audio) = (find(mp4::MediaType::H264)?, find(mp4::MediaType::AAC)?);
    let duration_ms = video.duration().max(audio.duration()).as_millis() as u64;
    let frames = u64::from(video.sample_count());
    let seconds = video.duration().as_secs_f64();
    if duration_ms == 0 || frames == 0 {
        return None;
    }
    Some(VideoFacts {
        duration_ms,
        width: u32::from(video.width()),
        height: u32::from(video.height()),
        fps: frames as f64 / seconds,
        frames,
        video_codec: "h264".to_owned(),
        audio_codec: "aac".to_owned(),
        bitrate: file_size * 8000 / duration_ms,
        file_size,
        fast_start: false,
    })
}

/// Reads a file with FFmpeg.
pub(crate) fn read_streams(path: &Path, file_size: u64) -> Result<VideoFacts, Error> {
    start();
    let input =
        ffmpeg::format::input(path).map_err(|source| Error::Unreadable { path: path.to_owned(), source })?;
    let stream = |kind, name| {
        input.streams().best(kind).ok_or_else(|| Error::NoStream { path: path.to_owned(), kind: name })
    };
    let (video, audio) = (stream(media::Type::Video, "video")?, stream(media::Type::Audio, "audio")?);
    let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
    let decoder = ffmpeg::codec::Context::from_parameters(video.parameters()).map_err(unreadable)?;
    let decoder = decoder.decoder().video().map_err(unreadable)?;
    let duration_ms = u64::try_from(input.duration() / 1000).unwrap_or(0);
    let rate = video.avg_frame_rate();
    Ok(VideoFacts {
        duration_ms,
        width: decoder.width(),
        height: decoder.height(),
        fps: f64::from(rate),
        frames: u64::try_from(video.frames()).unwrap_or(0),
        video_codec: video.parameters().id().name().to_owned(),
        audio_codec: audio.parameters().id().name().to_owned(),
        bitrate: file_size * 8000 / duration_ms.max(1),
        file_size,
        fast_start: false,
    })
}

/// Returns `true` when `moov` precedes `mdat` among the top-level boxes (ISO/IEC 14496-12, section 4.2).
fn is_fast_start(path: &Path) -> io::Result<bool> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    for found in boxes_of(&mut BufReader::new(file), length) {
        match found {
            Ok(Mp4Box { name, .. }) if name == *b"moov" => return Ok(true),
            Ok(Mp4Box { name, .. }) if name == *b"mdat" => return Ok(false),
            Ok(_) => {}
            // It is no MP4.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mismatch_is_reported() {
        let facts = VideoFacts {
            duration_ms: 1000,
            width: 1280,
            height: 720,
            fps: 25.0,
            frames: 25,
            video_codec: "h264".into(),
            audio_codec: "mp3".into(),
            bitrate: 1,
            file_size: 1,
            fast_start: false,
        };
        let expected = ExpectedFacts {
            format: OutputFormat::Mp4,
            duration_ms: 2000,
            width: 1920,
            height: 1080,
            fps: 30,
        };
        assert_eq!(
            find_mismatches(&facts, &expected),
            [
                "it lasts 1000 ms, the narration 2000 ms",
                "it is 1280x720, not 1920x1080",
                "it has 25 frames a second, not 30",
                "its audio is mp3, not aac",
                "its index comes after its data",
            ]
        );
    }

    #[test]
    fn what_is_no_video_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.mp4");
        std::fs::write(&path, b"not a video at all, but long enough to be read as one").unwrap();
        assert!(matches!(probe(&path), Err(Error::Unreadable { .. })));
        assert!(matches!(probe(&folder.path().join("none.mp4")), Err(Error::File { .. })));
    }
}
