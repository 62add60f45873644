//! The one shape of every error answer, and the one place where errors become status codes.
//!
//! Causes are logged here and never sent: a client learns what it did or should do, not how the
//! inside looks.

use chrono::{SecondsFormat, Utc};
use salvo::http::header::{HeaderName, HeaderValue};
use salvo::http::{ResBody, StatusCode};
use salvo::oapi::{self, Components, EndpointOutRegister, Operation, ToSchema};
use salvo::prelude::*;
use serde::Serialize;

use super::request_id;
use crate::audit;
use crate::execute;
use crate::projections;
use crate::telemetry::chain;

/// An error on its way to the client.
#[derive(Debug)]
pub struct Problem {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: String,
    pub details: serde_json::Value,
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Where: `["body", "topic"]`.
    pub loc: Vec<String>,
    /// What was expected.
    pub msg: String,
    /// Stable, for programs: `missing`, `too_short`, `too_long`, `wrong_type`, `not_allowed`…
    pub r#type: String,
}

/// The body of every error answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    pub error: ErrorContent,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorContent {
    pub message: String,
    /// Stable and upper-case.
    pub error_code: String,
    /// A list of field errors for `VALIDATION_ERROR`; otherwise what helps with this error, or null.
    pub details: serde_json::Value,
    pub timestamp: String,
    pub path: String,
    pub request_id: String,
}

impl Problem {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), details: serde_json::Value::Null, headers: vec![] }
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", message)
    }

    pub fn unauthorized(message: impl Into<String>) -> Self {
        let challenge = HeaderValue::from_static("Bearer realm=\"reelstream\"");
        Self::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message)
            .with_header(salvo::http::header::WWW_AUTHENTICATE, challenge)
    }

    /// Unknown, or somebody else's: the answer never tells which.
    pub fn no_such_job() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", "there is no such job")
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", message)
    }

    pub fn conflict(message: impl Into<String>, details: serde_json::Value) -> Self {
        Self { details, ..Self::new(StatusCode::CONFLICT, "CONFLICT", message) }
    }

    pub fn validation(errors: Vec<FieldError>) -> Self {
        let fields = if errors.len() == 1 { "1 field is" } else { &format!("{} fields are", errors.len()) };
        Self {
            details: serde_json::to_value(&errors).unwrap_or_default(),
            ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "VALIDATION_ERROR", format!("{fields} not valid"))
        }
    }

    /// A query parameter that is not what it must be.
    pub fn query(name: &str, given: &str, expected: &str) -> Self {
        Self::validation(vec![FieldError {
            loc: vec!["query".to_owned(), name.to_owned()],
            msg: format!("is {given:?}, but must be {expected}"),
            r#type: "not_allowed".to_owned(),
        }])
    }

    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE", message)
            .with_header(salvo::http::header::RETRY_AFTER, HeaderValue::from_static("2"))
    }

    /// There is as much work as may wait.
    pub fn overloaded(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "OVERLOADED", message)
            .with_header(salvo::http::header::RETRY_AFTER, HeaderValue::from_static("30"))
    }

    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "FORBIDDEN", message)
    }

    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", "something went wrong on our side")
    }

    /// An event of the job cannot be decoded. Other jobs are not affected.
    pub fn unreadable_job() -> Self {
        let message = "an event of this job cannot be read, so nothing can be done with the job for now; \
                       an operator can see why (`reel projections list`)";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "JOB_UNREADABLE", message)
    }

    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// What the framework itself answers with this status.
    pub fn of_status(status: StatusCode) -> Self {
        let (code, message) = match status {
            StatusCode::BAD_REQUEST => ("BAD_REQUEST", "the request cannot be understood"),
            StatusCode::NOT_FOUND => ("NOT_FOUND", "there is nothing at this path"),
            StatusCode::METHOD_NOT_ALLOWED => ("METHOD_NOT_ALLOWED", "this path does not take this method"),
            StatusCode::PAYLOAD_TOO_LARGE => ("PAYLOAD_TOO_LARGE", "the body is too large"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                ("UNSUPPORTED_MEDIA_TYPE", "the body's type is not supported")
            }
            StatusCode::RANGE_NOT_SATISFIABLE => ("RANGE_NOT_SATISFIABLE", "the range lies outside the file"),
            StatusCode::TOO_MANY_REQUESTS => ("RATE_LIMIT_EXCEEDED", "too many requests"),
            StatusCode::SERVICE_UNAVAILABLE => ("SERVICE_UNAVAILABLE", "try again in a moment"),
            status if status.is_client_error() => ("BAD_REQUEST", "the request was refused"),
            _ => ("INTERNAL_ERROR", "something went wrong on our side"),
        };
        Self::new(status, code, message)
    }

    pub fn render(self, req: &Request, depot: &Depot, res: &mut Response) {
        res.status_code(self.status);
        for (name, value) in self.headers {
            res.headers_mut().insert(name, value);
        }
        let error = ErrorContent {
            message: self.message,
            error_code: self.code.to_owned(),
            details: self.details,
            timestamp: Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
            path: req.uri().path().to_owned(),
            request_id: request_id(depot),
        };
        res.replace_body(ResBody::None);
        res.render(Json(ErrorBody { error }));
    }
}

