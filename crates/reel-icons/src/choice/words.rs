//! Words of a phrase: their basic forms, and how much each counts by its place.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::lexicon::Lexicon;

/// A word and its place.
#[derive(Debug, Clone)]
pub(super) struct Word {
    /// As it stands, in lower case, then the basic forms that the lexicon knows; never empty.
    pub(super) forms: Vec<String>,
    pub(super) is_function: bool,
    /// From 0 to about 1: how much of the phrase's meaning its place carries.
    pub(super) weight: f64,
}

impl Word {
    /// Returns the form that words are counted by.
    pub(super) fn basic(&self) -> &str {
        self.forms.get(1).unwrap_or(&self.forms[0])
    }
}

/// Words before a noun, and forms of "be" and "have": they part the noun phrases of a sentence.
const DIVIDERS: &str = " a an the this that these those its his her their our your my every each some any all no is are was were be been \
     has have had do does did can could will would shall should may might must not never also only both ";
/// Words that begin what is said about something else.
const PREPOSITIONS: &str = " in on at with from to by for about into onto over under above below after before between through \
     during against among around across along without within behind beside near than as until since toward towards \
     when while because if where which who whose whom although though unless whether ";
/// Other words that mean nothing by themselves.
const OTHER: &str = " of and or but so nor yet it he she they we you i me him them us what how why there here then thus \
     first second third finally more most less least much many few very too just even still again such same other \
     another own one two three four five six seven eight nine ten hundred thousand million billion up down out off \
     away back get got make made let go goes went come came take took give gave put keep kept way thing something \
     nothing everything anything lot use used new like well now always often sometimes once soon almost nearly about \
     s t re ve ll don doesn isn aren wasn ";

/// A list of words that is read once.
type List = LazyLock<HashSet<&'static str>>;

static DIVIDER_LIST: List = LazyLock::new(|| DIVIDERS.split_ascii_whitespace().collect());
static PREPOSITION_LIST: List = LazyLock::new(|| PREPOSITIONS.split_ascii_whitespace().collect());
static OTHER_LIST: List = LazyLock::new(|| OTHER.split_ascii_whitespace().collect());

/// Frequent words of English that German, French, Spanish, Italian, Portuguese and Dutch do not have.
const ENGLISH: &str =
    "the of and is are that it for with from by this which has have they when than every you what its";
/// Frequent words of those languages that English hardly has.
const FOREIGN: &str = "der die das und ist nicht ein eine einen mit auf für von zu den dem sich auch le la les des du et est une dans \
     pour qui sur au avec il el los las que en un por con del su para es di che il è per non della una os não uma \
     em da het een van niet dat op te";

/// Is a text in English? One without frequent words of any language, such as a few titles, is taken for it unless its letters
/// are not Latin.
pub(super) fn is_english(text: &str) -> bool {
    let text = text.to_lowercase();
    let words = text.split(|c: char| !c.is_alphanumeric());
    let (mut english, mut foreign) = (0, 0);
    for word in words {
        english += usize::from(ENGLISH.split_ascii_whitespace().any(|other| other == word));
        foreign += usize::from(FOREIGN.split_ascii_whitespace().any(|other| other == word));
    }
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    let latin = text.chars().filter(|c| c.is_alphabetic() && *c < '\u{250}').count();
    english >= foreign && latin * 2 >= letters
}

/// Cuts a text into words. Clauses end at punctuation; each later one counts less.
pub(super) fn words_of(text: &str, lexicon: &Lexicon) -> Vec<Word> {
    let mut words = Vec::new();
    let mut clause_weight = 1.0;
    for clause in text.split(['.', ':', ';', '!', '?', '\n', '—', '–', '(', ')']) {
        let mut clause: Vec<Word> =
            tokens(clause, lexicon).into_iter().map(|word| classify(word, lexicon)).collect();
        weigh(&mut clause, clause_weight);
        if clause.iter().any(|word| !word.is_function) {
            clause_weight = 0.65;
        }
        words.extend(clause);
    }
    words
}

/// Cuts at what is no letter, digit, apostrophe or hyphen, and at hyphens of words that the lexicon does not know.
fn tokens(text: &str, lexicon: &Lexicon) -> Vec<String> {
    let text = text.to_lowercase().replace('’', "'");
    let mut tokens = Vec::new();
    for token in text.split(|c: char| !(c.is_alphanumeric() || c == '-' || c == '\'')) {
        let token = token.trim_matches(['-', '\'']);
        let token = token.strip_suffix("'s").unwrap_or(token);
        if lexicon.is_word(token) || !token.contains('-') {
            tokens.push(token.to_owned());
        } else {
            tokens.extend(token.split('-').map(str::to_owned));
        }
    }
    tokens.retain(|token| !token.is_empty());
    tokens
}

fn classify(token: String, lexicon: &Lexicon) -> Word {
    let is_function =
        [&DIVIDER_LIST, &PREPOSITION_LIST, &OTHER_LIST].iter().any(|list| list.contains(token.as_str()))
            || token.chars().all(|c| c.is_ascii_digit());
    let mut forms = vec![token];
    for form in basic_forms(&forms[0]) {
        if lexicon.is_word(&form) && !forms.contains(&form) {
            forms.push(form);
        }
    }
    Word { forms, is_function, weight: 0.0 }
}

/// Weight of a word that others follow in its noun phrase.
const MODIFIER: f64 = 0.92;
/// Weight of the first word of a sentence, likely its subject.
const SUBJECT: f64 = 1.02;

