//! Live updates: WebSockets, tickets, and server-sent events.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use reelstream::app::Role;
use reelstream::clock::Clock;
use reelstream::config::LiveSettings;
use reelstream::consumers::rehearsal;
use reelstream::domain::job::{Command, Job, Outcome};
use reelstream::events::{Actor, Stage};
use reelstream::execute::{Executor, Origin};
use reelstream::ids::JobId;
use reelstream::vault::Vault;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::{WebSocketStream, client_async};
use uuid::Uuid;

use crate::harness::{System, connect, error_of, eventually, short_request};

static API: [Role; 1] = [Role::Api];
const PATIENCE: Duration = Duration::from_secs(30);

type Socket = WebSocketStream<TcpStream>;

/// A system with the API alone: the test does the work of the jobs itself, so nothing happens by chance.
struct Bench {
    system: System,
    executor: Executor,
}

/// What a socket gave.
#[derive(Debug, PartialEq)]
enum Got {
    Message(Value),
    Closed(u16, String),
    /// Without a close frame.
    Gone,
}

impl Bench {
    async fn start(change: impl FnOnce(&mut LiveSettings)) -> Self {
        let system = System::start_with(&API, |config| change(&mut config.streams.live)).await;
        let models = system.read_models().await;
        let vault = Vault::new(models.pool.clone(), system.config.keys.master.clone());
        let executor = Executor::new(models.log, Clock::system()).with_vault(vault);
        Self { system, executor }
    }

    async fn job(&self) -> String {
        self.system.generate(&short_request()).await
    }

    async fn send(&self, job: &str, command: Command) -> Job {
        let id: JobId = job.parse().unwrap();
        let origin = Origin::new(Actor::User("user_1".into()));
        self.executor.execute(id, command, &origin, None).await.unwrap().loaded.into_state()
    }

    /// Does pieces of work, at most `count`; each is one event or more.
    async fn work(&self, job: &str, count: usize) {
        let id: JobId = job.parse().unwrap();
        for _ in 0..count {
            let state = self.executor.load(id).await.unwrap().into_state();
            let Some(item) = state.open_work.first().copied() else { return };
            let state = self.send(job, Command::StartWork(item)).await;
            let outcome = rehearsal::outcome((item.stage, item.scene), id, &state, 3);
            self.send(job, Command::FinishWork { item, outcome, scene_limit: 16 }).await;
        }
    }

    async fn finish(&self, job: &str) {
        self.work(job, usize::MAX).await;
        assert_eq!(self.system.status(job).await["status"], "completed");
    }

    fn handshake(&self, path: &str) -> Request {
        let host = self.system.running.url.strip_prefix("http://").unwrap();
        format!("ws://{host}{path}").into_client_request().unwrap()
    }

    fn handshake_as(&self, path: &str, token: &str) -> Request {
        let mut request = self.handshake(path);
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        request
    }

    async fn open(&self, request: Request) -> Result<Socket, u16> {
        let address = self.system.running.url.strip_prefix("http://").unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        open_on(stream, request).await
    }

    /// A socket of the job's owner.
    async fn watch(&self, job: &str, query: &str) -> Socket {
        let token = self.system.token("user_1", "user");
        self.open(self.handshake_as(&format!("/api/v1/ws/jobs/{job}{query}"), &token)).await.unwrap()
    }

    async fn ticket(&self, user: &str) -> Response {
        let request = self.system.anonymous(Method::POST, "/api/v1/auth/tickets");
        request.bearer_auth(self.system.token(user, "user")).send().await.unwrap()
    }

    async fn ticket_text(&self, user: &str) -> String {
        let answer = self.ticket(user).await;
        assert_eq!(answer.status(), 201);
        let body: Value = answer.json().await.unwrap();
        body["ticket"].as_str().unwrap().to_owned()
    }

    /// How a socket for the job ends that is opened with a text as its ticket.
    async fn closed_with_ticket(&self, job: &str, ticket: &str) -> Got {
        let path = format!("/ws/jobs/{job}?token={ticket}");
        read(&mut self.open(self.handshake(&path)).await.unwrap()).await
    }

