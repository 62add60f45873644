//! What is read, and that nothing hostile is: no panic, no hang.

use super::*;

fn graph(language: DiagramLanguage, source: &str) -> Graph {
    match read(language, source) {
        Some(Reading::Graph(graph)) => graph,
        other => panic!("{source}: {other:?}"),
    }
}

fn mermaid(source: &str) -> Graph {
    graph(DiagramLanguage::Mermaid, source)
}

fn labels(graph: &Graph) -> Vec<&str> {
    graph.nodes.iter().map(|node| node.label.as_str()).collect()
}

/// Edges by the labels of their nodes.
fn edges(graph: &Graph) -> Vec<(&str, &str, &str)> {
    let name = |node: usize| graph.nodes[node].label.as_str();
    graph.edges.iter().map(|edge| (name(edge.from), edge.label.as_str(), name(edge.to))).collect()
}

#[test]
fn nodes_links_and_labels_of_a_flowchart_are_read() {
    let found =
        mermaid("flowchart LR\n  A[Is it paid?] -->|yes| B(Ship)\n  A -- no --> C{Ask}\n  B --> D --> E\n");
    assert_eq!(labels(&found), ["Is it paid?", "Ship", "D", "E", "Ask"]);
    let expected =
        [("Is it paid?", "yes", "Ship"), ("Is it paid?", "no", "Ask"), ("Ship", "", "D"), ("D", "", "E")];
    assert_eq!(edges(&found), expected);
    assert_eq!((found.direction, found.nodes[4].shape), (Direction::Right, NodeShape::Diamond));
}

#[test]
fn links_of_every_kind_are_read() {
    let links = [
        ("A-->B", Line::Solid, EdgeEnd::Arrow),
        ("A --- B", Line::Solid, EdgeEnd::None),
        ("A-.->B", Line::Dashed, EdgeEnd::Arrow),
        ("A -. words .-> B", Line::Dashed, EdgeEnd::Arrow),
        ("A ==> B", Line::Thick, EdgeEnd::Arrow),
        ("A == words ==> B", Line::Thick, EdgeEnd::Arrow),
        ("A ~~~ B", Line::Invisible, EdgeEnd::None),
        ("A --o B", Line::Solid, EdgeEnd::Dot),
        ("A x--x B", Line::Solid, EdgeEnd::Cross),
        ("A ----> B", Line::Solid, EdgeEnd::Arrow),
        ("A -- words --- B", Line::Solid, EdgeEnd::None),
    ];
    for (link, line, end) in links {
        let found = mermaid(&format!("graph TD; {link}"));
        assert_eq!(labels(&found), ["A", "B"], "{link}");
        assert_eq!((found.edges[0].line, found.edges[0].ends[1]), (line, end), "{link}");
        assert_eq!(found.edges[0].label, if link.contains("words") { "words" } else { "" }, "{link}");
    }
}

#[test]
fn dashes_in_labels_are_no_links_and_a_node_may_come_again() {
    let found = mermaid("graph TD; A[to --> fro] --> B; B --> A; my-node --> B & C");
    assert_eq!(labels(&found), ["my-node", "B", "to --> fro", "C"]);
    assert_eq!(found.edges.len(), 4);
}

#[test]
fn groups_hold_the_nodes_that_they_name_first() {
    let found =
        mermaid("flowchart TB\nsubgraph one [First]\n a --> b\nend\nsubgraph two\n c\nend\none --> two\n");
    assert_eq!(found.groups.iter().map(|group| group.title.as_str()).collect::<Vec<_>>(), ["First", "two"]);
    assert_eq!(edges(&found), [("a", "", "b"), ("b", "", "c")]);
    assert_eq!(found.nodes.iter().map(|node| node.group).collect::<Vec<_>>(), [Some(0), Some(0), Some(1)]);
}

