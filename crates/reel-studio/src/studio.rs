//! Makes a whole video in one process, from a description to a file, or the clip of one scene. `reel render` and
//! `reel preview` use it, which need no servers.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio_util::sync::CancellationToken;

use crate::encode::encoder::EncodeSettings;
use crate::encode::scene_video::{self, AnimationMaterial, ClipOutput, Material};
use crate::join::combine::{self, Combined, Parts};
use crate::join::labels::Labels;
use crate::layout;
use crate::layout::images::Images;
use crate::recipe::Recipe;
use crate::speak::calibration;
use crate::speak::line_cache::{self, LineCache};
use crate::speak::music::Music;
use crate::speak::narration::{self, NarratedScene, Narration, SceneNarration};
use crate::speak::timeline;
use crate::speak::voice::{SpokenLine, Voice};
use reel_manim::{Engine, code_of, native_scene};
use reel_scene::description::Description;
use reel_scene::format::OutputFormat;
use reel_scene::look::Look;
use reel_scene::{Scene, SceneTimeline};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Line(#[from] line_cache::Error),
    #[error(transparent)]
    Calibration(#[from] calibration::Error),
    #[error(transparent)]
    Narration(#[from] narration::Error),
    #[error("scene {}: it cannot be rendered", scene + 1)]
    Scene { scene: usize, source: SceneError },
    #[error(transparent)]
    Combine(#[from] combine::Error),
    #[error("the folder for the scenes cannot be created")]
    Folder(#[source] std::io::Error),
}

#[derive(Debug, thiserror::Error)]
pub enum SceneError {
    #[error(transparent)]
    Video(#[from] scene_video::Error),
    #[error(transparent)]
    Animation(#[from] scene_video::AnimationError),
    #[error(transparent)]
    Sound(#[from] timeline::Error),
}

/// Progress of a video.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    Narrating { done: u64, total: u64 },
    Rendering { frames: u64, total: u64 },
    Combining,
}

/// Settings of a video.
#[derive(Debug, Clone)]
pub struct Studio {
    pub voice: Voice,
    /// Settings of the encoder; the format determines the codec.
    pub settings: EncodeSettings,
    pub format: OutputFormat,
    pub images: Images,
    /// Requested duration of the video.
    pub duration_ms: Option<u64>,
    /// Music under the voice.
    pub music: Option<Music>,
    /// Draws animations; without it, pages of ours stand for them.
    pub manim: Option<Engine>,
    /// Lines spoken and scenes rendered concurrently.
    pub concurrency: usize,
}

impl Studio {
    /// Makes the video and writes it to `out`, which appears when it is whole.
    pub async fn make(
        &self,
        description: &Description,
        out: &Path,
        on_progress: impl Fn(Progress) + Sync,
        cancel: &CancellationToken,
    ) -> Result<Combined, Error> {
        let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = tempfile::tempdir_in(folder).map_err(Error::Folder)?;
        // Loads the fonts while the first lines are spoken.
        let _loading = tokio::task::spawn_blocking(layout::load_fonts);
        let narrated = self.narrate(&description.scenes, folder.path(), &on_progress, cancel).await?;
        let clips = tokio::task::block_in_place(|| {
            self.render(description, &narrated, folder.path(), &on_progress, cancel)
        })?;
        on_progress(Progress::Combining);
        let timelines = narrated.iter().map(|narrated| &narrated.timeline);
        let labels = Labels::new(&description.title, description.scenes.iter().zip(timelines));
        let sounds: Vec<PathBuf> = narrated.iter().map(|narrated| narrated.sound.clone()).collect();
        let parts = Parts { clips: &clips, sounds: &sounds, streams: &[], format: self.format };
        Ok(combine::combine(parts, &labels, out, &mut |_, _| {}, cancel)?)
    }

    /// Makes the clip of one scene and writes it to `out`, which appears when it is whole. `index` is the scene's place in
    /// the video, from 0. The folder `lines` keeps spoken lines. `on_frame` is called after each frame, on the thread that
    /// encodes. A requested duration and music are those of a whole video, and have no effect.
    pub async fn make_clip(
        &self,
        (index, scene): (usize, &Scene),
        look: &Look,
        lines: &Path,
        out: &Path,
        on_frame: impl Fn() + Sync,
        cancel: &CancellationToken,
    ) -> Result<SceneTimeline, Error> {
        let folder = tempfile::tempdir_in(lines).map_err(Error::Folder)?;
        let cache = &FolderCache(Some(lines));
        let speak = |voice: Voice, _, line: String| async move {
            line_cache::speak(&voice, &line, cache, cancel).await.map_err(Error::from)
        };
        let narration = SceneNarration {
            scene,
            index,
            voice: &self.voice,
            fps: self.settings.fps,
            gain: calibration::gain(&self.voice, cancel).await?,
            folder: folder.path(),
            concurrency: self.concurrency,
        };
        let narrated = narration::narrate_scene::<Error, _>(narration, speak).await?;
        tokio::task::block_in_place(|| self.render_clip(scene, look, &narrated, out, &on_frame, cancel))
            .map_err(|source| Error::Scene { scene: index, source })?;
        Ok(narrated.timeline)
    }

    async fn narrate(
        &self,
        scenes: &[Scene],
        folder: &Path,
        on_progress: &(impl Fn(Progress) + Sync),
        cancel: &CancellationToken,
    ) -> Result<Vec<NarratedScene>, Error> {
        // To meet a duration, every line is needed more than once.
        let cache = &FolderCache(self.duration_ms.map(|_| folder));
        let speak = |voice: Voice, _, line: String| async move {
            line_cache::speak(&voice, &line, cache, cancel).await.map_err(Error::from)
        };
        let narration = Narration {
            scenes,
            voice: &self.voice,
            fps: self.settings.fps,
            gain: calibration::gain(&self.voice, cancel).await?,
            duration_ms: self.duration_ms,
            music: self.music.as_ref(),
            folder,
            concurrency: self.concurrency,
        };
        let on_line = |done, total| on_progress(Progress::Narrating { done, total });
        Ok(narration::narrate(narration, speak, on_line).await?.1)
    }

    /// Renders the clips of all scenes. Each thread takes the next scene; the first failure stops all of them.
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
        let next_index = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|index| *index < clips.len());
        let on_frame = || {
            let frames = frames.fetch_add(1, Ordering::Relaxed) + 1;
            on_progress(Progress::Rendering { frames, total });
        };
        let work = || {
            while let Some(index) = next_index() {
                let (scene, narrated) = (&description.scenes[index], &narrated[index]);
                let rendered =
                    self.render_clip(scene, &description.look, narrated, &clips[index], &on_frame, &cancel);
                if let Err(source) = rendered {
                    cancel.cancel();
                    if let Ok(mut failed) = failed.lock() {
                        failed.get_or_insert(Error::Scene { scene: index, source });
                    }
                }
            }
        };
        std::thread::scope(|threads| {
            for _ in 0..self.concurrency.clamp(1, clips.len().max(1)) {
                threads.spawn(work);
            }
        });
        match failed.into_inner() {
            Ok(Some(error)) => Err(error),
            _ => Ok(clips),
        }
    }

    fn render_clip(
        &self,
        scene: &Scene,
        look: &Look,
        narrated: &NarratedScene,
        out: &Path,
        on_frame: &dyn Fn(),
        cancel: &CancellationToken,
    ) -> Result<(), SceneError> {
        let sound = timeline::read_wav(&narrated.sound)?;
        let timeline = &narrated.timeline;
        if let (Some((animation, _)), Some(engine)) = (scene.manim(), &self.manim) {
            let code = code_of(animation, look);
            let leave = scene.leave;
            let material = AnimationMaterial {
                engine,
                animation,
                code: &code,
                look,
                leave,
                timeline,
                narration: &sound,
            };
            let settings = EncodeSettings { codec: self.format.video_codec(), ..self.settings.clone() };
            let output = ClipOutput { settings, out: out.to_owned() };
            scene_video::render_animation(material, &[output], &mut |_, _| on_frame(), cancel)?;
            return Ok(());
        }
        let scene = &native_scene(scene);
        let source = layout::source(scene, look);
        let material = Material { scene, source: &source, timeline, narration: &sound, images: &self.images };
        let settings = EncodeSettings { codec: self.format.video_codec(), ..self.settings.clone() };
        let output = ClipOutput { settings, out: out.to_owned() };
        scene_video::render(material, &[output], &mut |_, _| on_frame(), cancel)?;
        Ok(())
    }
}

/// Keeps spoken lines in a folder, or not at all.
struct FolderCache<'a>(Option<&'a Path>);

impl FolderCache<'_> {
    fn file(&self, recipe: &Recipe) -> Option<PathBuf> {
        self.0.map(|folder| folder.join(format!("{}.line", recipe.digest())))
    }
}

impl LineCache for FolderCache<'_> {
    async fn get(&self, recipe: &Recipe) -> Option<SpokenLine> {
        timeline::read_line(&self.file(recipe)?).ok()
    }

    async fn put(&self, recipe: &Recipe, line: SpokenLine) -> Result<SpokenLine, line_cache::Error> {
        if let Some(file) = self.file(recipe) {
            timeline::write_line(&file, &line)?;
        }
        Ok(line)
    }
}
