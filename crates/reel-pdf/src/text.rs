//! Turns the glyphs of pages into lines and paragraphs.

use hayro_interpret::font::Glyph;
use hayro_interpret::hayro_cmap::BfString;
use hayro_interpret::hayro_syntax::{DecryptionError, LoadPdfError, Pdf};
use hayro_interpret::{
    BlendMode, ClipPath, Context, Device, GlyphDrawMode, Image, InterpreterCache, InterpreterSettings, Paint,
    PathDrawMode, SoftMask, interpret_page,
};
use kurbo::{Affine, BezPath, Point, Rect};

use crate::reader::Text;

#[derive(Debug, PartialEq, Eq)]
pub enum Error {
    NoPages,
    Encrypted,
}

/// Returns the text of all pages in their order, no more than `max_bytes` of it.
pub fn extract(pdf: Vec<u8>, max_bytes: usize) -> Result<Text, Error> {
    let pdf = Pdf::new(pdf).map_err(|error| match error {
        LoadPdfError::Decryption(DecryptionError::PasswordProtected) => Error::Encrypted,
        _ => Error::NoPages,
    })?;
    if pdf.pages().is_empty() {
        return Err(Error::NoPages);
    }
    let cache = InterpreterCache::new();
    let mut glyphs = Glyphs::new(max_bytes);
    for page in pdf.pages().iter() {
        let area = Rect::new(0.0, 0.0, 1.0, 1.0);
        let settings = InterpreterSettings { render_annotations: false, ..InterpreterSettings::default() };
        let mut context = Context::new(Affine::IDENTITY, area, &cache, pdf.xref(), settings);
        interpret_page(page, &mut context, &mut glyphs);
        glyphs.end_page();
        if glyphs.is_cut {
            break;
        }
    }
    Ok(Text { text: glyphs.text.trim().to_owned(), is_cut: glyphs.is_cut })
}

/// Gathers characters in the order in which they are drawn, and tells by their places where words, lines and paragraphs end.
struct Glyphs {
    text: String,
    is_cut: bool,
    max_bytes: usize,
    last: Option<Place>,
}

/// The place of a glyph on its page, as a line of text sees it.
#[derive(Clone, Copy)]
struct Place {
    start: Point,
    end: Point,
    /// The height of the type.
    em: f64,
}

/// Parts of an em: a gap that is a blank, a shift that is another line, and one that is another paragraph.
const BLANK: f64 = 0.16;
const LINE: f64 = 0.5;
const PARAGRAPH: f64 = 1.7;

impl Glyphs {
    fn new(max_bytes: usize) -> Self {
        Self { text: String::new(), is_cut: false, max_bytes, last: None }
    }

    fn add(&mut self, characters: &str, place: Place) {
        let separator = self.last.map_or("", |last| separator(last, place));
        if separator == "\n" && self.joins_a_word(characters) {
            self.text.pop();
        } else if !self.text.ends_with(char::is_whitespace) && !characters.starts_with(char::is_whitespace) {
            self.text.push_str(separator);
        } else if separator.starts_with('\n') {
            self.text.truncate(self.text.trim_end_matches(' ').len());
            self.text.push_str(separator);
        }
        let is_blank = characters.chars().all(char::is_whitespace);
        if is_blank && !self.text.ends_with(char::is_whitespace) {
            self.text.push(' ');
        } else if !is_blank {
            self.text.extend(characters.chars().filter(|c| !c.is_control()));
        }
        self.last = Some(place);
        if self.text.len() > self.max_bytes {
            let end = self.text.floor_char_boundary(self.max_bytes);
            self.text.truncate(end);
            self.is_cut = true;
        }
    }

    /// Tells whether the line before ends in the middle of a word, which goes on with these characters.
    fn joins_a_word(&self, characters: &str) -> bool {
        let mut before = self.text.chars().rev();
        before.next() == Some('-')
            && before.next().is_some_and(char::is_alphabetic)
            && characters.starts_with(char::is_lowercase)
    }

    fn end_page(&mut self) {
        self.last = None;
        if !self.is_cut && !self.text.is_empty() {
            self.text.truncate(self.text.trim_end().len());
            self.text.push_str("\n\n");
        }
    }
}

/// Returns what stands between two glyphs.
fn separator(last: Place, next: Place) -> &'static str {
    let em = last.em.max(next.em).max(f64::MIN_POSITIVE);
    let down = (next.start.y - last.start.y).abs() / em;
    let gap = (next.start.x - last.end.x) / em;
    if down > PARAGRAPH {
        "\n\n"
    } else if down > LINE || gap < -1.0 {
        "\n"
    } else if gap > BLANK {
        " "
    } else {
        ""
    }
}

impl Device<'_> for Glyphs {
    fn draw_glyph(
        &mut self,
        glyph: &Glyph<'_>,
        transform: Affine,
        glyph_transform: Affine,
        _: &Paint<'_>,
        _: &GlyphDrawMode,
    ) {
        if self.is_cut {
            return;
        }
        let Some(characters) = glyph.as_unicode() else { return };
        let characters = match characters {
            BfString::Char(character) => character.to_string(),
            BfString::String(characters) => characters,
        };
        // A glyph is drawn on a grid of 1000 units an em.
        let (place, advance) = match glyph {
            Glyph::Outline(outline) => {
                (transform * glyph_transform, outline.advance_width().unwrap_or(500.0).into())
            }
            Glyph::Type3(_) => (transform * glyph_transform, 500.0),
        };
        let start = place * Point::ORIGIN;
        let up = place * Point::new(0.0, 1000.0);
        let place = Place { start, end: place * Point::new(advance, 0.0), em: start.distance(up) };
        self.add(&characters, place);
    }

    fn set_soft_mask(&mut self, _: Option<SoftMask<'_>>) {}
    fn set_blend_mode(&mut self, _: BlendMode) {}
    fn draw_path(&mut self, _: &BezPath, _: Affine, _: &Paint<'_>, _: &PathDrawMode) {}
    fn push_clip_path(&mut self, _: &ClipPath) {}
    fn push_transparency_group(&mut self, _: f32, _: Option<SoftMask<'_>>, _: BlendMode) {}
    fn draw_image(&mut self, _: Image<'_, '_>, _: Affine) {}
    fn pop_clip_path(&mut self) {}
    fn pop_transparency_group(&mut self) {}
}
