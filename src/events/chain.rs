//! The hash chain of a partition: each link is BLAKE3 over the previous link and the next event's hash. A rewritten event,
//! even with its whole history, changes all links after it.

use super::CHAIN_START;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Sequence number of the last event; 0 at the beginning.
    pub seq: u64,
    /// The last link, in hex.
    pub hash: String,
}

impl Default for Chain {
    fn default() -> Self {
        Self { seq: 0, hash: CHAIN_START.to_owned() }
    }
}

impl Chain {
    /// Adds the hash of the next event.
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
