//! Sentences that set two things against each other, and sentences that say what causes what.

use super::phrases::noun_phrases;
use super::tags::{Tag, Tagged, clauses, tag};
use super::words::capitalize;

/// Words of a side at most: four short lines.
const MAX_WORDS: usize = 14;

/// How the two sides of a contrast are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContrastKind {
    /// "X, but Y": both hold.
    But,
    /// "not X, but Y", "X, not Y": only the right one holds.
    Not,
    /// "While X, Y", "X, whereas Y"
    While,
}

/// Two sides that a sentence sets against each other, as written, with capitals and without marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contrast {
    pub left: String,
    pub right: String,
    pub kind: ContrastKind,
}

/// Returns the two sides of "X, but Y", "X; Y" with opposite words, "Not X, but Y", "While X, Y". Both are whole statements, except
/// behind "not", where both are of the same form.
pub(crate) fn contrast(sentence: &str) -> Option<Contrast> {
    let text = stem_of(sentence)?;
    let both = |left: &str, right: &str, kind| {
        let fits = is_statement(left) && is_statement(right);
        fits.then(|| Contrast { left: side(left), right: side(right), kind })
    };
    // "It is not the heat but the water": the words in front belong to both.
    if let Some((front, left, right)) = not_but(text) {
        let kind = ContrastKind::Not;
        let fits = front.len() < text.len() && short(left) && short(right);
        return fits.then(|| Contrast { left: side(left), right: side(right), kind });
    }
    for opening in ["While ", "Whereas ", "Although ", "Though "] {
        if let Some(rest) = text.strip_prefix(opening) {
            let (left, right) = rest.split_once(", ")?;
            return both(left, right, ContrastKind::While);
        }
    }
    if let Some((left, right)) = [", whereas ", ", while "].iter().find_map(|joint| text.split_once(joint)) {
        return both(left, right, ContrastKind::While);
    }
    for joint in [", but ", "; but ", ", yet ", "; "] {
        let Some((left, right)) = text.split_once(joint) else { continue };
        if right.contains(", but ") || joint == "; " && !is_opposed(left, right) {
            return None;
        }
        return both(left, right, ContrastKind::But);
    }
    None
}

/// "not X but Y", "not X, but Y"; returns what is in front, and both sides.
fn not_but(text: &str) -> Option<(&str, &str, &str)> {
    let (front, rest) = match text.strip_prefix("Not ") {
        Some(rest) => ("", rest),
        None => text.split_once(" not ")?,
    };
    let (left, right) = [", but ", " but "].iter().find_map(|joint| rest.split_once(joint))?;
    let same_form = tag(left).first().map(|word| word.tag) == tag(right).first().map(|word| word.tag);
    let has_verb = |text: &str| tag(text).iter().any(|word| word.tag.is_finite());
    let is_only = left.starts_with("only ") || left.starts_with("just ") || left.starts_with("merely ");
    let is_divided = left.contains([',', ';']) || right.contains([';']);
    (same_form && !has_verb(left) && !has_verb(right) && !is_only && !is_divided)
        .then_some((front, left, right))
}

/// Two statements of the same form: "At 27 degrees they double; at 4 degrees they hardly grow."
fn is_opposed(left: &str, right: &str) -> bool {
    let first = |text: &str| tag(text).first().map(|word| (word.tag, word.word.lower.clone()));
    match (first(left), first(right)) {
        (Some((Tag::Preposition, one)), Some((_, other))) => one == other,
        _ => false,
    }
}

/// Who or what does something to what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cause {
    /// As written, beginning with a capital: a noun phrase or a statement.
    pub cause: String,
    pub effect: String,
    /// The word between them: "makes", "because", "leads to", "if".
    pub joint: String,
}

/// Returns cause and effect of "X makes Y …", "X leads to Y", "X causes Y", "Because of X, Y", "Y because X", and "If X, Y".
pub(crate) fn causes(sentence: &str) -> Option<Cause> {
    let text = stem_of(sentence)?;
    let made = |cause: &str, effect: &str, joint: &str| Cause {
        cause: side(cause),
        effect: side(effect),
        joint: joint.to_owned(),
    };
    for (opening, joint) in
        [("Because of ", "because of"), ("Thanks to ", "thanks to"), ("Due to ", "due to")]
    {
        if let Some(rest) = text.strip_prefix(opening) {
            let (cause, effect) = rest.split_once(", ")?;
            return (short(cause) && is_statement(effect)).then(|| made(cause, effect, joint));
        }
    }
    for (opening, joint) in [
        ("Because ", "because"),
        ("If ", "if"),
        ("When ", "when"),
        ("Whenever ", "whenever"),
        ("As soon as ", "as soon as"),
    ] {
        if let Some(rest) = text.strip_prefix(opening) {
            let (cause, effect) = rest.split_once(", ")?;
            let effect = effect.strip_prefix("then ").unwrap_or(effect);
            let fits = is_statement(cause) && is_statement(effect) && !effect.contains(" if ");
            return fits.then(|| made(cause, effect, joint));
        }
    }
    for (between, joint) in [(" because ", "because"), (", so ", "so"), (", because ", "because")] {
        let Some((first, second)) = text.split_once(between) else { continue };
        if first.contains([';'])
            || first.ends_with(" not")
            || second.starts_with("of ")
            || second.starts_with("that ")
            || has_negation(first) && joint == "because"
        {
            return None;
        }
        let (cause, effect) = if joint == "so" { (first, second) } else { (second, first) };
        let effect = effect.trim_end_matches(',');
        return (is_statement(cause) && is_statement(effect)).then(|| made(cause, effect, joint));
    }
    verb_of_cause(text)
}

