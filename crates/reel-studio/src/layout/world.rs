//! The world of Typst's compiler: a scene's source, the theme, the fonts, and the scene's own pictures. It sees nothing else.

use std::sync::LazyLock;

use typst::diag::{FileError, FileResult};
use typst::foundations::{Bytes, Datetime, Duration};
use typst::layout::Abs;
use typst::syntax::{FileId, RootedPath, Source, VirtualPath, VirtualRoot};
use typst::text::{Font, FontBook, FontInstance, FontVariant, FontVariations, FontWeight};
use typst::utils::LazyHash;
use typst::{Library, LibraryExt, World};
use typst_kit::fonts::FontStore;
use typst_layout::PagedDocument;

use super::Error;
use super::images::Images;
use crate::usage::metered;

pub(crate) fn compile(source: &str) -> Result<PagedDocument, Error> {
    compile_with(source, &Images::default())
}

pub(super) fn compile_with(source: &str, images: &Images) -> Result<PagedDocument, Error> {
    let world = SceneWorld { main: Source::new(*MAIN, source.to_owned()), images };
    let compiled = with_deep_stack(|| typst::compile::<PagedDocument>(&world).output);
    let compiled = compiled.ok_or_else(|| Error::Compile("the compiler stopped unexpectedly".to_owned()))?;
    compiled.map_err(|diagnostics| {
        let messages: Vec<&str> = diagnostics.iter().map(|diagnostic| diagnostic.message.as_str()).collect();
        Error::Compile(messages.join("; "))
    })
}

/// Stack of the threads that convert and compile. Both recurse with the nesting of their input. In a development build, the
/// depth that `nesting` allows would overflow the 2 MiB of a stage's thread, and so end the process.
const DEEP_STACK_BYTES: usize = 64 * 1024 * 1024;

/// Runs recursive work on a thread with a deep stack, whose memory is committed only as it is used. `None` when the thread
/// cannot start, or panics.
pub(super) fn with_deep_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(DEEP_STACK_BYTES);
        thread.spawn_scoped(scope, metered(work)).ok()?.join().ok()
    })
}

/// The files of the theme, by the names with which they import each other.
const THEME: &[(&str, &str)] = &[
    ("bars.typ", include_str!("theme/bars.typ")),
    ("before-after.typ", include_str!("theme/before-after.typ")),
    ("cards.typ", include_str!("theme/cards.typ")),
    ("causes.typ", include_str!("theme/causes.typ")),
    ("chart.typ", include_str!("theme/chart.typ")),
    ("checklist.typ", include_str!("theme/checklist.typ")),
    ("code.typ", include_str!("theme/code.typ")),
    ("comparison.typ", include_str!("theme/comparison.typ")),
    ("counter.typ", include_str!("theme/counter.typ")),
    ("counting.typ", include_str!("theme/counting.typ")),
    ("cycle.typ", include_str!("theme/cycle.typ")),
    ("dates.typ", include_str!("theme/dates.typ")),
    ("diagram.typ", include_str!("theme/diagram.typ")),
    ("figure.typ", include_str!("theme/figure.typ")),
    ("fitting.typ", include_str!("theme/fitting.typ")),
    ("formula.typ", include_str!("theme/formula.typ")),
    ("funnel.typ", include_str!("theme/funnel.typ")),
    ("gauge.typ", include_str!("theme/gauge.typ")),
    ("hub.typ", include_str!("theme/hub.typ")),
    ("icon.typ", include_str!("theme/icon.typ")),
    ("image.typ", include_str!("theme/image.typ")),
    ("levels.typ", include_str!("theme/levels.typ")),
    ("notes.typ", include_str!("theme/notes.typ")),
    ("page.typ", include_str!("theme/page.typ")),
    ("palette.typ", include_str!("theme/palette.typ")),
    ("plot.typ", include_str!("theme/plot.typ")),
    ("process.typ", include_str!("theme/process.typ")),
    ("proportion.typ", include_str!("theme/proportion.typ")),
    ("pros-cons.typ", include_str!("theme/pros-cons.typ")),
    ("pyramid.typ", include_str!("theme/pyramid.typ")),
    ("quadrant.typ", include_str!("theme/quadrant.typ")),
    ("ranking.typ", include_str!("theme/ranking.typ")),
    ("room.typ", include_str!("theme/room.typ")),
    ("rows.typ", include_str!("theme/rows.typ")),
    ("sides.typ", include_str!("theme/sides.typ")),
    ("statement.typ", include_str!("theme/statement.typ")),
    ("strokes.typ", include_str!("theme/strokes.typ")),
    ("table.typ", include_str!("theme/table.typ")),
    ("text.typ", include_str!("theme/text.typ")),
    ("theme.typ", include_str!("theme/theme.typ")),
    ("timeline.typ", include_str!("theme/timeline.typ")),
    ("tree.typ", include_str!("theme/tree.typ")),
    ("venn.typ", include_str!("theme/venn.typ")),
    ("versus.typ", include_str!("theme/versus.typ")),
];

