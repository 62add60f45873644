//! The one list of session tokens, good and bad: as Clerk issues them and as attackers bend them. Our verifier is tested with
//! it, and Clerk's own package.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reelstream::api::Role;
use reelstream::dev::{Issuer, TokenSigner};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// The only party that tokens may be issued to.
pub const PARTY: &str = "https://app.example.com";
/// The user of all tokens.
pub const USER: &str = "user_2abc";

/// A session token and the verdict on it.
pub struct Case {
    pub name: String,
    pub token: String,
    /// The user's role, or the message of the refusal.
    pub verdict: Result<Role, &'static str>,
    /// Set when Clerk's package accepts the token that we refuse: the reason.
    pub accepted_by_clerk: Option<&'static str>,
}

/// An issuer with a key that tests can sign other tokens with.
pub struct Signers {
    pub issuer: Issuer,
    pem: String,
    stranger: TokenSigner,
}

impl Signers {
    pub async fn start() -> Self {
        let pem = TokenSigner::generate_key().unwrap();
        let issuer = Issuer::start_with(&pem, None, CancellationToken::new()).await.unwrap();
        let stranger = TokenSigner::new(issuer.url(), &TokenSigner::generate_key().unwrap()).unwrap();
        Self { issuer, pem, stranger }
    }

    /// The key that the issuer publishes.
    pub async fn published_key(&self) -> Value {
        let set: Value = reqwest::get(self.jwks_url()).await.unwrap().json().await.unwrap();
        set["keys"][0].clone()
    }

    pub fn jwks_url(&self) -> String {
        format!("{}/.well-known/jwks.json", self.issuer.url())
    }

    /// A good token.
    pub fn sign(&self, claims: &Value) -> String {
        self.issuer.sign(claims).unwrap()
    }

    /// A token with another header, signed with the issuer's key.
    fn sign_with(&self, header: &Header, claims: &Value) -> String {
        let key = EncodingKey::from_rsa_pem(self.pem.as_bytes()).unwrap();
        jsonwebtoken::encode(header, claims, &key).unwrap()
    }

    /// Claims as version 1 of Clerk's session tokens has them.
    fn v1(&self) -> Value {
        let now = Utc::now().timestamp();
        json!({
            "azp": PARTY, "exp": now + 60, "fva": [0, -1], "iat": now, "iss": self.issuer.url(), "nbf": now - 10,
            "sid": "sess_2abc", "sub": USER, "org_id": "org_1", "org_role": "org:admin", "org_slug": "acme",
            "public_metadata": { "role": "auditor" },
        })
    }

