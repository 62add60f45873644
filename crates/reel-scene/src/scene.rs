//! The types of the scene description.
//!
//! A scene has a heading, blocks laid out from top to bottom, and steps. A step is one line of narration with the blocks that
//! appear when it begins. Layout order and order of appearance are separate: a listing may stand below the sentences that
//! are spoken while it is already visible.

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::composition::is_zero;
use crate::{Animation, Arrangement, BarColumn, BarRow, DiagramLanguage, Item, QuadrantItem, diagram};

/// Number of scenes that the planner makes of a script.
pub const SCENE_COUNT: std::ops::RangeInclusive<usize> = 3..=20;

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scene {
    #[serde(default)]
    pub layout: Layout,
    /// The heading; on a `Title` or `Closing` card, the large text in the middle.
    pub title: String,
    /// Name of the icon of a card, such as `battery`; empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub icon: String,
    /// The language of its texts, as a BCP 47 tag such as `ar` or `pt-BR`; empty for the language of the voice. It chooses the
    /// voice, and the side on which lines begin.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub language: String,
    /// The blocks from top to bottom.
    #[serde(default)]
    pub blocks: Vec<Block>,
    /// The steps in the order in which they are spoken; never empty.
    pub steps: Vec<Step>,
    /// The exit at the end of the scene.
    #[serde(default, skip_serializing_if = "Leave::is_default")]
    pub leave: Leave,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// The opening card: the title large and centred, blocks below it as a subtitle.
    Title,
    /// A heading at the top and blocks below it.
    #[default]
    Content,
    /// A card between parts of a video: a large title on the accent colour.
    Section,
    /// The last card: a quieter form of `Title`.
    Closing,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Block {
    Paragraph {
        text: RichText,
    },
    Bullet {
        text: RichText,
    },
    Numbered {
        number: u32,
        text: RichText,
    },
    Quote {
        text: RichText,
        /// Who said it; empty where nobody is named.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        by: String,
    },
    /// A code listing. Its parts are the groups of lines, if `groups` has any.
    Code {
        #[serde(default)]
        language: Option<String>,
        text: String,
        /// Number of lines in each consecutive group; the last group has all remaining lines.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        groups: Vec<u32>,
    },
    /// A display formula in LaTeX math notation, without the dollar signs.
    Formula {
        latex: String,
    },
    /// A table. Its parts are the rows, from 0; the header appears with the first visible row.
    Table {
        header: Vec<RichText>,
        rows: Vec<Vec<RichText>>,
    },
    /// A term and what it means.
    Definition {
        term: String,
        text: RichText,
    },
    /// A sequence of items. Its parts are the items.
    Timeline {
        items: Vec<TimelineItem>,
    },
    /// Two things side by side. Its parts are the left and the right side.
    Comparison {
        left: ComparisonSide,
        right: ComparisonSide,
    },
    /// LaTeX formulas that follow from each other. Its parts are the formulas.
    Derivation {
        formulas: Vec<String>,
    },
    /// A number that counts up.
    Counter {
        value: Number,
        /// Digits after the decimal point.
        #[serde(default)]
        decimals: u8,
        /// Text before the number, such as a currency.
        #[serde(default)]
        prefix: String,
        /// Text after the number.
        #[serde(default)]
        unit: String,
        /// The counted thing.
        #[serde(default)]
        label: String,
    },
    /// Numbers by category. The chart grows when it appears.
    Chart {
        chart: ChartKind,
        #[serde(default)]
        unit: String,
        /// One name for each value.
        labels: Vec<String>,
        series: Vec<Series>,
    },
    /// Pairs of numbers as points.
    Scatter {
        #[serde(default)]
        x_label: String,
        #[serde(default)]
        y_label: String,
        points: Vec<[Number; 2]>,
    },
    /// Boxes and arrows. Its parts are the nodes; an arrow is visible when both its ends are.
    Flow {
        nodes: Vec<String>,
        edges: Vec<FlowEdge>,
    },
    /// A diagram in Mermaid or in Graphviz's DOT, drawn in the page's own style. Its parts are its nodes, messages or tasks, in
    /// the order of a walk along the edges. One that cannot be read is shown as its source, and has no parts.
    Diagram {
        language: DiagramLanguage,
        source: String,
    },
    /// Graphs of functions of x, such as `sin(x) / x`.
    Plot {
        functions: Vec<String>,
        /// Smallest and largest x.
        range: [Number; 2],
    },
    /// Shapes in their own coordinates; y grows upwards.
    Figure {
        shapes: Vec<Shape>,
    },
    /// One thought in large type. Its icons stand beside it.
    Statement {
        text: RichText,
        /// Names of icons, at most three.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        icons: Vec<String>,
    },
    /// Things, drawn by how they belong together. Its parts are the items; `center` appears with the first of them.
    Items {
        arrangement: Arrangement,
        items: Vec<Item>,
        /// What a `hub`, `causes` or `venn` is about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        center: Option<Item>,
    },
    /// So many of a whole, counted out as small squares.
    Proportion {
        value: Number,
        of: Number,
        /// Digits after the decimal point.
        #[serde(default, skip_serializing_if = "is_zero")]
        decimals: u8,
        /// Text after the number; with `%`, the whole is 100.
        #[serde(default)]
        unit: String,
        #[serde(default)]
        label: String,
    },
    /// A value between two ends, as the hand of a gauge.
    Gauge {
        value: Number,
        /// Smallest and largest value.
        range: [Number; 2],
        #[serde(default, skip_serializing_if = "is_zero")]
        decimals: u8,
        #[serde(default)]
        unit: String,
        #[serde(default)]
        label: String,
    },
    /// A table as bars: each row a thing, each column a quantity on a scale of its own. Its parts are the rows.
    Bars {
        rows: Vec<BarRow>,
        columns: Vec<BarColumn>,
    },
    /// Things in four fields.
    Quadrant {
        /// What the left end and the right end mean.
        x: [String; 2],
        /// What the lower end and the upper end mean.
        y: [String; 2],
        items: Vec<QuadrantItem>,
    },
    /// An animation that Manim draws, alone on its page and as large as the picture. Where it cannot be drawn, a page of ours
    /// stands for it.
    Manim {
        animation: Animation,
        /// How long the animation lasts: measured when the video is planned. The scene lasts at least as long.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        duration_ms: Option<u32>,
    },
    /// A picture.
    Image {
        /// A file beside the description; in a request, where it may be called `upload_id`, an upload of its `upload_ids`.
        #[serde(alias = "upload_id")]
        file: String,
        #[serde(default)]
        caption: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimelineItem {
    pub title: String,
    #[serde(default)]
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ComparisonSide {
    pub title: String,
    pub points: Vec<RichText>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChartKind {
    Bar,
    Line,
    /// Shares of a whole, of one series.
    Pie,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Series {
    #[serde(default)]
    pub name: String,
    pub values: Vec<Number>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FlowEdge {
    /// Index of a node, from 0.
    pub from: usize,
    pub to: usize,
    #[serde(default)]
    pub label: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "shape", rename_all = "snake_case", deny_unknown_fields)]
pub enum Shape {
    Polygon {
        points: Vec<[Number; 2]>,
        #[serde(default)]
        filled: bool,
    },
    Segment {
        from: [Number; 2],
        to: [Number; 2],
    },
    Circle {
        center: [Number; 2],
        radius: Number,
    },
    /// The mark of a right angle at a vertex, between the directions to two points.
    RightAngle {
        at: [Number; 2],
        between: [[Number; 2]; 2],
    },
    Label {
        at: [Number; 2],
        text: String,
    },
}

/// A finite number.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Number(f64);

/// Sound because a `Number` is never NaN.
impl Eq for Number {}

impl Number {
    pub fn new(value: f64) -> Option<Self> {
        value.is_finite().then_some(Self(value))
    }

    pub fn get(self) -> f64 {
        self.0
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = f64::deserialize(deserializer)?;
        Self::new(value).ok_or_else(|| D::Error::custom("must be a finite number"))
    }
}

/// Inline text as styled spans; never empty in a valid scene. Plain text may be a string.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(from = "TextOrSpans")]
pub struct RichText(pub Vec<Span>);

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum TextOrSpans {
    Text(String),
    Spans(Vec<Span>),
}

impl From<TextOrSpans> for RichText {
    fn from(given: TextOrSpans) -> Self {
        match given {
            TextOrSpans::Text(text) => Self::plain(text),
            TextOrSpans::Spans(spans) => Self(spans),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Span {
    pub text: String,
    #[serde(default, skip_serializing_if = "SpanStyle::is_plain")]
    pub style: SpanStyle,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SpanStyle {
    #[default]
    Plain,
    Strong,
    Emphasis,
    Code,
    /// A formula in LaTeX, without dollar signs.
    Math,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The spoken line; never blank.
    pub narration: String,
    /// Blocks and parts that appear when the line begins, and stay until the end of the scene.
    #[serde(default)]
    pub reveals: Vec<Reveal>,
    /// The entrance; by default, the one of the block's kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enter: Option<Entrance>,
    /// The speaker of the line: 1 is the video's voice, and each other number has a voice of its own, as in a dialogue.
    #[serde(default = "first_speaker", skip_serializing_if = "is_first_speaker")]
    #[schemars(range(min = 1, max = 4))]
    pub speaker: u8,
}

fn first_speaker() -> u8 {
    1
}

fn is_first_speaker(speaker: &u8) -> bool {
    *speaker == first_speaker()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reveal {
    /// Index into the scene's `blocks`.
    pub block: usize,
    /// Index of the part, such as a table's row; `None` for the whole block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<usize>,
}

impl Block {
    /// Returns the number of parts that can be revealed one by one; `None` for a block without parts.
    pub fn parts(&self) -> Option<usize> {
        match self {
            Self::Table { rows, .. } => Some(rows.len()),
            Self::Timeline { items } => Some(items.len()),
            Self::Comparison { .. } => Some(2),
            Self::Derivation { formulas } => Some(formulas.len()),
            Self::Flow { nodes, .. } => Some(nodes.len()),
            Self::Diagram { language, source } => diagram::read(*language, source)?.parts(),
            Self::Items { items, .. } => Some(items.len()),
            Self::Bars { rows, .. } => Some(rows.len()),
            Self::Quadrant { items, .. } => Some(items.len()),
            Self::Code { groups, .. } if !groups.is_empty() => Some(groups.len()),
            _ => None,
        }
    }

    /// Returns `true` for a block that grows when it appears.
    pub fn grows(&self) -> bool {
        matches!(
            self,
            Self::Counter { .. }
                | Self::Chart { .. }
                | Self::Scatter { .. }
                | Self::Plot { .. }
                | Self::Proportion { .. }
                | Self::Gauge { .. }
        )
    }

    /// Returns the default entrance.
    pub fn entrance(&self) -> Entrance {
        match self {
            Self::Code { .. } | Self::Table { .. } => Entrance::Wipe,
            Self::Formula { .. } | Self::Derivation { .. } => Entrance::Morph,
            Self::Image { .. }
            | Self::Figure { .. }
            | Self::Flow { .. }
            | Self::Diagram { .. }
            | Self::Manim { .. } => Entrance::Fade,
            block if block.grows() => Entrance::Fade,
            _ => Entrance::Rise,
        }
    }
}

/// The transition with which a block appears.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Entrance {
    /// Fades in.
    #[default]
    Fade,
    /// Rises from a little below, and fades in.
    Rise,
    /// Wipes in from left to right.
    Wipe,
    /// Slides in from a little to the right, and fades in.
    Slide,
    /// Morphs the previous formula into this one: common terms move, new terms fade in. Any other block fades in.
    Morph,
}

/// The transition at the end of a scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Leave {
    /// Fades out.
    #[default]
    Fade,
    /// Slides a little to the left, and fades out.
    Slide,
    /// Wipes out from right to left, as if a next scene that enters by `slide` pushed it away.
    Wipe,
}

impl Leave {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Scene {
    /// Returns the animation that is the whole picture of the scene, and its measured duration.
    pub fn manim(&self) -> Option<(&Animation, Option<u32>)> {
        match &self.blocks[..] {
            [Block::Manim { animation, duration_ms }] => Some((animation, *duration_ms)),
            _ => None,
        }
    }

    /// Lets the first step reveal all blocks that no step reveals.
    pub fn reveal_all(&mut self) {
        let mut revealed = vec![false; self.blocks.len()];
        for reveal in self.steps.iter().flat_map(|step| &step.reveals) {
            if let Some(block) = revealed.get_mut(reveal.block) {
                *block = true;
            }
        }
        let Some(first) = self.steps.first_mut() else { return };
        let hidden = revealed.iter().enumerate().filter(|(_, revealed)| !**revealed);
        first.reveals.extend(hidden.map(|(block, _)| Reveal { block, part: None }));
    }

    /// Removes all texts of the scene.
    pub fn erase_content(&mut self) {
        self.title.clear();
        self.icon.clear();
        self.blocks.clear();
        self.steps.clear();
    }
}

impl Step {
    pub fn new(narration: impl Into<String>, reveals: Vec<Reveal>) -> Self {
        Self { narration: narration.into(), reveals, enter: None, speaker: first_speaker() }
    }
}

impl RichText {
    pub fn plain(text: impl Into<String>) -> Self {
        Self(vec![Span { text: text.into(), style: SpanStyle::Plain }])
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the text without its styles.
    pub fn to_plain(&self) -> String {
        self.0.iter().map(|span| span.text.as_str()).collect()
    }

    /// Returns the strong spans.
    pub fn strong(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|span| span.style == SpanStyle::Strong).map(|span| span.text.as_str())
    }
}

impl SpanStyle {
    fn is_plain(&self) -> bool {
        *self == Self::Plain
    }
}

/// Start and length of each step of a scene. They are counted in frames, so that picture and sound cannot drift apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SceneTimeline {
    /// Frames per second.
    pub fps: u32,
    /// Length of the scene, which is the sum of its steps.
    pub frames: u32,
    /// The timing of each step, in order.
    pub steps: Vec<StepTiming>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepTiming {
    pub start_frame: u32,
    pub frames: u32,
    /// Duration of the speech; the rest of the step is a pause.
    pub speech_ms: u32,
    /// The words of the line, in its order. Empty in timelines that were recorded before words were timed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<WordTime>,
}

/// When a word of a line begins. Serialized as a pair of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u32, u32)", into = "(u32, u32)")]
pub struct WordTime {
    /// Index of the word's first byte in the narration.
    pub offset: u32,
    /// Milliseconds from the beginning of the speech, never less than those of the word before.
    pub start_ms: u32,
}

impl From<(u32, u32)> for WordTime {
    fn from((offset, start_ms): (u32, u32)) -> Self {
        Self { offset, start_ms }
    }
}

impl From<WordTime> for (u32, u32) {
    fn from(word: WordTime) -> Self {
        (word.offset, word.start_ms)
    }
}

impl SceneTimeline {
    pub fn duration_ms(&self) -> u64 {
        u64::from(self.frames) * 1000 / u64::from(self.fps.max(1))
    }
}
