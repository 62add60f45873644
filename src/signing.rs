//! Ed25519 signatures over statements about the log (RFC 8032), with a key from the environment.

use std::sync::Arc;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

#[derive(Debug, thiserror::Error)]
#[error("a signing key must be 32 bytes in Base64; `openssl rand -base64 32` makes one")]
pub struct NotAKey;

/// Cheap to clone.
#[derive(Clone)]
pub struct SigningKey(Arc<Ed25519KeyPair>);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.key_id())
    }
}

impl SigningKey {
    /// From a seed of 32 bytes in Base64.
    pub fn parse(text: &str) -> Result<Self, NotAKey> {
        let seed = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| NotAKey)?);
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| NotAKey)?;
        Ok(Self(Arc::new(pair)))
    }

    /// In hex; what others need in order to verify.
    pub fn public_key(&self) -> String {
        to_hex(self.0.public_key().as_ref())
    }

    /// A short name of the public key.
    pub fn key_id(&self) -> String {
        key_id(&self.public_key())
    }

    /// In hex.
    pub fn sign(&self, statement: &str) -> String {
        to_hex(self.0.sign(statement.as_bytes()).as_ref())
    }
}

/// The first 16 digits of the BLAKE3 of a public key's hex form.
pub fn key_id(public_key: &str) -> String {
    blake3::hash(public_key.as_bytes()).to_hex()[..16].to_owned()
}

/// Whether the owner of the public key has signed the statement.
pub fn is_signed(public_key: &str, statement: &str, signature: &str) -> bool {
    let (Some(public_key), Some(signature)) = (from_hex(public_key), from_hex(signature)) else {
        return false;
    };
    UnparsedPublicKey::new(&ED25519, public_key).verify(statement.as_bytes(), &signature).is_ok()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_its_statement_and_key_alone() {
        let key = SigningKey::parse(&STANDARD.encode([1; 32])).unwrap();
        let other = SigningKey::parse(&STANDARD.encode([2; 32])).unwrap();
        let signature = key.sign("a");
        assert!(is_signed(&key.public_key(), "a", &signature));
        assert!(!is_signed(&key.public_key(), "b", &signature));
        assert!(!is_signed(&other.public_key(), "a", &signature));
        assert!(!is_signed("zz", "a", &signature) && !is_signed(&key.public_key(), "a", "é0"));
        assert_ne!(key.key_id(), other.key_id());
    }

    #[test]
    fn a_key_has_32_bytes() {
        assert!(SigningKey::parse("AAAA").is_err() && SigningKey::parse("no base64").is_err());
    }
}
