//! Figures over time, asked of the views that analysts query with SQL (`postgres/analytics.sql`).
//!
//! A query reads only, is cancelled after [`MAX_QUERY_TIME`], and few run at a time: what analysts ask takes neither the
//! database nor its connections from everybody else. Deliberately absent: any word of a user, because the views have none.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgPool, Postgres, Transaction};
use tokio::sync::Semaphore;

use super::Error;

/// How long one query may take.
const MAX_QUERY_TIME: Duration = Duration::from_secs(5);
/// Queries at a time, in this process.
static QUERIES: Semaphore = Semaphore::const_new(2);
/// Rows of one answer.
const MAX_ROWS: i64 = 10_000;
/// Buckets that a period may have.
pub const MAX_BUCKETS: i64 = 1000;
/// Jobs that the percentiles of [`Analytics::recent`] are of: the last so many that were completed.
const RECENT_JOBS: i64 = 1000;

/// The length of a bucket. Weeks begin on Monday; all are in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bucket {
    Minute,
    Hour,
    Day,
    Week,
}

impl Bucket {
    pub const ALL: [Bucket; 4] = [Bucket::Minute, Bucket::Hour, Bucket::Day, Bucket::Week];

    pub fn name(self) -> &'static str {
        match self {
            Bucket::Minute => "minute",
            Bucket::Hour => "hour",
            Bucket::Day => "day",
            Bucket::Week => "week",
        }
    }

    pub fn seconds(self) -> i64 {
        match self {
            Bucket::Minute => 60,
            Bucket::Hour => 3600,
            Bucket::Day => 86_400,
            Bucket::Week => 7 * 86_400,
        }
    }

    /// The beginning of the bucket that holds a time.
    fn start_of(self, at: DateTime<Utc>) -> DateTime<Utc> {
        /// 1970-01-05, a Monday, in seconds since 1970.
        const MONDAY: i64 = 4 * 86_400;
        let into = (at.timestamp() - MONDAY).rem_euclid(self.seconds());
        DateTime::from_timestamp(at.timestamp() - into, 0).unwrap_or(at)
    }
}

/// Whole buckets, from the first to before `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    pub bucket: Bucket,
}

impl Period {
    /// All buckets that the times touch.
    pub fn covering(from: DateTime<Utc>, to: DateTime<Utc>, bucket: Bucket) -> Self {
        let last = bucket.start_of(to);
        let step = if last < to { TimeDelta::seconds(bucket.seconds()) } else { TimeDelta::zero() };
        Self { from: bucket.start_of(from), to: last + step, bucket }
    }

    pub fn buckets(&self) -> i64 {
        (self.to - self.from).num_seconds() / self.bucket.seconds()
    }
}

/// Jobs of one bucket.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct ThroughputRow {
    pub bucket: DateTime<Utc>,
    pub requested: i64,
    pub started: i64,
    pub completed: i64,
    pub failed: i64,
    pub cancelled: i64,
    /// Of the jobs completed.
    pub video_seconds: f64,
    pub video_bytes: i64,
}

/// A stage in one bucket.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct StagesRow {
    pub bucket: DateTime<Utc>,
    pub stage: String,
    pub completed: i64,
    /// Attempts that failed.
    pub failed: i64,
    pub average_seconds: Option<f64>,
}

/// Failures in one bucket, by stage and code.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct FailuresRow {
    pub bucket: DateTime<Utc>,
    pub stage: String,
    pub code: String,
    pub attempts: i64,
    pub retryable: i64,
    pub jobs: i64,
}

/// Uploads in one bucket.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct StorageRow {
    pub bucket: DateTime<Utc>,
    pub target: String,
    pub uploads: i64,
    pub files: i64,
    pub bytes: i64,
    pub bytes_per_second: Option<f64>,
}

/// How long something took in one bucket.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct LatencyRow {
    pub bucket: DateTime<Utc>,
    /// `queue`, `processing`, or a stage.
    pub measure: String,
    pub count: i64,
    pub p50_seconds: f64,
    pub p95_seconds: f64,
    pub p99_seconds: f64,
}

/// How long the last jobs took, and how many there were.
#[derive(Debug, Clone, PartialEq)]
pub struct Recent {
    /// Jobs that the percentiles are of.
    pub jobs: i64,
    /// `processing` and the stages.
    pub percentiles: Vec<PercentilesRow>,
    pub ended: EndedRow,
}

#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct PercentilesRow {
    pub measure: String,
    pub count: i64,
    pub p50_seconds: f64,
    pub p95_seconds: f64,
    pub p99_seconds: f64,
}

/// Jobs that ended lately.
#[derive(Debug, Clone, Default, PartialEq, FromRow)]
pub struct EndedRow {
    pub completed_in_minute: i64,
    pub completed_in_hour: i64,
    pub failed_in_hour: i64,
    pub cancelled_in_hour: i64,
}

/// Rows, and whether there were more than are given.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows<T> {
    pub rows: Vec<T>,
    pub is_truncated: bool,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Analytics {
    pool: PgPool,
}

