//! Graphs: measures their nodes, chooses a layout, and draws it.

use reel_scene::diagram::{Direction, Edge, EdgeEnd, Graph, Node, NodeShape};

use super::Room;
use super::canvas::{Canvas, Point, Rect};
use super::fold::fold;
use super::layered::{self, Input, InputEdge, Layout};
use super::measure::{LINE, Type};
use super::route::{self, Ends};

/// Longest lines of nodes that are tried, in em.
const LINE_WIDTHS: [f64; 5] = [15.0, 11.0, 8.5, 6.5, 5.0];
const EDGE_LINE_WIDTH: f64 = 8.0;
/// How much farther apart nodes may stand where there is room.
const MAX_STRETCH: f64 = 1.6;
/// Type below this size is worth folding the diagram for.
const FOLD_BELOW: f64 = 42.0;
const GROUP_PAD: f64 = 0.7;
const GROUP_TITLE: f64 = 1.5;

/// A node as it is drawn: size and lines, in em.
#[derive(Clone)]
pub(super) struct Drawn {
    pub size: (f64, f64),
    lines: Vec<String>,
    compartments: Vec<Vec<String>>,
}

/// Which way layers follow each other on the page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    pub is_vertical: bool,
    /// Whether the first layer is the last on the page.
    pub is_reversed: bool,
}

impl Way {
    fn of(direction: Direction) -> Self {
        Self {
            is_vertical: matches!(direction, Direction::Down | Direction::Up),
            is_reversed: matches!(direction, Direction::Up | Direction::Left),
        }
    }

    fn turned(self) -> Self {
        Self { is_vertical: !self.is_vertical, is_reversed: false }
    }

    /// Swaps a size's sides where layers run across the page.
    pub fn swap(self, (width, height): (f64, f64)) -> (f64, f64) {
        if self.is_vertical { (width, height) } else { (height, width) }
    }

    /// Returns the place on the page of a place in a layout whose extent along is `total`.
    pub fn place(self, (across, along): Point, total: f64) -> Point {
        let along = if self.is_reversed { total - along } else { along };
        if self.is_vertical { (across, along) } else { (along, across) }
    }

    pub fn direction(self, (across, along): Point) -> Point {
        let along = if self.is_reversed { -along } else { along };
        if self.is_vertical { (across, along) } else { (along, across) }
    }
}

#[derive(Clone)]
struct Candidate {
    way: Way,
    drawn: Vec<Drawn>,
    labels: Vec<Vec<String>>,
    /// Sizes in the layout, across and along.
    sizes: Vec<(f64, f64)>,
    label_sizes: Vec<(f64, f64)>,
    layout: Layout,
    size: f64,
}

/// Draws a graph in the largest type that any layout allows; `None` when that is smaller than `min_size`.
pub(super) fn draw(graph: &Graph, room: &Room, min_size: f64) -> Option<Canvas> {
    let measure = Type::new(&room.families);
    let own = Way::of(graph.direction);
    let mut best: Option<Candidate> = None;
    // The other direction, shorter lines, less air and folds must be worth it.
    let mut keep_better = |tried: Candidate, by: f64| {
        if best.as_ref().is_none_or(|best| tried.size > best.size * by) {
            best = Some(tried);
        }
        best.as_ref().map_or(0.0, |best| best.size)
    };
    let mut size = 0.0;
    for air in [Air::Usual, Air::Little] {
        for way in [own, own.turned()] {
            for width in LINE_WIDTHS {
                let Some(tried) = lay_out(graph, way, width, air, &measure, room) else { continue };
                let folded = (size < FOLD_BELOW && !way.is_vertical && !way.is_reversed)
                    .then(|| folded(graph, &tried, room))
                    .flatten();
                size = keep_better(tried, 1.06);
                if let Some(folded) = folded.filter(|_| size < FOLD_BELOW) {
                    size = keep_better(folded, 1.15);
                }
            }
        }
        if size >= FOLD_BELOW {
            break;
        }
    }
    let mut best = best.filter(|best| best.size >= min_size)?;
    stretch(&mut best, room);
    Some(paint(graph, &best, &measure))
}

/// How much room is left between nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Air {
    Usual,
    Little,
}

