//! The analytics views as Parquet files, for DuckDB, pandas and the like.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Float64Builder, Int32Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgPool, Row};

/// Each view, and the column that tells when.
pub const VIEWS: [(&str, &str); 9] = [
    ("failures", "at"),
    ("job_facts", "created_at"),
    ("queue_times", "created_at"),
    ("render_speed", "completed_at"),
    ("retries", "queued_at"),
    ("stage_durations", "queued_at"),
    ("stages_hourly", "hour"),
    ("storage_operations", "completed_at"),
    ("throughput_hourly", "hour"),
];

/// Rows that are in memory at a time.
const ROW_GROUP: usize = 50_000;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("postgres failed")]
    Postgres(#[from] sqlx::Error),
    #[error("cannot write {path}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("cannot write {path}")]
    Parquet { path: PathBuf, source: parquet::errors::ParquetError },
    #[error("column {column} of {view} has the type {found}, which has no counterpart in the export")]
    Column { view: String, column: String, found: String },
}

/// Writes one file for each view, with the rows from `from` on and before `to`. Gives each file and its rows.
pub async fn export(
    pool: &PgPool,
    folder: &Path,
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
) -> Result<Vec<(PathBuf, u64)>, Error> {
    std::fs::create_dir_all(folder).map_err(|source| Error::File { path: folder.to_owned(), source })?;
    let mut written = vec![];
    for (view, time) in VIEWS {
        let path = folder.join(format!("{view}.parquet"));
        let rows = export_view(pool, view, time, from, to, &path).await?;
        written.push((path, rows));
    }
    Ok(written)
}

async fn export_view(
    pool: &PgPool,
    view: &str,
    time: &str,
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
    path: &Path,
) -> Result<u64, Error> {
    let columns = columns_of(pool, view).await?;
    let fields: Vec<Field> =
        columns.iter().map(|(name, kind)| Field::new(name, kind.data_type(), true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let failed = |source| Error::Parquet { path: path.to_owned(), source };
    let properties =
        WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
    // A file appears under its name only when it is whole.
    let part = path.with_extension("parquet.part");
    let file = File::create(&part).map_err(|source| Error::File { path: part.clone(), source })?;
    let mut writer = ArrowWriter::try_new(file, schema.clone(), Some(properties)).map_err(failed)?;
    let query = format!(
        "select * from analytics.{view} where ($1::timestamptz is null or {time} >= $1) and ($2::timestamptz is null or {time} < $2)
         order by {time}"
    );
    let mut rows = sqlx::query(AssertSqlSafe(query)).bind(from).bind(to).fetch(pool).ready_chunks(ROW_GROUP);
    let mut count = 0;
    let mut pending: Vec<PgRow> = vec![];
    loop {
        let chunk = rows.next().await;
        let has_ended = chunk.is_none();
        for row in chunk.into_iter().flatten() {
            pending.push(row?);
        }
        if pending.len() >= ROW_GROUP || (has_ended && !pending.is_empty()) {
            let arrays = columns.iter().enumerate().map(|(at, (_, kind))| kind.array(&pending, at));
            let arrays = arrays.collect::<Result<Vec<ArrayRef>, sqlx::Error>>()?;
            let batch = RecordBatch::try_new(schema.clone(), arrays).map_err(|error| failed(error.into()))?;
            writer.write(&batch).map_err(failed)?;
            count += pending.len() as u64;
            pending.clear();
        }
        if has_ended {
            break;
        }
    }
    writer.close().map_err(failed)?;
    std::fs::rename(&part, path).map_err(|source| Error::File { path: path.to_owned(), source })?;
    Ok(count)
}

/// What a column of a view may be.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Uuid,
    Time,
    Whole,
    Long,
    Real,
    Truth,
}

async fn columns_of(pool: &PgPool, view: &str) -> Result<Vec<(String, Kind)>, Error> {
    let columns: Vec<(String, String)> = sqlx::query_as(
        "select column_name::text, data_type::text from information_schema.columns
         where table_schema = 'analytics' and table_name = $1 order by ordinal_position",
    )
    .bind(view)
    .fetch_all(pool)
    .await?;
    let kind = |(column, found): (String, String)| {
        let kind = match found.as_str() {
            "text" => Kind::Text,
            "uuid" => Kind::Uuid,
            "timestamp with time zone" => Kind::Time,
            "integer" => Kind::Whole,
            "bigint" => Kind::Long,
            "double precision" => Kind::Real,
            "boolean" => Kind::Truth,
            _ => return Err(Error::Column { view: view.to_owned(), column, found }),
        };
        Ok((column, kind))
    };
    columns.into_iter().map(kind).collect()
}

impl Kind {
    fn data_type(self) -> DataType {
        match self {
            Kind::Text | Kind::Uuid => DataType::Utf8,
            Kind::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Kind::Whole => DataType::Int32,
            Kind::Long => DataType::Int64,
            Kind::Real => DataType::Float64,
            Kind::Truth => DataType::Boolean,
        }
    }

    fn array(self, rows: &[PgRow], at: usize) -> Result<ArrayRef, sqlx::Error> {
        let array: ArrayRef = match self {
            Kind::Text => {
                let mut column = StringBuilder::new();
                for row in rows {
                    column.append_option(row.try_get::<Option<&str>, _>(at)?);
                }
                Arc::new(column.finish())
            }
            Kind::Uuid => {
                let mut column = StringBuilder::new();
                for row in rows {
                    column.append_option(row.try_get::<Option<uuid::Uuid>, _>(at)?.map(|id| id.to_string()));
                }
                Arc::new(column.finish())
            }
            Kind::Time => {
                let mut column = TimestampMicrosecondBuilder::new().with_timezone("UTC");
                for row in rows {
                    let time: Option<DateTime<Utc>> = row.try_get(at)?;
                    column.append_option(time.map(|time| time.timestamp_micros()));
                }
                Arc::new(column.finish())
            }
            Kind::Whole => {
                let mut column = Int32Builder::new();
                for row in rows {
                    column.append_option(row.try_get::<Option<i32>, _>(at)?);
                }
                Arc::new(column.finish())
            }
            Kind::Long => {
                let mut column = Int64Builder::new();
                for row in rows {
                    column.append_option(row.try_get::<Option<i64>, _>(at)?);
                }
                Arc::new(column.finish())
            }
            Kind::Real => {
                let mut column = Float64Builder::new();
                for row in rows {
                    column.append_option(row.try_get::<Option<f64>, _>(at)?);
                }
                Arc::new(column.finish())
            }
            Kind::Truth => {
                let mut column = BooleanBuilder::new();
                for row in rows {
                    column.append_option(row.try_get::<Option<bool>, _>(at)?);
                }
                Arc::new(column.finish())
            }
        };
        Ok(array)
    }
}
