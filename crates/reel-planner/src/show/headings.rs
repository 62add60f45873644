//! Headings for text that has none.
//!
//! A heading is a noun phrase that stands in the paragraph's own words: preferably one that is
//! characteristic of it, seldom used in the other paragraphs, and near its beginning. Phrases are found
//! from their edges, by English function words; where an edge is doubtful the phrase is not used. Failing
//! that, a short first clause serves, and failing that the video's title, as one long chapter.
//!
//! The scores were set by hand, so that the headings of the repository's scripts read well; `tests/plans.rs` shows what a
//! change does to them.

use std::collections::{HashMap, HashSet};

use reel_scene::RichText;

use crate::language::sentences;
use crate::language::speech::is_speakable;
use crate::language::vocabulary::{Class, ends_in_s, follows_verb, is_object, is_singular, is_subject};
use crate::language::width::columns;
use crate::language::words::{Word, capitalize, stem, stems, words};

/// Words of a heading: one says too little, more than six are a sentence.
const WORDS: std::ops::RangeInclusive<usize> = 2..=6;
/// Nouns of a phrase: a longer run of them is more likely a clause whose verb is not in the vocabulary.
const NOUNS: std::ops::RangeInclusive<usize> = 1..=4;
/// A phrase below this says too little about its paragraph: two words that no other paragraph has score as much.
const MIN_SCORE: i32 = 6;
/// Score of a first sentence that is short enough to be the heading: that of a subject of three such words.
const STATEMENT_SCORE: i32 = 9;
/// Sentences of a paragraph that are searched for a heading.
const SEARCHED_SENTENCES: usize = 10;
/// Characters of a paragraph that are searched: that many sentences lie well within them.
const SEARCHED_CHARS: usize = 4000;
/// Columns of a clause that serves as a heading: half of a page's line, in the size of a heading.
const MAX_CLAUSE_COLUMNS: usize = 40;

/// Returns one heading for each paragraph, all different but for `title`, which stands where nothing better is found,
/// and over a first paragraph that is about it.
pub(crate) fn derive(paragraphs: &[String], title: &str) -> Vec<String> {
    let rarity = Rarity::new(paragraphs, title);
    let mut used = HashSet::from([key(title)]);
    let headings = paragraphs.iter().enumerate().map(|(index, paragraph)| {
        let sentences = opening_sentences(paragraph);
        let sentences: Vec<Sentence<'_>> = sentences.iter().map(|text| Sentence::new(text)).collect();
        let mut phrases: Vec<Phrase> = Vec::new();
        if is_english(&sentences) {
            phrases = find_phrases(&sentences, &rarity);
            phrases.extend(short_statement(&sentences));
        }
        if index == 0 && phrases.iter().any(|phrase| key(&phrase.text) == key(title)) {
            return title.to_owned();
        }
        // Stable: among equals the earlier phrase stays in front.
        phrases.sort_by_key(|phrase| -phrase.score);
        let phrases =
            phrases.into_iter().filter(|phrase| phrase.score >= MIN_SCORE).map(|phrase| phrase.text);
        let found = phrases.chain(first_clause(paragraph)).find(|heading| used.insert(key(heading)));
        found.map_or_else(|| title.to_owned(), |heading| capitalize(&heading))
    });
    headings.collect()
}

/// Returns a heading's words, by which two headings are the same.
fn key(heading: &str) -> String {
    let lower = heading.to_lowercase();
    let bare = ["the ", "a ", "an "].iter().find_map(|article| lower.strip_prefix(article));
    bare.unwrap_or(&lower).trim_end_matches(['.', '!', '?', '。']).to_owned()
}

struct Sentence<'a> {
    text: &'a str,
    words: Vec<Word<'a>>,
}

impl<'a> Sentence<'a> {
    fn new(text: &'a str) -> Self {
        let mut words = words(text);
        // An opening mark belongs to the phrase that it opens, which cannot be cut out without it.
        words.iter_mut().filter(|word| word.is_opened).for_each(|word| word.class = Class::Other);
        Self { text, words }
    }
}

struct Phrase {
    text: String,
    score: i32,
}

/// Rates how characteristic a word is of its paragraph.
struct Rarity {
    title: HashSet<String>,
    /// Number of paragraphs in which each stem occurs.
    paragraphs: HashMap<String, usize>,
    paragraph_count: usize,
}

