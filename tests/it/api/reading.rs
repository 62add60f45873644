//! The URLs of a video, its scenes, and what is told of a job while and after it is made.

use std::time::Duration;

use reelstream::app::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{ALL_ROLES, Running, System, error_of, eventually, short_request};

static API: [Role; 1] = [Role::Api];

fn path(job_id: &str, what: &str) -> String {
    format!("/api/v1/videos/jobs/{job_id}/{what}")
}

// 001-3.3
#[tokio::test]
async fn a_video_s_url_plays_and_is_refused_before_there_is_a_video() {
    let system = System::start(&ALL_ROLES).await;
    let mut body = short_request();
    body["enable_thumbnails"] = json!(false);
    let without_stills = system.generate(&body).await;
    let (status, error) = error_of(system.get(&path(&without_stills, "video-url")).await).await;
    assert_eq!((status, &error["error_code"]), (409, &json!("CONFLICT")));
    for field in ["status", "progress", "current_stage"] {
        assert!(!error["details"][field].is_null(), "{field}: {error}");
    }
    let job_id = system.completed(&short_request()).await;
    let answer: Value = system.get(&path(&job_id, "video-url")).await.json().await.unwrap();
    assert_eq!((&answer["job_id"], &answer["status"]), (&json!(job_id), &json!("completed")));
    let metadata = &answer["metadata"];
    assert_eq!(
        (&metadata["quality"], &metadata["format"], &metadata["demo"]),
        (&json!("low"), &json!("mp4"), &json!(false))
    );
    assert!(metadata["duration"].as_f64().unwrap() > 0.5, "{answer}");
    assert!(metadata["created_at"].is_string());
    for (field, content_type) in
        [("video_url", "video/mp4"), ("download_url", "video/mp4"), ("thumbnail_url", "image/jpeg")]
    {
        let file = system.get(answer[field].as_str().unwrap()).await;
        assert_eq!(
            (file.status().as_u16(), &file.headers()["content-type"]),
            (200, &content_type.parse().unwrap())
        );
    }
    let download = system.get(answer["download_url"].as_str().unwrap()).await.bytes().await.unwrap();
    assert_eq!(metadata["file_size"], download.len());

    system.statuses_until_ended(&without_stills, Duration::from_secs(100)).await;
    let answer: Value = system.get(&path(&without_stills, "video-url")).await.json().await.unwrap();
    assert_eq!(answer["thumbnail_url"], Value::Null);
    system.running.stop().await;
}

// 000-7.3
#[tokio::test]
async fn scenes_are_told_with_their_code_as_soon_as_the_client_may_know_of_them() {
    let system = System::start(&ALL_ROLES).await;
    let script = "# Ions\n\nIons move.\n\n# Cells\n\nA cell has two poles.";
    let job_id = system.completed(&json!({ "topic": "Batteries", "script": script, "quality": "low" })).await;
    // At once: the projection may be behind, the answer is not.
    let answer: Value = system.get(&path(&job_id, "scenes")).await.json().await.unwrap();
    let scenes = answer["scenes"].as_array().unwrap();
    assert_eq!((&answer["status"], &answer["total_scenes"]), (&json!("completed"), &json!(scenes.len())));
    assert!(scenes.len() >= 2, "{answer}");
    let video: Value = system.get(&path(&job_id, "video-url")).await.json().await.unwrap();
    let total: f64 = scenes.iter().map(|scene| scene["duration"].as_f64().unwrap()).sum();
    assert!((total - video["metadata"]["duration"].as_f64().unwrap()).abs() < 0.3, "{total}");
    for (index, scene) in scenes.iter().enumerate() {
        assert_eq!((&scene["scene"], &scene["status"]), (&json!(index), &json!("rendered")));
        assert_eq!((&scene["attempts"], &scene["language"]), (&json!(1), &json!("typst")));
        assert!(scene["code"].as_str().unwrap().contains('#') && scene["frames"].as_u64().unwrap() > 10);
        assert!(scene["title"].is_string() && scene["rendered_at"].is_string());
    }
    let spoken: String = scenes.iter().map(|scene| scene["narration"].as_str().unwrap()).collect();
    assert!(spoken.contains("Ions move.") && spoken.contains("two poles"), "{spoken}");
    system.read_models().await.caught_up().await;
    let stored: Value = system.get(&path(&job_id, "scenes")).await.json().await.unwrap();
    assert_eq!(stored, answer, "the rows are what the history leads to");
    system.running.stop().await;
}

