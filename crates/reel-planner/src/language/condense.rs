//! Shortens a sentence for the screen where a part of it is a whole thought; the whole sentence is spoken.
//!
//! The result is one unbroken part of the sentence, so it keeps its styles and adds no meaning. Words that only tie it to the
//! sentence before are left out, and clauses that add to a statement which is whole without them. Nothing else is cut: a
//! sentence that has no such part is shown as it is.

use std::ops::Range;

use reel_scene::{RichText, SpanStyle};

use super::clauses;
use super::keyword::keyword;
use super::quantities::quantities;
use super::sentences::slices;
use super::tags::tag;
use super::width::is_wide;
use super::words::{capitalize, word_count};

/// Words that are read at a glance. A sentence with no more is shown as it is.
pub(crate) const MAX_WORDS: usize = 8;

/// Returns the text's statement, beginning with a capital and without a stop at its end. Words that the author made strong, code and
/// formulas stay: a text whose statement lacks one is returned whole.
pub(crate) fn condense(text: &RichText) -> RichText {
    let plain = text.to_plain();
    let short = statement(&plain);
    let range = if loses_styles(text, short.end) { trim_marks(&plain, 0..plain.len()) } else { short };
    cut(text, &range)
}

/// Returns what a page shows of a sentence that the author did not write for it: its statement or, where that is too long to be read
/// while a voice speaks, its keyword.
pub(crate) fn condense_sentence(text: &RichText) -> RichText {
    let short = condense(text);
    let plain = text.to_plain();
    // Parts of a divided sentence have no end.
    let is_sentence = plain.trim_end().ends_with(['.', '!', '…', '"', '”', ')']);
    if !is_sentence || word_count(&short.to_plain()) <= clauses::MAX_WORDS {
        return short;
    }
    match keyword(&plain) {
        Some(range) if !has_styles(text) => cut(text, &range),
        _ => short,
    }
}

/// Returns `true` when a style that tells something is used behind a place.
fn loses_styles(text: &RichText, end: usize) -> bool {
    let mut at = 0;
    text.0.iter().any(|span| {
        at += span.text.len();
        at > end && span.style != SpanStyle::Plain && span.text.chars().any(char::is_alphanumeric)
    })
}

fn has_styles(text: &RichText) -> bool {
    text.0.iter().any(|span| span.style != SpanStyle::Plain)
}

/// Returns a range of a text, beginning with a capital.
fn cut(text: &RichText, range: &Range<usize>) -> RichText {
    let mut short = slices(text, std::slice::from_ref(range)).pop().unwrap_or_default();
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
    let words = tag(plain);
    if words.len() <= MAX_WORDS && !clauses::has_lead(&words) {
        return trim_marks(plain, 0..plain.len());
    }
    let mut best = clauses::whole_thought(&words);
    if words.len() <= clauses::MAX_WORDS && best.end < words.len() {
        let end = words[best.end - 1].word.range.end;
        if loses_numbers(&plain[..end], &plain[end..]) {
            best.end = words.len();
        }
    }
    // Marks before the first word and behind the last are of the sentence: "« Deux planètes », dit-elle".
    let start = if best.start == 0 { 0 } else { words[best.start].word.range.start };
    let end = if best.end == words.len() { plain.len() } else { words[best.end - 1].word.range.end };
    trim_marks(plain, start..end)
}

