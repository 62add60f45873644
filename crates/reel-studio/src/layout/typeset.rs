//! Typesetting: a scene becomes Typst source, and the source becomes pictures.
//!
//! All text of the user goes into the source as string literals, which Typst never reads as markup.
//! The compiler sees the source, the theme and the scene's own pictures; every other access is refused.

use std::sync::LazyLock;

use typst::diag::{FileError, FileResult};
use typst::foundations::{Bytes, Datetime, Duration};
use typst::syntax::{FileId, RootedPath, Source, VirtualPath, VirtualRoot};
use typst::text::{Font, FontBook};
use typst::utils::LazyHash;
use typst::{Library, LibraryExt, World};
use typst_kit::fonts::FontStore;
use typst_layout::PagedDocument;
use typst_render::RenderOptions;

use crate::draw::motion::eased;
use crate::encode::encoder::{Moving, StepMotion};
use crate::layout::figure;
use crate::layout::flow;
use crate::layout::images::Images;
use reel_scene::axis::Axis;
use reel_scene::look::{Aspect, Colour, Look, Style};
use reel_scene::plot;
use reel_scene::{
    Block, ChartKind, ComparisonSide, Entrance, Layout, Number, Reveal, RichText, Scene, Series, Shape, Span,
    SpanStyle, Step, TimelineItem,
};

/// For what the theme's own font lacks: Greek, Cyrillic and Arabic, East Asian, symbols.
const FALLBACK_FONTS: [&str; 4] = ["Inter", "DejaVu Sans", "Noto Sans CJK SC", "Libertinus Serif"];
/// A longer run without a break may be broken anywhere.
const LONGEST_UNBROKEN: usize = 24;
/// Letters of a word with a slash that is never broken.
const LONGEST_WHOLE: usize = 14;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("typst refused the source: {0}")]
    Compile(String),
    #[error("the source has {found} pages, but page {page}, counted from 0, is needed")]
    Pages { found: usize, page: usize },
}

/// A page as pixels: rows from the top, 4 bytes a pixel (red, green, blue, alpha), opaque.
#[derive(Debug, Clone)]
pub struct RgbaPage {
    pub width: usize,
    pub height: usize,
    pub rgba: Vec<u8>,
}

/// Pages on which something grows, after the one on which it begins.
const GROWTH_PAGES: u32 = 24;
/// How high charts and figures are beside other blocks.
const DRAWING_BESIDE_OTHERS: f64 = 0.62;
/// How long the words of a timeline may be for its items to stand beside each other.
const WIDE_ITEM_CHARACTERS: usize = 60;

/// How each step of a scene comes in; where something moves on the way is found on its pages ([`Pages::find_moves`]).
pub fn motions(scene: &Scene) -> Vec<StepMotion> {
    (0..scene.steps.len()).map(|step| StepMotion::of(scene, step)).collect()
}

impl StepMotion {
    fn of(scene: &Scene, step: usize) -> Self {
        let entrance = |step: &Step| {
            let filled = scene.layout == Layout::Section;
            let own = revealed(scene, step).next().map_or(Entrance::Fade, Block::entrance);
            step.enter.unwrap_or(if filled { Entrance::Fade } else { own })
        };
        let own = &scene.steps[step];
        let before = step.checked_sub(1).map(|before| entrance(&scene.steps[before]));
        // The first formula has none to come from.
        let entrance = match entrance(own) {
            Entrance::Morph if before != Some(Entrance::Morph) => Entrance::Wipe,
            entrance => entrance,
        };
        let grows = revealed(scene, own).any(Block::grows);
        let goes_on = |reveal: &Reveal| {
            matches!(scene.blocks.get(reveal.block), Some(Block::Code { .. }))
                && reveal.part.is_some_and(|part| part > 0)
        };
        let moving = match entrance {
            Entrance::Morph => Moving::Terms(vec![]),
            _ if own.reveals.iter().any(goes_on) => Moving::Highlight(None),
            _ => Moving::Nothing,
        };
        Self { entrance, pages: if grows { 1 + GROWTH_PAGES } else { 1 }, moving }
    }
}

fn revealed<'a>(scene: &'a Scene, step: &'a Step) -> impl Iterator<Item = &'a Block> {
    step.reveals.iter().filter_map(|reveal| scene.blocks.get(reveal.block))
}

