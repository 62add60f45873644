//! Getting rid of what rows have been: Postgres keeps overwritten and deleted rows in a table's files.

use sqlx::{AssertSqlSafe, Connection, PgPool};

use super::{Error, catalog, library};

/// Writes the tables that hold users' words anew, in every edition, without old versions of rows, and what the query
/// planner has noted of them. A table is locked while it is written, and waited for a few seconds. Returns those that
/// could not be written, with the reason.
pub async fn compact(pool: &PgPool) -> Result<Vec<(String, sqlx::Error)>, Error> {
    let mut tables: Vec<String> = sqlx::query_scalar(
        "select format('%I.%I', schemaname, tablename) from pg_tables
         where split_part(schemaname, '_', 1) = any($1) order by 1",
    )
    .bind(vec![catalog::NAME, library::NAME])
    .fetch_all(pool)
    .await?;
    // Last, since each table before leaves an old version there.
    tables.push("pg_catalog.pg_statistic".to_owned());
    // A connection of its own: its settings must not stay with the pool.
    let mut connection = pool.acquire().await?.detach();
    sqlx::query("set lock_timeout = '5s'").execute(&mut connection).await?;
    let mut failed = vec![];
    for table in tables {
        let analyze = if table.starts_with("pg_catalog") { "" } else { ", analyze" };
        let vacuum = AssertSqlSafe(format!("vacuum (full{analyze}) {table}"));
        if let Err(error) = sqlx::query(vacuum).execute(&mut connection).await {
            failed.push((table, error));
        }
    }
    connection.close().await?;
    Ok(failed)
}
