//! Divides a section into passages, the pieces that stay together on a page.
//!
//! A passage is a sentence, an item, a quotation, a table or a part of a listing, with the lines spoken for
//! it. What has no words of its own joins a neighbour of its section: a formula appears with the sentence
//! before it, and a listing is carried by that sentence and shown from the first line of its scene.

use reel_scene::{Block, Reveal, RichText, Step};

use crate::arrange::capacity::{PAGE_HEIGHT_PX, block_height_px, code_rows_beside, row_height_px};
use crate::arrange::listing;
use crate::arrange::tables::{join, row_steps};
use crate::language::sentences::{self, MAX_COLUMNS};
use crate::language::speech::{is_speakable, speak, speak_plain};
use crate::language::width::columns;
use crate::language::words::word_count;
use crate::read::document::{Element, MAX_HEADING_COLUMNS};
use crate::read::{animations, diagrams};

/// Blocks that may wait for the first passage of their section: more would fill its page.
const MAX_WAITING: usize = 2;
/// Formulas that appear with one sentence at most: with more, the sentence is over before they are read.
const MAX_FORMULAS: usize = 3;
/// A formula longer than this cannot be typeset on a line and is shown as source.
const MAX_FORMULA_CHARS: usize = 600;
/// Rows of a table on one page at most, besides its header, so that each can be read while it is spoken.
const MAX_TABLE_ROWS: usize = 8;
/// Columns of a table at most, as many as a scene may have: a wider table is shown as text.
const MAX_TABLE_COLUMNS: usize = 12;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sentence,
    Item,
    Quote,
    Table,
    /// A line of narration that the script does not have: for a listing, a formula, a bare heading.
    Bridge,
}

#[derive(Debug, Clone)]
pub(crate) struct Passage {
    pub kind: Kind,
    /// Laid out in this order; `steps` index into them.
    blocks: Vec<Block>,
    /// Pixels that `blocks` take. Kept, since it is asked for again and again.
    text_height_px: u32,
    pub steps: Vec<Step>,
    /// Shown below everything else on the page, from its first step on.
    pub listing: Option<Block>,
    /// Place within its paragraph, list, quotation, table or listing, from 0.
    pub position: usize,
    /// Set for the later part of a divided sentence.
    pub continues: bool,
    /// Set when words are said before it that are not in its text.
    pub has_opening: bool,
}

impl Passage {
    fn new(kind: Kind, position: usize, blocks: Vec<Block>, steps: Vec<Step>) -> Self {
        let text_height_px = height_px(&blocks);
        Self {
            kind,
            blocks,
            text_height_px,
            steps,
            listing: None,
            position,
            continues: false,
            has_opening: false,
        }
    }

    /// A line of narration with nothing of its own to show.
    pub fn bridge(narration: &str) -> Self {
        Self::new(Kind::Bridge, 0, Vec::new(), vec![step(narration.to_owned(), &[])])
    }

