//! Snapshots of whole plans: what the planner makes of a set of scripts.
//!
//! The scripts are in `tests/scripts`, the repository's fixtures and its examples; the accepted plans are in
//! `tests/snapshots`. After a change that is meant to alter plans, read the differences and accept them with
//! `cargo insta review`, or with `INSTA_UPDATE=always cargo nextest run -p reel-planner`.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::path::Path;

use reel_planner::{Plan, Request, plan, validate};
use reel_scene::{Block, FlowEdge, Item, Reveal, RichText, Scene, SpanStyle, Step};

/// Longer texts are cut in the middle, so that hostile scripts have readable snapshots.
const MAX_SHOWN_CHARS: usize = 320;
/// A longer run of one character is counted.
const MAX_RUN: usize = 20;

/// Compares the plan of a script in a file with its snapshot.
fn check_file(path: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts").join(path);
    let script = std::fs::read_to_string(&file).unwrap();
    let name = file.file_name().unwrap().to_str().unwrap().replace('.', "_");
    check(&name, Request { script: Some(&script), ..request() });
}

/// Compares the plan of a request with the snapshot of that name.
fn check(name: &str, request: Request<'_>) {
    let plan = plan(&request).unwrap();
    assert_eq!(validate(&plan.scenes), vec![]);
    let mut settings = insta::Settings::clone_current();
    settings.set_omit_expression(true);
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| insta::assert_snapshot!(name, rendition(&plan)));
}

fn request() -> Request<'static> {
    Request { topic: "A topic", context: None, script: None, title: None, duration_ms: None }
}

/// A plan as text for readers: a scene's title and layout, a line for each block, and a line for each step.
fn rendition(plan: &Plan) -> String {
    let mut text = format!("title: {}\n", shown(&plan.title));
    let _ = writeln!(text, "omitted sentences: {}", plan.omitted_sentences);
    for (number, scene) in plan.scenes.iter().enumerate() {
        let _ = write!(text, "\n{}", scene_rendition(number + 1, scene));
    }
    text
}

fn scene_rendition(number: usize, scene: &Scene) -> String {
    let mut text = format!("[{number}] {:?}: {}\n", scene.layout, shown(&scene.title));
    for (index, block) in scene.blocks.iter().enumerate() {
        let _ = writeln!(text, "    {index} {}", shown(&block_line(block)));
    }
    for step in &scene.steps {
        let _ = writeln!(text, "    > {}{}", shown(&step.narration), effects(step));
    }
    if scene.leave != Default::default() {
        let _ = writeln!(text, "    leaves by {:?}", scene.leave);
    }
    text
}

/// Formats the reveals of a step and their entrance.
fn effects(step: &Step) -> String {
    let reveal = |reveal: &Reveal| match reveal.part {
        Some(part) => format!("{}.{part}", reveal.block),
        None => reveal.block.to_string(),
    };
    let reveals: Vec<String> = step.reveals.iter().map(reveal).collect();
    let enters = step.enter.map(|entrance| format!(" enters by {entrance:?}")).unwrap_or_default();
    format!("  [{}]{enters}", reveals.join(" "))
}

fn block_line(block: &Block) -> String {
    match block {
        Block::Paragraph { text } => format!("paragraph: {}", styled(text)),
        Block::Bullet { text } => format!("bullet: {}", styled(text)),
        Block::Numbered { number, text } => format!("numbered {number}: {}", styled(text)),
        Block::Quote { text, by } if by.is_empty() => format!("quote: {}", styled(text)),
        Block::Quote { text, by } => format!("quote: {} by {by}", styled(text)),
        Block::Statement { text, icons } => format!("statement: {} {icons:?}", styled(text)),
        Block::Items { arrangement, items, center } => {
            let item = |item: &Item| {
                let icon = if item.icon.is_empty() { String::new() } else { format!("({}) ", item.icon) };
                let points: String = item.points.iter().map(|point| format!("; {}", styled(point))).collect();
                format!("{icon}{} = {}{points}", item.title, styled(&item.text))
            };
            let center = center.as_ref().map(|center| format!("[{}] ", item(center))).unwrap_or_default();
            format!(
                "{}: {center}{}",
                arrangement.name(),
                items.iter().map(item).collect::<Vec<_>>().join(" | ")
            )
        }
        Block::Code { language, text, groups } => {
            format!("code {} {groups:?}: {text}", language.as_deref().unwrap_or("-"))
        }
        Block::Formula { latex } => format!("formula: {latex}"),
        Block::Table { header, rows } => {
            let row = |cells: &Vec<RichText>| cells.iter().map(styled).collect::<Vec<_>>().join(" | ");
            format!("table: {} // {}", row(header), rows.iter().map(row).collect::<Vec<_>>().join(" // "))
        }
        Block::Definition { term, text } => format!("definition: {term} = {}", styled(text)),
        Block::Timeline { items } => {
            let items = items.iter().map(|item| format!("{}{}", item.title, item.text));
            format!("timeline: {}", items.collect::<Vec<_>>().join(" → "))
        }
        Block::Comparison { left, right } => {
            let side = |title: &str, points: &[RichText]| {
                format!("{title} ({})", points.iter().map(styled).collect::<Vec<_>>().join("; "))
            };
            format!("comparison: {} / {}", side(&left.title, &left.points), side(&right.title, &right.points))
        }
        Block::Counter { value, decimals, prefix, unit, label } => {
            format!("counter: {label:?} {prefix:?} {} .{decimals} {unit:?}", value.get())
        }
        Block::Chart { chart, unit, labels, series } => {
            let values: Vec<f64> =
                series.iter().flat_map(|series| &series.values).map(|value| value.get()).collect();
            format!("{chart:?} chart: {unit:?} {labels:?} {values:?}")
        }
        Block::Flow { nodes, edges } => {
            let edge = |edge: &FlowEdge| format!("{}-{}->{}", edge.from, edge.label, edge.to);
            let edges: Vec<String> = edges.iter().map(edge).collect();
            format!("flow: {} // {}", nodes.join(" | "), edges.join(" "))
        }
        other => format!("{other:?}"),
    }
}