/// Returns `true` when only the words that are left out have a number: that is what a listener forgets first.
fn loses_numbers(kept: &str, left_out: &str) -> bool {
    let has_number =
        |text: &str| quantities(text).iter().any(|found| !found.unit.is_empty() || !found.prefix.is_empty());
    has_number(left_out) && !has_number(kept)
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
    use reel_scene::Span;

    use super::*;

    /// Of the short forms that are shown, the share that may stand alone.
    const MIN_PRECISION: f64 = 0.98;

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
            (
                "Never pour water on burning oil, because the steam throws it about.",
                Some("Never pour water on burning oil"),
            ),
            (
                "The ship carried 2,200 people, although there were boats for half.",
                Some("The ship carried 2,200 people"),
            ),
            ("Six climbers reached the cold summit; only four came back.", None),
            ("Some of the snakes lay eggs, while the others bear their young alive.", None),
            ("Wash the pears, peel them with a knife, and the rest is easy work.", None),
            ("She never raised her voice at all, because she never had to.", None),
            ("\u{201c}A fold takes the next event; it returns the state,\u{201d} said the teacher.", None),
            ("The file keeps every event of the day, as a list of facts that have happened.", None),
            ("The page says what was bought yesterday, by whom and when.", None),
            (
                "The union has 60,000 members, most of whom work at night.",
                Some("The union has 60,000 members"),
            ),
            (
                "The server answered 12,000 requests, five times as many as before.",
                Some("The server answered 12,000 requests"),
            ),
            ("Tighten the screws a little at a time, going from one to the next.", None),
            ("Do you need a database of your own, or would a small file do?", None),
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
            let shown = condense_sentence(&RichText::plain(*sentence)).to_plain();
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

    /// Counts the sentences that are too long for a page, and those of them for which a short form is found.
    fn count_long(is_set_aside: bool) -> (usize, usize) {
        let long = labelled().into_iter().filter(|labelled| {
            labelled.is_set_aside == is_set_aside && word_count(labelled.sentence) > clauses::MAX_WORDS
        });
        long.fold((0, 0), |(count, short), Labelled { sentence, .. }| {
            let shown = condense_sentence(&RichText::plain(sentence)).to_plain();
            (count + 1, short + usize::from(word_count(&shown) <= clauses::MAX_WORDS))
        })
    }

    #[test]
    fn what_is_shown_may_stand_alone() {
        for is_set_aside in [false, true] {
            let (count, shortened, wrong) = judge(is_set_aside);
            let precision = 1.0 - wrong.len() as f64 / shortened.max(1) as f64;
            let (long, short) = count_long(is_set_aside);
            println!(
                "{count} sentences, {shortened} shortened, precision {precision:.3}; of {long} long ones {short} have a short form"
            );
            assert!(precision >= MIN_PRECISION, "{precision:.3} of {shortened}: {wrong:#?}");
            assert!(shortened * 4 >= count, "only {shortened} of {count} sentences are shortened");
            assert!(short * 2 >= long, "only {short} of {long} long sentences have a short form");
        }
    }

    #[test]
    fn words_that_the_author_made_strong_and_numbers_stay() {
        let span = |text: &str, style| Span { text: text.to_owned(), style };
        let strong = RichText(vec![
            span("The log keeps every event, and the state ", SpanStyle::Plain),
            span("follows", SpanStyle::Strong),
            span(" from them.", SpanStyle::Plain),
        ]);
        assert_eq!(
            condense(&strong).to_plain(),
            "The log keeps every event, and the state follows from them"
        );
        let sentence = "Noon was when the sun stood highest, and Bristol ran 10 minutes behind London.";
        assert_eq!(condense_plain(sentence), sentence.trim_end_matches('.'));
    }

    #[test]
    fn of_a_sentence_that_is_too_long_the_keyword_is_shown() {
        let long = "On 9 November 1989, at a table that was full of papers, a tired man read out a note that nobody had explained to \
                    him before.";
        let shown = |text: &str| condense_sentence(&RichText::plain(text)).to_plain();
        assert_eq!(shown(long), "9 November 1989");
        // A part of a divided sentence, and what the author styled, stay as they are.
        assert_eq!(shown(long.trim_end_matches('.')), long.trim_end_matches('.'));
        let styled = RichText(vec![Span { text: long.to_owned(), style: SpanStyle::Emphasis }]);
        assert_eq!(condense_sentence(&styled).to_plain(), long.trim_end_matches('.'));
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
