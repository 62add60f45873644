//! Checks the drawings of relation and quantity: all text is there, inside the page and large enough, and lengths, counts and
//! places are those of the numbers.

use reel_scene::look::{Aspect, Look};
use reel_scene::{
    Arrangement, BarColumn, BarRow, Block, ChartKind, ComparisonSide, Item, Number, QuadrantItem, Reveal,
    RichText, Scene, Series, Step,
};
use typst::layout::{Frame, FrameItem, Point, Transform};
use typst::visualize::{Geometry, Paint};

use super::page_geometry::Page;
use super::world::compile;

/// A run of text on its page, in points, as high as its capital letters.
#[derive(Debug)]
pub(super) struct Run {
    pub left: f64,
    pub right: f64,
    top: f64,
    bottom: f64,
    size: f64,
    pub text: String,
}

/// A shape on its page, in points.
#[derive(Debug)]
pub(super) struct Drawn {
    pub left: f64,
    top: f64,
    pub width: f64,
    height: f64,
    pub fill: Option<String>,
    is_curve: bool,
}

#[derive(Debug, Default)]
pub(super) struct Contents {
    pub runs: Vec<Run>,
    pub shapes: Vec<Drawn>,
}

pub(super) fn collect(frame: &Frame, transform: Transform, contents: &mut Contents) {
    for (at, item) in frame.items() {
        let here = transform.pre_concat(Transform::translate(at.x, at.y));
        match item {
            FrameItem::Group(group) => collect(&group.frame, here.pre_concat(group.transform), contents),
            FrameItem::Text(run) if !run.text.trim_matches(['\u{200b}', ' ']).is_empty() => {
                let origin = Point::zero().transform(here);
                let end = Point::new(run.width(), -run.size * 0.7).transform(here);
                contents.runs.push(Run {
                    left: origin.x.to_pt(),
                    right: end.x.to_pt(),
                    top: end.y.to_pt(),
                    bottom: origin.y.to_pt(),
                    size: run.size.to_pt() * here.sy.get(),
                    text: run.text.to_string(),
                });
            }
            FrameItem::Shape(shape, _) => {
                let (origin, size) = (Point::zero().transform(here), shape.bbox(false).size());
                let fill = shape.fill.as_ref().and_then(|fill| match fill {
                    Paint::Solid(colour) => Some(colour.to_hex().to_string()),
                    _ => None,
                });
                contents.shapes.push(Drawn {
                    left: origin.x.to_pt(),
                    top: origin.y.to_pt(),
                    width: size.x.to_pt(),
                    height: size.y.to_pt(),
                    fill,
                    is_curve: matches!(shape.geometry, Geometry::Curve(_)),
                });
            }
            _ => {}
        }
    }
}

/// Returns what is on each page of a scene with one block, of which each step reveals one entry.
fn pages_of(block: Block, reveals: &[Option<usize>], aspect: Aspect) -> Vec<Contents> {
    let steps = reveals.iter().map(|part| Step::new("x.", vec![Reveal { block: 0, part: *part }]));
    let scene =
        Scene { title: "Heading".into(), steps: steps.collect(), blocks: vec![block], ..Scene::default() };
    let look = Look { aspect, ..Look::default() };
    let document = compile(&super::source(&scene, &look)).unwrap();
    let contents = document.pages().iter().map(|page| {
        let mut contents = Contents::default();
        collect(&page.frame, Transform::identity(), &mut contents);
        contents
    });
    contents.collect()
}

/// Returns what is on the last page of a scene with one block.
fn last_page(block: Block, aspect: Aspect) -> Contents {
    pages_of(block, &[None], aspect).pop().unwrap()
}

fn number(value: f64) -> Number {
    Number::new(value).unwrap()
}

fn item(title: &str, text: &str, parent: Option<usize>) -> Item {
    Item { title: title.into(), text: RichText::plain(text), parent, ..Item::default() }
}

