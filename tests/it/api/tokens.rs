//! One table of session tokens, good and bad, as Clerk issues them and as attackers bend them.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reelstream::api::jwks::KeySet;
use reelstream::api::{Role, Verifier, auth};
use reelstream::config::AuthConfig;
use reelstream::dev::{Issuer, TokenSigner};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const PARTY: &str = "https://app.example.com";

fn verifier(issuer: &Issuer, jwks_url: &str) -> Verifier {
    let config = AuthConfig {
        issuer: issuer.url(),
        jwks_url: jwks_url.to_owned(),
        authorized_parties: vec![PARTY.into()],
    };
    Verifier::new(config).unwrap()
}

/// Claims as version 1 of Clerk's session tokens has them.
fn v1(issuer: &Issuer) -> Value {
    let now = Utc::now().timestamp();
    json!({
        "azp": PARTY, "exp": now + 60, "fva": [0, -1], "iat": now, "iss": issuer.url(), "nbf": now - 10,
        "sid": "sess_2abc", "sub": "user_2abc", "org_id": "org_1", "org_role": "org:admin", "org_slug": "acme",
        "public_metadata": { "role": "auditor" },
    })
}

/// The same in version 2.
fn v2(issuer: &Issuer) -> Value {
    let mut claims = v1(issuer);
    let fields = claims.as_object_mut().unwrap();
    for old in ["org_id", "org_role", "org_slug"] {
        fields.remove(old);
    }
    fields.extend([
        ("v".to_owned(), json!(2)),
        ("sts".to_owned(), json!("active")),
        ("pla".to_owned(), json!("u:pro")),
        ("fea".to_owned(), json!("u:videos")),
        ("jti".to_owned(), json!("b8d7f6a5")),
        (
            "o".to_owned(),
            json!({ "id": "org_1", "rol": "admin", "slg": "acme", "per": "manage", "fpm": "3" }),
        ),
    ]);
    claims
}

