//! Ranks the passages of a chapter, for videos without room for all of them.
//!
//! The score of a passage is the average frequency of its words in the script. Words that higher-ranked passages contain count
//! less (after A. Nenkova and L. Vanderwende, "The impact of frequency on summarization", 2005). Beginnings of paragraphs,
//! items, and passages with a picture or a number count more; sentences that only point back count less.

use std::collections::HashMap;

use crate::arrange::budget::Chapter;
use crate::arrange::passages::{Kind, Passage};
use crate::language::quantities::{Quantity, quantities};
use crate::language::vocabulary::is_anaphor;
use crate::language::words::{content_stems, first_word};

/// Factor of a word that is in the heading.
const HEADING_FACTOR: f64 = 2.0;
/// Smallest divisor of the average: otherwise a sentence of a single frequent word would always win.
const MIN_AVERAGED_WORDS: usize = 5;
/// Score of a passage without content words, so that its factor still ranks it.
const MIN_SCORE: f64 = 1e-6;
/// Passages that are compared for repetition, in quadratic time. The others are ranked by their score alone. More than twice
/// the lines of any video.
const MAX_COMPARED: usize = 400;

/// Factors for kinds of passages. Tuned by hand: pictures nearly always stay, and beginnings stay rather than their
/// continuations.
mod factor {
    pub const PICTURE: f64 = 4.0;
    pub const FIRST_OF_PARAGRAPH: f64 = 2.0;
    pub const SECOND_OF_PARAGRAPH: f64 = 1.1;
    pub const NUMBER: f64 = 1.3;
    pub const ANAPHOR: f64 = 0.5;
    pub const CONTINUATION: f64 = 0.5;
}

/// Returns the indices of each chapter's passages, the highest-ranked first.
pub(crate) fn by_preference(chapters: &[Chapter]) -> Vec<Vec<usize>> {
    let mut script = WordCounts::default();
    let words_by_passage: Vec<Vec<Vec<usize>>> = chapters
        .iter()
        .map(|chapter| chapter.passages.iter().map(|passage| script.count_all(&narration(passage))).collect())
        .collect();
    let shares = script.shares();
    let orders = chapters.iter().zip(words_by_passage).map(|(chapter, mut words_by_passage)| {
        // Numbers the chapter's words from 0, so that the cost of a chapter depends on its own words only.
        let mut own = WordNumbers::default();
        words_by_passage.iter_mut().flatten().for_each(|word| *word = own.number(*word));
        let mut weights: Vec<f64> = own.words.iter().map(|word| shares[*word]).collect();
        let heading = content_stems(&chapter.heading);
        let in_heading = heading.iter().filter_map(|word| own.numbers.get(&script.find(word)?));
        in_heading.for_each(|word| weights[*word] *= HEADING_FACTOR);
        order(&chapter.passages, &words_by_passage, &weights)
    });
    orders.collect()
}

/// Returns the indices of passages, the highest-ranked first. `words_by_passage` has the numbers of each passage's words, and `weights` the
/// weight of each word.
fn order(passages: &[Passage], words_by_passage: &[Vec<usize>], weights: &[f64]) -> Vec<usize> {
    let factors: Vec<f64> = passages.iter().map(rate).collect();
    let mut heard = vec![false; weights.len()];
    let score = |index: usize, heard: &[bool]| {
        let words = &words_by_passage[index];
        let sum: f64 = words.iter().map(|word| weights[*word]).sum();
        let repeated = words.iter().filter(|word| heard[**word]).count() as f64;
        let share = repeated / words.len().max(1) as f64;
        let average = sum / words.len().max(MIN_AVERAGED_WORDS) as f64;
        factors[index] * (average * (1.0 - share * share) + MIN_SCORE)
    };
    let scores: Vec<f64> = (0..passages.len()).map(|index| score(index, &heard)).collect();
    let mut left: Vec<usize> = (0..passages.len()).collect();
    left.sort_by(|one, other| scores[*other].total_cmp(&scores[*one]));
    let rest = left.split_off(left.len().min(MAX_COMPARED));
    let mut order = Vec::with_capacity(passages.len());
    while !left.is_empty() {
        let rated = left.iter().enumerate().map(|(position, index)| (position, score(*index, &heard)));
        // The first of equals.
        let best = rated.reduce(|best, other| if other.1 > best.1 { other } else { best });
        let index = left.remove(best.map_or(0, |(position, _)| position));
        words_by_passage[index].iter().for_each(|word| heard[*word] = true);
        order.push(index);
    }
    order.extend(rest);
    order
}

