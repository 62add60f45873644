//! The rule-based planner: from a script, in Markdown or plain text, to scene descriptions.
//!
//! A script is read into sections (`markdown`), each divided into units of one sentence, item, quotation,
//! table or listing (`units`), without any of it being changed. The cards take theirs (`cards`), the rest
//! is made to fit (`budget`) and divided over pages (`pages`), and every page becomes a scene. Last, each page
//! shows what it says in few words and in pictures (`staging`).
//!
//! Invariants: what [`validate`] checks; what is spoken is the script's own text, in its order, and what is shown
//! is part of it; the same request always gives the same plan. Deliberately absent: any understanding of what
//! the text means, any summary in words of our own, and any markup but Markdown's and Mermaid's flowcharts.

mod budget;
mod capacity;
mod cards;
mod clauses;
mod condense;
mod document;
mod formulas;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod headings;
mod listing;
mod markdown;
mod mermaid;
mod numbers;
mod pace;
mod pages;
mod patterns;
mod ranking;
mod reveals;
mod sentences;
mod sequence;
mod speech;
mod staging;
mod tables;
mod topics;
mod units;
mod validate;
mod words;

#[cfg(test)]
mod tests;

use reel_scene::{Entrance, Leave, Reveal, RichText, SCENE_COUNT, Scene};

use budget::Chapter;
use document::{Document, Element, MAX_HEADING_COLUMNS};
use units::Unit;

pub use validate::validate;

/// Lines of narration in one video at most, the cards' included.
pub const MAX_NARRATION_LINES: usize = 160;

/// Lines that the two cards may take, out of [`MAX_NARRATION_LINES`].
const CARD_LINES: usize = 12;

/// What a video is to be about.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Names the video when nothing else does.
    pub topic: &'a str,
    /// Stands in for a missing script.
    pub context: Option<&'a str>,
    /// Markdown or plain text.
    pub script: Option<&'a str>,
    /// Takes precedence over a title in the script, which then becomes the subtitle.
    pub title: Option<&'a str>,
    /// How long the video should last: of a script that takes longer, a part is said.
    pub duration_ms: Option<u64>,
}

/// A planned video.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub title: String,
    /// As many as [`SCENE_COUNT`] allows, in order, with a title card first and a closing card last.
    pub scenes: Vec<Scene>,
    /// Sentences left out because the script is longer than a video may be; an item, a row of a table
    /// and a screen of code count as one each.
    pub omitted_sentences: usize,
}

/// Why there is no plan. None of these goes away by trying again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("neither script nor context has anything to say, expected at least 1 letter or digit")]
    NothingToSay,
}

/// Plans a video from a request's script, or from its context when the script is missing or blank.
///
/// Pure, deterministic, and linear in the script's length. Fails with [`PlanError::NothingToSay`] when the
/// text has no letter or digit.
pub fn plan(request: &Request<'_>) -> Result<Plan, PlanError> {
    let speakable = |text: &&str| speech::is_speakable(text);
    let script = request.script.filter(speakable).or(request.context.filter(speakable));
    let mut document = markdown::read(script.ok_or(PlanError::NothingToSay)?);
    let (title, subtitle) = titles(request, &mut document)?;
    let mut chapters = chapters(&document, &title);
    let closing = cards::take_closing(&mut chapters, &title);
    let opening = opening(&document, &title, subtitle, &mut chapters);

    let max_pages = SCENE_COUNT.end() - 2;
    let cards_ms = pace::of_scene(&opening) + pace::of_scene(&closing);
    let room = budget::Room {
        pages: max_pages,
        lines: MAX_NARRATION_LINES - CARD_LINES,
        ms: request.duration_ms.map(|ms| ms.saturating_sub(cards_ms)),
    };
    let (chapters, omitted_sentences) = budget::fit(chapters, room);
    let mut scenes = vec![opening];
    for (number, chapter) in chapters.iter().enumerate() {
        let pages = pages::paginate(&chapter.units);
        let page = |page| staging::stage(content(&chapter.heading, &chapter.units[page]));
        let first = scenes.len();
        scenes.extend(pages.into_iter().map(page));
        if number > 0 {
            slide(&mut scenes, first);
        }
    }
    scenes.push(closing);
    debug_assert_eq!(validate(&scenes), vec![]);
    Ok(Plan { title, scenes, omitted_sentences })
}

