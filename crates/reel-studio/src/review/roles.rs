//! Says which texts of a scene are labels, and which block a page is composed around.

use reel_scene::{Block, ChartKind, Item, Layout, RichText, Scene, Shape};
use serde::Serialize;

/// The role of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Headings and what a viewer reads.
    Text,
    /// Labels in diagrams and charts, code, the name below a quotation, numbers of axes and lists.
    Label,
    /// Mathematics.
    Formula,
}

/// The texts of a scene by their role, reduced to letters and digits.
#[derive(Debug, Default)]
pub(super) struct Roles {
    texts: Vec<String>,
    labels: Vec<String>,
    has_numbers: bool,
}

impl Roles {
    pub fn of(scene: &Scene) -> Self {
        let mut roles = Self { texts: vec![reduced(&scene.title)], ..Self::default() };
        scene.blocks.iter().for_each(|block| roles.add_block(block));
        roles
    }

    /// Returns the role of a drawn line, or part of a line. A text that stands in a label is a label.
    pub fn role(&self, drawn: &str) -> Role {
        let drawn = reduced(drawn);
        let is_in = |all: &[String]| all.iter().any(|text| text.contains(&drawn));
        let is_number = drawn.chars().all(|c| c.is_ascii_digit());
        if drawn.is_empty() || is_in(&self.labels) || is_number && self.has_numbers || !is_in(&self.texts) {
            Role::Label
        } else {
            Role::Text
        }
    }

    fn add_block(&mut self, block: &Block) {
        match block {
            Block::Paragraph { text }
            | Block::Bullet { text }
            | Block::Numbered { text, .. }
            | Block::Statement { text, .. } => self.add_rich(text),
            Block::Quote { text, by } => {
                self.add_rich(text);
                self.add_label(by);
            }
            Block::Definition { term, text } => {
                self.add_text(term);
                self.add_rich(text);
            }
            Block::Table { header, rows } => {
                header.iter().chain(rows.iter().flatten()).for_each(|cell| self.add_rich(cell))
            }
            Block::Timeline { items } => items.iter().for_each(|item| {
                self.add_text(&item.title);
                self.add_text(&item.text);
            }),
            Block::Comparison { left, right } => [left, right].into_iter().for_each(|side| {
                self.add_text(&side.title);
                side.points.iter().for_each(|point| self.add_rich(point));
            }),
            Block::Items { items, center, .. } => {
                items.iter().chain(center).for_each(|item| self.add_item(item))
            }
            Block::Counter { label, .. } => self.add_text(label),
            Block::Proportion { label, .. } | Block::Gauge { label, .. } => {
                self.has_numbers = true;
                self.add_text(label);
            }
            Block::Bars { rows, columns } => {
                self.has_numbers = true;
                rows.iter().for_each(|row| {
                    self.add_text(&row.title);
                    self.add_label(&row.text);
                });
                columns.iter().for_each(|column| self.add_label(&column.name));
            }
            Block::Code { text, .. } => self.add_label(text),
            // Whatever of its source is drawn is a label, too.
            Block::Diagram { source, .. } => {
                self.has_numbers = true;
                self.add_label(source);
            }
            Block::Chart { unit, labels, series, .. } => {
                self.has_numbers = true;
                let names = series.iter().map(|series| &series.name);
                labels.iter().chain(names).chain([unit]).for_each(|label| self.add_label(label));
            }
            Block::Scatter { x_label, y_label, .. } => {
                self.has_numbers = true;
                [x_label, y_label].into_iter().for_each(|label| self.add_label(label));
            }
            Block::Plot { functions, .. } => {
                self.has_numbers = true;
                functions.iter().for_each(|function| self.add_label(function));
            }
            Block::Flow { nodes, edges } => {
                nodes
                    .iter()
                    .chain(edges.iter().map(|edge| &edge.label))
                    .for_each(|label| self.add_label(label));
            }
            Block::Figure { shapes } => shapes.iter().for_each(|shape| {
                if let Shape::Label { text, .. } = shape {
                    self.add_label(text);
                }
            }),
            Block::Quadrant { x, y, items } => {
                x.iter()
                    .chain(y)
                    .chain(items.iter().map(|item| &item.title))
                    .for_each(|label| self.add_label(label));
            }
            Block::Manim { animation, .. } => self.add_block(&reel_manim::fallback(animation)),
            Block::Image { caption, .. } => self.add_label(caption),
            Block::Formula { latex } => self.add_label(latex),
            Block::Derivation { formulas } => formulas.iter().for_each(|latex| self.add_label(latex)),
        }
    }

    fn add_item(&mut self, item: &Item) {
        self.add_text(&item.title);
        self.add_rich(&item.text);
        item.points.iter().for_each(|point| self.add_rich(point));
    }

    fn add_rich(&mut self, text: &RichText) {
        self.add_text(&text.to_plain());
    }

    fn add_text(&mut self, text: &str) {
        self.texts.push(reduced(text));
    }

    fn add_label(&mut self, text: &str) {
        self.labels.push(reduced(text));
    }
}

/// Reduces a text to its letters and digits: quotes, dashes and blanks are drawn in several ways.
fn reduced(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).collect()
}

/// Returns the kind of the block that a page is composed around: its first drawing, or else its first block.
pub(super) fn composition(scene: &Scene) -> &'static str {
    if scene.layout != Layout::Content {
        return "card";
    }
    let drawing = scene.blocks.iter().find(|block| is_drawing(block));
    drawing.or(scene.blocks.first()).map_or("heading", kind)
}

fn is_drawing(block: &Block) -> bool {
    !matches!(
        block,
        Block::Paragraph { .. }
            | Block::Bullet { .. }
            | Block::Numbered { .. }
            | Block::Quote { .. }
            | Block::Definition { .. }
    )
}

fn kind(block: &Block) -> &'static str {
    match block {
        Block::Paragraph { .. } => "paragraph",
        Block::Bullet { .. } => "bullet",
        Block::Numbered { .. } => "numbered",
        Block::Quote { .. } => "quote",
        Block::Code { .. } => "code",
        Block::Formula { .. } => "formula",
        Block::Table { .. } => "table",
        Block::Definition { .. } => "definition",
        Block::Timeline { .. } => "timeline",
        Block::Comparison { .. } => "comparison",
        Block::Derivation { .. } => "derivation",
        Block::Counter { .. } => "counter",
        Block::Chart { chart: ChartKind::Bar, .. } => "bar chart",
        Block::Chart { chart: ChartKind::Line, .. } => "line chart",
        Block::Chart { chart: ChartKind::Pie, .. } => "pie chart",
        Block::Scatter { .. } => "scatter",
        Block::Flow { .. } => "flow",
        Block::Diagram { .. } => "diagram",
        Block::Plot { .. } => "plot",
        Block::Figure { .. } => "figure",
        Block::Statement { .. } => "statement",
        Block::Items { arrangement, .. } => arrangement.name(),
        Block::Proportion { .. } => "proportion",
        Block::Gauge { .. } => "gauge",
        Block::Bars { .. } => "bars",
        Block::Quadrant { .. } => "quadrant",
        Block::Image { .. } => "image",
        Block::Manim { .. } => "animation",
    }
}
