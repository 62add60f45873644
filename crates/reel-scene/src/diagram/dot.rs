//! The common part of Graphviz's DOT: nodes, edges, labels, shapes, clusters.

use super::flowchart::{Builder, direction};
use super::text::label;
use super::{Edge, EdgeEnd, Graph, Line, NodeShape};

/// Most brackets in brackets.
const MAX_DEPTH: usize = 8;
/// Most ends of one chain of edges, sets of nodes included.
const MAX_SET: usize = 60;

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    /// `{`, `}`, `[`, `]`, `;`, `,`, `=`, `:`
    Sign(char),
    /// `->` or `--`
    Link,
}

/// Attributes that a diagram is drawn by.
#[derive(Debug, Clone, Default)]
struct Attributes {
    label: Option<String>,
    shape: Option<NodeShape>,
    style: Option<Line>,
    dir: Option<String>,
    rankdir: Option<String>,
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    builder: Builder,
    is_directed: bool,
    node_defaults: Attributes,
    edge_defaults: Attributes,
}

pub(super) fn read(source: &str) -> Option<Graph> {
    let tokens = tokens(source)?;
    let mut parser = Parser {
        tokens,
        at: 0,
        builder: Builder::default(),
        is_directed: true,
        node_defaults: Attributes::default(),
        edge_defaults: Attributes::default(),
    };
    if parser.is_word("strict") {
        parser.at += 1;
    }
    match parser.word()?.to_ascii_lowercase().as_str() {
        "digraph" => {}
        "graph" => parser.is_directed = false,
        _ => return None,
    }
    if !parser.is_sign('{') {
        parser.word()?;
    }
    parser.expect('{')?;
    parser.statements(0)?;
    Some(parser.builder.finish())
}

fn tokens(source: &str) -> Option<Vec<Token>> {
    let mut tokens = vec![];
    let mut rest = source.trim_start();
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        rest = if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/")?.1
        } else if rest.starts_with("//") || rest.starts_with('#') {
            rest.split_once('\n').map_or("", |(_, after)| after)
        } else if rest.starts_with("->") || rest.starts_with("--") {
            tokens.push(Token::Link);
            &rest[2..]
        } else if "{}[];,=:+".contains(first) {
            tokens.push(Token::Sign(first));
            after
        } else if first == '"' {
            let (word, after) = quoted(after)?;
            tokens.push(Token::Word(word));
            after
        } else if first == '<' {
            let (word, after) = html(after)?;
            tokens.push(Token::Word(word));
            after
        } else {
            let end = rest
                .char_indices()
                .find(|(at, c)| c.is_whitespace() || "{}[];,=:\"<>+".contains(*c) || (*at > 0 && *c == '-'));
            let end = end.map_or(rest.len(), |(at, _)| at).max(first.len_utf8());
            tokens.push(Token::Word(rest[..end].to_owned()));
            &rest[end..]
        };
        rest = rest.trim_start();
    }
    Some(tokens)
}

/// Reads up to the closing quote.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut word = String::new();
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((word, &text[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' | 'l' | 'r' => word.push('\n'),
                'N' | 'G' => {}
                '\n' => {}
                escaped => word.push(escaped),
            },
            c => word.push(c),
        }
    }
    None
}

