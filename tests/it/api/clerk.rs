//! Clerk beside its tokens: details and roles of users from its Backend API, and the messages that it sends.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::Utc;
use reelstream::app::Role;
use reelstream::config::{ClerkConfig, ClerkKey, Config};
use reelstream::events::AggregateKind;
use reelstream::ids::{AggregateId, UserId};
use reelstream::webhooks::Secret;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::harness::{Running, System, WEBHOOK_SECRET, error_of, eventually, short_request};

static API: [Role; 1] = [Role::Api];
static WORKER: [Role; 1] = [Role::Worker];
static API_AND_PROJECTOR: [Role; 2] = [Role::Api, Role::Projector];

const KEY: &str = "sk_test_4711";

/// Speaks the part of Clerk's Backend API that is asked for.
struct Backend {
    url: String,
    /// The paths that were asked for, by whom who has the key.
    asked: Arc<Mutex<Vec<String>>>,
    /// Status line and headers of the next answers, and what is said of every user but `user_unknown`.
    answer: watch::Sender<(&'static str, Value)>,
}

impl Backend {
    async fn start(user: Value) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(vec![]));
        let (answer, told) = watch::channel(("200 OK", user));
        let paths = asked.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut bytes = vec![0; 8192];
                let read = stream.read(&mut bytes).await.unwrap();
                let request = String::from_utf8_lossy(&bytes[..read]).into_owned();
                let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                let has_key = request.to_lowercase().contains(&format!("authorization: bearer {KEY}"));
                let (head, body) = match path.as_str() {
                    _ if !has_key => ("401 Unauthorized", json!({})),
                    "/v1/users/user_unknown" => ("404 Not Found", json!({})),
                    _ => told.borrow().clone(),
                };
                paths.lock().unwrap().push(path);
                let body = body.to_string();
                let answer = format!(
                    "HTTP/1.1 {head}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                let _client_may_have_left = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { url, asked, answer }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn configure(&self, config: &mut Config) {
        config.clerk = ClerkConfig {
            secret_key: Some(ClerkKey(KEY.into())),
            api_url: self.url.clone(),
            ..ClerkConfig::default()
        };
    }
}

fn ada(role: Option<&str>) -> Value {
    json!({
        "id": "user_1", "first_name": "Ada", "last_name": "Lovelace", "image_url": "https://img.example.com/ada",
        "primary_email_address_id": "idn_1", "email_addresses": [{ "id": "idn_1", "email_address": "ada@example.com" }],
        "public_metadata": role.map_or(json!({}), |role| json!({ "role": role })),
    })
}

async fn me(system: &System, user: &str) -> Value {
    let request = system.anonymous(Method::GET, "/api/v1/auth/me").bearer_auth(system.token(user, "analyst"));
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.json().await.unwrap()
}

// 002-6.3, 002-6.4
#[tokio::test]
async fn a_user_sees_who_they_are_and_clerk_is_asked_once() {
    let backend = Backend::start(ada(None)).await;
    let system = System::start_with(&API, |config| backend.configure(config)).await;
    assert_eq!(backend.asked().len(), 0, "nobody has asked");
    let answers = futures_util::future::join_all((0..20).map(|_| me(&system, "user_1"))).await;
    for answer in answers {
        assert_eq!(
            answer,
            json!({
                "user_id": "user_1", "role": "analyst", "name": "Ada Lovelace", "email": "ada@example.com",
                "image_url": "https://img.example.com/ada", "details": "complete",
            })
        );
    }
    assert_eq!(backend.asked(), ["/v1/users/user_1"]);
    for _ in 0..2 {
        let unknown = me(&system, "user_unknown").await;
        assert_eq!((&unknown["details"], &unknown["email"]), (&json!("unknown_user"), &Value::Null));
    }
    assert_eq!(backend.asked().len(), 2);
    // What is no id never becomes a path.
    assert_eq!(me(&system, "../../v1/instance").await["details"], "unknown_user");
    assert_eq!(backend.asked().len(), 2);
    system.running.stop().await;
}

// 002-6.4
#[tokio::test]
async fn without_a_key_a_user_is_what_the_token_says() {
    let system = System::start(&API).await;
    let answer = me(&system, "user_1").await;
    assert_eq!((&answer["role"], &answer["details"]), (&json!("analyst"), &json!("not_configured")));
    system.running.stop().await;
}

