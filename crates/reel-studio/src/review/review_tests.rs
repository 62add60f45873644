//! Each fault is found where it is, and none where there is none.

use reel_scene::look::Look;
use reel_scene::{Block, Scene, SceneTimeline, StepTiming, description};

use super::roles::Roles;
use super::{FaultKind, PageChoice, Report, SceneReview, pace, review, review_pages};
use crate::layout::Pages;
use crate::layout::images::Images;

/// Reviews a page drawn by Typst source, after an empty one, as the end of a scene.
fn drawn(scene: &Scene, source: &str) -> SceneReview {
    let source = format!(
        "#set page(width: 1920pt, height: 1080pt, margin: 0pt, fill: white)\n#set text(size: 48pt)\n#pagebreak()\n{source}"
    );
    let pages = Pages::compile(&source, &Images::default()).unwrap();
    SceneReview {
        scene: 1,
        title: String::new(),
        layout: scene.layout,
        composition: "x".to_owned(),
        pace: pace::pace(scene, None),
        pages: review_pages(&pages, &Roles::of(scene), 1),
    }
}

fn scene(json: &str) -> Scene {
    serde_json::from_str(json).unwrap()
}

/// A scene with the heading "A short heading" and a diagram with the node "Label".
fn plain_scene() -> Scene {
    scene(
        r#"{ "title": "A short heading", "blocks": [{ "kind": "flow", "nodes": ["Label"], "edges": [] }],
             "steps": [{ "narration": "One." }] }"#,
    )
}

/// Something that uses enough of the page, with room for text in the middle.
const CORNERS: &str = "#place(dx: 100pt, dy: 100pt, rect(width: 9pt, height: 9pt, fill: blue))
    #place(dx: 1800pt, dy: 800pt, rect(width: 9pt, height: 9pt, fill: blue))
    #show: it => place(dx: 400pt, dy: 400pt, it)\n";

fn faults(source: &str) -> Vec<(FaultKind, String)> {
    let report = Report { scenes: vec![drawn(&plain_scene(), &format!("{CORNERS}{source}"))] };
    report.faults().into_iter().map(|fault| (fault.kind, fault.found)).collect()
}

/// Asserts that exactly one fault is found, of this kind, and that it says this.
#[track_caller]
fn assert_only(kind: FaultKind, says: &str, source: &str) {
    let found = faults(source);
    let is_it = matches!(&found[..], [(only, text)] if *only == kind && text.contains(says));
    assert!(is_it, "{kind:?}, {says}: {found:?}");
}

#[test]
fn a_good_page_has_no_faults() {
    assert_eq!(faults("A short heading"), vec![]);
    assert_eq!(faults("#text(size: 36pt)[A short heading] \\ #text(size: 28pt)[Label]"), vec![]);
    let on_panel = "#rect(fill: rgb(\"#103010\"), text(fill: white)[A short heading])";
    assert_eq!(faults(on_panel), vec![], "white on dark, although the page is white");
    assert_eq!(
        faults("#place(rect(width: 100%, height: 2pt, fill: blue), dy: 20pt) A short heading"),
        vec![],
        "a rule"
    );
    assert_eq!(faults("$ sum_(i = 1)^n sqrt(a_i / b^2) $"), vec![], "indices are small, and signs touch");
}

#[test]
fn small_type_is_found_by_its_role_and_in_scaled_content() {
    let heading = "#text(size: 30pt)[A short heading]";
    assert_only(FaultKind::SmallText, "“A short heading” is 30 px high", heading);
    assert_only(FaultKind::SmallText, "24 px", "#scale(50%)[A short heading]");
    assert_only(FaultKind::SmallLabel, "“Label” is 27 px high", "#text(size: 27pt)[Label]");
    assert_only(FaultKind::SmallLabel, "“17” is 20 px high", "#text(size: 20pt)[17]");
    assert_only(FaultKind::SmallText, "formula is 30 px", "#text(size: 30pt, $x^2 + y^2$)");
}

