//! Plans whole scripts, including hostile ones.

use std::time::Instant;

use reel_scene::{Block, Layout, SCENE_COUNT};

use super::arrange::capacity::{PAGE_HEIGHT_PX, block_height_px};
use super::{MAX_NARRATION_LINES, Plan, PlanError, Request, plan, validate};

const EVENT_SOURCING: &str = include_str!("../../../tests/fixtures/scripts/event-sourcing.md");
const PYTHAGORAS: &str = include_str!("../../../tests/fixtures/scripts/pythagoras.txt");
const REFERENCE: &str = include_str!("../../../tests/fixtures/scripts/reference-180s.md");

/// Plans a script and checks what every plan promises.
fn planned(script: &str) -> Plan {
    let request =
        Request { topic: "A topic", context: None, script: Some(script), title: None, duration_ms: None };
    let plan = plan(&request).expect("the script has something to say");
    assert_eq!(validate(&plan.scenes), vec![]);
    assert!(lines(&plan).len() <= MAX_NARRATION_LINES);
    for scene in plan.scenes.iter().filter(|scene| scene.layout == Layout::Content) {
        let height: u32 = scene.blocks.iter().map(block_height_px).sum();
        assert!(height <= PAGE_HEIGHT_PX, "{height} px: {scene:?}");
    }
    for line in lines(&plan) {
        assert!(!line.contains('`') && line.trim() == line, "{line:?}");
        let end = line.trim_end_matches(['"', '\'', '”', '’', ')', ']', '」', '）', '*', '.']);
        assert!(end.len() < line.len() || line.ends_with(['!', '?', '。', '…', '！', '？']), "{line:?}");
    }
    plan
}

fn lines(plan: &Plan) -> Vec<&str> {
    plan.scenes.iter().flat_map(|scene| &scene.steps).map(|step| step.narration.as_str()).collect()
}

/// The lines between the cards, and the closing card's.
fn lines_after_title(plan: &Plan) -> Vec<&str> {
    plan.scenes[1..].iter().flat_map(|scene| &scene.steps).map(|step| step.narration.as_str()).collect()
}

fn titles(plan: &Plan) -> Vec<&str> {
    plan.scenes.iter().map(|scene| scene.title.as_str()).collect()
}

fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[test]
fn a_markdown_script_keeps_its_sections_and_ends_with_its_quotation() {
    let plan = planned(EVENT_SOURCING);
    let expected = [
        "Event sourcing in five minutes",
        "",
        "What an event is",
        "What an event is",
        "Folding in code",
        "What it costs and what it gives",
        "When to use it",
        "The log is the truth.",
    ];
    assert_eq!(titles(&plan), expected);
    assert_eq!(plan.omitted_sentences, 0);
    assert!(lines(&plan).contains(&"Order Placed says what was bought, by whom and when."));
    let listing = &plan.scenes[4];
    assert!(matches!(listing.blocks.last(), Some(Block::Code { .. })));
    assert!(listing.steps[0].reveals.iter().any(|reveal| reveal.block == listing.blocks.len() - 1));
}

#[test]
fn a_plain_script_gets_headings_from_its_own_words() {
    let request = Request {
        topic: "The Pythagorean theorem",
        context: Some(PYTHAGORAS),
        script: None,
        title: None,
        duration_ms: None,
    };
    let plan = plan(&request).expect("the context has something to say");
    let expected = [
        "The Pythagorean theorem",
        "",
        "",
        "",
        "",
        "The proof",
        "The large square's area",
        "The distance between two points",
        "Every game engine, every satellite receiver and every phone does this millions of times a second.",
    ];
    assert_eq!(titles(&plan), expected);
    assert_eq!(words(&lines_after_title(&plan).join(" ")), words(PYTHAGORAS));
}

#[test]
fn the_long_reference_is_told_in_full() {
    let plan = planned(REFERENCE);
    assert_eq!((plan.scenes.len(), plan.omitted_sentences), (15, 0));
    assert!(lines(&plan).contains(&"LCO. Energy: 180 Wh/kg. Cycles: 800. Used in: phones."));
    let formulas = plan.scenes.iter().flat_map(|scene| &scene.blocks);
    assert_eq!(formulas.filter(|block| matches!(block, Block::Formula { .. })).count(), 2);
    let closing = &plan.scenes[14];
    assert_eq!(closing.steps[1].narration, "Treat the loop gently, and it will serve for many years.");
}