/// The complete Typst source of a scene: one page before the first step, then those of each step, as many as
/// [`motions`] says. Formulas are compiled on the way; one that Typst cannot read is shown as its LaTeX source.
pub fn source(scene: &Scene, look: &Look) -> String {
    let layout = match scene.layout {
        Layout::Title => "title",
        Layout::Content => "content",
        Layout::Section => "section",
        Layout::Closing => "closing",
    };
    let mut text = String::from("#import \"theme.typ\": *\n\n#let t = (\n");
    let drawings = if scene.blocks.len() > 1 { DRAWING_BESIDE_OTHERS } else { 1.0 };
    text.push_str(&look_source(look, drawings));
    text.push_str(")\n\n#scene(t,\n");
    text.push_str(&format!("  layout: {},\n", literal(layout)));
    text.push_str(&format!("  title: {},\n", literal(&breakable(&scene.title))));
    text.push_str("  blocks: (\n");
    for block in &scene.blocks {
        text.push_str(&format!("    {},\n", block_source(block, look)));
    }
    text.push_str("  ),\n  pages: (\n");
    for page in shown_by_page(scene) {
        let entries: String = page.iter().map(|shown| format!("{shown}, ")).collect();
        text.push_str(&format!("    ({}),\n", entries.trim_end_matches(' ')));
    }
    text.push_str("  ),\n)\n");
    text
}

/// The colours, fonts and lengths of the look, as entries of a dictionary. `drawings` scales charts and figures.
fn look_source(look: &Look, drawings: f64) -> String {
    let style = look.style();
    let mut text = String::new();
    let mut entry = |name: &str, value: String| text.push_str(&format!("  {name}: {value},\n"));
    for (name, colour) in [
        ("background", style.background),
        ("ink", style.ink),
        ("muted", style.muted),
        ("accent", style.accent),
        ("on-accent", style.on_accent),
        ("second", style.second),
        ("on-second", style.on_second),
        ("third", style.third),
        ("panel", style.panel),
        ("soft", style.soft),
        ("ground", style.ground),
        ("rule", style.rule),
    ] {
        entry(name, format!("rgb({})", literal(&String::from(colour))));
    }
    let fonts = |own: &str| {
        let mut names: Vec<&str> = vec![own];
        names.extend(FALLBACK_FONTS.into_iter().filter(|name| *name != own));
        names.iter().map(|name| format!("{}, ", literal(name))).collect::<String>()
    };
    entry("heading", format!("({})", fonts(&style.heading_font)));
    entry("body", format!("({})", fonts(&style.body_font)));
    entry("mono", "(\"DejaVu Sans Mono\", \"Noto Sans CJK SC\")".to_owned());
    entry("code-theme", format!("bytes({})", literal(&code_colours(&style))));
    entry("card", literal(style.card));
    entry("motif", literal(style.motif));
    entry("round", u8::from(style.round).to_string());
    entry("logo", look.logo.as_deref().map_or("none".to_owned(), literal));
    let page = Page::of(look.aspect);
    let foot = page.foot + if look.logo.is_some() { ABOVE_LOGO } else { 0.0 };
    entry("wide", (look.aspect == Aspect::Wide).to_string());
    for (name, points) in [
        ("width", page.width),
        ("height", page.height),
        ("margin", page.margin),
        ("content-width", page.width - 2.0 * page.margin),
        ("title-top", page.title_top),
        ("title-height", page.title_height),
        ("content-top", page.content_top()),
        ("content-height", page.height - page.content_top() - foot),
        ("chart-height", page.chart_height * drawings),
        ("figure-height", page.chart_height * 1.15 * drawings),
        ("least-code", if look.aspect == Aspect::Wide { 24.0 } else { 30.0 }),
    ] {
        entry(name, format!("{points}pt"));
    }
    text
}

/// What the content leaves free above a logo, in points.
const ABOVE_LOGO: f64 = 40.0;

/// The lengths of a page, in points.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page {
    pub width: f64,
    pub height: f64,
    pub margin: f64,
    title_top: f64,
    title_height: f64,
    /// Free below the content.
    foot: f64,
    chart_height: f64,
}