fn folded(graph: &Graph, candidate: &Candidate, room: &Room) -> Option<Candidate> {
    let ends: Vec<(usize, usize)> = graph.edges.iter().map(|edge| (edge.from, edge.to)).collect();
    let layout = fold(&candidate.layout, &ends, &candidate.sizes, &candidate.label_sizes)?;
    let size = room.size(candidate.way.swap((layout.across, layout.along)));
    Some(Candidate { layout, size, ..candidate.clone() })
}

fn lay_out(
    graph: &Graph,
    way: Way,
    line_width: f64,
    air: Air,
    measure: &Type,
    room: &Room,
) -> Option<Candidate> {
    let drawn: Vec<Drawn> =
        graph.nodes.iter().map(|node| measure_node(node, line_width, way, measure)).collect();
    let labels: Vec<Vec<String>> =
        graph.edges.iter().map(|edge| measure.wrap(&edge.label, EDGE_LINE_WIDTH)).collect();
    let label_size = |lines: &[String]| {
        let size = (measure.widest(lines) + 0.5, lines.len() as f64 * LINE + 0.1);
        (!lines.is_empty()).then(|| way.swap(size))
    };
    let edges: Vec<InputEdge> = graph
        .edges
        .iter()
        .zip(&labels)
        .map(|(edge, lines)| InputEdge { from: edge.from, to: edge.to, label: label_size(lines) })
        .collect();
    let mut sizes: Vec<(f64, f64)> = drawn.iter().map(|node| way.swap(node.size)).collect();
    for edge in edges.iter().filter(|edge| edge.from == edge.to) {
        sizes[edge.from].0 += 2.0 * (route::LOOP + edge.label.map_or(0.0, |label| label.0));
    }
    let has_counts = graph.edges.iter().any(|edge| edge.counts.iter().any(|count| !count.is_empty()));
    let has_feet = graph.edges.iter().any(|edge| edge.ends.iter().any(|end| is_foot(*end)));
    let wide_ends = if has_counts || has_feet { 0.7 } else { 0.0 };
    let little = air == Air::Little;
    let (title, pad) = (GROUP_TITLE, if little { 0.5 } else { GROUP_PAD });
    let label_sizes = edges.iter().map(|edge| edge.label.unwrap_or_default()).collect();
    let group_room = match (way.is_vertical, way.is_reversed) {
        (true, false) => [pad, pad, title, pad],
        (true, true) => [pad, pad, pad, title],
        (false, _) => [title, pad, pad, pad],
    };
    let input = Input {
        sizes: sizes.clone(),
        edges,
        group_of: graph.nodes.iter().map(|node| node.group).collect(),
        group_parents: graph.groups.iter().map(|group| group.parent).collect(),
        node_gap: if little { 0.6 } else { 0.9 },
        layer_gap: if little { 1.2 } else { 1.7 } + wide_ends,
        label_gap: if little { 0.75 } else { 0.95 } + wide_ends,
        group_room,
        group_widths: graph
            .groups
            .iter()
            .map(|group| if way.is_vertical { measure.bold_width(&group.title) + 1.2 } else { 0.0 })
            .collect(),
    };
    let layout = layered::lay_out(&input)?;
    let size = room.size(way.swap((layout.across, layout.along)));
    Some(Candidate { way, drawn, labels, sizes, label_sizes, layout, size })
}

fn is_foot(end: EdgeEnd) -> bool {
    matches!(end, EdgeEnd::ExactlyOne | EdgeEnd::ZeroOrOne | EdgeEnd::OneOrMore | EdgeEnd::ZeroOrMore)
}

