//! Checks what is drawn: all of the text, no markup, and nothing outside the page.

use typst::layout::{Frame, FrameItem, Point, Transform};
use typst::{Library, LibraryExt};

use super::page_geometry::Page;
use super::world::compile;
use super::{RgbaPage, pages};
use crate::draw::highlight::Highlight;
use crate::draw::picture::Picture;
use crate::draw::step_motion::Moving;
use reel_scene::description;
use reel_scene::look::{Aspect, Look, Theme};
use reel_scene::{
    Arrangement, Block, Item, Layout, Reveal, RichText, Scene, Span, SpanStyle, Step, TimelineItem,
};

fn scene_of(layout: Layout, title: &str, blocks: Vec<Block>) -> Scene {
    let reveal = |block| Reveal { block, part: None };
    let steps = (0..blocks.len().max(1))
        .map(|block| Step::new("x.", if blocks.is_empty() { vec![] } else { vec![reveal(block)] }));
    Scene { layout, title: title.into(), steps: steps.collect(), blocks, ..Scene::default() }
}

fn source(scene: &Scene) -> String {
    super::source(scene, &Look::default())
}

fn paragraph(text: &str) -> Block {
    Block::Paragraph { text: RichText::plain(text) }
}

fn styled(text: &str, style: SpanStyle) -> RichText {
    RichText(vec![Span { text: text.into(), style }])
}

/// One block of every kind with the text in it.
fn every_kind(text: &str) -> Vec<Block> {
    let plain = || RichText::plain(text);
    vec![
        paragraph(text),
        Block::Bullet { text: styled(text, SpanStyle::Strong) },
        Block::Numbered { number: 1, text: styled(text, SpanStyle::Emphasis) },
        Block::Quote { text: styled(text, SpanStyle::Code), by: String::new() },
        Block::Code { language: Some("typst".into()), text: text.into(), groups: vec![] },
        Block::Formula { latex: text.into() },
        Block::Table { header: vec![plain(), RichText(vec![])], rows: vec![vec![plain(), plain()]] },
        Block::Statement { text: styled(text, SpanStyle::Strong), icons: vec![] },
        Block::Timeline { items: vec![TimelineItem { title: "a".into(), text: text.into() }] },
    ]
    .into_iter()
    .chain(LISTS.into_iter().map(|arrangement| items(arrangement, 3, |_| item("a", text))))
    .collect()
}

/// The arrangements that are drawn as lists.
const LISTS: [Arrangement; 8] = [
    Arrangement::Cards,
    Arrangement::Checklist,
    Arrangement::Process,
    Arrangement::Cycle,
    Arrangement::Funnel,
    Arrangement::Pyramid,
    Arrangement::Dates,
    Arrangement::Ranking,
];

fn item(title: &str, text: &str) -> Item {
    Item { title: title.into(), text: RichText::plain(text), ..Item::default() }
}

fn items(arrangement: Arrangement, count: usize, item: impl Fn(usize) -> Item) -> Block {
    Block::Items { arrangement, items: (0..count).map(item).collect(), center: None }
}

fn collect_text(frame: &Frame, text: &mut String) {
    for (_, item) in frame.items() {
        match item {
            FrameItem::Group(group) => collect_text(&group.frame, text),
            FrameItem::Text(run) => text.push_str(&run.text),
            _ => {}
        }
    }
}

/// The text of the last page, without blanks and break opportunities.
fn drawn_text(scene: &Scene) -> String {
    let document = compile(&source(scene)).unwrap();
    assert_eq!(document.pages().len(), scene.steps.len() + 1, "one page before the steps, one for each");
    let mut text = String::new();
    collect_text(&document.pages().last().unwrap().frame, &mut text);
    squeezed(&text)
}

fn squeezed(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '\u{200b}' | '\u{2060}' | '\u{ad}')).collect()
}

const HOSTILE: [&str; 8] = [
    "#read(\"/etc/passwd\")",
    "#import \"x\": *",
    "a $x^2$ b *bold* _em_ `raw` = heading",
    "<script>alert(1)</script> & <b>",
    "\"); #panic(\"ran\"); text(\"",
    "back\\slash \\u{202e} \\\" end",
    "] } ) #{ ( [ @label // comment /* */",
    "--help -- ~ ---",
];

