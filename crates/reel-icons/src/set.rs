//! The set of icons, read once.

use std::io::Read;
use std::sync::LazyLock;

use flate2::read::ZlibDecoder;

use crate::outline::{self, Outline};

/// All icons as text, one a line: name, category, tags and path data, with tabs between them.
const DATA: &[u8] = include_bytes!("../data/icons.zz");

static TEXT: LazyLock<String> = LazyLock::new(|| {
    let mut text = String::new();
    ZlibDecoder::new(DATA)
        .read_to_string(&mut text)
        .expect("the icons' data, which the build brought, is whole");
    text
});

static ICONS: LazyLock<Vec<Icon>> = LazyLock::new(|| TEXT.lines().filter_map(Icon::from_line).collect());

/// An icon.
#[derive(Debug, Clone, Copy)]
pub struct Icon {
    pub name: &'static str,
    /// Such as `food`, in lower case.
    pub category: &'static str,
    tags: &'static str,
    paths: &'static str,
}

impl Icon {
    fn from_line(line: &'static str) -> Option<Self> {
        let mut fields = line.split('\t');
        Some(Self {
            name: fields.next()?,
            category: fields.next()?,
            tags: fields.next()?,
            paths: fields.next()?,
        })
    }

    /// Returns the words that go with the icon, most of them in lower case.
    pub fn tags(self) -> impl Iterator<Item = &'static str> {
        self.tags.split(',').filter(|tag| !tag.is_empty())
    }

    /// Returns the outlines in the order they are drawn.
    pub fn outlines(self) -> Vec<Outline> {
        self.paths.split('|').flat_map(outline::parse).collect()
    }
}

/// Returns the icon of a name.
pub fn icon(name: &str) -> Option<Icon> {
    let icons = all();
    icons.binary_search_by(|icon| icon.name.cmp(name)).ok().map(|index| icons[index])
}

/// Returns the names of all icons, in order.
pub fn names() -> impl Iterator<Item = &'static str> {
    all().iter().map(|icon| icon.name)
}

pub(crate) fn all() -> &'static [Icon] {
    &ICONS
}

/// Returns at most `max` names that resemble `name`, the nearest first: by letters to change, then the shorter.
pub fn nearest(name: &str, max: usize) -> Vec<&'static str> {
    let name = name.to_lowercase().replace(['_', ' '], "-");
    let letters: Vec<char> = name.chars().take(MAX_NAME).collect();
    let most = 1 + letters.len() / 4;
    let mut near: Vec<(usize, usize, &str)> = names()
        .filter_map(|known| {
            let distance = match is_part(&name, known) || is_part(known, &name) {
                true => 1,
                false if known.len().abs_diff(letters.len()) > most => return None,
                false => edits(&letters, known),
            };
            (distance <= most).then_some((distance, known.len(), known))
        })
        .collect();
    near.sort_unstable();
    near.into_iter().take(max).map(|(_, _, known)| known).collect()
}

/// Longest name that is compared.
const MAX_NAME: usize = 60;

/// Is `part` the beginning of `whole` up to a hyphen, or its end from one on?
fn is_part(part: &str, whole: &str) -> bool {
    let before = whole.strip_prefix(part).is_some_and(|rest| rest.starts_with('-'));
    before || whole.strip_suffix(part).is_some_and(|rest| rest.ends_with('-'))
}

/// Counts the letters to add, remove, replace or swap with their neighbour (optimal string alignment).
fn edits(from: &[char], to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut rows = vec![vec![0; to.len() + 1]; from.len() + 1];
    rows[0] = (0..=to.len()).collect();
    for i in 1..=from.len() {
        rows[i][0] = i;
        for j in 1..=to.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(from[i - 1] != to[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BOX_UNITS, Segment};

    #[test]
    fn every_icon_has_outlines_inside_its_box() {
        assert!(all().len() > 4000, "{}", all().len());
        assert!(all().is_sorted_by(|a, b| a.name < b.name));
        for icon in all() {
            let outlines = icon.outlines();
            assert!(!outlines.is_empty(), "{}", icon.name);
            let points = outlines.iter().flat_map(|outline| {
                let ends = outline.segments.iter().filter_map(|segment| match segment {
                    Segment::Line(end) | Segment::Cubic(_, _, end) => Some(*end),
                    Segment::Close => None,
                });
                std::iter::once(outline.start).chain(ends)
            });
            for [x, y] in points {
                let range = -0.5..=BOX_UNITS + 0.5;
                assert!(range.contains(&x) && range.contains(&y), "{}: {x}, {y}", icon.name);
            }
        }
        assert!(icon("brand-github").is_none() && icon("letter-a").is_none());
    }

    #[test]
    fn a_misspelt_name_is_near_the_right_one() {
        assert_eq!(nearest("baterry", 3)[0], "battery");
        assert_eq!(nearest("Light_Bulb", 3)[0], "bulb");
        assert!(nearest("charging", 5).contains(&"battery-charging"));
        assert_eq!(nearest("qqqqzzzzxxxx", 3), Vec::<&str>::new());
    }
}
