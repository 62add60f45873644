//! The scheduler on a clock that costs no time: thousands of jobs on hundreds of workers in seconds.
//!
//! The order of work is decided by the same code as in a worker: `domain::job`, [`Lane`], [`Turns`], [`lane_order`] and
//! [`Ranks`]. Only the queues, the slots and the clock are simulated, and [`LaneQueue`] is compared with Redis in a test.
//!
//! Deliberately absent: failures, machines that die, caches, and time that Redis takes. The calls that it would get are counted.

mod lane_queue;

pub use lane_queue::{LaneQueue, Place};

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::processor_slots::Ranks;
use super::rehearsal::{Rehearsal, narration_seconds};
use super::runner::{BEGUN_FOR_EACH_SLOT, processor_slots_of};
use super::turns::{Turns, lane_order};
use crate::config::Streams;
use crate::domain::Aggregate;
use crate::domain::job::{Command, Job};
use crate::events::event::Recorded;
use crate::events::job::{JobRequested, WorkItem};
use crate::events::request::VideoRequest;
use crate::events::work::{hastened_at_ms, job_rank};
use crate::events::{JobEvent, Lane, Priority, Stage};
use crate::ids::JobId;

const STAGES: usize = Stage::ALL.len();
const LANES: usize = Lane::ALL.len();

/// The workers, and how they are set.
#[derive(Debug, Clone)]
pub struct Fleet {
    pub workers: usize,
    /// Processors of each worker. A worker has a slot more than that, for work that waits for a disk; here nothing does.
    pub processors: usize,
    pub max_scene_concurrency: u32,
    pub streams: Streams,
}

/// A request for a video.
#[derive(Debug, Clone)]
pub struct Request {
    /// Since the beginning.
    pub at: Duration,
    pub user_id: String,
    pub priority: Priority,
    pub words: usize,
}

/// The outcome of a request. Times are since the beginning.
#[derive(Debug, Clone, Default)]
pub struct SimulatedJob {
    pub user_id: String,
    pub requested: Duration,
    pub begun: Duration,
    /// When each scene could be watched.
    pub scenes: Vec<Duration>,
    pub completed: Duration,
    /// How long the video plays.
    pub plays_for: Duration,
}

impl SimulatedJob {
    /// When the viewer can begin to watch.
    pub fn playable(&self) -> Duration {
        self.scenes.first().copied().unwrap_or_default()
    }

    /// How long a viewer who begins to watch as soon as they can waits for the rest, in all.
    pub fn stalled(&self) -> Duration {
        let scene = self.plays_for / self.scenes.len().max(1) as u32;
        let ends = self.scenes.iter().fold(self.playable(), |at, there| at.max(*there) + scene);
        ends.saturating_sub(self.playable() + self.plays_for)
    }
}

/// Calls of scripts that Redis would have got.
#[derive(Debug, Clone, Copy, Default)]
pub struct Calls {
    pub appends: u64,
    pub events: u64,
    pub takes: u64,
    /// Looks at the next piece of a partition.
    pub looks: u64,
}

/// The result of [`simulate`].
#[derive(Debug, Clone)]
pub struct Simulated {
    pub jobs: Vec<SimulatedJob>,
    /// Time that slots were busy, of all workers together.
    pub busy: Duration,
    pub slots: usize,
    pub calls: Calls,
    /// The most jobs that were begun and not complete at a time.
    pub most_begun: usize,
}

impl Simulated {
    pub fn makespan(&self) -> Duration {
        self.jobs.iter().map(|job| job.completed).max().unwrap_or_default()
    }

    /// The share of the slots' time that they were busy.
    pub fn efficiency(&self) -> f64 {
        self.busy.as_secs_f64() / (self.slots as f64 * self.makespan().as_secs_f64()).max(f64::MIN_POSITIVE)
    }
}

struct Open {
    id: JobId,
    job: Job,
    /// The worker that began it.
    begun_by: Option<usize>,
}

/// A piece of work: the job's number, and what is to be done.
type Piece = (usize, WorkItem);

