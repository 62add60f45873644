//! Numbers: one large, a share of a whole, several of one thing, and how one quantity follows another.

use reel_scene::{
    Arrangement, BarColumn, BarRow, Block, ChartKind, Item, Number, RichText, Series, SpanStyle,
};

use crate::language::condense::{condense, statement};
use crate::language::dates::is_month;
use crate::language::patterns::quantity_pairs;
use crate::language::quantities::{Quantity, quantities};
use crate::language::shares::{proportion, shares_by_name};
use crate::language::words::{capitalize, stem, word_count};

use super::candidate::{Candidate, Unit};

/// Words between a quantity and what it is the quantity of.
const LABELLING: [&str; 8] = ["in", "with", "without", "for", "from", "on", "at", "under"];
/// Words below a large number.
const MAX_LABEL_WORDS: usize = 24;

/// A sentence whose one number tells most.
pub(super) fn big_number(units: &[Unit<'_>]) -> Option<Candidate> {
    let [unit] = units else { return None };
    let text = unit.text.filter(|_| unit.is_line() && unit.words <= MAX_LABEL_WORDS)?;
    if text.0.iter().any(|span| span.style == SpanStyle::Code) {
        return None;
    }
    let main = statement(&unit.plain);
    let found = quantities(&unit.plain);
    let telling: Vec<&Quantity> =
        found.iter().filter(|found| found.is_telling() && main.contains(&found.range.start)).collect();
    let [quantity] = &telling[..] else { return None };
    if !unit.plain.is_ascii() && may_be_year(quantity) {
        return None;
    }
    // "162 of 18,325 people fell ill" tells of a share.
    if is_whole(&unit.plain[..quantity.range.start]) {
        return None;
    }
    // "The best below $1,000" tells of no such number.
    let before = unit.plain[..quantity.range.start].trim_end().to_lowercase();
    if ["below", "under", "within", "beneath", "for less than"].iter().any(|bound| before.ends_with(bound)) {
        return None;
    }
    let value = Number::new(quantity.value)?;
    // "Speed of light: 299,792 km/s" has a label. Otherwise the whole sentence is one: a part would be no thought.
    let name = unit.plain[..quantity.range.start].trim_end().strip_suffix(':');
    let label = name.filter(|_| quantity.range.end >= main.end).unwrap_or(&unit.plain[main]);
    let label = capitalize(label.trim());
    let unit_text = if quantity.unit == "percent" { "%".to_owned() } else { quantity.unit.clone() };
    let (decimals, prefix) = (quantity.decimals, quantity.prefix.clone());
    let block = Block::Counter { value, decimals, prefix, unit: unit_text, label };
    // Beside others it is only one of them.
    let others = found.iter().filter(|other| !other.unit.is_empty()).count().saturating_sub(1) as u32;
    Some(Candidate::whole("big number", 16 + 12 * others, "one number tells most of the sentence", block))
}

/// Returns `true` where a number stands behind another, as that of which the other is a part: "162 of ", "3 out of the ".
fn is_whole(before: &str) -> bool {
    let before = before.trim_end();
    let before = before.strip_suffix(" the").unwrap_or(before);
    let part = before.strip_suffix(" out of").or_else(|| before.strip_suffix(" of"));
    part.is_some_and(|part| part.ends_with(|c: char| c.is_ascii_digit()))
}

/// Returns `true` for a number that could be a year, in a language whose words before years are not known here.
fn may_be_year(quantity: &Quantity) -> bool {
    quantity.decimals == 0 && quantity.prefix.is_empty() && (1000.0..2200.0).contains(&quantity.value)
}

/// "80 percent of British bread", "42 of 617".
pub(super) fn share(units: &[Unit<'_>]) -> Option<Candidate> {
    let [unit] = units else { return None };
    unit.text.filter(|_| unit.is_line() && unit.words <= MAX_LABEL_WORDS)?;
    let share = proportion(&unit.plain).filter(|_| shares_by_name(&unit.plain).is_none())?;
    let label = unit.plain[statement(&unit.plain)].to_owned();
    let block = Block::Proportion {
        value: Number::new(share.part)?,
        of: Number::new(share.whole)?,
        decimals: u8::from(share.part.fract() != 0.0),
        unit: if share.whole == 100.0 { "%".to_owned() } else { String::new() },
        label: capitalize(&label),
    };
    Some(Candidate::whole("proportion", 8, "a share of a whole", block))
}

/// Two to four quantities in one sentence, each with its own words: "70 percent came from the city, 20 percent from the region, and
/// 10 percent from donors".
pub(super) fn several(units: &[Unit<'_>]) -> Option<Candidate> {
    let [unit] = units else { return None };
    let text = unit.text.filter(|_| unit.is_line() && unit.words <= 30)?;
    let has_unit = |found: &Quantity| !found.unit.is_empty() || !found.prefix.is_empty();
    let found: Vec<Quantity> = quantities(&unit.plain);
    // "On a 2021 MacBook": it counts nothing.
    let names = found.iter().take_while(|found| !has_unit(found) || may_be_name(found)).count();
    let found = &found[names..];
    let have_units = found.iter().all(has_unit);
    let tells = found.iter().any(Quantity::is_telling);
    if !(2..=4).contains(&found.len()) || !have_units || !tells {
        return None;
    }
    let ends = found.iter().skip(1).map(|next| next.range.start).chain([unit.plain.len()]);
    let item = |(found, end): (&Quantity, usize)| {
        let said = &unit.plain[found.range.end..end];
        let said = match end == unit.plain.len() {
            true => said.trim_end_matches(['.', '!']),
            // The words up to the comma belong to this number, those behind it to the next.
            false => said.strip_suffix(", and ").or_else(|| said.strip_suffix(", "))?,
        };
        let is_part = said.starts_with(' ')
            && !said.contains([',', ';', ':', '('])
            && (2..=8).contains(&word_count(said));
        is_part.then(|| Item {
            title: unit.plain[found.range.clone()].to_owned(),
            text: RichText::plain(said.trim()),
            ..Item::default()
        })
    };
    let items: Vec<Item> = found.iter().zip(ends).map(item).collect::<Option<_>>()?;
    let pairs = items.iter().zip(found).map(|(item, found)| {
        let said = item.text.to_plain();
        let (first, name) = said.split_once(' ')?;
        let name = if first == "in" { said.as_str() } else { name };
        let value = Number::new(found.value)?;
        LABELLING.contains(&first).then(|| (capitalize(name), value, found.clone()))
    });
    let bars = pairs.collect::<Option<_>>().and_then(bars_of).filter(|_| items.len() > 2);
    let candidate = match bars {
        Some(bars) => Candidate::whole("bars", 12, "a quantity for each of several things", bars),
        None => {
            let block = Block::Items { arrangement: Arrangement::Cards, items, center: None };
            Candidate::whole("quantities", 22, "several quantities in one sentence", block)
        }
    };
    Some(candidate.below(condense(text)))
}

/// Returns `true` for what may be a year before a name, whose word is no unit: "2021 MacBook".
fn may_be_name(found: &Quantity) -> bool {
    may_be_year(found) && found.unit.starts_with(char::is_uppercase)
}

/// Names with a share each, in one sentence: "Brazil grows about a third of all coffee, Vietnam about a fifth, and Colombia about eight
/// percent."
pub(super) fn shares(units: &[Unit<'_>]) -> Option<Candidate> {
    let [unit] = units else { return None };
    let text = unit.text.filter(|_| unit.is_line() && unit.words <= 30)?;
    let rows = shares_by_name(&unit.plain)?;
    let tenths: Vec<f64> = rows.iter().map(|(_, percent)| (percent * 10.0).round() / 10.0).collect();
    let decimals = u8::from(tenths.iter().all(|percent| percent.fract() != 0.0));
    let shown = |percent: &f64| Number::new(if decimals == 0 { percent.round() } else { *percent });
    let values = tenths.iter().map(shown).collect::<Option<_>>()?;
    let columns = vec![BarColumn { name: "Percent".to_owned(), values, decimals }];
    let rows = rows.into_iter().map(|(title, _)| BarRow { title, text: String::new() }).collect();
    let block = Block::Bars { rows, columns };
    Some(Candidate::whole("bars", 6, "names with a share each", block).below(condense(text)))
}

/// Items that are a name and a quantity of one unit each: "E-bikes: 58 percent".
pub(super) fn measured(units: &[Unit<'_>]) -> Option<Candidate> {
    if !(2..=6).contains(&units.len()) || !units.iter().all(Unit::is_item) {
        return None;
    }
    let pairs: Vec<(String, Number, Quantity)> =
        units.iter().map(|unit| named_quantity(&unit.plain)).collect::<Option<_>>()?;
    let block = bars_of(pairs)?;
    Some(Candidate::parts("bars", 4, "names with a quantity each", block))
}

/// A label, and names with a quantity each, in one line: "Cost per kWh: coal 11 cents, gas 9 cents, wind 4 cents."
pub(super) fn measured_in_line(units: &[Unit<'_>], heading_is_written: bool) -> Option<Candidate> {
    /// Words of the label.
    const MAX_LABEL_WORDS: usize = 7;
    let [unit] = units else { return None };
    unit.text.filter(|_| unit.is_line())?;
    let (label, rest) = unit.plain.split_once(": ")?;
    let rest = rest.trim_end_matches(['.', '!', ' ']);
    if !(1..=MAX_LABEL_WORDS).contains(&word_count(label)) || rest.contains([':', ';', '(', '?']) {
        return None;
    }
    let rest = rest.replace(", and ", ", ").replace(" and ", ", ");
    let pairs: Vec<_> = rest.split(", ").map(named_quantity).collect::<Option<_>>()?;
    let block = bars_of(pairs).filter(|block| block.parts().is_some_and(|parts| (3..=6).contains(&parts)))?;
    let candidate = Candidate::whole("bars", 6, "a label, and names with a quantity each", block);
    Some(candidate.under(&capitalize(label), heading_is_written))
}

/// Reads "E-bikes: 58 percent", "coal 11 cents" or "35 % is used at once".
fn named_quantity(text: &str) -> Option<(String, Number, Quantity)> {
    const MAX_NAME_WORDS: usize = 6;
    let text = text.trim().trim_end_matches('.').replace(" %", "%");
    let text = text.as_str();
    let found = quantities(text);
    let [quantity] = &found[..] else { return None };
    let (before, after) = (text[..quantity.range.start].trim(), text[quantity.range.end..].trim());
    let before = before.trim_end_matches([':', '—', '–', '=', ' ']);
    let name = match (before, after) {
        (name, "") => name,
        ("", name) => {
            ["is ", "are ", "of the ", "of ", "goes to ", "go to ", "for ", "come from ", "comes from "]
                .iter()
                .find_map(|opening| name.strip_prefix(opening))
                .unwrap_or(name)
        }
        _ => return None,
    };
    let is_name =
        (1..=MAX_NAME_WORDS).contains(&word_count(name)) && !name.contains([',', ';', ':', '?', '(']);
    let value = Number::new(quantity.value).filter(|value| is_name && value.get() >= 0.0)?;
    Some((capitalize(name), value, quantity.clone()))
}

/// Draws names with quantities of one unit.
fn bars_of(pairs: Vec<(String, Number, Quantity)>) -> Option<Block> {
    let (_, _, first) = pairs.first()?;
    let unit_of = |found: &Quantity| format!("{}{}", found.prefix, found.unit);
    let unit = unit_of(first);
    let same = pairs.iter().all(|(_, _, found)| unit_of(found) == unit);
    let is_nothing = pairs.iter().all(|(_, value, _)| value.get() == 0.0);
    if unit.is_empty() || !same || is_nothing {
        return None;
    }
    let column = BarColumn {
        name: capitalize(&unit),
        values: pairs.iter().map(|(_, value, _)| *value).collect(),
        decimals: pairs.iter().map(|(_, _, found)| found.decimals).max().unwrap_or(0),
    };
    let rows = pairs.into_iter().map(|(title, ..)| BarRow { title, text: String::new() }).collect();
    Some(Block::Bars { rows, columns: vec![column] })
}

/// Sentences that tell the same quantity at several values of another: "after 500 cycles … 85 percent".
pub(super) fn line(units: &[Unit<'_>]) -> Option<Candidate> {
    if !(1..=8).contains(&units.len()) || !units.iter().all(Unit::is_line) {
        return None;
    }
    let texts: Vec<&str> = units.iter().map(|unit| unit.plain.as_str()).collect();
    let block = series(&texts)?;
    let candidate = Candidate::whole("chart", 8, "the same quantity at several values of another", block);
    Some(candidate.before_silent(units.len() - 1))
}

/// Returns the chart of sentences that tell the same quantity at several values of another, which rise.
pub(crate) fn series(texts: &[&str]) -> Option<Block> {
    /// Points of a chart that labels have room under.
    const MAX_POINTS: usize = 8;
    let mut pairs: Vec<(Quantity, Quantity)> = vec![];
    let mut labels = vec![];
    for text in texts {
        let told = quantity_pairs(text)?;
        labels.extend(told.iter().map(|(x, _)| text[x.range.clone()].to_owned()));
        pairs.extend(told);
    }
    let (first_x, first_y) = pairs.first().filter(|_| (2..=MAX_POINTS).contains(&pairs.len()))?;
    let same = |(x, y): &(Quantity, Quantity)| {
        stem(x.kind()) == stem(first_x.kind())
            && stem(y.kind()) == stem(first_y.kind())
            && y.prefix == first_y.prefix
    };
    let rises = pairs.windows(2).all(|pair| pair[0].0.value < pair[1].0.value);
    let have_units = !first_x.kind().is_empty() && (!first_y.kind().is_empty() || !first_y.prefix.is_empty());
    if !pairs.iter().all(same) || !rises || !have_units {
        return None;
    }
    let values: Vec<Number> = pairs.iter().map(|(_, y)| Number::new(y.value)).collect::<Option<_>>()?;
    let chart = if pairs.len() == 2 { ChartKind::Bar } else { ChartKind::Line };
    let series = vec![Series { name: String::new(), values }];
    let unit = if first_y.unit.is_empty() { &first_y.prefix } else { &first_y.unit };
    Some(Block::Chart { chart, unit: unit.clone(), labels, series })
}

/// A table with a column of names and columns of numbers.
pub(super) fn bars(units: &[Unit<'_>]) -> Option<Candidate> {
    let [unit] = units else { return None };
    let ([Block::Table { header, rows }], None) = (unit.passage.blocks(), &unit.passage.listing) else {
        return None;
    };
    if !(2..=6).contains(&rows.len()) || !(2..=5).contains(&header.len()) {
        return None;
    }
    let cells = |column: usize| {
        rows.iter().map(move |row| row.get(column).map(RichText::to_plain).unwrap_or_default())
    };
    // All cells of a column have the same unit, or none.
    let numeric = |column: usize| {
        let unit = unit_of(&cells(column).next().unwrap_or_default());
        let bare = |cell: String| cell.trim().strip_suffix(unit.as_str()).and_then(number);
        Some((cells(column).map(bare).collect::<Option<Vec<_>>>()?, unit.trim().to_owned()))
    };
    let (mut columns, mut texts) = (vec![], vec![]);
    for (column, heading) in header.iter().enumerate().skip(1) {
        match numeric(column) {
            Some((found, unit)) if found.iter().all(|(value, _)| value.get() >= 0.0) => {
                let decimals = found.iter().map(|(_, decimals)| *decimals).max().unwrap_or(0);
                let values = found.into_iter().map(|(value, _)| value).collect();
                let name = with_sign(heading.to_plain(), cells(column));
                let has_unit = name.split([' ', '(', ')', '[', ']', ',']).any(|word| word == unit);
                let name = if unit.is_empty() || has_unit { name } else { format!("{name} ({unit})") };
                columns.push(BarColumn { name, values, decimals });
            }
            _ => texts.push(column),
        }
    }
    // Years are names, not quantities.
    let are_years =
        |column: &BarColumn| column.values.iter().all(|value| (1500.0..2200.0).contains(&value.get()));
    if !(1..=3).contains(&columns.len()) || texts.len() > 1 || columns.iter().any(are_years) {
        return None;
    }
    if columns.iter().any(|column| column.values.iter().all(|value| value.get() == 0.0)) {
        return None;
    }
    let names: Vec<String> = cells(0).collect();
    if names.iter().any(|name| name.trim().is_empty() || number(name).is_some()) {
        return None;
    }
    let said: Vec<String> = texts.first().map(|column| cells(*column).collect()).unwrap_or_default();
    let row = |(index, title): (usize, String)| BarRow {
        title,
        text: said.get(index).cloned().unwrap_or_default(),
    };
    let bar_rows: Vec<BarRow> = names.into_iter().enumerate().map(row).collect();
    let reveals = unit.passage.steps.iter().map(|step| step.reveals.clone()).collect();
    let block = Block::Bars { rows: bar_rows, columns };
    Some(Candidate {
        composition: "bars",
        cost: 2,
        why: "a table of names and numbers".into(),
        heading: None,
        blocks: vec![block],
        reveals,
    })
}

/// Adds the sign that stands at all values of a column to its name.
fn with_sign(name: String, mut cells: impl Iterator<Item = String> + Clone) -> String {
    let signs = ["%", "$", "€", "£", "°"];
    let sign = signs.into_iter().find(|sign| cells.clone().all(|cell| cell.contains(sign)));
    match sign.filter(|sign| cells.next().is_some() && !name.contains(sign)) {
        Some(sign) => format!("{name} ({sign})"),
        None => name,
    }
}

/// Returns the unit of a cell such as "4,500 mAh", with the space before it; empty without one.
fn unit_of(cell: &str) -> String {
    const MAX_CHARS: usize = 10;
    let cell = cell.trim();
    let unit = cell.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | ','));
    let is_unit = unit.len() < cell.len()
        && unit.starts_with([' ', '\u{a0}'])
        && unit.trim().chars().count() <= MAX_CHARS
        && unit.trim().chars().all(|c| c.is_alphabetic() || matches!(c, '/' | '²' | '³' | '°'))
        && !is_date_or_hour(unit.trim());
    if is_unit { unit.to_owned() } else { String::new() }
}

/// Returns `true` for words that make a number a day, a year or an hour, as in "12 March", "44 BC" and "5 pm".
fn is_date_or_hour(unit: &str) -> bool {
    const ERAS_AND_HOURS: [&str; 9] = ["am", "pm", "a.m.", "p.m.", "bc", "ad", "bce", "ce", "uhr"];
    ERAS_AND_HOURS.contains(&unit.to_lowercase().as_str()) || is_month(unit)
}

/// Reads a cell that is a number and, at most, a sign for its unit.
fn number(cell: &str) -> Option<(Number, u8)> {
    let bare = cell.trim().trim_start_matches(['$', '€', '£', '~']).trim_end_matches(['%', '°']).trim();
    let plain = bare.replace([',', '\u{a0}', '\u{202f}'], "");
    let is_number = !plain.is_empty() && plain.chars().all(|c| c.is_ascii_digit() || c == '.');
    let decimals = plain.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let value = is_number.then(|| plain.parse().ok()).flatten()?;
    Some((Number::new(value)?, u8::try_from(decimals).ok().filter(|decimals| *decimals <= 4)?))
}
