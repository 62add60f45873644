//! Which events a command leads to.

use super::command::{Command, Outcome, SidecarAttempt, SidecarOutcome, UploadNote};
use super::state::{Job, Status};
use crate::events::imported::{ImportedEnding, JobImported};
use crate::events::job::{
    Failure, FileRole, JobRequested, ModelCalled, SceneReviewed, SceneStream, SidecarFailed, SidecarStored,
    StageMeasured, StageProgressed, StorageTarget, UploadProgressed, UploadRetried, Usage, Warning, WorkItem,
};
use crate::events::{JobEvent, Stage};

/// Why a command leads to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the job exists already")]
    AlreadyRequested,
    #[error("a job that was completed has a video to import")]
    NoVideo,
    #[error("a job cannot end before it was requested")]
    EndsTooEarly,
    #[error("there is no such job")]
    Unknown,
    #[error("the job has already ended")]
    AlreadyEnded,
    #[error("{0} is not open: it was never scheduled, or its result is recorded already")]
    WorkNotOpen(String),
    #[error("the job is {0}, and only a failed or cancelled one can begin again")]
    NotReprocessable(&'static str),
    #[error(
        "the job cannot begin again at {from}: the files of earlier stages are gone, {latest} is the latest"
    )]
    TooLate { from: Stage, latest: Stage },
    #[error("the job has no failure that waits for an operator")]
    NoDeadLetter,
    #[error("the job is still going on; cancel it first")]
    NotEnded,
    #[error("what the job was about is erased, so it cannot begin again")]
    Erased,
    #[error("the job is deleted")]
    Deleted,
    #[error("the job is not deleted, so its files stay")]
    NotDeleted,
    #[error("the job's files are where they were to be from the beginning")]
    NothingToCatchUp,
    #[error("the video has all that comes with it")]
    NoSidecarMissing,
    #[error("only a completed job has a video that can expire")]
    NoVideoToExpire,
    #[error("only a job that failed or was cancelled has a stream that can go before the job does")]
    NoPartialStream,
    #[error("a result of {stage} does not fit: {reason}")]
    WrongOutcome { stage: Stage, reason: &'static str },
}

/// The events that `command` leads to. Pure; an empty list means that there is nothing to record.
pub fn decide(job: &Job, command: Command) -> Result<Vec<JobEvent>, Rejection> {
    match command {
        Command::Request(requested) => request(job, requested),
        Command::Import(imported) => import(job, imported),
        Command::StartWork(item) => open(job, item).map(|()| start(job, item)),
        Command::ReportProgress { item, done, total } => {
            open(job, item).map(|()| progress(job, item, done, total))
        }
        Command::FinishWork { item, outcome, scene_limit } => {
            open(job, item).and_then(|()| finish(job, item, outcome, scene_limit))
        }
        Command::FailWork { item, error, most_attempts, delay_ms } => {
            open(job, item).map(|()| fail(job, item, error, most_attempts, delay_ms))
        }
        Command::NoteUpload { item, note } => open(job, item).map(|()| vec![upload_noted(item, note)]),
        Command::NoteStreamBegan { item, duration_ms, streams } => {
            open(job, item).map(|()| stream_began(job, duration_ms, streams))
        }
        Command::NoteModelCall { item, call } => open(job, item).map(|()| vec![model_called(item, *call)]),
        Command::NoteSceneReview { item, review } => {
            open(job, item).map(|()| vec![scene_reviewed(item, review)])
        }
        Command::NoteStorageCaughtUp { target, bytes } => storage_caught_up(job, target, bytes),
        Command::NoteSidecars(attempts) => sidecars_noted(job, attempts),
        Command::Measure { item, usage, ending } => {
            decide(job, *ending).map(|events| with_measured(item, usage, events))
        }
        Command::Cancel { reason } => cancel(job, reason),
        Command::Reprocess { from } => reprocess(job, from),
        Command::Discard { reason } => discard(job, reason),
        Command::EraseContent => erase_content(job),
        Command::Delete => delete(job),
        Command::NoteFilesRemoved => note_files_removed(job),
        Command::NoteStreamRemoved => note_stream_removed(job),
        Command::NoteExpired { kept_hours } => note_expired(job, kept_hours),
    }
}

