//! Divides a code listing over pages.

use super::capacity::{CODE_COLUMNS, code_rows};
use crate::language::width::columns;

/// Lines up to this length are left to the renderer to wrap.
const MAX_LINE_COLUMNS: usize = 2 * CODE_COLUMNS;

/// Returns parts of similar size, each of at most `max_rows` rows; a blank line near a part's end ends it.
pub(crate) fn divide(text: &str, max_rows: usize) -> Vec<String> {
    let lines: Vec<&str> = text.lines().flat_map(wrap).collect();
    let mut remaining: usize = lines.iter().map(|line| code_rows(line)).sum();
    let mut room = Room::new(remaining, max_rows);
    let mut parts: Vec<Vec<&str>> = vec![Vec::new()];
    let mut rows = 0;
    for line in lines {
        let pauses = line.trim().is_empty() && rows + 3 >= room.target && remaining <= room.after;
        if rows > 0 && (rows + code_rows(line) > room.target || pauses) {
            parts.push(Vec::new());
            rows = 0;
            room = Room::new(remaining, max_rows);
        }
        if let Some(part) = parts.last_mut() {
            part.push(line);
        }
        rows += code_rows(line);
        remaining -= code_rows(line);
    }
    let joined = parts.into_iter().map(|part| part.join("\n").trim_matches('\n').to_owned());
    joined.filter(|part| !part.trim().is_empty()).collect()
}

/// Target rows of the next part, and the rows that the parts after it can take.
struct Room {
    target: usize,
    after: usize,
}

impl Room {
    fn new(remaining: usize, max_rows: usize) -> Self {
        let parts = remaining.div_ceil(max_rows).max(1);
        Self { target: remaining.div_ceil(parts), after: (parts - 1) * max_rows }
    }
}

/// Returns a line as it is, or in pieces when it is too long for a page; cut at a space where there is one.
fn wrap(line: &str) -> Vec<&str> {
    let mut rest = line;
    let mut pieces = Vec::new();
    while let Some(end) = piece_end(rest) {
        let (piece, after) = rest.split_at(end);
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}

/// Finds where the first row of an overlong line ends, in bytes; `None` when the line is short enough.
fn piece_end(line: &str) -> Option<usize> {
    let (mut column, mut row_end, mut space) = (0, None, None);
    for (offset, c) in line.char_indices() {
        if column >= CODE_COLUMNS && row_end.is_none() {
            row_end = Some(offset);
        }
        if row_end.is_none() && c == ' ' && column > CODE_COLUMNS / 2 {
            space = Some(offset + 1);
        }
        column += columns(c.encode_utf8(&mut [0; 4]));
        if column > MAX_LINE_COLUMNS {
            return space.or(row_end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_that_fits_is_one_part() {
        assert_eq!(divide("a\n\nb", 14), ["a\n\nb"]);
    }

    #[test]
    fn a_long_listing_is_divided_evenly_and_at_blank_lines() {
        let lines = |count: usize| "x = 1\n".repeat(count);
        let even: Vec<usize> = divide(&lines(20), 14).iter().map(|part| part.lines().count()).collect();
        assert_eq!(even, [10, 10]);
        let functions = format!("{}\n{}", lines(9), lines(9));
        let parts: Vec<usize> = divide(&functions, 14).iter().map(|part| part.lines().count()).collect();
        assert_eq!(parts, [9, 9]);
        let six = "def f():\n    return 1\n\n".repeat(6);
        let parts: Vec<usize> = divide(six.trim_end(), 12).iter().map(|part| part.lines().count()).collect();
        assert_eq!(parts, [8, 8]);
    }

    #[test]
    fn no_part_of_an_overlong_line_is_lost() {
        let line = "abcdefg ".repeat(3000);
        let parts = divide(line.trim_end(), 14);
        assert!(parts.iter().flat_map(|part| part.lines()).all(|row| columns(row) <= MAX_LINE_COLUMNS));
        assert_eq!(parts.join("").replace('\n', "").matches("abcdefg").count(), 3000);
    }
}
