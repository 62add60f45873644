//! Numbered items of several sentences each, as in "10 things that I learned": each is a section, and its first sentence the heading.
//!
//! As a list they would be a page of openings, on which nothing of what is told about them is seen.

use reel_scene::RichText;

use crate::language::sentences;
use crate::language::width::columns;
use crate::language::words::{capitalize, word_count};
use crate::read::document::{Document, Element, Section};

/// Fewer are steps of something.
const MIN_ITEMS: usize = 3;
/// Words of an item's first sentence.
const MAX_HEADING_WORDS: usize = 9;
const MAX_HEADING_COLUMNS: usize = 60;
/// Words of an item on average: shorter ones fit on a page together.
const MIN_MEAN_WORDS: usize = 15;

struct LongItem {
    heading: String,
    /// The first sentence, as it is said.
    opening: String,
    rest: RichText,
    words: usize,
}

/// Makes sections of the items of a numbered list, if all of them are long.
pub(super) fn divide(mut document: Document) -> Document {
    let mut sections: Vec<Section> = vec![];
    for section in std::mem::take(&mut document.sections) {
        let elements = section.elements();
        let numbered = |element: &Element| matches!(element, Element::Item { number: Some(_), .. });
        let found = elements.iter().position(numbered).and_then(|first| {
            let count = elements[first..].iter().take_while(|element| numbered(element)).count();
            Some((first, long_items(&elements[first..first + count])?))
        });
        let Some((first, items)) = found else {
            sections.push(section);
            continue;
        };
        document.headed = true;
        let (level, count) = (section.level, items.len());
        let mut before = Section::new(section.heading.clone(), level);
        before.opening_words.clone_from(&section.opening_words);
        before.lead.clone_from(&section.lead);
        let mut elements = section.into_elements().into_iter();
        elements.by_ref().take(first).for_each(|element| before.push(element));
        if before.heading.is_some() || !before.elements().is_empty() {
            sections.push(before);
        }
        for LongItem { heading, opening, rest, .. } in items {
            let mut own = Section::new(Some(heading), level);
            own.opening_words = Some(opening);
            own.push(Element::Paragraph(rest));
            sections.push(own);
        }
        let mut after = Section::new(None, level);
        elements.skip(count).for_each(|element| after.push(element));
        if !after.elements().is_empty() {
            sections.push(after);
        }
    }
    document.sections = sections;
    document
}

fn long_items(items: &[Element]) -> Option<Vec<LongItem>> {
    if items.len() < MIN_ITEMS {
        return None;
    }
    let read: Vec<LongItem> = items.iter().map(long_item).collect::<Option<_>>()?;
    let words: usize = read.iter().map(|item| item.words).sum();
    (words >= MIN_MEAN_WORDS * read.len()).then_some(read)
}

fn long_item(element: &Element) -> Option<LongItem> {
    let Element::Item { number: Some(number), text } = element else { return None };
    let plain = text.to_plain();
    let mut sentences = sentences::split(text).into_iter();
    let opening = sentences.next()?.text.to_plain().trim().to_owned();
    let rest = plain.find(&opening).map(|at| at + opening.len())?;
    let rest = sentences::slices(text, std::slice::from_ref(&(rest..plain.len()))).pop()?;
    let name = opening.trim_end_matches(['.', '!', ' ']);
    let fits = (1..=MAX_HEADING_WORDS).contains(&word_count(name))
        && columns(name) <= MAX_HEADING_COLUMNS
        && opening.ends_with(['.', '!', '?'])
        && sentences.next().is_some();
    let heading = format!("{number}. {}", capitalize(name));
    fits.then(|| LongItem { heading, words: word_count(&plain), opening, rest })
}

#[cfg(test)]
mod tests {
    use crate::read::markdown::{read, sections};

    const LONG: &str = "I had a bakery.\n\n\
        1. **Rent decides.** We pay 11% of our revenue in rent; the shop next door paid twice as much.\n\
        2. Nobody wants more choice. We cut the menu from 34 products to 12, and sold more of each.\n\
        3. Who cares? Hire people who do, because you can teach anyone to bake in three weeks.\n\n\
        That is all.";

    #[test]
    fn long_numbered_items_are_sections_of_their_own() {
        let found = sections(LONG);
        let found: Vec<(&str, usize)> =
            found.iter().map(|(heading, count)| (heading.as_str(), *count)).collect();
        let expected = [
            ("", 1),
            ("1. Rent decides", 1),
            ("2. Nobody wants more choice", 1),
            ("3. Who cares?", 1),
            ("", 1),
        ];
        assert_eq!(found, expected);
        let read = read(LONG);
        assert_eq!(read.sections[1].opening_words.as_deref(), Some("Rent decides."), "it is said");
    }

    #[test]
    fn short_items_and_steps_stay_a_list() {
        for script in [
            "# T\n\n1. Wash it.\n2. Dry it.\n3. Keep it.",
            "# T\n\n1. Wash it. Dry it.\n2. Cut it. Press it.\n3. Keep it. Eat it.",
            "# T\n\n1. Wash the shirt in cold water, dry it in the shade, and iron it while it is damp.\n2. B. C.\n3. D. E.",
            "# T\n\n- Rent decides. We pay 11% of our revenue in rent; the shop next door paid twice as much.\n- Choice. We cut it.\n- C. D.",
        ] {
            assert!(sections(script).iter().all(|(_, count)| *count != 1), "{script}");
        }
    }
}
