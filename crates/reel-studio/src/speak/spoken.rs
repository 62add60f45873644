//! What a voice answers with, read and found to be speech: a WAV that is whole, of a plausible length, and no noise.

use crate::speak::narration::Error;

/// How long a character takes to say, in ms: no voice is faster with letters, and none slower with signs, of which it tells
/// the names.
const FASTEST_LETTER_MS: u64 = 8;
const SLOWEST_SIGN_MS: u64 = 3000;
const SLOWEST_START_MS: u64 = 5000;
/// Of noise every second sample has another sign than the one before; of speech, even of whispers, far fewer.
const MOST_SIGN_CHANGES: f64 = 0.42;
/// Shorter sounds may be anything.
const LEAST_SAMPLES: usize = 2000;
/// Lengths from here on were written before the length was known, as was 0.
const NO_LENGTH: u32 = 0x7f00_0000;

/// Rate and samples, of all channels together.
pub(crate) fn read(wav: &[u8]) -> Result<(u32, Vec<i16>), Error> {
    if !wav.starts_with(b"RIFF") || wav.get(8..12) != Some(b"WAVE".as_slice()) {
        let found = format!("{} bytes that are no WAV", wav.len());
        return Err(Error::Format { found });
    }
    let number = |at: usize, length: usize| -> u32 {
        let bytes = wav.get(at..at + length).unwrap_or_default();
        bytes.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte))
    };
    let (mut at, mut format) = (12, None);
    while at + 8 <= wav.len() {
        let (kind, length) = (&wav[at..at + 4], number(at + 4, 4));
        let body = at + 8;
        match (kind, format) {
            (b"fmt ", _) => format = Some((number(body + 2, 2), number(body + 4, 4), number(body + 14, 2))),
            (b"data", Some((channels, rate, bits))) => {
                if bits != 16 || !(1..=8).contains(&channels) || !(8000..=192_000).contains(&rate) {
                    let found = format!("{bits}-bit samples of {channels} channels at {rate} Hz");
                    return Err(Error::Format { found });
                }
                return Ok((rate, samples(sound_of(&wav[body..], length)?, channels)));
            }
            _ => {}
        }
        at = body.saturating_add(length as usize).next_multiple_of(2);
    }
    Err(Error::Format { found: "a WAV without samples".to_owned() })
}

/// The bytes of the samples: as many as announced, or all where nothing was.
fn sound_of(rest: &[u8], length: u32) -> Result<&[u8], Error> {
    match length {
        0 | NO_LENGTH.. => Ok(rest),
        _ => rest.get(..length as usize).ok_or_else(|| {
            let found = format!("{} bytes of sound where {length} were announced", rest.len());
            Error::Damaged { found }
        }),
    }
}

fn samples(sound: &[u8], channels: u32) -> Vec<i16> {
    let frames = sound.chunks_exact(2 * channels as usize).map(|frame| {
        let samples = frame.chunks_exact(2).map(|pair| i32::from(i16::from_le_bytes([pair[0], pair[1]])));
        (samples.sum::<i32>() / channels as i32) as i16
    });
    frames.collect()
}

/// Whether this can be the line, at any tempo: not far too short or long for it, and not noise.
pub(crate) fn check(line: &str, rate: u32, samples: &[i16]) -> Result<(), Error> {
    let damaged = |found: String| Err(Error::Damaged { found });
    let signs = line.chars().filter(|c| !c.is_whitespace()).count() as u64;
    let letters = line.chars().filter(|c| c.is_alphanumeric()).count() as u64;
    let ms = samples.len() as u64 * 1000 / u64::from(rate.max(1));
    let plausible = FASTEST_LETTER_MS * letters..=SLOWEST_SIGN_MS * signs + SLOWEST_START_MS;
    if !samples.is_empty() && !plausible.contains(&ms) {
        return damaged(format!("{ms} ms of sound for a line of {signs} characters"));
    }
    let changes = samples.windows(2).filter(|pair| (pair[0] < 0) != (pair[1] < 0)).count();
    if samples.len() >= LEAST_SAMPLES && changes as f64 > MOST_SIGN_CHANGES * samples.len() as f64 {
        return damaged("noise".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A WAV of a chunk that nobody knows, a format, and samples of two channels.
    fn wav(announced: u32, samples: &[i16]) -> Vec<u8> {
        let mut wav = b"RIFF\0\0\0\0WAVEJUNK\x03\0\0\0data".to_vec();
        wav.extend(b"fmt \x10\0\0\0\x01\0\x02\0");
        wav.extend(24_000_u32.to_le_bytes());
        wav.extend([0, 0, 0, 0, 4, 0, 16, 0]);
        wav.extend(b"data");
        wav.extend(announced.to_le_bytes());
        wav.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
        wav
    }

    #[test]
    fn a_wav_is_read_with_or_without_a_length() {
        for announced in [8, 0, u32::MAX, 0x7fff_f000] {
            assert_eq!(read(&wav(announced, &[100, 300, -50, -150])).unwrap(), (24_000, vec![200, -100]));
        }
        assert_eq!(read(&wav(4, &[100, 300, -50, -150])).unwrap().1, [200], "what follows is not sound");
    }

    #[test]
    fn what_is_no_whole_wav_is_refused_with_what_it_is() {
        let told = |wav: &[u8]| read(wav).unwrap_err().to_string();
        assert_eq!(
            told(b"<html>"),
            "the voice answered with 6 bytes that are no WAV, expected a WAV of 16-bit samples"
        );
        assert!(told(&wav(4000, &[1; 100])).contains("200 bytes of sound where 4000 were announced"));
        assert!(told(&wav(8, &[1; 4])[..30]).contains("a WAV without samples"));
        let mut deep = wav(8, &[1; 4]);
        let bits = deep.windows(4).position(|window| window == b"fmt ").unwrap() + 22;
        deep[bits] = 24;
        assert!(told(&deep).contains("24-bit samples of 2 channels at 24000 Hz"));
    }

    #[test]
    fn sound_that_cannot_be_the_line_is_refused() {
        let tone = |samples: usize| {
            (0..samples).map(|at| if at / 50 % 2 == 0 { 5000 } else { -5000 }).collect::<Vec<i16>>()
        };
        let line = "Ions move from one layer to the other.";
        assert!(check(line, 24_000, &tone(48_000)).is_ok());
        assert!(check(line, 24_000, &[]).is_ok(), "silence has an error of its own");
        let told = |samples: &[i16]| check(line, 24_000, samples).unwrap_err().to_string();
        assert!(told(&tone(1000)).contains("41 ms of sound for a line of 31 characters"));
        assert!(told(&tone(3_000_000)).contains("125000 ms"));
        // A compressed sound taken for samples is noise.
        let mut random = 1_u32;
        let noise: Vec<i16> = std::iter::repeat_with(|| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 16) as i16
        })
        .take(48_000)
        .collect();
        assert!(told(&noise).contains("noise"));
    }
}
