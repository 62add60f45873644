//! Reviews the layout of scenes: lays out their pages and measures what a viewer can read, before a video is made.
//!
//! [`review`] lays out each scene and returns a [`Report`], all of whose numbers come from the layout's own frames:
//! `page` lists what a page draws, in the order in which it is painted; `texts` measures each text against the rest;
//! `pace` times the steps; `roles` says what kind of text it is, and which block a page is composed around; and
//! [`Report::faults`] compares the numbers with the rules.
//!
//! Lengths are pixels at 1080p, that is, of pages whose shorter side is 1080 pixels; one is a point of the layout.
//!
//! Deliberately absent: the wording of the texts, and any opinion that is not a number. `inspect` reviews finished files.

mod faults;
mod pace;
mod page;
mod roles;
mod texts;

#[cfg(test)]
mod example_scripts_tests;
#[cfg(test)]
mod review_tests;

use reel_scene::look::Look;
use reel_scene::{Layout, Scene, SceneTimeline};
use serde::Serialize;

use crate::layout::images::Images;
use crate::layout::{self, Pages};
use page::DrawnPage;
use roles::Roles;

pub use faults::{Fault, FaultKind};
pub use roles::Role;

#[derive(Debug, thiserror::Error)]
#[error("scene {scene} cannot be typeset")]
pub struct Error {
    /// Number of the scene, from 1.
    pub scene: usize,
    pub source: layout::Error,
}

/// The pages of a scene that are reviewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageChoice {
    /// All pages, those on which a block grows included.
    All,
    /// The page that stays until the end of the scene.
    Last,
}

/// The measurements of all scenes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    pub scenes: Vec<SceneReview>,
}

/// The measurements of one scene.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SceneReview {
    /// Number of the scene, from 1.
    pub scene: usize,
    pub title: String,
    pub layout: Layout,
    /// The kind of the block that the page is composed around, such as `bullet` or `cards`; `card` for a card.
    pub composition: String,
    pub pace: Pace,
    /// The reviewed pages, in order.
    pub pages: Vec<PageReview>,
}

/// The timing of a scene.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Pace {
    /// Set when the times are those of a timeline; otherwise, they are estimated.
    pub is_measured: bool,
    /// Seconds that the scene lasts.
    pub duration_s: f64,
    /// Seconds of the longest time in which the picture does not change.
    pub longest_still_s: f64,
    /// Spoken words, divided by the scene's length in minutes. A syllable of an East Asian script counts as 0.6 words.
    pub words_per_minute: f64,
}

/// The measurements of one page.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PageReview {
    /// Number of the page, from 1. The empty page before the first step is page 0, and never reviewed.
    pub page: usize,
    /// Smallest type of the text, in pixels at 1080p; `null` without text.
    pub smallest_text_px: Option<f64>,
    /// Smallest type of labels in diagrams, charts and code, in pixels at 1080p; `null` without labels.
    pub smallest_label_px: Option<f64>,
    /// Type of the formulas, without their indices, in pixels at 1080p; `null` without formulas.
    pub formula_px: Option<f64>,
    /// Lowest contrast of any text, as the ratio of WCAG 2.1, from 1 to 21; `null` where none is known.
    pub lowest_contrast: Option<f64>,
    /// Area of the rectangle around all that is drawn, in percent of the page. Backgrounds do not count: neither what
    /// stands on the empty page already, nor fills that reach three of the page's edges.
    pub used_percent: f64,
    /// Area that is covered by the rectangles around each drawn thing, in percent of the page.
    pub covered_percent: f64,
    pub texts: Vec<TextReview>,
}

/// The measurements of one run of text: a line, or a part of a line in one style.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TextReview {
    pub text: String,
    pub role: Role,
    /// Size of the type, in pixels at 1080p.
    pub size_px: f64,
    /// Rectangle around the glyphs, in pixels at 1080p: left, top, right, bottom.
    pub bounds_px: [f64; 4],
    /// Lowest contrast with what lies behind, as the ratio of WCAG 2.1; `null` on a picture, or in several colours.
    pub contrast: Option<f64>,
    /// Set when a part of it is outside the page, or clipped.
    pub is_cut_off: bool,
    /// Characters that no font has.
    pub missing_glyphs: String,
    /// The texts or the shape over it or under it that it collides with.
    pub collides_with: Vec<String>,
}

/// Lays out and reviews all scenes. `timelines` are those of the scenes in their order; the times of scenes without one are
/// estimated.
pub fn review(
    scenes: &[Scene],
    look: &Look,
    images: &Images,
    timelines: &[SceneTimeline],
    pages: PageChoice,
) -> Result<Report, Error> {
    let reviewed = scenes.iter().enumerate().map(|(index, scene)| {
        review_scene(index + 1, scene, look, images, timelines.get(index), pages)
            .map_err(|source| Error { scene: index + 1, source })
    });
    Ok(Report { scenes: reviewed.collect::<Result<_, _>>()? })
}

/// Lays out and reviews one scene; `number` is its number in the report.
fn review_scene(
    number: usize,
    scene: &Scene,
    look: &Look,
    images: &Images,
    timeline: Option<&SceneTimeline>,
    choice: PageChoice,
) -> Result<SceneReview, layout::Error> {
    let (source, first_page) = match choice {
        PageChoice::All => (layout::source(scene, look), 1),
        PageChoice::Last => {
            let count: u32 = layout::motions(scene).iter().map(|motion| motion.pages).sum();
            (layout::end_source(scene, look), count as usize)
        }
    };
    let pages = Pages::compile(&source, images)?;
    Ok(SceneReview {
        scene: number,
        title: scene.title.clone(),
        layout: scene.layout,
        composition: roles::composition(scene).to_owned(),
        pace: pace::pace(scene, timeline),
        pages: review_pages(&pages, &Roles::of(scene), first_page),
    })
}

/// Reviews pages that follow an empty one; `first_page` is the number of the first of them.
fn review_pages(pages: &Pages, roles: &Roles, first_page: usize) -> Vec<PageReview> {
    let Some((empty, shown)) = pages.document.pages().split_first() else { return Vec::new() };
    let empty = DrawnPage::read(empty);
    let numbered = (first_page..).zip(shown);
    numbered.map(|(number, page)| review_page(number, &DrawnPage::read(page), &empty, roles)).collect()
}

fn review_page(number: usize, page: &DrawnPage, empty: &DrawnPage, roles: &Roles) -> PageReview {
    let texts = texts::review_texts(page, roles);
    let sizes = |role: Role| texts.iter().filter(move |text| text.role == role).map(|text| text.size_px);
    let contrasts = texts.iter().filter_map(|text| text.contrast);
    let (used_percent, covered_percent) = page.used_and_covered_percent(empty);
    PageReview {
        page: number,
        smallest_text_px: sizes(Role::Text).reduce(f64::min),
        smallest_label_px: sizes(Role::Label).reduce(f64::min),
        formula_px: sizes(Role::Formula).reduce(f64::max),
        lowest_contrast: contrasts.reduce(f64::min),
        used_percent,
        covered_percent,
        texts,
    }
}
