//! Word classes of English, as far as headings need them.
//!
//! Closed classes are listed in full; open ones only by their commonest members and endings.

use std::collections::HashMap;
use std::sync::LazyLock;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Begins a noun phrase.
    Determiner,
    /// Begins a noun phrase, but points elsewhere: "their", "this".
    Pointer,
    Preposition,
    /// A form of "be": what stands before it is a subject.
    Copula,
    /// Any other function word, verb or adverb: ends a noun phrase.
    Other,
    /// Part of a noun phrase, but says little: "same", "other".
    Vague,
    Content,
}

/// Articles and the numerals that stand like them.
const DETERMINERS: &str = "\
    the a an every each two three four five six seven eight nine ten twelve";

/// Demonstratives, possessives and quantifiers.
const POINTERS: &str = "\
    this that these those my your his her its our their any no some all";

/// Including those that also serve as adverbs.
const PREPOSITIONS: &str = "\
    of in on at to for with from by between into across over under about against among around before \
    after behind below above during through toward towards until upon within without beneath as like off out up \
    down near past per via than along beyond inside outside since";

/// Forms of "be" that follow a subject.
const COPULAS: &str = "\
    is are was were";

/// Pronouns, question words, conjunctions, adverbs and auxiliaries.
const FUNCTION_WORDS: &str = "\
    i you he she it we they me him us them who whom whose which what one ones someone everyone nobody \
    nothing something everything anything itself themselves here there both most many much more few \
    several half none such and or but nor so yet if when where why how while because although though \
    unless whether then not also only just even still too very now never always often again once \
    together instead away back almost already first finally however today later far well ever else plus \
    minus times exactly be been being am has have had having do does did done can could may might must \
    shall should will would cannot let lets";

/// Common verbs, in the forms that read as verbs.
const VERBS: &str = "\
    add adds added appear appears ask asks become becomes became begin begins began bring brings build \
    builds built call called calls came carry carries come comes contain contains cover covers cross \
    draw draws equals find finds follow follows found gave get gets give gives given go goes gone got \
    grow grows happen happens help helps hold holds keep keeps kept know knows known lasts lead leads \
    leave leaves left lie lies live lives look looks made make makes mean means measure move moves need \
    needs place pulled put puts reach reaches read reads remain remains return returns run runs ran said \
    say says see sees seem seems show shows start starts stay stays stop stops store stores subtract \
    take takes taken tell tells think took turn turns use used uses using walk want wants went work \
    works write writes";

/// Nouns and adjectives that tell no paragraph from another.
const VAGUE: &str = "\
    same other others own new good whole way ways thing things kind kinds sort lot lots part parts time \
    end year years day days hundred hundreds thousand thousands million millions billions second minute hour \
    example number people case fact little result unit units";

static CLASSES: LazyLock<HashMap<&str, Class>> = LazyLock::new(|| {
    let lists = [
        (VAGUE, Class::Vague),
        (VERBS, Class::Other),
        (FUNCTION_WORDS, Class::Other),
        (COPULAS, Class::Copula),
        (PREPOSITIONS, Class::Preposition),
        (POINTERS, Class::Pointer),
        (DETERMINERS, Class::Determiner),
    ];
    lists.into_iter().flat_map(|(words, class)| words.split(' ').map(move |word| (word, class))).collect()
});

/// The class of a lower-case word.
pub(super) fn class(word: &str) -> Class {
    if let Some(&class) = CLASSES.get(word) {
        return class;
    }
    let is_adverb = word.len() > 4 && word.ends_with("ly");
    // "don't", "they're", "we'll"
    let is_contraction = ["n't", "'re", "'ll", "'ve"].iter().any(|ending| word.ends_with(ending));
    if is_adverb || is_contraction { Class::Other } else { Class::Content }
}

/// Whether a lower-case word is one of the common verbs.
pub(super) fn is_verb(word: &str) -> bool {
    static VERB_SET: LazyLock<std::collections::HashSet<&str>> = LazyLock::new(|| VERBS.split(' ').collect());
    VERB_SET.contains(word)
}

/// A word without the marks around it.
pub(super) fn bare(word: &str) -> &str {
    word.trim_matches(|c: char| !c.is_alphanumeric())
}

/// Words that agree with one thing only, so that a plural-looking word after its noun is a verb.
pub(super) fn is_singular(determiner: &str) -> bool {
    matches!(determiner, "a" | "an" | "every" | "each")
}

/// A word without its plural or possessive ending, to count its occurrences.
pub(super) fn stem(word: &str) -> &str {
    let word = word.strip_suffix("'s").unwrap_or(word);
    match word.strip_suffix('s') {
        Some(stem) if stem.len() > 2 && !stem.ends_with('s') => stem,
        _ => word,
    }
}

/// The words of a text that say something, in order, by their stems.
pub(super) fn content_words(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric() && c != '\'').filter(|word| !word.is_empty());
    words.filter(|word| class(word) == Class::Content).map(|word| stem(word).to_owned()).collect()
}

/// Words that follow a verb rather than a noun: "the rest evaporates again".
pub(super) fn follows_verb(word: &str) -> bool {
    const WORDS: &str =
        "again together back away instead here there once when where because if as so than how what why";
    let joins_nouns = matches!(word, "of" | "between" | "for" | "with" | "in" | "as" | "than");
    class(word) == Class::Preposition && !joins_nouns || WORDS.split(' ').any(|verb| verb == word)
}
