//! Draws every diagram of tests/data/diagrams: all of its words, inside the page, in readable type, none on another.

use reel_scene::diagram::{self, DiagramLanguage};
use reel_scene::look::{Aspect, Look};
use reel_scene::{Block, Reveal, Scene, Step};
use typst::layout::{Frame, FrameItem, Point, Transform};

use super::page_geometry::Page;
use super::world::compile;
use super::{source, unreadable_diagrams};

const MIN_SIZE: f64 = 28.0;

fn scene(language: DiagramLanguage, text: &str) -> Scene {
    let steps = vec![Step::new("Look.", vec![Reveal { block: 0, part: None }])];
    let blocks = vec![Block::Diagram { language, source: text.to_owned() }];
    Scene { title: "Diagram".to_owned(), blocks, steps, ..Scene::default() }
}

/// A run of text on a page: its words, its type size, and its left, top, right and bottom.
#[derive(Debug)]
struct Run {
    text: String,
    size: f64,
    area: [f64; 4],
}

fn collect(frame: &Frame, transform: Transform, runs: &mut Vec<Run>) {
    for (position, item) in frame.items() {
        match item {
            FrameItem::Group(group) => {
                let inner = transform
                    .pre_concat(Transform::translate(position.x, position.y))
                    .pre_concat(group.transform);
                collect(&group.frame, inner, runs);
            }
            FrameItem::Text(run) => {
                let first = position.transform(transform);
                let last = Point::new(position.x + run.width(), position.y).transform(transform);
                let size = run.size.to_pt() * transform.sy.get();
                // As high as capitals are.
                let area = [first.x.to_pt(), first.y.to_pt() - 0.7 * size, last.x.to_pt(), last.y.to_pt()];
                runs.push(Run { text: run.text.to_string(), size, area });
            }
            _ => {}
        }
    }
}

/// The runs of the last page below the heading.
fn runs(scene: &Scene) -> Vec<Run> {
    let document = compile(&source(scene, &Look::default())).unwrap();
    let mut runs = vec![];
    collect(&document.pages().last().unwrap().frame, Transform::identity(), &mut runs);
    let top = Page::for_aspect(Aspect::Wide).content_top() - 2.0;
    runs.retain(|run| run.area[3] > top && !run.text.trim().is_empty());
    runs
}

fn squeezed(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '\u{200b}' | '\u{2060}')).collect()
}

fn files() -> Vec<(String, DiagramLanguage, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/diagrams");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: std::path::PathBuf| {
        let is_dot = path.extension().is_some_and(|extension| extension == "dot");
        let language = if is_dot { DiagramLanguage::Dot } else { DiagramLanguage::Mermaid };
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, language, std::fs::read_to_string(path).unwrap())
    };
    files.into_iter().map(read).collect()
}

#[test]
fn every_diagram_is_drawn_whole_and_readable() {
    let files = files();
    assert!(files.len() >= 40);
    let page = Page::for_aspect(Aspect::Wide);
    let (left, right) = (page.margin - 1.0, page.width - page.margin + 1.0);
    let mut faults = vec![];
    for (name, language, text) in files {
        let scene = scene(language, &text);
        if !unreadable_diagrams(&scene, &Look::default()).is_empty() {
            faults.push(format!("{name}: is shown as its source"));
            continue;
        }
        let runs = runs(&scene);
        let drawn: String = squeezed(&runs.iter().map(|run| run.text.as_str()).collect::<String>());
        let reading = diagram::read(language, &text).unwrap();
        for label in reading.names() {
            if !drawn.contains(&squeezed(&label)) {
                faults.push(format!("{name}: lacks {label:?}"));
            }
        }
        for (at, run) in runs.iter().enumerate() {
            let [x, y, end, bottom] = run.area;
            if x < left || end > right || bottom > page.height - 40.0 {
                faults.push(format!("{name}: {run:?} leaves the page"));
            }
            if run.size < MIN_SIZE - 0.1 {
                faults.push(format!("{name}: {run:?} is too small"));
            }
            let on_another = runs[..at].iter().find(|other| {
                let [a, b, c, d] = other.area;
                x < c - 1.0 && end > a + 1.0 && y < d - 1.0 && bottom > b + 1.0
            });
            if let Some(other) = on_another {
                faults.push(format!("{name}: {run:?} stands on {other:?}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn nodes_appear_one_by_one_and_edges_with_their_second_end() {
    let reveal = |part| vec![Reveal { block: 0, part: Some(part) }];
    let mut scene = scene(DiagramLanguage::Mermaid, "flowchart LR\n A[First] -->|between| B[Second]");
    scene.steps = vec![Step::new("One.", reveal(0)), Step::new("Two.", reveal(1))];
    let document = compile(&source(&scene, &Look::default())).unwrap();
    let words = |page: usize| {
        let mut runs = vec![];
        collect(&document.pages()[page].frame, Transform::identity(), &mut runs);
        runs.into_iter().map(|run| run.text).filter(|text| text != "Diagram").collect::<Vec<_>>()
    };
    assert_eq!(words(0), Vec::<String>::new());
    assert_eq!(words(1), ["First"]);
    assert_eq!(words(2), ["between", "First", "Second"]);
}

#[test]
fn what_cannot_be_drawn_is_its_source_and_named() {
    for text in ["flowchart TD\n A[never closed --> B", "sankey-beta\n a,b,10"] {
        let scene = scene(DiagramLanguage::Mermaid, text);
        assert_eq!(unreadable_diagrams(&scene, &Look::default()), [0], "{text}");
        let drawn: String = runs(&scene).iter().map(|run| run.text.as_str()).collect();
        assert!(squeezed(&drawn).contains(&squeezed(text)), "{drawn}");
    }
}

#[test]
fn dense_and_hostile_graphs_are_laid_out_in_time() {
    let dense: String = (0..110).map(|n| format!("N{} --> N{}\n", n * 7 % 55, (n * 13 + 1) % 55)).collect();
    let chain: String = (0..59).map(|n| format!("N{n} --> N{}\nN0 --> N{n}\n", n + 1)).collect();
    let groups: String = (0..11).map(|n| format!("subgraph g{n}\n a{n} --> b{}\n", (n * 5) % 11)).collect();
    for body in [dense, chain, groups, "A --> A\nA --> A\nA -->|x| A".to_owned()] {
        let began = std::time::Instant::now();
        let scene = scene(DiagramLanguage::Mermaid, &format!("flowchart TD\n{body}"));
        runs(&scene);
        assert!(began.elapsed().as_secs() < 20, "{:?}: {body}", began.elapsed());
    }
}
