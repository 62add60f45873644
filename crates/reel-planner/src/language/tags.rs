//! The part of speech of each word of an English sentence, as far as the words around it tell.
//!
//! Closed classes and verbs come from lists, everything else reads as a noun. A word that may be a verb or a noun is decided by its
//! neighbours and by one rule: a clause has one finite verb. A [`Clause`] without one is not understood, and what is made of
//! it is uncertain. Time is proportional to the number of words.

use std::ops::Range;

use super::verbs::{Forms, forms};
use super::words::{Word, words};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tag {
    Determiner,
    Pronoun,
    Number,
    Adjective,
    Noun,
    /// A finite verb, or an imperative.
    Verb,
    /// "has", "can", "do", and their negations.
    Auxiliary,
    /// A finite form of "be".
    Copula,
    /// The verb behind an auxiliary or "to".
    Infinitive,
    /// A form with -ed or -ing that is no finite verb.
    Participle,
    To,
    Preposition,
    /// "and", "or", "but", "nor", "yet", "so".
    Conjunction,
    /// "if", "when", "because", "that" behind a verb.
    Subordinator,
    /// "who", "which", "that" behind a noun.
    Relative,
    Adverb,
    Other,
}

impl Tag {
    pub fn is_finite(self) -> bool {
        matches!(self, Self::Verb | Self::Auxiliary | Self::Copula)
    }
}

/// A word with its part of speech.
pub(crate) struct Tagged<'a> {
    pub word: Word<'a>,
    pub tag: Tag,
    /// The forms of a verb that the word may be.
    pub forms: Forms,
    /// Number of the clause the word is in.
    pub clause: usize,
}

impl Tagged<'_> {
    pub fn is(&self, lower: &str) -> bool {
        self.word.lower == lower
    }

    /// Returns `true` when a mark that ends a clause or an item is right behind the word.
    pub fn ends_part(&self) -> bool {
        self.word.is_marked
    }
}

const PRONOUNS: &str = " i you he she it we they me him us them someone somebody everyone everybody nobody anyone anybody nothing \
    something everything anything itself themselves himself herself ourselves yourself mine yours theirs ours hers whoever \
    whatever none who whom there here ";
/// Determiners that also stand alone: "some say", "all of it".
const BOTH: &str = " this that these those all some any each both most many few several much more one \
    half either neither another enough less fewer \
    her his such what which ";
const NUMBERS: &str = " two three four five six seven eight nine ten eleven twelve fifteen twenty thirty forty fifty sixty hundred thousand million \
    billion ";
const DETERMINERS: &str = " the a an every no my your its our their whose ";
const PREPOSITIONS: &str = " of in on at for with from by between into across over under about against among around behind below \
    above during through throughout toward towards upon within without beneath as like off out up down near past per via than along beyond inside \
    outside onto amid despite except besides unlike alongside before after since until till versus ";
const CONJUNCTIONS: &str = " and or but nor yet so ";
const SUBORDINATORS: &str =
    " if when because although though while whereas unless whether where why how whenever wherever once ";
const AUXILIARIES: &str =
    " has have had do does did can could may might will would must should shall cannot ";
const COPULAS: &str =
    " is are was were am isn't aren't wasn't weren't it's that's there's here's he's she's what's ";
const ADVERBS: &str = " not also only just even still too very now never always often again together instead away back almost already \
    first finally however today later far well ever else quite rather then thus hence therefore perhaps maybe soon seldom sometimes \
    somewhere everywhere nowhere twice ago yesterday tomorrow forward backward apart aside indoors outdoors overnight \
    meanwhile moreover furthermore nevertheless nonetheless otherwise anyway somehow long better best fast ";
