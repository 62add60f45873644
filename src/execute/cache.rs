//! Caches recently folded states, so that the next command need not load the history.
//!
//! A cached state may be stale. That costs a load, never a wrong event: an append checks the version.

use std::any::Any;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::byte_lru::ByteLru;
use crate::ids::AggregateId;

type States = ByteLru<AggregateId, Box<dyn Any + Send>>;

/// A cache bounded by the size of its states, which may hold a request of some MB, or hardly anything.
pub(super) struct StateCache(Mutex<States>);

impl StateCache {
    pub fn new(max_bytes: usize) -> Self {
        Self(Mutex::new(ByteLru::new(max_bytes)))
    }

    /// Removes a state and returns it, so that a command changes the only copy.
    pub fn take<T: Any>(&self, id: AggregateId) -> Option<T> {
        let state = self.states().take(&id)?;
        state.downcast().ok().map(|state| *state)
    }

    pub fn put<T: Any + Send>(&self, id: AggregateId, state: T, weight_bytes: usize) {
        self.states().put(id, Box::new(state), weight_bytes);
    }

    fn states(&self) -> MutexGuard<'_, States> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::JobId;

    fn cached(cache: &StateCache) -> (usize, usize) {
        let states = cache.states();
        (states.len(), states.weight_bytes())
    }

    // H5
    #[test]
    fn large_states_push_others_out_and_never_more_is_kept_than_fits() {
        let cache = StateCache::new(1 << 20);
        let ids: Vec<_> = (0..100).map(|_| JobId::new().aggregate()).collect();
        for id in &ids {
            cache.put(*id, "small".to_owned(), 1000);
        }
        assert_eq!(cached(&cache).0, 100);
        for (number, id) in ids.iter().enumerate().take(10) {
            cache.put(*id, format!("large {number}"), 300 << 10);
            assert!(cached(&cache).1 <= 1 << 20);
        }
        assert_eq!(cached(&cache).0, 3, "of 300 KiB each");
        assert_eq!(cache.take::<String>(ids[9]).as_deref(), Some("large 9"));
        assert_eq!(cache.take::<String>(ids[9]), None, "it is taken out");
        assert_eq!(cache.take::<String>(ids[0]), None, "evicted");
        cache.put(ids[0], "huge".to_owned(), 2 << 20);
        assert_eq!(cached(&cache), (0, 0), "what does not fit at all is not kept");
    }

    #[test]
    fn a_state_is_replaced_not_added() {
        let cache = StateCache::new(1 << 20);
        let id = JobId::new().aggregate();
        for _ in 0..10 {
            cache.put(id, 1_u32, 1000);
        }
        assert_eq!(cached(&cache), (1, 1000 + crate::byte_lru::ENTRY_BYTES));
    }
}
