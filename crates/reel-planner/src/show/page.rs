//! Composes what a page shows while its sentences are spoken: few words, and pictures where the text has their content.
//!
//! Pages come with a block for every sentence. Here sentences become bullets, shorter where a part is a whole thought, and some
//! become what they describe: a definition, steps, a comparison, a chart or a number. Nothing spoken changes.

use reel_scene::{
    Block, ChartKind, ComparisonSide, FlowEdge, Layout, Number, Reveal, RichText, Scene, Series, SpanStyle,
    Step, TimelineItem,
};

use reel_scene::check;

use crate::arrange::capacity::{PAGE_HEIGHT_PX, block_height_px};
use crate::language::condense::{MAX_WORDS, condense, condense_plain, statement};
use crate::language::patterns::{definition, quantity_pair, step_word, versus};
use crate::language::quantities::{Quantity, quantities};
use crate::language::sequence;
use crate::language::words::{capitalize, stem, word_count};
use crate::read::mermaid;
use crate::show::reveals;

/// Steps that are worth a timeline; more than seven get too small to read.
const STEPS: std::ops::RangeInclusive<usize> = 3..=7;
/// Items of a numbered list that becomes a timeline.
const NUMBERED_STEPS: std::ops::RangeInclusive<usize> = 2..=7;
/// A lone sentence of this many words is shown whole: two lines, with a page to itself.
const MAX_WHOLE_WORDS: usize = 16;
/// Blocks beside a number that fills half the page, at most.
const MAX_BESIDE_COUNTER: usize = 3;

/// Returns the page with its blocks as they are shown.
pub(crate) fn compose(scene: Scene) -> Scene {
    if scene.layout != Layout::Content {
        return scene;
    }
    let mut page = Page { shown: vec![], targets: vec![], scene };
    while page.targets.len() < page.scene.blocks.len() {
        let from = page.targets.len();
        let _is_shown = page.flow(from)
            || page.numbered(from)
            || page.sequence(from)
            || page.steps(from)
            || page.comparison(from)
            || page.line(from)
            || page.definition(from)
            || page.counter(from)
            || page.text(from);
    }
    page.finish()
}

/// A page whose blocks are replaced one after the other. Each attempt at a picture returns `true` when it succeeds.
struct Page {
    scene: Scene,
    shown: Vec<Block>,
    /// For each of the scene's blocks, the block in `shown` that replaces it, and its part; `None` if it is only spoken.
    targets: Vec<Option<(usize, Option<usize>)>>,
}

impl Page {
    /// Returns the text of a sentence or an item.
    fn rich_text(&self, block: usize) -> Option<&RichText> {
        match self.scene.blocks.get(block)? {
            Block::Paragraph { text } | Block::Bullet { text } => Some(text),
            _ => None,
        }
    }

    fn plain(&self, block: usize) -> Option<String> {
        self.rich_text(block).map(RichText::to_plain)
    }

    /// Returns the plain texts from a block on, as long as there are any.
    fn run(&self, from: usize) -> Vec<String> {
        (from..self.scene.blocks.len()).map_while(|block| self.plain(block)).collect()
    }

    /// Shows one block for several, each as a part of it.
    fn show_parts(&mut self, block: Block, count: usize) -> bool {
        let index = self.shown.len();
        self.targets.extend((0..count).map(|part| Some((index, Some(part)))));
        self.shown.push(block);
        true
    }

    fn show_timeline(&mut self, items: Vec<TimelineItem>) -> bool {
        let count = items.len();
        let timeline = Block::Timeline { items };
        is_valid(&timeline) && self.show_parts(timeline, count)
    }

    fn show(&mut self, block: Block) -> bool {
        self.targets.push(Some((self.shown.len(), None)));
        self.shown.push(block);
        true
    }

    /// Returns `true` when a block can replace `count` blocks: it is valid, and it fits the page.
    fn accepts(&self, block: &Block, from: usize, count: usize) -> bool {
        let others = self.shown.iter().chain(&self.scene.blocks[from + count..]);
        let height = others.chain([block]).map(block_height_px).fold(0, u32::saturating_add);
        height <= PAGE_HEIGHT_PX && is_valid(block)
    }

