//! What single events tell, beside the state of their job: log lines, failures, storage operations, and what they
//! add to the hourly figures.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use uuid::Uuid;

use super::rows::CatalogJob;
use crate::events::content::ERASED;
use crate::events::imported::{ImportedEnding, JobImported};
use crate::events::job::{CodeAttempt, Failure, ModelCalled, RecordedJobEvent, Warning, WorkItem};
use crate::events::{JobEvent, Priority, Quality, Stage};
use crate::ids::JobId;
use crate::projections::status::JobStatus;
use crate::projections::tables::text;

/// Everything that the events of a batch add.
#[derive(Debug, Default)]
pub struct Facts {
    pub logs: Vec<LogRow>,
    pub failures: Vec<FailureRow>,
    pub operations: Vec<OperationRow>,
    pub hourly_jobs: HashMap<(DateTime<Utc>, &'static str, &'static str), HourlyJobs>,
    pub hourly_stages: HashMap<(DateTime<Utc>, &'static str), HourlyStages>,
    /// How many more jobs of a user have a status, by priority, now.
    pub user_jobs: BTreeMap<(String, &'static str, &'static str), i64>,
    /// Jobs whose earlier log lines and failures lose their words.
    pub erased: Vec<JobId>,
}

#[derive(Debug, Clone)]
pub struct LogRow {
    pub job_id: Uuid,
    pub version: i64,
    pub at: DateTime<Utc>,
    /// `debug`, `info`, `warning` or `error`.
    pub level: &'static str,
    pub stage: Option<&'static str>,
    pub scene: Option<i32>,
    pub message: String,
}

#[derive(Debug, Clone)]
pub struct FailureRow {
    pub job_id: Uuid,
    pub version: i64,
    pub at: DateTime<Utc>,
    pub stage: &'static str,
    pub scene: Option<i32>,
    pub attempt: i32,
    pub code: String,
    pub message: String,
    pub retryable: bool,
}

#[derive(Debug, Clone)]
pub struct OperationRow {
    pub job_id: Uuid,
    pub version: i64,
    pub target: &'static str,
    pub files: i32,
    pub bytes: i64,
    pub started_at: DateTime<Utc>,
    pub completed_at: DateTime<Utc>,
}

#[derive(Debug, Clone, Default)]
pub struct HourlyJobs {
    pub requested: i64,
    pub started: i64,
    pub completed: i64,
    pub failed: i64,
    pub cancelled: i64,
    pub queue_ms: i64,
    pub processing_ms: i64,
    pub video_ms: i64,
    pub frames: i64,
    pub bytes: i64,
}

#[derive(Debug, Clone, Default)]
pub struct HourlyStages {
    pub completed: i64,
    pub failed: i64,
    pub retried: i64,
    pub duration_ms: i64,
}

/// Clocks may jump back; a duration is never less than nothing.
fn ms_between(from: Option<DateTime<Utc>>, until: DateTime<Utc>) -> i64 {
    from.map_or(0, |from| (until - from).num_milliseconds().max(0))
}

fn hour_of(at: DateTime<Utc>) -> DateTime<Utc> {
    at.duration_trunc(TimeDelta::hours(1)).unwrap_or(at)
}

impl Facts {
    /// What one event adds. `job` is as it was before the event, `after` as it is with it.
    pub fn note(
        &mut self,
        status_before: Option<JobStatus>,
        after: &CatalogJob,
        started_before: bool,
        recorded: &RecordedJobEvent,
    ) {
        self.count_status(status_before, after, &recorded.event);
        self.count_hours(after, started_before, recorded);
        self.keep_rows(after, recorded);
        if let Some((level, stage, scene, message)) = log_line(&recorded.event) {
            self.logs.push(LogRow {
                job_id: after.view.job_id.0,
                version: recorded.version as i64,
                at: recorded.recorded_at,
                level,
                stage: stage.map(Stage::name),
                scene,
                message,
            });
        }
        if matches!(recorded.event, JobEvent::ContentErased {}) {
            self.erase(after.view.job_id);
        }
    }

