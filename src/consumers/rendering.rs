//! `rendering`: one scene from source and narration to a clip.

use async_trait::async_trait;

use super::error::{StageError, missing};
use super::reuse::{fetched, kept};
use super::task::{StageHandler, Task, blocking};
use crate::domain::job::Outcome;
use crate::events::Stage;
use crate::events::job::Clip;
use crate::media::encoder::{self, EncodeSettings};
use crate::media::images::Images;
use crate::media::narration::Pcm;
use crate::media::scene_video::{self, Error, Material};
use crate::media::{timeline, typeset};
use crate::scene::SceneTimeline;
use crate::storage::Key;

pub struct Rendering;

#[async_trait]
impl StageHandler for Rendering {
    fn stage(&self) -> Stage {
        Stage::Rendering
    }

    async fn run(&self, task: &Task) -> Result<Outcome, StageError> {
        let task = task.clone();
        blocking(move || render(&task)).await
    }
}

fn render(task: &Task) -> Result<Outcome, StageError> {
    let request = task.request()?;
    let (index, scene) = task.scene()?;
    let code = scene.code.as_deref().ok_or_else(|| missing("SceneCodeGenerated"))?;
    let narrated = scene.narrated.as_ref().ok_or_else(|| missing("ScenarioCreated"))?;
    let (width, height) = request.dimensions();

    let narration = timeline::read_wav(&task.workspace.path(&narrated.narration)).map_err(|error| {
        StageError::retryable(
            "NARRATION_LOST",
            format!("the narration of scene {} cannot be read", index + 1),
        )
        .because(error)
    })?;

    let file = format!("scenes/{index:02}.mp4");
    let settings = EncodeSettings::new(width, height, request.fps);
    let out = task.workspace.path(&file);
    let key = clip_key(code, &narrated.timeline, &narration, &settings);
    let (frames, duration_ms) = (u64::from(narrated.timeline.frames), narrated.timeline.duration_ms());
    if fetched(&task.cache, &key, &out) {
        task.progress.report(frames, frames);
        let bytes = std::fs::metadata(&out).map_or(0, |metadata| metadata.len());
        return Ok(Outcome::Rendered { clip: Clip { file, frames, duration_ms, bytes, reused: true } });
    }
    let mut on_frame = |done, total| task.progress.report(done, total);
    let material = Material {
        scene: &scene.description,
        source: code,
        timeline: &narrated.timeline,
        narration: &narration,
        // Scenes of a job show none: `read_scenes` refuses them.
        images: &Images::default(),
    };
    let encoded =
        scene_video::render(material, &settings, &out, &mut on_frame, &task.cancel).map_err(|failure| {
            match failure {
                Error::Typeset(error) => cannot_typeset(index, error),
                Error::Encode(error) => cannot_encode(index, error),
            }
        })?;
    kept(&task.cache, &key, &out);
    let clip = Clip { file, frames: encoded.frames, duration_ms, bytes: encoded.bytes, reused: false };
    Ok(Outcome::Rendered { clip })
}

/// Everything that a clip is made from; another version of the engine makes another clip.
fn clip_key(code: &str, timeline: &SceneTimeline, narration: &Pcm, settings: &EncodeSettings) -> Key {
    let mut key = Key::of(concat!("clip ", env!("CARGO_PKG_VERSION")));
    key.add(code).add(typeset::THEME_SOURCE).add(format!("{timeline:?}{settings:?}"));
    let samples: Vec<u8> = narration.samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    key.add(samples);
    key
}

fn cannot_typeset(index: u32, error: typeset::Error) -> StageError {
    StageError::terminal("TYPESETTING_FAILED", format!("scene {} cannot be typeset: {error}", index + 1))
        .suggest("simplify the part of the script that this scene shows")
        .because(error)
}

fn cannot_encode(index: u32, error: encoder::Error) -> StageError {
    if error.is_disk_full() {
        return StageError::disk_full(error);
    }
    StageError::retryable("RENDERING_FAILED", format!("scene {} cannot be encoded: {error}", index + 1))
        .because(error)
}
