//! Read models equal the fold of the log after any kill, rebuild or archive round trip, whatever the histories are.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reelstream::app::archive_partition;
use reelstream::clock::ManualClock;
use reelstream::dev::PrivateRedis;
use reelstream::events::EventLog;
use reelstream::events::archive;
use reelstream::execute::{ContentCodec, Executor};
use reelstream::projections::rebuild::{self, Error};
use reelstream::projections::{Projection, feed};
use reelstream::signing::SigningKey;
use reelstream::vault::{MasterKey, Vault};
use serde_json::Value;
use sqlx::PgPool;
use tokio::sync::watch;

use super::histories::{Histories, ended};
use crate::harness::{MASTER_KEY, ReadModels, Servers, connect, eventually};
use crate::log::model::{Random, seed};

/// A log with read models, without any process that keeps them up.
struct World {
    servers: Servers,
    executor: Executor,
    models: ReadModels,
    clock: ManualClock,
    random: Random,
}

const PARTITIONS: u16 = 3;

impl World {
    async fn new() -> Self {
        let seed = seed();
        println!("REEL_SEED={seed}");
        let servers = Servers::shared().await;
        let pool = PgPool::connect(&servers.database_url).await.unwrap();
        let key = SigningKey::parse(MASTER_KEY).unwrap();
        let root = servers.folder.path().join("archive");
        let archive = archive::Archive::new(&root, vec![key.public_key()]);
        let log =
            EventLog::new(connect(&servers.redis_url).await, servers.keys(PARTITIONS)).with_archive(archive);
        let vault = Vault::new(pool.clone(), MasterKey::parse(MASTER_KEY).unwrap());
        let began: DateTime<Utc> = "2026-11-21T10:00:00Z".parse().unwrap();
        let (clock, manual) = reelstream::clock::Clock::manual(began);
        let executor = Executor::new(log.clone(), clock).with_vault(vault.clone());
        let models = ReadModels::new(log, pool, ContentCodec::new(Some(vault)));
        Self { servers, executor, models, clock: manual, random: Random::new(seed) }
    }

    fn log(&self) -> &EventLog {
        &self.models.log
    }

    /// Feeds the projections in batches of random sizes, by owners that are given up in between.
    async fn project(&mut self) {
        for projection in self.models.projections() {
            for partition in self.log().keys().partitions() {
                let mut owner = own(projection.as_ref(), partition).await;
                loop {
                    let most = 1 + self.random.below(40) as usize;
                    let read = feed(
                        &self.models.log,
                        owner.as_mut(),
                        partition,
                        &Default::default(),
                        most,
                        u64::MAX,
                    )
                    .await;
                    if read.unwrap() == 0 {
                        break;
                    }
                    if self.random.one_in(3) {
                        owner.release().await.unwrap();
                        owner = own(projection.as_ref(), partition).await;
                    }
                }
                owner.release().await.unwrap();
            }
        }
    }

    async fn seal_and_trim(&self, segment_events: u64) -> u64 {
        let key = SigningKey::parse(MASTER_KEY).unwrap();
        let mut streams = reelstream::config::Streams::from_environment(&|_| None).unwrap();
        streams.audit.segment_events = segment_events;
        streams.retention.log = Duration::ZERO;
        let mut trimmed = 0;
        for partition in self.log().keys().partitions() {
            let projections = self.models.projections();
            let (_, taken_out) =
                archive_partition(self.log(), &projections, &streams, &key, partition).await.unwrap();
            trimmed += taken_out.events;
        }
        trimmed
    }
}

