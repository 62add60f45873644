//! Splits text into sentences.
//!
//! The rules of UAX #29 find candidates; what they cannot know (abbreviations, initials, a quotation that
//! goes on) is repaired by joining. A sentence too long for one line of narration is divided at the
//! clause that divides it best. Every character but the spaces between pieces is kept, in order.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

use reel_scene::{RichText, Span, SpanStyle};

use super::dates::GERMAN_MONTHS;
use super::vocabulary::{ABBREVIATIONS, NUMBERED_ABBREVIATIONS, SENTENCE_OPENERS, is_conjunction};
use super::width::columns;

/// Longest piece that is shown and spoken at once, in columns: about 40 words, or 16 seconds of speech.
pub(crate) const MAX_COLUMNS: usize = 240;

/// Sentences of a quotation that stay together: one line of narration.
const MAX_QUOTED_SENTENCES: usize = 4;

/// A sentence, or a part of one that is too long.
pub(crate) struct Piece {
    pub text: RichText,
    /// Set when the sentence began in the piece before.
    pub continues: bool,
}

/// Characters of one grapheme that stay together: the limit of the Stream-Safe Text Format (UAX #15) is 30 marks, and a
/// longer grapheme is no writing.
const MAX_GRAPHEME_CHARS: usize = 32;

/// Worth of the positions at which a long sentence can be divided. A position between words always wins over one inside a
/// word. Between words, the worth of a mark is the distance from the target, in columns, that it makes up for.
mod worth {
    pub const WORD_END: usize = 1000;
    pub const SEMICOLON: usize = 140;
    pub const COLON_OR_DASH: usize = 120;
    pub const COMMA: usize = 90;
    pub const CONJUNCTION: usize = 60;
}

/// Splits a text whose whitespace is normalised into sentences and, where needed, parts of sentences.
pub(crate) fn split(text: &RichText) -> Vec<Piece> {
    let plain = text.to_plain();
    let mut ranges = Vec::new();
    let mut continues = Vec::new();
    for sentence in sentence_ranges(&plain, &code_ranges(text)) {
        let parts = part_ranges(&plain, sentence);
        continues.extend((0..parts.len()).map(|part| part > 0));
        ranges.extend(parts);
    }
    let texts = slices(text, &ranges);
    texts.into_iter().zip(continues).map(|(text, continues)| Piece { text, continues }).collect()
}

/// Returns the byte ranges of a text's sentences, without the spaces around them.
fn sentence_ranges(plain: &str, code: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    // Whether the last range holds anything that can be said; kept here so that a long run of
    // punctuation is looked at once.
    let mut speakable = false;
    let mut code = code.iter().peekable();
    for (start, piece) in plain.split_sentence_bound_indices() {
        let end = start + piece.len();
        while code.next_if(|code| code.end <= start).is_some() {}
        let inside_code = code.peek().is_some_and(|code| code.start < start);
        let says = piece.chars().any(char::is_alphanumeric);
        match ranges.last_mut() {
            Some(last) if !says || !speakable || inside_code || goes_on(&plain[last.clone()], piece) => {
                last.end = end;
                speakable |= says;
            }
            _ => {
                ranges.push(start..end);
                speakable = says;
            }
        }
    }
    let ranges: Vec<Range<usize>> =
        ranges.into_iter().map(|range| trim_spaces(plain, range)).filter(|range| !range.is_empty()).collect();
    join_what_belongs_together(plain, ranges)
}

/// Sentences that only stress the one before.
const STRESSES: [&str; 14] = [
    "Really.",
    "Really!",
    "Seriously.",
    "Honestly.",
    "Always.",
    "Never.",
    "Never!",
    "Ever.",
    "Twice.",
    "Period.",
    "Exactly.",
    "Again.",
    "Forever.",
    "Wirklich.",
];

/// Joins the sentences of one quotation, a bare "Yes." or "No." with its explanation, and "Really." with what it stresses, where
/// that is not too long for a line.
fn join_what_belongs_together(plain: &str, ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    let mut joined: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    let mut at = 0;
    while let Some(first) = ranges.get(at) {
        let is_whole = |count: &usize| {
            let range = first.start..ranges[at + count - 1].end;
            let fits = columns(&plain[range.clone()]) <= MAX_COLUMNS;
            fits.then(|| is_closed(&plain[range]))
        };
        let open = !is_closed(&plain[first.clone()]);
        let most = MAX_QUOTED_SENTENCES.min(ranges.len() - at);
        let count = match &plain[first.clone()] {
            "Yes." | "No." if ranges.len() > at + 1 => Some(2).filter(|count| is_whole(count) == Some(true)),
            _ if open => (2..=most)
                .map_while(|count| Some((count, is_whole(&count)?)))
                .find(|(_, closed)| *closed)
                .map(|(count, _)| count),
            sentence if sentence.ends_with('.') => {
                let stressed = ranges.get(at + 1).filter(|next| STRESSES.contains(&&plain[(*next).clone()]));
                stressed.and(Some(2)).filter(|count| is_whole(count) == Some(true))
            }
            _ => None,
        };
        let count = count.unwrap_or(1);
        joined.push(first.start..ranges[at + count - 1].end);
        at += count;
    }
    joined
}

