//! Read models equal the fold of the log, whenever and however often they are fed.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reelstream::app::Role;
use reelstream::ids::JobId;
use reelstream::postgres::migrate;
use reelstream::projections::quarantine::Quarantined;
use reelstream::projections::rebuild::{self, Differences, Edition, Filling, Rebuildable};
use reelstream::projections::{Batch, Error, OWNED_FOR, Owner, Projection, halts};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::harness::{ALL_ROLES, ReadModels, Running, Servers, System, eventually, short_request};

static API: [Role; 1] = [Role::Api];
static PROJECTOR: [Role; 1] = [Role::Projector];

#[tokio::test]
async fn all_read_models_hold_what_the_log_says() {
    let system = System::start(&ALL_ROLES).await;
    let job_id = system.generate(&short_request()).await;
    system.statuses_until_ended(&job_id, Duration::from_secs(180)).await;
    let models = system.read_models().await;
    models.caught_up().await;
    models.verify().await;
    let folded = models.statuses.folded(job_id.parse().unwrap(), u64::MAX).await.unwrap().unwrap();
    assert_eq!(folded.topic, "Ions", "content is opened with the user's key");

    let job = &models.rows_of("catalog.jobs").await[0];
    assert_eq!((&job["status"], &job["topic"]), (&json!("completed"), &json!("Ions")));
    assert_eq!(job["version"], folded.version);
    assert_eq!(job["stages_completed"].as_array().unwrap().len(), 7);
    let scenes = models.rows_of("catalog.scenes").await;
    assert!(scenes.len() >= 3 && scenes.iter().all(|scene| scene["status"] == "rendered"), "{scenes:?}");
    assert!(
        scenes.iter().any(|scene| scene["narration"].as_str().unwrap().contains("Ions move")),
        "{scenes:?}"
    );
    assert_eq!(models.rows_of("catalog.stages").await.len(), 7);
    assert_eq!(models.rows_of("catalog.videos").await[0]["duration_ms"], folded.video.unwrap().duration_ms);
    // The video, three thumbnails, two files of captions, three playlists: the segments are in the video.
    assert_eq!(models.rows_of("catalog.storage_operations").await[0]["files"], 9);
    assert_eq!(models.rows_of("trail.events").await.len(), folded.version as usize);
    let hour = &models.rows_of("catalog.hourly_jobs").await[0];
    assert_eq!((&hour["requested"], &hour["completed"], &hour["failed"]), (&json!(1), &json!(1), &json!(0)));
    system.running.stop().await;
}

#[tokio::test]
async fn a_projector_that_was_away_catches_up() {
    let system = System::start(&API).await;
    let job_id = system.generate(&short_request()).await;
    // Nothing projects yet: the status is folded from the log (read your own write).
    let status = system.status(&job_id).await;
    assert_eq!((&status["status"], &status["version"]), (&json!("queued"), &json!(3)));
    let models = system.read_models().await;
    assert!(models.rows().await.is_empty());
    let projector = Running::start(system.config.clone(), &PROJECTOR).await;
    models.caught_up().await;
    models.verify().await;
    assert_eq!(models.rows_of("catalog.jobs").await[0]["status"], "queued");
    projector.stop().await;
    system.running.stop().await;
}

#[tokio::test]
async fn migrations_run_from_several_processes_at_once_and_again_after_half_of_one() {
    // Roles belong to a whole server: this is a new one.
    let servers = Servers::private();
    let pool = PgPool::connect(&servers.database_url).await.unwrap();
    let (a, b, c) = tokio::join!(migrate(&pool), migrate(&pool), migrate(&pool));
    a.and(b).and(c).unwrap();
    // A server that stopped in the middle of a migration has undone it: only the first of the two is there.
    let undo = "drop schema analytics, catalog, library, trail cascade; drop table user_keys, audit_seals;
                create table projection_checkpoints (); create table jobs (); create table stages (); create table videos ();
                delete from _sqlx_migrations where version > 1";
    sqlx::raw_sql(undo).execute(&pool).await.unwrap();
    migrate(&pool).await.unwrap();
    let jobs: i64 =
        sqlx::query_scalar("select count(*) from analytics.job_facts").fetch_one(&pool).await.unwrap();
    assert_eq!(jobs, 0);
}