    /// What is deleted is in no list, and so in no count of one.
    fn count_status(&mut self, before: Option<JobStatus>, after: &CatalogJob, event: &JobEvent) {
        let status = after.view.status;
        let is_deleted_now = matches!(event, JobEvent::JobDeleted {});
        if before == Some(status) && !is_deleted_now {
            return;
        }
        let mut count = |status: JobStatus, more| {
            *self
                .user_jobs
                .entry((text(&after.view.user_id), status.name(), after.view.priority.name()))
                .or_default() += more;
        };
        if !is_deleted_now {
            count(status, 1);
        }
        if let Some(before) = before {
            count(before, -1);
        }
    }

    fn count_hours(&mut self, job: &CatalogJob, started_before: bool, recorded: &RecordedJobEvent) {
        let (at, view) = (recorded.recorded_at, &job.view);
        let hour = hour_of(at);
        match &recorded.event {
            JobEvent::JobRequested(_) => self.jobs(hour, view.quality, view.priority).requested += 1,
            JobEvent::StageStarted { .. } if !started_before => {
                let figures = self.jobs(hour, view.quality, view.priority);
                figures.started += 1;
                figures.queue_ms += ms_between(Some(view.created_at), at);
            }
            JobEvent::JobCompleted { video, .. } => {
                let figures = self.jobs(hour, view.quality, view.priority);
                figures.completed += 1;
                figures.processing_ms += ms_between(view.started_at, at);
                figures.video_ms += video.duration_ms as i64;
                figures.frames += video.frames as i64;
                figures.bytes += video.file_size as i64;
            }
            JobEvent::JobFailed { .. } => self.jobs(hour, view.quality, view.priority).failed += 1,
            JobEvent::JobCancelled { .. } => self.jobs(hour, view.quality, view.priority).cancelled += 1,
            JobEvent::StageCompleted { stage, .. } => {
                let started_at = job.stage_row(*stage).and_then(|row| row.started_at);
                let figures = self.stages(hour, *stage);
                figures.completed += 1;
                figures.duration_ms += ms_between(started_at, at);
            }
            JobEvent::StageFailed { stage, .. } => self.stages(hour, *stage).failed += 1,
            JobEvent::StageRetryScheduled { item, .. } => self.stages(hour, item.stage).retried += 1,
            // What another system did is no work of this one.
            JobEvent::JobImported(_)
            | JobEvent::StageStarted { .. }
            | JobEvent::JobQueued { .. }
            | JobEvent::StageScheduled(_)
            | JobEvent::StageProgressed(_)
            | JobEvent::ScenePlanned { .. }
            | JobEvent::SceneCodeAttempted(_)
            | JobEvent::ScenarioCreated { .. }
            | JobEvent::SceneNarrated { .. }
            | JobEvent::SceneCodeGenerated { .. }
            | JobEvent::StreamBegan { .. }
            | JobEvent::SceneRendered { .. }
            | JobEvent::VideoCombined { .. }
            | JobEvent::ThumbnailCreated(_)
            | JobEvent::StageMeasured(_)
            | JobEvent::UploadStarted { .. }
            | JobEvent::UploadProgressed(_)
            | JobEvent::UploadRetried(_)
            | JobEvent::StorageFellBack { .. }
            | JobEvent::UploadCompleted { .. }
            | JobEvent::StorageCaughtUp { .. }
            | JobEvent::SidecarFailed(_)
            | JobEvent::SidecarStored(_)
            | JobEvent::CancelRequested { .. }
            | JobEvent::JobReprocessRequested { .. }
            | JobEvent::ModelCalled(_)
            | JobEvent::SceneReviewed(_)
            | JobEvent::WarningRaised { .. }
            | JobEvent::DeadLetterDiscarded { .. }
            | JobEvent::ContentErased {}
            | JobEvent::JobDeleted {}
            | JobEvent::DeletedFilesRemoved {}
            | JobEvent::PartialStreamRemoved {}
            | JobEvent::VideoExpired { .. } => {}
        }
    }