/// Every kind of block has half of the hostile texts; a formula, which is read, has all of them.
#[test]
fn markup_is_drawn_as_text_in_every_kind_of_block() {
    for (number, hostile) in HOSTILE.into_iter().enumerate() {
        let blocks = every_kind(hostile);
        let kinds = blocks.len();
        let has_turn = |kind: &usize| (number + kind).is_multiple_of(2) || *kind == 5;
        for (kind, block) in blocks.into_iter().enumerate().filter(|(kind, _)| has_turn(kind)) {
            // Typst's own quotes and dashes are typography, so they are compared as what they stand for.
            let text = drawn_text(&scene_of(Layout::Content, "t", vec![block]));
            let plain = |text: &str| {
                text.replace(['“', '”'], "\"").replace(['’', '‘'], "'").replace('—', "---").replace('–', "--")
            };
            let found = plain(&text).contains(&plain(&squeezed(hostile)));
            // A formula that Typst can read is drawn as mathematics, sign by sign.
            assert!(found || kind == 5, "{hostile} in block {kind} of {kinds}: {text}");
        }
        for layout in [Layout::Title, Layout::Content, Layout::Closing] {
            drawn_text(&scene_of(layout, hostile, vec![]));
        }
    }
}

#[test]
fn characters_that_steer_are_shown_as_a_mark() {
    let text =
        drawn_text(&scene_of(Layout::Content, "t", vec![paragraph("a\u{202e}b\u{0}c\u{7}d\u{2066}e")]));
    assert!(text.contains("a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}e"), "{text:?}");
}

/// Formulas stand where the theme's names are known: once `\vec{v}` called the theme's own `arrow`, and the scene failed.
#[test]
fn no_name_of_the_theme_means_something_in_a_formula() {
    let library = Library::default();
    let names = super::theme_source().flat_map(str::lines).filter_map(|line| line.strip_prefix("#let "));
    let names: Vec<&str> = names.filter_map(|rest| rest.split(['(', ' ']).next()).collect();
    assert!(names.len() > 40, "{names:?}");
    for name in names {
        assert!(library.math.scope().get(name).is_none(), "{name}");
    }
    for latex in [r"\vec{v} + \overrightarrow{AB}", r"a \bullet b"] {
        assert!(super::is_formula(latex), "{latex}");
        drawn_text(&scene_of(Layout::Content, "t", vec![Block::Formula { latex: latex.into() }]));
    }
}

#[test]
fn formulas_are_mathematics_or_their_own_source() {
    let drawn = |latex: &str| {
        drawn_text(&scene_of(Layout::Content, "t", vec![Block::Formula { latex: latex.into() }]))
    };
    assert!(!drawn("E = V \\cdot Q").contains("cdot"), "converted");
    assert!(
        source(&scene_of(Layout::Content, "t", vec![Block::Formula { latex: "x_1".into() }]))
            .contains("formula(t, $")
    );
    for hostile in
        ["\\input{/etc/passwd}", "#read(\"/etc/passwd\")", "\\def\\x{\\x\\x}\\x", "\\frac{1}{", "}{", "$", ""]
    {
        assert!(!drawn(hostile).contains("root:"), "{hostile}");
    }
    drawn(&"x + ".repeat(1250));
}

/// Returns `true` when the margin is as on the empty page.
fn margin_is_clean(page: &RgbaPage, empty: &RgbaPage, margin: usize) -> bool {
    let at = |page: &RgbaPage, x: usize, y: usize| page.rgba[(y * page.width + x) * 4..][..3].to_vec();
    let in_margin = |x: usize, y: usize| x >= page.width - margin || y < margin || y >= page.height - margin;
    (0..page.height).all(|y| (0..page.width).all(|x| !in_margin(x, y) || at(page, x, y) == at(empty, x, y)))
}

#[test]
fn a_scene_that_is_too_full_shrinks_until_it_fits() {
    let sentence =
        "Ions move from one layer to the other, and back again, many hundreds of times before they tire. ";
    let long_row = || vec![RichText::plain(sentence.repeat(2)), RichText::plain(sentence)];
    let listing = (0..40)
        .map(|n| format!("let value_{n} = compute_something_long(argument_{n}, other_argument_{n});\n"));
    let full = [
        (0..12).map(|_| paragraph(&sentence.repeat(2))).collect(),
        vec![Block::Code { language: Some("rust".into()), text: listing.collect(), groups: vec![] }],
        vec![Block::Table {
            header: vec![RichText::plain("a"), RichText::plain("b")],
            rows: (0..12).map(|_| long_row()).collect(),
        }],
        vec![paragraph(&"w".repeat(10_000))],
        vec![Block::Code { language: None, text: "c".repeat(3000), groups: vec![] }],
    ];
    for (index, blocks) in full.into_iter().enumerate() {
        let scene = scene_of(Layout::Content, &"A long heading that goes on ".repeat(5), blocks);
        let pages = pages(&source(&scene), 1920, 1080).unwrap();
        assert!(
            margin_is_clean(pages.last().unwrap(), &pages[0], 40),
            "scene {index} reaches into the margin"
        );
    }
}

