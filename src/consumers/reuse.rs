//! Results of earlier work. A cache that fails costs time, never a job.

use std::path::Path;

use crate::storage::{Cache, Recipe};
use crate::telemetry::chain;

/// Puts a cached result at `to`; `false` when there is none.
pub(super) async fn copy_cached(cache: &Cache, recipe: &Recipe, to: &Path) -> bool {
    cache.copy_to(recipe, to).await.unwrap_or_else(|error| {
        tracing::warn!(error = chain(&error), "a cached result cannot be read");
        false
    })
}

/// Adds a finished file to the cache.
pub(super) async fn cache_file(cache: &Cache, recipe: &Recipe, file: &Path) {
    if let Err(error) = cache.add(recipe, file).await {
        tracing::warn!(error = chain(&error), "a result cannot be cached");
    }
}
