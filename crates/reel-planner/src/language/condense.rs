//! Condenses a sentence to at most eight of its own words, for the screen; the whole sentence is spoken.
//!
//! The result is one unbroken part of the sentence, so it keeps its styles and adds no meaning. Introductory words and later
//! clauses are left out first, then the last phrases.

use std::ops::Range;

use reel_scene::RichText;

use super::clauses;
use super::sentences::slices;
use super::width::{column_width, columns, is_wide};
use super::words::{capitalize, words};

/// Words of a bullet at most: what is read at a glance, while the voice says the rest.
pub(crate) const MAX_WORDS: usize = 8;
/// Columns of a bullet in a script without spaces: half a line.
const MAX_WIDE_COLUMNS: usize = 36;
/// Columns of a clause that says enough, in a script without spaces.
const MIN_WIDE_COLUMNS: usize = 8;

/// Returns the text's statement, beginning with a capital and without a stop at its end.
pub(crate) fn condense(text: &RichText) -> RichText {
    let plain = text.to_plain();
    let range = statement(&plain);
    let mut short = slices(text, std::slice::from_ref(&range)).pop().unwrap_or_default();
    if let Some(first) = short.0.first_mut().filter(|span| span.style != reel_scene::SpanStyle::Code) {
        first.text = capitalize(&first.text);
    }
    if short.0.is_empty() { text.clone() } else { short }
}

/// Returns the statement of a text without styles.
pub(crate) fn condense_plain(text: &str) -> String {
    condense(&RichText::plain(text)).to_plain()
}

/// Returns the range of the statement within a sentence.
pub(crate) fn statement(plain: &str) -> Range<usize> {
    if plain.chars().filter(|c| is_wide(*c)).count() * 2 > plain.chars().count() {
        return wide_statement(plain);
    }
    let words = words(plain);
    if words.len() <= MAX_WORDS && !clauses::has_lead(&words) {
        return trim_marks(plain, 0..plain.len());
    }
    let best = clauses::most_telling(&words);
    trim_marks(plain, words[best.start].range.start..words[best.end - 1].range.end)
}

fn wide_statement(plain: &str) -> Range<usize> {
    let whole = trim_marks(plain, 0..plain.len());
    if columns(&plain[whole.clone()]) <= MAX_WIDE_COLUMNS {
        return whole;
    }
    let (mut column, mut end) = (0, plain.len());
    for (offset, c) in plain.char_indices() {
        let ends_clause = column >= MIN_WIDE_COLUMNS && "，、；：,;".contains(c);
        if ends_clause || column >= MAX_WIDE_COLUMNS {
            end = offset;
            break;
        }
        column += column_width(c);
    }
    trim_marks(plain, 0..end)
}

/// Returns a range without the spaces around it and the marks at its end.
fn trim_marks(plain: &str, range: Range<usize>) -> Range<usize> {
    let text = &plain[range.clone()];
    let start = range.start + (text.len() - text.trim_start().len());
    let text = text.trim();
    // An ellipsis and a question mark say something.
    let bare = text.trim_end_matches(['.', ',', ';', ':', '—', '–', '。', '，', '：', ' ']);
    let end = if bare.is_empty() { text } else { bare };
    start..start + end.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::words::word_count;

    #[test]
    fn a_sentence_is_shown_in_few_of_its_words() {
        for (sentence, shown) in [
            (
                "Most applications store only the latest state.",
                "Most applications store only the latest state",
            ),
            (
                "When a customer changes an address, the old one is overwritten and gone.",
                "The old one is overwritten and gone",
            ),
            (
                "Event sourcing keeps every change instead, as a list of facts that have happened.",
                "Event sourcing keeps every change instead",
            ),
            (
                "A fold takes the state so far and the next event, and returns the new state.",
                "A fold takes the state",
            ),
            ("It has no side effects, so it can run as often as you like.", "It has no side effects"),
            (
                "In one shop with 40,000 orders a month, an order had 6 events on average.",
                "An order had 6 events on average",
            ),
            (
                "The Pythagorean theorem is one of the oldest results in mathematics.",
                "Pythagorean theorem is one of the oldest results",
            ),
            (
                "It says that in a right triangle, the square of the longest side equals the sum of the others.",
                "Square of the longest side equals the sum",
            ),
            (
                "They slip between the sheets of graphite, where the electrons wait.",
                "They slip between the sheets of graphite",
            ),
            (
                "Take a triangle whose short sides are 3 and 4 units long.",
                "Short sides are 3 and 4 units long",
            ),
            ("What remains in the middle is a tilted square with side c.", "A tilted square with side c"),
            (
                "The theorem also tells us the distance between two points on a map.",
                "The theorem also tells us the distance",
            ),
            (
                "A rope with twelve equal knots, pulled into sides of 3, 4 and 5, gives a right angle without any tool.",
                "A rope with twelve equal knots",
            ),
            ("The large square's area is a plus b, squared.", "Large square's area is a plus b, squared"),
            (
                "What is left is a squared plus b squared, and that must be the tilted square, c squared.",
                "A squared plus b squared",
            ),
            (
                "A thin film grows on the graphite and traps lithium for good.",
                "A thin film grows on the graphite",
            ),
            (
                "The electrolyte is the liquid that ions swim through.",
                "Electrolyte is the liquid that ions swim through",
            ),
            (
                "A phone, a drill and an electric car run on the same idea: lithium ions.",
                "A phone, a drill and an electric car",
            ),
            ("So the hypotenuse is exactly 5 units long.", "The hypotenuse is exactly 5 units long"),
            ("電池はエネルギーを蓄える。", "電池はエネルギーを蓄える"),
        ] {
            assert_eq!(condense_plain(sentence), shown);
        }
    }

    #[test]
    fn no_bullet_is_longer_than_eight_words_or_empty() {
        let scripts = [
            include_str!("../../../../tests/fixtures/scripts/reference-180s.md"),
            include_str!("../../../../tests/fixtures/scripts/pythagoras.txt"),
        ];
        for sentence in scripts.concat().split(['.', '\n']) {
            let short = condense_plain(sentence.trim());
            assert!(word_count(&short) <= MAX_WORDS, "{short}");
            assert!(word_count(sentence) == 0 || word_count(&short) > 0, "{sentence}");
        }
        for odd in
            ["", " ", ",", "a", "and", "and and and and and", ", , ,", "If, if, if, if, if, if, if, if"]
        {
            let _never_panics = condense_plain(odd);
        }
    }
}
