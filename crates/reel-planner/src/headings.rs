//! Headings for text that has none.
//!
//! A heading is a noun phrase that stands in the paragraph's own words: preferably one that is
//! characteristic of it, seldom used in the other paragraphs, and near its beginning. Phrases are found
//! from their edges, by English function words; where an edge is doubtful the phrase is not used. Failing
//! that, a short first clause serves, and failing that the video's title, as one long chapter.

use std::collections::{HashMap, HashSet};

use reel_scene::RichText;

use super::capacity::columns;
use super::sentences;
use super::speech::is_speakable;
use super::words::{Class, bare, class, follows_verb, is_singular, stem};

/// Words of a heading.
const WORDS: std::ops::RangeInclusive<usize> = 2..=6;
/// A phrase below this says too little about its paragraph.
const MIN_SCORE: i32 = 6;
/// Sentences of a paragraph that are searched for a heading.
const SEARCHED_SENTENCES: usize = 10;
const MAX_CLAUSE_COLUMNS: usize = 40;

/// One heading per paragraph, all different but for `title`, which stands where nothing better is found,
/// and over a first paragraph that is about it.
pub(super) fn derive(paragraphs: &[String], title: &str) -> Vec<String> {
    let frequency = paragraph_frequency(paragraphs);
    let title_words: HashSet<String> = words(title).iter().map(|word| stem(&word.lower).to_owned()).collect();
    let mut used = HashSet::from([key(title)]);
    let headings = paragraphs.iter().enumerate().map(|(index, paragraph)| {
        let sentences = opening_sentences(paragraph);
        let weigh = |word: &str| match frequency.get(stem(word)) {
            _ if title_words.contains(stem(word)) => 1,
            Some(&(in_paragraphs, _)) if in_paragraphs * 2 > paragraphs.len() && in_paragraphs > 1 => 1,
            Some(&(in_paragraphs, _)) if in_paragraphs > 1 => 2,
            _ => 3,
        };
        let mut phrases: Vec<Phrase> = Vec::new();
        if is_english(&sentences) {
            phrases = phrases_of(&sentences, weigh);
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
        found.map_or_else(|| title.to_owned(), |heading| capitalized(&heading))
    });
    headings.collect()
}

/// A heading's words, by which two headings are the same.
fn key(heading: &str) -> String {
    let lower = heading.to_lowercase();
    let bare = ["the ", "a ", "an "].iter().find_map(|article| lower.strip_prefix(article));
    bare.unwrap_or(&lower).trim_end_matches(['.', '!', '?', '。']).to_owned()
}

struct Word<'a> {
    text: &'a str,
    lower: String,
    class: Class,
    /// Where it stands in its sentence, in bytes.
    start: usize,
    /// Whether punctuation stands right after it.
    breaks: bool,
}

struct Phrase {
    text: String,
    score: i32,
}

/// In how many paragraphs a stem occurs; the second number is the last paragraph counted.
fn paragraph_frequency(paragraphs: &[String]) -> HashMap<String, (usize, usize)> {
    let mut frequency: HashMap<String, (usize, usize)> = HashMap::new();
    for (index, paragraph) in paragraphs.iter().enumerate() {
        for word in
            paragraph.split(|c: char| !c.is_alphanumeric() && c != '\'').filter(|word| !word.is_empty())
        {
            let entry = frequency.entry(stem(&word.to_lowercase()).to_owned()).or_insert((0, usize::MAX));
            if entry.1 != index {
                *entry = (entry.0 + 1, index);
            }
        }
    }
    frequency
}

fn opening_sentences(paragraph: &str) -> Vec<String> {
    // The first few sentences of a long paragraph lie well within this.
    let end = paragraph.char_indices().nth(4000).map_or(paragraph.len(), |(offset, _)| offset);
    let pieces = sentences::split(&RichText::plain(&paragraph[..end]));
    pieces.iter().take(SEARCHED_SENTENCES).map(|piece| piece.text.to_plain()).collect()
}

