//! Quotations in running text, with who said them: “…,” wrote James Beard.

/// Words of a speaker's name, with "the" and a title.
const MAX_NAME_WORDS: usize = 6;
/// Words of a quotation worth a page of its own.
const MIN_QUOTED_WORDS: usize = 3;
const SAYINGS: [&str; 27] = [
    "wrote",
    "writes",
    "said",
    "says",
    "asked",
    "asks",
    "noted",
    "notes",
    "argued",
    "argues",
    "observed",
    "remarked",
    "explained",
    "explains",
    "told",
    "declared",
    "added",
    "adds",
    "warned",
    "warns",
    "claimed",
    "claims",
    "recalled",
    "replied",
    "concluded",
    "announced",
    "thought",
];

/// Returns a sentence's quotation, without its marks, and who said it. None where the quotation is only a part of the sentence, or
/// nobody is named.
pub(crate) fn speaker(sentence: &str) -> Option<(String, String)> {
    let text = sentence.trim();
    let (quoted, rest) = leading_quotation(text)?;
    if quoted.split_whitespace().count() < MIN_QUOTED_WORDS {
        return None;
    }
    if let Some(rest) = rest {
        let name = name_behind(rest)?;
        return Some((quoted.to_owned(), name));
    }
    None.or_else(|| trailing_quotation(text))
}

/// Returns the quotation that a text begins with, and what is behind it; or, where the text begins with the speaker, the quotation at its
/// end and no rest.
fn leading_quotation(text: &str) -> Option<(&str, Option<&str>)> {
    let mut chars = text.chars();
    let open = chars.next()?;
    let Some(close) = closing(open) else {
        let (quoted, _) = quotation_at_end(text)?;
        return Some((quoted, None));
    };
    let inside = chars.as_str();
    let end = inside.find(close)?;
    let rest = inside[end + close.len_utf8()..].trim();
    let quoted = inside[..end].trim();
    // A second quotation in the sentence goes on with the first.
    if rest.contains(open) || rest.contains(close) {
        return None;
    }
    let quoted = quoted.strip_suffix(',').unwrap_or(quoted);
    Some((quoted, Some(rest)))
}

fn closing(open: char) -> Option<char> {
    match open {
        '"' => Some('"'),
        '“' => Some('”'),
        '«' => Some('»'),
        '„' => Some('“'),
        _ => None,
    }
}

/// "wrote James Beard.", "James Beard wrote.", "said the baker, who …"
fn name_behind(rest: &str) -> Option<String> {
    let rest = rest.trim_start_matches([',', '—', '–', ' ']).trim_end_matches(['.', '!']);
    let rest = rest.split([',', ';']).next()?.trim();
    let words: Vec<&str> = rest.split_whitespace().collect();
    let name = match words.split_first() {
        Some((first, others)) if SAYINGS.contains(first) => others,
        _ => match words.split_last() {
            Some((last, others)) if SAYINGS.contains(last) => others,
            _ => return None,
        },
    };
    // "said James Beard in 1973"
    let until = name
        .iter()
        .skip(1)
        .position(|word| {
            matches!(*word, "in" | "at" | "on" | "of" | "to" | "when" | "after" | "before" | "as" | "and")
        })
        .map_or(name.len(), |at| at + 1);
    // "the head of the bank" keeps its "of".
    let until = if name.get(until) == Some(&"of") { name.len() } else { until };
    name_of(&name[..until])
}

fn name_of(words: &[&str]) -> Option<String> {
    let first = words.first()?;
    let is_pronoun = matches!(*first, "he" | "she" | "they" | "it" | "I" | "we" | "you" | "one");
    let has_name =
        words.iter().any(|word| word.starts_with(char::is_uppercase)) || matches!(*first, "the" | "a" | "an");
    (!is_pronoun && has_name && words.len() <= MAX_NAME_WORDS).then(|| words.join(" "))
}

/// "James Beard wrote: “…”"
fn trailing_quotation(text: &str) -> Option<(String, String)> {
    let (quoted, before) = quotation_at_end(text)?;
    let before = before.trim().strip_suffix([',', ':'])?;
    let words: Vec<&str> = before.split_whitespace().collect();
    let (last, name) = words.split_last()?;
    let name = if SAYINGS.contains(last) { name_of(name)? } else { return None };
    Some((quoted.trim_end_matches(',').to_owned(), name))
}

/// Returns the quotation that ends a text, and what is in front of it.
fn quotation_at_end(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let close = text.chars().next_back()?;
    let open = match close {
        '"' => '"',
        '”' => '“',
        '»' => '«',
        _ => return None,
    };
    let inside = &text[..text.len() - close.len_utf8()];
    let start = inside.find(open)?;
    let quoted = &inside[start + open.len_utf8()..];
    let is_one = !quoted.contains(open) && !quoted.contains(close);
    is_one.then_some((quoted.trim(), &inside[..start]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotations_are_taken_with_their_speaker() {
        for (sentence, expected) in [
            (
                "\"Good bread is the most fundamentally satisfying of all foods,\" wrote James Beard.",
                Some(("Good bread is the most fundamentally satisfying of all foods", "James Beard")),
            ),
            (
                "“We choose to go to the moon,” said President Kennedy in 1962.",
                Some(("We choose to go to the moon", "President Kennedy")),
            ),
            (
                "“It always seems impossible,” Nelson Mandela said.",
                Some(("It always seems impossible", "Nelson Mandela")),
            ),
            (
                "Marie Curie said, \"Nothing in life is to be feared.\"",
                Some(("Nothing in life is to be feared.", "Marie Curie")),
            ),
            (
                "Newton wrote: “I stood on the shoulders of giants.”",
                Some(("I stood on the shoulders of giants.", "Newton")),
            ),
            (
                "\"We are not raising rates now,\" said the head of the bank.",
                Some(("We are not raising rates now", "the head of the bank")),
            ),
            ("\"Why is it so?\" asked Mr. Miller.", Some(("Why is it so?", "Mr. Miller"))),
            (
                "\"We ship on Friday!\" said Ada Lovelace, who built it.",
                Some(("We ship on Friday!", "Ada Lovelace")),
            ),
            (
                "«Je pense, donc je suis», wrote René Descartes.",
                Some(("Je pense, donc je suis", "René Descartes")),
            ),
            ("\"It is done well,\" he said.", None),
            ("\"Stop,\" said James Beard.", None),
            ("The word \"yeast\" is old.", None),
            ("\"Yes,\" he said, \"it is so.\"", None),
            ("\"One thing at a time\" is a rule.", None),
            ("He wrote it.", None),
            ("wrote James Beard.", None),
            ("\"", None),
            ("\"\"", None),
            ("“", None),
            ("\"Good bread is good\"", None),
            ("", None),
            ("“a b c d”—“", None),
        ] {
            let found = speaker(sentence);
            let found = found.as_ref().map(|(quoted, name)| (quoted.as_str(), name.as_str()));
            assert_eq!(found, expected, "{sentence}");
        }
    }
}
