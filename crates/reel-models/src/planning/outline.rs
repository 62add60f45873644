//! The outline: what the scenes are about, and the words of the two cards.

use std::ops::RangeInclusive;

use reel_scene::check::{self, control_character};
use reel_scene::{Layout, Scene, Step};
use serde::{Deserialize, Serialize};

use super::object;

/// Scenes between the two cards.
pub const SCENES: RangeInclusive<usize> = 3..=7;
const POINTS: RangeInclusive<usize> = 1..=8;
const TITLE_CHARACTERS: RangeInclusive<usize> = 1..=120;
const SENTENCE_CHARACTERS: RangeInclusive<usize> = 1..=400;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outline {
    pub title: String,
    /// BCP 47 tag; empty for the language of the voice.
    #[serde(default)]
    pub language: String,
    /// The narration of the opening card.
    pub opening: String,
    pub scenes: Vec<OutlinedScene>,
    /// The text of the closing card; without it, the title.
    #[serde(default)]
    pub closing_title: String,
    pub closing: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutlinedScene {
    pub heading: String,
    #[serde(default)]
    pub points: Vec<String>,
}

impl Outline {
    /// Returns the opening and the closing card.
    pub fn cards(&self) -> (Scene, Scene) {
        let card = |layout, title: &str, narration: &str| Scene {
            layout,
            title: title.trim().to_owned(),
            language: self.language.clone(),
            steps: vec![Step::new(narration.trim(), vec![])],
            ..Scene::default()
        };
        let closing_title =
            if self.closing_title.trim().is_empty() { &self.title } else { &self.closing_title };
        (card(Layout::Title, &self.title, &self.opening), card(Layout::Closing, closing_title, &self.closing))
    }
}

/// Reads an answer, or returns its faults. `title` is the one that the user gave, which takes precedence.
pub(super) fn read(answer: &str, title: Option<&str>) -> Result<Outline, Vec<String>> {
    let mut deserializer = serde_json::Deserializer::from_str(object(answer)?);
    let mut outline: Outline = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| vec![format!("{}: {}", error.path(), error.inner())])?;
    if let Some(title) = title {
        outline.title = title.to_owned();
    }
    let faults = faults(&outline, title.is_some());
    if faults.is_empty() { Ok(outline) } else { Err(faults) }
}

fn faults(outline: &Outline, has_given_title: bool) -> Vec<String> {
    let mut faults = vec![];
    let mut count = |path: &str, what: &str, found: usize, allowed: &RangeInclusive<usize>| {
        if !allowed.contains(&found) {
            faults.push(format!(
                "{path}: has {found} {what}, but must have {} to {}",
                allowed.start(),
                allowed.end()
            ));
        }
    };
    count("scenes", "scenes", outline.scenes.len(), &SCENES);
    if !has_given_title {
        count("title", "characters", outline.title.chars().count(), &TITLE_CHARACTERS);
    }
    count("opening", "characters", outline.opening.chars().count(), &SENTENCE_CHARACTERS);
    count("closing", "characters", outline.closing.chars().count(), &SENTENCE_CHARACTERS);
    count(
        "closing_title",
        "characters",
        outline.closing_title.chars().count(),
        &(0..=*TITLE_CHARACTERS.end()),
    );
    for (index, scene) in outline.scenes.iter().enumerate().take(*SCENES.end()) {
        let path = format!("scenes.{index}");
        count(&format!("{path}.heading"), "characters", scene.heading.chars().count(), &TITLE_CHARACTERS);
        count(&format!("{path}.points"), "points", scene.points.len(), &POINTS);
        for (at, point) in scene.points.iter().enumerate().take(*POINTS.end()) {
            let characters = point.chars().count();
            count(&format!("{path}.points.{at}"), "characters", characters, &SENTENCE_CHARACTERS);
        }
        let texts = std::iter::once(&scene.heading).chain(&scene.points);
        let controls = texts.filter(|text| control_character(text).is_some()).count();
        count(&path, "texts with control characters", controls, &(0..=0));
    }
    let (opening, closing) = outline.cards();
    faults.extend(check::faults(&[opening, closing]).iter().map(|fault| format!("cards: {fault}")));
    faults
}