    fn flow(&mut self, from: usize) -> bool {
        let Block::Code { language, text, .. } = &self.scene.blocks[from] else { return false };
        if language.as_deref() != Some("mermaid") {
            return false;
        }
        let Some(flow) = mermaid::read(text) else { return false };
        self.accepts(&flow, from, 1) && self.show(flow)
    }

    fn numbered(&mut self, from: usize) -> bool {
        let items: Vec<TimelineItem> = self.scene.blocks[from..]
            .iter()
            .map_while(|block| match block {
                Block::Numbered { text, .. } => Some(item(&text.to_plain())),
                _ => None,
            })
            .collect();
        let begins_at_one = matches!(self.scene.blocks[from], Block::Numbered { number: 1, .. });
        let count = items.len();
        begins_at_one && NUMBERED_STEPS.contains(&count) && self.show_timeline(items)
    }

    /// "First …, then …, and finally …" in one sentence.
    fn sequence(&mut self, from: usize) -> bool {
        let Some(nodes) = self.plain(from).as_deref().and_then(sequence::read) else { return false };
        let edge = |to: usize| FlowEdge { from: to - 1, to, label: String::new() };
        let flow = Block::Flow { edges: (1..nodes.len()).map(edge).collect(), nodes };
        self.accepts(&flow, from, 1) && self.show(flow)
    }

    fn steps(&mut self, from: usize) -> bool {
        let run = self.run(from);
        let is_first = |text: &String| step_word(text).is_some_and(|word| word.starts_with("first"));
        if !run.first().is_some_and(is_first) {
            return false;
        }
        let later = run[1..].iter().take_while(|text| step_word(text).is_some() && !is_first(text));
        let count = 1 + later.count();
        if !STEPS.contains(&count) {
            return false;
        }
        self.show_timeline(run[..count].iter().map(|text| item(text)).collect())
    }

    /// "A versus B …", then a sentence for each.
    fn comparison(&mut self, from: usize) -> bool {
        let run = self.run(from);
        let [named, first, second, ..] = &run[..] else { return false };
        let Some((left, right)) = versus(named) else { return false };
        let side = |title: String, text: &str| ComparisonSide {
            title,
            points: vec![RichText::plain(condense_plain(text))],
        };
        let comparison = Block::Comparison { left: side(left, first), right: side(right, second) };
        if !self.accepts(&comparison, from, 3) {
            return false;
        }
        self.targets.push(None);
        self.show_parts(comparison, 2)
    }

    /// Sentences that tell the same quantity at several values of another: "after 500 cycles … 85 percent".
    fn line(&mut self, from: usize) -> bool {
        let run = self.run(from);
        let pairs: Vec<(Quantity, Quantity)> = run.iter().map_while(|text| quantity_pair(text)).collect();
        let Some((first_x, first_y)) = pairs.first() else { return false };
        let same = |(x, y): &&(Quantity, Quantity)| {
            stem(x.kind()) == stem(first_x.kind()) && stem(y.kind()) == stem(first_y.kind())
        };
        let count = pairs.iter().take_while(same).count();
        let rises = pairs[..count].windows(2).all(|pair| pair[0].0.value < pair[1].0.value);
        if count < 2 || !rises || first_x.kind().is_empty() || first_y.kind().is_empty() {
            return false;
        }
        let values = pairs[..count].iter().filter_map(|(_, y)| Number::new(y.value)).collect::<Vec<_>>();
        let labels =
            pairs[..count].iter().map(|(x, _)| format!("{} {}", format_number(x.value), x.kind())).collect();
        let chart = if count == 2 { ChartKind::Bar } else { ChartKind::Line };
        let series = vec![Series { name: String::new(), values }];
        let chart = Block::Chart { chart, unit: first_y.unit.clone(), labels, series };
        if !self.accepts(&chart, from, count) {
            return false;
        }
        self.show(chart);
        self.targets.extend((1..count).map(|_| None));
        true
    }

    fn definition(&mut self, from: usize) -> bool {
        let Some(text) = self.plain(from) else { return false };
        let Some((term, meaning)) = definition(&text) else { return false };
        let block = Block::Definition { term, text: RichText::plain(meaning) };
        self.accepts(&block, from, 1) && self.show(block)
    }

