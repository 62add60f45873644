//! `rendering`: renders one scene's clips from its source and narration, and stores its part of the stream at once: viewers
//! watch the first scenes while later ones are made.

use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::animations::{self, Animations};
use super::artifacts::{fetch_narration, share_clip};
use super::error::{StageError, missing};
use super::reuse::{cache_file, copy_cached};
use super::sidecars::warning_code;
use super::stream_beginning::StreamBeginning;
use super::task::{StageHandler, Task, blocking, wait_for};
use super::{upload, uploaded};
use crate::config::MediaConfig;
use crate::domain::job::{Job, Outcome};
use crate::error_codes::ErrorCode;
use crate::events::job::{Clip, RenditionFile, SceneStream, Sidecar, StreamSegment, Warning};
use crate::events::{OutputFormat, Rendition, Stage};
use crate::storage::{self, Content, Key, Mode, Prefix, Storage, StorageMode, Stored, Stores};
use crate::telemetry::chain;
use reel_scene::{Block, Scene};
use reel_studio::encode::encoder::{self, EncodeSettings};
use reel_studio::encode::hardware::{self, Hardware};
use reel_studio::encode::scene_video::{
    self, AnimationError, AnimationMaterial, ClipOutput, Error, Material,
};
use reel_studio::join::stream::{self, Position};
use reel_studio::layout;
use reel_studio::layout::images::Images;
use reel_studio::recipe::Recipe;
use reel_studio::speak::timeline;

pub struct Rendering {
    /// The graphics processor that encodes H.264; `None` for libx264.
    hardware: Option<Hardware>,
    /// The folder of logos.
    logos: Option<PathBuf>,
    /// Hold uploads, and take the parts of streams.
    stores: Stores,
    animations: Animations,
}

impl Rendering {
    /// Uses a graphics processor if the configuration asks for one. Logs once when none works.
    pub fn new(media: &MediaConfig, stores: &Stores, animations: Animations) -> Self {
        let hardware = if media.use_gpu { Self::find_hardware() } else { None };
        Self { hardware, logos: media.logos.clone(), stores: stores.clone(), animations }
    }

    fn find_hardware() -> Option<Hardware> {
        match hardware::find() {
            Ok(hardware) => {
                tracing::info!(encoder = %hardware, "a graphics processor encodes");
                Some(hardware)
            }
            Err(reasons) => {
                let reasons: Vec<String> = reasons
                    .iter()
                    .map(|(hardware, reason)| format!("{hardware}: {}", chain(reason)))
                    .collect();
                tracing::warn!(
                    reasons = reasons.join("; "),
                    "USE_GPU_ACCELERATION is set, but no graphics processor can encode here: libx264 does"
                );
                None
            }
        }
    }
}

#[async_trait]
impl StageHandler for Rendering {
    fn stage(&self) -> Stage {
        Stage::Rendering
    }

    async fn run(&self, task: &Task) -> Result<Outcome, StageError> {
        let (task, hardware, logos) = (task.clone(), self.hardware, self.logos.clone());
        let workspace = task.workspace.clone();
        blocking(move || workspace.create().map_err(super::initializing::cannot_create)).await?;
        let (_, scene) = task.scene()?;
        fetch_narration(&task, scene.narrated.as_ref().ok_or_else(|| missing("ScenarioCreated"))?).await?;
        let (rendered, stores, animations) = (task.clone(), self.stores.clone(), self.animations.clone());
        let renderer = move || render(&rendered, hardware, logos.as_deref(), &stores, &animations);
        let (mut clip, warnings) = blocking(renderer).await?;
        share_clip(&task, &mut clip).await?;
        Ok(Outcome::Rendered { clip, warnings })
    }
}

