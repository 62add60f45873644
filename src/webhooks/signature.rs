//! Signatures of webhook messages: HMAC-SHA256 over `<id>.<timestamp>.<body>`, version `v1`.

use std::sync::Arc;

use aws_lc_rs::{hmac, rand};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const PREFIX: &str = "whsec_";
const VERSION: &str = "v1";
/// Bytes of a secret: the specification allows 24 to 64.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
const GENERATED_BYTES: usize = 32;
/// How far a message's timestamp may be from now.
pub const TOLERANCE_SECONDS: u64 = 300;
/// Signatures of one message that are looked at: it has one for each secret that is in use.
const MAX_SIGNATURES: usize = 16;

/// Why a message is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the message's timestamp is no number of seconds since 1970")]
    Timestamp,
    #[error("the message's timestamp is more than {TOLERANCE_SECONDS} s away from now")]
    Age,
    #[error("no signature of the message is valid")]
    Signature,
}

/// A secret that sender and receiver share. Cheap to clone.
#[derive(Clone)]
pub struct Secret(Arc<hmac::Key>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// Reads `whsec_` and 24 to 64 bytes in Base64; the prefix may be missing.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let bytes = STANDARD.decode(text.strip_prefix(PREFIX).unwrap_or(text)).ok()?;
        SECRET_BYTES.contains(&bytes.len()).then(|| Self(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &bytes))))
    }

    /// Returns a new secret, in the form that [`Self::parse`] reads; `None` when the system gives no random bytes.
    pub fn generate() -> Option<String> {
        let mut bytes = [0; GENERATED_BYTES];
        rand::fill(&mut bytes).ok()?;
        Some(format!("{PREFIX}{}", STANDARD.encode(bytes)))
    }

    /// Returns the value of the header `webhook-signature`.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let tag = hmac::sign(&self.0, &signed(id, &timestamp.to_string(), body));
        format!("{VERSION},{}", STANDARD.encode(tag))
    }

    /// Checks a message against the headers it came with. `now` is in seconds since 1970.
    pub fn verify(
        &self,
        id: &str,
        timestamp: &str,
        signatures: &str,
        body: &[u8],
        now: i64,
    ) -> Result<(), Refusal> {
        let sent: i64 = timestamp.parse().map_err(|_| Refusal::Timestamp)?;
        if now.abs_diff(sent) > TOLERANCE_SECONDS {
            return Err(Refusal::Age);
        }
        let signed = signed(id, timestamp, body);
        let tags = signatures.split(' ').take(MAX_SIGNATURES).filter_map(|signature| {
            let (version, tag) = signature.split_once(',')?;
            if version == VERSION { STANDARD.decode(tag).ok() } else { None }
        });
        // In constant time.
        let is_valid = |tag: Vec<u8>| hmac::verify(&self.0, &signed, &tag).is_ok();
        if tags.map(is_valid).fold(false, |any, valid| any | valid) {
            Ok(())
        } else {
            Err(Refusal::Signature)
        }
    }
}

fn signed(id: &str, timestamp: &str, body: &[u8]) -> Vec<u8> {
    [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
    const AT: i64 = 1_649_367_553;
    const BODY: &[u8] = br#"{"email":"test@example.com","username":"test_user"}"#;

    fn secret() -> Secret {
        Secret::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").unwrap()
    }

    /// The vector of the reference implementations of the specification.
    #[test]
    fn a_message_is_signed_as_the_reference_signs_it() {
        assert_eq!(secret().sign(ID, AT, BODY), "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
    }

    #[test]
    fn only_a_fresh_message_with_a_valid_signature_is_accepted() {
        let (secret, signature) = (secret(), secret().sign(ID, AT, BODY));
        let verify = |id: &str, at: &str, signatures: &str, body: &[u8], now| {
            secret.verify(id, at, signatures, body, now)
        };
        let at = AT.to_string();
        assert_eq!(verify(ID, &at, &signature, BODY, AT + 300), Ok(()));
        assert_eq!(verify(ID, &at, &format!("v1,AAAA v2,x {signature}"), BODY, AT - 300), Ok(()));
        assert_eq!(verify(ID, &at, &signature, BODY, AT + 301), Err(Refusal::Age));
        assert_eq!(verify(ID, &at, &signature, BODY, AT - 301), Err(Refusal::Age));
        for extreme in [i64::MIN, i64::MAX] {
            assert_eq!(verify(ID, &extreme.to_string(), &signature, BODY, AT), Err(Refusal::Age));
        }
        for timestamp in ["", "now", "1649367553.0", "99999999999999999999"] {
            assert_eq!(verify(ID, timestamp, &signature, BODY, AT), Err(Refusal::Timestamp), "{timestamp}");
        }
        let changed = [BODY, b" "].concat();
        assert_eq!(verify(ID, &at, &signature, &changed, AT), Err(Refusal::Signature));
        assert_eq!(verify("msg_other", &at, &signature, BODY, AT), Err(Refusal::Signature));
        assert_eq!(verify(ID, &(AT + 1).to_string(), &signature, BODY, AT), Err(Refusal::Signature));
        let many = vec!["v1,AAAA"; MAX_SIGNATURES].join(" ");
        for signatures in
            ["", "v1", "v1,", "v1,AAAA", &signature.replace("v1", "v2"), &format!("{many} {signature}")]
        {
            assert_eq!(verify(ID, &at, signatures, BODY, AT), Err(Refusal::Signature), "{signatures}");
        }
    }

    #[test]
    fn a_secret_has_24_to_64_bytes() {
        assert!(Secret::parse(&Secret::generate().unwrap()).is_some());
        let of_length = |bytes: usize| Secret::parse(&STANDARD.encode(vec![7; bytes])).is_some();
        assert_eq!([23, 24, 64, 65].map(of_length), [false, true, true, false]);
        assert!(Secret::parse("whsec_not base64").is_none() && Secret::parse("").is_none());
    }
}