    fn jobs(&mut self, hour: DateTime<Utc>, quality: Quality, priority: Priority) -> &mut HourlyJobs {
        self.hourly_jobs.entry((hour, quality.name(), priority.name())).or_default()
    }

    fn stages(&mut self, hour: DateTime<Utc>, stage: Stage) -> &mut HourlyStages {
        self.hourly_stages.entry((hour, stage.name())).or_default()
    }

    fn keep_rows(&mut self, job: &CatalogJob, recorded: &RecordedJobEvent) {
        let (job_id, version, at) = (job.view.job_id.0, recorded.version as i64, recorded.recorded_at);
        match &recorded.event {
            JobEvent::StageFailed { stage, scene, attempt, error } => self.failures.push(FailureRow {
                job_id,
                version,
                at,
                stage: stage.name(),
                scene: scene.map(|scene| scene as i32),
                attempt: *attempt as i32,
                code: error.code.clone(),
                message: error.message.clone(),
                retryable: error.retryable,
            }),
            JobEvent::UploadCompleted { target, files } => self.operations.push(OperationRow {
                job_id,
                version,
                target: target.name(),
                files: files.len() as i32,
                bytes: files.iter().map(|file| file.bytes as i64).sum(),
                started_at: job.stage_row(Stage::Storage).and_then(|row| row.started_at).unwrap_or(at),
                completed_at: at,
            }),
            JobEvent::StorageCaughtUp { target, bytes } => self.operations.push(OperationRow {
                job_id,
                version,
                target: target.name(),
                files: job.files.len() as i32,
                bytes: *bytes as i64,
                started_at: at,
                completed_at: at,
            }),
            JobEvent::SidecarStored(stored) => self.operations.push(OperationRow {
                job_id,
                version,
                target: stored.target.name(),
                files: stored.files.len() as i32,
                bytes: stored.files.iter().map(|file| file.bytes as i64).sum(),
                started_at: at,
                completed_at: at,
            }),
            JobEvent::SidecarFailed(_)
            | JobEvent::JobRequested(_)
            | JobEvent::JobImported(_)
            | JobEvent::JobQueued { .. }
            | JobEvent::StageScheduled(_)
            | JobEvent::StageStarted { .. }
            | JobEvent::StageProgressed(_)
            | JobEvent::ScenePlanned { .. }
            | JobEvent::SceneCodeAttempted(_)
            | JobEvent::ScenarioCreated { .. }
            | JobEvent::SceneNarrated { .. }
            | JobEvent::SceneCodeGenerated { .. }
            | JobEvent::StreamBegan { .. }
            | JobEvent::SceneRendered { .. }
            | JobEvent::VideoCombined { .. }
            | JobEvent::ThumbnailCreated(_)
            | JobEvent::StageMeasured(_)
            | JobEvent::UploadStarted { .. }
            | JobEvent::UploadProgressed(_)
            | JobEvent::UploadRetried(_)
            | JobEvent::StorageFellBack { .. }
            | JobEvent::StageCompleted { .. }
            | JobEvent::StageRetryScheduled { .. }
            | JobEvent::JobCompleted { .. }
            | JobEvent::JobFailed { .. }
            | JobEvent::CancelRequested { .. }
            | JobEvent::JobCancelled { .. }
            | JobEvent::JobReprocessRequested { .. }
            | JobEvent::ModelCalled(_)
            | JobEvent::SceneReviewed(_)
            | JobEvent::WarningRaised { .. }
            | JobEvent::DeadLetterDiscarded { .. }
            | JobEvent::ContentErased {}
            | JobEvent::JobDeleted {}
            | JobEvent::DeletedFilesRemoved {}
            | JobEvent::PartialStreamRemoved {}
            | JobEvent::VideoExpired { .. } => {}
        }
    }