/// Renders a scene's clips. Where its animation cannot be drawn, a page of ours stands for it, with a warning.
fn render(
    task: &Task,
    hardware: Option<Hardware>,
    logos: Option<&Path>,
    stores: &Stores,
    animations: &Animations,
) -> Result<(Clip, Vec<Warning>), StageError> {
    let (index, scene) = task.scene()?;
    let code = scene.code.as_deref().ok_or_else(|| missing("SceneCodeGenerated"))?;
    let narrated = scene.narrated.as_ref().ok_or_else(|| missing("ScenarioCreated"))?;
    let narration = timeline::read_wav(&task.workspace.path(&narrated.narration)).map_err(|error| {
        StageError::retryable(
            ErrorCode::NarrationLost,
            format!("the narration of scene {} cannot be read", index + 1),
        )
        .because(error)
    })?;
    let mut look = task.request()?.look();
    let timeline = &narrated.timeline;
    let mut warnings = vec![];
    if let Some((animation, _)) = scene.description.manim() {
        let reason = match animations.engine() {
            Ok(engine) => {
                let (look, leave, narration) = (&look, scene.description.leave, &narration);
                let material =
                    AnimationMaterial { engine, animation, code, look, leave, timeline, narration };
                let clips = plan_clips(task, hardware, |settings| Recipe::animation(material, settings))?;
                match render_animation(task, material, &clips) {
                    Ok(is_reused) => return to_clip(task, &clips, is_reused, stores),
                    Err(AnimationError::Draw(error)) if !task.cancel.is_cancelled() => error.to_string(),
                    Err(AnimationError::Draw(_)) => {
                        return Err(cannot_encode(index, encoder::Error::Cancelled));
                    }
                    Err(AnimationError::Typeset(error)) => return Err(cannot_typeset(index, error)),
                    Err(AnimationError::Encode(error)) => return Err(cannot_encode(index, error)),
                }
            }
            Err(unavailable) => unavailable.to_string(),
        };
        if task.request()?.strict {
            return Err(animations::cannot_draw(index, &reason, animations.engine().is_err()));
        }
        warnings.push(animations::warning(index, &reason));
    }
    // Without the logo's file, code generation wrote the scene without a logo.
    let mut images = match Images::read_logo(look.logo.as_deref(), logos) {
        Ok(images) => images,
        Err(_) => {
            look.logo = None;
            Images::default()
        }
    };
    add_pictures(&mut images, task, index, &scene.description, &stores.files)?;
    let native = reel_manim::native_scene(&scene.description);
    let page = (native != scene.description).then(|| layout::source(&native, &look));
    let source = page.as_deref().unwrap_or(code);
    let material = Material { scene: &native, source, timeline, narration: &narration, images: &images };
    let clips = plan_clips(task, hardware, |settings| Recipe::clip(material, settings))?;
    let beginning = StreamBeginning::of(task, &clips, stores)?;
    let is_reused = render_missing(task, &clips, |outputs, on_frame| {
        // Where a clip is cached, the others are there soon.
        let rendered = match beginning.as_ref().filter(|_| outputs.len() == clips.len()) {
            None => scene_video::render(material, outputs, on_frame, &task.cancel),
            Some(beginning) => {
                let beginnings = beginning.of_clips();
                scene_video::render_with_beginnings(material, outputs, &beginnings, on_frame, &task.cancel)
            }
        };
        rendered.map(|_| ())
    });
    let is_reused = is_reused.map_err(|failure| match failure {
        Error::Typeset(error) => cannot_typeset(index, error),
        Error::Encode(error) => cannot_encode(index, error),
    })?;
    let (clip, not_streamed) = to_clip(task, &clips, is_reused, stores)?;
    warnings.extend(not_streamed);
    Ok((clip, warnings))
}

/// Draws an animation in the sizes that are not cached. Logs the time that Manim took.
fn render_animation(
    task: &Task,
    material: AnimationMaterial<'_>,
    clips: &[ClipJob],
) -> Result<bool, AnimationError> {
    let begun = std::time::Instant::now();
    render_missing(task, clips, |outputs, on_frame| {
        for (_, timing) in scene_video::render_animation(material, outputs, on_frame, &task.cancel)? {
            tracing::info!(
                frames = timing.frames,
                manim_import_s = timing.import_s,
                manim_scene_s = timing.scene_s,
                all_s = begun.elapsed().as_secs_f64(),
                "an animation is drawn"
            );
        }
        Ok(())
    })
}

/// Copies the clips that are cached, and makes the others. Returns `true` if all were cached.
fn render_missing<E>(
    task: &Task,
    clips: &[ClipJob],
    make: impl FnOnce(&[ClipOutput], &mut dyn FnMut(u64, u64)) -> Result<(), E>,
) -> Result<bool, E> {
    let missing_clips = wait_for(copy_cached_clips(task, clips));
    let frames = task.scene().ok().and_then(|(_, scene)| scene.narrated.as_ref());
    let frames = frames.map_or(0, |narrated| u64::from(narrated.timeline.frames));
    let copied_frames = (clips.len() - missing_clips.len()) as u64 * frames;
    let total = clips.len() as u64 * frames;
    task.progress.report(copied_frames, total);
    if missing_clips.is_empty() {
        return Ok(true);
    }
    let outputs: Vec<ClipOutput> = missing_clips.iter().map(|clip| clip.output.clone()).collect();
    make(&outputs, &mut |done, _| task.progress.report(copied_frames + done, total))?;
    for clip in &missing_clips {
        wait_for(cache_file(&task.cache, &clip.recipe, &clip.output.out));
    }
    Ok(false)
}

