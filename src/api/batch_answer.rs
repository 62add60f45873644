//! The answer for a batch: its requester, the progress of its jobs, and the resources they used.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use salvo::oapi::ToSchema;
use serde::Serialize;
use uuid::Uuid;

use super::batch::Batch;
use super::status::{JobSummary, ProgressAnswer, describe_stage, processing_seconds, seconds_between};
use crate::events::Stage;
use crate::ids::JobId;
use crate::projections::status::{JobStatus, StatusView};

/// A batch as its request answers it.
#[derive(Debug, Serialize, ToSchema)]
pub struct BatchSummary {
    pub batch_id: Uuid,
    /// In the order of the request.
    pub job_ids: Vec<Uuid>,
    pub total_jobs: u64,
    /// The priority of those jobs that name none.
    pub batch_priority: String,
    pub batch_name: Option<String>,
    pub created_at: DateTime<Utc>,
    /// When the last of its jobs is expected to end; null once all have.
    pub estimated_completion: Option<DateTime<Utc>>,
    /// How many jobs have each status. Jobs that were deleted are not counted.
    pub status_summary: BTreeMap<String, u64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct BatchAnswer {
    #[serde(flatten)]
    #[salvo(schema(inline = false))]
    pub summary: BatchSummary,
    pub user_id: String,
    /// `queued` before the first job begins, then `processing`. Once all jobs have ended: `completed` when any has a video,
    /// else `failed` when any failed, else `cancelled`.
    pub status: String,
    pub updated_at: DateTime<Utc>,
    /// When the last job ended; null while any goes on.
    pub completed_at: Option<DateTime<Utc>>,
    pub progress: BatchProgress,
    pub resource_usage: ResourceUsage,
    /// Those that were not deleted, in the order of the request.
    pub jobs: Vec<BatchJob>,
}

#[derive(Debug, Default, Serialize, ToSchema)]
pub struct BatchProgress {
    /// 0 to 100, the mean of all jobs; a job that has ended counts as 100, however it did.
    pub percentage: f64,
    pub total: u64,
    pub queued: u64,
    pub processing: u64,
    pub completed: u64,
    pub failed: u64,
    pub cancelled: u64,
    /// Jobs that their user has deleted since.
    pub deleted: u64,
}

/// What the jobs took so far, added up.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct ResourceUsage {
    /// From each request to the first stage.
    pub queue_time_seconds: f64,
    /// From the first stage of each job to its end, or until now.
    pub processing_time_seconds: f64,
    /// How long the finished videos are.
    pub video_seconds: f64,
    pub video_bytes: u64,
    /// How often any work was tried again.
    pub retries: u64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct BatchJob {
    #[serde(flatten)]
    #[salvo(schema(inline = false))]
    pub summary: JobSummary,
    pub topic: Option<String>,
    pub title: Option<String>,
    pub video_id: Option<Uuid>,
    pub download_url: Option<String>,
    pub error_code: Option<String>,
    pub error_message: Option<String>,
}

impl Batch {
    pub fn summary(
        &self,
        estimated_completion: Option<DateTime<Utc>>,
        counts: BTreeMap<JobStatus, u64>,
    ) -> BatchSummary {
        let count = |status| (JobStatus::name(status).to_owned(), counts.get(&status).copied().unwrap_or(0));
        BatchSummary {
            batch_id: self.batch_id.0,
            job_ids: self.job_ids.iter().map(|job| job.0).collect(),
            total_jobs: self.job_ids.len() as u64,
            batch_priority: self.priority.clone(),
            batch_name: self.name.clone(),
            created_at: self.created_at,
            estimated_completion,
            status_summary: JobStatus::ALL.into_iter().map(count).collect(),
        }
    }
}

impl BatchAnswer {
    /// `views` are those of the jobs, in their order; `None` for a job that is not requested yet.
    pub fn of(batch: &Batch, views: &[Option<StatusView>]) -> Self {
        let mut progress = BatchProgress { total: views.len() as u64, ..BatchProgress::default() };
        let (mut resource_usage, mut counts) = (ResourceUsage::default(), BTreeMap::new());
        let (mut jobs, mut percentages) = (vec![], 0.0);
        for (job_id, view) in batch.job_ids.iter().zip(views) {
            if view.as_ref().is_some_and(|view| view.deleted_at.is_some()) {
                progress.deleted += 1;
                continue;
            }
            let status = view.as_ref().map_or(JobStatus::Queued, |view| view.status);
            *counts.entry(status).or_insert(0) += 1;
            percentages += view.as_ref().map_or(0.0, percentage);
            if let Some(view) = view {
                resource_usage.add(view);
            }
            jobs.push(BatchJob::of(batch, *job_id, view.as_ref()));
        }
        progress.count(&counts);
        progress.percentage = match jobs.len() {
            0 => 100.0,
            count => (percentages / count as f64 * 100.0).round() / 100.0,
        };
        let views: Vec<&StatusView> = views.iter().flatten().collect();
        let goes_on = progress.queued + progress.processing > 0;
        let estimate = views.iter().filter_map(|view| view.estimated_completion).max();
        Self {
            summary: batch.summary(estimate.filter(|_| goes_on), counts),
            user_id: batch.user_id.clone(),
            status: progress.status().name().to_owned(),
            updated_at: views.iter().map(|view| view.updated_at).max().unwrap_or(batch.created_at),
            completed_at: views.iter().filter_map(|view| view.ended_at).max().filter(|_| !goes_on),
            progress,
            resource_usage,
            jobs,
        }
    }
}

fn percentage(view: &StatusView) -> f64 {
    if view.ended_at.is_some() { 100.0 } else { view.percentage }
}

impl BatchProgress {
    fn count(&mut self, counts: &BTreeMap<JobStatus, u64>) {
        let count = |status| counts.get(&status).copied().unwrap_or(0);
        self.queued = count(JobStatus::Queued);
        self.processing = count(JobStatus::Processing);
        self.completed = count(JobStatus::Completed);
        self.failed = count(JobStatus::Failed);
        self.cancelled = count(JobStatus::Cancelled);
    }

