//! What the catalog knows of one job, folded from its events.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::events::content::ERASED;
use crate::events::imported::ImportedEnding;
use crate::events::job::{RecordedJobEvent, StoredFile, VideoFacts};
use crate::events::{JobEvent, OutputFormat, Stage};
use crate::ids::JobId;
use crate::projections::status::StatusView;
use reel_scene::Scene;

/// The rows of one job.
#[derive(Debug, Clone)]
pub struct CatalogJob {
    pub view: StatusView,
    /// When the job's files were removed; `None` while there may be some.
    pub files_removed_at: Option<DateTime<Utc>>,
    pub output_format: OutputFormat,
    pub stages: Vec<Row<StageRow>>,
    pub scenes: Vec<Row<SceneRow>>,
    pub files: Vec<StoredFile>,
    /// Rows that are stored are void: they are deleted before others are written.
    pub is_begun_again: bool,
}

/// What a row weighs beside its texts.
const ROW_BYTES: usize = 300;

/// A row, and whether it is stored as it is.
#[derive(Debug, Clone)]
pub struct Row<T> {
    pub value: T,
    pub is_stored: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, sqlx::FromRow)]
pub struct StageRow {
    pub stage: String,
    /// When its first work was queued.
    pub queued_at: Option<DateTime<Utc>>,
    pub started_at: Option<DateTime<Utc>>,
    pub completed_at: Option<DateTime<Utc>>,
    /// The most that any of its work has had.
    pub attempts: i32,
    pub failures: i32,
    pub retries: i32,
    /// Of all attempts at its work, together.
    pub cpu_ms: i64,
    /// From the beginning to the end of each attempt, together.
    pub busy_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, sqlx::FromRow)]
pub struct SceneRow {
    pub scene: i32,
    pub title: String,
    pub narration: String,
    /// `planned`, `narrated`, `coded` or `rendered`.
    pub status: String,
    pub attempts: i32,
    pub language: Option<String>,
    pub code: Option<String>,
    /// Runs of its code before it was drawn.
    #[serde(default)]
    #[sqlx(json)]
    pub code_attempts: Vec<CodeAttemptRow>,
    pub frames: Option<i64>,
    pub duration_ms: Option<i64>,
    pub rendered_at: Option<DateTime<Utc>>,
}

/// A run of a scene's code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeAttemptRow {
    /// From 1.
    pub attempt: u32,
    pub code: String,
    pub error: Option<String>,
}

/// A finished video, with what its job's other rows say.
#[derive(Debug, Clone)]
pub struct VideoRow {
    pub video_id: Uuid,
    pub facts: VideoFacts,
    pub files: Vec<StoredFile>,
    pub created_at: DateTime<Utc>,
    pub stages: Vec<StageRow>,
}

impl<T> Row<T> {
    fn new(value: T) -> Self {
        Self { value, is_stored: false }
    }

    fn change(&mut self, change: impl FnOnce(&mut T)) {
        change(&mut self.value);
        self.is_stored = false;
    }
}

impl CatalogJob {
    /// What the job takes in memory, about: its texts, and some hundred bytes for each row.
    pub fn weight_bytes(&self) -> usize {
        let scene = |row: &Row<SceneRow>| {
            let SceneRow { title, narration, code, code_attempts, .. } = &row.value;
            let attempt = |of: &CodeAttemptRow| of.code.len() + of.error.as_ref().map_or(0, String::len);
            let attempts = code_attempts.iter().map(attempt).sum::<usize>();
            title.len() + narration.len() + code.as_ref().map_or(0, String::len) + attempts + ROW_BYTES
        };
        let rows = self.stages.len() + self.files.len() + 1;
        let StatusView { topic, title, description, tags, warnings, .. } = &self.view;
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let tags = tags.iter().map(String::len).sum::<usize>();
        let warnings = warnings.iter().map(|warning| warning.message.len() + ROW_BYTES).sum::<usize>();
        let texts = topic.len() + length(title) + length(description) + tags + warnings;
        self.scenes.iter().map(scene).sum::<usize>() + rows * ROW_BYTES + texts
    }

    /// The rows after one more event; `None` for a job not seen before, whose first event is another than
    /// `JobRequested` or `JobImported`: only a damaged history has that.
    pub fn evolve(job: Option<Self>, job_id: JobId, recorded: &RecordedJobEvent) -> Option<Self> {
        let Some(mut job) = job else {
            return Self::first(job_id, recorded);
        };
        if recorded.version <= job.view.version {
            return Some(job);
        }
        job.view = StatusView::evolve(Some(job.view), job_id, recorded)?;
        job.apply(&recorded.event, recorded.recorded_at);
        Some(job)
    }

