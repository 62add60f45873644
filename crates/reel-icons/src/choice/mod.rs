//! The choice of an icon for a phrase, by what it means.
//!
//! A phrase is cut into words with their places (`words`), the words are looked up in a thesaurus, in the names and in the
//! tags of icons (`lexicon`), and what was found is weighed by its place: the subject of a sentence and the last noun of a
//! title count most, what follows a preposition less. Below a threshold no icon is chosen: a wrong one is worse than none.
//!
//! A word that the script is full of says little about one of its phrases. It counts less than others, but is not dropped.
//!
//! Only English is understood: a script in another language has no icons.
//!
//! Deliberately absent: grammar. A verb that is spelt as a noun is taken for it, unless the thesaurus marks the word.

mod lexicon;
mod words;

use std::collections::{HashMap, HashSet};

use lexicon::{Lexicon, Meaning};
use words::{Word, is_english, words_of};

/// Least score of what is shown.
const THRESHOLD: f64 = 0.5;
/// Times that a word must be used before it can be the script's topic.
const TOPIC_USES: usize = 4;
/// Longest phrase that is read, in words. What comes later says little.
const MAX_WORDS: usize = 80;

/// An icon, and how well it fits.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    pub name: &'static str,
    /// From 0.5, which is just enough, to about 1.2.
    pub score: f64,
}

/// Chooses an icon for a phrase: a title, an item or a sentence. `about` is the script, which tells which words are common.
pub fn choose(phrase: &str, about: &str) -> Option<Choice> {
    let best = Script::read(about).candidates(phrase).into_iter().next()?;
    Some(Choice { name: best.icons.first().copied()?, score: best.score })
}

/// Chooses the icons of one video. A concept keeps its icon.
#[derive(Debug, Clone)]
pub struct Chooser {
    script: Script,
    /// The icon of each concept.
    chosen: HashMap<String, &'static str>,
}

impl Chooser {
    /// Reads the script that the phrases will be from.
    pub fn new(script: &str) -> Self {
        Self { script: Script::read(script), chosen: HashMap::new() }
    }

    /// Chooses the icon of a phrase, or none where nothing fits well.
    pub fn choose(&mut self, phrase: &str) -> Option<String> {
        self.choose_many(&[phrase]).pop().flatten()
    }

    /// Chooses the icon of the script's title: of what fits, the concept that the script speaks of most.
    pub fn choose_for_title(&mut self, title: &str) -> Option<String> {
        let mut candidates = self.script.candidates(title);
        // "Electric cars: questions we hear" is about cars.
        candidates
            .extend(title.split_once(':').into_iter().flat_map(|(topic, _)| self.script.candidates(topic)));
        let uses = |concept: &str| {
            let word = concept.trim_end_matches(" not").rsplit(' ').next().unwrap_or_default();
            self.script.uses.get(word).copied().unwrap_or(0) as f64
        };
        let most = candidates.iter().map(|candidate| uses(&candidate.concept)).fold(1.0, f64::max);
        let worth = |candidate: &Candidate| candidate.score * (1.0 + uses(&candidate.concept) / most);
        candidates.sort_by(|a, b| worth(b).total_cmp(&worth(a)));
        let best = candidates.first().cloned()?;
        self.unused(&best, &[]).map(str::to_owned)
    }

    /// Chooses the icons of the items of one page: in their order, all different. Words that most items share count less.
    pub fn choose_many(&mut self, phrases: &[&str]) -> Vec<Option<String>> {
        let mut candidates: Vec<(usize, Candidate)> = Vec::new();
        for (item, phrase) in phrases.iter().enumerate() {
            candidates.extend(self.script.candidates(phrase).into_iter().map(|candidate| (item, candidate)));
        }
        lower_shared(&mut candidates, phrases.len());
        candidates.sort_by(|(_, a), (_, b)| b.rank.total_cmp(&a.rank));
        let mut icons: Vec<Option<&'static str>> = vec![None; phrases.len()];
        for (item, candidate) in candidates {
            if icons[item].is_none() {
                icons[item] = self.unused(&candidate, &icons);
            }
        }
        icons.into_iter().map(|icon| icon.map(str::to_owned)).collect()
    }

