//! Errors of stages: a code and a message for the user, with the cause for the log.

use std::error::Error;

use crate::error_codes::ErrorCode;
use crate::events::job::Failure;
use crate::telemetry::chain;
use reel_studio::is_disk_full;

#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StageError {
    pub code: ErrorCode,
    /// Message for the user: what happened, with the value and what was expected.
    pub message: String,
    pub retryable: bool,
    /// Suggestion for the user.
    pub suggestion: Option<&'static str>,
    #[source]
    pub source: Option<Box<dyn Error + Send + Sync>>,
    /// Set when message or causes may quote the user.
    is_private: bool,
}

impl StageError {
    /// A failure that a retry cannot fix.
    pub fn terminal(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            retryable: false,
            suggestion: None,
            source: None,
            is_private: false,
        }
    }

    /// A failure of the machine or a program on it, which a retry may fix.
    pub fn retryable(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { retryable: true, ..Self::terminal(code, message) }
    }

    /// A retryable failure with its cause: `DISK_FULL` for a full disk, else `code` and `message`.
    pub fn failed(
        code: ErrorCode,
        message: impl Into<String>,
        source: impl Error + Send + Sync + 'static,
    ) -> Self {
        if is_disk_full(&source) {
            return Self::disk_full(source);
        }
        Self::retryable(code, message).because(source)
    }

    fn disk_full(source: impl Error + Send + Sync + 'static) -> Self {
        Self::retryable(ErrorCode::DiskFull, "the disk that holds MEDIA_ROOT is full")
            .suggest("free some space or give MEDIA_ROOT a larger disk, then generate the video again")
            .because(source)
    }

    /// Adds a suggestion, unless there is one.
    pub fn suggest(mut self, suggestion: &'static str) -> Self {
        self.suggestion.get_or_insert(suggestion);
        self
    }

    /// Keeps message and causes out of logs, because they may quote the user.
    pub fn quoting_the_user(mut self) -> Self {
        self.is_private = true;
        self
    }

    /// Returns the error as it may be logged. The job's event has all of it, encrypted with the user's key.
    pub fn for_log(&self) -> String {
        match self.is_private {
            true => "(not logged, because it may quote the user: see `reel dead-letters show`)".to_owned(),
            false => chain(self),
        }
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
            causes: self.causes(),
        }
    }

    /// Lists the causes, bounded, without the folders of this machine.
    fn causes(&self) -> Vec<String> {
        let mut next = self.source.as_deref().map(|source| source as &(dyn Error + 'static));
        let mut causes: Vec<String> = vec![];
        for _ in 0..MAX_CAUSES {
            let Some(cause) = next else { break };
            let text = without_folders(&cause.to_string());
            // A wrapper that only repeats what it wraps says nothing.
            if causes.last() != Some(&text) {
                causes.push(text);
            }
            next = cause.source();
        }
        causes
    }
}

/// Causes that a failure records, and characters of each.
const MAX_CAUSES: usize = 8;
const MAX_CAUSE_CHARACTERS: usize = 300;

/// Keeps the last name of each absolute path: where a worker has its files is nobody's business but its operator's.
fn without_folders(text: &str) -> String {
    let shorten = |word: &str| match word.find('/') {
        // The path may be in quotes or brackets.
        Some(at) if word[..at].chars().all(|c| !c.is_alphanumeric() && c != ':' && c != '.') => {
            let name = word.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
            format!("{}{name}", &word[..at])
        }
        _ => word.to_owned(),
    };
    let words: Vec<String> = text.split(' ').map(shorten).collect();
    words.join(" ").chars().take(MAX_CAUSE_CHARACTERS).collect()
}

/// The error of a job that lacks an event of an earlier stage.
pub fn missing(what: &str) -> StageError {
    StageError::terminal(ErrorCode::IncompleteHistory, format!("the job's history lacks {what}"))
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;
    use crate::storage;

    #[test]
    fn a_full_disk_is_found_among_the_causes() {
        let full = storage::Error::new("store", "x", ErrorKind::StorageFull.into());
        let error = StageError::failed(ErrorCode::StorageFailed, "no", full).suggest("other");
        assert_eq!((error.code, error.retryable), (ErrorCode::DiskFull, true));
        assert!(error.suggestion.is_some_and(|suggestion| suggestion.contains("free some space")));
        let other = storage::Error::new("store", "x", ErrorKind::PermissionDenied.into());
        assert_eq!(StageError::failed(ErrorCode::StorageFailed, "no", other).code, ErrorCode::StorageFailed);
    }

    #[test]
    fn causes_are_told_in_their_order_without_folders_and_bounded() {
        let failed = storage::Error::new(
            "store",
            "x",
            std::io::Error::other("cannot open \"/srv/media/work/1/a.wav\": no"),
        );
        let error = StageError::failed(ErrorCode::StorageFailed, "no", failed);
        let causes = error.to_failure().causes;
        assert!(causes.last().unwrap().contains("cannot open \"a.wav\": no"), "{causes:?}");
        assert!(causes.iter().all(|cause| !cause.contains("/srv")), "{causes:?}");
        assert_eq!(
            without_folders("see https://example.org/a/b or 1/2 in /x/y/"),
            "see https://example.org/a/b or 1/2 in y"
        );
        assert_eq!(without_folders(&"ä".repeat(1000)).chars().count(), MAX_CAUSE_CHARACTERS);
        assert!(StageError::terminal(ErrorCode::StorageFailed, "no").to_failure().causes.is_empty());
    }

    #[test]
    fn m5_a_log_has_no_words_of_the_user() {
        let error =
            StageError::retryable(ErrorCode::NarrationFailed, "cannot say Zanzibarite").quoting_the_user();
        assert!(!error.for_log().contains("Zanzibarite"));
        assert!(error.to_failure().message.contains("Zanzibarite"), "the job's own event says it");
    }
}
