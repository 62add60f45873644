//! Flow diagrams: the grid of their boxes, and their source.

use reel_scene::FlowEdge;

use super::super::literal::{list, optional, words};

/// Most boxes in a row, on a wide page and on others.
const WIDE_COLUMNS: usize = 4;
const NARROW_COLUMNS: usize = 2;

/// A grid with the column and the row of each box, from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Grid {
    columns: usize,
    rows: usize,
    places: Vec<(usize, usize)>,
}

/// Lays out boxes. A chain runs back and forth in rows. Any other diagram is layered, each box below all boxes that lead to
/// it.
fn lay_out(nodes: usize, edges: &[FlowEdge], wide: bool) -> Grid {
    let columns = if wide { WIDE_COLUMNS } else { NARROW_COLUMNS };
    if is_chain(nodes, edges) {
        return chain(nodes, columns);
    }
    let layers = layers(nodes, edges);
    let depth = layers.iter().max().map_or(0, |last| last + 1);
    let mut used = vec![0; depth];
    let mut across = Vec::with_capacity(nodes);
    for layer in &layers {
        across.push(used[*layer]);
        used[*layer] += 1;
    }
    let breadth = used.iter().copied().max().unwrap_or(1);
    // Lanes are counted in halves, so that a single box stands in the middle of two.
    let centred = |node: usize| 2 * across[node] + breadth - used[layers[node]];
    if wide && breadth <= 4 && depth > 1 && depth <= 5 {
        let places = (0..nodes).map(|node| (layers[node], centred(node))).collect();
        return Grid { columns: depth, rows: 2 * breadth - 1, places }.without_empty_lanes();
    }
    let places = (0..nodes).map(|node| (centred(node), layers[node])).collect();
    Grid { columns: 2 * breadth - 1, rows: depth, places }.without_empty_lanes()
}

impl Grid {
    /// Removes lanes without any box.
    fn without_empty_lanes(mut self) -> Self {
        let columns: Vec<usize> = self.places.iter().map(|(column, _)| *column).collect();
        let rows: Vec<usize> = self.places.iter().map(|(_, row)| *row).collect();
        let (by_column, columns) = ranks(&columns);
        let (by_row, rows) = ranks(&rows);
        self.places = by_column.into_iter().zip(by_row).collect();
        Grid { columns, rows, ..self }
    }
}

/// Returns the rank of each value, and the number of distinct values.
fn ranks(values: &[usize]) -> (Vec<usize>, usize) {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    (values.iter().map(|value| sorted.partition_point(|other| other < value)).collect(), sorted.len().max(1))
}

fn is_chain(nodes: usize, edges: &[FlowEdge]) -> bool {
    edges.len() + 1 == nodes
        && edges.iter().enumerate().all(|(index, edge)| (edge.from, edge.to) == (index, index + 1))
}

fn chain(nodes: usize, columns: usize) -> Grid {
    let columns = columns.min(nodes.max(1));
    let place = |node: usize| {
        let (row, column) = (node / columns, node % columns);
        (if row % 2 == 0 { column } else { columns - 1 - column }, row)
    };
    Grid { columns, rows: nodes.div_ceil(columns).max(1), places: (0..nodes).map(place).collect() }
}

/// Returns the length of the longest path to each box. Arrows that close a cycle do not count.
fn layers(nodes: usize, edges: &[FlowEdge]) -> Vec<usize> {
    let mut layers = vec![0; nodes];
    // A path has at most `nodes` arrows; a cycle would never settle.
    for _ in 0..nodes {
        let mut changed = false;
        for edge in edges.iter().filter(|edge| edge.from < nodes && edge.to < nodes) {
            let least = layers[edge.from] + 1;
            if layers[edge.to] < least && least < nodes && edge.from < edge.to {
                layers[edge.to] = least;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    layers
}

pub(super) fn flow_source(nodes: &[String], edges: &[FlowEdge], wide: bool) -> String {
    let grid = lay_out(nodes.len(), edges, wide);
    let boxes = nodes
        .iter()
        .zip(&grid.places)
        .map(|(node, (column, row))| format!("({column}, {row}, {})", words(node)));
    let edges = edges.iter().map(|edge| format!("({}, {}, {})", edge.from, edge.to, optional(&edge.label)));
    format!("flow(t, {}, {}, {}, {})", grid.columns, grid.rows, list(boxes), list(edges))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(pairs: &[(usize, usize)]) -> Vec<FlowEdge> {
        pairs.iter().map(|&(from, to)| FlowEdge { from, to, label: String::new() }).collect()
    }

    #[test]
    fn a_chain_turns_at_the_end_of_a_row() {
        let grid = lay_out(6, &edges(&[(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]), true);
        assert_eq!((grid.columns, grid.rows), (4, 2));
        assert_eq!(grid.places, [(0, 0), (1, 0), (2, 0), (3, 0), (3, 1), (2, 1)]);
    }

    #[test]
    fn branches_stand_in_layers_and_never_on_each_other() {
        for (pairs, nodes) in [
            (&[(0, 1), (0, 2), (1, 3), (2, 3)][..], 4),
            (&[(0, 1), (1, 0), (1, 2), (2, 1)], 3),
            (&[(0, 1), (0, 2), (0, 3), (0, 4), (0, 5), (0, 6)], 7),
            (&[], 3),
        ] {
            for wide in [true, false] {
                let grid = lay_out(nodes, &edges(pairs), wide);
                let mut places = grid.places.clone();
                places.sort_unstable();
                places.dedup();
                assert_eq!(places.len(), nodes, "{grid:?}");
                assert!(grid.places.iter().all(|(column, row)| *column < grid.columns && *row < grid.rows));
            }
        }
    }
}
