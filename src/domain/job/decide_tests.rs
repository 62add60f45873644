//! Given these events, when this command comes, then these events follow.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Command, Job, Outcome, Rejection, SidecarAttempt, SidecarOutcome, Status, UploadNote, decide};
use crate::events::imported::{ImportedEnding, JobImported};
use crate::events::job::{
    Clip, Failure, FileRole, JobRequested, ModelCalled, NarratedScene, RecordedJobEvent, ReviewVerdict,
    SceneReviewed, SceneStream, Sidecar, SidecarFailed, SidecarStored, StageMeasured, StorageTarget,
    StoredFile, Thumbnail, ThumbnailSize, Usage, VideoFacts, WorkItem,
};
use crate::events::{JobEvent, OutputFormat, Priority, Quality, Rendition, Stage, VideoRequest};
use reel_scene::{RichText, Scene, SceneTimeline, Step};

struct Given(Vec<JobEvent>);

fn given(events: impl IntoIterator<Item = JobEvent>) -> Given {
    Given(events.into_iter().collect())
}

impl Given {
    fn job(&self) -> Job {
        let recorded: Vec<_> = (1..)
            .zip(&self.0)
            .map(|(version, event)| RecordedJobEvent {
                version,
                recorded_at: DateTime::<Utc>::MIN_UTC,
                event: event.clone(),
            })
            .collect();
        Job::fold(&recorded)
    }

    fn when(self, command: Command) -> Then {
        let decided = decide(&self.job(), command);
        Then { given: self, decided }
    }
}

struct Then {
    given: Given,
    decided: Result<Vec<JobEvent>, Rejection>,
}

impl Then {
    #[track_caller]
    fn then(self, expected: impl IntoIterator<Item = JobEvent>) {
        assert_eq!(self.decided.unwrap(), expected.into_iter().collect::<Vec<_>>());
    }

    #[track_caller]
    fn then_nothing(self) {
        self.then([]);
    }

    #[track_caller]
    fn then_rejected(self, rejection: Rejection) {
        assert_eq!(self.decided.unwrap_err(), rejection);
    }

    /// Goes on from what was decided.
    #[track_caller]
    fn and(self) -> Given {
        let Then { mut given, decided } = self;
        given.0.extend(decided.unwrap());
        given
    }
}

fn requested() -> JobRequested {
    JobRequested {
        user_id: "user_1".into(),
        request: VideoRequest::of_script("Batteries", "Ions move.").into(),
        batch_id: None,
    }
}

fn scene(title: &str) -> Scene {
    Scene {
        title: title.into(),
        blocks: vec![reel_scene::Block::Paragraph { text: RichText::plain("x") }],
        steps: vec![Step::new("x.", vec![])],
        ..Scene::default()
    }
}

fn rendered(clip: Clip) -> Outcome {
    Outcome::Rendered { clip, warnings: vec![] }
}

fn clip(file: &str) -> Clip {
    Clip {
        artifact: None,
        file: file.into(),
        frames: 30,
        duration_ms: 1000,
        bytes: 10,
        reused: false,
        renditions: vec![],
        streams: vec![],
    }
}

fn whole(stage: Stage) -> WorkItem {
    WorkItem { stage, scene: None, attempt: 1 }
}

fn of_scene(stage: Stage, scene: u32) -> WorkItem {
    WorkItem { stage, scene: Some(scene), attempt: 1 }
}

fn finish(item: WorkItem, outcome: Outcome) -> Command {
    Command::FinishWork { item, outcome, scene_limit: 16 }
}

fn narrated(scene: u32) -> NarratedScene {
    let timeline = SceneTimeline { fps: 30, frames: 30, steps: vec![] };
    NarratedScene { scene, narration: format!("narration/{scene}.wav"), timeline, artifact: None }
}

fn code() -> Outcome {
    Outcome::CodeGenerated { language: "typst".into(), code: "#page()".into(), warnings: vec![] }
}

fn failure() -> Failure {
    Failure {
        code: "DISK_FULL".into(),
        message: "no space left".into(),
        retryable: false,
        suggestion: None,
        causes: vec![],
    }
}

fn narration(scene: u32) -> Outcome {
    Outcome::SceneNarrated { voice: "v".into(), narrated: narrated(scene), warnings: vec![] }
}

/// A job of two scenes that are planned: both narrations are open.
fn planned_job() -> Given {
    given([])
        .when(Command::Request(requested()))
        .and()
        .when(finish(whole(Stage::Initializing), Outcome::Initialized))
        .and()
        .when(finish(
            whole(Stage::Planning),
            Outcome::Planned { scenes: vec![scene("a"), scene("b")], attempts: vec![], warnings: vec![] },
        ))
        .and()
}

/// Both code generations are open.
fn narrated_job() -> Given {
    planned_job()
        .when(finish(of_scene(Stage::ScenarioCreation, 0), narration(0)))
        .and()
        .when(finish(of_scene(Stage::ScenarioCreation, 1), narration(1)))
        .and()
}

fn rendering_job() -> Given {
    narrated_job()
        .when(finish(of_scene(Stage::CodeGeneration, 0), code()))
        .and()
        .when(finish(of_scene(Stage::CodeGeneration, 1), code()))
        .and()
}

