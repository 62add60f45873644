//! One event that cannot be applied stops one job, and nothing else (H1, H2, 000-1.3).

use std::collections::BTreeSet;
use std::time::Duration;

use reelstream::app::{Role, archive_partition};
#[cfg(feature = "chaos")]
use reelstream::clock::Clock;
use reelstream::events::job::JobRequested;
use reelstream::events::{
    Actor, AggregateKind, Append, CHAIN_START, Envelope, EventLog, JobEvent, Mark, Priority, VideoRequest,
    WorkQueue, upcast,
};
use reelstream::ids::{AggregateId, CommandId, EventId, JobId};
use reelstream::projections::quarantine::{self, Quarantined};
use reelstream::projections::{Projection, feed, halts, lag, rebuild};
use reelstream::signing::SigningKey;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::harness::{MASTER_KEY, ReadModels, Running, System, eventually, short_request};

static API: [Role; 1] = [Role::Api];
static PROJECTOR: [Role; 1] = [Role::Projector];
static API_AND_PROJECTOR: [Role; 2] = [Role::Api, Role::Projector];

const SECRET: &str = "Zanzibarite";

/// An event as somebody writes it who goes around the executor: its type, its schema, and its data.
pub type Raw = (&'static str, u32, String);

pub fn requested(user: &str, topic: &str) -> Raw {
    let request = VideoRequest::of_script(topic, "A script.");
    let event = JobEvent::JobRequested(JobRequested {
        user_id: user.into(),
        request: request.into(),
        batch_id: None,
    });
    ("JobRequested", 1, upcast::encode(&event).unwrap().data)
}

fn queued() -> Raw {
    ("JobQueued", 1, upcast::encode(&JobEvent::JobQueued { priority: Priority::Normal }).unwrap().data)
}

/// A request that nests deeper than a decoder goes.
fn deep_request() -> Raw {
    let (event_type, schema, data) = requested("user_1", "deep");
    let mut value: Value = serde_json::from_str(&data).unwrap();
    let nested = "[".repeat(126) + &"]".repeat(126);
    value["request"]["style_preferences"] = json!({ "a": "DEEP" });
    (event_type, schema, value.to_string().replace("\"DEEP\"", &nested))
}

/// Histories that cannot be decoded from some event on, or that Postgres does not take.
fn hostile() -> Vec<Vec<Raw>> {
    let unindexable: String = (0..9000).map(|n| char::from(b'a' + (n * n % 7919 * 31 % 26) as u8)).collect();
    vec![
        vec![deep_request(), queued()],
        vec![requested("user_1", "unknown type"), ("JobVanished", 1, "{}".into()), queued()],
        vec![requested("user_1", "unknown schema"), ("JobQueued", 9, "{}".into()), queued()],
        vec![requested("user_1", "broken"), queued(), ("StageScheduled", 1, "{\"stage\":".into())],
        vec![requested("user_1", "no JSON"), ("JobQueued", 1, "\u{1}".into())],
        vec![requested(&unindexable, "too long for an index"), queued()],
    ]
}

/// Appends a history below the executor: it is chained and hashed as it should be.
async fn append_raw(log: &EventLog, job_id: JobId, user: &str, events: &[Raw]) {
    let last = log.history(job_id.aggregate(), 0).await.unwrap().pop();
    let version = last.as_ref().map_or(0, |last| last.version);
    let mut prev_hash = last.map_or_else(|| CHAIN_START.to_owned(), |last| last.hash);
    let command_id = CommandId::new();
    let mut envelopes = vec![];
    for (version, (event_type, schema, data)) in (version + 1..).zip(events) {
        let mut envelope = Envelope {
            event_id: EventId::new(),
            aggregate: AggregateKind::Job,
            aggregate_id: job_id.aggregate(),
            version,
            event_type: (*event_type).to_owned(),
            schema: *schema,
            recorded_at: chrono::Utc::now(),
            command_id,
            causation_id: None,
            correlation_id: "raw".into(),
            actor: Actor::User(user.into()),
            traceparent: String::new(),
            prev_hash,
            hash: String::new(),
            data: data.clone(),
        };
        envelope.hash = envelope.compute_hash();
        prev_hash = envelope.hash.clone();
        envelopes.push(envelope);
    }
    let append = Append {
        aggregate_id: job_id.aggregate(),
        expected_version: version,
        command_id,
        events: &envelopes,
        work: &[],
        mark: (version == 0).then_some(Mark::Open),
        done: None,
    };
    log.append(&append).await.unwrap();
}

pub async fn append_job(log: &EventLog, user: &str, events: &[Raw]) -> JobId {
    let job_id = JobId::new();
    append_raw(log, job_id, user, events).await;
    job_id
}

fn reel(system: &System, arguments: &[&str]) -> (bool, String) {
    let output = system.reel(arguments);
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (output.status.success(), said)
}

async fn quarantined(models: &ReadModels, projection: &str) -> Vec<Quarantined> {
    let all = quarantine::all(&models.log).await.unwrap();
    all.into_iter().filter(|(of, ..)| of == projection).map(|(.., quarantined)| quarantined).collect()
}

fn ids(quarantined: &[Quarantined]) -> BTreeSet<AggregateId> {
    quarantined.iter().map(|of| of.aggregate_id).collect()
}

/// Every row and view of a job is what its history leads to.
async fn check_job(models: &ReadModels, job_id: JobId) {
    let folded = models.statuses.folded(job_id, u64::MAX).await.unwrap().unwrap();
    assert_eq!(models.statuses.stored(job_id).await.unwrap().as_ref(), Some(&folded));
    let row: (i64, String) = sqlx::query_as("select version, topic from catalog.jobs where job_id = $1")
        .bind(job_id.0)
        .fetch_one(&models.pool)
        .await
        .unwrap();
    assert_eq!(row, (folded.version as i64, folded.topic.replace('\0', "\u{fffd}")));
}

async fn rebuild_all(models: &ReadModels) {
    for model in models.models() {
        let done = rebuild::rebuild(&models.log, &model, false, &watch::Sender::default()).await.unwrap();
        assert_eq!(done.count, 0, "{}: {done:#?}", model.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_events_stop_their_jobs_alone() {
    let system = System::start_with(&API_AND_PROJECTOR, |config| {
        config.streams.audit.segment_events = 3;
        config.streams.retention.log = Duration::ZERO;
    })
    .await;
    let models = system.read_models().await;
    let (mut good, mut bad) = (vec![], vec![]);
    for events in hostile() {
        good.push(system.generate(&short_request()).await.parse::<JobId>().unwrap());
        bad.push(append_job(&models.log, "user_1", &events).await);
    }
    let nul = append_job(&models.log, "user_1", &[requested("user_1", "a\0b"), queued()]).await;
    good.push(system.generate(&short_request()).await.parse().unwrap());
    good.push(nul);
    models.caught_up().await;

    // The last one decodes, so only the tables cannot take it.
    let bad_ids: BTreeSet<AggregateId> = bad.iter().map(|job| job.aggregate()).collect();
    let undecodable: BTreeSet<AggregateId> = bad[..5].iter().map(|job| job.aggregate()).collect();
    eventually("all are quarantined", async || {
        ids(&quarantined(&models, "catalog").await) == bad_ids
            && ids(&quarantined(&models, "status").await) == undecodable
    })
    .await;
    assert_eq!(quarantined(&models, "trail").await, []);
    assert_eq!(halts::all(&models.log).await.unwrap(), []);
    for job_id in &good {
        check_job(&models, *job_id).await;
    }
    models.verify().await;

    // Somebody notices.
    let (_, listed) = reel(&system, &["projections", "list"]);
    for job_id in &bad {
        assert!(listed.contains(&format!("passes over job {job_id}")), "{listed}");
    }
    let (ok, shown) = reel(&system, &["projections", "show", "catalog"]);
    assert!(ok && shown.contains("JobVanished") && !shown.contains("unknown type"), "{shown}");
    let health = system.get("/api/v1/system/health").await;
    assert_eq!(health.status(), 200, "degraded, not unhealthy");
    let health: Value = health.json().await.unwrap();
    let component = &health["components"]["projections"];
    assert_eq!(component["status"], "degraded", "{health}");
    assert!(component["detail"].as_str().unwrap().contains("catalog passes over 6 aggregates"), "{health}");
    let metrics = system.get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("reel_projection_quarantined{projection=\"catalog\"} 6"), "{metrics}");

    // Only who asks for such a job hears of it.
    let answer = system.get(&format!("/api/v1/videos/jobs/{}/status", bad[1])).await;
    assert_eq!(answer.status(), 500);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["error"]["error_code"], "JOB_UNREADABLE", "{body}");

    // A rebuild passes over the same, and so does whatever waits for read models.
    rebuild_all(&models).await;
    models.verify().await;
    let (ok, said) = reel(&system, &["erase", "user", "somebody else", "--yes"]);
    assert!(ok, "{said}");
    for job_id in &good[..6] {
        let path = format!("/api/v1/jobs/{job_id}/cancel");
        assert_eq!(system.post(&path, &json!({})).await.status(), 200);
    }
    models.caught_up().await;
    let key = SigningKey::parse(MASTER_KEY).unwrap();
    let mut trimmed = 0;
    for partition in models.log.keys().partitions() {
        let streams = &system.config.streams;
        let done = archive_partition(&models.log, &models.projections(), streams, &key, partition).await;
        trimmed += done.unwrap().1.up_to;
    }
    assert!(trimmed > 0, "open jobs that are quarantined hold nothing back");
    rebuild_all(&models).await;

    // A fixed version would read the event; here it is left out.
    let vanished = quarantined(&models, "catalog").await;
    let vanished = vanished.iter().find(|of| of.aggregate_id == bad[1].aggregate()).unwrap().clone();
    let partition = models.log.keys().partition_of(vanished.aggregate_id).to_string();
    let (ok, said) = reel(&system, &["projections", "release", "catalog", &bad[1].to_string()]);
    assert!(!ok && said.contains("still cannot apply"), "{said}");
    for name in ["catalog", "status"] {
        let seq = vanished.seq.to_string();
        let (ok, said) =
            reel(&system, &["projections", "skip", name, &partition, &seq, "--reason", "a broken tool"]);
        assert!(ok, "{said}");
        eventually("it is taken up", async || {
            !ids(&quarantined(&models, name).await).contains(&bad[1].aggregate())
        })
        .await;
    }
    models.statuses.histories().decisions().refresh().await.unwrap();
    check_job(&models, bad[1]).await;
    assert_eq!(models.statuses.stored(bad[1]).await.unwrap().unwrap().version, 3);
    models.verify().await;
    rebuild_all(&models).await;
    let (ok, said) = reel(&system, &["projections", "release", "catalog", &bad[1].to_string()]);
    assert!(!ok && said.contains("does not pass over"), "{said}");
    let recorded: Vec<String> = sqlx::query_scalar(
        "select distinct type from trail.events where aggregate = 'projection' order by 1",
    )
    .fetch_all(&models.pool)
    .await
    .unwrap();
    assert_eq!(recorded, ["AggregateQuarantined", "AggregateReleased", "EventSkipped"]);
    system.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_the_program_halts_instead_of_quarantining_everything() {
    let system = System::start_with(&API, |config| config.streams.partitions = 1).await;
    let models = system.read_models().await;
    for _ in 0..60 {
        append_job(&models.log, "user_1", &[requested("user_1", "t"), ("JobVanished", 1, "{}".into())]).await;
    }
    let projector = Running::start(system.config.clone(), &PROJECTOR).await;
    eventually("both are halted", async || halts::all(&models.log).await.unwrap().len() == 2).await;
    for halt in halts::all(&models.log).await.unwrap() {
        assert!(halt.error.contains("this version of the program is the likely cause"), "{}", halt.error);
    }
    for name in ["status", "catalog"] {
        assert_eq!(quarantined(&models, name).await.len(), 30, "half of a batch");
    }
    projector.stop().await;
    system.running.stop().await;
}

/// An open job that cannot be read is closed by an operator, and erased with its user's others.
#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_job_can_be_closed_and_erased() {
    let system = System::start(&API_AND_PROJECTOR).await;
    let models = system.read_models().await;
    let queue = WorkQueue::new(&models.log);
    let vanished: Raw = ("JobVanished", 1, "{}".into());
    let history = [requested("mallory", SECRET), vanished.clone()];
    let closed = append_job(&models.log, "mallory", &history).await;
    let open = append_job(&models.log, "mallory", &history).await;
    let unknown = append_job(&models.log, "mallory", &[deep_request()]).await;
    let readable = system.generate(&short_request()).await;
    models.caught_up().await;
    assert!(models.rows().await.iter().any(|(_, row)| row.to_string().contains(SECRET)));

    let (ok, said) = reel(&system, &["projections", "close", &closed.to_string()]);
    assert!(ok && said.contains("is cancelled"), "{said}");
    let (ok, said) = reel(&system, &["projections", "close", &closed.to_string()]);
    assert!(ok && said.contains("is not open"), "{said}");
    let (ok, said) = reel(&system, &["projections", "close", &readable]);
    assert!(!ok && said.contains("reel cancel"), "{said}");
    assert_eq!(queue.open().await.unwrap(), 3);
    assert!(!queue.is_open(closed.aggregate()).await.unwrap());

    let (ok, said) = reel(&system, &["erase", "user", "mallory", "--yes"]);
    assert!(ok && said.contains("3 jobs erased"), "{said}");
    models.caught_up().await;
    for job_id in [open, unknown] {
        assert!(!queue.is_open(job_id.aggregate()).await.unwrap());
    }
    for (table, row) in models.rows().await {
        assert!(!row.to_string().contains(SECRET), "{table}: {row}");
    }
    assert!(!documents(&models, open).await.contains(SECRET));
    models.verify().await;
    rebuild_all(&models).await;
    assert!(!documents(&models, open).await.contains(SECRET), "nor after a rebuild");
    system.running.stop().await;
}

/// All that Redis holds of the status of a job, in every edition.
async fn documents(models: &ReadModels, job_id: JobId) -> String {
    let key = models.log.keys().status_view(job_id);
    let fields: Vec<String> =
        redis::cmd("HGETALL").arg(key).query_async(&mut models.log.connection()).await.unwrap();
    fields.join("\n")
}

/// M5: erased words do not stay in an edition of the status that is served no more, or was never finished.
#[tokio::test(flavor = "multi_thread")]
async fn no_edition_of_a_status_outlives_a_switch_or_an_erasure() {
    let system = System::start(&API_AND_PROJECTOR).await;
    let models = system.read_models().await;
    let body = json!({ "topic": SECRET, "script": "A stone.", "quality": "low" });
    let job_id: JobId = system.generate(&body).await.parse().unwrap();
    let partition = models.log.keys().partition_of(job_id.aggregate());
    models.caught_up().await;
    assert!(documents(&models, job_id).await.contains(SECRET));
    rebuild_all(&models).await;
    let fields = async || -> Vec<String> {
        let mut command = redis::cmd("HKEYS");
        command.arg(models.log.keys().status_view(job_id));
        let mut fields: Vec<String> = command.query_async(&mut models.log.connection()).await.unwrap();
        fields.sort();
        fields
    };
    assert_eq!(fields().await, ["2", "2:version"], "those of the old edition are gone");

    // A rebuild that was interrupted: its edition holds the words, and nobody fills it any more.
    models.statuses.prepare_next(partition, false).await.unwrap();
    let mut owner = models.statuses.next().own(partition).await.unwrap().unwrap();
    let until = models.log.head(partition).await.unwrap();
    feed(&models.log, owner.as_mut(), partition, &Default::default(), 100, until).await.unwrap();
    owner.release().await.unwrap();
    assert_eq!(fields().await, ["2", "2:version", "3", "3:version"]);
    let (ok, said) = reel(&system, &["erase", "user", "user_1", "--yes"]);
    assert!(ok, "{said}");
    models.caught_up().await;
    assert!(!documents(&models, job_id).await.contains(SECRET), "{}", documents(&models, job_id).await);
    assert_eq!(fields().await, ["2", "2:version"]);
    rebuild_all(&models).await;
    let edition: u64 = fields().await[0].parse().unwrap();
    assert!(edition > 3, "a number is never used again: {edition}");
    assert_eq!(fields().await, [edition.to_string(), format!("{edition}:version")]);
    system.running.stop().await;
}

/// N hostile histories at random places: all other jobs are what the log leads to.
#[cfg(feature = "chaos")]
#[tokio::test(flavor = "multi_thread")]
async fn read_models_equal_the_fold_of_the_log_but_for_hostile_jobs() {
    use super::histories::Histories;
    use crate::log::model::{Random, seed};
    use reelstream::execute::Executor;

    let seed = seed();
    println!("REEL_SEED={seed}");
    let mut random = Random::new(seed);
    let system = System::start_with(&API_AND_PROJECTOR, |config| config.streams.partitions = 2).await;
    let models = system.read_models().await;
    let pool = models.pool.clone();
    let vault = reelstream::vault::Vault::new(pool, system.config.keys.master.clone());
    let executor = Executor::new(models.log.clone(), Clock::system()).with_vault(vault);
    let mut histories =
        Histories { executor: &executor, random: Random::new(random.next()), clock: None, jobs: vec![] };
    let kinds = hostile();
    let mut bad = BTreeSet::new();
    for _ in 0..20 {
        histories.go_on(20).await;
        // Into a history of its own, or behind that of a job that nobody will go on with.
        let kind = &kinds[random.below(5) as usize];
        bad.insert(append_job(&models.log, "user_1", kind).await);
        if random.one_in(3) {
            let victim = histories.jobs.swap_remove(random.below(histories.jobs.len() as u64) as usize);
            append_raw(&models.log, victim, "user_1", &[("JobVanished", 1, "{}".into()), queued()]).await;
            bad.insert(victim);
        }
    }
    models.caught_up().await;
    let bad_ids: BTreeSet<AggregateId> = bad.iter().map(|job| job.aggregate()).collect();
    for name in ["status", "catalog"] {
        assert_eq!(ids(&quarantined(&models, name).await), bad_ids, "{name}");
    }
    for job_id in &histories.jobs {
        if models.statuses.stored(*job_id).await.unwrap().is_some() {
            check_job(&models, *job_id).await;
        }
    }
    models.verify().await;
    rebuild_all(&models).await;
    models.verify().await;
    for projection in models.projections() {
        assert_eq!(lag(&models.log, projection.as_ref()).await.unwrap(), 0);
    }
    system.running.stop().await;
}
