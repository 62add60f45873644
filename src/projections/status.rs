//! The status view: what a polling client sees of a job, as one JSON document in Redis.
//!
//! Values are absolute and guarded by the job's version, and a partition's documents are written
//! together with its checkpoint, so reading events twice changes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use redis::Script;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Batch, Error, Projection};
use crate::events::job::{Failure, RecordedJobEvent, StageProgressed, VideoFacts};
use crate::events::{EventLog, JobEvent, Priority, Quality, Stage};
use crate::execute;
use crate::ids::JobId;

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
    pub estimated_completion: Option<DateTime<Utc>>,
    pub scenes_total: u32,
    pub scenes_done: u32,
    pub video_id: Option<Uuid>,
    pub video: Option<VideoFacts>,
    pub failure: Option<(Stage, Failure)>,
    pub retry_count: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    Queued,
    Processing,
    Completed,
    Failed,
    Cancelled,
}

impl JobStatus {
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

/// A first guess, until the narration is measured: words are spoken at about this pace…
const WORDS_PER_MINUTE: f64 = 150.0;
/// …and a minute of video takes a third of a minute to make, after a few seconds of overhead.
const SECONDS_PER_VIDEO_SECOND: f64 = 0.33;
const OVERHEAD_SECONDS: f64 = 5.0;

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

    fn first(job_id: JobId, recorded: &RecordedJobEvent) -> Option<Self> {
        let JobEvent::JobRequested(requested) = &recorded.event else {
            return None;
        };
        let request = &requested.request;
        let text = request.script.as_deref().or(request.context.as_deref()).unwrap_or_default();
        let spoken_seconds = text.split_whitespace().count() as f64 / WORDS_PER_MINUTE * 60.0;
        Some(Self {
            job_id,
            version: recorded.version,
            user_id: requested.user_id.clone(),
            topic: request.topic.clone(),
            quality: request.quality,
            priority: request.priority,
            status: JobStatus::Queued,
            percentage: 0.0,
            current_stage: None,
            stages_completed: vec![],
            created_at: recorded.recorded_at,
            updated_at: recorded.recorded_at,
            started_at: None,
            ended_at: None,
            estimated_completion: Some(estimate(recorded.recorded_at, spoken_seconds)),
            scenes_total: 0,
            scenes_done: 0,
            video_id: None,
            video: None,
            failure: None,
            retry_count: 0,
        })
    }

    fn apply(&mut self, event: &JobEvent, at: DateTime<Utc>) {
        match event {
            JobEvent::StageStarted { stage, .. } => {
                self.status = JobStatus::Processing;
                self.current_stage = Some(*stage);
                self.started_at.get_or_insert(at);
                self.scenes_done = 0;
            }
            JobEvent::StageProgressed(StageProgressed { .. }) => {}
            JobEvent::ScenePlanned { .. } => self.scenes_total += 1,
            JobEvent::ScenarioCreated { scenes, .. } => {
                let video_ms: u64 = scenes.iter().map(|scene| scene.timeline.duration_ms()).sum();
                self.estimated_completion = Some(estimate(at, video_ms as f64 / 1000.0));
            }
            JobEvent::SceneCodeGenerated { .. } | JobEvent::SceneRendered { .. } => self.scenes_done += 1,
            JobEvent::StageCompleted { stage, .. } => self.stages_completed.push(*stage),
            JobEvent::StageRetryScheduled { .. } => self.retry_count += 1,
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
            JobEvent::CancelRequested { .. }
            | JobEvent::DeadLetterDiscarded { .. }
            | JobEvent::JobRequested(_)
            | JobEvent::JobQueued { .. }
            | JobEvent::StageScheduled(_)
            | JobEvent::VideoCombined { .. }
            | JobEvent::ThumbnailCreated(_)
            | JobEvent::UploadStarted { .. }
            | JobEvent::UploadCompleted { .. }
            | JobEvent::StageFailed { .. } => {}
        }
    }

