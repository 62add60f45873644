//! The HTTP contract: who may ask, what is refused and how, and what is answered.

use std::time::{Duration, Instant};

use reelstream::api::auth;
use reelstream::app::Role;
use reelstream::config::AuthConfig;
use reelstream::dev::{Issuer, PrivatePostgres, free_port};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::harness::{ALL_ROLES, System, error_of, eventually, folder, short_request};

static API: [Role; 1] = [Role::Api];
static API_AND_PROJECTOR: [Role; 2] = [Role::Api, Role::Projector];

const GENERATE: &str = "/api/v1/videos/generate";

fn status_path(job_id: &str) -> String {
    format!("/api/v1/videos/jobs/{job_id}/status")
}

// 002-6.1, 002-6.2, 002-6.3
#[tokio::test]
async fn only_valid_tokens_are_let_in() {
    let system = System::start_with(&API, |config| config.auth.authorized_parties = vec!["app".into()]).await;
    let stranger = Issuer::start(CancellationToken::new()).await.unwrap();
    let mut good = system.issuer.claims("user_1", "user", Duration::from_secs(60));
    good.azp = Some("app".into());
    let bent = |change: fn(&mut reelstream::dev::TokenClaims)| {
        let mut claims = good.clone();
        change(&mut claims);
        system.issuer.sign(&claims).unwrap()
    };
    let now = good.iat;
    let refused = [
        ("nothing", None),
        ("no token", Some("Bearer x".to_owned())),
        ("another scheme", Some("Basic dXNlcjpwYXNz".to_owned())),
        ("expired", Some(bent(|claims| claims.exp = claims.iat - 6))),
        ("not yet valid", Some(bent(|claims| claims.nbf = claims.iat + 60))),
        ("another issuer", Some(bent(|claims| claims.iss = "https://elsewhere".into()))),
        ("pending", Some(bent(|claims| claims.sts = Some("pending".into())))),
        ("another party", Some(bent(|claims| claims.azp = Some("other".into())))),
        ("no party", Some(bent(|claims| claims.azp = None))),
        ("another key", Some(stranger.sign(&good).unwrap())),
    ];
    for (what, token) in refused {
        let mut request = system.anonymous(Method::GET, &status_path("x"));
        if let Some(token) = token {
            let value = if token.contains(' ') { token } else { format!("Bearer {token}") };
            request = request.header("Authorization", value);
        }
        let answer = request.send().await.unwrap();
        assert!(answer.headers().contains_key("www-authenticate"), "{what}");
        let (status, error) = error_of(answer).await;
        assert_eq!((status, error["error_code"].as_str()), (401, Some("UNAUTHORIZED")), "{what}");
    }
    let accepted =
        [("good", bent(|_| {})), ("within the leeway", bent(|claims| claims.exp = claims.iat - 2))];
    for (what, token) in accepted {
        let answer =
            system.anonymous(Method::GET, &status_path("x")).bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{what}, at {now}");
    }
    system.running.stop().await;
}

// 002-2.5
#[tokio::test]
async fn unknown_and_foreign_jobs_look_the_same() {
    let system = System::start(&API).await;
    let job_id = system.generate(&short_request()).await;
    let stranger = system.token("user_2", "user");
    let unknown = uuid::Uuid::now_v7().to_string();
    for path in [
        "videos/jobs/{}/status",
        "videos/jobs/{}/download",
        "videos/jobs/{}/metadata",
        "videos/jobs/{}/thumbnail",
        "jobs/{}/events",
    ] {
        let mut answers = vec![];
        for id in [&job_id, &unknown, "not-a-uuid"] {
            let path = format!("/api/v1/{}", path.replace("{}", id));
            let answer = system.anonymous(Method::GET, &path).bearer_auth(&stranger).send().await.unwrap();
            let (status, error) = error_of(answer).await;
            answers.push((status, error["message"].clone()));
        }
        assert!(
            answers.iter().all(|answer| *answer == (404, json!("there is no such job"))),
            "{path}: {answers:?}"
        );
    }
    let admin =
        system.anonymous(Method::GET, &status_path(&job_id)).bearer_auth(system.token("boss", "admin"));
    assert_eq!(admin.send().await.unwrap().status(), 200);
    system.running.stop().await;
}

