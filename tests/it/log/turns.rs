//! The order in which waiting work is handed out.

use std::ops::Range;

use reelstream::consumers::simulation::LaneQueue;
use reelstream::events::job::WorkItem;
use reelstream::events::queue::Consumer;
use reelstream::events::work::{SceneOrder, ScheduledWork, TakenWork, job_rank, requester};
use reelstream::events::{Append, EventLog, Keys, Lane, Mark, Priority, Stage, WorkQueue};
use reelstream::ids::{AttemptToken, BatchId, CommandId, JobId};

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

    /// Queues a scene of a new job, which is as old as `began_ms` says.
    async fn add(&self, user: &str, began_ms: i64, scene: u32) -> JobId {
        self.add_scenes(JobId::new(), user, began_ms, scene..scene + 1).await
    }

    /// Queues scenes of a new job.
    async fn add_scenes(&self, job: JobId, user: &str, began_ms: i64, scenes: Range<u32>) -> JobId {
        for (version, scene) in (1..).zip(scenes) {
            self.add_to(job, version, user, (began_ms, None), scene).await;
        }
        job
    }

    /// `times` are when the job began and when a viewer comes to the scene.
    async fn add_to(
        &self,
        job: JobId,
        version: u64,
        user: &str,
        (began_ms, deadline_ms): (i64, Option<i64>),
        scene: u32,
    ) {
        let event = event(job, version, CommandId::new());
        let work = ScheduledWork {
            item: WorkItem { stage: Stage::Rendering, scene: Some(scene), attempt: 1 },
            priority: Priority::Normal,
            token: AttemptToken::of_event(event.event_id),
            version,
            delay_ms: 0,
            requester: requester(user),
            began_ms,
            deadline_ms,
        };
        let append = Append {
            aggregate_id: job.aggregate(),
            expected_version: version - 1,
            command_id: event.command_id,
            events: &[event],
            work: &[work],
            mark: Some(Mark::Open),
            done: None,
        };
        self.log.append(&append).await.unwrap();
    }

    async fn take(&self, lane: Lane, count: usize) -> Vec<TakenWork> {
        let consumer = Consumer { stage: Stage::Rendering, group: "g".into(), name: "c".into() };
        self.queue.take(0, lane, &consumer, count).await.unwrap().work
    }

    /// With scenes that go before others of their job.
    async fn take_preferred(&self, count: usize, preferred: &[SceneOrder]) -> Vec<u32> {
        let consumer = Consumer { stage: Stage::Rendering, group: "g".into(), name: "c".into() };
        let taken = self.queue.take_preferred(0, Lane::Normal, &consumer, count, preferred).await.unwrap();
        taken.work.iter().map(|work| work.item.scene.unwrap()).collect()
    }

    async fn take_jobs(&self, lane: Lane, count: usize) -> Vec<JobId> {
        self.take(lane, count).await.iter().map(TakenWork::job_id).collect()
    }

    async fn peek(&self) -> Option<String> {
        self.queue.peek(0, Stage::Rendering, Lane::Normal).await.unwrap().map(|job| job.requester)
    }
}

#[tokio::test]
async fn of_one_requester_the_oldest_job_goes_first_and_of_a_job_the_first_scene() {
    let queue = Queue::new().await;
    let younger = queue.add("a", 2_000, 1).await;
    let older = JobId::new();
    for (version, scene) in [(1, 7), (2, 2)] {
        queue.add_to(older, version, "a", (1_000, None), scene).await;
    }
    let taken = queue.take(Lane::Normal, 10).await;
    let taken: Vec<_> = taken.iter().map(|work| (work.job_id(), work.item.scene.unwrap())).collect();
    assert_eq!(taken, [(older, 2), (older, 7), (younger, 1)]);
}

