//! Formats of finished videos: sizes, containers, codecs.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    Low,
    Medium,
    #[default]
    High,
    Ultra,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputFormat {
    #[default]
    Mp4,
    Mov,
    Webm,
    Avi,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum VideoCodec {
    #[default]
    H264,
    Vp9,
}

/// A quality and a format in which a video is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Rendition {
    pub quality: Quality,
    pub format: OutputFormat,
}

impl Quality {
    pub const ALL: [Quality; 4] = [Quality::Low, Quality::Medium, Quality::High, Quality::Ultra];
    /// Qualities that every larger video also gets, unless its user chooses others.
    const USUAL: [Quality; 2] = [Quality::High, Quality::Medium];

    pub fn name(self) -> &'static str {
        match self {
            Quality::Low => "low",
            Quality::Medium => "medium",
            Quality::High => "high",
            Quality::Ultra => "ultra",
        }
    }

    /// Returns the name of its renditions: the height of a 16:9 picture.
    pub fn level(self) -> &'static str {
        match self {
            Quality::Low => "480p",
            Quality::Medium => "720p",
            Quality::High => "1080p",
            Quality::Ultra => "1440p",
        }
    }

    /// Finds a quality by its name or its level.
    pub fn named(name: &str) -> Option<Quality> {
        Quality::ALL.into_iter().find(|quality| quality.name() == name || quality.level() == name)
    }

    /// Returns width and height of a 16:9 picture, in pixels.
    pub fn dimensions(self) -> (u32, u32) {
        match self {
            Quality::Low => (854, 480),
            Quality::Medium => (1280, 720),
            Quality::High => (1920, 1080),
            Quality::Ultra => (2560, 1440),
        }
    }

    /// Returns this quality, and those of 1080p and 720p that are below it.
    pub fn usual_levels(self) -> Vec<Quality> {
        let below = Quality::USUAL.into_iter().filter(|quality| *quality < self);
        std::iter::once(self).chain(below).collect()
    }
}

impl VideoCodec {
    /// Returns the container of clips with this codec.
    pub fn of_clips(self) -> OutputFormat {
        match self {
            VideoCodec::H264 => OutputFormat::Mp4,
            VideoCodec::Vp9 => OutputFormat::Webm,
        }
    }
}

impl OutputFormat {
    pub const ALL: [OutputFormat; 4] =
        [OutputFormat::Mp4, OutputFormat::Mov, OutputFormat::Webm, OutputFormat::Avi];

    /// Returns the name, which is also the file extension.
    pub fn name(self) -> &'static str {
        match self {
            OutputFormat::Mp4 => "mp4",
            OutputFormat::Mov => "mov",
            OutputFormat::Webm => "webm",
            OutputFormat::Avi => "avi",
        }
    }

    pub fn media_type(self) -> &'static str {
        match self {
            OutputFormat::Mp4 => "video/mp4",
            OutputFormat::Mov => "video/quicktime",
            OutputFormat::Webm => "video/webm",
            OutputFormat::Avi => "video/x-msvideo",
        }
    }

    pub fn video_codec(self) -> VideoCodec {
        match self {
            OutputFormat::Mp4 | OutputFormat::Mov | OutputFormat::Avi => VideoCodec::H264,
            OutputFormat::Webm => VideoCodec::Vp9,
        }
    }
}

impl Rendition {
    /// Returns the MP4 of a quality, which every video has.
    pub fn main(quality: Quality) -> Rendition {
        Rendition { quality, format: OutputFormat::Mp4 }
    }

    /// Returns the rendition of the clips that are joined into this one.
    pub fn of_clips(self) -> Rendition {
        Rendition { format: self.format.video_codec().of_clips(), ..self }
    }

    /// Returns the file name, such as `1080p.mp4`.
    pub fn file_name(self) -> String {
        format!("{}.{}", self.quality.level(), self.format.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_levels_are_the_quality_and_what_is_below() {
        let levels =
            |quality: Quality| quality.usual_levels().into_iter().map(Quality::level).collect::<Vec<_>>();
        assert_eq!(levels(Quality::Low), ["480p"]);
        assert_eq!(levels(Quality::Medium), ["720p"]);
        assert_eq!(levels(Quality::High), ["1080p", "720p"]);
        assert_eq!(levels(Quality::Ultra), ["1440p", "1080p", "720p"]);
    }

    #[test]
    fn a_quality_has_two_names() {
        for quality in Quality::ALL {
            assert_eq!(Quality::named(quality.name()), Some(quality));
            assert_eq!(Quality::named(quality.level()), Some(quality));
        }
        assert_eq!(Quality::named("4k"), None);
    }
}
