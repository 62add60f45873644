//! Sentences that tell what happened in a year.

use super::words::capitalize;

/// Years that are read as years: earlier ones need "BC" or "AD" behind them.
const YEARS: std::ops::RangeInclusive<u32> = 1000..=2199;
/// Words of what happened, at least: subject and verb.
const MIN_WORDS: usize = 2;
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub(crate) const GERMAN_MONTHS: [&str; 14] = [
    "Januar",
    "Jänner",
    "Februar",
    "Feber",
    "März",
    "April",
    "Mai",
    "Juni",
    "Juli",
    "August",
    "September",
    "Oktober",
    "November",
    "Dezember",
];
/// Letters of the shortest abbreviation of a month.
const SHORT_MONTH: usize = 3;

/// Returns a sentence's year as written, and what happened in it: "In 1857 Louis Pasteur showed that yeast is alive." gives "1857"
/// and "Louis Pasteur showed that yeast is alive". None for a sentence that does not begin or end with its year.
pub(crate) fn years(sentence: &str) -> Option<(String, String)> {
    let text = sentence.trim().trim_end_matches(['.', '!']);
    if text.ends_with('?') {
        return None;
    }
    let (year, rest) = leading_year(text).or_else(|| trailing_year(text))?;
    let is_told = rest.split_whitespace().count() >= MIN_WORDS;
    is_told.then(|| (year, capitalize(&rest)))
}

/// A sentence with a year within it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    /// The number of the year; of two, the first.
    pub year: i32,
    /// The year as a label, such as "1867" or "1893–1894".
    pub label: String,
    /// The event: the sentence, without the words of the year if it is complete without them.
    pub event: String,
}

/// Finds the year of a sentence that may stand anywhere in it: "She was born in Warsaw in 1867 as the youngest child." Two years are
/// a span if they rise; a sentence with more is a list of its own.
pub(crate) fn year_within(sentence: &str) -> Option<Told> {
    /// Words right before a year, in the languages whose letters are Latin; "in" can go with it.
    const BEFORE: [&str; 12] =
        ["in", "since", "by", "until", "around", "about", "en", "im", "em", "nel", "jahr", "jahre"];
    let text = sentence.trim().trim_end_matches(['.', '!']);
    if text.ends_with('?') {
        return None;
    }
    let words: Vec<&str> = text.split(' ').collect();
    let bare = |at: usize| words[at].trim_end_matches([',', '.', ';', ':', ')', '!']);
    let year_at = |at: usize| -> Option<i32> {
        let year: i32 = bare(at).parse().ok().filter(|_| bare(at).len() == 4)?;
        let before = words[at.checked_sub(1)?];
        let is_led = BEFORE.contains(&before.to_lowercase().as_str()) || MONTHS.contains(&before);
        let rest = words.get(at + 1).map(|next| format!(" {next}")).filter(|_| bare(at) == words[at]);
        let counts = rest.is_some_and(|rest| is_counted(&rest, "") && !is_joint(rest.trim()));
        (is_led && !counts && YEARS.contains(&(year as u32))).then_some(year)
    };
    let found: Vec<(usize, i32)> = (0..words.len()).filter_map(|at| Some((at, year_at(at)?))).collect();
    if found.len() > 1 {
        return match found[..] {
            [(_, first), (_, second)] if first < second => {
                Some(Told { year: first, label: format!("{first}–{second}"), event: text.to_owned() })
            }
            _ => None,
        };
    }
    if let Some((label, event)) = years(sentence) {
        let digits: String =
            label.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
        let is_before_christ = label.ends_with(" BC") || label.ends_with(" BCE");
        // "July 20" is a day of a year that is not told.
        let year: i32 = digits.parse().ok().filter(|year| *year >= 100 || is_before_christ)?;
        return Some(Told {
            year: if is_before_christ { -year } else { year },
            label: capitalize(&label),
            event,
        });
    }
    match found[..] {
        [(at, year)] => {
            let is_alone = words[at - 1].eq_ignore_ascii_case("in") && at > 1;
            let event = if is_alone { without(&words, at) } else { text.to_owned() };
            Some(Told { year, label: year.to_string(), event: capitalize(&event) })
        }
        _ => None,
    }
}

