//! Estimates durations before anything is spoken.

use crate::arrange::passages::Passage;
use reel_scene::timing::{LEAD_IN_MS, Pauses};
use reel_scene::{Scene, Step};

/// Duration of a character, measured with espeak-ng at its default tempo.
const CHARACTER_MS: u64 = 65;
/// Duration of a character that is a syllable or a word, as in East Asian scripts.
const SYLLABLE_MS: u64 = 220;

/// Estimates a line with the pause after it.
fn step_ms(step: &Step) -> u64 {
    let character_ms = |c: char| {
        if matches!(c, '\u{3040}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}') {
            SYLLABLE_MS
        } else {
            CHARACTER_MS
        }
    };
    step.narration.chars().map(character_ms).sum::<u64>() + Pauses::default().between_ms
}

/// Estimates all lines of passages.
pub(crate) fn passages_ms<'a>(passages: impl IntoIterator<Item = &'a Passage>) -> u64 {
    passages.into_iter().flat_map(|passage| &passage.steps).map(step_ms).sum()
}

/// Estimates a scene, including the silence at its ends.
pub(crate) fn scene_ms(scene: &Scene) -> u64 {
    scene.steps.iter().map(step_ms).sum::<u64>() + scene_overhead_ms()
}

/// Returns the time that a scene takes beside its lines.
pub(crate) fn scene_overhead_ms() -> u64 {
    let Pauses { between_ms, last_ms } = Pauses::default();
    LEAD_IN_MS + last_ms - between_ms
}
