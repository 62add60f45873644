//! A job that another system made, as it is taken over.
//!
//! One event holds everything: such a job has no stages of its own, and its times are those of its source.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::event::StandIn::{Nothing, Text as SealedText};
use super::event::Text::{self, Personal, Public};
use super::event::join_texts;
use super::job::{Failure, JobRequested, StorageTarget, StoredFile, VideoFacts};
use super::{Stage, VideoRequest};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobImported {
    pub user_id: String,
    pub request: Box<VideoRequest>,
    /// The job's id at its source, if it is not a UUID: then ours is derived from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_id: Option<String>,
    pub requested_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: DateTime<Utc>,
    pub ending: ImportedEnding,
}

/// The end of an imported job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum ImportedEnding {
    Completed { video_id: Uuid, video: VideoFacts, target: StorageTarget, files: Vec<StoredFile> },
    Failed { stage: Stage, error: Failure },
    Cancelled { stage: Option<Stage> },
}

impl JobImported {
    pub(super) fn texts(&self) -> &'static [Text] {
        match self.ending {
            ImportedEnding::Completed { .. } => COMPLETED,
            ImportedEnding::Failed { .. } => FAILED,
            ImportedEnding::Cancelled { .. } => CANCELLED,
        }
    }
}

/// Texts of every imported job, beside those of its request.
const OWN: [Text; 6] = [
    Public("/user_id"),
    Personal("/source_id", Nothing),
    Public("/requested_at"),
    Public("/started_at"),
    Public("/ended_at"),
    Public("/ending/status"),
];

const COMPLETED: &[Text] = &join_texts::<{ COMMON + 20 }>(&[
    JobRequested::TEXTS_OF_REQUEST,
    &OWN,
    &[
        Public("/ending/video_id"),
        Public("/ending/target"),
        Public("/ending/files/*/role"),
        Public("/ending/files/*/rendition/quality"),
        Public("/ending/files/*/rendition/format"),
        Public("/ending/files/*/key"),
        Public("/ending/files/*/blake3"),
        Public("/ending/files/*/stream/*/name"),
        Public("/ending/files/*/stream/*/blake3"),
        Public("/ending/video/video_codec"),
        Public("/ending/video/audio_codec"),
        Public("/ending/video/technical/format/format_name"),
        Public("/ending/video/technical/format/format_long_name"),
        Public("/ending/video/technical/streams/*/codec_type"),
        Public("/ending/video/technical/streams/*/codec_name"),
        Public("/ending/video/technical/streams/*/profile"),
        Public("/ending/video/technical/streams/*/pix_fmt"),
        Public("/ending/video/technical/streams/*/r_frame_rate"),
        Public("/ending/video/technical/streams/*/avg_frame_rate"),
        Public("/ending/video/technical/streams/*/time_base"),
    ],
]);

const FAILED: &[Text] = &join_texts::<{ COMMON + 5 }>(&[
    JobRequested::TEXTS_OF_REQUEST,
    &OWN,
    &[
        Public("/ending/stage"),
        Public("/ending/error/code"),
        Personal("/ending/error/message", SealedText),
        Public("/ending/error/suggestion"),
        Personal("/ending/error/causes", Nothing),
    ],
]);

const CANCELLED: &[Text] =
    &join_texts::<{ COMMON + 1 }>(&[JobRequested::TEXTS_OF_REQUEST, &OWN, &[Public("/ending/stage")]]);

const COMMON: usize = JobRequested::TEXTS_OF_REQUEST.len() + OWN.len();
