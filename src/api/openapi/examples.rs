//! An example of every answer. A test holds each against its schema.

use serde_json::{Value, json};

use crate::error_codes::ErrorCode;

const JOB: &str = "0199c0de-7a3e-7cc1-9f5e-0b8f6d2f4a11";
const VIDEO: &str = "5b1c7c5e-6c0c-5a53-9c2b-4f0c3f1b8e77";
const BATCH: &str = "0199c0de-7a3e-7cc1-9f5e-0b8f6d2f4a44";
const CONFIGURATION: &str = "0199c0de-7a3e-7cc1-9f5e-0b8f6d2f4a55";
const UPLOAD: &str = "0199c0de-7a3e-7cc1-9f5e-0b8f6d2f4a66";
const TICKET: &str = "q0cVvRkGhyxYkzXUZ1z5lXhyRyDVbvzKf1TtmB0mS3E";
const REQUEST: &str = "0199c0de-7a3e-7cc1-9f5e-0b8f6d2f4a22";
const EVENT: &str = "0199c0de-7a41-7d02-8e11-3c5d7a9b0c33";
const HASH: &str = "6f1ed002ab5595859014ebf0951522d9b7e2f3c4d5e6f708192a3b4c5d6e7f80";
const CREATED: &str = "2026-11-27T10:00:00.000Z";
const STARTED: &str = "2026-11-27T10:00:00.120Z";
const UPDATED: &str = "2026-11-27T10:00:03.480Z";
const ENDED: &str = "2026-11-27T10:00:05.610Z";
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A part of a stream of events.
pub const EVENT_STREAM: &str =
    "retry: 2000\n\nid: 2\nevent: JobQueued\ndata: {\"version\":2,\"type\":\"JobQueued\"}\n\n";

/// The example of a parameter, by its name.
pub fn parameter(name: &str) -> Option<Value> {
    Some(match name {
        "job_id" => JOB.into(),
        "batch_id" => BATCH.into(),
        "configuration_id" => CONFIGURATION.into(),
        "upload_id" => UPLOAD.into(),
        "If-Match" | "If-None-Match" | "If-Range" => "\"v1\"".into(),
        "Range" => "bytes=0-1023".into(),
        "Idempotency-Key" => "2026-11-27-batteries".into(),
        "tag" => "physics".into(),
        "token" => TICKET.into(),
        "after" => 2.into(),
        "Last-Event-ID" => "2".into(),
        "file" => "master.m3u8".into(),
        "quality" => "720p".into(),
        "size" => "medium".into(),
        "inline" => true.into(),
        "wait" => 10.into(),
        "page" | "from_version" | "at_version" => 1.into(),
        "items_per_page" => 20.into(),
        "limit" => 100.into(),
        "offset" => 0.into(),
        "status" => "completed".into(),
        "priority" => "normal".into(),
        "level" => "info".into(),
        "sort" => "-created_at".into(),
        "q" => "battery".into(),
        "bucket" => "hour".into(),
        "type" => "JobCompleted".into(),
        "from" | "created_after" => "2026-11-26T10:00:00Z".into(),
        "to" | "at" | "created_before" => "2026-11-27T10:00:00Z".into(),
        _ => return None,
    })
}

/// A stand-in for the bytes of a file.
pub fn file(media_type: &str) -> Value {
    match media_type {
        "text/vtt" => "WEBVTT\n\n00:00:00.300 --> 00:00:01.250\nIons move.\n".into(),
        "application/x-subrip" => "1\n00:00:00,300 --> 00:00:01,250\nIons move.\n".into(),
        "application/vnd.apple.mpegurl" => {
            "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=820000,RESOLUTION=1280x720\n720p.m3u8\n".into()
        }
        _ => format!("(the bytes of a file of type {media_type})").into(),
    }
}

