//! Finds the part of a sentence that may stand for it: a whole thought, or nothing shorter than the sentence.
//!
//! These are rules of thumb for English, made from the words of [`vocabulary`](super::vocabulary); there is no parser
//! behind them, so they only cut where the rest cannot be missed: before a clause that adds a reason, a consequence, a
//! comparison or a remark to a statement that has its verb and object. A "but" takes something back, so its sentence stays whole.
//! A condition stays, because without it the statement may be false; so do relative clauses without a comma, phrases with a
//! preposition, and all that comes before the subject. `tests/data/shown.tsv` has sentences with the places where they may be cut.

use std::ops::Range;

use super::vocabulary::{Class, hangs, is_joint, is_lead, is_opening, is_predicate, is_subject};
use super::words::Word;

/// Fewer words hold no subject, verb and object.
const MIN_WORDS: usize = 3;

/// Returns the words to show: without the words that only tie the sentence to the one before, and up to the first place
/// where a statement is whole.
pub(crate) fn whole_thought(words: &[Word<'_>]) -> Range<usize> {
    let from = skip_leads(words);
    let to = (from + MIN_WORDS..words.len()).find(|at| can_end_before(words, from, *at));
    from..to.unwrap_or(words.len())
}

/// Returns `true` for a sentence whose first word only connects it to the sentence before.
pub(crate) fn has_lead(words: &[Word<'_>]) -> bool {
    skip_leads(words) > 0
}

fn skip_leads(words: &[Word<'_>]) -> usize {
    let leads = words.iter().take_while(|word| is_lead(&word.lower)).count();
    // "Then came the rain", "So far it holds": behind these there is no statement of its own.
    let begins = words.get(leads).is_some_and(|word| {
        matches!(word.class, Class::Determiner | Class::Pointer | Class::Content | Class::Vague)
            || is_subject(&word.lower)
    });
    if begins && words.len() - leads >= MIN_WORDS { leads } else { 0 }
}

/// Returns `true` when the words before one are a whole statement, and what begins there only adds to it.
fn can_end_before(words: &[Word<'_>], from: usize, at: usize) -> bool {
    let (before, next) = (&words[at - 1], words[at].lower.as_str());
    let mark = before.text.chars().last().unwrap_or_default();
    let told = &words[from..at];
    let is_addition = match mark {
        ';' | '—' | '–' => true,
        // "The rule is this:", "Newton wrote:": the rest is what is told.
        ':' => before.class == Class::Content && !announces_words(told),
        ',' => match next {
            "although" | "though" => !is_hedged(told),
            // "so that" says what for, and without that it may be false.
            "so" => words.get(at + 1).is_none_or(|word| word.lower != "that"),
            "because" | "while" | "whereas" => true,
            "which" | "where" | "who" => !is_followed_up(words, at),
            "and" | "or" => begins_clause(words, at + 1) && !is_hedged(told),
            _ => false,
        },
        _ => match next {
            // "not because …" denies the reason, and not what is before it.
            "because" => !is_negated(told),
            "whereas" => !is_hedged(told),
            _ => false,
        },
    };
    is_addition && is_statement(&words[from..at])
}

/// Returns `true` for words that only lead to what is said behind a colon.
fn announces_words(told: &[Word<'_>]) -> bool {
    let speaks = |word: &Word<'_>| {
        matches!(
            word.lower.as_str(),
            "say"
                | "says"
                | "said"
                | "write"
                | "writes"
                | "wrote"
                | "ask"
                | "asks"
                | "asked"
                | "following"
                | "remember"
                | "this"
                | "simple"
        )
    };
    told.iter().any(speaks)
}

/// Returns `true` for words that say no, or hardly.
fn is_negated(told: &[Word<'_>]) -> bool {
    told.iter().any(|word| {
        matches!(
            word.lower.as_str(),
            "not"
                | "no"
                | "never"
                | "nobody"
                | "nothing"
                | "none"
                | "neither"
                | "hardly"
                | "few"
                | "only"
                | "cannot"
                | "without"
        ) || word.lower.ends_with("n't")
    })
}

/// Returns `true` for words that somebody thinks or says, or that may be so, and that what follows can take back.
fn is_hedged(told: &[Word<'_>]) -> bool {
    told.iter().any(|word| {
        matches!(
            word.lower.as_str(),
            "believe"
                | "believed"
                | "believes"
                | "think"
                | "thinks"
                | "thought"
                | "claim"
                | "claims"
                | "claimed"
                | "say"
                | "says"
                | "said"
                | "suspect"
                | "suspected"
                | "suppose"
                | "supposed"
                | "seem"
                | "seems"
                | "seemed"
                | "appears"
                | "appeared"
                | "may"
                | "might"
                | "perhaps"
                | "maybe"
                | "probably"
                | "allegedly"
                | "supposedly"
                | "promised"
                | "expected"
                | "hoped"
                | "once"
        )
    })
}

/// Returns `true` when the clause that begins at a word is an aside, behind which the sentence goes on: "…, which is old, …".
fn is_followed_up(words: &[Word<'_>], at: usize) -> bool {
    matches!(words[at].lower.as_str(), "which" | "who" | "where")
        && words[at..].iter().any(|word| word.text.ends_with(','))
}

/// Returns `true` when a subject and its verb follow.
fn begins_clause(words: &[Word<'_>], at: usize) -> bool {
    let opens = words.get(at).is_some_and(|word| {
        matches!(word.class, Class::Determiner | Class::Pointer) || is_subject(&word.lower)
    });
    opens && words[at + 1..].iter().take(6).any(|word| is_predicate(&word.lower))
}

/// Returns `true` for words with a subject, a verb, and something behind it that ends well.
fn is_statement(words: &[Word<'_>]) -> bool {
    let Some(last) = words.last() else { return false };
    // Up to the comma, only a condition or a time was told: "When it rains, …".
    let opens_with_clause =
        is_opening(&words[0].lower) && !words[..words.len() - 1].iter().any(|word| word.text.ends_with(','));
    let Some(verb) = words.iter().skip(1).position(|word| is_predicate(&word.lower)) else { return false };
    let behind = &words[verb + 2..];
    let has_object = behind.iter().any(|word| word.class == Class::Content || word.is_number());
    let asks =
        matches!(words[0].lower.as_str(), "what" | "who" | "which" | "whether" | "that" | "how" | "why");
    let ends_well = !hangs(&last.lower) && !is_joint(&last.lower) && !is_predicate(&last.lower);
    has_object && ends_well && !opens_with_clause && !asks
}
