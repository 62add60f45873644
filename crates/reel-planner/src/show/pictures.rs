//! Chooses the pages that show a user's pictures: by words that the name of a picture and a page share.
//!
//! A word counts the more, the fewer pages have it (its inverse document frequency). A picture whose best page is not telling
//! enough goes to no page for its words. Pictures that are left take the longest pages that have none, in the order of both.

use std::collections::{BTreeSet, HashSet};

use reel_scene::{Arrangement, Block, Layout, Reveal, Scene};

use crate::arrange::capacity::{PAGE_HEIGHT_PX, block_height_px};
use crate::language::words::content_stems;

/// A picture of the user's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Picture<'a> {
    /// Its name in an image block.
    pub file: &'a str,
    /// Words for its content: a title, a description, or the name of the file as the user has it.
    pub words: &'a str,
}

/// Words of file names that say how a file was made, and not what it shows.
const MADE: &str = "\
    img image picture pic photo photograph dsc dscn dscf pxl scan screenshot screen shot untitled final copy new draft version \
    diagram figure fig chart graph drawing sketch illustration graphic schema \
    bild foto aufnahme bildschirmfoto abbildung abb skizze grafik kopie neu \
    png jpg jpeg whatsapp signal edited export";

/// Letters that a telling word has at least.
const MIN_LETTERS: usize = 3;
/// Letters that two forms of one word share at least, where one does not begin with the other.
const SHARED_LETTERS: usize = 6;
/// Letters with which forms of one word end differently.
const ENDING_LETTERS: usize = 3;
/// Items that can be read above a picture.
const MAX_ITEMS_BESIDE: usize = 3;

