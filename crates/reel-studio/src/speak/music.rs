//! Mixes music under the voice, ducked while the voice speaks.

use std::path::{Path, PathBuf};

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::sample::{Sample, Type};
use ffmpeg_next::software::resampling;
use ffmpeg_next::{ChannelLayout, frame, media};

use crate::ffmpeg::{read_packet, start};
use crate::speak::loudness::Meter;
use crate::speak::voice::{Pcm, SAMPLE_RATE_HZ};

/// Longest part of a piece that is kept in memory and repeated.
const MAX_LENGTH_S: usize = 300;
const MIN_LENGTH_S: usize = 2;
/// Loudness of the music in pauses, and under the voice, which has -16 LUFS.
const ALONE_LUFS: f64 = -27.0;
const UNDER_LUFS: f64 = -35.0;
/// Smallest absolute sample that counts as voice.
const VOICE_THRESHOLD: i32 = 400;
/// Time constants of the ducking.
const ATTACK_S: f64 = 0.15;
const RELEASE_S: f64 = 0.8;
/// Fades at the beginning and the end of the video, and the crossfade between repetitions of the piece.
const FADE_IN_S: f64 = 1.0;
const FADE_OUT_S: f64 = 2.5;
const CROSSFADE_S: f64 = 1.0;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the music {} cannot be read", path.display())]
    Unreadable { path: PathBuf, source: ffmpeg::Error },
    #[error("the music {} has {seconds:.1} s of sound, but must have {MIN_LENGTH_S} s at least", path.display())]
    TooShort { path: PathBuf, seconds: f64 },
    #[error("the loudness of the music {} cannot be measured", path.display())]
    Loudness { path: PathBuf, source: ebur128::Error },
}

/// A piece of music, mono.
#[derive(Debug, Clone)]
pub struct Music {
    samples: Vec<i16>,
    /// Gain that brings the piece to 0 LUFS.
    gain: f64,
}

impl Music {
    /// Reads any sound that FFmpeg can decode, at most [`MAX_LENGTH_S`] of it.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
        let samples = decode(path).map_err(unreadable)?;
        if samples.len() < MIN_LENGTH_S * SAMPLE_RATE_HZ as usize {
            let seconds = samples.len() as f64 / f64::from(SAMPLE_RATE_HZ);
            return Err(Error::TooShort { path: path.to_owned(), seconds });
        }
        let unmeasured = |source| Error::Loudness { path: path.to_owned(), source };
        let mut meter = Meter::new().map_err(unmeasured)?;
        let sound = Pcm { samples };
        meter.add(&sound).map_err(unmeasured)?;
        let gain = 10_f64.powf(-meter.loudness().unwrap_or(0.0) / 20.0);
        Ok(Self { samples: sound.samples, gain })
    }

    /// Returns a sample of the piece, repeated without end: its end crossfades into its beginning.
    fn sample_at(&self, time: u64) -> f64 {
        let crossfade = in_samples(CROSSFADE_S) as usize;
        let period = self.samples.len() - crossfade;
        let (round, offset) = (time / period as u64, (time % period as u64) as usize);
        let here = f64::from(self.samples[offset]);
        if round == 0 || offset >= crossfade {
            return here;
        }
        let share = offset as f64 / crossfade as f64;
        here * share + f64::from(self.samples[period + offset]) * (1.0 - share)
    }
}

/// Decodes the beginning of a file to mono samples.
fn decode(path: &Path) -> Result<Vec<i16>, ffmpeg::Error> {
    start();
    let mut input = ffmpeg::format::input(path)?;
    let stream = input.streams().best(media::Type::Audio).ok_or(ffmpeg::Error::StreamNotFound)?;
    let index = stream.index();
    let mut decoder = ffmpeg::codec::Context::from_parameters(stream.parameters())?.decoder().audio()?;
    let mono = ChannelLayout::MONO;
    let mut samples: Vec<i16> = vec![];
    let mut resampler: Option<resampling::Context> = None;
    let mut receive =
        |decoder: &mut ffmpeg::decoder::Audio, samples: &mut Vec<i16>| -> Result<(), ffmpeg::Error> {
            let mut decoded = frame::Audio::empty();
            while decoder.receive_frame(&mut decoded).is_ok() {
                if decoded.channel_layout().is_empty() {
                    decoded.set_channel_layout(ChannelLayout::default(i32::from(decoded.channels())));
                }
                let resampler = match &mut resampler {
                    Some(resampler) => resampler,
                    None => resampler.insert(resampling::Context::get(
                        decoded.format(),
                        decoded.channel_layout(),
                        decoded.rate(),
                        Sample::I16(Type::Packed),
                        mono,
                        SAMPLE_RATE_HZ,
                    )?),
                };
                let room =
                    decoded.samples() as u64 * u64::from(SAMPLE_RATE_HZ) / u64::from(decoded.rate().max(1));
                let mut resampled = frame::Audio::new(Sample::I16(Type::Packed), room as usize + 4096, mono);
                resampled.set_rate(SAMPLE_RATE_HZ);
                resampler.run(&decoded, &mut resampled)?;
                samples.extend_from_slice(resampled.plane::<i16>(0));
            }
            Ok(())
        };
    let max_samples = MAX_LENGTH_S * SAMPLE_RATE_HZ as usize;
    while samples.len() < max_samples {
        match read_packet(&mut input)? {
            Some(packet) if packet.stream() == index => {
                decoder.send_packet(&packet)?;
                receive(&mut decoder, &mut samples)?;
            }
            Some(_) => {}
            None => {
                decoder.send_eof()?;
                receive(&mut decoder, &mut samples)?;
                break;
            }
        }
    }
    samples.truncate(max_samples);
    Ok(samples)
}

