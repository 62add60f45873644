//! The log on a real Redis: order, atomicity, deduplication, work.

use reelstream::clock::Clock;
use reelstream::dev::PrivateRedis;
use reelstream::domain::job::{Command, Outcome, Rejection};
use reelstream::domain::{projection, user};
use reelstream::events::job::{Failure, JobRequested, WorkItem};
use reelstream::events::queue::Consumer;
use reelstream::events::work::TakenWork;
use reelstream::events::{
    Actor, AggregateKind, Append, CHAIN_START, Error as LogError, EventLog, Keys, Lane, Priority, Stage,
    TypedId, VideoRequest, WorkQueue,
};
use reelstream::execute::{Error, Executor, Origin};
use reelstream::ids::{CommandId, JobId, ProjectionId, UserId};

use crate::harness::{connect, folder, log, own_prefix, shared_redis};

fn origin() -> Origin {
    Origin {
        command_id: CommandId::new(),
        actor: Actor::User("user_1".into()),
        trace: None,
        causation_id: None,
    }
}

fn request(priority: Priority) -> Command {
    let request = VideoRequest { priority, ..VideoRequest::of_script("Ions", "Ions move.") };
    Command::Request(JobRequested { user_id: "user_1".into(), request: request.into(), batch_id: None })
}

fn item(stage: Stage) -> WorkItem {
    WorkItem { stage, scene: None, attempt: 1 }
}

async fn executor() -> Executor {
    Executor::new(log().await, Clock::system())
}

fn consumer(name: &str) -> Consumer {
    Consumer { stage: Stage::Initializing, group: "g".into(), name: name.into() }
}

/// Takes work of the first stage, whatever its priority.
async fn take(log: &EventLog, partition: u16, name: &str, count: usize) -> Vec<TakenWork> {
    let queue = WorkQueue::new(log);
    let mut taken = vec![];
    for lane in Lane::ALL {
        let found = queue.take(partition, lane, &consumer(name), count - taken.len()).await.unwrap();
        taken.extend(found.work);
    }
    taken
}

async fn unfinished(log: &EventLog, stage: Stage) -> u64 {
    let depth = WorkQueue::new(log).depth(stage).await.unwrap();
    depth.waiting + depth.taken
}

/// A job whose first stage waits for a worker, in its partition.
async fn requested(executor: &Executor, priority: Priority) -> (JobId, u16) {
    let job = JobId::new();
    executor.execute(job, request(priority), &origin(), None).await.unwrap();
    (job, executor.log().keys().partition_of(job.aggregate()))
}

async fn read_all(log: &EventLog, partition: u16) -> Vec<(u64, reelstream::events::Envelope)> {
    log.read(partition, 0, 10_000).await.unwrap()
}