// 000-1.1, 000-1.3
#[test]
fn a_request_is_recorded_queued_and_scheduled() {
    given([]).when(Command::Request(requested())).then([
        JobEvent::JobRequested(requested()),
        JobEvent::JobQueued { priority: Priority::Normal },
        JobEvent::StageScheduled(whole(Stage::Initializing)),
    ]);
}

#[test]
fn a_job_is_requested_once() {
    given([])
        .when(Command::Request(requested()))
        .and()
        .when(Command::Request(requested()))
        .then_rejected(Rejection::AlreadyRequested);
}

#[test]
fn an_unknown_job_does_no_work() {
    given([]).when(Command::StartWork(whole(Stage::Planning))).then_rejected(Rejection::Unknown);
}

// 000-2.2
#[test]
fn the_first_start_of_a_stage_makes_the_job_processing() {
    let started = given([])
        .when(Command::Request(requested()))
        .and()
        .when(Command::StartWork(whole(Stage::Initializing)));
    let job = started.and().job();
    assert_eq!(job.status, Status::Processing);
    assert_eq!(job.percentage, 5.0);
}

#[test]
fn a_second_scene_does_not_start_the_stage_again() {
    rendering_job()
        .when(Command::StartWork(of_scene(Stage::Rendering, 0)))
        .and()
        .when(Command::StartWork(of_scene(Stage::Rendering, 1)))
        .then_nothing();
}

#[test]
fn a_plan_fans_out_over_its_scenes() {
    given([])
        .when(Command::Request(requested()))
        .and()
        .when(finish(whole(Stage::Initializing), Outcome::Initialized))
        .and()
        .when(finish(
            whole(Stage::Planning),
            Outcome::Planned { scenes: vec![scene("a")], attempts: vec![], warnings: vec![] },
        ))
        .then([
            JobEvent::ScenePlanned { scene: 0, description: scene("a") },
            JobEvent::StageCompleted { stage: Stage::Planning, percentage: 30.0 },
            JobEvent::StageScheduled(of_scene(Stage::ScenarioCreation, 0)),
        ]);
}

#[test]
fn a_scene_goes_on_while_others_are_still_spoken() {
    let first = planned_job().when(finish(of_scene(Stage::ScenarioCreation, 0), narration(0)));
    let first = first.and();
    assert_eq!(first.0.last(), Some(&JobEvent::StageScheduled(of_scene(Stage::CodeGeneration, 0))));
    let coded = first.when(finish(of_scene(Stage::CodeGeneration, 0), code())).and();
    assert_eq!(coded.0.last(), Some(&JobEvent::StageScheduled(of_scene(Stage::Rendering, 0))));
    let rendered = coded.when(finish(of_scene(Stage::Rendering, 0), rendered(clip("0.mp4")))).and();
    let job = rendered.job();
    assert!(!job.has_completed(Stage::ScenarioCreation) && !job.has_completed(Stage::Rendering));
    assert!(job.open_work.iter().copied().eq([of_scene(Stage::ScenarioCreation, 1)]));
    assert_eq!(job.percentage, 85.0);
}

#[test]
fn a_scene_is_rendered_when_it_is_known_where_it_begins() {
    let second = planned_job().when(finish(of_scene(Stage::ScenarioCreation, 1), narration(1))).and();
    let second = second.when(finish(of_scene(Stage::CodeGeneration, 1), code())).and();
    assert!(!second.job().is_scheduled(Stage::Rendering, 1), "the scene before it is not measured yet");
    let job = second.when(finish(of_scene(Stage::ScenarioCreation, 0), narration(0))).and().job();
    assert!(job.is_scheduled(Stage::Rendering, 1) && !job.is_scheduled(Stage::Rendering, 0));
}

#[test]
fn a_requested_duration_needs_all_lines_first() {
    let mut requested = requested();
    requested.request.duration_seconds = Some(60);
    let scenes = vec![scene("a"), scene("b")];
    let planned = given([])
        .when(Command::Request(requested))
        .and()
        .when(finish(whole(Stage::Initializing), Outcome::Initialized))
        .and()
        .when(finish(whole(Stage::Planning), Outcome::Planned { scenes, attempts: vec![], warnings: vec![] }))
        .and();
    assert_eq!(planned.0.last(), Some(&JobEvent::StageScheduled(whole(Stage::ScenarioCreation))));
    let outcome =
        Outcome::Narrated { voice: "v".into(), scenes: vec![narrated(0), narrated(1)], warnings: vec![] };
    let job = planned.when(finish(whole(Stage::ScenarioCreation), outcome)).and().job();
    assert!(job.has_completed(Stage::ScenarioCreation));
    let open = [of_scene(Stage::CodeGeneration, 0), of_scene(Stage::CodeGeneration, 1)];
    assert!(job.open_work.iter().copied().eq(open));
}

#[test]
fn the_narration_of_another_scene_is_refused() {
    planned_job().when(finish(of_scene(Stage::ScenarioCreation, 0), narration(1))).then_rejected(
        Rejection::WrongOutcome {
            stage: Stage::ScenarioCreation,
            reason: "it is the narration of another scene",
        },
    );
}

