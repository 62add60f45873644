//! Flow diagrams as Mermaid writes them: `flowchart` or `graph`, nodes, arrows, labels.

use reel_scene::{Block, FlowEdge};

/// Boxes of one diagram at most, as many as a scene may have.
const MAX_NODES: usize = 16;
/// Arrows of one diagram at most, as many as a scene may have.
const MAX_EDGES: usize = 40;

/// Reads a diagram; `None` when it is none, or has more boxes or arrows than a page.
pub(crate) fn read(text: &str) -> Option<Block> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("%%"));
    let mut lines = lines.flat_map(|line| line.split(';')).map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next()?;
    if !["flowchart", "graph"].into_iter().any(|word| first.split_whitespace().next() == Some(word)) {
        return None;
    }
    let mut chart = Chart::default();
    for line in lines {
        if chart.nodes.len() > MAX_NODES || chart.edges.len() > MAX_EDGES {
            return None;
        }
        let word = line.split_whitespace().next().unwrap_or_default();
        if !matches!(
            word,
            "subgraph" | "end" | "classDef" | "class" | "style" | "linkStyle" | "click" | "direction"
        ) {
            chart.line(line);
        }
    }
    let nodes: Vec<String> = chart.nodes.into_iter().map(|(_, label)| label).collect();
    let fits = (1..=MAX_NODES).contains(&nodes.len()) && chart.edges.len() <= MAX_EDGES;
    fits.then_some(Block::Flow { nodes, edges: chart.edges })
}

#[derive(Default)]
struct Chart {
    /// Names and labels.
    nodes: Vec<(String, String)>,
    edges: Vec<FlowEdge>,
}

impl Chart {
    /// Adds a node, or several with arrows between them.
    fn line(&mut self, line: &str) {
        let mut rest = line;
        let mut before: Option<(usize, String)> = None;
        while self.nodes.len() <= MAX_NODES && self.edges.len() <= MAX_EDGES {
            let (node, after) = match arrow(rest) {
                Some((start, end, label)) => (&rest[..start], Some((end, label))),
                None => (rest, None),
            };
            let Some(index) = self.node(node.trim()) else { return };
            if let Some((from, label)) = before.take() {
                self.edges.push(FlowEdge { from, to: index, label });
            }
            let Some((end, label)) = after else { return };
            before = Some((index, label));
            rest = &rest[end..];
        }
    }

    /// Returns the index of a node such as `A`, `A[Text]`, `A{Text}` or `A(Text)`.
    fn node(&mut self, text: &str) -> Option<usize> {
        let open = text.find(['[', '(', '{', '>']);
        let name = text[..open.unwrap_or(text.len())].trim();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return None;
        }
        let label = open.map(|at| {
            let inner = text[at..].trim_matches(['[', ']', '(', ')', '{', '}', '>', '/', '\\']);
            inner.trim_matches('"').replace("<br/>", " ").replace("<br>", " ")
        });
        let known = self.nodes.iter().position(|(known, _)| known == name);
        match (known, label.filter(|label| !label.trim().is_empty())) {
            (Some(index), Some(label)) => {
                self.nodes[index].1 = label;
                Some(index)
            }
            (Some(index), None) => Some(index),
            (None, label) => {
                self.nodes.push((name.to_owned(), label.unwrap_or_else(|| name.to_owned())));
                Some(self.nodes.len() - 1)
            }
        }
    }
}

/// Finds the first arrow outside of any label: where it starts and ends, and what stands on it.
fn arrow(text: &str) -> Option<(usize, usize, String)> {
    const ARROWS: [&str; 7] = ["-.->", "--->", "===>", "-->", "==>", "---", "--"];
    let mut depth = 0_i32;
    for (at, c) in text.char_indices() {
        match c {
            '[' | '(' | '{' => depth += 1,
            ']' | ')' | '}' => depth -= 1,
            _ => {}
        }
        let Some(arrow) = ARROWS.iter().find(|arrow| depth == 0 && text[at..].starts_with(**arrow)) else {
            continue;
        };
        let after = &text[at + arrow.len()..];
        // `-->|yes|` and `-- yes -->`
        if let Some(labelled) = after.trim_start().strip_prefix('|') {
            let (label, _) = labelled.split_once('|')?;
            let end = text.len() - labelled.len() + label.len() + 1;
            return Some((at, end, label.trim().to_owned()));
        }
        if *arrow == "--" {
            let (label, _) = after.split_once("-->")?;
            return Some((at, at + 2 + label.len() + 3, label.trim().to_owned()));
        }
        return Some((at, at + arrow.len(), String::new()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(text: &str) -> (Vec<String>, Vec<(usize, usize, String)>) {
        let Some(Block::Flow { nodes, edges }) = read(text) else { panic!("no diagram: {text}") };
        (nodes, edges.into_iter().map(|edge| (edge.from, edge.to, edge.label)).collect())
    }

    #[test]
    fn nodes_arrows_and_labels_are_read() {
        let (nodes, edges) =
            flow("flowchart LR\n  A[Is it paid?] -->|yes| B(Ship)\n  A -- no --> C{Ask}\n  B --> D --> E\n");
        assert_eq!(nodes, ["Is it paid?", "Ship", "Ask", "D", "E"]);
        assert_eq!(
            edges,
            [(0, 1, "yes".into()), (0, 2, "no".into()), (1, 3, String::new()), (3, 4, String::new())]
        );
    }

    #[test]
    fn dashes_inside_labels_are_no_arrows() {
        let (nodes, edges) = flow("graph TD; A[to --> fro] --> B");
        assert_eq!((nodes, edges.len()), (vec!["to --> fro".to_owned(), "B".to_owned()], 1));
    }

    #[test]
    fn what_is_no_flowchart_is_left_alone() {
        for text in ["sequenceDiagram\nA->>B: hi", "", "flowchart LR", "let x = 1;"] {
            assert_eq!(read(text), None, "{text}");
        }
        let many: String = (0..20).map(|n| format!("N{n} --> N{}\n", n + 1)).collect();
        assert_eq!(read(&format!("graph TD\n{many}")), None);
    }
}
