//! `scenario_creation`: speaks and measures every line. The measured durations are the only clock of all later stages.

use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::artifacts::share_narration;
use super::error::StageError;
use super::reuse::{cache_file, copy_cached};
use super::task::{StageHandler, Task, blocking};
use super::voices::Voices;
use crate::domain::job::Outcome;
use crate::error_codes::ErrorCode;
use crate::events::Stage;
use crate::events::job::{NarratedScene, Warning};
use crate::telemetry::chain;
use reel_scene::Scene;
use reel_studio::named_file;
use reel_studio::recipe::Recipe;
use reel_studio::speak::calibration;
use reel_studio::speak::line_cache::{self, LineCache};
use reel_studio::speak::music::Music;
use reel_studio::speak::narration::{self, Narration, SceneNarration};
use reel_studio::speak::timeline;
use reel_studio::speak::voice::{SpokenLine, Voice};
use reel_studio::threads;

/// Lines spoken concurrently; each is a short-lived process.
const CONCURRENT_LINES: usize = 2;

pub struct ScenarioCreation {
    pub voices: Voices,
    /// The folder of music.
    pub music: Option<PathBuf>,
}

#[async_trait]
impl StageHandler for ScenarioCreation {
    fn stage(&self) -> Stage {
        Stage::ScenarioCreation
    }

    async fn run(&self, task: &Task) -> Result<Outcome, StageError> {
        let request = task.request()?;
        // A reprocessed job starts here, and its folder was removed when it ended.
        let workspace = task.workspace.clone();
        blocking(move || workspace.create().map_err(super::initializing::cannot_create)).await?;
        let (voice, other_voice) = self.voices.of(request.voice.as_deref());
        let gain = calibration::gain(&voice, &task.cancel).await?;
        if task.scene.is_some() {
            return narrate_scene(task, &voice, gain, other_voice).await;
        }
        let scenes: Vec<Scene> = task.job.scenes.iter().map(|scene| scene.description.clone()).collect();
        let folder = task.workspace.path(FOLDER);
        let (music, warning) = match request.music() {
            None => (None, None),
            Some(name) => {
                let (root, name) = (self.music.clone(), name.to_owned());
                match blocking(move || Ok(read_music(root.as_deref(), &name))).await? {
                    Ok(music) => (Some(music), None),
                    Err(message) => (None, Some(Warning { code: ErrorCode::NoMusic.to_string(), message })),
                }
            }
        };
        let narration = Narration {
            scenes: &scenes,
            voice: &voice,
            fps: request.fps,
            gain,
            duration_ms: request.duration_ms(),
            music: music.as_ref(),
            folder: &folder,
            concurrency: CONCURRENT_LINES,
        };
        let speak = |voice, index, line| speak(task, voice, (0, index), line);
        let on_line = |done, total| task.progress.report(done, total);
        let (voice, narrated) = narration::narrate(narration, speak, on_line).await?;
        let scenes = (0..).zip(narrated).map(|(scene, narrated)| to_recorded(scene, narrated));
        let mut scenes: Vec<NarratedScene> = scenes.collect();
        for scene in &mut scenes {
            share_narration(task, scene).await?;
        }
        let warnings = other_voice.into_iter().chain(warning).collect();
        Ok(Outcome::Narrated { voice: voice.to_string(), scenes, warnings })
    }
}

async fn narrate_scene(
    task: &Task,
    voice: &Voice,
    gain: f64,
    other_voice: Option<Warning>,
) -> Result<Outcome, StageError> {
    let (scene, progress) = task.scene()?;
    let narration = SceneNarration {
        scene: &progress.description,
        index: scene as usize,
        voice,
        fps: task.request()?.fps,
        gain,
        folder: &task.workspace.path(FOLDER),
        concurrency: CONCURRENT_LINES,
    };
    let speak = |voice, index, line| speak(task, voice, (scene, index), line);
    let narrated = narration::narrate_scene(narration, speak).await?;
    let mut narrated = to_recorded(scene, narrated);
    share_narration(task, &mut narrated).await?;
    let warnings = other_voice.into_iter().collect();
    Ok(Outcome::SceneNarrated { voice: voice.to_string(), narrated, warnings })
}