/// Least time that is worth an event.
const LEAST_MEASURED_MS: u64 = 10;

/// The usage comes first: nothing follows the end of a job.
fn with_measured(item: WorkItem, usage: Usage, mut events: Vec<JobEvent>) -> Vec<JobEvent> {
    let WorkItem { stage, scene, attempt } = item;
    if !events.is_empty() && usage.cpu_ms.max(usage.wall_ms) >= LEAST_MEASURED_MS {
        events.insert(0, JobEvent::StageMeasured(StageMeasured { stage, scene, attempt, usage }));
    }
    events
}

fn open(job: &Job, item: WorkItem) -> Result<(), Rejection> {
    if job.status == Status::Unknown {
        return Err(Rejection::Unknown);
    }
    if job.has_ended() {
        return Err(Rejection::AlreadyEnded);
    }
    if !job.open_work.contains(&item) {
        let scene = item.scene.map(|scene| format!(":{scene}")).unwrap_or_default();
        return Err(Rejection::WorkNotOpen(format!("{}{scene}", item.stage)));
    }
    Ok(())
}

fn request(job: &Job, requested: JobRequested) -> Result<Vec<JobEvent>, Rejection> {
    if job.status != Status::Unknown {
        return Err(Rejection::AlreadyRequested);
    }
    let priority = requested.request.priority;
    Ok(vec![
        JobEvent::JobRequested(requested),
        JobEvent::JobQueued { priority },
        schedule(job, Stage::Initializing, None),
    ])
}

/// The times are those of the source, so nothing is scheduled, and nothing follows.
fn import(job: &Job, imported: Box<JobImported>) -> Result<Vec<JobEvent>, Rejection> {
    if job.status != Status::Unknown {
        return Err(Rejection::AlreadyRequested);
    }
    let began = imported.started_at.unwrap_or(imported.requested_at);
    if !(imported.requested_at <= began && began <= imported.ended_at) {
        return Err(Rejection::EndsTooEarly);
    }
    match &imported.ending {
        ImportedEnding::Completed { files, .. } if !files.iter().any(|file| file.role == FileRole::Video) => {
            Err(Rejection::NoVideo)
        }
        ImportedEnding::Completed { .. }
        | ImportedEnding::Failed { .. }
        | ImportedEnding::Cancelled { .. } => Ok(vec![JobEvent::JobImported(imported)]),
    }
}

fn schedule(job: &Job, stage: Stage, scene: Option<u32>) -> JobEvent {
    JobEvent::StageScheduled(WorkItem { stage, scene, attempt: job.retired(stage, scene) + 1 })
}

fn start(job: &Job, item: WorkItem) -> Vec<JobEvent> {
    if job.has_started(item.stage) {
        return vec![];
    }
    vec![JobEvent::StageStarted {
        stage: item.stage,
        attempt: item.attempt,
        percentage: job.percentage.max(item.stage.starts_at_percent()),
        description: item.stage.description().to_owned(),
    }]
}

/// Percentage when `done` of `total` is done of the piece of work: of the whole stage, or of one of its scenes.
fn percent_within(job: &Job, item: WorkItem, done: u64, total: u64) -> f64 {
    let own = if total == 0 { 0.0 } else { (done as f64 / total as f64).min(1.0) };
    let fraction = if item.scene.is_some() && !job.scenes.is_empty() {
        (job.scenes_done(item.stage) as f64 + own) / job.scenes.len() as f64
    } else {
        own
    };
    rounded(job.percentage.max(item.stage.percent_at(fraction)))
}

/// Two digits are what a progress bar can show.
fn rounded(percentage: f64) -> f64 {
    (percentage * 100.0).round() / 100.0
}

