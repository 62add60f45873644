//! Structures that sentences tell: a funnel, a tree, a pyramid, a ranking, and an overlap.

use reel_scene::{Arrangement, Block, Item, Reveal, RichText};

use crate::language::phrases::subject;
use crate::language::structures::{Level, Place, division, falls, is_ranking, level, ranks, stages};
use crate::language::words::{capitalize, content_stems, without_article, word_count};

use super::candidate::{Candidate, Unit};

fn titled(title: &str) -> Item {
    Item { title: title.to_owned(), ..Item::default() }
}

fn arranged(arrangement: Arrangement, items: Vec<Item>) -> Block {
    Block::Items { arrangement, items, center: None }
}

/// "Of 1,000 visitors, 300 sign up, 90 pay, and 12 stay.", or a list of such stages below a heading that calls them a funnel.
pub(super) fn funnel(units: &[Unit<'_>], above: &str) -> Option<Candidate> {
    const WHY: &str = "each stage lets fewer through";
    if let [unit] = units {
        unit.text.filter(|_| unit.is_line())?;
        let items: Vec<Item> = stages(&unit.plain)?.iter().map(|stage| titled(stage)).collect();
        let fits = Arrangement::Funnel.items().contains(&items.len());
        return fits.then(|| Candidate::whole("funnel", 4, WHY, arranged(Arrangement::Funnel, items)));
    }
    let above = above.to_lowercase();
    let is_said = ["funnel", "conversion", "pipeline", "screening", "selection"]
        .iter()
        .any(|word| above.contains(word));
    let texts: Vec<String> = units.iter().map(|unit| unit.plain.trim_end_matches('.').to_owned()).collect();
    let fits = is_said
        && units.iter().all(|unit| unit.is_item() && unit.number.is_none())
        && Arrangement::Funnel.items().contains(&units.len())
        && falls(&texts);
    let items = texts.iter().map(|text| titled(text)).collect();
    fits.then(|| Candidate::parts("funnel", 3, WHY, arranged(Arrangement::Funnel, items)))
}

/// "Animals are divided into A and B. A consist of C and D.": at least one part is divided further.
pub(super) fn tree(units: &[Unit<'_>]) -> Option<Candidate> {
    if units.len() < 2 || !units.iter().all(Unit::is_sentence) {
        return None;
    }
    let mut items: Vec<Item> = vec![];
    let mut reveals: Vec<Vec<Reveal>> = vec![];
    for unit in units {
        let found = division(&unit.plain)?;
        let first = items.len();
        let parent = match items.is_empty() {
            true => {
                items.push(titled(&found.whole));
                0
            }
            false => {
                let stems = content_stems(&found.whole);
                let is_it = |item: &Item| content_stems(&item.title) == stems;
                items.iter().position(is_it).filter(|_| !stems.is_empty())?
            }
        };
        // A tree divides each thing once, and nothing is a part of itself.
        let is_leaf = items.iter().all(|item| item.parent != Some(parent));
        let is_new = |part: &String| items.iter().all(|item| item.title != *part);
        if !is_leaf || !found.parts.iter().all(is_new) {
            return None;
        }
        items.extend(found.parts.iter().map(|part| Item { parent: Some(parent), ..titled(part) }));
        reveals.push((first..items.len()).map(|part| Reveal { block: 0, part: Some(part) }).collect());
    }
    let fits = Arrangement::Tree.items().contains(&items.len());
    let candidate = Candidate::parts("tree", 2, "parts that have parts", arranged(Arrangement::Tree, items));
    fits.then_some(Candidate { reveals, ..candidate })
}

/// "At the bottom are plants. Above them come grazers. At the top is the eagle."
pub(super) fn pyramid(units: &[Unit<'_>]) -> Option<Candidate> {
    if units.len() < 3 || !Arrangement::Pyramid.items().contains(&units.len()) {
        return None;
    }
    let levels: Vec<Level> =
        units.iter().map(|unit| level(&unit.plain).filter(|_| unit.is_line())).collect::<Option<_>>()?;
    let last = levels.len() - 1;
    let is_built = levels.iter().enumerate().all(|(at, level)| match at {
        0 => level.place == Place::Bottom,
        _ if at == last => level.place == Place::Top,
        _ => level.place == Place::Above,
    });
    if !is_built {
        return None;
    }
    // The first item is the top, which is told last.
    let items = levels
        .iter()
        .rev()
        .map(|level| Item { text: RichText::plain(level.told.clone()), ..titled(&level.name) });
    let block = arranged(Arrangement::Pyramid, items.collect());
    let candidate = Candidate::parts("pyramid", 2, "levels that rest on each other", block);
    let reveals = candidate.reveals.iter().rev().cloned().collect();
    Some(Candidate { reveals, ..candidate })
}

/// "The three largest producers are Brazil, Vietnam, and Colombia.", or a numbered list under "Top 5 …".
pub(super) fn ranking(units: &[Unit<'_>], above: &str, heading_is_written: bool) -> Option<Candidate> {
    const WHY: &str = "an order of rank";
    if let [unit] = units {
        unit.text.filter(|_| unit.is_line())?;
        let found = ranks(&unit.plain)?;
        let items = found.names.iter().map(|name| titled(name)).collect();
        let candidate = Candidate::whole("ranking", 8, WHY, arranged(Arrangement::Ranking, items));
        return Some(candidate.under(&found.of, heading_is_written));
    }
    /// Words of a place.
    const MAX_WORDS: usize = 14;
    let in_order = units.iter().zip(1..).all(|(unit, number)| unit.number == Some(number));
    let fits = is_ranking(above)
        && in_order
        && Arrangement::Ranking.items().contains(&units.len())
        && units.iter().all(|unit| unit.words <= MAX_WORDS);
    let item = |unit: &Unit<'_>| {
        let text = unit.plain.trim_end_matches('.');
        let (title, told) = [": ", " – ", " — ", ", "]
            .iter()
            .find_map(|joint| text.split_once(joint))
            .filter(|(title, _)| word_count(title) <= 5)
            .unwrap_or((text, ""));
        Item { text: RichText::plain(capitalize(told)), ..titled(&capitalize(title)) }
    };
    let items = units.iter().map(item).collect();
    fits.then(|| Candidate::parts("ranking", 2, WHY, arranged(Arrangement::Ranking, items)))
}

/// "Cats see well in the dark. Dogs smell better. Both hear high sounds."
pub(super) fn shared(units: &[Unit<'_>]) -> Option<Candidate> {
    /// Words of a name, of what is said of one thing, and of what both share: circles have little room.
    const MAX_NAME_WORDS: usize = 3;
    const MAX_WORDS: usize = 8;
    let [first, second, both] = units else { return None };
    if !units.iter().all(Unit::is_sentence) {
        return None;
    }
    let thing = |unit: &Unit<'_>| {
        let found = subject(&unit.plain).filter(|found| found.range.start == 0)?;
        let told = unit.plain[found.range.end..].trim().trim_end_matches(['.', '!']);
        let fits = (1..=MAX_NAME_WORDS).contains(&word_count(&found.text))
            && (1..=MAX_WORDS).contains(&word_count(told))
            && !told.starts_with([',', ';', ':'])
            && !told.contains([';', ':', '(']);
        fits.then(|| Item {
            text: RichText::plain(capitalize(told)),
            ..titled(&without_article(&found.text))
        })
    };
    let (left, right) = (thing(first)?, thing(second)?);
    let shared = both.plain.trim_end_matches(['.', '!']);
    let is_shared = shared.starts_with("Both ") && (3..=MAX_WORDS).contains(&word_count(shared));
    let differ = content_stems(&left.title) != content_stems(&right.title);
    if !is_shared || !differ || both.plain.ends_with('?') {
        return None;
    }
    let block = Block::Items {
        arrangement: Arrangement::Venn,
        items: vec![left, right],
        center: Some(titled(shared)),
    };
    let why = "what two things have for themselves, and what they share";
    Some(Candidate::parts("venn", 4, why, block).before_silent(1))
}
