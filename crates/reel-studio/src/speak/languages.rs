//! The voices of espeak-ng by language.

/// Languages by their BCP 47 tag, with the voice's name where it is another.
const VOICES: [(&str, &str); 61] = [
    ("af", "af"),
    ("am", "am"),
    ("ar", "ar"),
    ("az", "az"),
    ("be", "be"),
    ("bg", "bg"),
    ("bn", "bn"),
    ("ca", "ca"),
    ("cs", "cs"),
    ("cy", "cy"),
    ("da", "da"),
    ("de", "de"),
    ("el", "el"),
    ("en", "en-us"),
    ("eo", "eo"),
    ("es", "es"),
    ("et", "et"),
    ("eu", "eu"),
    ("fa", "fa"),
    ("fi", "fi"),
    ("fr", "fr-fr"),
    ("gu", "gu"),
    ("he", "he"),
    ("hi", "hi"),
    ("hr", "hr"),
    ("hu", "hu"),
    ("hy", "hy"),
    ("id", "id"),
    ("it", "it"),
    ("ja", "ja"),
    ("ka", "ka"),
    ("kn", "kn"),
    ("ko", "ko"),
    ("la", "la"),
    ("lt", "lt"),
    ("lv", "lv"),
    ("mk", "mk"),
    ("ml", "ml"),
    ("mr", "mr"),
    ("my", "my"),
    ("nb", "nb"),
    ("ne", "ne"),
    ("nl", "nl"),
    ("or", "or"),
    ("pa", "pa"),
    ("pl", "pl"),
    ("pt", "pt"),
    ("ro", "ro"),
    ("ru", "ru"),
    ("si", "si"),
    ("sk", "sk"),
    ("sl", "sl"),
    ("sr", "sr"),
    ("sv", "sv"),
    ("ta", "ta"),
    ("te", "te"),
    ("th", "th"),
    ("tr", "tr"),
    ("uk", "uk"),
    ("vi", "vi"),
    ("zh", "cmn"),
];

/// Returns espeak-ng's voice for a language tag; `None` where it has none.
pub(super) fn espeak_voice(tag: &str) -> Option<&'static str> {
    let primary = tag.split(['-', '_']).next()?.to_ascii_lowercase();
    VOICES.iter().find(|(language, _)| *language == primary).map(|(_, voice)| *voice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speak::voice::{Espeak, Voice};

    #[test]
    fn every_voice_is_one_that_espeak_has() {
        let listed = std::process::Command::new("espeak-ng").arg("--voices").output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        let names: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
        for (language, voice) in VOICES {
            assert!(names.contains(&voice), "{language}: {voice}");
        }
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
