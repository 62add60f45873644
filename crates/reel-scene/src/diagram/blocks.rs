//! Diagrams that a block of ours shows: pies, timelines, quadrants, charts, mind maps.

use super::text::{label, number, split_outside, unquote};
use super::{Edge, Graph, Line, MAX_NODES, Node, NodeShape, Reading};
use crate::{Arrangement, Block, ChartKind, Item, Number, QuadrantItem, RichText, Series, TimelineItem};

/// Most entries of a chart, of a timeline, and points of a quadrant; `check` has the same limits.
const MAX_SLICES: usize = 16;
const MAX_TIMES: usize = 12;
const MAX_POINTS: usize = 12;

/// Returns the label of a pair and its number.
fn pair(line: &str) -> Option<(String, f64)> {
    let (name, value) = line.rsplit_once(':')?;
    Some((label(name)?, number(value)?))
}

pub(super) fn pie(lines: &[&str]) -> Option<Block> {
    let lines =
        lines.iter().filter(|line| !["title ", "showData", "acc"].iter().any(|word| line.starts_with(word)));
    let slices = lines.take(MAX_SLICES + 1).map(|line| pair(line)).collect::<Option<Vec<_>>>()?;
    let fits = (1..=MAX_SLICES).contains(&slices.len())
        && slices.iter().all(|(_, value)| *value >= 0.0)
        && slices.iter().any(|(_, value)| *value > 0.0);
    let (labels, values): (Vec<String>, Vec<f64>) = slices.into_iter().unzip();
    let values = values.into_iter().filter_map(Number::new).collect();
    fits.then(|| Block::Chart {
        chart: ChartKind::Pie,
        unit: String::new(),
        labels,
        series: vec![Series { name: String::new(), values }],
    })
}

pub(super) fn timeline(lines: &[&str]) -> Option<Block> {
    let mut items: Vec<TimelineItem> = vec![];
    for line in lines {
        if line.starts_with("title ") || line.starts_with("section ") || line.starts_with("acc") {
            continue;
        }
        // A line that begins with a colon goes on with what is above.
        let more = line.strip_prefix(':');
        let mut fields = more.unwrap_or(line).split(" : ").map(label);
        if more.is_none() {
            if items.len() == MAX_TIMES {
                return None;
            }
            let title = fields.next()??.replace('\n', " ");
            items.push(TimelineItem { title, text: String::new() });
        }
        let item = items.last_mut()?;
        for field in fields {
            let text = field?.replace('\n', " ");
            item.text = if item.text.is_empty() { text } else { format!("{}, {text}", item.text) };
        }
    }
    let arrangement = Arrangement::Dates;
    if !arrangement.items().contains(&items.len()) {
        return (!items.is_empty()).then_some(Block::Timeline { items });
    }
    let item = |item: TimelineItem| {
        let text = if item.text.is_empty() { RichText::default() } else { RichText::plain(item.text) };
        Item { title: item.title, text, ..Item::default() }
    };
    Some(Block::Items { arrangement, items: items.into_iter().map(item).collect(), center: None })
}

pub(super) fn quadrant(lines: &[&str]) -> Option<Block> {
    let mut axes = [["Low", "High"].map(str::to_owned), ["Low", "High"].map(str::to_owned)];
    let mut items = vec![];
    for line in lines {
        if let Some(ends) = line.strip_prefix("x-axis ") {
            axes[0] = read_ends(ends)?;
        } else if let Some(ends) = line.strip_prefix("y-axis ") {
            axes[1] = read_ends(ends)?;
        } else if let Some((name, place)) = line.split_once(": [").or_else(|| line.split_once(":[")) {
            let place = place.split(']').next().unwrap_or_default();
            let (right, up) = place.split_once(',')?;
            let at = [number(right)?, number(up)?];
            if items.len() == MAX_POINTS || !at.iter().all(|at| (0.0..=1.0).contains(at)) {
                return None;
            }
            let title = label(name.split(":::").next().unwrap_or_default())?;
            items.push(QuadrantItem { title, at: [Number::new(at[0])?, Number::new(at[1])?] });
        }
    }
    let [x, y] = axes;
    (!items.is_empty()).then_some(Block::Quadrant { x, y, items })
}

/// Reads `Low --> High`.
fn read_ends(text: &str) -> Option<[String; 2]> {
    let (low, high) = text.split_once("-->").unwrap_or((text, "-"));
    let ends = [label(low)?, label(high)?];
    ends.iter().all(|end| !end.is_empty()).then_some(ends)
}

