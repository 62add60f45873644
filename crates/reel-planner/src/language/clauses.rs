//! Finds the clause of a sentence that tells most in few words.
//!
//! These are rules of thumb for English, made from the words of [`vocabulary`](super::vocabulary); there is no parser
//! behind them. A clause is found by the marks and conjunctions around it and rated by its words with content.

use std::ops::Range;

use super::condense::MAX_WORDS;
use super::vocabulary::{
    Class, hangs, is_following, is_joint, is_lead, is_opening, is_predicate, is_third_person, is_verb,
};
use super::words::Word;

/// Score by which another clause must exceed the main clause to replace it. It is more than a single content word adds (2), so
/// that the main clause stays unless two things speak against it.
const MAIN_CLAUSE_BONUS: i32 = 3;
/// Score of each better ending: half that of a content word.
const ENDING_BONUS: i32 = 1;
/// Fewer words hold no subject, verb and object.
const MIN_WORDS: usize = 3;

/// The quality of a phrase's ending, from worst to best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Ending {
    /// At the limit of the length.
    Anywhere,
    /// Before the noun that would be cut off.
    BeforeNoun,
    /// After a noun that a phrase with "of" follows.
    AfterNoun,
    /// Before the next phrase.
    BeforePhrase,
    /// At the end of the clause.
    Whole,
}

/// Words of a sentence that may be shown for it.
struct Phrase {
    words: Range<usize>,
    ending: Ending,
}