/// Returns `true` where every quotation that begins in a text also ends in it.
fn is_closed(text: &str) -> bool {
    let count = |mark: char| text.chars().filter(|c| *c == mark).count();
    let pairs = [('“', '”'), ('«', '»'), ('「', '」'), ('『', '』')];
    // A German quotation ends with the mark with which an English one begins.
    let german = count('„');
    let open =
        |(open, close): (char, char)| count(open) > count(close) + if open == '“' { german } else { 0 };
    count('"').is_multiple_of(2) && german <= count('“') + count('”') && !pairs.into_iter().any(open)
}

/// Returns `true` when `next` belongs to the same sentence as `before`, which ends with a stop.
fn goes_on(before: &str, next: &str) -> bool {
    if next.starts_with(char::is_lowercase) {
        return true;
    }
    let before = before.trim_end();
    let last = before.rsplit(' ').next().unwrap_or(before);
    let last = last.trim_start_matches(['(', '[', '"', '“', '‘', '\'', '«']);
    let initials = last != "I."
        && last.len() >= 2
        && last
            .as_bytes()
            .chunks(2)
            .all(|pair| pair.len() == 2 && pair[0].is_ascii_uppercase() && pair[1] == b'.');
    let next_word = next.split(|c: char| !c.is_alphanumeric()).next().unwrap_or(next);
    if is_ordinal(before, last, next_word) || is_spaced_abbreviation(before, last, next) {
        return true;
    }
    ABBREVIATIONS.contains(&last)
        || NUMBERED_ABBREVIATIONS.contains(&last) && next.starts_with(|c: char| c.is_ascii_digit())
        || initials && !next_word.is_empty() && !SENTENCE_OPENERS.contains(&next_word)
}

/// "am 13. August", "der 2. Weltkrieg": German writes ordinal numbers with a stop.
fn is_ordinal(before: &str, last: &str, next_word: &str) -> bool {
    const BEFORE: [&str; 22] = [
        "der", "die", "das", "den", "dem", "des", "am", "im", "vom", "zum", "zur", "beim", "ab", "bis",
        "seit", "jeder", "jede", "jedes", "jeden", "jedem", "ihr", "sein",
    ];
    let digits = last.trim_end_matches('.');
    let is_small = (1..=2).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit());
    let word_before = before[..before.len() - last.len()].trim_end().rsplit(' ').next().unwrap_or_default();
    is_small && (GERMAN_MONTHS.contains(&next_word) || BEFORE.contains(&word_before.to_lowercase().as_str()))
}

/// "z. B.", "44 v. Chr.": a single small letter before another abbreviation.
fn is_spaced_abbreviation(before: &str, last: &str, next: &str) -> bool {
    if ["u. a.", "z. T.", "o. ä.", "i. d. R."].iter().any(|known| before.ends_with(known)) {
        return true;
    }
    let mut letters = last.chars();
    let is_letter = letters.next().is_some_and(char::is_lowercase) && letters.as_str() == ".";
    let next = next.split(' ').next().unwrap_or_default();
    let is_short = next.strip_suffix('.').is_some_and(|word| word.chars().count() == 1 || word == "Chr");
    is_letter && (is_short || next == "Chr")
}

/// Returns a sentence's range, or several when it is longer than [`MAX_COLUMNS`].
fn part_ranges(plain: &str, sentence: Range<usize>) -> Vec<Range<usize>> {
    let text = &plain[sentence.clone()];
    if columns(text) <= MAX_COLUMNS {
        return vec![sentence];
    }
    let mut parts = Vec::new();
    let mut start = sentence.start;
    for cut in cuts(text) {
        parts.push(start..sentence.start + cut);
        start = sentence.start + cut;
    }
    parts.push(start..sentence.end);
    parts.into_iter().map(|part| trim_spaces(plain, part)).filter(|part| !part.is_empty()).collect()
}

/// A place where a long sentence may be divided.
struct Cut {
    offset: usize,
    column: usize,
    worth: usize,
}