/// Adds each picture to one page, at most one to a page, and returns the pictures for which no page is left, by index.
///
/// Deterministic. Pages that show something other than words, and the cards, are left as they are.
pub fn place_pictures(scenes: &mut [Scene], pictures: &[Picture<'_>]) -> Vec<usize> {
    let pages: Vec<Page> = (0..scenes.len()).filter_map(|index| Page::of(index, &scenes[index])).collect();
    let mut placed = match_by_words(&pages, pictures);
    let mut left: Vec<usize> =
        (0..pictures.len()).filter(|picture| placed.iter().all(|place| place.picture != *picture)).collect();
    let free = longest_free_pages(&pages, &placed, left.len());
    let rest = left.split_off(free.len());
    placed.extend(left.into_iter().zip(free).map(|(picture, page)| Place { page, picture, step: 0 }));
    for Place { page, picture, step } in placed {
        show(&mut scenes[pages[page].scene], pictures[picture].file, step);
    }
    rest
}

/// A page that can show a picture.
struct Page {
    /// Index of its scene.
    scene: usize,
    title: HashSet<String>,
    /// Of each step.
    steps: Vec<HashSet<String>>,
    /// Of its narration.
    letters: usize,
}

/// A picture on a page, both by index, and the step with which it appears.
struct Place {
    page: usize,
    picture: usize,
    step: usize,
}

impl Page {
    fn of(index: usize, scene: &Scene) -> Option<Self> {
        let is_words = scene.layout == Layout::Content && scene.blocks.iter().all(is_words);
        let stems = |text: &str| content_stems(text).into_iter().collect();
        is_words.then(|| Self {
            scene: index,
            title: stems(&scene.title),
            steps: scene.steps.iter().map(|step| stems(&step.narration)).collect(),
            letters: scene.steps.iter().map(|step| step.narration.chars().count()).sum(),
        })
    }

    fn has(&self, word: &str) -> bool {
        self.steps.iter().chain([&self.title]).any(|stems| contains(stems, word))
    }
}

/// Tells whether a block shows nothing but words, which are spoken, too.
fn is_words(block: &Block) -> bool {
    matches!(
        block,
        Block::Paragraph { .. }
            | Block::Bullet { .. }
            | Block::Numbered { .. }
            | Block::Quote { .. }
            | Block::Definition { .. }
            | Block::Statement { .. }
            | Block::Items { .. }
    )
}

fn contains(stems: &HashSet<String>, word: &str) -> bool {
    stems.contains(word) || stems.iter().any(|stem| are_forms_of_one_word(stem, word))
}

/// Tells whether two words differ in their endings alone, such as "Zelle" and "Zellen", or "eruption" and "erupting".
fn are_forms_of_one_word(a: &str, b: &str) -> bool {
    let shared = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count();
    let (a, b) = (a.chars().count(), b.chars().count());
    let is_whole = shared == a.min(b) && shared + 1 >= SHARED_LETTERS;
    (is_whole || shared >= SHARED_LETTERS) && a.max(b) - shared <= ENDING_LETTERS
}

/// Returns the telling words of a picture, by their stems.
fn telling_words(words: &str) -> BTreeSet<String> {
    let separated = separate_words(words);
    let made: HashSet<&str> = MADE.split_whitespace().collect();
    let is_telling = |word: &String| {
        let letters = word.chars().filter(|c| c.is_alphabetic()).count();
        // A word such as 202b3f is a number to its reader. Characters of other scripts are words of their own.
        let is_word = letters >= MIN_LETTERS && letters == word.chars().count() || !word.is_ascii();
        is_word && !made.contains(word.as_str())
    };
    content_stems(&separated).into_iter().filter(is_telling).collect()
}

/// Puts blanks where a name has other signs, or a capital in the middle of a word.
fn separate_words(name: &str) -> String {
    let mut separated = String::with_capacity(name.len() + 8);
    let mut last = ' ';
    for character in name.chars() {
        let is_seam = last.is_lowercase() && character.is_uppercase()
            || last.is_alphabetic() && character.is_numeric()
            || last.is_numeric() && character.is_alphabetic();
        if is_seam {
            separated.push(' ');
        }
        separated.push(if character.is_alphanumeric() { character } else { ' ' });
        last = character;
    }
    separated
}

/// Returns the pictures that a page names, the most telling match first.
fn match_by_words(pages: &[Page], pictures: &[Picture<'_>]) -> Vec<Place> {
    let words: Vec<BTreeSet<String>> = pictures.iter().map(|picture| telling_words(picture.words)).collect();
    let mut matches: Vec<(f64, usize, usize)> = vec![];
    for (picture, words) in words.iter().enumerate() {
        let weights: Vec<(&String, f64)> = words.iter().map(|word| (word, weight(pages, word))).collect();
        for (page, found) in pages.iter().enumerate() {
            let score = weights.iter().map(|(word, weight)| weight * occurrences(found, word)).sum();
            // A word that half of the pages have does not tell them apart.
            let is_telling =
                weights.iter().any(|(word, weight)| *weight > 3_f64.ln() + 1e-9 && found.has(word));
            if is_telling {
                matches.push((score, picture, page));
            }
        }
    }
    // The sort is stable: of equal matches, the first picture and the first page win.
    matches.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut placed: Vec<Place> = vec![];
    for (_, picture, page) in matches {
        if placed.iter().all(|place| place.picture != picture && place.page != page) {
            placed.push(Place { page, picture, step: best_step(&pages[page], &words[picture]) });
        }
    }
    placed
}

fn weight(pages: &[Page], word: &str) -> f64 {
    match pages.iter().filter(|page| page.has(word)).count() {
        0 => 0.0,
        found => (1.0 + pages.len() as f64 / found as f64).ln(),
    }
}

/// Returns how much a page is about a word: once for being named, a little more for each further step, twice for the title.
fn occurrences(page: &Page, word: &str) -> f64 {
    let steps = page.steps.iter().filter(|stems| contains(stems, word)).count();
    let in_title = if contains(&page.title, word) { 1.0 } else { 0.0 };
    match steps {
        0 => in_title,
        steps => 1.0 + (steps - 1) as f64 * 0.25 + in_title,
    }
}

/// Returns the first step that has the most of the words.
fn best_step(page: &Page, words: &BTreeSet<String>) -> usize {
    let count = |stems: &HashSet<String>| words.iter().filter(|word| contains(stems, word)).count();
    let most = page.steps.iter().map(count).max().unwrap_or_default();
    page.steps.iter().position(|stems| count(stems) == most).unwrap_or_default()
}

/// Returns the longest pages without a picture, so many as are wanted, in their order.
fn longest_free_pages(pages: &[Page], placed: &[Place], wanted: usize) -> Vec<usize> {
    let is_free = |page: &usize| placed.iter().all(|place| place.page != *page);
    let mut free: Vec<usize> = (0..pages.len()).filter(is_free).collect();
    free.sort_by_key(|&page| std::cmp::Reverse(pages[page].letters));
    free.truncate(wanted);
    free.sort_unstable();
    free
}

/// Adds a picture to a page: below its words where both fit, and else in place of them, since they are spoken.
fn show(scene: &mut Scene, file: &str, step: usize) {
    let image = Block::Image { file: file.to_owned(), caption: String::new() };
    let height = scene.blocks.iter().map(block_height_px).fold(block_height_px(&image), u32::saturating_add);
    if height > PAGE_HEIGHT_PX || !scene.blocks.iter().all(is_legible_beside) {
        scene.blocks.clear();
        scene.steps.iter_mut().for_each(|step| step.reveals.clear());
    }
    // A page that is nothing but a picture shows it from its beginning.
    let step = if scene.blocks.is_empty() { 0 } else { step };
    let reveal = Reveal { block: scene.blocks.len(), part: None };
    scene.blocks.push(image);
    if let Some(step) = scene.steps.get_mut(step) {
        step.reveals.push(reveal);
    }
}

/// Tells whether a block is still large enough in half of the page. Rings, levels and rays are not.
fn is_legible_beside(block: &Block) -> bool {
    use Arrangement::{Cards, Checklist, Notes};
    match block {
        Block::Items { arrangement: Cards | Checklist | Notes, items, .. } => items.len() <= MAX_ITEMS_BESIDE,
        Block::Items { .. } => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Request, plan, validate};

    const CELL: &str = "# The cell\n\n\
        ## Membrane\n\nThe membrane lets water in. It keeps salts out. Nothing passes without a channel.\n\n\
        ## Mitochondria\n\nMitochondria burn sugar with oxygen. They make the energy of the cell.\n\n\
        ## Photosynthesis\n\nPlants catch the light of the sun. They make sugar of water and air. \
        The green colour comes from chlorophyll. It sits in small discs, and there are many of them in every leaf.\n\n\
        ## Nucleus\n\nThe nucleus holds the genes. It divides before the cell does.\n\n## The end\n\nThat is all.";

    fn scenes(script: &str) -> Vec<Scene> {
        let request =
            Request { topic: "", context: None, script: Some(script), title: None, duration_ms: None };
        plan(&request).unwrap().scenes
    }

    fn shown(scenes: &[Scene]) -> Vec<(&str, &str)> {
        let images = |scene: &'_ Scene| -> Vec<String> {
            let files = scene.blocks.iter().filter_map(|block| match block {
                Block::Image { file, .. } => Some(file.clone()),
                _ => None,
            });
            files.collect()
        };
        scenes
            .iter()
            .flat_map(|scene| images(scene).into_iter().map(|file| (scene.title.as_str(), leak(file))))
            .collect()
    }

    fn leak(text: String) -> &'static str {
        Box::leak(text.into_boxed_str())
    }

    /// Places pictures with these names and returns the titles of the pages with the pictures, and what is left.
    fn place(script: &str, names: &[&str]) -> (Vec<(String, String)>, Vec<usize>) {
        let mut scenes = scenes(script);
        let pictures: Vec<Picture<'_>> =
            names.iter().map(|name| Picture { file: name, words: name }).collect();
        let left = place_pictures(&mut scenes, &pictures);
        assert_eq!(validate(&scenes), vec![]);
        (shown(&scenes).into_iter().map(|(page, file)| (page.to_owned(), file.to_owned())).collect(), left)
    }

    #[test]
    fn a_name_says_which_page_shows_the_picture() {
        for (name, page) in [
            ("photosynthesis-diagram.png", "Photosynthesis"),
            ("Photosynthese.png", "Photosynthesis"),
            ("MitochondriaOverview_v2.jpg", "Mitochondria"),
            ("mitochondrion.png", "Mitochondria"),
            ("the_nucleus (1).jpeg", "Nucleus"),
            ("genes.png", "Nucleus"),
            ("chlorophyll 2024-03-01.png", "Photosynthesis"),
            ("water-channel.png", "Membrane"),
            // Nothing in these names is said by one page alone: the longest page takes them.
            ("IMG_2034.jpg", "Photosynthesis"),
            ("cell.png", "Photosynthesis"),
            ("DSC00012.JPG", "Photosynthesis"),
            ("a3f9c2de.png", "Photosynthesis"),
            ("holiday.png", "Photosynthesis"),
            ("-.png", "Photosynthesis"),
        ] {
            let (shown, left) = place(CELL, &[name]);
            assert_eq!(shown, [(page.to_owned(), name.to_owned())], "{name}");
            assert!(left.is_empty());
        }
    }

    #[test]
    fn words_of_other_languages_match_in_their_forms() {
        let script = "# Leben\n\n## Aufbau\n\nAlle Zellen haben eine Hülle. Sie schützt das Innere.\n\n\
            ## Energie\n\nZucker wird verbrannt. Dabei entsteht Wärme.\n\n## Teilung\n\nDer Kern teilt sich zuerst.\n\n## Ende\n\nDas ist alles.";
        for (name, page) in [
            ("Schema der Zelle.png", "Aufbau"),
            ("Kernteilung Teilungen.png", "Teilung"),
            ("zucker.jpg", "Energie"),
        ] {
            assert_eq!(place(script, &[name]).0, [(page.to_owned(), name.to_owned())], "{name}");
        }
    }

    #[test]
    fn each_page_takes_one_picture_and_the_most_telling_match_wins() {
        let names = ["IMG_1.jpg", "nucleus.png", "membrane.png", "membrane water channel.png", "IMG_2.jpg"];
        let (shown, left) = place(CELL, &names);
        let pair = |page: &str, name: &str| (page.to_owned(), name.to_owned());
        let expected = [
            pair("Membrane", "membrane water channel.png"),
            pair("Mitochondria", "IMG_1.jpg"),
            pair("Photosynthesis", "membrane.png"),
            pair("Nucleus", "nucleus.png"),
        ];
        assert_eq!(
            (shown, left),
            (expected.to_vec(), vec![4]),
            "the last of those that match nothing is left"
        );
    }

    #[test]
    fn pages_that_show_something_else_stay_as_they_are() {
        let script = "# Numbers\n\n| Year | Cars |\n|---|---|\n| 2020 | 5 |\n| 2021 | 9 |\n\n\
            ```rust\nfn main() {}\n```";
        let before = scenes(script);
        let mut after = before.clone();
        let left = place_pictures(&mut after, &[Picture { file: "a", words: "cars" }]);
        let pages = before.iter().filter(|scene| Page::of(0, scene).is_some()).count();
        assert_eq!(left.is_empty(), pages > 0);
        let cards = |scenes: &[Scene]| [scenes[0].clone(), scenes[scenes.len() - 1].clone()];
        assert_eq!(cards(&before), cards(&after));
    }

    #[test]
    fn a_picture_appears_with_the_line_that_names_it_and_every_page_still_fits() {
        let mut scenes = scenes(CELL);
        let words = scenes.clone();
        place_pictures(&mut scenes, &[Picture { file: "a", words: "chlorophyll" }]);
        let scene = scenes.iter().find(|scene| scene.title == "Photosynthesis").unwrap();
        let image = scene.blocks.len() - 1;
        let step = scene
            .steps
            .iter()
            .position(|step| step.reveals.iter().any(|reveal| reveal.block == image))
            .unwrap();
        assert!(scene.blocks.len() == 1 || scene.steps[step].narration.contains("chlorophyll"), "{scene:?}");
        for (scene, before) in scenes.iter().zip(&words) {
            let height: u32 = scene.blocks.iter().map(block_height_px).sum();
            assert!(height <= PAGE_HEIGHT_PX.max(before.blocks.iter().map(block_height_px).sum()));
            let lines =
                |scene: &Scene| scene.steps.iter().map(|step| step.narration.clone()).collect::<Vec<_>>();
            assert_eq!(lines(scene), lines(before));
        }
    }

    #[test]
    fn items_that_would_be_too_small_beside_a_picture_give_way_to_it() {
        let item = |title: &str| reel_scene::Item { title: title.to_owned(), ..Default::default() };
        for (arrangement, count, stays) in [
            (Arrangement::Cards, 3, true),
            (Arrangement::Cards, 4, false),
            (Arrangement::Hub, 3, false),
            (Arrangement::Cycle, 3, false),
        ] {
            let items = (0..count).map(|_| item("Water")).collect();
            let block = Block::Items { arrangement, items, center: None };
            let reveals = (0..count).map(|part| Reveal { block: 0, part: Some(part) }).collect();
            let steps = vec![reel_scene::Step::new("Water runs.", reveals)];
            let mut scene = Scene { blocks: vec![block], steps, ..Scene::default() };
            show(&mut scene, "a", 0);
            assert_eq!(scene.blocks.len(), if stays { 2 } else { 1 }, "{arrangement:?} of {count}");
            let image = Reveal { block: scene.blocks.len() - 1, part: None };
            assert_eq!(scene.steps[0].reveals.last(), Some(&image));
        }
    }

    #[test]
    fn forms_of_one_word_are_known_by_their_beginning() {
        for (a, b, expected) in [
            ("zelle", "zellen", true),
            ("eruption", "erupting", true),
            ("volcano", "volcanoe", true),
            ("planet", "planer", false),
            ("plant", "plane", false),
            ("car", "care", false),
            ("cell", "cellulose", false),
        ] {
            assert_eq!(are_forms_of_one_word(a, b), expected, "{a} {b}");
        }
    }
}
