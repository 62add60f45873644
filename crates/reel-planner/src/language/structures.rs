//! Sentences that tell a structure: stages of a funnel, divisions, levels of a pyramid, and rankings.

use super::tags::tag;
use super::vocabulary::is_anaphor;
use super::words::{capitalize, first_word, without_article, word_count};

/// Words of a stage, a part, a level.
const MAX_NAME_WORDS: usize = 6;

/// Returns the stages of "Of 1,000 visitors, 300 sign up, 90 pay, and 12 stay.": at least three, each with a smaller number.
pub(crate) fn stages(sentence: &str) -> Option<Vec<String>> {
    let text = sentence.trim();
    let rest = ["Of ", "Out of "].iter().find_map(|opening| text.strip_prefix(opening))?;
    let rest = ["every ", "the ", "all "].iter().find_map(|word| rest.strip_prefix(word)).unwrap_or(rest);
    let rest = rest.trim_end_matches(['.', '!']);
    let parts: Vec<&str> = rest.split(", ").flat_map(divided_before_number).collect();
    let stages: Vec<String> = parts.iter().map(|part| capitalize(part.trim())).collect();
    falls(&stages).then_some(stages)
}

/// Divides "300 sign up and 12 stay", and takes the "and" away that begins the last part.
fn divided_before_number(part: &str) -> Vec<&str> {
    let part = part.strip_prefix("and ").unwrap_or(part);
    match part.split_once(" and ") {
        Some((first, second)) if leading_number(second).is_some() => vec![first, second],
        _ => vec![part],
    }
}

/// Returns `true` for at least three short texts that begin with numbers of one kind, each smaller than the one before.
pub(crate) fn falls(texts: &[String]) -> bool {
    let numbers: Option<Vec<(f64, bool)>> = texts.iter().map(|text| leading_number(text)).collect();
    let Some(numbers) = numbers else { return false };
    let is_short = texts.iter().all(|text| (2..=MAX_NAME_WORDS + 1).contains(&word_count(text)));
    let are_alike = numbers.windows(2).all(|pair| pair[0].1 == pair[1].1 && pair[0].0 > pair[1].0);
    texts.len() >= 3 && is_short && are_alike
}

/// Returns the number that a text begins with, and whether it is a percentage.
fn leading_number(text: &str) -> Option<(f64, bool)> {
    let lower = text.trim().to_lowercase();
    let rest = ["only ", "just ", "about ", "some ", "around "]
        .iter()
        .find_map(|word| lower.strip_prefix(word))
        .unwrap_or(&lower);
    let end = rest.find(|c: char| !(c.is_ascii_digit() || matches!(c, ',' | '.'))).unwrap_or(rest.len());
    let (digits, behind) = rest.split_at(end);
    let value: f64 = digits.replace(',', "").parse().ok()?;
    let behind = behind.trim_start();
    let is_percentage = behind.starts_with('%') || behind.starts_with("percent");
    (is_percentage || behind.starts_with(char::is_alphabetic)).then_some((value, is_percentage))
}

/// A whole, and its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Division {
    pub whole: String,
    pub parts: Vec<String>,
}

/// Returns the parts of "Animals are divided into vertebrates and invertebrates."
pub(crate) fn division(sentence: &str) -> Option<Division> {
    const VERBS: [&str; 17] = [
        " is divided into ",
        " are divided into ",
        " is split into ",
        " are split into ",
        " divides into ",
        " divide into ",
        " splits into ",
        " split into ",
        " branches into ",
        " branch into ",
        " falls into ",
        " fall into ",
        " consists of ",
        " consist of ",
        " comprises ",
        " comprise ",
        " is made up of ",
    ];
    /// Parts at most: more are a list.
    const MAX_PARTS: usize = 5;
    let text = sentence.trim().trim_end_matches(['.', '!']);
    if text.ends_with('?') {
        return None;
    }
    let (whole, parts) = VERBS.iter().find_map(|verb| text.split_once(verb))?;
    // "two groups: vertebrates and invertebrates"
    let parts = parts.rsplit_once(": ").map_or(parts, |(_, parts)| parts);
    let parts = listed(parts);
    let is_name = |name: &&str| {
        (1..=MAX_NAME_WORDS).contains(&word_count(name))
            && !name.contains([',', ';', '(', '"', '“'])
            && !name.split(' ').any(|word| matches!(word, "that" | "which" | "who" | "where" | "with"))
            && !tag(name).iter().any(|word| word.tag.is_finite())
    };
    let is_whole = is_name(&whole) && !is_anaphor(&first_word(whole));
    let fit = (2..=MAX_PARTS).contains(&parts.len()) && parts.iter().all(is_name);
    (is_whole && fit).then(|| Division {
        whole: without_article(whole),
        parts: parts.into_iter().map(without_article).collect(),
    })
}

