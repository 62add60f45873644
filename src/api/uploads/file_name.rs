//! Makes the name that a client gives a file a text that can be shown anywhere. It is never part of a path.

pub const MAX_CHARACTERS: usize = 200;
const UNNAMED: &str = "unnamed";
/// Characters at the end that stay when a name is shortened: its ending.
const ENDING_CHARACTERS: usize = 20;

/// The last part of the name, without what is no text or turns text around.
pub fn clean(given: &str) -> String {
    let last = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let shown: String = last.chars().filter(|c| !c.is_control() && !turns_text(*c)).collect();
    let name = shown.trim().trim_matches('.').trim();
    if name.is_empty() {
        return UNNAMED.to_owned();
    }
    let count = name.chars().count();
    if count <= MAX_CHARACTERS {
        return name.to_owned();
    }
    let begin = name.chars().take(MAX_CHARACTERS - ENDING_CHARACTERS - 1);
    begin.chain(['…']).chain(name.chars().skip(count - ENDING_CHARACTERS)).collect()
}

/// Embeddings, overrides and isolates of direction, marks of it, and characters that stand for no place in text: with
/// them `gnp.exe` is shown as `exe.png`.
fn turns_text(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{61c}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_texts_of_a_bounded_length_without_paths() {
        for (given, expected) in [
            ("notes.md", "notes.md"),
            ("../../etc/passwd", "passwd"),
            (r"C:\Users\anna\notes.md", "notes.md"),
            ("a\0b\r\nc.txt", "abc.txt"),
            ("photo\u{202e}gnp.exe", "photognp.exe"),
            ("  .hidden. ", "hidden"),
            ("..", UNNAMED),
            ("", UNNAMED),
            ("\u{0}\u{202e}/", UNNAMED),
            ("Übersicht – 漢字.pdf", "Übersicht – 漢字.pdf"),
        ] {
            assert_eq!(clean(given), expected, "{given:?}");
        }
        let long = clean(&format!("{}.markdown", "𠀀".repeat(300)));
        assert_eq!(long.chars().count(), MAX_CHARACTERS);
        assert!(long.ends_with(".markdown") && long.contains('…'), "{long}");
    }
}
