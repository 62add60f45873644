//! Lists: things of one kind, what to do, and what a sentence announces.

use reel_scene::{Arrangement, Block, Item, RichText, Span, SpanStyle};

use crate::language;
use crate::language::condense::condense;
use crate::language::dates::is_day;
use crate::language::lists::{Labelled, announces};
use crate::language::phrases::{is_imperative, subject};
use crate::language::sentences;
use crate::language::vocabulary::is_anaphor;
use crate::language::width::columns;
use crate::language::words::{capitalize, first_word, stems, without_article, word_count};

use super::candidate::{Candidate, Unit};

/// Words of a term at most: a longer one is a clause.
const MAX_TERM_WORDS: usize = 4;
/// Words of an item in a card.
const MAX_CARD_WORDS: usize = 18;
/// Words of a sentence that stands for those that follow it.
const MIN_FIRST_WORDS: usize = 3;
/// Words of a step with an arrow to the next.
const MAX_STEP_WORDS: usize = 12;

/// The items of a list.
pub(super) fn list(units: &[Unit<'_>], heading: &str) -> Option<Candidate> {
    if units.len() < 2 || !units.iter().all(Unit::is_item) {
        return None;
    }
    let shown: Vec<RichText> = units.iter().filter_map(|unit| Some(shown(unit.text?))).collect();
    let plain_items =
        || shown.iter().map(|text| Item { text: text.clone(), ..Item::default() }).collect::<Vec<_>>();
    let imperatives = units.iter().filter(|unit| is_imperative(&unit.plain)).count();
    let terms: Option<Vec<Item>> = units.iter().map(|unit| term(unit.text?)).collect();
    let are_short = |most: usize| shown.iter().all(|text| word_count(&text.to_plain()) <= most);
    let is_numbered = units.iter().all(|unit| unit.number.is_some());
    let are_steps = is_numbered && !counts_no_steps(heading) && !units.iter().all(is_thing);
    if let Some(items) =
        terms.filter(|items| !is_numbered && Arrangement::Cards.items().contains(&items.len()))
    {
        // Days stand on a line, if they can, and so does the second half of a long list of them.
        let cost = if items.iter().all(|item| is_day(&item.title)) { 40 } else { 8 };
        return Some(arranged(Arrangement::Cards, cost, "items that begin with a term", items));
    }
    if 2 * imperatives > units.len() && keeps_a_state(units) {
        return Some(arranged(Arrangement::Checklist, 12, "items that say what to do", plain_items()));
    }
    if are_steps && Arrangement::Process.items().contains(&units.len()) && are_short(MAX_STEP_WORDS) {
        return Some(arranged(
            Arrangement::Process,
            10,
            "a numbered list of short steps",
            titled_items(&shown),
        ));
    }
    if are_steps && Arrangement::Process.items().contains(&units.len()) && are_short(MAX_CARD_WORDS) {
        return Some(arranged(Arrangement::Process, 16, "a numbered list", plain_items()));
    }
    if is_numbered && Arrangement::Notes.items().contains(&units.len()) {
        let mut items = plain_items();
        for (item, unit) in items.iter_mut().zip(units) {
            item.icon = unit
                .number
                .filter(|number| (1..=9).contains(number))
                .map_or_else(String::new, |number| format!("number-{number}"));
        }
        let why = if are_steps { "a numbered list of long steps" } else { "a numbered list" };
        return Some(arranged(Arrangement::Notes, 18, why, items));
    }
    if imperatives * 2 > units.len() {
        return Some(arranged(Arrangement::Checklist, 14, "items that say what to do", plain_items()));
    }
    let arrangement = if units.len() <= 4 && are_short(MAX_CARD_WORDS) && !is_numbered {
        Arrangement::Cards
    } else {
        Arrangement::Notes
    };
    arrangement
        .items()
        .contains(&units.len())
        .then(|| arranged(arrangement, 26, "items of a list", plain_items()))
}

/// Somebody or something, and no step: "Contractors, if their contract says so."
fn is_thing(unit: &Unit<'_>) -> bool {
    const WHO: [&str; 5] = ["all", "every", "any", "anybody", "anyone"];
    let first = first_word(&unit.plain);
    let names_people =
        first.ends_with('s') && unit.plain.split_whitespace().next().is_some_and(|word| word.ends_with(','));
    WHO.contains(&first.as_str()) || names_people
}

/// Returns `true` for a heading over things that have numbers and no order: "Known issues", "Five myths".
fn counts_no_steps(heading: &str) -> bool {
    const THINGS: [&str; 28] = [
        "issues",
        "problems",
        "reasons",
        "rules",
        "facts",
        "myths",
        "mistakes",
        "tips",
        "principles",
        "laws",
        "examples",
        "questions",
        "types",
        "kinds",
        "benefits",
        "advantages",
        "disadvantages",
        "risks",
        "errors",
        "limitations",
        "lessons",
        "features",
        "causes",
        "effects",
        "signs",
        "symptoms",
        "ideas",
        "things",
    ];
    let lower = heading.to_lowercase();
    lower.split(|c: char| !c.is_alphabetic()).any(|word| THINGS.contains(&word))
}

/// Items that say what to do, and then items that say what to avoid: "Do take photos", "Don't pay cash".
pub(super) fn dos_and_donts(units: &[Unit<'_>]) -> Option<Candidate> {
    const DONTS: [&str; 6] = ["Don't ", "Don’t ", "Do not ", "Never ", "Avoid ", "No "];
    let points = |unit: &Unit<'_>| {
        let text = unit.plain.trim_end_matches(['.', '!']);
        let dont = DONTS.iter().find_map(|opening| text.strip_prefix(opening).map(|rest| (*opening, rest)));
        match dont {
            Some(("Avoid " | "No ", _)) => Some((false, text.to_owned())),
            Some((_, rest)) => Some((false, capitalize(rest))),
            None => text.strip_prefix("Do ").map(|rest| (true, capitalize(rest))),
        }
    };
    if !(2..=8).contains(&units.len())
        || !units.iter().all(|unit| unit.is_item() && unit.words <= MAX_CARD_WORDS)
    {
        return None;
    }
    let points: Vec<(bool, String)> = units.iter().map(points).collect::<Option<_>>()?;
    let dos = points.iter().take_while(|(is_do, _)| *is_do).count();
    let in_order = points[dos..].iter().all(|(is_do, _)| !is_do);
    if !in_order || !(1..=4).contains(&dos) || !(1..=4).contains(&(points.len() - dos)) {
        return None;
    }
    let side = |title: &str, points: &[(bool, String)]| Item {
        title: title.to_owned(),
        points: points.iter().map(|(_, text)| RichText::plain(text)).collect(),
        ..Item::default()
    };
    let items = vec![side("Do", &points[..dos]), side("Don't", &points[dos..])];
    let candidate = arranged(Arrangement::ProsCons, 4, "what to do, and what not to do", items);
    let mut reveals = candidate.reveals.clone();
    reveals.splice(1..1, std::iter::repeat_n(vec![], dos - 1));
    let candidate = Candidate { reveals, ..candidate };
    Some(candidate.before_silent(points.len() - dos - 1))
}

/// A label and what it counts up, in one line: "Attendees: Priya, Tom, Lena".
pub(super) fn labelled(units: &[Unit<'_>], heading_is_written: bool) -> Option<Candidate> {
    /// Words of an item that is set as a title.
    const MAX_TITLE_WORDS: usize = 4;
    let [unit] = units else { return None };
    unit.text.filter(|_| unit.is_line() && unit.number.is_none())?;
    let Labelled { label, items: texts } = language::lists::labelled(&unit.plain)?;
    let are_names = texts.iter().all(|text| word_count(text) <= MAX_TITLE_WORDS);
    let item = |text: &String| {
        let text = capitalize(text);
        match are_names {
            true => Item { title: text, ..Item::default() },
            false => Item { text: RichText::plain(text), ..Item::default() },
        }
    };
    let items: Vec<Item> = texts.iter().map(item).collect();
    let are_to_do = texts.iter().all(|text| is_imperative(&capitalize(text)));
    let arrangement = match (are_to_do, items.len()) {
        (true, ..=6) => Arrangement::Checklist,
        (_, ..=6) => Arrangement::Cards,
        _ => Arrangement::Notes,
    };
    let fits = arrangement.items().contains(&items.len());
    let block = Block::Items { arrangement, items, center: None };
    let candidate =
        Candidate::whole(arrangement.name(), 10, "a label, and what it counts up behind a colon", block);
    fits.then(|| candidate.under(&capitalize(&label), heading_is_written))
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

/// Sentences that begin with a label each: "Week 1: run a minute. Week 2: run two."
pub(super) fn named_lines(units: &[Unit<'_>]) -> Option<Candidate> {
    const MAX_LABEL_WORDS: usize = 3;
    const MAX_LABEL_COLUMNS: usize = 20;
    let item = |unit: &Unit<'_>| {
        let (label, rest) = unit.plain.split_once(": ").filter(|_| unit.is_sentence())?;
        let is_label = (1..=MAX_LABEL_WORDS).contains(&word_count(label))
            && columns(label) <= MAX_LABEL_COLUMNS
            && label.starts_with(char::is_uppercase)
            && label.chars().all(|c| c.is_alphanumeric() || c == ' ' || c == '-');
        let text = rest.trim_end_matches(['.', '!']);
        let fits = (1..=MAX_CARD_WORDS).contains(&word_count(text));
        (is_label && fits).then(|| Item {
            title: label.to_owned(),
            text: RichText::plain(capitalize(text)),
            ..Item::default()
        })
    };
    let arrangement = Arrangement::Cards;
    let items: Vec<Item> = units.iter().map(item).collect::<Option<_>>()?;
    let fit = arrangement.items().contains(&items.len());
    fit.then(|| arranged(arrangement, 10, "sentences that begin with a label each", items))
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
    let rest =
        rest.trim_start_matches([':', '：', ',', '，', '、', '—', '–', '-', ' ', '\u{3000}']).trim_end();
    let rest = rest.strip_suffix(['.', '。']).unwrap_or(rest);
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

/// Returns what an item shows: of more than one sentence that is too much to read, the first.
fn shown(text: &RichText) -> RichText {
    if word_count(&text.to_plain()) > MAX_CARD_WORDS {
        let sentences = sentences::split(text);
        // A part of a sentence says too little.
        if let [first, next, ..] = &sentences[..]
            && !next.continues
            && word_count(&first.text.to_plain()) >= MIN_FIRST_WORDS
        {
            return condense(&first.text);
        }
    }
    condense(text)
}

/// Items whose title is the whole passage.
fn titled_items(shown: &[RichText]) -> Vec<Item> {
    shown.iter().map(|text| Item { title: text.to_plain(), ..Item::default() }).collect()
}

pub(super) fn arranged(
    arrangement: Arrangement,
    cost: u32,
    why: impl Into<String>,
    items: Vec<Item>,
) -> Candidate {
    Candidate::parts(arrangement.name(), cost, why, Block::Items { arrangement, items, center: None })
}