impl Rarity {
    fn new(texts: &[String], title: &str) -> Self {
        let mut paragraphs = HashMap::new();
        for text in texts {
            let distinct: HashSet<String> = stems(text).into_iter().collect();
            distinct.into_iter().for_each(|stem| *paragraphs.entry(stem).or_insert(0) += 1);
        }
        let title = words(title).iter().map(|word| stem(&word.lower).to_owned()).collect();
        Self { title, paragraphs, paragraph_count: texts.len() }
    }

    /// Returns 3 for a word that no other paragraph has, 2 for one that some have, and 1 for one that most have, or
    /// the title.
    fn weigh(&self, word: &str) -> i32 {
        let stem = stem(word);
        let found_in = self.paragraphs.get(stem).copied().unwrap_or_default();
        match found_in {
            _ if self.title.contains(stem) => 1,
            2.. if found_in * 2 > self.paragraph_count => 1,
            2.. => 2,
            _ => 3,
        }
    }
}

fn opening_sentences(paragraph: &str) -> Vec<String> {
    let end = paragraph.char_indices().nth(SEARCHED_CHARS).map_or(paragraph.len(), |(offset, _)| offset);
    let pieces = sentences::split(&RichText::plain(&paragraph[..end]));
    pieces.iter().take(SEARCHED_SENTENCES).map(|piece| piece.text.to_plain()).collect()
}

/// Returns `true` when function words are as frequent as in English: at least a quarter of all words.
fn is_english(sentences: &[Sentence<'_>]) -> bool {
    let words = || sentences.iter().flat_map(|sentence| &sentence.words);
    let function = words().filter(|word| !matches!(word.class, Class::Content | Class::Vague)).count();
    function * 4 >= words().count()
}

fn find_phrases(sentences: &[Sentence<'_>], rarity: &Rarity) -> Vec<Phrase> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for word in sentences.iter().flat_map(|sentence| &sentence.words) {
        *counts.entry(stem(&word.lower)).or_insert(0) += 1;
    }
    let weigh = |word: &Word<'_>| {
        let is_repeated = counts.get(stem(&word.lower)).is_some_and(|&count| count > 1);
        rarity.weigh(&word.lower) + i32::from(is_repeated)
    };
    let mut phrases = Vec::new();
    for (position, sentence) in sentences.iter().enumerate() {
        let words = &sentence.words;
        let starts = (0..words.len()).filter(|&start| start == 0 || ends_phrase(&words[start - 1]));
        for start in starts {
            let Some(end) = noun_phrase_end(words, start) else { continue };
            let extended = extended_end(words, end).filter(|&long| long - start <= *WORDS.end());
            let loses_complement =
                extended.is_none() && !words[end - 1].is_marked && is_word(words, end, "of");
            let end = extended.unwrap_or(end);
            if !WORDS.contains(&(end - start)) || loses_complement {
                continue;
            }
            let content = words[start..end].iter().filter(|word| word.class == Class::Content);
            let mut weights: Vec<i32> = content.map(weigh).collect();
            weights.sort_unstable_by_key(|weight| -weight);
            let score = weights.iter().take(3).sum::<i32>()
                + i32::from(words[start].class == Class::Determiner)
                + if extended.is_some() { 2 } else { 0 }
                + position_score(words, start, end, position);
            let text = &sentence.text[words[start].bare_range.start..words[end - 1].bare_range.end];
            phrases.push(Phrase { text: text.to_owned(), score });
        }
    }
    phrases
}

