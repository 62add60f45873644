//! The status view: what a polling client sees of a job, as one JSON document in Redis.
//!
//! Values are absolute and guarded by the job's version, and a partition's documents are written
//! together with its checkpoint, so reading events twice changes nothing. A view's key is a hash with a field for
//! each edition of the read model, of which one is served and another may be being filled.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use lru::LruCache;
use redis::Script;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::history::Histories;
use super::quarantine::{Quarantined, QuarantinedAggregates};
use super::{Batch, Error, OWNED_FOR, Owner, Projection, estimates};
use crate::domain::job::Job;
use crate::events::content::ERASED;
use crate::events::imported::{ImportedEnding, JobImported};
use crate::events::job::{Failure, RecordedJobEvent, Sidecar, StageProgressed, Usage, VideoFacts, Warning};
use crate::events::upload::Upload;
use crate::events::{ContentType, EventLog, JobEvent, Priority, Quality, Stage, VideoRequest};
use crate::execute::ContentCodec;
use crate::ids::{AggregateId, BatchId, JobId};

pub const NAME: &str = "status";

/// A job as its status answers it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusView {
    pub job_id: JobId,
    /// Version of the last event that the view holds.
    pub version: u64,
    pub user_id: String,
    pub topic: String,
    pub quality: Quality,
    pub priority: Priority,
    pub status: JobStatus,
    pub percentage: f64,
    /// `None` before the first stage began.
    pub current_stage: Option<Stage>,
    pub stages_completed: Vec<Stage>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    /// When the job ended. While it goes on, answers tell what a forecast says.
    pub estimated_completion: Option<DateTime<Utc>>,
    /// As long as the narration was measured; before, as it is expected to be.
    #[serde(default)]
    pub narration_ms: u64,
    pub scenes_total: u32,
    /// Scenes that are done, by stage: scenes go through the stages by themselves.
    #[serde(default)]
    pub stage_scenes_done: BTreeMap<Stage, u32>,
    /// Milliseconds of the scenes that are narrated.
    #[serde(default)]
    pub narrated_ms: u64,
    /// Milliseconds of each scene of the stream that is rendered.
    #[serde(default)]
    pub streamed_ms: BTreeMap<u32, u64>,
    /// Milliseconds of the first segment, until the first scene is rendered.
    #[serde(default)]
    pub streamed_beginning_ms: u64,
    pub video_id: Option<Uuid>,
    pub video: Option<VideoFacts>,
    pub failure: Option<(Stage, Failure)>,
    pub retry_count: u32,
    #[serde(default)]
    pub batch_id: Option<BatchId>,
    #[serde(default)]
    pub title: Option<String>,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default)]
    pub tags: Vec<String>,
    /// When its user deleted it.
    #[serde(default)]
    pub deleted_at: Option<DateTime<Utc>>,
    /// When its video was removed because of its age.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired_at: Option<DateTime<Utc>>,
    /// What is not as its user may have meant it: the first [`MAX_WARNINGS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<JobWarning>,
    /// How often each piece of work is tried again, where the request says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_attempts: Option<u32>,
    /// The attempts that failed since the job was requested or begun again: the last [`MAX_TRIED`] of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<FailedAttempt>,
    /// The usage of all attempts, together; `None` before one was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// An attempt that failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FailedAttempt {
    pub stage: Stage,
    pub scene: Option<u32>,
    pub attempt: u32,
    pub code: String,
    pub at: DateTime<Utc>,
}

/// A warning as clients are shown it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobWarning {
    pub stage: Stage,
    pub scene: Option<u32>,
    pub code: String,
    pub message: String,
    /// What it says is missing; it goes when that is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecar: Option<Sidecar>,
}

/// Failed attempts that a view holds.
const MAX_TRIED: usize = 20;
/// Warnings that a view holds.
const MAX_WARNINGS: usize = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    Queued,
    Processing,
    Completed,
    Failed,
    Cancelled,
}

impl JobStatus {
    pub const ALL: [JobStatus; 5] = [
        JobStatus::Queued,
        JobStatus::Processing,
        JobStatus::Completed,
        JobStatus::Failed,
        JobStatus::Cancelled,
    ];

