//! Code listings.

use super::super::literal::{breakable_code, list, literal};

pub(super) fn code_source(language: Option<&str>, text: &str, groups: &[u32]) -> String {
    let language = language.map_or("none".to_owned(), literal);
    format!("listing(t, {language}, {}, {})", literal(&breakable_code(text)), group_source(text, groups))
}

/// Writes the line ranges of a listing's groups.
fn group_source(text: &str, groups: &[u32]) -> String {
    let lines = text.lines().count() as u32;
    let mut from = 0;
    let ranges = groups.iter().enumerate().map(|(index, length)| {
        let to = if index + 1 == groups.len() { lines.max(from) } else { from + length };
        let range = format!("({from}, {to})");
        from = to;
        range
    });
    list(ranges)
}
