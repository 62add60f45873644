//! Times the steps of a scene by the measured lengths of their lines, and mixes, writes and reads the scene's sound.

use std::path::{Path, PathBuf};

use crate::ffmpeg::part_file;
use crate::speak::line_file;
use crate::speak::voice::{Pcm, SAMPLE_RATE_HZ, SpokenLine};
use reel_scene::timing::{LEAD_IN_MS, Pauses};
use reel_scene::{SceneTimeline, StepTiming};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: hound::Error },
    #[error("cannot write {}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: hound::Error },
    #[error("{} is not {SAMPLE_RATE_HZ} Hz, mono, 16 bit", path.display())]
    Format { path: PathBuf },
    #[error("{} has no times of its words", path.display())]
    Words { path: PathBuf },
}

/// Times one step for each line, in whole frames. `fps` must divide the sample rate.
pub fn time_steps(lines: &[SpokenLine], fps: u32, pauses: Pauses) -> SceneTimeline {
    let per_frame = u64::from(SAMPLE_RATE_HZ / fps);
    let in_samples = |ms: u64| ms * u64::from(SAMPLE_RATE_HZ) / 1000;
    let mut start_frame = 0;
    let mut steps = Vec::with_capacity(lines.len());
    for (index, line) in lines.iter().enumerate() {
        let before = if index == 0 { in_samples(LEAD_IN_MS) } else { 0 };
        let after = in_samples(if index + 1 == lines.len() { pauses.last_ms } else { pauses.between_ms });
        let frames = (before + line.sound.samples.len() as u64 + after).div_ceil(per_frame) as u32;
        let (speech_ms, words) = (line.duration_ms(), line.words.clone());
        steps.push(StepTiming { start_frame, frames, speech_ms, words });
        start_frame += frames;
    }
    SceneTimeline { fps, frames: start_frame, steps }
}

/// Lengthens the last step of a scene that would be shorter than `frames`: the sound is followed by silence.
pub fn extend(timeline: &mut SceneTimeline, frames: u32) {
    let missing = frames.saturating_sub(timeline.frames);
    if let Some(last) = timeline.steps.last_mut() {
        last.frames += missing;
        timeline.frames += missing;
    }
}

/// Mixes a scene's sound: each line at the start of its step, exactly as long as the scene's frames.
pub fn mix(timeline: &SceneTimeline, lines: &[SpokenLine]) -> Pcm {
    let per_frame = (SAMPLE_RATE_HZ / timeline.fps) as usize;
    let mut samples = vec![0; timeline.frames as usize * per_frame];
    let lead_in = LEAD_IN_MS as usize * SAMPLE_RATE_HZ as usize / 1000;
    for (index, (step, line)) in timeline.steps.iter().zip(lines).enumerate() {
        let start = step.start_frame as usize * per_frame + if index == 0 { lead_in } else { 0 };
        samples[start..start + line.sound.samples.len()].copy_from_slice(&line.sound.samples);
    }
    Pcm { samples }
}

const WAV: hound::WavSpec = hound::WavSpec {
    channels: 1,
    sample_rate: SAMPLE_RATE_HZ,
    bits_per_sample: 16,
    sample_format: hound::SampleFormat::Int,
};

/// Writes the sound to `path`, which appears when it is whole.
pub fn write_wav(path: &Path, pcm: &Pcm) -> Result<(), Error> {
    let file = |source| Error::File { path: path.to_owned(), source };
    let part = part_file(path).map_err(file)?;
    write_samples(&part, path, pcm)?;
    part.persist(path).map_err(|error| file(error.error))
}

/// Writes a line with its words to `path`, which appears when it is whole.
pub fn write_line(path: &Path, line: &SpokenLine) -> Result<(), Error> {
    let file = |source| Error::File { path: path.to_owned(), source };
    let part = part_file(path).map_err(file)?;
    write_samples(&part, path, &line.sound)?;
    let mut wav = std::fs::read(&part).map_err(file)?;
    line_file::add_cues(&mut wav, &line_file::to_cues(&line.words));
    std::fs::write(&part, wav).map_err(file)?;
    part.persist(path).map_err(|error| file(error.error))
}