// 002-6.4
#[tokio::test]
async fn a_clerk_that_fails_is_left_alone_and_holds_nobody_up() {
    let backend = Backend::start(ada(None)).await;
    backend.answer.send_replace(("500 Broken", json!({})));
    let system = System::start_with(&API, |config| backend.configure(config)).await;
    for number in 0..10 {
        let answer = me(&system, &format!("user_{number}")).await;
        assert_eq!((&answer["role"], &answer["details"]), (&json!("analyst"), &json!("unavailable")));
    }
    assert_eq!(backend.asked().len(), 5, "not again after five failures");
    system.running.stop().await;
}

// 002-6.4
#[tokio::test]
async fn clerk_is_not_asked_while_it_wants_to_be_left_alone() {
    let backend = Backend::start(ada(None)).await;
    backend.answer.send_replace(("429 Too Many Requests\r\nRetry-After: 60", json!({})));
    let system = System::start_with(&API, |config| backend.configure(config)).await;
    for user in ["user_1", "user_1", "user_2", "user_3"] {
        assert_eq!(me(&system, user).await["details"], "unavailable");
    }
    assert_eq!(backend.asked(), ["/v1/users/user_1"]);
    system.running.stop().await;
}

async fn all_jobs(system: &System, metadata: Value) -> Response {
    let mut claims = system.issuer.claims("user_1", "user", Duration::from_secs(60));
    claims.public_metadata = metadata;
    let request = system.anonymous(Method::GET, "/api/v1/system/jobs");
    request.bearer_auth(system.issuer.sign(&claims).unwrap()).send().await.unwrap()
}

// 002-6.3
#[tokio::test]
async fn a_role_that_no_token_names_comes_from_clerk_where_that_is_configured() {
    let backend = Backend::start(ada(Some("admin"))).await;
    let fetching = |config: &mut Config| {
        backend.configure(config);
        config.clerk.fetches_roles = true;
    };
    let system = System::start_with(&API, fetching).await;
    for _ in 0..5 {
        assert_eq!(all_jobs(&system, json!({})).await.status(), 200);
    }
    assert_eq!(backend.asked().len(), 1, "never for each request");
    assert_eq!(
        all_jobs(&system, json!({ "role": "user" })).await.status(),
        403,
        "what the token says stands"
    );
    system.running.stop().await;

    backend.answer.send_replace(("503 Away", json!({})));
    let system = System::start_with(&API, fetching).await;
    assert_eq!(all_jobs(&system, json!({})).await.status(), 403, "nobody is more than a user by default");
    system.running.stop().await;

    backend.answer.send_replace(("200 OK", ada(Some("admin"))));
    let before = backend.asked().len();
    let system = System::start_with(&API, |config| backend.configure(config)).await;
    assert_eq!(all_jobs(&system, json!({})).await.status(), 403);
    assert_eq!(backend.asked().len(), before, "it is not configured");
    system.running.stop().await;
}

fn with_webhooks(config: &mut Config) {
    config.clerk.webhook_secret = Secret::parse(WEBHOOK_SECRET);
}

/// A message of Clerk, `age_seconds` old.
async fn send(system: &System, id: &str, body: &str, age_seconds: i64) -> Response {
    let at = Utc::now().timestamp() - age_seconds;
    let signature = Secret::parse(WEBHOOK_SECRET).unwrap().sign(id, at, body.as_bytes());
    let request = system.anonymous(Method::POST, "/api/v1/webhooks/clerk").header("svix-id", id);
    let request = request.header("svix-timestamp", at.to_string()).header("svix-signature", signature);
    request.header("content-type", "application/json").body(body.to_owned()).send().await.unwrap()
}

fn deleted(user: &str) -> String {
    json!({ "type": "user.deleted", "object": "event", "data": { "id": user, "deleted": true } }).to_string()
}

async fn user_events(system: &System, user: &str) -> Vec<String> {
    let id = AggregateId(UserId::of_name(user).0);
    let history = system.log().await.history(id, 0).await.unwrap();
    assert!(history.iter().all(|event| event.aggregate == AggregateKind::User));
    history.into_iter().map(|event| event.event_type).collect()
}

