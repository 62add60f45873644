//! The opening and the closing card.
//!
//! Both take their words out of the script: no other scene repeats them.

use reel_scene::{Block, Layout, Reveal, RichText, Scene, SpanStyle, Step};

use crate::arrange::budget::Chapter;
use crate::arrange::passages::{Kind, Passage};
use crate::arrange::tables::join;
use crate::compose;
use crate::language::sentences;
use crate::language::sequence;
use crate::language::speakers::speaker;
use crate::language::speech::{speak, speak_plain};
use crate::language::width::columns;

/// A single sentence up to this width serves as a subtitle: two lines in its size.
const MAX_SUBTITLE_COLUMNS: usize = 100;
/// A text up to this width serves as a card's large text: four lines in its size.
const MAX_LARGE_COLUMNS: usize = 140;
/// Two sentences up to this width go on a card together: three lines in a subtitle's size.
const MAX_PAIR_COLUMNS: usize = 170;

/// Makes the opening card: the title, then the subtitle, each a line.
pub(crate) fn opening(title: &str, subtitle: Vec<RichText>) -> Scene {
    card(Layout::Title, title, subtitle)
}

/// Takes the subtitle out of the introduction: all of a very short one, or a short first sentence.
pub(crate) fn take_subtitle(introduction: &mut Chapter) -> Vec<RichText> {
    let lone = introduction.passages.iter().take_while(|passage| is_lone_sentence(passage)).count();
    let all = introduction.passages.len();
    let width = |count: usize| introduction.passages[..count].iter().map(width).sum::<usize>();
    let count = match lone {
        1 | 2 if lone == all && width(lone) <= MAX_PAIR_COLUMNS => lone,
        // A single sentence left behind would make a poor scene, and a sequence has a picture of its own.
        3.. if is_sequence(&introduction.passages[0]) => 0,
        3.. if width(1) <= MAX_SUBTITLE_COLUMNS && !introduction.passages[1].continues => 1,
        _ => 0,
    };
    introduction.passages.drain(..count).filter_map(|passage| passage.lone_text().cloned()).collect()
}

fn is_sequence(passage: &Passage) -> bool {
    passage.lone_text().is_some_and(|text| sequence::read(&text.to_plain()).is_some())
}

/// Takes the closing card's text out of the last chapter: the quotation or the sentence it ends with.
///
/// A script that ends with a list, a table or a listing keeps it whole; its card recalls the written
/// headings, or else the title.
pub(crate) fn take_closing(chapters: &mut Vec<Chapter>, title: &str) -> Scene {
    let said = chapters.iter().map(|chapter| chapter.passages.len()).sum::<usize>();
    let last = chapters.last_mut().filter(|_| said > 1);
    let count = last.as_ref().map_or(0, |last| {
        let count = closing_passages(&last.passages, said);
        match compose::structured_end(last) {
            // A label with its items, and a quotation with its speaker, are pictures alone.
            1 => 0,
            _ if last.passages.last().is_some_and(has_speaker) => 0,
            structured if structured > count => 0,
            _ => count,
        }
    });
    let Some(last) = last.filter(|_| count > 0) else { return recollection(chapters, title) };
    let passages = last.passages.split_off(last.passages.len() - count);
    let texts: Vec<RichText> = passages.iter().filter_map(Passage::lone_text).cloned().collect();
    let heading = last.heading.clone();
    let emptied = last.passages.is_empty();
    let orphaned =
        emptied && last.written && chapters.iter().filter(|other| other.heading == heading).count() == 1;
    if emptied {
        chapters.pop();
    }
    if orphaned {
        return card(Layout::Closing, &heading, texts);
    }
    quotation(texts, title)
}

/// Returns `true` for a quotation that says whose it is.
fn has_speaker(passage: &Passage) -> bool {
    let text = passage.lone_text().filter(|_| passage.kind == Kind::Quote);
    text.is_some_and(|text| !compose::attributed(text).1.is_empty())
}

/// Counts the last passages that the closing card takes.
fn closing_passages(passages: &[Passage], said: usize) -> usize {
    // A card says what it shows, in the video's voice.
    let is_ours =
        |passage: &Passage| !passage.has_opening && passage.steps.iter().all(|step| step.speaker == 1);
    let closing = |last: &&Passage| !last.continues && is_ours(last) && last.lone_text().is_some_and(closes);
    let Some(last) = passages.last().filter(closing) else {
        return 0;
    };
    let pair = passages.len().checked_sub(2).map(|first| &passages[first..]).filter(|pair| {
        pair[1].position == 1
            && pair[0].kind == last.kind
            && pair[0].position == 0
            && pair.iter().all(|passage| passage.lone_text().is_some_and(closes) && is_ours(passage))
            && pair.iter().map(width).sum::<usize>() <= MAX_PAIR_COLUMNS
    });
    match last.kind {
        Kind::Sentence | Kind::Quote if pair.is_some() && said > 2 => 2,
        Kind::Sentence | Kind::Quote => 1,
        _ => 0,
    }
}

