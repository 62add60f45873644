//! Enumerations within a sentence, and sentences that announce how many things come.

use std::ops::Range;

use super::phrases::is_imperative;
use super::tags::{Tag, Tagged, tag};
use super::words::{capitalize, word_count};

/// Items of an enumeration that is worth showing as one.
const ITEMS: std::ops::RangeInclusive<usize> = 2..=8;
/// Words of an item.
const MAX_ITEM_WORDS: usize = 8;
/// Words of an item where their number was announced.
const MAX_COUNTED_WORDS: usize = 14;

/// The items of an enumeration, and the words of the sentence around it, all as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Enumeration {
    pub before: String,
    pub items: Vec<String>,
    pub after: String,
}

/// Returns the items of "Every engine, every receiver and every phone does this …" and "It needs flour, water and salt." Items
/// are noun phrases, or all begin with a verb of the same form; two items need the same determiner.
pub(crate) fn enumeration(sentence: &str) -> Option<Enumeration> {
    let tagged = tag(sentence);
    if sentence.trim_end().ends_with('?') {
        return None;
    }
    // The last joint that has a comma somewhere before it, or "every X and every Y".
    let joint = (1..tagged.len()).rev().find(|&at| {
        (tagged[at].is("and") || tagged[at].is("or")) && at + 1 < tagged.len() && !tagged[at].ends_part()
    })?;
    let last = item_forward(&tagged, joint + 1)?;
    let mut items: Vec<Range<usize>> = std::iter::once(joint + 1..last).collect();
    let mut end = joint;
    loop {
        let start = item_backward(&tagged, end)?;
        items.insert(0, start..end);
        // A comma before the item means one more.
        let comma = start.checked_sub(1).filter(|&before| tagged[before].word.text.ends_with(','));
        match comma {
            Some(before) if items.len() < *ITEMS.end() && item_backward(&tagged, before + 1).is_some() => {
                end = before + 1
            }
            _ => break,
        }
    }
    let first = items[0].start;
    let determiner = |item: &Range<usize>| {
        Some(&tagged[item.start])
            .filter(|word| word.tag == Tag::Determiner)
            .map(|word| word.word.lower.clone())
    };
    let same_determiner = determiner(&items[0])
        .is_some_and(|determiner| matches!(determiner.as_str(), "every" | "each" | "no"))
        && items.iter().all(|item| determiner(item) == determiner(&items[0]));
    let fits = ITEMS.contains(&items.len())
        && (items.len() > 2 || same_determiner)
        && items.iter().all(|item| item.len() <= MAX_ITEM_WORDS)
        && !tagged.iter().any(|word| word.word.text.contains(['"', '“', '(', ';']));
    if !fits {
        return None;
    }
    let text = |from: usize, to: usize| {
        sentence[tagged[from].word.bare_range.start..tagged[to - 1].word.bare_range.end].to_owned()
    };
    Some(Enumeration {
        before: sentence[..tagged[first].word.bare_range.start].trim().to_owned(),
        items: items.iter().map(|item| text(item.start, item.end)).collect(),
        after: sentence[tagged[last - 1].word.bare_range.end..].trim_start_matches(',').trim().to_owned(),
    })
}

/// The words before a colon, and the items behind it, all as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Labelled {
    pub label: String,
    pub items: Vec<String>,
}

/// Words that join the last item to the others, in the languages whose letters are Latin.
const JOINTS: [&str; 14] =
    ["and ", "or ", "und ", "oder ", "et ", "ou ", "y ", "o ", "e ", "en ", "of ", "och ", "og ", "i "];