    pub fn name(self) -> &'static str {
        match self {
            JobStatus::Queued => "queued",
            JobStatus::Processing => "processing",
            JobStatus::Completed => "completed",
            JobStatus::Failed => "failed",
            JobStatus::Cancelled => "cancelled",
        }
    }
}

/// Words of the uploaded texts, about: five letters and a blank each; in a PDF, fonts and pictures take most of the bytes.
fn uploaded_words(request: &VideoRequest) -> usize {
    let words = |upload: &Upload| match upload.content_type {
        ContentType::Text | ContentType::Markdown => upload.bytes as usize / 6,
        ContentType::Pdf => upload.bytes as usize / 100,
        _ => 0,
    };
    request.uploads.iter().map(words).sum()
}

/// How long the narration of a request is expected to be.
pub fn expected_narration_ms(request: &VideoRequest) -> u64 {
    if let Some(wanted_ms) = request.duration_ms() {
        return wanted_ms;
    }
    let count = |text: &str| text.split_whitespace().count();
    let words: usize = match (&request.scenes, &request.script) {
        (Some(scenes), _) => {
            scenes.iter().flat_map(|scene| &scene.steps).map(|step| count(&step.narration)).sum()
        }
        (None, Some(script)) => count(script),
        (None, None) => match uploaded_words(request) {
            0 => request.context.as_deref().map_or(0, count),
            words => words,
        },
    };
    (estimates::narration_seconds(words) * 1000.0) as u64
}

impl StatusView {
    /// The view after one more event. `None` in means a job not seen before; events before the
    /// first are ignored, which only a damaged history holds.
    pub fn evolve(view: Option<Self>, job_id: JobId, recorded: &RecordedJobEvent) -> Option<Self> {
        let Some(mut view) = view else {
            return Self::first(job_id, recorded);
        };
        if recorded.version <= view.version {
            return Some(view);
        }
        view.version = recorded.version;
        view.updated_at = recorded.recorded_at;
        if let Some(percentage) = recorded.event.percentage() {
            view.percentage = view.percentage.max(percentage);
        }
        view.apply(&recorded.event, recorded.recorded_at);
        Some(view)
    }