/// Owners are given up when their session ends, which the server notices in a moment.
async fn own(projection: &dyn Projection, partition: u16) -> Box<dyn reelstream::projections::Owner> {
    for _ in 0..2000 {
        if let Some(owner) = projection.own(partition).await.unwrap() {
            return owner;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{} is owned by somebody else", projection.name());
}

async fn rebuild_all(models: &ReadModels) {
    for model in models.models() {
        let differences =
            rebuild::rebuild(&models.log, &model, false, &watch::Sender::default()).await.unwrap();
        assert_eq!(differences.count, 0, "{}: {:#?}", model.name(), differences.shown);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn read_models_equal_the_fold_of_the_log_after_rebuilds_and_archive_round_trips() {
    let mut world = World::new().await;
    let random = Random::new(world.random.next());
    let executor = world.executor.clone();
    let mut histories =
        Histories { executor: &executor, random, clock: Some(world.clock.clone()), jobs: vec![] };
    for round in 0..2 {
        histories.go_on(350).await;
        // The clock of the recording process jumps back an hour.
        world.clock.advance(TimeDelta::hours(-1));
        histories.go_on(100).await;
        world.project().await;
        world.models.verify().await;
        let rows = world.models.rows().await;
        assert!(rows.iter().all(|(_, row)| !is_negative(row)), "no duration is negative");
        rebuild_all(&world.models).await;
        assert!(world.models.rows().await == rows, "a rebuild leads to the same rows");
        if round == 0 {
            world.clock.advance(TimeDelta::hours(-3));
        }
        let segment_events = 20 + world.random.below(30);
        world.seal_and_trim(segment_events).await;
        world.models.verify().await;
        rebuild_all(&world.models).await;
        assert!(world.models.rows().await == rows, "from archive and tail, too");
    }
    assert!(ended(&executor, &histories.jobs).await > 10, "something happened");
    assert!(rows_differ_when_one_is_changed(&world).await);
}

fn is_negative(row: &Value) -> bool {
    ["queue_ms", "processing_ms", "duration_ms", "jobs"]
        .iter()
        .any(|name| row[*name].as_f64().is_some_and(|n| n < 0.0))
}

/// Verifying finds a row that was changed, one that is missing, and one too many.
async fn rows_differ_when_one_is_changed(world: &World) -> bool {
    let models = &world.models;
    let change = "update catalog.jobs set percentage = 1.5 where job_id = (select job_id from catalog.jobs order by 1 limit 1);
                  delete from catalog.stages where job_id = (select job_id from catalog.jobs order by 1 desc limit 1) and stage = 'initializing';
                  insert into catalog.user_jobs values ('nobody', 'queued', 'high', 0, 1)";
    sqlx::raw_sql(change).execute(&models.pool).await.unwrap();
    let model = models.model("catalog");
    let found = rebuild::verify(&models.log, &model, &watch::Sender::default()).await.unwrap();
    let tables: Vec<&str> = found.shown.iter().map(|difference| difference.table.as_str()).collect();
    assert_eq!(tables, ["jobs", "stages", "user_jobs"], "{found:#?}");
    assert_eq!(found.shown[0].served["percentage"], 1.5);
    assert!(found.shown[1].served.is_null() && found.shown[2].expected.is_null());
    let mended = rebuild::rebuild(&models.log, &model, false, &watch::Sender::default()).await.unwrap();
    assert_eq!(mended.count, 3, "a rebuild says what it mends");
    models.verify().await;
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_rebuild_goes_on_and_causes_nothing() {
    let mut world = World::new().await;
    let random = Random::new(world.random.next());
    let executor = world.executor.clone();
    let mut histories = Histories { executor: &executor, random, clock: None, jobs: vec![] };
    histories.go_on(600).await;
    world.project().await;
    let rows = world.models.rows().await;
    let mut heads = vec![];
    for partition in world.log().keys().partitions() {
        heads.push(world.log().head(partition).await.unwrap());
    }
    let model = world.models.model("catalog");
    // Filled in part, then given up.
    let tell = watch::Sender::default();
    let gave_up =
        tokio::time::timeout(Duration::from_millis(30), rebuild::rebuild(world.log(), &model, true, &tell))
            .await;
    assert!(gave_up.is_err(), "it was interrupted");
    assert!(world.models.rows().await == rows, "what is served is untouched");
    let mut differences = None;
    eventually("the sessions of the one that was given up have ended", async || {
        differences = match rebuild::rebuild(world.log(), &model, false, &tell).await {
            Err(Error::Busy { .. }) => None,
            done => Some(done.unwrap()),
        };
        differences.is_some()
    })
    .await;
    assert_eq!(differences.unwrap().count, 0);
    assert!(world.models.rows().await == rows, "the rebuilt rows are the same");
    for (partition, head) in world.log().keys().partitions().zip(heads) {
        assert_eq!(world.log().head(partition).await.unwrap(), head, "nothing was appended");
    }
    let facts: i64 = sqlx::query_scalar("select count(*) from analytics.job_facts")
        .fetch_one(&world.models.pool)
        .await
        .unwrap();
    let bare: i64 = sqlx::query_scalar(
        "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where n.nspname = 'catalog' and c.relkind = 'r' and obj_description(c.oid, 'pg_class') is null",
    )
    .fetch_one(&world.models.pool)
    .await
    .unwrap();
    assert_eq!(bare, 0, "the new tables are documented, too");
    assert_eq!(
        facts as usize,
        world.models.rows_of("catalog.jobs").await.len(),
        "the views are those of the new tables"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_redis_is_restored_from_the_archive() {
    let mut world = World::new().await;
    let random = Random::new(world.random.next());
    let executor = world.executor.clone();
    let mut histories = Histories { executor: &executor, random, clock: None, jobs: vec![] };
    // Which jobs share a partition is chance, and one that stays open keeps all events behind its first.
    let mut trimmed = 0;
    for _ in 0..6 {
        histories.go_on(500).await;
        world.project().await;
        trimmed += world.seal_and_trim(10).await;
        if trimmed > 0 {
            break;
        }
    }
    let key = SigningKey::parse(MASTER_KEY).unwrap();
    let archive = world.log().archive().unwrap().clone();
    for partition in world.log().keys().partitions() {
        archive::write_segments(world.log(), &archive, partition, 10, true, &key).await.unwrap();
        archive::verify(&archive, partition, &[key.public_key()]).await.unwrap();
    }
    let histories_before = all_histories(world.log(), &histories.jobs).await;
    let rows = world.models.rows().await;
    assert!(trimmed > 0, "some events were only in the archive");

    // Another server, empty.
    let redis = PrivateRedis::start(&world.servers.folder.path().join("restored")).unwrap();
    let log = EventLog::new(connect(&redis.url()).await, world.servers.keys(PARTITIONS))
        .with_archive(archive.clone());
    for partition in log.keys().partitions() {
        let restored = archive::restore(&log, &archive, partition).await.unwrap();
        assert_eq!(restored.events, world.log().head(partition).await.unwrap());
        assert_eq!(
            archive::restore(&log, &archive, partition).await.unwrap().events,
            0,
            "a second time changes nothing"
        );
    }
    let alone = EventLog::new(connect(&redis.url()).await, world.servers.keys(PARTITIONS));
    assert!(all_histories(&alone, &histories.jobs).await == histories_before, "without the archive, too");
    let models = ReadModels::new(log, world.models.pool.clone(), executor.codec().clone());
    models.verify().await;
    assert!(models.rows().await == rows, "the rows are the same");
}

async fn all_histories(
    log: &EventLog,
    jobs: &[reelstream::ids::JobId],
) -> Vec<Vec<reelstream::events::Envelope>> {
    let mut all = vec![];
    for job in jobs {
        all.push(log.history(job.aggregate(), 0).await.unwrap());
    }
    all
}