impl Page {
    pub fn of(aspect: Aspect) -> Self {
        match aspect {
            Aspect::Wide => Self {
                width: 1920.0,
                height: 1080.0,
                margin: 130.0,
                title_top: 84.0,
                title_height: 120.0,
                foot: 90.0,
                chart_height: 470.0,
            },
            Aspect::Tall => Self {
                width: 1080.0,
                height: 1920.0,
                margin: 84.0,
                title_top: 150.0,
                title_height: 200.0,
                foot: 200.0,
                chart_height: 620.0,
            },
            Aspect::Square => Self {
                width: 1080.0,
                height: 1080.0,
                margin: 76.0,
                title_top: 64.0,
                title_height: 130.0,
                foot: 70.0,
                chart_height: 430.0,
            },
        }
    }

    fn content_top(self) -> f64 {
        self.title_top + self.title_height + 24.0 + 9.0 + 44.0
    }
}

/// Colours of code (a TextMate theme).
fn code_colours(style: &Style) -> String {
    let scope = |scopes: &str, colour: Colour| {
        let colour = String::from(colour);
        format!(
            "<dict><key>scope</key><string>{scopes}</string><key>settings</key><dict>\
             <key>foreground</key><string>{colour}</string></dict></dict>"
        )
    };
    let ink = String::from(style.ink);
    let ground = String::from(style.panel);
    [
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><plist version=\"1.0\"><dict><key>name</key><string>look</string>\
         <key>settings</key><array>",
        &format!(
            "<dict><key>settings</key><dict><key>foreground</key><string>{ink}</string>\
             <key>background</key><string>{ground}</string></dict></dict>"
        ),
        &scope("comment", style.muted),
        &scope("string, constant.character", style.third),
        &scope("constant.numeric, constant.language, entity.name.type, support.type, storage.type", style.second),
        &scope("keyword, storage.modifier, storage.type.function, keyword.control", style.accent),
        "</array></dict></plist>",
    ]
    .concat()
}

/// How much of one block a page shows.
#[derive(Debug, Clone, PartialEq, Default)]
struct Shown {
    whole: bool,
    parts: Vec<usize>,
    /// How far it has grown, while it does.
    grown: Option<f64>,
}

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self { grown: Some(share), .. } => write!(f, "{share:.4}"),
            Self { whole: true, .. } => f.write_str("true"),
            Self { parts, .. } if parts.is_empty() => f.write_str("false"),
            Self { parts, .. } => {
                write!(f, "({})", parts.iter().map(|part| format!("{part},")).collect::<String>())
            }
        }
    }
}

/// For each page, how much of each block is shown.
fn shown_by_page(scene: &Scene) -> Vec<Vec<Shown>> {
    let mut shown = vec![Shown::default(); scene.blocks.len()];
    let mut pages = Vec::with_capacity(scene.steps.len());
    for (number, step) in scene.steps.iter().enumerate() {
        for reveal in &step.reveals {
            let Some(block) = shown.get_mut(reveal.block) else { continue };
            match reveal.part {
                Some(part) => block.parts.push(part),
                None => block.whole = true,
            }
        }
        let growing: Vec<usize> = step
            .reveals
            .iter()
            .map(|reveal| reveal.block)
            .filter(|block| scene.blocks[*block].grows())
            .collect();
        for page in 0..StepMotion::of(scene, number).pages {
            let time = f64::from(page) / f64::from(GROWTH_PAGES);
            let grown = (page < GROWTH_PAGES).then_some(eased(time));
            growing.iter().for_each(|block| shown[*block].grown = grown);
            pages.push(shown.clone());
        }
    }
    pages
}

