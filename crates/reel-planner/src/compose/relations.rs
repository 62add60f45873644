//! How things stand to each other: against each other, as cause and effect, around one thing. And who said something.

use reel_scene::{Arrangement, Block, Item, RichText};

use crate::language::condense::{condense, condense_plain};
use crate::language::lists::enumeration;
use crate::language::patterns::{compared, versus};
use crate::language::phrases::subject;
use crate::language::relations::{causes, contrast};
use crate::language::speakers::speaker;
use crate::language::vocabulary::is_anaphor;
use crate::language::words::{capitalize, content_stems, first_word, word_count};

use super::candidate::{Candidate, Unit};

/// Words of a side's text.
const MAX_SIDE_WORDS: usize = 20;

/// "A versus B …", or "A is slower than B", and then a sentence for each.
pub(super) fn opposed(units: &[Unit<'_>]) -> Option<Candidate> {
    let [named, first, second] = units else { return None };
    if !units.iter().all(Unit::is_sentence) {
        return None;
    }
    let (left, right) = versus(&named.plain).or_else(|| compared(&named.plain))?;
    let speaks_of = |unit: &Unit<'_>, name: &str, other: &str| {
        let text = subject(&unit.plain).map_or_else(|| unit.plain.clone(), |subject| subject.text);
        let said = content_stems(&text);
        let shares = |name: &str| content_stems(name).iter().filter(|stem| said.contains(stem)).count();
        shares(name) > shares(other)
    };
    let in_order = speaks_of(first, &left, &right) && speaks_of(second, &right, &left);
    let turned = speaks_of(first, &right, &left) && speaks_of(second, &left, &right);
    let are_opposed = versus(&named.plain).is_some() || in_order || turned;
    let fit = [first, second].iter().all(|unit| unit.words <= MAX_SIDE_WORDS);
    if !are_opposed || !fit {
        return None;
    }
    let (left, right) = if turned { (right, left) } else { (left, right) };
    let side = |title: String, unit: &Unit<'_>| Item {
        title: capitalize(&title),
        text: RichText::plain(capitalize(&condense_plain(&unit.plain))),
        ..Item::default()
    };
    let items = vec![side(left, first), side(right, second)];
    let block = Block::Items { arrangement: Arrangement::Versus, items, center: None };
    Some(Candidate::parts("versus", 6, "two things with a sentence each", block).after_silent(1))
}