/// Weighs the words of a clause. Before the first preposition, the last word of each noun phrase counts most; words after a
/// preposition count less, after "of" hardly less.
fn weigh(clause: &mut [Word], whole: f64) {
    let is_in = |word: &Word, list: &List| list.contains(word.forms[0].as_str());
    let first = clause.iter().position(|word| !word.is_function);
    let is_sentence = clause
        .iter()
        .skip(first.map_or(0, |first| first + 1))
        .any(|word| is_in(word, &DIVIDER_LIST) || is_in(word, &PREPOSITION_LIST));
    let mut place = 1.0_f64;
    let mut phrase = 1.0_f64;
    for at in 0..clause.len() {
        if first.is_none_or(|first| at < first) {
            continue;
        }
        if is_in(&clause[at], &PREPOSITION_LIST) {
            place = 0.75;
        } else if clause[at].forms[0] == "of" {
            place = place.min(0.9);
        } else if is_in(&clause[at], &DIVIDER_LIST) {
            phrase = (phrase - 0.04).max(0.8);
        }
        if is_verb(clause, at) {
            clause[at].forms.truncate(1);
        }
        let is_last = clause.get(at + 1).is_none_or(|next| next.is_function);
        clause[at].weight = whole
            * place
            * phrase
            * match is_last {
                true => 1.0,
                false if is_sentence && first == Some(at) => SUBJECT,
                false => MODIFIER,
            };
    }
}

/// Is it likely a verb: "each cycle leaves a trace", "the army stores in cellars"? Then its noun is not meant.
fn is_verb(clause: &[Word], at: usize) -> bool {
    let is_noun = |word: &Word| !word.is_function && !word.forms[0].ends_with('s');
    let before = at.checked_sub(1).is_some_and(|before| is_noun(&clause[before]));
    let after = clause.get(at + 1).is_some_and(|next| ["a", "an", "the"].contains(&next.forms[0].as_str()));
    before && after && clause[at].forms[0].ends_with('s') && !clause[at].forms[0].ends_with("ss")
}

/// Words whose basic form no rule finds.
const IRREGULAR: &[(&str, &str)] = &[
    ("children", "child"),
    ("men", "man"),
    ("women", "woman"),
    ("teeth", "tooth"),
    ("feet", "foot"),
    ("mice", "mouse"),
    ("geese", "goose"),
    ("wolves", "wolf"),
    ("knives", "knife"),
    ("wives", "wife"),
    ("leaves", "leaf"),
    ("loaves", "loaf"),
    ("shelves", "shelf"),
    ("thieves", "thief"),
    ("bacteria", "bacterium"),
    ("fungi", "fungus"),
    ("ran", "run"),
    ("ate", "eat"),
    ("eaten", "eat"),
    ("fell", "fall"),
    ("fallen", "fall"),
    ("wrote", "write"),
    ("written", "write"),
    ("sold", "sell"),
    ("bought", "buy"),
    ("paid", "pay"),
    ("spoke", "speak"),
    ("spoken", "speak"),
    ("slept", "sleep"),
    ("froze", "freeze"),
    ("frozen", "freeze"),
    ("grew", "grow"),
    ("grown", "grow"),
    ("burnt", "burn"),
    ("built", "build"),
    ("flew", "fly"),
    ("flown", "fly"),
    ("drove", "drive"),
    ("driven", "drive"),
    ("rode", "ride"),
    ("won", "win"),
    ("sent", "send"),
    ("spent", "spend"),
    ("taught", "teach"),
    ("thought", "think"),
    ("fought", "fight"),
    ("drew", "draw"),
    ("drawn", "draw"),
    ("sang", "sing"),
    ("sung", "sing"),
    ("swam", "swim"),
    ("dug", "dig"),
    ("died", "die"),
    ("dying", "die"),
    ("rose", "rise"),
    ("risen", "rise"),
    ("broke", "broken"),
    ("forgot", "forget"),
    ("stole", "steal"),
    ("told", "tell"),
    ("met", "meeting"),
    ("meet", "meeting"),
    ("learnt", "learn"),
    ("hid", "hidden"),
    ("staging", "staging"),
];

/// Returns forms that a word may be built from, the likelier first.
fn basic_forms(word: &str) -> Vec<String> {
    let irregular = IRREGULAR.iter().filter(|(form, _)| *form == word).map(|(_, basic)| (*basic).to_owned());
    irregular
        .chain(without_s(word))
        .chain(without_ending(word, "ing"))
        .chain(without_ending(word, "ed"))
        .collect()
}

fn without_s(word: &str) -> Vec<String> {
    let Some(stem) = word.strip_suffix('s').filter(|stem| stem.len() >= 2 && !stem.ends_with(['s', 'u']))
    else {
        return Vec::new();
    };
    let mut forms = vec![stem.to_owned()];
    if let Some(stem) = stem.strip_suffix('e') {
        forms.push(stem.to_owned());
        forms.extend(stem.strip_suffix('i').map(|stem| format!("{stem}y")));
    }
    forms
}

/// Removes `ending`, with the letter that it doubled or the "e" that it took away.
fn without_ending(word: &str, ending: &str) -> Vec<String> {
    let Some(stem) = word.strip_suffix(ending).filter(|stem| stem.len() >= 2 && stem.contains(is_vowel))
    else {
        return Vec::new();
    };
    let mut forms = vec![format!("{stem}e"), stem.to_owned()];
    forms.extend(stem.strip_suffix('i').map(|stem| format!("{stem}y")));
    let mut letters = stem.chars().rev();
    if let (Some(last), Some(before)) = (letters.next(), letters.next())
        && last == before
    {
        forms.push(stem[..stem.len() - last.len_utf8()].to_owned());
    }
    forms
}

fn is_vowel(c: char) -> bool {
    "aeiouy".contains(c)
}
