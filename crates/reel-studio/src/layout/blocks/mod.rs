//! Writes the Typst source of each kind of block. The functions it calls are in `../theme/`, in a file for each kind.

mod bars;
mod chart;
mod code;
mod comparison;
mod diagram;
mod figure;
mod flow;
mod formula;
mod icon;
mod items;
mod plot;
mod table;
mod text;
mod ticks;
mod timeline;

use reel_manim::fallback;
use reel_scene::look::{Aspect, Look};
use reel_scene::{Block, QuadrantItem};

use super::literal::{float, list, literal, optional, words};
pub(super) use diagram::Room;
pub use diagram::unreadable_diagrams;
use text::rich;

/// Writes the icon of a card.
pub(super) fn card_icon_source(name: &str) -> String {
    icon::icon_source(name)
}

/// Writes a block that has a content page for itself: a paragraph is a statement there, and a quotation large.
pub(super) fn lone_block_source(block: &Block, look: &Look, room: &Room) -> String {
    match block {
        Block::Paragraph { text } => text::statement_source(text, &[]),
        Block::Quote { text, by } => text::large_quotation_source(text, by),
        block => block_source(block, look, room),
    }
}

/// Writes a block. `room` is what a diagram may take.
pub(super) fn block_source(block: &Block, look: &Look, room: &Room) -> String {
    let wide = look.aspect == Aspect::Wide;
    match block {
        Block::Paragraph { text } => format!("paragraph(t, {})", rich(text)),
        Block::Bullet { text } => format!("bullet-item(t, {})", rich(text)),
        Block::Numbered { number, text } => format!("numbered(t, {number}, {})", rich(text)),
        Block::Quote { text, by } => format!("quotation(t, {}, {})", rich(text), optional(by)),
        Block::Statement { text, icons } => text::statement_source(text, icons),
        Block::Items { arrangement, items, center } => {
            items::items_source(*arrangement, items, center.as_ref())
        }
        Block::Proportion { value, of, decimals, unit, label } => format!(
            "proportion(t, {}, {}, {decimals}, {}, {})",
            float(value.get()),
            float(of.get()),
            literal(unit),
            optional(label)
        ),
        Block::Gauge { value, range, decimals, unit, label } => format!(
            "gauge(t, {}, {}, {}, {decimals}, {}, {})",
            float(value.get()),
            float(range[0].get()),
            float(range[1].get()),
            literal(unit),
            optional(label)
        ),
        Block::Bars { rows, columns } => bars::bars_source(rows, columns),
        Block::Quadrant { x, y, items } => {
            let point = |item: &QuadrantItem| {
                format!("({}, {}, {})", words(&item.title), float(item.at[0].get()), float(item.at[1].get()))
            };
            let ends = |ends: &[String; 2]| list(ends.iter().map(|end| words(end)));
            format!("quadrant(t, {}, {}, {})", ends(x), ends(y), list(items.iter().map(point)))
        }
        Block::Definition { term, text } => format!("definition(t, {}, {})", words(term), rich(text)),
        Block::Code { language, text, groups } => code::code_source(language.as_deref(), text, groups),
        Block::Formula { latex } => formula::formula_source(latex),
        Block::Derivation { formulas } => formula::derivation_source(formulas),
        Block::Table { header, rows } => table::table_source(header, rows),
        Block::Timeline { items } => timeline::timeline_source(items),
        Block::Comparison { left, right } => comparison::comparison_source(left, right),
        Block::Counter { value, decimals, prefix, unit, label } => format!(
            "counter-of(t, {}, {decimals}, {}, {}, {}, from: {})",
            float(value.get()),
            literal(prefix),
            literal(unit),
            optional(label),
            if has_grouped_thousands(label) { 4 } else { 5 }
        ),
        Block::Chart { chart, unit, labels, series } => chart::chart_source(*chart, unit, labels, series),
        Block::Scatter { x_label, y_label, points } => plot::scatter_source(x_label, y_label, points),
        Block::Plot { functions, range } => plot::plot_source(functions, *range, wide),
        Block::Flow { nodes, edges } => flow::flow_source(nodes, edges, room),
        Block::Diagram { language, source } => diagram::diagram_source(*language, source, look, room),
        Block::Figure { shapes } => figure::figure_source(shapes),
        Block::Manim { animation, .. } => block_source(&fallback(animation), look, room),
        Block::Image { file, caption } => format!("picture(t, {}, {})", literal(file), optional(caption)),
    }
}

/// Returns `true` for a text that writes thousands as in "2,900". The number above it is written in the same way.
fn has_grouped_thousands(text: &str) -> bool {
    text.as_bytes().windows(5).any(|window| {
        window[1] == b',' && [0, 2, 3, 4].into_iter().all(|at: usize| window[at].is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_written_as_in_the_text() {
        for (text, is_grouped) in [
            ("The rocket weighed about 2,900 tonnes", true),
            ("200,000", true),
            ("1240 kilograms", false),
            ("in 1,2 or 3", false),
            ("", false),
            ("π,900", false),
        ] {
            assert_eq!(has_grouped_thousands(text), is_grouped, "{text}");
        }
    }
}