/// All events of a partition as one batch.
async fn whole_partition(system: &System, partition: u16) -> Batch {
    let events = system.log().await.read(partition, 0, 10_000).await.unwrap();
    Batch { partition, last_seq: events.last().map_or(0, |(seq, _)| *seq), events, ..Batch::default() }
}

async fn owner(projection: &dyn Projection, partition: u16) -> Box<dyn Owner> {
    projection.own(partition).await.unwrap().expect("nobody else owns it")
}

#[tokio::test]
async fn one_owner_at_a_time_and_an_old_one_is_refused() {
    let system = System::start(&API).await;
    let job_id = system.generate(&short_request()).await;
    let models = system.read_models().await;
    let id: JobId = job_id.parse().unwrap();
    let partition = models.log.keys().partition_of(id.aggregate());
    let batch = whole_partition(&system, partition).await;
    for projection in models.projections() {
        let name = projection.name();
        let mut old = owner(projection.as_ref(), partition).await;
        assert!(projection.own(partition).await.unwrap().is_none(), "{name}: owned already");
        // The owner is thought dead: its session or its token goes, and another takes its place.
        if name == "status" {
            let owner = models.log.keys().status_owner(partition, 1);
            let _: () = redis::cmd("DEL").arg(owner).query_async(&mut models.log.connection()).await.unwrap();
        } else {
            let end = "select pg_terminate_backend(pid) from pg_stat_activity
                       where application_name = $1 and datname = current_database()";
            sqlx::query(end).bind(format!("reelstream {name}")).execute(&models.pool).await.unwrap();
        }
        let mut new = None;
        eventually("the new owner has it", async || {
            new = projection.own(partition).await.unwrap();
            new.is_some()
        })
        .await;
        let refused = old.apply(&batch).await.unwrap_err();
        assert!(refused.is_retryable(), "{name}: {refused}");
        assert_eq!(projection.checkpoint(partition).await.unwrap(), 0, "{name}: nothing was written");
        let mut new = new.unwrap();
        new.apply(&batch).await.unwrap();
        assert_eq!(new.checkpoint(), batch.last_seq);
        // Whoever finds the checkpoint moved is not the owner, whatever it believes.
        move_checkpoint(&models, name, partition).await;
        let refused = new.apply(&batch).await;
        assert!(matches!(refused, Err(Error::Fenced { .. })), "{name}: {refused:?}");
    }
    let counts = models.rows_of("catalog.user_jobs").await;
    assert_eq!((counts.len(), &counts[0]["jobs"]), (1, &json!(1)), "counted once");
    system.running.stop().await;
}

