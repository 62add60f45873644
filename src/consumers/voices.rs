//! The voices of a worker.

use std::path::Path;

use reel_studio::speak::kokoro::Kokoro;
use reel_studio::speak::piper::Piper;
use reel_studio::speak::speech_api::SpeechApi;
use reel_studio::speak::voice::{Espeak, NORMAL_WORDS_PER_MINUTE, Voice};

use crate::config::{MediaConfig, VoiceConfig, kokoro_voice};
use crate::error_codes::ErrorCode;
use crate::events::job::Warning;

/// The voice that speaks where a request names none, and those that it may name. Each has one process at most, which all jobs
/// share.
pub struct Voices {
    usual: (VoiceConfig, Voice),
    others: Vec<(VoiceConfig, Voice)>,
}

impl Voices {
    pub fn new(media: &MediaConfig) -> Self {
        let with_voice = |config: &VoiceConfig| {
            (config.clone(), voice(config, &media.espeak_program, NORMAL_WORDS_PER_MINUTE))
        };
        Self { usual: with_voice(&media.voice), others: media.other_voices.iter().map(with_voice).collect() }
    }

    /// Returns the voice that a request names, or else the usual one; with a warning where a named one is not here.
    pub fn of(&self, name: Option<&str>) -> (Voice, Option<Warning>) {
        let usual = || self.usual.1.clone();
        let Some(name) = name else { return (usual(), None) };
        let mut all = std::iter::once(&self.usual).chain(&self.others);
        match all.find(|(config, _)| config.is_named(name)) {
            Some((_, Voice::Kokoro(kokoro))) => {
                (Voice::Kokoro(kokoro.with_voice(kokoro_voice(name).unwrap_or(kokoro.voice))), None)
            }
            Some((_, voice)) => (voice.clone(), None),
            None => {
                // The API accepts what REEL_VOICES has; a worker with other settings speaks all the same.
                tracing::warn!(voice = name, "a request names a voice that this worker does not have");
                let message = format!("the worker does not have the voice `{name}`, so its usual one speaks");
                let code = ErrorCode::VoiceUnavailable.to_string();
                (usual(), Some(Warning { code, message }))
            }
        }
    }
}

/// Returns a voice at a tempo.
pub fn voice(config: &VoiceConfig, espeak_program: &Path, words_per_minute: u32) -> Voice {
    match config.clone() {
        VoiceConfig::Espeak => Voice::Espeak(Espeak {
            program: espeak_program.to_owned(),
            words_per_minute,
            ..Espeak::default()
        }),
        VoiceConfig::Piper { python, model } => Voice::Piper(Piper::new(python, model, words_per_minute)),
        VoiceConfig::Kokoro { python, voice } => Voice::Kokoro(Kokoro::new(python, voice, words_per_minute)),
        VoiceConfig::OpenAi { url, key, model, voice } => {
            let mut api = SpeechApi::new(&url, key.map(|key| key.0), model, voice);
            api.speed = f64::from(words_per_minute) / f64::from(NORMAL_WORDS_PER_MINUTE);
            Voice::Api(api)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_gets_the_voice_that_it_names_and_otherwise_the_usual_one() {
        let mut media = MediaConfig::from_environment(&|_| None).unwrap();
        media.other_voices = vec![VoiceConfig::Kokoro { python: "python".into(), voice: "af_heart" }];
        let voices = Voices::new(&media);
        let spoken = |name: Option<&str>| voices.of(name).0.to_string();
        let is_warned = |name: &str| voices.of(Some(name)).1.is_some();
        assert_eq!(["espeak-ng", "kokoro:bm_george", "piper"].map(is_warned), [false, false, true]);
        assert_eq!(
            [
                None,
                Some("espeak-ng"),
                Some("kokoro"),
                Some("kokoro:bm_george"),
                Some("kokoro:nobody"),
                Some("piper")
            ]
            .map(spoken),
            [
                "espeak-ng en-us at 165 words a minute",
                "espeak-ng en-us at 165 words a minute",
                "Kokoro af_heart at 165 words a minute",
                "Kokoro bm_george at 165 words a minute",
                "espeak-ng en-us at 165 words a minute",
                "espeak-ng en-us at 165 words a minute",
            ]
        );
    }
}
