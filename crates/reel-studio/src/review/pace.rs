//! Times a scene: by its timeline, or by estimate.

use reel_scene::timing::{LEAD_IN_MS, Pauses};
use reel_scene::{Scene, SceneTimeline};

use super::Pace;

/// Words that a voice speaks in a minute at its normal tempo.
const WORDS_PER_MINUTE: f64 = 165.0;
/// Words that a syllable of an East Asian script counts as.
const WORDS_PER_SYLLABLE: f64 = 0.6;

pub(super) fn pace(scene: &Scene, timeline: Option<&SceneTimeline>) -> Pace {
    let timeline = timeline.filter(|timeline| timeline.steps.len() == scene.steps.len() && timeline.fps > 0);
    let words = scene.steps.iter().map(|step| count_words(&step.narration));
    let durations: Vec<f64> = match timeline {
        Some(timeline) => {
            timeline.steps.iter().map(|step| f64::from(step.frames) / f64::from(timeline.fps)).collect()
        }
        None => words.clone().enumerate().map(|(step, words)| estimated_s(scene, step, words)).collect(),
    };
    let duration_s: f64 = durations.iter().sum();
    Pace {
        is_measured: timeline.is_some(),
        duration_s,
        longest_still_s: longest_still_s(scene, &durations),
        words_per_minute: if duration_s > 0.0 { words.sum::<f64>() * 60.0 / duration_s } else { 0.0 },
    }
}

fn estimated_s(scene: &Scene, step: usize, words: f64) -> f64 {
    let Pauses { between_ms, last_ms } = Pauses::default();
    let before_ms = if step == 0 { LEAD_IN_MS } else { 0 };
    let after_ms = if step + 1 == scene.steps.len() { last_ms } else { between_ms };
    words * 60.0 / WORDS_PER_MINUTE + (before_ms + after_ms) as f64 / 1000.0
}

/// Returns the longest time from a change of the picture to the next. A scene's first step changes it, and so does each step
/// that reveals something.
fn longest_still_s(scene: &Scene, durations: &[f64]) -> f64 {
    let mut still = 0.0;
    let stills = scene.steps.iter().zip(durations).map(|(step, duration)| {
        still = if step.reveals.is_empty() { still + duration } else { *duration };
        still
    });
    stills.fold(0.0, f64::max)
}

/// Counts words. In East Asian scripts, which have no blanks between words, it counts syllables.
fn count_words(narration: &str) -> f64 {
    let is_syllable = |c: char| matches!(c, '\u{3040}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}');
    let syllables = narration.chars().filter(|c| is_syllable(*c)).count();
    let words = narration.split(|c: char| c.is_whitespace() || is_syllable(c));
    let words = words.filter(|word| word.chars().any(char::is_alphanumeric)).count();
    words as f64 + syllables as f64 * WORDS_PER_SYLLABLE
}
