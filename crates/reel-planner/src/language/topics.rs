//! Finds changes of topic in long text: between sentences whose surroundings have few words in common.
//!
//! The depth of a gap between two sentences is the difference between the similarity of the words around it and the similarity
//! around the gaps on both sides (M. A. Hearst, "TextTiling", 1997). Text without a deep gap is divided evenly.

use std::collections::HashMap;

use reel_scene::{RichText, Span, SpanStyle};

use super::sentences;
use super::vocabulary::leans_back;
use super::words::{content_stems, first_word};

/// Fewer sentences than this are one topic: two of the shortest fit on two pages.
const MIN_SENTENCES: usize = 8;
/// Sentences of a topic; more in long text, which has no more than [`MAX_TOPICS`].
const TOPIC_SENTENCES: std::ops::RangeInclusive<usize> = 3..=9;
const MAX_TOPICS: usize = 20;
/// Sentences on each side of a gap that are compared: the block of the paper, shorter since scripts are.
const WINDOW: usize = 3;

/// Divides a paragraph into one for each topic, in its words and order.
pub(crate) fn divide(paragraph: RichText) -> Vec<RichText> {
    // Pieces of a sentence that is longer than a line stay together.
    let mut sentences: Vec<Vec<RichText>> = vec![];
    for piece in sentences::split(&paragraph) {
        match sentences.last_mut().filter(|_| piece.continues) {
            Some(sentence) => sentence.push(piece.text),
            None => sentences.push(vec![piece.text]),
        }
    }
    if sentences.len() < MIN_SENTENCES {
        return vec![paragraph];
    }
    let texts: Vec<String> = sentences
        .iter()
        .map(|pieces| pieces.iter().map(RichText::to_plain).collect::<Vec<_>>().join(" "))
        .collect();
    let shifts = shifts(&texts);
    let ends = shifts.iter().copied().chain([sentences.len()]);
    let mut from = 0;
    ends.map(|end| {
        let topic = join_sentences(&sentences[from..end]);
        from = end;
        topic
    })
    .collect()
}

fn join_sentences(sentences: &[Vec<RichText>]) -> RichText {
    let blank = || Span { text: " ".to_owned(), style: SpanStyle::Plain };
    let mut spans: Vec<Span> = vec![];
    for piece in sentences.iter().flatten() {
        if !spans.is_empty() {
            spans.push(blank());
        }
        spans.extend(piece.0.iter().cloned());
    }
    RichText(spans)
}

/// Returns the sentences with which a new topic begins, by number.
fn shifts(sentences: &[String]) -> Vec<usize> {
    let words: Vec<HashMap<String, u64>> = sentences.iter().map(|sentence| count_words(sentence)).collect();
    let alike: Vec<f64> = (1..words.len())
        .map(|gap| {
            let before = together(&words[gap.saturating_sub(WINDOW)..gap]);
            let behind = together(&words[gap..(gap + WINDOW).min(words.len())]);
            cosine(&before, &behind)
        })
        .collect();
    let depths: Vec<f64> = (0..alike.len()).map(|gap| depth(&alike, gap)).collect();
    let mean = depths.iter().sum::<f64>() / depths.len() as f64;
    let deviation =
        (depths.iter().map(|depth| (depth - mean).powi(2)).sum::<f64>() / depths.len() as f64).sqrt();
    let longest = sentences.len().div_ceil(MAX_TOPICS).max(*TOPIC_SENTENCES.end());
    let shortest = longest / (TOPIC_SENTENCES.end() / TOPIC_SENTENCES.start());
    let division = Division { sentences, depths, deep: mean + deviation / 2.0, shortest, longest };
    let mut found = vec![];
    division.choose((0, sentences.len()), &mut found);
    found.sort_unstable();
    found
}

struct Division<'a> {
    sentences: &'a [String],
    /// Depth of the gap after each sentence but the last.
    depths: Vec<f64>,
    /// The depth from which on a gap stands out.
    deep: f64,
    /// Sentences of a topic.
    shortest: usize,
    longest: usize,
}

