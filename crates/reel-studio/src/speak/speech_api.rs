//! A voice behind HTTP: any server that implements OpenAI's `POST /audio/speech`.

use std::fmt;
use std::time::Duration;

use crate::speak::voice::Error;

/// Longest time for one line, including the connection.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Largest answer: five minutes of stereo sound at the highest sample rate.
const MAX_ANSWER_BYTES: usize = 240_000_000;
/// Most characters of an error answer that are quoted.
const MAX_QUOTED_CHARACTERS: usize = 300;

/// Voices that OpenAI's models have, those of women and of men in turns.
const VOICES: [&str; 6] = ["alloy", "onyx", "nova", "echo", "shimmer", "fable"];

#[derive(Clone)]
pub struct SpeechApi {
    /// Base URL before `/audio/speech`, such as `https://api.openai.com/v1`.
    pub url: String,
    pub key: Option<String>,
    pub model: String,
    pub voice: String,
    /// Relative tempo: 1 is the voice's own.
    pub speed: f64,
    client: reqwest::Client,
}

/// Leaves out the key, which must not reach logs.
impl fmt::Debug for SpeechApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpeechApi({}, {}, {})", self.url, self.model, self.voice)
    }
}

impl SpeechApi {
    pub fn new(url: &str, key: Option<String>, model: String, voice: String) -> Self {
        let url = url.trim_end_matches('/').to_owned();
        Self { url, key, model, voice, speed: 1.0, client: reqwest::Client::new() }
    }

    /// Returns another of OpenAI's voices, counted from 0; a voice of another server stays.
    pub(crate) fn for_speaker(&self, other: usize) -> Self {
        let mut others = VOICES.into_iter().filter(|voice| *voice != self.voice).cycle();
        let is_known = VOICES.contains(&self.voice.as_str());
        let voice = others.nth(other).filter(|_| is_known).map_or_else(|| self.voice.clone(), str::to_owned);
        Self { voice, ..self.clone() }
    }

    /// Speaks a line, and returns it as a WAV file.
    pub(crate) async fn synthesise(&self, line: &str) -> Result<Vec<u8>, Error> {
        let body = serde_json::json!({
            "model": self.model, "voice": self.voice, "input": line, "response_format": "wav", "speed": self.speed,
        });
        let mut request = self.client.post(format!("{}/audio/speech", self.url)).timeout(TIMEOUT).json(&body);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        let unreachable = |source: reqwest::Error| Error::Unreachable { url: self.url.clone(), source };
        let mut answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        if !status.is_success() {
            let text = answer.text().await.unwrap_or_default();
            let message = text.chars().take(MAX_QUOTED_CHARACTERS).collect();
            return Err(Error::Refused { url: self.url.clone(), status: status.as_u16(), message });
        }
        let mut wav = vec![];
        while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
            wav.extend_from_slice(&chunk);
            if wav.len() > MAX_ANSWER_BYTES {
                let found = format!("more than {} MB", MAX_ANSWER_BYTES / 1_000_000);
                return Err(Error::Damaged { found });
            }
        }
        Ok(wav)
    }
}
