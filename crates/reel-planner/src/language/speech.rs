//! Converts text to what a voice speaks.
//!
//! Spoken text has no markup and no backticks, reads identifiers as words, and always ends with a stop,
//! so that the voice falls and pauses. Text without a letter or digit cannot be said.

use reel_scene::{RichText, SpanStyle};

use super::formulas::read_formula;
use super::width::is_wide;

const STOPS: &[char] = &['.', '!', '?', '…', '。', '！', '？', '．', '؟', '।'];
const CLOSERS: &[char] = &['"', '\'', '”', '’', ')', ']', '»', '」', '』', '）', '】'];
/// Marks that lead to what is shown next, but that a voice must not be left hanging on.
const OPEN_ENDS: &[char] = &[':', ';', ',', '—', '–', '：', '；', '，', '、', ' '];

/// Returns the narration of a text, or `None` when there is nothing in it to say.
pub(crate) fn speak(text: &RichText) -> Option<String> {
    let mut spoken = String::new();
    for span in &text.0 {
        match span.style {
            SpanStyle::Code => spoken.push_str(&split_identifiers(&span.text)),
            SpanStyle::Math => spoken.push_str(&read_formula(&span.text)),
            _ => spoken.push_str(&span.text),
        }
    }
    sentence(&spoken)
}

/// Returns the narration of plain text, or `None` when there is nothing in it to say.
pub(crate) fn speak_plain(text: &str) -> Option<String> {
    sentence(text)
}

/// Returns `true` when a voice can speak any of the text.
pub(crate) fn is_speakable(text: &str) -> bool {
    text.chars().any(char::is_alphanumeric)
}

/// Returns the narration of a table's row: `History. Before: lost. After: complete.`
///
/// A unit in the column's header goes where a person would say it: `Energy (Wh/kg)` over `180` is
/// spoken `Energy: 180 Wh/kg.` Empty cells are passed over.
pub(crate) fn speak_row(header: &[RichText], row: &[RichText]) -> Option<String> {
    let cells = row.iter().enumerate().filter_map(|(column, cell)| {
        let value = phrase(cell)?;
        let label = header.get(column).filter(|_| column > 0).and_then(phrase);
        Some(match label {
            Some(label) => label_value(&label, &value),
            None => value,
        })
    });
    let spoken: Vec<String> = cells.filter_map(|cell| sentence(&cell)).collect();
    if spoken.is_empty() { None } else { Some(spoken.join(" ")) }
}

/// Returns a cell's words without the stop that a sentence would get.
fn phrase(cell: &RichText) -> Option<String> {
    let spoken = speak(cell)?;
    Some(spoken.strip_suffix(['.', '。']).unwrap_or(&spoken).to_owned())
}

/// Returns a value behind its column's label.
fn label_value(label: &str, value: &str) -> String {
    let unit = label.strip_suffix(')').and_then(|label| label.split_once(" ("));
    match unit {
        Some((name, unit)) if value.ends_with(|c: char| c.is_numeric()) => format!("{name}: {value} {unit}"),
        _ => format!("{label}: {value}"),
    }
}

/// Returns a text as one sentence: on one line, without backticks, and with a stop at its end.
fn sentence(text: &str) -> Option<String> {
    if !is_speakable(text) {
        return None;
    }
    // The mark at the end of a proof is read by the eye alone.
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || matches!(c, '`' | '∎')).filter(|w| !w.is_empty()).collect();
    let spoken = words.join(" ");
    // A path that ends a command, as in `build .`, would be a stop of its own.
    let spoken = spoken.trim_end_matches(" .");
    if spoken.trim_end_matches(CLOSERS).ends_with(STOPS) {
        return Some(spoken.to_owned());
    }
    let body = spoken.trim_end_matches(OPEN_ENDS);
    let stop = if body.ends_with(is_wide) { '。' } else { '.' };
    Some(format!("{body}{stop}"))
}

/// Turns `OrderPlaced` into `Order Placed`, and `Event::order_id()` into `Event order id`.
fn split_identifiers(code: &str) -> String {
    let code = code.replace("::", " ").replace("()", "").replace('_', " ");
    let letters: Vec<char> = code.chars().collect();
    let mut words = String::with_capacity(code.len() + 8);
    for (index, &letter) in letters.iter().enumerate() {
        let before = index.checked_sub(1).map(|before| letters[before]);
        let starts_word = before.is_some_and(|before| {
            let after_lower = before.is_lowercase() || before.is_numeric();
            let ends_acronym = letters.get(index + 1).is_some_and(|next| next.is_lowercase());
            letter.is_uppercase() && (after_lower || before.is_uppercase() && ends_acronym)
        });
        if starts_word {
            words.push(' ');
        }
        words.push(letter);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use reel_scene::Span;

    fn cells(texts: &[&str]) -> Vec<RichText> {
        texts.iter().map(|text| RichText::plain(*text)).collect()
    }

    #[test]
    fn identifiers_in_code_are_spoken_as_words() {
        let text = RichText(vec![
            Span { text: "OrderPlaced".into(), style: SpanStyle::Code },
            Span { text: " says what was bought".into(), style: SpanStyle::Plain },
        ]);
        assert_eq!(speak(&text).as_deref(), Some("Order Placed says what was bought."));
        assert_eq!(split_identifiers("HTTPServer::new_request()"), "HTTP Server new request");
        assert_eq!(split_identifiers("v2Beta"), "v2 Beta");
    }

    #[test]
    fn narration_ends_with_a_stop() {
        for (text, spoken) in [
            ("from the first to the last:", "from the first to the last."),
            ("He said \"stop!\"", "He said \"stop!\""),
            ("It gives 3.7 volts", "It gives 3.7 volts."),
            ("(see below)", "(see below)."),
            ("状態です", "状態です。"),
            ("really?", "really?"),
            ("docker build .", "docker build."),
        ] {
            assert_eq!(speak_plain(text).as_deref(), Some(spoken));
        }
    }

    #[test]
    fn punctuation_alone_is_not_spoken() {
        assert_eq!(speak_plain("--- * ** $ 🎉"), None);
        assert_eq!(speak_row(&cells(&["", "a"]), &cells(&["", "-"])), None);
    }

    #[test]
    fn a_row_is_spoken_with_its_column_headers_and_units() {
        let header = cells(&["", "Overwriting state", "Event sourcing"]);
        let row = cells(&["History", "lost", "complete"]);
        let spoken = "History. Overwriting state: lost. Event sourcing: complete.";
        assert_eq!(speak_row(&header, &row).as_deref(), Some(spoken));
        let header = cells(&["Chemistry", "Energy (Wh/kg)", "Used in"]);
        let row = cells(&["LCO", "180", "phones"]);
        assert_eq!(speak_row(&header, &row).as_deref(), Some("LCO. Energy: 180 Wh/kg. Used in: phones."));
    }
}
