//! Readings of English alone: years, fractions, powers, abbreviations, chemical formulas, Roman numerals, dates and signs.

use super::amounts::{self, Table, number};
use super::{Place, Reading};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Abbreviations with what they stand for. Those that end with `#` need a number behind them.
const ABBREVIATIONS: [(&str, &str); 47] = [
    ("e.g.", "for example"),
    ("i.e.", "that is"),
    ("etc.", "et cetera"),
    ("et al.", "and others"),
    ("vs.", "versus"),
    ("vs", "versus"),
    ("cf.", "compare"),
    ("a.k.a.", "also known as"),
    ("approx.", "approximately"),
    ("Dr.", "Doctor"),
    ("Prof.", "Professor"),
    ("Mr.", "Mister"),
    ("Mrs.", "Missis"),
    ("Ms.", "Miz"),
    ("Gov.", "Governor"),
    ("Sen.", "Senator"),
    ("Rep.", "Representative"),
    ("Gen.", "General"),
    ("Capt.", "Captain"),
    ("dept.", "department"),
    ("Dept.", "Department"),
    ("govt.", "government"),
    ("max.", "maximum"),
    ("incl.", "including"),
    ("excl.", "excluding"),
    ("w/o", "without"),
    ("w/", "with"),
    ("No.#", "number"),
    ("no.#", "number"),
    ("Nos.#", "numbers"),
    ("Fig.#", "figure"),
    ("fig.#", "figure"),
    ("Eq.#", "equation"),
    ("Ch.#", "chapter"),
    ("Sec.#", "section"),
    ("Vol.#", "volume"),
    ("p.#", "page"),
    ("pp.#", "pages"),
    ("ca.#", "about"),
    ("c.#", "about"),
    ("est.#", "established"),
    ("Jan.#", "January"),
    ("Feb.#", "February"),
    ("Aug.#", "August"),
    ("Sept.#", "September"),
    ("Nov.#", "November"),
    ("Dec.#", "December"),
];

/// Words before which a number of four digits is a year.
const BEFORE_YEARS: [&str; 40] = [
    "in",
    "since",
    "by",
    "until",
    "till",
    "from",
    "of",
    "year",
    "before",
    "after",
    "around",
    "about",
    "during",
    "between",
    "to",
    "early",
    "late",
    "mid",
    "circa",
    "and",
    "through",
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "spring",
    "summer",
    "autumn",
    "fall",
    "winter",
    "born",
    "died",
];

pub(super) fn reading(place: Place<'_>, table: &Table) -> Option<Reading> {
    let first = place.rest.chars().next()?;
    match first {
        '0'..='9' if place.is_boundary() => iso_date(place)
            .or_else(|| clock(place))
            .or_else(|| fraction(place))
            .or_else(|| decade(place))
            .or_else(|| power(place))
            .or_else(|| factor(place))
            .or_else(|| thousands(place))
            .or_else(|| year(place, table)),
        '\'' | '’' => short_decade(place),
        '½' | '¼' | '¾' => vulgar_fraction(place, first),
        '²' | '³' | '^' => exponent(place),
        'h' | 'w' if place.is_boundary() => address(place).or_else(|| abbreviation(place)),
        'A'..='Z' if place.is_boundary() => {
            abbreviation(place).or_else(|| chemical(place)).or_else(|| roman(place))
        }
        'a'..='z' if place.is_boundary() => abbreviation(place),
        '/' => slash(place),
        _ => sign(place, first),
    }
}

