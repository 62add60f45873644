//! Keeps a video within its bounds: merges small chapters, and chooses what to say when a script is longer than a
//! video may be.
//!
//! Merging comes first and loses nothing. If pages are still too few, some sentences become asides: they are spoken while the
//! previous content stays on the screen. If that is not enough either, every chapter keeps a share of its passages, the
//! highest-ranked ones ([`ranking`]).

use reel_scene::{Block, RichText, Span, SpanStyle, Step};

use crate::arrange::pace;
use crate::arrange::pages::{MAX_LINES, MAX_SPOKEN, paginate};
use crate::arrange::passages::{Kind, Passage};
use crate::arrange::ranking;
use crate::language::speech::speak_plain;

/// Most consecutive asides: a picture that stays for longer looks frozen.
const MAX_ASIDES: usize = 2;
/// Words that are spoken from a line that shows something to the next one, where that leaves enough room: 17 seconds.
const MAX_WORDS_WITHOUT_CHANGE: usize = 46;

/// A heading and its passages.
#[derive(Debug, Clone)]
pub(crate) struct Chapter {
    pub heading: String,
    /// Set when the heading is in the script, rather than derived from the text.
    pub written: bool,
    /// A line that is spoken before the passages, while nothing but the heading is shown.
    pub lead: Option<Step>,
    pub passages: Vec<Passage>,
}

/// Limits of a video.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    pub pages: usize,
    /// Lines of narration.
    pub lines: usize,
    /// Milliseconds of speech and pauses, if a duration was requested.
    pub ms: Option<u64>,
}

/// Returns chapters that fit, and the number of lines left out.
pub(crate) fn fit(chapters: Vec<Chapter>, room: Room) -> (Vec<Chapter>, usize) {
    let total = lines(&chapters);
    let preferences = ranking::by_preference(&chapters);
    let passages = preferences.iter().map(Vec::len).sum::<usize>();
    // The shortest selection that is too long: the voice can make up for a small difference.
    let mut too_long: Option<(u64, Vec<Chapter>, usize)> = None;
    for quota in (1..=passages.min(room.lines)).rev() {
        let selected = select(&chapters, &preferences, quota);
        let line_count = lines(&selected);
        if line_count > room.lines {
            continue;
        }
        let Some(fitting) = arrange(selected, room.pages) else { continue };
        let over = room.ms.map_or(0, |ms| duration_ms(&fitting).saturating_sub(ms));
        if over > 0 {
            too_long = Some((over, fitting, total - line_count));
            continue;
        }
        let under = room.ms.map_or(0, |ms| ms - duration_ms(&fitting));
        return match too_long {
            Some((over, longer, omitted)) if over < under => (longer, omitted),
            _ => (fitting, total - line_count),
        };
    }
    too_long.map_or((Vec::new(), total), |(_, shortest, omitted)| (shortest, omitted))
}

/// Estimates how long the chapters' pages take.
fn duration_ms(chapters: &[Chapter]) -> u64 {
    let speech_ms: u64 = chapters.iter().map(|chapter| pace::passages_ms(&chapter.passages)).sum();
    speech_ms + page_count(chapters) as u64 * pace::scene_overhead_ms()
}

fn lines(chapters: &[Chapter]) -> usize {
    let leads = chapters.iter().filter(|chapter| chapter.lead.is_some()).count();
    let passages = chapters.iter().flat_map(|chapter| &chapter.passages);
    passages.map(|passage| passage.steps.len()).sum::<usize>() + leads
}

fn page_count(chapters: &[Chapter]) -> usize {
    chapters.iter().map(|chapter| paginate(&chapter.passages).len()).sum()
}

/// Returns the chapters with as little merging as fits the pages or, failing that, with as few asides as possible; `None` when
/// nothing makes them fit.
fn arrange(chapters: Vec<Chapter>, max_pages: usize) -> Option<Vec<Chapter>> {
    let fits = |chapters: &Vec<Chapter>| page_count(chapters) <= max_pages;
    if fits(&chapters) {
        return Some(chapters);
    }
    if let Some(merged) = (2..=MAX_LINES).map(|limit| merge(&chapters, limit)).find(fits) {
        return Some(merged);
    }
    let preferences = ranking::by_preference(&chapters);
    let with_asides = |lines: usize, max_words: usize| -> Vec<Chapter> {
        let chapters = chapters.iter().zip(&preferences);
        chapters.map(|(chapter, order)| with_asides(chapter, order, lines, max_words)).collect()
    };
    // A picture that stays is better than a sentence left out.
    [MAX_WORDS_WITHOUT_CHANGE, usize::MAX]
        .into_iter()
        .flat_map(|max_words| (MAX_LINES + 1..=MAX_SPOKEN).map(move |lines| (lines, max_words)))
        .map(|(lines, max_words)| merge(&with_asides(lines, max_words), MAX_SPOKEN))
        .find(fits)
}