/// Words that may follow a year and count nothing.
fn is_joint(word: &str) -> bool {
    let word = word.trim_end_matches([',', '.']);
    matches!(
        word,
        "as" | "and"
            | "in"
            | "of"
            | "by"
            | "for"
            | "at"
            | "to"
            | "with"
            | "from"
            | "after"
            | "before"
            | "while"
            | "because"
            | "but"
            | "under"
            | "on"
            | "near"
            | "without"
            | "where"
            | "which"
            | "who"
            | "during"
            | "into"
            | "alone"
            | "again"
            | "together"
    )
}

/// Returns a sentence without the year at a word, and the "in" before it. The year's mark goes to the word before both.
fn without(words: &[&str], at: usize) -> String {
    let mark = words[at].trim_start_matches(|c: char| c.is_ascii_digit());
    let (before, after) = (words[..at - 1].join(" "), words[at + 1..].join(" "));
    let before = before.strip_suffix(',').filter(|_| mark.starts_with(',')).unwrap_or(&before);
    let joined = if after.is_empty() { before.to_owned() } else { format!("{before}{mark} {after}") };
    joined.replace(", ,", ",")
}

/// "In 1857 …", "In March 1857, …", "By 1900 …", "1857: …", "In the 1960s …", "Around 300 BC, …"
fn leading_year(text: &str) -> Option<(String, String)> {
    for opening in ["In ", "By ", "Around ", "About ", "Since ", "From ", "Until ", "On ", "During "] {
        let Some(behind) = text.strip_prefix(opening) else { continue };
        if opening == "On "
            && let Some((day, rest)) = day_at_start(behind)
        {
            let rest = rest.trim_start_matches([',', ' ']);
            let spans =
                ["and ", "or ", "to ", "through ", "until "].iter().any(|word| rest.starts_with(word));
            return (!spans).then(|| (day, rest.to_owned()));
        }
        let (at, behind) = month_before(behind);
        let behind_the =
            behind.strip_prefix("the ").or_else(|| behind.strip_prefix("about ")).unwrap_or(behind);
        let (year, rest) = year_at_start(behind_the)?;
        let rest = rest.trim_start_matches([',', ' ']);
        // "In 1857 and 1858 …", "From 1914 to 1918 …", "In 1990 dollars" count or span something else.
        let first = rest.split(' ').next().unwrap_or_default();
        if matches!(first, "and" | "or" | "to" | "through" | "until" | "dollars" | "people" | "of") {
            return None;
        }
        // "By" and "Since" are part of what is said.
        let said = match opening {
            "In " | "On " if at.is_empty() => year,
            "In " | "On " => format!("{at} {year}"),
            "Around " | "About " | "By " | "Since " | "From " | "Until " => {
                format!("{}{year}", opening.to_lowercase())
            }
            _ => return None,
        };
        return Some((said, rest.to_owned()));
    }
    let (year, rest) = year_at_start(text)?;
    let rest = rest
        .strip_prefix([':', '–', '—'])
        .or_else(|| rest.strip_prefix(" –"))
        .or_else(|| rest.strip_prefix(" —"))?;
    Some((year, rest.trim().to_owned()))
}

/// "The bridge opened in 1932"
fn trailing_year(text: &str) -> Option<(String, String)> {
    let joints = [(" in ", ""), (" around ", "around "), (" about ", "about "), (" on ", "")];
    joints.into_iter().find_map(|(joint, kept)| trailing_year_behind(text, joint, kept))
}

fn trailing_year_behind(text: &str, joint: &str, kept: &str) -> Option<(String, String)> {
    let (before, behind) = text.rsplit_once(joint)?;
    if joint == " on " {
        let (day, rest) = day_at_start(behind)?;
        return (rest.is_empty() && !before.contains([',', ';'])).then(|| (day, before.to_owned()));
    }
    let (month, behind) = month_before(behind);
    let (year, rest) = year_at_start(behind)?;
    let is_clause = !before.contains([',', ';']) && rest.is_empty();
    let said = if month.is_empty() { format!("{kept}{year}") } else { format!("{kept}{month} {year}") };
    is_clause.then(|| (said, before.to_owned()))
}

