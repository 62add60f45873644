//! Stores objects in a bucket.
//!
//! The SDK's own retries are off. Uploads are tried once, and their caller repeats and records them; what only reads, lists
//! or removes is repeated here.
//!
//! Every object carries the BLAKE3 of its content as metadata, so that a copy can be checked, and the content type and
//! cache headers that its name calls for.

mod headers;
mod read;
mod refusal;
mod upload;

use std::ops::Range;
use std::path::Path;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_config::BehaviorVersion;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{Credentials, Region, StalledStreamProtectionConfig};
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::head_bucket::HeadBucketError;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};

pub use refusal::Refusal;

use super::backoff;
use super::measure::{StoreName, note_retry};
use super::settings::S3Settings;
use super::store::SignedAnswer;
use super::{ByteStream, Content, Entry, Error, Head, Key, Mode, OnBytes, Prefix, Store, Stored};
use crate::telemetry::chain;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Until an answer begins. An upload that moves is not interrupted by it: one part is sent in far less.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(120);
/// A transfer that does not move for this long is given up.
const STALLED_AFTER: Duration = Duration::from_secs(10);
/// Until the bucket answers a question about its health.
const REACH_TIMEOUT: Duration = Duration::from_secs(2);
/// Objects of one call that removes or lists, the most that S3 takes.
const PAGE: usize = 1000;
/// The key of metadata with the content's BLAKE3 in hex.
const HASH: &str = "blake3";

#[derive(Debug, Clone)]
pub struct S3 {
    client: Client,
    /// The same server as clients reach it, for signed URLs.
    public_client: Client,
    bucket: String,
    prefix: Option<String>,
}

impl S3 {
    pub async fn connect(config: &S3Settings) -> Self {
        let client = client(config, config.endpoint.as_deref()).await;
        let public_client = match &config.public_endpoint {
            Some(endpoint) => self::client(config, Some(endpoint)).await,
            None => client.clone(),
        };
        Self { client, public_client, bucket: config.bucket.clone(), prefix: config.prefix.clone() }
    }

    /// Returns an error unless objects can be written, read and removed, so that wrong settings show at the start.
    pub async fn check(&self) -> Result<(), Error> {
        let look_at_bucket = || self.client.head_bucket().bucket(&self.bucket).send();
        retrying(look_at_bucket, |failed| self.not_reached(failed)).await?;
        let probe = Key::parse(format!("checks/{}", uuid::Uuid::new_v4()))?;
        self.put(&probe, Content::Bytes(b"written at a start".to_vec()), Mode::Replace, &|_| {}).await?;
        self.head(&probe).await?;
        self.delete(&probe).await
    }

    /// Returns the same bucket with all keys under a folder.
    pub fn within(&self, folder: &str) -> Self {
        Self { prefix: Some(self.key_in_bucket(folder)), ..self.clone() }
    }

    /// Returns an error unless the bucket answers soon. One attempt.
    pub async fn reach(&self) -> Result<(), Error> {
        let call = self.client.head_bucket().bucket(&self.bucket).send();
        match tokio::time::timeout(REACH_TIMEOUT, call).await {
            Ok(answer) => answer.map(|_| ()).map_err(|failed| self.not_reached(failed)),
            Err(slow) => {
                let object = format!("the bucket {}", self.bucket);
                Err(Error::Remote { attempted: "reach", object, source: Box::new(slow) })
            }
        }
    }

    /// Returns `true` when the bucket says soon that it has an object. One attempt.
    pub(super) async fn has(&self, key: &Key) -> bool {
        let name = self.key_in_bucket(key.as_str());
        let call = self.client.head_object().bucket(&self.bucket).key(name).send();
        matches!(tokio::time::timeout(REACH_TIMEOUT, call).await, Ok(Ok(_)))
    }

    fn not_reached(&self, failed: SdkError<HeadBucketError>) -> Error {
        let bucket = format!("the bucket {}", self.bucket);
        // The answer to HEAD has no body that would say so.
        if failed.raw_response().is_some_and(|response| response.status().as_u16() == 404) {
            let refusal = Refusal::NoSuchBucket;
            return Error::Refused { attempted: "reach", object: bucket, refusal };
        }
        refusal::error("reach", &bucket, failed)
    }

    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Returns the object's key in the bucket.
    pub fn key_in_bucket(&self, key: &str) -> String {
        match &self.prefix {
            Some(prefix) => format!("{prefix}/{key}"),
            None => key.to_owned(),
        }
    }