fn items(arrangement: Arrangement, count: usize, title: &str, text: &str) -> Block {
    let is_side =
        matches!(arrangement, Arrangement::Versus | Arrangement::BeforeAfter | Arrangement::ProsCons);
    let items = (0..count).map(|index| {
        let parent = (arrangement == Arrangement::Tree && index > 0).then(|| (index - 1) / 2);
        let points = if is_side { vec![RichText::plain(text), RichText::plain(title)] } else { vec![] };
        let icon = if index % 2 == 0 { "battery" } else { "" };
        Item { points, icon: icon.into(), ..item(title, text, parent) }
    });
    let center = arrangement.has_center().then(|| item(title, "", None));
    Block::Items { arrangement, items: items.collect(), center }
}

fn bars(titles: &[&str], columns: &[&[f64]]) -> Block {
    let row = |title: &&str| BarRow { title: (*title).into(), text: "a note".into() };
    let column = |values: &&[f64]| BarColumn {
        name: "Energy, Wh/kg".into(),
        values: values.iter().map(|value| number(*value)).collect(),
        decimals: 0,
    };
    Block::Bars { rows: titles.iter().map(row).collect(), columns: columns.iter().map(column).collect() }
}

fn chart(chart: ChartKind, labels: &[&str]) -> Block {
    let values = (0..labels.len()).map(|index| number(10.0 + 7.0 * index as f64)).collect();
    Block::Chart {
        chart,
        unit: "km".into(),
        labels: labels.iter().map(|label| (*label).into()).collect(),
        series: vec![Series { name: String::new(), values }],
    }
}

fn quadrant(titles: &[&str], at: impl Fn(usize) -> (f64, f64)) -> Block {
    let items = titles.iter().enumerate().map(|(index, title)| {
        let (x, y) = at(index);
        QuadrantItem { title: (*title).into(), at: [number(x), number(y)] }
    });
    Block::Quadrant {
        x: ["little effort".into(), "much effort".into()],
        y: ["little use".into(), "much use".into()],
        items: items.collect(),
    }
}

fn proportion(value: f64, of: f64, unit: &str, label: &str) -> Block {
    Block::Proportion {
        value: number(value),
        of: number(of),
        decimals: 0,
        unit: unit.into(),
        label: label.into(),
    }
}

fn gauge(label: &str) -> Block {
    Block::Gauge {
        value: number(62.0),
        range: [number(-20.0), number(100.0)],
        decimals: 0,
        unit: "°C".into(),
        label: label.into(),
    }
}

/// One block of every kind, with the text in it and the smallest type that it may have.
fn every_kind(title: &str, text: &str) -> Vec<(&'static str, Block, f64)> {
    let many = |arrangement: Arrangement, count| items(arrangement, count, title, text);
    let side = || ComparisonSide { title: title.into(), points: vec![RichText::plain(text)] };
    let cells = |text: &str| vec![RichText::plain(title), RichText::plain(text)];
    vec![
        ("hub of 2", many(Arrangement::Hub, 2), 28.0),
        ("hub of 3", many(Arrangement::Hub, 3), 28.0),
        ("hub of 4", many(Arrangement::Hub, 4), 28.0),
        ("hub of 8", many(Arrangement::Hub, 8), 28.0),
        ("tree of 3", many(Arrangement::Tree, 3), 36.0),
        ("tree of 15", many(Arrangement::Tree, 15), 28.0),
        ("causes of 1", many(Arrangement::Causes, 1), 36.0),
        ("causes of 5", many(Arrangement::Causes, 5), 28.0),
        ("versus", many(Arrangement::Versus, 2), 36.0),
        ("before_after", many(Arrangement::BeforeAfter, 2), 36.0),
        ("pros_cons", many(Arrangement::ProsCons, 2), 36.0),
        ("venn of 2", many(Arrangement::Venn, 2), 28.0),
        ("venn of 3", many(Arrangement::Venn, 3), 28.0),
        ("quadrant", quadrant(&[title; 4], |index| (0.1 + 0.2 * index as f64, 0.2 * index as f64)), 28.0),
        ("proportion", proportion(85.0, 100.0, "%", title), 36.0),
        ("gauge", gauge(title), 36.0),
        ("bars", bars(&[title; 3], &[&[180.0, 220.0, 150.0], &[800.0, 1500.0, 4000.0]]), 28.0),
        ("bar chart", chart(ChartKind::Bar, &[title; 4]), 28.0),
        ("line chart", chart(ChartKind::Line, &[title; 4]), 28.0),
        ("pie chart", chart(ChartKind::Pie, &[title; 4]), 28.0),
        ("comparison", Block::Comparison { left: side(), right: side() }, 36.0),
        ("table", Block::Table { header: cells(text), rows: vec![cells(text), cells(text)] }, 36.0),
    ]
}

