//! The state of a job, folded from its events.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::events::content::ERASED;
use crate::events::imported::{ImportedEnding, JobImported};
use crate::events::job::{
    Clip, Failure, NarratedScene, RecordedJobEvent, SceneStream, Sidecar, SidecarFailed, StorageTarget,
    StoredFile, Thumbnail, VideoFacts, WorkItem,
};
use crate::events::{JobEvent, Stage, VideoRequest};
use crate::ids::BatchId;
use reel_scene::{Scene, SceneTimeline};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Status {
    /// No event yet.
    #[default]
    Unknown,
    Queued,
    Processing,
    Completed,
    Failed,
    Cancelled,
}

/// Everything that deciding, and the stages, need to know of a job.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Job {
    /// Version of the last folded event; 0 for a job that does not exist.
    pub version: u64,
    pub status: Status,
    pub user_id: String,
    pub request: Option<VideoRequest>,
    pub batch_id: Option<BatchId>,
    pub requested_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    /// When the first segment was there: from then on the video can be watched.
    pub playable_at: Option<DateTime<Utc>>,
    /// The stream until the first scene is rendered: its first segment, in each rendition.
    pub beginning: Vec<SceneStream>,
    pub percentage: f64,
    pub stages: BTreeMap<Stage, StageProgress>,
    /// Work that is scheduled and has not ended.
    pub open_work: BTreeSet<WorkItem>,
    /// The last attempt that was scheduled at each piece of work. Numbers never repeat, so that an attempt from
    /// before the job was begun again is not taken for one of today.
    pub last_attempts: BTreeMap<(Stage, Option<u32>), u32>,
    /// As they were when the job was begun again: those before do not count.
    pub retired_attempts: BTreeMap<(Stage, Option<u32>), u32>,
    pub scenes: Vec<SceneProgress>,
    pub combined: Option<Clip>,
    pub thumbnails: Vec<Thumbnail>,
    pub stored: Vec<StoredFile>,
    pub video: Option<VideoFacts>,
    pub failure: Option<(Stage, Failure)>,
    /// Whether an operator has put the failure aside.
    pub is_discarded: bool,
    /// Whether what the user wrote is gone.
    pub is_erased: bool,
    /// Whether its user does not see it any more.
    pub is_deleted: bool,
    /// Whether the files of the deleted job are gone.
    pub are_files_removed: bool,
    /// Whether the files of the completed job are gone because of their age.
    pub is_expired: bool,
    /// The sidecars that the completed video lacks.
    pub missing_sidecars: BTreeMap<Sidecar, MissingSidecar>,
    /// Where the files are.
    pub stored_in: Option<StorageTarget>,
    /// Whether S3 did not take the files, and they are on a worker's disk instead.
    pub has_fallen_back: bool,
    /// CPU time of all attempts.
    pub cpu_ms: u64,
    /// The most memory that a worker had during an attempt.
    pub peak_memory_bytes: u64,
    /// Tokens that its calls of language models have used, in all attempts.
    pub model_tokens: u64,
    /// Millionths of a dollar that they have cost.
    pub model_micro_dollars: u64,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct StageProgress {
    pub started_at: Option<DateTime<Utc>>,
    pub completed_at: Option<DateTime<Utc>>,
    pub attempts: u32,
}

/// A sidecar that could not be made or stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingSidecar {
    /// That failed.
    pub attempts: u32,
    /// Whether no further attempt is made.
    pub is_given_up: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct SceneProgress {
    pub description: Scene,
    pub narrated: Option<NarratedScene>,
    pub code: Option<String>,
    pub clip: Option<Clip>,
}

impl SceneProgress {
    fn has_result(&self, stage: Stage) -> bool {
        match stage {
            Stage::ScenarioCreation => self.narrated.is_some(),
            Stage::CodeGeneration => self.code.is_some(),
            Stage::Rendering => self.clip.is_some(),
            Stage::Initializing | Stage::Planning | Stage::Combining | Stage::Storage => false,
        }
    }
}

impl Job {
    /// Every scene that has been narrated, with when its steps are.
    pub fn narrated_scenes(&self) -> impl Iterator<Item = (&Scene, &SceneTimeline)> {
        self.scenes.iter().filter_map(|scene| Some((&scene.description, &scene.narrated.as_ref()?.timeline)))
    }