/// The queues of all partitions, by partition, stage and lane.
struct Queues(Vec<[[LaneQueue<Piece>; LANES]; STAGES]>);

impl Queues {
    fn of(&mut self, partition: usize, stage: Stage, lane: Lane) -> &mut LaneQueue<Piece> {
        &mut self.0[partition][stage as usize][lane as usize]
    }

    fn waiting(&self, stage: Stage, lane: Lane) -> impl Iterator<Item = usize> {
        let of_lane = move |queues: &[[LaneQueue<Piece>; LANES]; STAGES]| {
            !queues[stage as usize][lane as usize].is_empty()
        };
        self.0.iter().enumerate().filter(move |(_, queues)| of_lane(queues)).map(|(partition, _)| partition)
    }

    fn first_lane(&self, stage: Stage) -> Option<Lane> {
        Lane::ALL.into_iter().find(|lane| self.waiting(stage, *lane).next().is_some())
    }
}

#[derive(Default)]
struct SimulatedWorker {
    free_processors: usize,
    free_slots: [usize; STAGES],
    /// Stages that wait for a processor.
    waits: [bool; STAGES],
    ranks: Ranks<Stage>,
    taken: [usize; STAGES],
    turns: [Turns; STAGES],
    begun: HashSet<usize>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Requested(usize),
    Done {
        worker: usize,
        job: usize,
        stage: Stage,
        scene: Option<u32>,
        attempt: u32,
    },
    /// A viewer will soon need a piece.
    Hastened {
        partition: usize,
        stage: Stage,
        lane: Lane,
        place: Place,
    },
}

struct Simulation<'a> {
    fleet: &'a Fleet,
    rehearsal: &'a Rehearsal,
    requests: &'a [Request],
    now: Duration,
    agenda: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    /// Orders what happens at the same time.
    number: u64,
    open: HashMap<usize, Open>,
    queues: Queues,
    workers: Vec<SimulatedWorker>,
    found: Simulated,
}

/// Does all requests on a fleet of workers that take as long as the rehearsal says. The same every time.
pub fn simulate(fleet: &Fleet, rehearsal: &Rehearsal, requests: &[Request]) -> Simulated {
    let slots = fleet.processors;
    let worker = || SimulatedWorker {
        free_processors: slots,
        free_slots: Stage::ALL.map(|stage| match stage {
            Stage::Rendering => fleet.streams.stage(stage).concurrency.min(fleet.processors),
            _ => fleet.streams.stage(stage).concurrency,
        }),
        ..SimulatedWorker::default()
    };
    let found = Simulated {
        jobs: vec![SimulatedJob::default(); requests.len()],
        busy: Duration::ZERO,
        slots: slots * fleet.workers,
        calls: Calls::default(),
        most_begun: 0,
    };
    let partition = || std::array::from_fn(|_| std::array::from_fn(|_| LaneQueue::default()));
    let mut simulation = Simulation {
        fleet,
        rehearsal,
        requests,
        now: Duration::ZERO,
        agenda: BinaryHeap::new(),
        number: 0,
        open: HashMap::new(),
        queues: Queues((0..fleet.streams.partitions).map(|_| partition()).collect()),
        workers: (0..fleet.workers).map(|_| worker()).collect(),
        found,
    };
    for (number, request) in requests.iter().enumerate() {
        simulation.plan(request.at, Event::Requested(number));
    }
    while let Some(Reverse((at, _, event))) = simulation.agenda.pop() {
        simulation.now = at;
        let nearest = match event {
            Event::Requested(number) => simulation.request(number),
            Event::Done { worker, job, stage, scene, attempt } => {
                simulation.finish(worker, job, WorkItem { stage, scene, attempt })
            }
            Event::Hastened { partition, stage, lane, place } => {
                simulation.hasten(partition, stage, lane, place);
                0
            }
        };
        for offset in 0..simulation.workers.len() {
            simulation.begin_what_can_begin((nearest + offset) % fleet.workers);
        }
    }
    simulation.found
}

