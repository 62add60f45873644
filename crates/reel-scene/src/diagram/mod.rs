//! Reads diagrams that are written as text: Mermaid's kinds, and the common part of Graphviz's DOT.
//!
//! A reading is either a block of ours that shows the same (a pie is a chart), or a diagram: a graph, messages between
//! participants, tasks on a calendar, a journey, or commits. Places are given later, where type is measured.
//!
//! Sources come from anywhere: each is bounded in length, and a reader stops as soon as a diagram has more than a page can
//! show. Labels are plain text: markup in them is removed, never read.

mod blocks;
mod class;
mod dot;
mod er;
mod flowchart;
mod git;
mod plan;
mod sequence;
mod state;
mod text;
mod walk;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Block;

/// Longest source that is read, in bytes.
const MAX_SOURCE_BYTES: usize = 80_000;
/// More than a page can show in readable type.
const MAX_NODES: usize = 60;
const MAX_EDGES: usize = 120;
const MAX_GROUPS: usize = 12;
/// Most messages, tasks or commits.
const MAX_ROWS: usize = 60;

/// The language of a diagram's source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DiagramLanguage {
    Mermaid,
    /// Graphviz.
    Dot,
}

impl DiagramLanguage {
    /// Returns the language of a listing with this name.
    pub fn of_listing(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "mermaid" => Some(Self::Mermaid),
            "dot" | "graphviz" | "gv" => Some(Self::Dot),
            _ => None,
        }
    }

    /// Returns the name of a listing in it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mermaid => "mermaid",
            Self::Dot => "dot",
        }
    }
}

/// The content of a diagram.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// A block that shows the same.
    Block(Box<Block>),
    Graph(Graph),
    Sequence(Sequence),
    Plan(Plan),
    Journey(Journey),
    Commits(Commits),
}

/// Nodes and edges. Nodes are in the order of a walk along the edges.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Graph {
    pub direction: Direction,
    pub nodes: Vec<Node>,
    pub edges: Vec<Edge>,
    pub groups: Vec<Group>,
}

