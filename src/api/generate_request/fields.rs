//! The fields of a body, and their bounds.

pub const TOPIC_CHARACTERS: (usize, usize) = (3, 500);
pub const CONTEXT_CHARACTERS: (usize, usize) = (10, 2000);
pub const SCRIPT_CHARACTERS: (usize, usize) = (1, 200_000);
pub const TITLE_CHARACTERS: (usize, usize) = (1, 200);
pub const DESCRIPTION_CHARACTERS: (usize, usize) = (1, 1000);
pub const MODEL_CHARACTERS: (usize, usize) = (1, 100);
pub const FONT_CHARACTERS: (usize, usize) = (1, 100);
pub const TAG_CHARACTERS: (usize, usize) = (1, 50);
/// Letters, digits, `-` and `_` of the name of a logo or of a piece of music.
pub const PLAIN_NAME_CHARACTERS: (usize, usize) = (1, 60);
/// Characters of the name of a stored configuration.
pub const NAME_CHARACTERS: (usize, usize) = (1, 100);
pub const MAX_TAGS: usize = 10;
pub const MAX_UPLOAD_IDS: usize = 10;
/// Twice as many as there are names of qualities.
pub const MAX_QUALITY_LEVELS: usize = 16;
pub const FRAME_RATES: [u32; 5] = [24, 25, 30, 50, 60];
pub const DURATION_SECONDS: (u32, u32) = (30, 600);
/// Bytes of JSON, as they are sent, of `style_preferences` and of `custom_config`.
pub const MAX_OBJECT_BYTES: usize = 8 * 1024;
/// Objects and lists inside each other, `style_preferences` itself included.
pub const MAX_STYLE_DEPTH: usize = 4;
/// Bytes of JSON, as they are sent.
pub const MAX_SCENES_BYTES: usize = 512 * 1024;
/// Every field that a body may have.
pub const FIELDS: [&str; 21] = [
    "topic",
    "context",
    "script",
    "scenes",
    "model",
    "use_rag",
    "template_id",
    "style_preferences",
    "custom_config",
    "quality",
    "priority",
    "output_format",
    "enable_subtitles",
    "enable_thumbnails",
    "quality_levels",
    "title",
    "description",
    "tags",
    "configuration_id",
    "upload_ids",
    "callback_url",
];
/// Those that a stored configuration may have.
pub const SETTINGS: [&str; 12] = [
    "quality",
    "priority",
    "output_format",
    "style_preferences",
    "custom_config",
    "template_id",
    "enable_subtitles",
    "enable_thumbnails",
    "quality_levels",
    "model",
    "use_rag",
    "tags",
];
/// Every key of `custom_config`.
pub const CUSTOM_KEYS: [&str; 10] = [
    "fps",
    "duration_seconds",
    "pipeline_version",
    "retry_attempts",
    "enable_streaming",
    "strict",
    "thumbnail_generation",
    "cleanup_local_files",
    "s3_upload_enabled",
    "voice",
];
/// Names of the one pipeline in requests.
pub const PIPELINE_VERSIONS: [&str; 3] = ["2.0", "2", "v2"];
pub const RETRY_ATTEMPTS: (u32, u32) = (0, 10);
/// Keys whose values would stay in the log for ever.
pub(super) const SECRET_WORDS: [&str; 4] = ["password", "secret", "token", "api_key"];