/// The example of a plain text.
pub fn text(operation: &str) -> Option<&'static str> {
    Some(match operation {
        "is_alive" => "ok",
        "is_ready" => "ready",
        "get_prometheus_metrics" => {
            "# HELP reel_queue_waiting Pieces of work that wait for a worker.\n# TYPE reel_queue_waiting gauge\nreel_queue_waiting{stage=\"rendering\"} 3\n"
        }
        _ => return None,
    })
}

/// The example of an error with a code.
pub fn error(code: ErrorCode) -> Value {
    let (message, details) = match code {
        ErrorCode::ValidationError => (
            "1 field is not valid",
            json!([{ "loc": ["body", "topic"], "msg": "is required", "type": "missing" }]),
        ),
        ErrorCode::Conflict => (
            "the video is not ready: the job is processing",
            json!({ "status": "processing", "progress": 80.0, "current_stage": "rendering" }),
        ),
        ErrorCode::BadRequest => {
            ("the body is not valid JSON: expected value at line 1 column 1", Value::Null)
        }
        ErrorCode::Unauthorized => ("a session token is needed: Authorization: Bearer …", Value::Null),
        ErrorCode::Forbidden => ("only admins may call this endpoint", Value::Null),
        ErrorCode::NotFound => ("there is no such job", Value::Null),
        ErrorCode::RequestTimeout => ("the body did not come in time", Value::Null),
        ErrorCode::PayloadTooLarge => ("the body is too large", Value::Null),
        ErrorCode::UnsupportedMediaType => {
            ("the body must be application/json, not `text/plain`", Value::Null)
        }
        ErrorCode::RangeNotSatisfiable => {
            ("the range `bytes=99999-` lies outside the file of 48213 bytes", Value::Null)
        }
        ErrorCode::PreconditionFailed => {
            ("the file is another one by now: its ETag is \"6f1e\"", Value::Null)
        }
        ErrorCode::RateLimitExceeded => (
            "you have too much open: 1000 of at most 1000 jobs are open",
            json!({ "limit": "limits.open_jobs_per_user", "open": 1000, "max": 1000 }),
        ),
        ErrorCode::Overloaded => (
            "the system has too much open: 10000 of at most 10000 jobs are open",
            json!({ "limit": "limits.open_jobs", "open": 10000, "max": 10000 }),
        ),
        _ => ("the data is out of reach for the moment", Value::Null),
    };
    json!({ "error": {
        "message": message,
        "error_code": code.name(),
        "details": details,
        "timestamp": CREATED,
        "path": format!("/api/v1/videos/jobs/{JOB}/status"),
        "request_id": REQUEST,
    } })
}

/// The example of an error that one endpoint declares by itself.
pub fn particular_error(operation: &str, status: &str) -> Option<Value> {
    if operation == "get_health" {
        let mut answer = health();
        answer["status"] = "unhealthy".into();
        answer["components"]["redis"] =
            json!({ "status": "unhealthy", "latency_ms": 2000.0, "detail": "redis does not answer" });
        return Some(answer);
    }
    let code = match (operation, status) {
        ("generate_video" | "create_batch", "503") => ErrorCode::Overloaded,
        // 426 is a 400 that names the protocol to upgrade to.
        (_, "400" | "426") => ErrorCode::BadRequest,
        (_, "403") => ErrorCode::Forbidden,
        (_, "404") => ErrorCode::NotFound,
        (_, "409") => ErrorCode::Conflict,
        (_, "410") => ErrorCode::VideoExpired,
        (_, "412") => ErrorCode::PreconditionFailed,
        (_, "413") => ErrorCode::PayloadTooLarge,
        (_, "415") => ErrorCode::UnsupportedMediaType,
        (_, "416") => ErrorCode::RangeNotSatisfiable,
        (_, "422") => ErrorCode::ValidationError,
        (_, "429") => ErrorCode::RateLimitExceeded,
        (_, "503") => ErrorCode::ServiceUnavailable,
        _ => return None,
    };
    Some(error(code))
}

