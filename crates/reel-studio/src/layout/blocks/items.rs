//! Things, by how they belong together. Each arrangement is drawn by a function of its name, in a file of its name.

use reel_scene::{Arrangement, Item};

use super::super::literal::{breakable, list, literal, words};
use super::icon::icon_source;
use super::text::{longest_word, rich};

pub(super) fn items_source(arrangement: Arrangement, items: &[Item], center: Option<&Item>) -> String {
    let function = arrangement.name().replace('_', "-");
    let center = center.map_or("none".to_owned(), item_source);
    format!("{function}(t, {}, {center})", list(items.iter().map(item_source)))
}

/// Writes an item as a dictionary. An item that has only a text is all title, but `is-sentence`: it is no term. `title-word` and `text-word` are the longest words of its title and its text.
pub(super) fn item_source(item: &Item) -> String {
    let is_sentence = item.title.is_empty();
    let (title, text) = match (is_sentence, item.text.is_empty()) {
        (true, _) => (rich(&item.text), "none".to_owned()),
        (false, true) => (words(&item.title), "none".to_owned()),
        (false, false) => (words(&item.title), rich(&item.text)),
    };
    let parent = item.parent.map_or("none".to_owned(), |parent| parent.to_string());
    let plain = item.text.to_plain();
    let word = |text: &str| literal(longest_word(&breakable(text)));
    format!(
        "(title: {title}, title-word: {}, text: {text}, text-word: {}, icon: {}, points: {}, parent: {parent}, \
         is-sentence: {is_sentence})",
        word(if is_sentence { &plain } else { &item.title }),
        word(&plain),
        icon_source(&item.icon),
        list(item.points.iter().map(rich)),
    )
}
