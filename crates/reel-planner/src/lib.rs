//! Plans a video: turns a script, in Markdown or plain text, into scenes by rules, without a language model.
//!
//! ```
//! use reel_planner::{Request, plan, validate};
//!
//! let script = "# Rain\n\nRain falls from clouds.\n\n## Drops\n\nA drop grows until it is too heavy. \
//!               Then it falls. The wind slows it down. Nothing else does.";
//! let request =
//!     Request { topic: "Rain", context: None, script: Some(script), title: None, duration_ms: None };
//! let plan = plan(&request)?;
//!
//! assert_eq!(plan.title, "Rain");
//! assert_eq!(plan.scenes.len(), 3);
//! assert_eq!(plan.scenes[1].steps[0].narration, "A drop grows until it is too heavy.");
//! assert!(validate(&plan.scenes).is_empty());
//! # Ok::<(), reel_planner::PlanError>(())
//! ```
//!
//! In [`plan`], [`read`] reads the script into sections of elements. [`arrange`] divides each section into
//! passages, the pieces that stay together on a page, makes them fit the video, and divides them over pages. [`show`]
//! makes the two cards, finds headings where the script has none, and turns each page into a scene of few words and
//! pictures. [`language`] has the rules about words and sentences for all of them.
//!
//! Invariants: plans pass [`validate`]; the narration is the script's own text in its order, and what is shown is part of it;
//! the same request always gives the same plan. Deliberately absent: any understanding of the text's meaning, any summary in
//! other words, and any markup but Markdown and Mermaid's flowcharts.
#![allow(rustdoc::private_intra_doc_links)]

mod arrange;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod language;
mod read;
mod show;
mod validate;

#[cfg(test)]
mod tests;

use reel_scene::{Entrance, Leave, Reveal, RichText, SCENE_COUNT, Scene};

use arrange::budget::{self, Chapter};
use arrange::passages::{self, Passage};
use arrange::{pace, pages};
use language::speech::is_speakable;
use language::width::columns;
use read::document::{Document, Element, MAX_HEADING_COLUMNS, replace_control_characters};
use read::markdown;
use show::{cards, headings, page};

pub use validate::validate;

/// Most lines of narration in a video, including those of the cards: about 15 minutes of speech.
pub const MAX_NARRATION_LINES: usize = 160;

/// Lines that the two cards may take, out of [`MAX_NARRATION_LINES`].
const CARD_LINES: usize = 12;

/// The input of a plan.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Title of a video without another title.
    pub topic: &'a str,
    /// Replaces a missing script.
    pub context: Option<&'a str>,
    /// Markdown or plain text.
    pub script: Option<&'a str>,
    /// Takes precedence over a title in the script, which then becomes the subtitle.
    pub title: Option<&'a str>,
    /// Requested duration: a longer script is shortened.
    pub duration_ms: Option<u64>,
}

/// A planned video.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub title: String,
    /// The scenes in order, as many as [`SCENE_COUNT`] allows; the first is a title card, the last a closing card.
    pub scenes: Vec<Scene>,
    /// Sentences left out because the script is longer than a video may be; an item, a row of a table
    /// and a screen of code count as one each.
    pub omitted_sentences: usize,
}

/// The reason why there is no plan. A retry does not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("neither script nor context has anything to say, expected at least 1 letter or digit")]
    NothingToSay,
}

/// Plans a video from a request's script, or from its context when the script is missing or blank.
///
/// Pure and deterministic, in time proportional to the script's length. Fails with [`PlanError::NothingToSay`] when the text has
/// no letter or digit.
pub fn plan(request: &Request<'_>) -> Result<Plan, PlanError> {
    let speakable = |text: &&str| is_speakable(text);
    let script = request.script.filter(speakable).or(request.context.filter(speakable));
    let mut document = markdown::read(script.ok_or(PlanError::NothingToSay)?);
    let (title, subtitle) = choose_titles(request, &mut document)?;
    let mut chapters = divide_into_chapters(&document, &title);
    let closing = cards::take_closing(&mut chapters, &title);
    let opening = make_opening(&document, &title, subtitle, &mut chapters);

    let max_pages = SCENE_COUNT.end() - 2;
    let cards_ms = pace::scene_ms(&opening) + pace::scene_ms(&closing);
    let room = budget::Room {
        pages: max_pages,
        lines: MAX_NARRATION_LINES - CARD_LINES,
        ms: request.duration_ms.map(|ms| ms.saturating_sub(cards_ms)),
    };
    let (chapters, omitted_sentences) = budget::fit(chapters, room);
    let mut scenes = vec![opening];
    for (number, chapter) in chapters.iter().enumerate() {
        let pages = pages::paginate(&chapter.passages);
        let to_scene = |page| page::compose(content(&chapter.heading, &chapter.passages[page]));
        let first = scenes.len();
        scenes.extend(pages.into_iter().map(to_scene));
        if number > 0 {
            push_away(&mut scenes, first);
        }
    }
    scenes.push(closing);
    debug_assert_eq!(validate(&scenes), vec![]);
    Ok(Plan { title, scenes, omitted_sentences })
}

