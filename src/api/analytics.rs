//! `/analytics`: figures over time, for analysts; the same views that they query with SQL.

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use salvo::oapi::{ToParameters, ToSchema, endpoint};
use salvo::prelude::*;
use serde::{Deserialize, Deserializer, Serialize};

use super::problem::Problem;
use super::query::{Query, Time, field_error, parse_one_of};
use super::state;
use crate::projections::analytics::{
    self, Analytics, Bucket, FailuresRow, LatencyRow, MAX_BUCKETS, Period, StagesRow, StorageRow,
    ThroughputRow,
};

/// How far back figures go unless the query says so.
fn default_period(bucket: Bucket) -> TimeDelta {
    match bucket {
        Bucket::Minute => TimeDelta::hours(1),
        Bucket::Hour => TimeDelta::hours(24),
        Bucket::Day => TimeDelta::days(30),
        Bucket::Week => TimeDelta::weeks(26),
    }
}

/// Which time, in which steps.
#[derive(Debug, Default, Deserialize, ToParameters)]
#[serde(default)]
#[salvo(parameters(default_parameter_in = Query))]
pub struct PeriodQuery {
    /// The beginning, RFC 3339, taken back to the beginning of its bucket; by default an hour before `to` by minute, a day by
    /// hour, 30 days by day, 26 weeks by week.
    from: Option<Time>,
    /// The end, RFC 3339; by default now. Taken on to the end of its bucket.
    to: Option<Time>,
    /// `minute`, `hour` (the default), `day` or `week`, in UTC; at most 1,000 buckets. Weeks begin on Monday.
    #[serde(deserialize_with = "parse_bucket")]
    #[salvo(parameter(value_type = Option<String>))]
    bucket: Option<Bucket>,
}

fn parse_bucket<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Bucket>, D::Error> {
    parse_one_of(deserializer, &Bucket::ALL, Bucket::name)
}

impl PeriodQuery {
    fn period(&self, now: DateTime<Utc>) -> Result<Period, Problem> {
        let to = self.to.map_or(now, |time| time.0);
        let bucket = self.bucket.unwrap_or(Bucket::Hour);
        let from = self.from.map_or(to - default_period(bucket), |time| time.0);
        let period = Period::covering(from, to, bucket);
        let is_year = |time: DateTime<Utc>| (1..=9999).contains(&time.year());
        let mut errors = vec![];
        if from >= to {
            errors.push(field_error(
                "from",
                &from.to_rfc3339(),
                &format!("before `to`, which is {}", to.to_rfc3339()),
            ));
        } else if !(is_year(period.from) && is_year(period.to)) {
            errors.push(field_error(
                "to",
                &to.to_rfc3339(),
                "so that all buckets are of the years 0001 to 9999",
            ));
        } else if period.buckets() > MAX_BUCKETS {
            let expected = format!(
                "longer: {} of them would be listed, and at most {MAX_BUCKETS} are",
                period.buckets()
            );
            errors.push(field_error("bucket", bucket.name(), &expected));
        }
        if errors.is_empty() { Ok(period) } else { Err(Problem::validation(errors)) }
    }
}