#[test]
fn low_contrast_is_measured_against_what_lies_behind() {
    let grey = "#text(size: 40pt, fill: rgb(\"#999999\"))[A short heading]";
    assert_only(FaultKind::LowContrast, "has a contrast of 2.8", grey);
    let large = "#text(size: 48pt, fill: rgb(\"#888888\"))[A short heading]";
    assert_eq!(faults(large), vec![], "3.5 is enough for large type");
    let on_panel = "#rect(radius: 20pt, fill: rgb(\"#103010\"), text(fill: black)[A short heading])";
    assert_only(FaultKind::LowContrast, "contrast of 1.", on_panel);
    let half = "#rect(fill: rgb(0, 0, 0, 50%), text(size: 40pt, fill: black)[A short heading])";
    assert_eq!(faults(half), vec![], "black on half-transparent black is black on grey");
    let faint = "#text(fill: rgb(0, 0, 0, 20%))[A short heading]";
    assert_only(FaultKind::LowContrast, "contrast of 1.6", faint);
    let beyond = "#place(polygon(fill: black, (0pt, 0pt), (80pt, 0pt), (0pt, 80pt))) A short heading";
    assert_only(FaultKind::LowContrast, "contrast of 1.0", beyond);
}

#[test]
fn texts_that_overlap_are_cut_off_or_covered_are_found() {
    assert_only(
        FaultKind::Overlap,
        "“A short heading” and “Label” lie on",
        "#place[A short heading]#place(dx: 9pt)[Label]",
    );
    assert_only(
        FaultKind::Overlap,
        "and “a shape”",
        "#place[A short heading]#place(rect(width: 90pt, height: 60pt, fill: red))",
    );
    let close = "#set par(leading: 0.3em)\nA short heading \\ A short heading";
    assert_eq!(faults(close), vec![], "lines one below the other");
    assert_only(
        FaultKind::CutOff,
        "“A short heading” is cut off",
        "#place(dx: 1400pt, box(width: 900pt)[A short heading])",
    );
    let clipped = "#block(width: 200pt, height: 60pt, clip: true, box(width: 900pt)[A short heading])";
    assert_only(FaultKind::CutOff, "is cut off", clipped);
}

#[test]
fn characters_that_no_font_has_are_found() {
    assert_only(FaultKind::MissingGlyph, "No font has U+0378, U+E6FF.", "A short heading \u{378}\u{e6ff}");
    assert_eq!(
        faults("A short heading ελληνικά 日本語 العربية أولاً"),
        vec![],
        "a mark of another font is a run of its own"
    );
}

#[test]
fn empty_and_full_pages_are_found_but_backgrounds_do_not_count() {
    let used = |source: &str| {
        let review = drawn(&plain_scene(), source);
        let percent = review.pages[0].used_percent;
        (
            percent.round(),
            Report { scenes: vec![review] }
                .faults()
                .into_iter()
                .any(|fault| fault.kind == FaultKind::UsedArea),
        )
    };
    assert_eq!(used(""), (0.0, true));
    assert_eq!(used("#rect(width: 100%, height: 100%, fill: blue)"), (0.0, true), "a background");
    assert_eq!(
        used("#place(dx: 9pt, dy: 9pt, rect(width: 1900pt, height: 1060pt, fill: blue))"),
        (97.0, true)
    );
    assert_eq!(
        used("#place(dx: 480pt, dy: 216pt, rect(width: 960pt, height: 864pt, fill: blue))"),
        (40.0, false)
    );
    let mut card = plain_scene();
    card.layout = reel_scene::Layout::Closing;
    assert_eq!(Report { scenes: vec![drawn(&card, "")] }.faults(), vec![], "a card may be empty");
}

fn reviewed(json: &str, timelines: &[SceneTimeline]) -> Report {
    let description = description::read(json).unwrap();
    review(&description.scenes, &Look::default(), &Images::default(), timelines, PageChoice::All).unwrap()
}

