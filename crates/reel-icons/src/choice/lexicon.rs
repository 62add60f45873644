//! Words and the icons that they mean: the thesaurus, names of icons of things, and tags of several words that few icons have.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use super::words::Word;
use crate::set::{self, Icon};

/// Format: see its head.
const THESAURUS: &str = include_str!("../../data/thesaurus.txt");

/// Categories whose icons are things. The names of others, such as `box-margin` or `select`, mean something else in a text.
const THINGS: [&str; 9] =
    ["animals", "buildings", "food", "games", "health", "nature", "sport", "vehicles", "weather"];
/// Names and tags of things that mean something else in most texts.
const AMBIGUOUS: &str = " activity bat bath bow bone bowl cane crane cricket cup curling drone dragon ear fall fence fish flare \
     flask glass go-game growth home horse joker meeple meat moon nurse nut old orbit orbits pacman paw pick plunger pool podium \
     race razor rings run salt storm sun sword tank tower track tir trolley tournament truck twig walk wall whirl window wiper \
     wind balloon axe puzzle helmet alien feather flower ghost pepper caravan ";

const STRENGTH_PHRASE: f64 = 1.15;
const STRENGTH_WORD: f64 = 1.0;
const STRENGTH_AMBIGUOUS: f64 = 0.55;
const STRENGTH_TAG: f64 = 0.5;
/// Most icons that a telling tag has.
const TAG_ICONS: usize = 2;

/// What a word or some words mean.
#[derive(Debug, Clone)]
pub(super) struct Meaning {
    pub(super) key: String,
    /// The plainest first; empty where the words say nothing that can be shown.
    pub(super) icons: Vec<&'static str>,
    pub(super) strength: f64,
}

#[derive(Debug)]
struct Sense {
    icons: Vec<&'static str>,
    strength: f64,
    /// One of these must be near; none is needed where there are none.
    near: Vec<&'static str>,
}

#[derive(Debug, Default)]
pub(super) struct Lexicon {
    /// By words, with spaces between them.
    senses: HashMap<String, Vec<Sense>>,
    /// Every word of a key.
    words: HashSet<String>,
    /// Words of the longest key.
    longest: usize,
}

impl Lexicon {
    /// Returns the lexicon, which the first call builds.
    pub(super) fn get() -> &'static Self {
        static LEXICON: LazyLock<Lexicon> = LazyLock::new(Lexicon::build);
        &LEXICON
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        self.words.contains(word)
    }

    /// Returns the meaning of the most words that `words` begins with, and their number. `is_near` tells which words occur in
    /// the phrase or in the script.
    pub(super) fn longest(
        &self,
        words: &[Word],
        is_near: &impl Fn(&str) -> bool,
    ) -> Option<(Meaning, usize)> {
        let shortest = if words.first()?.is_function { 2 } else { 1 };
        (shortest..=self.longest.min(words.len())).rev().find_map(|length| {
            let keys = spellings(&words[..length]);
            keys.into_iter().find_map(|key| Some((self.meaning(key, is_near)?, length)))
        })
    }

    fn meaning(&self, key: String, is_near: &impl Fn(&str) -> bool) -> Option<Meaning> {
        let fits = |sense: &&Sense| sense.near.is_empty() || sense.near.iter().any(|word| is_near(word));
        let mut senses = self.senses.get(&key)?.iter().filter(fits);
        let first = senses.next()?;
        let mut icons = first.icons.clone();
        // The more of a key's lines there are, the more icons may stand for it; none where the first says so.
        if !icons.is_empty() {
            icons.extend(senses.flat_map(|sense| &sense.icons));
        }
        Some(Meaning { key, icons, strength: first.strength })
    }

    fn build() -> Self {
        let mut lexicon = Self::default();
        for line in THESAURUS.lines().filter(|line| !line.starts_with('#')) {
            lexicon.add_line(line);
        }
        let things =
            || set::all().iter().filter(|icon| THINGS.contains(&icon.category) && is_plain(icon.name));
        for icon in things().filter(|icon| !is_ambiguous(icon.name)) {
            lexicon.add_missing(&icon.name.replace('-', " "), vec![icon.name], STRENGTH_WORD);
        }
        let mut tagged: Vec<(&str, Vec<&'static str>)> = tags(things()).into_iter().collect();
        tagged.sort_unstable();
        for (tag, icons) in tagged.into_iter().filter(|(_, icons)| icons.len() <= TAG_ICONS) {
            lexicon.add_missing(&tag.replace('-', " "), icons, STRENGTH_TAG);
        }
        lexicon
    }

    fn add_line(&mut self, line: &'static str) {
        let Some((head, keys)) = line.split_once(':') else { return };
        let (near, icons) = match head.strip_prefix('[').and_then(|head| head.split_once(']')) {
            Some((near, icons)) => (near, icons),
            None => ("", head),
        };
        let icons: Vec<&'static str> =
            icons.split_whitespace().filter_map(|name| Some(set::icon(name)?.name)).collect();
        for key in keys.split_whitespace() {
            let (key, is_weak) = key.strip_suffix('~').map_or((key, false), |key| (key, true));
            let strength = match (is_weak, key.contains('_')) {
                (true, _) => STRENGTH_AMBIGUOUS,
                (false, true) => STRENGTH_PHRASE,
                (false, false) => STRENGTH_WORD,
            };
            let near = near.split_whitespace().collect();
            self.add(&key.replace('_', " "), Sense { icons: icons.clone(), strength, near });
        }
    }

    fn add_missing(&mut self, key: &str, icons: Vec<&'static str>, strength: f64) {
        if !self.senses.contains_key(key) {
            let strength = if key.contains(' ') { strength * STRENGTH_PHRASE } else { strength };
            self.add(key, Sense { icons, strength, near: Vec::new() });
        }
    }

    fn add(&mut self, key: &str, sense: Sense) {
        let words = key.split(' ');
        self.longest = self.longest.max(words.clone().count());
        self.words.extend(words.map(str::to_owned));
        self.senses.entry(key.to_owned()).or_default().push(sense);
    }
}