fn words(sentence: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut from = 0;
    for raw in sentence.split(' ') {
        let start = from;
        from += raw.len() + 1;
        let text = bare(raw);
        let Some(inner) = raw.find(text).filter(|_| !text.is_empty()) else { continue };
        let breaks = inner + text.len() < raw.len();
        // An opening mark belongs to the phrase it opens, which then cannot be cut out.
        let lower = text.to_lowercase().replace('’', "'");
        let class = if inner > 0 { Class::Other } else { class(&lower) };
        words.push(Word { text, lower, class, start: start + inner, breaks });
    }
    words
}

/// Whether function words are as frequent as they are in English.
fn is_english(sentences: &[String]) -> bool {
    let words: Vec<Class> = sentences.iter().flat_map(|s| words(s)).map(|word| word.class).collect();
    let function = words.iter().filter(|class| !matches!(class, Class::Content | Class::Vague)).count();
    function * 4 >= words.len()
}

fn phrases_of(sentences: &[String], weigh: impl Fn(&str) -> i32) -> Vec<Phrase> {
    let mut phrases = Vec::new();
    let counts = sentences.iter().flat_map(|s| words(s)).fold(HashMap::new(), |mut counts, word| {
        *counts.entry(stem(&word.lower).to_owned()).or_insert(0) += 1;
        counts
    });
    for (nth, sentence) in sentences.iter().enumerate() {
        let words = words(sentence);
        for start in 0..words.len() {
            let begins = start == 0 || ends_phrase(&words[start - 1]);
            let Some(end) = noun_phrase(&words, start).filter(|_| begins) else { continue };
            let extended = extension(&words, end).filter(|&long| long - start <= *WORDS.end());
            let cut_of = extended.is_none() && !words[end - 1].breaks && next_is(&words, end, "of");
            let full = extended.unwrap_or(end);
            if !WORDS.contains(&(full - start)) || cut_of {
                continue;
            }
            let weight = |word: &Word<'_>| {
                let repeated = counts.get(stem(&word.lower)).is_some_and(|&count| count > 1);
                weigh(&word.lower) + i32::from(repeated)
            };
            let telling = words[start..full].iter().filter(|word| word.class == Class::Content);
            let mut weights: Vec<i32> = telling.map(weight).collect();
            weights.sort_unstable_by_key(|weight| -weight);
            let score = weights.iter().take(3).sum::<i32>()
                + i32::from(words[start].class == Class::Determiner)
                + if extended.is_some() { 2 } else { 0 }
                + place_score(&words, start, full, nth);
            let last = &words[full - 1];
            let text = sentence[words[start].start..last.start + last.text.len()].to_owned();
            phrases.push(Phrase { text, score });
        }
    }
    phrases
}

/// A first sentence so short that it serves as a heading, if it makes sense on its own.
fn short_statement(sentences: &[String]) -> Option<Phrase> {
    const SCORE: i32 = 9;
    let text = sentences.first()?.trim_end_matches(['.', '!']);
    let words = words(text);
    let (first, inner) = words.split_first()?;
    let stands_alone = matches!(first.class, Class::Determiner | Class::Content) && !inner.is_empty();
    let in_one_go = words[..words.len() - 1].iter().all(|word| !word.breaks);
    let fits = WORDS.contains(&words.len()) && columns(text) <= MAX_CLAUSE_COLUMNS && sentences.len() > 1;
    (stands_alone && in_one_go && fits).then(|| Phrase { text: text.to_owned(), score: SCORE })
}