#[test]
fn an_empty_plan_is_refused() {
    given([])
        .when(Command::Request(requested()))
        .and()
        .when(finish(whole(Stage::Initializing), Outcome::Initialized))
        .and()
        .when(finish(
            whole(Stage::Planning),
            Outcome::Planned { scenes: vec![], attempts: vec![], warnings: vec![] },
        ))
        .then_rejected(Rejection::WrongOutcome {
            stage: Stage::Planning,
            reason: "a plan has at least one scene",
        });
}

#[test]
fn narration_fans_out_over_the_scenes() {
    let job = narrated_job().job();
    let open: Vec<_> = job.open_work.iter().copied().collect();
    assert_eq!(open, [of_scene(Stage::CodeGeneration, 0), of_scene(Stage::CodeGeneration, 1)]);
    assert_eq!(job.percentage, 50.0);
}

#[test]
fn a_scene_that_is_not_the_last_moves_the_bar_and_goes_on() {
    narrated_job().when(finish(of_scene(Stage::CodeGeneration, 1), code())).then([
        JobEvent::SceneCodeGenerated {
            scene: 1,
            language: "typst".into(),
            code: "#page()".into(),
            percentage: 65.0,
        },
        JobEvent::StageScheduled(of_scene(Stage::Rendering, 1)),
    ]);
}

#[test]
fn the_last_scene_completes_the_stage() {
    narrated_job()
        .when(finish(of_scene(Stage::CodeGeneration, 1), code()))
        .and()
        .when(finish(of_scene(Stage::CodeGeneration, 0), code()))
        .then([
            JobEvent::SceneCodeGenerated {
                scene: 0,
                language: "typst".into(),
                code: "#page()".into(),
                percentage: 80.0,
            },
            JobEvent::StageCompleted { stage: Stage::CodeGeneration, percentage: 80.0 },
            JobEvent::StageScheduled(of_scene(Stage::Rendering, 0)),
        ]);
}

#[test]
fn a_second_result_of_the_same_scene_is_refused() {
    narrated_job()
        .when(finish(of_scene(Stage::CodeGeneration, 1), code()))
        .and()
        .when(finish(of_scene(Stage::CodeGeneration, 1), code()))
        .then_rejected(Rejection::WorkNotOpen("code_generation:1".into()));
}

#[test]
fn a_result_of_another_stage_is_refused() {
    rendering_job().when(finish(of_scene(Stage::Rendering, 0), code())).then_rejected(
        Rejection::WrongOutcome { stage: Stage::Rendering, reason: "it is the result of another stage" },
    );
}

#[test]
fn progress_never_falls_and_is_silent_when_nothing_moved() {
    let half =
        |scene| Command::ReportProgress { item: of_scene(Stage::Rendering, scene), done: 50, total: 100 };
    let moved = rendering_job().when(half(0)).and();
    assert_eq!(moved.job().percentage, 82.5);
    moved.when(half(1)).then_nothing();
}

#[test]
fn a_stream_begins_once_with_each_first_segment() {
    let stream = |bytes| SceneStream {
        rendition: Rendition { quality: Quality::Medium, format: OutputFormat::Mp4 },
        key: "users/u/jobs/j/beginning/720p-00.m4s".to_owned(),
        bytes,
        blake3: String::new(),
        codecs: String::new(),
        setup_bytes: 1,
        segments: vec![],
    };
    let note = |bytes| Command::NoteStreamBegan {
        item: of_scene(Stage::Rendering, 0),
        duration_ms: 2000,
        streams: vec![stream(bytes)],
    };
    let began = |bytes| JobEvent::StreamBegan { duration_ms: 2000, streams: vec![stream(bytes)] };
    rendering_job().when(note(7)).then([began(7)]);
    let begun = || rendering_job().when(note(7)).and();
    assert!(begun().job().playable_at.is_some(), "a viewer may be there from now on");
    begun().when(note(7)).then_nothing();
    begun().when(note(8)).then([began(8)]);
    failed_job().when(note(7)).then_rejected(Rejection::AlreadyEnded);
    let none =
        Command::NoteStreamBegan { item: of_scene(Stage::Rendering, 0), duration_ms: 0, streams: vec![] };
    rendering_job().when(none).then_nothing();
}

#[test]
fn progress_beyond_the_end_stays_within_the_stage() {
    let item = of_scene(Stage::Rendering, 0);
    let job = rendering_job().when(Command::ReportProgress { item, done: 500, total: 100 }).and().job();
    assert_eq!(job.percentage, 85.0);
}

// 000-2.5, 000-5.2
#[test]
fn a_failed_stage_fails_the_job() {
    rendering_job()
        .when(Command::FailWork {
            item: of_scene(Stage::Rendering, 1),
            error: failure(),
            most_attempts: 3,
            delay_ms: 700,
        })
        .then([
            JobEvent::StageFailed { stage: Stage::Rendering, scene: Some(1), attempt: 1, error: failure() },
            JobEvent::JobFailed { stage: Stage::Rendering, error: failure() },
        ]);
}

fn lost() -> Failure {
    Failure {
        code: "WORKER_LOST".into(),
        message: "a worker stopped".into(),
        retryable: true,
        suggestion: None,
        causes: vec![],
    }
}

fn lose(attempt: u32) -> Command {
    let item = WorkItem { attempt, ..of_scene(Stage::Rendering, 1) };
    Command::FailWork { item, error: lost(), most_attempts: 2, delay_ms: 700 }
}