/// The place of a level among the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Bottom,
    Above,
    Top,
}

/// A level of a pyramid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Level {
    pub place: Place,
    pub name: String,
    /// A clause about it; may be empty.
    pub told: String,
}

/// Returns the level of "At the bottom are plants, which live on light.", "Above them come …", "At the top is …".
pub(crate) fn level(sentence: &str) -> Option<Level> {
    const OPENINGS: [(&str, Place); 15] = [
        ("At the bottom", Place::Bottom),
        ("At the base", Place::Bottom),
        ("At the foot", Place::Bottom),
        ("Above them", Place::Above),
        ("Above these", Place::Above),
        ("Above it", Place::Above),
        ("Above that", Place::Above),
        ("Above this", Place::Above),
        ("On top of them", Place::Above),
        ("On top of that", Place::Above),
        ("On the next level", Place::Above),
        ("One level higher", Place::Above),
        ("At the top", Place::Top),
        ("At the very top", Place::Top),
        ("At the tip", Place::Top),
    ];
    const VERBS: [&str; 11] =
        ["are", "is", "stand", "stands", "come", "comes", "sit", "sits", "lie", "lies", "were"];
    /// Words between the opening and the verb: "of the pyramid".
    const MAX_WORDS_BETWEEN: usize = 5;
    let text = sentence.trim().trim_end_matches(['.', '!']);
    let (rest, place) =
        OPENINGS.iter().find_map(|(opening, place)| Some((text.strip_prefix(opening)?, *place)))?;
    let verb = rest.split(' ').take(MAX_WORDS_BETWEEN + 2).find(|word| VERBS.contains(word))?;
    let (between, behind) = rest.split_once(&format!(" {verb} "))?;
    let is_place = between.is_empty() || between.starts_with(" of ");
    let has_subject = between.split(' ').any(|word| matches!(word, "it" | "they" | "there" | "we" | "you"));
    if !is_place || has_subject {
        return None;
    }
    let (name, clause) = behind.split_once(", ").unwrap_or((behind, ""));
    let told = ["which ", "who "].iter().find_map(|word| clause.strip_prefix(word)).unwrap_or_default();
    let is_whole = clause.is_empty() || !told.is_empty();
    let is_name = (1..=MAX_NAME_WORDS).contains(&word_count(name))
        && !name.contains([';', ':', '('])
        && !tag(name).iter().any(|word| word.tag.is_finite());
    (is_whole && is_name && word_count(told) <= 2 * MAX_NAME_WORDS).then(|| Level {
        place,
        name: without_article(name),
        told: capitalize(told),
    })
}

/// Ranked things, and the phrase that names the ranking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ranks {
    pub of: String,
    pub names: Vec<String>,
}

/// Returns the ranks of "The three largest producers are Brazil, Vietnam, and Colombia."
pub(crate) fn ranks(sentence: &str) -> Option<Ranks> {
    let text = sentence.trim().trim_end_matches(['.', '!']);
    let (of, names) = [" are ", " were "].iter().find_map(|verb| text.split_once(verb))?;
    let names = listed(names);
    // A name, or "the Nile".
    let is_name = |name: &&str| {
        (1..=MAX_NAME_WORDS).contains(&word_count(name))
            && !name.contains([';', ':', '(', '"', '“'])
            && (name.starts_with(char::is_uppercase) || name.starts_with("the "))
    };
    let fits = (3..=8).contains(&names.len()) && names.iter().all(is_name);
    let is_short = (2..=8).contains(&word_count(of));
    (fits && is_short && of.starts_with("The ") && is_ranking(of))
        .then(|| Ranks { of: of.to_owned(), names: names.into_iter().map(capitalize).collect() })
}

/// Divides "a, b, and c".
fn listed(text: &str) -> Vec<&str> {
    text.split(", ")
        .map(|part| part.strip_prefix("and ").unwrap_or(part))
        .flat_map(|part| part.split(" and "))
        .map(str::trim)
        .collect()
}