    /// Where the job is, in the API's words: a stage, or `completed`.
    pub fn stage_name(&self) -> &'static str {
        match (self.status, self.current_stage) {
            (JobStatus::Completed, _) => "completed",
            (_, Some(stage)) => stage.name(),
            (_, None) => Stage::Initializing.name(),
        }
    }

    /// The view of a job that was requested just now, at `version`; `None` for a job that was not.
    pub fn requested(job_id: JobId, job: &Job, version: u64) -> Option<Self> {
        let (request, at) = (job.request.as_ref()?, job.requested_at?);
        let view = Self::of_request(job_id, &job.user_id, request, at);
        Some(Self { version, batch_id: job.batch_id, ..view })
    }

    fn first(job_id: JobId, recorded: &RecordedJobEvent) -> Option<Self> {
        let (version, at) = (recorded.version, recorded.recorded_at);
        match &recorded.event {
            JobEvent::JobRequested(requested) => {
                let view = Self::of_request(job_id, &requested.user_id, &requested.request, at);
                Some(Self { version, batch_id: requested.batch_id, ..view })
            }
            JobEvent::JobImported(imported) => {
                Some(Self { version, updated_at: at, ..Self::of_import(job_id, imported) })
            }
            _ => None,
        }
    }

    /// The view of a job that another system made: its times are those of there.
    fn of_import(job_id: JobId, imported: &JobImported) -> Self {
        let JobImported { user_id, request, requested_at, started_at, ended_at, .. } = imported;
        let mut view = Self::of_request(job_id, user_id, request, *requested_at);
        view.started_at = *started_at;
        match &imported.ending {
            ImportedEnding::Completed { video_id, video, .. } => {
                view.end(JobStatus::Completed, *ended_at);
                view.percentage = 100.0;
                view.current_stage = Some(Stage::Storage);
                view.stages_completed = Stage::ALL.to_vec();
                view.narration_ms = video.duration_ms;
                view.video_id = Some(*video_id);
                view.video = Some(video.clone());
            }
            ImportedEnding::Failed { stage, error } => {
                view.end(JobStatus::Failed, *ended_at);
                view.current_stage = Some(*stage);
                view.failure = Some((*stage, error.clone()));
            }
            ImportedEnding::Cancelled { stage } => {
                view.end(JobStatus::Cancelled, *ended_at);
                view.current_stage = *stage;
            }
        }
        view
    }

    /// The view of a job that is requested, at version 1.
    pub fn of_request(job_id: JobId, user_id: &str, request: &VideoRequest, at: DateTime<Utc>) -> Self {
        Self {
            job_id,
            version: 1,
            user_id: user_id.to_owned(),
            topic: request.topic.clone(),
            quality: request.quality,
            priority: request.priority,
            status: JobStatus::Queued,
            percentage: 0.0,
            current_stage: None,
            stages_completed: vec![],
            created_at: at,
            updated_at: at,
            started_at: None,
            ended_at: None,
            estimated_completion: None,
            narration_ms: expected_narration_ms(request),
            scenes_total: 0,
            stage_scenes_done: BTreeMap::new(),
            narrated_ms: 0,
            streamed_ms: BTreeMap::new(),
            streamed_beginning_ms: 0,
            video_id: None,
            video: None,
            failure: None,
            retry_count: 0,
            batch_id: None,
            title: request.title.clone(),
            description: request.description.clone(),
            tags: request.tags.clone(),
            deleted_at: None,
            expired_at: None,
            warnings: vec![],
            retry_attempts: request.retry_attempts,
            tried: vec![],
            usage: None,
        }
    }

    fn apply(&mut self, event: &JobEvent, at: DateTime<Utc>) {
        match event {
            JobEvent::StageStarted { stage, .. } => {
                self.status = JobStatus::Processing;
                self.current_stage = Some(*stage);
                self.started_at.get_or_insert(at);
            }
            JobEvent::StageProgressed(StageProgressed { .. }) => {}
            JobEvent::ScenePlanned { .. } => self.scenes_total += 1,
            JobEvent::ScenarioCreated { scenes, .. } => {
                self.narrated_ms = scenes.iter().map(|scene| scene.timeline.duration_ms()).sum();
                self.stage_scenes_done.insert(Stage::ScenarioCreation, scenes.len() as u32);
                self.narration_ms = self.narrated_ms;
            }
            JobEvent::SceneNarrated { narrated, .. } => {
                self.narrated_ms += narrated.timeline.duration_ms();
                self.count_scene(Stage::ScenarioCreation);
                if self.stage_scenes_done.get(&Stage::ScenarioCreation) == Some(&self.scenes_total) {
                    self.narration_ms = self.narrated_ms;
                }
            }
            JobEvent::SceneCodeGenerated { .. } => self.count_scene(Stage::CodeGeneration),
            JobEvent::StreamBegan { duration_ms, .. } => self.streamed_beginning_ms = *duration_ms,
            JobEvent::SceneRendered { scene, clip, .. } => {
                self.count_scene(Stage::Rendering);
                if *scene == 0 {
                    self.streamed_beginning_ms = 0;
                }
                if !clip.streams.is_empty() {
                    self.streamed_ms.insert(*scene, clip.duration_ms);
                }
            }
            JobEvent::StageCompleted { stage, .. } => self.stages_completed.push(*stage),
            JobEvent::StageRetryScheduled { .. } => self.retry_count += 1,
            JobEvent::StageMeasured(measured) => self.add(measured.usage),
            JobEvent::StageFailed { stage, scene, attempt, error } => {
                if self.tried.len() == MAX_TRIED {
                    self.tried.remove(0);
                }
                let (stage, scene, attempt, code) = (*stage, *scene, *attempt, error.code.clone());
                self.tried.push(FailedAttempt { stage, scene, attempt, code, at });
            }
            JobEvent::JobCompleted { video_id, video } => {
                self.end(JobStatus::Completed, at);
                self.video_id = Some(*video_id);
                self.video = Some(video.clone());
            }
            JobEvent::JobFailed { stage, error } => {
                self.end(JobStatus::Failed, at);
                self.failure = Some((*stage, error.clone()));
            }
            JobEvent::JobCancelled { .. } => self.end(JobStatus::Cancelled, at),
            JobEvent::JobReprocessRequested { from } => self.begin_again(*from),
            JobEvent::ContentErased {} => self.erase_words(),
            JobEvent::JobDeleted {} => self.deleted_at = Some(at),
            JobEvent::PartialStreamRemoved {} => self.forget_stream(),
            JobEvent::VideoExpired { .. } => self.expired_at = Some(at),
            JobEvent::WarningRaised { stage, scene, warning } => {
                self.warn(*stage, *scene, warning.clone(), None)
            }
            JobEvent::SidecarFailed(failed) => {
                self.warn(Stage::Storage, None, failed.warning(), Some(failed.sidecar));
            }
            JobEvent::SidecarStored(stored) => {
                let missing = self.warnings.iter().find(|warning| warning.sidecar == Some(stored.sidecar));
                // Those of single scenes have the same code.
                if let Some(code) = missing.map(|warning| warning.code.clone()) {
                    self.warnings.retain(|warning| warning.code != code);
                }
            }
            JobEvent::CancelRequested { .. }
            | JobEvent::DeadLetterDiscarded { .. }
            | JobEvent::ModelCalled(_)
            | JobEvent::SceneReviewed(_)
            | JobEvent::SceneCodeAttempted(_)
            | JobEvent::JobRequested(_)
            | JobEvent::JobImported(_)
            | JobEvent::JobQueued { .. }
            | JobEvent::StageScheduled(_)
            | JobEvent::VideoCombined { .. }
            | JobEvent::ThumbnailCreated(_)
            | JobEvent::UploadStarted { .. }
            | JobEvent::UploadProgressed(_)
            | JobEvent::UploadRetried(_)
            | JobEvent::StorageFellBack { .. }
            | JobEvent::UploadCompleted { .. }
            | JobEvent::StorageCaughtUp { .. }
            | JobEvent::DeletedFilesRemoved {} => {}
        }
    }

    /// Erases what the user wrote.
    pub fn erase_words(&mut self) {
        self.topic = ERASED.to_owned();
        // Whether there were any is not known any more when the history is folded again.
        (self.title, self.description) = (None, None);
        self.tags.clear();
        // How long it was expected to be follows from what was to be said.
        self.narration_ms = 0;
        for warning in &mut self.warnings {
            ERASED.clone_into(&mut warning.message);
        }
        if let Some((_, failure)) = &mut self.failure {
            failure.message = ERASED.to_owned();
            failure.causes.clear();
        }
    }

    /// A later warning with the same code about the same scene replaces an earlier one.
    fn warn(&mut self, stage: Stage, scene: Option<u32>, warning: Warning, sidecar: Option<Sidecar>) {
        let Warning { code, message } = warning;
        self.warnings.retain(|earlier| (earlier.scene, &earlier.code) != (scene, &code));
        if self.warnings.len() < MAX_WARNINGS {
            self.warnings.push(JobWarning { stage, scene, code, message, sidecar });
        }
    }

    fn add(&mut self, usage: Usage) {
        let sum = self.usage.get_or_insert_default();
        sum.cpu_ms += usage.cpu_ms;
        sum.wall_ms += usage.wall_ms;
        sum.peak_memory_bytes = sum.peak_memory_bytes.max(usage.peak_memory_bytes);
    }

    fn begin_again(&mut self, from: Stage) {
        self.status = JobStatus::Queued;
        self.ended_at = None;
        self.estimated_completion = None;
        self.failure = None;
        self.tried.clear();
        self.warnings.retain(|warning| warning.stage < from);
        self.stages_completed.retain(|stage| *stage < from);
        if from <= Stage::Planning {
            self.scenes_total = 0;
        }
        self.stage_scenes_done.retain(|stage, _| *stage < from);
        self.forget_stream();
        if from <= Stage::ScenarioCreation {
            self.narrated_ms = 0;
        }
    }

    fn forget_stream(&mut self) {
        self.streamed_ms.clear();
        self.streamed_beginning_ms = 0;
    }

    fn count_scene(&mut self, stage: Stage) {
        *self.stage_scenes_done.entry(stage).or_default() += 1;
    }

    /// Scenes that are done in the current stage.
    pub fn scenes_done_in_stage(&self) -> u32 {
        self.current_stage.and_then(|stage| self.stage_scenes_done.get(&stage)).copied().unwrap_or(0)
    }

    /// Returns how many milliseconds can be watched already, from the beginning of the video without a gap.
    pub fn playable_ms(&self) -> u64 {
        if let Some(video) = &self.video {
            return if self.expired_at.is_none() { video.duration_ms } else { 0 };
        }
        let rendered: u64 = (0..).map_while(|scene| self.streamed_ms.get(&scene)).sum();
        rendered.max(self.streamed_beginning_ms)
    }

    fn end(&mut self, status: JobStatus, at: DateTime<Utc>) {
        self.status = status;
        self.ended_at = Some(at);
        self.estimated_completion = Some(at);
    }
}

