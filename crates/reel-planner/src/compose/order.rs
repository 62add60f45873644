//! What comes one after the other: steps, a sequence in one sentence, dates.

use reel_scene::{Arrangement, Block, Item, Reveal, RichText};

use crate::language::condense::condense_plain;
use crate::language::dates::{era_at_start, is_day, year_within, years};
use crate::language::patterns::step_word;
use crate::language::sequence;
use crate::language::words::{capitalize, word_count};

use super::candidate::{Candidate, Unit};
use super::lists::arranged;

/// Words of a step with an arrow to the next.
const MAX_STEP_WORDS: usize = 18;
/// Words of what happened at a date.
const MAX_EVENT_WORDS: usize = 20;
/// The same in a list, which has no other words.
const MAX_LISTED_WORDS: usize = 24;

/// "First … . Then … . Finally … ."
pub(super) fn steps(units: &[Unit<'_>]) -> Option<Candidate> {
    let is_first = |unit: &Unit<'_>| step_word(&unit.plain).is_some_and(|word| word.starts_with("first"));
    let (first, later) = units.split_first()?;
    // A sentence without an order word belongs to the step before: most must have one.
    let ordered = later.iter().filter(|unit| step_word(&unit.plain).is_some()).count();
    let fits = units.iter().all(|unit| unit.is_sentence() && unit.words <= MAX_STEP_WORDS);
    let ends_in_order = later.last().is_some_and(|unit| step_word(&unit.plain).is_some());
    if !is_first(first) || later.iter().any(is_first) || !fits || !ends_in_order || 2 * ordered < units.len()
    {
        return None;
    }
    let items: Vec<Item> = units.iter().map(|unit| step(&unit.plain)).collect();
    let arrangement = Arrangement::Process;
    (items.len() >= 2 && arrangement.items().contains(&items.len()))
        .then(|| arranged(arrangement, 6, "order words: first, then, finally", items))
}

/// A step without the word that counts it.
fn step(text: &str) -> Item {
    let rest = step_word(text).map_or(text, |word| text[word.len()..].trim_start_matches([',', ' ']));
    Item { text: RichText::plain(capitalize(&condense_plain(rest))), ..Item::default() }
}

/// "First …, then …, and finally …" in one sentence.
pub(super) fn sequence_in_one(units: &[Unit<'_>]) -> Option<Candidate> {
    let [unit] = units else { return None };
    let labels = sequence::read(&unit.plain).filter(|_| unit.is_line())?;
    let item = |label: String| Item { title: label, ..Item::default() };
    let items: Vec<Item> = labels.into_iter().map(item).collect();
    let arrangement = if goes_round(&unit.plain) { Arrangement::Cycle } else { Arrangement::Process };
    arrangement.items().contains(&items.len()).then(|| {
        let block = Block::Items { arrangement, items, center: None };
        Candidate::whole(arrangement.name(), 8, "a sentence that tells a sequence", block)
    })
}

/// Returns `true` for a sequence that begins again at its end.
fn goes_round(text: &str) -> bool {
    let lower = text.to_lowercase();
    ["begins again", "starts again", "starts over", "back to the start", "and so on", "returns to the"]
        .iter()
        .any(|words| lower.contains(words))
}

/// Sentences with a year each.
pub(super) fn dates(units: &[Unit<'_>]) -> Option<Candidate> {
    let arrangement = Arrangement::Dates;
    if !arrangement.items().contains(&units.len()) || !units.iter().all(Unit::is_line) {
        return None;
    }
    if let Some(candidate) =
        listed_dates(units).or_else(|| listed_days(units)).or_else(|| listed_hours(units))
    {
        return Some(candidate);
    }
    let item = |unit: &Unit<'_>| {
        let (date, event) = years(&unit.plain)?;
        let event = capitalize(&condense_plain(&event));
        (word_count(&event) <= MAX_EVENT_WORDS).then(|| Item {
            title: capitalize(&date),
            text: RichText::plain(event),
            ..Item::default()
        })
    };
    let items: Vec<Item> = units.iter().map(item).collect::<Option<_>>()?;
    Some(arranged(arrangement, 6, "sentences with a date each", items))
}

/// Sentences most of which tell of a year, in order: a life, or how something came about. The others are only spoken.
pub(super) fn told_dates(units: &[Unit<'_>]) -> Option<Candidate> {
    const MAX_LINES: usize = 6;
    if !(2..=MAX_LINES).contains(&units.len()) || !units.iter().all(Unit::is_sentence) {
        return None;
    }
    let told = |unit: &Unit<'_>| {
        let told = year_within(&unit.plain).filter(|_| !unit.passage.continues)?;
        let event = whole_event(&told.event);
        let fits = (2..=MAX_EVENT_WORDS).contains(&word_count(event));
        fits.then(|| (told.year, Item { title: told.label, text: RichText::plain(event), ..Item::default() }))
    };
    let told: Vec<Option<(i32, Item)>> = units.iter().map(told).collect();
    let years: Vec<i32> = told.iter().flatten().map(|(year, _)| *year).collect();
    let silent = units.len() - years.len();
    let rise = years.windows(2).all(|pair| pair[0] < pair[1]);
    let arrangement = Arrangement::Dates;
    if told[0].is_none()
        || !rise
        || 3 * years.len() < 2 * units.len()
        || !arrangement.items().contains(&years.len())
    {
        return None;
    }
    let (mut items, mut reveals) = (vec![], vec![]);
    for line in told {
        reveals.push(line.iter().map(|_| Reveal { block: 0, part: Some(items.len()) }).collect());
        items.extend(line.map(|(_, item)| item));
    }
    let few = if years.len() == 2 { 8 } else { 0 };
    let candidate =
        arranged(arrangement, 20 + few + 8 * silent as u32, "sentences that tell of years, in order", items);
    Some(Candidate { reveals, ..candidate })
}

/// Returns what happened, up to its colon if it is long: what stands there tells more of it.
fn whole_event(event: &str) -> &str {
    match event.split_once(": ") {
        Some((before, _)) if word_count(event) > MAX_EVENT_WORDS => before,
        _ => event,
    }
}

/// A list of days: "May 5, 1789: The Estates-General meets", "**June 17** – …".
fn listed_days(units: &[Unit<'_>]) -> Option<Candidate> {
    let told = |unit: &Unit<'_>| {
        let plain = unit.plain.as_str();
        let (day, event) = [": ", " – ", " — ", " - "].iter().find_map(|mark| plain.split_once(mark))?;
        let is_told = unit.is_item() && is_day(day) && (1..=MAX_LISTED_WORDS).contains(&word_count(event));
        is_told.then(|| Item {
            title: day.trim().to_owned(),
            text: RichText::plain(capitalize(&condense_plain(event))),
            ..Item::default()
        })
    };
    let items: Vec<Item> = units.iter().map(told).collect::<Option<_>>()?;
    Some(arranged(Arrangement::Dates, 4, "a list of days", items))
}

/// A list of hours: "09:00 Breakfast", "10:30 – Walk to the castle".
fn listed_hours(units: &[Unit<'_>]) -> Option<Candidate> {
    let told = |unit: &Unit<'_>| {
        let (hour, event) = unit.plain.split_once(' ').filter(|_| unit.is_item())?;
        let hour = hour.trim_end_matches([':', ',']);
        let (hours, minutes) = hour.split_once([':', '.'])?;
        let is_hour = hours.parse::<u8>().is_ok_and(|hours| hours < 24)
            && minutes.len() == 2
            && minutes.parse::<u8>().is_ok_and(|minutes| minutes < 60);
        let event = event.trim_start_matches(['–', '—', '-', ':', ' ']);
        let event = capitalize(&condense_plain(event));
        (is_hour && (1..=MAX_EVENT_WORDS).contains(&word_count(&event))).then(|| Item {
            title: hour.to_owned(),
            text: RichText::plain(event),
            ..Item::default()
        })
    };
    let items: Vec<Item> = units.iter().map(told).collect::<Option<_>>()?;
    Some(arranged(Arrangement::Dates, 4, "a list of hours", items))
}

/// A list of years that rise: "138 BC: Zhang Qian sets out", "105: paper is described".
fn listed_dates(units: &[Unit<'_>]) -> Option<Candidate> {
    let dated = |unit: &Unit<'_>| {
        let plain = unit.plain.as_str();
        let digits = plain.bytes().take_while(u8::is_ascii_digit).count();
        let number: i32 = plain[..digits].parse().ok().filter(|_| unit.is_item() && digits <= 4)?;
        let (era, rest) = era_at_start(&plain[digits..]).unwrap_or(("", &plain[digits..]));
        let event = [": ", " – ", " — ", " - "].iter().find_map(|mark| rest.strip_prefix(mark))?;
        let event = capitalize(&condense_plain(event));
        let year = if era.starts_with(" BC") { -number } else { number };
        let is_told = (1..=MAX_EVENT_WORDS).contains(&word_count(&event));
        let item = Item { title: format!("{number}{era}"), text: RichText::plain(event), ..Item::default() };
        is_told.then_some((year, !era.is_empty() || (1000..2200).contains(&year), item))
    };
    let dated: Vec<(i32, bool, Item)> = units.iter().map(dated).collect::<Option<_>>()?;
    let rise = dated.windows(2).all(|pair| pair[0].0 < pair[1].0);
    let are_years = dated.iter().any(|(_, is_year, _)| *is_year);
    let items = dated.into_iter().map(|(.., item)| item).collect();
    (rise && are_years).then(|| arranged(Arrangement::Dates, 4, "a list of years", items))
}