    fn first(job_id: JobId, recorded: &RecordedJobEvent) -> Option<Self> {
        let at = recorded.recorded_at;
        let (request, files, files_removed_at) = match &recorded.event {
            JobEvent::JobRequested(requested) => (&requested.request, vec![], None),
            JobEvent::JobImported(imported) => match &imported.ending {
                ImportedEnding::Completed { files, .. } => (&imported.request, files.clone(), None),
                ImportedEnding::Failed { .. } | ImportedEnding::Cancelled { .. } => {
                    (&imported.request, vec![], Some(at))
                }
            },
            _ => return None,
        };
        Some(Self {
            view: StatusView::evolve(None, job_id, recorded)?,
            files_removed_at,
            output_format: request.output_format,
            stages: vec![],
            scenes: vec![],
            files,
            is_begun_again: false,
        })
    }

    fn apply(&mut self, event: &JobEvent, at: DateTime<Utc>) {
        match event {
            JobEvent::StageScheduled(item) => {
                self.stage(item.stage, |row| {
                    row.queued_at.get_or_insert(at);
                });
            }
            JobEvent::StageStarted { stage, attempt, .. } => self.stage(*stage, |row| {
                row.started_at.get_or_insert(at);
                row.attempts = row.attempts.max(*attempt as i32);
            }),
            JobEvent::StageRetryScheduled { item, .. } => {
                self.stage(item.stage, |row| {
                    row.attempts = row.attempts.max(item.attempt as i32);
                    row.retries += 1;
                });
                self.scene(item.scene, |row| row.attempts = row.attempts.max(item.attempt as i32));
            }
            JobEvent::StageFailed { stage, .. } => self.stage(*stage, |row| row.failures += 1),
            JobEvent::StageCompleted { stage, .. } => {
                self.stage(*stage, |row| row.completed_at = Some(at));
            }
            JobEvent::StageMeasured(measured) => self.stage(measured.stage, |row| {
                row.cpu_ms += measured.usage.cpu_ms as i64;
                row.busy_ms += measured.usage.wall_ms as i64;
            }),
            JobEvent::ScenePlanned { scene, description } => {
                self.scenes.push(Row::new(planned(*scene, description)))
            }
            JobEvent::SceneCodeAttempted(attempt) => self.scene(Some(attempt.scene), |row| {
                row.code_attempts.push(CodeAttemptRow {
                    attempt: attempt.attempt,
                    code: attempt.code.clone(),
                    error: attempt.error.clone(),
                });
            }),
            JobEvent::ScenarioCreated { scenes, .. } => {
                for narrated in scenes {
                    self.scene(Some(narrated.scene), |row| {
                        "narrated".clone_into(&mut row.status);
                        row.duration_ms = Some(narrated.timeline.duration_ms() as i64);
                    });
                }
            }
            JobEvent::SceneNarrated { narrated, .. } => self.scene(Some(narrated.scene), |row| {
                "narrated".clone_into(&mut row.status);
                row.duration_ms = Some(narrated.timeline.duration_ms() as i64);
            }),
            JobEvent::SceneCodeGenerated { scene, language, code, .. } => self.scene(Some(*scene), |row| {
                "coded".clone_into(&mut row.status);
                row.language = Some(language.clone());
                row.code = Some(code.clone());
            }),
            JobEvent::SceneRendered { scene, clip, .. } => self.scene(Some(*scene), |row| {
                "rendered".clone_into(&mut row.status);
                row.frames = Some(clip.frames as i64);
                row.duration_ms = Some(clip.duration_ms as i64);
                row.rendered_at = Some(at);
            }),
            JobEvent::UploadCompleted { files, .. } => self.files.clone_from(files),
            JobEvent::SidecarStored(stored) => StoredFile::add_all(&mut self.files, &stored.files),
            JobEvent::JobReprocessRequested { from } => {
                self.files_removed_at = None;
                self.begin_again(*from);
            }
            // Without a stream, nothing is kept.
            JobEvent::JobFailed { .. } | JobEvent::JobCancelled { .. } if self.view.playable_ms() == 0 => {
                self.files_removed_at = Some(at);
            }
            JobEvent::ContentErased {} => self.erase_content(),
            JobEvent::DeletedFilesRemoved {}
            | JobEvent::PartialStreamRemoved {}
            | JobEvent::VideoExpired { .. } => {
                self.files_removed_at = Some(at);
            }
            JobEvent::JobRequested(_)
            | JobEvent::JobImported(_)
            | JobEvent::JobQueued { .. }
            | JobEvent::StageProgressed(_)
            | JobEvent::StreamBegan { .. }
            | JobEvent::VideoCombined { .. }
            | JobEvent::ThumbnailCreated(_)
            | JobEvent::UploadStarted { .. }
            | JobEvent::UploadProgressed(_)
            | JobEvent::UploadRetried(_)
            | JobEvent::StorageFellBack { .. }
            | JobEvent::StorageCaughtUp { .. }
            | JobEvent::SidecarFailed(_)
            | JobEvent::JobCompleted { .. }
            | JobEvent::JobFailed { .. }
            | JobEvent::CancelRequested { .. }
            | JobEvent::JobCancelled { .. }
            | JobEvent::ModelCalled(_)
            | JobEvent::SceneReviewed(_)
            | JobEvent::WarningRaised { .. }
            | JobEvent::DeadLetterDiscarded { .. }
            | JobEvent::JobDeleted {} => {}
        }
    }

