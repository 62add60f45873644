//! One event of every type with every field filled in, for tests. Literals name all fields, so that a new one does not
//! compile before it is here; and what is here must be declared public or personal.

use chrono::DateTime;
use serde_json::json;
use uuid::Uuid;

use super::batch::{BatchJobRequested, EndStatus, JobShare, Totals};
use super::imported::{ImportedEnding, JobImported};
use super::job::*;
use super::request::{PipelineVersion, Template, UsedConfiguration};
use super::upload::{Scanner, Upload};
use super::webhook::{Abandonment, DeliveryFailure, FailureCode, Notice, WebhookEvent, WebhookRequested};
use super::{
    BatchEvent, ConfigurationEvent, ContentType, JobEvent, OperationsEvent, OutputFormat, Priority,
    ProjectionEvent, Quality, ReloadedSetting, Stage, UploadEvent, UserEvent, VideoRequest,
};
use crate::ids::{AggregateId, BatchId, ConfigurationId, JobId, UploadId};
use reel_scene::format::Rendition;
use reel_scene::{
    Animation, Block, ComparisonSide, DiagramLanguage, Entrance, FlowEdge, Layout, Leave, Number, Reveal,
    RichText, Scene, SceneTimeline, Series, Shape, Span, SpanStyle, Step, StepTiming, TimelineItem,
};

/// Stands in every text that a user may have written.
pub const WORDS: &str = "Zanzibarite";

fn words() -> String {
    WORDS.to_owned()
}

fn rich() -> RichText {
    RichText(vec![Span { text: words(), style: SpanStyle::Strong }])
}

fn number() -> Number {
    Number::new(1.5).unwrap()
}

fn item() -> reel_scene::Item {
    reel_scene::Item { title: words(), text: rich(), icon: words(), points: vec![rich()], parent: None }
}

fn scene() -> Scene {
    let point = [number(), number()];
    let blocks = vec![
        Block::Code { language: Some(words()), text: words(), groups: vec![1] },
        Block::Formula { latex: words() },
        Block::Table { header: vec![rich()], rows: vec![vec![rich()]] },
        Block::Definition { term: words(), text: rich() },
        Block::Timeline { items: vec![TimelineItem { title: words(), text: words() }] },
        Block::Comparison {
            left: ComparisonSide { title: words(), points: vec![rich()] },
            right: ComparisonSide { title: words(), points: vec![rich()] },
        },
        Block::Counter { value: number(), decimals: 1, prefix: words(), unit: words(), label: words() },
        Block::Chart {
            chart: reel_scene::ChartKind::Pie,
            unit: words(),
            labels: vec![words()],
            series: vec![Series { name: words(), values: vec![number()] }],
        },
        Block::Scatter { x_label: words(), y_label: words(), points: vec![point] },
        Block::Flow { nodes: vec![words()], edges: vec![FlowEdge { from: 0, to: 0, label: words() }] },
        Block::Diagram { language: DiagramLanguage::Mermaid, source: words() },
        Block::Plot { functions: vec![words()], range: point },
        Block::Figure { shapes: vec![Shape::Label { at: point, text: words() }] },
        Block::Manim { animation: Animation::Code { code: words() }, duration_ms: Some(1500) },
        Block::Image { file: words(), caption: words() },
        Block::Quote { text: rich(), by: words() },
        Block::Statement { text: rich(), icons: vec![words()] },
        Block::Items {
            arrangement: reel_scene::Arrangement::Tree,
            items: vec![item()],
            center: Some(reel_scene::Item { parent: Some(0), ..item() }),
        },
        Block::Proportion { value: number(), of: number(), decimals: 1, unit: words(), label: words() },
        Block::Gauge { value: number(), range: point, decimals: 1, unit: words(), label: words() },
        Block::Bars {
            rows: vec![reel_scene::BarRow { title: words(), text: words() }],
            columns: vec![reel_scene::BarColumn { name: words(), values: vec![number()], decimals: 1 }],
        },
        Block::Quadrant {
            x: [words(), words()],
            y: [words(), words()],
            items: vec![reel_scene::QuadrantItem { title: words(), at: point }],
        },
    ];
    Scene {
        layout: Layout::Content,
        title: words(),
        icon: words(),
        language: "ar".to_owned(),
        blocks,
        steps: vec![Step {
            narration: words(),
            reveals: vec![Reveal { block: 0, part: Some(0) }],
            enter: Some(Entrance::Wipe),
            speaker: 2,
        }],
        leave: Leave::Slide,
    }
}

