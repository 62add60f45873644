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
//! passages, the pieces that stay together on a page, and makes them fit the video. [`compose`] divides them over pages by what
//! they say, and turns each page into a scene. [`show`] makes the two cards, finds headings where the script has none, and chooses pages for a user's pictures. [`language`] has the rules about words and sentences for all of them.
//!
//! Invariants: plans pass [`validate`]; the narration is the script's own text in its order, and what is shown is part of it;
//! the same request always gives the same plan. Deliberately absent: any understanding of the text's meaning, any summary in
//! other words, and any markup but Markdown and Mermaid's flowcharts.
#![allow(rustdoc::private_intra_doc_links)]

mod arrange;
mod compose;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod language;
mod read;
mod show;
mod validate;

#[cfg(test)]
mod tests;

use reel_scene::{Entrance, Leave, Reveal, RichText, SCENE_COUNT, Scene, Step};

use arrange::budget::{self, Chapter};
use arrange::pace;
use arrange::passages::{self, Kind, Passage};
use compose::{Composed, finish};
use language::condense::condense_plain;
use language::detect;
use language::sentences;
use language::speech::is_speakable;
use language::width::columns;
use read::document::{Document, Element, MAX_HEADING_COLUMNS, replace_control_characters};
use read::markdown;
use show::{cards, headings, titles};

pub use show::pictures::{Picture, place_pictures};
pub use validate::validate;

/// Most lines of narration in a video, including those of the cards: about 15 minutes of speech.
pub const MAX_NARRATION_LINES: usize = 160;

/// Lines that the two cards may take, out of [`MAX_NARRATION_LINES`].
const CARD_LINES: usize = 12;

/// The input of a plan.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Title of a video whose script has none. If it is blank, the title is made of the script's words.
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
    /// Why the scenes between the cards look as they do, in their order.
    pub reasons: Vec<Reason>,
}

/// Why a scene is drawn as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// Index of the scene.
    pub scene: usize,
    /// Name of the composition, such as `cards`.
    pub composition: &'static str,
    /// What in the text asks for it.
    pub why: String,
    /// Other compositions for the same sentences with what each would have cost; the cheapest sequence of pages wins.
    pub rejected: Vec<(&'static str, u32)>,
}

impl Reason {
    fn of(scene: usize, page: &compose::Composed) -> Self {
        let rejected = page.rejected.iter().map(|other| (other.composition, other.cost)).collect();
        Self { scene, composition: page.composition, why: page.why.clone(), rejected }
    }
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
    let script = script.ok_or(PlanError::NothingToSay)?;
    let mut document = markdown::read(script);
    let (title, subtitle) = choose_titles(request, &mut document)?;
    let mut chapters = divide_into_chapters(&document, &title);
    drop_repeated_title(&mut chapters, &title);
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
    let (mut scenes, mut reasons) = (vec![opening], vec![]);
    let (mut last_chapter, mut first_of_chapter) = (0, true);
    let pages = compose::compose(&chapters, max_pages);
    let headings = page_headings(&chapters, &pages, &title);
    for (mut page, heading) in pages.into_iter().zip(headings) {
        page.scene.title = heading;
        let begins = first_of_chapter || page.chapter != last_chapter;
        let is_new = !first_of_chapter && begins;
        page.scene.steps.splice(0..0, chapters[page.chapter].lead.clone().filter(|_| begins));
        (last_chapter, first_of_chapter) = (page.chapter, false);
        let first = scenes.len();
        reasons.push(Reason::of(first, &page));
        scenes.push(page.scene);
        if is_new {
            push_away(&mut scenes, first);
        }
    }
    scenes.push(closing);
    finish::set_lone_headings(&mut scenes);
    finish::mark_numbers(&mut scenes);
    finish::choose_icons(&mut scenes, script);
    set_languages(&mut scenes, script);
    debug_assert_eq!(validate(&scenes), vec![]);
    Ok(Plan { title, scenes, omitted_sentences, reasons })
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
    let texts = || {
        document
            .sections
            .iter()
            .map(|section| plain_text(section.elements()))
            .filter(|text| is_speakable(text))
    };
    let derived = || {
        // Only text before the first heading is about the whole.
        let opens = document.sections.first().is_some_and(|first| first.heading.is_none());
        texts().next().filter(|_| opens)?;
        titles::derive(&texts().collect::<Vec<_>>().join(" "))
    };
    let heading = || document.sections.iter().find_map(|section| section.heading.clone());
    let opening = || texts().next().map(|text| shorten_to_words(&text));
    let title = given
        .or(written)
        .or(topic)
        .or_else(derived)
        .or_else(heading)
        .or_else(opening)
        .ok_or(PlanError::NothingToSay)?;
    Ok((shorten_title(&title), subtitle))
}

