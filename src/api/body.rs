//! Reads the bodies of requests: bounded in bytes and in time. Checks that they say that they are JSON.

use std::time::Duration;

use salvo::http::ParseError;
use salvo::http::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use salvo::hyper::body::Bytes;
use salvo::prelude::*;
use serde_json::{Map, Value};

use super::problem::{FieldError, Problem};
use crate::error_codes::ErrorCode;

/// For a whole body, however steadily it comes. A body that stands still is given up sooner (`HTTP_BODY_SECONDS`).
const MAX_READ_TIME: Duration = Duration::from_mins(2);

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

/// Reads the whole body.
///
/// # Errors
/// 413 for more than `max_bytes`, 408 for one that does not come in time, 400 for one that ends early.
pub async fn read(req: &mut Request, max_bytes: usize) -> Result<Bytes, Problem> {
    match tokio::time::timeout(MAX_READ_TIME, req.payload_with_max_size(max_bytes)).await {
        Ok(Ok(body)) => Ok(body.clone()),
        Ok(Err(error)) => Err(unreadable(&error, max_bytes)),
        Err(_) => Err(timed_out()),
    }
}

/// Reads the fields of a small JSON object; nothing, if there is no body.
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

/// A fault of one field of the body.
pub fn fault(path: &[&str], msg: impl Into<String>, kind: &str) -> FieldError {
    let short = |part: &str| part.chars().take(100).collect::<String>();
    let loc = std::iter::once("body".to_owned()).chain(path.iter().map(|part| short(part))).collect();
    FieldError { loc, msg: msg.into(), r#type: kind.to_owned() }
}

fn unreadable(error: &ParseError, max_bytes: usize) -> Problem {
    match error {
        ParseError::PayloadTooLarge => {
            let message = format!("the body is too large; at most {max_bytes} bytes are taken");
            Problem::new(ErrorCode::PayloadTooLarge, message)
        }
        ParseError::Other(error) if is_timeout(error.as_ref()) => timed_out(),
        ParseError::Io(error) if is_timeout(error) => timed_out(),
        _ => Problem::bad_request("the body ended before it was complete"),
    }
}

/// Returns `true` when the connection's limit on stalled bodies is among the causes.
fn is_timeout(error: &(dyn std::error::Error + 'static)) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    if let Some(io) = io
        && io.kind() == std::io::ErrorKind::TimedOut
    {
        return true;
    }
    // An I/O error that wraps another one does not name it as its source.
    let inner = io.and_then(std::io::Error::get_ref).map(|inner| inner as &(dyn std::error::Error + 'static));
    inner.or_else(|| error.source()).is_some_and(is_timeout)
}

fn timed_out() -> Problem {
    Problem::new(ErrorCode::RequestTimeout, "the body did not come in time")
        .with_header(CONNECTION, HeaderValue::from_static("close"))
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    #[test]
    fn a_body_that_stands_still_is_told_from_one_that_is_broken() {
        let stalled = || Error::new(ErrorKind::TimedOut, "request body timeout");
        assert!(is_timeout(&stalled()));
        assert!(is_timeout(&Error::other(Error::other(stalled()))));
        assert!(!is_timeout(&Error::other("connection reset")));
        assert!(!is_timeout(&Error::from(ErrorKind::UnexpectedEof)));
    }
}