/// Reads a line with its words. A file without words is an error: another version wrote it.
pub fn read_line(path: &Path) -> Result<SpokenLine, Error> {
    let sound = read_wav(path)?;
    let wav = std::fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
    let words = line_file::read_cues(&wav).and_then(|cues| line_file::to_words(&cues));
    let words = words.filter(|words| words.iter().all(|word| word.start_ms <= sound.duration_ms()));
    let words = words.ok_or_else(|| Error::Words { path: path.to_owned() })?;
    Ok(SpokenLine { sound, words })
}

fn write_samples(part: &Path, path: &Path, pcm: &Pcm) -> Result<(), Error> {
    let write = |source| Error::Write { path: path.to_owned(), source };
    let mut writer = hound::WavWriter::create(part, WAV).map_err(write)?;
    let mut bulk = writer.get_i16_writer(pcm.samples.len() as u32);
    pcm.samples.iter().for_each(|sample| bulk.write_sample(*sample));
    bulk.flush().map_err(write)?;
    writer.finalize().map_err(write)
}

pub fn read_wav(path: &Path) -> Result<Pcm, Error> {
    let read = |source| Error::Read { path: path.to_owned(), source };
    let reader = hound::WavReader::open(path).map_err(read)?;
    if reader.spec() != WAV {
        return Err(Error::Format { path: path.to_owned() });
    }
    let samples = reader.into_samples::<i16>().collect::<Result<_, _>>().map_err(read)?;
    Ok(Pcm { samples })
}

#[cfg(test)]
mod tests {
    use super::*;
    use reel_scene::WordTime;

    fn line(ms: usize) -> SpokenLine {
        let sound = Pcm { samples: vec![1000; ms * 48] };
        SpokenLine { sound, words: [(0, 0), (7, ms as u32 / 2)].map(WordTime::from).to_vec() }
    }

    #[test]
    fn steps_are_whole_frames_and_hold_their_lines() {
        for fps in [24, 25, 30, 50, 60] {
            let lines = [line(1234), line(17), line(4321)];
            let timeline = time_steps(&lines, fps, Pauses::default());
            assert_eq!(timeline.frames, timeline.steps.iter().map(|step| step.frames).sum::<u32>());
            let sound = mix(&timeline, &lines);
            assert_eq!(sound.samples.len(), (timeline.frames * SAMPLE_RATE_HZ / fps) as usize);
            let spoken = sound.samples.iter().filter(|sample| **sample == 1000).count();
            assert_eq!(spoken, (1234 + 17 + 4321) * 48, "every sample of every line, at {fps} fps");
            let pauses_ms = 400 + 2 * 350 + 700;
            let whole_ms = timeline.duration_ms();
            assert!((5572 + pauses_ms..5572 + pauses_ms + 130).contains(&whole_ms), "{whole_ms}");
        }
    }

    #[test]
    fn a_scene_is_extended_by_silence_and_never_shortened() {
        let lines = [line(1000), line(500)];
        let mut timeline = time_steps(&lines, 30, Pauses::default());
        let before = timeline.clone();
        extend(&mut timeline, 10);
        assert_eq!(timeline, before);
        extend(&mut timeline, 300);
        assert_eq!((timeline.frames, timeline.steps[0].clone()), (300, before.steps[0].clone()));
        assert_eq!(timeline.steps.iter().map(|step| step.frames).sum::<u32>(), 300);
        let sound = mix(&timeline, &lines);
        assert_eq!(sound.samples.len(), 10 * 48_000);
        assert!(sound.samples[4 * 48_000..].iter().all(|sample| *sample == 0));
    }

    #[test]
    fn sound_survives_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        write_wav(&path, &line(100).sound).unwrap();
        assert_eq!(read_wav(&path).unwrap(), line(100).sound);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_line_keeps_its_words_in_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        write_line(&path, &line(101)).unwrap();
        assert_eq!(read_line(&path).unwrap(), line(101));
        assert_eq!(read_wav(&path).unwrap(), line(101).sound, "it is a sound like any other");
        write_wav(&path, &line(100).sound).unwrap();
        let error = read_line(&path).unwrap_err().to_string();
        assert!(error.ends_with("a.wav has no times of its words"), "{error}");
    }
}