/// Stores the scene's parts of the stream, and describes its clips. Warns of a scene that cannot be streamed yet.
fn to_clip(
    task: &Task,
    clips: &[ClipJob],
    is_reused: bool,
    stores: &Stores,
) -> Result<(Clip, Vec<Warning>), StageError> {
    let (index, scene) = task.scene()?;
    let narrated = scene.narrated.as_ref().ok_or_else(|| missing("ScenarioCreated"))?;
    let bytes = |clip: &ClipJob| std::fs::metadata(&clip.output.out).map_or(0, |metadata| metadata.len());
    let streams = clips.iter().map(|clip| stream(task, index, clip, stores)).filter_map(Result::transpose);
    let (streams, warnings) = match streams.collect::<Result<Vec<_>, _>>() {
        Ok(streams) => (streams, vec![]),
        // The video is complete without a stream: it is made later from the whole file.
        Err(error) => (vec![], vec![not_streamed(index, &error)]),
    };
    let (main, others) = clips.split_first().ok_or_else(|| missing("JobRequested"))?;
    let file_of = |clip: &ClipJob| RenditionFile {
        rendition: clip.rendition,
        file: clip.file.clone(),
        bytes: bytes(clip),
        artifact: None,
    };
    let clip = Clip {
        file: main.file.clone(),
        frames: u64::from(narrated.timeline.frames),
        duration_ms: narrated.timeline.duration_ms(),
        bytes: bytes(main),
        artifact: None,
        reused: is_reused,
        renditions: others.iter().map(file_of).collect(),
        streams,
    };
    Ok((clip, warnings))
}

fn not_streamed(index: u32, error: &StageError) -> Warning {
    tracing::warn!(scene = index, error = error.for_log(), "a scene is not in the stream");
    Warning {
        code: warning_code(Sidecar::Stream).to_string(),
        message: format!("scene {} cannot be watched yet: {error}", index + 1),
    }
}

/// Stores the scene's part of the stream in the size of a clip; `None` where that is not streamed.
fn stream(
    task: &Task,
    index: u32,
    clip: &ClipJob,
    stores: &Stores,
) -> Result<Option<SceneStream>, StageError> {
    let Some(rendition) = streamed_rendition(task, clip)? else { return Ok(None) };
    let position = position_of(&task.job, index as usize);
    let name = format!("{}-{index:02}.m4s", rendition.quality.level());
    store_stream(task, rendition, &clip.output.out, position, &name, stores).map(Some)
}

/// Where a scene is in the video.
pub(super) fn position_of(job: &Job, scene: usize) -> Position {
    let before = job.narrated_scenes().take(scene);
    Position {
        first_frame: before.map(|(_, timeline)| u64::from(timeline.frames)).sum(),
        is_last: scene + 1 == job.scenes.len(),
    }
}

/// Where the workspace has a part of the stream, by its name in the storage.
pub(super) fn part_file(name: &str) -> String {
    format!("hls/{}", name.replace('/', "-"))
}

/// The rendition whose stream has the pictures of a clip.
pub(super) fn streamed_rendition(task: &Task, clip: &ClipJob) -> Result<Option<Rendition>, StageError> {
    let request = task.request()?;
    let is_streamed = |rendition: &Rendition| {
        rendition.format == OutputFormat::Mp4 && rendition.of_clips() == clip.rendition
    };
    Ok(request.renditions().into_iter().filter(|_| request.enable_streaming).find(is_streamed))
}

/// Packages a clip, and stores it under a name in the folder of the job.
pub(super) fn store_stream(
    task: &Task,
    rendition: Rendition,
    clip: &Path,
    position: Position,
    name: &str,
    stores: &Stores,
) -> Result<SceneStream, StageError> {
    let path = task.workspace.path(&part_file(name));
    let part = stream::write(clip, position, &path).map_err(|error| {
        let message = format!("a scene cannot be packaged for streaming: {error}");
        StageError::failed(ErrorCode::RenderingFailed, message, error)
    })?;
    let folder = Prefix::of_job(&task.job.user_id, task.job_id);
    let key = folder.key(name).map_err(upload::cannot_store)?;
    let stored = wait_for(store_part(task, stores, &key, path)).map_err(upload::cannot_store)?;
    let segment = |segment: stream::Segment| StreamSegment { frames: segment.frames, bytes: segment.bytes };
    Ok(SceneStream {
        rendition,
        key: key.as_str().to_owned(),
        bytes: stored.bytes,
        blake3: stored.blake3,
        codecs: part.codecs,
        setup_bytes: part.setup_bytes,
        segments: part.segments.into_iter().map(segment).collect(),
    })
}

