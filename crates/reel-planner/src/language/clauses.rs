//! Finds the part of a sentence that may stand for it: a whole thought, or nothing shorter than the sentence.
//!
//! These are rules of thumb for English, made from the words of [`vocabulary`](super::vocabulary) and the verbs that
//! [`tags`](super::tags) finds; there is no parser behind them, so they only cut where the rest cannot be missed: before a clause that
//! adds a reason, a consequence, a comparison or a remark to a statement that has its verb and object. A "but" takes something back,
//! so its sentence stays whole. A condition stays, because without it the statement may be false; so do relative clauses without a
//! comma, phrases with a preposition, and all that comes before the subject. A question stays whole, and so does a quotation.
//! `tests/data/shown.tsv` has sentences with the places where they may be cut.

use std::ops::Range;

use super::tags::{Tag, Tagged};
use super::vocabulary::{Class, hangs, is_joint, is_lead, is_opening, is_predicate, is_subject};

/// Fewer words hold no subject, verb and object.
const MIN_WORDS: usize = 3;
/// A statement of fewer words says little without its reason or consequence: "Snow looks white", "Write it down".
const MIN_STATEMENT_WORDS: usize = 5;
/// More words are too many to read while a voice speaks.
pub(crate) const MAX_WORDS: usize = 20;

