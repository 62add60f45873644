//! Finds the pauses in a spoken line.

use crate::speak::voice::SAMPLE_RATE_HZ;

/// Length of the pieces whose loudness is compared.
const PIECE_MS: usize = 10;
/// Loudness below which a piece is silent, relative to the loudest: -32 dB.
const SILENT_SHARE: f64 = 0.025;
/// Shortest pause. The closure of a stop is shorter.
const MIN_SILENCE_MS: f64 = 90.0;

/// A pause within a sound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Silence {
    pub start_ms: f64,
    pub end_ms: f64,
}

impl Silence {
    pub fn duration_ms(&self) -> f64 {
        self.end_ms - self.start_ms
    }
}

/// Returns the pauses between the first and the last sound, in order, to 10 ms.
pub(crate) fn find_silences(samples: &[i16]) -> Vec<Silence> {
    let piece = PIECE_MS * SAMPLE_RATE_HZ as usize / 1000;
    let loudness: Vec<f64> = samples
        .chunks(piece)
        .map(|piece| {
            let energy: f64 = piece.iter().map(|sample| f64::from(*sample) * f64::from(*sample)).sum();
            (energy / piece.len() as f64).sqrt()
        })
        .collect();
    let limit = loudness.iter().fold(0.0, |most: f64, one| most.max(*one)) * SILENT_SHARE;
    let mut silences = vec![];
    let mut last_sound: Option<usize> = None;
    for (at, _) in loudness.iter().enumerate().filter(|(_, loudness)| **loudness > limit) {
        if let Some(last) = last_sound {
            let silence =
                Silence { start_ms: ((last + 1) * PIECE_MS) as f64, end_ms: (at * PIECE_MS) as f64 };
            if silence.duration_ms() >= MIN_SILENCE_MS {
                silences.push(silence);
            }
        }
        last_sound = Some(at);
    }
    silences
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_found_between_sounds_only() {
        let ms = |ms: usize, level: i16| vec![level; ms * 48];
        let sound =
            [ms(300, 0), ms(500, 8000), ms(200, 10), ms(100, 9000), ms(50, 0), ms(100, 9000), ms(400, 0)];
        let found = find_silences(&sound.concat());
        assert_eq!(found, [Silence { start_ms: 800.0, end_ms: 1000.0 }]);
        assert!(find_silences(&[]).is_empty());
        assert!(find_silences(&[0; 48_000]).is_empty());
    }
}