/// Returns `true` for a day alone: "June 17", "May 5, 1789", "3 October 2025".
pub(crate) fn is_day(text: &str) -> bool {
    day_at_start(text).is_some_and(|(_, rest)| rest.trim().is_empty())
}

/// Returns the day that a text begins with, with its year if that follows, and what is behind: "July 16, 1969, a rocket …",
/// "3 October 2025 …", "July 24 the capsule …".
fn day_at_start<'a>(text: &'a str) -> Option<(String, &'a str)> {
    let number = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let is_day =
        |digits: &str| digits.parse::<u32>().is_ok_and(|day| (1..=31).contains(&day)) && digits.len() <= 2;
    let (month, behind) = month_before(text);
    let (day, rest) = if month.is_empty() {
        let (digits, behind) = text.split_at(number(text));
        let behind = behind.strip_prefix(' ')?;
        let (month, rest) =
            MONTHS.into_iter().find_map(|month| Some((month, behind.strip_prefix(month)?)))?;
        if !is_day(digits) {
            return None;
        }
        (format!("{digits} {month}"), rest)
    } else {
        let (digits, rest) = behind.split_at(number(behind));
        if !is_day(digits) {
            return None;
        }
        (format!("{month} {digits}"), rest)
    };
    let behind_year = |text: &'a str| {
        let (digits, rest) = text.split_at(number(text));
        let is_year = digits.len() == 4 && digits.parse().is_ok_and(|year| YEARS.contains(&year));
        (is_year && !rest.starts_with(char::is_alphanumeric)).then_some(rest)
    };
    for joint in [", ", " ", ""] {
        let Some(behind) = rest.strip_prefix(joint) else { continue };
        if let Some(rest) = behind_year(behind) {
            return Some((text[..text.len() - rest.len()].to_owned(), rest));
        }
    }
    (rest.starts_with([' ', ',', ':']) || rest.is_empty()).then_some((day, rest))
}

/// Returns `true` for the name of a month, in English or German, and for its beginning, such as "Sept.".
pub(crate) fn is_month(word: &str) -> bool {
    let word = word.trim_end_matches('.');
    let is_short = word.len() >= SHORT_MONTH;
    MONTHS.iter().chain(&GERMAN_MONTHS).any(|month| *month == word || is_short && month.starts_with(word))
}

/// Returns the month that a text begins with, and what is behind it.
fn month_before(text: &str) -> (String, &str) {
    for month in MONTHS {
        if let Some(rest) = text.strip_prefix(month).and_then(|rest| rest.strip_prefix(' ')) {
            return (month.to_owned(), rest);
        }
    }
    (String::new(), text)
}

/// Returns the era that a text begins with, such as " BC", and what is behind it.
pub(crate) fn era_at_start(text: &str) -> Option<(&'static str, &str)> {
    [" CE", " BCE", " AD", " BC"].into_iter().find_map(|era| {
        let behind = text.strip_prefix(era)?;
        (!behind.starts_with(char::is_alphanumeric)).then_some((era, behind))
    })
}

/// Returns the year that a text begins with, with its era, and what is behind it.
fn year_at_start(text: &str) -> Option<(String, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    let value: u32 = number.parse().ok()?;
    if let Some((era, behind)) = era_at_start(rest) {
        return Some((format!("{number}{era}"), behind));
    }
    let (decade, rest) = match rest.strip_prefix('s') {
        Some(behind) => ("s", behind),
        None => ("", rest),
    };
    let ends = rest.is_empty() || rest.starts_with([' ', ',', ':']) && !rest.starts_with(" percent");
    (digits == 4 && YEARS.contains(&value) && ends && !is_counted(rest, decade))
        .then(|| (format!("{number}{decade}"), rest))
}

