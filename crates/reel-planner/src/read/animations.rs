//! Animations in listings: code for Manim.

use reel_scene::{Animation, Block, Scene, Step, check};

/// Reads a listing in the language `manim`; `None` for another one, and for one that the rules of scenes refuse.
pub(crate) fn read(language: Option<&str>, text: &str) -> Option<Block> {
    if language? != "manim" {
        return None;
    }
    let animation = Animation::Code { code: text.to_owned() };
    let block = Block::Manim { animation, duration_ms: None };
    let (title, blocks, steps) = ("-".to_owned(), vec![block.clone()], vec![Step::new("a", vec![])]);
    let faults = check::faults(&[Scene { title, blocks, steps, ..Scene::default() }]);
    faults.is_empty().then_some(block)
}
