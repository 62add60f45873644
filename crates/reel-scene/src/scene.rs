//! The scene description: what a planner produces and everything after it consumes.
//!
//! A scene is a heading, some blocks laid out from top to bottom, and steps. A step is one line of
//! narration together with what appears while it is spoken. Layout order and order of appearance are
//! separate: a listing may stand below the sentences that are spoken while it is already visible.

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// Fewest and most scenes of one video.
pub const SCENE_COUNT: std::ops::RangeInclusive<usize> = 3..=20;

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scene {
    #[serde(default)]
    pub layout: Layout,
    /// The heading; on a `Title` or `Closing` card, the large text in the middle.
    pub title: String,
    /// From top to bottom.
    #[serde(default)]
    pub blocks: Vec<Block>,
    /// In the order they are spoken; never empty.
    pub steps: Vec<Step>,
    /// How it goes at its end.
    #[serde(default, skip_serializing_if = "Leave::is_usual")]
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
    /// A card between parts of a video: its title large, on the accent's colour.
    Section,
    /// The last card: like `Title`, in a quieter form.
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
    },
    /// Parts are groups of lines, where `groups` has any.
    Code {
        #[serde(default)]
        language: Option<String>,
        text: String,
        /// Lines of each group, one after the other; the last group holds all that are left.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        groups: Vec<u32>,
    },
    /// A display formula in LaTeX math notation, without the dollar signs.
    Formula {
        latex: String,
    },
    /// Parts are the rows, from 0; the header is visible as soon as any row is.
    Table {
        header: Vec<RichText>,
        rows: Vec<Vec<RichText>>,
    },
    /// A term and what it means.
    Definition {
        term: String,
        text: RichText,
    },
    /// What comes one after the other. Parts are the items.
    Timeline {
        items: Vec<TimelineItem>,
    },
    /// Two things beside each other. Parts are the left and the right one.
    Comparison {
        left: ComparisonSide,
        right: ComparisonSide,
    },
    /// Formulas that follow from each other, in LaTeX. Parts are the formulas.
    Derivation {
        formulas: Vec<String>,
    },
    /// A number that counts up.
    Counter {
        value: Number,
        /// Digits after the decimal point.
        #[serde(default)]
        decimals: u8,
        /// Before the number, such as a currency.
        #[serde(default)]
        prefix: String,
        /// After the number.
        #[serde(default)]
        unit: String,
        /// What is counted.
        #[serde(default)]
        label: String,
    },
    /// Numbers by category; the chart grows.
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
    /// Boxes and arrows. Parts are the nodes; an arrow is visible as soon as both its ends are.
    Flow {
        nodes: Vec<String>,
        edges: Vec<FlowEdge>,
    },
    /// The graphs of functions of x, such as `sin(x) / x`.
    Plot {
        functions: Vec<String>,
        /// Least and greatest x.
        range: [Number; 2],
    },
    /// Shapes in coordinates of their own; y grows upwards.
    Figure {
        shapes: Vec<Shape>,
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
    /// A right angle's mark at a corner, between the directions to two points.
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

/// No number is NaN.
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

/// Inline text as styled runs; never empty in a valid scene. Plain text may stand as a string.
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
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What is spoken; never blank.
    pub narration: String,
    /// What becomes visible when the line starts, and stays visible to the end of the scene.
    #[serde(default)]
    pub reveals: Vec<Reveal>,
    /// How it enters; each kind of block has its own way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enter: Option<Entrance>,
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
    /// How many parts can be revealed one by one; `None` where the block is one whole.
    pub fn parts(&self) -> Option<usize> {
        match self {
            Self::Table { rows, .. } => Some(rows.len()),
            Self::Timeline { items } => Some(items.len()),
            Self::Comparison { .. } => Some(2),
            Self::Derivation { formulas } => Some(formulas.len()),
            Self::Flow { nodes, .. } => Some(nodes.len()),
            Self::Code { groups, .. } if !groups.is_empty() => Some(groups.len()),
            _ => None,
        }
    }

    /// Whether it grows when it appears, rather than coming in whole.
    pub fn grows(&self) -> bool {
        matches!(self, Self::Counter { .. } | Self::Chart { .. } | Self::Scatter { .. } | Self::Plot { .. })
    }

    /// How it enters when nobody says so.
    pub fn entrance(&self) -> Entrance {
        match self {
            Self::Code { .. } | Self::Table { .. } => Entrance::Wipe,
            Self::Formula { .. } | Self::Derivation { .. } => Entrance::Morph,
            Self::Image { .. } | Self::Figure { .. } | Self::Flow { .. } => Entrance::Fade,
            block if block.grows() => Entrance::Fade,
            _ => Entrance::Rise,
        }
    }
}

/// How something comes into the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Entrance {
    /// Out of the background.
    #[default]
    Fade,
    /// From a little below, fading in.
    Rise,
    /// From left to right.
    Wipe,
    /// From a little to the right, fading in.
    Slide,
    /// A formula out of the one before: terms that both have move to their places. Whatever else fades in.
    Morph,
}

/// How a scene goes, to make room for the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Leave {
    /// Into the background.
    #[default]
    Fade,
    /// A little to the left, fading out.
    Slide,
    /// From right to left, as if the next scene, coming by `slide`, pushed it away.
    Wipe,
}

impl Leave {
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

impl Scene {
    /// What no step reveals appears with the first.
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

    /// The scene without its words.
    pub fn erase_content(&mut self) {
        self.title.clear();
        self.blocks.clear();
        self.steps.clear();
    }
}

impl Step {
    pub fn new(narration: impl Into<String>, reveals: Vec<Reveal>) -> Self {
        Self { narration: narration.into(), reveals, enter: None }
    }
}

impl RichText {
    pub fn plain(text: impl Into<String>) -> Self {
        Self(vec![Span { text: text.into(), style: SpanStyle::Plain }])
    }

    /// The text without its styles.
    pub fn to_plain(&self) -> String {
        self.0.iter().map(|span| span.text.as_str()).collect()
    }
}

impl SpanStyle {
    fn is_plain(&self) -> bool {
        *self == Self::Plain
    }
}

/// When each step of a scene begins and how long it lasts, counted in frames so that picture and
/// sound cannot drift apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SceneTimeline {
    /// Frames per second.
    pub fps: u32,
    /// Length of the scene; the steps add up to it.
    pub frames: u32,
    /// One for each step of the scene, in order.
    pub steps: Vec<StepTiming>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepTiming {
    pub start_frame: u32,
    pub frames: u32,
    /// How long the voice speaks; the rest of the step is a pause.
    pub speech_ms: u32,
}

impl SceneTimeline {
    pub fn duration_ms(&self) -> u64 {
        u64::from(self.frames) * 1000 / u64::from(self.fps)
    }
}
