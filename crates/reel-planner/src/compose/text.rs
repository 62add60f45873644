//! Sentences that have no structure of their own: one in large type, or a few with a picture each.

use reel_scene::{Arrangement, Block, Item, RichText};

use crate::language::condense::{condense, condense_sentence};
use crate::language::patterns::definition;
use crate::language::sentences::slices;
use crate::language::words::word_count;

use super::candidate::{Candidate, Unit};

/// Words of a sentence that is shown whole in large type.
const MAX_STATEMENT_WORDS: usize = 20;
/// Words of a sentence in a card.
const MAX_CARD_WORDS: usize = 15;

/// One sentence, and nothing else.
pub(super) fn statement(units: &[Unit<'_>]) -> Option<Candidate> {
    let [unit] = units else { return None };
    let text = unit.text.filter(|_| unit.is_sentence() && !unit.leads_in())?;
    let (cost, why) = match unit.words {
        0 => return None,
        1..=2 => (60, "a very short sentence"),
        3..=9 => (32, "a short sentence stands for itself"),
        10..=15 => (38, "a sentence stands for itself"),
        16..=MAX_STATEMENT_WORDS => (50, "a long sentence alone"),
        _ => return None,
    };
    // A question wants a pause.
    let cost = if unit.plain.ends_with('?') { 20 } else { cost };
    Some(Candidate::whole("statement", cost, why, Block::Statement { text: text.clone(), icons: vec![] }))
}

/// "Definition: …", "… is called …".
pub(super) fn defined(units: &[Unit<'_>]) -> Option<Candidate> {
    let [unit] = units else { return None };
    let (term, meaning) = definition(&unit.plain).filter(|_| unit.is_sentence())?;
    let block = Block::Definition { term, text: RichText::plain(meaning) };
    Some(Candidate::whole("definition", 12, "it says what something is called", block))
}

/// A quotation in the author's own marks.
pub(super) fn quotation(units: &[Unit<'_>]) -> Option<Candidate> {
    let [unit] = units else { return None };
    let text = unit.text.filter(|_| unit.is_quote() && unit.words <= 40)?;
    let (text, by) = attributed(text);
    let block = Block::Quote { text, by };
    Some(Candidate::whole("quotation", 5, "a quotation", block))
}

/// Divides a quotation from the line below it that names whose it is, and takes its marks off.
pub(crate) fn attributed(text: &RichText) -> (RichText, String) {
    /// Words of a name, with an office.
    const MAX_NAME_WORDS: usize = 10;
    let plain = text.to_plain();
    let found = [" — ", " – ", " -- ", " - ", " ― "].iter().find_map(|dash| {
        let (words, by) = plain.rsplit_once(dash)?;
        let ends = words.trim_end().ends_with(['.', '!', '?', '"', '”', '“', '»', '«', '’', '…', '。']);
        (ends && (1..=MAX_NAME_WORDS).contains(&word_count(by))).then(|| (words.trim_end().len(), by))
    });
    let (end, by) = found.unwrap_or((plain.trim_end().len(), ""));
    let words = &plain[..end];
    let marks = [('"', '"'), ('“', '”'), ('«', '»'), ('„', '“'), ('„', '”'), ('「', '」')];
    let is_quoted = |(open, close): &(char, char)| {
        let inside = words.strip_prefix(*open).and_then(|rest| rest.strip_suffix(*close));
        inside.is_some_and(|inside| !inside.contains([*open, *close]))
    };
    let range = match marks.iter().find(|marks| is_quoted(marks)) {
        Some((open, close)) => open.len_utf8()..end - close.len_utf8(),
        None => 0..end,
    };
    let quoted = slices(text, std::slice::from_ref(&range)).pop().unwrap_or_default();
    (quoted, by.trim().trim_end_matches('.').to_owned())
}

/// Several sentences, one below the other, each with a picture.
pub(super) fn notes(units: &[Unit<'_>]) -> Option<Candidate> {
    let cost = match units.len() {
        2 => 50,
        3 => 66,
        4 => 104,
        _ => return None,
    };
    sentences(units, usize::MAX, Arrangement::Notes).map(|block| {
        Candidate::parts("notes", cost, format!("{} sentences without a structure", units.len()), block)
    })
}

/// Several short sentences side by side.
pub(super) fn cards(units: &[Unit<'_>]) -> Option<Candidate> {
    let cost = match units.len() {
        2 => 50,
        3 => 62,
        _ => return None,
    };
    sentences(units, MAX_CARD_WORDS, Arrangement::Cards)
        .map(|block| Candidate::parts("cards", cost, format!("{} short sentences", units.len()), block))
}

fn sentences(units: &[Unit<'_>], max_words: usize, arrangement: Arrangement) -> Option<Block> {
    let fits = |unit: &Unit<'_>| {
        unit.is_line() && !unit.leads_in() && !unit.passage.continues && (1..=max_words).contains(&unit.words)
    };
    if !units.iter().all(fits) {
        return None;
    }
    let shown = |unit: &Unit<'_>| {
        let text = unit.text?;
        Some(if unit.is_sentence() { condense_sentence(text) } else { condense(text) })
    };
    let items = units.iter().filter_map(|unit| Some(Item { text: shown(unit)?, ..Item::default() }));
    Some(Block::Items { arrangement, items: items.collect(), center: None })
}