fn block_source(block: &Block, look: &Look) -> String {
    let wide = look.aspect == Aspect::Wide;
    match block {
        Block::Paragraph { text } => format!("paragraph(t, {})", rich(text)),
        Block::Bullet { text } => format!("bullet(t, {})", rich(text)),
        Block::Numbered { number, text } => format!("numbered(t, {number}, {})", rich(text)),
        Block::Quote { text } => format!("quotation(t, {})", rich(text)),
        Block::Code { language, text, groups } => {
            let language = language.as_deref().map_or("none".to_owned(), literal);
            let source = literal(&breakable_code(text));
            format!("listing(t, {language}, {source}, {})", group_source(text, groups))
        }
        Block::Formula { latex } => match math(latex) {
            Some(math) => format!("formula(t, $ {math} $)"),
            None => format!("formula-source(t, {})", literal(&breakable(latex))),
        },
        Block::Table { header, rows } => {
            let cells = |cells: &[RichText]| list(cells.iter().map(rich));
            format!(
                "table-of(t, {}, {}, {})",
                list(column_weights(header, rows).into_iter().map(|weight| weight.to_string())),
                cells(header),
                rows.iter().map(|row| cells(row)).collect::<Vec<_>>().join(", ")
            )
        }
        Block::Definition { term, text } => format!("definition(t, {}, {})", words(term), rich(text)),
        Block::Timeline { items } => {
            let short = |item: &TimelineItem| {
                item.title.chars().count() + item.text.chars().count() <= WIDE_ITEM_CHARACTERS
            };
            let beside = wide && items.len() <= 5 && items.iter().all(short);
            let items =
                items.iter().map(|item| format!("({}, {})", words(&item.title), optional(&item.text)));
            format!("timeline(t, {beside}, {})", items.collect::<Vec<_>>().join(", "))
        }
        Block::Comparison { left, right } => {
            let side = |side: &ComparisonSide| {
                format!("({}, {})", words(&side.title), list(side.points.iter().map(rich)))
            };
            format!("comparison(t, {}, {})", side(left), side(right))
        }
        Block::Derivation { formulas } => {
            let formulas = formulas.iter().map(|latex| match math(latex) {
                Some(math) => format!("$ {math} $"),
                None => format!("code-span(t, {})", literal(&breakable(latex))),
            });
            format!("derivation(t, {})", formulas.collect::<Vec<_>>().join(", "))
        }
        Block::Counter { value, decimals, prefix, unit, label } => format!(
            "counter-of(t, {}, {decimals}, {}, {}, {})",
            float(value.get()),
            literal(prefix),
            literal(unit),
            optional(label)
        ),
        Block::Chart { chart, unit, labels, series } => chart_source(*chart, unit, labels, series),
        Block::Scatter { x_label, y_label, points } => {
            let axis = |which: usize| {
                let values: Vec<f64> = points.iter().map(|point| point[which].get()).collect();
                around(&values)
            };
            let (x, y) = (axis(0), axis(1));
            let places = points.iter().map(|[px, py]| place(x.place(px.get()), y.place(py.get())));
            let (x_label, y_label) = (optional(x_label), optional(y_label));
            format!("scatter(t, {}, {}, {}, {x_label}, {y_label})", list(places), ticks(x), ticks(y))
        }
        Block::Flow { nodes, edges } => {
            let grid = flow::lay_out(nodes.len(), edges, wide);
            let boxes = nodes
                .iter()
                .zip(&grid.places)
                .map(|(node, (column, row))| format!("({column}, {row}, {})", words(node)));
            let edges =
                edges.iter().map(|edge| format!("({}, {}, {})", edge.from, edge.to, optional(&edge.label)));
            format!("flow(t, {}, {}, {}, {})", grid.columns, grid.rows, list(boxes), list(edges))
        }
        Block::Plot { functions, range } => plot_source(functions, *range, wide),
        Block::Figure { shapes } => figure_source(shapes),
        Block::Image { file, caption } => format!("picture(t, {}, {})", literal(file), optional(caption)),
    }
}

/// How wide a table's columns are to each other: as their longest word needs, and up to two lines of the longest cell.
fn column_weights(header: &[RichText], rows: &[Vec<RichText>]) -> Vec<usize> {
    const MOST: usize = 36;
    let weigh = |text: String| {
        let word =
            text.split_whitespace().map(|word| word.chars().count().min(LONGEST_UNBROKEN)).max().unwrap_or(0);
        word.max((text.chars().count() / 2).min(MOST)) + 3
    };
    let column = |column: usize| {
        let cells = rows
            .iter()
            .map(Vec::as_slice)
            .chain([header])
            .filter_map(|row| row.get(column))
            .map(RichText::to_plain);
        cells.map(weigh).max().unwrap_or(1)
    };
    (0..header.len()).map(column).collect()
}