#[test]
fn a_requested_title_stands_above_the_scripts_own() {
    let request = Request {
        topic: "t",
        context: None,
        script: Some("# Own\n\nOne. Two. Three."),
        title: Some("Given"),
        duration_ms: None,
    };
    let plan = plan(&request).expect("the script has something to say");
    assert_eq!(plan.title, "Given");
    assert_eq!(lines(&plan)[..2], ["Given.", "Own."]);
}

#[test]
fn a_title_is_found_in_the_script() {
    for (script, title) in [
        ("Why bread rises\n\nNobody knew it. Bakers only knew that it does.", "Why bread rises"),
        ("---\ntitle: Bread\n---\n\nIt rises. It does.", "Bread"),
        ("Title: Bread\n\nIt rises. It does.", "Bread"),
        ("Bread\n=====\n\nIt rises. It does.", "Bread"),
        ("A catalyst is a substance that speeds up a reaction. Catalysts are not used up.", "Catalysts"),
        ("## First\n\nIt is a lot. It is more.\n\n## Second\n\nMore.", "First"),
        (
            "It was said that they had not been there when all of it happened to us.",
            "It was said that they had not been…",
        ),
    ] {
        let request =
            |topic| Request { topic, context: None, script: Some(script), title: None, duration_ms: None };
        let found = plan(&request("")).unwrap();
        assert_eq!(found.title, title, "{script}");
        assert_eq!(validate(&found.scenes), vec![]);
    }
    let request = Request {
        topic: "Topic",
        context: None,
        script: Some("Why bread rises\n\nNobody knew it."),
        title: None,
        duration_ms: None,
    };
    assert_eq!(plan(&request).unwrap().title, "Why bread rises");
}

#[test]
fn tiny_scripts_give_three_scenes() {
    for script in [
        "Water boils at 100 degrees.",
        "Go",
        "# Only a title",
        "- item",
        "```\ncode\n```",
        "$$x$$",
        "One. Two.",
    ] {
        let plan = planned(script);
        assert_eq!(plan.scenes.len(), 3, "{script}");
    }
    let plan = planned("Water boils at 100 degrees.");
    assert_eq!(lines(&plan), ["A topic.", "Water boils at 100 degrees.", "A topic."]);
}

#[test]
fn a_script_without_words_is_an_error() {
    for script in ["", " \n\t ", "--- *** !!", "🎉🎉"] {
        let request =
            Request { topic: "t", context: None, script: Some(script), title: None, duration_ms: None };
        assert_eq!(plan(&request), Err(PlanError::NothingToSay), "{script:?}");
    }
    let request = Request {
        topic: "t",
        context: Some("The context."),
        script: Some(" "),
        title: None,
        duration_ms: None,
    };
    assert!(plan(&request).is_ok());
}

#[test]
fn hostile_markup_is_shown_and_spoken_as_text() {
    let script = "Plain <script>alert(1)</script> here. Then #read(\"/etc/passwd\") and #import \"x\".\n\n\
                  A lone * and a $ sign. It costs $5 or $6. A \\*star\\*.\n\n<div onclick=\"x()\">raw</div>\n\nThe end.";
    let plan = planned(script);
    let spoken = lines(&plan).join(" ");
    for literal in [
        "<script>alert(1)</script>",
        "#read(\"/etc/passwd\")",
        "#import \"x\"",
        "A lone * and a $ sign",
        "$5 or $6",
        "*star*",
    ] {
        assert!(spoken.contains(literal), "{literal} in {spoken}");
    }
    assert!(spoken.contains("raw") && !spoken.contains("onclick"), "{spoken}");
}

#[test]
fn a_script_whose_html_has_no_text_makes_a_video_of_its_title_or_says_that_nothing_is_there() {
    for script in [
        "<!-- a comment -->",
        "<div id=\"a\"></div>",
        "![Build](https://img.shields.io/x)",
        "<script>x()</script>",
    ] {
        let request =
            |topic| Request { topic, context: None, script: Some(script), title: None, duration_ms: None };
        assert_eq!(plan(&request("")).unwrap_err(), PlanError::NothingToSay, "{script}");
        let scenes = plan(&request("Ions")).unwrap().scenes;
        assert_eq!(validate(&scenes), vec![], "{script}");
    }
}

#[test]
fn a_very_long_line_is_bounded() {
    for script in [
        "word ".repeat(40_000),
        "x".repeat(200_000),
        "One two, three four. ".repeat(9_500),
        "状態。".repeat(60_000),
    ] {
        let start = Instant::now();
        let plan = planned(&script);
        assert!(plan.omitted_sentences > 0);
        assert!(plan.scenes.len() > SCENE_COUNT.end() / 2);
        // Time that grows with the square of the length is minutes here; a busy machine takes seconds.
        assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
    }
}