/// "2026-03-04"
fn iso_date(place: Place<'_>) -> Option<Reading> {
    let text = place.rest.get(..10)?;
    let parts: Vec<&str> = text.split('-').collect();
    let [year, month, day] = parts[..] else { return None };
    let ends = !place.rest[10..].starts_with(|c: char| c.is_alphanumeric() || c == '-');
    let is_date = year.len() == 4 && month.len() == 2 && day.len() == 2 && ends;
    let (year, month, day): (u32, usize, u32) = (year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
    let name = MONTHS.get(month.checked_sub(1)?)?;
    (is_date && (1..=31).contains(&day))
        .then(|| Reading::new(10, format!("{name} {day}, {}", spoken_year(year))))
}

/// "9:00 am", "10:00"
fn clock(place: Place<'_>) -> Option<Reading> {
    let hours = digits(place.rest);
    let rest = place.rest[hours..].strip_prefix(":00").filter(|_| (1..=2).contains(&hours))?;
    if rest.starts_with(|c: char| c.is_alphanumeric() || c == ':') || place.before.ends_with(':') {
        return None;
    }
    let hour: u32 = place.rest[..hours].parse().ok()?;
    let bare = rest.trim_start();
    let has_half = ["am", "pm", "a.m", "p.m", "AM", "PM"].iter().any(|half| bare.starts_with(half));
    match hour {
        1..=12 if has_half => Some(Reading::new(hours + 3, hour.to_string())),
        1..=12 => Some(Reading::new(hours + 3, format!("{hour} o'clock"))),
        _ => None,
    }
}

/// "1/2", "2 3/4", "24/7"
fn fraction(place: Place<'_>) -> Option<Reading> {
    let whole = digits(place.rest);
    if let Some(rest) = place.rest[whole..].strip_prefix(' ')
        && let Some((length, said)) = simple_fraction(rest)
    {
        let said = said.replacen("1 half", "a half", 1).replacen("1 quarter", "a quarter", 1);
        return Some(Reading::new(whole + 1 + length, format!("{} and {said}", &place.rest[..whole])));
    }
    for (written, said) in [("24/7", "24 7"), ("9/11", "9 11"), ("50/50", "50 50")] {
        if place
            .rest
            .strip_prefix(written)
            .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '/'))
        {
            return Some(Reading::new(written.len(), said));
        }
    }
    simple_fraction(place.rest).map(|(length, said)| Reading::new(length, said))
}

/// Returns the length of a fraction, and its words: "3 quarters" for "3/4".
fn simple_fraction(text: &str) -> Option<(usize, String)> {
    let above = digits(text);
    let rest = text[above..].strip_prefix('/').filter(|_| (1..=2).contains(&above))?;
    let below = digits(rest);
    let end = above + 1 + below;
    let ends = !text[end..].starts_with(|c: char| c.is_alphanumeric() || c == '/');
    let (part, whole): (u32, u32) = (text[..above].parse().ok()?, rest[..below].parse().ok()?);
    if !ends || part == 0 || part >= whole {
        return None;
    }
    let name = match whole {
        2 => "half",
        3 => "third",
        4 => "quarter",
        5 => "fifth",
        6 => "sixth",
        7 => "seventh",
        8 => "eighth",
        9 => "ninth",
        10 => "tenth",
        100 => "hundredth",
        _ => return Some((end, format!("{part} over {whole}"))),
    };
    let several = if part == 1 { "" } else { "s" };
    Some((end, format!("{part} {name}{several}")))
}

/// "½ cup", "2½ cups"
fn vulgar_fraction(place: Place<'_>, sign: char) -> Option<Reading> {
    let said = match sign {
        '½' => "a half",
        '¼' => "a quarter",
        _ => "three quarters",
    };
    let is_mixed = place.before.ends_with(|c: char| c.is_ascii_digit());
    let spoken = if is_mixed { format!(" and {said}") } else { said.to_owned() };
    Some(Reading::new(sign.len_utf8(), spoken))
}

/// "1990s", "1800s"
fn decade(place: Place<'_>) -> Option<Reading> {
    let text = place.rest.get(..4).filter(|text| digits(text) == 4)?;
    let rest = place.rest[4..].strip_prefix(['s'])?;
    if rest.starts_with(char::is_alphanumeric) {
        return None;
    }
    let (century, decade) = (&text[..2], text[2..].parse().ok()?);
    let said = match (century, decade) {
        ("20", 0) => "two thousands".to_owned(),
        (_, 0) => format!("{century} hundreds"),
        ("20", 10) => "20 tens".to_owned(),
        _ => format!("{century} {}", tens(decade)?),
    };
    Some(Reading::new(5, said))
}

/// "'90s"
fn short_decade(place: Place<'_>) -> Option<Reading> {
    let quote = place.rest.chars().next()?.len_utf8();
    let text = place.rest[quote..].get(..3).filter(|text| digits(text) == 2 && text.ends_with('s'))?;
    let ends = !place.rest[quote + 3..].starts_with(char::is_alphanumeric);
    let said = tens(text[..2].parse().ok()?).filter(|_| ends && place.is_boundary())?;
    Some(Reading::new(quote + 3, said))
}

fn tens(decade: u32) -> Option<&'static str> {
    match decade {
        20 => Some("twenties"),
        30 => Some("thirties"),
        40 => Some("forties"),
        50 => Some("fifties"),
        60 => Some("sixties"),
        70 => Some("seventies"),
        80 => Some("eighties"),
        90 => Some("nineties"),
        _ => None,
    }
}

/// "10^6", "10⁻⁹"
fn power(place: Place<'_>) -> Option<Reading> {
    let base = digits(place.rest);
    let (length, said) = raised(&place.rest[base..])?;
    Some(Reading::new(base + length, format!("{} {said}", &place.rest[..base])))
}