impl Simulation<'_> {
    fn plan(&mut self, at: Duration, event: Event) {
        self.number += 1;
        self.agenda.push(Reverse((at, self.number, event)));
    }

    /// Returns the worker that looks for work first.
    fn request(&mut self, number: usize) -> usize {
        let request = &self.requests[number];
        // Ids that count the jobs, are spread over the partitions, and are the same in every run.
        let low = Uuid::new_v5(&Uuid::NAMESPACE_OID, &number.to_le_bytes()).as_u128() as u32;
        let id = JobId(Uuid::from_u128((number as u128) << 32 | u128::from(low)));
        let mut recorded = VideoRequest::of_script("Simulated", "word ".repeat(request.words));
        recorded.priority = request.priority;
        let command = Command::Request(JobRequested {
            user_id: request.user_id.clone(),
            request: recorded.into(),
            batch_id: None,
        });
        self.found.jobs[number] =
            SimulatedJob { user_id: request.user_id.clone(), requested: self.now, ..SimulatedJob::default() };
        self.open.insert(number, Open { id, job: Job::default(), begun_by: None });
        self.execute(number, command);
        number % self.workers.len()
    }

    fn finish(&mut self, worker: usize, number: usize, item: WorkItem) -> usize {
        if let Some(open) = self.open.get(&number) {
            let outcome = self.rehearsal.outcome((item.stage, item.scene), open.id, &open.job);
            let scene_limit = self.fleet.max_scene_concurrency;
            self.execute(number, Command::FinishWork { item, outcome, scene_limit });
        }
        self.workers[worker].free_slots[item.stage as usize] += 1;
        self.release(worker);
        worker
    }

    /// Moves a piece that still waits to the lane of next scenes.
    fn hasten(&mut self, partition: usize, stage: Stage, lane: Lane, place: Place) {
        if let Some(piece) = self.queues.of(partition, stage, lane).remove(&place) {
            self.queues.of(partition, stage, Lane::NextScene).push(place, piece);
        }
    }

    /// Records what a command leads to, and queues the work that it schedules.
    fn execute(&mut self, number: usize, command: Command) {
        let Some(open) = self.open.get_mut(&number) else { return };
        let events = open.job.decide(command).expect("the simulation asks for what can be done");
        self.found.calls.appends += u64::from(!events.is_empty());
        self.found.calls.events += events.len() as u64;
        let recorded_at =
            DateTime::<Utc>::UNIX_EPOCH + TimeDelta::from_std(self.now).expect("a simulation is short");
        let mut hastened = vec![];
        for event in events {
            let version = open.job.version + 1;
            let job = std::mem::take(&mut open.job);
            open.job = job.evolve(&Recorded { version, recorded_at, event: event.clone() });
            if let Some(scheduled) = open.job.schedule(&event) {
                let partition = (open.id.0.as_u128() % self.queues.0.len() as u128) as usize;
                let lane = Lane::of(scheduled.item, scheduled.priority);
                let rank = job_rank(open.id.aggregate(), scheduled.began_ms);
                let place = (scheduled.user_id.to_owned(), rank, scheduled.item.scene.unwrap_or(0));
                let hastened_at =
                    scheduled.deadline.and_then(|at| hastened_at_ms(lane, at.timestamp_millis()));
                if let Some(at) = hastened_at {
                    let at = Duration::from_millis(at.max(0) as u64).max(self.now);
                    hastened.push((at, partition, scheduled.item.stage, lane, place.clone()));
                }
                let queue = self.queues.of(partition, scheduled.item.stage, lane);
                queue.push(place, (number, scheduled.item));
            }
            let found = &mut self.found.jobs[number];
            match event {
                JobEvent::SceneRendered { scene, .. } => {
                    found.scenes.resize(found.scenes.len().max(scene as usize + 1), Duration::MAX);
                    found.scenes[scene as usize] = self.now;
                }
                JobEvent::JobCompleted { .. } => {
                    found.completed = self.now;
                    found.plays_for = Duration::from_secs_f64(narration_seconds(&open.job));
                }
                _ => {}
            }
        }
        for (at, partition, stage, lane, place) in hastened {
            self.number += 1;
            let event = Event::Hastened { partition, stage, lane, place };
            self.agenda.push(Reverse((at, self.number, event)));
        }
        if open.job.has_ended() {
            if let Some(worker) = open.begun_by {
                self.workers[worker].begun.remove(&number);
            }
            self.open.remove(&number);
        }
    }

    /// Lets every stage of a worker take work, or wait for a processor.
    fn begin_what_can_begin(&mut self, worker: usize) {
        let most_begun = BEGUN_FOR_EACH_SLOT * processor_slots_of(self.fleet.processors);
        for stage in Stage::ALL {
            loop {
                let state = &self.workers[worker];
                if state.free_slots[stage as usize] == 0 || state.waits[stage as usize] {
                    break;
                }
                let Some(lane) = self.queues.first_lane(stage) else { break };
                if stage == Stage::Initializing && lane != Lane::Urgent && state.begun.len() >= most_begun {
                    break;
                }
                let state = &mut self.workers[worker];
                if state.free_processors == 0 {
                    state.ranks.push(stage, lane, stage);
                    state.waits[stage as usize] = true;
                    break;
                }
                state.free_processors -= 1;
                if !self.take(worker, stage) {
                    self.workers[worker].free_processors += 1;
                    break;
                }
            }
        }
    }

    /// Gives a processor to the stage that goes next.
    fn release(&mut self, worker: usize) {
        while let Some(stage) = self.workers[worker].ranks.next(|_| true) {
            self.workers[worker].waits[stage as usize] = false;
            if self.take(worker, stage) {
                return;
            }
        }
        self.workers[worker].free_processors += 1;
    }

    /// Begins the next piece of a stage, on a processor that is held for it; `false` when nothing waits.
    fn take(&mut self, worker: usize, stage: Stage) -> bool {
        let state = &mut self.workers[worker];
        let (order, _) = lane_order(state.taken[stage as usize]);
        let Some(lane) = order.into_iter().find(|lane| self.queues.waiting(stage, *lane).next().is_some())
        else {
            return false;
        };
        let partitions: Vec<usize> = self.queues.waiting(stage, lane).collect();
        if partitions.len() > 1 {
            self.found.calls.looks += partitions.len() as u64;
        }
        let turns = &state.turns[stage as usize];
        let queues = &mut self.queues;
        let next = partitions.into_iter().min_by_key(|partition| {
            let next = queues.of(*partition, stage, lane).peek();
            next.map(|(requester, rank, scene)| (turns.of(&requester, &rank), rank, scene))
        });
        let Some(((requester, rank, _), (number, item))) =
            next.and_then(|partition| queues.of(partition, stage, lane).pop())
        else {
            return false;
        };
        self.found.calls.takes += 1;
        state.turns[stage as usize].serve(&requester, &rank);
        state.taken[stage as usize] += 1;
        state.free_slots[stage as usize] -= 1;
        if stage == Stage::Initializing {
            state.begun.insert(number);
            self.found.jobs[number].begun = self.now;
            if let Some(open) = self.open.get_mut(&number) {
                open.begun_by = Some(worker);
            }
            let begun = self.workers.iter().map(|worker| worker.begun.len()).sum();
            self.found.most_begun = self.found.most_begun.max(begun);
        }
        self.execute(number, Command::StartWork(item));
        let chance =
            u128::from(blake3::hash(format!("{number} {stage} {:?}", item.scene).as_bytes()).as_bytes()[0]);
        let takes = self
            .open
            .get(&number)
            .map(|open| self.rehearsal.paced((stage, item.scene), &open.job, chance * 4));
        let takes = takes.unwrap_or_default();
        self.found.busy += takes;
        let WorkItem { stage, scene, attempt } = item;
        self.plan(self.now + takes, Event::Done { worker, job: number, stage, scene, attempt });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet(workers: usize, processors: usize) -> Fleet {
        let streams = Streams::from_environment(&|_| None).unwrap();
        Fleet { workers, processors, max_scene_concurrency: 4, streams }
    }

    /// 7 s of work for 90 s of video, in ten scenes.
    fn rehearsal() -> Rehearsal {
        Rehearsal { scenes: 10, ms_per_second: 80, is_cpu_bound: true, ..Rehearsal::default() }
    }

    fn request(user: &str, at_ms: u64) -> Request {
        let at = Duration::from_millis(at_ms);
        Request { at, user_id: user.to_owned(), priority: Priority::Normal, words: 225 }
    }

    fn mean(times: impl ExactSizeIterator<Item = Duration>) -> f64 {
        let count = times.len() as f64;
        times.map(|time| time.as_secs_f64()).sum::<f64>() / count
    }

    #[test]
    fn every_job_is_completed_and_the_same_every_time() {
        let requests: Vec<Request> =
            (0..30).map(|number| request(&format!("user {}", number % 4), number * 100)).collect();
        let (first, second) = (
            simulate(&fleet(2, 2), &rehearsal(), &requests),
            simulate(&fleet(2, 2), &rehearsal(), &requests),
        );
        for (job, again) in first.jobs.iter().zip(&second.jobs) {
            assert!(
                job.requested <= job.begun && job.begun < job.playable() && job.playable() < job.completed
            );
            assert_eq!(job.scenes.len(), 10);
            assert_eq!(job.completed, again.completed);
        }
        let expected = 30.0 * 90.0 * 0.08;
        assert!((first.busy.as_secs_f64() / expected - 1.0).abs() < 0.1, "{:?}", first.busy);
    }

    #[test]
    fn of_many_jobs_at_once_the_first_is_complete_long_before_the_last_and_no_viewer_waits() {
        for users in [1, 12] {
            let requests: Vec<Request> =
                (0..12).map(|number| request(&format!("user {}", number % users), number)).collect();
            let found = simulate(&fleet(1, 2), &rehearsal(), &requests);
            let first = found.jobs.iter().map(|job| job.completed).min().unwrap();
            let mean = mean(found.jobs.iter().map(|job| job.completed));
            let last = found.makespan().as_secs_f64();
            assert!(first.as_secs_f64() < 0.35 * last, "{users} users: {first:?} of {last}");
            assert!(mean < 0.7 * last, "{users} users: {mean} of {last}");
            assert!(found.efficiency() > 0.9, "{users} users: {}", found.efficiency());
            let longest = found.jobs.iter().map(SimulatedJob::stalled).max().unwrap();
            assert!(longest < Duration::from_millis(500), "{users} users: a viewer waits for {longest:?}");
        }
    }

    #[test]
    fn a_user_with_one_job_does_not_wait_for_all_of_a_user_with_many() {
        let mut requests: Vec<Request> = (0..200).map(|_| request("many", 0)).collect();
        requests.push(request("few", 30_000));
        let found = simulate(&fleet(1, 2), &rehearsal(), &requests);
        let few = &found.jobs[200];
        let waited = (few.completed - few.requested).as_secs_f64();
        assert!(found.jobs.iter().all(|job| job.completed > job.requested));
        assert!(waited < 0.1 * found.makespan().as_secs_f64(), "{waited} of {:?}", found.makespan());
    }

    #[test]
    fn more_workers_do_more_in_the_same_time() {
        let requests: Vec<Request> =
            (0..120).map(|number| request(&format!("user {}", number % 7), 0)).collect();
        let takes = |workers| simulate(&fleet(workers, 1), &rehearsal(), &requests).makespan().as_secs_f64();
        let alone = takes(1);
        assert!(alone / takes(2) > 1.9, "{alone} {}", takes(2));
        assert!(alone / takes(4) > 3.6, "{alone} {}", takes(4));
    }

    #[test]
    fn a_viewer_waits_for_scenes_that_come_late() {
        let seconds = |seconds: &[u64]| seconds.iter().copied().map(Duration::from_secs).collect();
        let job =
            |scenes| SimulatedJob { scenes, plays_for: Duration::from_secs(30), ..SimulatedJob::default() };
        assert_eq!(job(seconds(&[5, 14, 20])).stalled(), Duration::ZERO);
        assert_eq!(job(seconds(&[5, 18, 40])).stalled(), Duration::from_secs(15));
    }
}