#[tokio::test]
async fn what_is_told_of_a_job_is_told_to_its_owner_alone() {
    let system = System::start(&API).await;
    let job_id = system.generate(&short_request()).await;
    let none: Value = system.get(&path(&job_id, "scenes")).await.json().await.unwrap();
    assert_eq!(none["scenes"], json!([]), "it is not planned yet");
    let unknown = uuid::Uuid::now_v7().to_string();
    for what in ["scenes", "video-url"] {
        let mut refused = vec![];
        for (user, id) in [("user_2", job_id.as_str()), ("user_1", &unknown), ("user_1", "not-an-id")] {
            let request =
                system.anonymous(Method::GET, &path(id, what)).bearer_auth(system.token(user, "auditor"));
            let (status, error) = error_of(request.send().await.unwrap()).await;
            refused.push((
                status,
                error["error_code"].clone(),
                error["message"].clone(),
                error["details"].clone(),
            ));
        }
        assert_eq!(refused[0].0, 404, "{what}");
        assert!(refused.iter().all(|one| *one == refused[0]), "{refused:?}");
        let anonymous = system.anonymous(Method::GET, &path(&job_id, what)).send().await.unwrap();
        assert_eq!(error_of(anonymous).await.0, 401);
    }
    system.running.stop().await;
}

// 000-5.1, 000-6.2
#[tokio::test]
async fn no_field_is_null_for_want_of_work() {
    let system = System::start(&ALL_ROLES).await;
    let accepted: Value =
        system.post("/api/v1/videos/generate", &short_request()).await.json().await.unwrap();
    let job_id = accepted["job_id"].as_str().unwrap().to_owned();
    let statuses = system.statuses_until_ended(&job_id, Duration::from_secs(100)).await;
    for status in statuses.iter().filter(|status| status["completed_at"].is_null()) {
        for field in
            ["/estimated_completion", "/progress/estimated_completion", "/progress/processing_time_seconds"]
        {
            assert!(!status.pointer(field).unwrap().is_null(), "{field}: {status}");
        }
        for field in ["queue_time_seconds", "processing_time_seconds", "cpu_usage_percent", "memory_usage_mb"]
        {
            assert!(status["metrics"][field].as_f64().unwrap() >= 0.0, "{field}: {status}");
        }
    }
    let done = statuses.last().unwrap();
    assert_eq!(done["estimated_completion"], done["completed_at"]);
    let (percent, megabytes) = (
        done["metrics"]["cpu_usage_percent"].as_f64().unwrap(),
        done["metrics"]["memory_usage_mb"].as_f64().unwrap(),
    );
    assert!((1.0..6400.0).contains(&percent), "{done}");
    assert!((10.0..20_000.0).contains(&megabytes), "{done}");
    // The voice is a child, and what it takes is counted.
    let measured: Vec<Value> =
        system.events(&job_id).await.into_iter().filter(|event| event["type"] == "StageMeasured").collect();
    let of_stage = |stage: &str| measured.iter().filter(|event| event["data"]["stage"] == stage).count();
    assert!(
        of_stage("rendering") >= 1 && of_stage("scenario_creation") >= 1 && of_stage("storage") == 1,
        "{measured:?}"
    );
    assert!(measured.iter().all(|event| event["data"]["peak_memory_bytes"].as_u64().unwrap() > 1 << 20));

    let metadata: Value = system.get(&path(&job_id, "metadata")).await.json().await.unwrap();
    let technical = &metadata["technical_metadata"];
    assert!(technical["format"]["format_name"].as_str().unwrap().contains("mp4"), "{technical}");
    assert_eq!(technical["format"]["size"], metadata["video"]["file_size"]);
    let streams = technical["streams"].as_array().unwrap();
    assert_eq!(technical["format"]["nb_streams"], streams.len());
    let of_type = |kind: &str| streams.iter().find(|stream| stream["codec_type"] == kind).unwrap();
    let (video, audio) = (of_type("video"), of_type("audio"));
    assert_eq!(
        (&video["codec_name"], &video["width"], &video["height"]),
        (&json!("h264"), &json!(854), &json!(480))
    );
    assert_eq!((&video["pix_fmt"], &video["avg_frame_rate"]), (&json!("yuv420p"), &json!("30/1")));
    assert_eq!(video["nb_frames"], technical["frames"]);
    assert_eq!((&audio["codec_name"], &audio["sample_rate"]), (&json!("aac"), &json!(48_000)));
    system.read_models().await.caught_up().await;
    system.read_models().await.verify().await;
    system.running.stop().await;
}

