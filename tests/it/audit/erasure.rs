//! Destroying a user's key: no word of theirs is left anywhere, what others wrote stays, and history stays valid.

use std::collections::BTreeSet;
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use reelstream::app::Role;
use reelstream::events::Envelope;
use reelstream::events::archive::trimmed_up_to;
use reelstream::ids::JobId;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::harness::{ALL_ROLES, ReadModels, Running, Servers, System, connect, eventually, files_under};

static API: [Role; 1] = [Role::Api];
static API_AND_PROJECTOR: [Role; 2] = [Role::Api, Role::Projector];

/// The places of a request where a user may write, as the ends of the words that are written there.
const WRITTEN: [&str; 12] = [
    "topic",
    "context",
    "script",
    "title",
    "description",
    "tag",
    "model",
    "moodkey",
    "mood",
    "font",
    "music",
    "callback",
];
/// The ends of other words: of headers, and of requests that become no video.
const OTHER: [&str; 5] = ["requestid", "idempotency", "template", "failing", "cancelled"];

/// What the roles of the test write to their logs, from here on.
fn log_to(path: &Path) {
    let file = Mutex::new(File::create(path).unwrap());
    tracing_subscriber::fmt()
        .with_writer(file)
        .with_ansi(false)
        .with_max_level(tracing::Level::DEBUG)
        .try_init()
        .unwrap();
}

/// A speech synthesiser that fails at a line with `unspeakable` in it, and complains in the words of the line.
fn moody_voice(folder: &Path) -> PathBuf {
    let path = folder.join("voice");
    let script = "#!/bin/sh\nline=$(cat)\ncase \"$line\" in *unspeakable*) echo \"cannot say $line\" >&2; exit 1;; \
                  esac\nprintf '%s' \"$line\" | espeak-ng \"$@\"\n";
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    path
}

/// A user all of whose words begin with a stem that nobody else uses.
#[derive(Clone, Copy)]
struct Person {
    id: &'static str,
    stem: &'static str,
}

const ANNA: Person = Person { id: "user_anna", stem: "vrulm" };
const BERT: Person = Person { id: "user_bert", stem: "splod" };

impl Person {
    fn word(self, place: &str) -> String {
        format!("{}{place}", self.stem)
    }

    /// The shortest video with a word in each of [`WRITTEN`].
    fn request(self) -> Value {
        let word = |place| self.word(place);
        json!({
            "topic": format!("About {}", word("topic")),
            "context": format!("In the context of {}.", word("context")),
            "script": format!("Ions {}.", word("script")),
            "title": format!("The {}", word("title")),
            "description": format!("On {} and more.", word("description")),
            "tags": [word("tag")],
            "model": word("model"),
            "template_id": "midnight",
            "style_preferences": { "font": word("font"), "music": word("music"), word("moodkey"): [word("mood")] },
            "callback_url": format!("https://hooks.invalid/{}", word("callback")),
            "quality": "low",
        })
    }

    async fn post(self, system: &System, body: &Value) -> reqwest::Response {
        let request = system.anonymous(Method::POST, "/api/v1/videos/generate");
        let request = request.bearer_auth(system.token(self.id, "user"));
        let request = request.header("X-Request-Id", self.word("requestid"));
        let key = format!("{}-{}", self.word("idempotency"), uuid::Uuid::new_v4());
        request.header("Idempotency-Key", key).json(body).send().await.unwrap()
    }

    async fn generate(self, system: &System, body: &Value) -> JobId {
        let answer = self.post(system, body).await;
        assert_eq!(answer.headers()["X-Request-Id"], self.word("requestid"));
        assert_eq!(answer.status(), 201);
        let answer: Value = answer.json().await.unwrap();
        answer["job_id"].as_str().unwrap().parse().unwrap()
    }