fn progress(job: &Job, item: WorkItem, done: u64, total: u64) -> Vec<JobEvent> {
    let percentage = percent_within(job, item, done, total);
    // Scenes that are rendered side by side report by turns; what does not move the bar is no news.
    if percentage <= job.percentage {
        return vec![];
    }
    if item.stage == Stage::Storage {
        return vec![JobEvent::UploadProgressed(UploadProgressed { done, total, percentage })];
    }
    vec![JobEvent::StageProgressed(StageProgressed {
        stage: item.stage,
        scene: item.scene,
        done,
        total,
        percentage,
    })]
}

fn upload_noted(item: WorkItem, note: UploadNote) -> JobEvent {
    match note {
        UploadNote::Started { target, files, bytes } => JobEvent::UploadStarted { target, files, bytes },
        UploadNote::Retried { key, attempt, error, delay_ms } => JobEvent::UploadRetried(UploadRetried {
            stage: item.stage,
            scene: item.scene,
            key,
            attempt,
            error,
            delay_ms,
        }),
        UploadNote::FellBack { from, to, error } => JobEvent::StorageFellBack { from, to, error },
    }
}

/// Another attempt at the first scene finds its stream begun, mostly with the same segment.
fn stream_began(job: &Job, duration_ms: u64, streams: Vec<SceneStream>) -> Vec<JobEvent> {
    let is_new = !streams.is_empty() && job.beginning != streams;
    is_new.then_some(JobEvent::StreamBegan { duration_ms, streams }).into_iter().collect()
}

fn model_called(item: WorkItem, call: ModelCalled) -> JobEvent {
    let WorkItem { stage, scene, attempt } = item;
    JobEvent::ModelCalled(ModelCalled { stage, scene, attempt, ..call })
}

fn scene_reviewed(WorkItem { stage, attempt, .. }: WorkItem, review: SceneReviewed) -> JobEvent {
    JobEvent::SceneReviewed(SceneReviewed { stage, attempt, ..review })
}

fn storage_caught_up(job: &Job, target: StorageTarget, bytes: u64) -> Result<Vec<JobEvent>, Rejection> {
    match job.status {
        Status::Unknown => Err(Rejection::Unknown),
        Status::Completed if job.is_deleted => Err(Rejection::Deleted),
        Status::Completed if job.has_fallen_back => Ok(vec![JobEvent::StorageCaughtUp { target, bytes }]),
        Status::Queued | Status::Processing | Status::Completed | Status::Failed | Status::Cancelled => {
            Err(Rejection::NothingToCatchUp)
        }
    }
}

/// Failures that lead to another attempt come last: what is due follows from the last event.
fn sidecars_noted(job: &Job, attempts: Vec<SidecarAttempt>) -> Result<Vec<JobEvent>, Rejection> {
    match job.status {
        Status::Unknown => return Err(Rejection::Unknown),
        _ if job.is_deleted => return Err(Rejection::Deleted),
        _ if job.is_erased => return Err(Rejection::Erased),
        _ => {}
    }
    let open = job.sidecars_to_make();
    if attempts.is_empty() || attempts.iter().any(|attempt| !open.contains(&attempt.sidecar)) {
        return Err(Rejection::NoSidecarMissing);
    }
    let event = |SidecarAttempt { sidecar, outcome }| {
        let attempt = job.missing_sidecars.get(&sidecar).map_or(0, |missing| missing.attempts) + 1;
        match outcome {
            SidecarOutcome::Stored { target, files, thumbnails } => {
                let stored = SidecarStored { sidecar, attempt, target, files, thumbnails };
                (0, JobEvent::SidecarStored(stored))
            }
            SidecarOutcome::Failed { code, error, max_attempts, delay_ms } => {
                let retry_in_ms = (error.retryable && attempt < max_attempts).then_some(delay_ms);
                let failed = SidecarFailed { sidecar, code, attempt, error, retry_in_ms };
                (1 + u8::from(retry_in_ms.is_some()), JobEvent::SidecarFailed(failed))
            }
        }
    };
    let mut events: Vec<(u8, JobEvent)> = attempts.into_iter().map(event).collect();
    events.sort_by_key(|(order, _)| *order);
    Ok(events.into_iter().map(|(_, event)| event).collect())
}

