//! Why a stage failed: in a code and words for the user, with the cause for the log.

use std::error::Error;

use crate::error_codes::ErrorCode;
use crate::events::job::Failure;

#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StageError {
    pub code: ErrorCode,
    /// For the user: what went wrong, with the value and what was expected.
    pub message: String,
    pub retryable: bool,
    /// For the user: what to do about it.
    pub suggestion: Option<&'static str>,
    #[source]
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl StageError {
    /// Trying again would fail the same way.
    pub fn terminal(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retryable: false, suggestion: None, source: None }
    }

    /// The machine or a program on it failed; another try may succeed.
    pub fn retryable(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { retryable: true, ..Self::terminal(code, message) }
    }

    pub fn disk_full(source: impl Error + Send + Sync + 'static) -> Self {
        Self::retryable(ErrorCode::DiskFull, "the disk that holds MEDIA_ROOT is full")
            .suggest("free some space or give MEDIA_ROOT a larger disk, then generate the video again")
            .because(source)
    }

    pub fn suggest(mut self, suggestion: &'static str) -> Self {
        self.suggestion = Some(suggestion);
        self
    }

    pub fn because(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    pub fn to_failure(&self) -> Failure {
        Failure {
            code: self.code.name().to_owned(),
            message: self.message.clone(),
            retryable: self.retryable,
            suggestion: self.suggestion.map(str::to_owned),
        }
    }
}

/// A job that reached a stage without what the stage before it records.
pub fn missing(what: &str) -> StageError {
    StageError::terminal(ErrorCode::IncompleteHistory, format!("the job's history lacks {what}"))
}
