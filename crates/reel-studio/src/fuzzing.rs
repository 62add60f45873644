//! Entry points of the fuzz targets in `fuzz/`. Each takes any bytes and panics when a property does not hold. Tests
//! replay every seed and every input that once failed.

use reel_scene::look::Look;
use reel_scene::{Block, Layout, Reveal, Scene, Step};

use crate::encode::h264::{Sequence, byte_stream};
use crate::layout::images::Images;
use crate::layout::{self, Pages};
use crate::speak::voice::{self, SpokenLine, Synthesised, Timing};
use crate::speak::{line_file, voice_output};

/// Longest formula, as in `reel_scene::check`.
const MAX_FORMULA_BYTES: usize = 4000;

/// A LaTeX formula: every text lays out in a scene, as a formula or as its source.
pub fn latex(data: &[u8]) {
    let Ok(latex) = std::str::from_utf8(data) else { return };
    if latex.len() > MAX_FORMULA_BYTES {
        return;
    }
    let scene = Scene {
        layout: Layout::Content,
        title: "A formula".to_owned(),
        blocks: vec![Block::Formula { latex: latex.to_owned() }],
        steps: vec![Step::new("A formula.", vec![Reveal { block: 0, part: None }])],
        ..Scene::default()
    };
    let pages = Pages::compile(&layout::source(&scene, &Look::default()), &Images::default());
    assert!(pages.is_ok(), "{:?}", pages.err());
}

/// The output of a voice: the prepared sound is never longer than a minute for each character.
pub fn wav(data: &[u8]) {
    if let Ok((rate, samples)) = voice_output::read(data) {
        let line = "A line of narration";
        let timing = line_file::read_cues(data).map_or(Timing::Unknown, Timing::Marks);
        if let Ok(spoken) = voice::prepare(line, &Synthesised { rate, samples, timing }) {
            let SpokenLine { sound, words } = spoken;
            assert!(!sound.samples.is_empty());
            assert_eq!(words.len(), 4);
            assert!(words.is_sorted_by(|a, b| a.start_ms <= b.start_ms));
            assert!(words.iter().all(|word| word.start_ms <= sound.duration_ms()));
            assert!(sound.samples.len() <= line.len() * 60 * voice::SAMPLE_RATE_HZ as usize);
        }
    }
}

/// The headers of an H.264 stream, followed by pictures. The first two bytes are the length of the headers.
pub fn h264(data: &[u8]) {
    let Some(([high, low], rest)) = data.split_first_chunk() else { return };
    let (headers, pictures) = rest.split_at(rest.len().min(usize::from(u16::from_be_bytes([*high, *low]))));
    if let Ok(sequence) = Sequence::parse(headers) {
        assert!(!sequence.parameter_set().is_empty());
        let number = sequence.next(0);
        let repeat = sequence.repeat(number);
        assert_eq!(
            sequence.set_frame_num(&repeat, number).as_ref(),
            Ok(&repeat),
            "it has this number already"
        );
        let _refused = sequence.set_frame_num(pictures, number);
    }
    let _refused = byte_stream(pictures, Some(headers));
}

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_that_were_fuzzed_are_laid_out() {
        replay::all("latex", latex);
    }

    #[test]
    fn sounds_that_were_fuzzed_are_read() {
        replay::all("wav", wav);
    }

    #[test]
    fn streams_that_were_fuzzed_are_read() {
        replay::all("h264", h264);
    }
}