/// Returns the narration of a scene as events hold it.
fn to_recorded(scene: u32, narrated: narration::NarratedScene) -> NarratedScene {
    let file = narrated.sound.file_name().unwrap_or_default().to_string_lossy();
    NarratedScene {
        scene,
        narration: format!("{FOLDER}/{file}"),
        timeline: narrated.timeline,
        artifact: None,
    }
}

async fn speak(
    task: &Task,
    voice: Voice,
    (scene, index): (u32, usize),
    line: String,
) -> Result<SpokenLine, StageError> {
    let lines = JobLines { task, scene, index };
    line_cache::speak(&voice, &line, &lines, &task.cancel).await.map_err(cannot_speak)
}

/// Reads music by name, or returns the warning for a video without it, which is better than no video.
fn read_music(root: Option<&Path>, name: &str) -> Result<Music, String> {
    let file = named_file::find(root, name)
        .map_err(|_| "there is no such piece of music here, so the video has none".to_owned())?;
    Music::read(&file).map_err(|error| {
        tracing::warn!(error = chain(&error), "a piece of music cannot be used");
        "the piece of music cannot be read, so the video has none".to_owned()
    })
}

/// The workspace's folder for sounds.
const FOLDER: &str = "narration";

/// Keeps a scene's lines in the workspace, and those of all jobs in the user's cache.
struct JobLines<'a> {
    task: &'a Task,
    /// 0 where all scenes are narrated together, one after the other.
    scene: u32,
    /// The number of the line in its scene.
    index: usize,
}

impl JobLines<'_> {
    fn file(&self) -> PathBuf {
        self.task.workspace.path(&format!("{FOLDER}/line-{:02}-{:03}.wav", self.scene, self.index))
    }
}

impl LineCache for JobLines<'_> {
    async fn get(&self, recipe: &Recipe) -> Option<SpokenLine> {
        let file = self.file();
        if !copy_cached(&self.task.cache, recipe, &file).await {
            return None;
        }
        threads::run(move || timeline::read_line(&file).ok()).await.ok().flatten()
    }

    async fn put(&self, recipe: &Recipe, spoken: SpokenLine) -> Result<SpokenLine, line_cache::Error> {
        let file = self.file();
        let to = file.clone();
        let write = move || timeline::write_line(&to, &spoken).map(|()| spoken);
        let spoken = threads::run(write).await??;
        cache_file(&self.task.cache, recipe, &file).await;
        Ok(spoken)
    }
}

impl From<narration::Error> for StageError {
    fn from(error: narration::Error) -> Self {
        match error {
            narration::Error::DurationOutOfRange { .. } => {
                StageError::terminal(ErrorCode::DurationOutOfReach, error.to_string())
                    .suggest("ask for another duration, or give a longer or shorter script")
            }
            narration::Error::Sound(error) => cannot_write(error),
            narration::Error::Stopped(_) => {
                StageError::retryable(ErrorCode::NarrationFailed, error.to_string()).because(error)
            }
        }
    }
}

impl From<calibration::Error> for StageError {
    fn from(error: calibration::Error) -> Self {
        match error {
            calibration::Error::Speak(error) => cannot_speak(line_cache::Error::Voice(error)),
            calibration::Error::Loudness(_) => {
                StageError::retryable(ErrorCode::NarrationFailed, error.to_string()).because(error)
            }
        }
    }
}

fn cannot_speak(error: line_cache::Error) -> StageError {
    match error {
        line_cache::Error::Write(error) => cannot_write(error),
        line_cache::Error::Stopped(_) => {
            StageError::retryable(ErrorCode::NarrationFailed, error.to_string()).because(error)
        }
        line_cache::Error::Voice(error) => {
            StageError::retryable(ErrorCode::NarrationFailed, format!("a line cannot be spoken: {error}"))
                .suggest("install the voice on the workers, or choose another with REEL_VOICE")
                .because(error)
                // A voice may quote the line in its error.
                .quoting_the_user()
        }
    }
}

fn cannot_write(error: timeline::Error) -> StageError {
    StageError::failed(ErrorCode::NarrationFailed, "the narration cannot be written", error)
}