#[test]
fn markup_that_nests_or_never_closes_is_bounded() {
    for piece in [
        "> ",
        "- ",
        "*",
        "[",
        "`",
        "$$ ",
        "| a ",
        "<a ",
        "# a\n",
        "a\n\n",
        "1. a\n",
        "---\n",
        "**a ",
        "![",
        "$$x$$\n\n",
        "```\na\n```\n",
        "-\n",
        "e.g. ",
        "A. ",
    ] {
        let plan = planned(&format!("Words. {}", piece.repeat(20_000 / piece.len())));
        let shown = plan.scenes.iter().flat_map(|scene| &scene.blocks).map(|block| format!("{block:?}"));
        assert!(shown.map(|block| block.len()).max() < Some(10_000), "{piece:?} fills a page");
        planned(&format!("{}\n\nWords.", piece.repeat(20_000 / piece.len())));
    }
}

#[test]
fn a_heading_for_every_sentence_is_merged_into_twenty_scenes() {
    let script: String = (0..40).map(|n| format!("## Part {n}\n\nSentence {n}.\n\n")).collect();
    let plan = planned(&script);
    assert_eq!(plan.omitted_sentences, 0);
    let spoken = lines(&plan).join(" ");
    assert!((0..40).all(|n| spoken.contains(&format!("Sentence {n}."))));
}

#[test]
fn of_a_script_that_is_too_long_every_section_keeps_a_share() {
    let section = |n: usize| format!("## Part {n}\n\n{}\n\n", format!("Sentence of {n}. ").repeat(40).trim());
    let script: String = (0..8).map(section).collect();
    let plan = planned(&script);
    assert!(plan.omitted_sentences > 150);
    assert!((0..8).all(|n| titles(&plan).contains(&format!("Part {n}").as_str())));
    assert_eq!(lines_after_title(&plan).len() + plan.omitted_sentences, 8 * 40);
}

#[test]
fn other_scripts_and_emoji_are_planned() {
    let chinese = "事件是过去发生的事实。它从不被修改。\n\n当前状态是重放事件得到的结果，它很简单。我们保存每一个变化。\n\n日志就是真相。";
    let plan = planned(chinese);
    assert_eq!(words(&lines_after_title(&plan).join("")), words(chinese));
    assert!(lines(&plan)[1].ends_with('。'));
    let plan = planned("🚀 Launch day is here. We are ready 🎉\n\n🎉🎉\n\nIt flies.");
    let shown = plan.scenes.iter().flat_map(|scene| &scene.blocks).map(|block| format!("{block:?}"));
    assert_eq!(shown.collect::<String>().matches('🎉').count(), 3);
}

#[test]
fn the_same_request_gives_the_same_plan() {
    assert_eq!(planned(REFERENCE), planned(REFERENCE));
}

#[test]
fn labels_and_salutations_of_endless_words_stay_within_the_bounds_of_a_scene() {
    let word = "A".repeat(3000);
    for script in [
        format!("{word},\n\nOn Friday we move. The office is new.\n\nIt is done."),
        format!("# T\n\n{word}: One. Two.\n\n{word}: Three. Four."),
        format!("# T\n\n**{word}:** One. Two.\n\n**{word}:** Three. Four."),
        format!("{word}: Is it late?\n\nBen: Yes.\n\n{word}: Shall we go?\n\nBen: {word}"),
        format!("To: {word}\nSubject: {word}\n\nDear all,\n\nIt is done. So it is."),
    ] {
        let plan = planned(&script);
        assert_eq!(validate(&plan.scenes), vec![]);
        assert_eq!(reel_scene::check::faults(&plan.scenes), []);
    }
}

