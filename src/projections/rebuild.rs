//! Fills another edition of a read model from the log while the served one goes on, compares, and switches.
//!
//! A rebuild can be interrupted at any time: the next one goes on from its checkpoints. It causes nothing but rows.
//! Verifying is the same without the switch: the rows that the log leads to are filled into an edition of their own
//! and compared with those that are served, as both were at one moment.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::catalog::{self, Catalog};
use super::status::StatusViews;
use super::tables::Tables;
use super::trail::Trail;
use super::{Error, Owner, Projection, feed, halts};
use crate::events::{AggregateKind, EventLog};
use crate::ids::JobId;

/// Events applied at a time.
const BATCH: usize = 2000;
/// Differences that are told in full; further ones are counted.
const MOST_DIFFERENCES: usize = 100;
/// How long writers and readers of the served edition are kept waiting for the switch, at most.
const SWITCH_PATIENCE: Duration = Duration::from_secs(20);

/// A read model that can be rebuilt.
#[derive(Clone)]
pub enum ReadModel {
    Status(StatusViews),
    Catalog(Catalog),
    Trail(Trail),
}

/// One row that is not what the log leads to.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    pub table: String,
    /// The row's key.
    pub key: Value,
    /// As it is served; null when it is missing.
    pub served: Value,
    /// As the log leads to it; null when there should be none.
    pub expected: Value,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Differences {
    pub count: u64,
    /// The first of them.
    pub shown: Vec<Difference>,
}

/// How far a rebuild has got.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    pub applied: u64,
    pub wanted: u64,
    pub events_per_second: f64,
}

impl Progress {
    /// Seconds until it is done, at the pace so far.
    pub fn seconds_left(&self) -> Option<f64> {
        (self.events_per_second > 0.0).then(|| (self.wanted - self.applied) as f64 / self.events_per_second)
    }
}

/// The edition that will be served.
const NEXT: &str = "next";
/// The edition that is only compared with.
const CHECK: &str = "check";

impl ReadModel {
    pub fn name(&self) -> &'static str {
        self.served().name()
    }

    pub fn served(&self) -> Arc<dyn Projection> {
        match self {
            ReadModel::Status(views) => Arc::new(views.clone()),
            ReadModel::Catalog(catalog) => Arc::new(catalog.clone()),
            ReadModel::Trail(trail) => Arc::new(trail.clone()),
        }
    }

    fn tables(&self) -> Option<&Tables> {
        match self {
            ReadModel::Status(_) => None,
            ReadModel::Catalog(catalog) => Some(catalog.tables()),
            ReadModel::Trail(trail) => Some(trail.tables()),
        }
    }

    /// The same read model in another edition; of views there is only the next one.
    fn beside(&self, edition: &str) -> Arc<dyn Projection> {
        match self {
            ReadModel::Status(views) => Arc::new(views.next()),
            ReadModel::Catalog(catalog) => Arc::new(catalog.with_tables(catalog.tables().beside(edition))),
            ReadModel::Trail(trail) => Arc::new(Trail::of(trail.tables().beside(edition))),
        }
    }
}

/// Rebuilds a read model, and switches to what was rebuilt. Gives the rows in which the two editions differed.
/// `restart` forgets what an interrupted rebuild has done.
pub async fn rebuild(
    log: &EventLog,
    model: &ReadModel,
    restart: bool,
    progress: &watch::Sender<Option<Progress>>,
) -> Result<Differences, Error> {
    let filled = model.beside(NEXT);
    match model {
        ReadModel::Status(views) => {
            for partition in log.keys().partitions() {
                views.prepare_next(partition, restart).await?;
            }
        }
        _ => create_tables(tables_of(model)?, &tables_of(model)?.beside(NEXT), restart).await?,
    }
    let mut owners = own_all(log, filled.as_ref()).await?;
    let served = model.served();
    fill(log, served.as_ref(), &mut owners, progress).await?;
    let differences = match model {
        ReadModel::Status(views) => views_that_differ(log, views).await?,
        _ => {
            let tables = tables_of(model)?;
            let snapshot = aligned_snapshot(log, tables, served.as_ref(), &mut owners, progress).await?;
            rows_that_differ(tables, &tables.beside(NEXT), snapshot).await?
        }
    };
    match model {
        ReadModel::Status(views) => switch_views(log, views, served.as_ref(), &mut owners, progress).await?,
        _ => switch_tables(log, tables_of(model)?, served.as_ref(), &mut owners, progress).await?,
    }
    // A partition without events is not switched, and its owner would hold it for a while.
    for owner in owners {
        owner.release().await?;
    }
    Ok(differences)
}