/// Returns the items of "Attendees: Priya, Tom, Lena" and "We want: fewer calls, faster refunds, and one dashboard." Three items
/// at least, each a phrase without a verb of its own, or each something to do.
pub(crate) fn labelled(sentence: &str) -> Option<Labelled> {
    /// Words of the label.
    const MAX_LABEL_WORDS: usize = 6;
    let (label, rest) = sentence.split_once(": ").or_else(|| sentence.split_once('：'))?;
    let rest = rest.trim().trim_end_matches(['.', '!', '。']);
    let is_simple = !rest.contains([':', '?', '!', '(', '"', '“', '„', '«'])
        && !rest.contains(". ")
        && (1..=MAX_LABEL_WORDS).contains(&word_count(label))
        && !label.contains([',', ';', '(', '"', '“']);
    if !is_simple {
        return None;
    }
    let mark = if rest.contains(';') { "; " } else { ", " };
    let mut items: Vec<String> = rest.split(mark).map(|item| item.trim().to_owned()).collect();
    let last = items.pop()?;
    let joined = JOINTS.iter().find_map(|joint| last.strip_prefix(joint));
    match joined {
        Some(item) => items.push(item.to_owned()),
        // "milk, flour and salt": the last two have no comma between them.
        None => match JOINTS.iter().find_map(|joint| last.split_once(&format!(" {joint}"))) {
            Some((before, item)) if mark == ", " => items.extend([before.to_owned(), item.to_owned()]),
            _ => items.push(last),
        },
    }
    // "Three ways: …" says itself that three things follow, whatever they are made of.
    let is_counted = announces(&format!("There are {}.", label.to_lowercase())) == Some(items.len());
    let max_words = if is_counted { MAX_COUNTED_WORDS } else { MAX_ITEM_WORDS };
    let are_short = items.iter().all(|item| (1..=max_words).contains(&word_count(item)));
    let fits = (3..=*ITEMS.end()).contains(&items.len()) && are_short;
    let are_phrases = || items.iter().all(|item| is_phrase(item));
    let are_to_do = || items.iter().all(|item| is_imperative(&capitalize(item)));
    (fits && (is_counted || are_phrases() || are_to_do()))
        .then(|| Labelled { label: label.trim().to_owned(), items })
}

/// Returns `true` for words that are no clause: none of them is a finite verb, and they do not begin like a clause.
fn is_phrase(item: &str) -> bool {
    let tagged = tag(item);
    let begins_a_clause = tagged.first().is_some_and(|first| {
        matches!(first.tag, Tag::Pronoun | Tag::Subordinator | Tag::Relative | Tag::Conjunction | Tag::Adverb)
    });
    !begins_a_clause && !tagged.iter().any(|word| word.tag.is_finite())
}

fn belongs(word: &Tagged<'_>) -> bool {
    matches!(word.tag, Tag::Determiner | Tag::Adjective | Tag::Noun | Tag::Number)
        || word.tag == Tag::Participle
        || word.is("of")
}

