//! Writes the Typst source of a scene.

use reel_scene::look::Look;
use reel_scene::{Layout, Scene};

use super::blocks::block_source;
use super::literal::{breakable, literal};
use super::look_source::look_source;
use super::motions::{GROWTH_PAGES, motion};
use crate::draw::motion::ease_out;

/// Relative height of charts and figures beside other blocks.
const DRAWING_BESIDE_OTHERS: f64 = 0.62;

/// Writes the complete Typst source of a scene: one page before the first step, then the pages of each step, whose number
/// [`super::motions`] returns. Compiles each formula; one that Typst cannot compile is shown as its LaTeX source.
pub fn source(scene: &Scene, look: &Look) -> String {
    let layout = match scene.layout {
        Layout::Title => "title",
        Layout::Content => "content",
        Layout::Section => "section",
        Layout::Closing => "closing",
    };
    let mut text = String::from("#import \"theme.typ\": *\n\n#let t = (\n");
    let drawings = if scene.blocks.len() > 1 { DRAWING_BESIDE_OTHERS } else { 1.0 };
    text.push_str(&look_source(look, drawings));
    text.push_str(")\n\n#scene(t,\n");
    text.push_str(&format!("  layout: {},\n", literal(layout)));
    text.push_str(&format!("  title: {},\n", literal(&breakable(&scene.title))));
    text.push_str("  blocks: (\n");
    for block in &scene.blocks {
        text.push_str(&format!("    {},\n", block_source(block, look)));
    }
    text.push_str("  ),\n  pages: (\n");
    for page in shown_by_page(scene) {
        let entries: String = page.iter().map(|shown| format!("{shown}, ")).collect();
        text.push_str(&format!("    ({}),\n", entries.trim_end_matches(' ')));
    }
    text.push_str("  ),\n)\n");
    text
}

/// The visible part of one block on a page.
#[derive(Debug, Clone, PartialEq, Default)]
struct Shown {
    whole: bool,
    parts: Vec<usize>,
    /// Growth from 0 to 1, while the block grows.
    grown: Option<f64>,
}

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self { grown: Some(share), .. } => write!(f, "{share:.4}"),
            Self { whole: true, .. } => f.write_str("true"),
            Self { parts, .. } if parts.is_empty() => f.write_str("false"),
            Self { parts, .. } => {
                write!(f, "({})", parts.iter().map(|part| format!("{part},")).collect::<String>())
            }
        }
    }
}

/// Returns the visible part of each block, for each page.
fn shown_by_page(scene: &Scene) -> Vec<Vec<Shown>> {
    let mut shown = vec![Shown::default(); scene.blocks.len()];
    let mut pages = Vec::with_capacity(scene.steps.len());
    for (number, step) in scene.steps.iter().enumerate() {
        for reveal in &step.reveals {
            let Some(block) = shown.get_mut(reveal.block) else { continue };
            match reveal.part {
                Some(part) => block.parts.push(part),
                None => block.whole = true,
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
