//! Checks scene descriptions. Each fault has its path, what was found, and what is allowed.

use std::collections::HashSet;
use std::fmt;
use std::ops::RangeInclusive;

use crate::plot;
use crate::{
    Animation, Arrangement, BarColumn, BarRow, Block, ChartKind, ComparisonSide, Item, Layout, Number,
    Reveal, RichText, Scene, Series, Shape, Step,
};

/// Scenes of a video.
pub const SCENES: RangeInclusive<usize> = 1..=60;
/// Steps of a scene.
/// Voices of a video.
pub const SPEAKERS: RangeInclusive<u8> = 1..=4;
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
const SCATTER_POINTS: RangeInclusive<usize> = 1..=500;
const NODES: RangeInclusive<usize> = 1..=16;
const EDGES: RangeInclusive<usize> = 0..=40;
const FUNCTIONS: RangeInclusive<usize> = 1..=4;
const SHAPES: RangeInclusive<usize> = 1..=60;
const DERIVATION_LINES: RangeInclusive<usize> = 2..=8;
/// The longest animation.
pub const MAX_ANIMATION_MS: u32 = 120_000;
/// Values of a matrix: more would leave the page.
const MAX_MATRIX_VALUE: f64 = 10.0;
const SPANS: RangeInclusive<usize> = 0..=400;
const CELL_CHARACTERS: RangeInclusive<usize> = 0..=2000;
const ICONS: RangeInclusive<usize> = 0..=3;
const ICON_CHARACTERS: RangeInclusive<usize> = 1..=60;
/// Names that are listed beside one that is no icon's.
const NEAR_ICONS: usize = 3;
const BAR_ROWS: RangeInclusive<usize> = 1..=8;
const BAR_COLUMNS: RangeInclusive<usize> = 1..=4;
const QUADRANT_ITEMS: RangeInclusive<usize> = 1..=12;
const LANGUAGE_CHARACTERS: RangeInclusive<usize> = 0..=60;
const GROUPS: RangeInclusive<usize> = 0..=100;
/// Reveals of a step: more than a usual scene has parts.
const REVEALS: RangeInclusive<usize> = 0..=500;
/// Most faults that are listed. One more then says how many are left out.
pub const MAX_FAULTS: usize = 100;
/// Largest absolute value: numbers are drawn with digits, not with powers of ten.
const MAX_ABSOLUTE: f64 = 1e12;

/// A violation of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Names and indices from the description's root, such as `scenes`, `2`, `blocks`, `0`.
    pub path: Vec<String>,
    /// The value found and the values allowed.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.join("."), self.message)
    }
}

/// Returns the faults of all scenes, at most [`MAX_FAULTS`].
pub fn faults(scenes: &[Scene]) -> Vec<Fault> {
    let mut checker = Checker::new();
    if checker.count("scenes", scenes.len(), SCENES) {
        for (index, scene) in scenes.iter().enumerate() {
            checker.check_field(&index.to_string(), |checker| checker.scene(scene));
        }
    }
    checker.finish()
}

/// Returns the faults of one scene, at most [`MAX_FAULTS`]. `index` is its number among all scenes, from 0.
pub fn scene_faults(index: usize, scene: &Scene) -> Vec<Fault> {
    let mut checker = Checker::new();
    checker.check_field(&index.to_string(), |checker| checker.scene(scene));
    checker.finish()
}

