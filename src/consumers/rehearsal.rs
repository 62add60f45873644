//! Simulated stages: they return plausible results at once, so that the log, the queues and the runtime can be tested and
//! measured with thousands of jobs.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::error::StageError;
use super::task::{StageHandler, Task};
use crate::domain::job::{Job, Outcome};
use crate::error_codes::ErrorCode;
use crate::events::Stage;
use crate::events::job::{Clip, NarratedScene, StorageTarget, VideoFacts};
use crate::ids::JobId;
use reel_scene::{Block, RichText, Scene, SceneTimeline, Step};

/// Settings of the simulation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rehearsal {
    /// Scenes of every plan; at least one.
    pub scenes: u32,
    /// Longest duration of a piece of work; its token determines the exact one.
    pub longest: Duration,
    /// One in this many pieces fails with a retryable error; 0 for none.
    pub fails_one_in: u128,
    /// How long all stages take together, in ms for a second of narration, which then follows from the words of the request.
    pub ms_per_second: u32,
    /// Whether the pieces wait for the worker's processor slots, as real work does.
    pub is_cpu_bound: bool,
}

impl Rehearsal {
    /// How long a piece takes that follows from the narration, give or take a tenth.
    pub(super) fn paced(&self, (stage, scene): (Stage, Option<u32>), job: &Job, chance: u128) -> Duration {
        let share = match stage {
            Stage::Initializing | Stage::Planning => 0.01,
            Stage::ScenarioCreation => 0.2,
            Stage::CodeGeneration => 0.03,
            Stage::Rendering => 0.5,
            Stage::Combining => 0.05,
            Stage::Storage => 0.2,
        };
        let pieces = if scene.is_some() { job.scenes.len().max(1) as f64 } else { 1.0 };
        let jitter = 0.9 + (chance % 1000) as f64 / 5000.0;
        let seconds = narration_seconds(job) * f64::from(self.ms_per_second) / 1000.0;
        Duration::from_secs_f64(seconds * share * jitter / pieces)
    }

    /// Returns a plausible outcome of a piece, as long as the words of the request are if the pieces are paced by them.
    pub(super) fn outcome(&self, (stage, scene): (Stage, Option<u32>), job_id: JobId, job: &Job) -> Outcome {
        let mut outcome = outcome((stage, scene), job_id, job, self.scenes);
        if self.ms_per_second > 0 {
            let count = job.scenes.len().max(1) as f64;
            let frames = ((narration_seconds(job) * 30.0 / count) as u32).max(1);
            match &mut outcome {
                Outcome::Planned { scenes, .. } => {
                    let words = narration_seconds(job) / SECONDS_PER_WORD / scenes.len() as f64;
                    let narration = "word. ".repeat((words as usize).max(1)).trim_end().to_owned();
                    for step in scenes.iter_mut().flat_map(|scene| &mut scene.steps) {
                        step.narration.clone_from(&narration);
                    }
                }
                Outcome::Narrated { scenes, .. } => {
                    scenes.iter_mut().for_each(|scene| scene.timeline.frames = frames);
                }
                Outcome::SceneNarrated { narrated, .. } => narrated.timeline.frames = frames,
                _ => {}
            }
        }
        outcome
    }
}

const SECONDS_PER_WORD: f64 = 0.4;

pub(super) fn narration_seconds(job: &Job) -> f64 {
    let script = job.request.as_ref().and_then(|request| request.script.as_deref());
    script.map_or(0, |script| script.split_whitespace().count()) as f64 * SECONDS_PER_WORD
}

/// The handler of every stage.
pub fn handlers(rehearsal: Rehearsal) -> Vec<Arc<dyn StageHandler>> {
    Stage::ALL.map(|stage| Arc::new(Pretend { stage, rehearsal }) as Arc<dyn StageHandler>).into()
}

struct Pretend {
    stage: Stage,
    rehearsal: Rehearsal,
}

#[async_trait]
impl StageHandler for Pretend {
    fn stage(&self) -> Stage {
        self.stage
    }

    fn is_cpu_bound(&self) -> bool {
        self.rehearsal.is_cpu_bound
    }

    async fn run(&self, task: &Task) -> Result<Outcome, StageError> {
        // The low bits of a UUIDv7 are random, but equal whenever the attempt runs.
        let chance = task.token.0.as_u128() & 0xffff_ffff;
        let longest = self.rehearsal.longest.as_micros();
        if longest > 0 || self.rehearsal.ms_per_second > 0 {
            let random = Duration::from_micros(chance.checked_rem(longest).unwrap_or(0) as u64);
            let pause = random + self.rehearsal.paced((self.stage, task.scene), &task.job, chance);
            tokio::select! {
                () = task.cancel.cancelled() => {
                    return Err(StageError::retryable(ErrorCode::RehearsedFailure, "the rehearsal was interrupted"));
                }
                () = tokio::time::sleep(pause) => {}
            }
        }
        if self.rehearsal.fails_one_in > 0 && chance.is_multiple_of(self.rehearsal.fails_one_in) {
            return Err(StageError::retryable(ErrorCode::RehearsedFailure, "this attempt was to fail"));
        }
        Ok(self.rehearsal.outcome((self.stage, task.scene), task.job_id, &task.job))
    }
}

/// Returns a plausible outcome of a stage, or of one scene of it. `scenes` is the number of scenes of a plan.
pub fn outcome((stage, scene): (Stage, Option<u32>), job_id: JobId, job: &Job, scenes: u32) -> Outcome {
    let clip = Clip {
        artifact: None,
        file: "pretended.mp4".into(),
        frames: 30,
        duration_ms: 1000,
        bytes: 1,
        reused: false,
        renditions: vec![],
        streams: vec![],
    };
    match stage {
        Stage::Initializing => Outcome::Initialized,
        Stage::Planning => Outcome::Planned {
            scenes: vec![planned(); scenes.max(1) as usize],
            attempts: vec![],
            warnings: vec![],
        },
        Stage::ScenarioCreation => match scene {
            Some(scene) => {
                Outcome::SceneNarrated { voice: "none".into(), narrated: narrated(scene), warnings: vec![] }
            }
            None => Outcome::Narrated {
                voice: "none".into(),
                scenes: (0..job.scenes.len() as u32).map(narrated).collect(),
                warnings: vec![],
            },
        },
        Stage::CodeGeneration => {
            Outcome::CodeGenerated { language: "none".into(), code: String::new(), warnings: vec![] }
        }
        Stage::Rendering => Outcome::Rendered { clip, warnings: vec![] },
        Stage::Combining => Outcome::Combined { clip, thumbnails: vec![], warnings: vec![] },
        Stage::Storage => Outcome::Stored {
            video_id: Uuid::new_v5(&job_id.0, b"video"),
            target: StorageTarget::Local,
            files: vec![],
            video: facts(),
            failed: vec![],
        },
    }
}

fn planned() -> Scene {
    Scene {
        title: "Pretended".into(),
        blocks: vec![Block::Paragraph { text: RichText::plain("x") }],
        steps: vec![Step::new("x.", vec![])],
        ..Scene::default()
    }
}

fn narrated(scene: u32) -> NarratedScene {
    NarratedScene {
        artifact: None,
        scene,
        narration: "none.wav".into(),
        timeline: SceneTimeline { fps: 30, frames: 30, steps: vec![] },
    }
}

fn facts() -> VideoFacts {
    VideoFacts {
        duration_ms: 1000,
        width: 854,
        height: 480,
        fps: 30.0,
        frames: 30,
        video_codec: "h264".into(),
        audio_codec: "aac".into(),
        bitrate: 1,
        file_size: 1,
        technical: None,
    }
}