/// A lead and a list, and once more: "Pros: … Cons: …", "Before: … After: …".
pub(super) fn two_lists(units: &[Unit<'_>]) -> Option<Candidate> {
    let second = (1..units.len()).find(|at| !units[*at].is_item())?;
    let (left, right) = units.split_at(second);
    let (left, right) = (side_of_list(left)?, side_of_list(right)?);
    let arrangement = named_pair(&left.title, &right.title).unwrap_or(Arrangement::Versus);
    let block = Block::Items { arrangement, items: vec![left, right], center: None };
    let mut candidate =
        Candidate::parts(arrangement.name(), 3, "two lists that stand against each other", block);
    // The points of a side appear with its name.
    candidate.reveals.splice(1..1, std::iter::repeat_n(Vec::new(), second - 1));
    Some(candidate.before_silent(units.len() - second - 1))
}

/// A sentence that leads in, and its items.
fn side_of_list(units: &[Unit<'_>]) -> Option<Item> {
    /// Words of a side's name, and of one of its points.
    const MAX_NAME_WORDS: usize = 5;
    const MAX_POINT_WORDS: usize = 12;
    let (lead, items) = units.split_first()?;
    let name = lead.plain.trim_end_matches([':', '：', ' ']);
    let is_named = lead.leads_in() && (1..=MAX_NAME_WORDS).contains(&word_count(name));
    let fit = (1..=4).contains(&items.len())
        && items.iter().all(|item| item.is_item() && item.number.is_none() && item.words <= MAX_POINT_WORDS);
    (is_named && fit).then(|| Item {
        title: name.to_owned(),
        points: items.iter().filter_map(|item| item.text.map(condense)).collect(),
        ..Item::default()
    })
}

/// Two sentences that count up what is on each side: "Long-term causes include an unfair tax and new ideas. Short-term triggers include a
/// failed harvest and a king who could not decide."
pub(super) fn two_enumerations(units: &[Unit<'_>]) -> Option<Candidate> {
    const VERBS: [&str; 5] = [" include ", " includes ", " consist of ", " consists of ", " comprise "];
    let [left, right] = units else { return None };
    let divided = |unit: &Unit<'_>| {
        let found =
            VERBS.iter().find_map(|verb| unit.plain.split_once(verb)).filter(|_| unit.is_sentence())?;
        Some((found.0.to_owned(), found.1.trim_end_matches(['.', '!', ' ']).to_owned()))
    };
    let (left, right) = (counted_side(divided(left)?)?, counted_side(divided(right)?)?);
    let arrangement = named_pair(&left.title, &right.title).unwrap_or(Arrangement::Versus);
    let block = Block::Items { arrangement, items: vec![left, right], center: None };
    Some(Candidate::parts(arrangement.name(), 6, "two sentences that count up what is on each side", block))
}

/// Makes a side of its name and what is counted up of it.
fn counted_side((name, counted): (String, String)) -> Option<Item> {
    const MAX_NAME_WORDS: usize = 4;
    const MAX_POINT_WORDS: usize = 8;
    if counted.contains([':', ';', '(', '?', '"']) {
        return None;
    }
    let counted = counted.replace(", and ", ", ");
    // "an unfair tax and new ideas" without a comma.
    let points: Vec<&str> = match counted.contains(", ") {
        true => counted.split(", ").collect(),
        false => counted.split(" and ").collect(),
    };
    let fit = (1..=MAX_NAME_WORDS).contains(&word_count(&name))
        && !is_anaphor(&first_word(&name))
        && (2..=4).contains(&points.len())
        && points.iter().all(|point| (1..=MAX_POINT_WORDS).contains(&word_count(point)));
    fit.then(|| Item {
        title: name,
        points: points.into_iter().map(|point| RichText::plain(capitalize(point))).collect(),
        ..Item::default()
    })
}

/// Returns the arrangement of two sides that say by their names what they are.
fn named_pair(left: &str, right: &str) -> Option<Arrangement> {
    let (left, right) = (first_word(left), first_word(right));
    let is = |pairs: &[(&str, &str)]| pairs.contains(&(left.as_str(), right.as_str()));
    if is(&[
        ("pros", "cons"),
        ("pro", "con"),
        ("advantages", "disadvantages"),
        ("benefits", "drawbacks"),
        ("strengths", "weaknesses"),
        ("upsides", "downsides"),
        ("good", "bad"),
    ]) {
        return Some(Arrangement::ProsCons);
    }
    let is_in_time = is(&[
        ("before", "after"),
        ("then", "now"),
        ("yesterday", "today"),
        ("old", "new"),
        ("past", "present"),
    ]);
    is_in_time.then_some(Arrangement::BeforeAfter)
}

/// "Before DNSSEC, a resolver believed any answer. After DNSSEC, every answer is signed."
pub(super) fn before_and_after(units: &[Unit<'_>]) -> Option<Candidate> {
    let [before, after] = units else { return None };
    let side = |unit: &Unit<'_>, words: &[&str]| {
        let plain = unit.plain.as_str();
        let opens = words.iter().any(|word| plain.starts_with(word));
        let (name, said) = plain.split_once([',', ':']).filter(|_| opens && unit.is_line())?;
        let is_side = word_count(name) <= 4 && (2..=MAX_SIDE_WORDS).contains(&word_count(said));
        is_side.then(|| Item {
            title: name.to_owned(),
            text: RichText::plain(capitalize(said.trim().trim_end_matches('.'))),
            ..Item::default()
        })
    };
    let first = side(before, &["Before", "In the past", "Yesterday", "Once", "Formerly", "Then:"])?;
    let second = side(after, &["After", "Now", "Today", "Since then", "Afterwards"])?;
    let block =
        Block::Items { arrangement: Arrangement::BeforeAfter, items: vec![first, second], center: None };
    Some(Candidate::parts("before_after", 6, "how it was, and how it is", block))
}

/// Two things in one sentence that stand against each other: "Sourdough is slower, but it keeps longer."
pub(super) fn contrasted(units: &[Unit<'_>]) -> Option<Candidate> {
    let [unit] = units else { return None };
    unit.text.filter(|_| unit.is_line())?;
    let found = contrast(&unit.plain)?;
    let (left, right) = (found.left, found.right);
    if [&left, &right].iter().any(|side| !(3..=12).contains(&word_count(side))) {
        return None;
    }
    let item = |side: String| Item { text: RichText::plain(capitalize(&side)), ..Item::default() };
    let items = vec![item(left), item(right)];
    let block = Block::Items { arrangement: Arrangement::Versus, items, center: None };
    Some(Candidate::whole("versus", 28, "two halves that stand against each other", block))
}

/// "Heat makes the film grow faster": causes and their effect.
pub(super) fn caused(units: &[Unit<'_>]) -> Option<Candidate> {
    let [unit] = units else { return None };
    unit.text.filter(|_| unit.is_line())?;
    let (told, other) = also(&unit.plain);
    let found = causes(&told)?;
    // A condition is no cause.
    if matches!(found.joint.to_lowercase().as_str(), "if" | "when" | "unless" | "so that" | "whenever") {
        return None;
    }
    let causes: Vec<String> = [Some(found.cause), other].into_iter().flatten().collect();
    if causes.iter().any(|cause| word_count(cause) > 10) || word_count(&found.effect) > 12 {
        return None;
    }
    let item = |title: &String| Item { title: capitalize(title), ..Item::default() };
    let items: Vec<Item> = causes.iter().map(item).collect();
    let center = Some(Item { title: capitalize(&found.effect), ..Item::default() });
    let arrangement = Arrangement::Causes;
    arrangement.items().contains(&items.len()).then(|| {
        let block = Block::Items { arrangement, items, center };
        Candidate::whole("causes", 18, "a cause and its effect", block)
    })
}

/// Divides "Heat makes it grow, and so does a full charge." into what it says of the first, and the second.
fn also(text: &str) -> (String, Option<String>) {
    let divided = [", and so does ", ", and so do "].iter().find_map(|joint| text.split_once(joint));
    match divided {
        Some((told, other)) => (format!("{told}."), Some(other.trim_end_matches(['.', '!']).to_owned())),
        None => (text.to_owned(), None),
    }
}

/// Things of one kind in one sentence: "Every game engine, every satellite receiver and every phone does this."
pub(super) fn enumerated(units: &[Unit<'_>], heading: &str) -> Option<Candidate> {
    let [unit] = units else { return None };
    unit.text.filter(|_| unit.is_line() && unit.words <= 32)?;
    let names = enumeration(&unit.plain)?.items;
    if !(3..=6).contains(&names.len()) || names.iter().any(|name| word_count(name) > 5) {
        return None;
    }
    let item = |name: &String| Item { title: capitalize(name), ..Item::default() };
    let items: Vec<Item> = names.iter().map(item).collect();
    let is_hub = (1..=4).contains(&word_count(heading));
    let (arrangement, center) = if is_hub && names.len() >= 3 {
        (Arrangement::Hub, Some(Item { title: heading.to_owned(), ..Item::default() }))
    } else {
        (Arrangement::Cards, None)
    };
    let block = Block::Items { arrangement, items, center };
    let candidate = Candidate::whole(arrangement.name(), 22, "one sentence names several things", block);
    if arrangement == Arrangement::Cards {
        // The names alone do not say what is said of them.
        return Some(candidate.below(condense(unit.text?)));
    }
    Some(candidate)
}

/// "…," wrote James Beard.
pub(super) fn said_by(units: &[Unit<'_>]) -> Option<Candidate> {
    let [unit] = units else { return None };
    unit.text.filter(|_| unit.is_line())?;
    let (words, by) = speaker(&unit.plain)?;
    if word_count(&words) > 40 || word_count(&by) > 8 {
        return None;
    }
    let block = Block::Quote { text: RichText::plain(words), by };
    Some(Candidate::whole("quotation", 5, "somebody's words, and whose they are", block))
}