// 001-4.4
#[test]
fn a_retryable_failure_is_tried_again() {
    let again = WorkItem { attempt: 2, ..of_scene(Stage::Rendering, 1) };
    rendering_job().when(lose(1)).then([
        JobEvent::StageFailed { stage: Stage::Rendering, scene: Some(1), attempt: 1, error: lost() },
        JobEvent::StageRetryScheduled { item: again, delay_ms: 700 },
    ]);
}

// 001-4.5
#[test]
fn the_last_attempt_fails_the_job() {
    rendering_job().when(lose(1)).and().when(lose(2)).then([
        JobEvent::StageFailed { stage: Stage::Rendering, scene: Some(1), attempt: 2, error: lost() },
        JobEvent::JobFailed { stage: Stage::Rendering, error: lost() },
    ]);
}

#[test]
fn a_result_of_an_attempt_that_was_given_up_is_refused() {
    rendering_job()
        .when(lose(1))
        .and()
        .when(finish(of_scene(Stage::Rendering, 1), rendered(clip("1.mp4"))))
        .then_rejected(Rejection::WorkNotOpen("rendering:1".into()));
}

#[test]
fn a_result_after_the_end_is_refused() {
    rendering_job()
        .when(Command::FailWork {
            item: of_scene(Stage::Rendering, 1),
            error: failure(),
            most_attempts: 3,
            delay_ms: 700,
        })
        .and()
        .when(finish(of_scene(Stage::Rendering, 0), rendered(clip("0.mp4"))))
        .then_rejected(Rejection::AlreadyEnded);
}

fn video() -> VideoFacts {
    VideoFacts {
        duration_ms: 2000,
        width: 1920,
        height: 1080,
        fps: 30.0,
        frames: 60,
        video_codec: "h264".into(),
        audio_codec: "aac".into(),
        bitrate: 1,
        file_size: 20,
        technical: None,
    }
}

#[test]
fn a_stored_video_completes_the_job() {
    let thumbnail =
        Thumbnail { size: ThumbnailSize::Small, width: 320, height: 180, file: "t.jpg".into(), bytes: 1 };
    let video = video();
    let target = StorageTarget::Local;
    let job = rendering_job()
        .when(finish(of_scene(Stage::Rendering, 0), rendered(clip("0.mp4"))))
        .and()
        .when(finish(of_scene(Stage::Rendering, 1), rendered(clip("1.mp4"))))
        .and()
        .when(finish(
            whole(Stage::Combining),
            Outcome::Combined { clip: clip("v.mp4"), thumbnails: vec![thumbnail.clone()], warnings: vec![] },
        ))
        .and()
        .when(finish(
            whole(Stage::Storage),
            Outcome::Stored { video_id: Uuid::nil(), target, files: vec![], video, failed: vec![] },
        ))
        .and()
        .job();
    assert_eq!(job.status, Status::Completed);
    assert_eq!(job.percentage, 100.0);
    assert_eq!(job.thumbnails, [thumbnail]);
    assert!(job.open_work.is_empty());
    assert!(Stage::ALL.iter().all(|stage| job.stages[stage].completed_at.is_some()));
}

fn cancel() -> Command {
    Command::Cancel { reason: None }
}

fn cancelled(stage: Option<Stage>) -> [JobEvent; 2] {
    [JobEvent::CancelRequested { reason: None }, JobEvent::JobCancelled { stage }]
}

#[test]
fn a_queued_running_or_retrying_job_is_cancelled() {
    given([]).when(Command::Request(requested())).and().when(cancel()).then(cancelled(None));
    let started = rendering_job().when(Command::StartWork(of_scene(Stage::Rendering, 0))).and();
    started.when(cancel()).then(cancelled(Some(Stage::Rendering)));
    let job = rendering_job().when(lose(1)).and().when(cancel()).and().job();
    assert_eq!(job.status, Status::Cancelled);
    assert!(job.open_work.is_empty(), "nothing is tried again");
}

#[test]
fn a_result_that_comes_after_cancelling_is_refused() {
    rendering_job()
        .when(cancel())
        .and()
        .when(finish(of_scene(Stage::Rendering, 0), rendered(clip("0.mp4"))))
        .then_rejected(Rejection::AlreadyEnded);
}

#[test]
fn what_has_ended_cannot_be_cancelled() {
    rendering_job().when(cancel()).and().when(cancel()).then_rejected(Rejection::AlreadyEnded);
    given([]).when(cancel()).then_rejected(Rejection::Unknown);
}

fn failed_job() -> Given {
    rendering_job().when(lose(1)).and().when(lose(2)).and()
}

#[test]
fn a_failed_job_begins_again_where_its_events_suffice() {
    let from = Stage::ScenarioCreation;
    let again = failed_job().when(Command::Reprocess { from: None }).and();
    assert_eq!(
        again.0[again.0.len() - 2..],
        [
            JobEvent::JobReprocessRequested { from },
            JobEvent::StageScheduled(WorkItem { attempt: 2, ..of_scene(from, 0) }),
        ]
    );
    let job = again.job();
    assert_eq!((job.status, &job.failure), (Status::Queued, &None));
    assert_eq!(job.scenes.len(), 2, "the plan stands");
    assert!(job.scenes.iter().all(|scene| scene.narrated.is_none() && scene.code.is_none()));
    assert!(!job.has_started(from) && job.has_completed(Stage::Planning));
    assert_eq!(job.percentage, 80.0, "the bar never falls");
}

