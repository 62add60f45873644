//! Mermaid's `flowchart` and `graph`.

use super::text::{label, split_outside, unquote};
use super::{
    Direction, Edge, EdgeEnd, Graph, Group, Line, MAX_EDGES, MAX_GROUPS, MAX_NODES, Node, NodeShape,
};

/// Opening and closing brackets, longest first, and the shape between them.
const SHAPES: [(&str, &str, NodeShape); 14] = [
    ("(((", ")))", NodeShape::Circle),
    ("((", "))", NodeShape::Circle),
    ("([", "])", NodeShape::Stadium),
    ("[[", "]]", NodeShape::Box),
    ("[(", ")]", NodeShape::Cylinder),
    ("[/", "/]", NodeShape::Slanted),
    ("[/", "\\]", NodeShape::Slanted),
    ("[\\", "\\]", NodeShape::Slanted),
    ("[\\", "/]", NodeShape::Slanted),
    ("{{", "}}", NodeShape::Hexagon),
    ("{", "}", NodeShape::Diamond),
    ("[", "]", NodeShape::Box),
    ("(", ")", NodeShape::Round),
    (">", "]", NodeShape::Box),
];

/// A graph whose nodes are known by names while it is read.
#[derive(Default)]
pub(super) struct Builder {
    pub graph: Graph,
    names: Vec<String>,
    /// Names of the groups.
    group_names: Vec<String>,
    /// The groups that are open.
    open: Vec<usize>,
}

impl Builder {
    /// Returns the index of the node of this name, and adds it where there is none. `None` when there are too many.
    pub fn node(&mut self, name: &str) -> Option<usize> {
        if let Some(index) = self.names.iter().position(|known| known == name) {
            // A node belongs to the first group that names it.
            if self.graph.nodes[index].group.is_none() {
                self.graph.nodes[index].group = self.open.last().copied();
            }
            return Some(index);
        }
        if self.names.len() >= MAX_NODES || name.is_empty() {
            return None;
        }
        self.names.push(name.to_owned());
        let group = self.open.last().copied();
        self.graph.nodes.push(Node { label: label(name)?, group, ..Node::default() });
        Some(self.names.len() - 1)
    }

    pub fn edge(&mut self, edge: Edge) -> Option<()> {
        let fits = self.graph.edges.len() < MAX_EDGES;
        fits.then(|| self.graph.edges.push(edge))
    }

    pub fn open_group(&mut self, name: &str, title: &str) -> Option<()> {
        if self.graph.groups.len() >= MAX_GROUPS {
            return None;
        }
        self.graph.groups.push(Group { title: label(title)?, parent: self.open.last().copied() });
        self.group_names.push(name.to_owned());
        self.open.push(self.graph.groups.len() - 1);
        Some(())
    }

    pub fn title_open_group(&mut self, title: String) {
        if let Some(group) = self.open.last() {
            self.graph.groups[*group].title = title;
        }
    }

    /// Closes the innermost group; `false` when none is open.
    pub fn close_group(&mut self) -> bool {
        self.open.pop().is_some()
    }

    pub fn open_depth(&self) -> usize {
        self.open.len()
    }

    /// Ends the reading: edges to a group lead to its first node and come from its last, and empty groups vanish.
    pub fn finish(mut self) -> Graph {
        for group in 0..self.group_names.len() {
            let Some(named) = self.names.iter().position(|name| *name == self.group_names[group]) else {
                continue;
            };
            let within = |node: usize, graph: &Graph| {
                let mut at = graph.nodes[node].group;
                while let Some(inner) = at {
                    if inner == group {
                        return true;
                    }
                    at = graph.groups[inner].parent;
                }
                false
            };
            let members: Vec<usize> =
                (0..self.names.len()).filter(|node| *node != named && within(*node, &self.graph)).collect();
            let (Some(first), Some(last)) = (members.first(), members.last()) else { continue };
            for edge in &mut self.graph.edges {
                edge.from = if edge.from == named { *last } else { edge.from };
                edge.to = if edge.to == named { *first } else { edge.to };
            }
            self.remove_node(named);
        }
        self.graph
    }

    fn remove_node(&mut self, node: usize) {
        self.graph.nodes.remove(node);
        self.names.remove(node);
        for edge in &mut self.graph.edges {
            edge.from -= usize::from(edge.from > node);
            edge.to -= usize::from(edge.to > node);
        }
    }
}

