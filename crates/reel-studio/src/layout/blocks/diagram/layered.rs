//! Places the nodes of a graph in layers: edges lead from each layer to later ones.
//!
//! The method is that of Sugiyama, Tagawa and Toda ("Methods for Visual Understanding of Hierarchical System Structures",
//! 1981): edges that close a cycle are turned, layers follow from longest paths, long edges and labels get places of their
//! own in the layers between, barycenters order each layer, and places across are relaxed under the distances that must be
//! kept. Groups are kept together in each layer, with a left and a right border that all layers share.
//!
//! `across` is the axis of a layer, `along` the axis from layer to layer.

use super::fold::Fold;

/// Items of all layers at most: nodes, labels, and places of long edges.
const MAX_ITEMS: usize = 700;
const SWEEPS: usize = 14;

#[derive(Debug, Clone, Default)]
pub(super) struct Input {
    /// Sizes of the nodes, across and along.
    pub sizes: Vec<(f64, f64)>,
    pub edges: Vec<InputEdge>,
    /// The group of each node.
    pub group_of: Vec<Option<usize>>,
    /// The parent of each group; earlier in the list.
    pub group_parents: Vec<Option<usize>>,
    pub node_gap: f64,
    pub layer_gap: f64,
    /// The same before and behind a layer of labels.
    pub label_gap: f64,
    /// Room inside a group's border: before, after (across), before, after (along).
    pub group_room: [f64; 4],
    /// Least extent of a group across, for its title.
    pub group_widths: Vec<f64>,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct InputEdge {
    pub from: usize,
    pub to: usize,
    /// Size of the label, across and along.
    pub label: Option<(f64, f64)>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Layout {
    /// Middles of the nodes: across, along.
    pub nodes: Vec<(f64, f64)>,
    pub layer_of: Vec<usize>,
    /// For each edge, the stops between its ends, from `from` to `to`.
    pub edges: Vec<Vec<Stop>>,
    pub labels: Vec<Option<(f64, f64)>>,
    /// For each group: first and last across, first and last along.
    pub groups: Vec<[f64; 4]>,
    /// First and last along of each layer.
    pub layers: Vec<(f64, f64)>,
    /// Whether an edge runs against the layers.
    pub is_turned: Vec<bool>,
    pub across: f64,
    pub along: f64,
    pub fold: Option<Fold>,
}

/// A place where an edge crosses a layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stop {
    pub across: f64,
    pub layer: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Node,
    /// A stop of an edge, with its label or without.
    Stop {
        edge: usize,
        has_label: bool,
    },
    /// Keeps a group's place in a layer that has none of its nodes.
    Filler,
}

#[derive(Debug, Clone)]
struct Item {
    kind: Kind,
    layer: usize,
    across: f64,
    width: f64,
    depth: f64,
    /// Groups, from the outermost.
    groups: Vec<usize>,
}

/// Lays out a graph; `None` when it has too many items.
pub(super) fn lay_out(input: &Input) -> Option<Layout> {
    let nodes = input.sizes.len();
    let is_turned = turned(nodes, &input.edges);
    let layer_of = layers(nodes, &input.edges, &is_turned);
    let mut graph = Items::new(input, &layer_of, &is_turned)?;
    graph.order();
    graph.relax(input);
    Some(graph.finish(input, layer_of, is_turned))
}

/// Returns which edges close a cycle, on a walk from node to node.
fn turned(nodes: usize, edges: &[InputEdge]) -> Vec<bool> {
    let mut is_turned = vec![false; edges.len()];
    // 0: new, 1: on the path, 2: left.
    let mut state = vec![0_u8; nodes];
    let leaving: Vec<Vec<usize>> = (0..nodes)
        .map(|node| {
            (0..edges.len()).filter(|edge| edges[*edge].from == node && edges[*edge].to != node).collect()
        })
        .collect();
    for root in 0..nodes {
        let mut path = vec![(root, 0)];
        if state[root] != 0 {
            continue;
        }
        state[root] = 1;
        while let Some((node, next)) = path.last_mut() {
            let Some(&edge) = leaving[*node].get(*next) else {
                state[*node] = 2;
                path.pop();
                continue;
            };
            *next += 1;
            match state[edges[edge].to] {
                0 => {
                    state[edges[edge].to] = 1;
                    path.push((edges[edge].to, 0));
                }
                1 => is_turned[edge] = true,
                _ => {}
            }
        }
    }
    is_turned
}

/// Returns the two ends of an edge in the direction of the layers.
fn ends(edge: &InputEdge, is_turned: bool) -> (usize, usize) {
    if is_turned { (edge.to, edge.from) } else { (edge.from, edge.to) }
}

/// Returns the layer of each node: the longest path to it. A node without edges into it moves up to the first that follows.
/// An edge with a label has a layer between its ends, for the label.
fn layers(nodes: usize, edges: &[InputEdge], is_turned: &[bool]) -> Vec<usize> {
    let mut layer = vec![0; nodes];
    let pairs: Vec<(usize, usize, usize)> = edges
        .iter()
        .zip(is_turned)
        .filter(|(edge, _)| edge.from != edge.to)
        .map(|(edge, turned)| {
            let (from, to) = ends(edge, *turned);
            (from, to, if edge.label.is_some() { 2 } else { 1 })
        })
        .collect();
    for _ in 0..nodes {
        let mut changed = false;
        for (from, to, step) in &pairs {
            if layer[*to] < layer[*from] + step {
                layer[*to] = layer[*from] + step;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    for node in 0..nodes {
        if pairs.iter().any(|(_, to, _)| *to == node) {
            continue;
        }
        let nearest =
            pairs.iter().filter(|(from, ..)| *from == node).map(|(_, to, step)| layer[*to] - step).min();
        layer[node] = nearest.unwrap_or(layer[node]);
    }
    // Nodes that nothing leads to or from stand in rows, not in one line.
    let lone: Vec<usize> =
        (0..nodes).filter(|node| pairs.iter().all(|(from, to, _)| from != node && to != node)).collect();
    let last = layer.iter().max().copied().unwrap_or(0);
    let rows = ((lone.len() as f64).sqrt() * 0.75).round() as usize;
    let rows = if pairs.is_empty() { rows.max(1) } else { (last + 1).max(1) };
    for (at, node) in lone.iter().enumerate() {
        layer[*node] = at % rows;
    }
    let first = layer.iter().min().copied().unwrap_or(0);
    layer.into_iter().map(|layer| layer - first).collect()
}

struct Items {
    items: Vec<Item>,
    layers: Vec<Vec<usize>>,
    /// Pairs of items in consecutive layers, and how strongly they attract each other.
    links: Vec<(usize, usize, f64)>,
    /// Items of each edge between its ends, in the direction of the layers.
    stops: Vec<Vec<usize>>,
    borders: Vec<(f64, f64)>,
    /// Links of each item: the other item, strength.
    neighbours: Vec<Vec<(usize, f64)>>,
}

impl Items {
    fn new(input: &Input, layer_of: &[usize], is_turned: &[bool]) -> Option<Self> {
        let count = layer_of.iter().max().map_or(0, |last| last + 1);
        let chain = |group: Option<usize>| {
            let mut chain: Vec<usize> =
                std::iter::successors(group, |group| input.group_parents[*group]).take(64).collect();
            chain.reverse();
            chain
        };
        let mut items: Vec<Item> = (0..input.sizes.len())
            .map(|node| Item {
                kind: Kind::Node,
                layer: layer_of[node],
                across: 0.0,
                width: input.sizes[node].0,
                depth: input.sizes[node].1,
                groups: chain(input.group_of[node]),
            })
            .collect();
        let mut links = vec![];
        let mut stops = vec![vec![]; input.edges.len()];
        for (edge, spec) in input.edges.iter().enumerate() {
            if spec.from == spec.to {
                continue;
            }
            let (from, to) = ends(spec, is_turned[edge]);
            let shared: Vec<usize> = items[from]
                .groups
                .iter()
                .zip(&items[to].groups)
                .take_while(|(a, b)| a == b)
                .map(|(a, _)| *a)
                .collect();
            let (first, last) = (layer_of[from], layer_of[to]);
            let middle = (first + last) / 2;
            let mut before = from;
            for layer in first + 1..last {
                let label = spec.label.filter(|_| layer == middle);
                let (width, depth) = label.unwrap_or((0.3, 0.0));
                if items.len() >= MAX_ITEMS {
                    return None;
                }
                let kind = Kind::Stop { edge, has_label: label.is_some() };
                items.push(Item { kind, layer, across: 0.0, width, depth, groups: shared.clone() });
                let item = items.len() - 1;
                links.push((before, item, if before == from { 2.0 } else { 6.0 }));
                stops[edge].push(item);
                before = item;
            }
            links.push((before, to, if before == from { 1.0 } else { 2.0 }));
        }
        for group in 0..input.group_parents.len() {
            let members = || items.iter().filter(|item| item.groups.contains(&group));
            let Some(first) = members().map(|item| item.layer).min() else { continue };
            let last = members().map(|item| item.layer).max().unwrap_or(first);
            let missing: Vec<usize> =
                (first..=last).filter(|layer| members().all(|item| item.layer != *layer)).collect();
            for layer in missing {
                if items.len() >= MAX_ITEMS {
                    return None;
                }
                let groups = chain(Some(group));
                items.push(Item { kind: Kind::Filler, layer, across: 0.0, width: 0.1, depth: 0.0, groups });
            }
        }
        let mut layers = vec![vec![]; count];
        items.iter().enumerate().for_each(|(at, item)| layers[item.layer].push(at));
        let mut neighbours = vec![vec![]; items.len()];
        for (a, b, strength) in &links {
            neighbours[*a].push((*b, *strength));
            neighbours[*b].push((*a, *strength));
        }
        let borders = vec![(0.0, 0.0); input.group_parents.len()];
        Some(Self { items, layers, links, stops, borders, neighbours })
    }

    /// Orders each layer so that few edges cross.
    fn order(&mut self) {
        for layer in 0..self.layers.len() {
            self.pack(layer);
        }
        self.sort_all(true, true);
        let mut best = (self.crossings(), self.layers.clone());
        for sweep in 0..SWEEPS {
            self.sort_all(sweep % 2 == 0, false);
            self.transpose();
            let crossings = self.crossings();
            if crossings < best.0 {
                best = (crossings, self.layers.clone());
            }
        }
        self.layers = best.1;
        for layer in 0..self.layers.len() {
            self.pack(layer);
        }
    }

    /// Puts the items of a layer side by side around zero.
    fn pack(&mut self, layer: usize) {
        let total: f64 = self.layers[layer].iter().map(|item| self.items[*item].width + 1.0).sum();
        let mut at = -total / 2.0;
        for item in &self.layers[layer] {
            let item = &mut self.items[*item];
            item.across = at + (item.width + 1.0) / 2.0;
            at += item.width + 1.0;
        }
    }

    /// Sorts all layers by barycenters of the layers before, or after.
    fn sort_all(&mut self, downward: bool, first: bool) {
        let count = self.layers.len();
        let groups = self.borders.len();
        let keys: Vec<f64> = (0..groups).map(|group| self.group_key(group)).collect();
        for at in 0..count {
            let layer = if downward { at } else { count - 1 - at };
            let wanted = |item: &usize| {
                let own = &self.items[*item];
                let near = self.neighbours[*item].iter().map(|(other, _)| &self.items[*other]);
                let near: Vec<f64> = near
                    .filter(|other| {
                        (other.layer < own.layer) == downward
                            || first && groups > 0 && other.layer < own.layer
                    })
                    .map(|other| other.across)
                    .collect();
                if near.is_empty() { own.across } else { near.iter().sum::<f64>() / near.len() as f64 }
            };
            let mut sorted: Vec<(Vec<(f64, usize)>, usize)> = self.layers[layer]
                .iter()
                .map(|item| {
                    let path = self.items[*item].groups.iter().map(|group| (keys[*group], *group));
                    // Beside groups, what belongs to none has numbers above theirs.
                    (path.chain([(wanted(item), groups)]).collect(), *item)
                })
                .collect();
            sorted.sort_by(|(a, _), (b, _)| {
                a.iter()
                    .zip(b)
                    .map(|(a, b)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)))
                    .find(|order| order.is_ne())
                    .unwrap_or(std::cmp::Ordering::Equal)
            });
            self.layers[layer] = sorted.into_iter().map(|(_, item)| item).collect();
            self.pack(layer);
        }
    }

    fn group_key(&self, group: usize) -> f64 {
        let members = self.items.iter().filter(|item| item.groups.contains(&group));
        let (sum, count) = members.fold((0.0, 0), |(sum, count), item| (sum + item.across, count + 1));
        sum / f64::from(count.max(1))
    }

    /// Swaps neighbours of the same group where that removes crossings.
    fn transpose(&mut self) {
        let links = self.links.len();
        if links > 400 {
            return;
        }
        for layer in 0..self.layers.len() {
            for at in 1..self.layers[layer].len() {
                let (a, b) = (self.layers[layer][at - 1], self.layers[layer][at]);
                if self.items[a].groups != self.items[b].groups {
                    continue;
                }
                let (kept, swapped) = (self.crossings_of(a, b), self.crossings_of(b, a));
                if swapped < kept {
                    self.layers[layer].swap(at - 1, at);
                    self.pack(layer);
                }
            }
        }
    }

    /// Counts crossings between the links of two neighbours, `a` standing before `b`.
    fn crossings_of(&self, a: usize, b: usize) -> usize {
        let mut count = 0;
        for (x, _) in &self.neighbours[a] {
            for (y, _) in &self.neighbours[b] {
                let (x, y) = (&self.items[*x], &self.items[*y]);
                count += usize::from(x.layer == y.layer && x.across > y.across);
            }
        }
        count
    }

    fn crossings(&self) -> usize {
        let mut count = 0;
        for layer in &self.layers {
            let later = |item: &usize| {
                let own = &self.items[*item];
                let near = self.neighbours[*item].iter().map(|(other, _)| &self.items[*other]);
                near.filter(|other| other.layer > own.layer)
                    .map(|other| (own.across, other.across))
                    .collect::<Vec<_>>()
            };
            let links: Vec<(f64, f64)> = layer.iter().flat_map(later).collect();
            for (at, (a, b)) in links.iter().enumerate() {
                count += links[at + 1..].iter().filter(|(c, d)| (a - c) * (b - d) < 0.0).count();
            }
        }
        count
    }

    /// Moves items towards what they are linked with, as far as the distances between neighbours allow.
    fn relax(&mut self, input: &Input) {
        let count = self.items.len();
        let groups = self.borders.len();
        // Variables: the items, then the first and the last border of each group.
        let mut place: Vec<f64> = self.items.iter().map(|item| item.across).collect();
        place.extend((0..2 * groups).map(|_| 0.0));
        let distances = self.distances(input);
        let rounds = (120_000 / (count + 1)).clamp(60, 400);
        let mut next = place.clone();
        for round in 0..rounds {
            let pull = 0.6 * (1.0 - round as f64 / rounds as f64);
            next.copy_from_slice(&place);
            for item in 0..count {
                let (sum, weight) =
                    self.neighbours[item].iter().fold((0.0, 0.0), |(sum, weight), (other, strength)| {
                        (sum + strength * place[*other], weight + strength)
                    });
                if weight > 0.0 {
                    next[item] += pull * (sum / weight - place[item]);
                }
            }
            for group in 0..groups {
                // Borders draw together.
                next[count + 2 * group] += pull * 0.3;
                next[count + 2 * group + 1] -= pull * 0.3;
            }
            std::mem::swap(&mut place, &mut next);
            for _ in 0..6 {
                for (a, b, distance) in &distances {
                    let missing = distance - (place[*b] - place[*a]);
                    if missing > 0.0 {
                        place[*a] -= missing / 2.0;
                        place[*b] += missing / 2.0;
                    }
                }
            }
        }
        // Whatever is still too near moves to the right.
        for _ in 0..place.len() {
            let mut changed = false;
            for (a, b, distance) in &distances {
                if place[*b] < place[*a] + distance - 1e-6 {
                    place[*b] = place[*a] + distance;
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }
        self.straighten(&mut place, &distances);
        self.items.iter_mut().zip(&place).for_each(|(item, place)| item.across = *place);
        for group in 0..groups {
            let [before, after, ..] = input.group_room;
            let mut edges = (f64::MAX, f64::MIN);
            for item in self.items.iter().filter(|item| item.groups.contains(&group)) {
                let inner = item
                    .groups
                    .iter()
                    .position(|other| *other == group)
                    .map_or(1, |at| item.groups.len() - at);
                let inner = inner as f64;
                edges.0 = edges.0.min(item.across - item.width / 2.0 - before * inner);
                edges.1 = edges.1.max(item.across + item.width / 2.0 + after * inner);
            }
            // As tight as the items allow, and wide enough for the title.
            let missing = (input.group_widths[group] - (edges.1 - edges.0)).max(0.0);
            self.borders[group] = (edges.0 - missing / 2.0, edges.1 + missing / 2.0);
        }
    }

    /// Puts the stops of each edge in line, where nothing stands in between.
    fn straighten(&self, place: &mut [f64], distances: &[(usize, usize, f64)]) {
        let mut near: Vec<Vec<usize>> = vec![vec![]; place.len()];
        for (at, (a, b, _)) in distances.iter().enumerate() {
            near[*a].push(at);
            near[*b].push(at);
        }
        for stops in self.stops.iter().filter(|stops| stops.len() > 1) {
            let before: Vec<f64> = stops.iter().map(|stop| place[*stop]).collect();
            let mean = before.iter().sum::<f64>() / before.len() as f64;
            let least = before.iter().copied().fold(f64::MAX, f64::min);
            let most = before.iter().copied().fold(f64::MIN, f64::max);
            let is_kept = |place: &[f64]| {
                stops.iter().flat_map(|stop| &near[*stop]).all(|at| {
                    let (a, b, distance) = distances[*at];
                    place[b] >= place[a] + distance - 1e-6
                })
            };
            for line in [mean, most, least] {
                stops.iter().for_each(|stop| place[*stop] = line);
                if is_kept(place) {
                    break;
                }
                stops.iter().zip(&before).for_each(|(stop, before)| place[*stop] = *before);
            }
        }
    }

    /// Returns pairs of variables, and how far the second stands behind the first at least.
    fn distances(&self, input: &Input) -> Vec<(usize, usize, f64)> {
        let count = self.items.len();
        let (first, last) = (|group: usize| count + 2 * group, |group: usize| count + 2 * group + 1);
        let [before, after, ..] = input.group_room;
        let mut distances = vec![];
        for (at, item) in self.items.iter().enumerate() {
            if let Some(group) = item.groups.last() {
                distances.push((first(*group), at, before + item.width / 2.0));
                distances.push((at, last(*group), after + item.width / 2.0));
            }
        }
        for (group, parent) in input.group_parents.iter().enumerate() {
            distances.push((first(group), last(group), input.group_widths[group]));
            if let Some(parent) = parent {
                distances.push((first(*parent), first(group), before));
                distances.push((last(group), last(*parent), after));
            }
        }
        for layer in &self.layers {
            for pair in layer.windows(2) {
                let (a, b) = (&self.items[pair[0]], &self.items[pair[1]]);
                let is_stop =
                    |item: &Item| matches!(item.kind, Kind::Stop { has_label: false, .. } | Kind::Filler);
                let gap = input.node_gap * if is_stop(a) && is_stop(b) { 0.7 } else { 1.0 };
                distances.push((pair[0], pair[1], (a.width + b.width) / 2.0 + gap));
                let left = a.groups.iter().find(|group| !b.groups.contains(group));
                let right = b.groups.iter().find(|group| !a.groups.contains(group));
                if let Some(left) = left {
                    distances.push((last(*left), pair[1], b.width / 2.0 + gap));
                }
                if let Some(right) = right {
                    distances.push((pair[0], first(*right), a.width / 2.0 + gap));
                }
                if let (Some(left), Some(right)) = (left, right) {
                    distances.push((last(*left), first(*right), gap));
                }
            }
        }
        distances
    }

    fn finish(mut self, input: &Input, layer_of: Vec<usize>, is_turned: Vec<bool>) -> Layout {
        let groups = self.borders.len();
        let spans: Vec<Option<(usize, usize)>> = (0..groups)
            .map(|group| {
                let layers =
                    || self.items.iter().filter(|item| item.groups.contains(&group)).map(|item| item.layer);
                layers().min().zip(layers().max())
            })
            .collect();
        // Everything begins at zero.
        let lefts = self.items.iter().map(|item| item.across - item.width / 2.0);
        let left = lefts
            .chain(
                self.borders
                    .iter()
                    .zip(&spans)
                    .filter(|(_, span)| span.is_some())
                    .map(|(border, _)| border.0),
            )
            .fold(f64::MAX, f64::min);
        let left = if left == f64::MAX { 0.0 } else { left };
        self.items.iter_mut().for_each(|item| item.across -= left);
        self.borders.iter_mut().for_each(|border| *border = (border.0 - left, border.1 - left));
        let rights = self.items.iter().map(|item| item.across + item.width / 2.0);
        let across = rights
            .chain(
                self.borders
                    .iter()
                    .zip(&spans)
                    .filter(|(_, span)| span.is_some())
                    .map(|(border, _)| border.1),
            )
            .fold(0.0, f64::max);
        let depth_of = |group: usize| {
            std::iter::successors(Some(group), |group| input.group_parents[*group]).take(64).count()
        };
        let [_, _, room_before, room_after] = input.group_room;
        let mut layers = vec![];
        let mut at = 0.0;
        for layer in 0..self.layers.len() {
            let opening = (0..groups).filter(|group| spans[*group].is_some_and(|(first, _)| first == layer));
            let outer = |groups: &mut dyn Iterator<Item = usize>| {
                let depths: Vec<usize> = groups.map(depth_of).collect();
                match (depths.iter().min(), depths.iter().max()) {
                    (Some(least), Some(most)) => (most - least + 1) as f64,
                    _ => 0.0,
                }
            };
            let opened = outer(&mut opening.into_iter());
            let mut closing =
                (0..groups).filter(|group| spans[*group].is_some_and(|(_, last)| last == layer));
            let closed = outer(&mut closing);
            at += opened * room_before;
            let depth = self.layers[layer].iter().map(|item| self.items[*item].depth).fold(0.0, f64::max);
            layers.push((at, at + depth));
            at += depth + closed * room_after;
            if layer + 1 < self.layers.len() {
                // Labels need less room before and behind them.
                let has_nodes =
                    |layer: usize| self.layers[layer].iter().any(|item| self.items[*item].kind == Kind::Node);
                let is_short = !(has_nodes(layer) && has_nodes(layer + 1));
                at += if is_short { input.label_gap } else { input.layer_gap };
            }
        }
        let middle = |layer: usize| (layers[layer].0 + layers[layer].1) / 2.0;
        let nodes =
            (0..input.sizes.len()).map(|node| (self.items[node].across, middle(layer_of[node]))).collect();
        let mut labels = vec![None; input.edges.len()];
        for item in &self.items {
            if let Kind::Stop { edge, has_label: true } = item.kind {
                labels[edge] = Some((item.across, middle(item.layer)));
            }
        }
        let edges = self
            .stops
            .iter()
            .zip(&is_turned)
            .map(|(stops, turned)| {
                let mut stops: Vec<Stop> = stops
                    .iter()
                    .map(|stop| Stop { across: self.items[*stop].across, layer: self.items[*stop].layer })
                    .collect();
                if *turned {
                    stops.reverse();
                }
                stops
            })
            .collect();
        // A group reaches as far beyond its layers as the groups in it need.
        let inside = |group: usize, layer: usize, pick: fn((usize, usize)) -> usize| {
            let depths = (0..groups)
                .filter(|inner| {
                    std::iter::successors(Some(*inner), |inner| input.group_parents[*inner])
                        .take(64)
                        .any(|outer| outer == group)
                        && spans[*inner].is_some_and(|span| pick(span) == layer)
                })
                .map(depth_of);
            (depths.max().unwrap_or(depth_of(group)) + 1 - depth_of(group)) as f64
        };
        let groups = (0..groups)
            .map(|group| {
                let Some((first, last)) = spans[group] else { return [0.0; 4] };
                let before = inside(group, first, |span| span.0) * room_before;
                let after = inside(group, last, |span| span.1) * room_after;
                let (left, right) = self.borders[group];
                [left, right, layers[first].0 - before, layers[last].1 + after]
            })
            .collect();
        Layout { nodes, layer_of, edges, labels, groups, layers, is_turned, across, along: at, fold: None }
    }
}
