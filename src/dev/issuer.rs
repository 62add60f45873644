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
    #[error("the key cannot sign")]
    Sign(#[from] jsonwebtoken::errors::Error),
    #[error("the issuer cannot listen on loopback")]
    Listen(#[source] salvo::Error),
}

/// Runs until its token is cancelled.
pub struct Issuer {
    address: SocketAddr,
    kid: String,
    key: EncodingKey,
}

impl Issuer {
    /// Makes a key pair and publishes its public half at `<url>/.well-known/jwks.json`.
    pub async fn start(stop: CancellationToken) -> Result<Self, Error> {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| Error::Key)?;
        let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| Error::Key)?;
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(der.as_ref())
        );
        let key = EncodingKey::from_rsa_pem(pem.as_bytes())?;
        let kid = format!("dev_{}", Uuid::now_v7().simple());
        let public = pair.public_key();
        let member = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let jwks = serde_json::json!({ "keys": [{
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid,
            "n": member(public.modulus().big_endian_without_leading_zero()),
            "e": member(public.exponent().big_endian_without_leading_zero()),
        }]});
        let acceptor = TcpListener::new((Ipv4Addr::LOCALHOST, 0)).try_bind().await.map_err(Error::Listen)?;
        let address = acceptor.local_addr().map_err(|error| Error::Listen(error.into()))?;
        let server = Server::new(acceptor);
        let handle = server.handle();
        let router = Router::with_path(".well-known/jwks.json").get(PublishedKeys(jwks));
        tokio::spawn(async move { server.serve(router).await });
        tokio::spawn(async move {
            stop.cancelled().await;
            handle.stop_graceful(Duration::ZERO);
        });
        Ok(Self { address, kid, key })
    }

    /// The `iss` of its tokens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Claims of a good token for `user`, valid for `lifetime` from now.
    pub fn claims(&self, user: &str, role: &str, lifetime: Duration) -> TokenClaims {
        let now = Utc::now().timestamp();
        TokenClaims {
            iss: self.url(),
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

struct PublishedKeys(serde_json::Value);

#[handler]
impl PublishedKeys {
    async fn handle(&self, res: &mut Response) {
        res.render(Json(self.0.clone()));
    }
}
