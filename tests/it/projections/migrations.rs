//! 16.8: while versions are exchanged, processes of both use one database.

use reelstream::postgres::{self, migrate};
use sqlx::PgPool;

use crate::harness::Servers;

/// As if a newer version had run a migration of this name.
async fn add_migration(pool: &PgPool, version: i64, name: &str) {
    let insert = "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
                  values ($1, $2, true, '', 0)";
    sqlx::query(insert).bind(version).bind(name).execute(pool).await.unwrap();
}

#[tokio::test]
async fn a_version_uses_a_database_that_a_newer_one_has_added_to() {
    let servers = Servers::shared().await;
    let pool = PgPool::connect(&servers.database_url).await.unwrap();
    add_migration(&pool, 9998, "expand catalog by a column").await;
    // The older version leaves the newer one's definitions as they are.
    sqlx::raw_sql("comment on schema analytics is 'of a newer version'").execute(&pool).await.unwrap();
    migrate(&pool).await.unwrap();
    let comment = "select obj_description('analytics'::regnamespace)";
    let comment: String = sqlx::query_scalar(comment).fetch_one(&pool).await.unwrap();
    assert_eq!(comment, "of a newer version");
}

#[tokio::test]
async fn a_version_refuses_a_database_from_which_a_newer_one_has_taken_what_it_uses() {
    let servers = Servers::shared().await;
    let pool = PgPool::connect(&servers.database_url).await.unwrap();
    add_migration(&pool, 9998, "expand catalog by a column").await;
    add_migration(&pool, 9999, "contract catalog without a column").await;
    let refused = migrate(&pool).await.unwrap_err();
    assert!(matches!(refused, postgres::Error::NewerVersion { .. }), "{refused:?}");
    assert!(
        refused.to_string().starts_with(
            "the database has the migration `contract catalog without a column` of a newer version"
        ),
        "{refused}"
    );
}

/// The names say whether the version before can go on.
#[test]
fn new_migrations_expand_or_contract() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.as_str() > "0012")
        .collect();
    names.retain(|name| !["expand_", "contract_"].iter().any(|kind| name[5..].starts_with(kind)));
    assert!(names.is_empty(), "begin the names with `expand_` or `contract_`: {names:?}");
}
