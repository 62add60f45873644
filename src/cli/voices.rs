//! `reel voices`: who can speak here, with a sample of each.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use reel_studio::speak::kokoro;
use reel_studio::speak::timeline;
use reel_studio::speak::voice::{NORMAL_WORDS_PER_MINUTE, Voice, speak};
use tokio_util::sync::CancellationToken;

use super::say;
use crate::config::{KOKORO_PYTHON, PIPER_PYTHON, VoiceConfig, process_environment};
use crate::consumers::voices;

/// A line in each language that Kokoro speaks, by its BCP 47 tag.
const SAMPLES: [(&str, &str); 6] = [
    ("en", "This is how I sound. In 1969, three people flew 384,400 kilometres to the moon, and came back."),
    ("es", "Así suena mi voz. La luna está a trescientos ochenta mil kilómetros de la tierra."),
    ("fr", "Voici ma voix. La lune est à trois cent quatre-vingt mille kilomètres de la terre."),
    ("hi", "मेरी आवाज़ ऐसी है। चाँद पृथ्वी से बहुत दूर है।"),
    ("it", "Questa è la mia voce. La luna dista trecentottantamila chilometri dalla terra."),
    ("pt", "Esta é a minha voz. A lua fica a trezentos e oitenta mil quilómetros da terra."),
];

#[derive(Args)]
pub struct Voices {
    /// Write a WAV file of each installed voice into this folder
    #[arg(long, value_name = "DIR")]
    samples: Option<PathBuf>,
}

/// A voice of the list.
struct Listed {
    name: String,
    language: &'static str,
    /// The program that speaks, where it is a file.
    program: Option<PathBuf>,
    /// The script that installs it.
    script: &'static str,
}

impl Listed {
    fn is_installed(&self) -> bool {
        self.program.as_deref().is_none_or(Path::exists)
    }
}

pub async fn voices(arguments: Voices) -> anyhow::Result<()> {
    let all = all();
    for voice in &all {
        let note = if voice.is_installed() { "" } else { "not installed: run " };
        let script = if voice.is_installed() { "" } else { voice.script };
        say(format!("{:<20} {:<6} {note}{script}", voice.name, voice.language).trim_end())?;
    }
    let Some(folder) = arguments.samples else { return Ok(()) };
    std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    // All voices of Kokoro are one process.
    let mut first_of_kokoro: Option<kokoro::Kokoro> = None;
    for listed in all.iter().filter(|voice| voice.is_installed()) {
        let config = VoiceConfig::named("REEL_VOICE", &listed.name, &process_environment)?;
        let mut voice = voices::voice(&config, Path::new("espeak-ng"), NORMAL_WORDS_PER_MINUTE);
        if let Voice::Kokoro(kokoro) = &voice {
            let shared = first_of_kokoro.get_or_insert_with(|| kokoro.clone());
            voice = Voice::Kokoro(shared.with_voice(kokoro.voice));
        }
        let spoken = speak(&voice, sample(listed.language), &CancellationToken::new()).await;
        let spoken = spoken.with_context(|| format!("{} cannot speak", listed.name))?;
        let file = folder.join(format!("{}.wav", listed.name.replace(':', "-")));
        timeline::write_line(&file, &spoken)
            .with_context(|| format!("{} cannot be written", file.display()))?;
        say(file.display())?;
    }
    Ok(())
}

/// The voices that need no server.
fn all() -> Vec<Listed> {
    let path = |setting: &str, default: &str| -> PathBuf {
        process_environment(setting).unwrap_or_else(|| default.to_owned()).into()
    };
    let piper = path("PIPER_PYTHON", PIPER_PYTHON);
    let program = path("KOKORO_PYTHON", KOKORO_PYTHON);
    let mut all = vec![
        Listed { name: "espeak-ng".to_owned(), language: "many", program: None, script: "scripts/setup" },
        Listed { name: "piper".to_owned(), language: "en-US", program: Some(piper), script: "scripts/piper" },
    ];
    all.extend(kokoro::VOICES.iter().map(|voice| Listed {
        name: format!("kokoro:{voice}"),
        language: kokoro::language_of(voice),
        program: Some(program.clone()),
        script: "scripts/kokoro",
    }));
    all
}

/// Returns a line in a language, or in English.
fn sample(language: &str) -> &'static str {
    let primary = language.split('-').next().unwrap_or_default();
    SAMPLES.iter().find(|(tag, _)| *tag == primary).map_or(SAMPLES[0].1, |(_, line)| line)
}
