//! The labels of a video: its title, chapters and captions.

use reel_scene::{Scene, SceneTimeline};

use super::captions::{self, Caption, Chapter};

/// Texts that a video file carries beside its pictures and sound.
#[derive(Debug, Clone, Default)]
pub struct Labels {
    pub title: String,
    pub chapters: Vec<Chapter>,
    /// The captions of the file's caption track; without any there is no track.
    pub captions: Vec<Caption>,
    /// The language in which most is said, as a BCP 47 tag.
    pub language: String,
}

impl Labels {
    /// Labels narrated scenes.
    pub fn new<'a>(
        title: impl Into<String>,
        scenes: impl IntoIterator<Item = (&'a Scene, &'a SceneTimeline)> + Clone,
    ) -> Self {
        let title = title.into();
        let mut chapters = captions::chapters(scenes.clone());
        // A video that begins without a heading begins with its title.
        if let Some(first) = chapters.first_mut().filter(|first| first.title.is_empty()) {
            first.title.clone_from(&title);
        }
        let captions = captions::captions(scenes);
        let language = captions::main_language(&captions).to_owned();
        Self { title, chapters, captions, language }
    }

    /// Removes the captions.
    pub fn without_captions(self) -> Self {
        Self { captions: vec![], ..self }
    }
}