impl Division<'_> {
    /// Divides a range of sentences at its deepest gap, and both parts again, until no gap is deep and no topic too long.
    fn choose(&self, (from, to): (usize, usize), found: &mut Vec<usize>) {
        let (length, middle) = (to - from, (from + to) as f64 / 2.0);
        let candidates = from + self.shortest..(to + 1).saturating_sub(self.shortest);
        let fits =
            candidates.filter(|first| begins_anew(&self.sentences[*first]) || length > 2 * self.longest);
        let rated = fits.map(|first| (first, self.depths[first - 1], (first as f64 - middle).abs()));
        // Of gaps that are as deep, the one in the middle.
        let best = rated.max_by(|a, b| a.1.total_cmp(&b.1).then(b.2.total_cmp(&a.2)));
        let Some((first, depth, _)) = best else { return };
        if depth > self.deep || length > self.longest {
            found.push(first);
            self.choose((from, first), found);
            self.choose((first, to), found);
        }
    }
}

/// Returns how much less alike the sides of a gap are than those of the gaps uphill from it.
fn depth(alike: &[f64], gap: usize) -> f64 {
    let uphill = |gaps: &mut dyn Iterator<Item = usize>| {
        let mut peak = alike[gap];
        for other in gaps {
            if alike[other] <= peak {
                break;
            }
            peak = alike[other];
        }
        peak
    };
    uphill(&mut (0..gap).rev()) + uphill(&mut (gap + 1..alike.len())) - 2.0 * alike[gap]
}

/// Returns `true` for a sentence that can open a topic: its first word does not point back.
fn begins_anew(sentence: &str) -> bool {
    !leans_back(&first_word(sentence))
}

fn count_words(sentence: &str) -> HashMap<String, u64> {
    let mut counts = HashMap::new();
    for word in content_stems(sentence) {
        *counts.entry(word).or_insert(0) += 1;
    }
    counts
}

fn together(sentences: &[HashMap<String, u64>]) -> HashMap<String, u64> {
    let mut counts = HashMap::new();
    for (word, count) in sentences.iter().flatten() {
        *counts.entry(word.clone()).or_insert(0) += count;
    }
    counts
}

fn cosine(one: &HashMap<String, u64>, other: &HashMap<String, u64>) -> f64 {
    let product: u64 = one.iter().filter_map(|(word, count)| Some(count * other.get(word)?)).sum();
    let squares = |counts: &HashMap<String, u64>| counts.values().map(|count| count * count).sum::<u64>();
    let lengths = ((squares(one) * squares(other)) as f64).sqrt();
    if lengths > 0.0 { product as f64 / lengths } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn divide_text(text: &str) -> Vec<String> {
        divide(RichText::plain(text)).iter().map(RichText::to_plain).collect()
    }

    const THREE_TOPICS: &str = "Bees live in colonies. A colony of bees has one queen. The queen lays all the eggs of \
        the colony. Worker bees feed the queen and her eggs. Copper is a metal. Copper wires carry electricity well. \
        Most wires in a house are copper wires. Old copper metal turns green. Bread needs flour and water. Yeast makes \
        the flour rise. Bread with yeast has to rest. An hour in the oven bakes the bread.";

    #[test]
    fn a_paragraph_is_divided_where_its_words_change() {
        let topics = divide_text(THREE_TOPICS);
        let beginnings: Vec<&str> = topics.iter().map(|topic| topic.split('.').next().unwrap()).collect();
        assert_eq!(beginnings, ["Bees live in colonies", "Copper is a metal", "Bread needs flour and water"]);
        assert_eq!(topics.join(" "), THREE_TOPICS.split_whitespace().collect::<Vec<_>>().join(" "));
    }

    #[test]
    fn short_text_is_one_topic_and_long_text_is_never() {
        assert_eq!(divide_text("One thing. Another thing. A third thing.").len(), 1);
        let monotonous = "The same words stand here. ".repeat(40);
        let topics = divide_text(monotonous.trim());
        assert!((4..=13).contains(&topics.len()), "{} topics", topics.len());
        assert!(
            topics.iter().all(|topic| TOPIC_SENTENCES.contains(&topic.matches('.').count())),
            "{topics:?}"
        );
    }

    #[test]
    fn a_topic_does_not_begin_by_pointing_back() {
        let pointing = THREE_TOPICS.replace("Copper is a metal", "It is a metal");
        assert!(divide_text(&pointing).iter().all(|topic| !topic.starts_with("It ")));
    }
}