/// What a phrase's place in its paragraph says about its importance.
fn place_score(words: &[Word<'_>], start: usize, end: usize, sentence: usize) -> i32 {
    let is_subject = start == 0;
    let before_copula =
        words.get(end).is_some_and(|next| next.class == Class::Copula) && !words[end - 1].breaks;
    let enumerated =
        |word: Option<&Word<'_>>| word.is_some_and(|word| matches!(word.lower.as_str(), "and" | "or"));
    let listed = enumerated(words.get(end))
        || start > 0 && enumerated(words.get(start - 1))
        || words[end - 1].breaks && words.get(end).is_some_and(|next| next.class == Class::Determiner);
    let subject = match (is_subject, before_copula, sentence) {
        (true, true, 0) => 7,
        (true, _, 0) => 3,
        (true, ..) => 1,
        _ => 0,
    };
    subject + if sentence == 0 { 2 } else { 0 } - if listed { 4 } else { 0 }
}

fn ends_phrase(word: &Word<'_>) -> bool {
    word.breaks || !matches!(word.class, Class::Determiner | Class::Content | Class::Vague | Class::Pointer)
}

fn next_is(words: &[Word<'_>], index: usize, expected: &str) -> bool {
    words.get(index).is_some_and(|word| word.lower == expected)
}

/// The end of the noun phrase that starts here, if its edges are certain.
fn noun_phrase(words: &[Word<'_>], start: usize) -> Option<usize> {
    let is_noun = |word: &Word<'_>| matches!(word.class, Class::Content | Class::Vague);
    let first = words.get(start)?;
    let has_determiner = first.class == Class::Determiner;
    let mut nouns = start;
    while !has_break(words, start, nouns) && words.get(nouns).is_some_and(|w| w.class == Class::Determiner) {
        nouns += 1;
    }
    let mut end = nouns;
    while !has_break(words, nouns, end) && words.get(end).is_some_and(is_noun) {
        end += 1;
    }
    if end == nouns || has_break(words, start, nouns) {
        return None;
    }
    let next = words.get(end).filter(|_| !words[end - 1].breaks);
    let before_object = next.is_some_and(|next| {
        matches!(next.class, Class::Determiner | Class::Pointer)
            || matches!(next.lower.as_str(), "it" | "us" | "them")
    });
    let last = &words[end - 1].lower;
    let agrees = has_determiner && is_singular(&first.lower) && last.ends_with('s') && !last.ends_with("ss");
    // "a customer changes an address", "the planner reads every file": the last word is the verb.
    let has_verb = before_object || agrees && !last.ends_with("'s");
    let end = end - usize::from(has_verb);
    let nouns_left = end.saturating_sub(nouns);
    let unsure = !has_determiner
        && (nouns_left < 2 || next.is_some_and(|next| next.class != Class::Copula && next.lower != "of"));
    // "the vapor condenses into": a verb or a plural, so not used.
    let doubtful = !has_verb
        && nouns_left > 1
        && (last.ends_with('s') && !last.ends_with("ss") || last.ends_with("ed"))
        && next.is_some_and(|next| follows_verb(&next.lower));
    // "it reflects green light": what follows a pronoun begins with a verb.
    let after_pronoun = !has_determiner
        && start > 0
        && matches!(
            words[start - 1].lower.as_str(),
            "it" | "they" | "we" | "you" | "he" | "she" | "i" | "who" | "which"
        );
    let possessive = nouns_left > 0 && words[end - 1].lower.ends_with("'s");
    let telling = words[nouns..end.max(nouns)].iter().any(|word| word.class == Class::Content);
    let certain = !(unsure || doubtful || after_pronoun || possessive);
    ((1..=4).contains(&nouns_left) && certain && telling).then_some(end)
}

/// Whether punctuation stands between the words of this range and the word after it.
fn has_break(words: &[Word<'_>], start: usize, end: usize) -> bool {
    words[start..end].iter().any(|word| word.breaks)
}

/// The end of a complement: "the distance | between two points".
fn extension(words: &[Word<'_>], end: usize) -> Option<usize> {
    let joins = |word: &&Word<'_>| matches!(word.lower.as_str(), "of" | "between" | "for" | "with" | "in");
    let preposition = words.get(end).filter(joins)?;
    if words[end - 1].breaks || preposition.breaks {
        return None;
    }
    let start = end + 1;
    let is_single_noun = words.get(start).is_some_and(|word| word.class == Class::Content)
        && words.get(start + 1).is_none_or(|next| !matches!(next.class, Class::Content | Class::Vague));
    let single = Some(start + 1).filter(|_| is_single_noun && !followed_by_object(words, start + 1));
    let long = noun_phrase(words, start).or(single)?;
    let goes_on = !words[long - 1].breaks && (next_is(words, long, "and") || next_is(words, long, "or"));
    (!goes_on).then_some(long)
}

fn followed_by_object(words: &[Word<'_>], end: usize) -> bool {
    let next = words.get(end).filter(|_| !words[end - 1].breaks);
    next.is_some_and(|next| matches!(next.class, Class::Determiner | Class::Pointer))
}

/// The text up to the first punctuation, if it is short and not all there is.
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

fn capitalized(heading: &str) -> String {
    let mut letters = heading.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
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