const ADJECTIVES: &str = " same other others own new good whole old young big small large great little high low long short hot cold warm cool \
    hard soft fast slow early late right wrong left true false full empty free open closed strong weak heavy light dark bright \
    deep shallow wide narrow thick thin rich poor cheap dear fresh stale dry wet clean dirty sharp blunt flat round straight sure able alive \
    dead asleep awake ready easy simple complex common rare real ideal main chief major minor key single double equal different \
    similar certain clear safe dangerous quick quiet loud calm wild public private local human modern ancient green red blue black \
    white brown yellow gray grey pink purple orange bitter sweet sour salty raw ripe smooth rough tall tiny huge vast distant close \
    nearby inner outer upper lower better worse best worst bigger smaller larger higher longer shorter older younger faster slower warmer colder \
    cheaper easier harder stronger weaker heavier lighter earlier biggest smallest largest highest longest oldest fastest earliest next last \
    previous final initial only likely unlikely daily early friendly lonely mere sheer gone due enough worth afraid aware ";

fn is_in(list: &str, word: &str) -> bool {
    let mut at = 0;
    // The lists have a space before and behind every word.
    while let Some(found) = list[at..].find(word).map(|found| at + found) {
        let (before, behind) = (&list[..found], &list[found + word.len()..]);
        if before.ends_with(' ') && behind.starts_with(' ') && !word.is_empty() {
            return true;
        }
        at = found + word.len().max(1);
        if !list.is_char_boundary(at) {
            return false;
        }
    }
    false
}

fn is_adverb(word: &str) -> bool {
    const NO_ADVERBS: &str =
        " family supply reply belly jelly fly ally assembly monopoly anomaly italy july lily bully ";
    is_in(ADVERBS, word) || word.len() > 4 && word.ends_with("ly") && !is_in(NO_ADVERBS, word)
}

pub(crate) fn is_adjective(word: &str) -> bool {
    const ENDINGS: [&str; 10] = ["ful", "ous", "ive", "able", "ible", "less", "ish", "ical", "ary", "ic"];
    const NOUNS: &str = " library libraries dictionary salary boundary summary secretary canary anniversary commentary documentary \
        glossary vocabulary itinerary missionary mercenary obituary tributary estuary sanctuary february january capillary \
        topic fabric clinic traffic music logic magic plastic mechanic critic picnic panic republic mosaic arithmetic rhetoric \
        relative native executive representative detective objective perspective archive alternative initiative olive motive \
        variable vegetable table cable timetable radish rubbish finish fish dish ";
    let is_named = is_in(NOUNS, word);
    is_in(ADJECTIVES, word)
        || !is_named && word.len() > 5 && ENDINGS.iter().any(|ending| word.ends_with(ending))
}

pub(crate) fn is_number(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit())
}

/// Returns `true` for a noun that looks like a plural.
pub(crate) fn is_plural(word: &str) -> bool {
    const PLURALS: &str = " people men women children bacteria data media mice feet teeth geese fish sheep police phenomena criteria fungi ";
    word.ends_with('s')
        && !word.ends_with("ss")
        && !word.ends_with("us")
        && !word.ends_with("is")
        && !word.ends_with("ics")
        || is_in(PLURALS, word)
}

/// Returns the words of a sentence with their parts of speech.
pub(crate) fn tag(sentence: &str) -> Vec<Tagged<'_>> {
    let words = words(sentence);
    let mut tagged: Vec<Tagged<'_>> = words
        .into_iter()
        .map(|word| Tagged { forms: forms(&word.lower), tag: first_guess(&word), word, clause: 0 })
        .collect();
    for index in 1..tagged.len() {
        // "May 1800", "Will and Sally"
        if matches!(tagged[index].tag, Tag::Auxiliary | Tag::Adverb) && is_name(&tagged, index) {
            tagged[index].tag = Tag::Noun;
        }
    }
    number_clauses(&mut tagged);
    let mut from = 0;
    while from < tagged.len() {
        let clause = tagged[from].clause;
        let to = from + tagged[from..].iter().take_while(|word| word.clause == clause).count();
        resolve(&mut tagged, from..to);
        from = to;
    }
    name_adjectives(&mut tagged);
    tagged
}