#[test]
fn classes_have_compartments_and_entities_attributes() {
    let found = mermaid(
        "classDiagram\n Animal <|-- Duck\n class Duck{\n +String beak\n +swim()\n }\n Duck \"1\" --> \"*\" Pond : in",
    );
    assert_eq!(edges(&found), [("Animal", "", "Duck"), ("Duck", "in", "Pond")]);
    assert_eq!(found.edges[0].ends, [EdgeEnd::Triangle, EdgeEnd::None]);
    assert_eq!(found.edges[1].counts, ["1", "*"].map(str::to_owned));
    assert_eq!(found.nodes[1].compartments, [vec!["+String beak".to_owned()], vec!["+swim()".to_owned()]]);
    let found = mermaid("erDiagram\n CUSTOMER ||--o{ ORDER : places\n ORDER { int id PK }");
    assert_eq!(found.edges[0].ends, [EdgeEnd::ExactlyOne, EdgeEnd::ZeroOrMore]);
    assert_eq!(found.nodes[1].compartments, [vec!["id: int PK".to_owned()]]);
}

#[test]
fn states_begin_and_end_in_their_own_scope() {
    let found = mermaid("stateDiagram-v2\n [*] --> A\n state A {\n [*] --> B\n }\n A --> [*] : done");
    let shapes: Vec<NodeShape> = found.nodes.iter().map(|node| node.shape).collect();
    assert_eq!(shapes, [NodeShape::Start, NodeShape::Start, NodeShape::Round, NodeShape::End]);
    assert_eq!(found.edges.last().map(|edge| edge.label.as_str()), Some("done"));
}

#[test]
fn messages_notes_and_frames_of_a_sequence_are_read() {
    let source = "sequenceDiagram\n actor A as Alice\n A->>+B: Hi\n alt well\n B-->>A: Fine\n else ill\n B-xA: Bad\n end\n Note over A,B: Words";
    let Some(Reading::Sequence(found)) = read(DiagramLanguage::Mermaid, source) else { panic!() };
    assert_eq!(found.participants[0], Participant { label: "Alice".into(), is_actor: true });
    assert_eq!(found.rows.iter().map(SequenceRow::text).collect::<Vec<_>>(), ["Hi", "Fine", "Bad", "Words"]);
    assert_eq!(found.frames[0].parts, [(1, "well".to_owned()), (2, "ill".to_owned())]);
    assert_eq!(found.frames[0].end, 3);
}

#[test]
fn the_common_part_of_dot_is_read() {
    let source = "strict digraph \"G\" { rankdir=LR // way\n node [shape=box]; a [label=\"First\\nline\"]\n a -> b -> {c d} [style=dashed, label=\"x\"];\n subgraph cluster_1 { label=\"Group\"; e } b:n -> e }";
    let found = graph(DiagramLanguage::Dot, source);
    assert_eq!(labels(&found), ["First\nline", "b", "c", "d", "e"]);
    assert_eq!(
        (found.edges.len(), found.edges[0].line, found.direction),
        (4, Line::Dashed, Direction::Right)
    );
    assert_eq!((found.groups[0].title.as_str(), found.nodes[4].group), ("Group", Some(0)));
    let undirected = graph(DiagramLanguage::Dot, "graph { a -- b }");
    assert_eq!(undirected.edges[0].ends, [EdgeEnd::None; 2]);
}

#[test]
fn what_cannot_be_read_is_left_alone() {
    for text in [
        "",
        "flowchart LR",
        "let x = 1;",
        "graph TD\n A[never closed --> B",
        "sequenceDiagram",
        "pie",
        "sankey-beta\n a,b,1",
        "gantt\n no task here",
        "flowchart TD\n A --> ",
        "mindmap",
        "gitGraph\n checkout nowhere",
    ] {
        assert_eq!(read(DiagramLanguage::Mermaid, text), None, "{text}");
    }
    for text in ["", "digraph", "digraph {", "digraph { a -> }", "digraph { a [label=\"x] }", "tree { a }"] {
        assert_eq!(read(DiagramLanguage::Dot, text), None, "{text}");
    }
}

