//! Composes pages that show several kinds of things: a listing, a diagram, a table or formulas with what is said of them, and lists
//! of sentences.
//!
//! Such pages come with a block for every sentence. Here sentences become bullets, shorter where a part is a whole thought, and
//! those that tell a quantity at several values of another become a chart. Nothing spoken changes.

use reel_scene::check;
use reel_scene::{Block, Layout, Reveal, Scene, SpanStyle, Step};

use crate::arrange::capacity::{PAGE_HEIGHT_PX, block_height_px};
use crate::compose::series;
use crate::language::condense::{MAX_WORDS, condense, condense_plain, condense_sentence};
use crate::language::words::word_count;
use crate::show::reveals;

/// A lone sentence of this many words is shown whole: two lines, with a page to itself.
const MAX_WHOLE_WORDS: usize = 16;

/// Returns the page with its blocks as they are shown.
pub(crate) fn compose(scene: Scene) -> Scene {
    if scene.layout != Layout::Content {
        return scene;
    }
    let mut page = Page { shown: vec![], targets: vec![], scene };
    while page.targets.len() < page.scene.blocks.len() {
        let from = page.targets.len();
        let _is_shown = page.diagram(from) || page.line(from) || page.text(from);
    }
    page.finish()
}

/// A page whose blocks are replaced one after the other. Each attempt at a picture returns `true` when it succeeds.
struct Page {
    scene: Scene,
    shown: Vec<Block>,
    /// For each of the scene's blocks, the block in `shown` that replaces it; `None` if it is only spoken.
    targets: Vec<Option<usize>>,
}

impl Page {
    /// Returns the text of a sentence or an item.
    fn plain(&self, block: usize) -> Option<String> {
        match self.scene.blocks.get(block)? {
            Block::Paragraph { text } | Block::Bullet { text } => Some(text.to_plain()),
            _ => None,
        }
    }

    /// Returns the plain texts from a block on, as long as there are any.
    fn run(&self, from: usize) -> Vec<String> {
        (from..self.scene.blocks.len()).map_while(|block| self.plain(block)).collect()
    }

    fn show(&mut self, block: Block) -> bool {
        self.targets.push(Some(self.shown.len()));
        self.shown.push(block);
        true
    }

    /// Returns `true` when a block can replace `count` blocks: it is valid, and it fits the page.
    fn accepts(&self, block: &Block, from: usize, count: usize) -> bool {
        let others = self.shown.iter().chain(&self.scene.blocks[from + count..]);
        let height = others.chain([block]).map(block_height_px).fold(0, u32::saturating_add);
        height <= PAGE_HEIGHT_PX && are_valid(std::slice::from_ref(block))
    }

    fn diagram(&mut self, from: usize) -> bool {
        let block = self.scene.blocks[from].clone();
        matches!(block, Block::Diagram { .. }) && self.show(block)
    }

    /// Sentences that tell the same quantity at several values of another.
    fn line(&mut self, from: usize) -> bool {
        let run = self.run(from);
        let texts: Vec<&str> = run.iter().map(String::as_str).collect();
        let longest = (2..=texts.len()).rev().find_map(|count| Some((count, series(&texts[..count])?)));
        let Some((count, chart)) = longest else { return false };
        if !self.accepts(&chart, from, count) {
            return false;
        }
        self.show(chart);
        self.targets.extend((1..count).map(|_| None));
        true
    }

    /// Shows the thought or the keyword of a sentence, and anything else as it is.
    fn text(&mut self, from: usize) -> bool {
        let alone = self.scene.blocks.len() == 1;
        let block = match &self.scene.blocks[from] {
            Block::Paragraph { text } if alone && word_count(&text.to_plain()) <= MAX_WHOLE_WORDS => {
                Block::Paragraph { text: text.clone() }
            }
            // A heading that ran into this page stays one.
            Block::Paragraph { text } if text.0.iter().all(|span| span.style == SpanStyle::Strong) => {
                Block::Paragraph { text: text.clone() }
            }
            Block::Paragraph { text } => Block::Bullet { text: condense_sentence(text) },
            Block::Bullet { text } => Block::Bullet { text: condense(text) },
            Block::Numbered { number, text } => Block::Numbered { number: *number, text: condense(text) },
            other => other.clone(),
        };
        self.show(block)
    }

    fn finish(self) -> Scene {
        let Self { mut scene, shown, targets } = self;
        for step in &mut scene.steps {
            let reveals = step.reveals.iter().filter_map(|reveal| {
                let block = targets.get(reveal.block).copied().flatten()?;
                Some(Reveal { block, part: reveal.part })
            });
            step.reveals = reveals.collect();
        }
        scene.blocks = shown;
        scene.title = condense_heading(&scene.title);
        reveals::leave_the_page_to_an_animation(&mut scene);
        reveals::reveal_code_in_groups(&mut scene);
        reveals::reveal_flows(&mut scene);
        scene
    }
}