/// Returns `true` when the number counts what follows: "in 1200 houses". A year has a comma, a name, or a subject behind it.
fn is_counted(rest: &str, decade: &str) -> bool {
    let Some(next) = rest.strip_prefix(' ').filter(|_| decade.is_empty()) else { return false };
    let word = next.split(' ').next().unwrap_or_default();
    let subjects = [
        "the", "a", "an", "he", "she", "it", "they", "we", "his", "her", "its", "their", "one", "two",
        "three", "no", "most", "some", "many", "this", "that", "there", "only", "nearly", "almost", "about",
        "another", "each", "every", "when",
    ];
    word.starts_with(char::is_lowercase) && !subjects.contains(&word.trim_end_matches(','))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_year_within_a_sentence_is_taken_out() {
        for (sentence, expected) in [
            (
                "She was born in Warsaw in 1867 as the youngest of five.",
                Some(("1867", "She was born in Warsaw as the youngest of five")),
            ),
            (
                "Women could not study, so in 1891 she moved to Paris.",
                Some(("1891", "Women could not study, so she moved to Paris")),
            ),
            ("In 1895 she married Pierre Curie.", Some(("1895", "She married Pierre Curie"))),
            (
                "They found two elements in 1898: polonium and radium.",
                Some(("1898", "They found two elements: polonium and radium")),
            ),
            (
                "She was first in 1893 and second in 1894.",
                Some(("1893–1894", "She was first in 1893 and second in 1894")),
            ),
            ("Er starb im Jahr 1934 in Paris.", Some(("1934", "Er starb im Jahr 1934 in Paris"))),
            (
                "It has stood there since 1911 without a crack.",
                Some(("1911", "It has stood there since 1911 without a crack")),
            ),
            ("They lived in 1200 houses by the sea.", None),
            ("It cost 1999 dollars.", None),
            ("On July 20 two men flew down.", None),
            ("Was she born in 1867?", None),
            ("In 1990, in 1995 and in 2001 it burned.", None),
            ("", None),
        ] {
            let found = year_within(sentence);
            let found = found.as_ref().map(|told| (told.label.as_str(), told.event.as_str()));
            assert_eq!(found, expected, "{sentence}");
        }
    }

    #[test]
    fn years_are_told_from_counts() {
        for (sentence, expected) in [
            (
                "In 1857 Louis Pasteur showed that yeast is alive.",
                Some(("1857", "Louis Pasteur showed that yeast is alive")),
            ),
            (
                "In 1868 Charles Fleischmann sold the first pressed yeast in Cincinnati.",
                Some(("1868", "Charles Fleischmann sold the first pressed yeast in Cincinnati")),
            ),
            ("In 1961, the process was changed.", Some(("1961", "The process was changed"))),
            ("In 1961 the process was changed.", Some(("1961", "The process was changed"))),
            (
                "In March 1989, Tim Berners-Lee wrote a proposal.",
                Some(("March 1989", "Tim Berners-Lee wrote a proposal")),
            ),
            ("By 1900, half of the city had light.", Some(("by 1900", "Half of the city had light"))),
            (
                "Around 300 BC, Euclid wrote the Elements.",
                Some(("around 300 BC", "Euclid wrote the Elements")),
            ),
            ("In the 1960s, the price fell.", Some(("1960s", "The price fell"))),
            ("1969: Two men walk on the moon.", Some(("1969", "Two men walk on the moon"))),
            ("The bridge opened in 1932.", Some(("1932", "The bridge opened"))),
            ("The treaty was signed in June 1919.", Some(("June 1919", "The treaty was signed"))),
            ("In 44 BC Caesar was killed.", Some(("44 BC", "Caesar was killed"))),
            ("In 1200 houses the water was cut.", None),
            ("In 1914 and 1915 the harvest failed.", None),
            ("From 1914 to 1918 the war went on.", None),
            ("In 27 days the moon goes round.", None),
            ("In 2000 people lived there.", None),
            ("Was it in 1932?", None),
            ("It costs 1999 dollars.", None),
            ("In 1857.", None),
            ("In short, it works.", None),
            ("Because it rained in 1932, the dam broke, as it did in 1950.", None),
            ("In 1857", None),
            ("", None),
        ] {
            let found = years(sentence);
            let found = found.as_ref().map(|(year, rest)| (year.as_str(), rest.as_str()));
            assert_eq!(found, expected, "{sentence}");
        }
    }
}
