//! The runtime of a worker on a real Redis, with stages that a test controls.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use reelstream::clock::Clock;
use reelstream::config::{MediaConfig, Streams};
use reelstream::consumers::{StageError, StageHandler, Task, Worker, rebuild};
use reelstream::dev::PrivateRedis;
use reelstream::domain::job::{Command, Job, Outcome, Status};
use reelstream::error_codes::ErrorCode;
use reelstream::events::connection::Address;
use reelstream::events::doorbell::Doorbell;
use reelstream::events::job::JobRequested;
use reelstream::events::queue::{Consumer, QueuedAgain};
use reelstream::events::{Actor, Append, EventLog, Keys, Lane, Priority, Stage, VideoRequest, WorkQueue};
use reelstream::execute::{Executor, Origin};
use reelstream::ids::{CommandId, JobId};
use reelstream::storage::Stores;
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::harness::{connect, eventually, files_under, folder, own_prefix, shared_redis};

/// Who was started, in order.
type Started = Arc<Mutex<Vec<JobId>>>;

/// What a controlled stage does with one piece of work.
#[derive(Clone, Copy, PartialEq)]
enum Plan {
    Succeed,
    Fail,
    FailAndRetry,
    /// Runs until it is cancelled.
    Hang,
    /// Takes no notice of being cancelled, and succeeds a little later.
    Ignore,
}

/// The first stage, under a test's control. Pieces wait for `gate`, do what `plans` says (the last is repeated),
/// and write a file into the workspace.
struct Controlled {
    gate: Arc<Semaphore>,
    plans: Mutex<VecDeque<Plan>>,
    started: Started,
}

#[async_trait]
impl StageHandler for Controlled {
    fn stage(&self) -> Stage {
        Stage::Initializing
    }

    async fn run(&self, task: &Task) -> Result<Outcome, StageError> {
        self.started.lock().unwrap().push(task.job_id);
        task.workspace.create().unwrap();
        std::fs::write(task.workspace.path("partial"), b"half a file").unwrap();
        self.gate.acquire().await.unwrap().forget();
        let plan = {
            let mut plans = self.plans.lock().unwrap();
            if plans.len() > 1 { plans.pop_front().unwrap() } else { plans[0] }
        };
        match plan {
            Plan::Succeed => Ok(Outcome::Initialized),
            Plan::Fail => Err(StageError::terminal(ErrorCode::RehearsedFailure, "it cannot work")),
            Plan::FailAndRetry => Err(StageError::retryable(ErrorCode::RehearsedFailure, "not now")),
            Plan::Hang => {
                task.cancel.cancelled().await;
                Err(StageError::retryable(ErrorCode::RehearsedFailure, "it was stopped"))
            }
            Plan::Ignore => {
                task.cancel.cancelled().await;
                tokio::time::sleep(Duration::from_millis(100)).await;
                Ok(Outcome::Initialized)
            }
        }
    }
}

struct Runtime {
    executor: Executor,
    queue: WorkQueue,
    address: Address,
    streams: Streams,
    gate: Arc<Semaphore>,
    started: Started,
    stop: CancellationToken,
    working: Option<JoinHandle<()>>,
    redis_url: String,
    folder: TempDir,
}

impl Runtime {
    /// One partition and no worker yet, on the server of the run.
    async fn new() -> Self {
        Self::on(shared_redis()).await
    }

    async fn on(redis_url: String) -> Self {
        let log = EventLog::new(connect(&redis_url).await, Keys::new(own_prefix(), 1));
        let mut streams = Streams::from_environment(&|_| None).unwrap();
        streams.partitions = 1;
        Self {
            queue: WorkQueue::new(&log),
            executor: Executor::new(log, Clock::system()),
            address: Address::parse(&redis_url).unwrap(),
            streams,
            gate: Arc::new(Semaphore::new(0)),
            started: Started::default(),
            stop: CancellationToken::new(),
            working: None,
            redis_url,
            folder: folder(),
        }
    }