#[test]
fn every_word_of_a_full_scene_is_drawn() {
    let words: String = (0..400).map(|n| format!("word{n} ")).collect();
    let text = drawn_text(&scene_of(Layout::Content, "t", vec![paragraph(&words)]));
    for n in 0..400 {
        assert!(text.contains(&format!("word{n}")), "word{n}");
    }
}

#[test]
fn pages_differ_only_by_what_appears() {
    let scene = scene_of(Layout::Content, "Heading", vec![paragraph("First."), paragraph("Second.")]);
    let pages = pages(&source(&scene), 640, 360).unwrap();
    let changed = |a: &RgbaPage, b: &RgbaPage| {
        let pairs = a.rgba.chunks(4).zip(b.rgba.chunks(4)).enumerate();
        pairs.filter(|(_, (a, b))| a != b).map(|(at, _)| at / a.width).collect::<Vec<_>>()
    };
    let (first, second) = (changed(&pages[0], &pages[1]), changed(&pages[1], &pages[2]));
    assert!(!first.is_empty() && !second.is_empty());
    assert!(first.last() < second.first(), "the second line appears below all that was there");
    let empty = compile(&source(&scene)).unwrap();
    let mut text = String::new();
    collect_text(&empty.pages()[0].frame, &mut text);
    assert_eq!(text, "", "nothing is said before the first step");
}

#[test]
fn every_quality_has_its_exact_size() {
    let scene = scene_of(Layout::Title, "Ions", vec![paragraph("They move.")]);
    for (width, height) in [(854, 480), (1280, 720), (1920, 1080), (2560, 1440)] {
        for page in pages(&source(&scene), width, height).unwrap() {
            assert_eq!((page.width, page.height), (width as usize, height as usize));
            assert_eq!(page.rgba.len(), page.width * page.height * 4);
        }
    }
}

#[test]
fn a_table_shows_its_rows_one_by_one() {
    let row = |name: &str| vec![RichText::plain(name)];
    let table = Block::Table { header: row("head"), rows: vec![row("one"), row("two")] };
    let step = |part| Step::new("x.", vec![Reveal { block: 0, part: Some(part) }]);
    let scene = Scene {
        layout: Layout::Content,
        title: "t".into(),
        blocks: vec![table],
        steps: vec![step(0), step(1)],
        ..Scene::default()
    };
    let document = compile(&source(&scene)).unwrap();
    let text = |page: usize| {
        let mut text = String::new();
        collect_text(&document.pages()[page].frame, &mut text);
        text
    };
    assert!(!text(0).contains("head"));
    assert!(text(1).contains("head") && text(1).contains("one") && !text(1).contains("two"));
    assert!(text(2).contains("one") && text(2).contains("two"));
}

/// One scene for every block and layout, in several scripts.
const GALLERY: &str = include_str!("../../../../examples/gallery.json");

/// Bounds of a run of text on its page, in points, as high as its lower-case letters.
#[derive(Debug, Clone)]
struct Place {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    text: String,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { left, right, top, bottom, text } = self;
        write!(f, "{text:?} ({left:.0} to {right:.0} across, {top:.0} to {bottom:.0} down)")
    }
}

fn collect_places(frame: &Frame, transform: Transform, places: &mut Vec<Place>) {
    for (at, item) in frame.items() {
        let here = transform.pre_concat(Transform::translate(at.x, at.y));
        match item {
            FrameItem::Group(group) => collect_places(&group.frame, here.pre_concat(group.transform), places),
            FrameItem::Text(run) if !run.text.trim().is_empty() => {
                let origin = Point::zero().transform(here);
                let end = Point::new(run.width(), -run.size * 0.45).transform(here);
                places.push(Place {
                    left: origin.x.to_pt(),
                    right: end.x.to_pt(),
                    top: end.y.to_pt(),
                    bottom: origin.y.to_pt(),
                    text: run.text.to_string(),
                });
            }
            _ => {}
        }
    }
}

