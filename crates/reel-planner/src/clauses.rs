//! The clauses of a sentence, and which of them tells most in few words. By rules for English, as in [`super::words`].

use std::ops::Range;

use super::condense::MOST_WORDS;
use super::words::{Class, bare, class, is_verb};

/// How much more than the main clause another must tell to be shown instead.
const FOR_MAIN: i32 = 3;
/// What each better way to end is worth, in words with content.
const FOR_ENDING: i32 = 1;
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

const AUXILIARIES: &[&str] = &[
    "has", "have", "had", "does", "do", "did", "can", "could", "may", "might", "will", "would", "must",
    "should", "cannot",
];

pub(super) struct Word<'a> {
    pub range: Range<usize>,
    lower: String,
    text: &'a str,
}

impl Word<'_> {
    fn ends_clause(&self) -> bool {
        self.text.ends_with([',', ';', ':', '—', '–'])
    }

    /// Whether it reads as a verb, by itself or with another.
    fn is_predicate(&self) -> bool {
        let lower = self.lower.as_str();
        class(lower) == Class::Copula || is_verb(lower) || AUXILIARIES.contains(&lower)
    }

    fn is_number(&self) -> bool {
        self.lower.starts_with(|c: char| c.is_ascii_digit())
    }
}

/// How a phrase ends, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Ending {
    /// Where there was no more room.
    Anywhere,
    /// Before the noun that would be cut off.
    BeforeNoun,
    /// Where something is said of a noun.
    AfterNoun,
    /// Where another phrase begins.
    BeforePhrase,
    /// Where the clause does.
    Whole,
}

/// Words of a sentence that may be shown for it.
struct Phrase {
    words: Range<usize>,
    ending: Ending,
}

