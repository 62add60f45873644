//! Counts and times what this process does, for Prometheus.
//!
//! A family is one metric; a series is a family with a value for each of its labels. An observation costs a look-up of its series and
//! two atomic additions, some hundred nanoseconds together, and sends nothing: `events::counters` adds the totals of all processes up
//! in Redis every few seconds, from where every API process serves them.
//!
//! Invariants:
//! - The values of labels are constants of the program, so that the number of series is bounded; past [`MAX_SERIES`], all further
//!   combinations count as `other`.
//! - Totals are whole numbers and never fall.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

/// Counters by their names.
pub type Totals = BTreeMap<String, u64>;

/// Series of a family, at most.
const MAX_SERIES: usize = 512;
const OTHER: &str = "other";
/// Between the parts of a counter's name. No name and no label's value has it.
const SEPARATOR: char = '|';
/// The part of a histogram's counters that is no bucket.
const SUM: &str = "sum";
const INFINITY: &str = "+Inf";
const NANOSECONDS: f64 = 1e9;

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    Counter,
    /// With the upper bounds of its buckets, in the metric's unit. The last bucket has none.
    Histogram {
        bounds: &'static [f64],
    },
}

/// A metric of which each process counts its part.
#[derive(Debug)]
pub struct Family {
    pub name: &'static str,
    pub help: &'static str,
    pub labels: &'static [&'static str],
    pub kind: Kind,
    /// Sums are whole numbers of this part of the metric's unit: 1e9 for nanoseconds of a metric in seconds.
    per_unit: f64,
    series: RwLock<BTreeMap<Vec<&'static str>, &'static Series>>,
}

impl Family {
    /// Counts whole things.
    pub const fn counter(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Self {
        Self::new(name, help, labels, Kind::Counter, 1.0)
    }

    /// Times something, in seconds.
    pub const fn durations(
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        bounds: &'static [f64],
    ) -> Self {
        Self::new(name, help, labels, Kind::Histogram { bounds }, NANOSECONDS)
    }

    pub const fn new(
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        kind: Kind,
        per_unit: f64,
    ) -> Self {
        Self { name, help, labels, kind, per_unit, series: RwLock::new(BTreeMap::new()) }
    }

    fn bounds(&self) -> &'static [f64] {
        match self.kind {
            Kind::Counter => &[],
            Kind::Histogram { bounds } => bounds,
        }
    }