/// 13.3: scheduling prefers the machine that has a scene's artifacts, and never waits for it.
#[tokio::test]
async fn a_machine_takes_the_scenes_that_it_has_files_of_first_within_the_job_whose_turn_it_is() {
    let queue = Queue::new().await;
    let older = queue.add_scenes(JobId::new(), "a", 1_000, 1..21).await;
    queue.add_scenes(JobId::new(), "a", 2_000, 1..4).await;
    let all = queue.take(Lane::Normal, 100).await;
    assert_eq!(all.len(), 23);
    let scene = |number: u32| {
        all.iter()
            .find(|work| work.job_id() == older && work.item.scene == Some(number))
            .unwrap()
            .scene_order()
    };
    let of_younger = all.last().unwrap().scene_order();
    // The job of the last piece that is handed back has the next turn.
    for work in all.iter().rev() {
        queue.queue.hand_back(work).await.unwrap();
    }
    // Scene 20 is too far ahead, the other job has no turn yet, and where nothing is preferred, the first goes.
    let preferred = [scene(5), scene(3), scene(20), of_younger];
    assert_eq!(queue.take_preferred(4, &preferred).await, [3, 5, 1, 2]);
    assert_eq!(queue.take_preferred(16, &preferred).await.len(), 16);
    assert_eq!(queue.take_preferred(10, &preferred).await, [3, 1, 2], "the younger job");
    assert_eq!(queue.take_preferred(10, &preferred).await, [0; 0]);
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
async fn requesters_take_turns_a_job_at_a_time_however_much_one_has() {
    let queue = Queue::new().await;
    let mut of_many = vec![];
    // Jobs of one batch are equally old, and go in their order.
    let batch = BatchId::new();
    for index in 0..6 {
        of_many.push(queue.add_scenes(JobId::of_batch(batch, index), "many", 7, 1..3).await);
    }
    assert_eq!(queue.take_jobs(Lane::Normal, 3).await, [of_many[0], of_many[0], of_many[1]]);
    // Who comes later than all of them waits for one job at most, and is not interrupted.
    let few = queue.add_scenes(JobId::new(), "few", 9_000, 1..5).await;
    let twice = |jobs: &[JobId]| jobs.iter().flat_map(|job| [*job, *job]).collect::<Vec<_>>();
    let expected = [vec![of_many[1]], vec![few; 4], twice(&of_many[2..])].concat();
    assert_eq!(queue.take_jobs(Lane::Normal, 20).await, expected);
}

#[tokio::test]
async fn who_comes_again_and_again_does_not_keep_the_others_waiting() {
    let queue = Queue::new().await;
    for number in 0..6 {
        queue.add("many", number, 1).await;
    }
    // One piece at a time, just before each look.
    let mut of_few = 0;
    for number in 0..6 {
        queue.add("few", 9_000 + number, 1).await;
        let taken = queue.take(Lane::Normal, 1).await;
        of_few += usize::from(taken[0].requester == requester("few"));
    }
    assert!((2..=3).contains(&of_few), "{of_few}, about half of the turns");
}

#[tokio::test]
async fn among_equal_turns_the_oldest_job_goes_first_and_is_finished_in_its_turn() {
    let queue = Queue::new().await;
    let (old, young) = (queue.add("a", 1_000, 1).await, queue.add("b", 2_000, 1).await);
    let oldest = queue.add("c", 500, 1).await;
    assert_eq!(queue.take_jobs(Lane::Normal, 2).await, [oldest, old]);
    // Its next piece comes when the turn could be another's.
    queue.add_to(old, 2, "a", (1_000, None), 2).await;
    assert_eq!(queue.take_jobs(Lane::Normal, 5).await, [old, young]);
}

#[tokio::test]
async fn work_that_has_no_turn_is_handed_out_when_nothing_else_waits() {
    let queue = Queue::new().await;
    let job = queue.add("a", 1_000, 1).await;
    let turns = queue.log.keys().turns(0, Stage::Rendering, Lane::Normal);
    let _removed: u64 = redis::cmd("DEL").arg(turns).query_async(&mut queue.log.connection()).await.unwrap();
    assert!(queue.peek().await.is_some());
    assert_eq!(queue.take_jobs(Lane::Normal, 5).await, [job]);
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

/// The simulated queue is compared with the one in Redis, step by step.
#[tokio::test]
async fn the_simulated_queue_hands_out_in_the_same_order() {
    // The same numbers in every run (an LCG, Numerical Recipes).
    let mut random = 7_u32;
    let mut below = move |limit: u32| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) % limit
    };
    for round in 0..6 {
        let queue = Queue::new().await;
        let mut simulated = LaneQueue::default();
        let mut taken = 0;
        for step in 0..250 {
            if below(5) < 3 {
                let user = format!("user {}", below(4));
                // No two pieces have the same place.
                let (began_ms, scene) = (i64::from(below(12)) * 1000 + 5, 1 + step);
                let job = queue.add(&user, began_ms, scene).await;
                simulated.push((requester(&user), job_rank(job.aggregate(), began_ms), scene), job);
            } else {
                let found = queue.take(Lane::Normal, 1).await.pop();
                taken += usize::from(found.is_some());
                let expected = simulated.pop().map(|(_, job)| job);
                assert_eq!(found.map(|work| work.job_id()), expected, "round {round}, step {step}");
                assert_eq!(
                    queue.peek().await,
                    simulated.peek().map(|(requester, ..)| requester),
                    "round {round}, step {step}"
                );
            }
        }
        assert!(taken > 50 && simulated.len() > 10, "{taken} {}", simulated.len());
    }
}

