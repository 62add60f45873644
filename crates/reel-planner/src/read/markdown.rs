//! Reads Markdown, or plain text, into sections of elements.
//!
//! Only Markdown's own syntax and formulas are interpreted; of HTML, the text is read. Anything that means something to a
//! typesetter is literal text; links are read as their text and images as their alternative text.

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use reel_scene::{RichText, Span, SpanStyle};

use crate::language::formulas::is_formula;
use crate::language::speech::is_speakable;
use crate::language::topics;
use crate::language::width::columns;
use crate::language::words::word_count;
use crate::read::dialogue::{self, Dialogue};
use crate::read::document::{
    Document, Element, MAX_HEADING_COLUMNS, Section, normalize_spaces, replace_control_characters,
};
use crate::read::formulas::join_display_formulas;
use crate::read::html;
use crate::read::long_items;
use crate::read::loose_lines;
use crate::read::run_in;
use crate::read::titles;

/// Longest name of a programming language.
const MAX_LANGUAGE_CHARS: usize = 40;

/// Reads a script. Without any heading, every paragraph begins a section, and every topic of a long one.
pub(crate) fn read(source: &str) -> Document {
    let source = replace_control_characters(source);
    let (front_title, source) = titles::take_front_matter(&source);
    let header = titles::take_message_header(source);
    let (subject, source) = header.map_or((None, source), |(subject, rest)| (Some(subject.to_owned()), rest));
    let source = loose_lines::as_markdown(&join_display_formulas(source));
    let mut document = read_body(&source);
    if let Some(title) = front_title.or(subject).filter(|title| is_title(title)) {
        document.title = Some(title);
    }
    document
}

fn is_title(text: &str) -> bool {
    is_speakable(text) && columns(text) <= MAX_HEADING_COLUMNS
}

fn read_body(source: &str) -> Document {
    if let Some((line, rest)) = titles::take_title_line(source)
        // The first words of a dialogue are no title.
        && (!dialogue::is_turn(line) || Dialogue::find(source).is_none())
        && let Some(title) = read_title_line(line)
    {
        let document = read_untitled(rest);
        if document.title.is_none() && document.sections.iter().any(Section::is_speakable) {
            return Document { title: Some(title), ..document };
        }
    }
    read_untitled(source)
}

/// Returns the words of a line that is a paragraph of its own.
fn read_title_line(line: &str) -> Option<String> {
    let mut document = parse(line);
    let section = document.sections.pop().filter(|_| document.sections.is_empty())?;
    match section.elements() {
        [Element::Paragraph(text)] if section.heading.is_none() => {
            Some(text.to_plain()).filter(|title| is_title(title))
        }
        _ => None,
    }
}

fn read_untitled(source: &str) -> Document {
    if let Some((dialogue, separated)) = Dialogue::find(source) {
        return dialogue.divide(parse(&separated));
    }
    let document = long_items::divide(run_in::divide(parse(source)));
    if document.headed {
        return document;
    }
    let is_prose = |element: &Element| matches!(element, Element::Paragraph(_) | Element::Code { .. });
    let indented = document.title.is_none()
        && !document.fenced
        && document.sections.iter().flat_map(Section::elements).all(is_prose);
    if indented {
        // Text whose paragraphs are merely indented is prose, not code.
        let flush_left: Vec<&str> = source.lines().map(str::trim_start).collect();
        return split_at_paragraphs(parse(&flush_left.join("\n")));
    }
    split_at_paragraphs(document)
}

fn parse(source: &str) -> Document {
    let mut reader = Reader::default();
    for event in
        Parser::new_ext(source, Options::ENABLE_TABLES | Options::ENABLE_MATH | Options::ENABLE_TASKLISTS)
    {
        reader.read(event);
    }
    reader.finish()
}

/// Headings of a script's sections, with how many elements each has: for tests of what divides them.
#[cfg(test)]
pub(super) fn sections(script: &str) -> Vec<(String, usize)> {
    let sections = read(script).sections.into_iter();
    sections.map(|section| (section.heading.clone().unwrap_or_default(), section.elements().len())).collect()
}

