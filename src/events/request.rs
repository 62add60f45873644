//! A user's request. The API parses and bounds it; `JobRequested` records it as accepted.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use strum::{EnumString, IntoStaticStr};

use super::content::ERASED;
use super::upload::Upload;
use crate::ids::ConfigurationId;
use reel_scene::Scene;
pub use reel_scene::format::{OutputFormat, Quality, Rendition};
use reel_scene::look::{Aspect, Colour, Look, Theme};

/// Largest recorded request, in bytes of JSON before encryption. The longest script (200,000 characters of up to 4 bytes) takes
/// 800,000 of them. Encryption makes an event at most 4/3 as long.
pub const MAX_REQUEST_BYTES: usize = 1024 * 1024;

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
    /// Requested duration of the video.
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
    pub template_id: Option<Template>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub style_preferences: Option<StylePreferences>,
    /// Recorded by level, such as `720p`.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "levels")]
    pub quality_levels: Vec<Quality>,
    /// Scenes of clients that plan themselves; they take precedence over the script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenes: Option<Vec<Scene>>,
    /// The stored configuration whose settings stand where the request gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<UsedConfiguration>,
    /// Files that the video is made from, as they were when it was requested.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uploads: Vec<Upload>,
    /// Who is told when the job has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback_url: Option<String>,
    /// Which pipeline is asked for; there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline_version: Option<PipelineVersion>,
    /// How often each piece of the job's work is tried again; without it, as `streams.toml` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_attempts: Option<u32>,
    /// Set when the video is packaged for HLS.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub enable_streaming: bool,
    /// Set when the job fails if its language model gives no usable plan; otherwise it is planned by rules then.
    #[serde(default, skip_serializing_if = "is_no")]
    pub strict: bool,
    /// Set when the files that the job was made with go as soon as it is completed.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub cleanup_local_files: bool,
    /// Whether the video goes to S3; without it, as the system is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3_upload_enabled: Option<bool>,
    /// The name of the voice; without it, the worker's usual one speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voice: Option<String>,
}

fn yes() -> bool {
    true
}

fn is_yes(flag: &bool) -> bool {
    *flag
}

fn is_no(flag: &bool) -> bool {
    !*flag
}

/// A pipeline, by the version that requests know it under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PipelineVersion {
    #[serde(rename = "2.0")]
    V2,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedConfiguration {
    pub configuration_id: ConfigurationId,
    pub version: u64,
}

/// The name of a theme.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Template {
    Theme(Theme),
    /// A name that no theme has. Early versions recorded any name; the API accepts none of these.
    Unknown(String),
}

/// Preferences about the look of a video, including recorded ones without effect.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(from = "Map<String, Value>", into = "Map<String, Value>")]
pub struct StylePreferences {
    pub aspect_ratio: Option<Aspect>,
    pub accent_color: Option<Colour>,
    pub background_color: Option<Colour>,
    /// A font family.
    pub font: Option<String>,
    /// The name of the piece that plays under the voice.
    pub music: Option<String>,
    /// The name of the picture in the corner.
    pub logo: Option<String>,
    /// All other keys as given, including known keys with an invalid value.
    pub others: Map<String, Value>,
}

/// The priority of a job: `urgent` work is taken before `high`, and so on.
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
    /// Builds a request for a script, with defaults for everything else.
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
            configuration: None,
            uploads: vec![],
            callback_url: None,
            pipeline_version: None,
            retry_attempts: None,
            enable_streaming: true,
            strict: false,
            cleanup_local_files: true,
            s3_upload_enabled: None,
            voice: None,
        }
    }
}

