//! The parts of blocks that are drawn as a picture of how things belong together.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Number, RichText};

/// One of the things that a block arranges.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// A term, a date, or the whole item in a few words; may be empty where there is a text.
    #[serde(default)]
    pub title: String,
    /// What is said of it.
    #[serde(default, skip_serializing_if = "RichText::is_empty")]
    pub text: RichText,
    /// Name of an icon, such as `battery`; empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub icon: String,
    /// Of a side (`versus`, `before_after`, `pros_cons`): what it has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<RichText>,
    /// Of a `tree`: the index of the item above it, which comes earlier in the list; absent for the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<usize>,
}

/// How the items of a block belong together, which is how they are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Arrangement {
    /// Things of one kind, side by side.
    Cards,
    /// What to do, or what holds, one below the other.
    Checklist,
    /// Sentences, one below the other, each with its icon.
    Notes,
    /// Steps, with arrows from each to the next.
    Process,
    /// Steps of which the last leads to the first.
    Cycle,
    /// Stages of which each lets fewer through.
    Funnel,
    /// Levels of which each rests on the one below; the first is the top.
    Pyramid,
    /// Things around their `center`.
    Hub,
    /// Things below what they belong to, by `parent`.
    Tree,
    /// Causes on the left, with arrows to their effect, the `center`.
    Causes,
    /// Points in time along a line; titles are the dates.
    Dates,
    /// Two things that stand against each other.
    Versus,
    /// Two states, and an arrow from the first to the second.
    BeforeAfter,
    /// What speaks for something, and what against it.
    ProsCons,
    /// Two or three things that overlap; `center` is what they share.
    Venn,
    /// Things from the first place on.
    Ranking,
}

impl Arrangement {
    pub const ALL: [Self; 16] = [
        Self::Cards,
        Self::Checklist,
        Self::Notes,
        Self::Process,
        Self::Cycle,
        Self::Funnel,
        Self::Pyramid,
        Self::Hub,
        Self::Tree,
        Self::Causes,
        Self::Dates,
        Self::Versus,
        Self::BeforeAfter,
        Self::ProsCons,
        Self::Venn,
        Self::Ranking,
    ];

    /// Returns its name in a description.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cards => "cards",
            Self::Checklist => "checklist",
            Self::Notes => "notes",
            Self::Process => "process",
            Self::Cycle => "cycle",
            Self::Funnel => "funnel",
            Self::Pyramid => "pyramid",
            Self::Hub => "hub",
            Self::Tree => "tree",
            Self::Causes => "causes",
            Self::Dates => "dates",
            Self::Versus => "versus",
            Self::BeforeAfter => "before_after",
            Self::ProsCons => "pros_cons",
            Self::Venn => "venn",
            Self::Ranking => "ranking",
        }
    }

    /// Returns how many items it takes: no more than can be read at a glance.
    pub fn items(self) -> std::ops::RangeInclusive<usize> {
        match self {
            Self::Cards => 2..=6,
            Self::Checklist | Self::Notes => 1..=7,
            Self::Process | Self::Dates => 2..=7,
            Self::Cycle => 3..=7,
            Self::Funnel | Self::Pyramid => 2..=6,
            Self::Hub => 2..=8,
            Self::Tree => 2..=15,
            Self::Causes => 1..=5,
            Self::Versus | Self::BeforeAfter | Self::ProsCons => 2..=2,
            Self::Venn => 2..=3,
            Self::Ranking => 2..=8,
        }
    }

    /// Returns `true` where the items belong to a `center`, which must be given.
    pub fn has_center(self) -> bool {
        matches!(self, Self::Hub | Self::Causes | Self::Venn)
    }
}

/// A row of a block of bars.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BarRow {
    pub title: String,
    /// What else is said of it, in small type below the title.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

/// One quantity, measured for each row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BarColumn {
    /// What is measured, with its unit.
    #[serde(default)]
    pub name: String,
    /// One value for each row, none below zero.
    pub values: Vec<Number>,
    /// Digits after the decimal point.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub decimals: u8,
}

pub(crate) fn is_zero(decimals: &u8) -> bool {
    *decimals == 0
}

/// A point of a block of four fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuadrantItem {
    pub title: String,
    /// Where it is, to the right and upwards, each from 0 to 1.
    pub at: [Number; 2],
}