    pub fn fold<'a>(events: impl IntoIterator<Item = &'a RecordedJobEvent>) -> Self {
        events.into_iter().fold(Self::default(), Self::evolve)
    }

    /// How often each piece of its work is tried again, where its request says so.
    pub fn retry_attempts(&self) -> Option<u32> {
        self.request.as_ref()?.retry_attempts
    }

    pub fn has_ended(&self) -> bool {
        matches!(self.status, Status::Completed | Status::Failed | Status::Cancelled)
    }

    /// Whether all was made, and storing it failed in a way that another attempt does not mend. What was made is kept for a
    /// while then.
    pub fn has_only_storing_failed(&self) -> bool {
        let failure = self.failure.as_ref().filter(|_| self.status == Status::Failed);
        failure.is_some_and(|(stage, error)| *stage == Stage::Storage && !error.retryable)
    }

    /// The sidecars that another attempt may complete.
    pub fn sidecars_to_make(&self) -> Vec<Sidecar> {
        if self.status != Status::Completed || self.is_deleted || self.is_erased || self.are_files_removed {
            return vec![];
        }
        let missing = self.missing_sidecars.iter().filter(|(_, missing)| !missing.is_given_up);
        missing.map(|(sidecar, _)| *sidecar).collect()
    }

    pub fn has_started(&self, stage: Stage) -> bool {
        self.stages.get(&stage).is_some_and(|progress| progress.started_at.is_some())
    }

    pub fn has_completed(&self, stage: Stage) -> bool {
        self.stages.get(&stage).is_some_and(|progress| progress.completed_at.is_some())
    }

    /// The latest stage that has begun.
    pub fn current_stage(&self) -> Option<Stage> {
        Stage::ALL.into_iter().rev().find(|stage| self.has_started(*stage))
    }

    /// Scenes of a per-scene stage that are done.
    pub fn scenes_done(&self, stage: Stage) -> usize {
        self.scenes.iter().filter(|scene| scene.has_result(stage)).count()
    }

    /// Whether a scene's piece of work is done, be it before the job began again.
    pub fn has_result(&self, stage: Stage, scene: u32) -> bool {
        self.scenes.get(scene as usize).is_some_and(|scene| scene.has_result(stage))
    }

    /// The state after one more event.
    pub fn evolve(mut self, recorded: &RecordedJobEvent) -> Self {
        let at = recorded.recorded_at;
        self.version = recorded.version;
        if let Some(percentage) = recorded.event.percentage() {
            self.percentage = self.percentage.max(percentage);
        }
        match &recorded.event {
            JobEvent::JobRequested(requested) => {
                self.user_id.clone_from(&requested.user_id);
                self.batch_id = requested.batch_id;
                self.request = Some((*requested.request).clone());
                self.requested_at = Some(at);
            }
            JobEvent::JobImported(imported) => self.take_over(imported),
            JobEvent::JobQueued { .. } => self.status = Status::Queued,
            JobEvent::StageScheduled(item) => {
                self.open(*item);
            }
            JobEvent::StageRetryScheduled { item, .. } => {
                self.open(*item);
                let progress = self.stages.entry(item.stage).or_default();
                progress.attempts = progress.attempts.max(item.attempt);
            }
            JobEvent::StageStarted { stage, attempt, .. } => {
                self.status = Status::Processing;
                let progress = self.stages.entry(*stage).or_default();
                progress.started_at.get_or_insert(at);
                progress.attempts = progress.attempts.max(*attempt);
            }
            JobEvent::StageMeasured(measured) => {
                self.cpu_ms = self.cpu_ms.saturating_add(measured.usage.cpu_ms);
                self.peak_memory_bytes = self.peak_memory_bytes.max(measured.usage.peak_memory_bytes);
            }
            JobEvent::StageProgressed(_)
            | JobEvent::UploadStarted { .. }
            | JobEvent::UploadProgressed(_)
            | JobEvent::UploadRetried(_)
            | JobEvent::SceneCodeAttempted(_)
            | JobEvent::SceneReviewed(_)
            | JobEvent::WarningRaised { .. } => {}
            JobEvent::ModelCalled(call) => {
                let tokens = call.input_tokens.saturating_add(call.output_tokens);
                self.model_tokens = self.model_tokens.saturating_add(tokens);
                self.model_micro_dollars = self.model_micro_dollars.saturating_add(call.micro_dollars);
            }
            JobEvent::ScenePlanned { description, .. } => self.scenes.push(SceneProgress {
                description: description.clone(),
                narrated: None,
                code: None,
                clip: None,
            }),
            JobEvent::ScenarioCreated { scenes, .. } => {
                for narrated in scenes {
                    self.on_scene(narrated.scene, |scene| scene.narrated = Some(narrated.clone()));
                }
            }
            JobEvent::SceneNarrated { narrated, .. } => {
                self.on_scene(narrated.scene, |scene| scene.narrated = Some(narrated.clone()));
                self.close_work(Stage::ScenarioCreation, Some(narrated.scene));
            }
            JobEvent::SceneCodeGenerated { scene, code, .. } => {
                self.on_scene(*scene, |state| state.code = Some(code.clone()));
                self.close_work(Stage::CodeGeneration, Some(*scene));
            }
            JobEvent::StreamBegan { streams, .. } => {
                self.beginning.clone_from(streams);
                self.playable_at.get_or_insert(at);
            }
            JobEvent::SceneRendered { scene, clip, .. } => {
                self.on_scene(*scene, |state| state.clip = Some(clip.clone()));
                if *scene == 0 {
                    self.playable_at.get_or_insert(at);
                }
                self.close_work(Stage::Rendering, Some(*scene));
            }
            JobEvent::VideoCombined { clip } => self.combined = Some(clip.clone()),
            JobEvent::ThumbnailCreated(thumbnail) => self.thumbnails.push(thumbnail.clone()),
            JobEvent::StorageFellBack { .. } => self.has_fallen_back = true,
            JobEvent::StorageCaughtUp { target, .. } => {
                self.has_fallen_back = false;
                self.stored_in = Some(*target);
            }
            JobEvent::SidecarFailed(SidecarFailed { sidecar, attempt, retry_in_ms, .. }) => {
                let missing = MissingSidecar { attempts: *attempt, is_given_up: retry_in_ms.is_none() };
                self.missing_sidecars.insert(*sidecar, missing);
            }
            JobEvent::SidecarStored(stored) => {
                self.missing_sidecars.remove(&stored.sidecar);
                StoredFile::add_all(&mut self.stored, &stored.files);
                if stored.sidecar == Sidecar::Thumbnails {
                    self.thumbnails.clone_from(&stored.thumbnails);
                }
            }
            JobEvent::UploadCompleted { target, files } => {
                self.stored.clone_from(files);
                self.stored_in = Some(*target);
            }
            JobEvent::StageCompleted { stage, .. } => {
                self.stages.entry(*stage).or_default().completed_at = Some(at);
                self.close_work(*stage, None);
            }
            JobEvent::StageFailed { stage, scene, .. } => self.close_work(*stage, *scene),
            JobEvent::JobCompleted { video, .. } => {
                self.status = Status::Completed;
                self.ended_at = Some(at);
                self.video = Some(video.clone());
            }
            JobEvent::JobFailed { stage, error } => {
                self.status = Status::Failed;
                self.ended_at = Some(at);
                self.failure = Some((*stage, error.clone()));
                self.open_work.clear();
            }
            JobEvent::CancelRequested { .. } => {}
            JobEvent::JobCancelled { .. } => {
                self.status = Status::Cancelled;
                self.ended_at = Some(at);
                self.open_work.clear();
            }
            JobEvent::JobReprocessRequested { from } => self.begin_again(*from),
            JobEvent::DeadLetterDiscarded { .. } => self.is_discarded = true,
            JobEvent::ContentErased {} => self.erase_content(),
            JobEvent::JobDeleted {} => self.is_deleted = true,
            JobEvent::DeletedFilesRemoved {} | JobEvent::PartialStreamRemoved {} => {
                self.are_files_removed = true;
            }
            JobEvent::VideoExpired { .. } => {
                self.are_files_removed = true;
                self.is_expired = true;
            }
        }
        self
    }

    fn take_over(&mut self, imported: &JobImported) {
        self.user_id.clone_from(&imported.user_id);
        self.request = Some((*imported.request).clone());
        self.requested_at = Some(imported.requested_at);
        self.ended_at = Some(imported.ended_at);
        // A failure of another system waits for no operator of this one, and has left no files here.
        self.is_discarded = true;
        self.are_files_removed = true;
        match &imported.ending {
            ImportedEnding::Completed { video, target, files, .. } => {
                self.status = Status::Completed;
                self.video = Some(video.clone());
                self.stored.clone_from(files);
                self.stored_in = Some(*target);
                self.is_discarded = false;
                self.are_files_removed = false;
            }
            ImportedEnding::Failed { stage, error } => {
                self.status = Status::Failed;
                self.failure = Some((*stage, error.clone()));
            }
            ImportedEnding::Cancelled { .. } => self.status = Status::Cancelled,
        }
    }

    /// Forgets what `from` and the stages after it had led to.
    fn begin_again(&mut self, from: Stage) {
        self.status = Status::Queued;
        self.ended_at = None;
        self.failure = None;
        self.is_discarded = false;
        self.has_fallen_back = false;
        self.are_files_removed = false;
        self.retired_attempts.clone_from(&self.last_attempts);
        self.stages.retain(|stage, _| *stage < from);
        if from <= Stage::Planning {
            self.scenes.clear();
        }
        for scene in &mut self.scenes {
            scene.narrated.take_if(|_| from <= Stage::ScenarioCreation);
            scene.code.take_if(|_| from <= Stage::CodeGeneration);
            scene.clip.take_if(|_| from <= Stage::Rendering);
        }
        if from <= Stage::Rendering {
            self.playable_at = None;
            self.beginning.clear();
        }
        if from <= Stage::Combining {
            self.combined = None;
            self.thumbnails.clear();
        }
        self.stored.clear();
        self.missing_sidecars.clear();
    }

    fn erase_content(&mut self) {
        self.is_erased = true;
        if let Some(request) = &mut self.request {
            request.erase_content();
        }
        for scene in &mut self.scenes {
            scene.description.erase_content();
            scene.code = scene.code.take().map(|_| ERASED.to_owned());
        }
        if let Some((_, failure)) = &mut self.failure {
            failure.message = ERASED.to_owned();
            failure.causes.clear();
        }
    }

    fn open(&mut self, item: WorkItem) {
        self.open_work.insert(item);
        self.last_attempts.insert((item.stage, item.scene), item.attempt);
    }

    /// When the first of its stages began.
    pub fn began_at(&self) -> Option<DateTime<Utc>> {
        self.stages.values().filter_map(|progress| progress.started_at).min()
    }

    /// Whether an attempt at a scene's piece of work was scheduled since the job last began.
    pub fn is_scheduled(&self, stage: Stage, scene: u32) -> bool {
        let piece = (stage, Some(scene));
        self.last_attempts.get(&piece) > self.retired_attempts.get(&piece)
    }

    /// Whether scenes are narrated one by one. A duration that somebody asked for, and music, which fades out at the end,
    /// need all of them together.
    pub fn is_narrated_by_scene(&self) -> bool {
        self.request
            .as_ref()
            .is_some_and(|request| request.duration_ms().is_none() && request.music().is_none())
    }

    /// Whether all is there that a scene's piece of work is made from. A scene is rendered when the narrations of all scenes
    /// before it are measured, too: then it is known when it begins in the video.
    pub fn has_input(&self, stage: Stage, scene: u32) -> bool {
        let index = scene as usize;
        let is_narrated = |scene: &SceneProgress| scene.narrated.is_some();
        match stage {
            Stage::ScenarioCreation => self.is_narrated_by_scene(),
            Stage::CodeGeneration => self.scenes.get(index).is_some_and(is_narrated),
            Stage::Rendering => {
                self.scenes.get(index).is_some_and(|scene| scene.code.is_some())
                    && self.scenes.iter().take(index + 1).all(is_narrated)
            }
            Stage::Initializing | Stage::Planning | Stage::Combining | Stage::Storage => false,
        }
    }

    /// Returns the state after events that are not recorded yet.
    pub fn after(self, events: &[JobEvent]) -> Self {
        let recorded_at = self.requested_at.unwrap_or_default();
        events.iter().fold(self, |job, event| {
            let version = job.version + 1;
            job.evolve(&RecordedJobEvent { version, recorded_at, event: event.clone() })
        })
    }

    /// Attempts at a piece of work that do not count any more.
    pub fn retired(&self, stage: Stage, scene: Option<u32>) -> u32 {
        self.retired_attempts.get(&(stage, scene)).copied().unwrap_or(0)
    }

    fn on_scene(&mut self, index: u32, change: impl FnOnce(&mut SceneProgress)) {
        if let Some(scene) = self.scenes.get_mut(index as usize) {
            change(scene);
        }
    }

    fn close_work(&mut self, stage: Stage, scene: Option<u32>) {
        self.open_work.retain(|item| (item.stage, item.scene) != (stage, scene));
    }
}