fn chart_source(chart: ChartKind, unit: &str, labels: &[String], series: &[Series]) -> String {
    let values = series.iter().flat_map(|series| &series.values).map(|value| value.get());
    let decimals = values.clone().map(decimals_of).max().unwrap_or(0);
    let labels = list(labels.iter().map(|label| words(label)));
    let numbers = |series: &Series| list(series.values.iter().map(|value| float(value.get())));
    let kind = match chart {
        ChartKind::Bar => "bar-chart",
        ChartKind::Line => "line-chart",
        ChartKind::Pie => {
            let values = series.first().map_or("()".to_owned(), numbers);
            return format!("pie-chart(t, {labels}, {values}, {decimals}, {})", literal(unit));
        }
    };
    let axis = match chart {
        ChartKind::Line => around(&values.collect::<Vec<_>>()),
        _ => Axis::from_zero(values, 4),
    };
    let names = list(series.iter().map(|series| words(&series.name)));
    let (low, high, step) = (float(axis.low), float(axis.high), float(axis.step));
    let all = list(series.iter().map(numbers));
    let decimals = decimals.max(axis.decimals as u8);
    format!("{kind}(t, {labels}, {names}, {all}, {}, ({low}, {high}, {step}), {decimals})", literal(unit))
}

/// An axis for values that need not begin at zero, with some room around them.
fn around(values: &[f64]) -> Axis {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if least >= 0.0 && least < greatest * 0.6 {
        return Axis::around(0.0, greatest, 4);
    }
    Axis::around(least.min(greatest), greatest.max(least), 4)
}

/// Digits after the point that a number is written with, two at most.
fn decimals_of(value: f64) -> u8 {
    let needs = |digits: i32| {
        let scaled = value * 10_f64.powi(digits);
        (scaled - scaled.round()).abs() < 1e-9 * scaled.abs().max(1.0)
    };
    (0..2).find(|digits| needs(*digits)).unwrap_or(2) as u8
}

fn plot_source(functions: &[String], range: [Number; 2], wide: bool) -> String {
    let curves: Vec<Vec<Vec<(f64, f64)>>> =
        functions.iter().map(|function| plot::sample(function, range)).collect();
    let heights: Vec<f64> = curves.iter().flatten().flatten().map(|(_, y)| *y).collect();
    let x = Axis::around(range[0].get(), range[1].get(), if wide { 8 } else { 4 });
    let y = if heights.is_empty() { Axis::around(0.0, 1.0, 4) } else { plot::axis(&heights) };
    let span = |value: f64| (value - range[0].get()) / (range[1].get() - range[0].get());
    let curves = curves.iter().map(|pieces| {
        let pieces = pieces.iter().map(|points| {
            let inside = points.iter().filter(|(_, height)| (0.0..=1.0).contains(&y.place(*height)));
            list(inside.map(|(across, height)| place(span(*across), y.place(*height))))
        });
        list(pieces)
    });
    let curves = list(curves);
    let names = list(functions.iter().map(|function| literal(&format!("y = {function}"))));
    let x_marks = x.marks().filter(|mark| (0.0..=1.0).contains(&span(*mark)));
    let x_ticks = list(x_marks.map(|mark| tick(span(mark), mark, x.decimals)));
    format!("plot(t, {curves}, {names}, {x_ticks}, {})", ticks(y))
}

fn figure_source(shapes: &[Shape]) -> String {
    let figure = figure::Figure::of(shapes);
    let point = |point: &[Number; 2]| {
        let (x, y) = figure.place(point);
        place(x, y)
    };
    let mut sources: Vec<String> = vec![];
    for shape in shapes {
        let source = match shape {
            Shape::Polygon { points, filled } => {
                format!("(\"polygon\", {}, {filled})", list(points.iter().map(point)))
            }
            Shape::Segment { from, to } => format!("(\"segment\", {}, {})", point(from), point(to)),
            Shape::Circle { center, radius } => {
                format!("(\"circle\", {}, {})", point(center), float(figure.length(radius.get())))
            }
            Shape::RightAngle { at, between } => {
                let corner = figure.right_angle(at, between).map(|(x, y)| place(x, y));
                let [a, b, c] = corner;
                sources.push(format!("(\"segment\", {a}, {b})"));
                format!("(\"segment\", {b}, {c})")
            }
            Shape::Label { at, text } => format!("(\"label\", {}, {})", point(at), words(text)),
        };
        sources.push(source);
    }
    format!("figure-of(t, {}, {})", float(figure.ratio()), sources.join(", "))
}

