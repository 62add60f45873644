//! The JSON of each provider: what is asked, and what an answer says.
//!
//! Answers are foreign: every field may be missing or of another type. An answer that cannot be read is an error, never a
//! panic.

mod anthropic;
mod gemini;
mod openai;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use crate::name::{ModelName, Provider};
use crate::prices::Usage;

/// The text that a model gets.
#[derive(Debug, Clone, Copy)]
pub struct Prompt<'a> {
    /// Instructions of this program, with no word of a user.
    pub instructions: &'a str,
    /// A JSON document with what users and models wrote.
    pub material: &'a str,
    /// A PNG, for models that see.
    pub picture: Option<&'a [u8]>,
    /// Most tokens of the answer.
    pub max_output_tokens: u64,
}

/// A request to a provider.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The path below the provider's URL.
    pub path: String,
    /// Headers, the key's included.
    pub headers: Vec<(&'static str, String)>,
    pub body: Value,
}

/// A complete answer of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub text: String,
    /// `None` where the provider did not count.
    pub usage: Option<Usage>,
}

/// The reason why a provider's answer has no text that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unusable {
    /// The model would not answer.
    Refused(Option<Usage>),
    /// The answer ended before it was complete.
    Truncated(Option<Usage>),
    /// The body is not what the provider's protocol says.
    Malformed,
}

/// Writes a request. `key` is the provider's; a server on the own machine may need none.
pub fn ask(model: &ModelName, key: Option<&str>, prompt: Prompt<'_>) -> Asked {
    match model.provider {
        Provider::OpenAi => openai::ask(&model.model, key, prompt, "max_completion_tokens"),
        Provider::Ollama => openai::ask(&model.model, key, prompt, "max_tokens"),
        Provider::Anthropic => anthropic::ask(&model.model, key, prompt),
        Provider::Gemini => gemini::ask(&model.model, key, prompt),
    }
}

/// Reads the body of an answer with the status 200.
pub fn read(provider: Provider, body: &[u8]) -> Result<Answer, Unusable> {
    // The parser refuses values that are nested too deeply.
    let body: Value = serde_json::from_slice(body).map_err(|_| Unusable::Malformed)?;
    match provider {
        Provider::OpenAi | Provider::Ollama => openai::read(&body),
        Provider::Anthropic => anthropic::read(&body),
        Provider::Gemini => gemini::read(&body),
    }
}

/// The media type of pictures.
const PNG: &str = "image/png";

impl Prompt<'_> {
    /// Returns the picture in Base64.
    fn encoded_picture(&self) -> Option<String> {
        self.picture.map(|picture| BASE64_STANDARD.encode(picture))
    }
}

/// Reads counts of tokens; `None` unless both are there.
fn usage(input: &Value, output: &Value) -> Option<Usage> {
    Some(Usage { input_tokens: input.as_u64()?, output_tokens: output.as_u64()? })
}

/// Joins the texts of the parts of an answer.
fn joined<'a>(texts: impl Iterator<Item = &'a Value>) -> String {
    texts.filter_map(Value::as_str).collect()
}

