//! Headings for pages of text that has none.
//!
//! A heading says what its page is about: how many things it tells of, or a whole noun phrase of its text that is
//! frequent on the page and rare on the others. Where no phrase is telling, a page has no heading, because a wrong one is worse.
//!
//! The scores were set by hand, so that the headings of the repository's scripts read well; `tests/plans.rs` shows what a
//! change does to them.

use std::collections::{HashMap, HashSet};

use reel_scene::RichText;

use crate::language::dates::years;
use crate::language::detect;
use crate::language::lists::announces;
use crate::language::phrases::{Phrase, is_imperative, phrases_of, subject_of};
use crate::language::sentences;
use crate::language::speakers::speaker;
use crate::language::tags::{Tag, Tagged, is_number, tag};
use crate::language::vocabulary::{Class, class, is_lead, is_measure};
use crate::language::width::columns;
use crate::language::words::{capitalize, first_word, stem, stems, word_count, words};

/// Words of a phrase that is a heading, and of a sentence that is one.
const MAX_PHRASE_WORDS: usize = 6;
const MAX_SENTENCE_WORDS: usize = 8;
/// Columns of a heading: one line.
const MAX_COLUMNS: usize = 48;
/// A phrase below this says too little about its page.
const MIN_SCORE: i32 = 6;
/// Sentences of a page that are searched for a heading.
const SEARCHED_SENTENCES: usize = 10;
/// Characters of a page that are searched: that many sentences lie well within them.
const SEARCHED_CHARS: usize = 4000;

/// Nouns that measure what comes behind "of", or time.
const MEASURES: &str = " gram kilogram liter litre cup piece lump kind sort type part pair number amount lot bit group set series handful \
    percent share half quarter third majority hour minute second day week month year decade century time times meter metre \
    kilometer kilometre mile degree degrees dollar euro pound ton cubic spoon drop sum rest end beginning middle side way way thing \
    case fact example result reason point moment place people person man woman january february march april may june july august \
    september october november december ";

/// Returns a heading for each page, empty where none is telling. No two are the same, and none is the title.
pub(crate) fn derive(pages: &[String], title: &str) -> Vec<String> {
    let rarity = Rarity::new(pages, title);
    // The words of other languages are not known well enough to tell a phrase from a part of a sentence.
    let is_english = detect::of_script(&pages.join(" ")).is_empty();
    let mut used = HashSet::from([key(title)]);
    let headings = pages.iter().map(|page| {
        let found =
            candidates(page, &rarity, is_english).into_iter().find(|heading| used.insert(key(heading)));
        found.map(|heading| capitalize(&heading)).unwrap_or_default()
    });
    headings.collect()
}

/// Returns a heading's words, by which two headings are the same.
fn key(heading: &str) -> String {
    let lower = heading.to_lowercase();
    let bare = ["the ", "a ", "an "].iter().find_map(|article| lower.strip_prefix(article));
    bare.unwrap_or(&lower).trim_end_matches(['.', '!', '?', '。']).to_owned()
}

/// Returns what a page may be called, the best first.
fn candidates(page: &str, rarity: &Rarity, is_english: bool) -> Vec<String> {
    let sentences = opening_sentences(page);
    let Some(first) = sentences.first() else { return vec![] };
    let has_more = sentences.len() > 1;
    let bare = first.trim_end_matches(['.', '!', ':']);
    let is_short = word_count(bare) <= MAX_SENTENCE_WORDS && columns(bare) <= MAX_COLUMNS;
    let stands_alone = !is_lead(&first_word(first)) && !bare.contains([',', ';', '"', '“', '”']);
    let mut found = Vec::new();
    if has_more && is_short && stands_alone && announces(first).is_some() {
        found.push(bare.to_owned());
    }
    if has_more && is_short && stands_alone && bare.ends_with('?') && word_count(bare) > 2 {
        found.push(bare.to_owned());
    }
    if is_english {
        found.extend(phrases(page, &sentences, rarity));
    }
    found
}