    /// Returns the series with these values of the labels, in the labels' order.
    pub fn with(&self, values: &[&'static str]) -> &'static Series {
        debug_assert_eq!(values.len(), self.labels.len(), "{}", self.name);
        let known = |series: &BTreeMap<Vec<&'static str>, &'static Series>| series.get(values).copied();
        if let Some(series) = known(&self.series.read().unwrap_or_else(PoisonError::into_inner)) {
            return series;
        }
        let mut all = self.series.write().unwrap_or_else(PoisonError::into_inner);
        let is_full = all.len() >= MAX_SERIES;
        let values = if is_full { vec![OTHER; values.len()] } else { values.to_vec() };
        all.entry(values).or_insert_with(|| Box::leak(Box::new(Series::new(self.bounds(), self.per_unit))))
    }

    fn each_series(&self, mut visit: impl FnMut(&[&'static str], &'static Series)) {
        let all = self.series.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().for_each(|(values, series)| visit(values, series));
    }

    fn counter_name(&self, values: &[&str], part: &str) -> String {
        let mut name = self.name.to_owned();
        for text in values.iter().chain([&part]) {
            name.push(SEPARATOR);
            name.push_str(text);
        }
        name
    }

    fn parts(&self) -> impl Iterator<Item = String> {
        let bounds = self.bounds();
        let is_histogram = matches!(self.kind, Kind::Histogram { .. });
        bounds.iter().map(|bound| bound.to_string()).chain(is_histogram.then(|| INFINITY.to_owned()))
    }

    /// Returns the series that the totals have, and those that are `expected`, with zeros where nothing was counted.
    pub fn read(
        &self,
        totals: &Totals,
        exemplars: &HashMap<String, Exemplar>,
        expected: &[Vec<&'static str>],
    ) -> Vec<Summary> {
        let mut found: BTreeMap<Vec<String>, Summary> = BTreeMap::new();
        let empty = |labels: &[String]| Summary {
            labels: labels.to_vec(),
            buckets: self.parts().map(|_| Bucket::default()).collect(),
            sum: 0.0,
        };
        for values in expected {
            let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
            found.insert(values.clone(), empty(&values));
        }
        let prefix = format!("{}{SEPARATOR}", self.name);
        for (name, count) in totals.range(prefix.clone()..).take_while(|(name, _)| name.starts_with(&prefix))
        {
            let mut parts: Vec<String> = name[prefix.len()..].split(SEPARATOR).map(str::to_owned).collect();
            let Some(part) = parts.pop().filter(|_| parts.len() == self.labels.len()) else { continue };
            let summary = found.entry(parts).or_insert_with_key(|values| empty(values));
            if part == SUM {
                summary.sum = *count as f64 / self.per_unit;
            } else if let Some(bucket) = self.bucket_of(&part).and_then(|at| summary.buckets.get_mut(at)) {
                bucket.count += count;
                bucket.exemplar = exemplars.get(name).cloned().or(bucket.exemplar.take());
            }
        }
        found.into_values().collect()
    }

    /// Returns the bucket of a bound. A bound of another version belongs to the next larger one.
    fn bucket_of(&self, part: &str) -> Option<usize> {
        let bound: f64 = if part == INFINITY { f64::INFINITY } else { part.parse().ok()? };
        Some(self.bounds().partition_point(|known| *known < bound))
    }
}

/// What was counted of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The values of the family's labels.
    pub labels: Vec<String>,
    /// Not cumulative; none of a counter.
    pub buckets: Vec<Bucket>,
    /// In the metric's unit.
    pub sum: f64,
}

impl Summary {
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.count).sum()
    }
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Bucket {
    pub count: u64,
    pub exemplar: Option<Exemplar>,
}

/// Returns an upper bound of the quantile, between bounds by proportion, as Prometheus' `histogram_quantile` does. `None` without
/// observations. What is past the last bound counts as at it.
pub fn quantile(bounds: &[f64], buckets: &[u64], quantile: f64) -> Option<f64> {
    let total: u64 = buckets.iter().sum();
    if total == 0 {
        return None;
    }
    let rank = quantile * total as f64;
    let mut below = 0.0;
    for (at, count) in buckets.iter().map(|count| *count as f64).enumerate() {
        let Some(&upper) = bounds.get(at) else { break };
        if below + count >= rank && count > 0.0 {
            let lower = if at == 0 { 0.0 } else { bounds[at - 1] };
            return Some(lower + (upper - lower) * ((rank - below) / count).max(0.0));
        }
        below += count;
    }
    bounds.last().copied()
}

/// A slow observation, and the trace that it belongs to.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// In the metric's unit.
    pub value: f64,
    /// In ms since 1970.
    pub at_ms: u64,
}

impl Exemplar {
    /// As text, for Redis.
    pub fn encode(&self) -> String {
        format!("{} {} {}", self.trace_id, self.value, self.at_ms)
    }

    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let trace_id = parts.next()?.to_owned();
        Some(Self { trace_id, value: parts.next()?.parse().ok()?, at_ms: parts.next()?.parse().ok()? })
    }
}

/// A metric with a value for each of its labels, as this process has counted it.
#[derive(Debug)]
pub struct Series {
    bounds: &'static [f64],
    per_unit: f64,
    /// Not cumulative; empty for a counter.
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
    /// The slowest traced observation since the last publication, as it is added to the sum.
    slowest: AtomicU64,
    exemplar: Mutex<Option<Exemplar>>,
}