fn request() -> VideoRequest {
    let preferences = json!({ "font": WORDS, WORDS: [{ "deeper": WORDS }] });
    VideoRequest {
        topic: words(),
        context: Some(words()),
        script: Some(words()),
        quality: Quality::default(),
        priority: Priority::Urgent,
        output_format: OutputFormat::default(),
        fps: 30,
        duration_seconds: Some(60),
        enable_subtitles: true,
        enable_thumbnails: true,
        title: Some(words()),
        description: Some(words()),
        tags: vec![words()],
        model: Some(words()),
        use_rag: Some(true),
        template_id: Some(Template::Unknown("plain".to_owned())),
        style_preferences: preferences.as_object().cloned().map(Into::into),
        quality_levels: vec![Quality::Low],
        scenes: Some(vec![scene()]),
        configuration: Some(UsedConfiguration { configuration_id: ConfigurationId(Uuid::nil()), version: 1 }),
        uploads: vec![upload()],
        callback_url: Some(words()),
        pipeline_version: Some(PipelineVersion::V2),
        retry_attempts: Some(1),
        enable_streaming: true,
        strict: true,
        cleanup_local_files: true,
        s3_upload_enabled: Some(true),
        voice: Some("kokoro:af_heart".to_owned()),
    }
}

fn rendition() -> Rendition {
    Rendition { quality: Quality::default(), format: OutputFormat::default() }
}

fn clip() -> Clip {
    let file = RenditionFile {
        rendition: rendition(),
        file: "a.webm".to_owned(),
        bytes: 1,
        artifact: Some("00ff".to_owned()),
    };
    Clip {
        artifact: Some("00ff".to_owned()),
        file: "a.mp4".to_owned(),
        frames: 30,
        duration_ms: 1000,
        bytes: 1,
        reused: true,
        renditions: vec![file],
        streams: vec![SceneStream {
            rendition: rendition(),
            key: "videos/a/720p-00.m4s".to_owned(),
            bytes: 3,
            blake3: "00".to_owned(),
            codecs: "avc1.640028,mp4a.40.2".to_owned(),
            setup_bytes: 1,
            segments: vec![StreamSegment { frames: 30, bytes: 2 }],
        }],
    }
}

fn failure() -> Failure {
    Failure {
        code: "CODE".to_owned(),
        message: words(),
        retryable: true,
        suggestion: Some("try again".to_owned()),
        causes: vec![words()],
    }
}

fn technical() -> Technical {
    Technical {
        format: TechnicalFormat {
            format_name: "mov,mp4,m4a,3gp,3g2,mj2".to_owned(),
            format_long_name: "QuickTime / MOV".to_owned(),
            nb_streams: 1,
            duration: 1.0,
            size: 1,
            bit_rate: 8,
        },
        streams: vec![TechnicalStream {
            index: 0,
            codec_type: "video".to_owned(),
            codec_name: "h264".to_owned(),
            profile: Some("High".to_owned()),
            width: Some(1920),
            height: Some(1080),
            pix_fmt: Some("yuv420p".to_owned()),
            sample_rate: Some(48_000),
            channels: Some(1),
            r_frame_rate: "30/1".to_owned(),
            avg_frame_rate: "30/1".to_owned(),
            time_base: "1/15360".to_owned(),
            duration: Some(1.0),
            bit_rate: Some(8),
            nb_frames: Some(30),
        }],
    }
}

fn requested() -> JobRequested {
    let batch_id = Some(BatchId(Uuid::nil()));
    JobRequested { user_id: "user_1".to_owned(), request: request().into(), batch_id }
}