fn progress(percentage: f64, stage: &str, done: &[&str]) -> Value {
    json!({
        "percentage": percentage,
        "current_stage": stage,
        "stages_completed": done,
        "stage_description": "Rendering scenes (2 of 4)",
        "updated_at": UPDATED,
        "estimated_completion": ENDED,
        "processing_time_seconds": 3.36,
        "scenes_total": 4,
        "scenes_done": 2,
    })
}

fn summary() -> Value {
    json!({
        "job_id": JOB,
        "status": "processing",
        "priority": "normal",
        "progress": progress(85.0, "rendering", &["initializing", "planning", "scenario_creation", "code_generation"]),
        "created_at": CREATED,
        "estimated_completion": ENDED,
        "batch_id": null,
    })
}

/// A summary with more fields.
fn with(mut summary: Value, more: Value) -> Value {
    if let (Some(fields), Value::Object(more)) = (summary.as_object_mut(), more) {
        fields.extend(more);
    }
    summary
}

fn status() -> Value {
    with(
        summary(),
        json!({
            "user_id": "user_1",
            "topic": "How a battery works",
            "title": "Batteries",
            "description": null,
            "tags": ["physics"],
            "quality": "high",
            "updated_at": UPDATED,
            "started_at": STARTED,
            "completed_at": null,
            "video_id": null,
            "download_url": null,
            "error": null,
            "metrics": {
                "queue_time_seconds": 0.12,
                "processing_time_seconds": 3.36,
                "cpu_usage_percent": 142.5,
                "memory_usage_mb": 212.4,
            },
            "video": null,
            "expired_at": null,
            "warnings": [],
            "playable_seconds": 8.4,
            "version": 24,
        }),
    )
}

fn jobs() -> Value {
    let job = with(
        summary(),
        json!({
            "user_id": "user_1",
            "topic": "How a battery works",
            "title": "Batteries",
            "description": null,
            "tags": ["physics"],
            "quality": "high",
            "updated_at": UPDATED,
            "started_at": STARTED,
            "completed_at": null,
            "video_id": null,
            "error_code": null,
            "version": 24,
        }),
    );
    json!({
        "jobs": [job],
        "total_count": 1,
        "page": 1,
        "items_per_page": 20,
        "has_next": false,
        "has_previous": false,
        "total_by_status": { "queued": 0, "processing": 1, "completed": 0, "failed": 0, "cancelled": 0 },
        "next_cursor": null,
    })
}

fn batch_summary() -> Value {
    json!({
        "batch_id": BATCH,
        "job_ids": [JOB],
        "total_jobs": 1,
        "batch_priority": "normal",
        "batch_name": "Physics",
        "created_at": CREATED,
        "estimated_completion": ENDED,
        "status_summary": { "queued": 1, "processing": 0, "completed": 0, "failed": 0, "cancelled": 0 },
    })
}

fn batch() -> Value {
    let job = with(
        summary(),
        json!({
            "batch_id": BATCH,
            "topic": "How a battery works",
            "title": "Batteries",
            "video_id": null,
            "download_url": null,
            "error_code": null,
            "error_message": null,
        }),
    );
    with(
        batch_summary(),
        json!({
            "status_summary": { "queued": 0, "processing": 1, "completed": 0, "failed": 0, "cancelled": 0 },
            "user_id": "user_1",
            "status": "processing",
            "updated_at": UPDATED,
            "completed_at": null,
            "progress": {
                "percentage": 85.0,
                "total": 1,
                "queued": 0,
                "processing": 1,
                "completed": 0,
                "failed": 0,
                "cancelled": 0,
                "deleted": 0,
            },
            "resource_usage": {
                "queue_time_seconds": 0.12,
                "processing_time_seconds": 3.36,
                "video_seconds": 0.0,
                "video_bytes": 0,
                "retries": 0,
            },
            "jobs": [job],
        }),
    )
}

fn configuration() -> Value {
    json!({
        "configuration_id": CONFIGURATION,
        "name": "Lectures",
        "settings": { "quality": "high", "output_format": "mp4", "tags": ["physics"] },
        "version": 1,
        "created_at": CREATED,
        "updated_at": CREATED,
    })
}