    /// Returns the concept's icon, or else another one for it that the page does not have yet.
    fn unused(&mut self, candidate: &Candidate, used: &[Option<&'static str>]) -> Option<&'static str> {
        let known = self.chosen.get(&candidate.concept).copied();
        let mut options = known.into_iter().chain(candidate.icons.iter().copied());
        let icon = options.find(|icon| !used.contains(&Some(icon)))?;
        self.chosen.entry(candidate.concept.clone()).or_insert(icon);
        Some(icon)
    }
}

/// Halves the rank of what most items of a page have in common.
fn lower_shared(candidates: &mut [(usize, Candidate)], items: usize) {
    let mut holders: HashMap<String, HashSet<usize>> = HashMap::new();
    for (item, candidate) in candidates.iter() {
        holders.entry(candidate.concept.clone()).or_default().insert(*item);
    }
    for (_, candidate) in candidates {
        let shared = holders.get(&candidate.concept).map_or(0, HashSet::len);
        if shared > 1 && shared * 2 > items {
            candidate.rank *= 0.5;
        }
    }
}

/// A concept of a phrase.
#[derive(Debug, Clone, PartialEq)]
struct Candidate {
    /// The words that were recognized, in their basic form.
    concept: String,
    icons: Vec<&'static str>,
    /// How well the icon fits the phrase.
    score: f64,
    /// The score, less for what is common in the script. Orders candidates.
    rank: f64,
}

/// How often the words of a script are used.
#[derive(Debug, Clone)]
struct Script {
    uses: HashMap<String, usize>,
    /// Words but function words.
    total: usize,
    is_english: bool,
}

impl Script {
    fn read(text: &str) -> Self {
        let lexicon = Lexicon::get();
        let mut uses = HashMap::new();
        let mut total = 0;
        let words = words_of(text, lexicon);
        for word in words.iter().filter(|word| !word.is_function) {
            total += 1;
            *uses.entry(word.basic().to_owned()).or_insert(0) += 1;
        }
        Self { uses, total, is_english: is_english(text) }
    }

    /// Returns the concepts of a phrase that an icon may be shown for, the best first.
    fn candidates(&self, phrase: &str) -> Vec<Candidate> {
        if !self.is_english {
            return Vec::new();
        }
        let lexicon = Lexicon::get();
        let mut words = words_of(phrase, lexicon);
        words.truncate(MAX_WORDS);
        let is_near = |word: &str| {
            self.uses.contains_key(word)
                || words.iter().any(|other| other.forms.iter().any(|form| form == word))
        };
        let mut found = Vec::new();
        let mut at = 0;
        while at < words.len() {
            let Some((meaning, length)) = lexicon.longest(&words[at..], &is_near) else {
                at += 1;
                continue;
            };
            found.extend(self.candidate(&words, at, length, meaning));
            at += length;
        }
        found.sort_by(|a, b| b.rank.total_cmp(&a.rank));
        found
    }

    fn candidate(&self, words: &[Word], at: usize, length: usize, meaning: Meaning) -> Option<Candidate> {
        let last = &words[at + length - 1];
        let mut icons = meaning.icons;
        let mut concept = meaning.key;
        if is_negated(words, at) {
            icons = icons.iter().filter_map(|icon| crossed_out(icon)).collect();
            concept.push_str(" not");
        }
        let score = meaning.strength * last.weight;
        let is_shown = score >= THRESHOLD && !icons.is_empty();
        is_shown.then(|| Candidate { rank: score * self.novelty(last.basic()), concept, icons, score })
    }

    /// Returns 1 for a word that is rare in the script, and less the more of the script it is.
    fn novelty(&self, word: &str) -> f64 {
        let uses = self.uses.get(word).copied().unwrap_or(0);
        if uses < TOPIC_USES {
            return 1.0;
        }
        let share = uses as f64 / self.total.max(1) as f64;
        (1.0 - 10.0 * share).clamp(0.6, 0.9)
    }
}

/// Returns the icon with a line through it.
fn crossed_out(icon: &str) -> Option<&'static str> {
    crate::icon(&format!("{icon}-off")).map(|icon| icon.name)
}

/// Is it said that there is none of it: "no light", "without water", "nothing is burned"?
fn is_negated(words: &[Word], at: usize) -> bool {
    /// Words between what denies and what is denied, as in "nobody here was ever happy".
    const REACH: usize = 4;
    let word = |at: usize| words.get(at).map_or("", |word| word.forms[0].as_str());
    let denies = |word: &str| {
        matches!(
            word,
            "no" | "not" | "without" | "never" | "nothing" | "nobody" | "none" | "neither" | "hardly"
        ) || word.ends_with("n't")
    };
    // "Not only" and "nothing but" say that there is more.
    let is_turned = |at: usize| matches!(word(at + 1), "only" | "just" | "but" | "merely");
    let before = at.saturating_sub(REACH)..at;
    let is_near = |denied: usize| denied + 1 == at || (denied + 1..at).all(|between| is_small(word(between)));
    before.into_iter().any(|denied| denies(word(denied)) && !is_turned(denied) && is_near(denied))
}

/// Words that lead from "not" to what is denied.
fn is_small(word: &str) -> bool {
    matches!(
        word,
        "is" | "was"
            | "are"
            | "were"
            | "be"
            | "been"
            | "a"
            | "an"
            | "any"
            | "the"
            | "very"
            | "everybody"
            | "everyone"
            | "all"
            | "here"
            | "has"
            | "have"
            | "had"
            | "much"
            | "more"
            | "enough"
            | "ever"
            | "every"
            | "always"
            | "so"
            | "too"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(phrase: &str) -> Option<&'static str> {
        choose(phrase, "").map(|choice| choice.name)
    }

    #[test]
    fn plurals_and_verb_forms_and_compounds_are_found() {
        assert_eq!(name("Batteries"), Some("battery"));
        assert_eq!(name("Nothing but baking"), Some("cooker"));
        assert_eq!(name("Children"), Some("mood-kid"));
        assert_eq!(name("An ice cream"), Some("ice-cream"));
        assert_eq!(name("The gas station"), Some("gas-station"));
    }

    #[test]
    fn the_subject_counts_more_than_what_comes_after_a_preposition() {
        assert_eq!(name("Trees beside the house"), Some("tree"));
        assert_eq!(name("A house beside the trees"), Some("home"));
    }

    #[test]
    fn a_title_has_the_icon_of_what_the_script_is_about() {
        let script = "An electric car is quiet. A car in winter goes less far. Who drives the car? Every week we hear it.";
        let icon = |title| Chooser::new(script).choose_for_title(title).unwrap_or_default();
        assert_eq!(icon("Electric cars: questions we hear every week"), "charging-pile");
        assert_eq!(icon("A week"), "calendar");
        assert_eq!(icon("Nothing of the kind"), "");
    }

    #[test]
    fn what_is_denied_is_crossed_out_or_not_shown() {
        assert_eq!(name("Nothing is burned"), Some("flame-off"));
        assert_eq!(name("Without umbrella"), Some("umbrella-off"));
        assert_eq!(name("No bridge"), None);
    }

    #[test]
    fn words_without_a_picture_have_no_icon() {
        for phrase in
            ["", "   ", "On the other hand", "The question of method", "12 of 17", "Whatever it was"]
        {
            assert_eq!(name(phrase), None, "{phrase}");
        }
    }

    #[test]
    fn a_script_in_another_language_has_no_icons() {
        let german =
            "Die Batterie ist warm. Das Gift und der Tag sind nicht gut, und die Bank ist mit dem Ball da.";
        assert_eq!(choose("Gift in der Bank", german), None);
        assert_eq!(choose("水とお金", "水とお金 bank"), None);
        assert_eq!(choose("A gift of the bank", "").unwrap().name, "gift");
    }

    #[test]
    fn a_verb_that_looks_like_a_noun_is_no_noun() {
        assert_eq!(name("Every theory leaves a trace"), None);
        assert_eq!(name("The leaves fall"), Some("leaf"));
    }

    #[test]
    fn a_word_that_the_script_is_full_of_gives_way_to_others() {
        let script = "Batteries age. A battery ages when it is hot. Batteries like to be cool. A full battery ages, too.";
        assert_eq!(choose("The battery and the heat", "").unwrap().name, "battery");
        assert_eq!(choose("The battery and the heat", script).unwrap().name, "temperature");
        assert_eq!(choose("How a battery works", script).unwrap().name, "battery");
    }

    #[test]
    fn a_concept_keeps_its_icon_and_a_page_has_none_twice() {
        let mut chooser = Chooser::new("");
        let page = chooser.choose_many(&["Money", "Cost", "The money", "Nothing at all"]);
        let icons: HashSet<&String> = page.iter().flatten().collect();
        assert_eq!((icons.len(), page[3].clone()), (3, None), "{page:?}");
        assert_eq!(chooser.choose("More money"), page[0]);
        assert_eq!(chooser.choose("The cost"), page[1]);
        assert_eq!(chooser.choose_many(&["Money", "Cost", "The money", "Nothing at all"]), page);
    }

    #[test]
    fn what_all_items_share_tells_them_apart_least() {
        let page = Chooser::new("").choose_many(&[
            "The water of the sea",
            "The water and the salt",
            "Water in the bread",
        ]);
        assert_eq!(page.iter().flatten().collect::<Vec<_>>(), ["ripple", "salt", "bread"]);
    }
}