/// Shortens a heading to at most eight words.
fn condense_heading(title: &str) -> String {
    if word_count(title) <= MAX_WORDS { title.to_owned() } else { condense_plain(title) }
}

/// Returns `true` for blocks that the rules of scenes allow.
pub(crate) fn are_valid(blocks: &[Block]) -> bool {
    let scene = Scene {
        title: "-".to_owned(),
        blocks: blocks.to_vec(),
        steps: vec![Step::new("a", Vec::new())],
        ..Scene::default()
    };
    check::faults(&[scene]).is_empty()
}

#[cfg(test)]
mod tests {
    use reel_scene::Animation;

    use super::*;
    use crate::{Request, plan};

    /// The blocks of the content scenes of a script.
    fn blocks(script: &str) -> Vec<Block> {
        let request =
            Request { topic: "Topic", context: None, script: Some(script), title: None, duration_ms: None };
        let scenes = plan(&request).unwrap().scenes;
        scenes
            .into_iter()
            .filter(|scene| scene.layout == Layout::Content)
            .flat_map(|scene| scene.blocks)
            .collect()
    }

    #[test]
    fn a_diagram_beside_lines_appears_with_all_of_them() {
        let script = "# Flow\n\n## Stages\n\nThe job goes on. Each is done once.\n\n```mermaid\nflowchart LR\n A[Plan] --> B[Speak]\n \
                      B --> C[Draw]\n```\n\nThat is all there is. Really.";
        let request =
            Request { topic: "Topic", context: None, script: Some(script), title: None, duration_ms: None };
        let scenes = plan(&request).unwrap().scenes;
        let scene = scenes.iter().find(|scene| scene.title == "Stages").unwrap();
        let flow = scene.blocks.iter().position(|block| matches!(block, Block::Diagram { .. })).unwrap();
        let parts = scene.steps.iter().map(|step| {
            step.reveals
                .iter()
                .filter(|reveal| reveal.block == flow)
                .filter_map(|reveal| reveal.part)
                .collect()
        });
        assert_eq!(parts.collect::<Vec<Vec<usize>>>(), [vec![0, 1], vec![2]]);
    }

    /// 001-1.3: code for Manim in a script becomes an animation with what is said around it.
    #[test]
    fn an_animation_has_its_page_and_the_lines_around_it_are_spoken() {
        let script = "# Shapes\n\n## Circles\n\nA circle is drawn. It is round.\n\n```manim\nfrom manim import *\n\n\n\
                      class A(Scene):\n    def construct(self):\n        self.play(Create(Circle()))\n```\n\n\
                      Then it stays. Nothing else is there.\n\n## Squares\n\nA square has four sides.";
        let request =
            Request { topic: "Topic", context: None, script: Some(script), title: None, duration_ms: None };
        let scenes = plan(&request).unwrap().scenes;
        let shown: Vec<_> = scenes.iter().filter(|scene| scene.manim().is_some()).collect();
        let [scene] = &shown[..] else { panic!("{scenes:#?}") };
        let (animation, _) = scene.manim().unwrap();
        assert!(
            matches!(animation, Animation::Code { code } if code.ends_with("self.play(Create(Circle()))")),
            "{animation:?}"
        );
        let spoken: Vec<&str> = scene.steps.iter().map(|step| step.narration.as_str()).collect();
        assert!(spoken.starts_with(&["A circle is drawn.", "It is round."]), "{spoken:?}");
        // The sentences after it are on its page, or on one of their own.
        let all = scenes.iter().flat_map(|scene| &scene.steps).map(|step| step.narration.as_str());
        let all: Vec<&str> = all.collect();
        assert!(
            ["Then it stays.", "Nothing else is there."].iter().all(|line| all.contains(line)),
            "{all:?}"
        );
        assert!(crate::validate(&scenes).is_empty(), "{:?}", crate::validate(&scenes));
    }

    #[test]
    fn code_appears_in_groups_with_the_lines_about_it() {
        let script = "## Code\n\nIt begins. It goes on.\n\n```python\nimport os\n\ndef f():\n    return 1\n\nprint(f())\n```\n\nThe end.";
        let blocks = blocks(script);
        let groups = blocks.iter().find_map(|block| match block {
            Block::Code { groups, .. } => Some(groups.clone()),
            _ => None,
        });
        assert_eq!(groups, Some(vec![2, 4]));
    }
}