/// Views that an owner keeps, so that most events need no question to Redis.
const VIEWS_KEPT: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

/// Views of clients that poll, so that most polls ask Redis for nothing but the job's version.
const RECENT_VIEWS: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");
/// After this time a view is read anew, because a rebuild may have corrected it.
const RECENT_FOR: Duration = Duration::from_secs(2);

type RecentViews = Mutex<LruCache<JobId, (Instant, Arc<StatusView>)>>;

/// Writes the view, and answers from it.
#[derive(Clone)]
pub struct StatusViews {
    recent: Arc<RecentViews>,
    log: EventLog,
    histories: Histories,
    scripts: Arc<Scripts>,
    kept_after_end: Duration,
    /// Fills the next edition instead of the one that is served.
    fills_next: bool,
}

struct Scripts {
    read: Script,
    own: Script,
    write: Script,
    release: Script,
    switch: Script,
    give_up: Script,
}

impl StatusViews {
    /// Views of jobs that have ended go after `kept_after_end`.
    pub fn new(log: EventLog, codec: ContentCodec, kept_after_end: Duration) -> Self {
        let scripts = Scripts {
            read: Script::new(include_str!("lua/read_view.lua")),
            own: Script::new(include_str!("lua/own.lua")),
            write: Script::new(include_str!("lua/write_views.lua")),
            release: Script::new(include_str!("lua/release_owner.lua")),
            switch: Script::new(include_str!("lua/switch_views.lua")),
            give_up: Script::new(include_str!("lua/give_up_next.lua")),
        };
        let histories = Histories::new(log.clone(), codec, NAME);
        let recent = Arc::new(Mutex::new(LruCache::new(RECENT_VIEWS)));
        Self { recent, log, histories, kept_after_end, scripts: Arc::new(scripts), fills_next: false }
    }

