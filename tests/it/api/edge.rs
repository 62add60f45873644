//! What stands in front of the endpoints: rate limits, time limits, CORS, compression, security headers.

use std::time::{Duration, Instant};

use reelstream::app::Role;
use reelstream::config::{ConnectionLimits, Rate, RateLimits, Streams};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{ALL_ROLES, System, error_of, short_request};

static API: [Role; 1] = [Role::Api];

const UNKNOWN_JOB: &str = "/api/v1/videos/jobs/00000000-0000-0000-0000-000000000000/status";

/// A burst, and then nothing for as long as a test runs.
fn burst(requests: u32) -> Option<Rate> {
    Rate::new(requests, Duration::from_secs(3600), 1)
}

async fn limited(limits: RateLimits) -> System {
    System::start_with(&API, |config| config.streams.rate_limits = limits).await
}

fn header(answer: &Response, name: &str) -> Option<String> {
    answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
}

fn standing(answer: &Response) -> [Option<String>; 3] {
    ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"].map(|name| header(answer, name))
}

fn is(values: [&str; 3]) -> [Option<String>; 3] {
    values.map(|value| Some(value.to_owned()))
}

// 002-6.5
#[tokio::test]
async fn a_user_past_a_limit_is_told_when_to_ask_again_and_others_are_not_held_up() {
    let system = limited(RateLimits { read: burst(3), write: burst(1), ..RateLimits::NONE }).await;
    for (remaining, reset) in [("2", "3600"), ("1", "7200"), ("0", "10800")] {
        let answer = system.get("/api/v1/jobs").await;
        assert_eq!((answer.status().as_u16(), standing(&answer)), (200, is(["3", remaining, reset])));
        assert_eq!(header(&answer, "retry-after"), None);
    }
    let refused = system.get(UNKNOWN_JOB).await;
    assert_eq!(standing(&refused), is(["3", "0", "10800"]));
    let seconds: u64 = header(&refused, "retry-after").unwrap().parse().unwrap();
    assert!((3500..=3600).contains(&seconds), "{seconds}");
    let (status, error) = error_of(refused).await;
    assert_eq!((status, error["error_code"].as_str()), (429, Some("RATE_LIMIT_EXCEEDED")));
    assert_eq!(error["details"], json!({ "limit": "rate_limits.read", "burst": 3 }));

    let others = system.anonymous(Method::GET, "/api/v1/jobs").bearer_auth(system.token("user_2", "user"));
    assert_eq!(others.send().await.unwrap().status(), 200);
    // Another class has a limit of its own, and one that is not limited says nothing.
    let cancel = "/api/v1/jobs/00000000-0000-0000-0000-000000000000/cancel";
    assert_eq!(system.post(cancel, &json!({})).await.status(), 404);
    assert_eq!(system.post(cancel, &json!({})).await.status(), 429);
    let generated = system.post("/api/v1/videos/generate", &short_request()).await;
    assert_eq!((generated.status().as_u16(), standing(&generated)), (201, [None, None, None]));
    // Without the prefix it is the same route.
    assert_eq!(system.get("/jobs").await.status(), 429);
    system.running.stop().await;
}

// 002-6.5
#[tokio::test]
async fn an_address_is_limited_before_anything_is_known_of_who_asks() {
    let system = limited(RateLimits { address: burst(6), ..RateLimits::NONE }).await;
    let get = async |path: &str, token: &str| {
        let request = system.anonymous(Method::GET, path).header("X-Forwarded-For", "203.0.113.7");
        request.bearer_auth(token).send().await.unwrap()
    };
    let good = system.token("user_1", "user");
    let asked = [
        ("/api/v1/jobs", "no token", 401),
        ("/api/v1/jobs", good.as_str(), 200),
        ("/healthz", "", 200),
        ("/api/v1/system/health", "", 200),
        ("/nothing/here", "", 404),
        ("/api/v1/videos/generate", good.as_str(), 405),
    ];
    for (number, (path, token, status)) in asked.into_iter().enumerate() {
        let answer = get(path, token).await;
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(header(&answer, "ratelimit-remaining"), Some((5 - number).to_string()), "{path}");
    }
    for path in ["/api/v1/jobs", "/healthz", "/metrics", "/nothing/here"] {
        let answer = get(path, &good).await;
        assert!(header(&answer, "retry-after").is_some(), "{path}");
        let (status, error) = error_of(answer).await;
        assert_eq!((status, &error["details"]["limit"]), (429, &json!("rate_limits.address")), "{path}");
    }
    system.running.stop().await;
}