fn ticks(axis: Axis) -> String {
    list(axis.marks().map(|mark| tick(axis.place(mark), mark, axis.decimals)))
}

fn tick(place: f64, value: f64, decimals: usize) -> String {
    let is_zero = value.abs() < 1e-9;
    let value = if is_zero { 0.0 } else { value };
    format!(
        "({}, {}, {is_zero})",
        float(place),
        literal(&format!("{value:.decimals$}").replace('-', "\u{2212}"))
    )
}

fn place(x: f64, y: f64) -> String {
    format!("({}, {})", float(x), float(y))
}

/// A Typst array; one entry needs its comma.
fn list(entries: impl Iterator<Item = String>) -> String {
    format!("({})", entries.map(|entry| format!("{entry}, ")).collect::<String>().trim_end_matches(' '))
}

/// Digits enough for any length or label; Typst reads no exponent of its own making differently.
fn float(value: f64) -> String {
    let text = format!("{value:.6}");
    let short = text.trim_end_matches('0').trim_end_matches('.');
    if short.is_empty() || short == "-0" { "0".to_owned() } else { short.to_owned() }
}

fn words(text: &str) -> String {
    literal(&breakable(text))
}

fn optional(text: &str) -> String {
    if text.is_empty() { "none".to_owned() } else { words(text) }
}

/// Where the groups of a listing begin and end.
fn group_source(text: &str, groups: &[u32]) -> String {
    let lines = text.lines().count() as u32;
    let mut from = 0;
    let ranges = groups.iter().enumerate().map(|(index, length)| {
        let to = if index + 1 == groups.len() { lines.max(from) } else { from + length };
        let range = format!("({from}, {to})");
        from = to;
        range
    });
    list(ranges)
}

/// A LaTeX formula in Typst's notation; `None` when Typst cannot read what comes of it.
fn math(latex: &str) -> Option<String> {
    if !is_balanced(latex) {
        return None;
    }
    let math = texts_as_strings(&tylax::latex_to_typst(latex));
    let math = math.trim().trim_matches('$').trim();
    // `#` begins code, `$` ends the formula, and a backtick begins raw text; all else stays mathematics.
    let is_plain = !math.is_empty() && math.len() < 4000 && !math.contains(['#', '`', '$']);
    (is_plain && compiles(&format!("$ {math} $"))).then(|| math.to_owned())
}

/// The converter's `#text[words]` as `"words"`, which needs no code.
fn texts_as_strings(math: &str) -> String {
    let mut parts = math.split("#text[");
    let mut rewritten = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(']') {
            Some((words, rest)) if !words.contains(['[', '#', '"', '\\']) => {
                rewritten.push_str(&format!("\"{words}\"{rest}"));
            }
            _ => rewritten.push_str(&format!("#text[{part}")),
        }
    }
    rewritten
}

/// Whether every brace and delimiter has its other half: the converter makes something of any text.
fn is_balanced(latex: &str) -> bool {
    let (mut depth, mut is_escaped) = (0_i32, false);
    for c in latex.chars() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '{' => depth += 1,
            '}' if depth == 0 => return false,
            '}' => depth -= 1,
            _ => {}
        }
    }
    // `\leftarrow` and its like are no delimiters.
    let delimiters = |command: &str| {
        let rest = latex.split(command).skip(1);
        rest.filter(|rest| !rest.starts_with(|c: char| c.is_ascii_alphabetic())).count()
    };
    depth == 0
        && delimiters("\\left") == delimiters("\\right")
        && delimiters("\\begin") == delimiters("\\end")
}

/// The numbers of the blocks with a formula that is shown as its source.
pub fn unreadable_formulas(scene: &Scene) -> Vec<usize> {
    let is_unreadable = |block: &Block| match block {
        Block::Formula { latex } => !is_formula(latex),
        Block::Derivation { formulas } => !formulas.iter().all(|latex| is_formula(latex)),
        _ => false,
    };
    (0..scene.blocks.len()).filter(|block| is_unreadable(&scene.blocks[*block])).collect()
}