    /// Everything as JSON, for auditors.
    pub fn to_json(&self) -> serde_json::Value {
        let stages: Vec<&StageRow> = self.stages.iter().map(|row| &row.value).collect();
        let scenes: Vec<&SceneRow> = self.scenes.iter().map(|row| &row.value).collect();
        serde_json::json!({
            "job": self.view,
            "title": self.view.title,
            "output_format": self.output_format,
            "stages": stages,
            "scenes": scenes,
            "files": self.files,
        })
    }

    /// Notes that all rows are stored as they are.
    pub fn set_stored(&mut self) {
        self.is_begun_again = false;
        self.stages.iter_mut().for_each(|row| row.is_stored = true);
        self.scenes.iter_mut().for_each(|row| row.is_stored = true);
    }

    pub fn into_video(self) -> Option<VideoRow> {
        Some(VideoRow {
            video_id: self.view.video_id?,
            facts: self.view.video?,
            files: self.files,
            created_at: self.view.ended_at?,
            stages: self.stages.into_iter().map(|row| row.value).collect(),
        })
    }

    pub fn into_scenes(self) -> Vec<SceneRow> {
        self.scenes.into_iter().map(|row| row.value).collect()
    }

    pub fn stage_row(&self, stage: Stage) -> Option<&StageRow> {
        self.stages.iter().map(|row| &row.value).find(|row| row.stage == stage.name())
    }

    fn stage(&mut self, stage: Stage, change: impl FnOnce(&mut StageRow)) {
        let found = self.stages.iter().position(|row| row.value.stage == stage.name());
        let index = found.unwrap_or_else(|| {
            self.stages.push(Row::new(StageRow {
                stage: stage.name().to_owned(),
                queued_at: None,
                started_at: None,
                completed_at: None,
                attempts: 0,
                failures: 0,
                retries: 0,
                cpu_ms: 0,
                busy_ms: 0,
            }));
            self.stages.len() - 1
        });
        self.stages[index].change(change);
    }

    fn scene(&mut self, scene: Option<u32>, change: impl FnOnce(&mut SceneRow)) {
        if let Some(row) = scene.and_then(|scene| self.scenes.get_mut(scene as usize)) {
            row.change(change);
        }
    }

    fn begin_again(&mut self, from: Stage) {
        self.is_begun_again = true;
        let is_kept = |row: &Row<StageRow>| Stage::parse(&row.value.stage).is_some_and(|stage| stage < from);
        self.stages.retain(is_kept);
        if from <= Stage::Planning {
            self.scenes.clear();
        }
        for row in &mut self.scenes {
            row.change(|row| {
                if from <= Stage::CodeGeneration {
                    (row.language, row.code) = (None, None);
                }
                if from <= Stage::ScenarioCreation {
                    row.duration_ms = None;
                }
                (row.frames, row.rendered_at) = (None, None);
                let done = match from {
                    from if from <= Stage::ScenarioCreation => "planned",
                    Stage::CodeGeneration => "narrated",
                    _ => "coded",
                };
                done.clone_into(&mut row.status);
            });
        }
        self.stages.iter_mut().for_each(|row| row.is_stored = false);
    }

    fn erase_content(&mut self) {
        for row in &mut self.scenes {
            row.change(|row| {
                ERASED.clone_into(&mut row.title);
                ERASED.clone_into(&mut row.narration);
                row.code = row.code.take().map(|_| ERASED.to_owned());
                row.code_attempts.clear();
            });
        }
    }
}

fn planned(scene: u32, description: &Scene) -> SceneRow {
    let lines: Vec<&str> = description.steps.iter().map(|step| step.narration.as_str()).collect();
    SceneRow {
        scene: scene as i32,
        title: description.title.clone(),
        narration: lines.join(" "),
        status: "planned".to_owned(),
        attempts: 1,
        language: None,
        code: None,
        code_attempts: vec![],
        frames: None,
        duration_ms: None,
        rendered_at: None,
    }
}
