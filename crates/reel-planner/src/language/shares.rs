//! Shares of a whole: "80 percent of British bread", "42 of 617 animals", "one in three", "three quarters of the sea".

use std::ops::Range;

use super::phrases::subject;
use super::words::{Word, capitalize, word_count, words};

/// A share of something, as a part of a whole that is drawn.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Share {
    /// As written: "80 percent".
    pub text: String,
    /// Byte range of `text` in the sentence.
    pub range: Range<usize>,
    pub part: f64,
    /// 100 for a percentage, 617 for "42 of 617".
    pub whole: f64,
}

/// Returns the only share in a sentence; none where there are two, or where a percentage is a change or a rate: "rose by 3
/// percent", "5 percent interest".
pub(crate) fn proportion(sentence: &str) -> Option<Share> {
    let words = words(sentence);
    let mut found = (0..words.len()).filter_map(|at| share_at(sentence, &words, at));
    let share = found.next()?;
    (found.next().is_none() && share.part >= 0.0 && share.part <= share.whole && share.whole > 0.0)
        .then_some(share)
}

/// Returns names with the percentage of each, of a sentence that tells a share of one whole for each of two or more: "Brazil grows about
/// a third of all coffee, Vietnam about a fifth, and Colombia about eight percent." The verb stands with the first alone.
pub(crate) fn shares_by_name(sentence: &str) -> Option<Vec<(String, f64)>> {
    /// Bars on one page.
    const NAMES: std::ops::RangeInclusive<usize> = 2..=6;
    const MAX_NAME_WORDS: usize = 4;
    let sentence = sentence.trim_end().trim_end_matches(['.', '!']);
    if sentence.contains([':', ';', '?', '(']) {
        return None;
    }
    let joined = sentence.replace(", and ", ", ").replace(" and ", ", ");
    let parts: Vec<&str> = joined.split(", ").collect();
    if !NAMES.contains(&parts.len()) {
        return None;
    }
    let mut found = vec![];
    for (at, part) in parts.iter().enumerate() {
        let words = words(part);
        let (start, count, percent) = (0..words.len()).find_map(|at| {
            let (count, percent) = bare_share(&words, at, part)?;
            Some((at, count, percent))
        })?;
        let is_hedge = |word: &Word<'_>| {
            matches!(
                word.lower.as_str(),
                "about" | "roughly" | "nearly" | "almost" | "some" | "around" | "only" | "another" | "over"
            )
        };
        let named = words[..start].iter().rposition(|word| !is_hedge(word)).map_or(0, |last| last + 1);
        let behind = &words[start + count..];
        let up_to = |last: usize| part[words[0].bare_range.start..words[last].bare_range.end].to_owned();
        // The first has a verb, and says of what; the others have neither.
        let name = if at == 0 {
            let says_of_what = behind.first().is_some_and(|word| word.lower == "of");
            let verb = named.checked_sub(1).filter(|verb| *verb > 0 && says_of_what)?;
            let subject =
                subject(part).filter(|subject| subject.range.end < words[verb].bare_range.start + 1);
            subject.map_or_else(|| up_to(verb - 1), |subject| subject.text)
        } else {
            up_to(named.checked_sub(1).filter(|_| behind.is_empty())?)
        };
        let name = name.strip_suffix(" alone").unwrap_or(&name);
        if !(1..=MAX_NAME_WORDS).contains(&word_count(name)) {
            return None;
        }
        let is_name = name.starts_with(char::is_uppercase) || at == 0 || words[0].lower == "the";
        if !is_name || is_pronoun(&words[0].lower) {
            return None;
        }
        found.push((capitalize(name), percent));
    }
    (found.iter().map(|(_, percent)| percent).sum::<f64>() <= 101.0).then_some(found)
}