#[test]
fn three_pages_in_a_row_of_one_composition_are_found() {
    let scene = |layout: &str, kind: &str| {
        format!(
            r#"{{ "title": "T", "layout": "{layout}", "blocks": [{{ "kind": "{kind}", "text": "b" }}], "steps": [{{ "narration": "Say." }}] }}"#
        )
    };
    let found = |scenes: &[(&str, &str)]| {
        let scenes: Vec<String> = scenes.iter().map(|(layout, kind)| scene(layout, kind)).collect();
        let report =
            reviewed(&format!(r#"{{ "version": 1, "title": "T", "scenes": [{}] }}"#, scenes.join(",")), &[]);
        let faults = report.faults().into_iter().filter(|fault| fault.kind == FaultKind::SameComposition);
        faults.map(|fault| (fault.scene, fault.found)).collect::<Vec<_>>()
    };
    let bullets = ("content", "bullet");
    assert_eq!(found(&[bullets, bullets, ("content", "quote"), bullets, bullets]), vec![]);
    assert_eq!(found(&[bullets, bullets, ("section", "bullet"), bullets]), vec![]);
    let message = "4 pages in a row are composed around the same kind: bullet.".to_owned();
    assert_eq!(found(&[("title", "bullet"), bullets, bullets, bullets, bullets]), vec![(4, message)]);
}

#[test]
fn times_come_from_the_timeline_or_are_estimated() {
    let words = ["word"; 55].join(" ");
    let json = format!(
        r#"{{ "version": 1, "title": "T", "scenes": [{{ "title": "T", "blocks": [{{ "kind": "bullet", "text": "b" }}],
            "steps": [{{ "narration": "{words}", "reveals": [{{ "block": 0 }}] }}, {{ "narration": "One." }}] }}] }}"#
    );
    let estimated = reviewed(&json, &[]);
    let pace = estimated.scenes[0].pace;
    assert!(!pace.is_measured);
    // 20 s for 55 words, 0.36 s for one, and pauses of 0.4, 0.35 and 0.7 s.
    assert!((pace.duration_s - 21.81).abs() < 0.01, "{pace:?}");
    assert!((pace.longest_still_s - pace.duration_s).abs() < 0.01, "the second line reveals nothing");
    assert!((pace.words_per_minute - 56.0 * 60.0 / 21.81).abs() < 0.1, "{pace:?}");
    let stills =
        |report: &Report| report.faults().iter().filter(|fault| fault.kind == FaultKind::Still).count();
    assert_eq!(stills(&estimated), 1);

    let timing = |start_frame, frames| StepTiming { start_frame, frames, speech_ms: 0, words: vec![] };
    let timeline = SceneTimeline { fps: 25, frames: 400, steps: vec![timing(0, 300), timing(300, 100)] };
    let measured = reviewed(&json, &[timeline]);
    assert!(measured.scenes[0].pace.is_measured);
    assert_eq!(measured.scenes[0].pace.longest_still_s, 16.0);
    assert_eq!(stills(&measured), 0);
}

#[test]
fn the_gallery_is_measured_page_by_page() {
    let json = include_str!("../../../../examples/gallery.json");
    let report = reviewed(json, &[]);
    for scene in &report.scenes {
        let last = scene.pages.last().unwrap();
        assert_eq!(last.page, scene.pages.len(), "all pages after the empty one");
        assert!(last.texts.iter().any(|text| text.role == super::Role::Text), "{}", scene.title);
        assert!(last.smallest_text_px.is_some_and(|px| px > 10.0), "{}", scene.title);
        assert!(last.covered_percent <= last.used_percent + 3.0, "{}", scene.title);
    }
    let kinds = report.scenes.iter().map(|scene| scene.composition.as_str());
    assert!(kinds.clone().any(|kind| kind == "flow") && kinds.clone().any(|kind| kind == "card"));
    let code = report.scenes.iter().find(|scene| scene.composition == "code").unwrap();
    assert!(code.pages[0].smallest_label_px.is_some(), "code is measured as labels");
    assert!(serde_json::to_string(&report).is_ok());
}

#[test]
fn a_scene_that_cannot_be_typeset_is_named() {
    let mut broken = plain_scene();
    broken.blocks = vec![Block::Image { file: "missing.png".into(), caption: String::new() }];
    broken.reveal_all();
    let failed =
        review(&[plain_scene(), broken], &Look::default(), &Images::default(), &[], PageChoice::Last);
    assert_eq!(failed.unwrap_err().scene, 2);
}

#[test]
fn the_last_page_is_reviewed_as_it_is_among_all() {
    let json = include_str!("../../../../examples/gallery.json");
    let description = description::read(json).unwrap();
    let scenes: Vec<Scene> = description
        .scenes
        .into_iter()
        .filter(|scene| scene.blocks.iter().any(Block::grows))
        .take(2)
        .collect();
    let of = |choice| review(&scenes, &Look::default(), &Images::default(), &[], choice).unwrap();
    let (all, last) = (of(PageChoice::All), of(PageChoice::Last));
    for (all, last) in all.scenes.iter().zip(&last.scenes) {
        assert!(all.pages.len() > 20, "a block grows");
        assert_eq!(all.pages.last(), last.pages.last());
        assert_eq!(last.pages.len(), 1);
    }
}
