//! Editions of read models in PostgreSQL: schemas, of which one bears the read model's name. All statements that create,
//! move and drop tables are here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use super::{Difference, Differences, Edition, Error, Filling, MAX_DIFFERENCES, Rebuildable};
use crate::postgres;
use crate::projections::tables::Tables;
use crate::projections::{Projection, catalog, library};

/// How long writers and readers of the served edition wait for the switch, at most.
const SWITCH_TIMEOUT: Duration = Duration::from_secs(20);

/// Tables that tell how far an edition is, and hold nothing of the log. They commit together with the rows.
const BOOKKEEPING: [&str; 3] = ["checkpoints", "quarantined", PRUNED];

/// Tells of tables from which old rows were removed.
const PRUNED: &str = "pruned";

/// A read model whose rows are in the tables of one schema.
pub trait InTables: Projection + Sized {
    fn tables(&self) -> &Tables;

    /// The same read model in other tables.
    fn with_tables(&self, tables: Tables) -> Self;
}

#[async_trait]
impl<T: InTables> Rebuildable for T {
    fn beside(&self, edition: Edition) -> Option<Arc<dyn Projection>> {
        Some(Arc::new(self.with_tables(self.tables().beside(edition.name()))))
    }

    /// The new tables have all that the served edition's have.
    async fn prepare(&self, edition: Edition, restart: bool) -> Result<(), Error> {
        let served = self.tables();
        let edition = served.beside(edition.name());
        let mut transaction = served.pool().begin().await?;
        if restart {
            run(&mut transaction, drop_schema(edition.schema())).await?;
        }
        if !has_schema(&mut transaction, edition.schema()).await? {
            run(&mut transaction, format!("create schema {}", edition.schema())).await?;
            for table in table_names(&mut transaction, served.schema()).await? {
                copy_definition(&mut transaction, served.schema(), edition.schema(), &table).await?;
            }
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Holds the served edition's writers for a moment, in which a snapshot sees both editions at the same place.
    async fn compare(&self, filling: &mut Filling<'_>) -> Result<Differences, Error> {
        let tables = self.tables();
        let mut snapshot = PgConnection::connect_with(&tables.pool().connect_options()).await?;
        let mut holding = tables.pool().begin().await?;
        run(&mut holding, format!("lock table {}.checkpoints in share mode", tables.schema())).await?;
        filling.fill().await?;
        run(&mut snapshot, "begin isolation level repeatable read; select 1".to_owned()).await?;
        holding.rollback().await?;
        compare_rows(tables, &tables.beside(filling.edition.name()), snapshot).await
    }

    /// One transaction, in which the edition also gets the last events.
    async fn switch(&self, filling: &mut Filling<'_>) -> Result<(), Error> {
        filling.fill().await?;
        let tables = self.tables();
        let (served, next) = (tables.schema(), tables.beside(filling.edition.name()));
        let mut transaction = tables.pool().begin().await?;
        run(&mut transaction, format!("set local lock_timeout = {}", SWITCH_TIMEOUT.as_millis())).await?;
        // Writers wait from here on; readers of the checkpoints, as `fill` is one, do not.
        run(&mut transaction, format!("lock table {served}.checkpoints in share row exclusive mode")).await?;
        filling.fill().await?;
        filling.owners.clear();
        let names = table_names(&mut transaction, served).await?;
        run(&mut transaction, switch_script(served, next.schema(), &names)).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn discard(&self, edition: Edition) -> Result<(), Error> {
        let edition = self.tables().beside(edition.name());
        let mut connection = edition.pool().acquire().await?;
        if !is_owned(&mut connection, edition.schema()).await? {
            run(&mut connection, drop_schema(edition.schema())).await?;
        }
        Ok(())
    }

    async fn clear(&self) -> Result<(), Error> {
        self.discard(Edition::Next).await?;
        let served = self.tables();
        let mut transaction = served.pool().begin().await?;
        run(&mut transaction, format!("set local lock_timeout = {}", SWITCH_TIMEOUT.as_millis())).await?;
        let names = table_names(&mut transaction, served.schema()).await?;
        let names: Vec<String> = names.iter().map(|table| format!("{}.{table}", served.schema())).collect();
        run(&mut transaction, format!("truncate {}", names.join(", "))).await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// Runs statements whose names are all written in this program or come from the database's own lists.
async fn run(connection: &mut PgConnection, script: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(script)).execute(connection).await?;
    Ok(())
}

fn drop_schema(schema: &str) -> String {
    format!("drop schema if exists {schema} cascade")
}

/// Moves the served tables out of the way, the next ones into their place, and drops the old ones.
fn switch_script(served: &str, next: &str, tables: &[String]) -> String {
    let old = format!("{served}_old");
    let mut script = format!("create schema {old};");
    for table in tables {
        script += &format!(
            "alter table {served}.{table} set schema {old}; alter table {next}.{table} set schema {served};"
        );
    }
    // The views of analysts name their tables once and for all.
    if served == catalog::NAME {
        script += &postgres::analytics_script();
    }
    // So do the policies.
    if [catalog::NAME, library::NAME].contains(&served) {
        script += postgres::TENANTS;
    }
    // Policies of one table may name another.
    for table in tables {
        script += &format!("drop policy if exists {} on {old}.{table};", postgres::TENANT_POLICY);
    }
    for table in tables {
        script += &format!("drop table {old}.{table};");
    }
    script += &format!("drop schema {old}; drop schema {next};");
    script
}

async fn copy_definition(
    connection: &mut PgConnection,
    from: &str,
    to: &str,
    table: &str,
) -> Result<(), sqlx::Error> {
    run(&mut *connection, format!("create table {to}.{table} (like {from}.{table} including all)")).await?;
    // What `including all` leaves out.
    let (options, comment): (Option<String>, Option<String>) = sqlx::query_as(
        "select format('set (%s)', array_to_string(reloptions, ', ')), quote_literal(obj_description(oid, 'pg_class'))
         from pg_class where oid = $1::regclass",
    )
    .bind(format!("{from}.{table}"))
    .fetch_one(&mut *connection)
    .await?;
    if let Some(options) = options.filter(|options| options != "set ()") {
        run(&mut *connection, format!("alter table {to}.{table} {options}")).await?;
    }
    if let Some(comment) = comment {
        run(connection, format!("comment on table {to}.{table} is {comment}")).await?;
    }
    Ok(())
}

async fn has_schema(connection: &mut PgConnection, schema: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select exists (select from pg_namespace where nspname = $1)")
        .bind(schema)
        .fetch_one(connection)
        .await
}

/// Whether a session writes to an edition; see `Tables::own`.
async fn is_owned(connection: &mut PgConnection, schema: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "select exists (select from pg_stat_activity where application_name = $1 and datname = current_database())",
    )
    .bind(format!("reelstream {schema}"))
    .fetch_one(connection)
    .await
}

async fn table_names(connection: &mut PgConnection, schema: &str) -> Result<Vec<String>, sqlx::Error> {
    let names = sqlx::query_scalar("select tablename::text from pg_tables where schemaname = $1 order by 1");
    names.bind(schema).fetch_all(connection).await
}

/// The columns of a table's primary key.
async fn key_columns(connection: &mut PgConnection, table: &str) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "select a.attname::text from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)
         where i.indrelid = $1::regclass and i.indisprimary order by a.attnum",
    )
    .bind(table)
    .fetch_all(connection)
    .await
}

/// Up to when old rows of tables were removed, as text.
async fn pruned(
    connection: &mut PgConnection,
    schema: &str,
) -> Result<BTreeMap<String, String>, sqlx::Error> {
    let query = format!("select table_name, before::text from {schema}.{PRUNED}");
    let rows: Vec<(String, String)> = sqlx::query_as(AssertSqlSafe(query)).fetch_all(connection).await?;
    Ok(rows.into_iter().collect())
}

/// The rows in which two editions differ.
async fn compare_rows(
    served: &Tables,
    edition: &Tables,
    mut snapshot: PgConnection,
) -> Result<Differences, Error> {
    let mut differences = Differences::default();
    let tables = table_names(&mut snapshot, served.schema()).await?;
    let pruned = match tables.iter().any(|table| table == PRUNED) {
        true => pruned(&mut snapshot, served.schema()).await?,
        false => BTreeMap::new(),
    };
    for table in tables {
        if BOOKKEEPING.contains(&table.as_str()) {
            continue;
        }
        let (a, b) = (format!("{}.{table}", served.schema()), format!("{}.{table}", edition.schema()));
        let key = key_columns(&mut snapshot, &a).await?;
        let on =
            key.iter().map(|column| format!("a.{column} = b.{column}")).collect::<Vec<_>>().join(" and ");
        // An edition that is filled from the log has what retention removed from the other.
        let in_scope = pruned
            .get(&table)
            .map(|before| format!("and coalesce(a.at, b.at) >= '{before}'::timestamptz"))
            .unwrap_or_default();
        let query = format!(
            "select to_jsonb(a), to_jsonb(b), count(*) over () from {a} a full join {b} b on {on}
             where a is distinct from b {in_scope} limit {MAX_DIFFERENCES}"
        );
        let rows = sqlx::query(AssertSqlSafe(query)).fetch_all(&mut snapshot).await?;
        if let Some(row) = rows.first() {
            differences.count += row.try_get::<i64, _>(2)? as u64;
        }
        for row in rows {
            let (served, expected): (Option<Value>, Option<Value>) = (row.try_get(0)?, row.try_get(1)?);
            let whole = served.as_ref().or(expected.as_ref()).cloned().unwrap_or_default();
            let key = key.iter().map(|column| (column.clone(), whole[column].clone())).collect();
            differences.push(Difference {
                table: table.clone(),
                key: Value::Object(key),
                served: served.unwrap_or_default(),
                expected: expected.unwrap_or_default(),
            });
        }
    }
    Ok(differences)
}