    /// The same read model, filling the edition that will be served next.
    pub fn next(&self) -> Self {
        Self { fills_next: true, ..self.clone() }
    }

    /// The job as of its last event, whether the projection has got there or not: a client that has
    /// just written reads its write. `None` for an unknown job.
    pub async fn get(&self, job_id: JobId) -> Result<Option<Arc<StatusView>>, Error> {
        let version = async { self.log.version(job_id.aggregate()).await.map_err(Error::from) };
        let (version, stored) = match self.recent(job_id) {
            Some(recent) => match version.await? {
                version if version == recent.version => return Ok(Some(recent)),
                version => (version, self.stored(job_id).await?),
            },
            None => tokio::try_join!(version, self.stored(job_id))?,
        };
        let view = match stored {
            _ if version == 0 => return Ok(None),
            Some(view) if view.version >= version => Some(view),
            _ => self.folded(job_id, u64::MAX).await?,
        };
        let view = view.map(Arc::new);
        if let Some(view) = &view {
            let recent = (Instant::now(), view.clone());
            self.recent.lock().unwrap_or_else(PoisonError::into_inner).put(job_id, recent);
        }
        Ok(view)
    }

    fn recent(&self, job_id: JobId) -> Option<Arc<StatusView>> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let (read_at, view) = recent.get(&job_id)?;
        (read_at.elapsed() < RECENT_FOR).then(|| view.clone())
    }

    /// The view folded from the log, up to and including `version`.
    pub async fn folded(&self, job_id: JobId, version: u64) -> Result<Option<StatusView>, Error> {
        let recorded = self.histories.read(job_id, version).await?;
        Ok(recorded.iter().fold(None, |view, recorded| StatusView::evolve(view, job_id, recorded)))
    }

    /// The view as it is served, however far it has got.
    pub async fn stored(&self, job_id: JobId) -> Result<Option<StatusView>, Error> {
        let keys = self.log.keys();
        let mut call = self.scripts.read.key(keys.status_served(keys.partition_of(job_id.aggregate())));
        let text: Option<String> =
            call.key(keys.status_view(job_id)).invoke_async(&mut self.log.connection()).await?;
        text.map(|text| serde_json::from_str(&text)).transpose().map_err(Error::from)
    }

    pub fn log(&self) -> &EventLog {
        &self.log
    }

    pub fn histories(&self) -> &Histories {
        &self.histories
    }

    /// Makes room for the next edition of a partition. Resumes an unfinished one, unless `restart` is set.
    pub async fn prepare_next(&self, partition: u16, restart: bool) -> Result<(), Error> {
        let keys = self.log.keys();
        let (served, next) =
            (self.served(partition).await?, self.edition(&keys.status_next(partition)).await?);
        if next > served && !restart {
            return Ok(());
        }
        let mut command = redis::cmd("SET");
        command.arg(keys.status_next(partition)).arg(next.max(served) + 1);
        Ok(command.query_async(&mut self.log.connection()).await?)
    }

    /// Gives up the next edition of a partition, if there is one and nobody fills it. Returns its number: its documents
    /// are still to be removed.
    pub async fn give_up_next(&self, partition: u16) -> Result<Option<u64>, Error> {
        let keys = self.log.keys();
        let next = self.edition(&keys.status_next(partition)).await?;
        let given_up: u8 = self
            .scripts
            .give_up
            .key(keys.status_served(partition))
            .key(keys.status_next(partition))
            .key(keys.status_owner(partition, next))
            .key(keys.status_checkpoint(partition, next))
            .key(keys.status_quarantined(partition, next))
            .arg(next)
            .invoke_async(&mut self.log.connection())
            .await?;
        Ok((given_up == 1).then_some(next))
    }

    /// Removes the documents that these jobs have in an edition.
    pub async fn remove_documents(&self, edition: u64, jobs: &[JobId]) -> Result<(), Error> {
        if jobs.is_empty() {
            return Ok(());
        }
        let mut pipe = redis::pipe();
        for job in jobs {
            let fields = [edition.to_string(), format!("{edition}:version")];
            pipe.hdel(self.log.keys().status_view(*job), &fields).ignore();
        }
        Ok(pipe.query_async(&mut self.log.connection()).await?)
    }

    /// Serves the next edition, if it has got as far as the one that is served. `false` when it has not.
    pub async fn switch(&self, partition: u16) -> Result<bool, Error> {
        let keys = self.log.keys();
        let (served, next) =
            (self.served(partition).await?, self.edition(&keys.status_next(partition)).await?);
        let switched: u8 = self
            .scripts
            .switch
            .key(keys.status_served(partition))
            .key(keys.status_checkpoint(partition, served))
            .key(keys.status_checkpoint(partition, next))
            .key(keys.status_owner(partition, served))
            .key(keys.status_owner(partition, next))
            .key(keys.status_quarantined(partition, served))
            .arg(served)
            .arg(next)
            .invoke_async(&mut self.log.connection())
            .await?;
        Ok(switched == 1)
    }

    /// The edition that is served; the first is 1.
    pub async fn served(&self, partition: u16) -> Result<u64, Error> {
        Ok(self.edition(&self.log.keys().status_served(partition)).await?.max(1))
    }

    async fn edition(&self, key: &str) -> Result<u64, Error> {
        let edition: Option<u64> = redis::cmd("GET").arg(key).query_async(&mut self.log.connection()).await?;
        Ok(edition.unwrap_or(0))
    }

    /// The edition that this one fills.
    async fn filled(&self, partition: u16) -> Result<u64, Error> {
        match self.fills_next {
            true => self.edition(&self.log.keys().status_next(partition)).await,
            false => self.served(partition).await,
        }
    }
}

