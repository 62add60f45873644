//! Noun phrases, the subject, and imperatives.
//!
//! A phrase is taken whole or not at all: with its determiner, its adjectives and nouns, and an "of" phrase behind it. Where an edge is
//! doubtful, because no verb was found in its clause, there is no phrase.

use std::ops::Range;

use super::tags::{Clause, Tag, Tagged, clauses, tag};

/// Words of a phrase at most.
const MAX_WORDS: usize = 9;

/// A noun phrase as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Phrase {
    pub text: String,
    /// Byte range in the sentence.
    pub range: Range<usize>,
    /// The noun that the phrase is about, in lower case: "net" of "a net of proteins".
    pub head: String,
}

/// Returns the noun phrases of a sentence in their order. They do not overlap, and pronouns are none.
pub(crate) fn noun_phrases(sentence: &str) -> Vec<Phrase> {
    let tagged = tag(sentence);
    phrases_of(sentence, &tagged)
}

/// Returns the noun phrases of a tagged sentence.
pub(crate) fn phrases_of(sentence: &str, tagged: &[Tagged<'_>]) -> Vec<Phrase> {
    let mut phrases = Vec::new();
    for clause in clauses(tagged) {
        let mut at = clause.words.start;
        while at < clause.words.end {
            let Some(found) = phrase_at(tagged, at, clause.words.end) else {
                at += 1;
                continue;
            };
            at = found.words.end;
            if is_certain(tagged, &clause, &found) {
                phrases.push(found.phrase(sentence, tagged));
            }
        }
    }
    phrases
}

/// Returns the subject of a sentence's main clause: the noun phrase before its verb. None for a pronoun, an imperative and a
/// question.
pub(crate) fn subject(sentence: &str) -> Option<Phrase> {
    let tagged = tag(sentence);
    subject_of(sentence, &tagged)
}

/// Returns the subject of a tagged sentence.
pub(crate) fn subject_of(sentence: &str, tagged: &[Tagged<'_>]) -> Option<Phrase> {
    if sentence.trim_end().ends_with('?') {
        return None;
    }
    let clause = clauses(tagged).into_iter().find(|clause| is_main(tagged, clause))?;
    let verb = clause.verb?;
    let mut at = skip_adverbial(tagged, &clause);
    while tagged.get(at).is_some_and(|word| matches!(word.tag, Tag::Adverb | Tag::Conjunction)) {
        at += 1;
    }
    let found = phrase_at(tagged, at, verb)?;
    // "The push that arrives is", "the drop in price was": what is between belongs to the subject, or is doubtful.
    let between = found.words.end..verb;
    let is_whole = tagged[between].iter().all(|word| word.tag == Tag::Adverb);
    is_whole.then(|| found.phrase(sentence, tagged))
}

/// Returns `true` for a sentence that tells its reader to do something.
pub(crate) fn is_imperative(sentence: &str) -> bool {
    let tagged = tag(sentence);
    if sentence.trim_end().ends_with('?') {
        return false;
    }
    let Some(first) = tagged.iter().position(|word| !matches!(word.tag, Tag::Adverb | Tag::Conjunction))
    else {
        return false;
    };
    // "Thank you to all" asks for nothing.
    if tagged[first].is("thank") {
        return false;
    }
    let orders = |word: &Tagged<'_>, next: Option<&Tagged<'_>>| {
        let negated = matches!(word.word.lower.as_str(), "don't" | "do")
            && next.is_some_and(|next| next.is("not") || word.is("don't") && next.forms.base);
        negated || word.tag == Tag::Verb && word.forms.base || word.is("be") && word.tag == Tag::Infinitive
    };
    if orders(&tagged[first], tagged.get(first + 1)) {
        return true;
    }
    // "If your dough does not rise, check three things."
    if tagged[first].tag != Tag::Subordinator
        && tagged[first].tag != Tag::Preposition
        && tagged[first].tag != Tag::To
    {
        return false;
    }
    let comma = tagged.iter().position(|word| word.word.text.ends_with(','));
    let Some(main) = comma.map(|comma| comma + 1).filter(|main| *main < tagged.len()) else { return false };
    orders(&tagged[main], tagged.get(main + 1))
}

/// Returns `true` for a clause that no word makes part of another, and that has a verb.
fn is_main(tagged: &[Tagged<'_>], clause: &Clause) -> bool {
    let first = &tagged[clause.words.start];
    clause.verb.is_some() && !matches!(first.tag, Tag::Subordinator | Tag::Relative)
}

/// Returns the word behind "In 1857" and "At 27 degrees", where no comma ends these.
fn skip_adverbial(tagged: &[Tagged<'_>], clause: &Clause) -> usize {
    let start = clause.words.start;
    let is_date = tagged[start].is("in") && tagged.get(start + 1).is_some_and(|word| word.tag == Tag::Number);
    if is_date { start + 2 } else { start }
}

struct Found {
    words: Range<usize>,
    head: usize,
    has_determiner: bool,
}

impl Found {
    fn phrase(&self, sentence: &str, tagged: &[Tagged<'_>]) -> Phrase {
        let range =
            tagged[self.words.start].word.bare_range.start..tagged[self.words.end - 1].word.bare_range.end;
        Phrase { text: sentence[range.clone()].to_owned(), range, head: tagged[self.head].word.lower.clone() }
    }
}

/// Returns the noun phrase that begins with a word.
fn phrase_at(tagged: &[Tagged<'_>], start: usize, end: usize) -> Option<Found> {
    let simple = simple_phrase(tagged, start, end)?;
    let mut words = simple.words.clone();
    // "of" phrases, at most two.
    for _ in 0..2 {
        let of = words.end;
        if tagged[of - 1].ends_part()
            || !tagged.get(of).is_some_and(|word| word.is("of") && !word.ends_part())
        {
            break;
        }
        // A phrase whose complement is a pronoun or a clause is no whole one.
        let complement = simple_phrase(tagged, of + 1, end)?;
        words.end = complement.words.end;
    }
    // "the distance between two points", "the border between France and Spain"
    let between = words.end;
    let open = |at: usize| tagged.get(at).filter(|_| at > 0 && !tagged[at - 1].ends_part());
    if open(between).is_some_and(|word| word.is("between")) {
        words.end = simple_phrase(tagged, between + 1, end)?.words.end;
        if open(words.end).is_some_and(|word| word.is("and")) {
            words.end = simple_phrase(tagged, words.end + 1, end)?.words.end;
        }
    }
    (words.len() <= MAX_WORDS).then_some(Found { words, ..simple })
}

/// Determiner, adjectives, nouns; the last is a noun.
fn simple_phrase(tagged: &[Tagged<'_>], start: usize, end: usize) -> Option<Found> {
    let mut at = start;
    let mut head = None;
    let (mut has_determiner, mut opened) = (false, false);
    while at < end.min(tagged.len()) {
        let word = &tagged[at];
        if at > start && word.word.is_opened {
            break;
        }
        opened |= word.word.is_opened;
        match word.tag {
            Tag::Determiner if head.is_none() && (at == start || has_determiner && at == start + 1) => {
                has_determiner = true;
            }
            Tag::Number if head.is_none() => {}
            // "the largest city", "a much larger one"
            Tag::Adjective if head.is_none() => {}
            Tag::Adverb
                if head.is_none()
                    && at + 1 < end
                    && !word.ends_part()
                    && matches!(tagged[at + 1].tag, Tag::Adjective | Tag::Adverb)
                    && has_determiner => {}
            Tag::Participle
                if head.is_none()
                    && at + 1 < end
                    && has_determiner
                    && !word.ends_part()
                    && matches!(tagged[at + 1].tag, Tag::Noun | Tag::Adjective) => {}
            Tag::Noun => head = Some(at),
            // "the right", "the poor": an adjective that ends a phrase stands for a noun; that is doubtful.
            _ => break,
        }
        at += 1;
        if word.ends_part() {
            break;
        }
    }
    let head = head?;
    // What is behind the last noun is not part of the phrase, and before it nothing may be left.
    let is_quoted =
        opened || tagged[start..=head].iter().any(|word| word.word.text.contains(['"', '“', '”', '(', ')']));
    (head + 1 == at && !is_quoted).then_some(Found { words: start..at, head, has_determiner })
}

/// Returns `true` when both edges of a phrase are sure.
fn is_certain(tagged: &[Tagged<'_>], clause: &Clause, found: &Found) -> bool {
    let words = &found.words;
    let before = words
        .start
        .checked_sub(1)
        .map(|before| &tagged[before])
        .filter(|word| word.clause == tagged[words.start].clause);
    let next = tagged.get(words.end).filter(|_| !tagged[words.end - 1].ends_part());
    // A pronoun behind a noun begins a relative clause without a word: "the book he wrote".
    let loses_clause = next.is_some_and(|next| {
        matches!(next.tag, Tag::Pronoun | Tag::Determiner | Tag::Relative | Tag::Participle)
            && !next.is("there")
            && !next.is("here")
    });
    let is_broken = before.is_some_and(|before| {
        matches!(before.tag, Tag::Noun | Tag::Adjective | Tag::Determiner | Tag::Number)
            && !before.ends_part()
            && !(before.tag == Tag::Number && found.has_determiner)
    });
    let is_possessive =
        tagged[words.end - 1].word.lower.ends_with("'s") || tagged[words.end - 1].word.lower.ends_with('\'');
    let has_verb = clause.verb.is_some();
    let looks_like_verb = |word: &Tagged<'_>| {
        let lower = &word.word.lower;
        !word.forms.is_noun
            && !word.word.text.starts_with(char::is_uppercase)
            && (lower.ends_with('s') || lower.ends_with("ed"))
    };
    let last = &tagged[words.end - 1];
    // Without a verb in the clause, the last noun may be it.
    let may_end_with_verb =
        !has_verb && words.len() > 1 && looks_like_verb(last) && clause.words.len() > words.len() + 1;
    // Without a verb and a determiner, a phrase is sure behind a preposition, or as a short title.
    let is_title = clause.words.len() == words.len() && words.len() <= 3;
    let is_behind_preposition = before.is_some_and(|before| before.tag == Tag::Preposition);
    let is_fragment_without_verb = !has_verb && !found.has_determiner && !is_behind_preposition && !is_title;
    !(loses_clause || is_broken || is_possessive || may_end_with_verb || is_fragment_without_verb)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(sentence: &str) -> String {
        noun_phrases(sentence).iter().map(|phrase| phrase.text.as_str()).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn noun_phrases_are_whole() {
        for (sentence, expected) in [
            ("Three things happen in a rising dough.", "Three things | a rising dough"),
            ("Gluten, a net of proteins, holds the gas in.", "Gluten | a net of proteins | the gas"),
            (
                "A gram of fresh yeast holds about 10 billion cells.",
                "A gram of fresh yeast | 10 billion cells",
            ),
            ("Keep the dough warm.", "the dough"),
            ("The price of oil rises when demand grows.", "The price of oil | demand"),
            (
                "The square on the longest side is the sum of the other two squares.",
                "The square | the longest side | the sum of the other two squares",
            ),
            ("It reflects green light.", "green light"),
            ("Nobody knows why it does.", ""),
            (
                "In 1961 the Chorleywood process cut the rising time to minutes.",
                "the Chorleywood process | the rising time | minutes",
            ),
            ("Plants turn light into sugar.", "Plants | light | sugar"),
            ("The book he wrote was lost.", ""),
            ("A loaf with baker's yeast is ready in three hours.", "A loaf | baker's yeast | three hours"),
            ("Bacteria make acids, which give the bread its taste.", "Bacteria | acids"),
            ("The most fundamentally satisfying of all foods is bread.", "all foods | bread"),
            ("You can prove it with a rope.", "a rope"),
            (
                "Every cell stores a copy of the whole plan of the body.",
                "Every cell | a copy of the whole plan of the body",
            ),
            ("Inflation erodes the value of savings.", "Inflation | the value of savings"),
            ("The function returns an error when the file is missing.", "The function | an error | the file"),
            (
                "The formula gives the distance between two points.",
                "The formula | the distance between two points",
            ),
            ("The border between France and Spain is old.", "The border between France and Spain"),
            ("Napoleon crossed the Alps in May 1800.", "Napoleon | the Alps | May"),
            ("Light travels fast.", ""),
            ("Bäume wachsen im Wald.", ""),
            ("", ""),
        ] {
            assert_eq!(found(sentence), expected, "{sentence}");
        }
    }

    #[test]
    fn the_subject_is_what_the_verb_is_about() {
        for (sentence, expected) in [
            ("A catalyst is a substance that speeds up a reaction.", Some("A catalyst")),
            ("In 1857 Louis Pasteur showed that yeast is alive.", Some("Louis Pasteur")),
            ("Sourdough is slower than baker's yeast, but it keeps longer.", Some("Sourdough")),
            ("The temperature of the water slowly rises.", Some("The temperature of the water")),
            ("When it rains, the river swells.", Some("the river")),
            ("It rains.", None),
            ("Keep the dough warm.", None),
            ("What is a catalyst?", None),
            ("If your dough does not rise, check three things.", None),
        ] {
            assert_eq!(subject(sentence).map(|phrase| phrase.text).as_deref(), expected, "{sentence}");
        }
        assert_eq!(subject("The temperature of the water rises.").unwrap().head, "temperature");
    }

    #[test]
    fn imperatives_are_told_from_statements() {
        for sentence in [
            "Use fresh yeast.",
            "Keep the dough warm.",
            "Give it time.",
            "Check the pressure once a month.",
            "If your dough does not rise, check three things.",
            "Then add the eggs.",
            "Do not open the oven.",
            "Don't shake the bottle.",
            "Slowly pour the milk into the bowl.",
            "Never mix bleach with ammonia.",
            "Be careful with acids.",
            "Store it in a dark place.",
            "To charge it, connect the cable.",
            "Set the timer to ten minutes.",
        ] {
            assert!(is_imperative(sentence), "{sentence}");
        }
        for sentence in [
            "Yeast eats sugar.",
            "Light travels fast.",
            "Work is force times distance.",
            "Use of water grows every year.",
            "Heat above 55 degrees kills them.",
            "Plants turn light into sugar.",
            "Do you know it?",
            "Charge flows through the wire.",
            "The baker folds it.",
            "Finally the loaf goes into an oven.",
            "If it rains, the river swells.",
            "Demand grew by ten percent.",
            "Water boils at 100 degrees.",
            "Most people like bread.",
            "Steam drives the wheel.",
            "",
        ] {
            assert!(!is_imperative(sentence), "{sentence}");
        }
    }
}