    fn counter(&mut self, from: usize) -> bool {
        let counters = self.shown.iter().filter(|block| matches!(block, Block::Counter { .. })).count();
        if counters > 0 || self.scene.blocks.len() > MAX_BESIDE_COUNTER + 1 {
            return false;
        }
        let Some(text) =
            self.rich_text(from).filter(|text| text.0.iter().all(|span| span.style != SpanStyle::Code))
        else {
            return false;
        };
        let plain = text.to_plain();
        let main = statement(&plain);
        let telling: Vec<Quantity> = quantities(&plain)
            .into_iter()
            .filter(|found| found.is_telling() && main.contains(&found.range.start))
            .collect();
        let [quantity] = &telling[..] else { return false };
        let Some(value) = Number::new(quantity.value) else { return false };
        // A label that ends with the number needs no more words. Otherwise the whole sentence is the label.
        let is_last = quantity.range.end >= main.end;
        let label = &plain[main.start..if is_last { quantity.range.start } else { main.end }];
        let label = capitalize(label.trim().trim_end_matches(['$', '€', '£', '¥']));
        let unit = match quantity.unit.as_str() {
            "percent" => "%".to_owned(),
            unit => unit.to_owned(),
        };
        let (decimals, prefix) = (quantity.decimals, quantity.prefix.clone());
        let counter = Block::Counter { value, decimals, prefix, unit, label };
        self.accepts(&counter, from, 1) && self.show(counter)
    }

    /// Shows the thought of a sentence, and anything else as it is.
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
            Block::Paragraph { text } | Block::Bullet { text } => Block::Bullet { text: condense(text) },
            Block::Numbered { number, text } => Block::Numbered { number: *number, text: condense(text) },
            other => other.clone(),
        };
        self.show(block)
    }

    fn finish(self) -> Scene {
        let Self { mut scene, shown, targets } = self;
        for step in &mut scene.steps {
            let reveals = step.reveals.iter().filter_map(|reveal| {
                let (block, part) = targets.get(reveal.block).copied().flatten()?;
                Some(Reveal { block, part: part.or(reveal.part) })
            });
            step.reveals = reveals.collect();
        }
        scene.blocks = shown;
        scene.title = condense_heading(&scene.title);
        reveals::reveal_code_in_groups(&mut scene);
        reveals::reveal_flows(&mut scene);
        scene
    }
}

/// Shortens a heading to at most eight words.
fn condense_heading(title: &str) -> String {
    if word_count(title) <= MAX_WORDS { title.to_owned() } else { condense_plain(title) }
}

/// Returns `true` for a block that the rules of scenes allow.
fn is_valid(block: &Block) -> bool {
    let scene = Scene {
        title: "-".to_owned(),
        blocks: vec![block.clone()],
        steps: vec![Step::new("a", Vec::new())],
        ..Scene::default()
    };
    check::faults(&[scene]).is_empty()
}

/// Makes an item of a step, without the word that counts it.
fn item(text: &str) -> TimelineItem {
    let rest = step_word(text).map_or(text, |word| text[word.len()..].trim_start_matches([',', ' ']));
    TimelineItem { title: capitalize(&condense_plain(rest)), text: String::new() }
}

/// Writes a number without a fraction where it has none.
fn format_number(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { value.to_string() }
}

#[cfg(test)]
mod tests {
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
    fn steps_become_a_timeline() {
        let script = "## Charging\n\nFirst, the charger pulls electrons out. Then ions leave the cathode. \
                      Finally they slip into the graphite. It is done. That is all.";
        let Block::Timeline { items } = &blocks(script)[0] else { panic!("{:?}", blocks(script)) };
        let titles: Vec<&str> = items.iter().map(|item| item.title.as_str()).collect();
        assert_eq!(
            titles,
            ["The charger pulls electrons out", "Ions leave the cathode", "They slip into the graphite"]
        );
        let list = blocks("## How\n\n1. Keep it cool\n2. Charge slowly\n\nThat is all there is. Really.");
        assert!(matches!(&list[0], Block::Timeline { items } if items.len() == 2), "{list:?}");
    }

