//! An event of one aggregate leads to commands for others, once, whatever is killed in between.

use std::collections::BTreeMap;

use reelstream::clock::Clock;
use reelstream::consumers::process_manager::{Happened, Order, Process, ProcessManager};
use reelstream::dev::PrivateRedis;
use reelstream::domain::{job, projection};
use reelstream::events::job::JobRequested;
use reelstream::events::{Actor, EventLog, Keys, ProjectionEvent, VideoRequest};
use reelstream::execute::{Executor, Origin};
use reelstream::ids::{CommandId, EventId, JobId, ProjectionId};

use crate::harness::{connect, eventually, folder};

/// Requests as many jobs as the sequence number of a skipped event says, after an order that is always refused.
struct Requester;

impl ProcessManager for Requester {
    type Source = ProjectionId;

    const NAME: &'static str = "requester";

    fn reacts_to(&self, event_type: &str) -> bool {
        event_type == "EventSkipped"
    }

    fn react(&self, happened: &Happened<ProjectionId>) -> Vec<Order> {
        let ProjectionEvent::EventSkipped { partition, seq, .. } = &happened.event else {
            panic!("not asked for: {:?}", happened.event)
        };
        assert!(happened.state.skipped[partition].contains(seq), "the state is the one after the event");
        let refused = Order::new(JobId::of_event(happened.event_id, u32::MAX), job::Command::EraseContent);
        let request = |index| {
            let request = VideoRequest::of_script(format!("Job {index}"), "Ions move.");
            let requested =
                JobRequested { user_id: "user_1".into(), request: request.into(), batch_id: None };
            Order::new(JobId::of_event(happened.event_id, index), job::Command::Request(requested))
        };
        std::iter::once(refused).chain((0..*seq as u32).map(request)).collect()
    }
}

async fn executor(redis: &PrivateRedis, prefix: &str) -> Executor {
    Executor::new(EventLog::new(connect(&redis.url()).await, Keys::new(prefix, 2)), Clock::system())
}

/// The event that the manager reacts to.
async fn skipped(executor: &Executor, projection: &str, seq: u64) -> (u16, EventId) {
    let id = ProjectionId::of_name(projection);
    let command = projection::Command::Skip {
        projection: projection.into(),
        partition: 0,
        seq,
        reason: "a test".into(),
    };
    let origin = Origin::standalone(Actor::System);
    let executed = executor.execute(id, command, &origin, None).await.unwrap();
    let partition = executor.log().keys().partition_of(reelstream::ids::AggregateId(id.0));
    (partition, executed.loaded.tip.event_id.unwrap())
}

/// How many events there are of each aggregate.
async fn versions(log: &EventLog) -> BTreeMap<String, usize> {
    let mut versions = BTreeMap::new();
    for partition in log.keys().partitions() {
        for (_, event) in log.read(partition, 0, 10_000).await.unwrap() {
            *versions.entry(event.aggregate_id.to_string()).or_default() += 1;
        }
    }
    versions
}

// 000-5: what is delivered twice happens once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_carried_out_once_though_its_process_is_killed_between_two() {
    const JOBS: u64 = 300;
    let folder = folder();
    let redis = PrivateRedis::start(folder.path()).unwrap();
    let (first, second) = (executor(&redis, "p").await, executor(&redis, "p").await);
    let (partition, event_id) = skipped(&first, "catalog", JOBS).await;

    let process = Process::new(first.clone(), Requester);
    let killed = tokio::spawn(async move { process.catch_up(partition).await });
    let some_job = JobId::of_event(event_id, 3).aggregate();
    eventually("a few orders are carried out", async || second.log().version(some_job).await.unwrap() > 0)
        .await;
    killed.abort();
    assert!(killed.await.unwrap_err().is_cancelled(), "it was killed before it had done everything");
    let before = versions(second.log()).await;
    assert!(before.len() > 3 && before.len() < JOBS as usize, "{} aggregates", before.len());

    // The place of the dead process is free after ten seconds, or now.
    let process = Process::new(second.clone(), Requester);
    assert_eq!(process.catch_up(partition).await.unwrap(), None, "it belongs to the dead one for now");
    let owner = second.log().keys().process_owner(partition, Requester::NAME);
    redis::cmd("DEL").arg(owner).query_async::<()>(&mut second.log().connection()).await.unwrap();
    assert!(process.catch_up(partition).await.unwrap().is_some());
    let after = versions(second.log()).await;
    assert_eq!(after.len(), JOBS as usize + 1, "every job, and the projection");
    for index in 0..JOBS as u32 {
        let id = JobId::of_event(event_id, index);
        assert_eq!(after[&id.to_string()], 3, "job {index} was requested once");
    }
    let job = JobId::of_event(event_id, 0);
    let requested = &second.log().history(job.aggregate(), 0).await.unwrap()[0];
    assert_eq!(requested.causation_id, Some(event_id));
    assert_eq!(requested.command_id, CommandId::of_reaction(event_id, "requester", 1));
    assert_eq!(requested.actor, Actor::System);
}

#[tokio::test]
async fn a_process_goes_on_from_its_checkpoint_and_does_nothing_twice() {
    let folder = folder();
    let redis = PrivateRedis::start(folder.path()).unwrap();
    let executor = executor(&redis, "p").await;
    let (partition, first) = skipped(&executor, "catalog", 2).await;
    let process = Process::new(executor.clone(), Requester);
    assert!(process.catch_up(partition).await.unwrap().unwrap() > 0);
    let before = versions(executor.log()).await;
    assert_eq!(process.catch_up(partition).await.unwrap(), Some(0), "there is nothing new");
    assert_eq!(versions(executor.log()).await, before);

    let (_, second) = skipped(&executor, "catalog", 3).await;
    assert!(process.catch_up(partition).await.unwrap().unwrap() > 0);
    let after = versions(executor.log()).await;
    for (event, jobs) in [(first, 2), (second, 3)] {
        for index in 0..jobs {
            assert_eq!(after[&JobId::of_event(event, index).to_string()], 3);
        }
        assert!(!after.contains_key(&JobId::of_event(event, jobs).to_string()));
    }
    let other = Process::new(executor.clone(), Requester);
    assert_eq!(other.catch_up(partition).await.unwrap(), None, "one process at a time");
}