/// Returns the byte offsets that divide a text into parts of similar length and at most [`MAX_COLUMNS`].
fn cuts(text: &str) -> Vec<usize> {
    let places = cut_places(text);
    let total = columns(text);
    let (mut chosen, mut from_column, mut from_place) = (Vec::new(), 0, 0);
    while total - from_column > MAX_COLUMNS {
        let rest = total - from_column;
        let target = from_column + rest / rest.div_ceil(MAX_COLUMNS);
        let earliest = from_column + MAX_COLUMNS / 4;
        let window =
            places[from_place..].iter().take_while(|place| place.column <= from_column + MAX_COLUMNS);
        let best = window
            .enumerate()
            .filter(|(_, place)| place.column >= earliest)
            .max_by_key(|(_, place)| place.worth + MAX_COLUMNS - place.column.abs_diff(target));
        // Without a place in reach, the next one has to do.
        let index = from_place + best.map_or(0, |(index, _)| index);
        let Some(place) = places.get(index) else { break };
        chosen.push(place.offset);
        from_column = place.column;
        from_place = index + 1;
    }
    chosen
}

/// Returns every place between two graphemes; clause ends count more than words, words more than letters.
fn cut_places(text: &str) -> Vec<Cut> {
    let mut places = Vec::new();
    let (mut column, mut before, mut last_mark) = (0, ' ', ' ');
    for (offset, grapheme) in text.grapheme_indices(true).flat_map(bounded_graphemes) {
        let first = grapheme.chars().next().unwrap_or(' ');
        if offset > 0 && first != ' ' {
            let worth = if before == ' ' {
                worth::WORD_END + mark_worth(last_mark).max(conjunction_worth(&text[offset..]))
            } else if matches!(before, '、' | '，' | '；' | '：') {
                worth::WORD_END + mark_worth(before)
            } else {
                0
            };
            places.push(Cut { offset, column, worth });
        }
        column += columns(grapheme);
        before = first;
        if first != ' ' {
            last_mark = first;
        }
    }
    places
}

/// Returns a grapheme, or its parts where it is longer than [`MAX_GRAPHEME_CHARS`].
fn bounded_graphemes((offset, grapheme): (usize, &str)) -> Vec<(usize, &str)> {
    let mut starts: Vec<usize> =
        grapheme.char_indices().map(|(start, _)| start).step_by(MAX_GRAPHEME_CHARS).collect();
    starts.push(grapheme.len());
    starts.windows(2).map(|pair| (offset + pair[0], &grapheme[pair[0]..pair[1]])).collect()
}

fn mark_worth(mark: char) -> usize {
    match mark {
        ';' | '；' => worth::SEMICOLON,
        ':' | '—' | '–' | '：' => worth::COLON_OR_DASH,
        ',' | '，' | '、' => worth::COMMA,
        _ => 0,
    }
}

fn conjunction_worth(rest: &str) -> usize {
    let word = rest.split(' ').next().unwrap_or(rest);
    if is_conjunction(word) { worth::CONJUNCTION } else { 0 }
}

/// Returns the byte ranges of a text's code and formulas, in which no sentence ends.
fn code_ranges(text: &RichText) -> Vec<Range<usize>> {
    let mut start = 0;
    let spans = text.0.iter().map(|span| {
        let range = start..start + span.text.len();
        start = range.end;
        (span.style, range)
    });
    spans
        .filter(|(style, _)| matches!(style, SpanStyle::Code | SpanStyle::Math))
        .map(|(_, range)| range)
        .collect()
}

/// Returns a range without the spaces at its ends.
fn trim_spaces(plain: &str, range: Range<usize>) -> Range<usize> {
    let text = &plain[range.clone()];
    let start = range.start + (text.len() - text.trim_start().len());
    start..(start + text.trim().len())
}

