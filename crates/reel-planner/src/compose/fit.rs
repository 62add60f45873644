//! Estimates whether a composition fits its page in type that can be read: 36 px and more.

use reel_scene::{Arrangement, Block, Item};

use crate::arrange::capacity::{block_height_px, wrapped_lines};

/// Width of a page between its margins, in pixels.
const WIDTH_PX: usize = 1660;
/// Height below the heading, in pixels.
const HEIGHT_PX: usize = 740;
/// A line and an average character of 36 px type.
const LINE_PX: usize = 56;
const CHARACTER_PX: usize = 18;
/// Room between items.
const GAP_PX: usize = 40;
/// An icon in its disc, or a number in its place.
const MARK_PX: usize = 130;

/// Returns `true` for blocks, the last of which is the composition, that fit a page.
pub(super) fn fits(blocks: &[Block]) -> bool {
    let Some((main, above)) = blocks.split_last() else { return true };
    let above: usize = above.iter().map(|block| block_height_px(block) as usize).sum();
    let needed = match main {
        Block::Items { arrangement, items, center } => height_px(*arrangement, items, center.as_ref()),
        block => block_height_px(block) as usize,
    };
    above + needed <= HEIGHT_PX
}

/// Returns the height that items need.
fn height_px(arrangement: Arrangement, items: &[Item], center: Option<&Item>) -> usize {
    let count = items.len();
    match arrangement {
        Arrangement::Cards => {
            let columns = if count > 4 { count.div_ceil(2) } else { count };
            let rows = count.div_ceil(columns.max(1));
            rows * (MARK_PX + 2 * GAP_PX + tallest(items, WIDTH_PX / columns.max(1) - GAP_PX - 80))
                + (rows - 1) * GAP_PX
        }
        Arrangement::Process | Arrangement::Dates if count <= 5 => {
            let beside = MARK_PX + 2 * GAP_PX + tallest(items, WIDTH_PX / count.max(1) - GAP_PX);
            beside.min(stacked(items, WIDTH_PX - MARK_PX, 90))
        }
        Arrangement::Checklist
        | Arrangement::Notes
        | Arrangement::Ranking
        | Arrangement::Process
        | Arrangement::Dates => stacked(items, WIDTH_PX - MARK_PX, 90),
        Arrangement::Versus | Arrangement::BeforeAfter | Arrangement::ProsCons => {
            let side = |item: &Item| {
                let width = WIDTH_PX / 2 - 160;
                let points: usize =
                    item.points.iter().map(|point| lines(&point.to_plain(), width) * LINE_PX + 20).sum();
                item_height(item, width) + points
            };
            MARK_PX + 2 * GAP_PX + items.iter().map(side).max().unwrap_or(0)
        }
        Arrangement::Hub => 300 + 2 * tallest(items, 340),
        Arrangement::Causes => {
            let effect = center.map_or(0, |center| item_height(center, 420));
            stacked(items, 520, 110).max(effect + 2 * GAP_PX)
        }
        Arrangement::Funnel | Arrangement::Pyramid => stacked(items, WIDTH_PX / 2, 100),
        Arrangement::Cycle => 360 + 2 * tallest(items, 400),
        Arrangement::Venn => 360 + tallest(items, 360),
        Arrangement::Tree => 600,
    }
}

fn tallest(items: &[Item], width: usize) -> usize {
    items.iter().map(|item| item_height(item, width)).max().unwrap_or(0)
}

fn stacked(items: &[Item], width: usize, least: usize) -> usize {
    items.iter().map(|item| (item_height(item, width) + GAP_PX / 2).max(least)).sum::<usize>()
}

fn item_height(item: &Item, width: usize) -> usize {
    let text = item.text.to_plain();
    let rows = |text: &str| if text.is_empty() { 0 } else { lines(text, width) };
    // Titles are bold, and so a little wider.
    (rows(&text) + rows(&format!("{}{}", item.title, " ".repeat(item.title.len() / 8)))) * LINE_PX
}

fn lines(text: &str, width: usize) -> usize {
    wrapped_lines(text, (width / CHARACTER_PX).max(6))
}
