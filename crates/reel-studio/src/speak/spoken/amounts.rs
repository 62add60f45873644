//! Units, currencies, spans and signs, in the languages that have a column in `units.tsv`.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::{Place, Reading};

const UNITS: &str = include_str!("units.tsv");
/// Units that are read only behind a space: right behind a number, they are part of a name ("4K", "5G").
const ONLY_APART: [&str; 9] = ["s", "A", "K", "B", "N", "t", "h", "J", "min"];
/// A space that keeps a number and its unit on a line.
const SPACES: [char; 4] = [' ', '\u{a0}', '\u{202f}', '\u{2009}'];

/// The words of a language.
pub(super) struct Table {
    pub is_english: bool,
    /// One of a unit, and several.
    units: HashMap<&'static str, (&'static str, &'static str)>,
    currencies: [(&'static str, &'static str, &'static str); 5],
    per: &'static str,
    to: &'static str,
    minus: &'static str,
    /// Words of scales behind an amount: "million".
    scales: &'static [(&'static str, &'static str)],
    /// The mark between the whole of a number and its decimals.
    decimal: char,
}

type Currencies = [(&'static str, &'static str, &'static str); 5];

static ENGLISH: LazyLock<Table> = LazyLock::new(|| Table {
    is_english: true,
    units: units(1),
    currencies: [
        ("$", "dollar", "dollars"),
        ("€", "euro", "euros"),
        ("£", "pound", "pounds"),
        ("¥", "yen", "yen"),
        ("₹", "rupee", "rupees"),
    ],
    per: "per",
    to: "to",
    minus: "minus",
    scales: &[
        ("trillion", "trillion"),
        ("billion", "billion"),
        ("million", "million"),
        ("thousand", "thousand"),
        ("bn", "billion"),
        ("tn", "trillion"),
        ("k", "thousand"),
        ("K", "thousand"),
        ("m", "million"),
        ("M", "million"),
        ("B", "billion"),
    ],
    decimal: '.',
});

static GERMAN: LazyLock<Table> = LazyLock::new(|| {
    let currencies = [
        ("$", "Dollar", "Dollar"),
        ("€", "Euro", "Euro"),
        ("£", "Pfund", "Pfund"),
        ("¥", "Yen", "Yen"),
        ("₹", "Rupie", "Rupien"),
    ];
    let scales = &[
        ("Millionen", "Millionen"),
        ("Milliarden", "Milliarden"),
        ("Mio.", "Millionen"),
        ("Mrd.", "Milliarden"),
    ];
    european(3, currencies, ["pro", "bis", "minus"], scales)
});

static FRENCH: LazyLock<Table> = LazyLock::new(|| {
    let currencies = [
        ("$", "dollar", "dollars"),
        ("€", "euro", "euros"),
        ("£", "livre", "livres"),
        ("¥", "yen", "yens"),
        ("₹", "roupie", "roupies"),
    ];
    european(
        5,
        currencies,
        ["par", "à", "moins"],
        &[("millions", "millions d'"), ("milliards", "milliards d'")],
    )
});

static SPANISH: LazyLock<Table> = LazyLock::new(|| {
    let currencies = [
        ("$", "dólar", "dólares"),
        ("€", "euro", "euros"),
        ("£", "libra", "libras"),
        ("¥", "yen", "yenes"),
        ("₹", "rupia", "rupias"),
    ];
    european(7, currencies, ["por", "a", "menos"], &[("millones", "millones de")])
});

fn european(
    column: usize,
    currencies: Currencies,
    [per, to, minus]: [&'static str; 3],
    scales: &'static [(&'static str, &'static str)],
) -> Table {
    Table { is_english: false, units: units(column), currencies, per, to, minus, scales, decimal: ',' }
}

/// Reads the column of a language, which has one of a unit, and the one after it, which has several.
fn units(column: usize) -> HashMap<&'static str, (&'static str, &'static str)> {
    let row = |line: &'static str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let (one, several) = (fields.get(column)?, fields.get(column + 1)?);
        (*one != "-").then_some((fields[0], (*one, *several)))
    };
    UNITS.lines().filter_map(row).collect()
}

/// Returns the words of a language, given by the first part of its tag.
pub(super) fn table(primary: &str) -> Option<&'static Table> {
    match primary {
        "en" => Some(&ENGLISH),
        "de" => Some(&GERMAN),
        "fr" => Some(&FRENCH),
        "es" => Some(&SPANISH),
        _ => None,
    }
}

pub(super) fn reading(place: Place<'_>, table: &Table) -> Option<Reading> {
    minus(place, table)
        .or_else(|| span(place, table))
        .or_else(|| price(place, table))
        .or_else(|| amount(place, table))
}

/// Returns the length of the number that a text begins with: digits, with marks between them.
pub(super) fn number(text: &str) -> Option<usize> {
    let mut end = 0;
    for (at, c) in text.char_indices() {
        match c {
            '0'..='9' => end = at + 1,
            ',' | '.' if at == end && at > 0 => {}
            _ => break,
        }
    }
    (end > 0).then_some(end)
}

/// Returns the length of the space that a text begins with.
fn space_length(text: &str) -> usize {
    text.chars().next().filter(|c| SPACES.contains(c)).map_or(0, char::len_utf8)
}

/// "−25", "-10": a minus before a number, and no hyphen.
fn minus(place: Place<'_>, table: &Table) -> Option<Reading> {
    let sign = place.rest.chars().next().filter(|c| matches!(c, '-' | '−'))?;
    let follows = place.rest[sign.len_utf8()..].starts_with(|c: char| c.is_ascii_digit());
    let begins = place.before.is_empty() || place.before.ends_with([' ', '\u{a0}', '(', '[', '=']);
    (follows && begins).then(|| Reading::new(sign.len_utf8(), format!("{} ", table.minus)))
}

/// "5–10", "1939-1945": from one number to another.
fn span(place: Place<'_>, table: &Table) -> Option<Reading> {
    let dash = place.rest.chars().next().filter(|c| matches!(c, '-' | '–' | '—'))?;
    let behind = &place.rest[dash.len_utf8()..];
    let is_amount = behind.starts_with(|c: char| c.is_ascii_digit() || is_currency(c, table));
    let is_after_number = place.before.ends_with(|c: char| c.is_ascii_digit() || matches!(c, '%' | '°'));
    if !is_amount || !is_after_number {
        return None;
    }
    let token_before = place.before.rsplit([' ', '(']).next().unwrap_or_default();
    let token_behind = behind.split([' ', ')']).next().unwrap_or_default();
    let is_plain = |token: &str| !token.contains(['-', '/', ':']) && !token.starts_with(char::is_alphabetic);
    let digits = |token: &str| token.chars().filter(char::is_ascii_digit).count();
    // "555-1234" is a telephone number, and "2026-03-04" a date.
    let is_telephone = dash == '-' && digits(token_before) == 3 && digits(token_behind) == 4;
    let reads = is_plain(token_before) && is_plain(token_behind) && !is_telephone;
    reads.then(|| Reading::new(dash.len_utf8(), format!(" {} ", table.to)))
}

fn is_currency(c: char, table: &Table) -> bool {
    table.currencies.iter().any(|(sign, ..)| sign.starts_with(c))
}

/// "€6,500", "$1.5 million", "20 €".
fn price(place: Place<'_>, table: &Table) -> Option<Reading> {
    let sign_at = |text: &str| table.currencies.iter().find(|(sign, ..)| text.starts_with(sign));
    let begins = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    if let Some((sign, one, several)) = sign_at(place.rest) {
        let behind = &place.rest[sign.len()..];
        let space = space_length(behind);
        let amount = &behind[space..];
        let length = number(amount)?;
        let (digits, rest) = amount.split_at(length);
        let (scale, scale_length) = scale(rest, table);
        let end = sign.len() + space + length + scale_length;
        if scale.is_none() && rest.starts_with(char::is_alphanumeric) {
            return None;
        }
        return Some(Reading::new(end, worth(digits, scale, one, several, table)));
    }
    if !place.is_boundary() || !begins(place.rest) {
        return None;
    }
    let length = number(place.rest)?;
    let (digits, rest) = place.rest.split_at(length);
    let (scale, scale_length) = scale(rest, table);
    let rest = &rest[scale_length..];
    let space = space_length(rest);
    let (sign, one, several) = sign_at(&rest[space..])?;
    // "5 €6" is not one price.
    if begins(&rest[space + sign.len()..]) {
        return None;
    }
    let end = length + scale_length + space + sign.len();
    Some(Reading::new(end, worth(digits, scale, one, several, table)))
}

/// Returns the scale that a text begins with, such as " million" or "bn", and its length with the space before it.
fn scale(text: &str, table: &Table) -> (Option<&'static str>, usize) {
    let space = space_length(text);
    let word = &text[space..];
    let found = table.scales.iter().find(|(written, _)| {
        let is_letter = written.len() == 1;
        let ends = word.strip_prefix(written).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric));
        ends && !(is_letter && space > 0)
    });
    found.map_or((None, 0), |(written, said)| (Some(*said), space + written.len()))
}