/// Returns `true` for a text that can stand alone at the end: no command, nobody's quoted words, and nothing that is the end of a sentence.
fn closes(text: &RichText) -> bool {
    let plain = text.to_plain();
    let has_code = text.0.iter().any(|span| span.style == SpanStyle::Code);
    let goes_on = ["which ", "who ", "where ", "so that "].iter().any(|word| plain.starts_with(word));
    // Somebody's words, and who says them.
    let is_told = plain.starts_with(['"', '“', '„', '«'])
        && !plain.trim_end_matches('.').ends_with(['"', '”', '“', '»']);
    !has_code && !goes_on && !is_told && speaker(&plain).is_none()
}

/// Makes a card with the first sentence large, and what follows it below.
fn quotation(mut texts: Vec<RichText>, title: &str) -> Scene {
    let mut sentences: Vec<RichText> =
        texts.first().map(sentences::split).unwrap_or_default().into_iter().map(|piece| piece.text).collect();
    let first = sentences.first().map(RichText::to_plain).unwrap_or_default();
    if columns(&first) > MAX_LARGE_COLUMNS || speak_plain(&first).is_none() {
        return silent_title(Layout::Closing, title, texts);
    }
    let rest = join(&sentences.split_off(1), " ");
    texts[0] = rest;
    texts.retain(|text| !text.0.is_empty());
    card(Layout::Closing, &first, texts)
}

/// Makes a card with the title again, and the headings that led through the video.
fn recollection(chapters: &[Chapter], title: &str) -> Scene {
    /// More do not fit the card.
    const MAX_HEADINGS: usize = 6;
    let mut headings: Vec<&str> = Vec::new();
    // Questions of a dialogue lead nowhere without their answers.
    let is_recalled =
        |chapter: &&Chapter| chapter.written && chapter.lead.is_none() && chapter.heading != title;
    for chapter in chapters.iter().filter(is_recalled) {
        if !headings.contains(&chapter.heading.as_str()) {
            headings.push(&chapter.heading);
        }
        if headings.len() > MAX_HEADINGS {
            break;
        }
    }
    if !(2..=MAX_HEADINGS).contains(&headings.len()) {
        return card(Layout::Closing, title, Vec::new());
    }
    silent_title(Layout::Closing, title, headings.into_iter().map(RichText::plain).collect())
}

/// Makes a card whose title is spoken first.
fn card(layout: Layout, title: &str, below: Vec<RichText>) -> Scene {
    let mut scene = silent_title(layout, title, below);
    if let Some(narration) = speak_plain(title) {
        scene.steps.insert(0, Step::new(narration, Vec::new()));
    }
    scene
}

/// Makes a card that speaks only what stands below its title.
fn silent_title(layout: Layout, title: &str, below: Vec<RichText>) -> Scene {
    let mut scene = Scene { layout, title: title.to_owned(), ..Scene::default() };
    for text in below {
        let reveal = Reveal { block: scene.blocks.len(), part: None };
        match (speak(&text), scene.steps.last_mut()) {
            (Some(narration), _) => scene.steps.push(Step::new(narration, vec![reveal])),
            (None, Some(last)) => last.reveals.push(reveal),
            (None, None) => continue,
        }
        scene.blocks.push(Block::Paragraph { text });
    }
    scene
}

fn is_lone_sentence(passage: &Passage) -> bool {
    passage.kind == Kind::Sentence && passage.lone_text().is_some() && !passage.has_opening
}

fn width(passage: &Passage) -> usize {
    passage.lone_text().map_or(0, |text| columns(&text.to_plain()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrange::passages;
    use crate::read::markdown;

    fn chapters(script: &str) -> Vec<Chapter> {
        let sections = markdown::read(script).sections.into_iter();
        let chapters = sections.map(|section| {
            let heading = section.heading.clone().unwrap_or_else(|| "Title".into());
            let passages = passages::divide(section.elements(), &heading);
            Chapter { heading, written: section.heading.is_some(), lead: None, passages }
        });
        chapters.collect()
    }

    fn closing(script: &str) -> (String, Vec<String>) {
        let scene = take_closing(&mut chapters(script), "Title");
        (scene.title, scene.steps.into_iter().map(|step| step.narration).collect())
    }

    #[test]
    fn the_closing_card_takes_the_end_of_the_script() {
        assert_eq!(closing("## A\n\nOne.\n\n> Two. Three. Four.").0, "Two.");
        assert_eq!(closing("## A\n\nOne.\n\n> Two. Three. Four.").1, ["Two.", "Three. Four."]);
        assert_eq!(closing("## A\n\nOne. Two. Three.").1, ["Three."]);
        assert_eq!(closing("## A\n\nOne.\n\nTwo. Three.").1, ["Two.", "Three."]);
        assert_eq!(closing("## A\n\nOne.\n\n## B\n\nTwo."), ("B".into(), vec!["B.".into(), "Two.".into()]));
    }

    #[test]
    fn a_script_that_ends_with_a_list_is_closed_by_its_headings() {
        let script = "## A\n\nOne.\n\n## B\n\n- two\n- three";
        assert_eq!(closing(script), ("Title".into(), vec!["A.".into(), "B.".into()]));
        assert_eq!(closing("- one\n- two").1, ["Title."]);
    }

    #[test]
    fn a_short_first_sentence_becomes_the_subtitle_and_is_not_repeated() {
        let mut introduction = chapters("One. Two. Three.\n\n## A\n\nFour.").remove(0);
        let subtitle = take_subtitle(&mut introduction);
        assert_eq!(subtitle, [RichText::plain("One.")]);
        assert_eq!(introduction.passages.len(), 2);
    }
}
