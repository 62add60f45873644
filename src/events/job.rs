//! The events of a job, and the types they carry.
//!
//! An event is a fact: past tense, immutable, complete enough to be folded without looking anything
//! up. Its JSON shape is a promise; a change of shape needs a new schema number and an upcaster
//! (see `upcast.rs`), and every shape that ever shipped keeps a file in `tests/fixtures/events/`.

use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantNames};
use uuid::Uuid;

use super::Stage;
use super::event::StandIn::{EmptyList, Nothing, Text as SealedText};
use super::event::Text::{Personal, Public};
use super::event::{Event, Recorded, Text, join_texts};
use super::imported::{ImportedEnding, JobImported};
use super::request::{Priority, Quality, Rendition, VideoRequest};
use crate::ids::{BatchId, JobId};
use reel_scene::{Scene, SceneTimeline};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, IntoStaticStr, VariantNames)]
#[serde(tag = "type", content = "data")]
pub enum JobEvent {
    JobRequested(JobRequested),
    /// Another system made the job, and this one has taken it over. It has ended.
    JobImported(Box<JobImported>),
    JobQueued {
        priority: Priority,
    },
    StageScheduled(WorkItem),
    /// The first attempt at any of the stage's work began.
    StageStarted {
        stage: Stage,
        attempt: u32,
        percentage: f64,
        description: String,
    },
    StageProgressed(StageProgressed),
    ScenePlanned {
        scene: u32,
        description: Scene,
    },
    ScenarioCreated {
        voice: String,
        scenes: Vec<NarratedScene>,
    },
    /// One scene is spoken, while others may still be.
    SceneNarrated {
        voice: String,
        narrated: NarratedScene,
        percentage: f64,
    },
    /// Code of a scene was run before it is drawn, be it that it failed or not.
    SceneCodeAttempted(CodeAttempt),
    SceneCodeGenerated {
        scene: u32,
        language: String,
        code: String,
        percentage: f64,
    },
    /// The first segment of the video can be watched, while the rest of the first scene is rendered.
    StreamBegan {
        duration_ms: u64,
        streams: Vec<SceneStream>,
    },
    SceneRendered {
        scene: u32,
        clip: Clip,
        percentage: f64,
    },
    VideoCombined {
        clip: Clip,
    },
    ThumbnailCreated(Thumbnail),
    UploadStarted {
        target: StorageTarget,
        files: u32,
        bytes: u64,
    },
    UploadProgressed(UploadProgressed),
    /// A file was not stored, and is tried again `delay_ms` from now.
    UploadRetried(UploadRetried),
    /// S3 does not take the files: they stay on the disk of the worker until it does.
    StorageFellBack {
        from: StorageTarget,
        to: StorageTarget,
        error: Failure,
    },
    UploadCompleted {
        target: StorageTarget,
        files: Vec<StoredFile>,
    },
    /// The files of a completed job are in S3 as well, where they were to be from the beginning.
    StorageCaughtUp {
        target: StorageTarget,
        bytes: u64,
    },
    /// The thumbnails, captions or stream of a video could not be made or stored. The video is complete without them.
    SidecarFailed(SidecarFailed),
    /// A later attempt has made and stored them.
    SidecarStored(SidecarStored),
    StageCompleted {
        stage: Stage,
        percentage: f64,
    },
    /// An attempt at a piece of work ended, one way or the other, and this is what it took of its worker.
    StageMeasured(StageMeasured),
    StageFailed {
        stage: Stage,
        scene: Option<u32>,
        attempt: u32,
        error: Failure,
    },
    /// A language model was called, be it that it answered or not.
    ModelCalled(ModelCalled),
    /// A language model looked at a picture of a planned scene.
    SceneReviewed(SceneReviewed),
    /// The work went on, but not as its user may have meant it.
    WarningRaised {
        stage: Stage,
        scene: Option<u32>,
        warning: Warning,
    },
    /// The work goes on with another attempt, `delay_ms` from now.
    StageRetryScheduled {
        item: WorkItem,
        delay_ms: u64,
    },
    JobCompleted {
        video_id: Uuid,
        video: VideoFacts,
    },
    JobFailed {
        stage: Stage,
        error: Failure,
    },
    /// Somebody (the envelope says who) wants the job to stop.
    CancelRequested {
        reason: Option<String>,
    },
    /// The job has ended without a video; whatever still runs for it is stopped, and its result refused.
    JobCancelled {
        /// The stage it was in; `None` when none had begun.
        stage: Option<Stage>,
    },
    /// A failed or cancelled job begins again at a stage; the results of that and of later stages are void.
    JobReprocessRequested {
        from: Stage,
    },
    /// An operator has seen the failure and wants nothing more done about it.
    DeadLetterDiscarded {
        reason: Option<String>,
    },
    /// The key of the user's content is destroyed: what the job was about is gone, here and in all views.
    ContentErased {},
    /// The job is deleted: its user does not see it any more. Its files go after a while.
    JobDeleted {},
    /// The files of a deleted job are removed.
    DeletedFilesRemoved {},
    /// The stream of a failed or cancelled job is removed. Until then, it can be watched as far as it went.
    PartialStreamRemoved {},
    /// The video is older than videos are kept: its files are removed. What the events tell of it stays.
    VideoExpired {
        /// The setting at the time.
        kept_hours: u64,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobRequested {
    pub user_id: String,
    pub request: Box<VideoRequest>,
    /// The batch with which it was requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_id: Option<BatchId>,
}

impl JobRequested {
    /// Declares its texts. A batch records the same of each of its jobs.
    pub(super) const TEXTS: &'static [Text] = &join_texts::<{ Self::TEXTS_OF_REQUEST.len() + 2 }>(&[
        &[Public("/user_id"), Public("/batch_id")],
        Self::TEXTS_OF_REQUEST,
    ]);

