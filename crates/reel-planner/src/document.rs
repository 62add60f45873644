//! What a script is read into.

use pulldown_cmark::HeadingLevel;

use reel_scene::{RichText, Span, SpanStyle};

use super::capacity::is_wide;
use super::speech::is_speakable;

/// Longest text that can stand as a heading, in columns; anything longer is read as a paragraph.
pub(super) const MAX_HEADING_COLUMNS: usize = 100;

#[derive(Default)]
pub(super) struct Document {
    /// The first level 1 heading, when nothing stands before it.
    pub title: Option<String>,
    pub sections: Vec<Section>,
    /// Whether any section has a heading.
    pub headed: bool,
    /// Whether any listing has fences, which indented text lacks.
    pub fenced: bool,
}

#[derive(Default)]
pub(super) struct Section {
    pub heading: Option<String>,
    pub level: Option<HeadingLevel>,
    pub elements: Vec<Element>,
}

pub(super) enum Element {
    Paragraph(RichText),
    Item { number: Option<u32>, text: RichText },
    Quote(RichText),
    Code { language: Option<String>, text: String },
    Formula(String),
    Table { header: Vec<RichText>, rows: Vec<Vec<RichText>> },
}

impl Section {
    /// Whether anything in it can be said, or shown with a line of ours.
    pub fn is_speakable(&self) -> bool {
        self.has_text() || !self.elements.iter().all(Element::is_text)
    }

    /// Whether any of its own text can be said.
    pub fn has_text(&self) -> bool {
        let speakable = |text: &RichText| is_speakable(&text.to_plain());
        self.elements.iter().any(|element| match element {
            Element::Paragraph(text) | Element::Item { text, .. } | Element::Quote(text) => speakable(text),
            Element::Code { .. } | Element::Formula(_) => false,
            Element::Table { header, rows } => rows.iter().chain([header]).flatten().any(speakable),
        })
    }
}

impl Element {
    fn is_text(&self) -> bool {
        !matches!(self, Self::Code { .. } | Self::Formula(_))
    }
}

/// Whitespace collapsed and trimmed; a line break between East Asian characters is no space.
pub(super) fn normalized(spans: Vec<Span>) -> RichText {
    let mut texts: Vec<Span> = Vec::with_capacity(spans.len());
    let (mut before, mut gap) = (None, "");
    for span in spans {
        let mut text = String::with_capacity(span.text.len());
        for c in span.text.chars() {
            if c.is_whitespace() || c == '\0' {
                gap = if c == '\n' || gap == "\n" { "\n" } else { " " };
                continue;
            }
            let joins = gap == "\n" && is_wide(c) && before.is_some_and(is_wide);
            if !gap.is_empty() && before.is_some() && !joins {
                // A space between two runs belongs to the plain one, so that it takes no style.
                let left = texts.last_mut().filter(|left| {
                    text.is_empty() && (left.style == SpanStyle::Plain || span.style != SpanStyle::Plain)
                });
                left.map_or(&mut text, |left| &mut left.text).push(' ');
            }
            gap = "";
            before = Some(c);
            text.push(c);
        }
        if !text.is_empty() {
            texts.push(Span { text, style: span.style });
        }
    }
    RichText(texts)
}
