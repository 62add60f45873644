//! Stages that only pretend: they make up plausible results in no time, so that the log, the queues and the
//! runtime around them can be tested and measured by the thousand.

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

/// How the pretended work goes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rehearsal {
    /// Scenes of every plan; at least one.
    pub scenes: u32,
    /// How long each piece takes, at most; how long exactly follows from its token.
    pub longest: Duration,
    /// One piece in so many fails and may be tried again; 0 for none.
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

    async fn run(&self, task: &Task) -> Result<Outcome, StageError> {
        // The low bits of a UUIDv7 are random, and the same whenever the attempt runs.
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
        Ok(outcome(self.stage, task.job_id, &task.job, self.rehearsal.scenes))
    }
}

/// What a stage might have led to. `scenes` is how many a plan gets.
pub fn outcome(stage: Stage, job_id: JobId, job: &Job, scenes: u32) -> Outcome {
    let clip = Clip {
        file: "pretended.mp4".into(),
        frames: 30,
        duration_ms: 1000,
        bytes: 1,
        reused: false,
        renditions: vec![],
    };
    match stage {
        Stage::Initializing => Outcome::Initialized,
        Stage::Planning => {
            Outcome::Planned { scenes: vec![scene(); scenes.max(1) as usize], warnings: vec![] }
        }
        Stage::ScenarioCreation => Outcome::Narrated {
            voice: "none".into(),
            scenes: (0..job.scenes.len() as u32).map(narrated).collect(),
            warnings: vec![],
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

fn scene() -> Scene {
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
        technical: None,
    }
}