/// "x²", "r^3": behind a letter or a bracket.
fn exponent(place: Place<'_>) -> Option<Reading> {
    let follows = place.before.ends_with(|c: char| c.is_alphanumeric() || c == ')');
    let (length, said) = raised(place.rest).filter(|_| follows)?;
    Some(Reading::new(length, format!(" {said}")))
}

/// Returns the length of an exponent, and its words.
fn raised(text: &str) -> Option<(usize, String)> {
    let (length, exponent) = superscript(text)?;
    let said = match exponent.as_str() {
        "2" => "squared".to_owned(),
        "3" => "cubed".to_owned(),
        _ => format!("to the power of {exponent}"),
    };
    Some((length, said))
}

/// Returns the length of an exponent, and its number.
fn superscript(text: &str) -> Option<(usize, String)> {
    const RAISED: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let mut said = String::new();
    if let Some(rest) = text.strip_prefix('^') {
        let inside = rest.strip_prefix('{').unwrap_or(rest);
        let braces = 2 * (rest.len() - inside.len());
        let sign = inside.chars().next().filter(|c| matches!(c, '-' | '−')).map_or(0, char::len_utf8);
        let length = digits(&inside[sign..]);
        if length == 0 || braces > 0 && !inside[sign + length..].starts_with('}') {
            return None;
        }
        if sign > 0 {
            said.push_str("minus ");
        }
        said.push_str(&inside[sign..sign + length]);
        return Some((1 + braces + sign + length, said));
    }
    let mut end = 0;
    for (at, c) in text.char_indices() {
        match RAISED.iter().position(|raised| *raised == c) {
            Some(digit) => said.push_str(&digit.to_string()),
            None if c == '⁻' && at == 0 => said.push_str("minus "),
            None => break,
        }
        end = at + c.len_utf8();
    }
    said.ends_with(|c: char| c.is_ascii_digit()).then_some((end, said))
}

/// "3x faster", "1920×1080"
fn factor(place: Place<'_>) -> Option<Reading> {
    let length = number(place.rest)?;
    let (digits, rest) = place.rest.split_at(length);
    let sign = rest.chars().next().filter(|c| matches!(c, 'x' | '×'))?;
    let behind = &rest[sign.len_utf8()..];
    if behind.starts_with(|c: char| c.is_ascii_digit()) {
        return Some(Reading::new(length + sign.len_utf8(), format!("{digits} by ")));
    }
    let ends = !behind.starts_with(char::is_alphanumeric);
    ends.then(|| Reading::new(length + sign.len_utf8(), format!("{digits} times")))
}

/// "10k users", "2bn people"
fn thousands(place: Place<'_>) -> Option<Reading> {
    let length = number(place.rest)?;
    let (digits, rest) = place.rest.split_at(length);
    let (sign, said) =
        [("k", "thousand"), ("bn", "billion")].into_iter().find(|(sign, _)| rest.starts_with(sign))?;
    let ends = !rest[sign.len()..].starts_with(|c: char| c.is_alphanumeric() || matches!(c, '/' | 'Ω'));
    ends.then(|| Reading::new(length + sign.len(), format!("{digits} {said}")))
}

/// "1867", "in 2026": two numbers of two digits.
fn year(place: Place<'_>, table: &Table) -> Option<Reading> {
    // "by 1950 kWh"
    if amounts::reading(place, table).is_some() {
        return None;
    }
    let text = place.rest.get(..4).filter(|text| digits(text) == 4)?;
    let rest = &place.rest[4..];
    let is_longer = rest
        .starts_with(|c: char| c.is_alphanumeric() || matches!(c, '%' | '°' | '/' | ':' | '$' | '€'))
        || rest.starts_with([',', '.']) && rest[1..].starts_with(|c: char| c.is_ascii_digit());
    let dash = place.before.strip_suffix(['–', '-']);
    let is_span = dash.is_some_and(|before| digits_at_end(before) == 4);
    let is_part =
        place.before.ends_with(['.', ',', '$', '€', '£', '#', '/', ':']) || dash.is_some() && !is_span;
    let is_part = is_part || place.before.ends_with("No. ");
    let year: u32 = text.parse().ok()?;
    if is_longer || is_part || !(1100..=2099).contains(&year) {
        return None;
    }
    let before = place.before.trim_end().rsplit([' ', '(', '–', '-']).next().unwrap_or_default();
    let before = before.trim_end_matches(',').to_lowercase();
    // "July 4, 1776"
    let is_day = before.len() <= 2 && !before.is_empty() && before.bytes().all(|byte| byte.is_ascii_digit());
    let stands_apart = rest.is_empty() || rest.starts_with(['.', ',', ')', ';', ':', '–', '-', '?', '!']);
    let is_year = BEFORE_YEARS.contains(&before.as_str())
        || is_day
        || is_span
        || stands_apart && (place.before.is_empty() || place.before.ends_with('('))
        || rest.starts_with(['–', '-']) && digits(rest.trim_start_matches(['–', '-'])) == 4
        || rest.starts_with(':');
    let said = spoken_year(year);
    (is_year && said != text).then(|| Reading::new(4, said))
}