// 002-6.5
#[tokio::test]
async fn behind_a_proxy_its_clients_are_told_apart_and_cannot_pretend() {
    let system = System::start_with(&API, |config| {
        config.streams.rate_limits = RateLimits { address: burst(2), ..RateLimits::NONE };
        config.api.trusted_proxies = 1;
    })
    .await;
    let asks = async |forwarded: &str| {
        let request = system.anonymous(Method::GET, "/healthz").header("X-Forwarded-For", forwarded);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!((asks("198.51.100.1").await, asks("198.51.100.1").await), (200, 200));
    // What a client writes stands before what the proxy adds.
    assert_eq!(asks("203.0.113.9, 198.51.100.1").await, 429);
    assert_eq!((asks("198.51.100.2").await, asks("2001:db8::1").await), (200, 200));
    assert_eq!((asks("2001:db8::2").await, asks("2001:db8::3").await), (200, 429));
    system.running.stop().await;
}

#[test]
fn what_is_shipped_allows_fifty_requests_a_second_and_five_hundred_at_once() {
    let limits = Streams::from_environment(&|_| None).unwrap().rate_limits;
    let of_user = Rate::per_second(50, 500);
    assert_eq!([limits.read, limits.write, limits.generate, limits.live], [of_user; 4]);
    assert_eq!(limits.address, Rate::per_second(500, 5000));
}

/// Sends raw bytes on a new connection.
async fn connection(system: &System, bytes: &str) -> TcpStream {
    let address = system.running.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    stream
}

/// What the server says until it closes the connection.
async fn rest_of(stream: &mut TcpStream) -> String {
    let mut bytes = vec![];
    let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut bytes)).await;
    // A connection that is reset is closed, too.
    let _closed = read.expect("the server closes the connection");
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn impatient() -> System {
    System::start_with(&API, |config| {
        let second = Duration::from_secs(1);
        config.api.connections =
            ConnectionLimits { header: second, body: second, idle: 4 * second, max_connections: 3 };
    })
    .await
}