/// A text with its styles as Markdown would write them.
fn styled(text: &RichText) -> String {
    let spans = text.0.iter().map(|span| match span.style {
        SpanStyle::Plain => span.text.clone(),
        SpanStyle::Strong => format!("**{}**", span.text),
        SpanStyle::Emphasis => format!("*{}*", span.text),
        SpanStyle::Code => format!("`{}`", span.text),
        SpanStyle::Math => format!("${}$", span.text),
    });
    spans.collect()
}

/// A text on one line: what cannot be seen is escaped, a run of one character is counted, a long text is cut.
fn shown(text: &str) -> String {
    let mut rest = text;
    let mut shown = String::new();
    while let Some(c) = rest.chars().next() {
        let run = rest.chars().take_while(|other| *other == c).count();
        rest = &rest[run * c.len_utf8()..];
        let one = match c {
            '\n' => "⏎".to_owned(),
            c if is_invisible(c) => c.escape_unicode().to_string(),
            c => c.to_string(),
        };
        shown += &if run > MAX_RUN { format!("{one}×{run}") } else { one.repeat(run) };
    }
    let count = shown.chars().count();
    if count <= MAX_SHOWN_CHARS {
        return shown;
    }
    let start: String = shown.chars().take(MAX_SHOWN_CHARS / 2).collect();
    let end: String = shown.chars().skip(count - MAX_SHOWN_CHARS / 4).collect();
    format!("{start} … ({count} characters) … {end}")
}

fn is_invisible(c: char) -> bool {
    let is_format =
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    c.is_control() || is_format
}

const FIXTURES: &str = "../../../../tests/fixtures/scripts";

#[test]
fn event_sourcing() {
    check_file(&format!("{FIXTURES}/event-sourcing.md"));
}

#[test]
fn pythagoras() {
    check_file(&format!("{FIXTURES}/pythagoras.txt"));
}

#[test]
fn reference() {
    check_file(&format!("{FIXTURES}/reference-180s.md"));
}

#[test]
fn the_example_is_the_event_sourcing_script() {
    let read = |path: &str| {
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)).unwrap()
    };
    // So that its plan is pinned too, without a second snapshot.
    assert_eq!(read("examples/event-sourcing.md"), read("tests/fixtures/scripts/event-sourcing.md"));
}

#[test]
fn reference_in_45_seconds() {
    let script = include_str!("../../../tests/fixtures/scripts/reference-180s.md");
    check("reference_in_45_s", Request { script: Some(script), duration_ms: Some(45_000), ..request() });
}

#[test]
fn titles_and_context() {
    let context = include_str!("../../../tests/fixtures/scripts/pythagoras.txt");
    let request = Request {
        topic: "Triangles",
        title: Some("A title of the request"),
        context: Some(context),
        script: Some(" "),
        ..request()
    };
    check("titles_and_context", request);
}

#[test]
fn short() {
    check_file("short.txt");
}

#[test]
fn essay() {
    check_file("essay.txt");
}

#[test]
fn long_without_blank_lines() {
    check_file("long-without-blank-lines.txt");
}

#[test]
fn markdown() {
    check_file("markdown.md");
}

#[test]
fn diagrams_and_code() {
    check_file("diagrams-and-code.md");
}

#[test]
fn nested() {
    check_file("nested.md");
}

#[test]
fn many_sections() {
    check_file("many-sections.md");
}

#[test]
fn german() {
    check_file("german.md");
}

#[test]
fn greek() {
    check_file("greek.txt");
}

#[test]
fn arabic() {
    check_file("arabic.md");
}

#[test]
fn japanese() {
    check_file("japanese.md");
}

#[test]
fn emoji() {
    check_file("emoji.txt");
}

#[test]
fn hostile_headings() {
    let script = "#\n\n##\n\nText under nothing.\n\n## ***\n\n### &nbsp;\n\nMore text.\n\n\
                  ## Part\n## Part\n### Part\n\n# Second title\n\n## [](x)\n\n## `code` *only*\n\nThe end of it.";
    let long = format!("{script}\n\n## {}\n\nLast.", "A heading that goes on and on ".repeat(40));
    check("hostile_headings", Request { script: Some(&long), ..request() });
}

#[test]
fn hostile_words() {
    let script = format!(
        "# {0}\n\n{0} is a word. The {0} of it, {0}.\n\n- {0}\n- b\n\n> {0}\n\n`{0}`\n\n| {0} |\n| - |\n| a |\n",
        "x".repeat(5_000)
    );
    check("hostile_words", Request { script: Some(&script), ..request() });
}

#[test]
fn hostile_characters() {
    let controls: String = (0..32_u8).chain([127]).map(char::from).collect();
    let script = format!(
        "A null \0 and \u{1b}[31mred\u{1b}[0m text. Right to left \u{202e}starts here. All: {controls} end.\n\n\
         Zero\u{200b}width \u{feff}and combining e\u{301}\u{301}\u{301}. Lone \u{fffd} stays. \u{10ffff} too.\r\n\r\n\
         Vertical\u{b}tab and form\u{c}feed. Line\u{2028}separator\u{2029}here. C1 \u{85}\u{9b} too."
    );
    check("hostile_characters", Request { script: Some(&script), ..request() });
}
