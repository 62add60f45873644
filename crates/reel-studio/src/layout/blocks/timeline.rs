//! Timelines.

use reel_scene::{Item, RichText, TimelineItem};

use super::super::literal::list;
use super::items::item_source;

/// Writes a timeline as the items of a process.
pub(super) fn timeline_source(items: &[TimelineItem]) -> String {
    let items = items.iter().map(|item| {
        let item = Item { title: item.title.clone(), text: plain(&item.text), ..Item::default() };
        item_source(&item)
    });
    format!("timeline(t, {})", list(items))
}

fn plain(text: &str) -> RichText {
    if text.is_empty() { RichText::default() } else { RichText::plain(text) }
}