#[async_trait]
impl Projection for StatusViews {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn checkpoint(&self, partition: u16) -> Result<u64, Error> {
        let edition = self.filled(partition).await?;
        let seq: Option<u64> = redis::cmd("GET")
            .arg(self.log.keys().status_checkpoint(partition, edition))
            .query_async(&mut self.log.connection())
            .await?;
        Ok(seq.unwrap_or(0))
    }

    async fn quarantined(&self, partition: u16) -> Result<Vec<Quarantined>, Error> {
        let edition = self.filled(partition).await?;
        let texts: Vec<String> = redis::cmd("HVALS")
            .arg(self.log.keys().status_quarantined(partition, edition))
            .query_async(&mut self.log.connection())
            .await?;
        Ok(texts.iter().map(|text| serde_json::from_str(text)).collect::<Result<_, _>>()?)
    }

    async fn own(&self, partition: u16) -> Result<Option<Box<dyn Owner>>, Error> {
        let edition = self.filled(partition).await?;
        let mut owner = StatusOwner {
            views: self.clone(),
            partition,
            edition,
            token: Uuid::new_v4().to_string(),
            checkpoint: 0,
            quarantined: QuarantinedAggregates::new(),
            known: LruCache::new(VIEWS_KEPT),
        };
        if !owner.claim().await? {
            return Ok(None);
        }
        let quarantined = self.quarantined(partition).await?;
        owner.quarantined = quarantined.into_iter().map(|of| (of.aggregate_id, of)).collect();
        Ok(Some(Box::new(owner)))
    }
}