/// Whether a formula of a scene can be shown as mathematics.
pub fn is_formula(latex: &str) -> bool {
    math(latex).is_some()
}

fn compiles(markup: &str) -> bool {
    matches!(compile(markup), Ok(document) if document.pages().len() == 1)
}

fn rich(text: &RichText) -> String {
    match &text.0[..] {
        [] => "[]".to_owned(),
        [span] => span_source(span),
        spans => format!("({})", spans.iter().map(span_source).collect::<Vec<_>>().join(" + ")),
    }
}

fn span_source(span: &Span) -> String {
    let function = match span.style {
        SpanStyle::Plain => "plain",
        SpanStyle::Strong => "strong",
        SpanStyle::Emphasis => "emphasis",
        SpanStyle::Code => {
            // The box around code would hold the blank beside it, too.
            let trimmed = span.text.trim();
            let blank = |has: bool| if has { "plain(\" \") + " } else { "" };
            let before = blank(span.text.starts_with(' '));
            let after = if span.text.ends_with(' ') { " + plain(\" \")" } else { "" };
            return format!("{before}code-span(t, {}){after}", literal(&breakable(trimmed)));
        }
    };
    format!("{function}({})", literal(&breakable(&span.text)))
}

/// A Typst string literal of the text. Characters that steer rather than show (controls, direction
/// overrides) become a visible mark.
fn literal(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('"');
    for c in text.chars() {
        match c {
            '"' => literal.push_str("\\\""),
            '\\' => literal.push_str("\\\\"),
            '\n' => literal.push_str("\\n"),
            '\t' => literal.push_str("    "),
            c if c.is_control() || is_direction_override(c) => literal.push('\u{fffd}'),
            c => literal.push(c),
        }
    }
    literal.push('"');
    literal
}