fn phrases(page: &str, sentences: &[String], rarity: &Rarity) -> Vec<String> {
    // What somebody said, what is to be done, and what happened when, are not about one thing.
    if sentences.iter().any(|sentence| speaker(sentence).is_some()) {
        return vec![];
    }
    let counts = Counts::new(page);
    let mut rated: Vec<(i32, String)> = Vec::new();
    for (position, sentence) in sentences.iter().enumerate() {
        if is_imperative(sentence) || years(sentence).is_some() {
            continue;
        }
        let tagged = tag(sentence);
        let subject = subject_of(sentence, &tagged).filter(|_| !is_lead(&first_word(sentence)));
        for phrase in phrases_of(sentence, &tagged) {
            let is_subject = subject.as_ref() == Some(&phrase);
            let is_enumerated = is_enumerated(&tagged, &phrase);
            let Some(phrase) = measured(sentence, phrase) else { continue };
            let carries = is_carried_on(&phrase, position, sentences);
            let place = Place { position, is_subject, carries, is_enumerated, tagged: &tagged };
            let Some(score) = score(&phrase, &place, &counts, rarity) else { continue };
            rated.push((score, phrase.text));
        }
    }
    // Stable: among equals the earlier phrase stays in front.
    rated.sort_by_key(|(score, _)| -score);
    rated.into_iter().filter(|(score, _)| *score >= MIN_SCORE).map(|(_, text)| text).collect()
}

/// Where a phrase stands.
struct Place<'a> {
    /// Number of its sentence.
    position: usize,
    is_subject: bool,
    /// Most other sentences speak of it, too.
    carries: bool,
    is_enumerated: bool,
    tagged: &'a [Tagged<'a>],
}

/// Rates a phrase; none for one that says nothing about its page.
fn score(phrase: &Phrase, place: &Place<'_>, counts: &Counts, rarity: &Rarity) -> Option<i32> {
    if !is_telling(phrase)
        || word_count(&phrase.text) > MAX_PHRASE_WORDS
        || columns(&phrase.text) > MAX_COLUMNS
    {
        return None;
    }
    let here = counts.of(&phrase.head);
    let is_defined = place.position == 0 && place.is_subject && is_before_copula(place.tagged, phrase);
    // A phrase that is there once has to say much, and where the page begins.
    let has_complement = phrase.text.contains(" of ") || phrase.text.contains(" between ");
    let opens_page = place.position == 0
        && (place.is_subject || has_complement)
        && content_words(&phrase.text).len() > 1
        && rarity.weigh(&phrase.head) == 3;
    let is_the_topic = (is_defined || opens_page) && phrase.text.to_lowercase().starts_with("the ");
    let is_one_of_many =
        phrase.text.starts_with("A ") || phrase.text.starts_with("a ") || phrase.text.starts_with("an ");
    if here < 2 && !is_defined && !opens_page
        || !place.carries && !is_the_topic
        || is_one_of_many && !is_defined
        || is_predicate(place.tagged, phrase)
        || rarity.is_in_title(&phrase.head)
    {
        return None;
    }
    let is_everywhere = rarity.weigh(&phrase.head) < 2;
    let mut weights: Vec<i32> = content_words(&phrase.text).iter().map(|word| rarity.weigh(word)).collect();
    weights.sort_unstable_by_key(|weight| -weight);
    let repeats = i32::try_from(here.min(4)).unwrap_or_default();
    let points = weights.iter().take(3).sum::<i32>()
        + repeats
        + if is_defined { 4 } else { 0 }
        + if place.is_subject { 2 } else { 0 }
        + if place.position == 0 { 1 } else { 0 }
        - if place.is_enumerated { 3 } else { 0 }
        - if is_everywhere { 4 } else { 0 };
    Some(points)
}

/// Returns `true` when at least half of the other sentences name a phrase's noun, or point at something said before.
fn is_carried_on(phrase: &Phrase, position: usize, sentences: &[String]) -> bool {
    const POINTERS: [&str; 14] = [
        "it", "its", "they", "their", "them", "he", "she", "his", "her", "this", "these", "that", "those",
        "such",
    ];
    let speaks_of_it = |sentence: &String| {
        let starts = POINTERS.contains(&first_word(sentence).as_str());
        starts || stems(sentence).iter().any(|word| word == stem(&phrase.head))
    };
    let others = sentences.iter().enumerate().filter(|(index, _)| *index != position);
    let (all, carried) = others.fold((0, 0), |(all, carried), (_, sentence)| {
        (all + 1, carried + usize::from(speaks_of_it(sentence)))
    });
    2 * carried >= all
}