    /// The same in version 2.
    pub fn v2(&self) -> Value {
        let mut claims = self.v1();
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
}

/// The claims with some of them changed; null removes one.
fn with(mut claims: Value, changes: &Value) -> Value {
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
pub fn by_hand(header: &Value, claims: &Value, signature: &[u8]) -> String {
    format!("{}.{}.{}", encoded(header), encoded(claims), URL_SAFE_NO_PAD.encode(signature))
}

/// The whole list.
pub async fn all(signers: &Signers) -> Vec<Case> {
    let mut cases = accepted(signers);
    cases.extend(refused_for_claims(signers));
    cases.extend(refused_for_header(signers));
    cases.extend(forged(signers).await);
    cases
}

fn accepted(signers: &Signers) -> Vec<Case> {
    let (v1, v2, now) = (signers.v1(), signers.v2(), Utc::now().timestamp());
    let actor = json!({ "act": { "sub": "user_admin", "iss": "https://dashboard.clerk.com" } });
    let cases = [
        ("version 1", v1.clone(), Role::Auditor),
        ("version 2", v2.clone(), Role::Auditor),
        // Who acts for the user has the user's rights, and no more.
        ("impersonation", with(v2.clone(), &actor), Role::Auditor),
        ("no role", with(v2.clone(), &json!({ "public_metadata": {} })), Role::User),
        ("no metadata", with(v2.clone(), &json!({ "public_metadata": null })), Role::User),
        ("an unknown role", with(v2, &json!({ "public_metadata": { "role": "root" } })), Role::User),
        (
            "a role of an organization",
            with(v1.clone(), &json!({ "public_metadata": null, "org_role": "org:admin" })),
            Role::User,
        ),
        (
            "an audience of its own",
            with(v1.clone(), &json!({ "aud": "https://other.example.com" })),
            Role::Auditor,
        ),
        (
            "a clock that is 3 s ahead",
            with(v1.clone(), &json!({ "nbf": now + 3, "iat": now + 3 })),
            Role::Auditor,
        ),
        ("a clock that is 3 s behind", with(v1.clone(), &json!({ "exp": now - 3 })), Role::Auditor),
        ("a fraction of a second", with(v1.clone(), &json!({ "exp": now as f64 + 60.5 })), Role::Auditor),
        ("no time of issue", with(v1, &json!({ "iat": null, "nbf": null })), Role::Auditor),
    ];
    let case = |(name, claims, role): (&str, Value, Role)| Case {
        name: name.to_owned(),
        token: signers.sign(&claims),
        verdict: Ok(role),
        accepted_by_clerk: None,
    };
    cases.into_iter().map(case).collect()
}

const INVALID: &str = "the session token is not valid";
const NOT_YET_VALID: &str = "the session token is not valid yet";
const OTHER_PARTY: &str =
    "the session token was issued to a party that is not authorized here, or names none";
/// Checks of ours that the package leaves out.
const NO_ISSUER_CHECK: Option<&str> = Some("it takes whoever has the key for the issuer");
const NO_PARTY_NEEDED: Option<&str> = Some("it lets a token that names no party through");
const PENDING_LATER: Option<&str> = Some("it treats pending sessions as signed out later, in `toAuth`");

fn refused_for_claims(signers: &Signers) -> Vec<Case> {
    let now = Utc::now().timestamp();
    let cases = [
        ("expired", json!({ "exp": now - 10 }), "the session token has expired", None),
        ("not yet valid", json!({ "nbf": now + 60 }), NOT_YET_VALID, None),
        ("issued in the future", json!({ "iat": now + 60 }), NOT_YET_VALID, None),
        ("another issuer", json!({ "iss": "https://clerk.example.com" }), INVALID, NO_ISSUER_CHECK),
        ("no issuer", json!({ "iss": null }), INVALID, NO_ISSUER_CHECK),
        ("no expiry", json!({ "exp": null }), INVALID, None),
        ("an expiry that is no number", json!({ "exp": "never" }), INVALID, None),
        ("a time of issue that is no number", json!({ "iat": "now" }), INVALID, None),
        ("a begin that is no number", json!({ "nbf": "now" }), INVALID, None),
        ("no subject", json!({ "sub": null }), INVALID, None),
        ("an empty subject", json!({ "sub": "" }), INVALID, None),
        ("pending", json!({ "sts": "pending" }), "the session is pending: finish signing in", PENDING_LATER),
        ("another party", json!({ "azp": "https://evil.example.com" }), OTHER_PARTY, None),
        (
            "a party that begins like ours",
            json!({ "azp": "https://app.example.com.evil" }),
            OTHER_PARTY,
            None,
        ),
        ("no party", json!({ "azp": null }), OTHER_PARTY, NO_PARTY_NEEDED),
        ("an empty party", json!({ "azp": "" }), OTHER_PARTY, NO_PARTY_NEEDED),
    ];
    let versions = [("version 1", signers.v1()), ("version 2", signers.v2())];
    let case = |(name, changes, message, accepted_by_clerk): (&str, Value, _, _)| {
        versions.clone().map(|(version, claims)| Case {
            name: format!("{name}, {version}"),
            token: signers.sign(&with(claims, &changes)),
            verdict: Err(message),
            accepted_by_clerk,
        })
    };
    cases.into_iter().flat_map(case).collect()
}

/// Tokens that the issuer's key signed, and that are no session tokens.
fn refused_for_header(signers: &Signers) -> Vec<Case> {
    let kid = TokenSigner::new("", &signers.pem).unwrap().jwks["keys"][0]["kid"].as_str().map(str::to_owned);
    let header = |algorithm| Header { kid: kid.clone(), ..Header::new(algorithm) };
    let access_token = Header { typ: Some("at+jwt".to_owned()), ..header(Algorithm::RS256) };
    let cases = [
        ("an access token of OAuth", access_token),
        ("RS384", header(Algorithm::RS384)),
        ("RS512", header(Algorithm::RS512)),
        ("PS256", header(Algorithm::PS256)),
    ];
    let case = |(name, header): (&str, Header)| Case {
        name: name.to_owned(),
        token: signers.sign_with(&header, &signers.v2()),
        verdict: Err(INVALID),
        accepted_by_clerk: None,
    };
    cases.into_iter().map(case).collect()
}

const UNKNOWN_KEY: &str = "the session token is signed with a key that its issuer does not publish";

/// Tokens that the issuer did not sign.
async fn forged(signers: &Signers) -> Vec<Case> {
    let (key, claims) = (signers.published_key().await, signers.v2());
    let stranger = &signers.stranger;
    let kid = key["kid"].as_str().unwrap();
    let good = signers.sign(&claims);
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
    let own_key = json!({
        "alg": "RS256", "kid": kid, "jwk": stranger.jwks["keys"][0], "jku": "http://127.0.0.1:1/jwks.json",
    });
    let theirs = stranger.sign(&claims).unwrap();
    let their_signature = URL_SAFE_NO_PAD.decode(theirs.rsplit('.').next().unwrap()).unwrap();
    let promoted = with(claims.clone(), &json!({ "public_metadata": { "role": "admin" } }));
    let header = json!({ "alg": "RS256", "kid": kid, "typ": "JWT" });
    let unknown = |kid: &str| by_hand(&json!({ "alg": "RS256", "kid": kid }), &claims, &signature);
    [
        ("alg none", by_hand(&json!({ "alg": "none", "kid": kid }), &claims, b""), INVALID),
        ("alg None", by_hand(&json!({ "alg": "None", "kid": kid }), &claims, b""), INVALID),
        (
            "alg none with a signature",
            by_hand(&json!({ "alg": "none", "kid": kid }), &claims, &signature),
            INVALID,
        ),
        ("HS256 keyed with the modulus", hmac(&modulus), INVALID),
        ("HS256 keyed with the published key", hmac(key.to_string().as_bytes()), INVALID),
        ("HS256 keyed with nothing", hmac(b""), INVALID),
        ("ES256", elliptic, INVALID),
        ("RS384 by name", by_hand(&json!({ "alg": "RS384", "kid": kid }), &claims, &signature), INVALID),
        ("PS256 by name", by_hand(&json!({ "alg": "PS256", "kid": kid }), &claims, &signature), INVALID),
        ("a key of its own", by_hand(&own_key, &claims, &their_signature), INVALID),
        ("a stranger's signature", by_hand(&header, &claims, &their_signature), INVALID),
        ("a stranger's token", theirs, UNKNOWN_KEY),
        ("another role under the same signature", by_hand(&header, &promoted, &signature), INVALID),
        ("no signature", format!("{}.{}.", parts[0], parts[1]), INVALID),
        ("two parts", format!("{}.{}", parts[0], parts[1]), INVALID),
        ("no kid", by_hand(&json!({ "alg": "RS256" }), &claims, &signature), UNKNOWN_KEY),
        ("an unknown kid", unknown("ins_unknown"), UNKNOWN_KEY),
        ("a kid that is a path", unknown("../../dev/null"), UNKNOWN_KEY),
        ("a header that is no JSON", format!("AAAA.{}.{}", parts[1], parts[2]), INVALID),
        ("nothing", String::new(), INVALID),
        ("dots", "..".to_owned(), INVALID),
        ("very long", "A".repeat(100_000), INVALID),
    ]
    .map(|(name, token, message)| Case {
        name: name.to_owned(),
        token,
        verdict: Err(message),
        accepted_by_clerk: None,
    })
    .into()
}
