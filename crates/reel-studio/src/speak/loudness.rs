//! Measures the loudness of a voice and brings it to a target (ITU-R BS.1770, EBU R 128).

use ebur128::{EbuR128, Mode};

use crate::speak::voice::{Pcm, SAMPLE_RATE_HZ};

/// Loudness that players expect of speech on the web.
pub const TARGET_LUFS: f64 = -16.0;
/// Largest gain, and the reciprocal of the smallest: a nearly silent sound stays quiet.
const MAX_GAIN: f64 = 8.0;
/// Level above which the limiter compresses samples, relative to full scale.
const KNEE: f64 = 0.8;

/// Measures the integrated loudness of all sounds added to it.
pub struct Meter(EbuR128);

impl Meter {
    pub fn new() -> Result<Self, ebur128::Error> {
        EbuR128::new(1, SAMPLE_RATE_HZ, Mode::I).map(Self)
    }

    pub fn add(&mut self, line: &Pcm) -> Result<(), ebur128::Error> {
        self.0.add_frames_i16(&line.samples)
    }

    /// Returns the gated loudness in LUFS; `None` when there is nothing but silence.
    pub fn loudness(&self) -> Option<f64> {
        self.0.loudness_global().ok().filter(|loudness| loudness.is_finite())
    }

    /// Returns the gain that brings the sound to [`TARGET_LUFS`], in steps of half a decibel: one changed word then leaves
    /// the rest of the sound as it is.
    pub fn gain(&self) -> f64 {
        let decibels = self.loudness().map_or(0.0, |loudness| ((TARGET_LUFS - loudness) * 2.0).round() / 2.0);
        let gain = 10_f64.powf(decibels / 20.0);
        gain.clamp(1.0 / MAX_GAIN, MAX_GAIN)
    }
}

/// Applies a gain. A soft limiter compresses peaks above [`KNEE`], so that nothing clips.
pub fn amplify(sound: &mut Pcm, gain: f64) {
    for sample in &mut sound.samples {
        let value = f64::from(*sample) / 32_768.0 * gain;
        let over = value.abs() - KNEE;
        let bent = if over > 0.0 { KNEE + (1.0 - KNEE) * (over / (1.0 - KNEE)).tanh() } else { value.abs() };
        *sample = (bent.copysign(value) * 32_767.0) as i16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(amplitude: f64) -> Pcm {
        let wave =
            |at: u32| (f64::from(at) * 440.0 * std::f64::consts::TAU / f64::from(SAMPLE_RATE_HZ)).sin();
        Pcm { samples: (0..3 * SAMPLE_RATE_HZ).map(|at| (wave(at) * amplitude * 32_767.0) as i16).collect() }
    }

    #[test]
    fn any_voice_comes_to_the_target() {
        for amplitude in [0.03, 0.1, 0.25, 0.5] {
            let mut sound = tone(amplitude);
            let mut meter = Meter::new().unwrap();
            meter.add(&sound).unwrap();
            amplify(&mut sound, meter.gain());
            let mut after = Meter::new().unwrap();
            after.add(&sound).unwrap();
            let loudness = after.loudness().unwrap();
            assert!((loudness - TARGET_LUFS).abs() < 0.5, "{amplitude}: {loudness}");
        }
    }

    #[test]
    fn nothing_clips_and_silence_stays() {
        let mut loud = tone(0.9);
        amplify(&mut loud, 4.0);
        assert!(loud.samples.iter().all(|sample| sample.unsigned_abs() < 32_767));
        let mut meter = Meter::new().unwrap();
        meter.add(&Pcm { samples: vec![0; 48_000] }).unwrap();
        assert_eq!((meter.loudness(), meter.gain()), (None, 1.0));
    }
}
