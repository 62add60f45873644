//! Scene descriptions: on the command line without servers, and through the API.

use std::process::{Command, Output};
use std::time::Duration;

use reelstream::app::Role;
use serde_json::{Value, json};

use crate::harness::{ALL_ROLES, System};
use crate::media::videos::probe;

fn reel(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_reel")).args(arguments).output().unwrap()
}

fn description() -> Value {
    json!({ "version": 1, "title": "Three kinds", "look": { "theme": "midnight", "aspect": "9:16" }, "scenes": [
        { "layout": "title", "title": "Three kinds", "steps": [{ "narration": "Three kinds." }] },
        { "title": "Numbers", "blocks": [
            { "kind": "chart", "chart": "bar", "labels": ["a", "b"], "series": [{ "values": [1, 2] }] }
          ], "steps": [{ "narration": "The second is twice the first." }] },
        { "title": "Words", "blocks": [{ "kind": "bullet", "text": "One" }, { "kind": "bullet", "text": "Two" }],
          "steps": [{ "narration": "One.", "reveals": [{ "block": 0 }] },
                    { "narration": "And two.", "enter": "wipe", "reveals": [{ "block": 1 }] }] },
    ]})
}

#[test]
fn a_description_becomes_a_video_without_servers() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("three.json"), folder.path().join("three.mp4"));
    std::fs::write(&file, description().to_string()).unwrap();
    let made = reel(&["render", file.to_str().unwrap(), "--quality", "low", "--fps", "25"]);
    let said = String::from_utf8(made.stdout).unwrap();
    assert!(
        made.status.success() && said.contains("480x854"),
        "{said}{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let facts = probe(&out);
    let streams = facts["streams"].as_array().unwrap();
    assert_eq!((&streams[0]["width"], &streams[0]["height"]), (&json!(480), &json!(854)));
    assert_eq!(streams[0]["avg_frame_rate"], "25/1");
    assert_eq!(facts["format"]["tags"]["title"], "Three kinds");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left beside it");
}

#[test]
fn every_fault_of_a_description_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.json");
    let mut bad = description();
    bad["scenes"][1]["blocks"][0]["labels"] = json!([]);
    bad["scenes"][2]["steps"][0]["reveals"][0]["block"] = json!(7);
    std::fs::write(&file, bad.to_string()).unwrap();
    let refused = reel(&["render", file.to_str().unwrap()]);
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success());
    for fault in [
        "scenes.1.blocks.0.labels: has 0 entries, but must have 1 to 16",
        "scenes.1.blocks.0.series.0.values: has 2 values, but there are 0 labels",
        "scenes.2.steps.0.reveals.0: reveals block 7, but the scene has 2 blocks",
    ] {
        assert!(told.contains(fault), "{fault} in {told}");
    }
}

#[test]
fn a_script_becomes_a_description_that_the_schema_names() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("script.md");
    std::fs::write(&file, "# Ions\n\n## Steps\n\n1. They leave\n2. They cross\n\nThat is all.").unwrap();
    let planned = reel(&["render", file.to_str().unwrap(), "--plan", "--theme", "plum"]);
    let planned: Value = serde_json::from_slice(&planned.stdout).unwrap();
    assert_eq!((&planned["version"], &planned["look"]["theme"]), (&json!(1), &json!("plum")));
    let schema: Value = serde_json::from_slice(&reel(&["schema"]).stdout).unwrap();
    for field in planned.as_object().unwrap().keys() {
        assert!(schema["properties"].get(field).is_some(), "{field}");
    }
    let unknown = reel(&["render", file.to_str().unwrap(), "--theme", "neon"]);
    let told = String::from_utf8(unknown.stderr).unwrap();
    assert!(told.contains("--theme is `neon`, but must be one of paper, midnight"), "{told}");
}