fn upload() -> Value {
    json!({
        "upload_id": UPLOAD,
        "filename": "cell.png",
        "content_type": "image/png",
        "size": 48213,
        "sha256": HASH,
        "scan_status": "clean",
        "scanned_by": ["built_in"],
        "sanitized": false,
        "width": 640,
        "height": 360,
        "created_at": CREATED,
    })
}

/// The only page of a short list.
fn page(field: &str, item: Value) -> Value {
    json!({
        field: [item],
        "total_count": 1,
        "page": 1,
        "items_per_page": 20,
        "has_next": false,
        "has_previous": false,
    })
}

fn log_line() -> Value {
    json!({
        "timestamp": STARTED,
        "level": "info",
        "stage": "planning",
        "scene": null,
        "message": "Planning scenes from the script",
        "version": 6,
    })
}

fn envelope() -> Value {
    json!({
        "event_id": EVENT,
        "aggregate": "job",
        "aggregate_id": JOB,
        "version": 2,
        "type": "JobQueued",
        "schema": 1,
        "recorded_at": CREATED,
        "command_id": JOB,
        "causation_id": null,
        "correlation_id": REQUEST,
        "actor": { "kind": "user", "id": "user_1" },
        "traceparent": TRACE,
        "prev_hash": HASH,
        "hash": HASH,
        "data": { "priority": "normal" },
    })
}

fn metadata() -> Value {
    let base = format!("/api/v1/videos/jobs/{JOB}");
    json!({
        "job_id": JOB,
        "batch_id": null,
        "title": "How a battery works",
        "description": null,
        "tags": ["physics"],
        "video": {
            "video_id": VIDEO,
            "filename": "video.mp4",
            "file_size": 482133,
            "duration": 42.5,
            "width": 1920,
            "height": 1080,
            "fps": 30.0,
            "format": "mp4",
            "video_codec": "h264",
            "audio_codec": "aac",
            "bitrate": 90754,
            "created_at": ENDED,
        },
        "video_urls": { "1080p": format!("{base}/download?quality=1080p") },
        "thumbnail_urls": [format!("{base}/thumbnail?size=medium")],
        "download_url": format!("{base}/download"),
        "streaming_url": format!("{base}/stream"),
        "streaming_info": {
            "fast_start": true,
            "supports_ranges": true,
            "format": "mp4",
            "hls_url": format!("{base}/hls/master.m3u8"),
            "renditions": [{ "quality": "1080p", "file_size": 482133, "url": format!("{base}/stream?quality=1080p") }],
        },
        "s3_keys": [],
        "storage": { "target": "local", "has_fallen_back": false },
        "technical_metadata": {
            "format": {
                "format_name": "mov,mp4,m4a,3gp,3g2,mj2",
                "format_long_name": "QuickTime / MOV",
                "nb_streams": 2,
                "duration": 42.5,
                "size": 482133,
                "bit_rate": 90754,
            },
            "streams": [{
                "index": 0,
                "codec_type": "video",
                "codec_name": "h264",
                "profile": "High",
                "width": 1920,
                "height": 1080,
                "pix_fmt": "yuv420p",
                "r_frame_rate": "30/1",
                "avg_frame_rate": "30/1",
                "time_base": "1/15360",
                "duration": 42.5,
                "bit_rate": 24870,
                "nb_frames": 1275,
            }],
            "frames": 1275,
            "blake3": { format!("videos/{JOB}/high.mp4"): HASH },
        },
        "chapters": [{ "title": "Ions", "start": 0.0, "end": 21.0 }],
        "captions": { "vtt": format!("{base}/captions.vtt"), "srt": format!("{base}/captions.srt") },
        "warnings": [],
        "processing": {
            "stages": [{
                "name": "planning",
                "started_at": STARTED,
                "completed_at": UPDATED,
                "duration_seconds": 0.02,
                "attempts": 1,
            }],
            "logs": [log_line()],
        },
    })
}