/// Turns the lowest-ranked sentences of a chapter into asides, so that a page with `lines` lines shows [`MAX_LINES`] of them.
/// The first passage never becomes an aside, and at most [`MAX_ASIDES`] follow each other, as long as no more than `max_words` are
/// spoken before something appears.
fn with_asides(chapter: &Chapter, order: &[usize], lines: usize, max_words: usize) -> Chapter {
    let mut chapter = chapter.clone();
    let passages = &mut chapter.passages;
    let shown = (passages.len() * MAX_LINES).div_ceil(lines);
    let mut missing_asides = passages.len() - shown;
    for index in order.iter().rev().copied() {
        let before = passages[..index].iter().rev().take_while(|passage| passage.is_aside()).count();
        let after = passages[index + 1..].iter().take_while(|passage| passage.is_aside()).count();
        // From the passage that is shown before them.
        let first = index.saturating_sub(before + 1);
        let words: usize = passages[first..=index + after].iter().map(Passage::spoken_words).sum();
        let is_divided =
            passages[index].continues || passages.get(index + 1).is_some_and(|next| next.continues);
        if missing_asides > 0
            && index > 0
            && before + after < MAX_ASIDES
            && words <= max_words
            && !is_divided
            && passages[index].can_be_aside()
        {
            passages[index].set_aside();
            missing_asides -= 1;
        }
    }
    chapter
}

/// Joins neighbours as long as they have at most `limit` passages together and fit a page.
fn merge(chapters: &[Chapter], limit: usize) -> Vec<Chapter> {
    let mut merged: Vec<Chapter> = Vec::new();
    for chapter in chapters {
        if let Some(last) = merged.last_mut()
            && last.passages.len() + chapter.passages.len() <= limit
        {
            let mut both = last.clone();
            both.passages.extend(run_in(chapter, &last.heading));
            if paginate(&both.passages).len() == 1 {
                *last = both;
                continue;
            }
        }
        merged.push(chapter.clone());
    }
    merged
}

/// Returns a chapter's passages for another heading's page, with its own heading, if any, as a line above them.
fn run_in(chapter: &Chapter, host: &str) -> Vec<Passage> {
    let mut passages = chapter.passages.clone();
    let Some(first) = passages.first_mut().filter(|_| chapter.written && chapter.heading != host) else {
        return passages;
    };
    let span = Span { text: chapter.heading.clone(), style: SpanStyle::Strong };
    let says_heading = first.kind == Kind::Bridge && first.blocks().is_empty() && first.listing.is_none();
    first.prepend(vec![Block::Paragraph { text: RichText(vec![span]) }]);
    if let Some(spoken) = speak_plain(&chapter.heading).filter(|_| !says_heading) {
        let step = &mut first.steps[0];
        // A run-in heading is said already.
        if !step.narration.starts_with(&spoken) {
            step.narration = format!("{spoken} {}", step.narration);
        }
    }
    passages
}

/// Keeps `quota` passages, shared among the chapters by their size.
fn select(chapters: &[Chapter], preferences: &[Vec<usize>], quota: usize) -> Vec<Chapter> {
    let sizes: Vec<usize> = preferences.iter().map(Vec::len).collect();
    let shares = shares(&sizes, quota);
    let selected = chapters.iter().zip(preferences).zip(shares).filter(|(_, share)| *share > 0);
    selected
        .map(|((chapter, order), share)| {
            let mut chosen = order[..share].to_vec();
            chosen.sort_unstable();
            let passages = chosen.into_iter().map(|index| chapter.passages[index].clone());
            Chapter {
                heading: chapter.heading.clone(),
                written: chapter.written,
                lead: chapter.lead.clone(),
                passages: passages.collect(),
            }
        })
        .collect()
}

