//! Draws the edges of a layered graph: where they leave and enter nodes, and the curves between layers.

use reel_scene::diagram::{Graph, NodeShape};

use super::canvas::{Piece, Point, head_length};
use super::graph::Way;
use super::layered::{Layout, Stop};

/// How far a loop reaches from its node.
pub(super) const LOOP: f64 = 1.5;
/// Distance of edges at a node's side.
const PORT_GAP: f64 = 1.2;

/// An edge on the page.
#[derive(Debug, Clone, Default)]
pub(super) struct Ends {
    pub start: Point,
    pub pieces: Vec<Piece>,
    /// Where it touches `from` and `to`.
    pub tips: [Point; 2],
    /// Into the nodes.
    pub directions: [Point; 2],
    /// The outermost point of a loop.
    pub loop_label: Option<Point>,
}

/// An end of an edge at a side of a node.
struct Port {
    edge: usize,
    /// The node's side: towards later layers.
    is_after: bool,
    /// Where the edge comes from or goes to.
    towards: f64,
    offset: f64,
}

/// Returns the ends and the curves of all edges.
pub(super) fn routes(graph: &Graph, layout: &Layout, sizes: &[(f64, f64)], way: Way) -> Vec<Ends> {
    let ports = ports(graph, layout, sizes);
    (0..graph.edges.len())
        .map(|edge| {
            let spec = &graph.edges[edge];
            if spec.from == spec.to {
                return looped(layout, sizes, spec.from, way, head_length(spec.ends[1]));
            }
            let offset = |node: usize, is_after: bool| {
                let ports = ports[node].iter();
                ports
                    .filter(|port| port.edge == edge && port.is_after == is_after)
                    .map(|port| port.offset)
                    .next()
                    .unwrap_or(0.0)
            };
            let turned = layout.is_turned[edge];
            let (low, high) = if turned { (spec.to, spec.from) } else { (spec.from, spec.to) };
            let mut stops = layout.edges[edge].clone();
            if turned {
                stops.reverse();
            }
            let reach =
                |node: usize, offset: f64| boundary(graph.nodes[node].shape, sizes[node], offset, way);
            let (leave, enter) = (offset(low, true), offset(high, false));
            let (a, b) = (layout.nodes[low], layout.nodes[high]);
            let first = (a.0 + leave, a.1 + reach(low, leave));
            let last = (b.0 + enter, b.1 - reach(high, enter));
            let mut heads = [head_length(spec.ends[0]), head_length(spec.ends[1])];
            if turned {
                heads.reverse();
            }
            let start = (first.0, first.1 + heads[0]);
            let end = (last.0, last.1 - heads[1]);
            let between =
                Between { edge, layers: (layout.layer_of[low], layout.layer_of[high]), stops: &stops };
            let pieces = pieces(layout, start, end, &between);
            let place = |point: Point| way.place(point, layout.along);
            let mut tips = [place(first), place(last)];
            let mut directions = [way.direction((0.0, -1.0)), way.direction((0.0, 1.0))];
            if turned {
                tips.reverse();
                directions.reverse();
            }
            let pieces = pieces.into_iter().map(|piece| match piece {
                Piece::Line(end) => Piece::Line(place(end)),
                Piece::Curve(a, b, end) => Piece::Curve(place(a), place(b), place(end)),
            });
            Ends { start: place(start), pieces: pieces.collect(), tips, directions, loop_label: None }
        })
        .collect()
}

/// Spreads the ends of edges over each side of each node, in the order of where they lead.
fn ports(graph: &Graph, layout: &Layout, sizes: &[(f64, f64)]) -> Vec<Vec<Port>> {
    let mut ports: Vec<Vec<Port>> = graph.nodes.iter().map(|_| vec![]).collect();
    for (edge, spec) in graph.edges.iter().enumerate().filter(|(_, edge)| edge.from != edge.to) {
        let turned = layout.is_turned[edge];
        let stops = &layout.edges[edge];
        let near = |stop: Option<&Stop>, node: usize| stop.map_or(layout.nodes[node].0, |stop| stop.across);
        let from = Port { edge, is_after: !turned, towards: near(stops.first(), spec.to), offset: 0.0 };
        let to = Port { edge, is_after: turned, towards: near(stops.last(), spec.from), offset: 0.0 };
        ports[spec.from].push(from);
        ports[spec.to].push(to);
    }
    for (node, ports) in ports.iter_mut().enumerate() {
        ports.sort_by(|a, b| a.is_after.cmp(&b.is_after).then(a.towards.total_cmp(&b.towards)));
        let share = match graph.nodes[node].shape {
            NodeShape::Diamond | NodeShape::Circle | NodeShape::Start | NodeShape::End => 0.4,
            _ => 0.7,
        };
        for is_after in [false, true] {
            let side: Vec<usize> =
                (0..ports.len()).filter(|port| ports[*port].is_after == is_after).collect();
            let count = side.len() as f64;
            let gap = PORT_GAP.min(sizes[node].0 * share / (count - 1.0).max(1.0));
            for (at, port) in side.into_iter().enumerate() {
                ports[port].offset = (at as f64 - (count - 1.0) / 2.0) * gap;
            }
        }
    }
    ports
}

