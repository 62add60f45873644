//! Sentences that say something by their form: steps, choices between two, definitions, pairs of quantities.

use super::phrases::{noun_phrases, subject};
use super::quantities::{Quantity, quantities};
use super::vocabulary::{Class, STEP_WORDS, class, is_anaphor, is_verb};
use super::words::{bare, capitalize, first_word, stem, without_article, word_count};

/// Returns the word that makes a sentence a step, in lower case.
pub(crate) fn step_word(text: &str) -> Option<String> {
    let lower = text.get(..14.min(text.len())).unwrap_or(text).to_lowercase();
    let lower = if lower.is_ascii() { lower } else { return None };
    let found = STEP_WORDS
        .iter()
        .find(|word| lower.strip_prefix(**word).is_some_and(|rest| rest.starts_with([' ', ','])));
    found.map(|word| (*word).to_owned())
}

/// Returns the two things of "A versus B is …".
pub(crate) fn versus(text: &str) -> Option<(String, String)> {
    /// Words of a side's title.
    const MAX_WORDS: usize = 4;
    let (left, right) = [" versus ", " vs. ", " vs "].iter().find_map(|word| text.split_once(word))?;
    let right: Vec<&str> = right
        .split(' ')
        .take_while(|word| {
            let word = bare(word).to_lowercase();
            !matches!(class(&word), Class::Copula | Class::Preposition) && !is_verb(&word)
        })
        .collect();
    let right = right.join(" ");
    let fits = |side: &str| (1..=MAX_WORDS).contains(&word_count(side));
    let name = |side: &str| capitalize(bare(side));
    (fits(left) && fits(&right)).then(|| (name(left), name(&right)))
}

/// Returns the two things of "A is slower than B": the subject, and what stands behind "than".
pub(crate) fn compared(text: &str) -> Option<(String, String)> {
    let (before, after) = text.split_once(" than ")?;
    let left = subject(text).filter(|subject| subject.range.end <= before.len())?;
    let right = noun_phrases(after).into_iter().find(|phrase| phrase.range.start == 0)?;
    let is_pointer = |name: &str| is_anaphor(&first_word(name));
    (!is_pointer(&left.text) && !is_pointer(&right.text))
        .then(|| (without_article(&left.text), without_article(&right.text)))
}

/// Returns what a sentence defines and how: "Definition: an ion is an atom that …", or "The longest side is called …".
pub(crate) fn definition(text: &str) -> Option<(String, String)> {
    /// A longer term is a clause.
    const MAX_TERM_WORDS: usize = 4;
    /// Three lines of a definition's box.
    const MAX_MEANING_WORDS: usize = 24;
    let name = |term: &str| without_article(term.trim().trim_end_matches(['.', ',']));
    let fits = |term: &str, meaning: &str| {
        (1..=MAX_TERM_WORDS).contains(&word_count(term))
            && (3..=MAX_MEANING_WORDS).contains(&word_count(meaning))
    };
    let named =
        ["Definition: ", "definition: ", "DEFINITION: "].iter().find_map(|word| text.strip_prefix(word));
    if let Some(rest) = named {
        let (term, meaning) = [" is ", " are ", " means "].iter().find_map(|verb| rest.split_once(verb))?;
        return fits(term, meaning).then(|| (name(term), capitalize(meaning)));
    }
    let (meaning, rest) = [" is called ", " are called "].iter().find_map(|verb| text.split_once(verb))?;
    let term = rest.split([',', ';', '.']).next().unwrap_or(rest);
    // "Linters find them: the rule is called …" says first what is not the meaning.
    if meaning.contains([':', ';']) {
        return None;
    }
    fits(term, meaning).then(|| (name(term), capitalize(meaning)))
}

/// Returns the quantities of a sentence in pairs of two kinds: "After 20 years you have 3,870 euros, and after 30 years 7,612 euros."
pub(crate) fn quantity_pairs(text: &str) -> Option<Vec<(Quantity, Quantity)>> {
    let found = quantities(text);
    let pairs: Vec<_> = found.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
    let (x, y) = pairs.first()?;
    // One year and several years are of one kind.
    let same = |(other_x, other_y): &(Quantity, Quantity)| {
        stem(other_x.kind()) == stem(x.kind()) && stem(other_y.kind()) == stem(y.kind())
    };
    let is_paired = found.len().is_multiple_of(2) && pairs.iter().all(same);
    (is_paired && !x.kind().is_empty() && stem(x.kind()) != stem(y.kind())).then_some(pairs)
}
