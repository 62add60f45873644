//! Counts and times what is done with stored objects, for Prometheus.
//!
//! Counters are those of this process since its start. `events::counters` adds them up over all processes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use futures_util::StreamExt;
use strum::{IntoStaticStr, VariantArray};
use tokio_util::bytes::Bytes;

use super::{ByteStream, Error};
use crate::telemetry::metrics::Totals;

/// Where objects are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum StoreName {
    Local,
    S3,
    /// Both, as one store: each of them counts what is done with it, too.
    LocalAndS3,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Operation {
    /// One attempt to write an object.
    Put,
    /// All attempts to write an object.
    Upload,
    /// Until the bytes begin; they are counted as they are read.
    Get,
    /// An object to a file of this machine.
    Copy,
    Head,
    /// An object, read to its end for its digest.
    Hash,
    Delete,
    List,
    /// A file to a client of the API, to its last byte.
    Download,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Ending {
    Succeeded,
    Failed,
    /// The caller, or the client, gave it up.
    Abandoned,
}

/// What clients get of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Delivered {
    Video,
    Stream,
    Thumbnail,
    Captions,
}

/// How clients get it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum DeliveredBy {
    /// The API sends the bytes.
    Api,
    /// The API sends the client to S3, which does not tell how many bytes it sends.
    S3,
}

/// Upper bounds of the histogram's buckets, in seconds. The last bucket has none.
pub const BUCKETS_S: [f64; 8] = [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0];
const BUCKETS: usize = BUCKETS_S.len() + 1;

#[derive(Debug)]
struct Counters {
    /// Not cumulative.
    buckets: [AtomicU64; BUCKETS],
    microseconds: AtomicU64,
    bytes: AtomicU64,
    retries: AtomicU64,
}

impl Counters {
    const fn new() -> Self {
        Self {
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
            microseconds: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            retries: AtomicU64::new(0),
        }
    }
}

const ENDINGS: usize = Ending::VARIANTS.len();
const STORES: usize = StoreName::VARIANTS.len();
const OPERATIONS: usize = Operation::VARIANTS.len();
static COUNTERS: [[[Counters; ENDINGS]; STORES]; OPERATIONS] =
    [const { [const { [const { Counters::new() }; ENDINGS] }; STORES] }; OPERATIONS];
static DELIVERIES: [[AtomicU64; DeliveredBy::VARIANTS.len()]; Delivered::VARIANTS.len()] =
    [const { [const { AtomicU64::new(0) }; DeliveredBy::VARIANTS.len()] }; Delivered::VARIANTS.len()];

fn counters(operation: Operation, store: StoreName, ending: Ending) -> &'static Counters {
    &COUNTERS[operation as usize][store as usize][ending as usize]
}

/// An operation that is going on. Dropped before its end, it counts as abandoned.
#[derive(Debug)]
pub struct Measurement {
    operation: Operation,
    store: StoreName,
    began: Instant,
    ending: Ending,
}

impl Measurement {
    pub fn begin(store: StoreName, operation: Operation) -> Self {
        Self { operation, store, began: Instant::now(), ending: Ending::Abandoned }
    }

    pub fn add_bytes(&self, bytes: u64) {
        add_bytes(self.store, self.operation, bytes);
    }

    pub fn add_retry(&self) {
        add_retry(self.store, self.operation);
    }

    /// Measures a stream of so many bytes until its end. Dropped before, it counts as abandoned.
    pub fn of_stream(self, stream: ByteStream, length: u64) -> ByteStream {
        if length == 0 {
            self.end(true);
            return stream;
        }
        let (mut measurement, mut left) = (Some(self), length);
        let count = move |piece: &Result<Bytes, Error>| {
            let Some(measuring) = &measurement else { return };
            let bytes = piece.as_ref().map_or(0, Bytes::len) as u64;
            measuring.add_bytes(bytes);
            left = left.saturating_sub(bytes);
            if (piece.is_err() || left == 0)
                && let Some(measurement) = measurement.take()
            {
                measurement.end(piece.is_ok());
            }
        };
        stream.inspect(count).boxed()
    }

    pub fn end(mut self, is_ok: bool) {
        self.ending = if is_ok { Ending::Succeeded } else { Ending::Failed };
    }
}

impl Drop for Measurement {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        let seconds = took.as_secs_f64();
        let bucket = BUCKETS_S.iter().position(|most| seconds <= *most).unwrap_or(BUCKETS_S.len());
        let counters = counters(self.operation, self.store, self.ending);
        counters.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        counters.microseconds.fetch_add(took.as_micros() as u64, Ordering::Relaxed);
    }
}

fn add_retry(store: StoreName, operation: Operation) {
    counters(operation, store, Ending::Succeeded).retries.fetch_add(1, Ordering::Relaxed);
}

tokio::task_local! {
    static CURRENT: (StoreName, Operation);
}

/// Counts a retry of the operation that is being measured.
pub(super) fn note_retry() {
    let _outside = CURRENT.try_with(|(store, operation)| add_retry(*store, *operation));
}

/// Does an operation, and measures it.
pub(super) async fn measured<T>(
    store: StoreName,
    operation: Operation,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let measurement = Measurement::begin(store, operation);
    let outcome = CURRENT.scope((store, operation), work).await;
    measurement.end(outcome.is_ok());
    outcome
}

