//! Widths of text, and lines of a given width.

use std::cell::RefCell;
use std::collections::HashMap;

use typst::text::{FontInstance, FontWeight};

use super::super::super::world::{advance, faces};

/// Measured widths and drawn ones may differ by kerning and by variable fonts.
const SAFETY: f64 = 1.04;

/// Longest word that no line is too short for, in em.
const MAX_WORD: f64 = 13.0;

/// Lines of several texts.
pub(super) type Texts = Vec<Vec<String>>;

/// Line height, in em.
pub(super) const LINE: f64 = 1.25;

/// The type of a diagram, in the fonts of its page. Widths are in em.
pub(super) struct Type {
    regular: Vec<FontInstance>,
    bold: Vec<FontInstance>,
    widths: RefCell<HashMap<(bool, char), f64>>,
}

impl Type {
    pub fn new(families: &[String]) -> Self {
        Self {
            regular: faces(families, FontWeight::REGULAR),
            bold: faces(families, FontWeight::BOLD),
            widths: RefCell::default(),
        }
    }

    fn sum(&self, text: &str, is_bold: bool) -> f64 {
        let faces = if is_bold { &self.bold } else { &self.regular };
        let mut widths = self.widths.borrow_mut();
        let mut width = |c: char| *widths.entry((is_bold, c)).or_insert_with(|| advance(faces, c));
        text.chars().map(&mut width).sum::<f64>() * SAFETY
    }

    pub fn width(&self, text: &str) -> f64 {
        self.sum(text, false)
    }

    pub fn bold_width(&self, text: &str) -> f64 {
        self.sum(text, true)
    }

    /// Returns the width of the longest of some lines.
    pub fn widest(&self, lines: &[String]) -> f64 {
        lines.iter().map(|line| self.width(line)).fold(0.0, f64::max)
    }

    /// Breaks a text into lines of at most `width`, at spaces, and inside words that are longer than a line.
    pub fn wrap(&self, text: &str, width: f64) -> Vec<String> {
        let mut lines = vec![];
        for paragraph in text.split('\n') {
            let mut line = String::new();
            for word in paragraph.split_whitespace() {
                let joined = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
                if self.width(&joined) <= width {
                    line = joined;
                    continue;
                }
                if !line.is_empty() {
                    lines.push(std::mem::take(&mut line));
                }
                line = self.break_word(word, width, &mut lines);
            }
            if !line.is_empty() {
                lines.push(line);
            }
        }
        self.balance(lines, text, width)
    }

    /// Pushes full lines of a long word, and returns its rest.
    fn break_word(&self, word: &str, width: f64, lines: &mut Vec<String>) -> String {
        // A word is left whole, unless it is a whole address.
        if self.width(word) <= (width * 1.3).max(MAX_WORD) {
            return word.to_owned();
        }
        let mut line = String::new();
        for c in word.chars() {
            line.push(c);
            if self.width(&line) > width && line.chars().count() > 1 {
                line.pop();
                lines.push(std::mem::take(&mut line));
                line.push(c);
            }
        }
        line
    }

    /// Makes the lines of a text similar in length, if there are as many.
    fn balance(&self, lines: Vec<String>, text: &str, width: f64) -> Vec<String> {
        if lines.len() < 2 || text.contains('\n') {
            return lines;
        }
        let mut best = lines;
        let mut narrower = width;
        for _ in 0..6 {
            narrower *= 0.92;
            let words: Vec<&str> = text.split_whitespace().collect();
            if words.iter().any(|word| self.width(word) > narrower) {
                break;
            }
            let mut tried: Vec<String> = vec![];
            for word in words {
                match tried.last_mut().filter(|line| self.width(&format!("{line} {word}")) <= narrower) {
                    Some(line) => {
                        line.push(' ');
                        line.push_str(word);
                    }
                    None => tried.push(word.to_owned()),
                }
            }
            if tried.len() > best.len() {
                break;
            }
            best = tried;
        }
        best
    }
}