// 000-1.2, 000-1.4, 002-1.1, 002-1.4
#[tokio::test]
async fn a_request_is_answered_at_once_and_can_be_read_at_once() {
    let system = System::start(&API_AND_PROJECTOR).await;
    let began = Instant::now();
    let answer =
        system.post(GENERATE, &json!({"configuration": short_request(), "priority": "urgent"})).await;
    assert!(began.elapsed() < Duration::from_secs(2));
    assert_eq!(answer.status(), 201);
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    let body: Value = answer.json().await.unwrap();
    assert_eq!((&body["status"], &body["priority"]), (&json!("queued"), &json!("urgent")));
    assert_eq!(body["progress"]["percentage"], 0.0);
    assert!(body["created_at"].is_string() && body["estimated_completion"].is_string());
    let mut status: Value = system.get(&location).await.json().await.unwrap();
    for field in [
        "job_id",
        "status",
        "priority",
        "progress",
        "created_at",
        "estimated_completion",
        "batch_id",
        "user_id",
        "topic",
        "quality",
        "updated_at",
        "started_at",
        "completed_at",
        "video_id",
        "download_url",
        "error",
        "metrics",
        "video",
        "version",
    ] {
        assert!(status.get(field).is_some(), "{field} is missing: {status}");
    }
    let mut bare: Value = system.get(&location.replace("/api/v1", "")).await.json().await.unwrap();
    for answer in [&mut bare, &mut status] {
        // They change with the time, and nobody works on the job.
        answer["estimated_completion"].take();
        answer["progress"]["estimated_completion"].take();
    }
    assert_eq!(bare, status, "the same without /api/v1");
    system.running.stop().await;
}

// 002-8.1, 002-8.3
#[tokio::test]
async fn every_refusal_has_the_same_shape() {
    let system = System::start(&API).await;
    let raw = |body: &'static str, kind: &str| {
        system.request(Method::POST, GENERATE).header("Content-Type", kind).body(body)
    };
    let large = "x".repeat(3 << 20);
    let cases = [
        (system.request(Method::GET, "/api/v1/nowhere"), 404, "NOT_FOUND"),
        (system.request(Method::GET, GENERATE), 405, "METHOD_NOT_ALLOWED"),
        (raw("{", "application/json"), 400, "BAD_REQUEST"),
        (raw("", "application/json"), 400, "BAD_REQUEST"),
        (raw("topic=x", "application/x-www-form-urlencoded"), 415, "UNSUPPORTED_MEDIA_TYPE"),
        (raw("{}", "application/json; charset=utf-8"), 422, "VALIDATION_ERROR"),
        (system.request(Method::POST, GENERATE).json(&large), 413, "PAYLOAD_TOO_LARGE"),
        (system.request(Method::GET, &format!("{}?wait=31", status_path("x"))), 422, "VALIDATION_ERROR"),
    ];
    for (request, status, code) in cases {
        let request = request.header("X-Request-Id", "my-request").build().unwrap();
        let what = format!("{} {}", request.method(), request.url().path());
        let answer = reqwest::Client::new().execute(request).await.unwrap();
        assert_eq!(answer.headers()["x-request-id"], "my-request", "{what}");
        let (found, error) = error_of(answer).await;
        assert_eq!((found, error["error_code"].as_str()), (status, Some(code)), "{what}: {error}");
        assert_eq!(error["request_id"], "my-request");
    }
    system.running.stop().await;
}

#[tokio::test]
async fn a_repeated_request_gets_the_first_answer() {
    let system = System::start(&API).await;
    let send = async |key: &str, body: &Value| {
        system.request(Method::POST, GENERATE).header("Idempotency-Key", key).json(body).send().await.unwrap()
    };
    let first = send("key-1", &short_request()).await;
    assert!(!first.headers().contains_key("idempotent-replayed"));
    let first: Value = first.json().await.unwrap();
    let second = send("key-1", &short_request()).await;
    assert_eq!(second.status(), 201);
    assert_eq!(second.headers()["idempotent-replayed"], "true");
    assert_eq!(second.json::<Value>().await.unwrap(), first);

    let (status, error) = error_of(send("key-1", &json!({"topic": "Other", "script": "Other."})).await).await;
    assert_eq!((status, error["error_code"].as_str()), (422, Some("IDEMPOTENCY_KEY_REUSED")));
    let other: Value = send("key-2", &short_request()).await.json().await.unwrap();
    assert_ne!(other["job_id"], first["job_id"]);
    let too_long = send(&"k".repeat(256), &short_request()).await;
    assert_eq!(error_of(too_long).await.0, 400);
    system.running.stop().await;
}