fn fail(job: &Job, item: WorkItem, error: Failure, most_attempts: u32, delay_ms: u64) -> Vec<JobEvent> {
    let WorkItem { stage, scene, attempt } = item;
    let failed = JobEvent::StageFailed { stage, scene, attempt, error: error.clone() };
    let most_attempts = job.retry_attempts().map_or(most_attempts, |retries| retries + 1);
    let next = if error.retryable && attempt - job.retired(stage, scene) < most_attempts {
        JobEvent::StageRetryScheduled { item: WorkItem { attempt: attempt + 1, ..item }, delay_ms }
    } else {
        JobEvent::JobFailed { stage, error }
    };
    vec![failed, next]
}

fn cancel(job: &Job, reason: Option<String>) -> Result<Vec<JobEvent>, Rejection> {
    match job.status {
        Status::Unknown => Err(Rejection::Unknown),
        Status::Queued | Status::Processing => {
            let cancelled = JobEvent::JobCancelled { stage: job.current_stage() };
            Ok(vec![JobEvent::CancelRequested { reason }, cancelled])
        }
        Status::Completed | Status::Failed | Status::Cancelled => Err(Rejection::AlreadyEnded),
    }
}

/// The latest stage whose input is in the events alone: the files of later ones went when the job ended.
const LATEST_WITHOUT_FILES: Stage = Stage::ScenarioCreation;

/// The latest stage that an ended job can begin again at.
fn latest_restart(job: &Job) -> Stage {
    // All was made, and is kept: only storing it failed.
    if job.has_only_storing_failed() { Stage::Combining } else { LATEST_WITHOUT_FILES }
}

fn reprocess(job: &Job, from: Option<Stage>) -> Result<Vec<JobEvent>, Rejection> {
    match job.status {
        Status::Unknown => return Err(Rejection::Unknown),
        Status::Queued | Status::Processing => return Err(Rejection::NotReprocessable("still going on")),
        Status::Completed => return Err(Rejection::NotReprocessable("completed")),
        Status::Failed | Status::Cancelled if job.is_deleted => return Err(Rejection::Deleted),
        Status::Failed | Status::Cancelled if job.is_erased => return Err(Rejection::Erased),
        Status::Failed | Status::Cancelled => {}
    }
    let unfinished = Stage::ALL.into_iter().find(|stage| !job.has_completed(*stage));
    let restart = latest_restart(job);
    let latest = unfinished.unwrap_or(restart).min(restart);
    let from = from.unwrap_or(latest);
    if from > latest {
        return Err(Rejection::TooLate { from, latest });
    }
    let begun_again = JobEvent::JobReprocessRequested { from };
    // All attempts so far are retired by it.
    let after = job.clone().after(std::slice::from_ref(&begun_again));
    let mut events = vec![begun_again];
    match from {
        Stage::ScenarioCreation if after.is_narrated_by_scene() => events.extend(ready_scenes(&after, 1)),
        _ => events.push(schedule(&after, from, None)),
    }
    Ok(events)
}

fn erase_content(job: &Job) -> Result<Vec<JobEvent>, Rejection> {
    match job.status {
        Status::Unknown => Err(Rejection::Unknown),
        Status::Queued | Status::Processing => Err(Rejection::NotEnded),
        Status::Completed | Status::Failed | Status::Cancelled if job.is_erased => Ok(vec![]),
        Status::Completed | Status::Failed | Status::Cancelled => Ok(vec![JobEvent::ContentErased {}]),
    }
}

fn delete(job: &Job) -> Result<Vec<JobEvent>, Rejection> {
    match job.status {
        Status::Unknown => Err(Rejection::Unknown),
        Status::Queued | Status::Processing => Err(Rejection::NotEnded),
        Status::Completed | Status::Failed | Status::Cancelled if job.is_deleted => Ok(vec![]),
        Status::Completed | Status::Failed | Status::Cancelled => Ok(vec![JobEvent::JobDeleted {}]),
    }
}

