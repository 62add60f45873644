//! Finds the words of a line, and when each of them begins in its sound.
//!
//! The times come from the voice where it tells them ([`from_marks`], [`from_groups`]); otherwise they are estimated from the
//! lengths of the words and the silences of the sound ([`estimate`]). They never decrease, and lie within the sound.

use std::ops::Range;

use reel_scene::WordTime;

use crate::speak::silences::{Silence, find_silences};
use crate::speak::voice::{Pcm, SAMPLE_RATE_HZ};

/// Signs that a voice reads out although they are no letters.
const SPOKEN_SIGNS: &str = "&%+=<>@#$€£¥°×÷±→√∞≈≤≥≠∑";
/// Largest distance, in clauses and in silences, from one pause to the next.
const MAX_SKIPPED: usize = 6;
/// Costs of pairing clauses with silences, in milliseconds of deviation.
const COST_OF_NO_SILENCE_MS: f64 = 160.0;
const COST_OF_NO_CLAUSE_MS: f64 = 60.0;
/// Largest number of words that a voice says for one word of the text, such as a number.
const MAX_GROUPS_PER_WORD: usize = 12;

/// Time of a word besides that of its sounds, in sounds.
const START_OF_WORD: f64 = 0.95;
/// Time that the last word of a clause takes more than others, in sounds.
const END_OF_CLAUSE: f64 = 2.5;
/// Two letters that are one sound.
const TWO_LETTER_SOUNDS: [[char; 2]; 16] = [
    ['t', 'h'],
    ['s', 'h'],
    ['c', 'h'],
    ['p', 'h'],
    ['w', 'h'],
    ['c', 'k'],
    ['q', 'u'],
    ['g', 'h'],
    ['e', 'a'],
    ['o', 'u'],
    ['a', 'i'],
    ['o', 'a'],
    ['i', 'e'],
    ['e', 'i'],
    ['i', 'o'],
    ['a', 'u'],
];
/// Words that are spoken faster than others.
const UNSTRESSED: [&str; 11] = ["the", "a", "of", "and", "is", "in", "for", "that", "with", "or", "to"];

/// A mark of a voice: at `ms`, it says what stands at a character of the line, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Mark {
    pub character: usize,
    pub ms: f64,
}

/// A word that a voice said, without its place in the text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Group {
    /// Number of its sounds.
    pub sounds: usize,
    pub ms: f64,
}

/// Returns the bytes of each word: a run without white space that has a letter, a digit or a sign that is read out, with the
/// punctuation around it. In scripts that put no spaces between words, each Chinese or Japanese character is a word.
pub fn words(line: &str) -> Vec<Range<usize>> {
    let mut words: Vec<Range<usize>> = vec![];
    // The word that is open: its beginning, and the kind of its last spoken character.
    let mut open: Option<(usize, Option<Kind>)> = None;
    for (at, c) in line.char_indices() {
        if c.is_whitespace() {
            close(&mut words, open.take(), at);
            continue;
        }
        let kind = Kind::of(c);
        match (open, kind) {
            (None, kind) => open = Some((at, kind)),
            // Two scripts meet, or two characters that are words.
            (Some((_, Some(before))), Some(kind)) if before != kind || kind == Kind::Character => {
                close(&mut words, open.take(), at);
                open = Some((at, Some(kind)));
            }
            (Some((start, before)), kind) => open = Some((start, kind.or(before))),
        }
    }
    close(&mut words, open, line.len());
    words
}