/// Rows by bucket, oldest first. A bucket in which nothing happened has no row.
#[derive(Debug, Serialize, ToSchema)]
pub struct ThroughputAnswer {
    #[serde(flatten)]
    #[salvo(schema(inline = false))]
    pub period: PeriodAnswer,
    pub rows: Vec<ThroughputItem>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct StagesAnswer {
    #[serde(flatten)]
    #[salvo(schema(inline = false))]
    pub period: PeriodAnswer,
    pub rows: Vec<StagesItem>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct FailuresAnswer {
    #[serde(flatten)]
    #[salvo(schema(inline = false))]
    pub period: PeriodAnswer,
    pub rows: Vec<FailuresItem>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct StorageAnswer {
    #[serde(flatten)]
    #[salvo(schema(inline = false))]
    pub period: PeriodAnswer,
    pub rows: Vec<StorageItem>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct LatencyAnswer {
    #[serde(flatten)]
    #[salvo(schema(inline = false))]
    pub period: PeriodAnswer,
    pub rows: Vec<LatencyItem>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct PeriodAnswer {
    /// The beginning of the first bucket.
    pub from: DateTime<Utc>,
    /// The end of the last bucket.
    pub to: DateTime<Utc>,
    /// `minute`, `hour`, `day` or `week`.
    pub bucket: String,
    /// Set when there are more rows than the 10,000 that an answer holds.
    pub truncated: bool,
}

impl PeriodAnswer {
    fn of(period: Period, is_truncated: bool) -> Self {
        let Period { from, to, bucket } = period;
        Self { from, to, bucket: bucket.name().to_owned(), truncated: is_truncated }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ThroughputItem {
    /// When the bucket begins.
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

#[derive(Debug, Serialize, ToSchema)]
pub struct StagesItem {
    /// When the bucket begins.
    pub bucket: DateTime<Utc>,
    pub stage: String,
    pub completed: i64,
    /// Attempts that failed.
    pub failed: i64,
    /// Of those completed; null without any.
    pub average_seconds: Option<f64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct FailuresItem {
    /// When the bucket begins.
    pub bucket: DateTime<Utc>,
    pub stage: String,
    pub error_code: String,
    /// Attempts that failed so.
    pub attempts: i64,
    /// Those of them that another attempt could help.
    pub retryable: i64,
    /// Jobs that this happened to.
    pub jobs: i64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct StorageItem {
    /// When the bucket begins.
    pub bucket: DateTime<Utc>,
    /// The target: `local`.
    pub target: String,
    pub uploads: i64,
    pub files: i64,
    pub bytes: i64,
    /// Null when they took no time that could be measured.
    pub bytes_per_second: Option<f64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct LatencyItem {
    /// When the bucket begins.
    pub bucket: DateTime<Utc>,
    /// `queue` (from the request to the first stage), `processing` (from there to the completed video), or a stage.
    pub measure: String,
    pub count: i64,
    pub p50_seconds: f64,
    pub p95_seconds: f64,
    pub p99_seconds: f64,
}

impl From<ThroughputRow> for ThroughputItem {
    fn from(row: ThroughputRow) -> Self {
        let ThroughputRow { bucket, requested, started, completed, failed, cancelled, .. } = row;
        let ThroughputRow { video_seconds, video_bytes, .. } = row;
        Self { bucket, requested, started, completed, failed, cancelled, video_seconds, video_bytes }
    }
}

impl From<StagesRow> for StagesItem {
    fn from(row: StagesRow) -> Self {
        let StagesRow { bucket, stage, completed, failed, average_seconds } = row;
        Self { bucket, stage, completed, failed, average_seconds }
    }
}

impl From<FailuresRow> for FailuresItem {
    fn from(row: FailuresRow) -> Self {
        let FailuresRow { bucket, stage, code, attempts, retryable, jobs } = row;
        Self { bucket, stage, error_code: code, attempts, retryable, jobs }
    }
}

impl From<StorageRow> for StorageItem {
    fn from(row: StorageRow) -> Self {
        let StorageRow { bucket, target, uploads, files, bytes, bytes_per_second } = row;
        Self { bucket, target, uploads, files, bytes, bytes_per_second }
    }
}

impl From<LatencyRow> for LatencyItem {
    fn from(row: LatencyRow) -> Self {
        let LatencyRow { bucket, measure, count, p50_seconds, p95_seconds, p99_seconds } = row;
        Self { bucket, measure, count, p50_seconds, p95_seconds, p99_seconds }
    }
}

fn read(query: &PeriodQuery, depot: &Depot) -> Result<(Analytics, Period), Problem> {
    Ok((Analytics::new(state(depot)?.pool.clone()), query.period(Utc::now())?))
}

/// Returns the period and the rows of an answer.
fn listed<R, I: From<R>>(found: analytics::Rows<R>, period: Period) -> (PeriodAnswer, Vec<I>) {
    let rows = found.rows.into_iter().map(I::from).collect();
    (PeriodAnswer::of(period, found.is_truncated), rows)
}

/// Jobs over time
///
/// For analysts and admins: how many jobs were requested, begun and ended in each bucket.
#[endpoint(tags("analytics"), operation_id = "get_throughput", security(["bearer" = []]))]
pub async fn get_throughput(
    query: Query<PeriodQuery>,
    depot: &mut Depot,
) -> Result<Json<ThroughputAnswer>, Problem> {
    let (analytics, period) = read(&query.0, depot)?;
    let (period, rows) = listed(analytics.throughput(period).await?, period);
    Ok(Json(ThroughputAnswer { period, rows }))
}

/// Stages over time
///
/// For analysts and admins: how often each stage was completed, how long it took, and how often its work failed.
#[endpoint(tags("analytics"), operation_id = "get_stages", security(["bearer" = []]))]
pub async fn get_stages(query: Query<PeriodQuery>, depot: &mut Depot) -> Result<Json<StagesAnswer>, Problem> {
    let (analytics, period) = read(&query.0, depot)?;
    let (period, rows) = listed(analytics.stages(period).await?, period);
    Ok(Json(StagesAnswer { period, rows }))
}

/// Failures over time
///
/// For analysts and admins: attempts that failed, by stage and code.
#[endpoint(tags("analytics"), operation_id = "get_failures", security(["bearer" = []]))]
pub async fn get_failures(
    query: Query<PeriodQuery>,
    depot: &mut Depot,
) -> Result<Json<FailuresAnswer>, Problem> {
    let (analytics, period) = read(&query.0, depot)?;
    let (period, rows) = listed(analytics.failures(period).await?, period);
    Ok(Json(FailuresAnswer { period, rows }))
}

/// Storage over time
///
/// For analysts and admins: what was stored, where, and how fast.
#[endpoint(tags("analytics"), operation_id = "get_storage", security(["bearer" = []]))]
pub async fn get_storage(
    query: Query<PeriodQuery>,
    depot: &mut Depot,
) -> Result<Json<StorageAnswer>, Problem> {
    let (analytics, period) = read(&query.0, depot)?;
    let (period, rows) = listed(analytics.storage(period).await?, period);
    Ok(Json(StorageAnswer { period, rows }))
}

/// Waiting and processing times over time
///
/// For analysts and admins: percentiles of the waiting time, of the processing time, and of each stage.
#[endpoint(tags("analytics"), operation_id = "get_latency", security(["bearer" = []]))]
pub async fn get_latency(
    query: Query<PeriodQuery>,
    depot: &mut Depot,
) -> Result<Json<LatencyAnswer>, Problem> {
    let (analytics, period) = read(&query.0, depot)?;
    let (period, rows) = listed(analytics.latency(period).await?, period);
    Ok(Json(LatencyAnswer { period, rows }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(from: &str, to: &str, bucket: Bucket) -> Result<i64, String> {
        let time = |text: &str| Some(Time(text.parse().unwrap()));
        let query = PeriodQuery { from: time(from), to: time(to), bucket: Some(bucket) };
        let period = query.period(Utc::now()).map(|period| period.buckets());
        period.map_err(|problem| problem.details[0]["loc"][1].as_str().unwrap().to_owned())
    }

    #[test]
    fn a_period_is_bounded() {
        let (from, to) = ("2026-11-01T00:00:00Z", "2026-11-27T00:00:00Z");
        assert_eq!(query(from, to, Bucket::Hour), Ok(624));
        assert_eq!(query(from, to, Bucket::Minute), Err("bucket".into()));
        assert_eq!(query(to, from, Bucket::Hour), Err("from".into()));
        assert_eq!(query(to, to, Bucket::Hour), Err("from".into()));
        assert_eq!(query("9999-12-30T00:00:00Z", "9999-12-31T23:00:00Z", Bucket::Week), Err("to".into()));
        let day = PeriodQuery::default().period("2026-11-27T10:20:00Z".parse().unwrap()).unwrap();
        assert_eq!((day.buckets(), day.bucket), (25, Bucket::Hour));
    }
}