/// Cuts a text along ascending byte ranges, in one pass over its spans.
pub(crate) fn slices(text: &RichText, ranges: &[Range<usize>]) -> Vec<RichText> {
    let mut cut = Vec::with_capacity(ranges.len());
    let (mut index, mut span_start) = (0, 0);
    for range in ranges {
        let mut spans = Vec::new();
        while let Some(span) = text.0.get(index) {
            let span_end = span_start + span.text.len();
            let (from, to) = (range.start.max(span_start), range.end.min(span_end));
            if from < to {
                let text = span.text[from - span_start..to - span_start].to_owned();
                spans.push(Span { text, style: span.style });
            }
            if span_end > range.end {
                break;
            }
            index += 1;
            span_start = span_end;
        }
        cut.push(RichText(spans));
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentences(text: &str) -> Vec<String> {
        split(&RichText::plain(text)).iter().map(|piece| piece.text.to_plain()).collect()
    }

    #[test]
    fn sentences_end_at_stops_and_nowhere_else() {
        for (text, expected) in [
            ("One. Two! Three? Four", vec!["One.", "Two!", "Three?", "Four"]),
            (
                "Am 13. August 1961 begann es. Der 2. Weltkrieg war vorbei.",
                vec!["Am 13. August 1961 begann es.", "Der 2. Weltkrieg war vorbei."],
            ),
            ("Es waren 12. Danach kam keiner.", vec!["Es waren 12.", "Danach kam keiner."]),
            ("Caesar starb 44 v. Chr. in Rom.", vec!["Caesar starb 44 v. Chr. in Rom."]),
            ("Nimm z. B. Mehl, u. a. Roggen.", vec!["Nimm z. B. Mehl, u. a. Roggen."]),
            ("It has vitamin d. That helps.", vec!["It has vitamin d.", "That helps."]),
            ("Use it, e.g. Redis. Then stop.", vec!["Use it, e.g. Redis.", "Then stop."]),
            ("Dr. Smith met J. R. Jones. They spoke.", vec!["Dr. Smith met J. R. Jones.", "They spoke."]),
            ("Take vitamin C. It helps.", vec!["Take vitamin C.", "It helps."]),
            ("See No. 5 and Fig. 3. No. That is wrong.", vec!["See No. 5 and Fig. 3.", "No. That is wrong."]),
            (
                "She said, \"We waited. Now we go.\" Then she left. It is 5\" long. So it is. Yes. It works.",
                vec![
                    "She said, \"We waited. Now we go.\"",
                    "Then she left.",
                    "It is 5\" long.",
                    "So it is.",
                    "Yes. It works.",
                ],
            ),
            (
                "Close the brake before you ride. Really. Check it twice. Never.",
                vec!["Close the brake before you ride. Really.", "Check it twice. Never."],
            ),
            (
                "« Deux planètes. Deux soirs », dit-elle. Oui.",
                vec!["« Deux planètes. Deux soirs », dit-elle.", "Oui."],
            ),
            ("It gives 3.7 volts. Good.", vec!["It gives 3.7 volts.", "Good."]),
            ("He said \"Stop.\" Then he left.", vec!["He said \"Stop.\"", "Then he left."]),
            (
                "She cried \"Stop!\" and left. (It rained.) Done.",
                vec!["She cried \"Stop!\" and left.", "(It rained.)", "Done."],
            ),
            ("Well... maybe. Open main.rs now.", vec!["Well... maybe.", "Open main.rs now."]),
            ("これは状態です。次は何ですか？はい。", vec!["これは状態です。", "次は何ですか？", "はい。"]),
            ("Done. 🎉 Next.", vec!["Done.", "🎉 Next."]),
            ("Wait. *** Go. ***", vec!["Wait.", "*** Go. ***"]),
        ] {
            let found = sentences(text);
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn code_is_not_divided_and_styles_are_kept() {
        let text = RichText(vec![
            Span { text: "Call ".into(), style: SpanStyle::Plain },
            Span { text: "a. B".into(), style: SpanStyle::Code },
            Span { text: " now. ".into(), style: SpanStyle::Plain },
            Span { text: "Then".into(), style: SpanStyle::Strong },
            Span { text: " stop.".into(), style: SpanStyle::Plain },
        ]);
        let pieces = split(&text);
        assert_eq!(pieces.len(), 2);
        assert_eq!(pieces[0].text.0[1], Span { text: "a. B".into(), style: SpanStyle::Code });
        assert_eq!(pieces[1].text.0[0], Span { text: "Then".into(), style: SpanStyle::Strong });
        assert_eq!(pieces[1].text.to_plain(), "Then stop.");
    }

    #[test]
    fn a_long_sentence_is_divided_at_its_clauses() {
        let clause = "the worker reads the log from the last checkpoint it knows";
        let long = format!("{clause} {clause}; {clause}, {clause} and {clause}.");
        let parts = sentences(&long);
        assert_eq!(parts.len(), 2, "{parts:?}");
        assert!(parts[0].ends_with(';'), "{parts:?}");
        assert_eq!(parts.join(" "), long);
    }

    #[test]
    fn text_without_any_stop_is_divided_and_kept() {
        let words = "word ".repeat(2000);
        let parts = sentences(words.trim());
        assert!(parts.iter().all(|part| columns(part) <= MAX_COLUMNS));
        assert_eq!(parts.join(" "), words.trim());
        let letters = "x".repeat(10_000);
        let parts = sentences(&letters);
        assert!(parts.iter().all(|part| columns(part) <= MAX_COLUMNS));
        assert_eq!(parts.concat(), letters);
    }
}