/// Returns how far a shape reaches along from its middle, at an offset across.
fn boundary(shape: NodeShape, (width, depth): (f64, f64), offset: f64, way: Way) -> f64 {
    let (half, reach) = (width / 2.0, depth / 2.0);
    let share = (offset.abs() / half.max(0.01)).min(1.0);
    match shape {
        NodeShape::Diamond => reach * (1.0 - share),
        NodeShape::Circle | NodeShape::Start | NodeShape::End => reach * (1.0 - share * share).sqrt(),
        NodeShape::Stadium if !way.is_vertical => {
            let radius = half.min(reach);
            reach - radius + (radius * radius - (radius * share).powi(2)).max(0.0).sqrt()
        }
        NodeShape::Hexagon if !way.is_vertical => reach - 0.7 * share,
        NodeShape::Slanted if !way.is_vertical => reach - 0.4,
        _ => reach,
    }
}

/// What an edge runs through.
struct Between<'a> {
    edge: usize,
    layers: (usize, usize),
    stops: &'a [Stop],
}

/// Returns the pieces from `start` to `end`: straight within layers, curved between them.
fn pieces(layout: &Layout, start: Point, end: Point, between: &Between) -> Vec<Piece> {
    let ((first, last), stops) = (between.layers, between.stops);
    let mut pieces = vec![];
    let mut at = start;
    let mut layer = first;
    let mut go = |to: Point, at: &mut Point, next: usize| {
        let was = std::mem::replace(&mut layer, next);
        if let Some(fold) = layout.fold.as_ref().filter(|fold| was < fold.layer && next >= fold.layer) {
            pieces.extend(turn(*at, to, fold.lane(between.edge)));
            *at = to;
            return;
        }
        let apart = (to.0 - at.0).abs();
        if apart < 0.03 {
            pieces.push(Piece::Line(to));
        } else {
            let half = (to.1 - at.1) / 2.0;
            pieces.push(Piece::Curve((at.0, at.1 + half), (to.0, to.1 - half), to));
        }
        *at = to;
    };
    let leave = (start.0, layout.layers[first].1.max(start.1));
    go(leave, &mut at, first);
    for stop in stops {
        let (top, bottom) = layout.layers[stop.layer];
        go((stop.across, top), &mut at, stop.layer);
        go((stop.across, bottom), &mut at, stop.layer);
    }
    let enter = (end.0, layout.layers[last].0.min(end.1));
    go(enter, &mut at, last);
    go(end, &mut at, last);
    pieces
}

/// Returns the pieces of an edge from one band to the next, with round corners.
fn turn(from: Point, to: Point, [right, channel, left]: [f64; 3]) -> Vec<Piece> {
    const RADIUS: f64 = 0.5;
    let corners = [(from.0, right), (channel, right), (channel, left), (to.0, left), to];
    let mut pieces = vec![];
    let mut before = from;
    for pair in corners.windows(2) {
        let (corner, after) = (pair[0], pair[1]);
        let towards = |from: Point, to: Point| {
            let length = ((to.0 - from.0).powi(2) + (to.1 - from.1).powi(2)).sqrt().max(1e-6);
            let by = RADIUS.min(length / 2.0) / length;
            (from.0 + (to.0 - from.0) * by, from.1 + (to.1 - from.1) * by)
        };
        let (enter, leave) = (towards(corner, before), towards(corner, after));
        let middle = |point: Point| ((point.0 + 2.0 * corner.0) / 3.0, (point.1 + 2.0 * corner.1) / 3.0);
        pieces.push(Piece::Line(enter));
        pieces.push(Piece::Curve(middle(enter), middle(leave), leave));
        before = corner;
    }
    pieces.push(Piece::Line(to));
    pieces
}

/// Draws an edge from a node to itself, beside it.
fn looped(layout: &Layout, sizes: &[(f64, f64)], node: usize, way: Way, head: f64) -> Ends {
    let ((x, y), (width, depth)) = (layout.nodes[node], sizes[node]);
    let half = width / 2.0;
    let by = (depth * 0.28).min(0.9);
    let (from, to) = ((x + half, y - by), (x + half, y + by));
    let end = (to.0 + head, to.1);
    let place = |point: Point| way.place(point, layout.along);
    let bulge = Piece::Curve(place((from.0 + LOOP * 1.2, from.1)), place((end.0 + LOOP, end.1)), place(end));
    Ends {
        start: place(from),
        pieces: vec![bulge],
        tips: [place(from), place(to)],
        directions: [way.direction((-1.0, 0.0)), way.direction((-1.0, 0.0))],
        loop_label: Some(place((x + half + LOOP, y))),
    }
}