#[test]
fn an_attempt_from_before_the_job_began_again_is_refused() {
    let narrated_again = failed_job()
        .when(Command::Reprocess { from: None })
        .and()
        .when(finish(WorkItem { attempt: 2, ..of_scene(Stage::ScenarioCreation, 0) }, narration(0)))
        .and()
        .when(finish(WorkItem { attempt: 2, ..of_scene(Stage::ScenarioCreation, 1) }, narration(1)))
        .and();
    let again = |scene| WorkItem { attempt: 2, ..of_scene(Stage::CodeGeneration, scene) };
    assert!(narrated_again.job().open_work.iter().copied().eq([again(0), again(1)]));
    narrated_again
        .when(finish(of_scene(Stage::CodeGeneration, 0), code()))
        .then_rejected(Rejection::WorkNotOpen("code_generation:0".into()));
}

#[test]
fn a_job_that_began_again_has_all_its_attempts_again() {
    let item = WorkItem { attempt: 2, ..of_scene(Stage::ScenarioCreation, 0) };
    let again = failed_job().when(Command::Reprocess { from: None }).and();
    let fail = |attempt| Command::FailWork {
        item: WorkItem { attempt, ..item },
        error: lost(),
        most_attempts: 2,
        delay_ms: 0,
    };
    let retried = again.when(fail(2)).and();
    assert_eq!(
        retried.0.last(),
        Some(&JobEvent::StageRetryScheduled { item: WorkItem { attempt: 3, ..item }, delay_ms: 0 })
    );
    assert_eq!(retried.when(fail(3)).and().job().status, Status::Failed);
}

#[test]
fn a_job_cannot_begin_again_where_files_are_missing() {
    let latest = Stage::ScenarioCreation;
    failed_job()
        .when(Command::Reprocess { from: Some(Stage::Rendering) })
        .then_rejected(Rejection::TooLate { from: Stage::Rendering, latest });
    rendering_job()
        .when(Command::Reprocess { from: None })
        .then_rejected(Rejection::NotReprocessable("still going on"));
}

#[test]
fn a_failure_is_put_aside_once() {
    let discard = || Command::Discard { reason: Some("a test".into()) };
    let discarded = failed_job().when(discard()).and();
    assert!(discarded.job().is_discarded);
    discarded.when(discard()).then_rejected(Rejection::NoDeadLetter);
    rendering_job().when(discard()).then_rejected(Rejection::NoDeadLetter);
}

fn plan_of(scenes: usize, scene_limit: u32) -> Given {
    let finish = |item, outcome| Command::FinishWork { item, outcome, scene_limit };
    let scenes: Vec<_> = (0..scenes).map(|_| scene("s")).collect();
    let count = scenes.len() as u32;
    let planned = given([])
        .when(Command::Request(requested()))
        .and()
        .when(finish(whole(Stage::Initializing), Outcome::Initialized))
        .and()
        .when(finish(whole(Stage::Planning), Outcome::Planned { scenes, attempts: vec![], warnings: vec![] }))
        .and();
    (0..count).fold(planned, |given, scene| {
        given.when(finish(of_scene(Stage::ScenarioCreation, scene), narration(scene))).and()
    })
}

// 001-6.3
#[test]
fn no_more_scenes_than_the_limit_are_open_at_a_time() {
    let mut given = plan_of(5, 2);
    let mut done = vec![];
    while !given.job().has_completed(Stage::CodeGeneration) {
        let job = given.job();
        let open =
            |stage| -> Vec<_> { job.open_work.iter().copied().filter(|item| item.stage == stage).collect() };
        assert!(open(Stage::Rendering).len() <= 2, "{:?}", job.open_work);
        let open = open(Stage::CodeGeneration);
        assert!(open.len() <= 2, "{open:?}");
        // The later one first: order does not matter.
        let item = *open.last().unwrap();
        done.push(item.scene.unwrap());
        given = given.when(Command::FinishWork { item, outcome: code(), scene_limit: 2 }).and();
    }
    done.sort_unstable();
    assert_eq!(done, [0, 1, 2, 3, 4], "every scene, once");
    assert_eq!(given.job().open_work.len(), 2, "as many are rendered");
}

#[test]
fn a_higher_limit_takes_effect_with_the_next_result() {
    let item = of_scene(Stage::CodeGeneration, 0);
    let job = plan_of(5, 1).when(Command::FinishWork { item, outcome: code(), scene_limit: 3 }).and().job();
    let coding = job.open_work.iter().filter(|open| open.stage == Stage::CodeGeneration);
    assert_eq!(coding.count(), 3);
}

#[test]
fn an_ended_job_is_deleted_once_and_stays_so() {
    given([]).when(Command::Delete).then_rejected(Rejection::Unknown);
    rendering_job().when(Command::Delete).then_rejected(Rejection::NotEnded);
    failed_job().when(Command::Delete).then([JobEvent::JobDeleted {}]);
    let deleted = || failed_job().when(Command::Delete).and();
    deleted().when(Command::Delete).then_nothing();
    deleted().when(Command::Reprocess { from: None }).then_rejected(Rejection::Deleted);
    deleted().when(Command::Discard { reason: None }).then_rejected(Rejection::NoDeadLetter);
    deleted().when(Command::EraseContent).then([JobEvent::ContentErased {}]);
}

