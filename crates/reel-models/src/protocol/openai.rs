//! OpenAI's `POST /chat/completions`, which many servers offer.

use serde_json::{Value, json};

use super::{Answer, Asked, PNG, Prompt, Unusable, answer, usage};

pub(super) fn ask(model: &str, key: Option<&str>, prompt: Prompt<'_>, limit: &str) -> Asked {
    let material = match prompt.encoded_picture() {
        None => Value::from(prompt.material),
        Some(picture) => json!([
            { "type": "text", "text": prompt.material },
            { "type": "image_url", "image_url": { "url": format!("data:{PNG};base64,{picture}") } },
        ]),
    };
    let mut body = json!({
        "model": model,
        "messages": [
            { "role": "system", "content": prompt.instructions },
            { "role": "user", "content": material },
        ],
        "response_format": { "type": "json_object" },
    });
    body[limit] = prompt.max_output_tokens.into();
    let headers = key.map(|key| ("authorization", format!("Bearer {key}"))).into_iter().collect();
    Asked { path: "chat/completions".to_owned(), headers, body }
}

pub(super) fn read(body: &Value) -> Result<Answer, Unusable> {
    let usage = usage(&body["usage"]["prompt_tokens"], &body["usage"]["completion_tokens"]);
    let choice = &body["choices"][0];
    let message = &choice["message"];
    if message["refusal"].is_string() {
        return Err(Unusable::Refused(usage));
    }
    match choice["finish_reason"].as_str() {
        Some("length") => Err(Unusable::Truncated(usage)),
        Some("content_filter") => Err(Unusable::Refused(usage)),
        _ => answer(message["content"].as_str().unwrap_or_default().to_owned(), usage),
    }
}
