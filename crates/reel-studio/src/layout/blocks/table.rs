//! Tables.

use reel_scene::RichText;

use super::super::literal::{MAX_UNBROKEN, list};
use super::text::rich;

pub(super) fn table_source(header: &[RichText], rows: &[Vec<RichText>]) -> String {
    let cells = |cells: &[RichText]| list(cells.iter().map(rich));
    format!(
        "table-of(t, {}, {}, {})",
        list(column_weights(header, rows).into_iter().map(|weight| weight.to_string())),
        cells(header),
        rows.iter().map(|row| cells(row)).collect::<Vec<_>>().join(", ")
    )
}

/// Returns the relative widths of a table's columns, from the longest word and, up to a limit, half of the longest cell.
fn column_weights(header: &[RichText], rows: &[Vec<RichText>]) -> Vec<usize> {
    const MOST: usize = 36;
    let weigh = |text: String| {
        let word =
            text.split_whitespace().map(|word| word.chars().count().min(MAX_UNBROKEN)).max().unwrap_or(0);
        word.max((text.chars().count() / 2).min(MOST)) + 3
    };
    let column = |column: usize| {
        let cells = rows
            .iter()
            .map(Vec::as_slice)
            .chain([header])
            .filter_map(|row| row.get(column))
            .map(RichText::to_plain);
        cells.map(weigh).max().unwrap_or(1)
    };
    (0..header.len()).map(column).collect()
}