#[test]
fn the_files_of_a_deleted_job_are_noted_as_removed_once() {
    failed_job().when(Command::NoteFilesRemoved).then_rejected(Rejection::NotDeleted);
    let deleted = failed_job().when(Command::Delete).and();
    let removed = deleted.when(Command::NoteFilesRemoved);
    removed.and().when(Command::NoteFilesRemoved).then_nothing();
}

#[test]
fn the_stream_of_a_job_that_failed_is_noted_as_removed_once_until_it_begins_again() {
    given([]).when(Command::NoteStreamRemoved).then_rejected(Rejection::Unknown);
    rendering_job().when(Command::NoteStreamRemoved).then_rejected(Rejection::NoPartialStream);
    failed_job().when(Command::NoteStreamRemoved).then([JobEvent::PartialStreamRemoved {}]);
    let removed = || failed_job().when(Command::NoteStreamRemoved).and();
    removed().when(Command::NoteStreamRemoved).then_nothing();
    let again = removed().when(Command::Reprocess { from: None }).and();
    assert!(!again.job().are_files_removed);
}

fn usage(cpu_ms: u64, wall_ms: u64) -> Usage {
    Usage { cpu_ms, wall_ms, peak_memory_bytes: 4096 }
}

// 000-6.2
#[test]
fn what_an_attempt_took_is_recorded_before_how_it_ended() {
    let item = of_scene(Stage::Rendering, 1);
    let measure = |usage, ending| Command::Measure { item, usage, ending: Box::new(ending) };
    let failed = || Command::FailWork { item, error: failure(), most_attempts: 3, delay_ms: 0 };
    let measured = JobEvent::StageMeasured(StageMeasured {
        stage: Stage::Rendering,
        scene: Some(1),
        attempt: 1,
        usage: usage(2, 10),
    });
    rendering_job().when(measure(usage(2, 10), failed())).then([
        measured,
        JobEvent::StageFailed { stage: Stage::Rendering, scene: Some(1), attempt: 1, error: failure() },
        JobEvent::JobFailed { stage: Stage::Rendering, error: failure() },
    ]);
    let events = rendering_job().when(measure(usage(9, 9), failed())).decided.unwrap();
    assert_eq!(events.len(), 2, "what takes next to nothing is not worth an event");
    let stale = WorkItem { attempt: 7, ..item };
    let outcome = rendered(clip("1.mp4"));
    rendering_job()
        .when(measure(usage(20, 20), finish(stale, outcome)))
        .then_rejected(Rejection::WorkNotOpen("rendering:1".into()));
}

// 000-5.4, 001-4.5
#[test]
fn a_request_says_how_often_its_work_is_tried_again() {
    let of = |retries: Option<u32>| {
        let mut requested = requested();
        requested.request.retry_attempts = retries;
        let item = whole(Stage::Initializing);
        let mut job = given([]).when(Command::Request(requested)).and();
        for attempt in 1.. {
            let item = WorkItem { attempt, ..item };
            job = job.when(Command::FailWork { item, error: lost(), most_attempts: 2, delay_ms: 0 }).and();
            if job.job().has_ended() {
                return attempt;
            }
        }
        unreachable!("it fails some time")
    };
    assert_eq!((of(None), of(Some(0)), of(Some(10))), (2, 1, 11));
}

/// All scenes are rendered and joined.
fn joined_job() -> Given {
    rendering_job()
        .when(finish(of_scene(Stage::Rendering, 0), rendered(clip("0.mp4"))))
        .and()
        .when(finish(of_scene(Stage::Rendering, 1), rendered(clip("1.mp4"))))
        .and()
        .when(finish(
            whole(Stage::Combining),
            Outcome::Combined { clip: clip("v.mp4"), thumbnails: vec![], warnings: vec![] },
        ))
        .and()
}

#[test]
fn a_job_that_could_not_be_stored_is_joined_again_and_nothing_else() {
    let error = Failure { code: "FROM_S3".into(), ..failure() };
    let item = whole(Stage::Storage);
    let fail = Command::FailWork { item, error, most_attempts: 3, delay_ms: 0 };
    let again = joined_job().when(fail).and().when(Command::Reprocess { from: None }).and();
    let joining = WorkItem { attempt: 2, ..whole(Stage::Combining) };
    assert_eq!(
        again.0[again.0.len() - 2..],
        [JobEvent::JobReprocessRequested { from: Stage::Combining }, JobEvent::StageScheduled(joining),]
    );
    let outcome = Outcome::Combined { clip: clip("v.mp4"), thumbnails: vec![], warnings: vec![] };
    let joined = again.when(finish(joining, outcome)).and().job();
    let open: Vec<Stage> = joined.open_work.iter().map(|open| open.stage).collect();
    assert_eq!(open, [Stage::Storage], "no scene is made again");
}