#[async_trait]
impl Writer for Problem {
    async fn write(self, req: &mut Request, depot: &mut Depot, res: &mut Response) {
        self.render(req, depot, res);
    }
}

impl EndpointOutRegister for Problem {
    fn register(components: &mut Components, operation: &mut Operation) {
        let statuses = [
            (StatusCode::UNAUTHORIZED, "no valid session token"),
            (StatusCode::NOT_FOUND, "unknown, or another user's"),
        ];
        for (status, description) in statuses {
            let body = ErrorBody::to_schema(components);
            let response =
                oapi::Response::new(description).add_content("application/json", oapi::Content::new(body));
            operation.responses.insert(status.as_str(), response);
        }
    }
}

/// Answers what the framework refused by itself (404, 405, 413…) in the same shape.
#[handler]
pub async fn catch_framework_errors(req: &Request, depot: &Depot, res: &mut Response, ctrl: &mut FlowCtrl) {
    Problem::of_status(res.status_code.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)).render(req, depot, res);
    ctrl.skip_rest();
}

impl From<projections::Error> for Problem {
    fn from(error: projections::Error) -> Self {
        tracing::error!(error = %chain(&error), "a query failed");
        match error {
            error if error.is_passing() => Problem::unavailable("the data is out of reach for the moment"),
            projections::Error::Decode { .. } | projections::Error::History { .. } => {
                Problem::unreadable_job()
            }
            _ => Problem::internal(),
        }
    }
}

impl From<audit::Error> for Problem {
    fn from(error: audit::Error) -> Self {
        tracing::error!(error = %chain(&error), "an audit failed");
        match error.is_passing() {
            true => Problem::unavailable("the data is out of reach for the moment"),
            false => Problem::internal(),
        }
    }
}

impl From<execute::Error> for Problem {
    fn from(error: execute::Error) -> Self {
        match error {
            execute::Error::Rejected(rejection) => {
                Problem::conflict(rejection.to_string(), serde_json::Value::Null)
            }
            execute::Error::Log(_) | execute::Error::Contended { .. } => {
                tracing::error!(error = %chain(&error), "a command failed");
                Problem::unavailable("the event log is out of reach for the moment")
            }
            error if error.is_passing() => {
                tracing::error!(error = %chain(&error), "a command failed");
                Problem::unavailable("the keys of users' content are out of reach for the moment")
            }
            execute::Error::Decode { .. } => {
                tracing::error!(error = %chain(&error), "a command failed");
                Problem::unreadable_job()
            }
            execute::Error::Seal(_)
            | execute::Error::Unreadable { .. }
            | execute::Error::Unsealable { .. } => {
                tracing::error!(error = %chain(&error), "a command failed");
                Problem::internal()
            }
        }
    }
}

impl From<redis::RedisError> for Problem {
    fn from(error: redis::RedisError) -> Self {
        tracing::error!(error = %chain(&error), "redis failed");
        Problem::unavailable("the event log is out of reach for the moment")
    }
}