    /// Declares the texts of a request alone.
    pub(super) const TEXTS_OF_REQUEST: &'static [Text] = &[
        Personal("/request/topic", SealedText),
        Personal("/request/context", Nothing),
        Personal("/request/script", Nothing),
        Public("/request/quality"),
        Public("/request/priority"),
        Public("/request/output_format"),
        Personal("/request/title", Nothing),
        Personal("/request/description", Nothing),
        Personal("/request/tags", Nothing),
        Personal("/request/model", Nothing),
        Personal("/request/template_id", Nothing),
        Personal("/request/style_preferences", Nothing),
        Public("/request/quality_levels/*"),
        Personal("/request/scenes", Nothing),
        Public("/request/configuration/configuration_id"),
        Personal("/request/uploads", Nothing),
        Personal("/request/callback_url", Nothing),
        Public("/request/pipeline_version"),
        // One of those that the installation has.
        Public("/request/voice"),
    ];
}

/// One piece of work: a stage, or one scene of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WorkItem {
    pub stage: Stage,
    /// From 0; `None` when the stage is done in one piece.
    pub scene: Option<u32>,
    /// From 1.
    pub attempt: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageProgressed {
    pub stage: Stage,
    pub scene: Option<u32>,
    /// In the stage's own unit: frames when rendering, lines when speaking, bytes when storing.
    pub done: u64,
    pub total: u64,
    pub percentage: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UploadProgressed {
    /// Bytes.
    pub done: u64,
    pub total: u64,
    pub percentage: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UploadRetried {
    pub stage: Stage,
    pub scene: Option<u32>,
    /// Of the file in the storage.
    pub key: String,
    /// The attempt that failed, from 1.
    pub attempt: u32,
    pub error: Failure,
    pub delay_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SidecarFailed {
    pub sidecar: Sidecar,
    /// Of the warning that it is missing, such as `THUMBNAIL_FAILED`.
    pub code: String,
    /// From 1, which is that of the stages.
    pub attempt: u32,
    pub error: Failure,
    /// From now to the next attempt; none after the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_in_ms: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SidecarStored {
    pub sidecar: Sidecar,
    pub attempt: u32,
    pub target: StorageTarget,
    pub files: Vec<StoredFile>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub thumbnails: Vec<Thumbnail>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageMeasured {
    pub stage: Stage,
    pub scene: Option<u32>,
    pub attempt: u32,
    #[serde(flatten)]
    pub usage: Usage,
}

/// The usage of an attempt, its child processes included, as far as the system tells it apart from other work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub cpu_ms: u64,
    /// From its beginning to its end.
    pub wall_ms: u64,
    /// The most that the whole worker process had meanwhile, and the largest child beside it.
    pub peak_memory_bytes: u64,
}

/// A call of a language model: never what it was asked or answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelCalled {
    pub stage: Stage,
    pub scene: Option<u32>,
    /// Attempt at the piece of work.
    pub attempt: u32,
    /// With its provider, such as `openai/gpt-4o-mini`.
    pub model: String,
    /// `planner`, `scene`, `helper` or `reviewer`.
    pub role: String,
    /// How often the model had been asked for the same, this call included.
    pub call_attempt: u32,
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// Millionths of a dollar, by the prices of the time.
    pub micro_dollars: u64,
    pub duration_ms: u64,
    /// Such as `answered`, `refused` or `rate_limited`.
    pub outcome: String,
}

/// How a look at a planned scene ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SceneReviewed {
    pub stage: Stage,
    /// Attempt at the piece of work.
    pub attempt: u32,
    pub scene: u32,
    /// With its provider, such as `openai/gpt-4o`.
    pub model: String,
    pub verdict: ReviewVerdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ReviewVerdict {
    /// The model asked for no change.
    Kept,
    /// The scene is planned as the model asked for.
    Changed,
    /// The model asked for what does not pass the rules; the scene stayed as it was.
    Unusable,
}

impl ReviewVerdict {
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// A run of a scene's code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeAttempt {
    pub scene: u32,
    /// From 1.
    pub attempt: u32,
    pub language: String,
    pub code: String,
    /// The error, with the line of the code; none for code that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The spoken narration of a scene, measured: the only clock of what follows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NarratedScene {
    pub scene: u32,
    /// WAV, 48 kHz, mono, 16 bit; relative to the job's workspace.
    pub narration: String,
    pub timeline: SceneTimeline,
    /// BLAKE3 of the file, in hex, under which other machines find it; none where all share the workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<String>,
}

/// A video file in the job's workspace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Clip {
    /// Relative to the job's workspace.
    pub file: String,
    pub frames: u64,
    pub duration_ms: u64,
    pub bytes: u64,
    /// BLAKE3 of the file, in hex, under which other machines find it; none where all share the workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<String>,
    /// Whether it had been made before, from the same content.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reused: bool,
    /// The same in other sizes and formats.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub renditions: Vec<RenditionFile>,
    /// Its part of each rendition's HTTP Live Stream.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<SceneStream>,
}

/// A scene's part of a rendition's HTTP Live Stream: one stored file, with the decoder's setup and then the segments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SceneStream {
    #[serde(flatten)]
    pub rendition: Rendition,
    /// Of the storage.
    pub key: String,
    pub bytes: u64,
    /// Of the content, in hex; the file's `ETag`.
    pub blake3: String,
    /// As RFC 6381 names them.
    pub codecs: String,
    /// Bytes of the decoder's setup, which is the same in all scenes.
    pub setup_bytes: u64,
    pub segments: Vec<StreamSegment>,
}

