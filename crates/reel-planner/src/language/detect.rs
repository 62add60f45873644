//! Finds out in which language a text is.

use whatlang::{Lang, Script};

/// Characters of a text that is long enough to tell its language by its words.
const MIN_CHARACTERS: usize = 200;
/// How sure the guess must be, from 0 to 1, where the text does not tell by its script alone.
const MIN_CONFIDENCE: f64 = 0.9;

/// Characters that are looked at: more tell nothing new.
const MAX_CHARACTERS: usize = 3000;

/// Returns the beginning of a text.
fn beginning(text: &str) -> &str {
    text.char_indices().nth(MAX_CHARACTERS).map_or(text, |(end, _)| &text[..end])
}

/// Returns the language of a whole script as a BCP 47 tag; empty for English and for what cannot be told, which the
/// voice reads as its own.
pub(crate) fn of_script(text: &str) -> &'static str {
    let Some(found) = whatlang::detect(beginning(text)) else { return "" };
    if is_latin(found.script()) && !found.is_reliable() {
        return "";
    }
    tag(found.lang())
}

/// Returns the language of a part of a script in `language`: another one only where the part leaves no doubt.
pub(crate) fn of_part(text: &str, language: &'static str) -> &'static str {
    let text = beginning(text);
    let Some(found) = whatlang::detect(text) else { return language };
    let is_certain = match is_latin(found.script()) {
        true => text.chars().count() >= MIN_CHARACTERS && found.confidence() >= MIN_CONFIDENCE,
        // Within one of the other scripts, the language of the whole text is the best guess.
        false => {
            whatlang::detect_script(text) != Some(Script::Latin) && !shares_script(found.script(), language)
        }
    };
    if is_certain { tag(found.lang()) } else { language }
}

fn is_latin(script: Script) -> bool {
    script == Script::Latin
}

/// Returns `true` where a language is written in a script that several languages use.
fn shares_script(script: Script, language: &str) -> bool {
    let languages: &[&str] = match script {
        Script::Cyrillic => &["ru", "uk", "bg", "be", "mk", "sr"],
        Script::Arabic => &["ar", "fa", "ur"],
        Script::Devanagari => &["hi", "mr", "ne"],
        Script::Hebrew => &["he", "yi"],
        Script::Mandarin => &["zh", "ja"],
        _ => &[],
    };
    languages.contains(&language)
}

fn tag(language: Lang) -> &'static str {
    match language {
        Lang::Afr => "af",
        Lang::Amh => "am",
        Lang::Ara => "ar",
        Lang::Aze => "az",
        Lang::Bel => "be",
        Lang::Ben => "bn",
        Lang::Bul => "bg",
        Lang::Cat => "ca",
        Lang::Ces => "cs",
        Lang::Cmn => "zh",
        Lang::Dan => "da",
        Lang::Deu => "de",
        Lang::Ell => "el",
        Lang::Epo => "eo",
        Lang::Est => "et",
        Lang::Fin => "fi",
        Lang::Fra => "fr",
        Lang::Guj => "gu",
        Lang::Heb => "he",
        Lang::Hin => "hi",
        Lang::Hrv => "hr",
        Lang::Hun => "hu",
        Lang::Hye => "hy",
        Lang::Ind => "id",
        Lang::Ita => "it",
        Lang::Jpn => "ja",
        Lang::Kan => "kn",
        Lang::Kat => "ka",
        Lang::Kor => "ko",
        Lang::Lat => "la",
        Lang::Lav => "lv",
        Lang::Lit => "lt",
        Lang::Mal => "ml",
        Lang::Mar => "mr",
        Lang::Mkd => "mk",
        Lang::Mya => "my",
        Lang::Nep => "ne",
        Lang::Nld => "nl",
        Lang::Nob => "nb",
        Lang::Ori => "or",
        Lang::Pan => "pa",
        Lang::Pes => "fa",
        Lang::Pol => "pl",
        Lang::Por => "pt",
        Lang::Ron => "ro",
        Lang::Rus => "ru",
        Lang::Sin => "si",
        Lang::Slk => "sk",
        Lang::Slv => "sl",
        Lang::Spa => "es",
        Lang::Srp => "sr",
        Lang::Swe => "sv",
        Lang::Tam => "ta",
        Lang::Tel => "te",
        Lang::Tha => "th",
        Lang::Tur => "tr",
        Lang::Ukr => "uk",
        Lang::Vie => "vi",
        Lang::Yid => "yi",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_tells_its_language() {
        for (text, language) in [
            (
                "Der Vulkan schläft seit zweihundert Jahren, aber unter ihm steigt die Schmelze langsam auf.",
                "de",
            ),
            (
                "El agua hierve a cien grados, y en la montaña hierve antes, porque el aire pesa menos allí arriba.",
                "es",
            ),
            ("Η ελιά αντέχει στη ζέστη και δίνει καρπό για αιώνες.", "el"),
            ("تغلي الماء عند مئة درجة، وفي الجبال تغلي قبل ذلك.", "ar"),
            ("水は百度で沸騰します。山の上ではもっと早く沸騰します。", "ja"),
            (
                "Water boils at a hundred degrees, and earlier in the mountains, where the air weighs less.",
                "",
            ),
            ("ok 42", ""),
            ("", ""),
        ] {
            assert_eq!(of_script(text), language, "{text}");
        }
    }

    #[test]
    fn a_part_has_another_language_only_without_doubt() {
        assert_eq!(of_part("Bon voyage, et merci.", "de"), "de", "too short to tell");
        assert_eq!(
            of_part("Η ελιά αντέχει στη ζέστη και δίνει καρπό.", "de"),
            "el",
            "no German looks like it"
        );
        assert_eq!(of_part("山水画", "ja"), "ja", "Japanese without kana is still Japanese");
        assert_eq!(of_part("", "de"), "de");
    }
}