/// Returns the ways to write words with the forms that are known of each.
fn spellings(words: &[Word]) -> Vec<String> {
    let mut spellings = vec![String::new()];
    for word in words {
        let separator = if spellings[0].is_empty() { "" } else { " " };
        spellings = spellings
            .iter()
            .flat_map(|start| word.forms.iter().take(3).map(move |form| format!("{start}{separator}{form}")))
            .collect();
    }
    spellings
}

/// Returns the icons of each tag of several words.
fn tags<'a>(icons: impl Iterator<Item = &'a Icon>) -> HashMap<&'static str, Vec<&'static str>> {
    let mut tagged: HashMap<&'static str, Vec<&'static str>> = HashMap::new();
    for icon in icons {
        // Single words among tags are not telling: a banana has "potassium", candy "treat".
        for tag in icon.tags().filter(|tag| tag.contains('-')) {
            tagged.entry(tag).or_default().push(icon.name);
        }
    }
    tagged
}

fn is_ambiguous(name: &str) -> bool {
    static NAMES: LazyLock<HashSet<&str>> = LazyLock::new(|| AMBIGUOUS.split_ascii_whitespace().collect());
    NAMES.contains(name)
}

/// Is it no variant of another icon, such as `bell-plus`?
fn is_plain(name: &str) -> bool {
    const VARIANTS: &str = " off plus minus x check cog bolt cancel code dollar down up exclamation heart pause pin question search \
         share star edit spark 0 1 2 3 4 5 6 7 8 9 10 bitcoin discount dotted eye key left right alt ";
    static ENDINGS: LazyLock<HashSet<&str>> = LazyLock::new(|| VARIANTS.split_ascii_whitespace().collect());
    let Some((base, variant)) = name.rsplit_once('-') else { return true };
    !(ENDINGS.contains(variant) && set::icon(base).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_icon_of_the_thesaurus_exists_and_every_word_stands_once_in_its_line() {
        let mut entries = 0;
        for line in THESAURUS.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let (head, keys) = line.split_once(':').unwrap_or_else(|| panic!("no colon: {line}"));
            let icons = head.rsplit(']').next().unwrap();
            for name in icons.split_whitespace().filter(|name| *name != "-") {
                assert!(set::icon(name).is_some(), "{name} in {line}");
            }
            let keys: Vec<&str> = keys.split_whitespace().collect();
            assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len(), "{line}");
            entries += keys.len();
        }
        assert!(entries >= 2000, "{entries}");
    }

    #[test]
    fn building_the_lexicon_takes_a_moment() {
        let began = std::time::Instant::now();
        assert!(Lexicon::build().senses.len() > 2500);
        assert!(began.elapsed().as_millis() < 1000, "{:?}", began.elapsed());
    }
}
