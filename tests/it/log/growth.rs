//! A log that gets more partitions while it is written.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use redis::AsyncCommands;
use reelstream::clock::Clock;
use reelstream::domain::job::Command;
use reelstream::events::archive::{self, Archive};
use reelstream::events::connection::Address;
use reelstream::events::job::JobRequested;
use reelstream::events::{Actor, Error as LogError, EventLog, Keys, Layout, VideoRequest, guard};
use reelstream::execute::{Error, Executor, Origin};
use reelstream::ids::JobId;
use reelstream::signing::SigningKey;
use tokio_util::sync::CancellationToken;
use uuid::{NoContext, Timestamp, Uuid};

use crate::harness::{MASTER_KEY, connect, eventually, folder, own_prefix, shared_redis};

/// More than the clock's resolution, and less than a test waits.
const NOTICE: Duration = Duration::from_millis(5);

async fn open(prefix: &str, partitions: u16) -> Result<EventLog, LogError> {
    EventLog::open(connect(&shared_redis()).await, Keys::new(prefix, partitions)).await
}

fn executor(log: &EventLog) -> Executor {
    Executor::new(log.clone(), Clock::system())
}

async fn request_as(executor: &Executor, job: JobId) -> Result<(), LogError> {
    let request = VideoRequest::of_script("Ions", "Ions move.");
    let command =
        Command::Request(JobRequested { user_id: "user_1".into(), request: request.into(), batch_id: None });
    let origin = Origin::standalone(Actor::User("user_1".into()));
    match executor.execute(job, command, &origin, None).await {
        Ok(_) => Ok(()),
        Err(Error::Log(error)) => Err(error),
        Err(error) => panic!("{error:?}"),
    }
}

async fn request(executor: &Executor) -> Result<JobId, LogError> {
    let job = JobId::new();
    request_as(executor, job).await.map(|()| job)
}

async fn requested(executor: &Executor, count: usize) -> Vec<JobId> {
    let mut jobs = vec![];
    for _ in 0..count {
        jobs.push(request(executor).await.unwrap());
    }
    jobs
}

/// Every job has its whole history, found by this process in the partition where it is.
async fn assert_all_there(log: &EventLog, jobs: &[JobId]) {
    let mut in_log = BTreeSet::new();
    for partition in log.keys().partitions() {
        for (_, event) in log.read(partition, 0, 100_000).await.unwrap() {
            assert_eq!(log.keys().partition_of(event.aggregate_id), partition);
            in_log.insert((event.aggregate_id.0, event.version));
        }
    }
    for job in jobs {
        assert_eq!(log.history(job.aggregate(), 0).await.unwrap().len(), 3, "{job}");
    }
    assert_eq!(in_log.len(), 3 * jobs.len(), "and nothing is twice");
}

// 16.10: the number of partitions grows online.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_grows_while_others_write_and_nothing_is_lost_or_moved() {
    let prefix = own_prefix();
    let first = open(&prefix, 2).await.unwrap();
    let mut jobs = requested(&executor(&first), 20).await;
    drop(first);
    // Restarted with a higher number: the new partitions stay empty.
    let (one, other) = (open(&prefix, 8).await.unwrap(), open(&prefix, 8).await.unwrap());
    jobs.extend(requested(&executor(&one), 20).await);
    for partition in 2..8 {
        assert_eq!(one.head(partition).await.unwrap(), 0);
    }
    let is_done = Arc::new(AtomicBool::new(false));
    let writers = (0..4).map(|_| {
        let (executor, is_done) = (executor(&other), is_done.clone());
        tokio::spawn(async move {
            let mut jobs = vec![];
            while !is_done.load(Ordering::Relaxed) {
                jobs.push(request(&executor).await.unwrap());
            }
            jobs
        })
    });
    let writers: Vec<_> = writers.collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let layout = one.grow_within(NOTICE).await.unwrap();
    assert_eq!((layout.begun_with, layout.partitions(), layout.generation), (2, 8, 1));
    eventually("the other process uses a new partition", async || {
        let mut used = 0;
        for partition in 2..8 {
            used += other.head(partition).await.unwrap();
        }
        used > 0
    })
    .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    is_done.store(true, Ordering::Relaxed);
    for writer in writers {
        jobs.extend(writer.await.unwrap());
    }
    assert_eq!(*other.keys().layout(), layout, "it was told when it appended");
    for log in [&one, &other, &open(&prefix, 8).await.unwrap()] {
        assert_all_there(log, &jobs).await;
    }
    let used: BTreeSet<u16> = jobs.iter().map(|job| one.keys().partition_of(job.aggregate())).collect();
    assert!(used.len() > 4, "{used:?}");
    // And again.
    let more = open(&prefix, 9).await.unwrap();
    assert_eq!(more.grow_within(NOTICE).await.unwrap().grown.len(), 2);
    tokio::time::sleep(2 * NOTICE).await;
    jobs.extend(requested(&executor(&more), 40).await);
    assert_all_there(&more, &jobs).await;
    assert!(more.head(8).await.unwrap() > 0);
}