/// The clause to show, by number of words: the main one, unless another tells much more.
pub(super) fn most_telling(words: &[Word<'_>]) -> Range<usize> {
    let main = after_leads(words);
    let worth = |phrase: &Phrase| tells(words, &phrase.words) + FOR_ENDING * phrase.ending as i32;
    let first = phrase(words, main);
    let others = later_clauses(words, main).into_iter().map(|from| phrase(words, from));
    let best = others.reduce(|best, other| if worth(&other) > worth(&best) { other } else { best });
    best.filter(|other| worth(other) > worth(&first) + FOR_MAIN).unwrap_or(first).words
}

/// The words from one on, as far as they are a statement and there is room.
fn phrase(words: &[Word<'_>], from: usize) -> Phrase {
    // Where the statement ends: at the first mark or word that begins something else.
    let ends = |index: usize| {
        let follows = FOLLOWING.contains(&words[index].lower.as_str());
        let behind_mark = words[index - 1].ends_clause() && !is_enumeration(words, from, index);
        index - from >= FEWEST_WORDS && (behind_mark || follows)
    };
    let to = (from + 1..words.len()).find(|index| ends(*index)).unwrap_or(words.len());
    // One word at the end belongs to what stands before it: "a plus b, squared".
    let to = if to + 1 == words.len() { words.len() } else { to };
    let whole = within(words, from, to);
    // Without its article it may end better.
    let bare = (class(&words[from].lower) == Class::Determiner).then(|| within(words, from + 1, to));
    let best = match bare {
        Some(bare) if bare.ending > whole.ending => bare,
        _ => whole,
    };
    if best.words.len() < FEWEST_WORDS.min(words.len()) {
        return Phrase { words: 0..words.len().min(MOST_WORDS), ending: Ending::Anywhere };
    }
    best
}

/// As much of a clause as there is room for.
fn within(words: &[Word<'_>], from: usize, to: usize) -> Phrase {
    if to - from <= MOST_WORDS {
        let joins = |word: &Word<'_>| matches!(word.lower.as_str(), "and" | "or" | "but" | "nor" | "so");
        let to = if joins(&words[to - 1]) && to > from + 1 { to - 1 } else { to };
        return Phrase { words: from..to, ending: Ending::Whole };
    }
    let (mut to, ending) = last_phrase(words, from);
    while to > from + 1 && hangs(&words[to - 1]) {
        to -= 1;
    }
    Phrase { words: from..to, ending }
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
    let is_noun = |at: usize| {
        !words[at].is_number()
            && matches!(class(&words[at].lower), Class::Determiner | Class::Content | Class::Vague)
    };
    let has_verb = |at: usize| words[at + 1..words.len().min(at + MOST_WORDS)].iter().any(Word::is_predicate);
    (main + 1..words.len().saturating_sub(FEWEST_WORDS - 1))
        .filter(|at| begins(*at) && is_noun(*at) && !words[*at].lower.ends_with("ing"))
        .filter(|at| has_verb(*at) || asks && is_copula(*at - 1))
        .collect()
}

/// How much a phrase tells: words with content, and numbers; less what stands for something said elsewhere.
fn tells(words: &[Word<'_>], phrase: &Range<usize>) -> i32 {
    let weight = |word: &Word<'_>| match class(&word.lower) {
        _ if word.is_number() => 3,
        Class::Content => 2,
        Class::Vague => 1,
        Class::Pointer => -1,
        _ if matches!(word.lower.as_str(), "it" | "they" | "he" | "she" | "them" | "him") => -1,
        _ => 0,
    };
    words[phrase.clone()].iter().map(weight).sum()
}

pub(super) fn words(plain: &str) -> Vec<Word<'_>> {
    let mut from = 0;
    let mut found: Vec<Word<'_>> = vec![];
    for text in plain.split(' ') {
        let range = from..from + text.len();
        from += text.len() + 1;
        let bare = bare(text);
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

pub(super) fn has_lead(words: &[Word<'_>]) -> bool {
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
    let has_verb = words[from..at].iter().any(|word| word.is_predicate() || word.lower.ends_with("ed"));
    // "…, pulled into sides": something is said of what stands before.
    let participle =
        words[at].lower.len() > 4 && (words[at].lower.ends_with("ed") || words[at].lower.ends_with("ing"));
    words[at - 1].text.ends_with(',') && !has_verb && !participle
}

/// The last place at which a phrase ends within the words allowed; failing that, before the noun that would be cut
/// off.
fn last_phrase(words: &[Word<'_>], from: usize) -> (usize, Ending) {
    let most = (from + MOST_WORDS).min(words.len());
    let begins_phrase = |at: usize| {
        let lower = words[at].lower.as_str();
        let preposition = class(lower) == Class::Preposition && lower != "of";
        let after_number = words[at - 1].is_number();
        // Where there is no more room, a subject without its verb is better than a part of it.
        let predicate = at == most && is_verb(lower);
        (preposition || predicate || matches!(lower, "and" | "or" | "that" | "as" | "than")) && !after_number
    };
    let cut = (from + FEWEST_WORDS + 1..=most).rev().find(|at| *at < words.len() && begins_phrase(*at));
    let opens_noun = |at: &usize| matches!(class(&words[*at].lower), Class::Determiner | Class::Pointer);
    let is_cut_off = most < words.len() && class(&words[most].lower) == Class::Content;
    let noun =
        (most.saturating_sub(2)..most).find(opens_noun).filter(|at| is_cut_off && at - from > FEWEST_WORDS);
    let after_noun = words.get(most).is_some_and(|next| next.lower == "of")
        && matches!(class(&words[most - 1].lower), Class::Content | Class::Vague);
    match (cut, noun) {
        (Some(cut), _) => (cut, Ending::BeforePhrase),
        _ if after_noun => (most, Ending::AfterNoun),
        (None, Some(noun)) => (noun, Ending::BeforeNoun),
        (None, None) => (most, Ending::Anywhere),
    }
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
            "and"
                | "or"
                | "but"
                | "nor"
                | "so"
                | "such"
                | "which"
                | "who"
                | "what"
                | "when"
                | "where"
                | "how"
                | "why"
                | "whether"
                | "not"
                | "be"
                | "very"
        )
}