/// Reads an HTML-like label up to its closing bracket: its words, without tags.
fn html(text: &str) -> Option<(String, &str)> {
    let mut depth = 1_usize;
    let mut word = String::new();
    let mut tag = String::new();
    for (at, c) in text.char_indices() {
        match c {
            '<' => {
                depth += 1;
                tag.clear();
            }
            '>' => {
                depth -= 1;
                if depth == 0 {
                    return Some((word, &text[at + 1..]));
                }
                let is_break =
                    ["br", "/tr", "/table"].iter().any(|name| tag.to_ascii_lowercase().starts_with(name));
                word.push(if is_break { '\n' } else { ' ' });
            }
            c if depth == 1 => word.push(c),
            c => {
                if tag.len() < 16 {
                    tag.push(c);
                }
            }
        }
    }
    None
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn is_sign(&self, sign: char) -> bool {
        self.peek() == Some(&Token::Sign(sign))
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(found)) if found.eq_ignore_ascii_case(word))
    }

    fn word(&mut self) -> Option<String> {
        let Some(Token::Word(word)) = self.peek() else { return None };
        let mut word = word.clone();
        self.at += 1;
        while self.is_sign('+') {
            self.at += 1;
            let Some(Token::Word(more)) = self.peek() else { return None };
            word.push_str(more);
            self.at += 1;
        }
        Some(word)
    }

    fn expect(&mut self, sign: char) -> Option<()> {
        let found = self.is_sign(sign);
        self.at += 1;
        found.then_some(())
    }

    /// Reads statements up to the closing bracket. Returns the nodes that they name.
    fn statements(&mut self, depth: usize) -> Option<Vec<usize>> {
        if depth > MAX_DEPTH {
            return None;
        }
        let mut named = vec![];
        let defaults = (self.node_defaults.clone(), self.edge_defaults.clone());
        while !self.is_sign('}') {
            self.peek()?;
            if self.is_sign(';') || self.is_sign(',') {
                self.at += 1;
                continue;
            }
            named.extend(self.statement(depth)?);
            if named.len() > MAX_SET * 4 {
                return None;
            }
        }
        self.at += 1;
        (self.node_defaults, self.edge_defaults) = defaults;
        Some(named)
    }

    fn statement(&mut self, depth: usize) -> Option<Vec<usize>> {
        for (name, kind) in [("node", 0), ("edge", 1), ("graph", 2)] {
            if self.is_word(name) && self.tokens.get(self.at + 1) == Some(&Token::Sign('[')) {
                self.at += 1;
                let found = self.attributes()?;
                match kind {
                    0 => self.node_defaults = found,
                    1 => self.edge_defaults = found,
                    _ => self.graph_attributes(&found),
                }
                return Some(vec![]);
            }
        }
        // `rankdir = LR`
        if self.tokens.get(self.at + 1) == Some(&Token::Sign('=')) {
            let mut found = Attributes::default();
            let name = self.word()?;
            self.at += 1;
            let value = self.word()?;
            found.set(&name, &value)?;
            self.graph_attributes(&found);
            if name == "label" && self.builder.open_depth() > 0 {
                let title = label(&value)?;
                self.builder.title_open_group(title);
            }
            return Some(vec![]);
        }
        let mut sets = vec![self.ends(depth)?];
        while self.peek() == Some(&Token::Link) {
            self.at += 1;
            sets.push(self.ends(depth)?);
        }
        let given = if self.is_sign('[') { self.attributes()? } else { Attributes::default() };
        if let [single] = &sets[..] {
            if let [node] = single[..] {
                self.apply(node, &given)?;
            }
            return Some(single.clone());
        }
        let edge = self.edge(&given)?;
        for pair in sets.windows(2) {
            for from in &pair[0] {
                for to in &pair[1] {
                    self.builder.edge(Edge { from: *from, to: *to, ..edge.clone() })?;
                }
            }
        }
        Some(sets.concat())
    }

    fn edge(&self, given: &Attributes) -> Option<Edge> {
        let defaults = &self.edge_defaults;
        let (tail, head) = match given.dir.as_deref().or(defaults.dir.as_deref()) {
            Some("none") => (EdgeEnd::None, EdgeEnd::None),
            Some("both") => (EdgeEnd::Arrow, EdgeEnd::Arrow),
            Some("back") => (EdgeEnd::Arrow, EdgeEnd::None),
            _ if self.is_directed => (EdgeEnd::None, EdgeEnd::Arrow),
            _ => (EdgeEnd::None, EdgeEnd::None),
        };
        Some(Edge {
            label: given.label.clone().or(defaults.label.clone()).unwrap_or_default(),
            line: given.style.or(defaults.style).unwrap_or_default(),
            ends: [tail, head],
            ..Edge::default()
        })
    }

    /// Reads a node, or a set of nodes in brackets.
    fn ends(&mut self, depth: usize) -> Option<Vec<usize>> {
        let is_named = self.is_word("subgraph");
        if is_named || self.is_sign('{') {
            let name = match is_named {
                true => {
                    self.at += 1;
                    if self.is_sign('{') { String::new() } else { self.word()? }
                }
                false => String::new(),
            };
            self.expect('{')?;
            let is_cluster = name.starts_with("cluster");
            if is_cluster {
                self.builder.open_group(&format!("cluster {name}"), "")?;
            }
            let nodes = self.statements(depth + 1)?;
            if is_cluster {
                self.builder.close_group();
            }
            return Some(nodes);
        }
        let name = self.word()?;
        // A port, and where it is left.
        while self.is_sign(':') {
            self.at += 1;
            self.word()?;
        }
        let before = self.builder.graph.nodes.len();
        let node = self.builder.node(&name)?;
        if self.builder.graph.nodes.len() > before {
            self.builder.graph.nodes[node].shape = NodeShape::Stadium;
            let defaults = self.node_defaults.clone();
            self.apply(node, &defaults)?;
        }
        Some(vec![node])
    }

    fn apply(&mut self, node: usize, given: &Attributes) -> Option<()> {
        let node = self.builder.graph.nodes.get_mut(node)?;
        if let Some(shape) = given.shape {
            node.shape = shape;
        }
        if let Some(words) = &given.label {
            // A record: its fields are compartments.
            if node.shape == NodeShape::Table {
                let mut fields = words.split('|').map(|field| record_field(field).to_owned());
                node.label = fields.next().unwrap_or_default();
                let fields: Vec<String> = fields.take(16).collect();
                node.compartments = if fields.is_empty() { vec![] } else { vec![fields] };
            } else {
                node.label = words.clone();
            }
        }
        if node.label.is_empty() && node.shape == NodeShape::Stadium {
            node.shape = NodeShape::Start;
        }
        Some(())
    }

    fn graph_attributes(&mut self, found: &Attributes) {
        if let Some(way) = found.rankdir.as_deref().and_then(direction)
            && self.builder.open_depth() == 0
        {
            self.builder.graph.direction = way;
        }
        if let Some(title) = found.label.clone().filter(|_| self.builder.open_depth() > 0) {
            self.builder.title_open_group(title);
        }
    }

    fn attributes(&mut self) -> Option<Attributes> {
        let mut found = Attributes::default();
        while self.is_sign('[') {
            self.at += 1;
            while !self.is_sign(']') {
                if self.is_sign(',') || self.is_sign(';') {
                    self.at += 1;
                    continue;
                }
                let name = self.word()?;
                if self.is_sign('=') {
                    self.at += 1;
                    let value = self.word()?;
                    found.set(&name, &value)?;
                }
            }
            self.at += 1;
        }
        Some(found)
    }
}