    /// Its blocks, without the listing.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    pub fn height_px(&self) -> u32 {
        self.text_height_px.saturating_add(self.listing.as_ref().map_or(0, block_height_px))
    }

    /// Returns the text of a sentence or quotation that shows nothing else.
    pub fn lone_text(&self) -> Option<&RichText> {
        match (self.blocks.as_slice(), &self.listing) {
            ([Block::Paragraph { text } | Block::Quote { text, .. }], None) => Some(text),
            _ => None,
        }
    }

    /// Returns how many words are spoken for it.
    pub fn spoken_words(&self) -> usize {
        self.steps.iter().map(|step| word_count(&step.narration)).sum()
    }

    /// Returns `true` for a sentence that is only spoken.
    pub fn is_aside(&self) -> bool {
        self.kind == Kind::Sentence && self.blocks.is_empty() && self.listing.is_none()
    }

    /// Returns `true` for a sentence that can become an aside: it shows nothing else, and introduces nothing.
    pub fn can_be_aside(&self) -> bool {
        let leads_in = |text: &RichText| text.to_plain().ends_with([':', '：']);
        self.kind == Kind::Sentence && self.lone_text().is_some_and(|text| !leads_in(text))
    }

    /// Turns the passage into an aside.
    pub fn set_aside(&mut self) {
        self.blocks.clear();
        self.text_height_px = 0;
        self.steps.iter_mut().for_each(|step| step.reveals.clear());
    }

    /// Says words before its first line.
    pub fn say_first(&mut self, words: &str) {
        if let (Some(spoken), Some(first)) = (speak_plain(words), self.steps.first_mut()) {
            first.narration = format!("{spoken} {}", first.narration);
            self.has_opening = true;
        }
    }

    /// Puts blocks above its own; they appear with its first line.
    pub fn prepend(&mut self, above: Vec<Block>) {
        let count = above.len();
        self.text_height_px = self.text_height_px.saturating_add(height_px(&above));
        for reveal in self.steps.iter_mut().flat_map(|step| &mut step.reveals) {
            reveal.block += count;
        }
        if let Some(first) = self.steps.first_mut() {
            first.reveals.splice(0..0, (0..count).map(|block| Reveal { block, part: None }));
        }
        self.blocks.splice(0..0, above);
    }

    /// Puts a block below its own; it appears with its last line.
    fn append(&mut self, block: Block) {
        if let Some(last) = self.steps.last_mut() {
            last.reveals.push(Reveal { block: self.blocks.len(), part: None });
        }
        self.text_height_px = self.text_height_px.saturating_add(block_height_px(&block));
        self.blocks.push(block);
    }

    fn has_room_for(&self, block: &Block) -> bool {
        self.height_px().saturating_add(block_height_px(block)) <= PAGE_HEIGHT_PX
    }

    fn takes_formula(&self, formula: &Block) -> bool {
        let formulas = self.blocks.iter().filter(|block| matches!(block, Block::Formula { .. })).count();
        self.kind != Kind::Table && formulas < MAX_FORMULAS && self.has_room_for(formula)
    }
}

/// Divides a section's elements into passages, in order. A section with nothing to say says its heading.
pub(crate) fn divide(elements: &[Element], heading: &str) -> Vec<Passage> {
    let mut builder = Builder::default();
    let mut item = 0;
    for element in elements {
        item = if matches!(element, Element::Item { .. }) { item + 1 } else { 0 };
        match element {
            Element::Paragraph(text) => builder.paragraph(text),
            Element::Item { number, text } => builder.item(*number, text, item - 1),
            Element::Quote(text) => builder.quote(text),
            Element::Code { language, text } => builder.code(language.as_deref(), text),
            Element::Formula(latex) => builder.formula(latex),
            Element::Table { header, rows } => builder.table(header, rows),
        }
    }
    builder.finish(heading)
}

#[derive(Default)]
struct Builder {
    passages: Vec<Passage>,
    /// Blocks that had no passage before them and appear with the next.
    waiting: Vec<Block>,
    /// A listing that had no passage before it.
    waiting_listing: Option<Block>,
}

impl Builder {
    fn paragraph(&mut self, text: &RichText) {
        // "Exactly." is said, and too little to be shown.
        let plain = text.to_plain();
        let from = interjection_end(&plain);
        let rest =
            from.and_then(|from| sentences::slices(text, std::slice::from_ref(&(from..plain.len()))).pop());
        let before = self.passages.len();
        for (position, piece) in sentences::split(rest.as_ref().unwrap_or(text)).into_iter().enumerate() {
            self.text(Kind::Sentence, position, piece, |text| Block::Paragraph { text });
        }
        if let (Some(from), Some(first)) = (from, self.passages.get_mut(before)) {
            first.say_first(&plain[..from]);
        }
    }

    fn quote(&mut self, text: &RichText) {
        for (position, piece) in split_long(text).into_iter().enumerate() {
            self.text(Kind::Quote, position, piece, |text| Block::Quote { text, by: String::new() });
        }
    }

