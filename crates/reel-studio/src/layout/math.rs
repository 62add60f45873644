//! Converts LaTeX formulas to Typst's notation.

use reel_scene::{Block, Scene};

use super::nesting::is_well_nested;
use super::world::{compile, with_deep_stack};

/// Converts a LaTeX formula; `None` when Typst cannot compile the result.
pub(super) fn math(latex: &str) -> Option<String> {
    if !is_well_nested(latex) {
        return None;
    }
    with_deep_stack(|| convert_math(latex)).flatten()
}

fn convert_math(latex: &str) -> Option<String> {
    let math = texts_as_strings(&tylax::latex_to_typst(latex));
    let math = math.trim().trim_matches('$').trim();
    // `#` begins code, `$` ends the formula, and a backtick begins raw text; all else stays mathematics.
    let is_plain = !math.is_empty() && math.len() < 4000 && !math.contains(['#', '`', '$']);
    (is_plain && compiles(&format!("$ {math} $"))).then(|| math.to_owned())
}

/// Replaces the converter's `#text[words]` by `"words"`, which needs no code.
fn texts_as_strings(math: &str) -> String {
    let mut parts = math.split("#text[");
    let mut rewritten = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(']') {
            Some((words, rest)) if !words.contains(['[', '#', '"', '\\']) => {
                rewritten.push_str(&format!("\"{words}\"{rest}"));
            }
            _ => rewritten.push_str(&format!("#text[{part}")),
        }
    }
    rewritten
}

/// Returns the indices of blocks with a formula that is shown as its source.
pub fn unreadable_formulas(scene: &Scene) -> Vec<usize> {
    let is_unreadable = |block: &Block| match block {
        Block::Formula { latex } => !is_formula(latex),
        Block::Derivation { formulas } => !formulas.iter().all(|latex| is_formula(latex)),
        _ => false,
    };
    (0..scene.blocks.len()).filter(|block| is_unreadable(&scene.blocks[*block])).collect()
}

/// Returns `true` when a formula can be shown as mathematics.
pub fn is_formula(latex: &str) -> bool {
    math(latex).is_some()
}

fn compiles(markup: &str) -> bool {
    matches!(compile(markup), Ok(document) if document.pages().len() == 1)
}
