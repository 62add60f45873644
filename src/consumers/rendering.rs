//! `rendering`: one scene from source and narration to its clips.

use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::error::{StageError, missing};
use super::reuse::{cache_file, copy_cached};
use super::task::{StageHandler, Task, blocking, wait_for};
use super::uploaded;
use crate::config::MediaConfig;
use crate::domain::job::Outcome;
use crate::error_codes::ErrorCode;
use crate::events::job::{Clip, RenditionFile};
use crate::events::{Rendition, Stage};
use crate::storage::{Recipe, Storage as Objects};
use crate::telemetry::chain;
use reel_scene::{Block, Scene};
use reel_studio::encode::encoder::{self, EncodeSettings};
use reel_studio::encode::hardware::{self, Hardware};
use reel_studio::encode::scene_video::{self, Error, Material, Wanted};
use reel_studio::layout;
use reel_studio::layout::images::Images;
use reel_studio::speak::timeline;

pub struct Rendering {
    /// Who encodes H.264; the processor itself without any.
    hardware: Option<Hardware>,
    /// Where logos are.
    logos: Option<PathBuf>,
    /// Where uploads are.
    objects: Objects,
}

impl Rendering {
    /// With a graphics processor, if one is wanted and works. One that is wanted and does not is told of once, here.
    pub fn new(media: &MediaConfig) -> Self {
        let hardware = if media.use_gpu { Self::find_hardware() } else { None };
        Self { hardware, logos: media.logos.clone(), objects: Objects::local(&media.root) }
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
        let objects = self.objects.clone();
        blocking(move || render(&task, hardware, logos.as_deref(), &objects)).await
    }
}

fn render(
    task: &Task,
    hardware: Option<Hardware>,
    logos: Option<&Path>,
    objects: &Objects,
) -> Result<Outcome, StageError> {
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
    // Where there is no such logo, the scene was written without it.
    let mut images = Images::of_logo(task.request()?.look().logo.as_deref(), logos).unwrap_or_default();
    add_pictures(&mut images, task, index, &scene.description, objects)?;
    let material = Material {
        scene: &scene.description,
        source: code,
        timeline: &narrated.timeline,
        narration: &narration,
        images: &images,
    };
    let clips = clips_to_make(task, index, material, hardware)?;
    let made = wait_for(copy_cached_clips(task, &clips));
    let frames = u64::from(narrated.timeline.frames);
    let fetched = (clips.len() - made.len()) as u64 * frames;
    let total = clips.len() as u64 * frames;
    task.progress.report(fetched, total);
    let wanted: Vec<Wanted> = made.iter().map(|clip| clip.wanted.clone()).collect();
    let mut on_frame = |done, _| task.progress.report(fetched + done, total);
    scene_video::render(material, &wanted, &mut on_frame, &task.cancel).map_err(|failure| match failure {
        Error::Typeset(error) => cannot_typeset(index, error),
        Error::Encode(error) => cannot_encode(index, error),
    })?;
    for clip in &made {
        wait_for(cache_file(&task.cache, &clip.recipe, &clip.wanted.out));
    }
    let bytes = |clip: &ToMake| std::fs::metadata(&clip.wanted.out).map_or(0, |metadata| metadata.len());
    let (main, others) = clips.split_first().ok_or_else(|| missing("JobRequested"))?;
    let file_of = |clip: &ToMake| RenditionFile {
        rendition: clip.rendition,
        file: clip.file.clone(),
        bytes: bytes(clip),
    };
    Ok(Outcome::Rendered {
        clip: Clip {
            file: main.file.clone(),
            frames,
            duration_ms: narrated.timeline.duration_ms(),
            bytes: bytes(main),
            reused: made.is_empty(),
            renditions: others.iter().map(file_of).collect(),
        },
    })
}

/// Adds the uploaded pictures that a scene shows. Names that are none of the request's uploads are left to the layout,
/// which refuses them.
fn add_pictures(
    images: &mut Images,
    task: &Task,
    index: u32,
    scene: &Scene,
    objects: &Objects,
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

/// Copies the clips that the cache has, and returns the others.
async fn copy_cached_clips<'a>(task: &Task, clips: &'a [ToMake]) -> Vec<&'a ToMake> {
    let mut missing = vec![];
    for clip in clips {
        if !copy_cached(&task.cache, &clip.recipe, &clip.wanted.out).await {
            missing.push(clip);
        }
    }
    missing
}

/// A clip of the scene, and the recipe of its content.
struct ToMake {
    rendition: Rendition,
    file: String,
    wanted: Wanted,
    recipe: Recipe,
}

/// The clips that the job's files are joined of, first those of the main one.
fn clips_to_make(
    task: &Task,
    index: u32,
    material: Material<'_>,
    hardware: Option<Hardware>,
) -> Result<Vec<ToMake>, StageError> {
    let request = task.request()?;
    let mut clips: Vec<ToMake> = vec![];
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
        let recipe = clip_recipe(material, &settings);
        clips.push(ToMake {
            rendition,
            wanted: Wanted { settings, out: task.workspace.path(&file) },
            file,
            recipe,
        });
    }
    Ok(clips)
}

/// Everything that a clip is made from; other sources of the studio make another clip.
fn clip_recipe(material: Material<'_>, settings: &EncodeSettings) -> Recipe {
    let Material { scene, source, timeline, narration, images } = material;
    let mut recipe = Recipe::new("clip");
    recipe.add(reel_studio::SOURCES);
    images.contents().for_each(|content| {
        recipe.add(content);
    });
    let motion = format!("{:?}{:?}", layout::motions(scene), scene.leave);
    recipe.add(source).add(format!("{timeline:?}{settings:?}")).add(motion);
    let samples: Vec<u8> = narration.samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    recipe.add(samples);
    recipe
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