    fn item(&mut self, number: Option<u32>, text: &RichText, position: usize) {
        for (part, piece) in split_long(text).into_iter().enumerate() {
            let (kind, position) = if part == 0 { (Kind::Item, position) } else { (Kind::Sentence, part) };
            self.text(kind, position, piece, |text| match (part, number) {
                (0, Some(number)) => Block::Numbered { number, text },
                (0, None) => Block::Bullet { text },
                // What an item says after its first part stands below it, without a mark of its own.
                _ => Block::Paragraph { text },
            });
        }
    }

    fn text(
        &mut self,
        kind: Kind,
        position: usize,
        piece: sentences::Piece,
        show: impl FnOnce(RichText) -> Block,
    ) {
        let Some(narration) = speak(&piece.text) else { return self.show_unspoken(show(piece.text)) };
        let passage = Passage::new(kind, position, vec![show(piece.text)], vec![step(narration, &[0])]);
        self.push(Passage { continues: piece.continues, ..passage });
    }

    /// Shows what cannot be said together with what is said next to it. Only a run of signs that is
    /// longer than a page can show is left out.
    fn show_unspoken(&mut self, block: Block) {
        match self.passages.last_mut() {
            Some(last) if last.has_room_for(&block) => last.append(block),
            None if self.waiting.len() < MAX_WAITING => self.waiting.push(block),
            _ => {}
        }
    }

    fn formula(&mut self, latex: &str) {
        if latex.chars().count() > MAX_FORMULA_CHARS {
            return self.code(Some("latex"), latex);
        }
        let block = Block::Formula { latex: latex.to_owned() };
        match self.passages.last_mut().filter(|last| last.takes_formula(&block)) {
            Some(last) => last.append(block),
            None => self.waiting.push(block),
        }
        if self.waiting.len() > MAX_WAITING {
            self.push(Passage::bridge("As a formula."));
        }
    }

    fn code(&mut self, language: Option<&str>, text: &str) {
        /// Room left for a sentence of two lines that has not come yet.
        const NEXT_SENTENCE_PX: u32 = 152;
        let carrier =
            self.passages.last_mut().filter(|last| last.listing.is_none() && last.kind != Kind::Table);
        let beside = carrier.as_ref().map_or(NEXT_SENTENCE_PX, |carrier| carrier.text_height_px);
        let diagram = animations::read(language, text).or_else(|| diagrams::read(language, text));
        let mut line = bridge_to(diagram.as_ref());
        let parts: Vec<Block> = match diagram {
            Some(diagram) => vec![diagram],
            None => {
                let parts = listing::divide(text, code_rows_beside(beside)).into_iter();
                let language = || language.map(str::to_owned);
                parts.map(|text| Block::Code { language: language(), text, groups: vec![] }).collect()
            }
        };
        let whole = parts.len() == 1;
        let mut parts = parts.into_iter();
        if let Some(carrier) = carrier {
            carrier.listing = parts.next();
            line = "The code continues.";
        } else if whole && self.waiting_listing.is_none() {
            self.waiting_listing = parts.next();
        }
        for (position, part) in parts.enumerate() {
            self.push(Passage { listing: Some(part), position, ..Passage::bridge(line) });
            line = "The code continues.";
        }
    }

    fn table(&mut self, header: &[RichText], rows: &[Vec<RichText>]) {
        if rows.is_empty() || header.len() > MAX_TABLE_COLUMNS {
            return self.cells(header, rows);
        }
        let empty_px = block_height_px(&Block::Table { header: header.to_vec(), rows: vec![] });
        let heights: Vec<u32> = rows.iter().map(|row| row_height_px(row)).collect();
        let fits =
            |rows: &[u32]| rows.iter().fold(empty_px, |sum, row| sum.saturating_add(*row)) <= PAGE_HEIGHT_PX;
        if !heights.iter().all(|row| fits(&[*row])) {
            return self.cells(header, rows);
        }
        // As few pages as can be, with as many rows each, or one less.
        let least = rows.len().div_ceil(MAX_TABLE_ROWS);
        let parts = (least..=rows.len()).find(|parts| evenly(&heights, *parts).all(fits));
        let parts = parts.unwrap_or(rows.len());
        for (position, rows) in evenly(rows, parts).enumerate() {
            let steps = row_steps(header, rows);
            if steps.is_empty() {
                self.cells(header, rows);
            } else {
                let table = Block::Table { header: header.to_vec(), rows: rows.to_vec() };
                self.push(Passage::new(Kind::Table, position, vec![table], steps));
            }
        }
    }