    async fn stream(&self, job: &str, query: &str, headers: &[(&str, &str)]) -> Response {
        let path = format!("/api/v1/jobs/{job}/events{query}");
        let mut request = self.system.request(Method::GET, &path).header("accept", "text/event-stream");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }
}

async fn open_on(stream: TcpStream, request: Request) -> Result<Socket, u16> {
    use tokio_tungstenite::tungstenite::Error;
    match client_async(request, stream).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(answer)) => Err(answer.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

async fn read(socket: &mut Socket) -> Got {
    loop {
        let message = tokio::time::timeout(PATIENCE, socket.next()).await.expect("the server says something");
        match message {
            Some(Ok(Message::Text(text))) => return Got::Message(serde_json::from_str(&text).unwrap()),
            Some(Ok(Message::Close(Some(frame)))) => {
                return Got::Closed(frame.code.into(), frame.reason.as_str().to_owned());
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(None)) | Err(_)) | None => return Got::Gone,
            Some(Ok(other)) => panic!("{other:?}"),
        }
    }
}

async fn message(socket: &mut Socket) -> Value {
    match read(socket).await {
        Got::Message(message) => without_estimates(message),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_closed(got: &Got, code: u16, words: &str) {
    let Got::Closed(found, reason) = got else { panic!("{got:?}") };
    assert_eq!(*found, code, "{reason}");
    assert!(reason.contains(words), "{reason}");
}

/// All messages until the job's end.
async fn until_ended(socket: &mut Socket) -> Vec<Value> {
    let mut messages = vec![];
    loop {
        match read(socket).await {
            Got::Message(message) => messages.push(without_estimates(message)),
            got => {
                assert_closed(&got, 1000, "the job has ended");
                return messages;
            }
        }
    }
}

fn version(message: &Value) -> u64 {
    message["version"].as_u64().unwrap()
}

/// Removes from a status what changes with the time: the estimates of a job that goes on.
fn without_estimates(mut status: Value) -> Value {
    assert!(status["estimated_completion"].is_string(), "{status}");
    status["estimated_completion"].take();
    status["progress"]["estimated_completion"].take();
    status
}

/// The status in a message.
fn status_in(message: &Value) -> Value {
    let mut status = message.clone();
    for name in ["type", "event"] {
        status.as_object_mut().unwrap().remove(name);
    }
    status
}

/// Checks that a snapshot, or what the client had, is followed by the rest of the history, once and in order.
fn assert_complete(messages: &[Value], after: Option<u64>, history: &[Value]) {
    let (after, events) = match after {
        Some(after) => (after, messages),
        None => {
            assert_eq!(messages[0]["type"], "snapshot");
            (version(&messages[0]), &messages[1..])
        }
    };
    let told: Vec<&Value> = events.iter().map(|message| &message["event"]).collect();
    assert_eq!(told, history[after as usize..].iter().collect::<Vec<_>>());
    for (message, expected) in events.iter().zip(after + 1..) {
        assert_eq!((&message["type"], version(message)), (&json!("event"), expected));
    }
}

// 002-9.1, 002-9.2, 002-9.3, 002-9.5
#[tokio::test]
async fn all_clients_of_a_job_are_told_every_event_once_and_in_order() {
    let live = Bench::start(|_| {}).await;
    let (job, other) = (live.job().await, live.job().await);
    let mut early = vec![];
    for _ in 0..20 {
        let mut socket = live.watch(&job, "").await;
        let snapshot = message(&mut socket).await;
        assert_eq!(snapshot["type"], "snapshot");
        assert_eq!(status_in(&snapshot), without_estimates(live.system.status(&job).await));
        early.push((socket, snapshot));
    }
    let early = early.into_iter().map(|(mut socket, snapshot)| {
        tokio::spawn(async move {
            let mut messages = vec![snapshot];
            messages.extend(until_ended(&mut socket).await);
            messages
        })
    });
    let early: Vec<_> = early.collect();
    // Others come while events are appended.
    let late = async {
        let mut late = vec![];
        for _ in 0..15 {
            let mut socket = live.watch(&job, "").await;
            late.push(tokio::spawn(async move { until_ended(&mut socket).await }));
        }
        late
    };
    let ((), (), late) = tokio::join!(live.finish(&job), live.work(&other, 3), late);

    let history = live.system.events(&job).await;
    let mut sequences = vec![];
    for client in early {
        sequences.push(client.await.unwrap());
    }
    assert_complete(&sequences[0], None, &history);
    assert!(sequences[0].len() > 20, "{} messages", sequences[0].len());
    assert!(sequences.iter().all(|messages| *messages == sequences[0]), "all are told the same");
    let percentages = sequences[0].iter().map(|message| message["progress"]["percentage"].as_f64().unwrap());
    let percentages: Vec<f64> = percentages.collect();
    assert!(percentages.is_sorted() && percentages.last() == Some(&100.0), "{percentages:?}");
    let stages = sequences[0].iter().map(|message| message["progress"]["current_stage"].as_str().unwrap());
    assert!(stages.collect::<BTreeSet<_>>().len() == Stage::ALL.len() + 1, "every stage, and completed");
    let last = sequences[0].last().unwrap();
    assert_eq!(status_in(last), without_estimates(live.system.status(&job).await));
    let mut began_at = BTreeSet::new();
    for client in late {
        let messages = client.await.unwrap();
        assert_complete(&messages, None, &history);
        began_at.insert(version(&messages[0]));
    }
    assert!(!began_at.is_empty(), "{began_at:?}");
    live.system.running.stop().await;
}

// 002-9.4
#[tokio::test]
async fn a_client_that_lost_its_connection_resumes_by_version() {
    let live = Bench::start(|_| {}).await;
    let job = live.job().await;
    let mut steady = live.watch(&job, "").await;
    let mut lost = live.watch(&job, "").await;
    let first = version(&message(&mut lost).await);
    live.work(&job, 2).await;
    let last = version(&message(&mut lost).await);
    assert_eq!(last, first + 1);
    // Without a word.
    drop(lost);
    live.work(&job, 3).await;
    let mut resumed = live.watch(&job, &format!("?after={last}")).await;
    let next = message(&mut resumed).await;
    assert_eq!((version(&next), &next["type"]), (last + 1, &json!("event")));
    live.finish(&job).await;
    let mut messages = vec![next];
    messages.extend(until_ended(&mut resumed).await);
    let history = live.system.events(&job).await;
    assert_complete(&messages, Some(last), &history);
    let steady = until_ended(&mut steady).await;
    assert_eq!(messages, steady[steady.len() - messages.len()..], "statuses of the past are those of then");

    let everything = until_ended(&mut live.watch(&job, "?after=0").await).await;
    assert_complete(&everything, Some(0), &history);
    let nothing = until_ended(&mut live.watch(&job, &format!("?after={}", history.len())).await).await;
    assert_eq!(nothing, Vec::<Value>::new());
    let of_another_history = until_ended(&mut live.watch(&job, "?after=1000000").await).await;
    assert_complete(&of_another_history, None, &history);
    let token = live.system.token("user_1", "user");
    for after in ["-1", "x", "1.5", "", "%00", "1000000001", "99999999999999999999999"] {
        let request = live.handshake_as(&format!("/api/v1/ws/jobs/{job}?after={after}"), &token);
        assert_eq!(live.open(request).await.err(), Some(422), "{after:?}");
    }
    live.system.running.stop().await;
}

// 002-9.4
#[tokio::test]
async fn a_client_that_comes_and_goes_misses_nothing() {
    let live = Bench::start(|_| {}).await;
    let job = live.job().await;
    // Nobody else watches, so the tail of the log is begun anew again and again.
    let watch = async {
        let (mut told, mut last) = (vec![], 0);
        loop {
            let mut socket = live.watch(&job, &format!("?after={last}")).await;
            for _ in 0..3 {
                match read(&mut socket).await {
                    Got::Message(message) => {
                        last = version(&message);
                        told.push(message);
                    }
                    got => {
                        assert_closed(&got, 1000, "the job has ended");
                        return told;
                    }
                }
            }
        }
    };
    let (told, ()) = tokio::join!(watch, live.finish(&job));
    assert_complete(&told, Some(0), &live.system.events(&job).await);
    live.system.running.stop().await;
}

// 002-2.5, 002-6.1
#[tokio::test]
async fn who_may_not_watch_a_job_is_told_by_the_close_code() {
    let live = Bench::start(|_| {}).await;
    let job = live.job().await;
    let (owner, stranger) = (live.system.token("user_1", "user"), live.system.token("user_2", "user"));
    let unknown = Uuid::now_v7().to_string();
    for id in [job.as_str(), &unknown, "not-a-uuid", "%00"] {
        let request = live.handshake_as(&format!("/ws/jobs/{id}"), &stranger);
        let got = read(&mut live.open(request).await.unwrap()).await;
        assert_eq!(got, Got::Closed(4404, "there is no such job".into()), "{id}");
    }
    for (path, token, words) in [
        (format!("/ws/jobs/{job}"), None, "POST /auth/tickets"),
        (format!("/ws/jobs/{job}"), Some("x"), "not valid"),
        (format!("/ws/jobs/{unknown}"), None, "POST /auth/tickets"),
    ] {
        let request = match token {
            Some(token) => live.handshake_as(&path, token),
            None => live.handshake(&path),
        };
        assert_closed(&read(&mut live.open(request).await.unwrap()).await, 4401, words);
    }
    // What is no upgrade is answered like everything else.
    let (status, error) = error_of(live.system.get(&format!("/ws/jobs/{job}")).await).await;
    assert_eq!(status, 426, "{error}");
    let anonymous = live.system.anonymous(Method::GET, &format!("/api/v1/ws/jobs/{job}"));
    assert_eq!(error_of(anonymous.send().await.unwrap()).await.0, 401);

    let path = format!("/ws/jobs/{job}");
    let with_origin = |origin: &str| {
        let mut request = live.handshake_as(&path, &owner);
        request.headers_mut().insert("origin", origin.parse().unwrap());
        request
    };
    for origin in ["https://evil.example", "null"] {
        assert_eq!(live.open(with_origin(origin)).await.err(), Some(403), "{origin}");
    }
    let mut own = live.open(with_origin(&live.system.running.url)).await.unwrap();
    assert_eq!(message(&mut own).await["type"], "snapshot");
    let admin = live.handshake_as(&path, &live.system.token("boss", "admin"));
    assert_eq!(message(&mut live.open(admin).await.unwrap()).await["user_id"], "user_1");

    let stream = live.system.anonymous(Method::GET, &format!("/jobs/{job}/events"));
    let stream = stream.header("accept", "text/event-stream").bearer_auth(stranger);
    assert_eq!(error_of(stream.send().await.unwrap()).await.0, 404);
    let mut stream = live.stream(&job, "", &[]).await;

    // A process that stops says so to all.
    let System { running, .. } = live.system;
    let (got, ()) = tokio::join!(read(&mut own), running.stop());
    assert_closed(&got, 1001, "stopping");
    while stream.chunk().await.unwrap().is_some() {}
}

#[tokio::test]
async fn a_ticket_opens_one_socket_within_its_life() {
    let live = Bench::start(|settings| settings.tickets_per_user = 3).await;
    let job = live.job().await;
    let answer = live.ticket("user_1").await;
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let body: Value = answer.json().await.unwrap();
    let ticket = body["ticket"].as_str().unwrap();
    assert!(
        ticket.len() == 43 && body["expires_in_seconds"] == 60 && body["expires_at"].is_string(),
        "{body}"
    );
    let mut redis = connect(&live.system.config.redis.url).await;
    let pattern = format!("{}:ticket:*", live.system.config.redis.prefix);
    let mut keys = redis::cmd("KEYS");
    keys.arg(&pattern);
    let stored: Vec<String> = keys.query_async(&mut redis).await.unwrap();
    assert_eq!(stored.len(), 1);
    let value: String = redis::cmd("GET").arg(&stored[0]).query_async(&mut redis).await.unwrap();
    assert!(!stored[0].contains(ticket) && !value.contains(ticket), "only its hash is stored");

    let used = live.closed_with_ticket(&job, ticket).await;
    assert!(matches!(&used, Got::Message(snapshot) if snapshot["type"] == "snapshot"), "{used:?}");
    assert_closed(&live.closed_with_ticket(&job, ticket).await, 4401, "used or too old");
    let session = live.system.token("user_1", "user");
    assert_closed(
        &live.closed_with_ticket(&job, &session).await,
        4401,
        "takes a ticket, never a session token",
    );
    for text in ["", "x", "%00", "%ff%fe", &"a".repeat(43), &"a".repeat(6000)] {
        assert_closed(&live.closed_with_ticket(&job, text).await, 4401, "POST /auth/tickets");
    }
    let foreign = live.ticket_text("user_2").await;
    assert_closed(&live.closed_with_ticket(&job, &foreign).await, 4404, "no such job");

    let late = live.ticket_text("user_1").await;
    live.ticket_text("user_1").await;
    let refused = live.ticket("user_1").await;
    let seconds: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(error_of(refused).await.0, 429);
    live.ticket_text("user_3").await;
    // A minute passes.
    let pattern = format!("{}:ticket*", live.system.config.redis.prefix);
    keys = redis::cmd("KEYS");
    keys.arg(&pattern);
    for key in keys.query_async::<Vec<String>>(&mut redis).await.unwrap() {
        let life: i64 = redis::cmd("TTL").arg(&key).query_async(&mut redis).await.unwrap();
        assert!((1..=60).contains(&life), "{key} lives {life} s");
        redis::cmd("PEXPIRE").arg(&key).arg(1).query_async::<()>(&mut redis).await.unwrap();
    }
    eventually("the tickets are gone", async || {
        keys.query_async::<Vec<String>>(&mut redis).await.unwrap().is_empty()
    })
    .await;
    assert_closed(&live.closed_with_ticket(&job, &late).await, 4401, "too old");
    live.ticket_text("user_1").await;
    live.system.running.stop().await;
}

#[tokio::test]
async fn a_connection_ends_with_its_session() {
    let live = Bench::start(|_| {}).await;
    let job = live.job().await;
    let claims = live.system.issuer.claims("user_1", "user", Duration::from_secs(4));
    let token = live.system.issuer.sign(&claims).unwrap();
    let path = format!("/api/v1/ws/jobs/{job}");
    let mut by_header = live.open(live.handshake_as(&path, &token)).await.unwrap();
    let ticket = live.system.anonymous(Method::POST, "/auth/tickets").bearer_auth(&token);
    let ticket: Value = ticket.send().await.unwrap().json().await.unwrap();
    let path = format!("{path}?token={}", ticket["ticket"].as_str().unwrap());
    let mut by_ticket = live.open(live.handshake(&path)).await.unwrap();
    let stream = live.system.anonymous(Method::GET, &format!("/jobs/{job}/events"));
    let stream = stream.header("accept", "text/event-stream").bearer_auth(&token).send().await.unwrap();
    for socket in [&mut by_header, &mut by_ticket] {
        assert_eq!(message(socket).await["type"], "snapshot");
        assert_closed(&read(socket).await, 4401, "the session token has ended");
    }
    let told = tokio::time::timeout(PATIENCE, stream.text()).await.unwrap().unwrap();
    assert!(told.contains("id: 1\n") && !told.contains("event: end"), "{told}");
    live.system.running.stop().await;
}

#[tokio::test]
async fn a_client_that_says_too_much_or_nothing_is_dropped() {
    let live = Bench::start(|settings| settings.ping_every = Duration::from_millis(300)).await;
    let job = live.job().await;
    let mut large = live.watch(&job, "").await;
    message(&mut large).await;
    // The server may hang up in the middle of it.
    let _cut_off = large.send(Message::text("x".repeat(1 << 20))).await;
    let got = read(&mut large).await;
    assert!(matches!(got, Got::Gone | Got::Closed(1009, _)), "{got:?}");

    let mut talkative = live.watch(&job, "").await;
    message(&mut talkative).await;
    let talk = async {
        // What is sent before the server hangs up waits in buffers that hold thousands of messages.
        while talkative.send(Message::text("hello")).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, talk).await.expect("it is cut off");

    // It reads nothing, so it answers no ping.
    let mut silent = live.watch(&job, "").await;
    message(&mut silent).await;
    let mut steady = live.watch(&job, "").await;
    let mut pings = 0;
    while pings < 6 {
        match tokio::time::timeout(PATIENCE, steady.next()).await.unwrap().unwrap().unwrap() {
            Message::Ping(_) => pings += 1,
            Message::Text(_) => {}
            other => panic!("a client that answers is kept: {other:?}"),
        }
    }
    assert_eq!(read(&mut silent).await, Got::Gone);
    live.system.running.stop().await;
}

#[tokio::test]
async fn a_user_has_a_bounded_number_of_connections() {
    let live = Bench::start(|settings| settings.clients_per_user = 2).await;
    let job = live.job().await;
    let mut first = live.watch(&job, "").await;
    message(&mut first).await;
    let stream = live.stream(&job, "", &[]).await;
    assert_eq!(stream.status(), 200);
    assert_closed(&read(&mut live.watch(&job, "").await).await, 1013, "live.clients_per_user");
    let refused = live.stream(&job, "", &[]).await;
    assert!(refused.headers().contains_key("retry-after"));
    let (status, error) = error_of(refused).await;
    assert_eq!((status, error["error_code"].as_str()), (429, Some("RATE_LIMIT_EXCEEDED")));
    drop(stream);
    eventually("a place is free", async || {
        matches!(read(&mut live.watch(&job, "").await).await, Got::Message(_))
    })
    .await;
    live.system.running.stop().await;
}

#[tokio::test]
async fn a_slow_reader_gets_a_new_snapshot_and_is_not_buffered_for() {
    const SCENES: u32 = 30;
    const CODE_BYTES: usize = 200_000;
    let live = Bench::start(|settings| {
        settings.queued_events = 4;
        // It is slow for longer than a client may be silent, on a busy machine.
        settings.ping_every = Duration::from_secs(120);
    })
    .await;
    let job = live.job().await;
    let id: JobId = job.parse().unwrap();
    let address = live.system.running.url.strip_prefix("http://").unwrap().parse().unwrap();
    let stream = TcpSocket::new_v4().unwrap();
    stream.set_recv_buffer_size(32 << 10).unwrap();
    let request = live.handshake_as(&format!("/ws/jobs/{job}"), &live.system.token("user_1", "user"));
    let mut slow = open_on(stream.connect(address).await.unwrap(), request).await.unwrap();
    let mut told = vec![message(&mut slow).await];

    // Far more than the buffers of the connection hold, while it reads nothing.
    let mut state = live.executor.load(id).await.unwrap().into_state();
    while let Some(item) = state.open_work.first().copied().filter(|item| item.stage <= Stage::CodeGeneration)
    {
        let state_before = live.send(&job, Command::StartWork(item)).await;
        let outcome = match item.stage {
            Stage::CodeGeneration => Outcome::CodeGenerated {
                language: "none".into(),
                code: "x".repeat(CODE_BYTES),
                warnings: vec![],
            },
            stage => rehearsal::outcome((stage, item.scene), id, &state_before, SCENES),
        };
        state = live.send(&job, Command::FinishWork { item, outcome, scene_limit: 16 }).await;
    }
    let mut ended = live.watch(&job, "").await;
    let current = version(&message(&mut ended).await);

    // It reads on: what was on its way, and then a snapshot of now.
    while version(told.last().unwrap()) < current {
        told.push(message(&mut slow).await);
    }
    let snapshots = told.iter().filter(|message| message["type"] == "snapshot").count();
    assert!(snapshots >= 2, "it was too slow, and got another snapshot");
    let large = told.iter().filter(|message| message["event"]["type"] == "SceneCodeGenerated").count();
    assert!(large < SCENES as usize, "not all {SCENES} large events were kept for it: {large}");
    for (before, message) in told.iter().zip(&told[1..]) {
        let (before, now) = (version(before), version(message));
        match message["type"].as_str() {
            Some("snapshot") => assert!(now > before),
            _ => assert_eq!(now, before + 1, "only a snapshot leaves events out"),
        }
    }
    live.send(&job, Command::Cancel { reason: None }).await;
    told.extend(until_ended(&mut slow).await);
    assert_eq!(told.last().unwrap()["status"], "cancelled");
    assert_eq!(until_ended(&mut ended).await.last(), told.last());
    live.system.running.stop().await;
}

/// An event of a stream.
#[derive(Debug, PartialEq)]
struct Frame {
    id: u64,
    event: String,
    data: Value,
}

/// Reads what is told until `count` events came, or all when the answer ends before. Also gives the comments.
async fn frames(stream: &mut Response, text: &mut String, count: usize) -> (Vec<Frame>, usize) {
    let (mut frames, mut comments) = (vec![], 0);
    loop {
        while let Some((block, rest)) = text.split_once("\n\n") {
            let field = |name: &str| {
                let mut lines = block.lines().filter_map(|line| line.strip_prefix(name));
                lines.next().map(|value| value.trim().to_owned())
            };
            match field("id:") {
                Some(id) => frames.push(Frame {
                    id: id.parse().unwrap(),
                    event: field("event:").unwrap(),
                    data: serde_json::from_str(&field("data:").unwrap()).unwrap(),
                }),
                None if block.starts_with(':') => comments += 1,
                None => assert_eq!(block, "retry: 2000"),
            }
            *text = rest.to_owned();
            if frames.len() == count {
                return (frames, comments);
            }
        }
        match tokio::time::timeout(PATIENCE, stream.chunk()).await.unwrap().unwrap() {
            Some(chunk) => text.push_str(std::str::from_utf8(&chunk).unwrap()),
            None => return (frames, comments),
        }
    }
}

#[track_caller]
fn assert_events(frames: &[Frame], history: &[Value], after: usize) {
    let expected: Vec<Frame> = history[after..]
        .iter()
        .map(|entry| Frame {
            id: version(entry),
            event: entry["type"].as_str().unwrap().to_owned(),
            data: entry.clone(),
        })
        .collect();
    assert_eq!(frames, expected);
}

// 002-9.4
#[tokio::test]
async fn a_stream_has_the_history_then_what_happens_and_then_ends() {
    let live = Bench::start(|settings| {
        settings.queued_events = 1;
        settings.ping_every = Duration::from_millis(300);
    })
    .await;
    let job = live.job().await;
    live.work(&job, 2).await;
    let so_far = live.system.events(&job).await.len();
    let mut stream = live.stream(&job, "", &[]).await;
    for (name, value) in [
        ("content-type", "text/event-stream; charset=utf-8"),
        ("cache-control", "no-store"),
        ("x-accel-buffering", "no"),
    ] {
        assert_eq!(stream.headers()[name], value);
    }
    let mut text = String::new();
    let (mut told, _) = frames(&mut stream, &mut text, so_far).await;
    let rest = async { frames(&mut stream, &mut text, usize::MAX).await };
    let ((rest, _), ()) = tokio::join!(rest, live.finish(&job));
    told.extend(rest);
    let history = live.system.events(&job).await;
    let end = told.pop().unwrap();
    let last = history.len() as u64;
    assert_eq!(end, Frame { id: last, event: "end".into(), data: json!({ "version": last }) });
    assert_events(&told, &history, 0);

    for (query, headers, after) in [
        ("", vec![("last-event-id", "4")], 4),
        ("?from_version=6", vec![], 5),
        ("?from_version=6", vec![("last-event-id", "9")], 9),
        ("", vec![("last-event-id", &*last.to_string())], history.len()),
    ] {
        let mut stream = live.stream(&job, query, &headers).await;
        let (mut told, _) = frames(&mut stream, &mut String::new(), usize::MAX).await;
        assert_eq!(told.pop().unwrap().event, "end");
        assert_events(&told, &history, after);
    }
    for id in ["-1", "x", "1e3", "99999999999999999999"] {
        let (status, error) = error_of(live.stream(&job, "", &[("last-event-id", id)]).await).await;
        assert_eq!((status, &error["details"][0]["loc"]), (422, &json!(["header", "Last-Event-ID"])), "{id}");
    }
    assert_eq!(live.stream(&job, "?from_version=0", &[]).await.status(), 422);

    // Nothing happens, and the connection shows that it is alive.
    let quiet = live.job().await;
    let mut stream = live.stream(&quiet, "", &[]).await;
    let known = live.system.events(&quiet).await.len();
    let mut text = String::new();
    frames(&mut stream, &mut text, known).await;
    let waiting = frames(&mut stream, &mut text, 1);
    let cancel = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        live.send(&quiet, Command::Cancel { reason: None }).await;
    };
    let ((_, comments), ()) = tokio::join!(waiting, cancel);
    assert!(comments >= 2, "{comments}");
    live.system.running.stop().await;
}
