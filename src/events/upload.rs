//! The events of a user's uploads, which are one aggregate: what counts against a quota, and which uploads share their
//! bytes, is decided over all of them.

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray, VariantNames};

use super::event::{
    Event,
    StandIn::Text as SealedText,
    Text::{self, Personal, Public},
};
use crate::ids::{UploadId, UploadsId};

/// The type of an uploaded file, found by its content.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    IntoStaticStr,
    EnumString,
    VariantArray,
)]
pub enum ContentType {
    #[serde(rename = "image/png")]
    #[strum(serialize = "image/png")]
    Png,
    #[serde(rename = "image/jpeg")]
    #[strum(serialize = "image/jpeg")]
    Jpeg,
    #[serde(rename = "image/webp")]
    #[strum(serialize = "image/webp")]
    WebP,
    #[serde(rename = "image/svg+xml")]
    #[strum(serialize = "image/svg+xml")]
    Svg,
    #[serde(rename = "image/gif")]
    #[strum(serialize = "image/gif")]
    Gif,
    #[serde(rename = "application/pdf")]
    #[strum(serialize = "application/pdf")]
    Pdf,
    #[serde(rename = "text/plain")]
    #[strum(serialize = "text/plain")]
    Text,
    #[serde(rename = "text/markdown")]
    #[strum(serialize = "text/markdown")]
    Markdown,
    #[serde(rename = "audio/wav")]
    #[strum(serialize = "audio/wav")]
    Wav,
    #[serde(rename = "audio/mpeg")]
    #[strum(serialize = "audio/mpeg")]
    Mp3,
    #[serde(rename = "video/mp4")]
    #[strum(serialize = "video/mp4")]
    Mp4,
}

impl ContentType {
    pub const ALL: &'static [ContentType] = Self::VARIANTS;

    /// The media type (RFC 6838), such as `image/png`.
    pub fn name(self) -> &'static str {
        self.into()
    }

    pub fn parse(name: &str) -> Option<Self> {
        name.parse().ok()
    }

    /// Tells whether planning reads its text.
    pub fn is_text(self) -> bool {
        matches!(self, ContentType::Text | ContentType::Markdown | ContentType::Pdf)
    }

    /// Tells whether it is a picture of any format.
    pub fn is_image(self) -> bool {
        use ContentType::{Gif, Svg, WebP};
        self.is_picture() || matches!(self, WebP | Svg | Gif)
    }

    /// Tells whether a scene can show it.
    pub fn is_picture(self) -> bool {
        matches!(self, ContentType::Png | ContentType::Jpeg)
    }
}

/// A scanner that looked for malicious content and found none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, EnumString)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Scanner {
    /// The checks of this program.
    BuiltIn,
    /// The daemon of ClamAV.
    Clamav,
}

impl Scanner {
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// A file that was received, checked and stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    pub upload_id: UploadId,
    /// The name that the user gave it: a text, never part of a path.
    pub file_name: String,
    pub content_type: ContentType,
    /// Of what is stored.
    pub bytes: u64,
    /// Of what is stored, in hex.
    pub sha256: String,
    /// The upload under whose id the bytes are stored: this one, or an earlier one with the same bytes.
    pub object: UploadId,
    pub scanned_by: Vec<Scanner>,
    /// Set when something that could do harm was taken out: what is stored is then not what was sent.
    pub is_sanitized: bool,
    /// Pixels, of a picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, VariantNames)]
#[serde(tag = "type", content = "data")]
pub enum UploadEvent {
    UploadReceived {
        user_id: String,
        upload: Upload,
    },
    UploadDeleted {
        upload_id: UploadId,
    },
    /// The key of the user's content was destroyed: all of their uploads are gone.
    UploadsErased {},
}

impl Event for UploadEvent {
    type Id = UploadsId;

    const TYPES: &'static [&'static str] = Self::VARIANTS;

    fn type_name(&self) -> &'static str {
        self.into()
    }

    fn texts(&self) -> &'static [Text] {
        match self {
            UploadEvent::UploadReceived { .. } => &[
                Public("/user_id"),
                Public("/upload/upload_id"),
                Personal("/upload/file_name", SealedText),
                Public("/upload/content_type"),
                // Whoever has the same file could tell from its hash who else has it.
                Personal("/upload/sha256", SealedText),
                Public("/upload/object"),
                Public("/upload/scanned_by/*"),
            ],
            UploadEvent::UploadDeleted { .. } => &[Public("/upload_id")],
            UploadEvent::UploadsErased {} => &[],
        }
    }
}
