//! A title for a script that gives itself none: what its opening is about, in the script's own words.
//!
//! In this order: a question that it opens with, what its first sentence defines, the subject of that sentence if the
//! text goes on about it, a short first sentence, the phrase with the most frequent noun. There may be none.

use reel_scene::RichText;

use crate::language::phrases::{Phrase, phrases_of, subject_of};
use crate::language::relations::is_statement;
use crate::language::sentences;
use crate::language::tags::{Tag, Tagged, tag};
use crate::language::vocabulary::{Class, class};
use crate::language::words::{capitalize, word_count};
use crate::show::headings::{Counts, is_telling};

/// Words of a title.
pub(crate) const MAX_WORDS: usize = 8;
/// Words of a first sentence that is a title.
const MAX_SENTENCE_WORDS: usize = 6;
/// Sentences in which phrases are looked for.
const SEARCHED_SENTENCES: usize = 8;
/// Characters whose words are counted.
const COUNTED_CHARS: usize = 8000;

/// Returns a title made of a text's own words.
pub(crate) fn derive(text: &str) -> Option<String> {
    let end = text.char_indices().nth(COUNTED_CHARS).map_or(text.len(), |(offset, _)| offset);
    let text = &text[..end];
    let pieces = sentences::split(&RichText::plain(text));
    let opening: Vec<String> =
        pieces.iter().take(SEARCHED_SENTENCES).map(|piece| piece.text.to_plain()).collect();
    let first = opening.first()?;
    if first.ends_with('?') && word_count(first) <= MAX_WORDS {
        return Some(capitalize(first));
    }
    let counts = Counts::new(text);
    let tagged: Vec<Vec<Tagged<'_>>> = opening.iter().map(|sentence| tag(sentence)).collect();
    let subject = subject_of(first, &tagged[0]).filter(is_telling);
    if let Some(subject) =
        subject.filter(|subject| defines(&tagged[0], subject) || counts.of(&subject.head) > 1)
    {
        return Some(name(&subject, &counts));
    }
    if let Some(name) = full_name(first) {
        return Some(name);
    }
    let bare = first.trim_end_matches(['.', '!']);
    let opens_well = tagged[0]
        .first()
        .is_some_and(|word| matches!(word.tag, Tag::Noun | Tag::Determiner | Tag::Adjective));
    let is_unbroken = !bare.contains([',', ';', ':', '"', '“', '(']);
    if opening.len() > 1
        && word_count(bare) <= MAX_SENTENCE_WORDS
        && opens_well
        && is_unbroken
        && is_statement(bare)
    {
        return Some(capitalize(bare));
    }
    let phrases = opening.iter().zip(&tagged).flat_map(|(sentence, tagged)| phrases_of(sentence, tagged));
    let rated = phrases
        .filter(|phrase| is_telling(phrase) && !is_bare_word(phrase))
        .map(|phrase| (counts.of(&phrase.head), phrase))
        .filter(|(count, _)| *count > 1);
    // The first of equals.
    let best = rated.reduce(|best, other| if other.0 > best.0 { other } else { best });
    best.map(|(_, phrase)| name(&phrase, &counts))
}

/// Returns the name that a sentence about somebody begins with: "Margarete Vossberg, who taught …, died on Tuesday."
fn full_name(sentence: &str) -> Option<String> {
    const BEHIND: [&str; 9] = ["who", "whose", "was", "is", "has", "had", "died", "became", "won"];
    let is_capital = |word: &str| word.starts_with(char::is_uppercase);
    let words: Vec<&str> = sentence.split(' ').collect();
    let comma = words.iter().position(|word| word.ends_with(','));
    let lower = words.iter().position(|word| !is_capital(word))?;
    let end = comma.map_or(lower, |comma| lower.min(comma + 1));
    let name = words[..end].join(" ");
    let name = name.trim_end_matches(',');
    let is_name = (2..=4).contains(&end)
        && class(&words[0].to_lowercase()) == Class::Content
        && name.chars().all(|c| c.is_alphabetic() || matches!(c, ' ' | '-' | '.' | '\'' | '’'));
    (is_name && words.get(end).is_some_and(|word| BEHIND.contains(word))).then(|| name.to_owned())
}

/// One small word, which may well be a verb: "care".
fn is_bare_word(phrase: &Phrase) -> bool {
    phrase.text.starts_with(char::is_lowercase)
        && word_count(&phrase.text) == 1
        && !phrase.text.ends_with('s')
}

/// Returns `true` when a form of "be" and a noun follow the subject: "A catalyst is a substance …".
fn defines(tagged: &[Tagged<'_>], subject: &Phrase) -> bool {
    let verb = tagged.iter().position(|word| word.word.bare_range.start >= subject.range.end);
    let behind = |offset: usize| verb.and_then(|verb| tagged.get(verb + offset));
    behind(0).is_some_and(|word| matches!(word.word.lower.as_str(), "is" | "are"))
        && behind(1).is_some_and(|word| {
            matches!(word.tag, Tag::Determiner | Tag::Pronoun | Tag::Number | Tag::Adjective | Tag::Noun)
        })
}

/// Returns a phrase as a title: "A catalyst" is "Catalysts" where the text has that word.
fn name(phrase: &Phrase, counts: &Counts) -> String {
    let text = phrase.text.as_str();
    let bare = ["A ", "An ", "a ", "an "].iter().find_map(|article| text.strip_prefix(article));
    let plural = format!("{}s", phrase.head);
    match bare {
        Some(bare) if bare.to_lowercase() == phrase.head && counts.has_word(&plural) => capitalize(&plural),
        _ => capitalize(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_what_the_opening_is_about() {
        for (text, expected) in [
            (
                "A catalyst is a substance that speeds up a reaction. Catalysts are not used up.",
                Some("Catalysts"),
            ),
            ("A catalyst is a substance that speeds up a reaction. It is not used up.", Some("A catalyst")),
            (
                "The Pythagorean theorem is one of the oldest results in mathematics. It says much.",
                Some("The Pythagorean theorem"),
            ),
            (
                "What is a neutron star? It is what a large star leaves behind.",
                Some("What is a neutron star?"),
            ),
            ("Photosynthesis turns light into sugar. Plants live by photosynthesis.", Some("Photosynthesis")),
            ("Rain falls from clouds. Nobody knows it better than sailors.", Some("Rain falls from clouds")),
            (
                "In the year of the flood, the old city lost its bridge. The bridge was of wood. A new bridge came.",
                Some("The bridge"),
            ),
            (
                "Margarete Vossberg, who taught three generations of children in Oldenhaven to swim, died on Tuesday.",
                Some("Margarete Vossberg"),
            ),
            (
                "I quit my job 3 years ago to build a bakery. They don't care about ovens. They care about bread.",
                None,
            ),
            ("Go.", None),
            ("", None),
            ("Die Katze schläft gern auf dem Sofa. Sie mag Fisch.", None),
        ] {
            let found = derive(text);
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }
}
