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
        false
    }

    async fn run(&self, task: &Task) -> Result<Outcome, StageError> {
        // The low bits of a UUIDv7 are random, but equal whenever the attempt runs.
        let chance = task.token.0.as_u128() & 0xffff_ffff;
        let longest = self.rehearsal.longest.as_micros();
        if longest > 0 {
            let pause = Duration::from_micros((chance % longest) as u64);
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
        let piece = (self.stage, task.scene);
        Ok(outcome(piece, task.job_id, &task.job, self.rehearsal.scenes))
    }
}

/// Returns a plausible outcome of a stage, or of one scene of it. `scenes` is the number of scenes of a plan.
pub fn outcome((stage, scene): (Stage, Option<u32>), job_id: JobId, job: &Job, scenes: u32) -> Outcome {
    let clip = Clip {
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
        Stage::Planning => {
            Outcome::Planned { scenes: vec![planned(); scenes.max(1) as usize], warnings: vec![] }
        }
        Stage::ScenarioCreation => match scene {
            Some(scene) => Outcome::SceneNarrated { voice: "none".into(), narrated: narrated(scene) },
            None => Outcome::Narrated {
                voice: "none".into(),
                scenes: (0..job.scenes.len() as u32).map(narrated).collect(),
                warnings: vec![],
            },
        },
        Stage::CodeGeneration => {
            Outcome::CodeGenerated { language: "none".into(), code: String::new(), warnings: vec![] }
        }
        Stage::Rendering => Outcome::Rendered { clip },
        Stage::Combining => Outcome::Combined { clip, thumbnails: vec![] },
        Stage::Storage => Outcome::Stored {
            video_id: Uuid::new_v5(&job_id.0, b"video"),
            target: StorageTarget::Local,
            files: vec![],
            video: facts(),
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
    }
}
