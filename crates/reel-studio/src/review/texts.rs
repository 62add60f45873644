//! Measures each text of a page: its contrast, whether all of it is on the page, and what it collides with.

use reel_scene::look::Colour;

use super::page::{Bounds, Drawn, DrawnPage, DrawnText, Ink, Kind, Rgb};
use super::roles::Roles;
use super::{Role, TextReview};

/// Fills thinner than this share of a text's height lie behind it without making it harder to read.
const THIN: f64 = 0.25;
/// Lengths that two texts may overlap, in pixels, and the share of the smaller one's area.
const OVERLAP_PX: f64 = 3.0;
const OVERLAP_SHARE: f64 = 0.08;
/// Places at which a text is compared with what lies behind it, as shares of its width.
const SAMPLES: [f64; 5] = [0.02, 0.25, 0.5, 0.75, 0.98];

pub(super) fn review_texts(page: &DrawnPage, roles: &Roles) -> Vec<TextReview> {
    let texts: Vec<(usize, Bounds, &DrawnText)> = page.items.iter().enumerate().filter_map(as_text).collect();
    let reviewed = texts.iter().map(|&(index, bounds, text)| {
        let is_outside = !page.bounds.holds(bounds) || text.clip.is_some_and(|clip| !clip.holds(bounds));
        let others = texts.iter().filter(|(other, ..)| *other != index);
        let mut collides_with: Vec<String> = others
            .filter(|(_, other, drawn)| is_overlapping(bounds, *other) && !is_one_piece(text, drawn))
            .map(|(.., drawn)| drawn.text.clone())
            .collect();
        if is_covered(page, index, bounds) {
            collides_with.push("a shape".to_owned());
        }
        TextReview {
            text: text.text.clone(),
            role: match text {
                DrawnText { is_formula: true, .. } => Role::Formula,
                DrawnText { is_code: true, .. } => Role::Label,
                _ => roles.role(&text.text),
            },
            size_px: text.size_px,
            bounds_px: [bounds.left, bounds.top, bounds.right, bounds.bottom],
            contrast: contrast(page, index, bounds, text.ink),
            is_cut_off: is_outside,
            missing_glyphs: text.missing_glyphs.clone(),
            collides_with,
        }
    });
    reviewed.collect()
}

fn as_text((index, item): (usize, &Drawn)) -> Option<(usize, Bounds, &DrawnText)> {
    match &item.kind {
        Kind::Text(text) => Some((index, item.bounds, text)),
        _ => None,
    }
}

/// Returns `true` for signs of formulas, which touch, and for pieces of one word: a mark that the word's font lacks is a run
/// of its own.
fn is_one_piece(one: &DrawnText, other: &DrawnText) -> bool {
    let is_part = one.text.contains(&other.text) || other.text.contains(&one.text);
    let is_on_its_line = (one.origin.1 - other.origin.1).abs() < one.size_px / 2.0;
    one.is_formula && other.is_formula || is_part && is_on_its_line && one.text != other.text
}

fn is_overlapping(one: Bounds, other: Bounds) -> bool {
    let common = one.intersection(other);
    let smaller = (one.width() * one.height()).min(other.width() * other.height());
    common.width() > OVERLAP_PX
        && common.height() > OVERLAP_PX
        && common.width() * common.height() > OVERLAP_SHARE * smaller
}

fn samples(bounds: Bounds) -> [(f64, f64); 5] {
    let middle = (bounds.top + bounds.bottom) / 2.0;
    SAMPLES.map(|share| (bounds.left + share * bounds.width(), middle))
}

/// Returns `true` when an opaque fill is painted over one of the samples later.
fn is_covered(page: &DrawnPage, index: usize, bounds: Bounds) -> bool {
    let thinnest = THIN * bounds.height();
    page.items[index + 1..].iter().any(|item| {
        let is_opaque = matches!(item.kind, Kind::Fill { ink: Ink::Plain(_, 1.0) | Ink::Mixed, .. });
        is_opaque
            && item.bounds.width().min(item.bounds.height()) >= thinnest
            && samples(bounds).into_iter().any(|sample| item.covers(sample))
    })
}

/// Returns the lowest contrast at any of the samples where both colours are known.
fn contrast(page: &DrawnPage, index: usize, bounds: Bounds, ink: Ink) -> Option<f64> {
    let contrasts = samples(bounds).into_iter().filter_map(|sample| {
        let behind = page.colour_behind(index, sample, THIN * bounds.height())?;
        let front = ink.over(Some(behind))?;
        Some(colour(front).contrast(colour(behind)))
    });
    contrasts.reduce(f64::min)
}

fn colour(rgb: Rgb) -> Colour {
    Colour(rgb.map(|channel| (channel * 255.0).round() as u8))
}
