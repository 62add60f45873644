//! Changes a line into what a voice reads: "5 kW" into "5 kilowatts", "1990s" into "19 nineties".
//!
//! Viewers see the written line, in captions and on pages; only the voice gets the other one. So each place in what is spoken leads
//! back to its place in what is written. `amounts` has what is read alike in all languages that have a table (`units.tsv`): units,
//! currencies, spans and signs; `english` has the rest for English. A line in another language stays as it is.

mod amounts;
mod english;

use amounts::Table;

/// A line as it is spoken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spoken {
    pub text: String,
    segments: Vec<Segment>,
}

/// A part of a line that is spoken as it is written, or as something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Segment {
    /// Where it begins in what is spoken, and in what is written.
    spoken: usize,
    written: usize,
    is_replaced: bool,
}

/// Written text that is spoken otherwise: its length in bytes, and what is spoken.
pub(super) struct Reading {
    pub length: usize,
    pub spoken: String,
}

impl Reading {
    pub fn new(length: usize, spoken: impl Into<String>) -> Self {
        Self { length, spoken: spoken.into() }
    }
}

/// A place in a line: what is before it and what follows.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub before: &'a str,
    pub rest: &'a str,
}

impl Place<'_> {
    /// Returns `true` where a word or a number may begin.
    pub fn is_boundary(&self) -> bool {
        !self.before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
    }
}

impl Spoken {
    /// Returns what a voice of a language, given as a BCP 47 tag or the name of an espeak-ng voice, is to read.
    pub fn of(line: &str, language: &str) -> Self {
        let primary = language.split(['-', '_', '+']).next().unwrap_or_default().to_lowercase();
        let table = amounts::table(&primary);
        let mut spoken = Self { text: String::with_capacity(line.len() + 16), segments: vec![] };
        let (mut at, mut copied) = (0, false);
        while let Some(next) = line[at..].chars().next() {
            let place = Place { before: &line[..at], rest: &line[at..] };
            match reading(place, table).filter(|reading| reading.length > 0) {
                Some(reading) => {
                    spoken.begin(at, true);
                    spoken.text.push_str(&reading.spoken);
                    (at, copied) = (at + reading.length, false);
                }
                None => {
                    if !copied {
                        spoken.begin(at, false);
                    }
                    spoken.text.push(next);
                    (at, copied) = (at + next.len_utf8(), true);
                }
            }
        }
        // A voice has to say something.
        let says_something = spoken.text.chars().any(char::is_alphanumeric);
        if says_something { spoken } else { Self::unchanged(line) }
    }

    fn unchanged(line: &str) -> Self {
        let whole = Segment { spoken: 0, written: 0, is_replaced: false };
        Self { text: line.to_owned(), segments: vec![whole] }
    }

    fn begin(&mut self, written: usize, is_replaced: bool) {
        self.segments.push(Segment { spoken: self.text.len(), written, is_replaced });
    }

    /// Returns the place in the written line of a place in the spoken one.
    pub fn written(&self, spoken: usize) -> usize {
        let after = self.segments.partition_point(|segment| segment.spoken <= spoken);
        let Some(segment) = after.checked_sub(1).map(|at| self.segments[at]) else { return spoken };
        segment.written + if segment.is_replaced { 0 } else { spoken - segment.spoken }
    }
}

fn reading(place: Place<'_>, table: Option<&Table>) -> Option<Reading> {
    if let Some(length) = emoji_length(place) {
        return Some(Reading::new(length, ""));
    }
    let table = table?;
    if table.is_english
        && let Some(reading) = english::reading(place, table)
    {
        return Some(reading);
    }
    amounts::reading(place, table)
}

/// Bytes of the emoji at a place, and of the space behind them where one is before. Voices read their names: "waving hand".
fn emoji_length(Place { before, rest: text }: Place<'_>) -> Option<usize> {
    let is_spaced = before.is_empty() || before.ends_with(' ');
    let is_emoji =
        |c: char| matches!(c, '\u{2600}'..='\u{2793}' | '\u{2b00}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}');
    let is_joint = |c: char| matches!(c, '\u{fe0e}' | '\u{fe0f}' | '\u{20e3}');
    text.starts_with(|c| is_emoji(c) || is_joint(c)).then(|| {
        let rest = text.trim_start_matches(|c| is_emoji(c) || is_joint(c) || c == '\u{200d}');
        text.len() - rest.strip_prefix(' ').filter(|_| is_spaced).unwrap_or(rest).len()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines as they are written, and as a person reads them.
    const CASES: &str = include_str!("cases.tsv");

    #[test]
    fn lines_are_read_as_a_person_reads_them() {
        let (mut count, mut wrong) = (0, vec![]);
        for case in CASES.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let fields: Vec<&str> = case.split('\t').collect();
            let [language, written, expected] = fields[..] else { panic!("{case}") };
            let found = Spoken::of(written, language).text;
            if found != expected {
                wrong.push(format!("{written}\n  found    {found}\n  expected {expected}"));
            }
            count += 1;
        }
        assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
        assert!(count >= 150, "{count}");
    }

    #[test]
    fn places_lead_back_to_what_is_written() {
        let line = "It uses 5 kW, or €6,500 a year.";
        let spoken = Spoken::of(line, "en-us");
        assert_eq!(spoken.text, "It uses 5 kilowatts, or 6,500 euros a year.");
        let written = |word: &str| &line[spoken.written(spoken.text.find(word).unwrap())..];
        assert!(written("uses").starts_with("uses"));
        assert!(written("5 kilo").starts_with("5 kW"));
        assert!(written("kilowatts").starts_with("5 kW"));
        assert!(written("or").starts_with("or €"));
        assert!(written("euros").starts_with("€6,500"));
        assert!(written("year").starts_with("year."));
        assert_eq!(spoken.written(spoken.text.len()), line.len());
    }

    #[test]
    fn any_text_is_read_and_leads_back_to_places_in_it() {
        let pieces = [
            "5",
            "1,000",
            "0.5",
            " ",
            "-",
            "–",
            "−",
            "/",
            "km/h",
            "kWh",
            "€",
            "$",
            "%",
            "²",
            "^",
            "1990s",
            "e.g.",
            "No.",
            "→",
            "x",
            "CO2",
            "½",
            ":00",
            "#",
            "~",
            "II",
            "Henry",
            "https://",
            "\u{301}",
            "𝒳",
            "茶",
            "ع",
            ".",
            "99999999999999999999",
            "'90s",
            "2026-13-45",
            "24/7",
            "1/0",
            "\u{a0}",
            "&",
            "w/o",
            "=",
            "(",
            "1867",
            "👋🏽",
            "5️⃣",
        ];
        let mut state = 7_u64;
        let mut below = |bound: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % bound
        };
        for _ in 0..4000 {
            let line: String = (0..below(12)).map(|_| pieces[below(pieces.len())]).collect();
            for language in ["en", "de", "fr", "es", "ja", ""] {
                let spoken = Spoken::of(&line, language);
                let places: Vec<usize> = (0..=spoken.text.len()).map(|at| spoken.written(at)).collect();
                assert!(places.windows(2).all(|pair| pair[0] <= pair[1]), "{line:?}");
                assert!(places.last().is_none_or(|last| *last <= line.len()), "{line:?}");
                let starts = spoken.text.char_indices().map(|(at, _)| spoken.written(at));
                assert!(starts.into_iter().all(|at| line.is_char_boundary(at)), "{line:?}");
                let has_words = |text: &str| text.chars().any(char::is_alphanumeric);
                assert!(!has_words(&line) || has_words(&spoken.text), "{line:?}");
            }
        }
    }
}
