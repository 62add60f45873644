//! The voices of espeak-ng by language, and the languages' codes.

/// The language of texts whose language is not known: that of the voices.
const DEFAULT: &str = "en";

/// Languages by their BCP 47 tag, with the voice's name and the code of ISO 639-2.
const VOICES: [(&str, &str, &str); 61] = [
    ("af", "af", "afr"),
    ("am", "am", "amh"),
    ("ar", "ar", "ara"),
    ("az", "az", "aze"),
    ("be", "be", "bel"),
    ("bg", "bg", "bul"),
    ("bn", "bn", "ben"),
    ("ca", "ca", "cat"),
    ("cs", "cs", "ces"),
    ("cy", "cy", "cym"),
    ("da", "da", "dan"),
    ("de", "de", "deu"),
    ("el", "el", "ell"),
    ("en", "en-us", "eng"),
    ("eo", "eo", "epo"),
    ("es", "es", "spa"),
    ("et", "et", "est"),
    ("eu", "eu", "eus"),
    ("fa", "fa", "fas"),
    ("fi", "fi", "fin"),
    ("fr", "fr-fr", "fra"),
    ("gu", "gu", "guj"),
    ("he", "he", "heb"),
    ("hi", "hi", "hin"),
    ("hr", "hr", "hrv"),
    ("hu", "hu", "hun"),
    ("hy", "hy", "hye"),
    ("id", "id", "ind"),
    ("it", "it", "ita"),
    ("ja", "ja", "jpn"),
    ("ka", "ka", "kat"),
    ("kn", "kn", "kan"),
    ("ko", "ko", "kor"),
    ("la", "la", "lat"),
    ("lt", "lt", "lit"),
    ("lv", "lv", "lav"),
    ("mk", "mk", "mkd"),
    ("ml", "ml", "mal"),
    ("mr", "mr", "mar"),
    ("my", "my", "mya"),
    ("nb", "nb", "nob"),
    ("ne", "ne", "nep"),
    ("nl", "nl", "nld"),
    ("or", "or", "ori"),
    ("pa", "pa", "pan"),
    ("pl", "pl", "pol"),
    ("pt", "pt", "por"),
    ("ro", "ro", "ron"),
    ("ru", "ru", "rus"),
    ("si", "si", "sin"),
    ("sk", "sk", "slk"),
    ("sl", "sl", "slv"),
    ("sr", "sr", "srp"),
    ("sv", "sv", "swe"),
    ("ta", "ta", "tam"),
    ("te", "te", "tel"),
    ("th", "th", "tha"),
    ("tr", "tr", "tur"),
    ("uk", "uk", "ukr"),
    ("vi", "vi", "vie"),
    ("zh", "cmn", "zho"),
];

/// Returns espeak-ng's voice for a language tag; `None` where it has none.
pub(super) fn espeak_voice(tag: &str) -> Option<&'static str> {
    find(tag).map(|(_, voice, _)| *voice)
}

/// Returns the three-letter code of a language tag (ISO 639-2), as MP4 and WebM have it; `und` where it is not known.
pub(crate) fn iso_639_2(tag: &str) -> &'static str {
    find(tag).map_or("und", |(_, _, code)| *code)
}

/// Returns the language of a scene, as a BCP 47 tag.
pub(crate) fn of_scene(tag: &str) -> &str {
    if tag.is_empty() { DEFAULT } else { tag }
}

fn find(tag: &str) -> Option<&'static (&'static str, &'static str, &'static str)> {
    let primary = tag.split(['-', '_']).next()?.to_ascii_lowercase();
    VOICES.iter().find(|(language, _, _)| *language == primary)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speak::voice::{Espeak, Voice};
    use crate::speak::{espeak_library, voice_output};

    #[test]
    fn every_voice_is_one_that_espeak_has() {
        let listed = std::process::Command::new("espeak-ng").arg("--voices").output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        let names: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
        for (language, voice, code) in VOICES {
            assert_eq!(code.len(), 3, "{language}");
            assert!(names.contains(&voice), "{language}: {voice}");
        }
    }

    #[test]
    fn the_library_speaks_each_language_like_the_program() {
        for (language, voice, _) in VOICES {
            let program = std::process::Command::new("espeak-ng")
                .args(["--stdout", "-b", "1", "-a", "85", "-s", "165", "-v", voice, "1, 2."])
                .output()
                .unwrap();
            let (rate, samples) = voice_output::read(&program.stdout).unwrap();
            let speech = espeak_library::speak(voice, 165, 85, "1, 2.").unwrap();
            assert_eq!(speech.rate, rate, "{language}");
            assert!(speech.samples.len().abs_diff(samples.len()) < 2205, "{language}");
        }
    }

    #[test]
    fn each_speaker_sounds_different_in_each_language() {
        for tag in ["en", "de", "ja"] {
            let voices: Vec<Voice> =
                (1..=4).map(|speaker| Voice::default().for_language(tag).for_speaker(speaker)).collect();
            let spoken: std::collections::BTreeSet<Vec<i16>> = voices
                .iter()
                .map(|voice| {
                    let Voice::Espeak(espeak) = voice else { panic!("{voice}") };
                    espeak_library::speak(&espeak.name, 165, 85, "Hello, one two three.").unwrap().samples
                })
                .collect();
            assert_eq!(spoken.len(), 4, "{tag}");
        }
        assert_eq!(Voice::default().for_speaker(1).to_string(), Voice::default().to_string());
    }

    #[test]
    fn another_language_has_another_voice_and_its_own_keeps_the_chosen_one() {
        let british = Voice::Espeak(Espeak { name: "en-gb".into(), ..Espeak::default() });
        let name = |voice: &Voice, tag: &str| voice.for_language(tag).to_string();
        assert!(name(&british, "en").contains("en-gb"));
        assert!(name(&british, "").contains("en-gb"));
        assert!(name(&british, "pt-BR").contains(" pt "));
        assert!(name(&british, "zh").contains(" cmn "));
        assert!(name(&british, "tlh").contains("en-gb"), "no voice speaks it");
    }
}
