//! Diagrams: readings of Mermaid and DOT, laid out and written as Typst source.
//!
//! Layouts are made in multiples of the type size (em), from the widths that the page's own font gives. So a layout scales,
//! and the largest type that fits the room follows from its size. One whose type would be too small is tried in the other
//! direction, with other line lengths, and folded; if nothing fits, the source is shown, and
//! [`unreadable_diagrams`] names the block.
//!
//! `layered` places graphs, `fold` folds long ones, `route` draws their edges, `sequence`, `calendar`, `journey` and `commits` draw the others;
//! `canvas` writes marks, `measure` measures type.

mod calendar;
mod canvas;
mod commits;
mod fold;
mod graph;
mod journey;
mod layered;
mod measure;
mod route;
mod sequence;

use reel_scene::diagram::{self, DiagramLanguage, Graph, Reading};
use reel_scene::look::Look;
use reel_scene::{Block, Scene};

use super::super::page_geometry::{ABOVE_LOGO, Page};
use super::{block_source, code};
use canvas::Canvas;
use measure::Type;

/// Smallest and largest type, in points.
const MIN_SIZE: f64 = 28.0;
const MAX_SIZE: f64 = 58.0;
/// Share of the page's height beside other blocks.
const BESIDE_OTHERS: f64 = 0.62;

/// The room that a diagram has on a page, in points, and its type.
pub(in super::super) struct Room {
    pub width: f64,
    pub height: f64,
    families: Vec<String>,
}

impl Room {
    /// Returns the room of a block, which may have the page to itself.
    pub fn new(look: &Look, is_alone: bool) -> Self {
        let page = Page::for_aspect(look.aspect);
        let foot = page.foot + if look.logo.is_some() { ABOVE_LOGO } else { 0.0 };
        let height = page.height - page.content_top() - foot;
        let share = if is_alone { 1.0 } else { BESIDE_OTHERS };
        Self {
            width: page.width - 2.0 * page.margin,
            height: height * share,
            families: vec![look.style().body_font, "Inter".to_owned(), "DejaVu Sans".to_owned()],
        }
    }

    /// Returns the largest type in which a layout of this size, in em, fits.
    fn size(&self, (width, height): (f64, f64)) -> f64 {
        (self.width / width.max(0.1)).min(self.height / height.max(0.1)).min(MAX_SIZE)
    }
}

/// Writes a diagram, or its source where it cannot be read or would need type that is too small.
pub(super) fn diagram_source(language: DiagramLanguage, source: &str, look: &Look, room: &Room) -> String {
    match diagram::read(language, source) {
        Some(Reading::Block(block)) => block_source(&block, look, room),
        Some(reading) => match draw(&reading, room) {
            Some(canvas) => canvas.source(),
            None => code::code_source(Some(language.name()), source, &[]),
        },
        None => code::code_source(Some(language.name()), source, &[]),
    }
}

/// Writes a graph. One that does not fit is made smaller than its type should be.
pub(super) fn graph_source(graph: &Graph, room: &Room) -> String {
    let canvas = graph::draw(graph, room, 1.0);
    canvas.map_or_else(|| "paragraph(t, [])".to_owned(), |canvas| canvas.source())
}

fn draw(reading: &Reading, room: &Room) -> Option<Canvas> {
    let measure = Type::new(&room.families);
    match reading {
        Reading::Block(_) => None,
        Reading::Graph(graph) => graph::draw(graph, room, MIN_SIZE),
        Reading::Sequence(sequence) => sequence::draw(sequence, room, &measure),
        Reading::Plan(plan) => calendar::draw(plan, room, &measure),
        Reading::Journey(journey) => journey::draw(journey, room, &measure),
        Reading::Commits(commits) => commits::draw(commits, room, &measure),
    }
}

/// Returns the indices of blocks with a diagram that is shown as its source.
pub fn unreadable_diagrams(scene: &Scene, look: &Look) -> Vec<usize> {
    let room = Room::new(look, scene.blocks.len() == 1);
    let is_unreadable = |block: &Block| match block {
        Block::Diagram { language, source } => match diagram::read(*language, source) {
            None => true,
            Some(Reading::Block(_)) => false,
            Some(reading) => draw(&reading, &room).is_none(),
        },
        // The planner leaves a listing that it cannot read as it is.
        Block::Code { language: Some(language), .. } => DiagramLanguage::of_listing(language).is_some(),
        _ => false,
    };
    (0..scene.blocks.len()).filter(|block| is_unreadable(&scene.blocks[*block])).collect()
}