/// Text as it was written: without the places where it may break, and with straight quotes.
fn squeezed(text: &str) -> String {
    let plain =
        text.replace(['“', '”'], "\"").replace(['’', '‘'], "'").replace('—', "---").replace('–', "--");
    plain.chars().filter(|c| !c.is_whitespace() && !matches!(c, '\u{200b}' | '\u{2060}' | '\u{ad}')).collect()
}

const HOSTILE: [&str; 3] = [
    "#read(\"/etc/passwd\") $x^2$ *bold*",
    "\"); #panic(\"ran\"); text(\"",
    "] } ) #{ ( [ @label // /* */ --",
];

#[test]
fn all_text_is_drawn_inside_every_page() {
    let long = "A title that goes on for a while until it ends";
    let said = "what is said of it takes a whole sentence, with clauses and all that belongs to one";
    let mut texts = vec![
        ("Anode", "of graphite", true),
        (long, said, false),
        ("Donaudampfschifffahrtsgesellschaft", long, false),
    ];
    texts.extend(HOSTILE.map(|hostile| (hostile, hostile, false)));
    let mut faults = vec![];
    for (turn, aspect) in Aspect::ALL.into_iter().enumerate() {
        let page = Page::for_aspect(aspect);
        for (number, (title, text, is_short)) in texts.iter().enumerate() {
            // Short texts are checked for every kind and aspect. The others take turns: each kind has each long text in one
            // or two of the aspects. Characters that could be read as markup mean the same on a page of any form.
            let has_turn = |place: usize| match number {
                0 => true,
                1 | 2 => (number + turn + place).is_multiple_of(2),
                _ => aspect == Aspect::Square && (number + place).is_multiple_of(2),
            };
            let kinds = every_kind(title, text).into_iter().enumerate().filter(|(place, _)| has_turn(*place));
            for (_, (kind, block, smallest)) in kinds {
                let contents = last_page(block, aspect);
                let place = format!("{kind} at {} with {title:?}", aspect.name());
                let drawn = squeezed(&contents.runs.iter().map(|run| run.text.as_str()).collect::<String>());
                if !drawn.contains(&squeezed(title)) {
                    faults.push(format!("{place}: not all text is in {drawn:?}"));
                }
                for run in &contents.runs {
                    let is_inside = run.left >= 20.0
                        && run.top >= 20.0
                        && run.right <= page.width - 20.0
                        && run.bottom <= page.height - 20.0;
                    if !is_inside {
                        faults.push(format!("{place}: outside: {run:?}"));
                    }
                    if *is_short && run.size < smallest - 0.1 {
                        faults.push(format!("{place}: too small: {run:?}"));
                    }
                }
            }
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults[..faults.len().min(20)].join("\n"));
}

#[test]
fn labels_of_four_fields_stand_on_nothing() {
    let titles = [
        "Fix the build",
        "Tests",
        "Documentation",
        "A cache",
        "A new logo",
        "Rewrite it all",
        "Search",
        "Login",
        "Payments",
        "Dark mode",
        "Metrics",
        "Backups",
    ];
    let at = |index: usize| (0.2 + 0.02 * (index % 4) as f64, 0.8 + 0.03 * (index / 4) as f64);
    for aspect in Aspect::ALL {
        let contents = last_page(quadrant(&titles, at), aspect);
        let labels: Vec<&Run> = contents
            .runs
            .iter()
            .filter(|run| titles.iter().any(|title| title.contains(run.text.trim())))
            .collect();
        assert!(labels.len() >= titles.len(), "{labels:?}");
        let dots: Vec<&Drawn> = contents
            .shapes
            .iter()
            .filter(|shape| (shape.width - 30.0).abs() < 0.1 && shape.fill.is_some())
            .collect();
        assert_eq!(dots.len(), titles.len(), "{:?}", contents.shapes);
        for (index, label) in labels.iter().enumerate() {
            let meets = |left: f64, top: f64, right: f64, bottom: f64| {
                label.right.min(right) - label.left.max(left) > 1.0
                    && label.bottom.min(bottom) - label.top.max(top) > 1.0
            };
            for other in &labels[..index] {
                assert!(!meets(other.left, other.top, other.right, other.bottom), "{label:?} on {other:?}");
            }
            for dot in &dots {
                let (right, bottom) = (dot.left + dot.width, dot.top + dot.height);
                assert!(!meets(dot.left, dot.top, right, bottom), "{label:?} on {dot:?}");
            }
        }
    }
}

#[test]
fn as_many_squares_are_filled_as_the_value_says() {
    let style = Look::default().style();
    let (accent, rule) = (String::from(style.accent), String::from(style.rule));
    for (value, of, unit, filled, total) in [
        (85.0, 100.0, "%", 85, 100),
        (0.4, 100.0, "%", 1, 100),
        (99.7, 100.0, "%", 99, 100),
        (3.0, 8.0, "planets", 3, 8),
        (0.0, 7.0, "", 0, 7),
        (200.0, 200.0, "", 200, 200),
        (500.0, 2000.0, "people", 25, 100),
    ] {
        for aspect in Aspect::ALL {
            let contents = last_page(proportion(value, of, unit, "of all"), aspect);
            let squares = |colour: &str| {
                let is_square = |shape: &&Drawn| (shape.width - shape.height).abs() < 0.01;
                let of_colour = |shape: &&Drawn| shape.fill.as_deref() == Some(colour);
                contents.shapes.iter().filter(is_square).filter(of_colour).count()
            };
            assert_eq!((squares(&accent), squares(&rule)), (filled, total - filled), "{value} of {of}");
        }
    }
    // While it grows, fewer are filled.
    let pages = pages_of(proportion(85.0, 100.0, "%", ""), &[None], Aspect::Wide);
    let counts: Vec<usize> = pages
        .iter()
        .map(|page| {
            page.shapes
                .iter()
                .filter(|shape| shape.fill.as_deref() == Some(&*accent) && shape.width == shape.height)
                .count()
        })
        .collect();
    assert!(counts[1] < 10 && counts.is_sorted() && counts.last() == Some(&85), "{counts:?}");
}

#[test]
fn bars_are_as_long_as_their_values() {
    let (energy, cycles) = ([180.0, 220.0, 150.0], [800.0, 1500.0, 4000.0]);
    for aspect in Aspect::ALL {
        let contents = last_page(bars(&["LCO", "NMC", "LFP"], &[&energy, &cycles]), aspect);
        // Bars are all equally thick, and nothing else is as thick as the bar of the first value.
        let mut columns: Vec<(f64, Vec<&Drawn>)> = vec![];
        let thick = contents
            .shapes
            .iter()
            .filter(|shape| shape.fill.is_some() && shape.height > 30.0 && shape.height < 100.0);
        for bar in thick {
            match columns.iter_mut().find(|(left, _)| (*left - bar.left).abs() < 0.1) {
                Some((_, bars)) => bars.push(bar),
                None => columns.push((bar.left, vec![bar])),
            }
        }
        columns.retain(|(_, bars)| bars.len() == 3);
        columns.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert_eq!(columns.len(), 2, "{columns:?}");
        for ((_, bars), values) in columns.iter_mut().zip([energy, cycles]) {
            bars.sort_by(|a, b| a.top.total_cmp(&b.top));
            for (bar, value) in bars.iter().zip(values) {
                let scale = bars[1].width / values[1];
                assert!((bar.width - value * scale).abs() < 0.5, "{value}: {bar:?} at {scale}");
            }
        }
    }
}

#[test]
fn a_line_appears_when_both_its_ends_do() {
    let shown = |arrangement, reveals: &[Option<usize>]| {
        let pages = pages_of(items(arrangement, 3, "Anode", "of graphite"), reveals, Aspect::Wide);
        pages
            .iter()
            .map(|page| page.shapes.iter().filter(|shape| shape.is_curve && shape.fill.is_none()).count())
            .collect::<Vec<_>>()
    };
    let tree = shown(Arrangement::Tree, &[Some(1), Some(0), Some(2)]);
    let icons = tree[1];
    assert!(tree[2] > icons + 1, "the first line comes with the root, not before: {tree:?}");
    assert!(tree[3] > tree[2], "{tree:?}");
}