impl Series {
    fn new(bounds: &'static [f64], per_unit: f64) -> Self {
        let buckets = if bounds.is_empty() { 0 } else { bounds.len() + 1 };
        Self {
            bounds,
            per_unit,
            buckets: (0..buckets).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
            slowest: AtomicU64::new(0),
            exemplar: Mutex::new(None),
        }
    }

    /// Counts so many whole parts of the metric's unit.
    pub fn add(&self, amount: u64) {
        self.sum.fetch_add(amount, Ordering::Relaxed);
    }

    pub fn observe(&self, duration: Duration) {
        self.observe_value(duration.as_secs_f64());
    }

    pub fn observe_value(&self, value: f64) {
        self.record(value);
    }

    /// Observes a duration that belongs to a trace. `trace_id` is asked only for the slowest since the last publication.
    pub fn observe_traced(&self, duration: Duration, trace_id: impl FnOnce() -> Option<String>) {
        let value = duration.as_secs_f64();
        let amount = self.record(value);
        if amount <= self.slowest.load(Ordering::Relaxed) {
            return;
        }
        let Some(trace_id) = trace_id() else { return };
        if self.slowest.fetch_max(amount, Ordering::Relaxed) < amount {
            let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let exemplar = Exemplar { trace_id, value, at_ms: at.as_millis() as u64 };
            *self.exemplar.lock().unwrap_or_else(PoisonError::into_inner) = Some(exemplar);
        }
    }