pub(super) fn direction(word: &str) -> Option<Direction> {
    match word {
        "TB" | "TD" => Some(Direction::Down),
        "BT" => Some(Direction::Up),
        "LR" => Some(Direction::Right),
        "RL" => Some(Direction::Left),
        _ => None,
    }
}

pub(super) fn read(first: &str, rest: &[&str]) -> Option<Graph> {
    let mut builder = Builder::default();
    let head = split_outside(first, ';');
    let way = head.first()?.split_whitespace().nth(1).unwrap_or_default();
    builder.graph.direction = direction(way).unwrap_or_default();
    let lines = rest.iter().flat_map(|line| split_outside(line, ';'));
    for line in head[1..].iter().copied().chain(lines) {
        statement(&mut builder, line.trim())?;
    }
    Some(builder.finish())
}

fn statement(builder: &mut Builder, line: &str) -> Option<()> {
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    match word {
        "" | "classDef" | "class" | "style" | "linkStyle" | "click" | "direction" | "accTitle:"
        | "accDescr:" => Some(()),
        "subgraph" => {
            let rest = rest.trim();
            match rest.split_once('[') {
                Some((name, title)) => builder.open_group(name.trim(), title.trim_end_matches(']')),
                None => builder.open_group(unquote(rest), rest),
            }
        }
        "end" => {
            builder.close_group();
            Some(())
        }
        _ => chain(builder, line),
    }
}

/// Reads nodes, or several with links between them.
fn chain(builder: &mut Builder, line: &str) -> Option<()> {
    let (mut before, mut rest) = nodes(builder, line)?;
    while !rest.trim_start().is_empty() {
        let (edge, after) = link(rest.trim_start())?;
        let (next, after) = nodes(builder, after)?;
        for from in &before {
            for to in &next {
                builder.edge(Edge { from: *from, to: *to, ..edge.clone() })?;
            }
        }
        (before, rest) = (next, after);
    }
    Some(())
}

/// Reads `A & B[Words] & C`.
fn nodes<'a>(builder: &mut Builder, text: &'a str) -> Option<(Vec<usize>, &'a str)> {
    let mut found = vec![];
    let mut rest = text;
    loop {
        let (index, after) = node(builder, rest)?;
        found.push(index);
        match after.trim_start().strip_prefix('&') {
            Some(after) => rest = after,
            None => return Some((found, after)),
        }
    }
}

fn node<'a>(builder: &mut Builder, text: &'a str) -> Option<(usize, &'a str)> {
    let text = text.trim_start();
    let end = text
        .char_indices()
        .find(|(at, c)| {
            let rest = &text[*at..];
            c.is_whitespace()
                || "[({>&|;@\"".contains(*c)
                || ["--", "==", "-.", "<-", "<=", "~~~", ":::"].iter().any(|link| rest.starts_with(link))
        })
        .map_or(text.len(), |(at, _)| at);
    let (name, mut rest) = text.split_at(end);
    let index = builder.node(name)?;
    // An edge may have a name: `e1@-->`.
    if let Some(attributes) = rest.strip_prefix("@{") {
        let (inside, after) = split_at_closing(attributes, "}")?;
        read_attributes(&mut builder.graph.nodes[index], inside)?;
        rest = after;
    } else if let Some((shape, inside, after)) = shaped(rest)? {
        let words = label(inside)?;
        let node = &mut builder.graph.nodes[index];
        node.shape = shape;
        if !words.is_empty() {
            node.label = words;
        }
        rest = after;
    }
    if let Some(class) = rest.strip_prefix(":::") {
        let end = class.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(class.len());
        rest = &class[end..];
    }
    Some((index, rest))
}

/// Reads `shape: diamond, label: "Words"`.
fn read_attributes(node: &mut Node, text: &str) -> Option<()> {
    for field in split_outside(text, ',') {
        let Some((name, value)) = field.split_once(':') else { continue };
        match (name.trim(), unquote(value.trim())) {
            ("label", words) => node.label = label(words)?,
            ("shape", shape) => {
                node.shape = match shape {
                    "rounded" | "event" => NodeShape::Round,
                    "stadium" | "terminal" | "pill" => NodeShape::Stadium,
                    "diam" | "diamond" | "decision" | "question" => NodeShape::Diamond,
                    "hex" | "hexagon" | "prepare" => NodeShape::Hexagon,
                    "circle" | "circ" | "dbl-circ" | "double-circle" => NodeShape::Circle,
                    "cyl" | "cylinder" | "db" | "database" | "das" | "disk" => NodeShape::Cylinder,
                    "lean-r" | "lean-l" | "in-out" | "out-in" => NodeShape::Slanted,
                    "sm-circ" | "start" => NodeShape::Start,
                    "fr-circ" | "stop" => NodeShape::End,
                    "fork" | "join" => NodeShape::Bar,
                    "text" => NodeShape::Plain,
                    _ => NodeShape::Box,
                }
            }
            _ => {}
        }
    }
    Some(())
}