fn imported(ending: ImportedEnding) -> JobEvent {
    let at = DateTime::UNIX_EPOCH;
    JobEvent::JobImported(Box::new(JobImported {
        user_id: "user_1".to_owned(),
        request: request().into(),
        source_id: Some(words()),
        requested_at: at,
        started_at: Some(at),
        ended_at: at,
        ending,
    }))
}

pub fn batch_events() -> Vec<BatchEvent> {
    let job_id = JobId(Uuid::nil());
    let (processing_ms, video_ms, video_bytes) = (1, 2, 3);
    vec![
        BatchEvent::BatchRequested {
            user_id: "user_1".to_owned(),
            batch_name: Some(words()),
            batch_priority: Priority::High,
            job_ids: vec![job_id],
        },
        BatchEvent::BatchJobRequested(BatchJobRequested { index: 0, requested: requested() }),
        BatchEvent::BatchJobEnded(JobShare {
            job_id,
            status: EndStatus::Completed,
            processing_ms,
            video_ms,
            video_bytes,
        }),
        BatchEvent::BatchJobReopened { job_id },
        BatchEvent::BatchCompleted(Totals {
            completed: 1,
            failed: 1,
            cancelled: 1,
            processing_ms,
            video_ms,
            video_bytes,
        }),
        BatchEvent::BatchContentErased {},
    ]
}