#[tokio::test]
async fn clients_that_plan_themselves_send_scenes() {
    let system = System::start(&ALL_ROLES).await;
    let body = json!({
        "topic": "Three kinds", "scenes": description()["scenes"], "quality": "low", "template_id": "meadow",
        "style_preferences": { "aspect_ratio": "1:1", "accent_color": "#aa3300" },
    });
    let job_id = system.generate(&body).await;
    let last = system.statuses_until_ended(&job_id, Duration::from_secs(120)).await.pop().unwrap();
    assert_eq!(last["status"], "completed", "{last}");
    assert_eq!((&last["video"]["width"], &last["video"]["height"]), (&json!(480), &json!(480)));
    // A thumbnail has the video's shape.
    let thumbnail = system.get(&format!("/api/v1/videos/jobs/{job_id}/thumbnail?size=small")).await;
    let picture = image::load_from_memory(&thumbnail.bytes().await.unwrap()).unwrap();
    assert_eq!((picture.width(), picture.height()), (320, 320));
    let events = system.events(&job_id).await;
    let planned = events.iter().filter(|event| event["type"] == "ScenePlanned");
    let titles: Vec<&str> =
        planned.map(|event| event["data"]["description"]["title"].as_str().unwrap()).collect();
    assert_eq!(titles, ["Three kinds", "Numbers", "Words"]);
    system.running.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_scenes_and_looks_is_told_with_its_place() {
    static API: [Role; 1] = [Role::Api];
    let system = System::start(&API).await;
    let mut body = json!({ "topic": "Three kinds", "scenes": description()["scenes"], "template_id": "neon",
        "style_preferences": { "aspect_ratio": "4:3", "accent_color": "red" } });
    body["scenes"][1]["blocks"][0]["kind"] = "banner".into();
    let answer = system.post("/api/v1/videos/generate", &body).await;
    assert_eq!(answer.status(), 422);
    let answer: Value = answer.json().await.unwrap();
    let told: Vec<String> = answer["error"]["details"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| format!("{} {}", fault["loc"], fault["msg"]))
        .collect();
    let told = told.join("\n");
    for part in [
        r#"["body","scenes","1","blocks","0","kind"] "unknown variant `banner`, expected one of `paragraph`"#,
        r#"["body","template_id"] "is \"neon\", but must be one of paper"#,
        r#"["body","style_preferences","aspect_ratio"] "is \"4:3\", but must be one of 16:9, 9:16, 1:1"#,
        r##"["body","style_preferences","accent_color"] "is \"red\", but must be `#`"##,
    ] {
        assert!(told.contains(part), "{part}\nin\n{told}");
    }
    system.running.stop().await;
}

/// For each scene of a finished job, whether its clip had been made before.
async fn reused(system: &System, script: &str) -> Vec<bool> {
    let body = json!({ "topic": "Ions", "script": script, "quality": "low" });
    let job_id = system.generate(&body).await;
    let last = system.statuses_until_ended(&job_id, Duration::from_secs(120)).await.pop().unwrap();
    assert_eq!(last["status"], "completed", "{last}");
    let mut clips: Vec<(u64, bool)> = system
        .events(&job_id)
        .await
        .iter()
        .filter(|event| event["type"] == "SceneRendered")
        .map(|event| {
            (event["data"]["scene"].as_u64().unwrap(), event["data"]["clip"]["reused"] == json!(true))
        })
        .collect();
    clips.sort_unstable();
    clips.into_iter().map(|(_, reused)| reused).collect()
}

#[tokio::test]
async fn a_changed_word_makes_one_scene_again() {
    let system = System::start(&ALL_ROLES).await;
    let script = "# Ions\n\n## Moving\n\nThey move to and fro. They rest at night.\n\n## Ageing\n\nThey tire \
                  in the heat. They last in the cold.\n\n> Be gentle.";
    let first = reused(&system, script).await;
    assert!(first.len() > 3 && first.iter().all(|reused| !reused), "{first:?}");
    let again = reused(&system, &script.replace("at night", "by day")).await;
    assert_eq!(again.iter().filter(|reused| !**reused).count(), 1, "{again:?}");
    let cache = system.media().join("cache");
    assert_eq!(std::fs::read_dir(&cache).unwrap().count(), 1, "one folder for the user");
    system.running.stop().await;
}

// 000-2: a requested duration is met within 5 %, or refused with what is possible.
#[tokio::test]
async fn a_requested_duration_is_met_or_refused_with_the_reason() {
    let system = System::start(&ALL_ROLES).await;
    let script = include_str!("../../fixtures/scripts/event-sourcing.md");
    let ask = |seconds: u32| {
        json!({ "topic": "Event sourcing", "script": script, "quality": "low",
                "custom_config": { "fps": 24, "duration_seconds": seconds } })
    };
    let job_id = system.generate(&ask(45)).await;
    let statuses = system.statuses_until_ended(&job_id, Duration::from_secs(100)).await;
    assert_eq!(statuses.last().unwrap()["status"], "completed", "{:?}", statuses.last());
    let metadata: Value =
        system.get(&format!("/api/v1/videos/jobs/{job_id}/metadata")).await.json().await.unwrap();
    let lasts = metadata["video"]["duration"].as_f64().unwrap();
    assert!((lasts - 45.0).abs() <= 45.0 * 0.05, "{lasts} s");

    let job_id = system.generate(&ask(500)).await;
    let statuses = system.statuses_until_ended(&job_id, Duration::from_secs(100)).await;
    let error = &statuses.last().unwrap()["error"];
    assert_eq!(
        (&error["error_code"], &error["error_stage"]),
        (&json!("DURATION_OUT_OF_REACH"), &json!("scenario_creation"))
    );
    let message = error["error_message"].as_str().unwrap();
    assert!(
        message.starts_with("the video would last from ") && message.ends_with(" but 500 s were asked for"),
        "{message}"
    );
    system.running.stop().await;
}

#[tokio::test]
async fn what_was_not_done_as_meant_is_a_warning_in_the_jobs_log() {
    let system = System::start(&ALL_ROLES).await;
    let formula = |latex: &str| json!({ "kind": "formula", "latex": latex });
    let scene = |title: &str, block: Value| json!({ "title": title, "blocks": [block], "steps": [{ "narration": "A formula." }] });
    let scenes = [scene("Sound", formula("a^2 + b^2 = c^2")), scene("Broken", formula("\\frac{1}{"))];
    let job_id = system.completed(&json!({ "topic": "Formulas", "scenes": scenes, "quality": "low" })).await;
    let told = system.warnings(&job_id).await;
    assert_eq!(told.matches("FORMULA_AS_SOURCE: block 1 holds").count(), 1, "{told}");
    system.running.stop().await;
}

#[tokio::test]
async fn a_logo_stands_on_every_page() {
    let folder = tempfile::tempdir().unwrap();
    let logo = image::RgbImage::from_pixel(400, 100, image::Rgb([220, 20, 60]));
    logo.save(folder.path().join("acme.png")).unwrap();
    let logos = Some(folder.path().to_owned());
    let system = System::start_with(&ALL_ROLES, |config| config.media.logos = logos).await;
    for (name, warned) in [("acme", false), ("nobody", true)] {
        let body = json!({ "topic": "Ions", "script": "Ions move.", "quality": "low",
                           "style_preferences": { "logo": name } });
        let job_id = system.completed(&body).await;
        let told = system.warnings(&job_id).await;
        assert_eq!(told.contains("NO_LOGO"), warned, "{told}");
        let thumbnail = system.get(&format!("/api/v1/videos/jobs/{job_id}/thumbnail?size=large")).await;
        let picture = image::load_from_memory(&thumbnail.bytes().await.unwrap()).unwrap().to_rgb8();
        let is_red = |pixel: &&image::Rgb<u8>| pixel.0[0] > 180 && pixel.0[1] < 80 && pixel.0[2] < 110;
        let red = picture.pixels().filter(is_red).count();
        assert_eq!(red > 3000, !warned, "{name}: {red} pixels of the logo's colour");
    }
    let escaping =
        json!({ "topic": "Ions", "script": "x", "style_preferences": { "logo": "../etc/passwd" } });
    let refused = system.post("/api/v1/videos/generate", &escaping).await;
    assert_eq!(refused.status(), 422);
    system.running.stop().await;
}
