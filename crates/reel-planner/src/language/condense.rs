//! Shortens a sentence for the screen where a part of it is a whole thought; the whole sentence is spoken.
//!
//! The result is one unbroken part of the sentence, so it keeps its styles and adds no meaning. Words that only tie it to the
//! sentence before are left out, and clauses that add to a statement which is whole without them. Nothing else is cut: a
//! sentence that has no such part is shown as it is.

use std::ops::Range;

use reel_scene::{RichText, SpanStyle};

use super::clauses;
use super::sentences::slices;
use super::width::is_wide;
use super::words::{capitalize, words};

/// Words that are read at a glance. A sentence with no more is shown as it is.
pub(crate) const MAX_WORDS: usize = 8;

/// Returns the text's statement, beginning with a capital and without a stop at its end.
pub(crate) fn condense(text: &RichText) -> RichText {
    let plain = text.to_plain();
    let range = statement(&plain);
    let mut short = slices(text, std::slice::from_ref(&range)).pop().unwrap_or_default();
    if let Some(first) =
        short.0.first_mut().filter(|span| !matches!(span.style, SpanStyle::Code | SpanStyle::Math))
    {
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
        // Where a clause ends is not known in scripts without spaces.
        return trim_marks(plain, 0..plain.len());
    }
    let words = words(plain);
    if words.len() <= MAX_WORDS && !clauses::has_lead(&words) {
        return trim_marks(plain, 0..plain.len());
    }
    let best = clauses::whole_thought(&words);
    // Marks before the first word and behind the last are of the sentence: "« Deux planètes », dit-elle".
    let start = if best.start == 0 { 0 } else { words[best.start].range.start };
    let end = if best.end == words.len() { plain.len() } else { words[best.end - 1].range.end };
    trim_marks(plain, start..end)
}

