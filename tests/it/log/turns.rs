//! The order in which waiting work is handed out.

use reelstream::events::job::WorkItem;
use reelstream::events::queue::Consumer;
use reelstream::events::work::{ScheduledWork, TakenWork, requester};
use reelstream::events::{Append, EventLog, Keys, Lane, Mark, Priority, Stage, WorkQueue};
use reelstream::ids::{AttemptToken, CommandId, JobId};

use super::model::event;
use crate::harness::{connect, own_prefix, shared_redis};

/// A log with one partition, whose queues are filled by hand.
struct Queue {
    log: EventLog,
    queue: WorkQueue,
}

impl Queue {
    async fn new() -> Self {
        let log = EventLog::new(connect(&shared_redis()).await, Keys::new(own_prefix(), 1));
        Self { queue: WorkQueue::new(&log), log }
    }

    /// Queues a scene of a new job, which is as old as `requested_ms` says.
    async fn add(&self, user: &str, requested_ms: i64, scene: u32) -> JobId {
        let job = JobId::new();
        let event = event(job, 1, CommandId::new());
        let work = ScheduledWork {
            item: WorkItem { stage: Stage::Rendering, scene: Some(scene), attempt: 1 },
            priority: Priority::Normal,
            token: AttemptToken::of_event(event.event_id),
            version: 1,
            delay_ms: 0,
            requester: requester(user),
            requested_ms,
        };
        let append = Append {
            aggregate_id: job.aggregate(),
            expected_version: 0,
            command_id: event.command_id,
            events: &[event],
            work: &[work],
            mark: Some(Mark::Open),
            done: None,
        };
        self.log.append(&append).await.unwrap();
        job
    }

    async fn take(&self, lane: Lane, count: usize) -> Vec<TakenWork> {
        let consumer = Consumer { stage: Stage::Rendering, group: "g".into(), name: "c".into() };
        self.queue.take(0, lane, &consumer, count).await.unwrap().work
    }

    async fn take_jobs(&self, lane: Lane, count: usize) -> Vec<JobId> {
        self.take(lane, count).await.iter().map(TakenWork::job_id).collect()
    }

    async fn peek(&self) -> Option<String> {
        self.queue.peek(0, Stage::Rendering, Lane::Normal).await.unwrap().map(|(requester, _)| requester)
    }
}

#[tokio::test]
async fn of_one_requester_the_oldest_job_goes_first_and_of_a_job_the_first_scene() {
    let queue = Queue::new().await;
    let third = queue.add("a", 2_000, 1).await;
    let second = queue.add("a", 1_000, 7).await;
    let first = queue.add("a", 1_000, 2).await;
    assert_eq!(queue.take_jobs(Lane::Normal, 10).await, [first, second, third]);
}

#[tokio::test]
async fn first_scenes_wait_in_a_lane_of_their_own() {
    let queue = Queue::new().await;
    let later = queue.add("a", 1_000, 1).await;
    let first = queue.add("a", 2_000, 0).await;
    assert_eq!(queue.take_jobs(Lane::FirstScene, 10).await, [first]);
    assert_eq!(queue.take_jobs(Lane::Normal, 10).await, [later]);
}

#[tokio::test]
async fn requesters_take_turns_however_much_one_has_and_whenever_it_comes() {
    let queue = Queue::new().await;
    let mut of_many = vec![];
    for number in 0..6 {
        of_many.push(queue.add("many", number, 1).await);
    }
    assert_eq!(queue.take_jobs(Lane::Normal, 2).await, of_many[..2]);
    // Who comes later than all of them waits for one of them at most.
    let single = queue.add("few", 9_000, 1).await;
    let next = queue.take_jobs(Lane::Normal, 2).await;
    assert!(next.contains(&single), "{next:?}");
    // Work that comes one piece at a time, just before each look, does not keep the others waiting.
    let mut of_few = 0;
    for _ in 0..4 {
        queue.add("few", 1, 1).await;
        let taken = queue.take(Lane::Normal, 1).await;
        of_few += usize::from(taken[0].requester == requester("few"));
    }
    assert_eq!(of_few, 2, "half of the turns");
}

#[tokio::test]
async fn of_many_requesters_who_came_first_goes_first() {
    let queue = Queue::new().await;
    let mut expected = vec![];
    for user in 0..8 {
        expected.push(queue.add(&format!("user {user}"), 1_000 - user, 1).await);
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    assert_eq!(queue.take_jobs(Lane::Normal, 10).await, expected);
}

#[tokio::test]
async fn what_is_handed_back_is_the_next_that_is_taken() {
    let queue = Queue::new().await;
    for number in 0..3 {
        queue.add("a", number, 1).await;
        queue.add("b", number, 1).await;
    }
    for _ in 0..3 {
        let taken = queue.take(Lane::Normal, 1).await.remove(0);
        queue.queue.hand_back(&taken).await.unwrap();
        assert_eq!(queue.peek().await.as_ref(), Some(&taken.requester));
        let again = queue.take(Lane::Normal, 1).await.remove(0);
        assert_eq!(again.receipt.token, taken.receipt.token);
    }
    assert_eq!(queue.take(Lane::Normal, 10).await.len(), 3);
    assert_eq!(queue.peek().await, None);
}

#[tokio::test]
async fn a_queue_that_is_empty_leaves_nothing_behind() {
    let queue = Queue::new().await;
    for user in 0..20 {
        queue.add(&user.to_string(), 1, 1).await;
    }
    assert_eq!(queue.take(Lane::Normal, 100).await.len(), 20);
    let keys = queue.log.keys();
    for key in
        [keys.waiting(0, Stage::Rendering, Lane::Normal), keys.turns(0, Stage::Rendering, Lane::Normal)]
    {
        let exists: bool =
            redis::cmd("EXISTS").arg(&key).query_async(&mut queue.log.connection()).await.unwrap();
        assert!(!exists, "{key}");
    }
}
