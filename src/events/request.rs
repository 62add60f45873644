//! What a user asks for. Validated at the API; stored in `JobRequested` as it was accepted.

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr};

use super::content::ERASED;
use reel_scene::Scene;
pub use reel_scene::format::{OutputFormat, Quality, Rendition};
use reel_scene::look::{Aspect, Colour, Look, Theme};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VideoRequest {
    pub topic: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    pub quality: Quality,
    pub priority: Priority,
    pub output_format: OutputFormat,
    pub fps: u32,
    /// How long the video should last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<u32>,
    pub enable_subtitles: bool,
    pub enable_thumbnails: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_rag: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub style_preferences: Option<serde_json::Map<String, serde_json::Value>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quality_levels: Vec<String>,
    /// From clients that plan themselves; takes precedence over the script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenes: Option<Vec<Scene>>,
}

/// In serving order: `urgent` work is taken before `high`, and so on.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Serialize,
    Deserialize,
    IntoStaticStr,
    EnumString,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Priority {
    Urgent,
    High,
    #[default]
    Normal,
    Low,
}

impl VideoRequest {
    /// A request for a script, with the defaults of everything else.
    pub fn of_script(topic: impl Into<String>, script: impl Into<String>) -> Self {
        Self {
            topic: topic.into(),
            context: None,
            script: Some(script.into()),
            quality: Quality::default(),
            priority: Priority::default(),
            output_format: OutputFormat::default(),
            fps: 30,
            duration_seconds: None,
            enable_subtitles: true,
            enable_thumbnails: true,
            title: None,
            description: None,
            tags: vec![],
            model: None,
            use_rag: None,
            template_id: None,
            style_preferences: None,
            quality_levels: vec![],
            scenes: None,
        }
    }
}

impl VideoRequest {
    /// The request without what its user wrote.
    pub fn erase_content(&mut self) {
        self.topic = ERASED.to_owned();
        self.context = None;
        self.script = None;
        self.title = None;
        self.description = None;
        self.tags.clear();
        self.model = None;
        self.style_preferences = None;
        self.scenes = None;
    }

    /// How the video looks: `template_id` names the theme, `style_preferences` may have `aspect_ratio`,
    /// `accent_color`, `background_color`, `font` and `logo`. What cannot be read counts as not given.
    pub fn look(&self) -> Look {
        let preference = |name: &str| self.style_preferences.as_ref()?.get(name)?.as_str().map(str::to_owned);
        let colour = |name: &str| Colour::try_from(preference(name)?).ok();
        Look {
            theme: self.template_id.as_deref().and_then(Theme::named).unwrap_or_default(),
            aspect: preference("aspect_ratio").and_then(|name| Aspect::named(&name)).unwrap_or_default(),
            accent: colour("accent_color"),
            background: colour("background_color"),
            font: preference("font"),
            logo: preference("logo"),
        }
    }

    /// The name of the piece that plays under the voice: `style_preferences.music`.
    pub fn music(&self) -> Option<&str> {
        self.style_preferences.as_ref()?.get("music")?.as_str()
    }

    /// Width and height in pixels of the video in a quality.
    pub fn dimensions(&self, quality: Quality) -> (u32, u32) {
        self.look().aspect.dimensions(quality.dimensions())
    }

    pub fn duration_ms(&self) -> Option<u64> {
        self.duration_seconds.map(|seconds| u64::from(seconds) * 1000)
    }

    /// The MP4 in the quality that was asked for.
    pub fn main_rendition(&self) -> Rendition {
        Rendition::main(self.quality)
    }

    /// All files to make, first the MP4 in the quality that was asked for. Every quality is an MP4, which is what can be
    /// streamed, and a file of the format that was asked for.
    pub fn renditions(&self) -> Vec<Rendition> {
        let mut qualities = vec![self.quality];
        for quality in self.quality_levels.iter().filter_map(|level| Quality::named(level)) {
            if !qualities.contains(&quality) {
                qualities.push(quality);
            }
        }
        let formats = [OutputFormat::Mp4, self.output_format];
        let formats = if self.output_format == OutputFormat::Mp4 { &formats[..1] } else { &formats };
        let of = |quality| formats.iter().map(move |format| Rendition { quality, format: *format });
        qualities.into_iter().flat_map(of).collect()
    }
}

impl Priority {
    pub const ALL: [Priority; 4] = [Priority::Urgent, Priority::High, Priority::Normal, Priority::Low];

    pub fn name(self) -> &'static str {
        self.into()
    }

    pub fn parse(name: &str) -> Option<Priority> {
        name.parse().ok()
    }
}
