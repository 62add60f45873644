//! `combining`: joins the clips into one file for each rendition, and extracts thumbnails.

use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::artifacts::fetch_scenes;
use super::error::{StageError, missing};
use super::rendering::{part_file, position_of};
use super::task::{StageHandler, Task, blocking};
use crate::domain::job::{Outcome, SceneProgress, Stream};
use crate::error_codes::ErrorCode;
use crate::events::job::{Clip, RenditionFile, Thumbnail, ThumbnailSize, Warning};
use crate::events::{Rendition, Stage};
use crate::telemetry::chain;
use reel_studio::join::combine::{self, Combined, Parts};
use reel_studio::join::labels::Labels;
use reel_studio::join::{stream, thumbnails};

pub struct Combining;

#[async_trait]
impl StageHandler for Combining {
    fn stage(&self) -> Stage {
        Stage::Combining
    }

    async fn run(&self, task: &Task) -> Result<Outcome, StageError> {
        let Made { clip, thumbnails, warnings } = combine(task).await?;
        Ok(Outcome::Combined { clip, thumbnails, warnings })
    }
}

pub(super) struct Made {
    clip: Clip,
    thumbnails: Vec<Thumbnail>,
    warnings: Vec<Warning>,
}

/// Makes the video and its thumbnails in the workspace, from what earlier stages made here or elsewhere. The same scenes
/// give the same bytes.
pub(super) async fn combine(task: &Task) -> Result<Made, StageError> {
    let workspace = task.workspace.clone();
    blocking(move || workspace.create().map_err(super::initializing::cannot_create)).await?;
    fetch_scenes(task, &task.job).await?;
    let task = task.clone();
    blocking(move || {
        let clip = join(&task)?;
        let (thumbnails, warnings) = match task.request()?.enable_thumbnails {
            false => (vec![], vec![]),
            true => match take_thumbnails(&task.workspace.path(&clip.file), &task.workspace.path("")) {
                Ok(thumbnails) => (thumbnails, vec![]),
                // The video is complete without them: they are made later.
                Err(error) => (vec![], vec![no_thumbnails(&error)]),
            },
        };
        Ok(Made { clip, thumbnails, warnings })
    })
    .await
}

/// Writes all files of the video, each joined from the clips of its size and codec.
fn join(task: &Task) -> Result<Clip, StageError> {
    let renditions = task.request()?.renditions();
    let labels = labels(task)?;
    let mut files = Vec::with_capacity(renditions.len());
    for (number, rendition) in renditions.iter().enumerate() {
        files.push(join_rendition(task, *rendition, &labels, (number, renditions.len()))?);
    }
    let mut files = files.into_iter();
    let (main, combined) = files.next().ok_or_else(|| missing("JobRequested"))?;
    Ok(Clip {
        file: main.file,
        frames: combined.frames,
        duration_ms: combined.duration_ms,
        bytes: main.bytes,
        artifact: None,
        reused: false,
        renditions: files.map(|(file, _)| file).collect(),
        streams: vec![],
    })
}

fn labels(task: &Task) -> Result<Labels, StageError> {
    let title = task.job.scenes.first().map(|scene| scene.description.title.as_str()).unwrap_or_default();
    let scenes: Vec<_> = task.job.narrated_scenes().collect();
    let labels = Labels::new(title, scenes);
    Ok(if task.request()?.enable_subtitles { labels } else { labels.without_captions() })
}

fn join_rendition(
    task: &Task,
    rendition: Rendition,
    labels: &Labels,
    (number, of): (usize, usize),
) -> Result<(RenditionFile, Combined), StageError> {
    let job = &task.job;
    let main = task.request()?.main_rendition();
    let clip_of = |scene: &SceneProgress| -> Result<PathBuf, StageError> {
        let clip = scene.clip.as_ref().and_then(|clip| clip.file_of(rendition.of_clips(), main));
        let (file, _) = clip.ok_or_else(|| missing("SceneRendered"))?;
        Ok(task.workspace.path(file))
    };
    let sound_of = |scene: &SceneProgress| -> Result<PathBuf, StageError> {
        let narrated = scene.narrated.as_ref().ok_or_else(|| missing("ScenarioCreated"))?;
        Ok(task.workspace.path(&narrated.narration))
    };
    let clips: Vec<PathBuf> = job.scenes.iter().map(clip_of).collect::<Result<_, _>>()?;
    let sounds: Vec<PathBuf> = job.scenes.iter().map(sound_of).collect::<Result<_, _>>()?;
    let file = format!("video-{}", rendition.file_name());
    let out = task.workspace.path(&file);
    let mut on_progress = |done, total| task.progress.report(number as u64 * total + done, of as u64 * total);
    let mut combine = |streams: &[PathBuf]| {
        let parts = Parts { clips: &clips, sounds: &sounds, streams, format: rendition.format };
        combine::combine(parts, labels, &out, &mut on_progress, &task.cancel)
    };
    let combined = match combine(&parts_of_stream(task, rendition, &clips)) {
        Err(combine::Error::Streamable(error)) => {
            tracing::warn!(error = chain(&error), "the video and its stream are stored apart");
            combine(&[])
        }
        combined => combined,
    };
    let combined = combined.map_err(cannot_combine)?;
    Ok((RenditionFile { rendition, file, bytes: combined.bytes, artifact: None }, combined))
}

/// The files of a rendition's stream, which the video then has inside. None where not all of it was streamed.
fn parts_of_stream(task: &Task, rendition: Rendition, clips: &[PathBuf]) -> Vec<PathBuf> {
    let Some(stream) = task.job.stream().filter(Stream::is_whole) else { return vec![] };
    let mut files = vec![];
    for (scene, (part, clip)) in stream.parts(rendition).zip(clips).enumerate() {
        let file = task.workspace.path(&part_file(part.name()));
        // Another machine may have made it.
        let is_here = std::fs::metadata(&file).is_ok_and(|found| found.len() == part.bytes);
        if !is_here && let Err(error) = stream::write(clip, position_of(&task.job, scene), &file) {
            tracing::warn!(error = chain(&error), "the video and its stream are stored apart");
            return vec![];
        }
        files.push(file);
    }
    files
}

/// Writes the thumbnails of a video to `thumbnails/` in a folder.
pub(super) fn take_thumbnails(video: &Path, folder: &Path) -> Result<Vec<Thumbnail>, thumbnails::Error> {
    let sizes = ThumbnailSize::ALL.map(ThumbnailSize::longer_side);
    let files = ThumbnailSize::ALL.map(|size| format!("thumbnails/{}.jpg", size.name()));
    let paths: Vec<_> = files.iter().map(|file| folder.join(file)).collect();
    let written = thumbnails::extract(video, &sizes, &paths)?;
    let described = ThumbnailSize::ALL.into_iter().zip(files).zip(written);
    let described = described.map(|((size, file), thumbnails::Written { width, height, bytes })| Thumbnail {
        size,
        width,
        height,
        file,
        bytes,
    });
    Ok(described.collect())
}

fn cannot_combine(error: combine::Error) -> StageError {
    StageError::failed(ErrorCode::CombiningFailed, format!("the scenes cannot be joined: {error}"), error)
}

fn no_thumbnails(error: &thumbnails::Error) -> Warning {
    tracing::warn!(error = chain(error), "no thumbnail can be taken");
    Warning {
        code: ErrorCode::ThumbnailFailed.to_string(),
        message: format!("no thumbnail can be taken, so the video has none yet: {error}"),
    }
}