fn health() -> Value {
    let component = |detail: &str| json!({ "status": "healthy", "latency_ms": 0.41, "detail": detail });
    json!({
        "status": "healthy",
        "components": {
            "redis": component("appendonly, every write flushed"),
            "workers": component("2 running"),
        },
    })
}

fn system_metrics() -> Value {
    json!({
        "timestamp": UPDATED,
        "queue": {
            "open_jobs": 3,
            "waiting": 2,
            "running": 4,
            "delayed": 0,
            "by_stage": { "rendering": { "waiting": 2, "running": 4, "oldest_waiting_seconds": 1.284 } },
        },
        "processing_times": {
            "jobs": 1000,
            "total": { "p50_seconds": 5.3, "p95_seconds": 17.0, "p99_seconds": 26.6 },
            "by_stage": { "rendering": { "p50_seconds": 2.4, "p95_seconds": 8.1, "p99_seconds": 12.2 } },
        },
        "throughput": { "jobs_per_minute": 4, "jobs_per_hour": 212, "failed_per_hour": 1, "cancelled_per_hour": 0 },
        "projection_lag": { "status": 0, "catalog": 3, "trail": 0, "library": 0 },
        "workers": 2,
        "resources": {
            "cpu_usage_percent": 73.5,
            "processors": 8,
            "memory_total_bytes": 16777216000_u64,
            "memory_used_bytes": 5033164800_u64,
            "memory_usage_percent": 30.0,
            "disk_total_bytes": 107374182400_u64,
            "disk_free_bytes": 64424509440_u64,
            "disk_usage_percent": 40.0,
        },
        "totals": {
            "durations": {
                "append": {
                    "count": 81_342,
                    "total_seconds": 41.7,
                    "percentiles": { "p50_seconds": 0.0004, "p95_seconds": 0.0009, "p99_seconds": 0.0021 },
                },
            },
            "appended_events": 96_407,
            "jobs_ended": { "completed": 1_731, "failed": 3, "cancelled": 12 },
            "estimated_jobs": 1_734,
            "late_jobs": 9,
            "model_tokens": 2_401_117,
            "model_cost_dollars": 1.87,
            "critical_errors": { "STORE_FULL": 1 },
        },
    })
}

/// An answer of `/analytics` with one row.
fn figures(row: Value) -> Value {
    json!({
        "from": "2026-11-26T10:00:00Z",
        "to": "2026-11-27T10:00:00Z",
        "bucket": "hour",
        "truncated": false,
        "rows": [with(json!({ "bucket": "2026-11-26T10:00:00Z" }), row)],
    })
}

