//! Writes the Typst source of a scene.

use reel_scene::look::Look;
use reel_scene::{Block, Layout, Scene};

use super::beats::{split_steps, strong_words};
use super::blocks::{Room, block_source, card_icon_source, lone_block_source};
use super::literal::{breakable, list, literal};
use super::look_source::{has_emoji, look_source};
use super::motions::{GROWTH_PAGES, motion};
use crate::draw::motion::ease_out;

/// Relative height of charts and figures beside other blocks.
const DRAWING_BESIDE_OTHERS: f64 = 0.62;

/// Writes the complete Typst source of a scene: one page before the first step, then the pages of each beat, whose number
/// [`super::motions`] returns. Compiles each formula; one that Typst cannot compile is shown as its LaTeX source.
pub fn source(scene: &Scene, look: &Look) -> String {
    source_of_pages(scene, look, &shown_by_page(scene))
}

/// Writes the Typst source of two pages: the one before the first step, and the last one.
pub fn end_source(scene: &Scene, look: &Look) -> String {
    let pages = shown_by_page(scene);
    source_of_pages(scene, look, &pages[pages.len().saturating_sub(1)..])
}

fn source_of_pages(scene: &Scene, look: &Look, pages: &[Vec<Shown>]) -> String {
    let layout = match scene.layout {
        Layout::Title => "title",
        Layout::Content if is_quotation(scene) => "quotation",
        Layout::Content => "content",
        Layout::Section => "section",
        Layout::Closing => "closing",
    };
    let drawings = if scene.blocks.len() > 1 { DRAWING_BESIDE_OTHERS } else { 1.0 };
    let mut text = String::new();
    let language = primary_language(&scene.language);
    let direction = if RIGHT_TO_LEFT.contains(&language) { "rtl" } else { "ltr" };
    text.push_str(&format!("  dir: {direction},\n)\n\n#scene(t,\n"));
    text.push_str(&format!("  layout: {},\n", literal(layout)));
    text.push_str(&format!("  title: {},\n", literal(&breakable(&scene.title))));
    text.push_str(&format!("  icon: {},\n", card_icon_source(&scene.icon)));
    text.push_str(&format!("  lang: {},\n", literal(language)));
    let is_content = scene.layout == Layout::Content;
    let fills = scene.blocks.iter().map(|block| (is_content && fills(block, scene.blocks.len())).to_string());
    text.push_str(&format!("  fills: {},\n", list(fills)));
    text.push_str("  blocks: (\n");
    let room = Room::new(look, scene.blocks.len() == 1);
    for block in &scene.blocks {
        let is_alone = is_content && scene.blocks.len() == 1;
        let source =
            if is_alone { lone_block_source(block, look, &room) } else { block_source(block, look, &room) };
        // Where a block has strong words, its source asks which of them are highlighted.
        match source.contains("marks)") {
            true => text.push_str(&format!("    with-marks(marks => {source}),\n")),
            false => text.push_str(&format!("    {source},\n")),
        }
    }
    text.push_str("  ),\n  pages: (\n");
    for page in pages {
        let entries: String = page.iter().map(|shown| format!("{shown}, ")).collect();
        text.push_str(&format!("    ({}),\n", entries.trim_end_matches(' ')));
    }
    text.push_str("  ),\n)\n");
    let look = look_source(look, drawings, has_emoji(&text));
    format!("#import \"theme.typ\": *\n\n#let t = (\n{look}{text}")
}

/// Languages whose lines are read from the right.
const RIGHT_TO_LEFT: [&str; 9] = ["ar", "fa", "he", "ur", "yi", "ps", "sd", "ug", "dv"];

/// Returns the language of a tag, without region and script; English where there is none.
fn primary_language(tag: &str) -> &str {
    let primary = tag.split('-').next().unwrap_or_default();
    let is_code = (2..=3).contains(&primary.len()) && primary.bytes().all(|byte| byte.is_ascii_lowercase());
    if is_code { primary } else { "en" }
}

/// Returns `true` for a page that is nothing but a quotation. It has a ground of its own.
pub(super) fn is_quotation(scene: &Scene) -> bool {
    scene.layout == Layout::Content && matches!(scene.blocks[..], [Block::Quote { .. }])
}

/// Returns `true` for a block that takes all of the room that the other blocks of a content page leave. `blocks` is the
/// number of blocks on the page.
fn fills(block: &Block, blocks: usize) -> bool {
    match block {
        Block::Items { .. }
        | Block::Statement { .. }
        | Block::Proportion { .. }
        | Block::Gauge { .. }
        | Block::Bars { .. }
        | Block::Quadrant { .. }
        | Block::Timeline { .. }
        | Block::Counter { .. }
        | Block::Chart { .. }
        | Block::Comparison { .. }
        | Block::Scatter { .. }
        | Block::Plot { .. } => true,
        Block::Paragraph { .. } | Block::Quote { .. } => blocks == 1,
        Block::Manim { animation, .. } => fills(&reel_manim::fallback(animation), blocks),
        _ => false,
    }
}

/// The visible part of one block on a page.
#[derive(Debug, Clone, PartialEq, Default)]
struct Shown {
    whole: bool,
    parts: Vec<usize>,
    /// Strong words that are highlighted.
    marks: Vec<String>,
    /// Growth from 0 to 1, while the block grows.
    grown: Option<f64>,
}

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self { grown: Some(share), .. } => write!(f, "{share:.4}"),
            Self { whole: true, marks, .. } if marks.is_empty() => f.write_str("true"),
            Self { parts, .. } if parts.is_empty() && !self.whole => f.write_str("false"),
            Self { parts, marks, .. } => {
                let parts = parts.iter().map(usize::to_string);
                let marks = marks.iter().map(|mark| literal(&breakable(mark)));
                f.write_str(&list(parts.chain(marks)))
            }
        }
    }
}

/// Returns the visible part of each block, for each page.
fn shown_by_page(scene: &Scene) -> Vec<Vec<Shown>> {
    let scene = &split_steps(scene);
    let mut shown = vec![Shown::default(); scene.blocks.len()];
    let mut pages = Vec::with_capacity(scene.steps.len());
    for (number, step) in scene.steps.iter().enumerate() {
        for reveal in &step.reveals {
            let (Some(block), Some(of_block)) = (shown.get_mut(reveal.block), scene.blocks.get(reveal.block))
            else {
                continue;
            };
            let (parts, words) = (of_block.parts().unwrap_or(0), strong_words(of_block));
            let mark = reveal.part.and_then(|part| words.get(part.checked_sub(parts)?));
            match (reveal.part, mark) {
                (_, Some((_, word))) => block.marks.push((*word).to_owned()),
                (Some(part), None) => block.parts.push(part),
                (None, None) => {
                    block.whole = true;
                    block.parts = (0..parts).collect();
                }
            }
        }
        let growing: Vec<usize> = step
            .reveals
            .iter()
            .map(|reveal| reveal.block)
            .filter(|block| scene.blocks[*block].grows())
            .collect();
        for page in 0..motion(scene, number).pages {
            let time = f64::from(page) / f64::from(GROWTH_PAGES);
            let grown = (page < GROWTH_PAGES).then_some(ease_out(time));
            growing.iter().for_each(|block| shown[*block].grown = grown);
            pages.push(shown.clone());
        }
    }
    pages
}