/// Returns the text of an answer, which must have one.
fn answer(text: String, usage: Option<Usage>) -> Result<Answer, Unusable> {
    if text.trim().is_empty() { Err(Unusable::Malformed) } else { Ok(Answer { text, usage }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const PROMPT: Prompt<'static> = Prompt {
        instructions: "Plan.",
        material: "{\"topic\":\"Rain\"}",
        picture: None,
        max_output_tokens: 900,
    };

    fn asked(model: &str) -> Asked {
        ask(&model.parse().unwrap(), Some("k"), PROMPT)
    }

    #[test]
    fn each_provider_is_asked_in_its_own_words() {
        let openai = asked("openai/m");
        assert_eq!(
            (openai.path.as_str(), &openai.headers[0]),
            ("chat/completions", &("authorization", "Bearer k".to_owned()))
        );
        assert_eq!(openai.body["messages"][1], json!({ "role": "user", "content": PROMPT.material }));
        assert_eq!(openai.body["max_completion_tokens"], 900);
        assert_eq!(asked("ollama/m").body["max_tokens"], 900);
        let anthropic = asked("anthropic/m");
        assert_eq!(
            (anthropic.path.as_str(), &anthropic.headers[0]),
            ("v1/messages", &("x-api-key", "k".to_owned()))
        );
        assert_eq!(
            (&anthropic.body["system"], &anthropic.body["max_tokens"]),
            (&json!("Plan."), &json!(900))
        );
        let gemini = asked("gemini/m");
        assert_eq!(
            (gemini.path.as_str(), &gemini.headers[0]),
            ("v1beta/models/m:generateContent", &("x-goog-api-key", "k".to_owned()))
        );
        assert_eq!(gemini.body["contents"][0]["parts"][0]["text"], PROMPT.material);
    }

    #[test]
    fn a_picture_goes_beside_the_material() {
        let prompt = Prompt { picture: Some(b"png"), ..PROMPT };
        let body = |model: &str| ask(&model.parse().unwrap(), None, prompt).body;
        let text = json!({ "type": "text", "text": PROMPT.material });
        let url = json!({ "type": "image_url", "image_url": { "url": "data:image/png;base64,cG5n" } });
        assert_eq!(body("openai/m")["messages"][1]["content"], json!([text, url]));
        assert_eq!(body("ollama/m")["messages"][1]["content"], json!([text, url]));
        let source = json!({ "type": "base64", "media_type": "image/png", "data": "cG5n" });
        let image = json!({ "type": "image", "source": source });
        assert_eq!(body("anthropic/m")["messages"][0]["content"], json!([image, text]));
        let parts = &body("gemini/m")["contents"][0]["parts"];
        assert_eq!(parts[0], json!({ "text": PROMPT.material }));
        assert_eq!(parts[1], json!({ "inlineData": { "mimeType": "image/png", "data": "cG5n" } }));
    }

    #[test]
    fn no_key_stands_in_a_body_or_a_path() {
        for provider in Provider::ALL {
            let model = format!("{}/m", provider.name()).parse().unwrap();
            let asked = ask(&model, Some("sk-secret"), PROMPT);
            assert!(!format!("{}{}", asked.path, asked.body).contains("sk-secret"));
            assert_eq!(
                ask(&model, None, PROMPT).headers.iter().filter(|(name, _)| name.contains("key")).count(),
                0
            );
        }
    }

    fn of(provider: Provider, body: Value) -> Result<Answer, Unusable> {
        read(provider, body.to_string().as_bytes())
    }

    #[test]
    fn answers_have_a_text_and_counts() {
        let usage = Some(Usage { input_tokens: 7, output_tokens: 5 });
        let expected = Ok(Answer { text: "{}".to_owned(), usage });
        let openai = json!({ "choices": [{ "message": { "content": "{}" }, "finish_reason": "stop" }],
            "usage": { "prompt_tokens": 7, "completion_tokens": 5 } });
        assert_eq!(of(Provider::OpenAi, openai.clone()), expected);
        assert_eq!(of(Provider::Ollama, openai), expected);
        let anthropic = json!({ "content": [{ "type": "text", "text": "{" }, { "type": "text", "text": "}" }],
            "stop_reason": "end_turn", "usage": { "input_tokens": 7, "output_tokens": 5 } });
        assert_eq!(of(Provider::Anthropic, anthropic), expected);
        let gemini = json!({ "candidates": [{ "content": { "parts": [{ "text": "{}" }] }, "finishReason": "STOP" }],
            "usageMetadata": { "promptTokenCount": 7, "candidatesTokenCount": 3, "thoughtsTokenCount": 2 } });
        assert_eq!(of(Provider::Gemini, gemini), expected);
    }

    #[test]
    fn refused_and_truncated_answers_are_told_apart() {
        let openai =
            |reason: &str| json!({ "choices": [{ "message": { "content": "{" }, "finish_reason": reason }] });
        assert_eq!(of(Provider::OpenAi, openai("length")), Err(Unusable::Truncated(None)));
        assert_eq!(of(Provider::OpenAi, openai("content_filter")), Err(Unusable::Refused(None)));
        let refusal = json!({ "choices": [{ "message": { "refusal": "no" }, "finish_reason": "stop" }] });
        assert_eq!(of(Provider::OpenAi, refusal), Err(Unusable::Refused(None)));
        let anthropic =
            |reason: &str| json!({ "content": [{ "type": "text", "text": "{" }], "stop_reason": reason });
        assert_eq!(of(Provider::Anthropic, anthropic("max_tokens")), Err(Unusable::Truncated(None)));
        assert_eq!(of(Provider::Anthropic, anthropic("refusal")), Err(Unusable::Refused(None)));
        let gemini = |reason: &str| json!({ "candidates": [{ "content": {}, "finishReason": reason }] });
        assert_eq!(of(Provider::Gemini, gemini("MAX_TOKENS")), Err(Unusable::Truncated(None)));
        assert_eq!(of(Provider::Gemini, gemini("SAFETY")), Err(Unusable::Refused(None)));
        let blocked = json!({ "promptFeedback": { "blockReason": "OTHER" } });
        assert_eq!(of(Provider::Gemini, blocked), Err(Unusable::Refused(None)));
    }

    #[test]
    fn anything_else_is_malformed() {
        let deep = "[".repeat(100_000);
        for provider in Provider::ALL {
            for body in
                ["", "{}", "null", "[]", "\0", "{\"choices\":[],\"content\":7,\"candidates\":{}}", &deep]
            {
                assert_eq!(read(provider, body.as_bytes()), Err(Unusable::Malformed), "{provider:?}");
            }
        }
    }
}
