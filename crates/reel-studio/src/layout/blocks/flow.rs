//! Flow diagrams: graphs whose nodes and edges a description gives, drawn like any other diagram.

use reel_scene::FlowEdge;
use reel_scene::diagram::{Direction, Edge, EdgeEnd, Graph, Node, NodeShape};

use super::diagram::{Room, graph_source};

pub(super) fn flow_source(nodes: &[String], edges: &[FlowEdge], room: &Room) -> String {
    let node = |label: &String| Node { label: label.clone(), shape: NodeShape::Round, ..Node::default() };
    let edge = |edge: &FlowEdge| Edge {
        from: edge.from,
        to: edge.to,
        label: edge.label.clone(),
        ends: [EdgeEnd::None, EdgeEnd::Arrow],
        ..Edge::default()
    };
    let graph = Graph {
        direction: Direction::Right,
        nodes: nodes.iter().map(node).collect(),
        edges: edges.iter().map(edge).collect(),
        groups: vec![],
    };
    graph_source(&graph, room)
}