/// Adds the bytes of an operation.
pub(super) fn add_bytes(store: StoreName, operation: Operation, bytes: u64) {
    counters(operation, store, Ending::Succeeded).bytes.fetch_add(bytes, Ordering::Relaxed);
}

/// Counts the bytes of a stream as they are read.
pub(super) fn counted(store: StoreName, stream: ByteStream) -> ByteStream {
    let count = move |piece: &Result<Bytes, Error>| {
        let bytes = piece.as_ref().map_or(0, Bytes::len) as u64;
        add_bytes(store, Operation::Get, bytes);
    };
    stream.inspect(count).boxed()
}

/// Counts a file that a client gets.
pub fn count_delivery(what: Delivered, by: DeliveredBy) {
    DELIVERIES[what as usize][by as usize].fetch_add(1, Ordering::Relaxed);
}

/// The counters of one operation, store and ending.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Summary {
    /// Not cumulative.
    pub buckets: [u64; BUCKETS],
    pub seconds: f64,
}

fn series_name(operation: Operation, store: StoreName, ending: Ending) -> String {
    let (operation, store, ending): (&str, &str, &str) = (operation.into(), store.into(), ending.into());
    format!("{operation}.{store}.{ending}")
}

fn delivery_name(what: Delivered, by: DeliveredBy) -> String {
    let (what, by): (&str, &str) = (what.into(), by.into());
    format!("delivered.{what}.{by}")
}

/// Every combination of operation, store and ending.
pub fn all_series() -> impl Iterator<Item = (Operation, StoreName, Ending)> {
    Operation::VARIANTS.iter().flat_map(|operation| {
        StoreName::VARIANTS
            .iter()
            .flat_map(move |store| Ending::VARIANTS.iter().map(move |ending| (*operation, *store, *ending)))
    })
}

/// Every combination of what clients get, and how.
pub fn all_deliveries() -> impl Iterator<Item = (Delivered, DeliveredBy)> {
    Delivered::VARIANTS.iter().flat_map(|what| DeliveredBy::VARIANTS.iter().map(move |by| (*what, *by)))
}

/// Returns the counters of this process that are not 0.
pub fn totals() -> Totals {
    let mut totals = Totals::new();
    let mut add = |name: String, counter: &AtomicU64| {
        let value = counter.load(Ordering::Relaxed);
        if value > 0 {
            totals.insert(name, value);
        }
    };
    for (operation, store, ending) in all_series() {
        let (name, counters) = (series_name(operation, store, ending), counters(operation, store, ending));
        for (bucket, counter) in counters.buckets.iter().enumerate() {
            add(format!("{name}.{bucket}"), counter);
        }
        add(format!("{name}.microseconds"), &counters.microseconds);
        add(format!("{name}.bytes"), &counters.bytes);
        add(format!("{name}.retries"), &counters.retries);
    }
    for (what, by) in all_deliveries() {
        add(delivery_name(what, by), &DELIVERIES[what as usize][by as usize]);
    }
    totals
}

fn value(totals: &Totals, name: &str) -> u64 {
    totals.get(name).copied().unwrap_or(0)
}

/// Returns the durations of a series; `None` where there was none.
pub fn durations(totals: &Totals, of: (Operation, StoreName, Ending)) -> Option<Summary> {
    let name = series_name(of.0, of.1, of.2);
    let buckets = std::array::from_fn(|bucket| value(totals, &format!("{name}.{bucket}")));
    let seconds = value(totals, &format!("{name}.microseconds")) as f64 / 1e6;
    let summary = Summary { buckets, seconds };
    (summary.buckets.iter().sum::<u64>() > 0).then_some(summary)
}

/// Returns the bytes and the retries of an operation.
pub fn bytes_and_retries(totals: &Totals, operation: Operation, store: StoreName) -> (u64, u64) {
    let name = series_name(operation, store, Ending::Succeeded);
    (value(totals, &format!("{name}.bytes")), value(totals, &format!("{name}.retries")))
}

/// Returns how many files clients got.
pub fn deliveries(totals: &Totals, (what, by): (Delivered, DeliveredBy)) -> u64 {
    value(totals, &delivery_name(what, by))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_operation_is_counted_by_its_end() {
        let of = |ending| durations(&totals(), (Operation::Hash, StoreName::LocalAndS3, ending));
        let count = |ending| of(ending).map_or(0, |summary| summary.buckets.iter().sum::<u64>());
        assert_eq!(Ending::VARIANTS.iter().map(|ending| count(*ending)).sum::<u64>(), 0);
        let (store, operation) = (StoreName::LocalAndS3, Operation::Hash);
        measured(store, operation, async { Ok(()) }).await.unwrap();
        let refused = async {
            note_retry();
            Err::<(), _>(Error::InvalidKey("..".to_owned()))
        };
        measured(store, operation, refused).await.unwrap_err();
        drop(Measurement::begin(store, operation));
        assert_eq!(Ending::VARIANTS.iter().map(|ending| count(*ending)).collect::<Vec<_>>(), [1, 1, 1]);
        assert_eq!(bytes_and_retries(&totals(), operation, store), (0, 1));
        // It took no time to speak of.
        assert_eq!(of(Ending::Succeeded).unwrap().buckets[0], 1);
    }
}
