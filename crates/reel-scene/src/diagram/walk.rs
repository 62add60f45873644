//! Puts nodes in the order in which a speaker would come to them.

use super::{Graph, NodeShape};

/// Returns the graph with its nodes in the order of a walk along the edges, each node after one that leads to it.
pub(super) fn in_walking_order(mut graph: Graph) -> Graph {
    let count = graph.nodes.len();
    graph.edges.retain(|edge| edge.from < count && edge.to < count);
    let mut order = Vec::with_capacity(count);
    let mut visited = vec![false; count];
    let is_entered = |node: usize| graph.edges.iter().any(|edge| edge.to == node && edge.from != node);
    let starts = (0..count).filter(|node| graph.nodes[*node].shape == NodeShape::Start);
    let roots = (0..count).filter(|node| !is_entered(*node));
    // Whatever only cycles reach comes last.
    for start in starts.chain(roots).chain(0..count) {
        let mut stack = vec![start];
        while let Some(node) = stack.pop() {
            if std::mem::replace(&mut visited[node], true) {
                continue;
            }
            order.push(node);
            let next: Vec<usize> =
                graph.edges.iter().filter(|edge| edge.from == node).map(|edge| edge.to).collect();
            stack.extend(next.into_iter().rev());
        }
    }
    let mut place = vec![0; count];
    order.iter().enumerate().for_each(|(at, node)| place[*node] = at);
    graph.nodes = order.iter().map(|node| std::mem::take(&mut graph.nodes[*node])).collect();
    for edge in &mut graph.edges {
        (edge.from, edge.to) = (place[edge.from], place[edge.to]);
    }
    graph
}
