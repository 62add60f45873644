//! Numbers in running text, and what they count.

use std::ops::Range;

use super::tags::is_plural;
use super::vocabulary::{Class, class, is_measure};

/// A number with the words that follow it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Quantity {
    pub value: f64,
    pub decimals: u8,
    /// A currency sign in front of it.
    pub prefix: String,
    /// The counted thing, such as `events a month`, `percent` or `%`; may be empty.
    pub unit: String,
    /// Byte range in the text, with prefix and unit.
    pub range: Range<usize>,
}

impl Quantity {
    /// Returns the first word of the unit: `cycles`.
    pub fn kind(&self) -> &str {
        self.unit.split(' ').next().unwrap_or_default()
    }

    /// Returns `true` for a quantity that deserves a picture of its own: at least a thousand, with decimals, or a share, but not a year.
    pub fn is_telling(&self) -> bool {
        let is_year = self.prefix.is_empty()
            && self.decimals == 0
            && (1000.0..2200.0).contains(&self.value)
            && (self.unit.is_empty() || self.unit.starts_with(char::is_uppercase));
        let large =
            self.value.abs() >= 1000.0 || self.decimals > 0 || self.unit == "%" || self.kind() == "percent";
        large && !is_year && (!self.unit.is_empty() || !self.prefix.is_empty())
    }
}

/// Letters of what a number counts that could be a year: "1500 people".
const MIN_COUNTED_LETTERS: usize = 5;

/// Returns every number of a text, in its order.
pub(crate) fn quantities(text: &str) -> Vec<Quantity> {
    let mut found = vec![];
    let mut from = 0;
    while let Some(start) = text[from..].find(|c: char| c.is_ascii_digit()).map(|at| from + at) {
        let digits = text[start..].find(|c: char| !c.is_ascii_digit() && c != ',' && c != '.');
        let end = digits.map_or(text.len(), |at| start + at);
        let number = text[start..end].trim_end_matches([',', '.']);
        let end = start + number.len();
        from = end.max(start + 1);
        let before = text[..start].chars().next_back();
        // Parts of names and of ranges, such as v2 and A-4, are no quantities.
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '.') {
            continue;
        }
        let Some((value, decimals)) = parse(number) else { continue };
        if is_name(&text[..start]) {
            continue;
        }
        let prefix = before.filter(|c| "$€£¥".contains(*c)).map(String::from).unwrap_or_default();
        if text[end..].starts_with(|c: char| c.is_alphabetic()) {
            continue;
        }
        // "In 1999 prices fell": a year counts nothing.
        let can_be_year =
            prefix.is_empty() && number.len() == 4 && decimals == 0 && (1000.0..2200.0).contains(&value);
        let is_year = can_be_year
            && ["in ", "In ", "since ", "Since ", "until ", "Until "]
                .iter()
                .any(|word| text[..start].ends_with(word));
        let Unit(mut unit, mut length) = if is_year { Unit(String::new(), 0) } else { unit(&text[end..]) };
        // "1989 las er": no plural is that short, but many a verb of another language.
        if can_be_year && unit.chars().count() < MIN_COUNTED_LETTERS && !is_unit(&unit) {
            (unit, length) = (String::new(), 0);
        }
        let range = start - prefix.len()..end + length;
        found.push(Quantity { value, decimals, prefix, unit, range });
    }
    found
}

/// Returns `true` where the next number names something, as in "bus 434 climbs": nothing is counted.
fn is_name(before: &str) -> bool {
    const NUMBERED: [&str; 22] = [
        "bus",
        "tram",
        "line",
        "flight",
        "route",
        "highway",
        "gate",
        "platform",
        "room",
        "page",
        "chapter",
        "section",
        "figure",
        "table",
        "appendix",
        "article",
        "paragraph",
        "number",
        "no.",
        "nr.",
        "apollo",
        "version",
    ];
    let word = before.strip_suffix(' ').and_then(|before| before.rsplit(' ').next()).unwrap_or_default();
    NUMBERED.contains(&word.to_lowercase().as_str())
}

/// Reads a number that may have commas between its thousands.
fn parse(number: &str) -> Option<(f64, u8)> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let groups: Vec<&str> = whole.split(',').collect();
    let grouped = groups.len() > 1;
    if grouped
        && (groups[0].is_empty() || groups[0].len() > 3 || groups[1..].iter().any(|group| group.len() != 3))
    {
        return None;
    }
    if fraction.contains([',', '.']) || fraction.len() > 4 {
        return None;
    }
    let text = format!("{}.{fraction}0", groups.concat());
    Some((text.parse().ok()?, fraction.len() as u8))
}

