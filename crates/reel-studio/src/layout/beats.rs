//! Splits steps into beats, so that what a line names appears with its word. A beat is a part of a step, from one word at which
//! something appears to the next.
//!
//! Where a step is split depends on the texts alone; when each beat begins depends on the times of the words. So pages can be
//! written before a line is spoken.

use reel_scene::timing::LEAD_IN_MS;
use reel_scene::{Block, Entrance, Layout, Reveal, Scene, SceneTimeline, Step, StepTiming, diagram};

use crate::speak::words::words;

/// How long before its word something begins to appear, because its entrance takes time.
const AHEAD_MS: u64 = 50;
/// Most beats of a step. What would appear later appears with the last one.
const MAX_BEATS: usize = 16;
/// Shortest beginning that two forms of a word share, and most letters in which their ends differ.
const MIN_STEM: usize = 4;
const MAX_ENDING: usize = 3;
/// Letters of the longest word that says nothing by itself, such as `the`.
const MAX_EMPTY_WORD: usize = 3;

/// A part of a step.
struct Beat {
    /// Index of its first byte in the narration; 0 for the first beat.
    offset: usize,
    /// Never empty, except in the first beat.
    reveals: Vec<Reveal>,
}

/// Returns the scene with a step for each beat. The narrations of a step's beats together are the step's.
pub fn split_steps(scene: &Scene) -> Scene {
    let mut steps = Vec::with_capacity(scene.steps.len());
    for (index, step) in scene.steps.iter().enumerate() {
        let beats = beats(scene, index);
        let ends = beats.iter().skip(1).map(|beat| beat.offset).chain([step.narration.len()]);
        let beats = beats.iter().zip(ends).map(|(beat, end)| Step {
            narration: step.narration[beat.offset..end].to_owned(),
            reveals: beat.reveals.clone(),
            enter: step.enter,
            speaker: step.speaker,
        });
        steps.extend(beats);
    }
    Scene { steps, ..scene.clone() }
}

/// Returns the timeline with a step for each beat, as [`split_steps`] returns the scene. Without the times of words, a beat begins
/// where its share of the text does.
pub fn split_timeline(scene: &Scene, timeline: &SceneTimeline) -> SceneTimeline {
    let mut steps = Vec::with_capacity(timeline.steps.len());
    for (index, timing) in timeline.steps.iter().enumerate() {
        let beats = if index < scene.steps.len() { beats(scene, index) } else { vec![] };
        let narration = scene.steps.get(index).map_or("", |step| &step.narration);
        let lead_in_ms = if index == 0 { LEAD_IN_MS } else { 0 };
        let frame_of = |beat: &Beat| {
            let ms = lead_in_ms + word_ms(timing, beat.offset, narration.len());
            (ms.saturating_sub(AHEAD_MS) * u64::from(timeline.fps) / 1000) as u32
        };
        // Each beat has a frame at least, as long as there are enough.
        let count = beats.len().max(1) as u32;
        let mut starts = vec![0];
        for (number, beat) in (1..).zip(beats.iter().skip(1)) {
            let latest = timing.frames.saturating_sub(count - number);
            let earliest = starts.last().map_or(0, |start| start + 1);
            starts.push(frame_of(beat).max(earliest).min(latest));
        }
        let ends = starts.iter().skip(1).copied().chain([timing.frames]);
        steps.extend(starts.iter().zip(ends).map(|(start, end)| StepTiming {
            start_frame: timing.start_frame + start,
            frames: end.saturating_sub(*start),
            speech_ms: timing.speech_ms,
            words: vec![],
        }));
    }
    SceneTimeline { steps, ..*timeline }
}

/// Returns when the word at `offset` begins, in milliseconds of the speech.
fn word_ms(timing: &StepTiming, offset: usize, length: usize) -> u64 {
    match timing.words.iter().rev().find(|word| word.offset as usize <= offset) {
        Some(word) => u64::from(word.start_ms),
        None => u64::from(timing.speech_ms) * offset as u64 / length.max(1) as u64,
    }
}