    /// Starts a worker that does the first stage only, with so many slots.
    fn work(&mut self, slots: usize, plans: &[Plan]) {
        self.streams.stages.get_mut(&Stage::Initializing).unwrap().concurrency = slots;
        let media = MediaConfig::from_environment(&|_| None).unwrap();
        let media = MediaConfig { root: self.folder.path().to_owned(), ..media };
        let doorbell = Doorbell::listen(self.address.clone(), self.queue.keys(), self.stop.clone());
        let stores = Stores::local(&media.root, &media.root);
        let worker = Worker::new(self.executor.clone(), doorbell, self.streams.clone(), &media, stores);
        let handler = Controlled {
            gate: self.gate.clone(),
            plans: Mutex::new(plans.iter().copied().collect()),
            started: self.started.clone(),
        };
        self.working = Some(tokio::spawn(worker.run(vec![Arc::new(handler)], self.stop.clone())));
    }

    async fn request(&self, user: &str, priority: Priority) -> JobId {
        let job_id = JobId::new();
        let request = VideoRequest { priority, ..VideoRequest::of_script("Ions", "Ions move.") };
        self.order(
            job_id,
            Command::Request(JobRequested { user_id: user.into(), request: request.into(), batch_id: None }),
        )
        .await;
        job_id
    }

    async fn order(&self, job_id: JobId, command: Command) {
        let origin = Origin {
            command_id: CommandId::new(),
            actor: Actor::User("tester".into()),
            trace: None,
            causation_id: None,
        };
        self.executor.execute(job_id, command, &origin, None).await.unwrap();
    }

    async fn cancel(&self, job_id: JobId) {
        self.order(job_id, Command::Cancel { reason: None }).await;
    }

    async fn job(&self, job_id: JobId) -> Job {
        self.executor.load(job_id).await.unwrap().into_state()
    }

    fn started(&self) -> Vec<JobId> {
        self.started.lock().unwrap().clone()
    }

    async fn until_started(&self, count: usize) {
        eventually("work was started", async || self.started().len() >= count).await;
    }

    async fn events(&self, job_id: JobId) -> Vec<String> {
        let history = self.executor.log().history(job_id.aggregate(), 0).await.unwrap();
        history.into_iter().map(|event| event.event_type).collect()
    }

    /// `false` also while the server cannot be asked.
    async fn nothing_is_queued(&self) -> bool {
        match (self.queue.depth(Stage::Initializing).await, self.queue.delayed().await) {
            (Ok(depth), Ok(delayed)) => depth.waiting + depth.taken + delayed == 0,
            _ => false,
        }
    }

    fn files(&self) -> Vec<std::path::PathBuf> {
        files_under(&self.folder.path().join("work"))
    }

