//! Writes values as Typst source. All text of a user passes through [`literal`], so none of it is ever read as markup.

/// Longest run of text without a break opportunity.
pub(super) const MAX_UNBROKEN: usize = 24;
/// Longest word with a slash that stays unbroken.
const MAX_WHOLE_WORD: usize = 14;

pub(super) fn point_source(x: f64, y: f64) -> String {
    format!("({}, {})", float(x), float(y))
}

/// Writes a Typst array. The trailing comma makes an array of a single entry.
pub(super) fn list(entries: impl Iterator<Item = String>) -> String {
    format!("({})", entries.map(|entry| format!("{entry}, ")).collect::<String>().trim_end_matches(' '))
}

/// Writes a number with six decimals at most, which suffices for any length or label.
pub(super) fn float(value: f64) -> String {
    let text = format!("{value:.6}");
    let short = text.trim_end_matches('0').trim_end_matches('.');
    if short.is_empty() || short == "-0" { "0".to_owned() } else { short.to_owned() }
}

pub(super) fn words(text: &str) -> String {
    literal(&breakable(text))
}

pub(super) fn optional(text: &str) -> String {
    if text.is_empty() { "none".to_owned() } else { words(text) }
}

/// Writes a Typst string literal. Control characters and direction overrides become U+FFFD.
pub(super) fn literal(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('"');
    for c in text.chars() {
        match c {
            '"' => literal.push_str("\\\""),
            '\\' => literal.push_str("\\\\"),
            '\n' => literal.push_str("\\n"),
            '\t' => literal.push_str("    "),
            c if c.is_control() || is_direction_override(c) => literal.push('\u{fffd}'),
            c => literal.push(c),
        }
    }
    literal.push('"');
    literal
}

fn is_direction_override(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Inserts zero-width spaces into long words, so that they can break, and word joiners into short ones like "km/h", so that
/// they cannot.
pub(super) fn breakable(text: &str) -> String {
    let text = with_units(text);
    let words = text.split_inclusive(char::is_whitespace).map(|word| match word.chars().count() {
        ..=MAX_WHOLE_WORD => word.replace('/', "/\u{2060}"),
        _ => word.to_owned(),
    });
    break_runs(&words.collect::<String>(), MAX_UNBROKEN)
}

/// Inserts zero-width spaces into long words of code, where lines hold more.
pub(super) fn breakable_code(text: &str) -> String {
    break_runs(text, 2 * MAX_UNBROKEN)
}

fn break_runs(text: &str, longest: usize) -> String {
    let mut broken = String::with_capacity(text.len());
    let mut run = 0;
    for c in text.chars() {
        run = if c.is_whitespace() { 0 } else { run + 1 };
        if run > longest {
            broken.push('\u{200b}');
            run = 1;
        }
        broken.push(c);
    }
    broken
}

/// Ties a number to the sign of its unit, so that no line ends between them: "100 °C".
fn with_units(text: &str) -> String {
    const SIGNS: &str = " % ‰ ° °C °F km m cm mm µm nm kg g mg t l ml km/h m/s kW MW GW kWh MWh V A mA W Hz kHz MHz GHz kB MB GB TB ms s min h € $ £ dB hPa kPa ";
    let mut tied = String::with_capacity(text.len() + 4);
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once(' ') {
        tied.push_str(before);
        let next = behind.split(' ').next().unwrap_or_default();
        let sign = next.trim_end_matches(['.', ',', ';', ':', ')', '!', '?']);
        let is_unit = before.ends_with(|c: char| c.is_ascii_digit())
            && !sign.is_empty()
            && SIGNS.split_whitespace().any(|listed| listed == sign);
        tied.push(if is_unit { '\u{a0}' } else { ' ' });
        rest = behind;
    }
    tied + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_its_unit_stay_on_one_line() {
        for (text, expected) in [
            ("boils at 100 °C, or so", "boils at 100\u{a0}°C, or so"),
            ("5 kg of flour and 3 eggs", "5\u{a0}kg of flour and 3 eggs"),
            ("a 5 m wall  and 5 a.", "a 5\u{a0}m wall  and 5 a."),
            ("", ""),
            ("5 ", "5 "),
        ] {
            assert_eq!(with_units(text), expected);
        }
    }
}
