//! Sentences that say something by their form: steps, choices between two, definitions, pairs of quantities.

use super::condense::{capitalized, word_count};
use super::numbers::{Quantity, quantities};
use super::words::{Class, bare, class, is_verb};

/// Words with which steps begin.
const STEP_WORDS: &[&str] = &[
    "first",
    "firstly",
    "second",
    "secondly",
    "third",
    "thirdly",
    "then",
    "next",
    "after that",
    "finally",
    "lastly",
];

/// The word that makes a sentence a step.
pub(super) fn step_word(text: &str) -> Option<String> {
    let lower = text.get(..14.min(text.len())).unwrap_or(text).to_lowercase();
    let lower = if lower.is_ascii() { lower } else { return None };
    let found = STEP_WORDS
        .iter()
        .find(|word| lower.strip_prefix(**word).is_some_and(|rest| rest.starts_with([' ', ','])));
    found.map(|word| (*word).to_owned())
}

/// The two things of "A versus B is …".
pub(super) fn versus(text: &str) -> Option<(String, String)> {
    const MOST: usize = 4;
    let (left, right) = [" versus ", " vs. ", " vs "].iter().find_map(|word| text.split_once(word))?;
    let right: Vec<&str> = right
        .split(' ')
        .take_while(|word| {
            let word = bare(word).to_lowercase();
            !matches!(class(&word), Class::Copula | Class::Preposition) && !is_verb(&word)
        })
        .collect();
    let right = right.join(" ");
    let fits = |side: &str| (1..=MOST).contains(&word_count(side));
    let name = |side: &str| capitalized(bare(side));
    (fits(left) && fits(&right)).then(|| (name(left), name(&right)))
}

/// What a sentence defines and how: "Definition: an ion is an atom that …", or "The longest side is called …".
pub(super) fn defined(text: &str) -> Option<(String, String)> {
    const MOST_TERM_WORDS: usize = 4;
    const MOST_MEANING_WORDS: usize = 24;
    let name = |term: &str| {
        let term = term.trim().trim_end_matches(['.', ',']);
        let term = ["a ", "an ", "the ", "A ", "An ", "The "]
            .iter()
            .find_map(|article| term.strip_prefix(article))
            .unwrap_or(term);
        capitalized(term)
    };
    let fits = |term: &str, meaning: &str| {
        (1..=MOST_TERM_WORDS).contains(&word_count(term))
            && (3..=MOST_MEANING_WORDS).contains(&word_count(meaning))
    };
    let named =
        ["Definition: ", "definition: ", "DEFINITION: "].iter().find_map(|word| text.strip_prefix(word));
    if let Some(rest) = named {
        let (term, meaning) = [" is ", " are ", " means "].iter().find_map(|verb| rest.split_once(verb))?;
        return fits(term, meaning).then(|| (name(term), capitalized(meaning)));
    }
    let (meaning, rest) = [" is called ", " are called "].iter().find_map(|verb| text.split_once(verb))?;
    let term = rest.split([',', ';', '.']).next().unwrap_or(rest);
    fits(term, meaning).then(|| (name(term), capitalized(meaning)))
}

/// Exactly two quantities of different kinds.
pub(super) fn pair(text: &str) -> Option<(Quantity, Quantity)> {
    let [x, y] = <[Quantity; 2]>::try_from(quantities(text)).ok()?;
    (!x.kind().is_empty() && x.kind() != y.kind()).then_some((x, y))
}