/// Divides a step into beats; the first one is at its beginning.
fn beats(scene: &Scene, step: usize) -> Vec<Beat> {
    let Step { narration, reveals, enter, .. } = &scene.steps[step];
    let whole = vec![Beat { offset: 0, reveals: reveals.clone() }];
    let block = |reveal: &Reveal| scene.blocks.get(reveal.block);
    // A formula morphs from the one before it, which must stand on the page before it.
    let morphs = |reveal: &Reveal| enter.or(block(reveal).map(Block::entrance)) == Some(Entrance::Morph);
    if scene.layout != Layout::Content || reveals.iter().any(morphs) {
        return whole;
    }
    let line = Text::new(narration);
    let mut offsets: Vec<usize> = vec![];
    let mut next_word = 0;
    for reveal in reveals {
        let name = block(reveal).and_then(|block| spoken_name(block, reveal.part));
        let word = name.and_then(|name| line.find(&Text::new(&name), next_word));
        // A part that the line does not name appears together with the part before it.
        let before = offsets.last().copied().unwrap_or(0);
        next_word = word.map_or(next_word, |word| word + 1);
        offsets.push(word.map_or(before, |word| if word == 0 { 0 } else { line.offsets[word] }));
    }
    // A scene without a heading does not begin with an empty page.
    let first = offsets.iter().copied().min().unwrap_or(0);
    if step == 0 && scene.title.is_empty() {
        offsets.iter_mut().filter(|offset| **offset == first).for_each(|offset| *offset = 0);
    }
    // Strong words are highlighted as they are spoken.
    let mut reveals = reveals.clone();
    for at in 0..reveals.len() {
        let reveal = reveals[at];
        // A description may reveal the same block hundreds of times.
        if reveals[..at].contains(&reveal) {
            continue;
        }
        let mut next_word = 0;
        for (name, mark) in block(&reveal).map(|block| marks(block, reveal)).unwrap_or_default() {
            if let Some(word) = line.find(&Text::new(name), next_word) {
                next_word = word + 1;
                reveals.push(mark);
                offsets.push(if word == 0 { 0 } else { line.offsets[word].max(offsets[at]) });
            }
        }
    }
    let mut distinct: Vec<usize> = offsets.iter().copied().filter(|offset| *offset > 0).collect();
    distinct.sort_unstable();
    distinct.dedup();
    distinct.truncate(MAX_BEATS - 1);
    let mut beats = vec![Beat { offset: 0, reveals: vec![] }];
    beats.extend(distinct.into_iter().map(|offset| Beat { offset, reveals: vec![] }));
    for (reveal, offset) in reveals.into_iter().zip(offsets) {
        let at = beats.partition_point(|beat| beat.offset <= offset).saturating_sub(1);
        beats[at].reveals.push(reveal);
    }
    beats
}

/// Returns the strong words of what appears, and for each the reveal that highlights it. They count as parts after those that the
/// block has.
fn marks(block: &Block, reveal: Reveal) -> Vec<(&str, Reveal)> {
    let parts = block.parts().unwrap_or(0);
    let words = strong_words(block).into_iter().enumerate();
    let own = words.filter(|(_, (part, _))| *part == reveal.part);
    own.map(|(number, (_, word))| (word, Reveal { part: Some(parts + number), ..reveal })).collect()
}

/// Returns the strong words that a block can highlight, each with the part it is in; `None` where the block appears as a whole.
pub(super) fn strong_words(block: &Block) -> Vec<(Option<usize>, &str)> {
    match block {
        Block::Statement { text, .. }
        | Block::Paragraph { text }
        | Block::Bullet { text }
        | Block::Numbered { text, .. }
        | Block::Quote { text, .. }
        | Block::Definition { text, .. } => text.strong().map(|word| (None, word)).collect(),
        Block::Items { items, .. } => {
            let items = items.iter().enumerate();
            items.flat_map(|(part, item)| item.text.strong().map(move |word| (Some(part), word))).collect()
        }
        _ => vec![],
    }
}