fn measure_node(node: &Node, line_width: f64, way: Way, measure: &Type) -> Drawn {
    let line_width = match node.shape {
        NodeShape::Diamond => line_width.min(7.0),
        NodeShape::Circle => line_width.min(6.0),
        // Attributes are names: they are not broken.
        NodeShape::Table => line_width.max(14.0),
        _ => line_width,
    };
    let lines = measure.wrap(&node.label, line_width);
    let compartments: Vec<Vec<String>> = node
        .compartments
        .iter()
        .map(|rows| rows.iter().flat_map(|row| measure.wrap(row, 18.0)).collect())
        .collect();
    let (width, height) = (measure.widest(&lines), lines.len() as f64 * LINE);
    let size = match node.shape {
        NodeShape::Diamond if lines.is_empty() => (1.6, 1.6),
        NodeShape::Diamond => (width / 0.56 + 0.5, height * 2.1 + 0.5),
        NodeShape::Circle => {
            let side = (width.powi(2) + height.powi(2)).sqrt() + 0.5;
            (side, side)
        }
        NodeShape::Start | NodeShape::End => (0.9, 0.9),
        NodeShape::Bar => way.swap((4.0, 0.28)),
        NodeShape::Stadium => (width + 1.2 + height * 0.25, height + 0.7),
        NodeShape::Hexagon => (width + 2.2, height + 0.8),
        NodeShape::Slanted => (width + 2.4, height + 0.8),
        NodeShape::Cylinder => (width + 1.2, height + 1.6),
        NodeShape::Plain => (width + 0.4, height + 0.2),
        NodeShape::Table => {
            let rows = compartments.iter().flatten().map(|row| measure.width(row)).fold(0.0, f64::max);
            let bold = lines.iter().map(|line| measure.bold_width(line)).fold(0.0, f64::max);
            let below: f64 = compartments
                .iter()
                .filter(|rows| !rows.is_empty())
                .map(|rows| rows.len() as f64 * LINE + 0.5)
                .sum();
            (rows.max(bold) + 1.2, height + 0.6 + below)
        }
        NodeShape::Box | NodeShape::Round | NodeShape::Note => (width + 1.3, height + 0.8),
    };
    Drawn { size: (size.0.max(0.5), size.1.max(0.25)), lines, compartments }
}

/// Moves nodes apart where there is room. Nothing comes nearer to anything else.
fn stretch(candidate: &mut Candidate, room: &Room) {
    let Candidate { way, layout, size, .. } = candidate;
    let (width, height) = way.swap((room.width / *size, room.height / *size));
    let (across, along) = (layout.across, layout.along);
    let factor = |room: f64, taken: f64| (room / taken.max(0.1)).clamp(1.0, MAX_STRETCH);
    let (by_across, by_along) = (factor(width, across), factor(height, along));
    let scale = |place: &mut Point| *place = (place.0 * by_across, place.1 * by_along);
    layout.nodes.iter_mut().for_each(scale);
    layout.labels.iter_mut().flatten().for_each(scale);
    layout.edges.iter_mut().flatten().for_each(|stop| stop.across *= by_across);
    layout
        .layers
        .iter_mut()
        .for_each(|(first, last)| (*first, *last) = (*first * by_along, *last * by_along));
    for [left, right, first, last] in &mut layout.groups {
        (*left, *right, *first, *last) =
            (*left * by_across, *right * by_across, *first * by_along, *last * by_along);
    }
    if let Some(fold) = &mut layout.fold {
        (fold.right, fold.left) = (fold.right * by_along, fold.left * by_along);
        fold.channel *= by_across;
    }
    (layout.across, layout.along) = (across * by_across, along * by_along);
}

fn paint(graph: &Graph, candidate: &Candidate, measure: &Type) -> Canvas {
    let Candidate { way, drawn, labels, layout, size, .. } = candidate;
    let (width, height) = way.swap((layout.across, layout.along));
    let mut canvas = Canvas::new(width, height, *size);
    let place = |point: Point| way.place(point, layout.along);
    for (group, [left, right, first, last]) in layout.groups.iter().enumerate() {
        paint_group(&mut canvas, graph, group, place((*left, *first)), place((*right, *last)), measure);
    }
    let sizes: Vec<(f64, f64)> = drawn.iter().map(|node| way.swap(node.size)).collect();
    let routes = route::routes(graph, layout, &sizes, *way);
    for (edge, ends) in graph.edges.iter().zip(&routes) {
        paint_edge(&mut canvas, edge, ends);
    }
    for (at, (edge, ends)) in graph.edges.iter().zip(&routes).enumerate() {
        let middle = layout.labels[at].map(place).or(ends.loop_label);
        let Some(middle) = middle else { continue };
        let lines = &labels[at];
        let size = (measure.widest(lines) + 0.4, lines.len() as f64 * LINE);
        let middle = if ends.loop_label.is_some() {
            let by = way.swap((way.swap(size).0 / 2.0 + 0.1, 0.0));
            (middle.0 + by.0, middle.1 + by.1)
        } else {
            middle
        };
        let is_grouped = graph.nodes[edge.from].group.is_some() && graph.nodes[edge.to].group.is_some();
        let style = if is_grouped { "label-in-group" } else { "label" };
        canvas.text(&[edge.from, edge.to], Rect::around(middle, size), lines, style);
    }
    for (at, node) in graph.nodes.iter().enumerate() {
        paint_node(&mut canvas, at, node, &drawn[at], place(layout.nodes[at]));
    }
    canvas
}