impl Analytics {
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Jobs requested, started and ended. Hours and longer come from figures that are kept with every event.
    pub async fn throughput(&self, period: Period) -> Result<Rows<ThroughputRow>, Error> {
        let query = if period.bucket == Bucket::Minute { THROUGHPUT_BY_MINUTE } else { THROUGHPUT };
        self.rows(query, period).await
    }

    pub async fn stages(&self, period: Period) -> Result<Rows<StagesRow>, Error> {
        let query = if period.bucket == Bucket::Minute { STAGES_BY_MINUTE } else { STAGES };
        self.rows(query, period).await
    }

    pub async fn failures(&self, period: Period) -> Result<Rows<FailuresRow>, Error> {
        self.rows(FAILURES, period).await
    }

    pub async fn storage(&self, period: Period) -> Result<Rows<StorageRow>, Error> {
        self.rows(STORAGE, period).await
    }

    pub async fn latency(&self, period: Period) -> Result<Rows<LatencyRow>, Error> {
        self.rows(LATENCY, period).await
    }

    /// Finds the figures of now and of the last jobs.
    pub async fn recent(&self) -> Result<Recent, Error> {
        let (_permit, mut reading) = self.begin().await?;
        let percentiles: Vec<PercentilesRow> =
            sqlx::query_as(RECENT).bind(RECENT_JOBS).fetch_all(&mut *reading).await.map_err(cancelled)?;
        let ended = sqlx::query_as(ENDED).fetch_one(&mut *reading).await.map_err(cancelled)?;
        let whole = percentiles.iter().find(|row| row.measure == "processing");
        Ok(Recent { jobs: whole.map_or(0, |row| row.count), percentiles, ended })
    }

    async fn rows<T>(&self, query: &'static str, period: Period) -> Result<Rows<T>, Error>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let (_permit, mut reading) = self.begin().await?;
        let rows = sqlx::query_as(query)
            .bind(period.from)
            .bind(period.to)
            .bind(period.bucket.seconds() as f64)
            .bind(MAX_ROWS + 1)
            .fetch_all(&mut *reading)
            .await;
        let mut rows: Vec<T> = rows.map_err(cancelled)?;
        let is_truncated = rows.len() as i64 > MAX_ROWS;
        rows.truncate(MAX_ROWS as usize);
        Ok(Rows { rows, is_truncated })
    }

    /// A transaction that cannot write, and cannot take long. It is rolled back when it is dropped.
    async fn begin(
        &self,
    ) -> Result<(tokio::sync::SemaphorePermit<'static>, Transaction<'static, Postgres>), Error> {
        let too_slow = || Error::TooSlow { seconds: MAX_QUERY_TIME.as_secs() };
        let permit = tokio::time::timeout(MAX_QUERY_TIME, QUERIES.acquire()).await;
        let permit = permit.map_err(|_elapsed| too_slow())?.map_err(|_closed| too_slow())?;
        let mut reading = self.pool.begin().await?;
        sqlx::query("set transaction read only").execute(&mut *reading).await?;
        sqlx::query("select set_config('statement_timeout', $1, true)")
            .bind(MAX_QUERY_TIME.as_millis().to_string())
            .execute(&mut *reading)
            .await?;
        Ok((permit, reading))
    }
}

/// Tells a statement that was cancelled for its length (SQLSTATE 57014) from other errors.
fn cancelled(error: sqlx::Error) -> Error {
    let code = error.as_database_error().and_then(|error| error.code());
    match code.as_deref() {
        Some("57014") => Error::TooSlow { seconds: MAX_QUERY_TIME.as_secs() },
        _ => Error::Postgres(error),
    }
}

const THROUGHPUT: &str = "
    select date_bin(make_interval(secs => $3), hour, timestamptz '2000-01-03 00:00:00Z') as bucket,
           sum(requested)::bigint as requested, sum(started)::bigint as started, sum(completed)::bigint as completed,
           sum(failed)::bigint as failed, sum(cancelled)::bigint as cancelled,
           sum(video_seconds)::float8 as video_seconds, sum(bytes)::bigint as video_bytes
    from analytics.throughput_hourly where hour >= $1 and hour < $2
    group by 1 order by 1 limit $4";

const THROUGHPUT_BY_MINUTE: &str = "
    select date_bin(make_interval(secs => $3), at, timestamptz '2000-01-03 00:00:00Z') as bucket,
           count(*) filter (where what = 'requested') as requested, count(*) filter (where what = 'started') as started,
           count(*) filter (where what = 'completed') as completed, count(*) filter (where what = 'failed') as failed,
           count(*) filter (where what = 'cancelled') as cancelled,
           coalesce(sum(video_seconds), 0)::float8 as video_seconds, coalesce(sum(video_bytes), 0)::bigint as video_bytes
    from (
        select created_at as at, 'requested' as what, null::float8 as video_seconds, null::bigint as video_bytes
        from analytics.job_facts where created_at >= $1 and created_at < $2
        union all
        select started_at, 'started', null, null from analytics.job_facts where started_at >= $1 and started_at < $2
        union all
        select ended_at, status, video_seconds, video_bytes from analytics.job_facts where ended_at >= $1 and ended_at < $2
    ) happened
    group by 1 order by 1 limit $4";

