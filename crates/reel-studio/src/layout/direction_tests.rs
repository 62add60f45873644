//! Checks that pages in a language that is read from the right are the mirror images of others.

use reel_scene::look::{Aspect, Look};
use reel_scene::{
    Arrangement, BarColumn, BarRow, Block, Item, Layout, Number, Reveal, RichText, Scene, Step,
};
use typst::layout::{Frame, FrameItem, Point, Transform};
use typst::visualize::Geometry;

use super::page_geometry::Page;
use super::relation_tests::{Contents, collect};
use super::world::compile;

fn page_in(language: &str, layout: Layout, block: Block, aspect: Aspect) -> Frame {
    let scene = Scene {
        layout,
        title: "Heading".into(),
        icon: if layout == Layout::Title { "battery".into() } else { String::new() },
        language: language.into(),
        steps: vec![Step::new("x.", vec![Reveal { block: 0, part: None }])],
        blocks: vec![block],
        ..Scene::default()
    };
    let document = compile(&super::source(&scene, &Look { aspect, ..Look::default() })).unwrap();
    document.pages().last().unwrap().frame.clone()
}

fn items(arrangement: Arrangement, icon: &str) -> Block {
    let item = |index: usize| Item {
        title: format!("Name{index}"),
        text: RichText::plain("said of it"),
        icon: icon.into(),
        parent: (arrangement == Arrangement::Tree && index > 0).then_some(0),
        ..Item::default()
    };
    let is_side =
        matches!(arrangement, Arrangement::Versus | Arrangement::BeforeAfter | Arrangement::ProsCons);
    let count = if is_side { 2 } else { 3 };
    let center = arrangement.has_center().then(|| item(9));
    Block::Items { arrangement, items: (0..count).map(item).collect(), center }
}

fn bars() -> Block {
    let row = |title: &str| BarRow { title: title.into(), text: String::new() };
    let values = [60.0, 65.0, 45.0].map(|value| Number::new(value).unwrap()).to_vec();
    Block::Bars {
        rows: ["One", "Two", "Three"].map(row).to_vec(),
        columns: vec![BarColumn { name: "Milligrams".into(), values, decimals: 0 }],
    }
}

/// Returns left and right edges of each text and each filled rectangle or circle; `mirror` returns those of the mirror image.
fn edges(frame: &Frame, mirror: Option<f64>) -> Vec<(String, i64, i64)> {
    let mut contents = Contents::default();
    collect(frame, Transform::identity(), &mut contents);
    let texts = contents.runs.iter().map(|run| (run.text.trim().to_owned(), run.left, run.right));
    let filled = contents
        .shapes
        .iter()
        .filter_map(|shape| shape.fill.clone().map(|fill| (fill, shape.left, shape.left + shape.width)));
    let mut edges: Vec<(String, i64, i64)> = texts
        .chain(filled)
        .map(|(name, left, right)| match mirror {
            Some(width) => (name, width - right, width - left),
            None => (name, left, right),
        })
        // Positions are rounded; half a point more keeps both images on the same side of a step.
        .map(|(name, left, right)| {
            (name, (left / 2.0 + 0.1).round() as i64, (right / 2.0 + 0.1).round() as i64)
        })
        .collect();
    edges.sort();
    edges
}

fn is_near(one: &[(String, i64, i64)], other: &[(String, i64, i64)]) -> bool {
    let is_close = |a: i64, b: i64| (a - b).abs() <= 1;
    one.len() == other.len()
        && one.iter().zip(other).all(|(a, b)| a.0 == b.0 && is_close(a.1, b.1) && is_close(a.2, b.2))
}

#[test]
fn pages_read_from_the_right_are_mirror_images() {
    let arrangements = [
        Arrangement::Cards,
        Arrangement::Checklist,
        Arrangement::Process,
        Arrangement::Dates,
        Arrangement::Ranking,
        Arrangement::Causes,
        Arrangement::Tree,
        Arrangement::Versus,
        Arrangement::BeforeAfter,
        Arrangement::ProsCons,
    ];
    let mut blocks = vec![("bars".to_owned(), Layout::Content, bars())];
    for (arrangement, icon) in arrangements.into_iter().zip(["", "battery"].into_iter().cycle()) {
        blocks.push((arrangement.name().to_owned(), Layout::Content, items(arrangement, icon)));
    }
    let paragraph = || Block::Paragraph { text: RichText::plain("what it is about") };
    for layout in [Layout::Title, Layout::Section, Layout::Closing] {
        blocks.push((format!("{layout:?}"), layout, paragraph()));
    }
    let mut faults = vec![];
    for (name, layout, block) in blocks {
        for aspect in [Aspect::Wide, Aspect::Tall] {
            let width = Page::for_aspect(aspect).width;
            let [left, right] = ["en", "ar"].map(|language| page_in(language, layout, block.clone(), aspect));
            let (wanted, found) = (edges(&left, Some(width)), edges(&right, None));
            if !is_near(&wanted, &found) {
                faults.push(format!("{name} {}:\n wanted {wanted:?}\n  found {found:?}", aspect.name()));
            }
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// Collects how far to the right each straight line goes.
fn line_lengths(frame: &Frame, transform: Transform, lengths: &mut Vec<f64>) {
    for (at, item) in frame.items() {
        let here = transform.pre_concat(Transform::translate(at.x, at.y));
        match item {
            FrameItem::Group(group) => line_lengths(&group.frame, here.pre_concat(group.transform), lengths),
            FrameItem::Shape(shape, _) => {
                if let Geometry::Line(to) = shape.geometry {
                    let (from, to) = (Point::zero().transform(here), to.transform(here));
                    lengths.push((to.x - from.x).to_pt());
                }
            }
            _ => {}
        }
    }
}

#[test]
fn arrows_point_to_the_left_where_lines_do() {
    for (language, sign) in [("en", 1.0), ("ar", -1.0)] {
        for arrangement in [Arrangement::Process, Arrangement::Dates] {
            let page = page_in(language, Layout::Content, items(arrangement, "battery"), Aspect::Wide);
            let mut lengths = vec![];
            line_lengths(&page, Transform::identity(), &mut lengths);
            assert!(lengths.len() >= 2, "{lengths:?}");
            assert!(lengths.iter().all(|length| length * sign > 20.0), "{language}: {lengths:?}");
        }
    }
}