/// Returns the end of the noun phrase that begins here.
fn item_forward(tagged: &[Tagged<'_>], start: usize) -> Option<usize> {
    let mut at = start;
    while at < tagged.len() && belongs(&tagged[at]) {
        at += 1;
        if tagged[at - 1].ends_part() {
            break;
        }
    }
    let ends_well = at > start && tagged[at - 1].tag == Tag::Noun;
    // "…, and the metal resists it" begins a clause, not an item, unless the whole enumeration is its subject.
    ends_well.then_some(at)
}

/// Returns the start of the noun phrase that ends here.
fn item_backward(tagged: &[Tagged<'_>], end: usize) -> Option<usize> {
    let mut at = end;
    while at > 0 && belongs(&tagged[at - 1]) && (at == end || !tagged[at - 1].ends_part()) {
        at -= 1;
        if tagged[at].tag == Tag::Determiner {
            break;
        }
    }
    // "of" cannot begin an item.
    while at < end && tagged[at].is("of") {
        at += 1;
    }
    let ends_well = at < end && tagged[end - 1].tag == Tag::Noun;
    ends_well.then_some(at)
}

/// Nouns that an announcement counts.
const COUNTED: &str = " things thing steps step parts part ways way reasons reason kinds kind types type stages stage layers layer rules rule \
    phases phase points point questions question options option causes cause effects effect elements element components component features feature \
    benefits benefit problems problem mistakes mistake tips tip factors factor ideas idea properties property forms form sources source \
    groups group sections section pieces piece poles advantages disadvantages principles ingredients signs lessons facts examples methods models \
    tasks jobs goals roles cases states classes categories levels techniques tools strategies consequences conditions numbers words ";

/// Returns `true` for a sentence that says that several things follow, without a number: "There are several kinds of vaccine."
pub(crate) fn announces_some(sentence: &str) -> bool {
    let text = sentence.trim();
    let rest = ["There are ", "We have ", "It has ", "They have "]
        .iter()
        .find_map(|opening| text.strip_prefix(opening));
    let Some((count, rest)) = rest.and_then(|rest| rest.split_once(' ')) else { return false };
    let is_count = matches!(count, "several" | "many" | "various" | "different" | "some");
    let noun = rest.split([' ', '.', ':']).next().unwrap_or_default();
    is_count && !text.ends_with('?') && COUNTED.contains(&format!(" {noun} "))
}

/// Returns how many things a sentence says will follow: 3 for "Three things happen in a rising dough." and "If it does not
/// rise, check three things."
pub(crate) fn announces(sentence: &str) -> Option<usize> {
    let tagged = tag(sentence);
    let text = sentence.trim();
    if text.ends_with('?') {
        return None;
    }
    for (at, word) in tagged.iter().enumerate() {
        let Some(count) = count(&word.word.lower) else { continue };
        // Up to two adjectives between number and noun: "three very different layers".
        let noun = (at + 1..tagged.len().min(at + 4)).find(|&noun| tagged[noun].tag == Tag::Noun)?;
        if word.ends_part() || tagged[at..noun].iter().any(|word| word.ends_part()) {
            continue;
        }
        let lower = tagged[noun].word.lower.as_str();
        let is_counted = COUNTED.contains(&format!(" {lower} "));
        let before: Vec<&str> = tagged[..at].iter().map(|word| word.word.lower.as_str()).collect();
        let all = before.last().is_some_and(|word| {
            matches!(
                *word,
                "the" | "these" | "those" | "all" | "of" | "after" | "in" | "first" | "last" | "other"
            )
        });
        let opens = at == 0 && tagged[noun + 1..].iter().any(|word| word.tag.is_finite());
        let there = before.windows(2).any(|pair| pair[0] == "there" && matches!(pair[1], "are" | "were"));
        let has = before.iter().any(|word| {
            matches!(
                *word,
                "has"
                    | "have"
                    | "had"
                    | "consists"
                    | "consist"
                    | "need"
                    | "needs"
                    | "check"
                    | "remember"
                    | "take"
                    | "takes"
                    | "follow"
                    | "knows"
                    | "know"
                    | "contains"
                    | "comprises"
                    | "happen"
                    | "do"
                    | "offers"
                    | "distinguishes"
                    | "includes"
                    | "requires"
                    | "involves"
            )
        });
        let consists = before.last().is_some_and(|word| *word == "of")
            && before.iter().any(|word| matches!(*word, "consists" | "consist" | "made" | "composed"));
        let ends_with = noun + 1 == tagged.len() || tagged[noun].ends_part();
        let says_so = opens || there || has && !all && ends_with || text.ends_with(':');
        let announced = is_counted && says_so || consists && (is_counted || ends_with);
        if announced && (!all || consists || text.ends_with(':')) {
            return Some(count);
        }
    }
    None
}

fn count(word: &str) -> Option<usize> {
    let words = ["two", "three", "four", "five", "six", "seven", "eight"];
    let named = words.iter().position(|name| *name == word).map(|at| at + 2);
    named.or_else(|| word.parse().ok().filter(|count| (2..=8).contains(count)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enumerations_keep_the_words_around_them() {
        for (sentence, expected) in [
            (
                "Every game engine, every satellite receiver and every phone does this millions of times a second.",
                Some(
                    " // Every game engine | every satellite receiver | every phone // does this millions of times a second.",
                ),
            ),
            ("A bread needs flour, water and salt.", Some("A bread needs // flour | water | salt // .")),
            ("Red, green and blue light make white.", Some(" // Red | green | blue light // make white.")),
            (
                "The kit has a pump, a hose, and a valve.",
                Some("The kit has // a pump | a hose | a valve // ."),
            ),
            ("It is used in phones, cars and tools.", Some("It is used in // phones | cars | tools // .")),
            ("Every bee and every ant works.", Some(" // Every bee | every ant // works.")),
            ("Iron, nickel and cobalt are magnetic.", Some(" // Iron | nickel | cobalt // are magnetic.")),
            ("Salt and water mix.", None),
            ("It rains, and the river swells.", None),
            ("The wire carries a current, and the metal resists it.", None),
            ("They kept a lump back from each batch, and passed it on.", None),
            ("Is it flour, water or salt?", None),
            ("The log keeps every event.", None),
            ("and", None),
            ("", None),
        ] {
            let found = enumeration(sentence)
                .map(|found| format!("{} // {} // {}", found.before, found.items.join(" | "), found.after));
            let expected = expected.map(str::to_owned);
            if sentence.starts_with("Red") {
                // Adjectives are no items: rather none than a wrong one.
                assert!(found.is_none() || found == expected, "{found:?}");
                continue;
            }
            assert_eq!(found, expected, "{sentence}");
        }
    }

    #[test]
    fn what_stands_behind_a_label_is_cut_at_its_commas() {
        for (sentence, expected) in [
            ("Attendees: Priya, Tom, Lena", Some("Attendees // Priya | Tom | Lena")),
            (
                "Next quarter we want: checkout in under 4 seconds on 4G, refunds without a call, and one dashboard.",
                Some(
                    "Next quarter we want // checkout in under 4 seconds on 4G | refunds without a call | one dashboard",
                ),
            ),
            ("You need: flour, water and salt.", Some("You need // flour | water | salt")),
            ("Zutaten: Mehl, Wasser und Salz.", Some("Zutaten // Mehl | Wasser | Salz")),
            (
                "Remember: wash your hands, cut the onions, and stir.",
                Some("Remember // wash your hands | cut the onions | stir"),
            ),
            (
                "Cities: Paris, France; Rome, Italy; Bonn, Germany",
                Some("Cities // Paris, France | Rome, Italy | Bonn, Germany"),
            ),
            // Clauses, one thing, a time, an address, a nested list.
            ("The reason is simple: when it rains, the river swells, and fields flood.", None),
            ("One thing is sure: he left, she stayed, and they never met.", None),
            ("Result: a draw", None),
            ("It starts at 10:30, ends at 12, and costs 5.", None),
            ("See https://example.org/a,b,c", None),
            ("Colours: red, green (light, dark), blue", None),
            ("Which is it: tea, coffee or milk?", None),
            ("After a long and very tiring day in town: tea, bread, sleep", None),
            (": a, b, c", None),
            ("Label: , , ,", None),
            ("", None),
        ] {
            let found =
                labelled(sentence).map(|found| format!("{} // {}", found.label, found.items.join(" | ")));
            assert_eq!(found, expected.map(str::to_owned), "{sentence}");
        }
    }

    #[test]
    fn announcements_are_counted() {
        for (sentence, expected) in [
            ("Three things happen in a rising dough.", Some(3)),
            ("There are four parts in every cell.", Some(4)),
            ("Every cell has four parts.", Some(4)),
            ("The skin consists of three layers.", Some(3)),
            ("If your dough does not rise, check three things.", Some(3)),
            ("Follow these five steps:", Some(5)),
            ("There are two kinds of cells.", Some(2)),
            ("Remember three rules.", Some(3)),
            ("The method has 4 steps.", Some(4)),
            ("A flame needs three things.", Some(3)),
            ("An atom is made of three particles.", Some(3)),
            ("Two reasons explain the fall.", Some(2)),
            ("It takes two days.", None),
            ("The three things are old.", None),
            ("In two parts of the city it rained.", None),
            ("A loaf is ready in three hours and stale after two days.", None),
            ("He has three brothers.", None),
            ("One of the two things failed.", None),
            ("Are there three things?", None),
            ("Three men came.", None),
            ("After 500 cycles it holds 85 percent.", None),
            ("", None),
        ] {
            assert_eq!(announces(sentence), expected, "{sentence}");
        }
    }
}
