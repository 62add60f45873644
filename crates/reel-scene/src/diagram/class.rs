//! Mermaid's `classDiagram`.

use super::flowchart::{Builder, direction};
use super::text::{label, unquote};
use super::{Edge, EdgeEnd, Graph, Line, NodeShape};

/// Most lines in the compartments of a class.
const MAX_MEMBERS: usize = 16;

const LEFT_ENDS: [(&str, EdgeEnd); 4] =
    [("<|", EdgeEnd::Triangle), ("*", EdgeEnd::Diamond), ("o", EdgeEnd::OpenDiamond), ("<", EdgeEnd::Arrow)];
const RIGHT_ENDS: [(&str, EdgeEnd); 4] =
    [("|>", EdgeEnd::Triangle), ("*", EdgeEnd::Diamond), ("o", EdgeEnd::OpenDiamond), (">", EdgeEnd::Arrow)];

pub(super) fn read(lines: &[&str]) -> Option<Graph> {
    let mut builder = Builder::default();
    // The class whose body is open.
    let mut body: Option<usize> = None;
    for line in lines {
        if let Some(class) = body {
            if *line == "}" {
                body = None;
            } else {
                member(&mut builder, class, line)?;
            }
            continue;
        }
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        match word {
            "direction" => builder.graph.direction = direction(rest).unwrap_or_default(),
            "}" => _ = builder.close_group(),
            "namespace" => {
                builder.open_group(rest.trim_end_matches('{').trim(), rest.trim_end_matches('{'))?
            }
            "class" => body = declaration(&mut builder, rest)?,
            "note" | "style" | "classDef" | "cssClass" | "click" | "link" | "callback" | "accTitle:"
            | "accDescr:" => {}
            _ if line.starts_with("<<") => {
                let (mark, name) = line.split_once(">>")?;
                let class = class(&mut builder, name.trim())?;
                annotate(&mut builder, class, &mark[2..])?;
            }
            _ => statement(&mut builder, line)?,
        }
    }
    Some(builder.finish())
}

fn class(builder: &mut Builder, name: &str) -> Option<usize> {
    let name = name.split(":::").next().unwrap_or_default().trim().trim_matches('`');
    let before = builder.graph.nodes.len();
    let index = builder.node(&generic(name))?;
    if builder.graph.nodes.len() > before {
        builder.graph.nodes[index].shape = NodeShape::Table;
    }
    Some(index)
}

/// Writes `List~int~` as `List<int>`.
fn generic(text: &str) -> String {
    let mut opens = true;
    let signs = text.chars().map(|c| match c {
        '~' => {
            opens = !opens;
            if opens { '>' } else { '<' }
        }
        c => c,
    });
    signs.collect()
}

/// Reads what follows `class`. Returns the class when its body follows.
#[allow(clippy::option_option)]
fn declaration(builder: &mut Builder, text: &str) -> Option<Option<usize>> {
    let (head, inside) = text.split_once('{').map_or((text, None), |(head, inside)| (head, Some(inside)));
    let (name, words) = head.split_once('[').unwrap_or((head, ""));
    let index = class(builder, name.trim())?;
    let words = label(words.trim().trim_end_matches(']'))?;
    if !words.is_empty() {
        builder.graph.nodes[index].label = words;
    }
    let Some(inside) = inside else { return Some(None) };
    let (members, closed) = inside.strip_suffix('}').map_or((inside, false), |members| (members, true));
    for line in members.split(';').map(str::trim).filter(|line| !line.is_empty()) {
        member(builder, index, line)?;
    }
    Some((!closed).then_some(index))
}

fn annotate(builder: &mut Builder, class: usize, mark: &str) -> Option<()> {
    let node = &mut builder.graph.nodes[class];
    node.label = format!("«{}»\n{}", label(mark)?, node.label);
    Some(())
}

/// Adds an attribute, or a method below the attributes.
fn member(builder: &mut Builder, class: usize, text: &str) -> Option<()> {
    if let Some(mark) = text.strip_prefix("<<").and_then(|mark| mark.strip_suffix(">>")) {
        return annotate(builder, class, mark);
    }
    let compartments = &mut builder.graph.nodes[class].compartments;
    compartments.resize(2, vec![]);
    if compartments.iter().map(Vec::len).sum::<usize>() >= MAX_MEMBERS {
        return None;
    }
    let text = text.trim_end_matches(['*', '$']);
    compartments[usize::from(text.contains('('))].push(label(&generic(text))?);
    Some(())
}

fn statement(builder: &mut Builder, line: &str) -> Option<()> {
    let Some(relation) = relation(line) else {
        let (name, text) = line.split_once(':').unwrap_or((line, ""));
        let class = class(builder, name.trim())?;
        return if text.trim().is_empty() { Some(()) } else { member(builder, class, text.trim()) };
    };
    let (left, right, mut edge) = relation;
    let (right, words) = right.split_once(':').unwrap_or((right, ""));
    let (left_name, left_count) = with_count(left);
    let (right_name, right_count) =
        match right.trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"')) {
            Some((count, name)) => (name.trim(), count),
            None => (right.trim(), ""),
        };
    edge.from = class(builder, left_name)?;
    edge.to = class(builder, right_name)?;
    edge.label = label(words)?;
    edge.counts = [label(left_count)?, label(right_count)?];
    // The general stands before the special, and the whole before its parts.
    if matches!(edge.ends[1], EdgeEnd::Triangle)
        || matches!(edge.ends[1], EdgeEnd::Diamond | EdgeEnd::OpenDiamond)
    {
        (edge.from, edge.to) = (edge.to, edge.from);
        edge.ends.reverse();
        edge.counts.reverse();
    }
    builder.edge(edge)
}

/// Splits `Name "1"`.
fn with_count(text: &str) -> (&str, &str) {
    let text = text.trim();
    match text.strip_suffix('"').and_then(|text| text.rsplit_once('"')) {
        Some((name, count)) if !name.trim().is_empty() => (name.trim(), count),
        _ => (unquote(text), ""),
    }
}

/// Finds `<|--`, `..>` and the like: the text before, the text after, and the edge.
fn relation(line: &str) -> Option<(&str, &str, Edge)> {
    let head = line.split(':').next().unwrap_or_default();
    let solid = head.find("--");
    let dashed = head.find("..");
    let (at, line_kind) = match (solid, dashed) {
        (Some(solid), Some(dashed)) if dashed < solid => (dashed, Line::Dashed),
        (Some(solid), _) => (solid, Line::Solid),
        (None, Some(dashed)) => (dashed, Line::Dashed),
        (None, None) => return None,
    };
    let (mut left, mut right) = (&line[..at], &line[at + 2..]);
    let mut edge = Edge { line: line_kind, ..Edge::default() };
    for (mark, end) in LEFT_ENDS {
        let Some(rest) = left.strip_suffix(mark) else { continue };
        if mark != "o" || rest.ends_with(char::is_whitespace) || rest.ends_with('"') {
            (left, edge.ends[0]) = (rest, end);
            break;
        }
    }
    for (mark, end) in RIGHT_ENDS {
        let Some(rest) = right.strip_prefix(mark) else { continue };
        if mark != "o" || rest.starts_with(char::is_whitespace) || rest.starts_with('"') {
            (right, edge.ends[1]) = (rest, end);
            break;
        }
    }
    Some((left, right, edge))
}
