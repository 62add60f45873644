//! Animations: code in a script, Manim in its sandbox, and pages in their place where it cannot be drawn.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{ALL_ROLES, System};

const PATIENCE: Duration = Duration::from_secs(180);

/// A script whose animation turns the whole picture red. Its code is for an older version.
const SCRIPT: &str = "# Shapes\n\n## Red\n\nA square fills the picture.\n\n```manim\nfrom manim import *\n\n\nclass Red(Scene):\n    \
    def construct(self):\n        square = Square(side_length=30, color=RED, fill_opacity=1)\n        \
    self.play(ShowCreation(square), run_time=0.3)\n        self.wait(0.3)\n```\n\nIt stays until this line ends.\n\n\
    ## Words\n\nNothing is drawn here. It is only said.";

/// Returns the mean of red, green and blue of the picture at a time, by another program than ours.
fn mean_colour(video: &Path, seconds: f64) -> [u8; 3] {
    let seconds = seconds.to_string();
    let filter = "scale=1:1:flags=area,format=rgb24";
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-ss", &seconds, "-i"])
        .arg(video)
        .args(["-frames:v", "1", "-vf", filter, "-f", "rawvideo", "-"])
        .output()
        .unwrap();
    output.stdout[..3].try_into().unwrap()
}

async fn download(system: &System, job_id: &str) -> PathBuf {
    let path = system.servers.folder.path().join("downloaded.mp4");
    let download = system.get(&format!("/api/v1/videos/jobs/{job_id}/download")).await;
    std::fs::write(&path, download.bytes().await.unwrap()).unwrap();
    path
}

async fn scenes(system: &System, job_id: &str) -> Vec<Value> {
    let answer = system.get(&format!("/api/v1/videos/jobs/{job_id}/scenes")).await;
    answer.json::<Value>().await.unwrap()["scenes"].as_array().unwrap().clone()
}

/// 000-2.3, 000-7, 001-1.3 to 001-1.5, 001-4.2
#[tokio::test]
async fn code_in_a_script_is_corrected_drawn_and_joined_with_other_scenes() {
    let system = System::start(&ALL_ROLES).await;
    let body =
        json!({ "topic": "Shapes", "script": SCRIPT, "quality": "low", "custom_config": { "fps": 24 } });
    let job_id = system.generate(&body).await;
    let last = system.statuses_until_ended(&job_id, PATIENCE).await.pop().unwrap();
    assert_eq!(last["status"], "completed", "{last}");
    assert!(!system.warnings(&job_id).await.contains("ANIMATION_NOT_DRAWN"));

    let scenes = scenes(&system, &job_id).await;
    let drawn = scenes.iter().position(|scene| scene["language"] == "manim").unwrap();
    let attempts = scenes[drawn]["code_attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{attempts:#?}");
    let error = attempts[0]["error"].as_str().unwrap();
    assert!(error.contains("ShowCreation") && error.contains("line 7"), "{error}");
    assert!(attempts[1]["error"].is_null());
    assert_eq!(attempts[1]["code"], scenes[drawn]["code"]);
    assert!(scenes[drawn]["code"].as_str().unwrap().contains("self.play(Create(square)"));
    assert!(scenes[drawn]["narration"].as_str().unwrap().contains("until this line ends"));
    assert!(scenes.iter().filter(|scene| scene["language"] == "typst").count() >= 2);

    let video = download(&system, &job_id).await;
    let start: f64 = scenes[..drawn].iter().map(|scene| scene["duration"].as_f64().unwrap()).sum();
    let duration = scenes[drawn]["duration"].as_f64().unwrap();
    // Half a second into the scene, the animation is over, and its last frame stays while the narration goes on.
    for seconds in [start + duration / 2.0, start + duration - 0.5] {
        let [red, green, blue] = mean_colour(&video, seconds);
        assert!(red > 180 && green < 130 && blue < 130, "{:?} at {seconds} s", [red, green, blue]);
    }
    let [red, green, _] = mean_colour(&video, start + duration + 1.0);
    assert!(red.abs_diff(green) < 60, "the next scene is not red");
    system.running.stop().await;
}

/// 001-4.2: without Manim the video is made all the same, and says what is missing; a strict job fails with what to do.
#[tokio::test]
async fn without_manim_a_page_stands_for_the_animation_unless_the_job_is_strict() {
    let nowhere = |config: &mut reelstream::config::Config| config.media.manim = "/nowhere/manim".into();
    let system = System::start_with(&ALL_ROLES, nowhere).await;
    let mut body = json!({ "topic": "Shapes", "script": SCRIPT, "quality": "low" });
    let job_id = system.completed(&body).await;
    let warnings = system.warnings(&job_id).await;
    assert!(warnings.contains("ANIMATION_NOT_DRAWN"), "{warnings}");
    assert!(warnings.contains("run scripts/setup-manim"), "{warnings}");
    let scenes = scenes(&system, &job_id).await;
    assert!(scenes.iter().all(|scene| scene["language"] == "typst"));
    assert!(
        scenes.iter().any(|scene| scene["code"].as_str().unwrap().contains("ShowCreation")),
        "its code is shown"
    );

    body["custom_config"] = json!({ "strict": true });
    let job_id = system.generate(&body).await;
    let last = system.statuses_until_ended(&job_id, PATIENCE).await.pop().unwrap();
    assert_eq!(last["status"], "failed", "{last}");
    assert_eq!(last["error"]["error_code"], "ANIMATION_FAILED", "{last}");
    assert!(last["error"].to_string().contains("scripts/setup-manim"), "{last}");
    system.running.stop().await;
}
