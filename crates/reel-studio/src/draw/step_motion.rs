//! The motion with which a step enters the picture.

use reel_scene::Entrance;

use super::highlight::HighlightMove;
use super::morph::Move;
use super::strokes::Strokes;

/// Time that the terms of a formula take to move.
const MORPH_S: f64 = 0.9;
/// Time that a highlight takes to move to the next lines.
const HIGHLIGHT_S: f64 = 0.6;

/// The motion of one step.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StepMotion {
    /// The transition from the previous page to the step's first page.
    pub entrance: Entrance,
    /// Pages of the step, at least 1. They are shown one after the other, and the last one stays.
    pub pages: u32,
    pub moving: Moving,
}

/// Content that moves during the transition to a step's first page.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Moving {
    #[default]
    None,
    /// The terms of a formula.
    Terms(Vec<Move>),
    /// The highlight of lines of code; `None` when the page before has none.
    Highlight(Option<HighlightMove>),
    /// The pen that draws new strokes.
    Strokes(Strokes),
}

impl Moving {
    /// Returns how long the motion takes; `None` when nothing moves.
    pub fn duration_s(&self) -> Option<f64> {
        match self {
            Self::Terms(moves) if !moves.is_empty() => Some(MORPH_S),
            Self::Highlight(Some(_)) => Some(HIGHLIGHT_S),
            Self::Strokes(strokes) => Some(strokes.duration_s),
            _ => None,
        }
    }
}
