//! Writes objects: small ones in one call, large ones in parts, several at a time, in bounded memory.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::primitives::ByteStream as Body;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::super::{Content, Error, Key, Mode, OnBytes, Store, Stored};
use super::{HASH, S3, headers, refusal};
use crate::telemetry::chain;

/// The least that S3 takes is 5 MiB.
const PART_BYTES: u64 = 8 << 20;
/// The most parts that S3 takes.
const MAX_PARTS: u64 = 10_000;
/// Parts on their way at a time, each of them in memory.
const CONCURRENT_PARTS: usize = 4;

pub(super) async fn put(
    s3: &S3,
    key: &Key,
    content: Content,
    mode: Mode,
    on_bytes: OnBytes<'_>,
) -> Result<Stored, Error> {
    let cannot_read = |error| Error::new("read", key, error);
    let stored = content.measure().await.map_err(cannot_read)?;
    if mode == Mode::Create && s3.head(key).await?.is_some() {
        return Err(Error::Exists(key.clone()));
    }
    match content {
        Content::File(file) if stored.bytes > PART_BYTES => {
            in_parts(s3, key, &file, &stored, mode, on_bytes).await?;
        }
        Content::File(file) => {
            let bytes = read_part(&file, 0, stored.bytes).await.map_err(cannot_read)?;
            in_one(s3, key, bytes, &stored, mode).await?;
            on_bytes(stored.bytes);
        }
        Content::Bytes(bytes) => {
            in_one(s3, key, bytes, &stored, mode).await?;
            on_bytes(stored.bytes);
        }
    }
    Ok(stored)
}

async fn in_one(s3: &S3, key: &Key, bytes: Vec<u8>, stored: &Stored, mode: Mode) -> Result<(), Error> {
    let call = s3
        .client
        .put_object()
        .bucket(&s3.bucket)
        .key(s3.key_in_bucket(key.as_str()))
        .content_type(headers::content_type(key))
        .cache_control(headers::cache_control(key))
        .metadata(HASH, &stored.blake3)
        .content_length(bytes.len() as i64)
        .body(Body::from(bytes));
    let call = if mode == Mode::Create { call.if_none_match("*") } else { call };
    match call.send().await {
        Ok(_) => Ok(()),
        Err(failed) if is_taken(&failed) => Err(Error::Exists(key.clone())),
        Err(failed) => Err(refusal::error("store", key, failed)),
    }
}

async fn in_parts(
    s3: &S3,
    key: &Key,
    file: &Path,
    stored: &Stored,
    mode: Mode,
    on_bytes: OnBytes<'_>,
) -> Result<(), Error> {
    let name = s3.key_in_bucket(key.as_str());
    let call = s3.client.create_multipart_upload().bucket(&s3.bucket).key(&name);
    let begun = call
        .content_type(headers::content_type(key))
        .cache_control(headers::cache_control(key))
        .metadata(HASH, &stored.blake3)
        .send()
        .await
        .map_err(|failed| refusal::error("store", key, failed))?;
    let id = begun.upload_id().ok_or_else(|| Error::Remote {
        attempted: "store",
        object: key.to_string(),
        source: "the server gave no upload id".into(),
    })?;
    let mut unfinished = Unfinished { s3: s3.clone(), name: name.clone(), id: id.to_owned(), is_done: false };
    let outcome = send_parts(s3, key, &name, id, (file, stored.bytes), on_bytes).await;
    let parts = match outcome {
        Ok(parts) => parts,
        Err(error) => {
            unfinished.abort().await;
            return Err(error);
        }
    };
    let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    let call = s3.client.complete_multipart_upload().bucket(&s3.bucket).key(&name).upload_id(id);
    let call = if mode == Mode::Create { call.if_none_match("*") } else { call };
    match call.multipart_upload(parts).send().await {
        Ok(_) => {
            unfinished.is_done = true;
            Ok(())
        }
        Err(failed) => {
            let error = match is_taken(&failed) {
                true => Error::Exists(key.clone()),
                false => refusal::error("store", key, failed),
            };
            // Nothing to abort where it was completed, and only the answer got lost.
            unfinished.abort().await;
            Err(error)
        }
    }
}

