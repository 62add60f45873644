//! Completes the chosen pages: adds icons, and marks the numbers of large sentences.

use std::ops::Range;

use reel_icons::Chooser;
use reel_scene::{Arrangement, Block, Layout, Reveal, RichText, Scene, Span, SpanStyle, Step};

use crate::language::quantities::quantities;
use crate::language::sentences::slices;
use crate::language::width::is_emoji;

/// Gives the title card, statements and the items of pages their icons. A concept keeps its icon through the video.
pub(crate) fn choose_icons(scenes: &mut [Scene], script: &str) {
    let mut chooser = Chooser::new(script);
    for scene in scenes.iter_mut() {
        if scene.layout == Layout::Title {
            scene.icon = chooser.choose_for_title(&scene.title).unwrap_or_default();
        }
        let steps = &scene.steps;
        for (index, block) in scene.blocks.iter_mut().enumerate() {
            give_icons(block, |part| spoken_with(steps, index, part), &mut chooser);
        }
    }
}

/// Returns the line with which a part of a block appears.
fn spoken_with(steps: &[Step], block: usize, part: usize) -> Option<String> {
    let shows = |step: &&Step| step.reveals.contains(&Reveal { block, part: Some(part) });
    steps.iter().find(shows).map(|step| step.narration.clone())
}

/// Gives the parts of a block their icons: by the title of a part or, without one, by the line that `spoken` returns for it, of
/// which the part may show only the beginning.
fn give_icons(block: &mut Block, spoken: impl Fn(usize) -> Option<String>, chooser: &mut Chooser) {
    match block {
        Block::Statement { text, icons } => icons.extend(chooser.choose(&text.to_plain())),
        // Steps have their numbers.
        Block::Items { items, .. } if items.iter().any(|item| !item.icon.is_empty()) => {}
        Block::Items { arrangement, items, center } if shows_icons(*arrangement) => {
            let center_text = center.as_ref().map(|center| center.title.clone());
            let phrases: Vec<String> = items
                .iter()
                .enumerate()
                .map(|(part, item)| match (item.title.is_empty(), &*arrangement) {
                    (true, Arrangement::Notes | Arrangement::Cards) => {
                        spoken(part).unwrap_or_else(|| item.text.to_plain())
                    }
                    // A date says nothing.
                    (true, _) | (false, Arrangement::Dates) => item.text.to_plain(),
                    (false, _) => item.title.clone(),
                })
                .chain(center_text)
                .collect();
            let phrases: Vec<&str> = phrases.iter().map(String::as_str).collect();
            // Items that bring their own picture.
            if phrases.iter().any(|phrase| phrase.starts_with(is_emoji)) {
                return;
            }
            let chosen = chooser.choose_many(&phrases);
            // One without an icon among others that have theirs looks like a mistake.
            if chosen[..items.len()].contains(&None) {
                return;
            }
            let places = items.iter_mut().chain(center.as_mut());
            places.zip(chosen).for_each(|(item, icon)| item.icon = icon.unwrap_or_default());
        }
        _ => {}
    }
}

/// Gives pages that have nothing but a heading the look of a chapter.
pub(crate) fn set_lone_headings(scenes: &mut [Scene]) {
    for scene in scenes {
        if scene.layout == Layout::Content && scene.blocks.is_empty() && !scene.title.is_empty() {
            scene.layout = Layout::Section;
        }
    }
}

/// Returns `true` for arrangements that have room for icons.
fn shows_icons(arrangement: Arrangement) -> bool {
    !matches!(
        arrangement,
        Arrangement::Funnel | Arrangement::Pyramid | Arrangement::Ranking | Arrangement::Tree
    )
}

/// Marks the numbers of statements and sentences in lists, so that they are seen first.
pub(crate) fn mark_numbers(scenes: &mut [Scene]) {
    for block in scenes.iter_mut().flat_map(|scene| &mut scene.blocks) {
        match block {
            Block::Statement { text, .. } => *text = with_strong_numbers(text),
            Block::Items {
                arrangement: Arrangement::Notes | Arrangement::Checklist | Arrangement::Cards,
                items,
                ..
            } => {
                for item in items.iter_mut().filter(|item| item.title.is_empty()) {
                    item.text = with_strong_numbers(&item.text);
                }
            }
            _ => {}
        }
    }
}

/// Makes the numbers of a text strong, with their units; a text with styles of its own stays as it is.
fn with_strong_numbers(text: &RichText) -> RichText {
    if text.0.iter().any(|span| span.style != SpanStyle::Plain) {
        return text.clone();
    }
    let plain = text.to_plain();
    let numbers: Vec<Range<usize>> = quantities(&plain)
        .into_iter()
        .filter(|found| !found.unit.is_empty())
        .map(|found| with_sign(&plain, found.range))
        .collect();
    if numbers.is_empty() || numbers.len() > 3 {
        return text.clone();
    }
    let mut spans = vec![];
    let mut from = 0;
    for range in numbers {
        let before = slices(text, std::slice::from_ref(&(from..range.start)));
        spans.extend(before.into_iter().flat_map(|text| text.0));
        spans.push(Span { text: plain[range.clone()].to_owned(), style: SpanStyle::Strong });
        from = range.end;
    }
    spans
        .extend(slices(text, std::slice::from_ref(&(from..plain.len()))).into_iter().flat_map(|text| text.0));
    spans.retain(|span| !span.text.is_empty());
    RichText(spans)
}

/// Takes a minus before a number along: "−25 °C".
fn with_sign(text: &str, range: Range<usize>) -> Range<usize> {
    let before = &text[..range.start];
    let sign = before.chars().next_back().filter(|c| matches!(c, '−' | '-'));
    let stands_alone = |sign: char| {
        let left = &before[..before.len() - sign.len_utf8()];
        left.is_empty() || left.ends_with([' ', '('])
    };
    match sign.filter(|sign| stands_alone(*sign)) {
        Some(sign) => range.start - sign.len_utf8()..range.end,
        None => range,
    }
}

#[cfg(test)]
mod tests {
    use reel_scene::Item;

    use super::*;

    #[test]
    fn numbers_with_a_unit_are_marked_and_the_text_stays() {
        let text =
            RichText::plain("At 27 degrees they double every two hours; at 4 degrees they hardly grow.");
        let marked = with_strong_numbers(&text);
        let strong: Vec<&str> = marked
            .0
            .iter()
            .filter(|span| span.style == SpanStyle::Strong)
            .map(|span| span.text.as_str())
            .collect();
        assert_eq!(strong, ["27 degrees", "4 degrees"]);
        assert_eq!(marked.to_plain(), text.to_plain());
    }

    #[test]
    fn a_part_that_shows_less_than_is_said_has_the_icon_of_what_is_said() {
        let said = [
            "The fireman lost his work, and the water towers disappeared.",
            "Diesel engines took over from steam.",
        ];
        let item = |text: &str| Item { text: RichText::plain(text), ..Item::default() };
        let items = vec![item("The fireman lost his work"), item("Diesel engines took over from steam")];
        let step =
            |(part, line): (usize, &&str)| Step::new(*line, vec![Reveal { block: 0, part: Some(part) }]);
        let mut scenes = vec![Scene {
            blocks: vec![Block::Items { arrangement: Arrangement::Notes, items, center: None }],
            steps: said.iter().enumerate().map(step).collect(),
            ..Scene::default()
        }];
        choose_icons(&mut scenes, &said.join(" "));
        let Block::Items { items, .. } = &scenes[0].blocks[0] else { panic!("the items stay") };
        assert!(items.iter().all(|item| !item.icon.is_empty()), "{items:?}");
    }
}
