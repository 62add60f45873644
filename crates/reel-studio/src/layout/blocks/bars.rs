//! Tables as bars.

use reel_scene::{BarColumn, BarRow};

use super::super::literal::{float, list, optional, words};

pub(super) fn bars_source(rows: &[BarRow], columns: &[BarColumn]) -> String {
    let rows = rows.iter().map(|row| format!("({}, {})", words(&row.title), optional(&row.text)));
    let columns = columns.iter().map(|column| {
        let values = list(column.values.iter().map(|value| float(value.get())));
        format!("({}, {values}, {})", optional(&column.name), column.decimals)
    });
    format!("bars(t, {}, {})", list(rows), list(columns))
}