#[tokio::test]
async fn a_history_reads_back_chained_and_gapless() {
    let executor = executor().await;
    let (job, partition) = requested(&executor, Priority::Normal).await;
    let history = executor.log().history(job.aggregate(), 0).await.unwrap();
    let types: Vec<_> = history.iter().map(|event| event.event_type.as_str()).collect();
    assert_eq!(types, ["JobRequested", "JobQueued", "StageScheduled"]);
    let mut previous = CHAIN_START.to_owned();
    for (version, event) in (1..).zip(&history) {
        assert_eq!((event.version, &event.prev_hash), (version, &previous));
        assert_eq!(event.compute_hash(), event.hash, "what was read is what was hashed");
        previous.clone_from(&event.hash);
    }
    let rest = executor.log().history(job.aggregate(), 2).await.unwrap();
    assert_eq!(rest, history[2..]);
    let in_partition: Vec<_> =
        read_all(executor.log(), partition).await.into_iter().map(|(_, event)| event).collect();
    assert_eq!(in_partition, history);
    assert!(executor.log().history(JobId::new().aggregate(), 0).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_command_is_applied_once_however_often_it_is_sent() {
    let executor = executor().await;
    let (job, origin) = (JobId::new(), origin());
    let first = executor.execute(job, request(Priority::Normal), &origin, None).await.unwrap();
    let second = executor.execute(job, request(Priority::Normal), &origin, None).await.unwrap();
    assert!(!first.replayed && second.replayed);
    assert_eq!(first.loaded.state, second.loaded.state);
    assert_eq!(executor.log().version(job.aggregate()).await.unwrap(), 3);
    let other = executor.execute(job, request(Priority::Normal), &self::origin(), None).await;
    assert!(matches!(other, Err(Error::Rejected(Rejection::AlreadyRequested))));
}

#[tokio::test]
async fn a_wrong_expected_version_writes_nothing() {
    let executor = executor().await;
    let (job, partition) = requested(&executor, Priority::Normal).await;
    let (other, _) = requested(&executor, Priority::Normal).await;
    let events = executor.log().history(other.aggregate(), 0).await.unwrap();
    let head = executor.log().head(partition).await.unwrap();
    let append = Append {
        aggregate_id: job.aggregate(),
        expected_version: 2,
        command_id: CommandId::new(),
        events: &events,
        work: &[],
        mark: None,
        done: None,
    };
    let refused = executor.log().append(&append).await;
    assert!(matches!(refused, Err(LogError::Conflict { expected: 2, current: 3 })), "{refused:?}");
    assert_eq!(executor.log().version(job.aggregate()).await.unwrap(), 3);
    assert_eq!(executor.log().head(partition).await.unwrap(), head);
}

#[tokio::test]
async fn many_writers_leave_no_gap_and_lose_nothing() {
    let executor = executor().await;
    let jobs: Vec<JobId> = (0..5).map(|_| JobId::new()).collect();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..50 {
        let (executor, job) = (executor.clone(), jobs[writer % jobs.len()]);
        writers.spawn(async move {
            executor.execute(job, request(Priority::Normal), &origin(), None).await.is_ok()
        });
    }
    let accepted = writers.join_all().await.into_iter().filter(|ok| *ok).count();
    assert_eq!(accepted, jobs.len(), "each job is requested by exactly one writer");
    let mut events = 0;
    for partition in executor.log().keys().partitions() {
        let read = read_all(executor.log(), partition).await;
        assert!(read.iter().map(|(seq, _)| *seq).eq(1..=read.len() as u64));
        assert_eq!(executor.log().head(partition).await.unwrap(), read.len() as u64);
        events += read.len();
    }
    assert_eq!(events, 3 * jobs.len());
}

#[tokio::test]
async fn urgent_work_is_taken_first_and_no_more_than_asked() {
    let keys = Keys::new(own_prefix(), 1);
    let executor = Executor::new(EventLog::new(connect(&shared_redis()).await, keys), Clock::system());
    let (low, _) = requested(&executor, Priority::Low).await;
    let (normal, _) = requested(&executor, Priority::Normal).await;
    let (urgent, _) = requested(&executor, Priority::Urgent).await;
    let taken = take(executor.log(), 0, "c1", 2).await;
    let jobs: Vec<_> = taken.iter().map(|work| work.job_id()).collect();
    assert_eq!(jobs, [urgent, normal]);
    let rest = take(executor.log(), 0, "c2", 5).await;
    assert_eq!(rest.iter().map(|work| work.job_id()).collect::<Vec<_>>(), [low]);
    assert!(take(executor.log(), 0, "c3", 5).await.is_empty(), "taken work is taken");
}

#[tokio::test]
async fn a_result_acknowledges_its_work_and_schedules_the_next() {
    let executor = executor().await;
    let (job, partition) = requested(&executor, Priority::High).await;
    let log = executor.log();
    let work = take(log, partition, "c", 1).await.remove(0);
    let finish = Command::FinishWork {
        item: item(Stage::Initializing),
        outcome: Outcome::Initialized,
        scene_limit: 16,
    };
    let origin = Origin { command_id: CommandId::of_attempt(work.receipt.token, "finish"), ..origin() };
    executor.execute(job, finish.clone(), &origin, Some(&work.receipt)).await.unwrap();
    assert_eq!(unfinished(log, Stage::Initializing).await, 0, "acknowledged and deleted");
    assert_eq!(unfinished(log, Stage::Planning).await, 1);

    // The same append again, as after a lost answer.
    let version = log.version(job.aggregate()).await.unwrap();
    let again = executor.execute(job, finish, &origin, Some(&work.receipt)).await.unwrap();
    assert!(again.replayed);
    assert_eq!(log.version(job.aggregate()).await.unwrap(), version);
    assert_eq!(unfinished(log, Stage::Planning).await, 1, "nothing is scheduled twice");
}

#[tokio::test]
async fn a_result_of_an_old_attempt_is_refused() {
    let executor = executor().await;
    let (job, partition) = requested(&executor, Priority::Normal).await;
    let log = executor.log();
    let work = take(log, partition, "c", 1).await.remove(0);
    // Another worker takes it over; it has not decided anything yet.
    let queue = WorkQueue::new(log);
    let lease = std::time::Duration::ZERO;
    let (_, claimed) = queue.claim_idle(partition, &consumer("other"), lease, "0-0").await.unwrap();
    assert_eq!(claimed, std::slice::from_ref(&work));
    let error =
        Failure { code: "X".into(), message: "x".into(), retryable: true, suggestion: None, causes: vec![] };
    let first = item(Stage::Initializing);
    let fail = Command::FailWork { item: first, error, most_attempts: 2, delay_ms: 0 };
    executor.execute(job, fail, &origin(), Some(&claimed[0].receipt)).await.unwrap();
    let version = log.version(job.aggregate()).await.unwrap();
    let again = || Command::Cancel { reason: None };
    let refused = executor.execute(job, again(), &origin(), Some(&work.receipt)).await;
    assert!(matches!(refused, Err(Error::Log(LogError::StaleAttempt))), "{refused:?}");
    let finish = Command::FinishWork {
        item: item(Stage::Initializing),
        outcome: Outcome::Initialized,
        scene_limit: 16,
    };
    let refused = executor.execute(job, finish, &origin(), Some(&work.receipt)).await;
    assert!(matches!(refused, Err(Error::Rejected(Rejection::WorkNotOpen(_)))), "{refused:?}");
    assert_eq!(log.version(job.aggregate()).await.unwrap(), version);
    assert_eq!(unfinished(log, Stage::Planning).await, 0, "and leads to nothing");
}

#[tokio::test]
async fn work_that_is_handed_back_is_taken_again() {
    let executor = executor().await;
    let (job, partition) = requested(&executor, Priority::Normal).await;
    let log = executor.log();
    let work = take(log, partition, "c1", 1).await.remove(0);
    WorkQueue::new(log).hand_back(&work).await.unwrap();
    let again = take(log, partition, "c2", 1).await.remove(0);
    assert_eq!(again.receipt.token, work.receipt.token);
    let finish = Command::FinishWork {
        item: item(Stage::Initializing),
        outcome: Outcome::Initialized,
        scene_limit: 16,
    };
    executor.execute(job, finish, &origin(), Some(&again.receipt)).await.unwrap();
    WorkQueue::new(log).hand_back(&work).await.unwrap();
    assert_eq!(unfinished(log, Stage::Initializing).await, 0, "finished work cannot be handed back");
}

#[tokio::test]
async fn delayed_work_is_there_when_it_is_due_and_once() {
    let executor = executor().await;
    let (job, partition) = requested(&executor, Priority::Normal).await;
    let log = executor.log();
    let take = async || take(log, partition, "c", 5).await;
    let work = take().await.remove(0);
    let error =
        Failure { code: "X".into(), message: "x".into(), retryable: true, suggestion: None, causes: vec![] };
    let item = item(Stage::Initializing);
    let fail = Command::FailWork { item, error, most_attempts: 2, delay_ms: 300 };
    executor.execute(job, fail, &origin(), Some(&work.receipt)).await.unwrap();
    let failed_at = std::time::Instant::now();
    assert!(take().await.is_empty(), "not yet");
    crate::harness::eventually("it is released", async || {
        WorkQueue::new(log).release_due(partition).await.unwrap().queued == 1
    })
    .await;
    assert!(failed_at.elapsed().as_millis() >= 250, "not before its time");
    assert_eq!(WorkQueue::new(log).release_due(partition).await.unwrap().queued, 0, "released once");
    let again = take().await.remove(0);
    assert_ne!(again.receipt.token, work.receipt.token, "an attempt of its own");
    let finish = Command::FinishWork {
        item: WorkItem { attempt: 2, ..item },
        outcome: Outcome::Initialized,
        scene_limit: 16,
    };
    executor.execute(job, finish, &origin(), Some(&again.receipt)).await.unwrap();
    assert_eq!(unfinished(log, Stage::Planning).await, 1);
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_halts_its_reader_by_name() {
    let executor = executor().await;
    let (_, partition) = requested(&executor, Priority::Normal).await;
    let stream = executor.log().keys().log(partition);
    let _: String = redis::cmd("XADD")
        .arg(&stream)
        .arg("4-0")
        .arg(&["event_id", "nonsense"])
        .query_async(&mut connect(&shared_redis()).await)
        .await
        .unwrap();
    let before = executor.log().read(partition, 0, 100).await.unwrap();
    assert_eq!(before.len(), 3, "what comes before it can be read");
    let error = executor.log().read(partition, 3, 100).await.unwrap_err().to_string();
    assert!(error.contains(&stream) && error.contains("4-0"), "{error}");

    let _: u64 = redis::cmd("XDEL")
        .arg(&stream)
        .arg("2-0")
        .query_async(&mut connect(&shared_redis()).await)
        .await
        .unwrap();
    let error = executor.log().read(partition, 1, 2).await.unwrap_err().to_string();
    assert!(error.contains("expected entry 2-0, found 3-0"), "{error}");
}

#[tokio::test]
async fn events_survive_a_restart_of_redis() {
    let folder = folder();
    let (job, history) = {
        let redis = PrivateRedis::start(folder.path()).unwrap();
        let log = EventLog::new(connect(&redis.url()).await, Keys::new("reel", 4));
        let executor = Executor::new(log, Clock::system());
        let (job, _) = requested(&executor, Priority::Normal).await;
        (job, executor.log().history(job.aggregate(), 0).await.unwrap())
    };
    let redis = PrivateRedis::start(folder.path()).unwrap();
    let log = EventLog::new(connect(&redis.url()).await, Keys::new("reel", 4));
    assert_eq!(log.history(job.aggregate(), 0).await.unwrap(), history);
}

// H1
#[tokio::test]
async fn what_could_not_be_read_back_is_refused_before_anything_is_appended() {
    let executor = executor().await;
    let deep = (0..126).fold(serde_json::Value::Null, |inner, _| serde_json::Value::Array(vec![inner]));
    let mut preferences = serde_json::Map::new();
    preferences.insert("a".to_owned(), deep);
    let mut deeply_nested = VideoRequest::of_script("Ions", "Ions move.");
    deeply_nested.style_preferences = Some(preferences.into());
    let command = Command::Request(JobRequested {
        user_id: "user_1".into(),
        request: deeply_nested.into(),
        batch_id: None,
    });
    let job = JobId::new();
    let partition = executor.log().keys().partition_of(job.aggregate());

    let refused = executor.execute(job, command, &origin(), None).await;
    let Err(Error::Unreadable { kind, id, event_type, .. }) = &refused else { panic!("{refused:?}") };
    assert_eq!((*kind, *id, *event_type), (AggregateKind::Job, job.aggregate(), "JobRequested"));
    assert!(!refused.as_ref().unwrap_err().is_retryable(), "trying again would not help");
    assert_eq!(executor.log().head(partition).await.unwrap(), 0, "nothing was appended");
    assert_eq!(executor.log().version(job.aggregate()).await.unwrap(), 0);
    assert_eq!(WorkQueue::new(executor.log()).open().await.unwrap(), 0);
    executor.execute(job, request(Priority::Normal), &origin(), None).await.unwrap();
}

// L9
#[tokio::test]
async fn a_log_ahead_of_its_head_refuses_an_append_and_keeps_the_work() {
    let executor = executor().await;
    let (job, partition) = requested(&executor, Priority::Normal).await;
    let log = executor.log();
    let work = take(log, partition, "c1", 1).await.remove(0);
    let set_head = async |seq: u64| {
        let mut command = redis::cmd("SET");
        command.arg(log.keys().head(partition)).arg(seq);
        command.query_async::<()>(&mut log.connection()).await.unwrap();
    };
    let head = log.head(partition).await.unwrap();
    set_head(head - 1).await;
    let finish = || Command::FinishWork {
        item: item(Stage::Initializing),
        outcome: Outcome::Initialized,
        scene_limit: 2,
    };
    let refused = executor.execute(job, finish(), &origin(), Some(&work.receipt)).await;
    assert!(matches!(refused, Err(Error::Log(LogError::AheadOfHead { .. }))), "{refused:?}");
    let pending = WorkQueue::new(log).pending_of(partition, &consumer("c1")).await.unwrap();
    assert_eq!(pending.len(), 1, "the work is not acknowledged");
    assert_eq!(log.version(job.aggregate()).await.unwrap(), 3);

    set_head(head).await;
    executor.execute(job, finish(), &origin(), Some(&work.receipt)).await.unwrap();
    assert!(WorkQueue::new(log).pending_of(partition, &consumer("c1")).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_log_keeps_the_number_of_partitions_that_it_was_begun_with() {
    let folder = folder();
    let redis = PrivateRedis::start(folder.path()).unwrap();
    let open =
        async |partitions| EventLog::open(connect(&redis.url()).await, Keys::new("p", partitions)).await;
    drop(open(4).await.unwrap());
    let log = open(2).await.unwrap();
    let executor = Executor::new(log, Clock::system());
    executor.execute(JobId::new(), request(Priority::Normal), &origin(), None).await.unwrap();
    drop(open(2).await.unwrap());
    let refused = open(1).await.map(drop);
    let found = matches!(&refused, Err(LogError::Partitions { configured: 1, used: 2, .. }));
    assert!(found, "{refused:?}");
    assert_eq!(
        open(8).await.unwrap().keys().layout().partitions(),
        2,
        "the others stay empty until it grows"
    );
}

#[tokio::test]
async fn a_user_is_an_aggregate_like_a_job() {
    let executor = executor().await;
    let id = UserId::of_name("user_1");
    for erasures in 1..=3 {
        let command = user::Command::NoteErasure { keys: 1, jobs: 2 };
        let origin = Origin::standalone(Actor::User("operator".into()));
        let executed = executor.execute(id, command, &origin, None).await.unwrap();
        assert_eq!(
            (executed.loaded.state.erasures, executed.loaded.tip.version),
            (erasures, u64::from(erasures))
        );
    }
    let history = executor.log().history(id.aggregate(), 0).await.unwrap();
    assert_eq!(history[0].prev_hash, CHAIN_START);
    for pair in history.windows(2) {
        assert_eq!(pair[1].prev_hash, pair[0].hash);
        assert_eq!(pair[1].causation_id, Some(pair[0].event_id));
    }
    assert!(history.iter().all(|event| event.aggregate == AggregateKind::User));
}

#[tokio::test]
async fn what_another_process_has_undone_is_decided_again() {
    let log = log().await;
    let process = || Executor::new(log.clone(), Clock::system());
    let (one, other) = (process(), process());
    let id = ProjectionId::of_name("catalog");
    let aggregate_id = JobId::new().aggregate();
    let quarantine = || {
        let quarantined = projection::Quarantined {
            partition: 1,
            aggregate: "job".into(),
            seq: 7,
            version: 2,
            error: "cannot be decoded".into(),
        };
        projection::Command::Quarantine { projection: "catalog".into(), aggregate_id, quarantined }
    };
    let release = projection::Command::Release {
        projection: "catalog".into(),
        partition: 1,
        aggregate_id,
        reason: "fixed".into(),
    };
    let execute = async |executor: &Executor, command| {
        let origin = Origin::standalone(Actor::System);
        executor.execute(id, command, &origin, None).await.unwrap().loaded.tip.version
    };
    assert_eq!(execute(&one, quarantine()).await, 1);
    assert_eq!(execute(&one, quarantine()).await, 1, "it is so already");
    assert_eq!(execute(&other, release).await, 2);
    assert_eq!(
        execute(&one, quarantine()).await,
        3,
        "although the first process has not heard of the release"
    );
}