    /// Shows a table as text, because it is all header, has nothing to say, or is taller or wider than a page.
    fn cells(&mut self, header: &[RichText], rows: &[Vec<RichText>]) {
        if rows.is_empty() {
            return self.paragraph(&join(header, ", "));
        }
        // A long header is said once, so that what is said stays in proportion to what is written.
        let label_all = header.iter().all(|label| columns(&label.to_plain()) <= MAX_HEADING_COLUMNS);
        if !label_all {
            self.paragraph(&join(header, ", "));
        }
        for row in rows {
            for (column, cell) in row.iter().enumerate().filter(|(_, cell)| !cell.0.is_empty()) {
                let label = header.get(column).filter(|label| label_all && !label.0.is_empty()).cloned();
                let labelled: Vec<RichText> = label.into_iter().chain([cell.clone()]).collect();
                self.paragraph(&join(&labelled, ": "));
            }
        }
    }

    fn push(&mut self, mut passage: Passage) {
        passage.prepend(std::mem::take(&mut self.waiting));
        if passage.listing.is_none() && passage.kind != Kind::Table {
            passage.listing = self.waiting_listing.take();
        }
        self.passages.push(passage);
    }

    fn finish(mut self, heading: &str) -> Vec<Passage> {
        if let Some(listing) = self.waiting_listing.take() {
            let line = bridge_to(Some(&listing));
            self.push(Passage { listing: Some(listing), ..Passage::bridge(line) });
        } else if self.waiting.iter().any(|block| matches!(block, Block::Formula { .. })) {
            self.push(Passage::bridge("As a formula."));
        } else if let Some(narration) = speak_plain(heading).filter(|_| self.passages.is_empty()) {
            self.push(Passage::bridge(&narration));
        }
        self.passages
    }
}

/// Returns where a text goes on after a first sentence of a word or two that only answers.
fn interjection_end(text: &str) -> Option<usize> {
    const WORDS: [&str; 28] = [
        "yes",
        "no",
        "exactly",
        "right",
        "sure",
        "absolutely",
        "of course",
        "true",
        "indeed",
        "not really",
        "not quite",
        "well",
        "correct",
        "precisely",
        "definitely",
        "certainly",
        "ja",
        "nein",
        "genau",
        "sí",
        "oui",
        "non",
        "good question",
        "great question",
        "often, yes",
        "yes and no",
        "not always",
        "it depends",
    ];
    const MAX_BYTES: usize = 20;
    let end = [". ", "! "].iter().filter_map(|stop| text.find(stop)).min().filter(|end| *end < MAX_BYTES)?;
    let rest = &text[end + 2..];
    let is_answer = WORDS.contains(&text[..end].to_lowercase().as_str());
    // "No. 5" is a number.
    (is_answer && is_speakable(rest) && !rest.starts_with(|c: char| c.is_ascii_digit())).then_some(end + 2)
}

/// Returns what is said of a listing that nothing is said of.
fn bridge_to(listing: Option<&Block>) -> &'static str {
    match listing {
        None | Some(Block::Code { .. }) => "Here is the code.",
        Some(Block::Manim { .. }) => "Here is the animation.",
        Some(_) => "Here is the diagram.",
    }
}

/// Splits a text into sentences; a short one is one piece even when it has several.
fn split_long(text: &RichText) -> Vec<sentences::Piece> {
    if columns(&text.to_plain()) > MAX_COLUMNS {
        return sentences::split(text);
    }
    vec![sentences::Piece { text: text.clone(), continues: false }]
}

