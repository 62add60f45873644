//! Mermaid's `stateDiagram`.

use super::flowchart::{Builder, direction};
use super::text::{label, unquote};
use super::{Edge, EdgeEnd, Graph, Line, NodeShape};

pub(super) fn read(lines: &[&str]) -> Option<Graph> {
    let mut builder = Builder::default();
    // Names of the composite states that are open.
    let mut scopes: Vec<String> = vec![];
    let mut lines = lines.iter().copied();
    while let Some(line) = lines.next() {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match word {
            "direction" => {
                if builder.open_depth() == 0 {
                    builder.graph.direction = direction(rest.trim()).unwrap_or_default();
                }
            }
            "}" => {
                builder.close_group();
                scopes.pop();
            }
            "--" | "classDef" | "class" | "style" | "hide" | "scale" | "accTitle:" | "accDescr:" => {}
            "note" => note(&mut builder, rest, &mut lines)?,
            "state" => declaration(&mut builder, rest.trim(), &mut scopes)?,
            _ => statement(&mut builder, line, scopes.last().map_or("", String::as_str))?,
        }
    }
    Some(builder.finish())
}

/// Reads what follows `state`.
fn declaration(builder: &mut Builder, text: &str, scopes: &mut Vec<String>) -> Option<()> {
    let (text, opens) = match text.strip_suffix('{') {
        Some(text) => (text.trim(), true),
        None => (text, false),
    };
    let (name, words) = match text.split_once(" as ") {
        Some((words, name)) => (name.trim(), Some(words)),
        None => (text, None),
    };
    if opens {
        scopes.push(name.to_owned());
        return builder.open_group(unquote(name), words.unwrap_or(name));
    }
    let (name, mark) = name.split_once("<<").unwrap_or((name, ""));
    let index = builder.node(unquote(name.trim()))?;
    let node = &mut builder.graph.nodes[index];
    node.shape = match mark.trim_end_matches(">>") {
        "fork" | "join" => NodeShape::Bar,
        "choice" => NodeShape::Diamond,
        _ => NodeShape::Round,
    };
    if let Some(words) = words {
        node.label = label(words)?;
    } else if node.shape == NodeShape::Bar || node.shape == NodeShape::Diamond {
        node.label.clear();
    }
    Some(())
}

/// Reads `right of A : words`, or the lines up to `end note`.
fn note<'a>(builder: &mut Builder, text: &str, lines: &mut impl Iterator<Item = &'a str>) -> Option<()> {
    let (place, words) = match text.split_once(':') {
        Some((place, words)) => (place, words.to_owned()),
        None => (text, lines.take_while(|line| *line != "end note").collect::<Vec<_>>().join(" ")),
    };
    let Some(name) = place.split_whitespace().nth(2) else { return Some(()) };
    let about = state(builder, name)?;
    let note = builder.node(&format!("note {}", builder.graph.nodes.len()))?;
    let group = builder.graph.nodes[about].group;
    builder.graph.nodes[note] =
        super::Node { label: label(&words)?, shape: NodeShape::Note, group, ..super::Node::default() };
    builder.edge(Edge { from: about, to: note, line: Line::Dashed, ..Edge::default() })
}

fn state(builder: &mut Builder, name: &str) -> Option<usize> {
    let name = name.split(":::").next().unwrap_or_default();
    let before = builder.graph.nodes.len();
    let index = builder.node(unquote(name))?;
    if builder.graph.nodes.len() > before {
        builder.graph.nodes[index].shape = NodeShape::Round;
    }
    Some(index)
}

/// Reads `A --> B : words` or `A : words`. Each scope has a start and an end of its own.
fn statement(builder: &mut Builder, line: &str, scope: &str) -> Option<()> {
    let Some((from, rest)) = line.split_once("-->") else {
        let (name, words) = line.split_once(':').unwrap_or((line, ""));
        let index = state(builder, name.trim())?;
        let words = label(words)?;
        if !words.is_empty() {
            builder.graph.nodes[index].label = words;
        }
        return Some(());
    };
    let (to, words) = rest.split_once(':').unwrap_or((rest, ""));
    let mut side = |name: &str, shape: NodeShape| -> Option<usize> {
        let name = name.trim();
        if name != "[*]" {
            return state(builder, name);
        }
        let index = builder.node(&format!("{scope} {shape:?}"))?;
        let node = &mut builder.graph.nodes[index];
        (node.shape, node.label) = (shape, String::new());
        Some(index)
    };
    let (from, to) = (side(from, NodeShape::Start)?, side(to, NodeShape::End)?);
    builder.edge(Edge {
        from,
        to,
        label: label(words)?,
        ends: [EdgeEnd::None, EdgeEnd::Arrow],
        ..Edge::default()
    })
}
