//! Lists: things of one kind, what to do, and what a sentence announces.

use reel_scene::{Arrangement, Block, Item, RichText, Span, SpanStyle};

use crate::language::condense::condense;
use crate::language::lists::announces;
use crate::language::phrases::{is_imperative, subject};
use crate::language::vocabulary::is_anaphor;
use crate::language::words::{first_word, stems, without_article, word_count};

use super::candidate::{Candidate, Unit};

/// Words of a term at most: a longer one is a clause.
const MAX_TERM_WORDS: usize = 4;
/// Words of an item in a card.
const MAX_CARD_WORDS: usize = 18;
/// Words of a step with an arrow to the next.
const MAX_STEP_WORDS: usize = 12;

/// The items of a list.
pub(super) fn list(units: &[Unit<'_>]) -> Option<Candidate> {
    if units.len() < 2 || !units.iter().all(Unit::is_item) {
        return None;
    }
    let imperatives = units.iter().filter(|unit| is_imperative(&unit.plain)).count();
    let terms: Option<Vec<Item>> = units.iter().map(|unit| term(unit.text?)).collect();
    let are_short = |most: usize| units.iter().all(|unit| unit.words <= most);
    let is_numbered = units.iter().all(|unit| unit.number.is_some());
    if let Some(items) =
        terms.filter(|items| !is_numbered && Arrangement::Cards.items().contains(&items.len()))
    {
        return Some(arranged(Arrangement::Cards, 8, "items that begin with a term", items));
    }
    if 2 * imperatives > units.len() && keeps_a_state(units) {
        return Some(arranged(Arrangement::Checklist, 12, "items that say what to do", plain_items(units)));
    }
    if is_numbered && Arrangement::Process.items().contains(&units.len()) && are_short(MAX_STEP_WORDS) {
        return Some(arranged(
            Arrangement::Process,
            10,
            "a numbered list of short steps",
            titled_items(units),
        ));
    }
    if is_numbered && Arrangement::Process.items().contains(&units.len()) && are_short(MAX_CARD_WORDS) {
        return Some(arranged(Arrangement::Process, 16, "a numbered list", plain_items(units)));
    }
    if imperatives * 2 > units.len() {
        return Some(arranged(Arrangement::Checklist, 14, "items that say what to do", plain_items(units)));
    }
    let arrangement = if units.len() <= 4 && are_short(MAX_CARD_WORDS) && !is_numbered {
        Arrangement::Cards
    } else {
        Arrangement::Notes
    };
    arrangement
        .items()
        .contains(&units.len())
        .then(|| arranged(arrangement, 26, "items of a list", plain_items(units)))
}

/// Two things to do, or more, in running text.
pub(super) fn imperatives(units: &[Unit<'_>]) -> Option<Candidate> {
    let are_all =
        units.len() >= 2 && units.iter().all(|unit| unit.is_sentence() && is_imperative(&unit.plain));
    (are_all && units.len() <= 5)
        .then(|| arranged(Arrangement::Checklist, 14, "sentences that say what to do", plain_items(units)))
}

/// Sentences about things of one kind, each with a subject of its own. A sentence before them announced their number.
pub(super) fn announced(units: &[Unit<'_>]) -> Option<Candidate> {
    let (lead, rest) = units.split_first()?;
    if announces(&lead.plain)? != rest.len() || !(2..=6).contains(&rest.len()) {
        return None;
    }
    let why = format!("a sentence announces {} things, and {} follow", rest.len(), rest.len());
    if let Some(parallel) = parallel(rest) {
        return Some(Candidate { why, cost: 6, ..parallel });
    }
    let fit = rest.iter().all(|unit| unit.is_sentence() && unit.words <= MAX_CARD_WORDS);
    fit.then(|| arranged(Arrangement::Cards, 16, why, plain_items(rest)))
}

/// Sentences whose subjects differ and whose verbs follow at once: "Yeast eats sugar. Gluten holds the gas in."
pub(super) fn parallel(units: &[Unit<'_>]) -> Option<Candidate> {
    if !(3..=4).contains(&units.len()) {
        return None;
    }
    let items: Vec<Item> = units.iter().map(subject_item).collect::<Option<_>>()?;
    let mut titles: Vec<Vec<String>> = items.iter().map(|item| stems(&item.title)).collect();
    titles.sort_unstable();
    titles.dedup();
    (titles.len() == items.len())
        .then(|| arranged(Arrangement::Cards, 24, "sentences about a thing each", items))
}

/// A sentence as a card: its subject, and what is said of it.
pub(super) fn subject_item(unit: &Unit<'_>) -> Option<Item> {
    let subject = subject(&unit.plain)?;
    let is_name = word_count(&subject.text) <= MAX_TERM_WORDS && !is_anaphor(&first_word(&subject.text));
    if !unit.is_sentence() || !is_name || unit.words > MAX_CARD_WORDS || subject.range.start > 0 {
        return None;
    }
    let said = said_of(&unit.plain[subject.range.end..])?;
    // Two words at least say something, and a second clause speaks of something else.
    let is_one_clause = ![", and ", ", but ", ", so ", "; "]
        .iter()
        .any(|joint| said.replace(", and so ", " ").contains(joint));
    if word_count(&said) < 2 || first_word(&said) == "not" || !is_one_clause {
        return None;
    }
    Some(Item { title: without_article(&subject.text), text: RichText::plain(said), ..Item::default() })
}

/// Returns a term, with what is said of it, where an item begins with one: strong, before a colon or before a dash.
fn term(text: &RichText) -> Option<Item> {
    let plain = text.to_plain();
    let strong =
        text.0.iter().position(|span| span.style == SpanStyle::Strong && !span.text.trim().is_empty());
    if let Some(at) = strong.filter(|at| *at <= 1) {
        let before = text.0[..at].iter().map(|span| span.text.as_str()).collect::<String>();
        let is_article = ["", "a", "an", "the"].contains(&before.trim().to_lowercase().as_str());
        let name = text.0[at].text.trim();
        if is_article && word_count(name) <= MAX_TERM_WORDS {
            let rest: Vec<Span> = text.0[at + 1..].to_vec();
            return titled(name, &RichText(rest));
        }
        return None;
    }
    let (name, rest) = [": ", " — ", " – ", " - "].iter().find_map(|mark| plain.split_once(mark))?;
    (word_count(name) <= MAX_TERM_WORDS && !is_imperative(name))
        .then(|| titled(name, &RichText::plain(rest)))
        .flatten()
}

fn titled(name: &str, rest: &RichText) -> Option<Item> {
    let name = without_article(name.trim_end_matches([':', '.', ' ']));
    if word_count(&name) == 0 {
        return None;
    }
    let said = said_of(&rest.to_plain()).unwrap_or_default();
    let text = if said.is_empty() { RichText::default() } else { RichText::plain(said) };
    Some(Item { title: name, text, ..Item::default() })
}

/// Returns what is said of a term that stands above it: without the verb "is", and without a stop.
fn said_of(rest: &str) -> Option<String> {
    let rest = rest.trim_start_matches([':', ',', '—', '–', '-', ' ']).trim_end();
    let rest = rest.strip_suffix('.').unwrap_or(rest);
    let rest =
        ["is ", "are ", "was ", "were "].iter().find_map(|verb| rest.strip_prefix(verb)).unwrap_or(rest);
    (word_count(rest) > 0).then(|| rest.to_owned())
}

/// Returns `true` where items say how things should be, rather than what to do one after the other.
fn keeps_a_state(units: &[Unit<'_>]) -> bool {
    const STATES: [&str; 12] =
        ["keep", "avoid", "never", "always", "do", "don", "check", "make", "be", "use", "prefer", "stay"];
    let states = units.iter().filter(|unit| STATES.contains(&first_word(&unit.plain).as_str()));
    2 * states.count() >= units.len() || units.iter().all(|unit| unit.number.is_none())
}

/// Items whose text is the whole passage.
pub(super) fn plain_items(units: &[Unit<'_>]) -> Vec<Item> {
    units.iter().filter_map(|unit| Some(Item { text: condense(unit.text?), ..Item::default() })).collect()
}

/// Items whose title is the whole passage.
fn titled_items(units: &[Unit<'_>]) -> Vec<Item> {
    let title = |unit: &Unit<'_>| Item {
        title: unit.text.map(|text| condense(text).to_plain()).unwrap_or_default(),
        ..Item::default()
    };
    units.iter().map(title).collect()
}

pub(super) fn arranged(
    arrangement: Arrangement,
    cost: u32,
    why: impl Into<String>,
    items: Vec<Item>,
) -> Candidate {
    Candidate::parts(arrangement.name(), cost, why, Block::Items { arrangement, items, center: None })
}