/// Finds text outside the margin, or on other text.
fn layout_faults(frame: &Frame, page: Page) -> Vec<String> {
    let mut places = vec![];
    collect_places(frame, Transform::identity(), &mut places);
    let mut faults = vec![];
    let margin = page.margin * 0.4;
    for (index, place) in places.iter().enumerate() {
        let inside = place.left >= margin
            && place.right <= page.width - margin
            && place.top >= margin
            && place.bottom <= page.height - margin;
        if !inside {
            faults.push(format!("outside: {place}"));
        }
        for other in &places[..index] {
            let across = place.right.min(other.right) - place.left.max(other.left);
            let down = place.bottom.min(other.bottom) - place.top.max(other.top);
            if across > 3.0 && down > 3.0 {
                faults.push(format!("{place} is on {other}"));
            }
        }
    }
    faults
}

#[test]
fn every_block_fits_a_wide_page() {
    check_gallery(Aspect::Wide);
}

#[test]
fn every_block_fits_a_tall_page() {
    check_gallery(Aspect::Tall);
}

#[test]
fn every_block_fits_a_square_page() {
    check_gallery(Aspect::Square);
}

/// Checks each page of the gallery in this aspect: inside its margins, no text on other text, and no missing glyph. The themes
/// take turns, so that a scene has another one in each aspect, and each aspect has all of them.
fn check_gallery(aspect: Aspect) {
    let description = description::read(GALLERY).unwrap();
    let turn = Aspect::ALL.iter().position(|other| *other == aspect).unwrap();
    assert!(description.scenes.len() >= Theme::ALL.len());
    let mut faults = vec![];
    for (number, scene) in description.scenes.iter().enumerate() {
        let theme = Theme::ALL[(number + turn) % Theme::ALL.len()];
        let look = Look { theme, aspect, ..description.look.clone() };
        // Aspects change nothing in the order of steps, so the others show everything in one.
        let mut scene = scene.clone();
        if aspect != Aspect::Wide {
            scene.steps = vec![Step::new("x.", vec![])];
            scene.reveal_all();
        }
        let scene = &scene;
        let document = compile(&super::source(scene, &look)).unwrap();
        let expected: u32 = super::motions(scene).iter().map(|motion| motion.pages).sum();
        assert_eq!(document.pages().len() as u32, expected + 1, "{}", scene.title);
        let last = document.pages().last().unwrap();
        let told = layout_faults(&last.frame, Page::for_aspect(aspect));
        faults.extend(
            told.into_iter()
                .map(|fault| format!("{} {}: {}: {fault}", theme.name(), aspect.name(), scene.title)),
        );
        let mut missing = vec![];
        missing_glyphs(&last.frame, &mut missing);
        faults.extend(missing.into_iter().map(|text| format!("{}: no glyph in {text:?}", scene.title)));
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults[..faults.len().min(12)].join("\n"));
}

/// The height of a page's smallest type as it is drawn.
fn smallest_type(frame: &Frame, transform: Transform) -> f64 {
    frame
        .items()
        .map(|(at, item)| {
            let here = transform.pre_concat(Transform::translate(at.x, at.y));
            match item {
                FrameItem::Group(group) => smallest_type(&group.frame, here.pre_concat(group.transform)),
                FrameItem::Text(run) => run.size.to_pt() * here.sy.get(),
                _ => f64::INFINITY,
            }
        })
        .fold(f64::INFINITY, f64::min)
}

const SHORT: &str = "keeps the two apart";
const USUAL: &str = "keeps the two apart, and lets the ions through";
const LONG: &str =
    "ions move from one layer to the other and back again, many hundreds of times before it tires";

