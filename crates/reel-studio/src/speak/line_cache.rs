//! Speaks lines, and reuses those that were spoken before.

use tokio_util::sync::CancellationToken;

use crate::recipe::Recipe;
use crate::speak::timeline;
use crate::speak::voice::{self, SpokenLine, Voice};
use crate::threads::Stopped;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("a line cannot be spoken")]
    Voice(#[source] voice::Error),
    #[error("a spoken line cannot be written")]
    Write(#[from] timeline::Error),
    #[error("writing a spoken line stopped unexpectedly")]
    Stopped(#[from] Stopped),
}

/// Keeps spoken lines.
pub trait LineCache: Sync {
    /// Returns a line; `None` when it is not there or cannot be read.
    fn get(&self, recipe: &Recipe) -> impl Future<Output = Option<SpokenLine>> + Send;

    /// Adds a line, and returns it.
    fn put(
        &self,
        recipe: &Recipe,
        spoken: SpokenLine,
    ) -> impl Future<Output = Result<SpokenLine, Error>> + Send;
}

/// Returns the line from the cache, or speaks it and adds it to the cache.
pub async fn speak(
    voice: &Voice,
    line: &str,
    cache: &impl LineCache,
    cancel: &CancellationToken,
) -> Result<SpokenLine, Error> {
    let recipe = Recipe::line(voice, line);
    if let Some(spoken) = cache.get(&recipe).await {
        return Ok(spoken);
    }
    let spoken = voice::speak(voice, line, cancel).await.map_err(Error::Voice)?;
    cache.put(&recipe, spoken).await
}
