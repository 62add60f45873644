//! Parses the output of a voice, and checks that it can be speech: a complete WAV of plausible length that is not noise.

use crate::speak::voice::Error;

/// Bounds of the time that a character takes. The slowest are signs, whose names are spoken.
const MIN_LETTER_MS: u64 = 8;
const MAX_SIGN_MS: u64 = 3000;
const MAX_START_MS: u64 = 5000;
/// Largest share of samples whose sign differs from the previous one. In noise it is a half; in speech, even in whispers,
/// far less.
const MAX_SIGN_CHANGE_RATE: f64 = 0.42;
/// Shorter sounds are not checked for noise.
const MIN_CHECKED_SAMPLES: usize = 2000;
/// Lengths from here on, and 0, are placeholders of a writer that did not know the length.
const MIN_UNKNOWN_LENGTH: u32 = 0x7f00_0000;

/// Parses a WAV, and returns its sample rate and its samples, mixed to mono.
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
                return Ok((rate, decode_samples(sample_bytes(&wav[body..], length)?, channels)));
            }
            _ => {}
        }
        at = body.saturating_add(length as usize).next_multiple_of(2);
    }
    Err(Error::Format { found: "a WAV without samples".to_owned() })
}

/// Returns the bytes of the samples: as many as the header says, or all if it does not say.
fn sample_bytes(rest: &[u8], length: u32) -> Result<&[u8], Error> {
    match length {
        0 | MIN_UNKNOWN_LENGTH.. => Ok(rest),
        _ => rest.get(..length as usize).ok_or_else(|| {
            let found = format!("{} bytes of sound where {length} were announced", rest.len());
            Error::Damaged { found }
        }),
    }
}

fn decode_samples(sound: &[u8], channels: u32) -> Vec<i16> {
    let frames = sound.chunks_exact(2 * channels as usize).map(|frame| {
        let samples = frame.chunks_exact(2).map(|pair| i32::from(i16::from_le_bytes([pair[0], pair[1]])));
        (samples.sum::<i32>() / channels as i32) as i16
    });
    frames.collect()
}

/// Checks that samples can be the line at some tempo: neither far too short nor far too long, and not noise.
pub(crate) fn check(line: &str, rate: u32, samples: &[i16]) -> Result<(), Error> {
    let damaged = |found: String| Err(Error::Damaged { found });
    let signs = line.chars().filter(|c| !c.is_whitespace()).count() as u64;
    let letters = line.chars().filter(|c| c.is_alphanumeric()).count() as u64;
    let ms = samples.len() as u64 * 1000 / u64::from(rate.max(1));
    let plausible = MIN_LETTER_MS * letters..=MAX_SIGN_MS * signs + MAX_START_MS;
    if !samples.is_empty() && !plausible.contains(&ms) {
        return damaged(format!("{ms} ms of sound for a line of {signs} characters"));
    }
    let changes = samples.windows(2).filter(|pair| (pair[0] < 0) != (pair[1] < 0)).count();
    if samples.len() >= MIN_CHECKED_SAMPLES && changes as f64 > MAX_SIGN_CHANGE_RATE * samples.len() as f64 {
        return damaged("noise".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds a WAV of an unknown chunk, a format, and samples of two channels.
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
        let error = |wav: &[u8]| read(wav).unwrap_err().to_string();
        assert_eq!(
            error(b"<html>"),
            "the voice answered with 6 bytes that are no WAV, expected a WAV of 16-bit samples"
        );
        assert!(error(&wav(4000, &[1; 100])).contains("200 bytes of sound where 4000 were announced"));
        assert!(error(&wav(8, &[1; 4])[..30]).contains("a WAV without samples"));
        let mut deep = wav(8, &[1; 4]);
        let bits = deep.windows(4).position(|window| window == b"fmt ").unwrap() + 22;
        deep[bits] = 24;
        assert!(error(&deep).contains("24-bit samples of 2 channels at 24000 Hz"));
    }

    #[test]
    fn sound_that_cannot_be_the_line_is_refused() {
        let tone = |samples: usize| {
            (0..samples).map(|at| if at / 50 % 2 == 0 { 5000 } else { -5000 }).collect::<Vec<i16>>()
        };
        let line = "Ions move from one layer to the other.";
        assert!(check(line, 24_000, &tone(48_000)).is_ok());
        assert!(check(line, 24_000, &[]).is_ok(), "silence has an error of its own");
        let error = |samples: &[i16]| check(line, 24_000, samples).unwrap_err().to_string();
        assert!(error(&tone(1000)).contains("41 ms of sound for a line of 31 characters"));
        assert!(error(&tone(3_000_000)).contains("125000 ms"));
        // A compressed sound taken for samples is noise.
        let mut random = 1_u32;
        let noise: Vec<i16> = std::iter::repeat_with(|| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 16) as i16
        })
        .take(48_000)
        .collect();
        assert!(error(&noise).contains("noise"));
    }
}
