//! Random concurrent commands against a real Redis, compared with a model of what the log promises.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use chrono::Utc;
use reelstream::events::job::WorkItem;
use reelstream::events::queue::Consumer;
use reelstream::events::work::{ScheduledWork, TakenWork, requester};
use reelstream::events::{
    Actor, AggregateKind, Append, Appended, CHAIN_START, Envelope, Error, EventLog, Lane, Mark, Priority,
    Stage, WorkQueue,
};
use reelstream::ids::{AttemptToken, CommandId, EventId, JobId};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::harness::log;

/// A small generator whose whole run follows from its seed (SplitMix64).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

/// The seed of this run; `REEL_SEED` repeats another.
pub fn seed() -> u64 {
    std::env::var("REEL_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| Uuid::new_v4().as_u64_pair().0)
}

/// What the log said it did.
#[derive(Default)]
struct Model {
    /// Of each job: the events that were acknowledged as appended, by their version.
    events: BTreeMap<JobId, BTreeMap<u64, EventId>>,
    /// Commands that were acknowledged as applied, with the version they led to.
    applied: BTreeMap<(JobId, CommandId), u64>,
    /// Work that was scheduled by an acknowledged append.
    scheduled: BTreeSet<AttemptToken>,
    /// Work that an acknowledged append has ended.
    ended: BTreeSet<AttemptToken>,
}

#[derive(Clone)]
struct Writer {
    log: EventLog,
    queue: WorkQueue,
    jobs: Arc<Vec<JobId>>,
    /// Commands that any writer has ever sent, to be sent again.
    sent: Arc<Mutex<Vec<(JobId, CommandId)>>>,
    model: Arc<Mutex<Model>>,
}

const JOBS: usize = 6;
const WRITERS: u64 = 12;
const COMMANDS: usize = 120;

#[tokio::test]
async fn the_log_does_what_its_model_says() {
    let seed = seed();
    println!("REEL_SEED={seed}");
    let log = log().await;
    let writer = Writer {
        queue: WorkQueue::new(&log),
        log,
        jobs: Arc::new((0..JOBS).map(|_| JobId::new()).collect()),
        sent: Arc::default(),
        model: Arc::default(),
    };
    let mut writers = JoinSet::new();
    for number in 0..WRITERS {
        writers.spawn(writer.clone().run(Random::new(seed.wrapping_add(number))));
    }
    writers.join_all().await;
    writer.compare().await;
}

impl Writer {
    async fn run(self, mut random: Random) {
        for _ in 0..COMMANDS {
            let job = self.jobs[random.below(JOBS as u64) as usize];
            match random.below(4) {
                0 => self.send_again(&mut random).await,
                1 => self.end_work(&mut random, job).await,
                _ => self.append(&mut random, job, CommandId::new(), None).await,
            }
        }
    }

    /// Sends a command that was sent before, by whomever: its outcome must be what it was.
    async fn send_again(&self, random: &mut Random) {
        let earlier = {
            let sent = self.sent.lock().unwrap();
            if sent.is_empty() { None } else { Some(sent[random.below(sent.len() as u64) as usize]) }
        };
        if let Some((job, command_id)) = earlier {
            self.append(random, job, command_id, None).await;
        }
    }

    /// Takes work and ends it, sometimes with a receipt that was used already.
    async fn end_work(&self, random: &mut Random, job: JobId) {
        let partition = self.log.keys().partition_of(job.aggregate());
        let consumer =
            Consumer { stage: Stage::Initializing, group: "g".into(), name: format!("c{}", random.below(3)) };
        let taken = self.queue.take(partition, Lane::Normal, &consumer, 1).await.unwrap();
        for work in taken.work {
            let job = work.job_id();
            self.append(random, job, CommandId::new(), Some(&work)).await;
            if random.one_in(3) {
                self.append(random, job, CommandId::new(), Some(&work)).await;
            }
        }
    }

    /// Appends one to three events at what may or may not be the current version.
    async fn append(&self, random: &mut Random, job: JobId, command_id: CommandId, done: Option<&TakenWork>) {
        let version = self.log.version(job.aggregate()).await.unwrap();
        // Sometimes an old version, sometimes one that is not there yet.
        let expected_version = match random.below(8) {
            0 => version.saturating_sub(1),
            1 => version + 1,
            _ => version,
        };
        let events: Vec<Envelope> =
            (1..=1 + random.below(3)).map(|n| event(job, expected_version + n, command_id)).collect();
        let work: Vec<ScheduledWork> = if random.one_in(2) { vec![scheduled(&events[0])] } else { vec![] };
        self.sent.lock().unwrap().push((job, command_id));
        let append = Append {
            aggregate_id: job.aggregate(),
            expected_version,
            command_id,
            events: &events,
            work: &work,
            mark: Some(Mark::Open),
            done: done.map(|work| &work.receipt),
        };
        let outcome = self.log.append(&append).await;
        let mut model = self.model.lock().unwrap();
        match outcome {
            Ok(Appended::Now { version }) => {
                assert_eq!(version, expected_version + events.len() as u64);
                let repeated = model.applied.insert((job, command_id), version);
                assert_eq!(repeated, None, "a command was applied twice");
                for event in &events {
                    let other = model.events.entry(job).or_default().insert(event.version, event.event_id);
                    assert_eq!(other, None, "two events of one version were acknowledged");
                }
                model.scheduled.extend(work.iter().map(|work| work.token));
                if let Some(done) = done {
                    assert!(model.ended.insert(done.receipt.token), "work was ended twice");
                }
            }
            // Its first answer may still be on its way to another writer; compare() looks.
            Ok(Appended::Earlier { .. }) => {}
            Err(Error::Conflict { expected, current }) => assert_ne!(expected, current),
            Err(Error::StaleAttempt) => assert!(done.is_some(), "only a receipt can be stale"),
            Err(other) => panic!("{other}"),
        }
    }

    /// Reads the whole log, and finds in it what the model says, and nothing else.
    async fn compare(&self) {
        let model = std::mem::take(&mut *self.model.lock().unwrap());
        let mut found: BTreeMap<JobId, BTreeMap<u64, EventId>> = BTreeMap::new();
        for partition in self.log.keys().partitions() {
            let mut after = 0;
            // read() itself refuses gaps.
            loop {
                let events = self.log.read(partition, after, 100).await.unwrap();
                let Some((last, _)) = events.last() else { break };
                after = *last;
                for (_, event) in &events {
                    let of_job = found.entry(JobId(event.aggregate_id.0)).or_default();
                    assert_eq!(event.version, of_job.len() as u64 + 1, "versions go up by one");
                    of_job.insert(event.version, event.event_id);
                }
            }
            assert_eq!(self.log.head(partition).await.unwrap(), after);
        }
        assert!(found == model.events, "the log holds other events than were acknowledged");
        for job in self.jobs.iter() {
            let history = self.log.history(job.aggregate(), 0).await.unwrap();
            let ids: Vec<EventId> = history.iter().map(|event| event.event_id).collect();
            let expected: Vec<EventId> =
                found.get(job).into_iter().flat_map(|of| of.values().copied()).collect();
            assert_eq!(ids, expected, "a job's history is its events in the log");
        }
        for ((job, command_id), version) in &model.applied {
            assert!(self.log.was_applied(job.aggregate(), *command_id).await.unwrap());
            assert!(*version <= self.log.version(job.aggregate()).await.unwrap());
        }
        assert!(model.ended.is_subset(&model.scheduled));
        let depth = self.queue.depth(Stage::Initializing).await.unwrap();
        let left = model.scheduled.len() - model.ended.len();
        assert!(depth.waiting + depth.taken <= left as u64, "{depth:?}, but only {left} are open");
        // What is missing was acknowledged with a receipt whose command was refused as a repetition.
        assert!(!model.applied.is_empty() && !model.ended.is_empty(), "the run did something");
    }
}

pub fn event(job: JobId, version: u64, command_id: CommandId) -> Envelope {
    let mut envelope = Envelope {
        event_id: EventId::new(),
        aggregate: AggregateKind::Job,
        aggregate_id: job.aggregate(),
        version,
        event_type: "JobQueued".into(),
        schema: 1,
        recorded_at: Utc::now(),
        command_id,
        causation_id: None,
        correlation_id: "model".into(),
        actor: Actor::System,
        traceparent: String::new(),
        prev_hash: CHAIN_START.into(),
        hash: String::new(),
        data: r#"{"priority":"normal"}"#.into(),
    };
    envelope.hash = envelope.compute_hash();
    envelope
}

fn scheduled(event: &Envelope) -> ScheduledWork {
    ScheduledWork {
        item: WorkItem { stage: Stage::Initializing, scene: None, attempt: 1 },
        priority: Priority::Normal,
        token: AttemptToken::of_event(event.event_id),
        version: event.version,
        delay_ms: 0,
        requester: requester("user_1"),
        began_ms: 0,
        deadline_ms: None,
    }
}
