//! Stores objects on this machine's disk and in S3.
//!
//! An object is on the disk first. What S3 does not take stays on the disk, and its writer learns of the error; what is on
//! another machine's disk is read from S3.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;

use super::measure::StoreName;
use super::store::SignedAnswer;
use super::{
    ByteStream, Content, Entry, Error, Head, Key, Local, Measured, Mode, OnBytes, Prefix, S3, Store, Stored,
};

#[derive(Debug, Clone)]
pub struct Mirrored {
    pub local: Measured<Local>,
    pub s3: Measured<S3>,
}

#[async_trait]
impl Store for Mirrored {
    fn name(&self) -> StoreName {
        StoreName::LocalAndS3
    }

    /// What only one of them has yet, such as after a failure, is completed.
    async fn put(
        &self,
        key: &Key,
        content: Content,
        mode: Mode,
        on_bytes: OnBytes<'_>,
    ) -> Result<Stored, Error> {
        let local = self.local.put(key, content.clone(), mode, &|_| {}).await;
        let remote = self.s3.put(key, content, mode, on_bytes).await;
        match (local, remote) {
            (Ok(stored), Ok(_)) | (Ok(stored), Err(Error::Exists(_))) => Ok(stored),
            (Err(Error::Exists(_)), Ok(stored)) => Ok(stored),
            (Err(error), _) | (Ok(_), Err(error)) => Err(error),
        }
    }

    async fn head(&self, key: &Key) -> Result<Option<Head>, Error> {
        match self.local.head(key).await? {
            Some(head) => Ok(Some(head)),
            None => self.s3.head(key).await,
        }
    }

    async fn content_hash(&self, key: &Key) -> Result<Option<String>, Error> {
        match self.local.content_hash(key).await? {
            Some(hash) => Ok(Some(hash)),
            None => self.s3.content_hash(key).await,
        }
    }

    async fn read(&self, key: &Key, range: Range<u64>) -> Result<Option<ByteStream>, Error> {
        match self.local.read(key, range.clone()).await? {
            Some(stream) => Ok(Some(stream)),
            None => self.s3.read(key, range).await,
        }
    }

    async fn copy_to(&self, key: &Key, file: &Path) -> Result<bool, Error> {
        Ok(self.local.copy_to(key, file).await? || self.s3.copy_to(key, file).await?)
    }

    async fn list(&self, prefix: &Prefix) -> Result<Vec<Entry>, Error> {
        let entries = self.s3.list(prefix).await?.into_iter().chain(self.local.list(prefix).await?);
        let by_key: BTreeMap<Key, Entry> = entries.map(|entry| (entry.key.clone(), entry)).collect();
        Ok(by_key.into_values().collect())
    }

    async fn delete(&self, key: &Key) -> Result<(), Error> {
        self.local.delete(key).await?;
        self.s3.delete(key).await
    }

    async fn delete_prefix(&self, prefix: &Prefix) -> Result<(), Error> {
        self.local.delete_prefix(prefix).await?;
        self.s3.delete_prefix(prefix).await
    }

    async fn signed_url(
        &self,
        key: &Key,
        answer: &SignedAnswer,
        life: Duration,
    ) -> Result<Option<String>, Error> {
        // Where S3 is or was away, the object is here.
        if self.s3.has(key).await { self.s3.signed_url(key, answer, life).await } else { Ok(None) }
    }
}