#[test]
fn structures_of_endless_words_stay_within_the_bounds_of_a_scene() {
    for length in [120, 210, 450, 700, 3000] {
        let word = "A".repeat(length);
        for told in [
            format!("Of 1,000 {word}, 300 sign up, 90 pay, and 12 stay."),
            format!("{word} are divided into birds and fish. Birds are divided into {word}s and hens."),
            format!("Animals are divided into birds and {word}. Birds fall into hens and ducks."),
            format!(
                "At the bottom are {word}, which {word}. Above them come grazers. At the top is the eagle."
            ),
            format!("The three largest {word} are Brazil, Vietnam, and {word}."),
            format!("{word} see well. Dogs smell {word}. Both hear {word} sounds."),
            format!("1. {word}, 12 m\n2. Lake, {word}\n3. Sea: {word}"),
            format!("- 1,000 {word}\n- 300 sign up\n- 12 stay"),
            format!("| {word} | {word} |\n| --- | --- |\n| Alto | 4,500 mAh |\n| Brio | 5,000 mAh |"),
        ] {
            for heading in ["The largest of the funnel", &word] {
                let script = format!("# T\n\nOne. Two.\n\n## {heading}\n\n{told}\n\nIt is done.");
                let request = Request {
                    topic: "",
                    context: None,
                    script: Some(&script),
                    title: None,
                    duration_ms: None,
                };
                let plan = plan(&request).unwrap();
                assert_eq!(
                    reel_scene::check::faults(&plan.scenes),
                    [],
                    "{length}: {}",
                    &told[..30.min(told.len())]
                );
            }
        }
    }
}

/// A small generator, so that the cases are many but always the same (Knuth's MMIX constants).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits fit") % bound
    }
}

#[test]
fn no_word_of_a_plain_text_is_lost_or_said_twice() {
    let pieces = [
        "The log",
        "is kept",
        "Dr. Smith",
        "e.g. here",
        "3.7 volts",
        "and then",
        "(see No. 5)",
        "she said \"no!\" twice",
        "of course",
        "最初の状態",
        "a, b; c",
        "J. R. Jones",
        "U.S. law",
        "well… maybe",
    ];
    let stops = [". ", "! ", "? ", ".\n\n", ".\n", ", ", " ", ": ", ".) ", ".\" ", "... "];
    let mut random = Random(7);
    for case in 0..300 {
        let length = 1 + random.below(60);
        let mut script = String::new();
        for _ in 0..length {
            script.push_str(pieces[random.below(pieces.len())]);
            script.push_str(stops[random.below(stops.len())]);
        }
        let plan = planned(&script);
        if plan.omitted_sentences == 0 {
            // A script that ends with an overlong sentence is closed by its title instead.
            let mut said = lines_after_title(&plan);
            said.pop_if(|line| *line == "A topic.");
            assert_eq!(words(&said.join(" ")), words(&script), "case {case}: {script}");
        }
    }
}

#[test]
fn any_mixture_of_markdown_gives_a_valid_plan() {
    let blocks = [
        "# Title\n\n",
        "## Part\n\n",
        "### Detail\n\n",
        "A sentence. Another one, longer than the first. ",
        "It is so:\n\n",
        "- item\n- another `item_name`\n\n",
        "1. first\n2. second\n\n",
        "> A quotation. It goes on.\n\n",
        "$$ x = 1 $$\n\n",
        "```rust\nfn main() {}\n```\n\n",
        "| A | B |\n| --- | --- |\n| 1 | 2 |\n| | |\n\n",
        "---\n\n",
        "![alt](x.png)\n\n",
        "<b>raw</b>\n\n",
        "***\n\n",
        "🎉\n\n",
        "| A |\n| --- |\n\n",
        "- - nested\n\n",
        "`a` *b* **c**\n\n",
        "\n\n    indented\n\n",
    ];
    let mut random = Random(11);
    for _ in 0..400 {
        let mut script = "Begin.\n\n".to_owned();
        for _ in 0..random.below(80) {
            script.push_str(blocks[random.below(blocks.len())]);
        }
        let plan = planned(&script);
        assert_eq!(plan.scenes[0].layout, Layout::Title);
    }
}

#[test]
fn a_requested_duration_chooses_what_to_say() {
    let planned = |duration_ms| {
        let request =
            Request { topic: "Ions", context: None, script: Some(REFERENCE), title: None, duration_ms };
        plan(&request).unwrap()
    };
    let length = |plan: &Plan| plan.scenes.iter().map(super::arrange::pace::scene_ms).sum::<u64>();
    let whole = planned(None);
    assert_eq!(planned(Some(600_000)), whole, "there is no more to say");
    for wanted in [30_000, 60_000, 120_000] {
        let part = planned(Some(wanted));
        assert_eq!(validate(&part.scenes), vec![]);
        let apart = length(&part).abs_diff(wanted);
        assert!(apart < wanted / 6, "{wanted} ms: estimated {} ms", length(&part));
        assert!(part.omitted_sentences > whole.omitted_sentences);
        // What is said is the script's own, in its order.
        let mut rest = lines(&whole).into_iter();
        for line in lines(&part) {
            assert!(rest.any(|other| other == line || line.ends_with(&other)), "{line}");
        }
    }
}
