//! Reuses earlier results. A cache that fails costs time, never a job.

use std::path::Path;

use crate::storage::Cache;
use crate::telemetry::chain;
use reel_studio::recipe::Recipe;

/// Copies a cached result to `file`; `false` when there is none.
pub(super) async fn copy_cached(cache: &Cache, recipe: &Recipe, file: &Path) -> bool {
    cache.copy_to(&recipe.digest(), file).await.unwrap_or_else(|error| {
        tracing::warn!(error = chain(&error), "a cached result cannot be read");
        false
    })
}

/// Adds a finished file to the cache.
pub(super) async fn cache_file(cache: &Cache, recipe: &Recipe, file: &Path) {
    if let Err(error) = cache.add(&recipe.digest(), file).await {
        tracing::warn!(error = chain(&error), "a result cannot be cached");
    }
}