#[tokio::test]
async fn requests_that_race_under_one_key_make_one_job() {
    let system = System::start(&API).await;
    let sends = (0..20).map(|_| {
        system.request(Method::POST, GENERATE).header("Idempotency-Key", "race").json(&short_request()).send()
    });
    let mut jobs = std::collections::BTreeSet::new();
    for answer in futures_util::future::join_all(sends).await {
        let answer: Value = answer.unwrap().json().await.unwrap();
        jobs.insert(answer["job_id"].as_str().unwrap().to_owned());
    }
    assert_eq!(jobs.len(), 1);
    let job_id = jobs.pop_first().unwrap();
    assert_eq!(system.events(&job_id).await.len(), 3, "requested once");
    system.running.stop().await;
}

#[tokio::test]
async fn an_unchanged_status_is_not_sent_again_and_waiting_ends_with_a_change() {
    let system = System::start(&API).await;
    let job_id = system.generate(&short_request()).await;
    let answer = system.get(&status_path(&job_id)).await;
    let etag = answer.headers()["etag"].to_str().unwrap().to_owned();
    let conditional = |query: &str, etag: &str| {
        system
            .request(Method::GET, &format!("{}{query}", status_path(&job_id)))
            .header("If-None-Match", etag)
            .send()
    };
    assert_eq!(conditional("", &etag).await.unwrap().status(), 304);
    assert_eq!(conditional("", &format!("\"x\", W/{etag}")).await.unwrap().status(), 304);
    assert_eq!(conditional("", "\"v1\"").await.unwrap().status(), 200);

    let began = Instant::now();
    assert_eq!(conditional("?wait=1", &etag).await.unwrap().status(), 304);
    assert!(began.elapsed() >= Duration::from_millis(900), "it waited");

    let waiting = conditional("?wait=20", &etag);
    let workers = crate::harness::Running::start(system.config.clone(), &[Role::Worker]);
    let (answer, workers) = tokio::join!(waiting, workers);
    let changed: Value = answer.unwrap().json().await.unwrap();
    assert!(changed["version"].as_u64() > Some(3), "{changed}");
    workers.stop().await;
    system.running.stop().await;
}

// 000-4.1, 000-4.2, 002-3.1, 002-3.3, 002-3.4, 002-3.5
#[tokio::test]
async fn a_video_is_downloaded_whole_in_ranges_or_not_again() {
    let system = System::start(&ALL_ROLES).await;
    let job_id = system.generate(&short_request()).await;
    let path = format!("/api/v1/videos/jobs/{job_id}/download");
    let (status, error) = error_of(system.get(&path).await).await;
    assert_eq!(status, 409);
    for field in ["status", "progress", "current_stage"] {
        assert!(!error["details"][field].is_null(), "{field}: {error}");
    }
    system.statuses_until_ended(&job_id, Duration::from_secs(180)).await;

    let whole = system.get(&path).await;
    assert_eq!(whole.headers()["content-type"], "video/mp4");
    assert_eq!(whole.headers()["accept-ranges"], "bytes");
    assert!(
        whole.headers()["content-disposition"]
            .to_str()
            .unwrap()
            .starts_with("attachment; filename=\"Ions.mp4\"")
    );
    let etag = whole.headers()["etag"].to_str().unwrap().to_owned();
    let bytes = whole.bytes().await.unwrap();

    let ranged = async |range: &str, if_range: Option<&str>| {
        let mut request = system.request(Method::GET, &path).header("Range", range);
        if let Some(tag) = if_range {
            request = request.header("If-Range", tag);
        }
        request.send().await.unwrap()
    };
    let middle = ranged("bytes=100-299", Some(&etag)).await;
    assert_eq!(middle.status(), 206);
    assert_eq!(middle.headers()["content-range"], format!("bytes 100-299/{}", bytes.len()).as_str());
    assert_eq!(middle.bytes().await.unwrap(), bytes[100..300]);
    assert_eq!(ranged("bytes=-5", None).await.bytes().await.unwrap(), bytes[bytes.len() - 5..]);
    assert_eq!(ranged("bytes=0-9", Some("\"another\"")).await.status(), 200, "another version of the file");
    let outside = ranged("bytes=999999999-", None).await;
    assert_eq!(outside.headers()["content-range"], format!("bytes */{}", bytes.len()).as_str());
    assert_eq!(error_of(outside).await.0, 416);

    let again = system.request(Method::GET, &path).header("If-None-Match", &etag).send().await.unwrap();
    assert_eq!(again.status(), 304);
    let head = system.request(Method::HEAD, &path).send().await.unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(head.headers()["content-length"], bytes.len().to_string().as_str());
    let inline = system.get(&format!("{path}?inline=true")).await;
    assert!(inline.headers()["content-disposition"].to_str().unwrap().starts_with("inline"));
    let thumbnail = system.get(&format!("/api/v1/videos/jobs/{job_id}/thumbnail?size=huge")).await;
    assert_eq!(error_of(thumbnail).await.0, 422);

    std::fs::remove_dir_all(system.media().join("users")).unwrap();
    assert_eq!(error_of(system.get(&path).await).await.0, 404);
    system.running.stop().await;
}

