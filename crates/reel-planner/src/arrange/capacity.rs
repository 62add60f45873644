//! Estimates how much room a block takes on a page.
//!
//! These are estimates of a 1920x1080 page, made without typesetting, so that planning stays pure and
//! fast. They err towards too tall: a scene that ends early looks better than one that overflows.

use reel_scene::{Block, TimelineItem};

use crate::language::width::columns;

/// Pixels between a content scene's heading and the bottom margin: the page less two margins and the heading's line.
pub(crate) const PAGE_HEIGHT_PX: u32 = 1080 - 2 * 90 - 160;

/// Rows of code that one page shows at most, wrapped rows included.
pub(crate) const CODE_ROWS: usize = 14;

/// Columns of 32 px monospaced text that fit a line.
pub(crate) const CODE_COLUMNS: usize = 80;

/// Columns of 44 px text that fit a line.
const TEXT_COLUMNS: usize = 72;
const ITEM_COLUMNS: usize = 68;
/// Heights of this theme's text, code and drawings (`theme.typ` of the studio), each rounded up.
const TEXT_LINE_PX: u32 = 64;
const CODE_ROW_PX: u32 = 42;
const CODE_PADDING_PX: u32 = 32;
const FORMULA_PX: u32 = 120;
const CELL_PADDING_PX: u32 = 16;
const GAP_PX: u32 = 24;
const COUNTER_PX: u32 = 150;
/// A chart or a figure beside other blocks.
const DRAWING_PX: u32 = 400;

/// Returns the pixels that a block takes in height, its gap included.
pub(crate) fn block_height_px(block: &Block) -> u32 {
    let content = match block {
        Block::Paragraph { text } => text_height_px(&text.to_plain(), TEXT_COLUMNS),
        Block::Bullet { text } | Block::Numbered { text, .. } | Block::Quote { text, .. } => {
            text_height_px(&text.to_plain(), ITEM_COLUMNS)
        }
        Block::Code { text, .. } => CODE_PADDING_PX + CODE_ROW_PX * pixels(text.lines().map(code_rows).sum()),
        // A further line of an aligned formula or a matrix starts at a double backslash.
        Block::Formula { latex } => FORMULA_PX + TEXT_LINE_PX * pixels(latex.matches("\\\\").count()),
        Block::Definition { term, text } => {
            text_height_px(term, ITEM_COLUMNS) + text_height_px(&text.to_plain(), ITEM_COLUMNS) + 3 * GAP_PX
        }
        Block::Timeline { items } => {
            let height = |text: &str| text_height_px(text, ITEM_COLUMNS);
            let item = |item: &TimelineItem| {
                height(&item.title) + if item.text.is_empty() { 0 } else { height(&item.text) } + GAP_PX
            };
            items.iter().map(item).sum::<u32>().saturating_sub(GAP_PX)
        }
        Block::Comparison { left, right } => {
            TEXT_LINE_PX * pixels(2 + left.points.len().max(right.points.len()))
        }
        Block::Derivation { formulas } => FORMULA_PX * pixels(formulas.len()),
        Block::Counter { label, .. } => COUNTER_PX + if label.is_empty() { 0 } else { TEXT_LINE_PX },
        Block::Flow { nodes, .. } => 3 * TEXT_LINE_PX * pixels(nodes.len().div_ceil(4)),
        // What is said of a diagram is not shown beside it.
        Block::Diagram { .. } => 2 * TEXT_LINE_PX,
        // Narration of an animation is not shown, either; more than half a page keeps a second one off it.
        Block::Manim { .. } => PAGE_HEIGHT_PX / 2 + 1,
        // It stands alone in type as large as it can be.
        Block::Statement { text, .. } => text_height_px(&text.to_plain(), TEXT_COLUMNS / 2),
        Block::Items { .. } => 2 * DRAWING_PX / 3,
        Block::Bars { rows, .. } => 2 * TEXT_LINE_PX * pixels(rows.len()),
        // They are drawn smaller beside others.
        Block::Chart { .. }
        | Block::Proportion { .. }
        | Block::Gauge { .. }
        | Block::Quadrant { .. }
        | Block::Scatter { .. }
        | Block::Plot { .. }
        | Block::Figure { .. }
        | Block::Image { .. } => DRAWING_PX,
        Block::Table { header, rows } => {
            std::iter::once(header).chain(rows).map(|row| row_height_px(row)).fold(0, u32::saturating_add)
        }
    };
    content.saturating_add(GAP_PX)
}

/// Returns the rows of code that fit beside other content of this height.
pub(crate) fn code_rows_beside(height_px: u32) -> usize {
    let room = PAGE_HEIGHT_PX.saturating_sub(height_px + CODE_PADDING_PX + GAP_PX) / CODE_ROW_PX;
    (room as usize).clamp(1, CODE_ROWS)
}

/// Returns the rows that one line of code takes, since the renderer wraps it.
pub(crate) fn code_rows(line: &str) -> usize {
    columns(line).div_ceil(CODE_COLUMNS).max(1)
}

/// Returns the pixels that a table's row takes in height, when its columns share the width equally.
pub(crate) fn row_height_px(cells: &[reel_scene::RichText]) -> u32 {
    let width = (TEXT_COLUMNS / cells.len().max(1)).max(4);
    let lines = cells.iter().map(|cell| wrapped_lines(&cell.to_plain(), width)).max().unwrap_or(1);
    TEXT_LINE_PX * pixels(lines) + CELL_PADDING_PX
}

fn text_height_px(text: &str, width: usize) -> u32 {
    TEXT_LINE_PX * pixels(wrapped_lines(text, width))
}

/// Returns the lines that a text takes when it is broken at spaces, and words that are too long anywhere.
pub(crate) fn wrapped_lines(text: &str, width: usize) -> usize {
    let (mut lines, mut used) = (1, 0);
    for word in text.split(' ').map(columns).filter(|&word| word > 0) {
        if used > 0 && used + 1 + word <= width {
            used += 1 + word;
            continue;
        }
        lines += usize::from(used > 0) + (word - 1) / width;
        used = (word - 1) % width + 1;
    }
    lines
}

/// Bounds a count: one that is beyond any page needs no exact height.
fn pixels(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX).min(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use reel_scene::RichText;

    #[test]
    fn lines_break_at_spaces_and_inside_overlong_words() {
        assert_eq!(wrapped_lines("", 10), 1);
        assert_eq!(wrapped_lines("one two three", 7), 2);
        assert_eq!(wrapped_lines("one two three", 13), 1);
        assert_eq!(wrapped_lines(&"x".repeat(25), 10), 3);
    }

    #[test]
    fn widths_are_counted_in_columns() {
        assert_eq!(columns("状態 ok"), 7);
        assert_eq!([code_rows(""), code_rows(&"x".repeat(80)), code_rows(&"x".repeat(81))], [1, 1, 2]);
    }

    #[test]
    fn a_full_listing_fits_under_one_short_sentence() {
        let listing = Block::Code { language: None, text: "let x = 1;\n".repeat(CODE_ROWS), groups: vec![] };
        let sentence = Block::Paragraph { text: RichText::plain("It is short.") };
        assert!(block_height_px(&listing) + block_height_px(&sentence) <= PAGE_HEIGHT_PX);
        assert_eq!(code_rows_beside(block_height_px(&sentence)), CODE_ROWS);
    }
}