/// Finds a shape's brackets at the start of a text: the shape, the words inside, and what follows. `None` outside when
/// they are not closed.
#[allow(clippy::type_complexity)]
fn shaped(text: &str) -> Option<Option<(NodeShape, &str, &str)>> {
    let mut unclosed = false;
    for (open, close, shape) in SHAPES {
        let Some(inner) = text.strip_prefix(open) else { continue };
        match split_at_closing(inner, close) {
            Some((inside, after)) => return Some(Some((shape, inside, after))),
            None => unclosed = true,
        }
    }
    (!unclosed).then_some(None)
}

/// Splits at a closing bracket outside of quotes and of brackets of the same kind.
fn split_at_closing<'a>(text: &'a str, close: &str) -> Option<(&'a str, &'a str)> {
    let last = close.chars().last()?;
    let open = match last {
        ']' => '[',
        ')' => '(',
        _ => '{',
    };
    let (mut depth, mut quoted) = (0_usize, false);
    for (at, c) in text.char_indices() {
        if c == '"' {
            quoted = !quoted;
        } else if quoted {
            continue;
        } else if depth == 0 && text[at..].starts_with(close) {
            return Some((&text[..at], &text[at + close.len()..]));
        } else if c == open {
            depth += 1;
        } else if c == last {
            depth = depth.checked_sub(1)?;
        }
    }
    None
}

/// Reads a link such as `-->`, `-. words .->`, `==>|words|` or `x--x`, and returns what follows.
fn link(text: &str) -> Option<(Edge, &str)> {
    // A link may have a name.
    let text = match text.split_once('@') {
        Some((name, rest)) if !name.is_empty() && name.chars().all(char::is_alphanumeric) => rest,
        _ => text,
    };
    let mut edge = Edge::default();
    let mut rest = text;
    if let Some(after) = rest.strip_prefix(['<', 'x', 'o']).filter(|after| after.starts_with(['-', '='])) {
        edge.ends[0] = end_of(rest.chars().next());
        rest = after;
    }
    let kind = match rest.get(..2)? {
        "--" => '-',
        "==" => '=',
        "-." => '.',
        "~~" => '~',
        _ => return None,
    };
    edge.line = match kind {
        '=' => Line::Thick,
        '.' => Line::Dashed,
        '~' => Line::Invisible,
        _ => Line::Solid,
    };
    let stroke = |c: char| c == if kind == '.' { '.' } else { kind } || (kind == '.' && c == '-');
    let body = rest.find(|c: char| !stroke(c)).unwrap_or(rest.len());
    let (drawn, mut after) = rest.split_at(body);
    let is_whole = match kind {
        '.' => drawn.len() >= 3 && drawn.ends_with('-'),
        '~' => true,
        _ => drawn.len() >= 3 || after.starts_with('>') || is_mark(after),
    };
    if !is_whole {
        let closing = match kind {
            '.' => ".-",
            '=' => "==",
            _ => "--",
        };
        let (words, closed) = after.split_once(closing)?;
        edge.label = label(words)?;
        after = closed.trim_start_matches(['-', '=', '.']);
    }
    if let Some(head) = after.strip_prefix('>') {
        edge.ends[1] = EdgeEnd::Arrow;
        after = head;
    } else if is_mark(after) {
        edge.ends[1] = end_of(after.chars().next());
        after = &after[1..];
    }
    let after_words = after.trim_start();
    if let Some(words) = after_words.strip_prefix('|') {
        let (words, rest) = words.split_once('|')?;
        edge.label = label(words)?;
        return Some((edge, rest));
    }
    Some((edge, after_words))
}

/// Returns `true` where a link ends with a cross or a dot.
fn is_mark(text: &str) -> bool {
    text.starts_with(['x', 'o']) && text[1..].starts_with(|c: char| c.is_whitespace() || c == '|')
}

fn end_of(mark: Option<char>) -> EdgeEnd {
    match mark {
        Some('x') => EdgeEnd::Cross,
        Some('o') => EdgeEnd::Dot,
        Some('<') => EdgeEnd::Arrow,
        _ => EdgeEnd::None,
    }
}