/// 1970 has passed, so every deadline is due as soon as somebody looks.
#[tokio::test]
async fn work_that_a_viewer_soon_needs_goes_ahead_as_in_the_simulation() {
    let queue = Queue::new().await;
    let (mut ahead, mut normal) = (LaneQueue::default(), LaneQueue::default());
    let (mut hastened, mut taken_ahead) = (vec![], 0);
    for step in 0..300_u32 {
        match step * 7 % 10 {
            0..=4 => {
                let user = format!("user {}", step % 3);
                let (job, began_ms, scene) = (JobId::new(), i64::from(step * 13 % 11), 1 + step);
                let deadline_ms = (step % 3 == 0).then(|| 4000 + i64::from(step));
                queue.add_to(job, 1, &user, (began_ms, deadline_ms), scene).await;
                let place = (requester(&user), job_rank(job.aggregate(), began_ms), scene);
                hastened.extend(deadline_ms.map(|_| place.clone()));
                queue.queue.note_viewer(job.aggregate()).await.unwrap();
                normal.push(place, job);
            }
            5 => {
                let released = queue.queue.release_due(0).await.unwrap();
                let mut moved = 0;
                for place in hastened.drain(..) {
                    if let Some(job) = normal.remove(&place) {
                        ahead.push(place, job);
                        moved += 1;
                    }
                }
                assert_eq!(released.hastened, moved, "step {step}");
            }
            _ => {
                let mut found = queue.take(Lane::NextScene, 1).await.pop();
                taken_ahead += usize::from(found.is_some());
                let mut expected = ahead.pop();
                if found.is_none() {
                    found = queue.take(Lane::Normal, 1).await.pop();
                    expected = expected.or_else(|| normal.pop());
                }
                assert_eq!(found.map(|work| work.job_id()), expected.map(|(_, job)| job), "step {step}");
            }
        }
    }
    assert!(taken_ahead > 10, "{taken_ahead}");
    let deadlines = queue.log.keys().deadlines(0);
    queue.queue.release_due(0).await.unwrap();
    let left: u64 =
        redis::cmd("ZCARD").arg(deadlines).query_async(&mut queue.log.connection()).await.unwrap();
    assert_eq!(left, 0, "a deadline is forgotten when it has passed");
}

#[tokio::test]
async fn work_on_a_video_that_nobody_watches_does_not_go_ahead_until_somebody_does() {
    let queue = Queue::new().await;
    let job = JobId::new();
    queue.add_to(job, 1, "a", (5, Some(4000)), 1).await;
    assert_eq!(queue.queue.release_due(0).await.unwrap().hastened, 0);
    let deadlines = queue.log.keys().deadlines(0);
    let mut redis = queue.log.connection();
    let mut range = redis::cmd("ZRANGE");
    let kept: Vec<(String, i64)> =
        range.arg(&deadlines).arg(0).arg(-1).arg("WITHSCORES").query_async(&mut redis).await.unwrap();
    assert!(kept[0].1 > chrono::Utc::now().timestamp_millis(), "it is looked at again later: {kept:?}");
    queue.queue.note_viewer(job.aggregate()).await.unwrap();
    redis::cmd("ZADD").arg(&deadlines).arg(1).arg(&kept[0].0).query_async::<()>(&mut redis).await.unwrap();
    assert_eq!(queue.queue.release_due(0).await.unwrap().hastened, 1);
    assert_eq!(queue.take_jobs(Lane::NextScene, 1).await, [job]);
}