    async fn cancel(self, system: &System, job_id: JobId) {
        let request = system.anonymous(Method::POST, &format!("/api/v1/jobs/{job_id}/cancel"));
        let answer = request.bearer_auth(system.token(self.id, "user")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }

    async fn get(self, system: &System, path: &str) -> reqwest::Response {
        let request = system.anonymous(Method::GET, path);
        request.bearer_auth(system.token(self.id, "user")).send().await.unwrap()
    }

    async fn video(self, system: &System, job_id: JobId) -> reqwest::Response {
        self.get(system, &format!("/api/v1/videos/jobs/{job_id}/download")).await
    }

    /// What of the user's words are in a text, whatever their case.
    fn words_in(self, bytes: &[u8]) -> BTreeSet<String> {
        let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
        let found = text.match_indices(self.stem).map(|(at, stem)| {
            let rest = &text[at + stem.len()..];
            let place = WRITTEN.into_iter().chain(OTHER).find(|place| rest.starts_with(place));
            self.word(place.unwrap_or_default())
        });
        found.collect()
    }

    /// What of the user's words are in the files under a folder, and in their names.
    fn words_under(self, root: &Path) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for file in files_under(root) {
            found.extend(self.words_in(file.as_os_str().as_encoded_bytes()));
            // A server may remove a file of its own meanwhile.
            let bytes = std::fs::read(root.join(&file)).unwrap_or_default();
            found.extend(self.words_in(&bytes));
        }
        found
    }
}

/// Where words of a user are.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    /// Keys and values of Redis.
    redis: BTreeSet<String>,
    /// The append-only file, with its snapshot, and the server's log.
    redis_files: BTreeSet<String>,
    /// Rows of all tables of all schemas.
    rows: BTreeSet<String>,
    /// The files of PostgreSQL but its write-ahead log, with the server's log.
    postgres_files: BTreeSet<String>,
    /// Videos, their captions, and caches.
    media: BTreeSet<String>,
    /// Segments, unpacked, manifests, and the file of seals.
    archive: BTreeSet<String>,
    /// What the roles have written to their logs.
    log: BTreeSet<String>,
}

impl Found {
    async fn of(person: Person, system: &System, models: &ReadModels) -> Self {
        let folder = system.servers.folder.path();
        let rows = all_rows(models).await;
        // What is in memory only is on disk afterwards.
        sqlx::query("checkpoint").execute(&models.pool).await.unwrap();
        let mut postgres_files = BTreeSet::new();
        for entry in std::fs::read_dir(folder.join("postgres/cluster")).unwrap() {
            let path = entry.unwrap().path();
            if !path.ends_with("pg_wal") {
                postgres_files.extend(match path.is_dir() {
                    true => person.words_under(&path),
                    false => person.words_in(&std::fs::read(&path).unwrap_or_default()),
                });
            }
        }
        postgres_files.extend(person.words_in(&std::fs::read(folder.join("postgres/postgres.log")).unwrap()));
        Self {
            redis: person.words_in(all_of_redis(system).await.as_bytes()),
            redis_files: person.words_under(&folder.join("redis")),
            rows: person.words_in(rows.as_bytes()),
            postgres_files,
            media: person.words_under(system.media()),
            archive: person.words_in(&whole_archive(system)),
            log: person.words_in(&std::fs::read(folder.join("roles.log")).unwrap()),
        }
    }
}

/// The text of every row of every table that is not PostgreSQL's own, and of its planner's notes.
async fn all_rows(models: &ReadModels) -> String {
    let tables: Vec<String> = sqlx::query_scalar(
        "select format('%I.%I', table_schema, table_name) from information_schema.tables
         where table_schema not in ('pg_catalog', 'information_schema') and table_type = 'BASE TABLE'",
    )
    .fetch_all(&models.pool)
    .await
    .unwrap();
    for known in ["catalog.jobs", "trail.events", "public.user_keys", "public.audit_seals"] {
        assert!(tables.iter().any(|table| table == known), "{known}: {tables:?}");
    }
    let mut text = String::new();
    for table in tables.into_iter().chain(["pg_catalog.pg_stats".to_owned()]) {
        let query = format!("select t::text from {table} t");
        let rows: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(&models.pool).await.unwrap();
        text.extend(rows);
    }
    text
}