/// The claims with some of them changed; null removes one.
fn with(mut claims: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// A token by hand, with a signature of anything.
fn by_hand(header: &Value, claims: &Value, signature: &[u8]) -> String {
    format!("{}.{}.{}", encoded(header), encoded(claims), URL_SAFE_NO_PAD.encode(signature))
}

async fn published(issuer: &Issuer) -> Value {
    let set: Value = reqwest::get(jwks_url(issuer)).await.unwrap().json().await.unwrap();
    set["keys"][0].clone()
}

fn jwks_url(issuer: &Issuer) -> String {
    format!("{}/.well-known/jwks.json", issuer.url())
}

async fn id_and_role(verifier: &Verifier, token: &str) -> Result<(String, Role), String> {
    let verified = verifier.verify(Some(&format!("Bearer {token}"))).await;
    verified.map(|user| (user.id, user.role)).map_err(|error| error.to_string())
}

// 002-6.1, 002-6.3
#[tokio::test]
async fn tokens_of_both_versions_are_accepted() {
    let issuer = Issuer::start(CancellationToken::new()).await.unwrap();
    let verifier = verifier(&issuer, &jwks_url(&issuer));
    let now = Utc::now().timestamp();
    let user = |role: Role| Ok(("user_2abc".to_owned(), role));
    for (name, claims, expected) in [
        ("version 1", v1(&issuer), user(Role::Auditor)),
        ("version 2", v2(&issuer), user(Role::Auditor)),
        // Who acts for the user has the user's rights, and no more.
        (
            "impersonation",
            with(
                v2(&issuer),
                json!({ "act": { "sub": "user_admin", "iss": "https://dashboard.clerk.com" } }),
            ),
            user(Role::Auditor),
        ),
        ("no role", with(v2(&issuer), json!({ "public_metadata": {} })), user(Role::User)),
        ("no metadata", with(v2(&issuer), json!({ "public_metadata": null })), user(Role::User)),
        (
            "an unknown role",
            with(v2(&issuer), json!({ "public_metadata": { "role": "root" } })),
            user(Role::User),
        ),
        (
            "a role of an organization",
            with(v1(&issuer), json!({ "public_metadata": null, "org_role": "org:admin" })),
            user(Role::User),
        ),
        (
            "an audience of its own",
            with(v1(&issuer), json!({ "aud": "https://other.example.com" })),
            user(Role::Auditor),
        ),
        (
            "a clock that is 3 s ahead",
            with(v1(&issuer), json!({ "nbf": now + 3, "iat": now + 3 })),
            user(Role::Auditor),
        ),
        ("a clock that is 3 s behind", with(v1(&issuer), json!({ "exp": now - 3 })), user(Role::Auditor)),
    ] {
        let token = issuer.sign(&claims).unwrap();
        assert_eq!(id_and_role(&verifier, &token).await, expected, "{name}");
    }
}

// 002-6.1, 002-6.2
#[tokio::test]
async fn tokens_that_say_something_else_are_refused() {
    let issuer = Issuer::start(CancellationToken::new()).await.unwrap();
    let verifier = verifier(&issuer, &jwks_url(&issuer));
    let now = Utc::now().timestamp();
    for (name, changes, message) in [
        ("expired", json!({ "exp": now - 10 }), "the session token has expired"),
        ("not yet valid", json!({ "nbf": now + 10 }), "the session token is not valid yet"),
        ("another issuer", json!({ "iss": "https://clerk.example.com" }), "the session token is not valid"),
        ("no issuer", json!({ "iss": null }), "the session token is not valid"),
        ("no expiry", json!({ "exp": null }), "the session token is not valid"),
        ("an expiry that is no number", json!({ "exp": "never" }), "the session token is not valid"),
        ("no subject", json!({ "sub": null }), "the session token is not valid"),
        ("pending", json!({ "sts": "pending" }), "the session is pending: finish signing in"),
        (
            "another party",
            json!({ "azp": "https://evil.example.com" }),
            "the session token was issued to a party that is not authorized here, or names none",
        ),
        (
            "no party",
            json!({ "azp": null }),
            "the session token was issued to a party that is not authorized here, or names none",
        ),
    ] {
        for claims in [v1(&issuer), v2(&issuer)] {
            let token = issuer.sign(&with(claims, changes.clone())).unwrap();
            assert_eq!(id_and_role(&verifier, &token).await, Err(message.to_owned()), "{name}");
        }
    }
}

// 002-6.2
#[tokio::test]
async fn tokens_that_the_issuer_did_not_sign_are_refused() {
    let issuer = Issuer::start(CancellationToken::new()).await.unwrap();
    let stranger = Issuer::start(CancellationToken::new()).await.unwrap();
    let verifier = verifier(&issuer, &jwks_url(&issuer));
    let (key, claims) = (published(&issuer).await, v2(&issuer));
    let kid = key["kid"].as_str().unwrap();
    let good = issuer.sign(&claims).unwrap();
    assert!(id_and_role(&verifier, &good).await.is_ok());
    let parts: Vec<&str> = good.split('.').collect();
    let signature = URL_SAFE_NO_PAD.decode(parts[2]).unwrap();

    let hmac = |secret: &[u8]| {
        let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::HS256) };
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(secret)).unwrap()
    };
    let modulus = URL_SAFE_NO_PAD.decode(key["n"].as_str().unwrap()).unwrap();
    let pkcs8 =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &aws_lc_rs::rand::SystemRandom::new());
    let ec_header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::ES256) };
    let elliptic =
        jsonwebtoken::encode(&ec_header, &claims, &EncodingKey::from_ec_der(pkcs8.unwrap().as_ref()))
            .unwrap();
    let own_key =
        json!({ "alg": "RS256", "kid": kid, "jwk": published(&stranger).await, "jku": jwks_url(&stranger) });
    let theirs = stranger.sign(&claims).unwrap();
    let their_signature = URL_SAFE_NO_PAD.decode(theirs.rsplit('.').next().unwrap()).unwrap();
    let promoted = with(claims.clone(), json!({ "public_metadata": { "role": "admin" } }));
    let header = json!({ "alg": "RS256", "kid": kid, "typ": "JWT" });
    for (name, token) in [
        ("alg none", by_hand(&json!({ "alg": "none", "kid": kid }), &claims, b"")),
        ("alg None", by_hand(&json!({ "alg": "None", "kid": kid }), &claims, b"")),
        ("alg none with a signature", by_hand(&json!({ "alg": "none", "kid": kid }), &claims, &signature)),
        ("HS256 keyed with the modulus", hmac(&modulus)),
        ("HS256 keyed with the published key", hmac(key.to_string().as_bytes())),
        ("HS256 keyed with nothing", hmac(b"")),
        ("ES256", elliptic),
        ("RS384 by name", by_hand(&json!({ "alg": "RS384", "kid": kid }), &claims, &signature)),
        ("PS256 by name", by_hand(&json!({ "alg": "PS256", "kid": kid }), &claims, &signature)),
        ("a key of its own", by_hand(&own_key, &claims, &their_signature)),
        ("a stranger's signature", by_hand(&header, &claims, &their_signature)),
        ("a stranger's token", theirs),
        ("another role under the same signature", by_hand(&header, &promoted, &signature)),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        ("two parts", format!("{}.{}", parts[0], parts[1])),
        ("no kid", by_hand(&json!({ "alg": "RS256" }), &claims, &signature)),
        (
            "a kid that is a path",
            by_hand(&json!({ "alg": "RS256", "kid": "../../dev/null" }), &claims, &signature),
        ),
        ("a header that is no JSON", format!("AAAA.{}.{}", parts[1], parts[2])),
        ("nothing", String::new()),
        ("dots", "..".to_owned()),
        ("very long", "A".repeat(100_000)),
    ] {
        let refused = id_and_role(&verifier, &token).await;
        assert!(refused.is_err(), "{name}: {refused:?}");
    }
    assert!(id_and_role(&verifier, &good).await.is_ok());
}