/// Begins a section with every paragraph, and with every topic of a long one.
fn split_at_paragraphs(document: Document) -> Document {
    let mut sections: Vec<Section> = Vec::new();
    for section in document.sections {
        sections.push(Section::default());
        for element in section.into_elements().into_iter().flat_map(split_at_topics) {
            // The second of two sides stands beside the first.
            let joins = run_in::is_side(&element)
                && sections.last().is_some_and(|last| last.elements().first().is_some_and(run_in::is_side));
            let begins = matches!(element, Element::Paragraph(_)) && !joins;
            if begins && sections.last().is_some_and(Section::has_text) {
                sections.push(Section::default());
            }
            if let Some(section) = sections.last_mut() {
                section.push(element);
            }
        }
    }
    sections.retain(|section| !section.elements().is_empty());
    Document { sections: join_salutations(sections), ..document }
}

/// Says "Dear colleagues," before what follows: a page of its own would show nothing else.
fn join_salutations(sections: Vec<Section>) -> Vec<Section> {
    const MAX_WORDS: usize = 5;
    const MAX_COLUMNS: usize = 60;
    let salutation = |section: &Section| match section.elements() {
        [Element::Paragraph(text)] => {
            let is_short = |text: &str| word_count(text) <= MAX_WORDS && columns(text) <= MAX_COLUMNS;
            Some(text.to_plain()).filter(|text| text.ends_with(',') && is_short(text))
        }
        _ => None,
    };
    let mut joined: Vec<Section> = Vec::with_capacity(sections.len());
    let mut said = None;
    let last = sections.len().saturating_sub(1);
    for (at, mut section) in sections.into_iter().enumerate() {
        let begins_with_text = matches!(section.elements().first(), Some(Element::Paragraph(_)));
        if at < last
            && said.is_none()
            && let Some(text) = salutation(&section)
        {
            said = Some((text, section));
            continue;
        }
        match said.take() {
            Some((text, _)) if begins_with_text => section.opening_words = Some(text),
            Some((_, alone)) => joined.push(alone),
            None => {}
        }
        joined.push(section);
    }
    joined
}

/// Divides a long paragraph into several.
fn split_at_topics(element: Element) -> Vec<Element> {
    match element {
        Element::Paragraph(text) => topics::divide(text).into_iter().map(Element::Paragraph).collect(),
        element => vec![element],
    }
}

/// Collects the events of the Markdown parser into a document.
#[derive(Default)]
struct Reader {
    document: Document,
    section: Section,
    /// Runs of the text since the last block boundary; a line break is a `\n` in them.
    inline: Vec<Span>,
    strong: usize,
    emphasis: usize,
    quotes: usize,
    /// Open lists, each with its next number when it is ordered.
    lists: Vec<Option<u64>>,
    /// For each open list, the number of the item that it stands below.
    parents: Vec<Option<usize>>,
    /// The marker of an item whose text has not come yet.
    marker: Option<Option<u32>>,
    code: Option<(Option<String>, String)>,
    table: Option<(Vec<RichText>, Vec<Vec<RichText>>)>,
    row: Vec<RichText>,
    in_heading: bool,
    /// The HTML of a block that has not ended.
    html: Option<String>,
    /// Open pictures whose text is left out.
    silent: usize,
}

