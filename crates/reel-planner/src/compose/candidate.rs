//! The input of recognizers, and their proposals.

use reel_scene::{Block, Reveal, RichText, Scene, Step};

use crate::arrange::passages::{Kind, Passage};
use crate::language::vocabulary::is_anaphor;
use crate::language::words::{first_word, word_count};

/// A passage of a run, with what recognizers ask for again and again.
pub(super) struct Unit<'a> {
    pub passage: &'a Passage,
    /// The text of a sentence, an item or a quotation that shows nothing else.
    pub text: Option<&'a RichText>,
    /// `text` without styles; empty if there is no text.
    pub plain: String,
    /// Words of `plain`.
    pub words: usize,
    /// The number of an item in a numbered list.
    pub number: Option<u32>,
}

impl<'a> Unit<'a> {
    pub fn new(passage: &'a Passage) -> Self {
        let (text, number) = match (passage.blocks(), &passage.listing) {
            ([Block::Paragraph { text } | Block::Quote { text, .. } | Block::Bullet { text }], None) => {
                (Some(text), None)
            }
            ([Block::Numbered { number, text }], None) => (Some(text), Some(*number)),
            _ => (None, None),
        };
        let plain = text.map(RichText::to_plain).unwrap_or_default();
        Self { passage, text, words: word_count(&plain), plain, number }
    }

    pub fn is_sentence(&self) -> bool {
        self.passage.kind == Kind::Sentence && self.text.is_some()
    }

    pub fn is_item(&self) -> bool {
        self.passage.kind == Kind::Item && self.text.is_some()
    }

    pub fn is_quote(&self) -> bool {
        self.passage.kind == Kind::Quote && self.text.is_some()
    }

    /// Returns `true` for a sentence or an item: what may stand in a list.
    pub fn is_line(&self) -> bool {
        self.is_sentence() || self.is_item()
    }

    /// Returns `true` for a sentence that is only spoken.
    pub fn is_aside(&self) -> bool {
        self.passage.is_aside()
    }

    /// Returns `true` for a sentence that announces what follows.
    pub fn leads_in(&self) -> bool {
        self.is_sentence() && self.plain.ends_with([':', '：'])
    }
}

/// A way to draw a run of passages on one page.
#[derive(Clone)]
pub(super) struct Candidate {
    /// Name of the composition, such as `cards`.
    pub composition: &'static str,
    /// The less, the better; 0 to about 200.
    pub cost: u32,
    /// The reason in a few words.
    pub why: String,
    /// A heading in place of the chapter's, where that is not the author's own.
    pub heading: Option<String>,
    pub blocks: Vec<Block>,
    /// For each line of the run, what appears with it.
    pub reveals: Vec<Vec<Reveal>>,
}

/// A composition that was not chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejected {
    pub composition: &'static str,
    pub cost: u32,
}

impl Candidate {
    /// Proposes one block that has a part for each line.
    pub fn parts(composition: &'static str, cost: u32, why: impl Into<String>, block: Block) -> Self {
        let parts = block.parts().unwrap_or(0);
        let reveals = (0..parts).map(|part| vec![Reveal { block: 0, part: Some(part) }]).collect();
        Self { composition, cost, why: why.into(), heading: None, blocks: vec![block], reveals }
    }

    /// Proposes one block for one line: all of it appears at once.
    pub fn whole(composition: &'static str, cost: u32, why: impl Into<String>, block: Block) -> Self {
        let reveals = match block.parts() {
            Some(parts) => (0..parts).map(|part| Reveal { block: 0, part: Some(part) }).collect(),
            None => vec![Reveal { block: 0, part: None }],
        };
        Self {
            composition,
            cost,
            why: why.into(),
            heading: None,
            blocks: vec![block],
            reveals: vec![reveals],
        }
    }

    /// Adds lines that are spoken before anything of the block appears.
    pub fn after_silent(mut self, count: usize) -> Self {
        self.reveals.splice(0..0, std::iter::repeat_n(Vec::new(), count));
        self
    }

    /// Adds lines that are spoken when all has appeared.
    pub fn before_silent(mut self, count: usize) -> Self {
        self.reveals.extend(std::iter::repeat_n(Vec::new(), count));
        self
    }

    /// Puts a sentence above the blocks. A short one becomes the heading, if the author gave none.
    pub fn led_by(mut self, lead: &Unit<'_>, heading_is_written: bool) -> Self {
        /// Words of a heading.
        const MAX_HEADING_WORDS: usize = 9;
        let Some(text) = lead.text else { return self };
        // The heading is the whole sentence: the announcement may stand in a clause that a shorter form leaves out.
        let short = lead.plain.trim_end_matches(['.', ':', '：', '!']).to_owned();
        let is_whole = !heading_is_written && word_count(&short) <= MAX_HEADING_WORDS;
        if is_whole && !is_anaphor(&first_word(&short)) {
            self.heading = Some(short);
            return self.after_silent(1);
        }
        self.reveals.insert(0, vec![]);
        self.cost += 4;
        self.below(text.clone())
    }

    /// Puts a text above the blocks, which appears with the first line.
    pub fn below(mut self, text: RichText) -> Self {
        for reveal in self.reveals.iter_mut().flatten() {
            reveal.block += 1;
        }
        if let Some(first) = self.reveals.first_mut() {
            first.insert(0, Reveal { block: 0, part: None });
        }
        self.blocks.insert(0, Block::Paragraph { text });
        self
    }

    /// Puts a label above the blocks, which appears with the first line: as the heading, if the author gave none.
    pub fn under(mut self, label: &str, heading_is_written: bool) -> Self {
        if !heading_is_written {
            self.heading = Some(label.to_owned());
            return self;
        }
        self.below(RichText::plain(label.to_owned()))
    }

    /// Makes the scene: the run's lines, each with what appears.
    pub fn into_scene(self, heading: &str, passages: &[Passage]) -> Scene {
        let mut scene = Scene {
            title: self.heading.unwrap_or_else(|| heading.to_owned()),
            blocks: self.blocks,
            ..Scene::default()
        };
        let steps = passages.iter().flat_map(|passage| &passage.steps);
        for (step, reveals) in steps.zip(self.reveals) {
            scene.steps.push(Step { reveals, ..step.clone() });
        }
        scene
    }
}