/// Where edges lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    #[default]
    Down,
    Up,
    Right,
    Left,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    /// Lines are separated by line feeds.
    pub label: String,
    /// Compartments below the label, of one line for each entry: attributes and methods.
    pub compartments: Vec<Vec<String>>,
    pub shape: NodeShape,
    pub group: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NodeShape {
    #[default]
    Box,
    Round,
    Stadium,
    Diamond,
    Hexagon,
    Circle,
    Cylinder,
    Slanted,
    Note,
    /// A box with compartments.
    Table,
    /// Words alone.
    Plain,
    /// Where it begins: a filled dot.
    Start,
    /// Where it ends: a dot in a ring.
    End,
    /// Where paths part or join.
    Bar,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Edge {
    pub from: usize,
    pub to: usize,
    pub label: String,
    pub line: Line,
    /// Its ends at `from` and at `to`.
    pub ends: [EdgeEnd; 2],
    /// Words at its ends: how many of each.
    pub counts: [String; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Line {
    #[default]
    Solid,
    Dashed,
    Thick,
    Invisible,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EdgeEnd {
    #[default]
    None,
    Arrow,
    Dot,
    Cross,
    /// Inheritance.
    Triangle,
    /// Aggregation.
    OpenDiamond,
    /// Composition.
    Diamond,
    ExactlyOne,
    ZeroOrOne,
    OneOrMore,
    ZeroOrMore,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Group {
    pub title: String,
    pub parent: Option<usize>,
}

/// Messages between participants, from top to bottom.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sequence {
    pub participants: Vec<Participant>,
    pub rows: Vec<SequenceRow>,
    pub frames: Vec<Frame>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Participant {
    pub label: String,
    pub is_actor: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SequenceRow {
    Message {
        from: usize,
        to: usize,
        text: String,
        line: Line,
        head: EdgeEnd,
    },
    /// Words over participants, from the first to the second.
    Note {
        over: [usize; 2],
        side: NoteSide,
        text: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoteSide {
    Over,
    Left,
    Right,
}

/// A frame around rows: a loop, alternatives.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frame {
    /// `loop`, `alt`, `opt`, `par` …
    pub kind: String,
    /// The first row of each part, and its words.
    pub parts: Vec<(usize, String)>,
    /// The row after its last.
    pub end: usize,
    /// Number of frames around it.
    pub depth: usize,
}

/// Tasks on a calendar.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    pub tasks: Vec<Task>,
    /// Titles of the sections.
    pub sections: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Task {
    pub label: String,
    /// Days since 1970-01-01.
    pub start: f64,
    pub end: f64,
    pub section: Option<usize>,
    pub is_done: bool,
    pub is_critical: bool,
    pub is_milestone: bool,
}

/// Steps of somebody's way, and how each felt, from 1 to 5.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Journey {
    pub tasks: Vec<JourneyTask>,
    pub sections: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JourneyTask {
    pub label: String,
    pub score: u8,
    pub actors: String,
    pub section: Option<usize>,
}

/// Commits on branches, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Commits {
    pub branches: Vec<String>,
    pub commits: Vec<Commit>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Commit {
    pub branch: usize,
    /// Earlier commits.
    pub parents: Vec<usize>,
    pub label: String,
    pub tag: String,
}

/// Reads a diagram. `None` when it is none, or has more than a page can show.
pub fn read(language: DiagramLanguage, source: &str) -> Option<Reading> {
    if source.len() > MAX_SOURCE_BYTES {
        return None;
    }
    let reading = match language {
        DiagramLanguage::Dot => Reading::Graph(dot::read(source)?),
        DiagramLanguage::Mermaid => read_mermaid(source)?,
    };
    match reading {
        Reading::Graph(graph) => {
            let fits = (1..=MAX_NODES).contains(&graph.nodes.len())
                && graph.edges.len() <= MAX_EDGES
                && graph.groups.len() <= MAX_GROUPS;
            fits.then(|| Reading::Graph(walk::in_walking_order(graph)))
        }
        other => (!other.names().is_empty()).then_some(other),
    }
}

fn read_mermaid(source: &str) -> Option<Reading> {
    let lines = text::lines(source);
    let (first, rest) = lines.split_first()?;
    let word = first.split(|c: char| c.is_whitespace() || c == ';' || c == ':').next().unwrap_or_default();
    let block = |block: Option<Block>| block.map(|block| Reading::Block(Box::new(block)));
    match word {
        "flowchart" | "graph" | "flowchart-elk" => flowchart::read(first, rest).map(Reading::Graph),
        "stateDiagram" | "stateDiagram-v2" => state::read(rest).map(Reading::Graph),
        "classDiagram" | "classDiagram-v2" => class::read(rest).map(Reading::Graph),
        "erDiagram" => er::read(rest).map(Reading::Graph),
        "sequenceDiagram" => sequence::read(rest).map(Reading::Sequence),
        "gantt" => plan::read_plan(rest).map(Reading::Plan),
        "journey" => plan::read_journey(rest).map(Reading::Journey),
        "gitGraph" => git::read(rest).map(Reading::Commits),
        "pie" => block(blocks::pie(rest)),
        "timeline" => block(blocks::timeline(rest)),
        "quadrantChart" => block(blocks::quadrant(rest)),
        "xychart-beta" | "xychart" => block(blocks::xy_chart(rest)),
        "mindmap" => blocks::mindmap(source),
        _ => None,
    }
}

impl Reading {
    /// Returns the words of each part, in the order in which the parts appear.
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Block(block) => block_names(block),
            Self::Graph(graph) => graph.nodes.iter().map(|node| node.label.clone()).collect(),
            Self::Sequence(sequence) => sequence.rows.iter().map(|row| row.text().to_owned()).collect(),
            Self::Plan(plan) => plan.tasks.iter().map(|task| task.label.clone()).collect(),
            Self::Journey(journey) => journey.tasks.iter().map(|task| task.label.clone()).collect(),
            Self::Commits(commits) => commits.commits.iter().map(|commit| commit.label.clone()).collect(),
        }
    }

    /// Returns the number of parts that can be revealed one by one; `None` where there are none.
    pub fn parts(&self) -> Option<usize> {
        match self {
            Self::Block(block) => block.parts(),
            other => Some(other.names().len()),
        }
    }
}

impl SequenceRow {
    pub fn text(&self) -> &str {
        match self {
            Self::Message { text, .. } | Self::Note { text, .. } => text,
        }
    }
}

/// Returns the words of each part of a block that a diagram may become.
pub fn block_names(block: &Block) -> Vec<String> {
    match block {
        Block::Items { items, .. } => items.iter().map(|item| item.title.clone()).collect(),
        Block::Timeline { items } => items.iter().map(|item| item.title.clone()).collect(),
        Block::Quadrant { items, .. } => items.iter().map(|item| item.title.clone()).collect(),
        Block::Chart { labels, .. } => labels.clone(),
        _ => vec![],
    }
}

#[cfg(test)]
mod tests;
