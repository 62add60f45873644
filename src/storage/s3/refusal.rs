//! Why S3 refuses: errors that no retry mends, each with what to do about it.

use std::error::Error as StdError;
use std::time::{Duration, SystemTime};

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};

use super::super::Error;
use crate::telemetry::chain;

/// Shown to operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("its bucket does not exist: create it, or set S3_BUCKET (and S3_REGION) to one that does")]
    NoSuchBucket,
    #[error("the credentials are not valid: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")]
    BadCredentials,
    #[error(
        "access is denied: the credentials need s3:ListBucket on the bucket, and s3:GetObject, s3:PutObject, \
         s3:DeleteObject and s3:AbortMultipartUpload on its objects"
    )]
    AccessDenied,
    #[error(
        "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role"
    )]
    NoCredentials,
    #[error("the clock of this machine is wrong by more than 15 minutes: set it, best by NTP")]
    WrongClock,
    #[error("the bucket is in another region: set S3_REGION")]
    WrongRegion,
    #[error("the file is larger than S3 takes")]
    TooLarge,
}

impl Refusal {
    fn of_code(code: &str) -> Option<Self> {
        Some(match code {
            "NoSuchBucket" => Self::NoSuchBucket,
            "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" | "NotSignedUp" => {
                Self::BadCredentials
            }
            "AccessDenied" | "AllAccessDisabled" | "AccountProblem" => Self::AccessDenied,
            "RequestTimeTooSkewed" => Self::WrongClock,
            "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" => {
                Self::WrongRegion
            }
            "EntityTooLarge" => Self::TooLarge,
            _ => return None,
        })
    }

    /// Answers to HEAD have no body, and so no code.
    fn of_status(status: u16) -> Option<Self> {
        match status {
            301 => Some(Self::WrongRegion),
            401 => Some(Self::BadCredentials),
            403 => Some(Self::AccessDenied),
            _ => None,
        }
    }
}

/// Turns a failed call into an error: a refusal, or one that a retry may mend.
pub(super) fn error<E>(attempted: &'static str, object: &dyn std::fmt::Display, failed: SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let object = object.to_string();
    let status = failed.raw_response().map(|response| response.status().as_u16());
    let code = failed.code().map(str::to_owned);
    let refusal = match (&code, status) {
        (Some(code), _) if Refusal::of_code(code).is_some() => Refusal::of_code(code),
        // A 403 with another code, such as an expired token, which may be renewed meanwhile.
        (Some(_), _) => None,
        (None, Some(403)) if is_clock_wrong(&failed) => Some(Refusal::WrongClock),
        (None, Some(status)) => Refusal::of_status(status),
        (None, None) if is_without_credentials(&failed) => Some(Refusal::NoCredentials),
        (None, None) => None,
    };
    match refusal {
        Some(refusal) => Error::Refused { attempted, object, refusal },
        None => Error::Remote { attempted, object, source: Box::new(failed) },
    }
}

/// How far a clock may be off before S3 refuses its signatures.
const MAX_SKEW: Duration = Duration::from_secs(15 * 60);

/// Whether the server says that it is another time there. Answers to HEAD have no body that would say so.
fn is_clock_wrong<E>(failed: &SdkError<E>) -> bool {
    let date = failed.raw_response().and_then(|response| response.headers().get("date"));
    let there = date.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok());
    let there = there.and_then(|there| SystemTime::try_from(there).ok());
    let (now, is_off) = (SystemTime::now(), |off: Duration| off > MAX_SKEW);
    there.is_some_and(|there| {
        now.duration_since(there).is_ok_and(is_off) || there.duration_since(now).is_ok_and(is_off)
    })
}

fn is_without_credentials<E: StdError + Send + Sync + 'static>(failed: &SdkError<E>) -> bool {
    let text = chain(failed);
    matches!(failed, SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_))
        && text.contains("credentials provider")
}
