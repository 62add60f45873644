//! Compares a report with the rules.

use std::collections::BTreeSet;
use std::fmt;

use reel_scene::Layout;
use reel_scene::look::MIN_CONTRAST;
use serde::Serialize;

use super::{Report, Role, SceneReview, TextReview};

/// Smallest type of text and formulas, in pixels at 1080p.
const MIN_TEXT_PX: f64 = 36.0;
/// Smallest type of labels, in pixels at 1080p.
const MIN_LABEL_PX: f64 = 28.0;
/// Smallest type that counts as large, in pixels at 1080p, and its lowest contrast (WCAG 2.1, success criterion 1.4.3).
const LARGE_TEXT_PX: f64 = 48.0;
const MIN_LARGE_CONTRAST: f64 = 3.0;
/// Smallest and largest used area of a page's end, in percent.
const USED_PERCENT: std::ops::RangeInclusive<f64> = 35.0..=85.0;
/// Content pages in a row that may not all have the same composition.
const SAME_COMPOSITIONS: usize = 3;
/// Longest time in which nothing changes, in seconds.
const MAX_STILL_S: f64 = 20.0;
/// Tolerance of sizes: lengths are computed with fractions.
const SIZE_TOLERANCE_PX: f64 = 0.05;
/// Most characters of a text that a message quotes.
const QUOTED_CHARS: usize = 40;

/// The kind of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    SmallText,
    SmallLabel,
    LowContrast,
    UsedArea,
    CutOff,
    Overlap,
    MissingGlyph,
    SameComposition,
    Still,
}

impl FaultKind {
    pub const ALL: [Self; 9] = [
        Self::SmallText,
        Self::SmallLabel,
        Self::LowContrast,
        Self::UsedArea,
        Self::CutOff,
        Self::Overlap,
        Self::MissingGlyph,
        Self::SameComposition,
        Self::Still,
    ];
}

/// A rule that a scene breaks: at most one of each kind a scene, for its worst place.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fault {
    /// Number of the scene, from 1.
    pub scene: usize,
    pub kind: FaultKind,
    /// What was found, and what is wanted: plain sentences.
    pub found: String,
    pub wanted: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "scene {}: {} {}", self.scene, self.found, self.wanted)
    }
}

impl Report {
    /// Returns what falls short of the rules, by scene.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults: Vec<Fault> = self.scenes.iter().flat_map(scene_faults).collect();
        faults.extend(same_compositions(&self.scenes));
        faults.sort_by_key(|fault| (fault.scene, fault.kind));
        faults
    }
}

fn scene_faults(scene: &SceneReview) -> Vec<Fault> {
    let faults = [
        small_type(scene, FaultKind::SmallText),
        small_type(scene, FaultKind::SmallLabel),
        low_contrast(scene),
        used_area(scene),
        cut_off(scene),
        overlap(scene),
        missing_glyphs(scene),
        still(scene),
    ];
    let faults = faults.into_iter().flatten();
    faults.map(|(kind, found, wanted)| Fault { scene: scene.scene, kind, found, wanted }).collect()
}

/// A fault before it has its scene: kind, found, wanted.
type Finding = (FaultKind, String, String);

fn texts(scene: &SceneReview) -> impl Iterator<Item = &TextReview> {
    scene.pages.iter().flat_map(|page| &page.texts)
}

/// Finds type that is too small. The indices of formulas may be; their largest type counts.
fn small_type(scene: &SceneReview, kind: FaultKind) -> Option<Finding> {
    let (role, min_px, name) = match kind {
        FaultKind::SmallText => (Role::Text, MIN_TEXT_PX, "Text"),
        _ => (Role::Label, MIN_LABEL_PX, "A label"),
    };
    let small = |px: f64| px < min_px - SIZE_TOLERANCE_PX;
    let found: Vec<&TextReview> =
        texts(scene).filter(|text| text.role == role && small(text.size_px)).collect();
    let wanted = format!("{name} should be at least {min_px} px high.");
    if let Some(worst) = smallest_by(&found, |text| text.size_px) {
        let found = format!("{} is {:.0} px high{}.", quoted(&worst.text), worst.size_px, and_others(&found));
        return Some((kind, found, wanted));
    }
    let formulas = scene.pages.iter().filter_map(|page| page.formula_px);
    let formula = formulas.reduce(f64::min).filter(|px| kind == FaultKind::SmallText && small(*px))?;
    Some((kind, format!("A formula is {formula:.0} px high."), wanted))
}

