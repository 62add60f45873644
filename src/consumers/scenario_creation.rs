//! `scenario_creation`: every line is spoken and measured. The measured durations are the only clock
//! of what follows.

use std::path::Path;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::error::StageError;
use super::reuse::{fetched, kept};
use super::task::{StageHandler, Task, blocking};
use crate::domain::job::Outcome;
use crate::events::Stage;
use crate::events::job::NarratedScene;
use crate::media::loudness::{self, Meter};
use crate::media::narration::{self, Pcm, Voice};
use crate::media::timeline;
use crate::storage::Key;

/// Lines spoken at a time; each is a short-lived process.
const VOICES_AT_A_TIME: usize = 2;

pub struct ScenarioCreation {
    pub voice: Voice,
}

#[async_trait]
impl StageHandler for ScenarioCreation {
    fn stage(&self) -> Stage {
        Stage::ScenarioCreation
    }

    async fn run(&self, task: &Task) -> Result<Outcome, StageError> {
        let fps = task.request()?.fps;
        // A job that begins again begins here, and its folder went when it ended.
        let workspace = task.workspace.clone();
        blocking(move || workspace.create().map_err(super::initializing::cannot_create)).await?;
        let total = task.job.scenes.iter().map(|scene| scene.description.steps.len() as u64).sum();
        let mut narrated = Vec::with_capacity(task.job.scenes.len());
        let mut done = 0;
        let mut meter = Meter::new().map_err(cannot_measure)?;
        for (scene, state) in (0..).zip(&task.job.scenes) {
            let lines: Vec<String> =
                state.description.steps.iter().map(|step| step.narration.clone()).collect();
            done += lines.len() as u64;
            let spoken = self.speak_all(task, lines).await?;
            let timeline = timeline::lay_out(&spoken, fps);
            let narration = format!("narration/{scene:02}.wav");
            let path = task.workspace.path(&narration);
            let mixed = timeline::mix(&timeline, &spoken);
            meter.add(&mixed).map_err(cannot_measure)?;
            blocking(move || timeline::write_wav(&path, &mixed).map_err(cannot_write)).await?;
            narrated.push(NarratedScene { scene, narration, timeline });
            task.progress.report(done, total);
        }
        // All scenes of a voice get the same gain: how it speaks is its own.
        let gain = meter.gain();
        for scene in &narrated {
            let path = task.workspace.path(&scene.narration);
            blocking(move || amplify(&path, gain)).await?;
        }
        let voice = self.voice.to_string();
        Ok(Outcome::Narrated { voice, scenes: narrated })
    }
}

impl ScenarioCreation {
    /// The lines as sound, in their order.
    async fn speak_all(&self, task: &Task, lines: Vec<String>) -> Result<Vec<Pcm>, StageError> {
        stream::iter(lines)
            .enumerate()
            .map(|(index, line)| self.speak(task, index, line))
            .buffered(VOICES_AT_A_TIME)
            .try_collect()
            .await
    }

    /// A line as it was spoken before, or else now.
    async fn speak(&self, task: &Task, index: usize, line: String) -> Result<Pcm, StageError> {
        let mut key = Key::of(concat!("line ", env!("CARGO_PKG_VERSION")));
        key.add(self.voice.to_string()).add(&line);
        let path = task.workspace.path(&format!("narration/line-{index:03}.wav"));
        let (cache, file, wanted) = (task.cache.clone(), path.clone(), key.clone());
        let before = blocking(move || {
            Ok(fetched(&cache, &wanted, &file).then(|| timeline::read_wav(&file).ok()).flatten())
        });
        if let Some(spoken) = before.await? {
            return Ok(spoken);
        }
        let spoken = narration::speak(&self.voice, &line, &task.cancel).await.map_err(cannot_speak)?;
        let cache = task.cache.clone();
        blocking(move || {
            timeline::write_wav(&path, &spoken).map_err(cannot_write)?;
            kept(&cache, &key, &path);
            Ok(spoken)
        })
        .await
    }
}

fn amplify(path: &Path, gain: f64) -> Result<(), StageError> {
    let mut sound = timeline::read_wav(path).map_err(cannot_write)?;
    loudness::amplify(&mut sound, gain);
    timeline::write_wav(path, &sound).map_err(cannot_write)
}

fn cannot_measure(error: ebur128::Error) -> StageError {
    StageError::retryable("NARRATION_FAILED", "the loudness of the narration cannot be measured")
        .because(error)
}

fn cannot_speak(error: narration::Error) -> StageError {
    StageError::retryable("NARRATION_FAILED", format!("a line cannot be spoken: {error}"))
        .suggest("install the voice on the workers, or choose another with REEL_VOICE")
        .because(error)
}

fn cannot_write(error: timeline::Error) -> StageError {
    if error.is_disk_full() {
        return StageError::disk_full(error);
    }
    StageError::retryable("NARRATION_FAILED", "the narration cannot be written").because(error)
}