impl VideoRequest {
    /// Removes the user's words.
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
        self.uploads.clear();
        self.callback_url = None;
    }

    /// Returns the look: the theme that `template_id` names, with the style preferences.
    pub fn look(&self) -> Look {
        let theme = match self.template_id {
            Some(Template::Theme(theme)) => theme,
            Some(Template::Unknown(_)) | None => Theme::default(),
        };
        let style = self.style_preferences.clone().unwrap_or_default();
        Look {
            theme,
            aspect: style.aspect_ratio.unwrap_or_default(),
            accent: style.accent_color,
            background: style.background_color,
            font: style.font,
            logo: style.logo,
        }
    }

    /// The name of the piece that plays under the voice.
    pub fn music(&self) -> Option<&str> {
        self.style_preferences.as_ref()?.music.as_deref()
    }

    /// Returns width and height of a quality, in pixels.
    pub fn dimensions(&self, quality: Quality) -> (u32, u32) {
        let aspect = self.style_preferences.as_ref().and_then(|style| style.aspect_ratio);
        aspect.unwrap_or_default().dimensions(quality.dimensions())
    }

    pub fn duration_ms(&self) -> Option<u64> {
        self.duration_seconds.map(|seconds| u64::from(seconds) * 1000)
    }

    /// Returns the MP4 in the requested quality.
    pub fn main_rendition(&self) -> Rendition {
        Rendition::main(self.quality)
    }

    /// Returns all renditions, the MP4 in the requested quality first. Every quality has an MP4, which can be streamed, and a file
    /// in the requested format.
    pub fn renditions(&self) -> Vec<Rendition> {
        let mut qualities = vec![self.quality];
        for quality in &self.quality_levels {
            if !qualities.contains(quality) {
                qualities.push(*quality);
            }
        }
        let formats = [OutputFormat::Mp4, self.output_format];
        let formats = if self.output_format == OutputFormat::Mp4 { &formats[..1] } else { &formats };
        let of = |quality| formats.iter().map(move |format| Rendition { quality, format: *format });
        qualities.into_iter().flat_map(of).collect()
    }
}

impl From<Map<String, Value>> for StylePreferences {
    fn from(mut map: Map<String, Value>) -> Self {
        let text = |text: &str| Some(text.to_owned());
        let colour = |text: &str| Colour::try_from(text.to_owned()).ok();
        Self {
            aspect_ratio: take_readable(&mut map, "aspect_ratio", Aspect::named),
            accent_color: take_readable(&mut map, "accent_color", colour),
            background_color: take_readable(&mut map, "background_color", colour),
            font: take_readable(&mut map, "font", text),
            music: take_readable(&mut map, "music", text),
            logo: take_readable(&mut map, "logo", text),
            others: map,
        }
    }
}

/// Removes a key with a valid text as its value; leaves any other value in place.
fn take_readable<T>(map: &mut Map<String, Value>, key: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
    let value = read(map.get(key)?.as_str()?)?;
    map.remove(key);
    Some(value)
}

impl From<StylePreferences> for Map<String, Value> {
    fn from(style: StylePreferences) -> Self {
        let known = [
            ("aspect_ratio", style.aspect_ratio.map(|aspect| aspect.name().to_owned())),
            ("accent_color", style.accent_color.map(String::from)),
            ("background_color", style.background_color.map(String::from)),
            ("font", style.font),
            ("music", style.music),
            ("logo", style.logo),
        ];
        let mut map = style.others;
        map.extend(known.into_iter().filter_map(|(key, value)| Some((key.to_owned(), Value::from(value?)))));
        map
    }
}

/// Serialises qualities by their levels. Unknown levels are ignored.
mod levels {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Quality;

    pub fn serialize<S: Serializer>(levels: &[Quality], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(levels.iter().map(|quality| quality.level()))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Quality>, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        Ok(names.iter().filter_map(|name| Quality::named(name)).collect())
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(field: &str, value: Value) -> Value {
        let mut request = serde_json::to_value(VideoRequest::of_script("Ions", "Ions move.")).unwrap();
        request[field] = value;
        request
    }

    #[test]
    fn style_preferences_are_typed_and_written_as_they_were_read() {
        let given = json!({ "aspect_ratio": "1:1", "accent_color": "#1f5fd0", "font": "Inter", "logo": 7, "mood": ["calm"] });
        let recorded = with("style_preferences", given);
        let request: VideoRequest = serde_json::from_value(recorded.clone()).unwrap();
        let style = request.style_preferences.as_ref().unwrap();
        assert_eq!((style.aspect_ratio, style.logo.as_ref()), (Some(Aspect::Square), None));
        assert_eq!(style.others.keys().collect::<Vec<_>>(), ["logo", "mood"]);
        assert_eq!(request.look().accent, Some(Colour([0x1f, 0x5f, 0xd0])));
        assert_eq!(serde_json::to_value(&request).unwrap(), recorded);
    }

    #[test]
    fn names_that_nothing_has_are_read_and_have_no_effect() {
        let request: VideoRequest = serde_json::from_value(with("template_id", json!("plain"))).unwrap();
        assert_eq!(request.template_id, Some(Template::Unknown("plain".into())));
        assert_eq!(request.look().theme, Theme::default());
        let request: VideoRequest = serde_json::from_value(with("template_id", json!("plum"))).unwrap();
        assert_eq!(request.look().theme, Theme::Plum);
        let levels = with("quality_levels", json!(["480p", "4k"]));
        let request: VideoRequest = serde_json::from_value(levels).unwrap();
        assert_eq!(request.quality_levels, [Quality::Low]);
    }
}