/// Every key of Redis and what it holds.
async fn all_of_redis(system: &System) -> String {
    let mut redis = connect(&system.config.redis.url).await;
    let mut text = String::new();
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut redis).await.unwrap();
    assert!(keys.len() > 10, "{keys:?}");
    for key in keys {
        let kind: String = redis::cmd("TYPE").arg(&key).query_async(&mut redis).await.unwrap();
        let (command, arguments): (_, &[&str]) = match &*kind {
            "string" => ("GET", &[]),
            "hash" => ("HGETALL", &[]),
            "list" => ("LRANGE", &["0", "-1"]),
            "set" => ("SMEMBERS", &[]),
            "zset" => ("ZRANGE", &["0", "-1"]),
            "stream" => ("XRANGE", &["-", "+"]),
            // It has gone meanwhile.
            "none" => continue,
            other => panic!("{key} is a {other}"),
        };
        let held: redis::Value =
            redis::cmd(command).arg(&key).arg(arguments).query_async(&mut redis).await.unwrap();
        text.push_str(&key);
        add_text(&held, &mut text);
    }
    text
}

fn add_text(value: &redis::Value, text: &mut String) {
    match value {
        redis::Value::BulkString(bytes) => {
            text.push(' ');
            text.push_str(&String::from_utf8_lossy(bytes));
        }
        redis::Value::Array(items) | redis::Value::Set(items) => {
            items.iter().for_each(|item| add_text(item, text));
        }
        redis::Value::Map(pairs) => pairs.iter().for_each(|(name, item)| {
            add_text(name, text);
            add_text(item, text);
        }),
        redis::Value::Nil => {}
        other => text.push_str(&format!(" {other:?}")),
    }
}

fn whole_archive(system: &System) -> Vec<u8> {
    let root = &system.config.archive.root;
    let mut bytes = vec![];
    for file in files_under(root) {
        let path = root.join(file);
        match path.extension().is_some_and(|extension| extension == "zst") {
            true => bytes.extend(zstd::decode_all(File::open(&path).unwrap()).unwrap()),
            false => bytes.extend(std::fs::read(&path).unwrap()),
        }
    }
    bytes
}

