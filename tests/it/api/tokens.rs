//! Session tokens: the whole list of them (`token_list`), floods, and tokens whose key or time ends.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reelstream::api::jwks::KeySet;
use reelstream::api::{Role, Verifier, auth};
use reelstream::config::AuthConfig;
use reelstream::dev::{Issuer, TokenSigner};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::watch;

use super::token_list::{self, Case, PARTY, Signers, USER, by_hand};

fn verifier(issuer: &Issuer, jwks_url: &str) -> Verifier {
    let config = AuthConfig {
        issuer: issuer.url(),
        jwks_url: jwks_url.to_owned(),
        authorized_parties: vec![PARTY.into()],
    };
    Verifier::new(config).unwrap()
}

async fn id_and_role(verifier: &Verifier, token: &str) -> Result<(String, Role), String> {
    let verified = verifier.verify(Some(&format!("Bearer {token}"))).await;
    verified.map(|user| (user.id, user.role)).map_err(|error| error.to_string())
}

// 002-6.1, 002-6.2, 002-6.3
#[tokio::test]
async fn every_token_of_the_list_gets_its_verdict() {
    let signers = Signers::start().await;
    let verifier = verifier(&signers.issuer, &signers.jwks_url());
    for Case { name, token, verdict, .. } in token_list::all(&signers).await {
        let expected = verdict.map(|role| (USER.to_owned(), role)).map_err(str::to_owned);
        assert_eq!(id_and_role(&verifier, &token).await, expected, "{name}");
    }
    let good = signers.sign(&signers.v2());
    assert!(id_and_role(&verifier, &good).await.is_ok(), "after all the others");
}

/// Returns the verdicts of Clerk's own package, which fetches the key from a server of this test.
async fn clerks_verdicts(key: Value, tokens: &[&str]) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clerk");
    assert!(
        folder.join("node_modules/@clerk/backend").is_dir(),
        "@clerk/backend is not installed: run ./scripts/tools"
    );
    let (url, _asked) = counted(json!({ "keys": [key] })).await;
    let origin = url.strip_suffix("/jwks.json").unwrap();
    let input = json!({ "apiUrl": origin, "authorizedParties": [PARTY], "tokens": tokens });
    let mut node = Command::new("node")
        .arg("verify.mjs")
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    node.stdin.take().unwrap().write_all(input.to_string().as_bytes()).await.unwrap();
    let output = tokio::time::timeout(Duration::from_secs(60), node.wait_with_output()).await;
    let output = output.expect("it ends").unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

// 002-6.1, 002-6.2
#[tokio::test]
async fn clerks_own_package_agrees_on_every_token_but_those_with_a_named_difference() {
    let signers = Signers::start().await;
    let cases = token_list::all(&signers).await;
    let tokens: Vec<&str> = cases.iter().map(|case| case.token.as_str()).collect();
    let verdicts = clerks_verdicts(signers.published_key().await, &tokens).await;
    assert_eq!(verdicts.len(), cases.len());
    for (Case { name, verdict, accepted_by_clerk, .. }, theirs) in cases.iter().zip(verdicts) {
        let is_accepted = verdict.is_ok() || accepted_by_clerk.is_some();
        assert_eq!(theirs["user"] == USER, is_accepted, "{name}: ours {verdict:?}, theirs {theirs}");
        // A refusal is a verdict on the token, never a failure to reach the keys.
        let reason = theirs["refusal"].as_str().unwrap_or_default();
        let is_verdict = !["failed-to-load", "fetch failed"].iter().any(|failure| reason.contains(failure));
        assert!(is_verdict, "{name}: {theirs}");
    }
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
    let signers = Signers::start().await;
    let (url, asked) = counted(json!({ "keys": [signers.published_key().await] })).await;
    let verifier = verifier(&signers.issuer, &url);
    let good = signers.sign(&signers.v2());
    assert!(id_and_role(&verifier, &good).await.is_ok());
    let began = std::time::Instant::now();
    for number in 0..500 {
        let unknown =
            by_hand(&json!({ "alg": "RS256", "kid": format!("ins_{number}") }), &signers.v2(), b"x");
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
