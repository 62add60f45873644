//! The scene description: what a planner produces and everything after it consumes.
//!
//! A scene is a heading, some blocks laid out from top to bottom, and steps. A step is one line of
//! narration together with what appears while it is spoken. Layout order and order of appearance are
//! separate: a listing may stand below the sentences that are spoken while it is already visible.

use serde::{Deserialize, Serialize};

/// Fewest and most scenes of one video.
pub const SCENE_COUNT: std::ops::RangeInclusive<usize> = 3..=20;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scene {
    pub layout: Layout,
    /// The heading; on a `Title` or `Closing` card, the large text in the middle.
    pub title: String,
    /// From top to bottom.
    pub blocks: Vec<Block>,
    /// In the order they are spoken; never empty.
    pub steps: Vec<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// The opening card: the title large and centred, blocks below it as a subtitle.
    Title,
    /// A heading at the top and blocks below it.
    Content,
    /// The last card: like `Title`, in a quieter form.
    Closing,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
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
    Code {
        language: Option<String>,
        text: String,
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
}

/// Inline text as styled runs; never empty in a valid scene.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RichText(pub Vec<Span>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    pub text: String,
    #[serde(default, skip_serializing_if = "SpanStyle::is_plain")]
    pub style: SpanStyle,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpanStyle {
    #[default]
    Plain,
    Strong,
    Emphasis,
    Code,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What is spoken; never blank.
    pub narration: String,
    /// What becomes visible when the line starts, and stays visible to the end of the scene.
    pub reveals: Vec<Reveal>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reveal {
    /// Index into the scene's `blocks`.
    pub block: usize,
    /// Index of the part (a table's row); `None` for the whole block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<usize>,
}

/// How something comes into the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entrance {
    /// Out of the background.
    #[default]
    Fade,
    /// From a little below, fading in.
    Rise,
    /// From left to right.
    Wipe,
}

impl Scene {
    /// The scene without its words.
    pub fn erase_content(&mut self) {
        self.title.clear();
        self.blocks.clear();
        self.steps.clear();
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
