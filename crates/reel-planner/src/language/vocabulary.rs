//! The vocabulary of the planner: classes of English words, and lists of words with a special role.
//!
//! Closed classes are listed in full; open ones only by their commonest members and endings. All words here are in
//! lower case, and [`Word::lower`](super::words::Word) is what to look up. Words of other languages are found in no
//! list, so that they count as content.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
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

/// Nouns and adjectives that do not distinguish paragraphs.
const VAGUE: &str = "\
    same other others own new good whole way ways thing things kind kinds sort lot lots part parts time \
    end year years day days hundred hundreds thousand thousands million millions billions second minute hour \
    example number people case fact little result unit units";

/// Verbs that help another.
const AUXILIARIES: &str = "\
    has have had does do did can could may might will would must should cannot";

/// Words that only tie a sentence to the one before.
const LEADS: &str = "\
    so and but then first second third next finally lastly instead however also thus therefore hence moreover \
    now still yet similarly likewise meanwhile";

/// Words that begin a clause before the statement, up to a comma.
const OPENINGS: &str = "\
    when if after before because although though while since as in on at for with by during unlike until once \
    from to under over today where";

/// Words before which a sentence that is too long for one line may be divided.
const CONJUNCTIONS: &str = "\
    and but or because while which so where when although that";

/// Pronouns and adverbs that stand for something said before.
const ANAPHORS: &str = "\
    it they he she this that these those there such then";

/// Words that join a sentence to the one before without standing for anything in it.
const JOINERS: &str = "\
    we so but and or here which together";

/// Pronouns behind which a verb stands.
const SUBJECTS: &str = "\
    it they we you he she i who which";

/// Words a phrase cannot end with, besides those that begin one.
const HANGING: &str = "\
    and or but nor so such which who what when where how why whether not be very";

/// Prepositions and pointers that can end a phrase all the same: "gives it away", "one of the two".
const FINAL: &str = "\
    this that out up down away each all two three";

/// Nouns that count something although they are [`Class::Vague`] or a determiner.
const MEASURES: &str = "\
    units hours minutes seconds days years people hundred";

/// Words with which the steps of a procedure begin.
pub(crate) const STEP_WORDS: &[&str] = &[
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

/// Words before the next step in a sentence of several steps, the longest first.
pub(crate) const STEP_JOINTS: &[&str] = &[
    ", and then ",
    "; and then ",
    ", and finally ",
    ", and at last ",
    "; then ",
    ", then ",
    ", finally ",
    " and then ",
    " and finally ",
];

/// Abbreviations that are always followed by more of the same sentence, as written.
pub(crate) const ABBREVIATIONS: &[&str] = &[
    "e.g.", "E.g.", "i.e.", "I.e.", "vs.", "cf.", "Cf.", "viz.", "approx.", "Dr.", "Mr.", "Mrs.", "Ms.",
    "Prof.", "St.", "Mt.", "Gen.", "Sen.", "Rev.", "Capt.", "Lt.", "Sgt.", "Hon.", "bzw.", "ca.", "evtl.",
    "ggf.", "inkl.", "sog.", "vgl.", "Hr.", "Dipl.", "Ing.", "Sr.", "Sra.", "Srta.", "Dra.", "Sig.", "Dott.",
    "env.", "aprox.",
];

/// Abbreviations only before a number, as written: "No. 5", but "No. That is wrong."
pub(crate) const NUMBERED_ABBREVIATIONS: &[&str] = &[
    "No.", "no.", "Nos.", "Fig.", "fig.", "Figs.", "Eq.", "eq.", "Sec.", "sec.", "Ch.", "ch.", "Vol.",
    "vol.", "Art.", "p.", "pp.", "ca.", "c.", "Jan.", "Feb.", "Mar.", "Apr.", "Jun.", "Jul.", "Aug.", "Sep.",
    "Sept.", "Oct.", "Nov.", "Dec.",
];

/// Words that begin a sentence, as written, but hardly ever follow an initial: "plan B. Then", not "J. Then".
pub(crate) const SENTENCE_OPENERS: &[&str] = &[
    "The", "A", "An", "It", "This", "That", "These", "Those", "He", "She", "We", "They", "You", "I", "In",
    "On", "At", "For", "If", "When", "Where", "While", "But", "And", "So", "Then", "There", "Here", "Its",
    "His", "Her", "Their", "Our", "My", "As", "By", "To", "Of", "With", "After", "Before", "Now", "Each",
    "Every", "No", "Not", "What", "Why", "How", "Who", "Which", "Both", "All", "Some", "Most", "One", "Two",
    "Finally", "However",
];

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

/// Returns the class of a lower-case word.
pub(crate) fn class(word: &str) -> Class {
    if let Some(&class) = CLASSES.get(word) {
        return class;
    }
    let is_adverb = word.len() > 4 && word.ends_with("ly");
    // "don't", "they're", "we'll"
    let is_contraction = ["n't", "'re", "'ll", "'ve"].iter().any(|ending| word.ends_with(ending));
    if is_adverb || is_contraction { Class::Other } else { Class::Content }
}

/// Returns `true` for one of the common verbs.
pub(crate) fn is_verb(word: &str) -> bool {
    static VERB_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| VERBS.split(' ').collect());
    VERB_SET.contains(word)
}

/// Returns `true` when a word reads as a verb, by itself or with another word.
pub(crate) fn is_predicate(word: &str) -> bool {
    class(word) == Class::Copula || is_verb(word) || is_in(AUXILIARIES, word)
}

/// Returns `true` for a word that only connects its sentence to the previous one.
pub(crate) fn is_lead(word: &str) -> bool {
    is_in(LEADS, word)
}

/// Returns `true` for a word that begins a clause before the statement.
pub(crate) fn is_opening(word: &str) -> bool {
    is_in(OPENINGS, word)
}

/// Returns `true` for a word before which a long sentence may be divided.
pub(crate) fn is_conjunction(word: &str) -> bool {
    is_in(CONJUNCTIONS, word)
}

/// Returns `true` for a first word with which a sentence points back.
pub(crate) fn is_anaphor(word: &str) -> bool {
    is_in(ANAPHORS, word)
}

/// Returns `true` for a first word with which a sentence cannot open a topic.
pub(crate) fn leans_back(word: &str) -> bool {
    is_anaphor(word) || is_in(JOINERS, word) || class(word) == Class::Pointer
}

/// Returns `true` for a pronoun that a verb follows.
pub(crate) fn is_subject(word: &str) -> bool {
    is_in(SUBJECTS, word)
}

/// Returns `true` for a word that cannot end a phrase.
pub(crate) fn hangs(word: &str) -> bool {
    let begins_phrase =
        matches!(class(word), Class::Determiner | Class::Pointer | Class::Preposition | Class::Copula);
    begins_phrase && !is_in(FINAL, word) || is_in(HANGING, word)
}

/// Returns `true` for a word that joins parts of an enumeration or a sentence, and so ends none.
pub(crate) fn is_joint(word: &str) -> bool {
    matches!(word, "and" | "or" | "but" | "nor" | "so")
}

/// Returns `true` for a word that a number before it counts.
pub(crate) fn is_measure(word: &str) -> bool {
    is_in(MEASURES, word)
}

fn is_in(list: &str, word: &str) -> bool {
    list.split(' ').any(|listed| listed == word)
}