/// Checks each list in each aspect: everything visible, in its place, and in type of this size at least. Lists take turns in
/// having icons, so that each arrangement and each aspect has lists with and without.
fn check_lists(text: &str, counts: impl Fn(Arrangement, Aspect) -> Vec<usize>, least: f64) {
    let mut faults = vec![];
    for (row, arrangement) in LISTS.into_iter().enumerate() {
        for (column, aspect) in Aspect::ALL.into_iter().enumerate() {
            for (place, count) in counts(arrangement, aspect).into_iter().enumerate() {
                let icon = if (row + column + place).is_multiple_of(2) { "battery" } else { "" };
                let name = format!("{} of {count} {} {icon}", arrangement.name(), aspect.name());
                let block = items(arrangement, count, |index| Item {
                    icon: icon.into(),
                    ..item(&format!("Separator {index}"), &format!("{text} {index}end"))
                });
                let told = list_faults(block, aspect, count, least);
                faults.extend(told.into_iter().map(|fault| format!("{name}: {fault}")));
            }
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults[..faults.len().min(24)].join("\n"));
}

fn list_faults(block: Block, aspect: Aspect, count: usize, least: f64) -> Vec<String> {
    let scene = scene_of(Layout::Content, "How it works", vec![block]);
    let document = compile(&super::source(&scene, &Look { aspect, ..Look::default() })).unwrap();
    let frame = &document.pages().last().unwrap().frame;
    let mut faults = layout_faults(frame, Page::for_aspect(aspect));
    let size = smallest_type(frame, Transform::identity());
    if size < least {
        faults.push(format!("type of {size:.1} pt"));
    }
    let mut drawn = String::new();
    collect_text(frame, &mut drawn);
    let drawn = squeezed(&drawn);
    let missing = (0..count).filter(|index| !drawn.contains(&format!("{index}end")));
    faults.extend(missing.map(|index| format!("item {index} is missing")));
    faults
}

#[test]
fn lists_of_usual_length_are_in_large_type() {
    check_lists(
        USUAL,
        |arrangement, _| {
            let counts = arrangement.items();
            vec![*counts.start().max(&2), (*counts.end()).min(4)]
        },
        36.0,
    );
}

#[test]
fn lists_of_many_short_items_are_in_large_type() {
    // On a square page a full funnel, a full ranking and a full ring have less room than their texts take at 36 pt.
    check_lists(
        SHORT,
        |arrangement, aspect| match aspect {
            Aspect::Square => vec![(*arrangement.items().end()).min(5)],
            _ => vec![*arrangement.items().end()],
        },
        36.0,
    );
}

#[test]
fn long_lists_stay_on_the_page() {
    check_lists(LONG, |arrangement, _| vec![4, *arrangement.items().end()], 18.0);
}

#[test]
fn a_list_shows_its_items_one_by_one() {
    for arrangement in LISTS {
        let mut scene = scene_of(
            Layout::Content,
            "t",
            vec![items(arrangement, 3, |index| item(&format!("name{index}"), "what it is"))],
        );
        let step = |part| Step::new("x.", vec![Reveal { block: 0, part: Some(part) }]);
        scene.steps = (0..3).map(step).collect();
        let document = compile(&source(&scene)).unwrap();
        for (page, shown) in (0..4).map(|shown| (&document.pages()[shown], shown)) {
            let mut places = vec![];
            collect_places(&page.frame, Transform::identity(), &mut places);
            let is_drawn =
                |index: usize| places.iter().any(|place| place.text.contains(&format!("name{index}")));
            let drawn = [0, 1, 2].map(is_drawn);
            assert_eq!(drawn, [shown > 0, shown > 1, shown > 2], "{} page {shown}", arrangement.name());
        }
    }
}

#[test]
fn a_composition_takes_the_room_that_others_leave() {
    let list = || items(Arrangement::Checklist, 5, |_| item("Keep it cool", USUAL));
    let alone = scene_of(Layout::Content, "t", vec![list()]);
    let below = scene_of(Layout::Content, "t", vec![paragraph(&LONG.repeat(3)), list()]);
    let size = |scene: &Scene| {
        let document = compile(&source(scene)).unwrap();
        let page = &document.pages().last().unwrap().frame;
        assert_eq!(layout_faults(page, Page::for_aspect(Aspect::Wide)), Vec::<String>::new());
        smallest_type(page, Transform::identity())
    };
    assert!(size(&alone) > size(&below) && size(&below) >= 36.0, "{} {}", size(&alone), size(&below));
}

fn missing_glyphs(frame: &Frame, missing: &mut Vec<String>) {
    for (_, item) in frame.items() {
        match item {
            FrameItem::Group(group) => missing_glyphs(&group.frame, missing),
            FrameItem::Text(run) if run.glyphs.iter().any(|glyph| glyph.id == 0) => {
                missing.push(run.text.to_string())
            }
            _ => {}
        }
    }
}

#[test]
fn what_is_hidden_keeps_its_place() {
    let description = description::read(GALLERY).unwrap();
    for scene in &description.scenes {
        let pages = pages(&source(scene), 480, 270).unwrap();
        let last = pages.last().unwrap();
        for (number, page) in pages.iter().enumerate().skip(1) {
            // Nothing that was there moves: what a page shows stays, but for what grows or loses its highlight.
            let gone = page.rgba.chunks(4).zip(last.rgba.chunks(4)).filter(|(a, b)| {
                let dark = |pixel: &[u8]| pixel[..3].iter().map(|channel| u32::from(*channel)).sum::<u32>();
                dark(b) > dark(a) + 240
            });
            let share = gone.count() as f64 / (480.0 * 270.0);
            assert!(share < 0.012, "{}: page {number} shows {share} that the last does not", scene.title);
        }
    }
}

#[test]
fn a_font_that_is_not_installed_gives_way_to_one_that_is() {
    let look = Look { font: Some("No Such Font".into()), ..Look::default() };
    let scene = scene_of(Layout::Content, "Ions", vec![paragraph("They move.")]);
    let document = compile(&super::source(&scene, &look)).unwrap();
    let mut missing = vec![];
    missing_glyphs(&document.pages().last().unwrap().frame, &mut missing);
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn formulas_are_read_or_shown_as_they_are_written() {
    for latex in [
        r"a^2 + b^2 = c^2",
        r"x = \frac{-b \pm \sqrt{b^2 - 4ac}}{2a}",
        r"f(x) = \begin{cases} 1 & \text{if } x > 0 \\ 0 & \text{otherwise} \end{cases}",
        r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}",
        r"\{ a \leftarrow b \}",
        r"\left( \frac{1}{2} \right)",
        r"\begin{aligned} a &= b \\ c &= d \end{aligned}",
    ] {
        assert!(super::is_formula(latex), "{latex}");
    }
    for latex in
        [r"\frac{1}{", r"a } b", r"\left( x", r"\begin{pmatrix} 1", r"a \# b", r"#read(1)", "a $ b", ""]
    {
        assert!(!super::is_formula(latex), "{latex}");
    }
}

/// Stages run on threads with this much stack; an overflow ends the whole process.
const STACK_BYTES: usize = 2 * 1024 * 1024;

// H6
#[test]
fn formulas_of_any_depth_leave_the_stack_of_a_stage_alone() {
    let nested =
        |open: &str, close: &str, depth: usize| format!("{}x{}", open.repeat(depth), close.repeat(depth));
    let mut formulas = vec![];
    for (open, close, longest) in [
        ("{", "}", 1999),
        (r"\sqrt{", "}", 570),
        (r"\frac{1}{", "}", 390),
        (r"\left(", r"\right)", 290),
        (r"\begin{matrix}", r"\end{matrix}", 140),
        ("(", ")", 1999),
        ("[", "]", 1999),
        ("x^{", "}", 990),
        (r"\sqrt", "", 790),
        (r"\frac{1}", "", 490),
        ("x_", "", 1990),
        ("'", "", 3990),
    ] {
        for depth in [1, 20, 31, 60, 63, 64, 65, longest] {
            formulas.push(nested(open, close, depth));
        }
    }
    let stage = std::thread::Builder::new().stack_size(STACK_BYTES);
    let read = stage.spawn(move || {
        for latex in formulas {
            let is_deep = latex.len() > 1000;
            let is_read = crate::layout::is_formula(&latex);
            assert!(!(is_deep && is_read), "{latex}");
        }
    });
    read.unwrap().join().unwrap();
    assert!(crate::layout::is_formula(&nested(r"\sqrt{", "}", 8)));
    assert!(!crate::layout::is_formula(r"\right( x \left)"));
}

#[test]
fn a_formula_comes_out_of_the_one_before() {
    let json = r#"{ "version": 1, "title": "T", "scenes": [{ "title": "Solving", "blocks": [
        { "kind": "derivation", "formulas": ["x + 3 = 7", "x = 7 - 3"] }, { "kind": "bullet", "text": "x = 4" }
      ], "steps": [
        { "narration": "One.", "reveals": [{ "block": 0, "part": 0 }] },
        { "narration": "Two.", "reveals": [{ "block": 0, "part": 1 }] },
        { "narration": "Three.", "reveals": [{ "block": 1 }] }
      ] }] }"#;
    let description = reel_scene::description::read(json).unwrap();
    let scene = &description.scenes[0];
    let pages = super::Pages::compile(&source(scene), &crate::layout::images::Images::default()).unwrap();
    for width in [1920, 1280] {
        let mut found = super::motions(scene);
        pages.find_moves(&mut found, width);
        let [Moving::None, Moving::Terms(moves), Moving::None] = [0, 1, 2].map(|step| &found[step].moving)
        else {
            panic!("{found:?}: only the second formula comes out of another");
        };
        assert_eq!(moves.len(), 3, "x, the equals sign and 7");
        assert!(moves.iter().all(|term| term.down < 0 && term.down % 2 == 0 && term.right % 2 == 0));
    }
}

