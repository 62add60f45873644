//! How a step comes into the picture, and what moves on the way.

use reel_scene::Entrance;

use super::highlight::Passage;
use super::morph::Move;

/// Seconds that terms take to move to their places.
const MORPH_SECONDS: f64 = 0.9;
/// Seconds that a highlight takes to the next lines.
const HIGHLIGHT_SECONDS: f64 = 0.6;

/// How a step comes into the picture.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StepMotion {
    /// From the page before to the step's first page.
    pub entrance: Entrance,
    /// Pages of the step itself that follow each other; the last of them stays. At least 1.
    pub pages: u32,
    pub moving: Moving,
}

/// What moves on the way to a step's first page.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Moving {
    #[default]
    Nothing,
    /// Terms of a formula.
    Terms(Vec<Move>),
    /// What marks lines of code; `None` when it was nowhere before.
    Highlight(Option<Passage>),
}

impl Moving {
    /// Seconds that it takes, `None` when nothing moves.
    pub fn seconds(&self) -> Option<f64> {
        match self {
            Self::Terms(moves) if !moves.is_empty() => Some(MORPH_SECONDS),
            Self::Highlight(Some(_)) => Some(HIGHLIGHT_SECONDS),
            _ => None,
        }
    }
}
