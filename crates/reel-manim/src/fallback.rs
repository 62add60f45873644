//! Pages of ours that stand for animations that cannot be drawn.

use reel_scene::{Animation, Block, RichText, Scene};

/// Lines of code that fit a page.
const MAX_CODE_LINES: usize = 16;

/// Returns the scene with a page of ours in place of an animation.
pub fn native_scene(scene: &Scene) -> Scene {
    let mut scene = scene.clone();
    if let Some((animation, _)) = scene.manim() {
        scene.blocks = vec![fallback(animation)];
    }
    scene
}

/// Returns the block that shows the same, as far as our own engine can.
pub fn fallback(animation: &Animation) -> Block {
    match animation {
        Animation::Code { code } => {
            let lines: Vec<&str> = code.trim_end().lines().collect();
            let text = match lines.len() > MAX_CODE_LINES {
                true => format!("{}\n# …", lines[..MAX_CODE_LINES - 1].join("\n")),
                false => lines.join("\n"),
            };
            Block::Code { language: Some("python".to_owned()), text, groups: vec![] }
        }
        Animation::FunctionPlot { functions, range } => {
            Block::Plot { functions: functions.clone(), range: *range }
        }
        Animation::Construction { shapes } => Block::Figure { shapes: shapes.clone() },
        Animation::Surface { function, .. } => statement(format!("z = {function}")),
        Animation::VectorField { components, .. } => {
            statement(format!("(x, y) → ({}, {})", components[0], components[1]))
        }
        Animation::MatrixTransformation { matrix } => {
            let row = |row: &[reel_scene::Number; 2]| {
                row.iter().map(|value| RichText::plain(value.get().to_string())).collect()
            };
            Block::Table {
                header: vec![RichText::plain("x"), RichText::plain("y")],
                rows: matrix.iter().map(row).collect(),
            }
        }
        Animation::Derivation { lines } => statement(lines.join("\n")),
    }
}

fn statement(text: String) -> Block {
    Block::Statement { text: RichText::plain(text), icons: vec![] }
}
