//! Entry points of the fuzz targets in `fuzz/`. Each takes any bytes and panics when a property does not hold. Tests
//! replay every seed and every input that once failed.

use reel_scene::diagram::{self, DiagramLanguage, Reading};

use crate::{Request, plan, validate};

/// A script in Markdown or plain text: every plan is one that can be made, and the same script has the same plan.
pub fn script(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let request =
        Request { topic: "A topic", context: None, script: Some(text), title: None, duration_ms: None };
    let planned = plan(&request);
    if let Ok(planned) = &planned {
        assert_eq!(validate(&planned.scenes), vec![]);
    }
    assert_eq!(plan(&request), planned);
}

/// A diagram in either language: every edge begins and ends at a node.
pub fn mermaid(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for language in [DiagramLanguage::Mermaid, DiagramLanguage::Dot] {
        let Some(reading) = diagram::read(language, text) else { continue };
        assert!(reading.parts().is_none_or(|parts| parts == reading.names().len()), "{reading:?}");
        if let Reading::Graph(graph) = reading {
            let nodes = graph.nodes.len();
            assert!(graph.edges.iter().all(|edge| edge.from < nodes && edge.to < nodes), "{graph:?}");
        }
    }
}

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_that_were_fuzzed_are_planned() {
        replay::all("script", script);
    }

    #[test]
    fn diagrams_that_were_fuzzed_are_read() {
        replay::all("mermaid", mermaid);
    }
}
