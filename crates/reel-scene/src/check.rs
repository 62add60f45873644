//! What a scene description must keep to, whoever wrote it: every fault with its place, what was found, and what
//! is allowed.

use std::fmt;
use std::ops::RangeInclusive;

use crate::plot;
use crate::{Block, ChartKind, ComparisonSide, Number, Reveal, RichText, Scene, Series, Shape};

/// Of one video.
pub const SCENES: RangeInclusive<usize> = 1..=60;
/// Of one scene.
pub const STEPS: RangeInclusive<usize> = 1..=40;
const BLOCKS: RangeInclusive<usize> = 0..=40;
const TITLE_CHARACTERS: RangeInclusive<usize> = 1..=300;
const NARRATION_CHARACTERS: RangeInclusive<usize> = 1..=2000;
const TEXT_CHARACTERS: RangeInclusive<usize> = 1..=12_000;
const LABEL_CHARACTERS: RangeInclusive<usize> = 1..=200;
const SHORT_CHARACTERS: RangeInclusive<usize> = 0..=60;
const CODE_CHARACTERS: RangeInclusive<usize> = 1..=20_000;
const FORMULA_CHARACTERS: RangeInclusive<usize> = 1..=4000;
const FORMULAS: RangeInclusive<usize> = 1..=10;
const COLUMNS: RangeInclusive<usize> = 1..=12;
const ROWS: RangeInclusive<usize> = 1..=40;
const ITEMS: RangeInclusive<usize> = 1..=12;
const POINTS: RangeInclusive<usize> = 1..=12;
const CATEGORIES: RangeInclusive<usize> = 1..=16;
const SERIES: RangeInclusive<usize> = 1..=4;
const SCATTERED: RangeInclusive<usize> = 1..=500;
const NODES: RangeInclusive<usize> = 1..=16;
const EDGES: RangeInclusive<usize> = 0..=40;
const FUNCTIONS: RangeInclusive<usize> = 1..=4;
const SHAPES: RangeInclusive<usize> = 1..=60;
/// Numbers are drawn with digits, not with powers of ten.
const GREATEST: f64 = 1e12;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Names and indices from the description's root, such as `scenes`, `2`, `blocks`, `0`.
    pub path: Vec<String>,
    /// What was found and what is allowed.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.join("."), self.message)
    }
}

/// Everything that is wrong with the scenes; empty when nothing is.
pub fn faults(scenes: &[Scene]) -> Vec<Fault> {
    let mut checker = Checker { path: vec!["scenes".to_owned()], faults: vec![] };
    checker.count("scenes", scenes.len(), SCENES);
    for (index, scene) in scenes.iter().enumerate() {
        checker.at(&index.to_string(), |checker| checker.scene(scene));
    }
    checker.faults
}

struct Checker {
    path: Vec<String>,
    faults: Vec<Fault>,
}

impl Checker {
    /// Checks something under a name.
    fn at(&mut self, name: &str, check: impl FnOnce(&mut Self)) {
        self.path.push(name.to_owned());
        check(self);
        self.path.pop();
    }

    fn fail(&mut self, message: impl Into<String>) {
        self.faults.push(Fault { path: self.path.clone(), message: message.into() });
    }

    fn count(&mut self, what: &str, found: usize, allowed: RangeInclusive<usize>) {
        if !allowed.contains(&found) {
            self.fail(format!("has {found} {what}, but must have {} to {}", allowed.start(), allowed.end()));
        }
    }

    fn text(&mut self, name: &str, text: &str, allowed: RangeInclusive<usize>) {
        self.at(name, |checker| {
            let needed = *allowed.start() > 0;
            if needed && text.trim().is_empty() {
                return checker.fail("is blank, but must say something");
            }
            checker.count("characters", text.chars().count(), allowed);
        });
    }

    fn rich(&mut self, name: &str, text: &RichText) {
        self.text(name, &text.to_plain(), TEXT_CHARACTERS);
    }

    fn texts(
        &mut self,
        name: &str,
        texts: &[String],
        count: RangeInclusive<usize>,
        characters: RangeInclusive<usize>,
    ) {
        self.at(name, |checker| {
            checker.count("entries", texts.len(), count);
            for (index, text) in texts.iter().enumerate() {
                checker.text(&index.to_string(), text, characters.clone());
            }
        });
    }