pub fn job_events() -> Vec<JobEvent> {
    let stage = Stage::Rendering;
    let item = WorkItem { stage, scene: Some(1), attempt: 1 };
    let timeline = SceneTimeline {
        fps: 30,
        frames: 30,
        steps: vec![StepTiming { start_frame: 0, frames: 30, speech_ms: 900, words: vec![(0, 20).into()] }],
    };
    let stored = StoredFile {
        role: FileRole::Video,
        rendition: Some(rendition()),
        key: "videos/a.mp4".to_owned(),
        bytes: 1,
        blake3: "00".to_owned(),
        stream: vec![StreamPart {
            name: "720p-00.m4s".to_owned(),
            offset: 0,
            bytes: 1,
            blake3: "00".to_owned(),
        }],
    };
    let video = VideoFacts {
        duration_ms: 1000,
        width: 1920,
        height: 1080,
        fps: 30.0,
        frames: 30,
        video_codec: "h264".to_owned(),
        audio_codec: "aac".to_owned(),
        bitrate: 1,
        file_size: 1,
        technical: Some(technical().into()),
    };
    let thumbnail =
        Thumbnail { size: ThumbnailSize::Small, width: 320, height: 180, file: "a.jpg".to_owned(), bytes: 1 };
    vec![
        JobEvent::JobRequested(requested()),
        imported(ImportedEnding::Completed {
            video_id: Uuid::nil(),
            video: video.clone(),
            target: StorageTarget::Local,
            files: vec![stored.clone()],
        }),
        imported(ImportedEnding::Failed { stage, error: failure() }),
        imported(ImportedEnding::Cancelled { stage: Some(stage) }),
        JobEvent::JobQueued { priority: Priority::High },
        JobEvent::StageScheduled(item),
        JobEvent::StageStarted { stage, attempt: 1, percentage: 50.0, description: "d".to_owned() },
        JobEvent::StageProgressed(StageProgressed {
            stage,
            scene: Some(1),
            done: 1,
            total: 2,
            percentage: 60.0,
        }),
        JobEvent::ScenePlanned { scene: 1, description: scene() },
        JobEvent::ScenarioCreated {
            voice: "espeak".to_owned(),
            scenes: vec![NarratedScene {
                scene: 1,
                narration: "01.wav".to_owned(),
                timeline: timeline.clone(),
                artifact: Some("00ff".to_owned()),
            }],
        },
        JobEvent::SceneNarrated {
            voice: "espeak".to_owned(),
            narrated: NarratedScene {
                scene: 1,
                narration: "01.wav".to_owned(),
                timeline: timeline.clone(),
                artifact: Some("00ff".to_owned()),
            },
            percentage: 40.0,
        },
        JobEvent::SceneCodeAttempted(CodeAttempt {
            scene: 1,
            attempt: 2,
            language: "manim".to_owned(),
            code: words(),
            error: Some(words()),
        }),
        JobEvent::SceneCodeGenerated {
            scene: 1,
            language: "typst".to_owned(),
            code: words(),
            percentage: 60.0,
        },
        JobEvent::StreamBegan { duration_ms: 2000, streams: clip().streams },
        JobEvent::SceneRendered { scene: 1, clip: clip(), percentage: 70.0 },
        JobEvent::VideoCombined { clip: clip() },
        JobEvent::ThumbnailCreated(thumbnail.clone()),
        JobEvent::UploadStarted { target: StorageTarget::Local, files: 1, bytes: 1 },
        JobEvent::UploadProgressed(UploadProgressed { done: 1, total: 2, percentage: 97.5 }),
        JobEvent::UploadRetried(UploadRetried {
            stage,
            scene: Some(1),
            key: "users/user_1/jobs/1/video.mp4".to_owned(),
            attempt: 1,
            error: failure(),
            delay_ms: 500,
        }),
        JobEvent::StorageFellBack {
            from: StorageTarget::LocalAndS3,
            to: StorageTarget::Local,
            error: failure(),
        },
        JobEvent::StorageCaughtUp { target: StorageTarget::LocalAndS3, bytes: 1 },
        JobEvent::SidecarFailed(SidecarFailed {
            sidecar: Sidecar::Captions,
            code: "CODE".to_owned(),
            attempt: 1,
            error: failure(),
            retry_in_ms: Some(30_000),
        }),
        JobEvent::SidecarStored(SidecarStored {
            sidecar: Sidecar::Thumbnails,
            attempt: 2,
            target: StorageTarget::S3,
            files: vec![stored.clone()],
            thumbnails: vec![thumbnail.clone()],
        }),
        JobEvent::UploadCompleted { target: StorageTarget::Local, files: vec![stored] },
        JobEvent::StageCompleted { stage, percentage: 90.0 },
        JobEvent::StageMeasured(StageMeasured {
            stage,
            scene: Some(1),
            attempt: 1,
            usage: Usage { cpu_ms: 2, wall_ms: 1, peak_memory_bytes: 4096 },
        }),
        JobEvent::StageFailed { stage, scene: Some(1), attempt: 1, error: failure() },
        JobEvent::ModelCalled(ModelCalled {
            stage,
            scene: Some(1),
            attempt: 1,
            model: "openai/gpt-4o-mini".to_owned(),
            role: "planner".to_owned(),
            call_attempt: 1,
            input_tokens: 900,
            output_tokens: 300,
            micro_dollars: 315,
            duration_ms: 2100,
            outcome: "answered".to_owned(),
        }),
        JobEvent::SceneReviewed(SceneReviewed {
            stage,
            attempt: 1,
            scene: 1,
            model: "openai/gpt-4o".to_owned(),
            verdict: ReviewVerdict::Changed,
        }),
        JobEvent::WarningRaised {
            stage,
            scene: Some(1),
            warning: Warning { code: "CODE".to_owned(), message: words() },
        },
        JobEvent::StageRetryScheduled { item, delay_ms: 100 },
        JobEvent::JobCompleted { video_id: Uuid::nil(), video },
        JobEvent::JobFailed { stage, error: failure() },
        JobEvent::CancelRequested { reason: Some(words()) },
        JobEvent::JobCancelled { stage: Some(stage) },
        JobEvent::JobReprocessRequested { from: stage },
        JobEvent::DeadLetterDiscarded { reason: Some("seen".to_owned()) },
        JobEvent::ContentErased {},
        JobEvent::JobDeleted {},
        JobEvent::DeletedFilesRemoved {},
        JobEvent::PartialStreamRemoved {},
        JobEvent::VideoExpired { kept_hours: 720 },
    ]
}

