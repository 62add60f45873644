//! What the planner makes of whole scripts, so that a change of a rule shows where else it is felt.
//!
//! A plan is in `snapshots/`, as text to read. After a change that is meant: `INSTA_UPDATE=always cargo nextest run -p
//! reel-planner plans`, and look at the difference before it is committed.

// Tests state what must hold; an unwrap that fails is a failed test.
#![allow(clippy::unwrap_used)]

use std::fmt::Write;
use std::path::{Path, PathBuf};

use reel_planner::{Plan, Request, plan, validate};
use reel_scene::Scene;

/// Scripts of this crate, and those that the whole program is tested with.
const FOLDERS: [&str; 2] = ["tests/scripts", "../../tests/fixtures/scripts"];

fn scripts() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = |folder| std::fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut scripts: Vec<PathBuf> = FOLDERS.into_iter().flat_map(files).collect();
    scripts.sort();
    scripts
}

#[test]
fn plans_are_those_that_were_read_before() {
    let scripts = scripts();
    assert!(scripts.len() >= 13, "{scripts:?}");
    for path in scripts {
        let script = std::fs::read_to_string(&path).unwrap();
        for (suffix, duration_ms) in [("", None), ("-in-30-s", Some(30_000))] {
            let request =
                Request { topic: "A topic", context: None, script: Some(&script), title: None, duration_ms };
            let plan = plan(&request).unwrap();
            assert_eq!(validate(&plan.scenes), vec![], "{}", path.display());
            let name = format!("{}{suffix}", path.file_stem().unwrap().display());
            insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
                insta::assert_snapshot!(name, text_of(&plan));
            });
        }
    }
}

/// A plan to read: what is said, and in JSON what is shown with it.
fn text_of(plan: &Plan) -> String {
    let mut text = format!("{}, {} sentences left out\n", plan.title, plan.omitted_sentences);
    for (number, scene) in plan.scenes.iter().enumerate() {
        write_scene(&mut text, number, scene);
    }
    text
}

fn write_scene(text: &mut String, number: usize, scene: &Scene) {
    writeln!(text, "\n{}. {} ({:?}, {:?})", number + 1, scene.title, scene.layout, scene.leave).unwrap();
    for (index, block) in scene.blocks.iter().enumerate() {
        writeln!(text, "   [{index}] {}", serde_json::to_string(block).unwrap()).unwrap();
    }
    for step in &scene.steps {
        let reveals: Vec<String> = step
            .reveals
            .iter()
            .map(|reveal| match reveal.part {
                Some(part) => format!("{}.{part}", reveal.block),
                None => reveal.block.to_string(),
            })
            .collect();
        let enter = step.enter.map(|enter| format!(" {enter:?}")).unwrap_or_default();
        writeln!(text, "   > {} [{}]{enter}", step.narration, reveals.join(", ")).unwrap();
    }
}