/// Chooses the video's title, and a subtitle where the request has a title and the script another.
fn choose_titles(
    request: &Request<'_>,
    document: &mut Document,
) -> Result<(String, Option<String>), PlanError> {
    let given = request.title.map(single_line).filter(|title| is_speakable(title));
    let written = document.title.take();
    let topic = Some(single_line(request.topic)).filter(|topic| is_speakable(topic));
    let subtitle = written.clone().filter(|written| given.as_ref().is_some_and(|given| given != written));
    let heading = || document.sections.iter().find_map(|section| section.heading.clone());
    let opening = || {
        document.sections.iter().map(|section| plain_text(section.elements())).find(|text| !text.is_empty())
    };
    let title =
        given.or(written).or(topic).or_else(heading).or_else(opening).ok_or(PlanError::NothingToSay)?;
    Ok((shorten_title(&title), subtitle))
}

/// Divides the sections into passages, under their headings, written or derived.
fn divide_into_chapters(document: &Document, title: &str) -> Vec<Chapter> {
    let texts = || document.sections.iter().map(|section| plain_text(section.elements())).collect::<Vec<_>>();
    let derived = if document.headed { Vec::new() } else { headings::derive(&texts(), title) };
    let mut chapters: Vec<Chapter> = Vec::with_capacity(document.sections.len());
    for (index, section) in document.sections.iter().enumerate() {
        let derived = derived.get(index).map_or(title, String::as_str);
        let heading = section.heading.clone().unwrap_or_else(|| derived.to_owned());
        let passages = passages::divide(section.elements(), &heading);
        chapters.push(Chapter { heading, written: section.heading.is_some(), passages });
    }
    if chapters.is_empty() {
        // The script is a title and nothing else: it is said once more.
        let passages = passages::divide(&[], title);
        chapters.push(Chapter { heading: title.to_owned(), written: false, passages });
    }
    chapters
}

/// Makes the opening card, with a subtitle from the request's script or its introduction.
fn make_opening(
    document: &Document,
    title: &str,
    subtitle: Option<String>,
    chapters: &mut Vec<Chapter>,
) -> Scene {
    if let Some(subtitle) = subtitle {
        return cards::opening(title, vec![RichText::plain(subtitle)]);
    }
    let others = chapters.len() > 1;
    let introduction = chapters.first_mut().filter(|first| document.headed && !first.written && others);
    let Some(introduction) = introduction else { return cards::opening(title, Vec::new()) };
    let subtitle = cards::take_subtitle(introduction);
    if introduction.passages.is_empty() {
        chapters.remove(0);
    }
    cards::opening(title, subtitle)
}

/// Makes the scene of one page: its passages' blocks from top to bottom, and its listing below them.
fn content(heading: &str, passages: &[Passage]) -> Scene {
    let mut scene = Scene { title: heading.to_owned(), ..Scene::default() };
    for passage in passages {
        let offset = scene.blocks.len();
        scene.blocks.extend(passage.blocks().iter().cloned());
        for step in &passage.steps {
            let mut step = step.clone();
            step.reveals.iter_mut().for_each(|reveal| reveal.block += offset);
            scene.steps.push(step);
        }
    }
    for listing in passages.iter().filter_map(|passage| passage.listing.clone()) {
        let reveal = Reveal { block: scene.blocks.len(), part: None };
        scene.blocks.push(listing);
        scene.steps[0].reveals.push(reveal);
    }
    scene
}

/// Lets the first scene of a new chapter push the previous scene away.
fn push_away(scenes: &mut [Scene], first: usize) {
    let (before, after) = scenes.split_at_mut(first);
    let steps = after.first_mut().and_then(|scene| scene.steps.first_mut());
    let (Some(before), Some(step)) = (before.last_mut(), steps) else { return };
    before.leave = Leave::Wipe;
    step.enter = Some(Entrance::Slide);
}

/// Returns a section's running text, for deriving headings.
fn plain_text(elements: &[Element]) -> String {
    let texts = elements.iter().filter_map(|element| match element {
        Element::Paragraph(text) | Element::Item { text, .. } | Element::Quote(text) => Some(text.to_plain()),
        _ => None,
    });
    texts.collect::<Vec<_>>().join(" ")
}

fn single_line(text: &str) -> String {
    replace_control_characters(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Shortens a title to what fits its card: a longer one ends with an ellipsis, after a whole word where it has any.
fn shorten_title(title: &str) -> String {
    const MAX_CHARS: usize = MAX_HEADING_COLUMNS / 2;
    if columns(title) <= MAX_HEADING_COLUMNS {
        return title.to_owned();
    }
    let start: String = title.chars().take(MAX_CHARS).collect();
    let whole_words = start.rsplit_once(' ').map_or(start.as_str(), |(words, _)| words);
    let kept = if is_speakable(whole_words) {
        whole_words.to_owned()
    } else {
        // Only signs stand there: what can be said stands behind them.
        title.chars().skip_while(|c| !c.is_alphanumeric()).take(MAX_CHARS).collect()
    };
    format!("{}…", kept.trim_end_matches([',', ';', ':', '.']))
}
