//! Session tokens whose signatures were checked. A client polls with one token for a minute, and its signature is checked
//! once.
//!
//! Invariants: a token counts as checked only with the keys that it was checked with. As soon as the issuer's keys are
//! fetched anew, it is checked again, so a withdrawn key is refused as soon as it would be without this store. At most
//! [`MAX_TOKENS`] are remembered, by hash: no token can be read out of this process's memory.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;
use tokio::time::Instant;

use super::auth::Claims;

/// About 400 bytes each.
const MAX_TOKENS: NonZeroUsize = NonZeroUsize::new(16_384).expect("not zero");

/// Cheap to clone; clones share the tokens.
#[derive(Clone)]
pub(super) struct CheckedTokens(Arc<Mutex<LruCache<blake3::Hash, CheckedToken>>>);

#[derive(Clone)]
pub(super) struct CheckedToken {
    pub claims: Arc<Claims>,
    /// The name of the key that signed it.
    pub kid: Arc<str>,
    /// When the keys were fetched that the token was checked with.
    pub keys_fetched: Instant,
}

impl CheckedTokens {
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(LruCache::new(MAX_TOKENS))))
    }

    pub fn find(&self, token: &str) -> Option<CheckedToken> {
        self.lock().get(&blake3::hash(token.as_bytes())).cloned()
    }

    pub fn add(&self, token: &str, checked: CheckedToken) {
        self.lock().put(blake3::hash(token.as_bytes()), checked);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, LruCache<blake3::Hash, CheckedToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