impl Reader {
    fn read(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => match &mut self.code {
                Some((_, listing)) => listing.push_str(&text),
                None => self.push(&text, self.style()),
            },
            Event::Code(text) => self.push(&text, SpanStyle::Code),
            Event::Html(text) => match &mut self.html {
                Some(html) => html.push_str(&text),
                None => self.push(&html::text_of(&text), self.style()),
            },
            Event::InlineHtml(text) => self.push(&html::text_in_line(&text), self.style()),
            Event::InlineMath(text) if is_formula(&text) => self.push(&text, SpanStyle::Math),
            Event::InlineMath(text) => self.push(&format!("${text}$"), self.style()),
            Event::DisplayMath(text) => self.formula(&text),
            Event::SoftBreak | Event::HardBreak => self.push("\n", self.style()),
            Event::Rule => self.scene_break(),
            Event::FootnoteReference(text) => self.push(&format!("[^{text}]"), self.style()),
            Event::TaskListMarker(done) => self.push(if done { "✅ " } else { "⬜ " }, self.style()),
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Strong => self.strong += 1,
            Tag::Emphasis => self.emphasis += 1,
            Tag::Image { dest_url, .. } => {
                // The alternative text of a picture is not part of a heading.
                let is_silent = self.silent > 0 || self.in_heading || html::is_badge(&dest_url);
                self.silent += usize::from(is_silent);
            }
            Tag::Link { .. } | Tag::TableHead | Tag::TableRow | Tag::TableCell => {}
            block => {
                self.flush();
                self.start_block(block);
            }
        }
    }

    fn start_block(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Heading { .. } => self.in_heading = true,
            Tag::BlockQuote(_) => self.quotes += 1,
            Tag::List(first) => {
                let last = self.section.elements().len().checked_sub(1);
                let is_below = !self.lists.is_empty()
                    && matches!(self.section.elements().last(), Some(Element::Item { .. }));
                self.parents.push(last.filter(|_| is_below));
                self.lists.push(first);
            }
            Tag::Item => {
                let number = self.lists.last_mut().and_then(Option::as_mut).map(|next| {
                    *next += 1;
                    u32::try_from(*next - 1).unwrap_or(u32::MAX)
                });
                self.marker = Some(number);
            }
            Tag::CodeBlock(kind) => {
                self.document.fenced |= matches!(kind, CodeBlockKind::Fenced(_));
                self.code = Some((language(&kind), String::new()));
            }
            Tag::Table(_) => self.table = Some((Vec::new(), Vec::new())),
            Tag::HtmlBlock => self.html = Some(String::new()),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Strong => self.strong -= 1,
            TagEnd::Emphasis => self.emphasis -= 1,
            TagEnd::Link => {}
            TagEnd::Image => self.silent = self.silent.saturating_sub(1),
            TagEnd::TableCell => {
                let cell = self.take_text();
                self.row.push(cell);
            }
            TagEnd::TableHead => {
                if let Some((header, _)) = &mut self.table {
                    *header = std::mem::take(&mut self.row);
                }
            }
            TagEnd::TableRow => {
                if let Some((_, rows)) = &mut self.table {
                    rows.push(std::mem::take(&mut self.row));
                }
            }
            TagEnd::Heading(level) => self.heading(level),
            TagEnd::HtmlBlock => {
                let html = self.html.take().unwrap_or_default();
                for line in html::text_of(&html).lines().filter(|line| !line.trim().is_empty()) {
                    self.push(line, self.style());
                    self.flush();
                }
            }
            block => {
                self.flush();
                self.end_block(block);
            }
        }
    }

    fn end_block(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::BlockQuote(_) => self.quotes -= 1,
            TagEnd::List(_) => {
                self.lists.pop();
                if let Some(parent) = self.parents.pop().flatten() {
                    self.section.join_items_below(parent);
                }
            }
            TagEnd::Item => self.marker = None,
            TagEnd::CodeBlock => self.listing(),
            TagEnd::Table => {
                if let Some((header, rows)) = self.table.take() {
                    self.section.push(Element::Table { header, rows });
                }
            }
            _ => {}
        }
    }

    fn style(&self) -> SpanStyle {
        match (self.strong, self.emphasis) {
            (0, 0) => SpanStyle::Plain,
            (0, _) => SpanStyle::Emphasis,
            _ => SpanStyle::Strong,
        }
    }

    fn push(&mut self, text: &str, style: SpanStyle) {
        if self.silent > 0 {
            return;
        }
        match self.inline.last_mut() {
            Some(last) if last.style == style => last.text.push_str(text),
            _ => self.inline.push(Span { text: text.to_owned(), style }),
        }
    }

    fn formula(&mut self, latex: &str) {
        // A cell or a heading has no room for a displayed formula.
        if self.table.is_some() || self.in_heading || latex.trim().is_empty() {
            return self.push(&format!("$${latex}$$"), self.style());
        }
        self.flush();
        self.section.push(Element::Formula(latex.trim().to_owned()));
    }

    fn listing(&mut self) {
        let Some((language, text)) = self.code.take() else { return };
        let text = text.trim_end().to_owned();
        if !text.trim().is_empty() {
            self.section.push(Element::Code { language, text });
        }
    }

    /// Ends the text read so far and files it by where it stood.
    fn flush(&mut self) {
        let inline = std::mem::take(&mut self.inline);
        let lines = if self.marker.is_none() { run_in::lines(inline) } else { vec![inline] };
        for line in lines {
            self.file(normalize_spaces(line));
        }
    }

    fn file(&mut self, mut text: RichText) {
        if text.0.is_empty() {
            return;
        }
        if self.quotes > 0 {
            text = run_in::read_mark(text);
        }
        let element = match self.marker.take() {
            Some(number) => Element::Item { number, text },
            None if self.quotes > 0 && !run_in::is_callout(&text) => Element::Quote(text),
            None => Element::Paragraph(text),
        };
        self.section.push(element);
    }

    fn take_text(&mut self) -> RichText {
        normalize_spaces(std::mem::take(&mut self.inline))
    }

    fn heading(&mut self, level: HeadingLevel) {
        self.in_heading = false;
        let text = self.take_text();
        let heading = text.to_plain();
        if !is_speakable(&heading) || columns(&heading) > MAX_HEADING_COLUMNS {
            // Too long for a heading, or nothing but signs: shown as a text.
            self.inline = text.0;
            return self.flush();
        }
        let nothing_before = self.document.sections.is_empty() && self.section.elements().is_empty();
        let first = nothing_before && self.section.heading.is_none() && self.document.title.is_none();
        if first && level == HeadingLevel::H1 {
            self.document.title = Some(heading);
            return;
        }
        self.document.headed = true;
        let heading = self.under_parent(heading, level);
        self.next_section(Section::new(Some(heading), Some(level)));
    }

    /// A heading directly below a higher one, with nothing in between, speaks for both.
    fn under_parent(&mut self, heading: String, level: HeadingLevel) -> String {
        let is_parent = self.section.level.is_some_and(|parent| parent < level);
        if !is_parent || !self.section.elements().is_empty() {
            return heading;
        }
        let fits = |parent: &mut String| columns(parent) + columns(&heading) + 2 <= MAX_HEADING_COLUMNS;
        match self.section.heading.take_if(fits) {
            Some(parent) => format!("{parent}: {heading}"),
            None => heading,
        }
    }

    fn scene_break(&mut self) {
        self.flush();
        if self.section.is_speakable() {
            self.next_section(Section::new(self.section.heading.clone(), self.section.level));
        }
    }

    fn next_section(&mut self, next: Section) {
        let section = std::mem::replace(&mut self.section, next);
        if section.heading.is_some() || !section.elements().is_empty() {
            self.document.sections.push(section);
        }
    }

    fn finish(mut self) -> Document {
        self.flush();
        self.next_section(Section::default());
        self.document
    }
}