/// Returns `true` for texts that announce a ranking: "the five largest lakes", "most spoken languages".
pub(crate) fn is_ranking(text: &str) -> bool {
    const SUPERLATIVES: [&str; 24] = [
        "largest",
        "biggest",
        "tallest",
        "highest",
        "longest",
        "deepest",
        "fastest",
        "richest",
        "oldest",
        "heaviest",
        "hottest",
        "coldest",
        "busiest",
        "smallest",
        "cheapest",
        "strongest",
        "brightest",
        "widest",
        "loudest",
        "slowest",
        "shortest",
        "poorest",
        "ranking",
        "ranked",
    ];
    let lower = text.to_lowercase();
    let words: Vec<&str> =
        lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let is_top = words.windows(2).any(|pair| {
        pair[0] == "top" && (pair[1].bytes().all(|c| c.is_ascii_digit()) || NUMBERS.contains(&pair[1]))
    });
    let is_most = words.windows(2).any(|pair| pair[0] == "most" && pair[1] != "of");
    is_top || is_most || words.iter().any(|word| SUPERLATIVES.contains(word))
}

const NUMBERS: [&str; 8] = ["three", "four", "five", "six", "seven", "eight", "nine", "ten"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_let_fewer_through() {
        for (sentence, expected) in [
            (
                "Of 1,000 visitors, 300 sign up, 90 pay, and 12 stay for a year.",
                Some("1,000 visitors|300 sign up|90 pay|12 stay for a year"),
            ),
            ("Out of every 100 eggs, 40 hatch and only 2 grow up.", Some("100 eggs|40 hatch|Only 2 grow up")),
            ("Of 100 patients, 60 % recovered and 12 died.", None),
            ("Of 10 drivers, 3 were tired.", None),
            ("Of 10 drivers, 3 were tired, 5 were not, and 2 slept.", None),
            ("Of course, 3 of them came, 2 stayed, and 1 left.", None),
            ("Of all things, this was the worst.", None),
            ("Of 5, 4, 3.", None),
            ("Of ", None),
            ("", None),
        ] {
            assert_eq!(stages(sentence).map(|found| found.join("|")).as_deref(), expected, "{sentence}");
        }
    }

    #[test]
    fn divisions_have_a_whole_and_parts() {
        for (sentence, expected) in [
            (
                "Animals are divided into vertebrates and invertebrates.",
                Some("Animals: Vertebrates|Invertebrates"),
            ),
            (
                "The government consists of three branches: the legislature, the executive, and the courts.",
                Some("Government: Legislature|Executive|Courts"),
            ),
            (
                "The nervous system splits into a central part and a peripheral part.",
                Some("Nervous system: Central part|Peripheral part"),
            ),
            ("It is divided into two parts: a head and a tail.", None),
            ("The crowd split into groups.", None),
            ("The river splits into arms that dry out in summer and a canal.", None),
            ("The day is divided into what we plan and what happens.", None),
            ("Is water split into hydrogen and oxygen?", None),
            ("", None),
        ] {
            let found = division(sentence).map(|found| format!("{}: {}", found.whole, found.parts.join("|")));
            assert_eq!(found.as_deref(), expected, "{sentence}");
        }
    }

    #[test]
    fn levels_say_where_they_are() {
        use Place::{Above, Bottom, Top};
        for (sentence, expected) in [
            (
                "At the bottom of the pyramid are plants, which live on light.",
                Some((Bottom, "Plants", "Live on light")),
            ),
            ("Above them come the grazers.", Some((Above, "Grazers", ""))),
            ("At the top is the eagle.", Some((Top, "Eagle", ""))),
            ("At the top, the air is thin.", None),
            ("At the bottom of the sea it is dark.", None),
            ("At the bottom are plants, and above them grazers.", None),
            ("At the base is what nobody sees.", None),
            ("At the top", None),
            ("", None),
        ] {
            let found = level(sentence);
            let found = found.as_ref().map(|found| (found.place, found.name.as_str(), found.told.as_str()));
            assert_eq!(found, expected, "{sentence}");
        }
    }

    #[test]
    fn ranks_need_a_superlative() {
        for (sentence, expected) in [
            (
                "The three largest producers of coffee are Brazil, Vietnam, and Colombia.",
                Some("The three largest producers of coffee: Brazil|Vietnam|Colombia"),
            ),
            (
                "The most spoken languages are English, Mandarin, Hindi, and Spanish.",
                Some("The most spoken languages: English|Mandarin|Hindi|Spanish"),
            ),
            ("The main producers are Brazil, Vietnam, and Colombia.", None),
            ("The largest lakes are in Canada, Russia, and Africa.", None),
            ("Most of them are cats, dogs, and birds.", None),
            ("", None),
        ] {
            let found = ranks(sentence).map(|found| format!("{}: {}", found.of, found.names.join("|")));
            assert_eq!(found.as_deref(), expected, "{sentence}");
        }
        for (text, expected) in [
            ("Top 5 islands", true),
            ("The top three errors", true),
            ("On top of the hill", false),
            ("The tallest towers", true),
            ("Interest and rest", false),
        ] {
            assert_eq!(is_ranking(text), expected, "{text}");
        }
    }
}