/// Returns the words of a record's field: `<port> words`.
fn record_field(field: &str) -> &str {
    let field = field.trim_matches([' ', '{', '}', '\n']);
    match field.strip_prefix('<').and_then(|rest| rest.split_once('>')) {
        Some((_, words)) => words.trim(),
        None => field,
    }
}

impl Attributes {
    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "label" => self.label = Some(label(value)?),
            "dir" => self.dir = Some(value.to_owned()),
            "rankdir" => self.rankdir = Some(value.to_owned()),
            "shape" => {
                self.shape = Some(match value {
                    "box" | "rect" | "rectangle" | "square" | "folder" | "component" | "tab" | "box3d" => {
                        NodeShape::Box
                    }
                    "diamond" | "Mdiamond" => NodeShape::Diamond,
                    "hexagon" | "octagon" => NodeShape::Hexagon,
                    "circle" | "doublecircle" | "Mcircle" => NodeShape::Circle,
                    "cylinder" => NodeShape::Cylinder,
                    "parallelogram" | "trapezium" => NodeShape::Slanted,
                    "note" => NodeShape::Note,
                    "plain" | "plaintext" | "none" => NodeShape::Plain,
                    "record" | "Mrecord" => NodeShape::Table,
                    "point" => NodeShape::Start,
                    _ => NodeShape::Stadium,
                });
            }
            "style" => {
                self.style = match value {
                    "dashed" | "dotted" => Some(Line::Dashed),
                    "bold" => Some(Line::Thick),
                    "invis" => Some(Line::Invisible),
                    _ => self.style,
                };
            }
            _ => {}
        }
        Some(())
    }
}