pub(super) fn xy_chart(lines: &[&str]) -> Option<Block> {
    let mut labels: Vec<String> = vec![];
    let (mut series, mut kind, mut unit) = (vec![], ChartKind::Bar, String::new());
    for line in lines {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let (name, list) = rest.split_once('[').map_or((rest, None), |(name, list)| (name, Some(list)));
        let list = list.map(|list| split_outside(list.trim_end_matches(']'), ','));
        match (word, list) {
            ("x-axis", Some(list)) => labels = list.into_iter().map(label).collect::<Option<_>>()?,
            ("y-axis", _) => unit = unquote(name.split("-->").next().unwrap_or_default().trim()).to_owned(),
            ("bar" | "line", Some(list)) => {
                if word == "line" && series.is_empty() {
                    kind = ChartKind::Line;
                }
                let values: Option<Vec<Number>> =
                    list.into_iter().map(|value| number(value).and_then(Number::new)).collect();
                series.push(Series { name: label(name)?, values: values? });
            }
            _ => {}
        }
    }
    // The words of an axis are a unit only where they are short.
    let unit =
        unit.split(['(', ')']).nth(1).filter(|unit| unit.chars().count() <= 8).unwrap_or_default().to_owned();
    let count = series.first().map_or(0, |first| first.values.len());
    if labels.is_empty() {
        labels = (1..=count).map(|number| number.to_string()).collect();
    }
    let fits = (1..=MAX_SLICES).contains(&labels.len())
        && (1..=4).contains(&series.len())
        && series.iter().all(|one| one.values.len() == labels.len());
    // Where a line repeats the bars, one of them says it.
    series.dedup_by(|after, before| after.values == before.values);
    fits.then_some(Block::Chart { chart: kind, unit, labels, series })
}

/// Reads a mind map by its indentation: as a tree of items, or a graph where it has too many.
pub(super) fn mindmap(source: &str) -> Option<Reading> {
    let lines = source.lines().filter(|line| {
        let line = line.trim();
        !(line.is_empty() || line.starts_with("%%") || line.starts_with("::icon") || line.starts_with(":::"))
    });
    let mut nodes: Vec<(usize, String, Option<usize>)> = vec![];
    for line in lines.skip_while(|line| line.trim() != "mindmap").skip(1) {
        if nodes.len() >= MAX_NODES {
            return None;
        }
        let indent = line.len() - line.trim_start().len();
        let parent = nodes.iter().rposition(|(other, ..)| *other < indent);
        // A second root is a child of the first.
        let parent = parent.or((!nodes.is_empty()).then_some(0));
        nodes.push((indent, label(words_of(line.trim()))?.replace('\n', " "), parent));
    }
    if nodes.len() < 2 || nodes.iter().any(|(_, title, _)| title.is_empty()) {
        return None;
    }
    let arrangement = Arrangement::Tree;
    let is_deep = (0..nodes.len()).any(|node| depth(&nodes, node) > 2);
    if arrangement.items().contains(&nodes.len()) && !is_deep {
        let item =
            |(_, title, parent): (usize, String, Option<usize>)| Item { title, parent, ..Item::default() };
        let items = nodes.into_iter().map(item).collect();
        return Some(Reading::Block(Box::new(Block::Items { arrangement, items, center: None })));
    }
    let edge = |(to, (_, _, parent)): (usize, &(usize, String, Option<usize>))| {
        parent.map(|from| Edge { from, to, line: Line::Solid, ..Edge::default() })
    };
    let edges = nodes.iter().enumerate().filter_map(edge).collect();
    let node = |(at, (_, label, _)): (usize, (usize, String, Option<usize>))| {
        let shape = if at == 0 { NodeShape::Stadium } else { NodeShape::Round };
        Node { label, shape, ..Node::default() }
    };
    let nodes = nodes.into_iter().enumerate().map(node).collect();
    Some(Reading::Graph(Graph { direction: super::Direction::Right, nodes, edges, groups: vec![] }))
}

fn depth(nodes: &[(usize, String, Option<usize>)], node: usize) -> usize {
    std::iter::successors(nodes[node].2, |parent| nodes[*parent].2).count()
}

/// Returns the words of `id((Words))`, `id[Words]` or `Words`.
fn words_of(text: &str) -> &str {
    let Some(open) = text.find(['[', '(', '{', ')']).filter(|_| text.ends_with([']', ')', '}', '('])) else {
        return text;
    };
    let is_name = !text[..open].contains(char::is_whitespace);
    if is_name { text[open..].trim_matches(['[', ']', '(', ')', '{', '}']) } else { text }
}