/// Folds the log and compares: every row that is served must be what the log leads to.
pub async fn verify(
    log: &EventLog,
    model: &ReadModel,
    progress: &watch::Sender<Option<Progress>>,
) -> Result<Differences, Error> {
    if let ReadModel::Status(views) = model {
        return views_that_differ(log, views).await;
    }
    let tables = tables_of(model)?;
    let check = tables.beside(CHECK);
    create_tables(tables, &check, true).await?;
    let mut owners = own_all(log, model.beside(CHECK).as_ref()).await?;
    let served = model.served();
    fill(log, served.as_ref(), &mut owners, progress).await?;
    let snapshot = aligned_snapshot(log, tables, served.as_ref(), &mut owners, progress).await?;
    let differences = rows_that_differ(tables, &check, snapshot).await?;
    drop(owners);
    let drop_schema = format!("drop schema {} cascade", check.schema());
    sqlx::raw_sql(AssertSqlSafe(drop_schema)).execute(tables.pool()).await?;
    Ok(differences)
}

fn tables_of(model: &ReadModel) -> Result<&Tables, Error> {
    model.tables().ok_or_else(|| Error::Rebuild(format!("{} has no tables", model.name())))
}

/// How long an owner that is done may take to let go: its session ends a moment after it, which the server may notice
/// late.
const LET_GO: Duration = Duration::from_secs(3);

async fn own_all(log: &EventLog, filled: &dyn Projection) -> Result<Vec<Box<dyn Owner>>, Error> {
    let mut owners = vec![];
    let deadline = Instant::now() + LET_GO;
    for partition in log.keys().partitions() {
        let owner = loop {
            match filled.own(partition).await? {
                Some(owner) => break owner,
                None if Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(50)).await,
                None => {
                    let name = filled.name();
                    return Err(Error::Rebuild(format!(
                        "another process is rebuilding or verifying {name} (partition {partition}); wait for it"
                    )));
                }
            }
        };
        owners.push(owner);
    }
    Ok(owners)
}

/// Applies what the served edition has applied, all partitions side by side.
async fn fill(
    log: &EventLog,
    served: &dyn Projection,
    owners: &mut Vec<Box<dyn Owner>>,
    progress: &watch::Sender<Option<Progress>>,
) -> Result<(), Error> {
    let began = Instant::now();
    let mut wanted = vec![];
    for partition in log.keys().partitions() {
        wanted.push(served.checkpoint(partition).await?);
    }
    let total: u64 = wanted.iter().sum();
    let before: u64 = owners.iter().map(|owner| owner.checkpoint()).sum();
    let (count, mut applied) = watch::channel(before);
    let count = Arc::new(count);
    let mut filling = JoinSet::new();
    for (partition, (mut owner, until)) in (0..).zip(owners.drain(..).zip(wanted)) {
        let (log, name, count) = (log.clone(), served.name(), count.clone());
        filling.spawn(async move {
            let skips = halts::skips(&log, name, partition).await?;
            loop {
                let from = owner.checkpoint();
                feed(&log, owner.as_mut(), partition, &skips, BATCH, until).await?;
                count.send_modify(|count| *count += owner.checkpoint() - from);
                if owner.checkpoint() == from {
                    return Ok::<_, Error>((partition, owner));
                }
            }
        });
    }
    let mut filled: Vec<(u16, Box<dyn Owner>)> = vec![];
    loop {
        tokio::select! {
            Ok(()) = applied.changed() => {
                let applied = *applied.borrow_and_update();
                let seconds = began.elapsed().as_secs_f64().max(1e-3);
                let events_per_second = (applied - before) as f64 / seconds;
                progress.send_replace(Some(Progress { applied, wanted: total.max(applied), events_per_second }));
            }
            done = filling.join_next() => match done {
                Some(Ok(done)) => filled.push(done?),
                Some(Err(panicked)) => return Err(Error::Rebuild(panicked.to_string())),
                None => break,
            }
        }
    }
    filled.sort_by_key(|(partition, _)| *partition);
    owners.extend(filled.into_iter().map(|(_, owner)| owner));
    Ok(())
}

