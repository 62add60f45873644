//! Kokoro, the most natural of the voices that need no server.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use crate::speak::line_process::LineProcess;
use crate::speak::voice::{Error, NORMAL_WORDS_PER_MINUTE, Synthesised};

/// The voice where no other is asked for.
pub const DEFAULT_VOICE: &str = "af_heart";

/// The voices, by the name that Kokoro gives them: language, `f` or `m`, and a first name. Its Japanese and Chinese voices are
/// left out: they need sounds that espeak-ng does not give them.
pub const VOICES: [&str; 41] = [
    "af_heart",
    "af_alloy",
    "af_aoede",
    "af_bella",
    "af_jessica",
    "af_kore",
    "af_nicole",
    "af_nova",
    "af_river",
    "af_sarah",
    "af_sky",
    "am_adam",
    "am_echo",
    "am_eric",
    "am_fenrir",
    "am_liam",
    "am_michael",
    "am_onyx",
    "am_puck",
    "am_santa",
    "bf_alice",
    "bf_emma",
    "bf_isabella",
    "bf_lily",
    "bm_daniel",
    "bm_fable",
    "bm_george",
    "bm_lewis",
    "ef_dora",
    "em_alex",
    "em_santa",
    "ff_siwis",
    "hf_alpha",
    "hf_beta",
    "hm_omega",
    "hm_psi",
    "if_sara",
    "im_nicola",
    "pf_dora",
    "pm_alex",
    "pm_santa",
];

/// Languages by the first letter of a voice's name, with their BCP 47 tag and espeak-ng's name, which Kokoro's sounds come from.
const LANGUAGES: [(char, &str, &str); 7] = [
    ('a', "en-US", "en-us"),
    ('b', "en-GB", "en-gb"),
    ('e', "es", "es"),
    ('f', "fr", "fr-fr"),
    ('h', "hi", "hi"),
    ('i', "it", "it"),
    ('p', "pt-BR", "pt-br"),
];

/// A Kokoro voice. Cheap to clone; all voices that were made from one share its process.
#[derive(Debug, Clone)]
pub struct Kokoro {
    /// One of [`VOICES`].
    pub voice: &'static str,
    pub words_per_minute: u32,
    process: Arc<LineProcess>,
}

/// Returns the voice of a name.
pub fn voice_named(name: &str) -> Option<&'static str> {
    VOICES.into_iter().find(|voice| *voice == name)
}

/// Returns the language of a voice, as a BCP 47 tag.
pub fn language_of(voice: &str) -> &'static str {
    LANGUAGES.iter().find(|(letter, ..)| voice.starts_with(*letter)).map_or("en-US", |(_, tag, _)| tag)
}

impl Kokoro {
    /// `python` is the interpreter that scripts/kokoro installs, with the model beside it.
    pub fn new(python: PathBuf, voice: &'static str, words_per_minute: u32) -> Self {
        let set_up = "run scripts/kokoro, which installs Kokoro, or name the Python of such an installation in KOKORO_PYTHON";
        let process = LineProcess::new(python, include_str!("kokoro.py"), vec![], set_up);
        Self { voice, words_per_minute, process: Arc::new(process) }
    }

    /// Returns another voice of the same process.
    pub fn with_voice(&self, voice: &'static str) -> Self {
        Self { voice, ..self.clone() }
    }

    /// Returns the voice at another tempo.
    pub(crate) fn at(&self, words_per_minute: u32) -> Self {
        Self { words_per_minute, ..self.clone() }
    }

    /// Returns the voice that speaks a language, given as a BCP 47 tag: this one, or the first of the language.
    pub(crate) fn for_language(&self, tag: &str) -> Option<Self> {
        let primary = |tag: &str| tag.split('-').next().unwrap_or_default().to_lowercase();
        if primary(language_of(self.voice)) == primary(tag) {
            return Some(self.clone());
        }
        let voice = VOICES.into_iter().find(|voice| primary(language_of(voice)) == primary(tag))?;
        Some(self.with_voice(voice))
    }