// 002-8.4
#[tokio::test]
async fn a_client_that_sends_its_head_byte_by_byte_is_cut_off() {
    let system = impatient().await;
    for beginning in ["GET /healthz HTTP/1.1\r\nX-Slow: ", "", "GET /heal"] {
        let began = Instant::now();
        let stream = connection(&system, beginning).await;
        let (mut read, mut write) = stream.into_split();
        let drip = async {
            while write.write_all(if beginning.is_empty() { b"" } else { b"a" }).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let closed = async {
            let mut bytes = vec![];
            let _reset_is_closed_too = read.read_to_end(&mut bytes).await;
        };
        tokio::select! {
            () = drip => {}
            () = closed => {}
            () = tokio::time::sleep(Duration::from_secs(30)) => panic!("{beginning:?} is not cut off"),
        }
        let after = began.elapsed();
        assert!(after >= Duration::from_millis(900) && after < Duration::from_secs(10), "{after:?}");
    }
    system.running.stop().await;
}

// 002-8.4
#[tokio::test]
async fn a_body_that_stands_still_is_answered_with_408() {
    let system = impatient().await;
    let token = system.token("user_1", "user");
    let head = format!(
        "POST /api/v1/videos/generate HTTP/1.1\r\nHost: reel\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: 500\r\n\r\n{{\"topic\": "
    );
    let mut stream = connection(&system, &head).await;
    let answer = rest_of(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let body: Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(body["error"]["error_code"], "REQUEST_TIMEOUT");
    assert_eq!(body["error"]["path"], "/api/v1/videos/generate");
    system.running.stop().await;
}

// 002-8.4
#[tokio::test]
async fn connections_past_the_limit_wait_until_one_is_closed() {
    let system = impatient().await;
    let silent: Vec<TcpStream> =
        futures_util::future::join_all((0..3).map(|_| connection(&system, ""))).await;
    let began = Instant::now();
    let mut late =
        connection(&system, "GET /healthz HTTP/1.1\r\nHost: reel\r\nConnection: close\r\n\r\n").await;
    let answer = rest_of(&mut late).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let waited = began.elapsed();
    assert!(waited >= Duration::from_millis(500), "not before the silent ones were cut off: {waited:?}");
    drop(silent);
    system.running.stop().await;
}

// 002-8.4
#[tokio::test]
async fn json_that_is_nested_deeply_is_refused_wherever_it_stands() {
    let system = System::start(&API).await;
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let objects = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    let mut bodies = vec![nested(100_000), objects(100_000)];
    for field in ["topic", "scenes", "style_preferences", "custom_config", "tags", "configuration", "unknown"]
    {
        for value in [nested(200), objects(200), nested(100_000)] {
            bodies.push(format!("{{\"topic\": \"Ions\", \"script\": \"Ions move.\", \"{field}\": {value}}}"));
        }
    }
    let job = "/api/v1/system/jobs/00000000-0000-0000-0000-000000000000/reprocess";
    for (path, body) in bodies.iter().map(|body| ("/api/v1/videos/generate", body)).chain([(job, &bodies[1])])
    {
        let request = system.anonymous(Method::POST, path).bearer_auth(system.token("user_1", "admin"));
        let answer =
            request.header("Content-Type", "application/json").body(body.clone()).send().await.unwrap();
        let (status, error) = error_of(answer).await;
        assert!([400, 404, 422].contains(&status), "{status} {error} for {:.80}", body);
    }
    assert_eq!(system.get("/api/v1/jobs").await.status(), 200, "the process is well");
    system.running.stop().await;
}

const PAGE: &str = "https://app.example.com";

async fn preflight(system: &System, origin: &str) -> Response {
    system
        .anonymous(Method::OPTIONS, "/api/v1/videos/generate")
        .header("Origin", origin)
        .header("Access-Control-Request-Method", "POST")
        .header("Access-Control-Request-Headers", "authorization,content-type,idempotency-key")
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn pages_of_configured_origins_may_call_and_no_others() {
    let system = System::start_with(&API, |config| {
        config.api.allowed_origins = vec!["http://localhost:3000".into(), PAGE.into()];
        config.streams.rate_limits = RateLimits { read: burst(1), ..RateLimits::NONE };
    })
    .await;
    let allowed = preflight(&system, PAGE).await;
    assert_eq!(allowed.status(), 204);
    assert_eq!(header(&allowed, "access-control-allow-origin").as_deref(), Some(PAGE));
    assert_eq!(header(&allowed, "access-control-allow-credentials"), None);
    assert_eq!(header(&allowed, "access-control-max-age").as_deref(), Some("3600"));
    for (name, values) in [
        ("access-control-allow-methods", ["GET", "POST", "PUT", "DELETE"]),
        (
            "access-control-allow-headers",
            ["authorization", "content-type", "idempotency-key", "last-event-id"],
        ),
    ] {
        let listed = header(&allowed, name).unwrap();
        assert!(values.iter().all(|value| listed.split(',').any(|other| other.trim() == *value)), "{listed}");
    }
    for stranger in
        ["https://app.example.com.evil.example", "http://app.example.com", "null", "https://APP.example.com"]
    {
        let refused = preflight(&system, stranger).await;
        assert_eq!(header(&refused, "access-control-allow-origin"), None, "{stranger}");
    }

    // Refusals can be read, too.
    let good = system.token("user_1", "user");
    for (path, token, status) in [
        ("/api/v1/jobs", good.as_str(), 200),
        ("/api/v1/jobs", good.as_str(), 429),
        ("/api/v1/jobs", "nonsense", 401),
        ("/nothing", good.as_str(), 404),
        ("/api/v1/videos/generate", good.as_str(), 405),
    ] {
        let request = system.anonymous(Method::GET, path).header("Origin", PAGE).bearer_auth(token);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(header(&answer, "access-control-allow-origin").as_deref(), Some(PAGE), "{status}");
        let exposed = header(&answer, "access-control-expose-headers").unwrap();
        for name in
            ["etag", "location", "retry-after", "ratelimit-remaining", "x-request-id", "idempotent-replayed"]
        {
            assert!(exposed.split(',').any(|other| other.trim() == name), "{exposed}");
        }
        let varies: Vec<_> =
            answer.headers().get_all("vary").iter().map(|value| value.to_str().unwrap()).collect();
        assert!(varies.join(",").to_lowercase().contains("origin"), "{varies:?}");
    }
    system.running.stop().await;
}

#[tokio::test]
async fn without_configuration_no_page_may_call_and_a_preflight_is_a_method_that_is_not_allowed() {
    let system = System::start(&API).await;
    let refused = preflight(&system, PAGE).await;
    assert_eq!(header(&refused, "access-control-allow-origin"), None);
    assert_eq!(header(&refused, "allow").as_deref(), Some("POST"));
    let (status, error) = error_of(refused).await;
    assert_eq!((status, error["error_code"].as_str()), (405, Some("METHOD_NOT_ALLOWED")));
    let put = system.request(Method::PUT, "/api/v1/videos/jobs/x/download").send().await.unwrap();
    let allow = header(&put, "allow").unwrap();
    assert!(put.status() == 405 && allow.contains("GET") && allow.contains("HEAD"), "{allow}");
    system.running.stop().await;
}

#[tokio::test]
async fn every_answer_keeps_browsers_from_doing_more_with_it_than_it_is_for() {
    let system = System::start(&API).await;
    let job_id = system.generate(&short_request()).await;
    for (path, status, cache_control) in [
        ("/api/v1/jobs".to_owned(), 200, Some("no-store")),
        (format!("/api/v1/videos/jobs/{job_id}/status"), 200, Some("private, no-cache")),
        (UNKNOWN_JOB.to_owned(), 404, Some("no-store")),
        ("/nothing".to_owned(), 404, Some("no-store")),
        ("/api/v1/videos/generate".to_owned(), 405, Some("no-store")),
        ("/healthz".to_owned(), 200, None),
    ] {
        let answer = system.get(&path).await;
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(header(&answer, "cache-control").as_deref(), cache_control, "{path}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("x-frame-options", "DENY"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ] {
            assert_eq!(header(&answer, name).as_deref(), Some(value), "{path}: {name}");
        }
    }
    system.running.stop().await;
}

/// What a program makes of its input.
fn piped(program: &str, argument: &str, input: &[u8]) -> Vec<u8> {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut child =
        Command::new(program).arg(argument).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
    let writer = std::thread::spawn(move || stdin.write_all(&input).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    output.stdout
}

#[tokio::test]
async fn json_is_compressed_for_who_can_read_it_and_nothing_else_is() {
    let system = System::start(&ALL_ROLES).await;
    let get = async |path: &str, accepted: &str| {
        system.request(Method::GET, path).header("Accept-Encoding", accepted).send().await.unwrap()
    };
    let plain = get("/openapi.json", "identity").await;
    assert_eq!(header(&plain, "content-encoding"), None);
    assert!(header(&plain, "vary").unwrap().contains("accept-encoding"));
    let plain = plain.bytes().await.unwrap();
    for (accepted, encoding) in
        [("gzip", Some("gzip")), ("br, gzip;q=0.5", Some("br")), ("br;q=0, zstd", None)]
    {
        let answer = get("/openapi.json", accepted).await;
        assert_eq!(header(&answer, "content-encoding").as_deref(), encoding, "{accepted}");
        let body = answer.bytes().await.unwrap();
        match encoding {
            Some("gzip") => assert_eq!(piped("gzip", "-dc", &body), plain),
            Some(_) => assert!(body.len() < plain.len() / 4, "{} of {}", body.len(), plain.len()),
            None => assert_eq!(body, plain),
        }
    }
    // Too small to be worth it.
    assert_eq!(header(&get("/api/v1/jobs", "gzip").await, "content-encoding"), None);

    let job_id = system.completed(&short_request()).await;
    for path in ["download", "hls/master.m3u8", "captions.vtt", "thumbnail"] {
        let answer = get(&format!("/api/v1/videos/jobs/{job_id}/{path}"), "gzip, br").await;
        assert_eq!((answer.status().as_u16(), header(&answer, "content-encoding")), (200, None), "{path}");
        assert!(header(&answer, "content-length").is_some(), "{path}");
        assert!(header(&answer, "etag").unwrap().starts_with('"'), "{path}");
    }
    let events = get(&format!("/api/v1/jobs/{job_id}/events"), "gzip").await;
    assert_eq!(header(&events, "content-encoding").as_deref(), Some("gzip"));
    let events: Value =
        serde_json::from_slice(&piped("gzip", "-dc", &events.bytes().await.unwrap())).unwrap();
    assert_eq!(events["events"][0]["type"], "JobRequested");
    system.running.stop().await;
}

#[tokio::test]
async fn a_request_id_is_given_back_if_it_is_one() {
    let system = System::start(&API).await;
    let ask = async |id: &str| {
        let answer =
            system.request(Method::GET, UNKNOWN_JOB).header("X-Request-Id", id).send().await.unwrap();
        let told = header(&answer, "x-request-id").unwrap();
        let (_, error) = error_of(answer).await;
        assert_eq!(error["request_id"], told.as_str());
        told
    };
    assert_eq!(ask("trace-4711").await, "trace-4711");
    assert_eq!(ask(&"x".repeat(128)).await, "x".repeat(128));
    for unfit in ["two words", "", &"x".repeat(129)] {
        let told = ask(unfit).await;
        assert!(uuid::Uuid::parse_str(&told).is_ok(), "{unfit:?} became {told}");
    }
    system.running.stop().await;
}
