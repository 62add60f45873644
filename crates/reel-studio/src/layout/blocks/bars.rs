//! Tables as bars.

use reel_scene::{BarColumn, BarRow};

use super::super::literal::{float, list, optional, words};

fn is_percent(name: &str) -> bool {
    name == "%" || name.eq_ignore_ascii_case("percent")
}

pub(super) fn bars_source(rows: &[BarRow], columns: &[BarColumn]) -> String {
    let rows = rows.iter().map(|row| format!("({}, {})", words(&row.title), optional(&row.text)));
    let columns = columns.iter().map(|column| {
        let values = list(column.values.iter().map(|value| float(value.get())));
        // A share has its sign behind the number, and needs no name.
        let (name, sign) = if is_percent(&column.name) { ("", "%") } else { (column.name.as_str(), "") };
        format!("({}, {values}, {}, {})", optional(name), column.decimals, words(sign))
    });
    format!("bars(t, {}, {})", list(rows), list(columns))
}
