//! Mermaid's `erDiagram`.

use super::flowchart::{Builder, direction};
use super::text::{label, take_name};
use super::{Edge, EdgeEnd, Graph, Line, NodeShape};

/// Most attributes of an entity.
const MAX_ATTRIBUTES: usize = 16;

pub(super) fn read(lines: &[&str]) -> Option<Graph> {
    let mut builder = Builder::default();
    let mut body: Option<usize> = None;
    for line in lines {
        if let Some(entity) = body {
            if *line == "}" {
                body = None;
            } else {
                attribute(&mut builder, entity, line)?;
            }
            continue;
        }
        if let Some(way) = line.strip_prefix("direction ") {
            builder.graph.direction = direction(way.trim()).unwrap_or_default();
            continue;
        }
        let (from, rest) = entity(&mut builder, line)?;
        let rest = rest.trim();
        if let Some(inside) = rest.strip_prefix('{') {
            let (inside, closed) = inside.strip_suffix('}').map_or((inside, false), |inside| (inside, true));
            if !inside.trim().is_empty() {
                attribute(&mut builder, from, inside.trim())?;
            }
            body = (!closed).then_some(from);
        } else if !rest.is_empty() {
            let (mut edge, rest) = relation(rest)?;
            let (to, rest) = entity(&mut builder, rest)?;
            (edge.from, edge.to) = (from, to);
            edge.label = label(rest.trim().trim_start_matches(':'))?;
            builder.edge(edge)?;
        }
    }
    Some(builder.finish())
}

fn entity<'a>(builder: &mut Builder, text: &'a str) -> Option<(usize, &'a str)> {
    let (name, mut rest) = take_name(text, &['[', '{', ':']);
    let before = builder.graph.nodes.len();
    let index = builder.node(name)?;
    if builder.graph.nodes.len() > before {
        builder.graph.nodes[index].shape = NodeShape::Table;
    }
    if let Some((words, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        builder.graph.nodes[index].label = label(words)?;
        rest = after;
    }
    Some((index, rest))
}

/// Adds `type name PK "comment"`: the name, its type, its keys.
fn attribute(builder: &mut Builder, entity: usize, line: &str) -> Option<()> {
    let written = line.split('"').next().unwrap_or_default();
    let mut words = written.split_whitespace();
    let kind = words.next()?;
    let name = words.next().unwrap_or_default();
    let keys = words.collect::<Vec<_>>().join(" ");
    let compartments = &mut builder.graph.nodes[entity].compartments;
    compartments.resize(1, vec![]);
    if compartments[0].len() >= MAX_ATTRIBUTES {
        return None;
    }
    let text = if name.is_empty() { kind.to_owned() } else { format!("{name}: {kind} {keys}") };
    compartments[0].push(label(&text)?);
    Some(())
}

/// Reads `||--o{`.
fn relation(text: &str) -> Option<(Edge, &str)> {
    let (at, line) = match (text.find("--"), text.find("..")) {
        (Some(solid), dashed) if dashed.is_none_or(|dashed| solid < dashed) => (solid, Line::Solid),
        (_, Some(dashed)) => (dashed, Line::Dashed),
        _ => return None,
    };
    let left = match text[..at].trim() {
        "|o" => EdgeEnd::ZeroOrOne,
        "||" => EdgeEnd::ExactlyOne,
        "}o" => EdgeEnd::ZeroOrMore,
        "}|" => EdgeEnd::OneOrMore,
        _ => return None,
    };
    let rest = &text[at + 2..];
    let right = match rest.get(..2)? {
        "o|" => EdgeEnd::ZeroOrOne,
        "||" => EdgeEnd::ExactlyOne,
        "o{" => EdgeEnd::ZeroOrMore,
        "|{" => EdgeEnd::OneOrMore,
        _ => return None,
    };
    Some((Edge { line, ends: [left, right], ..Edge::default() }, &rest[2..]))
}