    fn number(&mut self, name: &str, number: Number) {
        if number.get().abs() > GREATEST {
            let message = format!("is {}, but must be from -1e12 to 1e12", number.get());
            self.at(name, |checker| checker.fail(message));
        }
    }

    fn point(&mut self, name: &str, point: &[Number; 2]) {
        self.at(name, |checker| {
            checker.number("0", point[0]);
            checker.number("1", point[1]);
        });
    }

    fn scene(&mut self, scene: &Scene) {
        self.text("title", &scene.title, TITLE_CHARACTERS);
        self.at("steps", |checker| {
            checker.count("steps", scene.steps.len(), STEPS);
            for (index, step) in scene.steps.iter().enumerate() {
                checker.at(&index.to_string(), |checker| {
                    checker.text("narration", &step.narration, NARRATION_CHARACTERS);
                    if !step.narration.trim().is_empty() && !step.narration.chars().any(char::is_alphanumeric)
                    {
                        let message =
                            format!("is {:?}, but must have at least 1 letter or digit", step.narration);
                        checker.at("narration", |checker| checker.fail(message));
                    }
                });
            }
        });
        self.at("blocks", |checker| {
            checker.count("blocks", scene.blocks.len(), BLOCKS);
            for (index, block) in scene.blocks.iter().enumerate() {
                checker.at(&index.to_string(), |checker| checker.block(block));
            }
        });
        self.reveals(scene);
    }

    /// Nothing is revealed twice, and nothing that is not there. What no step reveals is there from the first.
    fn reveals(&mut self, scene: &Scene) {
        let mut seen: Vec<Reveal> = vec![];
        for (step, line) in scene.steps.iter().enumerate() {
            for (index, reveal) in line.reveals.iter().enumerate() {
                let path = ["steps", &step.to_string(), "reveals", &index.to_string()].map(str::to_owned);
                let message = match scene.blocks.get(reveal.block).map(Block::parts) {
                    None => Some(format!(
                        "reveals block {}, but the scene has {} blocks, counted from 0",
                        reveal.block,
                        scene.blocks.len()
                    )),
                    Some(parts) => match (reveal.part, parts) {
                        (Some(part), Some(parts)) if part >= parts => Some(format!(
                            "reveals part {part}, but block {} has {parts}, counted from 0",
                            reveal.block
                        )),
                        (Some(_), None) => {
                            Some(format!("reveals a part, but block {} has none", reveal.block))
                        }
                        _ if seen.iter().any(|other| overlap(other, reveal)) => {
                            Some(format!("reveals block {} a second time", reveal.block))
                        }
                        _ => None,
                    },
                };
                seen.push(*reveal);
                if let Some(message) = message {
                    let path = self.path.iter().cloned().chain(path).collect();
                    self.faults.push(Fault { path, message });
                }
            }
        }
    }

