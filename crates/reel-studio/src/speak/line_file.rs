//! Spoken lines as files: WAV, with a `cue ` chunk for the words (Multimedia Programming Interface and Data Specifications
//! 1.0, IBM and Microsoft 1991, "Cue-Points Chunk"). A cue point's name is the word's place in the text, its position the sample
//! at which the word begins. Other programs read such a file as a sound with markers.

use crate::speak::voice::SAMPLE_RATE_HZ;
use reel_scene::WordTime;

/// Bytes of a cue point.
const CUE_BYTES: usize = 24;

/// Adds the words to a WAV file whose lengths are known. A cue point is at each `(place, sample)`.
pub(crate) fn add_cues(wav: &mut Vec<u8>, cues: &[(u32, u32)]) {
    if wav.len() % 2 == 1 {
        wav.push(0);
    }
    wav.extend(b"cue ");
    wav.extend(((4 + CUE_BYTES * cues.len()) as u32).to_le_bytes());
    wav.extend((cues.len() as u32).to_le_bytes());
    for (place, sample) in cues {
        wav.extend(place.to_le_bytes());
        wav.extend(sample.to_le_bytes());
        wav.extend(b"data");
        wav.extend([0; 8]);
        wav.extend(sample.to_le_bytes());
    }
    let length = (wav.len() - 8) as u32;
    wav[4..8].copy_from_slice(&length.to_le_bytes());
}

/// Returns the cue points of a WAV file, in its order; `None` for a file without them, or a damaged one.
pub(crate) fn read_cues(wav: &[u8]) -> Option<Vec<(u32, u32)>> {
    let number = |at: usize| Some(u32::from_le_bytes(wav.get(at..at + 4)?.try_into().ok()?));
    let mut at = 12;
    loop {
        let (kind, length) = (wav.get(at..at + 4)?, number(at + 4)? as usize);
        if kind == b"cue " {
            let count = number(at + 8)? as usize;
            if length != count.checked_mul(CUE_BYTES)?.checked_add(4)? || at + 8 + length > wav.len() {
                return None;
            }
            let cues = wav[at + 12..at + 8 + length].chunks_exact(CUE_BYTES);
            let number =
                |cue: &[u8], at: usize| u32::from_le_bytes([cue[at], cue[at + 1], cue[at + 2], cue[at + 3]]);
            return Some(cues.map(|cue| (number(cue, 0), number(cue, 20))).collect());
        }
        at = at.checked_add(8 + length)?.next_multiple_of(2);
    }
}

/// Returns the words as cue points.
pub(crate) fn to_cues(words: &[WordTime]) -> Vec<(u32, u32)> {
    let samples = |ms: u32| (u64::from(ms) * u64::from(SAMPLE_RATE_HZ) / 1000) as u32;
    words.iter().map(|word| (word.offset, samples(word.start_ms))).collect()
}

/// Returns cue points as words; `None` where they are not in order.
pub(crate) fn to_words(cues: &[(u32, u32)]) -> Option<Vec<WordTime>> {
    let ms = |sample: u32| (u64::from(sample) * 1000).div_ceil(u64::from(SAMPLE_RATE_HZ)) as u32;
    let in_order = cues.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1);
    in_order.then(|| {
        cues.iter().map(|(offset, sample)| WordTime { offset: *offset, start_ms: ms(*sample) }).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_file() {
        let words: Vec<WordTime> = [(0, 0), (5, 417), (14, 417), (20, 1999)].map(WordTime::from).to_vec();
        let mut wav = b"RIFF\0\0\0\0WAVEdata\x03\0\0\0abc".to_vec();
        assert_eq!(read_cues(&wav), None);
        add_cues(&mut wav, &to_cues(&words));
        assert_eq!(u32::from_le_bytes([wav[4], wav[5], wav[6], wav[7]]) as usize, wav.len() - 8);
        assert_eq!(to_words(&read_cues(&wav).unwrap()).unwrap(), words);
        for length in 0..wav.len() {
            assert_eq!(read_cues(&wav[..length]), None, "{length} bytes");
        }
        assert_eq!(to_words(&[(4, 10), (2, 20)]), None);
    }
}
