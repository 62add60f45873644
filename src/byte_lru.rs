//! A cache that evicts what was not used for longest, bounded by what its values weigh in bytes.

use std::hash::Hash;

use lru::LruCache;

/// What an entry weighs beside its value.
pub const ENTRY_BYTES: usize = 512;

pub struct ByteLru<K: Hash + Eq, V> {
    /// Values with their weight.
    by_key: LruCache<K, (V, usize)>,
    weight_bytes: usize,
    max_bytes: usize,
}

impl<K: Hash + Eq, V> ByteLru<K, V> {
    pub fn new(max_bytes: usize) -> Self {
        Self { by_key: LruCache::unbounded(), weight_bytes: 0, max_bytes }
    }

    /// Takes a value out.
    pub fn take(&mut self, key: &K) -> Option<V> {
        let (value, weight_bytes) = self.by_key.pop(key)?;
        self.weight_bytes -= weight_bytes;
        Some(value)
    }

    /// Puts a value in, and evicts others until all fit. A value that is too large by itself is not kept.
    pub fn put(&mut self, key: K, value: V, value_bytes: usize) {
        let weight_bytes = value_bytes + ENTRY_BYTES;
        self.weight_bytes += weight_bytes;
        if let Some((_, replaced_bytes)) = self.by_key.put(key, (value, weight_bytes)) {
            self.weight_bytes -= replaced_bytes;
        }
        while self.weight_bytes > self.max_bytes {
            let Some((_, (_, evicted_bytes))) = self.by_key.pop_lru() else { break };
            self.weight_bytes -= evicted_bytes;
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// What all entries weigh together.
    #[cfg(test)]
    pub(crate) fn weight_bytes(&self) -> usize {
        self.weight_bytes
    }
}