/// Finds the first control character of a text, and returns it with its index in characters. Tabs and line ends are
/// allowed.
pub fn control_character(text: &str) -> Option<(usize, char)> {
    text.chars().enumerate().find(|(_, c)| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
}

fn unknown_icon(name: &str, near: &[&str]) -> String {
    let near: Vec<String> = near.iter().map(|near| format!("{near:?}")).collect();
    match &near[..] {
        [] => format!("is {name:?}, which is no icon"),
        [one] => format!("is {name:?}, which is no icon; near it is {one}"),
        _ => format!("is {name:?}, which is no icon; near it are {}", near.join(", ")),
    }
}

struct Checker {
    path: Vec<String>,
    faults: Vec<Fault>,
    /// Number of faults that are not listed.
    omitted: usize,
}

impl Checker {
    fn new() -> Self {
        Self { path: vec!["scenes".to_owned()], faults: vec![], omitted: 0 }
    }

    fn finish(mut self) -> Vec<Fault> {
        if self.omitted > 0 {
            let message = format!("and more: {} faults are not listed", self.omitted);
            self.faults.push(Fault { path: vec!["scenes".to_owned()], message });
        }
        self.faults
    }

    /// Runs a check with `name` appended to the path.
    fn check_field(&mut self, name: &str, check: impl FnOnce(&mut Self)) {
        self.path.push(name.to_owned());
        check(self);
        self.path.pop();
    }

    fn fail(&mut self, message: impl Into<String>) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault { path: self.path.clone(), message: message.into() });
        } else {
            self.omitted += 1;
        }
    }

    /// Checks a number of items, and returns `true` when it is allowed.
    fn count(&mut self, what: &str, found: usize, allowed: RangeInclusive<usize>) -> bool {
        let is_allowed = allowed.contains(&found);
        if !is_allowed {
            self.fail(format!("has {found} {what}, but must have {} to {}", allowed.start(), allowed.end()));
        }
        is_allowed
    }

    /// Checks the number of items and, if it is allowed, each item.
    fn each<T>(
        &mut self,
        what: &str,
        items: &[T],
        allowed: RangeInclusive<usize>,
        check: impl Fn(&mut Self, &T),
    ) {
        if self.count(what, items.len(), allowed) {
            for (index, item) in items.iter().enumerate() {
                self.check_field(&index.to_string(), |checker| check(checker, item));
            }
        }
    }

    fn text(&mut self, name: &str, text: &str, allowed: RangeInclusive<usize>) {
        self.check_field(name, |checker| {
            checker.check_text(text, allowed);
        });
    }

    /// Checks the length and the characters of a text, and returns `true` when it is allowed.
    fn check_text(&mut self, text: &str, allowed: RangeInclusive<usize>) -> bool {
        let is_required = *allowed.start() > 0;
        if is_required && text.trim().is_empty() {
            self.fail("is blank, but must say something");
            return false;
        }
        if !self.count("characters", text.chars().count(), allowed) {
            return false;
        }
        if let Some((at, found)) = control_character(text) {
            let code = found as u32;
            self.fail(format!(
                "holds the control character U+{code:04X} at character {at}; only text is allowed"
            ));
            return false;
        }
        true
    }

    fn rich(&mut self, name: &str, text: &RichText, allowed: RangeInclusive<usize>) {
        self.check_field(name, |checker| checker.check_rich(text, allowed));
    }

    fn check_rich(&mut self, text: &RichText, allowed: RangeInclusive<usize>) {
        if self.count("spans", text.0.len(), SPANS) {
            self.check_text(&text.to_plain(), allowed);
        }
    }

    fn texts(
        &mut self,
        name: &str,
        texts: &[String],
        count: RangeInclusive<usize>,
        characters: RangeInclusive<usize>,
    ) {
        self.check_field(name, |checker| {
            checker.each("entries", texts, count, |checker, text| {
                checker.check_text(text, characters.clone());
            });
        });
    }

    /// Checks that there is an icon of this name. No name is no icon.
    fn icon(&mut self, name: &str, allowed: RangeInclusive<usize>) {
        if self.check_text(name, allowed) && !name.is_empty() && reel_icons::icon(name).is_none() {
            let near =
                if self.faults.len() < MAX_FAULTS { reel_icons::nearest(name, NEAR_ICONS) } else { vec![] };
            self.fail(unknown_icon(name, &near));
        }
    }

    fn number(&mut self, name: &str, number: Number) {
        if number.get().abs() > MAX_ABSOLUTE {
            let message = format!("is {}, but must be from -1e12 to 1e12", number.get());
            self.check_field(name, |checker| checker.fail(message));
        }
    }

    fn point(&mut self, name: &str, point: &[Number; 2]) {
        self.check_field(name, |checker| {
            checker.number("0", point[0]);
            checker.number("1", point[1]);
        });
    }

    fn scene(&mut self, scene: &Scene) {
        // A page may go without a heading, a card not without its words.
        if scene.layout != Layout::Content || !scene.title.is_empty() {
            self.text("title", &scene.title, TITLE_CHARACTERS);
        }
        let is_tag = scene.language.len() <= 35
            && scene.language.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if !is_tag {
            self.check_field("language", |checker| {
                checker.fail("must be a language tag, such as `en`, `ar` or `pt-BR`");
            });
        }
        self.check_field("icon", |checker| checker.icon(&scene.icon, 0..=*ICON_CHARACTERS.end()));
        self.check_field("steps", |checker| checker.each("steps", &scene.steps, STEPS, Self::step));
        self.check_field("blocks", |checker| checker.each("blocks", &scene.blocks, BLOCKS, Self::block));
        if STEPS.contains(&scene.steps.len()) && BLOCKS.contains(&scene.blocks.len()) {
            self.reveals(scene);
        }
        let has_animation = scene.blocks.iter().any(|block| matches!(block, Block::Manim { .. }));
        if has_animation && (scene.manim().is_none() || scene.layout != Layout::Content) {
            self.check_field("blocks", |checker| {
                checker.fail("has a `manim` block beside others, but it must be alone on a `content` scene");
            });
        }
    }

    fn step(&mut self, step: &Step) {
        self.check_field("narration", |checker| {
            let is_text = checker.check_text(&step.narration, NARRATION_CHARACTERS);
            if is_text && !step.narration.chars().any(char::is_alphanumeric) {
                checker.fail(format!("is {:?}, but must have at least 1 letter or digit", step.narration));
            }
        });
        if !SPEAKERS.contains(&step.speaker) {
            let (first, last) = (SPEAKERS.start(), SPEAKERS.end());
            self.check_field("speaker", |checker| {
                checker.fail(format!("is {}, but must be {first} to {last}", step.speaker));
            });
        }
        self.check_field("reveals", |checker| {
            checker.count("reveals", step.reveals.len(), REVEALS);
        });
    }

    /// Checks that each reveal exists and occurs once. Blocks without a reveal appear with the first step.
    fn reveals(&mut self, scene: &Scene) {
        let mut seen = Revealed::default();
        // A diagram is read for its parts: once, however many reveals there are.
        let is_revealed = |block: usize| {
            let mut reveals = scene
                .steps
                .iter()
                .filter(|line| REVEALS.contains(&line.reveals.len()))
                .flat_map(|line| &line.reveals);
            reveals.any(|reveal| reveal.block == block && reveal.part.is_some())
        };
        let parts: Vec<Option<usize>> = scene
            .blocks
            .iter()
            .enumerate()
            .map(|(at, block)| if is_revealed(at) { block.parts() } else { None })
            .collect();
        for (step, line) in scene.steps.iter().enumerate() {
            if !REVEALS.contains(&line.reveals.len()) {
                continue;
            }
            for (index, reveal) in line.reveals.iter().enumerate() {
                let Err(message) = record_reveal(&mut seen, &parts, reveal) else { continue };
                let path = ["steps", &step.to_string(), "reveals", &index.to_string()].map(str::to_owned);
                let depth = self.path.len();
                self.path.extend(path);
                self.fail(message);
                self.path.truncate(depth);
            }
        }
    }

    fn block(&mut self, block: &Block) {
        match block {
            Block::Paragraph { text } | Block::Bullet { text } | Block::Numbered { text, .. } => {
                self.rich("text", text, TEXT_CHARACTERS)
            }
            Block::Quote { text, by } => {
                self.rich("text", text, TEXT_CHARACTERS);
                self.text("by", by, 0..=200);
            }
            Block::Statement { text, icons } => {
                self.rich("text", text, TEXT_CHARACTERS);
                self.check_field("icons", |checker| {
                    checker
                        .each("entries", icons, ICONS, |checker, icon| checker.icon(icon, ICON_CHARACTERS));
                });
            }
            Block::Items { arrangement, items, center } => self.items(*arrangement, items, center.as_ref()),
            Block::Proportion { value, of, decimals, unit, label } => {
                self.number("value", *value);
                self.number("of", *of);
                self.quantity(*decimals, unit, label);
                if of.get() <= 0.0 || !(0.0..=of.get()).contains(&value.get()) {
                    let message =
                        format!("is {} of {}, but must be a share of a whole", value.get(), of.get());
                    self.check_field("value", |checker| checker.fail(message));
                }
            }
            Block::Gauge { value, range, decimals, unit, label } => {
                self.number("value", *value);
                self.ascending("range", range);
                self.quantity(*decimals, unit, label);
                if !(range[0].get()..=range[1].get()).contains(&value.get()) {
                    let message = format!("is {}, but must be within `range`", value.get());
                    self.check_field("value", |checker| checker.fail(message));
                }
            }
            Block::Bars { rows, columns } => self.bars(rows, columns),
            Block::Quadrant { x, y, items } => {
                self.texts("x", x, 2..=2, LABEL_CHARACTERS);
                self.texts("y", y, 2..=2, LABEL_CHARACTERS);
                self.check_field("items", |checker| {
                    checker.each("items", items, QUADRANT_ITEMS, |checker, item| {
                        checker.text("title", &item.title, LABEL_CHARACTERS);
                        if !item.at.iter().all(|at| (0.0..=1.0).contains(&at.get())) {
                            let at = item.at.map(Number::get);
                            checker.check_field("at", |checker| {
                                checker.fail(format!("is {at:?}, but both must be from 0 to 1"));
                            });
                        }
                    });
                });
            }
            Block::Code { language, text, groups } => {
                self.text("language", language.as_deref().unwrap_or_default(), LANGUAGE_CHARACTERS);
                self.text("text", text, CODE_CHARACTERS);
                let (lines, grouped) =
                    (text.lines().count(), groups.iter().map(|lines| *lines as usize).sum::<usize>());
                self.check_field("groups", |checker| {
                    if checker.count("groups", groups.len(), GROUPS) && grouped > lines {
                        checker.fail(format!("has {grouped} lines, but the code has {lines}"));
                    }
                });
            }
            Block::Formula { latex } => self.text("latex", latex, FORMULA_CHARACTERS),
            Block::Table { header, rows } => self.table(header, rows),
            Block::Definition { term, text } => {
                self.text("term", term, LABEL_CHARACTERS);
                self.rich("text", text, TEXT_CHARACTERS);
            }
            Block::Timeline { items } => self.check_field("items", |checker| {
                checker.each("items", items, ITEMS, |checker, item| {
                    checker.text("title", &item.title, LABEL_CHARACTERS);
                    checker.text("text", &item.text, 0..=300);
                });
            }),
            Block::Comparison { left, right } => {
                self.check_field("left", |checker| checker.side(left));
                self.check_field("right", |checker| checker.side(right));
            }
            Block::Derivation { formulas } => self.texts("formulas", formulas, FORMULAS, FORMULA_CHARACTERS),
            Block::Counter { value, decimals, prefix, unit, label } => {
                self.number("value", *value);
                self.text("prefix", prefix, SHORT_CHARACTERS);
                self.quantity(*decimals, unit, label);
            }
            Block::Chart { chart, unit, labels, series } => {
                self.text("unit", unit, SHORT_CHARACTERS);
                self.texts("labels", labels, CATEGORIES, LABEL_CHARACTERS);
                self.series(*chart, labels.len(), series);
            }
            Block::Scatter { x_label, y_label, points } => {
                self.text("x_label", x_label, SHORT_CHARACTERS);
                self.text("y_label", y_label, SHORT_CHARACTERS);
                self.points("points", points, SCATTER_POINTS);
            }
            Block::Flow { nodes, edges } => {
                self.texts("nodes", nodes, NODES, LABEL_CHARACTERS);
                self.check_field("edges", |checker| {
                    checker.each("edges", edges, EDGES, |checker, edge| {
                        checker.text("label", &edge.label, 0..=200);
                        let missing = [edge.from, edge.to].into_iter().find(|node| *node >= nodes.len());
                        if let Some(node) = missing {
                            let nodes = nodes.len();
                            checker.fail(format!("names node {node}, but there are {nodes}, counted from 0"));
                        }
                    });
                });
            }
            Block::Diagram { source, .. } => self.text("source", source, CODE_CHARACTERS),
            Block::Plot { functions, range } => {
                self.check_field("functions", |checker| {
                    checker.each("functions", functions, FUNCTIONS, |checker, function| {
                        checker.function(function, &["x"]);
                    });
                });
                self.ascending("range", range);
            }
            Block::Figure { shapes } => {
                self.check_field("shapes", |checker| checker.each("shapes", shapes, SHAPES, Self::shape));
            }
            Block::Manim { animation, duration_ms } => {
                self.check_field("animation", |checker| checker.animation(animation));
                if duration_ms.is_some_and(|duration| duration > MAX_ANIMATION_MS) {
                    let message =
                        format!("is more than {MAX_ANIMATION_MS}, but an animation lasts no longer");
                    self.check_field("duration_ms", |checker| checker.fail(message));
                }
            }
            Block::Image { file, caption } => {
                self.text("file", file, LABEL_CHARACTERS);
                self.text("caption", caption, 0..=200);
            }
        }
    }

    fn animation(&mut self, animation: &Animation) {
        match animation {
            Animation::Code { code } => self.text("code", code, CODE_CHARACTERS),
            Animation::FunctionPlot { functions, range } => {
                self.check_field("functions", |checker| {
                    checker.each("functions", functions, FUNCTIONS, |checker, function| {
                        checker.function(function, &["x"]);
                    });
                });
                self.ascending("range", range);
            }
            Animation::Construction { shapes } => {
                self.check_field("shapes", |checker| checker.each("shapes", shapes, SHAPES, Self::shape));
            }
            Animation::Surface { function, x_range, y_range } => {
                self.check_field("function", |checker| checker.function(function, &["x", "y"]));
                self.ascending("x_range", x_range);
                self.ascending("y_range", y_range);
            }
            Animation::VectorField { components, x_range, y_range } => {
                self.check_field("components", |checker| {
                    checker.each("components", components, 2..=2, |checker, function| {
                        checker.function(function, &["x", "y"]);
                    });
                });
                self.ascending("x_range", x_range);
                self.ascending("y_range", y_range);
            }
            Animation::MatrixTransformation { matrix } => self.check_field("matrix", |checker| {
                if matrix.iter().flatten().any(|value| value.get().abs() > MAX_MATRIX_VALUE) {
                    checker
                        .fail(format!("has a value beyond {MAX_MATRIX_VALUE}, which would leave the page"));
                }
            }),
            Animation::Derivation { lines } => {
                self.texts("lines", lines, DERIVATION_LINES, LABEL_CHARACTERS);
            }
        }
    }

    /// Checks a function of these variables.
    fn function(&mut self, function: &str, variables: &[&str]) {
        // The parser takes time quadratic in the length: a text that is too long never reaches it.
        if self.check_text(function, LABEL_CHARACTERS)
            && let Err(error) = plot::parse_of(function, variables)
        {
            self.fail(error.to_string());
        }
    }

    /// Checks what goes with a number.
    fn quantity(&mut self, decimals: u8, unit: &str, label: &str) {
        self.decimals(decimals);
        self.text("unit", unit, SHORT_CHARACTERS);
        self.text("label", label, 0..=200);
    }

    fn decimals(&mut self, decimals: u8) {
        if decimals > 6 {
            let message = format!("is {decimals}, but must be from 0 to 6");
            self.check_field("decimals", |checker| checker.fail(message));
        }
    }

    /// Checks a range, whose end must be above its beginning.
    fn ascending(&mut self, name: &str, range: &[Number; 2]) {
        self.point(name, range);
        let [low, high] = range.map(Number::get);
        if low >= high {
            let message = format!("is from {low} to {high}, but must end after it begins");
            self.check_field(name, |checker| checker.fail(message));
        }
    }

    fn items(&mut self, arrangement: Arrangement, items: &[Item], center: Option<&Item>) {
        let name = arrangement.name();
        match center {
            Some(center) => self.check_field("center", |checker| checker.item(center)),
            None if arrangement.has_center() => self.fail(format!("has no `center`, but {name} needs one")),
            None => {}
        }
        self.check_field("items", |checker| {
            if !checker.count("items", items.len(), arrangement.items()) {
                return;
            }
            for (index, item) in items.iter().enumerate() {
                checker.check_field(&index.to_string(), |checker| {
                    checker.item(item);
                    if arrangement == Arrangement::Tree && item.parent.is_none() != (index == 0) {
                        checker.fail("must have a `parent`, unless it is the first, the root");
                    }
                    if let Some(parent) = item.parent.filter(|parent| *parent >= index) {
                        checker.fail(format!("has the parent {parent}, but must come after its parent"));
                    }
                });
            }
        });
    }

    fn item(&mut self, item: &Item) {
        let least = usize::from(item.text.is_empty());
        self.text("title", &item.title, least..=*LABEL_CHARACTERS.end());
        self.rich("text", &item.text, 0..=600);
        self.check_field("icon", |checker| checker.icon(&item.icon, 0..=*ICON_CHARACTERS.end()));
        self.check_field("points", |checker| {
            checker.each("points", &item.points, 0..=*POINTS.end(), |checker, point| {
                checker.check_rich(point, TEXT_CHARACTERS);
            });
        });
    }

    fn bars(&mut self, rows: &[BarRow], columns: &[BarColumn]) {
        self.check_field("rows", |checker| {
            checker.each("rows", rows, BAR_ROWS, |checker, row| {
                checker.text("title", &row.title, LABEL_CHARACTERS);
                checker.text("text", &row.text, 0..=200);
            });
        });
        self.check_field("columns", |checker| {
            checker.each("columns", columns, BAR_COLUMNS, |checker, column| {
                checker.text("name", &column.name, 0..=200);
                checker.decimals(column.decimals);
                checker.check_field("values", |checker| {
                    if column.values.len() != rows.len() {
                        let values = column.values.len();
                        checker.fail(format!("has {values} values, but there are {} rows", rows.len()));
                    } else if let Some(value) = column.values.iter().find(|value| value.get() < 0.0) {
                        checker.fail(format!("has {}, but no bar is shorter than 0", value.get()));
                    }
                    for (index, value) in column.values.iter().enumerate().take(*BAR_ROWS.end()) {
                        checker.number(&index.to_string(), *value);
                    }
                });
            });
        });
    }

    fn table(&mut self, header: &[RichText], rows: &[Vec<RichText>]) {
        let cell = |checker: &mut Self, cell: &RichText| checker.check_rich(cell, CELL_CHARACTERS);
        self.check_field("header", |checker| checker.each("columns", header, COLUMNS, cell));
        self.check_field("rows", |checker| {
            checker.each("rows", rows, ROWS, |checker, row| {
                if row.len() == header.len() {
                    checker.each("cells", row, COLUMNS, cell);
                } else {
                    checker.fail(format!("has {} cells, but the header has {}", row.len(), header.len()));
                }
            });
        });
    }

    fn side(&mut self, side: &ComparisonSide) {
        self.text("title", &side.title, LABEL_CHARACTERS);
        self.check_field("points", |checker| {
            checker.each("points", &side.points, POINTS, |checker, point| {
                checker.check_rich(point, TEXT_CHARACTERS);
            });
        });
    }

    fn series(&mut self, chart: ChartKind, labels: usize, series: &[Series]) {
        let allowed = if chart == ChartKind::Pie { 1..=1 } else { SERIES };
        self.check_field("series", |checker| {
            checker.each("series", series, allowed, |checker, one| {
                checker.text("name", &one.name, SHORT_CHARACTERS);
                checker.check_field("values", |checker| checker.values(chart, labels, &one.values));
            });
        });
    }

    fn values(&mut self, chart: ChartKind, labels: usize, values: &[Number]) {
        if values.len() != labels {
            return self.fail(format!("has {} values, but there are {labels} labels", values.len()));
        }
        if !CATEGORIES.contains(&values.len()) {
            return;
        }
        for (index, value) in values.iter().enumerate() {
            self.number(&index.to_string(), *value);
        }
        let sum: f64 = values.iter().map(|value| value.get()).sum();
        let negative = values.iter().any(|value| value.get() < 0.0);
        if chart == ChartKind::Pie && (negative || sum <= 0.0) {
            self.fail("of a pie must be 0 or more, and more than 0 together");
        }
    }

    fn points(&mut self, name: &str, points: &[[Number; 2]], count: RangeInclusive<usize>) {
        self.check_field(name, |checker| {
            checker.each("points", points, count, |checker, point| {
                checker.number("0", point[0]);
                checker.number("1", point[1]);
            });
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

/// Blocks and parts that steps have revealed so far.
#[derive(Default)]
struct Revealed {
    whole_blocks: HashSet<usize>,
    /// Blocks of which at least one part is revealed.
    partial_blocks: HashSet<usize>,
    parts: HashSet<(usize, usize)>,
}

/// Records a reveal, or returns its fault. `blocks` has the number of parts of each.
fn record_reveal(seen: &mut Revealed, blocks: &[Option<usize>], reveal: &Reveal) -> Result<(), String> {
    let Reveal { block, part } = *reveal;
    let Some(parts) = blocks.get(block) else {
        return Err(format!(
            "reveals block {block}, but the scene has {} blocks, counted from 0",
            blocks.len()
        ));
    };
    let is_new = match (part, *parts) {
        (Some(part), Some(parts)) if part >= parts => {
            return Err(format!("reveals part {part}, but block {block} has {parts}, counted from 0"));
        }
        (Some(_), None) => return Err(format!("reveals a part, but block {block} has none")),
        (Some(part), Some(_)) => {
            seen.partial_blocks.insert(block);
            !seen.whole_blocks.contains(&block) && seen.parts.insert((block, part))
        }
        (None, _) => seen.whole_blocks.insert(block) && !seen.partial_blocks.contains(&block),
    };
    if is_new { Ok(()) } else { Err(format!("reveals block {block} a second time")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn messages(block: Value) -> Vec<String> {
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
            assert_eq!(messages(block), Vec::<String>::new());
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
            (
                json!({ "kind": "items", "arrangement": "venn", "items": [{ "title": "a" }, { "title": "b" }] }),
                "has no `center`, but venn needs one",
            ),
            (
                json!({ "kind": "items", "arrangement": "versus", "items": [{ "title": "a" }] }),
                "items: has 1 items, but must have 2 to 2",
            ),
            (
                json!({ "kind": "items", "arrangement": "tree", "items": [{ "title": "a" }, { "title": "b", "parent": 1 }] }),
                "items.1: has the parent 1, but must come after its parent",
            ),
            (
                json!({ "kind": "proportion", "value": 3, "of": 2 }),
                "value: is 3 of 2, but must be a share of a whole",
            ),
            (
                json!({ "kind": "gauge", "value": 3, "range": [0, 2] }),
                "value: is 3, but must be within `range`",
            ),
            (
                json!({ "kind": "bars", "rows": [{ "title": "a" }], "columns": [{ "values": [1, 2] }] }),
                "columns.0.values: has 2 values, but there are 1 rows",
            ),
            (
                json!({ "kind": "quadrant", "x": ["a", "b"], "y": ["c", "d"], "items": [{ "title": "x", "at": [0, 2] }] }),
                "items.0.at: is [0.0, 2.0], but both must be from 0 to 1",
            ),
            (
                json!({ "kind": "items", "arrangement": "checklist", "items": [{ "title": "a", "icon": "baterry" }] }),
                "items.0.icon: is \"baterry\", which is no icon; near it is \"battery\"",
            ),
            (
                json!({ "kind": "statement", "text": "a", "icons": ["bulb", "zzzzqqqq"] }),
                "icons.1: is \"zzzzqqqq\", which is no icon",
            ),
            (json!({ "kind": "timeline", "items": [] }), "items: has 0 items, but must have 1 to 12"),
        ];
        for (block, expected) in cases {
            let at = if expected.starts_with("has ") { ": " } else { "." };
            assert_eq!(messages(block), [format!("scenes.0.blocks.0{at}{expected}")]);
        }
    }

    #[test]
    fn reveals_must_fit_the_blocks() {
        let scene = json!({ "title": "T", "blocks": [{ "kind": "bullet", "text": "b" }], "steps": [
            { "narration": "One.", "reveals": [{ "block": 0 }, { "block": 1 }] },
            { "narration": "Two.", "reveals": [{ "block": 0 }, { "block": 0, "part": 1 }] },
        ]});
        let scene: Scene = serde_json::from_value(scene).unwrap();
        let messages: Vec<String> = faults(&[scene]).iter().map(Fault::to_string).collect();
        assert_eq!(
            messages,
            [
                "scenes.0.steps.0.reveals.1: reveals block 1, but the scene has 1 blocks, counted from 0",
                "scenes.0.steps.1.reveals.0: reveals block 0 a second time",
                "scenes.0.steps.1.reveals.1: reveals a part, but block 0 has none",
            ]
        );
    }

    fn scene(value: Value) -> Scene {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_speaker_is_one_of_four() {
        let spoken_by = |speaker: u8| {
            let step = json!({ "narration": "Say it.", "speaker": speaker });
            let scene = scene(json!({ "title": "T", "steps": [step] }));
            faults(&[scene]).iter().map(Fault::to_string).collect::<Vec<_>>()
        };
        assert_eq!([1, 4].map(|speaker| spoken_by(speaker).len()), [0, 0]);
        assert_eq!(spoken_by(0), ["scenes.0.steps.0.speaker: is 0, but must be 1 to 4"]);
        assert_eq!(spoken_by(5), ["scenes.0.steps.0.speaker: is 5, but must be 1 to 4"]);
    }

    #[test]
    fn a_language_is_a_tag() {
        let tagged = |language: &str| {
            let scene =
                scene(json!({ "title": "T", "language": language, "steps": [{ "narration": "Say it." }] }));
            faults(&[scene]).iter().map(Fault::to_string).collect::<Vec<_>>()
        };
        assert_eq!(tagged("pt-BR"), Vec::<String>::new());
        assert_eq!(
            tagged("a\"b"),
            ["scenes.0.language: must be a language tag, such as `en`, `ar` or `pt-BR`"]
        );
    }

    // H2
    #[test]
    fn no_text_of_a_scene_may_hold_a_control_character() {
        let nul = "a\0b";
        let texts = [
            json!({ "kind": "paragraph", "text": [{ "text": "ok" }, { "text": nul }] }),
            json!({ "kind": "code", "text": nul }),
            json!({ "kind": "code", "language": nul, "text": "x" }),
            json!({ "kind": "formula", "latex": nul }),
            json!({ "kind": "table", "header": [nul], "rows": [["1"]] }),
            json!({ "kind": "table", "header": ["a"], "rows": [[nul]] }),
            json!({ "kind": "definition", "term": nul, "text": "x" }),
            json!({ "kind": "timeline", "items": [{ "title": "x", "text": nul }] }),
            json!({ "kind": "comparison", "left": { "title": "l", "points": [nul] }, "right": { "title": "r", "points": ["x"] } }),
            json!({ "kind": "derivation", "formulas": [nul] }),
            json!({ "kind": "counter", "value": 1, "unit": nul }),
            json!({ "kind": "chart", "chart": "bar", "labels": [nul], "series": [{ "values": [1] }] }),
            json!({ "kind": "scatter", "x_label": nul, "points": [[1, 2]] }),
            json!({ "kind": "flow", "nodes": ["a"], "edges": [{ "from": 0, "to": 0, "label": nul }] }),
            json!({ "kind": "plot", "functions": [nul], "range": [0, 1] }),
            json!({ "kind": "figure", "shapes": [{ "shape": "label", "at": [0, 0], "text": nul }] }),
            json!({ "kind": "image", "file": nul }),
            json!({ "kind": "quote", "text": "x", "by": nul }),
            json!({ "kind": "statement", "text": nul }),
            json!({ "kind": "statement", "text": "x", "icons": [nul] }),
            json!({ "kind": "items", "arrangement": "checklist", "items": [{ "title": nul }] }),
            json!({ "kind": "items", "arrangement": "checklist", "items": [{ "title": "x", "text": nul }] }),
            json!({ "kind": "items", "arrangement": "checklist", "items": [{ "title": "x", "points": [nul] }] }),
            json!({ "kind": "proportion", "value": 1, "of": 2, "label": nul }),
            json!({ "kind": "gauge", "value": 1, "range": [0, 2], "unit": nul }),
            json!({ "kind": "bars", "rows": [{ "title": nul }], "columns": [{ "values": [1] }] }),
            json!({ "kind": "bars", "rows": [{ "title": "x" }], "columns": [{ "name": nul, "values": [1] }] }),
            json!({ "kind": "quadrant", "x": ["a", nul], "y": ["c", "d"], "items": [{ "title": "x", "at": [0, 1] }] }),
        ];
        for block in texts {
            let messages = messages(block.clone());
            let [fault] = &messages[..] else { panic!("{block}: {messages:?}") };
            assert!(fault.contains("holds the control character U+0000 at character"), "{fault}");
        }
        let scene = scene(json!({ "title": "a\u{1b}", "steps": [{ "narration": "hello\0" }] }));
        let messages: Vec<String> = faults(&[scene]).iter().map(Fault::to_string).collect();
        assert!(
            messages[0].starts_with("scenes.0.title: holds the control character U+001B"),
            "{messages:?}"
        );
        assert!(messages[1].starts_with("scenes.0.steps.0.narration: holds the control"), "{messages:?}");
        assert_eq!(self::messages(json!({ "kind": "code", "text": "a\r\n\tb" })), Vec::<String>::new());
    }

    // H3
    #[test]
    fn functions_that_are_too_long_or_too_many_are_not_parsed() {
        let long = vec!["1"; 1_000_000].join("+");
        let began = std::time::Instant::now();
        let plot = |functions: Vec<&str>| json!({ "kind": "plot", "functions": functions, "range": [0, 1] });
        assert_eq!(
            messages(plot(vec![&long])),
            ["scenes.0.blocks.0.functions.0: has 1999999 characters, but must have 1 to 200"]
        );
        assert_eq!(
            messages(plot(vec!["x"; 100_000])),
            ["scenes.0.blocks.0.functions: has 100000 functions, but must have 1 to 4"]
        );
        assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    }

    // M4
    #[test]
    fn many_reveals_are_refused_by_their_number_alone() {
        let many = |block: usize| vec![json!({ "block": block }); 80_000];
        let scene = scene(json!({ "title": "T", "blocks": [{ "kind": "bullet", "text": "b" }], "steps": [
            { "narration": "One.", "reveals": many(99) }, { "narration": "Two.", "reveals": many(0) } ]}));
        let messages: Vec<String> = faults(&[scene]).iter().map(Fault::to_string).collect();
        assert_eq!(
            messages,
            [
                "scenes.0.steps.0.reveals: has 80000 reveals, but must have 0 to 500",
                "scenes.0.steps.1.reveals: has 80000 reveals, but must have 0 to 500",
            ]
        );
    }

    // H4
    #[test]
    fn the_faults_that_are_listed_are_bounded() {
        let blank = json!({ "narration": " " });
        let scenes: Vec<Scene> =
            (0..60).map(|_| scene(json!({ "title": "T", "steps": vec![blank.clone(); 40] }))).collect();
        let found = faults(&scenes);
        assert_eq!(found.len(), MAX_FAULTS + 1);
        assert_eq!(found[MAX_FAULTS].to_string(), "scenes: and more: 2300 faults are not listed");
    }
}