fn worth(digits: &str, scale: Option<&str>, one: &str, several: &str, table: &Table) -> String {
    let unit = if digits == "1" && scale.is_none() { one } else { several };
    if let Some(scale) = scale {
        let joint = if scale.ends_with('\'') { "" } else { " " };
        return format!("{digits} {scale}{joint}{unit}");
    }
    // "$3.50": cents are two digits, and are said behind the unit.
    match digits.rsplit_once(table.decimal) {
        Some((whole, cents)) if cents.len() == 2 && table.is_english => {
            let unit = if whole == "1" { one } else { several };
            let cents = cents.trim_start_matches('0');
            if cents.is_empty() { format!("{whole} {unit}") } else { format!("{whole} {unit} {cents}") }
        }
        _ => format!("{digits} {unit}"),
    }
}

/// "5 kW", "120 km/h", "9.8 m/s²".
fn amount(place: Place<'_>, table: &Table) -> Option<Reading> {
    if !place.is_boundary() || place.before.ends_with(['.', ',']) {
        return None;
    }
    let length = number(place.rest)?;
    let (digits, rest) = place.rest.split_at(length);
    let space = space_length(rest);
    let written = unit_token(&rest[space..]);
    let said = unit(written, digits == "1", table).filter(|_| space > 0 || !ONLY_APART.contains(&written))?;
    let behind = &rest[space + written.len()..];
    if behind.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
        return None;
    }
    Some(Reading::new(length + space + written.len(), format!("{digits} {said}")))
}

/// Returns the letters and signs that a unit may be made of.
fn unit_token(text: &str) -> &str {
    let is_part = |c: char| c.is_alphabetic() || matches!(c, '/' | '²' | '³' | '°' | '·');
    let end = text.find(|c: char| !is_part(c)).unwrap_or(text.len());
    text[..end].trim_end_matches('/')
}

/// Returns a unit in words: "kilometers per hour" for "km/h".
fn unit(written: &str, is_one: bool, table: &Table) -> Option<String> {
    let found = |written: &str| {
        // Two characters look like micro, and two like ohm.
        let written = written.replace('\u{3bc}', "\u{b5}").replace('\u{2126}', "\u{3a9}");
        table.units.get(written.as_str()).copied()
    };
    if let Some((one, several)) = found(written) {
        return Some(if is_one { one } else { several }.to_owned());
    }
    let (above, below) = written.split_once('/')?;
    let ((one, several), (per, _)) = (found(above)?, found(below)?);
    Some(format!("{} {} {per}", if is_one { one } else { several }, table.per))
}