/// Returns a range without the spaces around it and the marks at its end.
fn trim_marks(plain: &str, range: Range<usize>) -> Range<usize> {
    let text = &plain[range.clone()];
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '—' | '–' | '•' | '·'));
    let start = range.end - text.len();
    let text = text.trim_end();
    // An ellipsis and a question mark say something.
    let bare = text.trim_end_matches(['.', ',', ';', ':', '—', '–', '。', '，', '：', ' ']);
    let end = if bare.is_empty() { text } else { bare };
    start..start + end.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::words::word_count;

    /// Pairs of a sentence and the part that is shown; `None` for the whole sentence.
    #[test]
    fn a_sentence_is_cut_only_behind_a_whole_thought() {
        for (sentence, shown) in [
            ("Most applications store only the latest state.", None),
            ("When a customer changes an address, the old one is overwritten and gone.", None),
            ("A catalyst is a substance that speeds up a reaction.", None),
            ("Resonance is a push that arrives at the right moment.", None),
            ("A small push at the right time makes the swing go higher.", None),
            ("A fold takes the state so far and the next event, and returns the new state.", None),
            ("The gas expands if it is heated under constant pressure.", None),
            ("The gas expands, unless it is held in a vessel of constant size.", None),
            ("In one shop with 40,000 orders a month, an order had 6 events on average.", None),
            ("A rope, which has twelve equal knots, gives a right angle without any tool.", None),
            ("What remains in the middle is a tilted square with side c.", None),
            ("It turns out that the sum of the squares is always the same.", None),
            ("The engineers know which of the bridges has the weakest cables.", None),
            ("Water is heavier than the ice that floats on its surface.", None),
            ("It has no side effects, so it can run as often as you like.", Some("It has no side effects")),
            (
                "The shop makes 40 loaves a day because the street is full of offices.",
                Some("The shop makes 40 loaves a day"),
            ),
            (
                "They move between the sheets of graphite, where the electrons wait for them.",
                Some("They move between the sheets of graphite"),
            ),
            ("The wire carries a current, but the resistance of the metal turns some of it into heat.", None),
            (
                "The log keeps every event, and the state follows from them at any time.",
                Some("The log keeps every event"),
            ),
            (
                "The cell has two poles: the anode and the cathode of the battery.",
                Some("The cell has two poles"),
            ),
            (
                "However, the mixture needs a second day of rest before use.",
                Some("The mixture needs a second day of rest before use"),
            ),
            ("So the hypotenuse is exactly 5 units long.", Some("The hypotenuse is exactly 5 units long")),
            ("Then came the long rain of the year of the great flood.", None),
            ("電池はエネルギーを蓄える。", None),
            (
                "« Nous avons deux planètes, et deux soirs différents », disait une astronome à ses élèves.",
                None,
            ),
            ("Combien de temps faut-il à la lumière pour venir du Soleil à la Terre ?", None),
        ] {
            let whole = capitalize(sentence.trim_end_matches(['.', '。']));
            assert_eq!(condense_plain(sentence), shown.unwrap_or(&whole), "{sentence}");
        }
    }

    /// A sentence of `tests/data/shown.tsv`, with its beginnings that may stand alone.
    struct Labelled<'a> {
        sentence: &'a str,
        allowed: Vec<&'a str>,
        is_set_aside: bool,
    }

    fn labelled() -> Vec<Labelled<'static>> {
        let mut labelled: Vec<Labelled<'static>> = vec![];
        for line in include_str!("../../tests/data/shown.tsv").lines().skip(1) {
            let [_, sentence, candidate, label, part] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("{line} has not five columns");
            };
            if labelled.last().is_none_or(|last| last.sentence != sentence) {
                labelled.push(Labelled { sentence, allowed: vec![], is_set_aside: part == "aside" });
            }
            if let Some(last) = labelled.last_mut().filter(|_| label == "yes") {
                last.allowed.push(candidate);
            }
        }
        labelled
    }

    /// Counts the sentences, those that are shortened, and those that are shortened wrongly.
    fn judge(is_set_aside: bool) -> (usize, usize, Vec<String>) {
        let (mut shortened, mut wrong) = (0, vec![]);
        let sentences: Vec<_> =
            labelled().into_iter().filter(|labelled| labelled.is_set_aside == is_set_aside).collect();
        for Labelled { sentence, allowed, .. } in &sentences {
            let shown = condense_plain(sentence);
            if shown == sentence.trim_end_matches('.') {
                continue;
            }
            shortened += 1;
            // Left out may be only the word that ties the sentence to the one before.
            let is_allowed = allowed.iter().any(|candidate| {
                let cut = candidate.len().checked_sub(shown.len());
                let tail = cut.and_then(|cut| candidate.get(cut..));
                tail.is_some_and(|tail| capitalize(tail) == shown) && cut < Some(12)
            });
            if !is_allowed {
                wrong.push(format!("{shown} | {sentence}"));
            }
        }
        (sentences.len(), shortened, wrong)
    }

    #[test]
    fn what_is_shown_may_stand_alone() {
        for (is_set_aside, min_precision) in [(false, 0.98), (true, 0.98)] {
            let (count, shortened, wrong) = judge(is_set_aside);
            let precision = 1.0 - wrong.len() as f64 / shortened.max(1) as f64;
            println!("{count} sentences, {shortened} shortened, precision {precision:.3}");
            assert!(precision >= min_precision, "{precision:.3} of {shortened}: {wrong:#?}");
            assert!(shortened * 8 >= count, "only {shortened} of {count} sentences are shortened");
        }
    }

    #[test]
    fn nothing_that_is_shown_is_empty() {
        let scripts = [
            include_str!("../../../../tests/fixtures/scripts/reference-180s.md"),
            include_str!("../../../../tests/fixtures/scripts/pythagoras.txt"),
        ];
        for sentence in scripts.concat().split(['.', '\n']) {
            let short = condense_plain(sentence.trim());
            assert!(word_count(sentence) == 0 || word_count(&short) > 0, "{sentence}");
        }
        for odd in
            ["", " ", ",", "a", "and", "and and and and and", ", , ,", "If, if, if, if, if, if, if, if"]
        {
            let _never_panics = condense_plain(odd);
        }
    }
}
