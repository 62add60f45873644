//! Chooses the motion of each step of a scene.

use reel_scene::{Block, Entrance, Layout, Reveal, Scene, Step};

use super::beats::split_steps;
use super::source::is_quotation;
use crate::draw::step_motion::{Moving, StepMotion};

/// Pages on which a block grows, after the one on which it appears.
pub(super) const GROWTH_PAGES: u32 = 24;

/// Returns the motion of each beat of a scene, without moves: [`Pages::find_moves`](super::Pages::find_moves) finds those on
/// the pages.
pub fn motions(scene: &Scene) -> Vec<StepMotion> {
    motions_of_steps(&split_steps(scene))
}

/// Returns the motion of each step of a scene whose steps are beats.
pub(crate) fn motions_of_steps(scene: &Scene) -> Vec<StepMotion> {
    (0..scene.steps.len()).map(|step| motion(scene, step)).collect()
}

/// Returns the motion of one step.
pub(super) fn motion(scene: &Scene, step: usize) -> StepMotion {
    let entrance = |step: &Step| {
        let filled = scene.layout == Layout::Section || is_quotation(scene);
        let own = revealed_blocks(scene, step).next().map_or(Entrance::Fade, Block::entrance);
        step.enter.unwrap_or(if filled { Entrance::Fade } else { own })
    };
    let own = &scene.steps[step];
    let before = step.checked_sub(1).map(|before| entrance(&scene.steps[before]));
    // The first formula has no formula to morph from.
    let entrance = match entrance(own) {
        Entrance::Morph if before != Some(Entrance::Morph) => Entrance::Wipe,
        entrance => entrance,
    };
    let grows = revealed_blocks(scene, own).any(Block::grows);
    let goes_on = |reveal: &Reveal| {
        matches!(scene.blocks.get(reveal.block), Some(Block::Code { .. }))
            && reveal.part.is_some_and(|part| part > 0)
    };
    let moving = match entrance {
        Entrance::Morph => Moving::Terms(vec![]),
        _ if own.reveals.iter().any(goes_on) => Moving::Highlight(None),
        _ => Moving::None,
    };
    StepMotion { entrance, pages: if grows { 1 + GROWTH_PAGES } else { 1 }, moving }
}

fn revealed_blocks<'a>(scene: &'a Scene, step: &'a Step) -> impl Iterator<Item = &'a Block> {
    step.reveals.iter().filter_map(|reveal| scene.blocks.get(reveal.block))
}
