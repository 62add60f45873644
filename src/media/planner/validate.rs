//! The promises that every scene description keeps, whoever wrote it.

use crate::media::scene::{Block, Layout, RichText, SCENE_COUNT, Scene};

use super::speech::is_speakable;

/// What is wrong with a scene description; scenes, blocks and steps are counted from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    #[error("{count} scenes, allowed are {min} to {max}", min = SCENE_COUNT.start(), max = SCENE_COUNT.end())]
    SceneCount { count: usize },
    #[error("scene {scene} is a {found:?} scene, expected {expected:?}")]
    Layout { scene: usize, found: Layout, expected: Layout },
    #[error("scene {scene} has a blank title")]
    BlankTitle { scene: usize },
    #[error("scene {scene} has no step, expected at least 1")]
    NoSteps { scene: usize },
    #[error("scene {scene}, step {step}: the narration {narration:?} has no letter or digit")]
    Unspeakable { scene: usize, step: usize, narration: String },
    #[error("scene {scene}, step {step} reveals block {block}, part {part:?}, which does not exist")]
    RevealOutOfRange { scene: usize, step: usize, block: usize, part: Option<usize> },
    #[error("scene {scene}, block {block}, part {part:?} is revealed {count} times, expected once")]
    RevealCount { scene: usize, block: usize, part: Option<usize>, count: usize },
    #[error("scene {scene}, block {block} has nothing to show")]
    EmptyBlock { scene: usize, block: usize },
}

/// Checks a whole video: the number of scenes, the opening and closing cards, and every scene.
///
/// Returns the first violation in scene order.
pub fn validate(scenes: &[Scene]) -> Result<(), Violation> {
    if !SCENE_COUNT.contains(&scenes.len()) {
        return Err(Violation::SceneCount { count: scenes.len() });
    }
    for (index, scene) in scenes.iter().enumerate() {
        let expected = match index {
            0 => Layout::Title,
            last if last + 1 == scenes.len() => Layout::Closing,
            _ => Layout::Content,
        };
        if scene.layout != expected {
            return Err(Violation::Layout { scene: index, found: scene.layout, expected });
        }
        validate_scene(index, scene)?;
    }
    Ok(())
}

fn validate_scene(index: usize, scene: &Scene) -> Result<(), Violation> {
    if scene.title.trim().is_empty() {
        return Err(Violation::BlankTitle { scene: index });
    }
    if scene.steps.is_empty() {
        return Err(Violation::NoSteps { scene: index });
    }
    for (step, line) in scene.steps.iter().enumerate() {
        if !is_speakable(&line.narration) {
            return Err(Violation::Unspeakable { scene: index, step, narration: line.narration.clone() });
        }
    }
    for (block, content) in scene.blocks.iter().enumerate() {
        if is_empty(content) {
            return Err(Violation::EmptyBlock { scene: index, block });
        }
    }
    validate_reveals(index, scene)
}

/// Every block, or every row of a table, is revealed by exactly one step.
fn validate_reveals(index: usize, scene: &Scene) -> Result<(), Violation> {
    // A table counts once per row, anything else once.
    let mut counts: Vec<Vec<usize>> =
        scene.blocks.iter().map(|block| vec![0; parts(block).unwrap_or(1)]).collect();
    for (step, line) in scene.steps.iter().enumerate() {
        for reveal in &line.reveals {
            let (block, part) = (reveal.block, reveal.part);
            let is_table = scene.blocks.get(block).is_some_and(|block| parts(block).is_some());
            let count = counts.get_mut(block).and_then(|block| block.get_mut(part.unwrap_or(0)));
            match count {
                Some(count) if is_table == part.is_some() => *count += 1,
                _ => return Err(Violation::RevealOutOfRange { scene: index, step, block, part }),
            }
        }
    }
    for (block, counts) in counts.iter().enumerate() {
        if let Some(part) = counts.iter().position(|&count| count != 1) {
            let count = counts[part];
            let part = parts(&scene.blocks[block]).map(|_| part);
            return Err(Violation::RevealCount { scene: index, block, part, count });
        }
    }
    Ok(())
}

fn parts(block: &Block) -> Option<usize> {
    match block {
        Block::Table { rows, .. } => Some(rows.len()),
        _ => None,
    }
}

fn is_empty(block: &Block) -> bool {
    let blank = |text: &RichText| text.0.iter().all(|span| span.text.trim().is_empty());
    match block {
        Block::Paragraph { text }
        | Block::Bullet { text }
        | Block::Numbered { text, .. }
        | Block::Quote { text } => blank(text),
        Block::Code { text, .. } | Block::Formula { latex: text } => text.trim().is_empty(),
        Block::Table { rows, .. } => rows.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::scene::{Reveal, Step};

    fn video() -> Vec<Scene> {
        let scene = |layout| Scene {
            layout,
            title: "Title".into(),
            blocks: vec![Block::Paragraph { text: RichText::plain("Text.") }],
            steps: vec![Step { narration: "Text.".into(), reveals: vec![Reveal { block: 0, part: None }] }],
        };
        vec![scene(Layout::Title), scene(Layout::Content), scene(Layout::Closing)]
    }

    #[test]
    fn a_sound_video_has_no_violation() {
        assert_eq!(validate(&video()), Ok(()));
    }

    #[test]
    fn each_broken_promise_is_named() {
        let broken = |change: fn(&mut Vec<Scene>)| {
            let mut scenes = video();
            change(&mut scenes);
            validate(&scenes).expect_err("the change breaks a promise")
        };
        assert_eq!(broken(|s| s.truncate(2)), Violation::SceneCount { count: 2 });
        let layout = Violation::Layout { scene: 1, found: Layout::Title, expected: Layout::Content };
        assert_eq!(broken(|s| s[1].layout = Layout::Title), layout);
        assert_eq!(broken(|s| s[1].title = " ".into()), Violation::BlankTitle { scene: 1 });
        assert_eq!(broken(|s| s[2].steps.clear()), Violation::NoSteps { scene: 2 });
        let narration = "...".to_owned();
        let unspeakable = Violation::Unspeakable { scene: 0, step: 0, narration };
        assert_eq!(broken(|s| s[0].steps[0].narration = "...".into()), unspeakable);
        let out = Violation::RevealOutOfRange { scene: 0, step: 0, block: 1, part: None };
        assert_eq!(broken(|s| s[0].steps[0].reveals[0].block = 1), out);
        let never = Violation::RevealCount { scene: 0, block: 0, part: None, count: 0 };
        assert_eq!(broken(|s| s[0].steps[0].reveals.clear()), never);
        let empty = Violation::EmptyBlock { scene: 0, block: 0 };
        assert_eq!(broken(|s| s[0].blocks = vec![Block::Paragraph { text: RichText::plain(" ") }]), empty);
    }

    #[test]
    fn each_row_of_a_table_is_revealed_once() {
        let mut scenes = video();
        let row = vec![RichText::plain("cell")];
        scenes[1].blocks = vec![Block::Table { header: row.clone(), rows: vec![row.clone(), row] }];
        scenes[1].steps[0].reveals = vec![Reveal { block: 0, part: Some(0) }];
        let missing = Violation::RevealCount { scene: 1, block: 0, part: Some(1), count: 0 };
        assert_eq!(validate(&scenes), Err(missing));
        scenes[1].steps[0].reveals.push(Reveal { block: 0, part: Some(1) });
        assert_eq!(validate(&scenes), Ok(()));
    }
}