    fn block(&mut self, block: &Block) {
        match block {
            Block::Paragraph { text }
            | Block::Bullet { text }
            | Block::Numbered { text, .. }
            | Block::Quote { text } => {
                self.rich("text", text);
            }
            Block::Code { text, groups, .. } => {
                self.text("text", text, CODE_CHARACTERS);
                let (lines, grouped) =
                    (text.lines().count(), groups.iter().map(|lines| *lines as usize).sum::<usize>());
                if grouped > lines {
                    let message = format!("has {grouped} lines, but the code has {lines}");
                    self.at("groups", |checker| checker.fail(message));
                }
            }
            Block::Formula { latex } => self.text("latex", latex, FORMULA_CHARACTERS),
            Block::Table { header, rows } => self.table(header, rows),
            Block::Definition { term, text } => {
                self.text("term", term, LABEL_CHARACTERS);
                self.rich("text", text);
            }
            Block::Timeline { items } => self.at("items", |checker| {
                checker.count("items", items.len(), ITEMS);
                for (index, item) in items.iter().enumerate() {
                    checker.at(&index.to_string(), |checker| {
                        checker.text("title", &item.title, LABEL_CHARACTERS);
                        checker.text("text", &item.text, 0..=300);
                    });
                }
            }),
            Block::Comparison { left, right } => {
                self.at("left", |checker| checker.side(left));
                self.at("right", |checker| checker.side(right));
            }
            Block::Derivation { formulas } => self.texts("formulas", formulas, FORMULAS, FORMULA_CHARACTERS),
            Block::Counter { value, decimals, prefix, unit, label } => {
                self.number("value", *value);
                if *decimals > 6 {
                    let message = format!("is {decimals}, but must be from 0 to 6");
                    self.at("decimals", |checker| checker.fail(message));
                }
                self.text("prefix", prefix, SHORT_CHARACTERS);
                self.text("unit", unit, SHORT_CHARACTERS);
                self.text("label", label, 0..=200);
            }
            Block::Chart { chart, unit, labels, series } => {
                self.text("unit", unit, SHORT_CHARACTERS);
                self.texts("labels", labels, CATEGORIES, LABEL_CHARACTERS);
                self.series(*chart, labels.len(), series);
            }
            Block::Scatter { x_label, y_label, points } => {
                self.text("x_label", x_label, SHORT_CHARACTERS);
                self.text("y_label", y_label, SHORT_CHARACTERS);
                self.points("points", points, SCATTERED);
            }
            Block::Flow { nodes, edges } => {
                self.texts("nodes", nodes, NODES, LABEL_CHARACTERS);
                self.at("edges", |checker| {
                    checker.count("edges", edges.len(), EDGES);
                    for (index, edge) in edges.iter().enumerate() {
                        let missing = [edge.from, edge.to].into_iter().find(|node| *node >= nodes.len());
                        if let Some(node) = missing {
                            let message =
                                format!("names node {node}, but there are {}, counted from 0", nodes.len());
                            checker.at(&index.to_string(), |checker| checker.fail(message));
                        }
                    }
                });
            }
            Block::Plot { functions, range } => {
                self.texts("functions", functions, FUNCTIONS, LABEL_CHARACTERS);
                for (index, function) in functions.iter().enumerate() {
                    if let Err(error) = plot::parse(function) {
                        self.at("functions", |checker| {
                            checker.at(&index.to_string(), |checker| checker.fail(error.to_string()));
                        });
                    }
                }
                self.point("range", range);
                if range[0].get() >= range[1].get() {
                    let message = format!(
                        "is from {} to {}, but must end after it begins",
                        range[0].get(),
                        range[1].get()
                    );
                    self.at("range", |checker| checker.fail(message));
                }
            }
            Block::Figure { shapes } => self.at("shapes", |checker| {
                checker.count("shapes", shapes.len(), SHAPES);
                for (index, shape) in shapes.iter().enumerate() {
                    checker.at(&index.to_string(), |checker| checker.shape(shape));
                }
            }),
            Block::Image { file, caption } => {
                self.text("file", file, LABEL_CHARACTERS);
                self.text("caption", caption, 0..=200);
            }
        }
    }

    fn table(&mut self, header: &[RichText], rows: &[Vec<RichText>]) {
        self.at("header", |checker| checker.count("columns", header.len(), COLUMNS));
        self.at("rows", |checker| {
            checker.count("rows", rows.len(), ROWS);
            for (index, row) in rows.iter().enumerate().filter(|(_, row)| row.len() != header.len()) {
                let message = format!("has {} cells, but the header has {}", row.len(), header.len());
                checker.at(&index.to_string(), |checker| checker.fail(message));
            }
        });
    }

    fn side(&mut self, side: &ComparisonSide) {
        self.text("title", &side.title, LABEL_CHARACTERS);
        self.at("points", |checker| {
            checker.count("points", side.points.len(), POINTS);
            for (index, point) in side.points.iter().enumerate() {
                checker.rich(&index.to_string(), point);
            }
        });
    }

    fn series(&mut self, chart: ChartKind, labels: usize, series: &[Series]) {
        self.at("series", |checker| {
            checker.count("series", series.len(), if chart == ChartKind::Pie { 1..=1 } else { SERIES });
            for (index, one) in series.iter().enumerate() {
                checker.at(&index.to_string(), |checker| {
                    checker.text("name", &one.name, SHORT_CHARACTERS);
                    checker.at("values", |checker| {
                        if one.values.len() != labels {
                            checker.fail(format!(
                                "has {} values, but there are {labels} labels",
                                one.values.len()
                            ));
                        }
                        for (index, value) in one.values.iter().enumerate() {
                            checker.number(&index.to_string(), *value);
                        }
                        let sum: f64 = one.values.iter().map(|value| value.get()).sum();
                        let negative = one.values.iter().any(|value| value.get() < 0.0);
                        if chart == ChartKind::Pie && (negative || sum <= 0.0) {
                            checker.fail("of a pie must be 0 or more, and more than 0 together");
                        }
                    });
                });
            }
        });
    }

