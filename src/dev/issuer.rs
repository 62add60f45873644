//! A session-token issuer for development: a real RSA key pair, a real JWKS, on loopback only.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::Utc;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use salvo::conn::TcpListener;
use salvo::prelude::*;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";

/// What a development token says; tests bend it.
#[derive(Debug, Clone, Serialize)]
pub struct TokenClaims {
    pub iss: String,
    pub sub: String,
    pub sid: String,
    pub iat: i64,
    pub nbf: i64,
    pub exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub azp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sts: Option<String>,
    pub public_metadata: serde_json::Value,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no RSA key could be made")]
    Key,
    #[error("it is not an RSA key in PEM (PKCS #8)")]
    NoKey,
    #[error("the key cannot sign")]
    Sign(#[from] jsonwebtoken::errors::Error),
    #[error("the issuer cannot listen on loopback")]
    Listen(#[source] salvo::Error),
}

/// The `iss` of tokens that are signed with the key of a data folder. The port of the issuer differs from run to run, so
/// it is no part of the name; tokens of one run are good in the next, and the key keeps those of other folders out.
pub const KEPT_ISSUER: &str = "http://issuer.reel.localhost";

/// Signs session tokens. Needs no server.
pub struct TokenSigner {
    issuer: String,
    kid: String,
    key: EncodingKey,
    /// The public half (RFC 7517).
    pub jwks: serde_json::Value,
}

impl TokenSigner {
    /// Makes a private key, as PEM.
    pub fn generate_key() -> Result<String, Error> {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| Error::Key)?;
        let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| Error::Key)?;
        Ok(format!("{PEM_BEGIN}\n{}\n{PEM_END}\n", STANDARD.encode(der.as_ref())))
    }

    /// Signs with a key of [`Self::generate_key`]. The `kid` follows from the key.
    pub fn new(issuer: impl Into<String>, pem: &str) -> Result<Self, Error> {
        let body = pem.trim().strip_prefix(PEM_BEGIN).and_then(|rest| rest.strip_suffix(PEM_END));
        let body: String = body.ok_or(Error::NoKey)?.split_whitespace().collect();
        let der = STANDARD.decode(body).map_err(|_| Error::NoKey)?;
        let pair = KeyPair::from_pkcs8(&der).map_err(|_| Error::NoKey)?;
        let public = pair.public_key();
        let modulus = public.modulus();
        let modulus = modulus.big_endian_without_leading_zero();
        let kid = format!("dev_{}", &blake3::hash(modulus).to_hex()[..32]);
        let member = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let jwks = serde_json::json!({ "keys": [{
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid,
            "n": member(modulus),
            "e": member(public.exponent().big_endian_without_leading_zero()),
        }]});
        Ok(Self { issuer: issuer.into(), kid, key: EncodingKey::from_rsa_pem(pem.as_bytes())?, jwks })
    }

    /// Claims of a good token for `user`, valid for `lifetime` from now.
    pub fn claims(&self, user: &str, role: &str, lifetime: Duration) -> TokenClaims {
        let now = Utc::now().timestamp();
        TokenClaims {
            iss: self.issuer.clone(),
            sub: user.to_owned(),
            sid: format!("sess_{}", Uuid::now_v7().simple()),
            iat: now,
            nbf: now,
            exp: now + lifetime.as_secs() as i64,
            azp: None,
            sts: None,
            public_metadata: serde_json::json!({ "role": role }),
        }
    }

    /// Signs [`TokenClaims`], or whatever else a test wants to be signed.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, Error> {
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(Algorithm::RS256) };
        Ok(jsonwebtoken::encode(&header, claims, &self.key)?)
    }
}

/// Publishes a signer's key until its token is cancelled.
pub struct Issuer {
    address: SocketAddr,
    signer: TokenSigner,
}

impl Issuer {
    /// Makes a key pair and publishes its public half at `<url>/.well-known/jwks.json`. Its name is its address.
    pub async fn start(stop: CancellationToken) -> Result<Self, Error> {
        Self::start_with(&TokenSigner::generate_key()?, None, stop).await
    }

    /// The same with a key in PEM, and a name that does not change with the port.
    pub async fn start_with(pem: &str, name: Option<&str>, stop: CancellationToken) -> Result<Self, Error> {
        let acceptor = TcpListener::new((Ipv4Addr::LOCALHOST, 0)).try_bind().await.map_err(Error::Listen)?;
        let address = acceptor.local_addr().map_err(|error| Error::Listen(error.into()))?;
        let signer = TokenSigner::new(name.map_or_else(|| url_of(address), str::to_owned), pem)?;
        let server = Server::new(acceptor);
        let handle = server.handle();
        let router = Router::with_path(".well-known/jwks.json").get(PublishedKeys(signer.jwks.clone()));
        tokio::spawn(async move { server.serve(router).await });
        tokio::spawn(async move {
            stop.cancelled().await;
            handle.stop_graceful(Duration::ZERO);
        });
        Ok(Self { address, signer })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        url_of(self.address)
    }

    /// The `iss` of its tokens.
    pub fn name(&self) -> &str {
        &self.signer.issuer
    }

    /// Claims of a good token for `user`, valid for `lifetime` from now.
    pub fn claims(&self, user: &str, role: &str, lifetime: Duration) -> TokenClaims {
        self.signer.claims(user, role, lifetime)
    }

    pub fn sign(&self, claims: &impl Serialize) -> Result<String, Error> {
        self.signer.sign(claims)
    }
}

fn url_of(address: SocketAddr) -> String {
    format!("http://{address}")
}

struct PublishedKeys(serde_json::Value);

#[handler]
impl PublishedKeys {
    async fn handle(&self, res: &mut Response) {
        res.render(Json(self.0.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_read_back_has_the_same_kid() {
        let pem = TokenSigner::generate_key().unwrap();
        let (first, again) = (TokenSigner::new("a", &pem).unwrap(), TokenSigner::new("b", &pem).unwrap());
        assert_eq!(first.jwks, again.jwks);
        assert_eq!(first.jwks["keys"][0]["kid"], first.kid.as_str());
        let other = TokenSigner::new("a", &TokenSigner::generate_key().unwrap()).unwrap();
        assert_ne!(first.kid, other.kid);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let cut = |pem: String| pem[..pem.len() / 2].to_owned();
        let pem = TokenSigner::generate_key().unwrap();
        for text in [String::new(), "x".repeat(100), cut(pem), format!("{PEM_BEGIN}\nAAAA\n{PEM_END}")] {
            assert!(matches!(TokenSigner::new("a", &text), Err(Error::NoKey)), "{text}");
        }
    }
}
