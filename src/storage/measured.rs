//! A store whose operations are counted and timed.

use std::ops::{Deref, Range};
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;

use super::measure::{Operation, StoreName, add_bytes, counted, measured};
use super::store::SignedAnswer;
use super::{ByteStream, Content, Entry, Error, Head, Key, Mode, OnBytes, Prefix, Store, Stored};

#[derive(Debug, Clone)]
pub struct Measured<S>(pub S);

impl<S> Deref for Measured<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.0
    }
}

#[async_trait]
impl<S: Store> Store for Measured<S> {
    fn name(&self) -> StoreName {
        self.0.name()
    }

    async fn put(
        &self,
        key: &Key,
        content: Content,
        mode: Mode,
        on_bytes: OnBytes<'_>,
    ) -> Result<Stored, Error> {
        let put = self.0.put(key, content, mode, on_bytes);
        let stored = measured(self.name(), Operation::Put, put).await?;
        add_bytes(self.name(), Operation::Put, stored.bytes);
        Ok(stored)
    }

    async fn head(&self, key: &Key) -> Result<Option<Head>, Error> {
        measured(self.name(), Operation::Head, self.0.head(key)).await
    }

    async fn content_hash(&self, key: &Key) -> Result<Option<String>, Error> {
        measured(self.name(), Operation::Hash, self.0.content_hash(key)).await
    }

    async fn read(&self, key: &Key, range: Range<u64>) -> Result<Option<ByteStream>, Error> {
        let stream = measured(self.name(), Operation::Get, self.0.read(key, range)).await?;
        Ok(stream.map(|stream| counted(self.name(), stream)))
    }

    async fn copy_to(&self, key: &Key, file: &Path) -> Result<bool, Error> {
        let is_found = measured(self.name(), Operation::Copy, self.0.copy_to(key, file)).await?;
        if is_found && let Ok(copy) = tokio::fs::metadata(file).await {
            add_bytes(self.name(), Operation::Copy, copy.len());
        }
        Ok(is_found)
    }

    async fn list(&self, prefix: &Prefix) -> Result<Vec<Entry>, Error> {
        measured(self.name(), Operation::List, self.0.list(prefix)).await
    }

    async fn delete(&self, key: &Key) -> Result<(), Error> {
        measured(self.name(), Operation::Delete, self.0.delete(key)).await
    }

    async fn delete_prefix(&self, prefix: &Prefix) -> Result<(), Error> {
        measured(self.name(), Operation::Delete, self.0.delete_prefix(prefix)).await
    }

    async fn signed_url(
        &self,
        key: &Key,
        answer: &SignedAnswer,
        life: Duration,
    ) -> Result<Option<String>, Error> {
        self.0.signed_url(key, answer, life).await
    }
}
