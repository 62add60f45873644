//! Adds up what all processes count, in a hash in Redis, so that every API process can tell it.
//!
//! Each process adds what is new every few seconds, and when it stops. One that is killed takes its last seconds with it: these
//! are figures, and no facts of the log. Beside the counters stand the traces of slow observations, for an hour.

use std::collections::HashMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::log::{Error, EventLog};
use crate::storage::measure;
use crate::telemetry::metrics::{self, Exemplar, Family, Totals};

const ADD_EVERY: Duration = Duration::from_secs(2);
/// A collector seldom keeps traces for ever.
const EXEMPLARS_KEPT: Duration = Duration::from_secs(3600);

/// The counters of all processes, of all time, and traces of slow observations.
#[derive(Debug, Default)]
pub struct Counted {
    pub totals: Totals,
    /// By the counters of their buckets.
    pub exemplars: HashMap<String, Exemplar>,
}

/// Adds the counters of this process until `stop`.
pub async fn publish(log: EventLog, families: &'static [&'static Family], stop: CancellationToken) {
    let mut added = totals(families);
    loop {
        let is_last = tokio::select! {
            () = stop.cancelled() => true,
            () = tokio::time::sleep(ADD_EVERY) => false,
        };
        let totals = totals(families);
        match add(&log, &added, &totals, &metrics::take_exemplars(families)).await {
            Ok(()) => added = totals,
            // If only the answer was lost, these are counted twice.
            Err(error) => tracing::debug!(%error, "the counters of this process are added later"),
        }
        if is_last {
            return;
        }
    }
}

fn totals(families: &[&'static Family]) -> Totals {
    let mut totals = measure::totals();
    totals.extend(metrics::totals(families));
    totals
}

async fn add(
    log: &EventLog,
    before: &Totals,
    now: &Totals,
    exemplars: &[(String, Exemplar)],
) -> redis::RedisResult<()> {
    let (counters, traces) = (log.keys().counters(), log.keys().exemplars());
    // A pipeline for each key: on a cluster they may be on different nodes.
    let mut pipeline = redis::pipe();
    for (name, value) in now {
        let more = value - before.get(name).copied().unwrap_or(0);
        if more > 0 {
            pipeline.cmd("HINCRBY").arg(&counters).arg(name).arg(more).ignore();
        }
    }
    if !pipeline.is_empty() {
        pipeline.query_async::<()>(&mut log.connection()).await?;
    }
    if exemplars.is_empty() {
        return Ok(());
    }
    let mut pipeline = redis::pipe();
    for (name, exemplar) in exemplars {
        pipeline.cmd("HSET").arg(&traces).arg(name).arg(exemplar.encode()).ignore();
    }
    pipeline.cmd("EXPIRE").arg(&traces).arg(EXEMPLARS_KEPT.as_secs()).ignore();
    // The next ones replace those that are lost.
    if let Err(error) = pipeline.query_async::<()>(&mut log.connection()).await {
        tracing::debug!(%error, "traces of slow observations are not kept");
    }
    Ok(())
}

/// Returns the counters of all processes.
pub async fn read(log: &EventLog) -> Result<Counted, Error> {
    let ask = async |key: String| {
        let mut command = redis::cmd("HGETALL");
        command.arg(key);
        let answer: redis::RedisResult<Vec<(String, String)>> =
            command.query_async(&mut log.connection()).await;
        answer.map_err(|source| Error::Redis { attempted: "read the counters", source })
    };
    let (counters, traces) = tokio::try_join!(ask(log.keys().counters()), ask(log.keys().exemplars()))?;
    let totals = counters.into_iter().filter_map(|(name, value)| Some((name, value.parse().ok()?)));
    let exemplars = traces.into_iter().filter_map(|(name, text)| Some((name, Exemplar::parse(&text)?)));
    Ok(Counted { totals: totals.collect(), exemplars: exemplars.collect() })
}