fn close(words: &mut Vec<Range<usize>>, open: Option<(usize, Option<Kind>)>, end: usize) {
    match (open, words.last_mut()) {
        (Some((start, Some(_))), _) => words.push(start..end),
        // Signs that are not spoken belong to the word before them.
        (Some((_, None)), Some(last)) => last.end = end,
        _ => {}
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A letter or digit of a script with spaces.
    Letter,
    /// A Chinese or Japanese character.
    Character,
}

impl Kind {
    /// Returns the kind of a spoken character; `None` for one that is silent.
    fn of(c: char) -> Option<Self> {
        match c {
            '\u{3005}' | '\u{3041}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' => {
                c.is_alphanumeric().then_some(Self::Character)
            }
            '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}' => Some(Self::Character),
            c if c.is_alphanumeric() || SPOKEN_SIGNS.contains(c) => Some(Self::Letter),
            _ => None,
        }
    }
}

/// Times the words by marks of the voice, in the order of time. Words without a mark share the time between their
/// neighbours. Estimates the times of a line without any mark.
pub(crate) fn from_marks(line: &str, sound: &Pcm, marks: &[Mark]) -> Vec<WordTime> {
    let words = words(line);
    let mut known: Vec<Option<f64>> = vec![None; words.len()];
    let (mut word, mut character, mut byte) = (0, 0, 0);
    let mut rest = line.char_indices();
    for mark in marks {
        // Marks that go back belong to the same word, or are of the voice's own.
        if mark.character < character {
            continue;
        }
        while character < mark.character {
            let Some((at, c)) = rest.next() else { break };
            byte = at + c.len_utf8();
            character += 1;
        }
        // A mark may stand at the space before its word.
        while word < words.len() && words[word].end <= byte {
            word += 1;
        }
        let Some(time) = known.get_mut(word) else { break };
        time.get_or_insert(mark.ms);
    }
    match known.iter().any(Option::is_some) {
        true => fill(line, &words, known, sound),
        false => estimate(line, sound),
    }
}

/// Times the words by what the voice said, word for word, in its order. The voice may have said several words for one of the
/// text, such as a number, or one for several.
pub(crate) fn from_groups(line: &str, sound: &Pcm, groups: &[Group]) -> Vec<WordTime> {
    let words = words(line);
    if words.is_empty() || groups.is_empty() {
        return estimate(line, sound);
    }
    let known = match words.len() == groups.len() {
        true => groups.iter().map(|group| Some(group.ms)).collect(),
        false => pair_groups(line, &words, groups),
    };
    fill(line, &words, known, sound)
}

/// Divides the groups among the words so that their lengths agree best, and returns the time of each word's first group.
fn pair_groups(line: &str, words: &[Range<usize>], groups: &[Group]) -> Vec<Option<f64>> {
    let sounds: f64 = groups.iter().map(|group| group.sounds as f64).sum();
    let weights = weights(line, words);
    let scale = sounds / weights.iter().sum::<f64>().max(1.0);
    let mut costs = vec![f64::INFINITY; groups.len() + 1];
    costs[0] = 0.0;
    let mut taken: Vec<Vec<usize>> = Vec::with_capacity(words.len());
    for weight in &weights {
        let mut next = vec![f64::INFINITY; groups.len() + 1];
        let mut best = vec![0; groups.len() + 1];
        for (done, cost) in costs.iter().enumerate().filter(|(_, cost)| cost.is_finite()) {
            let mut length = 0.0;
            for count in 0..=MAX_GROUPS_PER_WORD.min(groups.len() - done) {
                if count > 0 {
                    length += groups[done + count - 1].sounds as f64;
                }
                // A word that shares a group with its neighbour is the exception.
                let shared = if count == 0 { 1.0 } else { 0.0 };
                let cost = cost + (length - weight * scale).abs() + shared;
                if cost < next[done + count] {
                    next[done + count] = cost;
                    best[done + count] = count;
                }
            }
        }
        taken.push(best);
        costs = next;
    }
    let mut known = vec![None; words.len()];
    let mut done = groups.len();
    if costs[done].is_infinite() {
        return known;
    }
    for word in (0..words.len()).rev() {
        let count = taken[word][done];
        done -= count;
        known[word] = (count > 0).then(|| groups[done].ms);
    }
    known
}

/// Estimates when the words begin. The pauses of the sound are paired with the ends of clauses; between two of them, each word
/// takes time by its length.
pub fn estimate(line: &str, sound: &Pcm) -> Vec<WordTime> {
    let words = words(line);
    let mut known = vec![None; words.len()];
    if let Some(first) = known.first_mut() {
        *first = Some(0.0);
    }
    for (clause, silence) in pair_clauses(line, &words, sound) {
        known[clause] = Some(silence.end_ms);
    }
    fill(line, &words, known, sound)
}

/// Pairs the words that begin a clause with the silences before them.
fn pair_clauses(line: &str, words: &[Range<usize>], sound: &Pcm) -> Vec<(usize, Silence)> {
    let silences = find_silences(&sound.samples);
    let duration_ms = duration_ms(sound);
    let silent_ms: f64 = silences.iter().map(Silence::duration_ms).sum();
    let weights = weights(line, words);
    let ms_per_weight = (duration_ms - silent_ms) / weights.iter().sum::<f64>().max(1.0);
    // Both in milliseconds of speech, which leave out the silences.
    let mut spoken_ms = 0.0;
    let mut clauses: Vec<(usize, f64)> = vec![];
    for (index, word) in words.iter().enumerate() {
        spoken_ms += weights[index] * ms_per_weight;
        if index + 1 < words.len() && ends_clause(&line[word.start..words[index + 1].start]) {
            clauses.push((index + 1, spoken_ms));
        }
    }
    let mut before_ms = 0.0;
    let places: Vec<f64> = silences
        .iter()
        .map(|silence| {
            let place = silence.start_ms - before_ms;
            before_ms += silence.duration_ms();
            place
        })
        .collect();
    // The cheapest pairing that ends with a pair of a clause and a silence, and the pair before it. Index 0 stands for the
    // beginning of the line.
    let clause_ms = |index: usize| if index == 0 { 0.0 } else { clauses[index - 1].1 };
    let silence_ms = |index: usize| if index == 0 { 0.0 } else { places[index - 1] };
    let mut best = vec![vec![(f64::INFINITY, (0, 0)); silences.len() + 1]; clauses.len() + 1];
    best[0][0].0 = 0.0;
    for clause in 1..=clauses.len() {
        for silence in 1..=silences.len() {
            for clause_before in clause.saturating_sub(MAX_SKIPPED)..clause {
                for silence_before in silence.saturating_sub(MAX_SKIPPED)..silence {
                    let skipped = &silences[silence_before..silence - 1];
                    let skipped: f64 =
                        skipped.iter().map(|silence| COST_OF_NO_CLAUSE_MS + silence.duration_ms()).sum();
                    let unheard = (clause - clause_before - 1) as f64 * COST_OF_NO_SILENCE_MS;
                    let expected = clause_ms(clause) - clause_ms(clause_before);
                    let found = silence_ms(silence) - silence_ms(silence_before);
                    let cost =
                        best[clause_before][silence_before].0 + (expected - found).abs() + skipped + unheard;
                    if cost < best[clause][silence].0 {
                        best[clause][silence] = (cost, (clause_before, silence_before));
                    }
                }
            }
        }
    }
    let end_cost = |clause: usize, silence: usize| {
        let skipped: f64 =
            silences[silence..].iter().map(|one| COST_OF_NO_CLAUSE_MS + one.duration_ms()).sum();
        let left =
            (duration_ms - silent_ms - clause_ms(clause)) - (duration_ms - silent_ms - silence_ms(silence));
        best[clause][silence].0
            + skipped
            + (clauses.len() - clause) as f64 * COST_OF_NO_SILENCE_MS
            + left.abs()
    };
    let ends =
        (0..=clauses.len()).flat_map(|clause| (0..=silences.len()).map(move |silence| (clause, silence)));
    let end = ends.min_by(|a, b| end_cost(a.0, a.1).total_cmp(&end_cost(b.0, b.1)));
    let mut pairs = vec![];
    let mut at = end.unwrap_or_default();
    while at.0 > 0 && at.1 > 0 {
        pairs.push((clauses[at.0 - 1].0, silences[at.1 - 1]));
        at = best[at.0][at.1].1;
    }
    pairs.reverse();
    pairs
}

/// Returns `true` when a voice pauses after a word, given with all that stands before the next one.
fn ends_clause(word: &str) -> bool {
    let tail = word.trim_end_matches(|c: char| c.is_whitespace() || "\"'”’»)]}*_".contains(c));
    let after = &word[word.rfind(char::is_alphanumeric).unwrap_or(0)..];
    tail.ends_with(|c: char| ".,;:!?…。、，；：！？؟،؛।–—".contains(c)) || after.contains(['—', '–'])
}

/// Fills in the words without a time, which share the time between their neighbours by length, and brings the times into
/// order.
fn fill(line: &str, words: &[Range<usize>], mut known: Vec<Option<f64>>, sound: &Pcm) -> Vec<WordTime> {
    let end_ms = duration_ms(sound);
    if let Some(first) = known.first_mut() {
        first.get_or_insert(0.0);
    }
    let mut latest: f64 = 0.0;
    for time in known.iter_mut().flatten() {
        *time = time.clamp(latest, end_ms);
        latest = *time;
    }
    let mut times = Vec::with_capacity(words.len());
    let mut index = 0;
    while index < words.len() {
        let start_ms = known[index].unwrap_or(latest);
        let next = (index + 1..words.len()).find(|next| known[*next].is_some()).unwrap_or(words.len());
        let until_ms = known.get(next).copied().flatten().unwrap_or(end_ms);
        let run = &words[index..next];
        // The silences in it are no part of its words; the last of them is the pause before the next word.
        let speech = Speech::between(sound, (start_ms, until_ms), run.len());
        let weights = weights(line, run);
        let all: f64 = weights.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let mut before = 0.0;
        for (word, weight) in run.iter().zip(weights) {
            let ms = speech.time_of(before / all).clamp(start_ms, until_ms);
            times.push(WordTime { offset: word.start as u32, start_ms: ms as u32 });
            before += weight;
        }
        index = next;
    }
    times
}

/// The parts of a stretch of sound in which there is speech.
struct Speech(Vec<(f64, f64)>);

impl Speech {
    fn between(sound: &Pcm, (start_ms, end_ms): (f64, f64), words: usize) -> Self {
        // The common case: a single word, which begins at the beginning.
        if words < 2 {
            return Self(vec![(start_ms, end_ms)]);
        }
        let sample = |ms: f64| (ms * f64::from(SAMPLE_RATE_HZ) / 1000.0) as usize;
        let samples = sound.samples.get(sample(start_ms)..sample(end_ms).min(sound.samples.len()));
        let mut parts = vec![];
        let mut from = start_ms;
        for silence in find_silences(samples.unwrap_or_default()) {
            parts.push((from, start_ms + silence.start_ms));
            from = start_ms + silence.end_ms;
        }
        if end_ms > from {
            parts.push((from, end_ms));
        }
        Self(parts)
    }

    /// Returns the time at which a share of the speech is said.
    fn time_of(&self, share: f64) -> f64 {
        let all: f64 = self.0.iter().map(|(from, to)| to - from).sum();
        let mut left = all * share;
        for (from, to) in &self.0 {
            if left < to - from {
                return from + left;
            }
            left -= to - from;
        }
        self.0.last().map_or(0.0, |(_, to)| *to)
    }
}

/// Returns how long a voice speaks each word, in sounds. The last one of a clause is drawn out.
fn weights(line: &str, words: &[Range<usize>]) -> Vec<f64> {
    let ends = words.iter().skip(1).map(|next| next.start).chain([line.len()]);
    let of = |(word, next): (&Range<usize>, usize)| {
        let is_last = next == line.len() || ends_clause(&line[word.start..next]);
        weight(&line[word.clone()]) + if is_last { END_OF_CLAUSE } else { 0.0 }
    };
    words.iter().zip(ends).map(of).collect()
}

/// Returns how long a voice speaks a word, in sounds. A digit is a word, and of an abbreviation every letter is named. The numbers
/// are a fit to espeak-ng's English voice; the standard deviation of a word's length is 55 ms.
fn weight(word: &str) -> f64 {
    let letters = word.chars().filter(|c| c.is_alphabetic());
    let is_abbreviation = letters.clone().count() > 1 && letters.clone().all(char::is_uppercase);
    let of = |c: char| match Kind::of(c) {
        Some(Kind::Character) => 3.0,
        _ if c.is_numeric() => 5.0,
        Some(Kind::Letter) if is_abbreviation => 2.2,
        // A syllable of Korean.
        Some(Kind::Letter) if ('\u{ac00}'..='\u{d7af}').contains(&c) => 2.4,
        Some(Kind::Letter) if !c.is_alphabetic() => 4.0,
        Some(Kind::Letter) => 1.0,
        None => 0.0,
    };
    let written: f64 = word.chars().map(of).sum();
    let silent = if is_abbreviation { 0.0 } else { silent_letters(word) };
    START_OF_WORD + (written - silent).max(0.0)
}

/// Returns the number of letters of a word in the Latin script that add no sound, as far as that does not depend on its language;
/// and for short words without stress, what is swallowed.
fn silent_letters(word: &str) -> f64 {
    let word = word.trim_matches(|c: char| !c.is_alphabetic()).to_lowercase();
    let letters: Vec<char> = word.chars().collect();
    let mut silent = 0.0;
    let mut at = 1;
    while at < letters.len() {
        let pair = [letters[at - 1], letters[at]];
        let is_latin = pair[0].is_ascii_alphabetic();
        if is_latin && (pair[0] == pair[1] || TWO_LETTER_SOUNDS.contains(&pair)) {
            silent += 1.0;
            at += 1;
        }
        at += 1;
    }
    if letters.len() > 3 && word.ends_with('e') {
        silent += 1.0;
    }
    if UNSTRESSED.contains(&word.as_str()) {
        silent += (letters.len() as f64 - silent) * 0.4;
    }
    silent
}

fn duration_ms(sound: &Pcm) -> f64 {
    sound.samples.len() as f64 * 1000.0 / f64::from(SAMPLE_RATE_HZ)
}

#[cfg(test)]
#[path = "words_tests.rs"]
mod tests;