#[tokio::test]
async fn a_process_that_does_not_serve_the_new_partitions_holds_a_growth_up_and_cannot_write_after_it() {
    let prefix = own_prefix();
    let old = open(&prefix, 2).await.unwrap();
    requested(&executor(&old), 1).await;
    let (stop, address) = (CancellationToken::new(), Address::parse(&shared_redis()).unwrap());
    // One that has stopped without a word holds nothing up, and is forgotten.
    let _: () = connect(&shared_redis()).await.hset(old.keys().serving(), "gone:1", "1000 2").await.unwrap();
    let guarded = tokio::spawn(guard::watch(old.clone(), address.clone(), stop.clone()));
    let new = open(&prefix, 4).await.unwrap();
    let mut connection = connect(&shared_redis()).await;
    eventually("the old process is noted", async || {
        connection.hlen::<_, u64>(new.keys().serving()).await.unwrap() == 1
    })
    .await;
    let refused = new.grow_within(NOTICE).await.unwrap_err().to_string();
    assert!(refused.contains("serves 2") && refused.contains("Restart it"), "{refused}");
    assert_eq!(new.keys().layout().generation, 0);
    // It stops, as a process that is restarted.
    stop.cancel();
    assert_eq!(guarded.await.unwrap(), None);
    assert_eq!(new.grow_within(NOTICE).await.unwrap().partitions(), 4);
    // One that was frozen meanwhile, and goes on.
    let refused = request(&executor(&old)).await.unwrap_err();
    assert!(matches!(refused, LogError::Partitions { configured: 2, used: 4, .. }), "{refused:?}");
    let found = guard::watch(old, address, CancellationToken::new()).await.unwrap().to_string();
    assert!(found.contains("grown to 4 partitions") && found.contains("restart it"), "{found}");
    // Without its layout, nobody knows where the jobs are.
    let layout: String = connection.get(new.keys().layout_key()).await.unwrap();
    let _: () = connection.del(new.keys().layout_key()).await.unwrap();
    for _ in 0..2 {
        let refused = open(&prefix, 4).await.map(drop).unwrap_err().to_string();
        assert!(refused.contains("it is gone, and the log has grown"), "{refused}");
    }
    // One that cannot be read stops a start, and the next look of a process that runs, which keeps the layout that it has.
    for damaged in ["", "0", "16 partitions", r#"{"generation":9}"#] {
        let _: () = connection.set(new.keys().layout_key(), damaged).await.unwrap();
        let refused = open(&prefix, 4).await.map(drop).unwrap_err().to_string();
        assert!(refused.contains("the layout of the log, cannot be read"), "{damaged}: {refused}");
        assert!(new.refresh_layout().await.is_err(), "{damaged}");
        assert_eq!(new.keys().layout().partitions(), 4);
    }
    let _: () = connection.set(new.keys().layout_key(), layout).await.unwrap();
    let refused = open(&prefix, 3).await.map(drop).unwrap_err().to_string();
    assert!(
        refused.contains("partitions is 3") && refused.contains("Set partitions to 4 or more"),
        "{refused}"
    );
    let refused = new.grow_within(NOTICE).await.unwrap_err();
    assert!(matches!(refused, LogError::NotMore { used: 4 }), "{refused:?}");
}