/// Returns how many words a share has that begins at a word, and its percentage: "a third", "two fifths", "half", "eight percent", "20%".
fn bare_share(words: &[Word<'_>], at: usize, sentence: &str) -> Option<(usize, f64)> {
    let lower = |offset: usize| words.get(at + offset).map_or("", |word| word.lower.as_str());
    let value = number(lower(0)).or_else(|| small_number(lower(0)));
    if let Some(value) = value {
        if sentence[words[at].bare_range.end..].starts_with('%') {
            return Some((1, value));
        }
        if lower(1) == "percent" {
            return Some((2, value));
        }
    }
    if lower(0) == "half" {
        return Some((1, 50.0));
    }
    let numerator = if matches!(lower(0), "a" | "one") { 1.0 } else { small_number(lower(0))? };
    let whole = fraction(lower(1))?;
    (numerator < whole).then_some((2, 100.0 * numerator / whole))
}

/// Returns the whole that the name of a fraction divides.
fn fraction(name: &str) -> Option<f64> {
    match name {
        "half" | "halves" => Some(2.0),
        "third" | "thirds" => Some(3.0),
        "quarter" | "quarters" | "fourth" | "fourths" => Some(4.0),
        "fifth" | "fifths" => Some(5.0),
        "sixth" | "sixths" => Some(6.0),
        "eighth" | "eighths" => Some(8.0),
        "tenth" | "tenths" => Some(10.0),
        _ => None,
    }
}

fn share_at(sentence: &str, words: &[Word<'_>], at: usize) -> Option<Share> {
    let lower = |offset: usize| words.get(at + offset).map_or("", |word| word.lower.as_str());
    let open = |offset: usize| words.get(at + offset).is_some_and(|word| !word.is_marked);
    let share = |count: usize, part: f64, whole: f64| {
        let range = words[at].bare_range.start..words[at + count - 1].bare_range.end;
        Share { text: sentence[range.clone()].to_owned(), range, part, whole }
    };
    let before = at.checked_sub(1).map_or("", |before| words[before].lower.as_str());
    let is_change = matches!(before, "by" | "another" | "than" | "additional");
    let word = &words[at];
    // "80%"
    if word.is_number() && sentence[word.bare_range.end..].starts_with('%') {
        let value = number(&word.lower)?;
        let is_of = lower(1) == "of" && !matches!(lower(2), "growth" | "interest");
        let mut found = share(1, value, 100.0);
        found.range.end += 1;
        found.text.push('%');
        return (is_of && !is_change && !has_change(words, at)).then_some(found);
    }
    if let Some(value) = number(&word.lower).or_else(|| small_number(&word.lower))
        && open(0)
        && (lower(1) == "percent" || lower(1) == "per" && lower(2) == "cent")
    {
        let count = if lower(1) == "percent" { 2 } else { 3 };
        let is_of = lower(count) == "of" && open(count - 1);
        return (is_of && !is_change && !has_change(words, at)).then(|| share(count, value, 100.0));
    }
    // "42 of 617", "one in three", "9 out of 10"
    let value = number(&word.lower).or_else(|| small_number(&word.lower));
    if let Some(part) = value
        && open(0)
        && before != "of"
        && before != "page"
        && before != "chapter"
    {
        let skip = match (lower(1), lower(2)) {
            ("of" | "in", _) => 1,
            ("out", "of") => 2,
            _ => 0,
        };
        let at_whole = skip + 1 + usize::from(lower(skip + 1) == "the" || lower(skip + 1) == "every");
        let whole_word = words.get(at + at_whole);
        if skip > 0
            && let Some(whole_word) = whole_word
            && let Some(whole) = number(&whole_word.lower).or_else(|| small_number(&whole_word.lower))
        {
            let is_year = lower(1) == "in" && (1000.0..2200.0).contains(&whole);
            // "Two in ten days" counts days.
            let is_duration = words.get(at + at_whole + 1).is_some_and(|next| {
                lower(1) == "in"
                    && !whole_word.is_marked
                    && matches!(
                        next.lower.as_str(),
                        "days"
                            | "hours"
                            | "minutes"
                            | "seconds"
                            | "years"
                            | "weeks"
                            | "months"
                            | "degrees"
                            | "percent"
                    )
            });
            let is_percent = matches!(lower(at_whole + 1), "percent" | "per");
            // "Take one of the 60 bicycles" counts what there is.
            let is_any = word.lower == "one" && lower(skip + 1) == "the" && at > 0;
            return (part < whole && !is_any && !is_year && !is_duration && !is_percent)
                .then(|| share(at_whole + 1, part, whole));
        }
    }
    // "three quarters of", "two thirds of", "half of", "a third of", "half the"
    let (numerator, at_unit) = match word.lower.as_str() {
        "a" | "one" => (1.0, 1),
        other => (small_number(other).unwrap_or(0.0), 1),
    };
    if numerator > 0.0
        && open(0)
        && let Some(whole) = fraction(lower(at_unit))
        && lower(at_unit + 1) == "of"
        && open(at_unit)
        && numerator < whole
        && !is_duration_word(lower(at_unit + 2), lower(at_unit + 3))
        && !is_pronoun(lower(at_unit + 2))
    {
        return Some(share(at_unit + 1, numerator, whole));
    }
    if word.lower == "half"
        && open(0)
        && lower(1) == "of"
        && before != "a"
        && before != "one"
        && !is_duration_word(lower(2), lower(3))
        && !is_pronoun(lower(2))
    {
        return Some(share(1, 1.0, 2.0));
    }
    if let Some((first, second)) = word.lower.split_once('-')
        && let (Some(part), Some(whole)) = (small_number(first), fraction(second))
        && lower(1) == "of"
        && open(0)
        && part < whole
        && !is_duration_word(lower(2), lower(3))
    {
        return Some(share(1, part, whole));
    }
    None
}

/// "half of it" does not say of what.
fn is_pronoun(word: &str) -> bool {
    matches!(word, "it" | "them" | "us" | "you" | "this" | "that" | "these" | "those" | "which" | "whom")
}

/// "half of an hour" measures time.
fn is_duration_word(first: &str, second: &str) -> bool {
    let is_time =
        |word: &str| matches!(word, "second" | "minute" | "hour" | "inch" | "mile" | "cup" | "teaspoon");
    matches!(first, "a" | "an") && is_time(second) || is_time(first)
}

/// "grew", "rose", "fell" before the number: it is a change.
fn has_change(words: &[Word<'_>], at: usize) -> bool {
    words[at.saturating_sub(3)..at].iter().any(|word| {
        matches!(
            word.lower.as_str(),
            "grew"
                | "rose"
                | "fell"
                | "dropped"
                | "increased"
                | "decreased"
                | "rises"
                | "falls"
                | "gained"
                | "lost"
                | "interest"
        )
    })
}

fn number(word: &str) -> Option<f64> {
    let is_number = word.starts_with(|c: char| c.is_ascii_digit())
        && word.chars().all(|c| c.is_ascii_digit() || c == ',' || c == '.');
    if is_number { word.replace(',', "").parse().ok() } else { None }
}

fn small_number(word: &str) -> Option<f64> {
    let words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];
    let named = words.iter().position(|name| *name == word).map(|at| at as f64 + 1.0);
    named.or(match word {
        "twenty" => Some(20.0),
        "hundred" => Some(100.0),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_several_names_are_told_from_other_sentences() {
        let found = |sentence: &str| {
            let rows = shares_by_name(sentence)?.into_iter();
            Some(rows.map(|(name, percent)| format!("{name} {percent:.0}")).collect::<Vec<_>>().join(", "))
        };
        assert_eq!(
            found("Brazil grows about a third of all coffee, Vietnam about a fifth, and Colombia about eight percent.").unwrap(),
            "Brazil 33, Vietnam 20, Colombia 8"
        );
        assert_eq!(
            found("The north produces half of the wheat, the south a quarter, and the islands one tenth.")
                .unwrap(),
            "The north 50, The south 25, The islands 10"
        );
        assert_eq!(
            found("Saturday alone brings in 31% of the week's takings, Sunday 22%, and Friday 17%.").unwrap(),
            "Saturday 31, Sunday 22, Friday 17"
        );
        assert_eq!(found("China mines 60% of the metal and Chile 20%.").unwrap(), "China 60, Chile 20");
        for sentence in [
            "Brazil grows a third of all coffee.",
            "A third of the food is lost, and a fifth of the water.",
            "He ate half of the cake, and she a third.",
            "Brazil grows 60% of it, Peru 50%.",
            "Sales grew by a third of the target, costs by a fifth.",
            "Half of the light is absorbed, and the rest is not.",
            "",
        ] {
            assert_eq!(found(sentence), None, "{sentence}");
        }
    }

    #[test]
    fn shares_are_told_from_changes_and_counts() {
        for (sentence, expected) in [
            (
                "In 1961 it was new, and today 80 percent of British bread is made that way.",
                Some(("80 percent", 80.0, 100.0)),
            ),
            ("About 85% of the cells survive.", Some(("85%", 85.0, 100.0))),
            ("42 of 617 animals were ill.", Some(("42 of 617", 42.0, 617.0))),
            ("One in three adults sleeps too little.", Some(("One in three", 1.0, 3.0))),
            ("Nine out of ten dentists agree.", Some(("Nine out of ten", 9.0, 10.0))),
            ("Three quarters of the sea is deeper.", Some(("Three quarters", 3.0, 4.0))),
            ("Two thirds of the water is ice.", Some(("Two thirds", 2.0, 3.0))),
            ("Two-thirds of the water is ice.", Some(("Two-thirds", 2.0, 3.0))),
            ("A third of the food is lost.", Some(("A third", 1.0, 3.0))),
            ("Half of the light is absorbed.", Some(("Half", 1.0, 2.0))),
            ("Of these, 3 of the 8 samples failed.", Some(("3 of the 8", 3.0, 8.0))),
            ("Sales rose by 3 percent of revenue.", None),
            ("Prices grew 5 percent.", None),
            ("It pays 5 percent interest.", None),
            ("In 1961 it began.", None),
            ("Two in ten days is enough.", None),
            ("Born in 1857, he was one of 11 children.", Some(("one of 11", 1.0, 11.0))),
            ("30 percent of men and 20 percent of women smoke.", None),
            ("He ate half of it in a quarter of an hour.", None),
            ("He ate half of the cake in a quarter of an hour.", Some(("half", 1.0, 2.0))),
            ("120 percent of the target was met.", None),
            ("One of the two failed.", Some(("One of the two", 1.0, 2.0))),
            ("Some of them left.", None),
            ("Please use the tram or one of the 60 bicycle stands.", None),
            ("", None),
        ] {
            let found = proportion(sentence);
            let found = found.as_ref().map(|found| (found.text.as_str(), found.part, found.whole));
            assert_eq!(found, expected, "{sentence}");
        }
    }
}