fn note_files_removed(job: &Job) -> Result<Vec<JobEvent>, Rejection> {
    match (job.is_deleted, job.are_files_removed) {
        (false, _) => Err(Rejection::NotDeleted),
        (true, true) => Ok(vec![]),
        (true, false) => Ok(vec![JobEvent::DeletedFilesRemoved {}]),
    }
}

/// A completed job keeps its files until it is deleted, and one that was begun again goes on with them.
fn note_stream_removed(job: &Job) -> Result<Vec<JobEvent>, Rejection> {
    match job.status {
        Status::Unknown => Err(Rejection::Unknown),
        Status::Queued | Status::Processing | Status::Completed => Err(Rejection::NoPartialStream),
        Status::Failed | Status::Cancelled if job.are_files_removed => Ok(vec![]),
        Status::Failed | Status::Cancelled => Ok(vec![JobEvent::PartialStreamRemoved {}]),
    }
}

/// A deleted job loses its files by itself.
fn note_expired(job: &Job, kept_hours: u64) -> Result<Vec<JobEvent>, Rejection> {
    match job.status {
        Status::Unknown => Err(Rejection::Unknown),
        Status::Queued | Status::Processing | Status::Failed | Status::Cancelled => {
            Err(Rejection::NoVideoToExpire)
        }
        Status::Completed if job.is_deleted => Err(Rejection::Deleted),
        Status::Completed if job.are_files_removed => Ok(vec![]),
        Status::Completed => Ok(vec![JobEvent::VideoExpired { kept_hours }]),
    }
}

fn discard(job: &Job, reason: Option<String>) -> Result<Vec<JobEvent>, Rejection> {
    match job.status {
        Status::Unknown => Err(Rejection::Unknown),
        Status::Failed if !job.is_discarded && !job.is_deleted => {
            Ok(vec![JobEvent::DeadLetterDiscarded { reason }])
        }
        Status::Queued | Status::Processing | Status::Completed | Status::Failed | Status::Cancelled => {
            Err(Rejection::NoDeadLetter)
        }
    }
}

fn finish(job: &Job, item: WorkItem, outcome: Outcome, scene_limit: u32) -> Result<Vec<JobEvent>, Rejection> {
    let stage = item.stage;
    let wrong = |reason| Err(Rejection::WrongOutcome { stage, reason });
    let results: Vec<JobEvent> = match (stage, outcome) {
        (Stage::Initializing, Outcome::Initialized) => vec![],
        (Stage::Planning, Outcome::Planned { scenes, attempts, warnings }) => {
            if scenes.is_empty() {
                return wrong("a plan has at least one scene");
            }
            let planned =
                (0..).zip(scenes).map(|(scene, description)| JobEvent::ScenePlanned { scene, description });
            let attempted = attempts.into_iter().map(JobEvent::SceneCodeAttempted);
            raised(item, warnings).chain(planned).chain(attempted).collect()
        }
        (Stage::ScenarioCreation, Outcome::Narrated { voice, scenes, warnings }) if item.scene.is_none() => {
            if scenes.len() != job.scenes.len() {
                return wrong("it must narrate every scene");
            }
            let created = JobEvent::ScenarioCreated { voice, scenes };
            raised(item, warnings).chain([created]).collect()
        }
        (Stage::ScenarioCreation, Outcome::SceneNarrated { voice, narrated, warnings }) => {
            if narrated.scene != scene_of(item)? {
                return wrong("it is the narration of another scene");
            }
            let percentage = percent_within(job, item, 1, 1);
            let spoken = JobEvent::SceneNarrated { voice, narrated, percentage };
            raised(item, warnings).chain([spoken]).collect()
        }
        (Stage::CodeGeneration, Outcome::CodeGenerated { language, code, warnings }) => {
            let scene = scene_of(item)?;
            let percentage = percent_within(job, item, 1, 1);
            let generated = JobEvent::SceneCodeGenerated { scene, language, code, percentage };
            raised(item, warnings).chain([generated]).collect()
        }
        (Stage::Rendering, Outcome::Rendered { clip, warnings }) => {
            let percentage = percent_within(job, item, 1, 1);
            let rendered = JobEvent::SceneRendered { scene: scene_of(item)?, clip, percentage };
            raised(item, warnings).chain([rendered]).collect()
        }
        (Stage::Combining, Outcome::Combined { clip, thumbnails, warnings }) => {
            let taken = thumbnails.into_iter().map(JobEvent::ThumbnailCreated);
            let combined = std::iter::once(JobEvent::VideoCombined { clip });
            raised(item, warnings).chain(combined).chain(taken).collect()
        }
        (Stage::Storage, Outcome::Stored { video_id, target, files, video, failed }) => {
            let mut results = vec![JobEvent::UploadCompleted { target, files }];
            results.extend(failed.into_iter().map(JobEvent::SidecarFailed));
            let mut events = go_on(job, item, scene_limit, results);
            events.push(JobEvent::JobCompleted { video_id, video });
            return Ok(events);
        }
        (
            _other_stage,
            Outcome::Initialized
            | Outcome::Planned { .. }
            | Outcome::Narrated { .. }
            | Outcome::SceneNarrated { .. }
            | Outcome::CodeGenerated { .. }
            | Outcome::Rendered { .. }
            | Outcome::Combined { .. }
            | Outcome::Stored { .. },
        ) => return wrong("it is the result of another stage"),
    };
    Ok(go_on(job, item, scene_limit, results))
}

