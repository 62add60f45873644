//! The one shape of every error answer, and the one place where errors become status codes.
//!
//! Causes are logged here and never sent: a client learns what it did or should do, not how the
//! inside looks.

use chrono::{SecondsFormat, Utc};
use salvo::http::header::{HeaderName, HeaderValue};
use salvo::http::{ResBody, StatusCode};
use salvo::oapi::{Components, EndpointOutRegister, Operation, ToSchema};
use salvo::prelude::*;
use serde::Serialize;

use super::request_id::request_id;
use crate::audit;
use crate::error_codes::ErrorCode;
use crate::events::AggregateKind;
use crate::execute;
use crate::projections;
use crate::telemetry::chain;

/// Seconds after which a client may ask again while the system drains.
const DRAIN_RETRY_AFTER_S: u64 = 60;

/// An error on its way to the client.
#[derive(Debug, Clone)]
pub struct Problem {
    pub status: StatusCode,
    pub code: ErrorCode,
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
    /// With the status that the registry gives the code.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, code, message: message.into(), details: serde_json::Value::Null, headers: vec![] }
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::BadRequest, message)
    }

    pub fn unauthorized(message: impl Into<String>) -> Self {
        let challenge = HeaderValue::from_static("Bearer realm=\"reelstream\"");
        Self::new(ErrorCode::Unauthorized, message)
            .with_header(salvo::http::header::WWW_AUTHENTICATE, challenge)
    }

    /// Unknown, or somebody else's: the answer never tells which.
    pub fn no_such_job() -> Self {
        Self::new(ErrorCode::NotFound, "there is no such job")
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotFound, message)
    }

    pub fn conflict(message: impl Into<String>, details: serde_json::Value) -> Self {
        Self { details, ..Self::new(ErrorCode::Conflict, message) }
    }

    pub fn validation(errors: Vec<FieldError>) -> Self {
        let fields = if errors.len() == 1 { "1 field is" } else { &format!("{} fields are", errors.len()) };
        Self {
            details: serde_json::to_value(&errors).unwrap_or_default(),
            ..Self::new(ErrorCode::ValidationError, format!("{fields} not valid"))
        }
    }

    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::ServiceUnavailable, message)
            .with_header(salvo::http::header::RETRY_AFTER, HeaderValue::from_static("2"))
    }

    /// Operators let the system finish what is open, and take nothing new.
    pub fn draining(reason: &str) -> Self {
        let message = format!("no new jobs are accepted at the moment: {reason}; those that are open go on");
        Self::new(ErrorCode::ServiceUnavailable, message)
            .with_header(salvo::http::header::RETRY_AFTER, HeaderValue::from(DRAIN_RETRY_AFTER_S))
    }

    /// As much as one user may have or do at a time.
    pub fn too_many(message: impl Into<String>, retry_after_s: u64) -> Self {
        Self::new(ErrorCode::RateLimitExceeded, message)
            .with_header(salvo::http::header::RETRY_AFTER, HeaderValue::from(retry_after_s))
    }

    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Forbidden, message)
    }

    pub fn internal() -> Self {
        Self::new(ErrorCode::InternalError, "something went wrong on our side")
    }

    /// An event of the job cannot be decoded. Other jobs are not affected.
    pub fn unreadable_job() -> Self {
        let message = "an event of this job cannot be read, so nothing can be done with the job for now; \
                       an operator can see why (`reel projections list`)";
        Self::new(ErrorCode::JobUnreadable, message)
    }

    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The answer to what the framework itself refuses with this status.
    pub fn from_status(status: StatusCode) -> Self {
        let (code, message) = match status {
            StatusCode::NOT_FOUND => (ErrorCode::NotFound, "there is nothing at this path"),
            StatusCode::METHOD_NOT_ALLOWED => {
                (ErrorCode::MethodNotAllowed, "this path does not take this method")
            }
            StatusCode::REQUEST_TIMEOUT => (ErrorCode::RequestTimeout, "the request did not come in time"),
            StatusCode::PAYLOAD_TOO_LARGE => (ErrorCode::PayloadTooLarge, "the body is too large"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                (ErrorCode::UnsupportedMediaType, "the body's type is not supported")
            }
            StatusCode::RANGE_NOT_SATISFIABLE => {
                (ErrorCode::RangeNotSatisfiable, "the range lies outside the file")
            }
            StatusCode::TOO_MANY_REQUESTS => (ErrorCode::RateLimitExceeded, "too many requests"),
            StatusCode::SERVICE_UNAVAILABLE => (ErrorCode::ServiceUnavailable, "try again in a moment"),
            status if status.is_client_error() => (ErrorCode::BadRequest, "the request cannot be understood"),
            _ => (ErrorCode::InternalError, "something went wrong on our side"),
        };
        Self { status, ..Self::new(code, message) }
    }

    pub fn render(self, req: &Request, depot: &Depot, res: &mut Response) {
        res.status_code(self.status);
        for (name, value) in self.headers {
            res.headers_mut().insert(name, value);
        }
        let error = ErrorContent {
            message: self.message,
            error_code: self.code.name().to_owned(),
            details: self.details,
            timestamp: Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
            path: req.uri().path().to_owned(),
            request_id: request_id(depot),
        };
        // The framework's own refusals come after the service's hoops.
        res.headers_mut().insert(salvo::http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
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
    /// Registers the shape alone: which errors a route answers follows from the route (`openapi`).
    fn register(components: &mut Components, _operation: &mut Operation) {
        let _reference = ErrorBody::to_schema(components);
    }
}

/// Answers what the framework refused by itself (404, 405, 413…) in the same shape.
#[handler]
pub async fn catch_framework_errors(req: &Request, depot: &Depot, res: &mut Response, ctrl: &mut FlowCtrl) {
    Problem::from_status(res.status_code.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
        .render(req, depot, res);
    ctrl.skip_rest();
}

impl From<projections::Error> for Problem {
    fn from(error: projections::Error) -> Self {
        Problem::of_projection(&error)
    }
}

impl Problem {
    /// Tells of a query that failed, whoever else is told of it.
    pub fn of_projection(error: &projections::Error) -> Self {
        tracing::error!(error = %chain(error), "a query failed");
        match error {
            error if error.is_retryable() => Problem::unavailable("the data is out of reach for the moment"),
            projections::Error::Decode { .. }
            | projections::Error::DecodeAny { .. }
            | projections::Error::History { .. } => Problem::unreadable_job(),
            projections::Error::TooSlow { seconds } => Problem::unavailable(format!(
                "the figures took longer than {seconds} s to find: ask for a shorter time or a longer bucket"
            )),
            _ => Problem::internal(),
        }
    }
}

impl From<audit::Error> for Problem {
    fn from(error: audit::Error) -> Self {
        tracing::error!(error = %chain(&error), "an audit failed");
        match error.is_retryable() {
            true => Problem::unavailable("the data is out of reach for the moment"),
            false => Problem::internal(),
        }
    }
}

impl<R: std::error::Error + 'static> From<execute::Error<R>> for Problem {
    fn from(error: execute::Error<R>) -> Self {
        Problem::of_failure(error, |rejection| {
            Problem::conflict(rejection.to_string(), serde_json::Value::Null)
        })
    }
}

impl Problem {
    /// The answer to a command that led to nothing; `rejected` says what the decider's refusal means.
    pub fn of_failure<R: std::error::Error + 'static>(
        error: execute::Error<R>,
        rejected: impl FnOnce(R) -> Self,
    ) -> Self {
        match error {
            execute::Error::Rejected(rejection) => rejected(rejection),
            execute::Error::Log(_) | execute::Error::Contended { .. } => {
                tracing::error!(error = %chain(&error), "a command failed");
                Problem::unavailable("the event log is out of reach for the moment")
            }
            error if error.is_retryable() => {
                tracing::error!(error = %chain(&error), "a command failed");
                Problem::unavailable("the keys of users' content are out of reach for the moment")
            }
            execute::Error::Decode { kind: AggregateKind::Job, .. } => {
                tracing::error!(error = %chain(&error), "a command failed");
                Problem::unreadable_job()
            }
            execute::Error::Decode { .. }
            | execute::Error::Encrypt(_)
            | execute::Error::Unreadable { .. }
            | execute::Error::Unencryptable { .. } => {
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
