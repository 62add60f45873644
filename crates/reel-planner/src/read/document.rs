//! A script as sections of elements.

use std::borrow::Cow;

use pulldown_cmark::HeadingLevel;

use reel_scene::{RichText, Span, SpanStyle};

use crate::language::speech::is_speakable;
use crate::language::width::is_wide;

/// Longest text that can stand as a heading, in columns: two lines. Anything longer is read as a paragraph.
pub(crate) const MAX_HEADING_COLUMNS: usize = 100;

#[derive(Default)]
pub(crate) struct Document {
    /// The first level 1 heading, when nothing stands before it.
    pub title: Option<String>,
    pub sections: Vec<Section>,
    /// Set when any section has a heading.
    pub headed: bool,
    /// Set when any listing is fenced; indented text is not.
    pub fenced: bool,
}

#[derive(Default)]
pub(crate) struct Section {
    pub heading: Option<String>,
    pub level: Option<HeadingLevel>,
    /// Words that are said before its text: those of a run-in heading.
    pub opening_words: Option<String>,
    /// A line that is spoken before its text while the heading is shown, and by whom.
    pub lead: Option<(String, u8)>,
    /// The speaker of its text; 0 or 1 is the video's voice.
    pub speaker: u8,
    elements: Vec<Element>,
    /// Set when any of its own text can be spoken.
    has_text: bool,
    /// Set when anything in it can be spoken, or shown with a bridge line.
    is_speakable: bool,
}

pub(crate) enum Element {
    Paragraph(RichText),
    Item { number: Option<u32>, text: RichText },
    Quote(RichText),
    Code { language: Option<String>, text: String },
    Formula(String),
    Table { header: Vec<RichText>, rows: Vec<Vec<RichText>> },
}

impl Section {
    pub fn new(heading: Option<String>, level: Option<HeadingLevel>) -> Self {
        Self { heading, level, ..Self::default() }
    }

    pub fn push(&mut self, element: Element) {
        self.has_text |= element.has_text();
        self.is_speakable |= self.has_text || element.is_picture();
        self.elements.push(element);
    }

    /// Puts short items that follow an item into its text: "Test on the old phones: Android 10, iOS 15". `parent` is the number
    /// of that item among the elements. Longer ones stay items of their own.
    pub fn join_items_below(&mut self, parent: usize) {
        /// Words of an item with those below it.
        const MAX_WORDS: usize = 26;
        /// Words of an item below another.
        const MAX_ITEM_WORDS: usize = 8;
        let Some((Element::Item { text, .. }, below)) =
            self.elements.get_mut(parent..).and_then(<[Element]>::split_first_mut)
        else {
            return;
        };
        let texts: Option<Vec<&RichText>> = below
            .iter()
            .map(|element| match element {
                Element::Item { text, .. } => Some(text),
                _ => None,
            })
            .collect();
        let Some(texts) = texts.filter(|texts| !texts.is_empty()) else { return };
        let plain: Vec<String> = texts.iter().map(|text| text.to_plain()).collect();
        let words = |text: &str| text.split_whitespace().count();
        let all = words(&text.to_plain()) + plain.iter().map(|text| words(text)).sum::<usize>();
        let ends = |text: &str| text.ends_with(['.', '!', '?', '。']);
        let are_short = plain.iter().all(|text| words(text) <= MAX_ITEM_WORDS && !ends(text));
        if !are_short || all > MAX_WORDS || ends(&text.to_plain()) {
            return;
        }
        let mark = if plain.iter().any(|text| text.contains(',')) { "; " } else { ", " };
        let has_colon = text.to_plain().ends_with([':', '：']);
        let span = |text: &str| Span { text: text.to_owned(), style: SpanStyle::Plain };
        let mut joined = text.0.clone();
        joined.push(span(if has_colon { " " } else { ": " }));
        for (index, text) in texts.into_iter().enumerate() {
            if index > 0 {
                joined.push(span(mark));
            }
            // "Opened: 312" below "Tickets" is "Tickets: Opened 312".
            joined.extend(
                text.0.iter().map(|part| Span { text: part.text.replacen(": ", " ", 1), ..part.clone() }),
            );
        }
        *text = normalize_spaces(joined);
        self.elements.truncate(parent + 1);
    }

    pub fn elements(&self) -> &[Element] {
        &self.elements
    }

    pub fn into_elements(self) -> Vec<Element> {
        self.elements
    }

    pub fn has_text(&self) -> bool {
        self.has_text
    }

    pub fn is_speakable(&self) -> bool {
        self.is_speakable
    }
}

impl Element {
    /// Returns `true` for an element without words of its own, which needs a bridge line.
    fn is_picture(&self) -> bool {
        matches!(self, Self::Code { .. } | Self::Formula(_))
    }

    fn has_text(&self) -> bool {
        let speakable = |text: &RichText| text.0.iter().any(|span| is_speakable(&span.text));
        match self {
            Self::Paragraph(text) | Self::Item { text, .. } | Self::Quote(text) => speakable(text),
            Self::Code { .. } | Self::Formula(_) => false,
            Self::Table { header, rows } => rows.iter().chain([header]).flatten().any(speakable),
        }
    }
}

/// Replaces every control character but line ends and tabs with a space: it is no text, and cannot be drawn.
pub(crate) fn replace_control_characters(text: &str) -> Cow<'_, str> {
    let is_foreign = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if text.contains(is_foreign) { Cow::Owned(text.replace(is_foreign, " ")) } else { Cow::Borrowed(text) }
}

/// Collapses whitespace and trims it; a line break between East Asian characters is no space.
pub(crate) fn normalize_spaces(spans: Vec<Span>) -> RichText {
    let mut texts: Vec<Span> = Vec::with_capacity(spans.len());
    let (mut before, mut gap) = (None, "");
    for span in spans {
        let mut text = String::with_capacity(span.text.len());
        for c in span.text.chars() {
            if c.is_whitespace() {
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