#[test]
fn what_happens_to_uploads_is_recorded_while_they_go_on() {
    let item = whole(Stage::Storage);
    let (from, to) = (StorageTarget::LocalAndS3, StorageTarget::Local);
    let fell_back = UploadNote::FellBack { from, to, error: failure() };
    let noted = joined_job().when(Command::NoteUpload { item, note: fell_back.clone() });
    noted.then([JobEvent::StorageFellBack { from, to, error: failure() }]);
    let progress = Command::ReportProgress { item, done: 1, total: 2 };
    let events = decide(&joined_job().job(), progress).unwrap();
    assert!(matches!(&events[..], [JobEvent::UploadProgressed(progressed)] if progressed.done == 1));
    rendering_job()
        .when(Command::NoteUpload { item, note: fell_back })
        .then_rejected(Rejection::WorkNotOpen("storage".into()));
}

#[test]
fn calls_and_looks_of_models_are_recorded_while_their_work_is_open_and_add_up() {
    let item = whole(Stage::Planning);
    let call = |stage, attempt| ModelCalled {
        stage,
        scene: None,
        attempt,
        model: "openai/m".into(),
        role: "planner".into(),
        call_attempt: 1,
        input_tokens: 30,
        output_tokens: 12,
        micro_dollars: 7,
        duration_ms: 5,
        outcome: "answered".into(),
    };
    let note = || Command::NoteModelCall { item, call: call(Stage::Storage, 9).into() };
    let planning = || {
        given([
            JobEvent::JobRequested(requested()),
            JobEvent::JobQueued { priority: Priority::Normal },
            JobEvent::StageScheduled(item),
        ])
    };
    planning().when(note()).then([JobEvent::ModelCalled(call(Stage::Planning, 1))]);
    let job = planning().when(note()).and().when(note()).and().job();
    assert_eq!((job.model_tokens, job.model_micro_dollars), (84, 14));
    planned_job().when(note()).then_rejected(Rejection::WorkNotOpen("planning".into()));
    let review = |stage, attempt| SceneReviewed {
        stage,
        attempt,
        scene: 2,
        model: "openai/m".into(),
        verdict: ReviewVerdict::Changed,
    };
    let note = || Command::NoteSceneReview { item, review: review(Stage::Storage, 9) };
    planning().when(note()).then([JobEvent::SceneReviewed(review(Stage::Planning, 1))]);
    planned_job().when(note()).then_rejected(Rejection::WorkNotOpen("planning".into()));
}

#[test]
fn files_catch_up_once() {
    let catch_up = || Command::NoteStorageCaughtUp { target: StorageTarget::LocalAndS3, bytes: 1 };
    given([]).when(catch_up()).then_rejected(Rejection::Unknown);
    joined_job().when(catch_up()).then_rejected(Rejection::NothingToCatchUp);
    failed_job().when(catch_up()).then_rejected(Rejection::NothingToCatchUp);
}

fn imported(ending: ImportedEnding) -> Box<JobImported> {
    let JobRequested { user_id, request, .. } = requested();
    let at = |second| DateTime::from_timestamp(second, 0).unwrap();
    let source_id = None;
    let started_at = Some(at(12));
    JobImported { user_id, request, source_id, requested_at: at(10), started_at, ended_at: at(20), ending }
        .into()
}

fn completed(role: FileRole) -> ImportedEnding {
    let file = StoredFile {
        role,
        rendition: None,
        key: "videos/a.mp4".into(),
        bytes: 1,
        blake3: "00".into(),
        stream: vec![],
    };
    let video_id = Uuid::nil();
    ImportedEnding::Completed { video_id, video: video(), target: StorageTarget::Local, files: vec![file] }
}

fn imported_job(ending: ImportedEnding) -> Given {
    given([]).when(Command::Import(imported(ending))).and()
}

#[test]
fn a_job_is_imported_once_as_it_ended_and_waits_for_nobody() {
    let failed = || ImportedEnding::Failed { stage: Stage::Rendering, error: failure() };
    for (ending, status) in [
        (completed(FileRole::Video), Status::Completed),
        (failed(), Status::Failed),
        (ImportedEnding::Cancelled { stage: None }, Status::Cancelled),
    ] {
        let event = JobEvent::JobImported(imported(ending.clone()));
        given([]).when(Command::Import(imported(ending.clone()))).then([event]);
        let job = imported_job(ending.clone()).job();
        assert_eq!((job.status, job.user_id.as_str()), (status, "user_1"));
        assert_eq!(job.ended_at.map(|at| at.timestamp()), Some(20));
        assert!(job.open_work.is_empty());
        imported_job(ending.clone())
            .when(Command::Import(imported(ending.clone())))
            .then_rejected(Rejection::AlreadyRequested);
        imported_job(ending).when(Command::Request(requested())).then_rejected(Rejection::AlreadyRequested);
    }
    imported_job(failed()).when(Command::Discard { reason: None }).then_rejected(Rejection::NoDeadLetter);
    imported_job(failed()).when(Command::NoteStreamRemoved).then_nothing();
}

#[test]
fn what_cannot_have_been_is_not_imported() {
    given([])
        .when(Command::Import(imported(completed(FileRole::CaptionsVtt))))
        .then_rejected(Rejection::NoVideo);
    let cancelled = || imported(ImportedEnding::Cancelled { stage: None });
    let early = JobImported { ended_at: DateTime::from_timestamp(11, 0).unwrap(), ..*cancelled() };
    given([]).when(Command::Import(early.into())).then_rejected(Rejection::EndsTooEarly);
    planned_job().when(Command::Import(cancelled())).then_rejected(Rejection::AlreadyRequested);
}

