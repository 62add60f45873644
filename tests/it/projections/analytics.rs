//! What analysts rely on: documented columns, queries that work, a role that reads nothing else, and files.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::{Array, Int64Array, StringArray};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use reelstream::projections::export::VIEWS;
use sqlx::{Connection, PgConnection};

use crate::harness::{ALL_ROLES, ReadModels, System, short_request};

async fn system_with_a_video() -> (System, ReadModels, String) {
    let system = System::start(&ALL_ROLES).await;
    let job_id = system.generate(&short_request()).await;
    system.statuses_until_ended(&job_id, Duration::from_secs(180)).await;
    let models = system.read_models().await;
    models.caught_up().await;
    (system, models, job_id)
}

#[tokio::test]
async fn every_column_is_documented() {
    let servers = crate::harness::Servers::shared().await;
    let pool = sqlx::PgPool::connect(&servers.database_url).await.unwrap();
    let bare: Vec<String> = sqlx::query_scalar(
        "select format('%s.%s.%s', n.nspname, c.relname, a.attname)
         from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
         where (n.nspname in ('analytics', 'catalog', 'trail') or c.relname in ('user_keys', 'audit_seals'))
           and c.relkind in ('r', 'v') and a.attnum > 0 and not a.attisdropped
           and (col_description(c.oid, a.attnum) is null or obj_description(c.oid) is null)",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert!(bare.is_empty(), "without a comment: {bare:?}");
    let views: Vec<String> =
        sqlx::query_scalar("select viewname::text from pg_views where schemaname = 'analytics' order by 1")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!(views, VIEWS.map(|(view, _)| view.to_owned()), "every view is exported");
}

#[tokio::test]
async fn every_worked_query_runs_as_an_analyst_who_reads_nothing_else() {
    let (system, models, _) = system_with_a_video().await;
    sqlx::raw_sql("create role analyst_1 login in role reel_analyst").execute(&models.pool).await.unwrap();
    let url = system.config.postgres.url.replace("postgres@", "analyst_1@");
    let mut analyst = PgConnection::connect(&url).await.unwrap();
    let document =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/ANALYTICS.md")).unwrap();
    let queries: Vec<&str> =
        document.split("```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(queries.len() >= 12, "{}", queries.len());
    for query in queries {
        let rows = sqlx::query(sqlx::AssertSqlSafe(query.to_owned())).fetch_all(&mut analyst).await;
        let rows = rows.unwrap_or_else(|error| panic!("{error}\n{query}"));
        let has_none_here = ["failures", "retries", "> 60"]
            .iter()
            .any(|word| query.contains(&format!("analytics.{word}")) || query.contains("> 60"));
        assert!(!rows.is_empty() || has_none_here, "no rows: {query}");
    }
    for forbidden in [
        "select * from catalog.jobs",
        "select * from trail.events",
        "select * from user_keys",
        "delete from analytics.job_facts",
    ] {
        let error = sqlx::query(forbidden).execute(&mut analyst).await.unwrap_err().to_string();
        assert!(error.contains("permission denied"), "{forbidden}: {error}");
    }
    let texts: Vec<String> = sqlx::query_scalar("select to_jsonb(f)::text from analytics.job_facts f")
        .fetch_all(&mut analyst)
        .await
        .unwrap();
    assert!(
        !texts.is_empty() && !texts.iter().any(|text| text.contains("Ions")),
        "no words of users: {texts:?}"
    );
    system.running.stop().await;
}

// 000-6.2
#[tokio::test]
async fn views_are_exported_as_parquet_by_time() {
    let (system, models, job_id) = system_with_a_video().await;
    let folder = system.servers.folder.path().join("out");
    let folder = folder.to_str().unwrap();
    let output = system.reel(&["export", "--parquet", folder, "--from", "2020-01-01T00:00:00Z"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("job_facts.parquet: 1 rows") && said.contains("stage_durations.parquet: 7 rows"),
        "{said}"
    );
    let open = |view: &str| {
        let file = std::fs::File::open(format!("{folder}/{view}.parquet")).unwrap();
        ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap()
    };
    let batch = open("job_facts").next().unwrap().unwrap();
    let column = |name: &str| -> Arc<dyn Array> { batch.column_by_name(name).unwrap().clone() };
    let text = |name: &str| column(name).as_any().downcast_ref::<StringArray>().unwrap().value(0).to_owned();
    assert_eq!((text("job_id"), text("status")), (job_id.clone(), "completed".to_owned()));
    assert!(column("error_code").is_null(0));
    let bytes = column("video_bytes").as_any().downcast_ref::<Int64Array>().unwrap().value(0);
    assert_eq!(bytes, models.rows_of("catalog.videos").await[0]["file_size"].as_i64().unwrap());
    for (view, _) in VIEWS {
        let rows: i64 =
            sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select count(*) from analytics.{view}")))
                .fetch_one(&models.pool)
                .await
                .unwrap();
        let exported: usize = open(view).map(|batch| batch.unwrap().num_rows()).sum();
        assert_eq!(exported as i64, rows, "{view}");
    }
    let output = system.reel(&["export", "--parquet", folder, "--to", "2020-01-01T00:00:00Z"]);
    assert!(String::from_utf8(output.stdout).unwrap().contains("job_facts.parquet: 0 rows"));
    let output = system.reel(&["export", "--parquet", folder, "--from", "yesterday"]);
    assert!(!output.status.success());
    system.running.stop().await;
}
