//! How loud a voice is, measured once: all scenes of a voice get the same gain, and none waits for the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::speak::loudness::Meter;
use crate::speak::voice::{self, Voice};

/// About six seconds with every kind of sound: the first of the Harvard sentences (IEEE 297-1969, list 1).
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
    cell.get_or_try_init(|| measure(voice, cancel)).await.copied()
}

async fn measure(voice: &Voice, cancel: &CancellationToken) -> Result<f64, Error> {
    let spoken = voice::speak(voice, PASSAGE, cancel).await?;
    let mut meter = Meter::new()?;
    meter.add(&spoken)?;
    Ok(meter.gain())
}