pub fn projection_events() -> Vec<ProjectionEvent> {
    let (projection, aggregate_id) = ("catalog".to_owned(), AggregateId(Uuid::nil()));
    vec![
        ProjectionEvent::EventSkipped {
            projection: projection.clone(),
            partition: 1,
            seq: 2,
            reason: "damaged".to_owned(),
        },
        ProjectionEvent::AggregateQuarantined {
            projection: projection.clone(),
            partition: 1,
            aggregate: "job".to_owned(),
            aggregate_id,
            seq: 2,
            version: 3,
            error: "cannot be decoded".to_owned(),
        },
        ProjectionEvent::AggregateReleased {
            projection,
            partition: 1,
            aggregate_id,
            reason: "mended".to_owned(),
        },
    ]
}

pub fn user_events() -> Vec<UserEvent> {
    vec![
        UserEvent::ErasureRequested { user_id: "user_1".to_owned() },
        UserEvent::UserErased { keys: 1, jobs: 2 },
    ]
}

pub fn operations_events() -> Vec<OperationsEvent> {
    let text = || "operator's words".to_owned();
    vec![
        OperationsEvent::StagePaused { stage: Stage::Rendering, reason: text() },
        OperationsEvent::StageResumed { stage: Stage::Rendering },
        OperationsEvent::DrainStarted { reason: text() },
        OperationsEvent::DrainEnded {},
        OperationsEvent::SettingChanged { name: "limits.open_jobs".to_owned(), value: "5".to_owned() },
        OperationsEvent::SettingReset { name: "limits.open_jobs".to_owned() },
        OperationsEvent::LogFilterChanged { filter: "debug".to_owned() },
        OperationsEvent::LogFilterReset {},
        OperationsEvent::SettingsReloaded {
            process: "host:1".to_owned(),
            changed: vec![ReloadedSetting {
                name: "limits.open_jobs".to_owned(),
                before: "5".to_owned(),
                now: "6".to_owned(),
            }],
        },
        OperationsEvent::PartitionsGrown { number: 1, partitions: 16, from: DateTime::UNIX_EPOCH },
    ]
}

pub fn webhook_events() -> Vec<WebhookEvent> {
    vec![
        WebhookEvent::WebhookRequested(WebhookRequested {
            user_id: "user_1".to_owned(),
            job_id: JobId(Uuid::nil()),
            job_version: 1,
            notice: Notice::JobCompleted,
            url: words(),
        }),
        WebhookEvent::WebhookAttemptFailed {
            attempt: 1,
            failure: DeliveryFailure { code: FailureCode::Refused, http_status: Some(500) },
            retry_in_ms: Some(1),
        },
        WebhookEvent::WebhookDelivered { attempt: 1, http_status: 200 },
        WebhookEvent::WebhookAbandoned { attempts: 1, reason: Abandonment::Failed },
    ]
}

fn upload() -> Upload {
    let upload_id = UploadId(Uuid::nil());
    Upload {
        upload_id,
        file_name: words(),
        content_type: ContentType::Png,
        bytes: 1,
        sha256: words(),
        object: upload_id,
        scanned_by: vec![Scanner::BuiltIn, Scanner::Clamav],
        is_sanitized: true,
        width: Some(1),
        height: Some(1),
    }
}

pub fn upload_events() -> Vec<UploadEvent> {
    let upload = upload();
    let upload_id = upload.upload_id;
    vec![
        UploadEvent::UploadReceived { user_id: "user_1".to_owned(), upload },
        UploadEvent::UploadDeleted { upload_id },
        UploadEvent::UploadsErased {},
    ]
}

pub fn configuration_events() -> Vec<ConfigurationEvent> {
    let configuration_id = ConfigurationId(Uuid::nil());
    let settings = json!({ "tags": [WORDS], WORDS: { "deeper": WORDS } }).as_object().cloned();
    let settings = settings.unwrap_or_default();
    vec![
        ConfigurationEvent::ConfigurationCreated {
            user_id: "user_1".to_owned(),
            configuration_id,
            name: words(),
            settings: settings.clone(),
        },
        ConfigurationEvent::ConfigurationReplaced { configuration_id, name: words(), settings },
        ConfigurationEvent::ConfigurationDeleted { configuration_id },
        ConfigurationEvent::ConfigurationsErased {},
    ]
}
