//! Key phrases of a text: the queries of a search where no language model writes them.

use std::collections::HashMap;

const MAX_PHRASE_WORDS: usize = 4;
/// Characters of a text that are read.
const MAX_CHARACTERS: usize = 20_000;

/// Words that say nothing by themselves.
const STOP_WORDS: &[&str] = &[
    "a", "about", "after", "all", "also", "an", "and", "any", "are", "as", "at", "be", "because", "been",
    "but", "by", "can", "do", "does", "each", "every", "for", "from", "get", "has", "have", "how", "if",
    "in", "into", "is", "it", "its", "just", "like", "make", "makes", "more", "most", "no", "not", "of",
    "on", "one", "only", "or", "other", "our", "out", "over", "show", "so", "some", "such", "than", "that",
    "the", "their", "them", "then", "there", "these", "they", "this", "to", "two", "up", "use", "used",
    "was", "we", "were", "what", "when", "where", "which", "while", "who", "why", "will", "with", "you",
    "your",
];

/// Returns the phrases that a text is about, the best first: runs of words between stop words and marks, by how often their words
/// occur and how long their runs are (RAKE: Rose, Engel, Cramer, Cowley, 2010).
pub fn key_phrases(text: &str, max_phrases: usize) -> Vec<String> {
    let text: String = text.chars().take(MAX_CHARACTERS).collect::<String>().to_lowercase();
    let runs = runs(&text);
    let mut words: HashMap<&str, (f32, f32)> = HashMap::new();
    for run in &runs {
        for word in run {
            let (times, run_words) = words.entry(*word).or_default();
            *times += 1.0;
            *run_words += run.len() as f32;
        }
    }
    let weight = |run: &[&str]| -> f32 {
        let of = |word: &&str| words.get(word).map_or(0.0, |(times, run_words)| run_words / times.sqrt());
        run.iter().map(of).sum()
    };
    let mut weights: HashMap<String, f32> = HashMap::new();
    for run in &runs {
        weights.entry(run.join(" ")).or_insert_with(|| weight(run));
    }
    let mut phrases: Vec<(String, f32)> = weights.into_iter().collect();
    phrases.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    phrases.into_iter().take(max_phrases).map(|(phrase, _)| phrase).collect()
}

/// Returns the runs of words that stand between stop words and marks.
fn runs(text: &str) -> Vec<Vec<&str>> {
    let mut runs: Vec<Vec<&str>> = vec![];
    for part in
        text.split(|c: char| !(c.is_alphanumeric() || c.is_whitespace() || matches!(c, '-' | '_' | '\'')))
    {
        let mut run = vec![];
        for word in part.split_whitespace() {
            if run.len() == MAX_PHRASE_WORDS {
                runs.push(std::mem::take(&mut run));
            }
            match word.chars().count() > 1 && !STOP_WORDS.contains(&word) {
                true => run.push(word),
                false => runs.push(std::mem::take(&mut run)),
            }
        }
        runs.push(run);
    }
    runs.retain(|run| !run.is_empty());
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_what_a_text_is_about() {
        let text = "Lithium ions move through the electrolyte. When the lithium ions reach the graphite anode, they rest.";
        let phrases = key_phrases(text, 3);
        assert!(phrases.iter().any(|phrase| phrase.contains("lithium ions")), "{phrases:?}");
        assert!(key_phrases("", 3).is_empty());
        assert!(key_phrases("it is what it is", 3).is_empty());
    }

    #[test]
    fn a_long_text_of_one_word_has_one_phrase_of_it() {
        let phrases = key_phrases(&"rain ".repeat(2 << 20), 3);
        assert_eq!(phrases[0], "rain rain rain rain");
        assert!(phrases.len() <= 2, "{phrases:?}");
    }
}