/// Returns the factor of a passage's kind.
fn rate(passage: &Passage) -> f64 {
    let position = match (passage.kind, passage.position) {
        (Kind::Item | Kind::Bridge | Kind::Table, _) | (_, 0) => factor::FIRST_OF_PARAGRAPH,
        (_, 1) => factor::SECOND_OF_PARAGRAPH,
        _ => 1.0,
    };
    let text = narration(passage);
    let factors = [
        (passage.listing.is_some() || passage.blocks().len() > 1, factor::PICTURE),
        (passage.kind == Kind::Sentence && is_anaphor(&first_word(&text)), factor::ANAPHOR),
        (quantities(&text).iter().any(Quantity::is_telling), factor::NUMBER),
        (passage.continues, factor::CONTINUATION),
    ];
    factors
        .into_iter()
        .filter(|(applies, _)| *applies)
        .fold(position, |product, (_, factor)| product * factor)
}

fn narration(passage: &Passage) -> String {
    passage.steps.iter().map(|step| step.narration.as_str()).collect::<Vec<_>>().join(" ")
}

/// The words of a chapter, numbered as they come.
#[derive(Default)]
struct WordNumbers {
    numbers: HashMap<usize, usize>,
    /// The script's number of each.
    words: Vec<usize>,
}

impl WordNumbers {
    fn number(&mut self, word: usize) -> usize {
        let words = &mut self.words;
        *self.numbers.entry(word).or_insert_with(|| {
            words.push(word);
            words.len() - 1
        })
    }
}

/// The content words of a script, numbered as they come, and how often each is used.
#[derive(Default)]
struct WordCounts {
    numbers: HashMap<String, usize>,
    counts: Vec<u32>,
}

impl WordCounts {
    fn count_all(&mut self, text: &str) -> Vec<usize> {
        content_stems(text).into_iter().map(|word| self.count(word)).collect()
    }

    fn count(&mut self, word: String) -> usize {
        let number = *self.numbers.entry(word).or_insert(self.counts.len());
        if number == self.counts.len() {
            self.counts.push(0);
        }
        self.counts[number] += 1;
        number
    }

    fn find(&self, word: &str) -> Option<usize> {
        self.numbers.get(word).copied()
    }

    /// Returns each word's share of all.
    fn shares(&self) -> Vec<f64> {
        let total: u32 = self.counts.iter().sum();
        self.counts.iter().map(|count| f64::from(*count) / f64::from(total.max(1))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrange::passages;
    use crate::read::markdown;

    /// The sentences of a chapter called "Heading", the ones to keep first in front.
    fn rank(script: &str) -> Vec<String> {
        let document = markdown::read(script);
        let passages = passages::divide(document.sections[0].elements(), "Heading");
        let narrations: Vec<String> = passages.iter().map(narration).collect();
        let chapters = [Chapter { heading: "Heading".into(), written: true, lead: None, passages }];
        by_preference(&chapters)[0].iter().map(|index| narrations[*index].clone()).collect()
    }

    #[test]
    fn what_the_text_is_about_goes_before_what_it_mentions() {
        let order = rank(
            "Batteries store energy in their electrodes. The weather was fine that morning. Somebody had brought cake \
             for everyone. Heat wears out the electrodes of batteries. Nobody knew.",
        );
        assert_eq!(order[0], "Batteries store energy in their electrodes.");
        assert_eq!(order[1], "Heat wears out the electrodes of batteries.");
        assert_eq!(order[4], "Nobody knew.");
    }

    #[test]
    fn nothing_is_said_twice_before_all_is_said_once() {
        let order = rank(
            "# T\n\n## H\n\nCopper wires carry electric current.\n\nCopper wires carry electric currents.\n\nRubber keeps the current \
             inside.\n\nOld copper turns green.",
        );
        assert_eq!(order[3].split(' ').next(), Some("Copper"), "{order:?}");
        assert_eq!(order[0], "Copper wires carry electric current.");
    }

    #[test]
    fn numbers_count_more_and_what_points_back_less() {
        let order = rank(
            "Ships cross the sea. Big ships cross oceans. They cross it. Ships carry 240,000 tonnes of cargo.",
        );
        assert_eq!(order[0], "Ships carry 240,000 tonnes of cargo.");
        assert_eq!(order[1], "Ships cross the sea.");
        assert_eq!(order[3], "They cross it.");
    }
}