/// Whether the program succeeded, and what it said.
fn reel(system: &System, arguments: &[&str]) -> (bool, String) {
    let output = system.reel(arguments);
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

async fn status_of(models: &ReadModels, job_id: JobId) -> Option<String> {
    let query = "select status from catalog.jobs where job_id = $1";
    sqlx::query_scalar(query).bind(job_id.0).fetch_optional(&models.pool).await.unwrap()
}

async fn until_status(models: &ReadModels, job_id: JobId, wanted: &str) {
    eventually(wanted, async || status_of(models, job_id).await.as_deref() == Some(wanted)).await;
}

fn words(person: Person, places: &[&str]) -> BTreeSet<String> {
    places.iter().map(|place| person.word(place)).collect()
}

/// The name of the folder of a user's cache.
fn cache_of(person: Person) -> String {
    blake3::hash(person.id.as_bytes()).to_hex()[..32].to_owned()
}

/// Whether bytes are in the files of PostgreSQL's tables.
fn is_in_tables(system: &System, wanted: &[u8]) -> bool {
    let root = system.servers.folder.path().join("postgres/cluster/base");
    files_under(&root).into_iter().any(|file| {
        let bytes = std::fs::read(root.join(file)).unwrap_or_default();
        bytes.windows(wanted.len()).any(|window| window == wanted)
    })
}

/// The folders two levels down, such as `users/ID`, that files are in.
fn folders_with_files(root: &Path) -> BTreeSet<String> {
    let files = files_under(root).into_iter();
    files.map(|file| file.iter().take(2).collect::<PathBuf>().display().to_string()).collect()
}

/// The events of a job as a process tells them to its user that has not looked up any key before.
async fn events_from_a_new_process(person: Person, system: &System, job_id: JobId) -> Value {
    let fresh = Running::start(system.config.clone(), &API).await;
    let url = format!("{}/api/v1/jobs/{job_id}/events", fresh.url);
    let request = reqwest::Client::new().get(url).bearer_auth(system.token(person.id, "user"));
    let events = request.send().await.unwrap().json().await.unwrap();
    fresh.stop().await;
    events
}

/// Has both servers write values as they are: a word that is compressed is not found in their files.
async fn stop_compression(system: &System, models: &ReadModels) {
    let mut redis = connect(&system.config.redis.url).await;
    let mut set = redis::cmd("CONFIG");
    set.arg("SET").arg("rdbcompression").arg("no");
    let () = set.query_async(&mut redis).await.unwrap();
    let columns: Vec<String> = sqlx::query_scalar(
        "select format('alter table %I.%I alter %I set storage external', table_schema, table_name, column_name)
         from information_schema.columns where table_schema in ('catalog', 'trail') and data_type = 'text'",
    )
    .fetch_all(&models.pool)
    .await
    .unwrap();
    for statement in columns {
        sqlx::query(AssertSqlSafe(statement)).execute(&models.pool).await.unwrap();
    }
}

// M5
// The system goes on while a command runs.
#[tokio::test(flavor = "multi_thread")]
async fn no_word_of_an_erased_user_is_left_anywhere_and_others_keep_theirs() {
    let servers = Servers::private();
    log_to(&servers.folder.path().join("roles.log"));
    let voice = moody_voice(servers.folder.path());
    let system = System::start_on(servers, &ALL_ROLES, |config| {
        config.media.espeak_program = voice;
        config.streams.stages.values_mut().for_each(|stage| stage.attempts = 1);
    })
    .await;
    let models = system.read_models().await;
    stop_compression(&system, &models).await;
    // Each has a video, a job that was cancelled, one that failed, and a request that was refused.
    let mut videos = vec![];
    for person in [ANNA, BERT] {
        let mut refused = person.request();
        refused["template_id"] = json!(person.word("template"));
        assert_eq!(person.post(&system, &refused).await.status(), 422);
        let video = person.generate(&system, &person.request()).await;
        let mut failing = person.request();
        failing["script"] = json!(format!("{} is unspeakable.", person.word("failing")));
        let failed = person.generate(&system, &failing).await;
        let mut long = person.request();
        long["script"] = json!(format!("{} goes on and on. ", person.word("cancelled")).repeat(100));
        let cancelled = person.generate(&system, &long).await;
        eventually("it is planned", async || {
            let query = "select exists (select from catalog.scenes where job_id = $1)";
            sqlx::query_scalar(query).bind(cancelled.0).fetch_one(&models.pool).await.unwrap()
        })
        .await;
        person.cancel(&system, cancelled).await;
        until_status(&models, failed, "failed").await;
        until_status(&models, cancelled, "cancelled").await;
        videos.push(video);
    }
    for video in &videos {
        until_status(&models, *video, "completed").await;
    }
    models.caught_up().await;
    // What is built again leaves what was there before.
    for name in ["status", "catalog"] {
        let (ok, said) = reel(&system, &["projections", "rebuild", name]);
        assert!(ok, "{name}: {said}");
    }
    let (ok, said) = reel(&system, &["archive", "seal", "--all"]);
    assert!(ok, "{said}");

    // Everything is where it should be, so that the search can fail.
    let written = words(ANNA, &WRITTEN);
    let events = events_from_a_new_process(ANNA, &system, videos[0]).await;
    assert_eq!(ANNA.words_in(events.to_string().as_bytes()), written, "sealed, in the log");
    let sent_only = words(ANNA, &["requestid"]);
    let in_views = words(ANNA, &["description", "failing", "tag", "title", "topic"]);
    let in_rows = ["cancelled", "description", "failing", "font", "script", "tag", "title", "topic"];
    let before = Found {
        redis: in_views.clone(),
        redis_files: in_views,
        rows: words(ANNA, &in_rows),
        postgres_files: words(ANNA, &in_rows),
        media: words(ANNA, &["script", "title"]),
        archive: BTreeSet::new(),
        log: sent_only.clone(),
    };
    assert_eq!(Found::of(ANNA, &system, &models).await, before);
    let others = Found::of(BERT, &system, &models).await;
    assert!(folders_with_files(system.media()).contains(&format!("cache/{}", cache_of(ANNA))));
    assert_eq!(others.rows, words(BERT, &in_rows));
    let is_archived =
        |job: JobId| String::from_utf8_lossy(&whole_archive(&system)).contains(&job.to_string());
    assert!(is_archived(videos[0]));
    let log = std::fs::read_to_string(system.servers.folder.path().join("roles.log")).unwrap();
    assert!(log.contains("stage failed") && log.contains("NARRATION_FAILED"), "the roles write there");

    let wrapped = "select wrapped from user_keys where user_id = $1";
    let wrapped: Vec<u8> = sqlx::query_scalar(wrapped).bind(ANNA.id).fetch_one(&models.pool).await.unwrap();
    assert!(is_in_tables(&system, &wrapped));
    for keys in [1, 0] {
        let (ok, said) = reel(&system, &["erase", "user", ANNA.id, "--yes"]);
        assert!(ok && said.contains(&format!("{keys} keys destroyed, 3 jobs erased")), "{said}");
        assert_eq!(ANNA.words_in(said.as_bytes()), BTreeSet::new());
        let (ok, said) = reel(&system, &["archive", "seal", "--all"]);
        assert!(ok, "{said}");
        let nowhere = Found {
            redis: BTreeSet::new(),
            redis_files: BTreeSet::new(),
            rows: BTreeSet::new(),
            postgres_files: BTreeSet::new(),
            media: BTreeSet::new(),
            archive: BTreeSet::new(),
            // Logs have the ids of requests, as docs/AUDIT.md says.
            log: sent_only.clone(),
        };
        assert_eq!(Found::of(ANNA, &system, &models).await, nowhere);
        assert_eq!(Found::of(BERT, &system, &models).await, others);
        assert!(!is_in_tables(&system, &wrapped), "the wrapped key is on disk");
        // Pictures and sound have no words to look for, so nothing but the other's may be there.
        let theirs = [format!("cache/{}", cache_of(BERT)), format!("users/{}", BERT.id)];
        assert_eq!(folders_with_files(system.media()), BTreeSet::from(theirs));
    }
    let events = events_from_a_new_process(ANNA, &system, videos[0]).await;
    assert_eq!(events["events"][0]["data"]["request"]["topic"], "[sealed]");
    assert_eq!(ANNA.words_in(events.to_string().as_bytes()), BTreeSet::new());
    assert_ne!(ANNA.video(&system, videos[0]).await.status(), 200);

    let events = events_from_a_new_process(BERT, &system, videos[1]).await;
    assert_eq!(BERT.words_in(events.to_string().as_bytes()), words(BERT, &WRITTEN));
    let video = BERT.video(&system, videos[1]).await;
    assert_eq!(video.status(), 200);
    assert!(video.bytes().await.unwrap().windows(4).any(|bytes| bytes == b"ftyp"));
    for arguments in [["audit", "verify"], ["archive", "verify"]] {
        let (ok, said) = reel(&system, &arguments);
        assert!(ok, "{arguments:?}: {said}");
    }
    system.running.stop().await;
}

// The system goes on while a command runs.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_erased_before_yes_is_said() {
    let system = System::start(&API_AND_PROJECTOR).await;
    let models = system.read_models().await;
    let job_id = ANNA.generate(&system, &ANNA.request()).await;
    models.caught_up().await;
    let before = all_rows_but_checkpoints(&models).await;
    let (ok, said) = reel(&system, &["erase", "user", ANNA.id]);
    assert!(!ok && said.contains("content of 1 jobs") && said.contains("say --yes"), "{said}");
    models.caught_up().await;
    assert_eq!(all_rows_but_checkpoints(&models).await, before);
    assert_eq!(status_of(&models, job_id).await.as_deref(), Some("queued"));
    assert!(ANNA.words_in(before.as_bytes()).contains(&ANNA.word("topic")));
    system.running.stop().await;
}

