//! One hash over all events of a partition, in their order: each step is BLAKE3 over the hash before it and the next
//! event's own hash. Whoever rewrites an event, even with its whole history, gets another hash from there on.

use super::CHAIN_START;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Sequence number of the last event in it; 0 at the beginning.
    pub seq: u64,
    /// In hex.
    pub hash: String,
}

impl Default for Chain {
    fn default() -> Self {
        Self { seq: 0, hash: CHAIN_START.to_owned() }
    }
}

impl Chain {
    /// Goes on to the next event, by its hash.
    pub fn extend(&mut self, event_hash: &str) {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.hash.as_bytes()).update(event_hash.as_bytes());
        self.hash = hasher.finalize().to_hex().to_string();
        self.seq += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(hashes: &[&str]) -> Chain {
        let mut chain = Chain::default();
        hashes.iter().for_each(|hash| chain.extend(hash));
        chain
    }

    #[test]
    fn every_event_and_their_order_count() {
        assert_eq!(chain(&["a", "b"]), chain(&["a", "b"]));
        assert_eq!(chain(&["a", "b"]).seq, 2);
        for other in [&["b", "a"][..], &["a"], &["a", "c"], &["a", "b", "b"]] {
            assert_ne!(chain(&["a", "b"]).hash, chain(other).hash, "{other:?}");
        }
    }
}
