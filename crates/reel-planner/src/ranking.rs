//! Which units of a chapter say most of what it is about, where not all can be said or shown.
//!
//! A unit counts by how often its words are used in the script, on average, and less the more of them those chosen before
//! it have said (after A. Nenkova and L. Vanderwende, "The impact of frequency on summarization", 2005). Beginnings of paragraphs, items, and what brings a picture or a number count more; what only
//! points back counts less.

use std::collections::HashMap;

use super::budget::Chapter;
use super::numbers::quantities;
use super::units::{Kind, Unit};
use super::words::content_words;

/// A word of the heading counts this many times.
const IN_HEADING: f64 = 2.0;
/// Fewer content words than this do not make a sentence count more on average.
const LEAST_WORDS: usize = 5;
/// Of text without a single word that counts.
const LEAST_SCORE: f64 = 1e-6;
/// Units among which the choice looks out for repetitions; those behind them follow by their score alone.
const COMPARED: usize = 400;
/// Words with which a sentence points back.
const POINTING: &[&str] =
    &["it", "they", "he", "she", "this", "that", "these", "those", "there", "such", "then"];

/// For each chapter the indices of its units, the ones to keep first in front.
pub(super) fn by_preference(chapters: &[Chapter]) -> Vec<Vec<usize>> {
    let mut script = Words::default();
    let said: Vec<Vec<Vec<usize>>> = chapters
        .iter()
        .map(|chapter| chapter.units.iter().map(|unit| script.count_all(&spoken(unit))).collect())
        .collect();
    let orders = chapters.iter().zip(&said).map(|(chapter, said)| {
        let heading: Vec<usize> =
            content_words(&chapter.heading).iter().filter_map(|word| script.find(word)).collect();
        order(&chapter.units, said, &script.weights(&heading))
    });
    orders.collect()
}

fn order(units: &[Unit], said: &[Vec<usize>], weights: &[f64]) -> Vec<usize> {
    let factors: Vec<f64> = units.iter().map(factor).collect();
    let mut heard = vec![false; weights.len()];
    let score = |index: usize, heard: &[bool]| {
        let words = &said[index];
        let sum: f64 = words.iter().map(|word| weights[*word]).sum();
        let known = words.iter().filter(|word| heard[**word]).count() as f64 / words.len().max(1) as f64;
        factors[index] * (sum / words.len().max(LEAST_WORDS) as f64 * (1.0 - known * known) + LEAST_SCORE)
    };
    let scores: Vec<f64> = (0..units.len()).map(|index| score(index, &heard)).collect();
    let mut left: Vec<usize> = (0..units.len()).collect();
    left.sort_by(|one, other| scores[*other].total_cmp(&scores[*one]));
    let rest = left.split_off(left.len().min(COMPARED));
    let mut order = Vec::with_capacity(units.len());
    while !left.is_empty() {
        let rated = left.iter().enumerate().map(|(place, index)| (place, score(*index, &heard)));
        // Of equals the first.
        let best = rated.reduce(|best, other| if other.1 > best.1 { other } else { best });
        let index = left.remove(best.map_or(0, |(place, _)| place));
        said[index].iter().for_each(|word| heard[*word] = true);
        order.push(index);
    }
    order.extend(rest);
    order
}

/// How much more a unit counts for what it is.
fn factor(unit: &Unit) -> f64 {
    let shows_more = unit.listing.is_some() || unit.blocks.len() > 1;
    let place = match (unit.kind, unit.position) {
        (Kind::Item | Kind::Bridge | Kind::Table, _) => 2.0,
        (_, 0) => 2.0,
        (_, 1) => 1.1,
        _ => 1.0,
    };
    let text = spoken(unit);
    let first = text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_lowercase();
    let points = POINTING.contains(&first.as_str()) && unit.kind == Kind::Sentence;
    let tells = quantities(&text).iter().any(|quantity| quantity.is_telling());
    let more = [(shows_more, 4.0), (points, 0.5), (tells, 1.3), (unit.continues, 0.5)];
    more.into_iter().filter(|(holds, _)| *holds).fold(place, |factor, (_, more)| factor * more)
}

fn spoken(unit: &Unit) -> String {
    unit.steps.iter().map(|step| step.narration.as_str()).collect::<Vec<_>>().join(" ")
}

/// The content words of a script, numbered as they come, and how often each is used.
#[derive(Default)]
struct Words {
    numbers: HashMap<String, usize>,
    counts: Vec<u32>,
}

impl Words {
    fn count_all(&mut self, text: &str) -> Vec<usize> {
        content_words(text).into_iter().map(|word| self.count(word)).collect()
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

    /// Each word's share of all.
    fn weights(&self, heading: &[usize]) -> Vec<f64> {
        let total: u32 = self.counts.iter().sum();
        let mut weights: Vec<f64> =
            self.counts.iter().map(|count| f64::from(*count) / f64::from(total.max(1))).collect();
        heading.iter().for_each(|word| weights[*word] *= IN_HEADING);
        weights
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{markdown, units};

    /// The sentences of a chapter called "Heading", the ones to keep first in front.
    fn ranked(script: &str) -> Vec<String> {
        let document = markdown::read(script);
        let units = units::divide(&document.sections[0].elements, "Heading");
        let said: Vec<String> = units.iter().map(spoken).collect();
        let chapters = [Chapter { heading: "Heading".into(), written: true, units }];
        by_preference(&chapters)[0].iter().map(|index| said[*index].clone()).collect()
    }

    #[test]
    fn what_the_text_is_about_goes_before_what_it_mentions() {
        let order = ranked(
            "Batteries store energy in their electrodes. The weather was fine that morning. Somebody had brought cake \
             for everyone. Heat wears out the electrodes of batteries. Nobody knew.",
        );
        assert_eq!(order[0], "Batteries store energy in their electrodes.");
        assert_eq!(order[1], "Heat wears out the electrodes of batteries.");
        assert_eq!(order[4], "Nobody knew.");
    }

    #[test]
    fn nothing_is_said_twice_before_all_is_said_once() {
        let order = ranked(
            "# T\n\n## H\n\nCopper wires carry electric current.\n\nCopper wires carry electric currents.\n\nRubber keeps the current \
             inside.\n\nOld copper turns green.",
        );
        assert_eq!(order[3].split(' ').next(), Some("Copper"), "{order:?}");
        assert_eq!(order[0], "Copper wires carry electric current.");
    }

    #[test]
    fn numbers_count_more_and_what_points_back_less() {
        let order = ranked(
            "Ships cross the sea. Big ships cross oceans. They cross it. Ships carry 240,000 tonnes of cargo.",
        );
        assert_eq!(order[0], "Ships carry 240,000 tonnes of cargo.");
        assert_eq!(order[1], "Ships cross the sea.");
        assert_eq!(order[3], "They cross it.");
    }
}
