//! What endpoints with a body share: its type and its size are checked before it is read.

use salvo::http::ParseError;
use salvo::http::header::CONTENT_TYPE;
use salvo::hyper::body::Bytes;
use salvo::prelude::*;
use serde_json::{Map, Value};

use super::problem::{FieldError, Problem};
use crate::error_codes::ErrorCode;

/// Refuses a body that does not say that it is JSON.
pub fn check_content_type(req: &Request) -> Result<(), Problem> {
    let given = req.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let message = format!("the body must be application/json, not `{given}`");
    Err(Problem::new(ErrorCode::UnsupportedMediaType, message))
}

/// Reads a body of at most `max_bytes`.
pub async fn read(req: &mut Request, max_bytes: usize) -> Result<Bytes, Problem> {
    match req.payload_with_max_size(max_bytes).await {
        Ok(body) => Ok(body.clone()),
        Err(ParseError::PayloadTooLarge) => {
            let message = format!("the body is too large; at most {max_bytes} bytes are taken");
            Err(Problem::new(ErrorCode::PayloadTooLarge, message))
        }
        Err(_) => Err(Problem::bad_request("the body ended before it was complete")),
    }
}

/// The fields of a small JSON object; nothing, if there is no body.
pub async fn read_fields(req: &mut Request, max_bytes: usize) -> Result<Map<String, Value>, Problem> {
    let body = read(req, max_bytes).await?;
    if body.is_empty() {
        return Ok(Map::new());
    }
    check_content_type(req)?;
    let body: Value = serde_json::from_slice(&body)
        .map_err(|error| Problem::bad_request(format!("the body is not valid JSON: {error}")))?;
    match body {
        Value::Object(fields) => Ok(fields),
        _ => Err(Problem::validation(vec![fault(&[], "must be a JSON object", "wrong_type")])),
    }
}

/// What is wrong with a field of the body.
pub fn fault(path: &[&str], msg: impl Into<String>, kind: &str) -> FieldError {
    let short = |part: &str| part.chars().take(100).collect::<String>();
    let loc = std::iter::once("body".to_owned()).chain(path.iter().map(|part| short(part))).collect();
    FieldError { loc, msg: msg.into(), r#type: kind.to_owned() }
}