/// Divides into parts whose lengths differ by one at most; the longer ones come first.
fn evenly<T>(all: &[T], parts: usize) -> impl Iterator<Item = &[T]> {
    let (least, longer) = (all.len() / parts.max(1), all.len() % parts.max(1));
    let start = move |part: usize| part * least + part.min(longer);
    (0..parts).map(move |part| &all[start(part)..start(part + 1)])
}

fn height_px(blocks: &[Block]) -> u32 {
    blocks.iter().map(block_height_px).fold(0, u32::saturating_add)
}

fn step(narration: String, reveals: &[usize]) -> Step {
    let reveals = reveals.iter().map(|&block| Reveal { block, part: None }).collect();
    Step::new(narration, reveals)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::markdown;

    fn passages(script: &str) -> Vec<Passage> {
        let document = markdown::read(script);
        document.sections.iter().flat_map(|section| divide(section.elements(), "Heading")).collect()
    }

    fn lines(passages: &[Passage]) -> Vec<&str> {
        passages.iter().flat_map(|passage| &passage.steps).map(|step| step.narration.as_str()).collect()
    }

    #[test]
    fn a_formula_appears_with_the_sentence_before_it() {
        let passages = passages("The sum is:\n\n$$\na\n- b\n$$\n\nThat is all.");
        assert_eq!(passages[0].blocks[1], Block::Formula { latex: "a - b".into() });
        assert_eq!(passages[0].steps[0].reveals.len(), 2);
        assert_eq!(passages[1].blocks.len(), 1);
    }

    #[test]
    fn listings_and_formulas_without_a_sentence_get_an_honest_line() {
        assert_eq!(lines(&passages("```\nx = 1\n```")), ["Here is the code."]);
        assert_eq!(lines(&passages("$$x$$")), ["As a formula."]);
        let with_text = passages("```\nx = 1\n```\n\nIt sets x.");
        assert_eq!(lines(&with_text), ["It sets x."]);
        assert!(with_text[0].listing.is_some());
    }

    #[test]
    fn a_table_is_revealed_row_by_row_and_divided_when_long() {
        let rows: String = (0..10).map(|row| format!("| r{row} | {row} |\n")).collect();
        let passages = passages(&format!("| Name | Value |\n| --- | --- |\n{rows}"));
        assert_eq!(passages.iter().map(|passage| passage.steps.len()).collect::<Vec<_>>(), [5, 5]);
        assert_eq!(passages[1].steps[0].narration, "r5. Value: 5.");
        assert_eq!(passages[1].steps[4].reveals, [Reveal { block: 0, part: Some(4) }]);
    }

    #[test]
    fn parts_are_of_similar_length() {
        for (count, parts, expected) in
            [(9, 2, vec![5, 4]), (8, 1, vec![8]), (7, 3, vec![3, 2, 2]), (2, 2, vec![1, 1]), (0, 0, vec![])]
        {
            let all: Vec<usize> = (0..count).collect();
            let divided: Vec<&[usize]> = evenly(&all, parts).collect();
            assert_eq!(divided.iter().map(|part| part.len()).collect::<Vec<_>>(), expected);
            assert_eq!(divided.concat(), all);
        }
    }

    #[test]
    fn a_table_with_an_enormous_cell_becomes_text() {
        let cell = "word ".repeat(2000);
        let passages = passages(&format!("| Name |\n| --- |\n| {cell} |\n"));
        assert!(passages.iter().all(|passage| passage.kind == Kind::Sentence));
        assert_eq!(lines(&passages).join(" ").matches("word").count(), 2000);
    }

    #[test]
    fn signs_without_words_are_shown_with_their_neighbour() {
        let passages = passages("- One\n- ---\n- \\*\\*\n- Two");
        assert_eq!(lines(&passages), ["One.", "Two."]);
        assert_eq!(passages[0].steps[0].reveals.len() + passages[1].steps[0].reveals.len(), 3);
    }
}
