//! Reads what a file of the source is, from the file.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::Failed;
use super::report::Skip;
pub(super) use crate::consumers::stored_file_name as file_name;
use crate::consumers::technical;
use crate::events::job::{FileRole, VideoFacts};
use crate::events::{OutputFormat, Quality};
use reel_studio::inspect::streams::{self, Description};

/// Pixels of a side, hours and frames a second that a video may have.
const MAX_SIDE: u32 = 16_384;
const MAX_SECONDS: f64 = 24.0 * 3600.0;
const MAX_FPS: f64 = 1000.0;

fn unreadable(reason: impl Into<String>) -> Skip {
    Skip::UnreadableVideo { reason: reason.into() }
}

fn head(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut head = vec![];
    File::open(path)?.take(64).read_to_end(&mut head)?;
    Ok(head)
}

/// Tells the container by its first bytes. Nothing else reaches FFmpeg, which would follow a playlist's references.
pub fn format_of(path: &Path) -> Result<OutputFormat, Skip> {
    let head = head(path).map_err(|error| unreadable(error.to_string()))?;
    match head.get(4..12) {
        Some(b"ftypqt  ") => return Ok(OutputFormat::Mov),
        Some([b'f', b't', b'y', b'p', ..]) => return Ok(OutputFormat::Mp4),
        _ => {}
    }
    if head.starts_with(b"\x1a\x45\xdf\xa3") {
        return Ok(OutputFormat::Webm);
    }
    if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"AVI ".as_slice()) {
        return Ok(OutputFormat::Avi);
    }
    Err(unreadable("it is no MP4, QuickTime, WebM or AVI"))
}

/// Reads the facts of a video.
pub(super) async fn read(path: &Path) -> Result<VideoFacts, Failed> {
    let path = path.to_owned();
    let read = tokio::task::spawn_blocking(move || streams::describe(&path)).await;
    match read {
        Ok(Ok(described)) => Ok(facts(described)?),
        Ok(Err(_)) => Err(unreadable("FFmpeg cannot read it").into()),
        Err(_panicked) => Err(unreadable("reading it fails").into()),
    }
}

fn facts(described: Description) -> Result<VideoFacts, Skip> {
    let of = |kind: &str| described.streams.iter().find(|stream| stream.codec_type == kind);
    let video = of("video").ok_or_else(|| unreadable("it has no pictures"))?;
    let side = |side: Option<u32>| side.filter(|side| (1..=MAX_SIDE).contains(side));
    let (Some(width), Some(height)) = (side(video.width), side(video.height)) else {
        return Err(unreadable("its size is out of range"));
    };
    let seconds = described.duration;
    if !(seconds > 0.0 && seconds <= MAX_SECONDS) {
        return Err(unreadable("its duration is out of range"));
    }
    let fps = ratio(&video.avg_frame_rate).or_else(|| ratio(&video.r_frame_rate));
    let fps = fps.ok_or_else(|| unreadable("its frame rate is out of range"))?;
    let counted = video.nb_frames.filter(|frames| *frames as f64 <= MAX_SECONDS * MAX_FPS);
    let (duration_ms, file_size) = ((seconds * 1000.0).round() as u64, described.size);
    Ok(VideoFacts {
        duration_ms,
        width,
        height,
        fps,
        frames: counted.unwrap_or((seconds * fps).round() as u64),
        video_codec: video.codec_name.clone(),
        // Manim makes videos without sound.
        audio_codec: of("audio").map(|stream| stream.codec_name.clone()).unwrap_or_else(|| "none".to_owned()),
        bitrate: file_size.saturating_mul(8000) / duration_ms.max(1),
        file_size,
        technical: Some(Box::new(technical(described))),
    })
}

/// Reads a rate such as `30/1`.
fn ratio(text: &str) -> Option<f64> {
    let (over, under) = text.split_once('/')?;
    let rate = over.parse::<f64>().ok()? / under.parse::<f64>().ok()?;
    (rate > 0.0 && rate <= MAX_FPS).then_some(rate)
}

/// Returns the quality whose height is nearest.
pub fn nearest_quality(height: u32) -> Quality {
    let distance = |quality: &Quality| quality.dimensions().1.abs_diff(height);
    Quality::ALL.into_iter().min_by_key(distance).unwrap_or_default()
}

/// Checks a picture or captions; the error says what is wrong.
pub fn check_other(role: FileRole, path: &Path) -> Result<(), &'static str> {
    let text = || std::fs::read_to_string(path).map_err(|_| "it is not text");
    match role {
        FileRole::CaptionsVtt => {
            let text = text()?;
            text.trim_start_matches('\u{feff}').starts_with("WEBVTT").then_some(()).ok_or("it is no WebVTT")
        }
        FileRole::CaptionsSrt => text()?.contains("-->").then_some(()).ok_or("it is no SubRip"),
        _ => {
            let head = head(path).map_err(|_| "it cannot be read")?;
            head.starts_with(b"\xff\xd8\xff").then_some(()).ok_or("it is no JPEG")
        }
    }
}

/// Names a file in notes.
pub fn name_of(role: FileRole) -> &'static str {
    match role {
        FileRole::CaptionsVtt | FileRole::CaptionsSrt => "the file of captions",
        _ => "the thumbnail",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_positive_and_bounded() {
        assert_eq!(ratio("30/1"), Some(30.0));
        for text in ["0/0", "0/1", "1/0", "-1/1", "x/1", "99999999/1", ""] {
            assert_eq!(ratio(text), None, "{text}");
        }
        assert_eq!(
            [300, 720, 900, 1080, 9000].map(nearest_quality).map(Quality::level),
            ["480p", "720p", "720p", "1080p", "1440p"]
        );
    }

    #[test]
    fn a_file_is_what_its_bytes_say() {
        let folder = tempfile::tempdir().unwrap();
        let of = |bytes: &[u8]| {
            let path = folder.path().join("x");
            std::fs::write(&path, bytes).unwrap();
            format_of(&path).map_err(|skip| skip.name())
        };
        assert_eq!(of(b"\0\0\0 ftypisom1234"), Ok(OutputFormat::Mp4));
        assert_eq!(of(b"\x1a\x45\xdf\xa3abcdefgh"), Ok(OutputFormat::Webm));
        for bytes in [b"#EXTM3U\nfile:///etc/passwd".as_slice(), b"ffconcat version 1.0", b"", b"\0\0\0\x20"]
        {
            assert_eq!(of(bytes), Err("unreadable_video"));
        }
    }
}
