//! What can be asked of a job.

use uuid::Uuid;

use crate::events::Stage;
use crate::events::imported::JobImported;
use crate::events::job::{
    Clip, CodeAttempt, Failure, JobRequested, ModelCalled, NarratedScene, SceneReviewed, SceneStream,
    Sidecar, SidecarFailed, StorageTarget, StoredFile, Thumbnail, Usage, VideoFacts, Warning, WorkItem,
};
use reel_scene::Scene;

#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    Request(JobRequested),
    /// Take over a job that another system made, as it ended there.
    Import(Box<JobImported>),
    /// A worker begins an attempt.
    StartWork(WorkItem),
    ReportProgress {
        item: WorkItem,
        done: u64,
        total: u64,
    },
    FinishWork {
        item: WorkItem,
        outcome: Outcome,
        /// Scenes of the job that may be worked on at a time, from 1.
        scene_limit: u32,
    },
    /// An attempt failed. Work is tried again after `delay_ms` while it has had fewer than
    /// `most_attempts`, if the error is retryable.
    FailWork {
        item: WorkItem,
        error: Failure,
        most_attempts: u32,
        delay_ms: u64,
    },
    /// Record what happens while files are stored.
    NoteUpload {
        item: WorkItem,
        note: UploadNote,
    },
    /// Record that the first segment of the video is stored, while its first scene is rendered.
    NoteStreamBegan {
        item: WorkItem,
        duration_ms: u64,
        streams: Vec<SceneStream>,
    },
    /// Record a call of a language model. Its stage, scene and attempt are those of `item`.
    NoteModelCall {
        item: WorkItem,
        call: Box<ModelCalled>,
    },
    /// Record a look at a planned scene. Its stage and attempt are those of `item`.
    NoteSceneReview {
        item: WorkItem,
        review: SceneReviewed,
    },
    /// The files that S3 did not take at first are there now.
    NoteStorageCaughtUp {
        target: StorageTarget,
        bytes: u64,
    },
    /// Record another attempt at the sidecars that a completed video lacks.
    NoteSidecars(Vec<SidecarAttempt>),
    /// Record the usage of an attempt together with how it ended.
    Measure {
        item: WorkItem,
        usage: Usage,
        ending: Box<Command>,
    },
    /// Stop the job, whatever it is doing.
    Cancel {
        reason: Option<String>,
    },
    /// Begin a failed or cancelled job again, at a stage or, with `None`, as late as its files allow.
    Reprocess {
        from: Option<Stage>,
    },
    /// Forget what the user wrote; the key of it is destroyed. An ended job only.
    EraseContent,
    /// Hide an ended job from its user for good.
    Delete,
    /// Note that the files of a deleted job are removed.
    NoteFilesRemoved,
    /// Note that the stream of a failed or cancelled job is removed.
    NoteStreamRemoved,
    /// Note that the files of a completed job are removed, because videos are kept for so many hours.
    NoteExpired {
        kept_hours: u64,
    },
    /// Put a failed job aside for good.
    Discard {
        reason: Option<String>,
    },
}

/// What happens while files are stored.
#[derive(Debug, Clone, PartialEq)]
pub enum UploadNote {
    Started { target: StorageTarget, files: u32, bytes: u64 },
    Retried { key: String, attempt: u32, error: Failure, delay_ms: u64 },
    FellBack { from: StorageTarget, to: StorageTarget, error: Failure },
}

/// An attempt at a sidecar, after the video was completed without it.
#[derive(Debug, Clone, PartialEq)]
pub struct SidecarAttempt {
    pub sidecar: Sidecar,
    pub outcome: SidecarOutcome,
}

#[derive(Debug, Clone, PartialEq)]
pub enum SidecarOutcome {
    Stored {
        target: StorageTarget,
        files: Vec<StoredFile>,
        thumbnails: Vec<Thumbnail>,
    },
    /// Tried again after `delay_ms` while there were fewer than `max_attempts`, if the error is retryable. `code` is that of the
    /// warning.
    Failed {
        code: String,
        error: Failure,
        max_attempts: u32,
        delay_ms: u64,
    },
}

/// What a stage produced.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Initialized,
    Planned {
        scenes: Vec<Scene>,
        /// Runs of the scenes' code, in order.
        attempts: Vec<CodeAttempt>,
        warnings: Vec<Warning>,
    },
    /// All scenes at once.
    Narrated {
        voice: String,
        scenes: Vec<NarratedScene>,
        warnings: Vec<Warning>,
    },
    SceneNarrated {
        voice: String,
        narrated: NarratedScene,
        warnings: Vec<Warning>,
    },
    CodeGenerated {
        language: String,
        code: String,
        warnings: Vec<Warning>,
    },
    Rendered {
        clip: Clip,
        warnings: Vec<Warning>,
    },
    Combined {
        clip: Clip,
        thumbnails: Vec<Thumbnail>,
        warnings: Vec<Warning>,
    },
    Stored {
        video_id: Uuid,
        target: StorageTarget,
        files: Vec<StoredFile>,
        video: VideoFacts,
        /// The sidecars that the video lacks, each with its first attempt.
        failed: Vec<SidecarFailed>,
    },
}
