//! A sentence in at most eight of its own words, for the screen: the whole of it is spoken meanwhile.
//!
//! What is left is one unbroken part of the sentence, so that it keeps its styles and says nothing that the
//! sentence does not: what leads in and what follows the statement is left out, then its last phrases.

use std::ops::Range;

use crate::media::scene::RichText;

use super::capacity::{columns, is_wide};
use super::sentences::slices;
use super::words::{Class, class, is_verb};

/// Words of a bullet at most.
pub(super) const MOST_WORDS: usize = 8;
/// How much more than the main clause another must tell to be shown instead.
const FOR_MAIN: i32 = 3;
/// Columns of a bullet in a script without spaces.
const MOST_COLUMNS: usize = 36;
/// Fewer words say too little.
const FEWEST_WORDS: usize = 3;

/// Words that only tie a sentence to the one before.
const LEADS: &[&str] = &[
    "so",
    "and",
    "but",
    "then",
    "first",
    "second",
    "third",
    "next",
    "finally",
    "lastly",
    "instead",
    "however",
    "also",
    "thus",
    "therefore",
    "hence",
    "moreover",
    "now",
    "still",
    "yet",
    "similarly",
    "likewise",
    "meanwhile",
];
/// Words that begin a clause before the statement, up to a comma.
const OPENINGS: &[&str] = &[
    "when", "if", "after", "before", "because", "although", "though", "while", "since", "as", "in", "on",
    "at", "for", "with", "by", "during", "unlike", "until", "once", "from", "to", "under", "over", "today",
    "where",
];
/// Words before which a statement is whole.
const FOLLOWING: &[&str] = &[
    "because", "which", "who", "whose", "where", "so", "when", "while", "although", "though", "but",
    "unless", "until", "since", "whereas", "if",
];

/// The text's statement, beginning with a capital and without a stop at its end.
pub(super) fn condensed(text: &RichText) -> RichText {
    let plain = text.to_plain();
    let range = statement(&plain);
    let mut short = slices(text, std::slice::from_ref(&range)).pop().unwrap_or_default();
    if let Some(first) = short.0.first_mut().filter(|span| span.style != crate::media::scene::SpanStyle::Code)
    {
        first.text = capitalized(&first.text);
    }
    if short.0.is_empty() { text.clone() } else { short }
}

pub(super) fn condensed_plain(text: &str) -> String {
    condensed(&RichText::plain(text)).to_plain()
}

pub(super) fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    // A name that begins small, such as an identifier, has a capital further on.
    let is_name = text.split(' ').next().is_some_and(|word| word.chars().skip(1).any(char::is_uppercase));
    match chars.next() {
        Some(first) if first.is_lowercase() && !is_name => first.to_uppercase().chain(chars).collect(),
        _ => text.to_owned(),
    }
}

/// How many words, as a reader counts them.
pub(super) fn word_count(text: &str) -> usize {
    text.split_whitespace().filter(|word| word.chars().any(char::is_alphanumeric)).count()
}

const AUXILIARIES: &[&str] = &[
    "has", "have", "had", "does", "do", "did", "can", "could", "may", "might", "will", "would", "must",
    "should", "cannot",
];

struct Word<'a> {
    range: Range<usize>,
    lower: String,
    text: &'a str,
}

impl Word<'_> {
    fn ends_clause(&self) -> bool {
        self.text.ends_with([',', ';', ':', '—', '–'])
    }
}

/// The range of the statement within a sentence.
pub(super) fn statement(plain: &str) -> Range<usize> {
    if plain.chars().filter(|c| is_wide(*c)).count() * 2 > plain.chars().count() {
        return wide_statement(plain);
    }
    let words = words(plain);
    let whole = || trimmed(plain, 0..plain.len());
    if words.len() <= MOST_WORDS && !has_lead(&words) {
        return whole();
    }
    let main = after_leads(&words);
    let (first, others) = (phrase(&words, main), later_clauses(&words, main));
    let telling = others
        .into_iter()
        .map(|from| phrase(&words, from))
        .reduce(|best, other| if tells(&words, &other) > tells(&words, &best) { other } else { best });
    let best =
        telling.filter(|other| tells(&words, other) > tells(&words, &first) + FOR_MAIN).unwrap_or(first);
    trimmed(plain, words[best.start].range.start..words[best.end - 1].range.end)
}