    /// Aborts uploads in parts that were begun before `before` and never finished, and returns their number. 0 where the
    /// server cannot list them.
    pub async fn abort_unfinished(&self, before: SystemTime) -> Result<usize, Error> {
        let prefix = self.prefix.as_ref().map(|prefix| format!("{prefix}/"));
        let (mut aborted, mut next) = (0, (None, None));
        loop {
            let listing = self.client.list_multipart_uploads().bucket(&self.bucket);
            let listing = listing.set_prefix(prefix.clone());
            let page = match listing.set_key_marker(next.0).set_upload_id_marker(next.1).send().await {
                Ok(page) => page,
                Err(failed) if is_not_implemented(&failed) => return Ok(aborted),
                Err(failed) => return Err(refusal::error("list", &"unfinished uploads", failed)),
            };
            for upload in page.uploads() {
                let initiated = upload.initiated().and_then(|at| SystemTime::try_from(*at).ok());
                let (Some(key), Some(id)) = (upload.key(), upload.upload_id()) else { continue };
                if initiated.is_none_or(|at| at >= before) {
                    continue;
                }
                let abort = self.client.abort_multipart_upload().bucket(&self.bucket).key(key).upload_id(id);
                abort.send().await.map_err(|failed| refusal::error("abort", &key, failed))?;
                aborted += 1;
            }
            if page.is_truncated() != Some(true) || page.next_key_marker().is_none() {
                return Ok(aborted);
            }
            next = (page.next_key_marker, page.next_upload_id_marker);
        }
    }

    async fn look_at(&self, key: &Key) -> Result<Option<(Head, Option<String>)>, Error> {
        let name = self.key_in_bucket(key.as_str());
        let look = || self.client.head_object().bucket(&self.bucket).key(&name).send();
        let found = retrying(look, |failed| match failed {
            SdkError::ServiceError(context) if context.err().is_not_found() => None,
            failed => Some(refusal::error("look at", key, failed)),
        })
        .await;
        match found {
            Ok(output) => {
                let hash = output.metadata().and_then(|metadata| metadata.get(HASH)).cloned();
                Ok(Some((head(output.content_length(), output.last_modified()), hash)))
            }
            Err(None) => Ok(None),
            Err(Some(error)) => Err(error),
        }
    }
}

#[async_trait]
impl Store for S3 {
    fn name(&self) -> StoreName {
        StoreName::S3
    }

    async fn put(
        &self,
        key: &Key,
        content: Content,
        mode: Mode,
        on_bytes: OnBytes<'_>,
    ) -> Result<Stored, Error> {
        upload::put(self, key, content, mode, on_bytes).await
    }

    async fn head(&self, key: &Key) -> Result<Option<Head>, Error> {
        Ok(self.look_at(key).await?.map(|(head, _)| head))
    }

    async fn content_hash(&self, key: &Key) -> Result<Option<String>, Error> {
        read::content_hash(self, key).await
    }

    async fn read(&self, key: &Key, range: Range<u64>) -> Result<Option<ByteStream>, Error> {
        read::stream(self, key, range).await
    }

    async fn copy_to(&self, key: &Key, file: &Path) -> Result<bool, Error> {
        read::copy_to(self, key, file).await
    }

    async fn list(&self, prefix: &Prefix) -> Result<Vec<Entry>, Error> {
        let folder = format!("{}/", self.key_in_bucket(prefix.as_str()));
        let cut = folder.len() - prefix.as_str().len() - 1;
        let (mut entries, mut next): (Vec<Entry>, Option<String>) = (vec![], None);
        loop {
            let list = || {
                let call = self.client.list_objects_v2().bucket(&self.bucket).prefix(&folder);
                call.set_continuation_token(next.clone()).send()
            };
            let page = retrying(list, |failed| refusal::error("list", prefix, failed)).await?;
            for object in page.contents() {
                let Some(key) = object.key().and_then(|key| Key::parse(key.get(cut..)?).ok()) else {
                    continue;
                };
                entries.push(Entry { key, head: head(object.size(), object.last_modified()) });
            }
            next = page.next_continuation_token().map(str::to_owned);
            if next.is_none() {
                break;
            }
        }
        entries.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(entries)
    }

    async fn delete(&self, key: &Key) -> Result<(), Error> {
        let name = self.key_in_bucket(key.as_str());
        let delete = || self.client.delete_object().bucket(&self.bucket).key(&name).send();
        retrying(delete, |failed| refusal::error("remove", key, failed)).await.map(|_| ())
    }

