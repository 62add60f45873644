//! Joins display formulas that stand on several lines.

use std::borrow::Cow;

/// Puts a display formula that spans lines on one line, so that none of its lines reads as a list,
/// a heading or the end of a paragraph.
pub(crate) fn join_display_formulas(source: &str) -> Cow<'_, str> {
    /// A formula longer than this is more likely a stray pair of dollar signs.
    const MAX_LINES: usize = 60;
    if !source.contains("$$") {
        return Cow::Borrowed(source);
    }
    let lines: Vec<&str> = source.lines().collect();
    let (mut joined, mut index, mut fenced) = (String::with_capacity(source.len()), 0, false);
    while let Some(line) = lines.get(index) {
        let start = line.trim();
        if start.starts_with("```") || start.starts_with("~~~") {
            fenced = !fenced;
        }
        let opens = !fenced && start.starts_with("$$") && start.matches("$$").count() == 1;
        let closes = |lines: &[&str]| lines.iter().take(MAX_LINES).position(|line| line.contains("$$"));
        let close = if opens { closes(&lines[index + 1..]) } else { None };
        let last = close.map_or(index, |close| index + 1 + close);
        match &lines[index..=last] {
            [line] => joined.push_str(line),
            formula => joined.push_str(&formula.iter().map(|part| part.trim()).collect::<Vec<_>>().join(" ")),
        }
        joined.push('\n');
        index = last + 1;
    }
    Cow::Owned(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_formula_over_lines_is_joined_and_others_are_left() {
        assert_eq!(join_display_formulas("a\n$$\nx\n- y\n$$\nb\n"), "a\n$$ x - y $$\nb\n");
        for same in ["$$ x $$\n", "```\n$$\nx\n$$\n```\n", "$$ open\n", "no formula"] {
            assert_eq!(join_display_formulas(same), same);
        }
    }
}