struct StatusOwner {
    views: StatusViews,
    partition: u16,
    edition: u64,
    token: String,
    checkpoint: u64,
    quarantined: QuarantinedAggregates,
    /// As they are stored.
    known: LruCache<JobId, StatusView>,
}

impl StatusOwner {
    fn fenced(&self) -> Error {
        Error::Fenced { projection: NAME, partition: self.partition }
    }

    /// Becomes the owner, or goes on being it. `false` when somebody else is.
    async fn claim(&mut self) -> Result<bool, Error> {
        let keys = self.views.log.keys();
        let mut call = self.views.scripts.own.key(keys.status_owner(self.partition, self.edition));
        call.key(keys.status_checkpoint(self.partition, self.edition));
        call.arg(&self.token).arg(OWNED_FOR.as_millis() as u64);
        let checkpoint: Option<u64> = call.invoke_async(&mut self.views.log.connection()).await?;
        if let Some(checkpoint) = checkpoint {
            self.checkpoint = checkpoint;
        }
        Ok(checkpoint.is_some())
    }

    /// The views of these jobs as they are stored, those that are not known in one question.
    async fn fetch(
        &mut self,
        jobs: impl Iterator<Item = JobId>,
    ) -> Result<HashMap<JobId, StatusView>, Error> {
        let mut views = HashMap::new();
        let mut unknown = vec![];
        for job in jobs {
            match self.known.get(&job) {
                Some(view) => {
                    views.insert(job, view.clone());
                }
                None => unknown.push(job),
            }
        }
        if !unknown.is_empty() {
            let mut pipe = redis::pipe();
            for job in &unknown {
                pipe.hget(self.views.log.keys().status_view(*job), self.edition);
            }
            let texts: Vec<Option<String>> = pipe.query_async(&mut self.views.log.connection()).await?;
            for (job, text) in unknown.into_iter().zip(texts) {
                if let Some(text) = text {
                    views.insert(job, serde_json::from_str(&text)?);
                }
            }
        }
        Ok(views)
    }

