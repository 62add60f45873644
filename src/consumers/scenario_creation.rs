//! `scenario_creation`: every line is spoken and measured. The measured durations are the only clock
//! of what follows.

use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::error::StageError;
use super::reuse::{cache_file, copy_cached};
use super::task::{StageHandler, Task, blocking};
use crate::domain::job::Outcome;
use crate::error_codes::ErrorCode;
use crate::events::Stage;
use crate::events::job::{NarratedScene, Warning};
use crate::storage::Recipe;
use crate::telemetry::chain;
use reel_scene::Scene;
use reel_studio::named_file;
use reel_studio::speak::calibration;
use reel_studio::speak::music::Music;
use reel_studio::speak::narration::{self, Pcm, Voice};
use reel_studio::speak::narrator::{self, Narration, SceneNarration};
use reel_studio::speak::timeline;

/// Lines spoken at a time; each is a short-lived process.
const VOICES_AT_A_TIME: usize = 2;

pub struct ScenarioCreation {
    pub voice: Voice,
    /// Where pieces of music are.
    pub music: Option<PathBuf>,
}

#[async_trait]
impl StageHandler for ScenarioCreation {
    fn stage(&self) -> Stage {
        Stage::ScenarioCreation
    }

    async fn run(&self, task: &Task) -> Result<Outcome, StageError> {
        let request = task.request()?;
        // A job that begins again begins here, and its folder went when it ended.
        let workspace = task.workspace.clone();
        blocking(move || workspace.create().map_err(super::initializing::cannot_create)).await?;
        let gain = calibration::gain(&self.voice, &task.cancel).await?;
        if task.scene.is_some() {
            return self.narrate_scene(task, gain).await;
        }
        let scenes: Vec<Scene> = task.job.scenes.iter().map(|scene| scene.description.clone()).collect();
        let folder = task.workspace.path(FOLDER);
        let (music, warning) = match request.music() {
            None => (None, None),
            Some(name) => {
                let (root, name) = (self.music.clone(), name.to_owned());
                match blocking(move || Ok(piece(root.as_deref(), &name))).await? {
                    Ok(music) => (Some(music), None),
                    Err(message) => (None, Some(Warning { code: ErrorCode::NoMusic.to_string(), message })),
                }
            }
        };
        let narration = Narration {
            scenes: &scenes,
            voice: &self.voice,
            fps: request.fps,
            gain,
            duration_ms: request.duration_ms(),
            music: music.as_ref(),
            folder: &folder,
            at_a_time: VOICES_AT_A_TIME,
        };
        let speak = |voice, index, line| async move { speak(task, voice, (0, index), line).await };
        let on_line = |done, total| task.progress.report(done, total);
        let (voice, narrated) = narrator::narrate(narration, speak, on_line).await?;
        let scenes = (0..).zip(narrated).map(|(scene, narrated)| recorded(scene, narrated));
        let warnings = warning.into_iter().collect();
        Ok(Outcome::Narrated { voice: voice.to_string(), scenes: scenes.collect(), warnings })
    }
}

impl ScenarioCreation {
    async fn narrate_scene(&self, task: &Task, gain: f64) -> Result<Outcome, StageError> {
        let (scene, progress) = task.scene()?;
        let narration = SceneNarration {
            scene: &progress.description,
            index: scene as usize,
            voice: &self.voice,
            fps: task.request()?.fps,
            gain,
            folder: &task.workspace.path(FOLDER),
            at_a_time: VOICES_AT_A_TIME,
        };
        let speak = |voice, index, line| async move { speak(task, voice, (scene, index), line).await };
        let narrated = narrator::narrate_scene(narration, speak).await?;
        Ok(Outcome::SceneNarrated { voice: self.voice.to_string(), narrated: recorded(scene, narrated) })
    }
}

/// The narration of a scene as events tell of it.
fn recorded(scene: u32, narrated: narrator::NarratedScene) -> NarratedScene {
    let file = narrated.sound.file_name().unwrap_or_default().to_string_lossy();
    NarratedScene { scene, narration: format!("{FOLDER}/{file}"), timeline: narrated.timeline }
}

/// The piece of a name, or why there is no music. A video without it is better than none.
fn piece(root: Option<&Path>, name: &str) -> Result<Music, String> {
    let file = named_file::find(root, name)
        .map_err(|_| "there is no such piece of music here, so the video has none".to_owned())?;
    Music::read(&file).map_err(|error| {
        tracing::warn!(error = chain(&error), "a piece of music cannot be used");
        "the piece of music cannot be read, so the video has none".to_owned()
    })
}

/// Of the workspace, for sounds.
const FOLDER: &str = "narration";

/// A line as it was spoken before, or else now.
async fn speak(
    task: &Task,
    voice: Voice,
    (scene, index): (u32, usize),
    line: String,
) -> Result<Pcm, StageError> {
    let mut recipe = Recipe::new("line");
    recipe.add(reel_studio::SOURCES).add(voice.to_string()).add(&line);
    let path = task.workspace.path(&format!("{FOLDER}/line-{scene:02}-{index:03}.wav"));
    if copy_cached(&task.cache, &recipe, &path).await {
        let file = path.clone();
        if let Some(spoken) = blocking(move || Ok(timeline::read_wav(&file).ok())).await? {
            return Ok(spoken);
        }
    }
    let spoken = narration::speak(&voice, &line, &task.cancel).await.map_err(cannot_speak)?;
    let file = path.clone();
    let spoken = blocking(move || {
        timeline::write_wav(&file, &spoken).map_err(cannot_write)?;
        Ok(spoken)
    })
    .await?;
    cache_file(&task.cache, &recipe, &path).await;
    Ok(spoken)
}

impl From<narrator::Error> for StageError {
    fn from(error: narrator::Error) -> Self {
        match error {
            narrator::Error::OutOfReach { .. } => {
                StageError::terminal(ErrorCode::DurationOutOfReach, error.to_string())
                    .suggest("ask for another duration, or give a longer or shorter script")
            }
            narrator::Error::Sound(error) => cannot_write(error),
            narrator::Error::Stopped(_) => {
                StageError::retryable(ErrorCode::NarrationFailed, error.to_string()).because(error)
            }
        }
    }
}

impl From<calibration::Error> for StageError {
    fn from(error: calibration::Error) -> Self {
        match error {
            calibration::Error::Speak(error) => cannot_speak(error),
            calibration::Error::Loudness(_) => {
                StageError::retryable(ErrorCode::NarrationFailed, error.to_string()).because(error)
            }
        }
    }
}

fn cannot_speak(error: narration::Error) -> StageError {
    StageError::retryable(ErrorCode::NarrationFailed, format!("a line cannot be spoken: {error}"))
        .suggest("install the voice on the workers, or choose another with REEL_VOICE")
        .because(error)
        // A voice may answer with the line that it refuses.
        .quoting_the_user()
}

fn cannot_write(error: timeline::Error) -> StageError {
    StageError::failed(ErrorCode::NarrationFailed, "the narration cannot be written", error)
}
