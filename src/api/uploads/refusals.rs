//! The answers to files that are refused.

use std::io;

use serde_json::json;

use super::multipart::{self, Part};
use super::{file_name, reception::MAX_FILES};
use crate::api::problem::{FieldError, Problem};
use crate::domain::uploads::Rejection;
use crate::error_codes::ErrorCode;
use crate::events::ContentType;
use crate::storage;
use crate::telemetry::chain;
use crate::uploads::Refusal;

/// The name of the file that a part is.
pub fn accept_part(part: Part, index: usize) -> Result<String, Problem> {
    let Some(name) = part.file_name else {
        let msg = "is no file: a part needs a filename; only files are taken here";
        return Err(refuse_field(&part.name, msg, "not_a_file"));
    };
    if index == MAX_FILES {
        let msg = format!("has more than {MAX_FILES} files, which is the most that a request may have");
        return Err(refuse_field("files", &msg, "too_long"));
    }
    Ok(file_name::clean(&name))
}

pub fn refuse_field(name: &str, msg: &str, kind: &str) -> Problem {
    let name: String = name.chars().filter(|c| !c.is_control()).take(100).collect();
    let loc = vec!["body".to_owned(), name];
    Problem::validation(vec![FieldError { loc, msg: msg.to_owned(), r#type: kind.to_owned() }])
}

pub fn no_such_upload() -> Problem {
    Problem::not_found("there is no such upload")
}

/// The answer when the user's uploads stay as they are.
pub fn rejected(rejection: Rejection) -> Problem {
    let details = match &rejection {
        Rejection::QuotaExceeded { used_bytes, more_bytes, max_bytes } => json!({
            "limit": "limits.upload_mib_per_user", "used_bytes": used_bytes, "more_bytes": more_bytes, "max_bytes": max_bytes,
        }),
        Rejection::TooMany { kept, more, max_uploads } => {
            json!({ "kept": kept, "more": more, "max_uploads": max_uploads })
        }
        Rejection::Unknown => return no_such_upload(),
    };
    Problem { details, ..Problem::new(ErrorCode::QuotaExceeded, rejection.to_string()) }
}

/// The answer to a file that was not kept, which names it.
pub fn refused(index: usize, name: &str, refusal: Refusal) -> Problem {
    let file = format!("files[{index}] (`{name}`)");
    let with = |code, details: serde_json::Value| {
        let mut problem = Problem::new(code, format!("{file} {refusal}"));
        problem.details = json!({ "index": index, "filename": name });
        if let (Some(all), serde_json::Value::Object(more)) = (problem.details.as_object_mut(), details) {
            all.extend(more);
        }
        problem
    };
    match &refusal {
        Refusal::Empty | Refusal::Damaged { .. } => {
            let kind = if matches!(refusal, Refusal::Empty) { "empty" } else { "damaged" };
            let loc = vec!["body".to_owned(), "files".to_owned(), index.to_string()];
            let msg = format!("`{name}` {refusal}");
            Problem::validation(vec![FieldError { loc, msg, r#type: kind.to_owned() }])
        }
        Refusal::WrongType { found } => {
            let allowed: Vec<&str> = ContentType::ALL.iter().map(|known| known.name()).collect();
            with(ErrorCode::UnsupportedMediaType, json!({ "found": found, "allowed": allowed }))
        }
        Refusal::Malicious { what } => with(ErrorCode::MaliciousContent, json!({ "found": what })),
        Refusal::TooLarge { found, max } => {
            with(ErrorCode::PayloadTooLarge, json!({ "found": found, "max": max }))
        }
        Refusal::Unscanned(error) => {
            tracing::error!(error = chain(error), "an upload cannot be scanned, and is refused");
            Problem::unavailable(
                "files cannot be scanned for malicious content for the moment, so none is taken",
            )
        }
        Refusal::Unconfined(error) => {
            tracing::error!(
                error = chain(error),
                "a PDF cannot be read in a confined process, and is refused"
            );
            Problem::unavailable("PDFs cannot be read safely for the moment, so none is taken")
        }
        Refusal::File(error) => {
            tracing::error!(error = chain(error), "an upload cannot be read back");
            Problem::unavailable("files cannot be checked for the moment")
        }
    }
}

pub fn not_read(error: multipart::Error) -> Problem {
    match error {
        multipart::Error::Idle => Problem::new(ErrorCode::RequestTimeout, error.to_string()),
        error => Problem::bad_request(error.to_string()),
    }
}

pub fn not_written(error: io::Error) -> Problem {
    not_stored(storage::Error::new("write", "an upload", error))
}

pub fn not_stored(error: storage::Error) -> Problem {
    tracing::error!(error = chain(&error), "an upload cannot be stored");
    Problem::unavailable("files cannot be stored for the moment")
}
