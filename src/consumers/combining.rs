//! `combining`: the clips become one file, and thumbnails are taken from it.

use std::path::PathBuf;

use async_trait::async_trait;

use super::error::{StageError, missing};
use super::task::{StageHandler, Task, blocking};
use crate::domain::job::{Outcome, SceneProgress};
use crate::events::Stage;
use crate::events::job::{Clip, Thumbnail, ThumbnailSize};
use crate::media::captions;
use crate::media::combine::{self, Labels};
use crate::media::thumbnails;

pub struct Combining;

#[async_trait]
impl StageHandler for Combining {
    fn stage(&self) -> Stage {
        Stage::Combining
    }

    async fn run(&self, task: &Task) -> Result<Outcome, StageError> {
        let task = task.clone();
        blocking(move || {
            let clip = join(&task)?;
            let thumbnails = if task.request()?.enable_thumbnails { picture(&task, &clip)? } else { vec![] };
            Ok(Outcome::Combined { clip, thumbnails })
        })
        .await
    }
}

fn join(task: &Task) -> Result<Clip, StageError> {
    let clip = |scene: &SceneProgress| {
        let clip = scene.clip.as_ref().ok_or_else(|| missing("SceneRendered"))?;
        Ok(task.workspace.path(&clip.file))
    };
    let parts: Vec<PathBuf> = task.job.scenes.iter().map(clip).collect::<Result<_, StageError>>()?;
    let title = task.job.scenes.first().map(|scene| scene.description.title.as_str()).unwrap_or_default();
    let job = &task.job;
    let chapters = captions::chapters(job.narrated_scenes());
    let wanted = task.request()?.enable_subtitles;
    let captions = if wanted { captions::captions(job.narrated_scenes()) } else { vec![] };
    let labels = Labels { title, chapters: &chapters, captions: &captions };
    let file = "video.mp4".to_owned();
    let mut on_progress = |done, total| task.progress.report(done, total);
    let combined =
        combine::combine(&parts, labels, &task.workspace.path(&file), &mut on_progress, &task.cancel)
            .map_err(cannot_combine)?;
    let (frames, duration_ms, bytes) = (combined.frames, combined.duration_ms, combined.bytes);
    Ok(Clip { file, frames, duration_ms, bytes, reused: false })
}

fn picture(task: &Task, clip: &Clip) -> Result<Vec<Thumbnail>, StageError> {
    let sizes = ThumbnailSize::ALL.map(ThumbnailSize::dimensions);
    let files = ThumbnailSize::ALL.map(|size| format!("thumbnails/{}.jpg", size.name()));
    let paths: Vec<_> = files.iter().map(|file| task.workspace.path(file)).collect();
    let bytes =
        thumbnails::extract(&task.workspace.path(&clip.file), &sizes, &paths).map_err(cannot_picture)?;
    let described = ThumbnailSize::ALL.into_iter().zip(files).zip(bytes);
    let described = described.map(|((size, file), bytes)| {
        let (width, height) = size.dimensions();
        Thumbnail { size, width, height, file, bytes }
    });
    Ok(described.collect())
}

fn cannot_combine(error: combine::Error) -> StageError {
    if error.is_disk_full() {
        return StageError::disk_full(error);
    }
    StageError::retryable("COMBINING_FAILED", format!("the scenes cannot be joined: {error}")).because(error)
}

fn cannot_picture(error: thumbnails::Error) -> StageError {
    if error.is_disk_full() {
        return StageError::disk_full(error);
    }
    StageError::retryable("THUMBNAIL_FAILED", format!("no thumbnail can be taken: {error}")).because(error)
}
