//! Diagrams in listings: Mermaid, and Graphviz's DOT.

use reel_scene::diagram::{self, DiagramLanguage, Reading};
use reel_scene::{Block, Scene, Step, check};

/// Reads a listing in a diagram's language; `None` when it is another listing, or cannot be read. A pie becomes a chart and a
/// mind map a tree; a graph stays a diagram, which is laid out where it is drawn.
pub(crate) fn read(language: Option<&str>, text: &str) -> Option<Block> {
    let language = DiagramLanguage::of_listing(language?)?;
    let block = match diagram::read(language, text)? {
        Reading::Block(block) => *block,
        _ => Block::Diagram { language, source: text.to_owned() },
    };
    is_valid(&block).then_some(block)
}

/// Returns `true` for a block that the rules of scenes allow.
fn is_valid(block: &Block) -> bool {
    let (title, blocks, steps) = ("-".to_owned(), vec![block.clone()], vec![Step::new("a", vec![])]);
    check::faults(&[Scene { title, blocks, steps, ..Scene::default() }]).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_of_diagrams_become_diagrams_or_blocks_of_ours() {
        let flow = "flowchart LR\n A[Is it paid?] -->|yes| B(Ship)\n A -- no --> C{Ask}\n";
        assert!(matches!(read(Some("mermaid"), flow), Some(Block::Diagram { .. })));
        assert!(matches!(read(Some("graphviz"), "digraph { a -> b }"), Some(Block::Diagram { .. })));
        assert!(matches!(read(Some("mermaid"), "pie\n \"a\" : 3\n \"b\" : 4"), Some(Block::Chart { .. })));
    }

    #[test]
    fn other_listings_and_diagrams_that_cannot_be_read_are_left_alone() {
        assert_eq!(read(Some("rust"), "graph TD; A --> B"), None);
        assert_eq!(read(None, "graph TD; A --> B"), None);
        for text in ["", "flowchart LR", "let x = 1;", "graph TD\n A[never closed --> B"] {
            assert_eq!(read(Some("mermaid"), text), None, "{text}");
        }
        let many: String = (0..100).map(|n| format!("N{n} --> N{}\n", n + 1)).collect();
        assert_eq!(read(Some("mermaid"), &format!("graph TD\n{many}")), None);
    }
}
