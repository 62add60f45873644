//! Typesetting: a scene becomes Typst source, and the source becomes pictures.
//!
//! All text of the user goes into the source as string literals, which Typst never reads as markup.
//! The compiler sees two files, the source and the theme; every other access is refused.

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

use crate::scene::{Block, Layout, RichText, Scene, Span, SpanStyle, Step};

/// Width and height of the theme's page, in points.
const PAGE_POINTS: (f64, f64) = (1920.0, 1080.0);
/// A longer run without a break may be broken anywhere.
const LONGEST_UNBROKEN: usize = 24;
/// Compilations that a cached result survives unused.
const CACHE_AGE: usize = 8;

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

/// The complete Typst source of a scene: one page before the first step, then one for each step.
/// Formulas are compiled on the way; one that Typst cannot read is shown as its LaTeX source.
pub fn source(scene: &Scene) -> String {
    let layout = match scene.layout {
        Layout::Title => "title",
        Layout::Content => "content",
        Layout::Closing => "closing",
    };
    let mut text = String::from("#import \"theme.typ\": *\n\n#scene(\n");
    text.push_str(&format!("  layout: {},\n", literal(layout)));
    text.push_str(&format!("  title: {},\n", literal(&breakable(&scene.title))));
    text.push_str("  blocks: (\n");
    for block in &scene.blocks {
        text.push_str(&format!("    {},\n", block_source(block)));
    }
    text.push_str("  ),\n  pages: (\n");
    for page in shown_by_page(scene) {
        let entries: String = page.iter().map(|shown| format!("{shown}, ")).collect();
        text.push_str(&format!("    ({}),\n", entries.trim_end_matches(' ')));
    }
    text.push_str("  ),\n)\n");
    text
}

/// For each page, how much of each block is shown: `true`, `false`, or the rows of a table.
fn shown_by_page(scene: &Scene) -> Vec<Vec<String>> {
    let mut whole = vec![false; scene.blocks.len()];
    let mut parts: Vec<Vec<usize>> = vec![vec![]; scene.blocks.len()];
    let mut pages = Vec::with_capacity(scene.steps.len());
    for Step { reveals, .. } in &scene.steps {
        for reveal in reveals {
            match reveal.part {
                Some(part) => parts[reveal.block].push(part),
                None => whole[reveal.block] = true,
            }
        }
        let entry = |(whole, parts): (&bool, &Vec<usize>)| match (whole, parts.is_empty()) {
            (true, _) => "true".to_owned(),
            (false, true) => "false".to_owned(),
            (false, false) => {
                format!("({})", parts.iter().map(|part| format!("{part},")).collect::<String>())
            }
        };
        pages.push(whole.iter().zip(&parts).map(entry).collect());
    }
    pages
}

fn block_source(block: &Block) -> String {
    match block {
        Block::Paragraph { text } => format!("paragraph({})", rich(text)),
        Block::Bullet { text } => format!("bullet({})", rich(text)),
        Block::Numbered { number, text } => format!("numbered({number}, {})", rich(text)),
        Block::Quote { text } => format!("quotation({})", rich(text)),
        Block::Code { language, text } => {
            let language = language.as_deref().map_or("none".to_owned(), literal);
            format!("listing({language}, {})", literal(&breakable_code(text)))
        }
        Block::Formula { latex } => formula_source(latex),
        Block::Table { header, rows } => {
            let cells =
                |cells: &[RichText]| cells.iter().map(|cell| format!("{}, ", rich(cell))).collect::<String>();
            let rows: String = rows.iter().map(|row| format!("({}), ", cells(row))).collect();
            format!("table-of(({}), {rows})", cells(header))
        }
    }
}

fn formula_source(latex: &str) -> String {
    let math = tylax::latex_to_typst(latex);
    let math = math.trim().trim_matches('$').trim();
    // `#` and quotes begin code and strings; what the converter does not know it may pass on.
    let is_plain = !math.is_empty() && math.len() < 4000 && !math.contains(['#', '"', '\\', '`', '$']);
    let source = format!("formula($ {math} $)");
    if is_plain && compiles(&source) {
        source
    } else {
        format!("formula-source({})", literal(&breakable(latex)))
    }
}