fn digits_at_end(text: &str) -> usize {
    text.bytes().rev().take_while(u8::is_ascii_digit).count()
}

fn spoken_year(year: u32) -> String {
    let (century, rest) = (year / 100, year % 100);
    match (century, rest) {
        (20, 0..=9) => year.to_string(),
        (10, _) => year.to_string(),
        (_, 0) => format!("{century} hundred"),
        (_, 1..=9) => format!("{century} oh {rest}"),
        _ => format!("{century} {rest}"),
    }
}

fn abbreviation(place: Place<'_>) -> Option<Reading> {
    // The longest first.
    let fits = |written: &str, needs_number: bool| {
        let Some(rest) = place.rest.strip_prefix(written) else { return false };
        let has_number = rest.trim_start().starts_with(|c: char| c.is_ascii_digit());
        if written == "w/" && !rest.starts_with(' ') {
            return false;
        }
        let ends =
            written.ends_with(['.', '/']) || !rest.starts_with(|c: char| c.is_alphanumeric() || c == '/');
        ends && (!needs_number || has_number)
    };
    let split = |entry: &(&'static str, &'static str)| {
        let (written, said) = *entry;
        written.strip_suffix('#').map_or((written, said, false), |written| (written, said, true))
    };
    let found = ABBREVIATIONS.iter().map(split).filter(|(written, _, needs)| fits(written, *needs));
    let (written, said, _) = found.max_by_key(|(written, ..)| written.len())?;
    let rest = &place.rest[written.len()..];
    // The stop of "etc." may be that of the sentence.
    let is_end = written.ends_with('.')
        && (rest.is_empty() || rest.starts_with(|c: char| c.is_whitespace()) && next_begins_sentence(rest));
    let stop = if is_end && matches!(written, "etc." | "et al.") { "." } else { "" };
    Some(Reading::new(written.len(), format!("{said}{stop}")))
}

fn next_begins_sentence(rest: &str) -> bool {
    rest.trim_start().starts_with(char::is_uppercase)
}

/// "CO2", "H₂SO₄": letter by letter.
fn chemical(place: Place<'_>) -> Option<Reading> {
    const ELEMENTS: &str = " H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Ti Cr Mn Fe Co Ni Cu Zn Br Ag Sn I Ba Pt Au Hg Pb U ";
    /// Formulas without a number.
    const PLAIN: [&str; 8] = ["NaCl", "HCl", "NaOH", "KCl", "CaO", "MgO", "FeO", "HF"];
    let end =
        place.rest.find(|c: char| !c.is_ascii_alphanumeric() && !is_lowered(c)).unwrap_or(place.rest.len());
    let token = &place.rest[..end];
    let (mut said, mut numbers, mut elements) = (vec![], 0, 0);
    let mut chars = token.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_ascii_digit() || is_lowered(c) {
            let mut number = lowered(c).to_string();
            while let Some(next) = chars.next_if(|next| next.is_ascii_digit() || is_lowered(*next)) {
                number.push(lowered(next));
            }
            numbers += 1;
            said.push(number);
            continue;
        }
        let two = chars.peek().filter(|next| next.is_ascii_lowercase()).map(|next| format!("{c}{next}"));
        let element = match two {
            Some(two) => {
                chars.next();
                two
            }
            None => c.to_string(),
        };
        if !ELEMENTS.contains(&format!(" {element} ")) {
            return None;
        }
        elements += 1;
        said.extend(element.chars().map(|letter| letter.to_uppercase().to_string()));
    }
    let is_formula = numbers > 0
        && (elements > 1 || ["O2", "N2", "H2", "O3", "Cl2", "O₂", "N₂", "H₂", "O₃"].contains(&token));
    (is_formula || PLAIN.contains(&token)).then(|| Reading::new(end, said.join(" ")))
}

fn is_lowered(c: char) -> bool {
    ('₀'..='₉').contains(&c)
}