/// "X causes Y", "X leads to Y", "X makes Y go higher"
fn verb_of_cause(text: &str) -> Option<Cause> {
    let tagged = tag(text);
    let clause = clauses(&tagged).into_iter().next()?;
    let verb = clause.verb.filter(|_| clause.words.start == 0)?;
    let lower = tagged[verb].word.lower.as_str();
    let next = tagged.get(verb + 1).filter(|_| !tagged[verb].ends_part());
    let particle = next.map(|next| next.word.lower.clone()).unwrap_or_default();
    let (joint, effect_at) = match lower {
        "causes" | "cause" | "caused" | "triggers" | "trigger" | "triggered" | "produces" | "creates"
        | "prevents" | "prevent" | "prevented" => (lower.to_owned(), verb + 1),
        "leads" | "lead" | "led" if particle == "to" => (format!("{lower} to"), verb + 2),
        "results" | "result" | "resulted" if particle == "in" => (format!("{lower} in"), verb + 2),
        "makes" | "make" | "made" if has_result(&tagged, verb + 1) => (lower.to_owned(), verb + 1),
        "lets" | "let" if has_result(&tagged, verb + 1) => (lower.to_owned(), verb + 1),
        _ => return None,
    };
    let effect_start = tagged.get(effect_at).filter(|word| !word.word.is_opened)?.word.bare_range.start;
    let cause = text[..tagged[verb].word.range.start].trim();
    // The whole rest, unless a second thought begins: "…, and so does a full charge".
    let (effect, more) = text[effect_start..].split_once(", ").unwrap_or((&text[effect_start..], ""));
    let is_whole = more.is_empty()
        || more.starts_with("and so ")
        || more.starts_with("which ")
        || more.starts_with("so ");
    let is_named = noun_phrases(text)
        .first()
        .is_some_and(|phrase| phrase.range.start <= tagged[0].word.bare_range.start);
    let is_named = is_named || tagged[0].forms.ing;
    let is_pronoun = tagged[0].tag == Tag::Pronoun;
    let fits = is_whole
        && is_named
        && !is_pronoun
        && short(cause)
        && short(effect)
        && !cause.contains(',')
        && !effect.contains(';');
    fits.then(|| Cause { cause: side(cause), effect: side(effect), joint })
}