/// Returns the name by which a line may call what appears; `None` for what has none, such as a picture, and for what shows the
/// whole line, such as a paragraph.
fn spoken_name(block: &Block, part: Option<usize>) -> Option<String> {
    let number = |value: f64, decimals: u8| format!("{value:.*}", usize::from(decimals));
    match (block, part) {
        (Block::Bullet { text } | Block::Numbered { text, .. }, None) => Some(text.to_plain()),
        (Block::Definition { term, .. }, None) => Some(term.clone()),
        (
            Block::Counter { value, decimals, .. }
            | Block::Proportion { value, decimals, .. }
            | Block::Gauge { value, decimals, .. },
            None,
        ) => Some(number(value.get(), *decimals)),
        (Block::Table { rows, .. }, Some(part)) => Some(rows.get(part)?.first()?.to_plain()),
        (Block::Bars { rows, .. }, Some(part)) => Some(rows.get(part)?.title.clone()),
        (Block::Flow { nodes, .. }, Some(part)) => nodes.get(part).cloned(),
        (Block::Comparison { left, right }, Some(part)) => {
            [left, right].get(part).map(|side| side.title.clone())
        }
        (Block::Diagram { language, source }, Some(part)) => {
            diagram::read(*language, source)?.names().get(part).cloned()
        }
        (Block::Items { items, .. }, Some(part)) => items.get(part).map(|item| match item.title.is_empty() {
            true => item.text.to_plain(),
            false => item.title.clone(),
        }),
        (Block::Timeline { .. } | Block::Quadrant { .. }, Some(part)) => {
            diagram::block_names(block).get(part).cloned()
        }
        _ => None,
    }
}

/// The words of a text, as they are compared: letters and digits, in lower case.
struct Text {
    words: Vec<String>,
    /// Index of each word's first byte.
    offsets: Vec<usize>,
}

impl Text {
    fn new(text: &str) -> Self {
        let ranges = words(text);
        let plain =
            |word: &str| word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
        Self {
            words: ranges.iter().map(|word| plain(&text[word.clone()])).collect(),
            offsets: ranges.iter().map(|word| word.start).collect(),
        }
    }

    /// Returns the word at which the text says a name, from word `from` on, or else before it: all of its words in a row, or the
    /// first telling one, if at least half of them follow.
    fn find(&self, name: &Self, from: usize) -> Option<usize> {
        if name.words.is_empty() {
            return None;
        }
        let order = (from..self.words.len()).chain(0..from.min(self.words.len()));
        let says_all = |at: &usize| {
            let said = self.words.get(*at..*at + name.words.len());
            said.is_some_and(|said| said.iter().zip(&name.words).all(|(a, b)| is_same(a, b)))
        };
        if let Some(at) = order.clone().find(says_all) {
            return Some(at);
        }
        let telling: Vec<&String> =
            name.words.iter().filter(|word| word.chars().count() > MAX_EMPTY_WORD).collect();
        let says_half = |at: &usize| {
            // The first word is looked for alone: a line may have hundreds, and a name, too.
            if !telling.first().is_some_and(|first| is_same(&self.words[*at], first)) {
                return false;
            }
            let near = &self.words[*at..(*at + 2 * name.words.len() + 2).min(self.words.len())];
            let said = telling.iter().filter(|word| near.iter().any(|near| is_same(near, word))).count();
            said * 2 >= telling.len()
        };
        order.clone().find(says_half)
    }
}

