//! Writes the Typst source of each kind of block. The functions it calls are in `../theme/`, in a file for each kind.

mod chart;
mod code;
mod comparison;
mod figure;
mod flow;
mod formula;
mod plot;
mod table;
mod text;
mod ticks;
mod timeline;

use reel_scene::Block;
use reel_scene::look::{Aspect, Look};

use super::literal::{float, literal, optional, words};
use text::rich;

pub(super) fn block_source(block: &Block, look: &Look) -> String {
    let wide = look.aspect == Aspect::Wide;
    match block {
        Block::Paragraph { text } => format!("paragraph(t, {})", rich(text)),
        Block::Bullet { text } => format!("bullet-item(t, {})", rich(text)),
        Block::Numbered { number, text } => format!("numbered(t, {number}, {})", rich(text)),
        Block::Quote { text } => format!("quotation(t, {})", rich(text)),
        Block::Definition { term, text } => format!("definition(t, {}, {})", words(term), rich(text)),
        Block::Code { language, text, groups } => code::code_source(language.as_deref(), text, groups),
        Block::Formula { latex } => formula::formula_source(latex),
        Block::Derivation { formulas } => formula::derivation_source(formulas),
        Block::Table { header, rows } => table::table_source(header, rows),
        Block::Timeline { items } => timeline::timeline_source(items, wide),
        Block::Comparison { left, right } => comparison::comparison_source(left, right),
        Block::Counter { value, decimals, prefix, unit, label } => format!(
            "counter-of(t, {}, {decimals}, {}, {}, {})",
            float(value.get()),
            literal(prefix),
            literal(unit),
            optional(label)
        ),
        Block::Chart { chart, unit, labels, series } => chart::chart_source(*chart, unit, labels, series),
        Block::Scatter { x_label, y_label, points } => plot::scatter_source(x_label, y_label, points),
        Block::Plot { functions, range } => plot::plot_source(functions, *range, wide),
        Block::Flow { nodes, edges } => flow::flow_source(nodes, edges, wide),
        Block::Figure { shapes } => figure::figure_source(shapes),
        Block::Image { file, caption } => format!("picture(t, {}, {})", literal(file), optional(caption)),
    }
}
