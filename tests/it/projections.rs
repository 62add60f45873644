//! Read models equal the fold of the log, whenever and however often they are fed.

use std::sync::Arc;

use reelstream::app::Role;
use reelstream::execute;
use reelstream::ids::JobId;
use reelstream::projections::catalog::{Catalog, migrate};
use reelstream::projections::status::StatusViews;
use reelstream::projections::{Batch, Projection, lag};
use serde_json::Value;
use sqlx::PgPool;

use crate::harness::{ALL_ROLES, Running, System, eventually, short_request};

const KEPT: std::time::Duration = std::time::Duration::from_secs(3600);

async fn read_models(system: &System) -> (Arc<dyn Projection>, Arc<dyn Projection>, PgPool) {
    let pool = PgPool::connect(&system.config.postgres.url).await.unwrap();
    let log = system.log().await;
    (Arc::new(StatusViews::new(log.clone(), KEPT)), Arc::new(Catalog::new(pool.clone(), log)), pool)
}

async fn rows(pool: &PgPool) -> Vec<Value> {
    let mut all = vec![];
    for table in ["jobs", "stages", "videos"] {
        let query = format!("select to_jsonb(t) from {table} t order by 1::text");
        let rows: Vec<(Value,)> = sqlx::query_as(sqlx::AssertSqlSafe(query)).fetch_all(pool).await.unwrap();
        all.extend(rows.into_iter().map(|(row,)| row));
    }
    all
}

#[tokio::test]
async fn both_views_reach_the_head_and_hold_what_the_log_says() {
    let system = System::start(&ALL_ROLES).await;
    let job_id = system.generate(&short_request()).await;
    system.statuses_until_ended(&job_id, std::time::Duration::from_secs(180)).await;
    let (status, catalog, pool) = read_models(&system).await;
    let log = system.log().await;
    for projection in [&status, &catalog] {
        eventually("the projection is at the head", async || {
            lag(&log, projection.as_ref()).await.unwrap() == 0
        })
        .await;
    }
    let id: JobId = job_id.parse().unwrap();
    let views = StatusViews::new(log.clone(), KEPT);
    let folded = views.folded(id, u64::MAX).await.unwrap().unwrap();
    let stored: String = redis::cmd("HGET")
        .arg(log.keys().status_view(id))
        .arg("view")
        .query_async(&mut log.connection())
        .await
        .unwrap();
    assert_eq!(serde_json::from_str::<Value>(&stored).unwrap(), serde_json::to_value(&folded).unwrap());

    let rows = rows(&pool).await;
    assert_eq!(rows.len(), 1 + 7 + 1, "a job, its stages, its video");
    assert_eq!(rows[0]["status"], "completed");
    assert_eq!(rows[0]["version"], folded.version);
    assert_eq!(rows[8]["duration_ms"], folded.video.unwrap().duration_ms);
    system.running.stop().await;
}

/// All events of a partition as one batch.
async fn whole_partition(system: &System, partition: u16) -> Option<Batch> {
    let read = system.log().await.read(partition, 0, 10_000).await.unwrap();
    let last_seq = read.last()?.0;
    let events = read.iter().map(|(_, event)| (JobId(event.aggregate_id.0), execute::decode(event).unwrap()));
    Some(Batch { partition, last_seq, events: events.collect() })
}

#[tokio::test]
async fn events_that_are_read_twice_change_nothing() {
    let system = System::start(&ALL_ROLES).await;
    let job_id = system.generate(&short_request()).await;
    system.statuses_until_ended(&job_id, std::time::Duration::from_secs(180)).await;
    let (status, catalog, pool) = read_models(&system).await;
    let log = system.log().await;
    eventually("the catalog is at the head", async || lag(&log, catalog.as_ref()).await.unwrap() == 0).await;
    let before = (rows(&pool).await, system.status(&job_id).await);
    for partition in 0..system.config.streams.partitions {
        if let Some(batch) = whole_partition(&system, partition).await {
            status.apply(&batch).await.unwrap();
            catalog.apply(&batch).await.unwrap();
        }
    }
    assert_eq!((rows(&pool).await, system.status(&job_id).await), before);
    assert_eq!(lag(&log, status.as_ref()).await.unwrap(), 0);
    system.running.stop().await;
}

#[tokio::test]
async fn a_projector_that_was_away_catches_up() {
    static API: [Role; 1] = [Role::Api];
    static PROJECTOR: [Role; 1] = [Role::Projector];
    let system = System::start(&API).await;
    let job_id = system.generate(&short_request()).await;
    // Nothing projects yet: the status is folded from the log (read your own write).
    assert_eq!(system.status(&job_id).await["status"], "queued");
    let (status, catalog, pool) = read_models(&system).await;
    let log = system.log().await;
    assert_eq!(lag(&log, status.as_ref()).await.unwrap(), 3);
    let projector = Running::start(system.config.clone(), &PROJECTOR).await;
    for projection in [&status, &catalog] {
        eventually("it caught up", async || lag(&log, projection.as_ref()).await.unwrap() == 0).await;
    }
    assert_eq!(rows(&pool).await[0]["status"], "queued");
    projector.stop().await;
    system.running.stop().await;
}

#[tokio::test]
async fn migrations_run_from_several_processes_at_once() {
    let servers = crate::harness::Servers::start();
    let pool = PgPool::connect(&servers.postgres.url("postgres")).await.unwrap();
    let (a, b, c) = tokio::join!(migrate(&pool), migrate(&pool), migrate(&pool));
    a.and(b).and(c).unwrap();
}