    /// Returns another voice of the language, counted from 0: first of the other sex, then in turns.
    pub(crate) fn for_speaker(&self, other: usize) -> Self {
        let mut letters = self.voice.chars();
        let (language, sex) = (letters.next(), letters.next());
        let of_language =
            VOICES.into_iter().filter(|voice| voice.chars().next() == language && *voice != self.voice);
        let (same, different): (Vec<&str>, Vec<&str>) =
            of_language.partition(|voice| voice.chars().nth(1) == sex);
        let (these, those) = if other.is_multiple_of(2) { (different, same) } else { (same, different) };
        let at = |voices: &[&'static str]| voices.get(other / 2).or(voices.first()).copied();
        self.with_voice(at(&these).or_else(|| at(&those)).unwrap_or(self.voice))
    }

    /// Speaks a line.
    pub(crate) async fn synthesise(&self, line: &str) -> Result<Synthesised, Error> {
        let language = LANGUAGES.iter().find(|(letter, ..)| self.voice.starts_with(*letter));
        let language = language.map_or("en-us", |(.., espeak)| espeak);
        let speed = f64::from(self.words_per_minute) / f64::from(NORMAL_WORDS_PER_MINUTE);
        self.process
            .speak(&json!({ "text": line, "voice": self.voice, "language": language, "speed": speed }))
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speak::voice::Timing;

    #[test]
    fn other_speakers_have_other_voices_of_the_language() {
        let name = |voice: &'static str, other: usize| {
            Kokoro::new("python".into(), voice, 165).for_speaker(other).voice
        };
        let voices: Vec<&str> =
            std::iter::once("af_heart").chain((0..3).map(|other| name("af_heart", other))).collect();
        assert!(voices.iter().all(|voice| voice.starts_with('a')), "{voices:?}");
        assert!(voices[1].starts_with("am") && voices[2].starts_with("af"), "{voices:?}");
        let different: std::collections::BTreeSet<&&str> = voices.iter().collect();
        assert_eq!(different.len(), 4, "{voices:?}");
        // French has one voice.
        assert_eq!(name("ff_siwis", 2), "ff_siwis");
    }

    #[test]
    fn a_voice_speaks_its_language_and_another_one_the_others() {
        let american = Kokoro::new("python".into(), "am_michael", 165);
        let name = |tag: &str| american.for_language(tag).map(|kokoro| kokoro.voice);
        assert_eq!(
            ["en", "en-GB", "fr-CA", "pt", "hi"].map(name),
            [Some("am_michael"), Some("am_michael"), Some("ff_siwis"), Some("pf_dora"), Some("hf_alpha")]
        );
        assert_eq!(["de", "ja", "zh-Hans", ""].map(name), [None; 4]);
    }

    /// The program, with a package in place of kokoro-onnx that hums a tenth of a second for each word.
    #[tokio::test]
    async fn the_program_speaks_with_the_voice_and_the_tempo_of_each_line_and_times_its_words() {
        const PACKAGE: &str = r#"
import array
class Timing:
    def __init__(self, phoneme, start): self.phoneme, self.start = phoneme, start
class Sound(list):
    def clip(self, low, high): return Sound(min(max(x, low), high) for x in self)
    def __mul__(self, factor): return Sound(x * factor for x in self)
    def astype(self, kind): return self
    def tobytes(self): return array.array("h", [int(x) for x in self]).tobytes()
class Kokoro:
    def __init__(self, model, voices): assert model.endswith("model.onnx") and voices.endswith("voices.npz")
    def create_timed(self, text, voice, speed, lang):
        if text == "fail": raise ValueError("no such sound")
        height = {"af_heart": 2.0, "bf_emma": 0.5}[voice] if lang in ("en-us", "en-gb") else 0.1
        words, timings, long = text.split(), [], int(2400 / speed)
        for at, word in enumerate(words):
            timings += [Timing("ˈ", at * long / 24000)] + [Timing(c, at * long / 24000) for c in word] + [Timing(" ", 0)]
        return Sound([height, -height] * (long * len(words) // 2)), 24000, timings
"#;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("kokoro_onnx.py"), PACKAGE).unwrap();
        let python = folder.path().join("python");
        let run = format!("#!/bin/sh\nPYTHONPATH={} exec python3 \"$@\"\n", folder.path().display());
        std::fs::write(&python, run).unwrap();
        std::fs::set_permissions(&python, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let american = Kokoro::new(python, "af_heart", NORMAL_WORDS_PER_MINUTE);
        let loudest = |spoken: &Synthesised| spoken.samples.iter().copied().max().unwrap();

        let spoken = american.synthesise("two words").await.unwrap();
        assert_eq!((spoken.rate, spoken.samples.len(), loudest(&spoken)), (24_000, 4800, 32_767), "clipped");
        let Timing::Groups(words) = spoken.timing else { panic!("{:?}", spoken.timing) };
        assert_eq!(words, [(3, 0), (5, 2400)]);
        let faster = american.with_voice("bf_emma").at(2 * NORMAL_WORDS_PER_MINUTE);
        let spoken = faster.synthesise("two words").await.unwrap();
        assert_eq!((spoken.samples.len(), loudest(&spoken)), (2400, 16_383));
        let error = american.synthesise("fail").await.unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("no such sound"), "{cause}");
        assert!(american.synthesise("again").await.is_ok(), "a new process took its place");
    }

    #[tokio::test]
    async fn a_missing_installation_is_named_with_what_installs_it() {
        let kokoro = Kokoro::new("python-nowhere".into(), DEFAULT_VOICE, NORMAL_WORDS_PER_MINUTE);
        let error = kokoro.synthesise("x").await.unwrap_err().to_string();
        assert!(error.starts_with("python-nowhere was not found: run scripts/kokoro"), "{error}");
    }

    #[test]
    fn each_voice_has_a_language() {
        for voice in VOICES {
            assert!(LANGUAGES.iter().any(|(letter, ..)| voice.starts_with(*letter)), "{voice}");
            assert_eq!(voice_named(voice), Some(voice));
        }
        assert_eq!(voice_named("jf_alpha"), None);
    }
}