impl SceneStream {
    /// The part as a stored file of its own.
    pub fn to_stored_file(&self) -> StoredFile {
        StoredFile {
            role: FileRole::HlsSegments,
            rendition: Some(self.rendition),
            key: self.key.clone(),
            bytes: self.bytes,
            blake3: self.blake3.clone(),
            stream: vec![],
        }
    }

    /// The file's name, without its folder, such as `720p-03.m4s`.
    pub fn name(&self) -> &str {
        self.key.rsplit('/').next().unwrap_or_default()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamSegment {
    pub frames: u32,
    pub bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RenditionFile {
    #[serde(flatten)]
    pub rendition: Rendition,
    /// Relative to the job's workspace.
    pub file: String,
    pub bytes: u64,
    /// As that of a clip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<String>,
}

impl Clip {
    /// Where a rendition is, and its artifact; `main` is the one that `file` holds.
    pub fn file_of(&self, rendition: Rendition, main: Rendition) -> Option<(&str, Option<&str>)> {
        if rendition == main {
            return Some((&self.file, self.artifact.as_deref()));
        }
        let other = self.renditions.iter().find(|other| other.rendition == rendition)?;
        Some((&other.file, other.artifact.as_deref()))
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Thumbnail {
    pub size: ThumbnailSize,
    pub width: u32,
    pub height: u32,
    /// Relative to the job's workspace.
    pub file: String,
    pub bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ThumbnailSize {
    Small,
    Medium,
    Large,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum StorageTarget {
    Local,
    S3,
    LocalAndS3,
}

impl StorageTarget {
    pub fn name(self) -> &'static str {
        self.into()
    }

    pub fn is_in_s3(self) -> bool {
        self != StorageTarget::Local
    }
}

/// A file at its final place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredFile {
    pub role: FileRole,
    /// For what exists in several sizes or formats; without it, it is the video as it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rendition: Option<Rendition>,
    /// Relative to the storage's root.
    pub key: String,
    pub bytes: u64,
    /// BLAKE3 of the content, in hex; the download's `ETag`.
    pub blake3: String,
    /// Of a video: the parts of its HTTP Live Stream that it has inside, in their order. They have no files of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stream: Vec<StreamPart>,
}

/// A scene's part of an HTTP Live Stream, inside the file of the video. Described by [`SceneStream`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamPart {
    /// As if it were a file beside the video.
    pub name: String,
    /// Where it begins in the file, in bytes.
    pub offset: u64,
    pub bytes: u64,
    /// Of the content, in hex.
    pub blake3: String,
}

impl StoredFile {
    /// Adds files to those of a job. One with the same key is replaced.
    pub fn add_all(stored: &mut Vec<StoredFile>, added: &[StoredFile]) {
        stored.retain(|old| added.iter().all(|new| new.key != old.key));
        stored.extend_from_slice(added);
    }

    /// The file's name, without its folder.
    pub fn name(&self) -> &str {
        self.key.rsplit('/').next().unwrap_or_default()
    }

    /// Its rendition, in a job that asked for `quality`.
    pub fn rendition_in(&self, quality: Quality) -> Rendition {
        self.rendition.unwrap_or(Rendition::main(quality))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileRole {
    Video,
    ThumbnailSmall,
    ThumbnailMedium,
    ThumbnailLarge,
    CaptionsVtt,
    CaptionsSrt,
    HlsMaster,
    HlsPlaylist,
    HlsSegments,
}

/// Files that come with a video. A video that lacks them is complete, and gets them later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Sidecar {
    Thumbnails,
    Captions,
    /// The playlists of the HTTP Live Stream, and its segments where these are missing, too.
    Stream,
}

impl Sidecar {
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl FileRole {
    /// The sidecar that a file belongs to; `None` for the video itself.
    pub fn sidecar(self) -> Option<Sidecar> {
        match self {
            FileRole::Video => None,
            FileRole::ThumbnailSmall | FileRole::ThumbnailMedium | FileRole::ThumbnailLarge => {
                Some(Sidecar::Thumbnails)
            }
            FileRole::CaptionsVtt | FileRole::CaptionsSrt => Some(Sidecar::Captions),
            FileRole::HlsMaster | FileRole::HlsPlaylist | FileRole::HlsSegments => Some(Sidecar::Stream),
        }
    }
}

impl SidecarFailed {
    /// The warning that is shown until the sidecar is stored.
    pub fn warning(&self) -> Warning {
        let next = match self.retry_in_ms {
            Some(ms) => format!("the next attempt begins in {:.0} s", ms as f64 / 1000.0),
            None => "no further attempt is made".to_owned(),
        };
        let (what, attempt, message) = (self.sidecar.name(), self.attempt, &self.error.message);
        let message = format!("the video has no {what} yet: attempt {attempt} failed ({message}); {next}");
        Warning { code: self.code.clone(), message }
    }
}

/// What was read back from the finished file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VideoFacts {
    pub duration_ms: u64,
    pub width: u32,
    pub height: u32,
    pub fps: f64,
    pub frames: u64,
    pub video_codec: String,
    pub audio_codec: String,
    /// Bits per second, all streams.
    pub bitrate: u64,
    pub file_size: u64,
    /// All that was read back; early versions did not record it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub technical: Option<Box<Technical>>,
}

/// A file as `ffprobe -show_format -show_streams` describes it, under the same names. Without tags, which may hold what a
/// user wrote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Technical {
    pub format: TechnicalFormat,
    pub streams: Vec<TechnicalStream>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TechnicalFormat {
    pub format_name: String,
    pub format_long_name: String,
    pub nb_streams: u32,
    /// Seconds.
    pub duration: f64,
    /// Bytes.
    pub size: u64,
    /// Bits per second.
    pub bit_rate: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TechnicalStream {
    pub index: u32,
    /// `video`, `audio`, `subtitle` or `data`.
    pub codec_type: String,
    pub codec_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pix_fmt: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_rate: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<u32>,
    /// Such as `30/1`.
    pub r_frame_rate: String,
    pub avg_frame_rate: String,
    /// Such as `1/15360`.
    pub time_base: String,
    /// Seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<f64>,
    /// Bits per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bit_rate: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nb_frames: Option<u64>,
}

/// Why a stage or a job failed, in words for the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Stable and upper-case, such as `DISK_FULL`.
    pub code: String,
    pub message: String,
    pub retryable: bool,
    pub suggestion: Option<String>,
    /// The causes, from the nearest to the last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// Stable and upper-case, such as `SCRIPT_SHORTENED`.
    pub code: String,
    pub message: String,
}

impl JobEvent {
    /// The percentage that the event states, where it states one.
    pub fn percentage(&self) -> Option<f64> {
        match self {
            JobEvent::StageStarted { percentage, .. }
            | JobEvent::StageProgressed(StageProgressed { percentage, .. })
            | JobEvent::UploadProgressed(UploadProgressed { percentage, .. })
            | JobEvent::SceneNarrated { percentage, .. }
            | JobEvent::SceneCodeGenerated { percentage, .. }
            | JobEvent::SceneRendered { percentage, .. }
            | JobEvent::StageCompleted { percentage, .. } => Some(*percentage),
            JobEvent::JobCompleted { .. } => Some(100.0),
            JobEvent::JobImported(imported) => {
                matches!(imported.ending, ImportedEnding::Completed { .. }).then_some(100.0)
            }
            JobEvent::JobRequested(_)
            | JobEvent::JobQueued { .. }
            | JobEvent::StageScheduled(_)
            | JobEvent::ScenePlanned { .. }
            | JobEvent::SceneCodeAttempted(_)
            | JobEvent::ScenarioCreated { .. }
            | JobEvent::StreamBegan { .. }
            | JobEvent::VideoCombined { .. }
            | JobEvent::ThumbnailCreated(_)
            | JobEvent::UploadStarted { .. }
            | JobEvent::UploadRetried(_)
            | JobEvent::StorageFellBack { .. }
            | JobEvent::UploadCompleted { .. }
            | JobEvent::StorageCaughtUp { .. }
            | JobEvent::SidecarFailed(_)
            | JobEvent::SidecarStored(_)
            | JobEvent::StageMeasured(_)
            | JobEvent::StageFailed { .. }
            | JobEvent::ModelCalled(_)
            | JobEvent::SceneReviewed(_)
            | JobEvent::WarningRaised { .. }
            | JobEvent::StageRetryScheduled { .. }
            | JobEvent::JobFailed { .. }
            | JobEvent::CancelRequested { .. }
            | JobEvent::JobCancelled { .. }
            | JobEvent::JobReprocessRequested { .. }
            | JobEvent::DeadLetterDiscarded { .. }
            | JobEvent::ContentErased {}
            | JobEvent::JobDeleted {}
            | JobEvent::DeletedFilesRemoved {}
            | JobEvent::PartialStreamRemoved {}
            | JobEvent::VideoExpired { .. } => None,
        }
    }
}

impl Event for JobEvent {
    type Id = JobId;

    const TYPES: &'static [&'static str] = Self::VARIANTS;

    fn type_name(&self) -> &'static str {
        self.into()
    }

    fn texts(&self) -> &'static [Text] {
        match self {
            JobEvent::JobRequested(_) => JobRequested::TEXTS,
            JobEvent::JobImported(imported) => imported.texts(),
            JobEvent::JobQueued { .. } => &[Public("/priority")],
            JobEvent::StageScheduled(_) => &[Public("/stage")],
            JobEvent::StageStarted { .. } => &[Public("/stage"), Public("/description")],
            JobEvent::StageProgressed(_) => &[Public("/stage")],
            JobEvent::ScenePlanned { .. } => &[
                Public("/description/layout"),
                Personal("/description/title", SealedText),
                Personal("/description/icon", Nothing),
                Public("/description/language"),
                Personal("/description/blocks", EmptyList),
                Personal("/description/steps", EmptyList),
                Public("/description/leave"),
            ],
            JobEvent::ScenarioCreated { .. } => {
                &[Public("/voice"), Public("/scenes/*/narration"), Public("/scenes/*/artifact")]
            }
            JobEvent::SceneNarrated { .. } => {
                &[Public("/voice"), Public("/narrated/narration"), Public("/narrated/artifact")]
            }
            JobEvent::SceneCodeAttempted(_) => {
                &[Public("/language"), Personal("/code", SealedText), Personal("/error", Nothing)]
            }
            JobEvent::SceneCodeGenerated { .. } => &[Public("/language"), Personal("/code", SealedText)],
            JobEvent::StreamBegan { .. } => &[
                Public("/streams/*/quality"),
                Public("/streams/*/format"),
                Public("/streams/*/key"),
                Public("/streams/*/blake3"),
                Public("/streams/*/codecs"),
            ],
            JobEvent::SceneRendered { .. } | JobEvent::VideoCombined { .. } => &[
                Public("/clip/file"),
                Public("/clip/artifact"),
                Public("/clip/renditions/*/artifact"),
                Public("/clip/renditions/*/file"),
                Public("/clip/renditions/*/quality"),
                Public("/clip/renditions/*/format"),
                Public("/clip/streams/*/quality"),
                Public("/clip/streams/*/format"),
                Public("/clip/streams/*/key"),
                Public("/clip/streams/*/blake3"),
                Public("/clip/streams/*/codecs"),
            ],
            JobEvent::ThumbnailCreated(_) => &[Public("/size"), Public("/file")],
            JobEvent::UploadStarted { .. } | JobEvent::StorageCaughtUp { .. } => &[Public("/target")],
            JobEvent::UploadProgressed(_) => &[],
            JobEvent::UploadRetried(_) => &[
                Public("/stage"),
                Public("/key"),
                Public("/error/code"),
                Personal("/error/message", SealedText),
                Public("/error/suggestion"),
                Personal("/error/causes", Nothing),
            ],
            JobEvent::StorageFellBack { .. } => &[
                Public("/from"),
                Public("/to"),
                Public("/error/code"),
                Personal("/error/message", SealedText),
                Public("/error/suggestion"),
                Personal("/error/causes", Nothing),
            ],
            JobEvent::UploadCompleted { .. } => &[
                Public("/target"),
                Public("/files/*/role"),
                Public("/files/*/rendition/quality"),
                Public("/files/*/rendition/format"),
                Public("/files/*/key"),
                Public("/files/*/blake3"),
                Public("/files/*/stream/*/name"),
                Public("/files/*/stream/*/blake3"),
            ],
            JobEvent::SidecarFailed(_) => &[
                Public("/sidecar"),
                Public("/code"),
                Public("/error/code"),
                Personal("/error/message", SealedText),
                Public("/error/suggestion"),
                Personal("/error/causes", Nothing),
            ],
            JobEvent::SidecarStored(_) => &[
                Public("/sidecar"),
                Public("/target"),
                Public("/files/*/role"),
                Public("/files/*/rendition/quality"),
                Public("/files/*/rendition/format"),
                Public("/files/*/key"),
                Public("/files/*/blake3"),
                Public("/files/*/stream/*/name"),
                Public("/files/*/stream/*/blake3"),
                Public("/thumbnails/*/size"),
                Public("/thumbnails/*/file"),
            ],
            JobEvent::StageCompleted { .. } | JobEvent::StageMeasured(_) => &[Public("/stage")],
            // The model is one that the operator allows.
            JobEvent::ModelCalled(_) => {
                &[Public("/stage"), Public("/model"), Public("/role"), Public("/outcome")]
            }
            JobEvent::SceneReviewed(_) => &[Public("/stage"), Public("/model"), Public("/verdict")],
            // Messages and causes may quote what the user wrote; suggestions are fixed texts.
            JobEvent::StageFailed { .. } | JobEvent::JobFailed { .. } => &[
                Public("/stage"),
                Public("/error/code"),
                Personal("/error/message", SealedText),
                Public("/error/suggestion"),
                Personal("/error/causes", Nothing),
            ],
            JobEvent::WarningRaised { .. } => {
                &[Public("/stage"), Public("/warning/code"), Personal("/warning/message", SealedText)]
            }
            JobEvent::StageRetryScheduled { .. } => &[Public("/item/stage")],
            JobEvent::JobCompleted { .. } => &[
                Public("/video_id"),
                Public("/video/video_codec"),
                Public("/video/audio_codec"),
                Public("/video/technical/format/format_name"),
                Public("/video/technical/format/format_long_name"),
                Public("/video/technical/streams/*/codec_type"),
                Public("/video/technical/streams/*/codec_name"),
                Public("/video/technical/streams/*/profile"),
                Public("/video/technical/streams/*/pix_fmt"),
                Public("/video/technical/streams/*/r_frame_rate"),
                Public("/video/technical/streams/*/avg_frame_rate"),
                Public("/video/technical/streams/*/time_base"),
            ],
            JobEvent::CancelRequested { .. } => &[Personal("/reason", Nothing)],
            JobEvent::JobCancelled { .. } => &[Public("/stage")],
            JobEvent::JobReprocessRequested { .. } => &[Public("/from")],
            // An operator's words, which are part of the audit trail.
            JobEvent::DeadLetterDiscarded { .. } => &[Public("/reason")],
            JobEvent::ContentErased {}
            | JobEvent::JobDeleted {}
            | JobEvent::DeletedFilesRemoved {}
            | JobEvent::PartialStreamRemoved {}
            | JobEvent::VideoExpired { .. } => &[],
        }
    }
}

impl ThumbnailSize {
    pub const ALL: [ThumbnailSize; 3] = [ThumbnailSize::Small, ThumbnailSize::Medium, ThumbnailSize::Large];

    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Pixels of the longer side; the other follows from the video's shape.
    pub fn longer_side(self) -> u32 {
        match self {
            ThumbnailSize::Small => 320,
            ThumbnailSize::Medium => 640,
            ThumbnailSize::Large => 1280,
        }
    }

    pub fn file_role(self) -> FileRole {
        match self {
            ThumbnailSize::Small => FileRole::ThumbnailSmall,
            ThumbnailSize::Medium => FileRole::ThumbnailMedium,
            ThumbnailSize::Large => FileRole::ThumbnailLarge,
        }
    }
}

pub type RecordedJobEvent = Recorded<JobEvent>;
