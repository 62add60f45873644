//! Results that were made before. A cache that fails costs time, never a job.

use std::path::Path;

use crate::storage::{Cache, Key};

/// Whether the result was there; it is now at `to`.
pub(super) fn fetched(cache: &Cache, key: &Key, to: &Path) -> bool {
    cache.fetch(key, to).unwrap_or_else(|error| {
        tracing::warn!(%error, "what was made before cannot be read");
        false
    })
}

pub(super) fn kept(cache: &Cache, key: &Key, file: &Path) {
    if let Err(error) = cache.keep(key, file) {
        tracing::warn!(%error, "what was made cannot be kept for later");
    }
}
