//! Estimates how long something takes to say, before anybody has said it.

use crate::arrange::passages::Passage;
use reel_scene::timing::{LEAD_IN_MS, Pauses};
use reel_scene::{Scene, Step};

/// Of one character, measured: spoken by espeak-ng at its usual tempo.
const CHARACTER_MS: u64 = 65;
/// Of a character that is a syllable or a word by itself: East Asian scripts.
const SYLLABLE_MS: u64 = 220;

/// Returns the milliseconds of a line and the pause behind it.
fn of_step(step: &Step) -> u64 {
    let of_character = |c: char| {
        if matches!(c, '\u{3040}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}') {
            SYLLABLE_MS
        } else {
            CHARACTER_MS
        }
    };
    step.narration.chars().map(of_character).sum::<u64>() + Pauses::default().between_ms
}

/// Returns the milliseconds of all lines of passages.
pub(crate) fn of_passages<'a>(passages: impl IntoIterator<Item = &'a Passage>) -> u64 {
    passages.into_iter().flat_map(|passage| &passage.steps).map(of_step).sum()
}

/// Returns the milliseconds of a scene's lines with the silence at its ends.
pub(crate) fn of_scene(scene: &Scene) -> u64 {
    scene.steps.iter().map(of_step).sum::<u64>() + at_ends()
}

/// Returns the milliseconds that a scene takes beside its lines.
pub(crate) fn at_ends() -> u64 {
    let Pauses { between_ms, last_ms } = Pauses::default();
    LEAD_IN_MS + last_ms - between_ms
}