fn content_words(text: &str) -> Vec<String> {
    words(text).into_iter().filter(|word| word.class == Class::Content).map(|word| word.lower).collect()
}

fn is_before_copula(tagged: &[Tagged<'_>], phrase: &Phrase) -> bool {
    let next = tagged.iter().find(|word| word.word.bare_range.start >= phrase.range.end);
    next.is_some_and(|next| next.tag == Tag::Copula)
}

/// A bare word behind "is" or "not": "risotto is difficult". It is no thing that a page can be about.
fn is_predicate(tagged: &[Tagged<'_>], phrase: &Phrase) -> bool {
    let first = tagged.iter().position(|word| word.word.bare_range.start >= phrase.range.start);
    let before = first.and_then(|first| tagged.get(first.checked_sub(1)?));
    word_count(&phrase.text) == 1 && before.is_some_and(|word| word.tag == Tag::Copula || word.is("not"))
}

/// One of several things: "salt and water", ", sugar,".
fn is_enumerated(tagged: &[Tagged<'_>], phrase: &Phrase) -> bool {
    let next = tagged.iter().position(|word| word.word.bare_range.start >= phrase.range.end);
    let first = tagged.iter().position(|word| word.word.bare_range.start >= phrase.range.start);
    let joins = |index: Option<usize>| {
        index.and_then(|index| tagged.get(index)).is_some_and(|word| word.is("and") || word.is("or"))
    };
    joins(next) || joins(first.and_then(|first| first.checked_sub(1)))
}

/// Returns what a measure measures: "fresh yeast" of "a gram of fresh yeast".
fn measured(sentence: &str, phrase: Phrase) -> Option<Phrase> {
    if !is_measure_noun(&phrase.head) {
        return Some(phrase);
    }
    let (_, behind) = phrase.text.split_once(" of ")?;
    let start = phrase.range.end - behind.len();
    phrases_of(behind, &tag(behind)).into_iter().next().map(|found| {
        let range = start + found.range.start..start + found.range.end;
        Phrase { text: sentence[range.clone()].to_owned(), range, head: found.head }
    })
}

fn is_measure_noun(head: &str) -> bool {
    let lists = |word: &str| MEASURES.split_whitespace().any(|listed| listed == word);
    lists(head) || lists(stem(head)) || is_measure(head)
}

/// Returns `true` for a phrase that can stand alone: it points at nothing said before, counts nothing, and its noun is not vague.
pub(crate) fn is_telling(phrase: &Phrase) -> bool {
    let words = words(&phrase.text);
    let points_back = words.first().is_some_and(|first| {
        first.class == Class::Pointer
            || matches!(
                first.lower.as_str(),
                "such"
                    | "another"
                    | "other"
                    | "each"
                    | "every"
                    | "most"
                    | "many"
                    | "few"
                    | "more"
                    | "several"
                    | "both"
                    | "one"
                    | "what"
                    | "which"
                    | "enough"
                    | "either"
                    | "neither"
                    | "half"
                    | "whose"
                    | "same"
                    | "next"
                    | "last"
            )
    });
    let counts_things = words.iter().take(2).any(|word| is_number(&word.lower))
        || words.first().is_some_and(|word| {
            word.class == Class::Determiner && !matches!(word.lower.as_str(), "the" | "a" | "an")
        });
    let is_vague = class(&phrase.head) != Class::Content
        || is_measure_noun(&phrase.head) && !phrase.text.contains(" of ");
    let refers = words.iter().any(|word| {
        matches!(
            word.lower.as_str(),
            "same" | "other" | "others" | "own" | "this" | "that" | "its" | "their" | "his" | "her"
        ) || word.lower.contains("n't")
    });
    !points_back && !counts_things && !is_vague && !refers && phrase.head.chars().count() > 2
}

/// How often each word is in a text.
pub(crate) struct Counts {
    stems: HashMap<String, usize>,
    words: HashSet<String>,
}

impl Counts {
    pub fn new(text: &str) -> Self {
        let mut counts = HashMap::new();
        stems(text).into_iter().for_each(|stem| *counts.entry(stem).or_insert(0) += 1);
        let lower = text.to_lowercase();
        let words = lower.split(|c: char| !c.is_alphanumeric()).map(str::to_owned).collect();
        Self { stems: counts, words }
    }

    /// Counts a word in the singular and the plural.
    pub fn of(&self, word: &str) -> usize {
        self.stems.get(stem(word)).copied().unwrap_or_default()
    }

    /// Returns `true` for a lower-case word that is in the text in just this form.
    pub fn has_word(&self, word: &str) -> bool {
        self.words.contains(word)
    }
}

/// Rates how characteristic a word is of its page.
struct Rarity {
    title: HashSet<String>,
    /// Number of pages in which each stem occurs.
    pages: HashMap<String, usize>,
    page_count: usize,
}

impl Rarity {
    fn new(texts: &[String], title: &str) -> Self {
        let mut pages = HashMap::new();
        for text in texts {
            let distinct: HashSet<String> = stems(text).into_iter().collect();
            distinct.into_iter().for_each(|stem| *pages.entry(stem).or_insert(0) += 1);
        }
        let title = words(title).iter().map(|word| stem(&word.lower).to_owned()).collect();
        Self { title, pages, page_count: texts.len() }
    }

    fn is_in_title(&self, word: &str) -> bool {
        self.title.contains(stem(word))
    }

    /// Returns 3 for a word that no other page has, 2 for one that some have, and 1 for one that most have, or
    /// the title.
    fn weigh(&self, word: &str) -> i32 {
        let stem = stem(word);
        let found_in = self.pages.get(stem).copied().unwrap_or_default();
        match found_in {
            _ if self.title.contains(stem) => 1,
            2.. if found_in * 2 > self.page_count => 1,
            2.. => 2,
            _ => 3,
        }
    }
}

fn opening_sentences(page: &str) -> Vec<String> {
    let end = page.char_indices().nth(SEARCHED_CHARS).map_or(page.len(), |(offset, _)| offset);
    let pieces = sentences::split(&RichText::plain(&page[..end]));
    pieces.iter().take(SEARCHED_SENTENCES).map(|piece| piece.text.to_plain()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heading(page: &str) -> String {
        derive(&[page.to_owned()], "Title").remove(0)
    }

    #[test]
    fn a_heading_is_a_whole_phrase_of_the_page() {
        for (page, expected) in [
            ("The proof is easier than it looks. Draw a large square.", "The proof"),
            ("Evaporation is the first step. It takes a single oak.", "Evaporation"),
            (
                "Three things happen in a rising dough. Yeast eats sugar. Gluten holds the gas in.",
                "Three things happen in a rising dough",
            ),
            (
                "A gram of fresh yeast holds about 10 billion cells. At 27 degrees yeast doubles quickly.",
                "Fresh yeast",
            ),
            (
                "Sourdough is slower than baker's yeast, but it keeps longer. A sourdough loaf takes a whole day.",
                "Sourdough",
            ),
            ("What is a catalyst? It is a substance that speeds up a reaction.", "What is a catalyst?"),
        ] {
            assert_eq!(heading(page), expected, "{page}");
        }
    }

    #[test]
    fn a_page_without_a_telling_phrase_has_no_heading() {
        for page in [
            "Go.",
            "",
            "Nobody knew it. They kept a lump back from each batch, and passed it on like a family name.",
            "\"Good bread is the most fundamentally satisfying of all foods,\" wrote James Beard.",
            "If your dough does not rise, check three things. Use fresh yeast. Keep the dough warm. Give it time.",
            "In 1857 Louis Pasteur showed that yeast is alive. In 1868 Charles Fleischmann sold it.",
            "水循环很重要，它给我们水。没有它就没有生命。",
            "Der Hund schläft gern. Der Hund bellt.",
        ] {
            assert_eq!(heading(page), "", "{page}");
        }
        assert_eq!(heading(&"word ".repeat(300)), "");
    }

    #[test]
    fn no_two_headings_are_the_same() {
        let page = "The proof is easier than it looks. The proof is short.".to_owned();
        let headings = derive(&[page.clone(), page], "Title");
        assert_eq!(headings, ["The proof", ""]);
    }

    #[test]
    fn the_title_is_no_heading() {
        assert_eq!(derive(&["The proof is easy. The proof is short.".to_owned()], "The proof"), [""]);
    }
}