/// Sources that are large, deep or broken.
fn hostile() -> Vec<String> {
    let many = |head: &str, line: &dyn Fn(usize) -> String, count: usize| {
        format!("{head}\n{}", (0..count).map(line).collect::<Vec<_>>().join("\n"))
    };
    vec![
        many("flowchart TD", &|n| format!("N{n} --> N{}", n + 1), 10_000),
        many("flowchart TD", &|n| format!("N{} --> N{}", n % 50, n * 7 % 50), 10_000),
        many("flowchart TD", &|n| format!("subgraph s{n}"), 5000),
        format!("flowchart TD\nA{}", "[".repeat(50_000)),
        format!("flowchart TD\nA{}x{}", "(".repeat(20_000), ")".repeat(20_000)),
        format!("flowchart TD\n{}", "A & ".repeat(20_000)),
        format!("flowchart TD\n{}", "A-->".repeat(20_000)),
        format!("flowchart TD\nA[\"{}", "x".repeat(70_000)),
        format!("flowchart TD\nA[\"{}\"]", "<b>".repeat(20_000)),
        many("stateDiagram-v2", &|n| format!("state s{n} {{"), 8000),
        many("classDiagram", &|n| format!("class C{n}{{"), 8000),
        many("classDiagram", &|_| "A : +x()".to_owned(), 8000),
        many("erDiagram", &|n| format!("A ||--o{{ B{n} : x"), 5000),
        many("sequenceDiagram\nA->>B: x", &|_| "loop x".to_owned(), 8000),
        many("sequenceDiagram\nalt x", &|_| "else y".to_owned(), 8000),
        many("sequenceDiagram\nA->>B: x", &|_| "opt x\nend".to_owned(), 8000),
        many("gantt", &|n| format!("section {n}"), 8000),
        "gantt\ndateFormat YYYY-MM-DD\nA : 9999-12-31, 999999999999d\nB : 0000-00-00, 1e300d".to_owned(),
        many("gitGraph", &|n| format!("branch b{n}"), 8000),
        many("mindmap", &|n| format!("{}x", " ".repeat(n)), 390),
        many("pie", &|n| format!("\"{n}\" : 1e999"), 100),
        format!("digraph {{ {} }}", "{".repeat(40_000)),
        format!("digraph {{ {} }}", "a -> ".repeat(15_000)),
        format!("digraph {{ a [label=<{}", "<".repeat(60_000)),
        format!(
            "digraph {{ {{a b c d e f g h i j}} -> {{k l m n o p q r s t}} -> {{a b c d e f g h i j}} {} }}",
            "x".repeat(100)
        ),
        format!("digraph {{ {} }}", "subgraph cluster_a {".repeat(3000)),
        "digraph { a [label=\"\\".to_owned(),
        "flowchart TD\nA[\u{202e}\u{0}x] --> B[#read(\"/etc/passwd\")]".to_owned(),
        "---\n".repeat(10_000),
    ]
}

#[test]
fn nothing_hostile_panics_or_takes_long() {
    for source in hostile() {
        let began = std::time::Instant::now();
        for language in [DiagramLanguage::Mermaid, DiagramLanguage::Dot] {
            if let Some(reading) = read(language, &source) {
                assert!(reading.names().len() <= MAX_NODES, "{source}");
            }
        }
        let start: String = source.chars().take(60).collect();
        assert!(began.elapsed().as_secs_f64() < 2.0, "{start} took {:?}", began.elapsed());
    }
}

#[test]
fn damaged_diagrams_never_panic() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../reel-studio/tests/data/diagrams");
    let mut seed = 7_u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below.max(1)
    };
    const PIECES: [&str; 24] = [
        "[",
        "]",
        "(",
        ")",
        "{",
        "}",
        "\"",
        "-->",
        "--",
        "|",
        ":",
        "\n",
        "end",
        "subgraph x",
        "@{",
        "é",
        "\u{202e}",
        ";",
        "&",
        "<",
        ">",
        "~~~",
        "===",
        "\\",
    ];
    let mut files = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        files += 1;
        let source = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for _ in 0..150 {
            let mut characters: Vec<char> = source.chars().collect();
            for _ in 0..1 + random(4) {
                let at = random(characters.len());
                match random(3) {
                    0 => drop(characters.drain(at..(at + random(9)).min(characters.len()))),
                    1 => drop(characters.splice(at..at, PIECES[random(PIECES.len())].chars())),
                    _ => characters.swap(at, 0),
                }
                if characters.is_empty() {
                    break;
                }
            }
            let damaged: String = characters.into_iter().collect();
            for language in [DiagramLanguage::Mermaid, DiagramLanguage::Dot] {
                if let Some(Reading::Graph(graph)) = read(language, &damaged) {
                    let nodes = graph.nodes.len();
                    assert!(graph.edges.iter().all(|edge| edge.from < nodes && edge.to < nodes), "{damaged}");
                }
            }
        }
    }
    assert!(files >= 40, "{files}");
}
