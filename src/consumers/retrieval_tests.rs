//! What a plan gets of excerpts, whatever they hold and whatever fails.

use std::os::unix::fs::PermissionsExt;
use std::{fs, time::Instant};

use serde_json::json;

use super::*;

fn excerpt(source: Source, id: &str, text: &str) -> Excerpt {
    Excerpt { source, id: id.to_owned(), title: format!("{id}.txt"), text: text.to_owned() }
}

fn scene(title: &str) -> Scene {
    let json = json!({ "title": title, "blocks": [{ "kind": "statement", "text": "Water rises" }],
        "steps": [{ "narration": "Water rises.", "reveals": [{ "block": 0 }] }] });
    description::read_scenes(&[json.to_string().as_str()], &|_| Ok(())).unwrap().remove(0)
}

fn queries() -> Vec<String> {
    vec!["why water rises".to_owned(), "rain and clouds".to_owned()]
}

#[test]
fn excerpts_of_uploads_are_references_and_scenes_are_examples() {
    let own = vec![
        excerpt(Source::Upload, "weather", "Rain falls when clouds are heavy."),
        excerpt(Source::Upload, "recipe", "Knead the dough for ten minutes."),
        collect::excerpt_of_scene(Source::Scene, "job/1", &scene("Water")),
    ];
    let (references, examples) = find(None, None, own, &queries()).unwrap();
    assert_eq!(references, [Reference::new("weather.txt", "Rain falls when clouds are heavy.")]);
    assert_eq!(examples.len(), 1);
    assert_eq!(examples[0]["title"], "Water");
    assert_eq!(find(None, None, vec![], &queries()).unwrap(), (vec![], vec![]));
    assert_eq!(find(None, None, vec![], &[]).unwrap(), (vec![], vec![]));
}

#[test]
fn an_upload_of_ten_megabytes_of_one_word_costs_little_and_is_one_reference() {
    let text = "rain ".repeat(2 << 20);
    let begun = Instant::now();
    let own = excerpts_of(Source::Upload, "one", "rain.txt", &text);
    let (references, _) = find(None, None, own, &queries()).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    assert_eq!(references.len(), 1, "the same text is given once");
}

#[test]
fn an_embedder_that_hangs_leaves_the_words() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("bin/python");
    fs::create_dir(folder.path().join("bin")).unwrap();
    fs::write(&program, "#!/bin/sh\nexit 3\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let embedder = Embedder::new(folder.path());
    for _ in 0..2 {
        let own = vec![excerpt(Source::Upload, "weather", "Rain falls when clouds are heavy.")];
        let (references, _) = find(None, Some(&embedder), own, &queries()).unwrap();
        assert_eq!(references.len(), 1);
    }
}

#[test]
fn scenes_that_did_not_render_at_once_are_no_examples() {
    let progress =
        |title: &str| SceneProgress { description: scene(title), narrated: None, code: None, clip: None };
    let attempts = [((Stage::Rendering, Some(0)), 1), ((Stage::Rendering, Some(1)), 2)];
    let job = Job {
        scenes: vec![progress("Good"), progress("Retried"), progress("Never rendered")],
        last_attempts: attempts.into(),
        ..Job::default()
    };
    let job_id = JobId(uuid::Uuid::now_v7());
    let good = good_scenes(job_id, &job);
    assert_eq!(good.len(), 1);
    assert!(good[0].text.contains("Good"), "{good:?}");
    let begun_again = Job { retired_attempts: attempts.into(), ..job };
    assert!(good_scenes(job_id, &begun_again).is_empty());
}

#[test]
fn a_scene_with_a_file_or_code_or_nothing_on_it_is_no_example() {
    assert!(as_example(&scene("Water")).is_some());
    let of = |json: serde_json::Value| {
        description::read_scenes(&[json.to_string().as_str()], &|_| Ok(())).unwrap().remove(0)
    };
    let steps = json!([{ "narration": "See." }]);
    let picture =
        of(json!({ "title": "A", "blocks": [{ "kind": "image", "file": "x.png" }], "steps": steps }));
    assert_eq!(as_example(&picture), None);
    let card = of(json!({ "title": "A", "steps": steps }));
    assert_eq!(as_example(&card), None);
    let long = of(
        json!({ "title": "A", "blocks": [{ "kind": "code", "language": "text", "text": "x\n".repeat(1500) }], "steps": steps }),
    );
    assert_eq!(as_example(&long), None);
}
