//! Which events a command leads to.

use super::command::{Command, Outcome};
use super::state::{Job, Status};
use crate::events::job::{Failure, JobRequested, StageMeasured, StageProgressed, Usage, Warning, WorkItem};
use crate::events::{JobEvent, Stage};

/// Why a command leads to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the job exists already")]
    AlreadyRequested,
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
    #[error("a result of {stage} does not fit: {reason}")]
    WrongOutcome { stage: Stage, reason: &'static str },
}

/// The events that `command` leads to. Pure; an empty list means that there is nothing to record.
pub fn decide(job: &Job, command: Command) -> Result<Vec<JobEvent>, Rejection> {
    match command {
        Command::Request(requested) => request(job, requested),
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
        Command::Measure { item, usage, ending } => {
            decide(job, *ending).map(|events| with_measured(item, usage, events))
        }
        Command::Cancel { reason } => cancel(job, reason),
        Command::Reprocess { from } => reprocess(job, from),
        Command::Discard { reason } => discard(job, reason),
        Command::EraseContent => erase_content(job),
    }
}

/// What takes less than this is not worth an event.
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
    let fraction = if item.stage.is_per_scene() && !job.scenes.is_empty() {
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
    vec![JobEvent::StageProgressed(StageProgressed {
        stage: item.stage,
        scene: item.scene,
        done,
        total,
        percentage,
    })]
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

fn reprocess(job: &Job, from: Option<Stage>) -> Result<Vec<JobEvent>, Rejection> {
    match job.status {
        Status::Unknown => return Err(Rejection::Unknown),
        Status::Queued | Status::Processing => return Err(Rejection::NotReprocessable("still going on")),
        Status::Completed => return Err(Rejection::NotReprocessable("completed")),
        Status::Failed | Status::Cancelled if job.is_erased => return Err(Rejection::Erased),
        Status::Failed | Status::Cancelled => {}
    }
    let unfinished = Stage::ALL.into_iter().find(|stage| !job.has_completed(*stage));
    let latest = unfinished.unwrap_or(LATEST_WITHOUT_FILES).min(LATEST_WITHOUT_FILES);
    let from = from.unwrap_or(latest);
    if from > latest {
        return Err(Rejection::TooLate { from, latest });
    }
    // All attempts so far are retired by the first of these events.
    let attempt = job.last_attempts.get(&(from, None)).copied().unwrap_or(0) + 1;
    let first = JobEvent::StageScheduled(WorkItem { stage: from, scene: None, attempt });
    Ok(vec![JobEvent::JobReprocessRequested { from }, first])
}

fn erase_content(job: &Job) -> Result<Vec<JobEvent>, Rejection> {
    match job.status {
        Status::Unknown => Err(Rejection::Unknown),
        Status::Queued | Status::Processing => Err(Rejection::NotEnded),
        Status::Completed | Status::Failed | Status::Cancelled if job.is_erased => Ok(vec![]),
        Status::Completed | Status::Failed | Status::Cancelled => Ok(vec![JobEvent::ContentErased {}]),
    }
}

fn discard(job: &Job, reason: Option<String>) -> Result<Vec<JobEvent>, Rejection> {
    match job.status {
        Status::Unknown => Err(Rejection::Unknown),
        Status::Failed if !job.is_discarded => Ok(vec![JobEvent::DeadLetterDiscarded { reason }]),
        Status::Queued | Status::Processing | Status::Completed | Status::Failed | Status::Cancelled => {
            Err(Rejection::NoDeadLetter)
        }
    }
}

fn finish(job: &Job, item: WorkItem, outcome: Outcome, scene_limit: u32) -> Result<Vec<JobEvent>, Rejection> {
    let stage = item.stage;
    let wrong = |reason| Err(Rejection::WrongOutcome { stage, reason });
    match (stage, outcome) {
        (Stage::Initializing, Outcome::Initialized) => Ok(then(job, stage, scene_limit, vec![])),
        (Stage::Planning, Outcome::Planned { scenes, warnings }) => {
            if scenes.is_empty() {
                return wrong("a plan has at least one scene");
            }
            let planned =
                (0..).zip(scenes).map(|(scene, description)| JobEvent::ScenePlanned { scene, description });
            let results = raised(item, warnings).chain(planned).collect();
            Ok(then(job, stage, scene_limit, results))
        }
        (Stage::ScenarioCreation, Outcome::Narrated { voice, scenes, warnings }) => {
            if scenes.len() != job.scenes.len() {
                return wrong("it must narrate every scene");
            }
            let created = JobEvent::ScenarioCreated { voice, scenes };
            Ok(then(job, stage, scene_limit, raised(item, warnings).chain([created]).collect()))
        }
        (Stage::CodeGeneration, Outcome::CodeGenerated { language, code, warnings }) => {
            let scene = scene_of(item)?;
            let percentage = percent_within(job, item, 1, 1);
            let generated = JobEvent::SceneCodeGenerated { scene, language, code, percentage };
            Ok(raised(item, warnings).chain(fan_in(job, item, scene_limit, generated)).collect())
        }
        (Stage::Rendering, Outcome::Rendered { clip }) => {
            let scene = scene_of(item)?;
            let percentage = percent_within(job, item, 1, 1);
            Ok(fan_in(job, item, scene_limit, JobEvent::SceneRendered { scene, clip, percentage }))
        }
        (Stage::Combining, Outcome::Combined { clip, thumbnails }) => {
            let mut results = vec![JobEvent::VideoCombined { clip }];
            results.extend(thumbnails.into_iter().map(JobEvent::ThumbnailCreated));
            Ok(then(job, stage, scene_limit, results))
        }
        (Stage::Storage, Outcome::Stored { video_id, target, files, video }) => {
            let bytes = files.iter().map(|file| file.bytes).sum();
            let started = JobEvent::UploadStarted { target, files: files.len() as u32, bytes };
            let mut events =
                then(job, stage, scene_limit, vec![started, JobEvent::UploadCompleted { target, files }]);
            events.push(JobEvent::JobCompleted { video_id, video });
            Ok(events)
        }
        (
            _other_stage,
            Outcome::Initialized
            | Outcome::Planned { .. }
            | Outcome::Narrated { .. }
            | Outcome::CodeGenerated { .. }
            | Outcome::Rendered { .. }
            | Outcome::Combined { .. }
            | Outcome::Stored { .. },
        ) => wrong("it is the result of another stage"),
    }
}

fn scene_of(item: WorkItem) -> Result<u32, Rejection> {
    item.scene.ok_or(Rejection::WrongOutcome { stage: item.stage, reason: "it names no scene" })
}

fn raised(item: WorkItem, warnings: Vec<Warning>) -> impl Iterator<Item = JobEvent> {
    let raised = move |warning| JobEvent::WarningRaised { stage: item.stage, scene: item.scene, warning };
    warnings.into_iter().map(raised)
}

/// A scene is done: the next takes its place. When it was the last one, the stage is done.
fn fan_in(job: &Job, item: WorkItem, scene_limit: u32, scene_done: JobEvent) -> Vec<JobEvent> {
    if job.scenes_done(item.stage) + 1 == job.scenes.len() {
        return then(job, item.stage, scene_limit, vec![scene_done]);
    }
    let scheduled = job.scheduled_scenes(item.stage);
    // The limit may have changed since the stage was scheduled: so many places are free now.
    let under_way = job.open_work.iter().filter(|open| open.stage == item.stage).count() as u32 - 1;
    let places = scene_limit.saturating_sub(under_way);
    let next = (scheduled..job.scenes.len() as u32).take(places as usize);
    std::iter::once(scene_done).chain(next.map(|scene| schedule(job, item.stage, Some(scene)))).collect()
}

/// The results of a stage, its completion, and the work of the stage after it: one piece, or one for
/// each of the first scenes.
fn then(job: &Job, stage: Stage, scene_limit: u32, results: Vec<JobEvent>) -> Vec<JobEvent> {
    let mut events = results;
    let percentage = rounded(job.percentage.max(stage.percent_at(1.0)));
    events.push(JobEvent::StageCompleted { stage, percentage });
    match stage.next() {
        Some(next) if next.is_per_scene() => {
            let first = 0..scene_limit.max(1).min(job.scenes.len() as u32);
            events.extend(first.map(|scene| schedule(job, next, Some(scene))));
        }
        Some(next) => events.push(schedule(job, next, None)),
        None => {}
    }
    events
}