async fn move_checkpoint(models: &ReadModels, projection: &str, partition: u16) {
    if projection == "status" {
        let checkpoint = models.log.keys().status_checkpoint(partition, 1);
        let _: u64 =
            redis::cmd("INCR").arg(checkpoint).query_async(&mut models.log.connection()).await.unwrap();
    } else {
        let query =
            format!("update {projection}.checkpoints set seq = seq + 1 where partition = {partition}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(query)).execute(&models.pool).await.unwrap();
    }
}

#[tokio::test]
async fn two_projectors_at_once_do_everything_once() {
    let system = System::start(&API).await;
    let (a, b) = (
        Running::start(system.config.clone(), &PROJECTOR).await,
        Running::start(system.config.clone(), &PROJECTOR).await,
    );
    let models = system.read_models().await;
    for _ in 0..5 {
        system.generate(&short_request()).await;
    }
    models.caught_up().await;
    // The one that owned is gone; the other takes its place.
    a.stop().await;
    for _ in 0..5 {
        system.generate(&short_request()).await;
    }
    models.caught_up().await;
    models.verify().await;
    let counted: i64 =
        models.rows_of("catalog.user_jobs").await.iter().map(|row| row["jobs"].as_i64().unwrap()).sum();
    assert_eq!(counted, 10);
    b.stop().await;
    system.running.stop().await;
}

/// Appends an entry that is no event to the log, as no process would write it.
pub async fn damage(system: &System, partition: u16) -> u64 {
    let log = system.log().await;
    let mut redis = log.connection();
    let seq = log.head(partition).await.unwrap() + 1;
    let mut add = redis::cmd("XADD");
    add.arg(log.keys().log(partition)).arg(format!("{seq}-0")).arg("event_id").arg("none");
    let _: String = add.query_async(&mut redis).await.unwrap();
    let _: () =
        redis::cmd("SET").arg(log.keys().head(partition)).arg(seq).query_async(&mut redis).await.unwrap();
    seq
}

/// What is wrong with the log itself, and not with one aggregate, halts.
#[tokio::test]
async fn a_damaged_entry_halts_its_partition_alone_until_it_is_skipped() {
    let system = System::start(&[Role::Api, Role::Projector]).await;
    let models = system.read_models().await;
    let job_id = system.generate(&short_request()).await;
    models.caught_up().await;
    let id: JobId = job_id.parse().unwrap();
    let partition = models.log.keys().partition_of(id.aggregate());
    let seq = damage(&system, partition).await;
    eventually("all four are halted", async || halts::all(&models.log).await.unwrap().len() == 4).await;
    for halt in halts::all(&models.log).await.unwrap() {
        assert_eq!((halt.partition, halt.seq), (partition, seq));
    }
    for job in jobs_elsewhere(&system, partition).await {
        eventually("other partitions go on", async || {
            models.rows_of("catalog.jobs").await.iter().any(|row| row["job_id"] == job.as_str())
        })
        .await;
    }
    let health: Value = system.get("/api/v1/system/health").await.json().await.unwrap();
    let component = &health["components"]["projections"];
    assert_eq!(component["status"], "degraded", "{health}");
    let detail = component["detail"].as_str().unwrap();
    assert!(
        detail.contains(&format!("catalog is halted at event {seq} of partition {partition}")),
        "{detail}"
    );
    let metrics = system.get("/metrics").await.text().await.unwrap();
    let gauge = format!("reel_projection_halted{{projection=\"catalog\",partition=\"{partition}\"}} 1");
    assert!(metrics.contains(&gauge), "{metrics}");

    let reel = |arguments: &[&str]| {
        let output = system.reel(arguments);
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let (partition_text, seq_text) = (partition.to_string(), seq.to_string());
    let (ok, error) = reel(&["projections", "skip", "catalog", &partition_text, "1", "--reason", "no"]);
    assert!(!ok && error.contains("is not halted there"), "{error}");
    for name in ["catalog", "library", "status", "trail"] {
        let skip =
            ["projections", "skip", name, &partition_text, &seq_text, "--reason", "a broken tool wrote it"];
        let (ok, error) = reel(&skip);
        assert!(ok, "{error}");
    }
    models.caught_up().await;
    eventually("nothing is halted", async || halts::all(&models.log).await.unwrap().is_empty()).await;
    let skipped = models.rows_of("trail.events").await;
    assert_eq!(skipped.iter().filter(|row| row["type"] == "EventSkipped").count(), 4, "recorded");
    // A rebuild skips it, too.
    let model = models.model("catalog");
    let differences = rebuild::rebuild(&models.log, &model, false, &watch::Sender::default()).await.unwrap();
    assert_eq!(differences.count, 0, "{differences:?}");
    system.running.stop().await;
}

/// A job in each of some partitions other than `but`.
async fn jobs_elsewhere(system: &System, but: u16) -> Vec<String> {
    let keys = system.log().await.keys().clone();
    let mut jobs = vec![];
    while jobs.len() < 3 {
        let job = system.generate(&short_request()).await;
        if keys.partition_of(job.parse::<JobId>().unwrap().aggregate()) != but {
            jobs.push(job);
        }
    }
    jobs
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_switches_under_a_running_projector() {
    let system = System::start(&[Role::Api, Role::Projector]).await;
    let models = system.read_models().await;
    for _ in 0..10 {
        system.generate(&short_request()).await;
    }
    let requests = async {
        for _ in 0..60 {
            let job_id = system.generate(&short_request()).await;
            // Whoever has just written reads it, whatever is being switched.
            let status = system.status(&job_id).await;
            assert_eq!((&status["status"], &status["version"]), (&json!("queued"), &json!(3)));
        }
    };
    let rebuilds = async {
        for _ in 0..2 {
            for model in models.models() {
                let done = rebuild::rebuild(&models.log, &model, false, &watch::Sender::default()).await;
                assert_eq!(done.unwrap().count, 0, "{}", model.name());
            }
        }
    };
    tokio::join!(requests, rebuilds);
    models.caught_up().await;
    models.verify().await;
    assert_eq!(models.rows_of("catalog.jobs").await.len(), 70);
    assert_eq!(models.rows_of("trail.events").await.len(), 210);
    system.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_switches_one_partition_after_another_while_all_of_them_grow() {
    let system = System::start(&[Role::Api, Role::Projector]).await;
    let models = system.read_models().await;
    let model = models.model("status");
    let done = CancellationToken::new();
    let requests = futures_util::future::join_all((0..6).map(async |_| {
        for _ in 0..150 {
            if done.is_cancelled() {
                break;
            }
            system.generate(&short_request()).await;
        }
    }));
    let rebuilds = async {
        for _ in 0..3 {
            let rebuilt = rebuild::rebuild(&models.log, &model, false, &watch::Sender::default()).await;
            assert_eq!(rebuilt.unwrap().count, 0);
        }
        done.cancel();
    };
    tokio::join!(requests, rebuilds);
    models.caught_up().await;
    models.verify().await;
    system.running.stop().await;
}

/// Takes longer to compare than an ownership lasts.
struct SlowToCompare(Arc<dyn Rebuildable>);

#[async_trait]
impl Projection for SlowToCompare {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    async fn checkpoint(&self, partition: u16) -> Result<u64, Error> {
        self.0.checkpoint(partition).await
    }

    async fn quarantined(&self, partition: u16) -> Result<Vec<Quarantined>, Error> {
        self.0.quarantined(partition).await
    }

    async fn own(&self, partition: u16) -> Result<Option<Box<dyn Owner>>, Error> {
        self.0.own(partition).await
    }
}

#[async_trait]
impl Rebuildable for SlowToCompare {
    fn beside(&self, edition: Edition) -> Option<Arc<dyn Projection>> {
        self.0.beside(edition)
    }

    async fn prepare(&self, edition: Edition, restart: bool) -> Result<(), rebuild::Error> {
        self.0.prepare(edition, restart).await
    }

    async fn compare(&self, filling: &mut Filling<'_>) -> Result<Differences, rebuild::Error> {
        let differences = self.0.compare(filling).await;
        tokio::time::sleep(OWNED_FOR + Duration::from_secs(1)).await;
        differences
    }

    async fn switch(&self, filling: &mut Filling<'_>) -> Result<(), rebuild::Error> {
        self.0.switch(filling).await
    }

    async fn discard(&self, edition: Edition) -> Result<(), rebuild::Error> {
        self.0.discard(edition).await
    }

    async fn clear(&self) -> Result<(), rebuild::Error> {
        self.0.clear().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_goes_on_after_a_long_comparison() {
    let system = System::start(&[Role::Api, Role::Projector]).await;
    let models = system.read_models().await;
    system.generate(&short_request()).await;
    models.caught_up().await;
    let rebuilds = models.models().into_iter().map(async |model| {
        let slow: Arc<dyn Rebuildable> = Arc::new(SlowToCompare(model));
        rebuild::rebuild(&models.log, &slow, false, &watch::Sender::default()).await.unwrap().count
    });
    let requests = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        system.generate(&short_request()).await;
    };
    let (differences, ()) = tokio::join!(futures_util::future::join_all(rebuilds), requests);
    assert_eq!(differences, [0, 0, 0, 0]);
    models.caught_up().await;
    models.verify().await;
    assert_eq!(models.rows_of("catalog.jobs").await.len(), 2);
    system.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_rebuild_after_another_finds_nobody_in_its_way() {
    let system = System::start(&[Role::Api, Role::Projector]).await;
    let models = system.read_models().await;
    // One partition has events, all others have none.
    system.generate(&short_request()).await;
    models.caught_up().await;
    for _ in 0..3 {
        for model in models.models() {
            let done = rebuild::rebuild(&models.log, &model, false, &watch::Sender::default()).await;
            assert_eq!(done.unwrap().count, 0, "{}", model.name());
        }
    }
    system.running.stop().await;
}
