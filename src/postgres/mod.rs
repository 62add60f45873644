//! Connects to PostgreSQL and migrates it. No other module does.
//!
//! Each table belongs to one module, which alone writes and queries it: the schemas `catalog`, `library` and `trail` to the
//! read models of those names, `user_keys` to the vault, `audit_seals` to the audit. The schema `analytics` holds views over
//! the catalog; it is defined here, because a migration and a rebuild's switch both make it.
//!
//! While versions are exchanged, processes of both use one database. A migration whose name begins with `expand_` leaves all that
//! the version before uses as it is; after any other, that version refuses to start.

use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgPool};

/// Connections of one process: the API's queries and one writer for each partition.
const MAX_CONNECTIONS: u32 = 16;
/// Longest wait of a query for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

const ANALYTICS_VIEWS: &str = include_str!("analytics.sql");
/// Defines what who reads for a user is shown: of the catalog's and the library's served tables. A migration and a rebuild's
/// switch both run it; where all is defined, it changes nothing.
pub const TENANTS: &str = include_str!("tenants.sql");
/// The name of the policies.
pub const TENANT_POLICY: &str = "rows_of_one_user";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("DATABASE_URL is not the address of a database, such as postgres://user:password@host/database")]
    Address(#[source] sqlx::Error),
    #[error("postgres at DATABASE_URL does not answer")]
    Connect(#[source] sqlx::Error),
    #[error("a migration of the database failed")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    #[error(
        "the database has the migration `{migration}` of a newer version, after which this one cannot use it; start that \
         version, or restore a backup from before it"
    )]
    NewerVersion { migration: String },
    #[error("the analytics views cannot be defined")]
    Analytics(#[source] sqlx::Error),
    #[error(
        "what users may read cannot be defined; the user of DATABASE_URL must own the tables, and may either create roles or \
         be a member of a role `reel_reader`"
    )]
    Tenants(#[source] sqlx::Error),
}

/// Connects to a database.
pub async fn connect(url: &str) -> Result<PgPool, Error> {
    // Queries here take milliseconds, and compiling one takes tens of them.
    let options: PgConnectOptions = url.parse().map_err(Error::Address)?;
    let options = options.options([("jit", "off")]);
    PgPoolOptions::new()
        .max_connections(MAX_CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options)
        .await
        .map_err(Error::Connect)
}

/// Applies the migrations. Several processes may do so at once; sqlx holds an advisory lock meanwhile.
pub async fn migrate(pool: &PgPool) -> Result<(), Error> {
    let mut migrator = sqlx::migrate!("./migrations");
    // Those of a newer version are looked at below.
    migrator.set_ignore_missing(true);
    migrator.run(pool).await?;
    let newer = find_newer(pool, &migrator).await.map_err(sqlx::migrate::MigrateError::from)?;
    if let Some(migration) = newer.iter().find(|migration| !migration.starts_with("expand ")) {
        return Err(Error::NewerVersion { migration: migration.clone() });
    }
    if let Some(migration) = newer.last() {
        tracing::warn!(migration, "the database was migrated by a newer version; this one uses it as it is");
        // The newer version has defined its own views.
        return Ok(());
    }
    define_analytics(pool).await.map_err(Error::Analytics)?;
    define_tenants(pool).await.map_err(Error::Tenants)
}

/// Returns what the migrations do that this version does not know, by their names.
async fn find_newer(pool: &PgPool, migrator: &Migrator) -> Result<Vec<String>, sqlx::Error> {
    let known: Vec<i64> = migrator.iter().map(|migration| migration.version).collect();
    let query = "select description from _sqlx_migrations where version <> all($1) order by version";
    sqlx::query_scalar(query).bind(known).fetch_all(pool).await
}

async fn define_tenants(pool: &PgPool) -> Result<(), sqlx::Error> {
    let mut transaction = pool.begin().await?;
    sqlx::query("select pg_advisory_xact_lock(hashtext('reelstream tenants'))")
        .execute(&mut *transaction)
        .await?;
    sqlx::raw_sql(TENANTS).execute(&mut *transaction).await?;
    transaction.commit().await
}

async fn define_analytics(pool: &PgPool) -> Result<(), sqlx::Error> {
    let mut transaction = pool.begin().await?;
    sqlx::query("select pg_advisory_xact_lock(hashtext('reelstream analytics'))")
        .execute(&mut *transaction)
        .await?;
    let comment: Option<String> = sqlx::query_scalar(
        "select obj_description(oid, 'pg_namespace') from pg_namespace where nspname = 'analytics'",
    )
    .fetch_optional(&mut *transaction)
    .await?
    .flatten();
    // Defining a view waits for everybody who reads it.
    if !comment.is_some_and(|comment| comment.contains(&analytics_version())) {
        sqlx::raw_sql(AssertSqlSafe(analytics_script())).execute(&mut *transaction).await?;
    }
    transaction.commit().await
}

/// The script that defines the analysts' views of the catalog's served tables. A comment on their schema records the version of
/// the script.
pub fn analytics_script() -> String {
    let about =
        "For people who write SQL: documented views that hold no words of users. See docs/ANALYTICS.md.";
    format!(
        "{ANALYTICS_VIEWS}\ncomment on schema analytics is '{about} Definition {}.';",
        analytics_version()
    )
}

fn analytics_version() -> String {
    blake3::hash(ANALYTICS_VIEWS.as_bytes()).to_hex()[..16].to_owned()
}