    async fn delete_prefix(&self, prefix: &Prefix) -> Result<(), Error> {
        let entries = self.list(prefix).await?;
        for page in entries.chunks(PAGE) {
            let names = page.iter().map(|entry| {
                let name = self.key_in_bucket(entry.key.as_str());
                ObjectIdentifier::builder().key(name).build().expect("it has a key")
            });
            let objects = Delete::builder().set_objects(Some(names.collect())).quiet(true).build();
            let objects = objects.expect("it has objects");
            let delete = || self.client.delete_objects().bucket(&self.bucket).delete(objects.clone()).send();
            let deleted = retrying(delete, |failed| refusal::error("remove", prefix, failed)).await?;
            if let Some(kept) = deleted.errors().first() {
                let text = format!("{} ({})", kept.code().unwrap_or("?"), kept.message().unwrap_or("?"));
                let object = kept.key().unwrap_or(prefix.as_str()).to_owned();
                return Err(Error::Remote { attempted: "remove", object, source: text.into() });
            }
        }
        Ok(())
    }

    async fn signed_url(
        &self,
        key: &Key,
        answer: &SignedAnswer,
        life: Duration,
    ) -> Result<Option<String>, Error> {
        let call = self.public_client.get_object().bucket(&self.bucket);
        let call = call
            .key(self.key_in_bucket(key.as_str()))
            .set_response_content_type(answer.content_type.clone())
            .set_response_content_disposition(answer.content_disposition.clone())
            .set_response_cache_control(answer.cache_control.clone());
        let life = PresigningConfig::expires_in(life).map_err(|error| Error::Remote {
            attempted: "sign the URL of",
            object: key.to_string(),
            source: Box::new(error),
        })?;
        let signed = call.presigned(life).await;
        Ok(Some(signed.map_err(|failed| refusal::error("sign the URL of", key, failed))?.uri().to_owned()))
    }
}

fn head(bytes: Option<i64>, modified: Option<&DateTime>) -> Head {
    let modified = modified.and_then(|at| SystemTime::try_from(*at).ok());
    Head {
        bytes: bytes.unwrap_or_default().max(0) as u64,
        modified: modified.unwrap_or(SystemTime::UNIX_EPOCH),
    }
}

async fn client(config: &S3Settings, endpoint: Option<&str>) -> Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .build();
    let stalls = StalledStreamProtectionConfig::enabled().grace_period(STALLED_AFTER).build();
    let region = Region::new(config.region.clone());
    let mut builder = match &config.credentials {
        // Without the search for credentials, which asks the network.
        Some(given) => {
            let (id, secret) = (&given.access_key_id, &given.secret_access_key);
            let credentials = Credentials::new(id, secret, given.session_token.clone(), None, "environment");
            aws_sdk_s3::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .credentials_provider(credentials)
        }
        None => {
            let found = aws_config::defaults(BehaviorVersion::latest()).region(region.clone()).load().await;
            aws_sdk_s3::config::Builder::from(&found)
        }
    };
    builder = builder
        .region(region)
        .force_path_style(config.path_style)
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        .stalled_stream_protection(stalls);
    if let Some(endpoint) = endpoint {
        builder = builder.endpoint_url(endpoint);
    }
    Client::from_conf(builder.build())
}

/// An error of [`retrying`] that may be worth another attempt.
trait MayPass {
    fn may_pass(&self) -> bool;
}

impl MayPass for Error {
    fn may_pass(&self) -> bool {
        self.is_retryable()
    }
}

impl MayPass for Option<Error> {
    fn may_pass(&self) -> bool {
        self.as_ref().is_some_and(Error::is_retryable)
    }
}

/// Repeats a call that changes nothing when it is made twice.
async fn retrying<T, E, F, Failure: MayPass>(
    call: impl Fn() -> F,
    error: impl Fn(SdkError<E>) -> Failure,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, SdkError<E>>>,
    E: std::error::Error + 'static,
{
    for delay in backoff::delays() {
        match call().await {
            Ok(value) => return Ok(value),
            Err(failed) => {
                let text = chain(&failed);
                let failure = error(failed);
                if !failure.may_pass() {
                    return Err(failure);
                }
                tracing::debug!(error = text, ?delay, "S3 failed; trying again");
                tokio::time::sleep(delay).await;
                note_retry();
            }
        }
    }
    call().await.map_err(error)
}

fn is_not_implemented<E: aws_sdk_s3::error::ProvideErrorMetadata>(failed: &SdkError<E>) -> bool {
    failed.raw_response().is_some_and(|response| response.status().as_u16() == 501)
}
