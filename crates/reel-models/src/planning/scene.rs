//! The description of one scene.

use std::ops::RangeInclusive;

use reel_scene::{Layout, Scene, description};

use super::object;
use super::outline::Outline;

const BLOCKS: RangeInclusive<usize> = 1..=6;
const STEPS: RangeInclusive<usize> = 1..=8;
/// Characters of a line: about half a minute.
const MAX_NARRATION_CHARACTERS: usize = 400;

/// Reads an answer, or returns its faults. The scene shows no file: a model knows of none.
pub(super) fn read(answer: &str, outline: &Outline) -> Result<Scene, Vec<String>> {
    let no_picture = |_: &str| Err("names a file, but the scene can show none".to_owned());
    let read = description::read_scenes(&[object(answer)?], &no_picture);
    let scenes = read.map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let [mut scene] = <[Scene; 1]>::try_from(scenes).map_err(|_| vec!["is no scene".to_owned()])?;
    let faults = faults(&scene);
    if !faults.is_empty() {
        return Err(faults);
    }
    scene.layout = Layout::Content;
    scene.language.clone_from(&outline.language);
    Ok(scene)
}

/// A scene of a model is smaller than a user's may be.
fn faults(scene: &Scene) -> Vec<String> {
    let mut faults = vec![];
    for (what, found, allowed) in
        [("blocks", scene.blocks.len(), BLOCKS), ("steps", scene.steps.len(), STEPS)]
    {
        if !allowed.contains(&found) {
            faults.push(format!(
                "has {found} {what}, but must have {} to {}",
                allowed.start(),
                allowed.end()
            ));
        }
    }
    for (index, step) in scene.steps.iter().enumerate() {
        let characters = step.narration.chars().count();
        if characters > MAX_NARRATION_CHARACTERS {
            faults.push(format!(
                "steps.{index}.narration: has {characters} characters, but must have at most {MAX_NARRATION_CHARACTERS}"
            ));
        }
    }
    faults
}