/// Mixes music into the scenes of a video, one after the other.
pub struct Mixer<'a> {
    music: &'a Music,
    /// Samples mixed so far, and those of the whole video.
    time: u64,
    total: u64,
    /// Current ducking, from 0 (none) to 1 (full).
    ducking: f64,
}

impl<'a> Mixer<'a> {
    pub fn new(music: &'a Music, total: u64) -> Self {
        Self { music, time: 0, total, ducking: 0.0 }
    }

    /// Mixes the music into the next scene's sound.
    pub fn mix(&mut self, scene: &mut Pcm) {
        let (alone, under) =
            (lufs_to_gain(ALONE_LUFS) * self.music.gain, lufs_to_gain(UNDER_LUFS) * self.music.gain);
        let (attack, release) = (per_sample(ATTACK_S), per_sample(RELEASE_S));
        let ahead = in_samples(ATTACK_S) as usize;
        // With lookahead, the ducking is complete when the voice begins.
        let mut speaking_until = 0;
        for at in 0..scene.samples.len() {
            if let Some(sample) = scene.samples.get(at + ahead)
                && i32::from(*sample).abs() > VOICE_THRESHOLD
            {
                speaking_until = at + 2 * ahead;
            }
            let step = if at < speaking_until { attack } else { -release };
            self.ducking = (self.ducking + step).clamp(0.0, 1.0);
            // Interpolates in decibels, which sounds even.
            let loud = alone * (under / alone).powf(self.ducking);
            let music = self.music.sample_at(self.time) * loud * self.fade();
            let mixed = f64::from(scene.samples[at]) + music;
            scene.samples[at] = mixed.clamp(f64::from(i16::MIN), f64::from(i16::MAX)) as i16;
            self.time += 1;
        }
    }

    fn fade(&self) -> f64 {
        let rises = self.time as f64 / in_samples(FADE_IN_S);
        let falls = self.total.saturating_sub(self.time) as f64 / in_samples(FADE_OUT_S);
        rises.min(falls).min(1.0)
    }
}

fn lufs_to_gain(lufs: f64) -> f64 {
    10_f64.powf(lufs / 20.0)
}

fn in_samples(seconds: f64) -> f64 {
    seconds * f64::from(SAMPLE_RATE_HZ)
}

fn per_sample(seconds: f64) -> f64 {
    1.0 / in_samples(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speak::timeline;

    const RATE: usize = SAMPLE_RATE_HZ as usize;

    fn tone(seconds: usize, amplitude: f64) -> Vec<i16> {
        let wave = |at: usize| (at as f64 * 330.0 * std::f64::consts::TAU / RATE as f64).sin();
        (0..seconds * RATE).map(|at| (wave(at) * amplitude) as i16).collect()
    }

    fn read(samples: Vec<i16>) -> Result<Music, Error> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("calm.wav");
        timeline::write_wav(&file, &Pcm { samples }).unwrap();
        Music::read(&file)
    }

    /// Returns the sample peak of a part of the sound, in decibels; `from` and `to` are seconds.
    fn peak(sound: &Pcm, from: f64, to: f64) -> f64 {
        let part = &sound.samples[(from * RATE as f64) as usize..(to * RATE as f64) as usize];
        20.0 * (f64::from(part.iter().map(|sample| sample.unsigned_abs()).max().unwrap()) / 32_768.0).log10()
    }

    #[test]
    fn music_gives_way_to_the_voice_and_comes_back() {
        let music = read(tone(4, 9000.0)).unwrap();
        // Silence, then a voice that is only a click every hundredth of a second, then silence.
        let mut scene = Pcm { samples: vec![0; 12 * RATE] };
        (4 * RATE..8 * RATE).step_by(RATE / 100).for_each(|at| scene.samples[at] = 500);
        let clicks = scene.samples.clone();
        Mixer::new(&music, 12 * RATE as u64).mix(&mut scene);
        scene.samples.iter_mut().zip(clicks).for_each(|(sample, click)| *sample -= click);
        let (before, under, behind) =
            (peak(&scene, 2.0, 3.5), peak(&scene, 4.5, 7.5), peak(&scene, 9.2, 9.4));
        assert!((before - under - 8.0).abs() < 0.5, "8 dB less under the voice: {before} and {under}");
        assert!((before - behind).abs() < 0.5, "{before} and {behind}");
        assert!(peak(&scene, 3.98, 4.0) < before - 6.0, "it has given way when the voice begins");
        assert_eq!((scene.samples[0], *scene.samples.last().unwrap()), (0, 0), "it fades in and out");
    }

    #[test]
    fn scenes_one_by_one_sound_like_one_long_scene() {
        let music = read(tone(3, 5000.0)).unwrap();
        let voice = |from: usize| Pcm { samples: tone(8, 4000.0)[from..from + 4 * RATE].to_vec() };
        let mut whole = Pcm { samples: tone(8, 4000.0) };
        Mixer::new(&music, 8 * RATE as u64).mix(&mut whole);
        let mut mixer = Mixer::new(&music, 8 * RATE as u64);
        let mut parts = vec![];
        for from in [0, 4 * RATE] {
            let mut part = voice(from);
            mixer.mix(&mut part);
            parts.extend(part.samples);
        }
        let differs = parts.iter().zip(&whole.samples).filter(|(a, b)| a.abs_diff(**b) > 40).count();
        assert!(differs < RATE / 2, "{differs} samples differ, all near the cut");
    }

    #[test]
    fn what_is_no_music_is_refused() {
        let error = read(tone(1, 5000.0)).unwrap_err().to_string();
        assert!(error.ends_with("has 1.0 s of sound, but must have 2 s at least"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.mp3");
        std::fs::write(&file, b"no sound at all").unwrap();
        assert!(matches!(Music::read(&file), Err(Error::Unreadable { .. })));
    }
}