/// The example of an operation's success, where that is JSON.
pub fn success(operation: &str) -> Option<Value> {
    Some(match operation {
        "generate_video" => {
            let mut accepted = summary();
            accepted["status"] = "queued".into();
            accepted["progress"] = progress(0.0, "initializing", &[]);
            accepted["progress"]["processing_time_seconds"] = json!(0.0);
            accepted["progress"]["stage_description"] = "Waiting for a worker".into();
            accepted
        }
        "get_job" | "get_job_status" => status(),
        "delete_job" => json!({
            "success": true,
            "message": "the job is deleted",
            "job_id": JOB,
            "deleted_at": UPDATED,
            "files_kept_until": "2026-11-28T10:00:03.480Z",
        }),
        "create_batch" => batch_summary(),
        "get_batch" => batch(),
        "create_configuration" | "get_configuration" | "replace_configuration" => configuration(),
        "list_configurations" => page("configurations", configuration()),
        "upload_content" => json!({ "uploads": [upload()] }),
        "list_uploads" => page("uploads", upload()),
        "get_upload" => upload(),
        "get_me" => json!({
            "user_id": "user_1",
            "role": "user",
            "name": "Ada Lovelace",
            "email": "ada@example.org",
            "image_url": null,
            "details": "complete",
        }),
        "create_ticket" => json!({
            "ticket": TICKET,
            "expires_at": "2026-11-27T10:01:00.000Z",
            "expires_in_seconds": 60,
        }),
        "get_video_metadata" => metadata(),
        "get_video_url" => json!({
            "job_id": JOB,
            "status": "completed",
            "video_url": format!("/api/v1/videos/jobs/{JOB}/stream"),
            "download_url": format!("/api/v1/videos/jobs/{JOB}/download"),
            "thumbnail_url": format!("/api/v1/videos/jobs/{JOB}/thumbnail?size=medium"),
            "metadata": {
                "duration": 42.5,
                "quality": "high",
                "format": "mp4",
                "file_size": 482133,
                "demo": false,
                "created_at": ENDED,
            },
        }),
        "list_scenes" => json!({
            "job_id": JOB,
            "status": "completed",
            "total_scenes": 1,
            "scenes": [{
                "scene": 0,
                "title": "Ions",
                "narration": "Ions move.",
                "status": "rendered",
                "attempts": 1,
                "language": "typst",
                "code": "#import \"theme.typ\": *",
                "code_attempts": [],
                "duration": 1.6,
                "frames": 48,
                "rendered_at": UPDATED,
            }],
        }),
        "list_jobs" | "list_all_jobs" => jobs(),
        "list_job_logs" => json!({ "job_id": JOB, "logs": [log_line()], "total_count": 1 }),
        "list_job_events" | "list_recorded_events" => {
            json!({ "job_id": JOB, "events": [envelope()], "next_version": null })
        }
        "cancel_job" | "cancel_job_in_system" => json!({
            "success": true,
            "message": "the job is cancelled",
            "job_id": JOB,
            "previous_status": "processing",
            "new_status": "cancelled",
            "cancelled_at": UPDATED,
        }),
        "reprocess_job" => json!({ "job_id": JOB, "status": "queued", "from_stage": "scenario_creation" }),
        "get_health" => health(),
        "get_metrics" => system_metrics(),
        "get_queue_status" => json!({
            "depth": 2,
            "running": 3,
            "oldest_waiting_seconds": 1.4,
            "estimated_wait_seconds": 6.2,
            "by_priority": { "normal": 2 },
            "timestamp": UPDATED,
        }),
        "get_throughput" => figures(json!({
            "requested": 12, "started": 12, "completed": 11, "failed": 1, "cancelled": 0,
            "video_seconds": 512.4, "video_bytes": 5913344,
        })),
        "get_stages" => {
            figures(json!({ "stage": "rendering", "completed": 11, "failed": 1, "average_seconds": 2.41 }))
        }
        "get_failures" => figures(json!({
            "stage": "rendering", "error_code": "DISK_FULL", "attempts": 3, "retryable": 3, "jobs": 1,
        })),
        "get_storage" => figures(json!({
            "target": "local", "uploads": 11, "files": 99, "bytes": 5913344, "bytes_per_second": 81250000.0,
        })),
        "get_latency" => figures(json!({
            "measure": "processing", "count": 11, "p50_seconds": 5.3, "p95_seconds": 17.0, "p99_seconds": 26.6,
        })),
        "list_trail" => json!({
            "events": [{
                "partition": 3,
                "seq": 4711,
                "event_id": EVENT,
                "aggregate": "job",
                "aggregate_id": JOB,
                "version": 2,
                "type": "JobQueued",
                "recorded_at": CREATED,
                "actor": "user:user_1",
                "correlation_id": REQUEST,
                "hash": HASH,
            }],
            "next_cursor": null,
        }),
        "get_state_at" => json!({
            "job_id": JOB,
            "version": 2,
            "state": {
                "job": { "job_id": JOB, "version": 2, "status": "queued" },
                "title": null,
                "output_format": "mp4",
                "stages": [],
                "scenes": [],
                "files": [],
            },
        }),
        "verify_job" => json!({ "job_id": JOB, "valid": true, "events": 31, "findings": [] }),
        _ => return None,
    })
}