async fn send_parts(
    s3: &S3,
    key: &Key,
    name: &str,
    id: &str,
    (file, bytes): (&Path, u64),
    on_bytes: OnBytes<'_>,
) -> Result<Vec<CompletedPart>, Error> {
    let part_bytes = part_bytes(bytes);
    let has_failed = &AtomicBool::new(false);
    let send = |index: u64| async move {
        let (start, number) = (index * part_bytes, index as i32 + 1);
        let length = part_bytes.min(bytes - start);
        let content = read_part(file, start, length).await.map_err(|error| Error::new("read", key, error))?;
        let call = s3.client.upload_part().bucket(&s3.bucket).key(name).upload_id(id);
        let sent = call.part_number(number).content_length(length as i64).body(Body::from(content)).send();
        let sent = sent.await.map_err(|failed| refusal::error("store", key, failed))?;
        on_bytes(length);
        let part = CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag);
        Ok::<_, Error>(part.set_checksum_crc32(sent.checksum_crc32).build())
    };
    // Parts on their way are waited for, whatever becomes of others: one that arrives after the upload is aborted stays.
    let parts = (0..bytes.div_ceil(part_bytes)).map(|index| async move {
        if has_failed.load(Ordering::Relaxed) {
            return None;
        }
        let sent = send(index).await;
        has_failed.fetch_or(sent.is_err(), Ordering::Relaxed);
        Some(sent)
    });
    let sent: Vec<_> = futures_util::stream::iter(parts).buffer_unordered(CONCURRENT_PARTS).collect().await;
    let mut parts = sent.into_iter().flatten().collect::<Result<Vec<CompletedPart>, Error>>()?;
    parts.sort_by_key(CompletedPart::part_number);
    Ok(parts)
}

fn part_bytes(bytes: u64) -> u64 {
    PART_BYTES.max(bytes.div_ceil(MAX_PARTS))
}

async fn read_part(file: &Path, start: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut file = tokio::fs::File::open(file).await?;
    file.seek(io::SeekFrom::Start(start)).await?;
    let mut bytes = vec![0; length as usize];
    file.read_exact(&mut bytes).await?;
    Ok(bytes)
}

fn is_taken<E: std::error::Error + 'static>(failed: &SdkError<E>) -> bool {
    failed.raw_response().is_some_and(|response| response.status().as_u16() == 412)
}

/// An upload in parts, which is paid for until it is completed or aborted.
struct Unfinished {
    s3: S3,
    name: String,
    id: String,
    is_done: bool,
}

impl Unfinished {
    async fn abort(&mut self) {
        self.is_done = true;
        abort(&self.s3, &self.name, &self.id).await;
    }
}

impl Drop for Unfinished {
    /// The upload was dropped in the middle: its job is cancelled.
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        let (s3, name, id) = (self.s3.clone(), self.name.clone(), self.id.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { abort(&s3, &name, &id).await });
        }
    }
}

/// What cannot be aborted now is aborted by `reel storage clean`, or by the bucket's life cycle rules.
async fn abort(s3: &S3, name: &str, id: &str) {
    let call = s3.client.abort_multipart_upload().bucket(&s3.bucket).key(name).upload_id(id);
    if let Err(failed) = call.send().await {
        let is_gone = failed.raw_response().is_some_and(|response| response.status().as_u16() == 404);
        if !is_gone {
            tracing::warn!(key = name, error = chain(&failed), "an unfinished upload was not aborted");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_has_more_parts_than_s3_takes() {
        for bytes in [1, PART_BYTES, PART_BYTES + 1, 5 << 30, 5 << 40] {
            let parts = bytes.div_ceil(part_bytes(bytes));
            assert!((1..=MAX_PARTS).contains(&parts), "{bytes}: {parts}");
        }
        assert_eq!(part_bytes(5 << 30), PART_BYTES);
    }
}
