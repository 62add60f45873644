//! Finds the words that stand for a sentence which is too long to be shown: a date, a number with what it counts, or the subject.
//!
//! A listener holds on to a subject easily and to a number hardly, so numbers come first. Everything else of the sentence is
//! only spoken. A sentence in which somebody thinks or says something is not about who does.

use std::ops::Range;

use super::clauses::is_hedged;
use super::dates::is_month;
use super::phrases::{Phrase, phrases_of, subject_of};
use super::quantities::quantities;
use super::tags::{Tag, Tagged, tag};
use super::vocabulary::{Class, class};
use super::words::{bare, first_word, word_count};

/// Of more numbers none is the one to remember, as in a list of ingredients.
const MAX_NUMBERS: usize = 2;
/// Words that are still read at a glance.
const MAX_KEYWORD_WORDS: usize = 8;

/// Returns the byte range of a sentence's keyword. None where nothing in it is telling.
pub(crate) fn keyword(sentence: &str) -> Option<Range<usize>> {
    let tagged = tag(sentence);
    if sentence.trim_end().ends_with('?') {
        return None;
    }
    date(&tagged).or_else(|| number(sentence, &tagged)).or_else(|| telling_subject(sentence, &tagged))
}

/// Returns the first day of a month: "9 November 1989", "July 20".
fn date(tagged: &[Tagged<'_>]) -> Option<Range<usize>> {
    let is_number = |at: usize| tagged.get(at).is_some_and(|word| word.tag == Tag::Number);
    let month = (0..tagged.len()).find(|at| {
        is_month(bare(tagged[*at].word.text))
            && (at.checked_sub(1).is_some_and(is_number) || !tagged[*at].ends_part() && is_number(at + 1))
    })?;
    let from = month.checked_sub(1).filter(|at| is_number(*at) && !tagged[*at].ends_part()).unwrap_or(month);
    let to = if !tagged[month].ends_part() && is_number(month + 1) { month + 1 } else { month };
    Some(tagged[from].word.bare_range.start..tagged[to].word.bare_range.end)
}

/// Returns the most telling number with its unit, and the noun phrase around it: "a height of 400 kilometres".
fn number(sentence: &str, tagged: &[Tagged<'_>]) -> Option<Range<usize>> {
    let found: Vec<_> = quantities(sentence)
        .into_iter()
        .filter(|found| !found.prefix.is_empty() || !found.unit.is_empty() && !is_scale(found.kind()))
        .collect();
    if found.len() > MAX_NUMBERS {
        return None;
    }
    let best = found.iter().find(|found| found.is_telling()).or(found.first())?;
    let overlaps =
        |phrase: &Phrase| phrase.range.start < best.range.end && best.range.start < phrase.range.end;
    let around = phrases_of(sentence, tagged)
        .into_iter()
        .find(overlaps)
        .map(|phrase| phrase.range.start.min(best.range.start)..phrase.range.end.max(best.range.end));
    around
        .filter(|range| word_count(&sentence[range.clone()]) <= MAX_KEYWORD_WORDS)
        .or(Some(best.range.clone()))
}

/// Returns `true` for a word that only makes a number larger: of "40 million times" it says nothing.
fn is_scale(word: &str) -> bool {
    matches!(word, "hundred" | "thousand" | "million" | "billion" | "trillion" | "dozen")
}

/// Returns the subject, if it names something by itself.
fn telling_subject(sentence: &str, tagged: &[Tagged<'_>]) -> Option<Range<usize>> {
    let subject = subject_of(sentence, tagged)?;
    let points = class(&first_word(&subject.text)) == Class::Pointer;
    // "The abstract" and "the owner" say too little; "the price of oil" and "Louis Pasteur" name something.
    let names =
        subject.text.split(' ').filter(|word| class(&word.to_lowercase()) == Class::Content).count() > 1;
    let is_telling = names && class(&subject.head) == Class::Content && !points && !is_hedged(tagged);
    (is_telling && word_count(&subject.text) <= MAX_KEYWORD_WORDS).then_some(subject.range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyword_is_a_date_a_number_or_the_subject() {
        for (sentence, expected) in [
            (
                "On 9 November 1989, at a table full of papers, a spokesman read out a note.",
                Some("9 November 1989"),
            ),
            ("They met on July 20 in the old town.", Some("July 20")),
            (
                "It flies at a height of 400 kilometres and comes back soon.",
                Some("a height of 400 kilometres"),
            ),
            ("We looked at 3 shops and counted 1,200 beetles there.", Some("1,200 beetles")),
            ("They meet 40 million times a second, and most of it is lost.", None),
            ("Whisk 3 eggs, 250 grams of flour and 90 grams of sugar.", None),
            ("The price of oil rises when demand grows in the east.", Some("The price of oil")),
            ("The crew left the ship in the harbour of the old town.", None),
            ("The owner of the house believes that nobody was in the house.", None),
            ("They went on and on until all of it was gone.", None),
            ("What did 40 people do there?", None),
            ("電池はエネルギーを蓄える。", None),
            ("", None),
        ] {
            let found = keyword(sentence).map(|range| &sentence[range]);
            assert_eq!(found, expected, "{sentence}");
        }
    }
}