/// Publishes a key set, and counts how often it is asked.
async fn counted(set: Value) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let (count, body) = (asked.clone(), set.to_string());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let _request = stream.read(&mut [0; 4096]).await;
            let head =
                format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
            let _client_may_have_left =
                stream.write_all([head.as_bytes(), body.as_bytes()].concat().as_slice()).await;
        }
    });
    (url, asked)
}

// 002-6.2
#[tokio::test]
async fn a_flood_of_unknown_keys_asks_the_issuer_seldom_and_holds_up_nobody() {
    let issuer = Issuer::start(CancellationToken::new()).await.unwrap();
    let (url, asked) = counted(json!({ "keys": [published(&issuer).await] })).await;
    let verifier = verifier(&issuer, &url);
    let good = issuer.sign(&v2(&issuer)).unwrap();
    assert!(id_and_role(&verifier, &good).await.is_ok());
    let began = std::time::Instant::now();
    for number in 0..500 {
        let unknown = by_hand(&json!({ "alg": "RS256", "kid": format!("ins_{number}") }), &v2(&issuer), b"x");
        let refused = id_and_role(&verifier, &unknown).await;
        assert_eq!(
            refused,
            Err("the session token is signed with a key that its issuer does not publish".to_owned())
        );
        assert!(number % 50 > 0 || id_and_role(&verifier, &good).await.is_ok());
    }
    let most = 2 + began.elapsed().as_secs() as usize / 2;
    assert!(asked.load(Ordering::SeqCst) <= most, "{} of {most}", asked.load(Ordering::SeqCst));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

const ISSUER: &str = "http://issuer.example.com";

fn signer() -> TokenSigner {
    TokenSigner::new(ISSUER, &TokenSigner::generate_key().unwrap()).unwrap()
}

/// A verifier that asks for keys several times a second.
async fn impatient(keys: watch::Receiver<Vec<Value>>) -> Verifier {
    let jwks_url = serve(keys).await;
    let ages = (Duration::from_millis(200), Duration::from_millis(10));
    let keys = KeySet::with_ages(jwks_url.clone(), ages.0, ages.1).unwrap();
    let config = AuthConfig { issuer: ISSUER.to_owned(), jwks_url, authorized_parties: vec![] };
    Verifier::new(config).unwrap().with_keys(keys)
}

/// Publishes a set of keys that changes.
async fn serve(keys: watch::Receiver<Vec<Value>>) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _request = stream.read(&mut [0; 4096]).await;
            let body = json!({ "keys": *keys.borrow() }).to_string();
            let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}", body.len());
            let _answered = stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await;
        }
    });
    url
}