fn paint_group(canvas: &mut Canvas, graph: &Graph, group: usize, a: Point, b: Point, measure: &Type) {
    // A group appears with the first of its nodes.
    let is_within = |node: &Node| {
        std::iter::successors(node.group, |inner| graph.groups[*inner].parent)
            .take(64)
            .any(|outer| outer == group)
    };
    let Some(first) = graph.nodes.iter().position(is_within) else { return };
    let rect = Rect { x: a.0.min(b.0), y: a.1.min(b.1), width: (a.0 - b.0).abs(), height: (a.1 - b.1).abs() };
    let nested = graph.groups[group].parent.is_some();
    canvas.shape(&[first], if nested { "inner-group" } else { "group" }, rect, "group");
    let title = measure.wrap(&graph.groups[group].title.replace('\n', " "), rect.width - 0.6);
    let row = Rect { height: GROUP_TITLE, x: rect.x + 0.6, width: rect.width - 1.2, ..rect };
    canvas.text(&[first], row, &title, "title");
}

fn paint_edge(canvas: &mut Canvas, edge: &Edge, ends: &Ends) {
    let parts = [edge.from, edge.to];
    canvas.path(&parts, ends.start, &ends.pieces, edge.line, "line");
    for side in 0..2 {
        if edge.line != reel_scene::diagram::Line::Invisible {
            canvas.head(&parts, edge.ends[side], ends.tips[side], ends.directions[side]);
        }
        if !edge.counts[side].is_empty() {
            let ((x, y), (dx, dy)) = (ends.tips[side], ends.directions[side]);
            let half = 0.28 * edge.counts[side].chars().count() as f64 + 0.1;
            // Beside the line, to its right or below it.
            let middle = if dy.abs() > dx.abs() {
                (x + 0.35 + half, y - dy * 0.9)
            } else {
                (x - dx * (0.95 + half), y - 0.75)
            };
            canvas.text(
                &parts,
                Rect::around(middle, (2.0 * half, LINE)),
                &[edge.counts[side].clone()],
                "count",
            );
        }
    }
}

fn paint_node(canvas: &mut Canvas, at: usize, node: &Node, drawn: &Drawn, middle: Point) {
    let rect = Rect::around(middle, drawn.size);
    let (shape, tone) = match node.shape {
        NodeShape::Box => ("box", "first"),
        NodeShape::Round => ("round", "first"),
        NodeShape::Stadium => ("stadium", "first"),
        NodeShape::Diamond => ("diamond", "second"),
        NodeShape::Hexagon => ("hexagon", "second"),
        NodeShape::Circle => ("circle", "third"),
        NodeShape::Cylinder => ("cylinder", "third"),
        NodeShape::Slanted => ("slanted", "third"),
        NodeShape::Note => ("note", "note"),
        NodeShape::Table => ("table", "first"),
        NodeShape::Plain => ("plain", "first"),
        NodeShape::Start => ("start", "ink"),
        NodeShape::End => ("end", "ink"),
        NodeShape::Bar => ("bar", "ink"),
    };
    canvas.shape(&[at], shape, rect, tone);
    if node.shape != NodeShape::Table {
        let inner = if node.shape == NodeShape::Cylinder {
            Rect { y: rect.y + 0.5, height: rect.height - 0.5, ..rect }
        } else {
            rect
        };
        return canvas.text(&[at], inner, &drawn.lines, "node");
    }
    let head = drawn.lines.len() as f64 * LINE + 0.6;
    canvas.text(&[at], Rect { height: head, ..rect }, &drawn.lines, "strong");
    let mut top = rect.y + head;
    for rows in drawn.compartments.iter().filter(|rows| !rows.is_empty()) {
        let height = rows.len() as f64 * LINE + 0.5;
        let row = Rect { y: top, height, ..rect };
        canvas.shape(&[at], "rule", Rect { height: 0.0, ..row }, "first");
        canvas.text(&[at], Rect { x: rect.x + 0.6, width: rect.width - 1.2, ..row }, rows, "rows");
        top += height;
    }
}