#[test]
fn an_imported_failure_can_begin_again_and_an_imported_video_can_be_deleted() {
    imported_job(ImportedEnding::Failed { stage: Stage::Rendering, error: failure() })
        .when(Command::Reprocess { from: None })
        .then([
            JobEvent::JobReprocessRequested { from: Stage::Initializing },
            JobEvent::StageScheduled(whole(Stage::Initializing)),
        ]);
    imported_job(completed(FileRole::Video)).when(Command::Delete).then([JobEvent::JobDeleted {}]);
    imported_job(completed(FileRole::Video)).when(Command::EraseContent).then([JobEvent::ContentErased {}]);
}

fn sidecar_failed(sidecar: Sidecar, attempt: u32, retry_in_ms: Option<u64>) -> SidecarFailed {
    SidecarFailed {
        sidecar,
        code: "CODE".into(),
        attempt,
        error: Failure { retryable: true, ..failure() },
        retry_in_ms,
    }
}

/// A completed job whose thumbnails and captions are missing.
fn incomplete_job() -> Given {
    let failed = [Sidecar::Thumbnails, Sidecar::Captions].map(|of| sidecar_failed(of, 1, Some(100)));
    let [thumbnails, captions] = failed.map(JobEvent::SidecarFailed);
    let completed = JobEvent::JobCompleted { video_id: Uuid::nil(), video: video() };
    given([JobEvent::JobRequested(requested()), thumbnails, captions, completed])
}

fn fails_again(sidecar: Sidecar, max_attempts: u32) -> SidecarAttempt {
    let error = Failure { retryable: true, ..failure() };
    SidecarAttempt {
        sidecar,
        outcome: SidecarOutcome::Failed { code: "CODE".into(), error, max_attempts, delay_ms: 400 },
    }
}

fn is_stored(sidecar: Sidecar) -> SidecarAttempt {
    let (target, files, thumbnails) = (StorageTarget::Local, vec![], vec![]);
    SidecarAttempt { sidecar, outcome: SidecarOutcome::Stored { target, files, thumbnails } }
}

// 003-n
#[test]
fn a_sidecar_that_fails_again_is_due_again_and_that_is_the_last_event() {
    let stored = SidecarStored {
        sidecar: Sidecar::Captions,
        attempt: 2,
        target: StorageTarget::Local,
        files: vec![],
        thumbnails: vec![],
    };
    let both = vec![fails_again(Sidecar::Thumbnails, 3), is_stored(Sidecar::Captions)];
    let after = incomplete_job().when(Command::NoteSidecars(both));
    let expected = [
        JobEvent::SidecarStored(stored),
        JobEvent::SidecarFailed(sidecar_failed(Sidecar::Thumbnails, 2, Some(400))),
    ];
    assert_eq!(after.decided.as_deref(), Ok(expected.as_slice()));
    let given_up = JobEvent::SidecarFailed(sidecar_failed(Sidecar::Thumbnails, 3, None));
    let after = after.and().when(Command::NoteSidecars(vec![fails_again(Sidecar::Thumbnails, 3)]));
    assert_eq!(after.decided.as_deref(), Ok([given_up].as_slice()));
    assert!(after.and().job().sidecars_to_make().is_empty());
}

#[test]
fn only_what_is_missing_is_completed() {
    let noted = |sidecar| Command::NoteSidecars(vec![is_stored(sidecar)]);
    incomplete_job().when(noted(Sidecar::Stream)).then_rejected(Rejection::NoSidecarMissing);
    incomplete_job().when(Command::NoteSidecars(vec![])).then_rejected(Rejection::NoSidecarMissing);
    let again = incomplete_job().when(noted(Sidecar::Captions)).and();
    again.when(noted(Sidecar::Captions)).then_rejected(Rejection::NoSidecarMissing);
    let deleted = incomplete_job().when(Command::Delete).and();
    deleted.when(noted(Sidecar::Captions)).then_rejected(Rejection::Deleted);
    let erased = incomplete_job().when(Command::EraseContent).and();
    erased.when(noted(Sidecar::Captions)).then_rejected(Rejection::Erased);
    let expired = incomplete_job().when(Command::NoteExpired { kept_hours: 1 }).and();
    expired.when(noted(Sidecar::Captions)).then_rejected(Rejection::NoSidecarMissing);
    given([]).when(noted(Sidecar::Captions)).then_rejected(Rejection::Unknown);
}

#[test]
fn only_a_completed_video_expires_and_only_once() {
    let expire = || Command::NoteExpired { kept_hours: 720 };
    let expired = incomplete_job().when(expire());
    assert_eq!(expired.decided.as_deref(), Ok([JobEvent::VideoExpired { kept_hours: 720 }].as_slice()));
    expired.and().when(expire()).then_nothing();
    failed_job().when(expire()).then_rejected(Rejection::NoVideoToExpire);
    rendering_job().when(expire()).then_rejected(Rejection::NoVideoToExpire);
    let deleted = incomplete_job().when(Command::Delete).and();
    deleted.when(expire()).then_rejected(Rejection::Deleted);
}