fn is_direction_override(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Lets words longer than a line break, by zero-width spaces, and keeps short ones like "km/h" whole, by word joiners.
fn breakable(text: &str) -> String {
    let words = text.split_inclusive(char::is_whitespace).map(|word| match word.chars().count() {
        ..=LONGEST_WHOLE => word.replace('/', "/\u{2060}"),
        _ => word.to_owned(),
    });
    break_runs(&words.collect::<String>(), LONGEST_UNBROKEN)
}

/// Code breaks later: a listing's line holds more, and its words are long.
fn breakable_code(text: &str) -> String {
    break_runs(text, 2 * LONGEST_UNBROKEN)
}

fn break_runs(text: &str, longest: usize) -> String {
    let mut broken = String::with_capacity(text.len());
    let mut run = 0;
    for c in text.chars() {
        run = if c.is_whitespace() { 0 } else { run + 1 };
        if run > longest {
            broken.push('\u{200b}');
            run = 1;
        }
        broken.push(c);
    }
    broken
}

/// A scene's pages, laid out and ready to be drawn.
pub struct Pages {
    pub(crate) document: PagedDocument,
}

impl Pages {
    /// Compiles a scene's source.
    pub fn of(source: &str, images: &Images) -> Result<Self, Error> {
        Ok(Self { document: compile_with(source, images)? })
    }

    pub fn count(&self) -> usize {
        self.document.pages().len()
    }

    /// Rasters a page to `width` x `height` pixels. Any aspect ratio near the theme's works; what is left over
    /// shows the page's background. A page is 8 MB at 1080p, so keep less.
    pub fn raster(&self, page: usize, width: u32, height: u32) -> Result<RgbaPage, Error> {
        let missing = Error::Pages { found: self.count(), page };
        let page = self.document.pages().get(page).ok_or(missing)?;
        let size = page.frame.size();
        let pixels_a_point = (f64::from(width) / size.x.to_pt()).max(f64::from(height) / size.y.to_pt());
        let options = RenderOptions { pixel_per_pt: pixels_a_point.into(), ..RenderOptions::default() };
        let pixmap = typst_render::render(page, &options);
        let (drawn_width, drawn_height) = (pixmap.width() as usize, pixmap.height() as usize);
        if (drawn_width, drawn_height) == (width as usize, height as usize) {
            return Ok(RgbaPage { width: drawn_width, height: drawn_height, rgba: pixmap.take() });
        }
        Ok(crop(pixmap.data(), drawn_width, drawn_height, width as usize, height as usize))
    }
}

impl Drop for Pages {
    /// What one scene leaves in Typst's caches is of no use to another, and a long video must not take more memory than a
    /// short one.
    fn drop(&mut self) {
        comemo::evict(0);
    }
}

/// All pages of a source, drawn.
#[cfg(test)]
pub fn pages(source: &str, width: u32, height: u32) -> Result<Vec<RgbaPage>, Error> {
    let pages = Pages::of(source, &Images::default())?;
    (0..pages.count()).map(|page| pages.raster(page, width, height)).collect()
}

/// Cuts to the wanted size; rounding makes a page at most a few pixels larger, and where it is
/// smaller the edge is repeated.
fn crop(rgba: &[u8], width: usize, height: usize, wanted_width: usize, wanted_height: usize) -> RgbaPage {
    let mut out = Vec::with_capacity(wanted_width * wanted_height * 4);
    for y in 0..wanted_height {
        let row = &rgba[y.min(height - 1) * width * 4..][..width * 4];
        let kept = wanted_width.min(width) * 4;
        out.extend_from_slice(&row[..kept]);
        for _ in width..wanted_width {
            out.extend_from_slice(&row[width * 4 - 4..]);
        }
    }
    RgbaPage { width: wanted_width, height: wanted_height, rgba: out }
}

pub(crate) fn compile(source: &str) -> Result<PagedDocument, Error> {
    compile_with(source, &Images::default())
}

fn compile_with(source: &str, images: &Images) -> Result<PagedDocument, Error> {
    let world = SceneWorld { main: Source::new(*MAIN, source.to_owned()), images };
    typst::compile::<PagedDocument>(&world).output.map_err(|diagnostics| {
        let messages: Vec<&str> = diagnostics.iter().map(|diagnostic| diagnostic.message.as_str()).collect();
        Error::Compile(messages.join("; "))
    })
}

/// How scenes look; what is drawn depends on it.
pub const THEME_SOURCE: &str = include_str!("theme.typ");

static MAIN: LazyLock<FileId> = LazyLock::new(|| file_id("main.typ"));
static THEME: LazyLock<Source> = LazyLock::new(|| Source::new(file_id("theme.typ"), THEME_SOURCE.to_owned()));
static LIBRARY: LazyLock<LazyHash<Library>> = LazyLock::new(|| LazyHash::new(Library::default()));
/// The system's fonts, and those that Typst brings along.
static FONTS: LazyLock<FontStore> = LazyLock::new(|| {
    let mut fonts = FontStore::new();
    fonts.extend(typst_kit::fonts::system());
    fonts.extend(typst_kit::fonts::embedded());
    fonts
});

/// Reads what fonts there are, which takes a tenth of a second, once.
pub fn load_fonts() {
    LazyLock::force(&FONTS);
}

fn file_id(name: &str) -> FileId {
    let path = VirtualPath::new(name).expect("a plain file name is a virtual path");
    RootedPath::new(VirtualRoot::Project, path).intern()
}

/// All that a scene's source can see.
struct SceneWorld<'a> {
    main: Source,
    images: &'a Images,
}

impl World for SceneWorld<'_> {
    fn library(&self) -> &LazyHash<Library> {
        &LIBRARY
    }

    fn book(&self) -> &LazyHash<FontBook> {
        FONTS.book()
    }

    fn main(&self) -> FileId {
        *MAIN
    }

    fn source(&self, id: FileId) -> FileResult<Source> {
        if id == *MAIN {
            Ok(self.main.clone())
        } else if id == THEME.id() {
            Ok(THEME.clone())
        } else {
            Err(FileError::AccessDenied)
        }
    }

    fn file(&self, id: FileId) -> FileResult<Bytes> {
        let name = id.vpath().get_without_slash();
        self.images.get(name).map(|bytes| Bytes::new(bytes.to_vec())).ok_or(FileError::AccessDenied)
    }

    fn font(&self, index: usize) -> Option<Font> {
        FONTS.font(index)
    }

    /// None: the same source always gives the same pages.
    fn today(&self, _offset: Option<Duration>) -> Option<Datetime> {
        None
    }
}
