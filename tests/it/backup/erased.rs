//! Who was erased after a backup stays erased after its restore.

use reelstream::ids::JobId;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{API_AND_PROJECTOR, Scene};
use crate::harness::short_request;

const ANNA: &str = "user_anna";

async fn request_of_anna(scene: &Scene) -> JobId {
    let request = scene.system.anonymous(Method::POST, "/api/v1/videos/generate");
    let request = request.bearer_auth(scene.system.token(ANNA, "user"));
    let mut body = short_request();
    body["topic"] = json!("A secret of Anna");
    let answer: Value = request.json(&body).send().await.unwrap().json().await.unwrap();
    answer["job_id"].as_str().unwrap().parse().unwrap()
}

async fn first_event(scene: &Scene, job_id: JobId) -> Value {
    let request = scene.system.anonymous(Method::GET, &format!("/api/v1/jobs/{job_id}/events"));
    let answer = request.bearer_auth(scene.system.token(ANNA, "user")).send().await.unwrap();
    let mut events: Value = answer.json().await.unwrap();
    events["events"][0].take()
}

async fn live_keys_of_anna(scene: &Scene) -> i64 {
    let pool = PgPool::connect(&scene.system.config.postgres.url).await.unwrap();
    let query = "select count(*) from user_keys where user_id = $1 and wrapped is not null";
    sqlx::query_scalar(query).bind(ANNA).fetch_one(&pool).await.unwrap()
}

/// The backup has her words and her key; the erasure is in nothing but the register, beside the archive.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_was_erased_after_the_backup_is_erased_again() {
    let mut scene = Scene::new().await;
    let job_id = request_of_anna(&scene).await;
    scene.system.read_models().await.caught_up().await;
    let backup = scene.backup("backup");
    let (ok, said) = scene.reel(&["erase", "user", ANNA, "--yes"]);
    assert!(ok, "{said}");
    scene.system.stop_roles().await;
    scene.lose_redis().await;
    scene.lose_postgres().await;
    let (ok, said) = scene.reel(&["restore", &backup]);
    assert!(ok && said.contains(&format!("erased again: {ANNA}")), "{said}");
    assert!(said.contains("1 users erased again"), "{said}");
    assert_eq!(live_keys_of_anna(&scene).await, 0);
    let history = scene.system.log().await.history(job_id.aggregate(), 0).await.unwrap();
    let last: Vec<&str> = history.iter().rev().take(2).map(|event| &*event.event_type).collect();
    assert_eq!(last, ["ContentErased", "JobCancelled"]);
    scene.system.start_roles(&API_AND_PROJECTOR).await;
    assert_eq!(first_event(&scene, job_id).await["data"]["request"]["topic"], "[sealed]");
    let rows = scene.system.read_models().await.rows().await;
    assert!(!format!("{rows:?}").contains("secret of Anna"));
    scene.system.stop_roles().await;
    scene.goes_on().await;
}

/// Without the register, nobody can know who was erased: an operator has to say that this is so.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_register_a_restore_is_refused() {
    let mut scene = Scene::new().await;
    let job_id = request_of_anna(&scene).await;
    scene.system.read_models().await.caught_up().await;
    let backup = scene.backup("backup");
    let (ok, said) = scene.reel(&["erase", "user", ANNA, "--yes"]);
    assert!(ok, "{said}");
    scene.system.stop_roles().await;
    scene.lose_redis().await;
    scene.lose_postgres().await;
    scene.system.config.archive =
        reelstream::config::ArchiveConfig::new(scene.system.servers.folder.path().join("another archive"));
    let (ok, said) = scene.reel(&["restore", &backup]);
    assert!(!ok && said.contains("the register of erasures that belongs to this backup"), "{said}");
    assert_eq!((live_keys_of_anna(&scene).await, scene.system.log().await.head(0).await.unwrap()), (0, 0));
    let (ok, said) = scene.reel(&["restore", &backup, "--erasures-unknown"]);
    assert!(ok, "{said}");
    scene.system.start_roles(&API_AND_PROJECTOR).await;
    assert_eq!(first_event(&scene, job_id).await["data"]["request"]["topic"], "A secret of Anna");
    scene.system.stop_roles().await;
}