/// Returns the first word of a fence's info string; a word too long for the name of a language is none.
fn language(kind: &CodeBlockKind<'_>) -> Option<String> {
    let CodeBlockKind::Fenced(info) = kind else { return None };
    info.split([' ', ',', '{'])
        .next()
        .filter(|word| (1..=MAX_LANGUAGE_CHARS).contains(&word.chars().count()))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paragraph(script: &str) -> RichText {
        match read(script).sections.remove(0).into_elements().remove(0) {
            Element::Paragraph(text) => text,
            _ => panic!("{script:?} is no paragraph"),
        }
    }

    #[test]
    fn badges_comments_and_tags_are_not_read_aloud() {
        let document = read(
            "<p align=\"center\">\n  <img src=\"logo.png\">\n</p>\n\n\
             # aHash ![Build](https://img.shields.io/x) ![Logo](logo.png)\n\n\
             [![Licence](https://img.shields.io/l)](https://example.org)\n\n\
             It is **fast**.<br>It is small. A `Vec<T>` and a Vec<T> stay.\n\n\
             <!-- a comment\nover lines -->\n\n<details><summary>More</summary>It hashes.</details>\n\n\
             ![A heart in two halves](https://example.org/heart.png)\n",
        );
        let texts: Vec<String> = document
            .sections
            .iter()
            .flat_map(Section::elements)
            .map(|element| match element {
                Element::Paragraph(text) => text.to_plain(),
                _ => panic!("only paragraphs are here"),
            })
            .collect();
        assert_eq!(document.title.as_deref(), Some("aHash"));
        assert_eq!(
            texts,
            [
                "It is fast. It is small. A Vec<T> and a Vec<T> stay.",
                "More",
                "It hashes.",
                "A heart in two halves"
            ]
        );
    }

    #[test]
    fn styles_are_kept_and_take_no_spaces() {
        let text =
            paragraph("Call `f` or *go*\n**now** with [a link](https://example.org) and ![a cat](cat.png)");
        let runs: Vec<(&str, SpanStyle)> =
            text.0.iter().map(|span| (span.text.as_str(), span.style)).collect();
        assert_eq!(runs[1], ("f", SpanStyle::Code));
        assert_eq!(runs[2], (" or ", SpanStyle::Plain));
        assert_eq!(text.to_plain(), "Call f or go now with a link and a cat");
    }

    #[test]
    fn what_is_not_markdown_stays_literal() {
        for literal in [
            "a <script>alert(1)</script> b",
            "#read(\"/etc/passwd\")",
            "#import x: *",
            "pay $5$ or 6$ now",
            "between $5 and more of it, or 7$ later",
        ] {
            assert_eq!(paragraph(literal).to_plain(), literal);
        }
        assert_eq!(paragraph("<div>\nx\n</div>").to_plain(), "x");
    }

    #[test]
    fn short_items_below_an_item_are_told_with_it() {
        let items = |script: &str| -> Vec<String> {
            let elements = read(script).sections.remove(0).into_elements().into_iter();
            elements
                .filter_map(|element| match element {
                    Element::Item { text, .. } => Some(text.to_plain()),
                    _ => None,
                })
                .collect()
        };
        for (script, expected) in [
            (
                "- Test on old phones\n  - Android 10\n  - iOS 15\n- Write",
                &["Test on old phones: Android 10, iOS 15", "Write"][..],
            ),
            ("- Tickets:\n  - Opened: 312\n  - Closed: 340", &["Tickets: Opened 312, Closed 340"]),
            ("- A\n  - B, c\n    - d\n  - E", &["A: B, c d; E"]),
            ("- It is so.\n  - B", &["It is so.", "B"]),
            (
                "- A\n  - one two three four five six seven eight nine",
                &["A", "one two three four five six seven eight nine"],
            ),
        ] {
            assert_eq!(items(script), expected, "{script}");
        }
    }

    #[test]
    fn formulas_in_a_line_are_formulas() {
        let text = paragraph("Here $\\rho$ is the density, and $x_1$ costs $5.");
        let formulas: Vec<&str> = text
            .0
            .iter()
            .filter(|span| span.style == SpanStyle::Math)
            .map(|span| span.text.as_str())
            .collect();
        assert_eq!(formulas, ["\\rho", "x_1"]);
    }

    #[test]
    fn headings_begin_sections_and_lone_parents_speak_with_their_child() {
        let document = read("# Title\n\nIntro.\n\n## A\n\n### B\n\nText.\n\n## C\n\nMore.\n\n---\n\nEnd.");
        assert_eq!(document.title.as_deref(), Some("Title"));
        let headings: Vec<_> = document.sections.iter().map(|section| section.heading.as_deref()).collect();
        assert_eq!(headings, [None, Some("A: B"), Some("C"), Some("C")]);
    }

    #[test]
    fn indented_paragraphs_are_prose_where_nothing_is_markdown() {
        let document = read("    Once there was a log.\n\n    It grew.");
        assert_eq!(document.sections.len(), 2);
        assert!(matches!(document.sections[0].elements()[0], Element::Paragraph(_)));
    }

    #[test]
    fn lines_of_east_asian_text_join_without_a_space() {
        assert_eq!(paragraph("状態は\n次です").to_plain(), "状態は次です");
    }
}