const STAGES: &str = "
    select date_bin(make_interval(secs => $3), hour, timestamptz '2000-01-03 00:00:00Z') as bucket, stage,
           sum(completed)::bigint as completed, sum(failed)::bigint as failed,
           (sum(duration_seconds) / nullif(sum(completed), 0))::float8 as average_seconds
    from analytics.stages_hourly where hour >= $1 and hour < $2
    group by 1, 2 order by 1, 2 limit $4";

const STAGES_BY_MINUTE: &str = "
    select date_bin(make_interval(secs => $3), at, timestamptz '2000-01-03 00:00:00Z') as bucket, stage,
           count(*) filter (where not has_failed) as completed, count(*) filter (where has_failed) as failed,
           avg(duration_seconds)::float8 as average_seconds
    from (
        select completed_at as at, stage, false as has_failed, duration_seconds
        from analytics.stage_durations where completed_at >= $1 and completed_at < $2
        union all
        select at, stage, true, null from analytics.failures where at >= $1 and at < $2
    ) happened
    group by 1, 2 order by 1, 2 limit $4";

const FAILURES: &str = "
    select date_bin(make_interval(secs => $3), at, timestamptz '2000-01-03 00:00:00Z') as bucket, stage, code,
           count(*) as attempts, count(*) filter (where retryable) as retryable, count(distinct job_id) as jobs
    from analytics.failures where at >= $1 and at < $2
    group by 1, 2, 3 order by 1, 2, 3 limit $4";

const STORAGE: &str = "
    select date_bin(make_interval(secs => $3), completed_at, timestamptz '2000-01-03 00:00:00Z') as bucket, target,
           count(*) as uploads, sum(files)::bigint as files, sum(bytes)::bigint as bytes,
           (sum(bytes) / nullif(sum(duration_seconds), 0))::float8 as bytes_per_second
    from analytics.storage_operations where completed_at >= $1 and completed_at < $2
    group by 1, 2 order by 1, 2 limit $4";

const LATENCY: &str = "
    select date_bin(make_interval(secs => $3), at, timestamptz '2000-01-03 00:00:00Z') as bucket, measure,
           count(*) as count, percentile_cont(0.5) within group (order by seconds) as p50_seconds,
           percentile_cont(0.95) within group (order by seconds) as p95_seconds,
           percentile_cont(0.99) within group (order by seconds) as p99_seconds
    from (
        select started_at as at, 'queue' as measure, queue_seconds as seconds
        from analytics.job_facts where started_at >= $1 and started_at < $2
        union all
        select ended_at, 'processing', processing_seconds
        from analytics.job_facts where ended_at >= $1 and ended_at < $2 and status = 'completed'
        union all
        select completed_at, stage, duration_seconds
        from analytics.stage_durations where completed_at >= $1 and completed_at < $2
    ) took
    where seconds is not null
    group by 1, 2 order by 1, 2 limit $4";

const RECENT: &str = "
    with recent as (
        select job_id, processing_seconds from analytics.job_facts
        where status = 'completed' order by created_at desc limit $1
    )
    select measure, count(*) as count, percentile_cont(0.5) within group (order by seconds) as p50_seconds,
           percentile_cont(0.95) within group (order by seconds) as p95_seconds,
           percentile_cont(0.99) within group (order by seconds) as p99_seconds
    from (
        select 'processing' as measure, processing_seconds as seconds from recent
        union all
        select stage, duration_seconds from analytics.stage_durations join recent using (job_id)
    ) took
    where seconds is not null
    group by measure order by measure";

const ENDED: &str = "
    select count(*) filter (where status = 'completed' and ended_at > now() - interval '1 minute') as completed_in_minute,
           count(*) filter (where status = 'completed') as completed_in_hour,
           count(*) filter (where status = 'failed') as failed_in_hour,
           count(*) filter (where status = 'cancelled') as cancelled_in_hour
    from analytics.job_facts where ended_at > now() - interval '1 hour'";

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_period_is_whole_buckets_in_utc() {
        let covering = |from, to, bucket| {
            let period = Period::covering(at(from), at(to), bucket);
            (period.from.to_rfc3339(), period.to.to_rfc3339(), period.buckets())
        };
        let (from, to) = ("2026-11-27T10:30:15Z", "2026-11-27T12:00:00Z");
        assert_eq!(
            covering(from, to, Bucket::Hour),
            ("2026-11-27T10:00:00+00:00".into(), "2026-11-27T12:00:00+00:00".into(), 2)
        );
        assert_eq!(covering(from, to, Bucket::Minute).2, 90);
        // 2026-11-27 is a Friday.
        assert_eq!(
            covering(from, to, Bucket::Week),
            ("2026-11-23T00:00:00+00:00".into(), "2026-11-30T00:00:00+00:00".into(), 1)
        );
        assert_eq!(covering("1960-01-01T00:00:00Z", "1960-01-02T00:00:00Z", Bucket::Day).2, 1);
        assert_eq!(covering(from, from, Bucket::Day).2, 1);
    }
}