/// Returns a first sentence so short that it serves as a heading, if it makes sense on its own.
fn short_statement(sentences: &[Sentence<'_>]) -> Option<Phrase> {
    let text = sentences.first()?.text.trim_end_matches(['.', '!']);
    let Sentence { words, .. } = Sentence::new(text);
    let (first, others) = words.split_first()?;
    let stands_alone = matches!(first.class, Class::Determiner | Class::Content) && !others.is_empty();
    let is_unbroken = words[..words.len() - 1].iter().all(|word| !word.is_marked);
    let fits = WORDS.contains(&words.len()) && columns(text) <= MAX_CLAUSE_COLUMNS && sentences.len() > 1;
    (stands_alone && is_unbroken && fits).then(|| Phrase { text: text.to_owned(), score: STATEMENT_SCORE })
}

/// Rates what a phrase's position in its paragraph says about its importance: most of all, when the first sentence says
/// what its subject is, and less when it is one of several things in an enumeration.
fn position_score(words: &[Word<'_>], start: usize, end: usize, sentence: usize) -> i32 {
    let is_subject = start == 0;
    let is_before_copula =
        words.get(end).is_some_and(|next| next.class == Class::Copula) && !words[end - 1].is_marked;
    let joins =
        |word: Option<&Word<'_>>| word.is_some_and(|word| matches!(word.lower.as_str(), "and" | "or"));
    let is_enumerated = joins(words.get(end))
        || start > 0 && joins(words.get(start - 1))
        || words[end - 1].is_marked && words.get(end).is_some_and(|next| next.class == Class::Determiner);
    let as_subject = match (is_subject, is_before_copula, sentence) {
        (true, true, 0) => 7,
        (true, _, 0) => 3,
        (true, ..) => 1,
        _ => 0,
    };
    as_subject + if sentence == 0 { 2 } else { 0 } - if is_enumerated { 4 } else { 0 }
}

fn ends_phrase(word: &Word<'_>) -> bool {
    word.is_marked
        || !matches!(word.class, Class::Determiner | Class::Content | Class::Vague | Class::Pointer)
}

fn is_word(words: &[Word<'_>], index: usize, expected: &str) -> bool {
    words.get(index).is_some_and(|word| word.lower == expected)
}

/// Determiners and the nouns behind them, with nothing between them, by number of words.
struct NounRun {
    start: usize,
    /// The first noun.
    nouns: usize,
    end: usize,
}

impl NounRun {
    fn find(words: &[Word<'_>], start: usize) -> Option<Self> {
        let nouns = run_end(words, start, |class| class == Class::Determiner);
        if words[start..nouns].iter().any(|word| word.is_marked) {
            return None;
        }
        let end = run_end(words, nouns, |class| matches!(class, Class::Content | Class::Vague));
        (end > nouns).then_some(Self { start, nouns, end })
    }

    fn has_determiner(&self) -> bool {
        self.nouns > self.start
    }
}

/// Returns the end of the words of a class from one on; a word with a mark behind it is the last.
fn run_end(words: &[Word<'_>], start: usize, belongs: impl Fn(Class) -> bool) -> usize {
    let run = words[start..].iter().take_while(|word| belongs(word.class));
    let unmarked = run.clone().take_while(|word| !word.is_marked).count();
    start + run.take(unmarked + 1).count()
}

/// Returns the end of the noun phrase that starts here, if both its edges are certain.
fn noun_phrase_end(words: &[Word<'_>], start: usize) -> Option<usize> {
    let run = NounRun::find(words, start)?;
    // The word behind the phrase, unless a mark ends the phrase before it.
    let next = words.get(run.end).filter(|_| !words[run.end - 1].is_marked);
    let ends_with_verb = ends_with_verb(words, &run, next);
    let end = run.end - usize::from(ends_with_verb);
    let nouns = words.get(run.nouns..end)?;
    let last = nouns.last()?;
    let is_certain = (run.has_determiner() || is_certain_without_determiner(words, &run, nouns.len(), next))
        && (ends_with_verb || !may_end_with_verb(words, &run, next))
        && !last.lower.ends_with("'s");
    let has_content = nouns.iter().any(|word| word.class == Class::Content);
    (NOUNS.contains(&nouns.len()) && is_certain && has_content).then_some(end)
}

/// Returns `true` when the last noun is a verb: "a customer changes an address", "the planner reads every file".
fn ends_with_verb(words: &[Word<'_>], run: &NounRun, next: Option<&Word<'_>>) -> bool {
    let has_object = next.is_some_and(|next| {
        matches!(next.class, Class::Determiner | Class::Pointer) || is_object(&next.lower)
    });
    let (first, last) = (&words[run.start].lower, &words[run.end - 1].lower);
    let agrees_with_verb = run.has_determiner() && is_singular(first) && ends_in_s(last);
    has_object || agrees_with_verb && !last.ends_with("'s")
}

/// Returns `true` when the last noun could be a verb or a plural: "the vapor condenses into".
fn may_end_with_verb(words: &[Word<'_>], run: &NounRun, next: Option<&Word<'_>>) -> bool {
    let last = &words[run.end - 1].lower;
    run.end - run.nouns > 1
        && (ends_in_s(last) || last.ends_with("ed"))
        && next.is_some_and(|next| follows_verb(&next.lower))
}

/// Returns `true` when nouns without a determiner are a phrase: at least two, before "is", "of" or a mark, and not behind a
/// pronoun, where a verb begins: "it reflects green light".
fn is_certain_without_determiner(
    words: &[Word<'_>],
    run: &NounRun,
    nouns: usize,
    next: Option<&Word<'_>>,
) -> bool {
    let ends_well = next.is_none_or(|next| next.class == Class::Copula || next.lower == "of");
    let is_behind_pronoun = run.start > 0 && is_subject(&words[run.start - 1].lower);
    nouns >= 2 && ends_well && !is_behind_pronoun
}

/// Returns the end of a phrase with its complement: "the distance | between two points".
fn extended_end(words: &[Word<'_>], end: usize) -> Option<usize> {
    let joins = |word: &&Word<'_>| matches!(word.lower.as_str(), "of" | "between" | "for" | "with" | "in");
    let preposition = words.get(end).filter(joins)?;
    if words[end - 1].is_marked || preposition.is_marked {
        return None;
    }
    let start = end + 1;
    let is_single_noun = words.get(start).is_some_and(|word| word.class == Class::Content)
        && words.get(start + 1).is_none_or(|next| !matches!(next.class, Class::Content | Class::Vague));
    let single = Some(start + 1).filter(|_| is_single_noun && !has_object(words, start + 1));
    let long = noun_phrase_end(words, start).or(single)?;
    let goes_on = !words[long - 1].is_marked && (is_word(words, long, "and") || is_word(words, long, "or"));
    (!goes_on).then_some(long)
}

/// Returns `true` when an object follows the words before `end`, so that the last of them is a verb.
fn has_object(words: &[Word<'_>], end: usize) -> bool {
    let next = words.get(end).filter(|_| !words[end - 1].is_marked);
    next.is_some_and(|next| matches!(next.class, Class::Determiner | Class::Pointer))
}

/// Returns the text up to the first punctuation, if it is short and not all there is.
fn first_clause(paragraph: &str) -> Option<String> {
    let is_mark = |c: char| {
        matches!(c, ',' | ';' | ':' | '.' | '!' | '?' | '—' | '，' | '；' | '：' | '。' | '！' | '？')
    };
    let mut marks = paragraph.char_indices().filter(|&(_, c)| is_mark(c)).filter(|&(offset, c)| {
        let after = paragraph[offset + c.len_utf8()..].chars().next();
        !c.is_ascii() || after.is_none_or(char::is_whitespace)
    });
    let (end, mark) = marks.next()?;
    let clause = paragraph[..end].trim();
    let rest = &paragraph[end + mark.len_utf8()..];
    let count = clause.split(' ').count();
    let is_short = columns(clause) <= MAX_CLAUSE_COLUMNS && count <= *WORDS.end();
    // Scripts that do not separate words by spaces have clauses of one "word".
    let is_phrase = count >= *WORDS.start() || !clause.is_ascii() && columns(clause) > clause.chars().count();
    (is_short && is_phrase && is_speakable(clause) && is_speakable(rest)).then(|| clause.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heading(paragraph: &str) -> String {
        derive(&[paragraph.to_owned()], "Title").remove(0)
    }

    #[test]
    fn a_heading_is_a_whole_phrase_of_the_text() {
        for (paragraph, expected) in [
            ("The proof is easier than it looks. Draw a large square.", "The proof"),
            ("Evaporation is the first step. It takes a single oak.", "Evaporation is the first step"),
            ("In the end it cools, and the warm vapor condenses into five drops. It falls.", "Five drops"),
            (
                "It also tells us the distance between two points on a map. Use it.",
                "The distance between two points",
            ),
            ("The planner reads every file. It is fast.", "The planner"),
            ("Rain falls, and nobody knows why it does. So be it.", "Rain falls"),
            ("水循环很重要，它给我们水。没有它就没有生命。", "水循环很重要"),
        ] {
            assert_eq!(heading(paragraph), expected, "{paragraph}");
        }
    }

    #[test]
    fn the_title_stands_in_where_nothing_is_found() {
        assert_eq!(heading("Go."), "Title");
        assert_eq!(heading(&"word ".repeat(300)), "Title");
    }

    #[test]
    fn no_two_headings_are_the_same() {
        let paragraph = "The proof is easier than it looks. The proof is short.".to_owned();
        let headings = derive(&[paragraph.clone(), paragraph], "Title");
        assert_eq!(headings[0], "The proof");
        assert_ne!(headings[0], headings[1]);
    }
}