/// Compares two words, regardless of their endings.
fn is_same(a: &str, b: &str) -> bool {
    if a == b {
        return !a.is_empty();
    }
    let shared = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count();
    let ending = |word: &str| word.chars().count() - shared;
    shared >= MIN_STEM
        && ending(a) <= MAX_ENDING
        && ending(b) <= MAX_ENDING
        && !a.contains(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use reel_scene::{Arrangement, Item, RichText, Span, SpanStyle, WordTime};

    fn items(titles: &[&str]) -> Block {
        let item = |title: &&str| Item { title: (*title).to_owned(), ..Item::default() };
        Block::Items {
            arrangement: Arrangement::Cards,
            items: titles.iter().map(item).collect(),
            center: None,
        }
    }

    fn all_parts(block: &Block) -> Vec<Reveal> {
        (0..block.parts().unwrap()).map(|part| Reveal { block: 0, part: Some(part) }).collect()
    }

    fn scene(title: &str, line: &str, block: Block) -> Scene {
        let steps = vec![Step::new(line, all_parts(&block)), Step::new("And that is all.", vec![])];
        Scene { title: title.into(), blocks: vec![block], steps, ..Scene::default() }
    }

    fn split(scene: &Scene) -> Vec<(String, Vec<usize>)> {
        let parts = |step: &Step| step.reveals.iter().filter_map(|reveal| reveal.part).collect();
        let steps = split_steps(scene).steps;
        steps.iter().map(|step| (step.narration.clone(), parts(step))).collect()
    }

    #[test]
    fn strong_words_of_a_statement_are_highlighted_as_they_are_spoken() {
        let statement = |markup: &[(&str, bool)]| {
            let spans = markup.iter().map(|(text, is_strong)| {
                let style = if *is_strong { SpanStyle::Strong } else { SpanStyle::Plain };
                Span { text: (*text).to_owned(), style }
            });
            Block::Statement { text: RichText(spans.collect()), icons: vec![] }
        };
        let block = statement(&[
            ("Light", true),
            (" takes ", false),
            ("eight minutes", true),
            (" from the ", false),
            ("Moon", true),
        ]);
        let steps = vec![
            Step::new("Light takes eight minutes from the Sun.", vec![Reveal { block: 0, part: None }]),
            Step::new("Eight minutes!", vec![]),
        ];
        let scene = Scene { title: "Light".into(), blocks: vec![block], steps, ..Scene::default() };
        let found: Vec<_> =
            split_steps(&scene).steps.into_iter().map(|step| (step.narration, step.reveals)).collect();
        let reveal = |part| Reveal { block: 0, part };
        // The line does not say "Moon", so that word has no highlight.
        let expected = [
            ("Light takes ", vec![reveal(None), reveal(Some(0))]),
            ("eight minutes from the Sun.", vec![reveal(Some(1))]),
            ("Eight minutes!", vec![]),
        ];
        assert_eq!(found, expected.map(|(line, reveals)| (line.to_owned(), reveals)));
    }

    #[test]
    fn as_many_strong_words_as_a_description_has_are_found() {
        let text = |word: usize| format!("word{word} ");
        let spans = (0..400).map(|word| Span { text: text(word), style: SpanStyle::Strong });
        let block = Block::Statement { text: RichText(spans.collect()), icons: vec![] };
        // As many as a description may have. The line says half of them.
        let line: String = (200..400).map(text).collect();
        let steps = vec![Step::new(line, vec![Reveal { block: 0, part: None }; 500])];
        let scene = Scene { title: "Words".into(), blocks: vec![block], steps, ..Scene::default() };
        let steps = split_steps(&scene).steps;
        assert_eq!(steps.len(), MAX_BEATS);
        assert_eq!(steps.iter().map(|step| step.reveals.len()).sum::<usize>(), 500 + 200);
    }

    #[test]
    fn strong_words_of_an_item_are_highlighted_after_it_has_appeared() {
        let item = |spans: &[(&str, SpanStyle)]| {
            let spans = spans.iter().map(|(text, style)| Span { text: (*text).to_owned(), style: *style });
            Item { text: RichText(spans.collect()), ..Item::default() }
        };
        let items = vec![
            item(&[("A rocket as tall as ", SpanStyle::Plain), ("36 floors", SpanStyle::Strong)]),
            item(&[("Three", SpanStyle::Strong), (" men sat in it", SpanStyle::Plain)]),
        ];
        let block = Block::Items { arrangement: Arrangement::Cards, items, center: None };
        let found =
            split(&scene("Apollo", "A rocket as tall as 36 floors stood there. Three men sat in it.", block));
        let expected = [
            ("A rocket as tall as ", vec![0]),
            ("36 floors stood there. ", vec![2]),
            ("Three men sat in it.", vec![1, 3]),
            ("And that is all.", vec![]),
        ];
        assert_eq!(found, expected.map(|(line, parts)| (line.to_owned(), parts)));
    }

    #[test]
    fn each_item_appears_with_its_word() {
        let block = items(&["Solar", "Wind power", "Water"]);
        let found =
            split(&scene("Power", "It comes from solar cells, from wind, and from water.", block.clone()));
        let expected = [
            ("It comes from ", vec![]),
            ("solar cells, from ", vec![0]),
            ("wind, and from ", vec![1]),
            ("water.", vec![2]),
            ("And that is all.", vec![]),
        ];
        assert_eq!(found, expected.map(|(line, parts)| (line.to_owned(), parts)));
        let found = split(&scene("", "It comes from solar cells, from wind, and from water.", block.clone()));
        assert_eq!(found[0], ("It comes from solar cells, from ".to_owned(), vec![0]), "not an empty page");
        // The second part is not named, so it appears with the first. Parts may be named in any order.
        let found = split(&scene("Power", "Water and the sun.", block));
        assert_eq!(found[0], ("Water and the sun.".to_owned(), vec![0, 1, 2]));
    }

    #[test]
    fn beats_begin_with_their_words() {
        let scene = scene(
            "Power",
            "It comes from solar cells, from wind, and from water.",
            items(&["Solar", "Wind", "Water"]),
        );
        let spoken = crate::speak::words::words(&scene.steps[0].narration);
        let words =
            (0..).zip(&spoken).map(|(number, word)| WordTime::from((word.start as u32, number * 333)));
        let timing = |start_frame, frames, words| StepTiming { start_frame, frames, speech_ms: 3300, words };
        let steps = vec![timing(0, 130, words.collect()), timing(130, 50, vec![])];
        let timeline = SceneTimeline { fps: 30, frames: 180, steps };
        let split = split_timeline(&scene, &timeline);
        assert_eq!(split.steps.len(), split_steps(&scene).steps.len());
        assert_eq!(split.steps.iter().map(|step| step.frames).sum::<u32>(), 180);
        for (step, word) in split.steps[1..4].iter().zip([3, 6, 9]) {
            let (begins_ms, word_ms) = (step.start_frame * 1000 / 30, 400 + word * 333);
            assert!(begins_ms <= word_ms && word_ms - begins_ms <= 100, "{begins_ms} {word_ms}");
        }
        assert_eq!(split.steps[4].start_frame, 130);
        let short = SceneTimeline { fps: 30, frames: 2, steps: vec![timing(0, 2, vec![])] };
        let split = split_timeline(&scene, &short);
        assert_eq!(split.steps.iter().map(|step| step.frames).sum::<u32>(), 2);
    }

    #[test]
    fn a_paragraph_and_a_picture_stay_with_their_line() {
        let text = RichText::plain("The cathode is the positive side.");
        let mut scene = scene("A", "In short, the cathode is the positive side.", items(&["x", "y"]));
        scene.blocks[0] = Block::Paragraph { text: text.clone() };
        scene.steps[0].reveals = vec![Reveal { block: 0, part: None }];
        assert_eq!(split_steps(&scene), scene);
        scene.blocks[0] = Block::Bullet { text };
        assert_eq!(split_steps(&scene).steps[1].narration, "the cathode is the positive side.");
        scene.layout = Layout::Closing;
        assert_eq!(split_steps(&scene), scene);
    }
}