    /// Writes documents, the checkpoint, and what is passed over from now on or not any more.
    async fn write(
        &mut self,
        last_seq: u64,
        changed: &HashMap<JobId, StatusView>,
        released: Option<AggregateId>,
        quarantined: Option<&Quarantined>,
    ) -> Result<(), Error> {
        let keys = self.views.log.keys();
        let (partition, edition) = (self.partition, self.edition);
        let mut call = self.views.scripts.write.key(keys.status_owner(partition, edition));
        call.key(keys.status_checkpoint(partition, edition));
        call.key(keys.status_quarantined(partition, edition)).key(keys.status_next(partition));
        call.arg(&self.token).arg(OWNED_FOR.as_millis() as u64).arg(self.checkpoint).arg(last_seq);
        call.arg(edition).arg(u8::from(self.views.fills_next));
        call.arg(released.map(|id| id.to_string()).unwrap_or_default());
        call.arg(quarantined.map(|of| of.aggregate_id.to_string()).unwrap_or_default());
        call.arg(quarantined.map(serde_json::to_string).transpose()?.unwrap_or_default());
        for view in changed.values() {
            let seconds = if view.ended_at.is_some() { self.views.kept_after_end.as_secs() } else { 0 };
            call.key(keys.status_view(view.job_id));
            call.arg(view.version).arg(serde_json::to_string(view)?).arg(seconds);
        }
        let written: u8 = call.invoke_async(&mut self.views.log.connection()).await?;
        if written == 0 { Err(self.fenced()) } else { Ok(()) }
    }

    /// The views that a batch leads to.
    async fn fold(&mut self, batch: &Batch) -> Result<HashMap<JobId, StatusView>, Error> {
        if let Some(id) = batch.released {
            // What is stored of it may have gone since, so its whole history is folded.
            let last = batch.events.last().map_or(u64::MAX, |(_, event)| event.version);
            let view = self.views.folded(JobId(id.0), last).await?;
            return Ok(view.map(|view| (view.job_id, view)).into_iter().collect());
        }
        let events = batch.of_jobs(self.views.histories.codec()).await?;
        let erased = batch.erased.iter().map(|id| JobId(id.0));
        let jobs: std::collections::BTreeSet<JobId> =
            events.iter().map(|(job, _)| *job).chain(erased).collect();
        let mut views = self.fetch(jobs.into_iter()).await?;
        for (job_id, recorded) in &events {
            let view = StatusView::evolve(views.remove(job_id), *job_id, recorded);
            views.extend(view.map(|view| (*job_id, view)));
        }
        for id in &batch.erased {
            views.entry(JobId(id.0)).and_modify(StatusView::erase_words);
        }
        Ok(views)
    }
}

#[async_trait]
impl Owner for StatusOwner {
    fn checkpoint(&self) -> u64 {
        self.checkpoint
    }

    fn quarantined(&self) -> &QuarantinedAggregates {
        &self.quarantined
    }

    async fn quarantine(&mut self, quarantined: Quarantined) -> Result<(), Error> {
        self.write(self.checkpoint, &HashMap::new(), None, Some(&quarantined)).await?;
        self.quarantined.entry(quarantined.aggregate_id).or_insert(quarantined);
        Ok(())
    }

    async fn apply(&mut self, batch: &Batch) -> Result<(), Error> {
        let views = self.fold(batch).await?;
        self.write(batch.last_seq, &views, batch.released, None).await?;
        self.checkpoint = batch.last_seq;
        if let Some(id) = batch.released {
            self.quarantined.remove(&id);
        }
        for (job, view) in views {
            // Ended jobs are rarely heard of again.
            if view.ended_at.is_some() {
                self.known.pop(&job);
            } else {
                self.known.put(job, view);
            }
        }
        Ok(())
    }

    async fn renew(&mut self) -> Result<(), Error> {
        let before = self.checkpoint;
        let is_ours = self.claim().await?;
        // Another owner may have come and gone.
        if is_ours && self.checkpoint == before { Ok(()) } else { Err(self.fenced()) }
    }

    async fn release(self: Box<Self>) -> Result<(), Error> {
        let owner = self.views.log.keys().status_owner(self.partition, self.edition);
        let mut call = self.views.scripts.release.key(owner);
        Ok(call.arg(&self.token).invoke_async(&mut self.views.log.connection()).await?)
    }
}