fn low_contrast(scene: &SceneReview) -> Option<Finding> {
    let least =
        |text: &TextReview| if text.size_px >= LARGE_TEXT_PX { MIN_LARGE_CONTRAST } else { MIN_CONTRAST };
    let is_low = |text: &&TextReview| text.contrast.is_some_and(|contrast| contrast < least(text));
    let found: Vec<&TextReview> = texts(scene).filter(is_low).collect();
    let share = |text: &TextReview| text.contrast.unwrap_or(f64::INFINITY) / least(text);
    let worst = smallest_by(&found, share)?;
    let contrast = worst.contrast.unwrap_or_default();
    Some((
        FaultKind::LowContrast,
        format!(
            "{}, {:.0} px high, has a contrast of {contrast:.1}{}.",
            quoted(&worst.text),
            worst.size_px,
            and_others(&found)
        ),
        format!("Type of this size needs a contrast of {}.", least(worst)),
    ))
}

fn used_area(scene: &SceneReview) -> Option<Finding> {
    let end = scene.pages.last()?;
    let is_judged = scene.layout == Layout::Content && !USED_PERCENT.contains(&end.used_percent);
    is_judged.then(|| {
        let (least, most) = (USED_PERCENT.start(), USED_PERCENT.end());
        (
            FaultKind::UsedArea,
            format!("At its end, the page uses {:.0} % of its area.", end.used_percent),
            format!("It should use {least:.0} to {most:.0} %."),
        )
    })
}

fn cut_off(scene: &SceneReview) -> Option<Finding> {
    let found: Vec<&TextReview> = texts(scene).filter(|text| text.is_cut_off).collect();
    let first = found.first()?;
    let found = format!("{} is cut off{}.", quoted(&first.text), and_others(&found));
    Some((FaultKind::CutOff, found, "All of a text should be on the page.".to_owned()))
}

fn overlap(scene: &SceneReview) -> Option<Finding> {
    let found: Vec<&TextReview> = texts(scene).filter(|text| !text.collides_with.is_empty()).collect();
    let first = found.first()?;
    let other = first.collides_with.first().map_or(String::new(), |other| quoted(other));
    let found = format!("{} and {other} lie on each other{}.", quoted(&first.text), and_others(&found));
    Some((FaultKind::Overlap, found, "Nothing should lie on a text.".to_owned()))
}

fn missing_glyphs(scene: &SceneReview) -> Option<Finding> {
    let missing: BTreeSet<char> = texts(scene).flat_map(|text| text.missing_glyphs.chars()).collect();
    let named: Vec<String> = missing.iter().map(|c| format!("U+{:04X}", u32::from(*c))).collect();
    (!named.is_empty()).then(|| {
        let found = format!("No font has {}.", named.join(", "));
        (FaultKind::MissingGlyph, found, "Every character should have a glyph.".to_owned())
    })
}

fn still(scene: &SceneReview) -> Option<Finding> {
    let still_s = scene.pace.longest_still_s;
    (still_s > MAX_STILL_S).then(|| {
        let found = format!("Nothing changes for {still_s:.0} s.");
        (FaultKind::Still, found, format!("Something should change within {MAX_STILL_S:.0} s."))
    })
}

/// Finds runs of content pages with the same composition. A card ends a run; the fault is that of its third page.
fn same_compositions(scenes: &[SceneReview]) -> Vec<Fault> {
    let same = |one: &SceneReview, other: &SceneReview| {
        one.layout == Layout::Content
            && other.layout == Layout::Content
            && one.composition == other.composition
    };
    let runs = scenes.chunk_by(same).filter(|run| run.len() >= SAME_COMPOSITIONS);
    let fault = |run: &[SceneReview]| Fault {
        scene: run[SAME_COMPOSITIONS - 1].scene,
        kind: FaultKind::SameComposition,
        found: format!(
            "{} pages in a row are composed around the same kind: {}.",
            run.len(),
            run[0].composition
        ),
        wanted: format!("At most {} should be.", SAME_COMPOSITIONS - 1),
    };
    runs.map(fault).collect()
}

fn smallest_by<'a>(texts: &[&'a TextReview], key: impl Fn(&TextReview) -> f64) -> Option<&'a TextReview> {
    texts.iter().copied().min_by(|one, other| key(one).total_cmp(&key(other)))
}

/// Returns how many other texts have the fault; pages of a scene repeat each other, so the same text counts once.
fn and_others(found: &[&TextReview]) -> String {
    let different: BTreeSet<&str> = found.iter().map(|text| text.text.as_str()).collect();
    match different.len().saturating_sub(1) {
        0 => String::new(),
        others => format!(", like {others} more"),
    }
}

fn quoted(text: &str) -> String {
    let shown: String = text.chars().filter(|c| !matches!(c, '\u{200b}' | '\u{2060}' | '\u{ad}')).collect();
    let shown = shown.trim();
    match shown.char_indices().nth(QUOTED_CHARS) {
        Some((end, _)) => format!("“{}…”", &shown[..end]),
        None => format!("“{shown}”"),
    }
}