    fn points(&mut self, name: &str, points: &[[Number; 2]], count: RangeInclusive<usize>) {
        self.at(name, |checker| {
            checker.count("points", points.len(), count);
            for (index, point) in points.iter().enumerate() {
                checker.point(&index.to_string(), point);
            }
        });
    }

    fn shape(&mut self, shape: &Shape) {
        match shape {
            Shape::Polygon { points, .. } => self.points("points", points, 2..=60),
            Shape::Segment { from, to } => {
                self.point("from", from);
                self.point("to", to);
            }
            Shape::Circle { center, radius } => {
                self.point("center", center);
                self.number("radius", *radius);
            }
            Shape::RightAngle { at, between } => {
                self.point("at", at);
                self.points("between", between, 2..=2);
            }
            Shape::Label { at, text } => {
                self.point("at", at);
                self.text("text", text, LABEL_CHARACTERS);
            }
        }
    }
}

/// Whether two reveals show the same.
fn overlap(one: &Reveal, other: &Reveal) -> bool {
    one.block == other.block && (one.part == other.part || one.part.is_none() || other.part.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn told(block: Value) -> Vec<String> {
        let scene = json!({ "title": "T", "blocks": [block], "steps": [{ "narration": "Say it." }] });
        let scene: Scene = serde_json::from_value(scene).unwrap();
        faults(&[scene]).iter().map(Fault::to_string).collect()
    }

    #[test]
    fn a_sound_scene_has_no_fault() {
        for block in [
            json!({ "kind": "paragraph", "text": "Text." }),
            json!({ "kind": "chart", "chart": "bar", "labels": ["a", "b"], "series": [{ "values": [1, 2.5] }] }),
            json!({ "kind": "plot", "functions": ["sin(x)"], "range": [-3, 3] }),
            json!({ "kind": "flow", "nodes": ["a", "b"], "edges": [{ "from": 0, "to": 1 }] }),
        ] {
            assert_eq!(told(block), Vec::<String>::new());
        }
    }

    #[test]
    fn every_fault_has_its_place_its_value_and_what_is_allowed() {
        let cases = [
            (json!({ "kind": "bullet", "text": " " }), "text: is blank, but must say something"),
            (
                json!({ "kind": "counter", "value": 1, "decimals": 9 }),
                "decimals: is 9, but must be from 0 to 6",
            ),
            (
                json!({ "kind": "chart", "chart": "line", "labels": ["a"], "series": [{ "values": [1, 2] }] }),
                "series.0.values: has 2 values, but there are 1 labels",
            ),
            (
                json!({ "kind": "chart", "chart": "pie", "labels": ["a"], "series": [{ "values": [-1] }] }),
                "series.0.values: of a pie must be 0 or more, and more than 0 together",
            ),
            (
                json!({ "kind": "flow", "nodes": ["a"], "edges": [{ "from": 0, "to": 3 }] }),
                "edges.0: names node 3, but there are 1, counted from 0",
            ),
            (
                json!({ "kind": "plot", "functions": ["x"], "range": [2, 1] }),
                "range: is from 2 to 1, but must end after it begins",
            ),
            (
                json!({ "kind": "table", "header": ["a", "b"], "rows": [["1"]] }),
                "rows.0: has 1 cells, but the header has 2",
            ),
            (json!({ "kind": "timeline", "items": [] }), "items: has 0 items, but must have 1 to 12"),
        ];
        for (block, expected) in cases {
            assert_eq!(told(block), [format!("scenes.0.blocks.0.{expected}")]);
        }
    }

    #[test]
    fn reveals_must_fit_the_blocks() {
        let scene = json!({ "title": "T", "blocks": [{ "kind": "bullet", "text": "b" }], "steps": [
            { "narration": "One.", "reveals": [{ "block": 0 }, { "block": 1 }] },
            { "narration": "Two.", "reveals": [{ "block": 0 }, { "block": 0, "part": 1 }] },
        ]});
        let scene: Scene = serde_json::from_value(scene).unwrap();
        let told: Vec<String> = faults(&[scene]).iter().map(Fault::to_string).collect();
        assert_eq!(
            told,
            [
                "scenes.0.steps.0.reveals.1: reveals block 1, but the scene has 1 blocks, counted from 0",
                "scenes.0.steps.1.reveals.0: reveals block 0 a second time",
                "scenes.0.steps.1.reveals.1: reveals a part, but block 0 has none",
            ]
        );
    }
}