/// Stores a part of the stream. Where the disk has it, S3 may get it later, with the rest of the video.
async fn store_part(
    task: &Task,
    stores: &Stores,
    key: &Key,
    part: PathBuf,
) -> Result<Stored, storage::Error> {
    let content = Content::File(part);
    if stores.mode != StorageMode::LocalAndS3 {
        return upload::store(task, &stores.files, key, content, &|_| {}).await;
    }
    match stores.files.put_once(key, content.clone(), Mode::Replace, &|_| {}).await {
        Err(error) if error.is_remote() => {
            tracing::warn!(error = chain(&error), "a part of the stream is not in S3 yet");
            stores.local.put(key, content, Mode::Replace).await
        }
        stored => stored,
    }
}

/// Adds the uploaded pictures that a scene shows. Names that are none of the request's uploads are left to the layout,
/// which refuses them.
fn add_pictures(
    images: &mut Images,
    task: &Task,
    index: u32,
    scene: &Scene,
    objects: &Storage,
) -> Result<(), StageError> {
    let request = task.request()?;
    for block in &scene.blocks {
        let Block::Image { file, .. } = block else { continue };
        let upload = file.parse().ok().and_then(|id| request.uploads.iter().find(|of| of.upload_id == id));
        let Some(upload) = upload else { continue };
        let bytes = wait_for(uploaded::read(objects, &task.job.user_id, upload, upload.bytes))?;
        images.add(file, bytes).map_err(|error| {
            StageError::terminal(
                ErrorCode::TypesettingFailed,
                format!("a picture of scene {} cannot be read: {error}", index + 1),
            )
            .suggest("upload the picture again")
            .because(error)
        })?;
    }
    Ok(())
}

/// Copies the clips that are cached, and returns the others.
async fn copy_cached_clips<'a>(task: &Task, clips: &'a [ClipJob]) -> Vec<&'a ClipJob> {
    let mut missing = vec![];
    for clip in clips {
        if !copy_cached(&task.cache, &clip.recipe, &clip.output.out).await {
            missing.push(clip);
        }
    }
    missing
}

/// A clip of the scene, and its recipe.
pub(super) struct ClipJob {
    rendition: Rendition,
    file: String,
    output: ClipOutput,
    recipe: Recipe,
}

/// Lists the scene's clips of all renditions, the main rendition's first.
fn plan_clips(
    task: &Task,
    hardware: Option<Hardware>,
    recipe_of: impl Fn(&EncodeSettings) -> Recipe,
) -> Result<Vec<ClipJob>, StageError> {
    let (index, _) = task.scene()?;
    let request = task.request()?;
    let mut clips: Vec<ClipJob> = vec![];
    for rendition in request.renditions().into_iter().map(Rendition::of_clips) {
        if clips.iter().any(|clip| clip.rendition == rendition) {
            continue;
        }
        let (width, height) = request.dimensions(rendition.quality);
        let settings = EncodeSettings {
            codec: rendition.format.video_codec(),
            hardware,
            ..EncodeSettings::new(width, height, request.fps)
        };
        let file = format!("scenes/{index:02}-{}", rendition.file_name());
        let recipe = recipe_of(&settings);
        clips.push(ClipJob {
            rendition,
            output: ClipOutput { settings, out: task.workspace.path(&file) },
            file,
            recipe,
        });
    }
    Ok(clips)
}

fn cannot_typeset(index: u32, error: layout::Error) -> StageError {
    StageError::terminal(
        ErrorCode::TypesettingFailed,
        format!("scene {} cannot be typeset: {error}", index + 1),
    )
    .suggest("simplify the part of the script that this scene shows")
    .because(error)
    .quoting_the_user()
}

fn cannot_encode(index: u32, error: encoder::Error) -> StageError {
    StageError::failed(
        ErrorCode::RenderingFailed,
        format!("scene {} cannot be encoded: {error}", index + 1),
        error,
    )
}