#[tokio::test]
async fn a_message_that_is_not_clerk_s_is_refused() {
    let system = System::start(&API).await;
    let (status, _) = error_of(send(&system, "msg_1", &deleted("user_1"), 0).await).await;
    assert_eq!(status, 404, "no secret is configured");
    system.running.stop().await;

    let system = System::start_with(&API, with_webhooks).await;
    let post = || system.anonymous(Method::POST, "/webhooks/clerk").body(deleted("user_1"));
    let now = Utc::now().timestamp().to_string();
    let stranger = Secret::parse(&Secret::generate().unwrap()).unwrap();
    let forged = stranger.sign("msg_1", now.parse().unwrap(), deleted("user_1").as_bytes());
    for request in [
        post(),
        post().header("svix-id", "msg_1").header("svix-timestamp", &now),
        post().header("svix-id", "msg_1").header("svix-timestamp", &now).header("svix-signature", forged),
        post()
            .header("svix-id", "msg_1")
            .header("svix-timestamp", "soon")
            .header("svix-signature", "v1,AAAA"),
    ] {
        let (status, error) = error_of(request.send().await.unwrap()).await;
        assert_eq!((status, error["error_code"].as_str()), (400, Some("BAD_REQUEST")), "{error}");
    }
    for (body, age) in [
        (deleted("user_1"), 301),
        (deleted("user_1"), -301),
        (deleted(""), 0),
        (deleted(&"x".repeat(300)), 0),
        ("{".to_owned(), 0),
        ("[".repeat(100_000), 0),
    ] {
        assert_eq!(send(&system, "msg_1", &body, age).await.status(), 400, "{body:.60} {age}");
    }
    assert_eq!(send(&system, "msg_1", &" ".repeat(300 * 1024), 0).await.status(), 413);
    assert_eq!(user_events(&system, "user_1").await, Vec::<String>::new());
    system.running.stop().await;
}

// 000-5: nothing that was answered with 2xx is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_is_deleted_is_erased_though_nobody_is_there_to_do_it_yet() {
    let system = System::start_with(&API_AND_PROJECTOR, with_webhooks).await;
    let mine = system.generate(&short_request()).await;
    let post = async |path: &str, body: &Value| {
        let request = system.anonymous(Method::POST, path).bearer_auth(system.token("user_2", "user"));
        request.json(body).send().await.unwrap().json::<Value>().await.unwrap()
    };
    let theirs = post("/api/v1/videos/generate", &short_request()).await;
    // So that nothing goes on while the read models are compared.
    post(&format!("/api/v1/jobs/{}/cancel", theirs["job_id"].as_str().unwrap()), &json!({})).await;
    for message in ["msg_1", "msg_1", "msg_2"] {
        assert_eq!(send(&system, message, &deleted("user_1"), 0).await.status(), 204);
    }
    assert_eq!(user_events(&system, "user_1").await, ["ErasureRequested"], "asked for once");
    for other in ["session.created", "user.updated", "organization.deleted"] {
        let body = json!({ "type": other, "data": { "id": "user_2" } }).to_string();
        assert_eq!(send(&system, other, &body, 0).await.status(), 204);
    }

    let worker = Running::start(system.config.clone(), &WORKER).await;
    eventually("the user is erased", async || user_events(&system, "user_1").await.len() == 2).await;
    assert_eq!(user_events(&system, "user_1").await, ["ErasureRequested", "UserErased"]);
    // The message once more, much later than the erasure.
    assert_eq!(send(&system, "msg_1", &deleted("user_1"), 0).await.status(), 204);
    assert_eq!(user_events(&system, "user_1").await.len(), 2);
    eventually("the read models know", async || system.status(&mine).await["topic"] == "[erased]").await;
    let models = system.read_models().await;
    models.caught_up().await;
    let rows = models.rows_of("catalog.jobs").await;
    let topic_of = |user: &str| rows.iter().find(|row| row["user_id"] == user).unwrap()["topic"].clone();
    assert_eq!((topic_of("user_1"), topic_of("user_2")), (json!("[erased]"), json!("Ions")));
    assert_eq!(user_events(&system, "user_2").await, Vec::<String>::new());
    models.verify().await;
    worker.stop().await;
    system.running.stop().await;
}