/// Iterates over the sources of the theme.
pub fn theme_source() -> impl Iterator<Item = &'static str> {
    THEME.iter().map(|(_, source)| *source)
}

static MAIN: LazyLock<FileId> = LazyLock::new(|| file_id("main.typ"));
static THEME_FILES: LazyLock<Vec<Source>> = LazyLock::new(|| {
    THEME.iter().map(|(name, source)| Source::new(file_id(name), (*source).to_owned())).collect()
});
static LIBRARY: LazyLock<LazyHash<Library>> = LazyLock::new(|| LazyHash::new(Library::default()));
/// The system's fonts, and those that come with Typst.
static FONTS: LazyLock<FontStore> = LazyLock::new(|| {
    let mut fonts = FontStore::new();
    fonts.extend(typst_kit::fonts::system());
    for data in reel_fonts::decompress() {
        fonts.extend(Font::iter(Bytes::new(data)).map(|font| (font.clone(), font.info().clone())));
    }
    fonts
});

/// Finds the fonts, once; it takes a tenth of a second.
pub fn load_fonts() {
    LazyLock::force(&FONTS);
}

/// Returns the faces of some families that the system has, in their order.
pub(super) fn faces(families: &[String], weight: FontWeight) -> Vec<FontInstance> {
    let variant = FontVariant { weight, ..FontVariant::default() };
    let fonts = families.iter().filter_map(|family| {
        let index = FONTS.book().select(&family.to_lowercase(), variant)?;
        FONTS.font(index)
    });
    fonts.map(|font| font.instantiate(variant, Abs::pt(36.0), &FontVariations::default())).collect()
}

/// Returns the width of a character in em, in the first face that has it.
pub(super) fn advance(faces: &[FontInstance], c: char) -> f64 {
    let width = |face: &FontInstance| {
        let glyph = face.ttf().glyph_index(c)?;
        face.x_advance(glyph.0).map(|advance| advance.get())
    };
    // Scripts that none of them has are mostly as wide as they are high.
    faces.iter().find_map(width).unwrap_or(if c.is_ascii() { 0.6 } else { 1.0 })
}

fn file_id(name: &str) -> FileId {
    let path = VirtualPath::new(name).expect("a plain file name is a virtual path");
    RootedPath::new(VirtualRoot::Project, path).intern()
}

/// The world of one scene.
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
            return Ok(self.main.clone());
        }
        let theme = THEME_FILES.iter().find(|source| source.id() == id);
        theme.cloned().ok_or(FileError::AccessDenied)
    }

    fn file(&self, id: FileId) -> FileResult<Bytes> {
        let name = id.vpath().get_without_slash();
        self.images.get(name).map(|bytes| Bytes::new(bytes.to_vec())).ok_or(FileError::AccessDenied)
    }

    fn font(&self, index: usize) -> Option<Font> {
        FONTS.font(index)
    }

    /// Returns no date, so that the same source always gives the same pages.
    fn today(&self, _offset: Option<Duration>) -> Option<Datetime> {
        None
    }
}
