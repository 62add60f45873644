//! `reel preview`: its page, and what follows a save.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HOST, RANGE};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::media::videos::probe;

const PATIENCE: Duration = Duration::from_secs(120);

const SCRIPT: &str = "# Salt\n\n## Crystals\n\nA crystal is a lattice of ions. Each ion holds its neighbours.\n\n\
    ## Water\n\nWater pulls the ions apart. Every ion gets a shell of water.\n\n\
    ## Taste\n\nThe tongue has gates for sodium. They open when it comes near. A nerve then tells the brain.\n";

/// A running preview, with a folder of its own for its temporary files.
struct Preview {
    child: Child,
    url: String,
}

impl Preview {
    fn start(file: &Path, temporary: &Path) -> Self {
        std::fs::create_dir(temporary).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_reel"))
            .args(["preview", "--quality", "low"])
            .arg(file)
            .env("TMPDIR", temporary)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = said.next().unwrap().unwrap();
        let url = first.split_whitespace().find(|word| word.starts_with("http://127.0.0.1:")).unwrap();
        let url = url.trim_end_matches('/').to_owned();
        // It goes on talking about its work.
        std::thread::spawn(move || said.for_each(drop));
        Self { child, url }
    }

    async fn get(&self, path: &str) -> Vec<u8> {
        let answer = reqwest::get(format!("{}{path}", self.url)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.bytes().await.unwrap().to_vec()
    }

    async fn states(&self) -> States {
        let answer = reqwest::get(format!("{}/events", self.url)).await.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/event-stream; charset=utf-8");
        States { answer, unread: String::new() }
    }

    fn interrupt(mut self) {
        kill_process(Pid::from_raw(self.child.id() as i32).unwrap(), Signal::INT).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Preview {
    fn drop(&mut self) {
        // After a failed test; one that was interrupted has ended.
        let _ended_already = self.child.kill();
        let _ended_already = self.child.wait();
    }
}

/// The stream of states.
struct States {
    answer: reqwest::Response,
    unread: String,
}

impl States {
    /// Returns the next state that `is_wanted`.
    async fn wait_for(&mut self, what: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let found = tokio::time::timeout(PATIENCE, async {
            loop {
                let state = self.next().await;
                if is_wanted(&state) {
                    return state;
                }
                last = state;
            }
        });
        found.await.unwrap_or_else(|_| panic!("there is no state with {what}; the last one is {last}"))
    }

    async fn next(&mut self) -> Value {
        loop {
            if let Some((frame, rest)) = self.unread.split_once("\n\n") {
                let data = frame.strip_prefix("event: state\ndata: ").map(str::to_owned);
                self.unread = rest.to_owned();
                match data {
                    Some(data) => return serde_json::from_str(&data).unwrap(),
                    None => continue,
                }
            }
            let chunk = self.answer.chunk().await.unwrap().expect("the stream goes on");
            self.unread.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

fn scenes(state: &Value) -> &[Value] {
    state["scenes"].as_array().unwrap()
}

fn is_ready(state: &Value) -> bool {
    !scenes(state).is_empty() && scenes(state).iter().all(|scene| scene["has_clip"] == true)
}

#[tokio::test(flavor = "multi_thread")]
async fn preview_makes_anew_what_an_edit_changes() {
    let folder = tempfile::tempdir().unwrap();
    let (file, temporary) = (folder.path().join("salt.md"), folder.path().join("temporary"));
    std::fs::write(&file, SCRIPT).unwrap();
    let preview = Preview::start(&file, &temporary);
    assert!(String::from_utf8(preview.get("/").await).unwrap().contains("<video"));
    let mut states = preview.states().await;
    let before = states.wait_for("all clips", is_ready).await;
    assert_eq!((&before["title"], &before["is_current"]), (&json!("Salt"), &json!(true)), "{before}");
    assert_eq!(before["problems"], json!([]));

    let edited = SCRIPT.replace("Every ion gets a shell of water.", "Every ion gets a coat of water.");
    std::fs::write(folder.path().join("new"), &edited).unwrap();
    std::fs::rename(folder.path().join("new"), &file).unwrap();
    let is_new = |state: &Value| state["revision"] == 2;
    let after = states.wait_for("the edit", is_new).await;
    let index = scenes(&before).iter().position(|scene| scene["title"] == "Water").unwrap();
    assert_eq!(scenes(&before).len(), scenes(&after).len());
    for (position, (old, new)) in scenes(&before).iter().zip(scenes(&after)).enumerate() {
        assert_eq!(old["id"], new["id"]);
        assert_eq!(old["version"] != new["version"], position == index, "scene {position}: {old}, {new}");
        assert_eq!(new["has_clip"], position != index, "clips of the others stay");
    }
    assert_eq!(after["edited"], scenes(&after)[index]["id"]);

    let version = scenes(&after)[index]["version"].as_str().unwrap();
    let has = |field: &'static str| move |state: &Value| scenes(state)[index][field] == true;
    states.wait_for("the still", has("has_still")).await;
    let still = preview.get(&format!("/stills/{version}.png")).await;
    let still = image::load_from_memory_with_format(&still, image::ImageFormat::Png).unwrap();
    assert_eq!((still.width(), still.height()), (854, 480));
    let old = scenes(&before)[index]["version"].as_str().unwrap();
    let old = image::load_from_memory(&preview.get(&format!("/stills/{old}.png")).await).unwrap();
    assert!(still != old, "the still shows the edit");

    let ready = states.wait_for("the clip", has("has_clip")).await;
    let clip = folder.path().join("clip.mp4");
    std::fs::write(&clip, preview.get(&format!("/clips/{version}.mp4")).await).unwrap();
    let facts = probe(&clip);
    let kinds: Vec<&Value> =
        facts["streams"].as_array().unwrap().iter().map(|stream| &stream["codec_name"]).collect();
    assert_eq!(kinds, ["h264", "aac"]);
    let lasts_ms = facts["format"]["duration"].as_str().unwrap().parse::<f64>().unwrap() * 1000.0;
    let told_ms = scenes(&ready)[index]["duration_ms"].as_f64().unwrap();
    assert!((lasts_ms - told_ms).abs() < 100.0, "{lasts_ms}, {told_ms}");
    let request = reqwest::Client::new().get(format!("{}/clips/{version}.mp4", preview.url));
    let part = request.header(RANGE, "bytes=100-199").send().await.unwrap();
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT, "players seek");
    assert_eq!(part.bytes().await.unwrap(), std::fs::read(&clip).unwrap()[100..200]);

    std::fs::write(
        &file,
        edited.replace("## Water", "## Acids\n\nAn acid gives protons away. A base takes them.\n\n## Water"),
    )
    .unwrap();
    let inserted =
        states.wait_for("one more scene", |state| scenes(state).len() > scenes(&after).len()).await;
    let water = scenes(&inserted).iter().find(|scene| scene["title"] == "Water").unwrap();
    assert_eq!(water["id"], scenes(&after)[index]["id"], "it is the same scene, in another place");
    assert!(scenes(&inserted).iter().any(|scene| scene["title"] == "Acids"), "{inserted}");
    // Another page may be drawn in another way now, so that the same composition does not repeat.
    let shown = scenes(&inserted).iter().find(|scene| scene["id"] == inserted["edited"]).unwrap();
    let is_old = scenes(&after).iter().any(|scene| scene["version"] == shown["version"]);
    assert!(!is_old, "the page goes to a scene that changed: {inserted}");

    std::fs::remove_file(&file).unwrap();
    let gone = states.wait_for("a problem", |state| state["is_current"] == false).await;
    assert!(gone["problems"][0]["message"].as_str().unwrap().contains("is not there"), "{gone}");
    assert_eq!(scenes(&gone).len(), scenes(&inserted).len(), "the last good video stays");
    std::fs::write(&file, b"# Salt\n\nGr\xfc\xdfe").unwrap();
    let garbled = states.wait_for("other text", |state| state["problems"][0]["line"] == 3).await;
    assert!(garbled["problems"][0]["message"].as_str().unwrap().contains("is not UTF-8"), "{garbled}");
    std::fs::write(&file, SCRIPT).unwrap();
    let undone = states.wait_for("no problem", |state| state["is_current"] == true).await;
    assert!(is_ready(&undone), "what was made before is there at once");

    preview.interrupt();
    let left: Vec<_> = std::fs::read_dir(&temporary).unwrap().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn preview_tells_where_a_description_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("two.json");
    let good = "{ \"version\": 1, \"title\": \"Two\", \"scenes\": [\n\
        { \"title\": \"One\", \"steps\": [{ \"narration\": \"One.\" }] },\n\
        { \"title\": \"Two\", \"blocks\": [{ \"kind\": \"bullet\", \"text\": \"b\" }],\n\
          \"steps\": [{ \"narration\": \"Two.\", \"reveals\": [{ \"block\": 0 }] }] }\n] }\n";
    std::fs::write(&file, good.replace("\"block\": 0", "\"block\": 4")).unwrap();
    let preview = Preview::start(&file, &folder.path().join("temporary"));
    let mut states = preview.states().await;
    let wrong = states.wait_for("a fault", |state| state["problems"] != json!([])).await;
    let fault = &wrong["problems"][0];
    assert_eq!(
        (&fault["line"], &fault["path"]),
        (&json!(4), &json!("scenes.1.steps.0.reveals.0")),
        "{fault}"
    );
    assert!(fault["message"].as_str().unwrap().starts_with("reveals block 4"), "{fault}");
    std::fs::write(&file, good).unwrap();
    let mended = states.wait_for("scenes", |state| scenes(state).len() == 2).await;
    assert_eq!(mended["problems"], json!([]));
    let with_picture = "{ \"kind\": \"image\", \"file\": \"none.png\" }";
    std::fs::write(&file, good.replace("{ \"kind\": \"bullet\", \"text\": \"b\" }", with_picture)).unwrap();
    let missing = states.wait_for("a fault", |state| state["problems"] != json!([])).await;
    let fault = &missing["problems"][0];
    assert_eq!(fault["line"], 3, "{fault}");
    let message = fault["message"].as_str().unwrap();
    assert!(message.starts_with("scene 2: ") && message.contains("none.png cannot be read"), "{message}");
    image::RgbImage::new(30, 20).save(folder.path().join("none.png")).unwrap();
    states.wait_for("the picture, once it is there", |state| state["is_current"] == true).await;
    let with_formula = "{ \"kind\": \"formula\", \"latex\": \"a # b\" }";
    std::fs::write(&file, good.replace("{ \"kind\": \"bullet\", \"text\": \"b\" }", with_formula)).unwrap();
    let unreadable = states.wait_for("a formula", |state| state["problems"][0]["scene"] == 2).await;
    let fault = &unreadable["problems"][0];
    assert_eq!((&fault["line"], &fault["path"]), (&json!(3), &json!("scenes.1.blocks.0")), "{fault}");
    assert_eq!(unreadable["is_current"], true, "the scene is made all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn preview_refuses_to_be_reached_by_another_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("salt.md");
    std::fs::write(&file, SCRIPT).unwrap();
    let preview = Preview::start(&file, &folder.path().join("temporary"));
    let ask = async |path: &str, host: &str| {
        let request = reqwest::Client::new().get(format!("{}{path}", preview.url));
        let answer = request.header(HOST, host).send().await.unwrap();
        (answer.status(), answer.headers().clone())
    };
    let port = preview.url.rsplit(':').next().unwrap();
    for path in ["/", "/events", "/stills/x.png", "/clips/x.mp4"] {
        for host in
            [format!("evil.example:{port}"), "127.0.0.1".to_owned(), format!("127.0.0.1.evil.example:{port}")]
        {
            assert_eq!(ask(path, &host).await.0, StatusCode::FORBIDDEN, "{path} as {host}");
        }
    }
    let (status, headers) = ask("/", &format!("localhost:{port}")).await;
    assert_eq!(status, StatusCode::OK);
    assert!(!headers.contains_key("access-control-allow-origin"));
    assert!(
        headers["content-security-policy"]
            .to_str()
            .unwrap()
            .starts_with("default-src 'none'; script-src 'sha256-")
    );
    let outside = format!("/stills/{}", "..%2F..%2Fsalt.md.png");
    assert_eq!(ask(&outside, &format!("127.0.0.1:{port}")).await.0, StatusCode::NOT_FOUND);
}
