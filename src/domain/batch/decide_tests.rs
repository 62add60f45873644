//! Given these events, when this command comes, then these events follow.

use chrono::DateTime;
use uuid::Uuid;

use super::{Batch, Command, MAX_JOBS, Rejection};
use crate::domain::Aggregate;
use crate::events::batch::{EndStatus, JobShare, Totals};
use crate::events::{BatchEvent, Priority, Recorded, VideoRequest};
use crate::ids::{BatchId, JobId};

const BATCH: BatchId = BatchId(Uuid::from_u128(7));

fn job(index: u32) -> JobId {
    JobId::of_batch(BATCH, index)
}

fn request(jobs: usize) -> Command {
    Command::Request {
        batch_id: BATCH,
        user_id: "user_1".into(),
        name: Some("Chemistry".into()),
        priority: Priority::High,
        requests: vec![VideoRequest::of_script("Ions", "They move."); jobs],
    }
}

fn share(index: u32, status: EndStatus) -> JobShare {
    let (video_ms, video_bytes) = if status == EndStatus::Completed { (2000, 300) } else { (0, 0) };
    JobShare { job_id: job(index), status, processing_ms: 1000, video_ms, video_bytes }
}

fn fold(events: &[BatchEvent]) -> Batch {
    (1..).zip(events).fold(Batch::default(), |batch, (version, event)| {
        batch.evolve(&Recorded { version, recorded_at: DateTime::UNIX_EPOCH, event: event.clone() })
    })
}

/// The events after each command has been decided about in turn.
fn after(commands: impl IntoIterator<Item = Command>) -> Vec<BatchEvent> {
    let mut events = vec![];
    for command in commands {
        events.extend(fold(&events).decide(command).unwrap());
    }
    events
}

fn when(given: &[BatchEvent], command: Command) -> Result<Vec<BatchEvent>, Rejection> {
    fold(given).decide(command)
}

// 002-10.1
#[test]
fn a_request_is_recorded_whole_with_the_ids_of_its_jobs() {
    let events = after([request(2)]);
    let BatchEvent::BatchRequested { job_ids, batch_name, .. } = &events[0] else { panic!("{events:?}") };
    assert_eq!((job_ids.as_slice(), batch_name.as_deref()), (&[job(0), job(1)][..], Some("Chemistry")));
    for (index, event) in events[1..].iter().enumerate() {
        let BatchEvent::BatchJobRequested(requested) = event else { panic!("{event:?}") };
        assert_eq!((requested.index, requested.requested.batch_id), (index as u32, Some(BATCH)));
    }
    assert_eq!(events.len(), 3);
}

#[test]
fn a_batch_is_requested_once_and_is_neither_empty_nor_too_large() {
    assert_eq!(when(&after([request(2)]), request(2)), Err(Rejection::AlreadyRequested));
    assert_eq!(when(&[], request(0)), Err(Rejection::Size { count: 0 }));
    assert_eq!(when(&[], request(MAX_JOBS + 1)), Err(Rejection::Size { count: MAX_JOBS + 1 }));
    assert_eq!(when(&[], request(MAX_JOBS)).unwrap().len(), MAX_JOBS + 1);
}

// 002-10.4
#[test]
fn it_is_completed_when_the_last_job_has_ended_however_each_did() {
    let given = after([request(3), Command::NoteEnd(share(1, EndStatus::Failed))]);
    let next = share(0, EndStatus::Completed);
    assert_eq!(when(&given, Command::NoteEnd(next)), Ok(vec![BatchEvent::BatchJobEnded(next)]));
    let given = after([
        request(3),
        Command::NoteEnd(share(1, EndStatus::Failed)),
        Command::NoteEnd(share(0, EndStatus::Completed)),
    ]);
    let last = share(2, EndStatus::Cancelled);
    let totals = Totals {
        completed: 1,
        failed: 1,
        cancelled: 1,
        processing_ms: 3000,
        video_ms: 2000,
        video_bytes: 300,
    };
    let expected = vec![BatchEvent::BatchJobEnded(last), BatchEvent::BatchCompleted(totals)];
    assert_eq!(when(&given, Command::NoteEnd(last)), Ok(expected));
}

#[test]
fn an_end_that_is_noted_again_is_no_news() {
    let end = || Command::NoteEnd(share(0, EndStatus::Completed));
    assert_eq!(when(&after([request(1), end()]), end()), Ok(vec![]));
}

#[test]
fn a_job_that_begins_again_opens_the_batch_until_it_has_ended_once_more() {
    let reopened = || Command::NoteReopened { job_id: job(0) };
    assert_eq!(when(&after([request(1)]), reopened()), Ok(vec![]), "it had not ended");
    let given = after([request(1), Command::NoteEnd(share(0, EndStatus::Failed)), reopened()]);
    assert_eq!(given.last(), Some(&BatchEvent::BatchJobReopened { job_id: job(0) }));
    assert_eq!(fold(&given).completed_at, None);
    let ended = when(&given, Command::NoteEnd(share(0, EndStatus::Completed))).unwrap();
    assert!(matches!(&ended[..], [_, BatchEvent::BatchCompleted(Totals { completed: 1, failed: 0, .. })]));
}

#[test]
fn what_is_no_part_of_it_is_refused() {
    let stranger = JobShare { job_id: job(9), ..share(0, EndStatus::Completed) };
    let given = after([request(1)]);
    assert_eq!(when(&given, Command::NoteEnd(stranger)), Err(Rejection::NoMember(job(9))));
    let reopened = Command::NoteReopened { job_id: job(9) };
    assert_eq!(when(&given, reopened), Err(Rejection::NoMember(job(9))));
    assert_eq!(when(&[], Command::EraseContent), Err(Rejection::Unknown));
    assert_eq!(when(&[], Command::NoteEnd(stranger)), Err(Rejection::Unknown));
}

#[test]
fn its_name_is_erased_once() {
    let given = after([request(1), Command::EraseContent]);
    assert_eq!((fold(&given).name, fold(&given).is_erased), (None, true));
    assert_eq!(when(&given, Command::EraseContent), Ok(vec![]));
}
