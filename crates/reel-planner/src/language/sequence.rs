//! Finds sentences that describe a sequence: "First measure, then cut, and finally sand the edges."

use super::condense::condense_plain;
use super::vocabulary::{Class, STEP_JOINTS, class};
use super::words::{bare, capitalize, word_count};

/// Boxes of a diagram: two are no sequence, and more than six get too small to read.
const STEPS: std::ops::RangeInclusive<usize> = 3..=6;
/// Words of a box at most: two lines of it.
const MAX_WORDS: usize = 5;

/// Returns the steps in few words each; `None` when the sentence tells no sequence, or its steps are long.
pub(crate) fn read(sentence: &str) -> Option<Vec<String>> {
    // Only of these letters the lower case is as long, so that what is found in it is at the same place.
    let lower = sentence.to_ascii_lowercase();
    let (mut parts, mut from) = (vec![], 0);
    while let Some((at, length)) = next_joint(&lower, from) {
        parts.push(&sentence[from..at]);
        from = at + length;
    }
    parts.push(&sentence[from..]);
    let begins = parts[0].split_whitespace().any(|word| is_one_of(word, &["first"]));
    let labels: Vec<String> = parts.into_iter().map(label).collect();
    let are_short = labels.iter().all(|label| (1..=MAX_WORDS).contains(&word_count(label)));
    (begins && are_short && STEPS.contains(&labels.len())).then_some(labels)
}

fn is_one_of(word: &str, words: &[&str]) -> bool {
    words.contains(&bare(word).to_lowercase().as_str())
}

/// Finds the next joint, and returns its offset and length.
fn next_joint(lower: &str, from: usize) -> Option<(usize, usize)> {
    let found = STEP_JOINTS.iter().filter_map(|joint| Some((from + lower[from..].find(joint)?, joint.len())));
    found.min_by_key(|(at, length)| (*at, usize::MAX - length))
}

/// Returns the label of a step: the destination of a movement, or else the action.
fn label(part: &str) -> String {
    let words: Vec<&str> = part.split_whitespace().collect();
    let says_first = words.iter().position(|word| is_one_of(word, &["first"]));
    let own = &words[says_first.map_or(0, |at| at + 1)..];
    let goes = own.iter().rposition(|word| is_one_of(word, &["to", "into", "through", "past", "via"]));
    let own = goes.map_or(own, |at| &own[at + 1..]);
    let own = match own.split_first() {
        Some((article, rest))
            if goes.is_some() && class(&bare(article).to_lowercase()) == Class::Determiner =>
        {
            rest
        }
        _ => own,
    };
    capitalize(&condense_plain(own.join(" ").trim_end_matches(['.', ','])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_is_told_by_its_words() {
        let steps = |sentence: &str| read(sentence).unwrap_or_default().join(" | ");
        assert_eq!(
            steps("First measure the length, then cut the board, and finally sand the edges."),
            "Measure the length | Cut the board | Sand the edges"
        );
        assert_eq!(
            steps("Light first passes through the lens, then through the shutter, and then to the sensor."),
            "Lens | Shutter | Sensor"
        );
    }

    #[test]
    fn other_sentences_tell_none() {
        for sentence in [
            "First of all, it is late.",
            "It rains, then it stops.",
            "The first train leaves at nine, then another at ten.",
            "First, the committee considers every single objection that anybody has raised, then it waits, then it acts.",
            "",
            "first",
            "İ first, then a, then b.",
            // Lower case is longer in one place and shorter in another.
            "İ first é, then ẞ y, then z of all that has been measured so far",
        ] {
            assert_eq!(read(sentence), None, "{sentence}");
        }
    }
}