/// Divides `quota` in proportion to the sizes; each gets at least 1 when there is enough for all.
fn shares(sizes: &[usize], quota: usize) -> Vec<usize> {
    let least = usize::from(sizes.len() <= quota);
    let quota = quota - least * sizes.len();
    let total: usize = sizes.iter().map(|size| size - least).sum();
    let mut seen = 0;
    let proportional = sizes.iter().map(|size| {
        let before = seen * quota / total.max(1);
        seen += size - least;
        least + seen * quota / total.max(1) - before
    });
    proportional.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrange::passages;
    use crate::read::markdown;

    fn chapters(script: &str) -> Vec<Chapter> {
        let document = markdown::read(script);
        let chapters = document.sections.into_iter().map(|section| {
            let heading = section.heading.clone().unwrap_or_else(|| "Heading".into());
            let passages = passages::divide(section.elements(), &heading);
            Chapter { heading, written: true, lead: None, passages }
        });
        chapters.collect()
    }

    #[test]
    fn what_fits_is_left_alone() {
        let (fitting, omitted) =
            fit(chapters("## A\n\nOne. Two.\n\n## B\n\nThree."), Room { pages: 2, lines: 160, ms: None });
        assert_eq!((fitting.len(), omitted), (2, 0));
    }

    #[test]
    fn small_chapters_are_merged_before_anything_is_left_out() {
        let (fitting, omitted) = fit(
            chapters("## A\n\nOne.\n\n## B\n\nTwo.\n\n## C\n\nThree."),
            Room { pages: 2, lines: 160, ms: None },
        );
        assert_eq!((fitting.len(), omitted), (2, 0));
        assert_eq!(fitting[0].passages[1].steps[0].narration, "B. Two.");
        assert_eq!(fitting[0].passages[1].blocks().len(), 2);
    }

    #[test]
    fn first_sentences_and_items_are_kept_before_others() {
        let script =
            "## A\n\nRain feeds rivers. So it is. Indeed.\n\nSun dries rivers. So it is.\n\n- rivers flow";
        let (fitting, omitted) = fit(chapters(script), Room { pages: 5, lines: 3, ms: None });
        let lines: Vec<&str> =
            fitting[0].passages.iter().map(|passage| passage.steps[0].narration.as_str()).collect();
        assert_eq!(lines, ["Rain feeds rivers.", "Sun dries rivers.", "rivers flow."]);
        assert_eq!(omitted, 3);
    }

    #[test]
    fn sentences_are_spoken_only_rather_than_left_out() {
        let script = format!("## A\n\n{}", "Rain feeds the river. It runs on. ".repeat(7).trim());
        let (fitting, omitted) = fit(chapters(&script), Room { pages: 2, lines: 160, ms: None });
        assert_eq!(omitted, 0);
        assert_eq!(page_count(&fitting), 2);
        let passages = &fitting[0].passages;
        let asides: Vec<&str> = passages
            .iter()
            .filter(|passage| passage.is_aside())
            .map(|passage| passage.steps[0].narration.as_str())
            .collect();
        assert_eq!(asides, ["It runs on."; 4]);
        let (_, omitted) = fit(chapters(&script), Room { pages: 1, lines: 160, ms: None });
        assert!((4..=6).contains(&omitted), "{omitted}: a page speaks ten sentences at most");
    }

    /// Nothing on the page would change for half a minute.
    #[test]
    fn long_sentences_do_not_become_asides_beside_each_other() {
        let long = |number: usize| {
            format!("Sentence {number} has {} at its end.", "very many words ".repeat(4).trim())
        };
        let script = format!("## A\n\n{}", (0..14).map(long).collect::<Vec<_>>().join(" "));
        let (fitting, omitted) = fit(chapters(&script), Room { pages: 2, lines: 160, ms: None });
        assert_eq!(omitted, 0);
        let passages = &fitting[0].passages;
        assert!(passages.iter().any(Passage::is_aside), "there is no room without asides");
        assert!(passages.windows(2).all(|pair| !(pair[0].is_aside() && pair[1].is_aside())));
    }

    #[test]
    fn shares_are_proportional_and_use_the_whole_quota() {
        assert_eq!(shares(&[10, 10], 6), [3, 3]);
        assert_eq!(shares(&[1, 19], 10), [1, 9]);
        let scarce = shares(&[1; 100], 10);
        assert_eq!(scarce.iter().sum::<usize>(), 10);
        assert_eq!(scarce.iter().max(), Some(&1));
    }
}
