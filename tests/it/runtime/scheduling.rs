//! The order in which a worker does the work of many jobs, with stages that only pretend.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reelstream::app::Role;
use reelstream::consumers::rehearsal::{Rehearsal, handlers};
use reelstream::domain::job::Command;
use reelstream::events::job::JobRequested;
use reelstream::events::{Actor, EventLog, JobEvent, VideoRequest};
use reelstream::execute::{Executor, Origin, decode};
use reelstream::ids::{CommandId, JobId};

use crate::harness::{Running, System, eventually};

const JOBS: usize = 12;
const SCENES: u32 = 8;

/// When a job could be watched first, and when it was complete.
struct Done {
    is_playable: DateTime<Utc>,
    is_complete: DateTime<Utc>,
}

async fn request(log: &EventLog, user: &str) -> JobId {
    let job = JobId::new();
    let origin = Origin {
        command_id: CommandId::new(),
        actor: Actor::User(user.to_owned()),
        trace: None,
        causation_id: None,
    };
    let request = VideoRequest::of_script("Ions", "Ions move.");
    let request = JobRequested { user_id: user.to_owned(), request: request.into(), batch_id: None };
    let executor = Executor::new(log.clone(), reelstream::clock::Clock::system());
    executor.execute(job, Command::Request(request), &origin, None).await.unwrap();
    job
}

async fn done(log: &EventLog, job: JobId) -> Option<Done> {
    let (mut is_playable, mut is_complete) = (None, None);
    for envelope in log.history(job.aggregate(), 0).await.unwrap() {
        match decode::<JobEvent>(&envelope).unwrap().event {
            JobEvent::SceneRendered { scene: 0, .. } => is_playable = Some(envelope.recorded_at),
            JobEvent::JobCompleted { .. } => is_complete = Some(envelope.recorded_at),
            _ => {}
        }
    }
    Some(Done { is_playable: is_playable?, is_complete: is_complete? })
}

/// Jobs that wait when a worker with three slots comes, as they were done, in the order of their requests.
async fn work_on(users: [&str; JOBS]) -> Vec<Done> {
    let system = System::start_with(&[], |config| config.media.max_concurrent_renders = 2).await;
    let log = system.log().await;
    let mut jobs = vec![];
    for user in users {
        jobs.push(request(&log, user).await);
    }
    let rehearsal = Rehearsal {
        scenes: SCENES,
        longest: Duration::from_millis(30),
        is_cpu_bound: true,
        ..Rehearsal::default()
    };
    let worker = Running::start_with(system.config.clone(), &[Role::Worker], handlers(rehearsal)).await;
    let mut all = vec![];
    for job in jobs {
        eventually("it is complete", async || done(&log, job).await.is_some()).await;
        all.extend(done(&log, job).await);
    }
    worker.stop().await;
    system.running.stop().await;
    all
}

/// How many others come before each, by a time.
fn places(all: &[Done], time: impl Fn(&Done) -> DateTime<Utc>) -> Vec<usize> {
    all.iter().map(|one| all.iter().filter(|other| time(other) < time(one)).count()).collect()
}

fn check(all: &[Done]) {
    // One slot in eight goes by stage alone, so some may be done before.
    let last_playable = all.iter().map(|done| done.is_playable).max().unwrap();
    let complete_before = all.iter().filter(|done| done.is_complete < last_playable).count();
    assert!(complete_before <= 2, "{complete_before} are complete before the last can be watched");
    // What is begun is finished: they are not all complete at the end.
    let mut complete: Vec<DateTime<Utc>> = all.iter().map(|done| done.is_complete).collect();
    complete.sort();
    let since = |at: DateTime<Utc>| (at - last_playable).as_seconds_f64();
    let (middle, last) = (since(complete[JOBS / 2]), since(complete[JOBS - 1]));
    assert!(middle < 0.8 * last, "half are complete {middle} s after all can be watched, and all {last} s");
}

// 001-1.3
#[tokio::test]
async fn of_many_jobs_of_one_user_all_can_be_watched_soon_and_the_oldest_are_complete_first() {
    let all = work_on(["user_1"; JOBS]).await;
    check(&all);
    for (requested, place) in places(&all, |done| done.is_complete).into_iter().enumerate() {
        assert!(requested.abs_diff(place) <= 4, "number {requested} was complete as number {place}");
    }
}

// 001-1.3
#[tokio::test]
async fn of_many_users_all_can_watch_soon() {
    let users = ["u1", "u2", "u3", "u4", "u5", "u6", "u7", "u8", "u9", "u10", "u11", "u12"];
    let all = work_on(users).await;
    let last_playable = all.iter().map(|done| done.is_playable).max().unwrap();
    let complete_before = all.iter().filter(|done| done.is_complete < last_playable).count();
    assert!(complete_before <= 2, "{complete_before} are complete before the last can be watched");
}