fn compiles(block: &str) -> bool {
    let text = format!("#import \"theme.typ\": *\n#scene(blocks: ({block},), pages: ((true,),))\n");
    matches!(compile(&text), Ok(document) if document.pages().len() == 2)
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
            return format!("{before}code-span({}){after}", literal(&breakable(trimmed)));
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

/// Lets words longer than a line break, by zero-width spaces.
fn breakable(text: &str) -> String {
    break_runs(text, LONGEST_UNBROKEN)
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
    document: PagedDocument,
}

impl Pages {
    /// Compiles a scene's source.
    pub fn of(source: &str) -> Result<Self, Error> {
        Ok(Self { document: compile(source)? })
    }

    pub fn count(&self) -> usize {
        self.document.pages().len()
    }

    /// Rasters a page to `width` x `height` pixels. Any aspect ratio near the theme's works; what is left over
    /// shows the page's background. A page is 8 MB at 1080p, so keep less.
    pub fn raster(&self, page: usize, width: u32, height: u32) -> Result<RgbaPage, Error> {
        let missing = Error::Pages { found: self.count(), page };
        let pixels_a_point = (f64::from(width) / PAGE_POINTS.0).max(f64::from(height) / PAGE_POINTS.1);
        let options = RenderOptions { pixel_per_pt: pixels_a_point.into(), ..RenderOptions::default() };
        let pixmap = typst_render::render(self.document.pages().get(page).ok_or(missing)?, &options);
        let (drawn_width, drawn_height) = (pixmap.width() as usize, pixmap.height() as usize);
        Ok(crop(pixmap.data(), drawn_width, drawn_height, width as usize, height as usize))
    }
}

impl Drop for Pages {
    /// A long-lived worker must not grow.
    fn drop(&mut self) {
        comemo::evict(CACHE_AGE);
    }
}

/// All pages of a source, drawn.
#[cfg(test)]
pub fn pages(source: &str, width: u32, height: u32) -> Result<Vec<RgbaPage>, Error> {
    let pages = Pages::of(source)?;
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

pub(super) fn compile(source: &str) -> Result<PagedDocument, Error> {
    let world = SceneWorld { main: Source::new(*MAIN, source.to_owned()) };
    typst::compile::<PagedDocument>(&world).output.map_err(|diagnostics| {
        let messages: Vec<&str> = diagnostics.iter().map(|diagnostic| diagnostic.message.as_str()).collect();
        Error::Compile(messages.join("; "))
    })
}

static MAIN: LazyLock<FileId> = LazyLock::new(|| file_id("main.typ"));
static THEME: LazyLock<Source> =
    LazyLock::new(|| Source::new(file_id("theme.typ"), include_str!("theme.typ").to_owned()));
static LIBRARY: LazyLock<LazyHash<Library>> = LazyLock::new(|| LazyHash::new(Library::default()));
/// The system's fonts, and those that Typst brings along.
static FONTS: LazyLock<FontStore> = LazyLock::new(|| {
    let mut fonts = FontStore::new();
    fonts.extend(typst_kit::fonts::system());
    fonts.extend(typst_kit::fonts::embedded());
    fonts
});

fn file_id(name: &str) -> FileId {
    let path = VirtualPath::new(name).expect("a plain file name is a virtual path");
    RootedPath::new(VirtualRoot::Project, path).intern()
}

/// All that a scene's source can see.
struct SceneWorld {
    main: Source,
}

impl World for SceneWorld {
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

    fn file(&self, _id: FileId) -> FileResult<Bytes> {
        Err(FileError::AccessDenied)
    }

    fn font(&self, index: usize) -> Option<Font> {
        FONTS.font(index)
    }

    /// None: the same source always gives the same pages.
    fn today(&self, _offset: Option<Duration>) -> Option<Datetime> {
        None
    }
}