/// Returns `true` for the name or the sign of a unit, a scale, or a part of a hundred, in the languages of Europe.
fn is_unit(word: &str) -> bool {
    const UNITS: &str = " percent percentage prozent pourcent million billion trillion thousand hundred dozen millionen milliarden mio mrd \
        degree grad kelvin celsius fahrenheit hertz watt volt ampere joule newton pascal ohm mol bar meter metre kilometer \
        kilometre zentimeter millimeter gram kilogram gramm kilogramm tonne ton liter litre hour minute second day week month year \
        sekunde sekunden minute minuten stunde stunden tag tage tagen wochen monate jahre jahren euro dollar pfund pound franken yen \
        mile inch foot pixel byte bit kilobyte megabyte gigabyte terabyte ";
    const SIGNS: &str = " % ‰ ° °C °F K m cm mm km µm nm m² km² m³ g kg mg t l ml s ms min h d Hz kHz MHz GHz W kW MW GW kWh MWh Wh V A \
        mA J kJ N Pa hPa dB mol kB MB GB TB px km/h m/s mph g/l mg/l € $ £ ";
    let lists = |list: &str, word: &str| list.split_whitespace().any(|listed| listed == word);
    lists(UNITS, &word.to_lowercase()) || lists(SIGNS, word)
}

/// A unit, and the bytes that it takes in the text.
struct Unit(String, usize);

/// Returns the words after a number that say what it counts: one noun, and "a month" or "per second" behind it.
fn unit(after: &str) -> Unit {
    if after.starts_with('%') {
        return Unit("%".to_owned(), 1);
    }
    let Some(rest) = after.strip_prefix([' ', '\u{a0}']) else { return Unit(String::new(), 0) };
    let words: Vec<&str> = rest.split(' ').take(3).collect();
    let is_noun = |word: &str| {
        let bare = word.trim_end_matches(['.', ',', ';', ':', ')', '!', '?']);
        let is_word = !bare.is_empty() && bare.chars().all(|c| c.is_alphabetic() || "-/°²³".contains(c));
        let is_plural = bare.starts_with(char::is_lowercase)
            && (is_plural(bare) || bare.ends_with('s') && !bare.ends_with("ss"));
        let is_content = class(&bare.to_lowercase()) == Class::Content;
        is_word && (is_measure(bare) || is_unit(bare) || is_plural && is_content)
    };
    let ends = |word: &str| word.ends_with(['.', ',', ';', ':', ')', '!', '?']);
    let Some(first) = words.first().copied().filter(|word| is_noun(word)) else {
        return Unit(String::new(), 0);
    };
    let rate =
        !ends(first) && matches!(words.get(1), Some(&("a" | "per" | "an" | "each"))) && words.len() == 3;
    let count = if rate { 3 } else { 1 };
    let text = words[..count].join(" ");
    let bare = text.trim_end_matches(['.', ',', ';', ':', ')', '!', '?']);
    Unit(bare.to_owned(), 1 + bare.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(f64, u8, String)> {
        quantities(text)
            .into_iter()
            .map(|found| (found.value, found.decimals, found.prefix + &found.unit))
            .collect()
    }

    #[test]
    fn numbers_are_found_with_what_they_count() {
        assert_eq!(
            found("That is 240,000 events a month, or about 70 megabytes."),
            [(240_000.0, 0, "events a month".into()), (70.0, 0, "megabytes".into())]
        );
        assert_eq!(
            found("A cell gives 3.7 volts and moves 3 ampere-hours."),
            [(3.7, 1, "volts".into()), (3.0, 0, "ampere-hours".into())]
        );
        assert_eq!(found("It costs $5.50 or 12% more."), [(5.5, 2, "$".into()), (12.0, 0, "%".into())]);
        assert_eq!(found("In 1969, v2 of A4 had x1."), [(1969.0, 0, String::new())]);
        assert_eq!(found("1,2,3 and 1.2.3"), []);
    }

    #[test]
    fn years_and_small_counts_are_not_telling() {
        let telling = |text: &str| quantities(text).iter().any(Quantity::is_telling);
        assert!(
            telling("240,000 events") && telling("3.7 volts") && telling("85 percent") && telling("$2,000")
        );
        assert!(!telling("in 1969") && !telling("6 events") && !telling("It is 5."));
        assert!(!telling("In 1857 Louis Pasteur showed it.") && !telling("In 1961 the rest came."));
        assert!(!telling("In 1999 prices fell."));
        assert_eq!(found("Am 9. November 1989 las er es vor.")[1], (1989.0, 0, String::new()));
        assert_eq!(
            found("It weighs 1500 kg and feeds 1800 people."),
            [(1500.0, 0, "kg".into()), (1800.0, 0, "people".into())]
        );
    }
}
