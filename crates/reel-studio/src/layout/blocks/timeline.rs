//! Timelines.

use reel_scene::TimelineItem;

use super::super::literal::{optional, words};

/// Most items in a row.
const MAX_BESIDE: usize = 5;
/// Longest text of an item in a row.
const MAX_BESIDE_CHARACTERS: usize = 60;

pub(super) fn timeline_source(items: &[TimelineItem], wide: bool) -> String {
    let is_short =
        |item: &TimelineItem| item.title.chars().count() + item.text.chars().count() <= MAX_BESIDE_CHARACTERS;
    let beside = wide && items.len() <= MAX_BESIDE && items.iter().all(is_short);
    let items = items.iter().map(|item| format!("({}, {})", words(&item.title), optional(&item.text)));
    format!("timeline(t, {beside}, {})", items.collect::<Vec<_>>().join(", "))
}