    async fn redis(&self, command: &[&str]) -> redis::Value {
        let mut cmd = redis::Cmd::new();
        cmd.arg(command).query_async(&mut connect(&self.redis_url).await).await.unwrap()
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

// 001-1.3
#[tokio::test]
async fn the_most_urgent_is_done_first_and_nothing_starves() {
    let mut runtime = Runtime::new().await;
    let mut of_priority = vec![];
    for priority in [Priority::Low, Priority::Normal, Priority::High, Priority::Urgent] {
        let count = if priority == Priority::Urgent { 40 } else { 1 };
        for _ in 0..count {
            of_priority.push((runtime.request("user_1", priority).await, priority));
        }
    }
    runtime.gate.add_permits(100);
    runtime.work(1, &[Plan::Succeed]);
    runtime.until_started(43).await;
    let order: Vec<Priority> = runtime
        .started()
        .iter()
        .map(|job| of_priority.iter().find(|(known, _)| known == job).unwrap().1)
        .collect();
    assert!(order[..7].iter().all(|priority| *priority == Priority::Urgent), "{order:?}");
    for other in [Priority::Low, Priority::Normal, Priority::High] {
        let at = order.iter().position(|priority| *priority == other).unwrap();
        assert!(at < 24, "{other:?} was the {at}th while urgent work was waiting: {order:?}");
    }
}

#[tokio::test]
async fn a_batch_of_fifty_does_not_hold_up_anothers_single_job() {
    let mut runtime = Runtime::new().await;
    let mut batch = vec![];
    for _ in 0..50 {
        batch.push(runtime.request("many", Priority::Normal).await);
    }
    runtime.gate.add_permits(20);
    runtime.work(1, &[Plan::Succeed]);
    runtime.until_started(20).await;
    let single = runtime.request("few", Priority::Normal).await;
    runtime.gate.add_permits(100);
    runtime.until_started(51).await;
    let order = runtime.started();
    let at = order.iter().position(|job| *job == single).unwrap();
    assert!(at <= 23, "it waited for {} of the batch", at - 20);
    let rest: Vec<JobId> = order.into_iter().filter(|job| *job != single).collect();
    assert_eq!(rest, batch, "one user's own jobs are done in the order in which they came");
}

#[tokio::test]
async fn a_running_job_stops_within_a_second_and_its_files_go() {
    let mut runtime = Runtime::new().await;
    runtime.work(2, &[Plan::Hang]);
    runtime.gate.add_permits(1);
    let job_id = runtime.request("user_1", Priority::Normal).await;
    runtime.until_started(1).await;
    assert_eq!(runtime.files().len(), 1);
    let cancelled_at = Instant::now();
    runtime.cancel(job_id).await;
    assert_eq!(runtime.job(job_id).await.status, Status::Cancelled);
    eventually("its files are gone", async || runtime.files().is_empty()).await;
    assert!(cancelled_at.elapsed() < Duration::from_secs(1), "{:?}", cancelled_at.elapsed());
    eventually("its work is gone", async || runtime.nothing_is_queued().await).await;
    assert_eq!(runtime.events(job_id).await.last().unwrap(), "JobCancelled");
}

#[tokio::test]
async fn a_result_that_comes_after_cancelling_changes_nothing() {
    let mut runtime = Runtime::new().await;
    runtime.work(1, &[Plan::Ignore, Plan::Succeed]);
    let job_id = runtime.request("user_1", Priority::Normal).await;
    runtime.until_started(1).await;
    runtime.cancel(job_id).await;
    let events = runtime.events(job_id).await;
    runtime.gate.add_permits(1);
    eventually("the late result was refused", async || runtime.nothing_is_queued().await).await;
    // The only slot is free again, and works.
    runtime.gate.add_permits(1);
    let next = runtime.request("user_1", Priority::Normal).await;
    eventually("the next job goes on", async || {
        runtime.events(next).await.contains(&"StageCompleted".to_owned())
    })
    .await;
    assert_eq!(runtime.events(job_id).await, events);
    assert!(runtime.files().iter().all(|file| !file.starts_with(job_id.to_string())));
}

#[tokio::test]
async fn queued_and_retrying_jobs_are_cancelled_too() {
    let mut runtime = Runtime::new().await;
    let queued = runtime.request("user_1", Priority::Normal).await;
    runtime.cancel(queued).await;
    runtime.gate.add_permits(1);
    runtime.work(1, &[Plan::FailAndRetry]);
    let retrying = runtime.request("user_1", Priority::Normal).await;
    eventually("it waits for its next try", async || runtime.queue.delayed().await.unwrap() == 1).await;
    runtime.cancel(retrying).await;
    eventually("nothing is left of both", async || runtime.nothing_is_queued().await).await;
    assert_eq!(runtime.started(), [retrying], "the queued job was never begun");
    assert_eq!(runtime.events(retrying).await.last().unwrap(), "JobCancelled");
    eventually("the files of both are gone", async || runtime.files().is_empty()).await;
}

#[tokio::test]
async fn what_failed_for_good_is_a_dead_letter_until_it_is_replayed() {
    let mut runtime = Runtime::new().await;
    runtime.gate.add_permits(2);
    runtime.work(1, &[Plan::Fail, Plan::Succeed]);
    let job_id = runtime.request("user_1", Priority::Normal).await;
    eventually("it has failed", async || runtime.job(job_id).await.status == Status::Failed).await;
    let letters = runtime.queue.dead_letters().await.unwrap();
    assert_eq!(letters.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [job_id.aggregate()]);
    assert_eq!(runtime.queue.open().await.unwrap(), 0);
    runtime.order(job_id, Command::Reprocess { from: None }).await;
    assert!(runtime.queue.dead_letters().await.unwrap().is_empty());
    assert_eq!(runtime.queue.open().await.unwrap(), 1);
    eventually("it goes on", async || runtime.job(job_id).await.has_completed(Stage::Initializing)).await;
    assert_eq!(runtime.started(), [job_id, job_id]);
}

#[tokio::test]
async fn a_discarded_failure_is_no_dead_letter() {
    let mut runtime = Runtime::new().await;
    runtime.gate.add_permits(1);
    runtime.work(1, &[Plan::Fail]);
    let job_id = runtime.request("user_1", Priority::Normal).await;
    eventually("it has failed", async || runtime.job(job_id).await.status == Status::Failed).await;
    runtime.order(job_id, Command::Discard { reason: Some("a test".into()) }).await;
    assert!(runtime.queue.dead_letters().await.unwrap().is_empty());
    assert_eq!(runtime.job(job_id).await.status, Status::Failed);
}

/// Deletes all that is not the log itself, and gives how many keys that were.
async fn drop_everything_but_the_log(runtime: &Runtime) -> usize {
    let mut connection = connect(&runtime.redis_url).await;
    let pattern = format!("{}:*", runtime.queue.keys().prefix());
    let keys: Vec<String> = redis::cmd("KEYS").arg(pattern).query_async(&mut connection).await.unwrap();
    let is_log = |key: &String| {
        ["log", "head", "history", "commands", "partitions"]
            .iter()
            .any(|part| key.split(':').any(|word| word == *part))
    };
    let gone: Vec<String> = keys.into_iter().filter(|key| !is_log(key)).collect();
    let _: u64 = redis::cmd("DEL").arg(&gone).query_async(&mut connection).await.unwrap();
    gone.len()
}

#[tokio::test]
async fn queues_are_built_again_from_the_log() {
    let mut runtime = Runtime::new().await;
    let queued = runtime.request("user_1", Priority::Normal).await;
    let cancelled = runtime.request("user_1", Priority::Urgent).await;
    runtime.cancel(cancelled).await;
    let dead = runtime.request("user_1", Priority::Urgent).await;
    let retrying = runtime.request("user_1", Priority::High).await;
    fail_first_stage(&runtime, dead, false).await;
    fail_first_stage(&runtime, retrying, true).await;
    assert!(drop_everything_but_the_log(&runtime).await > 3);

    runtime.gate.add_permits(10);
    runtime.work(1, &[Plan::Succeed]);
    for job_id in [queued, retrying] {
        eventually("it is done", async || runtime.job(job_id).await.has_completed(Stage::Initializing)).await;
    }
    assert_eq!(runtime.started(), [queued, retrying], "the delayed one came after its delay");
    let letters = runtime.queue.dead_letters().await.unwrap();
    assert_eq!(letters.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [dead.aggregate()]);
    assert_eq!(runtime.queue.open().await.unwrap(), 2);
}

/// Takes the job's first piece of work and fails it, as a worker would.
async fn fail_first_stage(runtime: &Runtime, job_id: JobId, is_retryable: bool) {
    use reelstream::events::job::{Failure, WorkItem};
    let item = WorkItem { stage: Stage::Initializing, scene: None, attempt: 1 };
    let error = Failure {
        code: "X".into(),
        message: "x".into(),
        retryable: is_retryable,
        suggestion: None,
        causes: vec![],
    };
    runtime.order(job_id, Command::FailWork { item, error, most_attempts: 2, delay_ms: 700 }).await;
}

#[tokio::test]
async fn building_queues_again_while_workers_run_does_nothing_twice() {
    let mut runtime = Runtime::new().await;
    runtime.work(2, &[Plan::Succeed]);
    let mut jobs = vec![];
    for _ in 0..20 {
        jobs.push(runtime.request("user_1", Priority::Normal).await);
    }
    runtime.until_started(2).await;
    let found = rebuild(&runtime.executor, &runtime.queue, 0).await.unwrap();
    assert_eq!((found.open_jobs, found.pieces), (20, 20));
    runtime.gate.add_permits(1000);
    for job_id in jobs {
        eventually("it is done", async || runtime.job(job_id).await.has_completed(Stage::Initializing)).await;
        let events = runtime.events(job_id).await;
        assert_eq!(events.iter().filter(|event| *event == "StageCompleted").count(), 1, "{events:?}");
    }
    eventually("and the queue is empty", async || runtime.nothing_is_queued().await).await;
}

#[tokio::test]
async fn work_that_a_lost_call_took_is_found() {
    let redis_folder = folder();
    let redis = PrivateRedis::start(redis_folder.path()).unwrap();
    let mut runtime = Runtime::on(redis.url()).await;
    for _ in 0..30 {
        runtime.request("user_1", Priority::Normal).await;
    }
    runtime.gate.add_permits(1000);
    runtime.work(4, &[Plan::Succeed]);
    // Connections are cut while work is being taken, so that answers get lost.
    for _ in 0..20 {
        runtime.redis(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    eventually("all was done", async || runtime.nothing_is_queued().await).await;
    let started = runtime.started();
    assert!(started.len() >= 30);
    for job_id in started {
        let events = runtime.events(job_id).await;
        assert!(!events.contains(&"StageFailed".to_owned()), "no lease had to run out: {events:?}");
    }
}

#[tokio::test]
async fn consumers_of_processes_that_ended_are_forgotten() {
    let mut runtime = Runtime::new().await;
    runtime.request("user_1", Priority::Normal).await;
    runtime.gate.add_permits(1);
    runtime.work(1, &[Plan::Succeed]);
    eventually("all was done", async || runtime.nothing_is_queued().await).await;
    let stream = runtime.queue.keys().work(0, Stage::Initializing);
    let group = runtime.streams.stage(Stage::Initializing).group.clone();
    let consumers = async || match runtime.redis(&["XINFO", "CONSUMERS", &stream, &group]).await {
        redis::Value::Array(consumers) => consumers.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(consumers().await, 1);
    let consumer = reelstream::events::queue::Consumer {
        stage: Stage::Initializing,
        group: group.clone(),
        name: "another".into(),
    };
    runtime.queue.forget_consumers(0, &consumer, Duration::from_secs(3600)).await.unwrap();
    assert_eq!(consumers().await, 1, "it was here a moment ago");
    tokio::time::sleep(Duration::from_millis(20)).await;
    runtime.queue.forget_consumers(0, &consumer, Duration::from_millis(10)).await.unwrap();
    assert_eq!(consumers().await, 0);
}

/// M1: a job that cannot be loaded does not keep those behind it from being taken over.
#[tokio::test]
async fn lost_work_behind_an_unreadable_job_is_taken_over() {
    let mut runtime = Runtime::new().await;
    let unreadable = runtime.request("user_1", Priority::Normal).await;
    let lost = runtime.request("user_2", Priority::Normal).await;
    let settings = runtime.streams.stages.get_mut(&Stage::Initializing).unwrap();
    settings.lease = Duration::from_millis(300);
    let consumer =
        Consumer { stage: Stage::Initializing, group: settings.group.clone(), name: "dead".into() };
    for expected in [unreadable, lost] {
        let taken = runtime.queue.take(0, Lane::Normal, &consumer, 1).await.unwrap();
        assert_eq!(taken.work[0].aggregate_id, expected.aggregate(), "the unreadable one is the oldest");
    }
    append_unreadable(runtime.executor.log(), unreadable).await;
    runtime.gate.add_permits(10);
    runtime.work(2, &[Plan::Succeed]);
    eventually("it is taken over and done", async || {
        runtime.job(lost).await.has_completed(Stage::Initializing)
    })
    .await;
    let events = runtime.events(lost).await;
    assert!(events.contains(&"StageRetryScheduled".to_owned()), "{events:?}");
}

/// Appends an event that no version knows.
async fn append_unreadable(log: &EventLog, job_id: JobId) {
    let mut envelope = log.history(job_id.aggregate(), 0).await.unwrap().pop().unwrap();
    envelope.event_id = reelstream::ids::EventId::new();
    envelope.version += 1;
    envelope.event_type = "JobVanished".into();
    envelope.prev_hash = envelope.hash.clone();
    envelope.hash = envelope.compute_hash();
    let append = Append {
        aggregate_id: job_id.aggregate(),
        expected_version: envelope.version - 1,
        command_id: CommandId::new(),
        events: std::slice::from_ref(&envelope),
        work: &[],
        mark: None,
        done: None,
    };
    log.append(&append).await.unwrap();
}

/// M6: one process at a time builds queues, and a job that ends meanwhile is not queued again.
#[tokio::test]
async fn queues_are_built_by_one_process_from_jobs_as_they_are() {
    let runtime = Runtime::new().await;
    let (ends, stays) = (
        runtime.request("user_1", Priority::Normal).await,
        runtime.request("user_1", Priority::Normal).await,
    );
    let builder = runtime.queue.begin_building(0).await.unwrap().unwrap();
    assert!(runtime.queue.begin_building(0).await.unwrap().is_none(), "another process is at it");
    let refused = rebuild(&runtime.executor, &runtime.queue, 0).await;
    assert!(refused.unwrap_err().to_string().contains("another process builds the queues"));
    assert!(!runtime.queue.is_complete(0).await.unwrap());
    // It was folded at version 3, and is cancelled before it is queued again.
    runtime.cancel(ends).await;
    let queued = builder.queue_again(ends.aggregate(), 3, None, &[]).await.unwrap();
    assert_eq!(queued, QueuedAgain::Changed);
    assert!(!runtime.queue.is_open(ends.aggregate()).await.unwrap());
    let queued = builder.queue_again(stays.aggregate(), 3, None, &[]).await.unwrap();
    assert_eq!(queued, QueuedAgain::Done);
    assert!(builder.finish().await.unwrap());
    assert!(runtime.queue.is_complete(0).await.unwrap());

    // One that has lost its place writes nothing.
    let late = runtime.queue.begin_building(0).await.unwrap().unwrap();
    let key = runtime.queue.keys().queues_builder(0);
    runtime.redis(&["DEL", &key]).await;
    let (first, second) = tokio::join!(
        rebuild(&runtime.executor, &runtime.queue, 0),
        rebuild(&runtime.executor, &runtime.queue, 0)
    );
    assert!(first.is_ok() || second.is_ok(), "one of two at once builds them: {first:?}, {second:?}");
    let again = rebuild(&runtime.executor, &runtime.queue, 0).await.unwrap();
    assert_eq!(late.queue_again(ends.aggregate(), 5, None, &[]).await.unwrap(), QueuedAgain::Lost);
    assert!(!late.finish().await.unwrap());
    assert_eq!((runtime.queue.open().await.unwrap(), again.pieces), (1, 1));
    assert_eq!(runtime.queue.depth(Stage::Initializing).await.unwrap().waiting, 1, "queued once");
}

/// Jobs that cannot be read stay on the list of open jobs, and erased ones that have ended do not come back to it.
#[tokio::test]
async fn queues_are_built_past_unreadable_and_erased_jobs() {
    let mut runtime = Runtime::new().await;
    let unreadable = runtime.request("user_1", Priority::Normal).await;
    append_unreadable(runtime.executor.log(), unreadable).await;
    let erased = runtime.request("user_1", Priority::Normal).await;
    runtime.cancel(erased).await;
    runtime.order(erased, Command::EraseContent).await;
    let good = runtime.request("user_1", Priority::Normal).await;
    let found = rebuild(&runtime.executor, &runtime.queue, 0).await.unwrap();
    assert_eq!((found.open_jobs, found.pieces, found.unreadable), (2, 1, 1));
    assert!(!runtime.queue.is_open(erased.aggregate()).await.unwrap());
    runtime.gate.add_permits(1);
    runtime.work(1, &[Plan::Succeed]);
    eventually("it is done", async || runtime.job(good).await.has_completed(Stage::Initializing)).await;
}