    fn erase(&mut self, job_id: JobId) {
        for row in self
            .logs
            .iter_mut()
            .filter(|row| row.job_id == job_id.0 && ["error", "warning"].contains(&row.level))
        {
            ERASED.clone_into(&mut row.message);
        }
        for row in self.failures.iter_mut().filter(|row| row.job_id == job_id.0) {
            ERASED.clone_into(&mut row.message);
        }
        self.erased.push(job_id);
    }
}

fn imported_line(imported: &JobImported) -> Line {
    let JobImported { requested_at, ended_at, .. } = imported;
    let times = format!("requested at {requested_at:?}, ended at {ended_at:?}");
    match &imported.ending {
        ImportedEnding::Completed { files, .. } => {
            let message = format!("A completed job was imported with {} files: {times}", files.len());
            ("info", None, None, message)
        }
        ImportedEnding::Failed { stage, error } => {
            let Failure { code, message, .. } = error;
            ("error", Some(*stage), None, format!("A failed job was imported: {times}; {code}: {message}"))
        }
        ImportedEnding::Cancelled { stage } => {
            ("info", *stage, None, format!("A cancelled job was imported: {times}"))
        }
    }
}

type Line = (&'static str, Option<Stage>, Option<i32>, String);

/// What a user reads of an event. Only lines of level `error` hold words that may be a user's.
fn log_line(event: &JobEvent) -> Option<Line> {
    let of_item = |item: &WorkItem| (Some(item.stage), item.scene.map(|scene| scene as i32));
    let failed = |error: &Failure| format!("{}: {}", error.code, error.message);
    Some(match event {
        JobEvent::JobRequested(requested) => {
            let request = &requested.request;
            let message = format!(
                "A video was requested: {} quality, {} priority",
                request.quality.name(),
                request.priority.name()
            );
            ("info", None, None, message)
        }
        JobEvent::JobImported(imported) => imported_line(imported),
        JobEvent::StageStarted { stage, description, .. } => {
            ("info", Some(*stage), None, description.clone())
        }
        JobEvent::ScenarioCreated { scenes, .. } => {
            let ms: u64 = scenes.iter().map(|scene| scene.timeline.duration_ms()).sum();
            let message = format!("{} scenes are narrated, {:.1} s in all", scenes.len(), ms as f64 / 1000.0);
            ("info", Some(Stage::ScenarioCreation), None, message)
        }
        JobEvent::SceneNarrated { narrated, .. } => {
            let (scene, ms) = (narrated.scene, narrated.timeline.duration_ms());
            let message = format!("Scene {} is narrated, {:.1} s", scene + 1, ms as f64 / 1000.0);
            ("debug", Some(Stage::ScenarioCreation), Some(scene as i32), message)
        }
        JobEvent::SceneCodeAttempted(attempt) => {
            let CodeAttempt { scene, attempt, error, .. } = attempt;
            let (level, ending) = match error {
                Some(error) => ("warning", format!("failed: {error}")),
                None => ("debug", "runs".to_owned()),
            };
            let message = format!("Attempt {attempt} at the code of scene {} {ending}", scene + 1);
            (level, Some(Stage::Planning), Some(*scene as i32), message)
        }
        JobEvent::StreamBegan { .. } => {
            ("debug", Some(Stage::Rendering), Some(0), "The first seconds can be watched".to_owned())
        }
        JobEvent::SceneRendered { scene, clip, .. } => {
            let message = format!("Scene {} is rendered: {} frames", scene + 1, clip.frames);
            ("debug", Some(Stage::Rendering), Some(*scene as i32), message)
        }
        JobEvent::VideoCombined { clip } => {
            let message = format!("The scenes are one video: {} frames, {} bytes", clip.frames, clip.bytes);
            ("info", Some(Stage::Combining), None, message)
        }
        JobEvent::UploadCompleted { target, files } => {
            let bytes: u64 = files.iter().map(|file| file.bytes).sum();
            let message = format!("{} files are stored ({}), {bytes} bytes", files.len(), target.name());
            ("info", Some(Stage::Storage), None, message)
        }
        JobEvent::UploadRetried(retried) => {
            let message = format!(
                "Upload attempt {} of a file failed ({}); the next begins in {:.1} s",
                retried.attempt,
                failed(&retried.error),
                retried.delay_ms as f64 / 1000.0
            );
            ("warning", Some(retried.stage), retried.scene.map(|scene| scene as i32), message)
        }
        JobEvent::StorageFellBack { error, .. } => {
            let message =
                format!("S3 does not take the files, so they stay where they were made ({})", failed(error));
            ("warning", Some(Stage::Storage), None, message)
        }
        JobEvent::StorageCaughtUp { bytes, .. } => (
            "info",
            Some(Stage::Storage),
            None,
            format!("The files are in S3 now: {bytes} bytes were uploaded"),
        ),
        JobEvent::SidecarFailed(failed) => {
            let Warning { code, message } = failed.warning();
            ("warning", Some(Stage::Storage), None, format!("{code}: {message}"))
        }
        JobEvent::SidecarStored(stored) => {
            let (what, attempt, files) = (stored.sidecar.name(), stored.attempt, stored.files.len());
            let message = format!("The video has its {what} now: attempt {attempt} stored {files} files");
            ("info", Some(Stage::Storage), None, message)
        }
        JobEvent::StageFailed { stage, scene, error, .. } => {
            ("error", Some(*stage), scene.map(|scene| scene as i32), failed(error))
        }
        JobEvent::ModelCalled(call) => {
            let ModelCalled { model, role, outcome, input_tokens, output_tokens, duration_ms, .. } = call;
            let message = format!(
                "{model} was called as {role}: {outcome}, {input_tokens} tokens in, {output_tokens} out, {:.1} s",
                *duration_ms as f64 / 1000.0
            );
            ("debug", Some(call.stage), call.scene.map(|scene| scene as i32), message)
        }
        JobEvent::SceneReviewed(review) => {
            let message =
                format!("{} looked at the picture of the scene: {}", review.model, review.verdict.name());
            ("info", Some(review.stage), Some(review.scene as i32), message)
        }
        JobEvent::WarningRaised { stage, scene, warning } => {
            let message = format!("{}: {}", warning.code, warning.message);
            ("warning", Some(*stage), scene.map(|scene| scene as i32), message)
        }
        JobEvent::StageRetryScheduled { item, delay_ms } => {
            let (stage, scene) = of_item(item);
            let message = format!("Attempt {} begins in {:.1} s", item.attempt, *delay_ms as f64 / 1000.0);
            ("warning", stage, scene, message)
        }
        JobEvent::JobCompleted { .. } => ("info", None, None, "The video is ready".to_owned()),
        JobEvent::JobFailed { stage, error } => {
            ("error", Some(*stage), None, format!("The job failed: {}", failed(error)))
        }
        JobEvent::JobCancelled { stage } => ("warning", *stage, None, "The job was cancelled".to_owned()),
        JobEvent::JobReprocessRequested { from } => {
            ("info", Some(*from), None, format!("The job begins again at {from}"))
        }
        JobEvent::DeadLetterDiscarded { .. } => {
            ("info", None, None, "The failure was put aside by an operator".to_owned())
        }
        JobEvent::ContentErased {} => ("info", None, None, "What the job was about is erased".to_owned()),
        JobEvent::JobDeleted {} => ("info", None, None, "The job was deleted".to_owned()),
        JobEvent::DeletedFilesRemoved {} => ("info", None, None, "The job's files are removed".to_owned()),
        JobEvent::PartialStreamRemoved {} => {
            ("info", None, None, "What there was of the stream is removed".to_owned())
        }
        JobEvent::VideoExpired { kept_hours } => {
            let message = format!("The video is removed: videos are kept for {kept_hours} hours");
            ("info", None, None, message)
        }
        JobEvent::JobQueued { .. }
        | JobEvent::StageScheduled(_)
        | JobEvent::StageProgressed(_)
        | JobEvent::ScenePlanned { .. }
        | JobEvent::SceneCodeGenerated { .. }
        | JobEvent::ThumbnailCreated(_)
        | JobEvent::UploadStarted { .. }
        | JobEvent::UploadProgressed(_)
        | JobEvent::StageCompleted { .. }
        | JobEvent::StageMeasured(_)
        | JobEvent::CancelRequested { .. } => return None,
    })
}
