//! Excerpts: pieces of text that can be found.

use serde::{Deserialize, Serialize};

/// The longest text of an excerpt; a longer one is divided.
pub const MAX_EXCERPT_CHARACTERS: usize = 1600;

/// The origin of an excerpt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The documentation of Manim.
    Manim,
    /// A scene that comes with the project.
    Example,
    /// A file that the user has uploaded.
    Upload,
    /// A scene of an earlier video of the user.
    Scene,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excerpt {
    pub source: Source,
    /// Unique within its index, such as `manim.mobject.geometry.arc.Circle`.
    pub id: String,
    /// A heading, or the signature of code.
    pub title: String,
    pub text: String,
}

impl Excerpt {
    /// Returns the text that a vector is made from. The model reads its beginning alone, which a long signature would fill.
    pub fn text_to_embed(&self) -> String {
        let Self { source, id, title, text } = self;
        match source {
            Source::Manim => format!("{}: {text}", id.rsplit('.').next().unwrap_or(id)),
            Source::Example | Source::Upload | Source::Scene => format!("{title}\n{text}"),
        }
    }
}

/// Divides a text into excerpts of one title. The first has the id, the others the id, `#` and their number.
pub fn excerpts_of(source: Source, id: &str, title: &str, text: &str) -> Vec<Excerpt> {
    let parts = divide(text).into_iter().enumerate();
    let of = |(at, text): (usize, String)| {
        let id = if at == 0 { id.to_owned() } else { format!("{id}#{at}") };
        Excerpt { source, id, title: title.to_owned(), text }
    };
    parts.map(of).collect()
}

/// Divides a text at paragraphs into parts of at most `MAX_EXCERPT_CHARACTERS`, and cuts a longer paragraph.
fn divide(text: &str) -> Vec<String> {
    let mut parts: Vec<String> = vec![];
    let mut part = String::new();
    let mut characters = 0;
    for paragraph in text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty()) {
        let letters: Vec<char> = paragraph.chars().collect();
        for piece in letters.chunks(MAX_EXCERPT_CHARACTERS) {
            // A blank line comes before it.
            if characters + 2 + piece.len() > MAX_EXCERPT_CHARACTERS && !part.is_empty() {
                parts.push(std::mem::take(&mut part));
                characters = 0;
            }
            if !part.is_empty() {
                part.push_str("\n\n");
                characters += 2;
            }
            part.extend(piece);
            characters += piece.len();
        }
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_divided_at_paragraphs_and_lose_nothing() {
        assert_eq!(divide("a\n\nb"), ["a\n\nb"]);
        let long = format!("{}\n\n{}\n\nend", "ä".repeat(1000), "b".repeat(4000));
        let parts = divide(&long);
        assert!(parts.iter().all(|part| part.chars().count() <= MAX_EXCERPT_CHARACTERS), "{parts:?}");
        let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).count();
        assert_eq!(parts.iter().map(|part| letters(part)).sum::<usize>(), letters(&long));
        assert!(divide(" \n\n ").is_empty());
    }

    #[test]
    fn later_parts_of_a_text_have_ids_of_their_own() {
        let excerpts = excerpts_of(Source::Upload, "one", "notes.txt", &"word ".repeat(1000));
        let ids: Vec<&str> = excerpts.iter().map(|excerpt| excerpt.id.as_str()).collect();
        assert_eq!(ids, ["one", "one#1", "one#2", "one#3"]);
    }
}
