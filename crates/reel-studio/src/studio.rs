//! A whole video in one process, from a description to a file: for `reel render`, where no servers are wanted.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio_util::sync::CancellationToken;

use crate::encode::encoder::EncodeSettings;
use crate::encode::scene_video::{self, Material, Wanted};
use crate::join::captions;
use crate::join::combine::{self, Combined, Labels, Parts};
use crate::layout;
use crate::layout::images::Images;
use crate::speak::calibration;
use crate::speak::music::Music;
use crate::speak::narration::{self, Pcm, Voice};
use crate::speak::narrator::{self, NarratedScene, Narration};
use crate::speak::timeline;
use reel_scene::Scene;
use reel_scene::description::Description;
use reel_scene::format::OutputFormat;
use reel_scene::look::Look;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("a line cannot be spoken")]
    Voice(#[source] narration::Error),
    #[error(transparent)]
    Narration(#[from] narrator::Error),
    #[error(transparent)]
    Calibration(#[from] calibration::Error),
    #[error("scene {}: it cannot be rendered", scene + 1)]
    Scene { scene: usize, source: SceneError },
    #[error(transparent)]
    Combine(#[from] combine::Error),
    #[error("the folder for the scenes cannot be made")]
    Folder(#[source] std::io::Error),
}

#[derive(Debug, thiserror::Error)]
pub enum SceneError {
    #[error(transparent)]
    Video(#[from] scene_video::Error),
    #[error(transparent)]
    Sound(#[from] timeline::Error),
}

/// How far a video is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    Narrating { done: u64, total: u64 },
    Rendering { frames: u64, total: u64 },
    Combining,
}

/// How a video is made.
#[derive(Debug, Clone)]
pub struct Studio {
    pub voice: Voice,
    /// The format says with which codec.
    pub settings: EncodeSettings,
    pub format: OutputFormat,
    pub images: Images,
    /// How long the video should last, if somebody cares.
    pub duration_ms: Option<u64>,
    /// What plays under the voice.
    pub music: Option<Music>,
    /// Scenes rendered at a time.
    pub at_a_time: usize,
}

impl Studio {
    /// Makes the video, and writes it to `out`, which appears when it is whole.
    pub async fn make(
        &self,
        description: &Description,
        out: &Path,
        on_progress: impl Fn(Progress) + Sync,
        cancel: &CancellationToken,
    ) -> Result<Combined, Error> {
        let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = tempfile::tempdir_in(folder).map_err(Error::Folder)?;
        // While the first lines are spoken.
        let _loading = tokio::task::spawn_blocking(layout::load_fonts);
        let narrated = self.narrate(&description.scenes, folder.path(), &on_progress, cancel).await?;
        let clips = tokio::task::block_in_place(|| {
            self.render(description, &narrated, folder.path(), &on_progress, cancel)
        })?;
        on_progress(Progress::Combining);
        let told = || description.scenes.iter().zip(narrated.iter().map(|narrated| &narrated.timeline));
        let (chapters, captions) = (captions::chapters(told()), captions::captions(told()));
        let labels = Labels { title: &description.title, chapters: &chapters, captions: &captions };
        let sounds: Vec<PathBuf> = narrated.iter().map(|narrated| narrated.sound.clone()).collect();
        let parts = Parts { clips: &clips, sounds: &sounds, format: self.format };
        Ok(combine::combine(parts, labels, out, &mut |_, _| {}, cancel)?)
    }

    async fn narrate(
        &self,
        scenes: &[Scene],
        folder: &Path,
        on_progress: &(impl Fn(Progress) + Sync),
        cancel: &CancellationToken,
    ) -> Result<Vec<NarratedScene>, Error> {
        let speak = |voice: Voice, _, line: String| async move {
            // To meet a duration, every line is needed more than once.
            let kept = self.duration_ms.map(|_| folder.join(name_of(&voice, &line)));
            spoken(&voice, &line, kept.as_deref(), cancel).await
        };
        let narration = Narration {
            scenes,
            voice: &self.voice,
            fps: self.settings.fps,
            gain: calibration::gain(&self.voice, cancel).await?,
            duration_ms: self.duration_ms,
            music: self.music.as_ref(),
            folder,
            at_a_time: self.at_a_time,
        };
        let on_line = |done, total| on_progress(Progress::Narrating { done, total });
        Ok(narrator::narrate(narration, speak, on_line).await?.1)
    }

    /// The scenes' clips. Each thread takes the next scene; the first failure ends all.
    fn render(
        &self,
        description: &Description,
        narrated: &[NarratedScene],
        folder: &Path,
        on_progress: &(impl Fn(Progress) + Sync),
        cancel: &CancellationToken,
    ) -> Result<Vec<PathBuf>, Error> {
        let clips: Vec<PathBuf> =
            (0..narrated.len()).map(|index| folder.join(format!("{index:02}.clip"))).collect();
        let total = narrated.iter().map(|narrated| u64::from(narrated.timeline.frames)).sum();
        let (next, frames) = (AtomicUsize::new(0), AtomicU64::new(0));
        let failed: Mutex<Option<Error>> = Mutex::new(None);
        let cancel = cancel.child_token();
        let take = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|index| *index < clips.len());
        let on_frame = || {
            let frames = frames.fetch_add(1, Ordering::Relaxed) + 1;
            on_progress(Progress::Rendering { frames, total });
        };
        let work = || {
            while let Some(index) = take() {
                let (scene, narrated) = (&description.scenes[index], &narrated[index]);
                let rendered =
                    self.clip(scene, &description.look, narrated, &clips[index], &on_frame, &cancel);
                if let Err(source) = rendered {
                    cancel.cancel();
                    if let Ok(mut failed) = failed.lock() {
                        failed.get_or_insert(Error::Scene { scene: index, source });
                    }
                }
            }
        };
        std::thread::scope(|threads| {
            for _ in 0..self.at_a_time.clamp(1, clips.len().max(1)) {
                threads.spawn(work);
            }
        });
        match failed.into_inner() {
            Ok(Some(error)) => Err(error),
            _ => Ok(clips),
        }
    }

    fn clip(
        &self,
        scene: &Scene,
        look: &Look,
        narrated: &NarratedScene,
        out: &Path,
        on_frame: &dyn Fn(),
        cancel: &CancellationToken,
    ) -> Result<(), SceneError> {
        let source = layout::source(scene, look);
        let sound = timeline::read_wav(&narrated.sound)?;
        let timeline = &narrated.timeline;
        let material = Material { scene, source: &source, timeline, narration: &sound, images: &self.images };
        let settings = EncodeSettings { codec: self.format.video_codec(), ..self.settings.clone() };
        let wanted = Wanted { settings, out: out.to_owned() };
        scene_video::render(material, &[wanted], &mut |_, _| on_frame(), cancel)?;
        Ok(())
    }
}

fn name_of(voice: &Voice, line: &str) -> String {
    format!("{}.line", blake3::hash(format!("{voice}\n{line}").as_bytes()))
}

/// The line as it was spoken before, or else now.
async fn spoken(
    voice: &Voice,
    line: &str,
    kept: Option<&Path>,
    cancel: &CancellationToken,
) -> Result<Pcm, Error> {
    if let Some(before) = kept.and_then(|file| timeline::read_wav(file).ok()) {
        return Ok(before);
    }
    let sound = narration::speak(voice, line, cancel).await.map_err(Error::Voice)?;
    if let Some(file) = kept {
        timeline::write_wav(file, &sound).map_err(narrator::Error::from)?;
    }
    Ok(sound)
}
