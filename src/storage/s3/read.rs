//! Reads objects. A transfer that breaks off goes on where it stopped, as long as the object is the same.

use std::ops::Range;
use std::path::Path;

use aws_sdk_s3::error::SdkError;
use futures_util::TryStreamExt;
use futures_util::stream::{self, StreamExt};
use tokio::io::AsyncWriteExt;

use super::super::backoff;
use super::super::{ByteStream, Error, Key, Store};
use super::{S3, refusal, retrying};
use crate::telemetry::chain;

/// A transfer of which something is still to come.
struct Transfer {
    s3: S3,
    key: Key,
    /// Of the object when the transfer began: another one is not appended to it.
    etag: Option<String>,
    next: u64,
    end: u64,
    body: aws_sdk_s3::primitives::ByteStream,
    delays: std::vec::IntoIter<std::time::Duration>,
}

pub(super) async fn stream(s3: &S3, key: &Key, range: Range<u64>) -> Result<Option<ByteStream>, Error> {
    let Some(head) = s3.head(key).await? else { return Ok(None) };
    let range = range.start..range.end.min(head.bytes);
    if range.is_empty() {
        return Ok(Some(stream::empty().boxed()));
    }
    let Some((body, etag)) = open(s3, key, range.clone(), None).await? else { return Ok(None) };
    let delays = backoff::delays().to_vec().into_iter();
    let transfer =
        Transfer { s3: s3.clone(), key: key.clone(), etag, next: range.start, end: range.end, body, delays };
    Ok(Some(stream::try_unfold(transfer, Transfer::next_piece).boxed()))
}

impl Transfer {
    async fn next_piece(mut self) -> Result<Option<(tokio_util::bytes::Bytes, Self)>, Error> {
        loop {
            if self.next >= self.end {
                return Ok(None);
            }
            let failed = match self.body.next().await {
                Some(Ok(piece)) => {
                    self.next += piece.len() as u64;
                    return Ok(Some((piece, self)));
                }
                Some(Err(error)) => {
                    Error::Remote { attempted: "read", object: self.key.to_string(), source: Box::new(error) }
                }
                None => Error::Remote {
                    attempted: "read",
                    object: self.key.to_string(),
                    source: "the transfer ended too soon".into(),
                },
            };
            let Some(delay) = self.delays.next() else { return Err(failed) };
            tracing::debug!(key = %self.key, error = chain(&failed), "a transfer from S3 broke off; going on");
            tokio::time::sleep(delay).await;
            let rest = open(&self.s3, &self.key, self.next..self.end, self.etag.as_deref()).await?;
            let Some((body, _)) = rest else { return Err(failed) };
            self.body = body;
        }
    }
}

type Opened = (aws_sdk_s3::primitives::ByteStream, Option<String>);

/// Asks for a range of an object, which is not empty; `None` when there is no such object.
async fn open(s3: &S3, key: &Key, range: Range<u64>, etag: Option<&str>) -> Result<Option<Opened>, Error> {
    let name = s3.key_in_bucket(key.as_str());
    let range = format!("bytes={}-{}", range.start, range.end - 1);
    let get = || {
        let call = s3.client.get_object().bucket(&s3.bucket).key(&name).range(&range);
        call.set_if_match(etag.map(str::to_owned)).send()
    };
    let opened = retrying(get, |failed| match failed {
        SdkError::ServiceError(context) if context.err().is_no_such_key() => None,
        failed => Some(refusal::error("read", key, failed)),
    });
    match opened.await {
        Ok(output) => Ok(Some((output.body, output.e_tag))),
        Err(None) => Ok(None),
        Err(Some(error)) => Err(error),
    }
}

pub(super) async fn content_hash(s3: &S3, key: &Key) -> Result<Option<String>, Error> {
    let Some(mut pieces) = stream(s3, key, 0..u64::MAX).await? else { return Ok(None) };
    let mut hasher = blake3::Hasher::new();
    while let Some(piece) = pieces.try_next().await? {
        hasher.update(&piece);
    }
    Ok(Some(hasher.finalize().to_hex().to_string()))
}

pub(super) async fn copy_to(s3: &S3, key: &Key, file: &Path) -> Result<bool, Error> {
    let Some((_, expected)) = s3.look_at(key).await? else { return Ok(false) };
    let Some(mut pieces) = stream(s3, key, 0..u64::MAX).await? else { return Ok(false) };
    let cannot_write = |error| Error::new("copy", key, error);
    let folder = file.parent().unwrap_or(Path::new("."));
    let temporary = tempfile::Builder::new().suffix(".part").tempfile_in(folder).map_err(cannot_write)?;
    let (handle, path) = temporary.into_parts();
    let mut output = tokio::fs::File::from_std(handle);
    let mut hasher = blake3::Hasher::new();
    while let Some(piece) = pieces.try_next().await? {
        hasher.update(&piece);
        output.write_all(&piece).await.map_err(cannot_write)?;
    }
    output.flush().await.map_err(cannot_write)?;
    let found = hasher.finalize().to_hex().to_string();
    if expected.is_some_and(|expected| expected != found) {
        let source = "what arrived is not what was stored".into();
        return Err(Error::Remote { attempted: "copy", object: key.to_string(), source });
    }
    path.persist(file).map_err(|error| cannot_write(error.error))?;
    Ok(true)
}
