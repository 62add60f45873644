//! Where a video is, what its scenes are, and what is told of a job while and after it is made.

use std::time::Duration;

use reelstream::app::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{ALL_ROLES, System, error_of, short_request};

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
        for (user, id) in [("user_2", job_id.as_str()), ("user_1", &unknown), ("user_1", "..%2f..%00")] {
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