    fn status(&self) -> JobStatus {
        let have_begun = self.processing + self.completed + self.failed > 0;
        match (self.queued, self.processing) {
            (0, 0) if self.completed > 0 => JobStatus::Completed,
            (0, 0) if self.failed > 0 => JobStatus::Failed,
            (0, 0) if self.cancelled > 0 => JobStatus::Cancelled,
            // All jobs are deleted, which they can be only after their end.
            (0, 0) => JobStatus::Completed,
            _ if have_begun => JobStatus::Processing,
            _ => JobStatus::Queued,
        }
    }
}

impl ResourceUsage {
    fn add(&mut self, view: &StatusView) {
        self.queue_time_seconds += view.started_at.map_or(0.0, |at| seconds_between(view.created_at, at));
        self.processing_time_seconds += processing_seconds(view).unwrap_or(0.0);
        if let Some(video) = &view.video {
            self.video_seconds += video.duration_ms as f64 / 1000.0;
            self.video_bytes += video.file_size;
        }
        self.retries += u64::from(view.retry_count);
    }
}

impl BatchJob {
    fn of(batch: &Batch, job_id: JobId, view: Option<&StatusView>) -> Self {
        let Some(view) = view else {
            let (summary, topic) = (not_requested_yet(batch, job_id), None);
            let (title, video_id, download_url) = (None, None, None);
            let (error_code, error_message) = (None, None);
            return Self { summary, topic, title, video_id, download_url, error_code, error_message };
        };
        let failure = view.failure.as_ref().map(|(_, failure)| failure);
        let is_completed = view.status == JobStatus::Completed;
        Self {
            summary: JobSummary::of(view),
            topic: Some(view.topic.clone()),
            title: view.title.clone(),
            video_id: view.video_id,
            download_url: is_completed.then(|| format!("/api/v1/videos/jobs/{job_id}/download")),
            error_code: failure.map(|failure| failure.code.clone()),
            error_message: failure.map(|failure| failure.message.clone()),
        }
    }
}

/// A job whose batch is recorded while the job itself is about to be.
fn not_requested_yet(batch: &Batch, job_id: JobId) -> JobSummary {
    JobSummary {
        job_id: job_id.0,
        status: JobStatus::Queued.name().to_owned(),
        priority: batch.priority.clone(),
        progress: ProgressAnswer {
            percentage: 0.0,
            current_stage: Stage::Initializing.name().to_owned(),
            stages_completed: vec![],
            stage_description: describe_stage(JobStatus::Queued, None, 0, 0),
            updated_at: batch.created_at,
            estimated_completion: None,
            processing_time_seconds: 0.0,
            scenes_total: 0,
            scenes_done: 0,
        },
        created_at: batch.created_at,
        estimated_completion: None,
        batch_id: Some(batch.batch_id.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(counts: &[(JobStatus, u64)]) -> JobStatus {
        let mut progress = BatchProgress::default();
        progress.count(&counts.iter().copied().collect());
        progress.status()
    }

    #[test]
    fn the_status_of_a_batch_follows_from_those_of_its_jobs() {
        use JobStatus::{Cancelled, Completed, Failed, Processing, Queued};
        assert_eq!(status(&[(Queued, 2)]), Queued);
        assert_eq!(status(&[(Queued, 1), (Cancelled, 1)]), Queued, "none has begun");
        assert_eq!(status(&[(Queued, 1), (Completed, 1)]), Processing);
        assert_eq!(status(&[(Processing, 1), (Failed, 1)]), Processing);
        assert_eq!(status(&[(Completed, 1), (Failed, 3), (Cancelled, 3)]), Completed);
        assert_eq!(status(&[(Failed, 1), (Cancelled, 3)]), Failed);
        assert_eq!(status(&[(Cancelled, 3)]), Cancelled);
        assert_eq!(status(&[]), Completed, "all are deleted");
    }
}