#[test]
fn the_highlight_goes_from_lines_to_lines() {
    let json = r#"{ "version": 1, "title": "T", "scenes": [{ "title": "Code", "blocks": [
        { "kind": "code", "language": "python", "text": "a = 1\nb = 2\n\nc = 3\nd = 4\ne = 5", "groups": [3, 2, 1] }
      ], "steps": [
        { "narration": "One.", "reveals": [{ "block": 0, "part": 0 }] },
        { "narration": "Two.", "reveals": [{ "block": 0, "part": 1 }] },
        { "narration": "Three.", "reveals": [{ "block": 0, "part": 2 }] }
      ] }] }"#;
    let description = reel_scene::description::read(json).unwrap();
    let scene = &description.scenes[0];
    let pages = super::Pages::compile(&source(scene), &crate::layout::images::Images::default()).unwrap();
    let mut found = super::motions(scene);
    pages.find_moves(&mut found, 1920);
    let passages = found.iter().map(|motion| match motion.moving {
        Moving::Highlight(passage) => passage,
        _ => None,
    });
    let [None, Some(first), Some(second)] = passages.collect::<Vec<_>>()[..] else { panic!("{found:?}") };
    let end = |place: crate::draw::picture::Rect| (place.left, place.right, place.bottom);
    assert_eq!(end(first.to), end(second.from), "it goes on where it was");
    let lines = |place: crate::draw::picture::Rect| place.bottom - place.top;
    assert!(
        lines(second.to) < lines(first.to) && lines(first.to) < lines(first.from),
        "{first:?} {second:?}"
    );

    let picture = |page| Picture::from_rgba(&pages.rasterize(page, 1920, 1080).unwrap());
    let (before, after) = (picture(1), picture(2));
    let highlight = Highlight::new(&before, &after, first, 20);
    let mut canvas = before.clone();
    highlight.draw(&mut canvas, 10);
    let row = |picture: &Picture, y: usize| picture.luma[y * 1920 + 1700];
    let (lit, plain) = (row(&before, first.from.top + 8), row(&after, first.from.top + 8));
    assert_ne!(lit, plain);
    assert_eq!(row(&canvas, first.from.top + 8), plain, "left behind");
    assert_eq!(row(&canvas, first.from.bottom - 8), lit, "still there");
    assert_eq!(row(&canvas, first.to.bottom - 8), plain, "not there yet");
    let mut other = before.clone();
    (1..=10).for_each(|number| highlight.draw(&mut other, number));
    assert_eq!(canvas, other, "a frame depends on its number alone");
    highlight.draw(&mut canvas, 20);
    assert!(canvas == after);
}

/// Other fonts have some emoji, too, in black and white.
#[test]
fn emoji_are_in_colour_in_every_style_of_text() {
    for emoji in ["\u{1f605}", "\u{2615}", "\u{2764}\u{fe0f}", "\u{1f469}\u{1f3fd}\u{200d}\u{1f680}"] {
        for style in [SpanStyle::Plain, SpanStyle::Strong, SpanStyle::Emphasis] {
            let colourful = |text: &str| {
                let scene = scene_of(Layout::Content, "", vec![Block::Bullet { text: styled(text, style) }]);
                let pages = pages(&source(&scene), 960, 540).unwrap();
                let page = pages.last().unwrap();
                let spread =
                    |pixel: &&[u8]| pixel[..3].iter().max().unwrap() - pixel[..3].iter().min().unwrap();
                page.rgba.chunks(4).filter(|pixel| spread(pixel) > 60).count()
            };
            assert!(colourful(&format!("x {emoji}")) > colourful("x x") + 40, "{emoji} in {style:?}");
        }
    }
}