/// Returns the words to show: without the words that only tie the sentence to the one before, and up to the first place
/// where a statement is whole.
pub(crate) fn whole_thought(words: &[Tagged<'_>]) -> Range<usize> {
    let from = skip_leads(words);
    let asks = words.last().is_some_and(|last| last.word.text.contains('?'));
    let last = words.len().min(from + MAX_WORDS + 1);
    let to = (from + MIN_WORDS..last).find(|at| !asks && can_end_before(words, from, *at));
    from..to.unwrap_or(words.len())
}

/// Returns `true` for a sentence whose first word only connects it to the sentence before.
pub(crate) fn has_lead(words: &[Tagged<'_>]) -> bool {
    skip_leads(words) > 0
}

fn skip_leads(words: &[Tagged<'_>]) -> usize {
    let leads = words.iter().take_while(|tagged| is_lead(&tagged.word.lower)).count();
    // "Then came the rain", "So far it holds": behind these there is no statement of its own.
    let begins = words.get(leads).is_some_and(|Tagged { word, .. }| {
        matches!(word.class, Class::Determiner | Class::Pointer | Class::Content | Class::Vague)
            || is_subject(&word.lower)
    });
    if begins && words.len() - leads >= MIN_WORDS { leads } else { 0 }
}

/// Returns `true` when the words before one are a whole statement, and what begins there only adds to it.
fn can_end_before(words: &[Tagged<'_>], from: usize, at: usize) -> bool {
    let (before, next) = (&words[at - 1].word, words[at].word.lower.as_str());
    let mark = before.text.chars().last().unwrap_or_default();
    let told = &words[from..at];
    let is_addition = match mark {
        ';' | '—' | '–' => !limits(words, at),
        // "The rule is this:", "Newton wrote:": the rest is what is told.
        ':' => before.class == Class::Content && !announces_words(told),
        ',' => match next {
            "although" | "though" => !is_hedged(told),
            "even" => words.get(at + 1).is_some_and(|word| word.is("though")) && !is_hedged(told),
            // "so that" says what for, and without that it may be false.
            "so" => words.get(at + 1).is_none_or(|word| !word.is("that")),
            // "She never raised her voice, because she never had to": only the reason says why that is worth saying.
            "because" => !is_negated(told) || forbids(told),
            "while" | "whereas" => !counts_a_share(told),
            // "…, since a disk can fail" gives a reason; "…, as well as the bank" and "…, as Cantor showed" do not.
            "as" | "since" => {
                begins_clause(words, at + 1) && is_statement(&words[at + 1..]) && !is_hedged(told)
            }
            "which" | "where" | "who" | "whom" | "whose" => !is_followed_up(words, at),
            // An "or" says what happens otherwise, as a condition does.
            "and" => {
                begins_clause(words, at + 1) && !is_hedged(told) && !limits(words, at + 1) && !is_series(told)
            }
            _ => {
                let adds = leads_to_relative(words, at) || is_remark(words, at);
                // "Tighten the screws, going from one to the opposite one": how to do it belongs to an instruction.
                let tells_how = words[at].tag == Tag::Participle && is_order(told);
                adds && !tells_how && !is_followed_up(words, at)
            }
        },
        _ => match next {
            // "not because …" denies the reason, and not what is before it.
            "because" => !is_negated(told),
            "whereas" => !is_hedged(told) && !counts_a_share(told),
            _ => false,
        },
    };
    // A relative clause only describes: "Bacteria make acids, which give the bread its taste."
    let is_long_enough = told.len() >= MIN_STATEMENT_WORDS || mark == ',' && next == "which";
    is_addition && is_long_enough && !is_inside_marks(told) && is_statement(told)
}

/// Returns `true` where a clause takes back what was said before it: "Six set out; only four came back."
fn limits(words: &[Tagged<'_>], at: usize) -> bool {
    let first = words.get(at).map(|word| word.word.lower.as_str());
    matches!(
        first,
        Some("but" | "only" | "not" | "never" | "hardly" | "however" | "yet" | "otherwise" | "or" | "so")
    )
}

/// Returns `true` for the first parts of a series, "Half guessed, a quarter computed, and …": the last part belongs to it.
fn is_series(told: &[Tagged<'_>]) -> bool {
    let commas = told[..told.len() - 1].iter().filter(|word| word.word.text.ends_with(',')).count();
    commas > usize::from(is_opening(&told[0].word.lower))
}

/// Returns `true` for words about a share of all, "Few people like …": what the others do belongs to them.
fn counts_a_share(told: &[Tagged<'_>]) -> bool {
    matches!(
        told[0].word.lower.as_str(),
        "few" | "some" | "most" | "many" | "half" | "both" | "all" | "hardly" | "nearly" | "almost"
    )
}

/// Returns `true` for "in which", "the first of whom", "most of them": what follows is said of the words before.
fn leads_to_relative(words: &[Tagged<'_>], at: usize) -> bool {
    /// Words before the pronoun.
    const MAX_BEFORE: usize = 3;
    let is_relative = |word: &Tagged<'_>| word.is("which") || word.is("whom") || word.is("them");
    let Some(count) = words[at..].iter().take(MAX_BEFORE + 1).position(is_relative) else { return false };
    let before = &words[at..at + count];
    // "…, by whom and when" is no clause.
    let has_verb = || words[at + count..].iter().any(|word| word.tag.is_finite());
    let is_led = |last: &Tagged<'_>| match words[at + count].is("them") {
        true => last.is("of"),
        false => last.word.class == Class::Preposition && has_verb(),
    };
    before.last().is_some_and(is_led) && before.iter().all(|word| !word.tag.is_finite() && !word.ends_part())
}

/// Returns `true` for words without a verb of their own that say more about what is told: "…, forcing many to leave", "…, the highest
/// sum ever paid", "…, five times as many as before", "…, more than they had feared".
fn is_remark(words: &[Tagged<'_>], at: usize) -> bool {
    let word = |at: usize| words.get(at).map_or("", |word| word.word.lower.as_str());
    let is_superlative = word(at) == "the" && word(at + 1).len() > 5 && word(at + 1).ends_with("est");
    let compares = matches!(word(at), "more" | "less") && word(at + 1) == "than" || word(at + 1) == "times";
    let is_participle = words[at].tag == Tag::Participle && words[at].forms.ing;
    is_participle || compares || is_superlative && !words[at..].iter().any(|word| word.tag.is_finite())
}

/// Returns `true` when the words end inside a quotation or brackets.
fn is_inside_marks(told: &[Tagged<'_>]) -> bool {
    let count = |marks: &[char]| told.iter().map(|word| word.word.text.matches(marks).count()).sum::<usize>();
    count(&['"']) % 2 == 1 || count(&['“', '„', '«', '(', '[']) > count(&['”', '»', ')', ']'])
}

/// Returns `true` for words that only lead to what is said behind a colon.
fn announces_words(told: &[Tagged<'_>]) -> bool {
    let speaks = |Tagged { word, .. }: &Tagged<'_>| {
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
                | "one"
                | "simple"
        )
    };
    told.iter().any(speaks)
}

/// Returns `true` for words that say no, or hardly.
fn is_negated(told: &[Tagged<'_>]) -> bool {
    told.iter().any(|Tagged { word, .. }| {
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

/// Returns `true` for a warning: "Never pour water on burning oil".
fn forbids(told: &[Tagged<'_>]) -> bool {
    matches!(told[0].word.lower.as_str(), "never" | "do" | "don't")
}

/// Returns `true` for words that somebody thinks or says, or that may be so, and that what follows can take back.
pub(crate) fn is_hedged(told: &[Tagged<'_>]) -> bool {
    const VERBS: [&str; 22] = [
        "believe", "think", "claim", "say", "suspect", "suppose", "seem", "appear", "promise", "expect",
        "hope", "fear", "doubt", "argue", "insist", "warn", "guess", "assume", "predict", "deny", "admit",
        "swear",
    ];
    const OTHERS: [&str; 12] = [
        "thought", "said", "denies", "denied", "admitted", "swore", "may", "might", "perhaps", "maybe",
        "probably", "once",
    ];
    let is_form = |word: &str, verb: &str| {
        word.strip_prefix(verb).is_some_and(|ending| matches!(ending, "" | "s" | "ed"))
            || verb.ends_with('e') && word.strip_prefix(verb) == Some("d")
    };
    told.iter().any(|Tagged { word, tag, .. }| {
        let lower = word.lower.as_str();
        // "May 1800" and "the claim" are nouns.
        let hedges = VERBS.iter().any(|verb| is_form(lower, verb)) || OTHERS.contains(&lower);
        hedges && *tag != Tag::Noun || matches!(lower, "allegedly" | "supposedly")
    })
}

/// Returns `true` when the clause that begins at a word is an aside, behind which the sentence goes on: "…, which is old, …".
fn is_followed_up(words: &[Tagged<'_>], at: usize) -> bool {
    words[at..].iter().any(|word| word.word.text.ends_with(','))
}

/// Returns `true` when a subject and its verb follow, before the next mark.
fn begins_clause(words: &[Tagged<'_>], at: usize) -> bool {
    /// Words before the verb.
    const MAX_SUBJECT_WORDS: usize = 7;
    let Some(first) = words.get(at) else { return false };
    let opens =
        matches!(first.word.class, Class::Determiner | Class::Pointer) || is_subject(&first.word.lower);
    let marked = words[at..].iter().position(Tagged::ends_part).map_or(words.len(), |end| at + end + 1);
    let subject_end = marked.min(at + 1 + MAX_SUBJECT_WORDS);
    let is_of_clause = |word: &Tagged<'_>| word.clause == first.clause;
    let verb = (at + 1..subject_end).find(|at| words[*at].tag.is_finite() && is_of_clause(&words[*at]));
    let has_subject =
        |verb: usize| words[at..verb].iter().any(|word| matches!(word.tag, Tag::Noun | Tag::Pronoun));
    let is_verb = |word: &Tagged<'_>| is_of_clause(word) && is_predicate(&word.word.lower);
    verb.is_some_and(has_subject) || opens && words[at + 1..].iter().take(MAX_SUBJECT_WORDS).any(is_verb)
}

/// Returns `true` for words that begin with an imperative.
fn is_order(words: &[Tagged<'_>]) -> bool {
    words.first().is_some_and(|word| word.tag == Tag::Verb && word.forms.base)
}

/// Returns `true` for words with a subject, a verb, and something behind it that ends well. An imperative needs no subject.
fn is_statement(words: &[Tagged<'_>]) -> bool {
    let Some(last) = words.last() else { return false };
    let first = words[0].word.lower.as_str();
    // Up to the comma, only a condition or a time was told: "When it rains, …".
    let comma = words[..words.len() - 1].iter().position(|word| word.word.text.ends_with(','));
    let main = match comma {
        Some(comma) if is_opening(first) => comma + 1,
        None if is_opening(first) => return false,
        _ => 0,
    };
    let is_verb = |word: &Tagged<'_>| word.tag.is_finite() || is_predicate(&word.word.lower);
    let Some(verb) =
        (main + usize::from(!is_order(&words[main..]))..words.len()).find(|at| is_verb(&words[*at]))
    else {
        return false;
    };
    let says_something = |word: &Tagged<'_>| {
        word.word.class == Class::Content || word.word.is_number() || word.tag == Tag::Noun
    };
    let has_object = words[verb + 1..].iter().any(says_something);
    let asks = matches!(first, "what" | "who" | "which" | "whether" | "that" | "how" | "why");
    let lower = last.word.lower.as_str();
    // "leaves" and "May" are nouns, too.
    let ends_with_verb = is_predicate(lower) && last.tag != Tag::Noun;
    has_object && !hangs(lower) && !is_joint(lower) && !ends_with_verb && !asks
}
