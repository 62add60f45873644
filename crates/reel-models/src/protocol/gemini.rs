//! Gemini's `POST /models/<model>:generateContent`.

use serde_json::{Value, json};

use super::{Answer, Asked, PNG, Prompt, Unusable, answer, joined, usage};

pub(super) fn ask(model: &str, key: Option<&str>, prompt: Prompt<'_>) -> Asked {
    let mut parts = vec![json!({ "text": prompt.material })];
    if let Some(picture) = prompt.encoded_picture() {
        parts.push(json!({ "inlineData": { "mimeType": PNG, "data": picture } }));
    }
    let body = json!({
        "systemInstruction": { "parts": [{ "text": prompt.instructions }] },
        "contents": [{ "role": "user", "parts": parts }],
        "generationConfig": {
            "maxOutputTokens": prompt.max_output_tokens,
            "responseMimeType": "application/json",
        },
    });
    // Not in the URL, where logs of servers in between would keep it.
    let headers = key.map(|key| ("x-goog-api-key", key.to_owned())).into_iter().collect();
    Asked { path: format!("v1beta/models/{model}:generateContent"), headers, body }
}

pub(super) fn read(body: &Value) -> Result<Answer, Unusable> {
    let counted = &body["usageMetadata"];
    let mut usage = usage(&counted["promptTokenCount"], &counted["candidatesTokenCount"]);
    if let (Some(usage), Some(thoughts)) = (&mut usage, counted["thoughtsTokenCount"].as_u64()) {
        usage.output_tokens = usage.output_tokens.saturating_add(thoughts);
    }
    if body["promptFeedback"]["blockReason"].is_string() {
        return Err(Unusable::Refused(usage));
    }
    let candidate = &body["candidates"][0];
    match candidate["finishReason"].as_str() {
        Some("MAX_TOKENS") => return Err(Unusable::Truncated(usage)),
        None | Some("STOP" | "FINISH_REASON_UNSPECIFIED") => {}
        Some(_other) => return Err(Unusable::Refused(usage)),
    }
    let parts = candidate["content"]["parts"].as_array().map(Vec::as_slice).unwrap_or_default();
    answer(joined(parts.iter().map(|part| &part["text"])), usage)
}