    #[test]
    fn a_sequence_in_one_sentence_becomes_a_flow() {
        let script = "## Ways\n\nA request first goes to the parser, then to the planner, and finally to the renderer. \
                      It is quick. So it is.";
        let Block::Flow { nodes, edges } = &blocks(script)[0] else { panic!("{:?}", blocks(script)) };
        assert_eq!(nodes, &["Parser", "Planner", "Renderer"]);
        assert_eq!(edges.iter().map(|edge| (edge.from, edge.to)).collect::<Vec<_>>(), [(0, 1), (1, 2)]);
    }

    #[test]
    fn a_diagram_beside_lines_appears_with_all_of_them() {
        let script = "# Flow\n\n## Stages\n\nThe job goes on. Each is done once.\n\n```mermaid\nflowchart LR\n A[Plan] --> B[Speak]\n \
                      B --> C[Draw]\n```\n\nThat is all there is. Really.";
        let request =
            Request { topic: "Topic", context: None, script: Some(script), title: None, duration_ms: None };
        let scenes = plan(&request).unwrap().scenes;
        let scene = scenes.iter().find(|scene| scene.title == "Stages").unwrap();
        let flow = scene.blocks.iter().position(|block| matches!(block, Block::Flow { .. })).unwrap();
        let parts = scene.steps.iter().map(|step| {
            step.reveals
                .iter()
                .filter(|reveal| reveal.block == flow)
                .filter_map(|reveal| reveal.part)
                .collect()
        });
        assert_eq!(parts.collect::<Vec<Vec<usize>>>(), [vec![0, 1], vec![2]]);
    }

    #[test]
    fn two_things_become_a_comparison() {
        let script = "## Choice\n\nEnergy versus life is the choice. NMC carries you further. LFP lasts longer, and it \
                      needs no cobalt. So it is. Really.";
        let Block::Comparison { left, right } = &blocks(script)[0] else { panic!("{:?}", blocks(script)) };
        assert_eq!((left.title.as_str(), right.title.as_str()), ("Energy", "Life"));
        assert_eq!(right.points[0].to_plain(), "LFP lasts longer, and it needs no cobalt");
    }

    #[test]
    fn definitions_numbers_and_series_are_shown_as_such() {
        let definition =
            &blocks("## Words\n\nDefinition: an ion is an atom that lost electrons. It moves. It stays.")[0];
        assert!(matches!(definition, Block::Definition { term, .. } if term == "Ion"), "{definition:?}");
        let called =
            &blocks("## Words\n\nThe longest side is called the hypotenuse, always. It is long. Very.")[0];
        assert!(matches!(called, Block::Definition { term, .. } if term == "Hypotenuse"), "{called:?}");
        let counter = &blocks("## Size\n\nThat is 240,000 events a month, or so. It grows. It stays.")[0];
        assert!(
            matches!(counter, Block::Counter { value, unit, .. } if value.get() == 240_000.0 && unit == "events a month")
        );
        let script = "## Age\n\nAfter 500 cycles it holds 85 percent. After 1000 cycles it holds 70 percent. It ages. So it is.";
        let chart = &blocks(script)[0];
        assert!(
            matches!(chart, Block::Chart { labels, .. } if labels == &["500 cycles", "1000 cycles"]),
            "{chart:?}"
        );
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

    #[test]
    fn every_bullet_ends_where_a_thought_does() {
        for script in [
            include_str!("../../../../tests/fixtures/scripts/reference-180s.md"),
            include_str!("../../../../tests/fixtures/scripts/event-sourcing.md"),
            include_str!("../../../../tests/fixtures/scripts/pythagoras.txt"),
        ] {
            let source = script.replace(['`', '*'], "").split_whitespace().collect::<Vec<_>>().join(" ");
            let mut bullets = 0;
            for block in blocks(script) {
                let Block::Bullet { text } = block else { continue };
                let text = text.to_plain();
                let cut = text.chars().skip(1).collect::<String>();
                let after = source.split_once(cut.as_str()).map(|(_, after)| after.trim_start());
                let next = after.and_then(|after| after.chars().next());
                assert!(
                    next.is_none_or(|next| ".,;:!?-#".contains(next) || next.is_uppercase()),
                    "{text} | {after:?}"
                );
                bullets += 1;
            }
            assert!(bullets > 3, "{bullets}");
        }
    }
}
