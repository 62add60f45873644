//! Folds a layout whose layers run across the page: its later layers stand in a second band, below the first.

use super::layered::Layout;

/// Room between the bands for one edge, and for each further one.
const LANE: f64 = 0.7;
const LANE_MARGIN: f64 = 0.9;
/// Most edges from band to band: more would be a knot.
const MAX_LANES: usize = 4;

/// The turn between two bands.
#[derive(Debug, Clone, Default)]
pub(super) struct Fold {
    /// The first layer of the second band.
    pub layer: usize,
    /// Along: the innermost lanes behind the first band and before the second.
    pub right: f64,
    pub left: f64,
    /// Across: the first lane between the bands.
    pub channel: f64,
    /// The lane of each edge that runs from band to band.
    lanes: Vec<Option<usize>>,
    count: usize,
}

impl Fold {
    /// Returns the places of an edge's lane: along behind the first band, across between them, along before the second.
    pub fn lane(&self, edge: usize) -> [f64; 3] {
        let lane = self.lanes.get(edge).copied().flatten().unwrap_or(0) as f64;
        let outer = (self.count.max(1) - 1) as f64 - lane;
        [self.right + lane * LANE, self.channel + lane * LANE, self.left - outer * LANE]
    }
}

/// Folds a layout in two bands of similar length; `None` where no place is fit for it. `sizes` are those of the nodes and of
/// the labels, across and along.
pub(super) fn fold(
    layout: &Layout,
    ends: &[(usize, usize)],
    sizes: &[(f64, f64)],
    labels: &[(f64, f64)],
) -> Option<Layout> {
    let layer = best_layer(layout, ends, sizes)?;
    let cut = (layout.layers[layer - 1].1 + layout.layers[layer].0) / 2.0;
    let crossing = crossing_edges(layout, ends, layer);
    // The lowest edge takes the innermost lane.
    let mut ordered: Vec<(usize, f64)> = crossing
        .iter()
        .map(|edge| {
            let before =
                layout.edges[*edge].iter().filter(|stop| stop.layer < layer).max_by_key(|stop| stop.layer);
            let low = if layout.is_turned[*edge] { ends[*edge].1 } else { ends[*edge].0 };
            (*edge, before.map_or(layout.nodes[low].0, |stop| stop.across))
        })
        .collect();
    ordered.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut lanes = vec![None; ends.len()];
    ordered.iter().enumerate().for_each(|(lane, (edge, _))| lanes[*edge] = Some(lane));
    let count = crossing.len();
    // Extents across of both bands.
    let mut bands = [(f64::MAX, f64::MIN); 2];
    let mut reach = |is_second: bool, first: f64, last: f64| {
        let band = &mut bands[usize::from(is_second)];
        *band = (band.0.min(first), band.1.max(last));
    };
    for (node, (across, _)) in layout.nodes.iter().enumerate() {
        let half = sizes[node].0 / 2.0;
        reach(layout.layer_of[node] >= layer, across - half, across + half);
    }
    for (label, size) in layout.labels.iter().zip(labels) {
        if let Some((across, along)) = label {
            reach(*along > cut, across - size.0 / 2.0, across + size.0 / 2.0);
        }
    }
    for [left, right, first, _] in &layout.groups {
        reach(*first > cut, *left, *right);
    }
    for stop in layout.edges.iter().flatten() {
        reach(stop.layer >= layer, stop.across - 0.2, stop.across + 0.2);
    }
    let [(top, bottom), (second_top, second_bottom)] = bands;
    let margin = LANE_MARGIN + LANE * count.max(1) as f64;
    let channel = bottom - top + LANE_MARGIN;
    let second = channel + LANE * (count.max(1) - 1) as f64 + LANE_MARGIN;
    let begins = layout.layers[layer].0 - room_before(layout, layer);
    let place = |is_second: bool, (across, along): (f64, f64)| {
        if is_second {
            (across - second_top + second, along - begins + margin)
        } else {
            (across - top, along + margin)
        }
    };
    let mut folded = layout.clone();
    for (node, at) in folded.nodes.iter_mut().enumerate() {
        *at = place(layout.layer_of[node] >= layer, *at);
    }
    folded.labels.iter_mut().flatten().for_each(|at| *at = place(at.1 > cut, *at));
    for stop in folded.edges.iter_mut().flatten() {
        stop.across = place(stop.layer >= layer, (stop.across, 0.0)).0;
    }
    for group in &mut folded.groups {
        let is_second = group[2] > cut;
        let (a, b) = (place(is_second, (group[0], group[2])), place(is_second, (group[1], group[3])));
        *group = [a.0, b.0, a.1, b.1];
    }
    for (at, (first, last)) in folded.layers.iter_mut().enumerate() {
        (*first, *last) = (place(at >= layer, (0.0, *first)).1, place(at >= layer, (0.0, *last)).1);
    }
    let first_end = folded.layers[layer - 1].1 + room_after(layout, layer - 1);
    let longest = first_end.max(layout.along - begins + margin);
    folded.fold = Some(Fold {
        layer,
        right: first_end + LANE_MARGIN * 0.7,
        left: margin - LANE_MARGIN * 0.7,
        channel,
        lanes,
        count,
    });
    (folded.across, folded.along) = (second + second_bottom - second_top, longest + margin);
    Some(folded)
}

/// Returns how far groups reach before a layer, or behind it.
fn room_before(layout: &Layout, layer: usize) -> f64 {
    let (first, last) = layout.layers[layer];
    let groups = layout.groups.iter().filter(|group| group[2] < first && group[3] > last - 1e-6);
    groups.map(|group| first - group[2]).fold(0.0, f64::max)
}

fn room_after(layout: &Layout, layer: usize) -> f64 {
    let (first, last) = layout.layers[layer];
    let groups = layout.groups.iter().filter(|group| group[2] < first + 1e-6 && group[3] > last);
    groups.map(|group| group[3] - last).fold(0.0, f64::max)
}

/// Returns the edges that run from a layer before to this one or a later one.
fn crossing_edges(layout: &Layout, ends: &[(usize, usize)], layer: usize) -> Vec<usize> {
    let is_crossing = |edge: &usize| {
        let (from, to) = (layout.layer_of[ends[*edge].0], layout.layer_of[ends[*edge].1]);
        from.min(to) < layer && from.max(to) >= layer
    };
    (0..ends.len()).filter(is_crossing).collect()
}

/// Chooses the first layer of the second band: few edges run to it, no group lies on both sides, and both bands are of
/// similar length.
fn best_layer(layout: &Layout, ends: &[(usize, usize)], sizes: &[(f64, f64)]) -> Option<usize> {
    let has_node = |layer: usize| (0..sizes.len()).any(|node| layout.layer_of[node] == layer);
    let cost = |layer: usize| {
        let cut = layout.layers[layer].0 - 1e-6;
        let is_whole = layout
            .groups
            .iter()
            .all(|group| group[3] <= layout.layers[layer].0 || group[2] >= layout.layers[layer - 1].1);
        let crossing = crossing_edges(layout, ends, layer).len();
        let fits = is_whole && crossing <= MAX_LANES && has_node(layer);
        let longer = cut.max(layout.along - cut) / layout.along.max(0.1);
        fits.then_some(longer * 10.0 + crossing as f64)
    };
    let rated = (1..layout.layers.len()).filter_map(|layer| Some((layer, cost(layer)?)));
    rated.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(layer, _)| layer)
}