/// The video's title, and the script's own where the request has another.
fn titles(request: &Request<'_>, document: &mut Document) -> Result<(String, Option<String>), PlanError> {
    let given = request.title.map(single_line).filter(|title| speech::is_speakable(title));
    let written = document.title.take();
    let topic = Some(single_line(request.topic)).filter(|topic| speech::is_speakable(topic));
    let subtitle = written.clone().filter(|written| given.as_ref().is_some_and(|given| given != written));
    let heading = || document.sections.iter().find_map(|section| section.heading.clone());
    let opening = || {
        document.sections.iter().map(|section| plain_text(&section.elements)).find(|text| !text.is_empty())
    };
    let title =
        given.or(written).or(topic).or_else(heading).or_else(opening).ok_or(PlanError::NothingToSay)?;
    Ok((shortened(&title), subtitle))
}

/// The sections under their headings, written or derived.
fn chapters(document: &Document, title: &str) -> Vec<Chapter> {
    let texts: Vec<String> = document.sections.iter().map(|section| plain_text(&section.elements)).collect();
    let derived = if document.headed { Vec::new() } else { headings::derive(&texts, title) };
    let mut chapters: Vec<Chapter> = Vec::with_capacity(document.sections.len());
    for (index, section) in document.sections.iter().enumerate() {
        let derived = derived.get(index).map_or(title, String::as_str);
        let heading = section.heading.clone().unwrap_or_else(|| derived.to_owned());
        let units = units::divide(&section.elements, &heading);
        chapters.push(Chapter { heading, written: section.heading.is_some(), units });
    }
    if chapters.is_empty() {
        // The script is a title and nothing else: it is said once more.
        let units = units::divide(&[], title);
        chapters.push(Chapter { heading: title.to_owned(), written: false, units });
    }
    chapters
}

/// The opening card, with a subtitle from the request's script or its introduction.
fn opening(document: &Document, title: &str, subtitle: Option<String>, chapters: &mut Vec<Chapter>) -> Scene {
    if let Some(subtitle) = subtitle {
        return cards::opening(title, vec![RichText::plain(subtitle)]);
    }
    let others = chapters.len() > 1;
    let introduction = chapters.first_mut().filter(|first| document.headed && !first.written && others);
    let Some(introduction) = introduction else { return cards::opening(title, Vec::new()) };
    let subtitle = cards::take_subtitle(introduction);
    if introduction.units.is_empty() {
        chapters.remove(0);
    }
    cards::opening(title, subtitle)
}

/// The scene of one page: its units' blocks from top to bottom, and its listing below them.
fn content(heading: &str, units: &[Unit]) -> Scene {
    let mut scene = Scene { title: heading.to_owned(), ..Scene::default() };
    for unit in units {
        let offset = scene.blocks.len();
        scene.blocks.extend(unit.blocks.iter().cloned());
        for step in &unit.steps {
            let mut step = step.clone();
            step.reveals.iter_mut().for_each(|reveal| reveal.block += offset);
            scene.steps.push(step);
        }
    }
    for listing in units.iter().filter_map(|unit| unit.listing.clone()) {
        let reveal = Reveal { block: scene.blocks.len(), part: None };
        scene.blocks.push(listing);
        scene.steps[0].reveals.push(reveal);
    }
    scene
}

/// A new chapter pushes the one before away.
fn slide(scenes: &mut [Scene], first: usize) {
    let (before, after) = scenes.split_at_mut(first);
    let steps = after.first_mut().and_then(|scene| scene.steps.first_mut());
    let (Some(before), Some(step)) = (before.last_mut(), steps) else { return };
    before.leave = Leave::Wipe;
    step.enter = Some(Entrance::Slide);
}

/// A section's running text, for deriving headings.
fn plain_text(elements: &[Element]) -> String {
    let texts = elements.iter().filter_map(|element| match element {
        Element::Paragraph(text) | Element::Item { text, .. } | Element::Quote(text) => Some(text.to_plain()),
        _ => None,
    });
    texts.collect::<Vec<_>>().join(" ")
}

fn single_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A title that fits its card; a longer one ends with an ellipsis after a whole word, unless all that
/// can be said stands behind it.
fn shortened(title: &str) -> String {
    let start: String = title.chars().take(MAX_HEADING_COLUMNS / 2).collect();
    let whole = start.rsplit_once(' ').map_or(start.as_str(), |(whole, _)| whole);
    if capacity::columns(title) <= MAX_HEADING_COLUMNS || !speech::is_speakable(whole) {
        return title.to_owned();
    }
    format!("{}…", whole.trim_end_matches([',', ';', ':', '.']))
}
