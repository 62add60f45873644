//! How loud a voice is, measured once: all scenes of a voice get the same gain, and none waits for the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::speak::loudness::Meter;
use crate::speak::voice::{self, Voice};

/// About six seconds with every kind of sound: the first three of the Harvard sentences (IEEE 297-1969, list 1).
const PASSAGE: &str = "The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background. \
                       It is easy to tell the depth of a well.";
/// More voices than one process speaks with.
const MAX_VOICES: usize = 256;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the voice cannot be measured: it does not speak")]
    Speak(#[from] voice::Error),
    #[error("the loudness of the voice cannot be measured")]
    Loudness(#[from] ebur128::Error),
}

type Gains = HashMap<String, Arc<OnceCell<f64>>>;

static GAINS: Mutex<Option<Gains>> = Mutex::new(None);

/// Returns the factor that brings the voice to [`crate::speak::loudness::TARGET_LUFS`]. Speaks a passage at the first call
/// for a voice in this process; others wait for it.
pub async fn gain(voice: &Voice, cancel: &CancellationToken) -> Result<f64, Error> {
    let cell = {
        let mut gains = GAINS.lock().unwrap_or_else(PoisonError::into_inner);
        let gains = gains.get_or_insert_default();
        let name = voice.to_string();
        if gains.len() >= MAX_VOICES && !gains.contains_key(&name) {
            gains.clear();
        }
        gains.entry(name).or_default().clone()
    };
    tokio::select! {
        // Another caller may be measuring, and has its own token.
        () = cancel.cancelled() => Err(voice::Error::Cancelled.into()),
        gain = cell.get_or_try_init(|| measure(voice, cancel)) => gain.copied(),
    }
}

async fn measure(voice: &Voice, cancel: &CancellationToken) -> Result<f64, Error> {
    let spoken = voice::speak(voice, PASSAGE, cancel).await?;
    let mut meter = Meter::new()?;
    meter.add(&spoken.sound)?;
    Ok(meter.gain())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use super::*;
    use crate::speak::voice::Espeak;

    #[tokio::test]
    async fn who_is_cancelled_does_not_wait_for_somebody_elses_measurement() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("espeak");
        std::fs::write(&program, "#!/bin/sh\nexec sleep 60\n").unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        // A name of its own, since gains are kept for the process.
        let voice = Voice::Espeak(Espeak { program, words_per_minute: 171, ..Espeak::default() });
        let (first, second) = (CancellationToken::new(), CancellationToken::new());
        let measuring = tokio::spawn({
            let (voice, first) = (voice.clone(), first.clone());
            async move { gain(&voice, &first).await }
        });
        tokio::task::yield_now().await;
        second.cancel();
        let stopped = tokio::time::timeout(Duration::from_secs(5), gain(&voice, &second)).await;
        assert!(matches!(stopped, Ok(Err(Error::Speak(voice::Error::Cancelled)))), "{stopped:?}");
        first.cancel();
        assert!(measuring.await.unwrap().is_err());
    }
}