/// Words of a first sentence that is a title as a whole.
const MAX_OPENING_WORDS: usize = 12;

/// Returns the first words of a text, and an ellipsis where more follow.
fn shorten_to_words(text: &str) -> String {
    let sentence = sentences::split(&RichText::plain(text)).into_iter().next();
    let sentence = sentence.map_or_else(|| text.to_owned(), |piece| condense_plain(&piece.text.to_plain()));
    let words: Vec<&str> = sentence.split(' ').collect();
    if words.len() <= MAX_OPENING_WORDS {
        return sentence;
    }
    format!("{}…", words[..titles::MAX_WORDS].join(" ").trim_end_matches([',', ';', ':', '.']))
}

/// Divides the sections into passages, under their headings. A section without one has an empty heading.
fn divide_into_chapters(document: &Document, title: &str) -> Vec<Chapter> {
    let mut chapters: Vec<Chapter> = Vec::with_capacity(document.sections.len());
    for section in &document.sections {
        let heading = section.heading.clone();
        // What a section without text says, if it has nothing else.
        let mut passages = passages::divide(section.elements(), heading.as_deref().unwrap_or(title));
        if let (Some(words), Some(first)) = (&section.opening_words, passages.first_mut()) {
            first.say_first(words);
        }
        if section.speaker > 1 {
            let steps = passages.iter_mut().flat_map(|passage| &mut passage.steps);
            steps.for_each(|step| step.speaker = section.speaker);
        }
        let lead = section.lead.as_ref();
        let lead = lead.map(|(line, speaker)| Step { speaker: (*speaker).max(1), ..Step::new(line, vec![]) });
        let (written, heading) = (heading.is_some(), heading.unwrap_or_default());
        chapters.push(Chapter { written, heading, lead, passages });
    }
    if chapters.is_empty() {
        // The script is a title and nothing else: it is said once more.
        let passages = passages::divide(&[], title);
        chapters.push(Chapter { heading: String::new(), written: false, lead: None, passages });
    }
    chapters
}

/// Leaves out a first sentence that is the title, which the opening card says.
fn drop_repeated_title(chapters: &mut Vec<Chapter>, title: &str) {
    let passages = chapters.iter().map(|chapter| chapter.passages.len()).sum::<usize>();
    let Some(first) = chapters.first_mut().filter(|first| !first.written && passages > 1) else { return };
    let words = |text: &str| text.trim_end_matches(['.', '!', '?', ':', '…']).trim().to_lowercase();
    // A statement may be the first of several that belong together.
    let is_apart = |text: &RichText| {
        text.to_plain().ends_with(['?', '!']) || first.passages.get(1).is_none_or(|next| next.position == 0)
    };
    let is_title = first.passages.first().is_some_and(|passage| {
        passage.lone_text().is_some_and(is_apart)
            && passage.kind == Kind::Sentence
            && passage.lone_text().is_some_and(|text| words(&text.to_plain()) == words(title))
    });
    if is_title {
        first.passages.remove(0);
        if first.passages.is_empty() {
            chapters.remove(0);
        }
    }
}

/// Returns the heading of every page in order: the written one, the one its composition has, one made of the page's words,
/// or an empty one.
fn page_headings(chapters: &[Chapter], pages: &[Composed], title: &str) -> Vec<String> {
    let passages = |page: &Composed| &chapters[page.chapter].passages[page.passages.clone()];
    let texts: Vec<String> = pages.iter().map(|page| narration(passages(page))).collect();
    let derived = headings::derive(&texts, title);
    let given = |page: &Composed| {
        let written = chapters[page.chapter].written || page.has_own_heading;
        Some(&page.scene.title).filter(|_| written).cloned()
    };
    pages.iter().zip(derived).map(|(page, derived)| given(page).unwrap_or(derived)).collect()
}

fn narration(passages: &[Passage]) -> String {
    let lines = passages.iter().flat_map(|passage| &passage.steps).map(|step| step.narration.as_str());
    lines.collect::<Vec<_>>().join(" ")
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
pub(crate) fn content(heading: &str, passages: &[Passage]) -> Scene {
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

/// Says of each scene in which language it is spoken.
fn set_languages(scenes: &mut [Scene], script: &str) {
    let language = detect::of_script(script);
    for scene in scenes {
        let spoken: Vec<&str> = scene.steps.iter().map(|step| step.narration.as_str()).collect();
        scene.language = detect::of_part(&spoken.join(" "), language).to_owned();
    }
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