fn scene_of(item: WorkItem) -> Result<u32, Rejection> {
    item.scene.ok_or(Rejection::WrongOutcome { stage: item.stage, reason: "it names no scene" })
}

fn raised(item: WorkItem, warnings: Vec<Warning>) -> impl Iterator<Item = JobEvent> {
    let raised = move |warning| JobEvent::WarningRaised { stage: item.stage, scene: item.scene, warning };
    warnings.into_iter().map(raised)
}

/// Adds to the results of a piece of work what they lead to: the end of its stage, and all work that can begin now.
fn go_on(job: &Job, item: WorkItem, scene_limit: u32, results: Vec<JobEvent>) -> Vec<JobEvent> {
    let WorkItem { stage, scene, .. } = item;
    let mut events = results;
    let mut after = job.clone().after(&events);
    let is_complete = scene.is_none() || after.scenes_done(stage) == after.scenes.len();
    if is_complete {
        let percentage = rounded(job.percentage.max(stage.percent_at(1.0)));
        let completed = JobEvent::StageCompleted { stage, percentage };
        after = after.after(std::slice::from_ref(&completed));
        events.push(completed);
    }
    events.extend(ready_scenes(&after, scene_limit));
    match stage.next().filter(|_| is_complete) {
        Some(Stage::ScenarioCreation) if after.is_narrated_by_scene() => {}
        Some(next) if !next.is_per_scene() => events.push(schedule(&after, next, None)),
        _ => {}
    }
    events
}

/// Schedules the scenes whose input is there, in the order of the video, as far as each stage has room for them. Scenes
/// go through the stages by themselves: the first is rendered while later ones are still spoken.
fn ready_scenes(job: &Job, scene_limit: u32) -> Vec<JobEvent> {
    let stages = [Stage::ScenarioCreation, Stage::CodeGeneration, Stage::Rendering];
    let ready_in = |stage: Stage| {
        let open = job.open_work.iter().filter(|open| open.stage == stage && open.scene.is_some()).count();
        let room = (scene_limit.max(1) as usize).saturating_sub(open);
        let scenes = 0..job.scenes.len() as u32;
        scenes
            .filter(move |scene| {
                job.has_input(stage, *scene)
                    && !job.is_scheduled(stage, *scene)
                    && !job.has_result(stage, *scene)
            })
            .take(room)
            .map(move |scene| schedule(job, stage, Some(scene)))
    };
    stages.into_iter().flat_map(ready_in).collect()
}