/// "Plants turn light into sugar": an adjective that is a noun where none follows.
fn name_adjectives(tagged: &mut [Tagged<'_>]) {
    const NOUNS: &str = " light human cold dark public ";
    for index in 1..tagged.len() {
        let is_object = matches!(tagged[index - 1].tag, Tag::Verb | Tag::Preposition | Tag::Adjective);
        let next = tagged.get(index + 1).filter(|_| !tagged[index].ends_part()).map(|next| next.tag);
        let stands_alone =
            !matches!(next, Some(Tag::Noun | Tag::Adjective | Tag::Participle | Tag::Conjunction));
        let is_named = tagged[index].tag == Tag::Adjective && is_in(NOUNS, &tagged[index].word.lower);
        if is_named && is_object && stands_alone {
            tagged[index].tag = Tag::Noun;
        }
    }
}

/// Returns what a word is by itself; what may be a verb is a noun at first.
fn first_guess(word: &Word<'_>) -> Tag {
    let lower = word.lower.as_str();
    if is_number(lower) {
        return Tag::Number;
    }
    if is_in(NUMBERS, lower) {
        return Tag::Number;
    }
    if lower == "to" {
        return Tag::To;
    }
    let lists = [
        (COPULAS, Tag::Copula),
        (AUXILIARIES, Tag::Auxiliary),
        (DETERMINERS, Tag::Determiner),
        (PREPOSITIONS, Tag::Preposition),
        (CONJUNCTIONS, Tag::Conjunction),
        (SUBORDINATORS, Tag::Subordinator),
        (BOTH, Tag::Determiner),
        (PRONOUNS, Tag::Pronoun),
    ];
    if let Some((_, tag)) = lists.iter().find(|(list, _)| is_in(list, lower)) {
        return *tag;
    }
    if lower.ends_with("n't") || ["'re", "'ll", "'ve", "'d"].iter().any(|end| lower.ends_with(end)) {
        return Tag::Auxiliary;
    }
    if matches!(lower, "be" | "been" | "being") {
        return Tag::Infinitive;
    }
    if is_in(ADJECTIVES, lower) && !forms(lower).past {
        return Tag::Adjective;
    }
    if is_adverb(lower) {
        return Tag::Adverb;
    }
    if is_adjective(lower) && !forms(lower).is_finite() { Tag::Adjective } else { Tag::Noun }
}

/// A clause begins behind a mark, and with a word that joins clauses.
fn number_clauses(tagged: &mut [Tagged<'_>]) {
    let mut clause = 0;
    for index in 0..tagged.len() {
        let begins = index > 0
            && (tagged[index - 1].ends_part()
                || tagged[index].tag == Tag::Subordinator
                || matches!(tagged[index].word.lower.as_str(), "which" | "who" | "whom" | "whose" | "what")
                || tagged[index].is("that") && begins_that_clause(tagged, index)
                || tagged[index].is("but")
                || opens_clause(tagged, index));
        clause += usize::from(begins);
        tagged[index].clause = clause;
    }
    for index in 0..tagged.len() {
        let lower = tagged[index].word.lower.as_str();
        let is_relative = matches!(lower, "which" | "who" | "whom")
            || lower == "that" && index > 0 && begins_that_clause(tagged, index);
        if is_relative {
            tagged[index].tag = if index == 0 { Tag::Pronoun } else { Tag::Relative };
        } else if is_in(BOTH, lower) {
            // "This is", "some of them", "one, ..."
            let next = tagged.get(index + 1).filter(|_| !tagged[index].ends_part());
            let stands_alone = next.is_none_or(|next| {
                matches!(
                    next.tag,
                    Tag::Copula
                        | Tag::Auxiliary
                        | Tag::Preposition
                        | Tag::Conjunction
                        | Tag::Relative
                        | Tag::To
                        | Tag::Determiner
                        | Tag::Adverb
                        | Tag::Pronoun
                        | Tag::Subordinator
                ) && !matches!(lower, "all" | "both" | "such")
                    || next.forms.third && !next.forms.is_noun
            });
            if stands_alone {
                tagged[index].tag = Tag::Pronoun;
            }
        }
    }
}

/// Returns `true` for a preposition with a clause behind it: "before the program runs", but "before noon".
fn opens_clause(tagged: &[Tagged<'_>], index: usize) -> bool {
    /// A subject is shorter.
    const MAX_SUBJECT_WORDS: usize = 8;
    if !matches!(
        tagged[index].word.lower.as_str(),
        "before" | "after" | "until" | "till" | "since" | "as" | "than"
    ) {
        return false;
    }
    let mut previous = tagged[index].tag;
    for word in tagged[index + 1..].iter().take(MAX_SUBJECT_WORDS) {
        let is_named = matches!(previous, Tag::Determiner | Tag::Number | Tag::Preposition | Tag::Adjective);
        if word.tag.is_finite()
            || (word.forms.third || word.forms.past || previous == Tag::Pronoun && word.forms.base)
                && !is_named
        {
            return true;
        }
        if word.ends_part() {
            return false;
        }
        previous = word.tag;
    }
    false
}

/// Returns `true` for a "that" which begins a clause rather than pointing at a thing.
fn begins_that_clause(tagged: &[Tagged<'_>], index: usize) -> bool {
    let before = &tagged[index - 1];
    let next = tagged.get(index + 1);
    let points = before.tag == Tag::Preposition || before.tag == Tag::Conjunction || before.is("to");
    !points && next.is_some() && !tagged[index].ends_part()
}

/// Decides which of a clause's words are verbs.
fn resolve(tagged: &mut [Tagged<'_>], range: Range<usize>) {
    let mut has_verb = false;
    for index in range.clone() {
        if tagged[index].tag.is_finite() {
            has_verb = true;
            continue;
        }
        // "to the house" and "to build": a base form follows, and no determiner.
        if tagged[index].tag == Tag::To {
            let next = tagged.get(index + 1).filter(|_| !tagged[index].ends_part());
            let is_infinitive = next.is_some_and(|next| {
                next.is("be")
                    || next.forms.base && next.tag != Tag::Preposition && !follows_as_noun(tagged, index + 1)
            });
            if !is_infinitive {
                tagged[index].tag = Tag::Preposition;
            }
            continue;
        }
        let form = tagged[index].forms;
        let may_be_verb = (form.is_finite() || form.participle || form.ing)
            && matches!(tagged[index].tag, Tag::Noun | Tag::Adjective | Tag::Preposition);
        if !may_be_verb || tagged[index].tag == Tag::Preposition && !form.base {
            continue;
        }
        if is_name(tagged, index) {
            continue;
        }
        let tag = decide(tagged, &range, index, has_verb);
        has_verb |= tag == Tag::Verb;
        tagged[index].tag = tag;
    }
}

/// A capital inside a sentence makes a name: "Mark", "Bell".
fn is_name(tagged: &[Tagged<'_>], index: usize) -> bool {
    let word = &tagged[index].word;
    index > 0
        && !word.is_opened
        && word.text.starts_with(char::is_uppercase)
        && !tagged[index - 1].word.text.ends_with(['.', ':', '!', '?'])
}

/// Returns `true` when a base form behind "to" is a noun: "close to home", "due to stress on the wall".
fn follows_as_noun(tagged: &[Tagged<'_>], index: usize) -> bool {
    let word = &tagged[index];
    if !word.forms.is_noun {
        return false;
    }
    // "to work," is a verb; "to minutes" is no base form anyway.
    let before = index.checked_sub(2).map(|before| &tagged[before]);
    before.is_some_and(|before| {
        matches!(
            before.word.lower.as_str(),
            "due" | "close" | "next" | "prior" | "thanks" | "from" | "leads" | "lead" | "led"
        )
    })
}

/// The tag of the word that stands before, leaving adverbs out; `None` at the beginning of a clause.
fn before(tagged: &[Tagged<'_>], start: usize, index: usize) -> Option<usize> {
    (start..index).rev().find(|&before| tagged[before].tag != Tag::Adverb)
}

fn decide(tagged: &[Tagged<'_>], range: &Range<usize>, index: usize, has_verb: bool) -> Tag {
    let form = tagged[index].forms;
    let lower = tagged[index].word.lower.as_str();
    let as_noun = if (form.participle || form.past || form.ing) && !form.base {
        Tag::Participle
    } else {
        tagged[index].tag
    };
    let Some(previous) = before(tagged, range.start, index) else {
        return at_clause_start(tagged, range, index, as_noun);
    };
    let next = tagged.get(index + 1).filter(|next| next.clause == tagged[index].clause);
    match tagged[previous].tag {
        Tag::Determiner | Tag::Number | Tag::Adjective if tagged[previous].is("that") => as_noun,
        Tag::Determiner
            if matches!(tagged[previous].word.lower.as_str(), "all" | "some" | "many" | "both")
                && form.is_finite()
                && !form.is_noun =>
        {
            Tag::Verb
        }
        Tag::Determiner | Tag::Number => {
            if form.base || form.third {
                // "the rise" even of a word that is seldom a noun.
                return if tagged[index].tag == Tag::Adjective { Tag::Adjective } else { Tag::Noun };
            }
            // "the pressed yeast", "the making of"
            if next.is_some_and(|next| next.tag == Tag::Noun || next.tag == Tag::Adjective)
                && !tagged[index].ends_part()
            {
                Tag::Adjective
            } else if form.ing && tagged[index - 1].tag != Tag::Adverb {
                Tag::Noun
            } else {
                Tag::Participle
            }
        }
        // "Light travels fast"
        Tag::Adjective
            if form.third
                && tagged[previous].forms.is_noun
                && !has_verb
                && !has_certain_verb(tagged, index + 1..range.end) =>
        {
            Tag::Verb
        }
        Tag::Adjective if form.is_noun || form.ing => Tag::Noun,
        Tag::To | Tag::Auxiliary if form.base => Tag::Infinitive,
        Tag::Auxiliary if form.participle => Tag::Participle,
        Tag::Auxiliary | Tag::Copula => as_noun,
        Tag::Infinitive if form.participle || form.ing => Tag::Participle,
        Tag::Pronoun if form.is_finite() && !has_verb => Tag::Verb,
        Tag::Pronoun if form.is_finite() && !form.is_noun && !form.participle => Tag::Verb,
        Tag::Relative if form.is_finite() => Tag::Verb,
        Tag::Preposition if form.ing => Tag::Participle,
        Tag::Preposition if form.base || form.third => Tag::Noun,
        Tag::Conjunction => after_conjunction(tagged, range, index, has_verb, as_noun),
        Tag::Noun | Tag::Adjective | Tag::Participle | Tag::Preposition | Tag::Other if !has_verb => {
            after_subject(tagged, range, index, previous, as_noun)
        }
        Tag::Noun if !form.is_noun && form.third => Tag::Verb,
        Tag::Verb if form.base && !form.is_noun && is_helper(&tagged[previous].word.lower) => Tag::Infinitive,
        _ if form.base && !form.is_noun && has_helper(tagged, range, index) => Tag::Infinitive,
        // "makes water boil later"
        Tag::Noun
            if form.base
                && has_helper(tagged, range, index)
                && next.is_none_or(|next| {
                    !matches!(next.tag, Tag::Noun | Tag::Adjective) || next.forms.base
                }) =>
        {
            Tag::Infinitive
        }
        _ if lower.is_empty() => Tag::Other,
        _ => as_noun,
    }
}

fn is_helper(lower: &str) -> bool {
    matches!(
        lower,
        "make"
            | "makes"
            | "made"
            | "let"
            | "lets"
            | "help"
            | "helps"
            | "helped"
            | "see"
            | "sees"
            | "saw"
            | "hear"
    )
}

/// Returns `true` where a helping verb stands not far before a word.
fn has_helper(tagged: &[Tagged<'_>], range: &Range<usize>, index: usize) -> bool {
    tagged[range.start..index].iter().rev().take(8).any(|word| is_helper(&word.word.lower))
}

/// Decides about the word that may be the verb behind a subject.
fn after_subject(
    tagged: &[Tagged<'_>],
    range: &Range<usize>,
    index: usize,
    previous: usize,
    as_noun: Tag,
) -> Tag {
    let form = tagged[index].forms;
    if form.ing {
        return Tag::Participle;
    }
    let follows_number = tagged[index - 1].tag == Tag::Number;
    if !form.is_finite() || follows_number {
        return as_noun;
    }
    let certain_later = has_certain_verb(tagged, index + 1..range.end);
    if form.past && !form.base {
        // "a line drawn between two points is short": the later verb is the clause's.
        return if certain_later && form.participle { Tag::Participle } else { Tag::Verb };
    }
    // "sugar eats", "ions move": number agrees. A pronoun was handled before.
    let is_plural_subject = subject_is_plural(tagged, range.start, previous);
    let agrees = if form.third { !is_plural_subject || !form.is_noun } else { is_plural_subject };
    if form.past && form.base {
        // "cut", "put", "read"
        return if certain_later { as_noun } else { Tag::Verb };
    }
    if !form.is_noun {
        return if form.base && !is_plural_subject { as_noun } else { Tag::Verb };
    }
    if certain_later || !agrees { as_noun } else { Tag::Verb }
}

/// Returns `true` when the nouns before a word are a plural subject: "ions", "the cells of a battery", "salt and water".
fn subject_is_plural(tagged: &[Tagged<'_>], start: usize, last: usize) -> bool {
    // The head stands before the first preposition.
    let head_end =
        (start..=last).find(|&at| tagged[at].tag == Tag::Preposition && at > start).unwrap_or(last + 1);
    let first_opens = tagged[start].tag == Tag::Preposition;
    let end = if first_opens { last + 1 } else { head_end };
    let head = (start..end).rev().find(|&at| tagged[at].tag == Tag::Noun || tagged[at].tag == Tag::Pronoun);
    // "Every bee and every ant works"
    if (start..end).any(|at| tagged[at].is("every") || tagged[at].is("each")) {
        return false;
    }
    let joined = (start..end).any(|at| tagged[at].is("and"));
    joined || head.is_some_and(|head| is_plural(&tagged[head].word.lower))
}

/// Returns `true` when a verb that can be nothing else follows in the clause.
fn has_certain_verb(tagged: &[Tagged<'_>], range: Range<usize>) -> bool {
    let mut previous = Tag::Noun;
    for word in &tagged[range] {
        if word.tag.is_finite() {
            return true;
        }
        if word.is("and") || word.is("or") {
            return false;
        }
        let stands_as_noun = matches!(previous, Tag::Determiner | Tag::Adjective | Tag::Number | Tag::To);
        let only_verb = word.forms.third && !word.forms.is_noun
            || word.forms.past && !word.forms.participle && !word.forms.base;
        if only_verb && !stands_as_noun && word.tag == Tag::Noun {
            return true;
        }
        previous = word.tag;
    }
    false
}

/// "Yeast eats sugar and gives off gas", "salt and pepper", "and breaks"
fn after_conjunction(
    tagged: &[Tagged<'_>],
    range: &Range<usize>,
    index: usize,
    has_verb: bool,
    as_noun: Tag,
) -> Tag {
    let form = tagged[index].forms;
    if !form.is_finite() {
        return as_noun;
    }
    if form.is_noun {
        let next = tagged.get(index + 1).filter(|_| !tagged[index].ends_part());
        let takes_object = next.is_some_and(|next| matches!(next.tag, Tag::Determiner | Tag::Pronoun));
        return if takes_object
            && (has_verb || range.start + 1 >= index || clause_before_has_verb(tagged, index))
        {
            Tag::Verb
        } else {
            as_noun
        };
    }
    Tag::Verb
}

fn clause_before_has_verb(tagged: &[Tagged<'_>], index: usize) -> bool {
    tagged[..index].iter().rev().take(20).any(|word| word.tag.is_finite())
}

/// An imperative, or the verb of a list of verbs; otherwise a noun.
fn at_clause_start(tagged: &[Tagged<'_>], range: &Range<usize>, index: usize, as_noun: Tag) -> Tag {
    let form = tagged[index].forms;
    if form.ing || form.past && !form.base {
        // ", wrote James": a verb before its subject, or a list of verbs.
        let is_list = range.start > 0 && !form.participle && form.past;
        return if is_list { Tag::Verb } else { as_noun };
    }
    if form.participle && !form.base {
        return as_noun;
    }
    let rest = index + 1..range.end;
    if has_certain_verb(tagged, rest.clone()) || tagged[index].tag == Tag::Preposition {
        return as_noun;
    }
    if form.third {
        // ", holds the gas in."
        let next = tagged.get(index + 1).filter(|_| !tagged[index].ends_part());
        let takes_object = next.is_some_and(|next| matches!(next.tag, Tag::Determiner | Tag::Pronoun));
        return if range.start > 0 && (!form.is_noun || takes_object) { Tag::Verb } else { as_noun };
    }
    if !form.is_noun {
        return Tag::Verb;
    }
    // "Heat water to 80 degrees", "Use fresh yeast", but "Work in progress", "Light travels fast".
    let next = tagged.get(index + 1).filter(|_| rest.start < rest.end);
    let takes_object = next.is_some_and(|next| {
        matches!(next.tag, Tag::Determiner | Tag::Pronoun | Tag::Number | Tag::Adjective)
    });
    let verb_follows =
        tagged[rest.clone()].iter().any(|word| word.forms.third || word.forms.past && !word.forms.participle);
    let object = next.is_some_and(|next| next.tag == Tag::Noun && !next.forms.is_finite());
    if takes_object && !verb_follows || object && !verb_follows && range.start == 0 && rest.len() >= 2 {
        Tag::Verb
    } else {
        as_noun
    }
}

/// A stretch of words with at most one finite verb, or several that are joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Clause {
    /// Word numbers.
    pub words: Range<usize>,
    /// The number of its first finite verb.
    pub verb: Option<usize>,
}

/// Returns the clauses of a sentence.
pub(crate) fn clauses(tagged: &[Tagged<'_>]) -> Vec<Clause> {
    let mut clauses: Vec<Clause> = Vec::new();
    for (index, word) in tagged.iter().enumerate() {
        match clauses.last_mut().filter(|last| tagged[last.words.start].clause == word.clause) {
            Some(last) => last.words.end = index + 1,
            None => clauses.push(Clause { words: index..index + 1, verb: None }),
        }
        if let Some(last) = clauses.last_mut()
            && last.verb.is_none()
            && word.tag.is_finite()
        {
            last.verb = Some(index);
        }
    }
    clauses
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Finite verbs of a sentence.
    fn verbs(sentence: &str) -> String {
        let tagged = tag(sentence);
        tagged
            .iter()
            .filter(|word| word.tag.is_finite())
            .map(|word| word.word.lower.clone())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn verbs_are_told_by_the_words_around_them() {
        for (sentence, expected) in [
            ("Yeast eats sugar and gives off carbon dioxide.", "eats gives"),
            ("Ions move through the liquid.", "move"),
            ("A small push at the right time makes the swing go higher.", "makes"),
            ("Three things happen in a rising dough.", "happen"),
            ("The net of proteins holds the gas in.", "holds"),
            ("Bread needs flour and water.", "needs"),
            ("Use fresh yeast.", "use"),
            ("Keep the dough warm.", "keep"),
            ("Heat the milk slowly.", "heat"),
            ("Heat above 55 degrees kills them.", "kills"),
            ("The price of oil rises when demand grows.", "rises grows"),
            ("A line drawn between two points is short.", "is"),
            ("The map shows every city that the army crossed.", "shows crossed"),
            ("Work in progress costs money.", "costs"),
            ("In 1868 Charles Fleischmann sold the first pressed yeast in Cincinnati.", "sold"),
            ("Most applications store only the latest state.", "store"),
            ("The planner reads every file.", "reads"),
            ("Light travels fast.", "travels"),
            ("They kept a lump back from each batch, and passed it on.", "kept passed"),
            ("The compiler checks the types before the program runs.", "checks runs"),
            ("You can use a rope with twelve equal knots.", "can"),
            ("Plants turn light into sugar.", "turn"),
            ("Each step has a cost.", "has"),
            ("To rise, the dough needs warmth.", "needs"),
        ] {
            assert_eq!(verbs(sentence), expected, "{sentence}");
        }
    }

    #[test]
    fn odd_input_is_tagged_without_panic() {
        for odd in [
            "",
            " ",
            "—",
            "a",
            "to",
            "that",
            "İ ß and and",
            "„so“ ‚to‘ that",
            "to to to",
            "that that that",
            "状態は 次です",
        ] {
            let _ = clauses(&tag(odd));
        }
    }
}