#[tokio::test]
async fn an_interrupted_growth_leaves_the_log_as_it_was_after_a_pause() {
    let prefix = own_prefix();
    let log = open(&prefix, 3).await.unwrap();
    requested(&executor(&log), 5).await;
    let mut connection = connect(&shared_redis()).await;
    for partition in log.keys().partitions() {
        let _: () = connection.set(log.keys().layout_fence(partition), 1).await.unwrap();
    }
    let began = Instant::now();
    let jobs = requested(&executor(&log), 5).await;
    assert!(began.elapsed() > Duration::from_secs(3), "it may have been about to end");
    assert_eq!(*log.keys().layout(), Layout { generation: 1, begun_with: 3, grown: vec![] });
    let fresh = open(&prefix, 5).await.unwrap();
    assert_eq!(fresh.history(jobs[0].aggregate(), 0).await.unwrap().len(), 3);
    assert_eq!(fresh.grow_within(NOTICE).await.unwrap().partitions(), 5, "it can be tried again");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_growths_at_the_same_time_one_holds() {
    let prefix = own_prefix();
    requested(&executor(&open(&prefix, 2).await.unwrap()), 1).await;
    let logs = [open(&prefix, 6).await.unwrap(), open(&prefix, 6).await.unwrap()];
    let (first, second) = tokio::join!(logs[0].grow_within(NOTICE), logs[1].grow_within(NOTICE));
    let grown = [first, second].into_iter().filter(Result::is_ok).count();
    assert_eq!(grown, 1);
    tokio::time::sleep(2 * NOTICE).await;
    for log in &logs {
        request(&executor(log)).await.unwrap();
        assert_eq!((log.keys().layout().grown.len(), log.keys().layout().partitions()), (1, 6));
    }
}

#[tokio::test]
async fn an_id_of_a_later_time_than_the_servers_is_refused() {
    let log = open(&own_prefix(), 2).await.unwrap();
    let now = Uuid::now_v7().get_timestamp().unwrap().to_unix().0;
    let made_at = |seconds| JobId(Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, 0)));
    let refused = request_as(&executor(&log), made_at(now + 600)).await.unwrap_err();
    assert!(matches!(refused, LogError::ClockAhead { .. }), "{refused:?}");
    assert!(refused.to_string().contains("the clock"), "{refused}");
    for partition in log.keys().partitions() {
        assert_eq!(log.head(partition).await.unwrap(), 0);
    }
    request_as(&executor(&log), made_at(now + 20)).await.unwrap();
    request_as(&executor(&log), made_at(1)).await.unwrap();
}

#[tokio::test]
async fn a_log_that_has_grown_is_restored_from_its_archive() {
    let (root, prefix) = (folder(), own_prefix());
    let key = SigningKey::parse(MASTER_KEY).unwrap();
    let archive = Archive::new(root.path(), vec![key.public_key()]);
    let log = open(&prefix, 2).await.unwrap();
    let mut jobs = requested(&executor(&log), 10).await;
    let log = open(&prefix, 5).await.unwrap();
    log.grow_within(NOTICE).await.unwrap();
    tokio::time::sleep(2 * NOTICE).await;
    jobs.extend(requested(&executor(&log), 20).await);
    for partition in log.keys().partitions() {
        archive::write_segments(&log, &archive, partition, 1000, true, &key).await.unwrap();
    }
    let restore = async |log: &EventLog| {
        for partition in log.keys().partitions() {
            archive::restore(log, &archive, partition).await?;
        }
        Ok::<_, archive::Error>(())
    };
    let unknown = open(&own_prefix(), 5).await.unwrap();
    let refused = restore(&unknown).await.unwrap_err().to_string();
    assert!(
        refused.contains("belongs to partition"),
        "events are never put where they are not found: {refused}"
    );
    archive.write_layout(&log.keys().layout()).await.unwrap();
    let restored = open(&own_prefix(), 5).await.unwrap();
    restore(&restored).await.unwrap();
    assert_eq!(restored.keys().layout(), log.keys().layout());
    assert_all_there(&restored, &jobs).await;
    for job in &jobs {
        let (there, was) = (restored.history(job.aggregate(), 0), log.history(job.aggregate(), 0));
        assert_eq!(there.await.unwrap(), was.await.unwrap());
    }
    let fewer = open(&own_prefix(), 4).await.unwrap();
    let refused = restore(&fewer).await.unwrap_err();
    let cause = std::error::Error::source(&refused).map(ToString::to_string).unwrap_or_default();
    assert!(cause.contains("partitions is 4"), "{refused}: {cause}");
}