    fn begin_again(&mut self, from: Stage) {
        self.status = JobStatus::Queued;
        self.ended_at = None;
        self.failure = None;
        self.stages_completed.retain(|stage| *stage < from);
        if from <= Stage::Planning {
            self.scenes_total = 0;
        }
        self.scenes_done = 0;
    }

    fn end(&mut self, status: JobStatus, at: DateTime<Utc>) {
        self.status = status;
        self.ended_at = Some(at);
        self.estimated_completion = None;
    }
}

fn estimate(from: DateTime<Utc>, video_seconds: f64) -> DateTime<Utc> {
    let seconds = OVERHEAD_SECONDS + video_seconds * SECONDS_PER_VIDEO_SECOND;
    from + TimeDelta::milliseconds((seconds * 1000.0) as i64)
}

/// Writes the view, and answers from it.
#[derive(Clone)]
pub struct StatusViews {
    log: EventLog,
    write: std::sync::Arc<Script>,
    kept_after_end: Duration,
}

impl StatusViews {
    /// Views of jobs that have ended go after `kept_after_end`.
    pub fn new(log: EventLog, kept_after_end: Duration) -> Self {
        Self { log, kept_after_end, write: std::sync::Arc::new(Script::new(include_str!("status.lua"))) }
    }

    /// The job as of its last event, whether the projection has got there or not: a client that has
    /// just written reads its write. `None` for an unknown job.
    pub async fn get(&self, job_id: JobId) -> Result<Option<StatusView>, Error> {
        let version = self.log.version(job_id.aggregate()).await?;
        if version == 0 {
            return Ok(None);
        }
        match self.stored(job_id).await? {
            Some(view) if view.version >= version => Ok(Some(view)),
            _ => self.folded(job_id, u64::MAX).await,
        }
    }

    /// The view folded from the log, up to and including `version`.
    pub async fn folded(&self, job_id: JobId, version: u64) -> Result<Option<StatusView>, Error> {
        let mut view = None;
        for envelope in self.log.history(job_id.aggregate(), 0).await? {
            if envelope.version <= version {
                view = StatusView::evolve(view, job_id, &execute::decode(&envelope)?);
            }
        }
        Ok(view)
    }

    async fn stored(&self, job_id: JobId) -> Result<Option<StatusView>, Error> {
        let text: Option<String> = redis::cmd("HGET")
            .arg(self.log.keys().status_view(job_id))
            .arg("view")
            .query_async(&mut self.log.connection())
            .await?;
        text.map(|text| serde_json::from_str(&text)).transpose().map_err(Error::from)
    }
}

#[async_trait]
impl Projection for StatusViews {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn checkpoint(&self, partition: u16) -> Result<u64, Error> {
        let seq: Option<u64> = redis::cmd("GET")
            .arg(self.log.keys().checkpoint(NAME, partition))
            .query_async(&mut self.log.connection())
            .await?;
        Ok(seq.unwrap_or(0))
    }

    async fn apply(&self, batch: &Batch) -> Result<(), Error> {
        let mut views: BTreeMap<JobId, Option<StatusView>> = BTreeMap::new();
        for (job_id, recorded) in &batch.events {
            let view = match views.remove(job_id) {
                Some(view) => view,
                None => self.stored(*job_id).await?,
            };
            views.insert(*job_id, StatusView::evolve(view, *job_id, recorded));
        }
        let keys = self.log.keys();
        let mut call = self.write.key(keys.checkpoint(NAME, batch.partition));
        call.arg(batch.last_seq);
        for view in views.values().flatten() {
            let seconds = if view.ended_at.is_some() { self.kept_after_end.as_secs() } else { 0 };
            call.key(keys.status_view(view.job_id));
            call.arg(view.version).arg(serde_json::to_string(view)?).arg(seconds);
        }
        Ok(call.invoke_async(&mut self.log.connection()).await?)
    }
}