/// Verifies again and again, for 20 s at most, and gives the first refusal.
async fn first_refusal(verifier: &Verifier, header: &str) -> auth::Error {
    let begun = Instant::now();
    loop {
        if let Err(error) = verifier.verify(Some(header)).await {
            return error;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "the token is accepted for ever");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

// 002-6.1
#[tokio::test]
async fn a_checked_token_is_refused_once_it_has_expired() {
    let signer = signer();
    let (_keys, told) = watch::channel(vec![signer.jwks["keys"][0].clone()]);
    let verifier = impatient(told).await;
    // Some of the leeway is gone already.
    let claims = signer.claims("user_1", "user", Duration::from_secs(1));
    let header = format!("Bearer {}", signer.sign(&claims).unwrap());
    assert_eq!(verifier.verify(Some(&header)).await.unwrap().id, "user_1");
    assert!(matches!(first_refusal(&verifier, &header).await, auth::Error::Expired));
}

// 002-6.2
#[tokio::test]
async fn a_checked_token_is_refused_once_its_key_is_withdrawn_or_replaced() {
    let (signer, other) = (signer(), self::signer());
    let claims = signer.claims("user_1", "user", Duration::from_mins(10));
    let header = format!("Bearer {}", signer.sign(&claims).unwrap());
    let own = signer.jwks["keys"][0].clone();
    let mut replaced = other.jwks["keys"][0].clone();
    replaced["kid"] = own["kid"].clone();
    for (keys_then, expected) in
        [(vec![], "does not publish"), (vec![replaced], "the session token is not valid")]
    {
        let (keys, told) = watch::channel(vec![own.clone()]);
        let verifier = impatient(told).await;
        for _ in 0..3 {
            assert_eq!(verifier.verify(Some(&header)).await.unwrap().id, "user_1");
        }
        keys.send_replace(keys_then);
        let refusal = first_refusal(&verifier, &header).await.to_string();
        assert!(refusal.contains(expected), "{refusal}");
    }
}

// 002-6.2
#[tokio::test]
async fn a_token_that_differs_from_a_checked_one_is_checked() {
    let signer = signer();
    let (_keys, told) = watch::channel(vec![signer.jwks["keys"][0].clone()]);
    let verifier = impatient(told).await;
    let token = signer.sign(&signer.claims("user_1", "user", Duration::from_mins(1))).unwrap();
    verifier.verify(Some(&format!("Bearer {token}"))).await.unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let admin = signer.sign(&signer.claims("user_1", "admin", Duration::from_mins(1))).unwrap();
    let (claims_of_admin, _) = admin.rsplit_once('.').unwrap();
    for forged in [format!("{claims_of_admin}.{signature}"), format!("{signed}."), format!("{signed}.AAAA")] {
        let refused = verifier.verify(Some(&format!("Bearer {forged}"))).await;
        assert!(matches!(refused, Err(auth::Error::Invalid(_))), "{forged}: {refused:?}");
    }
}