    fn record(&self, value: f64) -> u64 {
        let amount = (value * self.per_unit).max(0.0) as u64;
        if let Some(bucket) = self.buckets.get(self.bounds.partition_point(|bound| *bound < value)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(amount, Ordering::Relaxed);
        amount
    }

    fn take_exemplar(&self) -> Option<Exemplar> {
        let taken = self.exemplar.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.slowest.store(0, Ordering::Relaxed);
        taken
    }
}

/// Returns the counters of this process that are not 0.
pub fn totals(families: &[&'static Family]) -> Totals {
    let mut totals = Totals::new();
    for family in families {
        let parts: Vec<String> = family.parts().collect();
        family.each_series(|values, series| {
            let mut add = |part: &str, counter: &AtomicU64| {
                let value = counter.load(Ordering::Relaxed);
                if value > 0 {
                    totals.insert(family.counter_name(values, part), value);
                }
            };
            add(SUM, &series.sum);
            parts.iter().zip(&series.buckets).for_each(|(part, bucket)| add(part, bucket));
        });
    }
    totals
}

/// Takes the slowest traced observation of each series since the last call, by the name of its bucket's counter.
pub fn take_exemplars(families: &[&'static Family]) -> Vec<(String, Exemplar)> {
    let mut taken = vec![];
    for family in families {
        let parts: Vec<String> = family.parts().collect();
        family.each_series(|values, series| {
            let Some(exemplar) = series.take_exemplar() else { return };
            if let Some(part) = family.bucket_of(&exemplar.value.to_string()).and_then(|at| parts.get(at)) {
                taken.push((family.counter_name(values, part), exemplar));
            }
        });
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    static WAITS: Family = Family::durations("waits_seconds", "Waits.", &["stage", "outcome"], &[0.1, 1.0]);
    static TIMES: Family = Family::durations("times_seconds", "Times.", &["stage"], &[0.1, 1.0]);
    static COSTS: Family = Family::new("costs_dollars_total", "Costs.", &["by"], Kind::Counter, 1e6);
    static FULL: Family = Family::counter("full_total", "Full.", &["name"]);

    fn counts(summary: &Summary) -> Vec<u64> {
        summary.buckets.iter().map(|bucket| bucket.count).collect()
    }

    #[test]
    fn what_a_process_counted_is_read_back_by_its_labels() {
        for ms in [100, 101, 1000, 5000] {
            WAITS.with(&["planning", "done"]).observe(Duration::from_millis(ms));
        }
        COSTS.with(&["x"]).add(1_500_000);
        let totals = totals(&[&WAITS, &COSTS]);
        let waits = WAITS.read(&totals, &HashMap::new(), &[vec!["storage", "done"]]);
        assert_eq!(waits.len(), 2);
        assert_eq!(
            (waits[0].labels.join(" "), counts(&waits[0])),
            ("planning done".to_owned(), vec![1, 2, 1])
        );
        assert!((waits[0].sum - 6.201).abs() < 1e-6 && waits[0].count() == 4);
        assert_eq!((counts(&waits[1]), waits[1].sum), (vec![0, 0, 0], 0.0));
        let costs = COSTS.read(&totals, &HashMap::new(), &[]);
        assert_eq!((costs.len(), costs[0].sum, costs[0].buckets.len()), (1, 1.5, 0));
    }

    #[test]
    fn buckets_of_another_version_count_in_the_next_larger_one() {
        let totals = [("waits_seconds|a|b|0.5", 3), ("waits_seconds|a|b|30", 4), ("waits_seconds|a|0.1", 9)];
        let totals: Totals = totals.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
        let waits = WAITS.read(&totals, &HashMap::new(), &[]);
        assert_eq!((waits.len(), counts(&waits[0])), (1, vec![0, 3, 4]));
    }

    #[test]
    fn the_slowest_traced_observation_is_the_exemplar_until_it_is_taken() {
        let series = TIMES.with(&["planning"]);
        let observe = |ms, trace: &'static str| {
            series.observe_traced(Duration::from_millis(ms), || Some(trace.to_owned()));
        };
        observe(200, "first");
        observe(700, "slowest");
        observe(300, "later");
        let taken = take_exemplars(&[&TIMES]);
        assert_eq!(taken.len(), 1);
        let (name, exemplar) = &taken[0];
        assert_eq!((name.as_str(), exemplar.trace_id.as_str()), ("times_seconds|planning|1", "slowest"));
        assert_eq!(Exemplar::parse(&exemplar.encode()).as_ref(), Some(exemplar));
        let read = TIMES.read(&totals(&[&TIMES]), &taken.iter().cloned().collect(), &[]);
        assert_eq!(read[0].buckets[1].exemplar.as_ref(), Some(exemplar));
        assert!(take_exemplars(&[&TIMES]).is_empty());
        observe(50, "fast");
        assert_eq!(take_exemplars(&[&TIMES])[0].1.trace_id, "fast");
    }

    #[test]
    fn the_number_of_series_is_bounded() {
        for number in 0..MAX_SERIES + 10 {
            let name: &'static str = Box::leak(number.to_string().into_boxed_str());
            FULL.with(&[name]).add(1);
        }
        let read = FULL.read(&totals(&[&FULL]), &HashMap::new(), &[]);
        assert_eq!(read.len(), MAX_SERIES + 1);
        assert_eq!(read.iter().find(|one| one.labels == [OTHER]).map(|one| one.sum), Some(10.0));
    }

    #[test]
    fn quantiles_are_those_of_prometheus() {
        let bounds = [0.1, 1.0, 10.0];
        assert_eq!(quantile(&bounds, &[0, 0, 0, 0], 0.5), None);
        assert_eq!(quantile(&bounds, &[0, 10, 0, 0], 0.5), Some(0.1 + 0.9 * 0.5));
        assert_eq!(quantile(&bounds, &[5, 0, 5, 0], 0.9), Some(1.0 + 9.0 * 0.8));
        assert_eq!(quantile(&bounds, &[1, 0, 0, 9], 0.99), Some(10.0));
    }

    /// The costs that the module's introduction names, with room for a machine that is busy with other tests.
    #[test]
    fn an_observation_takes_less_than_some_microseconds() {
        static BUSY: Family = Family::durations("busy_seconds", "Busy.", &["stage"], &[0.1, 1.0]);
        let began = std::time::Instant::now();
        for _ in 0..100_000 {
            BUSY.with(&["rendering"]).observe_traced(Duration::from_micros(20), || None);
        }
        let each = began.elapsed() / 100_000;
        assert!(each < Duration::from_micros(10), "{each:?}");
    }
}