fn lowered(c: char) -> char {
    if is_lowered(c) { char::from_digit(c as u32 - '₀' as u32, 10).unwrap_or(c) } else { c }
}

/// "World War II", "Henry VIII"
fn roman(place: Place<'_>) -> Option<Reading> {
    const COUNTED: [&str; 14] = [
        "war", "chapter", "part", "act", "volume", "phase", "type", "book", "section", "level", "grade",
        "article", "title", "stage",
    ];
    const NUMERALS: [&str; 20] = [
        "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII", "XIII", "XIV", "XV", "XVI",
        "XVII", "XVIII", "XIX", "XX",
    ];
    const ORDINALS: [&str; 20] = [
        "first",
        "second",
        "third",
        "fourth",
        "fifth",
        "sixth",
        "seventh",
        "eighth",
        "ninth",
        "tenth",
        "eleventh",
        "twelfth",
        "thirteenth",
        "fourteenth",
        "fifteenth",
        "sixteenth",
        "seventeenth",
        "eighteenth",
        "nineteenth",
        "twentieth",
    ];
    let end = place.rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(place.rest.len());
    let at = NUMERALS.iter().position(|numeral| *numeral == &place.rest[..end])?;
    let before = place.before.strip_suffix(' ')?.rsplit(' ').next()?;
    if COUNTED.contains(&before.to_lowercase().as_str()) {
        return Some(Reading::new(end, (at + 1).to_string()));
    }
    // "Henry VIII" is a king; "Henry I" may begin a new thought, and "Vitamin C" counts nothing.
    const KINGS: [&str; 22] = [
        "Henry",
        "Louis",
        "George",
        "Edward",
        "Richard",
        "Charles",
        "James",
        "William",
        "Elizabeth",
        "Philip",
        "Frederick",
        "Napoleon",
        "Catherine",
        "Peter",
        "Paul",
        "John",
        "Pius",
        "Ramesses",
        "Ptolemy",
        "Nicholas",
        "Alexander",
        "Gregory",
    ];
    (KINGS.contains(&before) && end > 0 && (at > 0 || before != "Paul"))
        .then(|| Reading::new(end, format!("the {}", ORDINALS[at])))
}

/// "https://www.example.com"
fn address(place: Place<'_>) -> Option<Reading> {
    let found = ["https://www.", "http://www.", "https://", "http://", "www."]
        .into_iter()
        .find(|start| place.rest.starts_with(start))?;
    let follows = place.rest[found.len()..].starts_with(char::is_alphanumeric);
    follows.then(|| Reading::new(found.len(), ""))
}

/// "and/or", "input/output": a short pause, and no word.
fn slash(place: Place<'_>) -> Option<Reading> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphabetic()).count();
    let before = place.before.rsplit(|c: char| !c.is_alphabetic()).next().unwrap_or_default();
    let behind = &place.rest[1..];
    let token_before = place.before.rsplit(' ').next().unwrap_or_default();
    let token_behind = behind.split(' ').next().unwrap_or_default();
    let is_path = token_before.contains(['/', '.', ':'])
        || token_behind.trim_end_matches(['.', ',', '?', '!', ';', ':']).contains(['/', '.', ':']);
    (word(before) > 1 && word(behind) > 1 && !is_path).then(|| Reading::new(1, " "))
}

fn sign(place: Place<'_>, sign: char) -> Option<Reading> {
    let behind = &place.rest[sign.len_utf8()..];
    let is_number = behind.starts_with(|c: char| c.is_ascii_digit());
    let is_apart = place.before.ends_with(' ') && behind.starts_with(' ');
    let said = match sign {
        '→' | '⟶' | '➔' if is_apart => "to",
        '→' | '⟶' | '➔' => " to ",
        '⇒' => "therefore",
        '≤' => "at most",
        '≥' => "at least",
        '≠' => "is not",
        '∞' => "infinity",
        '√' => "the square root of ",
        '∑' => "the sum of ",
        '∫' => "the integral of ",
        '·' | '⋅' if is_apart => "times",
        '<' if is_apart => "is less than",
        '>' if is_apart => "is greater than",
        '~' | '∼' if is_number && place.is_boundary() => "about ",
        '#' if is_number && place.is_boundary() => "number ",
        '&' if is_apart => "and",
        '&' if place.before.ends_with(char::is_alphanumeric) && behind.starts_with(char::is_alphanumeric) => {
            " and "
        }
        '|' => " ",
        _ => return None,
    };
    Some(Reading::new(sign.len_utf8(), said))
}

/// Returns how many digits a text begins with.
fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}
