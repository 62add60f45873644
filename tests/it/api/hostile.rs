//! Findings of a security review about the HTTP API. Each test names its finding.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reelstream::api::auth;
use reelstream::app::Role;
use reelstream::config::AuthConfig;
use reelstream::dev::Issuer;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::harness::{ALL_ROLES, System, connect, error_of, eventually, short_request};

static API: [Role; 1] = [Role::Api];
static API_AND_PROJECTOR: [Role; 2] = [Role::Api, Role::Projector];

/// An issuer's key endpoint that answers what a test tells it to, and counts how often it is asked.
struct KeyServer {
    url: String,
    asked: Arc<AtomicUsize>,
    /// The body of the next answers; `None` accepts connections and never answers.
    body: watch::Sender<Option<String>>,
}

impl KeyServer {
    async fn start(body: Option<String>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let (body, told) = watch::channel(body);
        let count = asked.clone();
        tokio::spawn(async move {
            let mut open = vec![];
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let _request = stream.read(&mut [0; 4096]).await;
                let body = told.borrow().clone();
                if let Some(body) = body {
                    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
                    let answer = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                    let _client_may_have_left = stream.write_all(answer.as_bytes()).await;
                } else {
                    open.push(stream);
                }
            }
        });
        Self { url, asked, body }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn verifier(&self, issuer: &Issuer) -> auth::Verifier {
        let config =
            AuthConfig { issuer: issuer.url(), jwks_url: self.url.clone(), authorized_parties: vec![] };
        auth::Verifier::new(config).unwrap()
    }
}

async fn published(issuer: &Issuer) -> Value {
    reqwest::get(format!("{}/.well-known/jwks.json", issuer.url())).await.unwrap().json().await.unwrap()
}

fn header(issuer: &Issuer) -> String {
    format!("Bearer {}", issuer.sign(&issuer.claims("user_1", "user", Duration::from_secs(60))).unwrap())
}

// M3
#[tokio::test]
async fn keys_of_other_kinds_do_not_make_a_set_unreadable() {
    let issuer = Issuer::start(CancellationToken::new()).await.unwrap();
    let mut set = published(&issuer).await;
    let others = [
        json!({ "kty": "EC", "kid": "ec", "crv": "P-256", "x": "AA", "y": "AA" }),
        json!({ "kty": "OKP", "kid": "okp", "crv": "X25519", "x": "AA" }),
        json!({ "kty": "AKP", "kid": "future", "alg": "ML-DSA-44", "pub": "AA" }),
        json!({ "kty": "RSA", "kid": 7, "n": [], "e": null }),
        json!("not even an object"),
    ];
    set["keys"].as_array_mut().unwrap().splice(0..0, others);
    let server = KeyServer::start(Some(set.to_string())).await;
    let verifier = server.verifier(&issuer);
    assert_eq!(verifier.verify(Some(&header(&issuer))).await.unwrap().id, "user_1");
}