async fn all_rows_but_checkpoints(models: &ReadModels) -> String {
    let rows = models.rows().await.into_iter();
    rows.map(|(table, row)| format!("{table} {row}\n")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn history_stays_valid_and_says_who_erased_what() {
    let system = System::start_with(&API_AND_PROJECTOR, |config| {
        config.streams.audit.segment_events = 2;
        config.streams.audit.seal_every = Duration::from_millis(200);
        config.streams.retention.log = Duration::ZERO;
    })
    .await;
    let models = system.read_models().await;
    let ended = ANNA.generate(&system, &ANNA.request()).await;
    ANNA.cancel(&system, ended).await;
    let open = ANNA.generate(&system, &ANNA.request()).await;
    models.caught_up().await;
    let history = async |job: JobId| models.log.history(job.aggregate(), 0).await.unwrap();
    let (ended_before, open_before) = (history(ended).await, history(open).await);

    let (ok, said) = reel(&system, &["erase", "user", ANNA.id, "--yes"]);
    assert!(ok && said.contains("1 keys destroyed, 2 jobs erased"), "{said}");
    models.caught_up().await;
    let partition = models.log.keys().partition_of(ended.aggregate());
    eventually("histories are read from the archive", async || {
        trimmed_up_to(&models.log, partition).await.unwrap() > 0
    })
    .await;
    for (job, before, added) in [
        (ended, &ended_before, &["ContentErased"][..]),
        (open, &open_before, &["CancelRequested", "JobCancelled", "ContentErased"]),
    ] {
        let after = history(job).await;
        let (kept, new): (&[Envelope], &[Envelope]) = after.split_at(before.len());
        assert!(kept.iter().zip(before).all(|(is, was)| is.hash == was.hash && is.data == was.data));
        let new: Vec<&str> = new.iter().map(|event| &*event.event_type).collect();
        assert!(added.ends_with(&new) && new.contains(&"ContentErased"), "{new:?}");
        let status: Value =
            ANNA.get(&system, &format!("/api/v1/videos/jobs/{job}/status")).await.json().await.unwrap();
        assert_eq!((&status["topic"], &status["status"]), (&json!("[erased]"), &json!("cancelled")));
    }
    let (ok, said) = reel(&system, &["audit", "verify"]);
    assert!(ok, "{said}");
    let trail = models.rows_of("trail.events").await;
    let erased = trail.iter().find(|row| row["type"] == "UserErased").unwrap();
    assert!(erased["actor"].as_str().unwrap().starts_with("user:operator"), "{erased}");
    // Derived from the log again, it is as gone.
    for name in ["status", "catalog", "trail"] {
        let (ok, said) = reel(&system, &["projections", "rebuild", name]);
        assert!(ok && said.contains("0 rows had been other"), "{name}: {said}");
    }
    assert_eq!(ANNA.words_in(all_rows(&models).await.as_bytes()), BTreeSet::new());
    system.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_is_under_way_ends_and_leaves_nothing() {
    let system = System::start(&ALL_ROLES).await;
    let models = system.read_models().await;
    let mut long = ANNA.request();
    long["script"] = json!(format!("# {0}\n\nA {0} stands here. ", ANNA.word("script")).repeat(100));
    let job_id = ANNA.generate(&system, &long).await;
    until_status(&models, job_id, "processing").await;
    eventually("there are files", async || !files_under(system.media()).is_empty()).await;
    let (ok, said) = reel(&system, &["erase", "user", ANNA.id, "--yes"]);
    assert!(ok && said.contains("1 jobs erased"), "{said}");
    until_status(&models, job_id, "cancelled").await;
    eventually("what was at work has stopped, and its files are gone", async || {
        files_under(system.media()).is_empty()
    })
    .await;
    models.caught_up().await;
    assert_eq!(ANNA.words_in(all_rows(&models).await.as_bytes()), BTreeSet::new());
    system.running.stop().await;
}
