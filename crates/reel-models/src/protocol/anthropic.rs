//! Anthropic's `POST /messages`.

use serde_json::{Value, json};

use super::{Answer, Asked, PNG, Prompt, Unusable, answer, joined, usage};

const VERSION: &str = "2023-06-01";

pub(super) fn ask(model: &str, key: Option<&str>, prompt: Prompt<'_>) -> Asked {
    let material = match prompt.encoded_picture() {
        None => Value::from(prompt.material),
        Some(picture) => json!([
            { "type": "image", "source": { "type": "base64", "media_type": PNG, "data": picture } },
            { "type": "text", "text": prompt.material },
        ]),
    };
    let body = json!({
        "model": model,
        "max_tokens": prompt.max_output_tokens,
        "system": prompt.instructions,
        "messages": [{ "role": "user", "content": material }],
    });
    let key = key.map(|key| ("x-api-key", key.to_owned()));
    let headers = key.into_iter().chain([("anthropic-version", VERSION.to_owned())]).collect();
    Asked { path: "v1/messages".to_owned(), headers, body }
}

pub(super) fn read(body: &Value) -> Result<Answer, Unusable> {
    let usage = usage(&body["usage"]["input_tokens"], &body["usage"]["output_tokens"]);
    match body["stop_reason"].as_str() {
        Some("max_tokens" | "model_context_window_exceeded") => return Err(Unusable::Truncated(usage)),
        Some("refusal") => return Err(Unusable::Refused(usage)),
        _ => {}
    }
    let parts = body["content"].as_array().map(Vec::as_slice).unwrap_or_default();
    answer(joined(parts.iter().map(|part| &part["text"])), usage)
}