// M3
#[tokio::test]
async fn a_fetch_that_hangs_holds_up_nobody_whose_key_is_known() {
    let issuer = Issuer::start(CancellationToken::new()).await.unwrap();
    let stranger = Issuer::start(CancellationToken::new()).await.unwrap();
    let server = KeyServer::start(Some(published(&issuer).await.to_string())).await;
    let (verifier, good) = (server.verifier(&issuer), header(&issuer));
    verifier.verify(Some(&good)).await.unwrap();
    server.body.send_replace(None);
    let unknown = header(&stranger);
    let _asking = tokio::spawn({
        let verifier = verifier.clone();
        async move {
            loop {
                let _refused = verifier.verify(Some(&unknown)).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    });
    eventually("a fetch hangs", async || server.asked() == 2).await;
    let began = Instant::now();
    for _ in 0..20 {
        assert_eq!(verifier.verify(Some(&good)).await.unwrap().id, "user_1");
    }
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

// M3
#[tokio::test]
async fn clients_that_leave_do_not_make_the_issuer_be_asked_again() {
    let issuer = Issuer::start(CancellationToken::new()).await.unwrap();
    let server = KeyServer::start(None).await;
    let (verifier, header) = (server.verifier(&issuer), header(&issuer));
    for _ in 0..20 {
        let left = tokio::time::timeout(Duration::from_millis(30), verifier.verify(Some(&header))).await;
        assert!(left.is_err(), "the issuer never answers");
    }
    assert_eq!(server.asked(), 1);
}

// M3, 002-6.2
#[tokio::test]
async fn a_token_without_a_party_is_refused_where_parties_are_configured() {
    let system = System::start_with(&API, |config| config.auth.authorized_parties = vec!["app".into()]).await;
    let (status, error) = error_of(system.get("/api/v1/jobs").await).await;
    assert_eq!((status, error["error_code"].as_str()), (401, Some("UNAUTHORIZED")), "{error}");
    system.running.stop().await;
}

async fn redis_calls(system: &System, command: &str) -> u64 {
    let stats: String = redis::cmd("INFO")
        .arg("commandstats")
        .query_async(&mut connect(&system.servers.redis_url).await)
        .await
        .unwrap();
    let line = stats.lines().find(|line| line.starts_with(&format!("cmdstat_{command}:")));
    line.and_then(|line| line.split("calls=").nth(1)?.split(',').next()?.parse().ok()).unwrap_or(0)
}

// M7
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_health_checks_costs_one_examination_a_second() {
    let system = System::start(&API).await;
    assert_eq!(system.anonymous(Method::GET, "/api/v1/system/health").send().await.unwrap().status(), 200);
    let one = redis_calls(&system, "xlen").await;
    assert!(one > 0);
    let began = Instant::now();
    let mut flood = tokio::task::JoinSet::new();
    for number in 0..300 {
        let path = ["/api/v1/system/health", "/readyz", "/metrics"][number % 3];
        let request = system.anonymous(Method::GET, path);
        flood.spawn(async move { request.send().await.unwrap().status().as_u16() });
    }
    while let Some(status) = flood.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
    let most = one * (began.elapsed().as_secs() + 3);
    let calls = redis_calls(&system, "xlen").await;
    assert!(calls <= most, "{calls} calls, of which an examination makes {one}");
    system.running.stop().await;
}

// L3
#[test]
fn passwords_of_servers_are_in_no_message() {
    let run = |name: &str, value: &str| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_reel"))
            .args(["queues", "show"])
            .env("REDIS_URL", "redis://127.0.0.1:1")
            .env("DATABASE_URL", "postgres://127.0.0.1:1/reel")
            .env(name, value)
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    };
    for url in [
        "redis://user:s3cret@127.0.0.1:1",
        "redis://user:s3cret@127.0.0.1:1,127.0.0.1:2",
        "redis://:s3cret@127.0.0.1:nonsense",
        "http://user:s3cret@127.0.0.1",
    ] {
        let said = run("REDIS_URL", url);
        assert!(!said.contains("s3cret"), "{url}: {said}");
        assert!(said.to_lowercase().contains("redis"), "{url}: {said}");
    }
}

// L4, 002-8.1
#[tokio::test]
async fn queries_that_postgres_cannot_take_are_refused_with_all_that_is_wrong() {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let system = System::start(&API_AND_PROJECTOR).await;
    let job_id = system.generate(&short_request()).await;
    let cursor = |micros: i64| URL_SAFE_NO_PAD.encode(format!("{micros}:{}", uuid::Uuid::nil()));
    let (early, late) = (cursor(-8_000_000_000_000_000_000), cursor(8_000_000_000_000_000_000));
    let history = format!("/api/v1/jobs/{job_id}/events");
    let cases: Vec<(String, &[&str])> = vec![
        ("/api/v1/jobs?q=%00".into(), &["q"]),
        (format!("/api/v1/jobs?q={}", "x".repeat(3000)), &["q"]),
        (format!("/api/v1/jobs?cursor={early}"), &["cursor"]),
        (format!("/api/v1/jobs?cursor={late}"), &["cursor"]),
        ("/api/v1/jobs?page=18446744073709551615".into(), &["page"]),
        ("/api/v1/jobs?page=100000&items_per_page=100".into(), &["page"]),
        (
            "/api/v1/jobs?status=done&priority=-1&page=0&sort=x&created_after=now&q=%00&unknown=%00".into(),
            &["created_after", "page", "priority", "q", "sort", "status", "unknown"],
        ),
        (format!("{history}?from_version=18446744073709551615"), &["from_version"]),
        (format!("{history}?from_version=0&limit=1001"), &["from_version", "limit"]),
        (format!("/api/v1/jobs/{job_id}/logs?limit=0&offset=-1&level=x"), &["level", "limit", "offset"]),
        ("/api/v1/audit/events?actor=%00".into(), &["actor"]),
        ("/api/v1/audit/events?type=%00&from=x&to=9999999-01-01T00:00:00Z".into(), &["from", "to", "type"]),
        (format!("/api/v1/audit/events?cursor={early}"), &["cursor"]),
        (format!("/api/v1/audit/jobs/{job_id}/state?at_version=-1"), &["at_version"]),
        (format!("/api/v1/audit/jobs/{job_id}/state?at=%00"), &["at"]),
        (format!("/api/v1/videos/jobs/{job_id}/status?wait=-1"), &["wait"]),
        (format!("/api/v1/videos/jobs/{job_id}/thumbnail?size=%00"), &["size"]),
        (format!("/api/v1/videos/jobs/{job_id}/download?quality=%00&inline=maybe"), &["inline", "quality"]),
    ];
    for (path, wrong) in cases {
        let request = system.anonymous(Method::GET, &path).bearer_auth(system.token("boss", "admin"));
        let (status, error) = error_of(request.send().await.unwrap()).await;
        assert_eq!(
            (status, error["error_code"].as_str()),
            (422, Some("VALIDATION_ERROR")),
            "{path}: {error}"
        );
        let mut names: Vec<&str> = vec![];
        for detail in error["details"].as_array().unwrap() {
            assert_eq!(detail["loc"][0], "query", "{error}");
            names.push(detail["loc"][1].as_str().unwrap());
        }
        names.sort_unstable();
        assert_eq!(names, wrong, "{path}: {error}");
    }
    system.running.stop().await;
}

// L5
#[tokio::test]
async fn auditors_see_a_job_s_state_without_its_user_s_words_and_admins_with_them() {
    let system = System::start(&API_AND_PROJECTOR).await;
    let job_id = system.generate(&short_request()).await;
    let state = async |role: &str| -> Value {
        let path = format!("/api/v1/audit/jobs/{job_id}/state");
        let request = system.anonymous(Method::GET, &path).bearer_auth(system.token("someone", role));
        request.send().await.unwrap().json().await.unwrap()
    };
    let (auditor, admin) = (state("auditor").await, state("admin").await);
    assert_eq!(auditor["state"]["job"]["topic"], "[sealed]", "{auditor}");
    assert!(!auditor.to_string().contains("Ions"), "{auditor}");
    assert_eq!(admin["state"]["job"]["topic"], "Ions", "{admin}");
    assert_eq!(auditor["version"], admin["version"]);
    system.running.stop().await;
}

// L7
#[tokio::test]
async fn a_history_is_given_a_part_at_a_time() {
    let system = System::start(&ALL_ROLES).await;
    let job_id = system.generate(&short_request()).await;
    system.statuses_until_ended(&job_id, Duration::from_secs(100)).await;
    let all = system.events(&job_id).await;
    let (mut seen, mut from) = (vec![], 1);
    loop {
        let path = format!("/api/v1/jobs/{job_id}/events?limit=4&from_version={from}");
        let part: Value = system.get(&path).await.json().await.unwrap();
        assert_eq!(part["job_id"], job_id.as_str());
        let events = part["events"].as_array().unwrap();
        assert!(events.len() <= 4, "{} events", events.len());
        seen.extend(events.iter().cloned());
        match part["next_version"].as_u64() {
            Some(next) => from = next,
            None => break,
        }
    }
    assert!(all.len() > 8);
    assert_eq!(seen, all);
    let beyond: Value =
        system.get(&format!("/api/v1/jobs/{job_id}/events?from_version=900")).await.json().await.unwrap();
    assert_eq!((&beyond["events"], &beyond["next_version"]), (&json!([]), &Value::Null));
    system.running.stop().await;
}

// M5
#[tokio::test]
async fn words_in_a_request_id_stay_out_of_the_log() {
    let system = System::start(&API).await;
    let uuid = uuid::Uuid::new_v4().to_string();
    for (given, is_kept) in [("my-secret-words", false), (uuid.as_str(), true)] {
        let request = system.request(Method::POST, "/api/v1/videos/generate").header("X-Request-Id", given);
        let answer = request.json(&short_request()).send().await.unwrap();
        assert_eq!(answer.headers()["x-request-id"], given, "it is echoed");
        let body: Value = answer.json().await.unwrap();
        let events = system.events(body["job_id"].as_str().unwrap()).await;
        for event in &events {
            let correlation = event["correlation_id"].as_str().unwrap();
            assert_eq!(correlation == given, is_kept, "{event}");
            assert!(correlation.parse::<uuid::Uuid>().is_ok(), "{event}");
        }
    }
    system.running.stop().await;
}