/// The words from one on, as far as they are a statement and there is room.
fn phrase(words: &[Word<'_>], mut from: usize) -> Range<usize> {
    let mut to = words.len();
    // Where the statement ends: at the first mark or word that begins something else.
    for index in from + 1..words.len() {
        let follows = FOLLOWING.contains(&words[index].lower.as_str());
        let long_enough = index - from >= FEWEST_WORDS;
        let ends = words[index - 1].ends_clause() && !is_enumeration(words, from, index);
        if long_enough && (ends || follows) {
            to = index;
            break;
        }
    }
    if to - from > MOST_WORDS && class(&words[from].lower) == Class::Determiner {
        from += 1;
    }
    if to - from > MOST_WORDS {
        to = last_phrase(words, from);
    }
    while to > from + 1 && hangs(&words[to - 1]) {
        to -= 1;
    }
    if to - from < FEWEST_WORDS.min(words.len()) {
        (from, to) = (0, words.len().min(MOST_WORDS));
    }
    from..to
}

/// Where clauses begin, behind the main one, that can stand alone: with a noun and a verb of their own.
fn later_clauses(words: &[Word<'_>], main: usize) -> Vec<usize> {
    let is_copula = |at: usize| class(&words[at].lower) == Class::Copula;
    let asks = words.get(main).is_some_and(|word| word.lower == "what");
    let begins = |at: usize| {
        let before = &words[at - 1];
        let behind_mark = before.ends_clause() && !is_enumeration(words, main, at);
        // "What remains is a square": what it is tells more.
        let complement = asks && is_copula(at - 1);
        behind_mark || complement || matches!(before.lower.as_str(), "whose" | "because" | "so" | "that")
    };
    let is_noun =
        |at: usize| matches!(class(&words[at].lower), Class::Determiner | Class::Content | Class::Vague);
    let has_verb = |at: usize| {
        words[at + 1..words.len().min(at + MOST_WORDS)].iter().any(|word| {
            is_verb(&word.lower)
                || class(&word.lower) == Class::Copula
                || AUXILIARIES.contains(&word.lower.as_str())
        })
    };
    (main + 1..words.len().saturating_sub(FEWEST_WORDS - 1))
        .filter(|at| begins(*at) && is_noun(*at) && !words[*at].lower.ends_with("ing"))
        .filter(|at| has_verb(*at) || asks && is_copula(*at - 1))
        .collect()
}

/// How much a phrase tells: words with content, and numbers; less what stands for something said elsewhere.
fn tells(words: &[Word<'_>], phrase: &Range<usize>) -> i32 {
    let weight = |word: &Word<'_>| match class(&word.lower) {
        _ if word.lower.starts_with(|c: char| c.is_ascii_digit()) => 3,
        Class::Content => 2,
        Class::Vague => 1,
        Class::Pointer => -1,
        _ if matches!(word.lower.as_str(), "it" | "they" | "he" | "she" | "them" | "him") => -1,
        _ => 0,
    };
    words[phrase.clone()].iter().map(weight).sum()
}

fn words(plain: &str) -> Vec<Word<'_>> {
    let mut from = 0;
    let mut found: Vec<Word<'_>> = vec![];
    for text in plain.split(' ') {
        let range = from..from + text.len();
        from += text.len() + 1;
        let bare = text.trim_matches(|c: char| !c.is_alphanumeric());
        match found.last_mut() {
            // Signs alone belong to the word before.
            Some(last) if bare.is_empty() => {
                last.range.end = range.end;
                last.text = &plain[last.range.clone()];
            }
            None if bare.is_empty() => {}
            _ => found.push(Word { range, lower: bare.to_lowercase(), text }),
        }
    }
    found
}

fn has_lead(words: &[Word<'_>]) -> bool {
    words.first().is_some_and(|first| LEADS.contains(&first.lower.as_str())) && words.len() > FEWEST_WORDS
}

/// The first word of the statement.
fn after_leads(words: &[Word<'_>]) -> usize {
    let mut from = 0;
    while from + FEWEST_WORDS < words.len() {
        let word = &words[from];
        if LEADS.contains(&word.lower.as_str()) {
            from += 1;
            continue;
        }
        // "It says that …": what is said counts.
        let says = (from..(from + 3).min(words.len())).find(|at| words[*at].lower == "that").filter(|at| {
            let verb = *at > from
                && ["says", "means", "shows", "tells", "know"].contains(&words[at - 1].lower.as_str());
            verb && words.len() - at > FEWEST_WORDS
        });
        if let Some(that) = says {
            from = that + 1;
            continue;
        }
        let opens = OPENINGS.contains(&word.lower.as_str());
        let comma = (from..words.len()).find(|at| words[*at].text.ends_with(','));
        match comma {
            Some(at) if opens && words.len() - (at + 1) >= FEWEST_WORDS => from = at + 1,
            _ => break,
        }
    }
    from
}

/// Whether a comma divides the members of a list rather than clauses: "a phone, a drill and an electric car run".
fn is_enumeration(words: &[Word<'_>], from: usize, at: usize) -> bool {
    let has_verb = words[from..at].iter().any(|word| {
        let lower = word.lower.as_str();
        matches!(class(lower), Class::Copula)
            || is_verb(lower)
            || AUXILIARIES.contains(&lower)
            || lower.ends_with("ed")
    });
    words[at - 1].text.ends_with(',') && !has_verb
}

/// The last place at which a phrase ends within the words allowed; failing that, before the noun that would be cut
/// off.
fn last_phrase(words: &[Word<'_>], from: usize) -> usize {
    let most = (from + MOST_WORDS).min(words.len());
    let begins_phrase = |at: usize| {
        let lower = words[at].lower.as_str();
        let preposition = class(lower) == Class::Preposition && lower != "of";
        let after_number = words[at - 1].lower.starts_with(|c: char| c.is_ascii_digit());
        (preposition || matches!(lower, "and" | "or" | "that" | "as" | "than")) && !after_number
    };
    let cut = (from + FEWEST_WORDS + 1..=most).rev().find(|at| *at < words.len() && begins_phrase(*at));
    let opens_noun = |at: &usize| matches!(class(&words[*at].lower), Class::Determiner | Class::Pointer);
    let is_cut_off = most < words.len() && class(&words[most].lower) == Class::Content;
    let noun =
        (most.saturating_sub(2)..most).find(opens_noun).filter(|at| is_cut_off && at - from > FEWEST_WORDS);
    cut.or(noun).unwrap_or(most)
}

/// Whether a phrase cannot end with the word.
fn hangs(word: &Word<'_>) -> bool {
    let lower = word.lower.as_str();
    matches!(class(lower), Class::Determiner | Class::Pointer | Class::Preposition | Class::Copula)
        && !matches!(
            lower,
            "this" | "that" | "out" | "up" | "down" | "away" | "each" | "all" | "two" | "three"
        )
        || matches!(
            lower,
            "and" | "or" | "but" | "nor" | "so" | "such" | "which" | "who" | "not" | "be" | "very"
        )
}

fn wide_statement(plain: &str) -> Range<usize> {
    let whole = trimmed(plain, 0..plain.len());
    if columns(&plain[whole.clone()]) <= MOST_COLUMNS {
        return whole;
    }
    let clause =
        plain.char_indices().find(|(at, c)| columns(&plain[..*at]) >= 8 && "，、；：,;".contains(*c));
    let end = clause.map(|(at, _)| at).filter(|at| columns(&plain[..*at]) <= MOST_COLUMNS);
    let most = plain.char_indices().find(|(at, _)| columns(&plain[..*at]) >= MOST_COLUMNS).map(|(at, _)| at);
    trimmed(plain, 0..end.or(most).unwrap_or(plain.len()))
}

/// Without the spaces around it and the marks at its end.
fn trimmed(plain: &str, range: Range<usize>) -> Range<usize> {
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
            ("So the hypotenuse is exactly 5 units long.", "The hypotenuse is exactly 5 units long"),
            ("電池はエネルギーを蓄える。", "電池はエネルギーを蓄える"),
        ] {
            assert_eq!(condensed_plain(sentence), shown);
        }
    }

    #[test]
    fn no_bullet_is_longer_than_eight_words_or_empty() {
        let scripts = [
            include_str!("../../../tests/fixtures/scripts/reference-180s.md"),
            include_str!("../../../tests/fixtures/scripts/pythagoras.txt"),
        ];
        for sentence in scripts.concat().split(['.', '\n']) {
            let short = condensed_plain(sentence.trim());
            assert!(word_count(&short) <= MOST_WORDS, "{short}");
            assert!(word_count(sentence) == 0 || word_count(&short) > 0, "{sentence}");
        }
        for odd in
            ["", " ", ",", "a", "and", "and and and and and", ", , ,", "If, if, if, if, if, if, if, if"]
        {
            let _never_panics = condensed_plain(odd);
        }
    }
}