/// Returns the words of the clause to show: the main one, unless another tells much more.
pub(crate) fn most_telling(words: &[Word<'_>]) -> Range<usize> {
    let main = skip_leads(words);
    let worth = |phrase: &Phrase| tells(words, &phrase.words) + ENDING_BONUS * phrase.ending as i32;
    let first = phrase(words, main);
    let others = later_clauses(words, main).into_iter().map(|from| phrase(words, from));
    let best = others.reduce(|best, other| if worth(&other) > worth(&best) { other } else { best });
    best.filter(|other| worth(other) > worth(&first) + MAIN_CLAUSE_BONUS).unwrap_or(first).words
}

/// Returns the words from one on, as far as they are a statement and there is room.
fn phrase(words: &[Word<'_>], from: usize) -> Phrase {
    // Where the statement ends: at the first mark or word that begins something else.
    let ends = |index: usize| {
        let follows = is_following(&words[index].lower);
        let behind_mark = words[index - 1].ends_clause() && !is_enumeration(words, from, index);
        index - from >= MIN_WORDS && (behind_mark || follows)
    };
    let to = (from + 1..words.len()).find(|index| ends(*index)).unwrap_or(words.len());
    // One word at the end belongs to what stands before it: "a plus b, squared".
    let to = if to + 1 == words.len() { words.len() } else { to };
    let whole = fit(words, from, to);
    // Without its article it may end better.
    let without_article = (words[from].class == Class::Determiner).then(|| fit(words, from + 1, to));
    let best = match without_article {
        Some(shorter) if shorter.ending > whole.ending => shorter,
        _ => whole,
    };
    if best.words.len() < MIN_WORDS.min(words.len()) {
        return Phrase { words: 0..words.len().min(MAX_WORDS), ending: Ending::Anywhere };
    }
    best
}

/// Returns as much of a clause as there is room for.
fn fit(words: &[Word<'_>], from: usize, to: usize) -> Phrase {
    if to - from <= MAX_WORDS {
        let to = if is_joint(&words[to - 1].lower) && to > from + 1 { to - 1 } else { to };
        return Phrase { words: from..to, ending: Ending::Whole };
    }
    let (mut to, ending) = last_phrase(words, from);
    while to > from + 1 && hangs(&words[to - 1].lower) {
        to -= 1;
    }
    Phrase { words: from..to, ending }
}

/// Returns where clauses begin, behind the main one, that can stand alone: with a noun and a verb of their own.
fn later_clauses(words: &[Word<'_>], main: usize) -> Vec<usize> {
    let is_copula = |at: usize| words[at].class == Class::Copula;
    let asks = words.get(main).is_some_and(|word| word.lower == "what");
    let begins = |at: usize| {
        let before = &words[at - 1];
        let behind_mark = before.ends_clause() && !is_enumeration(words, main, at);
        // "What remains is a square": what it is tells more.
        let complement = asks && is_copula(at - 1);
        behind_mark || complement || matches!(before.lower.as_str(), "whose" | "because" | "so" | "that")
    };
    let is_noun = |at: usize| {
        !words[at].is_number() && matches!(words[at].class, Class::Determiner | Class::Content | Class::Vague)
    };
    let has_verb = |at: usize| {
        words[at + 1..words.len().min(at + MAX_WORDS)].iter().any(|word| is_predicate(&word.lower))
    };
    (main + 1..words.len().saturating_sub(MIN_WORDS - 1))
        .filter(|at| begins(*at) && is_noun(*at) && !words[*at].lower.ends_with("ing"))
        .filter(|at| has_verb(*at) || asks && is_copula(*at - 1))
        .collect()
}

/// Rates how much a phrase tells: by its words with content and its numbers, less what stands for something said
/// elsewhere. A number is the hardest to remember and so the best to see.
fn tells(words: &[Word<'_>], phrase: &Range<usize>) -> i32 {
    let weight = |word: &Word<'_>| match word.class {
        _ if word.is_number() => 3,
        Class::Content => 2,
        Class::Vague => 1,
        Class::Pointer => -1,
        _ if is_third_person(&word.lower) => -1,
        _ => 0,
    };
    words[phrase.clone()].iter().map(weight).sum()
}

/// Returns `true` for a sentence whose first word only connects it to the sentence before.
pub(crate) fn has_lead(words: &[Word<'_>]) -> bool {
    words.first().is_some_and(|first| is_lead(&first.lower)) && words.len() > MIN_WORDS
}

/// Returns the first word of the statement.
fn skip_leads(words: &[Word<'_>]) -> usize {
    let mut from = 0;
    while from + MIN_WORDS < words.len() {
        let word = &words[from];
        if is_lead(&word.lower) {
            from += 1;
            continue;
        }
        // "It says that …": what is said counts.
        let says = (from..(from + 3).min(words.len())).find(|at| words[*at].lower == "that").filter(|at| {
            let verb = *at > from
                && ["says", "means", "shows", "tells", "know"].contains(&words[at - 1].lower.as_str());
            verb && words.len() - at > MIN_WORDS
        });
        if let Some(that) = says {
            from = that + 1;
            continue;
        }
        let opens = is_opening(&word.lower);
        let comma = (from..words.len()).find(|at| words[*at].text.ends_with(','));
        match comma {
            Some(at) if opens && words.len() - (at + 1) >= MIN_WORDS => from = at + 1,
            _ => break,
        }
    }
    from
}

/// Returns `true` when a comma separates list items and not clauses: "a phone, a drill and an electric car run".
fn is_enumeration(words: &[Word<'_>], from: usize, at: usize) -> bool {
    let has_verb = words[from..at].iter().any(|word| is_predicate(&word.lower) || word.lower.ends_with("ed"));
    // "…, pulled into sides": something is said of what stands before.
    let participle =
        words[at].lower.len() > 4 && (words[at].lower.ends_with("ed") || words[at].lower.ends_with("ing"));
    words[at - 1].text.ends_with(',') && !has_verb && !participle
}

/// Returns the last place at which a phrase ends within the words allowed; failing that, before the noun that would
/// be cut off.
fn last_phrase(words: &[Word<'_>], from: usize) -> (usize, Ending) {
    let most = (from + MAX_WORDS).min(words.len());
    let begins_phrase = |at: usize| {
        let lower = words[at].lower.as_str();
        let preposition = words[at].class == Class::Preposition && lower != "of";
        let after_number = words[at - 1].is_number();
        // Where there is no more room, a subject without its verb is better than a part of it.
        let predicate = at == most && is_verb(lower);
        (preposition || predicate || matches!(lower, "and" | "or" | "that" | "as" | "than")) && !after_number
    };
    let cut = (from + MIN_WORDS + 1..=most).rev().find(|at| *at < words.len() && begins_phrase(*at));
    let opens_noun = |at: &usize| matches!(words[*at].class, Class::Determiner | Class::Pointer);
    let is_cut_off = most < words.len() && words[most].class == Class::Content;
    let noun =
        (most.saturating_sub(2)..most).find(opens_noun).filter(|at| is_cut_off && at - from > MIN_WORDS);
    let after_noun = words.get(most).is_some_and(|next| next.lower == "of")
        && matches!(words[most - 1].class, Class::Content | Class::Vague);
    match (cut, noun) {
        (Some(cut), _) => (cut, Ending::BeforePhrase),
        _ if after_noun => (most, Ending::AfterNoun),
        (None, Some(noun)) => (noun, Ending::BeforeNoun),
        (None, None) => (most, Ending::Anywhere),
    }
}
