//! The words of a sentence.

use std::ops::Range;

use super::vocabulary::{Class, class};

/// A word with the marks around it.
pub(crate) struct Word<'a> {
    /// The word as written, with its marks and with lone signs after it.
    pub text: &'a str,
    /// Byte range of `text`.
    pub range: Range<usize>,
    /// Byte range of the word itself.
    pub bare_range: Range<usize>,
    /// The word itself in lower case, with straight apostrophes.
    pub lower: String,
    pub class: Class,
    /// Set when a mark is right before it: an opening bracket or quotation mark.
    pub is_opened: bool,
    /// Set when a mark is right after it.
    pub is_marked: bool,
}

impl Word<'_> {
    pub fn is_number(&self) -> bool {
        self.lower.starts_with(|c: char| c.is_ascii_digit())
    }
}

/// Divides a sentence at its spaces. Signs that stand alone belong to the word before them.
pub(crate) fn words(sentence: &str) -> Vec<Word<'_>> {
    let mut words: Vec<Word<'_>> = Vec::new();
    let mut from = 0;
    for text in sentence.split(' ') {
        let range = from..from + text.len();
        from += text.len() + 1;
        let word = bare(text);
        if word.is_empty() {
            if let Some(last) = words.last_mut() {
                last.range.end = range.end;
                last.text = &sentence[last.range.clone()];
            }
            continue;
        }
        let start = range.start + text.find(word).unwrap_or_default();
        let bare_range = start..start + word.len();
        let lower = word.to_lowercase().replace('’', "'");
        words.push(Word {
            class: class(&lower),
            is_opened: bare_range.start > range.start,
            is_marked: bare_range.end < range.end,
            text,
            range,
            bare_range,
            lower,
        });
    }
    words
}

/// Returns a word without the marks around it.
pub(crate) fn bare(word: &str) -> &str {
    word.trim_matches(|c: char| !c.is_alphanumeric())
}

/// Returns the first word of a text in lower case, without its marks; empty where there is none.
pub(crate) fn first_word(text: &str) -> String {
    let mut words = text.split(|c: char| !c.is_alphanumeric());
    words.find(|word| !word.is_empty()).unwrap_or_default().to_lowercase()
}

/// Returns a word without its plural or possessive ending, to count its occurrences.
pub(crate) fn stem(word: &str) -> &str {
    let word = word.strip_suffix("'s").unwrap_or(word);
    match word.strip_suffix('s') {
        Some(stem) if stem.len() > 2 && !stem.ends_with('s') => stem,
        _ => word,
    }
}

/// Returns all words of a text in order, by their stems.
pub(crate) fn stems(text: &str) -> Vec<String> {
    lower_words(&text.to_lowercase()).map(|word| stem(word).to_owned()).collect()
}

/// Returns the words of a text that say something, in order, by their stems.
pub(crate) fn content_stems(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let words = lower_words(&lower).filter(|word| class(word) == Class::Content);
    words.map(|word| stem(word).to_owned()).collect()
}

fn lower_words(lower: &str) -> impl Iterator<Item = &str> {
    lower.split(|c: char| !c.is_alphanumeric() && c != '\'').filter(|word| !word.is_empty())
}

/// Counts the words of a text as a reader does.
pub(crate) fn word_count(text: &str) -> usize {
    text.split_whitespace().filter(|word| word.chars().any(char::is_alphanumeric)).count()
}

/// Returns a text that begins with a capital. A name that begins small, such as `iPhone`, stays as it is.
pub(crate) fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    let is_name = text.split(' ').next().is_some_and(|word| word.chars().skip(1).any(char::is_uppercase));
    match chars.next() {
        Some(first) if first.is_lowercase() && !is_name => first.to_uppercase().chain(chars).collect(),
        _ => text.to_owned(),
    }
}

/// Returns a name without its article, beginning with a capital.
pub(crate) fn without_article(name: &str) -> String {
    const ARTICLES: [&str; 6] = ["The ", "the ", "A ", "a ", "An ", "an "];
    capitalize(ARTICLES.iter().find_map(|article| name.strip_prefix(article)).unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_know_where_they_stand_and_which_marks_they_have() {
        let sentence = "It’s (so)  — \"far\", no?";
        let words = words(sentence);
        let texts: Vec<(&str, &str)> = words.iter().map(|word| (word.text, word.lower.as_str())).collect();
        assert_eq!(texts, [("It’s", "it's"), ("(so)  —", "so"), ("\"far\",", "far"), ("no?", "no")]);
        let so = &words[1];
        assert_eq!((&sentence[so.bare_range.clone()], so.is_opened, so.is_marked), ("so", true, true));
    }

    #[test]
    fn a_straight_and_a_curly_apostrophe_are_the_same() {
        assert_eq!(words("They don’t")[1].class, words("They don't")[1].class);
        assert_eq!(words("They don’t")[1].class, Class::Other);
    }

    #[test]
    fn names_that_begin_small_are_not_capitalized() {
        assert_eq!(
            ["iPhone sales", "a log", "émile", "Log", ""].map(capitalize),
            ["iPhone sales", "A log", "Émile", "Log", ""]
        );
    }
}
