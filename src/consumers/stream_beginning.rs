//! Lets viewers begin before the first scene is rendered: its first segment is stored while the rest is encoded.

use std::sync::{Mutex, PoisonError};

use tokio::runtime::Handle;
use tracing::Span;

use super::error::StageError;
use super::rendering::{ClipJob, store_stream, streamed_rendition};
use super::task::{Task, wait_for};
use crate::events::Rendition;
use crate::events::job::SceneStream;
use crate::storage::Stores;
use reel_studio::encode::scene_video::ClipBeginning;
use reel_studio::join::stream::{Position, SEGMENT_SECONDS};

/// The folder of beginnings among the files of the job. A name in it is that of the whole scene's file.
const FOLDER: &str = "beginning";

/// Stores the beginning of the first scene in each rendition, and records that the stream began once all are there.
pub(super) struct StreamBeginning<'a> {
    task: &'a Task,
    stores: &'a Stores,
    fps: u32,
    /// The rendition of each clip; `None` for a clip that is not streamed.
    renditions: Vec<Option<Rendition>>,
    stored: Mutex<Vec<SceneStream>>,
    runtime: Handle,
    span: Span,
}

impl<'a> StreamBeginning<'a> {
    /// `None` for later scenes, and where nothing is streamed.
    pub(super) fn of(
        task: &'a Task,
        clips: &[ClipJob],
        stores: &'a Stores,
    ) -> Result<Option<Self>, StageError> {
        let renditions = clips.iter().map(|clip| streamed_rendition(task, clip));
        let renditions = renditions.collect::<Result<Vec<_>, _>>()?;
        let is_streamed = task.scene == Some(0) && renditions.iter().any(Option::is_some);
        let (fps, stored) = (task.request()?.fps, Mutex::default());
        let (runtime, span) = (Handle::current(), Span::current());
        Ok(is_streamed.then_some(Self { task, stores, fps, renditions, stored, runtime, span }))
    }

    /// The beginnings of all clips, in their order.
    pub(super) fn of_clips(&self) -> Vec<Option<ClipBeginning<'_>>> {
        let beginning = |rendition: &Rendition| {
            let rendition = *rendition;
            let out = self.task.workspace.path(&format!("scenes/00-{FOLDER}-{}", rendition.file_name()));
            let clip = out.clone();
            ClipBeginning {
                out,
                min_frames: SEGMENT_SECONDS * self.fps,
                on_written: Box::new(move || self.store(rendition, &clip)),
            }
        };
        self.renditions.iter().map(|rendition| rendition.as_ref().map(beginning)).collect()
    }

    /// Without its beginning, a stream begins once the scene is rendered.
    fn store(&self, rendition: Rendition, clip: &std::path::Path) {
        let (_runtime, _span) = (self.runtime.enter(), self.span.enter());
        let position = Position { first_frame: 0, is_last: false };
        let name = format!("{FOLDER}/{}-00.m4s", rendition.quality.level());
        match store_stream(self.task, rendition, clip, position, &name, self.stores) {
            Ok(stream) => self.add(stream),
            Err(error) => tracing::warn!(error = error.for_log(), "the stream does not begin early"),
        }
    }

    fn add(&self, stream: SceneStream) {
        let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        stored.push(stream);
        if stored.len() < self.renditions.iter().flatten().count() {
            return;
        }
        let mut streams = std::mem::take(&mut *stored);
        drop(stored);
        // As in the description of the clips, whichever was encoded first.
        let place = |stream: &SceneStream| {
            self.renditions.iter().position(|rendition| *rendition == Some(stream.rendition))
        };
        streams.sort_by_key(place);
        let frames: u32 = streams[0].segments.iter().map(|segment| segment.frames).sum();
        let duration_ms = u64::from(frames) * 1000 / u64::from(self.fps.max(1));
        wait_for(self.task.journal.note_stream_began(duration_ms, streams));
    }
}