/// "the swing go higher", "the film thicker": an object, and what becomes of it.
fn has_result(tagged: &[Tagged<'_>], from: usize) -> bool {
    let object =
        tagged.get(from).is_some_and(|word| matches!(word.tag, Tag::Determiner | Tag::Noun | Tag::Pronoun));
    let result = tagged[from..]
        .iter()
        .skip(1)
        .take_while(|word| !word.tag.is_finite())
        .any(|word| matches!(word.tag, Tag::Infinitive | Tag::Adjective) && !word.is("to"));
    let adjective_last =
        tagged.iter().rposition(|word| word.tag == Tag::Adjective).is_some_and(|at| at + 1 == tagged.len());
    let has_infinitive = tagged[from..].iter().any(|word| word.tag == Tag::Infinitive);
    object && result && (adjective_last || has_infinitive)
}

fn has_negation(text: &str) -> bool {
    tag(text).iter().any(|word| {
        matches!(
            word.word.lower.as_str(),
            "not" | "no" | "never" | "nobody" | "nothing" | "none" | "only" | "hardly"
        ) || word.word.lower.ends_with("n't")
    })
}

/// Returns a sentence without its stop; none for a question, a quotation and text without words.
fn stem_of(sentence: &str) -> Option<&str> {
    let text = sentence.trim();
    let is_plain =
        !text.ends_with('?') && !text.contains(['"', '“', '”', '(', '—', '–']) && !text.contains(": ");
    let text = text.trim_end_matches(['.', '!']);
    (is_plain && text.contains(' ')).then_some(text)
}

fn side(text: &str) -> String {
    capitalize(text.trim().trim_end_matches([',', ';']))
}

fn short(text: &str) -> bool {
    (1..=MAX_WORDS).contains(&text.split_whitespace().count())
}

/// Returns `true` for words with a subject and a verb, or an imperative, that are not too many.
pub(crate) fn is_statement(text: &str) -> bool {
    let tagged = tag(text);
    let Some(verb) = tagged.iter().position(|word| word.tag.is_finite()) else { return false };
    let opens_well = !matches!(tagged[0].tag, Tag::Subordinator | Tag::Relative | Tag::Conjunction);
    let has_subject =
        tagged[..verb].iter().any(|word| matches!(word.tag, Tag::Noun | Tag::Pronoun)) || verb == 0;
    let ends_well = tagged.last().is_some_and(|last| {
        !matches!(last.tag, Tag::Determiner | Tag::To | Tag::Conjunction | Tag::Subordinator)
    });
    short(text) && opens_well && has_subject && ends_well
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contrasts_have_two_sides() {
        use ContrastKind::{But, Not, While};
        for (sentence, expected) in [
            (
                "Sourdough is slower than baker's yeast, but it keeps longer.",
                Some(("Sourdough is slower than baker's yeast", "It keeps longer", But)),
            ),
            (
                "The wire carries a current, but the metal resists it.",
                Some(("The wire carries a current", "The metal resists it", But)),
            ),
            ("It is not the heat but the water that matters.", None),
            ("The cause is not the heat but the water.", Some(("The heat", "The water", Not))),
            (
                "Not the strongest, but the most adaptable.",
                Some(("The strongest", "The most adaptable", Not)),
            ),
            ("It is not only cheap but also good.", None),
            (
                "While the sun heats the land, the sea stays cool.",
                Some(("The sun heats the land", "The sea stays cool", While)),
            ),
            (
                "Copper conducts well, whereas glass insulates.",
                Some(("Copper conducts well", "Glass insulates", While)),
            ),
            (
                "A stock is a share, while a bond is a loan.",
                Some(("A stock is a share", "A bond is a loan", While)),
            ),
            (
                "At 27 degrees they double in number every two hours; at 4 degrees they hardly grow at all.",
                Some((
                    "At 27 degrees they double in number every two hours",
                    "At 4 degrees they hardly grow at all",
                    But,
                )),
            ),
            ("Although it rained, they played.", Some(("It rained", "They played", While))),
            ("The plan is old, yet it works.", Some(("The plan is old", "It works", But))),
            ("Nobody but the baker knew.", None),
            ("It keeps longer.", None),
            ("Is it slow, but good?", None),
            ("He came, but not alone.", None),
            ("All but one of them failed.", None),
            ("She said, \"It is slow, but it works.\"", None),
            ("The log is long; nobody reads it.", None),
            ("", None),
            ("but", None),
        ] {
            let found = contrast(sentence);
            let found = found.as_ref().map(|found| (found.left.as_str(), found.right.as_str(), found.kind));
            assert_eq!(found, expected, "{sentence}");
        }
    }

    #[test]
    fn causes_and_effects_are_told_apart() {
        for (sentence, expected) in [
            (
                "Heat makes the film grow faster, and so does a full charge.",
                Some(("Heat", "The film grow faster", "makes")),
            ),
            (
                "A small push at the right time makes the swing go higher.",
                Some(("A small push at the right time", "The swing go higher", "makes")),
            ),
            ("Smoking causes cancer.", Some(("Smoking", "Cancer", "causes"))),
            ("Higher rates lead to lower prices.", Some(("Higher rates", "Lower prices", "lead to"))),
            ("The drought led to a famine.", Some(("The drought", "A famine", "led to"))),
            (
                "Because of the frost, the harvest failed.",
                Some(("The frost", "The harvest failed", "because of")),
            ),
            (
                "The shop makes 40 loaves because the street is full of offices.",
                Some(("The street is full of offices", "The shop makes 40 loaves", "because")),
            ),
            ("If demand grows, the price rises.", Some(("Demand grows", "The price rises", "if"))),
            (
                "When the water boils, the whistle sounds.",
                Some(("The water boils", "The whistle sounds", "when")),
            ),
            (
                "It has no side effects, so it can run often.",
                Some(("It has no side effects", "It can run often", "so")),
            ),
            ("Friction results in heat.", Some(("Friction", "Heat", "results in"))),
            ("Salt makes water boil later.", Some(("Salt", "Water boil later", "makes"))),
            ("The shop makes 40 loaves a day.", None),
            ("It makes the swing go higher.", None),
            ("The road leads to the village.", Some(("The road", "The village", "leads to"))),
            ("He did not stay because he was tired.", None),
            ("If it rains?", None),
            ("The cause is unknown.", None),
            ("Yeast eats sugar.", None),
            ("She makes bread.", None),
            ("", None),
        ] {
            let found = causes(sentence);
            let found = found
                .as_ref()
                .map(|found| (found.cause.as_str(), found.effect.as_str(), found.joint.as_str()));
            assert_eq!(found, expected, "{sentence}");
        }
    }
}
