//! Formulas. One that Typst cannot read is shown as its LaTeX source.

use super::super::literal::{breakable, literal};
use super::super::math::math;

pub(super) fn formula_source(latex: &str) -> String {
    match math(latex) {
        Some(math) => format!("formula(t, $ {math} $)"),
        None => format!("formula-source(t, {})", literal(&breakable(latex))),
    }
}

pub(super) fn derivation_source(formulas: &[String]) -> String {
    let formulas = formulas.iter().map(|latex| match math(latex) {
        Some(math) => format!("$ {math} $"),
        None => format!("code-span(t, {})", literal(&breakable(latex))),
    });
    format!("derivation(t, {})", formulas.collect::<Vec<_>>().join(", "))
}
