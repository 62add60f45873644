//! The world of Typst's compiler: a scene's source, the theme, the fonts, and the scene's own pictures. It sees nothing else.

use std::sync::LazyLock;

use typst::diag::{FileError, FileResult};
use typst::foundations::{Bytes, Datetime, Duration};
use typst::syntax::{FileId, RootedPath, Source, VirtualPath, VirtualRoot};
use typst::text::{Font, FontBook};
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
const THEME: [(&str, &str); 14] = [
    ("theme.typ", include_str!("theme/theme.typ")),
    ("text.typ", include_str!("theme/text.typ")),
    ("code.typ", include_str!("theme/code.typ")),
    ("formula.typ", include_str!("theme/formula.typ")),
    ("table.typ", include_str!("theme/table.typ")),
    ("timeline.typ", include_str!("theme/timeline.typ")),
    ("comparison.typ", include_str!("theme/comparison.typ")),
    ("counter.typ", include_str!("theme/counter.typ")),
    ("chart.typ", include_str!("theme/chart.typ")),
    ("plot.typ", include_str!("theme/plot.typ")),
    ("flow.typ", include_str!("theme/flow.typ")),
    ("figure.typ", include_str!("theme/figure.typ")),
    ("image.typ", include_str!("theme/image.typ")),
    ("page.typ", include_str!("theme/page.typ")),
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
/// The system's fonts, and Typst's embedded fonts.
static FONTS: LazyLock<FontStore> = LazyLock::new(|| {
    let mut fonts = FontStore::new();
    fonts.extend(typst_kit::fonts::system());
    fonts.extend(typst_kit::fonts::embedded());
    fonts
});

/// Finds the fonts, once; it takes a tenth of a second.
pub fn load_fonts() {
    LazyLock::force(&FONTS);
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