// 000-5.1, 000-5.3, 001-4.5
#[tokio::test]
async fn a_failure_tells_where_why_and_what_was_tried() {
    let system = System::start_with(&ALL_ROLES, |config| {
        config.media.espeak_program = "/srv/voices/no-such-voice".into();
        for settings in config.streams.stages.values_mut() {
            settings.attempts = 2;
        }
    })
    .await;
    let one_scene = || {
        json!({
            "topic": "Ions",
            "scenes": [{ "title": "Ions", "steps": [{ "narration": "Ions move." }] }],
        })
    };
    let mut body = one_scene();
    body["custom_config"] = json!({ "retry_attempts": 1 });
    let job_id = system.generate(&body).await;
    let failed = system.statuses_until_ended(&job_id, Duration::from_secs(60)).await.pop().unwrap();
    let error = &failed["error"];
    assert_eq!(
        (&failed["status"], &error["error_code"]),
        (&json!("failed"), &json!("NARRATION_FAILED")),
        "{failed}"
    );
    assert_eq!((&error["retry_count"], &error["max_retries"]), (&json!(1), &json!(1)));
    let details = &error["error_details"];
    assert_eq!(
        (&details["stage"], &details["scene"], &details["attempt"]),
        (&json!("scenario_creation"), &json!(0), &json!(2))
    );
    let causes = details["causes"].as_array().unwrap();
    assert!(causes[0].as_str().unwrap().contains("no-such-voice"), "{details}");
    assert!(causes.iter().all(|cause| !cause.as_str().unwrap().contains("/srv/voices")), "{details}");
    let tried: Vec<(&Value, &Value)> = details["tried"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (&one["attempt"], &one["error_code"]))
        .collect();
    assert_eq!(tried, [(&json!(1), &json!("NARRATION_FAILED")), (&json!(2), &json!("NARRATION_FAILED"))]);
    assert_eq!(failed["estimated_completion"], failed["updated_at"]);

    let mut body = one_scene();
    body["custom_config"] = json!({ "retry_attempts": 0 });
    let job_id = system.generate(&body).await;
    let failed = system.statuses_until_ended(&job_id, Duration::from_secs(60)).await.pop().unwrap();
    assert_eq!((&failed["error"]["retry_count"], &failed["error"]["max_retries"]), (&json!(0), &json!(0)));
    system.running.stop().await;
}

#[tokio::test]
async fn settings_of_older_clients_have_their_effect_or_are_refused() {
    let system = System::start(&ALL_ROLES).await;
    let mut body = short_request();
    body["custom_config"] = json!({
        "pipeline_version": "2.0", "enable_streaming": false, "thumbnail_generation": false,
        "cleanup_local_files": false, "s3_upload_enabled": false, "retry_attempts": 3,
    });
    let job_id = system.completed(&body).await;
    let metadata: Value = system.get(&path(&job_id, "metadata")).await.json().await.unwrap();
    assert_eq!(metadata["streaming_info"]["hls_url"], Value::Null);
    assert_eq!(metadata["thumbnail_urls"], json!([]));
    assert_eq!(system.get(&path(&job_id, "stream")).await.status(), 200, "the file itself can be streamed");
    assert_eq!(system.get(&path(&job_id, "hls/master.m3u8")).await.status(), 404);
    let work = system.media().join("work").join(&job_id);
    assert!(work.is_dir(), "what the video was made with is kept");
    // For a day: then the next sweep removes it, and what a crash left behind of jobs that have ended.
    let foreign = system.media().join("work").join(uuid::Uuid::now_v7().to_string());
    std::fs::create_dir(&foreign).unwrap();
    let yesterday = std::time::SystemTime::now() - Duration::from_secs(25 * 3600);
    for folder in [&work, &foreign] {
        std::fs::File::open(folder).unwrap().set_modified(yesterday).unwrap();
    }
    let workers = Running::start(system.config.clone(), &[Role::Worker]).await;
    eventually("the folder is removed", async || !work.exists()).await;
    assert!(foreign.exists(), "nothing is known of that job here");
    workers.stop().await;
    let plain = system.completed(&short_request()).await;
    // The status says "completed" a moment before the folder goes.
    let work = system.media().join("work").join(plain);
    eventually("the folder is removed", async || !work.exists()).await;

    let mut body = short_request();
    body["custom_config"] = json!({
        "pipeline_version": "3.0", "enable_streaming": "yes", "thumbnail_generation": 1, "cleanup_local_files": [],
        "s3_upload_enabled": "yes", "retry_attempts": 11,
    });
    let (status, error) = error_of(system.post("/api/v1/videos/generate", &body).await).await;
    let details = error["details"].as_array().unwrap();
    let mut named: Vec<&str> = details.iter().map(|detail| detail["loc"][2].as_str().unwrap()).collect();
    named.sort_unstable();
    assert_eq!(status, 422);
    assert_eq!(
        named,
        [
            "cleanup_local_files",
            "enable_streaming",
            "pipeline_version",
            "retry_attempts",
            "s3_upload_enabled",
            "thumbnail_generation"
        ]
    );
    body["custom_config"] = json!({ "s3_upload_enabled": true });
    let (status, error) = error_of(system.post("/api/v1/videos/generate", &body).await).await;
    let loc = &error["details"][0]["loc"];
    assert_eq!((status, loc), (422, &json!(["body", "custom_config", "s3_upload_enabled"])), "no S3 is here");
    system.running.stop().await;
}