/// An empty edition, with all that the served one's tables have; one that is there already is kept unless `restart`.
async fn create_tables(served: &Tables, edition: &Tables, restart: bool) -> Result<(), Error> {
    let mut transaction = served.pool().begin().await?;
    if restart {
        let drop_schema = format!("drop schema if exists {} cascade", edition.schema());
        sqlx::raw_sql(AssertSqlSafe(drop_schema)).execute(&mut *transaction).await?;
    }
    let exists: bool = sqlx::query_scalar("select exists (select from pg_namespace where nspname = $1)")
        .bind(edition.schema())
        .fetch_one(&mut *transaction)
        .await?;
    if !exists {
        let create = format!("create schema {}", edition.schema());
        sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *transaction).await?;
        for table in table_names(&mut transaction, served.schema()).await? {
            let (from, to) = (served.schema(), edition.schema());
            let create = format!("create table {to}.{table} (like {from}.{table} including all)");
            sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *transaction).await?;
            // What `including all` leaves out.
            let (options, comment): (Option<String>, Option<String>) = sqlx::query_as(
                "select format('set (%s)', array_to_string(reloptions, ', ')), quote_literal(obj_description(oid, 'pg_class'))
                 from pg_class where oid = $1::regclass",
            )
            .bind(format!("{from}.{table}"))
            .fetch_one(&mut *transaction)
            .await?;
            if let Some(options) = options.filter(|options| options != "set ()") {
                let set = format!("alter table {to}.{table} {options}");
                sqlx::raw_sql(AssertSqlSafe(set)).execute(&mut *transaction).await?;
            }
            if let Some(comment) = comment {
                let comment = format!("comment on table {to}.{table} is {comment}");
                sqlx::raw_sql(AssertSqlSafe(comment)).execute(&mut *transaction).await?;
            }
        }
    }
    transaction.commit().await?;
    Ok(())
}

async fn table_names(connection: &mut PgConnection, schema: &str) -> Result<Vec<String>, Error> {
    let names = sqlx::query_scalar("select tablename::text from pg_tables where schemaname = $1 order by 1");
    Ok(names.bind(schema).fetch_all(connection).await?)
}

/// A snapshot in which both editions are at the same place: the served one's writers are held for a moment.
async fn aligned_snapshot(
    log: &EventLog,
    tables: &Tables,
    served: &dyn Projection,
    owners: &mut Vec<Box<dyn Owner>>,
    progress: &watch::Sender<Option<Progress>>,
) -> Result<PgConnection, Error> {
    let mut snapshot = PgConnection::connect_with(&tables.pool().connect_options()).await?;
    let mut holding = tables.pool().begin().await?;
    let lock = format!("lock table {}.checkpoints in share mode", tables.schema());
    sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut *holding).await?;
    fill(log, served, owners, progress).await?;
    sqlx::raw_sql("begin isolation level repeatable read; select 1").execute(&mut snapshot).await?;
    holding.rollback().await?;
    Ok(snapshot)
}

/// The rows in which two editions differ.
async fn rows_that_differ(
    served: &Tables,
    edition: &Tables,
    mut snapshot: PgConnection,
) -> Result<Differences, Error> {
    let mut differences = Differences::default();
    for table in table_names(&mut snapshot, served.schema()).await? {
        if table == "checkpoints" {
            continue;
        }
        let (a, b) = (format!("{}.{table}", served.schema()), format!("{}.{table}", edition.schema()));
        let key: Vec<String> = sqlx::query_scalar(
            "select a.attname::text from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)
             where i.indrelid = $1::regclass and i.indisprimary order by a.attnum",
        )
        .bind(&a)
        .fetch_all(&mut snapshot)
        .await?;
        let on =
            key.iter().map(|column| format!("a.{column} = b.{column}")).collect::<Vec<_>>().join(" and ");
        let query = format!(
            "select to_jsonb(a), to_jsonb(b), count(*) over () from {a} a full join {b} b on {on}
             where a is distinct from b limit {MOST_DIFFERENCES}"
        );
        let rows = sqlx::query(AssertSqlSafe(query)).fetch_all(&mut snapshot).await?;
        if let Some(row) = rows.first() {
            differences.count += row.try_get::<i64, _>(2)? as u64;
        }
        for row in rows {
            let (served, expected): (Option<Value>, Option<Value>) = (row.try_get(0)?, row.try_get(1)?);
            let whole = served.as_ref().or(expected.as_ref()).cloned().unwrap_or_default();
            let key = key.iter().map(|column| (column.clone(), whole[column].clone())).collect();
            let difference = Difference {
                table: table.clone(),
                key: Value::Object(key),
                served: served.unwrap_or_default(),
                expected: expected.unwrap_or_default(),
            };
            if differences.shown.len() < MOST_DIFFERENCES {
                differences.shown.push(difference);
            }
        }
    }
    Ok(differences)
}