// 002-4.1
#[tokio::test]
async fn health_tells_each_component_and_notices_who_is_missing() {
    let (postgres_folder, port) = (folder(), free_port().unwrap());
    let postgres = PrivatePostgres::start_on(postgres_folder.path(), port).unwrap();
    let url = postgres.url("postgres");
    let system = System::start_with(&API_AND_PROJECTOR, |config| config.postgres.url = url).await;
    let health = async || {
        let answer = system.anonymous(Method::GET, "/api/v1/system/health").send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let (status, body) = health().await;
    assert_eq!((status, &body["status"]), (200, &json!("degraded")), "{body}");
    assert_eq!(body["components"]["workers"]["status"], "degraded");
    for component in ["redis", "postgres", "storage", "queue", "projections", "disk", "memory"] {
        let component = &body["components"][component];
        assert_eq!(component["status"], "healthy", "{body}");
        assert!(component["latency_ms"].is_number() && component["detail"].is_string());
    }
    let workers = crate::harness::Running::start(system.config.clone(), &[Role::Worker]).await;
    eventually("all is healthy", async || health().await.1["status"] == "healthy").await;
    workers.stop().await;
    assert_eq!(system.anonymous(Method::GET, "/healthz").send().await.unwrap().text().await.unwrap(), "ok");
    assert_eq!(system.anonymous(Method::GET, "/readyz").send().await.unwrap().status(), 200);

    let System { running, .. } = system;
    drop(postgres);
    eventually("health notices that PostgreSQL is away", async || {
        let answer = reqwest::get(format!("{}/api/v1/system/health", running.url)).await.unwrap();
        let status = answer.status();
        let body: Value = answer.json().await.unwrap();
        body["components"]["postgres"]["status"] == "unhealthy" && status == 503
    })
    .await;
    running.stop().await;
}

// 002-7.3, 002-7.5
#[test]
fn the_committed_openapi_document_is_the_code_s() {
    let committed: Value = serde_json::from_str(include_str!("../../../openapi.json")).unwrap();
    assert!(
        committed == reelstream::api::openapi(),
        "openapi.json is out of date; run: cargo run -- openapi > openapi.json"
    );
}

fn verifier(issuer: &Issuer, jwks: &str) -> auth::Verifier {
    let config = AuthConfig {
        issuer: issuer.url(),
        jwks_url: format!("{}/{jwks}", issuer.url()),
        authorized_parties: vec![],
    };
    auth::Verifier::new(config).unwrap()
}

fn header(issuer: &Issuer) -> String {
    format!("Bearer {}", issuer.sign(&issuer.claims("user_1", "user", Duration::from_secs(60))).unwrap())
}

#[tokio::test]
async fn a_client_that_leaves_while_keys_are_fetched_does_not_shut_others_out() {
    let issuer = Issuer::start(CancellationToken::new()).await.unwrap();
    let (verifier, header) = (verifier(&issuer, ".well-known/jwks.json"), header(&issuer));
    let left = tokio::time::timeout(Duration::ZERO, verifier.verify(Some(&header))).await;
    assert!(left.is_err(), "it was still waiting for the keys");
    assert_eq!(verifier.verify(Some(&header)).await.unwrap().id, "user_1");
}

#[tokio::test]
async fn while_keys_cannot_be_had_nobody_is_told_that_the_token_is_wrong() {
    let issuer = Issuer::start(CancellationToken::new()).await.unwrap();
    let (verifier, header) = (verifier(&issuer, "nowhere.json"), header(&issuer));
    for _ in 0..2 {
        let error = verifier.verify(Some(&header)).await.unwrap_err();
        assert!(matches!(error, auth::Error::IssuerAway(_)), "{error}");
    }
}