/// Serves the next edition of the tables in one transaction, in which it also gets the last events.
async fn switch_tables(
    log: &EventLog,
    tables: &Tables,
    served: &dyn Projection,
    owners: &mut Vec<Box<dyn Owner>>,
    progress: &watch::Sender<Option<Progress>>,
) -> Result<(), Error> {
    fill(log, served, owners, progress).await?;
    let (name, next) = (tables.schema().to_owned(), tables.beside(NEXT).schema().to_owned());
    let mut transaction = tables.pool().begin().await?;
    let patience = format!("set local lock_timeout = {}", SWITCH_PATIENCE.as_millis());
    sqlx::raw_sql(AssertSqlSafe(patience)).execute(&mut *transaction).await?;
    // Writers wait from here on; readers of the checkpoints, as `fill` is one, do not.
    let hold = format!("lock table {name}.checkpoints in share row exclusive mode");
    sqlx::raw_sql(AssertSqlSafe(hold)).execute(&mut *transaction).await?;
    fill(log, served, owners, progress).await?;
    owners.clear();
    let names = table_names(&mut transaction, &name).await?;
    let old = format!("{name}_old");
    let mut script = format!("create schema {old};");
    for table in &names {
        script += &format!(
            "alter table {name}.{table} set schema {old}; alter table {next}.{table} set schema {name};"
        );
    }
    if name == catalog::NAME {
        script += &crate::postgres::analytics_script();
    }
    for table in &names {
        script += &format!("drop table {old}.{table};");
    }
    script += &format!("drop schema {old}; drop schema {next};");
    sqlx::raw_sql(AssertSqlSafe(script)).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(())
}

async fn switch_views(
    log: &EventLog,
    views: &StatusViews,
    served: &dyn Projection,
    owners: &mut Vec<Box<dyn Owner>>,
    progress: &watch::Sender<Option<Progress>>,
) -> Result<(), Error> {
    for partition in log.keys().partitions() {
        while !views.switch(partition).await? {
            fill(log, served, owners, progress).await?;
        }
    }
    Ok(())
}

/// The views in which the served edition is not what the log leads to, each at the version that it claims to have.
async fn views_that_differ(log: &EventLog, views: &StatusViews) -> Result<Differences, Error> {
    let mut differences = Differences::default();
    for partition in log.keys().partitions() {
        let until = views.checkpoint(partition).await?;
        let mut after = 0;
        loop {
            let events = log.read(partition, after, BATCH).await?;
            let Some((last, _)) = events.last() else { break };
            after = *last;
            let is_first = |(seq, event): &&(u64, crate::events::Envelope)| {
                *seq <= until && event.version == 1 && event.aggregate == AggregateKind::Job
            };
            for (_, event) in events.iter().filter(is_first) {
                let job_id = JobId(event.aggregate_id.0);
                let Some((served, expected)) = compare_view(views, job_id).await? else { continue };
                differences.count += 1;
                if differences.shown.len() < MOST_DIFFERENCES {
                    let key = serde_json::json!({ "job_id": job_id });
                    differences.shown.push(Difference { table: "views".to_owned(), key, served, expected });
                }
            }
        }
    }
    Ok(differences)
}

async fn compare_view(views: &StatusViews, job_id: JobId) -> Result<Option<(Value, Value)>, Error> {
    let Some(stored) = views.stored(job_id).await? else {
        // Views of ended jobs go after a while; others must be there.
        let folded = views.folded(job_id, u64::MAX).await?.filter(|view| view.ended_at.is_none());
        return match folded {
            Some(view) => Ok(Some((Value::Null, serde_json::to_value(view)?))),
            None => Ok(None),
        };
    };
    match views.folded(job_id, stored.version).await? {
        Some(folded) if folded == stored => Ok(None),
        folded => Ok(Some((serde_json::to_value(stored)?, serde_json::to_value(folded)?))),
    }
}
